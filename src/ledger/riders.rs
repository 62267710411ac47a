//! What some wallets carry beside plain grants: grants that nobody has paid for yet, terms under which a remainder rolls over, and how far
//! recurring grants have come.
//!
//! Most wallets carry none of it, and pay an empty list for each.
//!
//! Invariants ([`Riders::agree`] checks them, [`super::transition()`] keeps them):
//! 1. `clauses` stand in rising order of their grants. Each is of a grant that there is, active, scheduled, unpaid or held whole, and says
//!    something. What holds have of a grant when it has ended does not roll over: the clause is gone by then.
//! 2. The number behind a grant that may roll over ([`GrantId::rolled_over`]) is no other grant's: it is kept for what rolls over.
//! 3. Only a scheduled grant is an occurrence to come.
//! 4. `unpaid` stand in rising order, are possible lots of which nothing is spent, and have numbers of their own.
//! 5. `progress` stands in rising order of the schedules.

use super::amount::Amount;
use super::decimal::Decimal;
use super::grant::{GrantId, Lot, MAX_PRIORITY};
use super::hold::{OpenHold, held_of};
use super::time::Timestamp;

/// What becomes of a grant's remainder when it ends: a part of it goes on as a new grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollover {
    /// Which part of the remainder: above zero, one at most. What it comes to is rounded down to the smallest unit.
    pub fraction: Decimal,
    /// No more than this.
    pub max: Option<Amount>,
    /// How long the new grant lasts, ms; without it, for ever.
    pub valid_for_ms: Option<u64>,
    /// The new grant's priority.
    pub priority: u8,
}

impl Rollover {
    /// Whether these are possible terms.
    pub fn is_possible(&self) -> bool {
        let one = 10_i64.checked_pow(self.fraction.scale().into());
        self.fraction.mantissa() > 0
            && one.is_some_and(|one| self.fraction.mantissa() <= one)
            && self.max.is_none_or(|max| max > Amount::ZERO)
            && self.valid_for_ms != Some(0)
            && self.priority <= MAX_PRIORITY
    }

    /// What of a remainder rolls over: `fraction` of it, rounded down, `max` at most.
    pub fn part(&self, remainder: Amount) -> Amount {
        let one = 10_i128.pow(self.fraction.scale().into());
        // At most 2^63 times 10^18.
        let part = i128::from(remainder.units()) * i128::from(self.fraction.mantissa()) / one;
        let part = Amount::saturating(part).min(remainder);
        self.max.map_or(part, |max| part.min(max))
    }

    /// The grant that a lot becomes at its end, if anything of it rolls over. It takes category and cost along, the cost in proportion and
    /// rounded down, is effective from the very instant of the end, and does not roll over again.
    pub fn apply(&self, lot: &Lot) -> Option<Lot> {
        let end = lot.expires_at.timestamp()?;
        let part = self.part(lot.remaining);
        let cost = i128::from(lot.cost) * i128::from(part.units()) / i128::from(lot.granted.units());
        (part > Amount::ZERO).then(|| Lot {
            id: lot.id.rolled_over(),
            remaining: part,
            granted: part,
            effective_at: end,
            expires_at: self.valid_for_ms.map(|ms| end.saturating_add(ms)).into(),
            cost: i64::try_from(cost).expect("no more than the whole cost"),
            priority: self.priority,
            category: lot.category,
        })
    }
}

/// Which occurrence of which recurring grant a grant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The schedule's number: each version of a recurring grant has one of its own.
    pub schedule: u64,
    /// The occurrence's number within the schedule, from 0 on.
    pub number: u64,
}

/// When a grant begins and ends that counts for nothing until it is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// It takes effect when it is paid for; else at the date that it was made with, or when it is paid for after that.
    pub begins_when_paid: bool,
    /// How long it lasts from then on, ms; without it, up to the end that it was made with.
    pub valid_for_ms: Option<u64>,
}

/// What is special about a grant to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Special {
    /// What becomes of its remainder.
    pub rollover: Option<Rollover>,
    /// It is an occurrence of a recurring grant.
    pub occurrence: Option<Occurrence>,
    /// It waits for its payment.
    pub payment: Option<Payment>,
}

impl Special {
    /// Nothing.
    pub const NONE: Special = Special { rollover: None, occurrence: None, payment: None };
}

/// Special terms of a grant that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clause {
    /// The grant.
    pub grant: GrantId,
    /// What becomes of its remainder.
    pub rollover: Option<Rollover>,
    /// The occurrence that it is; as long as it is scheduled.
    pub occurrence: Option<Occurrence>,
}

/// A grant that counts for nothing until it is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpaid {
    /// The grant as it was made.
    pub lot: Lot,
    /// When it begins and ends.
    pub payment: Payment,
}

impl Unpaid {
    /// The grant as it is when it is paid for at `now`.
    pub fn paid(&self, now: Timestamp) -> Lot {
        let mut lot = self.lot;
        if self.payment.begins_when_paid {
            lot.effective_at = now;
        }
        if let Some(ms) = self.payment.valid_for_ms {
            lot.expires_at = Some(lot.effective_at.max(now).saturating_add(ms)).into();
        }
        lot
    }
}

/// How far a recurring grant has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The schedule.
    pub schedule: u64,
    /// The first occurrence that has not been made. None below it is made any more.
    pub next: u64,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Riders {
    /// Special terms of grants, by number.
    pub clauses: Box<[Clause]>,
    /// Grants that wait for their payment, by number.
    pub unpaid: Box<[Unpaid]>,
    /// How far recurring grants have come, by schedule.
    pub progress: Box<[Progress]>,
}

impl Riders {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.clauses.is_empty() && self.unpaid.is_empty() && self.progress.is_empty()
    }

    /// What is special about a grant, if anything is.
    pub fn clause(&self, grant: GrantId) -> Option<&Clause> {
        find(&self.clauses, grant)
    }

    /// How far a schedule has come; zero for one that is not known.
    pub fn next_of(&self, schedule: u64) -> u64 {
        self.progress.iter().find(|progress| progress.schedule == schedule).map_or(0, |progress| progress.next)
    }

    /// Credits of the grants that wait for their payment.
    pub fn unpaid_total(&self) -> i128 {
        unpaid_total(&self.unpaid)
    }

    /// Checks the invariants against the grants of the terms that the riders belong to.
    pub(super) fn agree(&self, lots: &[Lot], scheduled: &[Lot], holds: &[OpenHold]) -> bool {
        if self.is_empty() {
            return true;
        }
        let is_scheduled = |grant| scheduled.iter().any(|lot| lot.id == grant);
        let is_spendable = |grant| lots.iter().any(|lot| lot.id == grant) || is_scheduled(grant);
        let is_unpaid = |grant| self.unpaid.iter().any(|unpaid| unpaid.lot.id == grant);
        let part_of = |grant| held_of(holds, grant);
        let clause_holds = |clause: &Clause| {
            let says_something = clause.rollover.is_some() || clause.occurrence.is_some();
            let next = clause.grant.rolled_over();
            let rolls = clause.rollover.is_none_or(|rollover| {
                rollover.is_possible()
                    && next != clause.grant
                    && !is_spendable(next)
                    && !is_unpaid(next)
                    && part_of(next).is_none()
            });
            let is_held = || part_of(clause.grant).is_some_and(|part| !part.is_voided);
            let is_there = is_spendable(clause.grant) || is_unpaid(clause.grant) || is_held();
            says_something && rolls && is_there && (clause.occurrence.is_none() || is_scheduled(clause.grant))
        };
        let unpaid_holds = |unpaid: &Unpaid| {
            let lot = &unpaid.lot;
            let is_possible = Amount::ZERO < lot.remaining
                && lot.remaining == lot.granted
                && lot.cost >= 0
                && lot.priority <= MAX_PRIORITY
                && unpaid.payment.valid_for_ms != Some(0);
            is_possible && !is_spendable(lot.id) && part_of(lot.id).is_none()
        };
        self.clauses.is_sorted_by(|a, b| a.grant < b.grant)
            && self.clauses.iter().all(clause_holds)
            && self.unpaid.is_sorted_by(|a, b| a.lot.id < b.lot.id)
            && self.unpaid.iter().all(unpaid_holds)
            && self.progress.is_sorted_by(|a, b| a.schedule < b.schedule)
    }
}

/// The clause of a grant.
pub(super) fn find(clauses: &[Clause], grant: GrantId) -> Option<&Clause> {
    let place = clauses.binary_search_by_key(&grant, |clause| clause.grant).ok()?;
    Some(&clauses[place])
}

/// Credits of grants that wait for their payment.
pub(super) fn unpaid_total(unpaid: &[Unpaid]) -> i128 {
    unpaid.iter().map(|unpaid| i128::from(unpaid.lot.remaining.units())).sum()
}

#[cfg(test)]
mod tests {
    use super::super::grant::Category;
    use super::super::time::Expiry;
    use super::*;

    const ALL: Rollover = Rollover { fraction: Decimal::from_integer(1), max: None, valid_for_ms: None, priority: 5 };

    fn fraction(text: &str) -> Rollover {
        Rollover { fraction: Decimal::parse(text.as_bytes()).expect("a decimal"), ..ALL }
    }

    #[track_caller]
    fn check_part(rollover: Rollover, remainder: i64, part: i64) {
        assert_eq!(rollover.part(Amount::new(remainder)), Amount::new(part));
    }

    #[test]
    fn a_part_of_the_remainder_is_rounded_down_and_bounded() {
        check_part(ALL, 7, 7);
        check_part(ALL, i64::MAX, i64::MAX);
        check_part(fraction("0.5"), 7, 3);
        check_part(fraction("0.5"), 1, 0);
        check_part(fraction("0.999999999999999999"), i64::MAX, 9_223_372_036_854_775_797);
        check_part(Rollover { max: Some(Amount::new(5)), ..ALL }, 7, 5);
        check_part(Rollover { max: Some(Amount::new(5)), ..fraction("0.5") }, 7, 3);
    }

    #[test]
    fn a_fraction_is_above_zero_and_one_at_most() {
        for (text, possible) in [("1", true), ("1.0", true), ("0.000000000000000001", true), ("0", false)] {
            assert_eq!(fraction(text).is_possible(), possible, "{text}");
        }
        for text in ["-0.5", "1.000000000000000001", "2"] {
            assert!(!fraction(text).is_possible(), "{text}");
        }
        assert!(!Rollover { max: Some(Amount::ZERO), ..ALL }.is_possible());
        assert!(!Rollover { valid_for_ms: Some(0), ..ALL }.is_possible());
        assert!(!Rollover { priority: 101, ..ALL }.is_possible());
    }

    const LOT: Lot = Lot {
        id: GrantId::new(40),
        remaining: Amount::new(30),
        granted: Amount::new(90),
        effective_at: Timestamp::from_millis(500),
        expires_at: Expiry::at(Timestamp::from_millis(2_000)),
        cost: 100,
        priority: 50,
        category: Category::Promotional,
    };

    #[test]
    fn what_rolls_over_takes_category_and_its_share_of_the_cost_along() {
        let rolled = Rollover { valid_for_ms: Some(70), ..fraction("0.5") }.apply(&LOT).expect("half of it");
        let expected = Lot {
            id: GrantId::new(41),
            remaining: Amount::new(15),
            granted: Amount::new(15),
            effective_at: Timestamp::from_millis(2_000),
            expires_at: Expiry::at(Timestamp::from_millis(2_070)),
            cost: 16,
            priority: 5,
            category: Category::Promotional,
        };
        assert_eq!(rolled, expected);
        assert_eq!(ALL.apply(&LOT).map(|lot| lot.expires_at), Some(Expiry::NEVER));
        assert_eq!(fraction("0.01").apply(&LOT), None);
        assert_eq!(ALL.apply(&Lot { expires_at: Expiry::NEVER, ..LOT }), None);
        let dear = Lot { cost: i64::MAX, ..LOT };
        assert_eq!(ALL.apply(&dear).map(|lot| lot.cost), Some(i64::MAX / 3));
    }

    #[test]
    fn riders_that_contradict_the_grants_are_told() {
        let clause = |grant, rollover, occurrence| Clause { grant: GrantId::new(grant), rollover, occurrence };
        let occurrence = Some(Occurrence { schedule: 9, number: 3 });
        let with = |clauses: &[Clause]| Riders { clauses: clauses.into(), ..Riders::default() };
        let active = [LOT];
        let later = [Lot { id: GrantId::new(44), ..LOT }];
        assert!(with(&[clause(40, Some(ALL), None), clause(44, None, occurrence)]).agree(&active, &later, &[]));
        assert!(!with(&[clause(44, None, occurrence), clause(40, Some(ALL), None)]).agree(&active, &later, &[]));
        assert!(!with(&[clause(40, None, None)]).agree(&active, &later, &[]));
        assert!(!with(&[clause(39, Some(ALL), None)]).agree(&active, &later, &[]));
        assert!(!with(&[clause(40, None, occurrence)]).agree(&active, &later, &[]), "it is not to come any more");
        assert!(!with(&[clause(40, Some(fraction("2")), None)]).agree(&active, &later, &[]));
        let behind = [Lot { id: GrantId::new(41), ..LOT }];
        assert!(!with(&[clause(40, Some(ALL), None)]).agree(&active, &behind, &[]));
        let last = [Lot { id: GrantId::new(u64::MAX), ..LOT }];
        assert!(!with(&[clause(u64::MAX, Some(ALL), None)]).agree(&last, &[], &[]));
        let payment = Payment { begins_when_paid: true, valid_for_ms: None };
        let waiting = |id| Unpaid { lot: Lot { id: GrantId::new(id), granted: LOT.remaining, ..LOT }, payment };
        let unpaid = |list: &[Unpaid]| Riders { unpaid: list.into(), ..Riders::default() };
        assert!(unpaid(&[waiting(1), waiting(2)]).agree(&active, &later, &[]));
        assert!(!unpaid(&[waiting(2), waiting(1)]).agree(&active, &later, &[]));
        assert!(!unpaid(&[waiting(40)]).agree(&active, &later, &[]));
        assert!(!unpaid(&[Unpaid { lot: LOT, payment }]).agree(&[], &later, &[]), "a part of it is spent");
        let progress = |list: &[u64]| Riders {
            progress: list.iter().map(|schedule| Progress { schedule: *schedule, next: 1 }).collect(),
            ..Riders::default()
        };
        assert!(progress(&[1, 2]).agree(&[], &[], &[]));
        assert!(!progress(&[2, 2]).agree(&[], &[], &[]));
        assert_eq!((progress(&[1, 2]).next_of(2), progress(&[1, 2]).next_of(3)), (1, 0));
    }
}
