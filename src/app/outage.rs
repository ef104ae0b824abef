//! A subscription source that gives no answers is a trouble: told once when it begins, and once when it is over.
//!
//! The store keeps what was told, so a restart in the middle tells nothing twice and forgets nothing.

use super::books::Books;
use crate::{
    clock::Timestamp,
    store::{Store, StoreError},
    telemetry::Metrics,
};

/// So many looks in a row must find the source down: a server that is just restarted is no trouble.
const LOOKS: u32 = 5;
const KIND: &str = "subscriptions";
const KEY: &str = "source";

/// What was told of the source.
#[derive(Default)]
pub(super) struct Outage {
    looks: u32,
    /// `None` until this run knows: an earlier one may have left the trouble open.
    open: Option<bool>,
}

impl Outage {
    /// One look at the source.
    pub(super) async fn look(&mut self, books: &Books, metrics: &Metrics, store: &dyn Store, now: Timestamp) {
        if let Err(error) = self.tell(books, metrics, store, now).await {
            tracing::error!(%error, "what became of the subscription source cannot be kept now");
        }
    }

    async fn tell(
        &mut self,
        books: &Books,
        metrics: &Metrics,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(why) = books.subscriptions.outage() else {
            self.looks = 0;
            let stats = books.subscriptions.stats();
            if self.open != Some(false) && stats.misses > stats.errors {
                let text = "the subscription source answers again";
                if store.trouble_ends(now, KIND, KEY, text).await? {
                    metrics.alert("subscriptions_over");
                }
                self.open = Some(false);
            }
            return Ok(());
        };
        self.looks = self.looks.saturating_add(1);
        if self.looks >= LOOKS && self.open != Some(true) {
            let text = format!("{why}: who pays is unknown, and nobody is removed for it meanwhile");
            if store.trouble_begins(now, KIND, KEY, &text).await? {
                metrics.alert(KIND);
                tracing::warn!(kind = KIND, "alert: {text}");
            }
            self.open = Some(true);
        }
        Ok(())
    }
}
