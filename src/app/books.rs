//! The owner's files in force: policies, lists, subscriptions; and how the owner hears what became of an edit.

use crate::{
    clock::{Clock, Timestamp},
    config::Config,
    lists::ListBook,
    pipeline::take_local_list,
    policy::{LoadSpec, PolicyBook},
    store::Store,
    subscriptions::SubscriptionBook,
    takeup::Takeup,
    telemetry::Metrics,
    transport::Transport,
};
use std::sync::Arc;

/// The owner's files in force.
pub(crate) struct Books {
    pub(crate) policies: Arc<PolicyBook>,
    pub(crate) lists: Arc<ListBook>,
    pub(crate) subscriptions: Arc<SubscriptionBook>,
}

/// Opens policies, lists and subscriptions; what is refused is told and the last good copy is in force.
pub(super) async fn open(
    config: &Config,
    metrics: &Metrics,
    wall: &Arc<dyn Clock>,
    store: &Arc<dyn Store>,
    web: Arc<dyn Transport>,
) -> anyhow::Result<Books> {
    let kept = config.server.data_dir.join("kept");
    let (policies, mut takeups) = PolicyBook::open(LoadSpec::of(config), kept.join("policies"));
    let (lists, told) = ListBook::open(config, kept.join("lists"), wall.now());
    takeups.extend(told);
    take_local_list(&**store, &lists, wall.now()).await?;
    let (subscriptions, told) = SubscriptionBook::open(
        config.subscriptions.as_ref(),
        jiff::tz::TimeZone::get(&config.server.time_zone)?,
        config.lists.max_shrink,
        kept.join("subscriptions"),
        web,
        wall.clone(),
    );
    takeups.extend(told);
    subscriptions.load_pushed(store.pushed().await?);
    tell(&takeups, metrics, &**store, wall.now()).await;
    let (policies, lists, subscriptions) = (Arc::new(policies), Arc::new(lists), Arc::new(subscriptions));
    Ok(Books { policies, lists, subscriptions })
}

/// Log, counters and, for a refusal, an alert.
pub(super) async fn tell(takeups: &[Takeup], metrics: &Metrics, store: &dyn Store, now: Timestamp) {
    // Another mistake in the same file is another alert.
    let alert = async |kind: &'static str, text: &str| {
        metrics.alert(kind);
        if let Err(error) = store.alert(now, kind, text, text).await {
            tracing::error!(%error, "the alert could not be kept");
        }
    };
    for takeup in takeups {
        metrics.takeup(takeup);
        match takeup {
            Takeup::Taken { what, detail, flaw } => {
                tracing::info!(what, "taken up: {detail}");
                if let Some(flaw) = flaw {
                    tracing::warn!(what, "in force, but {flaw}");
                    alert("skipped", &format!("{what}: {flaw}")).await;
                }
            }
            Takeup::Refused { what, why } => {
                tracing::error!(what, "refused, the last good one stays in force: {why}");
                alert("refused", &format!("{what}: {why}")).await;
            }
        }
    }
}
