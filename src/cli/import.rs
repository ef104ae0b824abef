//! Numbers out of what people have: a CSV, a vCard, a text. Every line that cannot be read is told with its number.

use crate::{
    api::local::Wanted,
    app::MOST_AT_ONCE,
    lists::{Line, ListBook},
    numbering,
};
use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

#[derive(Args)]
pub(super) struct Import {
    /// The file
    file: PathBuf,
    /// What it is [default: by its name and first line]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The country of national spellings, like DE [default: `default_country` under `[lists]`]
    #[arg(long, value_name = "CODE")]
    country: Option<String>,
    /// The column with the numbers, by its heading or counted from 1 [default: the one that is called so, else the first]
    #[arg(long)]
    column: Option<String>,
    /// Why, where a line says nothing itself
    #[arg(long)]
    reason: Option<String>,
    /// Until when: 30d, 12h, 2027-01-31
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// Who says so
    #[arg(long, value_name = "NAME", default_value = "cli")]
    by: String,
    /// Only tell what would be added
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// What a file may be.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns between commas, semicolons or tabs.
    Csv,
    /// Contacts as phones export them.
    Vcard,
    /// One entry a line, as in a list file.
    Text,
}

/// What a file came to.
pub(super) struct Read {
    pub(super) entries: Vec<Wanted>,
    pub(super) problems: Vec<Problem>,
}

/// A line that cannot be read.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    /// From 1.
    pub(super) line: u64,
    /// One sentence.
    pub(super) message: String,
    /// The line with its numbers shortened.
    pub(super) snippet: String,
}

/// Headings under which people keep numbers.
const HEADINGS: [&str; 12] = [
    "phone",
    "phone number",
    "phone_number",
    "phone 1 - value",
    "number",
    "tel",
    "telephone",
    "mobile",
    "mobile phone",
    "whatsapp",
    "entry",
    "msisdn",
];

/// Reads the file.
///
/// # Errors
/// If it cannot be opened, is no text, or names more than one list is to take by hand.
pub(super) fn read(import: &Import, book: &ListBook) -> anyhow::Result<Read> {
    let place = import.file.display();
    if let Some(code) = &import.country
        && !numbering::is_country(&code.to_uppercase())
    {
        bail!("`{code}` is not a country; codes are like DE or BR");
    }
    let bytes = std::fs::read(&import.file).with_context(|| format!("{place} cannot be read"))?;
    let text =
        String::from_utf8(bytes).map_err(|_| anyhow!("{place} is not UTF-8 text; save it as UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut gather = Gather { import, book, seen: HashSet::new(), entries: Vec::new(), problems: Vec::new() };
    match import.format.unwrap_or_else(|| guess(&import.file, text)) {
        Format::Text => {
            for (index, line) in text.lines().enumerate() {
                gather.line(index as u64 + 1, line, None);
            }
        }
        Format::Vcard => vcard(text, &mut gather),
        Format::Csv => csv(text, &mut gather)?,
    }
    let Gather { entries, problems, .. } = gather;
    if entries.len() > MOST_AT_ONCE {
        bail!("{place} names {} people; name the file under [[blacklists]] instead", entries.len());
    }
    Ok(Read { entries, problems })
}

fn guess(path: &Path, text: &str) -> Format {
    let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default().to_lowercase();
    let begins = text.get(..11).is_some_and(|head| head.eq_ignore_ascii_case("BEGIN:VCARD"));
    match kind.as_str() {
        _ if begins => Format::Vcard,
        "vcf" | "vcard" => Format::Vcard,
        "csv" | "tsv" => Format::Csv,
        _ => Format::Text,
    }
}

struct Gather<'a> {
    import: &'a Import,
    book: &'a ListBook,
    seen: HashSet<String>,
    entries: Vec<Wanted>,
    problems: Vec<Problem>,
}

impl Gather<'_> {
    /// Takes what stands on a line, or in a cell of it; `reason` is what another cell says.
    fn line(&mut self, number: u64, text: &str, reason: Option<&str>) {
        match self.book.read_line(text, self.country().as_deref()) {
            Ok(None) => {}
            Ok(Some(line)) => self.take(line, reason),
            Err(message) => self.problem(number, message, text),
        }
    }

    fn take(&mut self, line: Line, reason: Option<&str>) {
        if !self.seen.insert(line.spelled.entry.clone()) {
            return;
        }
        let told = reason.map(str::trim).filter(|reason| !reason.is_empty()).map(str::to_owned);
        let expires = line.expires_at.map(|end| end.to_string());
        self.entries.push(Wanted {
            entry: line.spelled.entry,
            reason: line.reason.or(told).or_else(|| self.import.reason.clone()),
            expires: expires.or_else(|| self.import.expires.clone()),
            by: Some(self.import.by.clone()),
        });
    }

    fn problem(&mut self, line: u64, message: String, text: &str) {
        self.problems.push(Problem { line, message, snippet: numbering::shortened(text.trim()) });
    }

    fn country(&self) -> Option<String> {
        self.import.country.as_ref().map(|code| code.to_uppercase())
    }
}

/// The telephone numbers of contacts: `TEL;TYPE=CELL:+49 151 …`, long lines folded. WhatsApp's own exports say the account
/// besides, as `waid=`.
fn vcard(text: &str, gather: &mut Gather<'_>) {
    let mut lines: Vec<(u64, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some((_, before))) => before.push_str(rest),
            _ => lines.push((index as u64 + 1, line.to_owned())),
        }
    }
    for (number, line) in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let mut words = name.split(';');
        let property = words.next().unwrap_or_default().rsplit('.').next().unwrap_or_default();
        if !property.eq_ignore_ascii_case("TEL") {
            continue;
        }
        let account =
            words.find_map(|word| word.strip_prefix("waid=").or_else(|| word.strip_prefix("WAID=")));
        let value = value.trim().trim_start_matches("tel:");
        gather.line(number, account.unwrap_or(value.split(';').next().unwrap_or(value)), None);
    }
}

/// The column with the numbers; a column `reason` beside it counts.
fn csv(text: &str, gather: &mut Gather<'_>) -> anyhow::Result<()> {
    let first = text.lines().next().unwrap_or_default();
    let count = |sign: u8| first.bytes().filter(|byte| *byte == sign).count();
    let delimiter = [b',', b';', b'\t'].into_iter().rev().max_by_key(|sign| count(*sign)).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut columns: Option<(usize, Option<usize>)> = None;
    for row in reader.records() {
        let row = row.map_err(|error| anyhow!("the file is no CSV: {error}"))?;
        let line = row.position().map_or(0, csv::Position::line);
        let (column, reason) = match columns {
            Some(known) => known,
            None => {
                let (known, is_heading) = heading(&row, gather.import.column.as_deref())?;
                columns = Some(known);
                if is_heading {
                    continue;
                }
                known
            }
        };
        let reason = reason.and_then(|column| row.get(column));
        match row.get(column) {
            Some(cell) => gather.line(line, cell, reason),
            None => gather.problem(line, format!("there is no column {}", column + 1), ""),
        }
    }
    Ok(())
}

/// Which column has the numbers and which the reasons, and whether the first row is the headings.
fn heading(row: &csv::StringRecord, wanted: Option<&str>) -> anyhow::Result<((usize, Option<usize>), bool)> {
    let find = |name: &str| row.iter().position(|cell| cell.eq_ignore_ascii_case(name));
    let reason = find("reason");
    let named = HEADINGS.iter().find_map(|name| find(name));
    match wanted {
        None => Ok(((named.unwrap_or(0), reason), named.is_some())),
        Some(text) => match (find(text), text.parse::<usize>()) {
            (Some(column), _) => Ok(((column, reason), true)),
            (None, Ok(number)) if number > 0 => {
                Ok(((number - 1, reason), named.is_some() || reason.is_some()))
            }
            _ => Err(anyhow!("there is no column `{text}` in the first row")),
        },
    }
}
