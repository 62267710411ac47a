//! The body of an operation on a hold, packed: there are hundreds of thousands of them a second, and `MessagePack` took most of their time.
//!
//! ```text
//! flags u8: 1 rejected, 2 taken, 4 lines, 8 quiet, 16 keyed
//! operation u8: 1 hold, 2 capture, 3 final capture, 4 release, 5 extension, 6 late capture; its hold; then
//!     1: amount, end, on exceed u8    2, 3: amount    5: end    6: amount, policy u8, left
//! [taken: amount, shortfall, overdraft]
//! movements: count, each: kind u8 (+ 128 where the hold is the operation's own), [hold], [grant], amount or two instants,
//!     or, where a grant rolled over (34), amount, new grant, instant
//! lots: count, each: grant, remaining
//! [lines: crossed, recovered, each: count * 4 + 1 if depleted + 2 if negative; each level's name: length u8, bytes]
//! [quiet: of those crossed, of those recovered, each as lines: levels of which nobody is to be told]
//! [keyed: which request asked for it, and the hold as it was before: `keyed.rs`]
//! ```
//! Numbers without a width are LEB128 varints; amounts are zigzagged first.

use super::Corrupt;
use super::bytes::{Fields, Writer, unzigzag, zigzag};
use super::hold::{number_of, on_exceed_of};
use super::keyed::{KEYED_BYTES_MAX, Keyed};
use super::operation::{Body, Names, Repair, policy_number, policy_of};
use crate::ledger::{Amount, GrantId, HoldId, Movement, NewHold, Operation, Taken, Timestamp};

const REJECTED: u8 = 1;
const TAKEN: u8 = 2;
const LINES: u8 = 4;
const QUIET: u8 = 8;
const KEYED: u8 = 16;
const OWN: u8 = 128;

/// Whether an operation's body is packed.
pub(super) fn is_packed(operation: &Operation) -> bool {
    operation.hold().is_some()
}

/// What a body says, borrowed from wherever it stands.
pub(super) struct Parts<'a, L> {
    pub(super) operation: &'a Operation,
    pub(super) taken: Taken,
    pub(super) rejected: bool,
    pub(super) movements: &'a [Movement],
    pub(super) crossed: &'a Names<'a>,
    pub(super) recovered: &'a Names<'a>,
    pub(super) lots: L,
    pub(super) keyed: Option<&'a Keyed>,
}

/// Appends the body of an operation on a hold.
pub(super) fn write(body: &Body<'_>, out: &mut Vec<u8>) {
    let parts = Parts {
        operation: &body.operation,
        taken: body.taken,
        rejected: body.rejected,
        movements: &body.movements,
        crossed: &body.crossed,
        recovered: &body.recovered,
        lots: body.lots.iter().copied(),
        keyed: body.keyed.as_deref(),
    };
    write_parts(parts, out);
}

/// As [`write()`], without a body.
pub(super) fn write_parts(parts: Parts<'_, impl ExactSizeIterator<Item = (GrantId, Amount)>>, out: &mut Vec<u8>) {
    let begin = out.len();
    out.resize(begin + length_bound(&parts), 0);
    let mut writer = Writer::new(&mut out[begin..]);
    write_to(parts, &mut writer);
    let length = writer.written();
    out.truncate(begin + length);
}

/// Bytes that a varint takes at most.
const VARINT: usize = 10;

/// Bytes that a body takes at most.
fn length_bound(parts: &Parts<'_, impl ExactSizeIterator<Item = (GrantId, Amount)>>) -> usize {
    // Flags, the operation of four numbers, what was taken, two counts; each movement is one byte and four numbers.
    let fixed = 1 + (2 + 4 * VARINT) + 3 * VARINT + 2 * VARINT;
    let named = |names: &Names<'_>| {
        let bytes = |levels: &[&str]| VARINT + levels.iter().map(|name| 1 + name.len()).sum::<usize>();
        bytes(&names.levels) + bytes(&names.quiet)
    };
    let lists = (1 + 4 * VARINT) * parts.movements.len() + 2 * VARINT * parts.lots.len();
    let keyed = parts.keyed.map_or(0, |_| KEYED_BYTES_MAX);
    fixed + lists + named(parts.crossed) + named(parts.recovered) + keyed
}

fn write_to(parts: Parts<'_, impl ExactSizeIterator<Item = (GrantId, Amount)>>, out: &mut Writer<'_>) {
    let has_lines = !parts.crossed.is_empty() || !parts.recovered.is_empty();
    let has_quiet = [parts.crossed, parts.recovered].into_iter().any(|names| !names.quiet.is_empty());
    let has_taken = parts.taken != Taken::default();
    let flag = |holds: bool, flag: u8| if holds { flag } else { 0 };
    let flags = flag(parts.rejected, REJECTED) | flag(has_taken, TAKEN) | flag(parts.keyed.is_some(), KEYED);
    out.put(&[flags | flag(has_lines, LINES) | flag(has_quiet, QUIET)]);
    let own = write_operation(parts.operation, out);
    if has_taken {
        put_amount(parts.taken.amount, out);
        put_amount(parts.taken.shortfall, out);
        put_amount(parts.taken.overdraft, out);
    }
    out.varint(parts.movements.len() as u64);
    for movement in parts.movements {
        write_movement(movement, own, out);
    }
    out.varint(parts.lots.len() as u64);
    for (grant, left) in parts.lots {
        out.varint(grant.get());
        put_amount(left, out);
    }
    if has_lines {
        write_names(parts.crossed, out);
        write_names(parts.recovered, out);
    }
    if has_quiet {
        for names in [parts.crossed, parts.recovered] {
            write_names(&Names { levels: names.quiet.clone(), ..Names::default() }, out);
        }
    }
    if let Some(keyed) = parts.keyed {
        keyed.write(out);
    }
}

/// Reads a body to its end.
pub(super) fn read<'a>(fields: &mut Fields<'a>) -> Result<Body<'a>, Corrupt> {
    let flags = fields.u8()?;
    if flags & !(REJECTED | TAKEN | LINES | QUIET | KEYED) != 0 {
        return Err(Corrupt::Malformed("flags"));
    }
    let operation = read_operation(fields)?;
    let own = operation.hold().ok_or(Corrupt::Malformed("operation"))?;
    let mut taken = Taken::default();
    if flags & TAKEN != 0 {
        taken = Taken { amount: amount(fields)?, shortfall: amount(fields)?, overdraft: amount(fields)? };
    }
    let movements = read_list(fields, |fields| read_movement(fields, own))?;
    let lots = read_list(fields, |fields| Ok((GrantId::new(fields.varint()?), amount(fields)?)))?;
    let (mut crossed, mut recovered) = (Names::default(), Names::default());
    if flags & LINES != 0 {
        (crossed, recovered) = (read_names(fields)?, read_names(fields)?);
    }
    if flags & QUIET != 0 {
        (crossed.quiet, recovered.quiet) = (read_names(fields)?.levels, read_names(fields)?.levels);
    }
    let keyed = if flags & KEYED == 0 { None } else { Some(Box::new(Keyed::read(fields)?)) };
    if !fields.0.is_empty() {
        return Err(Corrupt::Malformed("length"));
    }
    let (event, note, rejected, repair) = (None, None, flags & REJECTED != 0, Repair::default());
    Ok(Body { operation, event, taken, rejected, movements, crossed, recovered, lots, repair, note, keyed })
}

fn write_operation(operation: &Operation, out: &mut Writer<'_>) -> HoldId {
    let begin = |out: &mut Writer<'_>, kind: u8, hold: HoldId| {
        out.put(&[kind]);
        out.varint(hold.get());
        hold
    };
    match *operation {
        Operation::Hold(new) => {
            begin(out, 1, new.id);
            put_amount(new.amount, out);
            out.varint(new.expires_at.millis());
            out.put(&[number_of(new.on_exceed)]);
            new.id
        }
        Operation::Capture { hold, amount, is_final } => {
            begin(out, 2 + u8::from(is_final), hold);
            put_amount(amount, out);
            hold
        }
        Operation::Release { hold } => begin(out, 4, hold),
        Operation::ExtendHold { hold, expires_at } => {
            begin(out, 5, hold);
            out.varint(expires_at.millis());
            hold
        }
        Operation::LateCapture { hold, amount, policy, left } => {
            begin(out, 6, hold);
            put_amount(amount, out);
            out.put(&[policy_number(policy)]);
            put_amount(left, out);
            hold
        }
        Operation::Grant(_)
        | Operation::Void { .. }
        | Operation::MoveExpiry { .. }
        | Operation::Debit { .. }
        | Operation::Due
        | Operation::SetStatus(_)
        | Operation::SetAllowance(_)
        | Operation::SetLevels(_)
        | Operation::Pay { .. }
        | Operation::EndSchedule { .. }
        | Operation::Reopen
        | Operation::Charge { .. }
        | Operation::Reverse(_)
        | Operation::InheritLevels { .. }
        | Operation::SetCommitments(_)
        | Operation::TransferOut { .. }
        | Operation::TransferIn { .. }
        | Operation::ClawBack { .. }
        | Operation::FreezeGrant { .. }
        | Operation::ThawGrant { .. } => unreachable!("is_packed names the others"),
    }
}

fn read_operation(fields: &mut Fields<'_>) -> Result<Operation, Corrupt> {
    let kind = fields.u8()?;
    let hold = HoldId::new(fields.varint()?);
    Ok(match kind {
        1 => Operation::Hold(NewHold {
            id: hold,
            amount: amount(fields)?,
            expires_at: instant(fields)?,
            on_exceed: on_exceed_of(fields.u8()?)?,
        }),
        2 | 3 => Operation::Capture { hold, amount: amount(fields)?, is_final: kind == 3 },
        4 => Operation::Release { hold },
        5 => Operation::ExtendHold { hold, expires_at: instant(fields)? },
        6 => Operation::LateCapture {
            hold,
            amount: amount(fields)?,
            policy: policy_of(fields.u8()?)?,
            left: amount(fields)?,
        },
        _ => return Err(Corrupt::Malformed("operation")),
    })
}

fn write_movement(movement: &Movement, own: HoldId, out: &mut Writer<'_>) {
    let wire = Wire::from(movement);
    let is_own = wire.hold == Some(own);
    out.put(&[wire.kind | if is_own { OWN } else { 0 }]);
    if let Some(hold) = wire.hold.filter(|_| !is_own) {
        out.varint(hold.get());
    }
    if let Some(grant) = wire.grant {
        out.varint(grant.get());
    }
    match wire.instants {
        Some((from, to)) => {
            if wire.kind == ROLLED_OVER {
                put_amount(wire.amount, out);
            }
            out.varint(from);
            out.varint(to);
        }
        None => put_amount(wire.amount, out),
    }
}

fn read_movement(fields: &mut Fields<'_>, own: HoldId) -> Result<Movement, Corrupt> {
    let tag = fields.u8()?;
    let kind = tag & !OWN;
    let hold = match (has_hold(kind), tag & OWN != 0) {
        (true, true) => Some(own),
        (true, false) => Some(HoldId::new(fields.varint()?)),
        (false, false) => None,
        (false, true) => return Err(Corrupt::Malformed("movement")),
    };
    let grant = if has_grant(kind) { Some(GrantId::new(fields.varint()?)) } else { None };
    let (mut moved, mut instants) = (Amount::ZERO, None);
    if kind == ROLLED_OVER {
        moved = amount(fields)?;
    }
    if matches!(kind, HOLD_MOVED | ROLLED_OVER) {
        instants = Some((fields.varint()?, fields.varint()?));
    } else {
        moved = amount(fields)?;
    }
    Wire { kind, hold, grant, amount: moved, instants }.try_into()
}

const HOLD_MOVED: u8 = 21;
const ROLLED_OVER: u8 = 34;

/// The movements of a change that an operation on a hold can make. Their numbers are those of the other bodies' movements.
struct Wire {
    kind: u8,
    hold: Option<HoldId>,
    grant: Option<GrantId>,
    amount: Amount,
    /// Two instants, or a grant and an instant.
    instants: Option<(u64, u64)>,
}

fn has_hold(kind: u8) -> bool {
    (14..=21).contains(&kind)
}

fn has_grant(kind: u8) -> bool {
    !matches!(kind, 6 | 13 | 14 | 16 | 18 | 19 | 21)
}

impl From<&Movement> for Wire {
    fn from(movement: &Movement) -> Self {
        let (kind, amount) = match *movement {
            Movement::Granted { amount, .. } => (1, amount),
            Movement::Scheduled { amount, .. } => (2, amount),
            Movement::Activated { amount, .. } => (3, amount),
            Movement::DebtPaid { amount, .. } => (4, amount),
            Movement::Spent { amount, .. } => (5, amount),
            Movement::Overdrawn { amount } => (6, amount),
            Movement::Depleted { .. } => (7, Amount::ZERO),
            Movement::Expired { amount, .. } => (8, amount),
            Movement::Voided { amount, .. } => (9, amount),
            Movement::ScheduledVoided { amount, .. } => (10, amount),
            Movement::ExpiryMoved { .. } => unreachable!("the end of a grant is moved by an operation of its own"),
            Movement::WrittenOff { amount, .. } => (12, amount),
            Movement::DebtWrittenOff { amount } => (13, amount),
            Movement::Held { amount, .. } => (14, amount),
            Movement::Reserved { amount, .. } => (15, amount),
            Movement::Captured { amount, .. } => (16, amount),
            Movement::PartSpent { amount, .. } => (17, amount),
            Movement::Released { amount, .. } => (18, amount),
            Movement::HoldExpired { amount, .. } => (19, amount),
            Movement::Returned { amount, .. } => (20, amount),
            Movement::HoldMoved { .. } => (HOLD_MOVED, Amount::ZERO),
            Movement::AwaitsPayment { amount, .. } => (32, amount),
            Movement::Paid { amount, .. } => (33, amount),
            Movement::RolledOver { amount, .. } => (ROLLED_OVER, amount),
            Movement::GivenBack { .. }
            | Movement::Reopened { .. }
            | Movement::DebtReturned { .. }
            | Movement::Forfeited { .. } => unreachable!("a debit is given back by an operation of its own"),
            Movement::TransferredOut { .. } | Movement::TransferredIn { .. } => {
                unreachable!("credits leave for other wallets by operations of their own")
            }
        };
        let instants = match *movement {
            Movement::HoldMoved { from, to, .. } => Some((from.millis(), to.millis())),
            Movement::RolledOver { into, at, .. } => Some((into.get(), at.millis())),
            _ => None,
        };
        Wire { kind, hold: movement.hold(), grant: movement.grant(), amount, instants }
    }
}

impl TryFrom<Wire> for Movement {
    type Error = Corrupt;

    fn try_from(wire: Wire) -> Result<Self, Corrupt> {
        let malformed = Corrupt::Malformed("movement");
        let Wire { kind, amount, .. } = wire;
        let grant = wire.grant.unwrap_or(GrantId::new(0));
        let hold = wire.hold.unwrap_or(HoldId::new(0));
        Ok(match kind {
            1 => Movement::Granted { grant, amount },
            2 => Movement::Scheduled { grant, amount },
            3 => Movement::Activated { grant, amount },
            4 => Movement::DebtPaid { grant, amount },
            5 => Movement::Spent { grant, amount },
            6 => Movement::Overdrawn { amount },
            7 => Movement::Depleted { grant },
            8 => Movement::Expired { grant, amount },
            9 => Movement::Voided { grant, amount },
            10 => Movement::ScheduledVoided { grant, amount },
            12 => Movement::WrittenOff { grant, amount },
            13 => Movement::DebtWrittenOff { amount },
            14 => Movement::Held { hold, amount },
            15 => Movement::Reserved { hold, grant, amount },
            16 => Movement::Captured { hold, amount },
            17 => Movement::PartSpent { hold, grant, amount },
            18 => Movement::Released { hold, amount },
            19 => Movement::HoldExpired { hold, amount },
            20 => Movement::Returned { hold, grant, amount },
            HOLD_MOVED => {
                let (from, to) = wire.instants.ok_or(malformed)?;
                Movement::HoldMoved { hold, from: Timestamp::from_millis(from), to: Timestamp::from_millis(to) }
            }
            32 => Movement::AwaitsPayment { grant, amount },
            33 => Movement::Paid { grant, amount },
            ROLLED_OVER => {
                let (into, at) = wire.instants.ok_or(malformed)?;
                Movement::RolledOver { grant, into: GrantId::new(into), amount, at: Timestamp::from_millis(at) }
            }
            _ => return Err(malformed),
        })
    }
}

fn write_names(names: &Names<'_>, out: &mut Writer<'_>) {
    out.varint((names.levels.len() as u64) << 2 | u64::from(names.depleted) | u64::from(names.negative) << 1);
    for name in &names.levels {
        out.put(&[name.len() as u8]);
        out.put(name.as_bytes());
    }
}

fn read_names<'a>(fields: &mut Fields<'a>) -> Result<Names<'a>, Corrupt> {
    let head = fields.varint()?;
    let mut levels = Vec::new();
    for _ in 0..head >> 2 {
        let length = fields.u8()?;
        levels.push(fields.text(length.into())?);
    }
    Ok(Names { levels, depleted: head & 1 != 0, negative: head & 2 != 0, quiet: Vec::new() })
}

fn read_list<'a, T>(
    fields: &mut Fields<'a>,
    read: impl Fn(&mut Fields<'a>) -> Result<T, Corrupt>,
) -> Result<Vec<T>, Corrupt> {
    let count = fields.varint()?;
    // An entry takes a byte at the least: no count makes this reserve more than there is.
    if count > fields.0.len() as u64 {
        return Err(Corrupt::Truncated);
    }
    (0..count).map(|_| read(fields)).collect()
}

pub(super) fn put_amount(amount: Amount, out: &mut Writer<'_>) {
    out.varint(zigzag(amount.units()));
}

pub(super) fn amount(fields: &mut Fields<'_>) -> Result<Amount, Corrupt> {
    Ok(Amount::new(unzigzag(fields.varint()?)))
}

pub(super) fn instant(fields: &mut Fields<'_>) -> Result<Timestamp, Corrupt> {
    Ok(Timestamp::from_millis(fields.varint()?))
}
