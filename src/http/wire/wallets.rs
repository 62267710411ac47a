//! Wallets, their history, and balances over wallets.

use super::alerts::{AlertBody, burn_rate};
use super::fields::Fields;
use super::{amount, instant, sum};
use crate::engine::Engine;
use crate::engine::view::{BalanceTotal, Entry, LotView, Metadata, WalletPatch, WalletView};
use crate::http::problem::Problem;
use crate::ledger::{Amount, GrantId, Scale, Status};
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
    committed: String,
    pending_top_ups: String,
    floor: String,
    grants: Vec<LotBody>,
    alerts: Vec<AlertBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burn_rate_per_hour: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runway_minutes: Option<u64>,
    last_entry: Option<u64>,
    metadata: Metadata,
    pending_grants: PendingBody,
    holds: usize,
}

/// Grants that wait for their payment, together.
#[derive(Debug, Serialize)]
struct PendingBody {
    count: u64,
    amount: String,
}

impl WalletBody {
    pub(crate) fn of(engine: &Engine, wallet: WalletView) -> Self {
        let scale = wallet.currency.scale;
        let pending = engine.credits_in_flight(&wallet.customer, &wallet.currency.id).unwrap_or(Amount::ZERO);
        WalletBody {
            currency: wallet.currency.id.clone(),
            status: wallet.status.as_str(),
            balance: amount(wallet.balance, scale),
            held: amount(wallet.held, scale),
            available: amount(wallet.available, scale),
            projected: amount(wallet.projected, scale),
            committed: amount(wallet.committed, scale),
            pending_top_ups: amount(pending, scale),
            floor: amount(wallet.floor, scale),
            grants: wallet.grants.iter().map(|lot| LotBody::of(engine, lot, scale)).collect(),
            alerts: wallet.alerts.iter().map(|alert| AlertBody::of(alert, scale)).collect(),
            burn_rate_per_hour: wallet.runway.as_ref().map(|runway| burn_rate(runway, scale)),
            runway_minutes: wallet.runway.as_ref().and_then(|runway| runway.minutes),
            last_entry: wallet.last_entry.map(Lsn::get),
            pending_grants: PendingBody { count: wallet.pending_count, amount: sum(wallet.pending_amount, scale) },
            customer: wallet.customer,
            metadata: wallet.metadata,
            holds: wallet.holds,
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
    held: String,
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
            held: amount(lot.held, scale),
        }
    }
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
    #[serde(skip_serializing_if = "Option::is_none")]
    reverses: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer: Option<OtherSideBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<String>,
}

/// The other side of a transfer.
#[derive(Debug, Serialize)]
struct OtherSideBody {
    id: String,
    customer: String,
    entry: u64,
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
        let correction = entry.correction.map(|correction| *correction).unwrap_or_default();
        EntryBody {
            entry: entry.entry.get(),
            kind: entry.kind.as_str(),
            amount: amount(entry.amount, scale),
            balance_after: amount(entry.balance_after, scale),
            time: instant(entry.time),
            allocations: entry.allocations.iter().map(allocation).collect(),
            overdraft: (entry.debt.units() != 0).then(|| amount(entry.debt, scale)),
            event,
            grant: entry.grant.map(|grant| engine.grant_text(grant)),
            crossed: entry.crossed.iter().map(ToString::to_string).collect(),
            reverses: correction.reverses.map(Lsn::get),
            reason: correction.reason,
            invoice: correction.invoice,
            transfer: correction.transfer.map(|transfer| OtherSideBody {
                id: engine.transfer_text(transfer.transfer),
                customer: transfer.customer,
                entry: transfer.entry.get(),
            }),
            hold: entry.hold.map(|hold| engine.hold_text(hold)),
            held: entry.hold.map(|_| amount(entry.held, scale)),
        }
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
    projected: String,
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
            projected: sum(total.projected, scale),
        }
    }
}
