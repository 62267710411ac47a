//! What the engine answers to readers and to commands other than usage: plain values, copied from one consistent reading.

use super::catalog::CreditCurrency;
use super::runway::RunwayView;
pub use crate::catalog::{CostBasis, Metadata};
use crate::ledger::{
    Amount, Category, GrantId, HoldId, Percent, Rejection, Rollover, Source, Status, Timestamp, Trigger, Watches,
};
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
    /// In open holds, or frozen.
    pub held: Amount,
    /// `balance - held + overdraft allowance`.
    pub available: Amount,
    /// Zero, or minus the overdraft allowance.
    pub floor: Amount,
    /// Grants with something left, in spend order, then scheduled ones.
    pub grants: Vec<LotView>,
    /// What is available less what is committed.
    pub projected: Amount,
    /// What is committed.
    pub committed: Amount,
    /// Alert levels with their state.
    pub alerts: Vec<AlertView>,
    /// Whose levels those are.
    pub alerts_of: AlertsOf,
    /// The burn rate and runway, if they are watched.
    pub runway: Option<RunwayView>,
    /// The newest entry.
    pub last_entry: Option<Lsn>,
    /// The caller's own data.
    pub metadata: Metadata,
    /// How many open holds there are, without what is frozen.
    pub holds: usize,
    /// How many grants wait for their payment.
    pub pending_count: u64,
    /// What they come to, in smallest units. Debt that they will pay makes room for more than an amount can say.
    pub pending_amount: i128,
    /// What of `held` is frozen, because the payments for it are disputed.
    pub frozen: Amount,
}

/// One grant inside a wallet's balance.
#[derive(Clone, Debug)]
pub struct LotView {
    /// The grant.
    pub id: GrantId,
    /// What is left of it, at the reading's instant, in open holds too.
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
    /// What of `remaining` is in open holds or frozen. A grant that has ended can have such credits still.
    pub held: Amount,
    /// What of `held` is frozen, because the payment for the grant is disputed.
    pub frozen: Amount,
}

/// Whose levels a wallet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertsOf {
    /// Its own, be they none.
    Wallet,
    /// This version of its currency's default ones; 0 while there are none.
    Currency(u32),
}

/// An alert level with its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertView {
    /// The level's name, unique within the wallet.
    pub name: String,
    /// Compared with the watched figure; of a percentage what it comes to now.
    pub amount: Amount,
    /// Below, or at or below.
    pub trigger: Trigger,
    /// How far above the level the balance must come to re-arm it.
    pub margin: Amount,
    /// Crossed and not yet re-armed.
    pub triggered: bool,
    /// The figure that is compared with the amount.
    pub watches: Watches,
    /// The share of what was granted that the amount is.
    pub percent: Option<Percent>,
    /// The shortest time between two alerts, ms; 0 for none.
    pub min_interval_ms: u64,
    /// Crossed within that time, and not told.
    pub muted: bool,
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
    /// What is left, in open holds too.
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
    /// What of `remaining` is in open holds.
    pub held: Amount,
    /// The caller's reference of the payment.
    pub payment: Option<String>,
    /// How long it lasts from its payment on, ms.
    pub valid_for_ms: Option<u64>,
    /// What becomes of its remainder at its end.
    pub rollover: Option<Rollover>,
    /// The grant that it was the remainder of, or the part of another wallet's that was transferred.
    pub parent: Option<GrantId>,
    /// What its remainder went on as, and how much that was; as long as history knows.
    pub rolled_over: Option<(GrantId, Amount)>,
    /// The recurring grant that made it: its id, and which occurrence this is.
    pub recurrence: Option<(String, u64)>,
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
    /// It waits for its payment and counts for nothing.
    Pending,
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
    /// What few grants have.
    pub options: GrantOptions,
}

/// What few grants have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantOptions {
    /// The caller's reference of the payment, 1 to 255 bytes.
    pub payment: Option<String>,
    /// It counts for nothing until it is paid for.
    pub pending: bool,
    /// For one that is pending: how long it lasts from its payment on, in place of an end; above zero, ms.
    pub valid_for_ms: Option<u64>,
    /// What becomes of its remainder at its end.
    pub rollover: Option<RolloverSpec>,
}

/// What is to become of a grant's remainder at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloverSpec {
    /// Which part of it rolls over, above 0 and 1 at most; `None` is all of it.
    pub fraction: Option<crate::ledger::Decimal>,
    /// No more than this, in credits.
    pub max: Option<crate::ledger::Decimal>,
    /// How long the new grant lasts, ms; `None` is for ever.
    pub valid_for_ms: Option<u64>,
    /// The new grant's priority; `None` takes the default of its source, `rollover`.
    pub priority: Option<u8>,
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
    /// The ledger contradicts itself: better no answer than a wrong one.
    #[error("the ledger contradicts itself: {what}")]
    Inconsistent {
        /// The contradiction.
        what: &'static str,
    },
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
    /// For corrections: what was said about them.
    pub correction: Option<Box<CorrectionRef>>,
    /// For what happened to a hold, and captures: that hold.
    pub hold: Option<HoldRef>,
    /// Signed movement of what is held.
    pub held: Amount,
}

/// What was said about a correction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorrectionRef {
    /// Why it was made.
    pub reason: Option<String>,
    /// For charges: what was to be paid.
    pub invoice: Option<String>,
    /// For reversals: the debit's entry.
    pub reverses: Option<Lsn>,
    /// For transfers: the other side.
    pub transfer: Option<TransferRef>,
}

/// The other side of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferRef {
    /// The entry of the wallet that gave: the transfer's number ([`super::Engine::transfer_text`]).
    pub transfer: Lsn,
    /// The other wallet's entry.
    pub entry: Lsn,
    /// The other wallet's owner.
    pub customer: String,
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
    /// Settings changed (status, floor, alerts, a grant's or a hold's expiry); the balance does not move.
    Settings,
    /// A debit was taken back, or a part of it. The allocations say which grants got something back, `debt` how much debt was taken back.
    Reversal,
    /// Credits that an operator gave or took.
    Adjustment,
    /// An invoice was paid from the wallet.
    Charge,
    /// Credits set aside under a hold; the balance does not move.
    Hold,
    /// Credits taken from a hold.
    Capture,
    /// A hold ended and gave back what it had left; the balance does not move.
    Release,
    /// A hold's time was over; the balance does not move.
    HoldExpiry,
    /// Credits consumed by a capture that came when its hold was over.
    LateCapture,
    /// A grant that counts for nothing until it is paid for; the balance does not move.
    GrantPending,
    /// A grant was paid for; the balance moves when it becomes effective.
    GrantPaid,
    /// What an ended grant left goes on as a new grant, which the entry names; the balance does not move.
    Rollover,
    /// Credits that went to another wallet. The allocations say which grants gave.
    TransferOut,
    /// Credits that came from another wallet. The allocations are the grants that were made of them.
    TransferIn,
    /// Credits of a grant were frozen because the payment for it is disputed; the balance does not move.
    Freeze,
    /// They are free again; the balance does not move.
    Thaw,
}

impl EntryKind {
    /// Every kind.
    pub const ALL: [EntryKind; 23] = [
        EntryKind::Debit,
        EntryKind::Grant,
        EntryKind::GrantScheduled,
        EntryKind::Expiry,
        EntryKind::Void,
        EntryKind::DebtRepayment,
        EntryKind::WriteOff,
        EntryKind::Settings,
        EntryKind::Reversal,
        EntryKind::Adjustment,
        EntryKind::Charge,
        EntryKind::Hold,
        EntryKind::Capture,
        EntryKind::Release,
        EntryKind::HoldExpiry,
        EntryKind::LateCapture,
        EntryKind::GrantPending,
        EntryKind::GrantPaid,
        EntryKind::Rollover,
        EntryKind::TransferOut,
        EntryKind::TransferIn,
        EntryKind::Freeze,
        EntryKind::Thaw,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            EntryKind::Debit => "debit",
            EntryKind::Grant => "grant",
            EntryKind::GrantScheduled => "grant_scheduled",
            EntryKind::Expiry => "expiry",
            EntryKind::Void => "void",
            EntryKind::DebtRepayment => "debt_repayment",
            EntryKind::WriteOff => "write_off",
            EntryKind::Settings => "settings",
            EntryKind::Reversal => "reversal",
            EntryKind::Adjustment => "adjustment",
            EntryKind::Charge => "charge",
            EntryKind::Hold => "hold",
            EntryKind::Capture => "capture",
            EntryKind::Release => "release",
            EntryKind::HoldExpiry => "hold_expiry",
            EntryKind::LateCapture => "late_capture",
            EntryKind::GrantPending => "grant_pending",
            EntryKind::GrantPaid => "grant_paid",
            EntryKind::Rollover => "rollover",
            EntryKind::TransferOut => "transfer_out",
            EntryKind::TransferIn => "transfer_in",
            EntryKind::Freeze => "freeze",
            EntryKind::Thaw => "thaw",
        }
    }
}

/// A hold, and its wallet's slot: what its text is made of where no caller named it ([`Engine::hold_text`](super::Engine::hold_text)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldRef {
    /// Its number.
    pub id: HoldId,
    /// Its wallet's slot.
    pub slot: u32,
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
    /// At the end: everything before was looked at. What is waited behind.
    pub read: Lsn,
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
    /// Sum of what is projected.
    pub projected: i128,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertSpec {
    /// Its name, 1 to 128 bytes, unique within the wallet.
    pub name: String,
    /// Compared with the watched figure, in credits. Zero if there is a percentage.
    pub amount: crate::ledger::Decimal,
    /// Below, or at or below.
    pub trigger: Trigger,
    /// How far above the level the balance must come to re-arm it, in credits.
    pub margin: crate::ledger::Decimal,
    /// The figure that is compared with the amount.
    pub watches: Watches,
    /// A share of what was granted, in the place of the amount.
    pub percent: Option<Percent>,
    /// The shortest time between two alerts, ms; 0 for none.
    pub min_interval_ms: u64,
}
