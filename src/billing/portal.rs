//! Limits on what customers buy for themselves. They bind the portal, not operators.

use super::money::Money;
use crate::ledger::Amount;

/// A currency's limits on customers' own payments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortalLimits {
    /// The least of one payment.
    pub min_payment: Option<Money>,
    /// The most of one payment.
    pub max_payment: Option<Money>,
    /// The highest balance that a payment may lead to.
    pub max_balance: Option<Amount>,
}

/// Why a customer may not buy this for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Less than the least.
    TooSmall(Money),
    /// More than the most.
    TooLarge(Money),
    /// In other money than the limits are in: what cannot be compared is not let through.
    OtherMoney,
    /// It would lead to a balance above this.
    BalanceTooHigh(Amount),
}

impl PortalLimits {
    /// Checks what one payment comes to, whatever it leads to.
    pub fn check_payment(&self, payment: Money) -> Result<(), Refusal> {
        let limits = [self.min_payment, self.max_payment];
        if limits.into_iter().flatten().any(|limit| limit.code != payment.code) {
            return Err(Refusal::OtherMoney);
        }
        if let Some(min) = self.min_payment.filter(|min| payment.units < min.units) {
            return Err(Refusal::TooSmall(min));
        }
        if let Some(max) = self.max_payment.filter(|max| payment.units > max.units) {
            return Err(Refusal::TooLarge(max));
        }
        Ok(())
    }

    /// Checks a payment for `credits` of a wallet that has `balance`, with `in_flight` on the way to it.
    pub fn check(&self, payment: Money, credits: Amount, balance: Amount, in_flight: Amount) -> Result<(), Refusal> {
        self.check_payment(payment)?;
        let resulting = balance.checked_add(in_flight).and_then(|sum| sum.checked_add(credits));
        match self.max_balance {
            Some(max) if resulting.is_none_or(|resulting| resulting > max) => Err(Refusal::BalanceTooHigh(max)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::money::MoneyCode;
    use super::super::money::tests::euros;
    use super::*;

    #[test]
    fn a_payment_is_held_to_the_limits_on_both_sides_and_to_the_balance() {
        let limits = PortalLimits {
            min_payment: Some(euros(500)),
            max_payment: Some(euros(10_000)),
            max_balance: Some(Amount::new(50_000)),
        };
        let check = |cents, credits, balance, in_flight| {
            limits.check(euros(cents), Amount::new(credits), Amount::new(balance), Amount::new(in_flight))
        };
        assert_eq!(check(499, 1, 0, 0), Err(Refusal::TooSmall(euros(500))));
        assert_eq!(check(500, 1, 0, 0), Ok(()));
        assert_eq!(check(10_000, 1, 0, 0), Ok(()));
        assert_eq!(check(10_001, 1, 0, 0), Err(Refusal::TooLarge(euros(10_000))));
        assert_eq!(check(500, 20_000, 20_000, 10_000), Ok(()));
        assert_eq!(check(500, 20_001, 20_000, 10_000), Err(Refusal::BalanceTooHigh(Amount::new(50_000))));
        assert_eq!(check(500, i64::MAX, 20_000, 0), Err(Refusal::BalanceTooHigh(Amount::new(50_000))));
        assert_eq!(check(500, 60_000, -10_000, 0), Ok(()), "debt is paid first");
        let dollars = Money::new(600, MoneyCode::iso("USD").expect("dollars"));
        assert_eq!(limits.check(dollars, Amount::ONE, Amount::ZERO, Amount::ZERO), Err(Refusal::OtherMoney));
        let free = PortalLimits::default();
        assert_eq!(free.check(dollars, Amount::MAX, Amount::MAX, Amount::MAX), Ok(()));
    }
}
