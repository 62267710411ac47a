//! Charges: an invoice is paid from the wallet as far as that reaches. Where the currency stands for money, the rest is collected
//! (`engine::billing`); otherwise it is to be paid elsewhere. Whoever asked is told how much it is.
//!
//! A charge takes what the wallet has and nobody holds, never from the overdraft allowance: an invoice is not paid with debt. Nothing there is
//! no refusal: the charge says that all of it is left to pay, and says the same when it is asked again.

use super::view::{ChargeRequest, ChargeView};
use super::{Done, check_note};
use crate::catalog::CurrencyNumber;
use crate::engine::billing::Charging;
use crate::engine::grants::check_text;
use crate::engine::history::unreadable;
use crate::engine::ticket::Ticket;
use crate::engine::view::CommandError;
use crate::engine::wallet::WalletOperation;
use crate::engine::{Engine, Inner, MAX_ID_BYTES};
use crate::journal::Record;
use crate::journal::note::{Note, NoteKind};
use crate::ledger::{Amount, Operation, Rejection};
use crate::store::pin;

impl Engine {
    /// Takes the most that the wallet has, up to the amount, and has the rest collected: from the customer's payment method, on a page, or by an
    /// invoice. Answers whether that is the answer to an earlier request with the same key.
    pub fn charge(&self, request: &ChargeRequest) -> Result<(ChargeView, bool, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let (mut view, replayed) = inner.charge(request)?;
        match inner.collect_rest(&view) {
            Ok(payment) => view.payment = payment.map(Box::new),
            // The wallet has paid, and that is the answer. Who asks again has the rest collected.
            Err(error) => tracing::warn!(charge = %view.entry, %error, "the rest of a charge is not collected yet"),
        }
        Ok((view, replayed, self.barrier()))
    }

    /// A charge that was made, by its text ([`Engine::charge_text`]). Blocks until it is durable.
    pub fn charge_view(&self, text: &str) -> Result<ChargeView, CommandError> {
        let inner = &*self.inner;
        inner.charge_view(&inner.find_correction(NoteKind::Charge, "charge", text)?)
    }
}

impl Inner {
    fn charge(&self, request: &ChargeRequest) -> Result<(ChargeView, bool), CommandError> {
        check_text("customer", &request.customer, MAX_ID_BYTES)?;
        check_note(request.key.as_deref(), None)?;
        if let Some(invoice) = &request.invoice {
            check_text("invoice", invoice, MAX_ID_BYTES)?;
        }
        let currency = self.currency_or_default(request.currency.as_deref())?;
        let amount = Amount::from_decimal(request.amount, currency.scale)
            .map_err(|error| CommandError::Invalid { field: "amount", detail: error.to_string() })?;
        if amount <= Amount::ZERO {
            return Err(CommandError::Invalid { field: "amount", detail: "must be greater than zero".to_owned() });
        }
        let operation = Operation::Charge { amount };
        let is_same = |done: &Done| {
            done.operation == operation
                && done.note.kind == NoteKind::Charge
                && done.note.invoice == request.invoice
                && self.is_of(done, &request.customer, &currency)
        };
        let make = || {
            let (guard, now) = (pin(), self.now());
            let wallet = self.seed.wallet_hash(request.customer.as_bytes(), currency.number.0);
            let slot = self.find(wallet, &guard).ok_or(Rejection::UnknownWallet)?;
            // From here on until its rest is seen to nobody else touches money in.
            let charging = self.intend_rest(&request.customer, &currency)?;
            let mut note = Note::new(NoteKind::Charge);
            note.key.clone_from(&request.key);
            note.invoice.clone_from(&request.invoice);
            note.asked.rest = charging.as_ref().map(Charging::number);
            let made =
                self.carry_out(slot, &guard, |_| Ok(WalletOperation::noted(operation.clone(), now, note.clone())));
            if let Some(charging) = charging {
                match made.as_ref().map(|done| self.bare_charge_view(done)) {
                    Ok(Ok(charge)) => charging.follow(Some(&charge)),
                    // It was made, and its rest is looked after later.
                    Ok(Err(error)) => tracing::error!(%error, "a charge that was made cannot be shown"),
                    Err(_) => charging.follow(None),
                }
            }
            made
        };
        let (done, replayed) = self.once(request.key.as_deref(), is_same, make)?;
        Ok((self.charge_view(&done)?, replayed))
    }

    fn charge_view(&self, done: &Done) -> Result<ChargeView, CommandError> {
        let mut view = self.bare_charge_view(done)?;
        view.payment = self.payment_of_charge(done.lsn, &view.currency).map(Box::new);
        Ok(view)
    }

    /// A charge without what collects its rest.
    fn bare_charge_view(&self, done: &Done) -> Result<ChargeView, CommandError> {
        let (customer, currency) = self.wallet_of(done)?;
        let Operation::Charge { amount } = done.operation else {
            return Err(CommandError::NotFound { what: "charge" });
        };
        Ok(ChargeView {
            payment: None,
            entry: done.lsn,
            customer,
            currency,
            amount,
            from_wallet: done.taken.amount,
            to_pay: done.taken.shortfall,
            invoice: done.note.invoice.clone(),
            balance: done.balance,
            available: done.available,
            crossed: done.crossed.clone(),
            key: done.note.key.clone(),
            created_at: done.time,
        })
    }

    /// The charge that names the intent of that number, if the wallet was charged: one of its operations behind the intent.
    pub(in crate::engine) fn charge_with_rest(
        &self,
        customer: &str,
        currency: CurrencyNumber,
        number: u64,
    ) -> Result<Option<ChargeView>, CommandError> {
        let guard = pin();
        let wallet = self.seed.wallet_hash(customer.as_bytes(), currency.0);
        let Some(slot) = self.find(wallet, &guard) else { return Ok(None) };
        let Some(reading) = self.slab.get(slot).read(&guard) else { return Ok(None) };
        let mut next = reading.generation.opened_at();
        while next >= number {
            let mut view = None;
            let record = match self.read_record(next, &mut view) {
                // It cannot be told, and money that is collected twice is worse than late.
                Err(_) if self.is_retired(next) => return Err(self.retired()),
                record => record.map_err(unreadable)?,
            };
            let Record::Operation(operation) = record else { break };
            let previous = operation.previous_opening;
            if let Some(done) = Done::of(next, *operation).filter(|done| done.note.asked.rest == Some(number)) {
                return self.bare_charge_view(&done).map(Some);
            }
            next = previous;
        }
        Ok(None)
    }
}
