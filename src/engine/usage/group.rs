//! Groups of events: all are applied, or none is, across wallets.
//!
//! A group goes the way of a batch ([`super`]) with other rules at each step. It is planned, and every identity claimed, before anything is
//! decided; nobody waits with claims in hand. If all of it was applied before, the first outcomes are the answer. If a part of it was,
//! there is no answer that would be all or nothing, and the group is refused as a whole (`group_partly_known`). Else each event is tried in
//! the order sent, and what is refused is refused for its own reason, and all the others because of it ([`Rejection::GroupRejected`]).
//!
//! What passes is carried out as one operation on all the wallets ([`crate::engine::joint`]): a debit operation for each event, in one
//! frame. A wallet's events follow each other in the order sent. If something was quicker, the events are tried again.

use super::plan::{Plan, Planner};
use super::recall::{Recall, rejected};
use crate::engine::event::{EventOutcome, EventStatus, UsageEvent};
use crate::engine::joint::{JoinedWallets, Member};
use crate::engine::stats::Tally;
use crate::engine::ticket::Ticket;
use crate::engine::view::{CommandError, Unavailable};
use crate::engine::wallet::{OwnedEvent, WalletOperation};
use crate::engine::{Engine, Inner};
use crate::ledger::{Amount, Operation, Rejection, Terms, Timestamp, transition};
use crate::store::idempotency::{Claim, Entry};
use crate::store::{Guard, pin};
use drawdown_wal::Lsn;
use std::collections::BTreeMap;

/// Events of a group at most.
pub const MAX_GROUP_EVENTS: usize = 64;

impl Engine {
    /// Applies all of these events, or none; `outcomes` becomes one outcome an event, in order. All are applied, or all are duplicates, or
    /// all are rejected: those that are no reason for it, as [`Rejection::GroupRejected`].
    ///
    /// Refused as a whole are groups of more than [`MAX_GROUP_EVENTS`] (`group_too_large`), those with an event twice
    /// (`duplicate_in_group`), and those of which a part is known (`group_partly_known`).
    pub fn submit_group(
        &self,
        events: &[UsageEvent<'_>],
        outcomes: &mut Vec<EventOutcome>,
    ) -> Result<Ticket, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        inner.room.check()?;
        outcomes.clear();
        if events.len() > MAX_GROUP_EVENTS {
            return Err(CommandError::Conflict {
                slug: "group_too_large",
                detail: format!("a group has {MAX_GROUP_EVENTS} events at most"),
            });
        }
        let mut tally = Tally::default();
        // Nothing is held while it waits for what others have in flight.
        while let Some(in_flight) = inner.decide_group(events, outcomes, &mut tally)? {
            inner.wait_settled(in_flight);
        }
        inner.counters.count(&tally, outcomes);
        Ok(self.barrier())
    }
}

/// An event of a group, planned.
struct Planned<'a> {
    event: &'a UsageEvent<'a>,
    plan: Plan,
    slot: Option<u32>,
}

/// What is known of a group's identities.
enum Known<'g> {
    /// Of none of them: each is this group's to settle.
    Nothing(Vec<Entry<'g>>),
    /// What became of each event, if anything did.
    Something(Vec<Option<Result<EventOutcome, Rejection>>>),
    /// One is in flight: to be looked at again when it is not.
    InFlight(u64),
}

impl Inner {
    /// Decides a group, unless an identity of it is in flight: answers that one then.
    fn decide_group(
        &self,
        events: &[UsageEvent<'_>],
        outcomes: &mut Vec<EventOutcome>,
        tally: &mut Tally,
    ) -> Result<Option<u64>, CommandError> {
        let (guard, now) = (pin(), self.now());
        let planned = match self.plan_group(events, now, &guard) {
            Ok(planned) => planned,
            Err(reasons) => {
                refuse_all(&reasons, &[], outcomes);
                return Ok(None);
            }
        };
        check_distinct(&planned)?;
        match self.known(&planned, &guard)? {
            Known::Nothing(entries) => {
                let done = self.apply_group(&planned, now, &guard, outcomes)?;
                // Entries that are not finished are given up as they are dropped.
                for (entry, lsn) in entries.into_iter().zip(done.into_iter().flatten()) {
                    entry.finish(lsn.get());
                    tally.applied += 1;
                }
                tally.crossings += outcomes.iter().filter(|outcome| !outcome.crossed.is_empty()).count() as u64;
            }
            Known::Something(known) => settle_known(&planned, known, outcomes, tally)?,
            Known::InFlight(fingerprint) => return Ok(Some(fingerprint)),
        }
        Ok(None)
    }

    /// Plans every event, or says which cannot be and why.
    fn plan_group<'a>(
        &self,
        events: &'a [UsageEvent<'a>],
        now: Timestamp,
        guard: &Guard,
    ) -> Result<Vec<Planned<'a>>, Vec<Option<Rejection>>> {
        let catalog = self.catalog.snapshot();
        let mut planner = Planner::new(self, &catalog, now);
        let plans: Vec<_> = events.iter().map(|event| planner.plan(event)).collect();
        if plans.iter().any(Result::is_err) {
            return Err(plans.into_iter().map(Result::err).collect());
        }
        let planned = |(plan, event): (Result<Plan, Rejection>, &'a UsageEvent<'a>)| {
            let plan = plan.ok()?;
            Some(Planned { event, plan, slot: self.find(plan.wallet, guard) })
        };
        Ok(plans.into_iter().zip(events).filter_map(planned).collect())
    }

    /// Claims all identities, or none.
    fn known<'g>(&'g self, planned: &[Planned<'_>], guard: &'g Guard) -> Result<Known<'g>, Unavailable> {
        let mut entries = Vec::with_capacity(planned.len());
        let mut known = Vec::with_capacity(planned.len());
        for planned in planned {
            let fingerprint = planned.plan.fingerprint;
            let mut strangers = Vec::new();
            let found = loop {
                match self.idempotency.claim(fingerprint, &strangers, guard) {
                    Claim::New(entry) => {
                        entries.push(entry);
                        break self.spilled_original(planned, guard)?;
                    }
                    Claim::InFlight(_) => return Ok(Known::InFlight(fingerprint)),
                    Claim::Existing { lsn } => match self.original(planned, lsn) {
                        None => strangers.push(lsn),
                        found => break found,
                    },
                }
            };
            known.push(found);
        }
        Ok(if known.iter().all(Option::is_none) { Known::Nothing(entries) } else { Known::Something(known) })
    }

    /// The outcome of an event that is recorded at `lsn`, a conflict, or nothing if that is another event.
    fn original(&self, planned: &Planned<'_>, lsn: u64) -> Option<Result<EventOutcome, Rejection>> {
        match self.recall(lsn, planned.event, &planned.plan, planned.slot) {
            Recall::Same(outcome) => Some(Ok(outcome)),
            Recall::Conflict => Some(Err(Rejection::IdConflict)),
            Recall::Stranger => None,
        }
    }

    /// As [`Inner::original`], if a run leads to it.
    fn spilled_original(
        &self,
        planned: &Planned<'_>,
        guard: &Guard,
    ) -> Result<Option<Result<EventOutcome, Rejection>>, Unavailable> {
        let Some(runs) = self.spilled.runs(guard) else { return Ok(None) };
        let lsns = runs.lookup(planned.plan.fingerprint).map_err(|_| Unavailable::Overloaded)?;
        let horizon = self.horizon.lsn();
        let alive = lsns.into_iter().filter(|lsn| *lsn >= horizon && !self.repairs.is_dropped(*lsn));
        Ok(alive.into_iter().find_map(|lsn| self.original(planned, lsn)))
    }

    /// Applies the group, unless the rules refuse it. Answers the place of each event's record.
    fn apply_group(
        &self,
        planned: &[Planned<'_>],
        now: Timestamp,
        guard: &Guard,
        outcomes: &mut Vec<EventOutcome>,
    ) -> Result<Option<Vec<Lsn>>, CommandError> {
        // Which events are whose, in the order of the wallets' handles.
        let mut by_wallet: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (index, planned) in planned.iter().enumerate() {
            if let Some(slot) = planned.slot {
                by_wallet.entry(slot).or_default().push(index);
            }
        }
        loop {
            let mut states: BTreeMap<u32, (Terms, Amount)> = BTreeMap::new();
            let mut members: Vec<Member<'_>> = Vec::with_capacity(by_wallet.len());
            for (slot, events) in &by_wallet {
                let reading = self.slab.get(*slot).read(guard).ok_or(CommandError::NotFound { what: "wallet" })?;
                let operations = events.iter().map(|index| planned[*index].operation(now)).collect();
                states.insert(*slot, (reading.generation.terms().get().into_owned(), Amount::new(reading.balance)));
                members.push((*slot, reading.generation, operations));
            }
            let (reasons, standing) = try_group(planned, &mut states, now);
            if reasons.iter().any(Option::is_some) {
                self.note_refusals(planned, &reasons, &standing, now);
                refuse_all(&reasons, &standing, outcomes);
                return Ok(None);
            }
            if planned.is_empty() {
                return Ok(None);
            }
            let Some(joined) = self.join(members, now, guard)?.filter(|joined| !joined.effects().is_refused) else {
                continue;
            };
            return Ok(Some(applied(planned, &by_wallet, &joined, outcomes)));
        }
    }
}

impl Inner {
    /// Notes for the feed which events of a group wallets refused for their own sake.
    fn note_refusals(
        &self,
        planned: &[Planned<'_>],
        reasons: &[Option<Rejection>],
        standing: &[EventOutcome],
        now: Timestamp,
    ) {
        for ((planned, reason), outcome) in planned.iter().zip(reasons).zip(standing) {
            let (Some(slot), Some(reason)) = (planned.slot, *reason) else { continue };
            let (balance, available) = (outcome.balance, outcome.available);
            self.note_refusal(slot, planned.event, &planned.plan, reason, balance, available, now);
        }
    }
}

impl Planned<'_> {
    fn operation(&self, now: Timestamp) -> WalletOperation {
        let operation = Operation::Debit { amount: self.plan.amount, policy: self.plan.policy };
        WalletOperation {
            event: Some(OwnedEvent {
                id: self.event.id.into(),
                source: self.event.source.into(),
                time: self.plan.time,
                metered: self.plan.metered,
            }),
            ..WalletOperation::new(operation, now)
        }
    }
}

/// Tries each event in the order sent. Answers which are refused and why, and the outcome of each if the group is.
fn try_group(
    planned: &[Planned<'_>],
    states: &mut BTreeMap<u32, (Terms, Amount)>,
    now: Timestamp,
) -> (Vec<Option<Rejection>>, Vec<EventOutcome>) {
    let (mut reasons, mut standing) = (Vec::with_capacity(planned.len()), Vec::with_capacity(planned.len()));
    for planned in planned {
        let state = planned.slot.and_then(|slot| states.get_mut(&slot));
        let Some((terms, balance)) = state else {
            reasons.push(Some(Rejection::UnknownWallet));
            standing.push(rejected(Rejection::UnknownWallet, Some(&planned.plan), Amount::ZERO, Amount::ZERO));
            continue;
        };
        let operation = Operation::Debit { amount: planned.plan.amount, policy: planned.plan.policy };
        let change = transition(terms, *balance, &operation, now);
        let reason = change.result.err();
        (*balance, *terms) = (change.terms.opening, change.terms);
        let shown = reason.unwrap_or(Rejection::GroupRejected);
        standing.push(rejected(shown, Some(&planned.plan), *balance, terms.available(*balance)));
        reasons.push(reason);
    }
    (reasons, standing)
}

/// The outcomes of a group that took place, and where each event's record stands.
fn applied(
    planned: &[Planned<'_>],
    by_wallet: &BTreeMap<u32, Vec<usize>>,
    joined: &JoinedWallets,
    outcomes: &mut Vec<EventOutcome>,
) -> Vec<Lsn> {
    // The steps stand wallet by wallet, as the events do here.
    let mut decided: Vec<_> = by_wallet.values().flatten().zip(&joined.effects().steps).collect();
    decided.sort_by_key(|(index, _)| **index);
    decided
        .into_iter()
        .map(|(index, step)| {
            let lsn = Lsn::new(joined.logged_at() + u64::from(step.distance));
            outcomes.push(EventOutcome {
                status: EventStatus::Applied,
                amount: step.taken.amount,
                shortfall: step.taken.shortfall,
                balance: step.balance,
                available: step.available,
                scale: planned[*index].plan.scale,
                entry: Some(lsn),
                crossed: step.crossed.clone(),
            });
            lsn
        })
        .collect()
}

/// The outcomes of a group of which something is known.
fn settle_known(
    planned: &[Planned<'_>],
    known: Vec<Option<Result<EventOutcome, Rejection>>>,
    outcomes: &mut Vec<EventOutcome>,
    tally: &mut Tally,
) -> Result<(), CommandError> {
    let conflicts: Vec<_> =
        known.iter().map(|known| known.as_ref().and_then(|known| known.as_ref().err().copied())).collect();
    if conflicts.iter().any(Option::is_some) {
        let shown = |(planned, reason): (&Planned<'_>, &Option<Rejection>)| {
            let reason = reason.unwrap_or(Rejection::GroupRejected);
            rejected(reason, Some(&planned.plan), Amount::ZERO, Amount::ZERO)
        };
        outcomes.extend(planned.iter().zip(&conflicts).map(shown));
        return Ok(());
    }
    let count = known.iter().flatten().count();
    if count < planned.len() {
        return Err(CommandError::Conflict {
            slug: "group_partly_known",
            detail: format!("{count} of the group's {} events were applied before: send the others", planned.len()),
        });
    }
    tally.duplicates += count as u64;
    outcomes.extend(known.into_iter().flatten().flatten());
    Ok(())
}

/// Refuses a group of which some events were.
fn refuse_all(reasons: &[Option<Rejection>], standing: &[EventOutcome], outcomes: &mut Vec<EventOutcome>) {
    if standing.is_empty() {
        let shown = |reason: &Option<Rejection>| {
            rejected(reason.unwrap_or(Rejection::GroupRejected), None, Amount::ZERO, Amount::ZERO)
        };
        outcomes.extend(reasons.iter().map(shown));
    } else {
        outcomes.extend_from_slice(standing);
    }
}

/// Refuses a group with one identity twice: its second event would be a duplicate of the first.
fn check_distinct(planned: &[Planned<'_>]) -> Result<(), CommandError> {
    let mut fingerprints: Vec<u64> = planned.iter().map(|planned| planned.plan.fingerprint).collect();
    fingerprints.sort_unstable();
    if fingerprints.is_sorted_by(|a, b| a < b) {
        return Ok(());
    }
    Err(CommandError::Conflict {
        slug: "duplicate_in_group",
        detail: "two events of the group have one identity".to_owned(),
    })
}
