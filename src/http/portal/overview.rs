//! The balance, and what it is made of.

use super::visit::Visit;
use super::{Stop, words};
use crate::billing::auto::Mode;
use crate::engine::billing::RuleView;
use crate::engine::view::{LotView, WalletView};
use crate::engine::{CommandError, Engine};
use crate::http::api::off_loop;
use crate::http::reply::Reply;
use crate::http::wire::{amount, instant};
use crate::ledger::{Amount, Category, Rejection, Scale, Status};
use drawdown_pages::Tone;
use drawdown_pages::overview::{GrantRow, Overview};
use drawdown_pages::text::grouped;

/// Grants that are listed. A wallet can have more; then the others are counted.
const GRANTS_MAX: usize = 100;

/// A grant in words.
struct Row {
    title: String,
    is_promotional: bool,
    remaining: String,
    granted: String,
    remaining_units: u64,
    begins_at: Option<String>,
    expires_at: Option<String>,
}

impl Row {
    fn of(engine: &Engine, lot: &LotView, scale: Scale) -> Row {
        // What was said of it when it was made may have been retired with the log.
        let known = engine.grant_view(&engine.grant_text(lot.id)).ok();
        Row {
            title: known.map_or_else(|| "Credits".to_owned(), |known| words::grant(engine, &known)),
            is_promotional: lot.category == Category::Promotional,
            remaining: amount(lot.remaining, scale),
            granted: amount(lot.amount, scale),
            remaining_units: u64::try_from(lot.remaining.units()).unwrap_or(0),
            begins_at: lot.scheduled.then(|| instant(lot.effective_at)),
            expires_at: lot.expires_at.map(instant),
        }
    }

    fn shown(&self) -> GrantRow<'_> {
        GrantRow {
            title: &self.title,
            is_promotional: self.is_promotional,
            remaining: &self.remaining,
            granted: &self.granted,
            remaining_units: self.remaining_units,
            begins_at: self.begins_at.as_deref(),
            expires_at: self.expires_at.as_deref(),
        }
    }
}

/// `GET /portal/{currency}/overview`
pub(super) async fn get(visit: Visit<'_>) -> Result<Reply, Stop> {
    let engine = visit.call.engine();
    let (customer, currency) = (visit.customer().to_owned(), visit.currency().id.clone());
    let scale = visit.currency().scale;
    // What grants were made with stands in the log.
    let (wallet, rows) = off_loop(visit.call.app, move |engine| {
        let wallet = known(engine.wallet(&customer, &currency))?;
        let lots = wallet.iter().flat_map(|wallet| &wallet.grants).take(GRANTS_MAX);
        let rows: Vec<Row> = lots.map(|lot| Row::of(engine, lot, scale)).collect();
        Ok((wallet, rows))
    })
    .await?;
    let figure = |of: fn(&WalletView) -> Amount| amount(wallet.as_ref().map_or(Amount::ZERO, of), scale);
    let pending = engine.credits_on_the_way(visit.customer(), visit.currency().number);
    let pending = (pending > Amount::ZERO).then(|| amount(pending, scale));
    let debt = wallet.as_ref().map(|wallet| wallet.balance.units()).filter(|units| *units < 0);
    let debt = debt.map(|units| amount(Amount::new(units.saturating_neg()), scale));
    let rule = engine.rule(visit.customer(), &visit.currency().id).ok();
    let rule = rule.map(|rule| automatic(&visit, &rule));
    let grants: Vec<GrantRow<'_>> = rows.iter().map(Row::shown).collect();
    let more = wallet.as_ref().map_or(0, |wallet| wallet.grants.len().saturating_sub(GRANTS_MAX));
    let page = Overview {
        symbol: visit.symbol(),
        balance: &figure(|wallet| wallet.balance),
        held: &figure(|wallet| wallet.held),
        available: &figure(|wallet| wallet.available),
        projected: &figure(|wallet| wallet.projected),
        pending: pending.as_deref(),
        debt: debt.as_deref(),
        notice: archived(&visit).or_else(|| wallet.as_ref().and_then(standing)),
        grants: &grants,
        more,
        automatic: rule.as_deref(),
        is_closed: super::buy::closed(&visit).is_some(),
    };
    visit.show(|session| page.page(session))
}

/// The wallet, if there is one by now.
fn known(wallet: Result<WalletView, CommandError>) -> Result<Option<WalletView>, CommandError> {
    match wallet {
        Ok(wallet) => Ok(Some(wallet)),
        Err(CommandError::NotFound { what: "wallet" } | CommandError::Rejected(Rejection::UnknownWallet)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the customer should know about the wallet.
fn standing(wallet: &WalletView) -> Option<(Tone, &'static str)> {
    match wallet.status {
        Status::Frozen => Some((Tone::Notice, "The wallet is frozen: usage is refused until it is released.")),
        Status::Closed => Some((Tone::Notice, "The wallet is closed.")),
        Status::Active if wallet.available <= Amount::ZERO => {
            Some((Tone::Notice, "The credits are used up. Usage may be refused until you buy more."))
        }
        Status::Active => None,
    }
}

/// What an archived customer should know.
fn archived(visit: &Visit<'_>) -> Option<(Tone, &'static str)> {
    let customer = visit.call.engine().customer(visit.customer());
    let text = "This account takes no new credits. Those that it has can be used as before.";
    customer.is_ok_and(|customer| customer.archived).then_some((Tone::Notice, text))
}

/// The rule of automatic top-ups in a sentence.
fn automatic(visit: &Visit<'_>, view: &RuleView) -> String {
    let (rule, scale, symbol) = (&view.record.rule, visit.currency().scale, visit.symbol());
    if !rule.enabled {
        return "Automatic top-up is off.".to_owned();
    }
    let name = |id: &str| visit.call.engine().package(id).map_or_else(|| id.to_owned(), |one| one.name.clone());
    let what = match &rule.mode {
        Mode::Package { package, quantity: 1 } => format!("buys {}", name(package)),
        Mode::Package { package, quantity } => format!("buys {quantity} × {}", name(package)),
        Mode::Amount(money) => format!("buys credits for {}", words::money(*money)),
        Mode::Target { target, .. } => format!("fills up to {} {symbol}", grouped(&amount(*target, scale))),
    };
    let edge = if rule.trigger == crate::ledger::Trigger::AtOrBelow { "reaches" } else { "falls below" };
    format!("Automatic top-up {what} when the balance {edge} {} {symbol}.", grouped(&amount(rule.threshold, scale)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_that_is_not_there_yet_is_an_empty_one() {
        assert!(matches!(known(Err(CommandError::NotFound { what: "wallet" })), Ok(None)));
        assert!(known(Err(CommandError::NotFound { what: "credit_currency" })).is_err());
    }
}
