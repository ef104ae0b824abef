//! Locks on cold messages: one for each session whose breaker is not closed.

use super::words::Columns;
use crate::{
    ids::SessionName,
    store::{ColdLock, StoreError},
};
use rusqlite::{Connection, Row, params};
use std::time::Duration;

/// Keeps a session's lock, or forgets it.
pub(super) fn keep(
    db: &Connection,
    session: &SessionName,
    lock: Option<&ColdLock>,
) -> Result<(), StoreError> {
    let Some(lock) = lock else {
        db.prepare_cached("DELETE FROM cold_locks WHERE session = ?")?.execute([session.as_str()])?;
        return Ok(());
    };
    let sql = "INSERT INTO cold_locks VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
                   since = excluded.since, until = excluded.until, wait = excluded.wait, why = excluded.why";
    let wait = i64::try_from(lock.wait.as_millis()).unwrap_or(i64::MAX);
    db.prepare_cached(sql)?.execute(params![session.as_str(), lock.since.0, lock.until.0, wait, lock.why])?;
    Ok(())
}

/// Every lock, by session.
pub(super) fn all(db: &Connection) -> Result<Vec<(SessionName, ColdLock)>, StoreError> {
    let mut select =
        db.prepare_cached("SELECT session, since, until, wait, why FROM cold_locks ORDER BY session")?;
    let read = |row: &Row<'_>| {
        let wait: i64 = row.get("wait")?;
        let lock = ColdLock {
            since: row.time("since")?,
            until: row.time("until")?,
            wait: Duration::from_millis(u64::try_from(wait).unwrap_or(0)),
            why: row.get("why")?,
        };
        Ok((row.session("session")?, lock))
    };
    let found = select.query_map([], read)?.collect::<Result<_, _>>()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, store::sqlite::open::in_memory};

    #[test]
    fn a_lock_is_kept_until_it_is_lifted() {
        let db = in_memory().unwrap();
        let session = SessionName::new("main");
        let lock = ColdLock {
            since: Timestamp(1000),
            until: Timestamp(2000),
            wait: Duration::from_secs(1800),
            why: "463".into(),
        };
        keep(&db, &session, Some(&lock)).unwrap();
        let longer = ColdLock { until: Timestamp(9000), ..lock };
        keep(&db, &session, Some(&longer)).unwrap();
        assert_eq!(all(&db).unwrap(), [(session.clone(), longer)]);
        keep(&db, &session, None).unwrap();
        assert!(all(&db).unwrap().is_empty());
    }
}
