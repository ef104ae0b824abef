//! The stage of the demo: the simulator on a random port, a temporary folder with the day's files and the shipped
//! policies, and the real daemon on another random port. Webhooks go over loopback with secret and signature.

use crate::{
    action::Class,
    app::App,
    clock::{Clock, format_duration},
    config::{self, Config, Secret, Window},
    ids::Person,
    policy,
    simulator::{
        Algorithm, Options, SessionOptions, Signing, Simulator, WebhookTarget, meter::Meter, scenario::Day,
    },
    telemetry::Redactor,
};
use anyhow::Context as _;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// The first look at the group must be over by then.
const ADOPTION: Duration = Duration::from_secs(20);

/// Everything that stands around the daemon.
pub(super) struct Stage {
    pub(super) sim: Simulator,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: BTreeMap<Class, Vec<Window>>,
    pub(super) group: crate::ids::GroupId,
    /// Where the daemon serves.
    pub(super) address: String,
    /// Where the simulator serves.
    pub(super) gateway: String,
    /// Opens the daemon's API.
    pub(super) admin_token: String,
    /// The owner's folder; gone when this is dropped.
    pub(super) folder: TempDir,
}

/// What nobody has to remember.
struct Secrets {
    admin: String,
    access: String,
    webhook: String,
    hmac: String,
}

impl Stage {
    /// Sets it and starts the daemon; returns once the daemon has seen who is in the group.
    pub(super) async fn set(day: &Day, pace: f64, clock: Arc<dyn Clock>) -> anyhow::Result<(Self, App)> {
        let folder = tempfile::tempdir().context("no temporary folder can be made; set TMPDIR")?;
        let [admin, access, webhook, hmac] =
            [Secret::invent(), Secret::invent(), Secret::invent(), Secret::invent()];
        let secret = |word: Result<String, String>| word.map_err(anyhow::Error::msg);
        let secrets = Secrets {
            admin: secret(admin)?,
            access: secret(access)?,
            webhook: secret(webhook)?,
            hmac: secret(hmac)?,
        };

        let session = SessionOptions { token: secrets.access.clone(), ..SessionOptions::default() };
        let instance_id = session.instance_id.clone();
        let sim =
            Simulator::new(Options { session, meter: Meter::on(), ..Options::default() }, clock.clone());
        day.set_up(&sim);
        let gateway = serve(&sim).await?;

        let listener = loopback().await?;
        let address = format!("http://{}", listener.local_addr()?);
        sim.set_webhook(Some(WebhookTarget {
            url: format!("{address}/webhooks/{{session}}"),
            secret: Some(secrets.webhook.clone()),
            hmac: Some(Signing {
                key: secrets.hmac.clone(),
                header: "X-Webhook-Hmac".into(),
                algorithm: Algorithm::Sha512,
            }),
        }));
        let config = write_files(folder.path(), day, pace, &gateway, &instance_id, &secrets)?;
        let limits = config.limits.clone();
        let app = App::start(config, Some(listener), &Redactor::default()).await?;
        let stage = Self {
            sim,
            clock,
            limits,
            group: day.group.clone(),
            address,
            gateway,
            admin_token: secrets.admin,
            folder,
        };
        stage.adopted(&app).await?;
        Ok((stage, app))
    }

    /// Waits until the guard knows who was there before the day.
    async fn adopted(&self, app: &App) -> anyhow::Result<()> {
        let deadline = self.clock.now() + ADOPTION;
        while !app.store.groups().await?.iter().any(|group| group.id == self.group && group.adopted) {
            anyhow::ensure!(self.clock.now() < deadline, "the guard did not get to see the group's members");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Whether only admins may write at the moment.
    pub(super) fn is_locked(&self) -> bool {
        self.sim.with(|world| world.group(&self.group).is_some_and(|group| group.announce_only))
    }

    /// Somebody's name as people see it; events do not carry it.
    pub(super) fn name(&self, person: Person) -> String {
        let name = self.sim.with(|world| {
            let lid = world.known(person)?;
            Some(world.profile(lid)?.name.clone())
        });
        name.unwrap_or_else(|| person.to_string())
    }
}

async fn loopback() -> anyhow::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await.context("loopback cannot be listened on")
}

async fn serve(sim: &Simulator) -> anyhow::Result<String> {
    let listener = loopback().await?;
    let gateway = format!("http://{}", listener.local_addr()?);
    let serving = sim.clone();
    tokio::spawn(async move {
        if let Err(error) = serving.serve(listener).await {
            tracing::error!(%error, "the simulator stopped");
        }
    });
    Ok(gateway)
}

/// The owner's folder, as `init` would make it for this club.
fn write_files(
    folder: &Path,
    day: &Day,
    pace: f64,
    gateway: &str,
    instance_id: &str,
    secrets: &Secrets,
) -> anyhow::Result<Config> {
    let write = |name: &Path, content: &[u8]| {
        let path = folder.join(name);
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(&path, content).with_context(|| format!("{} cannot be written", path.display()))
    };
    for (path, content) in policy::shipped() {
        write(&Path::new("policies").join(path), content)?;
    }
    write(Path::new("subscriptions.csv"), day.subscriptions_csv.as_bytes())?;
    write(Path::new("scrapers.txt"), day.blacklist_txt.as_bytes())?;
    let text = config_text(day, pace, gateway, instance_id, secrets);
    write(Path::new("perimeterd.toml"), text.as_bytes())?;
    // Without the environment: a demo shows the same everywhere.
    Ok(config::parse(text, &folder.join("perimeterd.toml"), [])?)
}

/// The day takes half a minute, so a minute of the ceilings is a third of one here; hours and days are the defaults.
fn config_text(day: &Day, pace: f64, gateway: &str, instance_id: &str, secrets: &Secrets) -> String {
    let lasts = |millis: u64| format_duration(Duration::from_millis(millis).mul_f64(pace)).replace(' ', "");
    let Secrets { admin, access, webhook, hmac } = secrets;
    let [minute, cold, raid, lock, welcome] = [20_000, 5_000, 5_000, 10_000, 4_000].map(lasts);
    let [short_gap, long_gap] = [200, 500].map(lasts);
    format!(
        r#"
[server]
data_dir = "data"
admin_token = "{admin}"
[wawp]
base_url = "{gateway}"
timeout = "5s"
[[sessions]]
name = "main"
instance_id = "{instance_id}"
access_token = "{access}"
webhook_secret = "{webhook}"
hmac = {{ key = "{hmac}", header = "X-Webhook-Hmac", algorithm = "sha512" }}
[[groups]]
name = "club"
match = "{group}"
chain = ["blacklist", "raid", "subscribers", "welcome"]
mode = "enforce"
params = {{ joins = 10, window = "{raid}", lock = "{lock}" }}
[[blacklists]]
name = "scrapers"
path = "scrapers.txt"
[subscriptions]
source = "file"
path = "subscriptions.csv"
[welcome]
window = "{welcome}"
[pacing]
gap = "{short_gap}..{long_gap}"
ramp = "0s"
[silence]
canary = "0s"
[limits]
remove = ["10/{minute}", "100/1h"]
dm = ["20/{minute}", "300/1d"]
cold_dm = ["1/{cold}", "5/1h", "15/1d"]
group_message = ["10/{minute}"]
settings = ["10/{minute}"]
"#,
        group = day.group.as_str(),
    )
}
