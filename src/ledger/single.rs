//! Holds in the wallet that nearly all are: active, with one grant, and nothing else beside open holds.
//!
//! There the change of generation is a few sums. It is worked out here without what [`super::transition()`] has to go through for all the
//! others, and with the same result (`tests/it/ledger_props.rs` compares the two). Whatever is not that simple is left to it: a refusal, a
//! grant that is used up, something that has fallen due. What is logged is computed by [`super::transition()`] again at replay.

use super::amount::Amount;
use super::debit::Taken;
use super::grant::Lot;
use super::hold::{Capture, HoldId, MAX_PARTS, NewHold, OpenHold, Part, decide_capture, decide_hold};
use super::operation::{Movement, Operation};
use super::terms::{Status, Terms, available};
use super::time::Timestamp;

/// The terms of a wallet that is active and has one grant: all that they say.
#[derive(Clone, Copy, Debug)]
pub struct Single<'a> {
    /// As [`Terms::opening`].
    pub opening: Amount,
    /// As [`Terms::allowance`].
    pub allowance: Amount,
    /// As [`Terms::held`].
    pub held: Amount,
    /// The grant.
    pub lot: Lot,
    /// As [`Terms::holds`].
    pub holds: &'a [OpenHold],
}

/// The terms of such a wallet, to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleNext {
    /// As [`Terms::opening`].
    pub opening: Amount,
    /// As [`Terms::allowance`].
    pub allowance: Amount,
    /// As [`Terms::held`].
    pub held: Amount,
    /// The grant.
    pub lot: Lot,
    /// As [`Terms::holds`].
    pub holds: Vec<OpenHold>,
}

/// What an operation makes of such a wallet: again one of its kind.
#[derive(Debug, PartialEq, Eq)]
pub struct SingleChange {
    /// The terms of the next generation.
    pub next: SingleNext,
    /// What a capture took.
    pub taken: Taken,
    /// As in [`super::Effects`]; no line is crossed.
    pub movements: Vec<Movement>,
}

impl<'a> Single<'a> {
    /// The terms, if they are of this kind.
    pub fn of(terms: &'a Terms) -> Option<Self> {
        Self::is(terms).then(|| Self::unchecked(terms))
    }

    /// Whether terms are of this kind.
    pub fn is(terms: &Terms) -> bool {
        terms.lots.len() == 1
            && terms.status == Status::Active
            && terms.scheduled.is_empty()
            && terms.levels.is_none()
            && terms.committed.is_empty()
            && terms.riders.is_empty()
    }

    /// The terms, which are of this kind.
    pub fn unchecked(terms: &'a Terms) -> Self {
        Single {
            opening: terms.opening,
            allowance: terms.allowance,
            held: terms.held,
            lot: terms.lots[0],
            holds: &terms.holds,
        }
    }

    /// Closes the generation at the balance `closing`, carries out `operation` at `now`, and opens the next one; `None` if that is not so simple,
    /// or none of an operation's that is known here.
    pub fn change(mut self, closing: Amount, operation: &Operation, now: Timestamp) -> Option<SingleChange> {
        let spent = self.opening.checked_sub(closing)?;
        if spent < Amount::ZERO || spent >= self.lot.remaining || self.lot.expires_at.is_due(now) {
            return None;
        }
        if self.holds.first().is_some_and(|first| first.expires_at <= now) {
            return None;
        }
        self.lot.remaining = self.lot.remaining.minus(spent);
        match operation {
            Operation::Hold(new) => self.hold(closing, new, now),
            Operation::Capture { hold, amount, is_final } => self.capture(closing, *hold, *amount, *is_final, now),
            _ => None,
        }
    }

    fn hold(mut self, balance: Amount, new: &NewHold, now: Timestamp) -> Option<SingleChange> {
        let available = available(balance, self.held, self.allowance);
        decide_hold(Status::Active, self.holds.len(), available, new, now).ok()?;
        let parts = self.holds.iter().map(|hold| hold.parts.len()).sum::<usize>();
        let is_known = self.holds.iter().any(|hold| hold.id == new.id);
        if new.amount >= self.lot.remaining || parts >= MAX_PARTS || is_known {
            return None;
        }
        let NewHold { id, amount, expires_at, on_exceed } = *new;
        self.lot.remaining = self.lot.remaining.minus(amount);
        let part = Part { lot: Lot { remaining: amount, ..self.lot }, is_voided: false };
        let parts = [part].into_iter().collect();
        let place = self.holds.partition_point(|other| (other.expires_at, other.id) < (expires_at, id));
        // Exactly, for the list is kept as it is.
        let mut holds = Vec::with_capacity(self.holds.len() + 1);
        holds.extend_from_slice(&self.holds[..place]);
        holds.push(OpenHold { id, amount, remaining: amount, expires_at, on_exceed, parts });
        holds.extend_from_slice(&self.holds[place..]);
        let held = Movement::Held { hold: id, amount };
        let reserved = Movement::Reserved { hold: id, grant: self.lot.id, amount };
        let next = self.next(balance, self.held.plus(amount), holds);
        Some(SingleChange { next, taken: Taken::default(), movements: vec![held, reserved] })
    }

    fn capture(
        mut self,
        closing: Amount,
        id: HoldId,
        amount: Amount,
        is_final: bool,
        now: Timestamp,
    ) -> Option<SingleChange> {
        let place = self.holds.iter().position(|hold| hold.id == id && !hold.is_freeze())?;
        let hold = &self.holds[place];
        let Capture { within, beyond, shortfall } =
            decide_capture(hold.remaining, hold.on_exceed, amount, is_final).ok()?;
        let [part] = &*hold.parts else { return None };
        let is_of_the_grant = part.lot.id == self.lot.id && !part.is_voided && !part.lot.expires_at.is_due(now);
        if beyond > Amount::ZERO || within > part.lot.remaining || !is_of_the_grant {
            return None;
        }
        let (left, of_part) = (hold.remaining.minus(within), part.lot.remaining.minus(within));
        let mut movements = Vec::with_capacity(4);
        movements.push(Movement::Captured { hold: id, amount: within });
        if within > Amount::ZERO {
            movements.push(Movement::PartSpent { hold: id, grant: self.lot.id, amount: within });
        }
        let mut held = self.held.minus(within);
        let is_open = left > Amount::ZERO && !is_final;
        let mut holds = Vec::with_capacity(self.holds.len() - usize::from(!is_open));
        holds.extend_from_slice(&self.holds[..place]);
        if is_open {
            let part = Part { lot: Lot { remaining: of_part, ..part.lot }, ..*part };
            let parts = Some(part).filter(|part| part.lot.remaining > Amount::ZERO).into_iter().collect();
            holds.push(OpenHold { remaining: left, parts, ..*hold });
        } else if left > Amount::ZERO {
            movements.push(Movement::Released { hold: id, amount: left });
            held = held.minus(left);
            if of_part > Amount::ZERO {
                movements.push(Movement::Returned { hold: id, grant: self.lot.id, amount: of_part });
                self.lot.remaining = self.lot.remaining.plus(of_part);
            }
        }
        holds.extend_from_slice(&self.holds[place + 1..]);
        let taken = Taken { amount: within, shortfall, overdraft: Amount::ZERO };
        Some(SingleChange { next: self.next(closing.minus(within), held, holds), taken, movements })
    }

    fn next(&self, opening: Amount, held: Amount, holds: Vec<OpenHold>) -> SingleNext {
        SingleNext { opening, allowance: self.allowance, held, lot: self.lot, holds }
    }
}

impl From<SingleNext> for Terms {
    fn from(next: SingleNext) -> Terms {
        let SingleNext { opening, allowance, held, lot, holds } = next;
        let (lots, holds): (Box<[Lot]>, _) = (Box::new([lot]), holds.into_boxed_slice());
        Terms { opening, allowance, held, lots, holds, ..Terms::new() }
    }
}
