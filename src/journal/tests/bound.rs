//! What an operation's record takes is no more than what is reserved for it.

use super::operations::{ROLLOVER, grant_operation, level, operation_survives};
use super::{NOW, decimal};
use crate::journal::debit::Metered;
use crate::journal::note::{Note, NoteKind};
use crate::journal::operation::{self, Event, OperationRecord, Repair};
use crate::ledger::{
    Amount, Category, Commitment, Expiry, GrantId, Level, Levels, Lot, NewGrant, Operation, Payment, Percent, Policy,
    Return, Reversal, Rollover, Special, Status, Terms, Timestamp, Watches, transition,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

/// Many grants arrive, and the first ones pay debt.
fn longest_arrival() -> Operation {
    let Operation::Grant(plain) = grant_operation() else { unreachable!("it grants") };
    let special = Special { rollover: Some(ROLLOVER), ..Special::NONE };
    let grant = |number: u64| NewGrant {
        id: GrantId::new(u64::MAX - 500 - 2 * number),
        amount: Amount::new(1 + (i64::MAX >> 9)),
        effective_at: Timestamp::EPOCH,
        expires_at: Some(Timestamp::from_millis(u64::MAX - 1)),
        cost: Some(i64::MAX),
        max_balance: Some(Amount::MAX),
        special,
        ..plain
    };
    Operation::TransferIn { grants: (0..64).map(grant).collect() }
}

/// Gives all grants back what they never lost, so that it is forfeited, and opens as many others.
fn longest_reversal(terms: &Terms) -> Operation {
    let back = |lot: &Lot| Return {
        lot: Lot { remaining: Amount::ZERO, ..*lot },
        ended: false,
        amount: Amount::ONE,
        rollover: Some(ROLLOVER),
    };
    let mut returns: Vec<_> = terms.lots.iter().map(back).collect();
    let others = (0..returns.len() as u64).map(|number| {
        let granted = Amount::new(i64::MAX);
        let (effective_at, expires_at) = (NOW, Expiry::at(Timestamp::from_millis(u64::MAX - 1)));
        let lot =
            Lot { id: GrantId::new(u64::MAX - 200 - 2 * number), granted, effective_at, expires_at, ..returns[0].lot };
        back(&lot)
    });
    returns.extend(others.collect::<Vec<_>>());
    let Operation::Grant(regrant) = grant_operation() else { unreachable!("it grants") };
    let forfeited = Amount::new(i64::try_from(terms.lots.len()).expect("few lots"));
    Operation::Reverse(Box::new(Reversal {
        debit: u64::MAX,
        taken: Amount::MAX,
        before: Amount::ZERO,
        debt: Amount::ZERO,
        payers: Vec::new(),
        returns,
        regrant: (forfeited > Amount::ZERO).then_some(NewGrant { amount: forfeited, max_balance: None, ..regrant }),
    }))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The bound that commands are admitted with holds for what the rules make of them.
    #[test]
    fn an_operation_takes_no_more_than_its_bound(
        grants in vec((1..i64::MAX >> 12, 0..40_u64, 1..60_u64, 0..4_u8), 0..40), levels in 0..20_i64, debt in 0..1_000_i64,
        now in 0..200_u64, what in 0..13_usize, repairs in 0..20_u64,
    ) {
        let start = NOW.millis();
        let at = |offset: u64| Timestamp::from_millis(start + offset);
        let mut terms = Terms::new();
        let named: Vec<_> = (0..levels)
            .map(|number| {
                let plain = level(&format!("{number:0>64}"), i64::MAX / 4 + number);
                let min_interval_ms = if number % 2 == 0 { Levels::INTERVAL_MS_MAX } else { 0 };
                match number % 3 {
                    0 => Level { min_interval_ms, ..plain },
                    1 => Level { min_interval_ms, watches: Watches::Projected, ..plain },
                    _ => Level {
                        amount: Amount::ZERO,
                        margin: Amount::new(i64::MAX - 99),
                        percent: Percent::from_millionths(99_999_999),
                        min_interval_ms,
                        ..plain
                    },
                }
            })
            .collect();
        let inherit = Levels::new(Clone::clone(&named)).ok().map(Arc::new);
        let set = Operation::SetLevels((levels > 0).then(|| Arc::new(Levels::new(named).expect("levels"))));
        terms = transition(&terms, terms.opening, &set, at(0)).terms;
        let overdraft = Operation::Debit { amount: Amount::new(debt), policy: Policy::Overdraft };
        terms = transition(&terms, terms.opening, &overdraft, at(0)).terms;
        for (number, (amount, begins, lasts, kind)) in grants.iter().enumerate() {
            let rollover = Rollover { fraction: decimal(5, 1), max: None, valid_for_ms: Some(1), priority: 9 };
            let payment = Payment { begins_when_paid: false, valid_for_ms: None };
            let special = Special {
                rollover: (*kind > 1).then_some(rollover),
                occurrence: None,
                payment: (*kind == 1).then_some(payment),
            };
            let grant = Operation::Grant(NewGrant {
                id: GrantId::new(u64::MAX - 101 + 2 * number as u64),
                amount: Amount::new(*amount),
                priority: 50,
                category: Category::Paid,
                effective_at: at(*begins),
                expires_at: Some(at(begins + lasts)),
                cost: Some(i64::MAX),
                max_balance: None,
special,
            });
            terms = transition(&terms, terms.opening, &grant, at(0)).terms;
        }
        let operation = match what {
            0 => grant_operation(),
            1 => Operation::Debit { amount: Amount::new(i64::MAX >> 8), policy: Policy::Overdraft },
            2 => Operation::SetStatus(Status::Closed),
            3 => set,
            4 => Operation::Void { grant: GrantId::new(u64::MAX - 101) },
            5 => Operation::Pay { grant: GrantId::new(u64::MAX - 101) },
            6 => Operation::EndSchedule { schedule: 7 },
            7 => longest_reversal(&terms),
            8 => Operation::InheritLevels { version: u32::MAX, levels: inherit },
            9 => Operation::SetCommitments(
                (0..100).map(|end| Commitment { amount: Amount::new(i64::MAX >> 8), until: Expiry::at(at(1_000 + end)) }).collect(),
            ),
            10 => {
                let parts: Vec<_> = terms.parts_of_transfer(terms.transferable()).into_iter().map(|(lot, part, _)| (lot.id, part)).collect();
                Operation::TransferOut { amount: terms.transferable(), parts: parts.into() }
            }
            11 => longest_arrival(),
            _ => Operation::MoveExpiry { grant: GrantId::new(u64::MAX - 101), expires_at: None },
        };
        let repair = Repair {
            relinked: (0..repairs).map(|place| (u64::MAX - place, u64::MAX)).collect(),
            corrected: (0..repairs).map(|place| (u64::MAX - place, i64::MIN)).collect(),
            dropped: (0..repairs).map(|place| u64::MAX - place).collect(),
        };
        let note = matches!(what, 7 | 10 | 11).then(|| {
            let text = |length: usize| Some("x".repeat(length));
            let metadata = (0..50).map(|pair| (format!("{pair:0>40}"), "x".repeat(500))).collect();
            let (key, reason, invoice) = (text(255), text(500), text(128));
            Box::new(Note { key, reason, invoice, metadata, other: Some(u32::MAX), ..Note::new(NoteKind::Reversal) })
        });
        let longest = "x".repeat(128);
        let metered = Some(Metered { meter: u16::MAX, quantity: decimal(i64::MIN, 17) });
        let event = Event { id: &longest, source: &longest, time: NOW, metered };
        let change = transition(&terms, terms.opening, &operation, at(now));
        let record = OperationRecord {
            slot: u32::MAX,
            generation: u32::MAX,
            closing: terms.opening,
            opening: change.terms.opening,
            previous: 0,
            previous_opening: u64::MAX,
            time: at(now),
            adjustment: i64::MIN,
            counts: 0,
            body: operation::body(&operation, Some(event), change.result, &change.effects, &change.terms, repair.clone(), note.clone()),
        };
        let bound = operation::length_bound(&terms, &operation, 256, &repair, note.as_deref());
        let length = record.encode().len();
        prop_assert!(length <= bound, "{} over {}", length, bound);
        operation_survives(&record);
    }
}
