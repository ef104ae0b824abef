//! How the files of lists are judged and read, and what is said of one that cannot be, or not whole.

use super::{
    ListSet,
    book::ALLOWLIST,
    lines::{self, Broken},
    parse::ParseContext,
};
use crate::{
    config::{self, BadLines},
    kept::{Rules, open_file},
};
use jiff::tz::TimeZone;
use std::{
    io::{BufRead, BufReader},
    path::Path,
};

/// What the reading of lists depends on.
pub(super) fn context(config: &config::Config) -> ParseContext {
    let time_zone = TimeZone::get(&config.server.time_zone).unwrap_or(TimeZone::UTC);
    ParseContext { default_country: config.lists.default_country.clone(), time_zone }
}

/// What a broken line of a list does. The allowlist is never without one of its lines: whom it would name is spared.
fn bad_lines(config: &config::Config, name: &str) -> BadLines {
    let list = config.blacklists.iter().find(|list| list.name == name && name != ALLOWLIST);
    list.map_or(BadLines::Refuse, |list| list.bad_lines.unwrap_or(config.lists.bad_lines))
}

/// How a list's file is judged and read.
pub(super) fn rules(config: &config::Config, name: &str, path: &Path, kept_dir: &Path) -> Rules<ListSet> {
    let (context, bad_lines) = (context(config), bad_lines(config, name));
    Rules {
        what: if name == ALLOWLIST { name.into() } else { format!("blacklist {name}") },
        path: path.to_path_buf(),
        kept: kept_dir.join(format!("{name}.txt")),
        max_shrink: config.lists.max_shrink,
        may_begin_empty: true,
        accept: format!("perimeterd blacklist accept {name}"),
        parse: Box::new(move |file, path, now| {
            read(file, path, &context, bad_lines).map(|set| set.loaded(now))
        }),
    }
}

/// Reads a blacklist's file as it is now, whatever is in force.
///
/// # Errors
/// The sentence why it cannot be read.
pub fn read_list(config: &config::Config, name: &str) -> Result<ListSet, String> {
    let list = config.blacklists.iter().find(|list| list.name == name);
    let path = &list.ok_or_else(|| format!("there is no blacklist `{name}`"))?.path;
    let file = open_file(path).map_err(|e| format!("{} cannot be read ({e})", path.display()))?;
    read(&mut BufReader::new(file), path, &context(config), bad_lines(config, name))
}

/// Reads a list; the sentence with file, line and excerpt otherwise.
pub(super) fn read(
    reader: &mut dyn BufRead,
    path: &Path,
    context: &ParseContext,
    bad_lines: BadLines,
) -> Result<ListSet, String> {
    let read = lines::read(reader, context, bad_lines);
    let lines = read.map_err(|error| format!("{} cannot be read ({error})", path.display()))?;
    let Some(told) = told(&lines.broken, path) else { return Ok(lines.finish(None)) };
    match bad_lines {
        BadLines::Refuse => Err(told),
        BadLines::Skip => {
            let list = lines.finish(Some(told));
            // Nothing but broken lines is another kind of file.
            if list.is_empty() { Err(list.flaw().unwrap_or_default().to_owned()) } else { Ok(list) }
        }
    }
}

/// The first broken line, and how many more there are.
fn told(broken: &Broken, path: &Path) -> Option<String> {
    let first = broken.shown.first()?;
    let (line, column) = (first.line, first.column);
    let more = match broken.count - 1 {
        0 => String::new(),
        1 => "\none more line is broken".into(),
        more => format!("\n{more} more lines are broken"),
    };
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    Some(format!(
        "{}:{line}:{column}: {}\n {number} | {}\n {margin} | {}^{more}",
        path.display(),
        first.message,
        first.snippet,
        " ".repeat(column - 1)
    ))
}
