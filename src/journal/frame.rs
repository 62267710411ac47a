//! Frames: the prelude that a batch's records share, and the walk over them.
//!
//! ```text
//! payload:  time u64 (ms) | source length u8 | source | record | record | ...
//! record:   tag u8 | length u24 (of the whole record) | ... by tag
//! ```

use super::Corrupt;
use super::admin::{self, AdminRecord};
use super::bytes::{Fields, Writer};
use super::debit::DebitRecord;
use super::head::{Opening, OperationHead};
use super::operation::OperationRecord;
use crate::ledger::Timestamp;
use drawdown_wal::{Log, Lsn, SegmentView};

/// Kinds of frames, for readers that look for some of them only.
pub mod kind {
    /// Debits of one batch.
    pub const USAGE: u8 = 1;
    /// One operation on one wallet, or all operations of a group of wallets.
    pub const OPERATION: u8 = 2;
    /// Administrative records.
    pub const ADMIN: u8 = 3;
}

/// Record tags.
pub(super) mod tag {
    pub(crate) const DEBIT: u8 = 1;
    pub(crate) const OPERATION: u8 = 2;
    pub(crate) const FIRST_ADMIN: u8 = 16;
}

/// Bytes of a record's tag and length.
pub(super) const PREFIX: usize = 4;

/// Where the slot stands in debits and operations.
const SLOT_AT: usize = 8;

/// The longest record, bytes.
pub const MAX_RECORD: usize = 0x00ff_ffff;

/// What the records of a frame share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prelude<'a> {
    /// The server's time of the batch.
    pub time: Timestamp,
    /// The source of those events that do not carry their own.
    pub source: &'a str,
}

impl<'a> Prelude<'a> {
    /// Bytes that it takes.
    pub fn length(source: &str) -> usize {
        8 + 1 + source.len()
    }

    /// Writes it at the start of `out` and answers its length.
    pub fn write(&self, out: &mut [u8]) -> usize {
        let mut writer = Writer::new(out);
        writer.put(&self.time.millis().to_le_bytes());
        writer.put(&[self.source.len() as u8]);
        writer.put(self.source.as_bytes());
        writer.written()
    }

    fn read(fields: &mut Fields<'a>) -> Result<Self, Corrupt> {
        let time = Timestamp::from_millis(fields.u64()?);
        let length = fields.u8()?;
        Ok(Prelude { time, source: fields.text(length.into())? })
    }
}

/// A record of any kind.
#[derive(Clone, Debug)]
pub enum Record<'a> {
    /// A debit on the fast path.
    Debit(DebitRecord<'a>),
    /// The end of a wallet's generation and the opening of the next.
    Operation(Box<OperationRecord<'a>>),
    /// Anything else.
    Admin(AdminRecord),
}

/// Walks the records of a frame's payload; gives each with its LSN.
pub fn records(payload: &[u8], payload_lsn: Lsn) -> Result<Records<'_>, Corrupt> {
    let mut fields = Fields(payload);
    let prelude = Prelude::read(&mut fields)?;
    Ok(Records { prelude, payload, rest: fields, payload_lsn })
}

/// The walk over a frame's records.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    prelude: Prelude<'a>,
    payload: &'a [u8],
    rest: Fields<'a>,
    payload_lsn: Lsn,
}

impl<'a> Records<'a> {
    /// What the records share.
    pub fn prelude(&self) -> Prelude<'a> {
        self.prelude
    }

    /// Passes over debits and operations of the wallets that `wanted` does not want, without decoding them.
    pub fn only<F: Fn(u32) -> bool>(self, wanted: F) -> Only<'a, F> {
        Only { records: self, wanted, admin_too: false }
    }

    /// As [`Records::only`], and passes over the administrative records of those wallets, too: their making, their grants' declarations,
    /// their metadata; and over answers and customers, which are one reader's among several.
    pub fn only_of<F: Fn(u32) -> bool>(self, wanted: F) -> Only<'a, F> {
        Only { records: self, wanted, admin_too: true }
    }

    /// The wallets of the debits and operations, in their order and each as often as it has any; nothing else of them is decoded. Ends with an
    /// error at the first record that is malformed.
    pub fn slots(&self) -> impl Iterator<Item = Result<u32, Corrupt>> + 'a {
        let mut rest = self.rest;
        std::iter::from_fn(move || {
            loop {
                if rest.0.is_empty() {
                    return None;
                }
                match slot_of_next(&mut rest) {
                    Ok(None) => {}
                    Ok(Some(slot)) => return Some(Ok(slot)),
                    Err(corrupt) => {
                        rest = Fields(&[]);
                        return Some(Err(corrupt));
                    }
                }
            }
        })
    }

    /// Where each record stands, and how far behind the start of the payload it says that it does. Ends at the first that is malformed.
    pub fn places(&self) -> impl Iterator<Item = (Lsn, u32)> + 'a {
        let (mut rest, payload, start) = (self.rest, self.payload, self.payload_lsn);
        std::iter::from_fn(move || {
            let lsn = Lsn::new(start.get() + (payload.len() - rest.0.len()) as u64);
            let distance = Fields(rest.0.get(PREFIX..)?).u32().ok()?;
            let (_, length) = prefix(rest.0).ok()?;
            rest.take(length).ok()?;
            Some((lsn, distance))
        })
    }

    /// Where the next record stands.
    fn here(&self) -> Lsn {
        Lsn::new(self.payload_lsn.get() + (self.payload.len() - self.rest.0.len()) as u64)
    }

    fn advance(&mut self) -> Result<(Lsn, Record<'a>), Corrupt> {
        let lsn = self.here();
        let (tag, length) = prefix(self.rest.0)?;
        let bytes = self.rest.take(length)?;
        Ok((lsn, decode(tag, bytes, self.prelude)?))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(Lsn, Record<'a>), Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.0.is_empty() {
            return None;
        }
        let item = self.advance();
        if item.is_err() {
            self.rest = Fields(&[]);
        }
        Some(item)
    }
}

/// Goes on by one record: its wallet, if it is a debit or an operation.
#[inline]
fn slot_of_next(rest: &mut Fields<'_>) -> Result<Option<u32>, Corrupt> {
    let (tag, length) = prefix(rest.0)?;
    let bytes = rest.take(length)?;
    if !matches!(tag, tag::DEBIT | tag::OPERATION) {
        return Ok(None);
    }
    // Both have it there.
    Fields(bytes.get(SLOT_AT..).ok_or(Corrupt::Truncated)?).u32().map(Some)
}

/// The walk over the records of some wallets, and administrative ones.
#[derive(Clone, Debug)]
pub struct Only<'a, F> {
    records: Records<'a>,
    wanted: F,
    admin_too: bool,
}

impl<'a, F: Fn(u32) -> bool> Only<'a, F> {
    /// The next record, if that is a debit of a wallet that is wanted: for loops that have nearly nothing else to do.
    #[inline]
    pub fn next_debit(&mut self) -> Option<(Lsn, DebitRecord<'a>)> {
        loop {
            let rest = self.records.rest.0;
            if rest.first() != Some(&tag::DEBIT) {
                return None;
            }
            let slot = u32::from_le_bytes(*rest.get(8..)?.first_chunk()?);
            let (_, length) = prefix(rest).ok()?;
            let (bytes, behind) = rest.split_at_checked(length)?;
            let is_wanted = (self.wanted)(slot);
            let lsn = self.records.here();
            // What is malformed stays, for `next` to say so.
            let record = if is_wanted { Some(DebitRecord::read(bytes, self.records.prelude).ok()?) } else { None };
            self.records.rest = Fields(behind);
            if let Some(record) = record {
                return Some((lsn, record));
            }
        }
    }
}

impl<'a, F: Fn(u32) -> bool> Iterator for Only<'a, F> {
    type Item = Result<(Lsn, Record<'a>), Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.records.rest.0;
            let is_unwanted = |slot: &[u8; 4]| !(self.wanted)(u32::from_le_bytes(*slot));
            let skip = match (rest.first(), rest.get(8..).and_then(|rest| rest.first_chunk::<4>())) {
                (Some(&(tag::DEBIT | tag::OPERATION)), Some(slot)) if is_unwanted(slot) => prefix(rest).ok(),
                (Some(&tag), _) if self.admin_too && admin::is_of_no_wallet(tag) => prefix(rest).ok(),
                (Some(&tag), _) if self.admin_too => match admin::wallet_of(tag, rest) {
                    Some(slot) if !(self.wanted)(slot) => prefix(rest).ok(),
                    _ => None,
                },
                _ => None,
            };
            let Some((_, length)) = skip else { return self.records.next() };
            match rest.split_at_checked(length) {
                Some((_, behind)) => self.records.rest = Fields(behind),
                None => return self.records.next(),
            }
        }
    }
}

/// The record at `lsn`, which the caller knows to be the place of a published record, and the segment that it borrows from.
///
/// `view` is the caller's storage for the segment, so that the record can borrow from it. What it holds from an earlier call serves again if
/// the record is in it: a walk passes the same one each time. Where opening the log left frames unchecked, the
/// record's is checked here.
pub fn read_at<'v>(log: &Log, lsn: Lsn, view: &'v mut Option<SegmentView>) -> Result<Record<'v>, Corrupt> {
    let Raw { tag, bytes, head } = raw_at(log, lsn, view)?;
    decode(tag, bytes, Prelude::read(&mut Fields(head))?)
}

/// Wallet and caller's id of the hold that is declared at `lsn`, if that is what the record there does: for lookups, which compare nothing else. As
/// [`read_at`] otherwise.
pub fn declared_at<'v>(
    log: &Log,
    lsn: Lsn,
    view: &'v mut Option<SegmentView>,
) -> Result<Option<(u32, Option<&'v str>)>, Corrupt> {
    let Raw { tag, bytes, head: _ } = raw_at(log, lsn, view)?;
    if tag == admin::HOLD { super::hold::names(bytes).map(Some) } else { Ok(None) }
}

/// A record as it stands.
struct Raw<'v> {
    tag: u8,
    bytes: &'v [u8],
    /// What its frame's payload has before it.
    head: &'v [u8],
}

fn raw_at<'v>(log: &Log, lsn: Lsn, view: &'v mut Option<SegmentView>) -> Result<Raw<'v>, Corrupt> {
    let view = at_hand(log, lsn, view)?;
    let (tag, length) = prefix(view.bytes(lsn, PREFIX).ok_or(Corrupt::Absent)?)?;
    let bytes = view.bytes(lsn, length).ok_or(Corrupt::Absent)?;
    let frame_back = Fields(bytes.get(PREFIX..).ok_or(Corrupt::Truncated)?).u32()?;
    let start = lsn.get().checked_sub(frame_back.into()).ok_or(Corrupt::Malformed("distance to its frame"))?;
    let head = view.bytes(Lsn::new(start), frame_back as usize).ok_or(Corrupt::Absent)?;
    let frame = start.checked_sub(drawdown_wal::FRAME_HEADER_BYTES).map(Lsn::new);
    if !frame.is_some_and(|frame| log.vouches_for(view, frame, lsn.plus(length as u64))) {
        return Err(Corrupt::Malformed("frame"));
    }
    Ok(Raw { tag, bytes, head })
}

/// Whether the record at `lsn` is published, with all before it.
pub fn is_published(log: &Log, lsn: Lsn) -> bool {
    !matches!(raw_at(log, lsn, &mut None), Err(Corrupt::Absent))
}

/// What begins at `lsn` a wallet's generation, as far as a walk from one to the one before it must know: much quicker than [`read_at`],
/// which decodes all that an operation did. The same holds of `lsn` and `view`.
pub fn opening_at(log: &Log, lsn: Lsn, view: &mut Option<SegmentView>) -> Result<Opening, Corrupt> {
    let segment = at_hand(log, lsn, view)?;
    let (tag, length) = prefix(segment.bytes(lsn, PREFIX).ok_or(Corrupt::Absent)?)?;
    if tag == tag::OPERATION {
        return OperationHead::read(segment.bytes(lsn, length).ok_or(Corrupt::Absent)?).map(Opening::Operation);
    }
    match read_at(log, lsn, view)? {
        Record::Admin(AdminRecord::Wallet(wallet)) => Ok(Opening::Making { slot: wallet.slot }),
        Record::Debit(_) | Record::Operation(_) | Record::Admin(_) => Err(Corrupt::Malformed("opening")),
    }
}

/// The segment that `lsn` is in, which may be at hand.
fn at_hand<'v>(log: &Log, lsn: Lsn, view: &'v mut Option<SegmentView>) -> Result<&'v SegmentView, Corrupt> {
    if !view.as_ref().is_some_and(|view| view.start() <= lsn && lsn < view.end()) {
        *view = Some(log.pinned(lsn).ok_or(Corrupt::Absent)?);
    }
    view.as_ref().ok_or(Corrupt::Absent)
}

/// The position of the frame whose payload the record at `lsn` would be in, if there were one: to be verified by reading that frame.
pub fn frame_of(log: &Log, lsn: Lsn) -> Option<Lsn> {
    let view = log.pinned(lsn)?;
    let frame_back = Fields(view.bytes(Lsn::new(lsn.get() + PREFIX as u64), 4)?).u32().ok()?;
    let header = drawdown_wal::FRAME_HEADER_BYTES;
    lsn.get().checked_sub(u64::from(frame_back) + header).map(Lsn::new)
}

/// Tag and length of the record that `bytes` begin with.
pub(super) fn prefix(bytes: &[u8]) -> Result<(u8, usize), Corrupt> {
    let word = Fields(bytes).u32()?;
    let length = (word >> 8) as usize;
    if length < PREFIX + 4 {
        return Err(Corrupt::Malformed("length"));
    }
    Ok((word as u8, length))
}

/// The first word of a record.
pub(super) fn prefix_word(tag: u8, length: usize) -> [u8; 4] {
    assert!(length <= MAX_RECORD, "records are bounded where they are admitted");
    ((length as u32) << 8 | u32::from(tag)).to_le_bytes()
}

fn decode<'a>(tag: u8, bytes: &'a [u8], prelude: Prelude<'a>) -> Result<Record<'a>, Corrupt> {
    match tag {
        tag::DEBIT => Ok(Record::Debit(DebitRecord::read(bytes, prelude)?)),
        tag::OPERATION => Ok(Record::Operation(Box::new(OperationRecord::read(bytes, prelude)?))),
        tag::FIRST_ADMIN.. => Ok(Record::Admin(admin::read(tag, bytes, prelude.time)?)),
        _ => Err(Corrupt::UnknownTag(tag)),
    }
}
