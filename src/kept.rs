//! An owner's file that is taken up when it changes, and its last good copy.
//!
//! Promise P6 for lists and the subscription file: a change is read once it has stood still over two polls; what does
//! not parse, is missing, empty or shrunk by more than `max_shrink` is refused and waits for `accept`, while what was
//! in force stays in force. After each take-up the bytes are kept in `data_dir`, and used at a start at which the
//! file itself is bad. What the bytes mean is the business of the caller's `parse`.

use crate::{clock::Timestamp, takeup::Takeup};
use arc_swap::ArcSwapOption;
use sha2::{Digest, Sha256};
use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// What the content of a file comes to.
pub trait Content: Send + Sync + 'static {
    /// How many people or rules it names; zero counts as empty.
    fn entries(&self) -> usize;
    /// What is worth a line in the log besides the number of entries.
    fn remarks(&self) -> Option<String> {
        None
    }
}

/// Reads bytes; the sentence with file and line otherwise. The path is for messages only.
pub type Parse<T> = Box<dyn Fn(&[u8], &Path, Timestamp) -> Result<T, String> + Send + Sync>;

/// What a file is and how it is judged.
pub struct Rules<T> {
    /// Its name in messages: `blacklist scrapers`.
    pub what: String,
    /// The owner's file.
    pub path: PathBuf,
    /// Where the last good copy is.
    pub kept: PathBuf,
    /// The share by which it may shrink unasked.
    pub max_shrink: f64,
    /// Whether an empty file may be taken when nothing was ever in force.
    pub may_begin_empty: bool,
    /// The verb that accepts it: `perimeterd blacklist accept scrapers`.
    pub accept: String,
    /// How its bytes are read.
    pub parse: Parse<T>,
}

/// What is in force.
#[derive(Debug)]
pub struct InForce<T> {
    /// The content.
    pub value: T,
    /// When it was taken.
    pub loaded_at: Timestamp,
    /// SHA-256 of the file.
    pub digest: [u8; 32],
}

/// The looks of a file: when they stand still, so does its content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Looks {
    len: u64,
    modified: Option<SystemTime>,
    /// Seconds and nanoseconds: tells an edit that puts the old modification time back.
    changed: (i64, i64),
    inode: u64,
}

struct State {
    /// At the last poll; `Some(None)`: it was missing.
    seen: Option<Option<Looks>>,
    /// When it was judged last.
    judged: Option<Option<Looks>>,
}

/// A file of the owner's, followed.
pub struct KeptFile<T> {
    rules: Rules<T>,
    /// Whether copies are written.
    keeps: bool,
    state: Mutex<State>,
    in_force: ArcSwapOption<InForce<T>>,
    /// What was in force before that.
    replaced: ArcSwapOption<InForce<T>>,
    /// Why the file as it is now is not in force. Beside the state, so that asking never waits for a long reading.
    waiting: ArcSwapOption<String>,
}

impl<T: Content> KeptFile<T> {
    /// Reads the file and its last good copy, judges the one by the other, and puts the better in force.
    pub fn open(rules: Rules<T>, now: Timestamp) -> (Self, Takeup) {
        Self::opened(rules, now, true)
    }

    /// Like [`KeptFile::open`], without keeping a copy.
    pub fn look(rules: Rules<T>, now: Timestamp) -> (Self, Takeup) {
        Self::opened(rules, now, false)
    }

    /// What [`KeptFile::open`] would say, without keeping a copy.
    pub fn check(rules: Rules<T>, now: Timestamp) -> Takeup {
        Self::opened(rules, now, false).1
    }

    fn opened(rules: Rules<T>, now: Timestamp, keeps: bool) -> (Self, Takeup) {
        let file = Self {
            rules,
            keeps,
            state: Mutex::new(State { seen: None, judged: None }),
            in_force: ArcSwapOption::empty(),
            replaced: ArcSwapOption::empty(),
            waiting: ArcSwapOption::empty(),
        };
        let kept = fs::read(&file.rules.kept).ok().and_then(|bytes| {
            let value = (file.rules.parse)(&bytes, &file.rules.kept, now).ok()?;
            Some(InForce { value, loaded_at: now, digest: Sha256::digest(&bytes).into() })
        });
        file.in_force.store(kept.map(Arc::new));
        let mut state = file.lock();
        let looks = file.looks();
        state.seen = Some(looks);
        let takeup = file.judge(&mut state, looks, now);
        drop(state);
        (file, takeup)
    }

    /// Looks at the file. To be called every half second or so, where blocking is allowed; says something only when
    /// the file changed and has been judged.
    pub fn poll(&self, now: Timestamp) -> Option<Takeup> {
        let mut state = self.lock();
        let looks = self.looks();
        let still = state.seen == Some(looks);
        state.seen = Some(looks);
        if !still || state.judged == Some(looks) {
            return None;
        }
        let was_waiting = self.waiting.load().is_some();
        let before = self.in_force.load_full();
        let takeup = self.judge(&mut state, looks, now);
        let same_file = match (before, self.in_force.load_full()) {
            (Some(before), Some(after)) => before.digest == after.digest,
            _ => false,
        };
        // Touched, not changed: nothing to say.
        let silent = same_file && !was_waiting && matches!(takeup, Takeup::Taken { .. });
        (!silent).then_some(takeup)
    }

    /// Takes the file as it is now, however small it is, as long as it is there and can be read.
    ///
    /// # Errors
    /// The sentence why it cannot be taken.
    pub fn accept(&self, now: Timestamp) -> Result<String, String> {
        let mut state = self.lock();
        let looks = self.looks();
        let bytes = self.read().map_err(|why| format!("{why}; put it back, then accept it"))?;
        let value = (self.rules.parse)(&bytes, &self.rules.path, now)?;
        state.seen = Some(looks);
        state.judged = Some(looks);
        self.waiting.store(None);
        Ok(self.take(value, &bytes, now))
    }

    /// What is in force; `None` if there never was a good file.
    pub fn in_force(&self) -> Option<Arc<InForce<T>>> {
        self.in_force.load_full()
    }

    /// What the file in force has replaced last: the last good copy at a start, and then what was taken before it.
    pub fn replaced(&self) -> Option<Arc<InForce<T>>> {
        self.replaced.load_full()
    }

    /// Why the file as it is now is not in force; `None` if it is.
    pub fn waiting(&self) -> Option<String> {
        self.waiting.load().as_deref().cloned()
    }

    /// The name in messages.
    pub fn what(&self) -> &str {
        &self.rules.what
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looks(&self) -> Option<Looks> {
        let meta = fs::metadata(&self.rules.path).ok()?;
        Some(Looks {
            len: meta.len(),
            modified: meta.modified().ok(),
            changed: (meta.ctime(), meta.ctime_nsec()),
            inode: meta.ino(),
        })
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        fs::read(&self.rules.path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("{} is missing", self.rules.path.display()),
            _ => format!("{} cannot be read ({error})", self.rules.path.display()),
        })
    }

    /// Reads the file and takes or refuses it.
    fn judge(&self, state: &mut State, looks: Option<Looks>, now: Timestamp) -> Takeup {
        state.judged = Some(looks);
        let what = self.rules.what.clone();
        match self.weigh(now) {
            Ok((value, bytes)) => {
                if self.looks() != looks {
                    // It changed under the reading: the next polls judge it again.
                    state.judged = None;
                }
                self.waiting.store(None);
                Takeup::Taken { what, detail: self.take(value, &bytes, now) }
            }
            Err(why) => {
                let why = format!("{why}\n{}", self.what_holds());
                self.waiting.store(Some(Arc::new(why.clone())));
                Takeup::Refused { what, why }
            }
        }
    }

    /// The new content if it may be taken unasked, the sentence why not otherwise.
    fn weigh(&self, now: Timestamp) -> Result<(T, Vec<u8>), String> {
        let place = self.rules.path.display();
        let accept = &self.rules.accept;
        let bytes = self.read().map_err(|why| format!("{why}; put it back"))?;
        let value = (self.rules.parse)(&bytes, &self.rules.path, now)?;
        let after = value.entries();
        match self.in_force.load().as_ref().map(|held| held.value.entries()) {
            None if after == 0 && !self.rules.may_begin_empty => {
                Err(format!("{place} names nobody; fill it, or if that is meant: {accept}"))
            }
            Some(before) if before > 0 && after == 0 => Err(format!(
                "{place} is empty, it had {before} entries; fill it, or if that is meant: {accept}"
            )),
            Some(before) if shrunk(before, after) > self.rules.max_shrink => Err(format!(
                "{place} shrank from {before} to {after} entries, more than the {:.0} % of `max_shrink`; \
                 if that is meant: {accept}",
                self.rules.max_shrink * 100.0
            )),
            _ => Ok((value, bytes)),
        }
    }

    /// Puts it in force and keeps a copy. Answers with a line for the log.
    fn take(&self, value: T, bytes: &[u8], now: Timestamp) -> String {
        let before = self.in_force.load().as_ref().map(|held| held.value.entries());
        let mut detail = match before {
            Some(before) if before != value.entries() => {
                format!("{} entries, before {before}", value.entries())
            }
            _ => format!("{} entries", value.entries()),
        };
        if let Some(remarks) = value.remarks() {
            detail = format!("{detail}; {remarks}");
        }
        let kept = if self.keeps { keep(&self.rules.kept, bytes) } else { Ok(()) };
        if let Err(error) = kept {
            detail = format!("{detail}; no copy could be kept in {} ({error})", self.rules.kept.display());
        }
        let digest = Sha256::digest(bytes).into();
        let before = self.in_force.swap(Some(Arc::new(InForce { value, loaded_at: now, digest })));
        self.replaced.store(before);
        detail
    }

    fn what_holds(&self) -> String {
        match self.in_force.load().as_ref() {
            Some(held) => format!("the last good one stays in force: {} entries", held.value.entries()),
            None => "there was never a good one, so what it would say is unknown".into(),
        }
    }
}

/// The share that is gone.
fn shrunk(before: usize, after: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    let share = before.saturating_sub(after) as f64 / before.max(1) as f64;
    share
}

/// Writes a copy so that a reader or a crash never meets half of it.
fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    fs::File::open(folder)?.sync_all()
}
