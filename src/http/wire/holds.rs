//! Holds: requests to make and capture them, and holds as they are shown.

use super::fields::Fields;
use super::{Credits, Instant};
use crate::engine::holds::{Captured, HoldCursor, HoldEnd, HoldOwners, HoldState, HoldView, Standing};
use crate::http::problem::Problem;
use crate::ledger::{Decimal, HoldId, OnExceed, Scale, Timestamp};
use drawdown_wal::Lsn;
use serde::Serialize;
use std::borrow::Cow;

/// A hold to be made, as a client asks for it.
#[derive(Debug)]
pub(crate) struct HoldAsked {
    pub(crate) id: Option<String>,
    pub(crate) customer: String,
    pub(crate) currency: Option<String>,
    pub(crate) amount: Decimal,
    pub(crate) ttl_ms: Option<u64>,
    pub(crate) on_exceed: OnExceed,
}

/// A capture to be made, as a client asks for it.
#[derive(Debug)]
pub(crate) struct CaptureAsked {
    /// Only where the path does not say it.
    pub(crate) hold: Option<String>,
    pub(crate) amount: Decimal,
    pub(crate) is_final: bool,
}

/// A hold as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct HoldBody<'a> {
    id: Cow<'a, str>,
    customer: Cow<'a, str>,
    currency: Cow<'a, str>,
    amount: Credits,
    captured: Credits,
    remaining: Credits,
    released: Credits,
    status: &'static str,
    on_exceed: &'static str,
    expires_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<Credits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<Credits>,
}

impl HoldBody<'static> {
    pub(crate) fn of(hold: HoldView) -> Self {
        let scale = hold.currency.scale;
        let names = [hold.text, hold.customer, hold.currency.id.clone()].map(Cow::Owned);
        HoldBody { created_at: Some(Instant(hold.created_at)), ..HoldBody::new(names, &hold.state, scale) }
    }
}

impl<'a> HoldBody<'a> {
    /// A hold whose declaration need not be read, with its wallet behind it.
    pub(crate) fn standing(
        owners: &'a HoldOwners<'_>,
        text: Cow<'a, str>,
        state: &HoldState,
        standing: Standing,
    ) -> Self {
        let (customer, currency) = owners.owner(state).unwrap_or_default();
        let names = [text, Cow::Borrowed(customer), Cow::Borrowed(currency)];
        HoldBody {
            balance: Some(Credits(standing.balance, standing.scale)),
            available: Some(Credits(standing.available, standing.scale)),
            ..HoldBody::new(names, state, standing.scale)
        }
    }

    fn new([id, customer, currency]: [Cow<'a, str>; 3], state: &HoldState, scale: Scale) -> Self {
        HoldBody {
            id,
            customer,
            currency,
            amount: Credits(state.amount, scale),
            captured: Credits(state.captured, scale),
            remaining: Credits(state.remaining, scale),
            released: Credits(state.released, scale),
            status: state.status.as_str(),
            on_exceed: state.on_exceed.as_str(),
            expires_at: Instant(state.expires_at),
            created_at: None,
            balance: None,
            available: None,
        }
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

/// What a capture took.
#[derive(Debug, Serialize)]
pub(crate) struct CaptureBody<'a> {
    hold: HoldBody<'a>,
    amount: Credits,
    shortfall: Credits,
    overdraft: Credits,
    late: bool,
    entry: Option<u64>,
}

impl<'a> CaptureBody<'a> {
    pub(crate) fn of(owners: &'a HoldOwners<'_>, text: &'a str, captured: &Captured) -> Self {
        let scale = captured.standing.scale;
        CaptureBody {
            hold: HoldBody::standing(owners, Cow::Borrowed(text), &captured.state, captured.standing),
            amount: Credits(captured.amount, scale),
            shortfall: Credits(captured.shortfall, scale),
            overdraft: Credits(captured.overdraft, scale),
            late: captured.is_late,
            entry: captured.entry.map(Lsn::get),
        }
    }
}

/// What became of one hold of several.
#[derive(Debug, Serialize)]
pub(crate) struct HoldResult<'a> {
    /// `created`, `replayed` or `rejected`.
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hold: Option<HoldBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<serde_json::Value>,
}

/// What became of one capture of several.
#[derive(Debug, Serialize)]
pub(crate) struct CaptureResult<'a> {
    /// `captured` or `rejected`.
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capture: Option<CaptureBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<serde_json::Value>,
}

/// Reads one hold.
pub(crate) fn hold(fields: &Fields<'_, '_>) -> Result<HoldAsked, Problem> {
    let ttl = fields.integer("ttl_seconds", 1..=86_400)?;
    let on_exceed = fields.choice("on_exceed", OnExceed::parse, "must be reject, cap or overdraw")?;
    Ok(HoldAsked {
        id: fields.text("id")?.map(str::to_owned),
        customer: fields.required_text("customer")?.to_owned(),
        currency: fields.text("currency")?.map(str::to_owned),
        amount: fields.required_decimal("amount")?,
        ttl_ms: ttl.map(|seconds| seconds.cast_unsigned() * 1000),
        on_exceed: on_exceed.unwrap_or_default(),
    })
}

/// Reads one capture; `named` where the body has to say of which hold.
pub(crate) fn capture(fields: &Fields<'_, '_>, named: bool) -> Result<CaptureAsked, Problem> {
    Ok(CaptureAsked {
        hold: if named { Some(fields.required_text("hold")?.to_owned()) } else { None },
        amount: fields.required_decimal("amount")?,
        is_final: fields.flag("final")?.unwrap_or(false),
    })
}

/// Reads a hold's new end: an instant, or so long from now.
pub(crate) fn extension(fields: &Fields<'_, '_>) -> Result<HoldEnd, Problem> {
    // A month is more than any hold can last.
    let ttl = fields.integer("ttl_seconds", 1..=34 * 86_400)?;
    match (fields.time("expires_at")?, ttl) {
        (Some(_), Some(_)) => Err(fields.refused("ttl_seconds", "give either this or expires_at, not both")),
        (Some(expires_at), None) => Ok(HoldEnd::At(expires_at)),
        (None, Some(seconds)) => Ok(HoldEnd::In(seconds.cast_unsigned() * 1000)),
        (None, None) => Err(fields.refused("expires_at", "the field is missing: a time, or ttl_seconds from now")),
    }
}

/// Where the next page of a list of holds begins, as text.
pub(crate) fn cursor_text(cursor: HoldCursor) -> String {
    format!("{}-{}-{}", cursor.currency, cursor.expires_at.millis(), cursor.id.get())
}

/// The inverse of [`cursor_text`].
pub(crate) fn cursor(text: &str) -> Option<HoldCursor> {
    let mut parts = text.split('-');
    let mut number = || parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let cursor = HoldCursor {
        currency: number()?.parse().ok()?,
        expires_at: Timestamp::from_millis(number()?.parse().ok()?),
        id: HoldId::new(number()?.parse().ok()?),
    };
    parts.next().is_none().then_some(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back() {
        let at = HoldCursor { currency: 3, expires_at: Timestamp::from_millis(1_800_000_000_000), id: HoldId::new(7) };
        assert_eq!(cursor(&cursor_text(at)), Some(at));
        for text in ["", "1", "1-2", "1-2-3-4", "1-2-x", "-1-2-3", "70000-2-3", "1-+2-3", "1--3"] {
            assert_eq!(cursor(text), None, "{text}");
        }
    }
}
