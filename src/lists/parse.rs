//! The text of a list: one entry a line, what may stand behind it, and what is wrong with a line.
//!
//! Excerpts in problems are shortened like every number in a log: two digits at either end.

use super::set::{Entry, Gather, ListSet, Note};
use crate::{
    clock::parse_end,
    ids::{Jid, Phone},
    numbering,
};
use jiff::tz::TimeZone;

/// What the reading of a list depends on.
#[derive(Clone, Debug)]
pub struct ParseContext {
    /// ISO code of the country whose national spellings are read; `None`: they are refused.
    pub default_country: Option<String>,
    /// Where an expiry date's day ends.
    pub time_zone: TimeZone,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineProblem {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// One sentence.
    pub message: String,
    /// The line with its numbers shortened.
    pub snippet: String,
}

/// After so many broken lines the rest is not looked at.
const MOST_PROBLEMS: usize = 20;

/// Reads a list.
///
/// # Errors
/// The broken lines, at least one and at most twenty: then nothing of the list counts.
pub fn parse(text: &str, context: &ParseContext) -> Result<ListSet, Vec<LineProblem>> {
    let mut gather = Gather::default();
    let mut problems = Vec::new();
    for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        match read_line(line, context) {
            Ok(Some((entry, note))) => gather.add(entry, note),
            Ok(None) => {}
            Err((at, message)) => {
                let column = line.get(..at).map_or(1, |before| before.chars().count() + 1);
                problems.push(LineProblem {
                    line: index + 1,
                    column,
                    message,
                    snippet: numbering::shortened(line.trim_end()),
                });
                if problems.len() == MOST_PROBLEMS {
                    break;
                }
            }
        }
    }
    if problems.is_empty() { Ok(gather.finish()) } else { Err(problems) }
}

/// Where in the line, in bytes, and what.
pub(super) type Wrong = (usize, String);

pub(super) fn read_line(line: &str, context: &ParseContext) -> Result<Option<(Entry, Note)>, Wrong> {
    let start = line.len() - line.trim_start().len();
    let end = end_of_entry(line);
    let head = line.get(start..end).unwrap_or_default().trim_end();
    if head.is_empty() {
        let rest = line[start..].trim_end();
        let is_blank = rest.is_empty() || rest.starts_with('#');
        return if is_blank { Ok(None) } else { Err((start, "a line must begin with whom it names".into())) };
    }
    let entry = read_entry(head, context).map_err(|message| (start, message))?;
    Ok(Some((entry, read_note(line, end, context)?)))
}

/// Where the entry ends: at a comment, or at the first word with `=`.
fn end_of_entry(line: &str) -> usize {
    let comment = line.find('#').unwrap_or(line.len());
    let before = &line[..comment];
    let word = before.find('=').map(|equals| {
        let head = &before[..equals];
        head.rfind(char::is_whitespace)
            .map_or(0, |at| at + head[at..].chars().next().map_or(1, char::len_utf8))
    });
    word.unwrap_or(comment)
}

pub(super) fn read_entry(head: &str, context: &ParseContext) -> Result<Entry, String> {
    if let Some(code) = head.strip_prefix('@') {
        let code = code.to_uppercase();
        return match numbering::is_country(&code) {
            true => Ok(Entry::Country(code.into())),
            false => Err("this is not a country; codes are like @PK".into()),
        };
    }
    if head.contains('@') {
        return match Jid::parse(head) {
            Some(Jid::Phone(phone)) => Ok(Entry::Number(phone)),
            Some(Jid::Lid(lid)) => Ok(Entry::Lid(lid)),
            _ => Err("this is not the id of a person; ids end in @c.us, @s.whatsapp.net or @lid".into()),
        };
    }
    if let Some(prefix) = head.strip_suffix('*') {
        let digits = prefix.strip_prefix('+').or_else(|| prefix.strip_prefix("00")).unwrap_or(prefix);
        let fits = (1..=14).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        return match fits {
            true => Ok(Entry::Prefix(digits.into())),
            false => Err("this is not a prefix; prefixes are like +92*".into()),
        };
    }
    let phone = Phone::parse(head).or_else(|| numbering::spelled(head, context.default_country.as_deref()));
    phone.map(Entry::Number).ok_or_else(|| {
        let looks_national = head.chars().all(|c| c.is_ascii_digit() || " -()./".contains(c));
        match (looks_national, &context.default_country) {
            (true, None) => {
                "this is not an international number; write +49…, or set `default_country` in [lists] \
                             for national spellings"
                    .into()
            }
            (true, Some(country)) => format!("this is neither an international number nor one of {country}"),
            _ => "this is not a number, id, prefix or country; write +49…, …@lid, +92* or @PK".into(),
        }
    })
}

/// Reads `reason=… expires=… # comment` from a byte of the line on.
fn read_note(line: &str, from: usize, context: &ParseContext) -> Result<Note, Wrong> {
    let mut note = Note::default();
    let mut at = from;
    loop {
        at += line[at..].len() - line[at..].trim_start().len();
        let rest = &line[at..];
        if rest.is_empty() || rest.starts_with('#') {
            return Ok(note);
        }
        if let Some(value) = rest.strip_prefix("reason=") {
            let value_at = at + "reason=".len();
            let (reason, length) = read_reason(value).map_err(|message| (value_at, message))?;
            note.reason = (!reason.is_empty()).then(|| reason.into());
            at = value_at + length;
        } else if let Some(value) = rest.strip_prefix("expires=") {
            let value_at = at + "expires=".len();
            let length = value.find(|c: char| c.is_whitespace() || c == '#').unwrap_or(value.len());
            note.expires_at =
                Some(parse_end(&value[..length], &context.time_zone).map_err(|m| (value_at, m))?);
            at = value_at + length;
        } else {
            return Err((at, "only `reason=…`, `expires=2027-01-31` and `# comments` may stand here".into()));
        }
    }
}

/// A reason, quoted or up to ` expires=` or a comment, and how many bytes it took.
fn read_reason(value: &str) -> Result<(&str, usize), String> {
    if let Some(quoted) = value.strip_prefix('"') {
        let end = quoted.find('"').ok_or("the quoted reason has no closing quote")?;
        return Ok((&quoted[..end], end + 2));
    }
    let comment = value.find('#').unwrap_or(value.len());
    let end = value[..comment].find(" expires=").unwrap_or(comment);
    Ok((value[..end].trim(), end))
}
