//! How decisions and rows are said to people: short phrases, pure.

use crate::{
    action::{Action, Asked, Call, RowState},
    clock::format_duration,
    store::{Decision, Row, RunState},
};

/// One line of a decision: what, and which line of which policy asked for it.
pub(super) struct Phrase {
    pub(super) text: String,
    pub(super) place: String,
}

/// A decision in lines; never empty.
pub(super) fn decision(decision: &Decision) -> Vec<Phrase> {
    if let (RunState::PolicyError, Some(failure)) = (decision.state, &decision.failure) {
        let place = format!("{}:{}", failure.file, failure.line);
        return vec![Phrase { text: format!("parked, the policy failed: {}", failure.message), place }];
    }
    let asked = &decision.verdict.asked;
    let mut phrases: Vec<Phrase> = asked.iter().filter_map(|one| phrase(one, asked)).collect();
    let unknown = unknown_facts(decision);
    if !unknown.is_empty() && decision.verdict.final_action().is_none() {
        let text = format!("unknown: {}; looked at again later", unknown.join(", "));
        phrases.insert(0, Phrase { text, place: String::new() });
    }
    if phrases.is_empty() {
        phrases.push(Phrase { text: "nothing to do".into(), place: String::new() });
    }
    phrases
}

/// Facts that the run read and nobody knew, each once.
pub(super) fn unknown_facts(decision: &Decision) -> Vec<&str> {
    let mut facts: Vec<&str> =
        decision.verdict.evidence.iter().filter(|e| e.unknown).map(|e| e.fact.as_str()).collect();
    facts.dedup();
    facts
}

fn phrase(asked: &Asked, all: &[Asked]) -> Option<Phrase> {
    let removed = all.iter().any(|other| matches!(other.action, Action::Remove { .. }));
    let text = match &asked.action {
        Action::Remove { .. } => {
            let told = all.iter().any(|other| matches!(other.action, Action::Dm { .. }));
            let told = if told { "; then told why" } else { "" };
            format!("to be removed: {}{told}", asked.reason)
        }
        Action::Admit => format!("admitted: {}", asked.reason),
        Action::Welcome { .. } => "stays, to be welcomed".into(),
        Action::Dm { .. } if removed => return None,
        Action::Dm { .. } => "to be written to".into(),
        Action::Say { text, .. } => format!("to be said: {text}"),
        Action::Lockdown { lasts, .. } => {
            let lasts = lasts.map(|lasts| format!(" for {}", format_duration(lasts))).unwrap_or_default();
            format!("lockdown{lasts}: {}", asked.reason)
        }
        Action::AnnounceOnly { on, .. } => format!("announce-only {}", if *on { "on" } else { "off" }),
        Action::RevokeInvite { .. } => "a new invite link".into(),
        Action::SetSubject { text, .. } => format!("to be named {text}"),
        Action::SetDescription { .. } => "to be described anew".into(),
        Action::LockInfo { on, .. } => format!("info {}", if *on { "locked" } else { "open" }),
        Action::Add { .. } => "to be added".into(),
        Action::CreateGroup { subject, .. } => format!("a new group: {subject}"),
        Action::BlacklistLocally { .. } => format!("onto the local list: {}", asked.reason),
        Action::Alert { text } => format!("you are told: {text}"),
        Action::Tag { .. } | Action::Untag { .. } | Action::Log { .. } => return None,
    };
    Some(Phrase { text, place: place(&asked.policy, asked.line) })
}

/// `subscribers:12`, or nothing where no policy asked.
pub(super) fn place(policy: &str, line: u32) -> String {
    if policy.is_empty() { String::new() } else { format!("{policy}:{line}") }
}

/// What became of an action.
pub(super) fn row(row: &Row) -> String {
    let note = row.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
    match (&row.call, row.state) {
        (Call::Remove { .. }, RowState::Done) => format!("removed{}", after(row)),
        (Call::Dm { .. }, RowState::Done) => format!("told privately{}", after(row)),
        (Call::Welcome { .. }, RowState::Done) => "welcomed".into(),
        (Call::Say { .. }, RowState::Done) => "said".into(),
        (Call::AnnounceOnly { on: true, .. }, RowState::Done) => "locked: only admins may write".into(),
        (Call::AnnounceOnly { on: false, .. }, RowState::Done) => {
            let why = if row.reason.is_empty() { String::new() } else { format!(" ({})", row.reason) };
            format!("open again: everybody may write{why}")
        }
        (Call::SetSubject { text, .. }, RowState::Done) => format!("its name is {text}"),
        (Call::RevokeInvite { .. }, RowState::Done) => "the old invite link is dead".into(),
        (call, state) => format!("{} {state}{note}", call.name().replace('_', " ")),
    }
}

/// How long it took, where that is worth a word.
fn after(row: &Row) -> String {
    let waited = row.settled_at.map(|at| at.since(row.created_at)).unwrap_or_default();
    if waited.as_secs() < 3 {
        return String::new();
    }
    format!(", after {} s in line", waited.as_secs())
}
