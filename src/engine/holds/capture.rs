//! Captures, in batches; releases and extensions.

use super::find::{Place, Sought};
use super::requests::{CaptureOutcome, CaptureRequest, Captured, HoldState, HoldStatus, HoldView};
use super::work::{Done, Made, Wallet, Work, at_once, clear_up};
use crate::engine::ticket::Ticket;
use crate::engine::view::{CommandError, Unavailable};
use crate::engine::{Engine, Inner};
use crate::ledger::{Amount, Capture, OnExceed, Operation, Policy, Rejection, Timestamp, decide_capture, decide_debit};
use crate::store::{Guard, pin};

impl Engine {
    /// Captures holds, each on its own; one outcome a request, in order. Each is told only when the ticket has resolved. A capture sent again is
    /// another capture.
    pub fn capture(&self, requests: &[CaptureRequest<'_>]) -> Result<(Vec<CaptureOutcome>, Ticket), Unavailable> {
        let inner = &*self.inner;
        inner.check_open()?;
        let now = inner.now();
        let mut outcomes = Vec::with_capacity(requests.len());
        for round in requests.chunks(at_once(inner)) {
            let guard = pin();
            let places = find_all(inner, round, &guard);
            let mut work = match Work::admit(inner, 0, round.len(), now, &guard) {
                Ok(work) => Some(work),
                Err(error) if outcomes.is_empty() => return Err(error),
                Err(error) => {
                    let refused = |_| Err(CommandError::Unavailable(error.clone()));
                    outcomes.extend(round.iter().map(refused));
                    continue;
                }
            };
            if let Some(work) = &work {
                work.prefetch(|| places.iter().flatten().map(|place| place.slot));
            }
            for (request, place) in round.iter().zip(places) {
                let outcome = place.and_then(|place| capture(inner, request, place, &mut work, now, &guard));
                outcomes.push(outcome);
            }
            drop(work);
            drop(guard);
            clear_up(round.len());
        }
        Ok((outcomes, self.barrier()))
    }

    /// Ends a hold and gives back what it has left. A hold that has ended already is left as it is: that is success.
    pub fn release_hold(&self, text: &str) -> Result<(HoldView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let (now, guard) = (inner.now(), pin());
        let place = inner.find_hold(text, &guard)?;
        inner.do_one(place, now, &guard, |wallet| {
            let is_open = wallet.open_hold(place.id).is_some();
            Ok(is_open.then_some(Operation::Release { hold: place.id }))
        })?;
        Ok((inner.hold_view_of(place, now, &guard)?, self.barrier()))
    }

    /// Moves the end of an open hold: into the future, and no further than the idempotency window reaches from when the hold was made.
    pub fn extend_hold(&self, text: &str, expires_at: Timestamp) -> Result<(HoldView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let (now, guard) = (inner.now(), pin());
        let place = inner.find_hold(text, &guard)?;
        inner.do_one(place, now, &guard, |wallet| match wallet.open_hold(place.id) {
            Some(hold) if hold.expires_at == expires_at => Ok(None),
            Some(_) if expires_at <= now => Err(Rejection::ExpiryInPast.into()),
            Some(_) => {
                inner.check_life(place, expires_at)?;
                Ok(Some(Operation::ExtendHold { hold: place.id, expires_at }))
            }
            None => inner.how_hold_ended(place, wallet.generation).and(Err(Rejection::HoldEnded.into())),
        })?;
        Ok((inner.hold_view_of(place, now, &guard)?, self.barrier()))
    }
}

impl Inner {
    /// That a hold may last until then.
    fn check_life(&self, place: Place, expires_at: Timestamp) -> Result<(), CommandError> {
        let life_ms = self.hold_life_ms();
        if expires_at <= self.declared(place.id)?.created_at.saturating_add(life_ms) {
            return Ok(());
        }
        let hours = life_ms / 3_600_000;
        let detail = format!("a hold ends {hours} hours after it was made at the latest: the idempotency window");
        Err(CommandError::Invalid { field: "expires_at", detail })
    }

    /// Carries out one operation with an admission of its own.
    fn do_one(
        &self,
        place: Place,
        now: Timestamp,
        guard: &Guard,
        mut decide: impl FnMut(&Wallet<'_>) -> Result<Option<Operation>, CommandError>,
    ) -> Result<Done, CommandError> {
        let mut bytes = 0;
        loop {
            match Work::admit(self, bytes, 1, now, guard)?.carry_out(place.slot, &mut decide) {
                Made::Decided(result) => return result,
                Made::Cramped(needed) => bytes = needed,
            }
        }
    }
}

/// Where the holds are that are to be captured.
fn find_all(inner: &Inner, requests: &[CaptureRequest<'_>], guard: &Guard) -> Vec<Result<Place, CommandError>> {
    let sought: Vec<_> = requests.iter().map(|request| inner.seek_hold(request.hold, guard)).collect();
    let mut view = None;
    let find = |(sought, request): (Result<Sought, CommandError>, &CaptureRequest<'_>)| {
        inner.find_sought(sought?, request.hold, &mut view, guard)
    };
    sought.into_iter().zip(requests).map(find).collect()
}

/// What a capture was decided to be.
#[derive(Clone, Copy)]
enum Decided {
    /// From an open hold: how the hold stands afterwards.
    Open(HoldState),
    /// From a hold that is over, as a debit. So much of what was asked for exceeds the hold and is not asked of the wallet.
    Late(Amount),
    /// There is nothing to do: a release, of a hold that has ended.
    Nothing,
}

fn capture<'a>(
    inner: &'a Inner,
    request: &CaptureRequest<'_>,
    place: Place,
    work: &mut Option<Work<'a>>,
    now: Timestamp,
    guard: &'a Guard,
) -> CaptureOutcome {
    let scale = work.as_ref().map_or_else(|| inner.scale_of(place.slot), |work| work.scale(place.slot));
    let amount = Amount::from_decimal(request.amount, scale)
        .map_err(|error| CommandError::Invalid { field: "amount", detail: error.to_string() })?;
    if amount < Amount::ZERO || amount == Amount::ZERO && !request.is_final {
        let detail = "must be greater than zero, or zero for a final capture".to_owned();
        return Err(CommandError::Invalid { field: "amount", detail });
    }
    let mut decided = Decided::Nothing;
    let mut decide = |wallet: &Wallet<'_>| {
        let (decision, operation) = decide(inner, wallet, place, amount, request.is_final)?;
        decided = decision;
        Ok(operation)
    };
    let own = work.as_ref().map(|work| work.carry_out(place.slot, &mut decide));
    let done = match own {
        Some(Made::Decided(result)) => result?,
        Some(Made::Cramped(_)) | None => {
            // In this order: nobody waits for room with room of its own.
            *work = None;
            inner.do_one(place, now, guard, &mut decide)?
        }
    };
    finish(inner, place, decided, &done, now, guard)
}

fn finish(inner: &Inner, place: Place, decided: Decided, done: &Done, now: Timestamp, guard: &Guard) -> CaptureOutcome {
    let (state, capped) = match decided {
        // What was captured beyond the hold counts too.
        Decided::Open(state) => (state, Amount::ZERO),
        Decided::Late(capped) => (inner.state_of(place, now, guard)?.0, capped),
        Decided::Nothing => (inner.state_of(place, now, guard)?.0, Amount::ZERO),
    };
    Ok(Captured {
        state,
        standing: done.standing,
        amount: done.taken.amount,
        shortfall: done.taken.shortfall.checked_add(capped).unwrap_or(Amount::MAX),
        overdraft: done.taken.overdraft,
        is_late: matches!(decided, Decided::Late(_)),
        entry: done.entry,
    })
}

fn decide(
    inner: &Inner,
    wallet: &Wallet<'_>,
    place: Place,
    amount: Amount,
    is_final: bool,
) -> Result<(Decided, Option<Operation>), CommandError> {
    if let Some(hold) = wallet.open_hold(place.id) {
        let Capture { within, beyond, .. } = decide_capture(hold.remaining, hold.on_exceed, amount, is_final)?;
        let mut state = HoldState::open(place.slot, hold);
        let sum = |one: Amount, other: Amount| one.checked_add(other).unwrap_or(Amount::MAX);
        state.captured = sum(sum(state.captured, within), beyond);
        state.remaining = state.remaining.checked_sub(within).unwrap_or(Amount::ZERO);
        if state.remaining == Amount::ZERO || is_final {
            let is_release = within == Amount::ZERO && beyond == Amount::ZERO;
            state.status = if is_release { HoldStatus::Released } else { HoldStatus::Captured };
            state.released = std::mem::take(&mut state.remaining);
        }
        return Ok((Decided::Open(state), Some(Operation::Capture { hold: place.id, amount, is_final })));
    }
    let (ended, _) = inner.how_hold_ended(place, wallet.generation)?;
    if amount == Amount::ZERO {
        return Ok((Decided::Nothing, None));
    }
    if ended.status != HoldStatus::Expired {
        return Err(Rejection::HoldEnded.into());
    }
    // From here on it is a debit like any other, of what the hold would have given.
    let on_exceed = inner.declared(place.id)?.on_exceed;
    let Capture { within, beyond, shortfall } = decide_capture(ended.left, on_exceed, amount, true)?;
    let wanted = within.checked_add(beyond).ok_or(Rejection::InvalidAmount)?;
    if wanted == Amount::ZERO {
        return Err(Rejection::CaptureExceedsHold { remaining: ended.left, required: amount }.into());
    }
    // What is captured in all is an amount, too.
    ended.captured.checked_add(wanted).ok_or(Rejection::BalanceOverflow)?;
    let policy = match on_exceed {
        OnExceed::Reject => Policy::Reject,
        OnExceed::Cap => Policy::Partial,
        OnExceed::Overdraw => Policy::Overdraft,
    };
    decide_debit(&wallet.terms.get(), wallet.balance, wanted, policy)?;
    let operation = Operation::LateCapture { hold: place.id, amount: wanted, policy, left: ended.left };
    Ok((Decided::Late(shortfall), Some(operation)))
}
