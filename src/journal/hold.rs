//! The declaration of a hold: all that never changes about it. Its number is this record's LSN; it takes effect with the operation that
//! names it, and without one it does not exist.
//!
//! ```text
//!  0 tag u8, length u24           9 slot u32                22 amount i64
//!  4 distance to frame u32       13 on exceed u8            30 caller's id, if there is one
//!  8 version u8                  14 first end u64 (ms)
//! ```
//! Packed by hand, for a batch declares thousands in one frame.

use super::Corrupt;
use super::bytes::{Fields, Writer};
use super::frame::{PREFIX, prefix_word};
use crate::ledger::{Amount, OnExceed, Timestamp};

const VERSION: u8 = 1;
const FIXED: usize = PREFIX + 4 + 1 + 4 + 1 + 8 + 8;

/// All that never changes about a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRecord {
    /// The wallet.
    pub slot: u32,
    /// What is set aside.
    pub amount: Amount,
    /// The end that it was made with; it may have been moved since.
    pub expires_at: Timestamp,
    /// What becomes of a capture that exceeds it.
    pub on_exceed: OnExceed,
    /// The caller's id; without one its number is its name.
    pub id: Option<String>,
    /// When it was declared.
    pub created_at: Timestamp,
}

/// A declaration to be written.
#[derive(Clone, Copy, Debug)]
pub struct Declaration<'a> {
    /// The wallet.
    pub slot: u32,
    /// What is set aside.
    pub amount: Amount,
    /// Its end.
    pub expires_at: Timestamp,
    /// What becomes of a capture that exceeds it.
    pub on_exceed: OnExceed,
    /// The caller's id.
    pub id: Option<&'a str>,
}

impl Declaration<'_> {
    /// Bytes that the record takes.
    pub fn length(&self) -> usize {
        FIXED + self.id.map_or(0, str::len)
    }

    /// Writes the record at the start of `out`, `distance` bytes behind the start of its frame's payload.
    pub fn write(&self, out: &mut [u8], distance: u32) {
        let mut writer = Writer::new(out);
        writer.put(&prefix_word(super::admin::HOLD, self.length()));
        writer.put(&distance.to_le_bytes());
        writer.put(&[VERSION]);
        writer.put(&self.slot.to_le_bytes());
        writer.put(&[number_of(self.on_exceed)]);
        writer.put(&self.expires_at.millis().to_le_bytes());
        writer.put(&self.amount.units().to_le_bytes());
        writer.put_short(self.id.unwrap_or_default().as_bytes());
    }
}

impl HoldRecord {
    /// The record's bytes but for its distance from its frame's start.
    pub(super) fn encode(&self) -> Vec<u8> {
        let HoldRecord { slot, amount, expires_at, on_exceed, ref id, created_at: _ } = *self;
        let declaration = Declaration { slot, amount, expires_at, on_exceed, id: id.as_deref() };
        let mut out = vec![0; declaration.length()];
        declaration.write(&mut out, 0);
        out
    }

    /// Reads the record, whose frame was written at `time`.
    pub(super) fn read(bytes: &[u8], time: Timestamp) -> Result<Self, Corrupt> {
        let Declaration { slot, amount, expires_at, on_exceed, id } = declaration(bytes)?;
        Ok(HoldRecord { slot, amount, expires_at, on_exceed, id: id.map(str::to_owned), created_at: time })
    }
}

fn declaration(bytes: &[u8]) -> Result<Declaration<'_>, Corrupt> {
    let mut fields = Fields(bytes);
    fields.take(PREFIX + 4)?;
    let version = fields.u8()?;
    if version != VERSION {
        return Err(Corrupt::UnknownVersion { tag: super::admin::HOLD, version });
    }
    let slot = fields.u32()?;
    let on_exceed = on_exceed_of(fields.u8()?)?;
    let expires_at = Timestamp::from_millis(fields.u64()?);
    let amount = Amount::new(fields.i64()?);
    let id = fields.text(fields.0.len())?;
    Ok(Declaration { slot, amount, expires_at, on_exceed, id: (!id.is_empty()).then_some(id) })
}

/// The wallet's slot and the caller's id.
pub(super) fn names(record: &[u8]) -> Result<(u32, Option<&str>), Corrupt> {
    declaration(record).map(|declaration| (declaration.slot, declaration.id))
}

/// The wallet's slot, read without the rest.
pub(super) fn slot_of(record: &[u8]) -> Option<u32> {
    let mut fields = Fields(record);
    fields.take(PREFIX + 4).ok()?;
    (fields.u8().ok()? == VERSION).then(|| fields.u32().ok())?
}

pub(super) fn number_of(policy: OnExceed) -> u8 {
    match policy {
        OnExceed::Reject => 0,
        OnExceed::Cap => 1,
        OnExceed::Overdraw => 2,
    }
}

pub(super) fn on_exceed_of(number: u8) -> Result<OnExceed, Corrupt> {
    match number {
        0 => Ok(OnExceed::Reject),
        1 => Ok(OnExceed::Cap),
        2 => Ok(OnExceed::Overdraw),
        _ => Err(Corrupt::Malformed("policy")),
    }
}
