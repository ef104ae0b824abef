//! Answers of a source that is asked person by person: look-ups coalesced, answers cached and aged, failures told apart.
//!
//! Whoever is asked (an HTTP API, a database) is a [`Respondent`] and knows nothing of this. The cache (moka) bounds the
//! number of answers and lets simultaneous look-ups of one person share one question. Ages are judged here, by our own
//! clock from the value's own time. It never answers with an error: unknown, with the reason.

use super::{Stats, known};
use crate::{
    clock::{Clock, Timestamp},
    config::Subscriptions,
    facts::{Lookup, Status, Subscription},
    ids::Phone,
};
use async_trait::async_trait;
use moka::future::Cache;
use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::sync::Semaphore;

/// How long a failure is remembered, so that a source that is down is not hammered.
const COOLDOWN: Duration = Duration::from_secs(1);
/// A source that wants to be left alone is, for at most so long.
const LONGEST_REST: Duration = Duration::from_secs(300);
/// Whose answer cannot be read counts as a trouble for so long: whoever waits is asked about again within a day.
const UNREAD_FOR: Duration = Duration::from_secs(25 * 3600);
/// Who is asked about again in the last part of an answer's time is asked for ahead, so that nobody waits when it is over.
const HOT_AFTER: f64 = 0.8;
/// Of the questions at a time so many may be ahead: those whom somebody waits for go first.
const AHEAD: usize = 4;

/// Who can be asked for one person.
#[async_trait]
pub(super) trait Respondent: Send + Sync + 'static {
    /// Its name in evidence and in sentences, like `subscription api`.
    fn name(&self) -> &'static str;

    /// Asks now. It gives up in time by itself and keeps nothing.
    async fn ask(&self, phone: Phone) -> Result<Subscription, NoAnswer>;
}

/// Why there is no answer: a sentence without numbers or secrets.
#[derive(Clone, Debug)]
pub(super) enum NoAnswer {
    /// The source as a whole: connection, time-out, overload. Nobody is asked for a moment.
    Source(String),
    /// The same, and it says for how long it wants to be left alone.
    Rest(String, Duration),
    /// This answer alone.
    Answer(String),
}

/// What is wrong with a source, if anything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outage {
    /// It gives no answers: why.
    pub source: Option<String>,
    /// It answers, and what it says of so many people cannot be used; why the last could not.
    pub answers: Option<(usize, String)>,
}

/// Why there are no answers, and whose last one could not be used, since when.
#[derive(Default)]
struct Troubles {
    source: String,
    answer: String,
    unread: BTreeMap<u64, Duration>,
}

/// A respondent with its cache.
#[derive(Clone)]
pub(super) struct Answers(Arc<Inner>);

struct Inner {
    respondent: Box<dyn Respondent>,
    cache_ttl: Duration,
    negative_ttl: Duration,
    stale_for: Duration,
    clock: Arc<dyn Clock>,
    permits: Semaphore,
    /// For questions that nobody waits for.
    ahead: Semaphore,
    cache: Cache<u64, Arc<Entry>>,
    down: AtomicBool,
    troubles: Mutex<Troubles>,
    recoveries: AtomicU64,
    /// Until when the source as a whole is left alone, by the clock that never steps.
    resting_until: Mutex<Option<Duration>>,
    stats: Mutex<Stats>,
}

/// What is known of one person: the last good answer, and the failure since, if any.
struct Entry {
    good: Option<Good>,
    failure: Option<Failure>,
    /// Whether it is being asked for ahead.
    renewing: AtomicBool,
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

impl Answers {
    /// A cache before `respondent`, which is asked at most `at_once` questions at a time.
    pub(super) fn new(
        respondent: impl Respondent,
        at_once: usize,
        config: &Subscriptions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Inner {
            respondent: Box::new(respondent),
            cache_ttl: config.cache_ttl,
            negative_ttl: config.negative_ttl,
            stale_for: config.stale_for,
            clock,
            permits: Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS)),
            ahead: Semaphore::new(at_once.div_ceil(AHEAD).max(1)),
            cache: Cache::builder().max_capacity(config.capacity).build(),
            down: AtomicBool::new(false),
            troubles: Mutex::default(),
            recoveries: AtomicU64::new(0),
            resting_until: Mutex::new(None),
            stats: Mutex::new(Stats::default()),
        }))
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
        let answer = inner.answer(&entry, max_age);
        if max_age.is_none() && inner.is_hot(&entry) {
            self.renew(phone, entry);
        }
        Some(answer)
    }

    /// Asks ahead, without anybody waiting for it; not now, if others are asked ahead already.
    fn renew(&self, phone: Phone, entry: Arc<Entry>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if entry.renewing.swap(true, Ordering::SeqCst) {
            return;
        }
        let inner = Arc::clone(&self.0);
        runtime.spawn(async move {
            let Ok(_ahead) = inner.ahead.try_acquire() else {
                entry.renewing.store(false, Ordering::SeqCst);
                return;
            };
            inner.count(|stats| stats.ahead += 1);
            let ask = inner.ask(phone, Some(Arc::clone(&entry)));
            // Whoever asked meanwhile has brought a newer answer.
            let due = |held: &Arc<Entry>| Arc::ptr_eq(held, &entry);
            inner.cache.entry(phone.as_u64()).or_insert_with_if(ask, due).await;
        });
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
            Err(_) => {
                Lookup::Unknown { why: format!("the look-up in the {} broke off", self.0.respondent.name()) }
            }
        }
    }

    pub(super) fn is_down(&self) -> bool {
        self.outage() != Outage::default()
    }

    pub(super) fn outage(&self) -> Outage {
        let mut troubles = self.0.troubles();
        troubles.unread.retain(|_, since| self.0.age(*since) < UNREAD_FOR);
        let (people, down) = (troubles.unread.len(), self.0.down.load(Ordering::SeqCst));
        Outage {
            source: down.then(|| troubles.source.clone()),
            answers: (people > 0).then(|| (people, troubles.answer.clone())),
        }
    }

    /// Somebody whose last answer could not be used, by chance.
    pub(super) fn unread(&self) -> Option<Phone> {
        fastrand::choice(self.0.troubles().unread.keys()).and_then(|key| Phone::from_u64(*key))
    }

    pub(super) fn recoveries(&self) -> u64 {
        self.0.recoveries.load(Ordering::SeqCst)
    }

    pub(super) fn stats(&self) -> Stats {
        let stats = *self.0.stats.lock().unwrap_or_else(PoisonError::into_inner);
        Stats { entries: self.0.cache.entry_count(), ..stats }
    }
}

impl Inner {
    /// How old a good answer may be to be served without asking.
    fn fresh_for(&self, good: &Good, max_age: Option<Duration>) -> Duration {
        let ttl = match good.subscription.status {
            Status::None | Status::Unknown => self.negative_ttl,
            _ => self.cache_ttl,
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

    /// Whether its time is nearly over, and nothing speaks against asking again.
    fn is_hot(&self, entry: &Entry) -> bool {
        let Some(good) = entry.good.as_ref().filter(|_| entry.failure.is_none()) else { return false };
        self.age(good.asked) > self.fresh_for(good, None).mul_f64(HOT_AFTER) && self.cooling().is_none()
    }

    /// What an entry says to somebody who wants it that fresh.
    fn answer(&self, entry: &Entry, max_age: Option<Duration>) -> Lookup<Subscription> {
        let answer = match (&entry.good, &entry.failure) {
            (Some(good), failure) if failure.is_none() || self.is_fresh(good, max_age) => {
                known(&good.subscription, good.as_of, self.respondent.name(), false)
            }
            (Some(good), _) if self.age(good.asked) <= self.stale_for => {
                known(&good.subscription, good.as_of, self.respondent.name(), true)
            }
            (_, Some(failure)) => Lookup::Unknown { why: failure.why.clone() },
            (_, None) => Lookup::Unknown { why: format!("the {} was not asked", self.respondent.name()) },
        };
        self.count(|stats| {
            stats.stale += u64::from(matches!(answer, Lookup::Known { stale: true, .. }));
            stats.negative += u64::from(answer.value().is_some_and(|value| value.status == Status::None));
        });
        answer
    }

    /// Asks the source; a failure keeps the old answer.
    async fn ask(&self, phone: Phone, old: Option<Arc<Entry>>) -> Arc<Entry> {
        let permit = self.permits.acquire().await;
        let (asked, as_of) = (self.clock.elapsed(), self.clock.now());
        if let Some(why) = self.cooling() {
            return self.failed(why, old);
        }
        self.count(|stats| stats.in_flight += 1);
        let result = self.respondent.ask(phone).await;
        drop(permit);
        let took = self.age(asked);
        self.count(|stats| {
            stats.in_flight -= 1;
            stats.misses += 1;
            stats.errors += u64::from(result.is_err());
            stats.latency += took;
        });
        let key = phone.as_u64();
        match result {
            Ok(subscription) => {
                // Others whose answers could not be used may be as lucky; nobody else's good answer says so.
                let is_mended = self.troubles().unread.remove(&key).is_some();
                self.answered(is_mended);
                let good = Some(Good { subscription, as_of, asked });
                Arc::new(Entry { good, failure: None, renewing: AtomicBool::new(false) })
            }
            Err(NoAnswer::Source(why)) => self.out(why, COOLDOWN, old),
            Err(NoAnswer::Rest(why, wait)) => self.out(why, wait.clamp(COOLDOWN, LONGEST_REST), old),
            Err(NoAnswer::Answer(why)) => {
                self.answered(false);
                let mut troubles = self.troubles();
                if troubles.unread.insert(key, self.clock.elapsed()).is_none() {
                    tracing::warn!(%why, "an answer of the subscription source cannot be used");
                }
                troubles.answer.clone_from(&why);
                drop(troubles);
                self.failed(why, old)
            }
        }
    }

    /// The source is there. Whoever waits for it, or for its answers to be mended, is worth another look.
    fn answered(&self, is_mended: bool) {
        *self.rest() = None;
        let was_down = self.down.swap(false, Ordering::SeqCst);
        if was_down {
            tracing::info!("the subscription source answers again");
        }
        self.recoveries.fetch_add(u64::from(was_down || is_mended), Ordering::SeqCst);
    }

    /// The source as a whole fails: it is left alone for `rest`.
    fn out(&self, why: String, rest: Duration, old: Option<Arc<Entry>>) -> Arc<Entry> {
        *self.rest() = Some(self.clock.elapsed() + rest);
        self.troubles().source.clone_from(&why);
        if !self.down.swap(true, Ordering::SeqCst) {
            tracing::warn!(%why, "the subscription source does not answer");
        }
        self.failed(why, old)
    }

    /// The old answer with the failure beside it.
    fn failed(&self, why: String, old: Option<Arc<Entry>>) -> Arc<Entry> {
        let failure = Some(Failure { why, at: self.clock.elapsed() });
        let good = old.and_then(|entry| entry.good.clone());
        Arc::new(Entry { good, failure, renewing: AtomicBool::new(false) })
    }

    /// The sentence while the source as a whole failed a moment ago.
    fn cooling(&self) -> Option<String> {
        let cooling = self.rest().is_some_and(|until| self.clock.elapsed() < until);
        cooling.then(|| format!("the {} failed a moment ago", self.respondent.name()))
    }

    fn rest(&self) -> MutexGuard<'_, Option<Duration>> {
        self.resting_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
