//! The openings of a wallet's generations, read back from the log as far as somebody asks for them.
//!
//! Each opening's record names the one before it, so this walk does not touch the debits between them. There may be many: what is passed on
//! the way to an older one is noted by its place, and read when it is asked for. A reader who comes along the chain of records says which
//! openings it has passed, and they are known without a walk from the newest.

use crate::journal::admin::AdminRecord;
use crate::journal::operation::OperationRecord;
use crate::journal::{self, Corrupt, Opening, Record};
use crate::ledger::{Allocation, Amount, Category, Expiry, GrantId, Lot, Terms, Timestamp};
use drawdown_wal::{Log, Lsn, SegmentView};
use std::collections::HashMap;

/// How a generation began.
#[derive(Clone, Debug)]
pub(super) struct GenerationOpening {
    /// LSN of the record that counts, of the copies that there may be.
    pub(super) at: u64,
    /// The balance.
    balance: Amount,
    lots: Vec<(GrantId, Amount)>,
}

impl GenerationOpening {
    /// Of a generation whose terms are known.
    pub(super) fn of_terms(at: u64, terms: &Terms) -> Self {
        let lots = terms.lots.iter().map(|lot| (lot.id, lot.remaining)).collect();
        GenerationOpening { at, balance: terms.opening, lots }
    }

    /// As an operation's record says, of which the copy at `at` counts.
    pub(super) fn of_record(at: u64, record: &OperationRecord<'_>) -> Self {
        GenerationOpening { at, balance: record.opening, lots: record.body.lots.clone() }
    }

    /// Of a wallet that was just made.
    pub(super) fn of_making(at: u64) -> Self {
        GenerationOpening { at, balance: Amount::ZERO, lots: Vec::new() }
    }

    /// The balance below which nothing is left but what is held, so that a debit becomes debt.
    pub(super) fn free_from(&self) -> i128 {
        let free: i128 = self.lots.iter().map(|(_, remaining)| i128::from(remaining.units())).sum();
        i128::from(self.balance.units()) - free
    }

    /// Who paid a debit of this generation that moved the balance from `before` to `after`.
    pub(super) fn allocate(&self, before: Amount, after: Amount) -> Allocation {
        // The allocation looks at identity and remainder only; order is the record's own.
        let lot = |(id, remaining): &(GrantId, Amount)| Lot {
            id: *id,
            remaining: *remaining,
            granted: *remaining,
            effective_at: Timestamp::EPOCH,
            expires_at: Expiry::NEVER,
            cost: 0,
            priority: 0,
            category: Category::Paid,
        };
        let lots = self.lots.iter().map(lot).collect();
        Terms { opening: self.balance, lots, ..Terms::new() }.allocate(before, after)
    }
}

/// A wallet's openings, newest first.
#[derive(Debug)]
pub(super) struct Openings<'a> {
    log: &'a Log,
    slot: u32,
    known: HashMap<u32, GenerationOpening>,
    /// Where openings stand that were passed on the way down, by falling number.
    passed: Vec<(u32, u64)>,
    /// As `passed`, as the reader of the chain said.
    told: HashMap<u32, u64>,
    /// The next one to read on the way down: the highest number that it can have, and its place. `None` when the first has been read.
    next: Option<(u32, u64)>,
    view: Option<SegmentView>,
}

impl<'a> Openings<'a> {
    /// Walks back from generation `number`, whose record stands at `opened_at` and whose terms are known: its record need not be there any
    /// more.
    pub(super) fn from(log: &'a Log, slot: u32, number: u64, opened_at: u64, terms: &Terms) -> Self {
        let opening = GenerationOpening::of_terms(opened_at, terms);
        Openings {
            log,
            slot,
            known: HashMap::from([(number as u32, opening)]),
            passed: Vec::new(),
            told: HashMap::new(),
            next: Some((number as u32, opened_at)),
            view: None,
        }
    }

    /// Where the next opening to be read stands.
    pub(super) fn position(&self) -> Option<u64> {
        self.next.map(|(_, at)| at)
    }

    /// A reader of the chain has passed the opening of a generation, whose copy at `at` counts.
    pub(super) fn pass(&mut self, at: u64, generation: u32) {
        self.told.insert(generation, at);
    }

    /// Whether the place of a generation's opening is known.
    pub(super) fn knows(&self, generation: u32) -> bool {
        self.known.contains_key(&generation) || self.place(generation).is_some()
    }

    fn place(&self, generation: u32) -> Option<u64> {
        if let Some(at) = self.told.get(&generation) {
            return Some(*at);
        }
        // Numbers are compared by how far they lie below the first: they wrap.
        let first = self.passed.first()?.0;
        let found = self
            .passed
            .binary_search_by_key(&first.wrapping_sub(generation), |(number, _)| first.wrapping_sub(*number));
        found.ok().map(|index| self.passed[index].1)
    }

    /// The opening of a generation at or before the one that the walk started from.
    pub(super) fn find(&mut self, generation: u32) -> Result<&GenerationOpening, Corrupt> {
        while !self.knows(generation) {
            self.step_down(generation)?;
        }
        if !self.known.contains_key(&generation) {
            let at = self.place(generation).ok_or(Corrupt::Malformed("generation"))?;
            let opening = match journal::read_at(self.log, Lsn::new(at), &mut self.view)? {
                Record::Operation(record) if record.slot == self.slot && record.generation == generation => {
                    GenerationOpening::of_record(at, &record)
                }
                Record::Admin(AdminRecord::Wallet(wallet)) if wallet.slot == self.slot => {
                    GenerationOpening::of_making(at)
                }
                _ => return Err(Corrupt::Malformed("link to the opening before")),
            };
            self.known.insert(generation, opening);
        }
        Ok(&self.known[&generation])
    }

    /// Passes one opening more on the way down to a generation's.
    pub(super) fn step_down(&mut self, generation: u32) -> Result<(), Corrupt> {
        let Some((newest, at)) = self.next.filter(|(newest, _)| newest.wrapping_sub(generation).cast_signed() >= 0)
        else {
            return Err(Corrupt::Malformed("generation"));
        };
        let (number, below) = match journal::opening_at(self.log, Lsn::new(at), &mut self.view)? {
            // A reopening after a crash passes over the numbers of generations whose openings were lost.
            Opening::Operation(head)
                if head.slot == self.slot && newest.wrapping_sub(head.generation).cast_signed() >= 0 =>
            {
                (head.generation, Some((head.generation.wrapping_sub(1), head.previous_opening)))
            }
            Opening::Making { slot } if slot == self.slot => (1, None),
            Opening::Operation(_) | Opening::Making { .. } => {
                return Err(Corrupt::Malformed("link to the opening before"));
            }
        };
        self.next = below;
        self.passed.push((number, at));
        Ok(())
    }
}
