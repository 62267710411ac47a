//! Whole files beside the log: each written once, and then only read.
//!
//! A file exists under its name only once it is complete and survives power loss; it never changes afterwards. That is all that its users
//! need to know of disks, and what makes their own recovery an inspection of names. [`Directory`] is the real thing, [`Memory`] the same
//! without a disk, with the power cut at any operation.

mod memory;

pub use memory::{Cut, Memory};

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A set of named files.
pub trait Files: Send + Sync + Debug {
    /// Names of the files that exist, ascending. What interrupted creations left is removed.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Begins a file. There is none of that name until [`NewFile::finish`] has returned; dropped before, it leaves nothing behind.
    fn create(&self, name: &str) -> io::Result<Box<dyn NewFile>>;

    /// Opens a file that exists. It stays readable when it is removed meanwhile.
    fn open(&self, name: &str) -> io::Result<Box<dyn ReadAt>>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Name of a file, for messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// A file being written, front to back.
pub trait NewFile: Send {
    /// Appends bytes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the file durable and gives it its name, in one step as seen by whoever comes after a crash.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// The bytes of a file. Read by calls rather than through a mapping: bytes that the disk cannot give back are then an error to be answered
/// and not a signal that ends the process.
pub trait ReadAt: Send + Sync + Debug {
    /// Fills `out` with the bytes at `offset`.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// The file's length in bytes.
    fn bytes(&self) -> io::Result<u64>;
}

/// What a name ends in while its file is being written.
const TEMPORARY: &str = ".tmp";

/// Bytes after which what was written is sent to the disk. A sync of gigabytes at the end would hold up those of the log.
const SYNC_EVERY: u64 = 16 << 20;

/// The files of a directory, which is made when the first of them is.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The files of the directory at `path`, which lies in one that exists. Nobody else may write there.
    pub fn new(path: PathBuf) -> Self {
        Directory { path }
    }

    /// Makes sure that there is the directory.
    fn make(&self) -> io::Result<()> {
        if self.path.is_dir() {
            return Ok(());
        }
        fs::create_dir(&self.path)?;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_directory(parent.unwrap_or(Path::new(".")))
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

impl Files for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.ends_with(TEMPORARY) {
                fs::remove_file(entry.path())?;
            } else {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn NewFile>> {
        self.make()?;
        let path = self.path(name);
        let temporary = self.path.join([name, TEMPORARY].concat());
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
        Ok(Box::new(Unfinished { file, temporary, path, directory: self.path.clone(), unsynced: 0 }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn ReadAt>> {
        Ok(Box::new(File::open(self.path(name))?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))?;
        sync_directory(&self.path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl ReadAt for File {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

struct Unfinished {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    directory: PathBuf,
    /// Bytes written since the last sync.
    unsynced: u64,
}

impl NewFile for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= SYNC_EVERY {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        sync_directory(&self.directory).inspect_err(|_| {
            // A file whose creation was reported as failed must not exist.
            let _ = fs::remove_file(&self.path);
        })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After `finish` there is none; what cannot be removed now goes at the next listing.
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(files: &dyn Files, name: &str, bytes: &[u8]) {
        let mut file = files.create(name).expect("created");
        file.write(bytes).expect("written");
        file.finish().expect("finished");
    }

    /// One suite over every implementation.
    #[track_caller]
    fn check(files: &dyn Files) {
        write(files, "b", b"second");
        let mut unfinished = files.create("a").expect("created");
        unfinished.write(b"fir").expect("written");
        assert!(files.open("a").is_err(), "a file that is not finished does not exist");
        unfinished.write(b"st").expect("written");
        unfinished.finish().expect("finished");
        drop(files.create("c").expect("created"));
        assert_eq!(files.list().expect("listed"), ["a", "b"]);
        let first = files.open("a").expect("opened");
        assert_eq!(first.bytes().expect("a length"), 5);
        let mut out = [0; 3];
        first.read_at(2, &mut out).expect("read");
        assert_eq!(&out, b"rst");
        assert!(first.read_at(3, &mut out).is_err(), "nothing lies behind the end");
        files.remove("a").expect("removed");
        first.read_at(0, &mut out).expect("what is open stays readable");
        assert_eq!(&out, b"fir");
        assert_eq!(files.list().expect("listed"), ["b"]);
        assert!(files.remove("a").is_err());
    }

    #[test]
    fn files_are_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("files");
        let directory = Directory::new(path.clone());
        assert_eq!(directory.list().expect("listed"), [""; 0], "no directory, no files");
        check(&directory);
        check(&Memory::new());
        fs::write(path.join("d.tmp"), b"left by a crash").expect("written");
        assert_eq!(directory.list().expect("listed"), ["b"]);
        assert!(!path.join("d.tmp").exists());
    }
}
