//! What a source's own words and times mean to us.

use super::status_of;
use crate::{
    clock::{Timestamp, parse_end},
    facts::Status,
    numbering,
};
use jiff::{civil, tz::TimeZone};
use serde_json::Value as Json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

/// So many foreign words are remembered and told: more of them are no words for a status.
pub(super) const MOST_FOREIGN: usize = 20;

/// The owner's words for our statuses, and the foreign words that were met.
#[derive(Debug, Default)]
pub(super) struct Words {
    map: BTreeMap<String, Status>,
    foreign: Mutex<BTreeSet<String>>,
}

impl Words {
    pub(super) fn new(map: BTreeMap<String, Status>) -> Self {
        Self { map, foreign: Mutex::default() }
    }

    /// What a word means; unknown for a foreign one, which is kept.
    pub(super) fn status(&self, word: &str) -> Status {
        status_of(word, &self.map).unwrap_or_else(|| {
            let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
            if foreign.len() < MOST_FOREIGN {
                foreign.insert(presentable(word));
            }
            Status::Unknown
        })
    }

    /// The foreign words that were met so far.
    pub(super) fn foreign(&self) -> BTreeSet<String> {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a word has a meaning.
    pub(super) fn understands(&self, word: &str) -> bool {
        status_of(word, &self.map).is_some()
    }
}

/// A foreign word as it may be shown: whatever stands where a word should be, it is short, on one line, and no number.
pub(super) fn presentable(word: &str) -> String {
    let line = word.split_whitespace().collect::<Vec<_>>().join(" ");
    numbering::shortened(&line).chars().take(40).collect()
}

/// A value of an answer, as far as databases and JSON agree on what there is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Nothing,
    Text(String),
    Whole(i64),
    Fraction(f64),
    /// A day without a time.
    Day(civil::Date),
    /// A day and a time without a zone.
    Local(civil::DateTime),
    /// A moment.
    Moment(Timestamp),
    /// Something that is none of these.
    Strange,
}

impl Cell {
    /// The value as a word; `None` for nothing, an empty text and what is no word.
    pub(super) fn word(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Self::Whole(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// When something ends. `Some(None)` for never: nothing, an empty text, zero, a date of zeros, `infinity`.
    pub(super) fn end(&self, zone: &TimeZone) -> Option<Option<Timestamp>> {
        match self {
            Self::Nothing | Self::Whole(0) => Some(None),
            Self::Whole(number) => (*number > 0).then(|| Some(Timestamp::from_wire(*number))),
            // Seconds with a fraction, as `extract(epoch from …)` gives them.
            Self::Fraction(number) if *number >= 0.0 && *number < 1e15 =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "bounded in the line above")]
                Self::Whole(*number as i64).end(zone)
            }
            Self::Moment(moment) => Some(Some(*moment)),
            Self::Day(day) => parse_end(&day.to_string(), zone).ok().map(Some),
            Self::Local(local) => {
                let moment = local.to_zoned(zone.clone()).ok()?.timestamp();
                Some(Some(Timestamp(moment.as_millisecond())))
            }
            Self::Text(text) => end_of_text(text.trim(), zone),
            Self::Fraction(_) | Self::Strange => None,
        }
    }
}

fn end_of_text(text: &str, zone: &TimeZone) -> Option<Option<Timestamp>> {
    if text.is_empty() || text == "infinity" || text.starts_with("0000-00-00") {
        return Some(None);
    }
    if let Ok(number) = text.parse::<i64>() {
        return Cell::Whole(number).end(zone);
    }
    if let Ok(end) = parse_end(text, zone) {
        return Some(Some(end));
    }
    // A day and a time without a zone; a bare day was read above.
    if text.len() <= 10 {
        return None;
    }
    Cell::Local(text.parse().ok()?).end(zone)
}

impl From<&Json> for Cell {
    fn from(value: &Json) -> Self {
        match value {
            Json::Null => Self::Nothing,
            Json::String(text) => Self::Text(text.clone()),
            Json::Bool(yes) => Self::Text(yes.to_string()),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Self::Whole(whole),
                (None, Some(fraction)) => Self::Fraction(fraction),
                (None, None) => Self::Strange,
            },
            Json::Array(_) | Json::Object(_) => Self::Strange,
        }
    }
}
