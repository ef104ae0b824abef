//! What becomes of our own number, heeded while running: paired anew, restricted by WhatsApp.

use super::Courier;
use crate::{clock::Timestamp, event::Restriction, store::StoreError};
use std::time::Duration;

/// A restriction without a told end: observed ones last a day.
const UNTOLD: Duration = Duration::from_secs(24 * 3600);

impl Courier {
    /// Looks at what the store knows of our number by now.
    pub(super) async fn heed_account(&mut self) -> Result<(), StoreError> {
        let own = self.store.own_sessions().await?;
        let Some(own) = own.into_iter().find(|own| own.name == self.session) else { return Ok(()) };
        self.ceilings().young_again(own.young_since());
        if let Some(restriction) = own.restriction {
            self.heed_restriction(&restriction).await;
        }
        Ok(())
    }

    /// Nobody who never wrote to us is written to while WhatsApp restricts the account.
    pub(super) async fn heed_restriction(&mut self, told: &Restriction) {
        let now: Timestamp = self.steady.now();
        self.restricted_until(told.until.unwrap_or(now + UNTOLD), &told.why).await;
    }
}
