//! Snapshots: what the log comes to up to some position, in a file, so that opening need not read all of it and its beginning may go.
//!
//! A snapshot is a fold (`src/engine/fold.rs`) of sealed segments onto the snapshot before, from the files and never from live memory: clients do
//! not notice it, and each one proves that the log replays. It stands at the start of a segment. Two are kept; opening takes the newest,
//! and the one before it if that is damaged.
//!
//! # Invariants
//! 1. Opening from a snapshot and the log behind it gives what replaying the whole log gives.
//! 2. A snapshot depends on nothing that could still be lost: it is begun when everything is durable that was reserved when its last segment
//!    was sealed. So a copy of an operation that the folded part refers to can be looked at, wherever it stands.
//! 3. A segment goes only when two snapshots lie behind it, and nothing that is still promised lies in it (`retention.rs`).
//! 4. Whatever a crash interrupts leaves a directory that opens: files appear whole or not at all, segments go one by one from the front.

mod build;
mod compare;
mod cursor;
mod keeper;
mod load;
mod part;
mod retention;
mod sorter;

#[cfg(test)]
mod tests;

pub(super) use build::genesis;
pub use compare::{Difference, compare};
pub(super) use load::{ground, load};
pub use retention::{Follower, Retention};

use super::ticket::poisoned_error;
use super::view::CommandError;
use super::{Clock, Engine, EngineConfig, Inner, OpenError, Unavailable};
use crate::journal::admin::{AdminRecord, MetadataRecord};
use crate::journal::snapshot::entry::{self, Fixed, WalletEntry};
use crate::journal::snapshot::file::SnapshotFile;
use crate::journal::snapshot::{EXTENSION, Section, SnapshotError, lsn_of};
use crate::ledger::Timestamp;
use crate::store::pin;
use build::{Forget, Job, build};
use drawdown_wal::{Files, Log, Lsn, Mapped, Medium, Options, ReadError, Recovery};
use keeper::Call;
use retention::Followers;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Snapshots that are kept.
const KEPT: usize = 2;

/// When snapshots are made, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotConfig {
    /// One is made when so many bytes of log have been sealed since the last; 0 makes none by size.
    pub log_bytes: u64,
    /// One is made when the last is so old, ms, if anything has been sealed since.
    pub interval_ms: Option<u64>,
    /// Memory that making one may use, in bytes, about.
    pub memory_bytes: u64,
}

impl Default for SnapshotConfig {
    fn default() -> Self {
        SnapshotConfig { log_bytes: 4 << 30, interval_ms: None, memory_bytes: 256 << 20 }
    }
}

/// Why no snapshot was made. The ledger is as it was.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotFailure {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log does not replay.
    #[error(transparent)]
    Fold(Box<OpenError>),
    /// The snapshot before cannot be read.
    #[error("the snapshot before: {0}")]
    Previous(#[from] SnapshotError),
    /// The file cannot be written.
    #[error("the snapshot cannot be written: {0}")]
    Write(#[from] io::Error),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] Unavailable),
    /// The engine is closing.
    #[error("the making was stopped")]
    Stopped,
}

impl From<OpenError> for SnapshotFailure {
    fn from(error: OpenError) -> Self {
        SnapshotFailure::Fold(Box::new(error))
    }
}

/// A snapshot that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Everything below is in it.
    pub lsn: Lsn,
    /// Its length in bytes.
    pub bytes: u64,
    /// Wallets in it.
    pub wallets: u64,
    /// How long making it took, ms.
    pub took_ms: u64,
}

/// How far the making of a snapshot has come. Counters: each is true on its own, hence Relaxed.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
    part_bytes: AtomicU64,
    stop: AtomicBool,
}

impl Progress {
    /// Bytes of log that were walked, and that will have been when it is done, about. Both are zero when nothing is being made.
    pub fn bytes(&self) -> (u64, u64) {
        let total = self.total.load(Ordering::Relaxed);
        (self.done.load(Ordering::Relaxed).min(total), total)
    }

    /// Ends the making at the next occasion; it fails with [`SnapshotFailure::Stopped`].
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn begin(&self, bytes: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.part_bytes.store(bytes, Ordering::Relaxed);
        self.expect_parts(1);
    }

    /// So many ranges of wallets, and the walk for the grants.
    fn expect_parts(&self, parts: u64) {
        self.total.store(self.part_bytes.load(Ordering::Relaxed) * (parts + 1), Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    fn end(&self) {
        self.total.store(0, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What there is to tell of snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotStats {
    /// Position of the newest; zero if there is none.
    pub lsn: u64,
    /// Position of the one before it; zero if there is none.
    pub earlier_lsn: u64,
    /// When the newest was made, ms since the Unix epoch.
    pub made_ms: u64,
    /// Age of the newest, ms.
    pub age_ms: u64,
    /// Length of the newest, in bytes.
    pub bytes: u64,
    /// How long making the last one took, ms; zero if none was made since the start.
    pub took_ms: u64,
    /// Snapshots made since the start.
    pub made: u64,
    /// Failures since the start.
    pub failures: u64,
    /// Bytes of log walked for the one being made, and in all, about; zeroes if none is.
    pub progress: (u64, u64),
    /// Position from which on the log is there.
    pub first_lsn: u64,
    /// Segments retired since the start.
    pub retired_segments: u64,
}

/// The snapshots of an engine.
pub(super) struct Snapshots {
    medium: Arc<dyn Medium>,
    /// Newest first.
    kept: Mutex<Vec<Arc<SnapshotFile>>>,
    /// Held while one is made or segments go.
    making: Mutex<()>,
    progress: Progress,
    followers: Arc<Followers>,
    call: Call,
    took_ms: AtomicU64,
    made: AtomicU64,
    failures: AtomicU64,
    retired: AtomicU64,
}

impl Snapshots {
    /// Those that were found, newest first.
    pub(super) fn new(medium: Arc<dyn Medium>, kept: Vec<Arc<SnapshotFile>>) -> Self {
        let zero = || AtomicU64::new(0);
        Snapshots {
            medium,
            kept: Mutex::new(kept),
            making: Mutex::new(()),
            progress: Progress::default(),
            followers: Arc::default(),
            call: Call::default(),
            took_ms: zero(),
            made: zero(),
            failures: zero(),
            retired: zero(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Arc<SnapshotFile>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where they are.
    pub(super) fn files(&self) -> Arc<dyn Files> {
        Arc::<dyn Medium>::clone(&self.medium)
    }

    /// Wallets in the newest.
    pub(super) fn wallets(&self) -> u64 {
        self.kept().first().map_or(0, |file| file.sums().wallets)
    }

    /// Deletes the snapshots that the log is about to begin behind: a crash may have left more than are kept.
    fn drop_below(&self, start: Lsn) -> io::Result<()> {
        let files = &*self.medium;
        for name in names(files)?.iter().filter(|name| lsn_of(name).is_some_and(|lsn| lsn < start)) {
            files.delete(name)?;
        }
        self.kept().retain(|file| file.lsn() >= start);
        Ok(())
    }

    /// Wakes the thread that makes snapshots, for the last time.
    pub(super) fn stop(&self) {
        self.progress.stop();
        self.call.stop();
    }
}

/// Names of the snapshots in a directory, newest first.
pub(super) fn names(files: &dyn Files) -> io::Result<Vec<String>> {
    let mut names: Vec<_> = files.names(EXTENSION)?.into_iter().filter(|name| lsn_of(name).is_some()).collect();
    names.sort_unstable_by_key(|name| std::cmp::Reverse(lsn_of(name)));
    Ok(names)
}

/// Opens the log beside its snapshots. A log that has gone missing is not begun anew beside them.
pub(super) fn open_log(medium: &Arc<dyn Medium>, options: Options) -> Result<(Log, Recovery), OpenError> {
    let io = |source| drawdown_wal::OpenError::Io { path: medium.place(""), source };
    if let Some(name) = names(&**medium).map_err(io)?.into_iter().next()
        && medium.segments().map_err(io)?.is_empty()
    {
        return Err(OpenError::NoLog { name });
    }
    Ok(Log::open_on(Arc::clone(medium), options)?)
}

/// The snapshots beside a log.
pub(super) struct Found {
    /// Those that go with it, newest first. Their blocks have not been checked.
    pub(super) usable: Vec<Arc<SnapshotFile>>,
    /// Names of the others, each with what is wrong with it.
    pub(super) passed_over: Vec<String>,
}

/// Looks for the snapshots that go with a log. One that knows the log to have been durable where it is not any more is no reason to pass it
/// over: then the log has lost what was acknowledged.
pub(super) fn find_all(files: &dyn Files, log: &Log, recovery: &Recovery) -> Result<Found, OpenError> {
    let io = |source| drawdown_wal::OpenError::Io { path: files.place(""), source };
    let mut found = Found { usable: Vec::new(), passed_over: Vec::new() };
    for name in names(files).map_err(io)? {
        match find(files, &name, log) {
            Ok(file) if file.sums().durable > recovery.end => {
                return Err(OpenError::LostLog { name, durable: file.sums().durable, end: recovery.end });
            }
            Ok(file) => found.usable.push(Arc::new(file)),
            Err(error) => found.passed_over.push(format!("{name}: {error}")),
        }
    }
    Ok(found)
}

fn find(files: &dyn Files, name: &str, log: &Log) -> Result<SnapshotFile, SnapshotError> {
    let file = SnapshotFile::open(files, name)?;
    if file.head().log_id != log.id() {
        return Err(SnapshotError::Foreign("it is of another one"));
    }
    if lsn_of(name) != Some(file.lsn()) {
        return Err(SnapshotError::Foreign("it is of another position than its name says"));
    }
    if file.lsn() < log.segment_start(log.first()) {
        return Err(SnapshotError::Foreign("the log begins behind it"));
    }
    Ok(file)
}

/// Whether a log reaches back to its beginning.
pub(super) fn is_whole(log: &Log) -> bool {
    log.segment_start(log.first()) == Lsn::ZERO
}

/// What a snapshot is to hold.
struct Extent {
    /// Everything below, which is durable.
    upto: Lsn,
    /// Save that identities recorded below here are left to the files that hold them.
    identities_from: u64,
}

/// The head of the log's hash chain at the start of a segment, for which the chain is gone on with if its own thread has not come so far.
/// Zeroes if it cannot be told: the chain is evidence, and no reason to make no snapshot.
fn chain_at(log: &Log, upto: Lsn) -> [u8; 32] {
    let number = upto.get() / log.segment_bytes();
    if upto != log.segment_start(upto) {
        return [0; 32];
    }
    loop {
        if let Some(hash) = log.chain().before(number) {
            return hash.bytes();
        }
        match log.extend_chain() {
            Ok(true) => {}
            Ok(false) => return [0; 32],
            Err(error) => {
                tracing::warn!(%error, "the snapshot does not name the hash chain's head: a segment cannot be hashed");
                return [0; 32];
            }
        }
    }
}

/// Makes a snapshot onto the newest of `kept`, and keeps it. `None` if there is nothing new.
fn make(
    log: &Log,
    files: &dyn Files,
    kept: &Mutex<Vec<Arc<SnapshotFile>>>,
    config: &EngineConfig,
    clock: &dyn Clock,
    Extent { upto, identities_from }: Extent,
    progress: &Progress,
) -> Result<Option<Made>, SnapshotFailure> {
    let started = Instant::now();
    let keep = || kept.lock().unwrap_or_else(PoisonError::into_inner);
    // Invariant 2: what the sealed segments refer to was reserved by now.
    let durable = log.tail();
    let mut is_durable = false;
    let mut chain = [0; 32];
    let bytes = loop {
        let previous = keep().first().cloned();
        let from = previous.as_ref().map_or(log.first(), |previous| previous.lsn());
        if upto <= from {
            return Ok(None);
        }
        if previous.is_none() && !is_whole(log) {
            return Err(OpenError::NoSnapshot { first: log.first(), passed_over: String::new() }.into());
        }
        if !std::mem::replace(&mut is_durable, true) {
            log.wait_durable(durable).map_err(|poisoned| poisoned_error(&poisoned))?;
            chain = chain_at(log, upto);
        }
        progress.begin(upto.get() - from.get());
        let job = Job {
            log,
            files,
            previous: previous.as_deref(),
            upto,
            durable,
            made: clock.now(),
            forget: Forget::Older(config.idempotency_window_ms),
            chain,
            identities_from,
            memory_bytes: config.snapshots.memory_bytes,
            progress,
        };
        let built = build(&job);
        progress.end();
        match built {
            Ok(bytes) => break bytes,
            Err(SnapshotFailure::Previous(error)) if previous.is_some() => {
                tracing::warn!(%error, "the newest snapshot is no ground to go on from: trying the one before it");
                keep().remove(0);
            }
            Err(failure) => return Err(failure),
        }
    };
    let name = crate::journal::snapshot::file_name(upto);
    let file = Arc::new(SnapshotFile::open(files, &name)?);
    let wallets = file.sums().wallets;
    let stay: Vec<String> = {
        let mut kept = keep();
        kept.insert(0, file);
        kept.truncate(KEPT);
        kept.iter().map(|file| file.name().to_owned()).collect()
    };
    for name in names(files)?.iter().filter(|name| !stay.contains(name)) {
        if let Err(error) = files.delete(name) {
            tracing::warn!(name, %error, "an old snapshot could not be deleted; the next one tries again");
        }
    }
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Some(Made { lsn: upto, bytes, wallets, took_ms }))
}

/// Makes a snapshot of a ledger that no server has open: of every segment but the one that the log ends in. `None` if there is nothing new.
pub fn make_offline(
    dir: &Path,
    config: &EngineConfig,
    clock: &dyn Clock,
    progress: &Progress,
) -> Result<Option<Made>, OpenError> {
    let medium = Mapped::open(dir)?;
    // Nothing is appended here but the log's own frames, so that any segment's size will do.
    let log = Options { max_frame_bytes: 1024, segments_ahead: 1, ..config.log.clone() };
    make_offline_on(
        &(Arc::new(medium) as Arc<dyn Medium>),
        &EngineConfig { log, ..config.clone() },
        clock,
        None,
        progress,
    )
}

/// As [`make_offline`], on a medium and up to the start of any frame, for tests and simulations.
pub fn make_offline_on(
    medium: &Arc<dyn Medium>,
    config: &EngineConfig,
    clock: &dyn Clock,
    upto: Option<Lsn>,
    progress: &Progress,
) -> Result<Option<Made>, OpenError> {
    let (log, recovery) = open_log(medium, config.log.clone())?;
    let Found { usable, passed_over } = find_all(&**medium, &log, &recovery)?;
    for name in &passed_over {
        tracing::warn!("passed over {name}");
    }
    let extent = Extent { upto: upto.unwrap_or(log.segment_start(recovery.end)), identities_from: 0 };
    let made = make(&log, &**medium, &Mutex::new(usable), config, clock, extent, progress);
    let closed = log.close();
    let made = made.map_err(|failure| match failure {
        SnapshotFailure::Fold(error) => *error,
        failure => OpenError::NoSnapshotMade(Box::new(failure)),
    })?;
    closed.map_err(|poisoned| OpenError::Unavailable(poisoned_error(&poisoned)))?;
    Ok(made)
}

impl Engine {
    /// Makes a snapshot now, on this thread, of what has been sealed: the segments behind which the log is durable. `None` if there is
    /// nothing new. Clients do not notice it.
    pub fn snapshot_now(&self) -> Result<Option<Made>, SnapshotFailure> {
        self.inner.snapshot()
    }

    /// Asks for a snapshot, which the background thread makes as soon as it can.
    pub fn request_snapshot(&self) {
        self.inner.snapshots.call.request();
    }

    /// Carries out the retention settings now, which the background thread does by itself: lets go of the segments that nothing needs any
    /// more. How many went.
    pub fn retire(&self) -> io::Result<u64> {
        self.inner.retire()
    }

    /// A digest of what the engine holds of its log: wallets, catalogue, keys, metadata, repairs. Two engines that were opened on the same
    /// log have the same, whatever they began with. Not while the engine is used.
    pub fn digest(&self) -> [u8; 32] {
        self.inner.digest()
    }

    /// First position from which on the log is there. What stands before has been retired.
    pub fn first_lsn(&self) -> Lsn {
        self.inner.log.first()
    }
}

impl Inner {
    fn snapshot(&self) -> Result<Option<Made>, SnapshotFailure> {
        let snapshots = &self.snapshots;
        let _making = snapshots.making.lock().unwrap_or_else(PoisonError::into_inner);
        let (files, kept) = (&*snapshots.medium, &snapshots.kept);
        let extent = Extent {
            upto: self.log.segment_start(self.log.durable()),
            identities_from: self.spilled.end().unwrap_or_default(),
        };
        let made = make(&self.log, files, kept, &self.config, &*self.clock, extent, &snapshots.progress);
        match &made {
            Ok(Some(made)) => {
                snapshots.made.fetch_add(1, Ordering::Relaxed);
                snapshots.took_ms.store(made.took_ms, Ordering::Relaxed);
            }
            Ok(None) => {}
            Err(_) => {
                snapshots.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        made
    }

    /// The declaration of a grant or a hold whose record has been retired, from the snapshots; `None` if none of them has it: it ended before.
    pub(super) fn retired_declaration(&self, declared: u64) -> Result<Option<AdminRecord>, CommandError> {
        let kept = self.snapshots.kept().clone();
        let mut failed = None;
        for file in kept {
            match declaration(&file, declared) {
                Ok(Some(record)) => return Ok(Some(record)),
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(CommandError::Unavailable(Unavailable::Poisoned(format!("a snapshot: {error}")))),
            None => Ok(None),
        }
    }

    fn digest(&self) -> [u8; 32] {
        let (mut hasher, mut bytes, guard) = (blake3::Hasher::new(), Vec::new(), pin());
        for slot in 0..self.slab.len() as u32 {
            let reading = self.slab.find(slot).and_then(|cell| Some((cell.last_lsn(), cell.read(&guard)?)));
            let (Some((last_lsn, reading)), Some(name)) = (reading, self.names.get(slot)) else { continue };
            let wallet = WalletEntry {
                slot,
                customer: name.customer,
                currency: name.currency,
                generation: reading.generation.number(),
                opened_at: reading.generation.opened_at(),
                last_lsn,
                balance: reading.balance,
                lowest: reading.balance,
                terms: reading.generation.terms().entry(),
            };
            bytes.clear();
            wallet.write(&mut bytes);
            if let Some(metadata) = self.metadata.get(&slot) {
                let metadata = MetadataRecord { slot, metadata: metadata.clone() };
                entry::write_record(&AdminRecord::Metadata(metadata), &mut bytes);
            }
            if let Some(commitments) = self.commitments.get(&slot) {
                entry::write_record(&AdminRecord::Commitments((**commitments).clone()), &mut bytes);
            }
            hasher.update(&bytes);
        }
        bytes.clear();
        let catalog = self.catalog.snapshot();
        let currencies = catalog.currencies().iter().map(|currency| AdminRecord::Currency((**currency).clone()));
        let meters = catalog.meters().iter().map(|meter| AdminRecord::Meter((**meter).clone()));
        let keys: BTreeMap<_, _> = self.api_keys.iter().map(|key| (key.id.clone(), (**key).clone())).collect();
        let records = currencies.chain(meters).chain(keys.into_values().map(AdminRecord::ApiKey));
        let customers = self.customers.records().into_iter().map(|customer| AdminRecord::Customer((*customer).clone()));
        let defaults = self.defaults.all().into_iter().map(|record| AdminRecord::DefaultLevels((*record).clone()));
        let billing = self.billing.records().into_iter().map(AdminRecord::Billing);
        let webhooks = self.webhooks.records().into_iter().map(AdminRecord::Webhook);
        records
            .chain(defaults)
            .chain(customers)
            .chain(billing)
            .chain(webhooks)
            .for_each(|record| entry::write_record(&record, &mut bytes));
        // Of burn rates only what the log says outright: the estimates follow it.
        bytes.extend_from_slice(format!("{:?}", self.runways.settings()).as_bytes());
        self.recurring_records().into_iter().for_each(|(lsn, record)| entry::write_recurring(lsn, record, &mut bytes));
        self.repairs.all().iter().for_each(|mended| mended.write(&mut bytes));
        *hasher.update(&bytes).finalize().as_bytes()
    }

    /// Whether the log's record at `lsn` has been retired.
    pub(super) fn is_retired(&self, lsn: u64) -> bool {
        Lsn::new(lsn) < self.log.first() && !is_whole(&self.log)
    }

    /// What was asked for has been retired.
    pub(super) fn retired(&self) -> CommandError {
        CommandError::Retired { first: self.log.first() }
    }

    pub(super) fn snapshot_stats(&self) -> SnapshotStats {
        let snapshots = &self.snapshots;
        let kept = snapshots.kept().clone();
        let newest = kept.first();
        let made = newest.map_or(Timestamp::EPOCH, |file| file.sums().made);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SnapshotStats {
            lsn: newest.map_or(0, |file| file.lsn().get()),
            earlier_lsn: kept.get(1).map_or(0, |file| file.lsn().get()),
            made_ms: made.millis(),
            age_ms: newest.map_or(0, |_| self.now().millis().saturating_sub(made.millis())),
            bytes: newest.map_or(0, |file| file.size_bytes()),
            took_ms: read(&snapshots.took_ms),
            made: read(&snapshots.made),
            failures: read(&snapshots.failures),
            progress: snapshots.progress.bytes(),
            first_lsn: self.log.first().get(),
            retired_segments: read(&snapshots.retired),
        }
    }
}

/// Looks the declaration of a grant or a hold up: one block is read.
fn declaration(file: &SnapshotFile, declared: u64) -> Result<Option<AdminRecord>, SnapshotError> {
    let Some(block) = file.block_of(Section::Grants, declared) else { return Ok(None) };
    let mut buffer = Vec::new();
    let mut rest = file.read(block, &mut buffer)?;
    while !rest.is_empty() {
        let (number, record) = entry::read_declaration(&mut rest)?;
        if number == declared {
            return Ok(Some(record));
        }
    }
    Ok(None)
}
