//! The store without threads: every piece of work is done at once, on the caller's thread, on one connection in memory.
//!
//! For a simulated fortnight, where nothing may depend on how fast a disk or another thread is. The closures, the SQL, the
//! savepoints and the commits are those of the file. What it does not do: survive the process.

use super::{
    SqliteStore, open,
    readers::{self, Readers},
    writer::{self, Writer},
};
use crate::{clock::Clock, store::StoreError};
use rusqlite::Connection;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What the disk does to a piece of work. A test's way to let work take time, to fail it, and to end a daemon between
/// a commit and the news of it.
pub trait Disk: Send + Sync + 'static {
    /// Before a piece of work: how long the caller is kept.
    ///
    /// # Errors
    /// Instead of the work, none of which is done.
    fn before(&self, writes: bool) -> Result<Duration, StoreError>;

    /// After it, when what was written is durable: how long the caller is kept.
    fn after(&self, writes: bool) -> Duration;
}

/// A disk without qualities.
impl Disk for () {
    fn before(&self, _: bool) -> Result<Duration, StoreError> {
        Ok(Duration::ZERO)
    }

    fn after(&self, _: bool) -> Duration {
        Duration::ZERO
    }
}

/// An empty store in memory that works in line. It lives as long as somebody holds it, whatever becomes of the daemons
/// that work on it; only one may at a time, and nobody checks that here.
///
/// # Errors
/// If the schema cannot be made.
pub fn open_in_line(clock: Arc<dyn Clock>, disk: Arc<dyn Disk>) -> Result<SqliteStore, StoreError> {
    let hand = Hand(Arc::new(Inner { db: Mutex::new(open::in_memory()?), disk }));
    Ok(SqliteStore {
        writer: Writer::in_line(hand.clone()),
        readers: Readers::in_line(hand),
        clock,
        alert_bell: Arc::default(),
        _lock: None,
    })
}

/// The one connection, and the disk below it.
#[derive(Clone)]
pub(super) struct Hand(Arc<Inner>);

struct Inner {
    db: Mutex<Connection>,
    disk: Arc<dyn Disk>,
}

impl fmt::Debug for Hand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hand").finish_non_exhaustive()
    }
}

impl Hand {
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        single_statement: bool,
    ) -> Result<T, StoreError> {
        kept(self.0.disk.before(true)?).await;
        let result = writer::commit_alone(&self.db(), work, single_statement);
        kept(self.0.disk.after(true)).await;
        result
    }

    pub(super) async fn read<T>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        kept(self.0.disk.before(false)?).await;
        let result = readers::consistent(&self.db(), look);
        kept(self.0.disk.after(false)).await;
        result
    }

    fn db(&self) -> MutexGuard<'_, Connection> {
        self.0.db.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn kept(how_long: Duration) {
    if !how_long.is_zero() {
        tokio::time::sleep(how_long).await;
    }
}
