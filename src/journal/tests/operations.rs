//! Operations, but for those on holds.

use super::holds::hold_movements;
use super::{NOW, decimal, frame_of, hex, only_record};
use crate::catalog::Metadata;
use crate::journal::Record;
use crate::journal::debit::Metered;
use crate::journal::frame::Prelude;
use crate::journal::head::OperationHead;
use crate::journal::note::{Asked, Note, NoteKind};
use crate::journal::operation::{self, Body, Event, Names, OperationRecord, Repair};
use crate::ledger::{
    Amount, Category, Commitment, Decimal, Expiry, GrantId, Level, Levels, Lot, Movement, NewGrant, Operation, Percent,
    Policy, Return, Reversal, Rollover, Special, Status, Taken, Timestamp, Trigger, Watches,
};
use std::sync::Arc;

pub(super) fn grant_operation() -> Operation {
    Operation::Grant(NewGrant {
        id: GrantId::new(4_200),
        amount: Amount::new(1_000),
        priority: 50,
        category: Category::Paid,
        effective_at: NOW,
        expires_at: Some(Timestamp::from_millis(1_900_000_000_000)),
        cost: Some(999),
        max_balance: None,
        special: Special::NONE,
    })
}

pub(super) fn level(name: &str, amount: i64) -> Level {
    Level {
        name: name.into(),
        amount: Amount::new(amount),
        trigger: Trigger::AtOrBelow,
        margin: Amount::new(5),
        ..Level::default()
    }
}

/// Levels with all that a level can have.
pub(super) fn any_levels() -> Arc<Levels> {
    let (percent, watches) = (Percent::from_millionths(12_500_000), Watches::Projected);
    let share = Level { amount: Amount::ZERO, percent, watches, min_interval_ms: 60_000, ..level("share", 0) };
    let available = Level { watches: Watches::Available, ..level("available", -3) };
    Arc::new(Levels::new(vec![share, available]).expect("levels"))
}

pub(super) fn set_commitments() -> Operation {
    let of = |amount, until: Option<Timestamp>| Commitment { amount: Amount::new(amount), until: until.into() };
    Operation::SetCommitments([of(7, Some(NOW)), of(i64::MAX - 9, None)].into())
}

/// An operation's record with something in every field.
pub(in crate::journal) fn full_operation(operation: Operation) -> OperationRecord<'static> {
    let (grant, amount) = (GrantId::new(4_200), Amount::new(77));
    OperationRecord {
        slot: 7,
        generation: 4,
        closing: Amount::new(1_750),
        opening: Amount::new(2_750),
        previous: 4_160,
        previous_opening: 4_096,
        time: NOW,
        adjustment: -20,
        counts: 4_224,
        body: Body {
            operation,
            event: Some(Event {
                id: "evt-1",
                source: "api",
                time: NOW,
                metered: Some(Metered { meter: 2, quantity: decimal(15, 1) }),
            }),
            taken: Taken { amount: Amount::new(3), shortfall: Amount::new(2), overdraft: Amount::new(1) },
            rejected: false,
            movements: vec![
                Movement::Granted { grant, amount },
                Movement::Scheduled { grant, amount },
                Movement::Activated { grant, amount },
                Movement::DebtPaid { grant, amount },
                Movement::Spent { grant, amount },
                Movement::Overdrawn { amount },
                Movement::Depleted { grant },
                Movement::Expired { grant, amount },
                Movement::Voided { grant, amount },
                Movement::ScheduledVoided { grant, amount },
                Movement::ExpiryMoved { grant, amount, from: None, to: Some(NOW) },
                Movement::ExpiryMoved { grant, amount, from: Some(Timestamp::EPOCH), to: None },
                Movement::WrittenOff { grant, amount },
                Movement::DebtWrittenOff { amount },
            ],
            crossed: Names { levels: vec!["low", "lower"], depleted: true, negative: false, quiet: Vec::new() },
            recovered: Names { levels: Vec::new(), depleted: false, negative: true, quiet: Vec::new() },
            lots: vec![(grant, amount), (GrantId::new(u64::MAX), Amount::new(i64::MAX))],
            repair: Repair { relinked: vec![(1, 2)], corrected: vec![(3, -4)], dropped: vec![5, u64::MAX] },
            // Without: the pinned bytes are from before there were notes.
            note: None,
            keyed: None,
        },
    }
}

/// One that takes many bytes.
pub(super) const ROLLOVER: Rollover = Rollover {
    fraction: Decimal::from_integer(1),
    max: Some(Amount::MAX),
    valid_for_ms: Some(u64::MAX),
    priority: 100,
};

fn full_note(kind: NoteKind) -> Note {
    let text = |text: &str| Some(text.to_owned());
    let asked = Asked { all: true, regrant: true, rest: None };
    let metadata = Metadata::from([("order".to_owned(), "42".to_owned())]);
    Note { kind, key: text("key-1"), reason: text("a reason"), invoice: text("inv-7"), asked, metadata, other: None }
}

fn reverse_operation() -> Operation {
    let lot = |id, expires_at| Lot {
        id: GrantId::new(id),
        // It is looked up in the wallet, and not written.
        remaining: Amount::ZERO,
        granted: Amount::new(1_000),
        effective_at: NOW,
        expires_at,
        cost: 7,
        priority: 100,
        category: Category::Promotional,
    };
    let Operation::Grant(regrant) = grant_operation() else { unreachable!("it grants") };
    Operation::Reverse(Box::new(Reversal {
        debit: 4_300,
        taken: Amount::new(90),
        before: Amount::new(3),
        debt: Amount::new(5),
        payers: vec![Return {
            lot: lot(4_200, Expiry::NEVER),
            ended: false,
            amount: Amount::new(5),
            rollover: Some(ROLLOVER),
        }],
        returns: vec![Return { lot: lot(u64::MAX, Expiry::at(NOW)), ended: true, amount: Amount::MAX, rollover: None }],
        regrant: Some(regrant),
    }))
}

/// Both sides of a transfer.
fn transfer_operations() -> [OperationRecord<'static>; 2] {
    let parts = [(GrantId::new(4_200), Amount::new(60)), (GrantId::new(u64::MAX), Amount::MAX)];
    let movement = |(grant, amount)| Movement::TransferredOut { grant, amount };
    let mut out = full_operation(Operation::TransferOut { amount: Amount::new(60), parts: parts.into() });
    out.body.movements = parts.map(movement).into();
    out.body.note = Some(Box::new(Note { other: Some(9), ..full_note(NoteKind::Transfer) }));
    let Operation::Grant(plain) = grant_operation() else { unreachable!("it grants") };
    let special = Special { rollover: Some(ROLLOVER), ..Special::NONE };
    let grants = [NewGrant { special: Special::NONE, ..plain }, NewGrant { special, ..plain }];
    let mut into = full_operation(Operation::TransferIn { grants: grants.into() });
    into.body.movements =
        grants.iter().map(|grant| Movement::TransferredIn { grant: grant.id, amount: grant.amount }).collect();
    into.body.note = Some(Box::new(Note { other: Some(7), key: None, ..full_note(NoteKind::Transfer) }));
    [out, into]
}

pub(in crate::journal) fn placed(record: &OperationRecord<'_>) -> Vec<u8> {
    let mut bytes = record.encode();
    operation::place(&mut bytes, Prelude::length("") as u32, record.previous, record.counts);
    bytes
}

#[track_caller]
pub(in crate::journal) fn operation_survives(record: &OperationRecord<'_>) {
    let payload = frame_of(&placed(record));
    match only_record(&payload) {
        Ok(Record::Operation(read)) => assert_eq!(*read, *record),
        other => panic!("{other:?}"),
    }
    let head = OperationHead {
        slot: record.slot,
        generation: record.generation,
        closing: record.closing,
        opening: record.opening,
        previous: record.previous,
        previous_opening: record.previous_opening,
        time: record.time,
        adjustment: record.adjustment,
    };
    assert_eq!(OperationHead::read(&placed(record)), Ok(head));
}

#[test]
fn operations_of_every_kind_survive() {
    let of_available = Level { watches: Watches::Available, ..level("lower", -10) };
    let levels = Levels::new(vec![level("low", 10), of_available]).expect("levels");
    let grant = GrantId::new(u64::MAX);
    let operations = [
        grant_operation(),
        Operation::Void { grant },
        Operation::MoveExpiry { grant, expires_at: None },
        Operation::MoveExpiry { grant, expires_at: Some(Timestamp::from_millis(u64::MAX - 1)) },
        Operation::Debit { amount: Amount::new(i64::MAX), policy: Policy::Reject },
        Operation::Debit { amount: Amount::ZERO, policy: Policy::Partial },
        Operation::Debit { amount: Amount::ONE, policy: Policy::Overdraft },
        Operation::Due,
        Operation::SetStatus(Status::Active),
        Operation::SetStatus(Status::Frozen),
        Operation::SetStatus(Status::Closed),
        Operation::SetAllowance(Amount::MAX),
        Operation::SetLevels(None),
        Operation::SetLevels(Some(Arc::new(levels))),
        Operation::Reopen,
        Operation::Charge { amount: Amount::MAX },
        reverse_operation(),
        Operation::SetLevels(Some(any_levels())),
        Operation::SetLevels(Some(Arc::new(Levels::default()))),
        Operation::InheritLevels { version: u32::MAX, levels: Some(any_levels()) },
        Operation::InheritLevels { version: 1, levels: None },
        set_commitments(),
    ];
    for operation in operations {
        let mut full = full_operation(operation);
        operation_survives(&full);
        full.body.movements.extend(hold_movements());
        operation_survives(&full);
    }
    let mut noted = full_operation(reverse_operation());
    let (grant, amount) = (GrantId::new(u64::MAX), Amount::MAX);
    noted.body.movements = vec![
        Movement::GivenBack { grant, amount },
        Movement::Reopened { grant, amount },
        Movement::DebtReturned { amount },
        Movement::Forfeited { grant: Some(grant), amount },
        Movement::Forfeited { grant: None, amount },
    ];
    for kind in [NoteKind::Transfer, NoteKind::Adjustment, NoteKind::Charge, NoteKind::Reversal] {
        noted.body.note = Some(Box::new(Note::new(kind)));
        operation_survives(&noted);
        noted.body.note = Some(Box::new(full_note(kind)));
        operation_survives(&noted);
    }
    assert_eq!(hex(&frame_of(&placed(&noted))), GOLDEN_REVERSAL);
    let transfer = transfer_operations();
    transfer.iter().for_each(operation_survives);
    let written = transfer.each_ref().map(|operation| hex(&frame_of(&placed(operation))));
    assert_eq!(written, [GOLDEN_TRANSFER_OUT, GOLDEN_TRANSFER_IN]);
    // A charge whose rest is to be collected.
    let asked = Asked { rest: Some(u64::MAX), ..Asked::default() };
    noted.body.note = Some(Box::new(Note { asked, ..full_note(NoteKind::Charge) }));
    operation_survives(&noted);
    let mut quiet = full_operation(Operation::Due);
    quiet.body.crossed.quiet = vec!["lower"];
    quiet.body.recovered.quiet = vec!["low"];
    operation_survives(&quiet);
    let plain = full_operation(Operation::Due);
    let body = Body {
        event: None,
        rejected: true,
        movements: Vec::new(),
        lots: Vec::new(),
        repair: Repair::default(),
        ..plain.body
    };
    operation_survives(&OperationRecord {
        closing: Amount::new(i64::MIN),
        opening: Amount::new(i64::MAX),
        previous: 0,
        previous_opening: u64::MAX,
        adjustment: i64::MIN,
        time: Timestamp::from_millis(u64::MAX),
        body,
        ..plain
    });
}

#[test]
fn the_bytes_of_an_operation_are_pinned() {
    let levels = Arc::new(Levels::new(vec![level("low", 10)]).expect("a level"));
    assert_eq!(hex(&frame_of(&placed(&full_operation(grant_operation())))), GOLDEN_GRANT_OPERATION);
    assert_eq!(hex(&frame_of(&placed(&full_operation(Operation::SetLevels(Some(levels)))))), GOLDEN_LEVELS_OPERATION);
}

// A change of these is a change of the format: old logs must stay readable, so it needs a version.

const GOLDEN_GRANT_OPERATION: &str = "\
    00505c18a30100000002470100090000000700000004000000d606000000000000be0a00000000000040100000000000000010000000\
    00000000505c18a301000001ecffffffffffffff80100000000000009981a54772616e7498cd1068cd03e832c3cf000001a3185c5000\
    cf000001ba60d33800cd03e7c094a56576742d31a3617069cf000001a3185c500093020f0193030201c29e9401cd10684dc09402cd10\
    684dc09403cd10684dc09404cd10684dc09405cd10684dc09406004dc09407cd106800c09408cd10684dc09409cd10684dc0940acd10\
    684dc0940bcd10684d92cfffffffffffffffffcf000001a3185c5000940bcd10684d9200cfffffffffffffffff940ccd10684dc0940d\
    004dc09392a36c6f77a56c6f776572c3c29390c2c39292cd10684d92cfffffffffffffffffcf7fffffffffffffff9391920102919203\
    fc9205cfffffffffffffffff";
const GOLDEN_LEVELS_OPERATION: &str = "\
    00505c18a30100000002350100090000000700000004000000d606000000000000be0a00000000000040100000000000000010000000\
    00000000505c18a301000001ecffffffffffffff80100000000000009981a95365744c6576656c739194a36c6f770a010594a5657674\
    2d31a3617069cf000001a3185c500093020f0193030201c29e9401cd10684dc09402cd10684dc09403cd10684dc09404cd10684dc094\
    05cd10684dc09406004dc09407cd106800c09408cd10684dc09409cd10684dc0940acd10684dc0940bcd10684d92cfffffffffffffff\
    ffcf000001a3185c5000940bcd10684d9200cfffffffffffffffff940ccd10684dc0940d004dc09392a36c6f77a56c6f776572c3c293\
    90c2c39292cd10684d92cfffffffffffffffffcf7fffffffffffffff9391920102919203fc9205cfffffffffffffffff";
const GOLDEN_REVERSAL: &str = "00505c18a30100000002c10100090000000700000004000000d606000000000000be0a0000000000004010000000000000001000000000000000505c18a301000001ecffffffffffffff80100000000000009a81a75265766572736597cd10cc5a0305919497cd1068cd03e8cf000001a3185c5000cfffffffffffffffff0764c2c20594920100cf7fffffffffffffffcfffffffffffffffff64919497cfffffffffffffffffcd03e8cf000001a3185c5000cf000001a3185c50000764c2c3cf7fffffffffffffffc098cd1068cd03e832c3cf000001a3185c5000cf000001ba60d33800cd03e7c094a56576742d31a3617069cf000001a3185c500093020f0193030201c2959428cfffffffffffffffffcf7fffffffffffffffc09429cfffffffffffffffffcf7fffffffffffffffc0942a00cf7fffffffffffffffc0942bcfffffffffffffffffcf7fffffffffffffffc0942c00cf7fffffffffffffffc09392a36c6f77a56c6f776572c3c29390c2c39292cd10684d92cfffffffffffffffffcf7fffffffffffffff9391920102919203fc9205cfffffffffffffffff96a8526576657273616ca56b65792d31a86120726561736f6ea5696e762d3792c3c381a56f72646572a23432";
const GOLDEN_TRANSFER_OUT: &str = "00505c18a30100000002180100090000000700000004000000d606000000000000be0a0000000000004010000000000000001000000000000000505c18a301000001ecffffffffffffff80100000000000009a81ab5472616e736665724f7574923c9292cd10683c92cfffffffffffffffffcf7fffffffffffffff94a56576742d31a3617069cf000001a3185c500093020f0193030201c292942dcd10683cc0942dcfffffffffffffffffcf7fffffffffffffffc09392a36c6f77a56c6f776572c3c29390c2c39292cd10684d92cfffffffffffffffffcf7fffffffffffffff9391920102919203fc9205cfffffffffffffffff97a85472616e73666572a56b65792d31a86120726561736f6ea5696e762d3792c3c381a56f72646572a2343209";
const GOLDEN_TRANSFER_IN: &str = "00505c18a301000000024c0100090000000700000004000000d606000000000000be0a0000000000004010000000000000001000000000000000505c18a301000001ecffffffffffffff80100000000000009a81aa5472616e73666572496e929298cd1068cd03e832c3cf000001a3185c5000cf000001ba60d33800cd03e7c093c0c0c09298cd1068cd03e832c3cf000001a3185c5000cf000001ba60d33800cd03e7c09394920100cf7fffffffffffffffcfffffffffffffffff64c0c094a56576742d31a3617069cf000001a3185c500093020f0193030201c292942ecd1068cd03e8c0942ecd1068cd03e8c09392a36c6f77a56c6f776572c3c29390c2c39292cd10684d92cfffffffffffffffffcf7fffffffffffffff9391920102919203fc9205cfffffffffffffffff97a85472616e73666572c0a86120726561736f6ea5696e762d3792c3c381a56f72646572a2343207";
