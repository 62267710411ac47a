//! Whose identity a record is: what a fold enters and what is spilled to runs, told by the same rules.
//!
//! 1. A debit's record is its event's identity, unless a crash cut it off from its generation ([`super::repairs`]).
//! 2. An operation that carried out a debit is its event's identity, at the copy that counts ([`counting`]); not if it was refused.
//! 3. A grant's declaration is the identity of its key, once the grant is in effect; a hold's that of the caller's id.
//! 4. An operation that carried out a correction is the identity of its key, as in 2.
//! 5. An operation on a hold that was asked for under a key is the identity of that, as in 2.
//! 6. An answer's record is the identity of the request's key.
//! 7. The record that a request was carried out is the identity of its key, too, under a fingerprint of its own.
//!
//! A run is derived from a part of the log, where it cannot be seen whether a declared grant or hold took effect or a later crash cut off a debit. It
//! holds those too; whoever is led there looks, as with any candidate ([`super::usage`], [`super::grants`], [`super::holds`]).

use super::answers::answer_fingerprint;
use super::fold::is_record;
use super::grants::key_fingerprint;
use super::holds::hold_fingerprint;
use crate::journal::admin::AdminRecord;
use crate::journal::keyed::OperationKey;
use crate::journal::operation::OperationRecord;
use crate::journal::{self, Record};
use crate::ledger::Operation;
use crate::store::hash::{EventsOf, Seed};
use drawdown_wal::{Log, Lsn};

/// Fingerprints of events; remembers the last source, and the beginning of its fingerprints.
#[derive(Debug, Default)]
pub(super) struct Fingerprints(Option<(Box<str>, EventsOf)>);

impl Fingerprints {
    pub(super) fn of_event(&mut self, seed: &Seed, source: &str, id: &str) -> u64 {
        let begun = match &self.0 {
            Some((last, begun)) if **last == *source => *begun,
            _ => self.0.insert((source.into(), seed.events_of(source.as_bytes()))).1,
        };
        seed.event_of(begun, id.as_bytes())
    }
}

/// It cannot be told yet which copy of an operation counts: the one that it names is not durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsettled;

/// Separates the fingerprints of corrections' keys from those of events and grants.
const NOTE_DOMAIN: u8 = 16;

/// The fingerprint by which a correction's key is remembered.
pub(super) fn note_fingerprint(seed: &Seed, key: &str) -> u64 {
    seed.key_fingerprint(NOTE_DOMAIN, key.as_bytes())
}

/// Separates the fingerprints of the keys of operations on holds from all others.
const KEYED_DOMAIN: u8 = 5;

/// The fingerprint by which an operation on a hold is remembered that was asked for under a key.
pub(super) fn keyed_fingerprint(seed: &Seed, key: &OperationKey) -> u64 {
    seed.key_fingerprint(KEYED_DOMAIN, &key.bytes())
}

/// Separates the fingerprints of requests that were carried out from all others.
const DONE_DOMAIN: u8 = 6;

/// The fingerprint by which it is remembered that a request was carried out.
pub(super) fn done_fingerprint(seed: &Seed, request: &[u8; 16]) -> u64 {
    seed.key_fingerprint(DONE_DOMAIN, request)
}

/// The fingerprint of the event, of the correction or of the key that an operation carried out, if it did one.
pub(super) fn carried_out(seed: &Seed, record: &OperationRecord<'_>) -> Option<u64> {
    if let Some(note) = record.body.note.as_ref().filter(|_| !record.body.rejected) {
        return note.key.as_deref().map(|key| note_fingerprint(seed, key));
    }
    if let Some(keyed) = record.body.keyed.as_ref().filter(|_| !record.body.rejected) {
        return Some(keyed_fingerprint(seed, &keyed.key));
    }
    match (&record.body.operation, &record.body.event) {
        (Operation::Debit { .. }, Some(event)) if !record.body.rejected => {
            Some(seed.event_fingerprint(event.source.as_bytes(), event.id.as_bytes()))
        }
        _ => None,
    }
}

/// The place of the copy that counts of the record at `lsn`: answers have named it. A crash may have taken it, before anybody got an
/// answer, and left this one; then this one counts.
///
/// A copy that counts and lies behind what is folded is looked at where it stands: whoever folds a part of a log that is being written
/// waits until everything is durable that was reserved when the part was complete (`super::snapshot`).
pub(super) fn counting(log: &Log, lsn: u64, record: &OperationRecord<'_>) -> u64 {
    let is_copy = |other: &OperationRecord<'_>| other.slot == record.slot && other.generation == record.generation;
    let counts = record.counts;
    let is_there = counts == lsn
        || is_record(log, counts)
            && matches!(journal::read_at(log, Lsn::new(counts), &mut None), Ok(Record::Operation(other)) if is_copy(&other));
    if is_there { counts } else { lsn }
}

/// The fingerprint of the identity whose place is the durable record at `lsn`, if it is one's.
pub(super) fn identity_at(
    log: &Log,
    seed: &Seed,
    lsn: u64,
    record: &Record<'_>,
    fingerprints: &mut Fingerprints,
) -> Result<Option<u64>, Unsettled> {
    Ok(match record {
        Record::Debit(debit) => Some(fingerprints.of_event(seed, debit.source, debit.id)),
        Record::Operation(operation) => match carried_out(seed, operation) {
            Some(fingerprint) => {
                // In this order: what is durable when it is asked for second lay below the tail.
                let (durable, tail) = (log.durable().get(), log.tail().get());
                if (durable..tail).contains(&operation.counts) {
                    return Err(Unsettled);
                }
                (counting(log, lsn, operation) == lsn).then_some(fingerprint)
            }
            None => None,
        },
        Record::Admin(AdminRecord::Grant(grant)) => grant.key.as_deref().map(|key| key_fingerprint(seed, key)),
        Record::Admin(AdminRecord::Hold(hold)) => hold.id.as_deref().map(|id| hold_fingerprint(seed, id)),
        Record::Admin(AdminRecord::Answer(answer)) => Some(answer_fingerprint(seed, &answer.key)),
        Record::Admin(AdminRecord::Done(done)) => Some(done_fingerprint(seed, &done.request)),
        Record::Admin(_) => None,
    })
}
