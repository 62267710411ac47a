//! Wallets: reading and changing them, their history, and totals.

use super::parse;
use crate::engine::CommandError;
use crate::http::app::Call;
use crate::http::problem::{Problem, Reason};
use crate::http::reply::Reply;
use crate::http::wire::Page;
use crate::http::wire::fields::Fields;
use crate::http::wire::query::Query;
use crate::http::wire::wallets::{BalanceBody, EntryBody, WalletBody, wallet_patch};
use crate::ledger::Rejection;
use bumpalo::Bump;
use bytes::Bytes;
use drawdown_wal::Lsn;
use hyper::body::Body;
use serde::Serialize;

/// A wallet is addressed by its path, so an unknown currency there means that there is nothing at the path.
pub(super) fn addressed(error: CommandError) -> Problem {
    match error {
        CommandError::Rejected(Rejection::UnknownCurrency) => {
            Problem::new(Reason::Unknown("credit_currency"), "there is no such credit currency")
        }
        other => Problem::from(other),
    }
}

/// `GET /v1/wallets/{customer}/{currency}`
pub(crate) fn get(call: Call<'_>) -> Result<Reply, Problem> {
    let wallet = call.engine().wallet(call.first(), call.second()).map_err(addressed)?;
    Ok(Reply::ok(&WalletBody::of(call.engine(), wallet)))
}

/// `PATCH /v1/wallets/{customer}/{currency}`
pub(crate) async fn patch<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let patch = {
        let arena = Bump::new();
        wallet_patch(&Fields::of(&parse(&body.bytes, &arena)?, None)?)?
    };
    let (wallet, ticket) = call.engine().change_wallet(call.first(), call.second(), &patch).map_err(addressed)?;
    ticket.await?;
    Ok(Reply::ok(&WalletBody::of(call.engine(), wallet)))
}

/// `GET /v1/customers/{customer}/wallets`
pub(crate) fn list(call: Call<'_>) -> Result<Reply, Problem> {
    let list = Query::parse(call.parts.uri.query())?.list()?;
    let wallets = call.engine().customer_wallets(call.first());
    Ok(Reply::ok(&Page::of(
        wallets,
        &list,
        |wallet| &wallet.currency.id,
        |wallet| WalletBody::of(call.engine(), wallet.clone()),
    )))
}

/// `GET /v1/wallets/{customer}/{currency}/entries`
pub(crate) fn entries(call: Call<'_>) -> Result<Reply, Problem> {
    let query = Query::parse(call.parts.uri.query())?;
    let name = if query.text("cursor").is_some() { "cursor" } else { "before" };
    let before = query.number(name, 0..=u64::MAX)?.map(Lsn::new);
    let limit = query.limit()?;
    let wallet = call.engine().wallet(call.first(), call.second()).map_err(addressed)?;
    let page = call.engine().entries(call.first(), call.second(), before, limit).map_err(addressed)?;
    let scale = wallet.currency.scale;
    let data = page.entries.into_iter().map(|entry| EntryBody::of(call.engine(), entry, scale)).collect();
    Ok(Reply::ok(&Page { data, next_cursor: page.next.map(|next| next.get().to_string()) }))
}

/// Totals over wallets.
#[derive(Serialize)]
struct Balances {
    data: Vec<BalanceBody>,
}

/// `GET /v1/balances`
pub(crate) fn balances(call: Call<'_>) -> Result<Reply, Problem> {
    let query = Query::parse(call.parts.uri.query())?;
    if query.text("product").is_some() {
        return Err(Problem::new(Reason::NotImplemented, "filter by product: part of the contract, not built yet"));
    }
    let totals = call.engine().balances(query.text("customer"), query.text("currency"));
    Ok(Reply::ok(&Balances { data: totals.iter().map(BalanceBody::of).collect() }))
}
