//! Automatic rules.

use super::billing::priority;
use super::fields::Fields;
use super::grants::{Seconds, duration_ms};
use super::{amount, instant};
use crate::billing::auto::{Halt, Limit, Mode, Rule, SuspendReason};
use crate::billing::{Money, MoneyCode, Per};
use crate::engine::billing::RuleView;
use crate::engine::catalog::CreditCurrency;
use crate::http::problem::Problem;
use crate::ledger::{Amount, Decimal, Trigger};
use serde::Serialize;

/// A rule as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct RuleBody {
    customer: String,
    currency: String,
    status: &'static str,
    enabled: bool,
    threshold: String,
    trigger: &'static str,
    mode: &'static str,
    package: Option<String>,
    quantity: Option<u32>,
    amount: Option<String>,
    target: Option<String>,
    cooldown_seconds: Seconds,
    limits: Vec<LimitBody>,
    payment_method: Option<String>,
    priority: Option<u8>,
    valid_for_seconds: Option<Seconds>,
    in_flight: Option<String>,
    failures: u32,
    suspended_for: Option<&'static str>,
    cooling_until: Option<String>,
    retry_at: Option<String>,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Serialize)]
struct LimitBody {
    per: &'static str,
    count: Option<u32>,
    amount: Option<String>,
}

impl RuleBody {
    pub(crate) fn of(view: RuleView) -> Self {
        let RuleView { record, currency, status } = view;
        let (rule, state, scale) = (record.rule, record.state, currency.scale);
        let (mode, package, quantity, money, target) = match rule.mode {
            Mode::Package { package, quantity } => ("package", Some(package), Some(quantity), None, None),
            Mode::Amount(money) => ("amount", None, None, Some(money.to_string()), None),
            Mode::Target { target, package } => ("target", package, None, None, Some(amount(target, scale))),
        };
        RuleBody {
            customer: rule.customer,
            currency: currency.id.clone(),
            status: status.as_str(),
            enabled: rule.enabled,
            threshold: amount(rule.threshold, scale),
            trigger: rule.trigger.as_str(),
            mode,
            package,
            quantity,
            amount: money,
            target,
            cooldown_seconds: Seconds::of_ms(rule.cooldown_ms),
            limits: rule
                .limits
                .iter()
                .map(|limit| LimitBody {
                    per: limit.per.as_str(),
                    count: limit.count,
                    amount: limit.amount.map(|amount| amount.to_string()),
                })
                .collect(),
            payment_method: rule.method,
            priority: rule.priority,
            valid_for_seconds: rule.valid_for_ms.map(Seconds::of_ms),
            in_flight: state.in_flight.map(|attempt| attempt.top_up),
            failures: state.failures,
            suspended_for: state.halt.map(|halt| match halt {
                Halt::Suspended(SuspendReason::HardDecline) => "hard_decline",
                Halt::Suspended(SuspendReason::Failures) => "failures",
                Halt::ActionRequired => "requires_action",
            }),
            cooling_until: state.cooling_until.map(instant),
            retry_at: state.retry_at.map(instant),
            created_at: instant(record.created_at),
            updated_at: instant(record.updated_at),
        }
    }
}

/// Reads what a rule should be. `code` is the money that it is paid in, if that can be told: that of the package of a name, or what the
/// currency stands for.
pub(crate) fn rule(
    customer: &str,
    currency: &CreditCurrency,
    fields: &Fields<'_, '_>,
    code: impl Fn(Option<&str>) -> Option<MoneyCode>,
) -> Result<Rule, Problem> {
    let credits = |name: &'static str, decimal: Decimal| {
        Amount::from_decimal(decimal, currency.scale).map_err(|error| Problem::field(name, error.to_string()))
    };
    let package = fields.text("package")?;
    let code = code(package);
    let money = |at: &Fields<'_, '_>, name: &'static str, decimal: Decimal| {
        let code = code.ok_or_else(|| at.refused(name, "is of a package, or of a currency that stands for money"))?;
        Money::from_decimal(decimal, code).map_err(|error| Problem::field(name, error.detail))
    };
    let missing = |name| fields.refused(name, "the field is missing in this mode");
    let mode = match fields.required_text("mode")? {
        "package" => {
            let quantity = fields.integer("quantity", 1..=1_000_000)?.unwrap_or(1);
            let quantity = u32::try_from(quantity).unwrap_or(u32::MAX);
            Mode::Package { package: package.ok_or_else(|| missing("package"))?.to_owned(), quantity }
        }
        "amount" => {
            let amount = fields.decimal("amount")?.ok_or_else(|| missing("amount"))?;
            Mode::Amount(money(fields, "amount", amount)?)
        }
        "target" => {
            let target = fields.decimal("target")?.ok_or_else(|| missing("target"))?;
            Mode::Target { target: credits("target", target)?, package: package.map(str::to_owned) }
        }
        _ => return Err(fields.refused("mode", "must be package, amount or target")),
    };
    let mut limits = Vec::new();
    for node in fields.array("limits")?.unwrap_or_default() {
        let limit = fields.inner(node, "limits")?;
        let per = limit.choice("per", Per::parse, "must be day, week or month")?;
        let count = limit.integer("count", 1..=i64::from(u32::MAX))?;
        let amount = limit.decimal("amount")?.map(|amount| money(&limit, "amount", amount)).transpose()?;
        limits.push(Limit {
            per: per.ok_or_else(|| limit.refused("per", "the field is missing"))?,
            count: count.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
            amount,
        });
    }
    let cooldown = fields.integer("cooldown_seconds", 0..=31 * 86_400)?.unwrap_or(0);
    Ok(Rule {
        customer: customer.to_owned(),
        currency: currency.number,
        enabled: fields.flag("enabled")?.unwrap_or(true),
        threshold: credits("threshold", fields.required_decimal("threshold")?)?,
        trigger: fields.choice("trigger", Trigger::parse, "must be below or at_or_below")?.unwrap_or_default(),
        mode,
        cooldown_ms: cooldown.unsigned_abs() * 1_000,
        limits,
        method: fields.text("payment_method")?.map(str::to_owned),
        priority: priority(fields)?,
        valid_for_ms: duration_ms(fields, "valid_for_seconds")?,
    })
}
