//! What is known of each session now: when it was heard last, what it says it is, how old its canary is.

use crate::{
    clock::{Clock, Timestamp},
    ids::SessionName,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// Shared by the way in, which hears, the keeper, who judges, and whoever shows it. Times are the schedule's.
pub struct Pulse {
    steady: Arc<dyn Clock>,
    sessions: Mutex<BTreeMap<SessionName, Beat>>,
    spoke: Notify,
}

/// One session's.
#[derive(Clone, Debug)]
pub(super) struct Beat {
    /// Since when we listen.
    pub(super) since: Timestamp,
    /// When its last webhook came.
    pub(super) heard: Option<Timestamp>,
    /// The vendor's word for its state, or `NOT_READY`.
    pub(super) state: Option<String>,
    /// When the newest canary that came through was posted.
    pub(super) canary: Option<Timestamp>,
    /// Its silence was told, and has not ended.
    pub(super) silent: bool,
}

/// How a session is, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Vital {
    /// Which.
    pub session: SessionName,
    /// The vendor's word for its state, `NOT_READY` where only a refused call told; `None`: nothing told yet.
    pub state: Option<String>,
    /// How long ago its last webhook came; `None`: never.
    pub last_event_age: Option<Duration>,
    /// How long ago the newest canary that came through was posted; `None`: none did.
    pub canary_age: Option<Duration>,
}

impl Pulse {
    /// Listens from now on.
    pub fn new<'a>(steady: Arc<dyn Clock>, sessions: impl IntoIterator<Item = &'a SessionName>) -> Self {
        let beat = Beat { since: steady.now(), heard: None, state: None, canary: None, silent: false };
        let sessions = sessions.into_iter().map(|name| (name.clone(), beat.clone())).collect();
        Self { steady, sessions: Mutex::new(sessions), spoke: Notify::new() }
    }

    /// A webhook of a session came. Cheap: asked for every post.
    pub fn heard(&self, session: &SessionName) {
        let now = self.steady.now();
        let was_silent = self.with(session, |beat| {
            beat.heard = Some(now);
            beat.silent
        });
        if was_silent == Some(true) {
            self.spoke.notify_one();
        }
    }

    /// Every session, in the order of their names.
    pub fn vitals(&self) -> Vec<Vital> {
        let now = self.steady.now();
        let age = |at: Option<Timestamp>| at.map(|at| now.since(at));
        let read = |(session, beat): (&SessionName, &Beat)| Vital {
            session: session.clone(),
            state: beat.state.clone(),
            last_event_age: age(beat.heard),
            canary_age: age(beat.canary),
        };
        self.locked().iter().map(read).collect()
    }

    /// Waits until a silent session speaks.
    pub(super) async fn spoke(&self) {
        self.spoke.notified().await;
    }

    pub(super) fn beat(&self, session: &SessionName) -> Option<Beat> {
        self.locked().get(session).cloned()
    }

    pub(super) fn with<T>(&self, session: &SessionName, change: impl FnOnce(&mut Beat) -> T) -> Option<T> {
        self.locked().get_mut(session).map(change)
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<SessionName, Beat>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
