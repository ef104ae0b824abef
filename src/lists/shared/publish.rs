//! Making the next version of a list of our own. Pure.

use super::{Document, HashKey, Header, Kind, Listed, Retraction, Whom, document::plain};
use crate::{
    clock::Timestamp,
    ids::{Lid, Person, Phone},
    lists::ListSet,
};
use jiff::{civil::Date, tz::TimeZone};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// A retraction is told for so long; by then every subscriber has seen it.
const TOLD_FOR_DAYS: i32 = 365;

/// Somebody on a list of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// By number or by LID.
    pub whom: Either,
    /// Why.
    pub reason: Option<String>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// The two ids by which a shared list names people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either {
    /// A number.
    Phone(Phone),
    /// A LID.
    Lid(Lid),
}

/// The people on a list of our own, each once; entries that are over are left out, as are prefixes and countries.
pub fn own_entries(list: &ListSet, now: Timestamp) -> Vec<Own> {
    let own = |whom, person, entry: String| {
        let hit = list.find(person, now).filter(|hit| hit.entry == entry)?;
        Some(Own { whom, reason: hit.reason, expires_at: hit.expires_at })
    };
    let phones = list.few_numbers(usize::MAX);
    let phones = phones.filter_map(|p| own(Either::Phone(p), Person::of_phone(p), p.e164()));
    let lids = list.few_lids(usize::MAX);
    phones.chain(lids.filter_map(|lid| own(Either::Lid(lid), Person::of_lid(lid), lid.jid()))).collect()
}

/// What a new version is to be.
pub struct Draft<'a> {
    /// The list's name.
    pub name: String,
    /// Who publishes it.
    pub publisher: String,
    /// `None`: one more than the version before.
    pub version: Option<u64>,
    /// With one, entries are hashes.
    pub key: Option<&'a HashKey>,
    /// Whom to list.
    pub own: Vec<Own>,
    /// The version before, if there is one.
    pub before: Option<&'a Document>,
    /// Why entries that are gone are taken back.
    pub because: Option<String>,
    /// How long it is good for.
    pub lasts: Duration,
    /// When it is made.
    pub now: Timestamp,
}

/// A new version and what is new in it.
#[derive(Debug)]
pub struct Published {
    /// The version.
    pub document: Document,
    /// Entries that the version before did not have.
    pub added: usize,
    /// Entries of the version before that are taken back now.
    pub retracted: usize,
}

/// Makes the next version: entries keep the day on which they were listed first, and what is gone since the version
/// before is retracted as of today.
///
/// # Errors
/// The sentence why it would be refused by subscribers.
pub fn publish(draft: Draft<'_>) -> Result<Published, String> {
    let Draft { name, publisher, version, key, own, before, because, lasts, now } = draft;
    let next = match before.map(|before| before.header.version) {
        None => 1,
        Some(last) => {
            last.checked_add(1).ok_or("there is no version after the last one; publish under another name")?
        }
    };
    let version = version.unwrap_or(next);
    if version < next {
        return Err(format!("version {} was published already; subscribers take {next} or later", next - 1));
    }
    let kind = key.map_or(Kind::Numbers, |key| Kind::Hashes(key.id()));
    if before.is_some_and(|before| before.header.kind != kind) {
        return Err(
            "the version before spells its entries otherwise, so nothing could be retracted; publish under \
                    another name"
                .into(),
        );
    }
    let today = day_of(now)?;
    let known: HashMap<Whom, Date> =
        before.iter().flat_map(|before| before.entries()).map(|listed| (listed.whom, listed.added)).collect();
    let mut entries = Vec::with_capacity(own.len());
    for Own { whom, reason, expires_at } in own {
        if expires_at.is_some_and(|end| end <= now) {
            continue;
        }
        let whom = match (whom, key) {
            (Either::Phone(phone), None) => Whom::Phone(phone.as_u64()),
            (Either::Phone(phone), Some(key)) => key.phone(phone),
            (Either::Lid(lid), None) => Whom::Lid(lid.as_u64()),
            (Either::Lid(lid), Some(key)) => key.lid(lid),
        };
        // The day on which it ends somewhere is the last one on which it can hold for all.
        let until = expires_at.map(|end| day_of(end - Duration::from_secs(1))).transpose()?;
        let added = known.get(&whom).copied().unwrap_or(today);
        entries.push(Listed { whom, reason: reason.as_deref().and_then(worded), added, until });
    }
    let fresh = |on: Date| today.since(on).is_ok_and(|age| age.get_days() <= TOLD_FOR_DAYS);
    let told = before.iter().flat_map(|before| before.retractions()).filter(|told| fresh(told.on)).cloned();
    let gone = before.iter().flat_map(|before| before.entries());
    let gone = gone.filter(|listed| listed.expires_at().is_none_or(|end| end > now));
    let gone = gone.map(|listed| Retraction {
        whom: listed.whom,
        reason: because.as_deref().and_then(worded),
        on: today,
    });
    let retractions = gone.chain(told).collect();
    let (name, publisher) = (plain(&name), plain(&publisher));
    let header = Header { name, publisher, version, issued: now, expires: now + lasts, kind };
    let document = Document::new(header, entries, retractions);
    let added = document.entries().iter().filter(|listed| !known.contains_key(&listed.whom)).count();
    let retracted = document.retractions().iter().filter(|told| known.contains_key(&told.whom)).count();
    Ok(Published { document, added, retracted })
}

/// A reason as a document can hold it.
fn worded(reason: &str) -> Option<Arc<str>> {
    Some(plain(reason)).filter(|reason| !reason.is_empty()).map(Into::into)
}

fn day_of(at: Timestamp) -> Result<Date, String> {
    let moment = jiff::Timestamp::from_millisecond(at.0).map_err(|error| error.to_string())?;
    Ok(moment.to_zoned(TimeZone::UTC).date())
}
