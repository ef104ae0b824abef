//! The plain sections: server, store, wawp, policies, lists, limits, pacing, brake, welcome, reconcile, sweep, silence.
//!
//! Each function reads one section with its keys; defaults are already underneath.

use super::{
    BadLines, Brake, Lists, Pacing, Policies, Reconcile, ScriptLimits, Server, Silence, Store, Sweep, Wawp,
    Welcome, Window,
    error::ConfigError,
    guarded::chain,
    node::{Node, Value},
    read::Reader,
};
use crate::{action::Class, clock::format_duration};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::Path,
};

type Result<T> = std::result::Result<T, ConfigError>;

pub(super) fn server(read: &Reader<'_>, node: Node) -> Result<Server> {
    let keys = [
        "listen",
        "public_url",
        "trusted_proxies",
        "data_dir",
        "admin_token",
        "max_body",
        "time_zone",
        "language",
        "metrics_public",
    ];
    let mut section = read.section(node, "[server]", &keys)?;
    let listen = read.required(&mut section, "listen")?;
    let address = read.text(&listen, "listen")?.parse::<SocketAddr>();
    let mut proxies = Vec::new();
    if let Some(node) = section.take("trusted_proxies") {
        for item in read.items(node, "trusted_proxies")? {
            proxies.push(network(read, &item)?);
        }
    }
    Ok(Server {
        listen: address.map_err(|_| {
            read.at(&listen, "`listen` must be an address and a port, like \"127.0.0.1:8787\"")
        })?,
        public_url: section.take("public_url").map(|node| read.url(&node, "public_url")).transpose()?,
        trusted_proxies: proxies,
        data_dir: read.path(&read.required(&mut section, "data_dir")?, "data_dir")?,
        admin_token: section.take("admin_token").map(|node| read.secret(node, "admin_token")).transpose()?,
        max_body_bytes: read.size(&read.required(&mut section, "max_body")?, "max_body")?,
        time_zone: read.time_zone(&read.required(&mut section, "time_zone")?)?,
        language: section.take("language").map(|node| read.language(&node)).transpose()?,
        metrics_public: read.flag(&read.required(&mut section, "metrics_public")?, "metrics_public")?,
    })
}

fn network(read: &Reader<'_>, item: &Node) -> Result<ipnet::IpNet> {
    let text = read.text(item, "trusted_proxies")?;
    let one = text.parse::<IpAddr>().map(ipnet::IpNet::from);
    one.or_else(|_| text.parse::<ipnet::IpNet>()).map_err(|_| {
        read.at(
            item,
            "`trusted_proxies` must hold addresses or networks, like \"127.0.0.1\" or \"10.0.0.0/8\"",
        )
    })
}

pub(super) fn store(read: &Reader<'_>, node: Node, data_dir: &Path) -> Result<Store> {
    let mut section = read.section(node, "[store]", &["url"])?;
    let url = read.required(&mut section, "url")?;
    let text = read.word(&url, "url")?;
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Err(read.at(&url, "Postgres is not supported yet; use `url = \"sqlite:perimeterd.db\"`"));
    }
    match text.strip_prefix("sqlite:").map(|name| name.trim_start_matches("//")) {
        Some(name) if !name.is_empty() => Ok(Store { path: data_dir.join(name) }),
        _ => Err(read.at(&url, "`url` in [store] must be like \"sqlite:perimeterd.db\"")),
    }
}

pub(super) fn wawp(read: &Reader<'_>, node: Node) -> Result<Wawp> {
    let mut section = read.section(node, "[wawp]", &["base_url", "timeout", "confirm_after"])?;
    Ok(Wawp {
        base_url: read.url(&read.required(&mut section, "base_url")?, "base_url")?,
        timeout: read.positive_duration(&read.required(&mut section, "timeout")?, "timeout")?,
        confirm_after: read
            .positive_duration(&read.required(&mut section, "confirm_after")?, "confirm_after")?,
    })
}

pub(super) fn policies(read: &Reader<'_>, node: Node) -> Result<Policies> {
    let keys = ["dir", "chain", "fresh_for", "evidence_wait", "limits"];
    let mut section = read.section(node, "[policies]", &keys)?;
    Ok(Policies {
        dir: read.path(&read.required(&mut section, "dir")?, "dir")?,
        chain: chain(read, read.required(&mut section, "chain")?)?,
        fresh_for: read.duration(&read.required(&mut section, "fresh_for")?, "fresh_for")?,
        evidence_wait: read.duration(&read.required(&mut section, "evidence_wait")?, "evidence_wait")?,
        limits: script_limits(read, read.required(&mut section, "limits")?)?,
    })
}

fn script_limits(read: &Reader<'_>, node: Node) -> Result<ScriptLimits> {
    let keys = ["operations", "string", "elements", "deadline"];
    let mut section = read.section(node, "[policies] limits", &keys)?;
    let elements = read.required(&mut section, "elements")?;
    Ok(ScriptLimits {
        operations: read.count(&read.required(&mut section, "operations")?, "operations")?,
        string_bytes: read.size(&read.required(&mut section, "string")?, "string")?,
        elements: usize::try_from(read.count(&elements, "elements")?).unwrap_or(usize::MAX),
        deadline: read.positive_duration(&read.required(&mut section, "deadline")?, "deadline")?,
    })
}

pub(super) fn lists(read: &Reader<'_>, node: Node) -> Result<Lists> {
    let mut section = read.section(node, "[lists]", &["max_shrink", "default_country", "bad_lines"])?;
    let default_country = section.take("default_country").map(|node| country(read, &node)).transpose()?;
    Ok(Lists {
        max_shrink: read.share(&read.required(&mut section, "max_shrink")?, "max_shrink")?,
        default_country,
        bad_lines: bad_lines(read, &read.required(&mut section, "bad_lines")?)?,
    })
}

/// What a broken line of a list does.
pub(super) fn bad_lines(read: &Reader<'_>, node: &Node) -> Result<BadLines> {
    match read.text(node, "bad_lines")?.as_str() {
        "refuse" => Ok(BadLines::Refuse),
        "skip" => Ok(BadLines::Skip),
        _ => Err(read.at(node, "`bad_lines` must be \"refuse\" or \"skip\"")),
    }
}

fn country(read: &Reader<'_>, node: &Node) -> Result<String> {
    let code = read.word(node, "default_country")?.to_uppercase();
    if crate::numbering::is_country(&code) {
        return Ok(code);
    }
    Err(read.at(node, format!("`{code}` is not a country; codes are like \"DE\" or \"BR\"")))
}

pub(super) fn limits(read: &Reader<'_>, node: Node) -> Result<BTreeMap<Class, Vec<Window>>> {
    let keys = Class::ALL.map(Class::as_str);
    let mut section = read.section(node, "[limits]", &keys)?;
    let mut limits = BTreeMap::new();
    for class in Class::ALL {
        let node = read.required(&mut section, class.as_str())?;
        let place = node.clone();
        let mut windows = Vec::new();
        for item in read.items(node, class.as_str())? {
            windows.push(read.window(&item, class.as_str())?);
        }
        if windows.is_empty() {
            let message = format!(
                "`{class}` has no window, so no ceiling; for never write [\"0/1d\"]",
                class = class.as_str()
            );
            return Err(read.at(&place, message));
        }
        limits.insert(class, windows);
    }
    Ok(limits)
}

pub(super) fn pacing(read: &Reader<'_>, node: Node) -> Result<Pacing> {
    let mut section = read.section(node, "[pacing]", &["gap", "ramp"])?;
    let gap = read.required(&mut section, "gap")?;
    let text = read.text(&gap, "gap")?;
    let (low, high) = text.split_once("..").unwrap_or((&text, &text));
    let part = |text: &str| {
        let node = Node {
            value: Value::Text(text.trim().into()),
            span: gap.span.clone(),
            origin: gap.origin.clone(),
        };
        crate::clock::parse_duration(text.trim())
            .map_err(|_| read.at(&node, "`gap` must be a duration or a range of two, like \"2s..6s\""))
    };
    let (gap_min, gap_max) = (part(low)?, part(high)?);
    if gap_min > gap_max {
        let (min, max) = (format_duration(gap_min), format_duration(gap_max));
        return Err(read.at(&gap, format!("`gap` runs backwards: {min} is longer than {max}")));
    }
    Ok(Pacing { gap_min, gap_max, ramp: read.duration(&read.required(&mut section, "ramp")?, "ramp")? })
}

pub(super) fn brake(read: &Reader<'_>, node: Node) -> Result<Brake> {
    let mut section = read.section(node, "[brake]", &["established_after", "max", "share"])?;
    let established = read.required(&mut section, "established_after")?;
    Ok(Brake {
        established_after: read.duration(&established, "established_after")?,
        max: read.window(&read.required(&mut section, "max")?, "max")?,
        share: read.share(&read.required(&mut section, "share")?, "share")?,
    })
}

pub(super) fn welcome(read: &Reader<'_>, node: Node) -> Result<Welcome> {
    let mut section = read.section(node, "[welcome]", &["window"])?;
    Ok(Welcome { window: read.duration(&read.required(&mut section, "window")?, "window")? })
}

pub(super) fn reconcile(read: &Reader<'_>, node: Node) -> Result<Reconcile> {
    let mut section = read.section(node, "[reconcile]", &["every"])?;
    Ok(Reconcile { every: read.duration(&read.required(&mut section, "every")?, "every")? })
}

pub(super) fn sweep(read: &Reader<'_>, node: Node) -> Result<Sweep> {
    let mut section = read.section(node, "[sweep]", &["every", "at"])?;
    let at = read.required(&mut section, "at")?;
    let hour = jiff::civil::Time::strptime("%H:%M", read.text(&at, "at")?.trim());
    Ok(Sweep {
        every: read.duration(&read.required(&mut section, "every")?, "every")?,
        at: hour.map_err(|_| read.at(&at, "`at` must be a time of day like \"04:00\""))?,
    })
}

pub(super) fn silence(read: &Reader<'_>, node: Node) -> Result<Silence> {
    let mut section = read.section(node, "[silence]", &["after", "canary"])?;
    Ok(Silence {
        after: read.duration(&read.required(&mut section, "after")?, "after")?,
        canary: read.duration(&read.required(&mut section, "canary")?, "canary")?,
    })
}
