//! Captures, in batches; releases and extensions.

use super::after_capture;
use super::find::{Place, Sought};
use super::keyed::keyed;
use super::requests::{CaptureOutcome, CaptureRequest, Captured, HoldEnd, HoldState, HoldStatus, HoldView};
use super::work::{Done, Made, Order, Wallet, Work, at_once, clear_up};
use crate::engine::once::RequestKey;
use crate::engine::ticket::Ticket;
use crate::engine::view::{CommandError, Unavailable};
use crate::engine::{Engine, Inner};
use crate::journal::keyed::{Keyed, OperationKey};
use crate::ledger::{
    Amount, Capture, OnExceed, OpenHold, Operation, Policy, Rejection, Timestamp, decide_capture, decide_debit,
};
use crate::store::{Guard, pin};

impl Engine {
    /// Captures holds, each on its own; one outcome a request, in order. Each is told only when the ticket has resolved. A capture sent again is
    /// another capture.
    pub fn capture(&self, requests: &[CaptureRequest<'_>]) -> Result<(Vec<CaptureOutcome>, Ticket), Unavailable> {
        self.capture_once(requests, None)
    }

    /// As [`Engine::capture`]; under a request's key each is made once, and answered as it was then.
    pub fn capture_once(
        &self,
        requests: &[CaptureRequest<'_>],
        once: Option<RequestKey>,
    ) -> Result<(Vec<CaptureOutcome>, Ticket), Unavailable> {
        let inner = &*self.inner;
        inner.check_open()?;
        if once.is_some() {
            inner.room.check()?;
        }
        let now = inner.now();
        let mut outcomes = Vec::with_capacity(requests.len());
        for round in requests.chunks(at_once(inner)) {
            let first = outcomes.len();
            let guard = pin();
            // In this order: nobody waits for what others have in flight with room of its own.
            let todo = look_all(inner, round, once, first, &guard);
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
                work.prefetch(|| todo.iter().filter_map(Todo::place).map(|place| place.slot));
            }
            for (at, (request, todo)) in (first..).zip(round.iter().zip(todo)) {
                let key = once.map(|once| once.operation(at));
                outcomes.push(match todo {
                    Todo::Decided(outcome) => *outcome,
                    Todo::Capture(place) => capture(inner, request, key, place, &mut work, now, &guard),
                });
            }
            drop(work);
            drop(guard);
            clear_up(round.len());
        }
        Ok((outcomes, self.barrier()))
    }

    /// Ends a hold and gives back what it has left. A hold that has ended already is left as it is: that is success.
    pub fn release_hold(&self, text: &str) -> Result<(HoldView, Ticket), CommandError> {
        self.release_hold_once(text, None)
    }

    /// As [`Engine::release_hold`]; under a request's key it is answered as it was then.
    pub fn release_hold_once(&self, text: &str, once: Option<RequestKey>) -> Result<(HoldView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        if let Some(once) = once {
            inner.room.check()?;
            if let Some(view) = inner.earlier_release(text, once)? {
                return Ok((view, self.barrier()));
            }
        }
        let (now, guard) = (inner.now(), pin());
        let place = inner.find_hold(text, &guard)?;
        let key = once.map(|once| once.operation(0));
        let done = inner.do_one(place, now, &guard, |wallet| {
            let Some(hold) = wallet.open_hold(place.id) else { return Ok(None) };
            let keyed = inner.keyed(key, Amount::ZERO, place, hold)?;
            Ok(Some(Order { operation: Operation::Release { hold: place.id }, keyed }))
        })?;
        inner.remember(key, &done);
        Ok((inner.hold_view_of(place, now, &guard)?, self.barrier()))
    }

    /// Moves the end of an open hold: into the future, and no further than the idempotency window reaches from when the hold was made.
    pub fn extend_hold(&self, text: &str, expires_at: Timestamp) -> Result<(HoldView, Ticket), CommandError> {
        self.extend_hold_once(text, HoldEnd::At(expires_at), None)
    }

    /// As [`Engine::extend_hold`]; under a request's key it is done once, and answered as it was then.
    pub fn extend_hold_once(
        &self,
        text: &str,
        end: HoldEnd,
        once: Option<RequestKey>,
    ) -> Result<(HoldView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        if let Some(once) = once {
            inner.room.check()?;
            if let Some(view) = inner.earlier_extension(text, end, once)? {
                return Ok((view, self.barrier()));
            }
        }
        let (now, guard) = (inner.now(), pin());
        let (place, expires_at) = (inner.find_hold(text, &guard)?, end.from(now));
        let key = once.map(|once| once.operation(0));
        let done = inner.do_one(place, now, &guard, |wallet| match wallet.open_hold(place.id) {
            // Under a key it is logged all the same: what others make of the hold's end since, a repeat must not take back.
            Some(hold) if hold.expires_at == expires_at && key.is_none() => Ok(None),
            Some(_) if expires_at <= now => Err(Rejection::ExpiryInPast.into()),
            Some(hold) => {
                inner.check_life(place, expires_at)?;
                let keyed = inner.keyed(key, Amount::ZERO, place, hold)?;
                Ok(Some(Order { operation: Operation::ExtendHold { hold: place.id, expires_at }, keyed }))
            }
            None => inner.how_hold_ended(place, wallet.generation).and(Err(Rejection::HoldEnded.into())),
        })?;
        inner.remember(key, &done);
        Ok((inner.hold_view_of(place, now, &guard)?, self.barrier()))
    }
}

impl Inner {
    /// What the record of an operation under a key says of an open hold.
    fn keyed(
        &self,
        key: Option<OperationKey>,
        asked: Amount,
        place: Place,
        hold: &OpenHold,
    ) -> Result<Option<Box<Keyed>>, CommandError> {
        let Some(key) = key else { return Ok(None) };
        Ok(Some(Box::new(keyed(key, asked, hold, &self.declared(place.id)?))))
    }

    /// Enters what was done under a key, if anything was.
    fn remember(&self, key: Option<OperationKey>, done: &Done) {
        if let (Some(key), Some(entry)) = (key, done.entry) {
            self.remember_keyed(&key, entry);
        }
    }

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
        mut decide: impl FnMut(&Wallet<'_>) -> Result<Option<Order>, CommandError>,
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

/// What is to be done about a requested capture.
enum Todo {
    /// Nothing: it was made before, or there is no such hold.
    Decided(Box<CaptureOutcome>),
    /// It is to be made from this hold.
    Capture(Place),
}

impl Todo {
    fn place(&self) -> Option<Place> {
        match self {
            Todo::Decided(_) => None,
            Todo::Capture(place) => Some(*place),
        }
    }
}

/// What is to be done about some of a request's captures, the first of which is its `first`: those that were made before, and where the holds
/// are that the others are to be made from.
fn look_all(
    inner: &Inner,
    requests: &[CaptureRequest<'_>],
    once: Option<RequestKey>,
    first: usize,
    guard: &Guard,
) -> Vec<Todo> {
    let refused = |error| Box::new(Err(error));
    let seek = |(at, request): (usize, &CaptureRequest<'_>)| {
        let earlier = once.and_then(|once| inner.earlier_capture(request, once, at));
        earlier.map_or_else(|| inner.seek_hold(request.hold, guard).map_err(refused), |outcome| Err(Box::new(outcome)))
    };
    let sought: Vec<Result<Sought, Box<CaptureOutcome>>> = (first..).zip(requests).map(seek).collect();
    let mut view = None;
    let find = |(sought, request): (Result<Sought, _>, &CaptureRequest<'_>)| {
        let found =
            sought.and_then(|sought| inner.find_sought(sought, request.hold, &mut view, guard).map_err(refused));
        found.map_or_else(Todo::Decided, Todo::Capture)
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
    key: Option<OperationKey>,
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
        let (decision, order) = decide(inner, wallet, place, key, amount, request.is_final)?;
        decided = decision;
        Ok(order)
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
    inner.remember(key, &done);
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
    key: Option<OperationKey>,
    amount: Amount,
    is_final: bool,
) -> Result<(Decided, Option<Order>), CommandError> {
    if let Some(hold) = wallet.open_hold(place.id) {
        let capture = decide_capture(hold.remaining, hold.on_exceed, amount, is_final)?;
        let state = after_capture(HoldState::open(place.slot, hold), &capture, is_final);
        let keyed = inner.keyed(key, amount, place, hold)?;
        let order = Order { operation: Operation::Capture { hold: place.id, amount, is_final }, keyed };
        return Ok((Decided::Open(state), Some(order)));
    }
    let (ended, expires_at) = inner.how_hold_ended(place, wallet.generation)?;
    if amount == Amount::ZERO {
        return Ok((Decided::Nothing, None));
    }
    if ended.status != HoldStatus::Expired {
        return Err(Rejection::HoldEnded.into());
    }
    // From here on it is a debit like any other, of what the hold would have given.
    let declared = inner.declared(place.id)?;
    let on_exceed = declared.on_exceed;
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
    let keyed = key.map(|key| {
        let (captured, released, created_at) = (ended.captured, ended.released, declared.created_at);
        Box::new(Keyed {
            key,
            asked: amount,
            amount: declared.amount,
            captured,
            released,
            expires_at,
            created_at,
            on_exceed,
        })
    });
    Ok((Decided::Late(shortfall), Some(Order { operation, keyed })))
}
