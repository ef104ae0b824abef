//! The configuration, read once and checked whole: embedded defaults ← file ← environment.
//!
//! The structs here are what the rest of the daemon reads; every path is absolute, every duration parsed, every
//! secret resolved or known to be unreadable. Keys are *fixed* (DESIGN §4).

use crate::{
    action::Class,
    ids::{GroupId, Phone, SessionName},
};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

mod alerts;
mod error;
mod guarded;
mod load;
mod node;
mod payments;
mod read;
mod remote;
pub mod secret;
mod sections;
mod shared;
mod sql;

#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub use load::{DEFAULT_PATHS, defaults_text, load, parse};
pub use remote::ListUrl;
pub use secret::Secret;
pub use shared::{SharedList, Trust};
pub use sql::{Database, DatabaseServer, Dialect, Place, Placeholder, Sql, Statement, certificates};

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from.
    pub path: PathBuf,
    /// `[server]`
    pub server: Server,
    /// `[store]`
    pub store: Store,
    /// `[wawp]`
    pub wawp: Wawp,
    /// `[[sessions]]`, in order: the first that is admin acts.
    pub sessions: Vec<Session>,
    /// `[policies]`
    pub policies: Policies,
    /// `[[groups]]`, in order: the first match guards the group.
    pub groups: Vec<Group>,
    /// `[lists]`
    pub lists: Lists,
    /// `[[blacklists]]`
    pub blacklists: Vec<Blacklist>,
    /// `[[shared_lists]]`
    pub shared_lists: Vec<SharedList>,
    /// `[allowlist]`
    pub allowlist: Option<PathBuf>,
    /// `[subscriptions]`
    pub subscriptions: Option<Subscriptions>,
    /// `[[payments]]`
    pub payments: Vec<Payments>,
    /// `[limits]`: every class has its windows.
    pub limits: BTreeMap<Class, Vec<Window>>,
    /// `[pacing]`
    pub pacing: Pacing,
    /// `[brake]`
    pub brake: Brake,
    /// `[welcome]`
    pub welcome: Welcome,
    /// `[reconcile]`
    pub reconcile: Reconcile,
    /// `[silence]`
    pub silence: Silence,
    /// `[sweep]`
    pub sweep: Sweep,
    /// `[[outgoing]]`
    pub outgoing: Vec<Outgoing>,
    /// `[alerts]`
    pub alerts: Alerts,
}

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// How the gateway reaches us.
    pub public_url: Option<String>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Store, last good copies, lock.
    pub data_dir: PathBuf,
    /// Opens `/metrics` and `/api/v1`; without it they are not served.
    pub admin_token: Option<Secret>,
    /// Largest accepted body, in bytes.
    pub max_body_bytes: usize,
    /// IANA name.
    pub time_zone: String,
    /// Default language of templates.
    pub language: Option<String>,
    /// `/metrics` without the token.
    pub metrics_public: bool,
}

/// `[store]`
#[derive(Clone, Debug)]
pub struct Store {
    /// The SQLite file.
    pub path: PathBuf,
}

/// `[wawp]`
#[derive(Clone, Debug)]
pub struct Wawp {
    /// Without trailing slash.
    pub base_url: String,
    /// Of one call.
    pub timeout: Duration,
    /// After a removal was answered as done and no leave was told: when a roster is to tell whether it took effect.
    pub confirm_after: Duration,
}

/// `[[sessions]]`: one WhatsApp number of ours.
#[derive(Clone, Debug)]
pub struct Session {
    /// Webhooks arrive at `/webhooks/{name}`.
    pub name: SessionName,
    /// The gateway's id of the instance.
    pub instance_id: String,
    /// The gateway's token.
    pub access_token: Secret,
    /// Proof in query or header.
    pub webhook_secret: Option<Secret>,
    /// Proof over the raw body.
    pub hmac: Option<Hmac>,
}

/// How a session's webhooks are signed; pinned here, never chosen by the request.
#[derive(Clone, Debug)]
pub struct Hmac {
    /// The key.
    pub key: Secret,
    /// The header that carries the hex digest.
    pub header: String,
    /// Which digest.
    pub algorithm: HmacAlgorithm,
}

/// A digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HmacAlgorithm {
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA512.
    Sha512,
}

/// `[policies]`
#[derive(Clone, Debug)]
pub struct Policies {
    /// The folder of `.rhai` files.
    pub dir: PathBuf,
    /// For events without a group.
    pub chain: Vec<ChainLink>,
    /// The oldest fact a removal may rest on when it is sent.
    pub fresh_for: Duration,
    /// How long a removal waits for evidence.
    pub evidence_wait: Duration,
    /// Limits of one run.
    pub limits: ScriptLimits,
}

/// Limits of one script run (`policy-api.md` §1).
#[derive(Clone, Copy, Debug)]
pub struct ScriptLimits {
    /// Operations.
    pub operations: u64,
    /// Bytes of a string.
    pub string_bytes: usize,
    /// Elements of an array or map.
    pub elements: usize,
    /// The backstop.
    pub deadline: Duration,
}

impl Default for ScriptLimits {
    fn default() -> Self {
        Self { operations: 100_000, string_bytes: 65_536, elements: 2_000, deadline: Duration::from_secs(1) }
    }
}

/// One policy in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainLink {
    /// The file's name without `.rhai`.
    pub policy: String,
    /// `mode = "observe"` for this link.
    pub observe: bool,
}

/// `[[groups]]`
#[derive(Clone, Debug)]
pub struct Group {
    /// The block's name.
    pub name: String,
    /// Id or glob; `None` for a block that only provisioned groups name.
    pub pattern: Option<globset::GlobMatcher>,
    /// The chain.
    pub chain: Vec<ChainLink>,
    /// Whether actions are sent.
    pub mode: Mode,
    /// `params`
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Overrides `[server] time_zone`.
    pub time_zone: Option<String>,
    /// Language of templates.
    pub language: Option<String>,
}

/// Whether a chain's actions are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everything but the sending.
    #[default]
    Observe,
    /// In earnest.
    Enforce,
}

/// `[lists]`
#[derive(Clone, Debug)]
pub struct Lists {
    /// The share by which a list or subscription file may shrink unasked.
    pub max_shrink: f64,
    /// ISO country for national spellings.
    pub default_country: Option<String>,
    /// What a broken line of a blacklist does, where the list does not say.
    pub bad_lines: BadLines,
}

/// What a broken line of a blacklist does; it is told with its number in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BadLines {
    /// Nothing of the edit is taken.
    #[default]
    Refuse,
    /// The rest is taken.
    Skip,
}

/// `[[blacklists]]`
#[derive(Clone, Debug)]
pub struct Blacklist {
    /// Its name in facts and commands.
    pub name: String,
    /// The text file: the owner's, or the last answer of `url`.
    pub path: PathBuf,
    /// What a broken line does; `None`: as `[lists]` says.
    pub bad_lines: Option<BadLines>,
    /// Where that file comes from, if not from the owner.
    pub url: Option<ListUrl>,
}

/// `[subscriptions]`
#[derive(Clone, Debug)]
pub struct Subscriptions {
    /// Where the answers come from.
    pub source: SubscriptionSource,
    /// How long a positive answer is served from the cache.
    pub cache_ttl: Duration,
    /// How long `none` is.
    pub negative_ttl: Duration,
    /// How long an old answer is served while the source is down.
    pub stale_for: Duration,
    /// Answers kept.
    pub capacity: u64,
    /// Foreign words for our statuses.
    pub status_map: BTreeMap<String, crate::facts::Status>,
}

/// Where subscriptions are looked up.
#[derive(Clone, Debug)]
pub enum SubscriptionSource {
    /// A CSV file.
    File {
        /// Its path.
        path: PathBuf,
    },
    /// Nothing but what is pushed: by `PUT`, an import, or `[[payments]]`.
    Pushed,
    /// An HTTP API.
    Http {
        /// With `{phone}` or `{digits}`.
        url: String,
        /// Of one request.
        timeout: Duration,
        /// Sent along.
        headers: Vec<(String, Secret)>,
        /// JSON pointers to `status`, `plan`, `expires_at`, in each of `people` where that is set.
        pointers: [String; 3],
        /// JSON pointer to the list of what was found; an empty one is `none`. `None`: the answer is of one person.
        people: Option<String>,
        /// JSON pointer to the phone, which must be the one that was asked about.
        phone: Option<String>,
        /// How several people are asked about at once.
        batch: Option<Batch>,
        /// Requests at once.
        concurrency: usize,
    },
    /// A database.
    Sql(Sql),
}

/// How several people are asked about in one request.
#[derive(Clone, Debug)]
pub struct Batch {
    /// With `{phones}` or `{digits}`, joined by commas, for a GET; without them a JSON array of phones is posted.
    pub url: String,
    /// People in one request.
    pub size: usize,
}

/// `[[payments]]`: a provider whose webhooks arrive at `/payments/{name}`.
#[derive(Clone, Debug)]
pub struct Payments {
    /// Its name.
    pub name: String,
    /// Whose signature and whose events.
    pub kind: PaymentKind,
    /// Any of these may have signed.
    pub secrets: Vec<Secret>,
    /// How far a signature's time may be from ours.
    pub tolerance: Duration,
    /// How long somebody who is to be charged again still counts after the end of what is paid: until the news of the
    /// next payment is here.
    pub leeway: Duration,
    /// JSON pointers to places where an event may hold the phone, the best first.
    pub phones: Vec<String>,
    /// The provider's statuses for ours, before our own translation.
    pub status_map: BTreeMap<String, crate::facts::Status>,
}

/// A payment provider that we understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentKind {
    /// Stripe, and whoever signs and speaks like it.
    Stripe,
    /// WooCommerce with its Subscriptions.
    WooCommerce,
}

/// One ceiling: at most so many calls in any window of that length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Calls.
    pub calls: u32,
    /// The window's length.
    pub length: Duration,
}

/// `[pacing]`
#[derive(Clone, Copy, Debug)]
pub struct Pacing {
    /// Shortest pause between two writing calls of a session.
    pub gap_min: Duration,
    /// Longest.
    pub gap_max: Duration,
    /// How long the ceilings rise from a fifth to full; zero: no ramp.
    pub ramp: Duration,
}

/// `[brake]`: how many established members may be removed before a human has to look ([`crate::brake`]).
#[derive(Clone, Copy, Debug)]
pub struct Brake {
    /// Who is longer in is established.
    pub established_after: Duration,
    /// Removals of established members.
    pub max: Window,
    /// Share of a group.
    pub share: f64,
}

/// `[welcome]`
#[derive(Clone, Copy, Debug)]
pub struct Welcome {
    /// From the first join, never reset.
    pub window: Duration,
}

/// `[reconcile]`
#[derive(Clone, Copy, Debug)]
pub struct Reconcile {
    /// How often each group's roster is compared with the directory, give or take a quarter; zero: only at a start and
    /// when a session is back.
    pub every: Duration,
}

/// `[sweep]`: how often everybody inside is looked at again though nothing has changed.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// How often; zero: never.
    pub every: Duration,
    /// At which hour, in `[server] time_zone`, where `every` is whole days.
    pub at: jiff::civil::Time,
}

impl Sweep {
    /// `every` in days, if it is whole ones.
    pub fn whole_days(&self) -> Option<i64> {
        const DAY: u64 = 24 * 3600;
        let seconds = self.every.as_secs();
        (seconds >= DAY && seconds.is_multiple_of(DAY))
            .then(|| i64::try_from(seconds / DAY).unwrap_or(i64::MAX))
    }
}

/// `[silence]`
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// A session that sends nothing for so long is asked how it is, and reported; zero: never.
    pub after: Duration,
    /// How often an event of our own takes the whole path of each session; zero: never.
    pub canary: Duration,
}

/// `[[outgoing]]`: read now, acts later.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Name for `notify`.
    pub name: String,
    /// Receiver.
    pub url: String,
    /// Signing key.
    pub secret: Option<Secret>,
    /// Which events.
    pub events: Vec<String>,
}

/// `[alerts]`: how operators are told, beside the log.
#[derive(Clone, Debug)]
pub struct Alerts {
    /// Which number writes; `None`: the first.
    pub session: Option<SessionName>,
    /// Where it writes.
    pub chat: Option<AlertsChat>,
    /// Where alerts are posted.
    pub url: Option<String>,
    /// Signs the posts.
    pub secret: Option<Secret>,
    /// What happens within it is one message.
    pub window: Duration,
}

/// Where operators read in WhatsApp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlertsChat {
    /// A group.
    Group(GroupId),
    /// A person.
    Person(Phone),
}
