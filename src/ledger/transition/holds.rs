//! What operations do to holds, and what holds do to grants.

use super::super::amount::Amount;
use super::super::debit::{Policy, Taken, decide_amount};
use super::super::grant::{GrantId, Lot};
use super::super::hold::{Capture, HoldId, MAX_PARTS, NewHold, OpenHold, Part, Parts, decide_capture, decide_hold};
use super::super::operation::Movement;
use super::super::rejection::Rejection;
use super::super::time::{Expiry, Timestamp};
use super::Draft;

impl Draft {
    pub(super) fn hold(&mut self, new: &NewHold) -> Result<(), Rejection> {
        decide_hold(self.status, self.holds.len(), self.available(), new, self.now)?;
        if self.holds.iter().any(|hold| hold.id == new.id) {
            return Err(Rejection::IdConflict);
        }
        let count = self.lots_for(new.amount);
        if count + self.holds.iter().map(|hold| hold.parts.len()).sum::<usize>() > MAX_PARTS {
            return Err(Rejection::TooManyHolds);
        }
        self.movements.push(Movement::Held { hold: new.id, amount: new.amount });
        let hold = OpenHold {
            id: new.id,
            amount: new.amount,
            remaining: new.amount,
            expires_at: new.expires_at,
            on_exceed: new.on_exceed,
            parts: self.reserve(new.id, new.amount, count),
        };
        self.held = self.held.plus(new.amount);
        self.place(hold);
        Ok(())
    }

    /// From how many lots an amount is taken.
    fn lots_for(&self, amount: Amount) -> usize {
        let mut rest = amount;
        let mut count = 0;
        for lot in &self.lots {
            if rest == Amount::ZERO {
                break;
            }
            rest = rest.minus(rest.min(lot.remaining));
            count += 1;
        }
        count
    }

    /// Takes an amount out of the first `count` lots. What they do not have is nobody's.
    fn reserve(&mut self, hold: HoldId, amount: Amount, count: usize) -> Parts {
        let mut rest = amount;
        let movements = &mut self.movements;
        let part = |lot: &mut Lot| {
            let part = rest.min(lot.remaining);
            rest = rest.minus(part);
            lot.remaining = lot.remaining.minus(part);
            movements.push(Movement::Reserved { hold, grant: lot.id, amount: part });
            Part { lot: Lot { remaining: part, ..*lot }, is_voided: false }
        };
        let parts = self.lots[..count].iter_mut().map(part).collect();
        let gone = self.lots[..count].iter().take_while(|lot| lot.remaining == Amount::ZERO).count();
        if gone > 0 {
            self.lots.drain(..gone);
        }
        parts
    }

    pub(super) fn place(&mut self, hold: OpenHold) {
        let place = self.holds.partition_point(|other| (other.expires_at, other.id) < (hold.expires_at, hold.id));
        // Exactly, for the list is kept as it is.
        self.holds.reserve_exact(1);
        self.holds.insert(place, hold);
    }

    /// What exceeds the hold is debited as a debit of the policy `overdraft` is. The wallet's status is not asked: the capture was promised.
    pub(super) fn capture(&mut self, id: HoldId, amount: Amount, is_final: bool) -> Result<Taken, Rejection> {
        let place = self.find_hold(id)?;
        let hold = &self.holds[place];
        let Capture { within, beyond, shortfall } = decide_capture(hold.remaining, hold.on_exceed, amount, is_final)?;
        // What was captured in all is an amount, too.
        hold.amount.checked_add(beyond).ok_or(Rejection::BalanceOverflow)?;
        let (held, balance) = (self.held.minus(within), self.balance.minus(within));
        // What is available is what it was: both have fallen.
        let excess = match beyond {
            Amount::ZERO => Taken::default(),
            beyond => decide_amount(held, self.available(), balance, beyond, Policy::Overdraft)?,
        };
        let mut hold = self.holds.remove(place);
        hold.remaining = hold.remaining.minus(within);
        self.held = held;
        self.movements.push(Movement::Captured { hold: id, amount: within });
        // What its parts do not have is paid as any debit is; there are no parts then.
        let unbacked = self.spend_parts(&mut hold, within);
        self.spend(unbacked.plus(excess.amount));
        if hold.remaining > Amount::ZERO && !is_final {
            self.holds.insert(place, hold);
        } else if hold.remaining > Amount::ZERO {
            self.movements.push(Movement::Released { hold: id, amount: hold.remaining });
            self.end_hold(&hold, self.now);
            self.end_grants();
        }
        let amount = within.plus(excess.amount);
        Ok(Taken { amount, shortfall, overdraft: excess.overdraft })
    }

    /// Takes an amount from a hold's parts; answers what they do not have.
    pub(super) fn spend_parts(&mut self, hold: &mut OpenHold, amount: Amount) -> Amount {
        let mut rest = amount;
        let mut gone = 0;
        for part in &mut hold.parts {
            if rest == Amount::ZERO {
                break;
            }
            let taken = rest.min(part.lot.remaining);
            rest = rest.minus(taken);
            part.lot.remaining = part.lot.remaining.minus(taken);
            self.movements.push(Movement::PartSpent { hold: hold.id, grant: part.lot.id, amount: taken });
            self.balance = self.balance.minus(taken);
            if part.lot.remaining == Amount::ZERO {
                gone += 1;
                // The hold itself is not among the holds at this moment.
                if !part.is_voided {
                    self.tell_depletion(part.lot.id);
                }
            }
        }
        if gone > 0 {
            hold.parts = hold.parts[gone..].iter().copied().collect();
        }
        rest
    }

    pub(super) fn capture_late(&mut self, id: HoldId, amount: Amount, policy: Policy) -> Result<Taken, Rejection> {
        if self.find_hold(id).is_ok() {
            return Err(Rejection::IdConflict);
        }
        self.debit(amount, policy)
    }

    pub(super) fn release(&mut self, id: HoldId) -> Result<(), Rejection> {
        let place = self.find_hold(id)?;
        self.release_at(place);
        Ok(())
    }

    /// Ends the hold at a place.
    pub(super) fn release_at(&mut self, place: usize) {
        let hold = self.holds.remove(place);
        self.movements.push(Movement::Released { hold: hold.id, amount: hold.remaining });
        self.end_hold(&hold, self.now);
        self.end_grants();
    }

    pub(super) fn move_hold(&mut self, id: HoldId, expires_at: Timestamp) -> Result<(), Rejection> {
        let place = self.find_hold(id)?;
        if expires_at <= self.now {
            return Err(Rejection::ExpiryInPast);
        }
        let mut hold = self.holds.remove(place);
        let from = std::mem::replace(&mut hold.expires_at, expires_at);
        if from != expires_at {
            self.movements.push(Movement::HoldMoved { hold: id, from, to: expires_at });
        }
        self.place(hold);
        Ok(())
    }

    /// Ends the first hold because its time has come.
    pub(super) fn expire_hold(&mut self) {
        let hold = self.holds.remove(0);
        self.movements.push(Movement::HoldExpired { hold: hold.id, amount: hold.remaining });
        let at = hold.expires_at;
        self.end_hold(&hold, at);
    }

    /// Gives back what a hold has of grants, as of the instant at which it ended. What had ended by then pays no debt, does not roll over, and
    /// goes in [`Draft::end_grants`].
    fn end_hold(&mut self, hold: &OpenHold, at: Timestamp) {
        self.held = self.held.minus(hold.remaining);
        for &Part { lot, is_voided } in &hold.parts {
            self.movements.push(Movement::Returned { hold: hold.id, grant: lot.id, amount: lot.remaining });
            if is_voided {
                match self.voided.iter_mut().find(|other| other.id == lot.id) {
                    Some(sum) => sum.remaining = sum.remaining.plus(lot.remaining),
                    None => self.voided.push(lot),
                }
            } else if lot.expires_at.is_due(at) {
                self.late.push((lot.id, lot.remaining));
                self.join(lot);
            } else {
                self.enter(lot);
            }
        }
    }

    fn find_hold(&self, id: HoldId) -> Result<usize, Rejection> {
        self.holds.iter().position(|hold| hold.id == id && !hold.is_freeze()).ok_or(Rejection::HoldEnded)
    }

    /// Notes that a grant was voided in what is held of it. Answers whether anything is.
    pub(super) fn void_held(&mut self, grant: GrantId) -> bool {
        let mut any = false;
        for part in parts_alive(&mut self.holds, grant, self.now) {
            part.is_voided = true;
            any = true;
        }
        any
    }

    /// What is held of a grant that has not ended.
    pub(super) fn held_alive(&mut self, grant: GrantId) -> Option<Lot> {
        let mut parts = parts_alive(&mut self.holds, grant, self.now);
        let mut sum = parts.next()?.lot;
        for part in parts {
            sum.remaining = sum.remaining.plus(part.lot.remaining);
        }
        Some(sum)
    }

    /// Moves the end of a grant in what is held of it.
    pub(super) fn move_held(&mut self, grant: GrantId, expires_at: Expiry) {
        for part in parts_alive(&mut self.holds, grant, self.now) {
            part.lot.expires_at = expires_at;
        }
        for hold in &mut self.holds {
            hold.parts.sort_unstable_by(|a, b| a.lot.spend_order(&b.lot));
        }
    }

    /// How many grants have nothing left but what is held.
    pub(super) fn grants_held_whole(&self) -> usize {
        let parts = self.holds.iter().flat_map(|hold| &hold.parts).map(|part| part.lot.id);
        let mut grants: Vec<GrantId> = parts.filter(|id| !self.lots.iter().any(|lot| lot.id == *id)).collect();
        grants.sort_unstable();
        grants.dedup();
        grants.len()
    }
}

/// The parts of a grant that was not voided and has not expired.
fn parts_alive(holds: &mut [OpenHold], grant: GrantId, now: Timestamp) -> impl Iterator<Item = &mut Part> {
    holds
        .iter_mut()
        .flat_map(|hold| &mut hold.parts)
        .filter(move |part| part.lot.id == grant && !part.is_voided && !part.lot.expires_at.is_due(now))
}
