//! What is done to an engine, step by step, and how it is sent.

use drawdown::engine::{Charge, Engine, EventOutcome, Ticket, Unavailable, UsageEvent};
use drawdown::ledger::{Decimal, DecimalError, Policy, Rounding, Status, Timestamp};

use crate::model::{self, Level};

use super::{METERS, SOURCES, TOLERANCE_MS, WINDOW_MS, WalletNumber, at};

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

impl Usage {
    pub(super) fn text(&self) -> String {
        match self.ask {
            Ask::LongId => "i".repeat(129),
            Ask::EmptyId => String::new(),
            // Ids of all lengths up to the longest.
            _ => format!("{:0>width$}", self.id, width = 1 + self.id as usize % 128),
        }
    }

    pub(super) fn source_text(&self) -> String {
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

    pub(super) fn charge(&self) -> Charge<'static> {
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
    pub(super) fn price(&self) -> Result<(i128, model::Policy), &'static str> {
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
    pub(super) fn plan(&self) -> Result<(i128, model::Policy), &'static str> {
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
pub(super) fn with_events<T>(batch: &[Usage], now: u64, take: impl FnOnce(&[UsageEvent<'_>]) -> T) -> T {
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

pub(super) fn status(status: model::Status) -> Status {
    match status {
        model::Status::Active => Status::Active,
        model::Status::Frozen => Status::Frozen,
        model::Status::Closed => Status::Closed,
    }
}
