//! Customers, setups, checkouts, refunds.

use super::amounts::to_stripe;
use super::api::{Api, Failure, Form, path_name};
use super::objects::{
    CheckoutSession, Expandable, Id, List, METADATA_KEY, PaymentMethod, RefundObject, SetupIntent, key_of,
};
use crate::providers::{
    CallError, ChargeRef, Checkout, CheckoutRef, CheckoutState, Collect, CustomerRef, FindRefund, Method, MethodRef,
    NewCheckout, NewCustomer, NewSetup, Refund, RefundOutcome, RefundRef, RefundState, Setup, SetupRef,
};

/// A session lasts from 30 minutes to 24 hours from when Stripe makes it; a minute of each side is for clocks and networks.
const SESSION_S_MIN: u64 = 31 * 60;
const SESSION_S_MAX: u64 = 24 * 3600 - 60;

fn metadata() -> String {
    format!("metadata[{METADATA_KEY}]")
}

pub(super) async fn create_customer(api: &Api, ask: &NewCustomer) -> Result<CustomerRef, CallError> {
    let form = Form::new()
        .with_some("name", ask.name.as_deref())
        .with_some("email", ask.email.as_deref())
        .with("description", &ask.reference)
        .with(&metadata(), ask.key.as_str())
        .with("metadata[drawdown_customer]", &ask.reference);
    let customer: Id = api.post("/v1/customers", ask.key.as_str(), form).await?;
    Ok(CustomerRef::new(customer.id))
}

pub(super) async fn begin_setup(api: &Api, ask: &NewSetup) -> Result<Setup, CallError> {
    match &ask.collect {
        Collect::InPage => {
            let form = Form::new()
                .with("customer", ask.customer.as_str())
                .with("usage", "off_session")
                .with("automatic_payment_methods[enabled]", "true")
                .with(&metadata(), ask.key.as_str());
            let intent: SetupIntent = api.post("/v1/setup_intents", ask.key.as_str(), form).await?;
            Ok(Setup { reference: SetupRef::new(intent.id), url: None, client_secret: intent.client_secret })
        }
        Collect::Hosted { return_url, cancel_url } => {
            let form = Form::new()
                .with("mode", "setup")
                .with("customer", ask.customer.as_str())
                .with("payment_method_types[0]", "card")
                .with("success_url", return_url)
                .with("cancel_url", cancel_url)
                .with(&metadata(), ask.key.as_str())
                .with(&format!("setup_intent_data[metadata][{METADATA_KEY}]"), ask.key.as_str());
            let session: CheckoutSession = api.post("/v1/checkout/sessions", ask.key.as_str(), form).await?;
            Ok(Setup { reference: SetupRef::new(session.id), url: session.url, client_secret: None })
        }
    }
}

pub(super) async fn method(api: &Api, method: &MethodRef) -> Result<Method, CallError> {
    let path = format!("/v1/payment_methods/{}", path_name(method.as_str())?);
    let method: PaymentMethod = api.get(&path, Form::new()).await?;
    Ok(method.into())
}

pub(super) async fn detach(api: &Api, method: &MethodRef) -> Result<(), CallError> {
    let name = path_name(method.as_str())?;
    // Detaching is the same however often it is done; the method's own name is key enough.
    let detached =
        api.post::<Id>(&format!("/v1/payment_methods/{name}/detach"), &format!("detach:{name}"), Form::new()).await;
    match detached {
        Ok(_) => Ok(()),
        // Stripe refuses to detach what is not attached. Whether that is so, it tells.
        Err(Failure::Answered(status, error)) => match self::method(api, method).await {
            Ok(Method { customer: None, .. }) => Ok(()),
            Err(CallError::Refused { code, .. }) if code == "resource_missing" => Ok(()),
            _ => Err(Failure::Answered(status, error).into()),
        },
        Err(failure) => Err(failure.into()),
    }
}

pub(super) async fn open_checkout(api: &Api, ask: &NewCheckout) -> Result<Checkout, CallError> {
    let amount = to_stripe(ask.money)?;
    let wanted_s = ask.expires_at_s.saturating_sub(ask.decided_at_s).clamp(SESSION_S_MIN, SESSION_S_MAX);
    let form = Form::new()
        .with("mode", "payment")
        .with("customer", ask.customer.as_str())
        .with("client_reference_id", ask.key.as_str())
        .with("line_items[0][quantity]", "1")
        .with("line_items[0][price_data][currency]", ask.money.currency.as_str().to_lowercase())
        .with("line_items[0][price_data][unit_amount]", amount.to_string())
        .with("line_items[0][price_data][product_data][name]", &ask.title)
        .with("success_url", ask.success_url.replace("{CHECKOUT}", "{CHECKOUT_SESSION_ID}"))
        .with("cancel_url", &ask.cancel_url)
        .with("expires_at", ask.decided_at_s.saturating_add(wanted_s).to_string())
        .with(&metadata(), ask.key.as_str())
        .with(&format!("payment_intent_data[metadata][{METADATA_KEY}]"), ask.key.as_str())
        .with("payment_intent_data[description]", &ask.title);
    let form = if ask.save_method { form.with("payment_intent_data[setup_future_usage]", "off_session") } else { form };
    let session: CheckoutSession = api.post("/v1/checkout/sessions", ask.key.as_str(), form).await?;
    let url = session.url.ok_or_else(|| CallError::Unknown { detail: format!("{} has no page", session.id) })?;
    Ok(Checkout { reference: CheckoutRef::new(session.id), url, expires_at_s: session.expires_at })
}

pub(super) async fn close_checkout(api: &Api, checkout: &CheckoutRef) -> Result<CheckoutState, CallError> {
    let name = path_name(checkout.as_str())?;
    let path = format!("/v1/checkout/sessions/{name}");
    let closed = api.post::<CheckoutSession>(&format!("{path}/expire"), &format!("expire:{name}"), Form::new()).await;
    let session = match closed {
        Ok(session) => session,
        // Only open sessions can be expired. How this one stands, it tells.
        Err(Failure::Answered(..)) => api.get(&path, Form::new()).await?,
        Err(failure) => return Err(failure.into()),
    };
    Ok(match session.status.as_deref() {
        Some("open") => CheckoutState::Open,
        Some("complete") => CheckoutState::Completed {
            paid: is_paid(&session),
            charge: session.payment_intent.map(Expandable::id).map(ChargeRef::new),
        },
        _ => CheckoutState::Expired,
    })
}

/// `no_payment_required` cannot be: the amount is more than nothing.
pub(super) fn is_paid(session: &CheckoutSession) -> bool {
    session.payment_status.as_deref() == Some("paid")
}

pub(super) async fn refund(api: &Api, ask: &Refund) -> RefundOutcome {
    make_refund(api, ask).await.unwrap_or_else(RefundOutcome::from)
}

async fn make_refund(api: &Api, ask: &Refund) -> Result<RefundOutcome, CallError> {
    let form = Form::new()
        .with("payment_intent", ask.charge.as_str())
        .with("amount", to_stripe(ask.money)?.to_string())
        .with("reason", "requested_by_customer")
        .with(&metadata(), ask.key.as_str());
    let refund: RefundObject = api.post("/v1/refunds", ask.key.as_str(), form).await?;
    Ok(accepted(&refund))
}

fn accepted(refund: &RefundObject) -> RefundOutcome {
    RefundOutcome::Accepted { refund: RefundRef::new(refund.id.clone()), state: refund_state(refund) }
}

/// `requires_action` waits for the customer's bank details; `canceled` is one that was canceled while it waited.
pub(super) fn refund_state(refund: &RefundObject) -> RefundState {
    match refund.status.as_deref() {
        Some("succeeded") => RefundState::Succeeded,
        Some("failed" | "canceled") => RefundState::Failed,
        _ => RefundState::Pending,
    }
}

pub(super) async fn find_refund(api: &Api, ask: &FindRefund) -> Result<Option<RefundOutcome>, CallError> {
    // One charge has few refunds: a page of a hundred holds them all.
    let query = Form::new().with("payment_intent", ask.charge.as_str()).with("limit", "100");
    let page: List<RefundObject> = api.get("/v1/refunds", query).await?;
    let ours = page.data.iter().find(|refund| key_of(&refund.metadata) == Some(ask.key.as_str()));
    match ours {
        Some(refund) => Ok(Some(accepted(refund))),
        None if page.has_more => {
            Err(CallError::Unknown { detail: format!("{} has more than 100 refunds", ask.charge) })
        }
        None => Ok(None),
    }
}

impl From<PaymentMethod> for Method {
    fn from(method: PaymentMethod) -> Self {
        let card = method.card;
        let expiry = card.as_ref().and_then(|card| Some((card.exp_month?, card.exp_year?)));
        Method {
            reference: MethodRef::new(method.id),
            customer: method.customer.map(Expandable::id).map(CustomerRef::new),
            brand: card.as_ref().and_then(|card| card.brand.clone()).unwrap_or(method.kind),
            last4: card.as_ref().and_then(|card| card.last4.clone()),
            expiry,
            fingerprint: card.and_then(|card| card.fingerprint),
        }
    }
}
