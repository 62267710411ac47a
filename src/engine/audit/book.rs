//! One wallet's books, kept from its records alone: no rule is asked, and what a record says is compared with what the records before it
//! lead to.

use crate::journal::operation::OperationRecord;
use crate::ledger::{Amount, GrantId, Movement, Operation};

/// A contradiction, in words.
pub(super) type Found = &'static str;

/// Sums over movements, in smallest units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Granted and effective.
    pub granted: i128,
    /// Debited, on the fast path or not.
    pub debited: i128,
    /// Taken from grants by debits, and by debt that they paid: counted grant by grant.
    pub spent: i128,
    /// Expired.
    pub expired: i128,
    /// Voided while effective.
    pub voided: i128,
    /// Unspent when wallets were closed.
    pub written_off: i128,
    /// Debt when wallets were closed.
    pub debt_written_off: i128,
}

impl Sums {
    /// What the movements leave.
    pub fn balance(&self) -> i128 {
        self.granted + self.debt_written_off - self.debited - self.expired - self.voided - self.written_off
    }

    /// What is left of all grants: every credit that was granted was spent, expired, was voided or written off, or remains.
    pub fn remaining(&self) -> i128 {
        self.granted - self.spent - self.expired - self.voided - self.written_off
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Sums) {
        self.granted += other.granted;
        self.debited += other.debited;
        self.spent += other.spent;
        self.expired += other.expired;
        self.voided += other.voided;
        self.written_off += other.written_off;
        self.debt_written_off += other.debt_written_off;
    }
}

/// Debits of one generation together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Debits {
    pub(super) sum: i128,
    /// Hashes of the balances before each, less those of the balances after. From the opening balance down to the closing one each debit
    /// takes over where another left, if and only if the two ends are all that is left (save with a chance of 2^-64).
    pub(super) steps: u64,
}

impl Debits {
    pub(super) fn add(&mut self, other: Debits) {
        self.sum += other.sum;
        self.steps = self.steps.wrapping_add(other.steps);
    }
}

/// A wallet's books.
#[derive(Debug)]
pub(super) struct Book {
    /// Whether it begins with the wallet's making. One that does not begins with some operation, and its sums, its row of records and its
    /// scheduled grants are not the wallet's.
    pub(super) is_whole: bool,
    /// Zero as long as it has not begun.
    pub(super) generation: u32,
    opening: i128,
    debits: Debits,
    /// What is left of each grant at the opening, in spend order.
    lots: Vec<(GrantId, i128)>,
    scheduled: Vec<(GrantId, i128)>,
    /// Hashes of the records' positions less those of the positions that they link to. The links make one row from the first to the newest,
    /// if and only if the two ends are all that is left, and no link is in a circle: see [`super`].
    pub(super) links: u64,
    pub(super) sums: Sums,
}

impl Book {
    pub(super) fn new() -> Self {
        Book { is_whole: true, generation: 1, ..Book::unbegun() }
    }

    /// Books of a wallet whose making was retired.
    pub(super) fn unbegun() -> Self {
        Book {
            is_whole: false,
            generation: 0,
            opening: 0,
            debits: Debits::default(),
            lots: Vec::new(),
            scheduled: Vec::new(),
            links: 0,
            sums: Sums::default(),
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.generation > 0
    }

    /// Begins with what an operation says that it left.
    pub(super) fn begin(&mut self, record: &OperationRecord<'_>) {
        self.lots = record.body.lots.iter().map(|(id, left)| (*id, i128::from(left.units()))).collect();
        self.opening = i128::from(record.opening.units());
        self.generation = record.generation;
    }

    pub(super) fn debit(&mut self, debits: Debits) {
        self.debits.add(debits);
        self.sums.debited += debits.sum;
    }

    /// The balance after the debits so far.
    pub(super) fn balance(&self) -> i128 {
        self.opening - self.debits.sum
    }

    /// Whether the debits so far make one row from the opening balance to the present one.
    pub(super) fn check_steps(&self, hash: impl Fn(i128) -> u64) -> Result<(), Found> {
        let ends = hash(self.opening).wrapping_sub(hash(self.balance()));
        if self.debits.steps == ends {
            Ok(())
        } else {
            Err("the balances after its debits do not lead from one to the next")
        }
    }

    /// What is left of each grant, and the debt, after the debits so far.
    pub(super) fn holdings(&self) -> (Vec<(GrantId, i128)>, i128) {
        let mut spent = self.debits.sum;
        let mut lots = Vec::with_capacity(self.lots.len());
        for (grant, remaining) in &self.lots {
            let part = spent.min(*remaining);
            spent -= part;
            lots.push((*grant, remaining - part));
        }
        (lots, (-self.opening).max(0) + spent)
    }

    /// The sums, with what the present generation's debits have taken from its grants.
    pub(super) fn sums(&self) -> Sums {
        Sums { spent: self.sums.spent + self.taken(), ..self.sums }
    }

    /// What the debits so far have taken from the generation's grants.
    fn taken(&self) -> i128 {
        let left = |lots: &[(GrantId, i128)]| lots.iter().map(|(_, left)| left).sum::<i128>();
        left(&self.lots) - left(&self.holdings().0)
    }

    pub(super) fn scheduled(&self) -> &[(GrantId, i128)] {
        &self.scheduled
    }

    /// Ends the generation with an operation and opens the next.
    pub(super) fn operate(&mut self, record: &OperationRecord<'_>) -> Result<(), Found> {
        if i128::from(record.closing.units()) != self.balance() {
            return Err("its closing balance is not what its generation's debits leave");
        }
        let (lots, debt) = self.holdings();
        self.sums.spent += self.taken();
        let (knows_schedule, scheduled, sums) = (self.is_whole, &mut self.scheduled, &mut self.sums);
        let mut change = Change { lots, debt, knows_schedule, scheduled, sums, taken: 0 };
        for movement in &record.body.movements {
            change.make(movement)?;
        }
        let Change { mut lots, debt, taken, .. } = change;
        let is_debit = matches!(record.body.operation, Operation::Debit { .. }) && !record.body.rejected;
        if is_debit && taken != i128::from(record.body.taken.amount.units()) {
            return Err("what was taken is not what the grants and the debt gave");
        }
        let left: i128 = lots.iter().map(|(_, left)| left).sum();
        if left - debt != i128::from(record.opening.units()) {
            return Err("its movements do not lead from its closing to its opening balance");
        }
        if lots.iter().any(|(_, left)| *left == 0) {
            return Err("a grant has nothing left and is not said to be depleted");
        }
        let recorded: Vec<_> = record.body.lots.iter().map(|(id, left)| (*id, i128::from(left.units()))).collect();
        let mut sorted = recorded.clone();
        sorted.sort_unstable_by_key(|(id, _)| *id);
        lots.sort_unstable_by_key(|(id, _)| *id);
        if sorted != lots {
            return Err("what it says is left of the grants is not what its movements leave");
        }
        self.lots = recorded;
        self.opening = i128::from(record.opening.units());
        self.generation = record.generation;
        self.debits = Debits::default();
        Ok(())
    }
}

/// A wallet between two generations.
struct Change<'a> {
    lots: Vec<(GrantId, i128)>,
    debt: i128,
    /// Whether all scheduled grants are known.
    knows_schedule: bool,
    scheduled: &'a mut Vec<(GrantId, i128)>,
    sums: &'a mut Sums,
    /// Spent and overdrawn.
    taken: i128,
}

impl Change<'_> {
    fn make(&mut self, movement: &Movement) -> Result<(), Found> {
        let whole = |amount: Amount| i128::from(amount.units());
        match *movement {
            Movement::Granted { grant, amount } => self.enter(grant, whole(amount)),
            Movement::Activated { grant, amount } => {
                self.leave_schedule(grant, whole(amount))?;
                self.enter(grant, whole(amount))
            }
            Movement::Scheduled { grant, amount } => {
                self.scheduled.push((grant, whole(amount)));
                Ok(())
            }
            Movement::ScheduledVoided { grant, amount } => self.leave_schedule(grant, whole(amount)),
            Movement::DebtPaid { grant, amount } => {
                self.debt -= whole(amount);
                if self.debt < 0 { Err("more debt is paid than there was") } else { self.take(grant, whole(amount)) }
            }
            Movement::Spent { grant, amount } => {
                self.taken += whole(amount);
                self.sums.debited += whole(amount);
                self.take(grant, whole(amount))
            }
            Movement::Overdrawn { amount } => {
                self.taken += whole(amount);
                self.sums.debited += whole(amount);
                self.debt += whole(amount);
                Ok(())
            }
            Movement::Depleted { grant } => match self.lots.iter().position(|lot| *lot == (grant, 0)) {
                Some(place) => {
                    self.lots.remove(place);
                    Ok(())
                }
                None => Err("a grant is depleted that has something left, or is not there"),
            },
            Movement::Expired { grant, amount } => {
                self.sums.expired += whole(amount);
                self.end(grant, whole(amount))
            }
            Movement::Voided { grant, amount } => {
                self.sums.voided += whole(amount);
                self.end(grant, whole(amount))
            }
            Movement::WrittenOff { grant, amount } => {
                self.sums.written_off += whole(amount);
                self.end(grant, whole(amount))
            }
            Movement::DebtWrittenOff { amount } => {
                self.sums.debt_written_off += whole(amount);
                self.debt -= whole(amount);
                if self.debt == 0 { Ok(()) } else { Err("the debt that is written off is not all of it") }
            }
            Movement::ExpiryMoved { grant, amount, .. } => {
                let is_there = self.lots.iter().chain(&*self.scheduled).any(|lot| *lot == (grant, whole(amount)));
                if is_there || !self.knows_schedule {
                    Ok(())
                } else {
                    Err("the end of a grant is moved that is not there")
                }
            }
        }
    }

    fn enter(&mut self, grant: GrantId, amount: i128) -> Result<(), Found> {
        self.sums.granted += amount;
        if self.lots.iter().any(|(other, _)| *other == grant) {
            return Err("a grant is made twice");
        }
        self.lots.push((grant, amount));
        Ok(())
    }

    fn take(&mut self, grant: GrantId, amount: i128) -> Result<(), Found> {
        match self.lots.iter_mut().find(|(other, _)| *other == grant) {
            Some((_, left)) if *left >= amount => {
                *left -= amount;
                self.sums.spent += amount;
                Ok(())
            }
            Some(_) => Err("more is taken from a grant than it has left"),
            None => Err("something is taken from a grant that is not there"),
        }
    }

    fn end(&mut self, grant: GrantId, amount: i128) -> Result<(), Found> {
        match self.lots.iter().position(|lot| *lot == (grant, amount)) {
            Some(place) => {
                self.lots.remove(place);
                Ok(())
            }
            None => Err("a grant ends with another remainder than it has"),
        }
    }

    fn leave_schedule(&mut self, grant: GrantId, amount: i128) -> Result<(), Found> {
        match self.scheduled.iter().position(|lot| *lot == (grant, amount)) {
            Some(place) => {
                self.scheduled.remove(place);
                Ok(())
            }
            None if !self.knows_schedule => Ok(()),
            None => Err("a scheduled grant is not there, or is of another amount"),
        }
    }
}
