//! Entries of the journal as they are appended, kept and shown.

use crate::{
    clock::Timestamp,
    ids::{EntryId, SessionName},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// How a journal entry came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The gateway posted it; the body is vendor JSON, or whatever was posted.
    Webhook,
    /// A timer came due; the body is an [`crate::event::Event`].
    Timer,
    /// We read it from the gateway; the body is an [`crate::event::Event`].
    Roster,
    /// Members are to be looked at again; the body is an [`crate::event::Event`].
    Sweep,
}

/// An entry to be appended.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// Which session.
    pub session: SessionName,
    /// How it came to be.
    pub source: Source,
    /// The dedup key, unique over all sessions (it contains the session). At most 128 bytes.
    pub key: Vec<u8>,
    /// The raw bytes.
    pub body: Bytes,
    /// When we received it.
    pub received_at: Timestamp,
}

/// What became of an appended entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Stored under that number.
    New(EntryId),
    /// The key is already there; nothing was stored.
    Repeat,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// Not taken yet.
    New,
    /// Understood; the directory knows, its runs (if any) exist.
    Applied,
    /// Understood, nothing to do (`note` says why).
    Ignored,
    /// Kept, not understood (`note` says why).
    Unreadable,
    /// Understood, but a policy failed on it: some of its runs are parked. Shown only; stored as [`EntryState::Applied`].
    PolicyError,
}

/// A journal entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// Which session.
    pub session: SessionName,
    /// How it came to be.
    pub source: Source,
    /// The raw bytes.
    pub body: Bytes,
    /// When we received it.
    pub received_at: Timestamp,
    /// Where it stands.
    pub state: EntryState,
    /// Why it is ignored or unreadable.
    pub note: Option<String>,
}
