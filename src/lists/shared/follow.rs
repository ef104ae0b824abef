//! A subscription: the publisher's files, what was seen of them, and what is in force.
//!
//! A document is judged once both files have stood still over two looks. Whatever is wrong with it, the last good one
//! stays in force and the operator is told once. What was taken is remembered before it counts: the document, its
//! signature, the highest version ever taken, and whether the owner accepted the list.

use super::{
    Document, Gone, HashKey, Kind, Verifier, Whom,
    download::download,
    memory::{Kept, Memory, read, signature_of},
};
use crate::{
    clock::Timestamp,
    config::{self, Trust},
    ids::Person,
    lists::Download,
    takeup::Takeup,
};
use arc_swap::ArcSwapOption;
use moka::sync::Cache;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

/// Hashes of members that are kept: one for each member and list, so that asking again costs no cryptography.
const HASHES: u64 = 100_000;

/// What is in force, or would be.
pub(in crate::lists) struct InForce {
    pub(super) document: Document,
    loaded_at: Timestamp,
    digest: [u8; 32],
    /// Whether it names phones, and LIDs.
    pub(super) names: (bool, bool),
}

/// How a subscription stands, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Who publishes it.
    pub publisher: String,
    /// The version in force.
    pub version: u64,
    /// When that one's time is over.
    pub expires: Timestamp,
    /// How far the configuration trusts it.
    pub trust: &'static str,
    /// How far it is trusted now: one that was not accepted yet only watches.
    pub in_effect: &'static str,
}

/// The looks of a file; see `kept`.
type Looks = Option<(u64, Option<SystemTime>, (i64, i64), u64)>;

#[derive(Default)]
struct Seen {
    looks: Option<[Looks; 2]>,
    judged: Option<[Looks; 2]>,
    told_of_end: bool,
    memory: Option<Memory>,
}

/// A shared list, followed.
pub(in crate::lists) struct SharedList {
    pub(super) name: String,
    published_as: String,
    path: PathBuf,
    /// Where the two files come from, if not from the owner.
    download: Option<Arc<Download>>,
    trust: Trust,
    verifier: Result<Verifier, String>,
    pub(super) key: Option<Result<HashKey, String>>,
    kept: Kept,
    max_shrink: f64,
    /// Whether anything is written.
    keeps: bool,
    seen: Mutex<Seen>,
    accepted: AtomicBool,
    pub(super) in_force: ArcSwapOption<InForce>,
    /// Good, and too small to be taken unasked.
    pending: ArcSwapOption<InForce>,
    waiting: ArcSwapOption<String>,
    pub(super) hashes: Cache<Person, Whom>,
}

impl SharedList {
    /// Takes up what was in force last, then looks at the files. `kept` is the folder of last good copies.
    pub(in crate::lists) fn open(
        config: &config::SharedList,
        max_shrink: f64,
        kept: &Path,
        now: Timestamp,
        keeps: bool,
    ) -> (Self, Vec<Takeup>) {
        let key = config.key.as_ref().map(|secret| match secret.expose() {
            Ok(text) => HashKey::new(text),
            Err(why) => Err(why.to_owned()),
        });
        let verifier = Verifier::new(&config.public_key);
        let list = Self {
            name: config.name.clone(),
            published_as: config.published_as.clone(),
            path: config.path.clone(),
            download: download(config, verifier.clone(), now).map(Arc::new),
            trust: config.trust,
            verifier,
            key,
            kept: Kept { folder: kept.join("shared"), name: config.name.clone() },
            max_shrink,
            keeps,
            seen: Mutex::default(),
            accepted: AtomicBool::new(false),
            in_force: ArcSwapOption::empty(),
            pending: ArcSwapOption::empty(),
            waiting: ArcSwapOption::empty(),
            hashes: Cache::new(HASHES),
        };
        let mut seen = list.lock();
        list.remember(&mut seen, now);
        let looks = list.looks();
        seen.looks = Some(looks);
        let takeups = list.judge(&mut seen, looks, now);
        drop(seen);
        let takeups = if list.awaited().is_some() { Vec::new() } else { takeups };
        (list, takeups)
    }

    /// Looks at the files; says something only when there is something to say. Blocks on the disk.
    pub(in crate::lists) fn poll(&self, now: Timestamp) -> Vec<Takeup> {
        let mut seen = self.lock();
        let looks = self.looks();
        let still = seen.looks == Some(looks);
        seen.looks = Some(looks);
        let mut takeups = Vec::new();
        if still && seen.judged != Some(looks) {
            let before = (self.digest(), self.waiting.load_full());
            takeups = self.judge(&mut seen, looks, now);
            if before == (self.digest(), self.waiting.load_full()) {
                // Touched, not changed.
                takeups.clear();
            }
            if self.awaited().is_some() {
                // That what is fetched is not there is told by who fetches it.
                takeups.clear();
            }
        }
        takeups.extend(self.end(&mut seen, now));
        takeups
    }

    /// Takes the document as it is now though it lost many entries, and trusts the list as far as configured. A
    /// document that is not to be relied on is never taken.
    ///
    /// # Errors
    /// The sentence why not.
    pub(in crate::lists) fn accept(&self, now: Timestamp) -> Result<String, String> {
        let mut seen = self.lock();
        let looks = self.looks();
        let (found, files) = self.weigh(&seen, now)?;
        if self.previewed().is_some_and(|seen| seen.digest != found.digest) {
            let (name, version) = (&self.name, found.document.header.version);
            return Err(format!(
                "version {version} has come just now; see first whom it would touch with `perimeterd blacklist preview {name}`"
            ));
        }
        seen.looks = Some(looks);
        seen.judged = Some(looks);
        let detail = self.take(&mut seen, found, &files, true)?;
        self.waiting.store(self.ended(now).map(Arc::new));
        Ok(detail)
    }

    /// The version that a preview is of.
    pub(in crate::lists) fn previewed_version(&self) -> Option<u64> {
        self.previewed().map(|held| held.document.header.version)
    }

    pub(super) fn previewed(&self) -> Option<Arc<InForce>> {
        self.pending.load_full().or_else(|| self.in_force.load_full())
    }

    /// Why an entry no longer holds; `None` while it does, or while nobody can tell.
    pub(in crate::lists) fn gone(&self, entry: &str, now: Timestamp) -> Option<Gone> {
        let held = self.in_force.load_full()?;
        let header = &held.document.header;
        let gone = held.document.gone(entry, now)?;
        Some(Gone { why: format!("{} (version {}): {}", self.what(), header.version, gone.why), ..gone })
    }

    /// How far it is trusted now.
    pub(in crate::lists) fn trust(&self) -> Trust {
        match self.trust {
            Trust::Enforce if !self.accepted.load(Ordering::SeqCst) => Trust::Watch,
            trust => trust,
        }
    }

    /// How far the configuration trusts it.
    pub(in crate::lists) fn configured(&self) -> Trust {
        self.trust
    }

    /// The name in messages.
    pub(in crate::lists) fn what(&self) -> String {
        format!("shared list {}", self.name)
    }

    /// The name in the configuration.
    pub(in crate::lists) fn name(&self) -> &str {
        &self.name
    }

    /// Why the files as they are now are not in force, or not wholly.
    pub(in crate::lists) fn waiting(&self) -> Option<String> {
        match self.awaited() {
            Some(download) => Some(download.absence()),
            None => self.waiting.load().as_deref().cloned(),
        }
    }

    /// What fetches the files, if not their owner puts them there.
    pub(in crate::lists) fn download(&self) -> Option<&Arc<Download>> {
        self.download.as_ref()
    }

    /// Who fetches the files, while they are not there.
    fn awaited(&self) -> Option<&Arc<Download>> {
        self.download().filter(|download| !download.is_there())
    }

    /// Entries in force and when they were taken.
    pub(in crate::lists) fn entries(&self) -> Option<(usize, Timestamp)> {
        self.in_force.load_full().map(|held| (held.document.entries().len(), held.loaded_at))
    }

    /// How it stands.
    pub(in crate::lists) fn standing(&self) -> Option<Standing> {
        let held = self.in_force.load_full()?;
        let header = &held.document.header;
        Some(Standing {
            publisher: header.publisher.clone(),
            version: header.version,
            expires: header.expires,
            trust: self.trust.as_str(),
            in_effect: self.trust().as_str(),
        })
    }

    /// What it says and how far that counts, in short.
    pub(in crate::lists) fn state(&self) -> [u8; 33] {
        let mut state = [0; 33];
        state[..32].copy_from_slice(&self.digest().unwrap_or_default());
        state[32] = self.trust() as u8;
        state
    }

    fn digest(&self) -> Option<[u8; 32]> {
        self.in_force.load_full().map(|held| held.digest)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looks(&self) -> [Looks; 2] {
        [self.path.clone(), signature_of(&self.path)].map(|path| {
            let meta = fs::metadata(path).ok()?;
            Some((meta.len(), meta.modified().ok(), (meta.ctime(), meta.ctime_nsec()), meta.ino()))
        })
    }

    /// Judges the files and takes them or not.
    fn judge(&self, seen: &mut Seen, looks: [Looks; 2], now: Timestamp) -> Vec<Takeup> {
        seen.judged = Some(looks);
        self.pending.store(None);
        let weighed = self.weigh(seen, now).and_then(|(found, files)| match self.shrunk(&found, now) {
            Some(why) => {
                self.pending.store(Some(Arc::new(found)));
                Err(why)
            }
            None => self.take(seen, found, &files, false),
        });
        if self.looks() != looks {
            // They changed under the reading: the next looks judge them again, and what is wrong may be just that.
            seen.judged = None;
            if weighed.is_err() {
                return Vec::new();
            }
        }
        let what = self.what();
        match weighed {
            Ok(detail) => {
                let unaccepted = (self.trust == Trust::Enforce && self.trust() == Trust::Watch).then(|| {
                    let name = &self.name;
                    format!(
                        "it is new and only watches until it is accepted; see whom it would touch with `perimeterd \
                         blacklist preview {name}`, then let it with `perimeterd blacklist accept {name}`"
                    )
                });
                let ended = self.ended(now);
                seen.told_of_end = ended.is_some();
                let why = ended.or(unaccepted);
                self.waiting.store(why.clone().map(Arc::new));
                let refused = why.map(|why| Takeup::Refused { what: what.clone(), why });
                std::iter::once(Takeup::Taken { what, detail, flaw: None }).chain(refused).collect()
            }
            Err(why) => {
                let why = format!("{why}\n{}", self.what_holds());
                self.waiting.store(Some(Arc::new(why.clone())));
                vec![Takeup::Refused { what, why }]
            }
        }
    }

    /// The document if it is to be relied on, with its two files; the sentence why not otherwise.
    fn weigh(&self, seen: &Seen, now: Timestamp) -> Result<(InForce, [Vec<u8>; 2]), String> {
        if let Some(download) = self.awaited() {
            return Err(download.absence());
        }
        let place = self.path.display();
        let files = [read(&self.path)?, read(&signature_of(&self.path))?];
        let found = self.verified(&files, now).map_err(|why| format!("{place}: {why}"))?;
        let header = &found.document.header;
        // The end of the one in force is told apart.
        let is_in_force = self.digest() == Some(found.digest);
        if header.expires <= now && !is_in_force {
            let (version, expires) = (header.version, header.expires);
            return Err(format!(
                "{place}: version {version} has expired on {expires}; its publisher must make a new one"
            ));
        }
        let Some(memory) = &seen.memory else { return Ok((found, files)) };
        let (version, before) = (header.version, memory.version);
        if version < before {
            return Err(format!(
                "{place}: it is version {version}, older than version {before} that was taken before"
            ));
        }
        if version == before && hex::encode(found.digest) != memory.digest {
            return Err(format!(
                "{place}: it is another version {version} than the one that was taken before; its publisher must count on"
            ));
        }
        Ok((found, files))
    }

    /// What its signer, its name and its key make of a document.
    fn verified(&self, [bytes, signature]: &[Vec<u8>; 2], now: Timestamp) -> Result<InForce, String> {
        let signature = String::from_utf8_lossy(signature);
        self.verifier.as_ref().map_err(Clone::clone)?.verify(bytes, &signature)?;
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
        let document = Document::parse(text)?;
        let header = &document.header;
        if header.name != self.published_as {
            return Err(format!(
                "it is the list `{}`, not `{}`; set `published_as` if that is the one you mean",
                header.name, self.published_as
            ));
        }
        if let Kind::Hashes(id) = &header.kind {
            let key = self.key.as_ref().ok_or("it has hashes; set `key` to what its subscribers share")?;
            let own = key.as_ref().map_err(Clone::clone)?.id();
            if own != *id {
                return Err(format!(
                    "its hashes are made with the key {id}, yours is {own}; ask its publisher"
                ));
            }
        }
        let names = document.names();
        Ok(InForce { names, loaded_at: now, digest: Sha256::digest(bytes).into(), document })
    }

    /// Why a good document is not taken unasked: entries that are gone though nobody took them back.
    fn shrunk(&self, found: &InForce, now: Timestamp) -> Option<String> {
        let held = self.in_force.load_full()?;
        let before = held.document.entries().len();
        let lost = found.document.lost_since(&held.document, now);
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
        let share = lost as f64 / before.max(1) as f64;
        (share > self.max_shrink).then(|| {
            format!(
                "{}: {lost} of {before} entries are gone without a retraction, more than the {:.0} % of `max_shrink`; if \
                 that is meant: perimeterd blacklist accept {}",
                self.path.display(),
                self.max_shrink * 100.0,
                self.name
            )
        })
    }

    /// Remembers it, then puts it in force. Answers with a line for the log.
    fn take(
        &self,
        seen: &mut Seen,
        found: InForce,
        files: &[Vec<u8>; 2],
        accepts: bool,
    ) -> Result<String, String> {
        let accepted = accepts || self.accepted.load(Ordering::SeqCst);
        let memory = Memory {
            public_key: self.verifier.as_ref().map_or("", |verifier| verifier.text()).to_owned(),
            published_as: self.published_as.clone(),
            version: found.document.header.version,
            digest: hex::encode(found.digest),
            accepted: accepted && self.trust == Trust::Enforce,
        };
        if self.keeps {
            self.kept.keep(&memory, files).map_err(|error| {
                format!("it cannot be kept in {} ({error}), so it is not taken", self.kept.folder.display())
            })?;
        }
        let document = &found.document;
        let before = self.in_force.load_full().map(|held| held.document.entries().len());
        let entries = document.entries().len();
        let change = match before {
            Some(before) if before != entries => format!("{entries} entries, before {before}"),
            _ => format!("{entries} entries"),
        };
        let detail = format!(
            "version {} of {}: {change}, {} retracted; trust is {}",
            document.header.version,
            document.header.publisher,
            document.retractions().len(),
            if memory.accepted || self.trust != Trust::Enforce { self.trust } else { Trust::Watch }.as_str()
        );
        self.accepted.store(memory.accepted, Ordering::SeqCst);
        seen.memory = Some(memory);
        self.pending.store(None);
        self.in_force.store(Some(Arc::new(found)));
        Ok(detail)
    }

    /// What an earlier run took, if the subscription still means the same publisher.
    fn remember(&self, seen: &mut Seen, now: Timestamp) {
        let Ok(verifier) = &self.verifier else { return };
        let (memory, files) = self.kept.load();
        // Another publisher, or another list of the same one, is nothing that was taken or accepted before.
        seen.memory = memory.filter(|memory: &Memory| {
            memory.public_key == verifier.text() && memory.published_as == self.published_as
        });
        let accepted = seen.memory.as_ref().is_some_and(|memory| memory.accepted);
        self.accepted.store(accepted, Ordering::SeqCst);
        let Some(files) = files else { return };
        if let Ok(found) = self.verified(&files, now) {
            let version = found.document.header.version;
            if seen.memory.as_ref().is_none_or(|memory| memory.version < version) {
                // A stop came between the document and the memory.
                let (public_key, digest) = (verifier.text().to_owned(), hex::encode(found.digest));
                let published_as = self.published_as.clone();
                seen.memory = Some(Memory { public_key, published_as, version, digest, accepted });
            }
            self.in_force.store(Some(Arc::new(found)));
        }
    }

    /// Tells once that the document in force has come to its end.
    fn end(&self, seen: &mut Seen, now: Timestamp) -> Option<Takeup> {
        let why = self.ended(now).filter(|_| !seen.told_of_end)?;
        seen.told_of_end = true;
        if self.waiting().is_none() {
            self.waiting.store(Some(Arc::new(why.clone())));
        }
        Some(Takeup::Refused { what: self.what(), why })
    }

    /// That the time of the document in force is over.
    fn ended(&self, now: Timestamp) -> Option<String> {
        let held = self.in_force.load_full()?;
        let header = &held.document.header;
        (header.expires <= now).then(|| {
            format!(
                "version {} has expired on {}: whom it names stays until its publisher makes a new one",
                header.version, header.expires
            )
        })
    }

    fn what_holds(&self) -> String {
        match self.in_force.load_full() {
            Some(held) => {
                let entries = held.document.entries().len();
                format!("version {} stays in force: {entries} entries", held.document.header.version)
            }
            None => "there was never a good one, so what it would say is unknown".into(),
        }
    }
}
