//! The built-in people: before a set is good, each hook of each policy runs on them, so that an edit that would fail on
//! somebody unusual is refused before it meets them.

use super::{ChainSpec, ErrorKind, LoadSpec, Outcome, PolicyError, PolicySet};
use crate::{
    clock::Timestamp,
    event::{Aspect, Hook, Role, Via},
    facts::{
        Answer, Facts, GroupChange, GroupFacts, ListHit, Lookup, MemberFacts, Need, Status, Subscription,
    },
    ids::{GroupId, Lid, Person, PersonId, Phone, SessionName},
};
use std::collections::BTreeSet;

/// 2026-06-15 12:00 UTC, a Monday: the `now` of built-in people and of tests that set none.
pub(super) const NOW: Timestamp = Timestamp(1_781_524_800_000);

/// A member of whom everything ordinary is known.
pub(super) fn ordinary_member() -> MemberFacts {
    let person =
        Person { phone: Phone::parse("+4915112345678"), lid: Some(Lid::from_u64(277_038_292_303_944)) };
    MemberFacts {
        id: PersonId(1),
        person,
        jid: person.jid(),
        name: Some("Kim".into()),
        role: Role::Member,
        present: true,
        via: Via::Link,
        added_by: None,
        left_by: None,
        joined_at: Some(NOW),
        adopted: false,
        joins: 1,
        removals: 0,
        groups: vec![group_id()],
        messages: 0,
        last_message_at: None,
        wrote_to_us_at: None,
        tags: Vec::new(),
        is_own: false,
    }
}

fn group_id() -> GroupId {
    GroupId::parse("120363000000000001@g.us").expect("a well-formed constant")
}

/// A group of which everything ordinary is known.
pub(super) fn ordinary_group() -> GroupFacts {
    GroupFacts {
        id: group_id(),
        subject: "[CLUB-1] Our club".into(),
        description: "For members".into(),
        size: 120,
        capacity: 1024,
        announce_only: Some(false),
        archived: false,
        created_by_us: false,
        owner: None,
        tags: Vec::new(),
        sessions: vec![(SessionName::new("main"), Role::Admin)],
        params: serde_json::Map::new(),
    }
}

/// A name changed by a member.
pub(super) fn ordinary_change() -> GroupChange {
    GroupChange {
        what: Aspect::Subject,
        before: "[CLUB-1] Our club".into(),
        after: "Buy here".into(),
        by: Some(ordinary_member().person),
        by_role: Role::Member,
        answered: 0,
    }
}

/// Every kind of change, by people of every kind.
fn changes() -> Vec<Option<GroupChange>> {
    let of = |what, before: serde_json::Value, after: serde_json::Value| GroupChange {
        what,
        before,
        after,
        ..ordinary_change()
    };
    vec![
        Some(ordinary_change()),
        Some(GroupChange { by: None, by_role: Role::Unknown, ..ordinary_change() }),
        Some(GroupChange {
            by: Some(Person::of_lid(Lid::from_u64(9))),
            by_role: Role::Admin,
            ..ordinary_change()
        }),
        Some(of(Aspect::Description, "For members".into(), "".into())),
        Some(of(Aspect::Description, "".into(), "x".into())),
        Some(of(Aspect::AnnounceOnly, false.into(), true.into())),
        Some(of(Aspect::InfoLocked, true.into(), false.into())),
        Some(of(
            Aspect::Invite,
            "https://chat.whatsapp.com/Old".into(),
            "https://chat.whatsapp.com/New".into(),
        )),
    ]
}

/// Somebody built-in: the facts, and the answers to what a script may ask.
struct Sample {
    label: &'static str,
    member: MemberFacts,
    group: GroupFacts,
    phone: Lookup<Phone>,
    blacklist: Lookup<Option<ListHit>>,
    allowlisted: Lookup<bool>,
    subscription: Lookup<Subscription>,
    count: u64,
}

fn known<T>(value: T) -> Lookup<T> {
    Lookup::Known { value, as_of: NOW, source: "built-in".into(), stale: false }
}

fn unknown<T>() -> Lookup<T> {
    Lookup::Unknown { why: "built-in".into() }
}

fn subscription(status: Status, days: Option<i64>) -> Lookup<Subscription> {
    let expires_at = days.map(|days| Timestamp(NOW.as_millis() + days * 86_400_000));
    known(Subscription { status, plan: Some("gold".into()), expires_at })
}

impl Sample {
    fn ordinary(label: &'static str) -> Self {
        Self {
            label,
            member: ordinary_member(),
            group: ordinary_group(),
            phone: unknown(),
            blacklist: known(None),
            allowlisted: known(false),
            subscription: subscription(Status::None, None),
            count: 1,
        }
    }

    fn with(label: &'static str, change: impl FnOnce(&mut Self)) -> Self {
        let mut sample = Self::ordinary(label);
        change(&mut sample);
        sample
    }

    fn answer(&self, need: &Need) -> Answer {
        match need {
            Need::Phone => Answer::Phone(self.phone.clone()),
            Need::Blacklist => Answer::Blacklist(self.blacklist.clone()),
            Need::Allowlist => Answer::Allowlist(self.allowlisted.clone()),
            Need::Subscription => Answer::Subscription(self.subscription.clone()),
            Need::Joins(_) | Need::Leaves(_) => Answer::Count(self.count),
        }
    }
}

fn hide_phone(sample: &mut Sample) {
    sample.member.person.phone = None;
    sample.member.jid = sample.member.person.jid();
}

fn add_history(sample: &mut Sample) {
    let earlier = Timestamp(NOW.as_millis() - 40 * 86_400_000);
    sample.member.joined_at = Some(earlier);
    sample.member.last_message_at = Some(earlier);
    sample.member.wrote_to_us_at = Some(NOW);
    sample.member.messages = 500;
    sample.member.joins = 9;
    sample.member.removals = 3;
    sample.member.tags = vec!["vip".into()];
}

/// Everybody.
fn people() -> Vec<Sample> {
    let listed = ListHit {
        list: "scrapers".into(),
        entry: "+49*".into(),
        reason: None,
        source: None,
        added_at: Some(NOW),
        expires_at: None,
    };
    let [reason, source] = ["spam", "a friend"].map(|text| Some(text.to_owned()));
    let full = ListHit { reason, source, expires_at: Some(NOW), ..listed.clone() };
    let mut people = vec![
        Sample::ordinary("somebody without a subscription"),
        Sample::with("a hidden phone", hide_phone),
        Sample::with("a hidden phone that was found out", |s| {
            hide_phone(s);
            s.phone = known(Phone::parse("+18765550123").expect("a well-formed constant"));
        }),
        Sample::with("an unknown subscription", |s| s.subscription = unknown()),
        Sample::with("nothing known of the person", |s| {
            s.member.person = Person::default();
            s.member.jid = String::new();
            s.member.name = None;
            s.member.joined_at = None;
            s.blacklist = unknown();
            s.allowlisted = unknown();
        }),
        Sample::with("no name", |s| s.member.name = None),
        Sample::with("a lapsed subscription", |s| s.subscription = subscription(Status::Canceled, Some(-3))),
        Sample::with("an active subscription", |s| s.subscription = subscription(Status::Active, None)),
        Sample::with("a trial", |s| s.subscription = subscription(Status::Trialing, Some(3))),
        Sample::with("a failed payment", |s| s.subscription = subscription(Status::PastDue, Some(1))),
        Sample::with("somebody on a blacklist", |s| s.blacklist = known(Some(listed))),
        Sample::with("somebody on a blacklist with a reason", |s| s.blacklist = known(Some(full))),
        Sample::with("somebody on the allowlist", |s| s.allowlisted = known(true)),
        Sample::with("an admin", |s| s.member.role = Role::Admin),
        Sample::with("a role not told", |s| s.member.role = Role::Unknown),
        Sample::with("a member of long standing", add_history),
        Sample::with("somebody removed by another", |s| {
            s.member.left_by = Some(Person::of_lid(Lid::from_u64(9)))
        }),
        Sample::with("a big group in a raid", |s| {
            s.group.size = 1024;
            s.count = 500;
        }),
        Sample::with("a group of which nothing is told", |s| {
            s.group.subject = String::new();
            s.group.description = String::new();
            s.group.announce_only = None;
            s.group.size = 0;
            s.group.sessions = Vec::new();
            s.member.name = Some(String::new());
        }),
    ];
    for via in [Via::Unknown, Via::Added, Via::Approved, Via::Reconciled] {
        people.push(Sample::with("another way in", |s| {
            s.member.via = via;
            s.member.added_by = (via == Via::Added).then(|| Person::of_lid(Lid::from_u64(7)));
        }));
    }
    people
}

/// Runs every hook of every policy on everybody; one problem per place.
pub(super) fn try_all(set: &PolicySet, spec: &LoadSpec) -> Vec<PolicyError> {
    let people = people();
    let mut problems: Vec<PolicyError> = Vec::new();
    let mut seen = BTreeSet::new();
    for chain in &spec.chains {
        for link in &chain.links {
            // Alone, not within its chain: a final action of an earlier policy would keep it from being tried.
            let alone = std::slice::from_ref(link);
            for hook in Hook::ALL.into_iter().filter(|hook| set.defines(alone, *hook)) {
                for problem in try_hook(set, chain, alone, hook, &people) {
                    if seen.insert((problem.file.clone(), problem.line, problem.column)) {
                        problems.push(problem);
                    }
                }
            }
        }
    }
    problems
}

/// An endless run ends the trial: the next person would cost the same time and tell nothing new.
fn try_hook(
    set: &PolicySet,
    chain: &ChainSpec,
    alone: &[crate::config::ChainLink],
    hook: Hook,
    people: &[Sample],
) -> Vec<PolicyError> {
    let mut problems = Vec::new();
    let changes = if hook == Hook::OnGroupChanged { changes() } else { vec![None] };
    for (sample, change) in people.iter().flat_map(|one| changes.iter().map(move |change| (one, change))) {
        let Some(problem) = try_one(set, chain, alone, (hook, change.clone()), sample) else { continue };
        let endless = matches!(problem.kind, ErrorKind::Limit | ErrorKind::Overload);
        let kind = if endless { problem.kind } else { ErrorKind::Trial };
        problems.push(PolicyError { kind, ..problem });
        if endless {
            break;
        }
    }
    problems
}

fn try_one(
    set: &PolicySet,
    chain: &ChainSpec,
    alone: &[crate::config::ChainLink],
    (hook, change): (Hook, Option<GroupChange>),
    sample: &Sample,
) -> Option<PolicyError> {
    let mut group = sample.group.clone();
    group.params.clone_from(&chain.params);
    let mut facts = Facts {
        hook,
        now: NOW,
        member: hook.has_member().then(|| sample.member.clone()),
        group,
        change,
        time_zone: "UTC".into(),
        language: None,
        answers: Vec::new(),
    };
    // Each round answers at least one more question; a script cannot ask for ever, because windows are in its text.
    for _ in 0..64 {
        match set.evaluate(alone, &facts) {
            Outcome::Decided(_) => return None,
            Outcome::Needs(needs) => {
                facts.answers.extend(needs.into_iter().map(|need| {
                    let answer = sample.answer(&need);
                    (need, answer)
                }));
            }
            Outcome::Failed(mut problem) => {
                let trial = format!(
                    "{} in the chain of `{}`, tried on built-in people",
                    hook.function(),
                    chain.block
                );
                problem.message = format!("{} ({trial}: {})", problem.message, sample.label);
                return Some(problem);
            }
        }
    }
    let why =
        format!("{} asks for ever more facts, tried on built-in people: {}", hook.function(), sample.label);
    Some(PolicyError::general(ErrorKind::Limit, &format!("{}.rhai", alone[0].policy), why))
}
