//! Alerts: a wallet's levels and runway, a currency's default levels, and commitments.

use super::fields::Fields;
use super::{amount, instant};
use crate::engine::view::{AlertSpec, AlertView, AlertsOf, WalletView};
use crate::engine::{
    CommitmentSpec, CommitmentView, CommitmentsSpec, CommitmentsView, DefaultAlerts, HALF_LIFE_MS_MAX,
    HALF_LIFE_MS_MIN, RUNWAY_MINUTES_MAX, RunwayView, RunwayWatch,
};
use crate::http::decode::Node;
use crate::http::problem::Problem;
use crate::ledger::{Amount, Decimal, Level, Levels, Percent, Scale, Timestamp, Trigger, Watches};
use serde::Serialize;

const MINUTE_MS: u64 = 60_000;
/// A runway alert says so much about the next hours that it need not be told more often, unless somebody wants it.
const RUNWAY_INTERVAL_SECONDS: i64 = 3_600;
const HALF_LIFE_MINUTES: i64 = 60;

/// An alert level with its state.
#[derive(Debug, Serialize)]
pub(crate) struct AlertBody {
    name: String,
    /// What the level stands at now.
    amount: String,
    percent: Option<String>,
    trigger: &'static str,
    margin: String,
    watches: &'static str,
    min_interval_seconds: u64,
    state: &'static str,
    /// Triggered within the interval, and not told.
    muted: bool,
}

impl AlertBody {
    pub(crate) fn of(alert: &AlertView, scale: Scale) -> Self {
        AlertBody {
            name: alert.name.clone(),
            amount: amount(alert.amount, scale),
            percent: percent(alert.percent),
            trigger: alert.trigger.as_str(),
            margin: amount(alert.margin, scale),
            watches: alert.watches.as_str(),
            min_interval_seconds: alert.min_interval_ms / 1_000,
            state: if alert.triggered { "triggered" } else { "ok" },
            muted: alert.muted,
        }
    }
}

fn percent(percent: Option<Percent>) -> Option<String> {
    percent.map(|percent| percent.decimal().to_string())
}

/// The alert levels of a wallet.
#[derive(Debug, Serialize)]
pub(crate) struct AlertsBody {
    customer: String,
    currency: String,
    /// Whose levels they are: the wallet's own, or the currency's default ones.
    source: &'static str,
    /// Which version of the currency's default ones.
    default_version: Option<u32>,
    levels: Vec<AlertBody>,
    runway: Option<RunwayBody>,
}

impl AlertsBody {
    pub(crate) fn of(wallet: &WalletView) -> Self {
        let scale = wallet.currency.scale;
        let (source, default_version) = match wallet.alerts_of {
            AlertsOf::Wallet => ("wallet", None),
            AlertsOf::Currency(0) => ("currency", None),
            AlertsOf::Currency(version) => ("currency", Some(version)),
        };
        AlertsBody {
            customer: wallet.customer.clone(),
            currency: wallet.currency.id.clone(),
            source,
            default_version,
            levels: wallet.alerts.iter().map(|alert| AlertBody::of(alert, scale)).collect(),
            runway: wallet.runway.as_ref().map(|runway| RunwayBody::of(runway, scale)),
        }
    }
}

/// A runway watch, with what it sees.
#[derive(Debug, Serialize)]
pub(crate) struct RunwayBody {
    minutes: u32,
    margin_minutes: u32,
    min_interval_seconds: u64,
    half_life_minutes: u64,
    state: &'static str,
    burn_rate_per_hour: String,
    /// Null while nothing is being used.
    runway_minutes: Option<u64>,
}

impl RunwayBody {
    pub(crate) fn of(runway: &RunwayView, scale: Scale) -> Self {
        RunwayBody {
            minutes: runway.watch.minutes,
            margin_minutes: runway.watch.margin_minutes,
            min_interval_seconds: runway.watch.min_interval_ms / 1_000,
            half_life_minutes: runway.watch.half_life_ms / MINUTE_MS,
            state: if runway.low { "triggered" } else { "ok" },
            burn_rate_per_hour: burn_rate(runway, scale),
            runway_minutes: runway.minutes,
        }
    }
}

/// The burn rate in credits an hour.
pub(crate) fn burn_rate(runway: &RunwayView, scale: Scale) -> String {
    amount(Amount::new(i64::try_from(runway.burn_per_hour).unwrap_or(i64::MAX)), scale)
}

/// What a wallet's alerts should be.
#[derive(Debug)]
pub(crate) struct AlertsRequest {
    pub(crate) levels: Vec<AlertSpec>,
    pub(crate) runway: Option<RunwayWatch>,
}

/// Reads `{levels: [...], runway?: {...}}`.
pub(crate) fn alerts_request(fields: &Fields<'_, '_>) -> Result<AlertsRequest, Problem> {
    let runway = fields.object("runway")?.map(|runway| runway_watch(&runway)).transpose()?;
    Ok(AlertsRequest { levels: alert_specs(fields)?, runway })
}

/// Reads `levels: [{name, amount | percent, trigger?, margin?, watches?, min_interval_seconds?}]`.
fn alert_specs(fields: &Fields<'_, '_>) -> Result<Vec<AlertSpec>, Problem> {
    let Some(levels) = fields.array("levels")? else {
        return Err(fields.refused("levels", "the field is missing: an array of alert levels, empty for none"));
    };
    levels.iter().enumerate().map(|(place, level)| alert_spec(fields, place, level)).collect()
}

fn alert_spec(fields: &Fields<'_, '_>, place: usize, level: &Node<'_>) -> Result<AlertSpec, Problem> {
    let level = fields.inner(level, &format!("levels[{place}]"))?;
    let percent = match level.decimal("percent")? {
        None => None,
        Some(_) if level.has("amount")? => {
            return Err(level.refused("percent", "stands in the place of the amount: give one of both"));
        }
        Some(percent) => Some(Percent::from_decimal(percent).ok_or_else(|| {
            level.refused("percent", "must be greater than 0 and at most 100, with six decimal places at most")
        })?),
    };
    let amount = if percent.is_some() { Decimal::ZERO } else { level.required_decimal("amount")? };
    Ok(AlertSpec {
        name: level.required_text("name")?.to_owned(),
        amount,
        trigger: level.choice("trigger", Trigger::parse, "must be below or at_or_below")?.unwrap_or_default(),
        margin: level.decimal("margin")?.unwrap_or(Decimal::ZERO),
        watches: level
            .choice("watches", Watches::parse, "must be balance, available or projected")?
            .unwrap_or_default(),
        percent,
        min_interval_ms: seconds(&level, "min_interval_seconds", 0)?,
    })
}

/// A number of seconds up to a year, in milliseconds.
fn seconds(fields: &Fields<'_, '_>, name: &'static str, default: i64) -> Result<u64, Problem> {
    let seconds = fields.integer(name, 0..=(Levels::INTERVAL_MS_MAX / 1_000).cast_signed())?;
    Ok(1_000 * seconds.unwrap_or(default).cast_unsigned())
}

fn runway_watch(fields: &Fields<'_, '_>) -> Result<RunwayWatch, Problem> {
    let minutes = fields.integer("minutes", 1..=RUNWAY_MINUTES_MAX.into())?;
    let minutes = minutes.ok_or_else(|| fields.refused("minutes", "the field is missing"))?;
    let margin = fields.integer("margin_minutes", 0..=RUNWAY_MINUTES_MAX.into())?.unwrap_or(0);
    let shortest = (HALF_LIFE_MS_MIN / MINUTE_MS).cast_signed();
    let longest = (HALF_LIFE_MS_MAX / MINUTE_MS).cast_signed();
    let half_life = fields.integer("half_life_minutes", shortest..=longest)?.unwrap_or(HALF_LIFE_MINUTES);
    Ok(RunwayWatch {
        minutes: minutes.cast_unsigned() as u32,
        margin_minutes: margin.cast_unsigned() as u32,
        min_interval_ms: seconds(fields, "min_interval_seconds", RUNWAY_INTERVAL_SECONDS)?,
        half_life_ms: half_life.cast_unsigned() * MINUTE_MS,
    })
}

/// A default level of a currency.
#[derive(Debug, Serialize)]
struct DefaultLevelBody {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<String>,
    trigger: &'static str,
    margin: String,
    watches: &'static str,
    min_interval_seconds: u64,
}

impl DefaultLevelBody {
    fn of(level: &Level, scale: Scale) -> Self {
        DefaultLevelBody {
            name: level.name.to_string(),
            amount: level.percent.is_none().then(|| amount(level.amount, scale)),
            percent: percent(level.percent),
            trigger: level.trigger.as_str(),
            margin: amount(level.margin, scale),
            watches: level.watches.as_str(),
            min_interval_seconds: level.min_interval_ms / 1_000,
        }
    }
}

/// A currency's default levels.
#[derive(Debug, Serialize)]
pub(crate) struct DefaultAlertsBody {
    currency: String,
    version: u32,
    levels: Vec<DefaultLevelBody>,
    apply: &'static str,
    applying: bool,
}

impl DefaultAlertsBody {
    pub(crate) fn of(defaults: &DefaultAlerts) -> Self {
        let scale = defaults.currency.scale;
        let levels = defaults.levels.iter().flat_map(|levels| levels.iter());
        DefaultAlertsBody {
            currency: defaults.currency.id.clone(),
            version: defaults.version,
            levels: levels.map(|level| DefaultLevelBody::of(level, scale)).collect(),
            apply: if defaults.at_once { AT_ONCE } else { ON_CHANGE },
            applying: defaults.spreading,
        }
    }
}

/// Default levels reach wallets that there are with the next change of their terms, or at once.
pub(crate) const ON_CHANGE: &str = "on_change";
pub(crate) const AT_ONCE: &str = "at_once";

/// Reads `{levels: [...], apply?}`: the levels, and whether they apply at once.
pub(crate) fn default_alerts_request(fields: &Fields<'_, '_>) -> Result<(Vec<AlertSpec>, bool), Problem> {
    let parse = |text: &str| match text {
        ON_CHANGE => Some(false),
        AT_ONCE => Some(true),
        _ => None,
    };
    let at_once = fields.choice("apply", parse, "must be on_change or at_once")?;
    Ok((alert_specs(fields)?, at_once.unwrap_or(false)))
}

/// A commitment as it was declared.
#[derive(Debug, Serialize)]
struct CommitmentBody {
    name: String,
    amount: String,
    due_at: Option<String>,
    counts: bool,
}

/// A wallet's commitments.
#[derive(Debug, Serialize)]
pub(crate) struct CommitmentsBody {
    customer: String,
    currency: String,
    items: Vec<CommitmentBody>,
    period: Option<PeriodBody>,
    committed: String,
    available: String,
    projected: String,
}

#[derive(Debug, Serialize)]
struct PeriodBody {
    from: String,
    to: String,
}

impl CommitmentsBody {
    pub(crate) fn of(commitments: &CommitmentsView) -> Self {
        let scale = commitments.currency.scale;
        let item = |item: &CommitmentView| CommitmentBody {
            name: item.name.clone(),
            amount: amount(item.amount, scale),
            due_at: item.due_at.map(instant),
            counts: item.counts,
        };
        CommitmentsBody {
            customer: commitments.customer.clone(),
            currency: commitments.currency.id.clone(),
            items: commitments.items.iter().map(item).collect(),
            period: commitments.period.map(|(from, to)| PeriodBody { from: instant(from), to: instant(to) }),
            committed: amount(commitments.committed, scale),
            available: amount(commitments.available, scale),
            projected: amount(commitments.projected, scale),
        }
    }
}

/// Reads `{items: [{name, amount, due_at?}], period?: {from, to}}`.
pub(crate) fn commitments_request(fields: &Fields<'_, '_>) -> Result<CommitmentsSpec, Problem> {
    let Some(items) = fields.array("items")? else {
        return Err(fields.refused("items", "the field is missing: an array of commitments, empty for none"));
    };
    let period = match fields.object("period")? {
        Some(period) => Some((time(&period, "from")?, time(&period, "to")?)),
        None => None,
    };
    let item = |(place, item): (usize, &Node<'_>)| {
        let item = fields.inner(item, &format!("items[{place}]"))?;
        let amount = item.required_decimal("amount")?;
        if amount.mantissa() <= 0 {
            return Err(item.refused("amount", "must be greater than zero"));
        }
        Ok(CommitmentSpec { name: item.required_text("name")?.to_owned(), amount, due_at: item.time("due_at")? })
    };
    let items = items.iter().enumerate().map(item).collect::<Result<_, Problem>>()?;
    Ok(CommitmentsSpec { items, period })
}

fn time(fields: &Fields<'_, '_>, name: &'static str) -> Result<Timestamp, Problem> {
    fields.time(name)?.ok_or_else(|| fields.refused(name, "the field is missing"))
}
