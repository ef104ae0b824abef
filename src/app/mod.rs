//! The composition root: configuration in, a running daemon out.
//!
//! Everything is built here once and handed down; nothing below reads the environment, opens a socket or spawns on its
//! own. Start order: store (and its lock) → files in force → sessions → workers → HTTP → READY. A stop goes the other
//! way round: HTTP stops taking, calls and commits in flight are finished, the rest is durable.

mod assembly;
mod books;
mod go_between;
mod local;
mod outage;
mod own_door;
mod owners;
mod refresh;
mod sweeping;
mod watch;

pub use assembly::{Daemon, Ground, Tempo};
pub use local::{LocalDesk, MOST_AT_ONCE};

use crate::{
    clock::{Clock, SystemClock},
    config::{self, Config},
    lifecycle::Lifecycle,
    store::{Store, sqlite},
    subscriptions,
    telemetry::{Metrics, Redactor},
    wawp,
};
use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use std::{
    future::IntoFuture as _, net::SocketAddr, path::Path, process::ExitCode, sync::Arc, time::Duration,
};
use tokio::net::TcpListener;

/// How long a stop may take beyond the call in flight. `systemd/perimeterd.service` waits longer than both together.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// How long requests under way may take to end once a stop has begun.
const HTTP_STOP_LIMIT: Duration = Duration::from_secs(3);

/// A daemon that runs.
pub struct App {
    /// Where HTTP is served.
    pub address: SocketAddr,
    /// The store, for whoever shows it.
    pub store: Arc<dyn Store>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    lifecycle: Lifecycle,
    daemon: Daemon,
    configured: watch::Configured,
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
        let wall: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let http = wawp::client::http_client();
        let ground = Ground {
            store: Arc::new(sqlite::open(&config.store.path, wall.clone())?),
            wall,
            gateway: Arc::new(http.clone()),
            web: Arc::new(subscriptions::client()?),
            tempo: Tempo::default(),
        };
        let lifecycle = Lifecycle::new(config.wawp.timeout + STOP_MARGIN);
        let daemon = Daemon::assemble(config, ground, &lifecycle).await?;
        let config = daemon.config.clone();

        let listener = match listener {
            Some(listener) => listener,
            None => bind(config.server.listen).await?,
        };
        let address = listener.local_addr()?;
        daemon
            .store
            .probe()
            .await
            .context("webhooks cannot be stored; free some disk space, then start again")?;
        announce(&config.server.data_dir, address)?;
        // From the first answer on somebody may send a signal: nothing that takes time stands behind this.
        let own_door = own_door::OwnDoor::new(http, &config, address);
        let own_door = Arc::new(own_door.map_err(|why| anyhow::anyhow!("{why}"))?);
        serve(&lifecycle, listener, daemon.router.clone());
        daemon.door.open(own_door);
        lifecycle.ready();
        tracing::info!(%address, sessions = config.sessions.len(), "ready: webhooks can be stored");
        let configured = watch::Configured::now(&config);
        let (store, metrics) = (daemon.store.clone(), daemon.metrics.clone());
        Ok(Self { address, store, metrics, lifecycle, daemon, configured })
    }

    /// Runs until a signal, or until a task dies.
    ///
    /// # Errors
    /// If the signal handlers cannot be installed.
    pub async fn until_stopped(self) -> anyhow::Result<ExitCode> {
        let (daemon, configured) = (self.daemon, self.configured);
        // The other files are followed; to look at them more often would take one for settled that is being written.
        let reload = async || configured.look(&daemon).await;
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

/// No secret of the configuration may show in a log line.
fn hide_secrets(config: &Config, redactor: &Redactor) {
    let mut secrets: Vec<&config::Secret> = config.server.admin_token.iter().collect();
    for session in &config.sessions {
        secrets.push(&session.access_token);
        secrets.extend(&session.webhook_secret);
        secrets.extend(session.hmac.as_ref().map(|hmac| &hmac.key));
    }
    secrets.extend(config.shared_lists.iter().filter_map(|list| list.key.as_ref()));
    secrets.extend(&config.alerts.secret);
    secrets.extend(config.payments.iter().flat_map(|provider| &provider.secrets));
    secrets.extend(config.outgoing.iter().filter_map(|outgoing| outgoing.secret.as_ref()));
    let shared = config.shared_lists.iter().filter_map(|list| list.url.as_ref());
    let lists = config.blacklists.iter().filter_map(|list| list.url.as_ref()).chain(shared);
    secrets.extend(lists.flat_map(|url| &url.headers).map(|(_, value)| value));
    let of_database = match config.subscriptions.as_ref().map(|s| &s.source) {
        Some(config::SubscriptionSource::Http { headers, .. }) => {
            secrets.extend(headers.iter().map(|(_, value)| value));
            Vec::new()
        }
        Some(config::SubscriptionSource::Sql(sql)) => sql.secrets(),
        Some(config::SubscriptionSource::File { .. } | config::SubscriptionSource::Pushed) | None => {
            Vec::new()
        }
    };
    secrets.extend(&of_database);
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
