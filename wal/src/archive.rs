//! A log's files, read and never written: for whoever checks or looks at a log that no server has open, or a copy of one.
//!
//! Nothing is locked exclusively, cut, prepared or begun. [`Archive::survey`] walks every byte and says what is wrong, where. [`Archive::overlay`]
//! is a medium over the same files on which a [`crate::Log`] can be opened as ever, tail cut and run begun, with every write kept in memory.
//!
//! While a server has the directory open, an archive ends at the position that the log itself says was durable when the archive was opened: what
//! lies below it does not change any more, and what lies above is the server's.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::chain;
use crate::files::{Contents, DirectoryFile, Draft, Files, HeapFile, Scratch, has_extension};
use crate::format::{SEGMENT_HEADER_BYTES, SEGMENT_HEADER_USED, SegmentHeader};
use crate::lsn::Lsn;
use crate::mapping::{HeapPages, Region, private_anonymous, private_copy};
use crate::medium::{Medium, read_if_there, segment_number, segment_path};
use crate::survey::{self, Survey, Visitor};

/// Why a log's files cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// There is no log in the directory.
    #[error("{} holds no segment of a log", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A log's files as bytes, for tests: segments by number, and the file of the hash chain.
#[derive(Clone, Debug, Default)]
pub struct Images {
    /// Whole segment files by number.
    pub segments: BTreeMap<u64, Vec<u8>>,
    /// The file `chain`.
    pub chain: Option<Vec<u8>>,
}

/// A log's files, open for reading.
#[derive(Debug)]
pub struct Archive {
    place: Arc<Place>,
    beside: Arc<Beside>,
    numbers: Vec<u64>,
    bound: Option<Lsn>,
    /// Keeps servers out while the files are read. None if there is no lock file, as in a copy, or a server holds it.
    _lock: Option<File>,
}

enum Place {
    Directory(PathBuf),
    Images(Images),
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Directory(path) => path.fmt(f),
            Place::Images(images) => images.segments.keys().fmt(f),
        }
    }
}

/// A segment's file, to be read from.
pub(crate) enum Bytes<'a> {
    File(File),
    Image(&'a [u8]),
}

impl Bytes<'_> {
    pub(crate) fn size(&self) -> io::Result<u64> {
        match self {
            Bytes::File(file) => Ok(file.metadata()?.len()),
            Bytes::Image(image) => Ok(image.len() as u64),
        }
    }

    /// Fills `into` with the bytes from `offset` on, which the file has.
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        match self {
            Bytes::File(file) => file.read_exact_at(into, offset),
            Bytes::Image(image) => {
                into.copy_from_slice(&image[offset as usize..offset as usize + into.len()]);
                Ok(())
            }
        }
    }
}

impl Place {
    fn path(&self, number: u64) -> PathBuf {
        match self {
            Place::Directory(directory) => segment_path(directory, number),
            Place::Images(_) => PathBuf::from(format!("{number:016x}.wal")),
        }
    }

    fn open(&self, number: u64) -> io::Result<Bytes<'_>> {
        match self {
            Place::Directory(directory) => Ok(Bytes::File(File::open(segment_path(directory, number))?)),
            Place::Images(images) => {
                images.segments.get(&number).map(|image| Bytes::Image(image)).ok_or(io::ErrorKind::NotFound.into())
            }
        }
    }

    fn chain(&self) -> io::Result<Option<Vec<u8>>> {
        match self {
            Place::Directory(directory) => read_if_there(&directory.join(chain::FILE)),
            Place::Images(images) => Ok(images.chain.clone()),
        }
    }

    /// The segment in memory: `bytes` of it as the file has them, then zeros.
    fn region(&self, number: u64, keep: Option<u64>) -> io::Result<Region> {
        match (self.open(number)?, keep) {
            (Bytes::Image(image), keep) => {
                let mut image = image.to_vec();
                let keep = keep.map_or(image.len(), |keep| keep as usize);
                image[keep..].fill(0);
                Region::heap(&HeapPages::from_image(&image), Box::new(Forgotten))
            }
            (Bytes::File(file), None) => private_copy(&file),
            (bytes @ Bytes::File(_), Some(keep)) => {
                private_anonymous(bytes.size()?, |memory| bytes.read(0, &mut memory[..keep as usize]))
            }
        }
    }
}

struct Forgotten;

impl crate::mapping::Backing for Forgotten {
    fn sync(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

impl Archive {
    /// Opens the files of the log in `directory`.
    ///
    /// A shared lock keeps servers from opening it meanwhile. If one has it open already, the archive ends at what it had made durable: see
    /// [`Archive::bound`].
    pub fn open(directory: &Path) -> Result<Self, ArchiveError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ArchiveError::Io { path, source }
        };
        let (lock, is_live) = lock_shared(&directory.join("lock")).map_err(failed(&directory.join("lock")))?;
        let (mut numbers, mut names) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(directory).map_err(failed(directory))? {
            let entry = entry.map_err(failed(directory))?;
            let path = entry.path();
            match segment_number(&path).map_err(failed(&path))? {
                Some(number) => numbers.push(number),
                None => names.extend(entry.file_name().into_string()),
            }
        }
        numbers.sort_unstable();
        if numbers.is_empty() {
            return Err(ArchiveError::Empty { path: directory.to_owned() });
        }
        // Listed before the archive's end is looked for: so no file is of a later moment than that.
        let beside = Arc::new(Beside::Directory { directory: directory.to_owned(), names });
        let place = Arc::new(Place::Directory(directory.to_owned()));
        let mut archive = Self { place, beside, numbers, bound: None, _lock: lock };
        if is_live {
            archive.end_at_durable().map_err(failed(directory))?;
        }
        Ok(archive)
    }

    /// The log whose files these are.
    pub fn of_images(images: Images) -> Self {
        let numbers = images.segments.keys().copied().collect();
        let beside = Arc::new(Beside::Images(BTreeMap::new()));
        Self { place: Arc::new(Place::Images(images)), beside, numbers, bound: None, _lock: None }
    }

    /// The same, with other files beside the segments, by name.
    #[must_use]
    pub fn with_files(self, files: BTreeMap<String, Vec<u8>>) -> Self {
        Self { beside: Arc::new(Beside::Images(files)), ..self }
    }

    /// The other files of the directory, as they were called when the archive was opened: to be read, and nothing else. What is sorted outside
    /// of memory goes to a nameless file in the system's directory for temporary files.
    pub fn files(&self) -> Arc<dyn Files> {
        Arc::<Beside>::clone(&self.beside)
    }

    /// Where the archive ends although the log goes on: what a server that has the log open had made durable. `None` if there is no server.
    pub fn bound(&self) -> Option<Lsn> {
        self.bound
    }

    /// Ends the archive at the highest position that the log vouches for at this moment.
    fn end_at_durable(&mut self) -> io::Result<()> {
        let mut headers = Vec::new();
        for &number in &self.numbers {
            headers.extend(self.header(number)?);
        }
        let Some(first) = headers.first().copied() else { return Ok(()) };
        let vouched = headers.iter().map(|header| header.durable).max().unwrap_or_default();
        // Frames written since vouch for more.
        let from = vouched.get() / first.segment_bytes;
        let mut durable = vouched.max(Lsn::new(first.number * first.segment_bytes + SEGMENT_HEADER_BYTES));
        for header in headers.iter().filter(|header| header.number >= from) {
            let (highest, is_full) = survey::highest_mark(self, header)?;
            durable = durable.max(highest);
            if !is_full {
                break;
            }
        }
        self.bound = Some(durable);
        self.numbers.retain(|&number| number * first.segment_bytes < durable.get());
        Ok(())
    }

    fn header(&self, number: u64) -> io::Result<Option<SegmentHeader>> {
        let bytes = self.place.open(number)?;
        let mut header = [0; SEGMENT_HEADER_USED];
        if bytes.size()? < header.len() as u64 {
            return Ok(None);
        }
        bytes.read(0, &mut header)?;
        Ok(SegmentHeader::decode(&header).ok())
    }

    pub(crate) fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    pub(crate) fn segment(&self, number: u64) -> io::Result<Bytes<'_>> {
        self.place.open(number)
    }

    pub(crate) fn chain(&self) -> io::Result<Option<Vec<u8>>> {
        self.place.chain()
    }

    /// The file of a segment.
    pub fn path(&self, number: u64) -> PathBuf {
        self.place.path(number)
    }

    /// Bytes per segment, as the first header that can be read says. `None` if none can.
    pub fn segment_bytes(&self) -> io::Result<Option<u64>> {
        for &number in &self.numbers {
            if let Some(header) = self.header(number)? {
                return Ok(Some(header.segment_bytes).filter(|&bytes| bytes > 0));
            }
        }
        Ok(None)
    }

    /// Bytes of all segments together, as far as they will be read.
    pub fn size_bytes(&self) -> io::Result<u64> {
        let mut size = 0;
        for &number in &self.numbers {
            size += self.segment(number)?.size()?;
        }
        Ok(size)
    }

    /// Reads every byte and checks it, telling the visitor what it passes. What is wrong with the log is in the survey; an error is the
    /// system's.
    pub fn survey(&self, visitor: &mut dyn Visitor) -> io::Result<Survey> {
        survey::survey(self, visitor)
    }

    /// A medium over these files: a log opened on it is recovered as it would be, and whatever is written stays in memory. The files must not
    /// change while it lives.
    pub fn overlay(&self) -> Arc<dyn Medium> {
        let (place, beside) = (Arc::clone(&self.place), Arc::clone(&self.beside));
        Arc::new(Overlay { place, beside, numbers: self.numbers.clone(), bound: self.bound })
    }
}

/// Takes the lock that servers take, shared. Answers whether one has it.
fn lock_shared(path: &Path) -> io::Result<(Option<File>, bool)> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, false)),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok((Some(file), false)),
        Err(fs::TryLockError::WouldBlock) => Ok((None, true)),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// See [`Archive::files`].
#[derive(Debug)]
enum Beside {
    Directory { directory: PathBuf, names: Vec<String> },
    Images(BTreeMap<String, Vec<u8>>),
}

impl Files for Beside {
    fn names(&self, extension: &str) -> io::Result<Vec<String>> {
        let is_wanted = |name: &&String| has_extension(name, extension);
        Ok(match self {
            Beside::Directory { names, .. } => names.iter().filter(is_wanted).cloned().collect(),
            Beside::Images(images) => images.keys().filter(is_wanted).cloned().collect(),
        })
    }

    fn draft(&self, _name: &str) -> io::Result<Box<dyn Draft>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn open_file(&self, name: &str) -> io::Result<Arc<dyn Contents>> {
        match self {
            Beside::Directory { directory, .. } => Ok(Arc::new(DirectoryFile::open(&directory.join(name))?)),
            Beside::Images(images) => {
                let bytes = images.get(name).ok_or(io::ErrorKind::NotFound)?;
                Ok(Arc::new(HeapFile(bytes.clone())))
            }
        }
    }

    fn delete(&self, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn overwrite(&self, _name: &str, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn scratch(&self) -> io::Result<Box<dyn Scratch>> {
        match self {
            Beside::Directory { .. } => Ok(Box::new(DirectoryFile::temporary()?)),
            Beside::Images(_) => Ok(Box::new(HeapFile::default())),
        }
    }

    fn place(&self, name: &str) -> PathBuf {
        match self {
            Beside::Directory { directory, .. } => directory.join(name),
            Beside::Images(_) => PathBuf::from(name),
        }
    }
}

/// See [`Archive::overlay`].
#[derive(Debug)]
struct Overlay {
    place: Arc<Place>,
    beside: Arc<Beside>,
    numbers: Vec<u64>,
    bound: Option<Lsn>,
}

impl Files for Overlay {
    /// Files are seen by a log whose beginning was retired only: any other is folded from its beginning.
    fn names(&self, extension: &str) -> io::Result<Vec<String>> {
        if self.numbers.first() == Some(&0) { Ok(Vec::new()) } else { self.beside.names(extension) }
    }

    fn draft(&self, name: &str) -> io::Result<Box<dyn Draft>> {
        self.beside.draft(name)
    }

    fn open_file(&self, name: &str) -> io::Result<Arc<dyn Contents>> {
        self.beside.open_file(name)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.beside.delete(name)
    }

    fn overwrite(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.beside.overwrite(name, offset, bytes)
    }

    fn scratch(&self) -> io::Result<Box<dyn Scratch>> {
        self.beside.scratch()
    }

    fn place(&self, name: &str) -> PathBuf {
        self.beside.place(name)
    }
}

impl Medium for Overlay {
    fn segments(&self) -> io::Result<Vec<u64>> {
        Ok(self.numbers.clone())
    }

    fn create(&self, _number: u64, bytes: u64, header: &[u8], _pace: &dyn Fn(u64)) -> io::Result<Region> {
        private_anonymous(bytes, |memory| {
            memory[..header.len()].copy_from_slice(header);
            Ok(())
        })
    }

    fn open(&self, number: u64) -> io::Result<Region> {
        // Beyond the bound the file may change at any time: what is mapped must not.
        let size = self.place.open(number)?.size()?;
        let keep = self.bound.filter(|bound| bound.get() < (number + 1) * size);
        self.place.region(number, keep.map(|bound| bound.get() - number * size))
    }

    fn remove(&self, _number: u64) -> io::Result<()> {
        Ok(())
    }

    fn archive(&self, _number: u64, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.place.path(number)
    }

    fn read_beside(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        // The chain of a log that goes on may be ahead of where the archive ends.
        if name == chain::FILE && self.bound.is_none() { self.place.chain() } else { Ok(None) }
    }
}
