//! Commitments: credits that are going to be used, said before they are. They lower what is projected and nothing else.

use super::amount::Amount;
use super::time::{Expiry, Timestamp};

/// The most commitments of different ends that a wallet can have.
pub const MAX_COMMITMENTS: usize = 100;

/// Credits committed up to an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// How many; above zero.
    pub amount: Amount,
    /// The first instant at which they are no longer committed: by then they have been used, or the period is over.
    pub until: Expiry,
}

/// Those of `commitments` that count at `now`, in the order of their ends, those of one end as one. `None` if an amount is not above zero,
/// their sum is no balance, or there are more than [`MAX_COMMITMENTS`].
pub(super) fn counting(commitments: &[Commitment], now: Timestamp) -> Option<Box<[Commitment]>> {
    if commitments.iter().any(|one| one.amount <= Amount::ZERO) {
        return None;
    }
    let mut rest: Vec<Commitment> = commitments.iter().filter(|one| !one.until.is_due(now)).copied().collect();
    if sum(&rest) > i128::from(Amount::MAX_BALANCE.units()) {
        return None;
    }
    rest.sort_by_key(|one| one.until);
    let mut counting: Vec<Commitment> = Vec::with_capacity(rest.len());
    for one in rest {
        match counting.last_mut() {
            Some(last) if last.until == one.until => last.amount = last.amount.plus(one.amount),
            _ => counting.push(one),
        }
    }
    (counting.len() <= MAX_COMMITMENTS).then(|| counting.into_boxed_slice())
}

/// Whether commitments are as [`counting`] leaves them.
pub(super) fn are_possible(commitments: &[Commitment]) -> bool {
    commitments.len() <= MAX_COMMITMENTS
        && commitments.is_sorted_by(|a, b| a.until < b.until)
        && commitments.iter().all(|one| one.amount > Amount::ZERO)
        && sum(commitments) <= i128::from(Amount::MAX_BALANCE.units())
}

/// All of them together.
pub(super) fn total(commitments: &[Commitment]) -> Amount {
    Amount::saturating(sum(commitments))
}

fn sum(commitments: &[Commitment]) -> i128 {
    commitments.iter().map(|one| i128::from(one.amount.units())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(amount: i64, until: Option<u64>) -> Commitment {
        Commitment { amount: Amount::new(amount), until: until.map(Timestamp::from_millis).into() }
    }

    #[test]
    fn what_is_over_does_not_count_and_what_ends_together_is_one() {
        let declared = [one(5, None), one(7, Some(30)), one(1, Some(20)), one(2, Some(30)), one(9, Some(10))];
        let counting = counting(&declared, Timestamp::from_millis(10)).expect("commitments");
        assert_eq!(*counting, [one(1, Some(20)), one(9, Some(30)), one(5, None)]);
        assert!(are_possible(&counting));
        assert_eq!(total(&counting), Amount::new(15));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        let now = Timestamp::EPOCH;
        assert_eq!(counting(&[one(0, None)], now), None);
        assert_eq!(counting(&[one(-1, None)], now), None);
        assert_eq!(counting(&[one(i64::MAX - 1, None), one(1, Some(5))], now), None);
        assert!(counting(&[one(i64::MAX - 2, None), one(1, Some(5))], now).is_some());
        let many = |count| (0..count).map(|end| one(1, Some(1 + end))).collect::<Vec<_>>();
        assert!(counting(&many(100), now).is_some());
        assert_eq!(counting(&many(101), now), None);
        assert!(!are_possible(&[one(1, None), one(1, Some(4))]));
    }
}
