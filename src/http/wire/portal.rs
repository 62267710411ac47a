//! The portal: sessions and limits.

use super::fields::Fields;
use super::{amount, instant};
use crate::billing::portal::PortalLimits;
use crate::billing::{Money, MoneyCode};
use crate::engine::catalog::{CreditCurrency, CurrencyKind};
use crate::http::problem::Problem;
use crate::ledger::{Amount, Timestamp};
use serde::Serialize;

/// The pages that a link can lead to.
pub(crate) const PAGES: [&str; 6] = ["overview", "history", "buy", "cards", "automatic", "invoices"];

/// A session as it is asked for.
#[derive(Debug)]
pub(crate) struct SessionRequest {
    pub(crate) customer: String,
    pub(crate) return_url: Option<String>,
    pub(crate) currency: Option<String>,
    pub(crate) page: Option<&'static str>,
}

/// Reads what a session is asked for with.
pub(crate) fn session_request(fields: &Fields<'_, '_>) -> Result<SessionRequest, Problem> {
    let customer = fields.required_text("customer")?;
    if !(1..=128).contains(&customer.len()) {
        return Err(fields.refused("customer", "must have 1 to 128 bytes"));
    }
    let return_url = fields.text("return_url")?;
    if return_url.is_some_and(|url| !crate::http::api::payments::is_address(url)) {
        let detail = "must begin with https:// or http://, and have at most 2048 bytes";
        return Err(fields.refused("return_url", detail));
    }
    let known = |name: &str| PAGES.into_iter().find(|page| *page == name);
    let page = fields.choice("page", known, "must be overview, history, buy, cards, automatic or invoices")?;
    let currency = fields.text("currency")?.map(str::to_owned);
    if page.is_some() && currency.is_none() {
        return Err(fields.refused("currency", "the field is missing: a page is of a wallet"));
    }
    Ok(SessionRequest { customer: customer.to_owned(), return_url: return_url.map(str::to_owned), currency, page })
}

/// A session that was opened.
#[derive(Debug, Serialize)]
pub(crate) struct SessionBody {
    pub(crate) url: String,
    pub(crate) customer: String,
    pub(crate) expires_at: String,
}

impl SessionBody {
    pub(crate) fn new(url: String, customer: String, ends_s: u64) -> Self {
        let expires_at = instant(Timestamp::from_millis(ends_s.saturating_mul(1_000)));
        SessionBody { url, customer, expires_at }
    }
}

/// Limits as they are shown.
#[derive(Debug, Serialize)]
pub(crate) struct LimitsBody {
    currency: String,
    payment_currency: Option<String>,
    min_payment: Option<String>,
    max_payment: Option<String>,
    max_balance: Option<String>,
}

impl LimitsBody {
    pub(crate) fn of(currency: &CreditCurrency, limits: &PortalLimits) -> Self {
        let code = limits.min_payment.or(limits.max_payment).map(|money| money.code);
        let money = |money: Option<Money>| money.map(|money| money.to_string());
        LimitsBody {
            currency: currency.id.clone(),
            payment_currency: code.map(|code| code.as_str().to_owned()),
            min_payment: money(limits.min_payment),
            max_payment: money(limits.max_payment),
            max_balance: limits.max_balance.map(|max| amount(max, currency.scale)),
        }
    }
}

/// Reads limits; what is left out is not limited.
pub(crate) fn limits(fields: &Fields<'_, '_>, currency: &CreditCurrency) -> Result<PortalLimits, Problem> {
    let stands_for = match &currency.kind {
        CurrencyKind::Fiat(code) => Some(code.as_str()),
        CurrencyKind::Unit => None,
    };
    let named = fields.text("payment_currency")?.or(stands_for);
    let code = named.map(|code| MoneyCode::iso(code).ok_or(code)).transpose();
    let code = code.map_err(|_| fields.refused("payment_currency", "must be a code of ISO 4217"))?;
    let money = |name: &'static str| {
        let Some(decimal) = fields.decimal(name)? else { return Ok(None) };
        let missing = || fields.refused("payment_currency", "the field is missing: the credits do not stand for money");
        let money = Money::from_decimal(decimal, code.ok_or_else(missing)?);
        let money = money.map_err(|error| Problem::field(name, error.detail))?;
        if money.units <= 0 {
            return Err(fields.refused(name, "must be greater than zero"));
        }
        Ok(Some(money))
    };
    let max_balance = fields.decimal("max_balance")?.map(|max| {
        Amount::from_decimal(max, currency.scale).map_err(|error| Problem::field("max_balance", error.to_string()))
    });
    Ok(PortalLimits {
        min_payment: money("min_payment")?,
        max_payment: money("max_payment")?,
        max_balance: max_balance.transpose()?,
    })
}
