//! Automatic top-ups, as a customer sets them for itself.
//!
//! What an operator has set of a rule and the form does not show (trigger, cooldown, priority, validity) stays as it was.

use super::buy::{cards, choices, closed, packages};
use super::visit::Visit;
use super::{Stop, words};
use crate::billing::auto::{Halt, Limit, Mode, Rule, RuleStatus, Skip, SuspendReason};
use crate::billing::money::Worth;
use crate::billing::{CreditPackage, Money, MoneyCode, Per};
use crate::engine::CommandError;
use crate::engine::billing::{Buyer, RuleView};
use crate::http::pages::see_other;
use crate::http::percent;
use crate::http::reply::Reply;
use crate::http::wire::query::Query;
use crate::http::wire::{amount, instant};
use crate::ledger::{Amount, Decimal, Trigger};
use bytes::Bytes;
use drawdown_pages::Tone;
use drawdown_pages::automatic::{Automatic, LimitRow, Mode as Choice, PackageChoice};
use drawdown_pages::cards::CardChoice;
use drawdown_pages::text::minute;
use hyper::StatusCode;
use hyper::body::Body;
use std::sync::Arc;

/// The windows of limits, as the form names them.
const PERIODS: [(Per, &str, &str); 3] = [
    (Per::Day, "limit_day_count", "limit_day_amount"),
    (Per::Week, "limit_week_count", "limit_week_amount"),
    (Per::Month, "limit_month_count", "limit_month_amount"),
];

/// What is wrong with what was sent: the field, and why in words.
type Errors = Vec<(&'static str, String)>;

/// What stands in the form.
#[derive(Debug, Default)]
struct Fields {
    is_enabled: bool,
    threshold: String,
    mode: Option<Choice>,
    quantity: String,
    package: String,
    amount: String,
    target: String,
    limits: [(String, String); 3],
    card: String,
}

/// `GET /portal/{currency}/automatic`
pub(super) fn get(visit: &Visit<'_>) -> Result<Reply, Stop> {
    let rule = visit.call.engine().rule(visit.customer(), &visit.currency().id).ok();
    let fields = rule.as_ref().map_or_else(|| Fields::fresh(visit), |view| Fields::of(visit, &view.record.rule));
    shown(visit, rule.as_ref(), &fields, &Errors::new())
}

/// `POST /portal/{currency}/automatic`
pub(super) async fn post<B>(visit: &Visit<'_>, body: B) -> Result<Reply, Stop>
where
    B: Body<Data = Bytes> + Unpin,
{
    let form = visit.form(body).await?;
    let fields = Fields::sent(&form);
    let known = visit.call.engine().rule(visit.customer(), &visit.currency().id).ok();
    let refused = match fields.rule(visit, known.as_ref().map(|view| &view.record.rule)) {
        Err(errors) => errors,
        Ok(rule) => match visit.call.engine().put_rule_by(rule, Buyer::Customer) {
            Ok((_view, ticket)) => {
                ticket.await?;
                if let Some(payments) = &visit.call.app.payments {
                    payments.take_up();
                }
                return Ok(see_other(format!("{}?done=saved", visit.link("automatic"))));
            }
            Err(error) => vec![told(error, fields.mode)?],
        },
    };
    shown(visit, known.as_ref(), &fields, &refused)
}

/// What the ledger does not like about a rule.
fn told(error: CommandError, mode: Option<Choice>) -> Result<(&'static str, String), Stop> {
    match &error {
        CommandError::Invalid { field: "payment_method", .. } => {
            Ok(("payment_method", "This card cannot be charged. Choose another.".to_owned()))
        }
        CommandError::Invalid { field, detail } => Ok((*field, words::field_error(field, detail))),
        CommandError::FieldConflict { field, .. } => {
            let why = words::refusal(&error).unwrap_or_default();
            // What a rule buys at once has a field of its own only where it is an amount; who the customer is has none.
            Ok((
                match *field {
                    "amount" if mode != Some(Choice::Amount) => "threshold",
                    "customer" => "enabled",
                    field => field,
                },
                why,
            ))
        }
        CommandError::Conflict { slug: "payment_method_detached", .. } => {
            Ok(("payment_method", "The card was removed. Choose another.".to_owned()))
        }
        _ => Err(error.into()),
    }
}

impl Fields {
    /// What a form begins with where there is no rule.
    fn fresh(visit: &Visit<'_>) -> Fields {
        let base = visit.call.engine().recharge(&visit.currency().id).ok().and_then(|(_, package)| package);
        let package = base.map(|package| package.id.clone()).unwrap_or_default();
        Fields { quantity: "1".to_owned(), package, ..Fields::default() }
    }

    /// What a rule says.
    fn of(visit: &Visit<'_>, rule: &Rule) -> Fields {
        let scale = visit.currency().scale;
        let mut fields = Fields {
            is_enabled: rule.enabled,
            threshold: amount(rule.threshold, scale),
            card: rule.method.clone().unwrap_or_default(),
            ..Fields::fresh(visit)
        };
        match &rule.mode {
            Mode::Package { package, quantity } => {
                fields.mode = Some(Choice::Package);
                (fields.package, fields.quantity) = (package.clone(), quantity.to_string());
            }
            Mode::Amount(money) => (fields.mode, fields.amount) = (Some(Choice::Amount), money.to_string()),
            Mode::Target { target, package } => {
                (fields.mode, fields.target) = (Some(Choice::Target), amount(*target, scale));
                fields.package = package.clone().unwrap_or(fields.package);
            }
        }
        for limit in &rule.limits {
            let place = PERIODS.iter().position(|(per, ..)| *per == limit.per).expect("a form has all windows");
            let text = |value: Option<String>| value.unwrap_or_default();
            fields.limits[place] =
                (text(limit.count.map(|count| count.to_string())), text(limit.amount.map(|money| money.to_string())));
        }
        fields
    }

    /// What was sent.
    fn sent(form: &Query) -> Fields {
        let text = |name: &str| form.text(name).unwrap_or_default().trim().to_owned();
        Fields {
            is_enabled: form.text("enabled") == Some("yes"),
            threshold: text("threshold"),
            mode: match form.text("mode") {
                Some("package") => Some(Choice::Package),
                Some("amount") => Some(Choice::Amount),
                Some("target") => Some(Choice::Target),
                _ => None,
            },
            quantity: text("quantity"),
            package: text("package"),
            amount: text("amount"),
            target: text("target"),
            limits: PERIODS.map(|(_, count, amount)| (text(count), text(amount))),
            card: text("payment_method"),
        }
    }

    /// The rule that they describe.
    fn rule(&self, visit: &Visit<'_>, known: Option<&Rule>) -> Result<Rule, Errors> {
        let mut errors = Errors::new();
        let scale = visit.currency().scale;
        let worth = Worth::of_fiat(visit.currency());
        let credits = |name: &'static str, text: &str, errors: &mut Errors| {
            let read = Decimal::parse(text.as_bytes()).ok();
            let read = read.map(|decimal| Amount::from_decimal(decimal, scale));
            match read {
                Some(Ok(amount)) => amount,
                Some(Err(error)) => {
                    errors.push((name, words::field_error(name, &error.to_string())));
                    Amount::ZERO
                }
                None => {
                    errors.push((name, words::field_error(name, "must be a number")));
                    Amount::ZERO
                }
            }
        };
        let threshold = credits("threshold", &self.threshold, &mut errors);
        let package = || visit.call.engine().package(&self.package);
        let mode = match self.mode {
            None => {
                errors.push(("mode", "Choose what is to be bought.".to_owned()));
                Mode::Target { target: Amount::ZERO, package: None }
            }
            Some(Choice::Package) => {
                let quantity = whole(&self.quantity).unwrap_or_else(|| {
                    errors.push(("quantity", words::field_error("quantity", "must be a whole number above zero")));
                    1
                });
                Mode::Package { package: self.package.clone(), quantity }
            }
            Some(Choice::Amount) => {
                if let Some(worth) = worth {
                    Mode::Amount(money("amount", "the amount", &self.amount, worth.code(), &mut errors))
                } else {
                    errors.push(("amount", "Only packages can be bought.".to_owned()));
                    Mode::Target { target: Amount::ZERO, package: None }
                }
            }
            Some(Choice::Target) => {
                let target = credits("target", &self.target, &mut errors);
                Mode::Target { target, package: worth.is_none().then(|| self.package.clone()) }
            }
        };
        let code = match &mode {
            Mode::Package { .. } | Mode::Target { package: Some(_), .. } => package().map(|package| package.price.code),
            Mode::Amount(_) | Mode::Target { package: None, .. } => worth.map(Worth::code),
        };
        let limits = self.limits(code, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Rule {
            customer: visit.customer().to_owned(),
            currency: visit.currency().number,
            enabled: self.is_enabled,
            threshold,
            trigger: known.map_or(Trigger::default(), |known| known.trigger),
            mode,
            cooldown_ms: known.map_or(0, |known| known.cooldown_ms),
            limits,
            method: Some(self.card.clone()).filter(|card| !card.is_empty()),
            priority: known.and_then(|known| known.priority),
            valid_for_ms: known.and_then(|known| known.valid_for_ms),
        })
    }

    fn limits(&self, code: Option<MoneyCode>, errors: &mut Errors) -> Vec<Limit> {
        let mut limits = Vec::new();
        for ((per, count_field, amount_field), (count, amount)) in PERIODS.into_iter().zip(&self.limits) {
            let count = Some(count.as_str()).filter(|count| !count.is_empty()).map(|count| {
                whole(count).unwrap_or_else(|| {
                    errors.push((count_field, "A limit on purchases must be a whole number above zero.".to_owned()));
                    1
                })
            });
            let amount = Some(amount.as_str()).filter(|amount| !amount.is_empty());
            // Without a code the package is unknown, which is told of the package.
            let amount = amount.and_then(|amount| Some(money(amount_field, "a limit on money", amount, code?, errors)));
            if count.is_some() || amount.is_some() {
                limits.push(Limit { per, count, amount });
            }
        }
        limits
    }
}

/// A whole number above zero.
fn whole(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten().filter(|number| *number > 0)
}

fn money(field: &'static str, name: &str, text: &str, code: MoneyCode, errors: &mut Errors) -> Money {
    let read = Decimal::parse(text.as_bytes()).ok().map(|decimal| Money::from_decimal(decimal, code));
    let why = match read {
        Some(Ok(money)) if money.units > 0 => return money,
        Some(Ok(_)) => "must be greater than zero".to_owned(),
        Some(Err(error)) => error.detail,
        None => "must be a number".to_owned(),
    };
    errors.push((field, words::sentence(&format!("{name} {why}"))));
    Money::new(1, code)
}

/// What a rule is doing, and where something can be done about it: address and words.
type Standing = (Tone, String, Option<(String, &'static str)>);

fn standing(visit: &Visit<'_>, view: &RuleView) -> Option<Standing> {
    let state = &view.record.state;
    let cards_page = Some((visit.link("cards"), "Add another card"));
    let until = |at: Option<crate::ledger::Timestamp>| at.map(|at| minute(&instant(at))).unwrap_or_default();
    let now = visit.call.engine().now();
    let limit = state.told.iter().find_map(|(why, ends)| match why {
        Skip::Limit(per) if *ends > now => Some((*per, *ends)),
        _ => None,
    });
    Some(match view.status {
        RuleStatus::Disabled => return None,
        RuleStatus::Armed if cards(visit).is_empty() => {
            let text = "There is no card that could be charged, so nothing is bought.".to_owned();
            (Tone::Bad, text, Some((visit.link("cards"), "Add a card")))
        }
        RuleStatus::Armed if !is_sold(visit, &view.record.rule) => (
            Tone::Bad,
            "What it buys is not sold any more, so nothing is bought. Choose something else.".to_owned(),
            None,
        ),
        RuleStatus::Armed => match limit {
            Some((per, ends)) => {
                let (period, ends) = (per.as_str(), until(Some(ends)));
                (
                    Tone::Notice,
                    format!("It has bought as much as it may in a {period}, and goes on after {ends}."),
                    None,
                )
            }
            None => (Tone::Good, "It is on, and waits for the balance to run low.".to_owned(), None),
        },
        RuleStatus::InFlight => (Tone::Notice, "A top-up is on its way.".to_owned(), None),
        RuleStatus::Cooling if state.retry_at.is_some_and(|at| visit.call.engine().now() < at) => {
            let text = format!("The card was declined. It is tried again after {}.", until(state.retry_at));
            (Tone::Bad, text, cards_page)
        }
        RuleStatus::Cooling => {
            (Tone::Notice, format!("It has just bought credits, and rests until {}.", until(state.cooling_until)), None)
        }
        RuleStatus::Suspended => {
            let why = match state.halt {
                Some(Halt::Suspended(SuspendReason::Failures)) => "the card was declined three times in a row",
                _ => "the card was declined for good",
            };
            let text = format!("It is stopped: {why}. Another card, or credits that you buy yourself, set it going.");
            (Tone::Bad, text, cards_page)
        }
        RuleStatus::RequiresAction => {
            let top_up = state.in_flight.as_ref().map(|attempt| percent::encode(&attempt.top_up).into_owned());
            let page = top_up.map(|id| (format!("{}?top_up={id}", visit.link("purchase")), "Confirm it"));
            (Tone::Bad, "It waits: your bank wants you to confirm the payment.".to_owned(), page)
        }
    })
}

/// Whether what a rule buys is on sale.
fn is_sold(visit: &Visit<'_>, rule: &Rule) -> bool {
    match &rule.mode {
        Mode::Package { package, .. } | Mode::Target { package: Some(package), .. } => {
            visit.call.engine().package(package).is_some_and(|package| !package.archived)
        }
        Mode::Amount(_) | Mode::Target { package: None, .. } => true,
    }
}

fn shown(visit: &Visit<'_>, rule: Option<&RuleView>, fields: &Fields, errors: &Errors) -> Result<Reply, Stop> {
    let limits = visit.call.engine().portal_limits(&visit.currency().id)?;
    let scale = visit.currency().scale;
    let mut packages: Vec<Arc<CreditPackage>> = packages(visit, &limits);
    // What the rule buys now is shown, whether or not it is on offer.
    if let Some(own) =
        visit.call.engine().package(&fields.package).filter(|own| own.currency == visit.currency().number)
        && !packages.iter().any(|package| package.id == own.id)
    {
        packages.push(own);
    }
    let titles: Vec<String> = packages
        .iter()
        .map(|package| words::package(package, &amount(package.total(), scale), visit.symbol()))
        .collect();
    let packages: Vec<PackageChoice<'_>> =
        packages.iter().zip(&titles).map(|(package, title)| PackageChoice { id: &package.id, title }).collect();
    let choices = choices(&cards(visit));
    let cards: Vec<CardChoice<'_>> = choices.iter().map(|(id, title)| CardChoice { id, title }).collect();
    let code = Worth::of_fiat(visit.currency()).map(Worth::code);
    let fallback = if packages.is_empty() { Choice::Amount } else { Choice::Package };
    let standing = match closed(visit) {
        Some(why) => Some((Tone::Notice, why.to_owned(), None)),
        None => rule.and_then(|view| standing(visit, view)),
    };
    let errors: Vec<(&str, &str)> = errors.iter().map(|(field, why)| (*field, why.as_str())).collect();
    let row = |place: usize| LimitRow { count: &fields.limits[place].0, amount: &fields.limits[place].1 };
    let page = Automatic {
        symbol: visit.symbol(),
        is_enabled: fields.is_enabled,
        state: standing.as_ref().map(|(tone, text, _)| (*tone, text.as_str())),
        remedy: standing.as_ref().and_then(|(_, _, remedy)| remedy.as_ref()).map(|(url, words)| (url.as_str(), *words)),
        threshold: &fields.threshold,
        mode: fields.mode.unwrap_or(fallback),
        quantity: &fields.quantity,
        package: &fields.package,
        packages: &packages,
        amount: &fields.amount,
        money: code.as_ref().map(MoneyCode::as_str),
        target: &fields.target,
        limits: [row(0), row(1), row(2)],
        card: &fields.card,
        cards: &cards,
        errors: &errors,
    };
    if errors.is_empty() {
        return visit.show(|session| page.page(session));
    }
    Ok(visit.frame(StatusCode::UNPROCESSABLE_ENTITY, None, |session| page.page(session)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_whole_and_above_zero() {
        for (text, read) in [("1", Some(1)), ("007", Some(7)), ("0", None), ("-1", None), ("1.5", None), ("", None)] {
            assert_eq!(whole(text), read, "{text}");
        }
        assert_eq!(whole("99999999999"), None);
    }
}
