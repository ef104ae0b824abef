//! What is kept so that silence is noticed (P10): troubles, states of sessions, canaries.

use super::StoreError;
use crate::{
    clock::Timestamp,
    ids::{GroupId, SessionName},
};
use async_trait::async_trait;
use serde::Serialize;

/// Trouble that lasts until it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// What kind: `silence`, `canary`, `session`, `admin_rights`, `webhook`.
    pub kind: String,
    /// Whose: equal for the same trouble.
    pub key: String,
    /// Since when.
    pub at: Timestamp,
    /// What people read.
    pub text: String,
}

/// What a session was last told to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// Whose.
    pub session: SessionName,
    /// The vendor's word, upper case.
    pub state: String,
    /// When that was told for.
    pub at: Timestamp,
}

/// Whether any of our sessions is admin of a group, as the directory has it after an event that may have changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The group.
    pub group: GroupId,
    /// Its name.
    pub subject: String,
    /// What was known before; `None`: nothing.
    pub before: Option<bool>,
    /// What is known now.
    pub now: bool,
}

/// What applying entries told of ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// A session told what it is, and nothing was told for a later moment.
    State(SessionState),
    /// Whether we are admin of a group may have changed.
    Rights(Rights),
    /// A session turns out to have left a group.
    Left {
        /// Which of ours.
        session: SessionName,
        /// The group.
        group: GroupId,
        /// Its name.
        subject: String,
    },
}

/// An event of our own on its way through everything, and how far it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Which session's webhook it was posted to.
    pub session: SessionName,
    /// Its event id, unguessable.
    pub nonce: String,
    /// When it was about to be posted.
    pub posted_at: Timestamp,
    /// When the pipeline read it from the journal.
    pub applied_at: Option<Timestamp>,
    /// When its decision was committed.
    pub decided_at: Option<Timestamp>,
    /// When the delivery took its outbox row.
    pub delivered_at: Option<Timestamp>,
}

/// The use cases of whoever watches that nothing has fallen silent.
#[async_trait]
pub trait Watch: Send + Sync + 'static {
    /// A trouble begins: it is kept together with its alert. `false`: it was open already, and nothing is told again.
    async fn trouble_begins(
        &self,
        at: Timestamp,
        kind: &str,
        key: &str,
        text: &str,
    ) -> Result<bool, StoreError>;

    /// A trouble is over: it is dropped, and an alert of the kind `{kind}_over` is kept. `false`: none was open.
    async fn trouble_ends(
        &self,
        at: Timestamp,
        kind: &str,
        key: &str,
        text: &str,
    ) -> Result<bool, StoreError>;

    /// Every open trouble, oldest first.
    async fn troubles(&self) -> Result<Vec<Trouble>, StoreError>;

    /// What every session was last told to be.
    async fn session_states(&self) -> Result<Vec<SessionState>, StoreError>;

    /// When the newest webhook of a session was received, canaries apart. Only the newest entries are looked at.
    async fn last_webhook(&self, session: &SessionName) -> Result<Option<Timestamp>, StoreError>;

    /// A canary is about to be posted: only an event with this id, of this session, will be taken for one.
    async fn canary_begins(
        &self,
        session: &SessionName,
        nonce: &str,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// The delivery takes the canary rows of its session: they are `observed`. Answers when each was posted.
    async fn take_canaries(
        &self,
        session: &SessionName,
        now: Timestamp,
    ) -> Result<Vec<Timestamp>, StoreError>;

    /// The newest canaries of a session, newest first.
    async fn canaries(&self, session: &SessionName, limit: u32) -> Result<Vec<Canary>, StoreError>;

    /// Forgets canaries posted before then, with their entries, decisions and rows.
    async fn forget_canaries(&self, before: Timestamp) -> Result<usize, StoreError>;
}
