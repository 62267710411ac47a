//! The rest of a charge: what the wallet did not cover of an invoice is collected as the money of top-ups is, and credits nothing.
//!
//! Its intent is recorded behind the wallet's own operation, with an invoice on which the wallet's part is paid already; the provider is asked when
//! that is durable, under the id of the top-up that it is. A crash between the two leaves a charge of which nothing is collected: who asks again under
//! the same key has it collected then, once, for it goes by the charge's entry.

use super::carry::Beside;
use super::tables::Tables;
use super::top_ups::OUTSIDE;
use super::view::TopUpView;
use crate::billing::Money;
use crate::billing::invoice::{Invoice, InvoiceError, Line, Number, Paid, Payer, Subject};
use crate::billing::money::Worth;
use crate::billing::top_up::{Collection, Goods, Kind, NewTopUp, Purchase, create};
use crate::catalog::{CollectionMethod, CreditCurrency, Metadata};
use crate::engine::Inner;
use crate::engine::corrections::view::ChargeView;
use crate::engine::view::CommandError;
use crate::ledger::{Amount, Source, Timestamp};
use drawdown_wal::Lsn;
use std::sync::Arc;

/// How a rest is collected: how, by whom, and from which payment method.
type Collector = (Collection, String, Option<String>);

impl Inner {
    /// Has the rest of a charge collected, unless it is already. Answers `None` if there is none, if the currency does not stand for money, or
    /// if there is nobody to collect it.
    pub(in crate::engine) fn collect_rest(&self, charge: &ChargeView) -> Result<Option<TopUpView>, CommandError> {
        let Some(worth) = Worth::of_fiat(&charge.currency).filter(|_| charge.to_pay > Amount::ZERO) else {
            return Ok(None);
        };
        let mut tables = self.billing.lock();
        if let Some(known) = tables.payment_of(charge.entry, &charge.currency) {
            return Ok(Some(known));
        }
        let now = self.now();
        let Some((collection, provider, method)) = self.collector(&tables, &charge.customer, now) else {
            return Ok(None);
        };
        let (total, rest) = (worth.money(charge.amount), worth.money(charge.to_pay));
        let new = NewTopUp {
            id: self.next_top_up(&tables),
            customer: charge.customer.clone(),
            currency: charge.currency.number,
            kind: Kind::Charge { entry: charge.entry.get() },
            purchase: Purchase {
                package: None,
                quantity: 1,
                price: Some(rest),
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
        };
        let step = create(new, now)?;
        let mut numbers = tables.numbers;
        let invoice = invoice_of(charge, numbers.next_invoice(), (total, rest), now)
            .expect("there is a rest, so there is a total");
        let beside = Beside { invoice: Some(invoice), ..Beside::default() };
        self.take_step_with(&mut tables, None, &step, beside, now)?;
        Ok(tables.payment_of(charge.entry, &charge.currency))
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

impl Tables {
    fn payment_of(&self, entry: Lsn, currency: &Arc<CreditCurrency>) -> Option<TopUpView> {
        let id = self.by_charge.get(&entry.get())?;
        Some(self.view(&self.top_ups[id], Arc::clone(currency)))
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
