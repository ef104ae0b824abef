//! Whom a subscription names: the look-up of one person, by number, by LID, or by the hash of either.

use super::{Document, Kind, SharedList, Whom, follow::InForce};
use crate::{
    clock::Timestamp,
    facts::ListHit,
    ids::{Lid, Person, Phone},
};

/// An entry that names somebody.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// The entry.
    pub hit: ListHit,
    /// List and version, for the record.
    pub source: String,
    /// The document's time is over: nobody is put out on it.
    pub stale: bool,
}

impl SharedList {
    /// The entry that names somebody; the sentence why nobody can tell otherwise.
    pub(in crate::lists) fn find(&self, person: Person, now: Timestamp) -> Result<Option<Match>, String> {
        let Some(held) = self.in_force.load_full() else {
            return Err(format!("{} was never read; see why with `perimeterd check`", self.what()));
        };
        self.find_in(&held, person, now)
    }

    /// Likewise in what would be in force once it is accepted; nothing where there is no such thing.
    pub(in crate::lists) fn find_in_preview(
        &self,
        person: Person,
        now: Timestamp,
    ) -> Result<Option<Match>, String> {
        self.previewed().map_or(Ok(None), |held| self.find_in(&held, person, now))
    }

    fn find_in(&self, held: &InForce, person: Person, now: Timestamp) -> Result<Option<Match>, String> {
        let named = self.look_up(held, person, now);
        if named.is_none() && person.phone.is_none() && held.names.0 {
            return Err(format!("the phone is hidden, and {} names phones", self.what()));
        }
        Ok(named)
    }

    fn look_up(&self, held: &InForce, person: Person, now: Timestamp) -> Option<Match> {
        let document = &held.document;
        let (phones, lids) = held.names;
        let phone = person.phone.filter(|_| phones).and_then(|phone| self.phone(document, phone));
        let lid = person.lid.filter(|_| lids).and_then(|lid| self.lid(document, lid));
        let listed = [phone, lid].into_iter().flatten().find_map(|whom| document.find(whom, now))?;
        Some(Match {
            hit: ListHit {
                list: self.name.clone(),
                entry: listed.whom.to_string(),
                reason: listed.reason.as_deref().map(Into::into),
                source: Some(document.header.publisher.clone()),
                added_at: crate::clock::parse_end(&listed.added.to_string(), &jiff::tz::TimeZone::UTC)
                    .ok()
                    .map(|end| end - std::time::Duration::from_secs(24 * 3600)),
                expires_at: listed.expires_at(),
            },
            source: format!("{}, version {}", self.what(), document.header.version),
            stale: document.header.expires <= now,
        })
    }

    fn phone(&self, document: &Document, phone: Phone) -> Option<Whom> {
        match document.header.kind {
            Kind::Numbers => Some(Whom::Phone(phone.as_u64())),
            Kind::Hashes(_) => {
                let key = self.key.as_ref()?.as_ref().ok()?;
                Some(self.hashes.get_with(Person::of_phone(phone), || key.phone(phone)))
            }
        }
    }

    fn lid(&self, document: &Document, lid: Lid) -> Option<Whom> {
        match document.header.kind {
            Kind::Numbers => Some(Whom::Lid(lid.as_u64())),
            Kind::Hashes(_) => {
                let key = self.key.as_ref()?.as_ref().ok()?;
                Some(self.hashes.get_with(Person::of_lid(lid), || key.lid(lid)))
            }
        }
    }
}
