//! What the API may see and change of the running parts.

use super::{
    books::{Books, tell},
    local::LocalDesk,
    watch::LOOK_EVERY,
};
use crate::{
    action::Class,
    api::{CeilingUse, Failing, ListStatus, Owners, Refusal, Status, local::Wanted},
    aside,
    clock::{Clock, Timestamp, format_duration},
    config::Window,
    facts::{Lookup, Subscription},
    ids::{Phone, SessionName, SweepId},
    limits::{Ceilings, Ledger},
    payments::Till,
    pipeline::Pipeline,
    silence::Pulse,
    store::{
        Cause, Pushed, Store, StoreError, Whom,
        payments::{Account, Accounted, Notice},
    },
    takeup::Takeup,
    telemetry::Metrics,
};
use async_trait::async_trait;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, mpsc};

/// So many looks of the watch an `accept` waits for a file to stand still: more than one needs that was written slowly.
const MOST_LOOKS: u32 = 12;

/// A session's ceilings and their use.
pub(super) struct Watched {
    pub(super) session: SessionName,
    pub(super) ceilings: Arc<Mutex<Ceilings>>,
    pub(super) ledger: Arc<Mutex<Ledger>>,
}

/// The running parts as the API sees them.
pub(super) struct Desk {
    pub(super) books: Arc<Books>,
    pub(super) store: Arc<dyn Store>,
    pub(super) wall: Arc<dyn Clock>,
    pub(super) steady: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) watched: Vec<Watched>,
    pub(super) journal_bell: Arc<Notify>,
    /// Where pushed payments are told, so that nobody who waits to be removed has to wait to be spared.
    pub(super) payments: mpsc::UnboundedSender<Phone>,
    /// For previews, which ask the chains, and for sweeps.
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) pulse: Arc<Pulse>,
}

#[async_trait]
impl Till for Desk {
    async fn account(&self, notice: Notice) -> Result<Accounted, StoreError> {
        let Account { outcome, pushed, dropped } = self.store.account(notice, self.wall.now()).await?;
        for phone in dropped {
            self.books.subscriptions.forget_pushed(phone);
        }
        if !pushed.is_empty() {
            self.take_effect(pushed).await;
        }
        Ok(outcome)
    }

    async fn alert(&self, key: &str, text: &str) {
        tracing::warn!("{text}");
        self.metrics.alert("payments");
        if let Err(error) = self.store.alert(self.wall.now(), "payments", key, text).await {
            tracing::error!(%error, "the alert could not be kept");
        }
    }
}

impl Desk {
    /// What was pushed, and is durable, counts from now on.
    async fn take_effect(&self, pushed: Vec<Pushed>) {
        for Pushed { phone, subscription, at } in pushed {
            self.books.subscriptions.push(phone, subscription, at);
            // Somebody may be waiting to be put out for want of just this; without a receiver a stop is under way.
            let _ = self.payments.send(phone);
        }
        // Somebody may be waiting for just this.
        if self.store.hasten_rechecks(self.steady.now()).await.is_ok() {
            self.journal_bell.notify_one();
        }
    }
}

#[async_trait]
impl Owners for Desk {
    fn lists(&self) -> Vec<ListStatus> {
        let waiting = self.books.lists.waiting();
        let refused =
            |name: &str| waiting.iter().find(|(other, _)| other == name).map(|(_, why)| why.clone());
        let lists = self.books.lists.summary().into_iter();
        lists
            .map(|list| ListStatus {
                refused: refused(&list.name),
                entries: list.entries.unwrap_or_default() as u64,
                taken_at: list.loaded_at,
                fetched_at: list.fetched.as_ref().and_then(|fetched| fetched.fetched_at),
                failing: list
                    .fetched
                    .and_then(|fetched| Some(Failing { since: fetched.failing_since?, why: fetched.why? })),
                shared: list.shared.map(|standing| serde_json::json!(standing)),
                name: list.name,
            })
            .collect()
    }

    async fn accept_list(&self, name: &str) -> Result<String, String> {
        let list = name.to_owned();
        until_settled(&self.books, move |books| books.lists.is_unsettled(&list)).await;
        let (books, list, now) = (self.books.clone(), name.to_owned(), self.wall.now());
        let accepted = on_a_blocking_thread(move || books.lists.accept(&list, now)).await;
        self.told(&self.books.lists.what(name), accepted).await
    }

    async fn preview_list(&self, name: &str) -> Result<serde_json::Value, String> {
        let preview = self.pipeline.preview(name).await.map_err(|why| why.to_string())?;
        serde_json::to_value(preview).map_err(|error| error.to_string())
    }

    fn local_list(&self) -> Value {
        self.local().list()
    }

    async fn listing(&self, entry: &str) -> Result<Value, Refusal> {
        self.local().check(entry, self.wall.now()).await
    }

    async fn list_locally(&self, wanted: Vec<Wanted>, who: &str) -> Result<Value, Refusal> {
        self.local().add(wanted, who, self.wall.now()).await
    }

    async fn unlist_locally(&self, wanted: Wanted, who: &str) -> Result<Value, Refusal> {
        self.local().remove(wanted, who, self.wall.now()).await
    }

    async fn accept_subscriptions(&self) -> Result<String, String> {
        until_settled(&self.books, |books| books.subscriptions.is_unsettled()).await;
        let books = self.books.clone();
        let accepted = on_a_blocking_thread(move || books.subscriptions.accept()).await;
        self.told("subscriptions", accepted).await
    }

    async fn subscription(&self, phone: Phone) -> Lookup<Subscription> {
        self.books.subscriptions.fetch(phone, None).await
    }

    async fn push(&self, phone: Phone, subscription: Subscription) -> Result<(), String> {
        let pushed = Pushed { phone, subscription, at: self.wall.now() };
        self.store.push_subscription(pushed.clone()).await.map_err(|e| e.to_string())?;
        self.take_effect(vec![pushed]).await;
        Ok(())
    }

    async fn sweep(&self, whom: Whom) -> Result<Option<SweepId>, StoreError> {
        self.pipeline.sweep(Cause::Operator, whom, None).await
    }

    fn status(&self) -> Status {
        let mut refused: Vec<(String, String)> = Vec::new();
        refused.extend(self.books.policies.refused().map(|why| ("policies".into(), why)));
        refused.extend(self.books.lists.waiting());
        refused.extend(self.books.subscriptions.waiting().map(|why| ("subscriptions".into(), why)));
        Status { sessions: self.pulse.vitals(), refused }
    }

    fn count(&self) {
        let stats = self.books.subscriptions.stats();
        let answers = [
            ("hit", stats.hits),
            ("miss", stats.misses),
            ("ahead", stats.ahead),
            ("error", stats.errors),
            ("negative", stats.negative),
            ("stale", stats.stale),
        ];
        let now = [("entries", stats.entries), ("in_flight", stats.in_flight)];
        self.metrics.set_subscriptions(&answers, stats.latency, &now);
    }

    async fn limits(&self) -> Vec<CeilingUse> {
        let now = self.steady.now();
        let uses: Vec<CeilingUse> = self.watched.iter().flat_map(|watched| watched.uses(now)).collect();
        for one in &uses {
            self.metrics.set_ceiling(&one.session, one.class, &one.window, one.used, one.limit);
        }
        uses
    }
}

impl Watched {
    /// Every window and cap as it stands at `now`.
    fn uses(&self, now: Timestamp) -> Vec<CeilingUse> {
        let ceilings = self.ceilings.lock().unwrap_or_else(PoisonError::into_inner);
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |class: &'static str, source, classes: &[Class], window: Window| CeilingUse {
            session: self.session.clone(),
            class,
            source,
            window: format_duration(window.length),
            used: u32::try_from(ledger.used(classes, window.length, now)).unwrap_or(u32::MAX),
            limit: window.calls,
        };
        let mut uses = Vec::new();
        for class in Class::ALL {
            let windows = ceilings.windows(class, now);
            uses.extend(windows.map(|window| one(class.as_str(), "configured", &[class], window)));
        }
        uses.extend(ceilings.caps().iter().map(|cap| one(cap.name, "wawp", cap.classes, cap.window)));
        uses
    }
}

impl Desk {
    fn local(&self) -> LocalDesk {
        LocalDesk::new(self.store.clone(), self.books.lists.clone())
    }

    /// An accepted file is in force: nothing of it is refused any more.
    async fn told(&self, what: &str, accepted: Result<String, String>) -> Result<String, String> {
        if let Ok(detail) = &accepted {
            let takeup =
                Takeup::Taken { what: what.to_owned(), detail: format!("accepted; {detail}"), flaw: None };
            tell(&[takeup], &self.metrics, &*self.store, self.wall.now()).await;
        }
        accepted
    }
}

/// Waits until the watch has found a file still, some seconds at most: what was saved a moment ago may be accepted, and
/// of what is still being written no part.
async fn until_settled(books: &Arc<Books>, is_unsettled: impl Fn(&Books) -> bool + Clone + Send + 'static) {
    for _ in 0..MOST_LOOKS {
        let (books, is_unsettled) = (books.clone(), is_unsettled.clone());
        if !matches!(aside::run(move || is_unsettled(&books)).await, Ok(true)) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn on_a_blocking_thread(
    work: impl FnOnce() -> Result<String, String> + Send + 'static,
) -> Result<String, String> {
    match aside::run(work).await {
        Ok(answer) => answer,
        Err(died) => Err(format!("the work died: {died}")),
    }
}
