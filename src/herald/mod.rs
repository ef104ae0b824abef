//! The herald: tells the operators what was raised as an alert, in a chat of theirs and by a webhook.
//!
//! Everybody raises alerts in the store; the herald alone decides what becomes a message. `gathering` says when, `wording`
//! says how, `webhook` posts. The message in WhatsApp is an outbox row like any other, under the same ceilings; if WhatsApp
//! is the trouble it waits there, and the post goes all the same. What fails here is logged and never raised: an alert
//! about alerts would not end.

mod gathering;
mod webhook;
mod wording;

use crate::{
    clock::{Clock, Timestamp},
    config::{self, AlertsChat},
    ids::SessionName,
    retry,
    store::{Chat, ChatMessage, Post, PostOutcome, Store, StoreError, Telling},
    telemetry::Redactor,
    transport::Transport,
};
use gathering::Incident;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use webhook::Webhook;

/// Older news was raised while nobody was to be told.
const NEWS: Duration = Duration::from_secs(24 * 3600);

/// A message that could not be sent for so long is no news either, and a post is not tried for longer.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// After the store failed.
const PAUSE: Duration = Duration::from_secs(5);

/// Between two looks at the most: an alert that was kept without the bell is found all the same.
const ROUND: Duration = Duration::from_secs(600);

/// What a herald works with; the composition root fills it in.
pub struct Parts {
    /// `[alerts]`.
    pub config: config::Alerts,
    /// The number that writes.
    pub session: SessionName,
    /// Which daemon this is, for the receiver of posts.
    pub host: String,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The way to the webhook.
    pub web: Arc<dyn Transport>,
    /// The steady clock, that of the outbox.
    pub steady: Arc<dyn Clock>,
    /// To ring when a row was written.
    pub outbox_bell: watch::Sender<()>,
    /// Takes secrets and numbers out.
    pub redactor: Redactor,
}

/// Tells the operators.
pub struct Herald {
    parts: Parts,
    webhook: Option<Webhook>,
    /// There is something to post.
    posts: Notify,
}

impl Herald {
    /// A herald; `None` if the operators read the log only.
    ///
    /// # Errors
    /// A sentence, if the webhook's secret cannot be read.
    pub fn new(parts: Parts) -> Result<Option<Self>, String> {
        let webhook = Webhook::new(&parts.config, parts.host.clone(), parts.web.clone())?;
        let idle = webhook.is_none() && parts.config.chat.is_none();
        Ok((!idle).then(|| Self { parts, webhook, posts: Notify::new() }))
    }

    /// Works until `stop`. What is not told by then is told after the next start.
    pub async fn run(self, stop: CancellationToken) {
        let both = async { tokio::join!(self.gather(), self.post()) };
        stop.run_until_cancelled(both).await;
    }

    /// Turns alerts into messages.
    async fn gather(&self) {
        let bell = self.parts.store.alert_bell();
        loop {
            let now = self.parts.steady.now();
            let due = match self.tell(now).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::error!(%error, "what operators are to be told cannot be kept now");
                    Some(now + PAUSE)
                }
            };
            self.rest(due, &bell).await;
        }
    }

    async fn tell(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let news = self.parts.store.news(now - NEWS).await?;
        let (incidents, mut next) = gathering::due(news, self.parts.config.window, now);
        for incident in incidents {
            let kind = incident.kind.clone();
            let telling = self.telling(incident, now);
            tracing::info!(kind, alerts = telling.alerts.len(), count = telling.count, "operators are told");
            self.parts.store.tell(telling, now).await?;
            self.parts.outbox_bell.send_replace(());
            self.posts.notify_one();
            // There may be more news than one look holds.
            next = Some(now);
        }
        Ok(next)
    }

    fn telling(&self, incident: Incident, now: Timestamp) -> Telling {
        let lines = wording::lines(&incident, &self.parts.redactor);
        let text = wording::message(&incident, &lines, now);
        let chat = self.parts.config.chat.as_ref().map(|chat| match chat {
            AlertsChat::Group(group) => Chat::Group(group.clone()),
            AlertsChat::Person(phone) => Chat::Person(*phone),
        });
        let session = self.parts.session.clone();
        let message = chat.map(|chat| ChatMessage { session, chat, text, expires_at: now + LIFETIME });
        let times = |of: fn(&crate::store::AlertNews) -> Timestamp| incident.alerts.iter().map(of);
        Telling {
            first_at: times(|alert| alert.first_at).min().unwrap_or(now),
            last_at: times(|alert| alert.last_at).max().unwrap_or(now),
            count: incident.alerts.iter().map(wording::unsaid).sum(),
            alerts: incident.alerts.iter().map(|alert| (alert.id, alert.count)).collect(),
            kind: incident.kind,
            follow_up: incident.follow_up,
            lines,
            message,
            post: self.webhook.is_some(),
        }
    }

    /// Posts what is due.
    async fn post(&self) {
        let Some(webhook) = &self.webhook else { return };
        loop {
            let now = self.parts.steady.now();
            let due = match self.post_due(webhook, now).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::error!(%error, "posts to the operators cannot be worked on now");
                    Some(now + PAUSE)
                }
            };
            self.rest(due, &self.posts).await;
        }
    }

    async fn post_due(&self, webhook: &Webhook, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let (posts, mut next) = self.parts.store.posts(now).await?;
        for post in posts {
            let outcome = self.attempt(webhook, &post).await;
            if let PostOutcome::Again(at) = outcome {
                next = next.into_iter().chain([at]).min();
            }
            self.parts.store.posted(post.id, outcome).await?;
        }
        Ok(next)
    }

    async fn attempt(&self, webhook: &Webhook, post: &Post) -> PostOutcome {
        let Err(why) = webhook.post(post).await else { return PostOutcome::Done };
        let now = self.parts.steady.now();
        let attempts = post.attempts + 1;
        if now.since(post.told_at) >= LIFETIME {
            tracing::error!(
                incident = post.id,
                attempts,
                why,
                "an alert could not be posted and is given up"
            );
            return PostOutcome::GivenUp;
        }
        tracing::warn!(incident = post.id, attempts, why, "an alert could not be posted; it is tried again");
        PostOutcome::Again(now + retry::back_off(attempts.min(retry::MAX_ATTEMPTS), None, fastrand::f64()))
    }

    async fn rest(&self, due: Option<Timestamp>, bell: &Notify) {
        let pause = due.map_or(ROUND, |due| due.since(self.parts.steady.now()).min(ROUND));
        // In one order, so that equal worlds go equal ways.
        tokio::select! {
            biased;
            () = bell.notified() => {}
            () = tokio::time::sleep(pause.max(Duration::from_millis(1))) => {}
        }
    }
}
