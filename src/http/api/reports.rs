//! Reports: statements, past balances, usage, holders, totals. All of them are computed on threads of their own, a few at a time.

use super::wallets::addressed;
use super::{off_loop, report};
use crate::engine::reports::UsageFilter;
use crate::http::app::Call;
use crate::http::problem::Problem;
use crate::http::reply::Reply;
use crate::http::wire::Page;
use crate::http::wire::query::Query;
use crate::http::wire::reports::{HolderBody, PastBalanceBody, StatementBody, UsageBody, statement_csv};
use crate::http::wire::wallets::BalanceBody;
use crate::ledger::Timestamp;
use crate::ledger::calendar::Span;
use drawdown_wal::Lsn;
use hyper::StatusCode;
use hyper::header::ACCEPT;
use serde::Serialize;

/// Entries of a statement as CSV at most.
pub(crate) const STATEMENT_ENTRIES_MAX: usize = 200_000;

/// `from` and `to`; the current month where one is not said.
fn period(query: &Query, now: Timestamp) -> Result<(Timestamp, Timestamp), Problem> {
    let from = query.time("from")?.unwrap_or_else(|| Span::Month.start(now));
    let to = query.time("to")?.unwrap_or_else(|| Span::Month.end(now));
    Ok((from, to))
}

/// `GET /v1/wallets/{customer}/{currency}/statement`
pub(crate) async fn statement(call: Call<'_>) -> Result<Reply, Problem> {
    let query = Query::parse(call.parts.uri.query())?;
    let (from, to) = period(&query, call.engine().now())?;
    let as_csv = wants_csv(call, &query)?;
    let (customer, currency) = (call.first().to_owned(), call.second().to_owned());
    report(call.app, move |engine| {
        let entries = as_csv.then_some(STATEMENT_ENTRIES_MAX);
        let statement = engine.statement(&customer, &currency, from, to, entries).map_err(addressed)?;
        if as_csv {
            let csv = statement_csv(engine, &statement);
            let reply = Reply::new(StatusCode::OK, "text/csv; charset=utf-8; header=present", csv);
            return Ok(reply.header("content-disposition", "attachment; filename=\"statement.csv\""));
        }
        Ok(Reply::ok(&StatementBody::of(&customer, &statement)))
    })
    .await
}

/// Whether CSV is asked for: by `format`, or else by what the client accepts first.
fn wants_csv(call: Call<'_>, query: &Query) -> Result<bool, Problem> {
    match query.text("format") {
        Some("csv") => return Ok(true),
        Some("json") => return Ok(false),
        Some(_) => return Err(Problem::parameter("format", "must be json or csv")),
        None => {}
    }
    let accepted = call.parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let types =
        accepted.flat_map(|list| list.split(',')).map(|range| range.split(';').next().unwrap_or_default().trim());
    let known =
        types.filter(|name| ["text/csv", "application/json", "*/*"].iter().any(|k| name.eq_ignore_ascii_case(k)));
    Ok(known.into_iter().next().is_some_and(|name| name.eq_ignore_ascii_case("text/csv")))
}

/// `GET /v1/wallets/{customer}/{currency}/balance`
pub(crate) async fn balance(call: Call<'_>) -> Result<Reply, Problem> {
    let query = Query::parse(call.parts.uri.query())?;
    let at = query.time("at")?.unwrap_or_else(|| call.engine().now());
    let (customer, currency) = (call.first().to_owned(), call.second().to_owned());
    report(call.app, move |engine| {
        let balance = engine.balance_at(&customer, &currency, at).map_err(addressed)?;
        Ok(Reply::ok(&PastBalanceBody::of(&customer, &balance)))
    })
    .await
}

/// `GET /v1/usage`
pub(crate) async fn usage(call: Call<'_>) -> Result<Reply, Problem> {
    let query = Query::parse(call.parts.uri.query())?;
    let (from, to) = period(&query, call.engine().now())?;
    let by = match query.text("by") {
        None => Span::Day,
        Some(name) => Span::parse(name).ok_or_else(|| Problem::parameter("by", "must be hour, day or month"))?,
    };
    let after = query.number("cursor", 0..=u64::MAX)?.map(Lsn::new);
    let text = |name| query.text(name).map(str::to_owned);
    let (customer, currency, meter) = (text("customer"), text("currency"), text("meter"));
    if customer.is_some() && after.is_some() {
        return Err(Problem::parameter("cursor", "usage of one customer is told whole"));
    }
    report(call.app, move |engine| {
        let filter = UsageFilter { currency: currency.as_deref(), meter: meter.as_deref(), from, to, by };
        let page = match &customer {
            Some(customer) => engine.usage_of(customer, &filter)?,
            None => engine.usage(&filter, after)?,
        };
        let data = page.buckets.iter().map(UsageBody::of).collect();
        Ok(Reply::ok(&Page { data, next_cursor: page.next.map(|next| next.to_string()) }))
    })
    .await
}

/// `GET /v1/credit-currencies/{currency}/holders`
pub(crate) async fn holders(call: Call<'_>) -> Result<Reply, Problem> {
    let query = Query::parse(call.parts.uri.query())?;
    let limit = query.limit()?;
    let from = query.number("cursor", 0..=u64::from(u32::MAX))?.unwrap_or(0);
    let least = query.decimal("min_balance")?;
    let currency = call.first().to_owned();
    off_loop(call.app, move |engine| {
        let page = engine.holders(&currency, u32::try_from(from).unwrap_or(u32::MAX), limit, least)?;
        let data = page.holders.iter().map(|holder| HolderBody::of(holder, page.currency.scale)).collect();
        Ok(Reply::ok(&Page { data, next_cursor: page.next.map(|next| next.to_string()) }))
    })
    .await
}

/// Totals over wallets.
#[derive(Serialize)]
struct Balances {
    data: Vec<BalanceBody>,
}

/// `GET /v1/balances`
pub(crate) async fn balances(call: Call<'_>) -> Result<Reply, Problem> {
    let query = Query::parse(call.parts.uri.query())?;
    let text = |name| query.text(name).map(str::to_owned);
    let (customer, currency, product) = (text("customer"), text("currency"), text("product"));
    let sum = move |engine: &crate::engine::Engine| {
        let (customer, currency) = (customer.as_deref(), currency.as_deref());
        let totals = match &product {
            Some(product) => engine.product_balances(product, customer, currency),
            None => engine.balances(customer, currency),
        };
        Ok(Reply::ok(&Balances { data: totals.iter().map(BalanceBody::of).collect() }))
    };
    // Those of one customer are a few; all of them may be millions.
    if query.text("customer").is_some() { sum(call.engine()) } else { report(call.app, sum).await }
}
