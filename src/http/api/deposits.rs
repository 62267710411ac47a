//! Deposit forms, and the page of a deposit that is made by one.

use super::{named, parse};
use crate::billing::deposit::DepositForm;
use crate::billing::money::Money;
use crate::billing::top_up::{Kind, Status, TopUp};
use crate::engine::Engine;
use crate::engine::billing::TopUpView;
use crate::http::app::Call;
use crate::http::pages;
use crate::http::problem::Problem;
use crate::http::reply::Reply;
use crate::http::wire::deposits::{FormBody, deposit_form};
use crate::http::wire::fields::Fields;
use crate::http::wire::query::Query;
use crate::http::wire::{Page, instant};
use crate::payments::with_query;
use bumpalo::Bump;
use bytes::Bytes;
use drawdown_pages::Tone;
use drawdown_pages::deposit::Deposit;
use hyper::StatusCode;
use hyper::body::Body;

/// `PUT /v1/deposit-forms/{form}`
pub(crate) async fn put_form<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let form = {
        let arena = Bump::new();
        deposit_form(call.first(), call.engine(), &Fields::of(&parse(&body.bytes, &arena)?, None)?)?
    };
    let (form, ticket) = call.engine().put_deposit_form(form).map_err(named)?;
    ticket.await?;
    Ok(Reply::ok(&FormBody::of(call.engine(), &form)))
}

/// `GET /v1/deposit-forms/{form}`
pub(crate) fn get_form(call: Call<'_>) -> Result<Reply, Problem> {
    Ok(Reply::ok(&FormBody::of(call.engine(), &*call.engine().deposit_form(call.first())?)))
}

/// `GET /v1/deposit-forms`
pub(crate) fn list_forms(call: Call<'_>) -> Result<Reply, Problem> {
    let list = Query::parse(call.parts.uri.query())?.list()?;
    let mut found = call.engine().deposit_forms(list.cursor.as_deref(), list.limit + 1);
    let more = found.len() > list.limit;
    found.truncate(list.limit);
    let next_cursor = found.last().filter(|_| more).map(|last| last.id.clone());
    let data = found.iter().map(|form| FormBody::of(call.engine(), form)).collect();
    Ok(Reply::ok(&Page { data, next_cursor }))
}

/// Where a deposit by a form is shown to who pays it.
pub(in crate::http) fn page_of(call: &Call<'_>, top_up: &TopUp) -> String {
    call.app.portal.page(&format!("/deposits/{}", top_up.id))
}

/// After how many seconds the page of a deposit that is open looks again.
const LOOK_AGAIN_S: u32 = 10;

/// `GET /deposits/{top_up}`: whoever has the id of a deposit may see what is to be sent where, and what has come. It takes no key.
pub(crate) fn page(call: Call<'_>) -> Reply {
    let found = call.engine().top_up(call.first()).ok();
    let Some((form, view)) = found.and_then(|view| Some((form_of(call.engine(), &view)?, view))) else {
        let text = "There is no such deposit.";
        return pages::notice(&call, StatusCode::NOT_FOUND, "Nothing here", text, Tone::Bad, None);
    };
    let top_up = &view.top_up;
    let decimal = |money: Money| (money.units > 0).then(|| money.to_string());
    let received = top_up.received().unwrap_or(Money::new(0, top_up.code()));
    let missing = top_up.purchase.price.and_then(|price| price.checked_sub(received));
    let (is_open, has_part) = (top_up.status().is_open(), received.units > 0);
    let back = top_up.return_url.as_ref();
    let back = back.map(|url| with_query(url, &format!("top_up={0}&session={0}", top_up.id)));
    let html = Deposit {
        base: call.app.portal.base(),
        merchant: call.app.portal.merchant(),
        title: &form.title,
        state: state(top_up, has_part),
        currency: top_up.code().as_str(),
        asked: top_up.purchase.price.map(|price| price.to_string()).as_deref(),
        received: decimal(received).as_deref(),
        missing: missing.filter(|_| is_open && has_part).and_then(decimal).as_deref(),
        refunded: decimal(top_up.refunded()).as_deref(),
        thousandths: thousandths(received, top_up.purchase.price),
        address: top_up.address.as_deref().filter(|_| is_open),
        expires_at: top_up.expires_at.filter(|_| is_open).map(instant).as_deref(),
        reference: &top_up.id,
        refresh: is_open.then_some(LOOK_AGAIN_S),
        back: back.as_deref(),
    }
    .page();
    pages::page(StatusCode::OK, html)
}

fn form_of(engine: &Engine, view: &TopUpView) -> Option<std::sync::Arc<DepositForm>> {
    let id = view.top_up.form.as_ref().filter(|_| view.top_up.kind == Kind::Deposit)?;
    engine.deposit_form(id).ok()
}

/// How a deposit stands, for who pays it.
fn state(top_up: &TopUp, has_part: bool) -> (Tone, &'static str) {
    let (status, has_address) = (top_up.status(), top_up.address.is_some());
    match (status, has_part) {
        (Status::Refunded, _) => (Tone::Notice, "What had come was sent back."),
        (Status::PartiallyRefunded, _) => (Tone::Notice, "All of it has come, and a part of it was sent back."),
        _ if status.is_paid() => (Tone::Good, "All of it has come. Thank you."),
        _ if !status.is_open() => (Tone::Bad, "This deposit is over. Do not send anything any more."),
        (_, true) if has_address => (Tone::Notice, "A part of it has come. Send the rest to the same address."),
        (_, true) => (Tone::Notice, "A part of it has come. The rest is still to be sent."),
        (_, false) if has_address => (Tone::Notice, "It waits for your payment. Send it to the address below."),
        (_, false) => (Tone::Notice, "Nothing has come yet."),
    }
}

/// How much of a price has come.
fn thousandths(received: Money, price: Option<Money>) -> u16 {
    let price = price.map_or(1, |price| i128::from(price.units).max(1));
    u16::try_from((i128::from(received.units) * 1_000 / price).clamp(0, 1_000)).expect("a thousand at the most")
}
