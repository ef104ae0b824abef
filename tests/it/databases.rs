//! Real database servers for the tests, each in a folder of its own on a free port, gone with the test.
//!
//! Where a machine has no binaries, a server that somebody else runs is used if the environment names one
//! (`PERIMETERD_TEST_POSTGRES=postgres://…`, `PERIMETERD_TEST_MYSQL=mysql://root@…`: a user who may create users and
//! tables). Where there is neither, the test says on stderr what could not be tried, and passes.

use mysql_async::prelude::Queryable;
use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// Whom the daemon asks as; the account may read and nothing else.
pub(crate) const USER: &str = "guard";
pub(crate) const PASSWORD: &str = "the-database-password-of-the-test";

/// What a server with TLS finds in its folder.
const CERTIFICATE: &str = "server.crt";
const KEY: &str = "server.key";

/// How often a server that is coming up is tried, and how long between.
const TRIES: u32 = 600;
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    MariaDb,
}

/// A server.
pub(crate) struct DatabaseServer {
    pub(crate) kind: Kind,
    run: Run,
}

enum Run {
    Ours {
        folder: TempDir,
        port: u16,
        child: Option<Child>,
    },
    /// Their address, and the right to be the only test that uses it.
    Theirs {
        url: String,
        _alone: MutexGuard<'static, ()>,
    },
}

static THEIRS: Mutex<()> = Mutex::const_new(());

/// A connection of the administrator's.
pub(crate) enum Session {
    Postgres(tokio_postgres::Client),
    MariaDb(Box<mysql_async::Conn>),
}

impl Session {
    /// Runs statements.
    pub(crate) async fn run(&mut self, sql: &str) {
        match self {
            Self::Postgres(client) => client.batch_execute(sql).await.unwrap(),
            Self::MariaDb(conn) => {
                for statement in sql.split(";\n").filter(|statement| !statement.trim().is_empty()) {
                    conn.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
                }
            }
        }
    }
}

impl DatabaseServer {
    /// A running server; `None`, loudly, where this machine has none to offer.
    pub(crate) async fn start(kind: Kind) -> Option<Self> {
        let run = match kind {
            Kind::Postgres => prepare_postgres(),
            Kind::MariaDb => prepare_mariadb(),
        };
        let variable = match kind {
            Kind::Postgres => "PERIMETERD_TEST_POSTGRES",
            Kind::MariaDb => "PERIMETERD_TEST_MYSQL",
        };
        let run = match (run, std::env::var(variable)) {
            (None, Ok(url)) => Some(Run::Theirs { url, _alone: THEIRS.lock().await }),
            (run, _) => run,
        };
        let Some(run) = run else {
            not_tried(kind, "as subscription source", &format!(", or set {variable}"));
            return None;
        };
        Some(Self { kind, run }.begin().await)
    }

    /// A running server that shows this certificate to whoever asks for TLS; only one of our own can.
    pub(crate) async fn start_with_tls(kind: Kind, certificate: &str, key: &str) -> Option<Self> {
        let run = match kind {
            Kind::Postgres => prepare_postgres(),
            Kind::MariaDb => prepare_mariadb(),
        };
        let Some(run) = run else {
            not_tried(
                kind,
                "over TLS",
                " on this machine: a server that runs elsewhere has a certificate of its own",
            );
            return None;
        };
        if let Run::Ours { folder, .. } = &run {
            for (name, text) in [(CERTIFICATE, certificate), (KEY, key)] {
                let path = folder.path().join(name);
                std::fs::write(&path, text).unwrap();
                // Postgres takes no key that others may read.
                std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
                if is_root() && kind == Kind::Postgres {
                    assert!(succeeds(Command::new("chown").arg("nobody").arg(&path)));
                }
            }
        }
        Some(Self { kind, run }.begin().await)
    }

    async fn begin(mut self) -> Self {
        self.revive().await;
        let mut admin = self.session().await;
        admin.run(&self.account()).await;
        self
    }

    /// Whether the test may end it.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.run, Run::Ours { .. })
    }

    /// The SQL that gives the daemon its account, anew.
    fn account(&self) -> String {
        match self.kind {
            Kind::Postgres => format!(
                "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{USER}') THEN \
                 DROP OWNED BY {USER}; DROP ROLE {USER}; END IF; END $$; CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'; \
                 ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {USER}"
            ),
            Kind::MariaDb => format!(
                "CREATE DATABASE IF NOT EXISTS shop;\nDROP USER IF EXISTS {USER}@'%';\n\
                 CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT SELECT ON shop.* TO {USER}@'%'"
            ),
        }
    }

    /// The address that the daemon's configuration names.
    pub(crate) fn url(&self) -> String {
        match &self.run {
            Run::Ours { port, .. } => match self.kind {
                Kind::Postgres => format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"),
                Kind::MariaDb => format!("mariadb://{USER}:{PASSWORD}@127.0.0.1:{port}/shop"),
            },
            Run::Theirs { url, .. } => {
                let url = url::Url::parse(url).unwrap();
                let place = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
                match self.kind {
                    Kind::Postgres => format!("postgres://{USER}:{PASSWORD}@{place}{}", url.path()),
                    Kind::MariaDb => format!("mysql://{USER}:{PASSWORD}@{place}/shop"),
                }
            }
        }
    }

    /// A new connection of the administrator's, once the server takes one.
    pub(crate) async fn session(&self) -> Session {
        let mut last = String::new();
        for _ in 0..TRIES {
            match self.connect().await {
                Ok(session) => return session,
                Err(why) => last = why,
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("{:?} does not come up: {last}", self.kind)
    }

    async fn connect(&self) -> Result<Session, String> {
        match self.kind {
            Kind::Postgres => {
                let config: tokio_postgres::Config = match &self.run {
                    Run::Ours { folder, port, .. } => {
                        let mut config = tokio_postgres::Config::new();
                        config.host_path(folder.path()).port(*port).user("postgres").dbname("postgres");
                        config
                    }
                    Run::Theirs { url, .. } => url.parse().unwrap(),
                };
                let (client, connection) =
                    config.connect(tokio_postgres::NoTls).await.map_err(|error| error.to_string())?;
                tokio::spawn(connection);
                Ok(Session::Postgres(client))
            }
            Kind::MariaDb => {
                let opts = match &self.run {
                    Run::Ours { folder, .. } => {
                        let socket = folder.path().join("socket").to_string_lossy().into_owned();
                        let opts =
                            mysql_async::OptsBuilder::default().socket(Some(socket)).user(Some("root"));
                        mysql_async::Opts::from(opts)
                    }
                    Run::Theirs { url, .. } => mysql_async::Opts::from_url(url).unwrap(),
                };
                let mut conn = mysql_async::Conn::new(opts).await.map_err(|error| error.to_string())?;
                // Before the first start there is no such database.
                let _ = conn.query_drop("USE shop").await;
                Ok(Session::MariaDb(Box::new(conn)))
            }
        }
    }

    /// `kill -9`, connections and all.
    pub(crate) fn kill(&mut self) {
        if let Run::Ours { child, .. } = &mut self.run
            && let Some(mut child) = child.take()
        {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts a server that does not run, and waits until it takes connections.
    pub(crate) async fn revive(&mut self) {
        let mut tries = 0;
        while tries < TRIES {
            if let Run::Ours { folder, port, child } = &mut self.run {
                // After a kill the old one's helpers may hold the folder for a moment: then it ends at once.
                if child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some()) {
                    *child = Some(spawn(self.kind, folder.path(), *port));
                }
            }
            if self.connect().await.is_ok() {
                return;
            }
            tries += 1;
            tokio::time::sleep(PAUSE).await;
        }
        panic!("{:?} does not come up", self.kind);
    }
}

impl Drop for DatabaseServer {
    fn drop(&mut self) {
        // Asked, Postgres takes its shared memory along.
        if let Run::Ours { child: Some(child), .. } = &mut self.run
            && succeeds(Command::new("kill").args(["-INT", &child.id().to_string()]))
            && self.kind == Kind::Postgres
        {
            let _ = child.wait();
        }
        self.kill();
    }
}

/// Says what this machine could not try, past the test harness, which shows what a passing test prints to nobody.
fn not_tried(kind: Kind, what: &str, or: &str) {
    let package = if kind == Kind::Postgres { "postgresql" } else { "mariadb-server" };
    let told = format!("\nNOT TRIED: {kind:?} {what}. Install {package}{or}.\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), told.as_bytes());
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A program in the path, or where distributions hide it.
fn program(name: &str) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin", "/usr/libexec"].map(PathBuf::from));
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.filter_map(Result::ok).map(|version| version.path().join("bin")));
    }
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Postgres refuses to run as root.
fn as_nobody(program: &Path) -> Option<Command> {
    if !is_root() {
        return Some(Command::new(program));
    }
    let mut command = Command::new(self::program("setpriv")?);
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(program);
    Some(command)
}

fn prepare_postgres() -> Option<Run> {
    let (initdb, _) = (program("initdb")?, program("postgres")?);
    let folder = tempfile::tempdir().unwrap();
    if is_root() && !succeeds(Command::new("chown").arg("nobody").arg(folder.path())) {
        return None;
    }
    let made = succeeds(
        as_nobody(&initdb)?
            .arg("-D")
            .arg(folder.path().join("data"))
            .args(["-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256"])
            .args(["--no-sync", "--no-locale", "--encoding=UTF8"]),
    );
    made.then(|| Run::Ours { folder, port: free_port(), child: None })
}

fn prepare_mariadb() -> Option<Run> {
    let (install, _) = (program("mariadb-install-db")?, program("mariadbd")?);
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(install);
    command.arg("--no-defaults").arg(format!("--datadir={}", folder.path().join("data").display()));
    command.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
    // In a folder for all it sweeps away the others' temporary tables.
    command.env("TMPDIR", folder.path());
    if is_root() {
        command.arg("--user=root");
    }
    succeeds(&mut command).then(|| Run::Ours { folder, port: free_port(), child: None })
}

fn spawn(kind: Kind, folder: &Path, port: u16) -> Child {
    let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
    let with_tls = certificate.exists();
    let mut command = match kind {
        Kind::Postgres => {
            let mut command = as_nobody(&program("postgres").unwrap()).unwrap();
            command.arg("-D").arg(folder.join("data")).arg("-k").arg(folder).args(["-p", &port.to_string()]);
            command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
            if with_tls {
                command.args(["-c", "ssl=on", "-c", &format!("ssl_cert_file={}", certificate.display())]);
                command.args(["-c", &format!("ssl_key_file={}", key.display())]);
            }
            command
        }
        Kind::MariaDb => {
            let mut command = Command::new(program("mariadbd").unwrap());
            command.arg("--no-defaults").arg(format!("--datadir={}", folder.join("data").display()));
            command.arg(format!("--socket={}", folder.join("socket").display())).env("TMPDIR", folder);
            command
                .arg(format!("--port={port}"))
                .args(["--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0"]);
            if is_root() {
                command.arg("--user=root");
            }
            if with_tls {
                command.arg(format!("--ssl-cert={}", certificate.display()));
                command.arg(format!("--ssl-key={}", key.display()));
            } else {
                command.arg("--skip-ssl");
            }
            command
        }
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn succeeds(command: &mut Command) -> bool {
    let run = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}
