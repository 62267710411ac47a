//! Top-ups: asked for, told what happened to them, looked up.

use super::carry::Beside;
use super::packages::unknown_package;
use super::tables::{Kept, Tables};
use super::view::{Buyer, TopUpRequest, TopUpView};
use super::{conflict, missing};
use crate::billing::invoice::{Invoice, Number};
use crate::billing::money::Worth;
use crate::billing::portal;
use crate::billing::top_up::{Collection, Event, Goods, Kind, NewTopUp, Purchase, Refusal, TopUp, create};
use crate::billing::{Invalid, Money, MoneyCode, OUTSIDE, PaymentMethod};
use crate::catalog::{CollectionMethod, CreditCurrency, CurrencyNumber};
use crate::engine::grants::{check_active, check_metadata};
use crate::engine::once::{RequestKey, or_gone};
use crate::engine::ticket::Ticket;
use crate::engine::view::CommandError;
use crate::engine::{Engine, Inner};
use crate::journal::done::{Deed, DoneRecord};
use crate::ledger::{Amount, Decimal, Source, Timestamp};
use crate::store::pin;
use std::ops::Bound;
use std::sync::Arc;

/// Separates the ids of top-ups from other hashes.
const ID_DOMAIN: u8 = 40;
/// Unpaid purchases of its own that a customer may have of one wallet: whoever has come into its portal fills neither memory nor log with them.
const OWN_OPEN_MAX: usize = 20;
/// Purchases that were begun for a customer within an hour and not paid, at the most: calling them off, or having cards declined, makes no room for as
/// many others.
const OWN_UNPAID_MAX: usize = 100;
const HOUR_MS: u64 = 3_600_000;

impl Engine {
    /// Makes a top-up. Answers whether an earlier one with the same key was found instead. What the provider has to do is in the outbox.
    pub fn create_top_up(&self, request: &TopUpRequest) -> Result<(TopUpView, bool, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        check_metadata(&request.metadata)?;
        let mut tables = inner.billing.lock();
        let now = inner.now();
        // Before anything else is looked at: what was bought stays so, whatever has become of packages and currencies.
        if let Some(known) = request.key.as_ref().and_then(|key| tables.by_key.get(key)) {
            let known = tables.top_ups[known].clone();
            let currency = inner.currency_numbered(known.top_up.currency)?;
            if !tables.is_same(&known.top_up, request, &currency) {
                return Err(conflict("idempotency_conflict", "the key was used before with other content"));
            }
            return Ok((tables.view(&known, currency), true, self.barrier()));
        }
        let currency = inner.currency_of_request(&tables, request)?;
        let purchase = tables.purchase(request, &currency)?;
        check_active(&currency)?;
        inner.check_customer(&request.customer)?;
        if let Some(id) = &purchase.package {
            tables.package_for(id, &currency, &request.customer, purchase.quantity)?;
        }
        let request = &tables.with_form(request, &currency)?;
        let new = inner.prepare_top_up(&tables, request, &currency, purchase, now)?;
        if request.buyer == Buyer::Customer {
            inner.check_portal(&tables, &new, &currency, now)?;
        }
        let step = create(new, now)?;
        let id = step.top_up.id.clone();
        // Until the amounts are recorded.
        let steady = inner.catalog.steady(&currency)?;
        inner.take_step(&mut tables, None, &step, now)?;
        drop(steady);
        // With these credits on their way the wallet's rule may buy less than a limit kept it from.
        if let Err(error) = inner.evaluate(&mut tables, &request.customer, currency.number, now) {
            tracing::warn!(top_up = id, %error, "the wallet's rule is not evaluated yet");
        }
        let view = tables.view(&tables.top_ups[&id], currency);
        Ok((view, false, self.barrier()))
    }

    /// Tells a top-up what has happened to it.
    pub fn top_up_event(&self, id: &str, event: &Event) -> Result<(TopUpView, Ticket), CommandError> {
        self.take_event(id, event, None)
    }

    /// Calls a top-up off, once under a request's key: what was paid since stays paid. Repeating it is success.
    pub fn cancel_top_up_once(&self, id: &str, once: Option<RequestKey>) -> Result<(TopUpView, Ticket), CommandError> {
        if self.was_done(once, Deed::TopUpCanceled)?.is_some() {
            let view = or_gone(self.top_up(id))?;
            // The log may have had no room for what the wallet's rule does about it.
            let ticket = self.evaluate_rule(&view.top_up.customer, view.top_up.currency)?;
            return Ok((view, ticket));
        }
        self.take_event(id, &Event::Cancel, once.map(|once| once.done(Deed::TopUpCanceled, id)))
    }

    fn take_event(
        &self,
        id: &str,
        event: &Event,
        done: Option<DoneRecord>,
    ) -> Result<(TopUpView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let mut tables = inner.billing.lock();
        let kept = tables.top_ups.get(id).cloned().ok_or(missing("top_up"))?;
        let currency = inner.currency_numbered(kept.top_up.currency)?;
        let now = inner.now();
        let step = kept.top_up.apply(event, now).map_err(refused)?;
        let changes = !step.path.is_empty();
        inner.take_step_with(&mut tables, Some(&kept), &step, Beside { done, ..Beside::default() }, now)?;
        if changes {
            // The wallet may still be low, or the rule may go on.
            inner.evaluate(&mut tables, &kept.top_up.customer, kept.top_up.currency, now)?;
        }
        Ok((tables.view(&tables.top_ups[id], currency), self.barrier()))
    }

    /// Gives up waiting for what was not paid in time, and has providers asked after payments of which nothing has been heard for a while
    /// (`lookups.rs`). To be called now and then by who speaks with the providers.
    pub fn expire_top_ups(&self) -> Result<Ticket, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let mut tables = inner.billing.lock();
        inner.expire(&mut tables, |_| true)?;
        inner.ask_after(&mut tables, inner.now());
        Ok(self.barrier())
    }

    /// Credits that are on their way to a wallet: of top-ups that may still be paid, or were paid a moment ago.
    pub fn credits_on_the_way(&self, customer: &str, currency: CurrencyNumber) -> Amount {
        self.inner.billing.lock().on_the_way(customer, currency)
    }

    /// A top-up.
    pub fn top_up(&self, id: &str) -> Result<TopUpView, CommandError> {
        let tables = self.inner.billing.lock();
        let kept = tables.top_ups.get(id).ok_or(missing("top_up"))?;
        Ok(tables.view(kept, self.inner.currency_numbered(kept.top_up.currency)?))
    }

    /// Top-ups, the newest first, before `before`; at most `limit` of them. Of one customer or of all.
    pub fn top_ups(&self, customer: Option<&str>, before: Option<&str>, limit: usize) -> Vec<TopUpView> {
        let tables = self.inner.billing.lock();
        let is_before = |kept: &&Arc<Kept>| before.is_none_or(|before| *kept.top_up.id < *before);
        let page: Vec<_> = if let Some(customer) = customer {
            tables.top_ups_of(customer).rev().filter(is_before).take(limit).cloned().collect()
        } else {
            let end = before.map_or(Bound::Unbounded, Bound::Excluded);
            let range = tables.top_ups.range::<str, _>((Bound::Unbounded, end));
            range.rev().take(limit).map(|(_, kept)| Arc::clone(kept)).collect()
        };
        let view = |kept: &Arc<Kept>| Some(tables.view(kept, self.inner.currency_numbered(kept.top_up.currency).ok()?));
        page.iter().filter_map(view).collect()
    }

    /// An invoice.
    pub fn invoice(&self, number: Number) -> Result<Arc<Invoice>, CommandError> {
        self.inner.billing.lock().invoices.get(&number).cloned().ok_or(missing("invoice"))
    }
}

/// The refusal of a top-up, as the API has it.
fn refused(refusal: Refusal) -> CommandError {
    let money = |detail: &str| CommandError::Invalid { field: "amount", detail: detail.to_owned() };
    match refusal {
        Refusal::NotOpen(status) => conflict("top_up_not_open", format!("the top-up is {}", status.as_str())),
        Refusal::UnderWay => conflict("payment_under_way", "the payment is under way and cannot be called back"),
        Refusal::PartlyPaid => {
            conflict("top_up_partly_paid", "a part of it was paid: confirm that as the last payment, and refund it")
        }
        Refusal::NotConfirmable => conflict("not_confirmable", "its provider says by itself what was paid"),
        Refusal::NotPaid(status) => conflict("top_up_not_paid", format!("the top-up is {}", status.as_str())),
        Refusal::InDispute => conflict("payment_in_dispute", "the payment is disputed: the bank has the money"),
        Refusal::ExceedsCapture { left } => {
            conflict("refund_exceeds_payment", format!("{left} {} can still be refunded", left.code))
        }
        Refusal::NoMoney => money("must be greater than zero"),
        Refusal::OtherMoney => money("must be in the money of the top-up"),
        Refusal::KeyConflict => conflict("idempotency_conflict", "the key was used before with another amount"),
    }
}

impl Tables {
    /// Whether a top-up is what is asked for once more. Prices may have changed since, and the base package, so a package is compared by its name, and
    /// where none was named it was the one of that time.
    fn is_same(&self, known: &TopUp, request: &TopUpRequest, currency: &CreditCurrency) -> bool {
        let bought = &known.purchase;
        let same_goods = match (&request.package, &request.amount, request.credits) {
            (Some((id, quantity)), None, None) => bought.package.as_ref() == Some(id) && bought.quantity == *quantity,
            (None, None, None) if request.kind != Kind::Deposit => bought.package.is_some() && bought.quantity == 1,
            _ => self.purchase(request, currency).is_ok_and(|purchase| {
                bought.package.is_none() && (bought.price, bought.goods) == (purchase.price, purchase.goods)
            }),
        };
        same_goods
            && known.customer == request.customer
            && request.currency.as_ref().is_none_or(|id| *id == currency.id)
            && known.kind == request.kind
            && known.form == request.form
            && known.credits_at_once == request.credits_at_once
            && request.method.as_ref().is_none_or(|method| known.method.as_ref() == Some(method))
            // A form may have said where to go afterwards.
            && (known.return_url == request.return_url || known.form.is_some() && request.return_url.is_none())
            && known.metadata == request.metadata
    }

    /// A payment method that a request names.
    pub(super) fn named_method(&self, customer: &str, id: &str) -> Result<Arc<PaymentMethod>, CommandError> {
        let unknown = || Invalid { field: "payment_method", detail: format!("there is no payment method {id}") };
        let method = self.method(customer, id).map_err(|_| unknown())?;
        if method.detached {
            return Err(conflict("payment_method_detached", "the payment method was taken away"));
        }
        Ok(method)
    }

    pub(super) fn view(&self, kept: &Kept, currency: Arc<CreditCurrency>) -> TopUpView {
        let top_up = kept.top_up.clone();
        let invoice = self.invoice_of.get(&top_up.id).copied();
        TopUpView { top_up, currency, invoice }
    }

    /// What is to be bought.
    fn purchase(&self, request: &TopUpRequest, currency: &CreditCurrency) -> Result<Purchase, CommandError> {
        let invalid = |field, detail: &str| CommandError::Invalid { field, detail: detail.to_owned() };
        let usual = currency.default_priority(Source::TopUp);
        let of_money = |price, goods| Purchase {
            package: None,
            quantity: 1,
            price,
            goods,
            source: Source::TopUp,
            priority: usual,
            valid_for_ms: None,
        };
        match (&request.package, &request.amount, request.credits) {
            (Some(_), None, Some(_)) => Err(invalid("credits", "follow from the package")),
            (Some(_), Some(_), _) => Err(invalid("amount", "follows from the package")),
            (Some((id, quantity)), None, None) => self.of_package(id, *quantity),
            (None, None, None) if request.kind == Kind::Deposit => {
                let worth = deposit_worth(currency).ok_or_else(|| {
                    invalid(
                        "amount",
                        "must be given with `credits`: the currency stands neither for money nor for a coin",
                    )
                })?;
                Ok(of_money(None, Goods::Worth(worth)))
            }
            (None, None, None) => match self.base_package(currency) {
                Some(package) => self.of_package(&package.id, 1),
                None => Err(invalid("package", "must be given, or an amount: the currency has no base package")),
            },
            (None, None, Some(_)) => Err(invalid("amount", "must be given together with `credits`")),
            (None, Some((amount, code)), credits) => {
                let worth = match request.kind {
                    Kind::Deposit => deposit_worth(currency),
                    Kind::Manual | Kind::Auto | Kind::Offline | Kind::Charge { .. } => Worth::of_fiat(currency),
                };
                let code = worth
                    .map(Worth::code)
                    .filter(|known| known.as_str() == code)
                    .or_else(|| MoneyCode::iso(code))
                    .ok_or_else(|| invalid("amount_currency", "must be a code of ISO 4217"))?;
                let price = Money::from_decimal(*amount, code)?;
                let goods = match (credits, worth) {
                    (Some(credits), _) => Goods::Fixed(credits_of(credits, currency)?),
                    (None, Some(worth)) if worth.code() == code => Goods::Worth(worth),
                    (None, Some(worth)) => {
                        let detail = format!("must be {}, which the credits stand for", worth.code());
                        return Err(invalid("amount_currency", &detail));
                    }
                    (None, None) => {
                        return Err(invalid("credits", "must be given: the currency does not stand for money"));
                    }
                };
                Ok(of_money(Some(price), goods))
            }
        }
    }

    fn of_package(&self, id: &str, quantity: u32) -> Result<Purchase, CommandError> {
        let package = self.packages.get(id).ok_or_else(|| unknown_package(id))?;
        let too_many = || Invalid { field: "quantity", detail: "is too large".to_owned() };
        let credits = package.total().units().checked_mul(quantity.into()).ok_or_else(too_many)?;
        Ok(Purchase {
            package: Some(id.to_owned()),
            quantity,
            price: Some(package.price.times(quantity).ok_or_else(too_many)?),
            goods: Goods::Fixed(Amount::new(credits)),
            source: Source::Package,
            priority: package.priority,
            valid_for_ms: package.valid_for_ms,
        })
    }
}

/// What money that is deposited is worth: in a currency that stands for money, or for the coin of its own name.
fn deposit_worth(currency: &CreditCurrency) -> Option<Worth> {
    let of_coin = || {
        let coin = MoneyCode::coin(&currency.id, currency.scale.places())?;
        Worth::of_coin(coin, currency)
    };
    Worth::of_fiat(currency).or_else(of_coin)
}

fn credits_of(credits: Decimal, currency: &CreditCurrency) -> Result<Amount, CommandError> {
    Amount::from_decimal(credits, currency.scale)
        .map_err(|error| CommandError::Invalid { field: "credits", detail: error.to_string() })
}

impl Inner {
    /// Gives up waiting for those of the top-ups that were not paid in time that `concerns` says.
    pub(super) fn expire(&self, tables: &mut Tables, concerns: impl Fn(&TopUp) -> bool) -> Result<(), CommandError> {
        let now = self.now();
        let due = tables.waiting.range(..=(now, String::from(char::MAX))).map(|(_, id)| id);
        let due: Vec<_> = due.filter(|id| concerns(&tables.top_ups[*id].top_up)).cloned().collect();
        for id in due {
            let kept = tables.top_ups[&id].clone();
            let step = kept.top_up.apply(&Event::Expire, now).map_err(refused)?;
            self.take_step(tables, Some(&kept), &step, now)?;
            self.evaluate(tables, &kept.top_up.customer, kept.top_up.currency, now)?;
        }
        Ok(())
    }

    /// The id of the next top-up: rising, and of no other data directory, since providers remember it as a key.
    pub(super) fn next_top_up(&self, tables: &Tables) -> String {
        let number = tables.top_ups.len() as u64 + 1;
        format!("top_{number:010x}{:016x}", self.seed.key_fingerprint(ID_DOMAIN, &number.to_le_bytes()))
    }

    fn prepare_top_up(
        &self,
        tables: &Tables,
        request: &TopUpRequest,
        currency: &CreditCurrency,
        purchase: Purchase,
        now: Timestamp,
    ) -> Result<NewTopUp, CommandError> {
        let named = request.method.as_deref().map(|id| tables.named_method(&request.customer, id)).transpose()?;
        let is_named = named.is_some();
        let card = named.or_else(|| tables.card_of(&request.customer, now));
        let is_outside = request.provider.as_deref() == Some(OUTSIDE) || request.kind == Kind::Offline;
        let collection = request.collection.unwrap_or_else(|| match &card {
            _ if is_outside || request.kind == Kind::Deposit && request.provider.is_none() => Collection::Outside,
            Some(_) if is_named => Collection::Charge,
            _ if self.collection_method(&request.customer) == CollectionMethod::SendInvoice => Collection::Invoice,
            Some(_) => Collection::Charge,
            None => Collection::Checkout,
        });
        let method = card.filter(|_| collection == Collection::Charge);
        let only = || tables.connected.iter().next().filter(|_| tables.connected.len() == 1).cloned();
        let provider = match collection {
            Collection::Charge | Collection::Checkout => {
                let of_method = method.as_ref().map(|method| method.provider.clone());
                let provider = of_method.or_else(|| request.provider.clone()).or_else(only);
                let detail = "must be given, and be connected, or `external`";
                let is_connected = |provider: &String| tables.connected.contains(provider);
                let invalid = || Invalid { field: "provider", detail: detail.to_owned() };
                provider.filter(is_connected).ok_or_else(invalid)?
            }
            Collection::Invoice | Collection::Outside => OUTSIDE.to_owned(),
        };
        Ok(NewTopUp {
            id: self.next_top_up(tables),
            customer: request.customer.clone(),
            currency: currency.number,
            kind: request.kind,
            purchase,
            collection,
            provider,
            method: method.map(|method| method.id.clone()),
            saves_method: request.saves_method,
            credits_at_once: request.credits_at_once,
            return_url: request.return_url.clone(),
            address: request.address.clone(),
            expiry_ms: request.expiry_ms,
            key: request.key.clone(),
            metadata: request.metadata.clone(),
            form: request.form.clone(),
        })
    }

    /// Holds a customer's own payment to the portal's limits.
    fn check_portal(
        &self,
        tables: &Tables,
        new: &NewTopUp,
        currency: &CreditCurrency,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        if tables.count_on_the_way(&new.customer, currency.number) >= OWN_OPEN_MAX {
            let detail = "too many purchases wait for their payment: pay one of them, or call it off";
            return Err(conflict("too_many_open_purchases", detail));
        }
        if tables.unpaid_since(&new.customer, now.millis().saturating_sub(HOUR_MS)) >= OWN_UNPAID_MAX {
            let detail = "too many purchases were begun and not paid: try again in an hour";
            return Err(conflict("too_many_unpaid_purchases", detail));
        }
        let Some(limits) = tables.limits.get(&currency.number) else { return Ok(()) };
        let Some(price) = new.purchase.price else { return Ok(()) };
        let credits = match new.purchase.goods {
            Goods::Fixed(credits) => credits,
            Goods::Worth(worth) => worth.credits(price).unwrap_or(Amount::MAX),
        };
        let guard = pin();
        let wallet = self.find(self.seed.wallet_hash(new.customer.as_bytes(), currency.number.0), &guard);
        let reading = wallet.and_then(|slot| self.read_at(slot, now, &guard));
        let balance = reading.map_or(Amount::ZERO, |(_, balance)| balance);
        let in_flight = tables.on_the_way(&new.customer, currency.number);
        limits.check(price, credits, balance, in_flight).map_err(|refusal| limited(refusal, currency))
    }
}

/// What the portal's limits refuse, as the API has it.
pub(super) fn limited(refusal: portal::Refusal, currency: &CreditCurrency) -> CommandError {
    let (slug, detail) = match refusal {
        portal::Refusal::TooSmall(min) => ("payment_too_small", format!("must be {min} {} at the least", min.code)),
        portal::Refusal::TooLarge(max) => ("payment_too_large", format!("must be {max} {} at most", max.code)),
        portal::Refusal::OtherMoney => ("payment_too_large", "is in other money than the limits are".to_owned()),
        portal::Refusal::BalanceTooHigh(max) => {
            ("max_balance_exceeded", format!("would lead to a balance above {}", max.display(currency.scale)))
        }
    };
    CommandError::FieldConflict { slug, field: "amount", detail }
}
