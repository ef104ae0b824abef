//! The ledger of calls: what the ceilings are computed from after a restart.

use super::words::{Columns, Word};
use crate::{
    action::Class,
    clock::{Timestamp, Uptime},
    ids::SessionName,
    store::{CallId, LedgerEntry, StoreError},
};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Notes the start of a call under each of its classes. A call without a class is under no ceiling and leaves no entry.
pub(super) fn begin(
    db: &Connection,
    session: &SessionName,
    classes: &[Class],
    now: Timestamp,
) -> Result<CallId, StoreError> {
    let mut call = CallId(0);
    let mut insert =
        db.prepare_cached("INSERT INTO ledger (call_id, session, class, started_at) VALUES (?, ?, ?, ?)")?;
    for class in classes {
        insert.execute(params![call.0, session.as_str(), class.word(), now.0])?;
        if call.0 == 0 {
            // The call is named by its first entry.
            call = CallId(db.last_insert_rowid());
            db.prepare_cached("UPDATE ledger SET call_id = id WHERE id = ?")?.execute([call.0])?;
        }
    }
    Ok(call)
}

/// Notes the end of a call.
pub(super) fn end(db: &Connection, call: CallId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE ledger SET ended_at = max(started_at, ?2) WHERE call_id = ?1 AND ended_at IS NULL";
    db.prepare_cached(sql)?.execute([call.0, now.0])?;
    Ok(())
}

/// Calls whose end nobody saw end now.
pub(super) fn end_all(db: &Connection, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE ledger SET ended_at = max(started_at, ?) WHERE ended_at IS NULL";
    db.prepare_cached(sql)?.execute([now.0])?;
    Ok(())
}

/// A session's entries that end after `since` or are under way.
pub(super) fn since(
    db: &Connection,
    session: &SessionName,
    since: Timestamp,
) -> Result<Vec<LedgerEntry>, StoreError> {
    let sql = "SELECT call_id, class, started_at, ended_at FROM ledger WHERE session = ?1 AND id IN (
                   SELECT id FROM ledger WHERE ended_at >= ?2
                   UNION ALL SELECT id FROM ledger WHERE ended_at IS NULL) ORDER BY id";
    let mut select = db.prepare_cached(sql)?;
    let read = |row: &Row<'_>| {
        Ok(LedgerEntry {
            id: CallId(row.get("call_id")?),
            class: row.word("class")?,
            started_at: row.time("started_at")?,
            ended_at: row.time_or_null("ended_at")?,
        })
    };
    let found = select.query_map(params![session.as_str(), since.0], read)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// When schedule time goes on; see [`crate::store::Store::resume_time`].
pub(super) fn resume(
    db: &Connection,
    wall: Timestamp,
    uptime: Option<&Uptime>,
) -> Result<Timestamp, StoreError> {
    let newest = newest(db)?.unwrap_or(Timestamp(0));
    let resumed = wall.max(newest);
    let Some(uptime) = uptime else {
        db.prepare_cached("DELETE FROM anchor")?.execute([])?;
        return Ok(resumed);
    };
    let lasted = i64::try_from(uptime.lasted.as_millis()).unwrap_or(i64::MAX);
    if let Some(ahead) = put_ahead(db, resumed, newest, (&uptime.boot, lasted))? {
        let sql = "UPDATE ledger SET started_at = started_at + ?1, ended_at = ended_at + ?1";
        db.prepare_cached(sql)?.execute([ahead])?;
        let sql = "UPDATE cold_locks SET since = since + ?1, until = until + ?1";
        db.prepare_cached(sql)?.execute([ahead])?;
    }
    let sql = "INSERT OR REPLACE INTO anchor (one, boot, lasted, at) VALUES (1, ?, ?, ?)";
    db.prepare_cached(sql)?.execute(params![uptime.boot, lasted, resumed.0])?;
    Ok(resumed)
}

/// By how many milliseconds `resumed` is later than the time that has truly passed since the last start makes it.
fn put_ahead(
    db: &Connection,
    resumed: Timestamp,
    newest: Timestamp,
    (boot, lasted): (&str, i64),
) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT at + (?2 - lasted) FROM anchor WHERE boot = ?1 AND lasted <= ?2";
    let truly: Option<i64> =
        db.prepare_cached(sql)?.query_row(params![boot, lasted], |row| row.get(0)).optional()?;
    Ok(truly.map(|truly| resumed.0 - truly.max(newest.0)).filter(|ahead| *ahead > 0))
}

/// The newest moment in it.
fn newest(db: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT max(at) FROM (SELECT max(started_at) AS at FROM ledger
                                    UNION ALL SELECT max(ended_at) FROM ledger)";
    let newest = db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(Option::<i64>::map(newest, Timestamp))
}
