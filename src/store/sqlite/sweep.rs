//! Sweeps: the members of a group are looked at again, some at a time.
//!
//! Each step is a journal entry that appends the next one in its own commit: a stop in between loses nothing, and what
//! else the journal holds comes in between. Whoever has a run pending is passed over: that run will see the same facts.

use super::{
    apply::{Outcome, Step},
    groups, journal,
    words::to_json,
};
use crate::{
    event::{Event, EventKind, Hook},
    ids::{GroupId, PersonId},
    store::{NewEntry, Source, StoreError},
};
use rusqlite::{Connection, OptionalExtension, params};

/// Members looked at in one step.
const STEP: u32 = 200;

/// What the lists said when everybody was looked at last.
pub(super) fn last(db: &Connection) -> Result<Option<String>, StoreError> {
    let mut select = db.prepare_cached("SELECT state FROM swept")?;
    Ok(select.query_row([], |row| row.get(0)).optional()?)
}

/// Everybody is looked at now.
pub(super) fn keep(db: &Connection, state: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO swept (one, state) VALUES (1, ?) ON CONFLICT DO UPDATE SET state = excluded.state";
    db.prepare_cached(sql)?.execute([state])?;
    Ok(())
}

impl Step<'_> {
    /// Makes a run for each of the next members after that one, and appends the step that follows.
    pub(super) fn sweep(&mut self, event: &Event, jid: &GroupId, after: Option<PersonId>) -> Outcome {
        let Some(group) = groups::find(self.db, jid)?.filter(|group| group.adopted) else {
            return Ok(Some("its first roster is not read yet".into()));
        };
        let sql = "SELECT m.person_id, EXISTS (SELECT 1 FROM decisions d WHERE d.person_id = m.person_id
                       AND d.group_id = m.group_id AND d.state = 'pending') FROM members m
                   JOIN people p ON p.id = m.person_id
                   WHERE m.group_id = ? AND m.person_id > ? AND m.present AND NOT p.is_own
                   ORDER BY m.person_id LIMIT ?";
        let mut select = self.db.prepare_cached(sql)?;
        let read = |row: &rusqlite::Row<'_>| Ok((PersonId(row.get(0)?), row.get(1)?));
        let given = params![group.id, after.map_or(0, |id| id.0), STEP];
        let members: Vec<(PersonId, bool)> = select.query_map(given, read)?.collect::<Result<_, _>>()?;
        for (member, pending) in &members {
            if !pending {
                self.run(event, Hook::OnSweep, group.id, Some(*member), 0)?;
            }
        }
        match members.last() {
            Some((last, _)) if members.len() == STEP as usize => self.sweep_on(event, jid, *last)?,
            _ => {}
        }
        Ok(members.is_empty().then(|| "nobody (else) is in it".into()))
    }

    fn sweep_on(&self, event: &Event, jid: &GroupId, last: PersonId) -> Result<(), StoreError> {
        let kind = EventKind::Sweep { group: jid.clone(), after: Some(last) };
        let next = Event { kind, ..event.clone() };
        let entry = NewEntry {
            session: event.session.clone(),
            source: Source::Sweep,
            // The entry's number is used up with this commit.
            key: format!("{}\0sweep after {}", event.session, self.entry.0).into_bytes(),
            body: to_json(&next)?.into(),
            received_at: self.received_at,
        };
        journal::append(self.db, &[entry]).map(drop)
    }
}
