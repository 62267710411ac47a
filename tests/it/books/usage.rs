//! Events: what each must be answered, alone, in batches, and in groups of which all are applied or none.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use drawdown::engine::{CommandError, Engine, EventOutcome, EventStatus, Ticket, Unavailable};
use drawdown::ledger::Rejection;

use crate::model::{self, Command, Model};

use super::lines::{Book, Group, crossed};
use super::step::{Ask, Usage, policy, submit, with_events};
use super::{Applied, Books, WalletNumber, units};

/// An event's outcome in plain words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(super) status: &'static str,
    pub(super) amount: i128,
    pub(super) shortfall: i128,
    pub(super) balance: i128,
    pub(super) available: i128,
    pub(super) crossed: Vec<String>,
}

pub(super) fn answer(outcome: &EventOutcome) -> Answer {
    let mut crossed: Vec<_> = outcome.crossed.iter().map(ToString::to_string).collect();
    crossed.sort();
    Answer {
        status: match outcome.status {
            EventStatus::Applied => "applied",
            EventStatus::Duplicate => "duplicate",
            EventStatus::Rejected(rejection) => rejection.slug(),
        },
        amount: units(outcome.amount),
        shortfall: units(outcome.shortfall),
        balance: units(outcome.balance),
        available: units(outcome.available),
        crossed,
    }
}

impl Books {
    pub(super) fn batch(&mut self, batch: &[Usage], engine: &Engine) -> Result<Ticket, Unavailable> {
        self.sent.extend(batch.iter().cloned());
        if let Some(first) = batch.first() {
            self.compare_check(first, engine);
        }
        let mut outcomes = Vec::new();
        let ticket = match submit(engine, batch, self.now, &mut outcomes) {
            Ok(ticket) => ticket,
            Err(error) => {
                // A log poisoned on the way leaves open what became of the batch: it may come to this, or to less.
                self.decide(batch);
                return Err(error);
            }
        };
        assert_eq!(outcomes.len(), batch.len());
        let answers: Vec<_> = outcomes.iter().map(answer).collect();
        assert_eq!(answers, self.decide(batch), "{batch:?}");
        for (usage, outcome) in batch.iter().zip(&outcomes) {
            match outcome.status {
                EventStatus::Applied | EventStatus::Duplicate => {
                    let applied = self.events.get_mut(&(usage.source, usage.id)).expect("an applied event");
                    assert_eq!(
                        *applied.entry.get_or_insert(outcome.entry.expect("an entry")),
                        outcome.entry.expect("an entry")
                    );
                    let identity = Some((usage.source, usage.id));
                    let debits = self.debits.iter_mut().filter(|debit| debit.identity == identity);
                    // An identity that was used again after the window names the later one.
                    if let Some(debit) = debits.last() {
                        debit.entry.get_or_insert(outcome.entry.expect("an entry"));
                    }
                }
                EventStatus::Rejected(Rejection::InsufficientCredit { available, required }) => {
                    assert_eq!((available, required), (outcome.available, outcome.amount));
                    assert_eq!(outcome.entry, None);
                }
                EventStatus::Rejected(_) => assert_eq!(outcome.entry, None),
            }
        }
        Ok(ticket)
    }

    /// What a batch must be answered. Identities that meet within a batch wait for each other: the later one is decided in a round
    /// after the others.
    fn decide(&mut self, batch: &[Usage]) -> Vec<Answer> {
        let mut answers = vec![Answer::default(); batch.len()];
        let mut pending = Vec::new();
        for (index, usage) in batch.iter().enumerate() {
            match usage.plan() {
                Ok(plan) => pending.push((index, plan)),
                Err(status) => answers[index].status = status,
            }
        }
        while !pending.is_empty() {
            let (mut claimed, mut deferred) = (Vec::new(), Vec::new());
            let mut in_flight = HashSet::new();
            for (index, plan) in pending {
                let usage = &batch[index];
                let identity = (usage.source, usage.id);
                let refused = |status| Answer { status, amount: plan.0, ..Answer::default() };
                if !self.exists(usage.wallet) {
                    answers[index] = refused("unknown_wallet");
                } else if let Some(applied) = self.events.get(&identity) {
                    let same = applied.wallet == usage.wallet && applied.ask == usage.ask;
                    answers[index] = if same {
                        Answer { status: "duplicate", ..applied.answer.clone() }
                    } else {
                        refused("id_conflict")
                    };
                } else if in_flight.insert(identity) {
                    claimed.push((index, plan));
                } else {
                    deferred.push((index, plan));
                }
            }
            for (index, (amount, policy)) in claimed {
                answers[index] = self.debit(&batch[index], amount, policy);
            }
            pending = deferred;
        }
        answers
    }

    pub(super) fn debit(&mut self, usage: &Usage, amount: i128, policy: model::Policy) -> Answer {
        let (now, step) = (self.now, self.step);
        // What is due comes first, as an operation of its own.
        self.book(usage.wallet).enter(&Command::Wait, now, step, None);
        self.debit_at_once(usage, amount, policy)
    }

    /// A debit, and what is due before it, as one operation.
    fn debit_at_once(&mut self, usage: &Usage, amount: i128, policy: model::Policy) -> Answer {
        let (now, step) = (self.now, self.step);
        let book = self.book(usage.wallet);
        let outcome = book.enter(&Command::Debit { amount, policy }, now, step, Some(usage));
        let model = book.model();
        let answer = Answer {
            status: outcome.refused.as_ref().map_or("applied", |refusal| refusal.reason),
            amount: if outcome.refused.is_some() { amount } else { outcome.taken },
            shortfall: outcome.shortfall,
            balance: model.balance(),
            available: model.available(),
            crossed: crossed(&outcome),
        };
        if outcome.refused.is_none() {
            let ask = usage.ask.clone();
            let applied = Applied { wallet: usage.wallet, ask, answer: answer.clone(), entry: None, at: (now, step) };
            self.events.insert((usage.source, usage.id), applied);
            self.enter_debit(usage.wallet, None, Some((usage.source, usage.id)), &outcome);
        }
        answer
    }

    /// Sends events of which all are to be applied, or none.
    pub(super) fn group(&mut self, batch: &[Usage], engine: &Engine) -> Result<Option<Ticket>, Unavailable> {
        self.sent.extend(batch.iter().cloned());
        let mut outcomes = Vec::new();
        let result = with_events(batch, self.now, |events| engine.submit_group(events, &mut outcomes));
        let was_too_large = is_too_large(&result);
        let before = was_too_large.then(|| self.clone());
        let expected = self.decide_group(batch);
        let answers: Vec<_> = outcomes.iter().map(answer).collect();
        match (result, expected) {
            (_, Ok(expected)) if was_too_large => {
                assert!(expected.iter().all(|answer| answer.status == "applied"), "{expected:?}: no matter of size");
                *self = before.expect("kept");
                let ids = |usage: &Usage| usage.text().len() + usage.source_text().len();
                let bytes = batch.iter().map(|usage| self.record_bound(usage.wallet) + ids(usage)).sum();
                assert_too_large(bytes, engine);
                Ok(None)
            }
            (Err(CommandError::Unavailable(error)), _) => Err(error),
            (Err(CommandError::Conflict { slug, .. }), Err(expected)) => {
                assert_eq!(slug, expected, "{batch:?}");
                Ok(None)
            }
            (Ok(ticket), Ok(expected)) => {
                assert_eq!(answers, expected, "{batch:?}");
                for (usage, outcome) in batch.iter().zip(&outcomes).filter(|(_, outcome)| outcome.entry.is_some()) {
                    let applied = self.events.get_mut(&(usage.source, usage.id)).expect("an applied event");
                    let entry = outcome.entry.expect("an entry");
                    assert_eq!(*applied.entry.get_or_insert(entry), entry);
                    let identity = Some((usage.source, usage.id));
                    let debits = self.debits.iter_mut().filter(|debit| debit.identity == identity);
                    if let Some(debit) = debits.last() {
                        debit.entry.get_or_insert(entry);
                    }
                }
                Ok(Some(ticket))
            }
            (result, expected) => panic!("{:?} where {expected:?} was to be expected", result.map(|_| ())),
        }
    }

    /// No less than the bytes that the engine allows for the record of an operation on a wallet, beside what the operation brings along: some
    /// for each grant that had something left when the generation began, or has since, and for each part of a hold.
    pub(super) fn record_bound(&self, wallet: WalletNumber) -> usize {
        let is_debit = |group: &Group| group.lines.iter().all(|line| line.kind == "Debit");
        let mut grants = BTreeSet::new();
        for group in self.groups(wallet).iter().rev() {
            grants.extend(group.after.accounts().filter(|(_, account)| account.left() > 0).map(|(id, _)| id));
            if !is_debit(group) {
                break;
            }
        }
        let model = self.wallets.get(&wallet).map_or_else(Model::new, Book::model);
        let parts: usize = model.open().map(|kept| kept.parts.len()).sum();
        let names: usize = model.amounts().keys().map(|name| name.len() + 5).sum();
        400 + (grants.len() + parts + 1) * 260 + model.open().count() * 48 + 2 * names
    }

    /// What a group must be answered: one outcome an event, or why it is refused as a whole.
    fn decide_group(&mut self, batch: &[Usage]) -> Result<Vec<Answer>, &'static str> {
        if batch.len() > drawdown::engine::MAX_GROUP_EVENTS {
            return Err("group_too_large");
        }
        let plans: Vec<_> = batch.iter().map(Usage::plan).collect();
        if plans.iter().any(Result::is_err) {
            let status = |plan: &Result<_, &'static str>| plan.as_ref().err().copied().unwrap_or("group_rejected");
            return Ok(plans.iter().map(|plan| Answer { status: status(plan), ..Answer::default() }).collect());
        }
        let plans: Vec<_> = plans.into_iter().flatten().collect();
        let identity = |usage: &Usage| (usage.source, usage.id);
        if batch.iter().map(identity).collect::<HashSet<_>>().len() < batch.len() {
            return Err("duplicate_in_group");
        }
        let known: Vec<_> = batch.iter().map(|usage| self.events.get(&identity(usage))).collect();
        let conflicts: Vec<_> = batch
            .iter()
            .zip(&known)
            .map(|(usage, known)| known.is_some_and(|known| known.wallet != usage.wallet || known.ask != usage.ask))
            .collect();
        if conflicts.contains(&true) {
            let status = |conflict: bool| if conflict { "id_conflict" } else { "group_rejected" };
            let answer = |(conflict, plan): (&bool, &(i128, model::Policy))| Answer {
                status: status(*conflict),
                amount: plan.0,
                ..Answer::default()
            };
            return Ok(conflicts.iter().zip(&plans).map(answer).collect());
        }
        match known.iter().flatten().count() {
            0 => {}
            all if all == batch.len() => {
                let first = known.into_iter().flatten();
                return Ok(first.map(|known| Answer { status: "duplicate", ..known.answer.clone() }).collect());
            }
            _ => return Err("group_partly_known"),
        }
        // Tried first, each as if those before it had been applied.
        let mut models: BTreeMap<WalletNumber, Model> = BTreeMap::new();
        let mut tried = Vec::new();
        for (usage, (amount, policy)) in batch.iter().zip(&plans) {
            if !self.exists(usage.wallet) {
                tried.push(Answer { status: "unknown_wallet", amount: *amount, ..Answer::default() });
                continue;
            }
            let model = models.entry(usage.wallet).or_insert_with(|| self.wallets[&usage.wallet].model());
            let outcome = model.apply(&Command::Debit { amount: *amount, policy: *policy }, self.now);
            let status = outcome.refused.map_or("group_rejected", |refusal| refusal.reason);
            let (balance, available) = (model.balance(), model.available());
            tried.push(Answer { status, amount: *amount, balance, available, ..Answer::default() });
        }
        if tried.iter().any(|answer| answer.status != "group_rejected") {
            return Ok(tried);
        }
        let (mut answers, mut together) = (Vec::new(), Vec::new());
        for (usage, (amount, policy)) in batch.iter().zip(plans) {
            answers.push(self.debit_at_once(usage, amount, policy));
            together.push((usage.wallet, self.groups(usage.wallet).len() - 1));
        }
        self.together.push(together);
        Ok(answers)
    }

    /// The engine's forecast for an event, leaving aside whether its identity is new.
    fn compare_check(&self, usage: &Usage, engine: &Engine) {
        if matches!(usage.ask, Ask::LongId | Ask::EmptyId | Ask::LongSource | Ask::EmptyCustomer) {
            return;
        }
        let check = engine.check(usage.wallet.customer(), &usage.charge(), usage.policy.map(policy));
        let (amount, policy) = match (usage.price(), &check) {
            (Ok(price), _) => price,
            (Err(slug), check) => {
                assert_eq!(check.map_err(|rejection| rejection.slug()).err(), Some(slug));
                return;
            }
        };
        if !self.exists(usage.wallet) {
            assert_eq!(check.err(), Some(Rejection::UnknownWallet));
            return;
        }
        let check = check.expect("a wallet that there is");
        let mut model = self.wallets[&usage.wallet].model();
        model.apply(&Command::Wait, self.now);
        assert_eq!((units(check.balance), units(check.available)), (model.balance(), model.available()));
        let outcome = model.apply(&Command::Debit { amount, policy }, self.now);
        assert_eq!(check.reason.map(|reason| reason.slug()), outcome.refused.map(|refusal| refusal.reason));
        assert_eq!((check.allowed, units(check.amount)), (check.reason.is_none(), amount));
    }
}

/// Whether something is refused because it does not fit into a frame of the log. That of a simulation is small.
pub(super) fn is_too_large<T>(result: &Result<T, CommandError>) -> bool {
    let words = "the group's records do not fit into one frame of the log";
    matches!(result, Err(CommandError::Conflict { slug: "group_too_large", detail }) if detail == words)
}

/// What takes so many bytes, if not less, may be too large for a frame.
#[track_caller]
pub(super) fn assert_too_large(bytes: usize, engine: &Engine) {
    let (framed, max) = (bytes as u64 + 64, engine.log().max_frame_bytes());
    assert!(framed > max, "{framed} bytes fit into a frame of {max}");
}
