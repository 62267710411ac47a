//! The books that a test keeps beside an engine: what every wallet, grant, event and entry must be, by the plain model alone.
//!
//! A [`Step`] is made on an engine and entered into the books, the answers are compared at once, and [`Books::audit`] compares
//! everything that the engine shows with everything that the books hold.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use drawdown::engine::catalog::{CurrencyKind, CurrencySpec, MeterSpec};
use drawdown::engine::view::Entry;
use drawdown::engine::view::{
    AlertSpec, CostBasis, EntryKind, FeedEvent, FeedValue, GrantRequest, GrantState, Metadata, WalletPatch,
};
use drawdown::engine::{
    Charge, CommandError, Engine, EngineConfig, EventOutcome, EventStatus, ManualClock, Ticket, Unavailable, UsageEvent,
};
use drawdown::ledger::{
    Amount, Category, Decimal, DecimalError, GrantId, Policy, Rejection, Rounding, Source, Status, Timestamp, Trigger,
};
use drawdown_wal::{Lsn, Options};

use crate::model::{self, Command, Level, Model, Outcome};

/// The engine's time when a story begins.
pub(crate) const BEGIN: u64 = 1_800_000_000_000;
pub(crate) const WINDOW_MS: u64 = 24 * 3_600_000;
pub(crate) const TOLERANCE_MS: u64 = 5 * 60_000;

pub(crate) const CUSTOMERS: [&str; 3] = ["ada", "bob", "cyd"];
/// Currency, scale, highest balance.
pub(crate) const CURRENCIES: [(&str, u8, Option<i64>); 2] = [("credits", 2, None), ("tokens", 0, Some(400))];
/// Meter, currency, rate as mantissa and scale, rounding, policy.
type MeterRow = (&'static str, usize, (i64, u8), Rounding, Policy);
const METERS: [MeterRow; 2] = [
    ("gpu.second", 0, (33, 4), Rounding::Up, Policy::Overdraft),
    ("model.call", 1, (15, 1), Rounding::Exact, Policy::Partial),
];
const SOURCES: [&str; 3] = ["", "api", "edge"];
const GRANT_SOURCES: [Source; 5] = [Source::Drip, Source::Plan, Source::Promotional, Source::TopUp, Source::Rollover];

/// The end of the minute that an instant is in.
fn minute_end(millis: u64) -> u64 {
    (millis / 60_000 + 1) * 60_000
}

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn units(amount: Amount) -> i128 {
    i128::from(amount.units())
}

/// How tests open an engine: nothing happens but what the test does.
pub(crate) fn config(segment_bytes: u64) -> EngineConfig {
    EngineConfig {
        log: Options::tiny(segment_bytes),
        idempotency_window_ms: WINDOW_MS,
        future_tolerance_ms: TOLERANCE_MS,
        expected_events: 64,
        expected_wallets: 8,
        replay_workers: 2,
        background: false,
        ..EngineConfig::default()
    }
}

/// A wallet by its number: every customer in every currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WalletNumber(pub(crate) usize);

impl WalletNumber {
    pub(crate) const COUNT: usize = CUSTOMERS.len() * CURRENCIES.len();

    pub(crate) fn customer(self) -> &'static str {
        CUSTOMERS[self.0 / CURRENCIES.len()]
    }

    pub(crate) fn currency(self) -> &'static str {
        CURRENCIES[self.currency_index()].0
    }

    fn currency_index(self) -> usize {
        self.0 % CURRENCIES.len()
    }

    fn scale(self) -> u8 {
        CURRENCIES[self.currency_index()].1
    }

    fn decimal(self, units: i64) -> Decimal {
        Decimal::from_parts(units, self.scale()).expect("few decimals")
    }

    pub(crate) fn all() -> impl Iterator<Item = WalletNumber> {
        (0..Self::COUNT).map(WalletNumber)
    }

    fn of(customer: &str, currency: &str) -> Option<WalletNumber> {
        Self::all().find(|wallet| wallet.customer() == customer && wallet.currency() == currency)
    }
}

/// Something that is done to an engine.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Time passes, ms.
    Pause(u64),
    /// Time passes up to the next date of any grant, or to the millisecond before it.
    UpToADate {
        before: bool,
    },
    Batch(Vec<Usage>),
    Grant(GrantSpec),
    /// Sends an earlier request again, whatever became of it.
    GrantAgain(usize),
    Void(usize),
    MoveExpiry(usize, Option<u64>),
    Patch {
        wallet: WalletNumber,
        status: Option<model::Status>,
        allowance: Option<i64>,
    },
    Alerts(WalletNumber, Vec<Level>),
    /// The background's round.
    Tidy,
}

/// A usage event to be.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    pub(crate) id: u32,
    pub(crate) source: usize,
    pub(crate) wallet: WalletNumber,
    pub(crate) ask: Ask,
    pub(crate) time: When,
    pub(crate) policy: Option<model::Policy>,
}

/// What an event asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Units(i64),
    /// Tenths of a unit of the meter of the wallet's currency.
    Metered(i64),
    UnknownMeter,
    UnknownCurrency,
    /// More decimals than the currency has.
    TooFine,
    NotANumber,
    LongId,
    EmptyId,
    LongSource,
    EmptyCustomer,
}

/// An event's own time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    Unsaid,
    Before(u64),
    After(u64),
    OldestAllowed,
    TooOld,
    NewestAllowed,
    TooNew,
}

/// A grant to be; dates count from the moment at which it is made.
#[derive(Clone, Debug)]
pub(crate) struct GrantSpec {
    pub(crate) wallet: WalletNumber,
    pub(crate) units: i64,
    pub(crate) source: usize,
    pub(crate) promotional: bool,
    pub(crate) priority: Option<u8>,
    pub(crate) effective: Option<i64>,
    pub(crate) lasts: Option<u64>,
    pub(crate) cost: Option<i64>,
    pub(crate) key: Option<u8>,
    pub(crate) note: bool,
}

/// One line of a wallet's history.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) kind: &'static str,
    grant: Option<u64>,
    pub(crate) delta: i128,
    parts: Vec<(u64, i128)>,
    debt: i128,
    event: Option<String>,
    /// The feed's word for it.
    told: Option<&'static str>,
}

/// What one operation or debit wrote into a wallet's history.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) lines: Vec<Line>,
    crossed: Vec<String>,
    edges: Vec<(&'static str, String)>,
    /// The wallet afterwards.
    pub(crate) after: Model,
    /// The step that did it.
    pub(crate) step: usize,
    /// The event behind it.
    identity: Option<(usize, u32)>,
    /// The engine's time, ms.
    pub(crate) at: u64,
    /// As it was sent.
    pub(crate) usage: Option<Usage>,
}

#[derive(Clone, Debug, Default)]
struct Book {
    exists: bool,
    model: Option<Model>,
    groups: Vec<Group>,
}

/// A grant that was made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) id: u64,
    pub(crate) text: String,
    pub(crate) wallet: WalletNumber,
    pub(crate) request: GrantRequest,
    created_at: u64,
}

/// An event that was applied.
#[derive(Clone, Debug)]
struct Applied {
    wallet: WalletNumber,
    ask: Ask,
    answer: Answer,
    entry: Option<Lsn>,
    at: Moment,
}

/// When something happened: the time, ms, and the step.
type Moment = (u64, usize);

/// An event's outcome in plain words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    status: &'static str,
    amount: i128,
    shortfall: i128,
    balance: i128,
    available: i128,
    crossed: Vec<String>,
}

/// The books.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    pub(crate) now: u64,
    pub(crate) step: usize,
    wallets: BTreeMap<WalletNumber, Book>,
    pub(crate) made: Vec<Made>,
    requests: Vec<(GrantRequest, WalletNumber)>,
    /// The grant that each key made, as its place in `made`.
    keys: HashMap<String, (usize, Moment)>,
    events: HashMap<(usize, u32), Applied>,
    /// What happened up to the step happened before the instant: how the engine tells the idempotency window.
    marks: Vec<Moment>,
    /// Every event ever sent, with the step that sent it first.
    pub(crate) sent: Vec<Usage>,
}

/// Makes the currencies and meters.
pub(crate) fn set_up(engine: &Engine) -> Result<(), CommandError> {
    for (id, scale, max) in CURRENCIES {
        let max_balance = max.map(|max| Decimal::from_parts(max, scale).expect("few decimals"));
        let (name, symbol) = (id.to_owned(), String::new());
        let spec = CurrencySpec { id: id.to_owned(), name, symbol, scale, kind: CurrencyKind::Unit, max_balance };
        engine.put_currency(spec)?.1.wait()?;
    }
    for (event_type, currency, (mantissa, scale), rounding, policy) in METERS {
        let spec = MeterSpec {
            event_type: event_type.to_owned(),
            currency: CURRENCIES[currency].0.to_owned(),
            rate: Decimal::from_parts(mantissa, scale).expect("few decimals"),
            rounding,
            policy,
        };
        engine.put_meter(spec)?.1.wait()?;
    }
    Ok(())
}

impl Usage {
    fn text(&self) -> String {
        match self.ask {
            Ask::LongId => "i".repeat(129),
            Ask::EmptyId => String::new(),
            // Ids of all lengths up to the longest.
            _ => format!("{:0>width$}", self.id, width = 1 + self.id as usize % 128),
        }
    }

    fn source_text(&self) -> String {
        if self.ask == Ask::LongSource { "s".repeat(129) } else { SOURCES[self.source].to_owned() }
    }

    fn time(&self, now: u64) -> Option<Timestamp> {
        Some(at(match self.time {
            When::Unsaid => return None,
            When::Before(millis) => now - millis,
            When::After(millis) => now + millis,
            When::OldestAllowed => now - WINDOW_MS,
            When::TooOld => now - WINDOW_MS - 1,
            When::NewestAllowed => now + TOLERANCE_MS,
            When::TooNew => now + TOLERANCE_MS + 1,
        }))
    }

    /// Meter and quantity, in tenths.
    pub(crate) fn measured(&self) -> Option<(&'static str, i64)> {
        match self.ask {
            Ask::Metered(tenths) => Some((METERS[self.wallet.currency_index()].0, tenths)),
            _ => None,
        }
    }

    /// The event's own time when it is sent at `now`, ms.
    pub(crate) fn happened(&self, now: u64) -> u64 {
        self.time(now).map_or(now, Timestamp::millis)
    }

    fn charge(&self) -> Charge<'static> {
        let currency = Some(self.wallet.currency());
        let amount = |amount| Charge::Amount { currency, amount };
        match self.ask {
            Ask::Units(units) => amount(Ok(self.wallet.decimal(units))),
            Ask::Metered(tenths) => Charge::Metered {
                meter: METERS[self.wallet.currency_index()].0,
                quantity: Ok(Decimal::from_parts(tenths, 1).expect("few decimals")),
            },
            Ask::UnknownMeter => Charge::Metered { meter: "no.such", quantity: Ok(Decimal::from_integer(1)) },
            Ask::UnknownCurrency => Charge::Amount { currency: Some("gold"), amount: Ok(Decimal::from_integer(1)) },
            Ask::TooFine => amount(Ok(Decimal::from_parts(1, self.wallet.scale() + 1).expect("few decimals"))),
            Ask::NotANumber => amount(Err(DecimalError::NotANumber)),
            Ask::LongId | Ask::EmptyId | Ask::LongSource | Ask::EmptyCustomer => amount(Ok(Decimal::from_integer(1))),
        }
    }

    /// What it comes to in smallest units, or why it can come to nothing; and the policy.
    fn price(&self) -> Result<(i128, model::Policy), &'static str> {
        match self.ask {
            Ask::Units(units) if units > 0 => Ok((units.into(), self.policy.unwrap_or(model::Policy::Reject))),
            Ask::Metered(tenths) => {
                let (_, _, (rate, rate_scale), rounding, policy) = METERS[self.wallet.currency_index()];
                let divisor = 10_i128.pow(u32::from(rate_scale) + 1);
                let product = i128::from(tenths) * i128::from(rate) * 10_i128.pow(u32::from(self.wallet.scale()));
                let (whole, rest) = (product.div_euclid(divisor), product.rem_euclid(divisor));
                let amount = match (rest, rounding) {
                    (0, _) => whole,
                    (_, Rounding::Up) => whole + 1,
                    (_, Rounding::Exact) => return Err("invalid_amount"),
                };
                let default = match policy {
                    Policy::Reject => model::Policy::Reject,
                    Policy::Partial => model::Policy::Partial,
                    Policy::Overdraft => model::Policy::Overdraft,
                };
                let fits = amount > 0 && amount <= i128::from(i64::MAX);
                if fits { Ok((amount, self.policy.unwrap_or(default))) } else { Err("invalid_amount") }
            }
            Ask::UnknownMeter => Err("unknown_meter"),
            Ask::UnknownCurrency => Err("unknown_currency"),
            Ask::Units(_) | Ask::TooFine | Ask::NotANumber => Err("invalid_amount"),
            Ask::LongId | Ask::EmptyId | Ask::EmptyCustomer => Err("invalid_id"),
            Ask::LongSource => Err("invalid_source"),
        }
    }

    /// What the engine can say without looking at a wallet.
    fn plan(&self) -> Result<(i128, model::Policy), &'static str> {
        if matches!(self.ask, Ask::LongId | Ask::EmptyId | Ask::EmptyCustomer | Ask::LongSource) {
            return self.price();
        }
        match self.time {
            When::TooOld => Err("event_too_old"),
            When::TooNew => Err("event_in_future"),
            _ => self.price(),
        }
    }
}

/// Sends a batch.
pub(crate) fn submit(
    engine: &Engine,
    batch: &[Usage],
    now: u64,
    outcomes: &mut Vec<EventOutcome>,
) -> Result<Ticket, Unavailable> {
    let texts: Vec<_> = batch.iter().map(|usage| (usage.text(), usage.source_text())).collect();
    let events: Vec<_> = batch
        .iter()
        .zip(&texts)
        .map(|(usage, (id, source))| UsageEvent {
            id,
            source,
            customer: if usage.ask == Ask::EmptyCustomer { "" } else { usage.wallet.customer() },
            charge: usage.charge(),
            time: usage.time(now),
            policy: usage.policy.map(policy),
        })
        .collect();
    engine.submit(&events, outcomes)
}

pub(crate) fn policy(policy: model::Policy) -> Policy {
    match policy {
        model::Policy::Reject => Policy::Reject,
        model::Policy::Partial => Policy::Partial,
        model::Policy::Overdraft => Policy::Overdraft,
    }
}

fn status(status: model::Status) -> Status {
    match status {
        model::Status::Active => Status::Active,
        model::Status::Frozen => Status::Frozen,
        model::Status::Closed => Status::Closed,
    }
}

fn answer(outcome: &EventOutcome) -> Answer {
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

fn crossed(outcome: &Outcome) -> Vec<String> {
    let mut names: Vec<_> = outcome.crossed.iter().cloned().collect();
    names.extend(outcome.depleted.then(|| "depleted".to_owned()));
    names.extend(outcome.negative.then(|| "negative".to_owned()));
    names.sort();
    names
}

/// What the feed tells of the lines that a change crossed.
fn edges(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let mut edges: Vec<_> = outcome.crossed.iter().map(|name| ("balance.low", name.clone())).collect();
    edges.extend(outcome.recovered.iter().map(|name| ("balance.recovered", name.clone())));
    edges.extend(outcome.depleted.then(|| ("balance.depleted", "depleted".to_owned())));
    edges.extend(outcome.negative.then(|| ("balance.negative", "negative".to_owned())));
    edges
}

/// What happened to each grant between two states of a wallet, as lines of its history.
fn movements(before: &Model, after: &Model) -> Vec<Line> {
    let mut lines = Vec::new();
    for (id, account) in after.accounts() {
        let old = before.accounts().find(|(old, _)| *old == id).map(|(_, account)| account.clone());
        let is_new = old.is_none();
        let old = old.unwrap_or_default();
        let mut push = |kind, amount: i128, delta: i128, told| {
            lines.push(Line {
                kind,
                grant: Some(id),
                delta,
                parts: vec![(id, amount)],
                debt: 0,
                event: None,
                told: Some(told),
            });
        };
        let (was_active, is_active) = (before.is_active(id), after.is_active(id));
        if is_new && is_active {
            push("Grant", account.granted, account.granted, "grant.created");
        } else if is_new {
            push("GrantScheduled", account.granted, 0, "grant.created");
        } else if is_active && !was_active {
            push("Grant", account.granted, account.granted, "grant.activated");
        }
        let paid = account.debt_paid - old.debt_paid;
        if paid > 0 {
            push("DebtRepayment", paid, 0, "debt.repaid");
        }
        let expired = account.expired - old.expired;
        if expired > 0 {
            push("Expiry", expired, -expired, "grant.expired");
        }
        let voided = account.voided - old.voided;
        if voided > 0 {
            push("Void", voided, if is_active { -voided } else { 0 }, "grant.voided");
        }
        let written_off = account.written_off - old.written_off;
        if written_off > 0 {
            push("WriteOff", written_off, -written_off, "grant.voided");
        }
    }
    lines
}

fn plain(kind: &'static str, told: Option<&'static str>) -> Line {
    Line { kind, grant: None, delta: 0, parts: Vec::new(), debt: 0, event: None, told }
}

impl Book {
    fn model(&self) -> Model {
        self.model.clone().unwrap_or_else(Model::new)
    }

    /// Makes one operation, or one debit, and writes its lines. A command that is refused leaves the books as they are.
    fn enter(&mut self, command: &Command, now: u64, step: usize, event: Option<&Usage>) -> Outcome {
        let before = self.model();
        let mut after = before.clone();
        let outcome = after.apply(command, now);
        if outcome.refused.is_some() {
            return outcome;
        }
        let mut lines = movements(&before, &after);
        match command {
            Command::Debit { .. } => {
                let paid: i128 = outcome.paid_by.iter().map(|(_, part)| part).sum();
                lines.push(Line {
                    kind: "Debit",
                    grant: None,
                    delta: -outcome.taken,
                    parts: outcome.paid_by.clone(),
                    debt: outcome.taken - paid,
                    event: event.map(Usage::text),
                    told: Some("debit.applied"),
                });
            }
            Command::SetStatus(status) => {
                let paid: i128 =
                    lines.iter().filter(|line| line.kind == "DebtRepayment").map(|line| line.parts[0].1).sum();
                let unpaid = before.debt() - paid;
                if *status == model::Status::Closed && unpaid > 0 {
                    lines.push(Line { delta: unpaid, ..plain("WriteOff", None) });
                }
                lines.push(plain(
                    "Settings",
                    Some(match status {
                        model::Status::Active => "wallet.updated",
                        model::Status::Frozen => "wallet.frozen",
                        model::Status::Closed => "wallet.closed",
                    }),
                ));
            }
            Command::SetAllowance(_) | Command::SetLevels(_) => lines.push(plain("Settings", Some("wallet.updated"))),
            // A move that moves nothing leaves nothing to be seen.
            Command::MoveExpiry { grant, expires_at } if before.expires_at(*grant) == *expires_at => {}
            Command::MoveExpiry { grant, .. } => lines.push(Line {
                grant: Some(*grant),
                parts: vec![(*grant, after.remaining(*grant))],
                ..plain("Settings", Some("grant.updated"))
            }),
            Command::Grant(_) | Command::Void { .. } | Command::Wait => {}
        }
        lines.sort();
        let mut edges = edges(&outcome);
        if after.status() != model::Status::Closed {
            // The built-in lines are their own margin: what is crossed upwards has recovered.
            let (low, high) = (before.balance(), after.balance());
            // A new wallet's first credit lifts it off zero, but it had never been depleted.
            let was_depleted = !self.groups.is_empty() && low <= 0;
            edges.extend((was_depleted && high > 0).then(|| ("balance.recovered", "depleted".to_owned())));
            edges.extend((low < 0 && high >= 0).then(|| ("balance.recovered", "negative".to_owned())));
        }
        let identity = event.map(|usage| (usage.source, usage.id));
        let (crossed, usage) = (crossed(&outcome), event.cloned());
        let group = Group { lines, crossed, edges, after: after.clone(), step, identity, at: now, usage };
        self.model = Some(after);
        self.groups.push(group);
        outcome
    }
}

impl Books {
    pub(crate) fn new() -> Self {
        Books { now: BEGIN, ..Books::default() }
    }

    fn book(&mut self, wallet: WalletNumber) -> &mut Book {
        self.wallets.entry(wallet).or_default()
    }

    pub(crate) fn exists(&self, wallet: WalletNumber) -> bool {
        self.wallets.get(&wallet).is_some_and(|book| book.exists)
    }

    pub(crate) fn groups(&self, wallet: WalletNumber) -> &[Group] {
        self.wallets.get(&wallet).map_or(&[], |book| &book.groups)
    }

    /// Operations and debits that are entered, over all wallets.
    pub(crate) fn groups_in_all(&self) -> u64 {
        self.wallets.values().map(|book| book.groups.len() as u64).sum()
    }

    /// Makes a step on the engine, enters it, and compares the answers. The ticket of what was done, if anything was.
    pub(crate) fn make(
        &mut self,
        step: &Step,
        engine: &Engine,
        clock: &ManualClock,
    ) -> Result<Option<Ticket>, Unavailable> {
        self.step += 1;
        match step {
            Step::Pause(millis) => {
                self.now += millis;
                clock.set(at(self.now));
                Ok(None)
            }
            Step::UpToADate { before } => {
                let dates = self.wallets.values().filter_map(|book| book.model.as_ref()).flat_map(Model::dates);
                if let Some(next) = dates.filter(|date| *date > self.now).min() {
                    self.now = if *before { next - 1 } else { next };
                    clock.set(at(self.now));
                }
                Ok(None)
            }
            Step::Batch(batch) => self.batch(batch, engine).map(Some),
            Step::Grant(spec) => {
                let request = self.request(spec);
                self.grant(request, spec.wallet, engine).map(Some)
            }
            Step::GrantAgain(number) => match self.requests.len() {
                0 => Ok(None),
                count => {
                    let (request, wallet) = self.requests[count - 1 - number % count].clone();
                    self.grant(request, wallet, engine).map(Some)
                }
            },
            Step::Void(number) => self.change_grant(*number, engine, |_, id| Command::Void { grant: id }),
            Step::MoveExpiry(number, lasts) => {
                let expires_at = lasts.map(|lasts| self.now + lasts);
                self.change_grant(*number, engine, |_, id| Command::MoveExpiry { grant: id, expires_at })
            }
            Step::Patch { wallet, status, allowance } => self.patch(*wallet, *status, *allowance, engine),
            Step::Alerts(wallet, levels) => self.alerts(*wallet, levels, engine),
            Step::Tidy => {
                engine.tidy();
                self.mark((minute_end(self.now), self.step));
                self.forget();
                let (now, step) = (self.now, self.step);
                for book in self.wallets.values_mut().filter(|book| book.exists) {
                    book.enter(&Command::Wait, now, step, None);
                }
                Ok(Some(engine.barrier()))
            }
        }
    }

    fn batch(&mut self, batch: &[Usage], engine: &Engine) -> Result<Ticket, Unavailable> {
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

    fn debit(&mut self, usage: &Usage, amount: i128, policy: model::Policy) -> Answer {
        let (now, step) = (self.now, self.step);
        let book = self.book(usage.wallet);
        // What is due comes first, as an operation of its own.
        book.enter(&Command::Wait, now, step, None);
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
        }
        answer
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

    pub(crate) fn request(&self, spec: &GrantSpec) -> GrantRequest {
        GrantRequest {
            customer: spec.wallet.customer().to_owned(),
            currency: Some(spec.wallet.currency().to_owned()),
            amount: spec.wallet.decimal(spec.units),
            source: GRANT_SOURCES[spec.source % GRANT_SOURCES.len()],
            category: if spec.promotional { Category::Promotional } else { Category::Paid },
            priority: spec.priority,
            effective_at: spec.effective.map(|offset| at(self.now.wrapping_add_signed(offset))),
            expires_at: spec.lasts.map(|lasts| at(self.now + lasts)),
            cost_basis: spec.cost.map(|amount| CostBasis { amount, currency: "EUR".to_owned() }),
            key: spec.key.map(|key| format!("key-{key}")),
            metadata: if spec.note { Metadata::from([("note".to_owned(), "n".repeat(9))]) } else { Metadata::new() },
        }
    }

    fn grant(&mut self, request: GrantRequest, wallet: WalletNumber, engine: &Engine) -> Result<Ticket, Unavailable> {
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
            amount: i128::from(request.amount.mantissa())
                * 10_i128.pow(u32::from(wallet.scale()) - u32::from(request.amount.scale())),
            priority: request.priority.unwrap_or_else(|| request.source.default_priority()),
            promotional: request.category == Category::Promotional,
            effective_at: request.effective_at.map_or(self.now, Timestamp::millis),
            expires_at: request.expires_at.map(Timestamp::millis),
            cost: request.cost_basis.as_ref().map(|cost| cost.amount.into()),
            max_balance,
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
            self.made.push(Made { id, text, wallet, request, created_at: now });
        }
        Ok(ticket)
    }

    fn change_grant(
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
        // The newest first: they are the ones that are still there.
        let made = self.made[self.made.len() - 1 - number % self.made.len()].clone();
        let command = command(&made, made.id);
        let result = match command {
            Command::MoveExpiry { expires_at, .. } => engine.move_expiry(&made.text, expires_at.map(at)),
            _ => engine.void_grant(&made.text),
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

    fn patch(
        &mut self,
        wallet: WalletNumber,
        to: Option<model::Status>,
        allowance: Option<i64>,
        engine: &Engine,
    ) -> Result<Option<Ticket>, Unavailable> {
        let floor = allowance.map(|allowance| wallet.decimal(-allowance));
        let patch = WalletPatch { status: to.map(status), floor, metadata: None };
        let result = engine.change_wallet(wallet.customer(), wallet.currency(), &patch);
        if !self.exists(wallet) {
            assert_eq!(result.map(|_| ()), Err(CommandError::NotFound { what: "wallet" }));
            return Ok(None);
        }
        if let Err(CommandError::Unavailable(error)) = result {
            return Err(error);
        }
        if allowance.is_some_and(|allowance| allowance < 0) {
            assert!(matches!(result, Err(CommandError::Invalid { field: "floor", .. })), "{result:?}");
            return Ok(None);
        }
        let floor = allowance.map(|allowance| Command::SetAllowance(allowance.into()));
        let commands: Vec<_> = floor.into_iter().chain(to.map(Command::SetStatus)).collect();
        let (now, step) = (self.now, self.step);
        let book = self.book(wallet);
        let mut trial = book.clone();
        for command in &commands {
            let expected = trial.enter(command, now, step, None);
            if expected.refused.is_some() {
                compare_command(result.as_ref().err(), &expected);
                return Ok(None);
            }
        }
        *book = trial;
        Ok(Some(result.expect("nothing speaks against it").1))
    }

    fn alerts(
        &mut self,
        wallet: WalletNumber,
        levels: &[Level],
        engine: &Engine,
    ) -> Result<Option<Ticket>, Unavailable> {
        let spec = |level: &Level| AlertSpec {
            name: level.name.clone(),
            amount: wallet.decimal(i64::try_from(level.amount).expect("a small number")),
            trigger: if level.at_or_below { Trigger::AtOrBelow } else { Trigger::Below },
            margin: wallet.decimal(i64::try_from(level.margin).expect("a small number")),
        };
        let specs: Vec<_> = levels.iter().map(spec).collect();
        let result = engine.set_alerts(wallet.customer(), wallet.currency(), &specs);
        if !self.exists(wallet) {
            assert_eq!(result.map(|_| ()), Err(CommandError::NotFound { what: "wallet" }));
            return Ok(None);
        }
        if let Err(CommandError::Unavailable(error)) = result {
            return Err(error);
        }
        let (now, step) = (self.now, self.step);
        let expected = self.book(wallet).enter(&Command::SetLevels(levels.to_vec()), now, step, None);
        compare_command(result.as_ref().err(), &expected);
        Ok(result.ok().map(|(_, ticket)| ticket))
    }

    /// Compares everything that the engine shows with the books.
    pub(crate) fn audit(&self, engine: &Engine) {
        for wallet in WalletNumber::all() {
            self.compare_wallet(wallet, engine);
            self.compare_history(wallet, engine);
        }
        for made in &self.made {
            self.compare_grant(made, engine);
        }
        self.compare_totals(engine);
        self.compare_feed(engine);
    }

    /// The wallet as it must look now.
    fn present(&self, wallet: WalletNumber) -> Model {
        let mut model = self.wallets[&wallet].model();
        model.apply(&Command::Wait, self.now);
        model
    }

    pub(crate) fn compare_wallet(&self, wallet: WalletNumber, engine: &Engine) {
        let view = engine.wallet(wallet.customer(), wallet.currency());
        if !self.exists(wallet) {
            assert_eq!(view.map(|_| ()), Err(CommandError::NotFound { what: "wallet" }));
            return;
        }
        compare_view(&self.present(wallet), &view.expect("a wallet that there is"));
    }

    fn compare_history(&self, wallet: WalletNumber, engine: &Engine) {
        if !self.exists(wallet) {
            return;
        }
        let entries = history(engine, wallet, 3);
        let groups = self.groups(wallet);
        assert_eq!(compare_groups(groups, &entries), groups.len(), "{wallet:?}: the history is cut short");
        let recorded = groups.last().map_or(0, |group| group.after.balance());
        assert_eq!(entries.last().map_or(0, |entry| units(entry.balance_after)), recorded);
    }

    /// As [`Books::audit`], for an engine whose log has lost its beginning: what does not lie in the past.
    pub(crate) fn audit_present(&self, engine: &Engine) {
        for wallet in WalletNumber::all() {
            self.compare_wallet(wallet, engine);
        }
        for made in &self.made {
            self.compare_grant(made, engine);
        }
        self.compare_totals(engine);
    }

    /// Only of a grant that has nothing left, and that was declared before the log's beginning, need nothing be known any more.
    fn compare_retired(&self, made: &Made, error: &CommandError, engine: &Engine) {
        assert_eq!(*error, CommandError::Retired { first: engine.first_lsn() });
        assert!(Lsn::new(made.id) < engine.first_lsn(), "{made:?} is said to be retired");
        assert_eq!(self.present(made.wallet).remaining(made.id), 0, "{made:?} is said to be retired");
    }

    fn compare_grant(&self, made: &Made, engine: &Engine) {
        let view = match engine.grant_view(&made.text) {
            Err(error @ CommandError::Retired { .. }) => return self.compare_retired(made, &error, engine),
            // The disk failed under the reading; whoever makes the steps finds out next.
            Err(CommandError::Unavailable(_)) if engine.health().is_err() => return,
            view => view.expect("a grant that was made"),
        };
        let model = self.present(made.wallet);
        let (_, account) = model.accounts().find(|(id, _)| *id == made.id).expect("a grant of the model");
        assert!(account.is_conserved());
        assert_eq!(units(view.remaining), account.remaining, "{made:?}: {account:?}");
        let state = match () {
            () if account.remaining > 0 && model.is_active(made.id) => GrantState::Active,
            () if account.remaining > 0 => GrantState::Scheduled,
            () if account.expired > 0 => GrantState::Expired,
            () if account.voided + account.written_off > 0 => GrantState::Voided,
            () => GrantState::Depleted,
        };
        assert_eq!(view.state, state, "{made:?}: {account:?}");
        if account.remaining > 0 {
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
        assert_eq!(view.effective_at, request.effective_at.unwrap_or(at(made.created_at)));
        assert_eq!(
            (&view.cost_basis, &view.key, &view.metadata),
            (&request.cost_basis, &request.key, &request.metadata)
        );
        assert_eq!(view.created_at, at(made.created_at));
    }

    fn compare_totals(&self, engine: &Engine) {
        let totals = engine.balances(None, None);
        for (index, (id, ..)) in CURRENCIES.iter().enumerate() {
            let of_currency =
                WalletNumber::all().filter(|wallet| wallet.currency_index() == index && self.exists(*wallet));
            let models: Vec<_> = of_currency.map(|wallet| self.present(wallet)).collect();
            let total = totals.iter().find(|total| total.currency.id == *id);
            assert_eq!(total.map_or(0, |total| total.wallets), models.len() as u64);
            assert_eq!(total.map_or(0, |total| total.balance), models.iter().map(Model::balance).sum::<i128>());
            assert_eq!(total.map_or(0, |total| total.available), models.iter().map(Model::available).sum::<i128>());
        }
    }

    fn compare_feed(&self, engine: &Engine) {
        let events = feed(engine, 7);
        for wallet in WalletNumber::all() {
            let of_wallet: Vec<_> = events.iter().filter(|event| wallet_of(event) == Some(wallet)).collect();
            let creations = of_wallet.iter().filter(|event| event.kind == "wallet.created").count();
            assert_eq!(creations, usize::from(self.exists(wallet)), "{wallet:?}");
            compare_told(self.groups(wallet), &of_wallet, wallet, engine);
        }
    }

    /// What of the books an engine holds that a crash may have cut back, checked to be a beginning: within each wallet, and in
    /// the order of the steps. Every step up to `acknowledged` must be there.
    pub(crate) fn cut_back(&self, engine: &Engine, acknowledged: usize) -> Books {
        let mut left = self.clone();
        let (mut last_there, mut first_missing) = (0, usize::MAX);
        for wallet in WalletNumber::all() {
            let exists = engine.wallet(wallet.customer(), wallet.currency()).is_ok();
            let entries = if exists { history(engine, wallet, 100) } else { Vec::new() };
            let groups = self.groups(wallet);
            let there = compare_groups(groups, &entries);
            let steps = |groups: &[Group]| -> Vec<usize> {
                groups.iter().filter(|group| !group.lines.is_empty()).map(|group| group.step).collect()
            };
            last_there = last_there.max(steps(&groups[..there]).into_iter().max().unwrap_or(0));
            first_missing = first_missing.min(steps(&groups[there..]).into_iter().min().unwrap_or(usize::MAX));
            let missing: Vec<_> = groups[there..].iter().filter_map(|group| group.identity).collect();
            left.events.retain(|identity, _| !missing.contains(identity));
            let book = left.book(wallet);
            book.groups.truncate(there);
            book.model = book.groups.last().map(|group| group.after.clone());
            book.exists = exists;
        }
        assert!(
            acknowledged < first_missing,
            "step {first_missing} was acknowledged (all up to {acknowledged} were) and is lost"
        );
        assert!(last_there <= first_missing, "step {last_there} is there and step {first_missing} before it is not");
        left.made.retain(|made| {
            left.wallets[&made.wallet].model.as_ref().is_some_and(|model| model.accounts().any(|(id, _)| id == made.id))
        });
        for made in self.made.iter().filter(|made| left.made.iter().all(|there| there.id != made.id)) {
            let view = engine.grant_view(&made.text).map(|_| ());
            assert_eq!(view, Err(CommandError::NotFound { what: "grant" }), "a grant that took no effect is none");
        }
        let there = |(at, _): (usize, Moment)| {
            let id = self.made[at].id;
            left.made.iter().position(|made| made.id == id)
        };
        left.keys = self
            .keys
            .iter()
            .filter_map(|(key, (at, moment))| Some((key.clone(), (there((*at, *moment))?, *moment))))
            .collect();
        left
    }

    /// Enters that the engine was opened again. It then knows the minute of everything that it remembers, and forgets what is older than
    /// the window at once.
    pub(crate) fn reopened(&mut self) {
        let moments = self.events.values().map(|applied| applied.at).chain(self.keys.values().map(|(_, at)| *at));
        let mut moments: Vec<_> = moments.collect();
        moments.sort_unstable();
        self.marks.clear();
        for (time, step) in moments {
            self.mark((minute_end(time), step));
        }
        self.forget();
    }

    fn mark(&mut self, mark: Moment) {
        match self.marks.last_mut() {
            Some(last) if last.0 >= mark.0 => last.1 = mark.1,
            _ => self.marks.push(mark),
        }
    }

    /// Identities older than the window are free again.
    fn forget(&mut self) {
        let past = self.marks.iter().rev().find(|(end, _)| end.saturating_add(WINDOW_MS) < self.now);
        let Some(&(_, horizon)) = past else { return };
        self.events.retain(|_, applied| applied.at.1 > horizon);
        self.keys.retain(|_, (_, at)| at.1 > horizon);
    }

    /// Sends every event again, each by itself: what there is of them is a duplicate, the others apply.
    pub(crate) fn send_all_again(&mut self, engine: &Engine) {
        for usage in std::mem::take(&mut self.sent) {
            self.step += 1;
            self.batch(&[usage], engine).expect("a healthy engine").wait().expect("a healthy log");
        }
    }

    /// Sends every event again, one by one: what was applied is a duplicate with its first outcome.
    pub(crate) fn resend(&mut self, engine: &Engine) {
        let applied: Vec<_> = self.sent.clone();
        for usage in applied {
            let known = self.events.get(&(usage.source, usage.id)).cloned();
            let Some(known) = known.filter(|known| known.wallet == usage.wallet && known.ask == usage.ask) else {
                continue;
            };
            let usage = Usage { time: When::Unsaid, ..usage };
            let mut outcomes = Vec::new();
            submit(engine, std::slice::from_ref(&usage), self.now, &mut outcomes)
                .expect("a healthy engine")
                .wait()
                .expect("durable");
            assert_eq!(answer(&outcomes[0]), Answer { status: "duplicate", ..known.answer }, "{usage:?}");
            assert_eq!(outcomes[0].entry, known.entry);
        }
    }
}

fn same_request(earlier: &GrantRequest, later: &GrantRequest) -> bool {
    let priority = |request: &GrantRequest| request.priority.unwrap_or_else(|| request.source.default_priority());
    let content = |request: &GrantRequest| {
        (
            (request.customer.clone(), request.currency.clone(), request.amount),
            (request.source, request.category, request.effective_at, request.expires_at),
            (request.cost_basis.clone(), request.metadata.clone()),
        )
    };
    content(earlier) == content(later) && priority(earlier) == priority(later)
}

#[track_caller]
fn compare_command(error: Option<&CommandError>, expected: &Outcome) {
    let slug = match error {
        None => None,
        Some(CommandError::Rejected(rejection)) => Some(rejection.slug()),
        Some(error) => panic!("{error:?} where {expected:?} was to be expected"),
    };
    assert_eq!(slug, expected.refused.as_ref().map(|refusal| refusal.reason));
}

pub(crate) fn compare_view(model: &Model, view: &drawdown::engine::view::WalletView) {
    assert_eq!(units(view.balance), model.balance());
    assert_eq!(units(view.available), model.available());
    assert_eq!(units(view.floor), model.balance() - model.available());
    assert_eq!(view.status, status(model.status()));
    let lots: BTreeMap<_, _> = view
        .grants
        .iter()
        .map(|lot| (lot.id.get(), (units(lot.remaining), units(lot.amount), !lot.scheduled)))
        .collect();
    let left = model.accounts().filter(|(_, account)| account.remaining > 0);
    let expected: BTreeMap<_, _> =
        left.map(|(id, account)| (id, (account.remaining, account.granted, model.is_active(id)))).collect();
    assert_eq!(lots, expected);
    let fired: std::collections::BTreeSet<_> =
        view.alerts.iter().filter(|alert| alert.triggered).map(|alert| alert.name.clone()).collect();
    assert_eq!(fired, model.fired());
}

/// All of a wallet's entries, oldest first, read in pages.
pub(crate) fn history(engine: &Engine, wallet: WalletNumber, page: usize) -> Vec<Entry> {
    let (mut entries, mut before) = (Vec::new(), None);
    loop {
        let page = engine.entries(wallet.customer(), wallet.currency(), before, page).expect("a readable history");
        entries.extend(page.entries);
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    entries.reverse();
    entries
}

fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Debit => "Debit",
        EntryKind::Grant => "Grant",
        EntryKind::GrantScheduled => "GrantScheduled",
        EntryKind::Expiry => "Expiry",
        EntryKind::Void => "Void",
        EntryKind::DebtRepayment => "DebtRepayment",
        EntryKind::WriteOff => "WriteOff",
        EntryKind::Settings => "Settings",
    }
}

/// Compares a history with what the books say, group by group, as far as it goes; how many groups it holds. Groups without lines
/// (they leave nothing to be seen) count as held.
#[track_caller]
pub(crate) fn compare_groups(groups: &[Group], entries: &[Entry]) -> usize {
    let mut balance = 0;
    for entry in entries {
        balance += units(entry.amount);
        assert_eq!(units(entry.balance_after), balance, "the chain of balances breaks: {entry:?}");
    }
    let mut rest = entries;
    for (number, group) in groups.iter().enumerate() {
        if !group.lines.is_empty() && rest.is_empty() {
            return number;
        }
        assert!(rest.len() >= group.lines.len(), "an operation's entries are torn apart: {group:?}");
        let (of_group, behind) = rest.split_at(group.lines.len());
        rest = behind;
        let mut lines: Vec<_> = of_group.iter().map(line).collect();
        lines.sort();
        let expected: Vec<_> = group.lines.iter().map(|line| Line { told: None, ..line.clone() }).collect();
        assert_eq!(lines, expected);
        let mut crossed: Vec<_> = of_group.iter().flat_map(|entry| &entry.crossed).map(ToString::to_string).collect();
        crossed.sort();
        assert_eq!(crossed, group.crossed, "{group:?}");
        if let Some(last) = of_group.last() {
            assert_eq!(units(last.balance_after), group.after.balance(), "{group:?}");
        }
    }
    assert!(rest.is_empty(), "entries that nobody asked for: {rest:?}");
    groups.len()
}

fn line(entry: &Entry) -> Line {
    Line {
        kind: kind_name(entry.kind),
        grant: entry.grant.map(GrantId::get),
        delta: units(entry.amount),
        parts: entry.allocations.iter().map(|(grant, amount)| (grant.get(), units(*amount))).collect(),
        debt: units(entry.debt),
        event: entry.event.as_ref().map(|event| event.id.clone()),
        told: None,
    }
}

/// The whole feed, read in pages.
pub(crate) fn feed(engine: &Engine, page: usize) -> Vec<FeedEvent> {
    engine.barrier().wait().expect("a healthy log");
    let (mut events, mut after) = (Vec::new(), Lsn::ZERO);
    loop {
        let page = engine.feed(after, page, None).expect("a readable feed");
        events.extend(page.events);
        after = page.next;
        if page.at_end {
            return events;
        }
    }
}

pub(crate) fn wallet_of(event: &FeedEvent) -> Option<WalletNumber> {
    WalletNumber::of(event.customer.as_deref()?, &event.currency.as_ref()?.id)
}

fn text<'e>(event: &'e FeedEvent, field: &str) -> &'e str {
    match event.data.iter().find(|(name, _)| *name == field) {
        Some((_, FeedValue::Text(text))) => text,
        _ => "",
    }
}

/// Compares what the feed tells of a wallet with the books.
pub(crate) fn compare_told(groups: &[Group], events: &[&FeedEvent], wallet: WalletNumber, engine: &Engine) {
    let identities: HashSet<_> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(identities.len(), events.len(), "an event is told twice, or two have one identity");
    let scale = CURRENCIES[wallet.currency_index()].1;
    let show = |amount: i128| {
        let amount = Amount::new(i64::try_from(amount).expect("an amount"));
        amount.display(drawdown::ledger::Scale::new(scale).expect("a scale")).to_string()
    };
    let mut expected = Vec::new();
    for line in groups.iter().flat_map(|group| &group.lines) {
        let Some(told) = line.told else { continue };
        expected.push(match (told, line.grant) {
            ("debit.applied", _) => (told, line.event.clone().unwrap_or_default(), show(-line.delta)),
            (_, Some(grant)) => (told, engine.grant_text(GrantId::new(grant)), show(line.parts[0].1)),
            (_, None) => (told, String::new(), String::new()),
        });
    }
    let apart = ["wallet.created", "grant.depleted"];
    let mut told: Vec<_> = events
        .iter()
        .filter(|event| !event.kind.starts_with("balance.") && !apart.contains(&event.kind))
        .map(|event| match event.kind {
            "debit.applied" => (event.kind, text(event, "event_id").to_owned(), text(event, "amount").to_owned()),
            _ => (event.kind, text(event, "grant").to_owned(), text(event, "amount").to_owned()),
        })
        .collect();
    expected.sort();
    told.sort();
    assert_eq!(told, expected, "{wallet:?}");
    // Edges come of operations only, so their order is the wallet's own; those of one operation are told together.
    let mut edges = events
        .iter()
        .filter(|event| event.kind.starts_with("balance."))
        .map(|event| (event.kind, text(event, "level").to_owned()));
    for group in groups {
        let mut of_group: Vec<_> = edges.by_ref().take(group.edges.len()).collect();
        of_group.sort();
        let mut expected = group.edges.clone();
        expected.sort();
        assert_eq!(of_group, expected, "{wallet:?}");
    }
    assert_eq!(edges.next(), None, "{wallet:?}");
}

/// A clock that stands at the books' beginning.
pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(at(BEGIN)))
}
