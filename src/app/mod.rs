//! The composition root: configuration in, a running daemon out.
//!
//! Everything is built here once and handed down; nothing below reads the environment, opens a socket or spawns on its
//! own. Start order: store (and its lock) → files in force → sessions → workers → HTTP → READY. A stop goes the other
//! way round: HTTP stops taking, calls and commits in flight are finished, the rest is durable.

mod go_between;
mod owners;
mod watch;

use crate::{
    api::{self, Api},
    clock::{Clock, SteadyClock, SystemClock, Timestamp},
    config::{self, Config},
    delivery::{self, Courier, PhoneRequest},
    ids::{GroupId, Person, SessionName},
    ingress::{self, Ingress},
    lifecycle::Lifecycle,
    limits::{Ceilings, Ledger},
    lists::ListBook,
    pipeline::{self, Pipeline},
    policy::{LoadSpec, PolicyBook},
    store::{Store, sqlite},
    subscriptions::{self, SubscriptionBook},
    takeup::Takeup,
    telemetry::{Metrics, Redactor},
    wawp,
};
use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use go_between::{GoBetween, SecondLook};
use owners::{Desk, Watched};
use std::{
    collections::BTreeMap,
    future::IntoFuture as _,
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc, watch as channel},
};

/// How long a stop may take beyond the call in flight. `systemd/perimeterd.service` waits longer than both together.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// How long requests under way may take to end once a stop has begun.
const HTTP_STOP_LIMIT: Duration = Duration::from_secs(3);

/// Requests for a phone that wait for a courier; more are answered "not now".
const PHONE_REQUESTS: usize = 1024;

/// A daemon that runs.
pub struct App {
    /// Where HTTP is served.
    pub address: SocketAddr,
    /// The store, for whoever shows it.
    pub store: Arc<dyn Store>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    lifecycle: Lifecycle,
    books: Arc<Books>,
    configured: watch::Configured,
}

/// The owner's files in force.
pub(crate) struct Books {
    pub(crate) policies: Arc<PolicyBook>,
    pub(crate) lists: Arc<ListBook>,
    pub(crate) subscriptions: Arc<SubscriptionBook>,
}

/// Runs the daemon until a signal stops it.
///
/// # Errors
/// If it cannot start: one sentence, the place, the next step.
pub async fn run(config: Config, redactor: &Redactor) -> anyhow::Result<ExitCode> {
    let app = App::start(config, None, redactor).await?;
    app.until_stopped().await
}

impl App {
    /// Starts everything. Without a `listener` the configured address is bound.
    ///
    /// # Errors
    /// If the store is in use or cannot be written, a secret is unreadable, or the address cannot be bound.
    pub async fn start(
        config: Config,
        listener: Option<TcpListener>,
        redactor: &Redactor,
    ) -> anyhow::Result<Self> {
        if let Some(problem) = config.secret_problems().first() {
            anyhow::bail!("{problem}");
        }
        hide_secrets(&config, redactor);
        // Fails only if somebody installed one before us (a second daemon in one process): theirs serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = Arc::new(config);
        let metrics = Arc::new(Metrics::new());
        let wall: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store: Arc<dyn Store> = Arc::new(sqlite::open(&config.store.path, wall.clone())?);
        let newest = store.newest_ledger_time().await?;
        let steady: Arc<dyn Clock> = Arc::new(SteadyClock::new(wall.clone(), newest));
        store.recover(wall.now(), steady.now()).await?;

        let lifecycle = Lifecycle::new(config.wawp.timeout + STOP_MARGIN);
        let http = wawp::client::http_client();
        let books = Arc::new(open_books(&config, &metrics, &wall, &store).await?);
        let parts = Common { config, metrics, wall, steady, store, books };
        let journal_bell = Arc::new(Notify::new());
        let ledgers = parts.start_workers(&lifecycle, http, &journal_bell).await?;
        let router = parts.router(&journal_bell, ledgers)?;

        let listener = match listener {
            Some(listener) => listener,
            None => bind(parts.config.server.listen).await?,
        };
        let address = listener.local_addr()?;
        parts
            .store
            .probe()
            .await
            .context("webhooks cannot be stored; free some disk space, then start again")?;
        announce(&parts.config.server.data_dir, address)?;
        serve(&lifecycle, listener, router);
        lifecycle.ready();
        tracing::info!(%address, sessions = parts.config.sessions.len(), "ready: webhooks can be stored");
        let configured = watch::Configured::now(&parts.config);
        let Common { metrics, store, books, .. } = parts;
        Ok(Self { address, store, metrics, lifecycle, books, configured })
    }

    /// Runs until a signal, or until a task dies.
    ///
    /// # Errors
    /// If the signal handlers cannot be installed.
    pub async fn until_stopped(self) -> anyhow::Result<ExitCode> {
        let (books, metrics, store) = (self.books.clone(), self.metrics.clone(), self.store.clone());
        let configured = self.configured;
        let reload = async || {
            watch::look(&books, &metrics, &*store).await;
            configured.look(&metrics, &*store).await;
        };
        Ok(self.lifecycle.run(reload, || true).await?)
    }

    /// Asks everything to stop and waits for it; what a signal does.
    ///
    /// # Errors
    /// As [`Self::until_stopped`].
    pub async fn stop(self) -> anyhow::Result<ExitCode> {
        self.lifecycle.soft().cancel();
        self.until_stopped().await
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
}

impl Common {
    /// The pipeline, a courier for each session, the watch over the files.
    async fn start_workers(
        &self,
        lifecycle: &Lifecycle,
        http: reqwest::Client,
        journal_bell: &Arc<Notify>,
    ) -> anyhow::Result<Vec<Watched>> {
        let (outbox_bell, outbox_changes) = channel::channel(());
        let (rosters, roster_requests) = mpsc::unbounded_channel();
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
            identities: Arc::new(GoBetween::new(phones)),
            metrics: self.metrics.clone(),
            bell: journal_bell.clone(),
            outbox_bell,
            rosters,
        }));
        let mut watched = Vec::new();
        let mut roster_desks = BTreeMap::new();
        for (session, phones) in ends {
            let (send, receive) = mpsc::unbounded_channel();
            roster_desks.insert(session.name.clone(), send);
            let channels = Channels { rosters: receive, phones, outbox_bell: outbox_changes.clone() };
            let courier =
                self.courier(session, &http, &pipeline, journal_bell, channels, &mut watched).await?;
            lifecycle.spawn("courier", courier.run(lifecycle.soft()));
        }
        lifecycle.spawn("pipeline", pipeline.clone().run(lifecycle.soft()));
        lifecycle.spawn("rosters", go_between::share_out(roster_requests, roster_desks, lifecycle.soft()));
        lifecycle.spawn(
            "watch",
            watch::run(
                self.books.clone(),
                self.metrics.clone(),
                self.store.clone(),
                pipeline,
                lifecycle.soft(),
            ),
        );
        Ok(watched)
    }

    async fn courier(
        &self,
        session: &config::Session,
        http: &reqwest::Client,
        pipeline: &Arc<Pipeline>,
        journal_bell: &Arc<Notify>,
        channels: Channels,
        watched: &mut Vec<Watched>,
    ) -> anyhow::Result<Courier> {
        let now = self.steady.now();
        let own = self.store.session_started(&session.name, Person::default(), now).await?;
        let ceilings = Ceilings::new(self.config.limits.clone(), self.config.pacing, own.first_started_at);
        let entries = self.store.ledger(&session.name, now - ceilings.longest()).await?;
        let ledger = Arc::new(Mutex::new(Ledger::restore(&entries)));
        watched.push(Watched {
            session: session.name.clone(),
            ceilings: ceilings.clone(),
            ledger: ledger.clone(),
        });
        let wawp = &self.config.wawp;
        let token = session.access_token.expose().map_err(|why| anyhow::anyhow!("{why}"))?;
        let client = wawp::client::Client::new(
            http.clone(),
            &wawp.base_url,
            wawp.timeout,
            &session.instance_id,
            token,
        );
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
        }))
    }

    fn router(&self, journal_bell: &Arc<Notify>, watched: Vec<Watched>) -> anyhow::Result<axum::Router> {
        let ingress = Ingress::new(
            &self.config,
            self.store.clone(),
            self.wall.clone(),
            journal_bell.clone(),
            self.metrics.clone(),
        )
        .map_err(|why| anyhow::anyhow!("{why}"))?;
        let admin_token = match &self.config.server.admin_token {
            Some(secret) => Some(secret.expose().map_err(|why| anyhow::anyhow!("{why}"))?.to_owned()),
            None => None,
        };
        let api = Api {
            store: self.store.clone(),
            owners: Arc::new(Desk {
                books: self.books.clone(),
                store: self.store.clone(),
                wall: self.wall.clone(),
                steady: self.steady.clone(),
                metrics: self.metrics.clone(),
                watched,
                journal_bell: journal_bell.clone(),
            }),
            clock: self.wall.clone(),
            metrics: self.metrics.clone(),
            bell: journal_bell.clone(),
            admin_token,
            metrics_public: self.config.server.metrics_public,
            time_zone: self.config.server.time_zone.clone(),
        };
        Ok(ingress::router(Arc::new(ingress)).merge(api::router(Arc::new(api))))
    }
}

/// One courier's ends of its channels.
struct Channels {
    rosters: mpsc::UnboundedReceiver<GroupId>,
    phones: mpsc::Receiver<PhoneRequest>,
    outbox_bell: channel::Receiver<()>,
}

/// Opens policies, lists and subscriptions; what is refused is told and the last good copy is in force.
async fn open_books(
    config: &Config,
    metrics: &Metrics,
    wall: &Arc<dyn Clock>,
    store: &Arc<dyn Store>,
) -> anyhow::Result<Books> {
    let kept = config.server.data_dir.join("kept");
    let (policies, mut takeups) = PolicyBook::open(LoadSpec::of(config), kept.join("policies"));
    let (lists, told) = ListBook::open(config, kept.join("lists"), wall.now());
    takeups.extend(told);
    let (subscriptions, told) = SubscriptionBook::open(
        config.subscriptions.as_ref(),
        jiff::tz::TimeZone::get(&config.server.time_zone)?,
        config.lists.max_shrink,
        kept.join("subscriptions"),
        subscriptions::client()?,
        wall.clone(),
    );
    takeups.extend(told);
    subscriptions.load_pushed(store.pushed().await?);
    tell(&takeups, metrics, &**store, wall.now()).await;
    let (policies, lists, subscriptions) = (Arc::new(policies), Arc::new(lists), Arc::new(subscriptions));
    Ok(Books { policies, lists, subscriptions })
}

/// Log, counters and, for a refusal, an alert.
pub(crate) async fn tell(takeups: &[Takeup], metrics: &Metrics, store: &dyn Store, now: Timestamp) {
    for takeup in takeups {
        metrics.takeup(takeup);
        match takeup {
            Takeup::Taken { what, detail } => tracing::info!(what, "taken up: {detail}"),
            Takeup::Refused { what, why } => {
                tracing::error!(what, "refused, the last good one stays in force: {why}");
                metrics.alert("refused");
                // Another mistake in the same file is another alert.
                let text = format!("{what}: {why}");
                if let Err(error) = store.alert(now, "refused", &text, &text).await {
                    tracing::error!(%error, "the alert could not be kept");
                }
            }
        }
    }
}

/// No secret of the configuration may show in a log line.
fn hide_secrets(config: &Config, redactor: &Redactor) {
    let mut secrets: Vec<&config::Secret> = config.server.admin_token.iter().collect();
    for session in &config.sessions {
        secrets.push(&session.access_token);
        secrets.extend(&session.webhook_secret);
        secrets.extend(session.hmac.as_ref().map(|hmac| &hmac.key));
    }
    secrets.extend(config.outgoing.iter().filter_map(|outgoing| outgoing.secret.as_ref()));
    if let Some(config::SubscriptionSource::Http { headers, .. }) =
        config.subscriptions.as_ref().map(|s| &s.source)
    {
        secrets.extend(headers.iter().map(|(_, value)| value));
    }
    for secret in secrets.into_iter().filter_map(|secret| secret.expose().ok()) {
        redactor.add(secret);
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("{address} cannot be listened on; stop what uses it, or change [server] listen")
    })
}

/// Tells the command line where the daemon is.
fn announce(data_dir: &Path, address: SocketAddr) -> anyhow::Result<()> {
    let text = serde_json::json!({ "address": address.to_string(), "pid": std::process::id() });
    let path = data_dir.join("daemon.json");
    std::fs::write(&path, text.to_string()).with_context(|| format!("{} cannot be written", path.display()))
}

fn serve(lifecycle: &Lifecycle, listener: TcpListener, router: axum::Router) {
    let soft = lifecycle.soft();
    // Small answers at once: a webhook's 202 must not wait for a full packet.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    lifecycle.spawn("http", async move {
        let served = axum::serve(listener, service).with_graceful_shutdown(soft.clone().cancelled_owned());
        // A body that was sent by half is nothing that a stop has to finish: its sender has no 202 and sends it again.
        let too_slow = async {
            soft.cancelled().await;
            tokio::time::sleep(HTTP_STOP_LIMIT).await;
        };
        tokio::select! {
            result = served.into_future() => if let Err(error) = result {
                tracing::error!(%error, "HTTP cannot be served");
            },
            () = too_slow => tracing::info!("connections that do not end are closed"),
        }
    });
}

/// A session's name and the sender of its roster requests.
pub(crate) type RosterDesks = BTreeMap<SessionName, mpsc::UnboundedSender<GroupId>>;
