//! How an operation's record is made of what the rules computed.

use super::{Body, Event, Head, Names, Repair, VERSION_PACKED, begin_record};
use crate::journal::keyed::Keyed;
use crate::journal::note::Note;
use crate::journal::packed;
use crate::ledger::{Amount, Effects, GrantId, Levels, Lines, Operation, Rejection, Taken, Terms};

/// The body that records a change: what the rules computed, in the record's own form.
pub fn body<'a>(
    operation: &Operation,
    event: Option<Event<'a>>,
    result: Result<Taken, Rejection>,
    effects: &Effects,
    new: &'a Terms,
    repair: Repair,
    note: Option<Box<Note>>,
) -> Body<'a> {
    Body {
        operation: operation.clone(),
        event,
        taken: result.unwrap_or_default(),
        rejected: result.is_err(),
        movements: effects.movements.clone(),
        crossed: names(&effects.crossed, effects, new.levels.as_deref()),
        recovered: names(&effects.recovered, effects, new.levels.as_deref()),
        lots: new.lots.iter().map(|lot| (lot.id, lot.remaining)).collect(),
        repair,
        note,
        keyed: None,
    }
}

/// An operation on a hold that was carried out, as its record tells of it.
#[derive(Clone, Copy, Debug)]
pub struct OnHold<'a> {
    /// What was asked.
    pub operation: &'a Operation,
    /// Under which key, if under one.
    pub keyed: Option<&'a Keyed>,
    /// What was taken, or why it was refused.
    pub result: Result<Taken, Rejection>,
    /// What happened on the way.
    pub effects: &'a Effects,
}

/// Writes the record of an operation, but for what [`place`](super::place) fills in, in place of what `out` has; as [`OperationRecord::write`](super::OperationRecord::write) of [`body`] for
/// operations on holds, without a body in between. `lots` and `levels` are of the new terms.
pub fn write_hold(
    head: &Head,
    done: OnHold<'_>,
    lots: impl ExactSizeIterator<Item = (GrantId, Amount)>,
    levels: Option<&Levels>,
    out: &mut Vec<u8>,
) {
    let OnHold { operation, keyed, result, effects } = done;
    let (crossed, recovered) = (names(&effects.crossed, effects, levels), names(&effects.recovered, effects, levels));
    let parts = packed::Parts {
        operation,
        taken: result.unwrap_or_default(),
        rejected: result.is_err(),
        movements: &effects.movements,
        crossed: &crossed,
        recovered: &recovered,
        lots,
        keyed,
    };
    begin_record(out);
    packed::write_parts(parts, out);
    head.write(VERSION_PACKED, out);
}

fn names<'a>(lines: &Lines, effects: &Effects, levels: Option<&'a Levels>) -> Names<'a> {
    if lines.is_empty() {
        return Names::default();
    }
    let named = |mask: u64| match levels {
        Some(levels) => levels.of_mask(mask).map(|level| &*level.name).collect(),
        None => Vec::new(),
    };
    Names {
        levels: named(lines.levels),
        depleted: lines.depleted,
        negative: lines.negative,
        quiet: named(lines.levels & effects.quiet),
    }
}
