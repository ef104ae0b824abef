//! Entries that name many at once: prefixes and countries.

use super::notes::{Interner, Note};
use crate::{clock::Timestamp, ids::Phone, numbering};
use std::collections::HashMap;

/// The prefixes of a list. A prefix never begins with a zero, so its digits are a number like any other.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    /// Which note each has. A person is looked for once in each length: with the standard hasher that would be the
    /// dearest part of a look-up.
    which: HashMap<u64, u32, foldhash::fast::RandomState>,
    notes: Interner,
    /// Bit n: there are prefixes of n digits. Only those lengths are looked for.
    lengths: u32,
}

impl Prefixes {
    /// Another line about a prefix of 1 to 14 digits that does not begin with a zero.
    pub(super) fn add(&mut self, digits: u64, note: Note) {
        self.lengths |= 1 << length_of(digits);
        let note = match self.which.get(&digits) {
            Some(present) => {
                let mut merged = self.notes.get(*present).clone();
                merged.merge(&note);
                merged
            }
            None => note,
        };
        self.which.insert(digits, self.notes.number(note));
    }

    /// The longest prefix that stands, with its note.
    pub(super) fn find(&self, phone: Phone, now: Timestamp) -> Option<(u64, &Note)> {
        let mut prefix = phone.as_u64();
        let mut lengths = self.lengths & ((2 << length_of(prefix)) - 1);
        let mut length = length_of(prefix);
        while lengths != 0 {
            // The longest of the lengths that are left.
            let next = lengths.ilog2();
            prefix /= 10_u64.pow(length - next);
            length = next;
            lengths ^= 1 << next;
            let note = self.which.get(&prefix).map(|which| self.notes.get(*which));
            if let Some(note) = note.filter(|note| !note.is_over(now)) {
                return Some((prefix, note));
            }
        }
        None
    }

    pub(super) fn len(&self) -> usize {
        self.which.len()
    }
}

/// How many digits a number has.
fn length_of(digits: u64) -> u32 {
    digits.checked_ilog10().unwrap_or_default() + 1
}

/// The countries of a list, by upper-case ISO code.
#[derive(Debug, Default)]
pub(super) struct Countries(HashMap<Box<str>, Note>);

impl Countries {
    /// Another line about a country.
    pub(super) fn add(&mut self, code: Box<str>, note: Note) {
        match self.0.get_mut(&code) {
            Some(present) => present.merge(&note),
            None => drop(self.0.insert(code, note)),
        }
    }

    /// The country of a number, with its note.
    pub(super) fn find(&self, phone: Phone, now: Timestamp) -> Option<(String, &Note)> {
        if self.0.is_empty() {
            return None;
        }
        let country = numbering::country_of(phone)?;
        let note = self.0.get(country.as_str()).filter(|note| !note.is_over(now))?;
        Some((country, note))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
