//! What became of a purchase: where orders lead to, and where payment pages lead back to.

use super::visit::Visit;
use super::{Stop, below, words};
use crate::billing::top_up::{Collection, Credit, Event, Goods, Status, TopUp};
use crate::engine::CommandError;
use crate::engine::billing::TopUpView;
use crate::http::pages::see_other;
use crate::http::reply::Reply;
use crate::http::wire::amount;
use bytes::Bytes;
use drawdown_pages::Tone;
use drawdown_pages::purchase::Purchase;
use hyper::body::Body;
use std::time::Duration;

/// How long the page waits for what the provider says before it shows what is known.
const PATIENCE: Duration = Duration::from_secs(3);
/// After how many seconds the page looks again.
const LOOK_AGAIN_S: u32 = 3;

/// The purchase that a request names: this customer's, in this wallet.
fn named(visit: &Visit<'_>, id: &str) -> Result<TopUpView, CommandError> {
    let view = visit.call.engine().top_up_of(visit.customer(), id)?;
    let is_of_wallet = view.currency.number == visit.currency().number;
    if is_of_wallet { Ok(view) } else { Err(CommandError::NotFound { what: "top_up" }) }
}

/// `GET /portal/{currency}/purchase`
pub(super) async fn get(visit: &Visit<'_>) -> Result<Reply, Stop> {
    let query = visit.query()?;
    let id = query.text("top_up").unwrap_or_default();
    let mut view = named(visit, id)?;
    if let Some(payments) = visit.call.app.payments.as_ref().filter(|_| view.top_up.status().is_open()) {
        payments.settle(id, PATIENCE).await;
        view = named(visit, id)?;
    }
    show(visit, &view)
}

/// `POST /portal/{currency}/purchase`: calls it off.
pub(super) async fn post<B>(visit: &Visit<'_>, body: B) -> Result<Reply, Stop>
where
    B: Body<Data = Bytes> + Unpin,
{
    let form = visit.form(body).await?;
    let view = named(visit, form.text("top_up").unwrap_or_default())?;
    let id = view.top_up.id;
    match visit.call.engine().top_up_event(&id, &Event::Cancel) {
        Ok((_view, ticket)) => {
            ticket.await?;
            if let Some(payments) = &visit.call.app.payments {
                payments.take_up();
            }
            Ok(see_other(format!("{}?done=canceled", visit.link("buy"))))
        }
        // It was paid, or is being paid: its page says so.
        Err(CommandError::Conflict { .. }) => Ok(see_other(format!("{}?top_up={id}", visit.link("purchase")))),
        Err(error) => Err(error.into()),
    }
}

/// How a purchase stands, in a sentence, and whether it may stand otherwise in a moment.
fn state(top_up: &TopUp) -> (Tone, &'static str, bool) {
    let has_page = top_up.checkout_url.is_some();
    match top_up.status() {
        Status::Completed => match top_up.credit {
            Credit::Granted { .. } => (Tone::Good, "Paid. The credits are in your wallet.", false),
            Credit::Due(_) => (Tone::Good, "Paid. The credits are on their way.", true),
            Credit::None | Credit::Refused(_) => {
                (Tone::Notice, "Paid. The credits could not be added to the wallet: ask about it.", false)
            }
        },
        Status::Created if has_page => (Tone::Notice, "It is not paid yet.", true),
        Status::Created if top_up.collection == Collection::Charge => {
            (Tone::Notice, "The payment is on its way.", true)
        }
        Status::Created => {
            // The provider's page may not be there yet; money that is collected elsewhere takes its time.
            let text = "It waits for your payment. The credits come when it has arrived.";
            (Tone::Notice, text, top_up.collection == Collection::Checkout)
        }
        Status::RequiresAction => (Tone::Notice, "Your bank wants you to confirm the payment.", true),
        Status::Processing => {
            (Tone::Notice, "The payment is being processed. The credits come as soon as it has arrived.", true)
        }
        Status::Failed => (Tone::Bad, words::failure(top_up.failure.as_ref()), false),
        Status::Expired => (Tone::Bad, "It was not paid in time. Nothing was paid.", false),
        Status::Canceled => (Tone::Notice, "It was called off. Nothing was paid.", false),
        Status::PartiallyRefunded => (Tone::Notice, "It was paid, and a part of it was paid back.", false),
        Status::Refunded => (Tone::Notice, "It was paid back.", false),
        Status::Disputed | Status::DisputeWon | Status::DisputeLost => {
            (Tone::Notice, "The payment was disputed at your bank.", false)
        }
    }
}

fn show(visit: &Visit<'_>, view: &TopUpView) -> Result<Reply, Stop> {
    let top_up = &view.top_up;
    let (tone, text, may_change) = state(top_up);
    let credits = match (top_up.purchase.goods, top_up.purchase.price) {
        _ if top_up.credit.amount().units() > 0 => Some(top_up.credit.amount()),
        (Goods::Fixed(credits), _) => Some(credits),
        (Goods::Worth(worth), Some(price)) => worth.credits(price),
        (Goods::Worth(_), None) => None,
    };
    let credits = credits.map(|credits| amount(credits, visit.currency().scale));
    let price = top_up.captured.or(top_up.purchase.price);
    let price = price.map(|price| (price.to_string(), price.code));
    let is_open = top_up.status().is_open();
    let page_url = top_up.checkout_url.clone().filter(|_| is_open);
    let page_url = page_url.map(|url| below(&visit.call, &url).unwrap_or(url));
    let words = if top_up.status() == Status::RequiresAction { "Confirm" } else { "Go to the payment page" };
    let again = visit.link("buy");
    let next = match &page_url {
        Some(url) => Some((url.as_str(), words)),
        None if top_up.status() == Status::Failed => Some((again.as_str(), "Try again")),
        None => None,
    };
    let (cancel, back) = (visit.link("purchase"), visit.link("overview"));
    let can_cancel = matches!(top_up.status(), Status::Created | Status::RequiresAction) && !top_up.in_doubt;
    let goods = words::goods(visit.call.engine(), &top_up.purchase);
    let page = Purchase {
        title: "Your purchase",
        goods: Some(&goods),
        credits: credits.as_deref(),
        symbol: visit.symbol(),
        price: price.as_ref().map(|(price, code)| (price.as_str(), code.as_str())),
        state: (tone, text),
        next,
        cancel: can_cancel.then_some((cancel.as_str(), top_up.id.as_str())),
        refresh: may_change.then_some((LOOK_AGAIN_S, None)),
        back: (&back, "To the balance"),
    };
    visit.show(|session| page.page(session))
}
