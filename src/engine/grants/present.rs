//! A grant as it is now: what its wallet has of it, or how it came to its end.

use crate::engine::Inner;
use crate::engine::history::unreadable;
use crate::engine::view::{CommandError, GrantState, GrantView};
use crate::journal::Record;
use crate::journal::admin::{Declared, GrantRecord};
use crate::journal::operation::Body;
use crate::ledger::{Amount, GrantId, Lot, Movement, Operation, Terms, Timestamp, transition};
use crate::store::{Guard, pin};
use std::sync::Arc;

impl Inner {
    pub(super) fn grant_view(
        &self,
        id: GrantId,
        record: GrantRecord,
        now: Timestamp,
    ) -> Result<GrantView, CommandError> {
        let guard = pin();
        let name = self.names.get(record.slot).ok_or(CommandError::NotFound { what: "wallet" })?;
        let (terms, balance) =
            self.read_at(record.slot, now, &guard).ok_or(CommandError::NotFound { what: "wallet" })?;
        let left = if let Some(left) = left_of(&terms, balance, id, now) {
            left
        } else {
            let (state, rolled_over) = self.how_grant_ended(record.slot, id, now, &guard)?;
            Left {
                state,
                remaining: Amount::ZERO,
                held: Amount::ZERO,
                granted: record.amount,
                effective_at: record.effective_at,
                expires_at: record.expires_at,
                rolled_over,
            }
        };
        let mut rolled_over = left.rolled_over;
        let may_have = matches!(left.state, GrantState::Expired | GrantState::Depleted);
        if rolled_over.is_none() && may_have && record.declared.rollover.is_some() {
            // What was held of it when it ended has an end of its own.
            rolled_over = self.how_grant_rolled_over(record.slot, id, now, &guard)?;
        }
        let Declared { payment, valid_for_ms, rollover, recurrence, transferred_from, .. } = record.declared;
        let catalog = self.catalog.snapshot();
        let currency =
            catalog.currency_by_number(name.currency).ok_or(CommandError::NotFound { what: "credit_currency" })?;
        Ok(GrantView {
            id,
            customer: name.customer.to_string(),
            currency: Arc::clone(currency),
            source: record.source,
            category: record.category,
            amount: record.amount,
            remaining: left.remaining,
            priority: record.priority,
            effective_at: left.effective_at,
            expires_at: left.expires_at,
            cost_basis: record.cost_basis,
            state: left.state,
            key: record.key,
            metadata: record.metadata,
            created_at: record.created_at,
            held: left.held,
            payment,
            valid_for_ms,
            rollover,
            parent: transferred_from.map(GrantId::new),
            rolled_over,
            recurrence: recurrence.map(|recurrence| (recurrence.id, recurrence.number)),
        })
    }

    /// How a grant that the wallet no longer holds came to its end: the newest operation that says so. And what went on of it.
    pub(super) fn how_grant_ended(
        &self,
        slot: u32,
        grant: GrantId,
        now: Timestamp,
        guard: &Guard,
    ) -> Result<End, CommandError> {
        let reading = self.slab.get(slot).read(guard).ok_or(CommandError::NotFound { what: "wallet" })?;
        let present = reading.generation.terms().get();
        // What has fallen due without an operation having said so yet.
        let due = transition(&present, Amount::new(reading.balance), &Operation::Due, now);
        if let Some(end) = end_of(grant, &due.effects.movements) {
            return Ok(end);
        }
        if present.lots.iter().chain(&present.scheduled).any(|lot| lot.id == grant) {
            return Ok((GrantState::Depleted, None));
        }
        let opened_at = reading.generation.opened_at();
        // Every grant that took effect ends in a movement: this one was declared, and a crash or the rules kept it from taking effect.
        self.walk_back(opened_at, grant, |body| end_of(grant, &body.movements))?
            .ok_or(CommandError::NotFound { what: "grant" })
    }

    /// What went on of a grant that may roll over, wherever that is told. It is not told before an operation that made the grant begin, or left
    /// something of it to be spent.
    fn how_grant_rolled_over(
        &self,
        slot: u32,
        grant: GrantId,
        now: Timestamp,
        guard: &Guard,
    ) -> Result<Option<(GrantId, Amount)>, CommandError> {
        let reading = self.slab.get(slot).read(guard).ok_or(CommandError::NotFound { what: "wallet" })?;
        let present = reading.generation.terms().get();
        let due = transition(&present, Amount::new(reading.balance), &Operation::Due, now);
        let rolled_over = rolled_over_in(grant, &due.effects.movements);
        if rolled_over.is_some() || present.lots.iter().any(|lot| lot.id == grant) {
            return Ok(rolled_over);
        }
        let told = self.walk_back(reading.generation.opened_at(), grant, |body| {
            match rolled_over_in(grant, &body.movements) {
                None => has_not_ended(grant, body).then_some(None),
                rolled_over => Some(rolled_over),
            }
        })?;
        Ok(told.flatten())
    }

    /// Looks through a wallet's operations, the newest first and none before the grant was declared.
    pub(super) fn walk_back<T>(
        &self,
        opened_at: u64,
        grant: GrantId,
        find: impl Fn(&Body<'_>) -> Option<T>,
    ) -> Result<Option<T>, CommandError> {
        let mut next = opened_at;
        while next >= grant.get() {
            let mut view = None;
            let record = match self.read_record(next, &mut view) {
                Err(_) if self.is_retired(next) => return Err(self.retired()),
                record => record.map_err(unreadable)?,
            };
            let Record::Operation(operation) = record else { break };
            if let Some(found) = find(&operation.body) {
                return Ok(Some(found));
            }
            next = operation.previous_opening;
        }
        Ok(None)
    }
}

/// What a wallet has of a grant.
pub(super) struct Left {
    pub(super) state: GrantState,
    pub(super) remaining: Amount,
    pub(super) held: Amount,
    pub(super) granted: Amount,
    pub(super) effective_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) rolled_over: Option<(GrantId, Amount)>,
}

/// What a wallet has of a grant, if it has anything. Credits that open holds have of a grant that has ended are left of it.
pub(super) fn left_of(terms: &Terms, balance: Amount, id: GrantId, now: Timestamp) -> Option<Left> {
    let whole = |state: GrantState, lot: &Lot| Left {
        state,
        remaining: lot.remaining,
        held: Amount::ZERO,
        granted: lot.granted,
        effective_at: lot.effective_at,
        expires_at: lot.expires_at.timestamp(),
        rolled_over: None,
    };
    if let Some(lot) = terms.scheduled.iter().find(|lot| lot.id == id) {
        return Some(whole(GrantState::Scheduled, lot));
    }
    if let Some(unpaid) = terms.riders.unpaid.iter().find(|unpaid| unpaid.lot.id == id) {
        return Some(whole(GrantState::Pending, &unpaid.lot));
    }
    let lots = terms.lots_at(balance).lots;
    let (free, part) = (lots.iter().find(|lot| lot.id == id), terms.held_of(id));
    let lot = free.copied().or(part.map(|part| part.lot))?;
    let held = part.map_or(Amount::ZERO, |part| part.lot.remaining);
    let state = match part {
        Some(part) if part.is_voided => GrantState::Voided,
        Some(part) if part.lot.expires_at.is_due(now) => GrantState::Expired,
        _ => GrantState::Active,
    };
    let free = free.map_or(Amount::ZERO, |lot| lot.remaining);
    // Both are parts of one grant.
    let remaining = free.checked_add(held).unwrap_or(Amount::MAX);
    Some(Left { state, remaining, held, ..whole(state, &lot) })
}

/// How a grant ended, and what went on of it.
type End = (GrantState, Option<(GrantId, Amount)>);

/// The end of a grant, if these movements brought it.
fn end_of(grant: GrantId, movements: &[Movement]) -> Option<End> {
    let of_grant = || movements.iter().rev().filter(|movement| movement.grant() == Some(grant));
    let state = of_grant().find_map(|movement| match movement {
        Movement::Expired { .. } | Movement::RolledOver { .. } => Some(GrantState::Expired),
        Movement::Voided { .. } | Movement::ScheduledVoided { .. } | Movement::WrittenOff { .. } => {
            Some(GrantState::Voided)
        }
        Movement::Depleted { .. } => Some(GrantState::Depleted),
        Movement::Granted { .. }
        | Movement::Scheduled { .. }
        | Movement::Activated { .. }
        | Movement::DebtPaid { .. }
        | Movement::Spent { .. }
        | Movement::Overdrawn { .. }
        | Movement::ExpiryMoved { .. }
        | Movement::DebtWrittenOff { .. }
        | Movement::AwaitsPayment { .. }
        | Movement::Paid { .. }
        | Movement::GivenBack { .. }
        | Movement::Reopened { .. }
        | Movement::DebtReturned { .. }
        | Movement::Forfeited { .. }
        | Movement::Held { .. }
        | Movement::Reserved { .. }
        | Movement::Captured { .. }
        | Movement::PartSpent { .. }
        | Movement::Released { .. }
        | Movement::HoldExpired { .. }
        | Movement::Returned { .. }
        | Movement::HoldMoved { .. }
        | Movement::TransferredOut { .. }
        | Movement::TransferredIn { .. } => None,
    })?;
    Some((state, rolled_over_in(grant, movements)))
}

/// Whether an operation shows that a grant had not come to its end before: it began with it, or had something to be spent behind it.
fn has_not_ended(grant: GrantId, body: &Body<'_>) -> bool {
    let begins = |movement: &Movement| match *movement {
        Movement::Granted { grant: of, .. }
        | Movement::Activated { grant: of, .. }
        | Movement::Paid { grant: of, .. } => of == grant,
        _ => false,
    };
    body.lots.iter().any(|(of, _)| *of == grant) || body.movements.iter().any(begins)
}

/// What went on of a grant, if it was in these movements.
fn rolled_over_in(grant: GrantId, movements: &[Movement]) -> Option<(GrantId, Amount)> {
    movements.iter().find_map(|movement| match *movement {
        Movement::RolledOver { grant: ended, into, amount, .. } if ended == grant => Some((into, amount)),
        _ => None,
    })
}
