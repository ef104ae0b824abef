//! Alerts as kept, pushed subscriptions, and arrivals: small lists without rules of their own.

use super::words::{Columns, phone_column, to_json};
use crate::{
    clock::Timestamp,
    ids::{GroupId, Phone},
    store::{Alert, Pushed, StoreError},
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

/// Keeps a pushed subscription.
pub(super) fn push(db: &Connection, pushed: &Pushed) -> Result<(), StoreError> {
    let sql = "INSERT INTO pushed VALUES (?, ?, ?)
               ON CONFLICT DO UPDATE SET subscription = excluded.subscription, at = excluded.at";
    db.prepare_cached(sql)?.execute(params![
        phone_column(pushed.phone),
        to_json(&pushed.subscription)?,
        pushed.at.0
    ])?;
    Ok(())
}

/// Drops one.
pub(super) fn drop_pushed(db: &Connection, phone: Phone) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM pushed WHERE phone = ?")?.execute([phone_column(phone)])?;
    Ok(())
}

/// All of them.
pub(super) fn pushed(db: &Connection) -> Result<Vec<Pushed>, StoreError> {
    let mut select = db.prepare_cached("SELECT phone, subscription, at FROM pushed ORDER BY phone")?;
    let mut rows = select.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let phone = Phone::from_u64(row.get::<_, i64>("phone")?.cast_unsigned());
        let (Some(phone), Some(subscription)) = (phone, row.json("subscription")?) else { continue };
        found.push(Pushed { phone, subscription, at: row.time("at")? });
    }
    Ok(found)
}

/// Joins and departures since then.
pub(super) fn arrivals(
    db: &Connection,
    since: Timestamp,
) -> Result<Vec<(GroupId, Timestamp, bool)>, StoreError> {
    let sql = "SELECT g.jid, a.at, a.joined FROM arrivals a JOIN groups g ON g.id = a.group_id
               WHERE a.at >= ? ORDER BY a.at";
    let mut select = db.prepare_cached(sql)?;
    let read = |row: &Row<'_>| Ok((row.group("jid")?, row.time("at")?, row.get("joined")?));
    let found = select.query_map([since.0], read)?.collect::<Result<_, _>>()?;
    Ok(found)
}
