//! The subscription file: `phone,status,plan,expires_at`, one row a person.

use super::{
    status_of,
    words::{MOST_FOREIGN, presentable},
};
use crate::{
    clock::parse_end,
    facts::{Status, Subscription},
    ids::Phone,
    kept::Content,
    numbering,
};
use jiff::tz::TimeZone;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::BufRead,
    path::Path,
};

/// The file, read.
#[derive(Debug, Default)]
pub(super) struct Roll {
    rows: HashMap<Phone, Subscription>,
    foreign: BTreeSet<String>,
}

impl Roll {
    /// Of whom another file says something else.
    pub(super) fn differences<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Phone> + 'a {
        let ours = self.rows.iter().filter(|(phone, row)| other.get(**phone) != Some(*row));
        ours.chain(other.rows.iter().filter(|(phone, _)| !self.rows.contains_key(phone)))
            .map(|(phone, _)| *phone)
    }

    /// Words for a status that have no meaning here.
    pub(super) fn foreign(&self) -> BTreeSet<String> {
        self.foreign.iter().take(MOST_FOREIGN).map(|word| presentable(word)).collect()
    }

    /// What the file says of a number; `None` if it does not name it.
    pub(super) fn get(&self, phone: Phone) -> Option<&Subscription> {
        self.rows.get(&phone)
    }
}

impl Content for Roll {
    fn entries(&self) -> usize {
        self.rows.len()
    }

    fn remarks(&self) -> Option<String> {
        if self.foreign.is_empty() {
            return None;
        }
        let words: Vec<String> = self.foreign.iter().take(5).map(|word| format!("`{word}`")).collect();
        Some(format!("status unknown for the words {}: name them in `status_map`", words.join(", ")))
    }
}

/// What the reading depends on.
#[derive(Clone, Debug)]
pub(super) struct RollContext {
    pub(super) status_map: BTreeMap<String, Status>,
    pub(super) time_zone: TimeZone,
}

/// Where the columns are.
struct Columns {
    phone: usize,
    status: usize,
    plan: Option<usize>,
    expires_at: Option<usize>,
}

/// Reads the file's bytes; the sentence with file and line otherwise. Values are never shown: they are numbers.
pub(super) fn read(file: &mut dyn BufRead, path: &Path, context: &RollContext) -> Result<Roll, String> {
    // The reader itself leaves out a byte order mark.
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let place = |line: u64, message: String| format!("{}:{line}: {message}", path.display());
    let header = reader.headers().map_err(|error| broken(&error, path))?;
    if header.iter().all(str::is_empty) {
        return Ok(Roll::default());
    }
    let columns = columns(header).map_err(|message| place(1, message))?;
    let mut roll = Roll::default();
    for record in reader.records() {
        let record = record.map_err(|error| broken(&error, path))?;
        let line = record.position().map_or(0, csv::Position::line);
        let (phone, subscription, foreign) =
            row(&record, &columns, context).map_err(|message| place(line, message))?;
        roll.foreign.extend(foreign);
        match roll.rows.get_mut(&phone) {
            Some(present) if present.reach() > subscription.reach() => {}
            Some(present) => *present = subscription,
            None => {
                roll.rows.insert(phone, subscription);
            }
        }
    }
    Ok(roll)
}

/// An error of the CSV reader, without the text of the file.
fn broken(error: &csv::Error, path: &Path) -> String {
    let line = error.position().map_or(1, csv::Position::line);
    let what = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} fields, the header has {expected_len}; complete it")
        }
        csv::ErrorKind::Utf8 { .. } => "the row is not UTF-8 text; save the file as UTF-8".into(),
        _ => "the row is not CSV; mend it".into(),
    };
    format!("{}:{line}: {what}", path.display())
}

fn columns(header: &csv::StringRecord) -> Result<Columns, String> {
    let names: Vec<String> = header.iter().map(str::to_lowercase).collect();
    let find = |wanted: &str| names.iter().position(|name| name == wanted);
    let required = |wanted: &str| {
        find(wanted).ok_or_else(|| {
            format!("the column `{wanted}` is missing; the first line must be phone,status,plan,expires_at")
        })
    };
    // A misspelt optional column would silently mean "no end": refuse what comes near.
    for wanted in ["plan", "expires_at"] {
        let near = names.iter().find(|name| strsim::jaro_winkler(name, wanted) > 0.85);
        if let (None, Some(near)) = (find(wanted), near) {
            return Err(format!("unknown column `{near}`; did you mean `{wanted}`?"));
        }
    }
    Ok(Columns {
        phone: required("phone")?,
        status: required("status")?,
        plan: find("plan"),
        expires_at: find("expires_at"),
    })
}

/// A row, and the status word if nobody knows it.
fn row(
    record: &csv::StringRecord,
    columns: &Columns,
    context: &RollContext,
) -> Result<(Phone, Subscription, Option<String>), String> {
    let field =
        |index: Option<usize>| index.and_then(|index| record.get(index)).filter(|text| !text.is_empty());
    let phone = field(Some(columns.phone)).ok_or("the row has no phone; fill it or remove the row")?;
    let phone = numbering::spelled(phone, None)
        .ok_or("the phone is not an international number; write it like +4915112345678")?;
    let word = field(Some(columns.status)).ok_or("the row has no status; fill it or remove the row")?;
    let expires_at = field(columns.expires_at).map(|text| parse_end(text, &context.time_zone)).transpose();
    let expires_at = expires_at.map_err(
        |_| "`expires_at` is neither a date like 2027-01-31 nor a time like 2027-01-31T12:00:00Z; correct it",
    )?;
    let status = status_of(word, &context.status_map);
    let foreign = status.is_none().then(|| numbering::shortened(word));
    let status = status.unwrap_or(Status::Unknown);
    Ok((phone, Subscription { status, plan: field(columns.plan).map(Into::into), expires_at }, foreign))
}
