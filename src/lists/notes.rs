//! What stands behind the entries of a list: reasons, sources and ends, apart from the entries, for those that have any.
//!
//! Lists say the same of many: each note is kept once, and who has it by its number.

use super::keys::Keys;
use crate::clock::Timestamp;
use std::collections::HashMap;

/// What stands behind an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Note {
    pub(super) reason: Option<Box<str>>,
    /// Where the list has it from.
    pub(super) source: Option<Box<str>>,
    pub(super) expires_at: Option<Timestamp>,
}

impl Note {
    /// Behind most entries stands nothing.
    pub(super) const NONE: Self = Self { reason: None, source: None, expires_at: None };

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Two lines about the same: the longer one counts, the first reason and source are not lost.
    pub(super) fn merge(&mut self, other: &Self) {
        self.expires_at = match (self.expires_at, other.expires_at) {
            (Some(one), Some(two)) => Some(one.max(two)),
            _ => None,
        };
        self.reason = self.reason.take().or_else(|| other.reason.clone());
        self.source = self.source.take().or_else(|| other.source.clone());
    }
}

/// Numbers, each with its note.
#[derive(Debug, Default)]
pub(super) struct Noted {
    keys: Keys,
    /// Those that have a note, and which one.
    with: Keys,
    which: Vec<u32>,
    notes: Vec<Note>,
}

impl Noted {
    /// The note of a number; `None` if it is not in.
    pub(super) fn get(&self, key: u64) -> Option<&Note> {
        self.keys.position(key)?;
        let note = self.with.position(key).and_then(|at| self.notes.get(self.which[at] as usize));
        Some(note.unwrap_or(&Note::NONE))
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }
}

/// Gathers numbers with their notes, in the order of the lines.
#[derive(Debug, Default)]
pub(super) struct Gather {
    keys: Vec<u64>,
    /// Of the lines that say something.
    said: Vec<(u64, u32)>,
    notes: Interner,
}

impl Gather {
    pub(super) fn add(&mut self, key: u64, note: Note) {
        self.keys.push(key);
        if note != Note::NONE {
            let note = self.notes.number(note);
            self.said.push((key, note));
        }
    }

    /// One note for each number: what its lines come to.
    pub(super) fn finish(mut self) -> Noted {
        // Stable: of two reasons the first one counts.
        self.said.sort_by_key(|(key, _)| *key);
        self.keys.sort_unstable();
        let (mut with, mut which) = (Vec::new(), Vec::new());
        for lines in self.said.chunk_by(|one, two| one.0 == two.0) {
            let key = lines[0].0;
            let first = self.keys.partition_point(|other| *other < key);
            let times =
                self.keys[first..].iter().take(lines.len() + 1).filter(|other| **other == key).count();
            // A number that also stands on a line that says nothing has no end.
            let is_plain_too = times > lines.len();
            let note = match lines {
                [(_, note)] if !is_plain_too => *note,
                lines => self.notes.number(self.notes.merged(lines, is_plain_too)),
            };
            with.push(key);
            which.push(note);
        }
        let mut notes = self.notes.notes;
        notes.shrink_to_fit();
        Noted { keys: Keys::new(self.keys), with: Keys::new(with), which, notes }
    }
}

/// Each note once.
#[derive(Debug, Default)]
pub(super) struct Interner {
    numbers: HashMap<Note, u32>,
    notes: Vec<Note>,
}

impl Interner {
    /// Its number: the same for equal ones.
    pub(super) fn number(&mut self, note: Note) -> u32 {
        if let Some(number) = self.numbers.get(&note) {
            return *number;
        }
        let number = u32::try_from(self.notes.len()).unwrap_or(u32::MAX);
        self.notes.push(note.clone());
        self.numbers.insert(note, number);
        number
    }

    /// The note of a number that was given out.
    pub(super) fn get(&self, number: u32) -> &Note {
        &self.notes[number as usize]
    }

    fn merged(&self, lines: &[(u64, u32)], and_plain: bool) -> Note {
        let mut notes = lines.iter().map(|(_, note)| &self.notes[*note as usize]);
        let mut merged = notes.next().cloned().unwrap_or_default();
        notes.for_each(|note| merged.merge(note));
        if and_plain {
            merged.expires_at = None;
        }
        merged
    }
}
