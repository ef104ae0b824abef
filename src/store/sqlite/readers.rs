//! A few read-only connections for look-ups beside the writer, used on blocking threads and never across an await.

use super::in_line::Hand;
use crate::store::StoreError;
use rusqlite::Connection;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// The pool.
#[derive(Clone, Debug)]
pub(super) enum Readers {
    /// Connections that wait for somebody to use them.
    Pool { idle: Arc<Mutex<Vec<Connection>>>, permits: Arc<Semaphore> },
    /// At once, on the writer's connection.
    InLine(Hand),
}

impl Readers {
    /// A pool of these connections.
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        let permits = Arc::new(Semaphore::new(connections.len()));
        Self::Pool { idle: Arc::new(Mutex::new(connections)), permits }
    }

    /// No pool at all.
    pub(super) fn in_line(hand: Hand) -> Self {
        Self::InLine(hand)
    }

    /// Runs `look` on one consistent state of the database.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (idle, permits) = match self {
            Self::Pool { idle, permits } => (Arc::clone(idle), Arc::clone(permits)),
            Self::InLine(hand) => return hand.read(look).await,
        };
        let broken = |why: &str| StoreError::Broken(why.into());
        let permit = permits.acquire_owned().await;
        let permit = permit.map_err(|_| broken("its readers are closed"))?;
        let work = move || {
            let _permit = permit;
            let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let db = taken.ok_or_else(|| StoreError::Broken("a reader is missing".into()))?;
            let result = consistent(&db, look);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(db);
            result
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| broken("a reader was stopped"))?
    }
}

pub(super) fn consistent<T>(
    db: &Connection,
    look: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let view = db.unchecked_transaction()?;
    let result = look(&view);
    view.finish()?;
    result
}
