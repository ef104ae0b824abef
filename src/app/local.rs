//! The local list at work: entries read, kept in the store, in force at once. The running daemon and the command line
//! without one go the same way.

use crate::{
    api::{Refusal, local::Wanted},
    clock::Timestamp,
    config::Config,
    ids::Person,
    lists::{ListBook, Spelled},
    pipeline::take_local_list,
    store::{LocalEntry, LocalKind, Store, StoreError},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// More entries than this are a list of their own.
pub const MOST_AT_ONCE: usize = 100_000;

/// The longest reason, name or entry in characters.
const LONGEST: usize = 500;

/// How many entries of the local list are shown at once.
const SHOWN: usize = 10_000;

/// The lists with the store behind the local one.
#[derive(Clone)]
pub struct LocalDesk {
    store: Arc<dyn Store>,
    lists: Arc<ListBook>,
}

impl LocalDesk {
    pub(super) fn new(store: Arc<dyn Store>, lists: Arc<ListBook>) -> Self {
        Self { store, lists }
    }

    /// The lists as a daemon would find them, without one; no copy is kept.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn open(config: &Config, store: Arc<dyn Store>, now: Timestamp) -> Result<Self, StoreError> {
        let lists = Arc::new(ListBook::look(config, &config.server.data_dir.join("kept/lists"), now));
        take_local_list(&*store, &lists, now).await?;
        Ok(Self { store, lists })
    }

    /// The lists behind it.
    pub fn lists(&self) -> &ListBook {
        &self.lists
    }

    /// Adds entries, all or none; `who` says so where an entry does not say.
    ///
    /// # Errors
    /// The first entry that cannot be read, or the store.
    pub async fn add(&self, wanted: Vec<Wanted>, who: &str, now: Timestamp) -> Result<Value, Refusal> {
        if wanted.len() > MOST_AT_ONCE {
            return Err(Refusal::bad(
                format!("{} entries at once are too many for the local list", wanted.len()),
                "put them into a file and name it under [[blacklists]]",
            ));
        }
        let entries: Result<Vec<LocalEntry>, Refusal> = wanted
            .iter()
            .map(|wanted| self.read(wanted, LocalKind::Addition, who, now).map(|(entry, _)| entry))
            .collect();
        let added = self.store.list_locally(entries?).await?;
        take_local_list(&*self.store, &self.lists, now).await?;
        tracing::info!(entries = added.len(), who, "added to the local list");
        Ok(json!({ "added": added }))
    }

    /// Takes an entry off the local list and, where that is not enough, makes an exception from every list.
    ///
    /// # Errors
    /// An entry that cannot be read, or the store.
    pub async fn remove(&self, wanted: Wanted, who: &str, now: Timestamp) -> Result<Value, Refusal> {
        let (exception, spelled) = self.read(&wanted, LocalKind::Exception, who, now)?;
        let spelled = Spelled { person: self.whole(spelled.person).await?, ..spelled };
        let elsewhere = self.lists.is_named_elsewhere(&spelled, now);
        // An end says that an exception is meant.
        let always = wanted.expires.is_some() || elsewhere;
        let (ended, kept) = self.store.unlist_locally(exception.clone(), always).await?;
        take_local_list(&*self.store, &self.lists, now).await?;
        tracing::info!(ended = ended.len(), exception = kept, who, "taken off the lists");
        Ok(json!({
            "entry": exception.entry,
            "ended": ended,
            "exception": kept.then_some(exception),
        }))
    }

    /// What all lists say of an entry's person.
    ///
    /// # Errors
    /// An entry that cannot be read or names nobody, or the store.
    pub async fn check(&self, text: &str, now: Timestamp) -> Result<Value, Refusal> {
        let spelled = self.lists.spell(text).map_err(|why| unread(text, &why))?;
        if spelled.person.is_nobody() {
            let next = "check a number, …@c.us or …@lid; `perimeterd blacklist list` shows rules";
            return Err(Refusal::bad(format!("{} names no person", spelled.entry), next));
        }
        let person = self.whole(spelled.person).await?;
        let mut told = serde_json::to_value(self.lists.listing(person, now)).unwrap_or_default();
        told["entry"] = json!(spelled.entry);
        told["person"] = json!(person);
        Ok(told)
    }

    /// The local list as it stands.
    pub fn list(&self) -> Value {
        let entries = self.lists.local_entries();
        let shown: Vec<_> = entries.iter().take(SHOWN).map(|entry| &**entry).collect();
        json!({ "local": shown, "local_entries": entries.len() })
    }

    /// The person in both forms, where the directory knows them.
    async fn whole(&self, person: Person) -> Result<Person, StoreError> {
        let Some(id) = self.store.person(person).await? else { return Ok(person) };
        Ok(self.store.record(id).await?.map_or(person, |record| record.person))
    }

    fn read(
        &self,
        wanted: &Wanted,
        kind: LocalKind,
        who: &str,
        now: Timestamp,
    ) -> Result<(LocalEntry, Spelled), Refusal> {
        let Wanted { entry, reason, expires, by } = wanted;
        let texts = [Some(entry), reason.as_ref(), by.as_ref()];
        if texts.into_iter().flatten().any(|text| text.chars().count() > LONGEST) {
            return Err(Refusal::bad(format!("a text is longer than {LONGEST} characters"), "shorten it"));
        }
        let spelled = self.lists.spell(entry).map_err(|why| unread(entry, &why))?;
        let end = expires.as_deref().map(|text| self.lists.read_end(text, now)).transpose();
        let end = end.map_err(|why| Refusal::bad(why, "leave `expires` out if it is to stand for good"))?;
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let read = LocalEntry {
            kind,
            entry: spelled.entry.clone(),
            person: spelled.person,
            reason: filled(reason),
            by: filled(by).unwrap_or_else(|| who.into()),
            decision: None,
            added_at: now,
            expires_at: end,
        };
        Ok((read, spelled))
    }
}

fn unread(entry: &str, why: &str) -> Refusal {
    Refusal::bad(format!("`{entry}` cannot be read: {why}"), "write +49…, …@lid, +92* or @PK")
}
