//! Credits whose payment is disputed: frozen while that lasts.
//!
//! Both operations may be said again, so nothing has to be found out after a crash: what is not noted as done is done. Until the top-up's
//! record says that nothing is frozen any more, something may be.

use super::is_unavailable;
use super::tables::Tables;
use crate::billing::top_up::{Credit, Event, TopUp};
use crate::engine::Inner;
use crate::engine::view::CommandError;
use crate::engine::wallet::WalletOperation;
use crate::ledger::{Amount, GrantId, Operation, Rejection, Timestamp};
use crate::store::{Guard, pin};

/// Disputed top-ups that are looked at in one round: disputes last for months, and everybody waits for who looks.
const AT_ONCE: usize = 64;

impl Inner {
    /// Freezes what is left of a top-up's credits if they are to be and are not, or the other way round.
    pub(super) fn freeze_or_release(&self, tables: &mut Tables, id: &str, now: Timestamp) -> Result<(), CommandError> {
        let top_up = tables.top_ups[id].top_up.clone();
        match (top_up.to_freeze, top_up.frozen, top_up.credit) {
            // It is frozen when it is granted.
            (true, false, Credit::Granted { grant, .. }) => self.freeze(&top_up, grant, now)?,
            (false, true, Credit::Granted { grant, .. }) => self.thaw(&top_up, grant, now)?,
            (false, true, Credit::None | Credit::Due(_) | Credit::Refused(_)) => {}
            _ => return Ok(()),
        }
        self.tell(tables, id, &Event::Frozen(top_up.to_freeze), now)
    }

    /// Freezes what has come back to grants that are frozen, from holds and reversed debits: to the next few of them. What a log without room keeps from being done is
    /// done a moment later. Answers whether it takes more.
    pub(super) fn freeze_what_came_back(&self, tables: &mut Tables) -> bool {
        for id in tables.next_disputed(AT_ONCE) {
            let top_up = &tables.top_ups[&id].top_up;
            let Credit::Granted { grant, .. } = top_up.credit else { continue };
            if let Err(error) = self.freeze(top_up, grant, self.now()) {
                tracing::debug!(top_up = id, %error, "what came back is not frozen yet");
                if is_unavailable(&error) {
                    return false;
                }
            }
        }
        true
    }

    fn freeze(&self, top_up: &TopUp, grant: GrantId, now: Timestamp) -> Result<(), CommandError> {
        let guard = pin();
        let (slot, free, frozen) = self.parts_of(top_up, grant, now, &guard)?;
        let most = top_up.freezable();
        #[cfg(drawdown_planted)]
        if drawdown_wal::planted::is_planted(drawdown_wal::planted::Bug::FreezesNothing) {
            return Ok(());
        }
        if free == Amount::ZERO || frozen >= most {
            return Ok(());
        }
        match self.operate(slot, WalletOperation::new(Operation::FreezeGrant { grant, most }, now), &guard) {
            // It has nothing left.
            Err(CommandError::Rejected(Rejection::WalletClosed)) => Ok(()),
            outcome => outcome,
        }
    }

    fn thaw(&self, top_up: &TopUp, grant: GrantId, now: Timestamp) -> Result<(), CommandError> {
        let guard = pin();
        let (slot, _, frozen) = self.parts_of(top_up, grant, now, &guard)?;
        if frozen == Amount::ZERO {
            return Ok(());
        }
        self.operate(slot, WalletOperation::new(Operation::ThawGrant { grant }, now), &guard)
    }

    /// The wallet, and what of a grant is free and frozen there.
    fn parts_of(
        &self,
        top_up: &TopUp,
        grant: GrantId,
        now: Timestamp,
        guard: &Guard,
    ) -> Result<(u32, Amount, Amount), CommandError> {
        let currency = self.currency_numbered(top_up.currency)?;
        let slot = self.locate_wallet(&top_up.customer, &currency.id, guard)?;
        let (terms, balance) = self.read_at(slot, now, guard).ok_or(CommandError::NotFound { what: "wallet" })?;
        let lots = terms.lots_at(balance).lots;
        let free = lots.iter().find(|lot| lot.id == grant).map_or(Amount::ZERO, |lot| lot.remaining);
        Ok((slot, free, terms.frozen_of(grant)))
    }
}
