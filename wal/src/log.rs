//! The log as its users see it.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::chain::{self, Chain, ChainFile, Keeper};
use crate::error::{AppendError, OpenError, Poisoned, Stage};
use crate::format::{FRAME_ALIGN, FRAME_HEADER_BYTES, KIND_CLOSE, KIND_OPEN, SEGMENT_HEADER_BYTES};
use crate::group_commit::Flushed;
use crate::lsn::Lsn;
use crate::medium::{Mapped, Medium};
use crate::reader::{Reader, SegmentView};
use crate::recovery::{self, Recovery, Scan, Verify};
use crate::segment::{Geometry, Segment, Table};
use crate::stats::LogStats;
use crate::supply::{Disposal, Supply};
use crate::sync::{JoinHandle, Mutex, lock, spawn};
use crate::wakers::{block_on, block_on_for};
use crate::writer::{Admission, Admitted, Bounds, Core, WhenDurable};

/// How a log is laid out and driven.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes per segment file, a multiple of 4096. A log that exists keeps the size its files have.
    pub segment_bytes: u64,
    /// Segments kept ready ahead of the one being written, at least one.
    pub segments_ahead: usize,
    /// Bound on bytes that are admitted or written and not yet durable.
    pub max_unsynced_bytes: u64,
    /// Largest frame, header and rounding included, in bytes: a multiple of 32, at most an eighth of a segment. In a log that exists, an
    /// eighth of its segments if that is less.
    pub max_frame_bytes: u32,
    /// How much to check when opening.
    pub verify: Verify,
    /// Identity of a log that is made by opening it; made up if `None`.
    pub log_id: Option<[u8; 16]>,
    /// No threads: the caller drives syncs and preparation by [`Log::pump`]. For tests and simulation.
    pub manual: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 256 << 20,
            segments_ahead: 2,
            max_unsynced_bytes: 64 << 20,
            max_frame_bytes: 16 << 20,
            verify: Verify::default(),
            log_id: None,
            manual: false,
        }
    }
}

impl Options {
    /// Options for tests: tiny segments, everything scaled to them, driven by hand.
    pub fn tiny(segment_bytes: u64) -> Self {
        Self {
            segment_bytes,
            segments_ahead: 2,
            max_unsynced_bytes: segment_bytes,
            max_frame_bytes: (segment_bytes / 8) as u32 / FRAME_ALIGN as u32 * FRAME_ALIGN as u32,
            log_id: Some([7; 16]),
            manual: true,
            ..Self::default()
        }
    }

    fn geometry(&self, segment_bytes: u64) -> Result<Geometry, OpenError> {
        let wrong = |option, reason| Err(OpenError::Options { option, reason });
        if segment_bytes < 2 * SEGMENT_HEADER_BYTES || !segment_bytes.is_multiple_of(SEGMENT_HEADER_BYTES) {
            return wrong("segment_bytes", "must be a multiple of 4096, at least 8192");
        }
        if segment_bytes > 1 << 40 {
            return wrong("segment_bytes", "must be at most 1 TiB");
        }
        let max_frame_bytes = u64::from(self.max_frame_bytes);
        if max_frame_bytes < FRAME_ALIGN || !max_frame_bytes.is_multiple_of(FRAME_ALIGN) {
            return wrong("max_frame_bytes", "must be a multiple of 32, at least 32");
        }
        if max_frame_bytes > segment_bytes / 8 {
            return wrong("max_frame_bytes", "must be at most an eighth of a segment");
        }
        if self.segments_ahead == 0 {
            return wrong("segments_ahead", "must be at least 1");
        }
        if self.max_unsynced_bytes < max_frame_bytes || self.max_unsynced_bytes >= 1 << 62 {
            return wrong("max_unsynced_bytes", "must be at least max_frame_bytes");
        }
        Ok(Geometry { segment_bytes, max_frame_bytes })
    }

    /// The geometry of a log that exists, with segments of a size that may be another than the options'.
    fn geometry_of(&self, segment_bytes: u64) -> Result<Geometry, OpenError> {
        let largest = u32::try_from(segment_bytes / 8).unwrap_or(u32::MAX) / FRAME_ALIGN as u32 * FRAME_ALIGN as u32;
        let max_frame_bytes = self.max_frame_bytes.min(largest);
        Options { max_frame_bytes, ..self.clone() }.geometry(segment_bytes)
    }

    /// The most that one admission may ask for: what is certain to be granted once everything is durable and prepared.
    fn max_admission(&self, geometry: Geometry) -> u64 {
        let ahead = geometry.fresh_capacity() * self.segments_ahead as u64;
        self.max_unsynced_bytes.min(ahead) / FRAME_ALIGN * FRAME_ALIGN
    }
}

/// A write-ahead log, open for appending. Clones share it; the last one dropped closes it.
#[derive(Clone)]
pub struct Log {
    core: Arc<Core>,
    threads: Arc<Threads>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("tail", &self.tail()).field("durable", &self.durable()).finish_non_exhaustive()
    }
}

struct Threads {
    core: Arc<Core>,
    manual: bool,
    flusher: Mutex<Option<JoinHandle<()>>>,
    preparer: Mutex<Option<JoinHandle<()>>>,
    hasher: Mutex<Option<JoinHandle<()>>>,
    tender: Mutex<Option<JoinHandle<()>>>,
}

/// What [`Log::pump`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pumped {
    /// The durable LSN moved.
    pub synced: bool,
    /// A segment was prepared.
    pub prepared: bool,
}

impl Log {
    /// Opens the log in `dir`, making both if need be. Locks the directory.
    pub fn open(dir: &Path, options: Options) -> Result<(Self, Recovery), OpenError> {
        let medium = Mapped::open(dir)?;
        Self::open_on(Arc::new(medium), options)
    }

    /// Opens the log on a medium.
    #[expect(clippy::needless_pass_by_value, reason = "the options become the log's")]
    pub fn open_on(medium: Arc<dyn Medium>, options: Options) -> Result<(Self, Recovery), OpenError> {
        options.geometry(options.segment_bytes)?;
        let numbers = medium.segments().map_err(|source| OpenError::Io { path: medium.path(0), source })?;
        let created = numbers.is_empty();
        let scan = if created {
            let end = Lsn::new(SEGMENT_HEADER_BYTES);
            let log_id = options.log_id.unwrap_or_else(fresh_log_id);
            let geometry_bytes = options.segment_bytes;
            Scan { segments: Vec::new(), geometry_bytes, log_id, end, highest_run: 0, torn: None }
        } else {
            recovery::recover(&*medium, &numbers, options.verify)?
        };
        let geometry = options.geometry_of(scan.geometry_bytes)?;
        let exhausted = OpenError::Options { option: "run", reason: "the log has used up its run numbers" };
        let run = scan.highest_run.checked_add(1).ok_or(exhausted)?;
        let first = numbers.first().copied().unwrap_or(0);
        let recovery = Recovery {
            first: geometry.base(first).plus(SEGMENT_HEADER_BYTES),
            end: scan.end,
            run,
            torn: scan.torn,
            created,
            log_id: scan.log_id,
            segment_bytes: geometry.segment_bytes,
        };
        let chain = Keeper::open(&*medium, scan.log_id, first)
            .map_err(|source| OpenError::Io { path: medium.path(first).with_file_name(chain::FILE), source })?;
        let core = Arc::new(assemble(Arc::clone(&medium), &options, geometry, first, run, scan, chain));
        begin_run(&core, &*medium)?;
        let log = Self::start(core, options.manual, &*medium)?;
        Ok((log, recovery))
    }

    fn start(core: Arc<Core>, manual: bool, medium: &dyn Medium) -> Result<Self, OpenError> {
        let threads = Threads {
            core: Arc::clone(&core),
            manual,
            flusher: Mutex::new(None),
            preparer: Mutex::new(None),
            hasher: Mutex::new(None),
            tender: Mutex::new(None),
        };
        let log = Self { core, threads: Arc::new(threads) };
        if !manual {
            let failed = |source| OpenError::Io { path: medium.path(0), source };
            let core = Arc::clone(&log.core);
            let flusher = spawn("wal-flusher", move || core.run_flusher()).map_err(failed)?;
            log.core.commit.employ(flusher.thread().clone());
            *lock(&log.threads.flusher) = Some(flusher);
            let core = Arc::clone(&log.core);
            let preparer = spawn("wal-preparer", move || core.supply.run(|| core.prepare(true))).map_err(failed)?;
            log.core.supply.employ(preparer.thread().clone());
            *lock(&log.threads.preparer) = Some(preparer);
            let core = Arc::clone(&log.core);
            let tender = spawn("wal-memory", move || core.care.run(|| core.tend())).map_err(failed)?;
            log.core.care.employ(tender.thread().clone());
            *lock(&log.threads.tender) = Some(tender);
            let core = Arc::clone(&log.core);
            let hasher = spawn("wal-chain", move || {
                give_way();
                core.chain.run(|| core.extend_chain());
            });
            let hasher = hasher.map_err(failed)?;
            log.core.chain.employ(hasher.thread().clone());
            *lock(&log.threads.hasher) = Some(hasher);
        }
        Ok(log)
    }

    /// Asks for room for `bytes` bytes of frames ([`crate::frame_bytes`] each). Never blocks.
    pub fn admit(&self, bytes: u64) -> Result<Admission<'_>, AppendError> {
        self.core.admit(bytes)
    }

    /// As [`Log::admit`], waiting while the log is overloaded, for `timeout` at most.
    pub fn admit_wait(&self, bytes: u64, timeout: Duration) -> Result<Admission<'_>, AppendError> {
        if self.threads.manual {
            return self.admit_pumping(bytes);
        }
        match self.core.admit(bytes) {
            Err(AppendError::Overloaded { .. }) => {}
            outcome => return outcome,
        }
        block_on_for(self.admitted(bytes), timeout).unwrap_or_else(|| self.core.admit(bytes))
    }

    fn admit_pumping(&self, bytes: u64) -> Result<Admission<'_>, AppendError> {
        loop {
            match self.core.admit(bytes) {
                Err(AppendError::Overloaded { .. }) => {}
                outcome => return outcome,
            }
            if self.pump() == (Pumped { synced: false, prepared: false }) {
                return self.core.admit(bytes);
            }
        }
    }

    /// As [`Log::admit`], waiting while the log is overloaded. Whoever waited longest is woken first; a plain `admit` may still get
    /// in between.
    pub fn admitted(&self, bytes: u64) -> Admitted<'_> {
        Admitted::new(&self.core, bytes)
    }

    /// The most that one admission may ask for, in bytes.
    pub fn max_admission_bytes(&self) -> u64 {
        self.core.max_admission_bytes
    }

    /// The largest frame, its header included, in bytes.
    pub fn max_frame_bytes(&self) -> u64 {
        self.core.geometry.max_frame_bytes
    }

    /// Everything reserved so far lies below.
    pub fn tail(&self) -> Lsn {
        self.core.tail.position()
    }

    /// Everything below survives power loss.
    pub fn durable(&self) -> Lsn {
        self.core.commit.durable()
    }

    /// Blocks until the log is durable up to `lsn`.
    ///
    /// # Panics
    /// If the log is driven by hand and nothing that is published leads to `lsn`: the wait would never end.
    pub fn wait_durable(&self, lsn: Lsn) -> Result<(), Poisoned> {
        while self.threads.manual && self.durable() < lsn {
            match self.core.flush() {
                Flushed::Synced => {}
                Flushed::Nothing => panic!("LSN {lsn} is not published, and nobody else drives this log"),
                Flushed::Poisoned => break,
            }
        }
        if self.durable() >= lsn {
            return Ok(());
        }
        block_on(self.when_durable(lsn))
    }

    /// A future that completes when the log is durable up to `lsn`.
    pub fn when_durable(&self, lsn: Lsn) -> WhenDurable {
        WhenDurable::new(Arc::clone(&self.core), lsn)
    }

    /// As [`Log::when_durable`], and has nothing synced for its sake: for followers, of which nobody waits for an answer. What nobody hurries is
    /// synced within milliseconds.
    pub fn once_durable(&self, lsn: Lsn) -> WhenDurable {
        WhenDurable::patient(Arc::clone(&self.core), lsn)
    }

    /// What ended this run, if anything did.
    pub fn poisoned(&self) -> Option<Arc<Poisoned>> {
        self.core.commit.poisoned().cloned().map(Arc::new)
    }

    /// Why the latest attempt to prepare a segment failed, until one succeeds. The log keeps trying by itself; what is prepared already
    /// can still be written.
    pub fn prepare_failure(&self) -> Option<Arc<io::Error>> {
        self.core.supply.failure()
    }

    /// A reader of the durable frames that begin at or behind `from`.
    pub fn reader(&self, from: Lsn) -> Reader {
        Reader::new(Arc::clone(&self.core), from)
    }

    /// A reader of the durable frames behind `end`, which is where a frame ends: a durable position, or [`crate::FrameRef::end`]. It begins there, where
    /// [`Log::reader`] walks to its place from the start of the segment. Of another position it says that the log is corrupt.
    pub fn reader_behind(&self, end: Lsn) -> Reader {
        Reader::behind(Arc::clone(&self.core), end)
    }

    /// The segment that holds `lsn`, kept at hand. `None` if it is retired or not prepared yet.
    pub fn pinned(&self, lsn: Lsn) -> Option<SegmentView> {
        let (number, _) = self.core.geometry.split(lsn.get());
        self.core.table.get(number).map(SegmentView::new)
    }

    /// Says that the frames below `lsn` were not walked over since the log was opened: [`Log::vouches_for`] checks them.
    pub fn leave_unchecked(&self, lsn: Lsn) {
        self.core.unchecked.set_below(lsn);
    }

    /// Whether the bytes from the frame at `frame` up to `end` are that frame's and are what was written. Frames that were walked over since the log
    /// was opened are taken to be; of the others the checksum is looked at, once for those who come one after the other.
    #[inline]
    pub fn vouches_for(&self, view: &SegmentView, frame: Lsn, end: Lsn) -> bool {
        self.core.unchecked.passes(frame, || view.is_frame(frame, end))
    }

    /// Asks for a sync now. The flusher syncs what is waited for as soon as it can, and the rest within milliseconds, anyway.
    pub fn flush(&self) {
        if self.threads.manual {
            self.core.flush();
        } else {
            self.core.commit.want(self.tail());
        }
    }

    /// One step of the flusher, of the preparer, and of what looks after the memory, on this thread. Failures are latched, as they would be by the threads.
    pub fn pump(&self) -> Pumped {
        let synced = self.core.flush() == Flushed::Synced;
        self.core.tend();
        let prepared = matches!(self.core.prepare(false), Ok(true));
        Pumped { synced, prepared }
    }

    /// Removes the segments that lie wholly below `lsn` and the durable LSN and are in the hash chain. Returns how many.
    pub fn retire(&self, lsn: Lsn) -> io::Result<u64> {
        self.retire_to(lsn, &Disposal::Remove)
    }

    /// As [`Log::retire`], and says what becomes of them. They go one by one, oldest first: an error leaves a log without a hole, and
    /// another call goes on where it stopped.
    pub fn retire_to(&self, lsn: Lsn, disposal: &Disposal) -> io::Result<u64> {
        let (number, _) = self.core.geometry.split(lsn.min(self.durable()).get());
        while self.threads.manual && self.core.chain.next() < number && self.core.extend_chain()? {}
        self.core.supply.retire(number.min(self.core.chain.next()), disposal, &self.core.table)
    }

    /// The start of the segment that holds `lsn`. Everything below the start of the one that holds the durable LSN is *sealed*: published to
    /// the last byte, durable, and never written again.
    pub fn segment_start(&self, lsn: Lsn) -> Lsn {
        let (number, _) = self.core.geometry.split(lsn.get());
        self.core.geometry.base(number)
    }

    /// Bytes per segment.
    pub fn segment_bytes(&self) -> u64 {
        self.core.geometry.segment_bytes
    }

    /// Identity of the log.
    pub fn id(&self) -> [u8; 16] {
        self.core.supply.log_id()
    }

    /// The hash chain over the sealed segments, as far as it has been made.
    pub fn chain(&self) -> Chain {
        self.core.chain.chain()
    }

    /// What the file that keeps the chain was when the log was opened. What it lacked is made again, from the segments.
    pub fn chain_file(&self) -> ChainFile {
        self.core.chain.found()
    }

    /// Goes on with the hash chain by one segment, if one is sealed, on this thread; a thread does it as they become sealed. Answers whether the
    /// chain grew.
    pub fn extend_chain(&self) -> io::Result<bool> {
        self.core.extend_chain()
    }

    #[cfg(all(test, drawdown_loom))]
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// First position that may hold a frame.
    pub fn first(&self) -> Lsn {
        self.core.geometry.base(self.core.supply.first()).plus(SEGMENT_HEADER_BYTES)
    }

    /// Counters.
    pub fn stats(&self) -> LogStats {
        self.core.stats()
    }

    /// Closes the log: admits nothing more, waits for what was admitted, makes it durable, stops the threads. Called again, it says
    /// the same.
    ///
    /// The last frame vouches for all others, so that after an orderly end no loss can pass for a torn tail.
    pub fn close(&self) -> Result<(), Poisoned> {
        self.threads.close()
    }
}

impl Threads {
    fn close(&self) -> Result<(), Poisoned> {
        if self.core.commit.poisoned().is_none() {
            self.vouch();
        }
        self.core.shut();
        if self.manual {
            while self.core.flush() == Flushed::Synced {}
        } else if let Some(flusher) = lock(&self.flusher).take() {
            let _ = flusher.join();
        }
        self.core.supply.stop();
        if let Some(preparer) = lock(&self.preparer).take() {
            let _ = preparer.join();
        }
        self.core.care.stop();
        if let Some(tender) = lock(&self.tender).take() {
            let _ = tender.join();
        }
        self.core.chain.stop();
        if let Some(hasher) = lock(&self.hasher).take() {
            let _ = hasher.join();
        }
        if self.core.commit.poisoned().is_none() {
            self.core.commit.latch(Stage::Closed, io::Error::other("the log is closed"));
        }
        match self.core.commit.poisoned() {
            Some(poisoned) if poisoned.stage == Stage::Sync => Err(poisoned.clone()),
            _ => Ok(()),
        }
    }

    /// Appends the closing frame behind everything durable. If there is no room for it the log merely ends without.
    fn vouch(&self) {
        let end = self.core.tail.position();
        let durable = if self.manual {
            self.core.flush();
            self.core.commit.durable() >= end
        } else {
            self.core.commit.durable() >= end || block_on(WhenDurable::new(Arc::clone(&self.core), end)).is_ok()
        };
        if durable {
            let _ = self.core.append_own(KIND_CLOSE);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `close`.
        let _ = self.close();
    }
}

/// Lets every other thread go first. What the system refuses is no harm.
fn give_way() {
    let _ = rustix::process::setpriority_process(None, 19);
}

/// Builds the shared state from what recovery found.
fn assemble(
    medium: Arc<dyn Medium>,
    options: &Options,
    geometry: Geometry,
    first: u64,
    run: u32,
    scan: Scan,
    chain: Keeper,
) -> Core {
    let table = Table::new();
    let count = scan.segments.len() as u64;
    for mut found in scan.segments {
        let base = geometry.base(found.number);
        let published = scan.end.get().saturating_sub(base.get());
        found.region.set_watermark(published.clamp(SEGMENT_HEADER_BYTES, geometry.segment_bytes));
        table.insert(Segment::new(found.number, base, scan.log_id, found.region));
    }
    let supply = Supply::new(medium, options.segments_ahead as u64, scan.log_id, run, first..first + count);
    let bounds =
        Bounds { max_unsynced_bytes: options.max_unsynced_bytes, max_admission_bytes: options.max_admission(geometry) };
    Core::new(geometry, scan.end, run, table, supply, chain, bounds)
}

/// Makes sure that there is room, and carries the run number to disk before anything else is appended.
///
/// On a full disk a log opens as long as the run's own frame finds room: what is in it can be read, and the preparer goes on trying.
fn begin_run(core: &Core, medium: &dyn Medium) -> Result<(), OpenError> {
    while core.stats().prepared_bytes < core.max_admission_bytes {
        match core.prepare(false) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) if is_full(&error) && core.stats().prepared_bytes >= FRAME_HEADER_BYTES => break,
            Err(source) => return Err(OpenError::Io { path: medium.path(core.supply.prepared()), source }),
        }
    }
    core.append_own(KIND_OPEN)
        .map_err(|error| OpenError::Io { path: medium.path(0), source: io::Error::other(error) })?;
    core.flush();
    match core.commit.poisoned() {
        Some(poisoned) => Err(OpenError::Poisoned(poisoned.clone())),
        None => Ok(()),
    }
}

/// Whether there is no room, which passes, rather than a fault.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// 128 bits that no other log has: the standard library's hash keys, which come from the system's randomness.
fn fresh_log_id() -> [u8; 16] {
    use std::hash::{BuildHasher, Hasher};
    let mut id = [0u8; 16];
    for half in id.chunks_mut(8) {
        let word = std::collections::hash_map::RandomState::new().build_hasher().finish();
        half.copy_from_slice(&word.to_le_bytes());
    }
    id
}
