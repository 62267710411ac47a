//! Deposit forms: what is to be paid in, where to, and where the payer goes afterwards, kept once for many deposits.

use super::{Invalid, check_text};
use crate::catalog::{CurrencyNumber, Metadata};

/// Currencies of one form at the most.
pub const ACCEPTED_MAX: usize = 64;

/// A form by which customers pay in money, or coins, of any amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepositForm {
    /// Its id, 1 to 64 bytes.
    pub id: String,
    /// What the payer reads.
    pub title: String,
    /// What may be paid in: each coin or money is a credit currency of its own.
    pub accepts: Vec<Accepted>,
    /// Where the payer goes afterwards, where a deposit does not say otherwise.
    pub return_url: Option<String>,
    /// How long a deposit is waited for, ms, where it does not say otherwise.
    pub expiry_ms: Option<u64>,
    /// No new deposits are made by it.
    pub archived: bool,
    /// The caller's own data.
    pub metadata: Metadata,
}

/// A currency that a form takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The currency.
    pub currency: CurrencyNumber,
    /// Where it is to be sent.
    pub address: Option<String>,
}

impl DepositForm {
    /// Refuses a form by which nothing could be paid in.
    pub fn check(&self) -> Result<(), Invalid> {
        check_text("id", &self.id, 64)?;
        check_text("title", &self.title, 128)?;
        if !(1..=ACCEPTED_MAX).contains(&self.accepts.len()) {
            return Err(Invalid::new("accepts", format!("must have 1 to {ACCEPTED_MAX} currencies")));
        }
        for (index, accepted) in self.accepts.iter().enumerate() {
            if self.accepts[..index].iter().any(|before| before.currency == accepted.currency) {
                return Err(Invalid::new("accepts.currency", "stands there twice"));
            }
            accepted.address.as_deref().map_or(Ok(()), |address| check_text("accepts.address", address, 255))?;
        }
        check_url("return_url", self.return_url.as_deref())
    }

    /// What it says of a currency, if it takes it.
    pub fn accepted(&self, currency: CurrencyNumber) -> Option<&Accepted> {
        self.accepts.iter().find(|accepted| accepted.currency == currency)
    }
}

/// Refuses what is no address of a page.
pub(super) fn check_url(field: &'static str, url: Option<&str>) -> Result<(), Invalid> {
    let Some(url) = url else { return Ok(()) };
    check_text(field, url, 2_048)?;
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(Invalid::new(field, "must begin with https:// or http://"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> DepositForm {
        let address = |address: &str| Some(address.to_owned());
        DepositForm {
            id: "shop".to_owned(),
            title: "Pay in".to_owned(),
            accepts: vec![
                Accepted { currency: CurrencyNumber(1), address: address("bc1q") },
                Accepted { currency: CurrencyNumber(2), address: None },
            ],
            return_url: Some("https://shop.example/back".to_owned()),
            expiry_ms: None,
            archived: false,
            metadata: Metadata::new(),
        }
    }

    #[track_caller]
    fn check_refused(field: &str, change: impl Fn(&mut DepositForm)) {
        let mut form = form();
        change(&mut form);
        assert_eq!(form.check().expect_err(field).field, field);
    }

    #[test]
    fn a_form_takes_what_it_names_and_nothing_else() {
        assert_eq!(form().check(), Ok(()));
        assert_eq!(form().accepted(CurrencyNumber(1)).and_then(|one| one.address.clone()), Some("bc1q".to_owned()));
        assert_eq!(form().accepted(CurrencyNumber(3)), None);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        check_refused("id", |form| form.id.clear());
        check_refused("title", |form| form.title = "t".repeat(129));
        check_refused("accepts", |form| form.accepts.clear());
        check_refused("accepts.currency", |form| form.accepts[1].currency = CurrencyNumber(1));
        check_refused("accepts.address", |form| form.accepts[0].address = Some(String::new()));
        check_refused("return_url", |form| form.return_url = Some("javascript:alert(1)".to_owned()));
    }
}
