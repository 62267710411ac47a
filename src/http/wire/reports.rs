//! Statements, past balances, usage and holders.

use super::{amount, instant, sum, wide};
use crate::engine::Engine;
use crate::engine::reports::{Holder, LineKind, PastBalance, QuantitySum, Statement, StatementLine, UsageBucket};
use crate::engine::view::Entry;
use crate::http::csv::Csv;
use crate::ledger::Scale;
use serde::Serialize;
use std::collections::BTreeMap;

/// A sum of quantities as text; `None` if it is larger than can be told.
fn quantity(quantity: &QuantitySum) -> Option<String> {
    quantity.parts().map(|(mantissa, scale)| wide(mantissa, scale))
}

/// A statement.
#[derive(Debug, Serialize)]
pub(crate) struct StatementBody {
    customer: String,
    currency: String,
    from: String,
    to: String,
    as_of: String,
    opening: String,
    closing: String,
    totals: BTreeMap<&'static str, String>,
    lines: Vec<LineBody>,
    debt: DebtBody,
}

/// A line of a statement.
#[derive(Debug, Serialize)]
struct LineBody {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<String>,
    amount: String,
    count: u64,
}

#[derive(Debug, Serialize)]
struct DebtBody {
    incurred: String,
    repaid: String,
}

impl LineBody {
    fn of(line: &StatementLine, scale: Scale) -> Self {
        LineBody {
            kind: line.kind.as_str(),
            source: line.grant.map(|(source, _)| source.as_str()),
            category: line.grant.map(|(_, category)| category.as_str()),
            meter: line.meter.clone(),
            quantity: line.quantity.as_ref().and_then(quantity),
            amount: sum(line.amount, scale),
            count: line.count,
        }
    }
}

impl StatementBody {
    pub(crate) fn of(customer: &str, statement: &Statement) -> Self {
        let scale = statement.currency.scale;
        let total = |kind: LineKind| {
            let lines = statement.lines.iter().filter(|line| line.kind == kind);
            (kind.as_str(), sum(lines.map(|line| line.amount).sum(), scale))
        };
        StatementBody {
            customer: customer.to_owned(),
            currency: statement.currency.id.clone(),
            from: instant(statement.from),
            to: instant(statement.to),
            as_of: instant(statement.as_of),
            opening: amount(statement.opening, scale),
            closing: amount(statement.closing, scale),
            totals: LineKind::ALL.into_iter().map(total).collect(),
            lines: statement.lines.iter().map(|line| LineBody::of(line, scale)).collect(),
            debt: DebtBody { incurred: sum(statement.debt.incurred, scale), repaid: sum(statement.debt.repaid, scale) },
        }
    }
}

/// The columns of a statement as CSV.
const COLUMNS: [&str; 17] = [
    "line",
    "entry",
    "time",
    "type",
    "amount",
    "balance_after",
    "grant",
    "source",
    "category",
    "meter",
    "quantity",
    "event_id",
    "event_source",
    "event_time",
    "allocations",
    "overdraft",
    "count",
];

/// A statement with its entries as CSV: the opening balance, a line an entry, a total for each line of the statement, the closing balance.
pub(crate) fn statement_csv(engine: &Engine, statement: &Statement) -> String {
    let scale = statement.currency.scale;
    let mut csv = Csv::default();
    for column in COLUMNS {
        csv.own(column);
    }
    csv.end();
    let balance = |csv: &mut Csv, line: &str, time: String, balance: String| {
        csv.own(line).own("").own(&time).own("").own("").own(&balance);
        pad(csv, 6);
    };
    balance(&mut csv, "opening", instant(statement.from), amount(statement.opening, scale));
    for entry in &statement.entries {
        entry_line(&mut csv, engine, entry, scale);
    }
    for line in &statement.lines {
        let body = LineBody::of(line, scale);
        csv.own("total").own("").own("").own(body.kind).own(&body.amount).own("").own("");
        csv.own(body.source.unwrap_or_default()).own(body.category.unwrap_or_default());
        csv.foreign(&body.meter.unwrap_or_default()).own(&body.quantity.unwrap_or_default());
        csv.own("").own("").own("").own("").own("").own(&body.count.to_string());
        csv.end();
    }
    let end = statement.to.min(statement.as_of);
    balance(&mut csv, "closing", instant(end), amount(statement.closing, scale));
    csv.into_text()
}

/// Fills a line up with empty cells.
fn pad(csv: &mut Csv, filled: usize) {
    for _ in filled..COLUMNS.len() {
        csv.own("");
    }
    csv.end();
}

fn entry_line(csv: &mut Csv, engine: &Engine, entry: &Entry, scale: Scale) {
    // What has fallen due and no operation has recorded yet has no number.
    let number = if entry.entry.get() == 0 { String::new() } else { entry.entry.to_string() };
    csv.own("entry").own(&number).own(&instant(entry.time)).own(entry.kind.as_str());
    csv.own(&amount(entry.amount, scale)).own(&amount(entry.balance_after, scale));
    csv.own(&entry.grant.map(|grant| engine.grant_text(grant)).unwrap_or_default()).own("").own("");
    let metered = entry.event.as_ref().and_then(|event| event.metered.as_ref());
    csv.foreign(metered.map_or("", |(meter, _)| meter));
    csv.own(&metered.map(|(_, quantity)| quantity.to_string()).unwrap_or_default());
    match &entry.event {
        Some(event) => csv.foreign(&event.id).foreign(&event.source).own(&instant(event.time)),
        None => csv.own("").own("").own(""),
    };
    let allocations: Vec<_> = entry
        .allocations
        .iter()
        .map(|(grant, part)| format!("{}:{}", engine.grant_text(*grant), amount(*part, scale)))
        .collect();
    csv.own(&allocations.join(" "));
    csv.own(&if entry.debt.units() == 0 { String::new() } else { amount(entry.debt, scale) });
    csv.own("1");
    csv.end();
}

/// A balance at a past instant.
#[derive(Debug, Serialize)]
pub(crate) struct PastBalanceBody {
    customer: String,
    currency: String,
    at: String,
    balance: String,
    held: String,
    available: String,
}

impl PastBalanceBody {
    pub(crate) fn of(customer: &str, balance: &PastBalance) -> Self {
        let scale = balance.currency.scale;
        PastBalanceBody {
            customer: customer.to_owned(),
            currency: balance.currency.id.clone(),
            at: instant(balance.at),
            balance: amount(balance.balance, scale),
            held: amount(balance.held, scale),
            available: amount(balance.available, scale),
        }
    }
}

/// Usage of one meter within one span of the calendar.
#[derive(Debug, Serialize)]
pub(crate) struct UsageBody {
    start: String,
    currency: String,
    meter: Option<String>,
    quantity: Option<String>,
    credits: String,
    count: u64,
}

impl UsageBody {
    pub(crate) fn of(bucket: &UsageBucket) -> Self {
        UsageBody {
            start: instant(bucket.start),
            currency: bucket.currency.id.clone(),
            meter: bucket.meter.clone(),
            quantity: bucket.quantity.as_ref().and_then(quantity),
            credits: sum(bucket.credits, bucket.currency.scale),
            count: bucket.count,
        }
    }
}

/// A wallet of a currency.
#[derive(Debug, Serialize)]
pub(crate) struct HolderBody {
    customer: String,
    status: &'static str,
    balance: String,
    held: String,
    available: String,
}

impl HolderBody {
    pub(crate) fn of(holder: &Holder, scale: Scale) -> Self {
        HolderBody {
            customer: holder.customer.clone(),
            status: holder.status.as_str(),
            balance: amount(holder.balance, scale),
            held: amount(holder.held, scale),
            available: amount(holder.available, scale),
        }
    }
}
