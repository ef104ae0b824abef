//! Timers: set by decisions, fired into the journal, and what a fired one does there (rechecks, the end of a lockdown).

use super::{
    apply::{Outcome, Step},
    enqueue, groups, members, outbox, raid,
    words::{Columns, to_json},
};
use crate::{
    action::{Call, RowState},
    clock::Timestamp,
    event::{Event, EventKind, Hook},
    ids::{DecisionId, GroupId, OutboxId, Person, PersonId, SessionName},
    store::{Effect, NewEntry, NewRow, Source, StoreError},
};
use rusqlite::{Connection, OptionalExtension, params};

/// Timers fired in one commit at most.
const BATCH: u32 = 1000;

fn set(
    db: &Connection,
    kind: &str,
    event: &Event,
    decision: Option<DecisionId>,
    group: Option<i64>,
) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO timers (due_at, kind, session, decision_id, group_id, event) VALUES (?, ?, ?, ?, ?, ?)";
    db.prepare_cached(sql)?.execute(params![
        event.at.0,
        kind,
        event.session.as_str(),
        decision.map(|id| id.0),
        group,
        to_json(event)?
    ])?;
    Ok(())
}

/// A run is to be looked at again.
pub(super) fn look_again(
    db: &Connection,
    session: &SessionName,
    decision: DecisionId,
    round: u32,
    at: Timestamp,
) -> Result<(), StoreError> {
    let kind = EventKind::Recheck { decision, round };
    set(
        db,
        "recheck",
        &Event { session: session.clone(), at, me: Person::default(), kind },
        Some(decision),
        None,
    )
}

/// Turns due timers into journal entries.
pub(super) fn fire(db: &Connection, now: Timestamp) -> Result<(usize, Option<Timestamp>), StoreError> {
    let mut select = db.prepare_cached(
        "SELECT id, session, event FROM timers WHERE due_at <= ? ORDER BY due_at, id LIMIT ?",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, i64>("id")?, row.session("session")?, row.get::<_, String>("event")?))
    };
    let due: Vec<_> = select.query_map(params![now.0, BATCH], read)?.collect::<Result<_, _>>()?;
    let mut entries = Vec::with_capacity(due.len());
    for (id, session, event) in due {
        db.prepare_cached("DELETE FROM timers WHERE id = ?")?.execute([id])?;
        let key = format!("{session}\0timer {id}").into_bytes();
        entries.push(NewEntry { session, source: Source::Timer, key, body: event.into(), received_at: now });
    }
    let fired = super::journal::append(db, &entries)?.len();
    Ok((fired, next(db)?))
}

/// When the next one is due.
pub(super) fn next(db: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let due = db.prepare_cached("SELECT min(due_at) FROM timers")?.query_row([], |row| row.get(0))?;
    Ok(Option::<i64>::map(due, Timestamp))
}

/// Makes all rechecks due.
pub(super) fn hasten(db: &Connection, now: Timestamp) -> Result<usize, StoreError> {
    let sql = "UPDATE timers SET due_at = ?1 WHERE kind = 'recheck' AND due_at > ?1";
    Ok(db.prepare_cached(sql)?.execute([now.0])?)
}

/// Whom a recheck waits for.
pub(super) fn awaiting(db: &Connection, limit: u32) -> Result<Vec<Person>, StoreError> {
    let sql = "SELECT DISTINCT p.phone, p.lid FROM timers t JOIN decisions d ON d.id = t.decision_id
               JOIN people p ON p.id = d.person_id
               WHERE t.kind = 'recheck' AND p.phone IS NOT NULL ORDER BY t.due_at LIMIT ?";
    let mut select = db.prepare_cached(sql)?;
    let found = select.query_map([limit], |row| row.person("phone", "lid"))?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// A recheck came due: a sweep of the same member, unless it is moot.
pub(super) fn recheck(step: &mut Step<'_>, event: &Event, decision: DecisionId, round: u32) -> Outcome {
    let sql = "SELECT group_id, person_id, twin_id FROM decisions WHERE id = ? AND person_id IS NOT NULL";
    let read = |row: &rusqlite::Row<'_>| {
        let twin = row.get::<_, Option<i64>>(2)?.map(DecisionId);
        Ok((row.get(0)?, PersonId(row.get(1)?), twin))
    };
    let found = step.db.prepare_cached(sql)?.query_row([decision.0], read).optional()?;
    let Some((group, person, twin)) = found else {
        return Ok(Some(format!("{decision} is gone or names nobody")));
    };
    if let Some(twin) = twin {
        return Ok(Some(format!("{twin} judges the same join")));
    }
    if !members::load(step.db, members::At { group, person })?.present {
        return Ok(Some("they are no longer in the group".into()));
    }
    let newer =
        "SELECT id FROM decisions WHERE person_id = ? AND group_id = ? AND id > ? AND state = 'decided'
                 AND final ORDER BY id DESC LIMIT 1";
    let newer = step
        .db
        .prepare_cached(newer)?
        .query_row([person.0, group, decision.0], |row| row.get(0).map(DecisionId))
        .optional()?;
    if let Some(newer) = newer {
        return Ok(Some(format!("{newer} has settled it")));
    }
    step.run(event, Hook::OnSweep, group, Some(person), round)?;
    Ok(None)
}

/// Locks a group down, or prolongs the lockdown that stands.
pub(super) fn lock_down(
    db: &Connection,
    decision: DecisionId,
    effect: &Effect,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Effect::Lockdown { group: jid, until, session, observe, rows } = effect else { return Ok(()) };
    let group = groups::resolve(db, jid)?.id;
    let stands: Option<bool> = db
        .prepare_cached("SELECT observe FROM lockdowns WHERE group_id = ?")?
        .query_row([group], |row| row.get(0))
        .optional()?;
    match stands {
        // One that is only recorded locks nothing, and has nothing to say to one that does.
        Some(true) if !observe => {
            db.prepare_cached("DELETE FROM lockdowns WHERE group_id = ?")?.execute([group])?;
            db.prepare_cached("DELETE FROM timers WHERE kind = 'lockdown' AND group_id = ?")?
                .execute([group])?;
        }
        Some(false) if *observe => return enqueue::write(db, decision, rows, now),
        Some(_) | None => {}
    }
    let prolonged = db
        .prepare_cached("UPDATE lockdowns SET until = max(until, ?2) WHERE group_id = ?1")?
        .execute([group, until.0])?;
    if prolonged > 0 {
        let sql = "UPDATE timers SET due_at = (SELECT until FROM lockdowns WHERE group_id = ?1)
                   WHERE kind = 'lockdown' AND group_id = ?1";
        db.prepare_cached(sql)?.execute([group])?;
        return raid::locked_until(db, group)?.map_or(Ok(()), |until| raid::gather(db, group, until));
    }
    // What announce-only will be once the calls before this one are through.
    let previous = "SELECT coalesce((SELECT call ->> 'on' FROM outbox WHERE group_id = ?1 AND kind = 'announce_only'
                        AND class = 'settings' AND state IN ('waiting', 'sending', 'unknown') ORDER BY id DESC LIMIT 1),
                    (SELECT announce_only FROM groups WHERE id = ?1), 0)";
    let previous: bool = db.prepare_cached(previous)?.query_row([group], |row| row.get(0))?;
    let sql = "INSERT INTO lockdowns (group_id, until, session, observe, previous, decision_id, since)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    db.prepare_cached(sql)?.execute(params![
        group,
        until.0,
        session.as_str(),
        observe,
        previous,
        decision.0,
        now.0
    ])?;
    let kind = EventKind::LockdownDue { group: jid.clone() };
    let due = Event { session: session.clone(), at: *until, me: Person::default(), kind };
    set(db, "lockdown", &due, None, Some(group))?;
    if !observe {
        raid::gather(db, group, *until)?;
        raid::hush(db, group, now)?;
    }
    enqueue::write(db, decision, rows, now)
}

/// A lockdown's time is over.
pub(super) fn release(step: &mut Step<'_>, event: &Event, jid: &GroupId) -> Outcome {
    let db = step.db;
    let group = groups::resolve(db, jid)?.id;
    if let Some(until) = prolonged(db, group, step.received_at)? {
        set(db, "lockdown", &Event { at: until, ..event.clone() }, None, Some(group))?;
        return Ok(Some("the lockdown was prolonged".into()));
    }
    let read = |row: &rusqlite::Row<'_>| {
        let decision = DecisionId(row.get("decision_id")?);
        let since = row.time_or_null("since")?;
        Ok((row.session("session")?, row.get::<_, bool>("observe")?, row.get("previous")?, decision, since))
    };
    let sql = "DELETE FROM lockdowns WHERE group_id = ? RETURNING *";
    let ended = db.prepare_cached(sql)?.query_row([group], read).optional()?;
    let Some((session, observe, previous, decision, since)) = ended else {
        return Ok(Some("no lockdown stands".into()));
    };
    step.applied.outbox_changed = true;
    if !observe {
        step.applied.raised.extend(raid::over(db, group, (decision, since), step.received_at)?);
    }
    let unsent = unsent_lock(db, group, decision)?;
    if let Some((row, _)) = &unsent {
        outbox::end(
            db,
            row,
            RowState::Cancelled,
            Some("the lockdown was over before it was sent"),
            step.now,
        )?;
    }
    // A lock that was tried may have taken effect whatever the gateway said: only one that never left needs no release.
    if unsent.is_some_and(|(_, attempts)| attempts == 0) {
        return Ok(None);
    }
    let row = NewRow {
        call: Call::AnnounceOnly { group: jid.clone(), on: previous },
        state: if observe { RowState::Observed } else { RowState::Waiting },
        session,
        // A timer's entry is received in schedule time; the wall clock may be far from it.
        not_before: step.received_at,
        expires_at: None,
        after: None,
        reason: "the lockdown is over".into(),
        policy: String::new(),
        line: 0,
        note: None,
        brake: None,
    };
    enqueue::write(db, decision, &[row], step.received_at)?;
    Ok(None)
}

/// The end of a lockdown that was moved while its timer was already on its way.
fn prolonged(db: &Connection, group: i64, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT until FROM lockdowns WHERE group_id = ? AND until > ?";
    let until = db.prepare_cached(sql)?.query_row([group, now.0], |row| row.get(0)).optional()?;
    Ok(until.map(Timestamp))
}

/// The lock that still waits, and how often it was tried.
fn unsent_lock(
    db: &Connection,
    group: i64,
    decision: DecisionId,
) -> Result<Option<(outbox::Head, u32)>, StoreError> {
    let sql =
        "SELECT id, attempts FROM outbox WHERE decision_id = ? AND group_id = ? AND kind = 'announce_only'
               AND state = 'waiting' AND call ->> 'on' ORDER BY id LIMIT 1";
    let read = |row: &rusqlite::Row<'_>| Ok((OutboxId(row.get(0)?), row.get(1)?));
    let Some((id, attempts)) = db.prepare_cached(sql)?.query_row([decision.0, group], read).optional()?
    else {
        return Ok(None);
    };
    Ok(outbox::head(db, id)?.map(|row| (row, attempts)))
}
