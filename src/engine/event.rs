//! What goes into a batch of usage events and what comes out: values borrowed from the caller's bytes, and one outcome an event.
//!
//! The types are shared by every door to the engine (HTTP, the embedded library, replayed topics), so that a rule about events is
//! written once, in the engine, and a door only decodes.

use crate::ledger::{Amount, Decimal, DecimalError, Policy, Rejection, Scale, Timestamp};
use drawdown_wal::Lsn;
use std::sync::Arc;

/// One usage event as a client sent it. Its identity is `(source, id)` alone.
#[derive(Clone, Copy, Debug)]
pub struct UsageEvent<'a> {
    /// The sender's id of the event, 1 to 128 bytes.
    pub id: &'a str,
    /// The sender's name, 0 to 128 bytes; ids are unique within it.
    pub source: &'a str,
    /// The customer to debit, 1 to 128 bytes.
    pub customer: &'a str,
    /// What to debit.
    pub charge: Charge<'a>,
    /// When the usage happened, if the sender says so: for reports and the idempotency window, never for the order of balances.
    pub time: Option<Timestamp>,
    /// What to do when the credit does not suffice; `None` takes the meter's policy, or `reject`.
    pub policy: Option<Policy>,
}

/// What an event debits: an amount of a currency, or a quantity of a meter that knows its currency and rate.
///
/// A number that could not be read travels as its error, so that the event is rejected with the reason while its batch goes on.
#[derive(Clone, Copy, Debug)]
pub enum Charge<'a> {
    /// An amount in credits; `currency` defaults to the server's only currency.
    Amount {
        /// The credit currency's id.
        currency: Option<&'a str>,
        /// The amount in credits, greater than zero.
        amount: Result<Decimal, DecimalError>,
    },
    /// A quantity of a meter's unit.
    Metered {
        /// The meter's event type.
        meter: &'a str,
        /// The quantity, greater than zero.
        quantity: Result<Decimal, DecimalError>,
    },
}

/// What became of one event.
#[derive(Clone, Debug)]
pub struct EventOutcome {
    /// Applied, a duplicate of an earlier one, or rejected.
    pub status: EventStatus,
    /// What was debited, in the currency's smallest unit; for a rejected event what it asked for where that is known, else zero.
    pub amount: Amount,
    /// What a `partial` debit could not take.
    pub shortfall: Amount,
    /// The wallet's balance after the debit (for a duplicate: after the original; for a rejection: as found, zero if unknown).
    pub balance: Amount,
    /// `balance` less open holds plus the overdraft allowance, at the same moment.
    pub available: Amount,
    /// Decimal places of the wallet's currency, for showing the amounts.
    pub scale: Scale,
    /// The debit's entry number in the ledger: the LSN of its record. `None` for rejections.
    pub entry: Option<Lsn>,
    /// Names of the alert levels that this debit crossed, highest first; `depleted` and `negative` are built in.
    pub crossed: Vec<Arc<str>>,
}

/// The three things that can become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventStatus {
    /// The wallet was debited.
    Applied,
    /// The same event was applied before; the outcome repeats the original.
    Duplicate,
    /// The rules said no; nothing changed and the event may be sent again.
    Rejected(Rejection),
}
