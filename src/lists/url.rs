//! Lists from URLs: the file of the last answer, what was asked with, and how the server has been doing.
//!
//! The file is followed and judged like one of the owner's ([`crate::kept`]): an answer that is empty, broken or shrunk
//! waits for `accept`, and a start without the network finds the last one. When is looked is the caller's business.
//!
//! A signed list is two files. They are put down together, once the signature is of that list; what that means is the
//! caller's business, too.

use crate::{
    aside,
    clock::{Timestamp, format_duration},
    config::{self, ListUrl},
    fetch::{self, Fetched, Schedule, Seen, Source},
    kept::is_same,
    transport::Transport,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tempfile::NamedTempFile;
use url::Url;

/// Bytes that are taken of one list: forty million lines with reasons.
const MOST: u64 = 2 << 30;

/// Bytes that are taken of a signature.
const MOST_OF_A_SIGNATURE: u64 = 64 << 10;

/// A list and its signature are two files, and neither changes with the other: so many looks in a row may find two that do
/// not fit, over some minutes, before they are put down as they are, to be refused.
const UNFIT_LOOKS: u32 = 3;

/// A list that comes from a URL.
pub struct Download {
    name: String,
    /// Its name in messages.
    what: String,
    url: Url,
    /// The list itself, and what belongs to it.
    files: Vec<Wanted>,
    /// Whether the files, at these places, belong together.
    fits: Fits,
    state: Mutex<State>,
}

/// A file that is fetched.
struct Wanted {
    source: Source,
    /// What goes before a failure, where there is more than one file.
    whose: &'static str,
    /// Where it is put.
    place: PathBuf,
}

type Fits = Arc<dyn Fn(&[PathBuf]) -> bool + Send + Sync>;

struct State {
    /// One for each file.
    seen: Vec<Seen>,
    freshness: Freshness,
    schedule: Schedule,
    /// Looks in a row that found files which do not belong together.
    unfit: u32,
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

/// What a look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// It is as it was.
    Same,
    /// There is another one.
    New,
    /// Its files do not belong together, as while they are being replaced: the next look may tell.
    Unfit,
}

/// What is kept beside the file.
#[derive(Serialize, Deserialize)]
struct Note {
    /// Which address it is from: what was asked with means nothing to another one.
    of: String,
    seen: Vec<Seen>,
    fetched_at: Timestamp,
}

impl Download {
    /// `None` for a list that is the owner's own file.
    pub(super) fn open(list: &config::Blacklist, now: Timestamp) -> Option<Self> {
        let url = list.url.as_ref()?;
        let file = Wanted::new(url, &list.path, MOST);
        Some(Self::opened(
            &list.name,
            format!("blacklist {}", list.name),
            url,
            vec![file],
            Arc::new(|_| true),
            now,
        ))
    }

    /// A list with its signature, whose address and place both have `.minisig` behind them. Nothing is put down while they
    /// do not fit, unless they never come to.
    pub(super) fn signed(
        name: &str,
        what: String,
        url: &ListUrl,
        places: [&Path; 2],
        fits: impl Fn(&Path, &Path) -> bool + Send + Sync + 'static,
        now: Timestamp,
    ) -> Self {
        let [list, signature] = places;
        let mut of_signature = url.clone();
        of_signature.url.set_path(&format!("{}.minisig", url.url.path()));
        let signature = Wanted::new(&of_signature, signature, MOST_OF_A_SIGNATURE);
        let files = vec![
            Wanted::new(url, list, super::shared::MOST),
            Wanted { whose: "its signature: ", ..signature },
        ];
        let fits = move |files: &[PathBuf]| matches!(files, [list, signature] if fits(list, signature));
        Self::opened(name, what, url, files, Arc::new(fits), now)
    }

    fn opened(
        name: &str,
        what: String,
        url: &ListUrl,
        files: Vec<Wanted>,
        fits: Fits,
        now: Timestamp,
    ) -> Self {
        let note = files.first().and_then(|file| fs::read(beside(&file.place)).ok());
        let note: Option<Note> = note.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let note = note.filter(|note| note.of == address(&url.url) && note.seen.len() == files.len());
        let fetched_at = note.as_ref().map(|note| note.fetched_at);
        let state = State {
            seen: note.map_or_else(|| vec![Seen::default(); files.len()], |note| note.seen),
            freshness: Freshness { fetched_at, ..Freshness::default() },
            schedule: Schedule::new(url.refresh, fetched_at, now),
            unfit: 0,
        };
        Self { name: name.into(), what, url: url.url.clone(), files, fits, state: Mutex::new(state) }
    }

    /// The list's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The list's name in messages.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The server's name.
    pub fn host(&self) -> &str {
        fetch::host(&self.url)
    }

    /// Whether there ever was an answer.
    pub(super) fn is_there(&self) -> bool {
        self.files.iter().all(|file| file.place.exists())
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

    /// Looks for another version and puts it in its place, whole. `now` is schedule time.
    ///
    /// # Errors
    /// One sentence why nobody can tell; what is there stays.
    pub async fn look(&self, web: &dyn Transport, now: impl Fn() -> Timestamp) -> Result<Looked, String> {
        let looked = self.looked(web, &now).await;
        let mut state = self.state();
        match &looked {
            Ok((Looked::Unfit, _)) => {
                state.unfit += 1;
                state.freshness.why = Some("the list and its signature do not fit yet".into());
                state.schedule.failed(now(), fastrand::f64());
            }
            Ok((_, seen)) => {
                state.seen.clone_from(seen);
                state.freshness = Freshness { fetched_at: Some(now()), ..Freshness::default() };
                state.schedule.succeeded(now());
                state.unfit = 0;
            }
            Err(why) => {
                state.freshness.failing_since.get_or_insert(now());
                state.freshness.why = Some(why.clone());
                state.schedule.failed(now(), fastrand::f64());
            }
        }
        looked.map(|(looked, _)| looked)
    }

    async fn looked(
        &self,
        web: &dyn Transport,
        now: &impl Fn() -> Timestamp,
    ) -> Result<(Looked, Vec<Seen>), String> {
        // Without its file a version that we have seen is of no use.
        let mut seen =
            if self.is_there() { self.state().seen.clone() } else { vec![Seen::default(); self.files.len()] };
        let folder = self.files[0].place.parent().unwrap_or(Path::new("."));
        let mut found = Vec::with_capacity(self.files.len());
        for (file, seen) in self.files.iter().zip(&mut seen) {
            let fetched = fetch::fetch(web, &file.source, seen, folder).await;
            found.push(match fetched.map_err(|why| format!("{}{why}", file.whose))? {
                Fetched::Unchanged => None,
                Fetched::New { file, seen: told } => {
                    *seen = told;
                    Some(file)
                }
            });
        }
        let may_be_unfit = self.state().unfit >= UNFIT_LOOKS;
        let (places, fits) = (self.files.iter().map(|file| file.place.clone()).collect(), self.fits.clone());
        let put = aside::run(move || put(found, places, |files| may_be_unfit || fits(files))).await;
        let told = |error: io::Error| format!("{} cannot be written ({error})", folder.display());
        let looked = put.map_err(|died| died.to_string())?.map_err(told)?;
        if looked != Looked::Unfit {
            let note = Note { of: address(&self.url), seen: seen.clone(), fetched_at: now() };
            keep(&beside(&self.files[0].place), &note).map_err(told)?;
        }
        Ok((looked, seen))
    }

    /// What operators read when its server fails.
    pub fn trouble(&self, why: &str, now: Timestamp) -> String {
        let what = &self.what;
        match self.freshness().fetched_at {
            Some(at) => format!(
                "{what} cannot be fetched: {why}; the one fetched {} ago stays in force",
                format_duration(now.since(at))
            ),
            None => format!("{what} cannot be fetched: {why}; it never was, so whom it names is unknown"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wanted {
    fn new(url: &ListUrl, place: &Path, most: u64) -> Self {
        let source =
            Source { url: url.url.clone(), headers: url.headers.clone(), patience: url.timeout, most };
        Self { source, whose: "", place: place.to_owned() }
    }
}

/// Puts answers in the places of the files, unless they are the same: a server that knows no versions sends them each time.
/// `None` is a file that is as it was.
fn put(
    found: Vec<Option<NamedTempFile>>,
    places: Vec<PathBuf>,
    fits: impl Fn(&[PathBuf]) -> bool,
) -> io::Result<Looked> {
    let mut new = Vec::with_capacity(found.len());
    for (file, place) in found.into_iter().zip(&places) {
        new.push(match file {
            Some(file) if place.exists() && is_same(file.path(), place)? => None,
            other => other,
        });
    }
    if new.iter().all(Option::is_none) {
        return Ok(Looked::Same);
    }
    let here = new.iter().zip(&places);
    let here: Vec<_> = here
        .map(|(file, place)| file.as_ref().map_or(place.clone(), |file| file.path().to_owned()))
        .collect();
    if !fits(&here) {
        return Ok(Looked::Unfit);
    }
    if let [Some(_), Some(_)] = new[..] {
        // A stop between the two leaves a list without its signature, which is fetched again, never one with another's.
        match fs::remove_file(&places[1]) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    for (file, place) in new.into_iter().zip(&places) {
        if let Some(file) = file {
            file.persist(place).map_err(|error| error.error)?;
        }
    }
    Ok(Looked::New)
}

/// An address, as far as it is to be recognised: it may hold a secret.
fn address(url: &Url) -> String {
    hex::encode(Sha256::digest(url.as_str()))
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
