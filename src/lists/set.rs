//! Who is named by one list: compact sets and the look-up.

use super::{
    keys::Keys,
    notes::{self, Note, Noted},
    ranges::{Countries, Prefixes},
    resolved::{Among, Resolved},
};
use crate::{
    clock::Timestamp,
    facts::ListHit,
    ids::{Lid, Person, Phone},
    kept::Content,
};

/// What one line names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Entry {
    Number(Phone),
    Lid(Lid),
    /// Its digits, 1 to 14, the first not a zero.
    Prefix(u64),
    /// Upper-case ISO code.
    Country(Box<str>),
}

/// One list, read.
#[derive(Debug, Default)]
pub struct ListSet {
    numbers: Noted,
    lids: Noted,
    prefixes: Prefixes,
    countries: Countries,
    loaded_at: Option<Timestamp>,
    /// What was left out of it.
    flaw: Option<String>,
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
        !self.numbers().is_empty() || self.has_ranges()
    }

    /// Whether some entry could only be matched with a LID.
    pub fn needs_lid(&self) -> bool {
        !self.lids.keys().is_empty()
    }

    /// The entry that names somebody of whom only the LID is known by the number of that account.
    pub(super) fn find_hidden(&self, lid: Lid, resolved: &Resolved, now: Timestamp) -> Option<ListHit> {
        match resolved.among(self.numbers().as_slice(), lid, now) {
            Among::Is(phone) => self.find_number(phone, now),
            Among::Not | Among::Unclear => None,
        }
    }

    /// Whether nothing on it can name somebody of whom only the LID is known: every number is known to be another
    /// account's, and no rule could be about theirs.
    pub(super) fn rules_out(&self, lid: Lid, resolved: &Resolved, now: Timestamp) -> bool {
        !self.has_ranges() && resolved.among(self.numbers().as_slice(), lid, now) == Among::Not
    }

    /// At most so many of its numbers; none if there are more.
    pub(super) fn few_numbers(&self, most: usize) -> impl Iterator<Item = Phone> + '_ {
        few(self.numbers(), most).iter().filter_map(|number| Phone::from_u64(*number))
    }

    /// At most so many of its LIDs; none if there are more.
    pub(super) fn few_lids(&self, most: usize) -> impl Iterator<Item = Lid> + '_ {
        few(self.lids.keys(), most).iter().map(|number| Lid::from_u64(*number))
    }

    /// How many different entries there are.
    pub fn len(&self) -> usize {
        self.people() + self.prefixes.len() + self.countries.len()
    }

    /// How many of them name one person each.
    pub fn people(&self) -> usize {
        self.numbers().len() + self.lids.keys().len()
    }

    /// Whether it names nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was left out of it, if its broken lines were skipped.
    pub(super) fn flaw(&self) -> Option<&str> {
        self.flaw.as_deref()
    }

    fn numbers(&self) -> &Keys {
        self.numbers.keys()
    }

    fn has_ranges(&self) -> bool {
        self.prefixes.len() + self.countries.len() > 0
    }

    fn find_number(&self, phone: Phone, now: Timestamp) -> Option<ListHit> {
        let note = self.numbers.get(phone.as_u64()).filter(|note| !note.is_over(now))?;
        Some(self.hit(phone.e164(), note))
    }

    fn find_lid(&self, lid: Lid, now: Timestamp) -> Option<ListHit> {
        let note = self.lids.get(lid.as_u64()).filter(|note| !note.is_over(now))?;
        Some(self.hit(lid.jid(), note))
    }

    fn find_prefix(&self, phone: Phone, now: Timestamp) -> Option<ListHit> {
        let (prefix, note) = self.prefixes.find(phone, now)?;
        Some(self.hit(format!("+{prefix}*"), note))
    }

    fn find_country(&self, phone: Phone, now: Timestamp) -> Option<ListHit> {
        let (country, note) = self.countries.find(phone, now)?;
        Some(self.hit(format!("@{country}"), note))
    }

    fn hit(&self, entry: String, note: &Note) -> ListHit {
        ListHit {
            list: String::new(),
            entry,
            reason: note.reason.as_deref().map(Into::into),
            source: note.source.as_deref().map(Into::into),
            added_at: self.loaded_at,
            expires_at: note.expires_at,
        }
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

    fn flaw(&self) -> Option<String> {
        self.flaw.clone()
    }
}

/// All of them, or none if there are more than so many.
fn few(keys: &Keys, most: usize) -> &[u64] {
    if keys.len() <= most { keys.as_slice() } else { &[] }
}

/// Gathers the lines of a list.
#[derive(Debug, Default)]
pub(super) struct Gather {
    numbers: notes::Gather,
    lids: notes::Gather,
    prefixes: Prefixes,
    countries: Countries,
}

impl Gather {
    pub(super) fn add(&mut self, entry: Entry, note: Note) {
        match entry {
            Entry::Number(phone) => self.numbers.add(phone.as_u64(), note),
            Entry::Lid(lid) => self.lids.add(lid.as_u64(), note),
            Entry::Prefix(digits) => self.prefixes.add(digits, note),
            Entry::Country(code) => self.countries.add(code, note),
        }
    }

    /// The list, with what was left out of it.
    pub(super) fn finish(self, flaw: Option<String>) -> ListSet {
        ListSet {
            numbers: self.numbers.finish(),
            lids: self.lids.finish(),
            prefixes: self.prefixes,
            countries: self.countries,
            loaded_at: None,
            flaw,
        }
    }
}
