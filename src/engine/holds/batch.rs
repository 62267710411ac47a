//! Holds made in batches: planned, claimed, declared in one frame, then made one by one.
//!
//! The order is that of usage events ([`crate::engine::usage`]): nothing between a reservation and its publication waits, and a round that
//! waits for what others have in flight holds nothing itself. A hold that the rules refuse as the wallet stands is not declared and leaves no
//! trace; one that they refuse in a race, or because an earlier one of the batch was quicker, leaves a declaration that never takes effect.

use super::find::Place;
use super::requests::{HoldOutcome, HoldRequest, HoldState, HoldStatus, Standing};
use super::work::{Made, Work, at_once, clear_up};
use super::{PREFIX, hold_fingerprint};
use crate::engine::budget::Budget;
use crate::engine::catalog::Catalog;
use crate::engine::grants::check_text;
use crate::engine::once::{EFFECT_PREFIX, RequestKey, not_done};
use crate::engine::settings::currency_of;
use crate::engine::ticket::Ticket;
use crate::engine::view::{CommandError, Unavailable};
use crate::engine::{Engine, Inner, MAX_ID_BYTES};
use crate::journal::frame::{Prelude, kind};
use crate::journal::hold::Declaration;
use crate::ledger::{Amount, HoldId, NewHold, OnExceed, Operation, Rejection, Scale, Timestamp};
use crate::store::hash::{WalletHash, WalletsOf};
use crate::store::idempotency::{Claim, Entry};
use crate::store::{Guard, pin};

const DEFAULT_TTL_MS: u64 = 15 * 60_000;
const MAX_TTL_MS: u64 = 24 * 3_600_000;

impl Engine {
    /// Makes holds, each on its own; one outcome a request, in order. Each is told only when the ticket has resolved.
    ///
    /// A batch that the log has no room for is refused before anything is done. Only if the log fails, or stays without room for seconds,
    /// between two rounds of one batch do some of its holds have that as their outcome while others stand; those with an id of the caller's
    /// can be sent again.
    pub fn hold(&self, requests: &[HoldRequest<'_>]) -> Result<(Vec<HoldOutcome>, Ticket), Unavailable> {
        self.hold_once(requests, None)
    }

    /// As [`Engine::hold`]; those without an id of the caller's are made once under the request's key.
    pub fn hold_once(
        &self,
        requests: &[HoldRequest<'_>],
        once: Option<RequestKey>,
    ) -> Result<(Vec<HoldOutcome>, Ticket), Unavailable> {
        let inner = &*self.inner;
        inner.check_open()?;
        inner.room.check()?;
        let now = inner.now();
        // In the requests' order, where they have none of their own.
        let made_ids: Vec<Option<String>> = match once {
            Some(once) => {
                let made =
                    |(place, request): (usize, &HoldRequest<'_>)| request.id.is_none().then(|| once.hold_id(place));
                requests.iter().enumerate().map(made).collect()
            }
            None => Vec::new(),
        };
        let is_replay = once.is_some_and(|once| once.is_replay);
        let mut batch = Batch { inner, requests, made_ids: &made_ids, is_replay, now, outcomes: Vec::new() };
        batch.outcomes.resize_with(requests.len(), || None);
        let planned = batch.plan();
        let mut made_any = false;
        for round in planned.chunks(at_once(inner)) {
            match batch.decide(round) {
                Ok(()) => made_any = true,
                Err(error) if !made_any => return Err(error),
                Err(error) => batch.give_up(round, &error),
            }
            clear_up(round.len());
        }
        let outcomes = batch.outcomes.into_iter().map(|outcome| outcome.expect("every request was decided")).collect();
        Ok((outcomes, self.barrier()))
    }
}

/// Requests whose wallets are looked up one after the other: more than it takes to fetch a line from memory.
const GROUP: usize = 32;

/// The place of a wallet that has not been looked up.
const NOWHERE: u32 = u32::MAX;

/// What requests of one currency share.
struct Unit<'a> {
    /// How they name it.
    asked: Option<&'a str>,
    wallets: WalletsOf,
    scale: Scale,
}

/// A request with everything looked up and defaulted.
#[derive(Clone, Copy)]
struct Planned {
    index: u32,
    slot: u32,
    amount: Amount,
    ttl_ms: u64,
    on_exceed: OnExceed,
    /// Of the id.
    fingerprint: Option<u64>,
}

/// A hold that this round makes.
struct Making<'g> {
    planned: Planned,
    entry: Option<Entry<'g>>,
    id: HoldId,
}

struct Batch<'a> {
    inner: &'a Inner,
    requests: &'a [HoldRequest<'a>],
    /// Ids made of the request's key, by place; nothing if it has none.
    made_ids: &'a [Option<String>],
    /// Nothing is made that was not made before.
    is_replay: bool,
    now: Timestamp,
    outcomes: Vec<Option<HoldOutcome>>,
}

impl<'a> Batch<'a> {
    /// The id under which a request's hold is declared and found again.
    fn id(&self, index: u32) -> Option<&'a str> {
        let index = index as usize;
        self.requests[index].id.or_else(|| self.made_ids.get(index)?.as_deref())
    }

    /// Decides what needs no wallet, and finds the wallets of all others: a group of requests at a time, so that what the second pass over
    /// it touches was asked for by the first.
    fn plan(&mut self) -> Vec<Planned> {
        let (catalog, guard) = (self.inner.catalog.snapshot(), pin());
        let mut planned = Vec::with_capacity(self.requests.len());
        let mut sought = Vec::with_capacity(GROUP);
        let mut last = None;
        let mut index = 0;
        for group in self.requests.chunks(GROUP) {
            for request in group {
                match self.plan_one(index, request, &catalog, &mut last, &guard) {
                    Ok(plan) => sought.push(plan),
                    Err(error) => self.refuse(index, error),
                }
                index += 1;
            }
            for (wallet, plan) in sought.drain(..) {
                match self.inner.find(wallet, &guard) {
                    Some(slot) => {
                        self.inner.slab.prefetch(slot);
                        planned.push(Planned { slot, ..plan });
                    }
                    None => self.refuse(plan.index, Rejection::UnknownWallet.into()),
                }
            }
        }
        planned
    }

    /// A request but for its wallet's place, and what that is found by.
    fn plan_one(
        &self,
        index: u32,
        request: &HoldRequest<'a>,
        catalog: &Catalog,
        last: &mut Option<Unit<'a>>,
        guard: &Guard,
    ) -> Result<(WalletHash, Planned), CommandError> {
        let inner = self.inner;
        check_text("customer", request.customer, MAX_ID_BYTES)?;
        if let Some(id) = request.id {
            check_text("id", id, MAX_ID_BYTES)?;
            if let Some(prefix) = [PREFIX, EFFECT_PREFIX].into_iter().find(|prefix| id.starts_with(prefix)) {
                let detail = format!("ids that begin with {prefix} are the server's");
                return Err(CommandError::Invalid { field: "id", detail });
            }
        }
        let (wallets, scale) = match last {
            Some(unit) if unit.asked == request.currency => (unit.wallets, unit.scale),
            _ => {
                let currency = currency_of(catalog, request.currency)?;
                let (wallets, scale) = (inner.seed.wallets_of(currency.number.0), currency.scale);
                *last = Some(Unit { asked: request.currency, wallets, scale });
                (wallets, scale)
            }
        };
        let amount = Amount::from_decimal(request.amount, scale)
            .map_err(|error| CommandError::Invalid { field: "amount", detail: error.to_string() })?;
        if amount <= Amount::ZERO {
            return Err(CommandError::Invalid { field: "amount", detail: "must be greater than zero".to_owned() });
        }
        let ttl_ms = inner.ttl(request.ttl_ms)?;
        let wallet = inner.seed.wallet_of(wallets, request.customer.as_bytes());
        inner.index.prefetch(wallet, guard);
        let fingerprint = self.id(index).map(|id| hold_fingerprint(&inner.seed, id));
        if let Some(fingerprint) = fingerprint {
            inner.idempotency.prefetch(fingerprint, guard);
        }
        let slot = NOWHERE;
        Ok((wallet, Planned { index, slot, amount, ttl_ms, on_exceed: request.on_exceed, fingerprint }))
    }

    fn refuse(&mut self, index: u32, error: CommandError) {
        self.outcomes[index as usize] = Some(HoldOutcome { result: Err(error), replayed: false });
    }

    /// Says of those that are not decided why they are not made.
    fn give_up(&mut self, round: &[Planned], error: &Unavailable) {
        for planned in round {
            if self.outcomes[planned.index as usize].is_none() {
                self.refuse(planned.index, CommandError::Unavailable(error.clone()));
            }
        }
    }

    /// Decides some requests. Those whose id somebody has in flight come again when this holds nothing.
    fn decide(&mut self, planned: &[Planned]) -> Result<(), Unavailable> {
        let mut waiting = self.round(planned)?;
        while !waiting.is_empty() {
            for planned in &waiting {
                if let Some(fingerprint) = planned.fingerprint {
                    self.inner.wait_settled(fingerprint);
                }
            }
            waiting = match self.round(&waiting) {
                Ok(waiting) => waiting,
                Err(error) => {
                    self.give_up(&waiting, &error);
                    return Ok(());
                }
            };
        }
        Ok(())
    }

    fn round(&mut self, planned: &[Planned]) -> Result<Vec<Planned>, Unavailable> {
        let inner = self.inner;
        let guard = pin();
        let declarations: usize = planned.iter().map(|planned| self.declaration(planned).length()).sum();
        let payload = Prelude::length("") + declarations;
        let work = Work::admit(inner, Budget::frame_bytes(payload), planned.len(), self.now, &guard)?;
        let mut waiting = Vec::new();
        let mut making = self.claim(planned, &mut waiting, &guard);
        self.sift(&mut making, &guard)?;
        if self.is_replay {
            for making in making.drain(..) {
                self.refuse(making.planned.index, not_done());
            }
        }
        self.refuse_archived(&mut making);
        work.prefetch(|| making.iter().map(|making| making.planned.slot));
        self.try_all(&mut making, &guard);
        if making.is_empty() {
            return Ok(waiting);
        }
        self.declare(&mut making, work.budget());
        let mut cramped = Vec::new();
        for making in making {
            match self.make(&work, &making) {
                Made::Cramped(bytes) => cramped.push((making, bytes)),
                Made::Decided(result) => self.settle(making, result),
            }
        }
        drop(work);
        for (making, bytes) in cramped {
            // The batch's own share of the log is given back; what is in flight is nobody's to wait for but those who send the same id.
            let result = match Work::admit(inner, bytes, 1, self.now, &guard) {
                Ok(work) => match self.make(&work, &making) {
                    Made::Decided(result) => result,
                    Made::Cramped(_) => Err(CommandError::Unavailable(Unavailable::Overloaded)),
                },
                Err(error) => Err(CommandError::Unavailable(error)),
            };
            self.settle(making, result);
        }
        Ok(waiting)
    }

    fn declaration(&self, planned: &Planned) -> Declaration<'a> {
        Declaration {
            slot: planned.slot,
            amount: planned.amount,
            expires_at: self.now.saturating_add(planned.ttl_ms),
            on_exceed: planned.on_exceed,
            id: self.id(planned.index),
        }
    }

    /// The idempotency probe: decides what was made before.
    fn claim<'g>(&mut self, planned: &[Planned], waiting: &mut Vec<Planned>, guard: &'g Guard) -> Vec<Making<'g>>
    where
        'a: 'g,
    {
        let mut making = Vec::with_capacity(planned.len());
        for planned in planned {
            let mut entry = None;
            if let Some(fingerprint) = planned.fingerprint {
                let mut strangers = Vec::new();
                entry = loop {
                    match self.inner.idempotency.claim(fingerprint, &strangers, guard) {
                        Claim::New(entry) => break Some(entry),
                        Claim::InFlight(_) => {
                            waiting.push(*planned);
                            break None;
                        }
                        Claim::Existing { lsn } => match self.replay(lsn, planned, guard) {
                            Some(outcome) => {
                                self.outcomes[planned.index as usize] = Some(outcome);
                                break None;
                            }
                            None => strangers.push(lsn),
                        },
                    }
                };
                if entry.is_none() {
                    continue;
                }
            }
            making.push(Making { planned: *planned, entry, id: HoldId::new(0) });
        }
        making
    }

    /// Refuses what is new for customers who take nothing new.
    fn refuse_archived(&mut self, making: &mut Vec<Making<'_>>) {
        making.retain(|making| {
            let index = making.planned.index;
            match self.inner.check_customer(self.requests[index as usize].customer) {
                Ok(()) => true,
                Err(error) => {
                    self.outcomes[index as usize] = Some(HoldOutcome { result: Err(error), replayed: false });
                    false
                }
            }
        });
    }

    /// Decides those that were made before and whose identities are in files by now.
    fn sift(&mut self, making: &mut Vec<Making<'_>>, guard: &Guard) -> Result<(), Unavailable> {
        let Some(runs) = self.inner.spilled.runs(guard) else { return Ok(()) };
        let with_ids: Vec<(usize, u64)> = making
            .iter()
            .enumerate()
            .filter_map(|(place, making)| Some((place, making.planned.fingerprint?)))
            .collect();
        let fingerprints: Vec<u64> = with_ids.iter().map(|(_, fingerprint)| *fingerprint).collect();
        let mut maybe = Vec::new();
        runs.sift(&fingerprints, |index| maybe.push(index));
        let mut known = vec![false; making.len()];
        let horizon = self.inner.horizon.lsn();
        for (place, fingerprint) in maybe.into_iter().map(|index| with_ids[index]) {
            let planned = making[place].planned;
            let lsns = runs.lookup(fingerprint).map_err(|_| Unavailable::Overloaded)?;
            for lsn in lsns.into_iter().filter(|lsn| *lsn >= horizon) {
                // A run knows what was declared. What never took effect has no claim to its id.
                let Some(outcome) = self.replay(lsn, &planned, guard) else { continue };
                let took_effect = match &outcome.result {
                    Ok(_) => true,
                    Err(CommandError::Rejected(Rejection::IdConflict)) => self.took_effect(lsn, guard),
                    Err(_) => !matches!(outcome.result, Err(CommandError::NotFound { .. })),
                };
                if took_effect {
                    self.outcomes[planned.index as usize] = Some(outcome);
                    known[place] = true;
                    break;
                }
            }
        }
        let mut known = known.into_iter();
        making.retain(|_| known.next() == Some(false));
        Ok(())
    }

    /// Whether the hold that was declared at `lsn` took effect; as far as it cannot be read, it did.
    fn took_effect(&self, lsn: u64, guard: &Guard) -> bool {
        match self.inner.declaration_of(HoldId::new(lsn)) {
            Ok(Some(record)) => {
                let place = Place { id: HoldId::new(lsn), slot: record.slot };
                self.inner.took_hold(place, guard).unwrap_or(true)
            }
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// The outcome for a request whose id the record at `lsn` has, if it has it.
    fn replay(&self, lsn: u64, planned: &Planned, guard: &Guard) -> Option<HoldOutcome> {
        let id = self.id(planned.index)?;
        let failed = |error| Some(HoldOutcome { result: Err(error), replayed: false });
        let record = match self.inner.declaration_of(HoldId::new(lsn)) {
            Ok(record) => record?,
            Err(error) => return failed(error),
        };
        if record.id.as_deref() != Some(id) {
            return None;
        }
        let same = record.slot == planned.slot
            && record.amount == planned.amount
            && record.on_exceed == planned.on_exceed
            && record.created_at.saturating_add(planned.ttl_ms) == record.expires_at;
        if !same {
            return failed(Rejection::IdConflict.into());
        }
        let place = Place { id: HoldId::new(lsn), slot: record.slot };
        Some(HoldOutcome { result: self.inner.state_of(place, self.now, guard), replayed: true })
    }

    /// Asks the rules before anything is written.
    fn try_all(&mut self, making: &mut Vec<Making<'_>>, guard: &Guard) {
        making.retain(|making| {
            let new = self.new_hold(&making.planned, HoldId::new(u64::MAX >> 1));
            let Some(refusal) = self.inner.would_refuse(making.planned.slot, &new, self.now, guard) else {
                return true;
            };
            // Its claim is given up as it is dropped.
            self.outcomes[making.planned.index as usize] =
                Some(HoldOutcome { result: Err(refusal.into()), replayed: false });
            false
        });
    }

    fn new_hold(&self, planned: &Planned, id: HoldId) -> NewHold {
        let expires_at = self.now.saturating_add(planned.ttl_ms);
        NewHold { id, amount: planned.amount, expires_at, on_exceed: planned.on_exceed }
    }

    /// Writes the declarations, in one frame, and so numbers the holds.
    fn declare(&self, making: &mut [Making<'_>], budget: &Budget<'_>) {
        let records: usize = making.iter().map(|making| self.declaration(&making.planned).length()).sum();
        let length = Prelude::length("") + records;
        let mut frame = budget.reserve(kind::ADMIN, length).expect("admitted with the declarations' length");
        let first = frame.payload_lsn().get();
        let payload = frame.payload_mut();
        let mut at = Prelude { time: self.now, source: "" }.write(payload);
        for making in &mut *making {
            let declaration = self.declaration(&making.planned);
            declaration.write(&mut payload[at..at + declaration.length()], at as u32);
            making.id = HoldId::new(first + at as u64);
            at += declaration.length();
        }
        frame.publish(length, making.len() as u32);
    }

    fn make(&self, work: &Work<'_>, making: &Making<'_>) -> Made<(HoldState, Standing)> {
        let (planned, new) = (&making.planned, self.new_hold(&making.planned, making.id));
        let done = work.carry_out(planned.slot, |wallet| {
            wallet.check(&new, self.now)?;
            Ok(Some(Operation::Hold(new).into()))
        });
        done.map(|done| {
            let state = HoldState {
                id: making.id,
                slot: planned.slot,
                status: HoldStatus::Open,
                amount: planned.amount,
                captured: Amount::ZERO,
                remaining: planned.amount,
                released: Amount::ZERO,
                expires_at: new.expires_at,
                on_exceed: planned.on_exceed,
            };
            (state, done.standing)
        })
    }

    fn settle(&mut self, making: Making<'_>, result: Result<(HoldState, Standing), CommandError>) {
        if let Some(entry) = making.entry {
            match &result {
                Ok(_) => entry.finish(making.id.get()),
                Err(_) => entry.give_up(),
            }
        }
        self.outcomes[making.planned.index as usize] = Some(HoldOutcome { result, replayed: false });
    }
}

impl Inner {
    /// How long a hold may last from when it is made: its id must be known as long as it is open.
    pub(super) fn hold_life_ms(&self) -> u64 {
        self.config.idempotency_window_ms
    }

    fn ttl(&self, asked: Option<u64>) -> Result<u64, CommandError> {
        let most = MAX_TTL_MS.min(self.hold_life_ms());
        let ttl = asked.unwrap_or(DEFAULT_TTL_MS.min(most));
        if ttl == 0 || ttl > most {
            let detail = format!("must be greater than zero and at most {} seconds", most / 1000);
            return Err(CommandError::Invalid { field: "ttl_seconds", detail });
        }
        Ok(ttl)
    }
}
