//! The pause between two writing calls of a session: governor keeps the shortest one, chance adds the rest.
//!
//! This smooths inside the ceilings; it is no ceiling itself (governor forgets at a restart and lets a burst through).

use crate::{
    clock::{Clock, Timestamp},
    config,
};
use governor::{
    Quota, RateLimiter, clock, middleware::NoOpMiddleware, state::InMemoryState, state::NotKeyed,
};
use std::{sync::Arc, time::Duration};

/// One session's pacing.
pub(super) struct Pacing {
    limiter: Option<RateLimiter<NotKeyed, InMemoryState, Steady, NoOpMiddleware<Duration>>>,
    clock: Steady,
    gap: Duration,
    spread: Duration,
    not_before: Timestamp,
}

/// Our clock as governor asks for it.
#[derive(Clone)]
struct Steady(Arc<dyn Clock>);

impl clock::Clock for Steady {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Pacing {
    pub(super) fn new(config: config::Pacing, clock: Arc<dyn Clock>) -> Self {
        let spread = config.gap_max.saturating_sub(config.gap_min);
        let mut pacing = Self {
            limiter: None,
            clock: Steady(clock),
            gap: Duration::ZERO,
            spread,
            not_before: Timestamp(0),
        };
        pacing.set_gap(config.gap_min);
        pacing
    }

    /// The shortest pause from now on; chance adds as much as ever.
    pub(super) fn set_gap(&mut self, gap: Duration) {
        if self.gap != gap {
            self.gap = gap;
            let limiter = |quota| RateLimiter::direct_with_clock(quota, self.clock.clone());
            self.limiter = Quota::with_period(gap).map(limiter);
        }
    }

    /// Takes the place of one call at `now`, or says when to come again.
    pub(super) fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        self.peek(now)?;
        if let Some(limiter) = &self.limiter
            && let Err(not_until) = limiter.check()
        {
            let wait = not_until.wait_time_from(clock::Clock::now(&self.clock));
            self.not_before = now + wait.max(Duration::from_millis(1));
            return Err(self.not_before);
        }
        self.not_before = now + self.gap + self.spread.mul_f64(fastrand::f64());
        Ok(())
    }

    /// The call has ended: it may have reached the gateway as late as now, and the shortest pause is the gateway's to see.
    pub(super) fn ended(&mut self, now: Timestamp) {
        self.not_before = self.not_before.max(now + self.gap);
    }

    /// Whether it is surely too early, without taking a place.
    pub(super) fn peek(&self, now: Timestamp) -> Result<(), Timestamp> {
        if now < self.not_before { Err(self.not_before) } else { Ok(()) }
    }
}
