//! Buying credits: what is on offer to this customer, and its orders.

use super::visit::Visit;
use super::{Stop, random, words};
use crate::billing::money::Worth;
use crate::billing::portal::PortalLimits;
use crate::billing::top_up::{Collection, Kind};
use crate::billing::{CreditPackage, MethodStatus, OUTSIDE, PaymentMethod};
use crate::engine::billing::{Buyer, TopUpRequest};
use crate::engine::view::Metadata;
use crate::http::api::billing::settled;
use crate::http::auth::hex;
use crate::http::idempotency::EFFECT_PREFIX;
use crate::http::pages::see_other;
use crate::http::percent;
use crate::http::reply::Reply;
use crate::http::wire::amount;
use crate::http::wire::query::Query;
use crate::ledger::{Amount, Decimal, Status};
use crate::payments::Payments;
use bytes::Bytes;
use drawdown_pages::Tone;
use drawdown_pages::buy::{AmountOffer, Buy, PackageOffer};
use drawdown_pages::cards::CardChoice;
use hyper::StatusCode;
use hyper::body::Body;
use std::sync::Arc;

/// What is wrong with an order.
struct Refusal {
    /// The amount that was typed, if it was about that.
    typed: Option<String>,
    /// In words.
    why: String,
}

/// `GET /portal/{currency}/buy`
pub(super) fn get(visit: &Visit<'_>) -> Result<Reply, Stop> {
    offers(visit, None)
}

/// `POST /portal/{currency}/buy`
pub(super) async fn post<B>(visit: &Visit<'_>, body: B) -> Result<Reply, Stop>
where
    B: Body<Data = Bytes> + Unpin,
{
    let form = visit.form(body).await?;
    let request = match order(visit, &form) {
        Ok(request) => request,
        Err(refusal) => return offers(visit, Some(&refusal)),
    };
    let (top_up, _is_again, ticket) = match visit.call.engine().create_top_up(&request) {
        Ok(made) => made,
        Err(error) => {
            let Some(why) = words::refusal(&error) else { return Err(error.into()) };
            return offers(visit, Some(&Refusal { typed: form.text("amount").map(str::to_owned), why }));
        }
    };
    let view = settled(&visit.call, top_up, ticket).await?;
    let shown = format!("{}?top_up={}", visit.link("purchase"), percent::encode(&view.top_up.id));
    let own = view.top_up.checkout_url.filter(|_| view.top_up.progress.is_open());
    let own = own.and_then(|url| super::below(&visit.call, &url));
    Ok(see_other(own.unwrap_or(shown)))
}

/// What the form orders.
fn order(visit: &Visit<'_>, form: &Query) -> Result<TopUpRequest, Refusal> {
    let refused = |why: &str| Refusal { typed: None, why: why.to_owned() };
    let Some(once) = form.text("once").filter(|once| once.len() <= 64) else {
        return Err(refused("The page was not whole. Try again."));
    };
    let package = form.text("package").map(|id| (id.to_owned(), 1));
    let typed = form.text("amount").filter(|_| package.is_none());
    let amount = match (typed, Worth::of_fiat(visit.currency())) {
        (None, _) => None,
        (Some(typed), Some(worth)) => {
            let decimal = Decimal::parse(typed.as_bytes());
            let wrong = |_| Refusal { typed: Some(typed.to_owned()), why: "This is not an amount.".to_owned() };
            Some((decimal.map_err(wrong)?, worth.code().as_str().to_owned()))
        }
        (Some(_), None) => return Err(refused("Only packages can be bought.")),
    };
    if package.is_none() && amount.is_none() {
        let why = "Enter an amount, or choose a package.".to_owned();
        return Err(Refusal { typed: Some(String::new()), why });
    }
    let card = form.text("card");
    let is_usable = |id: &str| cards(visit).iter().any(|card| card.id == id);
    if card.is_some_and(|card| !is_usable(card)) {
        return Err(refused("This card cannot be charged. Choose another."));
    }
    let usual = visit.call.app.payments.as_ref().and_then(Payments::usual);
    // Who collects elsewhere has no page of ours to be sent to.
    let is_outside = usual == Some(OUTSIDE);
    Ok(TopUpRequest {
        customer: visit.customer().to_owned(),
        currency: Some(visit.currency().id.clone()),
        kind: Kind::Manual,
        package,
        amount,
        credits: None,
        collection: match card {
            Some(_) => Some(Collection::Charge),
            None if is_outside => None,
            None => Some(Collection::Checkout),
        },
        provider: if card.is_some() { None } else { usual.map(str::to_owned) },
        method: card.map(str::to_owned),
        saves_method: true,
        credits_at_once: false,
        return_url: Some(visit.address("purchase")),
        address: None,
        expiry_ms: None,
        key: Some(format!("{EFFECT_PREFIX}portal:{}", visit.call.app.portal.keys.order_key(visit.customer(), once))),
        metadata: Metadata::new(),
        buyer: Buyer::Customer,
        form: None,
    })
}

/// The cards that can be charged, the default one first.
pub(super) fn cards(visit: &Visit<'_>) -> Vec<Arc<PaymentMethod>> {
    let now = visit.call.engine().now();
    let mut all = visit.call.engine().payment_methods(visit.customer());
    let is_known = |provider: &str| visit.call.app.payments.as_ref().is_some_and(|payments| payments.knows(provider));
    all.retain(|method| method.status(now) == MethodStatus::Active && is_known(&method.provider));
    all.sort_by_key(|method| (!method.is_default, std::cmp::Reverse(method.created_at)));
    all
}

/// Cards to choose from: their ids, and what they are called.
pub(super) fn choices(cards: &[Arc<PaymentMethod>]) -> Vec<(String, String)> {
    cards.iter().map(|method| (method.id.clone(), words::card(method))).collect()
}

/// The packages of the wallet's currency that a customer may pay for.
pub(super) fn packages(visit: &Visit<'_>, limits: &PortalLimits) -> Vec<Arc<CreditPackage>> {
    let mut all = visit.call.engine().packages(None, usize::MAX);
    all.retain(|package| {
        package.currency == visit.currency().number && !package.archived && limits.check_payment(package.price).is_ok()
    });
    all.sort_by_key(|package| (package.price.code, package.price.units));
    all
}

/// Why nothing can be bought, if so.
pub(super) fn closed(visit: &Visit<'_>) -> Option<&'static str> {
    let engine = visit.call.engine();
    let wallet = engine.wallet(visit.customer(), &visit.currency().id);
    let customer = engine.customer(visit.customer());
    if visit.call.app.payments.as_ref().and_then(Payments::usual).is_none() {
        Some("Credits cannot be bought here at the moment.")
    } else if visit.currency().archived {
        Some("These credits are not sold any more.")
    } else if customer.is_ok_and(|customer| customer.archived) {
        Some("This account takes no new credits.")
    } else if wallet.is_ok_and(|wallet| wallet.status == Status::Closed) {
        Some("The wallet is closed and takes no new credits.")
    } else {
        None
    }
}

/// The page, with what was wrong with the order before.
fn offers(visit: &Visit<'_>, refusal: Option<&Refusal>) -> Result<Reply, Stop> {
    let limits = visit.call.engine().portal_limits(&visit.currency().id)?;
    let scale = visit.currency().scale;
    let packages = packages(visit, &limits);
    let texts: Vec<[Option<String>; 4]> = packages
        .iter()
        .map(|package| {
            let bonus = (package.bonus > Amount::ZERO).then(|| amount(package.bonus, scale));
            let lasts = package.valid_for_ms.map(words::duration);
            [Some(amount(package.credits, scale)), bonus, Some(words::money(package.price)), lasts]
        })
        .collect();
    let offers: Vec<PackageOffer<'_>> = packages
        .iter()
        .zip(&texts)
        .map(|(package, [credits, bonus, price, lasts])| PackageOffer {
            id: &package.id,
            name: &package.name,
            credits: credits.as_deref().unwrap_or_default(),
            bonus: bonus.as_deref(),
            price: price.as_deref().unwrap_or_default(),
            lasts: lasts.as_deref(),
        })
        .collect();
    let code = Worth::of_fiat(visit.currency()).map(Worth::code);
    let bounds = [limits.min_payment, limits.max_payment].map(|limit| limit.map(|money| money.to_string()));
    let typed = refusal.filter(|_| code.is_some());
    let rejected = typed.and_then(|refusal| Some((refusal.typed.as_deref()?, refusal.why.as_str())));
    let offer = code.as_ref().map(|code| AmountOffer {
        currency: code.as_str(),
        min: bounds[0].as_deref(),
        max: bounds[1].as_deref(),
        rejected,
    });
    let choices = choices(&cards(visit));
    let cards: Vec<CardChoice<'_>> = choices.iter().map(|(id, title)| CardChoice { id, title }).collect();
    let page = Buy {
        symbol: visit.symbol(),
        once: &hex(&random::<16>()?),
        packages: &offers,
        amount: offer,
        cards: &cards,
        closed: closed(visit),
    };
    match refusal {
        None => visit.show(|session| page.page(session)),
        Some(Refusal { why, .. }) => {
            let message = if rejected.is_some() { None } else { Some((Tone::Bad, why.as_str())) };
            Ok(visit.frame(StatusCode::UNPROCESSABLE_ENTITY, message, |session| page.page(session)))
        }
    }
}
