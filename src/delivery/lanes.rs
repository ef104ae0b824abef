//! Lanes: rows of one chat and kind go out in order, even while the first of them fails. Pure.
//!
//! A row whose call failed holds up the rows behind it in its lane until it is due again, because it is most likely the
//! gateway that is broken, not the row. After [`crate::retry::LANE_PATIENCE`] attempts it is the row, and the others go on.

use crate::{clock::Timestamp, ids::OutboxId, retry::LANE_PATIENCE, store::Row};
use std::collections::HashMap;

/// A chat and a kind of call.
type Lane = (String, &'static str);

/// Who holds up which lane, and until when. Once due, the holder is first by its number anyway.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    held: HashMap<Lane, (OutboxId, Timestamp)>,
}

impl Lanes {
    /// Whether another row must go first.
    pub(super) fn holds_up(&self, row: &Row, now: Timestamp) -> bool {
        self.held.get(&lane(row)).is_some_and(|(holder, until)| *holder < row.id && now < *until)
    }

    /// Notes a row that is to be tried again at `due`, after so many attempts.
    pub(super) fn failed(&mut self, row: &Row, attempts: u32, due: Timestamp) {
        if attempts < LANE_PATIENCE {
            self.hold(row, due);
        }
    }

    /// Holds the lane for a row that waits for something until then at the latest.
    pub(super) fn hold(&mut self, row: &Row, until: Timestamp) {
        let holder = self.held.entry(lane(row)).or_insert((row.id, until));
        if row.id <= holder.0 {
            *holder = (row.id, until);
        }
    }

    /// Frees every lane: the gateway is back and all rows are due.
    pub(super) fn free_all(&mut self) {
        self.held.clear();
    }

    /// Forgets holds whose time is over.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        self.held.retain(|_, (_, until)| now < *until);
    }
}

fn lane(row: &Row) -> Lane {
    let chat = row.call.group().map_or_else(|| row.jid.clone(), |group| group.as_str().to_string());
    (chat, row.call.name())
}
