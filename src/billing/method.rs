//! Payment methods: what a provider keeps for a customer under a reference, and what may be shown of it.
//!
//! No number of a card ever comes here: a reference, a brand, the last four digits, the month it ends with, and the fingerprint by which a
//! provider tells that two references are the same card.

use super::{Invalid, check_text};
use crate::ledger::Timestamp;
use crate::ledger::calendar::days_from_civil;

const DAY_MS: u64 = 86_400_000;

/// The month that a card is good up to, the last one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardExpiry {
    year: u16,
    month: u8,
}

impl CardExpiry {
    /// A month, 1 to 12, of a year, 1970 to 9998.
    pub fn new(year: u16, month: u8) -> Option<CardExpiry> {
        ((1970..=9998).contains(&year) && (1..=12).contains(&month)).then_some(CardExpiry { year, month })
    }

    /// The year.
    pub const fn year(self) -> u16 {
        self.year
    }

    /// The month.
    pub const fn month(self) -> u8 {
        self.month
    }

    /// The first instant at which the card is over: the beginning of the next month in UTC.
    pub fn end(self) -> Timestamp {
        let (year, month) = if self.month == 12 { (self.year + 1, 1) } else { (self.year, self.month + 1) };
        let days = days_from_civil(year.into(), month.into(), 1);
        Timestamp::from_millis(days.max(0).cast_unsigned() * DAY_MS)
    }
}

/// Whether a method can be charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodStatus {
    /// It can.
    Active,
    /// Its month is over.
    Expired,
    /// It was taken away, for good.
    Detached,
}

impl MethodStatus {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            MethodStatus::Active => "active",
            MethodStatus::Expired => "expired",
            MethodStatus::Detached => "detached",
        }
    }
}

/// What a customer pays with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentMethod {
    /// Its id, 1 to 128 bytes.
    pub id: String,
    /// The customer.
    pub customer: String,
    /// Who keeps it.
    pub provider: String,
    /// The provider's name for it.
    pub reference: String,
    /// As in "visa".
    pub brand: Option<String>,
    /// The last four digits.
    pub last4: Option<String>,
    /// When it ends; what is no card has none.
    pub expiry: Option<CardExpiry>,
    /// What two references to one card have in common.
    pub fingerprint: Option<String>,
    /// Charged when no other is named.
    pub is_default: bool,
    /// It was taken away.
    pub detached: bool,
    /// When it was added.
    pub created_at: Timestamp,
}

impl PaymentMethod {
    /// Checks its texts.
    pub fn check(&self) -> Result<(), Invalid> {
        check_text("id", &self.id, 128)?;
        check_text("customer", &self.customer, 128)?;
        check_text("provider", &self.provider, 64)?;
        check_text("reference", &self.reference, 255)?;
        for (field, text, max) in [("brand", &self.brand, 32), ("fingerprint", &self.fingerprint, 128)] {
            text.as_deref().map_or(Ok(()), |text| check_text(field, text, max))?;
        }
        match &self.last4 {
            Some(last4) if last4.len() != 4 || !last4.bytes().all(|byte| byte.is_ascii_digit()) => {
                Err(Invalid::new("last4", "must be four digits"))
            }
            _ => Ok(()),
        }
    }

    /// Whether it can be charged at `now`. A card whose month is over may be renewed by its bank under the same reference, so what is
    /// expired is not charged by itself, and is not gone.
    pub fn status(&self, now: Timestamp) -> MethodStatus {
        match self.expiry {
            _ if self.detached => MethodStatus::Detached,
            Some(expiry) if expiry.end() <= now => MethodStatus::Expired,
            _ => MethodStatus::Active,
        }
    }

    /// What tells this card from others: its fingerprint, or its provider and reference where there is none.
    pub fn identity(&self) -> String {
        match &self.fingerprint {
            Some(fingerprint) => format!("{}:fp:{fingerprint}", self.provider),
            None => format!("{}:ref:{}", self.provider, self.reference),
        }
    }
}

/// The method that is charged when none is named: the default one if it can be, else the newest that can.
pub fn to_charge<'a>(
    methods: impl IntoIterator<Item = &'a PaymentMethod>,
    now: Timestamp,
) -> Option<&'a PaymentMethod> {
    methods
        .into_iter()
        .filter(|method| method.status(now) == MethodStatus::Active)
        .max_by_key(|method| (method.is_default, method.created_at, &method.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(id: &str) -> PaymentMethod {
        PaymentMethod {
            id: id.to_owned(),
            customer: "cus_1".to_owned(),
            provider: "simulated".to_owned(),
            reference: "card_1".to_owned(),
            brand: Some("visa".to_owned()),
            last4: Some("4242".to_owned()),
            expiry: CardExpiry::new(2026, 12),
            fingerprint: Some("fp1".to_owned()),
            is_default: false,
            detached: false,
            created_at: Timestamp::EPOCH,
        }
    }

    fn at(year: u32, month: u32) -> Timestamp {
        Timestamp::from_millis(days_from_civil(year, month, 1).cast_unsigned() * DAY_MS)
    }

    #[test]
    fn a_card_is_good_to_the_last_millisecond_of_its_month() {
        let card = method("pm");
        let end = at(2027, 1);
        assert_eq!(card.status(Timestamp::from_millis(end.millis() - 1)), MethodStatus::Active);
        assert_eq!(card.status(end), MethodStatus::Expired);
        assert_eq!(PaymentMethod { detached: true, ..card.clone() }.status(end), MethodStatus::Detached);
        assert_eq!(PaymentMethod { expiry: None, ..card }.status(end), MethodStatus::Active);
        assert_eq!(CardExpiry::new(2026, 2).map(CardExpiry::end), Some(at(2026, 3)));
        assert_eq!((CardExpiry::new(2026, 0), CardExpiry::new(2026, 13), CardExpiry::new(1969, 1)), (None, None, None));
    }

    #[test]
    fn the_default_is_charged_if_it_can_be_and_else_the_newest() {
        let now = at(2026, 11);
        let newer = PaymentMethod { created_at: at(2026, 10), ..method("b") };
        let default = PaymentMethod { is_default: true, ..method("a") };
        let detached = PaymentMethod { detached: true, created_at: at(2026, 11), ..method("c") };
        let id = |methods: &[PaymentMethod]| to_charge(methods, now).map(|method| method.id.clone());
        assert_eq!(id(&[default.clone(), newer.clone(), detached.clone()]).as_deref(), Some("a"));
        let expired = PaymentMethod { expiry: CardExpiry::new(2026, 10), ..default };
        assert_eq!(id(&[expired, newer, detached.clone()]).as_deref(), Some("b"));
        assert_eq!(id(&[detached]), None);
    }

    #[test]
    fn one_card_has_one_identity() {
        let again = PaymentMethod { reference: "card_2".to_owned(), ..method("b") };
        assert_eq!(method("a").identity(), again.identity());
        let plain =
            |reference: &str| PaymentMethod { fingerprint: None, reference: reference.to_owned(), ..method("a") };
        assert_ne!(plain("fp1").identity(), method("a").identity());
        assert_ne!(plain("card_1").identity(), plain("card_2").identity());
    }

    #[test]
    fn texts_are_checked() {
        assert_eq!(method("pm").check(), Ok(()));
        let field = |method: PaymentMethod| method.check().expect_err("it is wrong").field;
        assert_eq!(field(method("")), "id");
        assert_eq!(field(PaymentMethod { last4: Some("42a2".to_owned()), ..method("pm") }), "last4");
        assert_eq!(field(PaymentMethod { brand: Some(String::new()), ..method("pm") }), "brand");
        assert_eq!(field(PaymentMethod { reference: "x".repeat(256), ..method("pm") }), "reference");
    }
}
