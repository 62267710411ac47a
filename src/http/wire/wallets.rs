//! Wallets, their alerts and history, and balances over wallets.

use super::fields::Fields;
use super::{amount, instant, sum};
use crate::engine::Engine;
use crate::engine::view::{
    AlertSpec, AlertView, BalanceTotal, Entry, EntryKind, LotView, Metadata, WalletPatch, WalletView,
};
use crate::http::decode::Node;
use crate::http::problem::Problem;
use crate::ledger::{Decimal, GrantId, Scale, Status, Trigger};
use drawdown_wal::Lsn;
use serde::Serialize;

/// A wallet as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct WalletBody {
    customer: String,
    currency: String,
    status: &'static str,
    balance: String,
    held: String,
    available: String,
    projected: String,
    pending_top_ups: String,
    floor: String,
    grants: Vec<LotBody>,
    alerts: Vec<AlertBody>,
    last_entry: Option<u64>,
    metadata: Metadata,
}

impl WalletBody {
    pub(crate) fn of(engine: &Engine, wallet: WalletView) -> Self {
        let scale = wallet.currency.scale;
        WalletBody {
            currency: wallet.currency.id.clone(),
            status: wallet.status.as_str(),
            balance: amount(wallet.balance, scale),
            held: amount(wallet.held, scale),
            available: amount(wallet.available, scale),
            // Commitments and top-ups in flight do not exist yet, so nothing is projected beside what is available.
            projected: amount(wallet.available, scale),
            pending_top_ups: "0".to_owned(),
            floor: amount(wallet.floor, scale),
            grants: wallet.grants.iter().map(|lot| LotBody::of(engine, lot, scale)).collect(),
            alerts: wallet.alerts.iter().map(|alert| AlertBody::of(alert, scale)).collect(),
            last_entry: wallet.last_entry.map(Lsn::get),
            customer: wallet.customer,
            metadata: wallet.metadata,
        }
    }
}

/// A grant within a wallet.
#[derive(Debug, Serialize)]
struct LotBody {
    id: String,
    remaining: String,
    amount: String,
    priority: u8,
    category: &'static str,
    effective_at: String,
    expires_at: Option<String>,
    status: &'static str,
}

impl LotBody {
    fn of(engine: &Engine, lot: &LotView, scale: Scale) -> Self {
        LotBody {
            id: engine.grant_text(lot.id),
            remaining: amount(lot.remaining, scale),
            amount: amount(lot.amount, scale),
            priority: lot.priority,
            category: lot.category.as_str(),
            effective_at: instant(lot.effective_at),
            expires_at: lot.expires_at.map(instant),
            status: if lot.scheduled { "scheduled" } else { "active" },
        }
    }
}

/// An alert level with its state.
#[derive(Debug, Serialize)]
pub(crate) struct AlertBody {
    name: String,
    amount: String,
    trigger: &'static str,
    margin: String,
    state: &'static str,
}

impl AlertBody {
    fn of(alert: &AlertView, scale: Scale) -> Self {
        AlertBody {
            name: alert.name.clone(),
            amount: amount(alert.amount, scale),
            trigger: alert.trigger.as_str(),
            margin: amount(alert.margin, scale),
            state: if alert.triggered { "triggered" } else { "ok" },
        }
    }
}

/// The alert levels of a wallet.
#[derive(Debug, Serialize)]
pub(crate) struct AlertsBody {
    customer: String,
    currency: String,
    levels: Vec<AlertBody>,
}

impl AlertsBody {
    pub(crate) fn of(wallet: WalletView) -> Self {
        let levels = wallet.alerts.iter().map(|alert| AlertBody::of(alert, wallet.currency.scale)).collect();
        AlertsBody { customer: wallet.customer, currency: wallet.currency.id.clone(), levels }
    }
}

/// Reads `{levels: [{name, amount, trigger?, margin?}]}`.
pub(crate) fn alert_specs(fields: &Fields<'_, '_>) -> Result<Vec<AlertSpec>, Problem> {
    let Some(levels) = fields.array("levels")? else {
        return Err(fields.refused("levels", "the field is missing: an array of alert levels, empty for none"));
    };
    levels.iter().enumerate().map(|(place, level)| alert_spec(fields, place, level)).collect()
}

fn alert_spec(fields: &Fields<'_, '_>, place: usize, level: &Node<'_>) -> Result<AlertSpec, Problem> {
    let level = fields.inner(level, &format!("levels[{place}]"))?;
    let trigger = level.choice("trigger", Trigger::parse, "must be below or at_or_below")?;
    Ok(AlertSpec {
        name: level.required_text("name")?.to_owned(),
        amount: level.required_decimal("amount")?,
        trigger: trigger.unwrap_or(Trigger::Below),
        margin: level.decimal("margin")?.unwrap_or(Decimal::ZERO),
    })
}

/// Reads a change of a wallet's settings.
pub(crate) fn wallet_patch(fields: &Fields<'_, '_>) -> Result<WalletPatch, Problem> {
    Ok(WalletPatch {
        status: fields.choice("status", Status::parse, "must be active, frozen or closed")?,
        floor: fields.decimal("floor")?,
        metadata: fields.metadata("metadata")?,
    })
}

/// A line of a wallet's history.
#[derive(Debug, Serialize)]
pub(crate) struct EntryBody {
    entry: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    amount: String,
    balance_after: String,
    time: String,
    allocations: Vec<AllocationBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overdraft: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<EventBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    crossed: Vec<String>,
}

/// What one grant gave or took.
#[derive(Debug, Serialize)]
struct AllocationBody {
    grant: String,
    amount: String,
}

/// The event behind a debit.
#[derive(Debug, Serialize)]
struct EventBody {
    id: String,
    source: String,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    meter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<String>,
}

impl EntryBody {
    pub(crate) fn of(engine: &Engine, entry: Entry, scale: Scale) -> Self {
        let allocation = |(grant, given): &(GrantId, _)| AllocationBody {
            grant: engine.grant_text(*grant),
            amount: amount(*given, scale),
        };
        let event = entry.event.map(|event| {
            let (meter, quantity) = event.metered.map(|(meter, quantity)| (meter, quantity.to_string())).unzip();
            EventBody { id: event.id, source: event.source, time: instant(event.time), meter, quantity }
        });
        EntryBody {
            entry: entry.entry.get(),
            kind: entry_kind(entry.kind),
            amount: amount(entry.amount, scale),
            balance_after: amount(entry.balance_after, scale),
            time: instant(entry.time),
            allocations: entry.allocations.iter().map(allocation).collect(),
            overdraft: (entry.debt.units() != 0).then(|| amount(entry.debt, scale)),
            event,
            grant: entry.grant.map(|grant| engine.grant_text(grant)),
            crossed: entry.crossed.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The name of a kind of entries.
pub(crate) const fn entry_kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Debit => "debit",
        EntryKind::Grant => "grant",
        EntryKind::GrantScheduled => "grant_scheduled",
        EntryKind::Expiry => "expiry",
        EntryKind::Void => "void",
        EntryKind::DebtRepayment => "debt_repayment",
        EntryKind::WriteOff => "write_off",
        EntryKind::Settings => "settings",
    }
}

/// Sums over the wallets of one currency.
#[derive(Debug, Serialize)]
pub(crate) struct BalanceBody {
    currency: String,
    wallets: u64,
    balance: String,
    held: String,
    available: String,
}

impl BalanceBody {
    pub(crate) fn of(total: &BalanceTotal) -> Self {
        let scale = total.currency.scale;
        BalanceBody {
            currency: total.currency.id.clone(),
            wallets: total.wallets,
            balance: sum(total.balance, scale),
            held: sum(total.held, scale),
            available: sum(total.available, scale),
        }
    }
}
