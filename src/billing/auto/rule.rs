//! What a rule says, and which rules make no sense.

use super::super::money::Money;
use super::super::{Invalid, Per, check_text};
use super::size::Offer;
use crate::catalog::CurrencyNumber;
use crate::ledger::{Amount, MAX_PRIORITY, Trigger};

/// The longest cooldown, ms: 31 days.
const COOLDOWN_MAX_MS: u64 = 31 * 86_400_000;

/// How much a rule buys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A package, so many times; more often if the gap is wider.
    Package {
        /// The package's id.
        package: String,
        /// How many at the least.
        quantity: u32,
    },
    /// An amount of money in a currency that stands for money; a multiple of it if the gap is wider.
    Amount(Money),
    /// As much as leads to a balance: exactly, in a currency that stands for money, and in whole packages else.
    Target {
        /// The balance.
        target: Amount,
        /// The package, in a currency that does not stand for money.
        package: Option<String>,
    },
}

/// A limit on what a rule buys within a window of the UTC calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Which window.
    pub per: Per,
    /// Top-ups at most.
    pub count: Option<u32>,
    /// Money at most.
    pub amount: Option<Money>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whose wallet.
    pub customer: String,
    /// In which currency.
    pub currency: CurrencyNumber,
    /// Whether it fires at all.
    pub enabled: bool,
    /// The level that it watches, compared with the balance less what is held, and plus what is on the way.
    pub threshold: Amount,
    /// Whether the level itself counts as low.
    pub trigger: Trigger,
    /// How much it buys.
    pub mode: Mode,
    /// How long it rests after a success, ms.
    pub cooldown_ms: u64,
    /// At most one a window.
    pub limits: Vec<Limit>,
    /// The payment method that is charged; the customer's default one without it.
    pub method: Option<String>,
    /// The grants' priority; the package's or the usual one without it.
    pub priority: Option<u8>,
    /// How long the grants last, ms; as the package's do without it.
    pub valid_for_ms: Option<u64>,
}

impl Rule {
    /// The lowest balance at which it does not fire.
    pub fn lowest_at_rest(&self) -> Amount {
        match self.trigger {
            Trigger::Below => self.threshold,
            // Checked: the threshold is no higher than a balance can be.
            Trigger::AtOrBelow => self.threshold.checked_add(Amount::ONE).unwrap_or(Amount::MAX),
        }
    }

    /// Whether it fires at a balance.
    pub fn is_low(&self, balance: Amount) -> bool {
        balance < self.lowest_at_rest()
    }

    /// The package that it buys, if it buys one.
    pub fn package(&self) -> Option<&str> {
        match &self.mode {
            Mode::Package { package, .. } => Some(package),
            Mode::Target { package, .. } => package.as_deref(),
            Mode::Amount(_) => None,
        }
    }

    /// Refuses a rule that could never do what it is for. `offer` is what it would buy.
    pub fn check(&self, offer: &Offer<'_>) -> Result<(), Invalid> {
        check_text("customer", &self.customer, 128)?;
        self.method.as_deref().map_or(Ok(()), |method| check_text("payment_method", method, 128))?;
        let is_possible = Amount::MIN <= self.threshold && self.lowest_at_rest() <= Amount::MAX_BALANCE;
        if !is_possible {
            return Err(Invalid::new("threshold", "is higher than a balance can be"));
        }
        if self.cooldown_ms > COOLDOWN_MAX_MS {
            return Err(Invalid::new("cooldown_seconds", "must be 31 days at most"));
        }
        if self.priority.is_some_and(|priority| priority > MAX_PRIORITY) {
            return Err(Invalid::new("priority", "must be 0 to 100"));
        }
        if self.valid_for_ms == Some(0) {
            return Err(Invalid::new("valid_for_seconds", "must be above zero"));
        }
        self.check_mode(offer)?;
        self.check_limits(offer)
    }

    fn check_mode(&self, offer: &Offer<'_>) -> Result<(), Invalid> {
        match (&self.mode, offer.package) {
            (Mode::Package { .. } | Mode::Target { package: Some(_), .. }, None) => {
                return Err(Invalid::new("package", "is unknown"));
            }
            (_, Some(package)) if package.currency != self.currency => {
                return Err(Invalid::new("package", "is of another credit currency"));
            }
            (_, Some(package)) if package.archived => {
                return Err(Invalid::new("package", "is archived: it is sold no more"));
            }
            _ => {}
        }
        match &self.mode {
            Mode::Package { quantity: 0, .. } => Err(Invalid::new("quantity", "must be above zero")),
            Mode::Package { .. } => Ok(()),
            Mode::Amount(money) => match offer.worth {
                None => Err(Invalid::new("amount", "is for currencies that stand for money: name a package")),
                Some(worth) if worth.code() != money.code => {
                    Err(Invalid::new("amount", format!("must be in {}, which the credits stand for", worth.code())))
                }
                Some(_) if money.units <= 0 => Err(Invalid::new("amount", "must be greater than zero")),
                Some(_) => Ok(()),
            },
            Mode::Target { target, package } => {
                if package.is_none() && offer.worth.is_none() {
                    return Err(Invalid::new("package", "must be given: the currency does not stand for money"));
                }
                if *target > Amount::MAX_BALANCE {
                    return Err(Invalid::new("target", "is higher than a balance can be"));
                }
                // A rule that would fire again at once.
                if self.is_low(*target) {
                    return Err(Invalid::new("target", "must not be low by the rule's own threshold"));
                }
                Ok(())
            }
        }
    }

    fn check_limits(&self, offer: &Offer<'_>) -> Result<(), Invalid> {
        // The least that it ever buys: at the edge of being low.
        let edge = self.lowest_at_rest().checked_sub(Amount::ONE).unwrap_or(self.threshold);
        let least =
            offer.order(self, edge).map_err(|_| Invalid::new("amount", "would buy more than can be counted"))?;
        for (index, limit) in self.limits.iter().enumerate() {
            if self.limits[..index].iter().any(|before| before.per == limit.per) {
                return Err(Invalid::new("limits", format!("has two for one {}", limit.per.as_str())));
            }
            match (limit.count, limit.amount) {
                (None, None) => return Err(Invalid::new("limits", "each needs a count or an amount")),
                (Some(0), _) => {
                    return Err(Invalid::new("limits", "counts must be above zero; disable the rule instead"));
                }
                (_, Some(amount)) if amount.code != least.price.code => {
                    return Err(Invalid::new("limits", format!("must be in {}, which is paid in", least.price.code)));
                }
                (_, Some(amount)) if amount.units < least.price.units => {
                    return Err(Invalid::new("limits", "are lower than what a single top-up costs"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
