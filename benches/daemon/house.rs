//! The daemon's folder and its process: configuration, start, what `/proc` and `/metrics` tell of it.

use crate::{LAPSED_EVERY, events, load::Line};
use std::{
    fmt,
    fmt::Write as _,
    fs::{self, File},
    net::SocketAddr,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub(crate) const KEY: &str = "the-webhook-key-of-the-benchmark";
pub(crate) const INSTANCE: &str = "A1B2C3D4E5F6";
pub(crate) const ACCESS: &str = "the-access-token-of-the-benchmark";
const TOKEN: &str = "the-admin-token-of-the-benchmark";

pub(crate) struct House {
    dir: TempDir,
    port: u16,
    child: Option<Child>,
}

impl House {
    /// A folder on the disk that also holds `target/`, with `payers` people in the subscription file, of whom one in
    /// ten has lapsed.
    pub(crate) fn new(gateway: SocketAddr, mode: &str, payers: usize) -> Self {
        let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target/");
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("policies"), &dir.path().join("policies"));
        let mut people = String::from("phone,status,plan,expires_at\n+4915199999999,active,gold,\n");
        for n in 0..payers {
            let (status, ends) =
                if n % LAPSED_EVERY == 0 { ("canceled", "2020-01-31") } else { ("active", "") };
            writeln!(people, "+{},{status},gold,{ends}", events::number(n))
                .expect("a string takes everything");
        }
        fs::write(dir.path().join("subscriptions.csv"), people).expect("the folder takes files");
        fs::write(dir.path().join("blacklist.txt"), "+92*\n").expect("the folder takes files");
        fs::write(dir.path().join("perimeterd.toml"), configuration(port, gateway, mode)).expect("as above");
        Self { dir, port, child: None }
    }

    /// A file of its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Starts it. How long until `/readyz` answered 200, and until systemd would have heard READY.
    pub(crate) fn spawn(&mut self) -> (Duration, Duration) {
        let path = self.dir.path().join("notify");
        let _ = fs::remove_file(&path);
        let systemd = UnixDatagram::bind(&path).expect("a socket in the folder");
        let log = File::create(self.dir.path().join("log")).expect("the folder takes files");
        let mut command = Command::new(env!("CARGO_BIN_EXE_perimeterd"));
        command.arg("--config").arg(self.dir.path().join("perimeterd.toml")).arg("serve");
        command.env("NOTIFY_SOCKET", &path).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        let started = Instant::now();
        self.child = Some(command.spawn().expect("the binary is built"));
        std::thread::scope(|scope| {
            let ready = scope.spawn(|| {
                let mut told = [0; 256];
                loop {
                    let length = systemd.recv(&mut told).expect("systemd hears");
                    if told[..length].starts_with(b"READY=1") {
                        return started.elapsed();
                    }
                }
            });
            let answered = self.readyz(started);
            (answered, ready.join().expect("READY is told"))
        })
    }

    fn readyz(&self, started: Instant) -> Duration {
        loop {
            if std::net::TcpStream::connect(self.address()).is_ok() {
                let mut line = Line::open(self.address());
                line.send(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n");
                line.receive();
                return started.elapsed();
            }
            assert!(started.elapsed() < Duration::from_secs(60), "no start:\n{}", self.log());
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is ours");
            child.wait().expect("it is ours");
        }
    }

    fn proc(&self, file: &str) -> String {
        let pid = self.child.as_ref().expect("it runs").id();
        fs::read_to_string(PathBuf::from(format!("/proc/{pid}/{file}"))).expect("Linux tells")
    }

    /// Its memory now.
    pub(crate) fn memory(&self) -> Memory {
        let status = self.proc("status");
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap_or(0)
        };
        Memory { resident: kib("VmRSS"), mapped: kib("RssFile"), peak: kib("VmHWM") }
    }

    /// From now on the peak is a new one.
    pub(crate) fn forget_peak(&self) {
        let pid = self.child.as_ref().expect("it runs").id();
        fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("Linux forgets");
    }

    /// Processor time it has used.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        let ticks: u64 = after_name.split(' ').skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
        // 100 a second on every Linux that we know.
        Duration::from_millis(ticks * 10)
    }

    /// A metric's values, added up.
    fn metric(text: &str, name: &str) -> f64 {
        let values = text.lines().filter(|line| line.starts_with(name));
        values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    fn metrics(line: &mut Line) -> String {
        let ask = format!("GET /metrics HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
        line.send(ask.as_bytes());
        String::from_utf8_lossy(&line.receive()).into_owned()
    }

    /// Waits until so many runs are decided and nothing is left to read.
    pub(crate) fn until_decided(&self, runs: usize) {
        self.until(|text| {
            Self::metric(text, "perimeterd_decisions_total{") >= runs as f64
                && Self::metric(text, "perimeterd_journal_unread ") == 0.0
        });
    }

    /// Waits until an edit of a file was taken for so many times, the start included.
    pub(crate) fn until_taken(&self, what: &str, times: usize) {
        let name = format!("perimeterd_takeups_total{{what=\"{what}\",outcome=\"taken\"}}");
        self.until(|text| Self::metric(text, &name) >= times as f64);
    }

    /// Waits until nothing is left to do.
    pub(crate) fn until_settled(&self) {
        self.until(|text| {
            [
                "journal_unread ",
                r#"runs{state="pending"}"#,
                r#"outbox_rows{state="waiting"}"#,
                r#"outbox_rows{state="sending"}"#,
            ]
            .iter()
            .all(|name| Self::metric(text, &format!("perimeterd_{name}")) == 0.0)
        });
    }

    fn until(&self, reached: impl Fn(&str) -> bool) {
        let mut line = Line::open(self.address());
        let started = Instant::now();
        while !reached(&Self::metrics(&mut line)) {
            assert!(started.elapsed() < Duration::from_secs(120), "waited in vain; the log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Resident memory in KiB, and the part of it that is mapped from files (code, mostly).
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) mapped: u64,
    /// The most that was ever resident since the start, or since the peak was forgotten.
    pub(crate) peak: u64,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |kib: u64| kib as f64 / 1024.0;
        write!(f, "{:.1} MB, of it {:.1} MB mapped files", mb(self.resident), mb(self.mapped))
    }
}

fn configuration(port: u16, gateway: SocketAddr, mode: &str) -> String {
    let limits = ["remove", "dm", "cold_dm", "group_message", "settings", "read"];
    let limits = limits.map(|class| format!("{class} = [\"1000000/1m\"]\n")).concat();
    format!(
        r#"
[server]
listen = "127.0.0.1:{port}"
data_dir = "data"
admin_token = "{TOKEN}"
[wawp]
base_url = "http://{gateway}"
[[sessions]]
name = "main"
instance_id = "{INSTANCE}"
access_token = "{ACCESS}"
hmac = {{ key = "{KEY}", header = "X-Webhook-Hmac", algorithm = "sha512" }}
[[groups]]
name = "club"
match = "120363*@g.us"
chain = ["blacklist", "subscribers", "welcome"]
mode = "{mode}"
[[blacklists]]
name = "scrapers"
path = "blacklist.txt"
[subscriptions]
source = "file"
path = "subscriptions.csv"
[pacing]
gap = "0s"
ramp = "0s"
[silence]
canary = "0s"
[limits]
{limits}"#
    )
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder takes folders");
    for entry in fs::read_dir(from).expect("the shipped policies").map(|entry| entry.expect("an entry")) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file");
        }
    }
}
