//! Records survive their bytes, bytes that are no records are told apart, and the bytes themselves do not change.
//!
//! A file for each kind of record ([`debits`], [`operations`], [`holds`], [`admin`]); [`bound`] holds what is reserved for an operation against
//! what the rules make of it, and [`damage`] reads what was never written. Here is what they all need.

mod admin;
mod bound;
mod damage;
mod debits;
mod holds;
mod operations;

pub(super) use admin::{admin_survives, placed_admin};
pub(super) use operations::{full_operation, operation_survives, placed};

use super::frame::Prelude;
use super::{Corrupt, Record, records};
use crate::ledger::{Decimal, Timestamp};
use drawdown_wal::Lsn;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const PAYLOAD: Lsn = Lsn::new(4_128);

fn decimal(mantissa: i64, scale: u8) -> Decimal {
    Decimal::from_parts(mantissa, scale).expect("18 places at most")
}

/// A frame's payload of one record that was encoded by itself.
pub(super) fn frame_of(record: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; Prelude::length("")];
    Prelude { time: NOW, source: "" }.write(&mut payload);
    payload.extend_from_slice(record);
    payload
}

fn only_record(payload: &[u8]) -> Result<Record<'_>, Corrupt> {
    let mut all = records(payload, PAYLOAD)?;
    assert_eq!(all.prelude().time, NOW);
    let (lsn, record) = all.next().expect("one record")?;
    assert_eq!(lsn.get(), PAYLOAD.get() + Prelude::length("") as u64);
    assert!(all.next().is_none());
    Ok(record)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
