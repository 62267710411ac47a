//! Saved cards: shown, chosen as the default, removed, and added on a page of the payment provider's.

use super::visit::Visit;
use super::{Stop, below, random, words};
use crate::billing::{MethodStatus, PaymentMethod};
use crate::engine::CommandError;
use crate::http::api::payments::problem_of;
use crate::http::auth::hex;
use crate::http::pages::see_other;
use crate::http::reply::Reply;
use crate::payments::SetupAsk;
use bytes::Bytes;
use drawdown_pages::Tone;
use drawdown_pages::cards::{CardRow, Cards};
use drawdown_pages::purchase::Purchase;
use hyper::StatusCode;
use hyper::body::Body;
use std::cmp::Reverse;
use std::sync::Arc;

/// `GET /portal/{currency}/cards`
pub(super) fn get(visit: &Visit<'_>) -> Result<Reply, Stop> {
    let message = visit.message()?;
    Ok(shown(visit, StatusCode::OK, message))
}

fn shown(visit: &Visit<'_>, status: StatusCode, message: Option<(Tone, &str)>) -> Reply {
    let now = visit.call.engine().now();
    let mut all: Vec<Arc<PaymentMethod>> = visit.call.engine().payment_methods(visit.customer());
    all.retain(|method| !method.detached);
    all.sort_by_key(|method| (!method.is_default, Reverse(method.created_at)));
    let texts: Vec<(String, Option<String>)> =
        all.iter().map(|method| (words::brand(method), method.expiry.map(words::good_until))).collect();
    let rows: Vec<CardRow<'_>> = all
        .iter()
        .zip(&texts)
        .map(|(method, (brand, expires))| CardRow {
            id: &method.id,
            brand,
            last4: method.last4.as_deref(),
            expires: expires.as_deref(),
            is_expired: method.status(now) == MethodStatus::Expired,
            is_default: method.is_default,
        })
        .collect();
    let can_add = visit.call.app.payments.as_ref().is_some_and(|payments| payments.usual().is_some());
    visit.frame(status, message, |session| Cards { cards: &rows, can_add }.page(session))
}

/// `POST /portal/{currency}/cards`
pub(super) async fn post<B>(visit: &Visit<'_>, body: B) -> Result<Reply, Stop>
where
    B: Body<Data = Bytes> + Unpin,
{
    let form = visit.form(body).await?;
    let card = form.text("card").unwrap_or_default();
    match form.text("action") {
        Some("add") => add(visit).await,
        Some("default") => {
            let (_method, ticket) = visit.call.engine().make_default(visit.customer(), card)?;
            done(visit, "default", ticket).await
        }
        Some("remove") => {
            if let Some(payments) = &visit.call.app.payments {
                payments.detach(visit.customer(), card).await.map_err(problem_of)?;
            }
            let (_method, ticket) = visit.call.engine().detach_payment_method(visit.customer(), card)?;
            done(visit, "removed", ticket).await
        }
        _ => {
            let detail = "must be add, default or remove".to_owned();
            Err(CommandError::Invalid { field: "action", detail }.into())
        }
    }
}

async fn done(visit: &Visit<'_>, code: &str, ticket: crate::engine::Ticket) -> Result<Reply, Stop> {
    ticket.await?;
    if let Some(payments) = &visit.call.app.payments {
        // Another default card may let a rule go on.
        payments.take_up();
    }
    Ok(see_other(format!("{}?done={code}", visit.link("cards"))))
}

/// Leads to a page of the payment provider's that collects a card.
async fn add(visit: &Visit<'_>) -> Result<Reply, Stop> {
    let sorry = |text| Ok(shown(visit, StatusCode::UNPROCESSABLE_ENTITY, Some((Tone::Bad, text))));
    let Some(payments) = &visit.call.app.payments else { return sorry("Cards cannot be saved here.") };
    let ask =
        SetupAsk { customer: visit.customer().to_owned(), provider: None, return_url: Some(visit.address("cards")) };
    let begun = payments.begin_setup(&ask, &format!("set_{}", hex(&random::<16>()?))).await;
    let url = match begun {
        Ok(begun) => begun.url,
        Err(failed) => {
            tracing::warn!(%failed, "a card cannot be collected");
            return sorry("The payment provider does not take cards just now. Try again in a moment.");
        }
    };
    let Some(url) = url else { return sorry("Cards cannot be saved here.") };
    Ok(match below(&visit.call, &url) {
        Some(path) => see_other(path),
        None => elsewhere(visit, &url),
    })
}

/// The page before a page of somebody else's. A form may not lead there by itself: the policy of our pages has browsers see to that.
fn elsewhere(visit: &Visit<'_>, url: &str) -> Reply {
    let back = visit.link("cards");
    let page = Purchase {
        title: "Add a card",
        goods: None,
        credits: None,
        symbol: "",
        price: None,
        state: (Tone::Notice, "The card is entered at the payment provider."),
        next: Some((url, "Go to the payment provider")),
        cancel: None,
        refresh: Some((0, Some(url))),
        back: (&back, "Back to the cards"),
    };
    visit.frame(StatusCode::OK, None, |session| page.page(session))
}
