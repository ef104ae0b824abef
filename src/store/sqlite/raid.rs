//! What a raid collapses: while a lockdown stands, welcomes are gathered into one that goes out at its end, private
//! messages to who came are not sent, and the operators get one summary.
//!
//! Who came since the lockdown began, or shortly before, came in the raid: the first of a raid are let in as on any day,
//! until there are enough of them to notice. A lockdown that is only recorded collapses nothing.

use super::{alerts, groups, outbox, words::Columns};
use crate::{
    action::RowState,
    clock::Timestamp,
    ids::{DecisionId, OutboxId, PersonId},
    store::{Raised, StoreError},
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::time::Duration;

/// So long before the lockdown who came belongs to the raid.
const BEFORE: Duration = Duration::from_secs(300);

/// What is said of a message that is not sent.
const UNSENT: &str = "a raid: told in the summary";

/// When the lockdown of a group ends, if one stands in earnest.
pub(super) fn locked_until(db: &Connection, group: i64) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT until FROM lockdowns WHERE group_id = ? AND NOT observe";
    let until = db.prepare_cached(sql)?.query_row([group], |row| row.get(0)).optional()?;
    Ok(until.map(Timestamp))
}

/// Why a private message of that decision is not even to wait: it is to somebody who came in a raid that goes on.
pub(super) fn silenced(
    db: &Connection,
    decision: DecisionId,
    to: Option<PersonId>,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM decisions d JOIN lockdowns l ON l.group_id = d.group_id AND NOT l.observe
                   JOIN members m ON m.group_id = d.group_id AND m.person_id = d.person_id
                   WHERE d.id = ?1 AND d.person_id = ?2 AND m.joined_at >= l.since - ?3 AND NOT m.adopted)";
    let given = params![decision.0, to.map(|id| id.0), BEFORE.as_millis() as i64];
    let silenced: bool = db.prepare_cached(sql)?.query_row(given, |row| row.get(0))?;
    Ok(silenced.then(|| UNSENT.into()))
}

/// A lockdown begins, or its end was moved: the group's welcomes wait for it.
pub(super) fn gather(db: &Connection, group: i64, until: Timestamp) -> Result<(), StoreError> {
    due_at(db, group, until)
}

/// A lockdown begins: what waits to be said in private to who came goes unsaid.
pub(super) fn hush(db: &Connection, group: i64, now: Timestamp) -> Result<(), StoreError> {
    let sql = "SELECT o.id FROM members m JOIN outbox o ON o.person_id = m.person_id
               JOIN decisions d ON d.id = o.decision_id AND d.group_id = m.group_id AND d.person_id = m.person_id
               WHERE m.group_id = ?1 AND m.joined_at >= ?2 AND NOT m.adopted AND o.kind = 'dm' AND o.state = 'waiting'
               ORDER BY o.id";
    let mut select = db.prepare_cached(sql)?;
    let came = now - BEFORE;
    let ids: Vec<i64> = select.query_map([group, came.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for id in ids {
        let row = outbox::head(db, OutboxId(id))?.filter(|row| row.state == RowState::Waiting);
        if let Some(row) = row {
            outbox::end(db, &row, RowState::Cancelled, Some(UNSENT), now)?;
        }
    }
    Ok(())
}

/// A lockdown is over: the welcome that was gathered is due, and the operators are told how it went.
pub(super) fn over(
    db: &Connection,
    group: i64,
    (lockdown, since): (DecisionId, Option<Timestamp>),
    now: Timestamp,
) -> Result<Option<Raised>, StoreError> {
    due_at(db, group, now)?;
    let Some(since) = since else { return Ok(None) };
    let count = count(db, group, since - BEFORE)?;
    if count.came == 0 {
        return Ok(None);
    }
    let facts = groups::facts(db, group)?;
    let text = count.text(&facts.subject, &facts.id.to_string());
    alerts::keep(db, now, "raid", &format!("{} {lockdown}", facts.id.as_str()), &text)?;
    Ok(Some(Raised { kind: "raid", text }))
}

/// Moves the welcomes of a group that still wait, with their time to live.
fn due_at(db: &Connection, group: i64, due: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE outbox SET not_before = ?2, expires_at = expires_at + (?2 - not_before), gate = 'time'
               WHERE group_id = ?1 AND kind = 'welcome' AND state = 'waiting'";
    db.prepare_cached(sql)?.execute([group, due.0])?;
    Ok(())
}

/// What became of who came in a raid.
struct Count {
    came: u32,
    removed: u32,
    waiting: u32,
    stayed: u32,
    unsaid: u32,
}

fn count(db: &Connection, group: i64, from: Timestamp) -> Result<Count, StoreError> {
    let sql = "SELECT count(*) AS came,
                   coalesce(sum(NOT present AND removed_at >= ?2), 0) AS removed,
                   coalesce(sum(present AND live), 0) AS waiting,
                   coalesce(sum(present AND NOT live), 0) AS stayed
               FROM (SELECT m.present, m.removed_at,
                         EXISTS (SELECT 1 FROM outbox o WHERE o.group_id = m.group_id AND o.person_id = m.person_id
                             AND o.kind = 'remove' AND o.state IN ('waiting', 'held', 'sending', 'unknown')) AS live
                     FROM members m JOIN people p ON p.id = m.person_id
                     WHERE m.group_id = ?1 AND m.joined_at >= ?2 AND NOT m.adopted AND NOT p.is_own)";
    let unsaid = "SELECT count(*) FROM outbox o JOIN decisions d ON d.id = o.decision_id
                  WHERE d.group_id = ?1 AND o.kind = 'dm' AND o.state = 'cancelled' AND o.settled_at >= ?2 AND o.note = ?3";
    let read = |row: &Row<'_>| {
        Ok((row.count("came")?, row.count("removed")?, row.count("waiting")?, row.count("stayed")?))
    };
    let (came, removed, waiting, stayed) = db.prepare_cached(sql)?.query_row([group, from.0], read)?;
    let unsaid = db.prepare_cached(unsaid)?.query_row(params![group, from.0, UNSENT], |row| row.get(0))?;
    Ok(Count { came, removed, waiting, stayed, unsaid })
}

impl Count {
    fn text(&self, subject: &str, id: &str) -> String {
        let Self { came, removed, waiting, stayed, unsaid } = self;
        let unsaid = match unsaid {
            0 => String::new(),
            count => format!("; {count} private message(s) were not sent"),
        };
        format!(
            "the lockdown of {subject} ({id}) is over: {came} came, {removed} were removed, {stayed} stayed, \
             {waiting} still wait to be removed{unsaid}; see `perimeterd outbox list`"
        )
    }
}
