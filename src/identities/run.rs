//! A run: an immutable file of sorted identities, its filter and its index of pages in memory.

use super::filter::{Filter, RUN, Unreadable};
use super::format::{
    self, ENTRY_BYTES, Malformed, PAGE_BYTES, PER_PAGE, Page, Pair, Trailer, encode_page, entries_in, whole_pages,
};
use super::{Anchor, Damaged, Span};
use crate::store::sync::{AtomicBool, Ordering};
use drawdown_wal::{Contents, Draft, Files};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes that are written at once.
const CHUNK_BYTES: usize = 1 << 20;

/// An open run.
pub(super) struct Run {
    trailer: Trailer,
    path: PathBuf,
    file: Arc<dyn Contents>,
    filter: Filter,
    /// The first fingerprint of each page.
    index: Box<[u64]>,
    seed: u32,
    /// Set when a page turned out to be unreadable, for the thread that mends. Relaxed: it says nothing about anything else.
    damaged: AtomicBool,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("path", &self.path).field("entries", &self.trailer.entries).finish_non_exhaustive()
    }
}

impl Run {
    /// Opens the run of a span, checking all of it but the pages, which are checked when they are read.
    pub(super) fn open(files: &dyn Files, log_id: [u8; 16], span: Span) -> Result<Self, Unreadable> {
        let name = format::file_name(span);
        let file = files.open_file(&name)?;
        let bytes = file.size_bytes();
        let mut page = [0; PAGE_BYTES];
        file.read_at(bytes.checked_sub(PAGE_BYTES as u64).ok_or(Malformed::Length)?, &mut page)?;
        let trailer = Trailer::decode(page, bytes)?;
        if trailer.log_id != log_id {
            return Err(Malformed::AnotherLog.into());
        }
        if trailer.span != span {
            return Err(Malformed::Name.into());
        }
        let seed = format::seed(log_id, span);
        let index = read_index(&*file, &trailer, seed)?;
        let filter = Filter::read(&*file, trailer.filter_at(), trailer.filter_lines, seed, trailer.filter_checksum)?;
        let damaged = AtomicBool::new(false);
        Ok(Run { trailer, path: files.place(&name), file, filter, index, seed, damaged })
    }

    pub(super) fn span(&self) -> Span {
        self.trailer.span
    }

    pub(super) fn anchor(&self) -> Anchor {
        self.trailer.anchor
    }

    pub(super) fn entries(&self) -> u64 {
        self.trailer.entries
    }

    /// About how many entries are not older than `horizon`, if events came evenly.
    pub(super) fn alive(&self, horizon: u64) -> u64 {
        let Span { from, to } = self.span();
        let alive = u128::from(to.saturating_sub(horizon.max(from)));
        (u128::from(self.entries()) * alive / u128::from(to - from)) as u64
    }

    /// Bytes of its file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.trailer.at() + PAGE_BYTES as u64
    }

    /// Bytes of memory.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.filter.bytes() + size_of_val::<[u64]>(&self.index) as u64
    }

    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether the fingerprint may be here; if not, it is not.
    #[inline]
    pub(super) fn may_hold(&self, fingerprint: u64) -> bool {
        self.filter.may_hold(fingerprint)
    }

    /// Adds the LSNs of a fingerprint to `lsns`. Reads one page, seldom more.
    pub(super) fn lookup(&self, fingerprint: u64, lsns: &mut Vec<u64>) -> Result<(), Damaged> {
        // The page before the first that begins at or behind the fingerprint may end with it.
        let first = self.first_at_or_behind(fingerprint).saturating_sub(1);
        for (number, begins) in (first as u64..).zip(&self.index[first..]) {
            if *begins > fingerprint {
                break;
            }
            let mut bytes = [0; PAGE_BYTES];
            let page = self
                .file
                .read_at(number * PAGE_BYTES as u64, &mut bytes)
                .map_err(Unreadable::from)
                .and_then(|()| Ok(Page::check(&bytes, number, self.seed)?))
                .map_err(|error| self.damaged(&error))?;
            lsns.extend(page.lsns(fingerprint, entries_in(number, self.entries())));
        }
        Ok(())
    }

    /// The first page that begins with this fingerprint or a higher one. Fingerprints are spread evenly, so the search begins where it would
    /// be and widens from there.
    fn first_at_or_behind(&self, fingerprint: u64) -> usize {
        let pages = self.index.len();
        let guess = ((u128::from(fingerprint) * pages as u128) >> 64) as usize;
        let mut reach = 4;
        loop {
            let (low, high) = (guess.saturating_sub(reach), (guess + reach).min(pages));
            let from_low = low == 0 || self.index[low - 1] < fingerprint;
            let to_high = high == pages || self.index[high] >= fingerprint;
            if from_low && to_high {
                return low + self.index[low..high].partition_point(|begins| *begins < fingerprint);
            }
            reach *= 4;
        }
    }

    fn damaged(&self, error: &Unreadable) -> Damaged {
        if !self.damaged.swap(true, Ordering::Relaxed) {
            tracing::error!(file = %self.path.display(), %error, "a run of identities is damaged");
        }
        Damaged
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Reads its entries in order.
    pub(super) fn cursor(self: &Arc<Self>) -> Cursor {
        Cursor { run: Arc::clone(self), next_page: 0, buffer: Vec::new(), at: 0, left_in_buffer: 0 }
    }
}

fn read_index(file: &dyn Contents, trailer: &Trailer, seed: u32) -> Result<Box<[u64]>, Unreadable> {
    let mut index = Vec::with_capacity(trailer.pages() as usize);
    let (mut at, mut left, mut checksum) = (trailer.index_at(), trailer.pages() as usize * 8, seed);
    let mut chunk = vec![0; CHUNK_BYTES.min(left)];
    while left > 0 {
        let chunk = &mut chunk[..CHUNK_BYTES.min(left)];
        file.read_at(at, chunk)?;
        checksum = crc32c::crc32c_append(checksum, chunk);
        index.extend(chunk.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)));
        (at, left) = (at + chunk.len() as u64, left - chunk.len());
    }
    if checksum == trailer.index_checksum { Ok(index.into()) } else { Err(Malformed::Index.into()) }
}

/// A reader of all entries of a run, in order.
pub(super) struct Cursor {
    run: Arc<Run>,
    /// The page behind those in the buffer.
    next_page: u64,
    buffer: Vec<u8>,
    /// Entry of the buffer that comes next, counting the pages' unused ends.
    at: usize,
    left_in_buffer: usize,
}

impl Cursor {
    /// The next entry.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Pair>, Damaged> {
        if self.left_in_buffer == 0 && !self.refill()? {
            return Ok(None);
        }
        if self.at % (PAGE_BYTES / ENTRY_BYTES) == PER_PAGE {
            self.at += 1; // the page's number and checksum
        }
        let bytes = self.buffer[self.at * ENTRY_BYTES..].first_chunk::<ENTRY_BYTES>().expect("whole entries");
        let (fingerprint, lsn) = bytes.split_at(8);
        self.at += 1;
        self.left_in_buffer -= 1;
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        Ok(Some((word(fingerprint), word(lsn))))
    }

    fn refill(&mut self) -> Result<bool, Damaged> {
        let run = &*self.run;
        let pages = (run.trailer.pages() - self.next_page).min((CHUNK_BYTES / PAGE_BYTES) as u64);
        self.buffer.resize(pages as usize * PAGE_BYTES, 0);
        let read = run.file.read_at(self.next_page * PAGE_BYTES as u64, &mut self.buffer);
        read.map_err(|error| run.damaged(&error.into()))?;
        for (number, bytes) in (self.next_page..).zip(self.buffer.as_chunks::<PAGE_BYTES>().0) {
            Page::check(bytes, number, run.seed).map_err(|error| run.damaged(&error.into()))?;
            self.left_in_buffer += entries_in(number, run.entries());
        }
        self.next_page += pages;
        self.at = 0;
        Ok(pages > 0)
    }
}

/// Writes a run, entry by entry.
pub(super) struct Writer {
    file: Box<dyn Draft>,
    log_id: [u8; 16],
    span: Span,
    seed: u32,
    filter: Filter,
    index: Vec<u64>,
    page: Vec<Pair>,
    chunk: Vec<u8>,
    last: Pair,
    entries: u64,
}

impl Writer {
    /// Begins the run of a span, for at most about `entries` entries.
    pub(super) fn create(files: &dyn Files, log_id: [u8; 16], span: Span, entries: u64) -> io::Result<Self> {
        Ok(Writer {
            file: files.draft(&format::file_name(span))?,
            log_id,
            span,
            seed: format::seed(log_id, span),
            filter: Filter::for_keys(RUN, entries),
            index: Vec::with_capacity(entries.div_ceil(PER_PAGE as u64) as usize),
            page: Vec::with_capacity(PER_PAGE),
            chunk: Vec::with_capacity(CHUNK_BYTES),
            last: (0, 0),
            entries: 0,
        })
    }

    /// Adds the next entry, which is higher than the one before.
    #[inline]
    pub(super) fn push(&mut self, entry: Pair) -> Result<(), Unreadable> {
        if entry <= self.last {
            return Err(Malformed::Order.into());
        }
        self.last = entry;
        self.page.push(entry);
        self.filter.insert(entry.0);
        self.entries += 1;
        if self.page.len() == PER_PAGE { Ok(self.end_page()?) } else { Ok(()) }
    }

    fn end_page(&mut self) -> io::Result<()> {
        self.chunk.extend(encode_page(&self.page, self.index.len() as u64, self.seed));
        self.index.push(self.page[0].0);
        self.page.clear();
        if self.chunk.len() >= CHUNK_BYTES { self.write_chunk() } else { Ok(()) }
    }

    fn write_chunk(&mut self) -> io::Result<()> {
        self.file.append(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }

    /// Completes the file and opens it. None if there was no entry: a span without identities needs no run.
    pub(super) fn finish(mut self, files: &dyn Files, anchor: Anchor) -> io::Result<Option<Run>> {
        if self.entries == 0 {
            return Ok(None);
        }
        if !self.page.is_empty() {
            self.end_page()?;
        }
        let pages_end = self.chunk.len();
        self.chunk.extend(self.index.iter().flat_map(|begins| begins.to_le_bytes()));
        let index_checksum = crc32c::crc32c_append(self.seed, &self.chunk[pages_end..]);
        let index_bytes = self.chunk.len() - pages_end;
        self.chunk.resize(pages_end + whole_pages(index_bytes as u64) as usize, 0);
        self.write_chunk()?;
        let filter_checksum = self.filter.write(&mut *self.file, self.seed)?;
        let trailer = Trailer {
            log_id: self.log_id,
            span: self.span,
            entries: self.entries,
            filter_lines: self.filter.lines(),
            anchor,
            index_checksum,
            filter_checksum,
        };
        self.file.append(&trailer.encode())?;
        self.file.finish()?;
        let name = format::file_name(self.span);
        Ok(Some(Run {
            trailer,
            path: files.place(&name),
            file: files.open_file(&name)?,
            filter: self.filter,
            index: self.index.into(),
            seed: self.seed,
            damaged: AtomicBool::new(false),
        }))
    }
}
