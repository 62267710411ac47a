//! Credit packages: so many credits for a price.

use super::money::{Money, MoneyCode, Worth};
use super::{Invalid, check_text};
use crate::catalog::{CreditCurrency, CurrencyNumber, Metadata};
use crate::ledger::{Amount, Decimal, MAX_PRIORITY};

/// The priority of bought credits that names none: behind plans and gifts.
pub const DEFAULT_PRIORITY: u8 = 50;

/// Something that a customer can buy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditPackage {
    /// Its id, 1 to 64 bytes.
    pub id: String,
    /// Name for people; it stands on invoices.
    pub name: String,
    /// Of which currency its credits are.
    pub currency: CurrencyNumber,
    /// Credits that are paid for.
    pub credits: Amount,
    /// Credits on top. They are granted with the others, in one grant, at the price of the whole.
    pub bonus: Amount,
    /// What it costs.
    pub price: Money,
    /// How long its credits last from their purchase on, ms; for ever without it.
    pub valid_for_ms: Option<u64>,
    /// 0 is spent first.
    pub priority: u8,
    /// How many a customer may buy in all, counted in purchases that did not fail.
    pub max_per_customer: Option<u32>,
    /// It is sold no more.
    pub archived: bool,
    /// The caller's own data.
    pub metadata: Metadata,
}

/// A package as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageSpec {
    /// Its id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// In credits.
    pub credits: Decimal,
    /// In credits; none is none.
    pub bonus: Option<Decimal>,
    /// What it costs, in whole units of money.
    pub price: Decimal,
    /// ISO 4217 code of the price.
    pub price_currency: String,
    /// How long its credits last, ms.
    pub valid_for_ms: Option<u64>,
    /// `None` is [`DEFAULT_PRIORITY`].
    pub priority: Option<u8>,
    /// How many a customer may buy in all.
    pub max_per_customer: Option<u32>,
    /// Whether it is sold no more.
    pub archived: bool,
    /// The caller's own data.
    pub metadata: Metadata,
}

impl CreditPackage {
    /// Checks a package.
    pub fn new(spec: &PackageSpec, currency: &CreditCurrency) -> Result<CreditPackage, Invalid> {
        check_text("id", &spec.id, 64)?;
        check_text("name", &spec.name, 128)?;
        let credits = credits_of("credits", spec.credits, currency)?;
        if credits <= Amount::ZERO {
            return Err(Invalid::new("credits", "must be greater than zero"));
        }
        let bonus = spec.bonus.map_or(Ok(Amount::ZERO), |bonus| credits_of("bonus", bonus, currency))?;
        if bonus < Amount::ZERO {
            return Err(Invalid::new("bonus", "must not be negative"));
        }
        if credits.checked_add(bonus).is_none_or(|sum| sum > Amount::MAX_BALANCE) {
            return Err(Invalid::new("bonus", "is too large"));
        }
        let code = MoneyCode::iso(&spec.price_currency)
            .ok_or_else(|| Invalid::new("price.currency", "must be a code of ISO 4217"))?;
        let price =
            Money::from_decimal(spec.price, code).map_err(|error| Invalid::new("price.amount", error.detail))?;
        if price.units <= 0 {
            return Err(Invalid::new("price.amount", "must be greater than zero"));
        }
        if let Some(worth) = Worth::of_fiat(currency)
            && worth.code() != code
        {
            return Err(Invalid::new(
                "price.currency",
                format!("must be {}, which the credits stand for", worth.code()),
            ));
        }
        if spec.valid_for_ms == Some(0) {
            return Err(Invalid::new("valid_for_seconds", "must be above zero"));
        }
        let priority = spec.priority.unwrap_or(DEFAULT_PRIORITY);
        if priority > MAX_PRIORITY {
            return Err(Invalid::new("priority", "must be 0 to 100"));
        }
        if spec.max_per_customer == Some(0) {
            return Err(Invalid::new("max_per_customer", "must be above zero; archive what is not to be sold"));
        }
        Ok(CreditPackage {
            id: spec.id.clone(),
            name: spec.name.clone(),
            currency: currency.number,
            credits,
            bonus,
            price,
            valid_for_ms: spec.valid_for_ms,
            priority,
            max_per_customer: spec.max_per_customer,
            archived: spec.archived,
            metadata: spec.metadata.clone(),
        })
    }

    /// All the credits that it gives.
    pub fn total(&self) -> Amount {
        self.credits.checked_add(self.bonus).expect("checked when it was made")
    }

    /// Whether a customer that has bought so many may buy `quantity` more.
    pub fn may_buy(&self, bought: u64, quantity: u32) -> bool {
        self.max_per_customer.is_none_or(|max| bought.saturating_add(quantity.into()) <= max.into())
    }
}

fn credits_of(field: &'static str, decimal: Decimal, currency: &CreditCurrency) -> Result<Amount, Invalid> {
    Amount::from_decimal(decimal, currency.scale).map_err(|error| Invalid::new(field, error.to_string()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{credit_currency, fiat};
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text.as_bytes()).expect(text)
    }

    fn spec() -> PackageSpec {
        PackageSpec {
            id: "starter".to_owned(),
            name: "Starter".to_owned(),
            credits: decimal("1000"),
            bonus: Some(decimal("50.5")),
            price: decimal("9.99"),
            price_currency: "EUR".to_owned(),
            valid_for_ms: Some(1_000),
            priority: None,
            max_per_customer: Some(3),
            archived: false,
            metadata: Metadata::new(),
        }
    }

    /// A package of so many credits of scale 0, for so many cents.
    pub(in crate::billing) fn package(credits: i64, cents: i64) -> CreditPackage {
        let spec = PackageSpec {
            credits: Decimal::from_integer(credits),
            bonus: None,
            price: Decimal::from_parts(cents, 2).expect("cents"),
            max_per_customer: None,
            ..spec()
        };
        CreditPackage::new(&spec, &credit_currency(0)).expect("a package")
    }

    #[test]
    fn a_package_has_its_defaults() {
        let package = CreditPackage::new(&spec(), &credit_currency(1)).expect("a package");
        assert_eq!((package.credits, package.bonus), (Amount::new(10_000), Amount::new(505)));
        assert_eq!((package.total(), package.priority, package.price.units), (Amount::new(10_505), 50, 999));
        assert!(package.may_buy(2, 1) && !package.may_buy(2, 2) && !package.may_buy(u64::MAX, 1));
        assert!(CreditPackage { max_per_customer: None, ..package }.may_buy(u64::MAX, u32::MAX));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        type Spoil = fn(&mut PackageSpec);
        let cases: [(&str, Spoil); 14] = [
            ("id", |spec| spec.id.clear()),
            ("id", |spec| spec.id = "x".repeat(65)),
            ("name", |spec| spec.name.clear()),
            ("credits", |spec| spec.credits = Decimal::ZERO),
            ("credits", |spec| spec.credits = decimal("0.01")),
            ("bonus", |spec| spec.bonus = Some(decimal("-1"))),
            ("bonus", |spec| spec.bonus = Some(decimal("922337203685477580"))),
            ("price.currency", |spec| spec.price_currency = "EURO".to_owned()),
            ("price.amount", |spec| spec.price = Decimal::ZERO),
            ("price.amount", |spec| spec.price = decimal("0.001")),
            ("valid_for_seconds", |spec| spec.valid_for_ms = Some(0)),
            ("priority", |spec| spec.priority = Some(101)),
            ("max_per_customer", |spec| spec.max_per_customer = Some(0)),
            ("price.amount", |spec| spec.price = decimal("-1")),
        ];
        for (field, spoil) in cases {
            let mut spec = spec();
            spoil(&mut spec);
            assert_eq!(CreditPackage::new(&spec, &credit_currency(1)).expect_err(field).field, field);
        }
    }

    #[test]
    fn a_package_of_fiat_credits_is_sold_in_their_own_money() {
        assert!(CreditPackage::new(&spec(), &fiat("EUR", 1)).is_ok());
        assert_eq!(CreditPackage::new(&spec(), &fiat("USD", 1)).expect_err("other money").field, "price.currency");
    }
}
