//! `[[shared_lists]]`: lists of other communities, and how far each is trusted.

use super::{
    ListUrl, Secret,
    error::ConfigError,
    guarded::unique,
    node::Node,
    read::{Reader, nearest},
    remote,
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

type Result<T> = std::result::Result<T, ConfigError>;

/// `[[shared_lists]]`
#[derive(Clone, Debug)]
pub struct SharedList {
    /// Its name in facts and commands.
    pub name: String,
    /// The name that its document must bear.
    pub published_as: String,
    /// The document, the owner's or the last answer of `url`; its signature is beside it, with `.minisig` behind the name.
    pub path: PathBuf,
    /// Where the two files come from, if not from the owner.
    pub url: Option<ListUrl>,
    /// Who must have signed it: a minisign public key, `RW…`.
    pub public_key: String,
    /// What its hashes are made with, where it has hashes.
    pub key: Option<Secret>,
    /// How far it is trusted.
    pub trust: Trust,
}

/// How far a shared list is trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Whom it names is told; scripts see nothing of it.
    #[default]
    Watch,
    /// Scripts see it; a removal that it causes waits for an operator.
    Ask,
    /// Like a blacklist of our own, once it was accepted.
    Enforce,
}

impl Trust {
    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Ask => "ask",
            Self::Enforce => "enforce",
        }
    }
}

const KEYS: [&str; 5] = ["name", "published_as", "public_key", "key", "trust"];

/// Reads the blocks. What comes from a URL is put into `data_dir`. `taken` are the names of the blacklists: one name means one list everywhere.
pub(super) fn shared_lists(
    read: &Reader<'_>,
    node: Option<Node>,
    data_dir: &Path,
    taken: impl Iterator<Item = String>,
) -> Result<Vec<SharedList>> {
    let mut seen: BTreeSet<String> = taken.collect();
    let mut lists = Vec::new();
    for block in read.blocks(node, "shared_lists")? {
        let mut section = read.section(block, "[[shared_lists]]", &[&KEYS[..], &remote::KEYS].concat())?;
        let node = read.required(&mut section, "name")?;
        let name = unique(read, &node, "list", &mut seen)?;
        if matches!(name.as_str(), "allowlist" | "local" | "import") || name.contains(['/', '\\', '.']) {
            return Err(
                read.at(&node, "a shared list's name must not be `allowlist`, `local` or `import`, nor hold `/`, `\\` or `.`")
            );
        }
        let public_key = read.required(&mut section, "public_key")?;
        let text = read.word(&public_key, "public_key")?;
        if minisign::PublicKey::from_base64(&text).is_err() {
            let message =
                "this is not a minisign public key; it is the line of the .pub file that begins with RW";
            return Err(read.at(&public_key, message));
        }
        let published_as = section.take("published_as").map(|node| read.word(&node, "published_as"));
        let (path, url) = remote::origin(read, &mut section, &name, data_dir)?;
        lists.push(SharedList {
            published_as: published_as.transpose()?.unwrap_or_else(|| name.clone()),
            path: if url.is_some() { path.with_extension("list") } else { path },
            url,
            key: section.take("key").map(|node| read.secret(node, "key")).transpose()?,
            trust: section.take("trust").map(|node| trust(read, &node)).transpose()?.unwrap_or_default(),
            public_key: text,
            name,
        });
    }
    Ok(lists)
}

fn trust(read: &Reader<'_>, node: &Node) -> Result<Trust> {
    let all = [Trust::Watch, Trust::Ask, Trust::Enforce];
    let word = read.text(node, "trust")?;
    all.into_iter().find(|trust| trust.as_str() == word).ok_or_else(|| {
        let hint = nearest(&word, &all.map(Trust::as_str));
        let hint = hint.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
        read.at(node, format!("`trust` must be \"watch\", \"ask\" or \"enforce\"{hint}"))
    })
}
