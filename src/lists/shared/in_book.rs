//! Shared lists among the others: what they add to a look-up, and what is asked about them alone.

use super::{Gone, Match, SharedList};
use crate::{
    clock::Timestamp,
    config::{Config, Trust},
    facts::{ListHit, Lookup},
    ids::Person,
    lists::ListBook,
    takeup::Takeup,
};
use std::path::Path;

/// Opens every shared list of the configuration.
pub(in crate::lists) fn open_shared(
    config: &Config,
    kept_dir: &Path,
    now: Timestamp,
    keeps: bool,
) -> (Vec<SharedList>, Vec<Takeup>) {
    let open = |list| SharedList::open(list, config.lists.max_shrink, kept_dir, now, keeps);
    let (lists, takeups): (Vec<_>, Vec<_>) = config.shared_lists.iter().map(open).unzip();
    (lists, takeups.into_iter().flatten().collect())
}

impl ListBook {
    /// The first entry of a shared list that scripts may see; the sentence why nobody can tell.
    pub(in crate::lists) fn shared_entry(
        &self,
        person: Person,
        now: Timestamp,
    ) -> Result<Option<Match>, String> {
        let mut blind = None;
        for trust in [Trust::Enforce, Trust::Ask] {
            for list in self.shared.iter().filter(|list| list.trust() == trust) {
                match list.find(person, now) {
                    Ok(Some(found)) => return Ok(Some(found)),
                    Ok(None) => {}
                    Err(why) => blind = blind.or(Some(why)),
                }
            }
        }
        blind.map_or(Ok(None), Err)
    }

    /// Entries of lists that only watch: to be told, and nothing more.
    pub fn watched(&self, person: Person, now: Timestamp) -> Vec<Match> {
        let watching = self.shared.iter().filter(|list| list.trust() == Trust::Watch);
        watching.filter_map(|list| list.find(person, now).ok().flatten()).collect()
    }

    /// Whether a removal that this list causes waits for an operator.
    pub fn asks(&self, name: &str) -> bool {
        self.shared_list(name).is_some_and(|list| list.trust() == Trust::Ask)
    }

    /// Why an entry of a shared list no longer holds; `None` while it does, and for any other list.
    pub fn gone(&self, name: &str, entry: &str, now: Timestamp) -> Option<Gone> {
        self.shared_list(name)?.gone(entry, now)
    }

    /// The names of the shared lists.
    pub fn shared_names(&self) -> impl Iterator<Item = &str> {
        self.shared.iter().map(SharedList::name)
    }

    /// What the fact would be if this list was trusted beyond `watch` as it will be once it is accepted: the entry, where
    /// the list names them; unknown where only a number that nobody knows would tell. Entries of lists that come before it stand, so that the record of a decision would be the same.
    ///
    /// # Errors
    /// The sentence why there is no preview of it.
    pub fn previewed(
        &self,
        name: &str,
        person: Person,
        now: Timestamp,
    ) -> Result<Option<Lookup<Option<ListHit>>>, String> {
        let list = self.shared_list(name).ok_or_else(|| self.not_shared(name))?;
        let found = list.find_in_preview(person, now).transpose();
        Ok(found.map(|found| found.map_or_else(|why| Lookup::Unknown { why }, |found| known(found, now))))
    }

    /// Whether an exception of the local list spares somebody from every list, or may.
    pub fn may_be_excepted(&self, person: Person, now: Timestamp) -> bool {
        !matches!(self.local().exceptions.sparing(person, &self.resolved(), now), Ok(None))
    }

    /// The version that a preview is of, and how far the configuration trusts the list.
    ///
    /// # Errors
    /// The sentence why there is no preview of it.
    pub fn preview_of(&self, name: &str) -> Result<(u64, Trust), String> {
        let list = self.shared_list(name).ok_or_else(|| self.not_shared(name))?;
        let version = list.previewed_version();
        let version = version
            .ok_or_else(|| list.waiting().unwrap_or_else(|| format!("{} was never read", list.what())))?;
        Ok((version, list.configured()))
    }

    /// The lists that only watch, with the version in force.
    pub fn watching(&self) -> Vec<(String, u64)> {
        let watching = self.shared.iter().filter(|list| list.trust() == Trust::Watch);
        watching.filter_map(|list| Some((list.name().to_owned(), list.standing()?.version))).collect()
    }

    fn not_shared(&self, name: &str) -> String {
        let names: Vec<&str> = self.shared_names().collect();
        match names[..] {
            [] => format!("`{name}` is no shared list; there are none, see [[shared_lists]]"),
            _ => format!("`{name}` is no shared list; there are: {}", names.join(", ")),
        }
    }

    pub(in crate::lists) fn shared_list(&self, name: &str) -> Option<&SharedList> {
        self.shared.iter().find(|list| list.name() == name)
    }
}

fn known(found: Match, now: Timestamp) -> Lookup<Option<ListHit>> {
    Lookup::Known { value: Some(found.hit), as_of: now, source: found.source, stale: found.stale }
}
