//! Payment methods of customers.

use super::missing;
use super::tables::Tables;
use crate::billing::PaymentMethod;
use crate::billing::auto::Lift;
use crate::engine::once::{RequestKey, or_gone};
use crate::engine::ticket::Ticket;
use crate::engine::view::CommandError;
use crate::engine::{Engine, Inner};
use crate::journal::admin::AdminRecord;
use crate::journal::billing::BillingRecord;
use crate::journal::done::{Deed, DoneRecord};
use crate::ledger::Timestamp;
use std::sync::Arc;

impl Engine {
    /// Adds a payment method that a provider keeps. The first one of a customer is the default; one that is to be takes the place of the
    /// one that was. Another card than the one that was declined lifts what that had suspended.
    ///
    /// The same id again is success if the method is the same, and a conflict otherwise.
    pub fn add_payment_method(&self, method: PaymentMethod) -> Result<(Arc<PaymentMethod>, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        method.check()?;
        inner.check_customer(&method.customer)?;
        let mut tables = inner.billing.lock();
        let id = method.id.clone();
        if let Some(known) = tables.methods.get(&id) {
            let asked = |method: &PaymentMethod| PaymentMethod {
                is_default: false,
                detached: false,
                created_at: known.created_at,
                ..method.clone()
            };
            if asked(known) != asked(&method) {
                return Err(super::conflict("idempotency_conflict", "the id is another payment method's"));
            }
            return Ok((Arc::clone(known), self.barrier()));
        }
        let now = inner.now();
        let is_first = tables.methods_of(&method.customer).all(|known| known.detached);
        let is_default = method.is_default || is_first;
        let method = PaymentMethod { is_default, detached: false, created_at: now, ..method };
        let customer = method.customer.clone();
        inner.put_methods(&mut tables, method, None)?;
        inner.evaluate_rules_of(&mut tables, &customer, now)?;
        Ok((Arc::clone(&tables.methods[&id]), self.barrier()))
    }

    /// Makes a method the one that is charged when no other is named.
    pub fn make_default(&self, customer: &str, id: &str) -> Result<(Arc<PaymentMethod>, Ticket), CommandError> {
        self.make_default_once(customer, id, None)
    }

    /// The same, once under a request's key: where another method was made the default since, that stays.
    pub fn make_default_once(
        &self,
        customer: &str,
        id: &str,
        once: Option<RequestKey>,
    ) -> Result<(Arc<PaymentMethod>, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let was_done = self.was_done(once, Deed::MethodDefaulted)?.is_some();
        let mut tables = inner.billing.lock();
        if was_done {
            let method = or_gone(tables.method(customer, id))?;
            // The log may have had no room for what rules do about it.
            inner.evaluate_rules_of(&mut tables, customer, inner.now())?;
            return Ok((method, self.barrier()));
        }
        let method = tables.method(customer, id)?;
        if method.detached {
            return Err(super::conflict("payment_method_detached", "the payment method was taken away"));
        }
        let done = once.map(|once| once.done(Deed::MethodDefaulted, id));
        if !method.is_default {
            inner.put_methods(&mut tables, PaymentMethod { is_default: true, ..(*method).clone() }, done)?;
            inner.evaluate_rules_of(&mut tables, customer, inner.now())?;
        } else if done.is_some() {
            inner.append_done(&[], done)?;
        }
        Ok((Arc::clone(&tables.methods[id]), self.barrier()))
    }

    /// Takes a method away, for good. Repeating it is success.
    pub fn detach_payment_method(
        &self,
        customer: &str,
        id: &str,
    ) -> Result<(Arc<PaymentMethod>, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let mut tables = inner.billing.lock();
        let method = tables.method(customer, id)?;
        if !method.detached {
            let gone = PaymentMethod { detached: true, is_default: false, ..(*method).clone() };
            inner.put(&mut tables, BillingRecord::Method(gone))?;
        }
        Ok((Arc::clone(&tables.methods[id]), self.barrier()))
    }

    /// A customer's payment methods, those that were taken away too, by id.
    pub fn payment_methods(&self, customer: &str) -> Vec<Arc<PaymentMethod>> {
        self.inner.billing.lock().methods_of(customer).cloned().collect()
    }

    /// When the payment method of this id was added, whosever it is, if there is one.
    pub fn payment_method_added(&self, id: &str) -> Option<Timestamp> {
        self.inner.billing.lock().methods.get(id).map(|method| method.created_at)
    }

    /// A customer's payment method.
    pub fn payment_method(&self, customer: &str, id: &str) -> Result<Arc<PaymentMethod>, CommandError> {
        self.inner.billing.lock().method(customer, id)
    }
}

impl Tables {
    /// A customer's payment method.
    pub(super) fn method(&self, customer: &str, id: &str) -> Result<Arc<PaymentMethod>, CommandError> {
        let method = self.methods.get(id).filter(|method| method.customer == customer);
        method.cloned().ok_or(missing("payment_method"))
    }
}

impl Inner {
    /// Records a method that is to be charged, and with it the methods that are not the default any more, the rules that go on with it, and which
    /// request asked for it: a crash leaves all of it or nothing.
    fn put_methods(
        &self,
        tables: &mut Tables,
        method: PaymentMethod,
        done: Option<DoneRecord>,
    ) -> Result<(), CommandError> {
        let deposed = |known: &Arc<PaymentMethod>| {
            let is_deposed = method.is_default && known.is_default && known.id != method.id;
            is_deposed.then(|| PaymentMethod { is_default: false, ..(**known).clone() })
        };
        let mut changed: Vec<_> = tables.methods_of(&method.customer).filter_map(deposed).collect();
        let lifted = tables.lifted_rules(&method.customer, &Lift::Card(method.identity()));
        changed.push(method);
        let records: Vec<_> = changed.into_iter().map(BillingRecord::Method).chain(lifted).collect();
        self.append_done(&records.iter().cloned().map(AdminRecord::Billing).collect::<Vec<_>>(), done)?;
        for record in records {
            tables.enter(record.without_news());
        }
        Ok(())
    }
}
