//! Finding the file, laying the layers over each other, and reading the whole.

use super::{
    Config, Group, Secret, alerts,
    error::{ConfigError, Source},
    guarded,
    node::{self, Node, Origin, Value},
    payments,
    read::Reader,
    sections, shared,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

type Result<T> = std::result::Result<T, ConfigError>;

const DEFAULTS: &str = include_str!("../../examples/perimeterd.toml");

/// Where the configuration is looked for if no path is given.
pub const DEFAULT_PATHS: [&str; 2] = ["perimeterd.toml", "/etc/perimeterd/perimeterd.toml"];

/// The complete commented configuration: what is not commented out there is the built-in default.
pub fn defaults_text() -> &'static str {
    DEFAULTS
}

/// Reads and checks the configuration: built-in defaults ← file ← `PERIMETERD__…` variables of `env`.
///
/// Without a path, [`DEFAULT_PATHS`] are tried in order. Secrets are resolved from `env` too; one that cannot be read
/// is no error here (see [`Config::secret_problems`]).
///
/// # Errors
/// One sentence with file, line and source line for whatever cannot be in force.
pub fn load(path: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> Result<Config> {
    let path = match path {
        Some(path) => path.to_path_buf(),
        None => find()?,
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let message = format!("the configuration {} cannot be read: {error}", path.display());
        ConfigError::bare(message, "Give its path with --config, or make one with `perimeterd init DIR`.")
    })?;
    parse(text, &path, env)
}

fn find() -> Result<PathBuf> {
    let found = DEFAULT_PATHS.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| {
        let message =
            format!("there is no configuration: neither ./{} nor {}", DEFAULT_PATHS[0], DEFAULT_PATHS[1]);
        ConfigError::bare(message, "Make one with `perimeterd init DIR`, or give its path with --config.")
    })
}

/// As [`load`], with the text of the file at hand; `path` is used for places and relative paths and is not read.
///
/// # Errors
/// As [`load`].
pub fn parse(text: String, path: &Path, env: impl IntoIterator<Item = (String, String)>) -> Result<Config> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let environment: BTreeMap<String, String> = env.into_iter().collect();
    let builtin = Source { path: "built-in defaults".into(), text: DEFAULTS.into() };
    let text = text.strip_prefix('\u{feff}').map_or(text.clone(), Into::into);
    let source = Source { path: path.to_path_buf(), text };
    let mut root = node::parse(&builtin, Origin::Defaults)?;
    node::overlay(&mut root, node::parse(&source, Origin::File)?);
    for (name, raw) in &environment {
        if name.to_uppercase().starts_with("PERIMETERD__") {
            node::overlay_variable(&mut root, name, raw);
        }
    }
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    read(&Reader { source: &source, folder, environment: &environment }, root, absolute.clone())
}

const SECTIONS: [&str; 17] = [
    "server",
    "store",
    "wawp",
    "sessions",
    "policies",
    "groups",
    "lists",
    "blacklists",
    "allowlist",
    "subscriptions",
    "limits",
    "pacing",
    "brake",
    "welcome",
    "reconcile",
    "silence",
    "sweep",
];

fn read(read: &Reader<'_>, root: Node, path: PathBuf) -> Result<Config> {
    let known: Vec<&str> =
        SECTIONS.into_iter().chain(["outgoing", "alerts", "payments", "shared_lists"]).collect();
    let mut top = read.section(root, "the configuration", &known)?;
    let sessions = guarded::sessions(read, top.take("sessions"))?;
    let (own, others) = (top.take("blacklists"), top.take("shared_lists"));
    let mut section = |key: &str| {
        let empty = Node { value: Value::Table(BTreeMap::new()), span: 0..0, origin: Origin::Defaults };
        top.take(key).unwrap_or(empty)
    };
    let server = sections::server(read, section("server"))?;
    let blacklists = guarded::blacklists(read, own, &server.data_dir)?;
    let taken = blacklists.iter().map(|list| list.name.clone());
    let shared_lists = shared::shared_lists(read, others, &server.data_dir, taken)?;
    let config = Config {
        store: sections::store(read, section("store"), &server.data_dir)?,
        server,
        wawp: sections::wawp(read, section("wawp"))?,
        policies: sections::policies(read, section("policies"))?,
        lists: sections::lists(read, section("lists"))?,
        subscriptions: guarded::subscriptions(read, section("subscriptions"))?,
        limits: sections::limits(read, section("limits"))?,
        pacing: sections::pacing(read, section("pacing"))?,
        brake: sections::brake(read, section("brake"))?,
        welcome: sections::welcome(read, section("welcome"))?,
        reconcile: sections::reconcile(read, section("reconcile"))?,
        silence: sections::silence(read, section("silence"))?,
        sweep: sections::sweep(read, section("sweep"))?,
        alerts: alerts::alerts(read, section("alerts"), &sessions)?,
        sessions,
        groups: guarded::groups(read, top.take("groups"))?,
        shared_lists,
        blacklists,
        allowlist: guarded::allowlist(read, top.take("allowlist"))?,
        outgoing: guarded::outgoing(read, top.take("outgoing"))?,
        payments: payments::payments(read, top.take("payments"))?,
        path,
    };
    if config.sessions.is_empty() {
        let mut error = ConfigError::bare(
            "no session is configured, so there is no WhatsApp number to guard with",
            "Add a [[sessions]] block; examples/perimeterd.toml shows one.",
        );
        error.file = Some(read.source.path.clone());
        return Err(error);
    }
    Ok(config)
}

impl Config {
    /// Every secret that cannot be read, a sentence each: `check` warns of them, `serve` refuses.
    pub fn secret_problems(&self) -> Vec<String> {
        let unread =
            |(place, secret): (String, &Secret)| Some(format!("{place}: {}", secret.expose().err()?));
        self.secrets().into_iter().filter_map(unread).collect()
    }

    /// What works and is not wise, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let plain = self.secrets().into_iter().filter(|(_, secret)| secret.is_plain()).map(|(place, _)| {
            format!(
                "{place}: a secret stands in plain text in {}; better {{ env = \"NAME\" }} or {{ file = \"path\" }}",
                self.path.display()
            )
        });
        let idle = self.groups.iter().filter(|group| group.chain.is_empty()).map(|group| {
            format!(
                "[[groups]] {}: the chain is empty, so the group is watched and never guarded",
                group.name
            )
        });
        let patterns =
            self.groups.iter().filter_map(|group| Some((group, group.pattern.as_ref()?.glob().glob())));
        let shortened = patterns.filter(|(_, text)| guarded::matches_nothing(text)).map(|(group, text)| {
            format!("[[groups]] {}: no group has the id `{text}`; write it out, or use a glob", group.name)
        });
        let told = alerts::warnings(&self.alerts, |id| self.group_for(id).cloned());
        let open =
            |list: &&super::Blacklist| list.url.as_ref().is_some_and(super::ListUrl::is_open_to_change);
        let open = self.blacklists.iter().filter(open).map(|list| {
            format!(
                "[[blacklists]] {}: anybody on the way can change what comes by http://; use https://",
                list.name
            )
        });
        let read =
            |list: &&super::SharedList| list.url.as_ref().is_some_and(super::ListUrl::is_open_to_change);
        let read = self.shared_lists.iter().filter(read).map(|list| {
            format!(
                "[[shared_lists]] {}: anybody on the way can read what comes by http:// and keep new versions from you; \
                 use https://",
                list.name
            )
        });
        plain.chain(idle).chain(shortened).chain(open).chain(read).chain(told).collect()
    }

    /// The block that guards a group: the first whose `match` fits.
    pub fn group_for(&self, id: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.pattern.as_ref().is_some_and(|pattern| pattern.is_match(id)))
    }

    /// Every secret with its place.
    fn secrets(&self) -> Vec<(String, &Secret)> {
        let mut secrets: Vec<(String, &Secret)> = Vec::new();
        secrets.extend(self.server.admin_token.iter().map(|secret| ("[server]".into(), secret)));
        for session in &self.sessions {
            let place = format!("[[sessions]] {}", session.name);
            secrets.push((place.clone(), &session.access_token));
            secrets.extend(session.webhook_secret.iter().map(|secret| (place.clone(), secret)));
            secrets.extend(session.hmac.iter().map(|hmac| (place.clone(), &hmac.key)));
        }
        match self.subscriptions.as_ref().map(|s| &s.source) {
            Some(super::SubscriptionSource::Http { headers, .. }) => {
                secrets.extend(headers.iter().map(|(_, secret)| ("[subscriptions]".into(), secret)));
            }
            Some(super::SubscriptionSource::Sql(sql)) => secrets.push(("[subscriptions]".into(), &sql.url)),
            Some(super::SubscriptionSource::File { .. } | super::SubscriptionSource::Pushed) | None => {}
        }
        for provider in &self.payments {
            let place = || format!("[[payments]] {}", provider.name);
            secrets.extend(provider.secrets.iter().map(|secret| (place(), secret)));
        }
        for list in &self.blacklists {
            let headers = list.url.iter().flat_map(|url| &url.headers);
            secrets.extend(headers.map(|(_, secret)| (format!("[[blacklists]] {}", list.name), secret)));
        }
        for list in &self.shared_lists {
            let place = format!("[[shared_lists]] {}", list.name);
            let headers = list.url.iter().flat_map(|url| &url.headers).map(|(_, secret)| secret);
            secrets.extend(list.key.iter().chain(headers).map(|secret| (place.clone(), secret)));
        }
        secrets.extend(self.alerts.secret.iter().map(|secret| ("[alerts]".into(), secret)));
        for hook in &self.outgoing {
            secrets.extend(hook.secret.iter().map(|secret| (format!("[[outgoing]] {}", hook.name), secret)));
        }
        secrets
    }
}
