//! One round over the events of a batch that are still to be decided.

use super::page::Page;
use super::recall::{Recall, rejected};
use super::slow::Slow;
use super::{Batch, Pending};
use crate::engine::budget::Budget;
use crate::engine::event::{EventOutcome, EventStatus};
use crate::engine::view::Unavailable;
use crate::engine::wallet::WalletSlot;
use crate::journal::debit::DebitRecord;
use crate::journal::frame::kind;
use crate::ledger::{Amount, Rejection};
use crate::store::idempotency::{Claim, Entry};
use crate::store::slot::Posted;
use crate::store::{Guard, pin};
use bumpalo::collections::Vec as ArenaVec;

/// Log space that a round is admitted to for operations, beside what its events may need each.
const SLOW_BYTES: u64 = 32 << 10;

/// Log bytes of an event at most, names of the longest and [`super::SLOW_BYTES_PER_EVENT`] included. A batch's header takes fewer.
const EVENT_BYTES_MAX: u64 = 512;
// Two names, and less than 96 bytes of everything else in a record.
const _: () = assert!(EVENT_BYTES_MAX >= 2 * crate::engine::MAX_ID_BYTES as u64 + 96 + super::SLOW_BYTES_PER_EVENT);

/// An event whose identity this round has in flight.
pub(super) struct Claimed<'g> {
    entry: Entry<'g>,
    /// Which of the pending events.
    pub(super) at: u32,
    slot: u32,
    /// LSN of the record, once there is one; 0 if there will be none.
    lsn: u64,
}

impl<'a> Batch<'a> {
    /// Decides the pending events. Answers those that need another round.
    pub(super) fn first_round(
        &mut self,
        pending: &[Pending],
        guard: &Guard,
    ) -> Result<ArenaVec<'a, Pending>, Unavailable> {
        let budget = Budget(self.inner.admit(self.log_bound(pending))?);
        let mut deferred = ArenaVec::new_in(self.arena);
        self.round(pending, &mut deferred, &budget, guard)?;
        Ok(deferred)
    }

    /// As [`Batch::first_round`], after waiting for what the events were deferred for. The batch holds nothing meanwhile, and no guard.
    pub(super) fn further_round(
        &mut self,
        mut pending: ArenaVec<'a, Pending>,
    ) -> Result<ArenaVec<'a, Pending>, Unavailable> {
        for pending in &pending {
            self.inner.wait_settled(pending.plan.fingerprint);
        }
        let mut deferred = self.leave_for_later(&mut pending);
        let budget = Budget(self.inner.admit_wait(self.log_bound(&pending))?);
        self.round(&pending, &mut deferred, &budget, &pin())?;
        Ok(deferred)
    }

    fn round(
        &mut self,
        pending: &[Pending],
        deferred: &mut ArenaVec<'a, Pending>,
        budget: &Budget<'_>,
        guard: &Guard,
    ) -> Result<(), Unavailable> {
        let mut claimed = self.claim(pending, deferred, guard);
        if let Some(runs) = self.inner.spilled.runs(guard) {
            self.sift(runs, pending, &mut claimed)?;
        }
        if !claimed.is_empty() {
            self.apply(pending, &mut claimed, deferred, budget, guard);
        }
        // Only now: whoever finds a finished entry reads the record behind it.
        for claimed in claimed {
            match claimed.lsn {
                0 => claimed.entry.give_up(),
                lsn => claimed.entry.finish(lsn),
            }
        }
        Ok(())
    }

    /// Takes out what one admission cannot cover, at least one event staying.
    fn leave_for_later(&self, pending: &mut ArenaVec<'a, Pending>) -> ArenaVec<'a, Pending> {
        let mut fits = pending.len();
        while fits > 1 && !self.fits(&pending[..fits]) {
            fits = fits.div_ceil(2);
        }
        pending.split_off(fits)
    }

    /// Whether so many events fit whatever they are, as far as can be told without looking at them: nearly every batch is that small.
    pub(super) fn fits_surely(&self, events: usize) -> bool {
        let log = &self.inner.log;
        let most = EVENT_BYTES_MAX * (1 + events as u64);
        most <= log.max_frame_bytes() && most + SLOW_BYTES <= log.max_admission_bytes() / 2
    }

    /// Whether the events' records find room in one frame, and all that they may need in half of what the log admits at once.
    pub(super) fn fits(&self, pending: &[Pending]) -> bool {
        let log = &self.inner.log;
        self.frame_bound(pending) <= log.max_frame_bytes() && self.log_bound(pending) <= log.max_admission_bytes() / 2
    }

    /// Bytes of the frame that the events' records may take.
    fn frame_bound(&self, pending: &[Pending]) -> u64 {
        let records = pending.iter().map(|pending| pending.record_bytes as usize).sum();
        Budget::frame_bytes(Page::payload_bytes(self.frame_source(), records))
    }

    /// Log bytes that the events may take.
    fn log_bound(&self, pending: &[Pending]) -> u64 {
        let slow: u64 = pending.iter().map(|pending| pending.slow_bytes).sum();
        self.frame_bound(pending) + SLOW_BYTES + slow
    }

    /// The idempotency probe. Decides duplicates, conflicts and unknown wallets; defers what others have in flight.
    fn claim<'g>(
        &mut self,
        pending: &[Pending],
        deferred: &mut ArenaVec<'a, Pending>,
        guard: &'g Guard,
    ) -> ArenaVec<'g, Claimed<'g>>
    where
        'a: 'g,
    {
        let mut claimed = ArenaVec::with_capacity_in(pending.len(), self.arena);
        for (at, pending) in (0..).zip(pending) {
            let Some(slot) = pending.slot else {
                self.refuse(pending, Rejection::UnknownWallet);
                continue;
            };
            match self.inner.idempotency.claim(pending.plan.fingerprint, &[], guard) {
                Claim::New(entry) => claimed.push(Claimed { entry, at, slot, lsn: 0 }),
                Claim::InFlight(_) => deferred.push(*pending),
                Claim::Existing { lsn } => match self.claim_behind(lsn, pending, guard) {
                    Some(Claim::New(entry)) => claimed.push(Claimed { entry, at, slot, lsn: 0 }),
                    Some(_) => deferred.push(*pending),
                    None => {}
                },
            }
        }
        claimed
    }

    /// Decides an event whose fingerprint stands for the record at `lsn`. If that is another event's, the fingerprint is claimed again.
    /// Answers a claim that was not decided.
    #[cold]
    fn claim_behind<'g>(&mut self, mut lsn: u64, pending: &Pending, guard: &'g Guard) -> Option<Claim<'g>>
    where
        'a: 'g,
    {
        let mut strangers = Vec::new();
        let event = &self.events[pending.index as usize];
        loop {
            match self.inner.recall(lsn, event, &pending.plan, pending.slot) {
                Recall::Same(outcome) => {
                    self.tally.duplicates += 1;
                    self.outcomes[pending.index as usize] = outcome;
                    return None;
                }
                Recall::Conflict => {
                    self.refuse(pending, Rejection::IdConflict);
                    return None;
                }
                Recall::Stranger => strangers.push(lsn),
            }
            match self.inner.idempotency.claim(pending.plan.fingerprint, &strangers, guard) {
                Claim::Existing { lsn: next } => lsn = next,
                claim => return Some(claim),
            }
        }
    }

    pub(super) fn refuse(&mut self, pending: &Pending, rejection: Rejection) {
        self.outcomes[pending.index as usize] = rejected(rejection, Some(&pending.plan), Amount::ZERO, Amount::ZERO);
    }

    /// Reserves, applies, publishes.
    fn apply(
        &mut self,
        pending: &[Pending],
        claimed: &mut [Claimed<'_>],
        deferred: &mut ArenaVec<'a, Pending>,
        budget: &Budget<'_>,
        guard: &Guard,
    ) {
        let source = self.frame_source();
        let records = claimed.iter().map(|claimed| pending[claimed.at as usize].record_bytes as usize).sum();
        let payload_bytes = Page::payload_bytes(source, records);
        let mut frame = budget.reserve(kind::USAGE, payload_bytes).expect("the round was admitted with its frame");
        let first = frame.payload_lsn();
        let mut page = Page::new(frame.payload_mut(), first, records, self.now, source);
        for claimed in claimed {
            let pending = &pending[claimed.at as usize];
            let slot = self.inner.slab.get(claimed.slot);
            let slow = match slot.debit(pending.plan.amount.units(), self.deadline, pending.can_tell) {
                Some(posted) => Slow::Posted(posted),
                None => self.debit_slow(slot, claimed.slot, pending, page.spare(), budget, guard),
            };
            match slow {
                Slow::Posted(posted) => {
                    claimed.lsn = page.lsn().get();
                    self.record(&mut page, slot, claimed.slot, pending, posted);
                }
                Slow::Decided(outcome) => {
                    page.pass_over(pending.record_bytes as usize);
                    claimed.lsn = outcome.entry.map_or(0, drawdown_wal::Lsn::get);
                    self.tally.applied += u64::from(outcome.entry.is_some());
                    self.tally.crossings += u64::from(!outcome.crossed.is_empty());
                    self.outcomes[pending.index as usize] = *outcome;
                }
                Slow::Deferred(pending_again) => {
                    page.pass_over(pending.record_bytes as usize);
                    deferred.push(*pending_again);
                }
            }
        }
        // Without any record the whole place becomes padding.
        if let (used, count @ 1..) = page.finish() {
            frame.publish(used, count);
        }
    }

    /// Writes the record of a debit that the fast path has applied.
    #[inline]
    fn record(&mut self, page: &mut Page<'_>, slot: &WalletSlot, handle: u32, pending: &Pending, posted: Posted) {
        let event = &self.events[pending.index as usize];
        let plan = &pending.plan;
        let lsn = page.lsn();
        let record = DebitRecord {
            slot: handle,
            generation: posted.generation as u32,
            amount: plan.amount,
            balance_after: Amount::new(posted.balance),
            adjustment: posted.adjustment,
            previous: slot.link(lsn.get()),
            event_time: plan.time,
            time: self.now,
            source: event.source,
            id: event.id,
            metered: plan.metered,
        };
        page.write(&record, pending.has_own_source, pending.record_bytes as usize);
        self.tally.applied += 1;
        self.outcomes[pending.index as usize] = EventOutcome {
            status: EventStatus::Applied,
            amount: plan.amount,
            shortfall: Amount::ZERO,
            balance: Amount::new(posted.balance),
            available: Amount::new(posted.balance.saturating_add(posted.adjustment)),
            scale: plan.scale,
            entry: Some(lsn),
            crossed: Vec::new(),
        };
    }
}
