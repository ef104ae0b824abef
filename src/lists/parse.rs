//! A line of a list: whom it names, what may stand behind that, and what is wrong with it. Pure.

use super::{notes::Note, set::Entry};
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
        return match digits.parse() {
            Ok(digits) if fits => Ok(Entry::Prefix(digits)),
            _ => Err("this is not a prefix; prefixes are like +92*".into()),
        };
    }
    let phone = Phone::parse(head).or_else(|| numbering::spelled(head, context.default_country.as_deref()));
    phone.map(Entry::Number).ok_or_else(|| {
        let looks_national = head.chars().all(|c| c.is_ascii_digit() || numbering::is_between_digits(c));
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

/// What may stand behind an entry.
const KEYS: [&str; 3] = ["reason=", "source=", "expires="];

/// Reads `reason=… source=… expires=… # comment` from a byte of the line on.
fn read_note(line: &str, from: usize, context: &ParseContext) -> Result<Note, Wrong> {
    let mut note = Note::default();
    let mut at = from;
    loop {
        at += line[at..].len() - line[at..].trim_start().len();
        let rest = &line[at..];
        if rest.is_empty() || rest.starts_with('#') {
            return Ok(note);
        }
        let Some(key) = KEYS.into_iter().find(|key| rest.starts_with(key)) else {
            let known = "only `reason=…`, `source=…`, `expires=2027-01-31` and `# comments` may stand here";
            return Err((at, known.into()));
        };
        let value_at = at + key.len();
        let (text, length) = read_value(key, &line[value_at..]).map_err(|(at, why)| (value_at + at, why))?;
        let is_second = match key {
            "reason=" => note.reason.is_some(),
            "source=" => note.source.is_some(),
            _ => note.expires_at.is_some(),
        };
        if is_second {
            return Err((at, format!("`{key}…` stands twice on the line; leave one")));
        }
        let kept = || (!text.is_empty()).then(|| text.into());
        match key {
            "reason=" => note.reason = kept(),
            "source=" => note.source = kept(),
            _ => {
                let end = parse_end(text, &context.time_zone).map_err(|message| (value_at, message))?;
                note.expires_at = Some(end);
            }
        }
        at = value_at + length;
    }
}

/// A value, quoted or up to the next key or a comment, and how many bytes it took. A date is one word.
fn read_value<'a>(key: &str, value: &'a str) -> Result<(&'a str, usize), Wrong> {
    if let Some(quoted) = value.strip_prefix('"') {
        let name = key.trim_end_matches('=');
        let end = quoted.find('"').ok_or_else(|| (0, format!("the quoted {name} has no closing quote")))?;
        return Ok((&quoted[..end], end + 2));
    }
    let comment = value.find('#').unwrap_or(value.len());
    let end = match key {
        "expires=" => value[..comment].find(char::is_whitespace),
        _ => next_key(&value[..comment]),
    };
    let end = end.unwrap_or(comment);
    match misspelt(&value[..end]) {
        Some((at, key)) => {
            Err((at, format!("write `{key}` in small letters and without a space, or quote the text")))
        }
        None => Ok((value[..end].trim(), end)),
    }
}

/// Where a word begins that is another key.
fn next_key(value: &str) -> Option<usize> {
    let spaces = value.char_indices().filter(|(_, c)| c.is_whitespace());
    let mut words = spaces.map(|(at, space)| at + space.len_utf8());
    words.find(|at| KEYS.iter().any(|key| value[*at..].starts_with(key)))
}

/// Where a text has a word that would be a key in another spelling: `Expires=`, `expires =`. As a part of a reason it would
/// end nothing.
fn misspelt(value: &str) -> Option<(usize, &'static str)> {
    value.match_indices('=').find_map(|(at, _)| {
        let before = value[..at].trim_end();
        let word = before.rsplit(char::is_whitespace).next().unwrap_or(before);
        let key = KEYS.into_iter().find(|key| word.eq_ignore_ascii_case(key.trim_end_matches('=')))?;
        Some((before.len() - word.len(), key))
    })
}
