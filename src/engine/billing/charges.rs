//! The rest of a charge: what the wallet did not cover of an invoice is collected as the money of top-ups is, and credits nothing.
//!
//! That it is to be collected, and how, is recorded before the wallet is asked ([`RestRecord`]), and the wallet's own record names that intent. What
//! collects it is recorded behind the wallet's record, with an invoice on which the wallet's part is paid already and together with the end of the
//! intent; the provider is asked when that is durable, under the id of the top-up that it is. After a crash between them the next start finds an intent
//! that has not ended, looks in the wallet's own row of operations for the charge that names it, and collects what that left to pay
//! ([`Inner::settle_rests`]): whoever asked need not ask again. One thread at a time does any of it, under the lock of money in.
//!
//! What could not be collected, since the card was declined or nobody came to the page, is owed on the open invoice, and is tried again when somebody
//! asks for that ([`Engine::pay_invoice`]): by another top-up on the same invoice, and never beside one that may still be paid.

use super::carry::Beside;
use super::tables::Tables;
use super::view::{PayRequest, TopUpView};
use super::{conflict, is_unavailable, missing};
use crate::billing::invoice::{Invoice, InvoiceError, InvoiceStatus, Line, Number, Paid, Payer, Subject};
use crate::billing::money::Worth;
use crate::billing::top_up::{Collection, Goods, Kind, NewTopUp, Purchase, TopUp, create};
use crate::billing::{Invalid, Money, OUTSIDE};
use crate::catalog::{CollectionMethod, CreditCurrency, CurrencyNumber, Metadata};
use crate::engine::corrections::view::ChargeView;
use crate::engine::ticket::Ticket;
use crate::engine::view::CommandError;
use crate::engine::{Engine, Inner};
use crate::journal::billing::{BillingRecord, RestRecord};
use crate::ledger::{Amount, Source, Timestamp};
use drawdown_wal::Lsn;
use std::sync::{Arc, MutexGuard};

/// How a rest is collected: how, by whom, and from which payment method.
type Collector = (Collection, String, Option<String>);

/// A charge that is being made: nobody else looks after its rest meanwhile.
pub(in crate::engine) struct Charging<'a> {
    inner: &'a Inner,
    tables: MutexGuard<'a, Tables>,
    rest: RestRecord,
}

impl Charging<'_> {
    /// What the wallet's record is to name.
    pub(in crate::engine) fn number(&self) -> u64 {
        self.rest.number
    }

    /// Has what the wallet left to pay collected. `None` says that the wallet was not charged at all.
    ///
    /// What is not done for want of room in the log is done later.
    pub(in crate::engine) fn follow(mut self, charge: Option<&ChargeView>) {
        if let Err(error) = self.inner.end_rest(&mut self.tables, &self.rest, charge) {
            tracing::warn!(charge = self.rest.number, %error, "the rest of a charge is not collected yet");
        }
    }
}

impl Inner {
    /// Records that the rest of a charge that is about to be made is to be collected, and how. `None` if the currency does not stand for
    /// money, or if there is nobody to collect it.
    pub(in crate::engine) fn intend_rest(
        &self,
        customer: &str,
        currency: &CreditCurrency,
    ) -> Result<Option<Charging<'_>>, CommandError> {
        if Worth::of_fiat(currency).is_none() {
            return Ok(None);
        }
        let mut tables = self.billing.lock();
        let Some((collection, provider, method)) = self.collector(&tables, customer, self.now()) else {
            return Ok(None);
        };
        let rest = RestRecord {
            // Positions rise, and what a crash takes back takes along what names it.
            number: self.log.tail().get(),
            customer: customer.to_owned(),
            currency: currency.number,
            collection,
            provider,
            method,
            is_over: false,
        };
        self.put(&mut tables, BillingRecord::Rest(rest.clone()))?;
        Ok(Some(Charging { inner: self, tables, rest }))
    }

    /// Sees to the rests that earlier runs were to collect, or that the log had no room for. Answers whether there were any, and whether the log
    /// takes more.
    pub(super) fn settle_rests(&self, tables: &mut Tables) -> (bool, bool) {
        let rests: Vec<RestRecord> = tables.rests.values().cloned().collect();
        let mut done = false;
        for rest in rests {
            let charge = self.charge_with_rest(&rest.customer, rest.currency, rest.number);
            match charge.and_then(|charge| self.end_rest(tables, &rest, charge.as_ref())) {
                Ok(()) => done = true,
                Err(error) => {
                    tracing::debug!(charge = rest.number, %error, "the rest of a charge is not collected yet");
                    if is_unavailable(&error) {
                        return (done, false);
                    }
                }
            }
        }
        (done, true)
    }

    /// Has the rest collected that an intent is about, and ends the intent.
    fn end_rest(
        &self,
        tables: &mut Tables,
        rest: &RestRecord,
        charge: Option<&ChargeView>,
    ) -> Result<(), CommandError> {
        let over = RestRecord { is_over: true, ..rest.clone() };
        let collector = (rest.collection, rest.provider.clone(), rest.method.clone());
        match charge {
            Some(charge) if charge.to_pay > Amount::ZERO && !tables.by_charge.contains_key(&charge.entry.get()) => {
                self.collect(tables, charge, collector, Some(over))
            }
            _ => self.put(tables, BillingRecord::Rest(over)),
        }
    }

    /// Has the rest of a charge collected that was made when there was nobody to collect it, now that it is asked for again. Answers `None` if
    /// there is none, if the currency does not stand for money, or if there is still nobody.
    pub(in crate::engine) fn collect_rest(&self, charge: &ChargeView) -> Result<Option<TopUpView>, CommandError> {
        if Worth::of_fiat(&charge.currency).is_none() || charge.to_pay <= Amount::ZERO {
            return Ok(None);
        }
        let mut tables = self.billing.lock();
        if let Some(known) = tables.payment_of(charge.entry, &charge.currency) {
            return Ok(Some(known));
        }
        let Some(collector) = self.collector(&tables, &charge.customer, self.now()) else { return Ok(None) };
        self.collect(&mut tables, charge, collector, None)?;
        Ok(tables.payment_of(charge.entry, &charge.currency))
    }

    /// Records what collects the rest of a charge, and its invoice.
    fn collect(
        &self,
        tables: &mut Tables,
        charge: &ChargeView,
        collector: Collector,
        rest: Option<RestRecord>,
    ) -> Result<(), CommandError> {
        let Some(worth) = Worth::of_fiat(&charge.currency) else { return Ok(()) };
        let now = self.now();
        let money = (worth.money(charge.amount), worth.money(charge.to_pay));
        let wallet = (charge.customer.as_str(), charge.currency.number);
        let step = create(self.new_payment(tables, charge.entry.get(), wallet, money.1, collector), now)?;
        let mut numbers = tables.numbers;
        let invoice =
            invoice_of(charge, numbers.next_invoice(), money, now).expect("there is a rest, so there is a total");
        self.take_step_with(tables, None, &step, Beside { invoice: Some(invoice), rest, ..Beside::default() }, now)
    }

    /// A top-up that pays for a charge and credits nothing.
    fn new_payment(
        &self,
        tables: &Tables,
        entry: u64,
        (customer, currency): (&str, CurrencyNumber),
        money: Money,
        (collection, provider, method): Collector,
    ) -> NewTopUp {
        NewTopUp {
            id: self.next_top_up(tables),
            customer: customer.to_owned(),
            currency,
            kind: Kind::Charge { entry },
            purchase: Purchase {
                package: None,
                quantity: 1,
                price: Some(money),
                goods: Goods::Fixed(Amount::ZERO),
                source: Source::TopUp,
                priority: Source::TopUp.default_priority(),
                valid_for_ms: None,
            },
            collection,
            provider,
            method,
            saves_method: true,
            credits_at_once: false,
            return_url: None,
            address: None,
            expiry_ms: None,
            key: None,
            metadata: Metadata::new(),
            form: None,
        }
    }

    /// What collects the rest of a charge.
    pub(in crate::engine) fn payment_of_charge(&self, entry: Lsn, currency: &Arc<CreditCurrency>) -> Option<TopUpView> {
        self.billing.lock().payment_of(entry, currency)
    }

    /// Customers who are sent invoices are sent one; of others the default payment method is charged; who has none pays on a page.
    fn collector(&self, tables: &Tables, customer: &str, now: Timestamp) -> Option<Collector> {
        if self.collection_method(customer) == CollectionMethod::SendInvoice {
            return Some((Collection::Invoice, OUTSIDE.to_owned(), None));
        }
        if let Some(card) = tables.card_of(customer, now) {
            return Some((Collection::Charge, card.provider.clone(), Some(card.id.clone())));
        }
        let usual = tables.usual.as_ref().filter(|usual| tables.connected.contains(*usual));
        let provider = usual.or_else(|| tables.connected.first().filter(|_| tables.connected.len() == 1))?;
        Some((Collection::Checkout, provider.clone(), None))
    }
}

impl Engine {
    /// Has what is owed on the open invoice of a charge collected once more: from the payment method that is named, or as it is done with a new
    /// charge. Answers whether an earlier payment with the same key was found instead.
    ///
    /// # Errors
    /// `payment_under_way` as long as an earlier try may still be paid; `invoice_paid` and `invoice_void`; `invoice_of_top_up` for the
    /// invoice of a purchase, which is paid by the purchase itself; `idempotency_conflict`.
    pub fn pay_invoice(&self, number: Number, request: &PayRequest) -> Result<(TopUpView, bool, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let mut tables = inner.billing.lock();
        let invoice = tables.invoices.get(&number).cloned().ok_or(missing("invoice"))?;
        let Subject::Charge { entry, .. } = invoice.subject else {
            return Err(conflict("invoice_of_top_up", "it is paid by the top-up that it is for"));
        };
        let last = tables.last_payment_of(entry).ok_or(missing("invoice"))?;
        let currency = inner.currency_numbered(last.currency)?;
        if let Some(known) = request.key.as_ref().and_then(|key| tables.by_key.get(key)) {
            let known = tables.top_ups[known].clone();
            let is_same = known.top_up.kind == Kind::Charge { entry }
                && known.top_up.return_url == request.return_url
                && request.method.as_ref().is_none_or(|method| known.top_up.method.as_ref() == Some(method));
            if !is_same {
                return Err(conflict("idempotency_conflict", "the key was used before with other content"));
            }
            return Ok((tables.view(&known, currency), true, self.barrier()));
        }
        match invoice.status() {
            InvoiceStatus::Open => {}
            InvoiceStatus::Paid | InvoiceStatus::Refunded => return Err(conflict("invoice_paid", "it is paid")),
            InvoiceStatus::Void => return Err(conflict("invoice_void", "it is void")),
        }
        if let Some(id) = tables.pending_payment_of(entry) {
            return Err(conflict("payment_under_way", format!("{id} may still be paid")));
        }
        let now = inner.now();
        let customer = invoice.customer.as_str();
        let collector = match &request.method {
            Some(id) => {
                let method = tables.named_method(customer, id)?;
                Some((Collection::Charge, method.provider.clone(), Some(method.id.clone())))
            }
            None => inner.collector(&tables, customer, now),
        };
        let collector = collector.ok_or_else(|| Invalid {
            field: "payment_method",
            detail: "must be given: there is nobody to collect it".to_owned(),
        })?;
        let new = inner.new_payment(&tables, entry, (customer, currency.number), invoice.due(), collector);
        let new = NewTopUp { return_url: request.return_url.clone(), key: request.key.clone(), ..new };
        let step = create(new, now)?;
        let id = step.top_up.id.clone();
        let beside = Beside { invoice: Some((*invoice).clone()), ..Beside::default() };
        inner.take_step_with(&mut tables, None, &step, beside, now)?;
        Ok((tables.view(&tables.top_ups[&id], currency), false, self.barrier()))
    }
}

impl Tables {
    fn payment_of(&self, entry: Lsn, currency: &Arc<CreditCurrency>) -> Option<TopUpView> {
        let id = self.by_charge.get(&entry.get())?.last()?;
        Some(self.view(&self.top_ups[id], Arc::clone(currency)))
    }

    fn payments_of(&self, entry: u64) -> impl DoubleEndedIterator<Item = &TopUp> {
        self.by_charge.get(&entry).into_iter().flatten().map(|id| &self.top_ups[id].top_up)
    }

    fn last_payment_of(&self, entry: u64) -> Option<&TopUp> {
        self.payments_of(entry).next_back()
    }

    /// One that is waited for, or that may have been paid without our knowing.
    fn pending_payment_of(&self, entry: u64) -> Option<&str> {
        let is_pending = |top_up: &&TopUp| top_up.captured.is_none() && (top_up.status().is_open() || top_up.in_doubt);
        self.payments_of(entry).find(is_pending).map(|top_up| top_up.id.as_str())
    }
}

/// The invoice of a charge, with what the wallet has paid. Money is rounded up to a minor unit, once for the whole and once for the rest, so that what is
/// collected never falls short.
fn invoice_of(
    charge: &ChargeView,
    number: Number,
    (total, rest): (Money, Money),
    now: Timestamp,
) -> Result<Invoice, InvoiceError> {
    let description = charge.invoice.as_ref().map_or_else(|| "Usage".to_owned(), |number| format!("Invoice {number}"));
    let lines = vec![Line { description, quantity: 1, unit_price: total }];
    let subject = Subject::Charge { entry: charge.entry.get(), invoice: charge.invoice.clone() };
    let mut invoice = Invoice::issue(number, charge.customer.clone(), subject, lines, now)?;
    let money = total.checked_sub(rest).filter(|money| money.units > 0);
    if let Some(money) = money {
        invoice.pay(Paid { by: Payer::Wallet(charge.from_wallet), money }, now)?;
    }
    Ok(invoice)
}
