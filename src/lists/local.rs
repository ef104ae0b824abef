//! The daemon's own list, as it stands: additions, and exceptions from every list. Pure; the store keeps it.
//!
//! Beside [`super::ListSet`] it has few entries, which come and go one by one and each say who and why.

use super::{
    parse::{ParseContext, read_entry, read_line},
    resolved::{Among, Resolved},
    set::Entry,
};
use crate::{
    clock::Timestamp,
    facts::ListHit,
    ids::{Lid, Person, Phone},
    numbering,
    store::{LocalEntry, LocalKind},
};
use sha2::{Digest as _, Sha256};
use std::{collections::HashMap, sync::Arc};

/// Its name in facts.
pub(super) const LOCAL: &str = "local";

/// What a line or a command names, as the lists spell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spelled {
    /// `+49…`, `…@lid`, `+92*`, `@PK`.
    pub entry: String,
    /// Whom it names; nobody for a prefix or a country.
    pub person: Person,
}

/// A line of a list, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Whom it names.
    pub spelled: Spelled,
    /// Its reason.
    pub reason: Option<String>,
    /// Its end.
    pub expires_at: Option<Timestamp>,
}

/// Reads an entry in any form that a list may have.
///
/// # Errors
/// One sentence, for anything else.
pub(super) fn spell(text: &str, context: &ParseContext) -> Result<Spelled, String> {
    read_entry(text.trim(), context).map(|entry| spelled(&entry))
}

/// Reads one line of a list; `None` for a blank one or a comment.
///
/// # Errors
/// One sentence, for anything else.
pub(super) fn line(text: &str, context: &ParseContext) -> Result<Option<Line>, String> {
    let read = read_line(text, context).map_err(|(_, message)| message)?;
    Ok(read.map(|(entry, note)| Line {
        spelled: spelled(&entry),
        reason: note.reason.as_deref().map(Into::into),
        expires_at: note.expires_at,
    }))
}

fn spelled(entry: &Entry) -> Spelled {
    let (entry, person) = match entry {
        Entry::Number(phone) => (phone.e164(), Person::of_phone(*phone)),
        Entry::Lid(lid) => (lid.jid(), Person::of_lid(*lid)),
        Entry::Prefix(digits) => (format!("+{digits}*"), Person::default()),
        Entry::Country(code) => (format!("@{code}"), Person::default()),
    };
    Spelled { entry, person }
}

/// The local list at a moment.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) additions: Table,
    pub(super) exceptions: Table,
    /// What is named by whom, and nothing of why or until when.
    fingerprint: [u8; 32],
    next_end: Option<Timestamp>,
}

/// Entries of one kind.
#[derive(Debug, Default)]
pub(super) struct Table {
    all: Vec<Arc<LocalEntry>>,
    phones: HashMap<Phone, Arc<LocalEntry>>,
    lids: HashMap<Lid, Arc<LocalEntry>>,
    prefixes: HashMap<String, Arc<LocalEntry>>,
    countries: HashMap<String, Arc<LocalEntry>>,
    /// Numbers whose LID is not known, sorted.
    bare_numbers: Vec<u64>,
    /// LIDs whose number is not known.
    bare_lids: Vec<Lid>,
}

impl Standing {
    /// What stands of these at `now`.
    pub(super) fn new(entries: impl IntoIterator<Item = LocalEntry>, now: Timestamp) -> Self {
        let mut standing = Self::default();
        let mut names = Vec::new();
        for entry in entries.into_iter().filter(|entry| entry.expires_at.is_none_or(|end| end > now)) {
            standing.next_end = [standing.next_end, entry.expires_at].into_iter().flatten().min();
            names.push(format!("{:?} {}", entry.kind, entry.entry));
            let table = match entry.kind {
                LocalKind::Addition => &mut standing.additions,
                LocalKind::Exception => &mut standing.exceptions,
            };
            table.insert(entry);
        }
        names.sort();
        standing.fingerprint = Sha256::digest(names.join("\n")).into();
        standing.additions.bare_numbers.sort_unstable();
        standing.exceptions.bare_numbers.sort_unstable();
        standing
    }

    /// What still stands later, if something has ended meanwhile.
    pub(super) fn after(&self, now: Timestamp) -> Option<Self> {
        self.next_end.filter(|end| *end <= now)?;
        Some(Self::new(self.entries().map(|entry| LocalEntry::clone(entry)), now))
    }

    /// Everything, additions first.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<LocalEntry>> {
        self.additions.all.iter().chain(&self.exceptions.all)
    }

    /// Equal for two that name the same.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}

impl Table {
    fn insert(&mut self, entry: LocalEntry) {
        let entry = Arc::new(entry);
        self.all.push(entry.clone());
        match (entry.person.phone, entry.person.lid) {
            (None, None) => match entry.entry.strip_prefix('@') {
                Some(code) => drop(self.countries.insert(code.into(), entry)),
                None => {
                    let digits = entry.entry.trim_matches(['+', '*']).to_owned();
                    self.prefixes.insert(digits, entry);
                }
            },
            (phone, lid) => {
                match (phone, lid) {
                    (Some(phone), None) => self.bare_numbers.push(phone.as_u64()),
                    (None, Some(lid)) => self.bare_lids.push(lid),
                    _ => {}
                }
                self.phones.extend(phone.map(|phone| (phone, entry.clone())));
                self.lids.extend(lid.map(|lid| (lid, entry)));
            }
        }
    }

    /// The entry that names somebody by the ids that are known: by number, by LID, by the longest prefix, by country.
    pub(super) fn find(&self, person: Person, now: Timestamp) -> Option<&Arc<LocalEntry>> {
        let stands = |entry: &&Arc<LocalEntry>| entry.expires_at.is_none_or(|end| end > now);
        let by_phone = || self.phones.get(&person.phone?).filter(stands);
        let by_lid = || self.lids.get(&person.lid?).filter(stands);
        by_phone().or_else(by_lid).or_else(|| self.rule(person, now))
    }

    /// The prefix or the country that somebody falls under.
    pub(super) fn rule(&self, person: Person, now: Timestamp) -> Option<&Arc<LocalEntry>> {
        let stands = |entry: &&Arc<LocalEntry>| entry.expires_at.is_none_or(|end| end > now);
        let by_prefix = || {
            let digits = person.phone.filter(|_| !self.prefixes.is_empty())?.digits();
            (1..=digits.len()).rev().find_map(|length| self.prefixes.get(&digits[..length]).filter(stands))
        };
        let by_country = || {
            let phone = person.phone.filter(|_| !self.countries.is_empty())?;
            self.countries.get(&numbering::country_of(phone)?).filter(stands)
        };
        by_prefix().or_else(by_country)
    }

    /// Likewise for somebody of whom only the LID is known, by the accounts of numbers.
    fn find_hidden(&self, lid: Lid, resolved: &Resolved, now: Timestamp) -> (Option<&Arc<LocalEntry>>, bool) {
        match resolved.among(&self.bare_numbers, lid, now) {
            Among::Is(phone) => (self.find(Person::of_phone(phone), now), true),
            Among::Not => (None, self.prefixes.is_empty() && self.countries.is_empty()),
            Among::Unclear => (None, false),
        }
    }

    /// Whether some entry could only be matched with a phone.
    fn needs_phone(&self) -> bool {
        !(self.bare_numbers.is_empty() && self.prefixes.is_empty() && self.countries.is_empty())
    }

    /// The addition that names somebody; the sentence why nobody can tell otherwise. As of other blacklists, nobody hidden
    /// is ruled out.
    pub(super) fn listing(
        &self,
        person: Person,
        resolved: &Resolved,
        now: Timestamp,
    ) -> Result<Option<Arc<LocalEntry>>, String> {
        if let Some(entry) = self.find(person, now) {
            return Ok(Some(entry.clone()));
        }
        if person.phone.is_some() || !self.needs_phone() {
            return Ok(None);
        }
        match person.lid.and_then(|lid| self.find_hidden(lid, resolved, now).0) {
            Some(entry) => Ok(Some(entry.clone())),
            None => Err("the phone is hidden, and the local list names phones".into()),
        }
    }

    /// The exception that names somebody; the sentence why nobody can tell otherwise. As on the allowlist, a hidden person
    /// is ruled out once the accounts behind all its numbers are known, and somebody whose LID nobody knows may be meant by
    /// one: sparing comes first.
    pub(super) fn sparing(
        &self,
        person: Person,
        resolved: &Resolved,
        now: Timestamp,
    ) -> Result<Option<Arc<LocalEntry>>, String> {
        if let Some(entry) = self.find(person, now) {
            return Ok(Some(entry.clone()));
        }
        if person.lid.is_none() && !self.bare_lids.is_empty() {
            return Err("the LID is not known, and an exception names LIDs".into());
        }
        if person.phone.is_some() || !self.needs_phone() {
            return Ok(None);
        }
        match person.lid.map(|lid| self.find_hidden(lid, resolved, now)) {
            Some((Some(entry), _)) => Ok(Some(entry.clone())),
            Some((None, true)) => Ok(None),
            _ => Err("the phone is hidden, and an exception names phones".into()),
        }
    }

    /// At most so many numbers whose LID is not known; none if there are more.
    pub(super) fn few_numbers(&self, most: usize) -> impl Iterator<Item = Phone> + '_ {
        let few = self.bare_numbers.len() <= most;
        self.bare_numbers.iter().filter(move |_| few).filter_map(|number| Phone::from_u64(*number))
    }

    /// At most so many LIDs whose number is not known; none if there are more.
    pub(super) fn few_lids(&self, most: usize) -> impl Iterator<Item = Lid> + '_ {
        let few = self.bare_lids.len() <= most;
        self.bare_lids.iter().filter(move |_| few).copied()
    }
}

/// An addition as scripts see it.
pub(super) fn hit(entry: &LocalEntry) -> ListHit {
    ListHit {
        list: LOCAL.into(),
        entry: entry.entry.clone(),
        reason: entry.reason.clone(),
        source: Some(entry.by.clone()),
        added_at: Some(entry.added_at),
        expires_at: entry.expires_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DecisionId;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn entry(kind: LocalKind, text: &str, person: Person, expires_at: Option<Timestamp>) -> LocalEntry {
        let (reason, by, decision) = (None, "ada".into(), None::<DecisionId>);
        LocalEntry { kind, entry: text.into(), person, reason, by, decision, added_at: NOW, expires_at }
    }

    fn phone(number: u64) -> Person {
        Person::of_phone(Phone::from_u64(number).unwrap())
    }

    fn lid(number: u64) -> Person {
        Person::of_lid(Lid::from_u64(number))
    }

    #[test]
    fn an_exception_for_a_phone_might_be_for_anybody_hidden() {
        let whole = phone(4_915_100_000_001).merged(lid(77));
        let exceptions =
            |person| Standing::new([entry(LocalKind::Exception, "x", person, None)], NOW).exceptions;
        let none = Resolved::default();
        let bare = exceptions(phone(4_915_100_000_001));
        assert!(bare.sparing(lid(78), &none, NOW).is_err(), "the phone may be theirs");
        assert!(bare.sparing(whole, &none, NOW).unwrap().is_some());
        assert!(bare.sparing(phone(4_915_100_000_002), &none, NOW).unwrap().is_none());
        let known = exceptions(whole);
        assert!(known.sparing(lid(78), &none, NOW).unwrap().is_none(), "its account is another one");
        assert!(known.sparing(lid(77), &none, NOW).unwrap().is_some());
        let hidden = exceptions(lid(77));
        assert!(hidden.sparing(phone(4_915_100_000_002), &none, NOW).is_err(), "the LID may be theirs");
    }

    #[test]
    fn only_who_is_named_makes_a_difference_and_what_ends_is_gone() {
        let end = NOW + std::time::Duration::from_secs(60);
        let [open, ending] = [None, Some(end)]
            .map(|end| Standing::new([entry(LocalKind::Addition, "+92*", Person::default(), end)], NOW));
        assert_eq!(open.fingerprint(), ending.fingerprint(), "a longer stay sweeps nobody");
        let spammer = phone(923_001_234_567);
        assert!(ending.additions.find(spammer, NOW).is_some());
        assert!(ending.additions.find(spammer, end).is_none());
        assert!(ending.after(NOW).is_none() && open.after(end).is_none());
        let after = ending.after(end).unwrap();
        assert_eq!((after.entries().count(), after.fingerprint()), (0, Standing::new([], NOW).fingerprint()));
    }
}
