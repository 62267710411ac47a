//! Charging a saved payment method, and finding out what became of it.

use super::amounts::{AmountError, from_stripe, to_stripe};
use super::api::{Api, Failure, Form, path_name};
use super::declines::{decline, needs_authentication};
use super::objects::{ApiError, List, METADATA_KEY, PaymentIntent, key_of};
use crate::http::StatusCode;
use crate::providers::{CallError, Charge, ChargeOutcome, ChargeRef, Decline, FindCharge, FoundCharge};

/// Clocks differ, and a key may have been decided upon a while before it was first sent.
const SINCE_SLACK_S: u64 = 3600;

/// So many payment intents of a customer are looked through, a hundred at a time.
const PAGES: usize = 20;

impl From<AmountError> for CallError {
    fn from(error: AmountError) -> Self {
        CallError::Refused { code: "invalid_amount".to_owned(), message: error.to_string() }
    }
}

pub(super) async fn charge(api: &Api, ask: &Charge) -> ChargeOutcome {
    make(api, ask).await.unwrap_or_else(ChargeOutcome::from)
}

async fn make(api: &Api, ask: &Charge) -> Result<ChargeOutcome, CallError> {
    let amount = to_stripe(ask.money)?;
    if ask.repeat {
        let question = FindCharge { key: ask.key.clone(), customer: ask.customer.clone(), since_s: ask.decided_at_s };
        if let Some(intent) = find_intent(api, &question).await? {
            return Ok(settle(api, ask, intent).await);
        }
    }
    let form = Form::new()
        .with("amount", amount.to_string())
        .with("currency", ask.money.currency.as_str().to_lowercase())
        .with("customer", ask.customer.as_str())
        .with("payment_method", ask.method.as_str())
        .with("confirm", "true")
        .with("off_session", "true")
        .with("automatic_payment_methods[enabled]", "true")
        .with("description", &ask.description)
        .with(&format!("metadata[{METADATA_KEY}]"), ask.key.as_str());
    // Without a page to come back to, payment methods that lead away cannot be used.
    let form = match &ask.return_url {
        Some(url) => form.with("return_url", url),
        None => form.with("automatic_payment_methods[allow_redirects]", "never"),
    };
    match api.post::<PaymentIntent>("/v1/payment_intents", ask.key.as_str(), form).await {
        Ok(intent) => Ok(settle(api, ask, intent).await),
        Err(Failure::Answered(status, error)) => refusal(api, ask, status, *error).await,
        Err(failure) => Err(failure.into()),
    }
}

/// An error that Stripe answered a charge with.
async fn refusal(api: &Api, ask: &Charge, status: StatusCode, error: ApiError) -> Result<ChargeOutcome, CallError> {
    if let (true, Some(intent)) = (needs_authentication(&error), &error.payment_intent) {
        return Ok(authenticate(api, ask, &intent.id).await);
    }
    let declined = error.kind == "card_error" || error.param.as_deref() == Some("payment_method");
    if declined {
        let charge = error.payment_intent.as_ref().map(|intent| ChargeRef::new(intent.id.clone()));
        return Ok(ChargeOutcome::Declined { charge, decline: decline(&error) });
    }
    Err(Failure::Answered(status, Box::new(error)).into())
}

/// What a payment intent of ours means; goes on to authentication where that is what it waits for.
async fn settle(api: &Api, ask: &Charge, intent: PaymentIntent) -> ChargeOutcome {
    let waits = intent.status == "requires_payment_method";
    if waits && intent.last_payment_error.as_ref().is_some_and(needs_authentication) {
        return authenticate(api, ask, &intent.id).await;
    }
    outcome(&intent)
}

/// Confirms a payment intent again, this time with the customer present.
async fn authenticate(api: &Api, ask: &Charge, intent: &str) -> ChargeOutcome {
    let charge = ChargeRef::new(intent);
    let Some(return_url) = &ask.return_url else {
        return ChargeOutcome::RequiresAction { charge, url: None };
    };
    let name = match path_name(intent) {
        Ok(name) => name,
        Err(error) => return error.into(),
    };
    let form = Form::new().with("payment_method", ask.method.as_str()).with("return_url", return_url);
    let path = format!("/v1/payment_intents/{name}/confirm");
    match api.post::<PaymentIntent>(&path, &format!("{}:on-session", ask.key), form).await {
        Ok(intent) => outcome(&intent),
        Err(Failure::Answered(_, error)) if error.kind == "card_error" && !needs_authentication(&error) => {
            ChargeOutcome::Declined { charge: Some(charge), decline: decline(&error) }
        }
        // It may have moved on meanwhile, and then cannot be confirmed again.
        Err(Failure::Answered(..)) => {
            match api.get::<PaymentIntent>(&format!("/v1/payment_intents/{name}"), Form::new()).await {
                Ok(intent) => outcome(&intent),
                Err(failure) => CallError::from(failure).into(),
            }
        }
        Err(failure) => CallError::from(failure).into(),
    }
}

/// How a payment intent stands (docs.stripe.com/payments/paymentintents/lifecycle).
fn outcome(intent: &PaymentIntent) -> ChargeOutcome {
    let charge = ChargeRef::new(intent.id.clone());
    match (intent.status.as_str(), &intent.last_payment_error) {
        ("succeeded", _) => ChargeOutcome::Succeeded { charge },
        ("processing", _) => ChargeOutcome::Processing { charge },
        ("requires_action", _) => ChargeOutcome::RequiresAction { charge, url: intent.action_url() },
        ("requires_payment_method", Some(error)) if needs_authentication(error) => {
            ChargeOutcome::RequiresAction { charge, url: None }
        }
        ("requires_payment_method", Some(error)) => {
            ChargeOutcome::Declined { charge: Some(charge), decline: decline(error) }
        }
        ("canceled", _) => ChargeOutcome::Declined { charge: Some(charge), decline: canceled() },
        (status, _) => ChargeOutcome::Unknown { detail: format!("{charge} has the status {status}") },
    }
}

/// A payment intent that somebody canceled, at Stripe or by the API.
pub(super) fn canceled() -> Decline {
    Decline { code: "canceled".to_owned(), hard: false, message: "The payment was canceled.".to_owned() }
}

pub(super) async fn find(api: &Api, ask: &FindCharge) -> Result<Option<FoundCharge>, CallError> {
    let Some(intent) = find_intent(api, ask).await? else {
        return Ok(None);
    };
    let money = from_stripe(intent.amount, &intent.currency).ok_or_else(|| CallError::Unknown {
        detail: format!("{} has an amount that its currency has not", intent.id),
    })?;
    Ok(Some(FoundCharge { money, outcome: outcome(&intent) }))
}

/// Looks through the customer's payment intents, the newest first.
async fn find_intent(api: &Api, ask: &FindCharge) -> Result<Option<PaymentIntent>, CallError> {
    let since_s = ask.since_s.saturating_sub(SINCE_SLACK_S).to_string();
    let mut after: Option<String> = None;
    for _ in 0..PAGES {
        let query = Form::new()
            .with("customer", ask.customer.as_str())
            .with("created[gte]", &since_s)
            .with("limit", "100")
            .with_some("starting_after", after.as_deref());
        let page: List<PaymentIntent> = api.get("/v1/payment_intents", query).await?;
        after = page.data.last().map(|intent| intent.id.clone());
        let ours = page.data.into_iter().filter(|intent| key_of(&intent.metadata) == Some(ask.key.as_str()));
        // One key, one payment intent; should somebody have made a second, the one that moved money counts.
        let ours = ours.reduce(|newest, older| if older.status == "succeeded" { older } else { newest });
        if ours.is_some() || !page.has_more || after.is_none() {
            return Ok(ours);
        }
    }
    Err(CallError::Unknown { detail: format!("more than {PAGES} pages of payment intents since {since_s}") })
}
