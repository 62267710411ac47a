//! The frame of a round, filled from the front.

use crate::journal::debit::DebitRecord;
use crate::journal::frame::Prelude;
use crate::ledger::Timestamp;
use drawdown_wal::Lsn;

/// The payload of a reserved frame, and how far it is filled.
#[derive(Debug)]
pub(super) struct Page<'a> {
    payload: &'a mut [u8],
    first: u64,
    used: usize,
    count: u32,
    /// Bytes that none of the records still to come lays claim to.
    spare: usize,
}

impl<'a> Page<'a> {
    /// Payload bytes that a page for records of `records` bytes in all takes.
    pub(super) fn payload_bytes(source: &str, records: usize) -> usize {
        Prelude::length(source) + records
    }

    /// Begins a page in the payload that stands at `first` and was reserved for records of `records` bytes in all.
    pub(super) fn new(payload: &'a mut [u8], first: Lsn, records: usize, time: Timestamp, source: &str) -> Page<'a> {
        let used = Prelude { time, source }.write(payload);
        let spare = payload.len() - used - records;
        Page { payload, first: first.get(), used, count: 0, spare }
    }

    /// Where the next record will stand.
    #[inline]
    pub(super) fn lsn(&self) -> Lsn {
        Lsn::new(self.first + self.used as u64)
    }

    /// Bytes by which the next record may exceed what was reserved for it.
    pub(super) fn spare(&self) -> usize {
        self.spare
    }

    /// Writes a record for which `reserved` bytes were set apart.
    #[inline]
    pub(super) fn write(&mut self, record: &DebitRecord<'_>, with_source: bool, reserved: usize) {
        let length = record.write(&mut self.payload[self.used..], self.used as u32, with_source);
        self.used += length;
        self.count += 1;
        self.spare = (self.spare + reserved).checked_sub(length).expect("a record takes no more than it may");
    }

    /// Gives up the place of a record that is not written here after all.
    pub(super) fn pass_over(&mut self, reserved: usize) {
        self.spare += reserved;
    }

    /// Bytes used and records written.
    pub(super) fn finish(self) -> (usize, u32) {
        (self.used, self.count)
    }
}
