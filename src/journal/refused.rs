//! The administrative record of usage that a wallet refused. It is there to be told and changes nothing.

use crate::ledger::{Amount, Timestamp};
use serde::{Deserialize, Serialize};

/// A wallet refused usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    /// The wallet.
    pub slot: u32,
    /// When it was refused.
    pub at: Timestamp,
    /// The event.
    pub event_id: String,
    /// Its source.
    pub source: String,
    /// Its own time.
    pub event_time: Timestamp,
    /// What it asked for.
    pub amount: Amount,
    /// Why: the slug that the sender was answered.
    pub reason: String,
    /// The balance then.
    pub balance: Amount,
    /// What was available then.
    pub available: Amount,
    /// How many events were refused since the record before, this one included.
    pub count: u64,
}

/// Wallet, instant, event, source, its time, amount, reason, balance, available, count.
#[derive(Serialize, Deserialize)]
pub(super) struct WireRefused(u32, u64, String, String, u64, i64, String, i64, i64, u64);

impl From<&RefusedRecord> for WireRefused {
    fn from(record: &RefusedRecord) -> Self {
        WireRefused(
            record.slot,
            record.at.millis(),
            record.event_id.clone(),
            record.source.clone(),
            record.event_time.millis(),
            record.amount.units(),
            record.reason.clone(),
            record.balance.units(),
            record.available.units(),
            record.count,
        )
    }
}

impl From<WireRefused> for RefusedRecord {
    fn from(wire: WireRefused) -> Self {
        let WireRefused(slot, at, event_id, source, event_time, amount, reason, balance, available, count) = wire;
        RefusedRecord {
            slot,
            at: Timestamp::from_millis(at),
            event_id,
            source,
            event_time: Timestamp::from_millis(event_time),
            amount: Amount::new(amount),
            reason,
            balance: Amount::new(balance),
            available: Amount::new(available),
            count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::admin::AdminRecord;
    use super::super::tests::{NOW, admin_survives, hex};
    use super::*;

    #[test]
    fn a_refusal_survives_and_its_bytes_are_pinned() {
        let refused = AdminRecord::Refused(RefusedRecord {
            slot: 7,
            at: NOW,
            event_id: "e1".to_owned(),
            source: "gw".to_owned(),
            event_time: NOW,
            amount: Amount::new(500),
            reason: "insufficient_credit".to_owned(),
            balance: Amount::new(12),
            available: Amount::new(-5),
            count: 3,
        });
        admin_survives(&refused);
        assert_eq!(hex(&refused.encode()), GOLDEN);
    }

    const GOLDEN: &str = "363d000000000000019a07cf000001a3185c5000a26531a26777cf000001a3185c5000cd01f4b3696e73756666696369656e\
        745f6372656469740cfb03";
}
