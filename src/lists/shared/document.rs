//! A shared list's document: reading, writing, and whom it names. Pure; the format is in [`super`].

use crate::{
    clock::{Timestamp, parse_end},
    ids::{Lid, Phone},
    numbering,
};
use jiff::{civil::Date, tz::TimeZone};
use std::{collections::HashSet, fmt, fmt::Write as _, sync::Arc};

/// The first line of every document that this version reads and writes.
const FIRST: &str = "perimeterd-list 1";
/// Longer lines are no lines of a list.
const LONGEST_LINE: usize = 2000;
/// Longer reasons are cut when a list is made.
const LONGEST_REASON: usize = 200;

/// Whom an entry names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whom {
    /// A number.
    Phone(u64),
    /// A LID.
    Lid(u64),
    /// A number's keyed hash.
    PhoneHash([u8; 16]),
    /// A LID's keyed hash.
    LidHash([u8; 16]),
}

impl Whom {
    fn is_hash(self) -> bool {
        matches!(self, Self::PhoneHash(_) | Self::LidHash(_))
    }

    /// The reverse of its display.
    fn parse(text: &str) -> Option<Self> {
        if let Some(digits) = text.strip_prefix('+') {
            let phone = Phone::parse(digits).filter(|phone| phone.digits() == digits)?;
            return Some(Self::Phone(phone.as_u64()));
        }
        if let Some(hash) = text.strip_prefix("h:") {
            return read_hash(hash).map(Self::PhoneHash);
        }
        if let Some(hash) = text.strip_prefix("l:") {
            return read_hash(hash).map(Self::LidHash);
        }
        Lid::parse(text).filter(|lid| lid.jid() == text).map(|lid| Self::Lid(lid.as_u64()))
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phone(digits) => write!(f, "+{digits}"),
            Self::Lid(number) => f.write_str(&Lid::from_u64(*number).jid()),
            Self::PhoneHash(hash) => write!(f, "h:{}", spelled(hash)),
            Self::LidHash(hash) => write!(f, "l:{}", spelled(hash)),
        }
    }
}

impl fmt::Debug for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&numbering::shortened(&self.to_string()))
    }
}

/// In four groups, so that no run of digits in it is ever taken for a phone number.
fn spelled(hash: &[u8; 16]) -> String {
    hash.chunks(4).map(hex::encode).collect::<Vec<_>>().join("-")
}

fn read_hash(text: &str) -> Option<[u8; 16]> {
    let mut hash = [0; 16];
    hex::decode_to_slice(text.replace('-', ""), &mut hash).ok()?;
    (spelled(&hash) == text).then_some(hash)
}

/// How entries are spelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As numbers and LIDs.
    Numbers,
    /// As hashes under the key with that id.
    Hashes(String),
}

/// What a document says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The list's name.
    pub name: String,
    /// Who publishes it.
    pub publisher: String,
    /// Rising.
    pub version: u64,
    /// When it was made.
    pub issued: Timestamp,
    /// From then on it says nothing any more.
    pub expires: Timestamp,
    /// How entries are spelled.
    pub kind: Kind,
}

/// Somebody on the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Who.
    pub whom: Whom,
    /// Why.
    pub reason: Option<Arc<str>>,
    /// The day on which the publisher listed them.
    pub added: Date,
    /// The last day on which it holds.
    pub until: Option<Date>,
}

impl Listed {
    /// When it ends: with its last day, in UTC.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.until.and_then(|day| parse_end(&day.to_string(), &TimeZone::UTC).ok())
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at().is_some_and(|end| end <= now)
    }
}

/// Somebody who was on the list and is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retraction {
    /// Who.
    pub whom: Whom,
    /// Why.
    pub reason: Option<Arc<str>>,
    /// When.
    pub on: Date,
}

/// An entry that holds no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Why, a clause.
    pub why: String,
    /// It was taken back; `false`: it has come to its end.
    pub taken_back: bool,
}

/// One version of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What it says of itself.
    pub header: Header,
    /// Sorted, each once.
    entries: Vec<Listed>,
    /// Sorted, each once.
    retractions: Vec<Retraction>,
}

impl Document {
    /// Puts one together. Of two lines about the same the first counts; who is listed is not retracted.
    pub fn new(header: Header, mut entries: Vec<Listed>, mut retractions: Vec<Retraction>) -> Self {
        entries.sort_by_key(|listed| listed.whom);
        entries.dedup_by_key(|listed| listed.whom);
        retractions.sort_by_key(|retraction| retraction.whom);
        retractions.dedup_by_key(|retraction| retraction.whom);
        retractions.retain(|retraction| seek(&entries, retraction.whom).is_none());
        Self { header, entries, retractions }
    }

    /// Everybody on it, sorted.
    pub fn entries(&self) -> &[Listed] {
        &self.entries
    }

    /// Everybody taken back, sorted.
    pub fn retractions(&self) -> &[Retraction] {
        &self.retractions
    }

    /// The entry that names somebody and is not over.
    pub fn find(&self, whom: Whom, now: Timestamp) -> Option<&Listed> {
        seek(&self.entries, whom).filter(|listed| !listed.is_over(now))
    }

    /// The retraction of an entry.
    pub fn retracted(&self, whom: Whom) -> Option<&Retraction> {
        let at = self.retractions.binary_search_by_key(&whom, |retraction| retraction.whom).ok()?;
        self.retractions.get(at)
    }

    /// What became of the entry that is spelled so; `None` while it holds.
    pub fn gone(&self, entry: &str, now: Timestamp) -> Option<Gone> {
        let gone = |taken_back, why: String| Some(Gone { why, taken_back });
        let Some(whom) = Whom::parse(entry) else { return gone(true, "it no longer holds the entry".into()) };
        match (self.retracted(whom), seek(&self.entries, whom)) {
            (_, Some(listed)) if !listed.is_over(now) => None,
            (_, Some(_)) => gone(false, "the entry has ended".into()),
            (Some(Retraction { reason: Some(reason), .. }), _) => {
                gone(true, format!("it retracts the entry: {reason}"))
            }
            (Some(_), _) => gone(true, "it retracts the entry".into()),
            (None, None) => gone(true, "it no longer holds the entry".into()),
        }
    }

    /// Whether it names phones, and LIDs.
    pub fn names(&self) -> (bool, bool) {
        let phones = |listed: &Listed| matches!(listed.whom, Whom::Phone(_) | Whom::PhoneHash(_));
        (self.entries.iter().any(phones), !self.entries.iter().all(phones))
    }

    /// How many entries of `before` are missing here though neither retracted nor over.
    pub fn lost_since(&self, before: &Self, now: Timestamp) -> usize {
        let lost = |listed: &&Listed| {
            !listed.is_over(now)
                && seek(&self.entries, listed.whom).is_none()
                && self.retracted(listed.whom).is_none()
        };
        before.entries.iter().filter(lost).count()
    }

    /// Reads a document whose signature was found good.
    ///
    /// # Errors
    /// The sentence with the line; numbers in it are shortened.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = (1..).zip(text.lines());
        let first = lines.next().map_or("", |(_, line)| line);
        if first != FIRST {
            return Err(match first.strip_prefix("perimeterd-list ") {
                Some(format) => format!(
                    "it has format {}, this version reads format 1; update perimeterd",
                    numbering::shortened(format)
                ),
                None => "it is not a shared list: it does not begin with `perimeterd-list 1`".into(),
            });
        }
        let (header, entries, retractions) = read_header(&mut lines)?;
        let mut document = Self { header, entries: Vec::new(), retractions: Vec::new() };
        let mut reasons = HashSet::new();
        for (number, line) in lines {
            read_line(line, &mut document, &mut reasons)
                .map_err(|what| format!("line {number}: {what}: {}", numbering::shortened(line)))?;
        }
        let found = (document.entries.len() as u64, document.retractions.len() as u64);
        if found != (entries, retractions) {
            return Err(format!(
                "it announces {entries} entries and {retractions} retractions and has {} and {}",
                found.0, found.1
            ));
        }
        let hashed = document.header.kind != Kind::Numbers;
        let all = document.entries.iter().map(|e| e.whom).chain(document.retractions.iter().map(|r| r.whom));
        if all.into_iter().any(|whom| whom.is_hash() != hashed) {
            return Err("it mixes numbers and hashes".into());
        }
        Ok(Self::new(document.header, document.entries, document.retractions))
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        let Header { name, publisher, version, issued, expires, kind } = &self.header;
        let kind = match kind {
            Kind::Numbers => "numbers".to_owned(),
            Kind::Hashes(id) => format!("hashes {id}"),
        };
        let (entries, retractions) = (self.entries.len(), self.retractions.len());
        let mut text = format!(
            "{FIRST}\nname: {}\npublisher: {}\nversion: {version}\nissued: {issued}\nexpires: {expires}\nkind: {kind}\n\
             entries: {entries}\nretractions: {retractions}\n\n",
            plain(name),
            plain(publisher)
        );
        let reason = |reason: &Option<Arc<str>>| {
            reason.as_ref().map_or(String::new(), |reason| format!(" reason=\"{}\"", plain(reason)))
        };
        for Listed { whom, reason: why, added, until } in &self.entries {
            let until = until.map_or(String::new(), |day| format!(" expires={day}"));
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{whom} added={added}{until}{}", reason(why));
        }
        for Retraction { whom, reason: why, on } in &self.retractions {
            let _ = writeln!(text, "retract {whom} on={on}{}", reason(why));
        }
        text
    }
}

fn seek(entries: &[Listed], whom: Whom) -> Option<&Listed> {
    entries.get(entries.binary_search_by_key(&whom, |listed| listed.whom).ok()?)
}

/// One line without quotes, of a length that people read.
pub(super) fn plain(text: &str) -> String {
    let clean = text.chars().map(|c| match c {
        '"' => '\'',
        c if c.is_control() => ' ',
        c => c,
    });
    clean.take(LONGEST_REASON).collect::<String>().trim().to_owned()
}

/// The header, and how many entries and retractions it announces.
fn read_header<'t>(lines: &mut impl Iterator<Item = (usize, &'t str)>) -> Result<(Header, u64, u64), String> {
    let mut next = |key: &str| {
        let (number, line) = lines.next().unwrap_or_default();
        check(line).map_err(|what| format!("line {number}: {what}"))?;
        line.strip_prefix(key)
            .and_then(|rest| rest.strip_prefix(": "))
            .map(str::to_owned)
            .ok_or_else(|| format!("line {number}: `{key}: …` is missing"))
    };
    let number =
        |text: String, key: &str| text.parse::<u64>().map_err(|_| format!("`{key}` is not a number"));
    let moment = |text: String, key: &str| {
        let read = text.parse::<jiff::Timestamp>().map_err(|_| format!("`{key}` is not a time"))?;
        Ok::<_, String>(Timestamp(read.as_millisecond()))
    };
    let header = Header {
        name: next("name")?,
        publisher: next("publisher")?,
        version: number(next("version")?, "version")?,
        issued: moment(next("issued")?, "issued")?,
        expires: moment(next("expires")?, "expires")?,
        kind: match next("kind")?.as_str() {
            "numbers" => Kind::Numbers,
            kind => match kind.strip_prefix("hashes ") {
                Some(id) => Kind::Hashes(id.to_owned()),
                None => return Err("`kind` is neither `numbers` nor `hashes KEYID`".into()),
            },
        },
    };
    let (entries, retractions) =
        (number(next("entries")?, "entries")?, number(next("retractions")?, "retractions")?);
    match lines.next() {
        None | Some((_, "")) => Ok((header, entries, retractions)),
        Some((number, _)) => Err(format!("line {number}: an empty line ends the header")),
    }
}

/// The same text as before, if it was there.
fn shared(text: &str, texts: &mut HashSet<Arc<str>>) -> Arc<str> {
    texts.get(text).cloned().unwrap_or_else(|| {
        let text = Arc::from(text);
        texts.insert(Arc::clone(&text));
        text
    })
}

/// Lines are shown to operators, in alerts and on terminals: none may be endless, or steer what shows it.
fn check(line: &str) -> Result<(), &'static str> {
    match () {
        () if line.len() > LONGEST_LINE => Err("the line is too long"),
        () if line.chars().any(char::is_control) => Err("the line has a control character"),
        () => Ok(()),
    }
}

/// `reasons` are those read so far: most entries of a list share theirs with many others.
fn read_line(line: &str, into: &mut Document, reasons: &mut HashSet<Arc<str>>) -> Result<(), &'static str> {
    check(line)?;
    let (retracts, rest) = match line.strip_prefix("retract ") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (whom, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let whom = Whom::parse(whom).ok_or("this is neither a number, a LID nor a hash")?;
    let (mut date, mut until, mut reason) = (None, None, None);
    let first = if retracts { "on=" } else { "added=" };
    while !rest.is_empty() {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        if let Some(day) = word.strip_prefix(first) {
            date = Some(read_day(day)?);
        } else if let Some(day) = word.strip_prefix("expires=").filter(|_| !retracts) {
            until = Some(read_day(day)?);
        } else if let Some(quoted) = rest.strip_prefix("reason=\"") {
            let (inside, after) = quoted.split_once('"').ok_or("the reason has no closing quote")?;
            reason = (!inside.is_empty()).then(|| shared(inside, reasons));
            rest = after.trim_start();
            continue;
        } else {
            return Err("there is a word that this version does not know");
        }
        rest = after;
    }
    let date = date.ok_or(if retracts { "`on=…` is missing" } else { "`added=…` is missing" })?;
    if retracts {
        into.retractions.push(Retraction { whom, reason, on: date });
    } else {
        into.entries.push(Listed { whom, reason, added: date, until });
    }
    Ok(())
}

fn read_day(text: &str) -> Result<Date, &'static str> {
    let day = if text.len() == 10 { text.parse().ok() } else { None };
    day.ok_or("this is not a date; dates are like 2027-01-31")
}
