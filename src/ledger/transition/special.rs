//! The part of a change that is about riders: grants that wait for their payment, remainders that roll over, schedules.

use super::super::grant::{GrantId, Lot};
use super::super::hold::{OpenHold, held_of};
use super::super::operation::{Movement, NewGrant};
use super::super::rejection::Rejection;
use super::super::riders::{Clause, Progress, Riders, Rollover, Special, Unpaid, find};
use super::super::time::Expiry;
use super::Draft;

/// What holds have of grants that were not voided.
fn parts(holds: &[OpenHold]) -> impl Iterator<Item = &Lot> {
    holds.iter().flat_map(|hold| &hold.parts).filter(|part| !part.is_voided).map(|part| &part.lot)
}

impl Draft {
    /// What is wrong with what is special about a grant, and with its number.
    pub(super) fn check_special(&self, grant: &NewGrant) -> Result<(), Rejection> {
        let Special { rollover, occurrence, payment } = grant.special;
        let is_possible = rollover.is_none_or(|rollover| rollover.is_possible())
            && payment.is_none_or(|payment| payment.valid_for_ms != Some(0));
        if !is_possible {
            return Err(Rejection::InvalidAmount);
        }
        let expires_at = Expiry::from(grant.expires_at);
        if occurrence.is_none() {
            self.check_expiry(expires_at, grant.effective_at)?;
        } else if expires_at.is_due(grant.effective_at) {
            return Err(Rejection::ExpiryBeforeEffective);
        }
        // A number is taken by a grant that there is, and kept free behind one that may roll over.
        let next = grant.id.rolled_over();
        let takes_two = rollover.is_some() && (next == grant.id || self.is_taken(next));
        let was_made = occurrence.is_some_and(|occurrence| {
            let progress = self.progress.iter().find(|progress| progress.schedule == occurrence.schedule);
            progress.is_some_and(|progress| occurrence.number < progress.next)
        });
        if self.is_taken(grant.id) || self.is_kept(grant.id) || takes_two || was_made {
            return Err(Rejection::IdConflict);
        }
        Ok(())
    }

    pub(super) fn is_taken(&self, id: GrantId) -> bool {
        let unpaid = self.unpaid.iter().map(|unpaid| &unpaid.lot);
        self.lots.iter().chain(&self.scheduled).chain(unpaid).any(|lot| lot.id == id)
            || held_of(&self.holds, id).is_some()
    }

    /// Whether a number is kept for what rolls over of the grant before it.
    pub(super) fn is_kept(&self, id: GrantId) -> bool {
        self.rollover_of(id.rolled_from()).is_some() && id != id.rolled_from()
    }

    /// Notes how a grant rolls over that is opened again: as it did, whether or not the wallet still knows that.
    pub(super) fn enter_rollover(&mut self, grant: GrantId, rollover: Option<Rollover>) {
        self.clauses.retain(|clause| clause.grant != grant);
        let next = grant.rolled_over();
        if rollover.is_some() && next != grant && !self.is_taken(next) {
            let place = self.clauses.partition_point(|other| other.grant < grant);
            self.clauses.insert(place, Clause { grant, rollover, occurrence: None });
        }
    }

    fn rollover_of(&self, id: GrantId) -> Option<&Rollover> {
        find(&self.clauses, id)?.rollover.as_ref()
    }

    /// Notes what is special about a grant that is being made.
    pub(super) fn enter_special(&mut self, grant: &NewGrant) {
        let Special { rollover, occurrence, .. } = grant.special;
        // What this change has left of a grant that had the number before says nothing of this one.
        self.clauses.retain(|clause| clause.grant != grant.id);
        if rollover.is_some() || occurrence.is_some() {
            let clause = Clause { grant: grant.id, rollover, occurrence };
            let place = self.clauses.partition_point(|other| other.grant < grant.id);
            self.clauses.insert(place, clause);
        }
        if let Some(occurrence) = occurrence {
            let progress = Progress { schedule: occurrence.schedule, next: occurrence.number.saturating_add(1) };
            match self.progress.binary_search_by_key(&occurrence.schedule, |progress| progress.schedule) {
                Ok(place) => self.progress[place] = progress,
                Err(place) => self.progress.insert(place, progress),
            }
        }
    }

    pub(super) fn await_payment(&mut self, unpaid: Unpaid) {
        let place = self.unpaid.partition_point(|other| other.lot.id < unpaid.lot.id);
        self.unpaid.insert(place, unpaid);
    }

    pub(super) fn forget_unpaid(&mut self, grant: GrantId) -> Option<Lot> {
        let place = self.unpaid.iter().position(|unpaid| unpaid.lot.id == grant)?;
        Some(self.unpaid.remove(place).lot)
    }

    /// A grant that waits gets another end, which holds in place of how long it would have lasted.
    pub(super) fn move_unpaid(&mut self, moved: Lot) {
        if let Some(unpaid) = self.unpaid.iter_mut().find(|unpaid| unpaid.lot.id == moved.id) {
            unpaid.lot = moved;
            unpaid.payment.valid_for_ms = None;
        }
    }

    /// The payment for a grant has come.
    pub(super) fn pay(&mut self, grant: GrantId) -> Result<(), Rejection> {
        let Some(unpaid) = self.unpaid.iter().find(|unpaid| unpaid.lot.id == grant).copied() else {
            let counts =
                self.lots.iter().chain(&self.scheduled).any(|lot| lot.id == grant) || self.held_alive(grant).is_some();
            return if counts { Ok(()) } else { Err(Rejection::GrantEnded) };
        };
        let lot = unpaid.paid(self.now);
        self.check_expiry(lot.expires_at, lot.effective_at)?;
        self.forget_unpaid(grant);
        self.movements.push(Movement::Paid { grant, amount: lot.granted });
        if lot.effective_at <= self.now {
            self.movements.push(Movement::Activated { grant, amount: lot.granted });
            self.credit(lot);
        } else {
            self.schedule(lot);
        }
        Ok(())
    }

    /// Takes back what a schedule has made and what has not taken effect, and forgets the schedule.
    pub(super) fn end_schedule(&mut self, schedule: u64) {
        let of_schedule = |clause: &&Clause| clause.occurrence.is_some_and(|of| of.schedule == schedule);
        let grants: Vec<GrantId> = self.clauses.iter().filter(of_schedule).map(|clause| clause.grant).collect();
        for grant in grants {
            if let Some(lot) = super::remove(&mut self.scheduled, grant) {
                self.movements.push(Movement::ScheduledVoided { grant, amount: lot.remaining });
            }
        }
        self.progress.retain(|progress| progress.schedule != schedule);
    }

    /// What goes on of a grant that has ended, if anything does, given what of it was free at its end; the caller puts it where it belongs.
    pub(super) fn roll_over(&mut self, lot: &Lot) -> Option<Lot> {
        let new = self.rollover_of(lot.id)?.apply(lot)?;
        let (into, amount, at) = (new.id, new.granted, new.effective_at);
        self.movements.push(Movement::RolledOver { grant: lot.id, into, amount, at });
        Some(new)
    }

    /// Credits of scheduled grants that are occurrences of recurring ones.
    pub(super) fn recurring_to_come(&self) -> i128 {
        let is_occurrence = |lot: &&Lot| find(&self.clauses, lot.id).is_some_and(|clause| clause.occurrence.is_some());
        let recurring = self.scheduled.iter().filter(is_occurrence);
        recurring.map(|lot| i128::from(lot.remaining.units())).sum()
    }

    /// Forgets how grants roll over that have ended: what holds have of them still does not.
    pub(super) fn forget_ended(&mut self) {
        if self.clauses.is_empty() || self.holds.is_empty() {
            return;
        }
        let mut ended: Vec<GrantId> =
            parts(&self.holds).filter(|lot| lot.expires_at.is_due(self.now)).map(|lot| lot.id).collect();
        ended.sort_unstable();
        self.clauses.retain(|clause| ended.binary_search(&clause.grant).is_err());
    }

    /// The riders of the new terms: what is left to say of the grants that are left.
    pub(super) fn riders(&mut self) -> Riders {
        if !self.clauses.is_empty() {
            fn sorted<'a>(lots: impl Iterator<Item = &'a Lot>) -> Vec<GrantId> {
                let mut ids: Vec<GrantId> = lots.map(|lot| lot.id).collect();
                ids.sort_unstable();
                ids
            }
            let active = sorted(self.lots.iter().chain(parts(&self.holds)));
            let scheduled = sorted(self.scheduled.iter());
            let has = |ids: &[GrantId], id| ids.binary_search(&id).is_ok();
            let unpaid = |id| self.unpaid.iter().any(|unpaid| unpaid.lot.id == id);
            self.clauses.retain_mut(|clause| {
                if !has(&scheduled, clause.grant) {
                    clause.occurrence = None;
                }
                let is_there = has(&active, clause.grant) || has(&scheduled, clause.grant) || unpaid(clause.grant);
                is_there && (clause.rollover.is_some() || clause.occurrence.is_some())
            });
        }
        Riders {
            clauses: std::mem::take(&mut self.clauses).into(),
            unpaid: std::mem::take(&mut self.unpaid).into(),
            progress: std::mem::take(&mut self.progress).into(),
        }
    }
}
