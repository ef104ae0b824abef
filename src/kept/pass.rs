//! One pass over a file: what the caller's reader sees is what is hashed and what is kept.

use super::looks::Looks;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Write as _},
    path::Path,
};
use tempfile::NamedTempFile;

/// Bytes from the disk at a time.
pub(super) const CHUNK: usize = 256 << 10;

/// A file that is being read.
pub(super) struct Pass {
    file: File,
    looks: Looks,
    digest: Sha256,
    copy: Option<NamedTempFile>,
    /// Why there is no copy.
    copy_error: Option<io::Error>,
    len: u64,
    last: Option<u8>,
}

/// What a pass has come to.
pub(super) struct Passed {
    /// How the file looked when it was opened.
    pub(super) looks: Looks,
    /// SHA-256 of it.
    pub(super) digest: [u8; 32],
    /// Its bytes, not yet in their place; the error if they could not be written.
    pub(super) copy: Result<Option<NamedTempFile>, io::Error>,
    /// Bytes of it.
    pub(super) len: u64,
    /// Its last line has its end.
    pub(super) ends: bool,
}

impl Pass {
    /// Opens a file; with a place, a copy is written beside that on the way.
    pub(super) fn open(path: &Path, place: Option<&Path>) -> io::Result<BufReader<Self>> {
        let file = open_file(path)?;
        let looks = Looks::of_open(&file)?;
        let (copy, copy_error) = match place.map(begin_copy).transpose() {
            Ok(copy) => (copy, None),
            Err(error) => (None, Some(error)),
        };
        let pass = Self { file, looks, digest: Sha256::new(), copy, copy_error, len: 0, last: None };
        Ok(BufReader::with_capacity(CHUNK, pass))
    }

    /// Reads what the caller has left, and ends.
    pub(super) fn finish(mut reader: BufReader<Self>) -> io::Result<Passed> {
        io::copy(&mut reader, &mut io::sink())?;
        let pass = reader.into_inner();
        Ok(Passed {
            looks: pass.looks,
            digest: pass.digest.finalize().into(),
            copy: pass.copy_error.map_or(Ok(pass.copy), Err),
            len: pass.len,
            ends: pass.last.is_none_or(|last| last == b'\n'),
        })
    }
}

impl Read for Pass {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        let bytes = &buffer[..length];
        self.digest.update(bytes);
        self.len += length as u64;
        self.last = bytes.last().copied().or(self.last);
        if let Some(copy) = &mut self.copy
            && let Err(error) = copy.write_all(bytes)
        {
            (self.copy, self.copy_error) = (None, Some(error));
        }
        Ok(length)
    }
}

/// Opens a file for reading, and nothing else: a pipe would be waited for without an end, and a device may have none.
///
/// # Errors
/// If it cannot be opened, or is no regular file.
pub fn open_file(path: &Path) -> io::Result<File> {
    let meta = fs::metadata(path)?;
    if meta.is_file() { File::open(path) } else { Err(io::Error::other("it is no regular file")) }
}

/// Begins a copy beside its place, always under the same name: what a death in the middle has left is no leftover for ever.
fn begin_copy(place: &Path) -> io::Result<NamedTempFile> {
    let folder = place.parent().unwrap_or(Path::new("."));
    let name = place.with_extension("new");
    let name = name.file_name().unwrap_or_default();
    fs::create_dir_all(folder)?;
    match fs::remove_file(folder.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => tempfile::Builder::new().prefix(name).rand_bytes(0).tempfile_in(folder),
    }
}

/// Puts a copy in its place so that a reader or a crash never meets half of it.
pub(super) fn keep(copy: NamedTempFile, path: &Path) -> io::Result<()> {
    copy.as_file().sync_all()?;
    copy.persist(path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
