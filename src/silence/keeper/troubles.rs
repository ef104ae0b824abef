//! Troubles: begun and ended once each, however often somebody says so, and kept however long the store needs.

use super::Keeper;
use crate::store::StoreError;
use std::{future::Future, time::Duration};

/// After the store failed.
const PAUSE: Duration = Duration::from_secs(1);

impl Keeper {
    pub(super) async fn begins(&mut self, kind: &str, key: &str, text: &str) {
        if !self.open.insert((kind.to_owned(), key.to_owned())) {
            return;
        }
        let (now, store) = (self.steady.now(), self.store.clone());
        if self.insist(|| store.trouble_begins(now, kind, key, text)).await == Some(true) {
            self.metrics.alert(kind);
            tracing::warn!(kind, "alert: {text}");
        }
    }

    pub(super) async fn ends(&mut self, kind: &str, key: &str, text: &str) {
        if !self.open.remove(&(kind.to_owned(), key.to_owned())) {
            return;
        }
        let (now, store) = (self.steady.now(), self.store.clone());
        if self.insist(|| store.trouble_ends(now, kind, key, text)).await == Some(true) {
            self.metrics.alert(&format!("{kind}_over"));
            tracing::info!(kind, "over: {text}");
        }
    }

    pub(super) async fn alert(&self, kind: &str, key: &str, text: &str) {
        self.metrics.alert(kind);
        tracing::warn!(kind, "alert: {text}");
        let (now, store) = (self.steady.now(), self.store.clone());
        self.insist(|| store.alert(now, kind, key, text)).await;
    }

    /// Does it until the store can; `None` if a stop came first, or the store is broken.
    pub(super) async fn insist<T, F>(&self, work: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        loop {
            match work().await {
                Ok(done) => return Some(done),
                Err(error) => {
                    tracing::error!(%error, "what was noticed cannot be kept now");
                    if !matches!(error, StoreError::Unavailable(_)) {
                        return None;
                    }
                }
            }
            self.stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await?;
        }
    }
}

/// A group as people know it.
pub(super) fn named(subject: &str, id: &str) -> String {
    if subject.is_empty() { format!("the group {id}") } else { subject.to_owned() }
}
