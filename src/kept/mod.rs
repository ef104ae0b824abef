//! An owner's file that is taken up when it changes, and its last good copy.
//!
//! Promise P6 for lists and the subscription file: a change is read once it has stood still over three polls, or for
//! longer where it was seen in the middle of being written; what changes while it is read is read again; what does not
//! parse, is missing, empty, breaks off or shrunk by more than `max_shrink` is refused and waits for `accept`, while what
//! was in force stays in force. After each take-up the bytes are kept in `data_dir`, and used at a start at which the
//! file itself is bad. A file is read in one pass, however large it is. What the bytes mean is the business of the
//! caller's `parse`.

mod looks;
mod pass;

#[cfg(test)]
mod tests;

use crate::{clock::Timestamp, takeup::Takeup};
use arc_swap::ArcSwapOption;
use looks::{Looks, Watch};
pub use pass::open_file;
use pass::{CHUNK, Pass, keep};
use std::{
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
};
use tempfile::NamedTempFile;

/// What the content of a file comes to.
pub trait Content: Send + Sync + 'static {
    /// How many people or rules it names; zero counts as empty.
    fn entries(&self) -> usize;
    /// What is worth a line in the log besides the number of entries.
    fn remarks(&self) -> Option<String> {
        None
    }
    /// What of the file was left out, with the places.
    fn flaw(&self) -> Option<String> {
        None
    }
}

/// Reads a file; the sentence with file and line otherwise. The path is for messages only.
pub type Parse<T> = Box<dyn Fn(&mut dyn BufRead, &Path, Timestamp) -> Result<T, String> + Send + Sync>;

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
    /// Bytes of the file.
    len: u64,
    /// Its last line has its end.
    ends: bool,
}

/// What one pass over a file has come to.
struct Read<T> {
    held: InForce<T>,
    looks: Looks,
    copy: Result<Option<NamedTempFile>, io::Error>,
}

/// Why a file is not taken.
enum Refusal {
    /// It is being written; the next polls look again.
    Unsettled,
    /// The sentence; whether it has lost much of what is in force; whether it could not even be opened.
    Because { why: String, has_lost: bool, was_shut: bool },
}

struct State {
    watch: Watch,
    /// When it was judged last; `Some(None)`: it was missing.
    judged: Option<Option<Looks>>,
    /// As it was judged last it had lost much of what is in force.
    has_lost: bool,
    /// When it was judged last it was there and could not be opened, which may pass without a change of its looks.
    was_shut: bool,
}

/// A file of the owner's, followed.
pub struct KeptFile<T> {
    rules: Rules<T>,
    /// Whether copies are written.
    keeps: bool,
    /// Why the copy that was found at the start says nothing: what it held was in force once, nobody knows what it was.
    lost_copy: Option<String>,
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
        let looks = Looks::of(&rules.path);
        // As it mostly is: the file is what was kept of it, and is read once.
        let is_kept = is_same(&rules.path, &rules.kept).unwrap_or(false);
        let mut file = Self {
            rules,
            keeps: keeps && !is_kept,
            lost_copy: None,
            state: Mutex::new(State {
                watch: Watch::new(looks, now),
                judged: None,
                has_lost: false,
                was_shut: false,
            }),
            in_force: ArcSwapOption::empty(),
            replaced: ArcSwapOption::empty(),
            waiting: ArcSwapOption::empty(),
        };
        if !is_kept {
            match file.pass(&file.rules.kept, now) {
                Ok(read) => file.in_force.store(Some(Arc::new(read.held))),
                Err(why) if file.rules.kept.exists() => file.lost_copy = Some(why),
                Err(_) => {}
            }
        }
        let mut state = file.lock();
        let takeup = file.judge(&mut state, looks, now).unwrap_or_else(|| {
            let why =
                format!("{} is being written; it is read when it stands still", file.rules.path.display());
            file.refused(why)
        });
        drop(state);
        file.keeps = keeps;
        if is_kept {
            file.replaced.store(file.in_force());
        }
        (file, takeup)
    }

    /// Looks at the file. To be called every half second or so, where blocking is allowed; says something only when
    /// the file changed and has been judged.
    pub fn poll(&self, now: Timestamp) -> Option<Takeup> {
        let mut state = self.lock();
        let looks = Looks::of(&self.rules.path);
        let has_lost = state.has_lost;
        state.watch.note(looks, has_lost);
        if state.judged == Some(looks) && !(state.was_shut && open_file(&self.rules.path).is_ok()) {
            return None;
        }
        let is_back = || state.watch.pauses() && self.is_in_force(looks);
        if !state.watch.is_still() && !is_back() {
            return None;
        }
        let was_waiting = self.waiting.load().is_some();
        let before = self.in_force.load().as_ref().map(|held| held.digest);
        let takeup = self.judge(&mut state, looks, now)?;
        let after = self.in_force.load().as_ref().map(|held| held.digest);
        // Touched, not changed: nothing to say.
        let silent = before.is_some() && before == after && !was_waiting;
        (!silent || matches!(takeup, Takeup::Refused { .. })).then_some(takeup)
    }

    /// Whether somebody may be writing the file: it looks otherwise than at the last poll, or not often enough the same,
    /// or is being read just now.
    pub fn is_unsettled(&self) -> bool {
        let state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            Err(TryLockError::WouldBlock) => return true,
        };
        !state.watch.is_still() || !state.watch.looked(Looks::of(&self.rules.path))
    }

    /// Takes the file as it is now, however small it is, as long as it is there, can be read, and was not seen in the
    /// middle of being written.
    ///
    /// # Errors
    /// The sentence why it cannot be taken.
    pub fn accept(&self, now: Timestamp) -> Result<String, String> {
        let mut state = self.lock();
        let looks = Looks::of(&self.rules.path);
        let read = self.read(now).map_err(|why| format!("{why}; put it back, then accept it"))??;
        if !state.watch.is_still() || looks != Some(read.looks) || Looks::of(&self.rules.path) != looks {
            return Err(format!(
                "{} is being written; accept it when that is done",
                self.rules.path.display()
            ));
        }
        (state.judged, state.has_lost, state.was_shut) = (Some(looks), false, false);
        let (detail, flaw) = self.take(read);
        Ok(match flaw {
            Some(flaw) => format!("{detail}; {flaw}"),
            None => detail,
        })
    }

    /// What is in force; `None` if there never was a good file.
    pub fn in_force(&self) -> Option<Arc<InForce<T>>> {
        self.in_force.load_full()
    }

    /// What the file in force has replaced, once: the last good copy at a start, and then what was taken before it.
    pub fn take_replaced(&self) -> Option<Arc<InForce<T>>> {
        self.replaced.swap(None)
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

    /// Whether a file that looks like this is what is in force.
    fn is_in_force(&self, looks: Option<Looks>) -> bool {
        let in_force = self.in_force.load();
        let (Some(held), Some(looks)) = (in_force.as_ref(), looks) else { return false };
        let digest = || Pass::finish(Pass::open(&self.rules.path, None)?).map(|passed| passed.digest);
        held.len == looks.len && digest().is_ok_and(|digest| digest == held.digest)
    }

    /// Reads the file and takes or refuses it; `None` if it must be looked at again.
    fn judge(&self, state: &mut State, looks: Option<Looks>, now: Timestamp) -> Option<Takeup> {
        let weighed = match self.weigh(looks, now) {
            // It changed under the reading.
            Ok(_) if Looks::of(&self.rules.path) != looks => Err(Refusal::Unsettled),
            // Somebody may be in the middle of a line.
            Ok(read) if !read.held.ends && self.ended() && state.watch.doubt() => Err(Refusal::Unsettled),
            weighed => weighed,
        };
        (state.judged, state.has_lost, state.was_shut) = (Some(looks), false, false);
        match weighed {
            Ok(read) => {
                let (detail, flaw) = self.take(read);
                Some(Takeup::Taken { what: self.rules.what.clone(), detail, flaw })
            }
            Err(Refusal::Unsettled) => {
                state.judged = None;
                None
            }
            Err(Refusal::Because { why, has_lost, was_shut }) => {
                (state.has_lost, state.was_shut) = (has_lost, was_shut);
                Some(self.refused(why))
            }
        }
    }

    /// Whether the last line of what is in force has its end.
    fn ended(&self) -> bool {
        self.in_force.load().as_ref().is_some_and(|held| held.ends)
    }

    fn refused(&self, why: String) -> Takeup {
        let why = format!("{why}\n{}", self.what_holds());
        self.waiting.store(Some(Arc::new(why.clone())));
        Takeup::Refused { what: self.rules.what.clone(), why }
    }

    /// The new content if it may be taken unasked.
    fn weigh(&self, looks: Option<Looks>, now: Timestamp) -> Result<Read<T>, Refusal> {
        let place = self.rules.path.display();
        let accept = &self.rules.accept;
        let because = |why, was_shut| Refusal::Because { why, has_lost: false, was_shut };
        let read = self.read(now).map_err(|why| because(format!("{why}; put it back"), looks.is_some()))?;
        let read = match read {
            Ok(read) if looks == Some(read.looks) => read,
            Ok(_) => return Err(Refusal::Unsettled),
            // Half of a line may be what is broken.
            Err(_) if Looks::of(&self.rules.path) != looks => return Err(Refusal::Unsettled),
            Err(why) => return Err(because(why, false)),
        };
        let lost = |why| Err(Refusal::Because { why, has_lost: true, was_shut: false });
        let after = read.held.value.entries();
        let in_force = self.in_force.load();
        match in_force.as_ref().map(|held| (held, held.value.entries())) {
            None if after == 0 && (!self.rules.may_begin_empty || self.lost_copy.is_some()) => {
                lost(format!("{place} names nobody; fill it, or if that is meant: {accept}"))
            }
            Some((_, before)) if before > 0 && after == 0 => lost(format!(
                "{place} is empty, it had {before} entries; fill it, or if that is meant: {accept}"
            )),
            Some((_, before)) if shrunk(before, after) > self.rules.max_shrink => lost(format!(
                "{place} shrank from {before} to {after} entries, more than the {:.0} % of `max_shrink`; \
                 if that is meant: {accept}",
                self.rules.max_shrink * 100.0
            )),
            // It may end in half of a number, which is somebody else's.
            Some((held, before)) if held.ends && !read.held.ends && read.held.len < held.len => {
                lost(format!(
                    "{place} breaks off: it has {after} entries of {before}, and its last line has no end; \
                 write it whole, or if that is meant: {accept}"
                ))
            }
            _ => Ok(read),
        }
    }

    /// Reads the owner's file: the outer error is that it cannot be opened, the inner one what it says.
    fn read(&self, now: Timestamp) -> Result<Result<Read<T>, String>, String> {
        let path = &self.rules.path;
        let kept = Some(self.rules.kept.as_path()).filter(|_| self.keeps);
        let reader = Pass::open(path, kept).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("{} is missing", path.display()),
            _ => format!("{} cannot be read ({error})", path.display()),
        })?;
        Ok(self.parsed(reader, path, now))
    }

    fn pass(&self, path: &Path, now: Timestamp) -> Result<Read<T>, String> {
        let reader = Pass::open(path, None).map_err(|error| error.to_string())?;
        self.parsed(reader, path, now)
    }

    fn parsed(&self, mut reader: BufReader<Pass>, path: &Path, now: Timestamp) -> Result<Read<T>, String> {
        let value = (self.rules.parse)(&mut reader, path, now)?;
        let passed =
            Pass::finish(reader).map_err(|error| format!("{} cannot be read ({error})", path.display()))?;
        let (looks, copy) = (passed.looks, passed.copy);
        let held =
            InForce { value, loaded_at: now, digest: passed.digest, len: passed.len, ends: passed.ends };
        Ok(Read { held, looks, copy })
    }

    /// Puts it in force and keeps a copy. Answers with a line for the log, and with what is for the owner to mend.
    fn take(&self, read: Read<T>) -> (String, Option<String>) {
        let Read { held, copy, .. } = read;
        let before = self.in_force.load().as_ref().map(|held| held.value.entries());
        let mut detail = match before {
            Some(before) if before != held.value.entries() => {
                format!("{} entries, before {before}", held.value.entries())
            }
            _ => format!("{} entries", held.value.entries()),
        };
        if let Some(remarks) = held.value.remarks() {
            detail = format!("{detail}; {remarks}");
        }
        let mut flaws =
            Vec::from_iter(held.value.flaw().map(|flaw| format!("broken lines are left out: {flaw}")));
        if let (None, Some(why)) = (before, &self.lost_copy) {
            let what = "whether it shrank is not known, as its last good copy could not be read";
            flaws.push(format!("{what}; look whether it is whole: {why}"));
        }
        let kept = copy.and_then(|copy| copy.map_or(Ok(()), |copy| keep(copy, &self.rules.kept)));
        if let Err(error) = kept {
            let place = self.rules.kept.display();
            flaws.push(format!(
                "no copy could be kept in {place} ({error}); make room, then save the file again"
            ));
        }
        let flaw = (!flaws.is_empty()).then(|| flaws.join("\n"));
        let before = self.in_force.swap(Some(Arc::new(held)));
        self.replaced.store(before);
        self.waiting.store(None);
        (detail, flaw)
    }

    fn what_holds(&self) -> String {
        match (self.in_force.load().as_ref(), &self.lost_copy) {
            (Some(held), _) => format!("the last good one stays in force: {} entries", held.value.entries()),
            (None, Some(why)) => {
                format!("its last good copy could not be read, so what it would say is unknown: {why}")
            }
            (None, None) => "there was never a good one, so what it would say is unknown".into(),
        }
    }
}

/// The share that is gone.
fn shrunk(before: usize, after: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    let share = before.saturating_sub(after) as f64 / before.max(1) as f64;
    share
}

/// Whether two files hold the same.
///
/// # Errors
/// If one of them cannot be read.
pub fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (open_file(one)?, open_file(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::with_capacity(CHUNK, one), BufReader::with_capacity(CHUNK, other));
    loop {
        let (here, there) = (one.fill_buf()?, other.fill_buf()?);
        let length = here.len().min(there.len());
        if here[..length] != there[..length] {
            return Ok(false);
        }
        if length == 0 {
            return Ok(here.len() == there.len());
        }
        one.consume(length);
        other.consume(length);
    }
}
