//! The books that a test keeps beside an engine: what every wallet, grant, event and entry must be, by the plain model alone.
//!
//! A [`Step`] is made on an engine and entered into the books, the answers are compared at once, and [`Books::audit`] compares
//! everything that the engine shows with everything that the books hold.

mod audit;
mod corrections;
mod crash;
mod grants;
mod holds;
mod lines;
mod settings;
mod step;
mod told;
mod transfers;
mod usage;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use drawdown::engine::catalog::{CurrencyKind, CurrencySpec, MeterSpec, Priorities};
use drawdown::engine::view::GrantRequest;
use drawdown::engine::{CommandError, Engine, EngineConfig, ManualClock, Ticket, Unavailable};
use drawdown::ledger::{Amount, Decimal, Policy, Rounding, Source, Timestamp};
use drawdown_wal::{Lsn, Options};

use crate::model::{Command, Model, Outcome};

use corrections::{Debited, Keyed};
use grants::Made;
pub(crate) use grants::plain_grant;
use holds::MadeHold;
pub(crate) use lines::Line;
use lines::{Book, Group};
pub(crate) use step::{Ask, Correction, GrantSpec, HoldSpec, RolloverSpecs, Step, Usage, When, submit};
pub(crate) use told::{feed, history, wallet_of};
use transfers::Transferred;
use usage::Answer;

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

/// A clock that stands at the books' beginning.
pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(at(BEGIN)))
}
