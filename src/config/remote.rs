//! Where a list is: a file of the owner's, or a URL whose last answer is kept in `data_dir`.

use super::{
    error::ConfigError,
    guarded::headers,
    node::Node,
    read::{Reader, Section},
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

type Result<T> = std::result::Result<T, ConfigError>;

/// Keys of a block that may name a URL.
pub(super) const KEYS: [&str; 5] = ["path", "url", "refresh", "timeout", "headers"];

/// How often a list is asked for unless the owner says otherwise.
const REFRESH: Duration = Duration::from_secs(3600);

/// How long its server may be silent, likewise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A list on the web.
#[derive(Clone, Debug)]
pub struct ListUrl {
    /// Where it is.
    pub url: url::Url,
    /// Between two looks.
    pub refresh: Duration,
    /// How long its server may be silent.
    pub timeout: Duration,
    /// Headers of the request, by name.
    pub headers: Vec<(String, super::Secret)>,
}

impl ListUrl {
    /// Whether anybody on the way could change it.
    pub(super) fn is_open_to_change(&self) -> bool {
        let is_here = match self.url.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        self.url.scheme() == "http" && !is_here
    }
}

/// Where the list `name` is followed on the disk, and where that file comes from if not from the owner.
pub(super) fn origin(
    read: &Reader<'_>,
    section: &mut Section,
    name: &str,
    data_dir: &Path,
) -> Result<(PathBuf, Option<ListUrl>)> {
    let Some(node) = section.take("url") else {
        for key in ["refresh", "timeout", "headers"] {
            if let Some(node) = section.take(key) {
                let message = format!("`{key}` has no meaning without `url`; remove it");
                return Err(read.at(&node, message));
            }
        }
        let path = read.required(section, "path")?;
        return Ok((read.path(&path, "path")?, None));
    };
    if let Some(path) = section.take("path") {
        return Err(read.at(&path, "a list has a `path` or a `url`, not both"));
    }
    let mut duration = |key: &str, usual: Duration| {
        section.take(key).map_or(Ok(usual), |node| read.positive_duration(&node, key))
    };
    let (refresh, timeout) = (duration("refresh", REFRESH)?, duration("timeout", TIMEOUT)?);
    let headers = headers(read, section.take("headers"))?;
    let url = address(read, &node)?;
    let path = data_dir.join("kept/fetched").join(format!("{name}.txt"));
    Ok((path, Some(ListUrl { url, refresh, timeout, headers })))
}

fn address(read: &Reader<'_>, node: &Node) -> Result<url::Url> {
    read.url(node, "url")?;
    // The text as it stands: a slash at its end may matter.
    let url = url::Url::parse(&read.word(node, "url")?)
        .map_err(|error| read.at(node, format!("`url` cannot be read: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        let message = "`url` holds a name or a password; put them into `headers`, as a secret";
        return Err(read.at(node, message));
    }
    Ok(url)
}
