//! Events that memory does not know, looked up in the runs of spilled identities.

use super::recall::Recall;
use super::round::Claimed;
use super::{Batch, Pending};
use crate::engine::view::Unavailable;
use crate::identities::Runs;
use crate::ledger::Rejection;
use bumpalo::collections::Vec as ArenaVec;

impl<'a> Batch<'a> {
    /// Decides those claimed events that a run knows, and gives their claims up. `runs` was loaded after the claims.
    ///
    /// A run that cannot be read refuses the round: nothing of it has been applied yet, and the run is being derived again.
    pub(super) fn sift<'g>(
        &mut self,
        runs: &Runs,
        pending: &[Pending],
        claimed: &mut ArenaVec<'g, Claimed<'g>>,
    ) -> Result<(), Unavailable>
    where
        'a: 'g,
    {
        let of_claimed = |claimed: &Claimed<'_>| pending[claimed.at as usize].plan.fingerprint;
        let fingerprints = ArenaVec::from_iter_in(claimed.iter().map(of_claimed), self.arena);
        let mut maybe = ArenaVec::new_in(self.arena);
        runs.sift(&fingerprints, |index| maybe.push(index));
        if maybe.is_empty() { Ok(()) } else { self.look_up(runs, pending, claimed, &maybe) }
    }

    #[cold]
    fn look_up(
        &mut self,
        runs: &Runs,
        pending: &[Pending],
        claimed: &mut ArenaVec<'_, Claimed<'_>>,
        maybe: &[usize],
    ) -> Result<(), Unavailable> {
        let mut known = vec![false; claimed.len()];
        for &index in maybe {
            known[index] = self.is_known(runs, &pending[claimed[index].at as usize])?;
        }
        let mut known = known.into_iter();
        claimed.retain(|_| known.next() == Some(false));
        Ok(())
    }

    /// Whether a run leads to the event's original, or to another event with its identity; then it is decided.
    fn is_known(&mut self, runs: &Runs, pending: &Pending) -> Result<bool, Unavailable> {
        let inner = self.inner;
        let event = &self.events[pending.index as usize];
        let lsns = runs.lookup(pending.plan.fingerprint).map_err(|_| Unavailable::Overloaded)?;
        // Those that have expired or that a crash cut off stand for nothing any more.
        let horizon = inner.horizon.lsn();
        for lsn in lsns.into_iter().filter(|lsn| *lsn >= horizon && !inner.repairs.is_dropped(*lsn)) {
            match inner.recall(lsn, event, &pending.plan, pending.slot) {
                Recall::Same(outcome) => {
                    self.tally.duplicates += 1;
                    self.outcomes[pending.index as usize] = outcome;
                    return Ok(true);
                }
                Recall::Conflict => {
                    self.refuse(pending, Rejection::IdConflict);
                    return Ok(true);
                }
                Recall::Stranger => {}
            }
        }
        Ok(false)
    }
}
