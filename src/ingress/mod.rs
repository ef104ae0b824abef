//! The way in: `POST /webhooks/{session}` authenticates, bounds, stores the raw bytes, and only then says 202.
//!
//! Owns the answers of DESIGN §6 and promise P1's first half: a 2xx is sent after the bytes are durable. It knows
//! nothing of what an event means, and keeps nothing of query or headers. After a durable append the bell is rung;
//! the pipeline sleeps by it.

use crate::{
    clock::Clock,
    config,
    silence::{self, Pulse},
    store::{Appended, NewEntry, Store},
    telemetry::{Metrics, WebhookOutcome},
};
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Request, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use ipnet::IpNet;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Notify;

mod auth;
mod body;
mod bounded;
mod flood;
#[cfg(test)]
mod tests;

pub use auth::{Denied, SessionAuth};
pub use bounded::{Unread, read_bounded, source_of};
pub use flood::Failures;

/// What the way in needs.
pub struct Ingress {
    sessions: HashMap<String, SessionAuth>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    max_body: usize,
    trusted_proxies: Vec<IpNet>,
    failures: flood::Failures,
    bell: Arc<Notify>,
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
    store_is_down: AtomicBool,
}

/// What became of a post that was stored.
struct Taken {
    appended: Vec<Appended>,
    /// Nothing but canaries.
    is_own: bool,
}

/// Why a post is not stored. Each has its answer.
#[derive(Debug)]
enum Refusal {
    NotAuthentic(StatusCode, &'static str),
    Limited,
    Unread(Unread),
    Unavailable,
}

impl Ingress {
    /// Takes the sessions, the bound and the proxies from the configuration. `bell` is rung after each append that
    /// brought something new.
    ///
    /// # Errors
    /// A sentence, if a session's proofs cannot be read.
    pub fn new(
        config: &config::Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        bell: Arc<Notify>,
        metrics: Arc<Metrics>,
        pulse: Arc<Pulse>,
    ) -> Result<Self, String> {
        let proofs = config.sessions.iter().map(|session| {
            let auth = SessionAuth::new(session)?;
            Ok((session.name.as_str().to_owned(), auth))
        });
        Ok(Self {
            sessions: proofs.collect::<Result<_, String>>()?,
            failures: flood::Failures::new(Arc::clone(&clock)),
            store,
            clock,
            max_body: config.server.max_body_bytes,
            trusted_proxies: config.server.trusted_proxies.clone(),
            bell,
            metrics,
            pulse,
            store_is_down: AtomicBool::new(false),
        })
    }

    /// Counts a failed authentication; the answer is 429 once the address has used up its allowance.
    fn failure(&self, request: &axum::http::request::Parts, otherwise: Refusal) -> Refusal {
        let source = source_of(request, &self.trusted_proxies);
        if self.failures.count(source) { otherwise } else { Refusal::Limited }
    }

    /// The whole way of one post, up to the durable append. Authentic posts never meet the limiter.
    async fn take(&self, request: Request<Body>) -> Result<Taken, Refusal> {
        let (head, body) = request.into_parts();
        let no_session = || Refusal::NotAuthentic(StatusCode::NOT_FOUND, NO_SESSION);
        let denied = |_: Denied| Refusal::NotAuthentic(StatusCode::UNAUTHORIZED, NOT_AUTHENTIC);

        let name = head.uri.path().rsplit('/').next().unwrap_or_default();
        let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
        let session = self.sessions.get(name.as_ref()).ok_or_else(|| self.failure(&head, no_session()))?;
        let body = bounded::announced(body, self.max_body).await.map_err(Refusal::Unread)?;
        let claim = session
            .check_head(&head.uri, &head.headers)
            .map_err(|wrong| self.failure(&head, denied(wrong)))?;
        let body = read_bounded(body, self.max_body).await.map_err(Refusal::Unread)?;
        session.check_body(claim, &body).map_err(|wrong| self.failure(&head, denied(wrong)))?;

        let entries = body::entries(session.name(), &body, self.clock.now());
        // Our own canaries show nothing of the gateway, and count nowhere.
        let is_own = entries.iter().all(|entry| silence::is_own_key(&entry.key));
        let appended = self.append(entries).await?;
        if !is_own {
            self.pulse.heard(session.name());
        }
        Ok(Taken { appended, is_own })
    }

    /// The durable append. A store that fails is told of once, not once per post.
    async fn append(&self, entries: Vec<NewEntry>) -> Result<Vec<Appended>, Refusal> {
        let appended = self.store.append(entries).await;
        let was_down = self.store_is_down.load(Ordering::Relaxed);
        if appended.is_err() != was_down {
            self.store_is_down.store(!was_down, Ordering::Relaxed);
            match &appended {
                Ok(_) => tracing::info!("webhooks can be stored again"),
                Err(error) => {
                    tracing::error!(%error, "webhooks cannot be stored; answering 503 until they can")
                }
            }
        }
        appended.map_err(|_| Refusal::Unavailable)
    }
}

const STORED: &str = r#"{"status":"stored"}"#;
const REPEAT: &str = r#"{"status":"repeat"}"#;
const NO_SESSION: &str =
    r#"{"error":"there is no such session","next":"check the name at the end of the URL"}"#;
const NOT_AUTHENTIC: &str =
    r#"{"error":"not authentic","next":"check the webhook secret and the signature key"}"#;
const LIMITED: &str = r#"{"error":"too many failed authentications","next":"wait, then mend the secret"}"#;
const TOO_LARGE: &str =
    r#"{"error":"the body is too large","next":"raise [server] max_body if it is genuine"}"#;
const BROKEN: &str = r#"{"error":"the body ended early","next":"send it again"}"#;
const SLOW: &str = r#"{"error":"the body took too long","next":"send it again"}"#;
const UNAVAILABLE: &str = r#"{"error":"cannot be made durable now","next":"send it again"}"#;

/// The route, over HTTP/1 with the peer's address as connect info.
pub fn router(state: Arc<Ingress>) -> Router {
    Router::new().route("/webhooks/{session}", post(receive)).with_state(state)
}

/// Answers, counts, rings.
async fn receive(State(ingress): State<Arc<Ingress>>, request: Request<Body>) -> Response {
    match ingress.take(request).await {
        Ok(Taken { appended, is_own }) => {
            let repeats = appended.iter().filter(|one| **one == Appended::Repeat).count();
            let new = appended.len() - repeats;
            if !is_own {
                ingress.metrics.webhook(WebhookOutcome::Stored, new as u64);
                ingress.metrics.webhook(WebhookOutcome::Repeat, repeats as u64);
            }
            if new > 0 {
                ingress.bell.notify_one();
            }
            answer(StatusCode::ACCEPTED, if new > 0 { STORED } else { REPEAT })
        }
        Err(refusal) => {
            let (outcome, response) = refusal.answer();
            if let Some(outcome) = outcome {
                ingress.metrics.webhook(outcome, 1);
            }
            tracing::debug!(?refusal, "webhook not taken");
            response
        }
    }
}

impl Refusal {
    /// How it is counted and what the caller hears.
    fn answer(&self) -> (Option<WebhookOutcome>, Response) {
        let again = |seconds, mut response: Response| {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static(seconds));
            response
        };
        match self {
            Self::NotAuthentic(status, text) => (Some(WebhookOutcome::Unauthentic), answer(*status, text)),
            Self::Limited => {
                let response = again("60", answer(StatusCode::TOO_MANY_REQUESTS, LIMITED));
                (Some(WebhookOutcome::Limited), response)
            }
            Self::Unread(Unread::TooLarge) => {
                (Some(WebhookOutcome::TooLarge), answer(StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE))
            }
            Self::Unread(Unread::Broken) => (None, answer(StatusCode::BAD_REQUEST, BROKEN)),
            Self::Unread(Unread::Slow) => (None, answer(StatusCode::REQUEST_TIMEOUT, SLOW)),
            Self::Unavailable => {
                let response = again("5", answer(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE));
                (Some(WebhookOutcome::Unavailable), response)
            }
        }
    }
}

/// A short JSON answer.
fn answer(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}
