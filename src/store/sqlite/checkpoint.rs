//! Checkpoints in the background, on a connection of their own, so that no commit waits for one.
//!
//! While there are writes the log is looked at every 200 ms, and copied once that is worth the disk's time: a copy
//! keeps the disk from the commits beside it, and pages written again and again are copied once. None while idle. They
//! are passive: they never stop the writer or a reader. A log that grows all the same is reported to the writer, which
//! then checkpoints between two transactions.

use rusqlite::Connection;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Between two looks at the log.
const PAUSE: Duration = Duration::from_millis(200);
/// Frames (4 KiB each) not copied yet that are worth a checkpoint.
const WORTH: i64 = 4096;
/// With fewer, a checkpoint is made at the latest after so many looks.
const PATIENCE: u32 = 25;
/// Frames (4 KiB each) in the log beyond which the writer helps.
const BOUND: i64 = 16_384;

/// The writer's end; dropping it stops the thread after a last checkpoint.
#[derive(Debug)]
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    // Never sends: its end is the signal.
    running: Option<SyncSender<()>>,
    too_long: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread.
    pub(super) fn start(db: Connection) -> std::io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let (running, stop) = sync_channel(0);
        let too_long = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&too_long);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || work(&db, &woken, &stop, &flag))?;
        Ok(Self { wake: Some(wake), running: Some(running), too_long, thread: Some(thread) })
    }

    /// Tells that something was committed; `true` if the log has grown beyond its bound.
    pub(super) fn wrote(&self) -> bool {
        if let Some(wake) = &self.wake {
            // Full: the thread already knows.
            let _ = wake.try_send(());
        }
        self.too_long.swap(false, Ordering::Relaxed)
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake = None;
        self.running = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(db: &Connection, woken: &Receiver<()>, stop: &Receiver<()>, too_long: &AtomicBool) {
    let mut looks = 0;
    while woken.recv().is_ok() {
        // Writes in this pause belong to the look at its end.
        let stopped = stop.recv_timeout(PAUSE) == Err(RecvTimeoutError::Disconnected);
        looks += 1;
        let (frames, copied) = checkpoint(db, "NOOP").unwrap_or_default();
        if stopped || looks >= PATIENCE || frames - copied >= WORTH {
            looks = 0;
            let frames = checkpoint(db, "PASSIVE").map_or(frames, |(frames, _)| frames);
            too_long.store(frames > BOUND, Ordering::Relaxed);
        }
        if stopped {
            return;
        }
    }
}

/// Frames in the log, and how many of them are copied, after a checkpoint of that kind.
fn checkpoint(db: &Connection, kind: &str) -> rusqlite::Result<(i64, i64)> {
    let sql = format!("PRAGMA wal_checkpoint({kind})");
    db.query_row(&sql, [], |row| Ok((row.get(1)?, row.get(2)?)))
}
