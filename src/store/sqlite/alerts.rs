//! Alerts: what operators are told, kept and counted.

use super::words::Columns;
use crate::{
    clock::Timestamp,
    store::{Alert, StoreError},
};
use rusqlite::{Connection, Row, params};

/// Equal alerts are one for as long as the pause between two is not longer than this many milliseconds.
const WINDOW: i64 = 3_600_000;

/// Keeps an alert, or counts it.
pub(super) fn keep(
    db: &Connection,
    at: Timestamp,
    kind: &str,
    key: &str,
    text: &str,
) -> Result<(), StoreError> {
    let sql = "UPDATE alerts SET count = count + 1, last_at = max(last_at, ?3) WHERE id = (
                   SELECT id FROM alerts WHERE key = ?1 AND kind = ?2 AND last_at > ?3 - ?4
                   ORDER BY id DESC LIMIT 1)";
    if db.prepare_cached(sql)?.execute(params![key, kind, at.0, WINDOW])? == 0 {
        let sql = "INSERT INTO alerts (at, last_at, kind, key, text, count) VALUES (?1, ?1, ?2, ?3, ?4, 1)";
        db.prepare_cached(sql)?.execute(params![at.0, kind, key, text])?;
    }
    Ok(())
}

/// Alerts, newest first.
pub(super) fn list(db: &Connection, limit: u32) -> Result<Vec<Alert>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT at, last_at, kind, text, count FROM alerts ORDER BY last_at DESC, id DESC LIMIT ?",
    )?;
    let read = |row: &Row<'_>| {
        Ok(Alert {
            at: row.time("at")?,
            last_at: row.time("last_at")?,
            kind: row.get("kind")?,
            text: row.get("text")?,
            count: row.count("count")?,
        })
    };
    let found = select.query_map([limit], read)?.collect::<Result<_, _>>()?;
    Ok(found)
}
