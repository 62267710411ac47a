//! What recoveries have mended in the log, as the log itself says: few entries, known in full once the engine is open.
//!
//! A crash can cut the log in the middle of what raced: a record's link may point at one that was lost, a debit's balance may count on
//! a lost debit, a debit may belong to a generation whose opening was lost. None of it was ever acknowledged. Recovery appends an
//! operation that reopens each such wallet and says what now holds; readers of old records ask here first.

use crate::journal::operation::Repair;
use crate::journal::snapshot::entry::Mended;
use crate::ledger::Amount;
use std::collections::{HashMap, HashSet};

/// All repairs of a log.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    relinked: HashMap<u64, u64>,
    corrected: HashMap<u64, i64>,
    dropped: HashSet<u64>,
}

impl Repairs {
    /// Adds what one operation says.
    pub(super) fn learn(&mut self, repair: &Repair) {
        self.relinked.extend(repair.relinked.iter().copied());
        self.corrected.extend(repair.corrected.iter().copied());
        self.dropped.extend(repair.dropped.iter().copied());
    }

    /// Adds one repair.
    pub(super) fn enter(&mut self, mended: Mended) {
        match mended {
            Mended::Relinked(record, previous) => {
                self.relinked.insert(record, previous);
            }
            Mended::Corrected(record, balance) => {
                self.corrected.insert(record, balance);
            }
            Mended::Dropped(record) => {
                self.dropped.insert(record);
            }
        }
    }

    /// All repairs, each kind in the order of the records.
    pub(super) fn all(&self) -> Vec<Mended> {
        let mut all: Vec<_> =
            self.relinked.iter().map(|(record, previous)| Mended::Relinked(*record, *previous)).collect();
        all.extend(self.corrected.iter().map(|(record, balance)| Mended::Corrected(*record, *balance)));
        all.extend(self.dropped.iter().map(|record| Mended::Dropped(*record)));
        all.sort_unstable();
        all
    }

    /// Adds another part's repairs.
    pub(super) fn merge(&mut self, other: Repairs) {
        self.relinked.extend(other.relinked);
        self.corrected.extend(other.corrected);
        self.dropped.extend(other.dropped);
    }

    /// The record that precedes this one, if its own link does not hold.
    pub(super) fn previous(&self, lsn: u64) -> Option<u64> {
        self.relinked.get(&lsn).copied()
    }

    /// The balance after this debit, if its own does not hold.
    pub(super) fn balance_after(&self, lsn: u64) -> Option<Amount> {
        self.corrected.get(&lsn).copied().map(Amount::new)
    }

    /// Whether this debit did not take place.
    pub(super) fn is_dropped(&self, lsn: u64) -> bool {
        self.dropped.contains(&lsn)
    }
}
