//! Subscriptions that the payment side pushed, one for each phone.

use super::words::{Columns, phone_column, to_json};
use crate::{
    ids::Phone,
    store::{Pushed, StoreError},
};
use rusqlite::{Connection, params};

/// Keeps a pushed subscription.
pub(super) fn keep(db: &Connection, pushed: &Pushed) -> Result<(), StoreError> {
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
pub(super) fn forget(db: &Connection, phone: Phone) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM pushed WHERE phone = ?")?.execute([phone_column(phone)])?;
    Ok(())
}

/// All of them.
pub(super) fn all(db: &Connection) -> Result<Vec<Pushed>, StoreError> {
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
