//! One wallet's books, kept from its records alone: no rule is asked, and what a record says is compared with what the records before it
//! lead to.

use crate::journal::operation::OperationRecord;
use crate::ledger::{Amount, GrantId, HoldId, Movement, Operation, Reversal};
use std::collections::BTreeMap;

/// A contradiction, in words.
pub(super) type Found = &'static str;

/// Sums over movements, in smallest units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Granted and effective.
    pub granted: i128,
    /// Debited, on the fast path or not.
    pub debited: i128,
    /// Taken from grants by debits, and by debt that they paid, less what was given back to them: counted grant by grant.
    pub spent: i128,
    /// Expired.
    pub expired: i128,
    /// Voided while effective.
    pub voided: i128,
    /// Unspent when wallets were closed.
    pub written_off: i128,
    /// Debt when wallets were closed.
    pub debt_written_off: i128,
    /// Gone on from grants that ended to new ones: as much in as out, so it is not in [`Sums::balance`].
    pub rolled_over: i128,
    /// Given back of what had been debited, to grants or as debt.
    pub returned: i128,
    /// Gone to other wallets.
    pub transferred_out: i128,
    /// Come from other wallets. Over all wallets of a currency as much as has gone.
    pub transferred_in: i128,
}

impl Sums {
    /// What the movements leave.
    pub fn balance(&self) -> i128 {
        self.granted + self.debt_written_off + self.returned + self.transferred_in
            - self.transferred_out
            - self.debited
            - self.expired
            - self.voided
            - self.written_off
    }

    /// What is left of all grants: every credit that was granted, or came from another wallet, was spent, expired, was voided or written off,
    /// went to another wallet, or remains.
    pub fn remaining(&self) -> i128 {
        self.granted + self.transferred_in
            - self.transferred_out
            - self.spent
            - self.expired
            - self.voided
            - self.written_off
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
        self.rolled_over += other.rolled_over;
        self.returned += other.returned;
        self.transferred_out += other.transferred_out;
        self.transferred_in += other.transferred_in;
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
    /// What is left of each grant at the opening beside what is held, in spend order.
    lots: Vec<(GrantId, i128)>,
    /// The debt at the opening.
    debt: i128,
    /// Open holds.
    holds: Holds,
    scheduled: Vec<(GrantId, i128)>,
    /// Grants that wait for their payment.
    unpaid: Vec<(GrantId, i128)>,
    /// Hashes of the records' positions less those of the positions that they link to. The links make one row from the first to the newest,
    /// if and only if the two ends are all that is left, and no link is in a circle: see [`super`].
    pub(super) links: u64,
    pub(super) sums: Sums,
    /// What has been given back of each debit.
    reversed: BTreeMap<u64, i128>,
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
            debt: 0,
            holds: Holds::default(),
            scheduled: Vec::new(),
            unpaid: Vec::new(),
            links: 0,
            sums: Sums::default(),
            reversed: BTreeMap::new(),
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
        let left: i128 = self.lots.iter().map(|(_, left)| left).sum();
        // Where something is free there is no debt, and what else there is is held. Where nothing is, both may be larger by as much.
        let unseen = if self.lots.is_empty() { self.opening.max(0) } else { self.opening - left };
        self.holds = Holds { unseen: Some(unseen), ..Holds::default() };
        self.debt = left + unseen - self.opening;
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
        (lots, self.debt + spent)
    }

    /// Open holds, each with what it has left, and what they have of grants; in no order. `None` if the book does not know all of them.
    pub(super) fn holds(&self) -> Option<&Holds> {
        self.holds.unseen.is_none().then_some(&self.holds)
    }

    /// Credits of grants that open holds have.
    pub(super) fn held(&self) -> i128 {
        self.holds.backed()
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

    pub(super) fn unpaid(&self) -> &[(GrantId, i128)] {
        &self.unpaid
    }

    /// Ends the generation with an operation and opens the next.
    pub(super) fn operate(&mut self, record: &OperationRecord<'_>) -> Result<(), Found> {
        if i128::from(record.closing.units()) != self.balance() {
            return Err("its closing balance is not what its generation's debits leave");
        }
        self.check_keyed(record)?;
        let (lots, debt) = self.holdings();
        self.sums.spent += self.taken();
        let (knows_schedule, scheduled, sums) = (self.is_whole, &mut self.scheduled, &mut self.sums);
        let (holds, unpaid) = (&mut self.holds, &mut self.unpaid);
        let mut change = Change { lots, debt, holds, knows_schedule, scheduled, unpaid, sums, taken: 0 };
        for movement in &record.body.movements {
            change.make(movement)?;
        }
        let Change { mut lots, debt, taken, .. } = change;
        self.holds.check()?;
        let is_debit = match record.body.operation {
            Operation::Debit { .. }
            | Operation::Charge { .. }
            | Operation::ClawBack { .. }
            | Operation::Capture { .. }
            | Operation::LateCapture { .. } => !record.body.rejected,
            _ => false,
        };
        if is_debit && taken != i128::from(record.body.taken.amount.units()) {
            return Err("what was taken is not what the grants and the debt gave");
        }
        if let Operation::Reverse(reversal) = &record.body.operation
            && !record.body.rejected
        {
            self.reverse(reversal, &record.body.movements)?;
        }
        let left: i128 = lots.iter().map(|(_, left)| left).sum();
        if left + self.holds.backed() - debt != i128::from(record.opening.units()) {
            return Err("its movements do not lead from its closing to its opening balance");
        }
        // A grant of which something is held has not ended, though it has nothing to spend.
        lots.retain(|(grant, left)| *left != 0 || !self.holds.may_have(*grant));
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
        self.debt = debt;
        self.opening = i128::from(record.opening.units());
        self.generation = record.generation;
        self.debits = Debits::default();
        Ok(())
    }

    /// Whether an operation under a key found its hold as it says: its answer is given again by that.
    fn check_keyed(&self, record: &OperationRecord<'_>) -> Result<(), Found> {
        let Some(keyed) = &record.body.keyed else { return Ok(()) };
        let (Operation::Capture { hold, .. } | Operation::Release { hold } | Operation::ExtendHold { hold, .. }) =
            record.body.operation
        else {
            return Ok(());
        };
        let left = i128::from(keyed.amount.units()) - i128::from(keyed.captured.units());
        let open = self.holds.open.iter().find(|(id, _)| *id == hold);
        let agrees = open.map_or(self.holds.unseen.is_some(), |(_, open)| *open == left);
        if agrees || record.body.rejected { Ok(()) } else { Err("an operation under a key found its hold otherwise") }
    }

    /// Whether a reversal goes on where the last one of its debit ended, and accounts for all that it gives back.
    fn reverse(&mut self, reversal: &Reversal, movements: &[Movement]) -> Result<(), Found> {
        let whole = |amount: Amount| i128::from(amount.units());
        let amount = reversal.amount().map(whole).ok_or("a reversal of no amount")?;
        let before = whole(reversal.before);
        let known = self.reversed.insert(reversal.debit, before + amount);
        // Of a wallet whose beginning was retired not all reversals are known.
        let known = known.unwrap_or(if self.is_whole { 0 } else { before });
        if before != known || before + amount > whole(reversal.taken) {
            return Err("more of a debit is given back than it took, or twice");
        }
        let accounted = movements.iter().map(|movement| match *movement {
            Movement::GivenBack { amount, .. }
            | Movement::Reopened { amount, .. }
            | Movement::DebtReturned { amount }
            | Movement::Forfeited { amount, .. } => whole(amount),
            _ => 0,
        });
        if accounted.sum::<i128>() == amount {
            Ok(())
        } else {
            Err("a reversal gives back another amount than it says")
        }
    }
}

/// A wallet's open holds.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// Each with what it has left.
    pub(super) open: Vec<(HoldId, i128)>,
    /// What they have of grants.
    pub(super) parts: Vec<(HoldId, GrantId, i128)>,
    /// For books that began in the midst: credits under holds that were made before, at the least.
    unseen: Option<i128>,
}

impl Holds {
    /// Credits of grants that are held.
    fn backed(&self) -> i128 {
        self.parts.iter().map(|(_, _, amount)| amount).sum::<i128>() + self.unseen.unwrap_or(0)
    }

    /// Whether something of a grant is held, as far as is known.
    fn may_have(&self, grant: GrantId) -> bool {
        self.unseen.is_some() || self.parts.iter().any(|(_, of, _)| *of == grant)
    }

    /// That no hold is backed by more than it has left, nor by anything once it is gone.
    fn check(&self) -> Result<(), Found> {
        let backed =
            |hold: HoldId| self.parts.iter().filter(|(of, ..)| *of == hold).map(|(.., amount)| amount).sum::<i128>();
        if self.open.iter().any(|(hold, left)| backed(*hold) > *left) {
            return Err("a hold is backed by more than it has left");
        }
        if self.parts.iter().any(|(of, ..)| !self.open.iter().any(|(hold, _)| hold == of)) {
            return Err("a hold has ended and has credits still");
        }
        Ok(())
    }

    /// Takes from what a hold has left; a hold that ends gives all of it.
    fn lower(&mut self, hold: HoldId, amount: i128, ends: bool) -> Result<(), Found> {
        let Some(place) = self.open.iter().position(|(other, _)| *other == hold) else {
            return if self.unseen.is_some() { Ok(()) } else { Err("something happens to a hold that is not open") };
        };
        let left = &mut self.open[place].1;
        *left -= amount;
        match *left {
            0 => {
                self.open.remove(place);
                Ok(())
            }
            1.. if !ends => Ok(()),
            _ => Err("more or less is taken from a hold than it has left"),
        }
    }

    /// Takes from what a hold has of a grant. Answers what was not known to be there, and counts as debt that was not known either.
    fn take(&mut self, hold: HoldId, grant: GrantId, amount: i128) -> Result<i128, Found> {
        let known = self.parts.iter().position(|(of, part, _)| (*of, *part) == (hold, grant));
        match (known, &mut self.unseen) {
            (Some(place), _) if self.parts[place].2 >= amount => {
                self.parts[place].2 -= amount;
                if self.parts[place].2 == 0 {
                    self.parts.swap_remove(place);
                }
                Ok(0)
            }
            (Some(_), _) => Err("more is taken of what a hold has of a grant than there is"),
            (None, Some(unseen)) => {
                let missing = (amount - *unseen).max(0);
                *unseen -= amount - missing;
                Ok(missing)
            }
            (None, None) => Err("something is taken of a grant that the hold has nothing of"),
        }
    }
}

/// A wallet between two generations.
struct Change<'a> {
    lots: Vec<(GrantId, i128)>,
    debt: i128,
    holds: &'a mut Holds,
    /// Whether all scheduled grants are known.
    knows_schedule: bool,
    scheduled: &'a mut Vec<(GrantId, i128)>,
    unpaid: &'a mut Vec<(GrantId, i128)>,
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
            Movement::ScheduledVoided { grant, amount } if self.unpaid.iter().any(|(other, _)| *other == grant) => {
                self.leave_unpaid(grant, whole(amount))
            }
            Movement::ScheduledVoided { grant, amount } => self.leave_schedule(grant, whole(amount)),
            Movement::AwaitsPayment { grant, amount } => {
                self.unpaid.push((grant, whole(amount)));
                Ok(())
            }
            Movement::Paid { grant, amount } => {
                self.leave_unpaid(grant, whole(amount))?;
                self.scheduled.push((grant, whole(amount)));
                Ok(())
            }
            Movement::RolledOver { grant, into, amount, .. } => self.roll_over(grant, into, whole(amount)),
            Movement::DebtPaid { grant, amount } => {
                self.debt -= whole(amount);
                if let (Some(unseen), 1..) = (&mut self.holds.unseen, -self.debt) {
                    // There was more debt, and more was held, than could be told.
                    *unseen -= self.debt;
                    self.debt = 0;
                }
                if self.debt < 0 { Err("more debt is paid than there was") } else { self.spend(grant, whole(amount)) }
            }
            Movement::Spent { grant, amount } => {
                self.taken += whole(amount);
                self.sums.debited += whole(amount);
                self.spend(grant, whole(amount))
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
                // Its last credits were under a hold.
                None if !self.lots.iter().any(|(other, _)| *other == grant) && !self.is_held(grant) => Ok(()),
                None => Err("a grant is depleted that has something left, or is not there"),
            },
            Movement::Expired { grant, amount } => {
                self.sums.expired += whole(amount);
                self.end(grant, whole(amount))
            }
            // Nothing is free of it; what is held goes when the hold ends.
            Movement::Voided { grant, amount: Amount::ZERO } if self.holds.may_have(grant) => Ok(()),
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
            Movement::GivenBack { .. } | Movement::Reopened { .. } | Movement::DebtReturned { .. } => {
                self.give_back(movement)
            }
            Movement::Forfeited { .. } => Ok(()),
            Movement::TransferredOut { .. } | Movement::TransferredIn { .. } => self.transfer(movement),
            Movement::ExpiryMoved { grant, amount, .. } => {
                let free = self.lots.iter().filter(|(other, _)| *other == grant).map(|(_, left)| left);
                let held = self.holds.parts.iter().filter(|(_, other, _)| *other == grant).map(|(.., part)| part);
                let is_there = free.chain(held).sum::<i128>() == whole(amount)
                    || self.scheduled.contains(&(grant, whole(amount)))
                    || self.unpaid.contains(&(grant, whole(amount)));
                if is_there || !self.knows_schedule {
                    Ok(())
                } else {
                    Err("the end of a grant is moved that is not there")
                }
            }
            Movement::Held { .. }
            | Movement::Reserved { .. }
            | Movement::Captured { .. }
            | Movement::PartSpent { .. }
            | Movement::Released { .. }
            | Movement::HoldExpired { .. }
            | Movement::Returned { .. }
            | Movement::HoldMoved { .. } => self.make_of_hold(movement),
        }
    }

    /// What goes to another wallet, or comes from one.
    fn transfer(&mut self, movement: &Movement) -> Result<(), Found> {
        match *movement {
            // If nothing is left, its depletion follows, or a hold has something of it.
            Movement::TransferredOut { grant, amount } => {
                self.sums.transferred_out += i128::from(amount.units());
                self.take(grant, amount.units().into())
            }
            Movement::TransferredIn { grant, amount } => {
                self.sums.transferred_in += i128::from(amount.units());
                self.push(grant, amount.units().into())
            }
            _ => Err("a movement that is no transfer"),
        }
    }

    /// What happens to holds.
    fn make_of_hold(&mut self, movement: &Movement) -> Result<(), Found> {
        let whole = |amount: Amount| i128::from(amount.units());
        match *movement {
            Movement::Held { hold, amount } => {
                if self.holds.open.iter().any(|(other, _)| *other == hold) {
                    return Err("a hold is made twice");
                }
                self.holds.open.push((hold, whole(amount)));
                Ok(())
            }
            Movement::Reserved { hold, grant, amount } => {
                self.take(grant, whole(amount))?;
                // What has nothing free is no lot; the hold has it.
                self.lots.retain(|lot| *lot != (grant, 0));
                self.holds.parts.push((hold, grant, whole(amount)));
                Ok(())
            }
            Movement::Captured { hold, amount } => self.holds.lower(hold, whole(amount), false),
            Movement::PartSpent { hold, grant, amount } => {
                self.taken += whole(amount);
                self.sums.debited += whole(amount);
                self.sums.spent += whole(amount);
                self.debt += self.holds.take(hold, grant, whole(amount))?;
                Ok(())
            }
            Movement::Released { hold, amount } | Movement::HoldExpired { hold, amount } => {
                self.holds.lower(hold, whole(amount), true)
            }
            Movement::Returned { hold, grant, amount } => {
                self.debt += self.holds.take(hold, grant, whole(amount))?;
                match self.lots.iter_mut().find(|(other, _)| *other == grant) {
                    Some((_, left)) => *left += whole(amount),
                    None => self.lots.push((grant, whole(amount))),
                }
                Ok(())
            }
            Movement::HoldMoved { hold, .. } => self.holds.lower(hold, 0, false),
            _ => Ok(()),
        }
    }

    fn is_held(&self, grant: GrantId) -> bool {
        self.holds.parts.iter().any(|(_, of, _)| *of == grant)
    }

    /// Part of what a grant has left goes on as the grant behind it. What then is left of the first one expires.
    fn roll_over(&mut self, grant: GrantId, into: GrantId, amount: i128) -> Result<(), Found> {
        if into != grant.rolled_over() || amount <= 0 {
            return Err("a grant rolls over into one that is not its own, or nothing of it does");
        }
        self.take(grant, amount)?;
        self.lots.retain(|lot| *lot != (grant, 0));
        self.sums.rolled_over += amount;
        self.push(into, amount)
    }

    /// A part of a reversal.
    fn give_back(&mut self, movement: &Movement) -> Result<(), Found> {
        let whole = |amount: Amount| i128::from(amount.units());
        self.sums.returned += movement.delta();
        if movement.grant().is_some() {
            self.sums.spent -= movement.delta();
        }
        match *movement {
            Movement::GivenBack { grant, amount } => match self.lots.iter_mut().find(|(other, _)| *other == grant) {
                Some((_, left)) => *left += whole(amount),
                // It has nothing left but what is held.
                None if self.holds.may_have(grant) => self.lots.push((grant, whole(amount))),
                None => return Err("something is given back to a grant that is not there"),
            },
            Movement::Reopened { grant, amount } => {
                if self.lots.iter().any(|(other, _)| *other == grant) {
                    return Err("a grant is opened again that is open");
                }
                self.lots.push((grant, whole(amount)));
            }
            Movement::DebtReturned { amount } => {
                self.debt -= whole(amount);
                if self.debt < 0 {
                    return Err("more debt is taken back than there was");
                }
            }
            _ => return Err("a movement that gives nothing back"),
        }
        Ok(())
    }

    fn enter(&mut self, grant: GrantId, amount: i128) -> Result<(), Found> {
        self.sums.granted += amount;
        self.push(grant, amount)
    }

    fn push(&mut self, grant: GrantId, amount: i128) -> Result<(), Found> {
        if self.lots.iter().any(|(other, _)| *other == grant) {
            return Err("a grant is made twice");
        }
        self.lots.push((grant, amount));
        Ok(())
    }

    fn spend(&mut self, grant: GrantId, amount: i128) -> Result<(), Found> {
        self.take(grant, amount)?;
        self.sums.spent += amount;
        Ok(())
    }

    fn take(&mut self, grant: GrantId, amount: i128) -> Result<(), Found> {
        match self.lots.iter_mut().find(|(other, _)| *other == grant) {
            Some((_, left)) if *left >= amount => {
                *left -= amount;
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

    fn leave_unpaid(&mut self, grant: GrantId, amount: i128) -> Result<(), Found> {
        match self.unpaid.iter().position(|lot| *lot == (grant, amount)) {
            Some(place) => {
                self.unpaid.remove(place);
                Ok(())
            }
            None if !self.knows_schedule => Ok(()),
            None => Err("a grant is paid for that did not wait for it, or is of another amount"),
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
