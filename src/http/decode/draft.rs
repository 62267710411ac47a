//! An event while its fields are still arriving, in any order and from any content type.

use super::json::Fault;
use crate::engine::{Charge, UsageEvent};
use crate::ledger::{Decimal, DecimalError, Policy, Timestamp};

/// A number of credits or units as its sender wrote it, or why it cannot be one.
pub(super) type Number = Result<Decimal, DecimalError>;

/// The fields of one event, as far as they have been read.
#[derive(Default)]
pub(super) struct Draft<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) source: Option<&'a str>,
    pub(super) customer: Option<&'a str>,
    pub(super) currency: Option<&'a str>,
    pub(super) meter: Option<&'a str>,
    pub(super) amount: Option<Number>,
    pub(super) quantity: Option<Number>,
    pub(super) time: Option<Timestamp>,
    pub(super) policy: Option<Policy>,
}

/// Sets a field once; a second value is a fault, `None` (null) is none.
#[inline]
pub(super) fn set<T>(slot: &mut Option<T>, value: Option<T>, at: usize, field: &'static str) -> Result<(), Fault> {
    if value.is_some() {
        if slot.is_some() {
            return Err(Fault::field(at, field, "the field is given twice"));
        }
        *slot = value;
    }
    Ok(())
}

/// Reads the name of a policy.
pub(super) fn policy(name: &str, at: usize) -> Result<Policy, Fault> {
    match name {
        "reject" => Ok(Policy::Reject),
        "partial" => Ok(Policy::Partial),
        "overdraft" => Ok(Policy::Overdraft),
        _ => Err(Fault::field(at, "on_insufficient", "must be reject, partial or overdraft")),
    }
}

impl<'a> Draft<'a> {
    /// The event, if it is whole; `at` is where it began.
    #[inline]
    pub(super) fn finish(&self, at: usize) -> Result<UsageEvent<'a>, Fault> {
        let Some(id) = self.id else { return Err(Fault::field(at, "id", "the event has no id")) };
        let Some(customer) = self.customer else {
            return Err(Fault::field(at, "customer", "the event has no customer"));
        };
        let charge = match (self.amount, self.meter, self.quantity) {
            (Some(amount), None, None) => Charge::Amount { currency: self.currency, amount },
            (None, Some(meter), Some(quantity)) => Charge::Metered { meter, quantity },
            (amount, meter, _) => return Err(wrong_charge(at, amount.is_some(), meter.is_some())),
        };
        let source = self.source.unwrap_or_default();
        Ok(UsageEvent { id, source, customer, charge, time: self.time, policy: self.policy })
    }
}

#[cold]
fn wrong_charge(at: usize, amount: bool, meter: bool) -> Fault {
    match (amount, meter) {
        (true, true) => Fault::field(at, "amount", "an event has either an amount or a meter, not both"),
        (true, false) => Fault::field(at, "quantity", "a quantity needs a meter and no amount"),
        (false, true) => Fault::field(at, "quantity", "the meter has no quantity"),
        (false, false) => Fault::field(at, "amount", "the event has neither an amount nor a meter"),
    }
}
