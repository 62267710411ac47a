//! Where segments live: a directory of mapped files, the heap, or a simulated disk ([`crate::sim`]).

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::{Advice, MmapRaw};

use crate::error::OpenError;
use crate::mapping::{Backing, HeapPages, Region};
use crate::sync::{Mutex, lock};

/// A store of numbered segments. Narrow on purpose: one test suite runs over every implementation.
pub trait Medium: Send + Sync + fmt::Debug {
    /// Numbers of the segments that exist, ascending. Leftovers of interrupted creations are removed.
    fn segments(&self) -> io::Result<Vec<u64>>;

    /// Creates segment `number` of `bytes` bytes: `header`, then zeros. When this returns, the segment survives power loss
    /// whole, and no later write to its memory can fail for want of space. When it fails, there is no such segment.
    fn create(&self, number: u64, bytes: u64, header: &[u8]) -> io::Result<Region>;

    /// Opens a segment that exists.
    fn open(&self, number: u64) -> io::Result<Region>;

    /// Removes a segment. Regions that are still open stay valid.
    fn remove(&self, number: u64) -> io::Result<()>;

    /// Name of a segment, for messages.
    fn path(&self, number: u64) -> PathBuf;

    /// The bytes of a segment as they lie on the device, for readers that must not fault on them. `None` where they are in memory only.
    fn read_segment(&self, _number: u64) -> io::Result<Option<Box<dyn Read>>> {
        Ok(None)
    }

    /// The file `name` that is kept beside the segments. `None` if there is none, or none is ever kept: then the log does with what it has in
    /// memory.
    fn read_beside(&self, _name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// Adds to the file `name`, which exists, durably.
    fn append_beside(&self, _name: &str, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    /// Writes the file `name` anew, durably, whole or not at all.
    fn replace_beside(&self, _name: &str, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// How mapped bytes are made durable.
///
/// Measured on a 2-core shared VM, ext4 on virtio: 4 KiB, 64 KiB and 256 KiB take 292, 370 and 691 us by `msync` and 278, 345 and 621 us by
/// `fdatasync`, which is within the noise; `msync` is the default because it writes the published range and nothing else. The table
/// stands in `docs/wal-format.md`; `cargo bench -p drawdown-wal --bench sync_methods` measures it on yours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMethod {
    /// `msync` of the dirty range.
    #[default]
    Msync,
    /// `fdatasync` of the file.
    Fdatasync,
}

/// Segments as files `<number>.wal` of a directory, mapped into memory.
///
/// The directory is locked (`<dir>/lock`, an exclusive file lock) as long as the value lives.
#[derive(Debug)]
pub struct Mapped {
    directory: PathBuf,
    handle: File,
    method: SyncMethod,
    _lock: File,
}

/// Segments are filled in writes of this size. It decides the size of the page-cache folios, and a folio is written as a whole when
/// one byte of it is dirty: files filled in writes of a MiB make small group commits three times as slow. Up to 16 KiB it makes no difference
/// to them, and larger groups, and the filling itself, take half the time that they take with 4 KiB.
const FILL_BYTES: usize = 16 << 10;

impl Mapped {
    /// Opens (or makes) the directory and locks it.
    pub fn open(directory: &Path, method: SyncMethod) -> Result<Self, OpenError> {
        let io_error = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        fs::create_dir_all(directory).map_err(io_error(directory))?;
        let lock_path = directory.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(io_error(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(OpenError::Locked { path: lock_path }),
            Err(fs::TryLockError::Error(source)) => return Err(OpenError::Io { path: lock_path, source }),
        }
        let handle = File::open(directory).map_err(io_error(directory))?;
        Ok(Self { directory: directory.to_owned(), handle, method, _lock: lock })
    }

    fn map(&self, file: File) -> io::Result<Region> {
        let map = MmapRaw::map_raw(&file)?;
        Ok(Region::mapped(map, file, self.method))
    }

    fn fill(file: &mut File, bytes: u64, header: &[u8]) -> io::Result<()> {
        rustix::fs::fallocate(&*file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
        let mut page = [0u8; FILL_BYTES];
        page[..header.len()].copy_from_slice(header);
        let mut left = bytes;
        while left > 0 {
            let length = left.min(FILL_BYTES as u64);
            file.write_all(&page[..length as usize])?;
            page[..header.len()].fill(0);
            left -= length;
        }
        file.sync_all()
    }
}

impl Medium for Mapped {
    fn segments(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                fs::remove_file(&path)?;
            }
            numbers.extend(segment_number(&path)?);
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn create(&self, number: u64, bytes: u64, header: &[u8]) -> io::Result<Region> {
        let path = self.path(number);
        let temporary = path.with_extension("tmp");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&temporary)?;
        let made = Self::fill(&mut file, bytes, header).and_then(|()| {
            let map = MmapRaw::map_raw(&file)?;
            // Faults the pages in, so that appenders do not. Best effort: an old kernel does not know it.
            let _ = map.advise(Advice::PopulateRead);
            fs::rename(&temporary, &path)?;
            self.handle.sync_all()?;
            Ok(map)
        });
        match made {
            Ok(map) => Ok(Region::mapped(map, file, self.method)),
            Err(error) => {
                // What is left would be cleaned at the next open; removing it now gives the space back at once. The renamed file goes
                // too: a segment whose creation was reported as failed must not exist.
                let _ = fs::remove_file(&temporary);
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    fn open(&self, number: u64) -> io::Result<Region> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(number))?;
        let bytes = file.metadata()?.len();
        if bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the segment file is empty"));
        }
        // A file copied sparsely would fault on a full disk; allocating is free where blocks exist.
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, bytes)?;
        self.map(file)
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        fs::remove_file(self.path(number))?;
        self.handle.sync_all()
    }

    fn path(&self, number: u64) -> PathBuf {
        segment_path(&self.directory, number)
    }

    fn read_segment(&self, number: u64) -> io::Result<Option<Box<dyn Read>>> {
        Ok(Some(Box::new(File::open(self.path(number))?)))
    }

    fn read_beside(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        read_if_there(&self.directory.join(name))
    }

    fn append_beside(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(self.directory.join(name))?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn replace_beside(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.directory.join(name);
        let temporary = path.with_extension("tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        self.handle.sync_all()
    }
}

/// The file of a segment.
pub(crate) fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:016x}.wal"))
}

/// The number of the segment that a file would hold by its name: `None` for other files, an error for a name that none has.
pub(crate) fn segment_number(path: &Path) -> io::Result<Option<u64>> {
    if path.extension().is_none_or(|extension| extension != "wal") {
        return Ok(None);
    }
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let odd = |_| io::Error::new(io::ErrorKind::InvalidData, format!("{} is no segment's name", path.display()));
    u64::from_str_radix(stem, 16).map(Some).map_err(odd)
}

/// The bytes of a file, if it exists.
pub(crate) fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Segments on the heap: durable as long as the value lives. For tests and for tools that cannot map files.
#[derive(Debug, Default)]
pub struct Heap {
    segments: Mutex<BTreeMap<u64, Arc<HeapPages>>>,
}

struct Nothing;

impl Backing for Nothing {
    fn sync(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

impl Heap {
    /// An empty medium.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Medium for Heap {
    fn segments(&self) -> io::Result<Vec<u64>> {
        Ok(lock(&self.segments).keys().copied().collect())
    }

    fn create(&self, number: u64, bytes: u64, header: &[u8]) -> io::Result<Region> {
        let mut image = vec![0u8; bytes as usize];
        image[..header.len()].copy_from_slice(header);
        let pages = HeapPages::from_image(&image);
        lock(&self.segments).insert(number, Arc::clone(&pages));
        Region::heap(&pages, Box::new(Nothing))
    }

    fn open(&self, number: u64) -> io::Result<Region> {
        let pages = lock(&self.segments).get(&number).cloned().ok_or(io::ErrorKind::NotFound)?;
        Region::heap(&pages, Box::new(Nothing))
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        lock(&self.segments).remove(&number).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn path(&self, number: u64) -> PathBuf {
        PathBuf::from(format!("heap segment {number}"))
    }
}
