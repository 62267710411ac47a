//! Segments made ready before they are needed.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::format::SegmentHeader;
use crate::lsn::Lsn;
use crate::medium::Medium;
use crate::segment::{Geometry, Segment, Table};
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, Thread, lock, park, park_timeout, rest};

/// How long the preparer waits after a failure; doubled by each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// How long the preparer rests at most behind a piece of a segment that is not urgent: of a segment of 256 MiB some seconds in all, if
/// nothing is appended meanwhile.
const REST_MAX: Duration = Duration::from_millis(10);
/// How often it looks, meanwhile, whether it may go on.
const REST_STEP: Duration = Duration::from_millis(1);

/// What becomes of segments that are retired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Disposal {
    /// They are removed.
    #[default]
    Remove,
    /// Their files are filled anew for segments to come, which spares the file system the allocation; those that a reader still holds are
    /// removed.
    Recycle,
    /// They are moved to a directory, which may lie on another file system.
    Archive(PathBuf),
}

pub(crate) struct Supply {
    medium: Arc<dyn Medium>,
    segments_ahead: u64,
    log_id: [u8; 16],
    run: u32,
    /// Segments below this number exist. Written under `preparing` (Release), read by admissions (Acquire).
    prepared: AtomicU64,
    /// Segments below this number are retired. Written under `preparing`.
    first: AtomicU64,
    preparing: Mutex<()>,
    failure: Mutex<Option<Arc<io::Error>>>,
    /// Attempts that failed. Relaxed: for people.
    failures: AtomicU64,
    preparer: OnceLock<Thread>,
    stop: AtomicBool,
}

impl Supply {
    pub(crate) fn new(
        medium: Arc<dyn Medium>,
        segments_ahead: u64,
        log_id: [u8; 16],
        run: u32,
        existing: std::ops::Range<u64>,
    ) -> Self {
        Self {
            medium,
            segments_ahead,
            log_id,
            run,
            prepared: AtomicU64::new(existing.end),
            first: AtomicU64::new(existing.start),
            preparing: Mutex::new(()),
            failure: Mutex::new(None),
            failures: AtomicU64::new(0),
            preparer: OnceLock::new(),
            stop: AtomicBool::new(false),
        }
    }

    pub(crate) fn medium(&self) -> &dyn Medium {
        &*self.medium
    }

    /// Acquire: pairs with the Release in `prepare`; whoever is admitted to a segment sees it.
    pub(crate) fn prepared(&self) -> u64 {
        self.prepared.load(Ordering::Acquire)
    }

    /// Identity of the log.
    pub(crate) fn log_id(&self) -> [u8; 16] {
        self.log_id
    }

    /// Number of the first segment that is kept.
    pub(crate) fn first(&self) -> u64 {
        self.first.load(Ordering::Acquire)
    }

    /// Why the latest attempt to prepare a segment failed, until one succeeds.
    pub(crate) fn failure(&self) -> Option<Arc<io::Error>> {
        lock(&self.failure).clone()
    }

    /// Attempts to prepare a segment that failed.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Prepares the next segment if fewer than `segments_ahead` lie ahead of the one that `tail` is in; with `paced`, no faster than is
    /// needed.
    pub(crate) fn prepare(
        &self,
        tail: &dyn Fn() -> Lsn,
        geometry: Geometry,
        table: &Table,
        durable: impl Fn() -> Lsn,
        paced: bool,
    ) -> io::Result<bool> {
        let _guard = lock(&self.preparing);
        let number = self.prepared.load(Ordering::Relaxed);
        let (begun, current) = (tail(), || geometry.split(tail().get()).0);
        if number > current() + self.segments_ahead {
            return Ok(false);
        }
        let pace = |done: u64| {
            // With nothing behind the segment in use, it is urgent.
            let may_rest = || {
                let appended = tail().get() - begun.get();
                appended + appended / 3 < done && number > current() + 1 && !self.stop.load(Ordering::Acquire)
            };
            if paced {
                rest_while(may_rest);
            }
        };
        let segment = match self.create(number, geometry, durable(), &pace) {
            Ok(segment) => segment,
            Err(error) => {
                let shared = Arc::new(io::Error::new(error.kind(), error.to_string()));
                *lock(&self.failure) = Some(shared);
                self.failures.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
        };
        table.insert(segment);
        *lock(&self.failure) = None;
        // Release: pairs with the Acquire in `prepared`.
        self.prepared.store(number + 1, Ordering::Release);
        Ok(true)
    }

    fn create(&self, number: u64, geometry: Geometry, durable: Lsn, pace: &dyn Fn(u64)) -> io::Result<Segment> {
        if !Table::holds(number) {
            return Err(io::Error::other("the log has reached its largest segment number"));
        }
        let segment_bytes = geometry.segment_bytes;
        let header = SegmentHeader { number, segment_bytes, durable, log_id: self.log_id, run: self.run };
        let region = self.medium.create(number, segment_bytes, &header.encode(), pace)?;
        assert_eq!(region.size_bytes(), segment_bytes);
        Ok(Segment::new(number, geometry.base(number), self.log_id, region))
    }

    /// Retires the segments below `number`, oldest first, so that what is left has no hole. Returns how many went.
    pub(crate) fn retire(&self, number: u64, disposal: &Disposal, table: &Table) -> io::Result<u64> {
        let mut retired = 0;
        for old in self.first()..number {
            if let Disposal::Archive(to) = disposal {
                // Before the lock: copying may take long, and whoever prepares segments must not wait for it.
                self.medium.archive(old, to)?;
            }
            let guard = lock(&self.preparing);
            if self.first() == old {
                self.dispose(old, disposal, table)?;
                self.first.store(old + 1, Ordering::Release);
                retired += 1;
            }
            drop(guard);
        }
        if retired > 0 {
            // There may be space again.
            self.wake();
        }
        Ok(retired)
    }

    /// Takes a segment out of the table and its file off the medium.
    fn dispose(&self, number: u64, disposal: &Disposal, table: &Table) -> io::Result<()> {
        let segment = table.remove(number);
        // Out of the table nobody can come by it any more. So a sole owner stays one, and its pages may be written anew.
        let is_sole = segment.as_ref().is_none_or(|segment| Arc::strong_count(segment) == 1);
        let gone = match disposal {
            Disposal::Recycle if is_sole => self.medium.recycle(number),
            Disposal::Remove | Disposal::Recycle | Disposal::Archive(_) => self.medium.remove(number),
        };
        if gone.is_err()
            && let Some(segment) = segment
        {
            // It is still there, and so it is still read.
            table.put_back(segment);
        }
        gone
    }

    /// Names the thread that runs [`Supply::run`].
    pub(crate) fn employ(&self, preparer: Thread) {
        let _ = self.preparer.set(preparer);
    }

    /// Makes the preparer look again. The token of `unpark` sticks, so it is never missed.
    pub(crate) fn wake(&self) {
        if let Some(thread) = self.preparer.get() {
            thread.unpark();
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// The preparer: keeps segments ahead, and keeps trying when that fails.
    pub(crate) fn run(&self, prepare: impl Fn() -> io::Result<bool>) {
        let mut backoff = BACKOFF_MIN;
        while !self.stop.load(Ordering::Acquire) {
            match prepare() {
                Ok(true) => backoff = BACKOFF_MIN,
                Ok(false) => park(),
                Err(_) => {
                    park_timeout(backoff);
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    }
}

/// Rests as long as `may_rest`, but not longer than [`REST_MAX`].
///
/// Filling a segment as fast as the disk takes it held up the syncs of those who wait for theirs, for a second at a time: at half load the
/// p99 of a batch was half a second. Filled a third faster than the log is written, it is ready in time and in nobody's way. Only who
/// retires segments, in the background, waits for the lock meanwhile.
fn rest_while(may_rest: impl Fn() -> bool) {
    let mut rested = Duration::ZERO;
    while rested < REST_MAX && may_rest() {
        rest(REST_STEP);
        rested += REST_STEP;
    }
}
