//! A wallet's terms as they lie in memory: most wallets hold one grant and nothing else, and take no more room than that grant.
//!
//! The ledger's own [`ledger::Terms`] are made for the rules, with a list of grants, another of scheduled ones, levels and their states. Ten
//! million of them would take a gigabyte more than what they say. They are unfolded where the rules are asked, which debits on the fast path
//! never do.

use crate::journal::snapshot::entry::EntryTerms;
use crate::ledger::{self, Amount, LevelStates, Lot, Status};
use crate::store::slot::Terms;
use crate::store::word::Deadline;
use std::borrow::Cow;

/// A generation's terms.
#[derive(Debug)]
pub(super) enum Kept {
    /// An active wallet with this one active grant, nothing held, no allowance, no levels; its only line is the one unit above nothing.
    One(Lot),
    /// Any other.
    Whole(Box<ledger::Terms>),
}

// The variant is told by a value that no category has.
const _: () = assert!(size_of::<Kept>() == size_of::<Lot>());
// A model's atomics are larger than real ones.
#[cfg(not(drawdown_loom))]
const _: () = assert!(size_of::<super::wallet::WalletGeneration>() <= 80, "a size class of the allocator");

impl Kept {
    /// The terms as the rules know them.
    pub(super) fn get(&self) -> Cow<'_, ledger::Terms> {
        match self {
            Kept::One(lot) => {
                Cow::Owned(ledger::Terms { opening: lot.remaining, lots: Box::new([*lot]), ..ledger::Terms::new() })
            }
            Kept::Whole(terms) => Cow::Borrowed(terms),
        }
    }

    /// The terms as a snapshot has them.
    pub(super) fn entry(&self) -> EntryTerms<'_> {
        match self {
            Kept::One(lot) => EntryTerms::One(*lot),
            Kept::Whole(terms) => EntryTerms::Whole(Cow::Borrowed(terms)),
        }
    }
}

impl From<EntryTerms<'_>> for Kept {
    fn from(terms: EntryTerms<'_>) -> Self {
        match terms {
            EntryTerms::One(lot) => Kept::One(lot),
            EntryTerms::Whole(terms) => Kept::from(terms.into_owned()),
        }
    }
}

impl From<ledger::Terms> for Kept {
    fn from(terms: ledger::Terms) -> Self {
        match &*terms.lots {
            [lot] if is_simple(&terms) && terms.opening == lot.remaining && terms.base() == Amount::ONE => {
                Kept::One(*lot)
            }
            _ => Kept::Whole(Box::new(terms)),
        }
    }
}

fn is_simple(terms: &ledger::Terms) -> bool {
    terms.status == Status::Active
        && terms.allowance == Amount::ZERO
        && terms.held == Amount::ZERO
        && terms.scheduled.is_empty()
        && terms.levels.is_none()
        && terms.states == LevelStates::default()
}

impl Terms for Kept {
    fn opening(&self) -> i64 {
        match self {
            Kept::One(lot) => lot.remaining.units(),
            Kept::Whole(terms) => terms.opening.units(),
        }
    }

    fn base(&self) -> i64 {
        match self {
            Kept::One(_) => Amount::ONE.units(),
            Kept::Whole(terms) => terms.base().units(),
        }
    }

    fn deadline(&self) -> Deadline {
        let deadline = match self {
            Kept::One(lot) => lot.expires_at.timestamp(),
            Kept::Whole(terms) => terms.deadline(),
        };
        deadline.map_or(Deadline::NEVER, |instant| Deadline::from_unix_ms(instant.millis()))
    }

    fn is_plain(&self) -> bool {
        match self {
            Kept::One(_) => true,
            Kept::Whole(terms) => terms.is_plain(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Category, Expiry, GrantId, Timestamp};

    fn lot(id: u64, remaining: i64) -> Lot {
        Lot {
            id: GrantId::new(id),
            remaining: Amount::new(remaining),
            granted: Amount::new(100),
            effective_at: Timestamp::from_millis(5),
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
        let deadline = terms.deadline().map_or(Deadline::NEVER, |at| Deadline::from_unix_ms(at.millis()));
        assert_eq!((kept.opening(), kept.base()), (terms.opening.units(), terms.base().units()));
        assert_eq!((kept.deadline(), kept.is_plain()), (deadline, terms.is_plain()));
    }

    #[test]
    fn only_a_wallet_of_one_grant_is_folded() {
        check(&one(100), true);
        check(&one(1), true);
        check(&ledger::Terms { lots: [Lot { expires_at: Expiry::NEVER, ..lot(7, 100) }].into(), ..one(100) }, true);
        check(&ledger::Terms::new(), false);
        check(&ledger::Terms { opening: Amount::new(-3), ..ledger::Terms::new() }, false);
        check(&ledger::Terms { opening: Amount::new(200), lots: [lot(7, 100), lot(8, 100)].into(), ..one(1) }, false);
        check(&ledger::Terms { scheduled: [lot(9, 4)].into(), ..one(100) }, false);
        check(&ledger::Terms { status: Status::Frozen, ..one(100) }, false);
        check(&ledger::Terms { allowance: Amount::new(5), ..one(100) }, false);
        check(&ledger::Terms { held: Amount::new(5), ..one(100) }, false);
        check(&ledger::Terms { allowance: Amount::new(5), held: Amount::new(5), ..one(100) }, false);
    }
}
