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
    ids::{Phone, SweepId},
    lists::{Named, Swept},
    pipeline::{Changed, Pipeline, take_local_list},
    store::{Cause, Store, StoreError, Whom},
    takeup::Takeup,
    telemetry::Metrics,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// An edit must be in force within two seconds; it is taken when three looks find the same.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(400);

/// While the subscription source is down, one of those who wait for it is asked for this often (in looks).
const PROBE_EVERY: u32 = 12;

/// While it answers, but with what cannot be used, at least every so many times: about ten minutes.
const SELDOM: u32 = 125;

/// The mark of what the lists said when members were looked at last.
const LISTS: &str = "lists";

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
    let mut known = (books.subscriptions.recoveries(), books.lists.generation());
    let mut troubled = 0u32;
    let mut outage = Outage::default();
    let mut watched = BTreeMap::new();
    let mut swept = None;
    // Lists may have changed while no daemon ran.
    let mut behind = true;
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        look(&books, &metrics, &*store, wall.now()).await;
        if books.lists.is_local_due()
            && let Err(error) = take_local_list(&*store, &books.lists, wall.now()).await
        {
            tracing::error!(%error, "the local list could not be read");
        }
        outage.look(&books, &metrics, &*store, wall.now()).await;
        for phone in books.subscriptions.take_ended() {
            if let Err(error) = store.drop_pushed(phone).await {
                tracing::error!(%error, "a pushed subscription that has served its time could not be dropped");
            }
        }
        troubled = if books.subscriptions.is_down() { troubled.saturating_add(1) } else { 0 };
        if is_probed(troubled, &books) {
            probe(&books, &*store).await;
        }
        let now = (books.subscriptions.recoveries(), books.lists.generation());
        behind |= now.1 != known.1;
        if behind {
            // What fails is still to be done at the next look. First what has its reason in the list itself.
            let done = [
                lift(&pipeline).await,
                spare(&pipeline).await,
                tell_spared_too_late(&pipeline).await,
                sweep(&books, &*store, &pipeline, &mut swept, &mut watched).await,
            ];
            behind = done.contains(&false);
        }
        if now != known {
            known = now;
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

/// A list was taken: whom the allowlist names now, or no list any more, nobody removes. `false` if that has still to be done,
/// as below.
async fn spare(pipeline: &Pipeline) -> bool {
    let spared = pipeline.spare(Changed::Lists).await;
    match &spared {
        Ok(0) => {}
        Ok(removals) => {
            tracing::info!(removals, "the lists spare people whose removals waited: cancelled")
        }
        Err(error) => {
            tracing::error!(%error, "removals that wait could not be looked at after a list changed")
        }
    }
    spared.is_ok()
}

/// A shared list was taken: what it has taken back is lifted.
async fn lift(pipeline: &Pipeline) -> bool {
    let lifted = pipeline.lift().await;
    match &lifted {
        Ok(0) => {}
        Ok(removals) => {
            tracing::info!(
                removals,
                "shared lists have taken back entries: removals that waited are cancelled"
            )
        }
        Err(error) => tracing::error!(%error, "what shared lists have taken back could not be lifted"),
    }
    lifted.is_ok()
}

/// Whom the allowlist names who are out already, the operators are told.
async fn tell_spared_too_late(pipeline: &Pipeline) -> bool {
    let told = pipeline.tell_spared_too_late().await;
    if let Err(error) = &told {
        tracing::error!(%error, "whom the allowlist names who are out already could not be told");
    }
    told.is_ok()
}

/// If a list has changed since everybody inside was looked at last, whom that can be about is looked at again.
async fn sweep(
    books: &Books,
    store: &dyn Store,
    pipeline: &Pipeline,
    swept: &mut Option<Swept>,
    watched: &mut BTreeMap<String, u64>,
) -> bool {
    let begun = sweep_if_changed(books, store, pipeline, swept).await;
    if matches!(begun, Ok(Some(_)))
        && let Err(error) = pipeline.tell_watched(watched).await
    {
        tracing::error!(%error, "whom the lists name that only watch could not be told");
    }
    match &begun {
        Ok(None) => {}
        Ok(Some(sweep)) => tracing::info!(%sweep, "a list has changed: members are looked at again"),
        Err(error) => tracing::error!(%error, "a list has changed, and the members could not be swept"),
    }
    begun.is_ok()
}

async fn sweep_if_changed(
    books: &Books,
    store: &dyn Store,
    pipeline: &Pipeline,
    swept: &mut Option<Swept>,
) -> Result<Option<SweepId>, StoreError> {
    let (state, now) = books.lists.moment(store.unpaired(books.lists.lids()).await?);
    let kept = store.sweep_mark(LISTS).await?;
    let mut begun = None;
    if kept.as_ref() != Some(&state) {
        let before = swept.as_ref().zip(kept.as_ref());
        let named = before.and_then(|(before, kept)| books.lists.changed_locally(before, kept, &now));
        let whom = match named {
            Some(named) => whom(store, &named).await?,
            None => Whom::Everybody,
        };
        begun = pipeline.sweep(Cause::Lists, whom, Some((LISTS, state))).await?;
    }
    *swept = Some(now);
    Ok(begun)
}

/// Who inside may be named. Single people are swept by their phones: where somebody's is not known, everybody is.
async fn whom(store: &dyn Store, named: &Named) -> Result<Whom, StoreError> {
    let inside = store.present().await?.into_iter().map(|(_, _, person)| person);
    let phones: Option<BTreeSet<Phone>> =
        inside.filter(|person| named.may_be(*person)).map(|person| person.phone).collect();
    Ok(phones.map_or(Whom::Everybody, |phones| Whom::People(phones.into_iter().collect())))
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
                Takeup::Taken { what, detail: "as it was".into(), flaw: None }
            }
            Ok(_) => Takeup::Taken {
                what,
                detail: "good, and changed: a restart puts it in force; until then the old one stays".into(),
                flaw: None,
            },
        };
        tell(&[takeup], &daemon.metrics, &*daemon.store, daemon.wall.now()).await;
    }
}

/// One look at every file.
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

/// Whether the source is asked at this look, the `troubled`th since it is in trouble: for a source that is down steadily,
/// for one that answers with what cannot be used ever less often, since it may be one person's record that is broken.
fn is_probed(troubled: u32, books: &Books) -> bool {
    let (round, in_time) = (troubled / PROBE_EVERY, troubled.is_multiple_of(PROBE_EVERY));
    let is_down = || books.subscriptions.outage().answers.is_none();
    in_time && round > 0 && (round.is_power_of_two() || round.is_multiple_of(SELDOM) || is_down())
}

/// Asks the source for one person of whom it said what cannot be used, or else for one who waits for it; if it answers,
/// everybody is called up.
async fn probe(books: &Books, store: &dyn Store) {
    let phone = match books.subscriptions.unread() {
        Some(phone) => Ok(Some(phone)),
        None => {
            store.awaiting_recheck(1).await.map(|waiting| waiting.first().and_then(|person| person.phone))
        }
    };
    match phone {
        Ok(Some(phone)) => drop(books.subscriptions.fetch(phone, None).await),
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "those who wait for a fact could not be found"),
    }
}
