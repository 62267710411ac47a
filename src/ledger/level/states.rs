//! Which levels are armed, which have fired, and what a movement does to them.

use super::{Bearings, Levels};
use crate::ledger::amount::Amount;
use crate::ledger::time::Timestamp;

/// Which levels are armed and which have fired, as masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelStates {
    /// Levels that the next balance below their line crosses.
    pub armed: u64,
    /// Levels that have fired and wait for the balance to recover.
    pub triggered: u64,
    /// Levels among those that have fired of which nobody was told, for their interval was not over.
    pub muted: u64,
}

/// What a movement does to levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ledger) struct Moved {
    /// Levels that fired, or of which it is time to tell that they have.
    pub(in crate::ledger) crossed: u64,
    /// Levels that recovered.
    pub(in crate::ledger) recovered: u64,
    /// Levels among both of which nobody is to be told.
    pub(in crate::ledger) quiet: u64,
}

/// The bits of a mask, lowest first.
pub(super) fn bits(mask: u64) -> impl Iterator<Item = usize> {
    let mut rest = mask;
    std::iter::from_fn(move || {
        let index = (rest != 0).then(|| rest.trailing_zeros() as usize);
        rest &= rest.wrapping_sub(1);
        index
    })
}

impl Levels {
    /// The states of levels that have just been set on a wallet with this balance: nothing fires, what can be armed is.
    pub(in crate::ledger) fn fresh(&self, balance: Amount, bearings: &Bearings) -> LevelStates {
        let armed = self.mask_where(|level| balance >= level.line(bearings));
        LevelStates { armed, ..LevelStates::default() }
    }

    /// Instants of telling for levels of which nobody was told.
    pub(in crate::ledger) fn never_told(&self) -> Box<[Timestamp]> {
        vec![Timestamp::EPOCH; self.intervals()].into()
    }

    /// Where the instant of telling of level `index` stands among those of all levels with an interval.
    fn place_of_told(&self, index: usize) -> usize {
        (self.intervals & ((1 << index) - 1)).count_ones() as usize
    }

    /// Like [`Levels::fresh`], but a level that stood in `old` unchanged keeps its state and the instant at which it was told:
    /// setting the same levels twice must not fire an alert twice.
    pub(in crate::ledger) fn replacing(
        &self,
        old: Option<(&Levels, LevelStates, &[Timestamp])>,
        balance: Amount,
        bearings: &Bearings,
    ) -> (LevelStates, Box<[Timestamp]>) {
        let (mut next, mut told) = (self.fresh(balance, bearings), self.never_told());
        let Some((old, states, old_told)) = old else { return (next, told) };
        for (index, level) in self.sorted.iter().enumerate() {
            let Some(kept) = old.sorted.iter().position(|earlier| earlier == level) else { continue };
            if states.triggered >> kept & 1 == 1 {
                next.triggered |= 1 << index;
                next.armed &= !(1 << index);
                next.muted |= (states.muted >> kept & 1) << index;
            }
            if level.min_interval_ms > 0 {
                told[self.place_of_told(index)] = old_told[old.place_of_told(kept)];
            }
        }
        (next, told)
    }

    /// Moves the states to the balance `after` at `now`, and says what happened to the levels on the way.
    pub(in crate::ledger) fn moved(
        &self,
        states: &mut LevelStates,
        told: &mut [Timestamp],
        after: Amount,
        bearings: &Bearings,
        now: Timestamp,
    ) -> Moved {
        let crossed = self.below(states.armed, after, bearings);
        let waiting = states.triggered;
        let recovered = self.mask_of(waiting, |level| after >= level.rearm(bearings));
        let idle = self.every() & !(states.armed | states.triggered);
        let reached = idle & !self.below(idle, after, bearings);
        let mut moved = Moved { crossed, recovered, quiet: recovered & states.muted };
        states.armed = (states.armed & !crossed) | recovered | reached;
        states.triggered = (waiting & !recovered) | crossed;
        states.muted &= !recovered;
        for index in bits((crossed & self.intervals) | states.muted) {
            let bit = 1 << index;
            let told = &mut told[self.place_of_told(index)];
            if *told == Timestamp::EPOCH || self.may_be_told(index, *told) <= now {
                *told = now;
                states.muted &= !bit;
                moved.crossed |= bit;
            } else if crossed & bit != 0 {
                states.muted |= bit;
                moved.quiet |= bit;
            }
        }
        moved
    }

    /// The first instant at which a level that was told at `told` may be told again.
    fn may_be_told(&self, index: usize, told: Timestamp) -> Timestamp {
        told.saturating_add(self.sorted[index].min_interval_ms)
    }

    /// The first instant at which a muted level is to be told.
    pub(in crate::ledger) fn deadline(&self, states: LevelStates, told: &[Timestamp]) -> Option<Timestamp> {
        bits(states.muted).map(|index| self.may_be_told(index, told[self.place_of_told(index)])).min()
    }

    /// Whether the invariants hold between these states and a balance.
    pub(in crate::ledger) fn agree(
        &self,
        states: LevelStates,
        told: &[Timestamp],
        balance: Amount,
        bearings: &Bearings,
    ) -> bool {
        let all = self.every();
        let above = self.mask_where(|level| balance >= level.line(bearings));
        let recoverable = self.mask_where(|level| balance >= level.rearm(bearings));
        let idle = all & !(states.armed | states.triggered);
        (states.armed | states.triggered) & !all == 0
            && states.armed & states.triggered == 0
            && states.armed & !above == 0
            && states.triggered & recoverable == 0
            && idle & above == 0
            && states.muted & !(states.triggered & self.intervals) == 0
            && told.len() == self.intervals()
            && bits(states.muted).all(|index| told[self.place_of_told(index)] != Timestamp::EPOCH)
    }
}
