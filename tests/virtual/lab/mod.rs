//! The lab: a whole daemon and its whole world on one thread, in virtual time, from a seed.
//!
//! Nothing here waits for anything real. Time is tokio's, paused: it jumps to the next moment that somebody waits for,
//! so a fortnight takes as long as its work. No socket, no thread, no disk behind the store: the gateway is the
//! simulator called in process ([`wires`]), webhooks go straight into the daemon's router, the store is SQLite in memory
//! on the caller's thread ([`disk`]). All else is the daemon as it ships, from its configuration file on.
//!
//! How to use it:
//! - [`experiment`] runs a life in a world of its own; equal seeds give equal lives. Random choices come from `fastrand`.
//! - [`Lab::new`] builds the world: a [`Setup`] (configuration, policies, files) and a simulator. No daemon yet.
//! - [`Lab::start`] starts a daemon on what the last one left, [`Lab::kill`] ends it as `kill -9` does. To end it at any
//!   step of its work instead, light [`disk::Disk::fuse`]; [`Lab::is_up`] tells.
//! - [`Lab::pass`] lets time pass. [`Lab::sim`] is the other side: people, faults, calls. [`Lab::crm`] says who pays,
//!   when it can be reached; [`Lab::write`] edits a file of the owner's; [`clock::LabClock::step`] steps the wall clock.
//! - To look: [`Lab::store`], [`Lab::sim`]'s calls and world, [`Lab::acknowledged`], and [`Lab::watch_calls`] for a look at
//!   the world just before each call reaches the gateway.

pub(crate) mod clock;
pub(crate) mod crm;
pub(crate) mod disk;
mod first;
pub(crate) mod wires;

use clock::LabClock;
use crm::Crm;
use disk::Disk;
use perimeterd::{
    app::{Daemon, Ground, Tempo},
    clock::{Clock, Timestamp},
    config::{self, Config},
    lifecycle::Lifecycle,
    simulator::{Options, Simulator, WebhookTarget},
    store::{Store, sqlite},
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tempfile::TempDir;
use wires::{Door, GatewayWire};

pub(crate) const SECRET: &str = "the-webhook-secret-of-the-lab";

/// Every group is guarded by a blacklist, and nothing else.
pub(crate) const BLACKLISTED: &str = r#"
[[groups]]
name = "club"
match = "120363*@g.us"
chain = ["blacklist"]
mode = "enforce"
[[blacklists]]
name = "scrapers"
path = "blacklist.txt"
"#;

/// The files that [`BLACKLISTED`] names.
pub(crate) fn blacklist(text: &str) -> Vec<(String, String)> {
    let policy = include_str!("../../../policies/blacklist.rhai");
    vec![("policies/blacklist.rhai".into(), policy.into()), ("blacklist.txt".into(), text.into())]
}

/// Longer than any wait of a daemon that is not idle: whoever relies on being looked after sleeps through the day.
const IDLE: Duration = Duration::from_secs(24 * 3600);

/// Between two looks at the owner's files. The lab looks itself after each edit; this is for what a look finds out
/// besides, like a source that is back.
const FILES: Duration = Duration::from_secs(1800);

/// Runs a life in virtual time, all chance from the seed.
pub(crate) fn experiment<T>(seed: u64, life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    fastrand::seed(seed);
    runtime.unwrap().block_on(life)
}

/// What a world is made of.
pub(crate) struct Setup {
    /// The configuration without `[server]`, `[wawp]` and the session `main`.
    pub(crate) config: String,
    /// `(name, text)` of the owner's files.
    pub(crate) files: Vec<(String, String)>,
    /// The gateway.
    pub(crate) simulator: Options,
    /// The wall clock at the beginning.
    pub(crate) epoch: Timestamp,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: String::new(),
            files: Vec::new(),
            simulator: Options::default(),
            epoch: Timestamp(1_790_000_000_000),
        }
    }
}

/// A world, with or without a daemon in it.
pub(crate) struct Lab {
    /// WhatsApp and the gateway. Its clock never steps: it is the truth.
    pub(crate) sim: Simulator,
    /// Who pays.
    pub(crate) crm: Arc<Crm>,
    /// The daemon's wall clock.
    pub(crate) clock: Arc<LabClock>,
    /// What lies below the store.
    pub(crate) disk: Arc<Disk>,
    /// The store; it outlives the daemons.
    pub(crate) store: Arc<dyn Store>,
    pub(crate) config: Config,
    gateway: Arc<GatewayWire>,
    door: Arc<Door>,
    folder: TempDir,
    running: Option<(Daemon, Lifecycle)>,
    starts: u32,
}

impl Lab {
    /// Builds the world. To be called inside [`experiment`].
    pub(crate) fn new(setup: Setup) -> Self {
        let truth: Arc<LabClock> = Arc::new(LabClock::new(setup.epoch));
        let clock = Arc::new(LabClock::new(setup.epoch));
        let door = Arc::new(Door::default());
        let sim = Simulator::new(setup.simulator.clone(), truth);
        sim.set_transport(door.clone());
        sim.set_webhook(Some(WebhookTarget {
            secret: Some(SECRET.into()),
            ..WebhookTarget::plain("http://guard.lab/webhooks/{session}")
        }));
        let disk = Arc::new(Disk::new(door.clone()));
        let store = sqlite::open_in_line(clock.clone(), disk.clone()).unwrap();
        let folder = tempfile::tempdir_in(memory()).unwrap();
        write(&folder, "perimeterd.toml", &configuration(&setup));
        for (name, text) in &setup.files {
            write(&folder, name, text);
        }
        let config = config::load(Some(&folder.path().join("perimeterd.toml")), []).unwrap();
        std::fs::create_dir_all(&config.server.data_dir).unwrap();
        Self {
            gateway: Arc::new(GatewayWire::new(sim.clone())),
            sim,
            crm: Arc::new(Crm::default()),
            clock,
            disk,
            store: Arc::new(store),
            config,
            door,
            folder,
            running: None,
            starts: 0,
        }
    }

    /// Starts a daemon. False if it died on the way (a fuse, a full disk): then there is none.
    pub(crate) async fn start(&mut self) -> bool {
        self.kill().await;
        self.starts += 1;
        let lifecycle = Lifecycle::new(Duration::from_secs(60));
        let ground = Ground {
            wall: self.clock.clone(),
            store: self.store.clone(),
            gateway: self.gateway.clone(),
            web: self.crm.clone(),
            tempo: Tempo { idle: IDLE, files: FILES },
        };
        self.door.announce(lifecycle.hard());
        let assembling = Daemon::assemble(self.config.clone(), ground, &lifecycle);
        match lifecycle.hard().run_until_cancelled(assembling).await {
            Some(Ok(daemon)) => {
                self.door.open(daemon.router.clone());
                self.running = Some((daemon, lifecycle));
                true
            }
            Some(Err(_)) | None => {
                lifecycle.cut().await;
                false
            }
        }
    }

    /// `kill -9`: every task is dropped where it stands. The store, the files and the world stay.
    pub(crate) async fn kill(&mut self) {
        self.door.shut();
        if let Some((daemon, lifecycle)) = self.running.take() {
            lifecycle.cut().await;
            drop(daemon);
        }
    }

    /// Whether a daemon runs: not before the first start, and not after a fuse has burnt down.
    pub(crate) fn is_up(&self) -> bool {
        self.running.as_ref().is_some_and(|(_, lifecycle)| !lifecycle.hard().is_cancelled())
    }

    /// How often a daemon was started.
    pub(crate) fn starts(&self) -> u32 {
        self.starts
    }

    /// Lets time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// The true time since the world began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Writes a file of the owner's; a daemon that runs has it in force on return, unless it refuses it.
    pub(crate) async fn write(&self, name: &str, text: &str) {
        write(&self.folder, name, text);
        if let Some((daemon, lifecycle)) = &self.running {
            // An edit is taken when three looks find the same.
            for _ in 0..3 {
                let look = daemon.look_at_files();
                lifecycle.hard().run_until_cancelled(look).await;
            }
        }
    }

    /// Calls the daemon's admin API or health; `None` while none runs.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        self.door.ask(method, path, body).await
    }

    /// The bodies of webhooks that were answered with a 2xx, in order, repeats included.
    pub(crate) fn acknowledged(&self) -> Vec<String> {
        self.door.acknowledged()
    }

    /// `look` sees each call just before the gateway does; the world is as the call will find it.
    pub(crate) fn watch_calls(&self, look: impl Fn(&reqwest::Request) + Send + Sync + 'static) {
        self.gateway.watch(Box::new(look));
    }
}

/// World and daemon hold each other; a thousand worlds in one process would fill its memory.
impl Drop for Lab {
    fn drop(&mut self) {
        self.door.slam();
        self.sim.set_webhook(None);
    }
}

/// A folder in memory where there is one: a thousand worlds write many small files.
fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() { shared } else { std::env::temp_dir() }
}

fn write(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let aside = path.with_extension("saving");
    std::fs::write(&aside, text).unwrap();
    std::fs::rename(aside, path).unwrap();
}

fn configuration(setup: &Setup) -> String {
    format!(
        r#"
[server]
data_dir = "data"
admin_token = "{token}"
[wawp]
base_url = "http://gateway.lab"
[[sessions]]
name = "main"
instance_id = "{instance}"
access_token = "{access}"
webhook_secret = "{SECRET}"
{rest}
"#,
        token = wires::ADMIN_TOKEN,
        instance = setup.simulator.session.instance_id,
        access = setup.simulator.session.token,
        rest = setup.config,
    )
}
