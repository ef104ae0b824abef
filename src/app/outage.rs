//! A subscription source that gives no answers, answers that cannot be used, words that nobody knows: each is a trouble,
//! told once when it begins, and once when it is over.
//!
//! The store keeps what was told, so a restart in the middle tells nothing twice and forgets nothing.

use super::books::Books;
use crate::{
    clock::Timestamp,
    store::{Store, StoreError},
    subscriptions::SubscriptionBook,
    telemetry::Metrics,
};
use std::collections::BTreeSet;

/// So many looks in a row must find the source down: a server that is just restarted is no trouble.
const LOOKS: u32 = 5;
/// After a start an answer that cannot be used shows only when its turn comes: so many quiet looks (ten minutes) tell that
/// the trouble of an earlier run is over.
const QUIET: u32 = 1500;
const KIND: &str = "subscriptions";
/// A word for a status that says nothing to us.
const WORD: &str = "status_word";

/// What was told of the source.
pub(super) struct Outage {
    source: Told,
    answers: Told,
    /// Words that were told and mean nothing yet; `None` until the store was asked what an earlier run told.
    words: Option<BTreeSet<String>>,
}

/// What was told of one trouble.
struct Told {
    key: &'static str,
    looks: u32,
    quiet: u32,
    /// `None` until this run knows: an earlier one may have left the trouble open.
    open: Option<bool>,
}

/// Where it is told.
struct Tell<'a> {
    metrics: &'a Metrics,
    store: &'a dyn Store,
    now: Timestamp,
}

impl Default for Outage {
    fn default() -> Self {
        let told = |key| Told { key, looks: 0, quiet: 0, open: None };
        Self { source: told("source"), answers: told("answers"), words: None }
    }
}

impl Outage {
    /// One look at the source.
    pub(super) async fn look(&mut self, books: &Books, metrics: &Metrics, store: &dyn Store, now: Timestamp) {
        let tell = Tell { metrics, store, now };
        let told = async {
            let outage = books.subscriptions.outage();
            let stats = books.subscriptions.stats();
            let answers = stats.misses > stats.errors;
            let source = outage
                .source
                .map(|why| format!("{why}: who pays is unknown, and nobody is removed for it meanwhile"));
            self.source.look(&tell, source, answers, "the subscription source answers again").await?;
            let unread = outage.answers.map(|(people, why)| {
                format!(
                    "{why}: whether they pay is unknown for {people} of those asked about so far, and nobody is \
                     removed for it meanwhile"
                )
            });
            let quiet = answers && self.answers.quiet >= QUIET;
            let over = "what the subscription source answers can be used again, for everybody asked about";
            self.answers.look(&tell, unread, quiet, over).await?;
            words(&mut self.words, &books.subscriptions, &tell).await
        };
        if let Err(error) = told.await {
            tracing::error!(%error, "what became of the subscription source cannot be kept now");
        }
    }
}

impl Told {
    /// One look at this trouble: `text` tells it while it lasts. Whether one of an earlier run is over is only known
    /// once `knows`.
    async fn look(
        &mut self,
        tell: &Tell<'_>,
        text: Option<String>,
        knows: bool,
        over: &str,
    ) -> Result<(), StoreError> {
        let Some(text) = text else {
            self.looks = 0;
            self.quiet = self.quiet.saturating_add(1);
            if self.open == Some(true) || (self.open.is_none() && knows) {
                tell.ends(KIND, self.key, over).await?;
                self.open = Some(false);
            }
            return Ok(());
        };
        self.quiet = 0;
        self.looks = self.looks.saturating_add(1);
        if self.looks >= LOOKS && self.open != Some(true) {
            tell.begins(KIND, self.key, &text).await?;
            self.open = Some(true);
        }
        Ok(())
    }
}

/// Words that are met for the first time, and those that have a meaning now.
async fn words(
    told: &mut Option<BTreeSet<String>>,
    book: &SubscriptionBook,
    tell: &Tell<'_>,
) -> Result<(), StoreError> {
    let told = match told {
        Some(told) => told,
        None => {
            let open = tell.store.troubles().await?.into_iter().filter(|trouble| trouble.kind == WORD);
            told.insert(open.map(|trouble| trouble.key).collect())
        }
    };
    for word in book.foreign_words().difference(&told.clone()) {
        let text = format!(
            "the status `{word}` of the subscription source says nothing to us: who has it is unknown and not removed \
             for it; name it in [subscriptions] status_map, like status_map = {{ \"{word}\" = \"active\" }}"
        );
        tell.begins(WORD, word, &text).await?;
        told.insert(word.clone());
    }
    let over: Vec<String> = told.iter().filter(|word| book.understands(word)).cloned().collect();
    for word in over {
        tell.ends(WORD, &word, &format!("the status `{word}` has a meaning now, or is not met any more"))
            .await?;
        told.remove(&word);
    }
    Ok(())
}

impl Tell<'_> {
    async fn begins(&self, kind: &'static str, key: &str, text: &str) -> Result<(), StoreError> {
        if self.store.trouble_begins(self.now, kind, key, text).await? {
            self.metrics.alert(kind);
            tracing::warn!(kind, "alert: {text}");
        }
        Ok(())
    }

    async fn ends(&self, kind: &'static str, key: &str, text: &str) -> Result<(), StoreError> {
        if self.store.trouble_ends(self.now, kind, key, text).await? {
            self.metrics.alert(&format!("{kind}_over"));
        }
        Ok(())
    }
}
