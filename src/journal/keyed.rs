//! What the record of an operation on a hold says of the request that asked for it, if that came under a key: by this it is found when the
//! request is sent again, and with it the first answer can be given again from the record alone, however much has been retired since.
//!
//! ```text
//! request 16 bytes, place, asked, amount, captured, released, end, made, on exceed u8
//! ```
//! In the notation of `packed.rs`, behind everything else in the body.

use super::Corrupt;
use super::bytes::{Fields, Writer};
use super::hold::{number_of, on_exceed_of};
use super::packed::{amount, instant, put_amount};
use crate::ledger::{Amount, OnExceed, Timestamp};

/// Bytes of it at most.
pub const KEYED_BYTES_MAX: usize = 16 + 5 + 4 * 10 + 2 * 10 + 1;

/// Which request asked for an operation, and which part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationKey {
    /// The request: half a digest of who sent it under which key.
    pub request: [u8; 16],
    /// The place of what was asked for in the request, from zero.
    pub place: u32,
}

impl OperationKey {
    /// Its bytes, of which the fingerprint is made by which it is remembered.
    pub fn bytes(&self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..16].copy_from_slice(&self.request);
        bytes[16..].copy_from_slice(&self.place.to_le_bytes());
        bytes
    }
}

/// The key of an operation on a hold, and the hold as the operation found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// The key.
    pub key: OperationKey,
    /// What was to be captured; zero for other operations.
    pub asked: Amount,
    /// What the hold was made with.
    pub amount: Amount,
    /// What had been captured of it before.
    pub captured: Amount,
    /// What it had given back before, when its time was over; zero for an open one.
    pub released: Amount,
    /// Its end before.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// What becomes of a capture that exceeds it.
    pub on_exceed: OnExceed,
}

impl Keyed {
    pub(super) fn write(&self, out: &mut Writer<'_>) {
        out.put(&self.key.request);
        out.varint(self.key.place.into());
        for each in [self.asked, self.amount, self.captured, self.released] {
            put_amount(each, out);
        }
        out.varint(self.expires_at.millis());
        out.varint(self.created_at.millis());
        out.put(&[number_of(self.on_exceed)]);
    }

    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, Corrupt> {
        let request = *fields.take(16)?.first_chunk().ok_or(Corrupt::Truncated)?;
        let place = u32::try_from(fields.varint()?).map_err(|_| Corrupt::Malformed("place"))?;
        Ok(Keyed {
            key: OperationKey { request, place },
            asked: amount(fields)?,
            amount: amount(fields)?,
            captured: amount(fields)?,
            released: amount(fields)?,
            expires_at: instant(fields)?,
            created_at: instant(fields)?,
            on_exceed: on_exceed_of(fields.u8()?)?,
        })
    }
}
