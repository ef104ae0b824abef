//! What became of removals that no answer proves: unknown outcomes (P8), and answers of success whose leave nobody tells.
//!
//! Both are settled by the leave event, else by a roster; what the roster means is the directory's business. One roster of
//! a group answers for all of its removals.

use super::{Clearance, Courier};
use crate::{
    action::RowState,
    clock::Timestamp,
    store::{Row, Settled, StoreError},
};
use std::time::Duration;

/// A group's roster is asked for again after this long at the earliest.
const AGAIN: Duration = Duration::from_secs(60);

/// A removal that was answered as done so often, and had no effect each time, is given up.
const MOST_SILENCES: u32 = 3;

impl Courier {
    /// Asks for the rosters that settle what is due.
    pub(super) async fn verify(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.verify_unknown(now).await?;
        let again = now + AGAIN.min(self.config.wawp.confirm_after);
        for group in self.store.unconfirmed(&self.session, now, again).await? {
            self.wanted.ask_roster(group, now);
        }
        Ok(())
    }

    async fn verify_unknown(&mut self, now: Timestamp) -> Result<(), StoreError> {
        for row in self.store.unknown_removals(&self.session, now).await? {
            if let Some(group) = row.call.group() {
                self.wanted.ask_roster(group.clone(), now);
            }
            let later = Settled {
                state: row.state,
                not_before: Some(now + AGAIN),
                note: row.note.clone(),
                counts: true,
            };
            self.store.settle(None, vec![(row.id, later)], self.wall.now(), now).await?;
        }
        Ok(())
    }

    /// Gives up a removal that the gateway calls done time and again, while the person stays.
    pub(super) async fn give_up_silent(
        &mut self,
        row: &Row,
        now: Timestamp,
    ) -> Result<Option<Clearance>, StoreError> {
        if row.silences < MOST_SILENCES {
            return Ok(None);
        }
        let note =
            format!("given up: answered as done {} times, and the roster still lists them", row.silences);
        let text = format!("{} dead ({}): {note}", row.call.name(), row.id);
        self.alert("delivery", &format!("{} {}", self.session, row.call.name()), &text).await?;
        self.end(row, RowState::Dead, note, now).await.map(Some)
    }
}
