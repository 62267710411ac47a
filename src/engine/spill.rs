//! Spilling: when the table of identities outgrows its share of memory, its oldest part goes to runs ([`crate::identities`]).
//!
//! What goes is not taken from memory but derived from the durable log, from the last run's end on, by the rules of [`super::identity`]; so a
//! run never says more than the log, and needs nobody to stand still. Only when the run is there is the table told to forget (its resident
//! horizon). A thread of its own does it, for writing a portion takes a second and merging runs takes many. Should it not keep up, batches are
//! refused as they are when the disk does not keep up, until it has: memory stays bounded at any rate.
//!
//! The true horizon, by the idempotency window, is [`super::background::Horizon`]'s; runs and what is in them pass away with it.
//!
//! # Beside snapshots and a log whose beginning was retired
//! 1. *The log holds the record of every identity above the true horizon*: retention keeps it ([`super::snapshot`]), by the true horizon and
//!    not the resident one. So whatever should be in a run can be derived, whenever it is missed, and what lies below the first LSN that is left
//!    stands for nothing any more.
//! 2. A snapshot leaves out the identities below the end of the runs that there were when it was made, and says so (`identities_from`). They
//!    were in runs that were durable by then, and by 1 they are in the log.
//! 3. So opening first makes runs reach up to there, if they do not (deleted, damaged, another course of the log): from their end on, or
//!    from the true horizon, which the snapshot's marks tell, or from the first LSN. Then every identity above the true horizon is below
//!    the runs' end and in a run, or at it or above and entered: from the snapshot, which has all of those below its position, or by the
//!    replay, which has all behind.
//! 4. More is spilled, if what would be entered exceeds its room; holes between runs are derived when the horizon is known for good.
//!
//! A window that was made longer than it was when segments were retired cannot bring back what was forgotten: [`Ground::remembered_since`].

use super::identity::{Fingerprints, Unsettled, identity_at};
use super::view::Unavailable;
use super::{Inner, OpenError};
use crate::identities::{Anchor, Portion, Span, Spilled};
use crate::journal::snapshot::entry::Mark;
use crate::journal::{self, Corrupt};
use crate::ledger::Timestamp;
use crate::store::pin;
use drawdown_wal::{Files, FrameRef, Log, Lsn, ReadError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Memory that is reckoned for an identity that stays in the table: 16 bytes at the fill of a fresh table (42 in a hundred), a sixteenth more
/// while a shard moves to its next table, and the portion that is being written, a quarter of all, 16 bytes each. Rounded up.
const BYTES_PER_RESIDENT: u64 = 48;
/// The part of the resident identities that is written in one go.
const PORTION: usize = 4;
/// What memory may exceed its share by before batches are refused: half of it, and this.
const SLACK_BYTES: u64 = 64 << 20;
/// Log bytes of a record with an id of 16 characters: to foresee, on the safe side, how many identities a log holds.
const RECORD_BYTES: u64 = 64;

/// The room for identities in memory, and whether it is used up.
#[derive(Debug)]
pub(super) struct IdentityRoom {
    /// Identities that may stay in the table.
    resident: usize,
    /// Bytes of the table at which batches are refused.
    bytes_max: u64,
    /// Set by the background, read by everybody. Relaxed: to see it late is to take one batch more or less.
    is_used_up: AtomicBool,
    /// One thread at a time spills and merges.
    keeping: Mutex<()>,
    failures: AtomicU64,
}

impl IdentityRoom {
    /// The room that so many bytes are.
    pub(super) fn of(bytes: u64) -> Self {
        IdentityRoom {
            resident: usize::try_from(bytes / BYTES_PER_RESIDENT).unwrap_or(usize::MAX).max(1),
            bytes_max: bytes.saturating_add((bytes / 2).max(SLACK_BYTES)),
            is_used_up: AtomicBool::new(false),
            keeping: Mutex::default(),
            failures: AtomicU64::new(0),
        }
    }

    /// No room, ever.
    pub(super) fn none() -> Self {
        IdentityRoom { resident: 0, is_used_up: AtomicBool::new(true), ..IdentityRoom::of(0) }
    }

    /// Identities that may stay in the table.
    pub(super) fn resident(&self) -> usize {
        self.resident
    }

    fn portion(&self) -> usize {
        (self.resident / PORTION).max(1)
    }

    /// A refusal, while identities take more memory than they may.
    #[inline]
    pub(super) fn check(&self) -> Result<(), Unavailable> {
        if self.is_used_up.load(Ordering::Relaxed) { Err(Unavailable::Overloaded) } else { Ok(()) }
    }

    /// Notes how large the table is. A large one that is not crowded is no reason to refuse: it is replaced by a smaller one as events come.
    fn note(&self, bytes: u64, is_crowded: impl FnOnce() -> bool) {
        let is_used_up = self.resident == 0 || bytes > self.bytes_max && is_crowded();
        if self.is_used_up.swap(is_used_up, Ordering::Relaxed) != is_used_up {
            tracing::warn!(bytes, is_used_up, "the memory for identities");
        }
    }

    /// How often spilling or merging has failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// Why identities could not be spilled or runs not be merged. Nothing is lost: they stay where they are.
#[derive(Debug, thiserror::Error)]
pub enum SpillError {
    /// The log could not be read.
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
    /// The log does not come to rest: it has failed.
    #[error("the log does not become durable")]
    Unsettled,
    /// A run could not be written or read.
    #[error("a run of identities: {0}")]
    Files(#[from] std::io::Error),
}

/// What a replay begins with, as far as identities are concerned: a snapshot, or nothing.
#[derive(Debug)]
pub(super) struct Ground {
    /// Its position.
    pub(super) lsn: u64,
    /// Identities in it.
    pub(super) identities: u64,
    /// Identities recorded below are not in it, and to be in runs.
    pub(super) identities_from: u64,
    /// Its ends of minutes, as positions of the log.
    pub(super) marks: Vec<Mark>,
    /// The latest server's time below it.
    pub(super) latest: Timestamp,
    /// Identities recorded at this instant or later are in it or in runs.
    pub(super) remembered_since: Timestamp,
}

impl Ground {
    /// Nothing: the log is replayed from its beginning.
    pub(super) fn nothing(first: Lsn) -> Self {
        Ground {
            lsn: first.get(),
            identities: 0,
            identities_from: 0,
            marks: Vec::new(),
            latest: Timestamp::EPOCH,
            remembered_since: Timestamp::EPOCH,
        }
    }

    /// The position below which everything is older than the window, as far as can be told before the replay.
    fn horizon(&self, now: Timestamp, window_ms: u64) -> u64 {
        let now = now.max(self.latest);
        let past = self.marks.iter().take_while(|mark| mark.end.saturating_add(window_ms) < now);
        past.last().map_or(0, |mark| mark.lsn)
    }

    /// The instant since which identities are remembered whose records are left: those before have nothing to be answered from.
    pub(super) fn remembered_since(&self, log: &Log) -> Timestamp {
        if super::snapshot::is_whole(log) {
            return self.remembered_since;
        }
        // What lies below a mark was recorded before its end; what lies below the snapshot, which is no less than the first LSN, no later than
        // `latest`.
        let gone = self.marks.iter().find(|mark| mark.lsn >= log.first().get());
        self.remembered_since.max(gone.map_or(self.latest.saturating_add(1), |mark| mark.end))
    }

    /// The most identities that a replay enters from `from` on, if so many of the snapshot's are in runs by now.
    fn foreseen(&self, from: u64, end: u64, moved: u64) -> u64 {
        let recorded = |from: u64| end.saturating_sub(from) / RECORD_BYTES;
        recorded(from).min(self.identities.saturating_sub(moved) + recorded(from.max(self.lsn)))
    }
}

/// What a round of keeping came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// There may be more to do.
    Busy,
    /// There was nothing to do.
    Idle,
    /// It failed, and is worth trying again later.
    Failed,
}

/// Opens the runs that belong to `log`; leaves them alone if nothing is to be remembered.
pub(super) fn open(files: Arc<dyn Files>, log: &Log, remembers: bool) -> Result<Spilled, OpenError> {
    if !remembers {
        return Ok(Spilled::empty(files, log.id()));
    }
    let is_genuine = |span: Span, anchor: Anchor| {
        if span.to > log.durable().get() {
            return false;
        }
        // A log that has let go of the frame cannot tell.
        has_anchor(log, anchor).unwrap_or(true)
    };
    Ok(Spilled::open(files, log.id(), is_genuine)?)
}

/// Whether a log has the frame by which a run of identities knows it again. `None` if it has let go of what stood there.
pub fn has_anchor(log: &Log, anchor: Anchor) -> Option<bool> {
    let is_there = |anchor: Anchor| matches!(log.reader(Lsn::new(anchor.lsn)).next(), Ok(Some(frame)) if anchor_of(&frame) == anchor);
    (anchor.lsn >= log.first().get()).then(|| is_there(anchor))
}

fn anchor_of(frame: &FrameRef<'_>) -> Anchor {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&frame.run.to_le_bytes()), frame.payload);
    Anchor { lsn: frame.lsn.get(), checksum }
}

impl Inner {
    /// Before anything is entered: spills what the snapshot leaves out and runs do not hold, and what would not fit, so that opening takes no
    /// more memory than running.
    pub(super) fn spill_before_replay(&self, ground: &Ground) -> Result<(), SpillError> {
        self.horizon.forget_below(ground.horizon(self.clock.now(), self.config.idempotency_window_ms));
        let in_runs = || self.spilled.figures(&pin()).identities;
        let before = in_runs();
        loop {
            let from = self.spill_from();
            let foreseen = ground.foreseen(from, self.log.durable().get(), in_runs() - before);
            let is_left_out = from < ground.identities_from;
            if !is_left_out && foreseen <= self.room.resident as u64 {
                break;
            }
            match self.spill(from) {
                Ok(true) => {}
                Ok(false) => break,
                // A full disk keeps nobody from opening the ledger, if memory does.
                Err(error @ SpillError::Files(_)) if !is_left_out => {
                    self.failed_to_keep(&error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.idempotency.set_resident_horizon(self.spilled.end().unwrap_or_default().max(self.horizon.lsn()));
        Ok(())
    }

    /// After the log was replayed, when the horizon is known: derives again what runs should hold and do not.
    pub(super) fn fill_holes(&self) -> Result<(), SpillError> {
        while self.spilled.expire(self.horizon.lsn()) {}
        for hole in self.spilled.holes(self.horizon.lsn().max(self.log.first().get())) {
            tracing::warn!(from = hole.from, to = hole.to, "deriving identities again from the log");
            self.derive(hole)?;
        }
        Ok(())
    }

    /// A round of spilling and merging, on this thread. Says in the log what failed.
    pub(super) fn keep_identities(&self) -> Kept {
        let _keeping = self.room.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        match self.try_keep_identities() {
            Ok(true) => Kept::Busy,
            Ok(false) => Kept::Idle,
            Err(error) => {
                self.failed_to_keep(&error);
                Kept::Failed
            }
        }
    }

    fn failed_to_keep(&self, error: &SpillError) {
        self.room.failures.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%error, "identities stay in memory");
    }

    fn try_keep_identities(&self) -> Result<bool, SpillError> {
        let horizon = self.horizon.lsn();
        if self.spilled.expire(horizon) {
            return Ok(true);
        }
        if let Some(span) = self.spilled.damaged() {
            tracing::warn!(from = span.from, to = span.to, "deriving identities again from the log");
            return self.derive(span).map(|()| true);
        }
        if self.is_crowded() && self.spill(self.spill_from())? {
            return Ok(true);
        }
        Ok(self.spilled.step(horizon)?)
    }

    /// Whether more identities are in the table than may stay there.
    fn is_crowded(&self) -> bool {
        let guard = pin();
        // The first is quick, and counts what is gone as well.
        self.idempotency.len(&guard) > self.room.resident && self.idempotency.alive(&guard) > self.room.resident
    }

    /// Notes whether identities take more memory than they may.
    pub(super) fn watch_room(&self) {
        self.room.note(self.idempotency.bytes(&pin()) as u64, || self.is_crowded());
    }

    /// Where the next run begins.
    fn spill_from(&self) -> u64 {
        self.spilled.end().unwrap_or_default().max(self.horizon.lsn()).max(self.log.first().get())
    }

    /// Moves a portion to a run. Answers whether there was any that is durable.
    fn spill(&self, from: u64) -> Result<bool, SpillError> {
        let portion = self.gather(Span { from, to: u64::MAX })?;
        if portion.identities.is_empty() {
            return Ok(false);
        }
        let span = portion.span;
        let written = self.spilled.write(portion)?;
        self.spilled.put(span, written.into_iter().collect());
        // Only now: whoever misses an identity in the table must find the run.
        self.idempotency.set_resident_horizon(span.to);
        Ok(true)
    }

    /// Writes the runs of a span that runs should cover.
    fn derive(&self, span: Span) -> Result<(), SpillError> {
        let mut written = Vec::new();
        let mut from = span.from;
        while from < span.to {
            let mut portion = self.gather(Span { from, ..span })?;
            if portion.span.to == from {
                // A frame that names a copy which a crash took, at whose place another record is on its way to the disk by now.
                let _ = self.log.wait_durable(self.log.tail());
                portion = self.gather(Span { from, ..span })?;
            }
            if portion.span.to == from {
                return Err(SpillError::Unsettled);
            }
            from = portion.span.to;
            written.extend(self.spilled.write(portion)?);
        }
        self.spilled.put(span, written);
        Ok(())
    }

    /// The first portion of identities of a span that lies behind the durable end or reaches up to it. The portion's span ends behind the
    /// last frame that was read, or with the span if there is none left in it.
    fn gather(&self, span: Span) -> Result<Portion, SpillError> {
        let horizon = self.horizon.lsn();
        let most = self.room.portion();
        let mut portion = Portion {
            span: Span { from: span.from, to: span.from },
            anchor: Anchor { lsn: 0, checksum: 0 },
            identities: Vec::with_capacity(most),
        };
        let mut fingerprints = Fingerprints::default();
        let mut reader = self.log.reader(Lsn::new(span.from).max(self.log.first()));
        while portion.identities.len() < most {
            let Some(frame) = reader.next()?.filter(|frame| frame.lsn.get() < span.to) else {
                // Of a part of the log that has an end all is read; the log's own end moves on.
                if span.to != u64::MAX {
                    portion.span.to = span.to;
                }
                break;
            };
            let before = portion.identities.len();
            if self.gather_frame(&frame, horizon, &mut fingerprints, &mut portion.identities)?.is_err() {
                portion.identities.truncate(before);
                break;
            }
            portion.span.to = frame.end.get();
            portion.anchor = anchor_of(&frame);
        }
        Ok(portion)
    }

    fn gather_frame(
        &self,
        frame: &FrameRef<'_>,
        horizon: u64,
        fingerprints: &mut Fingerprints,
        identities: &mut Vec<(u64, u64)>,
    ) -> Result<Result<(), Unsettled>, SpillError> {
        let corrupt = |source| SpillError::Record { lsn: frame.lsn, source };
        for record in journal::records(frame.payload, frame.payload_lsn).map_err(corrupt)? {
            let (lsn, record) = record.map_err(corrupt)?;
            match identity_at(&self.log, &self.seed, lsn.get(), &record, fingerprints) {
                Ok(Some(fingerprint)) if lsn.get() >= horizon => identities.push((fingerprint, lsn.get())),
                Ok(_) => {}
                Err(unsettled) => return Ok(Err(unsettled)),
            }
        }
        Ok(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_refused_while_a_crowded_table_exceeds_its_share_by_half() {
        let gigabyte = 1 << 30;
        let room = IdentityRoom::of(gigabyte);
        assert_eq!((room.resident(), room.portion()), (22_369_621, 5_592_405));
        room.note(gigabyte + gigabyte / 2, || panic!("there is room"));
        assert_eq!(room.check(), Ok(()));
        room.note(gigabyte + gigabyte / 2 + 1, || true);
        assert_eq!(room.check(), Err(Unavailable::Overloaded));
        // All of it was spilled, and nobody fills the table any more while batches are refused: it would stay as large for ever.
        room.note(2 * gigabyte, || false);
        assert_eq!(room.check(), Ok(()));
        IdentityRoom::of(1).note(SLACK_BYTES, || panic!("the smallest table is no reason"));
    }
}
