//! The delivery's side of the outbox: heads of the lanes, beginning and settling calls, taking up after a restart.

use super::{
    confirm, ledger, outbox,
    views::{self, ROW},
    words::Word,
};
use crate::{
    action::{Class, RowState},
    clock::Timestamp,
    ids::{OutboxId, SessionName},
    store::{CallId, Row, Settled, StoreError},
};
use rusqlite::{Connection, OptionalExtension, params};

/// Whether [`wake`] would change anything: time has opened a gate, or ended a row.
pub(super) fn sleeps(db: &Connection, session: &SessionName, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE gate = 'time' AND session = ?1 AND not_before <= ?2)
                   OR EXISTS (SELECT 1 FROM outbox WHERE state = 'waiting' AND expires_at IS NOT NULL
                              AND session = ?1 AND expires_at <= ?2)";
    Ok(db.prepare_cached(sql)?.query_row(params![session.as_str(), now.0], |row| row.get(0))?)
}

/// Lets time act: rows that were not due are, rows that waited too long expire.
pub(super) fn wake(db: &Connection, session: &SessionName, now: Timestamp) -> Result<(), StoreError> {
    let sql = "SELECT id FROM outbox WHERE state = 'waiting' AND expires_at IS NOT NULL AND session = ?
               AND expires_at <= ?";
    let mut select = db.prepare_cached(sql)?;
    let expired: Vec<i64> =
        select.query_map(params![session.as_str(), now.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for id in expired {
        // An earlier one of these may have taken it with it.
        if let Some(row) = outbox::head(db, OutboxId(id))?.filter(|row| row.state == RowState::Waiting) {
            outbox::end(db, &row, RowState::Expired, Some("waited too long to be worth sending"), now)?;
        }
    }
    let sql = "UPDATE outbox SET gate = 'open' WHERE gate = 'time' AND session = ? AND not_before <= ?";
    db.prepare_cached(sql)?.execute(params![session.as_str(), now.0])?;
    Ok(())
}

/// The best rows whose gate is open: for each class the first ones, then the best of all.
pub(super) fn heads(
    db: &Connection,
    session: &SessionName,
    classes: &[Class],
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Row>, StoreError> {
    let sql = "SELECT priority, id FROM outbox WHERE gate = 'open' AND session = ? AND class = ? AND not_before <= ?
               AND (expires_at IS NULL OR expires_at > ?3) ORDER BY priority, id LIMIT ?";
    let mut select = db.prepare_cached(sql)?;
    let mut best: Vec<(u8, i64)> = Vec::new();
    for class in classes {
        let asked = params![session.as_str(), class.word(), now.0, limit];
        for found in select.query_map(asked, |row| Ok((row.get(0)?, row.get(1)?)))? {
            best.push(found?);
        }
    }
    best.sort_unstable();
    best.dedup();
    best.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let ids: Vec<i64> = best.into_iter().map(|(_, id)| id).collect();
    views::rows_by_id(db, &ids)
}

/// The rows that go out with this welcome.
pub(super) fn welcome_batch(db: &Connection, id: OutboxId) -> Result<Vec<Row>, StoreError> {
    let sql = format!(
        "{ROW} WHERE o.kind = 'welcome' AND o.state = 'waiting' AND (o.group_id, o.session, o.not_before) = (
             SELECT group_id, session, not_before FROM outbox WHERE id = ?1 AND kind = 'welcome')
         AND o.call ->> 'text' IS (SELECT call ->> 'text' FROM outbox WHERE id = ?1) ORDER BY o.id"
    );
    let mut select = db.prepare_cached(&sql)?;
    let found = select.query_map([id.0], views::read_row)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// Removals whose outcome nobody knows and whose time to be looked at has come.
pub(super) fn unknown_removals(
    db: &Connection,
    session: &SessionName,
    now: Timestamp,
) -> Result<Vec<Row>, StoreError> {
    let sql = format!(
        "{ROW} WHERE o.kind = 'remove' AND o.state = 'unknown' AND o.session = ? AND o.not_before <= ?
         ORDER BY o.id"
    );
    let mut select = db.prepare_cached(&sql)?;
    let found =
        select.query_map(params![session.as_str(), now.0], views::read_row)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// When time will open the next gate of a session, or a doubtful removal is to be looked at.
pub(super) fn next_due(db: &Connection, session: &SessionName) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT min(due) FROM (
                   SELECT min(not_before) AS due FROM outbox WHERE gate = 'time' AND session = ?1
                   UNION ALL SELECT min(not_before) FROM outbox
                       WHERE kind = 'remove' AND state = 'unknown' AND session = ?1
                   UNION ALL SELECT min(not_before) FROM outbox WHERE confirm_at IS NOT NULL AND session = ?1)";
    let due = db.prepare_cached(sql)?.query_row([session.as_str()], |row| row.get(0))?;
    Ok(Option::<i64>::map(due, Timestamp))
}

/// Begins a call, or nothing at all if a row is no longer waiting.
pub(super) fn begin(
    db: &Connection,
    session: &SessionName,
    rows: &[OutboxId],
    classes: &[Class],
    ledger_now: Timestamp,
) -> Result<Option<CallId>, StoreError> {
    let mut waits = db.prepare_cached("SELECT 1 FROM outbox WHERE id = ? AND state = 'waiting'")?;
    for id in rows {
        if waits.query_row([id.0], |_| Ok(())).optional()?.is_none() {
            return Ok(None);
        }
    }
    let sql = "UPDATE outbox SET state = 'sending', gate = NULL, attempts = attempts + 1, sent_at = ?2 WHERE id = ?1";
    let mut send = db.prepare_cached(sql)?;
    for id in rows {
        send.execute([id.0, ledger_now.0])?;
    }
    ledger::begin(db, session, classes, ledger_now).map(Some)
}

/// Ends a call and settles its rows. A row that has reached its end meanwhile stays there.
pub(super) fn settle(
    db: &Connection,
    call: Option<CallId>,
    rows: &[(OutboxId, Settled)],
    now: Timestamp,
    ledger_now: Timestamp,
) -> Result<(), StoreError> {
    if let Some(call) = call {
        ledger::end(db, call, ledger_now)?;
    }
    for (id, settled) in rows {
        settle_one(db, *id, settled, now, ledger_now)?;
    }
    Ok(())
}

fn settle_one(
    db: &Connection,
    id: OutboxId,
    settled: &Settled,
    now: Timestamp,
    ledger_now: Timestamp,
) -> Result<(), StoreError> {
    let Some(row) = outbox::head(db, id)? else { return Ok(()) };
    let once = row.call.is_once();
    let live = match row.state {
        RowState::Waiting | RowState::Held | RowState::Sending => true,
        // What may have reached people, or made a group, is never sent again.
        RowState::Unknown => !(once && settled.state == RowState::Waiting),
        _ => false,
    };
    if !live {
        return match &settled.note {
            Some(said) if (row.state, settled.state) == (RowState::Done, RowState::Unknown) => {
                outbox::doubted_late(db, &row, said)
            }
            _ => Ok(()),
        };
    }
    if row.state == RowState::Sending && !settled.counts {
        db.prepare_cached("UPDATE outbox SET attempts = attempts - 1 WHERE id = ?")?.execute([id.0])?;
    }
    let note = settled.note.as_deref();
    let later = settled.not_before.unwrap_or(ledger_now);
    match settled.state {
        RowState::Waiting => outbox::wait(db, id, later, note, ledger_now),
        RowState::Unknown => outbox::doubt(db, &row, later, note, now),
        RowState::Held => outbox::hold(db, id, note),
        RowState::Sending => Err(StoreError::Broken(format!("{id} cannot be settled as sending"))),
        state => {
            outbox::end(db, &row, state, note, now)?;
            let look_at = settled.not_before.filter(|_| row.call.class() == Class::Remove);
            let Some(look_at) = look_at.filter(|_| state == RowState::Done) else { return Ok(()) };
            confirm::begin(db, id, look_at, now + look_at.since(ledger_now))
        }
    }
}

/// Takes up what was under way when we died.
pub(super) fn recover(db: &Connection, now: Timestamp, ledger_now: Timestamp) -> Result<(), StoreError> {
    ledger::end_all(db, ledger_now)?;
    let mut select = db.prepare_cached("SELECT id FROM outbox WHERE state = 'sending' ORDER BY id")?;
    let ids: Vec<i64> = select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let note = Some("the daemon stopped while the call was under way");
    for id in ids {
        let Some(row) = outbox::head(db, OutboxId(id))? else { continue };
        if matches!(row.call.class(), Class::Settings | Class::Add) {
            outbox::wait(db, row.id, ledger_now, note, ledger_now)?;
        } else {
            outbox::doubt(db, &row, ledger_now, note, now)?;
        }
    }
    Ok(())
}

/// The gateway is back: rows that wait because it failed are due.
pub(super) fn hasten(db: &Connection, session: &SessionName, now: Timestamp) -> Result<usize, StoreError> {
    let sql = "UPDATE outbox SET not_before = ?2, gate = 'open'
               WHERE gate = 'time' AND session = ?1 AND not_before > ?2 AND attempts > 0";
    Ok(db.prepare_cached(sql)?.execute(params![session.as_str(), now.0])?)
}
