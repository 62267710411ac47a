//! Money in: packages, top-ups, invoices.
//!
//! Money is decimal text in whole units of its currency, with all places of the minor unit.

use super::fields::Fields;
use super::grants::{Seconds, duration_ms};
use super::{amount, instant};
use crate::billing::invoice::{Invoice, Payer, Subject};
use crate::billing::method::CardExpiry;
use crate::billing::top_up::{Collection, Credit, Kind, Refund, TopUp};
use crate::billing::{CreditPackage, Money, PackageSpec, PaymentMethod};
use crate::engine::Engine;
use crate::engine::billing::{Buyer, TopUpRequest, TopUpView};
use crate::engine::catalog::{CreditCurrency, CurrencyKind};
use crate::engine::view::Metadata;
use crate::http::idempotency::EFFECT_PREFIX;
use crate::http::problem::Problem;
use crate::http::wire::catalog::CurrencyBody;
use crate::ledger::{Decimal, MAX_PRIORITY, Timestamp};
use serde::Serialize;

/// Money with its currency.
#[derive(Debug, Serialize)]
pub(crate) struct MoneyBody {
    amount: String,
    currency: String,
}

impl MoneyBody {
    fn of(money: Money) -> Self {
        MoneyBody { amount: money.to_string(), currency: money.code.as_str().to_owned() }
    }
}

/// A credit package as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct PackageBody {
    id: String,
    name: String,
    currency: String,
    credits: String,
    bonus: String,
    price: MoneyBody,
    valid_for_seconds: Option<Seconds>,
    priority: u8,
    max_per_customer: Option<u32>,
    status: &'static str,
    metadata: Metadata,
}

impl PackageBody {
    pub(crate) fn of(package: &CreditPackage, currency: &CreditCurrency) -> Self {
        PackageBody {
            id: package.id.clone(),
            name: package.name.clone(),
            currency: currency.id.clone(),
            credits: amount(package.credits, currency.scale),
            bonus: amount(package.bonus, currency.scale),
            price: MoneyBody::of(package.price),
            valid_for_seconds: package.valid_for_ms.map(Seconds::of_ms),
            priority: package.priority,
            max_per_customer: package.max_per_customer,
            status: if package.archived { "archived" } else { "active" },
            metadata: package.metadata.clone(),
        }
    }
}

/// Reads what a package should be. Its name defaults to its id.
pub(crate) fn package_spec(id: &str, fields: &Fields<'_, '_>) -> Result<PackageSpec, Problem> {
    let Some(price) = fields.object("price")? else {
        return Err(fields.refused("price", "the field is missing: {amount, currency}"));
    };
    let is_archived = |name: &str| match name {
        "active" => Some(false),
        "archived" => Some(true),
        _ => None,
    };
    let status = fields.choice("status", is_archived, "must be active or archived")?;
    let max = fields.integer("max_per_customer", 1..=i64::from(u32::MAX))?;
    Ok(PackageSpec {
        id: id.to_owned(),
        name: fields.text("name")?.unwrap_or(id).to_owned(),
        credits: fields.required_decimal("credits")?,
        bonus: fields.decimal("bonus")?,
        price: price.required_decimal("amount")?,
        price_currency: price.required_text("currency")?.to_owned(),
        valid_for_ms: duration_ms(fields, "valid_for_seconds")?,
        priority: priority(fields)?,
        max_per_customer: max.map(|max| u32::try_from(max).unwrap_or(u32::MAX)),
        archived: status.unwrap_or(false),
        metadata: fields.metadata("metadata")?.unwrap_or_default(),
    })
}

/// Reads a `priority`.
pub(crate) fn priority(fields: &Fields<'_, '_>) -> Result<Option<u8>, Problem> {
    let priority = fields.integer("priority", 0..=i64::from(MAX_PRIORITY))?;
    Ok(priority.map(|priority| priority.cast_unsigned() as u8))
}

/// How a currency's credits are bought when nothing else is said.
#[derive(Debug, Serialize)]
pub(crate) struct RechargeBody {
    currency_info: CurrencyBody,
    recharge_config: RechargeConfigBody,
}

#[derive(Debug, Serialize)]
struct RechargeConfigBody {
    package: Option<PackageBody>,
    /// Where a customer buys it: a page of the portal, which is to be open.
    payment_url: Option<String>,
}

impl RechargeBody {
    pub(crate) fn of(currency: &CreditCurrency, package: Option<&CreditPackage>, payment_url: Option<String>) -> Self {
        let package = package.map(|package| PackageBody::of(package, currency));
        let recharge_config = RechargeConfigBody { package, payment_url };
        RechargeBody { currency_info: CurrencyBody::of(currency), recharge_config }
    }
}

/// A top-up as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct TopUpBody {
    id: String,
    customer: String,
    currency: String,
    kind: &'static str,
    status: &'static str,
    package: Option<String>,
    quantity: u32,
    /// What is to be paid; `null` where the payer decides.
    amount: Option<String>,
    amount_currency: String,
    received: String,
    captured: Option<String>,
    refunded: String,
    /// What was credited, or is to be.
    credits: Option<String>,
    credited: String,
    clawed_back: String,
    credit_status: &'static str,
    grant: Option<String>,
    provider: String,
    collection: &'static str,
    payment_method: Option<String>,
    checkout_url: Option<String>,
    return_url: Option<String>,
    address: Option<String>,
    form: Option<String>,
    attempts: u32,
    failure: Option<FailureBody>,
    refunds: Vec<RefundBody>,
    invoice: Option<String>,
    key: Option<String>,
    metadata: Metadata,
    expires_at: Option<String>,
    completed_at: Option<String>,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Serialize)]
struct FailureBody {
    code: String,
    hard: bool,
}

#[derive(Debug, Serialize)]
struct RefundBody {
    key: Option<String>,
    amount: String,
    status: &'static str,
    created_at: String,
}

/// A caller's own key. What this server made of an `Idempotency-Key` is nobody's.
fn own_key(key: &str) -> Option<String> {
    Some(key).filter(|key| !key.starts_with(EFFECT_PREFIX)).map(str::to_owned)
}

impl RefundBody {
    fn of(refund: &Refund) -> Self {
        RefundBody {
            key: own_key(&refund.key),
            amount: refund.money.to_string(),
            status: refund.status.as_str(),
            created_at: instant(refund.at),
        }
    }
}

const KINDS: [(&str, Kind); 4] =
    [("manual", Kind::Manual), ("auto", Kind::Auto), ("deposit", Kind::Deposit), ("offline", Kind::Offline)];

fn kind_name(kind: Kind) -> &'static str {
    KINDS.into_iter().find(|(_, known)| *known == kind).map_or("charge", |(name, _)| name)
}

impl TopUpBody {
    pub(crate) fn of(engine: &Engine, view: TopUpView) -> Self {
        let TopUpView { top_up, currency, invoice } = view;
        let scale = currency.scale;
        let zero = Money::new(0, top_up.code());
        let (grant, credit_status) = match top_up.credit {
            Credit::None => (None, "none"),
            Credit::Due(_) => (None, "due"),
            Credit::Granted { grant, .. } => (Some(engine.grant_text(grant)), "granted"),
            Credit::Refused(_) => (None, "refused"),
        };
        let is_granted = matches!(top_up.credit, Credit::Granted { .. });
        let credited = if is_granted { top_up.credit.amount() } else { crate::ledger::Amount::ZERO };
        TopUpBody {
            status: top_up.status().as_str(),
            kind: kind_name(top_up.kind),
            amount: top_up.purchase.price.map(|price| price.to_string()),
            amount_currency: top_up.code().as_str().to_owned(),
            received: top_up.received().unwrap_or(zero).to_string(),
            captured: top_up.captured.map(|captured| captured.to_string()),
            refunded: top_up.refunded().to_string(),
            credits: credits_of(&top_up).map(|credits| amount(credits, scale)),
            credited: amount(credited, scale),
            clawed_back: amount(top_up.clawed_back, scale),
            credit_status,
            grant,
            collection: match top_up.collection {
                Collection::Charge => "charge",
                Collection::Checkout => "checkout",
                Collection::Invoice => "invoice",
                Collection::Outside => "outside",
            },
            refunds: top_up.refunds.iter().map(RefundBody::of).collect(),
            failure: top_up.failure.map(|failure| FailureBody { code: failure.code, hard: failure.is_hard }),
            invoice: invoice.map(|number| invoice_id(number.0)),
            key: top_up.key.as_deref().and_then(own_key),
            id: top_up.id,
            customer: top_up.customer,
            currency: currency.id.clone(),
            package: top_up.purchase.package,
            quantity: top_up.purchase.quantity,
            provider: top_up.provider,
            payment_method: top_up.method,
            checkout_url: top_up.checkout_url,
            return_url: top_up.return_url,
            address: top_up.address,
            form: top_up.form,
            attempts: top_up.declines,
            metadata: top_up.metadata,
            expires_at: top_up.expires_at.map(instant),
            completed_at: top_up.completed_at.map(instant),
            created_at: instant(top_up.created_at),
            updated_at: instant(top_up.updated_at),
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

/// What it credits; `None` where that depends on what is paid.
fn credits_of(top_up: &TopUp) -> Option<crate::ledger::Amount> {
    use crate::billing::top_up::Goods;
    match (top_up.credit, top_up.purchase.goods, top_up.purchase.price) {
        (Credit::None, Goods::Fixed(credits), _) => Some(credits),
        (Credit::None, Goods::Worth(worth), price) => price.and_then(|price| worth.credits(price)),
        (credit, ..) => Some(credit.amount()),
    }
}

/// Reads a top-up that is asked for. `key` is what the request's own Idempotency-Key gives.
pub(crate) fn top_up_request(
    fields: &Fields<'_, '_>,
    engine: &Engine,
    key: Option<&str>,
) -> Result<TopUpRequest, Problem> {
    let kind = |name: &str| KINDS.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind);
    let kind = kind_of(fields, kind)?;
    let currency = fields.text("currency")?;
    let quantity = fields.integer("quantity", 1..=1_000_000)?;
    let package = fields.text("package")?;
    if package.is_none() && quantity.is_some() {
        return Err(fields.refused("quantity", "is of a package"));
    }
    let quantity = quantity.map_or(1, |quantity| u32::try_from(quantity).unwrap_or(u32::MAX));
    let own = fields.text("key")?;
    if own.is_some_and(|key| key.starts_with(EFFECT_PREFIX)) {
        return Err(fields.refused("key", "must not begin with idk:"));
    }
    Ok(TopUpRequest {
        customer: fields.required_text("customer")?.to_owned(),
        currency: currency.map(str::to_owned),
        kind,
        package: package.map(|package| (package.to_owned(), quantity)),
        amount: money(fields, engine, currency)?,
        credits: fields.decimal("credits")?,
        collection: None,
        provider: fields.text("provider")?.map(str::to_owned),
        method: fields.text("payment_method")?.map(str::to_owned),
        saves_method: false,
        credits_at_once: fields.flag("credits_at_once")?.unwrap_or(false),
        return_url: fields.text("return_url")?.map(str::to_owned),
        address: fields.text("address")?.map(str::to_owned),
        expiry_ms: duration_ms(fields, "expires_in_seconds")?,
        key: own.or(key).map(str::to_owned),
        metadata: fields.metadata("metadata")?.unwrap_or_default(),
        buyer: Buyer::Operator,
        form: fields.text("form")?.map(str::to_owned),
    })
}

fn kind_of(fields: &Fields<'_, '_>, kind: impl Fn(&str) -> Option<Kind>) -> Result<Kind, Problem> {
    const CHOICES: &str = "must be manual, deposit or offline";
    match fields.choice("kind", kind, CHOICES)?.unwrap_or(Kind::Manual) {
        Kind::Auto => Err(fields.refused("kind", CHOICES)),
        kind => Ok(kind),
    }
}

/// Reads `amount` and `amount_currency`; the latter follows from a currency that stands for money.
fn money(
    fields: &Fields<'_, '_>,
    engine: &Engine,
    currency: Option<&str>,
) -> Result<Option<(Decimal, String)>, Problem> {
    let Some(amount) = fields.decimal("amount")? else { return Ok(None) };
    if let Some(code) = fields.text("amount_currency")? {
        return Ok(Some((amount, code.to_owned())));
    }
    let currencies = engine.currencies();
    let currency = match currency {
        Some(id) => currencies.into_iter().find(|known| known.id == id),
        None => currencies.into_iter().next(),
    };
    match currency.map(|currency| currency.kind.clone()) {
        Some(CurrencyKind::Fiat(code)) => Ok(Some((amount, code))),
        _ => Err(fields.refused("amount_currency", "the field is missing: the credits do not stand for money")),
    }
}

/// A payment method as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct MethodBody {
    id: String,
    customer: String,
    provider: String,
    reference: String,
    brand: Option<String>,
    last4: Option<String>,
    expires: Option<ExpiresBody>,
    default: bool,
    status: &'static str,
    created_at: String,
}

#[derive(Debug, Serialize)]
struct ExpiresBody {
    year: u16,
    month: u8,
}

impl MethodBody {
    pub(crate) fn of(method: &PaymentMethod, now: Timestamp) -> Self {
        MethodBody {
            id: method.id.clone(),
            customer: method.customer.clone(),
            provider: method.provider.clone(),
            reference: method.reference.clone(),
            brand: method.brand.clone(),
            last4: method.last4.clone(),
            expires: method.expiry.map(|expiry| ExpiresBody { year: expiry.year(), month: expiry.month() }),
            default: method.is_default,
            status: method.status(now).as_str(),
            created_at: instant(method.created_at),
        }
    }
}

/// Reads a payment method that a provider keeps; `id` is taken where the body names none.
pub(crate) fn payment_method(customer: &str, id: String, fields: &Fields<'_, '_>) -> Result<PaymentMethod, Problem> {
    let text = |name| Ok::<_, Problem>(fields.text(name)?.map(str::to_owned));
    let expiry = match fields.object("expires")? {
        None => None,
        Some(expires) => {
            let year =
                expires.integer("year", 1970..=9998)?.ok_or_else(|| expires.refused("year", "the field is missing"))?;
            let month =
                expires.integer("month", 1..=12)?.ok_or_else(|| expires.refused("month", "the field is missing"))?;
            CardExpiry::new(year.unsigned_abs() as u16, month.unsigned_abs() as u8)
        }
    };
    Ok(PaymentMethod {
        id: text("id")?.unwrap_or(id),
        customer: customer.to_owned(),
        provider: fields.required_text("provider")?.to_owned(),
        reference: fields.required_text("reference")?.to_owned(),
        brand: text("brand")?,
        last4: text("last4")?,
        expiry,
        fingerprint: text("fingerprint")?,
        is_default: fields.flag("default")?.unwrap_or(false),
        detached: false,
        created_at: Timestamp::EPOCH,
    })
}

/// The id of an invoice.
pub(crate) fn invoice_id(number: u64) -> String {
    format!("inv_{number}")
}

/// The number of an invoice of that id.
pub(crate) fn invoice_number(id: &str) -> Option<u64> {
    let digits = id.strip_prefix("inv_")?;
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
    (invoice_id(number) == id).then_some(number)
}

/// An invoice as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct InvoiceBody {
    id: String,
    number: u64,
    customer: String,
    status: &'static str,
    top_up: Option<String>,
    lines: Vec<LineBody>,
    total: String,
    due: String,
    currency: String,
    paid: Vec<PaidBody>,
    refund_notes: Vec<NoteBody>,
    issued_at: String,
    paid_at: Option<String>,
    /// The entry of the charge that it is for, and the caller's own number of it.
    charge_entry: Option<u64>,
    reference: Option<String>,
}

#[derive(Debug, Serialize)]
struct LineBody {
    description: String,
    quantity: u32,
    unit_price: String,
}

#[derive(Debug, Serialize)]
struct PaidBody {
    by: &'static str,
    amount: String,
    payment_method: Option<String>,
}

#[derive(Debug, Serialize)]
struct NoteBody {
    number: u64,
    amount: String,
    created_at: String,
}

impl InvoiceBody {
    pub(crate) fn of(invoice: &Invoice) -> Self {
        let payer = |payer: &Payer| match payer {
            Payer::Wallet(_) => ("wallet", None),
            Payer::Method { id, .. } => ("payment_method", Some(id.clone())),
            Payer::Offline => ("offline", None),
        };
        let (charge_entry, reference) = match &invoice.subject {
            Subject::TopUp(_) => (None, None),
            Subject::Charge { entry, invoice } => (Some(*entry), invoice.clone()),
        };
        InvoiceBody {
            charge_entry,
            reference,
            id: invoice_id(invoice.number.0),
            number: invoice.number.0,
            customer: invoice.customer.clone(),
            status: invoice.status().as_str(),
            top_up: match &invoice.subject {
                Subject::TopUp(id) => Some(id.clone()),
                Subject::Charge { .. } => None,
            },
            lines: invoice
                .lines
                .iter()
                .map(|line| LineBody {
                    description: line.description.clone(),
                    quantity: line.quantity,
                    unit_price: line.unit_price.to_string(),
                })
                .collect(),
            total: invoice.total.to_string(),
            due: if invoice.is_void { "0".to_owned() } else { invoice.due().to_string() },
            currency: invoice.total.code.as_str().to_owned(),
            paid: invoice
                .paid
                .iter()
                .map(|paid| {
                    let (by, payment_method) = payer(&paid.by);
                    PaidBody { by, amount: paid.money.to_string(), payment_method }
                })
                .collect(),
            refund_notes: invoice
                .notes
                .iter()
                .map(|note| NoteBody {
                    number: note.number.0,
                    amount: note.money.to_string(),
                    created_at: instant(note.at),
                })
                .collect(),
            issued_at: instant(invoice.issued_at),
            paid_at: invoice.paid_at.map(instant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invoice_has_one_id() {
        assert_eq!(invoice_number(&invoice_id(12)), Some(12));
        for id in ["inv_", "inv_012", "inv_+1", "12", "inv_1x", "inv_99999999999999999999"] {
            assert_eq!(invoice_number(id), None, "{id}");
        }
    }
}
