//! The record of a debit on the fast path.
//!
//! ```text
//!  0 tag u8, length u24      16 amount i64            40 event time u48 (ms)
//!  4 distance to frame u32   24 balance after i64     46 flags u8: 1 own source, 2 metered, 4 not plain
//!  8 slot u32                32 previous u64          47 length of id u8
//! 12 generation u32 (low)                             48 [metered: meter u16, decimals u8, quantity varint]
//!                                                        [not plain: adjustment varint]
//!                                                        [own source: length u8, bytes] id
//! ```
//! A batch's event with a 26-character id takes 74 bytes; metered, usually 79.

use super::Corrupt;
use super::bytes::{Fields, Writer, unzigzag, varint_length, zigzag};
use super::frame::{Prelude, prefix_word, tag};
use crate::ledger::{Amount, Decimal, Timestamp};

const FIXED: usize = 48;
const OWN_SOURCE: u8 = 1;
const METERED: u8 = 2;
const NOT_PLAIN: u8 = 4;

/// A debit on the fast path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebitRecord<'a> {
    /// The wallet.
    pub slot: u32,
    /// The low half of the number of the generation that it was applied in.
    pub generation: u32,
    /// What was debited.
    pub amount: Amount,
    /// The balance after it: the debit's exact position within its generation.
    pub balance_after: Amount,
    /// Available credit less balance, in smallest units: the overdraft allowance less open holds. Mostly zero.
    pub adjustment: i64,
    /// LSN of the wallet's record before this one, 0 for none. It may lie ahead when two batches raced.
    pub previous: u64,
    /// The event's own time, or the server's.
    pub event_time: Timestamp,
    /// The server's time.
    pub time: Timestamp,
    /// The sender.
    pub source: &'a str,
    /// The sender's id of the event.
    pub id: &'a str,
    /// Meter and quantity, for metered events.
    pub metered: Option<Metered>,
}

/// What a metered event measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metered {
    /// The meter's number.
    pub meter: u16,
    /// The quantity.
    pub quantity: Decimal,
}

/// Bytes that the adjustment of a wallet that is not plain adds to a record at the most.
pub const ADJUSTMENT_BYTES_MAX: usize = 10;

/// Bytes that a debit's record takes, save for the adjustment, which is known only when the debit is applied. `own_source` is the event's
/// source where its frame names another.
#[inline]
pub fn length(id: &str, own_source: Option<&str>, metered: Option<&Metered>) -> usize {
    let source = own_source.map_or(0, |source| 1 + source.len());
    let measure = metered.map_or(0, |metered| 3 + varint_length(zigzag(metered.quantity.mantissa())));
    FIXED + id.len() + source + measure
}

/// Bytes that an adjustment adds to a record.
#[inline]
pub fn adjustment_length(adjustment: i64) -> usize {
    if adjustment == 0 { 0 } else { varint_length(zigzag(adjustment)) }
}

impl<'a> DebitRecord<'a> {
    /// Writes the record at the start of `out`, `distance` bytes behind the start of its frame's payload, with its source if the frame's
    /// prelude names another. Answers its length.
    #[inline]
    pub fn write(&self, out: &mut [u8], distance: u32, with_source: bool) -> usize {
        let own_source = with_source.then_some(self.source);
        let flags = (u8::from(own_source.is_some()) * OWN_SOURCE)
            | (u8::from(self.metered.is_some()) * METERED)
            | (u8::from(self.adjustment != 0) * NOT_PLAIN);
        let length = length(self.id, own_source, self.metered.as_ref()) + adjustment_length(self.adjustment);
        let head = out.first_chunk_mut::<FIXED>().expect("the frame was reserved for the records' bounds");
        let two = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let time = self.event_time.millis() & ((1 << 48) - 1);
        let words = [
            two(u32::from_le_bytes(prefix_word(tag::DEBIT, length)), distance),
            two(self.slot, self.generation),
            self.amount.units().cast_unsigned(),
            self.balance_after.units().cast_unsigned(),
            self.previous,
            time | u64::from(flags) << 48 | (self.id.len() as u64 & 0xff) << 56,
        ];
        for (out, word) in head.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *out = word.to_le_bytes();
        }
        let mut writer = Writer::new(&mut out[FIXED..]);
        if let Some(metered) = &self.metered {
            writer.put(&metered.meter.to_le_bytes());
            writer.put(&[metered.quantity.scale()]);
            writer.varint(zigzag(metered.quantity.mantissa()));
        }
        if self.adjustment != 0 {
            writer.varint(zigzag(self.adjustment));
        }
        if let Some(source) = own_source {
            writer.put(&[source.len() as u8]);
            writer.put(source.as_bytes());
        }
        writer.put_short(self.id.as_bytes());
        debug_assert_eq!(FIXED + writer.written(), length);
        length
    }

    #[inline]
    pub(super) fn read(bytes: &'a [u8], prelude: Prelude<'a>) -> Result<Self, Corrupt> {
        let (head, rest) = bytes.split_first_chunk::<FIXED>().ok_or(Corrupt::Truncated)?;
        // Six words, as they were written.
        let mut words = head.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let mut word = || words.next().unwrap_or_default();
        let (_, place, amount, balance_after, previous, last) = (word(), word(), word(), word(), word(), word());
        let (slot, generation) = (place as u32, (place >> 32) as u32);
        let (amount, balance_after) = (Amount::new(amount.cast_signed()), Amount::new(balance_after.cast_signed()));
        let event_time = Timestamp::from_millis(last & ((1 << 48) - 1));
        let (flags, id_length) = ((last >> 48) as u8, (last >> 56) as u8);
        let mut fields = Fields(rest);
        if flags & !(OWN_SOURCE | METERED | NOT_PLAIN) != 0 {
            return Err(Corrupt::Malformed("flags"));
        }
        let metered = if flags & METERED == 0 { None } else { Some(Metered::read(&mut fields)?) };
        let adjustment = if flags & NOT_PLAIN == 0 { 0 } else { unzigzag(fields.varint()?) };
        let source = if flags & OWN_SOURCE == 0 {
            prelude.source
        } else {
            let length = fields.u8()?;
            fields.text(length.into())?
        };
        let id = fields.text(id_length.into())?;
        if !fields.0.is_empty() {
            return Err(Corrupt::Malformed("length"));
        }
        Ok(DebitRecord {
            slot,
            generation,
            amount,
            balance_after,
            adjustment,
            previous,
            event_time,
            time: prelude.time,
            source,
            id,
            metered,
        })
    }
}

impl Metered {
    fn read(fields: &mut Fields<'_>) -> Result<Self, Corrupt> {
        let meter = fields.u16()?;
        let scale = fields.u8()?;
        let mantissa = unzigzag(fields.varint()?);
        let quantity = Decimal::from_parts(mantissa, scale).ok_or(Corrupt::Malformed("quantity"))?;
        Ok(Metered { meter, quantity })
    }
}
