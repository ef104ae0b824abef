//! Lists from URLs, asked for by the clock; a server that fails is told once, and once when it is back.
//!
//! What arrives is a file like the owner's: the watch finds it there and judges it.

use crate::{
    clock::{Clock, Timestamp},
    lists::{Download, ListBook, Looked},
    store::{Store, StoreError},
    telemetry::Metrics,
    transport::Transport,
};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The kind of trouble, in alerts and figures.
const KIND: &str = "list_source";

/// What the work on one list needs.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) web: Arc<dyn Transport>,
    pub(super) store: Arc<dyn Store>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) steady: Arc<dyn Clock>,
}

/// Keeps one list fresh until `stop`.
pub(super) async fn run(list: Arc<Download>, parts: Parts, stop: CancellationToken) {
    loop {
        let wait = list.due().since(parts.steady.now());
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return;
        }
        let looking = list.look(&*parts.web, || parts.steady.now());
        let Some(looked) = stop.run_until_cancelled(looking).await else { return };
        parts.tell(&list, looked).await;
    }
}

impl Parts {
    async fn tell(&self, list: &Download, looked: Result<Looked, String>) {
        let (name, host, now) = (list.name(), list.host(), self.steady.now());
        let kept = match &looked {
            Ok(Looked::Unfit) => {
                tracing::info!(list = name, "the list and its signature do not fit: asking again");
                return;
            }
            Ok(looked) => {
                tracing::debug!(list = name, ?looked, "asked for the list");
                let text = format!("{}: {host} answers again", list.what());
                self.over(name, &text, now).await
            }
            Err(why) => {
                tracing::info!(list = name, why, "the list cannot be fetched");
                self.begins(name, &list.trouble(why, now), now).await
            }
        };
        if let Err(error) = kept {
            tracing::error!(%error, "how a list's server is doing could not be kept");
        }
    }

    async fn begins(&self, name: &str, text: &str, now: Timestamp) -> Result<(), StoreError> {
        if self.store.trouble_begins(now, KIND, name, text).await? {
            self.metrics.alert(KIND);
            tracing::warn!(kind = KIND, "alert: {text}");
        }
        Ok(())
    }

    async fn over(&self, name: &str, text: &str, now: Timestamp) -> Result<(), StoreError> {
        if self.store.trouble_ends(now, KIND, name, text).await? {
            self.metrics.alert(&format!("{KIND}_over"));
            tracing::info!(kind = KIND, "over: {text}");
        }
        Ok(())
    }

    /// Ends what is told of lists that are fetched no more.
    pub(super) async fn forget_others(&self, lists: &ListBook) -> Result<(), StoreError> {
        for trouble in self.store.troubles().await? {
            let is_fetched = || lists.downloads().iter().any(|list| list.name() == trouble.key);
            if trouble.kind == KIND && !is_fetched() {
                let text = format!("list {} is fetched no more", trouble.key);
                self.over(&trouble.key, &text, self.steady.now()).await?;
            }
        }
        Ok(())
    }
}
