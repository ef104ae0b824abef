//! The lists in force: every blacklist and the allowlist, followed on disk, asked for one person.

use super::{
    Download, Freshness, ListSet,
    local::{self, Standing},
    parse::ParseContext,
    reading::{context, rules},
    resolved::{self, Resolved},
    shared::{self, Match, SharedList, open_shared},
};
use crate::{
    clock::Timestamp,
    config,
    facts::{ListHit, Lookup},
    identity::NumberReply,
    ids::{DecisionId, Lid, Person, Phone},
    kept::{KeptFile, Rules},
    store::LocalEntry,
    takeup::Takeup,
};
use arc_swap::{ArcSwap, Guard};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// All lists of the configuration.
pub struct ListBook {
    /// In the order of the configuration.
    blacklists: Vec<List>,
    allowlist: Option<List>,
    /// The daemon's own.
    local: ArcSwap<Standing>,
    /// The store has another one than is in force.
    local_due: AtomicBool,
    /// How entries are read.
    context: ParseContext,
    /// Lists of other communities.
    pub(super) shared: Vec<SharedList>,
    generation: AtomicU64,
    /// The accounts behind the numbers.
    resolved: ArcSwap<Resolved>,
}

struct List {
    name: String,
    file: KeptFile<ListSet>,
    /// Where its file comes from, if not from the owner.
    download: Option<Arc<Download>>,
}

/// One line about a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Its name; `allowlist` for that one.
    pub name: String,
    /// Entries in force; `None` if there never was a good file.
    pub entries: Option<usize>,
    /// When they were taken.
    pub loaded_at: Option<Timestamp>,
    /// Why the file as it is now is not in force.
    pub waiting: Option<String>,
    /// For a list from a URL: how its server has been doing.
    pub fetched: Option<Freshness>,
    /// For a list of another community: its version and how far it is trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<shared::Standing>,
}

/// The allowlist's name in commands.
pub(super) const ALLOWLIST: &str = "allowlist";

impl ListBook {
    /// Opens every list of the configuration; last good copies are in `kept_dir` (`data_dir/kept/lists`).
    /// Says what became of each. Blocks on the disk.
    pub fn open(config: &config::Config, kept_dir: PathBuf, now: Timestamp) -> (Self, Vec<Takeup>) {
        Self::opened(config, &kept_dir, now, true, KeptFile::open)
    }

    /// The lists as [`ListBook::open`] would find them; writes nothing.
    pub fn look(config: &config::Config, kept_dir: &Path, now: Timestamp) -> Self {
        Self::opened(config, kept_dir, now, false, KeptFile::look).0
    }

    fn opened(
        config: &config::Config,
        kept_dir: &Path,
        now: Timestamp,
        keeps: bool,
        open: impl Fn(Rules<ListSet>, Timestamp) -> (KeptFile<ListSet>, Takeup),
    ) -> (Self, Vec<Takeup>) {
        let mut takeups = Vec::new();
        let mut open = |name: &str, path: &Path, download: Option<Download>| {
            let (file, takeup) = open(rules(config, name, path, kept_dir), now);
            drop(file.take_replaced());
            let list = List { name: name.into(), file, download: download.map(Arc::new) };
            takeups.extend(list.worth_telling(takeup));
            list
        };
        let blacklists = config.blacklists.iter();
        let blacklists =
            blacklists.map(|list| open(&list.name, &list.path, Download::open(list, now))).collect();
        let allowlist = config.allowlist.as_ref().map(|path| open(ALLOWLIST, path, None));
        let resolved = ArcSwap::default();
        let (local, local_due, context) = (ArcSwap::default(), AtomicBool::new(false), context(config));
        let generation = AtomicU64::new(1);
        let (shared, told) = open_shared(config, kept_dir, now, keeps);
        takeups.extend(told);
        let book = Self { blacklists, allowlist, shared, local, local_due, context, generation, resolved };
        (book, takeups)
    }

    /// Says whether the store has another local list than is in force.
    pub fn set_local_due(&self, due: bool) {
        self.local_due.store(due, Ordering::SeqCst);
    }

    /// Whether the store has another local list than is in force.
    pub fn is_local_due(&self) -> bool {
        self.local_due.load(Ordering::SeqCst)
    }

    /// Takes the local list as the store has it.
    pub fn take_local(&self, entries: Vec<LocalEntry>, now: Timestamp) {
        let standing = Standing::new(entries, now);
        let before = self.local.load().fingerprint();
        let is_new = standing.fingerprint() != before;
        self.local.store(Arc::new(standing));
        if is_new {
            self.look_again();
        }
    }

    /// What [`ListBook::open`] would say of each list; writes nothing.
    pub fn check(config: &config::Config, kept_dir: &Path, now: Timestamp) -> Vec<Takeup> {
        // What was never fetched is nothing that could be looked at.
        let blacklists = config.blacklists.iter().filter(|list| list.url.is_none() || list.path.exists());
        let blacklists = blacklists.map(|list| (list.name.as_str(), list.path.as_path()));
        let allowlist = config.allowlist.iter().map(|path| (ALLOWLIST, path.as_path()));
        let all = blacklists.chain(allowlist);
        let takeups = all.map(|(name, path)| KeptFile::check(rules(config, name, path, kept_dir), now));
        takeups.chain(open_shared(config, kept_dir, now, false).1).collect()
    }

    /// Looks at every file. To be called every half second or so, where blocking is allowed.
    pub fn poll(&self, now: Timestamp) -> Vec<Takeup> {
        let takeups: Vec<Takeup> = self.lists().filter_map(|list| list.poll(now)).collect();
        let ended = self.local.load().after(now);
        let any_ended = ended.is_some();
        ended.into_iter().for_each(|standing| self.local.store(Arc::new(standing)));
        let others = self.shared.iter().flat_map(|list| list.poll(now));
        let takeups: Vec<Takeup> = takeups.into_iter().chain(others).collect();
        if any_ended || takeups.iter().any(|takeup| matches!(takeup, Takeup::Taken { .. })) {
            self.look_again();
        }
        takeups
    }

    /// The first entry that names somebody, of the local list, of a blacklist, or of a shared list that is enforced or
    /// asks (one that only watches says nothing here), unless an exception does too. Unknown,
    /// with the reason, where no entry does and a list was never good, or a list could only be matched with the phone that
    /// nobody knows; and where one does, and nobody can tell whether an exception does.
    pub fn blacklist(&self, person: Person, now: Timestamp) -> Lookup<Option<ListHit>> {
        self.blacklist_but(person, None, now)
    }

    /// Likewise as it was before a decision added to the local list.
    pub fn blacklist_but(
        &self,
        person: Person,
        decision: Option<DecisionId>,
        now: Timestamp,
    ) -> Lookup<Option<ListHit>> {
        let known =
            |value, source: &str| Lookup::Known { value, as_of: now, source: source.into(), stale: false };
        match self.first_hit(person, decision, now) {
            Ok(None) => known(None, "blacklists"),
            Err(why) => Lookup::Unknown { why },
            Ok(Some(hit)) => match self.local.load().exceptions.sparing(person, &self.resolved(), now) {
                Ok(None) => {
                    let Match { hit, source, stale } = hit;
                    Lookup::Known { value: Some(hit), as_of: now, source, stale }
                }
                Ok(Some(_)) => known(None, "an exception of the local list"),
                Err(why) => Lookup::Unknown { why },
            },
        }
    }

    fn first_hit(
        &self,
        person: Person,
        decision: Option<DecisionId>,
        now: Timestamp,
    ) -> Result<Option<Match>, String> {
        let resolved = self.resolved();
        let local = self.local.load().additions.listing(person, &resolved, now);
        let is_its_own = |entry: &LocalEntry| decision.is_some() && entry.decision == decision;
        let local =
            local.map(|entry| entry.filter(|entry| !is_its_own(entry)).map(|entry| local::hit(&entry)));
        let lists = self.blacklists.iter().map(|list| list.find(person, &resolved, now));
        let mut blind = None;
        for found in std::iter::once(local).chain(lists) {
            match found {
                Ok(None) => {}
                Ok(Some(hit)) => {
                    return Ok(Some(Match { source: hit.list.clone(), hit, stale: false }));
                }
                Err(why) => blind = blind.or(Some(why)),
            }
        }
        match self.shared_entry(person, now) {
            Ok(None) => blind.map_or(Ok(None), Err),
            Ok(found) => Ok(found),
            Err(why) => Err(blind.unwrap_or(why)),
        }
    }

    /// Whether the allowlist names somebody; unknown as in [`ListBook::blacklist`], yet a hidden person is ruled out once
    /// the accounts behind all its numbers are known; and unknown for somebody whose LID nobody knows where it names LIDs:
    /// sparing comes first. (A blacklist names such a person not, and rules out nobody hidden: an account may be new, and
    /// who is taken for harmless is not looked at again.) Without an allowlist: no.
    pub fn allowlisted(&self, person: Person, now: Timestamp) -> Lookup<bool> {
        let resolved = self.resolved();
        let found = self.allowlist.as_ref().map_or(Ok(None), |list| {
            list.find(person, &resolved, now).or_else(|why| {
                let ruled_out = person.lid.is_some_and(|lid| list.rules_out(lid, &resolved, now));
                if person.phone.is_none() && ruled_out { Ok(None) } else { Err(why) }
            })
        });
        let found = match found {
            Ok(None) if person.lid.is_none() && self.spares_by_lid() => {
                Err(format!("the LID is not known, and the {ALLOWLIST} names LIDs"))
            }
            found => found,
        };
        match found {
            Ok(hit) => {
                Lookup::Known { value: hit.is_some(), as_of: now, source: ALLOWLIST.into(), stale: false }
            }
            Err(why) => Lookup::Unknown { why },
        }
    }

    /// Whether the allowlist names somebody by LID.
    pub fn spares_by_lid(&self) -> bool {
        let held = self.allowlist.as_ref().and_then(|list| list.file.in_force());
        held.is_some_and(|held| held.value.needs_lid())
    }

    /// The numbers whose accounts are worth knowing: the local list's, the allowlist's, then those of small blacklists, few in all.
    pub fn numbers(&self) -> Vec<Phone> {
        let mut numbers = Vec::new();
        let local = self.local.load();
        for table in [&local.exceptions, &local.additions] {
            numbers.extend(table.few_numbers(resolved::MOST - numbers.len()));
        }
        for list in self.allowlist.iter().chain(&self.blacklists) {
            if let Some(held) = list.file.in_force() {
                numbers.extend(held.value.few_numbers(resolved::MOST - numbers.len()));
            }
        }
        numbers.sort_by_key(|number| number.as_u64());
        numbers.dedup();
        numbers
    }

    /// Whether the allowlist names this number itself.
    pub fn is_on_allowlist(&self, phone: Phone, now: Timestamp) -> bool {
        let held = self.allowlist.as_ref().and_then(|list| list.file.in_force());
        held.is_some_and(|held| held.value.find(Person::of_phone(phone), now).is_some())
    }

    /// The LIDs whose phones are worth knowing: of the local list, of the allowlist, then of blacklists, few in all.
    pub fn lids(&self) -> Vec<Lid> {
        let mut lids = Vec::new();
        let local = self.local.load();
        for table in [&local.exceptions, &local.additions] {
            lids.extend(table.few_lids(resolved::MOST - lids.len()));
        }
        for list in self.allowlist.iter().chain(&self.blacklists) {
            if let Some(held) = list.file.in_force() {
                lids.extend(held.value.few_lids(resolved::MOST - lids.len()));
            }
        }
        lids.sort();
        lids.dedup();
        lids
    }

    /// What the lists say, in short, with that of the local one, and those of their LIDs that nobody could match.
    pub(super) fn state_with(&self, local: [u8; 32], unpaired: &[Lid]) -> String {
        let mut digest = Sha256::new();
        for list in self.lists() {
            digest.update(list.name.as_bytes());
            digest.update(list.file.in_force().map_or([0; 32], |held| held.digest));
        }
        digest.update(local);
        for list in &self.shared {
            digest.update(list.name().as_bytes());
            digest.update(list.state());
        }
        for lid in unpaired {
            digest.update(lid.as_u64().to_be_bytes());
        }
        hex::encode(digest.finalize())
    }

    /// Has everybody inside looked at again, as if a list had been taken.
    pub fn look_again(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes what is known of the accounts behind [`ListBook::numbers`]; what was known before is forgotten.
    pub fn resolve(&self, replies: Vec<NumberReply>) {
        self.resolved.store(Arc::new(Resolved::new(replies)));
    }

    /// What each blacklist of the configuration says of somebody.
    pub(super) fn each_blacklist(
        &self,
        person: Person,
        now: Timestamp,
    ) -> impl Iterator<Item = Result<Option<ListHit>, String>> {
        let resolved = self.resolved();
        self.blacklists.iter().map(move |list| list.find(person, &resolved, now))
    }

    pub(super) fn local(&self) -> Arc<Standing> {
        self.local.load_full()
    }

    pub(super) fn context(&self) -> &ParseContext {
        &self.context
    }

    pub(super) fn resolved(&self) -> Guard<Arc<Resolved>> {
        self.resolved.load()
    }

    /// Grows whenever a list was taken, or may name somebody inside whom it did not before.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// The lists whose file as it is now is not in force, with the reason.
    pub fn waiting(&self) -> Vec<(String, String)> {
        let own = self.lists().filter_map(|list| Some((list.name.clone(), list.waiting()?)));
        own.chain(self.shared.iter().filter_map(|list| Some((list.name().to_owned(), list.waiting()?))))
            .collect()
    }

    /// A list's name in messages: `blacklist scrapers`; empty if there is none of that name.
    pub fn what(&self, name: &str) -> String {
        let own = self.lists().find(|list| list.name == name).map(|list| list.file.what().to_owned());
        own.or_else(|| self.shared_list(name).map(SharedList::what)).unwrap_or_default()
    }

    /// Whether somebody may be writing a list's file at this moment.
    pub fn is_unsettled(&self, name: &str) -> bool {
        self.lists().any(|list| list.name == name && list.file.is_unsettled())
    }

    /// Takes a list's file as it is now, however small, as long as it is there and can be read.
    ///
    /// # Errors
    /// The sentence why not.
    pub fn accept(&self, name: &str, now: Timestamp) -> Result<String, String> {
        if let Some(list) = self.shared_list(name) {
            let detail = list.accept(now)?;
            self.look_again();
            return Ok(format!("{}: {detail}", list.what()));
        }
        let Some(list) = self.lists().find(|list| list.name == name) else {
            let own = self.lists().map(|list| list.name.as_str());
            let names: Vec<&str> = own.chain(self.shared.iter().map(SharedList::name)).collect();
            return Err(format!("there is no list `{name}`; there are: {}", names.join(", ")));
        };
        let detail = list.accept(now)?;
        self.generation.fetch_add(1, Ordering::SeqCst);
        Ok(format!("{}: {detail}", list.file.what()))
    }

    /// A line about each list.
    pub fn summary(&self) -> Vec<Summary> {
        let line = |list: &List| {
            let held = list.file.in_force();
            Summary {
                name: list.name.clone(),
                entries: held.as_ref().map(|held| held.value.len()),
                loaded_at: held.as_ref().map(|held| held.loaded_at),
                waiting: list.waiting(),
                fetched: list.download.as_ref().map(|download| download.freshness()),
                shared: None,
            }
        };
        let of_others = |list: &SharedList| Summary {
            name: list.name().to_owned(),
            entries: list.entries().map(|(entries, _)| entries),
            loaded_at: list.entries().map(|(_, at)| at),
            waiting: list.waiting(),
            fetched: list.download().map(|download| download.freshness()),
            shared: list.standing(),
        };
        self.lists().map(line).chain(self.shared.iter().map(of_others)).collect()
    }

    /// The lists that come from URLs.
    pub fn downloads(&self) -> Vec<Arc<Download>> {
        let shared = self.shared.iter().filter_map(|list| list.download().cloned());
        self.lists().filter_map(|list| list.download.clone()).chain(shared).collect()
    }

    fn lists(&self) -> impl Iterator<Item = &List> {
        self.blacklists.iter().chain(&self.allowlist)
    }
}

impl List {
    /// That what is fetched is not there yet is told by who fetches it.
    fn worth_telling(&self, takeup: Takeup) -> Option<Takeup> {
        let is_awaited = self.download.as_ref().is_some_and(|download| !download.is_there());
        (!is_awaited).then_some(takeup)
    }

    fn poll(&self, now: Timestamp) -> Option<Takeup> {
        let takeup = self.file.poll(now);
        // Tens of megabytes: not to be held a moment longer.
        drop(self.file.take_replaced());
        self.worth_telling(takeup?)
    }

    fn accept(&self, now: Timestamp) -> Result<String, String> {
        let accepted = self.file.accept(now);
        drop(self.file.take_replaced());
        accepted
    }

    /// Why the list as it is now is not in force.
    fn waiting(&self) -> Option<String> {
        let awaited = self.download.as_ref().filter(|download| !download.is_there());
        match awaited {
            Some(download) => Some(download.absence()),
            None => self.file.waiting(),
        }
    }

    /// See [`ListSet::rules_out`].
    fn rules_out(&self, lid: Lid, resolved: &Resolved, now: Timestamp) -> bool {
        self.file.in_force().is_some_and(|held| held.value.rules_out(lid, resolved, now))
    }

    /// The entry, if one names them; the sentence why nobody can tell otherwise.
    fn find(&self, person: Person, resolved: &Resolved, now: Timestamp) -> Result<Option<ListHit>, String> {
        let Some(held) = self.file.in_force() else {
            let mend = match &self.download {
                Some(download) => format!("{} has it", download.host()),
                None => "mend its file".into(),
            };
            return Err(format!("{} was never read; {mend}", self.file.what()));
        };
        let named = |hit: ListHit| ListHit { list: self.name.clone(), ..hit };
        if let Some(hit) = held.value.find(person, now) {
            return Ok(Some(named(hit)));
        }
        if person.phone.is_some() || !held.value.needs_phone() {
            return Ok(None);
        }
        match person.lid.and_then(|lid| held.value.find_hidden(lid, resolved, now)) {
            Some(hit) => Ok(Some(named(hit))),
            None => Err(format!("the phone is hidden, and {} names phones", self.file.what())),
        }
    }
}
