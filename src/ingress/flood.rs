//! How many failed authentications an address may make.
//!
//! governor does the counting; its burst is all that is promised here. Nothing is remembered over a restart, and
//! authentic posts never come this way.

use crate::clock::Clock;
use governor::{Quota, RateLimiter, clock, middleware::NoOpMiddleware, state::keyed::DashMapStateStore};
use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Failures that an address may make at once; it gets one back each second.
const BURST: NonZeroU32 = NonZeroU32::new(20).expect("twenty is not zero");

/// After so many failures the addresses that have been quiet are forgotten.
const PRUNE_EVERY: u64 = 1024;

/// Counts failed authentications by source address.
pub struct Failures {
    limiter: RateLimiter<IpAddr, DashMapStateStore<IpAddr>, Steady, NoOpMiddleware<Duration>>,
    seen: AtomicU64,
}

/// Our clock as governor asks for it: it never steps, and a test's stands still.
struct Steady(Arc<dyn Clock>);

impl clock::Clock for Steady {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Failures {
    /// Nobody has failed yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let quota = Quota::per_second(NonZeroU32::MIN).allow_burst(BURST);
        let limiter = RateLimiter::new(quota, DashMapStateStore::default(), Steady(clock));
        Self { limiter, seen: AtomicU64::new(0) }
    }

    /// Counts a failure. `false` once the address has used up its allowance.
    pub fn count(&self, source: IpAddr) -> bool {
        if self.seen.fetch_add(1, Ordering::Relaxed) % PRUNE_EVERY == PRUNE_EVERY - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&source).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    #[test]
    fn an_address_has_an_allowance_that_comes_back() {
        let clock = Arc::new(ManualClock::at(Timestamp(0)));
        let failures = Failures::new(Arc::clone(&clock) as _);
        let [one, other] = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])];
        assert!((0..20).all(|_| failures.count(one)));
        assert!(!failures.count(one));
        assert!(failures.count(other));
        clock.advance(Duration::from_secs(1));
        assert!(failures.count(one));
        assert!(!failures.count(one));
    }

    #[test]
    fn quiet_addresses_are_forgotten() {
        let clock = Arc::new(ManualClock::at(Timestamp(0)));
        let failures = Failures::new(Arc::clone(&clock) as _);
        for number in 0..1023_u32 {
            failures.count(IpAddr::from(number.to_be_bytes()));
        }
        clock.advance(Duration::from_secs(60));
        failures.count(IpAddr::from([192, 0, 2, 1]));
        assert!(failures.limiter.len() <= 1);
    }
}
