//! Rejections: the rules said no, and nothing changed. They are answers, not errors.

use std::fmt;

use super::amount::Amount;

/// Why something asked for was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The wallet cannot pay.
    InsufficientCredit {
        /// What it could have paid; negative below the floor.
        available: Amount,
        /// What was asked for.
        required: Amount,
    },
    /// There is no such wallet.
    UnknownWallet,
    /// The wallet is frozen: it takes credits and gives none.
    WalletFrozen,
    /// The wallet is closed, for good.
    WalletClosed,
    /// The wallet cannot be closed while credits are held.
    WalletHeld {
        /// Credits under open holds.
        held: Amount,
    },
    /// The event is older than the window in which its identity is remembered.
    EventTooOld,
    /// The event's time has not come yet.
    EventInFuture,
    /// The id is taken, by something with other content.
    IdConflict,
    /// There is no such meter.
    UnknownMeter,
    /// There is no such currency.
    UnknownCurrency,
    /// The amount is no amount, or has the wrong sign, or does not fit.
    InvalidAmount,
    /// An identifier is empty, too long or otherwise malformed.
    InvalidId {
        /// The field that holds it.
        field: &'static str,
    },
    /// The source is malformed or not one of those that exist.
    InvalidSource,
    /// The priority is above 100.
    InvalidPriority,
    /// The cost basis is negative.
    InvalidCost,
    /// There is no such grant.
    UnknownGrant,
    /// The grant is depleted, expired or voided.
    GrantEnded,
    /// The currency allows no balance that high.
    MaxBalanceExceeded {
        /// The highest balance allowed.
        limit: Amount,
        /// What the balance would have come to, scheduled grants included.
        resulting: Amount,
    },
    /// The expiry is not in the future.
    ExpiryInPast,
    /// The expiry is not after the date at which the grant takes effect.
    ExpiryBeforeEffective,
    /// The balance would not fit.
    BalanceOverflow,
    /// The wallet has as many grants as a wallet can have.
    TooManyGrants,
}

impl Rejection {
    /// The stable name that clients see.
    pub const fn slug(&self) -> &'static str {
        match self {
            Rejection::InsufficientCredit { .. } => "insufficient_credit",
            Rejection::UnknownWallet => "unknown_wallet",
            Rejection::WalletFrozen => "wallet_frozen",
            Rejection::WalletClosed => "wallet_closed",
            Rejection::WalletHeld { .. } => "wallet_held",
            Rejection::EventTooOld => "event_too_old",
            Rejection::EventInFuture => "event_in_future",
            Rejection::IdConflict => "id_conflict",
            Rejection::UnknownMeter => "unknown_meter",
            Rejection::UnknownCurrency => "unknown_currency",
            Rejection::InvalidAmount => "invalid_amount",
            Rejection::InvalidId { .. } => "invalid_id",
            Rejection::InvalidSource => "invalid_source",
            Rejection::InvalidPriority => "invalid_priority",
            Rejection::InvalidCost => "invalid_cost",
            Rejection::UnknownGrant => "unknown_grant",
            Rejection::GrantEnded => "grant_ended",
            Rejection::MaxBalanceExceeded { .. } => "max_balance_exceeded",
            Rejection::ExpiryInPast => "expiry_in_past",
            Rejection::ExpiryBeforeEffective => "expiry_before_effective",
            Rejection::BalanceOverflow => "balance_overflow",
            Rejection::TooManyGrants => "too_many_grants",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_stable() {
        let amount = Amount::ONE;
        let table = [
            (Rejection::InsufficientCredit { available: amount, required: amount }, "insufficient_credit"),
            (Rejection::UnknownWallet, "unknown_wallet"),
            (Rejection::WalletFrozen, "wallet_frozen"),
            (Rejection::WalletClosed, "wallet_closed"),
            (Rejection::WalletHeld { held: amount }, "wallet_held"),
            (Rejection::EventTooOld, "event_too_old"),
            (Rejection::EventInFuture, "event_in_future"),
            (Rejection::IdConflict, "id_conflict"),
            (Rejection::UnknownMeter, "unknown_meter"),
            (Rejection::UnknownCurrency, "unknown_currency"),
            (Rejection::InvalidAmount, "invalid_amount"),
            (Rejection::InvalidId { field: "customer" }, "invalid_id"),
            (Rejection::InvalidSource, "invalid_source"),
            (Rejection::InvalidPriority, "invalid_priority"),
            (Rejection::InvalidCost, "invalid_cost"),
            (Rejection::UnknownGrant, "unknown_grant"),
            (Rejection::GrantEnded, "grant_ended"),
            (Rejection::MaxBalanceExceeded { limit: amount, resulting: amount }, "max_balance_exceeded"),
            (Rejection::ExpiryInPast, "expiry_in_past"),
            (Rejection::ExpiryBeforeEffective, "expiry_before_effective"),
            (Rejection::BalanceOverflow, "balance_overflow"),
            (Rejection::TooManyGrants, "too_many_grants"),
        ];
        for (rejection, slug) in table {
            assert_eq!(rejection.slug(), slug);
            assert_eq!(rejection.to_string(), slug);
        }
    }
}
