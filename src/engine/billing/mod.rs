//! Money in, kept: packages, payment methods, top-ups, automatic rules and invoices, folded from the log.
//!
//! What becomes of them is decided in [`crate::billing`]; here the decisions are recorded and carried out on the ledger, and what providers have to
//! do waits in an outbox ([`Engine::take_work`]) until what it follows from is durable.
//!
//! # Invariants
//! 1. What a step decides stands in the log before any of it is done, in one frame: the top-up, its invoice, the rule that it concerns, and the
//!    declaration of the grant that it is to be credited with.
//! 2. A top-up is credited once, whatever crashes. A success is recorded in one frame with the declaration of its grant, whose number is the
//!    declaration's place; so either both are there or neither is. The grant takes effect with the wallet's operation that names that number.
//!    Whether it did is looked up in the wallet's own row of operations, which begins behind the declaration and reaches back as far as the log
//!    does, so the answer does not depend on any window of time (`carry.rs`). Only if it did not is another grant declared, by a record of
//!    the same top-up that takes the place of the one before; and what a run has declared and not made no later run makes.
//! 3. Numbers of invoices are given out under the lock, in the frame that issues them, and are read back from it: there are no gaps.
//! 4. One thread at a time changes any of it.

mod carry;
mod charges;
mod deposits;
mod follow;
mod freeze;
mod lookups;
mod methods;
mod outbox;
mod packages;
mod portal;
mod products;
mod references;
mod rules;
mod slots;
mod tables;
#[cfg(test)]
mod tests;
mod top_ups;
pub mod view;

#[cfg(doc)]
use super::Engine;
use super::Inner;
use super::view::CommandError;
use crate::billing::Invalid;
use crate::billing::auto::Rule;
use crate::billing::top_up::Collection;
use crate::catalog::CurrencyNumber;
use crate::journal::billing::BillingRecord;
use crate::ledger::Timestamp;
pub(in crate::engine) use charges::Charging;
pub use follow::Step as Followed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tables::Tables;
pub use view::{Buyer, PayRequest, RuleView, Shortfall, TopUpRequest, TopUpView, Work};

/// All of money in.
#[derive(Debug, Default)]
pub(super) struct Billing {
    tables: Mutex<Tables>,
    followed: Mutex<follow::Followed>,
}

impl Billing {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters what a record says.
    pub(super) fn enter(&self, record: BillingRecord) {
        self.lock().enter(record);
    }

    /// Whether amounts of a currency stand in any of it.
    pub(super) fn use_currency(&self, currency: CurrencyNumber) -> bool {
        self.lock().use_currency(currency)
    }

    /// Has rules looked at again that were kept from buying by what is over now: the customer, the currency or the package was archived.
    pub(super) fn look_again(&self, at: Timestamp, concerns: impl Fn(&Rule) -> bool) {
        let mut tables = self.lock();
        tables.look_again_at(at, concerns);
    }

    /// The numbers of the intents to collect rests of charges that have not ended.
    pub(super) fn open_rests(&self) -> std::collections::BTreeSet<u64> {
        self.lock().rests.keys().copied().collect()
    }

    /// All that there is, as records, by their keys.
    pub(super) fn records(&self) -> Vec<BillingRecord> {
        self.lock().records()
    }
}

impl From<Invalid> for CommandError {
    fn from(invalid: Invalid) -> Self {
        CommandError::Invalid { field: invalid.field, detail: invalid.detail }
    }
}

fn missing(what: &'static str) -> CommandError {
    CommandError::NotFound { what }
}

/// Whether the log takes nothing just now. Each try waits a while for room, and what concerns money waits for whoever holds the lock: so one is enough.
const fn is_unavailable(error: &CommandError) -> bool {
    matches!(error, CommandError::Unavailable(_))
}

fn conflict(slug: &'static str, detail: impl Into<String>) -> CommandError {
    CommandError::Conflict { slug, detail: detail.into() }
}

impl Inner {
    /// Carries out on the ledger what was decided and not done: at the start, and later where the log had no room. And gives up waiting for
    /// what nobody has paid in time and no provider knows of; of the others, who speaks with their providers does ([`super::Engine::expire_top_ups`]).
    pub(super) fn settle_billing(&self) -> bool {
        let mut tables = self.billing.lock();
        let (mut done, has_room) = self.settle_rests(&mut tables);
        if !has_room {
            return done;
        }
        let undone: Vec<String> = tables.undone.iter().cloned().collect();
        for id in undone {
            match self.settle(&mut tables, &id) {
                Ok(()) => done = true,
                // Told when it failed first; this comes again and again.
                Err(error) => {
                    tracing::debug!(top_up = id, %error, "a top-up is not settled yet");
                    if is_unavailable(&error) {
                        return done;
                    }
                }
            }
        }
        if !self.freeze_what_came_back(&mut tables) {
            return done;
        }
        if let Err(error) = self.expire(&mut tables, |top_up| top_up.collection == Collection::Outside) {
            tracing::debug!(%error, "top-ups are not given up yet");
        }
        done
    }
}
