//! Pages for customers: the simulated provider's checkout, and where providers lead back to.
//!
//! They are answered without an API key. Who has a session's name may pay for it, and that is all that can be done with it.

use super::app::Call;
use super::problem::{Problem, Reason};
use super::reply::Reply;
use super::wire::instant;
use super::wire::query::Query;
use crate::ledger::Timestamp;
use crate::payments::Payments;
use bytes::Bytes;
use drawdown_outbound::providers::simulated::cards::{Behaviour, CARDS, Card};
use drawdown_outbound::providers::simulated::command::Paid;
use drawdown_outbound::providers::{
    CallError, ChargeOutcome, ChargeRef, CheckoutRef, CheckoutState, Collect, Money, SetupRef,
};
use drawdown_pages::Tone;
use drawdown_pages::checkout::{Checkout, Confirmation};
use drawdown_pages::notice::Notice;
use hyper::StatusCode;
use hyper::body::Body;

/// A page; its policy lets it load and send nothing but to and from here. No cache keeps it, no other site learns that it was here, and none
/// shows it within a page of its own.
pub(super) fn page(status: StatusCode, html: String) -> Reply {
    Reply::new(status, "text/html; charset=utf-8", html)
        .header("content-security-policy", drawdown_pages::POLICY)
        .header("referrer-policy", "same-origin")
        .header("x-content-type-options", "nosniff")
        .header("x-frame-options", "DENY")
        .header("cross-origin-opener-policy", "same-origin")
        .header("cross-origin-resource-policy", "same-origin")
        .header("cache-control", "no-store")
}

/// A page that says one thing; `link` is where to go from there, and its words.
pub(super) fn notice(
    call: &Call<'_>,
    status: StatusCode,
    title: &str,
    text: &str,
    tone: Tone,
    link: Option<(&str, &str)>,
) -> Reply {
    page(status, Notice { base: call.app.portal.base(), title, text, tone, link }.page())
}

fn told(call: &Call<'_>, title: &str, text: &str, tone: Tone, link: Option<&str>) -> Reply {
    notice(call, StatusCode::OK, title, text, tone, link.map(|url| (url, "Continue")))
}

fn gone(call: &Call<'_>) -> Reply {
    let text = "There is no such payment, or it is over.";
    notice(call, StatusCode::NOT_FOUND, "Nothing here", text, Tone::Bad, None)
}

/// The customer's browser goes on with a GET.
pub(super) fn see_other(path: String) -> Reply {
    page(StatusCode::SEE_OTHER, String::new()).header("location", path)
}

/// The path of a page of this server's.
fn own(call: &Call<'_>, page: &str, name: &str) -> String {
    format!("{}/{page}/{name}", call.app.portal.prefix())
}

/// `GET /portal/portal.css`
pub(super) fn style(_: Call<'_>) -> Reply {
    Reply::new(StatusCode::OK, "text/css; charset=utf-8", drawdown_pages::STYLE).header("cache-control", "max-age=3600")
}

/// `GET /payments/{end}`: where providers lead back to when nobody has said where.
pub(super) fn returned(call: Call<'_>) -> Reply {
    match call.first() {
        "done" => told(&call, "Thank you", "You can close this window.", Tone::Good, None),
        "canceled" => told(&call, "Not paid", "Nothing was paid.", Tone::Notice, None),
        _ => gone(&call),
    }
}

fn payments<'a>(call: &Call<'a>) -> Result<&'a Payments, Problem> {
    let connected = call.app.payments.as_ref().filter(|payments| payments.simulated().is_some());
    connected.ok_or_else(|| Problem::new(Reason::NoSuchPath, "there is nothing at this path"))
}

fn now_s(call: &Call<'_>) -> u64 {
    call.engine().now().millis() / 1_000
}

fn second(seconds: u64) -> String {
    instant(Timestamp::from_millis(seconds.saturating_mul(1_000)))
}

fn effect(card: &Card) -> &'static str {
    match card.behaviour {
        Behaviour::Succeeds => "pays",
        Behaviour::DeclinesAtOnce => "is declined, and cannot be saved",
        Behaviour::DeclinesSoft => "is declined",
        Behaviour::InsufficientFunds => "has not enough money",
        Behaviour::DeclinesHard => "is declined for good: stolen",
        Behaviour::Expired => "has expired",
        Behaviour::Authenticates => "asks for confirmation (3-D Secure)",
        Behaviour::ProcessesThenSucceeds => "takes a few seconds, then pays",
        Behaviour::ProcessesThenFails => "takes a few seconds, then is declined",
        Behaviour::Slow => "pays, and answers late",
        Behaviour::LosesAnswer => "pays, and loses the first answer",
        Behaviour::TellsTwice => "pays, and tells it twice",
        Behaviour::Disputed => "pays, and disputes it at once",
    }
}

fn test_cards() -> Vec<(&'static str, &'static str)> {
    CARDS.iter().map(|card| (card.number, effect(card))).collect()
}

/// An amount without its currency.
fn decimal(money: Money) -> String {
    let text = money.to_string();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// What a form says.
async fn form<B>(call: &Call<'_>, body: B) -> Result<Query, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.receive(body).await?;
    let text = std::str::from_utf8(&body.bytes)
        .map_err(|_| Problem::new(Reason::MalformedBody, "the form is not percent-encoded UTF-8"))?;
    Query::parse(Some(text))
}

/// A page for what the bank says of something that is not there, or not any more.
fn refused(call: &Call<'_>, error: CallError) -> Reply {
    match error {
        CallError::Refused { code, .. } if code == "not_found" => gone(call),
        CallError::Refused { message, .. } => {
            notice(call, StatusCode::CONFLICT, "Not possible", &message, Tone::Bad, None)
        }
        CallError::Unknown { .. } | CallError::Unsupported(_) => {
            let text = "The bank does not answer just now. Try again in a moment.";
            notice(call, StatusCode::SERVICE_UNAVAILABLE, "Just a moment", text, Tone::Notice, None)
        }
    }
}

/// `GET /checkout/{session}`
pub(super) async fn checkout(call: Call<'_>) -> Result<Reply, Problem> {
    show_checkout(&call, None).await
}

async fn show_checkout(call: &Call<'_>, error: Option<&str>) -> Result<Reply, Problem> {
    let bank = payments(call)?.simulated().expect("looked at").provider();
    let view = match bank.checkout(&CheckoutRef::new(call.first())).await {
        Ok(view) => view,
        Err(error) => return Ok(refused(call, error)),
    };
    let back = |url: &str| url.replace("{CHECKOUT}", call.first());
    match view.state {
        CheckoutState::Open if now_s(call) < view.ask.expires_at_s => {}
        CheckoutState::Completed { paid: true, .. } => {
            let link = back(&view.ask.success_url);
            return Ok(told(call, "Paid", "The payment was made.", Tone::Good, Some(&link)));
        }
        CheckoutState::Completed { .. } => {
            let (link, text) = (back(&view.ask.success_url), "The payment is being processed.");
            return Ok(told(call, "Under way", text, Tone::Notice, Some(&link)));
        }
        CheckoutState::Open | CheckoutState::Expired => {
            let text = "This page has ended. Nothing was paid.";
            let link = Some((view.ask.cancel_url.as_str(), "Continue"));
            return Ok(notice(call, StatusCode::GONE, "Too late", text, Tone::Bad, link));
        }
    }
    let (amount, currency) = (decimal(view.ask.money), view.ask.money.currency);
    let html = Checkout {
        base: call.app.portal.base(),
        action: &own(call, "checkout", call.first()),
        token: call.first(),
        merchant: call.app.portal.merchant(),
        title: &view.ask.title,
        amount: Some(&amount),
        currency: currency.as_str(),
        expires_at: &second(view.ask.expires_at_s),
        test_cards: &test_cards(),
        cancel_url: Some(&view.ask.cancel_url),
        error: error.map(|error| ("number", error)),
    };
    Ok(page(if error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK }, html.page()))
}

/// `POST /checkout/{session}`
pub(super) async fn pay<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let form = form(&call, body).await?;
    let payments = payments(&call)?;
    let bank = payments.simulated().expect("looked at").provider();
    let number = form.text("number").unwrap_or_default();
    let paid = bank.pay(&CheckoutRef::new(call.first()), number, now_s(&call)).await;
    payments.pump().await;
    match paid {
        Ok(Paid::Done { .. }) => Ok(see_other(own(&call, "checkout", call.first()))),
        Ok(Paid::Authenticate(charge)) => Ok(see_other(own(&call, "authenticate", charge.as_str()))),
        Ok(Paid::Declined(decline)) => show_checkout(&call, Some(&decline.message)).await,
        Err(CallError::Refused { code, message }) if code == "not_a_test_card" => {
            show_checkout(&call, Some(&message)).await
        }
        // The page says how it stands.
        Err(CallError::Refused { code, .. }) if code == "expired" => show_checkout(&call, None).await,
        Err(error) => Ok(refused(&call, error)),
    }
}

/// `GET /setup/{session}`
pub(super) async fn setup(call: Call<'_>) -> Result<Reply, Problem> {
    show_setup(&call, None).await
}

async fn show_setup(call: &Call<'_>, error: Option<&str>) -> Result<Reply, Problem> {
    let bank = payments(call)?.simulated().expect("looked at").provider();
    let (ask, method) = match bank.setup(&SetupRef::new(call.first())).await {
        Ok(view) => view,
        Err(error) => return Ok(refused(call, error)),
    };
    let (done, canceled) = match &ask.collect {
        Collect::Hosted { return_url, cancel_url } => (Some(return_url.as_str()), Some(cancel_url.as_str())),
        Collect::InPage => (None, None),
    };
    if method.is_some() {
        return Ok(told(call, "Saved", "The card was saved.", Tone::Good, done));
    }
    let html = Checkout {
        base: call.app.portal.base(),
        action: &own(call, "setup", call.first()),
        token: call.first(),
        merchant: call.app.portal.merchant(),
        title: "Later payments",
        amount: None,
        currency: "",
        expires_at: &second(ask.decided_at_s.saturating_add(86_400)),
        test_cards: &test_cards(),
        cancel_url: canceled,
        error: error.map(|error| ("number", error)),
    };
    Ok(page(if error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK }, html.page()))
}

/// `POST /setup/{session}`
pub(super) async fn collect<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let form = form(&call, body).await?;
    let payments = payments(&call)?;
    let bank = payments.simulated().expect("looked at").provider();
    let number = form.text("number").unwrap_or_default();
    let collected = bank.collect(&SetupRef::new(call.first()), number, now_s(&call)).await;
    payments.pump().await;
    match collected {
        Ok(_) => Ok(see_other(own(&call, "setup", call.first()))),
        Err(CallError::Refused { code, message }) if code != "not_found" => show_setup(&call, Some(&message)).await,
        Err(error) => Ok(refused(&call, error)),
    }
}

/// `GET /authenticate/{charge}`
pub(super) async fn authenticate(call: Call<'_>) -> Result<Reply, Problem> {
    let bank = payments(&call)?.simulated().expect("looked at").provider();
    let view = match bank.charge_view(&ChargeRef::new(call.first())).await {
        Ok(view) => view,
        Err(error) => return Ok(refused(&call, error)),
    };
    let link = view.return_url.as_deref();
    Ok(match view.outcome {
        ChargeOutcome::RequiresAction { .. } => {
            let (amount, action) = (decimal(view.money), own(&call, "authenticate", call.first()));
            let (token, currency) = (call.first(), view.money.currency);
            let (base, merchant, currency) = (call.app.portal.base(), call.app.portal.merchant(), currency.as_str());
            let asked = Confirmation { base, action: &action, token, merchant, amount: &amount, currency };
            page(StatusCode::OK, asked.page())
        }
        ChargeOutcome::Succeeded { .. } => told(&call, "Paid", "The payment was made.", Tone::Good, link),
        ChargeOutcome::Processing { .. } => {
            told(&call, "Under way", "The payment is being processed.", Tone::Notice, link)
        }
        ChargeOutcome::Declined { .. } | ChargeOutcome::Refused { .. } | ChargeOutcome::Unknown { .. } => {
            told(&call, "Not paid", "The payment was not made.", Tone::Bad, link)
        }
    })
}

/// `POST /authenticate/{charge}`
pub(super) async fn confirm<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let form = form(&call, body).await?;
    let payments = payments(&call)?;
    let bank = payments.simulated().expect("looked at").provider();
    let approved = form.text("answer") == Some("yes");
    let done = bank.complete(&ChargeRef::new(call.first()), approved, now_s(&call)).await;
    payments.pump().await;
    match done {
        Ok(_) => Ok(see_other(own(&call, "authenticate", call.first()))),
        Err(error) => Ok(refused(&call, error)),
    }
}
