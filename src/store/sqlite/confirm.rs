//! Removals that were answered as done: did they take effect? The leave event tells; where none comes, a roster.
//!
//! Engines drop ids silently and say 200 all the same (`whatsapp-reality.md` §3.1), so a removal stays unconfirmed until
//! somebody else than the answer says that the person is out. A roster counts from the row's `confirm_at` on: gateways keep
//! rosters in caches, and an old one still lists whoever was put out since.

use super::{
    members::{self, At},
    outbox,
    words::Columns,
};
use crate::{
    clock::Timestamp,
    event::Participant,
    ids::{GroupId, OutboxId, PersonId, SessionName},
    store::StoreError,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::{collections::HashSet, time::Duration};

/// What nobody could confirm for so long stays as it was answered: we may no longer be in the group.
const GIVE_UP: Duration = Duration::from_secs(24 * 3600);

/// A removal was answered as done. Unless its leave was told already a roster is to be read at `look_at` (schedule time)
/// that was taken at `confirm_at` (wall clock) or later.
pub(super) fn begin(
    db: &Connection,
    id: OutboxId,
    look_at: Timestamp,
    confirm_at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE outbox SET not_before = ?2, confirm_at = ?3
               WHERE id = ?1 AND state = 'done' AND EXISTS (SELECT 1 FROM members m
                   WHERE m.group_id = outbox.group_id AND m.person_id = outbox.person_id AND m.removal_open)";
    db.prepare_cached(sql)?.execute([id.0, look_at.0, confirm_at.0])?;
    Ok(())
}

/// Somebody said that they are out, or that they came back: nothing is open any more.
pub(super) fn close(db: &Connection, at: At) -> Result<(), StoreError> {
    let sql = "UPDATE outbox SET confirm_at = NULL
               WHERE confirm_at IS NOT NULL AND group_id = ? AND person_id = ?";
    db.prepare_cached(sql)?.execute([at.group, at.person.0])?;
    Ok(())
}

/// Whether [`look`] would do anything.
pub(super) fn is_due(db: &Connection, session: &SessionName, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE confirm_at IS NOT NULL AND session = ? AND not_before <= ?)";
    Ok(db.prepare_cached(sql)?.query_row(params![session.as_str(), now.0], |row| row.get(0))?)
}

/// The groups whose rosters are to be read now. Everything unconfirmed in them is looked at next at `again`: one roster
/// answers for all, and however many there are, no group is read more often.
pub(super) fn look(
    db: &Connection,
    session: &SessionName,
    now: Timestamp,
    again: Timestamp,
) -> Result<Vec<GroupId>, StoreError> {
    let sql = "UPDATE outbox SET confirm_at = NULL
               WHERE confirm_at IS NOT NULL AND session = ? AND not_before <= ? AND confirm_at < ?";
    db.prepare_cached(sql)?.execute(params![session.as_str(), now.0, (now - GIVE_UP).0])?;
    let sql = "SELECT DISTINCT g.id, g.jid FROM outbox o JOIN groups g ON g.id = o.group_id
               WHERE o.confirm_at IS NOT NULL AND o.session = ? AND o.not_before <= ? ORDER BY g.id";
    let mut select = db.prepare_cached(sql)?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>("id")?, row.group("jid")?));
    let due: Vec<_> = select.query_map(params![session.as_str(), now.0], read)?.collect::<Result<_, _>>()?;
    let sql = "UPDATE outbox SET not_before = ?3
               WHERE confirm_at IS NOT NULL AND session = ?1 AND group_id = ?2 AND not_before < ?3";
    for (group, _) in &due {
        db.prepare_cached(sql)?.execute(params![session.as_str(), group, again.0])?;
    }
    Ok(due.into_iter().map(|(_, jid)| jid).collect())
}

/// What it means that a roster lists somebody whom we removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// Nothing of ours: no removal of theirs is unconfirmed.
    Unrelated,
    /// The roster may be an old one.
    TooEarly,
    /// The removal had no effect; it waits to be made again, and they are in as before.
    Undone,
}

/// A roster taken at `moment` lists them.
pub(super) fn listed(
    db: &Connection,
    at: At,
    who: &Participant,
    moment: Timestamp,
) -> Result<Listed, StoreError> {
    let sql = "SELECT id, confirm_at, created_at, note FROM outbox
               WHERE confirm_at IS NOT NULL AND group_id = ? AND person_id = ? ORDER BY id DESC LIMIT 1";
    let read = |row: &rusqlite::Row<'_>| {
        let note: Option<String> = row.get("note")?;
        Ok((OutboxId(row.get("id")?), row.time("confirm_at")?, row.time("created_at")?, note))
    };
    let found = db.prepare_cached(sql)?.query_row([at.group, at.person.0], read).optional()?;
    let known = members::load(db, at)?;
    let Some((id, confirm_at, created, note)) = found.filter(|_| !known.present && known.removal_open) else {
        return Ok(Listed::Unrelated);
    };
    if moment < confirm_at {
        return Ok(Listed::TooEarly);
    }
    close(db, at)?;
    members::still_in(db, at, who, moment)?;
    db.prepare_cached("UPDATE outbox SET silences = silences + 1 WHERE id = ?")?.execute([id.0])?;
    let note = outbox::noted(note.as_deref(), "it was answered as done, but the roster still lists them");
    // Schedule time, which `moment` is not: a moment that is surely over.
    outbox::wait(db, id, created, Some(&note), created)?;
    Ok(Listed::Undone)
}

/// A roster taken at `moment` lists these people: whose removal it can tell of, and who is not among them, is out.
pub(super) fn confirmed(
    db: &Connection,
    group: i64,
    listed: &HashSet<PersonId>,
    moment: Timestamp,
) -> Result<(), StoreError> {
    let sql =
        "SELECT person_id FROM outbox WHERE confirm_at <= ?2 AND group_id = ?1 AND person_id IS NOT NULL";
    let mut select = db.prepare_cached(sql)?;
    let due: Vec<i64> = select.query_map([group, moment.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for person in due.into_iter().map(PersonId).filter(|person| !listed.contains(person)) {
        close(db, At { group, person })?;
    }
    Ok(())
}
