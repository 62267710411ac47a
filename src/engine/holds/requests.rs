//! What is asked of holds, and what is answered.

use crate::engine::catalog::CreditCurrency;
use crate::engine::view::CommandError;
use crate::ledger::{Amount, Decimal, HoldId, OnExceed, Scale, Timestamp};
use drawdown_wal::Lsn;
use std::sync::Arc;

/// A hold to be made.
#[derive(Clone, Copy, Debug)]
pub struct HoldRequest<'a> {
    /// The caller's id, 1 to 128 bytes, not beginning with `hld_` or `idk:`: the same id and content is the same hold. `None` has one made.
    pub id: Option<&'a str>,
    /// The wallet's owner. The wallet must be there.
    pub customer: &'a str,
    /// The wallet's currency; `None` takes the only one.
    pub currency: Option<&'a str>,
    /// Greater than zero, in credits.
    pub amount: Decimal,
    /// How long it lasts, ms: a day at most, and the idempotency window at most. `None` is a quarter of an hour, or the window if that is less.
    pub ttl_ms: Option<u64>,
    /// What becomes of a capture that exceeds it.
    pub on_exceed: OnExceed,
}

/// A capture to be made.
#[derive(Clone, Copy, Debug)]
pub struct CaptureRequest<'a> {
    /// The hold.
    pub hold: &'a str,
    /// How much, in credits: greater than zero, or nothing if it is final.
    pub amount: Decimal,
    /// Whether what is left of the hold is released.
    pub is_final: bool,
}

/// A new end of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldEnd {
    /// An instant.
    At(Timestamp),
    /// So long from now, ms.
    In(u64),
}

impl HoldEnd {
    /// The instant that it is if it is asked for at `now`.
    pub(super) fn from(self, now: Timestamp) -> Timestamp {
        match self {
            HoldEnd::At(instant) => instant,
            HoldEnd::In(ms) => now.saturating_add(ms),
        }
    }
}

/// Where a hold is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldStatus {
    /// It holds credits.
    Open,
    /// It ended with a capture: its last credit was taken, or the capture was final.
    Captured,
    /// It was released.
    Released,
    /// Its time was over.
    Expired,
}

impl HoldStatus {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            HoldStatus::Open => "open",
            HoldStatus::Captured => "captured",
            HoldStatus::Released => "released",
            HoldStatus::Expired => "expired",
        }
    }
}

/// A hold at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldState {
    /// Its number; the public text is made by [`super::Engine::hold_text`].
    pub id: HoldId,
    /// Where its wallet is.
    pub(super) slot: u32,
    /// Where it is in its life.
    pub status: HoldStatus,
    /// What it was made with.
    pub amount: Amount,
    /// What was captured in all, beyond the hold and late too.
    pub captured: Amount,
    /// What is held still; zero when it has ended.
    pub remaining: Amount,
    /// What it gave back when it ended.
    pub released: Amount,
    /// The first instant at which it is over, or was.
    pub expires_at: Timestamp,
    /// What becomes of a capture that exceeds it.
    pub on_exceed: OnExceed,
}

/// A hold with its wallet.
#[derive(Clone, Debug)]
pub struct HoldView {
    /// The text by which clients know it.
    pub text: String,
    /// The wallet's owner.
    pub customer: String,
    /// The wallet's currency.
    pub currency: Arc<CreditCurrency>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The hold as it is now.
    pub state: HoldState,
}

/// A wallet behind what was done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The balance.
    pub balance: Amount,
    /// What can be spent.
    pub available: Amount,
    /// Decimal places of the currency.
    pub scale: Scale,
}

/// What became of a requested hold.
#[derive(Clone, Debug)]
pub struct HoldOutcome {
    /// The hold as it is now, and its wallet; or why there is none.
    pub result: Result<(HoldState, Standing), CommandError>,
    /// The id was used before with the same content.
    pub replayed: bool,
}

/// What a capture took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The hold afterwards.
    pub state: HoldState,
    /// The wallet afterwards.
    pub standing: Standing,
    /// What was taken.
    pub amount: Amount,
    /// What was asked for and not taken.
    pub shortfall: Amount,
    /// What of `amount` was not available.
    pub overdraft: Amount,
    /// The hold was over: it was debited like any usage.
    pub is_late: bool,
    /// The entry's number; `None` if nothing was to be done.
    pub entry: Option<Lsn>,
}

/// What became of a requested capture.
pub type CaptureOutcome = Result<Captured, CommandError>;
