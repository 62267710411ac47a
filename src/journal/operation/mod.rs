//! The record of an operation: the end of a wallet's generation and the opening of the next.
//!
//! ```text
//!  0 tag u8, length u24        16 closing balance i64     40 previous opening u64
//!  4 distance to frame u32     24 opening balance i64     48 server's time u64 (ms)
//!  8 slot u32                  32 previous u64            56 version u8
//! 12 generation u32 (low)                                 57 adjustment i64, 65 copy that counts u64
//!                                                         73 body
//! ```
//! Version 1 has its body in `MessagePack`; version 2, of operations on holds, packed (`packed.rs`).
//!
//! Several threads may help an operation along, and each may log a copy of its record. Answers name one of them, and must name the same
//! one after a restart; so each copy says which it is.
//!
//! The record says what was asked, what happened on the way (movements, lines crossed), and what the wallet holds afterwards (its lots
//! with their remainders), so that history, feed and allocations are read from it alone, without folding the log up to it. Replay
//! computes all of that again from the operation and refuses a log in which the two differ.
//!
//! Here are the record, its fixed part, and where its bytes stand. `made.rs` makes a record of a change; `bound.rs` says how long it can become;
//! `wire.rs` is the body in `MessagePack`, which consists of `grants.rs`, `levels.rs` and `movements.rs`, with enumerations by `numbers.rs`.

mod bound;
mod grants;
mod levels;
mod made;
mod movements;
mod numbers;
mod wire;

pub use bound::length_bound;
pub use made::{OnHold, body, write_hold};

pub(super) use levels::{WireLevel, any_levels_of, percent_of, watches_number, watches_of, wire_any_levels};
pub(super) use numbers::{policy_number, policy_of};

use super::Corrupt;
use super::bytes::{Fields, Writer};
use super::debit::Metered;
use super::frame::{PREFIX, Prelude, prefix_word, tag};
use super::keyed::Keyed;
use super::note::Note;
use super::packed;
use crate::ledger::{Amount, GrantId, Movement, Operation, Taken, Timestamp};
use serde::{Deserialize, Serialize};
use wire::WireBody;

const FIXED: usize = 73;
const VERSION: u8 = 1;
const VERSION_PACKED: u8 = 2;

/// The record of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRecord<'a> {
    /// The wallet.
    pub slot: u32,
    /// The low half of the number of the generation that it opened.
    pub generation: u32,
    /// The balance at which the old generation closed.
    pub closing: Amount,
    /// The balance at which the new one opened.
    pub opening: Amount,
    /// LSN of the wallet's record before this one, 0 for none.
    pub previous: u64,
    /// LSN of the record that opened the old generation, 0 for a wallet's first.
    pub previous_opening: u64,
    /// The server's time, at which the rules were applied.
    pub time: Timestamp,
    /// Available credit less balance in the new generation: the overdraft allowance less open holds.
    pub adjustment: i64,
    /// LSN of the copy of this record that counts: this one's own where there are no others.
    pub counts: u64,
    /// The rest.
    pub body: Body<'a>,
}

/// What an operation's record says beside the balances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body<'a> {
    /// What was asked.
    pub operation: Operation,
    /// The event behind a debit.
    pub event: Option<Event<'a>>,
    /// What a debit took; zeroes for other operations.
    pub taken: Taken,
    /// The rules refused the operation itself; what had fallen due took place.
    pub rejected: bool,
    /// What happened, in order.
    pub movements: Vec<Movement>,
    /// Lines crossed, by the levels' names.
    pub crossed: Names<'a>,
    /// Lines recovered, by the levels' names.
    pub recovered: Names<'a>,
    /// What is left of each grant in the new generation, in spend order; scheduled grants are not among them.
    pub lots: Vec<(GrantId, Amount)>,
    /// What recovery mended, for operations that reopen a wallet after a crash.
    pub repair: Repair,
    /// What was said about a correction.
    pub note: Option<Box<Note>>,
    /// Under which key an operation on a hold was asked for, if it was under one.
    pub keyed: Option<Box<Keyed>>,
}

/// The event behind a debit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The sender's id.
    pub id: &'a str,
    /// The sender.
    pub source: &'a str,
    /// The event's own time, or the server's.
    pub time: Timestamp,
    /// Meter and quantity, for metered events.
    pub metered: Option<Metered>,
}

/// Lines that a balance crossed, named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names<'a> {
    /// The levels' names, in rising order of their lines.
    #[serde(borrow)]
    pub levels: Vec<&'a str>,
    /// The line between one unit and none.
    pub depleted: bool,
    /// The line between none and debt.
    pub negative: bool,
    /// Levels among them of which nobody is to be told. Left out where there are none.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub quiet: Vec<&'a str>,
}

impl Names<'_> {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        let Names { levels, depleted, negative, quiet } = self;
        levels.is_empty() && !depleted && !negative && quiet.is_empty()
    }
}

/// What recovery found and mended in the wallet's last records before a crash. None of them had been acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// Records whose link pointed behind the end of the log: (record, the record that now precedes it).
    pub relinked: Vec<(u64, u64)>,
    /// Debits whose balance counted on a debit that was lost: (record, the balance after it without that).
    pub corrected: Vec<(u64, i64)>,
    /// Debits of a generation that was never opened in the log: they did not take place.
    pub dropped: Vec<u64>,
}

impl Repair {
    /// Whether there was nothing to mend.
    pub fn is_empty(&self) -> bool {
        self.relinked.is_empty() && self.corrected.is_empty() && self.dropped.is_empty()
    }
}

impl<'a> OperationRecord<'a> {
    /// The record's bytes but for the three fields that are known only when its place in the log is: see [`place`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(3 * FIXED);
        self.write(&mut out);
        out
    }

    /// As [`OperationRecord::encode`], in place of what `out` has.
    pub fn write(&self, out: &mut Vec<u8>) {
        begin_record(out);
        let version = if packed::is_packed(&self.body.operation) {
            packed::write(&self.body, out);
            VERSION_PACKED
        } else {
            let body = WireBody::from(&self.body);
            rmp_serde::encode::write(out, &body).expect("a vector takes what is written to it");
            VERSION
        };
        let head = Head {
            slot: self.slot,
            generation: self.generation,
            closing: self.closing,
            opening: self.opening,
            previous_opening: self.previous_opening,
            time: self.time,
            adjustment: self.adjustment,
        };
        head.write(version, out);
        place(out, 0, self.previous, self.counts);
    }

    pub(super) fn read(bytes: &'a [u8], _prelude: Prelude<'a>) -> Result<Self, Corrupt> {
        let mut fields = Fields(bytes);
        fields.take(PREFIX + 4)?;
        let slot = fields.u32()?;
        let generation = fields.u32()?;
        let closing = Amount::new(fields.i64()?);
        let opening = Amount::new(fields.i64()?);
        let previous = fields.u64()?;
        let previous_opening = fields.u64()?;
        let time = Timestamp::from_millis(fields.u64()?);
        let version = fields.u8()?;
        if !matches!(version, VERSION | VERSION_PACKED) {
            return Err(Corrupt::UnknownVersion { tag: tag::OPERATION, version });
        }
        let adjustment = fields.i64()?;
        let counts = fields.u64()?;
        let body = if version == VERSION_PACKED {
            packed::read(&mut fields)?
        } else {
            let body: WireBody<'a> = rmp_serde::from_slice(fields.0).map_err(|_| Corrupt::Malformed("body"))?;
            Body::try_from(body)?
        };
        Ok(OperationRecord {
            slot,
            generation,
            closing,
            opening,
            previous,
            previous_opening,
            time,
            adjustment,
            counts,
            body,
        })
    }
}

/// What of a record is known when its operation has been computed, beside its body.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// The wallet.
    pub slot: u32,
    /// The low half of the number of the generation that it opened.
    pub generation: u32,
    /// The balance at which the old generation closed.
    pub closing: Amount,
    /// The balance at which the new one opened.
    pub opening: Amount,
    /// LSN of the record that opened the old generation.
    pub previous_opening: u64,
    /// The server's time.
    pub time: Timestamp,
    /// Available credit less balance in the new generation.
    pub adjustment: i64,
}

impl Head {
    fn write(&self, version: u8, out: &mut [u8]) {
        let length = out.len();
        let mut writer = Writer::new(out);
        writer.put(&prefix_word(tag::OPERATION, length));
        writer.put(&[0; 4]);
        writer.put(&self.slot.to_le_bytes());
        writer.put(&self.generation.to_le_bytes());
        writer.put(&self.closing.units().to_le_bytes());
        writer.put(&self.opening.units().to_le_bytes());
        writer.put(&[0; 8]);
        writer.put(&self.previous_opening.to_le_bytes());
        writer.put(&self.time.millis().to_le_bytes());
        writer.put(&[version]);
        writer.put(&self.adjustment.to_le_bytes());
        writer.put(&[0; 8]);
    }
}

fn begin_record(out: &mut Vec<u8>) {
    out.clear();
    out.resize(FIXED, 0);
}

/// Fills in what is known only when an encoded record's place is: its distance from the start of its frame's payload, the wallet's
/// record before it, and the copy that counts.
pub fn place(record: &mut [u8], distance: u32, previous: u64, counts: u64) {
    record[4..8].copy_from_slice(&distance.to_le_bytes());
    record[32..40].copy_from_slice(&previous.to_le_bytes());
    record[65..73].copy_from_slice(&counts.to_le_bytes());
}

/// Links an encoded record to one before it in the same frame, which opened the generation that it ends.
pub fn place_behind(record: &mut [u8], previous_opening: u64) {
    record[40..48].copy_from_slice(&previous_opening.to_le_bytes());
}
