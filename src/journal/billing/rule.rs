//! Automatic rules, and what has become of them.

use super::RuleRecord;
use super::parts::{WireCode, WireMoney, all_at, at, instant, millis, money_of, number_of};
use crate::billing::auto::{Attempt, Halt, Limit, Mode, News, Rule, RuleState, Skip, SuspendReason, Tally, Window};
use crate::billing::{MoneyCode, Per};
use crate::catalog::CurrencyNumber;
use crate::journal::Corrupt;
use crate::ledger::{Amount, Timestamp, Trigger};
use serde::{Deserialize, Serialize};

const NEWS: [News; 5] = [News::Triggered, News::Skipped, News::Failed, News::Suspended, News::Resumed];
const TRIGGERS: [Trigger; 2] = [Trigger::Below, Trigger::AtOrBelow];
const HALTS: [Halt; 3] =
    [Halt::Suspended(SuspendReason::HardDecline), Halt::Suspended(SuspendReason::Failures), Halt::ActionRequired];
const SKIPS: [Skip; 8] = [
    Skip::Halted,
    Skip::NoMethod,
    Skip::Cooldown,
    Skip::BackOff,
    Skip::NotSold,
    Skip::Limit(Per::Day),
    Skip::Limit(Per::Week),
    Skip::Limit(Per::Month),
];

#[derive(Serialize, Deserialize)]
enum WireMode {
    Package(String, u32),
    Amount(WireMoney),
    Target(i64, Option<String>),
}

#[derive(Serialize, Deserialize)]
struct WireRuleSet {
    enabled: bool,
    threshold: i64,
    trigger: u8,
    mode: WireMode,
    cooldown_ms: u64,
    /// Window, count and amount.
    limits: Vec<(String, Option<u32>, Option<WireMoney>)>,
    method: Option<String>,
    priority: Option<u8>,
    valid_for_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct WireRuleState {
    /// Top-up, time and money.
    in_flight: Option<(String, u64, WireMoney)>,
    /// Beginning, count and minor units: day, week, month.
    windows: [(u64, u32, i64); 3],
    code: Option<WireCode>,
    failures: u32,
    cooling_until: Option<u64>,
    retry_at: Option<u64>,
    halt: Option<u8>,
    card: Option<String>,
    told: Vec<(u8, u64)>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::journal) struct WireRule {
    customer: String,
    currency: u16,
    rule: WireRuleSet,
    state: WireRuleState,
    deleted: bool,
    /// Set first and last.
    times: (u64, u64),
    news: Vec<u8>,
    skip: Option<u8>,
}

impl From<&RuleRecord> for WireRule {
    fn from(record: &RuleRecord) -> Self {
        let (rule, state) = (&record.rule, &record.state);
        let limit = |limit: &Limit| (limit.per.as_str().to_owned(), limit.count, limit.amount.map(Into::into));
        let in_flight = |attempt: &Attempt| (attempt.top_up.clone(), attempt.at.millis(), attempt.money.into());
        WireRule {
            customer: rule.customer.clone(),
            currency: rule.currency.0,
            rule: WireRuleSet {
                enabled: rule.enabled,
                threshold: rule.threshold.units(),
                trigger: number_of(&TRIGGERS, &rule.trigger),
                mode: match &rule.mode {
                    Mode::Package { package, quantity } => WireMode::Package(package.clone(), *quantity),
                    Mode::Amount(money) => WireMode::Amount((*money).into()),
                    Mode::Target { target, package } => WireMode::Target(target.units(), package.clone()),
                },
                cooldown_ms: rule.cooldown_ms,
                limits: rule.limits.iter().map(limit).collect(),
                method: rule.method.clone(),
                priority: rule.priority,
                valid_for_ms: rule.valid_for_ms,
            },
            state: WireRuleState {
                in_flight: state.in_flight.as_ref().map(in_flight),
                windows: state.tally.windows.map(|window| (window.start.millis(), window.count, window.units)),
                code: state.tally.code.map(Into::into),
                failures: state.failures,
                cooling_until: millis(state.cooling_until),
                retry_at: millis(state.retry_at),
                halt: state.halt.map(|halt| number_of(&HALTS, &halt)),
                card: state.card.clone(),
                told: state.told.iter().map(|(skip, until)| (number_of(&SKIPS, skip), until.millis())).collect(),
            },
            deleted: record.deleted,
            times: (record.created_at.millis(), record.updated_at.millis()),
            news: record.news.iter().map(|news| number_of(&NEWS, news)).collect(),
            skip: record.skip.map(|skip| number_of(&SKIPS, &skip)),
        }
    }
}

impl TryFrom<WireRule> for RuleRecord {
    type Error = Corrupt;

    fn try_from(wire: WireRule) -> Result<Self, Corrupt> {
        let WireRule { customer, currency, rule: set, state, deleted, times, news, skip } = wire;
        let limit = |(per, count, amount): (String, Option<u32>, Option<WireMoney>)| {
            let per = Per::parse(&per).ok_or(Corrupt::Malformed("window"))?;
            Ok(Limit { per, count, amount: money_of(amount)? })
        };
        let told = |(skip, until)| Ok((at(&SKIPS, skip, "reason")?, Timestamp::from_millis(until)));
        let in_flight = |(top_up, at, money): (String, u64, WireMoney)| {
            Ok::<_, Corrupt>(Attempt { top_up, at: Timestamp::from_millis(at), money: money.try_into()? })
        };
        let window = |(start, count, units)| Window { start: Timestamp::from_millis(start), count, units };
        Ok(RuleRecord {
            rule: Rule {
                customer,
                currency: CurrencyNumber(currency),
                enabled: set.enabled,
                threshold: Amount::new(set.threshold),
                trigger: at(&TRIGGERS, set.trigger, "trigger")?,
                mode: match set.mode {
                    WireMode::Package(package, quantity) => Mode::Package { package, quantity },
                    WireMode::Amount(money) => Mode::Amount(money.try_into()?),
                    WireMode::Target(target, package) => Mode::Target { target: Amount::new(target), package },
                },
                cooldown_ms: set.cooldown_ms,
                limits: set.limits.into_iter().map(limit).collect::<Result<_, Corrupt>>()?,
                method: set.method,
                priority: set.priority,
                valid_for_ms: set.valid_for_ms,
            },
            state: RuleState {
                in_flight: state.in_flight.map(in_flight).transpose()?,
                tally: Tally {
                    windows: state.windows.map(window),
                    code: state.code.map(MoneyCode::try_from).transpose()?,
                },
                failures: state.failures,
                cooling_until: instant(state.cooling_until),
                retry_at: instant(state.retry_at),
                halt: state.halt.map(|halt| at(&HALTS, halt, "halt")).transpose()?,
                card: state.card,
                told: state.told.into_iter().map(told).collect::<Result<_, Corrupt>>()?,
            },
            deleted,
            created_at: Timestamp::from_millis(times.0),
            updated_at: Timestamp::from_millis(times.1),
            news: all_at(&NEWS, news, "news")?,
            skip: skip.map(|skip| at(&SKIPS, skip, "reason")).transpose()?,
        })
    }
}
