//! Grants: credits added to a wallet, as far as spending them is concerned, and the order in which they are spent.

use std::cmp::Ordering;

use super::amount::Amount;
use super::time::{Expiry, Timestamp};

/// The priority that is spent last.
pub const MAX_PRIORITY: u8 = 100;

/// A grant's number. Given by the caller, rising with creation: it is the last word of the spend order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId(u64);

impl GrantId {
    /// Grant number `number`.
    pub const fn new(number: u64) -> GrantId {
        GrantId(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of what rolls over of this grant: the next one, which the giver of numbers must leave free. Where numbers are positions of
    /// records in a log, it does by itself.
    #[must_use]
    pub const fn rolled_over(self) -> GrantId {
        GrantId(self.0.saturating_add(1))
    }

    /// The grant that this one rolled over from, if it did.
    #[must_use]
    pub const fn rolled_from(self) -> GrantId {
        GrantId(self.0.saturating_sub(1))
    }
}

/// Whether money was paid for a grant. At equal priority and expiry, promotional credits are spent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Given away.
    Promotional,
    /// Paid for.
    Paid,
}

impl Category {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Category::Promotional => "promotional",
            Category::Paid => "paid",
        }
    }

    /// The category of that name.
    pub fn parse(name: &str) -> Option<Category> {
        match name {
            "promotional" => Some(Category::Promotional),
            "paid" => Some(Category::Paid),
            _ => None,
        }
    }
}

/// Where a grant came from. It decides the default priority and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Included in a subscription plan.
    Plan,
    /// A small recurring refill.
    Drip,
    /// What an earlier period left over.
    Rollover,
    /// Committed in a contract.
    Contract,
    /// A gift or campaign.
    Promotional,
    /// A bought credit package.
    Package,
    /// Bought by hand.
    TopUp,
    /// Bought by an automatic rule.
    AutoTopUp,
    /// Corrected by an operator.
    Adjustment,
    /// Brought over from another system.
    Migration,
}

impl Source {
    /// Every source.
    pub const ALL: [Source; 10] = [
        Source::Plan,
        Source::Drip,
        Source::Rollover,
        Source::Contract,
        Source::Promotional,
        Source::Package,
        Source::TopUp,
        Source::AutoTopUp,
        Source::Adjustment,
        Source::Migration,
    ];

    /// The priority of a grant that names none. Corrections and migrations stand where bought credits do: an operator who
    /// means otherwise says so.
    pub const fn default_priority(self) -> u8 {
        match self {
            Source::Drip => 0,
            Source::Rollover => 5,
            Source::Plan | Source::Contract => 10,
            Source::Promotional => 30,
            Source::Package | Source::TopUp | Source::AutoTopUp | Source::Adjustment | Source::Migration => 50,
        }
    }

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Source::Plan => "plan",
            Source::Drip => "drip",
            Source::Rollover => "rollover",
            Source::Contract => "contract",
            Source::Promotional => "promotional",
            Source::Package => "package",
            Source::TopUp => "top_up",
            Source::AutoTopUp => "auto_top_up",
            Source::Adjustment => "adjustment",
            Source::Migration => "migration",
        }
    }

    /// The source of that name.
    pub fn parse(name: &str) -> Option<Source> {
        Source::ALL.into_iter().find(|source| source.as_str() == name)
    }
}

/// A grant as its wallet sees it: what is left, and its place in the spend order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lot {
    /// The grant.
    pub id: GrantId,
    /// Unspent credits: above zero, `granted` at most.
    pub remaining: Amount,
    /// Credits of the whole grant: above zero.
    pub granted: Amount,
    /// From when on it can be spent.
    pub effective_at: Timestamp,
    /// Until when it can be spent.
    pub expires_at: Expiry,
    /// Cost of the whole grant in minor units of money. Zero if it has no cost basis: the spend order treats both alike.
    pub cost: i64,
    /// 0 is spent first, [`MAX_PRIORITY`] last.
    pub priority: u8,
    /// Paid or promotional.
    pub category: Category,
}

// A wallet with a thousand lots is copied at every change of generation.
const _: () = assert!(size_of::<Lot>() <= 56);

impl Lot {
    /// The order of spending: priority, expiry (never last), promotional before paid, lower cost per credit, effective date,
    /// creation. Total: no two lots of a wallet are equal, because no two have the same id.
    pub fn spend_order(&self, other: &Lot) -> Ordering {
        self.priority
            .cmp(&other.priority)
            .then_with(|| self.expires_at.cmp(&other.expires_at))
            .then_with(|| self.category.cmp(&other.category))
            .then_with(|| self.cost_order(other))
            .then_with(|| self.effective_at.cmp(&other.effective_at))
            .then_with(|| self.id.cmp(&other.id))
    }

    /// The order in which scheduled lots take effect, and so pay debt: by date, then as they will be spent.
    pub fn activation_order(&self, other: &Lot) -> Ordering {
        self.effective_at.cmp(&other.effective_at).then_with(|| self.spend_order(other))
    }

    /// What of the cost belongs to the `part` that is taken next, when so much of the grant is left (held or not): what had been taken after
    /// it costs, in proportion and rounded down, less what had been taken before it costs. So the parts of a grant cost together, to the
    /// last minor unit, what the whole does, however it is taken to pieces.
    pub fn cost_of(&self, left: Amount, part: Amount) -> i64 {
        let (cost, granted) = (i128::from(self.cost), i128::from(self.granted.units()));
        let taken = granted - i128::from(left.units()).min(granted);
        let until = |taken: i128| cost * taken.min(granted) / granted.max(1);
        i64::try_from(until(taken + i128::from(part.units())) - until(taken)).expect("no more than the whole cost")
    }

    /// `cost / granted` against the other's, exactly: fractions with positive denominators compare like their cross products.
    fn cost_order(&self, other: &Lot) -> Ordering {
        let mine = i128::from(self.cost) * i128::from(other.granted.units());
        let theirs = i128::from(other.cost) * i128::from(self.granted.units());
        mine.cmp(&theirs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOT: Lot = Lot {
        id: GrantId(10),
        remaining: Amount::new(100),
        granted: Amount::new(100),
        effective_at: Timestamp::from_millis(1_000),
        expires_at: Expiry::at(Timestamp::from_millis(9_000)),
        cost: 500,
        priority: 50,
        category: Category::Paid,
    };

    #[track_caller]
    fn check_first(first: Lot, second: Lot) {
        assert_eq!(first.spend_order(&second), Ordering::Less, "{first:?} before {second:?}");
        assert_eq!(second.spend_order(&first), Ordering::Greater, "{second:?} after {first:?}");
        assert_eq!(first.spend_order(&first), Ordering::Equal);
    }

    #[track_caller]
    fn check_parts(cost: i64, granted: i64, parts: &[(i64, i64)]) {
        let lot = Lot { cost, granted: Amount::new(granted), ..LOT };
        let mut left = granted;
        for (part, share) in parts {
            assert_eq!(lot.cost_of(Amount::new(left), Amount::new(*part)), *share, "{part} of {left}");
            left -= part;
        }
    }

    #[test]
    fn parts_of_a_grant_cost_together_what_it_costs() {
        check_parts(100, 3, &[(1, 33), (1, 33), (1, 34)]);
        check_parts(100, 3, &[(2, 66), (1, 34)]);
        check_parts(7, 100, &[(10, 0), (10, 1), (80, 6)]);
        check_parts(0, 100, &[(10, 0), (90, 0)]);
        check_parts(i64::MAX, i64::MAX, &[(1, 1), (i64::MAX - 1, i64::MAX - 1)]);
    }

    #[test]
    fn each_key_of_the_spend_order_breaks_the_ties_of_those_before_it() {
        let early = Timestamp::from_millis(500);
        let id = GrantId(99);
        check_first(Lot { priority: 49, expires_at: Expiry::NEVER, ..LOT }, LOT);
        check_first(LOT, Lot { expires_at: Expiry::NEVER, category: Category::Promotional, ..LOT });
        check_first(
            LOT,
            Lot { expires_at: Expiry::at(Timestamp::from_millis(9_001)), category: Category::Promotional, ..LOT },
        );
        check_first(Lot { category: Category::Promotional, cost: 9_999, ..LOT }, LOT);
        check_first(LOT, Lot { cost: 501, effective_at: early, ..LOT });
        check_first(Lot { effective_at: early, id, ..LOT }, LOT);
        check_first(LOT, Lot { id, ..LOT });
    }

    #[test]
    fn cost_is_compared_per_credit_of_the_whole_grant_and_exactly() {
        // 500 for 100 against 999 for 200: five against just under five.
        check_first(Lot { cost: 999, granted: Amount::new(200), id: GrantId(99), ..LOT }, LOT);
        // What is left of a grant does not change what a credit cost.
        check_first(LOT, Lot { remaining: Amount::new(1), id: GrantId(99), ..LOT });
        // Equal ratios are a tie, whatever their size.
        check_first(LOT, Lot { cost: 1000, granted: Amount::new(200), id: GrantId(99), ..LOT });
        // No cost basis counts as free.
        check_first(Lot { cost: 0, id: GrantId(99), ..LOT }, LOT);
        // A float would call these two equal.
        let dear = Lot { cost: i64::MAX, granted: Amount::new(i64::MAX - 1), ..LOT };
        let cheap = Lot { cost: i64::MAX - 1, granted: Amount::new(i64::MAX - 1), id: GrantId(99), ..LOT };
        check_first(cheap, dear);
    }

    #[test]
    fn scheduled_lots_take_effect_by_date_and_then_in_spend_order() {
        let earlier = Lot { effective_at: Timestamp::from_millis(1), priority: 100, ..LOT };
        assert_eq!(earlier.activation_order(&LOT), Ordering::Less);
        let urgent = Lot { priority: 0, id: GrantId(99), ..LOT };
        assert_eq!(urgent.activation_order(&LOT), Ordering::Less);
    }

    #[test]
    fn every_source_has_its_own_name_and_a_priority_in_range() {
        for source in Source::ALL {
            assert_eq!(Source::parse(source.as_str()), Some(source));
            assert!(source.default_priority() <= MAX_PRIORITY);
        }
        assert_eq!(Source::parse("Plan"), None);
        assert_eq!(Source::parse("auto_top_up"), Some(Source::AutoTopUp));
        assert_eq!(Category::parse("paid"), Some(Category::Paid));
        assert_eq!(Category::parse("free"), None);
    }

    #[test]
    fn default_priorities_are_those_of_the_rules() {
        let table = [
            (Source::Drip, 0),
            (Source::Rollover, 5),
            (Source::Plan, 10),
            (Source::Contract, 10),
            (Source::Promotional, 30),
            (Source::Package, 50),
            (Source::TopUp, 50),
            (Source::AutoTopUp, 50),
        ];
        for (source, priority) in table {
            assert_eq!(source.default_priority(), priority, "{source:?}");
        }
    }
}
