//! Merging: which runs, and one bounded step after the other.
//!
//! Runs are kept in the order of the log, and neighbours are merged when the older is at most twice as large as what is newer in the same
//! merge: so the sizes of those that are left rise by more than twofold from the newest on, and there are few. None is made that would hold
//! more than a third of all that is remembered: so what has expired goes with whole files, a merge takes little beside what is there, and
//! little waits behind one. A billion identities in portions of six million are in eight runs at the most, six on average; each is
//! written about six times in its life.

use super::filter::Unreadable;
use super::format::Pair;
use super::run::{Cursor, Run, Writer};
use super::{Damaged, Span};
use drawdown_wal::Files;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// How much larger the older one of two neighbours may be.
const RATIO: u64 = 2;
/// The part of all identities that a merged run may hold.
const PART: u64 = 3;

/// The neighbours to merge next, of runs with so many living identities each, oldest first. The newest ones that there are.
pub(super) fn choose(alive: &[u64]) -> Option<Range<usize>> {
    let most = alive.iter().sum::<u64>() / PART;
    (1..alive.len()).rev().find_map(|newest| {
        let mut sum = alive[newest];
        let mut oldest = newest;
        while oldest > 0 {
            let next = alive[oldest - 1];
            if next > RATIO * sum || next + sum > most {
                break;
            }
            sum += next;
            oldest -= 1;
        }
        (oldest < newest).then_some(oldest..newest + 1)
    })
}

/// A merge under way.
pub(super) struct Merge {
    inputs: Vec<Arc<Run>>,
    /// What each input gives next, and the rest of it; those at their end are gone.
    heads: Vec<(Pair, Cursor)>,
    writer: Writer,
    /// Identities before it are left out.
    horizon: u64,
}

/// Why a merge ended without its result.
#[derive(Debug)]
pub(super) enum Failed {
    /// An input is damaged.
    Damaged,
    /// The files refuse.
    Io(io::Error),
}

impl From<Damaged> for Failed {
    fn from(_: Damaged) -> Self {
        Failed::Damaged
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed::Io(error)
    }
}

impl Merge {
    /// Begins to merge neighbours, oldest first.
    pub(super) fn begin(
        files: &dyn Files,
        log_id: [u8; 16],
        inputs: Vec<Arc<Run>>,
        horizon: u64,
    ) -> Result<Self, Failed> {
        let (first, last) = (inputs[0].span(), inputs[inputs.len() - 1].span());
        let span = Span { from: first.from, to: last.to };
        let entries = inputs.iter().map(|run| run.entries()).sum();
        let writer = Writer::create(files, log_id, span, entries)?;
        let mut heads = Vec::with_capacity(inputs.len());
        for run in &inputs {
            let mut cursor = run.cursor();
            if let Some(head) = cursor.next()? {
                heads.push((head, cursor));
            }
        }
        Ok(Merge { inputs, heads, writer, horizon })
    }

    pub(super) fn inputs(&self) -> &[Arc<Run>] {
        &self.inputs
    }

    /// Moves up to `count` entries. Answers whether any are left.
    pub(super) fn step(&mut self, count: usize) -> Result<bool, Failed> {
        for _ in 0..count {
            let lowest = self.heads.iter_mut().enumerate().min_by_key(|(_, (head, _))| *head);
            let Some((number, (head, cursor))) = lowest else { return Ok(false) };
            let entry = *head;
            match cursor.next()? {
                Some(next) => *head = next,
                None => drop(self.heads.swap_remove(number)),
            }
            if entry.1 >= self.horizon {
                self.writer.push(entry).map_err(|error| match error {
                    Unreadable::Io(error) => Failed::Io(error),
                    Unreadable::Malformed(error) => Failed::Io(io::Error::other(error)),
                })?;
            }
        }
        Ok(true)
    }

    /// Completes the result; none if nothing of the inputs is alive.
    pub(super) fn finish(self, files: &dyn Files) -> io::Result<(Vec<Arc<Run>>, Option<Run>)> {
        let anchor = self.inputs[self.inputs.len() - 1].anchor();
        Ok((self.inputs, self.writer.finish(files, anchor)?))
    }
}
