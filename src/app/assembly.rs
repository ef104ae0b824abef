//! One daemon put together on whatever ground it is given: the machine, or a test's own world.
//!
//! The only place that knows how the parts hang together. What the ground is made of (clocks, store, transports) is the
//! caller's; sockets, signals and secrets in logs are [`super::App`]'s.

use super::{
    books::{self, Books},
    go_between::{self, Couriers, GoBetween, Listings, SecondLook},
    owners::{Desk, Watched},
    refresh, sweeping, watch,
};
use crate::{
    api::{self, Api},
    clock::{Clock, SteadyClock},
    config::{self, Config},
    delivery::{self, Checkup, Courier, PhoneRequest},
    herald::{self, Herald},
    ids::{GroupId, Person, Phone, SessionName},
    ingress::{self, Ingress},
    lifecycle::Lifecycle,
    limits::{Ceilings, Ledger},
    payments::{self, Payments},
    pipeline::{self, Pipeline},
    silence::{self, Door, Pulse, Sign, Signs},
    store::Store,
    telemetry::{Metrics, Redactor},
    transport::Transport,
    wawp,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{Notify, mpsc, watch as channel};

/// Requests for a phone that wait for a courier; more are answered "not now".
const PHONE_REQUESTS: usize = 1024;

/// What a daemon stands on.
pub struct Ground {
    /// The wall clock.
    pub wall: Arc<dyn Clock>,
    /// The store; nobody else works on it.
    pub store: Arc<dyn Store>,
    /// The way to the gateway.
    pub gateway: Arc<dyn Transport>,
    /// The way to everybody else: the owner's HTTP sources, the operators' webhook.
    pub web: Arc<dyn Transport>,
    /// How often is looked where nothing rings.
    pub tempo: Tempo,
}

/// How often is looked where nothing rings. Only a safeguard: all work rings a bell or names its time, and a daemon with
/// hours here does the same.
#[derive(Clone, Copy, Debug)]
pub struct Tempo {
    /// The longest wait of pipeline and couriers.
    pub idle: Duration,
    /// Between two looks at the owner's files.
    pub files: Duration,
}

impl Default for Tempo {
    fn default() -> Self {
        Self { idle: Duration::from_secs(1), files: watch::LOOK_EVERY }
    }
}

/// A daemon whose workers run; nothing listens yet.
pub struct Daemon {
    /// Webhooks, health and the admin API.
    pub router: axum::Router,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// To be opened once webhooks can be posted: then canaries set out. While it is closed there are none.
    pub door: Arc<Door>,
    pub(super) books: Arc<Books>,
    pub(super) config: Arc<Config>,
    pub(super) wall: Arc<dyn Clock>,
}

impl Daemon {
    /// Recovers what the last one left, opens the owner's files, and starts the workers in `lifecycle`.
    ///
    /// # Errors
    /// If the store fails, or a secret is unreadable.
    pub async fn assemble(config: Config, ground: Ground, lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        let Ground { wall, store, gateway, web, tempo } = ground;
        let (config, metrics) = (Arc::new(config), Arc::new(Metrics::new()));
        let begins = store.resume_time(wall.now(), wall.uptime()).await?;
        let steady: Arc<dyn Clock> = Arc::new(SteadyClock::new(wall.clone(), begins));
        store.recover(wall.now(), steady.now()).await?;
        let books = Arc::new(books::open(&config, &metrics, &wall, &store, web.clone()).await?);
        let names = config.sessions.iter().map(|session| &session.name);
        let pulse = Arc::new(Pulse::new(steady.clone(), names));
        let door = Arc::new(Door::default());
        let parts = Common { config, metrics, wall, steady, store, books, web, tempo, pulse, door };
        let bells = Bells { journal: Arc::new(Notify::new()), outbox: channel::Sender::new(()) };
        let (payments, paid) = mpsc::unbounded_channel();
        parts.start_downloads(lifecycle).await?;
        let (ledgers, pipeline) = parts.start_workers(lifecycle, gateway, &bells, paid).await?;
        let router = parts.router(bells, ledgers, payments, pipeline)?;
        let Common { config, metrics, wall, store, books, door, .. } = parts;
        Ok(Self { router, store, metrics, door, books, config, wall })
    }

    /// Looks at every file now, not at the pace of the watch: for a world in which nobody writes at the same time.
    pub async fn look_at_files(&self) {
        watch::look(&self.books, &self.metrics, &*self.store, self.wall.now()).await;
    }
}

/// What most parts need.
struct Common {
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    wall: Arc<dyn Clock>,
    steady: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    books: Arc<Books>,
    web: Arc<dyn Transport>,
    tempo: Tempo,
    pulse: Arc<Pulse>,
    door: Arc<Door>,
}

impl Common {
    /// The pipeline, a courier for each session, the watch over the files.
    async fn start_workers(
        &self,
        lifecycle: &Lifecycle,
        gateway: Arc<dyn Transport>,
        bells: &Bells,
        paid: mpsc::UnboundedReceiver<Phone>,
    ) -> anyhow::Result<(Vec<Watched>, Arc<Pipeline>)> {
        let Bells { journal: journal_bell, outbox: outbox_bell } = bells;
        let (rosters, roster_requests) = mpsc::unbounded_channel();
        let (signs, told) = mpsc::unbounded_channel();
        let mut phones = BTreeMap::new();
        let mut ends = Vec::new();
        for session in &self.config.sessions {
            let (send, receive) = mpsc::channel(PHONE_REQUESTS);
            phones.insert(session.name.clone(), send);
            ends.push((session, receive));
        }
        let pipeline = Arc::new(Pipeline::new(pipeline::Parts {
            config: self.config.clone(),
            store: self.store.clone(),
            wall: self.wall.clone(),
            steady: self.steady.clone(),
            policies: self.books.policies.clone(),
            lists: self.books.lists.clone(),
            subscriptions: self.books.subscriptions.clone(),
            identities: Arc::new(GoBetween::new(phones, self.wall.clone())),
            metrics: self.metrics.clone(),
            bell: journal_bell.clone(),
            outbox_bell: outbox_bell.clone(),
            rosters,
            signs: signs.clone(),
            idle: self.tempo.idle,
        }));
        if let Some(herald) = self.herald(outbox_bell.clone())? {
            lifecycle.spawn("herald", herald.run(lifecycle.soft()));
        }
        let mut watched = Vec::new();
        let mut roster_desks = BTreeMap::new();
        let mut couriers = BTreeMap::new();
        for (session, phones) in ends {
            let (send, receive) = mpsc::unbounded_channel();
            roster_desks.insert(session.name.clone(), send);
            let (check, checkups) = mpsc::unbounded_channel();
            couriers.insert(session.name.clone(), check);
            let outbox_bell = outbox_bell.subscribe();
            let channels = Channels { rosters: receive, phones, checkups, signs: signs.clone(), outbox_bell };
            let courier =
                self.courier(session, &gateway, &pipeline, journal_bell, channels, &mut watched).await?;
            lifecycle.spawn("courier", courier.run(lifecycle.soft()));
        }
        lifecycle.spawn("pipeline", pipeline.clone().run(lifecycle.soft()));
        let sparing = go_between::spare_the_paying(paid, pipeline.clone(), lifecycle.soft());
        lifecycle.spawn("payments", sparing);
        lifecycle.spawn("rosters", go_between::share_out(roster_requests, roster_desks, lifecycle.soft()));
        self.start_watches(lifecycle, &pipeline, (signs, told), Couriers(couriers))?;
        Ok((watched, pipeline))
    }

    /// Who watches that nothing has fallen silent, who watches the files, and who has members looked at again.
    fn start_watches(
        &self,
        lifecycle: &Lifecycle,
        pipeline: &Arc<Pipeline>,
        (tell, signs): (Signs, mpsc::UnboundedReceiver<Sign>),
        couriers: Couriers,
    ) -> anyhow::Result<()> {
        let keeper = silence::Parts {
            config: self.config.clone(),
            store: self.store.clone(),
            steady: self.steady.clone(),
            metrics: self.metrics.clone(),
            pulse: self.pulse.clone(),
            signs,
            tell,
            gateway: Arc::new(couriers),
            door: self.door.clone(),
        };
        lifecycle.spawn("silence", silence::run(keeper, lifecycle.soft()));
        let files = watch::Parts {
            books: self.books.clone(),
            metrics: self.metrics.clone(),
            store: self.store.clone(),
            pipeline: pipeline.clone(),
            wall: self.wall.clone(),
            every: self.tempo.files,
        };
        lifecycle.spawn("watch", watch::run(files, lifecycle.soft()));
        let causes = sweeping::Parts {
            books: self.books.clone(),
            store: self.store.clone(),
            pipeline: pipeline.clone(),
            steady: self.steady.clone(),
            schedule: self.config.sweep,
            zone: jiff::tz::TimeZone::get(&self.config.server.time_zone)?,
        };
        lifecycle.spawn("sweeps", sweeping::run(causes, lifecycle.soft()));
        Ok(())
    }

    /// Who keeps lists from URLs fresh.
    async fn start_downloads(&self, lifecycle: &Lifecycle) -> anyhow::Result<()> {
        let parts = refresh::Parts {
            web: self.web.clone(),
            store: self.store.clone(),
            metrics: self.metrics.clone(),
            steady: self.steady.clone(),
        };
        parts.forget_others(&self.books.lists).await?;
        for list in self.books.lists.downloads() {
            lifecycle.spawn("download", refresh::run(list, parts.clone(), lifecycle.soft()));
        }
        Ok(())
    }

    fn herald(&self, outbox_bell: channel::Sender<()>) -> anyhow::Result<Option<Herald>> {
        let config = self.config.alerts.clone();
        let redactor = Redactor::default();
        super::hide_secrets(&self.config, &redactor);
        let parts = herald::Parts {
            session: config.session.clone().unwrap_or_else(|| self.config.sessions[0].name.clone()),
            host: self.config.server.public_url.clone().unwrap_or_else(|| "perimeterd".into()),
            config,
            store: self.store.clone(),
            web: self.web.clone(),
            steady: self.steady.clone(),
            outbox_bell,
            redactor,
        };
        Herald::new(parts).map_err(|why| anyhow::anyhow!("{why}"))
    }

    async fn courier(
        &self,
        session: &config::Session,
        gateway: &Arc<dyn Transport>,
        pipeline: &Arc<Pipeline>,
        journal_bell: &Arc<Notify>,
        channels: Channels,
        watched: &mut Vec<Watched>,
    ) -> anyhow::Result<Courier> {
        let now = self.steady.now();
        let own = self.store.session_started(&session.name, Person::default(), now).await?;
        let ceilings = Ceilings::new(self.config.limits.clone(), self.config.pacing, own.young_since());
        let entries = self.store.ledger(&session.name, now - ceilings.longest()).await?;
        let ledger = Arc::new(Mutex::new(Ledger::restore(&entries)));
        let ceilings = Arc::new(Mutex::new(ceilings));
        watched.push(Watched {
            session: session.name.clone(),
            ceilings: ceilings.clone(),
            ledger: ledger.clone(),
        });
        let wawp = &self.config.wawp;
        let token = session.access_token.expose().map_err(|why| anyhow::anyhow!("{why}"))?;
        let client = wawp::client::Client::new(
            gateway.clone(),
            &wawp.base_url,
            wawp.timeout,
            &session.instance_id,
            token,
        );
        let unpaired = self.store.unpaired(self.books.lists.lids()).await?;
        Ok(Courier::new(delivery::Parts {
            session: session.name.clone(),
            client,
            config: self.config.clone(),
            store: self.store.clone(),
            wall: self.wall.clone(),
            steady: self.steady.clone(),
            ceilings,
            ledger,
            witness: Arc::new(SecondLook(pipeline.clone())),
            metrics: self.metrics.clone(),
            outbox_bell: channels.outbox_bell,
            journal_bell: journal_bell.clone(),
            rosters: channels.rosters,
            phones: channels.phones,
            listed: Arc::new(Listings(self.books.lists.clone())),
            unpaired,
            checkups: channels.checkups,
            signs: channels.signs,
            idle: self.tempo.idle,
        }))
    }

    fn router(
        &self,
        Bells { journal: journal_bell, outbox: outbox_bell }: Bells,
        watched: Vec<Watched>,
        paid: mpsc::UnboundedSender<Phone>,
        pipeline: Arc<Pipeline>,
    ) -> anyhow::Result<axum::Router> {
        let ingress = Ingress::new(
            &self.config,
            self.store.clone(),
            self.wall.clone(),
            journal_bell.clone(),
            self.metrics.clone(),
            self.pulse.clone(),
        )
        .map_err(|why| anyhow::anyhow!("{why}"))?;
        let admin_token = match &self.config.server.admin_token {
            Some(secret) => Some(secret.expose().map_err(|why| anyhow::anyhow!("{why}"))?.to_owned()),
            None => None,
        };
        let desk = Arc::new(Desk {
            books: self.books.clone(),
            store: self.store.clone(),
            wall: self.wall.clone(),
            steady: self.steady.clone(),
            metrics: self.metrics.clone(),
            watched,
            journal_bell: journal_bell.clone(),
            payments: paid,
            pipeline,
            pulse: self.pulse.clone(),
        });
        let providers = Payments::new(&self.config, desk.clone(), self.wall.clone(), self.metrics.clone())
            .map_err(|why| anyhow::anyhow!("{why}"))?;
        let api = Api {
            store: self.store.clone(),
            owners: desk,
            clock: self.wall.clone(),
            metrics: self.metrics.clone(),
            bell: journal_bell,
            outbox_bell,
            admin_token,
            metrics_public: self.config.server.metrics_public,
            time_zone: self.config.server.time_zone.clone(),
        };
        let doors = ingress::router(Arc::new(ingress)).merge(api::router(Arc::new(api)));
        Ok(match providers {
            Some(providers) => doors.merge(payments::router(Arc::new(providers))),
            None => doors,
        })
    }
}

/// What is rung when there is work.
struct Bells {
    journal: Arc<Notify>,
    outbox: channel::Sender<()>,
}

/// One courier's ends of its channels.
struct Channels {
    rosters: mpsc::UnboundedReceiver<GroupId>,
    phones: mpsc::Receiver<PhoneRequest>,
    checkups: mpsc::UnboundedReceiver<Checkup>,
    signs: Signs,
    outbox_bell: channel::Receiver<()>,
}

/// A session's name and the sender of its roster requests.
pub(super) type RosterDesks = BTreeMap<SessionName, mpsc::UnboundedSender<GroupId>>;
