//! What the rules work out in a few sums for the wallet that nearly all are comes to what they say in general: the two are compared at
//! every step of long random walks, in which wallets become that simple and cease to be.

use drawdown::ledger::{
    Amount, Category, Effects, Expiry, GrantId, HoldId, Lot, NewHold, OnExceed, Operation, Policy, Single, Status,
    Terms, Timestamp, transition,
};

/// Marsaglia's xorshift: numbers that are random enough and the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn amount(&mut self, end: u64) -> Amount {
        Amount::new(self.below(end).cast_signed())
    }
}

fn lot(id: u64, remaining: i64, expires_at: Expiry) -> Lot {
    let (granted, effective_at) = (Amount::new(remaining), Timestamp::EPOCH);
    let (remaining, id) = (granted, GrantId::new(id));
    Lot { id, remaining, granted, effective_at, expires_at, cost: 7, priority: 50, category: Category::Paid }
}

fn fresh(numbers: &mut Numbers) -> Terms {
    let remaining = 50 + numbers.below(400).cast_signed();
    let end = numbers.below(400);
    let ends = if end < 100 { Expiry::at(Timestamp::from_millis(20 + end)) } else { Expiry::NEVER };
    let allowance = if numbers.below(4) == 0 { Amount::new(30) } else { Amount::ZERO };
    let opening = Amount::new(remaining);
    Terms { opening, allowance, lots: Box::new([lot(1, remaining, ends)]), ..Terms::new() }
}

/// An operation on one of the wallet's holds, or on one that it has not.
fn of_a_hold(numbers: &mut Numbers, terms: &Terms) -> HoldId {
    let place = numbers.below(terms.holds.len() as u64 + 1) as usize;
    terms.holds.get(place).map_or(HoldId::new(999_999), |hold| hold.id)
}

fn operation(numbers: &mut Numbers, terms: &Terms, step: u64, now: Timestamp) -> Operation {
    match numbers.below(26) {
        0..10 => Operation::Hold(NewHold {
            id: HoldId::new(1000 + step - numbers.below(40) / 39),
            amount: numbers.amount(30),
            expires_at: now.saturating_add(numbers.below(40)),
            on_exceed: [OnExceed::Reject, OnExceed::Cap, OnExceed::Overdraw][numbers.below(3) as usize],
        }),
        10..20 => {
            let hold = of_a_hold(numbers, terms);
            Operation::Capture { hold, amount: numbers.amount(30), is_final: numbers.below(2) == 0 }
        }
        20 => Operation::Release { hold: of_a_hold(numbers, terms) },
        21 => {
            let (grant, end) = (GrantId::new(1), now.saturating_add(10 + numbers.below(60)));
            Operation::MoveExpiry { grant, expires_at: (numbers.below(2) == 0).then_some(end) }
        }
        22 if numbers.below(8) == 0 => Operation::Void { grant: GrantId::new(1) },
        22 if numbers.below(8) == 0 => Operation::SetStatus(Status::Frozen),
        22 => Operation::SetAllowance(numbers.amount(40)),
        23 => Operation::FreezeGrant { grant: GrantId::new(1), most: numbers.amount(40) },
        24 => Operation::ThawGrant { grant: GrantId::new(1) },
        _ => Operation::Debit { amount: numbers.amount(60), policy: Policy::Partial },
    }
}

#[test]
fn a_wallet_of_one_grant_changes_as_the_rules_say() {
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let (mut holds, mut captures, mut others) = (0, 0, 0);
    for walk in 0..400 {
        let mut terms = fresh(&mut numbers);
        let (mut now, mut closing) = (Timestamp::from_millis(1), terms.opening);
        for step in 0..60 {
            now = now.saturating_add(numbers.below(3));
            if numbers.below(3) == 0 {
                let lower = closing.checked_sub(numbers.amount(12)).expect("small numbers");
                closing = if terms.admits(lower) { lower } else { closing };
            }
            let operation = operation(&mut numbers, &terms, step, now);
            let change = transition(&terms, closing, &operation, now);
            let single = Single::of(&terms).and_then(|single| single.change(closing, &operation, now));
            if let Some(single) = single {
                let at = || format!("walk {walk}, step {step}: {operation:?} on {terms:?} at {closing:?}, {now:?}");
                assert_eq!(Terms::from(single.next), change.terms, "{}", at());
                assert_eq!(change.result, Ok(single.taken), "{}", at());
                let effects = Effects { movements: single.movements, ..Effects::default() };
                assert_eq!(change.effects, effects, "{}", at());
                match operation {
                    Operation::Hold(_) => holds += 1,
                    Operation::Capture { .. } => captures += 1,
                    _ => unreachable!("nothing else is simple"),
                }
            } else {
                others += 1;
            }
            terms = change.terms;
            closing = terms.opening;
        }
    }
    // Often enough on both sides to mean something.
    assert!(holds > 1500 && captures > 1000 && others > 5000, "{holds} holds, {captures} captures, {others} others");
}

#[test]
fn a_hold_and_its_capture_are_simple() {
    let terms = Terms { opening: Amount::new(100), lots: Box::new([lot(1, 100, Expiry::NEVER)]), ..Terms::new() };
    let now = Timestamp::from_millis(5);
    let (id, amount) = (HoldId::new(7), Amount::new(10));
    let hold = NewHold { id, amount, expires_at: Timestamp::from_millis(50), on_exceed: OnExceed::Reject };
    let made = Single::of(&terms).and_then(|single| single.change(terms.opening, &Operation::Hold(hold), now));
    let held = Terms::from(made.expect("simple").next);
    assert_eq!((held.held, held.validate()), (amount, Ok(())));
    let capture = Operation::Capture { hold: id, amount: Amount::new(4), is_final: true };
    let captured = Single::of(&held).and_then(|single| single.change(held.opening, &capture, now)).expect("simple");
    assert_eq!(captured.taken.amount, Amount::new(4));
    let rest = Terms { opening: Amount::new(96), ..terms.clone() };
    let left = Lot { remaining: Amount::new(96), ..terms.lots[0] };
    assert_eq!(Terms::from(captured.next), Terms { lots: Box::new([left]), ..rest });
}
