//! How long an operation's record can become: room is reserved in the log before what happens is known.

use super::{FIXED, Repair};
use crate::journal::keyed::KEYED_BYTES_MAX;
use crate::journal::note::Note;
use crate::ledger::{Levels, NewGrant, Operation, Terms};

/// An upper bound of the bytes of an operation's record, given what can make it long.
pub fn length_bound(
    terms: &Terms,
    operation: &Operation,
    event_bytes: usize,
    repair: &Repair,
    note: Option<&Note>,
) -> usize {
    // What a hold gives back is a lot again. An operation on a hold is made when nothing is due, and leaves the others alone.
    let concerned = terms.holds.iter().filter(|hold| operation.hold().is_none_or(|id| id == hold.id));
    let (holds, parts) = concerned.fold((0, 0), |(holds, parts), hold| (holds + 1, parts + hold.parts.len()));
    let lots = terms.lots.len() + terms.scheduled.len() + terms.riders.unpaid.len() + parts + 1;
    // A level is named as crossed or as recovered, and again if it is quiet; one that is set says more than its name.
    let named = |levels: &Levels| levels.name_bytes() + 5 * levels.len();
    let (new, new_names) = match operation {
        Operation::SetLevels(Some(levels)) | Operation::InheritLevels { levels: Some(levels), .. } => {
            (levels.name_bytes() + 48 * levels.len(), named(levels))
        }
        _ => (0, 0),
    };
    let names = new_names.max(terms.levels.as_deref().map_or(0, named));
    let commitments = match operation {
        Operation::SetCommitments(commitments) => 20 * commitments.len(),
        _ => 0,
    };
    // A lot appears once with its remainder (at most 20 bytes) and in at most three movements of 48 bytes each; in two more if it may roll
    // over, when it does and when what it becomes has ended, too.
    let rolls = |grant: &NewGrant| grant.special.rollover.is_some();
    let may_roll = !terms.riders.clauses.is_empty() || matches!(operation, Operation::Grant(grant) if rolls(grant));
    let movements = if may_roll { 5 } else { 3 };
    let repairs = 20 * (repair.relinked.len() + repair.corrected.len()) + 9 * repair.dropped.len();
    let returns = match operation {
        // Each with its terms, and in two movements and among the remainders.
        Operation::Reverse(reversal) => 128 + (reversal.returns.len() + reversal.payers.len()) * (136 + 2 * 48 + 20),
        _ => 0,
    };
    let transferred = match operation {
        Operation::TransferOut { parts, .. } => 16 + 20 * parts.len(),
        // Each with its terms and those of rolling over; among the remainders, and made, paying debt, and depleted by that.
        Operation::TransferIn { grants } => 16 + grants.len() * (136 + 20 + 3 * 48),
        _ => 0,
    };
    let note = note.map_or(0, Note::length_bound);
    // A hold ends in one movement, and that it is made or captured is two. Only operations on holds are keyed.
    let keyed = operation.hold().map_or(0, |_| KEYED_BYTES_MAX);
    FIXED
        + 256
        + keyed
        + lots * (20 + movements * 48)
        + holds * 48
        + 2 * names
        + new
        + commitments
        + event_bytes
        + repairs
        + returns
        + transferred
        + note
}
