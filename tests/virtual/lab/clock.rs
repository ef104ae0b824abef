//! The lab's clock: virtual time, and a wall clock that a test can step.

use perimeterd::clock::{Clock, Timestamp, Uptime};
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// Elapsed time is tokio's. The wall clock follows it, plus whatever it was stepped by.
#[derive(Debug)]
pub(crate) struct LabClock {
    began: Instant,
    epoch: Timestamp,
    stepped: AtomicI64,
}

impl LabClock {
    /// Begins now, at `epoch`.
    pub(crate) fn new(epoch: Timestamp) -> Self {
        Self { began: Instant::now(), epoch, stepped: AtomicI64::new(0) }
    }

    /// Steps the wall clock: it is so many milliseconds ahead of the truth from now on, or behind it.
    pub(crate) fn step(&self, ahead: i64) {
        self.stepped.store(ahead, Ordering::SeqCst);
    }
}

impl Clock for LabClock {
    fn now(&self) -> Timestamp {
        let true_time = self.epoch + self.elapsed();
        Timestamp(true_time.0 + self.stepped.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The lab's machine is never switched off.
    fn uptime(&self) -> Option<Uptime> {
        Some(Uptime { boot: "lab".into(), lasted: self.elapsed() })
    }
}
