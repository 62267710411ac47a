//! The part of a change that freezes credits whose payment is disputed, and thaws them.
//!
//! What is frozen of a grant is a hold without an end that has one part and goes by the grant's number ([`OpenHold::is_freeze`]). So what is
//! true of held credits is true of frozen ones: the balance counts them, what is available does not, debits do not know of them, and what
//! the grant's end or a void would take of them goes when they are thawed.

use super::super::amount::Amount;
use super::super::grant::{GrantId, Lot};
use super::super::hold::{HoldId, MAX_HOLDS, MAX_PARTS, OnExceed, OpenHold, Part};
use super::super::operation::Movement;
use super::super::rejection::Rejection;
use super::super::terms::Status;
use super::Draft;

impl Draft {
    /// Freezes what is free of a grant, until so much of it is frozen; less if there is less.
    pub(super) fn freeze(&mut self, grant: GrantId, most: Amount) -> Result<(), Rejection> {
        if most <= Amount::ZERO {
            return Err(Rejection::InvalidAmount);
        }
        if self.status == Status::Closed {
            return Err(Rejection::WalletClosed);
        }
        let frozen = self.frozen_of(grant);
        let free = self.lots.iter().find(|lot| lot.id == grant).map_or(Amount::ZERO, |lot| lot.remaining);
        let more = most.minus(frozen.min(most)).min(free);
        if more == Amount::ZERO {
            return Ok(());
        }
        let id = HoldId::freezing(grant);
        if frozen == Amount::ZERO {
            let parts = self.holds.iter().map(|hold| hold.parts.len()).sum::<usize>();
            if self.holds.len() >= MAX_HOLDS || parts >= MAX_PARTS {
                return Err(Rejection::TooManyHolds);
            }
            if self.holds.iter().any(|hold| hold.id == id) {
                return Err(Rejection::IdConflict);
            }
        }
        // Where something of the grant is free there is no debt that what returns would pay, and the grant has not ended.
        self.thaw(grant);
        self.set_frozen(grant, frozen.plus(more));
        Ok(())
    }

    /// Sets credits of a grant aside that are free.
    fn set_frozen(&mut self, grant: GrantId, amount: Amount) {
        let id = HoldId::freezing(grant);
        let place = self.lots.iter().position(|lot| lot.id == grant).expect("something is free of it");
        let lot = &mut self.lots[place];
        lot.remaining = lot.remaining.minus(amount);
        let part = Part { lot: Lot { remaining: amount, ..*lot }, is_voided: false };
        if lot.remaining == Amount::ZERO {
            self.lots.remove(place);
        }
        self.movements.push(Movement::Held { hold: id, amount });
        self.movements.push(Movement::Reserved { hold: id, grant, amount });
        self.held = self.held.plus(amount);
        self.place(OpenHold {
            id,
            amount,
            remaining: amount,
            expires_at: OpenHold::WITHOUT_END,
            on_exceed: OnExceed::Reject,
            parts: [part].into_iter().collect(),
        });
    }

    /// Gives back what is frozen of a grant, if anything is.
    pub(super) fn thaw(&mut self, grant: GrantId) {
        if let Some(place) = self.find_freeze(grant) {
            self.release_at(place);
        }
    }

    /// How much of a grant is frozen.
    pub(super) fn frozen_of(&self, grant: GrantId) -> Amount {
        self.find_freeze(grant).map_or(Amount::ZERO, |place| self.holds[place].remaining)
    }

    /// Takes credits that are frozen of a grant, no more than there are.
    pub(super) fn spend_frozen(&mut self, grant: GrantId, amount: Amount) {
        if amount == Amount::ZERO {
            return;
        }
        let place = self.find_freeze(grant).expect("something of it is frozen");
        let mut hold = self.holds.remove(place);
        hold.remaining = hold.remaining.minus(amount);
        self.held = self.held.minus(amount);
        self.movements.push(Movement::Captured { hold: hold.id, amount });
        self.spend_parts(&mut hold, amount);
        if hold.remaining > Amount::ZERO {
            self.holds.insert(place, hold);
        }
    }

    fn find_freeze(&self, grant: GrantId) -> Option<usize> {
        let id = HoldId::freezing(grant);
        self.holds.iter().position(|hold| hold.id == id && hold.is_freeze())
    }
}
