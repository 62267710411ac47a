//! What the engine answers to readers and to commands other than usage: plain values, copied from one consistent reading.

use super::catalog::CreditCurrency;
pub use crate::catalog::{CostBasis, Metadata};
use crate::ledger::{Amount, Category, GrantId, Rejection, Source, Status, Timestamp, Trigger};
use drawdown_wal::Lsn;
use std::sync::Arc;

/// A wallet at one instant.
#[derive(Clone, Debug)]
pub struct WalletView {
    /// The owner.
    pub customer: String,
    /// Its currency.
    pub currency: Arc<CreditCurrency>,
    /// Active, frozen or closed.
    pub status: Status,
    /// Sum of what remains of active grants, less debt.
    pub balance: Amount,
    /// In open holds.
    pub held: Amount,
    /// `balance - held + overdraft allowance`.
    pub available: Amount,
    /// Zero, or minus the overdraft allowance.
    pub floor: Amount,
    /// Grants with something left, in spend order, then scheduled ones.
    pub grants: Vec<LotView>,
    /// Alert levels with their state.
    pub alerts: Vec<AlertView>,
    /// The newest entry.
    pub last_entry: Option<Lsn>,
    /// The caller's own data.
    pub metadata: Metadata,
}

/// One grant inside a wallet's balance.
#[derive(Clone, Debug)]
pub struct LotView {
    /// The grant.
    pub id: GrantId,
    /// What is left of it, at the reading's instant.
    pub remaining: Amount,
    /// What it was when granted.
    pub amount: Amount,
    /// 0 is spent first, 100 last.
    pub priority: u8,
    /// Paid or promotional.
    pub category: Category,
    /// Spendable from this instant.
    pub effective_at: Timestamp,
    /// The first instant at which it cannot be spent.
    pub expires_at: Option<Timestamp>,
    /// Not yet effective.
    pub scheduled: bool,
}

/// An alert level with its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertView {
    /// The level's name, unique within the wallet.
    pub name: String,
    /// Compared with the balance.
    pub amount: Amount,
    /// Below, or at or below.
    pub trigger: Trigger,
    /// How far above the level the balance must come to re-arm it.
    pub margin: Amount,
    /// Crossed and not yet re-armed.
    pub triggered: bool,
}

/// A grant with everything that was said when it was made.
#[derive(Clone, Debug)]
pub struct GrantView {
    /// Its id; the public text is made by [`super::Engine::grant_text`].
    pub id: GrantId,
    /// The wallet's owner.
    pub customer: String,
    /// The wallet's currency.
    pub currency: Arc<CreditCurrency>,
    /// Where it came from.
    pub source: Source,
    /// Paid or promotional.
    pub category: Category,
    /// What was granted.
    pub amount: Amount,
    /// What is left.
    pub remaining: Amount,
    /// 0 is spent first, 100 last.
    pub priority: u8,
    /// Spendable from this instant.
    pub effective_at: Timestamp,
    /// The first instant at which it cannot be spent.
    pub expires_at: Option<Timestamp>,
    /// What was paid for it.
    pub cost_basis: Option<CostBasis>,
    /// scheduled, active, depleted, expired or voided.
    pub state: GrantState,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// The caller's own data.
    pub metadata: Metadata,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Where a grant is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantState {
    /// Not yet effective.
    Scheduled,
    /// Spendable.
    Active,
    /// Wholly spent.
    Depleted,
    /// Its remainder expired.
    Expired,
    /// Its remainder was voided, or written off when the wallet was closed.
    Voided,
}

/// A grant to be made.
#[derive(Clone, Debug)]
pub struct GrantRequest {
    /// The owner; the wallet is made by its first grant.
    pub customer: String,
    /// Currency id; `None` takes the only one.
    pub currency: Option<String>,
    /// Greater than zero, in credits.
    pub amount: crate::ledger::Decimal,
    /// Where it comes from.
    pub source: Source,
    /// Paid or promotional.
    pub category: Category,
    /// `None` takes the source's default.
    pub priority: Option<u8>,
    /// `None` is now.
    pub effective_at: Option<Timestamp>,
    /// `None` is never.
    pub expires_at: Option<Timestamp>,
    /// What was paid.
    pub cost_basis: Option<CostBasis>,
    /// Same key and content: the first answer again. Same key, other content: `idempotency_conflict`.
    pub key: Option<String>,
    /// The caller's own data.
    pub metadata: Metadata,
}

/// What became of one requested grant.
#[derive(Clone, Debug)]
pub struct GrantOutcome {
    /// The grant as it is now, or why there is none.
    pub result: Result<GrantView, CommandError>,
    /// The key was used before with the same content.
    pub replayed: bool,
}

/// Why a command other than usage did nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The rules said no.
    #[error("the ledger's rules refused the command: {}", .0.slug())]
    Rejected(Rejection),
    /// A field is not usable; nothing was looked up or changed.
    #[error("{field}: {detail}")]
    Invalid {
        /// The offending field, as the API names it.
        field: &'static str,
        /// What is wrong with it, for people.
        detail: String,
    },
    /// There is no such object.
    #[error("no such {what}")]
    NotFound {
        /// `wallet`, `grant`, `credit_currency`, `meter`, `api_key`, ...
        what: &'static str,
    },
    /// The change contradicts what stands.
    #[error("{detail}")]
    Conflict {
        /// A stable slug, such as `idempotency_conflict` or `currency_in_use`.
        slug: &'static str,
        /// What contradicts, for people.
        detail: String,
    },
    /// What is asked for lies in a part of the log that has been retired.
    #[error("history before {first} has been retired")]
    Retired {
        /// First position from which on the log is there.
        first: Lsn,
    },
    /// The server cannot take the command now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// As [`CommandError::Conflict`], about one field.
    #[error("{field}: {detail}")]
    FieldConflict {
        /// A stable slug, such as `currency_in_use` or `customer_archived`.
        slug: &'static str,
        /// The field, as the API names it.
        field: &'static str,
        /// What contradicts, for people.
        detail: String,
    },
}

/// Why the engine takes no writes just now. Nothing was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// More is waiting to be synced than the bound allows; try again shortly.
    #[error("the log is busy: more is waiting for the disk than the bound allows")]
    Overloaded,
    /// The disk has no room for the log.
    #[error("the disk has no room for the log: {0}")]
    NoSpace(String),
    /// A sync failed: the server must be restarted, and takes nothing until then.
    #[error("the log is poisoned: {0}")]
    Poisoned(String),
    /// The engine is closing.
    #[error("the server is shutting down")]
    Closed,
}

/// A change of a wallet's settings; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct WalletPatch {
    /// Freeze, thaw or close.
    pub status: Option<Status>,
    /// Zero, or minus the overdraft allowance, in credits.
    pub floor: Option<crate::ledger::Decimal>,
    /// Replaces the metadata.
    pub metadata: Option<Metadata>,
}

/// One line of a wallet's history.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The entry's number: the LSN of its record.
    pub entry: Lsn,
    /// `debit`, `grant`, `expiry`, `void`, ...: see [`EntryKind`].
    pub kind: EntryKind,
    /// Signed movement of the balance.
    pub amount: Amount,
    /// The balance after it.
    pub balance_after: Amount,
    /// The server's time.
    pub time: Timestamp,
    /// Which grants gave or took, with the amounts.
    pub allocations: Vec<(GrantId, Amount)>,
    /// The part of a debit that became debt.
    pub debt: Amount,
    /// For debits: the event behind it.
    pub event: Option<EventRef>,
    /// For movements of one grant: that grant.
    pub grant: Option<GrantId>,
    /// Alert levels crossed.
    pub crossed: Vec<Arc<str>>,
}

/// The event behind a debit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRef {
    /// The sender's id.
    pub id: String,
    /// The sender.
    pub source: String,
    /// The event's own time.
    pub time: Timestamp,
    /// Meter and quantity, for metered events.
    pub metered: Option<(String, crate::ledger::Decimal)>,
}

/// Kinds of history entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Credits consumed by an event.
    Debit,
    /// Credits added (when the grant becomes effective).
    Grant,
    /// A grant that will become effective later; the balance does not move.
    GrantScheduled,
    /// A grant's remainder expired.
    Expiry,
    /// A grant's remainder was voided.
    Void,
    /// A grant paid debt; the balance does not move by it.
    DebtRepayment,
    /// What was left when the wallet was closed.
    WriteOff,
    /// Settings changed (status, floor, alerts, a grant's expiry); the balance does not move.
    Settings,
}

/// One event of the feed: something that happened, already durable.
#[derive(Clone, Debug)]
pub struct FeedEvent {
    /// Its identity: the same each time that it is told.
    pub id: String,
    /// Position; give it back as `after` to go on behind it.
    pub lsn: Lsn,
    /// Within the record: several events may come of one.
    pub index: u16,
    /// `debit.applied`, `grant.created`, `balance.low`, `wallet.created`, ...
    pub kind: &'static str,
    /// The server's time.
    pub time: Timestamp,
    /// The wallet, where the event concerns one.
    pub customer: Option<String>,
    /// The wallet's currency.
    pub currency: Option<Arc<CreditCurrency>>,
    /// Typed fields of the event as (name, value), amounts already in credits as decimal text.
    pub data: Vec<(&'static str, FeedValue)>,
}

/// A field of a feed event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedValue {
    /// Text, also for amounts.
    Text(String),
    /// A number that is not an amount.
    Number(u64),
    /// An instant.
    Time(Timestamp),
}

/// A page of the feed.
#[derive(Clone, Debug)]
pub struct FeedPage {
    /// Events in LSN order.
    pub events: Vec<FeedEvent>,
    /// Give it back as `after`. It moves even when no event was selected.
    pub next: Lsn,
    /// The durable end has been reached.
    pub at_end: bool,
}

/// Sums over wallets of one currency.
#[derive(Clone, Debug)]
pub struct BalanceTotal {
    /// The currency.
    pub currency: Arc<CreditCurrency>,
    /// Number of wallets.
    pub wallets: u64,
    /// Sum of balances, in smallest units.
    pub balance: i128,
    /// Sum of holds.
    pub held: i128,
    /// Sum of what is available.
    pub available: i128,
}

/// A page of a wallet's history.
#[derive(Clone, Debug)]
pub struct EntriesPage {
    /// Newest first.
    pub entries: Vec<Entry>,
    /// Give it back as `before` for the next page; `None` when there is none.
    pub next: Option<Lsn>,
}

/// What a debit would come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckOutcome {
    /// It would be applied.
    pub allowed: bool,
    /// What it would debit.
    pub amount: Amount,
    /// The balance now.
    pub balance: Amount,
    /// Available credit now.
    pub available: Amount,
    /// Decimal places of the currency.
    pub scale: crate::ledger::Scale,
    /// Why it would not.
    pub reason: Option<Rejection>,
}

/// An alert level to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSpec {
    /// Its name, 1 to 64 bytes, unique within the wallet.
    pub name: String,
    /// Compared with the balance, in credits.
    pub amount: crate::ledger::Decimal,
    /// Below, or at or below.
    pub trigger: Trigger,
    /// How far above the level the balance must come to re-arm it, in credits.
    pub margin: crate::ledger::Decimal,
}
