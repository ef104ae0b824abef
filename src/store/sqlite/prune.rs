//! Forgetting what is old and over, in small steps, so that other writers need not wait for the whole.

use crate::{clock::Timestamp, store::StoreError};
use rusqlite::{Connection, params};
use std::time::Duration;

/// The ledger outlives the longest window of `[limits]` and the 28 days of a cold message.
const LEDGER: Duration = Duration::from_secs(40 * 24 * 3600);
/// Rows deleted in one commit.
pub(super) const STEP: u32 = 2000;

/// The deletions, in the order in which one makes the next possible. `?1` is the moment, `?2` the step. Where no index
/// leads to what is old, only the oldest rows are looked at, never the whole table.
const DELETIONS: &[&str] = &[
    "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE settled_at < ?1
         AND state NOT IN ('waiting', 'held', 'sending') AND NOT (kind = 'remove' AND state = 'unknown') LIMIT ?2)",
    "DELETE FROM decisions WHERE id IN (SELECT id FROM (SELECT * FROM decisions ORDER BY id LIMIT 10 * ?2) AS d
         WHERE decided_at < ?1 AND state = 'decided'
         AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.decision_id = d.id)
         AND NOT EXISTS (SELECT 1 FROM lockdowns l WHERE l.decision_id = d.id)
         AND NOT EXISTS (SELECT 1 FROM timers t WHERE t.kind = 'recheck' AND t.decision_id = d.id) LIMIT ?2)",
    "DELETE FROM entries WHERE id IN (SELECT id FROM (
             SELECT id, received_at, state FROM entries ORDER BY id LIMIT 10 * ?2) AS e
         WHERE received_at < ?1 AND state <> 'new'
         AND id < (SELECT max(id) FROM entries)
         AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.entry_id = e.id) LIMIT ?2)",
    "DELETE FROM group_changes WHERE decision_id IN (SELECT decision_id FROM group_changes c
         WHERE received_at < ?1 AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.id = c.decision_id) LIMIT ?2)",
    "DELETE FROM causes WHERE decision_id IN (SELECT decision_id FROM causes c
         WHERE NOT EXISTS (SELECT 1 FROM decisions d WHERE d.id = c.decision_id) LIMIT ?2)",
    "DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE last_at < ?1 LIMIT ?2)",
    "DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE told_at < ?1 LIMIT ?2)",
    "DELETE FROM payment_events WHERE (source, event) IN (
         SELECT source, event FROM payment_events WHERE received_at < ?1 LIMIT ?2)",
    "DELETE FROM sweeps WHERE id IN (SELECT id FROM sweeps WHERE coalesce(finished_at, cancelled_at) < ?1 LIMIT ?2)",
    "DELETE FROM arrivals WHERE rowid IN (SELECT rowid FROM arrivals WHERE at < ?1 LIMIT ?2)",
    "DELETE FROM local_list WHERE id IN (SELECT id FROM local_list WHERE ended_at < ?1 LIMIT ?2)",
    "DELETE FROM tags WHERE (person_id, name) IN (SELECT person_id, name FROM tags WHERE until < ?1 LIMIT ?2)",
];

/// How many kinds of deletions there are.
pub(super) const KINDS: usize = DELETIONS.len() + 1;

/// One step of one kind; how many rows went.
pub(super) fn step(
    db: &Connection,
    kind: usize,
    before: Timestamp,
    now: Timestamp,
) -> Result<usize, StoreError> {
    if let Some(sql) = DELETIONS.get(kind) {
        return Ok(db.prepare_cached(sql)?.execute(params![before.0, STEP])?);
    }
    let oldest = before.min(now - LEDGER);
    let sql = "DELETE FROM ledger WHERE id IN (SELECT id FROM ledger WHERE ended_at < ?1 LIMIT ?2)";
    Ok(db.prepare_cached(sql)?.execute(params![oldest.0, STEP])?)
}
