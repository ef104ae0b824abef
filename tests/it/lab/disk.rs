//! What lies below the lab's store: work takes a little time, the disk can be full, and a fuse can end the daemon before or
//! after any piece of work.

use super::wires::Door;
use perimeterd::store::{StoreError, sqlite};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

/// A wait that ends with the daemon.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// See the module.
pub(crate) struct Disk {
    door: Arc<Door>,
    /// Half steps of work until the end; negative: none is lit.
    fuse: AtomicI64,
    full: AtomicBool,
}

impl Disk {
    pub(super) fn new(door: Arc<Door>) -> Self {
        Self { door, fuse: AtomicI64::new(-1), full: AtomicBool::new(false) }
    }

    /// The daemon dies after so many half steps of work in the store, each read or write having two: before it, and after
    /// it when it is durable but nobody has heard of it.
    pub(crate) fn fuse(&self, half_steps: u16) {
        self.fuse.store(i64::from(half_steps), Ordering::SeqCst);
    }

    /// Puts the fuse out.
    pub(crate) fn no_fuse(&self) {
        self.fuse.store(-1, Ordering::SeqCst);
    }

    /// Nothing can be written, or it can again.
    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    /// Whether the daemon died of this half step.
    fn burns_down(&self) -> bool {
        let left = self.fuse.load(Ordering::SeqCst);
        if left < 0 {
            return false;
        }
        self.fuse.store(left - 1, Ordering::SeqCst);
        if left == 0 {
            self.door.slam();
        }
        left == 0
    }
}

impl sqlite::Disk for Disk {
    fn before(&self, writes: bool) -> Result<Duration, StoreError> {
        if self.burns_down() {
            return Ok(FOR_EVER);
        }
        if writes && self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("no space is left".into()));
        }
        Ok(Duration::ZERO)
    }

    fn after(&self, writes: bool) -> Duration {
        if self.burns_down() {
            return FOR_EVER;
        }
        Duration::from_millis(if writes { fastrand::u64(0..3) } else { 0 })
    }
}
