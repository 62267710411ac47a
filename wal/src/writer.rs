//! The way of an append: admit, reserve, fill, publish.
//!
//! **Nothing between reserve and publish may block or fail.** So everything that can be refused is refused by [`Core::admit`], and what
//! was admitted is certain to find room:
//!
//! *Claim.* Every frame reserved under an admission lies below the prepared end of the log.
//!
//! *Proof.* An admission of `n` bytes first adds `n` to `outstanding`, then reads the tail `t`, and succeeds iff `outstanding`, as its
//! addition left it, is at most `capacity(t, prepared)`: the bytes that find room behind `t` however they are cut into frames
//! (`Geometry::capacity`). It is subtracted again when the admission is dropped, after its last reservation. Take any moment, and of
//! the admissions that have reserved anything by then the one, `L`, whose addition came last. Every reservation made so far is
//! (a) by an admission released before `L`'s addition: then it is below the `t` that `L` read, since the release (Release) and
//! the addition (Acquire) order it before the read; or (b) by `L` itself or one still live at `L`'s addition: then it is part
//! of the sum that `L` checked, and perhaps below `t` as well. No other admission has reserved. So all that was reserved behind `t`
//! fits what `L` checked, and `prepared` only grows. ∎
//!
//! The bound on unsynced bytes holds by the same argument.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crossbeam::utils::CachePadded;

use crate::care::Care;
use crate::chain::Keeper;
use crate::error::{AppendError, Poisoned};
use crate::format::{
    FRAME_ALIGN, FRAME_COUNT_MAX, FRAME_HEADER_BYTES, FRAME_KINDS, FrameHeader, KIND_PAD, frame_bytes,
};
use crate::group_commit::{Flushed, GroupCommit};
use crate::lsn::Lsn;
use crate::mapping::{Claim, Span, Tail};
use crate::segment::{Geometry, Table};
use crate::stats::{LogStats, SYNC_LATENCY_CLASSES};
use crate::supply::Supply;
use crate::sync::{AtomicU64, Ordering};
use crate::wakers::Wakers;

/// Set in `outstanding` when the log is closed. Living in the same word, it is seen by every admission that was not yet counted.
const CLOSED: u64 = 1 << 63;
/// Set in `outstanding` when someone waits to be admitted. Living in the same word, it is seen by every release that the waiter did
/// not see, without a fence.
const WAITING: u64 = 1 << 62;
/// What is left of `outstanding`: bytes.
const BYTES: u64 = WAITING - 1;

/// What admissions are bounded by, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) max_unsynced_bytes: u64,
    pub(crate) max_admission_bytes: u64,
}

/// Everything that appenders, flusher, preparer, hasher and readers share.
pub(crate) struct Core {
    pub(crate) geometry: Geometry,
    pub(crate) table: Table,
    pub(crate) tail: Tail,
    pub(crate) commit: GroupCommit,
    pub(crate) supply: Supply,
    pub(crate) chain: Keeper,
    /// Bytes admitted and not released, and the bits [`CLOSED`] and [`WAITING`]. Only changed by read-modify-writes, so that each addition acquires every
    /// earlier release.
    outstanding: CachePadded<AtomicU64>,
    /// Those who wait to be admitted. They all wait for value 0; tickets keep them in order.
    room: Wakers,
    run: u32,
    max_unsynced_bytes: u64,
    pub(crate) max_admission_bytes: u64,
    pub(crate) care: Care,
    pub(crate) unchecked: Unchecked,
}

/// The frames that nobody walked over when the log was opened: whoever reads a record in one of them by its place has it checked.
#[derive(Default)]
pub(crate) struct Unchecked {
    /// They lie below. Relaxed: set before anybody reads.
    below: AtomicU64,
    /// The one that was checked last; its bytes do not change. Relaxed: it says nothing about anything else.
    last: AtomicU64,
}

impl Unchecked {
    pub(crate) fn set_below(&self, lsn: Lsn) {
        self.below.store(lsn.get(), Ordering::Relaxed);
    }

    /// Whether the frame needs no check, or passes it.
    #[inline]
    pub(crate) fn passes(&self, frame: Lsn, check: impl FnOnce() -> bool) -> bool {
        if frame.get() >= self.below.load(Ordering::Relaxed) || self.last.load(Ordering::Relaxed) == frame.get() {
            return true;
        }
        let passes = check();
        if passes {
            self.last.store(frame.get(), Ordering::Relaxed);
        }
        passes
    }
}

impl Core {
    pub(crate) fn new(
        geometry: Geometry,
        end: Lsn,
        run: u32,
        table: Table,
        supply: Supply,
        chain: Keeper,
        bounds: Bounds,
    ) -> Self {
        let Bounds { max_unsynced_bytes, max_admission_bytes } = bounds;
        Self {
            geometry,
            table,
            tail: Tail::new(end, geometry),
            commit: GroupCommit::new(end, geometry),
            supply,
            chain,
            outstanding: CachePadded::new(AtomicU64::new(0)),
            room: Wakers::new(),
            run,
            max_unsynced_bytes,
            max_admission_bytes,
            care: Care::new(end, geometry),
            unchecked: Unchecked::default(),
        }
    }

    /// Whether `outstanding` bytes, those wanted included, are within both bounds.
    fn fits(&self, outstanding: u64) -> bool {
        // The tail is read after `outstanding` (see the proof), the durable LSN before the tail, so that the difference is never too
        // small.
        let durable = self.commit.durable().get();
        let tail = self.tail.position().get();
        tail.saturating_sub(durable) + outstanding <= self.max_unsynced_bytes
            && outstanding <= self.geometry.capacity(tail, self.supply.prepared())
    }

    #[cold]
    fn refusal(&self, wanted: u64) -> AppendError {
        if let Some(poisoned) = self.commit.poisoned() {
            return AppendError::Poisoned(poisoned.clone());
        }
        // Room comes from a sync.
        self.commit.want(self.tail.position());
        // Relaxed: a hint for the message.
        let outstanding = self.outstanding.load(Ordering::Relaxed) & BYTES;
        let tail = self.tail.position().get();
        let prepared = self.geometry.capacity(tail, self.supply.prepared());
        if prepared < outstanding + wanted
            && let Some(source) = self.supply.failure()
        {
            return AppendError::NoSpace { source };
        }
        let unsynced = tail.saturating_sub(self.commit.durable().get()) + outstanding;
        AppendError::Overloaded { wanted, unsynced, unsynced_max: self.max_unsynced_bytes, prepared }
    }

    pub(crate) fn admit(&self, bytes: u64) -> Result<Admission<'_>, AppendError> {
        let bytes = bytes.next_multiple_of(FRAME_ALIGN);
        if bytes > self.max_admission_bytes {
            return Err(AppendError::TooLarge { bytes, max: self.max_admission_bytes });
        }
        // Looking before adding: a refused admission then disturbs nobody, so two waiters cannot keep each other from getting in.
        let seen = self.outstanding.load(Ordering::Relaxed);
        if seen & CLOSED != 0 {
            return Err(AppendError::Closed);
        }
        if self.commit.poisoned().is_some() {
            return Err(self.refusal(bytes));
        }
        if !self.fits((seen & BYTES) + bytes) {
            return Err(self.refusal(bytes));
        }
        // Acquire: pairs with the Release in `release`, as the proof needs.
        let before = self.outstanding.fetch_add(bytes, Ordering::AcqRel);
        if before & CLOSED != 0 {
            self.release(bytes);
            return Err(AppendError::Closed);
        }
        if !self.fits((before & BYTES) + bytes) {
            self.release(bytes);
            return Err(self.refusal(bytes));
        }
        Ok(Admission { core: self, left: Cell::new(bytes), bytes })
    }

    fn release(&self, bytes: u64) {
        // Release: pairs with the Acquire in `admit`; the reservations made under the admission are visible to later ones.
        let before = self.outstanding.fetch_sub(bytes, Ordering::AcqRel);
        if before & CLOSED != 0 {
            // The flusher may be waiting for the last admission.
            self.commit.unpark();
        }
        if before & WAITING != 0 {
            // Cleared before the queue is emptied: who sets it later finds the bytes released, or is woken by the next release.
            self.outstanding.fetch_and(!WAITING, Ordering::AcqRel);
            self.wake_room();
        }
    }

    /// Registers someone who wants to know when it is worth asking again. He asks once more afterwards.
    fn wait_for_room(&self, ticket: &mut Option<u64>, waker: &Waker) {
        self.room.register(0, ticket, waker);
        // Acquire: sees every release before it; every release after it sees the bit.
        self.outstanding.fetch_or(WAITING, Ordering::AcqRel);
    }

    /// Lets those who wait for admission try again.
    pub(crate) fn wake_room(&self) {
        self.room.wake_through(u64::MAX);
    }

    /// Turns away new admissions.
    pub(crate) fn shut(&self) {
        self.outstanding.fetch_or(CLOSED, Ordering::AcqRel);
        self.wake_room();
        // Everything from now on.
        self.commit.want(Lsn::new(u64::MAX));
    }

    /// Whether the log is closed, and everything that was ever admitted is released and durable.
    pub(crate) fn drained(&self) -> bool {
        // Acquire: pairs with the Release in `release`; the tail read below covers every reservation.
        self.outstanding.load(Ordering::Acquire) & !WAITING == CLOSED && self.commit.durable() == self.tail.position()
    }

    pub(crate) fn flush(&self) -> Flushed {
        let flushed = self.commit.flush(&self.table);
        if flushed != Flushed::Nothing {
            self.wake_room();
        }
        flushed
    }

    /// The flusher thread's body.
    pub(crate) fn run_flusher(&self) {
        let sealed = Cell::new(self.geometry.split(self.commit.durable().get()).0);
        let after_sync = || {
            self.wake_room();
            let durable = self.commit.durable();
            self.care.durable_moved(durable);
            let (number, _) = self.geometry.split(durable.get());
            if number > sealed.replace(number) {
                self.chain.wake();
            }
        };
        self.commit.run(&self.table, after_sync, || self.drained());
    }

    /// Goes on with the hash chain by one segment, if one is sealed.
    pub(crate) fn extend_chain(&self) -> io::Result<bool> {
        self.chain.extend(self.supply.medium(), &self.table, self.geometry, self.commit.durable())
    }

    /// Looks after the memory.
    pub(crate) fn tend(&self) {
        // The durable LSN is read first, so that the tail is not below it.
        let durable = self.commit.durable();
        self.care.tend(&self.table, self.geometry, durable, self.tail.position());
    }

    /// Prepares one segment if one is wanted; with `paced`, no faster than is needed.
    pub(crate) fn prepare(&self, paced: bool) -> io::Result<bool> {
        let (tail, durable) = (|| self.tail.position(), || self.commit.durable());
        let prepared = self.supply.prepare(&tail, self.geometry, &self.table, durable, paced);
        if !matches!(prepared, Ok(false)) {
            self.wake_room();
        }
        prepared
    }

    fn span(&self, claim: Claim) -> Span {
        let (number, _) = self.geometry.split(claim.lsn().get());
        let segment = self.table.get(number);
        Span::new(
            segment.expect("admitted space lies in prepared segments, and those above the durable LSN stay"),
            claim,
        )
    }

    /// Writes and publishes a padding frame over `span` from `at` to its end.
    fn publish_pad(&self, span: &mut Span, at: u64) {
        let length = span.size_bytes() - at;
        let header = FrameHeader {
            length: length as u32,
            lsn: span.lsn().plus(at),
            run: self.run,
            kind: KIND_PAD,
            count: 0,
            durable: self.commit.mark(),
        };
        let rest = header.encode(span.segment().seed(), &[]);
        span.write_header(at, &rest);
        span.publish_at(at, header.length);
    }

    fn reserve(&self, kind: u8, bytes: u64) -> FrameMut<'_> {
        let reserved = self.tail.reserve(bytes);
        if let Some(rest) = reserved.rest {
            self.give_up_rest(rest);
        }
        if reserved.entered {
            self.supply.wake();
        }
        FrameMut { core: self, kind, span: Some(self.span(reserved.frame)) }
    }

    #[cold]
    fn give_up_rest(&self, rest: Claim) {
        let mut span = self.span(rest);
        self.publish_pad(&mut span, 0);
        drop(span);
        self.commit.published();
    }

    /// Appends one of the log's own frames.
    pub(crate) fn append_own(&self, kind: u8) -> Result<Lsn, AppendError> {
        let admission = self.admit(FRAME_HEADER_BYTES)?;
        Ok(admission.reserve_any(kind, 0).publish(0, 0))
    }

    pub(crate) fn stats(&self) -> LogStats {
        let durable = self.commit.durable();
        let tail = self.tail.position();
        let outstanding = self.outstanding.load(Ordering::Relaxed) & BYTES;
        let prepared = self.supply.prepared();
        let mut stats = LogStats {
            tail,
            durable,
            unsynced_bytes: tail.get() - durable.get() + outstanding,
            syncs: 0,
            synced_bytes: 0,
            sync_ns_total: 0,
            last_sync_ns: 0,
            sync_latency: [0; SYNC_LATENCY_CLASSES],
            segments: prepared - self.supply.first(),
            prepared_bytes: self.geometry.capacity(tail.get(), prepared),
            segment_bytes: self.geometry.segment_bytes,
            unsynced_bytes_max: self.max_unsynced_bytes,
            prepare_failures: self.supply.failures(),
            chain: self.chain.stats(self.geometry),
        };
        self.commit.stats.fill(&mut stats);
        stats
    }
}

/// The right to append some bytes: room for them is certain, whatever others do. Dropping it gives back what was not used.
///
/// Frames reserved under it may outlive it.
pub struct Admission<'log> {
    core: &'log Core,
    left: Cell<u64>,
    bytes: u64,
}

impl fmt::Debug for Admission<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("bytes", &self.bytes).field("left", &self.left.get()).finish()
    }
}

impl<'log> Admission<'log> {
    /// Bytes admitted, not counting what was reserved.
    pub fn left(&self) -> u64 {
        self.left.get()
    }

    /// Reserves a frame with room for `payload_capacity` bytes of payload. Never blocks and never fails.
    ///
    /// # Panics
    /// If the frame (`frame_bytes(payload_capacity)`) exceeds what is left of the admission or `max_frame_bytes`, or `kind` is one of
    /// the log's own.
    pub fn reserve(&self, kind: u8, payload_capacity: usize) -> FrameMut<'log> {
        assert!(kind < FRAME_KINDS, "kinds from {FRAME_KINDS} belong to the log");
        self.reserve_any(kind, payload_capacity)
    }

    fn reserve_any(&self, kind: u8, payload_capacity: usize) -> FrameMut<'log> {
        let bytes = frame_bytes(payload_capacity as u64);
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.expect("a reservation stays inside its admission"));
        self.core.reserve(kind, bytes)
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.core.release(self.bytes);
    }
}

/// A frame being filled: exclusive bytes of the log.
///
/// Until it is published the flusher stops before it, so keep the time short. Dropped unpublished, it becomes padding; dropped by a
/// panic, it aborts the process, since its owner may have shown others effects that the frame was to record.
pub struct FrameMut<'log> {
    core: &'log Core,
    kind: u8,
    span: Option<Span>,
}

impl fmt::Debug for FrameMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameMut").field("lsn", &self.lsn()).field("kind", &self.kind).finish_non_exhaustive()
    }
}

const LIVE: &str = "the span is taken by publish and drop only";

impl FrameMut<'_> {
    fn span(&self) -> &Span {
        self.span.as_ref().expect(LIVE)
    }

    /// Position of the frame.
    pub fn lsn(&self) -> Lsn {
        self.span().lsn()
    }

    /// Position of the payload's first byte.
    pub fn payload_lsn(&self) -> Lsn {
        self.lsn().plus(FRAME_HEADER_BYTES)
    }

    /// Bytes of payload that fit: the capacity asked for, rounded up.
    pub fn capacity(&self) -> usize {
        (self.span().size_bytes() - FRAME_HEADER_BYTES) as usize
    }

    /// The payload's bytes in the log itself, zero until written.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        self.span.as_mut().expect(LIVE).payload_mut()
    }

    /// Publishes the frame with the first `used` bytes as its payload and `count` (below 2^24) in its header; returns its end, which
    /// is what to wait for. What was not used becomes padding.
    pub fn publish(mut self, used: usize, count: u32) -> Lsn {
        assert!(count <= FRAME_COUNT_MAX);
        assert!(used <= self.capacity());
        let mut span = self.span.take().expect(LIVE);
        let occupied = frame_bytes(used as u64);
        let end = span.lsn().plus(occupied);
        let payload = span.payload_mut();
        // What rounding adds is covered by no checksum; it is zero in every log.
        let rounded = (occupied - FRAME_HEADER_BYTES) as usize;
        payload[used..rounded].fill(0);
        let header = FrameHeader {
            length: (FRAME_HEADER_BYTES + used as u64) as u32,
            lsn: end,
            run: self.core.run,
            kind: self.kind,
            count,
            durable: self.core.commit.mark(),
        };
        let header = FrameHeader { lsn: span.lsn(), ..header };
        let seed = span.segment().seed();
        let rest = header.encode(seed, &span.payload_mut()[..used]);
        span.write_header(0, &rest);
        if occupied < span.size_bytes() {
            // No checksum covers a pad's payload. It is zero in every log, so that a changed bit can be told.
            span.payload_mut()[rounded..].fill(0);
            // Before the frame: whoever walks past the frame finds the padding.
            self.core.publish_pad(&mut span, occupied);
        }
        span.publish(header.length);
        self.core.commit.published();
        end
    }
}

impl Drop for FrameMut<'_> {
    fn drop(&mut self) {
        if let Some(mut span) = self.span.take() {
            if std::thread::panicking() {
                std::process::abort();
            }
            span.payload_mut().fill(0);
            self.core.publish_pad(&mut span, 0);
            drop(span);
            self.core.commit.published();
        }
    }
}

/// Waits to be admitted.
#[must_use = "futures do nothing unless polled"]
pub struct Admitted<'log> {
    core: &'log Core,
    bytes: u64,
    ticket: Option<u64>,
}

impl<'log> Admitted<'log> {
    pub(crate) fn new(core: &'log Core, bytes: u64) -> Self {
        Self { core, bytes, ticket: None }
    }
}

impl<'log> Future for Admitted<'log> {
    type Output = Result<Admission<'log>, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let core = this.core;
        for registered in [false, true] {
            match core.admit(this.bytes) {
                Err(AppendError::Overloaded { .. }) if registered => return Poll::Pending,
                Err(AppendError::Overloaded { .. }) => core.wait_for_room(&mut this.ticket, context.waker()),
                outcome => {
                    core.room.cancel(0, &mut this.ticket);
                    return Poll::Ready(outcome);
                }
            }
        }
        Poll::Pending
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.core.room.cancel(0, &mut self.ticket);
    }
}

/// Waits until the durable LSN reaches a position. Owned, so that it may be kept anywhere.
#[must_use = "futures do nothing unless polled"]
pub struct WhenDurable {
    core: Arc<Core>,
    lsn: Lsn,
    ticket: Option<u64>,
    /// Somebody waits for the answer, so what leads to it is synced at once.
    hurries: bool,
}

impl WhenDurable {
    pub(crate) fn new(core: Arc<Core>, lsn: Lsn) -> Self {
        Self { core, lsn, ticket: None, hurries: true }
    }

    pub(crate) fn patient(core: Arc<Core>, lsn: Lsn) -> Self {
        Self { core, lsn, ticket: None, hurries: false }
    }

    fn outcome(&self) -> Option<Result<(), Poisoned>> {
        if self.core.commit.durable() >= self.lsn {
            return Some(Ok(()));
        }
        self.core.commit.poisoned().map(|poisoned| Err(poisoned.clone()))
    }
}

impl Future for WhenDurable {
    type Output = Result<(), Poisoned>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.outcome().is_none() {
            this.core.commit.waiters().register(this.lsn.get(), &mut this.ticket, context.waker());
            if this.hurries {
                this.core.commit.want(this.lsn);
            }
        }
        match this.outcome() {
            Some(outcome) => {
                this.core.commit.waiters().cancel(this.lsn.get(), &mut this.ticket);
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for WhenDurable {
    fn drop(&mut self) {
        self.core.commit.waiters().cancel(self.lsn.get(), &mut self.ticket);
    }
}
