//! A wallet's terms as they lie in memory: most wallets hold one grant and nothing else, and take no more than a cache line.
//!
//! The ledger's own [`ledger::Terms`] are made for the rules, with a list of grants, another of scheduled ones, levels and their states. Ten
//! million of them would take a gigabyte more than what they say. They are unfolded where the rules are asked, which debits on the fast path
//! never do.

use crate::journal::snapshot::entry::EntryTerms;
use crate::ledger::{
    self, Amount, Category, Expiry, GrantId, LevelStates, Levels, Lot, Single, SingleNext, Status, Timestamp,
};
use crate::store::prefetch::prefetch;
use crate::store::slot::Terms;
use crate::store::word::Deadline;
use std::borrow::Cow;

/// A generation's terms.
#[derive(Debug)]
pub(super) enum Kept {
    /// An active wallet with this one active grant, nothing held or committed, no allowance, no levels; its only line is the one unit above nothing.
    One(Small),
    /// Any other.
    Whole {
        /// The balance without headroom. Here, as the next is, for these are what debits ask.
        base: Amount,
        /// Available credit less balance.
        adjustment: i64,
        whole: Box<Whole>,
    },
}

/// Terms with what the store asks of them again and again.
#[derive(Debug)]
pub(super) struct Whole {
    deadline: Expiry,
    /// Whether [`Single`] knows them.
    is_single: bool,
    terms: ledger::Terms,
}

/// A [`Lot`] in fewer bytes, as nearly all can be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Small {
    id: GrantId,
    remaining: Amount,
    granted: Amount,
    cost: u32,
    effective_at: Instant,
    /// The last one means never.
    expires_at: Instant,
    priority: u8,
    category: Category,
}

/// An instant in five bytes: milliseconds since [`Deadline::EPOCH_MS`], enough for 34 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instant([u8; 5]);

// The variant is told by a value that no category has. With what the store adds, a generation takes one cache line.
const _: () = assert!(size_of::<Kept>() == 40);
// A model's atomics are larger than real ones.
#[cfg(not(drawdown_loom))]
const _: () = assert!(size_of::<super::wallet::WalletGeneration>() == 64);

impl Instant {
    const LAST: Instant = Instant([0xff; 5]);

    /// The instant, if it is within reach; [`Instant::LAST`] is not.
    fn new(time: Timestamp) -> Option<Instant> {
        let bytes = time.millis().checked_sub(Deadline::EPOCH_MS)?.to_le_bytes();
        let instant = Instant(*bytes.first_chunk().expect("eight bytes have five"));
        (bytes[5..] == [0; 3] && instant != Instant::LAST).then_some(instant)
    }

    fn get(self) -> Timestamp {
        let mut bytes = [0; 8];
        bytes[..5].copy_from_slice(&self.0);
        Timestamp::from_millis(u64::from_le_bytes(bytes) + Deadline::EPOCH_MS)
    }
}

impl Small {
    fn new(lot: &Lot) -> Option<Small> {
        Some(Small {
            id: lot.id,
            remaining: lot.remaining,
            granted: lot.granted,
            cost: lot.cost.try_into().ok()?,
            effective_at: Instant::new(lot.effective_at)?,
            expires_at: lot.expires_at.timestamp().map_or(Some(Instant::LAST), Instant::new)?,
            priority: lot.priority,
            category: lot.category,
        })
    }

    fn expires_at(self) -> Expiry {
        if self.expires_at == Instant::LAST { Expiry::NEVER } else { Expiry::at(self.expires_at.get()) }
    }

    fn get(self) -> Lot {
        Lot {
            id: self.id,
            remaining: self.remaining,
            granted: self.granted,
            effective_at: self.effective_at.get(),
            expires_at: self.expires_at(),
            cost: self.cost.into(),
            priority: self.priority,
            category: self.category,
        }
    }
}

impl Whole {
    fn keep(terms: ledger::Terms, base: Amount) -> Kept {
        let (deadline, adjustment) = (Expiry::from(terms.deadline()), terms.available(Amount::ZERO).units());
        let is_single = Single::is(&terms);
        Kept::Whole { base, adjustment, whole: Box::new(Whole { deadline, is_single, terms }) }
    }
}

fn deadline_of(deadline: Expiry) -> Deadline {
    deadline.timestamp().map_or(Deadline::NEVER, |instant| Deadline::from_unix_ms(instant.millis()))
}

impl Kept {
    /// The terms as the rules know them.
    pub(super) fn get(&self) -> Cow<'_, ledger::Terms> {
        match self {
            Kept::One(lot) => Cow::Owned(ledger::Terms {
                opening: lot.remaining,
                lots: Box::new([lot.get()]),
                ..ledger::Terms::new()
            }),
            Kept::Whole { whole, .. } => Cow::Borrowed(&whole.terms),
        }
    }

    /// The terms in short, if they can be said so.
    pub(super) fn single(&self) -> Option<Single<'_>> {
        match self {
            Kept::One(lot) => {
                let lot = lot.get();
                let (allowance, held) = (Amount::ZERO, Amount::ZERO);
                Some(Single { opening: lot.remaining, allowance, held, lot, holds: &[] })
            }
            Kept::Whole { whole, .. } => whole.is_single.then(|| Single::unchecked(&whole.terms)),
        }
    }

    /// Shows active grants with something left that is not held, and levels, without unfolding the terms.
    pub(super) fn with_lots<T>(&self, show: impl FnOnce(&[Lot], Option<&Levels>) -> T) -> T {
        match self {
            Kept::One(lot) => show(&[lot.get()], None),
            Kept::Whole { whole, .. } => show(&whole.terms.lots, whole.terms.levels.as_deref()),
        }
    }

    /// The terms, unless they are folded.
    pub(super) fn whole(&self) -> Option<&ledger::Terms> {
        match self {
            Kept::One(_) => None,
            Kept::Whole { whole, .. } => Some(&whole.terms),
        }
    }

    /// What is held and what is available at a balance, without unfolding the terms.
    pub(super) fn sums_at(&self, balance: Amount) -> (Amount, Amount) {
        match self {
            Kept::One(_) => (Amount::ZERO, balance),
            Kept::Whole { whole, .. } => (whole.terms.held, whole.terms.available(balance)),
        }
    }

    /// Whether the wallet can be used.
    pub(super) fn status(&self) -> Status {
        match self {
            Kept::One(_) => Status::Active,
            Kept::Whole { whole, .. } => whole.terms.status,
        }
    }

    /// The terms as a snapshot has them.
    pub(super) fn entry(&self) -> EntryTerms<'_> {
        match self {
            Kept::One(lot) => EntryTerms::One(lot.get()),
            Kept::Whole { whole, .. } => EntryTerms::Whole(Cow::Borrowed(&whole.terms)),
        }
    }
}

impl From<EntryTerms<'_>> for Kept {
    fn from(terms: EntryTerms<'_>) -> Self {
        match terms {
            EntryTerms::One(lot) => Small::new(&lot).map_or_else(|| Kept::from(of_one(lot)), Kept::One),
            EntryTerms::Whole(terms) => Kept::from(terms.into_owned()),
        }
    }
}

impl From<ledger::Terms> for Kept {
    fn from(terms: ledger::Terms) -> Self {
        let base = terms.base();
        let small = match &*terms.lots {
            [lot] if is_simple(&terms) && terms.opening == lot.remaining && base == Amount::ONE => Small::new(lot),
            _ => None,
        };
        small.map_or_else(|| Whole::keep(terms, base), Kept::One)
    }
}

impl From<SingleNext> for Kept {
    fn from(next: SingleNext) -> Self {
        let is_one = next.holds.is_empty() && next.allowance == Amount::ZERO && next.opening == next.lot.remaining;
        if let Some(lot) = Small::new(&next.lot).filter(|_| is_one) {
            return Kept::One(lot);
        }
        let terms = ledger::Terms::from(next);
        let base = terms.base();
        Whole::keep(terms, base)
    }
}

/// The terms that [`Kept::One`] stands for.
fn of_one(lot: Lot) -> ledger::Terms {
    ledger::Terms { opening: lot.remaining, lots: Box::new([lot]), ..ledger::Terms::new() }
}

fn is_simple(terms: &ledger::Terms) -> bool {
    terms.status == Status::Active
        && terms.allowance == Amount::ZERO
        && terms.holds.is_empty()
        && terms.scheduled.is_empty()
        && terms.levels.is_none()
        && terms.states == LevelStates::default()
        && terms.told.is_empty()
        && terms.granted == Amount::ZERO
        && terms.committed.is_empty()
        && terms.inherited == 0
        && terms.riders.is_empty()
}

impl Kept {
    /// The balance at the opening.
    pub(super) fn opening_balance(&self) -> Amount {
        Amount::new(self.opening())
    }

    /// What is available at a balance.
    pub(super) fn available(&self, balance: Amount) -> Amount {
        match self {
            Kept::One(_) => balance,
            Kept::Whole { whole, .. } => whole.terms.available(balance),
        }
    }

    /// What is projected at a balance.
    pub(super) fn projected(&self, balance: Amount) -> Amount {
        match self {
            Kept::One(_) => balance,
            Kept::Whole { whole, .. } => whole.terms.projected(balance),
        }
    }

    /// Fetches what does not lie in the generation itself.
    #[inline]
    pub(super) fn prefetch(&self) {
        if let Kept::Whole { whole, .. } = self {
            let whole = std::ptr::from_ref::<Whole>(whole);
            for line in 0..size_of::<Whole>().div_ceil(64) {
                prefetch(whole.wrapping_byte_add(64 * line));
            }
        }
    }

    /// Whether something has fallen due at `now`.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        match self {
            Kept::One(lot) => lot.expires_at().is_due(now),
            Kept::Whole { whole, .. } => whole.deadline.is_due(now),
        }
    }

    /// Open holds.
    pub(super) fn holds(&self) -> &[ledger::OpenHold] {
        match self {
            Kept::One(_) => &[],
            Kept::Whole { whole, .. } => &whole.terms.holds,
        }
    }
}

impl Terms for Kept {
    fn opening(&self) -> i64 {
        match self {
            Kept::One(lot) => lot.remaining.units(),
            Kept::Whole { whole, .. } => whole.terms.opening.units(),
        }
    }

    fn base(&self) -> i64 {
        match self {
            Kept::One(_) => Amount::ONE.units(),
            Kept::Whole { base, .. } => base.units(),
        }
    }

    fn deadline(&self) -> Deadline {
        deadline_of(match self {
            Kept::One(lot) => lot.expires_at(),
            Kept::Whole { whole, .. } => whole.deadline,
        })
    }

    fn adjustment(&self) -> i64 {
        match self {
            Kept::One(_) => 0,
            Kept::Whole { adjustment, .. } => *adjustment,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Clause, Commitment, Decimal, HoldId, OnExceed, OpenHold, Parts, Progress, Riders, Rollover};
    use std::sync::Arc;

    /// In 2026, ms.
    const NOW: u64 = 1_790_000_000_000;

    fn lot(id: u64, remaining: i64) -> Lot {
        Lot {
            id: GrantId::new(id),
            remaining: Amount::new(remaining),
            granted: Amount::new(100),
            effective_at: Timestamp::from_millis(NOW),
            expires_at: Expiry::at(Timestamp::from_millis(1_900_000_000_000)),
            cost: 3,
            priority: 50,
            category: Category::Promotional,
        }
    }

    fn one(remaining: i64) -> ledger::Terms {
        ledger::Terms { opening: Amount::new(remaining), lots: [lot(7, remaining)].into(), ..ledger::Terms::new() }
    }

    /// Keeps terms, and compares everything that is asked of them.
    #[track_caller]
    fn check(terms: &ledger::Terms, small: bool) {
        let kept = Kept::from(terms.clone());
        assert_eq!(matches!(kept, Kept::One(_)), small);
        assert_eq!(*kept.get(), *terms);
        assert_eq!(kept.status(), terms.status);
        for balance in [terms.opening, Amount::ZERO] {
            assert_eq!(kept.sums_at(balance), (terms.held, terms.available(balance)));
            assert_eq!(balance.units() + kept.adjustment(), terms.available(balance).units());
        }
        let deadline = terms.deadline().map_or(Deadline::NEVER, |at| Deadline::from_unix_ms(at.millis()));
        assert_eq!((kept.opening(), kept.base()), (terms.opening.units(), terms.base().units()));
        assert_eq!((kept.deadline(), kept.adjustment() == 0), (deadline, terms.is_plain()));
        let due = [0, NOW, NOW + 1, 1_900_000_000_000, u64::MAX - 1].map(Timestamp::from_millis);
        assert_eq!(due.map(|at| kept.is_due(at)), due.map(|at| terms.deadline().is_some_and(|end| at >= end)));
        kept.with_lots(|lots, levels| assert_eq!((lots, levels), (&*terms.lots, terms.levels.as_deref())));
        assert_eq!(kept.single().is_some(), Single::of(terms).is_some());
        if let Some(Single { opening, allowance, held, lot, holds }) = kept.single() {
            let next = SingleNext { opening, allowance, held, lot, holds: holds.to_vec() };
            assert_eq!(ledger::Terms::from(next.clone()), *terms);
            let again = Kept::from(next);
            assert_eq!(matches!(again, Kept::One(_)), small);
            assert_eq!(*again.get(), *terms);
        }
    }

    #[test]
    fn only_a_wallet_of_one_grant_is_folded() {
        check(&one(100), true);
        check(&one(1), true);
        check(&ledger::Terms { lots: [Lot { expires_at: Expiry::NEVER, ..lot(7, 100) }].into(), ..one(100) }, true);
        check(&ledger::Terms { lots: [Lot { cost: u32::MAX.into(), ..lot(7, 100) }].into(), ..one(100) }, true);
        check(&ledger::Terms::new(), false);
        check(&ledger::Terms { opening: Amount::new(-3), ..ledger::Terms::new() }, false);
        check(&ledger::Terms { opening: Amount::new(200), lots: [lot(7, 100), lot(8, 100)].into(), ..one(1) }, false);
        check(&ledger::Terms { scheduled: [lot(9, 4)].into(), ..one(100) }, false);
        check(&ledger::Terms { status: Status::Frozen, ..one(100) }, false);
        check(&ledger::Terms { allowance: Amount::new(5), ..one(100) }, false);
        let hold = OpenHold {
            id: HoldId::new(3),
            amount: Amount::new(5),
            remaining: Amount::new(5),
            expires_at: Timestamp::from_millis(NOW + 1),
            on_exceed: OnExceed::Cap,
            parts: Parts::default(),
        };
        let held = ledger::Terms { held: Amount::new(5), holds: [hold].into(), ..one(100) };
        check(&held, false);
        check(&ledger::Terms { allowance: Amount::new(5), ..held }, false);
        let rollover = Rollover { fraction: Decimal::from_integer(1), max: None, valid_for_ms: None, priority: 5 };
        let clause = Clause { grant: GrantId::new(7), rollover: Some(rollover), occurrence: None };
        let riders = Riders { clauses: [clause].into(), ..Riders::default() };
        check(&ledger::Terms { riders, ..one(100) }, false);
        let riders = Riders { progress: [Progress { schedule: 3, next: 1 }].into(), ..Riders::default() };
        check(&ledger::Terms { riders, ..one(100) }, false);
        let committed = [Commitment { amount: Amount::ONE, until: Expiry::NEVER }].into();
        check(&ledger::Terms { committed, ..one(100) }, false);
        check(&ledger::Terms { levels: Some(Arc::default()), ..one(100) }, false);
    }

    #[test]
    fn a_lot_that_is_out_of_reach_is_kept_whole() {
        let first = Deadline::EPOCH_MS;
        let last = first + (1 << 40) - 2;
        let terms = |lot: Lot| ledger::Terms { lots: [lot].into(), ..one(100) };
        for (millis, small) in [(first, true), (first - 1, false), (last, true), (last + 1, false), (0, false)] {
            let at = Timestamp::from_millis(millis);
            check(&terms(Lot { effective_at: at, ..lot(7, 100) }), small);
            check(&terms(Lot { expires_at: Expiry::at(at), ..lot(7, 100) }), small);
        }
        check(&terms(Lot { cost: i64::from(u32::MAX) + 1, ..lot(7, 100) }), false);
    }
}
