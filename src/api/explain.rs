//! Why something happened, for people: an event, a decision, or everything about a member.
//!
//! Owns the reading of a reference (`e17`, the gateway's event id, `d17`, `o17`, a phone, a LID, `p17`) and the text: what
//! happened, the facts with value, age and source, the policy line that asked, and what became of each action. The
//! rendering is pure; API and command line show the same words.

use super::{
    Refusal,
    views::{self, EventView},
};
use crate::{
    action::{Action, Asked, RowState},
    clock::{Timestamp, format_duration},
    facts::{Evidence, GroupFacts, MemberFacts},
    identity::{Learnt, PersonRecord},
    ids::{DecisionId, OutboxId, Person},
    store::{Decision, Filter, Row, RunState, Store},
};
use serde::Serialize;

/// Decisions shown with a member.
const MEMBER_DECISIONS: u32 = 20;

/// What a reference leads to.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Explained {
    /// An event and what it led to.
    Event {
        /// The entry with its body.
        event: EventView,
        /// Its decisions, oldest first.
        decisions: Vec<Decision>,
    },
    /// One decision.
    Decision {
        /// It.
        decision: Box<Decision>,
    },
    /// A person.
    Member {
        /// Who they are to us, and where that was learnt.
        record: Option<PersonRecord>,
        /// Once per group they are or were in.
        memberships: Vec<Membership>,
        /// The latest decisions about them, newest first.
        decisions: Vec<Decision>,
    },
}

/// A person in one group.
#[derive(Clone, Debug, Serialize)]
pub struct Membership {
    /// The group.
    pub group: GroupFacts,
    /// The person there.
    pub member: MemberFacts,
}

/// Finds what a reference means.
///
/// # Errors
/// A refusal with the next step, if it means nothing or nobody.
pub async fn look_up(store: &dyn Store, reference: &str) -> Result<Explained, Refusal> {
    let numbered = |letter| {
        reference.strip_prefix(letter).is_some_and(|rest: &str| rest.bytes().all(|b| b.is_ascii_digit()))
    };
    if numbered('d') {
        let id: DecisionId = views::read_id(reference)?;
        let missing =
            || Refusal::missing(format!("there is no decision {id}"), "`perimeterd journal` lists events");
        let decision = Box::new(store.decision(id).await?.ok_or_else(missing)?);
        return Ok(Explained::Decision { decision });
    }
    if numbered('o') {
        return action(store, views::read_id(reference)?).await;
    }
    if numbered('p') || views::read_person(reference).is_some() {
        return member(store, reference).await;
    }
    let event = views::event(store, reference).await?;
    let filter = Filter { limit: 1000, entry: Some(event.id), ..Filter::default() };
    let mut decisions = store.decisions(filter).await?;
    decisions.reverse();
    Ok(Explained::Event { event, decisions })
}

/// An action is explained by the decision that asked for it.
async fn action(store: &dyn Store, id: OutboxId) -> Result<Explained, Refusal> {
    let just_it = Filter { limit: 1, before: Some(id.0.saturating_add(1)), ..Filter::default() };
    let row = store.outbox(just_it).await?.pop().filter(|row| row.id == id);
    let missing =
        || Refusal::missing(format!("there is no action {id}"), "`perimeterd outbox list` lists them");
    let asked_by = row.ok_or_else(missing)?.decision;
    let ours = || {
        Refusal::missing(
            format!("no decision asked for {id}: the daemon did it on its own account"),
            "`perimeterd outbox list` says what it was",
        )
    };
    let decision = Box::new(store.decision(asked_by).await?.ok_or_else(ours)?);
    Ok(Explained::Decision { decision })
}

/// Everything about a person.
async fn member(store: &dyn Store, reference: &str) -> Result<Explained, Refusal> {
    let stranger = || {
        Refusal::missing("we never met them", "check the number; a member hidden behind a LID needs …@lid")
    };
    let id = views::member_id(store, reference).await?.ok_or_else(stranger)?;
    let memberships = store.memberships(id).await?;
    let memberships = memberships.into_iter().map(|(group, member)| Membership { group, member }).collect();
    let filter = Filter { limit: MEMBER_DECISIONS, member: Some(id), ..Filter::default() };
    let record = store.record(id).await?;
    Ok(Explained::Member { record, memberships, decisions: store.decisions(filter).await? })
}

impl Explained {
    /// The text for people. Ages are counted to `now`.
    pub fn text(&self, now: Timestamp) -> String {
        let mut lines = Vec::new();
        let decisions: &[Decision] = match self {
            Self::Event { event, decisions } => {
                lines.extend(event_lines(event));
                decisions
            }
            Self::Decision { decision } => std::slice::from_ref(&**decision),
            Self::Member { record, memberships, decisions } => {
                lines.extend(record.as_ref().map(|record| record_line(record, now)));
                lines.extend(memberships.iter().flat_map(|membership| member_lines(membership, now)));
                if decisions.is_empty() {
                    lines.push("no decision about them yet".into());
                }
                decisions
            }
        };
        for decision in decisions {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            lines.extend(decision_lines(decision));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

fn event_lines(event: &EventView) -> Vec<String> {
    let EventView { id, session, received_at, .. } = event;
    let note = event.note.as_ref().map_or(String::new(), |note| format!(": {note}"));
    let mut lines = vec![
        format!("{id}  heard by {} on session {session}, received {received_at}", word(&event.source)),
        format!("  {}{note}", word(&event.state)),
    ];
    lines.extend(event.body.as_ref().map(|body| format!("  {body}")));
    lines
}

/// Who they are, and how we know.
fn record_line(record: &PersonRecord, now: Timestamp) -> String {
    let how = match (record.learnt, record.person) {
        (Some(Learnt { from, at }), _) => {
            let ago = format_duration(now.since(at));
            format!("phone and LID told by {} {at} ({ago} ago)", from.as_str())
        }
        (None, Person { phone: None, .. }) => "WhatsApp hides the phone".into(),
        (None, Person { lid: None, .. }) => "no LID was told".into(),
        (None, _) => "phone and LID".into(),
    };
    format!("{}  {}: {how}", record.id, who(Some(record.person), None))
}

fn member_lines(membership: &Membership, now: Timestamp) -> Vec<String> {
    let Membership { group, member } = membership;
    let ago = |then: Timestamp| format!("{then} ({} ago)", format_duration(now.since(then)));
    let presence = if member.present { member.role.as_str() } else { "no longer in it" };
    let mut lines = vec![format!(
        "{}  {} in {}: {presence}",
        member.id,
        who(Some(member.person), member.name.as_deref()),
        group_name(&group.subject, group.id.as_str()),
    )];
    if let Some(joined) = member.joined_at {
        let adopted = if member.adopted { ", was there before us" } else { "" };
        lines.push(format!(
            "  joined {} via {}{adopted}; {} time(s)",
            ago(joined),
            member.via.as_str(),
            member.joins
        ));
    }
    lines.push(format!("  {} message(s), removed by us {} time(s)", member.messages, member.removals));
    if !member.tags.is_empty() {
        lines.push(format!("  tags: {}", member.tags.join(", ")));
    }
    lines
}

/// What happened, why, and what became of it.
fn decision_lines(decision: &Decision) -> Vec<String> {
    let group = group_name(&decision.subject, decision.group.as_str());
    let mode = decision.mode.map_or(String::new(), |mode| format!(", {}", word(&mode)));
    let mut lines = vec![
        format!("{}  {} in {group}", decision.id, decision.hook.function()),
        format!("  event    {}, received {}", decision.entry, decision.received_at),
    ];
    if decision.member.is_some() {
        lines.push(format!("  member   {}", who(decision.member, decision.member_name.as_deref())));
    }
    if !decision.chain.is_empty() {
        lines.push(format!("  chain    {} (block {}{mode})", decision.chain.join(" -> "), decision.block));
    }
    match (decision.state, decision.decided_at) {
        (RunState::Pending, _) => lines.push("  pending  not decided yet".into()),
        (_, Some(at)) => lines.push(format!(
            "  {:<8} {at}, {} after it was received",
            if decision.state == RunState::Decided { "decided" } else { "failed" },
            format_duration(at.since(decision.received_at)),
        )),
        (_, None) => {}
    }
    if let Some(failure) = &decision.failure {
        lines.push(format!(
            "  policy error at {}:{}:{}: {}",
            failure.file, failure.line, failure.column, failure.message
        ));
        lines.push(format!("    | {}", failure.snippet));
        lines.push(format!("    mend the policy, then: perimeterd journal retry {}", decision.entry));
    }
    if !decision.verdict.evidence.is_empty() {
        lines.push("  facts read".into());
        let width = decision.verdict.evidence.iter().map(|e| e.fact.len()).max().unwrap_or(0);
        lines.extend(
            decision.verdict.evidence.iter().map(|fact| fact_line(fact, width, decision.received_at)),
        );
    }
    lines.extend(outcome_lines(decision));
    lines
}

/// A fact with value, source and age.
fn fact_line(fact: &Evidence, width: usize, received_at: Timestamp) -> String {
    let value = match &fact.value {
        _ if fact.unknown => "unknown".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let age = received_at.since(fact.as_of);
    let age = if age.is_zero() { String::new() } else { format!(", {} old", format_duration(age)) };
    let stale = if fact.stale { ", stale" } else { "" };
    format!("    {:<width$}  {value}  ({}{age}{stale})", fact.fact, fact.source)
}

/// What was asked for, by which line, and what became of it.
fn outcome_lines(decision: &Decision) -> Vec<String> {
    let mut rows: Vec<&Row> = decision.rows.iter().collect();
    let mut lines = Vec::new();
    for asked in &decision.verdict.asked {
        lines.push(asked_line(asked));
        let (mine, others) = rows.into_iter().partition(|row: &&Row| belongs(row, asked));
        rows = others;
        lines.extend(mine.into_iter().flat_map(row_lines));
    }
    if !rows.is_empty() {
        lines.push("  besides".into());
        lines.extend(rows.into_iter().flat_map(row_lines));
    }
    if decision.verdict.asked.is_empty() && decision.state == RunState::Decided {
        lines.push("  nothing was asked for".into());
    }
    if decision.verdict.look_again {
        lines.push("  a fact was unknown: it is looked at again once it is known".into());
    }
    lines
}

/// Whether a row came of what was asked there.
fn belongs(row: &Row, asked: &Asked) -> bool {
    let same_word = row.call.name() == asked.action.name() || matches!(asked.action, Action::Lockdown { .. });
    same_word && row.policy == asked.policy && row.line == asked.line
}

fn asked_line(asked: &Asked) -> String {
    let reason = if asked.reason.is_empty() { String::new() } else { format!("  \"{}\"", asked.reason) };
    let text = match &asked.action {
        Action::Tag { name, .. } | Action::Untag { name, .. } => format!(" {name}"),
        Action::Alert { text }
        | Action::Log { text }
        | Action::Say { text, .. }
        | Action::SetSubject { text, .. }
        | Action::SetDescription { text, .. }
        | Action::Dm { text, .. } => {
            format!(" \"{text}\"")
        }
        _ => String::new(),
    };
    let observed = if asked.observe { "  (this policy only observes)" } else { "" };
    format!("  {}:{} asked: {}{text}{reason}{observed}", asked.policy, asked.line, asked.action.name())
}

fn row_line(row: &Row) -> String {
    let attempts = if row.attempts > 1 { format!(" after {} attempts", row.attempts) } else { String::new() };
    let when = match row.settled_at {
        Some(at) => format!(" {at}"),
        None => format!(", not before {}", row.not_before),
    };
    let note = row.note.as_ref().map_or(String::new(), |note| format!(": {note}"));
    format!("    {} {} on {}: {}{when}{attempts}{note}", row.id, row.call.name(), row.session, row.state)
}

/// A row; of a removal that was made, also what taking it back needs.
fn row_lines(row: &Row) -> Vec<String> {
    let mut lines = vec![row_line(row)];
    let undo = row.removal.as_ref().and_then(|removal| removal.undo.as_ref());
    if let Some(undo) = undo.filter(|_| row.state == RowState::Done) {
        let invite = undo.invite.as_deref().unwrap_or("not known");
        let entered = undo.joined_at.map_or(String::new(), |at| format!(" since {at}"));
        let (jid, role, via) = (&undo.jid, undo.role.as_str(), undo.via.as_str());
        lines.push(format!("      to take it back: {jid}, {role}{entered} via {via}; invite: {invite}"));
    }
    lines
}

/// A person in full: these are the owner's own views.
fn who(person: Option<Person>, name: Option<&str>) -> String {
    let person = person.unwrap_or_default();
    let ids: Vec<_> = [person.phone.map(|phone| phone.e164()), person.lid.map(|lid| lid.jid())]
        .into_iter()
        .flatten()
        .collect();
    match name {
        Some(name) if !ids.is_empty() => format!("{name} ({})", ids.join(", ")),
        Some(name) => name.to_owned(),
        None if ids.is_empty() => "nobody".into(),
        None => ids.join(", "),
    }
}

fn group_name(subject: &str, id: &str) -> String {
    if subject.is_empty() { id.to_owned() } else { format!("{subject} ({id})") }
}

/// A fixed word as serde writes it.
fn word(value: &impl Serialize) -> String {
    let word = serde_json::to_value(value).ok();
    word.and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        action::Call,
        config::Mode,
        event::Hook,
        facts::Verdict,
        ids::{EntryId, GroupId, OutboxId, PersonId, Phone, SessionName},
    };

    fn removal(group: &GroupId) -> Decision {
        let received_at = Timestamp(1_700_000_000_000);
        let (person, member) = (Person::of_phone(Phone::parse("4915112345678").unwrap()), PersonId(3));
        Decision {
            id: DecisionId(7),
            entry: EntryId(12),
            hook: Hook::OnJoin,
            state: RunState::Decided,
            group: group.clone(),
            subject: "Club".into(),
            member: Some(person),
            member_name: Some("Ann".into()),
            member_id: Some(member),
            received_at,
            decided_at: Some(Timestamp(received_at.0 + 40)),
            chain: vec!["blacklist".into(), "subscribers".into()],
            mode: Some(Mode::Enforce),
            block: "club".into(),
            verdict: Verdict {
                asked: vec![Asked {
                    action: Action::Remove { group: group.clone(), member },
                    reason: "subscription ended".into(),
                    policy: "subscribers".into(),
                    line: 9,
                    observe: false,
                }],
                evidence: vec![Evidence {
                    fact: "member.subscription".into(),
                    value: "canceled".into(),
                    as_of: Timestamp(received_at.0 - 60_000),
                    source: "subscriptions.csv".into(),
                    readers: vec!["subscribers".into()],
                    unknown: false,
                    stale: false,
                }],
                ..Verdict::default()
            },
            failure: None,
            rows: vec![refused(group, person, received_at)],
        }
    }

    fn refused(group: &GroupId, person: Person, received_at: Timestamp) -> Row {
        Row {
            id: OutboxId(5),
            decision: DecisionId(7),
            session: SessionName::new("main"),
            call: Call::Remove { group: group.clone(), member: PersonId(3) },
            state: RowState::Refused,
            attempts: 0,
            created_at: received_at,
            not_before: received_at,
            expires_at: None,
            settled_at: Some(received_at),
            reason: "subscription ended".into(),
            policy: "subscribers".into(),
            line: 9,
            note: Some("an admin is never removed".into()),
            jid: person.jid(),
            name: None,
            person: Some(person),
            present: Some(true),
            wrote_to_us_at: None,
            removal: None,
            silences: 0,
            authority: crate::store::Authority::Admin,
        }
    }

    #[test]
    fn a_decision_tells_facts_line_and_what_became_of_it() {
        let decision = Box::new(removal(&GroupId::parse("120363000000000001@g.us").unwrap()));
        let text = Explained::Decision { decision }.text(Timestamp(1_700_000_100_000));
        let expected = "\
d7  on_join in Club (120363000000000001@g.us)
  event    e12, received 2023-11-14T22:13:20.000Z
  member   Ann (+4915112345678)
  chain    blacklist -> subscribers (block club, enforce)
  decided  2023-11-14T22:13:20.040Z, 40ms after it was received
  facts read
    member.subscription  canceled  (subscriptions.csv, 1m old)
  subscribers:9 asked: remove  \"subscription ended\"
    o5 remove on main: refused 2023-11-14T22:13:20.000Z: an admin is never removed
";
        assert_eq!(text, expected);
    }
}
