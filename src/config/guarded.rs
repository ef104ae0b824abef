//! The blocks about whom we serve and guard: sessions, groups, lists, the subscription source, outgoing hooks.

use super::{
    Batch, Blacklist, ChainLink, Group, Hmac, HmacAlgorithm, Mode, Outgoing, Session, SubscriptionSource,
    Subscriptions,
    error::ConfigError,
    node::{Entries, Node, Value},
    read::{Reader, Section, listed, nearest},
    remote, sql,
};
use crate::{
    facts::Status,
    ids::{GroupId, SessionName},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

type Result<T> = std::result::Result<T, ConfigError>;

pub(super) fn sessions(read: &Reader<'_>, node: Option<Node>) -> Result<Vec<Session>> {
    let mut seen = BTreeSet::new();
    let mut sessions = Vec::new();
    for block in read.blocks(node, "sessions")? {
        let place = block.clone();
        let keys = ["name", "instance_id", "access_token", "webhook_secret", "hmac"];
        let mut section = read.section(block, "[[sessions]]", &keys)?;
        let name = read.required(&mut section, "name")?;
        let word = unique(read, &name, "session", &mut seen)?;
        let fits =
            word.len() <= 64 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !fits {
            return Err(read.at(&name, "a session's name stands in a URL: only letters, digits, `-` and `_`"));
        }
        let session = Session {
            name: SessionName::new(&word),
            instance_id: read.word(&read.required(&mut section, "instance_id")?, "instance_id")?,
            access_token: read.secret(read.required(&mut section, "access_token")?, "access_token")?,
            webhook_secret: section
                .take("webhook_secret")
                .map(|node| read.secret(node, "webhook_secret"))
                .transpose()?,
            hmac: section.take("hmac").map(|node| hmac(read, node)).transpose()?,
        };
        if session.webhook_secret.is_none() && session.hmac.is_none() {
            let message = format!(
                "session `{word}` has no proof that a webhook is genuine; set `webhook_secret` or `hmac`"
            );
            return Err(read.at(&place, message));
        }
        sessions.push(session);
    }
    Ok(sessions)
}

fn hmac(read: &Reader<'_>, node: Node) -> Result<Hmac> {
    let mut section = read.section(node, "`hmac`", &["key", "header", "algorithm"])?;
    let header = section.take("header");
    let header = header.map_or(Ok("X-Webhook-Hmac".into()), |node| header_name(read, &node))?;
    let algorithm = match section.take("algorithm") {
        None => HmacAlgorithm::Sha512,
        Some(node) => match read.text(&node, "algorithm")?.to_lowercase().as_str() {
            "sha512" => HmacAlgorithm::Sha512,
            "sha256" => HmacAlgorithm::Sha256,
            _ => return Err(read.at(&node, "`algorithm` must be \"sha512\" or \"sha256\"")),
        },
    };
    Ok(Hmac { key: read.secret(read.required(&mut section, "key")?, "hmac.key")?, header, algorithm })
}

fn header_name(read: &Reader<'_>, node: &Node) -> Result<String> {
    let name = read.word(node, "header")?;
    match reqwest::header::HeaderName::from_bytes(name.as_bytes()) {
        Ok(_) => Ok(name),
        Err(_) => Err(read.at(node, "this is not the name of an HTTP header")),
    }
}

/// A block's name, once only.
pub(super) fn unique(
    read: &Reader<'_>,
    node: &Node,
    what: &str,
    seen: &mut BTreeSet<String>,
) -> Result<String> {
    let name = read.word(node, "name")?;
    if seen.insert(name.clone()) {
        return Ok(name);
    }
    Err(read.at(node, format!("two {what}s are named `{name}`; give each its own name")))
}

/// The policies of a chain, each a name or `{ policy, mode }`.
pub(super) fn chain(read: &Reader<'_>, node: Node) -> Result<Vec<ChainLink>> {
    let mut links = Vec::new();
    for item in read.items(node, "chain")? {
        let (name, observe) = match item.value {
            Value::Table(_) => {
                let mut section = read.section(item, "`chain`", &["policy", "mode"])?;
                let name = read.required(&mut section, "policy")?;
                let mode = section.take("mode").map(|node| mode(read, &node)).transpose()?;
                (name, mode == Some(Mode::Observe))
            }
            _ => (item, false),
        };
        let policy = read.word(&name, "chain")?;
        if policy.ends_with(".rhai") || policy.contains(['/', '\\']) {
            return Err(read.at(&name, "a chain holds names of policies, without folder and `.rhai`"));
        }
        links.push(ChainLink { policy, observe });
    }
    Ok(links)
}

fn mode(read: &Reader<'_>, node: &Node) -> Result<Mode> {
    match read.text(node, "mode")?.as_str() {
        "observe" => Ok(Mode::Observe),
        "enforce" => Ok(Mode::Enforce),
        _ => Err(read.at(node, "`mode` must be \"observe\" or \"enforce\"")),
    }
}

pub(super) fn groups(read: &Reader<'_>, node: Option<Node>) -> Result<Vec<Group>> {
    let mut seen = BTreeSet::new();
    let mut groups = Vec::new();
    for block in read.blocks(node, "groups")? {
        let keys = ["name", "match", "chain", "mode", "params", "time_zone", "language"];
        let mut section = read.section(block, "[[groups]]", &keys)?;
        let params = match section.take("params") {
            Some(node) => params_of(read.table(&node, "`params`")?),
            None => serde_json::Map::new(),
        };
        groups.push(Group {
            name: unique(read, &read.required(&mut section, "name")?, "group", &mut seen)?,
            pattern: section.take("match").map(|node| pattern(read, &node)).transpose()?,
            chain: chain(read, read.required(&mut section, "chain")?)?,
            mode: section.take("mode").map(|node| mode(read, &node)).transpose()?.unwrap_or_default(),
            params,
            time_zone: section.take("time_zone").map(|node| read.time_zone(&node)).transpose()?,
            language: section.take("language").map(|node| read.language(&node)).transpose()?,
        });
    }
    Ok(groups)
}

/// Whether a `match` is a pattern rather than one id.
fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// A `match` that no group can ever have, like an id shortened with dots; worth a warning, not a refusal.
pub(super) fn matches_nothing(text: &str) -> bool {
    !is_glob(text) && GroupId::parse(text).is_none()
}

fn pattern(read: &Reader<'_>, node: &Node) -> Result<globset::GlobMatcher> {
    let text = read.word(node, "match")?;
    if !is_glob(&text) && !text.ends_with("@g.us") {
        return Err(read.at(node, "`match` must be a group's id (…@g.us) or a glob like \"1203630*@g.us\""));
    }
    globset::Glob::new(&text)
        .map(|glob| glob.compile_matcher())
        .map_err(|error| read.at(node, format!("`match` is not a glob that can be read: {}", error.kind())))
}

/// A value as scripts see it.
fn json(value: &Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Value::Text(text) | Value::Date(text) => Json::from(text.as_str()),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::Bool(yes) => Json::from(*yes),
        Value::Array(items) => items.iter().map(|item| json(&item.value)).collect(),
        Value::Table(entries) => Json::Object(params_of(entries)),
    }
}

fn params_of(entries: &Entries) -> serde_json::Map<String, serde_json::Value> {
    entries.iter().map(|(key, entry)| (key.clone(), json(&entry.node.value))).collect()
}

pub(super) fn blacklists(read: &Reader<'_>, node: Option<Node>, data_dir: &Path) -> Result<Vec<Blacklist>> {
    let mut seen = BTreeSet::new();
    let mut lists = Vec::new();
    for block in read.blocks(node, "blacklists")? {
        let keys = [&["name", "bad_lines"], &remote::KEYS[..]].concat();
        let mut section = read.section(block, "[[blacklists]]", &keys)?;
        let name = read.required(&mut section, "name")?;
        let word = unique(read, &name, "blacklist", &mut seen)?;
        if matches!(word.as_str(), "allowlist" | "local" | "import") || word.contains(['/', '\\', '.']) {
            let message =
                "a blacklist's name must not be `allowlist`, `local` or `import` nor hold `/`, `\\` or `.`";
            return Err(read.at(&name, message));
        }
        let (path, url) = remote::origin(read, &mut section, &word, data_dir)?;
        let bad_lines =
            section.take("bad_lines").map(|node| super::sections::bad_lines(read, &node)).transpose()?;
        lists.push(Blacklist { name: word, path, bad_lines, url });
    }
    Ok(lists)
}

pub(super) fn allowlist(read: &Reader<'_>, node: Option<Node>) -> Result<Option<PathBuf>> {
    let Some(node) = node else { return Ok(None) };
    let mut section = read.section(node, "[allowlist]", &["path"])?;
    read.path(&read.required(&mut section, "path")?, "path").map(Some)
}

const SUBSCRIPTION_KEYS: [&str; 18] = [
    "source",
    "path",
    "url",
    "timeout",
    "headers",
    "pointers",
    "concurrency",
    "batch_url",
    "batch_size",
    "status_map",
    "cache_ttl",
    "negative_ttl",
    "stale_for",
    "capacity",
    "query",
    "pool",
    "tls",
    "tls_ca",
];

/// The keys that only the HTTP source has.
const HTTP_KEYS: [&str; 5] = ["headers", "pointers", "concurrency", "batch_url", "batch_size"];

pub(super) fn subscriptions(read: &Reader<'_>, node: Node) -> Result<Option<Subscriptions>> {
    let place = node.clone();
    let mut section = read.section(node, "[subscriptions]", &SUBSCRIPTION_KEYS)?;
    let Some(source) = section.take("source") else {
        return match ["path", "url", "query"].into_iter().find_map(|key| section.take(key)) {
            Some(node) => Err(read.at(
                &node,
                "`source` is missing in [subscriptions]: \"file\", \"http\", \"sql\" or \"pushed\"",
            )),
            None => Ok(None),
        };
    };
    let word = read.text(&source, "source")?;
    let source = match word.as_str() {
        "file" => {
            refuse_foreign(read, &mut section, "file", &["url", "timeout"])?;
            refuse_foreign(read, &mut section, "file", &HTTP_KEYS)?;
            refuse_foreign(read, &mut section, "file", &sql::KEYS)?;
            SubscriptionSource::File { path: read.path(&read.required(&mut section, "path")?, "path")? }
        }
        "http" => {
            refuse_foreign(read, &mut section, "http", &["path"])?;
            refuse_foreign(read, &mut section, "http", &sql::KEYS)?;
            http(read, &mut section)?
        }
        "pushed" => {
            refuse_foreign(read, &mut section, "pushed", &["path", "url", "timeout"])?;
            refuse_foreign(read, &mut section, "pushed", &HTTP_KEYS)?;
            refuse_foreign(read, &mut section, "pushed", &sql::KEYS)?;
            SubscriptionSource::Pushed
        }
        "sql" => {
            refuse_foreign(read, &mut section, "sql", &["path"])?;
            refuse_foreign(read, &mut section, "sql", &HTTP_KEYS)?;
            SubscriptionSource::Sql(sql::sql(read, &mut section)?)
        }
        _ => return Err(read.at(&source, "`source` must be \"file\", \"http\", \"sql\" or \"pushed\"")),
    };
    let mut duration = |key: &str| {
        let node = section.take(key).unwrap_or_else(|| place.clone());
        read.duration(&node, key)
    };
    let (cache_ttl, negative_ttl, stale_for) =
        (duration("cache_ttl")?, duration("negative_ttl")?, duration("stale_for")?);
    let capacity = read.count(&read.required(&mut section, "capacity")?, "capacity")?;
    let status_map = section.take("status_map").map(|node| status_map(read, &node)).transpose()?;
    Ok(Some(Subscriptions {
        source,
        cache_ttl,
        negative_ttl,
        stale_for,
        capacity,
        status_map: status_map.unwrap_or_default(),
    }))
}

/// Refuses keys of another source: they would be ignored silently.
fn refuse_foreign(read: &Reader<'_>, section: &mut Section, source: &str, keys: &[&str]) -> Result<()> {
    match keys.iter().find_map(|key| section.take(key).map(|node| (key, node))) {
        Some((key, node)) => {
            Err(read.at(&node, format!("`{key}` has no meaning with `source = \"{source}\"`; remove it")))
        }
        None => Ok(()),
    }
}

fn http(read: &Reader<'_>, section: &mut Section) -> Result<SubscriptionSource> {
    let node = read.required(section, "url")?;
    // The shape is checked, the text is kept: a trailing slash may matter to the owner's API.
    read.url(&node, "url")?;
    let url = read.word(&node, "url")?;
    if !url.contains("{phone}") && !url.contains("{digits}") {
        return Err(read.at(&node, "`url` must say where the number goes: {phone} (+49…) or {digits} (49…)"));
    }
    let timeout = section.take("timeout").map(|node| read.positive_duration(&node, "timeout")).transpose()?;
    let concurrency = section.take("concurrency").map(|node| read.count(&node, "concurrency")).transpose()?;
    let Pointers { each, people, phone } = pointers(read, section.take("pointers"))?;
    Ok(SubscriptionSource::Http {
        url,
        timeout: timeout.unwrap_or(Duration::from_secs(5)),
        headers: headers(read, section.take("headers"))?,
        pointers: each,
        people,
        phone,
        batch: batch(read, section)?,
        concurrency: concurrency.map_or(8, |n| usize::try_from(n).unwrap_or(usize::MAX).min(1024)),
    })
}

pub(super) fn headers(read: &Reader<'_>, node: Option<Node>) -> Result<Vec<(String, super::Secret)>> {
    let Some(node) = node else { return Ok(Vec::new()) };
    let mut headers = Vec::new();
    for (name, entry) in read.table(&node, "`headers`")? {
        if reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_err() {
            let message = format!("`{name}` is not the name of an HTTP header");
            return Err(read.error(&entry.node.origin, entry.key_span.clone(), message));
        }
        headers.push((name.clone(), read.secret(entry.node.clone(), &format!("headers.{name}"))?));
    }
    Ok(headers)
}

/// How several people are asked about at once, if they are.
fn batch(read: &Reader<'_>, section: &mut Section) -> Result<Option<Batch>> {
    let size = section.take("batch_size");
    let Some(node) = section.take("batch_url") else {
        return match size {
            Some(node) => Err(read.at(&node, "`batch_size` has no meaning without `batch_url`; remove it")),
            None => Ok(None),
        };
    };
    let url = read.word(&node, "batch_url")?;
    let shape = url.replace("{phones}", "0");
    read.url(&Node { value: Value::Text(shape), ..node.clone() }, "batch_url")?;
    if url.contains("{phone}") {
        return Err(
            read.at(&node, "`batch_url` is for several people: write {phones} or {digits}, or neither")
        );
    }
    let size = size.map(|node| read.count(&node, "batch_size")).transpose()?.unwrap_or(100);
    Ok(Some(Batch { url, size: usize::try_from(size).unwrap_or(usize::MAX).min(1000) }))
}

/// Where a JSON answer has what.
struct Pointers {
    each: [String; 3],
    people: Option<String>,
    phone: Option<String>,
}

fn pointers(read: &Reader<'_>, node: Option<Node>) -> Result<Pointers> {
    let keys = ["status", "plan", "expires_at"];
    let mut pointers = Pointers { each: keys.map(|key| format!("/{key}")), people: None, phone: None };
    let Some(node) = node else { return Ok(pointers) };
    let mut section =
        read.section(node, "`pointers`", &["status", "plan", "expires_at", "people", "phone"])?;
    let mut pointer = |key: &str| {
        let Some(node) = section.take(key) else { return Ok(None) };
        let text = read.text(&node, key)?;
        // The answer itself may be the list.
        if text.starts_with('/') || (text.is_empty() && key == "people") {
            return Ok(Some(text));
        }
        Err(read.at(&node, format!("`{key}` must be a JSON pointer, like \"/data/{key}\"")))
    };
    for (key, place) in keys.into_iter().zip(&mut pointers.each) {
        if let Some(text) = pointer(key)? {
            *place = text;
        }
    }
    pointers.people = pointer("people")?;
    pointers.phone = pointer("phone")?;
    Ok(pointers)
}

pub(super) fn status_map(read: &Reader<'_>, node: &Node) -> Result<BTreeMap<String, Status>> {
    const WORDS: [&str; 6] = ["active", "trialing", "past_due", "canceled", "none", "unknown"];
    let mut map = BTreeMap::new();
    for (foreign, entry) in read.table(node, "`status_map`")? {
        let word = read.text(&entry.node, foreign)?;
        let Some(status) = Status::parse(&word) else {
            let hint = nearest(&word, &WORDS).map(|meant| format!("; did you mean `{meant}`?"));
            let hint = hint.unwrap_or_else(|| format!("; there are {}", listed(&WORDS)));
            return Err(read.at(&entry.node, format!("`{word}` is not a status{hint}")));
        };
        map.insert(foreign.to_lowercase(), status);
    }
    Ok(map)
}

pub(super) fn outgoing(read: &Reader<'_>, node: Option<Node>) -> Result<Vec<Outgoing>> {
    let mut seen = BTreeSet::new();
    let mut hooks = Vec::new();
    for block in read.blocks(node, "outgoing")? {
        let mut section = read.section(block, "[[outgoing]]", &["name", "url", "secret", "events"])?;
        let mut events = Vec::new();
        if let Some(node) = section.take("events") {
            for item in read.items(node, "events")? {
                events.push(read.word(&item, "events")?);
            }
        }
        hooks.push(Outgoing {
            name: unique(read, &read.required(&mut section, "name")?, "outgoing hook", &mut seen)?,
            url: read.url(&read.required(&mut section, "url")?, "url")?,
            secret: section.take("secret").map(|node| read.secret(node, "secret")).transpose()?,
            events,
        });
    }
    Ok(hooks)
}
