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
    /// What the command was planned from does not hold any more: to be planned again.
    Superseded,
    /// There is no such hold.
    UnknownHold,
    /// The hold was captured, released or is over.
    HoldEnded,
    /// The capture exceeds what the hold has left, and the hold's policy refuses that.
    CaptureExceedsHold {
        /// What the hold has left.
        remaining: Amount,
        /// What was asked for.
        required: Amount,
    },
    /// The wallet has as many open holds as a wallet can have.
    TooManyHolds,
    /// Another event of its group was refused, and with it all of them.
    GroupRejected,
}

impl Rejection {
    /// How many kinds of rejection there are.
    pub const KINDS: usize = 28;

    /// The stable names that clients see, by [`Rejection::kind`].
    pub const SLUGS: [&'static str; Self::KINDS] = [
        "insufficient_credit",
        "unknown_wallet",
        "wallet_frozen",
        "wallet_closed",
        "wallet_held",
        "event_too_old",
        "event_in_future",
        "id_conflict",
        "unknown_meter",
        "unknown_currency",
        "invalid_amount",
        "invalid_id",
        "invalid_source",
        "invalid_priority",
        "invalid_cost",
        "unknown_grant",
        "grant_ended",
        "max_balance_exceeded",
        "expiry_in_past",
        "expiry_before_effective",
        "balance_overflow",
        "too_many_grants",
        "superseded",
        "unknown_hold",
        "hold_ended",
        "capture_exceeds_hold",
        "too_many_holds",
        "group_rejected",
    ];

    /// The kind's number, from 0 on: for tables of counts. The order means nothing and may change.
    pub const fn kind(&self) -> usize {
        match self {
            Rejection::InsufficientCredit { .. } => 0,
            Rejection::UnknownWallet => 1,
            Rejection::WalletFrozen => 2,
            Rejection::WalletClosed => 3,
            Rejection::WalletHeld { .. } => 4,
            Rejection::EventTooOld => 5,
            Rejection::EventInFuture => 6,
            Rejection::IdConflict => 7,
            Rejection::UnknownMeter => 8,
            Rejection::UnknownCurrency => 9,
            Rejection::InvalidAmount => 10,
            Rejection::InvalidId { .. } => 11,
            Rejection::InvalidSource => 12,
            Rejection::InvalidPriority => 13,
            Rejection::InvalidCost => 14,
            Rejection::UnknownGrant => 15,
            Rejection::GrantEnded => 16,
            Rejection::MaxBalanceExceeded { .. } => 17,
            Rejection::ExpiryInPast => 18,
            Rejection::ExpiryBeforeEffective => 19,
            Rejection::BalanceOverflow => 20,
            Rejection::TooManyGrants => 21,
            Rejection::Superseded => 22,
            Rejection::UnknownHold => 23,
            Rejection::HoldEnded => 24,
            Rejection::CaptureExceedsHold { .. } => 25,
            Rejection::TooManyHolds => 26,
            Rejection::GroupRejected => 27,
        }
    }

    /// The stable name that clients see.
    pub const fn slug(&self) -> &'static str {
        Self::SLUGS[self.kind()]
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
            (Rejection::Superseded, "superseded"),
            (Rejection::UnknownHold, "unknown_hold"),
            (Rejection::HoldEnded, "hold_ended"),
            (Rejection::CaptureExceedsHold { remaining: amount, required: amount }, "capture_exceeds_hold"),
            (Rejection::TooManyHolds, "too_many_holds"),
            (Rejection::GroupRejected, "group_rejected"),
        ];
        for (rejection, slug) in table {
            assert_eq!(rejection.slug(), slug);
            assert_eq!(rejection.to_string(), slug);
        }
        let kinds: std::collections::BTreeSet<_> = table.iter().map(|(rejection, _)| rejection.kind()).collect();
        assert!(kinds.into_iter().eq(0..Rejection::KINDS), "every kind has a number of its own, without gaps");
    }
}
