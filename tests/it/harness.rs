//! A community on the bench: the simulator in this process, a folder with configuration and policies, and the real binary
//! as a child that can be killed. Tests post to its front door and look at what the gateway got.

use perimeterd::{
    clock::{Clock, SystemClock},
    ids::{GroupId, Person, Phone},
    simulator::{Addressing, Options, Role, Simulator, WebhookTarget},
};
use serde_json::Value;
use std::{
    fs::File,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

/// The one group of most tests.
pub(crate) const GROUP: &str = "120363000000000001@g.us";
pub(crate) const SECRET: &str = "the-webhook-secret-of-the-test";
pub(crate) const TOKEN: &str = "the-admin-token-of-the-test";
pub(crate) const ACCESS: &str = "the-access-token-of-the-test";
const INSTANCE: &str = "A1B2C3D4E5F6";

/// Long enough for a busy machine; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(240);

/// What differs from test to test.
pub(crate) struct Setup {
    pub(crate) chain: &'static str,
    pub(crate) mode: &'static str,
    /// `(file name, text)` under `policies/`, beside the shipped ones.
    pub(crate) policies: Vec<(&'static str, String)>,
    pub(crate) blacklist: String,
    pub(crate) allowlist: String,
    /// `phone,status` rows.
    pub(crate) subscriptions: String,
    /// More lines for the `[[groups]]` block.
    pub(crate) group_extra: String,
    /// More sections; `[limits]` and `[pacing]` here replace the fast ones.
    pub(crate) config_extra: String,
    pub(crate) limits: String,
    pub(crate) simulator: Options,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            chain: r#"["blacklist", "subscribers", "welcome"]"#,
            mode: "enforce",
            policies: Vec::new(),
            blacklist: String::new(),
            allowlist: String::new(),
            subscriptions: "+4915199999999,active,gold,\n".into(),
            group_extra: String::new(),
            config_extra: String::new(),
            limits: FAST_LIMITS.into(),
            simulator: Options::default(),
        }
    }
}

/// Ceilings that are never met.
pub(crate) const FAST_LIMITS: &str = r#"
remove = ["100000/1m"]
dm = ["100000/1m"]
cold_dm = ["100000/1m"]
group_message = ["100000/1m"]
settings = ["100000/1m"]
read = ["100000/1m"]
"#;

/// The bench.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) sim: Simulator,
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
    child: Option<Child>,
    starts: u32,
}

pub(crate) fn group() -> GroupId {
    GroupId::parse(GROUP).unwrap()
}

pub(crate) fn phone(number: u64) -> Phone {
    Phone::from_u64(number).unwrap()
}

pub(crate) fn person(number: u64) -> Person {
    Person::of_phone(phone(number))
}

impl Bench {
    /// Everything set up and the daemon ready.
    pub(crate) async fn start(setup: Setup) -> Self {
        let mut bench = Self::prepare(setup).await;
        bench.spawn();
        bench.ready().await;
        bench
    }

    /// Everything but the daemon.
    pub(crate) async fn prepare(setup: Setup) -> Self {
        // Only the first installation counts; the others find it done.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let mut options = setup.simulator.clone();
        options.session.instance_id = INSTANCE.into();
        options.session.token = ACCESS.into();
        let sim = Simulator::new(options, Arc::new(SystemClock::new()));
        sim.add_group(&group(), "Club", Addressing::Phone, Role::Admin);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = listener.local_addr().unwrap();
        let serving = sim.clone();
        tokio::spawn(async move { serving.serve(listener).await });

        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let base = format!("http://127.0.0.1:{port}");
        sim.set_webhook(Some(WebhookTarget {
            secret: Some(SECRET.into()),
            ..WebhookTarget::plain(format!("{base}/webhooks/main"))
        }));
        let bench = Self { dir, sim, base, http: reqwest::Client::new(), child: None, starts: 0 };
        bench.write_files(&setup, port, &gateway.to_string());
        bench
    }

    fn write_files(&self, setup: &Setup, port: u16, gateway: &str) {
        let shipped = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("policies");
        copy_dir(&shipped, &self.path("policies"));
        for (name, text) in &setup.policies {
            self.write(&format!("policies/{name}"), text);
        }
        self.write("blacklist.txt", &setup.blacklist);
        self.write("allowlist.txt", &setup.allowlist);
        self.write("subscriptions.csv", &format!("phone,status,plan,expires_at\n{}", setup.subscriptions));
        let subscriptions = if setup.config_extra.contains("[subscriptions]") {
            ""
        } else {
            "[subscriptions]\nsource = \"file\"\npath = \"subscriptions.csv\"\n"
        };
        let pacing = if setup.config_extra.contains("[pacing]") {
            ""
        } else {
            "[pacing]\ngap = \"0s\"\nramp = \"0s\"\n"
        };
        // Canaries are for tests that look at them: they take numbers of events and decisions.
        let silence =
            if setup.config_extra.contains("[silence]") { "" } else { "[silence]\ncanary = \"0s\"\n" };
        // Nothing here depends on the hour at which it is run.
        let sweep = if setup.config_extra.contains("[sweep]") { "" } else { "[sweep]\nevery = \"0s\"\n" };
        let Setup { chain, mode, group_extra, config_extra, limits, .. } = setup;
        self.write(
            "perimeterd.toml",
            &format!(
                r#"
[server]
listen = "127.0.0.1:{port}"
data_dir = "data"
admin_token = "{TOKEN}"
[wawp]
base_url = "http://{gateway}"
timeout = "2s"
[[sessions]]
name = "main"
instance_id = "{INSTANCE}"
access_token = "{ACCESS}"
webhook_secret = "{SECRET}"
[[groups]]
name = "club"
match = "120363*@g.us"
chain = {chain}
mode = "{mode}"
{group_extra}
[[blacklists]]
name = "scrapers"
path = "blacklist.txt"
[allowlist]
path = "allowlist.txt"
{subscriptions}
{pacing}
{silence}
{sweep}
[limits]
{limits}
{config_extra}
"#
            ),
        );
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of the owner's, as an editor saves it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let aside = path.with_extension("saving");
        std::fs::write(&aside, text).unwrap();
        std::fs::rename(aside, path).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_perimeterd"));
        command
            .arg("--config")
            .arg(self.path("perimeterd.toml"))
            .args(arguments)
            .current_dir(self.dir.path());
        command
    }

    /// Runs a verb to its end: exit status, standard output, standard error.
    pub(crate) fn run(&self, arguments: &[&str]) -> (ExitStatus, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status, text(output.stdout), text(output.stderr))
    }

    pub(crate) fn spawn(&mut self) {
        self.spawn_with(&["serve"], &[]);
    }

    /// With other arguments or more environment than usual.
    pub(crate) fn spawn_with(&mut self, arguments: &[&str], environment: &[(&str, &str)]) {
        self.starts += 1;
        let log = File::create(self.path(&format!("log.{}", self.starts))).unwrap();
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// A signal by name; for a stop wait for the status.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits for a daemon that was asked to stop.
    pub(crate) async fn stopped(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap()
    }

    pub(crate) async fn ready(&mut self) {
        let clock = SystemClock::new();
        loop {
            let answer = self.http.get(format!("{}/readyz", self.base)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            let died = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(died.is_none() && clock.elapsed() < PATIENCE, "the daemon is not ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Everything the daemon has logged so far.
    pub(crate) fn log(&self) -> String {
        let logs = (1..=self.starts).map(|n| std::fs::read_to_string(self.path(&format!("log.{n}"))));
        logs.filter_map(Result::ok).collect()
    }

    /// Posts an event; answers the status, 0 if the daemon is away.
    pub(crate) async fn post(&self, body: &Value) -> u16 {
        self.post_bytes(body.to_string().into_bytes()).await
    }

    pub(crate) async fn post_bytes(&self, body: Vec<u8>) -> u16 {
        let url = format!("{}/webhooks/main?secret={SECRET}", self.base);
        let answer = self.http.post(url).header("content-type", "application/json").body(body).send().await;
        answer.map_or(0, |answer| answer.status().as_u16())
    }

    /// The admin API.
    pub(crate) async fn api(&self, path: &str) -> Value {
        let answer =
            self.http.get(format!("{}/api/v1/{path}", self.base)).bearer_auth(TOKEN).send().await.unwrap();
        answer.json().await.unwrap()
    }

    pub(crate) async fn metrics(&self) -> String {
        let answer = self.http.get(format!("{}/metrics", self.base)).bearer_auth(TOKEN).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// A metric's value by the beginning of its line; 0 if it is not there.
    pub(crate) async fn metric(&self, line: &str) -> f64 {
        let text = self.metrics().await;
        let found = text.lines().find_map(|l| l.strip_prefix(line));
        found.and_then(|rest| rest.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    /// The outbox's rows in a state.
    pub(crate) async fn rows(&self, state: &str) -> Vec<Value> {
        let list = self.api(&format!("outbox?limit=1000&state={state}")).await;
        list["outbox"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until everything told is decided and nothing waits to be sent.
    pub(crate) async fn settled(&self) {
        self.until("everything is settled", async || {
            let metrics = self.metrics().await;
            let value = |name: &str| {
                let line = metrics.lines().find_map(|l| l.strip_prefix(name)).unwrap_or(" 0");
                line.trim().parse::<f64>().unwrap_or(0.0)
            };
            value("perimeterd_journal_unread ") == 0.0
                && value(r#"perimeterd_runs{state="pending"} "#) == 0.0
                && value(r#"perimeterd_outbox_rows{state="waiting"} "#) == 0.0
                && value(r#"perimeterd_outbox_rows{state="sending"} "#) == 0.0
                && !self.log().is_empty()
        })
        .await;
    }

    /// Waits for a condition, looking again every few milliseconds.
    pub(crate) async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let clock = SystemClock::new();
        while !condition().await {
            assert!(
                clock.elapsed() < PATIENCE,
                "waited in vain until {what}; the log:\n{}",
                tail(&self.log())
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Numbers removed at the gateway, in order, repeats included.
    pub(crate) fn removed(&self) -> Vec<u64> {
        let calls = self.sim.calls();
        let removals = calls.iter().filter(|call| call.is(perimeterd::action::Class::Remove));
        removals.filter_map(|call| call.person?.phone).map(Phone::as_u64).collect()
    }

    /// Texts sent to a chat, in order.
    pub(crate) fn texts(&self, chat: &str) -> Vec<String> {
        let calls = self.sim.calls();
        let to = calls.iter().filter(|call| call.chat.as_deref() == Some(chat));
        to.filter_map(|call| call.text.clone()).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            assert_discreet(&self.log());
        }
    }
}

/// No secret and no full number in any line.
pub(crate) fn assert_discreet(log: &str) {
    for line in log.lines() {
        for secret in [SECRET, TOKEN, ACCESS] {
            assert!(!line.contains(secret), "a secret in the log: {line}");
        }
        let longest = line.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
        assert!(longest < 9, "a full number in the log: {line}");
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target)
        } else {
            drop(std::fs::copy(entry.path(), target))
        }
    }
}
