//! What stands in the sections of a snapshot, entry by entry. Numbers are LEB128 varints (signed ones zigzagged) unless a width is given.
//!
//! ```text
//! wallet      flags u8: 1 one grant, 2 lowest, 4 limits, 8 scheduled, 16 levels, bits 5-6 status, 128 more
//!             customer's length u8, slot, currency, generation, opened at, newest record, balance (signed)
//!             [lowest: recorded balance - balance (signed)]
//!             one grant: lot; else: opening - balance (signed), count, lots
//!             [limits: allowance (signed), held (signed)] [scheduled: count, lots]
//!             [levels: count, each: name's length u8, amount (signed), trigger u8, margin (signed), name; armed u64, triggered u64]
//!             [more: kinds u8 (1 clauses, 2 unpaid, 4 progress, 8 holds, 16 levels, 32 inherited, 64 granted, 128 commitments), the first
//!             three as in `riders`, the others in this order:
//!                holds: count, each: hold, amount (signed), amount - remaining (signed), end, on exceed u8, parts' count, each: lot, voided u8
//!                of each level: watched figure u8, millionths of a percent, shortest interval (ms); muted u64; instants of telling (ms)
//!                version of inherited levels | what levels are a share of (signed)
//!                commitments: count, each: amount (signed), end + 1 or 0 for never]
//!             customer
//! lot         grant, remaining (signed), granted - remaining (signed), effective, end + 1 or 0 for never, cost (signed),
//!             priority u8 + 128 if paid
//! debit       52 bytes: LSN u64, slot u32, generation u32, amount i64, balance after i64, previous u64, fingerprint u64, 4 zero
//! unattached  20 bytes: slot u32, predecessor u64, record u64
//! pending     21 bytes: grant u64, slot u32, has a key u8, fingerprint u64
//! repair      17 bytes: kind u8 (1 relinked, 2 corrected, 3 dropped), record u64, link or balance u64
//! mark        16 bytes: end of the minute u64 (ms), LSN u64
//! identity    16 bytes: fingerprint u64, LSN u64
//! grant       number u64, time u64 (ms), administrative record: a grant's declaration, or a hold's
//! recurring   schedule's number u64, administrative record
//! record      administrative record; its second word is its tag and length
//! ```

use super::riders;
use crate::catalog::CurrencyNumber;
use crate::journal::Corrupt;
use crate::journal::admin::{self, AdminRecord};
use crate::journal::bytes::{Fields, unzigzag, zigzag};
use crate::journal::hold;
use crate::journal::operation::{percent_of, watches_number, watches_of};
use crate::journal::recurring::RecurringRecord;
use crate::ledger::{
    Amount, Category, Commitment, Expiry, GrantId, HoldId, Level, LevelStates, Levels, Lot, OpenHold, Part, Percent,
    Status, Terms, Timestamp, Trigger, Watches,
};
use std::borrow::Cow;
use std::sync::Arc;

const ONE: u8 = 1;
const LOWEST: u8 = 2;
const LIMITS: u8 = 4;
const SCHEDULED: u8 = 8;
const LEVELS: u8 = 16;
const STATUS_SHIFT: u8 = 5;
const MORE: u8 = 128;
/// Kinds of more, beside those of [`riders`].
const HOLDS: u8 = 8;
const MORE_LEVELS: u8 = 16;
const MORE_INHERITED: u8 = 32;
const MORE_GRANTED: u8 = 64;
const MORE_COMMITTED: u8 = 128;
const PAID: u8 = 128;

/// A wallet as a fold left it.
#[derive(Clone, Debug, PartialEq)]
pub struct WalletEntry<'a> {
    /// Its slot.
    pub slot: u32,
    /// Its owner.
    pub customer: &'a str,
    /// Its currency.
    pub currency: CurrencyNumber,
    /// The number of its present generation.
    pub generation: u64,
    /// LSN of that generation's opening.
    pub opened_at: u64,
    /// LSN of its newest record.
    pub last_lsn: u64,
    /// The balance.
    pub balance: i64,
    /// The lowest balance that a debit of the generation was recorded with.
    pub lowest: i64,
    /// Its terms.
    pub terms: EntryTerms<'a>,
}

/// The terms of a wallet, in the room that they take.
#[derive(Clone, Debug, PartialEq)]
pub enum EntryTerms<'a> {
    /// Active, with this one grant and nothing else.
    One(Lot),
    /// Any other.
    Whole(Cow<'a, Terms>),
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

pub(super) fn signed(fields: &mut Fields<'_>) -> Result<i64, Corrupt> {
    Ok(unzigzag(fields.varint()?))
}

impl<'a> WalletEntry<'a> {
    /// Appends the entry to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let flag = |holds, flag| if holds { flag } else { 0 };
        let mut flags = flag(self.lowest != self.balance, LOWEST);
        flags |= match &self.terms {
            EntryTerms::One(_) => ONE,
            EntryTerms::Whole(terms) => {
                let has_limits = terms.allowance != Amount::ZERO || terms.held != Amount::ZERO;
                flag(has_limits, LIMITS)
                    | flag(!terms.scheduled.is_empty(), SCHEDULED)
                    | flag(terms.levels.is_some(), LEVELS)
                    | flag(has_more(terms), MORE)
                    | (status_number(terms.status) << STATUS_SHIFT)
            }
        };
        let length = u8::try_from(self.customer.len()).expect("names are bounded where they are admitted");
        out.extend_from_slice(&[flags, length]);
        put_varint(out, self.slot.into());
        put_varint(out, self.currency.0.into());
        put_varint(out, self.generation);
        put_varint(out, self.opened_at);
        put_varint(out, self.last_lsn);
        put_signed(out, self.balance);
        if self.lowest != self.balance {
            put_signed(out, self.lowest.wrapping_sub(self.balance));
        }
        match &self.terms {
            EntryTerms::One(lot) => write_lot(lot, out),
            EntryTerms::Whole(terms) => self.write_terms(terms, out),
        }
        out.extend_from_slice(self.customer.as_bytes());
    }

    fn write_terms(&self, terms: &Terms, out: &mut Vec<u8>) {
        put_signed(out, terms.opening.units().wrapping_sub(self.balance));
        write_lots(&terms.lots, out);
        if terms.allowance != Amount::ZERO || terms.held != Amount::ZERO {
            put_signed(out, terms.allowance.units());
            put_signed(out, terms.held.units());
        }
        if !terms.scheduled.is_empty() {
            write_lots(&terms.scheduled, out);
        }
        if let Some(levels) = &terms.levels {
            write_levels(levels, terms.states, out);
        }
        if has_more(terms) {
            write_more(terms, out);
        }
    }

    /// Takes an entry off the front of `rest`.
    pub fn read(rest: &mut &'a [u8]) -> Result<Self, Corrupt> {
        let mut fields = Fields(rest);
        let (flags, length) = (fields.u8()?, fields.u8()?);
        let slot = u32::try_from(fields.varint()?).map_err(|_| Corrupt::Malformed("slot"))?;
        let currency = u16::try_from(fields.varint()?).map_err(|_| Corrupt::Malformed("currency"))?;
        let (generation, opened_at, last_lsn) = (fields.varint()?, fields.varint()?, fields.varint()?);
        let balance = signed(&mut fields)?;
        let lowest = if flags & LOWEST == 0 { balance } else { balance.wrapping_add(signed(&mut fields)?) };
        let terms = if flags & ONE == 0 {
            EntryTerms::Whole(Cow::Owned(read_terms(&mut fields, flags, balance)?))
        } else {
            let lot = read_lot(&mut fields)?;
            if lot.remaining <= Amount::ZERO {
                return Err(Corrupt::Malformed("terms"));
            }
            EntryTerms::One(lot)
        };
        let customer = fields.text(length.into())?;
        *rest = fields.0;
        let currency = CurrencyNumber(currency);
        Ok(WalletEntry { slot, customer, currency, generation, opened_at, last_lsn, balance, lowest, terms })
    }

    /// The numbers of the declarations that the wallet's terms name: its grants, scheduled and unpaid ones included, its holds, and the grants
    /// that those have credits of. For what rolled over, the number behind that of its declaration. A number may come more than once.
    pub fn declared(&self) -> impl Iterator<Item = u64> {
        let (one, terms) = match &self.terms {
            EntryTerms::One(lot) => (Some(lot.id), None),
            EntryTerms::Whole(terms) => (None, Some(terms)),
        };
        let of_terms = terms.into_iter().flat_map(|terms| {
            let parts = terms.holds.iter().flat_map(|hold| &hold.parts).map(|part| part.lot.id);
            let unpaid = terms.riders.unpaid.iter().map(|unpaid| unpaid.lot.id);
            let grants = terms.lots.iter().chain(&terms.scheduled).map(|lot| lot.id).chain(parts).chain(unpaid);
            grants.map(GrantId::get).chain(terms.holds.iter().map(|hold| hold.id.get()))
        });
        one.map(GrantId::get).into_iter().chain(of_terms)
    }
}

fn read_terms(fields: &mut Fields<'_>, flags: u8, balance: i64) -> Result<Terms, Corrupt> {
    let mut terms = Terms {
        status: status_of(flags >> STATUS_SHIFT & 3)?,
        opening: Amount::new(balance.wrapping_add(signed(fields)?)),
        lots: read_lots(fields)?,
        ..Terms::new()
    };
    if flags & LIMITS != 0 {
        terms.allowance = Amount::new(signed(fields)?);
        terms.held = Amount::new(signed(fields)?);
    }
    if flags & SCHEDULED != 0 {
        terms.scheduled = read_lots(fields)?;
    }
    let mut levels = Vec::new();
    if flags & LEVELS != 0 {
        (levels, terms.states) = read_levels(fields)?;
    }
    if flags & MORE != 0 {
        read_more(&mut terms, &mut levels, fields)?;
    }
    if flags & LEVELS != 0 {
        let levels = Levels::new(levels).map_err(|_| Corrupt::Malformed("levels"))?;
        terms.levels = Some(Arc::new(levels));
    }
    terms.validate().map_err(|_| Corrupt::Malformed("terms"))?;
    Ok(terms)
}

fn has_more(terms: &Terms) -> bool {
    !terms.riders.is_empty() || more_of(terms) != 0
}

fn write_lots(lots: &[Lot], out: &mut Vec<u8>) {
    put_varint(out, lots.len() as u64);
    for lot in lots {
        write_lot(lot, out);
    }
}

fn read_lots(fields: &mut Fields<'_>) -> Result<Box<[Lot]>, Corrupt> {
    (0..count(fields)?).map(|_| read_lot(fields)).collect()
}

pub(super) fn write_lot(lot: &Lot, out: &mut Vec<u8>) {
    put_varint(out, lot.id.get());
    put_signed(out, lot.remaining.units());
    put_signed(out, lot.granted.units().wrapping_sub(lot.remaining.units()));
    put_varint(out, lot.effective_at.millis());
    put_varint(out, lot.expires_at.timestamp().map_or(0, |end| end.millis() + 1));
    put_signed(out, lot.cost);
    out.push(lot.priority | if lot.category == Category::Paid { PAID } else { 0 });
}

pub(super) fn read_lot(fields: &mut Fields<'_>) -> Result<Lot, Corrupt> {
    let id = GrantId::new(fields.varint()?);
    let remaining = signed(fields)?;
    let granted = remaining.wrapping_add(signed(fields)?);
    let effective_at = Timestamp::from_millis(fields.varint()?);
    let end = fields.varint()?;
    let cost = signed(fields)?;
    let last = fields.u8()?;
    Ok(Lot {
        id,
        remaining: Amount::new(remaining),
        granted: Amount::new(granted),
        effective_at,
        expires_at: end.checked_sub(1).map_or(Expiry::NEVER, |end| Expiry::at(Timestamp::from_millis(end))),
        cost,
        priority: last & !PAID,
        category: if last & PAID == 0 { Category::Promotional } else { Category::Paid },
    })
}

fn write_holds(holds: &[OpenHold], out: &mut Vec<u8>) {
    put_varint(out, holds.len() as u64);
    for hold in holds {
        put_varint(out, hold.id.get());
        put_signed(out, hold.amount.units());
        put_signed(out, hold.amount.units().wrapping_sub(hold.remaining.units()));
        put_varint(out, hold.expires_at.millis());
        out.push(hold::number_of(hold.on_exceed));
        put_varint(out, hold.parts.len() as u64);
        for part in &hold.parts {
            write_lot(&part.lot, out);
            out.push(part.is_voided.into());
        }
    }
}

fn read_holds(fields: &mut Fields<'_>) -> Result<Box<[OpenHold]>, Corrupt> {
    (0..count(fields)?).map(|_| read_hold(fields)).collect()
}

fn read_hold(fields: &mut Fields<'_>) -> Result<OpenHold, Corrupt> {
    let id = HoldId::new(fields.varint()?);
    let amount = signed(fields)?;
    let remaining = Amount::new(amount.wrapping_sub(signed(fields)?));
    let expires_at = Timestamp::from_millis(fields.varint()?);
    let on_exceed = hold::on_exceed_of(fields.u8()?)?;
    let part = |fields: &mut Fields<'_>| Ok(Part { lot: read_lot(fields)?, is_voided: fields.u8()? != 0 });
    let parts = (0..count(fields)?).map(|_| part(fields)).collect::<Result<_, Corrupt>>()?;
    Ok(OpenHold { id, amount: Amount::new(amount), remaining, expires_at, on_exceed, parts })
}

/// How many entries follow. Each takes more than one byte: no count makes its reader reserve more than there is.
fn count(fields: &mut Fields<'_>) -> Result<u64, Corrupt> {
    let count = fields.varint()?;
    if count > fields.0.len() as u64 { Err(Corrupt::Truncated) } else { Ok(count) }
}

fn write_levels(levels: &Levels, states: LevelStates, out: &mut Vec<u8>) {
    put_varint(out, levels.len() as u64);
    for level in levels {
        out.push(level.name.len() as u8);
        put_signed(out, level.amount.units());
        out.push(u8::from(level.trigger == Trigger::AtOrBelow));
        put_signed(out, level.margin.units());
        out.extend_from_slice(level.name.as_bytes());
    }
    out.extend_from_slice(&states.armed.to_le_bytes());
    out.extend_from_slice(&states.triggered.to_le_bytes());
}

/// The levels in their order, without what follows under [`MORE_LEVELS`].
fn read_levels(fields: &mut Fields<'_>) -> Result<(Vec<Level>, LevelStates), Corrupt> {
    let count = fields.varint()?;
    let mut levels = Vec::new();
    for _ in 0..count {
        let length = fields.u8()?;
        let amount = Amount::new(signed(fields)?);
        let trigger = match fields.u8()? {
            0 => Trigger::Below,
            1 => Trigger::AtOrBelow,
            _ => return Err(Corrupt::Malformed("trigger")),
        };
        let margin = Amount::new(signed(fields)?);
        let name = fields.text(length.into())?.into();
        levels.push(Level { name, amount, trigger, margin, ..Level::default() });
    }
    Ok((levels, LevelStates { armed: fields.u64()?, triggered: fields.u64()?, muted: 0 }))
}

/// What of the terms is written behind [`MORE`], riders left out.
fn more_of(terms: &Terms) -> u8 {
    let is_more =
        |level: &Level| level.watches != Watches::Balance || level.percent.is_some() || level.min_interval_ms > 0;
    let bit = |holds, bit| if holds { bit } else { 0 };
    bit(!terms.holds.is_empty(), HOLDS)
        | bit(terms.levels.iter().flat_map(|levels| levels.iter()).any(is_more), MORE_LEVELS)
        | bit(terms.inherited > 0, MORE_INHERITED)
        | bit(terms.granted != Amount::ZERO, MORE_GRANTED)
        | bit(!terms.committed.is_empty(), MORE_COMMITTED)
}

fn write_more(terms: &Terms, out: &mut Vec<u8>) {
    let more = more_of(terms);
    riders::write(&terms.riders, more, out);
    if more & HOLDS != 0 {
        write_holds(&terms.holds, out);
    }
    if more & MORE_LEVELS != 0 {
        for level in terms.levels.iter().flat_map(|levels| levels.iter()) {
            out.push(watches_number(level.watches));
            put_varint(out, level.percent.map_or(0, Percent::millionths).into());
            put_varint(out, level.min_interval_ms);
        }
        out.extend_from_slice(&terms.states.muted.to_le_bytes());
        terms.told.iter().for_each(|told| put_varint(out, told.millis()));
    }
    if more & MORE_INHERITED != 0 {
        put_varint(out, terms.inherited.into());
    }
    if more & MORE_GRANTED != 0 {
        put_signed(out, terms.granted.units());
    }
    if more & MORE_COMMITTED != 0 {
        put_varint(out, terms.committed.len() as u64);
        for one in &terms.committed {
            put_signed(out, one.amount.units());
            put_varint(out, one.until.timestamp().map_or(0, |end| end.millis() + 1));
        }
    }
}

fn read_more(terms: &mut Terms, levels: &mut [Level], fields: &mut Fields<'_>) -> Result<(), Corrupt> {
    let more;
    (terms.riders, more) = riders::read(fields, HOLDS | MORE_LEVELS | MORE_INHERITED | MORE_GRANTED | MORE_COMMITTED)?;
    if more & HOLDS != 0 {
        terms.holds = read_holds(fields)?;
    }
    if more & MORE_LEVELS != 0 {
        for level in levels.iter_mut() {
            level.watches = watches_of(fields.u8()?)?;
            let percent = u32::try_from(fields.varint()?).map_err(|_| Corrupt::Malformed("percentage"))?;
            level.percent = percent_of(percent)?;
            level.min_interval_ms = fields.varint()?;
        }
        terms.states.muted = fields.u64()?;
        let told = levels.iter().filter(|level| level.min_interval_ms > 0);
        terms.told = told.map(|_| fields.varint().map(Timestamp::from_millis)).collect::<Result<_, _>>()?;
    }
    if more & MORE_INHERITED != 0 {
        terms.inherited = u32::try_from(fields.varint()?).map_err(|_| Corrupt::Malformed("version"))?;
    }
    if more & MORE_GRANTED != 0 {
        terms.granted = Amount::new(signed(fields)?);
    }
    if more & MORE_COMMITTED != 0 {
        let count = fields.varint()?;
        let mut committed = Vec::new();
        for _ in 0..count {
            let amount = Amount::new(signed(fields)?);
            let end = fields.varint()?;
            let until = end.checked_sub(1).map_or(Expiry::NEVER, |end| Expiry::at(Timestamp::from_millis(end)));
            committed.push(Commitment { amount, until });
        }
        terms.committed = committed.into();
    }
    Ok(())
}

fn status_number(status: Status) -> u8 {
    match status {
        Status::Active => 0,
        Status::Frozen => 1,
        Status::Closed => 2,
    }
}

fn status_of(number: u8) -> Result<Status, Corrupt> {
    match number {
        0 => Ok(Status::Active),
        1 => Ok(Status::Frozen),
        2 => Ok(Status::Closed),
        _ => Err(Corrupt::Malformed("status")),
    }
}

/// An entry of fixed width.
pub trait Fixed: Sized {
    /// Appends the entry to `out`.
    fn write(&self, out: &mut Vec<u8>);

    /// Takes an entry off the front of `rest`.
    fn read(rest: &mut &[u8]) -> Result<Self, Corrupt>;
}

/// A debit whose generation is not opened yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LooseDebit {
    /// The record.
    pub lsn: u64,
    /// The wallet.
    pub slot: u32,
    /// The low half of its generation's number.
    pub generation: u32,
    /// What was debited.
    pub amount: Amount,
    /// The balance after it, as recorded.
    pub balance_after: Amount,
    /// The wallet's record before it.
    pub previous: u64,
    /// Its identity's fingerprint.
    pub fingerprint: u64,
}

/// A record whose predecessor is not the chain's head yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unattached {
    /// The wallet.
    pub slot: u32,
    /// The predecessor.
    pub previous: u64,
    /// The record.
    pub lsn: u64,
}

/// A grant that was declared and has not taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingGrant {
    /// Its number.
    pub grant: u64,
    /// The wallet.
    pub slot: u32,
    /// Its key's fingerprint.
    pub key: Option<u64>,
}

/// Something that a recovery has mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mended {
    /// The record's predecessor is this one.
    Relinked(u64, u64),
    /// The balance after the debit is this.
    Corrected(u64, i64),
    /// The debit did not take place.
    Dropped(u64),
}

/// The end of a minute, and the position below which everything was recorded before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The end of the minute.
    pub end: Timestamp,
    /// The position.
    pub lsn: u64,
}

/// An identity within the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Its fingerprint.
    pub fingerprint: u64,
    /// The record that settled it.
    pub lsn: u64,
}

impl Fixed for LooseDebit {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.lsn.to_le_bytes());
        out.extend_from_slice(&self.slot.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.amount.units().to_le_bytes());
        out.extend_from_slice(&self.balance_after.units().to_le_bytes());
        out.extend_from_slice(&self.previous.to_le_bytes());
        out.extend_from_slice(&self.fingerprint.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
    }

    fn read(rest: &mut &[u8]) -> Result<Self, Corrupt> {
        let mut fields = Fields(rest);
        let debit = LooseDebit {
            lsn: fields.u64()?,
            slot: fields.u32()?,
            generation: fields.u32()?,
            amount: Amount::new(fields.i64()?),
            balance_after: Amount::new(fields.i64()?),
            previous: fields.u64()?,
            fingerprint: fields.u64()?,
        };
        fields.u32()?;
        *rest = fields.0;
        Ok(debit)
    }
}

impl Fixed for Unattached {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.slot.to_le_bytes());
        out.extend_from_slice(&self.previous.to_le_bytes());
        out.extend_from_slice(&self.lsn.to_le_bytes());
    }

    fn read(rest: &mut &[u8]) -> Result<Self, Corrupt> {
        let mut fields = Fields(rest);
        let entry = Unattached { slot: fields.u32()?, previous: fields.u64()?, lsn: fields.u64()? };
        *rest = fields.0;
        Ok(entry)
    }
}

impl Fixed for PendingGrant {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.grant.to_le_bytes());
        out.extend_from_slice(&self.slot.to_le_bytes());
        out.push(self.key.is_some().into());
        out.extend_from_slice(&self.key.unwrap_or(0).to_le_bytes());
    }

    fn read(rest: &mut &[u8]) -> Result<Self, Corrupt> {
        let mut fields = Fields(rest);
        let (grant, slot, has_key, key) = (fields.u64()?, fields.u32()?, fields.u8()?, fields.u64()?);
        *rest = fields.0;
        Ok(PendingGrant { grant, slot, key: (has_key != 0).then_some(key) })
    }
}

impl Fixed for Mended {
    fn write(&self, out: &mut Vec<u8>) {
        let (kind, record, value) = match *self {
            Mended::Relinked(record, previous) => (1, record, previous),
            Mended::Corrected(record, balance) => (2, record, balance.cast_unsigned()),
            Mended::Dropped(record) => (3, record, 0),
        };
        out.push(kind);
        out.extend_from_slice(&record.to_le_bytes());
        out.extend_from_slice(&value.to_le_bytes());
    }

    fn read(rest: &mut &[u8]) -> Result<Self, Corrupt> {
        let mut fields = Fields(rest);
        let (kind, record, value) = (fields.u8()?, fields.u64()?, fields.u64()?);
        *rest = fields.0;
        match kind {
            1 => Ok(Mended::Relinked(record, value)),
            2 => Ok(Mended::Corrected(record, value.cast_signed())),
            3 => Ok(Mended::Dropped(record)),
            _ => Err(Corrupt::Malformed("kind of repair")),
        }
    }
}

impl Fixed for Mark {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.end.millis().to_le_bytes());
        out.extend_from_slice(&self.lsn.to_le_bytes());
    }

    fn read(rest: &mut &[u8]) -> Result<Self, Corrupt> {
        let mut fields = Fields(rest);
        let mark = Mark { end: Timestamp::from_millis(fields.u64()?), lsn: fields.u64()? };
        *rest = fields.0;
        Ok(mark)
    }
}

impl Fixed for Identity {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.fingerprint.to_le_bytes());
        out.extend_from_slice(&self.lsn.to_le_bytes());
    }

    #[inline]
    fn read(rest: &mut &[u8]) -> Result<Self, Corrupt> {
        let mut fields = Fields(rest);
        let identity = Identity { fingerprint: fields.u64()?, lsn: fields.u64()? };
        *rest = fields.0;
        Ok(identity)
    }
}

/// Appends an administrative record to `out`.
pub fn write_record(record: &AdminRecord, out: &mut Vec<u8>) {
    out.extend_from_slice(&record.encode());
}

/// Takes an administrative record, written at `time`, off the front of `rest`.
pub fn read_record(rest: &mut &[u8], time: Timestamp) -> Result<AdminRecord, Corrupt> {
    let (tag, length) = super::super::frame::prefix(rest)?;
    let (bytes, behind) = rest.split_at_checked(length).ok_or(Corrupt::Truncated)?;
    let record = admin::read(tag, bytes, time)?;
    *rest = behind;
    Ok(record)
}

/// Appends the declaration of a grant or a hold, which was made at `time`, to `out`.
pub fn write_declaration(number: u64, time: Timestamp, declaration: &AdminRecord, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&time.millis().to_le_bytes());
    write_record(declaration, out);
}

/// Takes the declaration of a grant off the front of `rest` without reading it: the grant's number, and the whole entry.
pub fn take_grant<'a>(rest: &mut &'a [u8]) -> Result<(u64, &'a [u8]), Corrupt> {
    let all = *rest;
    let mut fields = Fields(all);
    let (number, _time) = (fields.u64()?, fields.u64()?);
    let (_, length) = super::super::frame::prefix(fields.0)?;
    fields.take(length)?;
    *rest = fields.0;
    Ok((number, &all[..all.len() - rest.len()]))
}

/// Takes a grant's or a hold's number and its declaration off the front of `rest`.
pub fn read_declaration(rest: &mut &[u8]) -> Result<(u64, AdminRecord), Corrupt> {
    let mut fields = Fields(rest);
    let (number, time) = (fields.u64()?, Timestamp::from_millis(fields.u64()?));
    *rest = fields.0;
    match read_record(rest, time)? {
        record @ (AdminRecord::Grant(_) | AdminRecord::Hold(_)) => Ok((number, record)),
        _ => Err(Corrupt::Malformed("declaration")),
    }
}

/// Appends a recurring grant, whose record stands at `schedule`, to `out`.
pub fn write_recurring(schedule: u64, record: RecurringRecord, out: &mut Vec<u8>) {
    out.extend_from_slice(&schedule.to_le_bytes());
    write_record(&AdminRecord::Recurring(record), out);
}

/// Takes a schedule's number and its recurring grant off the front of `rest`.
pub fn read_recurring(rest: &mut &[u8]) -> Result<(u64, RecurringRecord), Corrupt> {
    let mut fields = Fields(rest);
    let number = fields.u64()?;
    *rest = fields.0;
    match read_record(rest, Timestamp::EPOCH)? {
        AdminRecord::Recurring(record) => Ok((number, record)),
        _ => Err(Corrupt::Malformed("recurring grant")),
    }
}
