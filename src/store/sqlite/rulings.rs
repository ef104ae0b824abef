//! What a human makes of outbox rows: approve what is held, cancel what waits, take back what has ended.

use super::{
    SqliteStore, brake, groups,
    members::At,
    outbox::{self, Head},
};
use crate::{
    action::{Call, RowState},
    clock::Timestamp,
    ids::OutboxId,
    store::{
        StoreError,
        brake::{Brake, Brakes, Pick, Ruled, Ruling},
    },
};
use async_trait::async_trait;
use rusqlite::{Connection, params};

#[async_trait]
impl Brakes for SqliteStore {
    async fn rule(&self, pick: Pick, ruling: Ruling, now: Timestamp) -> Result<Ruled, StoreError> {
        self.writer.run(move |db| rule(db, &pick, ruling, now)).await
    }

    async fn brakes(&self) -> Result<Vec<Brake>, StoreError> {
        self.readers.read(brake::standing).await
    }
}

/// Rules on the rows picked, all or none.
fn rule(db: &Connection, pick: &Pick, ruling: Ruling, now: Timestamp) -> Result<Ruled, StoreError> {
    let rows = match pick {
        Pick::Row(id) => match outbox::head(db, *id)? {
            None => return Ok(Ruled::Missing),
            Some(row) => match unfit(db, &row, ruling)? {
                Some(why) => return Ok(Ruled::Unfit(row.state, why)),
                None => vec![row],
            },
        },
        Pick::Group(jid) => match groups::find(db, jid)? {
            None => return Ok(Ruled::Missing),
            Some(group) => braked(db, group.id, ruling)?,
        },
        Pick::All => {
            let mut select =
                db.prepare_cached("SELECT DISTINCT group_id FROM outbox WHERE state = 'held'")?;
            let groups: Vec<i64> = select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let rows = groups.into_iter().map(|group| braked(db, group, ruling));
            rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()
        }
    };
    for row in &rows {
        match ruling {
            Ruling::Approve => approve(db, row, now)?,
            Ruling::Cancel => cancel(db, row, now)?,
            Ruling::Retry => retry(db, row, now)?,
        }
    }
    Ok(Ruled::Done(rows.into_iter().map(|row| row.id).collect()))
}

/// What the brake of a group holds; to be cancelled, also what it counts and nobody has begun: whoever stops a bad edit
/// means all of it.
fn braked(db: &Connection, group: i64, ruling: Ruling) -> Result<Vec<Head>, StoreError> {
    let mut sql = "SELECT id FROM outbox WHERE group_id = ?1 AND state = 'held'".to_owned();
    match ruling {
        Ruling::Approve => {}
        Ruling::Cancel => {
            sql += " UNION SELECT id FROM outbox WHERE established = 1 AND group_id = ?1
                                   AND state = 'waiting' AND approved_at IS NULL
                                   AND EXISTS (SELECT 1 FROM brakes WHERE group_id = ?1)"
        }
        // What has ended is taken back one by one.
        Ruling::Retry => return Ok(Vec::new()),
    }
    let mut select = db.prepare_cached(&format!("{sql} ORDER BY id"))?;
    let ids: Vec<i64> = select.query_map([group], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        rows.extend(outbox::head(db, OutboxId(id))?);
    }
    Ok(rows)
}

/// Why a row cannot be ruled on so.
fn unfit(db: &Connection, row: &Head, ruling: Ruling) -> Result<Option<String>, StoreError> {
    let state = row.state;
    Ok(match ruling {
        Ruling::Approve if state == RowState::Held => None,
        Ruling::Approve => Some(format!("it is {state}; only what is held waits for an approval")),
        Ruling::Cancel if matches!(state, RowState::Held | RowState::Waiting) => None,
        Ruling::Cancel => Some(format!("it is {state}; only what is held or waiting can be cancelled")),
        Ruling::Retry => unfit_for_retry(db, row)?,
    })
}

fn unfit_for_retry(db: &Connection, row: &Head) -> Result<Option<String>, StoreError> {
    let sql = "SELECT o.attempts, a.id, a.state FROM outbox o LEFT JOIN outbox a ON a.id = o.after_id WHERE o.id = ?";
    let read = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, u32>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, Option<String>>(2)?))
    };
    let (attempts, before, its_state) = db.prepare_cached(sql)?.query_row([row.id.0], read)?;
    match row.state {
        RowState::Dead | RowState::Expired | RowState::Cancelled => {}
        RowState::Refused if attempts > 0 => {}
        RowState::Refused => {
            return Ok(Some("it was refused before anything was sent; no verb changes that".into()));
        }
        RowState::Unknown if row.call.is_message() => {
            return Ok(Some("it may have reached them; a message is never sent twice".into()));
        }
        state => {
            return Ok(Some(format!("it is {state}; only what ended unsent or failed can be taken back")));
        }
    }
    let others = match (&row.call, row.group.zip(row.person)) {
        (Call::Remove { .. }, Some((group, person))) => outbox::live_removals(db, At { group, person })?,
        _ => Vec::new(),
    };
    if let Some(other) = others.first() {
        return Ok(Some(format!("{} removes them already", other.id)));
    }
    let hangs = before.zip(its_state).filter(|(_, state)| state != "done");
    Ok(hangs.map(|(id, state)| {
        let id = OutboxId(id);
        format!("it was to follow {id}, which is {state}; take that one back and this one comes with it")
    }))
}

/// Lets a row go, past the brake. What follows it has its whole time again.
fn approve(db: &Connection, row: &Head, now: Timestamp) -> Result<(), StoreError> {
    // The clock of the schedule opens the gate: it may differ from this one.
    let sql = "UPDATE outbox SET state = 'waiting', gate = 'time', approved_at = ?2, note = 'approved by an operator'
               WHERE id = ?1 AND state = 'held'";
    db.prepare_cached(sql)?.execute([row.id.0, now.0])?;
    for follower in followers(db, row.id, "waiting", None)? {
        let expires_at = follower.call.lifetime().map(|lifetime| (now + lifetime).0);
        db.prepare_cached("UPDATE outbox SET expires_at = ?2 WHERE id = ?1")?
            .execute(params![follower.id.0, expires_at])?;
    }
    Ok(())
}

fn cancel(db: &Connection, row: &Head, now: Timestamp) -> Result<(), StoreError> {
    // An earlier one of these may have taken it with it.
    let still = outbox::head(db, row.id)?;
    if still.is_some_and(|row| matches!(row.state, RowState::Waiting | RowState::Held)) {
        brake::spare(db, row.id, now)?;
        outbox::end(db, row, RowState::Cancelled, Some("cancelled by an operator"), now)?;
    }
    Ok(())
}

/// Puts a row back in line, with what was dropped because of it.
fn retry(db: &Connection, row: &Head, now: Timestamp) -> Result<(), StoreError> {
    let policy = "DELETE FROM spared WHERE (group_id, person_id, policy) = (
                      SELECT group_id, person_id, policy FROM outbox WHERE id = ? AND kind = 'remove')";
    db.prepare_cached(policy)?.execute([row.id.0])?;
    wait_again(db, row, "time", now)?;
    let dropped = format!("{} is {}", row.id, row.state);
    for follower in followers(db, row.id, "cancelled", Some(&dropped))? {
        wait_again(db, &follower, "row", now)?;
    }
    Ok(())
}

fn wait_again(db: &Connection, row: &Head, gate: &str, now: Timestamp) -> Result<(), StoreError> {
    // A moment that is surely over, by the clock of the schedule.
    let sql = "UPDATE outbox SET state = 'waiting', gate = ?2, not_before = created_at, expires_at = ?3, attempts = 0,
                   unknown_at = NULL, settled_at = NULL, approved_at = ?4, note = 'put back in line by an operator'
               WHERE id = ?1";
    let expires_at = row.call.lifetime().map(|lifetime| (now + lifetime).0);
    db.prepare_cached(sql)?.execute(params![row.id.0, gate, expires_at, now.0])?;
    Ok(())
}

/// The rows that wait, or were dropped, because of that one.
fn followers(
    db: &Connection,
    id: OutboxId,
    state: &str,
    note: Option<&str>,
) -> Result<Vec<Head>, StoreError> {
    // The decision leads to them; few rows are of one.
    let sql = "SELECT id FROM outbox WHERE decision_id = (SELECT decision_id FROM outbox WHERE id = ?1)
               AND after_id = ?1 AND state = ?2 AND (?3 IS NULL OR note = ?3) ORDER BY id";
    let mut select = db.prepare_cached(sql)?;
    let ids: Vec<i64> =
        select.query_map(params![id.0, state, note], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut rows = Vec::new();
    for id in ids {
        rows.extend(outbox::head(db, OutboxId(id))?);
    }
    Ok(rows)
}
