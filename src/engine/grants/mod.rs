//! Grants: credits added to wallets, looked up, voided, and their ends moved.
//!
//! A grant is declared first, in a record that holds all that never changes about it, and takes effect with the operation that names it.
//! The declaration's LSN *is* the grant's number: whoever has it finds everything else in the log, so grants take no memory beyond the
//! wallet that they are in. The text that clients see carries a keyed check, so that no number can be made up.
//!
//! Here is what can be asked for. `make.rs` makes grants, once a key; `find.rs` finds what was declared; `present.rs` says what a grant is now;
//! `special.rs` has payments that are waited for and remainders that roll over; `list.rs` lists; `checks.rs` checks requests, those of other
//! commands, too.

mod checks;
mod find;
mod list;
mod make;
mod present;
mod special;

pub(super) use checks::{check_active, check_cost, check_metadata, check_text};
pub use list::GrantsPage;
pub(super) use make::key_fingerprint;
use present::left_of;
pub(super) use special::{Declaration, rollover_of};

use super::Engine;
use super::ticket::Ticket;
use super::view::{CommandError, GrantOutcome, GrantRequest, GrantView, Unavailable};
use super::wallet::WalletOperation;
use crate::ledger::{GrantId, Operation, Timestamp};
use crate::store::pin;

impl Engine {
    /// Makes grants, each on its own; one outcome a request, in order. A wallet is made by its first grant.
    pub fn grant(&self, requests: &[GrantRequest]) -> Result<(Vec<GrantOutcome>, Ticket), Unavailable> {
        self.grant_or_recall(requests, true)
    }

    /// The grants that these requests made, found by their keys. What was not made is not made now.
    pub fn recall_grants(&self, requests: &[GrantRequest]) -> Result<(Vec<GrantOutcome>, Ticket), Unavailable> {
        self.grant_or_recall(requests, false)
    }

    fn grant_or_recall(
        &self,
        requests: &[GrantRequest],
        makes: bool,
    ) -> Result<(Vec<GrantOutcome>, Ticket), Unavailable> {
        let inner = &*self.inner;
        inner.check_open()?;
        let now = inner.now();
        let mut outcomes = Vec::with_capacity(requests.len());
        for request in requests {
            let outcome = match inner.grant(request, now, makes) {
                Ok((view, replayed)) => GrantOutcome { result: Ok(view), replayed },
                // Grants made so far stand, and the caller hears of them.
                Err(CommandError::Unavailable(error)) if outcomes.is_empty() => return Err(error),
                Err(error) => GrantOutcome { result: Err(error), replayed: false },
            };
            outcomes.push(outcome);
        }
        Ok((outcomes, self.barrier()))
    }

    /// The text by which clients know a grant.
    pub fn grant_text(&self, id: GrantId) -> String {
        self.inner.grant_text(id)
    }

    /// A grant as it is now.
    pub fn grant_view(&self, text: &str) -> Result<GrantView, CommandError> {
        let inner = &*self.inner;
        let declaration = inner.find_grant(text)?;
        inner.view_of(declaration, inner.now())
    }

    /// Takes back what is left of a grant. Repeating it is success.
    pub fn void_grant(&self, text: &str) -> Result<(GrantView, Ticket), CommandError> {
        self.change_grant(text, |grant| Operation::Void { grant })
    }

    /// Moves the end of a grant that has not ended.
    pub fn move_expiry(&self, text: &str, expires_at: Option<Timestamp>) -> Result<(GrantView, Ticket), CommandError> {
        self.change_grant(text, |grant| Operation::MoveExpiry { grant, expires_at })
    }

    fn change_grant(
        &self,
        text: &str,
        operation: impl FnOnce(GrantId) -> Operation,
    ) -> Result<(GrantView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let declaration = inner.find_grant(text)?;
        let now = inner.now();
        let guard = pin();
        if declaration.is_rolled_over {
            // The number may be of a grant that has not come to be.
            inner.view_of(declaration.clone(), now)?;
        }
        let operation = operation(declaration.id);
        inner.operate(declaration.record.slot, WalletOperation::new(operation, now), &guard)?;
        Ok((inner.view_of(declaration, now)?, self.barrier()))
    }
}
