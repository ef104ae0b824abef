//! The HTTP source: one request a person, coalesced, cached, and its failures told from its answers.
//!
//! The cache (moka) bounds the number of answers and lets simultaneous look-ups of one person share one request.
//! Ages are judged here, by our own clock from the value's own time. Headers with secrets and the number in the URL
//! never reach an error or a log.

use super::{Stats, known, status_of};
use crate::{
    clock::{Clock, Timestamp, parse_end},
    config::{SubscriptionSource, Subscriptions},
    facts::{Lookup, Status, Subscription},
    ids::Phone,
    numbering,
    transport::{Transport, Unanswered},
};
use jiff::tz::TimeZone;
use moka::future::Cache;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, Request,
    header::{ACCEPT, HeaderName, HeaderValue},
};
use serde_json::Value as Json;
use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::sync::Semaphore;

/// The name of the source in evidence.
const SOURCE: &str = "subscription api";
/// Bytes of an answer that are read.
const MAX_BODY: usize = 256 * 1024;
/// How long a failure is remembered, so that a source that is down is not hammered.
const COOLDOWN: Duration = Duration::from_secs(1);

/// The client for this source: follows no redirects, because headers with secrets must not travel.
///
/// # Errors
/// If TLS cannot be set up.
pub fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("perimeterd/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// The source with its cache.
#[derive(Clone)]
pub(super) struct HttpSource(Arc<Inner>);

struct Inner {
    url: String,
    timeout: Duration,
    headers: Vec<(String, crate::config::Secret)>,
    pointers: [String; 3],
    config: Subscriptions,
    time_zone: TimeZone,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    permits: Semaphore,
    cache: Cache<u64, Arc<Entry>>,
    down: AtomicBool,
    recoveries: AtomicU64,
    /// Since when the source as a whole does not answer, by the clock that never steps.
    failed_at: Mutex<Option<Duration>>,
    foreign: Mutex<BTreeSet<String>>,
    stats: Mutex<Stats>,
}

/// What is known of one person: the last good answer, and the failure since, if any.
struct Entry {
    good: Option<Good>,
    failure: Option<Failure>,
}

#[derive(Clone)]
struct Good {
    subscription: Subscription,
    as_of: Timestamp,
    /// When it was asked for, by the clock that never steps.
    asked: Duration,
}

struct Failure {
    why: String,
    at: Duration,
}

/// Why there is no answer.
enum NoAnswer {
    /// The source as a whole: connection, time-out, overload.
    Source(String),
    /// This answer alone.
    Answer(String),
}

impl HttpSource {
    /// `None` if the configuration names another source.
    pub(super) fn new(
        config: &Subscriptions,
        time_zone: TimeZone,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> Option<Self> {
        let SubscriptionSource::Http { url, timeout, headers, pointers, concurrency } = &config.source else {
            return None;
        };
        Some(Self(Arc::new(Inner {
            url: url.clone(),
            timeout: *timeout,
            headers: headers.clone(),
            pointers: pointers.clone(),
            config: config.clone(),
            time_zone,
            transport,
            clock,
            permits: Semaphore::new((*concurrency).clamp(1, 1024)),
            cache: Cache::builder().max_capacity(config.capacity).build(),
            down: AtomicBool::new(false),
            recoveries: AtomicU64::new(0),
            failed_at: Mutex::new(None),
            foreign: Mutex::new(BTreeSet::new()),
            stats: Mutex::new(Stats::default()),
        })))
    }

    /// The answer, if it is at hand and not due.
    pub(super) fn now_or_none(
        &self,
        phone: Phone,
        max_age: Option<Duration>,
    ) -> Option<Lookup<Subscription>> {
        let inner = &self.0;
        let key = phone.as_u64();
        let mut get = pin!(inner.cache.get(&key));
        let Poll::Ready(Some(entry)) = get.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            return None;
        };
        if inner.is_due(&entry, max_age) {
            return None;
        }
        inner.count(|stats| stats.hits += 1);
        Some(inner.answer(&entry, max_age))
    }

    /// The answer, asked for if need be.
    pub(super) async fn fetch(&self, phone: Phone, max_age: Option<Duration>) -> Lookup<Subscription> {
        if let Some(answer) = self.now_or_none(phone, max_age) {
            return answer;
        }
        let inner = Arc::clone(&self.0);
        // In a task of its own: a caller that gives up neither ends nor repeats the request that others wait for.
        let flight = tokio::spawn(async move {
            let old = inner.cache.get(&phone.as_u64()).await;
            let ask = inner.ask(phone, old);
            let due = |entry: &Arc<Entry>| inner.is_due(entry, max_age);
            inner.cache.entry(phone.as_u64()).or_insert_with_if(ask, due).await.into_value()
        });
        match flight.await {
            Ok(entry) => self.0.answer(&entry, max_age),
            Err(_) => Lookup::Unknown { why: format!("the look-up in the {SOURCE} broke off") },
        }
    }

    pub(super) fn is_down(&self) -> bool {
        self.0.down.load(Ordering::SeqCst)
    }

    pub(super) fn recoveries(&self) -> u64 {
        self.0.recoveries.load(Ordering::SeqCst)
    }

    pub(super) fn stats(&self) -> Stats {
        *self.0.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// How old a good answer may be to be served without asking.
    fn fresh_for(&self, good: &Good, max_age: Option<Duration>) -> Duration {
        let ttl = match good.subscription.status {
            Status::None | Status::Unknown => self.config.negative_ttl,
            _ => self.config.cache_ttl,
        };
        max_age.map_or(ttl, |age| age.min(ttl))
    }

    fn age(&self, since: Duration) -> Duration {
        self.clock.elapsed().saturating_sub(since)
    }

    fn is_fresh(&self, good: &Good, max_age: Option<Duration>) -> bool {
        self.age(good.asked) <= self.fresh_for(good, max_age)
    }

    /// Whether the source has to be asked.
    fn is_due(&self, entry: &Entry, max_age: Option<Duration>) -> bool {
        let fresh = entry.good.as_ref().is_some_and(|good| self.is_fresh(good, max_age));
        let cooling = entry.failure.as_ref().is_some_and(|failure| self.age(failure.at) < COOLDOWN);
        !fresh && !cooling
    }

    /// What an entry says to somebody who wants it that fresh.
    fn answer(&self, entry: &Entry, max_age: Option<Duration>) -> Lookup<Subscription> {
        match (&entry.good, &entry.failure) {
            (Some(good), failure) if failure.is_none() || self.is_fresh(good, max_age) => {
                known(&good.subscription, good.as_of, SOURCE, false)
            }
            (Some(good), _) if self.age(good.asked) <= self.config.stale_for => {
                known(&good.subscription, good.as_of, SOURCE, true)
            }
            (_, Some(failure)) => Lookup::Unknown { why: failure.why.clone() },
            (_, None) => Lookup::Unknown { why: format!("the {SOURCE} was not asked") },
        }
    }

    /// Asks the source; a failure keeps the old answer.
    async fn ask(&self, phone: Phone, old: Option<Arc<Entry>>) -> Arc<Entry> {
        let permit = self.permits.acquire().await;
        let (asked, as_of) = (self.clock.elapsed(), self.clock.now());
        if let Some(why) = self.cooling() {
            return self.failed(why, old);
        }
        let result = self.request(phone).await;
        drop(permit);
        let took = self.age(asked);
        self.count(|stats| {
            stats.misses += 1;
            stats.errors += u64::from(result.is_err());
            stats.latency += took;
        });
        match result {
            Ok(subscription) => {
                *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = None;
                if self.down.swap(false, Ordering::SeqCst) {
                    self.recoveries.fetch_add(1, Ordering::SeqCst);
                    tracing::info!("the subscription source answers again");
                }
                Arc::new(Entry { good: Some(Good { subscription, as_of, asked }), failure: None })
            }
            Err(NoAnswer::Source(why)) => {
                *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.elapsed());
                self.failed(why, old)
            }
            Err(NoAnswer::Answer(why)) => self.failed(why, old),
        }
    }

    /// The old answer with the failure beside it.
    fn failed(&self, why: String, old: Option<Arc<Entry>>) -> Arc<Entry> {
        if !self.down.swap(true, Ordering::SeqCst) {
            tracing::warn!(%why, "the subscription source does not answer");
        }
        let failure = Some(Failure { why, at: self.clock.elapsed() });
        Arc::new(Entry { good: old.and_then(|entry| entry.good.clone()), failure })
    }

    /// The sentence while the source as a whole failed a moment ago.
    fn cooling(&self) -> Option<String> {
        let failed_at = *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        let cooling = failed_at.is_some_and(|at| self.age(at) < COOLDOWN);
        cooling.then(|| format!("the {SOURCE} failed a moment ago"))
    }

    async fn request(&self, phone: Phone) -> Result<Subscription, NoAnswer> {
        let encoded = utf8_percent_encode(&phone.e164(), NON_ALPHANUMERIC).to_string();
        let url = self.url.replace("{phone}", &encoded).replace("{digits}", &phone.digits());
        let malformed = || NoAnswer::Source(sentence(&Unanswered::Malformed(String::new())));
        let url = url.parse().map_err(|_| malformed())?;
        let mut request = Request::new(Method::GET, url);
        *request.timeout_mut() = Some(self.timeout);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        for (name, secret) in &self.headers {
            let value = secret.expose().map_err(|why| NoAnswer::Answer(why.into()))?;
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| malformed())?;
            value.set_sensitive(true);
            request.headers_mut().append(name, value);
        }
        let response = self
            .transport
            .send(request)
            .await
            .map_err(|unanswered| NoAnswer::Source(sentence(&unanswered)))?;
        let status = response.status();
        let content_type = response.headers().get(reqwest::header::CONTENT_TYPE);
        let is_json = content_type.and_then(|value| value.to_str().ok()).is_some_and(is_json);
        match status.as_u16() {
            200..=299 => {}
            404 if is_json => {
                return Ok(Subscription { status: Status::None, plan: None, expires_at: None });
            }
            429 | 500..=599 => return Err(NoAnswer::Source(format!("the {SOURCE} answered {status}"))),
            _ => return Err(NoAnswer::Answer(format!("the {SOURCE} answered {status}"))),
        }
        let body = body(response).await?;
        let json: Json = serde_json::from_slice(&body)
            .map_err(|_| NoAnswer::Answer(format!("the {SOURCE} answered something else than JSON")))?;
        self.read(&json).map_err(NoAnswer::Answer)
    }

    /// Reads the answer by the pointers.
    fn read(&self, json: &Json) -> Result<Subscription, String> {
        let [status, plan, expires_at] = &self.pointers;
        let word = json.pointer(status).and_then(Json::as_str);
        let word = word.ok_or_else(|| format!("the {SOURCE} answered without a status at {status}"))?;
        let expires_at = match json.pointer(expires_at) {
            None | Some(Json::Null) => None,
            Some(value) => Some(read_end(value, &self.time_zone).ok_or_else(|| {
                format!("the {SOURCE} answered with a time at {expires_at} that cannot be read")
            })?),
        };
        let plan = match json.pointer(plan) {
            Some(Json::String(plan)) => Some(plan.clone()),
            Some(Json::Number(plan)) => Some(plan.to_string()),
            _ => None,
        };
        let status = status_of(word, &self.config.status_map).unwrap_or_else(|| {
            self.report_foreign(word);
            Status::Unknown
        });
        Ok(Subscription { status, plan, expires_at: expires_at.flatten() })
    }

    /// Logs a foreign word, once.
    fn report_foreign(&self, word: &str) {
        let word: String = numbering::shortened(word).chars().take(40).collect();
        let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        if foreign.len() < 100 && foreign.insert(word.clone()) {
            tracing::warn!(word, "a status of the subscription source is unknown; name it in `status_map`");
        }
    }

    fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A date, a time, or seconds or milliseconds since 1970; `Some(None)` for an empty text, `None` if unreadable.
fn read_end(value: &Json, zone: &TimeZone) -> Option<Option<Timestamp>> {
    match value {
        Json::String(text) if text.trim().is_empty() => Some(None),
        Json::String(text) => parse_end(text.trim(), zone).ok().map(Some),
        Json::Number(number) => number.as_i64().map(|number| Some(Timestamp::from_wire(number))),
        _ => None,
    }
}

/// Reads the body up to the cap.
async fn body(mut response: reqwest::Response) -> Result<Vec<u8>, NoAnswer> {
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| NoAnswer::Source(sentence(&error.into())))?
    {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(NoAnswer::Answer(format!("the {SOURCE} answered more than {MAX_BODY} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// What went wrong, without the URL: it holds a number.
fn sentence(unanswered: &Unanswered) -> String {
    let what = match unanswered {
        Unanswered::TimedOut(_) => "did not answer in time",
        Unanswered::NotConnected(_) => "cannot be reached",
        Unanswered::Malformed(_) => "cannot be asked: its URL or a header is malformed",
        Unanswered::BrokenOff(_) => "broke off its answer",
    };
    format!("the {SOURCE} {what}")
}
