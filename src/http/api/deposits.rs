//! Deposit forms, and the page of a deposit that is made by one.

use super::{named, parse};
use crate::billing::deposit::DepositForm;
use crate::billing::top_up::{Kind, TopUp};
use crate::engine::Engine;
use crate::engine::billing::TopUpView;
use crate::http::app::Call;
use crate::http::pages;
use crate::http::problem::Problem;
use crate::http::reply::Reply;
use crate::http::wire::Page;
use crate::http::wire::deposits::{FormBody, deposit_form};
use crate::http::wire::fields::Fields;
use crate::http::wire::query::Query;
use bumpalo::Bump;
use bytes::Bytes;
use drawdown_pages::Tone;
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

/// `GET /deposits/{top_up}`: whoever has the id of a deposit may see what is to be sent where, and what has come. It takes no key.
pub(crate) fn page(call: Call<'_>) -> Reply {
    let found = call.engine().top_up(call.first()).ok();
    let found = found.and_then(|view| Some((form_of(call.engine(), &view)?, view)));
    let Some((form, view)) = found else {
        let text = "There is no such deposit.";
        return pages::notice(&call, StatusCode::NOT_FOUND, "Nothing here", text, Tone::Bad, None);
    };
    let (text, tone) = words(&view);
    let top_up = &view.top_up;
    let back = top_up
        .return_url
        .as_ref()
        .map(|url| crate::payments::with_query(url, &format!("top_up={0}&session={0}", top_up.id)));
    let link = back.as_deref().map(|url| (url, "Back"));
    pages::notice(&call, StatusCode::OK, &form.title, &text, tone, link)
}

fn form_of(engine: &Engine, view: &TopUpView) -> Option<std::sync::Arc<DepositForm>> {
    let id = view.top_up.form.as_ref().filter(|_| view.top_up.kind == Kind::Deposit)?;
    engine.deposit_form(id).ok()
}

/// How a deposit stands, for who pays it.
fn words(view: &TopUpView) -> (String, Tone) {
    let top_up = &view.top_up;
    let code = top_up.code();
    let received = top_up.received().filter(|received| received.units > 0);
    let so_far = received.map(|received| format!(" Received so far: {received} {code}.")).unwrap_or_default();
    if top_up.status().is_paid() {
        let captured = top_up.captured.map(|captured| captured.to_string()).unwrap_or_default();
        return (format!("Received: {captured} {code}. Thank you."), Tone::Good);
    }
    if !top_up.status().is_open() {
        return (format!("This deposit is over: do not send anything any more.{so_far}"), Tone::Bad);
    }
    let what = top_up.purchase.price.map_or_else(|| "any amount of".to_owned(), |price| price.to_string());
    let to = top_up.address.as_ref().map(|address| format!(" to {address}")).unwrap_or_default();
    (format!("Send {what} {code}{to}.{so_far}"), Tone::Notice)
}
