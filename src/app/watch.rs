//! The watch: edited files are looked at twice a second, and a source that was down is asked whether it is back.

use super::{
    assembly::Daemon,
    books::{Books, tell},
    outage::Outage,
};
use crate::{
    aside,
    clock::{Clock, Timestamp},
    config::{self, Config},
    ids::SweepId,
    pipeline::{Changed, Pipeline, take_local_list},
    store::{Cause, Store, StoreError, Whom},
    takeup::Takeup,
    telemetry::Metrics,
};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// An edit must be in force within two seconds; it is taken when two looks find the same.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(400);

/// While the subscription source is down, one of those who wait for it is asked for this often (in looks).
const PROBE_EVERY: u32 = 12;

/// What the watch works with.
pub(super) struct Parts {
    pub(super) books: Arc<Books>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) store: Arc<dyn Store>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) wall: Arc<dyn Clock>,
    /// Between two looks.
    pub(super) every: Duration,
}

/// Looks at the files until `stop`.
pub(super) async fn run(parts: Parts, stop: CancellationToken) {
    let Parts { books, metrics, store, pipeline, wall, every } = parts;
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut recoveries = books.subscriptions.recoveries();
    let mut lists = books.lists.generation();
    let mut looks = 0u32;
    let mut outage = Outage::default();
    let mut watched = BTreeMap::new();
    // Lists may have changed while no daemon ran.
    lift(&pipeline).await;
    sweep(&books, &*store, &pipeline, &mut watched).await;
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        look(&books, &metrics, &*store, wall.now()).await;
        if books.lists.is_local_due()
            && let Err(error) = take_local_list(&*store, &books.lists, wall.now()).await
        {
            tracing::error!(%error, "the local list could not be read");
        }
        outage.look(&books, &metrics, &*store, wall.now()).await;
        looks = looks.wrapping_add(1);
        for phone in books.subscriptions.take_ended() {
            if let Err(error) = store.drop_pushed(phone).await {
                tracing::error!(%error, "a pushed subscription that has served its time could not be dropped");
            }
        }
        if looks.is_multiple_of(PROBE_EVERY) && books.subscriptions.is_down() {
            probe(&books, &*store).await;
        }
        let now = (books.subscriptions.recoveries(), books.lists.generation());
        if now != (recoveries, lists) {
            if now.1 != lists {
                // First what has its reason in the list itself.
                lift(&pipeline).await;
                spare(&pipeline).await;
                sweep(&books, &*store, &pipeline, &mut watched).await;
            }
            (recoveries, lists) = now;
            match pipeline.source_is_back().await {
                Ok(0) => {}
                Ok(people) => {
                    tracing::info!(people, "facts that were unknown may be known now: looking again")
                }
                Err(error) => tracing::error!(%error, "those who wait for a fact could not be called up"),
            }
        }
    }
}

/// A list was taken: whom the allowlist names now, or no list any more, nobody removes.
async fn spare(pipeline: &Pipeline) {
    match pipeline.spare(Changed::Lists).await {
        Ok(0) => {}
        Ok(removals) => {
            tracing::info!(removals, "the lists spare people whose removals waited: cancelled")
        }
        Err(error) => {
            tracing::error!(%error, "removals that wait could not be looked at after a list changed")
        }
    }
}

/// A shared list was taken: what it has taken back is lifted.
async fn lift(pipeline: &Pipeline) {
    match pipeline.lift().await {
        Ok(0) => {}
        Ok(removals) => {
            tracing::info!(
                removals,
                "shared lists have taken back entries: removals that waited are cancelled"
            )
        }
        Err(error) => tracing::error!(%error, "what shared lists have taken back could not be lifted"),
    }
}

/// If a list has changed since everybody inside was looked at last, that is done again.
async fn sweep(books: &Books, store: &dyn Store, pipeline: &Pipeline, watched: &mut BTreeMap<String, u64>) {
    let swept = sweep_if_changed(books, store, pipeline).await;
    if matches!(swept, Ok(Some(_)))
        && let Err(error) = pipeline.tell_watched(watched).await
    {
        tracing::error!(%error, "whom the lists name that only watch could not be told");
    }
    match swept {
        Ok(None) => {}
        Ok(Some(sweep)) => tracing::info!(%sweep, "a list has changed: the members are looked at again"),
        Err(error) => tracing::error!(%error, "a list has changed, and the members could not be swept"),
    }
}

async fn sweep_if_changed(
    books: &Books,
    store: &dyn Store,
    pipeline: &Pipeline,
) -> Result<Option<SweepId>, StoreError> {
    let state = books.lists.state(&store.unpaired(books.lists.lids()).await?);
    if store.swept().await?.as_ref() == Some(&state) {
        return Ok(None);
    }
    let begun = pipeline.sweep(Cause::Lists, Whom::Everybody, None).await?;
    store.keep_swept(state).await?;
    Ok(begun)
}

/// The configuration as it was read at the start. It is not taken up while running: a reload says whether the file is
/// still good, and that a changed one needs a restart.
pub(super) struct Configured {
    path: PathBuf,
    text: Option<String>,
}

impl Configured {
    pub(super) fn now(config: &Config) -> Self {
        Self { path: config.path.clone(), text: std::fs::read_to_string(&config.path).ok() }
    }

    /// Looks at the file again, at a reload.
    pub(super) async fn look(&self, daemon: &Daemon) {
        if self.text.is_none() {
            return;
        }
        let what = "configuration".to_string();
        let takeup = match config::load(Some(&self.path), std::env::vars()) {
            Err(error) => Takeup::Refused { what, why: error.to_string() },
            Ok(_) if std::fs::read_to_string(&self.path).ok() == self.text => {
                Takeup::Taken { what, detail: "as it was".into() }
            }
            Ok(_) => Takeup::Taken {
                what,
                detail: "good, and changed: a restart puts it in force; until then the old one stays".into(),
            },
        };
        tell(&[takeup], &daemon.metrics, &*daemon.store, daemon.wall.now()).await;
    }
}

/// One look at every file; a reload does the same at once.
pub(super) async fn look(books: &Arc<Books>, metrics: &Metrics, store: &dyn Store, now: Timestamp) {
    let looking = books.clone();
    let takeups = aside::run(move || {
        let mut takeups = looking.policies.poll();
        takeups.extend(looking.lists.poll(now));
        takeups.extend(looking.subscriptions.poll());
        takeups
    })
    .await;
    match takeups {
        Ok(takeups) => tell(&takeups, metrics, store, now).await,
        Err(died) => tracing::error!(%died, "a look at the files failed"),
    }
}

/// Asks the source for one person who waits for it; if it answers, everybody is called up.
async fn probe(books: &Books, store: &dyn Store) {
    match store.awaiting_recheck(1).await {
        Ok(waiting) => {
            for phone in waiting.iter().filter_map(|person| person.phone) {
                books.subscriptions.fetch(phone, None).await;
            }
        }
        Err(error) => tracing::error!(%error, "those who wait for a fact could not be found"),
    }
}
