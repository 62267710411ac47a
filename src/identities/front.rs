//! The front: one filter before those of all runs, so that a new event costs about one cache line however many runs there are.
//!
//! It holds the fingerprints of all listed runs, and of some that have gone since: a filter cannot be made to forget. So it is made for half
//! as many again as are alive, and when half as many again have come it is made anew, from the runs, in steps ([`Refresh`]). What is
//! spilled meanwhile is entered into both. A front that has taken in too many, or none at all (after opening), costs more and answers the
//! same.

use super::Damaged;
use super::filter::{FRONT, Filter};
use super::run::{Cursor, Run};
use std::sync::Arc;

/// So many fronts or runs there must be before one is worth it.
const RUNS_MIN: usize = 2;

/// See the module's documentation.
pub(super) struct Front {
    pub(super) filter: Filter,
}

/// A front, and how many fingerprints have been entered. In the hands of the one thread that enters.
pub(super) struct Filling {
    pub(super) front: Arc<Front>,
    entered: u64,
    /// When it is to be made anew.
    entered_max: u64,
}

impl Filling {
    /// A front for half as many again as `alive`, which is an estimate.
    fn new(alive: u64) -> Self {
        let entered_max = (alive + alive / 2).max(1);
        Filling { front: Arc::new(Front { filter: Filter::for_keys(FRONT, entered_max) }), entered: 0, entered_max }
    }

    /// All is entered that there is. If there was more than estimated it is a worse filter; made anew at once, it would be so again.
    pub(super) fn complete(mut self) -> Self {
        if self.is_full() {
            self.entered_max = self.entered + self.entered / 2;
        }
        self
    }

    /// Enters a fingerprint. Whoever is given a list that needs it is given the list afterwards.
    pub(super) fn enter(&mut self, fingerprint: u64) {
        self.front.filter.insert(fingerprint);
        self.entered += 1;
    }

    fn is_full(&self) -> bool {
        self.entered > self.entered_max
    }
}

/// A front being made from the runs that there were when it was begun. Identities that are spilled from then on are to be entered as well.
pub(super) struct Refresh {
    pub(super) filling: Filling,
    left: Vec<Arc<Run>>,
    cursor: Option<Cursor>,
    horizon: u64,
}

impl Refresh {
    /// Begins one, if the present front is full or there is none and should be.
    pub(super) fn if_needed(present: Option<&Filling>, runs: &[Arc<Run>], horizon: u64) -> Option<Self> {
        let is_needed = present.map_or(runs.len() >= RUNS_MIN, Filling::is_full);
        is_needed.then(|| {
            let filling = Filling::new(runs.iter().map(|run| run.alive(horizon)).sum());
            Refresh { filling, left: runs.to_vec(), cursor: None, horizon }
        })
    }

    /// Enters up to `count` identities. Answers whether any are left.
    pub(super) fn step(&mut self, count: usize) -> Result<bool, Damaged> {
        for _ in 0..count {
            let Some(cursor) = &mut self.cursor else {
                let Some(run) = self.left.pop() else { return Ok(false) };
                self.cursor = Some(run.cursor());
                continue;
            };
            match cursor.next()? {
                Some((fingerprint, lsn)) if lsn >= self.horizon => self.filling.enter(fingerprint),
                Some(_) => {}
                None => self.cursor = None,
            }
        }
        Ok(true)
    }
}
