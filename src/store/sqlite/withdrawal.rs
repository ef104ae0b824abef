//! Removals that have not begun: finding those of somebody, and taking them back with a reason.

use super::{
    outbox,
    views::{self, ROW},
    words::phone_column,
};
use crate::{
    action::RowState,
    clock::Timestamp,
    ids::{OutboxId, Phone},
    store::{Row, StoreError},
};
use rusqlite::{Connection, params};

/// Removals that wait or are held, oldest first.
pub(super) fn pending_removals(db: &Connection, of: Option<Phone>) -> Result<Vec<Row>, StoreError> {
    let whose = match of {
        Some(_) => "o.person_id = (SELECT id FROM people WHERE phone = ?1)",
        None => "?1 IS NULL",
    };
    let sql =
        format!("{ROW} WHERE o.kind = 'remove' AND o.state IN ('waiting', 'held') AND {whose} ORDER BY o.id");
    let mut select = db.prepare_cached(&sql)?;
    let phone = of.map(phone_column);
    let found = select.query_map(params![phone], views::read_row)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// Cancels what has not begun.
pub(super) fn withdraw(
    db: &Connection,
    rows: &[(OutboxId, String)],
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut cancelled = 0;
    for (id, note) in rows {
        let row = outbox::head(db, *id)?;
        if let Some(row) = row.filter(|row| matches!(row.state, RowState::Waiting | RowState::Held)) {
            outbox::end(db, &row, RowState::Cancelled, Some(note), now)?;
            cancelled += 1;
        }
    }
    Ok(cancelled)
}
