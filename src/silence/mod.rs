//! Silence is noticed (P10): a session that sends nothing, a path on which something is stuck, a number that is logged out,
//! admin rights that are gone, a webhook that nobody registered any more.
//!
//! Everybody else only says what happens: [`Pulse`] hears that a webhook came, [`Sign`]s tell of sessions, rights and
//! canaries. The [`keeper`] alone decides what is trouble, and each stands in the store: told when it
//! begins and when it is over. Nothing here calls the gateway; who asks it, under the ceilings, comes in as [`Gateway`].
//!
//! The canary is an event of our own that goes the whole way of every other one, from an authenticated post to the
//! delivery, and asks for nothing. How it is posted comes in as [`Poster`]; without one there is none.

mod canary;
mod keeper;
mod pulse;
mod rules;

pub use canary::is_own_key;
pub use keeper::{Parts, run};
pub use pulse::{Pulse, Vital};

use crate::{clock::Timestamp, ids::SessionName, store::Noticed, wawp::session::Webhook};
use async_trait::async_trait;
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, mpsc};

/// Something that the keeper is told.
#[derive(Debug)]
pub enum Sign {
    /// An entry told something of ourselves.
    Noticed(Noticed),
    /// The gateway says that a session is not ready.
    NotReady {
        /// Which.
        session: SessionName,
        /// What it said.
        why: String,
    },
    /// A session that was not ready, or of which nothing was known, works.
    Ready {
        /// Which.
        session: SessionName,
    },
    /// The delivery took a canary.
    Canary {
        /// Whose.
        session: SessionName,
        /// When it was posted.
        posted_at: Timestamp,
    },
    /// What became of posting a canary.
    Posted {
        /// Whose.
        session: SessionName,
        /// Why it failed, if it did.
        failed: Option<String>,
    },
    /// What the gateway answers when it is asked how a session is.
    State {
        /// Which.
        session: SessionName,
        /// The vendor's word, or why there is none.
        state: Result<String, String>,
    },
    /// What the gateway answers when it is asked where a session's events go.
    Webhooks {
        /// Which.
        session: SessionName,
        /// The webhooks, or why they cannot be told.
        webhooks: Result<Vec<Webhook>, String>,
    },
}

/// Where signs are told. Nobody there is fine: a stop is under way.
pub type Signs = mpsc::UnboundedSender<Sign>;

/// Asks the gateway about a session, within its ceilings.
#[async_trait]
pub trait Gateway: Send + Sync + 'static {
    /// The vendor's word for its state.
    async fn state(&self, session: &SessionName) -> Result<String, String>;

    /// Where its events go.
    async fn webhooks(&self, session: &SessionName) -> Result<Vec<Webhook>, String>;

    /// Has the list of its groups and all their rosters read: it may have missed something.
    fn look_everywhere(&self, session: &SessionName);
}

/// Posts a body to a session's webhook with the proofs that the configuration asks for.
#[async_trait]
pub trait Poster: Send + Sync + 'static {
    /// `Err`: why it was not stored, in words without a secret.
    async fn post(&self, session: &SessionName, body: Vec<u8>) -> Result<(), String>;
}

/// Our own front door, once somebody listens there.
#[derive(Default)]
pub struct Door {
    poster: OnceLock<Arc<dyn Poster>>,
    opened: Notify,
}

impl Door {
    /// Webhooks can be posted from now on; canaries set out.
    pub fn open(&self, poster: Arc<dyn Poster>) {
        // Opened twice is open.
        let _ = self.poster.set(poster);
        self.opened.notify_one();
    }
}
