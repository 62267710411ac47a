//! A wallet kept by the rules, and told the same story as the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drawdown::ledger::{
    Amount, Capture, Category, Change, Commitment, Decimal, GrantId, HoldId, Level, Levels, Movement, NewGrant,
    NewHold, OnExceed, Operation, Payment, Percent, Policy, Rejection, Rollover, Special, Status, Terms, Timestamp,
    Trigger, Watches, decide_capture, transition,
};

use crate::model::{self, Account, Command, Model, Outcome, Refusal};

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn amount(units: i128) -> Amount {
    Amount::new(i64::try_from(units).expect("amounts of commands are 64 bits wide"))
}

pub(crate) fn units(amount: Amount) -> i128 {
    i128::from(amount.units())
}

/// A wallet kept by the rules, driven as the engine drives it: debits that fit the headroom lower the balance, anything else
/// is a transition.
struct Subject {
    terms: Terms,
    balance: Amount,
    /// Send every debit the slow way. The outcome must be the same.
    slow_only: bool,
    accounts: BTreeMap<u64, Account>,
    depleted: BTreeSet<u64>,
    debt_made: i128,
    debt_paid: i128,
    /// Holds that expired: what they had left, less late captures; their policies; what was captured of them.
    expired: BTreeMap<u64, (Amount, OnExceed, Amount)>,
}

impl Subject {
    fn new(slow_only: bool) -> Subject {
        Subject {
            terms: Terms::new(),
            balance: Amount::ZERO,
            slow_only,
            accounts: BTreeMap::new(),
            depleted: BTreeSet::new(),
            debt_made: 0,
            debt_paid: 0,
            expired: BTreeMap::new(),
        }
    }

    fn apply(&mut self, command: &Command, now: u64) -> Outcome {
        let mut capped = 0;
        let operation = match self.late_capture(command) {
            None => match command {
                Command::TransferOut { amount: wanted } => self.transfer_out(*wanted, now),
                _ => operation(command),
            },
            Some(Ok((late, shortfall))) => {
                capped = shortfall;
                late
            }
            Some(Err(rejection)) => {
                let refused = Some(Refusal { reason: rejection.slug(), available: None });
                return Outcome { refused, ..Outcome::default() };
            }
        };
        if let Operation::Debit { amount, .. } = operation
            && self.fits(amount, at(now))
        {
            return self.debit_fast(amount);
        }
        let change = transition(&self.terms, self.balance, &operation, at(now));
        assert_eq!(change.terms.validate(), Ok(()), "{:?}", change.terms);
        let mut outcome = self.record(&change);
        if let (Operation::TransferOut { amount, .. }, Ok(_)) = (&operation, change.result) {
            let due = transition(&self.terms, self.balance, &Operation::Due, at(now)).terms;
            let parts = due.parts_of_transfer(*amount).into_iter();
            outcome.moved = parts.map(|(lot, part, cost)| (lot.id.get(), units(part), cost.into())).collect();
        }
        if let (Operation::LateCapture { hold, .. }, Ok(taken)) = (&operation, change.result) {
            let (left, _, captured) = self.expired.get_mut(&hold.get()).expect("an expired hold");
            *left = left.checked_sub(taken.amount).expect("a difference").or_zero();
            *captured = captured.checked_add(taken.amount).expect("it was checked");
            outcome.shortfall += capped;
        }
        self.balance = change.terms.opening;
        self.terms = change.terms;
        outcome
    }

    /// What leaves for another wallet, planned as the engine does.
    fn transfer_out(&self, wanted: i128, now: u64) -> Operation {
        let due = transition(&self.terms, self.balance, &Operation::Due, at(now)).terms;
        let wanted = amount(wanted);
        let parts = if wanted > due.transferable() { Vec::new() } else { due.parts_of_transfer(wanted) };
        Operation::TransferOut { amount: wanted, parts: parts.iter().map(|(lot, part, _)| (lot.id, *part)).collect() }
    }

    /// What a capture is when its hold has expired, and what of it exceeds the hold; decided as the engine does.
    fn late_capture(&self, command: &Command) -> Option<Result<(Operation, i128), Rejection>> {
        let Command::Capture { hold, amount: wanted, is_final } = command else { return None };
        let (left, on_exceed, captured) = *self.expired.get(hold)?;
        let wanted = amount(*wanted);
        if wanted == Amount::ZERO && *is_final {
            return Some(Err(Rejection::HoldEnded));
        }
        Some(decide_capture(left, on_exceed, wanted, *is_final).and_then(|Capture { within, beyond, shortfall }| {
            let all = within.checked_add(beyond).expect("it was asked for");
            if all == Amount::ZERO {
                return Err(Rejection::CaptureExceedsHold { remaining: left, required: wanted });
            }
            captured.checked_add(all).ok_or(Rejection::BalanceOverflow)?;
            let policy = match on_exceed {
                OnExceed::Reject => Policy::Reject,
                OnExceed::Cap => Policy::Partial,
                OnExceed::Overdraw => Policy::Overdraft,
            };
            Ok((Operation::LateCapture { hold: HoldId::new(*hold), amount: all, policy, left }, units(shortfall)))
        }))
    }

    fn fits(&self, amount: Amount, now: Timestamp) -> bool {
        let headroom = self.balance.checked_sub(self.terms.base()).expect("headroom is an amount");
        let is_due = self.terms.deadline().is_some_and(|deadline| deadline <= now);
        !self.slow_only && !is_due && amount >= Amount::ZERO && amount <= headroom
    }

    fn debit_fast(&mut self, amount: Amount) -> Outcome {
        let before = self.balance;
        self.balance = before.checked_sub(amount).expect("a fast debit fits");
        let allocation = self.terms.allocate(before, self.balance);
        self.debt_made += units(allocation.debt);
        let paid_by: Vec<(u64, i128)> = allocation.parts.iter().map(|(id, part)| (id.get(), units(*part))).collect();
        for (grant, part) in &paid_by {
            self.account(*grant).spent += part;
        }
        Outcome { taken: units(amount), paid_by, ..Outcome::default() }
    }

    fn account(&mut self, grant: u64) -> &mut Account {
        self.accounts.get_mut(&grant).expect("a grant that was made")
    }

    /// Keeps the books by the movements alone, and gives what happened in the model's words.
    fn record(&mut self, change: &Change) -> Outcome {
        let mut paid_by = Vec::new();
        let moved: i128 = change.effects.movements.iter().map(Movement::delta).sum();
        assert_eq!(units(self.balance) + moved, units(change.terms.opening), "{change:?}");
        for movement in &change.effects.movements {
            let id = movement.grant().map_or(0, GrantId::get);
            match *movement {
                Movement::Granted { amount, .. }
                | Movement::Scheduled { amount, .. }
                | Movement::AwaitsPayment { amount, .. }
                | Movement::TransferredIn { amount, .. } => {
                    let account = Account { granted: units(amount), ..Account::default() };
                    assert_eq!(self.accounts.insert(id, account), None);
                }
                Movement::Spent { amount, .. } => {
                    self.account(id).spent += units(amount);
                    paid_by.push((id, units(amount)));
                }
                Movement::DebtPaid { amount, .. } => {
                    self.account(id).debt_paid += units(amount);
                    self.debt_paid += units(amount);
                }
                Movement::Expired { amount, .. } => self.account(id).expired += units(amount),
                Movement::Voided { amount, .. } | Movement::ScheduledVoided { amount, .. } => {
                    self.account(id).voided += units(amount);
                }
                Movement::WrittenOff { amount, .. } => self.account(id).written_off += units(amount),
                Movement::Overdrawn { amount } => self.debt_made += units(amount),
                Movement::DebtWrittenOff { amount } | Movement::DebtReturned { amount } => {
                    self.debt_paid += units(amount);
                }
                Movement::Depleted { .. } => assert!(self.depleted.insert(id), "grant {id} depleted twice"),
                Movement::GivenBack { amount, .. } => self.account(id).returned += units(amount),
                Movement::Reopened { amount, .. } => {
                    self.account(id).returned += units(amount);
                    assert!(self.depleted.remove(&id), "grant {id} is opened again and was not depleted");
                }
                Movement::Reserved { amount, .. } => self.account(id).held += units(amount),
                Movement::PartSpent { amount, .. } => {
                    self.account(id).held -= units(amount);
                    self.account(id).spent += units(amount);
                    paid_by.push((id, units(amount)));
                }
                Movement::Returned { amount, .. } => self.account(id).held -= units(amount),
                Movement::HoldExpired { hold, amount } => {
                    let open = self.terms.open_hold(hold).expect("it was open");
                    let captured = open.amount.checked_sub(amount).expect("a difference");
                    self.expired.insert(hold.get(), (amount, open.on_exceed, captured));
                }
                Movement::RolledOver { into, amount, .. } => {
                    self.account(id).rolled_over += units(amount);
                    let account = Account { granted: units(amount), ..Account::default() };
                    assert_eq!(self.accounts.insert(into.get(), account), None);
                }
                Movement::TransferredOut { amount, .. } => self.account(id).transferred += units(amount),
                Movement::Activated { .. }
                | Movement::ExpiryMoved { .. }
                | Movement::Paid { .. }
                | Movement::Forfeited { .. }
                | Movement::Held { .. }
                | Movement::Captured { .. }
                | Movement::Released { .. }
                | Movement::HoldMoved { .. } => {}
            }
        }
        outcome_of(change, paid_by)
    }

    /// What is left of every grant that has something left.
    fn remaining(&self) -> BTreeMap<u64, i128> {
        let lots = self.terms.lots_at(self.balance).lots;
        let unpaid = self.terms.riders.unpaid.iter().map(|unpaid| &unpaid.lot);
        let held = lots.iter().chain(&self.terms.scheduled).chain(unpaid);
        held.map(|lot| (lot.id.get(), units(lot.remaining))).collect()
    }

    #[track_caller]
    fn check_against(&self, model: &Model) {
        assert_eq!(units(self.balance), model.balance());
        assert_eq!(units(self.terms.available(self.balance)), model.available());
        assert_eq!(units(self.terms.held), model.held());
        let holds: BTreeMap<_, _> = self.terms.holds.iter().map(|hold| (hold.id.get(), hold)).collect();
        assert_eq!(holds.len(), model.open().count());
        for kept in model.open() {
            let hold = holds[&kept.hold.id];
            assert_eq!((units(hold.remaining), units(hold.amount)), (kept.left, kept.hold.amount));
            let parts: BTreeMap<_, _> =
                hold.parts.iter().map(|part| (part.lot.id.get(), units(part.lot.remaining))).collect();
            assert_eq!(parts, kept.parts.iter().copied().collect::<BTreeMap<_, _>>());
        }
        assert_eq!(units(self.terms.projected(self.balance)), model.projected());
        let bearings = self.terms.bearings();
        let levels = self.terms.levels.iter().flat_map(|levels| levels.iter());
        let amounts = levels.map(|level| (level.name.to_string(), units(level.amount_at(&bearings))));
        assert_eq!(amounts.collect::<BTreeMap<_, _>>(), model.amounts());
        assert_eq!(self.names(self.terms.states.muted), model.silent());
        let holdings = self.terms.lots_at(self.balance);
        assert_eq!(units(holdings.debt), model.debt());
        assert_eq!(self.debt_made - self.debt_paid, model.debt());
        assert_eq!(self.names(self.terms.states.armed), model.armed());
        assert_eq!(self.names(self.terms.states.triggered), model.fired());
        assert_eq!(status(model.status()), self.terms.status);
        let remaining = self.remaining();
        assert_eq!(self.accounts.len(), model.accounts().count());
        for (id, expected) in model.accounts() {
            let account = Account { remaining: remaining.get(&id).copied().unwrap_or(0), ..self.accounts[&id].clone() };
            assert_eq!(&account, expected, "grant {id}");
            assert_eq!(account.left(), model.remaining(id));
            assert_eq!(
                units(self.terms.held_of(GrantId::new(id)).map_or(Amount::ZERO, |part| part.lot.remaining)),
                account.held
            );
            assert!(account.is_conserved(), "grant {id}: {account:?}");
        }
    }

    fn names(&self, mask: u64) -> BTreeSet<String> {
        names(&self.terms, mask)
    }
}

pub(crate) fn names(terms: &Terms, mask: u64) -> BTreeSet<String> {
    let levels = terms.levels.iter().flat_map(|levels| levels.of_mask(mask));
    levels.map(|level| level.name.to_string()).collect()
}

pub(crate) fn outcome_of(change: &Change, paid_by: Vec<(u64, i128)>) -> Outcome {
    let taken = change.result.unwrap_or_default();
    let available = match change.result {
        Err(Rejection::InsufficientCredit { available, .. }) => Some(units(available)),
        _ => None,
    };
    let refused = change.result.err().map(|rejection| Refusal { reason: rejection.slug(), available });
    Outcome {
        refused,
        taken: units(taken.amount),
        shortfall: units(taken.shortfall),
        overdraft: units(taken.overdraft),
        paid_by,
        crossed: names(&change.terms, change.effects.crossed.levels),
        recovered: names(&change.terms, change.effects.recovered.levels),
        quiet: names(&change.terms, change.effects.quiet),
        depleted: change.effects.crossed.depleted,
        negative: change.effects.crossed.negative,
        ..Outcome::default()
    }
}

pub(crate) fn status(status: model::Status) -> Status {
    match status {
        model::Status::Active => Status::Active,
        model::Status::Frozen => Status::Frozen,
        model::Status::Closed => Status::Closed,
    }
}

pub(crate) fn policy(policy: model::Policy) -> Policy {
    match policy {
        model::Policy::Reject => Policy::Reject,
        model::Policy::Partial => Policy::Partial,
        model::Policy::Overdraft => Policy::Overdraft,
    }
}

pub(crate) fn on_exceed(policy: model::OnExceed) -> OnExceed {
    match policy {
        model::OnExceed::Reject => OnExceed::Reject,
        model::OnExceed::Cap => OnExceed::Cap,
        model::OnExceed::Overdraw => OnExceed::Overdraw,
    }
}

pub(crate) fn level(level: &model::Level) -> Level {
    Level {
        name: level.name.as_str().into(),
        amount: amount(level.amount),
        trigger: if level.at_or_below { Trigger::AtOrBelow } else { Trigger::Below },
        margin: amount(level.margin),
        watches: watches(level.watches),
        percent: level.percent.map(percent),
        min_interval_ms: level.interval,
    }
}

pub(crate) fn watches(watches: model::Watches) -> Watches {
    match watches {
        model::Watches::Balance => Watches::Balance,
        model::Watches::Available => Watches::Available,
        model::Watches::Projected => Watches::Projected,
    }
}

pub(crate) fn percent(millionths: i128) -> Percent {
    u32::try_from(millionths).ok().and_then(Percent::from_millionths).expect("a percentage")
}

fn levels(list: &[model::Level]) -> Arc<Levels> {
    Arc::new(Levels::new(list.iter().map(level).collect()).expect("levels are generated valid"))
}

pub(crate) fn new_grant(grant: &model::Grant) -> NewGrant {
    NewGrant {
        id: GrantId::new(grant.id),
        amount: amount(grant.amount),
        priority: grant.priority,
        category: if grant.promotional { Category::Promotional } else { Category::Paid },
        effective_at: at(grant.effective_at),
        expires_at: grant.expires_at.map(at),
        cost: grant.cost.map(|cost| amount(cost).units()),
        max_balance: grant.max_balance.map(amount),
        special: Special {
            rollover: grant.rollover.as_ref().map(rollover),
            occurrence: None,
            payment: grant
                .payment
                .as_ref()
                .map(|payment| Payment { begins_when_paid: payment.begins_then, valid_for_ms: payment.lasts }),
        },
    }
}

/// Parts of ten, in the rules' words.
pub(crate) fn rollover(rollover: &model::Rollover) -> Rollover {
    assert_eq!(rollover.whole, 10);
    let parts = i64::try_from(rollover.parts).expect("ten at most");
    Rollover {
        fraction: Decimal::from_parts(parts, 1).expect("one decimal"),
        max: rollover.max.map(amount),
        valid_for_ms: rollover.lasts,
        priority: rollover.priority,
    }
}

pub(crate) fn operation(command: &Command) -> Operation {
    match command {
        Command::Grant(grant) => Operation::Grant(new_grant(grant)),
        Command::Void { grant } => Operation::Void { grant: GrantId::new(*grant) },
        Command::MoveExpiry { grant, expires_at } => {
            Operation::MoveExpiry { grant: GrantId::new(*grant), expires_at: expires_at.map(at) }
        }
        Command::Debit { amount: debit, policy: asked } => {
            Operation::Debit { amount: amount(*debit), policy: policy(*asked) }
        }
        Command::SetStatus(wanted) => Operation::SetStatus(status(*wanted)),
        Command::SetAllowance(allowance) => Operation::SetAllowance(amount(*allowance)),
        Command::SetLevels(list) => Operation::SetLevels(Some(levels(list))),
        Command::ClearLevels => Operation::SetLevels(None),
        Command::Inherit(version, list) => {
            Operation::InheritLevels { version: *version, levels: (!list.is_empty()).then(|| levels(list)) }
        }
        Command::Charge { amount: most } => Operation::Charge { amount: amount(*most) },
        Command::TransferOut { .. } => unreachable!("which grants give is told by the wallet"),
        Command::TransferIn(grants) => Operation::TransferIn { grants: grants.iter().map(new_grant).collect() },
        Command::Reverse(_) => unreachable!("what a debit's parts are is for the engine to find: see `books`"),
        Command::Commit(list) => Operation::SetCommitments(
            list.iter()
                .map(|(credits, until)| Commitment { amount: amount(*credits), until: until.map(at).into() })
                .collect(),
        ),
        Command::Wait => Operation::Due,
        Command::Hold(hold) => Operation::Hold(NewHold {
            id: HoldId::new(hold.id),
            amount: amount(hold.amount),
            expires_at: at(hold.expires_at),
            on_exceed: on_exceed(hold.on_exceed),
        }),
        Command::Capture { hold, amount: wanted, is_final } => {
            Operation::Capture { hold: HoldId::new(*hold), amount: amount(*wanted), is_final: *is_final }
        }
        Command::Release { hold } => Operation::Release { hold: HoldId::new(*hold) },
        Command::ExtendHold { hold, expires_at } => {
            Operation::ExtendHold { hold: HoldId::new(*hold), expires_at: at(*expires_at) }
        }
        Command::Pay { grant } => Operation::Pay { grant: GrantId::new(*grant) },
    }
}

/// Gives a command the dates and ids of its place in the story. Dates lie a little around `now`, on either side.
pub(crate) fn placed(command: &Command, now: u64, made: &mut u64) -> Command {
    match command.clone() {
        Command::Grant(grant) => {
            // The number behind is kept free for what may roll over.
            *made += 2;
            let begin = if grant.effective_at == 0 { now - 5 } else { now + grant.effective_at - 3 };
            let end = grant.expires_at.map(|after| now + after);
            Command::Grant(model::Grant { id: *made, effective_at: begin, expires_at: end, ..grant })
        }
        // Mostly the newest grants: they are the ones that are still there.
        Command::Void { grant } => Command::Void { grant: (*made + 1).saturating_sub(grant) },
        Command::Pay { grant } => Command::Pay { grant: made.saturating_sub(grant / 4 * 2) },
        Command::MoveExpiry { grant, expires_at } => {
            let expires_at = expires_at.map(|after| now + after);
            Command::MoveExpiry { grant: (*made + 1).saturating_sub(grant), expires_at }
        }
        Command::Hold(hold) => {
            *made += 1;
            Command::Hold(model::Hold { id: *made, expires_at: now + hold.expires_at, ..hold })
        }
        Command::Capture { hold, amount, is_final } => {
            Command::Capture { hold: made.saturating_sub(hold / 2), amount, is_final }
        }
        Command::Release { hold } => Command::Release { hold: made.saturating_sub(hold / 2) },
        Command::ExtendHold { hold, expires_at } => {
            Command::ExtendHold { hold: made.saturating_sub(hold / 2), expires_at: now + expires_at }
        }
        Command::Commit(mut list) => {
            for (_, until) in &mut list {
                *until = until.map(|after| now + after);
            }
            Command::Commit(list)
        }
        other => other,
    }
}

#[track_caller]
pub(crate) fn tell(story: &[(u64, Command)], slow_only: bool) {
    let (mut subject, mut model) = (Subject::new(slow_only), Model::new());
    let (mut now, mut made) = (1_000, 0);
    for (step, (pause, command)) in story.iter().enumerate() {
        now += pause;
        if matches!(command, Command::Capture { .. }) {
            // Whether a capture is late is decided when nothing is due.
            assert_eq!(subject.apply(&Command::Wait, now), model.apply(&Command::Wait, now));
        }
        let command = placed(command, now, &mut made);
        let expected = model.apply(&command, now);
        let outcome = subject.apply(&command, now);
        // A fast debit does not open a generation, so whatever it reports besides is nothing; the model agrees or fails here.
        assert_eq!(outcome, expected, "step {step}: {command:?} at {now}");
        subject.check_against(&model);
    }
}
