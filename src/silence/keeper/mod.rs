//! The keeper: takes signs, keeps the times, and tells what is trouble.

mod canaries;
mod sessions;
mod troubles;

use super::{Door, Gateway, Pulse, Sign, Signs, rules::WORKING};
use crate::{
    clock::{Clock, Timestamp},
    config::Config,
    ids::SessionName,
    store::{Noticed, Store},
    telemetry::Metrics,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use troubles::named;

/// Canaries are kept this long, and forgotten this often.
const KEPT: Duration = Duration::from_secs(24 * 3600);
const FORGOTTEN_EVERY: Duration = Duration::from_secs(3600);
/// Longer nobody waits for nothing.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What the keeper works with; the composition root fills it in.
pub struct Parts {
    /// The configuration.
    pub config: Arc<Config>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Schedules.
    pub steady: Arc<dyn Clock>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What the way in hears.
    pub pulse: Arc<Pulse>,
    /// What everybody tells.
    pub signs: mpsc::UnboundedReceiver<Sign>,
    /// Where what was asked for in the background is told.
    pub tell: Signs,
    /// Who asks the gateway.
    pub gateway: Arc<dyn Gateway>,
    /// Our own front door; canaries set out once it is open.
    pub door: Arc<Door>,
}

/// Watches until `stop`.
pub async fn run(parts: Parts, stop: CancellationToken) {
    let mut signs = parts.signs;
    let minds = parts.config.sessions.iter().map(|session| (session.name.clone(), Mind::default()));
    let mut keeper = Keeper {
        minds: minds.collect(),
        config: parts.config,
        store: parts.store,
        steady: parts.steady,
        metrics: parts.metrics,
        pulse: parts.pulse,
        tell: parts.tell,
        gateway: parts.gateway,
        door: parts.door,
        forget_at: Timestamp(0),
        open: BTreeSet::new(),
        stop: stop.clone(),
    };
    keeper.take_up().await;
    while !stop.is_cancelled() {
        while let Ok(sign) = signs.try_recv() {
            keeper.take(sign).await;
        }
        let due = keeper.look().await;
        let pause = due.since(keeper.steady.now()).clamp(Duration::from_millis(1), LONGEST);
        let (pulse, door) = (keeper.pulse.clone(), keeper.door.clone());
        // In one order, so that equal worlds go equal ways.
        tokio::select! {
            biased;
            sign = signs.recv() => if let Some(sign) = sign { keeper.take(sign).await },
            () = pulse.spoke() => {}
            () = door.opened.notified() => keeper.set_out(),
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// What is on the keeper's mind about a session.
#[derive(Default)]
struct Mind {
    /// The gateway is being asked how it is.
    asking: bool,
    /// The question is why it is silent.
    asked_for_silence: bool,
    /// Since when calls find it not ready, and what they were told.
    unready: Option<(Timestamp, String)>,
    /// Not working: when to ask whether it is again.
    back_due: Option<Timestamp>,
    /// When the next canary sets out; none while the door is closed.
    canary_due: Option<Timestamp>,
    /// Since when canaries set out.
    canary_since: Option<Timestamp>,
    /// That it is overdue was told.
    canary_overdue: bool,
    /// Why the last canary could not be posted.
    failed_post: Option<String>,
    /// When to look at its registration.
    registration_due: Option<Timestamp>,
    /// That it cannot be checked was told.
    unchecked_told: bool,
}

struct Keeper {
    config: Arc<Config>,
    store: Arc<dyn Store>,
    steady: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
    tell: Signs,
    gateway: Arc<dyn Gateway>,
    door: Arc<Door>,
    minds: BTreeMap<SessionName, Mind>,
    forget_at: Timestamp,
    /// Kinds and keys of what is open.
    open: BTreeSet<(String, String)>,
    stop: CancellationToken,
}

impl Keeper {
    /// What the last daemon knew.
    async fn take_up(&mut self) {
        let now = self.steady.now();
        let store = self.store.clone();
        let open = self.insist(|| store.troubles()).await.unwrap_or_default();
        let states = self.insist(|| store.session_states()).await.unwrap_or_default();
        let is_open = |kind: &str, name: &SessionName| {
            open.iter().any(|trouble| trouble.kind == kind && trouble.key == name.as_str())
        };
        self.open = open.iter().map(|trouble| (trouble.kind.clone(), trouble.key.clone())).collect();
        let names: Vec<SessionName> = self.minds.keys().cloned().collect();
        for name in names {
            let heard = self.insist(|| store.last_webhook(&name)).await.flatten();
            let canaries = self.insist(|| store.canaries(&name, 20)).await.unwrap_or_default();
            let through = canaries.iter().find(|canary| canary.delivered_at.is_some());
            let state = states.iter().find(|told| told.session == name).map(|told| told.state.clone());
            self.pulse.with(&name, |beat| {
                beat.heard = beat.heard.max(heard.map(|at| at.min(now)));
                beat.state = beat.state.take().or(state);
                beat.canary = through.map(|canary| canary.posted_at);
                beat.silent = is_open("silence", &name);
            });
            let Some(mind) = self.minds.get_mut(&name) else { continue };
            mind.canary_overdue = is_open("canary", &name);
            mind.back_due = is_open("session", &name).then_some(now);
            mind.registration_due = self.config.server.public_url.as_ref().map(|_| now);
        }
    }

    async fn take(&mut self, sign: Sign) {
        match sign {
            Sign::Noticed(Noticed::State(told)) => self.state_told(&told.session, &told.state).await,
            Sign::Noticed(Noticed::Rights(rights)) => self.rights_told(&rights).await,
            Sign::Noticed(Noticed::Left { session, group, subject }) => {
                let text = format!(
                    "{session}: we are no longer in {}; it is not guarded until we are back",
                    named(&subject, &group.to_string())
                );
                self.alert("left", &format!("{session} {}", group.as_str()), &text).await;
            }
            Sign::NotReady { session, why } => self.not_ready(&session, why),
            Sign::Ready { session } => {
                self.pulse.with(&session, |beat| beat.state = Some(WORKING.into()));
                self.works(&session).await;
            }
            Sign::Canary { session, posted_at } => self.canary_through(&session, posted_at).await,
            Sign::Posted { session, failed } => {
                if let Some(mind) = self.minds.get_mut(&session) {
                    mind.failed_post = failed;
                }
            }
            Sign::State { session, state } => self.state_answered(&session, state).await,
            Sign::Webhooks { session, webhooks } => self.webhooks_told(&session, webhooks).await,
        }
    }

    /// Whatever is due; answers when to look again.
    async fn look(&mut self) -> Timestamp {
        let now = self.steady.now();
        let mut next = now + LONGEST;
        let names: Vec<SessionName> = self.minds.keys().cloned().collect();
        for name in names {
            let dues = [
                self.look_at_silence(&name, now).await,
                self.look_at_readiness(&name, now).await,
                self.look_at_canary(&name, now).await,
                self.look_at_registration(&name, now),
            ];
            next = dues.into_iter().flatten().fold(next, Timestamp::min);
        }
        if now >= self.forget_at {
            self.forget_at = now + FORGOTTEN_EVERY;
            if let Err(error) = self.store.forget_canaries(now - KEPT).await {
                tracing::error!(%error, "old canaries could not be forgotten");
            }
        }
        next.min(self.forget_at)
    }
}
