//! What payment providers push: `POST /payments/{name}` authenticates, translates, and says 200 once the news are durable.
//!
//! Owns the signatures and the events of Stripe and WooCommerce; their JSON ends here. What the news come to, in whatever
//! order they are told, is the store's ([`crate::store::payments`]); what follows for people who wait comes in through
//! [`Till`]. Keeps nothing of a body.

use crate::{
    clock::{Clock, Timestamp},
    config::{self, PaymentKind},
    facts::Status,
    ids::Phone,
    ingress::{Failures, Unread, read_bounded, source_of},
    numbering,
    store::{
        StoreError,
        payments::{Accounted, News, Notice},
    },
    telemetry::Metrics,
};
use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use ipnet::IpNet;
use serde_json::{Value, json};
use signature::{Denied, Keys};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

mod signature;
mod stripe;
#[cfg(test)]
mod tests;
mod woocommerce;

/// So many foreign words of a provider are told: more of them are no words for a status.
const MOST_FOREIGN: usize = 20;

/// Where news of payments take effect.
#[async_trait]
pub trait Till: Send + Sync + 'static {
    /// Takes the news: durable before it answers, and whoever waits to be removed for want of them is spared at once.
    async fn account(&self, notice: Notice) -> Result<Accounted, StoreError>;

    /// Tells the operators.
    async fn alert(&self, key: &str, text: &str);
}

/// What the door needs.
pub struct Payments {
    providers: HashMap<String, Provider>,
    till: Arc<dyn Till>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    failures: Failures,
    max_body: usize,
    trusted_proxies: Vec<IpNet>,
}

struct Provider {
    kind: PaymentKind,
    keys: Keys,
    tolerance: Duration,
    terms: Terms,
    told_nobody: AtomicBool,
    told_late: AtomicBool,
    told_foreign: Mutex<BTreeSet<String>>,
}

/// How one provider's events are read.
struct Terms {
    name: String,
    leeway: Duration,
    phones: Vec<String>,
    status_map: BTreeMap<String, Status>,
    default_country: Option<String>,
}

/// What was read; `None` if it says nothing to us; a sentence if it cannot be understood.
type Reading = Result<Option<Notice>, &'static str>;

/// What the caller hears, and how it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Done(Accounted),
    Greeted,
    Ignored,
    Unreadable,
    Unauthentic,
    Limited,
    Missing,
    Unread(Unread),
    Unavailable,
}

impl Payments {
    /// Takes the providers from the configuration; `None` if there are none.
    ///
    /// # Errors
    /// A sentence, if a secret cannot be read.
    pub fn new(
        config: &config::Config,
        till: Arc<dyn Till>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Option<Self>, String> {
        let country = config.lists.default_country.as_deref();
        let providers =
            config.payments.iter().map(|one| Ok((one.name.clone(), Provider::new(one, country)?)));
        let providers: HashMap<_, _> = providers.collect::<Result<_, String>>()?;
        if providers.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            providers,
            till,
            failures: Failures::new(Arc::clone(&clock)),
            clock,
            metrics,
            max_body: config.server.max_body_bytes,
            trusted_proxies: config.server.trusted_proxies.clone(),
        }))
    }

    async fn take(&self, name: &str, request: Request) -> Answer {
        let (head, body) = request.into_parts();
        let source = source_of(&head, &self.trusted_proxies);
        let failed = |otherwise| if self.failures.count(source) { otherwise } else { Answer::Limited };
        let Some(provider) = self.providers.get(name) else { return failed(Answer::Missing) };
        let body = match read_bounded(body, self.max_body).await {
            Ok(body) => body,
            Err(unread) => return Answer::Unread(unread),
        };
        if provider.greets(&head.headers, &body) {
            return Answer::Greeted;
        }
        let now = self.clock.now();
        if let Err(denied) = provider.check(&head.headers, &body, now) {
            if denied == Denied::Late && !provider.told_late.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    name,
                    "a payment webhook is rightly signed, but not now: is this machine's clock right?"
                );
            }
            return failed(Answer::Unauthentic);
        }
        match provider.read(&body, now) {
            Ok(Some(notice)) => {
                let foreign = provider.foreign_word(&notice, &body);
                let answer = self.account(provider, notice).await;
                if let (Answer::Done(_), Some(word)) = (answer, foreign) {
                    let text = format!(
                        "[[payments]] {name}: the status `{word}` says nothing to us: who has it is unknown and not \
                         removed for it; name it in `status_map`"
                    );
                    self.till.alert(&format!("payments {name} {word}"), &text).await;
                }
                answer
            }
            Ok(None) => Answer::Ignored,
            Err(why) => {
                tracing::warn!(name, "a payment webhook cannot be understood: {why}");
                Answer::Unreadable
            }
        }
    }

    async fn account(&self, provider: &Provider, notice: Notice) -> Answer {
        let name = &provider.terms.name;
        match self.till.account(notice).await {
            Ok(Accounted::Nobody) => {
                if !provider.told_nobody.swap(true, Ordering::Relaxed) {
                    let text = format!(
                        "[[payments]] {name}: a subscription was told and no phone with it, so nobody can be matched; \
                         have the checkout ask for the phone, or put it into the subscription's metadata as `phone`; \
                         more of them are only counted"
                    );
                    self.till.alert(&format!("payments {name}"), &text).await;
                }
                Answer::Done(Accounted::Nobody)
            }
            Ok(outcome) => Answer::Done(outcome),
            Err(error) => {
                tracing::error!(%error, name, "a payment webhook cannot be stored");
                Answer::Unavailable
            }
        }
    }
}

impl Provider {
    fn new(config: &config::Payments, country: Option<&str>) -> Result<Self, String> {
        let secrets = config.secrets.iter().map(config::Secret::expose).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            kind: config.kind,
            keys: Keys::new(secrets.into_iter()),
            tolerance: config.tolerance,
            terms: Terms {
                name: config.name.clone(),
                leeway: config.leeway,
                phones: config.phones.clone(),
                status_map: config.status_map.clone(),
                default_country: country.map(str::to_owned),
            },
            told_nobody: AtomicBool::new(false),
            told_late: AtomicBool::new(false),
            told_foreign: Mutex::default(),
        })
    }

    fn signature<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let name = match self.kind {
            PaymentKind::Stripe => "stripe-signature",
            PaymentKind::WooCommerce => "x-wc-webhook-signature",
        };
        headers.get(name)?.to_str().ok()
    }

    fn greets(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        self.kind == PaymentKind::WooCommerce
            && self.signature(headers).is_none()
            && woocommerce::is_greeting(body)
    }

    fn check(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), Denied> {
        let header = self.signature(headers).ok_or(Denied::Forged)?;
        match self.kind {
            PaymentKind::Stripe => self.keys.stripe(header, body, now, self.tolerance),
            PaymentKind::WooCommerce => self.keys.woocommerce(header, body),
        }
    }

    fn read(&self, body: &[u8], now: Timestamp) -> Reading {
        match self.kind {
            PaymentKind::Stripe => stripe::read(body, &self.terms),
            PaymentKind::WooCommerce => woocommerce::read(body, &self.terms, now),
        }
    }
}

impl Provider {
    /// The word of an event that nobody understands, the first time it is met.
    fn foreign_word(&self, notice: &Notice, body: &[u8]) -> Option<String> {
        let News::Standing { standing, .. } = &notice.contract.as_ref()?.news else { return None };
        if standing.status != Status::Unknown {
            return None;
        }
        let place = match self.kind {
            PaymentKind::Stripe => "/data/object/status",
            PaymentKind::WooCommerce => "/status",
        };
        let event: Value = serde_json::from_slice(body).ok()?;
        let word: String = numbering::shortened(event.pointer(place)?.as_str()?).chars().take(40).collect();
        let mut told = self.told_foreign.lock().unwrap_or_else(PoisonError::into_inner);
        (told.len() < MOST_FOREIGN && told.insert(word.clone())).then_some(word)
    }
}

impl Terms {
    /// The owner's own word for a provider's status.
    fn mapped(&self, word: &str) -> Option<Status> {
        self.status_map.get(&word.to_lowercase()).copied()
    }
}

/// The first readable phone at the configured places, and the place.
fn found<'t>(event: &Value, country: Option<&str>, terms: &'t Terms) -> Option<(Phone, &'t str)> {
    let country = country.filter(|code| numbering::is_country(code)).or(terms.default_country.as_deref());
    terms.phones.iter().find_map(|pointer| {
        let phone = as_billed(event.pointer(pointer)?.as_str()?.trim(), country)?;
        Some((phone, pointer.as_str()))
    })
}

/// A number as customers type it: without `+` or `00` it is one of the payer's country where that is known, unless it
/// begins with that country's code already.
fn as_billed(text: &str, country: Option<&str>) -> Option<Phone> {
    let international = text.starts_with('+') || text.starts_with("00");
    let Some(country) = country.filter(|_| !international) else { return numbering::spelled(text, None) };
    let whole = numbering::spelled(text, None);
    let of_country = whole.filter(|phone| numbering::country_of(*phone).as_deref() == Some(country));
    of_country.or_else(|| numbering::national(text, country)).or(whole)
}

/// The route, over HTTP/1 with the peer's address as connect info.
pub fn router(state: Arc<Payments>) -> Router {
    Router::new().route("/payments/{name}", post(receive)).with_state(state)
}

async fn receive(
    State(payments): State<Arc<Payments>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let answer = payments.take(&name, request).await;
    // Only names of the configuration become labels.
    let known = if payments.providers.contains_key(&name) { name.as_str() } else { "none" };
    payments.metrics.payment(known, answer.as_str());
    answer.into_response()
}

impl Answer {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done(Accounted::Taken) => "taken",
            Self::Done(Accounted::Repeat) => "repeat",
            Self::Done(Accounted::Nothing) => "nothing_new",
            Self::Done(Accounted::Nobody) => "nobody",
            Self::Greeted => "greeted",
            Self::Ignored => "ignored",
            Self::Unreadable => "unreadable",
            Self::Unauthentic => "unauthentic",
            Self::Limited => "limited",
            Self::Missing => "missing",
            Self::Unread(Unread::TooLarge) => "too_large",
            Self::Unread(Unread::Broken) => "broken",
            Self::Unread(Unread::Slow) => "slow",
            Self::Unavailable => "unavailable",
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let refuse = |status: StatusCode, error: &str, next: &str| {
            (status, Json(json!({"error": error, "next": next}))).into_response()
        };
        let again = |seconds: &'static str, mut response: Response| {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static(seconds));
            response
        };
        match self {
            Self::Done(_) | Self::Greeted | Self::Ignored | Self::Unreadable => {
                Json(json!({"status": self.as_str()})).into_response()
            }
            Self::Unauthentic => refuse(
                StatusCode::UNAUTHORIZED,
                "not authentic",
                "check the secret in [[payments]], and this machine's clock",
            ),
            Self::Limited => {
                let next = "wait, then mend the secret";
                again("60", refuse(StatusCode::TOO_MANY_REQUESTS, "too many failed authentications", next))
            }
            Self::Missing => {
                let next = "check the name at the end of the URL";
                refuse(StatusCode::NOT_FOUND, "there is no such payment provider", next)
            }
            Self::Unread(Unread::TooLarge) => {
                let next = "raise [server] max_body if it is genuine";
                refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", next)
            }
            Self::Unread(Unread::Broken) => {
                refuse(StatusCode::BAD_REQUEST, "the body ended early", "send it again")
            }
            Self::Unread(Unread::Slow) => {
                refuse(StatusCode::REQUEST_TIMEOUT, "the body took too long", "send it again")
            }
            Self::Unavailable => {
                let what = "cannot be made durable now";
                again("5", refuse(StatusCode::SERVICE_UNAVAILABLE, what, "send it again"))
            }
        }
    }
}
