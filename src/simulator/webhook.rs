//! Sends events to the daemon as the gateway does: proofs, retries with a constant delay, and the disorder of real life.
//!
//! One dispatcher makes first attempts, in order unless told otherwise; a refused delivery is repeated beside it, so it
//! holds up nobody.

use super::announce::Event;
use crate::transport::Transport;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{
    Method, Request, Url,
    header::{HeaderName, HeaderValue},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Sha256, Sha512};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, mpsc};

/// The hash of a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// As the engine signs.
    #[default]
    Sha512,
    /// As the vendor's Python kit checks.
    Sha256,
}

/// How bodies are signed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Signing {
    /// The shared key.
    pub key: String,
    /// The header that carries the hex digits.
    #[serde(default = "default_header")]
    pub header: String,
    /// The hash.
    #[serde(default)]
    pub algorithm: Algorithm,
}

fn default_header() -> String {
    "X-Webhook-Hmac".to_owned()
}

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signing").field("header", &self.header).field("algorithm", &self.algorithm).finish()
    }
}

/// The HMAC of a body in hex, as the gateway writes it.
pub fn signature(key: &str, algorithm: Algorithm, body: &[u8]) -> String {
    const ANY_LENGTH: &str = "HMAC takes keys of any length";
    match algorithm {
        Algorithm::Sha512 => {
            let mut mac = Hmac::<Sha512>::new_from_slice(key.as_bytes()).expect(ANY_LENGTH);
            mac.update(body);
            hex::encode(mac.finalize().into_bytes())
        }
        Algorithm::Sha256 => {
            let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect(ANY_LENGTH);
            mac.update(body);
            hex::encode(mac.finalize().into_bytes())
        }
    }
}

/// Where events go.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct WebhookTarget {
    /// The address; `{session}` stands for the session's name.
    pub url: String,
    /// Sent as `?secret=`.
    #[serde(default)]
    pub secret: Option<String>,
    /// The signature.
    #[serde(default)]
    pub hmac: Option<Signing>,
}

impl std::fmt::Debug for WebhookTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookTarget")
            .field("url", &self.url)
            .field("hmac", &self.hmac)
            .finish_non_exhaustive()
    }
}

impl WebhookTarget {
    /// An address without any proof.
    pub fn plain(url: impl Into<String>) -> Self {
        Self { url: url.into(), secret: None, hmac: None }
    }
}

/// How deliveries go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delivery {
    /// Attempts in all; the engine's old default is 15.
    pub attempts: u32,
    /// The constant pause between attempts, in milliseconds.
    pub delay_ms: u64,
    /// The share of events that are delivered twice.
    pub duplicates: f64,
    /// The share of events that are never delivered.
    pub lost: f64,
    /// Events that wait together go out in random order.
    pub reorder: bool,
    /// Events that wait together go out as one array body.
    pub arrays: bool,
    /// How many first attempts are under way at once; 1 keeps their order, the real engine waits for none.
    pub parallel: usize,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            attempts: 15,
            delay_ms: 2000,
            duplicates: 0.0,
            lost: 0.0,
            reorder: false,
            arrays: false,
            parallel: 1,
        }
    }
}

/// A receiver that takes longer has refused.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The most events that are shuffled or put into an array together.
const BATCH: usize = 16;

/// The sending side. Clones share everything.
#[derive(Clone, Debug)]
pub(super) struct Emitter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<Option<WebhookTarget>>,
    delivery: Mutex<Delivery>,
    transport: Mutex<Option<Arc<dyn Transport>>>,
    queue: Mutex<Option<mpsc::UnboundedSender<Event>>>,
    seed: u64,
    open: AtomicUsize,
    acknowledged: AtomicUsize,
    settled: Notify,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Emitter {
    pub(super) fn new(target: Option<WebhookTarget>, delivery: Delivery, seed: u64) -> Self {
        Self {
            shared: Arc::new(Shared {
                target: Mutex::new(target),
                delivery: Mutex::new(delivery),
                transport: Mutex::new(None),
                queue: Mutex::new(None),
                seed,
                open: AtomicUsize::new(0),
                acknowledged: AtomicUsize::new(0),
                settled: Notify::new(),
            }),
        }
    }

    pub(super) fn set_target(&self, target: Option<WebhookTarget>) {
        *locked(&self.shared.target) = target;
    }

    pub(super) fn target(&self) -> Option<WebhookTarget> {
        locked(&self.shared.target).clone()
    }

    /// Sends by this from the next event on, instead of over the network.
    pub(super) fn set_transport(&self, transport: Arc<dyn Transport>) {
        *locked(&self.shared.transport) = Some(transport);
    }

    pub(super) fn set_delivery(&self, delivery: Delivery) -> Delivery {
        std::mem::replace(&mut *locked(&self.shared.delivery), delivery)
    }

    /// Queues events; needs a running tokio runtime. Without a target they are gone, like with a real gateway.
    pub(super) fn send(&self, events: Vec<Event>) {
        if events.is_empty() || locked(&self.shared.target).is_none() {
            return;
        }
        let mut queue = locked(&self.shared.queue);
        let sender = queue.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            tokio::spawn(dispatch(Arc::downgrade(&self.shared), receiver));
            sender
        });
        for event in events {
            self.shared.open.fetch_add(1, Ordering::SeqCst);
            if sender.send(event).is_err() {
                self.shared.close(1);
            }
        }
    }

    /// How many events are not yet delivered or given up.
    pub(super) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// How many deliveries were answered with a 2xx.
    pub(super) fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::SeqCst)
    }

    pub(super) async fn settle(&self) {
        loop {
            let notified = self.shared.settled.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Shared {
    fn close(&self, events: usize) {
        self.open.fetch_sub(events, Ordering::SeqCst);
        self.settled.notify_waiters();
    }
}

async fn dispatch(shared: std::sync::Weak<Shared>, mut queue: mpsc::UnboundedReceiver<Event>) {
    let Some(transport) = shared.upgrade().and_then(|shared| transport(&shared)) else { return };
    let mut rng = fastrand::Rng::with_seed(shared.upgrade().map_or(0, |shared| shared.seed));
    let mut waiting = Vec::new();
    let mut underway = tokio::task::JoinSet::new();
    while queue.recv_many(&mut waiting, BATCH).await > 0 {
        let Some(shared) = shared.upgrade() else { return };
        let delivery = locked(&shared.delivery).clone();
        for (session, events) in batches(std::mem::take(&mut waiting), &delivery, &mut rng) {
            let lost = rng.f64() < delivery.lost;
            let copies = if rng.f64() < delivery.duplicates { 2 } else { 1 };
            let Some(target) = locked(&shared.target).clone().filter(|_| !lost) else {
                shared.close(events.len());
                continue;
            };
            let post = Post::of(transport.clone(), target, session, events, delivery.arrays);
            shared.open.fetch_add(post.events * (copies - 1), Ordering::SeqCst);
            for _ in 0..copies {
                if delivery.parallel <= 1 {
                    post.first(&shared, &delivery).await;
                    continue;
                }
                while underway.len() >= delivery.parallel {
                    underway.join_next().await;
                }
                let (post, shared, delivery) = (post.clone(), shared.clone(), delivery.clone());
                underway.spawn(async move { post.first(&shared, &delivery).await });
            }
        }
    }
}

/// What was set, or the network.
fn transport(shared: &Shared) -> Option<Arc<dyn Transport>> {
    if let Some(transport) = locked(&shared.transport).clone() {
        return Some(transport);
    }
    // A missing provider would make the client panic; a second installation is refused and does no harm.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().build().ok()?;
    Some(Arc::new(client))
}

fn batches(
    mut events: Vec<Event>,
    delivery: &Delivery,
    rng: &mut fastrand::Rng,
) -> Vec<(String, Vec<Value>)> {
    if delivery.reorder {
        rng.shuffle(&mut events);
    }
    let mut bodies: Vec<(String, Vec<Value>)> = Vec::new();
    for Event { session, body } in events {
        match bodies.last_mut().filter(|(last, _)| delivery.arrays && *last == session) {
            Some((_, together)) => together.push(body),
            None => bodies.push((session, vec![body])),
        }
    }
    bodies
}

#[derive(Clone)]
struct Post {
    transport: Arc<dyn Transport>,
    target: WebhookTarget,
    session: String,
    body: String,
    at: i64,
    events: usize,
}

impl Post {
    fn of(
        transport: Arc<dyn Transport>,
        target: WebhookTarget,
        session: String,
        events: Vec<Value>,
        array: bool,
    ) -> Self {
        let at = events.first().and_then(|event| event["timestamp"].as_i64()).unwrap_or(0);
        let count = events.len();
        let body = match (array, <[Value; 1]>::try_from(events)) {
            (false, Ok([event])) => event,
            (_, Ok(event)) => Value::Array(event.into()),
            (_, Err(events)) => Value::Array(events),
        };
        Self { transport, target, session, body: body.to_string(), at, events: count }
    }

    /// One attempt here, the others in the background.
    async fn first(&self, shared: &Arc<Shared>, delivery: &Delivery) {
        let events = self.events;
        if self.attempt().await {
            shared.acknowledged.fetch_add(1, Ordering::SeqCst);
            shared.close(events);
            return;
        }
        let (post, shared, delivery) = (self.clone(), shared.clone(), delivery.clone());
        tokio::spawn(async move {
            for _ in 1..delivery.attempts {
                tokio::time::sleep(Duration::from_millis(delivery.delay_ms)).await;
                if post.attempt().await {
                    shared.acknowledged.fetch_add(1, Ordering::SeqCst);
                    break;
                }
            }
            shared.close(events);
        });
    }

    async fn attempt(&self) -> bool {
        let Some(request) = self.request() else { return false };
        self.transport.send(request).await.is_ok_and(|answer| answer.status().is_success())
    }

    /// `None` if the target cannot be written into a request.
    fn request(&self) -> Option<Request> {
        let mut url: Url = self.target.url.replace("{session}", &self.session).parse().ok()?;
        if let Some(secret) = &self.target.secret {
            url.query_pairs_mut().append_pair("secret", secret);
        }
        let mut request = Request::new(Method::POST, url);
        *request.timeout_mut() = Some(ANSWER_WITHIN);
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("user-agent", "WAHA/2026.7.1".to_owned()),
            ("x-webhook-timestamp", self.at.to_string()),
            ("x-webhook-request-id", format!("{:016x}", fastrand::u64(..))),
        ];
        if let Some(signing) = &self.target.hmac {
            headers.push((&signing.header, signature(&signing.key, signing.algorithm, self.body.as_bytes())));
        }
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            request.headers_mut().insert(name, HeaderValue::from_str(&value).ok()?);
        }
        *request.body_mut() = Some(self.body.clone().into());
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The public vector of the engine's documentation.
    #[test]
    fn the_signature_is_that_of_the_engine() {
        let body = br#"{"event":"message","session":"default","engine":"WEBJS"}"#;
        let hex = signature("my-secret-key", Algorithm::Sha512, body);
        assert!(hex.starts_with("208f8a55dde9e05519e898b1"), "{hex}");
        assert_eq!(hex.len(), 128);
        assert_eq!(signature("my-secret-key", Algorithm::Sha256, body).len(), 64);
    }
}
