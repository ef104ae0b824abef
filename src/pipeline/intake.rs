//! From journal entries to readings: vendor JSON is translated, our own entries are read back, and what no
//! `[[groups]]` block guards is left alone. Pure.

use crate::{
    config::Config,
    event::{Event, EventKind},
    ids::{GroupId, Person},
    store::{Entry, OwnSession, Reading, Source},
    wawp::translate::{self, Context},
};

/// Reads one entry.
pub(super) fn read(entry: &Entry, config: &Config, own: &[OwnSession]) -> Reading {
    let events = match entry.source {
        Source::Webhook => {
            let everyone: Vec<Person> = own.iter().map(|session| session.me).collect();
            let me = own.iter().find(|session| session.name == entry.session).map(|session| session.me);
            let context = Context {
                session: &entry.session,
                received_at: entry.received_at,
                own: &everyone,
                me: me.unwrap_or_default(),
            };
            translate::translate(&entry.body, &context).map_err(|unreadable| unreadable.to_string())
        }
        Source::Timer | Source::Roster | Source::Sweep => {
            serde_json::from_slice::<Event>(&entry.body).map(|event| vec![event]).map_err(|e| e.to_string())
        }
    };
    match events {
        Err(why) => Reading::Unreadable(why),
        Ok(events) => guarded(events, config),
    }
}

/// Keeps what matters: events of guarded groups, private messages, session states.
fn guarded(events: Vec<Event>, config: &Config) -> Reading {
    let mut skipped = "nothing in it concerns us".to_string();
    let kept: Vec<Event> = events
        .into_iter()
        .filter(|event| match &event.kind {
            EventKind::Ignored { name } => {
                skipped = format!("`{name}` needs no action");
                false
            }
            kind => match group_of(kind) {
                Some(group) if config.group_for(group.as_str()).is_none() => {
                    skipped = format!("no [[groups]] block matches {group}");
                    false
                }
                _ => true,
            },
        })
        .collect();
    if kept.is_empty() { Reading::Nothing(skipped) } else { Reading::Events(kept) }
}

/// The group an event is about, if it is about one.
fn group_of(kind: &EventKind) -> Option<&GroupId> {
    match kind {
        EventKind::Joined { group, .. }
        | EventKind::Left { group, .. }
        | EventKind::RolesChanged { group, .. }
        | EventKind::SelfLeft { group }
        | EventKind::MembershipUnclear { group }
        | EventKind::GroupMessage { group, .. } => Some(group),
        EventKind::SelfJoined { group }
        | EventKind::GroupChanged { group, .. }
        | EventKind::Roster { group } => Some(&group.id),
        // Ours: a lockdown is released, a recheck looked at and a sweep moved on even if the block was renamed meanwhile.
        EventKind::LockdownDue { .. } | EventKind::Recheck { .. } | EventKind::Sweep { .. } => None,
        EventKind::DirectMessage { .. }
        | EventKind::SessionStatus { .. }
        | EventKind::Restricted { .. }
        | EventKind::Canary { .. }
        | EventKind::Met { .. }
        | EventKind::Ignored { .. } => None,
    }
}
