//! The books that a test keeps beside an engine: what every wallet, grant, event and entry must be, by the plain model alone.
//!
//! A [`Step`] is made on an engine and entered into the books, the answers are compared at once, and [`Books::audit`] compares
//! everything that the engine shows with everything that the books hold.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use drawdown::engine::catalog::{CurrencyKind, CurrencySpec, MeterSpec, Priorities};
use drawdown::engine::corrections::view::{
    AdjustmentRequest, AdjustmentView, ChargeRequest, ChargeView, Expired, ReversalRequest, ReversalView,
    TransferRequest, TransferSide, TransferView,
};
use drawdown::engine::holds::{CaptureRequest, HoldRequest, HoldStatus};
use drawdown::engine::view::Entry;
use drawdown::engine::view::{
    AlertSpec, AlertView, CostBasis, EntryKind, FeedEvent, FeedValue, GrantOptions, GrantRequest, GrantState, LotView,
    Metadata, RolloverSpec, WalletPatch, WalletView,
};
use drawdown::engine::{
    Charge, CommandError, CommitmentSpec, CommitmentsSpec, Engine, EngineConfig, EventOutcome, EventStatus,
    ManualClock, Ticket, Unavailable, UsageEvent,
};
use drawdown::ledger::{
    Amount, Category, Decimal, DecimalError, GrantId, HoldId, OnExceed, Policy, Rejection, Rounding, Source, Status,
    Timestamp, Trigger,
};
use drawdown_wal::{Lsn, Options, Pumped};

use crate::model::{self, Command, Fate, Level, Model, Outcome};
use crate::subject::{percent, watches};

/// The engine's time when a story begins.
pub(crate) const BEGIN: u64 = 1_800_000_000_000;
pub(crate) const WINDOW_MS: u64 = 24 * 3_600_000;
pub(crate) const TOLERANCE_MS: u64 = 5 * 60_000;
/// How long a hold lasts that says nothing of it.
const DEFAULT_TTL_MS: u64 = 15 * 60_000;

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

fn smallest_of(amount: Amount) -> i128 {
    units(amount)
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
    /// The payment for a grant has come.
    Pay(usize),
    Patch {
        wallet: WalletNumber,
        status: Option<model::Status>,
        allowance: Option<i64>,
    },
    Alerts(WalletNumber, Vec<Level>),
    Correct(Correction, Option<u8>),
    /// Takes the wallet's own levels away.
    ClearAlerts(WalletNumber),
    /// Commitments, each with how long it lasts.
    Commit(WalletNumber, Vec<(i64, Option<u64>)>),
    /// The background's round.
    Tidy,
    Hold(HoldSpec),
    /// Sends an earlier request for a hold again, whatever became of it.
    HoldAgain(usize),
    Capture {
        hold: usize,
        units: i64,
        is_final: bool,
    },
    Release(usize),
    /// To so many ms from now.
    Extend(usize, u64),
    /// Credits go to the customer that many places further.
    Transfer {
        from: WalletNumber,
        further: usize,
        units: i64,
        key: Option<u8>,
    },
    /// Events of which all are applied, or none is.
    Group(Vec<Usage>),
}

/// A hold to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HoldSpec {
    pub(crate) wallet: WalletNumber,
    pub(crate) units: i64,
    pub(crate) ttl_ms: Option<u64>,
    pub(crate) on_exceed: model::OnExceed,
    pub(crate) id: Option<u8>,
}

/// A correction to be; a key goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Correction {
    Adjust {
        wallet: WalletNumber,
        units: i64,
        policy: model::Policy,
    },
    Charge {
        wallet: WalletNumber,
        units: i64,
    },
    /// Takes back one of the last debits, or a part of it.
    Reverse {
        debit: usize,
        units: Option<i64>,
        regrant: bool,
    },
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
#[expect(clippy::option_option, reason = "one that waits may have a length")]
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
    /// It waits for its payment; and lasts so long from then on, if that is said.
    pub(crate) waits: Option<Option<u64>>,
    pub(crate) rollover: Option<RolloverSpecs>,
}

/// Which part of a remainder rolls over, in tenths, how much at most, and for how long, s.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RolloverSpecs {
    pub(crate) tenths: u8,
    pub(crate) max: Option<i64>,
    pub(crate) lasts: Option<u64>,
}

/// One line of a wallet's history.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) kind: &'static str,
    pub(crate) grant: Option<u64>,
    pub(crate) delta: i128,
    pub(crate) parts: Vec<(u64, i128)>,
    pub(crate) debt: i128,
    event: Option<String>,
    /// The feed's word for it.
    told: Option<&'static str>,
    hold: Option<u64>,
    held: i128,
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
    /// Nobody asked for it: it only brought about what was due. The engine need not have made it, if nothing came of it that can be seen.
    is_due: bool,
    /// The event behind it.
    identity: Option<(usize, u32)>,
    /// The debit that it took back, and how much of it.
    reversed: Option<(Lsn, i128)>,
    /// The engine's time, ms.
    pub(crate) at: u64,
    /// As it was sent.
    pub(crate) usage: Option<Usage>,
}

/// A debit that can be taken back.
#[derive(Clone, Debug)]
struct Debited {
    wallet: WalletNumber,
    entry: Option<Lsn>,
    identity: Option<(usize, u32)>,
    /// Its group, by its place in the wallet's.
    group: usize,
    paid_by: Vec<(u64, i128)>,
    debt: i128,
}

/// A correction that was made under a key.
#[derive(Clone, Debug)]
struct Keyed {
    /// What was asked for, and of which debit.
    asked: (Correction, Option<Lsn>),
    wallet: WalletNumber,
    group: usize,
    entry: Lsn,
    at: Moment,
}

/// What an engine made of a correction.
#[derive(Debug)]
enum Corrected {
    Adjusted(AdjustmentView),
    Charged(ChargeView),
    Reversed(ReversalView),
}

impl Corrected {
    fn entry(&self) -> Lsn {
        match self {
            Corrected::Adjusted(view) => view.entry,
            Corrected::Charged(view) => view.entry,
            Corrected::Reversed(view) => view.entry,
        }
    }
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
    /// The grant of another wallet that it was a part of.
    parent: Option<GrantId>,
}

/// A hold that was made.
#[derive(Clone, Debug)]
pub(crate) struct MadeHold {
    pub(crate) id: u64,
    pub(crate) text: String,
    spec: HoldSpec,
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
    debits: Vec<Debited>,
    corrections: HashMap<String, Keyed>,
    pub(crate) holds: Vec<MadeHold>,
    hold_requests: Vec<HoldSpec>,
    /// The hold that each id of a caller's means, as its place in `holds`.
    hold_ids: HashMap<u8, (usize, Moment)>,
    /// What happened up to the step happened before the instant: how the engine tells the idempotency window.
    marks: Vec<Moment>,
    /// Every event ever sent, with the step that sent it first.
    pub(crate) sent: Vec<Usage>,
    /// What took place together: groups of wallets, by their places.
    together: Vec<Vec<(WalletNumber, usize)>>,
    /// Transfers that were made under keys.
    transfers: HashMap<String, Transferred>,
    /// All transfers.
    moves: Vec<Transferred>,
}

/// A transfer that was made.
#[derive(Clone, Debug)]
struct Transferred {
    from: WalletNumber,
    to: WalletNumber,
    units: i64,
    view: TransferView,
    /// Its group, by its place among those of the wallet that gave.
    group: usize,
    at: Moment,
}

/// Makes the currencies and meters.
pub(crate) fn set_up(engine: &Engine) -> Result<(), CommandError> {
    for (id, ..) in CURRENCIES {
        engine.put_currency(currency_spec(id))?.1.wait()?;
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

/// What [`set_up`] makes of a currency.
pub(crate) fn currency_spec(id: &str) -> CurrencySpec {
    let (id, scale, max) = CURRENCIES.into_iter().find(|(known, ..)| *known == id).expect("one of the currencies");
    let max_balance = max.map(|max| Decimal::from_parts(max, scale).expect("few decimals"));
    let (name, symbol) = (id.to_owned(), String::new());
    let default_priorities = Priorities::new();
    CurrencySpec { id: id.to_owned(), name, symbol, scale, kind: CurrencyKind::Unit, max_balance, default_priorities }
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
    with_events(batch, now, |events| engine.submit(events, outcomes))
}

/// Hands the events over.
fn with_events<T>(batch: &[Usage], now: u64, take: impl FnOnce(&[UsageEvent<'_>]) -> T) -> T {
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
    take(&events)
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
    let told = |names: &BTreeSet<String>| names - &outcome.quiet;
    let mut edges: Vec<_> = told(&outcome.crossed).into_iter().map(|name| ("balance.low", name)).collect();
    edges.extend(told(&outcome.recovered).into_iter().map(|name| ("balance.recovered", name)));
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
        let push = |lines: &mut Vec<Line>, kind, amount: i128, delta: i128, told| {
            lines.push(Line {
                kind,
                grant: Some(id),
                delta,
                parts: vec![(id, amount)],
                debt: 0,
                event: None,
                told: Some(told),
                hold: None,
                held: 0,
            });
        };
        let (was_active, is_active) = (before.is_active(id), after.is_active(id));
        let (waited, waits) = (before.waits(id), after.waits(id));
        if waited && !waits {
            push(&mut lines, "GrantPaid", account.granted, 0, "grant.paid");
        }
        let is_remainder = after.child(id.wrapping_sub(1)) == Some(id);
        if is_new && is_remainder {
            lines.push(Line {
                grant: Some(id),
                parts: vec![(id - 1, account.granted), (id, account.granted)],
                ..plain("Rollover", Some("grant.rolled_over"))
            });
        } else if is_new && waits {
            push(&mut lines, "GrantPending", account.granted, 0, "grant.created");
        } else if is_new && is_active {
            push(&mut lines, "Grant", account.granted, account.granted, "grant.created");
        } else if is_new {
            push(&mut lines, "GrantScheduled", account.granted, 0, "grant.created");
        } else if is_active && !was_active {
            push(&mut lines, "Grant", account.granted, account.granted, "grant.activated");
        }
        for (_, paid) in after.repayments().iter().filter(|(payer, _)| *payer == id) {
            push(&mut lines, "DebtRepayment", *paid, 0, "debt.repaid");
        }
        let expired = account.expired - old.expired;
        if expired > 0 {
            push(&mut lines, "Expiry", expired, -expired, "grant.expired");
        }
        let voided = account.voided - old.voided;
        if voided > 0 {
            push(&mut lines, "Void", voided, if is_active { -voided } else { 0 }, "grant.voided");
        }
        let written_off = account.written_off - old.written_off;
        if written_off > 0 {
            push(&mut lines, "WriteOff", written_off, -written_off, "grant.voided");
        }
    }
    lines.extend(hold_movements(before, after));
    lines
}

/// What happened to each hold between two states of a wallet, but for captures.
fn hold_movements(before: &Model, after: &Model) -> Vec<Line> {
    let mut lines = Vec::new();
    for kept in after.holds() {
        let id = kept.hold.id;
        let of = |kind, told, held, parts: &[(u64, i128)]| Line {
            hold: Some(id),
            held,
            parts: parts.to_vec(),
            ..plain(kind, Some(told))
        };
        let Some(old) = before.hold(id) else {
            lines.push(of("Hold", "hold.created", kept.hold.amount, &kept.parts));
            continue;
        };
        if old.hold.expires_at != kept.hold.expires_at {
            lines.push(of("Settings", "hold.updated", 0, &[]));
        }
        let ended = match (old.fate, kept.fate) {
            (Fate::Open, Fate::Expired) => Some(("HoldExpiry", "hold.expired")),
            (Fate::Open, Fate::Released) => Some(("Release", "hold.released")),
            (Fate::Open, Fate::Captured) if kept.left > 0 => Some(("Release", "hold.released")),
            _ => None,
        };
        lines.extend(ended.map(|(kind, told)| of(kind, told, -kept.left, &kept.returned)));
    }
    lines
}

fn plain(kind: &'static str, told: Option<&'static str>) -> Line {
    Line { kind, grant: None, delta: 0, parts: Vec::new(), debt: 0, event: None, told, hold: None, held: 0 }
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
                    hold: None,
                    held: 0,
                });
            }
            Command::Capture { hold, .. } => {
                let (old, new) = (before.hold(*hold).expect("a hold"), after.hold(*hold).expect("a hold"));
                let paid: i128 = outcome.paid_by.iter().map(|(_, part)| part).sum();
                let is_late = old.fate == Fate::Expired;
                lines.push(Line {
                    delta: -outcome.taken,
                    parts: outcome.paid_by.clone(),
                    debt: outcome.taken - paid,
                    hold: Some(*hold),
                    held: if is_late { 0 } else { new.left - old.left },
                    ..plain(if is_late { "LateCapture" } else { "Capture" }, Some("hold.captured"))
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
            Command::Charge { .. } => lines.push(Line {
                delta: -outcome.taken,
                parts: outcome.paid_by.clone(),
                ..plain("Charge", Some("charge.created"))
            }),
            Command::Reverse(_) => {
                let returned: i128 = outcome.returned.iter().map(|(_, amount)| amount).sum();
                lines.push(Line {
                    delta: returned + outcome.debt_returned,
                    parts: outcome.returned.clone(),
                    debt: outcome.debt_returned,
                    ..plain("Reversal", Some("debit.reversed"))
                });
            }
            Command::SetAllowance(_)
            | Command::SetLevels(_)
            | Command::Inherit(..)
            | Command::ClearLevels
            | Command::Commit(_) => lines.push(plain("Settings", Some("wallet.updated"))),
            // A move that moves nothing leaves nothing to be seen.
            Command::MoveExpiry { grant, expires_at } if before.expires_at(*grant) == *expires_at => {}
            Command::MoveExpiry { grant, .. } => lines.push(Line {
                grant: Some(*grant),
                parts: vec![(*grant, after.remaining(*grant))],
                ..plain("Settings", Some("grant.updated"))
            }),
            Command::TransferOut { .. } | Command::TransferIn(_) => transfer_line(command, &outcome, &mut lines),
            Command::Grant(_)
            | Command::Void { .. }
            | Command::Wait
            | Command::Pay { .. }
            | Command::Hold(_)
            | Command::Release { .. }
            | Command::ExtendHold { .. } => {}
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
        let (crossed, usage, reversed) = (crossed(&outcome), event.cloned(), None);
        let (is_due, at) = (matches!(command, Command::Wait), now);
        let group = Group { lines, crossed, edges, after: after.clone(), step, is_due, identity, reversed, at, usage };
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
            Step::Pay(number) => self.pay(*number, engine),
            Step::MoveExpiry(number, lasts) => {
                let expires_at = lasts.map(|lasts| self.now + lasts);
                self.change_grant(*number, engine, |_, id| Command::MoveExpiry { grant: id, expires_at })
            }
            Step::Patch { wallet, status, allowance } => self.patch(*wallet, *status, *allowance, engine),
            Step::Alerts(wallet, levels) => self.alerts(*wallet, levels, engine),
            Step::Correct(correction, key) => self.correct(correction, *key, engine),
            Step::Hold(spec) => self.hold(spec.clone(), engine).map(Some),
            Step::HoldAgain(number) => match self.hold_requests.len() {
                0 => Ok(None),
                count => self.hold(self.hold_requests[count - 1 - number % count].clone(), engine).map(Some),
            },
            Step::Capture { hold, units, is_final } => self.capture(*hold, *units, *is_final, engine),
            Step::Release(number) => self.release(*number, engine),
            Step::Extend(number, lasts) => self.extend(*number, *lasts, engine),
            Step::Transfer { from, further, units, key } => self.transfer(*from, *further, *units, *key, engine),
            Step::Group(batch) => self.group(batch, engine),
            Step::ClearAlerts(wallet) => self.clear_alerts(*wallet, engine),
            Step::Commit(wallet, commitments) => self.commit(*wallet, commitments, engine),
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

    fn debit(&mut self, usage: &Usage, amount: i128, policy: model::Policy) -> Answer {
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
    fn group(&mut self, batch: &[Usage], engine: &Engine) -> Result<Option<Ticket>, Unavailable> {
        self.sent.extend(batch.iter().cloned());
        let mut outcomes = Vec::new();
        let result = with_events(batch, self.now, |events| engine.submit_group(events, &mut outcomes));
        let expected = self.decide_group(batch);
        let answers: Vec<_> = outcomes.iter().map(answer).collect();
        match (result, expected) {
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

    /// Moves credits, and compares what both wallets are told of it.
    fn transfer(
        &mut self,
        from: WalletNumber,
        further: usize,
        units: i64,
        key: Option<u8>,
        engine: &Engine,
    ) -> Result<Option<Ticket>, Unavailable> {
        let owner = CUSTOMERS.iter().position(|customer| *customer == from.customer()).expect("a customer");
        let customer = CUSTOMERS[(owner + further) % CUSTOMERS.len()];
        let to = WalletNumber::of(customer, from.currency()).expect("a wallet's number");
        let key = key.map(|key| format!("trf-{key}"));
        let request = TransferRequest {
            from: from.customer().to_owned(),
            to: customer.to_owned(),
            currency: Some(from.currency().to_owned()),
            amount: from.decimal(units),
            reason: Some("a reason".to_owned()),
            key: key.clone(),
            metadata: Metadata::new(),
        };
        let result = match engine.transfer(&request) {
            Err(CommandError::Unavailable(error)) => return Err(error),
            result => result,
        };
        if from == to || units <= 0 {
            let field = if from == to { "to" } else { "amount" };
            assert!(matches!(result, Err(CommandError::Invalid { field: of, .. }) if of == field), "{result:?}");
            return Ok(None);
        }
        if let Some(earlier) = key.as_ref().and_then(|key| self.transfers.get(key)) {
            if (earlier.from, earlier.to, earlier.units) == (from, to, units) {
                let (view, replayed, ticket) = result.expect("the first answer again");
                assert!(replayed);
                assert_eq!(view, earlier.view);
                return Ok(Some(ticket));
            }
            let conflict = result.expect_err("the key was used before with other content");
            assert!(matches!(conflict, CommandError::Conflict { slug: "idempotency_conflict", .. }), "{conflict:?}");
            return Ok(None);
        }
        if let Err(CommandError::Retired { .. }) = result {
            // What one of the grants is declared as is in a part of the log that is gone, with the snapshot that had it.
            panic!("grants that a wallet holds are known: {result:?}");
        }
        if !self.exists(from) {
            assert_eq!(result.err(), Some(CommandError::Rejected(Rejection::UnknownWallet)));
            return Ok(None);
        }
        let (now, step) = (self.now, self.step);
        let amount = i128::from(units);
        let (mut giver, mut taker) = (self.book(from).model(), self.book(to).model());
        let out = giver.apply(&Command::TransferOut { amount }, now);
        if out.refused.is_some() {
            compare_command(result.as_ref().err(), &out);
            return Ok(None);
        }
        let max_balance = CURRENCIES[from.currency_index()].2.map(i128::from);
        let made = result.as_ref().ok().map(|(view, ..)| view);
        let grants: Vec<_> = (0..)
            .zip(&out.moved)
            .map(|(place, (grant, part, cost))| {
                let placeholder = (u64::MAX >> 1) + 2 * place as u64;
                let id = made.map_or(placeholder, |view| view.moved[place].to.get());
                let terms = giver.terms_of(*grant);
                let (amount, cost) = (*part, terms.cost.map(|_| *cost));
                model::Grant { id, amount, cost, max_balance, payment: None, ..terms.clone() }
            })
            .collect();
        let arrives = Command::TransferIn(grants);
        let into = taker.apply(&arrives, now);
        compare_command(result.as_ref().err(), &into);
        let Ok((view, replayed, ticket)) = result else { return Ok(None) };
        assert!(!replayed);
        let book = self.book(from);
        book.enter(&Command::TransferOut { amount }, now, step, None);
        let left = (book.groups.len() - 1, book.model());
        let book = self.book(to);
        book.enter(&arrives, now, step, None);
        book.exists = true;
        let arrived = (book.groups.len() - 1, book.model());
        self.together.push(vec![(from, left.0), (to, arrived.0)]);
        assert_eq!((smallest_of(view.amount), &view.from.customer[..]), (amount, from.customer()));
        for (side, model) in [(&view.from, &left.1), (&view.to, &arrived.1)] {
            let standing = (smallest_of(side.balance), smallest_of(side.available));
            assert_eq!(standing, (model.balance(), model.available()));
        }
        let moved: Vec<_> =
            view.moved.iter().map(|moved| (moved.from.get(), smallest_of(moved.amount), moved.cost)).collect();
        let cost = |grant: u64, cost: i128| giver.terms_of(grant).cost.map(|_| i64::try_from(cost).expect("a cost"));
        let expected: Vec<_> =
            out.moved.iter().map(|(grant, part, basis)| (*grant, *part, cost(*grant, *basis))).collect();
        assert_eq!(moved, expected);
        self.enter_arrivals(&view, &giver, to, engine);
        let made = Transferred { from, to, units, view, group: left.0, at: (now, step) };
        self.transfers.extend(key.map(|key| (key, made.clone())));
        self.moves.push(made);
        Ok(Some(ticket))
    }

    /// Notes the grants that a transfer made of parts of those that are known.
    fn enter_arrivals(&mut self, view: &TransferView, giver: &Model, to: WalletNumber, engine: &Engine) {
        for moved in &view.moved {
            let Some(origin) = self.made.iter().find(|made| made.id == moved.from.get()) else { continue };
            let (cost_basis, grant) = (origin.request.cost_basis.clone(), giver.terms_of(moved.from.get()));
            let request = GrantRequest {
                customer: to.customer().to_owned(),
                amount: to.decimal(moved.amount.units()),
                priority: Some(grant.priority),
                effective_at: Some(at(grant.effective_at)),
                expires_at: grant.expires_at.map(at),
                cost_basis: cost_basis.map(|basis| CostBasis { amount: moved.cost.expect("a cost"), ..basis }),
                key: None,
                options: GrantOptions { pending: false, valid_for_ms: None, ..origin.request.options.clone() },
                ..origin.request.clone()
            };
            self.made.push(Made {
                id: moved.to.get(),
                text: engine.grant_text(moved.to),
                wallet: to,
                request,
                created_at: self.now,
                parent: Some(moved.from),
            });
        }
    }

    /// Notes that the last group of a wallet is a debit.
    fn enter_debit(
        &mut self,
        wallet: WalletNumber,
        entry: Option<Lsn>,
        identity: Option<(usize, u32)>,
        outcome: &Outcome,
    ) {
        let paid: i128 = outcome.paid_by.iter().map(|(_, part)| part).sum();
        let (group, paid_by, debt) = (self.groups(wallet).len() - 1, outcome.paid_by.clone(), outcome.taken - paid);
        self.debits.push(Debited { wallet, entry, identity, group, paid_by, debt });
    }

    /// What has been taken back of a debit.
    fn reversed(&self, debit: &Debited) -> i128 {
        let reversed = self.groups(debit.wallet).iter().filter_map(|group| group.reversed);
        reversed.filter(|(entry, _)| Some(*entry) == debit.entry).map(|(_, amount)| amount).sum()
    }

    fn correct(
        &mut self,
        correction: &Correction,
        key: Option<u8>,
        engine: &Engine,
    ) -> Result<Option<Ticket>, Unavailable> {
        let key = key.map(|key| format!("key-{key}"));
        let debit = match correction {
            Correction::Reverse { debit, .. } => {
                // The last ones first, as with grants.
                let known = self.debits.iter().rev().filter(|debit| debit.entry.is_some());
                let known: Vec<_> = known.take(12).collect();
                let Some(debit) = known.get(debit % known.len().max(1)) else { return Ok(None) };
                let debit = (*debit).clone();
                let model = self.wallets[&debit.wallet].model();
                let mut grants = debit.paid_by.iter().map(|(id, _)| *id).chain(model.payers());
                let first = engine.first_lsn();
                if debit.entry.is_none_or(|entry| entry < first) || grants.any(|id| Lsn::new(id) < first) {
                    // What is left to know of them is no more than the engine is bound to.
                    return Ok(None);
                }
                Some(debit)
            }
            _ => None,
        };
        let result = ask(correction, key.clone(), debit.as_ref(), engine);
        if let Err(CommandError::Unavailable(error)) = result {
            return Err(error);
        }
        if let (Correction::Reverse { .. }, Err(CommandError::Retired { first })) = (correction, &result) {
            assert!(*first > Lsn::ZERO && *first == engine.first_lsn());
            return Ok(None);
        }
        let asked = (correction.clone(), debit.as_ref().and_then(|debit| debit.entry));
        let is_zero = matches!(correction, Correction::Adjust { units: 0, .. });
        let is_not_positive = match correction {
            Correction::Charge { units, .. } | Correction::Reverse { units: Some(units), .. } => *units <= 0,
            _ => is_zero,
        };
        if is_not_positive {
            assert!(matches!(result, Err(CommandError::Invalid { field: "amount", .. })), "{result:?}");
            return Ok(None);
        }
        if let Some(earlier) = key.as_ref().and_then(|key| self.corrections.get(key)) {
            if is_alike(&earlier.asked, &asked) {
                let (corrected, replayed, ticket) = result.expect("the first answer again");
                assert!(replayed);
                assert_eq!(corrected.entry(), earlier.entry);
                self.compare_corrected(earlier.wallet, earlier.group, &corrected);
                return Ok(Some(ticket));
            }
            let conflict = result.expect_err("the key was used before with other content");
            assert!(matches!(conflict, CommandError::Conflict { slug: "idempotency_conflict", .. }), "{conflict:?}");
            return Ok(None);
        }
        let made = result.as_ref().ok().map(|(corrected, ..)| corrected);
        let Some((wallet, command)) = self.command(correction, debit.as_ref(), made, result.as_ref().err()) else {
            return Ok(None);
        };
        let (now, step) = (self.now, self.step);
        let book = self.book(wallet);
        let expected = book.enter(&command, now, step, None);
        compare_command(result.as_ref().err(), &expected);
        let Ok((corrected, replayed, ticket)) = result else { return Ok(None) };
        assert!(!replayed);
        book.exists = true;
        let group = book.groups.last_mut().expect("the correction's");
        if let Correction::Adjust { .. } = correction {
            for line in group.lines.iter_mut().filter(|line| match (&command, line.grant) {
                (Command::Grant(grant), Some(id)) => grant.id == id && line.kind == "Grant",
                _ => line.kind == "Debit",
            }) {
                (line.kind, line.told) = ("Adjustment", Some("adjustment.created"));
            }
            group.lines.sort();
        }
        if let (Command::Reverse(reverse), Corrected::Reversed(view)) = (&command, &corrected) {
            group.reversed = Some((view.debit, reverse.amount));
            assert_eq!(units(view.forfeited), expected.forfeited, "{view:?}");
            assert_eq!(units(view.reversed), reverse.before + reverse.amount);
        }
        let entry = corrected.entry();
        if matches!(command, Command::Debit { .. } | Command::Charge { .. }) {
            self.enter_debit(wallet, Some(entry), None, &expected);
        }
        let group = self.groups(wallet).len() - 1;
        self.compare_corrected(wallet, group, &corrected);
        if let Some(key) = key {
            self.corrections.insert(key, Keyed { asked, wallet, group, entry, at: (now, step) });
        }
        Ok(Some(ticket))
    }

    /// What a correction is to the model; `None` if it is refused before the model is asked.
    fn command(
        &self,
        correction: &Correction,
        debit: Option<&Debited>,
        made: Option<&Corrected>,
        error: Option<&CommandError>,
    ) -> Option<(WalletNumber, Command)> {
        let unknown = |wallet: WalletNumber| {
            let missing = !self.exists(wallet);
            if missing {
                assert_eq!(error, Some(&CommandError::Rejected(Rejection::UnknownWallet)));
            }
            missing
        };
        Some(match correction {
            Correction::Adjust { wallet, units, .. } if *units > 0 => {
                let id = match made {
                    Some(Corrected::Adjusted(view)) => view.grant.expect("a grant was made").get(),
                    _ => u64::MAX >> 1,
                };
                let max_balance = CURRENCIES[wallet.currency_index()].2.map(i128::from);
                (*wallet, Command::Grant(adjusted(id, (*units).into(), self.now, max_balance)))
            }
            Correction::Adjust { wallet, .. } | Correction::Charge { wallet, .. } if unknown(*wallet) => return None,
            Correction::Adjust { wallet, units, policy } => {
                (*wallet, Command::Debit { amount: -i128::from(*units), policy: *policy })
            }
            Correction::Charge { wallet, units } => (*wallet, Command::Charge { amount: (*units).into() }),
            Correction::Reverse { units, regrant, .. } => {
                let debit = debit.expect("of a debit");
                let taken = debit.debt + debit.paid_by.iter().map(|(_, part)| part).sum::<i128>();
                let before = self.reversed(debit);
                let amount = units.map_or(taken - before, i128::from);
                if amount == 0 || before + amount > taken {
                    assert!(
                        matches!(error, Some(CommandError::Conflict { slug: "already_reversed", .. })),
                        "{error:?}"
                    );
                    return None;
                }
                let regrant = regrant.then(|| match made {
                    Some(Corrected::Reversed(view)) => view.regrant.map_or(u64::MAX >> 1, GrantId::get),
                    _ => u64::MAX >> 1,
                });
                let (paid_by, debt) = (debit.paid_by.clone(), debit.debt);
                (debit.wallet, Command::Reverse(model::Reverse { paid_by, debt, before, amount, regrant }))
            }
        })
    }

    /// Compares a correction's answer with its group.
    fn compare_corrected(&self, wallet: WalletNumber, group: usize, corrected: &Corrected) {
        let group = &self.groups(wallet)[group];
        let line = |kind| group.lines.iter().find(|line| line.kind == kind).expect("the correction's line");
        let (balance, available) = (group.after.balance(), group.after.available());
        match corrected {
            Corrected::Adjusted(view) => {
                assert_eq!(units(view.amount), line("Adjustment").delta);
                assert_eq!((units(view.balance), units(view.available)), (balance, available));
            }
            Corrected::Charged(view) => {
                assert_eq!(units(view.from_wallet), -line("Charge").delta);
                assert_eq!(units(view.to_pay), units(view.amount) - units(view.from_wallet));
                assert_eq!((units(view.balance), units(view.available)), (balance, available));
            }
            Corrected::Reversed(view) => {
                let line = line("Reversal");
                let mut parts: BTreeMap<u64, i128> = BTreeMap::new();
                line.parts.iter().for_each(|(id, part)| *parts.entry(*id).or_default() += part);
                let returned = view.returned.iter().map(|(id, part)| (id.get(), units(*part))).collect();
                assert_eq!(parts, returned);
                assert_eq!(units(view.debt), line.debt);
                assert_eq!(units(view.amount), line.delta + units(view.forfeited));
                assert_eq!((units(view.balance), units(view.available)), (balance, available));
            }
        }
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

    fn pay(&mut self, number: usize, engine: &Engine) -> Result<Option<Ticket>, Unavailable> {
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
            watches: watches(level.watches),
            percent: level.percent.map(percent),
            min_interval_ms: level.interval,
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

    fn hold(&mut self, spec: HoldSpec, engine: &Engine) -> Result<Ticket, Unavailable> {
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

    fn capture(
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

    fn release(&mut self, number: usize, engine: &Engine) -> Result<Option<Ticket>, Unavailable> {
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

    fn extend(&mut self, number: usize, lasts: u64, engine: &Engine) -> Result<Option<Ticket>, Unavailable> {
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

    fn compare_holds(&self, engine: &Engine) {
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

    fn clear_alerts(&mut self, wallet: WalletNumber, engine: &Engine) -> Result<Option<Ticket>, Unavailable> {
        let result = engine.clear_alerts(wallet.customer(), wallet.currency());
        if !self.exists(wallet) {
            assert_eq!(result.map(|_| ()), Err(CommandError::NotFound { what: "wallet" }));
            return Ok(None);
        }
        if let Err(CommandError::Unavailable(error)) = result {
            return Err(error);
        }
        let (now, step) = (self.now, self.step);
        let book = self.book(wallet);
        // Without levels of its own there is nothing to be done, and nothing is: not even to a closed wallet.
        if book.model().has_own_levels() {
            let expected = book.enter(&Command::ClearLevels, now, step, None);
            compare_command(result.as_ref().err(), &expected);
        }
        Ok(result.ok().map(|(_, ticket)| ticket))
    }

    fn commit(
        &mut self,
        wallet: WalletNumber,
        commitments: &[(i64, Option<u64>)],
        engine: &Engine,
    ) -> Result<Option<Ticket>, Unavailable> {
        let due = |lasts: Option<u64>| lasts.map(|lasts| self.now + lasts);
        let item = |(units, lasts): &(i64, Option<u64>)| CommitmentSpec {
            name: "rent".to_owned(),
            amount: wallet.decimal(*units),
            due_at: due(*lasts).map(at),
        };
        let spec = CommitmentsSpec { items: commitments.iter().map(item).collect(), period: None };
        let command =
            Command::Commit(commitments.iter().map(|(units, lasts)| ((*units).into(), due(*lasts))).collect());
        let result = engine.set_commitments(wallet.customer(), wallet.currency(), &spec);
        if !self.exists(wallet) {
            assert_eq!(result.map(|_| ()), Err(CommandError::NotFound { what: "wallet" }));
            return Ok(None);
        }
        if let Err(CommandError::Unavailable(error)) = result {
            return Err(error);
        }
        let (now, step) = (self.now, self.step);
        let expected = self.book(wallet).enter(&command, now, step, None);
        compare_command(result.as_ref().err(), &expected);
        if let Ok((view, _)) = &result {
            assert_eq!(view.items.len(), commitments.len());
            assert_eq!(units(view.committed), self.present(wallet).committed());
        }
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
            self.compare_remainder(made, engine);
        }
        self.compare_holds(engine);
        self.compare_totals(engine);
        self.compare_lists(engine);
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
        for made in &self.moves {
            let (from, to) = (&made.view.from, &made.view.to);
            let sides = [(made.from, from, to), (made.to, to, from)];
            for (_, here, there) in sides.into_iter().filter(|(of, ..)| *of == wallet) {
                compare_side(made, here, there, &entries);
            }
            let shown = engine.transfer_view(&engine.transfer_text(from.entry));
            assert_eq!(shown.as_ref(), Ok(&made.view));
        }
    }

    /// As [`Books::audit`], for an engine whose log has lost its beginning: what does not lie in the past.
    pub(crate) fn audit_present(&self, engine: &Engine) {
        for wallet in WalletNumber::all() {
            self.compare_wallet(wallet, engine);
        }
        for made in &self.made {
            self.compare_grant(made, engine);
            self.compare_remainder(made, engine);
        }
        self.compare_holds(engine);
        self.compare_totals(engine);
        self.compare_lists(engine);
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
    fn compare_remainder(&self, made: &Made, engine: &Engine) {
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
    fn compare_lists(&self, engine: &Engine) {
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

    fn compare_totals(&self, engine: &Engine) {
        let totals = engine.balances(None, None);
        for (index, (id, ..)) in CURRENCIES.iter().enumerate() {
            let of_currency =
                WalletNumber::all().filter(|wallet| wallet.currency_index() == index && self.exists(*wallet));
            let models: Vec<_> = of_currency.map(|wallet| self.present(wallet)).collect();
            let total = totals.iter().find(|total| total.currency.id == *id);
            assert_eq!(total.map_or(0, |total| total.wallets), models.len() as u64);
            assert_eq!(total.map_or(0, |total| total.balance), models.iter().map(Model::balance).sum::<i128>());
            assert_eq!(total.map_or(0, |total| total.held), models.iter().map(Model::held).sum::<i128>());
            assert_eq!(total.map_or(0, |total| total.available), models.iter().map(Model::available).sum::<i128>());
            assert_eq!(total.map_or(0, |total| total.projected), models.iter().map(Model::projected).sum::<i128>());
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
        let mut there_of = BTreeMap::new();
        let (mut last_there, mut first_missing) = (0, usize::MAX);
        for wallet in WalletNumber::all() {
            let exists = engine.wallet(wallet.customer(), wallet.currency()).is_ok();
            let entries = if exists { history(engine, wallet, 100) } else { Vec::new() };
            let groups = self.groups(wallet);
            let there = compare_groups(groups, &entries);
            let there = if exists { self.without_what_was_lost(wallet, there, acknowledged, engine) } else { there };
            let steps = |groups: &[Group]| -> Vec<usize> {
                groups.iter().filter(|group| !group.lines.is_empty()).map(|group| group.step).collect()
            };
            last_there = last_there.max(steps(&groups[..there]).into_iter().max().unwrap_or(0));
            first_missing = first_missing.min(steps(&groups[there..]).into_iter().min().unwrap_or(usize::MAX));
            let missing: Vec<_> = groups[there..].iter().filter_map(|group| group.identity).collect();
            left.events.retain(|identity, _| !missing.contains(identity));
            left.together.retain(|together| together.iter().all(|(of, group)| *of != wallet || *group < there));
            there_of.insert(wallet, there);
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
        for together in &self.together {
            let there: BTreeSet<_> = together.iter().map(|(wallet, group)| *group < there_of[wallet]).collect();
            assert_eq!(there.len(), 1, "a part of what took place together is there: {together:?}");
        }
        left.made.retain(|made| {
            left.wallets[&made.wallet].model.as_ref().is_some_and(|model| model.accounts().any(|(id, _)| id == made.id))
        });
        for made in self.made.iter().filter(|made| left.made.iter().all(|there| there.id != made.id)) {
            let view = engine.grant_view(&made.text).map(|_| ());
            assert_eq!(view, Err(CommandError::NotFound { what: "grant" }), "a grant that took no effect is none");
        }
        left.holds.retain(|made| {
            left.wallets[&made.spec.wallet].model.as_ref().is_some_and(|model| model.hold(made.id).is_some())
        });
        for made in self.holds.iter().filter(|made| left.holds.iter().all(|there| there.id != made.id)) {
            let view = engine.hold_view(&made.text);
            let is_other =
                view.as_ref().is_ok_and(|view| left.holds.iter().any(|there| there.id == view.state.id.get()));
            let is_missing = matches!(view, Err(CommandError::NotFound { what: "hold" }));
            assert!(is_other || is_missing, "a hold that took no effect is none: {view:?}");
        }
        let hold_there = |at: usize| {
            let id = self.holds[at].id;
            left.holds.iter().position(|made| made.id == id)
        };
        left.hold_ids =
            self.hold_ids.iter().filter_map(|(key, (at, moment))| Some((*key, (hold_there(*at)?, *moment)))).collect();
        let there = |(at, _): (usize, Moment)| {
            let id = self.made[at].id;
            left.made.iter().position(|made| made.id == id)
        };
        left.debits.retain(|debit| debit.group < left.wallets[&debit.wallet].groups.len());
        left.corrections.retain(|_, keyed| keyed.group < left.wallets[&keyed.wallet].groups.len());
        left.transfers.retain(|_, made| made.group < left.wallets[&made.from].groups.len());
        left.moves.retain(|made| made.group < left.wallets[&made.from].groups.len());
        left.keys = self
            .keys
            .iter()
            .filter_map(|(key, (at, moment))| Some((key.clone(), (there((*at, *moment))?, *moment))))
            .collect();
        left
    }

    /// Of the groups that a history ends with as far as it tells, those that leave nothing to be seen may have been lost all the same, unless they
    /// were acknowledged: what the wallet shows tells how many are there.
    fn without_what_was_lost(&self, wallet: WalletNumber, told: usize, acknowledged: usize, engine: &Engine) -> usize {
        let groups = &self.groups(wallet)[..told];
        let is_certain = |group: &Group| !group.lines.is_empty() || !group.is_due && group.step <= acknowledged;
        let certain = groups.iter().rposition(is_certain).map_or(0, |last| last + 1);
        let Ok(view) = engine.wallet(wallet.customer(), wallet.currency()) else { return told };
        let is_shown = |count: &usize| {
            let mut model = count.checked_sub(1).map_or_else(Model::new, |last| groups[last].after.clone());
            model.apply(&Command::Wait, self.now);
            let is_known = |made: &&Made| made.wallet == wallet && model.accounts().any(|(id, _)| id == made.id);
            let mut grants = self.made.iter().filter(is_known);
            Shown::by_model(&model) == Shown::by_view(&view)
                && grants.all(|made| {
                    let is_other = |state| state != state_of(&model, made.id, self.now);
                    !matches!(engine.grant_view(&made.text), Ok(view) if is_other(view.state))
                })
        };
        (certain..=told).rev().find(is_shown).unwrap_or(told)
    }

    /// Enters that the engine was opened again. It then knows the minute of everything that it remembers, and forgets what is older than
    /// the window at once.
    pub(crate) fn reopened(&mut self) {
        let moments = self.events.values().map(|applied| applied.at).chain(self.keys.values().map(|(_, at)| *at));
        let moments = moments.chain(self.corrections.values().map(|keyed| keyed.at));
        let moments = moments.chain(self.transfers.values().map(|made| made.at));
        let mut moments: Vec<_> = moments.chain(self.hold_ids.values().map(|(_, at)| *at)).collect();
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
        self.corrections.retain(|_, keyed| keyed.at.1 > horizon);
        self.transfers.retain(|_, made| made.at.1 > horizon);
        self.hold_ids.retain(|_, (_, at)| at.1 > horizon);
    }

    /// Sends every event again, each by itself: what there is of them is a duplicate, the others apply.
    pub(crate) fn send_all_again(&mut self, engine: &Engine) {
        for usage in std::mem::take(&mut self.sent) {
            self.step += 1;
            // Nobody prepares segments beside this thread.
            while engine.log().pump() != (Pumped { synced: false, prepared: false }) {}
            self.batch(&[usage], engine).expect("a healthy engine").wait().expect("a healthy log");
        }
    }

    /// Sends every event again, one by one: what was applied is a duplicate with its first outcome.
    pub(crate) fn resend(&mut self, engine: &Engine) {
        self.resend_until_taken(engine, |error| panic!("{error}"));
    }

    /// The same, where an event that is refused is sent again after `refused` was told.
    pub(crate) fn resend_until_taken(&mut self, engine: &Engine, mut refused: impl FnMut(Unavailable)) {
        let applied: Vec<_> = self.sent.clone();
        for usage in applied {
            let known = self.events.get(&(usage.source, usage.id)).cloned();
            let Some(known) = known.filter(|known| known.wallet == usage.wallet && known.ask == usage.ask) else {
                continue;
            };
            let usage = Usage { time: When::Unsaid, ..usage };
            let mut outcomes = Vec::new();
            let ticket = loop {
                match submit(engine, std::slice::from_ref(&usage), self.now, &mut outcomes) {
                    Ok(ticket) => break ticket,
                    Err(error) => refused(error),
                }
            };
            ticket.wait().expect("durable");
            assert_eq!(answer(&outcomes[0]), Answer { status: "duplicate", ..known.answer }, "{usage:?}");
            assert_eq!(outcomes[0].entry, known.entry);
        }
    }
}

/// A decimal in a wallet's smallest units.
fn smallest(decimal: Decimal, wallet: WalletNumber) -> i128 {
    i128::from(decimal.mantissa()) * 10_i128.pow(u32::from(wallet.scale()) - u32::from(decimal.scale()))
}

/// The grant that an adjustment makes, or a reversal of what nobody takes.
fn adjusted(id: u64, amount: i128, now: u64, max_balance: Option<i128>) -> model::Grant {
    let (priority, promotional) = (Source::Adjustment.default_priority(), true);
    model::Grant {
        id,
        amount,
        priority,
        promotional,
        effective_at: now,
        expires_at: None,
        cost: None,
        max_balance,
        rollover: None,
        payment: None,
    }
}

/// Whether two corrections ask for the same; of debits, which are counted from the last one, their entries tell.
fn is_alike(earlier: &(Correction, Option<Lsn>), later: &(Correction, Option<Lsn>)) -> bool {
    let plain = |correction: &Correction| match correction {
        // Giving knows no policy.
        Correction::Adjust { wallet, units, .. } if *units > 0 => {
            Correction::Adjust { wallet: *wallet, units: *units, policy: model::Policy::Reject }
        }
        Correction::Reverse { units, regrant, .. } => {
            Correction::Reverse { debit: 0, units: *units, regrant: *regrant }
        }
        other => other.clone(),
    };
    (plain(&earlier.0), earlier.1) == (plain(&later.0), later.1)
}

/// Sends a correction.
fn ask(
    correction: &Correction,
    key: Option<String>,
    debit: Option<&Debited>,
    engine: &Engine,
) -> Result<(Corrected, bool, Ticket), CommandError> {
    let of = |wallet: WalletNumber| (wallet.customer().to_owned(), Some(wallet.currency().to_owned()));
    match correction {
        Correction::Adjust { wallet, units, policy: asked } => {
            let ((customer, currency), amount) = (of(*wallet), wallet.decimal(*units));
            let (policy, reason, metadata) = (policy(*asked), "a reason".to_owned(), Metadata::new());
            let request = AdjustmentRequest { customer, currency, amount, policy, reason, key, metadata };
            engine.adjust(&request).map(|(view, replayed, ticket)| (Corrected::Adjusted(view), replayed, ticket))
        }
        Correction::Charge { wallet, units } => {
            let ((customer, currency), amount) = (of(*wallet), wallet.decimal(*units));
            let request = ChargeRequest { customer, currency, amount, invoice: Some("inv-1".to_owned()), key };
            engine.charge(&request).map(|(view, replayed, ticket)| (Corrected::Charged(view), replayed, ticket))
        }
        Correction::Reverse { units, regrant, .. } => {
            let debit = debit.expect("of a debit");
            let request = ReversalRequest {
                entry: debit.entry.expect("an entry"),
                amount: units.map(|units| debit.wallet.decimal(units)),
                expired: if *regrant { Expired::Regrant } else { Expired::Lose },
                reason: None,
                key,
            };
            engine.reverse(&request).map(|(view, replayed, ticket)| (Corrected::Reversed(view), replayed, ticket))
        }
    }
}

/// Enters the line of one side of a transfer.
fn transfer_line(command: &Command, outcome: &Outcome, lines: &mut Vec<Line>) {
    let (kind, told, sign, parts): (_, _, _, Vec<_>) = match command {
        Command::TransferIn(grants) => {
            lines.retain(|line| line.kind != "Grant" || grants.iter().all(|grant| Some(grant.id) != line.grant));
            ("TransferIn", "transfer.received", 1, grants.iter().map(|grant| (grant.id, grant.amount)).collect())
        }
        _ => ("TransferOut", "transfer.sent", -1, outcome.moved.iter().map(|(id, part, _)| (*id, *part)).collect()),
    };
    let delta = sign * parts.iter().map(|(_, part)| part).sum::<i128>();
    lines.push(Line { delta, parts, ..plain(kind, Some(told)) });
}

/// Both wallets' entries name the transfer, and each other.
fn compare_side(made: &Transferred, here: &TransferSide, there: &TransferSide, entries: &[Entry]) {
    let entry = entries.iter().find(|entry| {
        entry.entry == here.entry && matches!(entry.kind, EntryKind::TransferOut | EntryKind::TransferIn)
    });
    let correction = entry.and_then(|entry| entry.correction.clone()).expect("an entry of the transfer");
    let named = correction.transfer.expect("it names the other side");
    assert_eq!(
        (named.transfer, named.entry, named.customer.as_str()),
        (made.view.from.entry, there.entry, there.customer.as_str())
    );
    assert_eq!(correction.reason.as_deref(), Some("a reason"));
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

#[track_caller]
fn compare_command(error: Option<&CommandError>, expected: &Outcome) {
    let slug = match error {
        None => None,
        Some(CommandError::Rejected(rejection)) => Some(rejection.slug()),
        Some(error) => panic!("{error:?} where {expected:?} was to be expected"),
    };
    assert_eq!(slug, expected.refused.as_ref().map(|refusal| refusal.reason));
}

/// The state that a grant must be shown in.
fn state_of(model: &Model, grant: u64, now: u64) -> GrantState {
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

/// Everything that a wallet shows of itself.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    balance: i128,
    available: i128,
    held: (i128, usize),
    floor: i128,
    status: Status,
    /// Left, held, granted, and whether it is active.
    grants: BTreeMap<u64, (i128, i128, i128, bool)>,
    pending: (u64, i128),
    fired: BTreeSet<String>,
    muted: BTreeSet<String>,
    levels: BTreeMap<String, i128>,
    committed: i128,
    projected: i128,
}

impl Shown {
    fn by_model(model: &Model) -> Shown {
        let left = || model.accounts().filter(|(_, account)| account.left() > 0);
        let pending: Vec<_> = left().filter(|(id, _)| model.waits(*id)).map(|(_, account)| account.remaining).collect();
        let grants = left().filter(|(id, _)| !model.waits(*id));
        Shown {
            balance: model.balance(),
            available: model.available(),
            held: (model.held(), model.open().count()),
            floor: model.balance() - model.held() - model.available(),
            status: status(model.status()),
            grants: grants
                .map(|(id, account)| (id, (account.left(), account.held, account.granted, model.is_active(id))))
                .collect(),
            pending: (pending.len() as u64, pending.iter().sum()),
            fired: model.fired(),
            muted: model.silent(),
            levels: model.amounts(),
            committed: model.committed(),
            projected: model.projected(),
        }
    }

    fn by_view(view: &WalletView) -> Shown {
        let named = |wanted: &dyn Fn(&AlertView) -> bool| {
            view.alerts.iter().filter(|alert| wanted(alert)).map(|alert| alert.name.clone()).collect()
        };
        let grant =
            |lot: &LotView| (lot.id.get(), (units(lot.remaining), units(lot.held), units(lot.amount), !lot.scheduled));
        Shown {
            balance: units(view.balance),
            available: units(view.available),
            held: (units(view.held), view.holds),
            floor: units(view.floor),
            status: view.status,
            grants: view.grants.iter().map(grant).collect(),
            pending: (view.pending_count, view.pending_amount),
            fired: named(&|alert| alert.triggered),
            muted: named(&|alert| alert.muted),
            levels: view.alerts.iter().map(|alert| (alert.name.clone(), units(alert.amount))).collect(),
            committed: units(view.committed),
            projected: units(view.projected),
        }
    }
}

pub(crate) fn compare_view(model: &Model, view: &WalletView) {
    assert_eq!(Shown::by_view(view), Shown::by_model(model));
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
        EntryKind::Reversal => "Reversal",
        EntryKind::Adjustment => "Adjustment",
        EntryKind::Charge => "Charge",
        EntryKind::Hold => "Hold",
        EntryKind::Capture => "Capture",
        EntryKind::Release => "Release",
        EntryKind::HoldExpiry => "HoldExpiry",
        EntryKind::LateCapture => "LateCapture",
        EntryKind::GrantPending => "GrantPending",
        EntryKind::GrantPaid => "GrantPaid",
        EntryKind::Rollover => "Rollover",
        EntryKind::TransferOut => "TransferOut",
        EntryKind::TransferIn => "TransferIn",
        EntryKind::Freeze => "Freeze",
        EntryKind::Thaw => "Thaw",
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
        // What leaves nothing to be seen has no entry that could say what it crossed: an alert that was held back, and is told now.
        assert_eq!(crossed, if group.lines.is_empty() { &[] } else { &group.crossed[..] }, "{group:?}");
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
        hold: entry.hold.map(HoldId::get),
        held: units(entry.held),
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
        if let (Some(grant), "adjustment.created") = (line.grant, told) {
            // Credits that were given are a grant as well.
            expected.push(("grant.created", engine.grant_text(GrantId::new(grant)), show(line.parts[0].1)));
        }
        let returned: i128 = line.parts.iter().map(|(_, part)| part).sum();
        let of_part = match told {
            "transfer.sent" => Some("grant.transferred"),
            "transfer.received" => Some("grant.created"),
            _ => None,
        };
        if let Some(kind) = of_part {
            let grants = line.parts.iter().map(|(grant, part)| (engine.grant_text(GrantId::new(*grant)), show(*part)));
            expected.extend(grants.map(|(grant, part)| (kind, grant, part)));
        }
        expected.push(match (told, line.grant) {
            ("debit.reversed", _) => (told, show(line.debt), show(returned)),
            ("charge.created" | "transfer.sent", _) => (told, String::new(), show(-line.delta)),
            ("adjustment.created", None) | ("transfer.received", _) => (told, String::new(), show(line.delta)),
            ("debit.applied", _) => (told, line.event.clone().unwrap_or_default(), show(-line.delta)),
            ("hold.captured", _) => (told, hold_text(line, engine), show(-line.delta)),
            ("hold.updated", _) => (told, hold_text(line, engine), String::new()),
            _ if line.hold.is_some() => (told, hold_text(line, engine), show(line.held.abs())),
            // Told of the grant that ended, where the history has the new one.
            ("grant.rolled_over", Some(grant)) => {
                (told, engine.grant_text(GrantId::new(grant).rolled_from()), show(line.parts[0].1))
            }
            (_, Some(grant)) => (told, engine.grant_text(GrantId::new(grant)), show(line.parts[0].1)),
            (_, None) => (told, String::new(), String::new()),
        });
    }
    let apart = ["wallet.created", "grant.depleted", "grant.reopened"];
    let mut told: Vec<_> = events
        .iter()
        .filter(|event| !event.kind.starts_with("balance.") && !apart.contains(&event.kind))
        .map(|event| match event.kind {
            "debit.applied" => (event.kind, text(event, "event_id").to_owned(), text(event, "amount").to_owned()),
            "debit.reversed" => (event.kind, text(event, "debt").to_owned(), text(event, "returned").to_owned()),
            "charge.created" => (event.kind, String::new(), text(event, "from_wallet").to_owned()),
            kind if kind.starts_with("hold.") => {
                (event.kind, text(event, "hold").to_owned(), text(event, "amount").to_owned())
            }
            _ => (event.kind, text(event, "grant").to_owned(), text(event, "amount").to_owned()),
        })
        .collect();
    expected.sort();
    told.sort();
    assert_eq!(told, expected, "{wallet:?}");
    // Edges come of operations only, so their order is the wallet's own; those of one operation are told together.
    let mut edges: Vec<_> = events
        .iter()
        .filter(|event| event.kind.starts_with("balance."))
        .map(|event| (event.kind, text(event, "level").to_owned()))
        .collect();
    // A first credit is no recovery. Whether it was the first operation is not known here if a crash may have taken one that left no line.
    let first =
        groups.iter().position(|group| !group.lines.is_empty()).filter(|first| groups[*first].after.balance() > 0);
    let may_be_first = |edge: &(&'static str, String)| *edge == ("balance.recovered", "depleted".to_owned());
    if let Some(first) = first {
        let others = groups[first].edges.iter().filter(|edge| !may_be_first(edge)).count();
        if let Some(at) = edges.iter().take(others + 1).position(may_be_first) {
            edges.remove(at);
        }
    }
    let mut edges = edges.into_iter();
    for (number, group) in groups.iter().enumerate() {
        let mut expected = group.edges.clone();
        if Some(number) == first {
            expected.retain(|edge| !may_be_first(edge));
        }
        let mut of_group: Vec<_> = edges.by_ref().take(expected.len()).collect();
        of_group.sort();
        expected.sort();
        assert_eq!(of_group, expected, "{wallet:?}");
    }
    assert_eq!(edges.next(), None, "{wallet:?}");
}

fn hold_text(line: &Line, engine: &Engine) -> String {
    engine.hold_text(HoldId::new(line.hold.expect("a hold's line")))
}

/// Ids of holds, of all lengths.
fn hold_id(number: u8) -> String {
    format!("hold-{}{number}", "x".repeat(usize::from(number) * 20 % 110))
}

fn fate(fate: Fate) -> HoldStatus {
    match fate {
        Fate::Open => HoldStatus::Open,
        Fate::Captured => HoldStatus::Captured,
        Fate::Released => HoldStatus::Released,
        Fate::Expired => HoldStatus::Expired,
    }
}

fn on_exceed(policy: model::OnExceed) -> OnExceed {
    match policy {
        model::OnExceed::Reject => OnExceed::Reject,
        model::OnExceed::Cap => OnExceed::Cap,
        model::OnExceed::Overdraw => OnExceed::Overdraw,
    }
}

/// A clock that stands at the books' beginning.
pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(at(BEGIN)))
}
