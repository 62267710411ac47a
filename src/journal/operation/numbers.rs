//! Instants and enumerations in records, as numbers.

use crate::journal::Corrupt;
use crate::ledger::{Expiry, Policy, Status, Timestamp};

/// Never is the last millisecond that exists.
pub(super) fn millis(instant: Option<Timestamp>) -> u64 {
    instant.map_or(u64::MAX, Timestamp::millis)
}

pub(super) fn instant(millis: u64) -> Option<Timestamp> {
    (millis != u64::MAX).then(|| Timestamp::from_millis(millis))
}

pub(in crate::journal) fn policy_number(policy: Policy) -> u8 {
    match policy {
        Policy::Reject => 0,
        Policy::Partial => 1,
        Policy::Overdraft => 2,
    }
}

pub(in crate::journal) fn policy_of(number: u8) -> Result<Policy, Corrupt> {
    match number {
        0 => Ok(Policy::Reject),
        1 => Ok(Policy::Partial),
        2 => Ok(Policy::Overdraft),
        _ => Err(Corrupt::Malformed("policy")),
    }
}

pub(super) fn status_number(status: Status) -> u8 {
    match status {
        Status::Active => 0,
        Status::Frozen => 1,
        Status::Closed => 2,
    }
}

pub(super) fn status_of(number: u8) -> Result<Status, Corrupt> {
    match number {
        0 => Ok(Status::Active),
        1 => Ok(Status::Frozen),
        2 => Ok(Status::Closed),
        _ => Err(Corrupt::Malformed("status")),
    }
}

const _: () = assert!(Expiry::NEVER.timestamp().is_none(), "never is written as the last millisecond");
