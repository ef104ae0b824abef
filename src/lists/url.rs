//! Lists from URLs: the file of the last answer, what was asked with, and how the server has been doing.
//!
//! The file is followed and judged like one of the owner's ([`crate::kept`]): an answer that is empty, broken or shrunk
//! waits for `accept`, and a start without the network finds the last one. When is looked is the caller's business.

use crate::{
    aside,
    clock::{Timestamp, format_duration},
    config,
    fetch::{self, Fetched, Schedule, Seen, Source},
    transport::Transport,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tempfile::NamedTempFile;

/// Bytes that are taken of one list: forty million lines with reasons.
const MOST: u64 = 2 << 30;

/// A list that comes from a URL.
pub struct Download {
    name: String,
    source: Source,
    file: PathBuf,
    state: Mutex<State>,
}

struct State {
    seen: Seen,
    freshness: Freshness,
    schedule: Schedule,
}

/// How a list's server has been doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Freshness {
    /// When the server last said what the list is, or that it is unchanged; `None`: never.
    pub fetched_at: Option<Timestamp>,
    /// Since when it does not; `None`: it does.
    pub failing_since: Option<Timestamp>,
    /// Why it does not, in a sentence.
    pub why: Option<String>,
}

/// What is kept beside the file.
#[derive(Serialize, Deserialize)]
struct Note {
    /// Which address it is from: what was asked with means nothing to another one.
    of: String,
    seen: Seen,
    fetched_at: Timestamp,
}

impl Download {
    /// `None` for a list that is the owner's own file.
    pub(super) fn open(list: &config::Blacklist, now: Timestamp) -> Option<Self> {
        let url = list.url.as_ref()?;
        let source =
            Source { url: url.url.clone(), headers: url.headers.clone(), patience: url.timeout, most: MOST };
        let note: Option<Note> =
            fs::read(beside(&list.path)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let note = note.filter(|note| note.of == address(&source));
        let fetched_at = note.as_ref().map(|note| note.fetched_at);
        let state = State {
            seen: note.map(|note| note.seen).unwrap_or_default(),
            freshness: Freshness { fetched_at, ..Freshness::default() },
            schedule: Schedule::new(url.refresh, fetched_at, now),
        };
        let state = Mutex::new(state);
        Some(Self { name: list.name.clone(), source, file: list.path.clone(), state })
    }

    /// The list's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server's name.
    pub fn host(&self) -> &str {
        fetch::host(&self.source.url)
    }

    /// Whether there ever was an answer.
    pub(super) fn is_there(&self) -> bool {
        self.file.exists()
    }

    /// Why it is not there.
    pub(super) fn absence(&self) -> String {
        let why = self.freshness().why.unwrap_or_else(|| "nobody has answered yet".into());
        format!("it was never fetched: {why}")
    }

    /// When to look next.
    pub fn due(&self) -> Timestamp {
        self.state().schedule.due()
    }

    /// How its server has been doing.
    pub fn freshness(&self) -> Freshness {
        self.state().freshness.clone()
    }

    /// Looks for another version and puts it in the file's place, whole. `now` is schedule time. Answers whether there was
    /// one.
    ///
    /// # Errors
    /// One sentence why nobody can tell; what is there stays.
    pub async fn look(&self, web: &dyn Transport, now: impl Fn() -> Timestamp) -> Result<bool, String> {
        // Without its file a version that we have seen is of no use.
        let seen = if self.is_there() { self.state().seen.clone() } else { Seen::default() };
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let looked = match fetch::fetch(web, &self.source, &seen, folder).await {
            Ok(Fetched::Unchanged) => Ok((seen, false)),
            Ok(Fetched::New { file, seen }) => self.put(file).await.map(|is_new| (seen, is_new)),
            Err(why) => Err(why),
        };
        let looked = looked.and_then(|(seen, is_new)| {
            let note = Note { of: address(&self.source), seen: seen.clone(), fetched_at: now() };
            let told = |error: io::Error| format!("{} cannot be written ({error})", folder.display());
            keep(&beside(&self.file), &note).map_err(told)?;
            Ok((seen, is_new))
        });
        self.note(looked, now())
    }

    /// Puts an answer in the file's place, unless it is the same: a server that knows no versions sends it each time. Answers
    /// whether it is another one.
    async fn put(&self, file: NamedTempFile) -> Result<bool, String> {
        let place = self.file.clone();
        let put = move || {
            if is_same(file.path(), &place)? {
                return Ok(false);
            }
            file.persist(&place).map(|_| true).map_err(|error| error.error)
        };
        let put = aside::run(put).await.map_err(|died| died.to_string())?;
        put.map_err(|error: io::Error| format!("{} cannot be written ({error})", self.file.display()))
    }

    fn note(&self, looked: Result<(Seen, bool), String>, now: Timestamp) -> Result<bool, String> {
        let mut state = self.state();
        match looked {
            Ok((seen, is_new)) => {
                state.seen = seen;
                state.freshness = Freshness { fetched_at: Some(now), ..Freshness::default() };
                state.schedule.succeeded(now);
                Ok(is_new)
            }
            Err(why) => {
                state.freshness.failing_since.get_or_insert(now);
                state.freshness.why = Some(why.clone());
                state.schedule.failed(now, fastrand::f64());
                Err(why)
            }
        }
    }

    /// What operators read when its server fails.
    pub fn trouble(&self, why: &str, now: Timestamp) -> String {
        let name = &self.name;
        match self.freshness().fetched_at {
            Some(at) => format!(
                "blacklist {name} cannot be fetched: {why}; the one fetched {} ago stays in force",
                format_duration(now.since(at))
            ),
            None => format!(
                "blacklist {name} cannot be fetched: {why}; it never was, so whom it names is unknown"
            ),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address, as far as it is to be recognised: it may hold a secret.
fn address(source: &Source) -> String {
    hex::encode(Sha256::digest(source.url.as_str()))
}

/// Whether two files hold the same; one that is not there holds nothing.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let Ok(theirs) = fs::File::open(other) else { return Ok(false) };
    let ours = fs::File::open(one)?;
    if ours.metadata()?.len() != theirs.metadata()?.len() {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (BufReader::new(ours), BufReader::new(theirs));
    loop {
        let (here, there) = (ours.fill_buf()?, theirs.fill_buf()?);
        let length = here.len().min(there.len());
        if here[..length] != there[..length] {
            return Ok(false);
        }
        if length == 0 {
            return Ok(here.len() == there.len());
        }
        ours.consume(length);
        theirs.consume(length);
    }
}

/// Where a file's note is.
fn beside(file: &Path) -> PathBuf {
    file.with_extension("fetched.json")
}

/// Writes the note so that a crash never leaves half of it.
fn keep(path: &Path, note: &Note) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut file, note)?;
    file.persist(path)?;
    Ok(())
}
