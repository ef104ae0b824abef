//! What a subscription remembers: the last good document with its signature, and beside them the highest version.

use crate::kept::open_file;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

/// What outlives a restart beside the document itself.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Memory {
    pub(super) public_key: String,
    /// The name in the document.
    pub(super) published_as: String,
    pub(super) version: u64,
    pub(super) digest: String,
    pub(super) accepted: bool,
}

/// Where it is remembered.
pub(super) struct Kept {
    pub(super) folder: PathBuf,
    pub(super) name: String,
}

impl Kept {
    /// The memory, and the document with its signature, each if it is there.
    pub(super) fn load(&self) -> (Option<Memory>, Option<[Vec<u8>; 2]>) {
        let [list, signature, memory] = self.files();
        let memory = fs::read(memory).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let files = fs::read(list).ok().zip(fs::read(signature).ok());
        (memory, files.map(|(list, signature)| [list, signature]))
    }

    /// The document before the memory: whatever a stop leaves, the highest version is told by one of them.
    pub(super) fn keep(&self, memory: &Memory, [list, signature]: &[Vec<u8>; 2]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let memory = serde_json::to_vec(memory)?;
        for (path, bytes) in self.files().iter().zip([list, signature, &memory]) {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(path)?;
        }
        fs::File::open(&self.folder)?.sync_all()
    }

    fn files(&self) -> [PathBuf; 3] {
        [".list", ".list.minisig", ".json"].map(|end| self.folder.join(format!("{}{end}", self.name)))
    }
}

/// The signature's file: beside the document.
pub(super) fn signature_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

/// Bytes that are taken of one file: a document is held whole while it is checked.
pub(in crate::lists) const MOST: u64 = 512 << 20;

pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = open_file(path).and_then(|mut file| match file.metadata()?.len() {
        ..=MOST => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map(|_| bytes)
        }
        more => Err(io::Error::other(format!("{more} bytes are more than the {MOST} that are taken"))),
    });
    bytes.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("{} is missing; put it back", path.display()),
        _ => format!("{} cannot be read ({error})", path.display()),
    })
}
