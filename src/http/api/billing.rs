//! Money in: packages, base packages, top-ups, automatic rules, invoices.
//!
//! A request that would need a payment provider is refused before anything is recorded, unless somebody speaks with that provider
//! ([`crate::engine::Engine::connect_provider`]): what is bought is collected elsewhere and confirmed, or invoiced.

use super::grants::replayed;
use super::{documents, named, parse};
use crate::billing::invoice::Number;
use crate::billing::money::Worth;
use crate::billing::top_up::{Event, Kind};
use crate::billing::{Money, OUTSIDE};
use crate::engine::billing::{TopUpRequest, TopUpView};
use crate::engine::{CommandError, Engine, Ticket};
use crate::http::app::{Call, unsupported};
use crate::http::auth::hex;
use crate::http::body;
use crate::http::decode;
use crate::http::idempotency::EFFECT_PREFIX;
use crate::http::percent;
use crate::http::problem::{Problem, Reason};
use crate::http::reply::Reply;
use crate::http::wire::Page;
use crate::http::wire::billing::{
    InvoiceBody, MethodBody, PackageBody, RechargeBody, TopUpBody, invoice_number, package_spec, payment_method,
    top_up_request,
};
use crate::http::wire::fields::Fields;
use crate::http::wire::query::Query;
use crate::http::wire::rules::{RuleBody, rule};
use crate::payments::{Payments, SetupAsk};
use bumpalo::Bump;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Body;
use std::time::Duration;

/// How long an answer waits for what a provider says; after that it says what is known.
const PROVIDER_PATIENCE: Duration = Duration::from_secs(8);
/// The key of a payment, or of a refund, that came without one: said again, it is the same.
const ONLY: &str = "only";

/// `PUT /v1/credit-packages/{package}`
pub(crate) async fn put_package<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let (spec, currency) = {
        let arena = Bump::new();
        let tree = parse(&body.bytes, &arena)?;
        let fields = Fields::of(&tree, None)?;
        (package_spec(call.first(), &fields)?, fields.text("currency")?.map(str::to_owned))
    };
    let (package, ticket) = call.engine().put_package(&spec, currency.as_deref()).map_err(named)?;
    ticket.await?;
    Ok(Reply::ok(&package_body(call.engine(), &package)?))
}

fn package_body(engine: &Engine, package: &crate::billing::CreditPackage) -> Result<PackageBody, Problem> {
    let currency = engine.currency_by_number(package.currency);
    let currency = currency.ok_or(CommandError::NotFound { what: "credit_currency" })?;
    Ok(PackageBody::of(package, &currency))
}

/// `GET /v1/credit-packages/{package}`
pub(crate) fn get_package(call: Call<'_>) -> Result<Reply, Problem> {
    let package = call.engine().package(call.first());
    let package = package.ok_or(CommandError::NotFound { what: "credit_package" })?;
    Ok(Reply::ok(&package_body(call.engine(), &package)?))
}

/// `GET /v1/credit-packages`
pub(crate) fn list_packages(call: Call<'_>) -> Result<Reply, Problem> {
    let list = Query::parse(call.parts.uri.query())?.list()?;
    let mut found = call.engine().packages(list.cursor.as_deref(), list.limit + 1);
    let more = found.len() > list.limit;
    found.truncate(list.limit);
    let next_cursor = found.last().filter(|_| more).map(|last| last.id.clone());
    let data = found.iter().map(|package| package_body(call.engine(), package)).collect::<Result<Vec<_>, _>>()?;
    Ok(Reply::ok(&Page { data, next_cursor }))
}

/// `GET /v1/credit-currencies/{currency}/recharge-config`
pub(crate) fn get_recharge(call: Call<'_>) -> Result<Reply, Problem> {
    let (currency, package) = call.engine().recharge(call.first())?;
    let page = format!("{}/buy", percent::encode(&currency.id));
    let payment_url = package.as_ref().map(|_| call.app.portal.address(&page));
    Ok(Reply::ok(&RechargeBody::of(&currency, package.as_deref(), payment_url)))
}

/// `PUT /v1/credit-currencies/{currency}/recharge-config`
pub(crate) async fn put_recharge<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let package = {
        let arena = Bump::new();
        let tree = parse(&body.bytes, &arena)?;
        let fields = Fields::of(&tree, None)?;
        if !fields.names("package") {
            return Err(fields.refused("package", "the field is missing: a package's id, or null"));
        }
        fields.text("package")?.map(str::to_owned)
    };
    call.engine().set_recharge(call.first(), package.as_deref())?.await?;
    get_recharge(call)
}

/// `POST /v1/top-ups`
pub(crate) async fn post_top_up<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let key = call.effect_key();
    let body = call.json(body).await?;
    let request = {
        let arena = Bump::new();
        top_up_request(&Fields::of(&parse(&body.bytes, &arena)?, None)?, call.engine(), key.as_deref())?
    };
    let request = by_provider(&call, request);
    let (top_up, is_replayed, ticket) = call.engine().create_top_up(&request).map_err(named)?;
    let mut top_up = settled(&call, top_up, ticket).await?;
    if top_up.top_up.form.is_some() && top_up.top_up.checkout_url.is_none() && top_up.top_up.status().is_open() {
        // Nobody else has a page for it.
        let shown = Event::CheckoutOpened { url: super::deposits::page_of(&call, &top_up.top_up) };
        let (view, ticket) = call.engine().top_up_event(&top_up.top_up.id, &shown)?;
        ticket.await?;
        top_up = view;
    }
    let body = TopUpBody::of(call.engine(), top_up);
    let location = format!("/v1/top-ups/{}", body.id());
    let reply = Reply::json(StatusCode::CREATED, &body).header("location", location);
    Ok(if is_replayed { replayed(reply) } else { reply })
}

/// Where nobody says which provider is to collect, the server's own choice does; a card that is entered on its page is kept.
fn by_provider(call: &Call<'_>, request: TopUpRequest) -> TopUpRequest {
    let usual = call.app.payments.as_ref().and_then(Payments::usual).filter(|name| *name != OUTSIDE);
    let provider = match request.kind {
        Kind::Manual => request.provider.or_else(|| usual.map(str::to_owned)),
        Kind::Auto | Kind::Deposit | Kind::Offline | Kind::Charge { .. } => request.provider,
    };
    TopUpRequest { provider, saves_method: true, ..request }
}

/// Waits for the disk, and for a while for what the provider says, and shows how the top-up stands then.
pub(in crate::http) async fn settled(call: &Call<'_>, top_up: TopUpView, ticket: Ticket) -> Result<TopUpView, Problem> {
    ticket.await?;
    let Some(payments) = &call.app.payments else { return Ok(top_up) };
    payments.take_up();
    let id = &top_up.top_up.id;
    payments.settle(id, PROVIDER_PATIENCE).await;
    payments.show_outside_page(id).await.map_err(super::payments::problem_of)?;
    Ok(call.engine().top_up(id)?)
}

/// `GET /v1/top-ups/{top_up}`
pub(crate) fn get_top_up(call: Call<'_>) -> Result<Reply, Problem> {
    Ok(Reply::ok(&TopUpBody::of(call.engine(), call.engine().top_up(call.first())?)))
}

/// `GET /v1/top-ups`: the newest first.
pub(crate) fn list_top_ups(call: Call<'_>) -> Result<Reply, Problem> {
    let query = Query::parse(call.parts.uri.query())?;
    let list = query.list()?;
    let mut found = call.engine().top_ups(query.text("customer"), list.cursor.as_deref(), list.limit + 1);
    let more = found.len() > list.limit;
    found.truncate(list.limit);
    let next_cursor = found.last().filter(|_| more).map(|last| last.top_up.id.clone());
    let data = found.into_iter().map(|view| TopUpBody::of(call.engine(), view)).collect();
    Ok(Reply::ok(&Page { data, next_cursor }))
}

/// Tells a top-up something, and shows what comes of it.
async fn tell(call: &Call<'_>, event: &Event) -> Result<Reply, Problem> {
    told(call, call.engine().top_up_event(call.first(), event)?).await
}

async fn told(call: &Call<'_>, (top_up, ticket): (TopUpView, Ticket)) -> Result<Reply, Problem> {
    let top_up = settled(call, top_up, ticket).await?;
    Ok(Reply::ok(&TopUpBody::of(call.engine(), top_up)))
}

/// `POST /v1/top-ups/{top_up}/cancel`: repeating it is success.
pub(crate) async fn cancel_top_up<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    told(&call, call.engine().cancel_top_up_once(call.first(), call.request_key())?).await
}

/// What a body says of money that has moved.
struct Moved {
    money: Option<Money>,
    key: Option<String>,
    is_last: bool,
}

/// Reads `{amount?, key?, last?}`. All fields may be left out, and so the body.
async fn moved<B>(call: &Call<'_>, body: B, view: &TopUpView) -> Result<Moved, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.receive(body).await?;
    if body.bytes.is_empty() {
        return Ok(Moved { money: None, key: None, is_last: false });
    }
    if !decode::is_json(&call.parts.headers) {
        return Err(unsupported("application/json"));
    }
    let arena = Bump::new();
    let tree = parse(&body.bytes, &arena)?;
    let fields = Fields::of(&tree, None)?;
    let money = |amount| {
        Money::from_decimal(amount, view.top_up.code()).map_err(|error| Problem::field("amount", error.detail))
    };
    let key = fields.text("key")?;
    if key.is_some_and(|key| key.is_empty() || key.len() > 255) {
        return Err(fields.refused("key", "must have 1 to 255 bytes"));
    }
    if key.is_some_and(|key| key.starts_with(EFFECT_PREFIX)) {
        return Err(fields.refused("key", "must not begin with idk:"));
    }
    Ok(Moved {
        money: fields.decimal("amount")?.map(money).transpose()?,
        key: key.map(str::to_owned),
        is_last: fields.flag("last")?.unwrap_or(false),
    })
}

/// `POST /v1/top-ups/{top_up}/confirm`: money has come.
pub(crate) async fn confirm_top_up<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let view = match call.engine().top_up(call.first()) {
        Ok(view) => view,
        Err(error) => return Err(call.refuse(body, error.into()).await),
    };
    let Moved { money, key, is_last } = moved(&call, body, &view).await?;
    let key = key.or_else(|| call.effect_key()).unwrap_or_else(|| ONLY.to_owned());
    let known = view.top_up.payments.iter().find(|payment| payment.key == key).map(|payment| payment.money);
    let Some(money) = money.or(known).or_else(|| due(&view)) else {
        return Err(Problem::field("amount", "the field is missing: the payer decides"));
    };
    tell(&call, &Event::Confirm { key, money, is_last }).await
}

/// What has not come yet of what was to come.
fn due(view: &TopUpView) -> Option<Money> {
    let price = view.top_up.purchase.price?;
    view.top_up.received().map_or(Some(price), |received| price.checked_sub(received)).filter(|due| due.units > 0)
}

/// `POST /v1/top-ups/{top_up}/refund`: money goes back.
pub(crate) async fn refund_top_up<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let view = match call.engine().top_up(call.first()) {
        Ok(view) => view,
        Err(error) => return Err(call.refuse(body, error.into()).await),
    };
    let Moved { money, key, .. } = moved(&call, body, &view).await?;
    let key = key.or_else(|| call.effect_key()).unwrap_or_else(|| ONLY.to_owned());
    tell(&call, &Event::AskRefund { key, money }).await
}

/// `PUT /v1/customers/{customer}/auto-topup-rules/{currency}`
pub(crate) async fn put_rule<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let engine = call.engine();
    let currency = engine.currency(call.second()).ok_or(CommandError::NotFound { what: "credit_currency" })?;
    let rule = {
        let arena = Bump::new();
        let tree = parse(&body.bytes, &arena)?;
        let code = |package: Option<&str>| match package {
            Some(id) => engine.package(id).map(|package| package.price.code),
            None => Worth::of_fiat(&currency).map(Worth::code),
        };
        rule(call.first(), &currency, &Fields::of(&tree, None)?, code)?
    };
    let (view, ticket) = engine.put_rule(rule)?;
    ticket.await?;
    Ok(Reply::ok(&RuleBody::of(view)))
}

/// `GET /v1/customers/{customer}/auto-topup-rules/{currency}`
pub(crate) fn get_rule(call: Call<'_>) -> Result<Reply, Problem> {
    Ok(Reply::ok(&RuleBody::of(call.engine().rule(call.first(), call.second())?)))
}

/// `DELETE /v1/customers/{customer}/auto-topup-rules/{currency}`: repeating it is success.
pub(crate) async fn delete_rule<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    call.engine().delete_rule(call.first(), call.second())?.await?;
    Ok(Reply::ok(&serde_json::json!({"deleted": true})))
}

/// `POST /v1/customers/{customer}/auto-topup-rules/{currency}/resume`: repeating it is success.
pub(crate) async fn resume_rule<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    let (view, ticket) = call.engine().resume_rule_once(call.first(), call.second(), call.request_key())?;
    ticket.await?;
    Ok(Reply::ok(&RuleBody::of(view)))
}

/// `GET /v1/invoices/{invoice}`
pub(crate) fn get_invoice(call: Call<'_>) -> Result<Reply, Problem> {
    let unknown = || Problem::new(Reason::Unknown("invoice"), "there is no such invoice");
    let number = invoice_number(call.first()).ok_or_else(unknown)?;
    let query = Query::parse(call.parts.uri.query())?;
    let form = documents::wanted(query.text("format"), &call.parts.headers)?;
    let invoice = call.engine().invoice(Number(number))?;
    if form == documents::Form::Json {
        return Ok(Reply::ok(&InvoiceBody::of(&invoice)));
    }
    let portal = &call.app.portal;
    let pdf = format!("{}/v1/invoices/{}?format=pdf", portal.prefix(), call.first());
    let places = documents::Places { seller: portal.merchant(), base: portal.base(), pdf: &pdf, back: None };
    documents::document(call.engine(), &invoice, form, &places)
}

/// `POST /v1/customers/{customer}/payment-methods`
pub(crate) async fn post_method<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let is_ours = |id: &String| {
        let added = call.engine().payment_method_added(&format!("pm_{id}"));
        added.is_none_or(|added| call.engine().remembers_since(added))
    };
    let made = match call.effect_ids().and_then(|mut ids| ids.find(is_ours)) {
        Some(id) => id,
        None => random_id()?,
    };
    let body = call.json(body).await?;
    let method = {
        let arena = Bump::new();
        let tree = parse(&body.bytes, &arena)?;
        let fields = Fields::of(&tree, None)?;
        if fields.names("reference") {
            Ok(payment_method(call.first(), format!("pm_{made}"), &fields)?)
        } else {
            let text = |name| Ok::<_, Problem>(fields.text(name)?.map(str::to_owned));
            let (provider, return_url) = (text("provider")?, text("return_url")?);
            Err(SetupAsk { customer: call.first().to_owned(), provider, return_url })
        }
    };
    let method = match method {
        Ok(method) => method,
        Err(ask) => return super::payments::begin_setup(&call, ask).await,
    };
    let (method, ticket) = call.engine().add_payment_method(method)?;
    ticket.await?;
    Ok(Reply::json(StatusCode::CREATED, &MethodBody::of(&method, call.engine().now())))
}

/// `GET /v1/customers/{customer}/payment-methods`: those that were taken away, too.
pub(crate) fn list_methods(call: Call<'_>) -> Result<Reply, Problem> {
    let list = Query::parse(call.parts.uri.query())?.list()?;
    let (all, now) = (call.engine().payment_methods(call.first()), call.engine().now());
    Ok(Reply::ok(&Page::of(all, &list, |method| method.id.as_str(), |method| MethodBody::of(method, now))))
}

/// `POST /v1/customers/{customer}/payment-methods/{id}/default`: repeating it is success.
pub(crate) async fn default_method<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    let (method, ticket) = call.engine().make_default_once(call.first(), call.second(), call.request_key())?;
    ticket.await?;
    Ok(Reply::ok(&MethodBody::of(&method, call.engine().now())))
}

/// `DELETE /v1/customers/{customer}/payment-methods/{id}`: repeating it is success.
pub(crate) async fn delete_method<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    if let Some(payments) = &call.app.payments {
        payments.detach(call.first(), call.second()).await.map_err(super::payments::problem_of)?;
    }
    let (method, ticket) = call.engine().detach_payment_method(call.first(), call.second())?;
    ticket.await?;
    Ok(Reply::ok(&MethodBody::of(&method, call.engine().now())))
}

/// Sixteen hexadecimal digits that nobody has had.
fn random_id() -> Result<String, Problem> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| Problem::from(crate::engine::Unavailable::Overloaded))?;
    Ok(hex(&bytes))
}
