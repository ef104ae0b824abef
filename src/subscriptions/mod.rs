//! Who pays: the owner's file, HTTP API or database, and what the payment side pushed.
//!
//! Every look-up answers known or unknown, never with an error: *unknown is not unpaid*. What is known has its age;
//! what is served although its time is over says so. `roll` reads the file, `http` asks the API, `batch` for several at
//! once, `sql` a database, `cache` stands before whoever is asked person by person, `book` is what the rest of the daemon
//! holds. Pushed values are kept in memory here and durably by the store.

mod batch;
mod book;
mod cache;
mod http;
mod roll;
mod sql;
mod words;

#[cfg(test)]
mod tests;

pub use book::{Changes, RollChange, SubscriptionBook};
pub use cache::Outage;
pub use http::client;

use crate::{
    clock::Timestamp,
    facts::{Lookup, Status, Subscription},
};
use std::{collections::BTreeMap, time::Duration};

/// What look-ups came to so far, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Answered from what was at hand.
    pub hits: u64,
    /// Asked of the source.
    pub misses: u64,
    /// Of these, asked ahead: nobody waited.
    pub ahead: u64,
    /// Of these, failed.
    pub errors: u64,
    /// Answers that somebody is not known to the source.
    pub negative: u64,
    /// Answers that were served although their time was over.
    pub stale: u64,
    /// Questions under way.
    pub in_flight: u64,
    /// Answers kept.
    pub entries: u64,
    /// Time that these took, together.
    pub latency: Duration,
}

/// The status behind a word of the owner's: his own map first, then our words. `None` for a foreign word.
fn status_of(word: &str, map: &BTreeMap<String, Status>) -> Option<Status> {
    let word = word.trim().to_lowercase();
    map.get(&word).copied().or_else(|| Status::parse(&word))
}

/// A known value; unknown if its status is.
fn known(subscription: &Subscription, as_of: Timestamp, source: &str, stale: bool) -> Lookup<Subscription> {
    match subscription.status {
        Status::Unknown => Lookup::Unknown {
            why: format!("{source} has a status that says nothing to us; name it in `status_map`"),
        },
        _ => Lookup::Known { value: subscription.clone(), as_of, source: source.into(), stale },
    }
}
