//! What requests and answers look like as JSON, written by hand on this side and on the engine's, so that a rule can change without
//! changing bytes, and bytes without changing a rule.
//!
//! Amounts are decimal text in credits, times RFC 3339 in UTC, entry numbers and positions plain numbers, absent things `null`.

pub(crate) mod alerts;
pub(crate) mod billing;
pub(crate) mod catalog;
pub(crate) mod corrections;
pub(crate) mod customers;
pub(crate) mod deposits;
pub(crate) mod events;
pub(crate) mod feed;
pub(crate) mod fields;
pub(crate) mod grants;
pub(crate) mod holds;
pub(crate) mod keys;
pub(crate) mod portal;
pub(crate) mod query;
pub(crate) mod recurring;
pub(crate) mod reports;
pub(crate) mod rules;
pub(crate) mod transfers;
pub(crate) mod wallets;
pub(crate) mod webhooks;

use super::decode::time;
use crate::ledger::{Amount, Scale, Timestamp};
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

/// An amount as text in credits.
pub(crate) fn amount(amount: Amount, scale: Scale) -> String {
    amount.display(scale).to_string()
}

/// An amount that is shown as text in credits where it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credits(pub(crate) Amount, pub(crate) Scale);

impl Serialize for Credits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.display(self.1))
    }
}

/// An instant that is shown as text where it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant(pub(crate) Timestamp);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(time::text(&time::bytes(self.0)))
    }
}

/// A sum of amounts as text in credits; it may exceed what one amount can hold. Exact: at most 2^32 wallets of 63 bits each fit in the
/// 96 bits of a decimal.
pub(crate) fn sum(units: i128, scale: Scale) -> String {
    let sum = Decimal::try_from_i128_with_scale(units, scale.places().into());
    sum.expect("the sum of all wallets has at most 95 bits").normalize().to_string()
}

/// A decimal `mantissa / 10^places` as text, however large: no trailing zeros and no exponent.
pub(crate) fn wide(mantissa: i128, places: u8) -> String {
    let digits = format!("{:0>width$}", mantissa.unsigned_abs(), width = usize::from(places) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(places));
    let fraction = fraction.trim_end_matches('0');
    let sign = if mantissa < 0 { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

/// An instant as text.
pub(crate) fn instant(instant: Timestamp) -> String {
    time::format(instant)
}

/// A list: a page, and where the next one begins.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    pub(crate) data: Vec<T>,
    pub(crate) next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page out of all items, which are in ascending order of `key`; the cursor is the last key shown.
    pub(crate) fn of<S>(all: Vec<S>, list: &query::List, key: impl Fn(&S) -> &str, show: impl Fn(&S) -> T) -> Page<T> {
        let behind = |item: &S| list.cursor.as_deref().is_none_or(|cursor| key(item) > cursor);
        let mut rest: Vec<S> = all.into_iter().filter(behind).collect();
        rest.sort_by(|a, b| key(a).cmp(key(b)));
        let more = rest.len() > list.limit;
        rest.truncate(list.limit);
        let next_cursor = if more { rest.last().map(|last| key(last).to_owned()) } else { None };
        Page { data: rest.iter().map(show).collect(), next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_shown_like_amounts() {
        let scale = |places| Scale::new(places).expect("nine at most");
        for (units, places, expected) in [
            (0, 0, "0"),
            (0, 2, "0"),
            (5, 2, "0.05"),
            (-5, 2, "-0.05"),
            (1250, 3, "1.25"),
            (-1200, 2, "-12"),
            (7, 0, "7"),
        ] {
            assert_eq!(sum(units, scale(places)), expected);
            assert_eq!(amount(Amount::new(units as i64), scale(places)), expected);
        }
        assert_eq!(sum(i128::from(i64::MAX) * 10, scale(1)), "9223372036854775807");
    }

    #[test]
    fn wide_decimals_are_shown_like_amounts() {
        for (mantissa, places, expected) in [
            (0, 0, "0"),
            (0, 18, "0"),
            (5, 2, "0.05"),
            (-5, 2, "-0.05"),
            (1250, 3, "1.25"),
            (-1200, 2, "-12"),
            (i128::MAX, 18, "170141183460469231731.687303715884105727"),
            (i128::MIN, 0, "-170141183460469231731687303715884105728"),
        ] {
            assert_eq!(wide(mantissa, places), expected);
        }
    }
}
