//! Alerts: what operators are told, kept and counted.

use super::words::Columns;
use crate::{
    clock::Timestamp,
    store::{Alert, StoreError},
};
use rusqlite::{Connection, Row, params};

/// Equal alerts within this many milliseconds are counted.
const WINDOW: i64 = 3_600_000;

/// Keeps an alert, or counts it.
pub(super) fn keep(
    db: &Connection,
    at: Timestamp,
    kind: &str,
    key: &str,
    text: &str,
) -> Result<(), StoreError> {
    let counted = db
        .prepare_cached("UPDATE alerts SET count = count + 1 WHERE key = ? AND kind = ? AND at > ?")?
        .execute(params![key, kind, at.0.saturating_sub(WINDOW)])?;
    if counted == 0 {
        db.prepare_cached("INSERT INTO alerts (at, kind, key, text, count) VALUES (?, ?, ?, ?, 1)")?
            .execute(params![at.0, kind, key, text])?;
    }
    Ok(())
}

/// Alerts, newest first.
pub(super) fn list(db: &Connection, limit: u32) -> Result<Vec<Alert>, StoreError> {
    let mut select =
        db.prepare_cached("SELECT at, kind, text, count FROM alerts ORDER BY id DESC LIMIT ?")?;
    let read = |row: &Row<'_>| {
        Ok(Alert {
            at: row.time("at")?,
            kind: row.get("kind")?,
            text: row.get("text")?,
            count: row.count("count")?,
        })
    };
    let found = select.query_map([limit], read)?.collect::<Result<_, _>>()?;
    Ok(found)
}
