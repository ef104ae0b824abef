//! How the files of lists are judged and read, and what is said of one that cannot be.

use super::{
    ListSet,
    book::ALLOWLIST,
    parse::{ParseContext, parse},
};
use crate::{config, kept::Rules};
use jiff::tz::TimeZone;
use std::path::Path;

/// What the reading of lists depends on.
pub(super) fn context(config: &config::Config) -> ParseContext {
    let time_zone = TimeZone::get(&config.server.time_zone).unwrap_or(TimeZone::UTC);
    ParseContext { default_country: config.lists.default_country.clone(), time_zone }
}

/// How a list's file is judged and read.
pub(super) fn rules(config: &config::Config, name: &str, path: &Path, kept_dir: &Path) -> Rules<ListSet> {
    let context = context(config);
    Rules {
        what: if name == ALLOWLIST { name.into() } else { format!("blacklist {name}") },
        path: path.to_path_buf(),
        kept: kept_dir.join(format!("{name}.txt")),
        max_shrink: config.lists.max_shrink,
        may_begin_empty: true,
        accept: format!("perimeterd blacklist accept {name}"),
        parse: Box::new(move |bytes, path, now| read(bytes, path, &context).map(|set| set.loaded(now))),
    }
}

/// Reads a blacklist's file as it is now, whatever is in force.
///
/// # Errors
/// The sentence why it cannot be read.
pub fn read_list(config: &config::Config, name: &str) -> Result<ListSet, String> {
    let list = config.blacklists.iter().find(|list| list.name == name);
    let path = &list.ok_or_else(|| format!("there is no blacklist `{name}`"))?.path;
    let bytes = std::fs::read(path).map_err(|e| format!("{} cannot be read ({e})", path.display()))?;
    read(&bytes, path, &context(config))
}

/// Reads a file's bytes; the sentence with file, line and excerpt otherwise.
fn read(bytes: &[u8], path: &Path, context: &ParseContext) -> Result<ListSet, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        format!("{}:{line}: the line is not UTF-8 text; save the file as UTF-8", path.display())
    })?;
    parse(text, context).map_err(|problems| {
        let first = &problems[0];
        let (line, column) = (first.line, first.column);
        let more = match problems.len() - 1 {
            0 => String::new(),
            1 => "\none more line is broken".into(),
            more => format!("\n{more} more lines are broken"),
        };
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        format!(
            "{}:{line}:{column}: {}\n {number} | {}\n {margin} | {}^{more}",
            path.display(),
            first.message,
            first.snippet,
            " ".repeat(column - 1)
        )
    })
}
