//! What a source's own words and times mean to us.

use super::status_of;
use crate::{facts::Status, numbering};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

/// The owner's words for our statuses, and the foreign words that were reported.
#[derive(Debug, Default)]
pub(super) struct Words {
    map: BTreeMap<String, Status>,
    foreign: Mutex<BTreeSet<String>>,
}

impl Words {
    pub(super) fn new(map: BTreeMap<String, Status>) -> Self {
        Self { map, foreign: Mutex::default() }
    }

    /// What a word means; unknown for a foreign one, which is logged once.
    pub(super) fn status(&self, word: &str) -> Status {
        status_of(word, &self.map).unwrap_or_else(|| {
            self.report(word);
            Status::Unknown
        })
    }

    fn report(&self, word: &str) {
        let word: String = numbering::shortened(word).chars().take(40).collect();
        let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        if foreign.len() < 100 && foreign.insert(word.clone()) {
            tracing::warn!(word, "a status of the subscription source is unknown; name it in `status_map`");
        }
    }
}
