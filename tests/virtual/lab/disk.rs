//! What lies below the lab's store: work takes a little time, the disk can be full, and a fuse can end the daemon before or
//! after any piece of work.

use super::wires::Door;
use perimeterd::store::{StoreError, sqlite};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// A wait that ends with the daemon.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// No honest moment has so much work.
const SPINNING: u32 = 20_000;

/// See the module.
pub(crate) struct Disk {
    door: Arc<Door>,
    /// Half steps of work until the end; negative: none is lit.
    fuse: AtomicI64,
    full: AtomicBool,
    /// Pieces of work in the same millisecond, and which one.
    busy: Mutex<(u32, Instant)>,
    spun: AtomicBool,
}

impl Disk {
    pub(super) fn new(door: Arc<Door>) -> Self {
        Self {
            door,
            fuse: AtomicI64::new(-1),
            full: AtomicBool::new(false),
            busy: Mutex::new((0, Instant::now())),
            spun: AtomicBool::new(false),
        }
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

    /// Whether a daemon looked into the store for ever.
    pub(crate) fn spun(&self) -> bool {
        self.spun.load(Ordering::SeqCst)
    }

    /// Work without end in one moment: the world would stand still for ever.
    fn must_not_spin(&self) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        *busy = if busy.1 == now { (busy.0 + 1, now) } else { (0, now) };
        self.spun.fetch_or(busy.0 >= SPINNING, Ordering::SeqCst);
        assert!(busy.0 < SPINNING, "the daemon spins: it looks into the store for ever and no time passes");
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
        self.must_not_spin();
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
