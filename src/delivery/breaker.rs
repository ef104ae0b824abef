//! The breaker on cold messages: after a 463 nobody who never wrote to us is written to until one probe went through.
//! Who counts as cold is the clearance's business, and keeping the lock over a restart the store's.
//!
//! closed → open for [`FIRST`], then half-open: the next cold message is the probe, and as a session has one call in
//! flight there is never a second one. A probe that meets the lock again doubles the time, up to [`LONGEST`].

use super::Courier;
use crate::{
    action::Class,
    clock::Timestamp,
    store::{ColdLock, Row, StoreError},
    wawp::error::{CallError, Outcome},
};
use std::time::Duration;

/// How long the first 463 closes the way.
const FIRST: Duration = Duration::from_secs(30 * 60);
/// Observed locks last a day (`whatsapp-reality.md` §4.1).
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A message that is locked out looks again after this long at the latest, as a lock may be lifted early.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// Whether a cold message may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Nothing is known against it.
    Closed,
    /// One, as a probe.
    Probe,
    /// None before that moment.
    Open(Timestamp),
}

/// One session's breaker. Pure.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    lock: Option<ColdLock>,
}

impl Breaker {
    /// As the store kept it.
    pub(super) fn restored(lock: Option<ColdLock>) -> Self {
        Self { lock }
    }

    /// What is to be kept and shown; `None` while closed.
    pub(super) fn lock(&self) -> Option<&ColdLock> {
        self.lock.as_ref()
    }

    /// Whether a cold message may go now.
    pub(super) fn gate(&self, now: Timestamp) -> Gate {
        match &self.lock {
            None => Gate::Closed,
            Some(lock) if now < lock.until => Gate::Open(lock.until),
            Some(_) => Gate::Probe,
        }
    }

    /// A message met 463. `true` if the way was free until now: the operator should hear of it.
    pub(super) fn struck(&mut self, why: &str, now: Timestamp) -> bool {
        let first = self.lock.is_none();
        let lock = self.lock.get_or_insert_with(|| locked(now, why));
        if !first && now >= lock.until {
            lock.wait = (lock.wait * 2).min(LONGEST);
        }
        lock.until = lock.until.max(now + lock.wait);
        why.clone_into(&mut lock.why);
        first
    }

    /// A cold message went through. `true` if that ended a lock.
    pub(super) fn passed(&mut self, now: Timestamp) -> bool {
        self.lock.take_if(|lock| now >= lock.until).is_some()
    }

    /// Nobody knows whether the probe went through: the next one has to wait as long again.
    pub(super) fn doubted(&mut self, now: Timestamp) {
        if let Some(lock) = &mut self.lock {
            lock.until = lock.until.max(now + lock.wait);
        }
    }

    /// The gateway tells until when the number is restricted. `true` if the way was free until now.
    pub(super) fn restricted(&mut self, until: Timestamp, why: &str, now: Timestamp) -> bool {
        if until <= now {
            return false;
        }
        let first = self.lock.is_none();
        let lock = self.lock.get_or_insert_with(|| ColdLock { until, ..locked(now, why) });
        lock.until = lock.until.max(until);
        first
    }
}

fn locked(now: Timestamp, why: &str) -> ColdLock {
    ColdLock { since: now, until: now + FIRST, wait: FIRST, why: why.to_owned() }
}

impl Courier {
    /// Takes up the lock that the store kept.
    pub(super) async fn restore_breaker(&mut self) -> Result<(), StoreError> {
        let locks = self.store.cold_locks().await?;
        let own = locks.into_iter().find(|(session, _)| *session == self.session).map(|(_, lock)| lock);
        self.metrics.cold_locked(&self.session, own.is_some());
        self.health.breaker = Breaker::restored(own);
        Ok(())
    }

    /// Until when a cold message has to wait, if it has to: for the lock, or for the pause that a 429 asked for.
    pub(super) fn cold_wait(&self, now: Timestamp) -> Option<Timestamp> {
        let paused = Some(self.health.groups_paused_until).filter(|until| now < *until);
        let locked = match self.health.breaker.gate(now) {
            Gate::Open(until) => Some(until.min(now + LOOK_AGAIN)),
            Gate::Closed | Gate::Probe => None,
        };
        paused.max(locked)
    }

    /// What a call's outcome means for the lock. Warm messages open it when they meet it, and never close it: they go
    /// through while strangers' are locked.
    pub(super) async fn heed_lock(
        &mut self,
        row: &Row,
        classes: &[Class],
        outcome: &Outcome<()>,
        now: Timestamp,
    ) {
        let is_cold = classes.contains(&Class::ColdDm);
        let breaker = &mut self.health.breaker;
        let was = breaker.lock().cloned();
        let first = match outcome {
            Err(CallError::Locked { why }) if row.call.class() == Class::Dm => breaker.struck(why, now),
            Ok(()) if is_cold => {
                if breaker.passed(now) {
                    tracing::info!(session = %self.session, "messages to strangers go through again");
                }
                false
            }
            Err(CallError::Unknown { .. }) if is_cold => {
                breaker.doubted(now);
                false
            }
            _ => false,
        };
        if breaker.lock() != was.as_ref() {
            self.keep_lock(first).await;
        }
    }

    /// The gateway tells that WhatsApp restricts the number until then: no stranger is written to before.
    pub(super) async fn restricted_until(&mut self, until: Timestamp, why: &str) {
        let now = self.steady.now();
        let was = self.health.breaker.lock().cloned();
        let first = self.health.breaker.restricted(until, why, now);
        if self.health.breaker.lock() != was.as_ref() {
            self.keep_lock(first).await;
        }
    }

    /// Keeps the lock as it is now. What the disk does not take now it takes with the next change; until then this
    /// process knows it.
    async fn keep_lock(&self, first: bool) {
        let lock = self.health.breaker.lock().cloned();
        self.metrics.cold_locked(&self.session, lock.is_some());
        if let Err(error) = self.store.keep_cold_lock(&self.session, lock.clone()).await {
            tracing::error!(session = %self.session, %error, "the lock on cold messages cannot be kept now");
        }
        if let Some(lock) = lock.filter(|_| first) {
            let text = format!(
                "{}: WhatsApp locks messages to people who never wrote to this number; none is tried until {}, the \
                 others go on: {}",
                self.session, lock.until, lock.why
            );
            if let Err(error) = self.alert("locked", self.session.as_str(), &text).await {
                tracing::error!(session = %self.session, %error, "the alert could not be kept");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn a_lock_opens_probes_doubles_and_closes() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.gate(NOW), Gate::Closed);
        assert!(breaker.struck("463", NOW), "the first is told");
        assert!(!breaker.struck("463", NOW), "a warm one that met it too changes nothing");
        let mut now = NOW + FIRST;
        assert_eq!((breaker.gate(NOW), breaker.gate(now)), (Gate::Open(now), Gate::Probe));
        let mut waits = Vec::new();
        for _ in 0..7 {
            assert!(!breaker.struck("463", now), "a probe that fails is no news");
            let Gate::Open(until) = breaker.gate(now) else { panic!("half-open after a 463") };
            waits.push(until.since(now).as_secs() / 60);
            now = until;
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1440, 1440], "doubled up to a day");
        assert!(
            !breaker.passed(now - Duration::from_secs(1)),
            "a message under way since before proves nothing"
        );
        assert!(breaker.passed(now) && breaker.gate(now) == Gate::Closed);
        assert!(!breaker.passed(now));
        assert!(breaker.struck("463", now), "another incident");
        assert_eq!(breaker.gate(now), Gate::Open(now + FIRST), "which begins small again");
    }

    #[test]
    fn a_probe_of_unknown_outcome_waits_as_long_again() {
        let mut breaker = Breaker::default();
        breaker.doubted(NOW);
        assert_eq!(breaker.gate(NOW), Gate::Closed);
        breaker.struck("463", NOW);
        breaker.doubted(NOW + FIRST);
        assert_eq!(breaker.gate(NOW + FIRST), Gate::Open(NOW + FIRST * 2));
    }

    #[test]
    fn a_restriction_that_is_told_only_ever_prolongs() {
        let mut breaker = Breaker::default();
        let day = NOW + LONGEST;
        assert!(!breaker.restricted(NOW, "over", NOW), "that is past");
        assert!(breaker.restricted(day, "reach-out", NOW));
        assert!(!breaker.restricted(NOW + FIRST, "reach-out", NOW));
        assert_eq!(breaker.gate(NOW), Gate::Open(day));
        breaker.struck("463", NOW);
        assert_eq!(breaker.gate(NOW), Gate::Open(day));
    }
}
