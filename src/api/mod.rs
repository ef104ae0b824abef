//! Health, numbers and the admin API: what people and programs may see and change while the daemon runs.
//!
//! Owns the paths of DESIGN §6 besides the webhooks, the bearer token, and the JSON of the answers: `snake_case` names,
//! ids as `"e17"`, times in milliseconds since 1970, refusals as `{"error": sentence, "next": step}`. These are the
//! owner's own views: numbers are shown in full. It has no memory of its own; files belong to whoever implements
//! [`Owners`].

use crate::{
    clock::{Clock, Timestamp},
    facts::{Lookup, Subscription},
    ids::{Phone, SessionName, SweepId},
    silence::Vital,
    store::{Store, StoreError, Whom},
    telemetry::Metrics,
};
use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tokio::sync::{Notify, watch};

pub mod explain;
mod health;
mod journal;
pub mod local;
mod owners;
pub mod rulings;
pub mod sweeps;
#[cfg(test)]
mod tests;
pub mod views;

/// Bytes of an import.
const MOST_IMPORTED: usize = 64 << 20;

/// What the API needs.
pub struct Api {
    /// Where everything is read.
    pub store: Arc<dyn Store>,
    /// The owner's files and the running parts.
    pub owners: Arc<dyn Owners>,
    /// For ages.
    pub clock: Arc<dyn Clock>,
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Rung when something was put back in line.
    pub bell: Arc<Notify>,
    /// Rung when a human has ruled on outbox rows.
    pub outbox_bell: watch::Sender<()>,
    /// Opens everything but health; without one the protected paths answer 404.
    pub admin_token: Option<String>,
    /// Whether `/metrics` is open.
    pub metrics_public: bool,
    /// IANA name, for dates without a time.
    pub time_zone: String,
}

/// What the composition root lends to the API.
#[async_trait]
pub trait Owners: Send + Sync + 'static {
    /// Every list and the allowlist, as in force.
    fn lists(&self) -> Vec<ListStatus>;

    /// Takes up a shrunk, emptied or missing list after all. Answers a line on what is in force now, else why not.
    async fn accept_list(&self, name: &str) -> Result<String, String>;

    /// The local list as it stands, under `local`.
    fn local_list(&self) -> Value;

    /// What all lists say of an entry's person.
    async fn listing(&self, entry: &str) -> Result<Value, Refusal>;

    /// Adds to the local list, all or none; `who` says so where an entry does not say.
    async fn list_locally(&self, wanted: Vec<local::Wanted>, who: &str) -> Result<Value, Refusal>;

    /// Takes off the local list, and makes an exception from the others where one is needed.
    async fn unlist_locally(&self, wanted: local::Wanted, who: &str) -> Result<Value, Refusal>;

    /// Whom that shared list would touch, by group, as the chains see them now; else why nobody can tell.
    async fn preview_list(&self, name: &str) -> Result<serde_json::Value, String>;

    /// Takes up a shrunk or emptied subscription file after all.
    async fn accept_subscriptions(&self) -> Result<String, String>;

    /// What is known of somebody's subscription now.
    async fn subscription(&self, phone: Phone) -> Lookup<Subscription>;

    /// Keeps what the payment side pushes; it counts at once.
    async fn push(&self, phone: Phone, subscription: Subscription) -> Result<(), String>;

    /// Begins a sweep. `None`: there is nobody to look at.
    async fn sweep(&self, whom: Whom) -> Result<Option<SweepId>, StoreError>;

    /// The running parts.
    fn status(&self) -> Status;

    /// Puts figures that are kept elsewhere among the metrics; at a scrape.
    fn count(&self) {}

    /// Use of every ceiling.
    async fn limits(&self) -> Vec<CeilingUse>;
}

/// A list as in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListStatus {
    /// Its name; the allowlist is `allowlist`.
    pub name: String,
    /// Entries in force.
    pub entries: u64,
    /// When these were taken up.
    pub taken_at: Option<Timestamp>,
    /// Why an edit is refused, while one is.
    pub refused: Option<String>,
    /// For a list from a URL: when its server last answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<Timestamp>,
    /// For a list from a URL: since when its server does not answer, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
    /// For a list of another community: publisher, version, its end, how far it is trusted and how far that is in effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<Value>,
}

/// Since when a list cannot be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failing {
    /// The first time in a row.
    pub since: Timestamp,
    /// What came of the last.
    pub why: String,
}

/// The running parts for `/readyz`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Our sessions: how each is, when it was heard last, how old its canary is.
    pub sessions: Vec<Vital>,
    /// What the owner edited and we refuse: `policies`, `subscriptions`, …, each with why.
    pub refused: Vec<(String, String)>,
}

/// How much of a ceiling is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CeilingUse {
    /// Whose.
    pub session: SessionName,
    /// Which calls: a class, or what the gateway counts together.
    pub class: &'static str,
    /// Who set it: `configured`, or `wawp` for the gateway's own.
    pub source: &'static str,
    /// The window's length as people write it.
    pub window: String,
    /// Calls that hold a place in it.
    pub used: u32,
    /// Calls it allows now, the ramp considered.
    pub limit: u32,
}

/// Why a request is not answered: a status, a sentence, the next step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("{error}; {next}")]
pub struct Refusal {
    /// The HTTP status.
    #[serde(skip)]
    pub status: StatusCode,
    /// One sentence.
    pub error: String,
    /// What to do.
    pub next: String,
}

impl Refusal {
    /// The request cannot be understood.
    pub fn bad(error: impl Into<String>, next: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error: error.into(), next: next.into() }
    }

    /// There is no such thing.
    pub fn missing(error: impl Into<String>, next: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, error: error.into(), next: next.into() }
    }

    /// Understood, and not done.
    pub fn conflict(error: impl Into<String>, next: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, error: error.into(), next: next.into() }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the API could not use the store");
        let status = match error {
            StoreError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, error: error.to_string(), next: "see the daemon's log".into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

/// Every path but the webhooks.
pub fn router(state: Arc<Api>) -> Router {
    let admin = Router::new()
        .route("/events", get(journal::events))
        .route("/events/{id}", get(journal::event))
        .route("/events/{id}/retry", post(journal::retry))
        .route("/decisions", get(journal::decisions))
        .route("/decisions/{id}", get(journal::decision))
        .route("/outbox", get(journal::outbox))
        .route("/outbox/approve", post(rulings::approve_held))
        .route("/outbox/cancel", post(rulings::cancel_held))
        .route("/outbox/{id}/approve", post(rulings::approve))
        .route("/outbox/{id}/cancel", post(rulings::cancel))
        .route("/outbox/{id}/retry", post(rulings::retry))
        .route("/brakes", get(rulings::list))
        .route("/groups", get(journal::groups))
        .route("/groups/{id}", get(journal::group))
        .route("/alerts", get(journal::alerts))
        .route("/explain/{reference}", get(journal::explain))
        .route("/limits", get(owners::limits))
        .route("/blacklist", get(local::lists).post(local::add))
        // More entries than a body of the usual length holds.
        .route("/blacklist/import", post(local::import).layer(DefaultBodyLimit::max(MOST_IMPORTED)))
        .route("/blacklist/{name}", get(local::listing).delete(local::remove))
        .route("/blacklist/{name}/preview", get(owners::preview_list))
        .route("/blacklist/{name}/accept", post(owners::accept_list))
        .route("/sweeps", get(sweeps::list).post(sweeps::begin))
        .route("/sweeps/{id}", get(sweeps::one).delete(sweeps::cancel))
        .route("/subscriptions/accept", post(owners::accept_subscriptions))
        .route("/subscriptions/{phone}", get(owners::subscription).put(owners::push))
        .fallback(no_such_path)
        .layer(middleware::from_fn_with_state(Arc::clone(&state), ask_token));
    let mut metrics = Router::new().route("/metrics", get(health::metrics));
    if !state.metrics_public {
        // Of this route alone: a layer would take every path that is not there for a protected one.
        metrics = metrics.route_layer(middleware::from_fn_with_state(Arc::clone(&state), ask_token));
    }
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .merge(metrics)
        .nest("/api/v1", admin)
        .with_state(state)
}

/// The answer for a path that is not there, and for every protected path while there is no token.
async fn no_such_path() -> Refusal {
    Refusal::missing("there is no such path", "see the README for the paths of the API")
}

/// Lets a request pass with the right bearer token.
async fn ask_token(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let Some(token) = &api.admin_token else { return no_such_path().await.into_response() };
    let offered =
        request.headers().get(header::AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(7));
    let right = offered.is_some_and(|(scheme, offered)| {
        scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(offered.ct_eq(token.as_bytes()))
    });
    if right {
        return next.run(request).await;
    }
    let refusal = Refusal {
        status: StatusCode::UNAUTHORIZED,
        error: "the bearer token is missing or wrong".into(),
        next: "send `Authorization: Bearer …` with [server] admin_token".into(),
    };
    ([(header::WWW_AUTHENTICATE, "Bearer")], refusal).into_response()
}
