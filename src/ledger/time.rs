//! Instants, as milliseconds since the Unix epoch. This module cannot tell the time; it is told.

/// An instant in UTC, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The epoch itself.
    pub const EPOCH: Timestamp = Timestamp(0);

    /// The instant `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Timestamp {
        Timestamp(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The instant `millis` later, or the last one that exists.
    #[must_use]
    pub const fn saturating_add(self, millis: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(millis))
    }
}

/// When a grant ends: the first instant at which it cannot be spent, or never.
///
/// Orders as the spend order wants it, `NEVER` last. It takes eight bytes where `Option<Timestamp>` takes sixteen; the price
/// is that the very last millisecond of [`Timestamp`], 584 million years away, means "never".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expiry(u64);

impl Expiry {
    /// No end.
    pub const NEVER: Expiry = Expiry(u64::MAX);

    /// Ends at `instant`: spendable up to the millisecond before.
    pub const fn at(instant: Timestamp) -> Expiry {
        Expiry(instant.0)
    }

    /// The instant of the end, if there is one.
    pub const fn timestamp(self) -> Option<Timestamp> {
        if self.0 == u64::MAX { None } else { Some(Timestamp(self.0)) }
    }

    /// Whether the end has come at `now`. Exact: due in the very millisecond of the expiry.
    pub const fn is_due(self, now: Timestamp) -> bool {
        self.0 != u64::MAX && self.0 <= now.0
    }
}

impl From<Option<Timestamp>> for Expiry {
    fn from(instant: Option<Timestamp>) -> Expiry {
        instant.map_or(Expiry::NEVER, Expiry::at)
    }
}

impl From<Expiry> for Option<Timestamp> {
    fn from(expiry: Expiry) -> Option<Timestamp> {
        expiry.timestamp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_due_from_its_own_millisecond_on() {
        let expiry = Expiry::at(Timestamp::from_millis(1_000));
        assert!(!expiry.is_due(Timestamp::from_millis(999)));
        assert!(expiry.is_due(Timestamp::from_millis(1_000)));
        assert!(expiry.is_due(Timestamp::from_millis(1_001)));
    }

    #[test]
    fn never_is_never_due_and_orders_last() {
        let last = Timestamp::from_millis(u64::MAX);
        assert!(!Expiry::NEVER.is_due(last));
        assert_eq!(Expiry::NEVER.timestamp(), None);
        assert!(Expiry::at(Timestamp::from_millis(u64::MAX - 1)) < Expiry::NEVER);
        assert_eq!(Expiry::from(None), Expiry::NEVER);
        assert_eq!(Option::<Timestamp>::from(Expiry::at(Timestamp::EPOCH)), Some(Timestamp::EPOCH));
    }
}
