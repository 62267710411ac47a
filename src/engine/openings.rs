//! The openings of a wallet's generations, read back from the log as far as somebody asks for them.
//!
//! Each opening's record names the one before it, so this walk does not touch the debits between them.

use crate::journal::admin::AdminRecord;
use crate::journal::{self, Corrupt, Record};
use crate::ledger::{Allocation, Amount, Category, Expiry, GrantId, Lot, Terms, Timestamp};
use drawdown_wal::{Log, Lsn};
use std::collections::HashMap;

/// How a generation began.
#[derive(Clone, Debug)]
pub(super) struct GenerationOpening {
    /// LSN of the record that counts, of the copies that there may be.
    pub(super) at: u64,
    /// The balance.
    pub(super) balance: Amount,
    lots: Vec<(GrantId, Amount)>,
}

impl GenerationOpening {
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
    /// The next one to read: the highest number that it can have, and its place. `None` when the first has been read.
    next: Option<(u32, u64)>,
}

impl<'a> Openings<'a> {
    /// Walks back from generation `number`, whose record stands at `opened_at` and whose terms are known: its record need not be there any
    /// more.
    pub(super) fn from(log: &'a Log, slot: u32, number: u64, opened_at: u64, terms: &Terms) -> Self {
        let lots = terms.lots.iter().map(|lot| (lot.id, lot.remaining)).collect();
        let opening = GenerationOpening { at: opened_at, balance: terms.opening, lots };
        Openings { log, slot, known: HashMap::from([(number as u32, opening)]), next: Some((number as u32, opened_at)) }
    }

    /// Where the next opening to be read stands.
    pub(super) fn position(&self) -> Option<u64> {
        self.next.map(|(_, at)| at)
    }

    /// The opening of a generation at or before the one that the walk started from.
    pub(super) fn find(&mut self, generation: u32) -> Result<&GenerationOpening, Corrupt> {
        while !self.known.contains_key(&generation) {
            self.step()?;
        }
        Ok(&self.known[&generation])
    }

    fn step(&mut self) -> Result<(), Corrupt> {
        let (newest, at) = self.next.ok_or(Corrupt::Malformed("generation"))?;
        let mut view = None;
        let (number, opening) = match journal::read_at(self.log, Lsn::new(at), &mut view)? {
            // A reopening after a crash passes over the numbers of generations whose openings were lost.
            Record::Operation(record)
                if record.slot == self.slot && newest.wrapping_sub(record.generation).cast_signed() >= 0 =>
            {
                self.next = Some((record.generation.wrapping_sub(1), record.previous_opening));
                (record.generation, GenerationOpening { at, balance: record.opening, lots: record.body.lots })
            }
            Record::Admin(AdminRecord::Wallet(wallet)) if wallet.slot == self.slot => {
                self.next = None;
                (1, GenerationOpening { at, balance: Amount::ZERO, lots: Vec::new() })
            }
            _ => return Err(Corrupt::Malformed("link to the opening before")),
        };
        self.known.insert(number, opening);
        Ok(())
    }
}
