//! The engine: one shard of the ledger, usable without the server.
//!
//! It owns a log, a table of wallets, a table of remembered events, and joins the rules to them. Everything that moves credit goes the
//! same way: what is asked is checked, its place in the log reserved, its effect applied in memory, its record published, and the answer
//! given out as a [`Ticket`] that resolves when the record is on disk. Opening an engine folds the log back into memory.
//!
//! ```
//! use drawdown::engine::{Engine, EngineConfig, SystemClock};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let mut config = EngineConfig::default();
//! # config.log.segment_bytes = 1 << 20;
//! # config.log.max_frame_bytes = 1 << 17;
//! # config.log.max_unsynced_bytes = 1 << 20;
//! let (engine, report) = Engine::open(dir.path(), config, std::sync::Arc::new(SystemClock))?;
//! assert_eq!(report.wallets, 0);
//! engine.close()?;
//! # Ok(()) }
//! ```
//!
//! # Invariants
//! 1. No ticket resolves before its batch is durable, and every opening of a generation that the batch used.
//! 2. Debits commute within a generation, and the closing balance recorded at its end agrees with their sum.
//! 3. Available credit goes below zero by the `overdraft` policy only; credits are conserved.
//! 4. Replaying the log gives the state that wrote it.
//! 5. One identity and content, one effect and one answer, across restarts.
//! 6. The rules run inside the store's swaps and are pure: no clock, no randomness, no hash order.

mod answers;
pub mod audit;
mod background;
pub mod billing;
mod budget;
pub mod catalog;
mod clock;
mod commitments;
pub mod corrections;
pub mod customers;
mod defaults;
pub mod event;
mod feed;
mod fold;
mod grants;
mod history;
pub mod holds;
mod identity;
mod joint;
mod kept;
mod mending;
mod names;
mod once;
mod openings;
mod operate;
mod pressure;
mod recovery;
pub mod recurring;
mod refusals;
mod repairs;
pub mod reports;
mod runway;
mod settings;
mod shared;
pub mod snapshot;
mod spill;
mod stats;
mod ticket;
mod usage;
mod vault;
pub mod view;
mod wallet;
mod wallets;
pub mod webhooks;

pub use crate::journal::admin::ApiKeyRecord;
pub use answers::Answer;
pub use billing::Shortfall;
pub use clock::{Clock, ManualClock, SystemClock};
pub use commitments::{CommitmentSpec, CommitmentView, CommitmentsSpec, CommitmentsView};
pub use defaults::DefaultAlerts;
pub use drawdown_wal::Disposal;
pub use event::{Charge, EventOutcome, EventStatus, UsageEvent};
pub use feed::{FeedReader, Followed};
pub use grants::GrantsPage;
pub use once::{EFFECT_PREFIX, RequestKey};
pub use pressure::{AdmissionStats, Room, Space};
pub use runway::{HALF_LIFE_MS_MAX, HALF_LIFE_MS_MIN, RUNWAY_MINUTES_MAX, RunwayView, RunwayWatch};
pub use snapshot::{Follower, Made, Retention, SnapshotConfig, SnapshotFailure, SnapshotStats};
pub use spill::{SpillError, has_anchor};
pub use stats::EngineStats;
pub use ticket::Ticket;
pub use usage::MAX_GROUP_EVENTS;
pub use view::{CommandError, Unavailable};

use crate::identities::{self, Spilled};
use crate::journal::admin::{AdminRecord, Genesis};
use crate::journal::alerts::CommitmentsRecord;
use crate::journal::snapshot::SnapshotError;
use crate::journal::snapshot::file::SnapshotFile;
use crate::journal::{self, Corrupt, Record};
use crate::ledger::Timestamp;
use crate::store::hash::Seed;
use crate::store::idempotency::{Found, Idempotency};
use crate::store::index::Index;
use crate::store::slab::Slab;
use crate::store::{ZeroValid, pin};
use background::{Bell, Horizon};
use billing::Billing;
use customers::Customers;
use dashmap::DashMap;
use defaults::Defaults;
use drawdown_wal::{Admission, AppendError, Log, Lsn, Mapped, Medium, ReadError, Recovery, SegmentView};
use fold::Loose;
use names::Names;
use pressure::Pressure;
use recurring::Recurrings;
use refusals::Refusals;
use repairs::Repairs;
use runway::Runways;
use settings::CatalogCell;
use snapshot::Snapshots;
use spill::{Ground, IdentityRoom};
use stats::Counters;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use vault::Vault;
use view::Metadata;
use wallet::WalletSlot;
use webhooks::Webhooks;

/// The longest id, source and customer, in bytes.
pub const MAX_ID_BYTES: usize = 128;

/// The longest idempotency window: 34 days, ms.
pub const MAX_WINDOW_MS: u64 = 34 * 24 * 3_600_000;

/// When an answer may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// When what it says is on disk.
    #[default]
    Durable,
    /// When what it says is in memory and on its way: a crash can take back what was answered. For those who want it so.
    Buffered,
}

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The log.
    pub log: drawdown_wal::Options,
    /// How long an event's identity is remembered, ms, at most [`MAX_WINDOW_MS`]. Events whose own time is older are refused.
    pub idempotency_window_ms: u64,
    /// Bytes of memory for identities; what exceeds them goes to files, which take three bytes of memory an identity.
    pub idempotency_memory: u64,
    /// Whether identities are known at all. An engine that does not know them, opened to look at the ledger or to administer it, takes neither
    /// memory nor files for them, and refuses events and grants with a key.
    pub remembers_identities: bool,
    /// How far ahead of the server's clock an event's own time may be, ms.
    pub future_tolerance_ms: u64,
    /// How long a command waits for a busy log before it is refused, ms.
    pub admission_wait_ms: u64,
    /// Events that the table of identities takes before it first grows.
    pub expected_events: usize,
    /// Wallets that the index takes before it first grows.
    pub expected_wallets: usize,
    /// When answers to writes may leave.
    pub acknowledge: Acknowledge,
    /// Threads that replay the log at opening.
    pub replay_workers: u32,
    /// Whether background threads keep house; without them, see [`Engine::tidy`], [`Engine::snapshot_now`] and [`Engine::retire`].
    pub background: bool,
    /// Whether the occurrences of recurring grants are made ahead, at opening and later. An engine opened to look at the ledger makes none.
    pub keeps_recurring: bool,
    /// What becomes of credits that are to be taken back because their money went back, and have been spent.
    pub refund_shortfall: Shortfall,
    /// When snapshots are made.
    pub snapshots: SnapshotConfig,
    /// How much history is kept.
    pub retention: Retention,
    /// So many bytes of log at the most are kept for webhook endpoints that have not come so far, where a setting lets go of history.
    pub webhook_hold_bytes: u64,
    /// How long a wallet that refuses usage is told of once at the most, ms.
    pub refusal_interval_ms: u64,
    /// Where the replay at opening is to tell how far in the log it is, for whoever shows that.
    pub replayed_to: Option<Arc<AtomicU64>>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            log: drawdown_wal::Options::default(),
            idempotency_window_ms: 24 * 3_600_000,
            idempotency_memory: 1 << 30,
            remembers_identities: true,
            future_tolerance_ms: 5 * 60_000,
            admission_wait_ms: 5_000,
            expected_events: 1 << 20,
            expected_wallets: 1 << 12,
            acknowledge: Acknowledge::Durable,
            replay_workers: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32).min(8),
            background: true,
            keeps_recurring: true,
            refund_shortfall: Shortfall::default(),
            snapshots: SnapshotConfig::default(),
            retention: Retention::default(),
            webhook_hold_bytes: 16 << 30,
            refusal_interval_ms: 60_000,
            replayed_to: None,
        }
    }
}

/// Why an engine could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log could not be opened.
    #[error(transparent)]
    Log(#[from] drawdown_wal::OpenError),
    /// A frame could not be read back.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A frame is whole, and a record in it makes no sense.
    #[error("record in the frame at LSN {lsn}: {source}")]
    Record {
        /// The frame.
        lsn: Lsn,
        /// What is wrong.
        source: Corrupt,
    },
    /// Records contradict each other.
    #[error("the log contradicts itself at LSN {lsn}: {what}")]
    Inconsistent {
        /// The record.
        lsn: Lsn,
        /// The contradiction.
        what: &'static str,
    },
    /// The log does not begin with a ledger's first record.
    #[error("the log does not begin with a ledger's first record: {0}")]
    NotALedger(&'static str),
    /// The log takes no writes.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The idempotency window is longer than [`MAX_WINDOW_MS`].
    #[error("the idempotency window may be 34 days at most")]
    Window,
    /// The files of spilled identities cannot be listed or read.
    #[error("the spilled identities in {0}")]
    Identities(#[from] identities::OpenError),
    /// Identities that memory has no room for could not be spilled.
    #[error("spilling identities: {0}")]
    Spill(#[from] SpillError),
    /// A thread could not be started.
    #[error("the background thread could not be started: {0}")]
    Thread(#[source] std::io::Error),
    /// A snapshot cannot be used.
    #[error("a snapshot: {0}")]
    Snapshot(Box<SnapshotError>),
    /// The beginning of the log has been retired, and no snapshot takes its place.
    #[error("the log begins at LSN {first}, and no snapshot holds what lay before it; looked at: [{passed_over}]")]
    NoSnapshot {
        /// Where the log begins.
        first: Lsn,
        /// The snapshots that were looked at, each with what is wrong with it.
        passed_over: String,
    },
    /// There are snapshots and no log.
    #[error("there is a snapshot ({name}) and no log: its segments are missing")]
    NoLog {
        /// The newest snapshot.
        name: String,
    },
    /// The log ends before a position at which a snapshot knew it to be durable. This is lost data, and is never passed over.
    #[error(
        "the log ends at LSN {end}, yet it was durable up to LSN {durable} when {name} was made: segments are missing or older"
    )]
    LostLog {
        /// The snapshot.
        name: String,
        /// Where the log was durable.
        durable: Lsn,
        /// Where it ends.
        end: Lsn,
    },
    /// A snapshot could not be made of a ledger that is not open.
    #[error(transparent)]
    NoSnapshotMade(Box<SnapshotFailure>),
    /// The file of the keys of personal data cannot be read.
    #[error("the keys of personal data: {0}")]
    Keys(#[source] std::io::Error),
}

/// Events for which room is made before any is read; there may be fewer, and more are no harm.
const EVENTS_FORESEEN_MAX: u64 = 1 << 26;

/// What opening an engine found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Wallets.
    pub wallets: u64,
    /// Debits replayed.
    pub debits: u64,
    /// Operations replayed, copies included.
    pub operations: u64,
    /// Wallets that a crash had cut through and that were reopened; nothing acknowledged was in what they lost.
    pub reopened: u64,
    /// Bytes of a torn tail that were cut away; nothing in them was ever acknowledged.
    pub torn_bytes: u64,
    /// The snapshot that was begun with; zero if the log was replayed from its beginning.
    pub snapshot: Lsn,
    /// Snapshots that could not be used, each with what is wrong with it.
    pub passed_over: Vec<String>,
}

impl OpenReport {
    fn add(&mut self, count: &fold::Count) {
        self.debits += count.debits;
        self.operations += count.operations;
    }
}

/// One shard of the ledger, open. Clones share it.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
    /// Held by engines only, not by the background threads: the last one dropped stops them.
    keeper: Arc<Keeper>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("log", &self.inner.log).finish_non_exhaustive()
    }
}

/// Stops the background threads when the last engine is gone.
struct Keeper {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Keeper {
    fn employ(&self, name: &str, body: fn(&Inner)) -> Result<(), OpenError> {
        let inner = Arc::clone(&self.inner);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || body(&inner));
        let thread = thread.map_err(OpenError::Thread)?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    fn stop(&self) {
        self.inner.closed.store(true, Ordering::Release); // with check_open
        self.inner.bell.ring();
        self.inner.snapshots.stop();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A panic there has been reported by the panic itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) struct Inner {
    log: Log,
    seed: Seed,
    slab: Slab<WalletSlot>,
    index: Index,
    idempotency: Idempotency,
    /// Identities that the table has no room for.
    spilled: Spilled,
    room: IdentityRoom,
    names: Names,
    catalog: CatalogCell,
    api_keys: DashMap<String, Arc<ApiKeyRecord>>,
    metadata: DashMap<u32, Metadata>,
    recurrings: Recurrings,
    /// Grants that were opened again since the snapshot that was begun with: where what was declared of them is said once more.
    redeclared: DashMap<u64, u64>,
    commitments: DashMap<u32, Arc<CommitmentsRecord>>,
    defaults: Defaults,
    runways: Runways,
    customers: Customers,
    billing: Billing,
    webhooks: Webhooks,
    repairs: Repairs,
    refusals: Refusals,
    horizon: Horizon,
    /// Identities recorded at this instant or later are known. Events whose own time is before it are refused.
    remembered_since: Timestamp,
    snapshots: Snapshots,
    /// When the engine was opened.
    opened: Timestamp,
    counters: Counters,
    pressure: Pressure,
    clock: Arc<dyn Clock>,
    /// The latest instant given out, ms: the engine's time does not step back. Only ever raised; a value on its own, hence Relaxed.
    latest: AtomicU64,
    config: EngineConfig,
    bell: Bell,
    closed: AtomicBool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for slot in 0..self.slab.len() as u32 {
            if let Some(slot) = self.slab.find(slot) {
                // SAFETY: the engine is going, so nobody uses the slot any more.
                unsafe { slot.free() };
            }
        }
    }
}

impl Engine {
    /// Opens the ledger in `dir`, making both if need be.
    pub fn open(dir: &Path, config: EngineConfig, clock: Arc<dyn Clock>) -> Result<(Engine, OpenReport), OpenError> {
        Self::open_on(Arc::new(Mapped::open(dir)?), config, clock)
    }

    /// Opens the ledger on a medium, for tests and simulations.
    #[expect(clippy::needless_pass_by_value, reason = "they become the engine's")]
    pub fn open_on(
        medium: Arc<dyn Medium>,
        config: EngineConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<(Engine, OpenReport), OpenError> {
        if config.idempotency_window_ms > MAX_WINDOW_MS {
            return Err(OpenError::Window);
        }
        let (log, recovery) = snapshot::open_log(&medium, config.log.clone())?;
        let (inner, mut report) = Inner::recover(&medium, &log, &recovery, &config, &clock)?;
        report.torn_bytes = recovery.torn.map_or(0, |torn| torn.bytes);
        if inner.config.remembers_identities {
            inner.fill_holes()?;
        }
        inner.customers.finish_erasures();
        inner.destroy_webhook_keys();
        let inner = Arc::new(inner);
        let keeper = Arc::new(Keeper { inner: Arc::clone(&inner), threads: Mutex::new(Vec::new()) });
        if inner.config.background {
            keeper.employ("engine-background", Inner::run_background)?;
            if inner.config.remembers_identities {
                keeper.employ("engine-identities", Inner::run_keeping)?;
            }
            keeper.employ("engine-snapshots", Inner::keep_snapshots)?;
            keeper.employ("engine-runways", Inner::run_runways)?;
        }
        let engine = Engine { inner, keeper };
        if engine.inner.config.keeps_recurring {
            // Before anybody can ask: what was missed while nobody had the ledger open.
            engine.begin_recurring();
            // And what had been decided and not done.
            engine.inner.settle_billing();
            engine.inner.fill_outbox();
        }
        Ok((engine, report))
    }

    /// A ticket for everything that has been applied so far, by anyone. What a reader has been shown could be taken back by a crash until
    /// this has resolved. It resolves at once where answers do not wait for the disk.
    pub fn barrier(&self) -> Ticket {
        match self.inner.config.acknowledge {
            Acknowledge::Durable => self.durable_barrier(),
            Acknowledge::Buffered => Ticket::new(&self.inner.log, Lsn::ZERO),
        }
    }

    /// As [`Engine::barrier`], and waits for the disk in any case.
    fn durable_barrier(&self) -> Ticket {
        Ticket::new(&self.inner.log, self.inner.log.tail())
    }

    /// The engine's time: the clock's, save that it never steps back.
    pub fn now(&self) -> Timestamp {
        self.inner.now()
    }

    /// Whether writes are taken, or why not.
    pub fn health(&self) -> Result<(), Unavailable> {
        self.inner.check_open()?;
        match self.inner.log.poisoned() {
            Some(poisoned) => Err(ticket::poisoned_error(&poisoned)),
            None => Ok(()),
        }
    }

    /// The log, for whoever follows it.
    pub fn log(&self) -> &Log {
        &self.inner.log
    }

    /// Takes no more writes, makes durable what has been applied, and stops the threads.
    pub fn close(&self) -> Result<(), Unavailable> {
        self.keeper.stop();
        self.inner.log.close().map_err(|poisoned| ticket::poisoned_error(&poisoned))
    }
}

impl Inner {
    /// Tables filled from the newest snapshot that can be used, if any, and the log behind it.
    fn recover(
        medium: &Arc<dyn Medium>,
        log: &Log,
        recovery: &Recovery,
        config: &EngineConfig,
        clock: &Arc<dyn Clock>,
    ) -> Result<(Inner, OpenReport), OpenError> {
        let snapshot::Found { mut usable, mut passed_over } = snapshot::find_all(&**medium, log, recovery)?;
        for why in &passed_over {
            tracing::warn!("a snapshot cannot be used: {why}");
        }
        let workers = config.replay_workers;
        let assemble = |genesis: &Genesis, kept: &[Arc<SnapshotFile>], ground: &Ground| {
            let snapshots = Snapshots::new(Arc::clone(medium), kept.to_vec());
            Inner::assemble(log.clone(), genesis, config, Arc::clone(clock), snapshots, ground)
        };
        while let Some(file) = usable.first() {
            let loaded = match snapshot::genesis(file).and_then(|genesis| Ok((genesis, snapshot::ground(file)?))) {
                Ok((genesis, ground)) => {
                    let mut inner = assemble(&genesis, &usable, &ground)?;
                    inner.remembered_since = ground.remembered_since(log);
                    snapshot::load(&inner, file, workers).map(|loose| (inner, loose))
                }
                Err(error) => Err(error),
            };
            match loaded {
                Ok((mut inner, loose)) => {
                    log.leave_unchecked(file.lsn());
                    let report = recovery::replay(&mut inner, file.lsn(), loose, workers)?;
                    return Ok((inner, OpenReport { snapshot: file.lsn(), passed_over, ..report }));
                }
                Err(error) => {
                    tracing::warn!(name = file.name(), %error, "a snapshot cannot be used");
                    passed_over.push(format!("{}: {error}", file.name()));
                    usable.remove(0);
                }
            }
        }
        if !snapshot::is_whole(log) {
            let passed_over = passed_over.iter().flat_map(|why| ["; ", why]).collect();
            return Err(OpenError::NoSnapshot { first: log.first(), passed_over });
        }
        let genesis = match first_record(log)? {
            Some(genesis) => genesis,
            None => begin(log, clock.now())?,
        };
        let mut inner = assemble(&genesis, &[], &Ground::nothing(log.first()))?;
        let report = recovery::replay(&mut inner, log.first(), Loose::default(), workers)?;
        Ok((inner, OpenReport { passed_over, ..report }))
    }

    /// Empty tables, with room for what is to be entered: a replay that has to grow them again and again takes twice as long. Identities that
    /// memory has no room for are spilled before, so that opening takes no more of it than running.
    fn assemble(
        log: Log,
        genesis: &Genesis,
        config: &EngineConfig,
        clock: Arc<dyn Clock>,
        snapshots: Snapshots,
        ground: &Ground,
    ) -> Result<Inner, OpenError> {
        let room = if config.remembers_identities {
            IdentityRoom::of(config.idempotency_memory)
        } else {
            IdentityRoom::none()
        };
        let vault = Vault::open(snapshots.files()).map_err(OpenError::Keys)?;
        let spilled = spill::open(snapshots.files(), &log, config.remembers_identities)?;
        let recorded = recovery::foresee_events(&log, Lsn::new(ground.lsn.max(spilled.end().unwrap_or_default())));
        // A little more than that: a table that is filled to the last entry foreseen would be about to grow.
        let events = (ground.identities + (recorded + recorded / 32).min(EVENTS_FORESEEN_MAX)) as usize;
        let inner = Inner {
            log,
            seed: Seed::new(genesis.seed),
            slab: Slab::new(),
            index: Index::with_capacity(config.expected_wallets.max(snapshots.wallets() as usize)),
            idempotency: Idempotency::with_capacity(config.expected_events.max(events).min(room.resident())),
            spilled,
            room,
            names: Names::default(),
            catalog: CatalogCell::default(),
            api_keys: DashMap::new(),
            metadata: DashMap::new(),
            recurrings: Recurrings::default(),
            redeclared: DashMap::new(),
            commitments: DashMap::new(),
            defaults: Defaults::default(),
            runways: Runways::default(),
            customers: Customers::new(vault),
            billing: Billing::default(),
            webhooks: Webhooks::default(),
            repairs: Repairs::default(),
            refusals: Refusals::default(),
            horizon: Horizon::default(),
            remembered_since: Timestamp::EPOCH,
            snapshots,
            opened: clock.now(),
            counters: Counters::default(),
            pressure: Pressure::default(),
            clock,
            latest: AtomicU64::new(0),
            bell: Bell::default(),
            closed: AtomicBool::new(false),
            config: config.clone(),
        };
        if inner.config.remembers_identities {
            inner.spill_before_replay(ground)?;
        } else {
            inner.idempotency.set_resident_horizon(u64::MAX);
        }
        Ok(inner)
    }

    fn now(&self) -> Timestamp {
        let told = self.clock.now().millis();
        let latest = self.latest.fetch_max(told, Ordering::Relaxed);
        Timestamp::from_millis(told.max(latest))
    }

    fn check_open(&self) -> Result<(), Unavailable> {
        // Acquire pairs with the Release in Keeper::stop.
        if self.closed.load(Ordering::Acquire) { Err(Unavailable::Closed) } else { Ok(()) }
    }

    /// Log space, or a refusal at once.
    fn admit(&self, bytes: u64) -> Result<Admission<'_>, Unavailable> {
        self.log.admit(bytes).map_err(|error| self.refused(error))
    }

    /// Log space, after some waiting if need be. Not for threads that hold a reservation.
    fn admit_wait(&self, bytes: u64) -> Result<Admission<'_>, Unavailable> {
        match self.log.admit(bytes) {
            Err(AppendError::Overloaded { .. }) => {}
            outcome => return outcome.map_err(|error| self.refused(error)),
        }
        let timeout = Duration::from_millis(self.config.admission_wait_ms);
        let _waiting = self.pressure.wait();
        self.log.admit_wait(bytes, timeout).map_err(|error| self.refused(error))
    }

    #[cold]
    fn refused(&self, error: AppendError) -> Unavailable {
        let unavailable = unavailable(error);
        self.pressure.refused(&unavailable);
        unavailable
    }

    /// The record at `lsn`, which is one that was published. Not for threads that hold a reservation: a frame before it may be unpublished
    /// still, and is waited for.
    fn read_record<'v>(&self, lsn: u64, view: &'v mut Option<SegmentView>) -> Result<Record<'v>, Corrupt> {
        let lsn = Lsn::new(lsn);
        if !journal::is_published(&self.log, lsn) {
            // An error is the poisoned log's, which every ticket tells; reading may still do.
            let _ = self.log.wait_durable(self.log.tail());
        }
        journal::read_at(&self.log, lsn, view)
    }

    /// Whether a record of the log stands exactly at `lsn`: for positions that clients name.
    fn is_record(&self, lsn: u64) -> bool {
        fold::is_record(&self.log, lsn)
    }

    /// Waits until nobody has the identity in flight. Not for threads that have identities in flight themselves.
    fn wait_settled(&self, fingerprint: u64) {
        loop {
            match self.idempotency.lookup(fingerprint, &[], &pin()) {
                Found::InFlight(_) => std::thread::yield_now(),
                Found::Finished { .. } | Found::Absent => return,
            }
        }
    }
}

// SAFETY: a slot of zeroes is one that was never opened; see `store::slot`.
unsafe impl ZeroValid for WalletSlot {}

fn unavailable(error: AppendError) -> Unavailable {
    match error {
        AppendError::Overloaded { .. } | AppendError::TooLarge { .. } => Unavailable::Overloaded,
        AppendError::NoSpace { source } => Unavailable::NoSpace(source.to_string()),
        AppendError::Poisoned(poisoned) => ticket::poisoned_error(&poisoned),
        AppendError::Closed => Unavailable::Closed,
    }
}

/// The ledger's first record, if the log has any.
fn first_record(log: &Log) -> Result<Option<Genesis>, OpenError> {
    let mut reader = log.reader(log.first());
    let Some(frame) = reader.next()? else { return Ok(None) };
    let corrupt = |source| OpenError::Record { lsn: frame.lsn, source };
    let mut records = journal::records(frame.payload, frame.payload_lsn).map_err(corrupt)?;
    match records.next().transpose().map_err(corrupt)? {
        Some((_, Record::Admin(AdminRecord::Genesis(genesis)))) => Ok(Some(genesis)),
        _ => Err(OpenError::NotALedger("it is another program's, or its first segments are missing")),
    }
}

/// Writes the first record of a new ledger.
fn begin(log: &Log, now: Timestamp) -> Result<Genesis, OpenError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| OpenError::NotALedger("the system gave no randomness for its secret"))?;
    let genesis = Genesis { seed, created_ms: now.millis() };
    let mut record = AdminRecord::Genesis(genesis.clone()).encode();
    let prelude = journal::frame::Prelude { time: now, source: "" };
    let distance = journal::frame::Prelude::length("");
    journal::admin::place(&mut record, distance as u32);
    let length = distance + record.len();
    let admission = log
        .admit_wait(drawdown_wal::frame_bytes(length as u64), Duration::from_secs(5))
        .map_err(|error| OpenError::Unavailable(unavailable(error)))?;
    let mut frame = admission.reserve(journal::frame::kind::ADMIN, length);
    prelude.write(frame.payload_mut());
    frame.payload_mut()[distance..length].copy_from_slice(&record);
    let end = frame.publish(length, 1);
    log.wait_durable(end).map_err(|poisoned| OpenError::Unavailable(ticket::poisoned_error(&poisoned)))?;
    Ok(genesis)
}
