//! The answer to a batch of events, written straight into a buffer: ten thousand results are a matter of a millisecond.

use crate::engine::{EventOutcome, EventStatus, UsageEvent};
use std::io::Write;

/// How a batch fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) applied: usize,
    pub(crate) duplicate: usize,
    pub(crate) rejected: usize,
}

impl Tally {
    pub(crate) fn of(outcomes: &[EventOutcome]) -> Tally {
        let mut tally = Tally::default();
        for outcome in outcomes {
            match outcome.status {
                EventStatus::Applied => tally.applied += 1,
                EventStatus::Duplicate => tally.duplicate += 1,
                EventStatus::Rejected(_) => tally.rejected += 1,
            }
        }
        tally
    }
}

/// Bytes that one result takes, more or less.
const RESULT_BYTES: usize = 160;

/// Writes `{applied, duplicate, rejected, results}`. A minimal answer leaves the applied events out and numbers the others.
pub(crate) fn write(events: &[UsageEvent<'_>], outcomes: &[EventOutcome], minimal: bool) -> Vec<u8> {
    let tally = Tally::of(outcomes);
    let shown = if minimal { outcomes.len() - tally.applied } else { outcomes.len() };
    let mut out = Vec::with_capacity(80 + shown * RESULT_BYTES);
    out.extend_from_slice(b"{\"applied\":");
    integer(&mut out, tally.applied as u64);
    out.extend_from_slice(b",\"duplicate\":");
    integer(&mut out, tally.duplicate as u64);
    out.extend_from_slice(b",\"rejected\":");
    integer(&mut out, tally.rejected as u64);
    out.extend_from_slice(b",\"results\":[");
    let mut first = true;
    for (index, (event, outcome)) in events.iter().zip(outcomes).enumerate() {
        if minimal && outcome.status == EventStatus::Applied {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        result(&mut out, event.id, outcome, minimal.then_some(index));
    }
    out.extend_from_slice(b"]}");
    out
}

fn result(out: &mut Vec<u8>, id: &str, outcome: &EventOutcome, index: Option<usize>) {
    out.extend_from_slice(b"{\"id\":");
    text(out, id);
    if let Some(index) = index {
        out.extend_from_slice(b",\"index\":");
        integer(out, index as u64);
    }
    match &outcome.status {
        EventStatus::Applied => out.extend_from_slice(b",\"status\":\"applied\""),
        EventStatus::Duplicate => out.extend_from_slice(b",\"status\":\"duplicate\""),
        EventStatus::Rejected(rejection) => {
            out.extend_from_slice(b",\"status\":\"rejected\",\"reason\":\"");
            out.extend_from_slice(rejection.slug().as_bytes());
            out.push(b'"');
            if let Some(field) = crate::http::problem::rejected_field(rejection) {
                out.extend_from_slice(b",\"field\":\"");
                out.extend_from_slice(field.as_bytes());
                out.push(b'"');
            }
        }
    }
    out.extend_from_slice(b",\"amount\":\"");
    outcome.amount.write_decimal(outcome.scale, out);
    if outcome.shortfall.units() != 0 {
        out.extend_from_slice(b"\",\"shortfall\":\"");
        outcome.shortfall.write_decimal(outcome.scale, out);
    }
    out.extend_from_slice(b"\",\"balance\":\"");
    outcome.balance.write_decimal(outcome.scale, out);
    out.extend_from_slice(b"\",\"available\":\"");
    outcome.available.write_decimal(outcome.scale, out);
    out.extend_from_slice(b"\",\"entry\":");
    match outcome.entry {
        Some(entry) => integer(out, entry.get()),
        None => out.extend_from_slice(b"null"),
    }
    if !outcome.crossed.is_empty() {
        out.extend_from_slice(b",\"crossed\":[");
        for (place, name) in outcome.crossed.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            text(out, name);
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn integer(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes a JSON string. Most ids need no escape, and are copied whole.
fn text(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    let needs_escape = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let mut rest = value.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| needs_escape(byte)) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            // Writing to a Vec cannot fail.
            byte => drop(write!(out, "\\u{byte:04x}")),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Charge;
    use crate::ledger::{Amount, Decimal, Rejection, Scale};
    use drawdown_wal::Lsn;

    fn event(id: &str) -> UsageEvent<'_> {
        let charge = Charge::Amount { currency: None, amount: Ok(Decimal::from_integer(1)) };
        UsageEvent { id, source: "", customer: "c", charge, time: None, policy: None }
    }

    fn outcome(status: EventStatus, crossed: &[&str]) -> EventOutcome {
        let entry = (status == EventStatus::Applied).then_some(Lsn::new(640));
        EventOutcome {
            status,
            amount: Amount::new(350),
            shortfall: Amount::ZERO,
            balance: Amount::new(-50),
            available: Amount::ZERO,
            scale: Scale::new(2).expect("nine at most"),
            entry,
            crossed: crossed.iter().map(|&name| name.into()).collect(),
        }
    }

    #[test]
    fn results_are_json_in_the_order_sent() {
        let events = [event("a\"\n\\é"), event("b"), event("c")];
        let rejection = Rejection::InsufficientCredit { available: Amount::ZERO, required: Amount::new(350) };
        let outcomes = [
            outcome(EventStatus::Applied, &["low", "depleted"]),
            outcome(EventStatus::Duplicate, &[]),
            outcome(EventStatus::Rejected(rejection), &[]),
        ];
        let full = write(&events, &outcomes, false);
        let value: serde_json::Value = serde_json::from_slice(&full).expect("is JSON");
        assert_eq!(
            value,
            serde_json::json!({"applied": 1, "duplicate": 1, "rejected": 1, "results": [
                {"id": "a\"\n\\é", "status": "applied", "amount": "3.5", "balance": "-0.5", "available": "0", "entry": 640,
                 "crossed": ["low", "depleted"]},
                {"id": "b", "status": "duplicate", "amount": "3.5", "balance": "-0.5", "available": "0", "entry": null},
                {"id": "c", "status": "rejected", "reason": "insufficient_credit", "field": "amount", "amount": "3.5",
                 "balance": "-0.5", "available": "0", "entry": null},
            ]})
        );
        let minimal: serde_json::Value = serde_json::from_slice(&write(&events, &outcomes, true)).expect("is JSON");
        let indexes: Vec<_> =
            minimal["results"].as_array().expect("a list").iter().map(|result| &result["index"]).collect();
        assert_eq!(indexes, [1, 2]);
    }
}
