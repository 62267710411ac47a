//! Wallets: reading and changing them, and their history.

use super::{off_loop, parse};
use crate::engine::CommandError;
use crate::http::app::Call;
use crate::http::problem::{Problem, Reason};
use crate::http::reply::Reply;
use crate::http::wire::Page;
use crate::http::wire::fields::Fields;
use crate::http::wire::query::Query;
use crate::http::wire::wallets::{EntryBody, WalletBody, wallet_patch};
use crate::ledger::Rejection;
use bumpalo::Bump;
use bytes::Bytes;
use drawdown_wal::Lsn;
use hyper::body::Body;

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

/// `PUT /v1/wallets/{customer}/{currency}`: repeating it is success.
pub(crate) async fn put<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let patch = {
        let arena = Bump::new();
        wallet_patch(&Fields::of(&parse(&body.bytes, &arena)?, None)?)?
    };
    let (wallet, ticket) = call.engine().put_wallet(call.first(), call.second(), &patch).map_err(addressed)?;
    ticket.await?;
    if let Some(payments) = &call.app.payments {
        payments.take_up();
    }
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
pub(crate) async fn entries(call: Call<'_>) -> Result<Reply, Problem> {
    let query = Query::parse(call.parts.uri.query())?;
    let name = if query.text("cursor").is_some() { "cursor" } else { "before" };
    let before = query.number(name, 0..=u64::MAX)?.map(Lsn::new);
    let limit = query.limit()?;
    let (customer, currency) = (call.first().to_owned(), call.second().to_owned());
    off_loop(call.app, move |engine| {
        let wallet = engine.wallet(&customer, &currency).map_err(addressed)?;
        let page = engine.entries(&customer, &currency, before, limit).map_err(addressed)?;
        let scale = wallet.currency.scale;
        let data = page.entries.into_iter().map(|entry| EntryBody::of(engine, entry, scale)).collect();
        Ok(Reply::ok(&Page { data, next_cursor: page.next.map(|next| next.get().to_string()) }))
    })
    .await
}
