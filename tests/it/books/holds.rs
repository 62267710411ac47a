//! Holds: made, captured, released, extended, and what is shown of them.

use drawdown::engine::holds::{CaptureRequest, HoldRequest, HoldStatus};
use drawdown::engine::view::HoldRef;
use drawdown::engine::{CommandError, Engine, Ticket, Unavailable};
use drawdown::ledger::{HoldId, OnExceed, Rejection};

use crate::model::{self, Command, Fate};

use super::lines::Line;
use super::step::HoldSpec;
use super::{Books, CUSTOMERS, DEFAULT_TTL_MS, WINDOW_MS, WalletNumber, at, compare_command, units};

/// A hold that was made.
#[derive(Clone, Debug)]
pub(crate) struct MadeHold {
    pub(crate) id: u64,
    pub(crate) text: String,
    pub(super) spec: HoldSpec,
    pub(super) created_at: u64,
}

impl Books {
    pub(super) fn hold(&mut self, spec: HoldSpec, engine: &Engine) -> Result<Ticket, Unavailable> {
        self.hold_requests.push(spec.clone());
        let (mut outcomes, ticket) = {
            let id = spec.id.map(hold_id);
            let request = HoldRequest {
                id: id.as_deref(),
                customer: spec.wallet.customer(),
                currency: Some(spec.wallet.currency()),
                amount: spec.wallet.decimal(spec.units),
                ttl_ms: spec.ttl_ms,
                on_exceed: on_exceed(spec.on_exceed),
            };
            engine.hold(&[request])?
        };
        let outcome = outcomes.pop().expect("one outcome");
        if let Err(CommandError::Unavailable(error)) = outcome.result {
            return Err(error);
        }
        let invalid = |field| matches!(&outcome.result, Err(CommandError::Invalid { field: of, .. }) if *of == field);
        if spec.units <= 0 {
            assert!(invalid("amount"), "{outcome:?}");
            return Ok(ticket);
        }
        if spec.ttl_ms.is_some_and(|ttl| ttl == 0 || ttl > WINDOW_MS) {
            assert!(invalid("ttl_seconds"), "{outcome:?}");
            return Ok(ticket);
        }
        if !self.exists(spec.wallet) {
            assert_eq!(outcome.result.err(), Some(CommandError::Rejected(Rejection::UnknownWallet)));
            return Ok(ticket);
        }
        if let Some((earlier, _)) = spec.id.and_then(|id| self.hold_ids.get(&id)) {
            let made = self.holds[*earlier].clone();
            let content =
                |spec: &HoldSpec| (spec.wallet, spec.units, spec.ttl_ms.unwrap_or(DEFAULT_TTL_MS), spec.on_exceed);
            if content(&made.spec) == content(&spec) {
                // What it has to say of a hold that ended may have been retired.
                if !matches!(outcome.result, Err(CommandError::Retired { .. })) {
                    assert!(outcome.replayed);
                    assert_eq!(outcome.result.expect("the first answer again").0.id.get(), made.id);
                }
                self.compare_hold(&made, engine);
            } else {
                assert_eq!(outcome.result.err(), Some(CommandError::Rejected(Rejection::IdConflict)));
            }
            return Ok(ticket);
        }
        assert!(!outcome.replayed);
        let id = outcome.result.as_ref().map_or(u64::MAX >> 1, |(state, _)| state.id.get());
        let hold = model::Hold {
            id,
            amount: spec.units.into(),
            expires_at: self.now + spec.ttl_ms.unwrap_or(DEFAULT_TTL_MS),
            on_exceed: spec.on_exceed,
        };
        let (now, step) = (self.now, self.step);
        let book = self.book(spec.wallet);
        let mut trial = book.clone();
        // What is due comes first, as an operation of its own; a hold that is refused leaves no trace of that either.
        trial.enter(&Command::Wait, now, step, None);
        let expected = trial.enter(&Command::Hold(hold), now, step, None);
        compare_command(outcome.result.as_ref().err(), &expected);
        if let Ok((state, standing)) = &outcome.result {
            *book = trial;
            let model = book.model();
            assert_eq!((units(standing.balance), units(standing.available)), (model.balance(), model.available()));
            if let Some(key) = spec.id {
                self.hold_ids.insert(key, (self.holds.len(), (now, step)));
            }
            let text = spec.id.map_or_else(|| engine.made_hold_text(state), hold_id);
            self.holds.push(MadeHold { id, text, spec, created_at: now });
        }
        Ok(ticket)
    }

    /// The hold that is meant by a number, the newest first; none if there is none, or its id is forgotten.
    fn pick_hold(&self, number: usize, engine: &Engine) -> Option<MadeHold> {
        if self.holds.is_empty() {
            for text in ["hld_0000000000000000000000000000", "no-such-hold", "", "hld_"] {
                let missing = engine.hold_view(text).map(|_| ());
                assert_eq!(missing, Err(CommandError::NotFound { what: "hold" }));
            }
            return None;
        }
        let made = &self.holds[self.holds.len() - 1 - number % self.holds.len()];
        let made = match made.spec.id.map(|id| self.hold_ids.get(&id)) {
            None => made,
            Some(Some((place, _))) => &self.holds[*place],
            Some(None) => {
                let missing = engine.hold_view(&made.text).map(|_| ());
                assert_eq!(missing, Err(CommandError::NotFound { what: "hold" }), "{made:?} is forgotten");
                return None;
            }
        };
        Some(made.clone())
    }

    pub(super) fn capture(
        &mut self,
        number: usize,
        asked: i64,
        is_final: bool,
        engine: &Engine,
    ) -> Result<Option<Ticket>, Unavailable> {
        let Some(made) = self.pick_hold(number, engine) else { return Ok(None) };
        let wallet = made.spec.wallet;
        let request = CaptureRequest { hold: &made.text, amount: wallet.decimal(asked), is_final };
        let (mut outcomes, ticket) = engine.capture(&[request])?;
        let outcome = outcomes.pop().expect("one outcome");
        if let Err(CommandError::Unavailable(error)) = outcome {
            return Err(error);
        }
        if asked < 0 || asked == 0 && !is_final {
            assert!(matches!(outcome, Err(CommandError::Invalid { field: "amount", .. })), "{outcome:?}");
            return Ok(None);
        }
        let (now, step) = (self.now, self.step);
        let book = self.book(wallet);
        book.enter(&Command::Wait, now, step, None);
        let was = book.model().hold(made.id).expect("a hold").fate;
        if let Err(error @ CommandError::Retired { .. }) = &outcome {
            assert_ne!(was, Fate::Open, "{error:?}");
            return Ok(Some(ticket));
        }
        if asked == 0 && was != Fate::Open {
            assert_eq!(outcome.expect("it is released").entry, None);
            return Ok(Some(ticket));
        }
        let command = Command::Capture { hold: made.id, amount: asked.into(), is_final };
        let expected = book.enter(&command, now, step, None);
        compare_command(outcome.as_ref().err(), &expected);
        if let Ok(captured) = outcome {
            let model = book.model();
            let amounts = (units(captured.amount), units(captured.shortfall), units(captured.overdraft));
            assert_eq!(amounts, (expected.taken, expected.shortfall, expected.overdraft));
            assert_eq!(captured.is_late, was == Fate::Expired);
            let standing = captured.standing;
            assert_eq!((units(standing.balance), units(standing.available)), (model.balance(), model.available()));
            let kept = model.hold(made.id).expect("a hold");
            assert_eq!(
                (captured.state.status, units(captured.state.captured)),
                (fate(kept.fate), kept.captured.min(i64::MAX.into()))
            );
            if expected.taken > 0 {
                self.enter_debit(wallet, captured.entry, None, &expected);
            }
        }
        self.compare_hold(&made, engine);
        Ok(Some(ticket))
    }

    pub(super) fn release(&mut self, number: usize, engine: &Engine) -> Result<Option<Ticket>, Unavailable> {
        let Some(made) = self.pick_hold(number, engine) else { return Ok(None) };
        let result = engine.release_hold(&made.text);
        if let Err(CommandError::Unavailable(error)) = result {
            return Err(error);
        }
        let (now, step) = (self.now, self.step);
        let book = self.book(made.spec.wallet);
        book.enter(&Command::Wait, now, step, None);
        if book.model().hold(made.id).expect("a hold").fate == Fate::Open {
            book.enter(&Command::Release { hold: made.id }, now, step, None);
        }
        self.compare_hold(&made, engine);
        if matches!(result, Err(CommandError::Retired { .. })) {
            return Ok(None);
        }
        Ok(Some(result.expect("a hold that has ended stays so").1))
    }

    pub(super) fn extend(&mut self, number: usize, lasts: u64, engine: &Engine) -> Result<Option<Ticket>, Unavailable> {
        let Some(made) = self.pick_hold(number, engine) else { return Ok(None) };
        let expires_at = self.now + lasts;
        let result = engine.extend_hold(&made.text, at(expires_at));
        if let Err(CommandError::Unavailable(error)) = result {
            return Err(error);
        }
        let (now, step) = (self.now, self.step);
        let book = self.book(made.spec.wallet);
        book.enter(&Command::Wait, now, step, None);
        let is_open = book.model().hold(made.id).expect("a hold").fate == Fate::Open;
        if !is_open && matches!(result, Err(CommandError::Retired { .. })) {
            return Ok(None);
        }
        if is_open && expires_at > made.created_at + WINDOW_MS {
            assert!(matches!(result, Err(CommandError::Invalid { field: "expires_at", .. })), "{result:?}");
            return Ok(None);
        }
        let expected = book.enter(&Command::ExtendHold { hold: made.id, expires_at }, now, step, None);
        compare_command(result.as_ref().err(), &expected);
        self.compare_hold(&made, engine);
        Ok(result.ok().map(|(_, ticket)| ticket))
    }

    fn compare_hold(&self, made: &MadeHold, engine: &Engine) {
        let is_known = made
            .spec
            .id
            .is_none_or(|id| self.hold_ids.get(&id).is_some_and(|(place, _)| self.holds[*place].id == made.id));
        if !is_known {
            return;
        }
        let model = self.present(made.spec.wallet);
        let kept = model.hold(made.id).expect("a hold of the model");
        let view = match engine.hold_view(&made.text) {
            Err(CommandError::Retired { .. }) => {
                assert_ne!(kept.fate, Fate::Open, "{made:?} is said to be retired");
                return;
            }
            // The disk failed under the reading; whoever makes the steps finds out next.
            Err(CommandError::Unavailable(_)) if engine.health().is_err() => return,
            view => view.expect("a hold that was made"),
        };
        let state = view.state;
        assert_eq!((state.id.get(), view.text.as_str()), (made.id, made.text.as_str()));
        assert_eq!(
            (view.customer.as_str(), view.currency.id.as_str()),
            (made.spec.wallet.customer(), made.spec.wallet.currency())
        );
        let is_open = kept.fate == Fate::Open;
        let expected = (fate(kept.fate), kept.hold.amount, kept.captured, if is_open { kept.left } else { 0 });
        assert_eq!(
            (state.status, units(state.amount), units(state.captured), units(state.remaining)),
            expected,
            "{made:?}"
        );
        assert_eq!(state.expires_at, at(kept.hold.expires_at), "{made:?}");
        assert_eq!((state.on_exceed, view.created_at), (on_exceed(made.spec.on_exceed), at(made.created_at)));
    }

    pub(super) fn compare_holds(&self, engine: &Engine) {
        for made in &self.holds {
            self.compare_hold(made, engine);
        }
        for customer in CUSTOMERS {
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let (page, more) = engine.open_holds(customer, None, after, 2).expect("a readable log");
                after = page.last().map(|(cursor, _)| *cursor);
                listed.extend(page.into_iter().map(|(_, view)| view.state.id.get()));
                if !more {
                    break;
                }
            }
            let mut expected = Vec::new();
            for wallet in WalletNumber::all().filter(|wallet| wallet.customer() == customer && self.exists(*wallet)) {
                let model = self.present(wallet);
                let mut open: Vec<_> = model.open().map(|kept| (kept.hold.expires_at, kept.hold.id)).collect();
                open.sort_unstable();
                expected.extend(open.into_iter().map(|(_, id)| id));
            }
            assert_eq!(listed, expected, "{customer}");
        }
    }
}

pub(super) fn hold_text(line: &Line, engine: &Engine) -> String {
    let id = HoldId::new(line.hold.expect("a hold's line"));
    // No wallet's slot: the log is whole, and so the declaration tells it.
    engine.hold_text(HoldRef { id, slot: u32::MAX })
}

/// Ids of holds, of all lengths.
fn hold_id(number: u8) -> String {
    format!("hold-{}{number}", "x".repeat(usize::from(number) * 20 % 110))
}

pub(super) fn fate(fate: Fate) -> HoldStatus {
    match fate {
        Fate::Open => HoldStatus::Open,
        Fate::Captured => HoldStatus::Captured,
        Fate::Released => HoldStatus::Released,
        Fate::Expired => HoldStatus::Expired,
    }
}

pub(super) fn on_exceed(policy: model::OnExceed) -> OnExceed {
    match policy {
        model::OnExceed::Reject => OnExceed::Reject,
        model::OnExceed::Cap => OnExceed::Cap,
        model::OnExceed::Overdraw => OnExceed::Overdraw,
    }
}
