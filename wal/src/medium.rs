//! Where segments live: a directory of mapped files, the heap, or a simulated disk ([`crate::sim`]).

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::OpenError;
use crate::files::{
    Contents, DirectoryDraft, DirectoryFile, Draft, Files, HeapFile, Scratch, has_extension, overwrite_in,
};
use crate::mapping::{Backing, HeapPages, Region};
use crate::sync::{Mutex, lock};

/// A store of numbered segments, and of the files beside them. Narrow on purpose: one test suite runs over every implementation.
pub trait Medium: Files + Send + Sync + fmt::Debug {
    /// Numbers of the segments that exist, ascending. Leftovers of interrupted creations are removed.
    fn segments(&self) -> io::Result<Vec<u64>>;

    /// Creates segment `number` of `bytes` bytes: `header`, then zeros. When this returns, the segment survives power loss
    /// whole, and no later write to its memory can fail for want of space. When it fails, there is no such segment.
    ///
    /// A medium that takes its time over it calls `pace` with the bytes done so far, as often as it has carried out a piece: the caller may
    /// hold it up there, so that those who wait for the same disk are not.
    fn create(&self, number: u64, bytes: u64, header: &[u8], pace: &dyn Fn(u64)) -> io::Result<Region>;

    /// Opens a segment that exists.
    fn open(&self, number: u64) -> io::Result<Region>;

    /// Removes a segment. Regions that are still open stay valid.
    fn remove(&self, number: u64) -> io::Result<()>;

    /// Removes a segment of which no region is open, and may keep its space for the next one that is created. What [`Medium::create`]
    /// makes of it is a segment like any other: its header, then zeros.
    fn recycle(&self, number: u64) -> io::Result<()> {
        self.remove(number)
    }

    /// Puts a durable copy of a segment that nobody writes any more into the directory `to`, under its own name; the segment stays. May be
    /// repeated after a failure.
    fn archive(&self, number: u64, to: &Path) -> io::Result<()>;

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

/// Segments as files `<number>.wal` of a directory, mapped into memory and written out by position.
///
/// The directory is locked (`<dir>/lock`, an exclusive file lock) as long as the value lives.
#[derive(Debug)]
pub struct Mapped {
    directory: PathBuf,
    handle: File,
    /// Files of recycled segments whose blocks the next ones take over.
    spares: Mutex<Vec<PathBuf>>,
    _lock: File,
}

/// Spare files kept at most: as many segments are prepared ahead.
const SPARES_MAX: usize = 2;

/// What `st_blocks` counts, whatever the file system's blocks are.
const BLOCK_BYTES: u64 = 512;

/// Segments are filled in writes of this size. It decides the size of the page-cache folios; larger ones make filling cheaper, and the
/// log's own writes take the same whatever it is (docs/wal-format.md).
const FILL_BYTES: usize = 256 << 10;

/// So many bytes of a segment are filled before they are synced: what is queued for the disk delays the syncs of those who wait.
const FILL_SYNC_BYTES: u64 = 512 << 10;

impl Mapped {
    /// Opens (or makes) the directory and locks it.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
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
        let spares = Mutex::new(Vec::new());
        Ok(Self { directory: directory.to_owned(), handle, spares, _lock: lock })
    }

    /// The temporary file of a segment to be: a spare one, whose blocks exist, or a new one.
    fn temporary(&self, path: &Path) -> io::Result<File> {
        if let Some(spare) = lock(&self.spares).pop() {
            // Should this fail, a new file does as well.
            let _ = fs::rename(&spare, path);
        }
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
    }

    /// Writes every byte of a segment: its header, then zeros. A recycled file must be zeroed like a new one: appenders and walkers take a
    /// zero length word, at whatever multiple of 32, for "nothing was published here".
    fn fill(file: &mut File, bytes: u64, header: &[u8], pace: &dyn Fn(u64)) -> io::Result<()> {
        if file.metadata()?.len() > bytes {
            file.set_len(bytes)?;
        }
        rustix::fs::fallocate(&*file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
        let mut piece = vec![0u8; FILL_BYTES.min(bytes as usize)];
        piece[..header.len()].copy_from_slice(header);
        let mut left = bytes;
        while left > 0 {
            let length = left.min(piece.len() as u64);
            file.write_all(&piece[..length as usize])?;
            piece[..header.len()].fill(0);
            left -= length;
            if left.is_multiple_of(FILL_SYNC_BYTES) {
                file.sync_data()?;
                pace(bytes - left);
            }
        }
        file.sync_all()
    }
}

impl Medium for Mapped {
    fn segments(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("tmp") => fs::remove_file(&path)?,
                Some("spare") => self.keep_spare(path.clone())?,
                _ => numbers.extend(segment_number(&path)?),
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn create(&self, number: u64, bytes: u64, header: &[u8], pace: &dyn Fn(u64)) -> io::Result<Region> {
        let path = self.path(number);
        let temporary = path.with_extension("tmp");
        let mut file = self.temporary(&temporary)?;
        let made = Self::fill(&mut file, bytes, header, pace).and_then(|()| {
            fs::rename(&temporary, &path)?;
            self.handle.sync_all()?;
            Region::fresh(file, bytes, header)
        });
        match made {
            Ok(region) => Ok(region),
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
        let metadata = file.metadata()?;
        let bytes = metadata.len();
        if bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the segment file is empty"));
        }
        // A file copied sparsely could not be written to on a full disk.
        if metadata.blocks() * BLOCK_BYTES < bytes {
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, bytes)?;
        }
        Region::opened(file)
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        fs::remove_file(self.path(number))?;
        self.handle.sync_all()
    }

    fn recycle(&self, number: u64) -> io::Result<()> {
        let spare = self.path(number).with_extension("spare");
        fs::rename(self.path(number), &spare)?;
        self.handle.sync_all()?;
        self.keep_spare(spare)
    }

    fn archive(&self, number: u64, to: &Path) -> io::Result<()> {
        fs::create_dir_all(to)?;
        let path = self.path(number);
        let Some(name) = path.file_name() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let archived = to.join(name);
        if let Ok(there) = fs::metadata(&archived)
            && there.len() == fs::metadata(&path)?.len()
        {
            // An earlier attempt came as far as this: only whole files ever get the name.
            return File::open(to)?.sync_all();
        }
        // On the same file system a second name is all it takes.
        if fs::hard_link(&path, &archived).is_err() {
            let temporary = archived.with_extension("tmp");
            fs::copy(&path, &temporary)?;
            File::open(&temporary)?.sync_all()?;
            fs::rename(&temporary, &archived)?;
        }
        File::open(to)?.sync_all()
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

impl Mapped {
    /// Keeps the file of a recycled segment, or removes it if there are enough.
    fn keep_spare(&self, path: PathBuf) -> io::Result<()> {
        let mut spares = lock(&self.spares);
        if spares.contains(&path) {
            return Ok(());
        }
        if spares.len() < SPARES_MAX {
            spares.push(path);
            return Ok(());
        }
        drop(spares);
        fs::remove_file(path)
    }
}

impl Files for Mapped {
    fn names(&self, extension: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            if let Ok(name) = entry?.file_name().into_string()
                && has_extension(&name, extension)
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn draft(&self, name: &str) -> io::Result<Box<dyn Draft>> {
        Ok(Box::new(DirectoryDraft::begin(&self.directory, &self.handle, name)?))
    }

    fn open_file(&self, name: &str) -> io::Result<Arc<dyn Contents>> {
        Ok(Arc::new(DirectoryFile::open(&self.place(name))?))
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.place(name))?;
        self.handle.sync_all()
    }

    fn overwrite(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        overwrite_in(&self.directory, &self.handle, name, offset, bytes)
    }

    fn scratch(&self) -> io::Result<Box<dyn Scratch>> {
        Ok(Box::new(DirectoryFile::nameless(&self.directory)?))
    }

    fn place(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Segments on the heap: durable as long as the value lives. For tests and for tools that cannot map files.
#[derive(Debug, Default)]
pub struct Heap {
    segments: Mutex<BTreeMap<u64, Arc<HeapPages>>>,
    files: Arc<Mutex<BTreeMap<String, Arc<HeapFile>>>>,
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

    fn create(&self, number: u64, bytes: u64, header: &[u8], _pace: &dyn Fn(u64)) -> io::Result<Region> {
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

    fn archive(&self, _number: u64, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn path(&self, number: u64) -> PathBuf {
        PathBuf::from(format!("heap segment {number}"))
    }
}

/// A file being written on the heap.
struct HeapDraft {
    files: Arc<Mutex<BTreeMap<String, Arc<HeapFile>>>>,
    name: String,
    bytes: Vec<u8>,
}

impl Draft for HeapDraft {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let Self { files, name, bytes } = *self;
        lock(&files).insert(name, Arc::new(HeapFile(bytes)));
        Ok(())
    }
}

impl Files for Heap {
    fn names(&self, extension: &str) -> io::Result<Vec<String>> {
        Ok(lock(&self.files).keys().filter(|name| has_extension(name, extension)).cloned().collect())
    }

    fn draft(&self, name: &str) -> io::Result<Box<dyn Draft>> {
        Ok(Box::new(HeapDraft { files: Arc::clone(&self.files), name: name.to_owned(), bytes: Vec::new() }))
    }

    fn open_file(&self, name: &str) -> io::Result<Arc<dyn Contents>> {
        let file = lock(&self.files).get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(file)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        lock(&self.files).remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn overwrite(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut files = lock(&self.files);
        let file = files.entry(name.to_owned()).or_default();
        *file = Arc::new(file.overwritten(offset, bytes));
        Ok(())
    }

    fn scratch(&self) -> io::Result<Box<dyn Scratch>> {
        Ok(Box::new(HeapFile::default()))
    }

    fn place(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("heap file {name}"))
    }
}
