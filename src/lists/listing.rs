//! What all lists say of one entry, for people who ask: every hit, the exception, the allowlist.

use super::{
    ListBook,
    local::{self, Line, Spelled},
};
use crate::{
    clock::{Timestamp, parse_duration, parse_end},
    facts::{ListHit, Lookup},
    ids::Person,
    store::LocalEntry,
};
use serde::Serialize;
use std::sync::Arc;

/// What all lists say of somebody.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listing {
    /// What it comes to: `listed`, `excepted`, `allowlisted`, `unlisted`, or `unknown` where nobody can tell.
    pub state: &'static str,
    /// Every entry that names them, the local one first.
    pub hits: Vec<ListHit>,
    /// The exception that hides them.
    pub exception: Option<LocalEntry>,
    /// Whether the allowlist names them; `None`: nobody can tell.
    pub allowlisted: Option<bool>,
    /// What nobody can tell, and why.
    pub unsure: Vec<String>,
}

impl ListBook {
    /// What all lists say of somebody.
    pub fn listing(&self, person: Person, now: Timestamp) -> Listing {
        let (resolved, local) = (self.resolved(), self.local());
        let mut unsure = Vec::new();
        let mut hits = Vec::new();
        let mut take = |found: Result<Option<ListHit>, String>| match found {
            Ok(hit) => hits.extend(hit),
            Err(why) => unsure.push(why),
        };
        take(local.additions.listing(person, &resolved, now).map(|entry| entry.as_deref().map(local::hit)));
        self.each_blacklist(person, now).for_each(&mut take);
        take(self.shared_entry(person, now).map(|found| found.map(|found| found.hit)));
        let exception = local.exceptions.sparing(person, &resolved, now).unwrap_or_else(|why| {
            unsure.push(why);
            None
        });
        let allowlisted = match self.allowlisted(person, now) {
            Lookup::Known { value, .. } => Some(value),
            Lookup::Unknown { why } => {
                unsure.push(why);
                None
            }
        };
        let state = match (allowlisted, &exception, hits.is_empty()) {
            (Some(true), ..) => "allowlisted",
            (_, Some(_), _) => "excepted",
            (_, None, false) => "listed",
            (_, None, true) if unsure.is_empty() => "unlisted",
            (_, None, true) => "unknown",
        };
        Listing {
            state,
            hits,
            exception: exception.map(|entry| LocalEntry::clone(&entry)),
            allowlisted,
            unsure,
        }
    }

    /// Whether something besides an entry of the local list for just that names what is spelled there, or might: another
    /// blacklist, or a prefix or a country on the local one.
    pub fn is_named_elsewhere(&self, spelled: &Spelled, now: Timestamp) -> bool {
        // Which lists have a prefix or a country nobody looks up: an exception does no harm.
        spelled.person.is_nobody()
            || self.local().additions.rule(spelled.person, now).is_some()
            || self.each_blacklist(spelled.person, now).any(|found| !matches!(found, Ok(None)))
            || !matches!(self.shared_entry(spelled.person, now), Ok(None))
    }

    /// Reads an entry in any form that a list may have.
    ///
    /// # Errors
    /// One sentence, for anything else.
    pub fn spell(&self, text: &str) -> Result<Spelled, String> {
        local::spell(text, self.context())
    }

    /// Reads one line of a list as its file would have it; `country` reads national spellings instead of the configured
    /// one. `None` for a blank line or a comment.
    ///
    /// # Errors
    /// One sentence, for anything else.
    pub fn read_line(&self, text: &str, country: Option<&str>) -> Result<Option<Line>, String> {
        match country {
            None => local::line(text, self.context()),
            Some(country) => {
                let context = self.context().clone();
                local::line(text, &super::ParseContext { default_country: Some(country.into()), ..context })
            }
        }
    }

    /// Reads when an entry ends: a duration from now on, a date, or a moment.
    ///
    /// # Errors
    /// One sentence, for anything else.
    pub fn read_end(&self, text: &str, now: Timestamp) -> Result<Timestamp, String> {
        let end = parse_duration(text)
            .map(|length| now + length)
            .or_else(|_| parse_end(text, &self.context().time_zone));
        let end = end.map_err(|_| format!("`{text}` is no end; write 30d, 12h or 2027-01-31"))?;
        if end > now { Ok(end) } else { Err(format!("`{text}` is over already")) }
    }

    /// The local list as it stands, oldest first.
    pub fn local_entries(&self) -> Vec<Arc<LocalEntry>> {
        let mut entries: Vec<_> = self.local().entries().cloned().collect();
        entries.sort_by_key(|entry| entry.added_at);
        entries
    }
}
