//! Grants: made, changed, paid for, and what is shown of them.

use drawdown::engine::view::{CostBasis, GrantOptions, GrantRequest, GrantState, Metadata, RolloverSpec};
use drawdown::engine::{CommandError, Engine, Ticket, Unavailable};
use drawdown::ledger::{Category, Decimal, GrantId, Rejection, Source, Timestamp};
use drawdown_wal::Lsn;

use crate::model::{self, Command, Model};

use super::step::GrantSpec;
use super::{Books, CURRENCIES, CUSTOMERS, GRANT_SOURCES, WalletNumber, at, compare_command, units};

/// A grant that was made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) id: u64,
    pub(crate) text: String,
    pub(crate) wallet: WalletNumber,
    pub(crate) request: GrantRequest,
    pub(super) created_at: u64,
    /// The grant of another wallet that it was a part of.
    pub(super) parent: Option<GrantId>,
}

/// A grant with nothing to it but its amount, in whole credits.
pub(crate) fn plain_grant(customer: &str, currency: &str, credits: i64) -> GrantRequest {
    GrantRequest {
        customer: customer.to_owned(),
        currency: Some(currency.to_owned()),
        amount: Decimal::from_integer(credits),
        source: Source::Plan,
        category: Category::Paid,
        priority: None,
        effective_at: None,
        expires_at: None,
        cost_basis: None,
        key: None,
        metadata: Metadata::default(),
        options: GrantOptions::default(),
    }
}

impl Books {
    pub(crate) fn request(&self, spec: &GrantSpec) -> GrantRequest {
        let valid_for_ms = spec.waits.flatten();
        let lasts = spec.lasts.filter(|_| valid_for_ms.is_none());
        let ends = lasts.is_some() || valid_for_ms.is_some();
        let rollover = spec.rollover.filter(|_| ends).map(|terms| RolloverSpec {
            fraction: Some(Decimal::from_parts(terms.tenths.into(), 1).expect("one decimal")),
            max: terms.max.map(|max| spec.wallet.decimal(max)),
            valid_for_ms: terms.lasts,
            priority: None,
        });
        GrantRequest {
            customer: spec.wallet.customer().to_owned(),
            currency: Some(spec.wallet.currency().to_owned()),
            amount: spec.wallet.decimal(spec.units),
            source: GRANT_SOURCES[spec.source % GRANT_SOURCES.len()],
            category: if spec.promotional { Category::Promotional } else { Category::Paid },
            priority: spec.priority,
            effective_at: spec.effective.map(|offset| at(self.now.wrapping_add_signed(offset))),
            expires_at: lasts.map(|lasts| at(self.now + lasts)),
            cost_basis: spec.cost.map(|amount| CostBasis { amount, currency: "EUR".to_owned() }),
            key: spec.key.map(|key| format!("key-{key}")),
            metadata: if spec.note { Metadata::from([("note".to_owned(), "n".repeat(9))]) } else { Metadata::new() },
            options: GrantOptions {
                payment: spec.note.then(|| "pay-1".to_owned()),
                pending: spec.waits.is_some(),
                valid_for_ms,
                rollover,
            },
        }
    }

    pub(super) fn grant(
        &mut self,
        request: GrantRequest,
        wallet: WalletNumber,
        engine: &Engine,
    ) -> Result<Ticket, Unavailable> {
        self.requests.push((request.clone(), wallet));
        let (mut outcomes, ticket) = engine.grant(std::slice::from_ref(&request))?;
        let outcome = outcomes.pop().expect("one outcome");
        if let Err(CommandError::Unavailable(error)) = outcome.result {
            return Err(error);
        }
        if request.amount.mantissa() <= 0 {
            assert!(matches!(outcome.result, Err(CommandError::Invalid { field: "amount", .. })), "{outcome:?}");
            return Ok(ticket);
        }
        if let Some((earlier, _)) = request.key.as_ref().and_then(|key| self.keys.get(key)) {
            let made = self.made[*earlier].clone();
            if same_request(&made.request, &request) {
                let view = outcome.result.expect("the first answer again");
                assert!(outcome.replayed);
                assert_eq!(view.id.get(), made.id);
                self.compare_grant(&made, engine);
            } else {
                let conflict = outcome.result.expect_err("the key was used before with other content");
                assert!(
                    matches!(conflict, CommandError::Conflict { slug: "idempotency_conflict", .. }),
                    "{conflict:?}"
                );
            }
            return Ok(ticket);
        }
        assert!(!outcome.replayed);
        let id = outcome.result.as_ref().map_or(u64::MAX >> 1, |view| view.id.get());
        let max_balance = CURRENCIES[wallet.currency_index()].2.map(i128::from);
        let grant = model::Grant {
            id,
            amount: smallest(request.amount, wallet),
            priority: request.priority.unwrap_or_else(|| request.source.default_priority()),
            promotional: request.category == Category::Promotional,
            effective_at: request.effective_at.map_or(self.now, Timestamp::millis),
            expires_at: request.expires_at.map(Timestamp::millis),
            cost: request.cost_basis.as_ref().map(|cost| cost.amount.into()),
            max_balance,
            rollover: request.options.rollover.as_ref().map(|terms| model::Rollover {
                parts: terms
                    .fraction
                    .map_or(10, |tenths| i128::from(tenths.mantissa()) * if tenths.scale() == 0 { 10 } else { 1 }),
                whole: 10,
                max: terms.max.map(|max| smallest(max, wallet)),
                lasts: terms.valid_for_ms,
                priority: Source::Rollover.default_priority(),
            }),
            payment: request.options.pending.then(|| model::Payment {
                begins_then: request.effective_at.is_none(),
                lasts: request.options.valid_for_ms,
            }),
        };
        let (now, step) = (self.now, self.step);
        let expected = self.book(wallet).enter(&Command::Grant(grant), now, step, None);
        compare_command(outcome.result.as_ref().err(), &expected);
        if let Ok(view) = &outcome.result {
            self.book(wallet).exists = true;
            if let Some(key) = &request.key {
                self.keys.insert(key.clone(), (self.made.len(), (now, step)));
            }
            let text = engine.grant_text(view.id);
            self.made.push(Made { id, text, wallet, request, created_at: now, parent: None });
        }
        Ok(ticket)
    }

    pub(super) fn change_grant(
        &mut self,
        number: usize,
        engine: &Engine,
        command: impl FnOnce(&Made, u64) -> Command,
    ) -> Result<Option<Ticket>, Unavailable> {
        if self.made.is_empty() {
            let missing = engine.void_grant("grt_00000000000000000000").expect_err("no grant has been made");
            assert_eq!(missing, CommandError::NotFound { what: "grant" });
            return Ok(None);
        }
        // The newest first: they are the ones that are still there. What has rolled over is changed in place of what ended.
        let made = self.made[self.made.len() - 1 - number % self.made.len()].clone();
        let id = self.present(made.wallet).child(made.id).unwrap_or(made.id);
        let text = engine.grant_text(GrantId::new(id));
        let command = command(&made, id);
        let result = match command {
            Command::MoveExpiry { expires_at, .. } => engine.move_expiry(&text, expires_at.map(at)),
            _ => engine.void_grant(&text),
        };
        if let Err(CommandError::Unavailable(error)) = result {
            return Err(error);
        }
        if let Err(error @ CommandError::Retired { .. }) = &result {
            self.compare_retired(&made, error, engine);
            return Ok(None);
        }
        let (now, step) = (self.now, self.step);
        let expected = self.book(made.wallet).enter(&command, now, step, None);
        compare_command(result.as_ref().err(), &expected);
        self.compare_grant(&made, engine);
        Ok(result.ok().map(|(_, ticket)| ticket))
    }

    pub(super) fn pay(&mut self, number: usize, engine: &Engine) -> Result<Option<Ticket>, Unavailable> {
        let waiting: Vec<_> = self.made.iter().filter(|made| made.request.options.pending).cloned().collect();
        let Some(made) = waiting.len().checked_sub(1).map(|last| waiting[last - number % waiting.len()].clone()) else {
            return Ok(None);
        };
        let result = engine.pay_grant(&made.text);
        if let Err(CommandError::Unavailable(error)) = result {
            return Err(error);
        }
        if let Err(error @ CommandError::Retired { .. }) = &result {
            self.compare_retired(&made, error, engine);
            return Ok(None);
        }
        let model = self.present(made.wallet);
        let (_, account) = model.accounts().find(|(id, _)| *id == made.id).expect("a grant of the model");
        if account.remaining > 0 && model.waits(made.id) {
            let (now, step) = (self.now, self.step);
            let expected = self.book(made.wallet).enter(&Command::Pay { grant: made.id }, now, step, None);
            compare_command(result.as_ref().err(), &expected);
        } else {
            // Once more is success, and so it is of what never waited; but what was taken back stays so.
            let is_voided = account.voided + account.written_off > 0;
            let refused =
                result.as_ref().err().map(|error| matches!(error, CommandError::Rejected(Rejection::GrantEnded)));
            assert_eq!(refused, is_voided.then_some(true), "{made:?}: {result:?}");
        }
        self.compare_grant(&made, engine);
        Ok(result.ok().map(|(_, ticket)| ticket))
    }

    /// Only of a grant that has nothing left, and that was declared before the log's beginning, need nothing be known any more.
    fn compare_retired(&self, made: &Made, error: &CommandError, engine: &Engine) {
        assert_eq!(*error, CommandError::Retired { first: engine.first_lsn() });
        assert!(Lsn::new(made.id) < engine.first_lsn(), "{made:?} is said to be retired");
        assert_eq!(self.present(made.wallet).remaining(made.id), 0, "{made:?} is said to be retired");
    }

    pub(super) fn compare_grant(&self, made: &Made, engine: &Engine) {
        let view = match engine.grant_view(&made.text) {
            Err(error @ CommandError::Retired { .. }) => return self.compare_retired(made, &error, engine),
            // The disk failed under the reading; whoever makes the steps finds out next.
            Err(CommandError::Unavailable(_)) if engine.health().is_err() => return,
            view => view.expect("a grant that was made"),
        };
        let model = self.present(made.wallet);
        let (_, account) = model.accounts().find(|(id, _)| *id == made.id).expect("a grant of the model");
        assert!(account.is_conserved());
        let left = account.left();
        assert_eq!((units(view.remaining), units(view.held)), (left, account.held), "{made:?}: {account:?}");
        let state = state_of(&model, made.id, self.now);
        assert_eq!(view.state, state, "{made:?}: {account:?}");
        if left > 0 {
            assert_eq!(view.expires_at.map(Timestamp::millis), model.expires_at(made.id));
        }
        let request = &made.request;
        assert_eq!(view.id, GrantId::new(made.id));
        assert_eq!(
            (view.customer.as_str(), view.currency.id.as_str()),
            (made.wallet.customer(), made.wallet.currency())
        );
        assert_eq!(units(view.amount), account.granted);
        assert_eq!((view.source, view.category), (request.source, request.category));
        let was_paid = request.options.pending && !model.waits(made.id);
        if !was_paid || request.effective_at.is_some() {
            assert_eq!(view.effective_at, request.effective_at.unwrap_or(at(made.created_at)));
        }
        assert_eq!((&view.payment, view.parent), (&request.options.payment, made.parent));
        let rolled = model.child(made.id).map(|child| (GrantId::new(child), account.rolled_over));
        assert_eq!(view.rolled_over.map(|(into, part)| (into, units(part))), rolled, "{made:?}");
        assert_eq!(
            (&view.cost_basis, &view.key, &view.metadata),
            (&request.cost_basis, &request.key, &request.metadata)
        );
        assert_eq!(view.created_at, at(made.created_at));
    }

    /// What rolled over of a grant is a grant of its own; of one of which nothing did, it is none.
    pub(super) fn compare_remainder(&self, made: &Made, engine: &Engine) {
        let text = engine.grant_text(GrantId::new(made.id).rolled_over());
        let view = match engine.grant_view(&text) {
            Err(CommandError::Unavailable(_)) if engine.health().is_err() => return,
            view => view,
        };
        let model = self.present(made.wallet);
        if let Err(CommandError::Retired { first }) = view {
            let left = model.child(made.id).map_or(0, |child| model.remaining(child));
            assert!(Lsn::new(made.id) < first && left == 0, "what rolled over of {made:?} is said to be retired");
            return;
        }
        let Some(child) = model.child(made.id) else {
            assert_eq!(view.map(|_| ()), Err(CommandError::NotFound { what: "grant" }), "{made:?}");
            return;
        };
        let view = view.expect("a grant of its own");
        let (_, account) = model.accounts().find(|(id, _)| *id == child).expect("a grant of the model");
        assert!(account.is_conserved());
        let state = match () {
            () if model.is_over(child, self.now) == Some("voided") => GrantState::Voided,
            () if account.left() > 0 && model.is_over(child, self.now) == Some("expired") => GrantState::Expired,
            () if account.left() > 0 => GrantState::Active,
            () if model.is_captured_out(child) => GrantState::Depleted,
            () if account.expired > 0 => GrantState::Expired,
            () if account.voided + account.written_off > 0 => GrantState::Voided,
            () => GrantState::Depleted,
        };
        assert_eq!((view.id.get(), view.parent.map(GrantId::get)), (child, Some(made.id)));
        assert_eq!(
            (units(view.amount), units(view.remaining), units(view.held), view.state),
            (account.granted, account.left(), account.held, state)
        );
        assert_eq!((view.source, view.category, view.priority), (Source::Rollover, made.request.category, 5));
        assert_eq!((view.effective_at.millis(), view.key.is_none()), (model.begins_at(child).expect("a grant"), true));
        if account.left() > 0 {
            assert_eq!(view.expires_at.map(Timestamp::millis), model.expires_at(child));
        }
        let whole = i128::from(made.request.amount.mantissa());
        let cost = view.cost_basis.as_ref().map(|cost| i128::from(cost.amount));
        let share =
            |cost: &CostBasis| i128::from(cost.amount) * account.granted / smallest(made.request.amount, made.wallet);
        assert_eq!(cost, made.request.cost_basis.as_ref().filter(|_| whole > 0).map(share));
    }

    /// The lists of what customers' wallets hold, page by page.
    pub(super) fn compare_lists(&self, engine: &Engine) {
        for customer in CUSTOMERS {
            for state in [None, Some(GrantState::Active), Some(GrantState::Scheduled), Some(GrantState::Pending)] {
                let (mut listed, mut after) = (Vec::new(), None);
                loop {
                    let page = match engine.grants(customer, None, state, after.as_deref(), 3) {
                        Err(CommandError::Unavailable(_)) if engine.health().is_err() => return,
                        page => page.expect("a customer's grants"),
                    };
                    listed.extend(page.grants.iter().map(|view| (view.id.get(), view.state)));
                    match page.next {
                        Some(next) => after = Some(engine.grant_text(next)),
                        None => break,
                    }
                }
                let wallets =
                    WalletNumber::all().filter(|wallet| wallet.customer() == customer && self.exists(*wallet));
                let mut held = Vec::new();
                for model in wallets.map(|wallet| self.present(wallet)) {
                    let is_over = |id| model.is_over(id, self.now).is_some();
                    let left = model.accounts().filter(|(_, account)| account.left() > 0);
                    let left = left.filter(|(id, account)| account.remaining > 0 || !is_over(*id));
                    held.extend(left.map(|(id, _)| match () {
                        () if model.waits(id) => (id, GrantState::Pending),
                        () if model.is_active(id) => (id, GrantState::Active),
                        () => (id, GrantState::Scheduled),
                    }));
                }
                held.retain(|(_, of)| state.is_none_or(|state| state == *of));
                held.sort_unstable_by_key(|(id, _)| *id);
                assert_eq!(listed, held, "{customer}, {state:?}");
            }
        }
    }
}

/// A decimal in a wallet's smallest units.
fn smallest(decimal: Decimal, wallet: WalletNumber) -> i128 {
    i128::from(decimal.mantissa()) * 10_i128.pow(u32::from(wallet.scale()) - u32::from(decimal.scale()))
}

fn same_request(earlier: &GrantRequest, later: &GrantRequest) -> bool {
    let priority = |request: &GrantRequest| request.priority.unwrap_or_else(|| request.source.default_priority());
    let content = |request: &GrantRequest| {
        (
            (request.customer.clone(), request.currency.clone(), request.amount),
            (request.source, request.category, request.effective_at, request.expires_at),
            (request.cost_basis.clone(), request.metadata.clone(), request.options.clone()),
        )
    };
    content(earlier) == content(later) && priority(earlier) == priority(later)
}

/// The state that a grant must be shown in.
pub(super) fn state_of(model: &Model, grant: u64, now: u64) -> GrantState {
    let (_, account) = model.accounts().find(|(id, _)| *id == grant).expect("a grant of the model");
    let left = account.left();
    match () {
        () if model.is_over(grant, now) == Some("voided") => GrantState::Voided,
        () if left > 0 && model.waits(grant) => GrantState::Pending,
        () if left > 0 && model.is_over(grant, now) == Some("expired") => GrantState::Expired,
        () if left > 0 && model.is_active(grant) => GrantState::Active,
        () if left > 0 => GrantState::Scheduled,
        () if model.is_captured_out(grant) => GrantState::Depleted,
        () if account.expired + account.rolled_over > 0 => GrantState::Expired,
        () if account.voided + account.written_off > 0 => GrantState::Voided,
        () => GrantState::Depleted,
    }
}
