//! The looks of a file from one poll to the next: whether somebody is still writing it.

use crate::clock::Timestamp;
use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Nobody is writing a file that looked the same so many times.
pub(super) const SETTLED: u32 = 3;

/// Nobody is writing one so many times the same that was changed in place while it was not settled, or when it had
/// just lost much: writing it over may take long, and pause.
pub(super) const PATIENT: u32 = 8;

/// What was changed so shortly before a start may still be being written.
const FRESH: Duration = Duration::from_secs(4);

/// When they stand still, so does the content of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Looks {
    pub(super) len: u64,
    modified: Option<SystemTime>,
    /// Seconds and nanoseconds: tells an edit that puts the old modification time back.
    changed: (i64, i64),
    inode: u64,
}

impl Looks {
    /// `None`: it is missing.
    pub(super) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(Self::new)
    }

    /// Of a file that is open: not of the one that may have taken its name since.
    pub(super) fn of_open(file: &File) -> io::Result<Self> {
        Ok(Self::new(&file.metadata()?))
    }

    fn new(meta: &Metadata) -> Self {
        Self {
            len: meta.len(),
            modified: meta.modified().ok(),
            changed: (meta.ctime(), meta.ctime_nsec()),
            inode: meta.ino(),
        }
    }
}

/// How a file has looked lately. Pure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    looks: Option<Looks>,
    /// How often in a row.
    times: u32,
    /// It was caught in the middle of being written.
    restless: bool,
    /// It was changed a moment before the first look.
    fresh: bool,
}

impl Watch {
    /// It looked like this when it was judged first, which is now.
    pub(super) fn new(looks: Option<Looks>, now: Timestamp) -> Self {
        let now = UNIX_EPOCH + Duration::from_millis(now.0.unsigned_abs());
        let age = looks.and_then(|looks| now.duration_since(looks.modified?).ok());
        Self { looks, times: PATIENT, restless: false, fresh: age.is_some_and(|age| age < FRESH) }
    }

    /// Notes another look. `has_lost`: as it was judged last it had lost much, which may be for the moment.
    pub(super) fn note(&mut self, looks: Option<Looks>, has_lost: bool) {
        if self.looks == looks {
            self.times = self.times.saturating_add(1);
            return;
        }
        // What takes a file's place by a rename is whole.
        let in_place = matches!((self.looks, looks), (Some(one), Some(two)) if one.inode == two.inode);
        let awaited = if has_lost { PATIENT } else { self.awaited() };
        *self = Self { looks, times: 1, restless: in_place && self.times < awaited, fresh: false };
    }

    /// Whether nobody is writing it any more.
    pub(super) fn is_still(&self) -> bool {
        self.times >= self.awaited()
    }

    /// Whether it looked like this last.
    pub(super) fn looked(&self, looks: Option<Looks>) -> bool {
        self.looks == looks
    }

    /// As it looks, somebody may be writing it. Whether to wait for more looks before it is judged.
    pub(super) fn doubt(&mut self) -> bool {
        self.restless = true;
        if std::mem::take(&mut self.fresh) {
            self.times = 1;
        }
        !self.is_still()
    }

    /// Whether it stands still for now, and could be what it was before somebody began to write.
    pub(super) fn pauses(&self) -> bool {
        self.restless && self.times == SETTLED
    }

    fn awaited(&self) -> u32 {
        if self.restless { PATIENT } else { SETTLED }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(inode: u64, len: u64) -> Option<Looks> {
        Some(Looks { len, modified: None, changed: (0, 0), inode })
    }

    /// After how many looks in a row it is still.
    fn until_still(watch: &mut Watch, looks: Option<Looks>, has_lost: bool) -> u32 {
        (1..=PATIENT)
            .find(|_| {
                watch.note(looks, has_lost);
                watch.is_still()
            })
            .unwrap()
    }

    #[test]
    fn an_edit_settles_at_once_and_a_slow_one_later() {
        let mut watch = Watch::new(looks(1, 10), Timestamp(0));
        assert!(watch.is_still());
        assert_eq!(until_still(&mut watch, looks(1, 11), false), SETTLED);
        assert_eq!(until_still(&mut watch, looks(1, 12), false), SETTLED, "another edit, not the same one");
        watch.note(looks(1, 13), false);
        watch.note(looks(1, 13), false);
        assert_eq!(until_still(&mut watch, looks(1, 14), false), PATIENT, "it goes on");
        watch.note(looks(1, 15), false);
        for _ in 1..PATIENT - 1 {
            watch.note(looks(1, 15), false);
        }
        assert_eq!(until_still(&mut watch, looks(1, 16), false), SETTLED, "an edit after the slow one");
    }

    #[test]
    fn a_file_that_has_lost_much_may_be_filled_again() {
        let mut watch = Watch::new(looks(1, 10), Timestamp(0));
        assert_eq!(until_still(&mut watch, looks(1, 0), false), SETTLED);
        assert_eq!(until_still(&mut watch, looks(1, 5), true), PATIENT);
        assert_eq!(until_still(&mut watch, looks(1, 0), false), SETTLED);
        assert_eq!(until_still(&mut watch, looks(2, 10), true), SETTLED, "a rename brings it whole");
        assert_eq!(until_still(&mut watch, None, false), SETTLED);
        assert_eq!(until_still(&mut watch, looks(3, 10), false), SETTLED);
    }
}
