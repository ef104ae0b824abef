//! Typed readers over the tree: each takes a node and answers with a value or with an error at its place.
//!
//! What is shared by several sections is here: durations, sizes, windows, secrets, URLs, zones. Which keys a section
//! has is said where the section is read.

use super::{
    Secret, Window,
    error::{ConfigError, Source},
    node::{Entries, Node, Origin, Value},
};
use crate::clock::parse_duration;
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

type Result<T> = std::result::Result<T, ConfigError>;

/// What every reader needs: the file's text for places, its folder for paths, the environment for secrets.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    pub(super) folder: &'a Path,
    pub(super) environment: &'a BTreeMap<String, String>,
}

/// A table whose keys have been checked.
pub(super) struct Section {
    /// As shown in messages: `[server]`.
    pub(super) title: String,
    span: Range<usize>,
    origin: Origin,
    entries: Entries,
}

impl Section {
    /// The value of a key, if it is set.
    pub(super) fn take(&mut self, key: &str) -> Option<Node> {
        self.entries.remove(key).map(|entry| entry.node)
    }
}

const MEND: &str = "Correct it and try again; every key is explained in examples/perimeterd.toml.";

impl Reader<'_> {
    /// An error at a node, named by its file and line or by its environment variable.
    pub(super) fn error(
        &self,
        origin: &Origin,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> ConfigError {
        match origin {
            Origin::File => self.source.error(span, message, MEND),
            Origin::Environment(name, _) => {
                let message = format!("environment variable {name}: {}", message.into());
                ConfigError::bare(message, "Correct or unset the variable and try again.")
            }
            Origin::Defaults => ConfigError::bare(message, MEND),
        }
    }

    /// An error at a value.
    pub(super) fn at(&self, node: &Node, message: impl Into<String>) -> ConfigError {
        self.error(&node.origin, node.span.clone(), message)
    }

    /// Opens a table and refuses every key that is not `known`.
    pub(super) fn section(&self, node: Node, title: &str, known: &[&str]) -> Result<Section> {
        let entries = self.table(&node, title)?;
        for (key, entry) in entries {
            if known.contains(&key.as_str()) {
                continue;
            }
            let hint = match nearest(key, known) {
                Some(meant) => format!("; did you mean `{meant}`?"),
                None => format!("; it has {}", listed(known)),
            };
            let message = format!("unknown key `{key}` in {title}{hint}");
            return Err(self.error(&entry.node.origin, entry.key_span.clone(), message));
        }
        let Node { value: Value::Table(entries), span, origin } = node else {
            return Err(ConfigError::bare(format!("{title} must be a table"), MEND));
        };
        Ok(Section { title: title.into(), span, origin, entries })
    }

    /// The entries of a table with any keys.
    pub(super) fn table<'n>(&self, node: &'n Node, title: &str) -> Result<&'n Entries> {
        match &node.value {
            Value::Table(entries) => Ok(entries),
            other => Err(self.at(node, format!("{title} must be a table, not {}", other.kind()))),
        }
    }

    /// The value of a key that must be there.
    pub(super) fn required(&self, section: &mut Section, key: &str) -> Result<Node> {
        section.take(key).ok_or_else(|| {
            let message = format!("`{key}` is missing in {}", section.title);
            self.error(&section.origin, section.span.clone(), message)
        })
    }

    /// A string. What an environment variable holds is one whatever it looks like.
    pub(super) fn text(&self, node: &Node, key: &str) -> Result<String> {
        match (&node.value, &node.origin) {
            (Value::Text(text), _) => Ok(text.clone()),
            (_, Origin::Environment(_, raw)) => Ok(raw.clone()),
            (other, _) => Err(self.at(node, format!("`{key}` must be a string, not {}", other.kind()))),
        }
    }

    /// A string that is not empty.
    pub(super) fn word(&self, node: &Node, key: &str) -> Result<String> {
        let text = self.text(node, key)?;
        if text.trim().is_empty() {
            return Err(self.at(node, format!("`{key}` must not be empty")));
        }
        Ok(text)
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, node: &Node, key: &str) -> Result<bool> {
        match &node.value {
            Value::Bool(yes) => Ok(*yes),
            other => Err(self.at(node, format!("`{key}` must be true or false, not {}", other.kind()))),
        }
    }

    /// A whole number from 1.
    pub(super) fn count(&self, node: &Node, key: &str) -> Result<u64> {
        match &node.value {
            Value::Integer(number) if *number >= 1 => Ok(number.unsigned_abs()),
            _ => Err(self.at(node, format!("`{key}` must be a whole number from 1"))),
        }
    }

    /// A share from 0 to 1.
    pub(super) fn share(&self, node: &Node, key: &str) -> Result<f64> {
        let share = match &node.value {
            Value::Float(share) => *share,
            Value::Integer(0) => 0.0,
            Value::Integer(1) => 1.0,
            _ => f64::NAN,
        };
        if (0.0..=1.0).contains(&share) {
            return Ok(share);
        }
        Err(self.at(node, format!("`{key}` must be a share from 0 to 1, like 0.2")))
    }

    /// A duration like `"10s"`.
    pub(super) fn duration(&self, node: &Node, key: &str) -> Result<Duration> {
        let text = self.text(node, key)?;
        parse_duration(&text).map_err(|_| {
            let message = format!("`{key}` must be a duration like \"10s\", \"5m\", \"24h\" or \"30d\"");
            self.at(node, message)
        })
    }

    /// A duration longer than nothing.
    pub(super) fn positive_duration(&self, node: &Node, key: &str) -> Result<Duration> {
        match self.duration(node, key)? {
            Duration::ZERO => Err(self.at(node, format!("`{key}` must be longer than nothing"))),
            duration => Ok(duration),
        }
    }

    /// A size in bytes, `4_194_304` or `"4MiB"`.
    pub(super) fn size(&self, node: &Node, key: &str) -> Result<usize> {
        let read = match &node.value {
            Value::Integer(number) => usize::try_from(*number).ok(),
            Value::Text(text) => parse_size(text),
            _ => None,
        };
        read.filter(|size| *size > 0)
            .ok_or_else(|| self.at(node, format!("`{key}` must be a size like \"4MiB\" or \"512KiB\"")))
    }

    /// A ceiling like `"5/1h"`.
    pub(super) fn window(&self, node: &Node, key: &str) -> Result<Window> {
        let text = self.text(node, key)?;
        let read = text.split_once('/').and_then(|(calls, length)| {
            let length = parse_duration(length.trim()).ok().filter(|length| !length.is_zero())?;
            Some(Window { calls: calls.trim().parse().ok()?, length })
        });
        let message =
            || format!("`{key}` must be a number of calls and a window, like \"5/1h\"; \"0/1d\" is never");
        read.ok_or_else(|| self.at(node, message()))
    }

    /// One value or an array of them, each with its place.
    pub(super) fn items(&self, node: Node, key: &str) -> Result<Vec<Node>> {
        match node.value {
            Value::Array(items) => Ok(items),
            Value::Table(_) => Err(self.at(&node, format!("`{key}` must be an array, not a table"))),
            _ => Ok(vec![node]),
        }
    }

    /// An array of tables, `[[key]]`.
    pub(super) fn blocks(&self, node: Option<Node>, key: &str) -> Result<Vec<Node>> {
        match node {
            None => Ok(Vec::new()),
            Some(Node { value: Value::Array(items), .. }) => Ok(items),
            Some(node) => Err(self.at(&node, format!("`{key}` must be written as [[{key}]]"))),
        }
    }

    /// An absolute path: relative ones are from the file's folder.
    pub(super) fn path(&self, node: &Node, key: &str) -> Result<PathBuf> {
        Ok(self.folder.join(self.word(node, key)?))
    }

    /// An http or https URL without trailing slash.
    pub(super) fn url(&self, node: &Node, key: &str) -> Result<String> {
        let text = self.word(node, key)?;
        // Braces stand for a phone in templates; they are not part of the shape that is checked.
        let shape = text.replace("{phone}", "0").replace("{digits}", "0");
        let fits = url::Url::parse(&shape)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !fits {
            return Err(self.at(node, format!("`{key}` must be a URL that begins with https:// or http://")));
        }
        Ok(text.trim_end_matches('/').into())
    }

    /// An IANA time zone.
    pub(super) fn time_zone(&self, node: &Node) -> Result<String> {
        let name = self.word(node, "time_zone")?;
        match jiff::tz::TimeZone::get(&name) {
            Ok(_) => Ok(name),
            Err(_) => {
                let message =
                    format!("`{name}` is not a time zone; names are like \"Europe/Berlin\" or \"UTC\"");
                Err(self.at(node, message))
            }
        }
    }

    /// A language tag.
    pub(super) fn language(&self, node: &Node) -> Result<String> {
        let tag = self.word(node, "language")?;
        let mut parts = tag.split('-');
        let first = parts.next().unwrap_or_default();
        let fits = (2..=3).contains(&first.len())
            && first.bytes().all(|b| b.is_ascii_lowercase())
            && parts
                .all(|part| (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
        if fits {
            return Ok(tag);
        }
        Err(self.at(node, format!("`{tag}` is not a language; tags are like \"de\" or \"pt-BR\"")))
    }

    /// A secret from the environment, a file, a systemd credential, or plain text.
    pub(super) fn secret(&self, node: Node, key: &str) -> Result<Secret> {
        if let Origin::Environment(_, raw) = &node.origin
            && !matches!(node.value, Value::Table(_))
        {
            return Ok(Secret::new(raw.trim()));
        }
        if let Value::Text(text) = &node.value {
            return Ok(Secret::plain(text.trim()));
        }
        let title = format!("`{key}`");
        let shape = format!(
            "`{key}` must be {{ env = \"NAME\" }}, {{ file = \"path\" }} or {{ credential = \"name\" }}"
        );
        let place = node.clone();
        let mut section = match node.value {
            Value::Table(_) => self.section(node, &title, &["env", "file", "credential"])?,
            _ => return Err(self.at(&place, shape)),
        };
        let (env, file, credential) = (section.take("env"), section.take("file"), section.take("credential"));
        match (env, file, credential) {
            (Some(name), None, None) => Ok(self.secret_of_variable(&self.word(&name, "env")?, key)),
            (None, Some(path), None) => Ok(secret_of_file(&self.path(&path, "file")?, key)),
            (None, None, Some(name)) => Ok(self.secret_of_credential(&self.word(&name, "credential")?, key)),
            _ => Err(self.at(&place, shape)),
        }
    }

    fn secret_of_variable(&self, name: &str, key: &str) -> Secret {
        match self.environment.get(name).map(|value| value.trim()) {
            Some(value) if !value.is_empty() => Secret::new(value),
            Some(_) => Secret::unreadable(format!("`{key}`: environment variable {name} is empty; set it")),
            None => Secret::unreadable(format!("`{key}`: environment variable {name} is not set; set it")),
        }
    }

    fn secret_of_credential(&self, name: &str, key: &str) -> Secret {
        match self.environment.get("CREDENTIALS_DIRECTORY") {
            Some(folder) => secret_of_file(&Path::new(folder).join(name), key),
            None => Secret::unreadable(format!(
                "`{key}`: credential {name} is not at hand because systemd did not pass $CREDENTIALS_DIRECTORY; \
                 run as the service, with LoadCredential={name}:…"
            )),
        }
    }
}

fn secret_of_file(path: &Path, key: &str) -> Secret {
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => {
            Secret::unreadable(format!("`{key}`: {} is empty; write the secret into it", path.display()))
        }
        Ok(text) => Secret::new(text.trim()),
        Err(error) => Secret::unreadable(format!(
            "`{key}`: {} cannot be read ({error}); create it or mend its permissions",
            path.display()
        )),
    }
}

fn parse_size(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
    let factor = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "KiB" | "K" | "k" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(factor)
}

/// The known word that somebody probably meant.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let scored = known.iter().map(|candidate| (strsim::jaro_winkler(word, candidate), *candidate));
    scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, found)| found)
}

/// `a`, `b` and `c`.
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "no keys".into(),
    }
}
