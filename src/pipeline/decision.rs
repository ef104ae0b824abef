//! From what a chain asked for to what is committed: outbox rows, effects, the next look. Pure.

use super::guard::{self, Rail};
use crate::{
    action::{Action, Asked, Call, RowState},
    brake,
    clock::Timestamp,
    config::{self, Mode},
    event::{Role, Via},
    facts::{Lookup, MemberFacts, Verdict},
    group_info::MOST_ANSWERS,
    ids::SessionName,
    policy::PolicyError,
    store::{Effect, Failure, NewRow, RunInput, RunRecord, RunState},
};
use std::time::Duration;

/// WhatsApp refuses longer texts (wawp-api.md §4).
const LONGEST_TEXT: usize = 4096;

/// When a run that met an unknown fact is looked at again (DESIGN §7).
const LOOKS: [Duration; 7] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(4 * 3600),
    Duration::from_secs(12 * 3600),
    Duration::from_secs(24 * 3600),
];

/// Everything but the verdict that shapes a decision.
pub(super) struct Case<'a> {
    pub(super) input: &'a RunInput,
    pub(super) block: &'a config::Group,
    /// What the allowlist says of the member.
    pub(super) allowlisted: Lookup<bool>,
    /// The session that acts.
    pub(super) acting: SessionName,
    /// From the first join.
    pub(super) welcome_window: Duration,
    /// Who is established, and how many of them may go.
    pub(super) brake: config::Brake,
    /// Some policy of the chain defines `on_sweep`.
    pub(super) can_look_again: bool,
    /// Schedule time.
    pub(super) now: Timestamp,
}

/// The first configured session that is admin in the group; without one the first that is in it; else who heard it.
pub(super) fn acting_session(configured: &[config::Session], input: &RunInput) -> SessionName {
    let there = |wanted: fn(Role) -> bool| {
        configured.iter().find(|session| {
            input.group.sessions.iter().any(|(name, role)| *name == session.name && wanted(*role))
        })
    };
    there(Role::is_admin)
        .or_else(|| there(|_| true))
        .map_or_else(|| input.session.clone(), |session| session.name.clone())
}

/// The record of a run that came to a verdict.
pub(super) fn decided(case: &Case<'_>, verdict: Verdict) -> RunRecord {
    let mut record = blank(case, RunState::Decided);
    let removals: Vec<&Asked> = removals(&verdict).collect();
    record.rows.extend(removals.iter().map(|asked| removal(case, asked)));
    let awaited = record.rows.iter().position(|row| row.state != RowState::Observed);
    for asked in &verdict.asked {
        match row_call(asked) {
            Some(call) => {
                let mut row = row(case, asked, call);
                follow_removal(&mut row, &record.rows, awaited, case);
                record.rows.push(row);
                record.rows.extend(invitation(case, asked, record.rows.len() - 1));
            }
            None => record.effects.extend(effect(case, asked)),
        }
    }
    stop_insisting(case, &mut record);
    if verdict.look_again && case.can_look_again {
        record.recheck_at = LOOKS.get(case.input.round as usize).map(|wait| case.now + *wait);
    }
    record.verdict = verdict;
    record
}

/// Somebody who changes a thing again and again does not give in, and may be another guard: from a certain number of
/// answers on the change stands, and people decide.
fn stop_insisting(case: &Case<'_>, record: &mut RunRecord) {
    let Some(change) = case.input.change.as_ref().filter(|change| change.answered >= MOST_ANSWERS) else {
        return;
    };
    let what = change.what.as_str();
    let answers = |row: &&mut NewRow| row.call.sets().is_some_and(|(aspect, _)| aspect == change.what);
    let mut stopped = false;
    for row in record.rows.iter_mut().filter(|row| row.state == RowState::Waiting).filter(answers) {
        row.state = RowState::Refused;
        row.note = Some(format!("guard rail: {what} was set {MOST_ANSWERS} times within the hour already"));
        stopped = true;
    }
    if stopped {
        record.effects.push(Effect::Alert {
            kind: "group_changed".into(),
            key: format!("{} insists {what}", case.input.group.id.as_str()),
            text: format!(
                "{}: {what} is changed again and again; after {MOST_ANSWERS} answers within an hour it is left as it is, \
                 please look who does that",
                case.input.group.subject
            ),
        });
    }
}

/// The record of a run that failed: no action, parked, the operator told.
pub(super) fn failed(case: &Case<'_>, error: &PolicyError) -> RunRecord {
    let mut record = blank(case, RunState::PolicyError);
    record.effects.push(Effect::Alert {
        kind: "policy_error".into(),
        key: format!("{}:{}", error.file, error.line),
        text: format!(
            "a policy failed and the event is parked: {}; mend it, then `perimeterd journal retry {}`",
            error.render(),
            case.input.entry
        ),
    });
    record.failure = Some(Failure {
        message: error.message.clone(),
        file: error.file.clone(),
        line: error.line,
        column: error.column,
        snippet: error.snippet.clone(),
    });
    record
}

fn blank(case: &Case<'_>, state: RunState) -> RunRecord {
    RunRecord {
        id: case.input.id,
        state,
        chain: case.block.chain.iter().map(|link| link.policy.clone()).collect(),
        mode: case.block.mode,
        block: case.block.name.clone(),
        verdict: Verdict::default(),
        failure: None,
        decided_at: case.now,
        rows: Vec::new(),
        effects: Vec::new(),
        recheck_at: None,
        hidden: case.input.member.as_ref().is_some_and(|member| member.person.phone.is_none()),
    }
}

fn removals(verdict: &Verdict) -> impl Iterator<Item = &Asked> {
    verdict.asked.iter().filter(|asked| matches!(asked.action, Action::Remove { .. }))
}

/// A removal's row, past the guard rails.
fn removal(case: &Case<'_>, asked: &Asked) -> NewRow {
    let Action::Remove { group, member } = &asked.action else {
        unreachable!("only removals are passed here")
    };
    let mut row = row(case, asked, Call::Remove { group: group.clone(), member: *member });
    if let Some(facts) = &case.input.member
        && let Rail::Refused(why) = guard::judge(case.input, facts, &case.allowlisted)
    {
        row.state = RowState::Refused;
        row.note = Some(why);
    }
    row.brake = case.input.member.as_ref().and_then(|facts| counted(case, facts));
    row
}

/// What the brake lets through, if it counts the removal of that member.
fn counted(case: &Case<'_>, member: &MemberFacts) -> Option<brake::Terms> {
    let config::Brake { established_after, max, share } = case.brake;
    brake::is_established(case.input.hook, member, established_after, case.now).then_some(brake::Terms {
        max: max.calls,
        window: max.length,
        share,
    })
}

/// A private message to the person who is being removed follows the removal and shares its fate.
fn follow_removal(row: &mut NewRow, rows: &[NewRow], awaited: Option<usize>, case: &Case<'_>) {
    let to_the_member =
        matches!(&row.call, Call::Dm { to, .. } if Some(*to) == case.input.member.as_ref().map(|m| m.id));
    let Some(index) = awaited.filter(|_| to_the_member && row.state == RowState::Waiting) else { return };
    if rows[index].state == RowState::Refused {
        row.state = RowState::Cancelled;
        row.note = Some("the removal it was to follow was refused".into());
    } else {
        row.after = Some(index);
    }
}

/// The invitation that follows the addition at `index` if that is refused.
fn invitation(case: &Case<'_>, asked: &Asked, index: usize) -> Option<NewRow> {
    let Action::Add { group, phone, invite: true } = &asked.action else { return None };
    let call = Call::Invite { group: group.clone(), phone: *phone };
    Some(NewRow { after: Some(index), ..row(case, asked, call) })
}

/// The call of an action, except removals (they come first) and what is no call.
fn row_call(asked: &Asked) -> Option<Call> {
    Some(match asked.action.clone() {
        Action::Dm { to, text } => Call::Dm { to, text },
        Action::Welcome { group, member, text } => Call::Welcome { group, member, text },
        Action::Say { group, text, mentions } => Call::Say { group, text, mentions },
        Action::AnnounceOnly { group, on } => Call::AnnounceOnly { group, on },
        Action::RevokeInvite { group } => Call::RevokeInvite { group },
        Action::SetSubject { group, text } => Call::SetSubject { group, text },
        Action::SetDescription { group, text } => Call::SetDescription { group, text },
        Action::LockInfo { group, on } => Call::LockInfo { group, on },
        Action::Add { group, phone, .. } => Call::Add { group, phone },
        Action::CreateGroup { subject, members, admins, description } => {
            Call::CreateGroup { subject, members, admins, description }
        }
        Action::Remove { .. }
        | Action::Admit
        | Action::Tag { .. }
        | Action::Untag { .. }
        | Action::BlacklistLocally { .. }
        | Action::Lockdown { .. }
        | Action::Alert { .. }
        | Action::Log { .. } => return None,
    })
}

fn row(case: &Case<'_>, asked: &Asked, call: Call) -> NewRow {
    let observe = asked.observe || case.block.mode == Mode::Observe;
    let not_before =
        if matches!(call, Call::Welcome { .. }) { case.now + case.welcome_window } else { case.now };
    let mut row = NewRow {
        state: if observe { RowState::Observed } else { RowState::Waiting },
        session: case.acting.clone(),
        not_before,
        expires_at: call.lifetime().map(|lifetime| not_before + lifetime),
        after: None,
        reason: asked.reason.clone(),
        policy: asked.policy.clone(),
        line: asked.line,
        note: None,
        brake: None,
        call,
    };
    if let Some((state, why)) = unsendable(case, &row.call) {
        row.state = state;
        row.note = Some(why);
    }
    row
}

/// Why a message is not even to wait.
fn unsendable(case: &Case<'_>, call: &Call) -> Option<(RowState, String)> {
    let reconciled = case.input.member.as_ref().is_some_and(|member| member.via == Via::Reconciled);
    match call {
        Call::Welcome { .. } if reconciled => {
            Some((RowState::Cancelled, "found by reconciliation, not fresh: no welcome".into()))
        }
        Call::Dm { text, .. } | Call::Say { text, .. } | Call::Welcome { text: Some(text), .. }
            if text.chars().count() > LONGEST_TEXT =>
        {
            Some((RowState::Refused, format!("WhatsApp takes at most {LONGEST_TEXT} characters in a text")))
        }
        _ => None,
    }
}

/// What an action changes in our own memory.
fn effect(case: &Case<'_>, asked: &Asked) -> Option<Effect> {
    let observe = asked.observe || case.block.mode == Mode::Observe;
    match asked.action.clone() {
        Action::Tag { member, name, lasts } => {
            Some(Effect::Tag { member, name, until: lasts.map(|lasts| case.now + lasts) })
        }
        Action::Untag { member, name } => Some(Effect::Untag { member, name }),
        // Unlike a word about somebody, a place on a list is felt elsewhere: where only is observed it is only recorded.
        Action::BlacklistLocally { .. } if observe => None,
        Action::BlacklistLocally { member, lasts } => Some(Effect::ListLocally {
            member,
            reason: asked.reason.clone(),
            policy: asked.policy.clone(),
            until: lasts.map(|lasts| case.now + lasts),
        }),
        Action::Lockdown { group, lasts } => Some(Effect::Lockdown {
            until: case.now + lasts.unwrap_or_default(),
            session: case.acting.clone(),
            observe,
            rows: vec![
                row(case, asked, Call::AnnounceOnly { group: group.clone(), on: true }),
                row(case, asked, Call::RevokeInvite { group: group.clone() }),
            ],
            group,
        }),
        Action::Alert { text } => Some(Effect::Alert {
            kind: "policy".into(),
            key: format!("{} {}:{}", case.input.group.id.as_str(), asked.policy, asked.line),
            text: format!("{} [{}]: {text}", case.input.group.subject, asked.policy),
        }),
        Action::Remove { .. }
        | Action::Admit
        | Action::Dm { .. }
        | Action::Welcome { .. }
        | Action::Say { .. }
        | Action::AnnounceOnly { .. }
        | Action::RevokeInvite { .. }
        | Action::SetSubject { .. }
        | Action::SetDescription { .. }
        | Action::LockInfo { .. }
        | Action::Add { .. }
        | Action::CreateGroup { .. }
        | Action::Log { .. } => None,
    }
}
