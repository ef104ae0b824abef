//! Who is named by one list: compact sets and the look-up.
//!
//! Ten million numbers are a sorted vector of 8 bytes each; reasons and ends are beside it, for those that have one.

use super::resolved::{Among, Resolved};
use crate::{
    clock::Timestamp,
    facts::ListHit,
    ids::{Lid, Person, Phone},
    kept::Content,
    numbering,
};
use std::collections::HashMap;

/// What stands behind an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) reason: Option<Box<str>>,
    pub(super) expires_at: Option<Timestamp>,
}

impl Note {
    fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Two lines about the same: the longer one counts, a reason is not lost.
    fn merge(&mut self, other: Self) {
        self.expires_at = match (self.expires_at, other.expires_at) {
            (Some(one), Some(two)) => Some(one.max(two)),
            _ => None,
        };
        self.reason = self.reason.take().or(other.reason);
    }
}

/// What one line names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Entry {
    Number(Phone),
    Lid(Lid),
    /// Digits without plus and star.
    Prefix(Box<str>),
    /// Upper-case ISO code.
    Country(Box<str>),
}

/// One list, read.
#[derive(Debug, Default)]
pub struct ListSet {
    numbers: Vec<u64>,
    notes: HashMap<u64, Note>,
    lids: HashMap<Lid, Note>,
    prefixes: HashMap<Box<str>, Note>,
    countries: HashMap<Box<str>, Note>,
    loaded_at: Option<Timestamp>,
}

impl ListSet {
    /// The first entry that names somebody and is not over: by number, by LID, by the longest prefix, by country.
    /// `ListHit::list` is left empty for the caller, who knows the list's name.
    pub fn find(&self, person: Person, now: Timestamp) -> Option<ListHit> {
        let by_phone = person.phone.and_then(|phone| self.find_number(phone, now));
        let by_lid = || self.find_lid(person.lid?, now);
        let by_rule =
            || self.find_prefix(person.phone?, now).or_else(|| self.find_country(person.phone?, now));
        by_phone.or_else(by_lid).or_else(by_rule)
    }

    /// Whether some entry could only be matched with a phone.
    pub fn needs_phone(&self) -> bool {
        !(self.numbers.is_empty() && self.prefixes.is_empty() && self.countries.is_empty())
    }

    /// Whether some entry could only be matched with a LID.
    pub fn needs_lid(&self) -> bool {
        !self.lids.is_empty()
    }

    /// The entry that names somebody of whom only the LID is known by the number of that account.
    pub(super) fn find_hidden(&self, lid: Lid, resolved: &Resolved, now: Timestamp) -> Option<ListHit> {
        match resolved.among(&self.numbers, lid, now) {
            Among::Is(phone) => self.find_number(phone, now),
            Among::Not | Among::Unclear => None,
        }
    }

    /// Whether nothing on it can name somebody of whom only the LID is known: every number is known to be another
    /// account's, and no rule could be about theirs.
    pub(super) fn rules_out(&self, lid: Lid, resolved: &Resolved, now: Timestamp) -> bool {
        let has_rules = !(self.prefixes.is_empty() && self.countries.is_empty());
        !has_rules && resolved.among(&self.numbers, lid, now) == Among::Not
    }

    /// At most so many of its numbers; none if there are more.
    pub(super) fn few_numbers(&self, most: usize) -> impl Iterator<Item = Phone> + '_ {
        let numbers = if self.numbers.len() <= most { self.numbers.as_slice() } else { &[] };
        numbers.iter().filter_map(|number| Phone::from_u64(*number))
    }

    /// At most so many of its LIDs; none if there are more.
    pub(super) fn few_lids(&self, most: usize) -> impl Iterator<Item = Lid> + '_ {
        let few = self.lids.len() <= most;
        self.lids.keys().filter(move |_| few).copied()
    }

    /// How many different entries there are.
    pub fn len(&self) -> usize {
        self.numbers.len() + self.lids.len() + self.prefixes.len() + self.countries.len()
    }

    /// How many of them name one person each.
    pub fn people(&self) -> usize {
        self.numbers.len() + self.lids.len()
    }

    /// Whether it names nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find_number(&self, phone: Phone, now: Timestamp) -> Option<ListHit> {
        self.numbers.binary_search(&phone.as_u64()).ok()?;
        let none = Note::default();
        self.hit(phone.e164(), self.notes.get(&phone.as_u64()).unwrap_or(&none), now)
    }

    fn find_lid(&self, lid: Lid, now: Timestamp) -> Option<ListHit> {
        self.hit(lid.jid(), self.lids.get(&lid)?, now)
    }

    fn find_prefix(&self, phone: Phone, now: Timestamp) -> Option<ListHit> {
        if self.prefixes.is_empty() {
            return None;
        }
        let digits = phone.digits();
        let prefixes = (1..=digits.len()).rev().map(|length| &digits[..length]);
        prefixes
            .into_iter()
            .find_map(|prefix| self.hit(format!("+{prefix}*"), self.prefixes.get(prefix)?, now))
    }

    fn find_country(&self, phone: Phone, now: Timestamp) -> Option<ListHit> {
        if self.countries.is_empty() {
            return None;
        }
        let country = numbering::country_of(phone)?;
        self.hit(format!("@{country}"), self.countries.get(country.as_str())?, now)
    }

    fn hit(&self, entry: String, note: &Note, now: Timestamp) -> Option<ListHit> {
        (!note.is_over(now)).then(|| ListHit {
            list: String::new(),
            entry,
            reason: note.reason.as_deref().map(Into::into),
            added_at: self.loaded_at,
            expires_at: note.expires_at,
        })
    }

    /// Says when the list was taken: what its hits show as `added_at`.
    pub(super) fn loaded(mut self, at: Timestamp) -> Self {
        self.loaded_at = Some(at);
        self
    }
}

impl Content for ListSet {
    fn entries(&self) -> usize {
        self.len()
    }
}

/// Gathers the lines of a list.
#[derive(Debug, Default)]
pub(super) struct Gather {
    set: ListSet,
    /// How many lines spelled out a note for a number.
    noted: HashMap<u64, usize>,
}

impl Gather {
    pub(super) fn add(&mut self, entry: Entry, note: Note) {
        let merge = |slot: &mut Note, note: Note| slot.merge(note);
        match entry {
            Entry::Number(phone) => {
                self.set.numbers.push(phone.as_u64());
                if note != Note::default() {
                    *self.noted.entry(phone.as_u64()).or_default() += 1;
                    add_note(&mut self.set.notes, phone.as_u64(), note, merge);
                }
            }
            Entry::Lid(lid) => add_note(&mut self.set.lids, lid, note, merge),
            Entry::Prefix(prefix) => add_note(&mut self.set.prefixes, prefix, note, merge),
            Entry::Country(country) => add_note(&mut self.set.countries, country, note, merge),
        }
    }

    pub(super) fn finish(mut self) -> ListSet {
        let set = &mut self.set;
        set.numbers.sort_unstable();
        // A number that also stands on a line without an end has no end.
        for (number, noted) in &self.noted {
            let first = set.numbers.partition_point(|other| other < number);
            let after = set.numbers.partition_point(|other| other <= number);
            if let (true, Some(note)) = (after - first > *noted, set.notes.get_mut(number)) {
                note.expires_at = None;
            }
        }
        set.numbers.dedup();
        set.numbers.shrink_to_fit();
        self.set
    }
}

fn add_note<K: std::hash::Hash + Eq>(
    notes: &mut HashMap<K, Note>,
    key: K,
    note: Note,
    merge: impl Fn(&mut Note, Note),
) {
    match notes.get_mut(&key) {
        Some(slot) => merge(slot, note),
        None => {
            notes.insert(key, note);
        }
    }
}
