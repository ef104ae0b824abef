//! The policy set in force: try-then-swap, the last good set kept on disk, a refused edit reported once.
//!
//! Runs find the set by [`PolicyBook::current`] without waiting. The folder is looked at every half second by a cheap
//! fingerprint; an edit is taken up when two looks agree, so that a file is not read while it is being written.

use super::{LoadSpec, PolicySet, load, loader};
use crate::takeup::Takeup;
use arc_swap::ArcSwapOption;
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// The word for policies in reports.
const WHAT: &str = "policies";
/// The folders below the policies folder that hold parts of a set.
const FOLDERS: [&str; 4] = ["", "lib", "templates", "tests"];

/// Holds the policy set in force.
pub struct PolicyBook {
    spec: LoadSpec,
    kept: PathBuf,
    current: ArcSwapOption<PolicySet>,
    generation: AtomicU64,
    watch: Mutex<Watch>,
}

/// Of each file: length, time of change, and what tells copies apart that kept both (inode, time of the inode's change).
type Fingerprint = BTreeMap<PathBuf, (u64, Option<SystemTime>, u64, (i64, i64))>;

#[derive(Default)]
struct Watch {
    /// What was last looked at in earnest.
    settled: Fingerprint,
    /// What the last look saw, if it was new.
    pending: Option<Fingerprint>,
    /// The content that was last tried.
    tried: String,
    /// Why that is refused, if it is.
    refused: Option<String>,
}

impl PolicyBook {
    /// Loads the folder. Good: in force, and kept in `kept` as the last good copy. Bad: the last good copy is in force,
    /// and the refusal is told. Neither: [`PolicyBook::current`] is `None` until an edit is good.
    pub fn open(spec: LoadSpec, kept: PathBuf) -> (Self, Vec<Takeup>) {
        let book = Self {
            spec,
            kept,
            current: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            watch: Mutex::default(),
        };
        let mut watch = Watch { settled: fingerprint(&book.spec.dir), ..Watch::default() };
        let mut told = book.take_up(&mut watch);
        if book.current().is_none() {
            // The refusal is the last word: it stands as long as the files are as they are.
            told.splice(..0, book.fall_back());
        }
        *book.watch.lock().unwrap_or_else(PoisonError::into_inner) = watch;
        (book, told)
    }

    /// The set in force.
    pub fn current(&self) -> Option<Arc<PolicySet>> {
        self.current.load_full()
    }

    /// Grows with each swap.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Why the files as they stand are not in force, if they are not.
    pub fn refused(&self) -> Option<String> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }

    /// Looks at the folder; to be called every half second, from a thread that may block. An edit that stood still
    /// between two calls is taken up or refused; each content is refused only once.
    pub fn poll(&self) -> Vec<Takeup> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = fingerprint(&self.spec.dir);
        if seen == watch.settled {
            watch.pending = None;
            return Vec::new();
        }
        if watch.pending.as_ref() != Some(&seen) {
            watch.pending = Some(seen);
            return Vec::new();
        }
        watch.pending = None;
        watch.settled = seen;
        self.take_up(&mut watch)
    }

    fn take_up(&self, watch: &mut Watch) -> Vec<Takeup> {
        let content = content(&watch.settled);
        if content == watch.tried {
            return Vec::new();
        }
        watch.tried = content;
        match load(&self.spec) {
            Ok(set) => {
                let before = self.current();
                let was_refused = watch.refused.take().is_some();
                if before.as_ref().is_some_and(|before| before.hash() == set.hash()) {
                    // Files that no chain uses changed, or a bad edit was taken back.
                    let detail = "the files are good again; nothing changes".to_owned();
                    return if was_refused { vec![taken(detail)] } else { Vec::new() };
                }
                let detail = changes(before.as_deref(), &set);
                let kept = keep(&self.kept, &set);
                self.swap(set);
                let mut told = vec![taken(detail)];
                told.extend(kept.err().map(|error| {
                    let why =
                        format!("the last good copy cannot be written to {}: {error}", self.kept.display());
                    refused(why)
                }));
                told
            }
            Err(error) => {
                let why = error.to_string();
                let told = if self.current().is_some() {
                    format!("{why}\n  the policies before this edit stay in force")
                } else {
                    why.clone()
                };
                watch.refused = Some(why);
                vec![refused(told)]
            }
        }
    }

    /// At a start with bad files: the last good copy.
    fn fall_back(&self) -> Option<Takeup> {
        let dir = kept_dir(&self.kept).ok()?;
        let set = loader::load_from(&LoadSpec { dir, ..self.spec.clone() }, true).ok()?;
        let detail = format!(
            "the last good copy is in force ({} files), not the files in the folder",
            set.files().len()
        );
        self.swap(set);
        Some(taken(detail))
    }

    fn swap(&self, set: PolicySet) {
        self.current.store(Some(Arc::new(set)));
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

impl std::fmt::Debug for PolicyBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyBook").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

fn taken(detail: String) -> Takeup {
    Takeup::Taken { what: WHAT.into(), detail, flaw: None }
}

fn refused(why: String) -> Takeup {
    Takeup::Refused { what: WHAT.into(), why }
}

/// What the swap changes, for the log.
fn changes(before: Option<&PolicySet>, after: &PolicySet) -> String {
    let new: BTreeMap<_, _> = after.files().into_iter().collect();
    let Some(before) = before else { return format!("{} files", new.len()) };
    let old: BTreeMap<_, _> = before.files().into_iter().collect();
    let names = old.keys().chain(new.keys()).collect::<std::collections::BTreeSet<_>>();
    let changed: Vec<String> = names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| name.display().to_string())
        .collect();
    format!("changed: {}", changed.join(", "))
}

fn fingerprint(dir: &Path) -> Fingerprint {
    let mut found = Fingerprint::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(dir.join(folder)).into_iter().flatten().flatten() {
            let path = entry.path();
            let wanted = path.extension().is_some_and(|extension| extension == "rhai" || extension == "txt");
            // Followed, not the link's own: an owner may link policies from elsewhere.
            if wanted
                && let Ok(meta) = fs::metadata(&path)
                && meta.is_file()
            {
                let inode = (meta.ctime(), meta.ctime_nsec());
                found.insert(path, (meta.len(), meta.modified().ok(), meta.ino(), inode));
            }
        }
    }
    found
}

/// A hash over what the files say.
fn content(files: &Fingerprint) -> String {
    let texts: Vec<(String, String)> = files
        .keys()
        .map(|path| (path.display().to_string(), hex::encode(fs::read(path).unwrap_or_default())))
        .collect();
    loader::digest(texts.iter().flat_map(|(path, text)| [path.as_str(), text.as_str()]))
}

/// The file that names the copy in use; it is replaced in one step, so a crash leaves the old or the new copy.
const POINTER: &str = "current";

/// Writes the files of a set as the last good copy and drops the one before.
fn keep(kept: &Path, set: &PolicySet) -> io::Result<()> {
    fs::create_dir_all(kept)?;
    let before = fs::read_to_string(kept.join(POINTER)).unwrap_or_default();
    if before == set.hash() && kept.join(&before).is_dir() {
        return Ok(());
    }
    let staged = tempfile::tempdir_in(kept)?;
    for (path, text) in set.files() {
        let path = staged.path().join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        write_synced(&path, text.as_bytes())?;
    }
    let target = kept.join(set.hash());
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    fs::rename(staged.keep(), &target)?;
    let pointer = tempfile::NamedTempFile::new_in(kept)?;
    write_synced(pointer.path(), set.hash().as_bytes())?;
    pointer.persist(kept.join(POINTER)).map_err(|error| error.error)?;
    fs::File::open(kept)?.sync_all()?;
    if !before.is_empty() && before != set.hash() {
        fs::remove_dir_all(kept.join(before))?;
    }
    Ok(())
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()
}

fn kept_dir(kept: &Path) -> io::Result<PathBuf> {
    let name = fs::read_to_string(kept.join(POINTER))?;
    Ok(kept.join(name.trim()))
}
