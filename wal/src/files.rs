//! Files beside the segments: snapshots and whatever else a ledger keeps next to its log.
//!
//! Such a file is written once, from front to back, and exists under its name from the moment when it is whole and durable
//! ([`Draft::finish`]); from then on it is only read. One that has to forget is the exception ([`Files::overwrite`]). The seam has the same three implementations as that of the segments, so that a
//! simulation can cut the power while a file is being made.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A store of named files that are written once.
pub trait Files: Send + Sync + fmt::Debug {
    /// Names of the files with this extension, in no particular order.
    fn names(&self, extension: &str) -> io::Result<Vec<String>>;

    /// Begins a file. It replaces one of the same name when it is finished, and not before.
    fn draft(&self, name: &str) -> io::Result<Box<dyn Draft>>;

    /// Opens a file for reading. It stays readable when it is deleted meanwhile.
    fn open_file(&self, name: &str) -> io::Result<Arc<dyn Contents>>;

    /// Deletes a file, durably.
    fn delete(&self, name: &str) -> io::Result<()>;

    /// Writes bytes over those of a file from `offset` on, in place, and makes the file, or makes it longer by zeros, if need be. What was
    /// written is durable when this returns, and nobody but the file's owner may read the file. A write within one sector of 512 bytes
    /// survives a power cut whole or not at all; other bytes of the file are not touched.
    ///
    /// The one exception to files that are written once: for bytes that have to vanish.
    fn overwrite(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// A file without a name, for what need not outlive the process.
    fn scratch(&self) -> io::Result<Box<dyn Scratch>>;

    /// Where a file is, for messages.
    fn place(&self, name: &str) -> PathBuf;
}

/// A file being written. Dropped unfinished, it leaves nothing behind.
pub trait Draft: Send {
    /// Adds bytes at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable and gives it its name. When this returns the file survives power loss, whole; when it fails, there
    /// is no such file, or the one that was there before.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// The bytes of a file that does not change.
pub trait Contents: Send + Sync + fmt::Debug {
    /// How many there are.
    fn size_bytes(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset` on. An error if there are not as many.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// A file without a name: what was appended can be read back.
pub trait Scratch: Contents {
    /// Adds bytes at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// A draft is synced whenever so many bytes were written, within what is appended at once, too (a snapshot's parts have a hundred MiB): a large backlog of dirty pages would hold up the log's own syncs, which share
/// the file system's journal with it.
const SYNC_EVERY_BYTES: u64 = 8 << 20;

/// A draft in a directory.
pub(crate) struct DirectoryDraft {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    directory: File,
    unsynced_bytes: u64,
    finished: bool,
}

impl DirectoryDraft {
    /// Begins `<name>.tmp` in a directory of which `handle` is an open handle.
    pub(crate) fn begin(directory: &Path, handle: &File, name: &str) -> io::Result<Self> {
        let path = directory.join(name);
        let temporary = directory.join(format!("{name}.tmp"));
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
        Ok(Self { file, temporary, path, directory: handle.try_clone()?, unsynced_bytes: 0, finished: false })
    }
}

impl Draft for DirectoryDraft {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min((SYNC_EVERY_BYTES - self.unsynced_bytes) as usize));
            self.file.write_all(piece)?;
            self.unsynced_bytes += piece.len() as u64;
            if self.unsynced_bytes == SYNC_EVERY_BYTES {
                self.file.sync_data()?;
                self.unsynced_bytes = 0;
            }
            rest = behind;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        self.finished = true;
        if let Err(error) = self.directory.sync_all() {
            // The name may or may not survive; a file whose making was reported as failed must not stand.
            let _ = fs::remove_file(&self.path);
            return Err(error);
        }
        Ok(())
    }
}

impl Drop for DirectoryDraft {
    fn drop(&mut self) {
        if !self.finished {
            // What is left is removed when the log is opened next; removing it now gives the space back at once.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// A file of a directory, or one that has no name any more.
#[derive(Debug)]
pub(crate) struct DirectoryFile {
    file: File,
    size_bytes: u64,
}

impl DirectoryFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size_bytes = file.metadata()?.len();
        Ok(Self { file, size_bytes })
    }

    /// A file that has lost its name as soon as it had one.
    pub(crate) fn nameless(directory: &Path) -> io::Result<Self> {
        let path = directory.join("scratch.tmp");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        fs::remove_file(&path)?;
        Ok(Self { file, size_bytes: 0 })
    }

    /// The same in the system's directory for temporary files, which others use as well: a name that is taken is nobody's to write to.
    pub(crate) fn temporary() -> io::Result<Self> {
        let directory = std::env::temp_dir();
        let process = std::process::id();
        for number in 0..1000 {
            let path = directory.join(format!("drawdown-{process}-{number}.tmp"));
            match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => {
                    fs::remove_file(&path)?;
                    return Ok(Self { file, size_bytes: 0 });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Contents for DirectoryFile {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

impl Scratch for DirectoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.size_bytes)?;
        self.size_bytes += bytes.len() as u64;
        Ok(())
    }
}

/// [`Files::overwrite`] in a directory of which `handle` is an open handle.
pub(crate) fn overwrite_in(directory: &Path, handle: &File, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let path = directory.join(name);
    let is_new = !path.try_exists()?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.write_all_at(bytes, offset)?;
    file.sync_all()?;
    if is_new { handle.sync_all() } else { Ok(()) }
}

/// A file on the heap.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeapFile(pub(crate) Vec<u8>);

impl HeapFile {
    /// The file with bytes of it written over, and longer by zeros if need be.
    pub(crate) fn overwritten(&self, offset: u64, bytes: &[u8]) -> Self {
        let mut all = self.0.clone();
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        all.resize(all.len().max(end), 0);
        all[start..end].copy_from_slice(bytes);
        HeapFile(all)
    }
}

impl Contents for HeapFile {
    fn size_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        let bytes = end.and_then(|end| self.0.get(usize::try_from(offset).ok()?..usize::try_from(end).ok()?));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl Scratch for HeapFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Whether a name has this extension.
pub(crate) fn has_extension(name: &str, extension: &str) -> bool {
    name.strip_suffix(extension).is_some_and(|stem| stem.ends_with('.'))
}
