//! How a top-up begins.

use super::super::deposit::check_url;
use super::super::{Invalid, check_text};
use super::effect::{Command, Effect, News, Step};
use super::{Collection, Credit, DEFAULT_EXPIRY_MS, Dispute, Goods, Kind, Purchase, Status, TopUp};
use crate::catalog::{CurrencyNumber, Metadata};
use crate::ledger::{Amount, MAX_PRIORITY, Timestamp};

/// The longest that a customer may have to pay: 30 days, ms.
const EXPIRY_MAX_MS: u64 = 30 * 86_400_000;

/// A top-up to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopUp {
    /// Its id, 1 to 64 bytes, new.
    pub id: String,
    /// Whose wallet.
    pub customer: String,
    /// In which currency.
    pub currency: CurrencyNumber,
    /// What sets it off.
    pub kind: Kind,
    /// What is bought.
    pub purchase: Purchase,
    /// How the money is collected.
    pub collection: Collection,
    /// By whom.
    pub provider: String,
    /// The payment method to be charged.
    pub method: Option<String>,
    /// Whether a method is to be saved on the way.
    pub saves_method: bool,
    /// Whether the credits come before the money.
    pub credits_at_once: bool,
    /// Where the customer goes after the provider's page.
    pub return_url: Option<String>,
    /// Where a deposit goes to.
    pub address: Option<String>,
    /// How long it is waited for, ms; [`DEFAULT_EXPIRY_MS`] without it. Invoices take their time.
    pub expiry_ms: Option<u64>,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// The caller's own data.
    pub metadata: Metadata,
    /// The form by which a deposit is made.
    pub form: Option<String>,
}

/// Checks a top-up, and makes it. Its first step is to be recorded before anything of it is done: a charge leaves when the intent to charge is on
/// disk.
pub fn create(new: NewTopUp, now: Timestamp) -> Result<Step, Invalid> {
    check(&new)?;
    let mut effects = Vec::new();
    match new.collection {
        Collection::Charge => effects.push(charge(&new)),
        Collection::Checkout => effects.push(checkout(&new)),
        Collection::Invoice => effects.push(Effect::IssueInvoice { paid: false }),
        Collection::Outside => {}
    }
    let expires_at = match new.collection {
        Collection::Invoice => None,
        _ => Some(now.saturating_add(new.expiry_ms.unwrap_or(DEFAULT_EXPIRY_MS))),
    };
    let credit = match (new.credits_at_once, new.purchase.goods, new.purchase.price) {
        (false, ..) => Credit::None,
        (true, Goods::Fixed(credits), _) => Credit::Due(credits),
        (true, Goods::Worth(worth), price) => {
            price.and_then(|price| worth.credits(price)).map_or(Credit::None, Credit::Due)
        }
    };
    let top_up = TopUp {
        id: new.id,
        customer: new.customer,
        currency: new.currency,
        kind: new.kind,
        purchase: new.purchase,
        collection: new.collection,
        provider: new.provider,
        method: new.method,
        saves_method: new.saves_method,
        credits_at_once: new.credits_at_once,
        return_url: new.return_url,
        checkout_url: None,
        address: new.address,
        progress: Status::Created,
        in_doubt: false,
        declines: 0,
        failure: None,
        payments: Vec::new(),
        captured: None,
        refunds: Vec::new(),
        dispute: Dispute::None,
        credit,
        to_claw_back: Amount::ZERO,
        clawed_back: Amount::ZERO,
        to_freeze: false,
        frozen: false,
        key: new.key,
        metadata: new.metadata,
        created_at: now,
        updated_at: now,
        expires_at,
        completed_at: None,
        form: new.form,
    };
    if let Credit::Due(amount) = credit {
        effects.push(Effect::Credit(top_up.credit_order(amount)));
    }
    effects.push(Effect::Tell(News::Created));
    Ok(Step { top_up, path: vec![Status::Created], effects, oddity: None })
}

fn charge(new: &NewTopUp) -> Effect {
    let (method, money) = (new.method.clone(), new.purchase.price);
    let (method, money) = method.zip(money).expect("checked: what is charged has a method and a price");
    Effect::Provider(Command::Charge { method, money })
}

fn checkout(new: &NewTopUp) -> Effect {
    let (money, saves_method, return_url) = (new.purchase.price, new.saves_method, new.return_url.clone());
    Effect::Provider(Command::OpenCheckout { money, saves_method, return_url })
}

fn check(new: &NewTopUp) -> Result<(), Invalid> {
    check_text("id", &new.id, 64)?;
    check_text("customer", &new.customer, 128)?;
    check_text("provider", &new.provider, 64)?;
    new.key.as_deref().map_or(Ok(()), |key| check_text("key", key, 255))?;
    new.address.as_deref().map_or(Ok(()), |address| check_text("address", address, 255))?;
    check_url("return_url", new.return_url.as_deref())?;
    if !matches!(new.expiry_ms, None | Some(1..=EXPIRY_MAX_MS)) {
        return Err(Invalid::new("expires_in_seconds", "must be above zero, and 30 days at most"));
    }
    check_purchase(&new.purchase, matches!(new.kind, Kind::Charge { .. }))?;
    match new.collection {
        Collection::Charge if new.method.is_none() => {
            return Err(Invalid::new("payment_method", "must be given: there is none to charge"));
        }
        Collection::Charge | Collection::Invoice if new.purchase.price.is_none() => {
            return Err(Invalid::new("amount", "must be given"));
        }
        _ => {}
    }
    if new.purchase.price.is_none() && new.kind != Kind::Deposit {
        return Err(Invalid::new("amount", "must be given: only deposits leave it to the payer"));
    }
    if new.kind == Kind::Auto && new.collection != Collection::Charge {
        return Err(Invalid::new("payment_method", "automatic top-ups charge a saved one"));
    }
    if new.credits_at_once && new.collection != Collection::Invoice {
        return Err(Invalid::new("credits_at_once", "is for customers who are sent invoices"));
    }
    Ok(())
}

fn check_purchase(purchase: &Purchase, buys_nothing: bool) -> Result<(), Invalid> {
    if purchase.price.is_some_and(|price| price.units <= 0) {
        return Err(Invalid::new("amount", "must be greater than zero"));
    }
    if purchase.quantity == 0 {
        return Err(Invalid::new("quantity", "must be above zero"));
    }
    if purchase.priority > MAX_PRIORITY {
        return Err(Invalid::new("priority", "must be 0 to 100"));
    }
    if purchase.valid_for_ms == Some(0) {
        return Err(Invalid::new("valid_for_seconds", "must be above zero"));
    }
    let credits = match (purchase.goods, purchase.price) {
        (Goods::Fixed(_), None) => return Err(Invalid::new("amount", "must be given together with `credits`")),
        (Goods::Fixed(credits), Some(_)) => Some(credits),
        (Goods::Worth(worth), Some(price)) => worth.credits(price),
        (Goods::Worth(_), None) => return Ok(()),
    };
    match credits {
        Some(Amount::ZERO) if buys_nothing => Ok(()),
        Some(credits) if credits <= Amount::ZERO => Err(Invalid::new("credits", "must be greater than zero")),
        Some(credits) if credits <= Amount::MAX_BALANCE => Ok(()),
        _ => Err(Invalid::new("amount", "is too large, or in other money than the credits stand for")),
    }
}
