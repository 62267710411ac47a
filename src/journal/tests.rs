//! Records survive their bytes, bytes that are no records are told apart, and the bytes themselves do not change.

use super::admin::{
    self, AdminRecord, ApiKeyRecord, Declared, Genesis, GrantRecord, MetadataRecord, Redeclaration, WalletRecord,
};
use super::alerts::{
    CommitmentItem, CommitmentsRecord, DefaultLevelsRecord, RunwayRecord, RunwayStateRecord, RunwayToldRecord,
    RunwayWatch,
};
use super::control::{AnswerBody, AnswerRecord, CustomerRecord, Sealed};
use super::debit::{self, DebitRecord, Metered};
use super::frame::Prelude;
use super::hold::HoldRecord;
use super::keyed::{KEYED_BYTES_MAX, Keyed, OperationKey};
use super::note::{Asked, Note, NoteKind};
use super::operation::{self, Body, Event, Names, OperationRecord, Repair};
use super::{Corrupt, Record, records};
use crate::catalog::{
    CollectionMethod, CostBasis, CreditCurrency, CurrencyKind, CurrencyNumber, CustomerChange, Metadata, Meter,
    Priorities,
};
use crate::ledger::{
    Amount, Category, Commitment, Decimal, Expiry, GrantId, HoldId, Level, Levels, Lot, Movement, NewGrant, NewHold,
    OnExceed, Operation, Payment, Percent, Policy, Return, Reversal, Rollover, Rounding, Scale, Source, Special,
    Status, Taken, Terms, Timestamp, Trigger, Watches, transition,
};
use drawdown_wal::Lsn;
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const PAYLOAD: Lsn = Lsn::new(4_128);

fn decimal(mantissa: i64, scale: u8) -> Decimal {
    Decimal::from_parts(mantissa, scale).expect("18 places at most")
}

/// A frame's payload of debits.
fn frame_of_debits(source: &str, debits: &[DebitRecord<'_>]) -> Vec<u8> {
    let length = |debit: &DebitRecord<'_>| {
        let own_source = (debit.source != source).then_some(debit.source);
        debit::length(debit.id, own_source, debit.metered.as_ref()) + debit::adjustment_length(debit.adjustment)
    };
    let mut payload = vec![0; Prelude::length(source) + debits.iter().map(length).sum::<usize>()];
    let mut used = Prelude { time: NOW, source }.write(&mut payload);
    for debit in debits {
        let written = debit.write(&mut payload[used..], used as u32, debit.source != source);
        assert_eq!(written, length(debit));
        assert!(debit::adjustment_length(debit.adjustment) <= debit::ADJUSTMENT_BYTES_MAX);
        used += written;
    }
    payload.truncate(used);
    payload
}

/// A frame's payload of one record that was encoded by itself.
pub(super) fn frame_of(record: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; Prelude::length("")];
    Prelude { time: NOW, source: "" }.write(&mut payload);
    payload.extend_from_slice(record);
    payload
}

fn only_record(payload: &[u8]) -> Result<Record<'_>, Corrupt> {
    let mut all = records(payload, PAYLOAD)?;
    assert_eq!(all.prelude().time, NOW);
    let (lsn, record) = all.next().expect("one record")?;
    assert_eq!(lsn.get(), PAYLOAD.get() + Prelude::length("") as u64);
    assert!(all.next().is_none());
    Ok(record)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

// Debits.

fn plain_debit() -> DebitRecord<'static> {
    DebitRecord {
        slot: 7,
        generation: 3,
        amount: Amount::new(250),
        balance_after: Amount::new(1_750),
        adjustment: 0,
        previous: 4_160,
        event_time: Timestamp::from_millis(1_799_999_999_000),
        time: NOW,
        source: "api",
        id: "evt-1",
        metered: None,
    }
}

#[track_caller]
fn debits_survive(source: &str, debits: &[DebitRecord<'_>]) {
    let payload = frame_of_debits(source, debits);
    let all: Vec<_> = records(&payload, PAYLOAD).expect("a prelude").map(|item| item.expect("a record")).collect();
    assert_eq!(all.len(), debits.len());
    let mut next = PAYLOAD.get() + Prelude::length(source) as u64;
    for ((lsn, record), debit) in all.iter().zip(debits) {
        let Record::Debit(read) = record else { panic!("{record:?}") };
        assert_eq!(read, debit);
        assert_eq!(lsn.get(), next);
        let length =
            u32::from_le_bytes(*payload[(next - PAYLOAD.get()) as usize..].first_chunk().expect("a prefix")) >> 8;
        next += u64::from(length);
    }
}

#[test]
fn debits_survive_at_their_limits() {
    let longest = "x".repeat(128);
    let metered = |mantissa, scale| Some(Metered { meter: u16::MAX, quantity: decimal(mantissa, scale) });
    debits_survive("api", &[plain_debit()]);
    debits_survive("", &[plain_debit()]);
    debits_survive(
        &longest,
        &[
            DebitRecord { id: &longest, source: &longest, metered: metered(i64::MAX, 18), ..plain_debit() },
            DebitRecord { source: "", metered: metered(i64::MIN, 0), adjustment: i64::MIN, ..plain_debit() },
            DebitRecord {
                slot: u32::MAX,
                generation: u32::MAX,
                previous: u64::MAX,
                adjustment: i64::MAX,
                ..plain_debit()
            },
            DebitRecord { amount: Amount::new(i64::MAX), balance_after: Amount::new(i64::MIN), ..plain_debit() },
            DebitRecord { event_time: Timestamp::from_millis((1 << 48) - 1), id: "é", ..plain_debit() },
            DebitRecord { event_time: Timestamp::EPOCH, previous: 0, id: "", ..plain_debit() },
        ],
    );
}

#[test]
fn the_bytes_of_a_debit_are_pinned() {
    let payload = frame_of_debits("api", &[plain_debit()]);
    assert_eq!(hex(&payload), GOLDEN_DEBIT);
    let metered = Some(Metered { meter: 2, quantity: decimal(-15, 1) });
    let payload = frame_of_debits("api", &[DebitRecord { source: "edge", metered, adjustment: 300, ..plain_debit() }]);
    assert_eq!(hex(&payload), GOLDEN_DEBIT_WITH_ALL);
}

// Operations.

fn grant_operation() -> Operation {
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

fn level(name: &str, amount: i64) -> Level {
    Level {
        name: name.into(),
        amount: Amount::new(amount),
        trigger: Trigger::AtOrBelow,
        margin: Amount::new(5),
        ..Level::default()
    }
}

/// Levels with all that a level can have.
fn any_levels() -> Arc<Levels> {
    let (percent, watches) = (Percent::from_millionths(12_500_000), Watches::Projected);
    let share = Level { amount: Amount::ZERO, percent, watches, min_interval_ms: 60_000, ..level("share", 0) };
    let available = Level { watches: Watches::Available, ..level("available", -3) };
    Arc::new(Levels::new(vec![share, available]).expect("levels"))
}

fn set_commitments() -> Operation {
    let of = |amount, until: Option<Timestamp>| Commitment { amount: Amount::new(amount), until: until.into() };
    Operation::SetCommitments([of(7, Some(NOW)), of(i64::MAX - 9, None)].into())
}

/// An operation's record with something in every field.
pub(super) fn full_operation(operation: Operation) -> OperationRecord<'static> {
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
const ROLLOVER: Rollover = Rollover {
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

pub(super) fn placed(record: &OperationRecord<'_>) -> Vec<u8> {
    let mut bytes = record.encode();
    operation::place(&mut bytes, Prelude::length("") as u32, record.previous, record.counts);
    bytes
}

#[track_caller]
pub(super) fn operation_survives(record: &OperationRecord<'_>) {
    let payload = frame_of(&placed(record));
    match only_record(&payload) {
        Ok(Record::Operation(read)) => assert_eq!(*read, *record),
        other => panic!("{other:?}"),
    }
    let head = super::head::OperationHead {
        slot: record.slot,
        generation: record.generation,
        closing: record.closing,
        opening: record.opening,
        previous: record.previous,
        previous_opening: record.previous_opening,
        time: record.time,
        adjustment: record.adjustment,
    };
    assert_eq!(super::head::OperationHead::read(&placed(record)), Ok(head));
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

const HOLD: HoldId = HoldId::new(4_300);

fn hold_movements() -> [Movement; 8] {
    let (hold, grant, amount) = (HOLD, GrantId::new(4_200), Amount::new(77));
    [
        Movement::Held { hold, amount },
        Movement::Reserved { hold, grant, amount },
        Movement::Captured { hold, amount },
        Movement::PartSpent { hold, grant, amount },
        Movement::Released { hold, amount },
        Movement::HoldExpired { hold, amount },
        Movement::Returned { hold, grant, amount },
        Movement::HoldMoved { hold, from: NOW, to: Timestamp::from_millis(u64::MAX) },
    ]
}

/// An operation on a hold, with everything that its record can have.
fn hold_operation(operation: Operation) -> OperationRecord<'static> {
    let full = full_operation(operation);
    let of_others = |movement: Movement| match movement {
        Movement::HoldExpired { amount, .. } => Movement::HoldExpired { hold: HoldId::new(u64::MAX), amount },
        other => other,
    };
    let movements =
        full.body.movements.into_iter().filter(|movement| !matches!(movement, Movement::ExpiryMoved { .. }));
    let movements = movements.chain(hold_movements()).chain(hold_movements().map(of_others)).collect();
    OperationRecord { body: Body { event: None, movements, repair: Repair::default(), ..full.body }, ..full }
}

fn keyed() -> Keyed {
    Keyed {
        key: OperationKey { request: [0xa5; 16], place: 3 },
        asked: Amount::new(80),
        amount: Amount::new(100),
        captured: Amount::new(20),
        released: Amount::new(3),
        expires_at: NOW,
        created_at: Timestamp::from_millis(NOW.millis() - 1_000),
        on_exceed: OnExceed::Cap,
    }
}

fn longest_key() -> Keyed {
    let (most, end) = (Amount::new(i64::MIN), Timestamp::from_millis(u64::MAX));
    let key = OperationKey { request: [0xff; 16], place: u32::MAX };
    let on_exceed = OnExceed::Overdraw;
    Keyed {
        key,
        asked: most,
        amount: most,
        captured: most,
        released: most,
        expires_at: end,
        created_at: end,
        on_exceed,
    }
}

fn hold_operations() -> [Operation; 7] {
    let amount = Amount::new(77);
    let new = NewHold { id: HOLD, amount, expires_at: NOW, on_exceed: OnExceed::Overdraw };
    [
        Operation::Hold(new),
        Operation::Hold(NewHold { on_exceed: OnExceed::Cap, expires_at: Timestamp::from_millis(u64::MAX), ..new }),
        Operation::Capture { hold: HOLD, amount, is_final: false },
        Operation::Capture { hold: HOLD, amount: Amount::new(i64::MIN), is_final: true },
        Operation::Release { hold: HOLD },
        Operation::ExtendHold { hold: HOLD, expires_at: NOW },
        Operation::LateCapture { hold: HOLD, amount, policy: Policy::Partial, left: Amount::ONE },
    ]
}

#[test]
fn operations_on_holds_survive() {
    for operation in hold_operations() {
        let full = hold_operation(operation);
        operation_survives(&full);
        for keyed in [keyed(), longest_key()] {
            let body = Body { keyed: Some(Box::new(keyed)), ..full.body.clone() };
            let with = OperationRecord { body, ..full.clone() };
            operation_survives(&with);
            assert!(with.encode().len() <= full.encode().len() + KEYED_BYTES_MAX);
        }
        let nothing = Names::default();
        let body = Body {
            rejected: true,
            taken: Taken::default(),
            movements: Vec::new(),
            lots: Vec::new(),
            crossed: nothing.clone(),
            recovered: nothing,
            ..full.body.clone()
        };
        operation_survives(&OperationRecord { body, ..full.clone() });
        // Cut anywhere, changed anywhere: an error or another record, but no panic.
        let body = Body { keyed: Some(Box::new(keyed())), ..full.body.clone() };
        let bytes = frame_of(&placed(&OperationRecord { body, ..full }));
        for length in 0..bytes.len() {
            let _ = only_record_of(&bytes[..length]);
            let mut changed = bytes.clone();
            changed[length] ^= 0x81;
            let _ = only_record_of(&changed);
        }
    }
}

/// What is made room for is what the longest numbers take: a body writes past its room with a panic.
#[test]
fn the_longest_numbers_of_an_operation_on_a_hold_have_room() {
    let (hold, most) = (HoldId::new(u64::MAX), Amount::new(i64::MIN));
    let longest = [
        Operation::Hold(NewHold {
            id: hold,
            amount: most,
            expires_at: Timestamp::from_millis(u64::MAX),
            on_exceed: OnExceed::Overdraw,
        }),
        Operation::LateCapture { hold, amount: most, policy: Policy::Overdraft, left: most },
    ];
    for operation in longest {
        let full = hold_operation(operation);
        let nothing = Names::default();
        let body = Body {
            taken: Taken { amount: most, shortfall: most, overdraft: most },
            movements: Vec::new(),
            lots: Vec::new(),
            crossed: nothing.clone(),
            recovered: nothing,
            keyed: Some(Box::new(longest_key())),
            ..full.body.clone()
        };
        operation_survives(&OperationRecord { body, ..full });
    }
}

fn only_record_of(payload: &[u8]) -> Option<()> {
    records(payload, PAYLOAD).ok()?.next()?.ok().map(|_| ())
}

/// Packed by hand: if this fails, old logs have become unreadable. Raise the version instead.
#[test]
fn the_bytes_of_an_operation_on_a_hold_are_pinned() {
    let [hold, .., late] = hold_operations();
    assert_eq!(hex(&frame_of(&placed(&hold_operation(hold)))), GOLDEN_HOLD_OPERATION);
    assert_eq!(hex(&frame_of(&placed(&hold_operation(late)))), GOLDEN_LATE_CAPTURE);
    let [_, _, capture, ..] = hold_operations();
    let mut with_key = hold_operation(capture);
    with_key.body.keyed = Some(Box::new(keyed()));
    assert_eq!(hex(&frame_of(&placed(&with_key))), GOLDEN_KEYED_CAPTURE);
}

#[test]
fn the_bytes_of_an_operation_are_pinned() {
    let levels = Arc::new(Levels::new(vec![level("low", 10)]).expect("a level"));
    assert_eq!(hex(&frame_of(&placed(&full_operation(grant_operation())))), GOLDEN_GRANT_OPERATION);
    assert_eq!(hex(&frame_of(&placed(&full_operation(Operation::SetLevels(Some(levels)))))), GOLDEN_LEVELS_OPERATION);
}

// Administrative records.

#[expect(clippy::too_many_lines, reason = "a table, one entry a record")]
fn admin_records() -> Vec<(AdminRecord, &'static str)> {
    let text = str::to_owned;
    vec![
        (AdminRecord::Genesis(Genesis { seed: [200; 32], created_ms: 1_800_000_000_000 }), GOLDEN_GENESIS),
        (
            AdminRecord::Wallet(WalletRecord { slot: 7, customer: text("ada"), currency: CurrencyNumber(1) }),
            GOLDEN_WALLET,
        ),
        (
            AdminRecord::Grant(GrantRecord {
                slot: 7,
                amount: Amount::new(1_000),
                source: Source::AutoTopUp,
                category: Category::Promotional,
                priority: 50,
                effective_at: NOW,
                expires_at: Some(Timestamp::from_millis(1_900_000_000_000)),
                cost_basis: Some(CostBasis { amount: 999, currency: text("EUR") }),
                key: Some(text("key-1")),
                effective_at_given: true,
                metadata: Metadata::from([(text("order"), text("42"))]),
                created_at: NOW,
                declared: Declared::default(),
            }),
            GOLDEN_GRANT,
        ),
        (
            AdminRecord::Currency(CreditCurrency {
                id: text("credits"),
                number: CurrencyNumber(1),
                name: text("Credits"),
                symbol: text("cr"),
                scale: Scale::MAX,
                kind: CurrencyKind::Fiat(text("EUR")),
                max_balance: Some(Amount::new(50_000)),
                archived: false,
                default_priorities: Priorities::new(),
            }),
            GOLDEN_CURRENCY,
        ),
        (
            AdminRecord::Meter(Meter {
                event_type: text("gpu.second"),
                number: 2,
                currency: CurrencyNumber(1),
                rate: decimal(33, 4),
                rounding: Rounding::Up,
                policy: Policy::Overdraft,
                archived: true,
            }),
            GOLDEN_METER,
        ),
        (
            AdminRecord::ApiKey(ApiKeyRecord {
                id: text("key_1"),
                name: text("metering"),
                live: true,
                scopes: 5,
                hash: [9; 32],
                created_ms: 1_800_000_000_000,
                revoked: false,
            }),
            GOLDEN_API_KEY,
        ),
        (
            AdminRecord::Metadata(MetadataRecord { slot: 7, metadata: Metadata::from([(text("tier"), text("gold"))]) }),
            GOLDEN_METADATA,
        ),
        (AdminRecord::Redeclared(redeclaration()), GOLDEN_REDECLARED),
        (
            AdminRecord::Hold(HoldRecord {
                slot: 7,
                amount: Amount::new(77),
                expires_at: Timestamp::from_millis(1_800_000_900_000),
                on_exceed: OnExceed::Cap,
                id: Some(text("hold-1")),
                created_at: NOW,
            }),
            GOLDEN_HOLD,
        ),
        (
            AdminRecord::Answer(AnswerRecord {
                key: [1; 32],
                request: [2; 32],
                began: NOW,
                status: 201,
                headers: vec![(text("content-type"), text("application/json"))],
                body: AnswerBody::Whole(b"{}".to_vec()),
            }),
            GOLDEN_ANSWER,
        ),
        (
            AdminRecord::Customer(CustomerRecord {
                id: text("cus_1"),
                change: CustomerChange::Archived,
                archived: true,
                collection_method: CollectionMethod::SendInvoice,
                sealed: Some(Sealed { key: [3; 16], nonce: [4; 12], bytes: vec![5; 20] }),
                erased: false,
                destroyed: vec![[6; 16]],
                created_at: NOW,
                updated_at: NOW,
                // Without: the pinned bytes are from before requests were noted.
                archived_by: Vec::new(),
                portal_epoch: 0,
            }),
            GOLDEN_CUSTOMER,
        ),
    ]
}

fn redeclaration() -> Redeclaration {
    let grant = GrantRecord {
        slot: 7,
        amount: Amount::new(1_000),
        source: Source::Package,
        category: Category::Paid,
        priority: 50,
        effective_at: NOW,
        expires_at: None,
        cost_basis: Some(CostBasis { amount: 999, currency: "EUR".to_owned() }),
        key: Some("key-1".to_owned()),
        effective_at_given: false,
        metadata: Metadata::new(),
        // Its own, and not that of the frame.
        created_at: Timestamp::from_millis(1_700_000_000_000),
        declared: Declared::default(),
    };
    Redeclaration { number: 4_200, grant }
}

/// Records of alerts with something in every field.
fn alert_records() -> Vec<AdminRecord> {
    let text = |text: &str| text.to_owned();
    let watch = RunwayWatch { minutes: 120, margin_minutes: 30, min_interval_ms: 3_600_000, half_life_ms: 900_000 };
    let item = |name, amount, due_at| CommitmentItem { name: text(name), amount: Amount::new(amount), due_at };
    vec![
        AdminRecord::DefaultLevels(DefaultLevelsRecord {
            currency: CurrencyNumber(1),
            version: 3,
            levels: Some(any_levels()),
            at_once: true,
        }),
        AdminRecord::Commitments(CommitmentsRecord {
            slot: 7,
            items: vec![item("seats", 4_000, None), item("batch", 1_250, Some(NOW))],
            period: Some((Timestamp::EPOCH, NOW)),
        }),
        AdminRecord::Runway(RunwayRecord { slot: 7, watch: Some(watch), at: NOW }),
        AdminRecord::RunwayTold(RunwayToldRecord {
            slot: 7,
            low: true,
            at: NOW,
            available: Amount::new(-5),
            burn_per_hour: 3_600,
            minutes: u64::MAX,
        }),
        AdminRecord::RunwayState(RunwayStateRecord {
            slot: 7,
            upto: 4_096,
            weight: 12.5_f64.to_bits(),
            at_ms: 1_800_000_000_000,
            since_ms: 1_700_000_000_000,
        }),
        AdminRecord::RunwayCursor(4_096),
    ]
}

pub(super) fn placed_admin(record: &AdminRecord) -> Vec<u8> {
    let mut bytes = record.encode();
    admin::place(&mut bytes, Prelude::length("") as u32);
    bytes
}

#[track_caller]
pub(super) fn admin_survives(record: &AdminRecord) {
    let payload = frame_of(&placed_admin(record));
    match only_record(&payload) {
        Ok(Record::Admin(read)) => assert_eq!(read, *record),
        other => panic!("{other:?}"),
    }
}

#[test]
fn administrative_records_survive() {
    for (record, _) in admin_records() {
        admin_survives(&record);
    }
    alert_records().iter().for_each(admin_survives);
    let levels = None;
    let none = DefaultLevelsRecord { currency: CurrencyNumber(0), version: u32::MAX, levels, at_once: false };
    admin_survives(&AdminRecord::DefaultLevels(none));
    admin_survives(&AdminRecord::Commitments(CommitmentsRecord { slot: u32::MAX, items: Vec::new(), period: None }));
    admin_survives(&AdminRecord::Runway(RunwayRecord { slot: u32::MAX, watch: None, at: NOW }));
    let (key, value) = ("k".repeat(40), "v".repeat(500));
    let metadata: Metadata = (0..50).map(|pair| (format!("{pair:02}{}", &key[2..]), value.clone())).collect();
    admin_survives(&AdminRecord::Metadata(MetadataRecord { slot: u32::MAX, metadata: metadata.clone() }));
    for body in [AnswerBody::Again, AnswerBody::Deflated { bytes: vec![0xff; 70_000], length: 1 << 20 }] {
        let headers = Vec::new();
        admin_survives(&AdminRecord::Answer(AnswerRecord {
            key: [0xff; 32],
            request: [0; 32],
            began: NOW,
            status: 422,
            headers,
            body,
        }));
    }
    let requests = vec![([0xff; 16], NOW), ([0; 16], Timestamp::from_millis(u64::MAX))];
    for (change, archived_by, portal_epoch) in [
        (CustomerChange::Created, Vec::new(), 0),
        (CustomerChange::Updated, requests.clone(), 1),
        (CustomerChange::Archived, requests, 0),
        (CustomerChange::Erased, Vec::new(), 1),
        (CustomerChange::PortalClosed, Vec::new(), u32::MAX),
    ] {
        admin_survives(&AdminRecord::Customer(CustomerRecord {
            id: "c".repeat(128),
            change,
            archived: false,
            collection_method: CollectionMethod::ChargeAutomatically,
            sealed: None,
            erased: true,
            destroyed: Vec::new(),
            created_at: NOW,
            updated_at: NOW,
            archived_by,
            portal_epoch,
        }));
    }
    for source in Source::ALL {
        admin_survives(&AdminRecord::Grant(GrantRecord {
            slot: u32::MAX,
            amount: Amount::MAX,
            source,
            category: Category::Paid,
            priority: 100,
            effective_at: Timestamp::from_millis(u64::MAX),
            expires_at: None,
            cost_basis: None,
            key: Some("k".repeat(255)),
            effective_at_given: false,
            metadata: metadata.clone(),
            created_at: NOW,
            declared: Declared::default(),
        }));
    }
}

#[test]
fn the_bytes_of_administrative_records_are_pinned() {
    for (record, golden) in admin_records() {
        assert_eq!(hex(&frame_of(&placed_admin(&record))), golden, "{record:?}");
    }
}

/// One a line; see the test.
const GOLDEN_ALERTS: &str = include_str!("../../tests/golden/alerts-v1.hex");

#[test]
fn the_bytes_of_what_alerts_log_are_pinned() {
    let operations = [
        Operation::SetLevels(Some(any_levels())),
        Operation::InheritLevels { version: 9, levels: Some(any_levels()) },
        set_commitments(),
    ];
    let alerts = alert_records();
    let of_operation = |operation| {
        let plain = full_operation(operation);
        let crossed = Names { levels: vec!["low"], quiet: vec!["low"], ..Names::default() };
        let body = Body { event: None, movements: Vec::new(), crossed, repair: Repair::default(), ..plain.body };
        placed(&OperationRecord { body, ..plain })
    };
    let records = operations.map(of_operation).into_iter().chain(alerts.iter().map(placed_admin));
    let lines: String = records.map(|record| hex(&frame_of(&record)) + "\n").collect();
    assert_eq!(lines, GOLDEN_ALERTS, "\n{lines}");
}

// What is no record.

#[test]
fn what_is_no_record_is_told_apart() {
    let genesis = placed_admin(&admin_records()[0].0);
    let changed = |place: usize, byte: u8| {
        let mut bytes = genesis.clone();
        bytes[place] = byte;
        only_record(&frame_of(&bytes)).expect_err("no record")
    };
    assert_eq!(changed(0, 3), Corrupt::UnknownTag(3));
    assert_eq!(changed(0, 99), Corrupt::UnknownTag(99));
    assert_eq!(changed(8, 2), Corrupt::UnknownVersion { tag: 16, version: 2 });
    assert_eq!(changed(1, 7), Corrupt::Malformed("length"));
    assert_eq!(changed(3, 1), Corrupt::Truncated);
    assert_eq!(changed(9, 0xc1), Corrupt::Malformed("body"));
    let operation = placed(&full_operation(Operation::Due));
    let mut later = operation.clone();
    later[56] = 3;
    assert_eq!(only_record(&frame_of(&later)).expect_err("no record"), Corrupt::UnknownVersion { tag: 2, version: 3 });
    let mut debit = frame_of_debits("", &[DebitRecord { source: "", ..plain_debit() }]);
    debit[Prelude::length("") + 46] = 8;
    assert_eq!(only_record(&debit).expect_err("no record"), Corrupt::Malformed("flags"));
    assert_eq!(records(&[1, 2, 3], PAYLOAD).err(), Some(Corrupt::Truncated));
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-zé0-9-]{0,20}", 1 => "[a-z]{128}"]
}

fn any_metered() -> impl Strategy<Value = Option<Metered>> {
    let metered = (any::<u16>(), any::<i64>(), 0..=18_u8)
        .prop_map(|(meter, mantissa, scale)| Metered { meter, quantity: decimal(mantissa, scale) });
    proptest::option::of(metered)
}

/// All of a walk, good and bad.
fn walk(payload: &[u8]) -> usize {
    let Ok(all) = records(payload, PAYLOAD) else { return 0 };
    let some = all.clone().only(|slot| slot % 2 == 0).count();
    let (walk, slots) = (all.clone(), all.slots());
    let count = all.count();
    assert!(some <= count);
    // Where all can be decoded, their slots are the same without that.
    let slot = |(_, record)| match record {
        Record::Debit(debit) => Some(debit.slot),
        Record::Operation(operation) => Some(operation.slot),
        Record::Admin(_) => None,
    };
    if let Ok(decoded) = walk.map(|item| item.map(slot)).collect::<Result<Vec<_>, _>>() {
        assert_eq!(slots.collect::<Result<Vec<_>, _>>(), Ok(decoded.into_iter().flatten().collect()));
    } else {
        slots.for_each(drop);
    }
    count
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn debits_survive_in_any_company(
        frame_source in any_text(),
        debits in vec(((any::<u32>(), any::<u32>(), any::<i64>(), any::<i64>(), any::<u64>()),
            (prop_oneof![Just(0), any::<i64>()], 0..1_u64 << 48, any_text(), any_text(), any_metered(), any::<bool>())), 0..6),
    ) {
        let debits: Vec<_> = debits.iter().map(|((slot, generation, amount, after, previous), rest)| DebitRecord {
            slot: *slot,
            generation: *generation,
            amount: Amount::new(*amount),
            balance_after: Amount::new(*after),
            adjustment: rest.0,
            previous: *previous,
            event_time: Timestamp::from_millis(rest.1),
            time: NOW,
            source: if rest.5 { &frame_source } else { &rest.2 },
            id: &rest.3,
            metered: rest.4,
        }).collect();
        debits_survive(&frame_source, &debits);
        let payload = frame_of_debits(&frame_source, &debits);
        let wanted: Vec<_> = debits.iter().filter(|debit| debit.slot % 2 == 0).copied().collect();
        let only = records(&payload, PAYLOAD).expect("a prelude").only(|slot| slot % 2 == 0);
        let read: Vec<_> = only.map(|item| match item {
            Ok((_, Record::Debit(debit))) => debit,
            other => panic!("{other:?}"),
        }).collect();
        prop_assert_eq!(read, wanted);
        let slots: Vec<_> = records(&payload, PAYLOAD).expect("a prelude").slots().map(|slot| slot.expect("sound")).collect();
        prop_assert_eq!(slots, debits.iter().map(|debit| debit.slot).collect::<Vec<_>>());
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..300)) {
        walk(&bytes);
    }

    /// Damage to real records gets further than noise does.
    #[test]
    fn no_damage_makes_a_reader_panic(
        which in 0..9_usize, changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::weighted(0.3, any::<proptest::sample::Index>()),
    ) {
        let mut payload = match which {
            7 => frame_of_debits("api", &[plain_debit(), DebitRecord { source: "edge", adjustment: 9, ..plain_debit() }]),
            8 => frame_of(&placed(&full_operation(grant_operation()))),
            admin => frame_of(&placed_admin(&admin_records()[admin].0)),
        };
        for (place, byte) in changes {
            let place = place.index(payload.len());
            payload[place] = byte;
        }
        if let Some(cut) = cut {
            payload.truncate(cut.index(payload.len()));
        }
        walk(&payload);
    }

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

// A change of these is a change of the format: old logs must stay readable, so it needs a version.

const GOLDEN_DEBIT: &str = "\
    00505c18a301000003617069013500000c0000000700000003000000fa00000000000000d6060000000000004010000000000000184c\
    5c18a30100056576742d31";
const GOLDEN_DEBIT_WITH_ALL: &str = "\
    00505c18a301000003617069014000000c0000000700000003000000fa00000000000000d6060000000000004010000000000000184c\
    5c18a30107050200011dd80404656467656576742d31";
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
const GOLDEN_GENESIS: &str = "\
    00505c18a30100000010560000090000000192dc0020ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8\
    ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8ccc8cf000001a3185c5000";
const GOLDEN_WALLET: &str = "00505c18a3010000001110000009000000019307a361646101";
const GOLDEN_GRANT: &str = "\
    00505c18a3010000001247000009000000019b07cd03e8ab6175746f5f746f705f7570c232cf000001a3185c5000c3cf000001ba60d3\
    380092cd03e7a3455552a56b65792d3181a56f72646572a23432";
const GOLDEN_CURRENCY: &str = "\
    00505c18a301000000132d0000090000000198a76372656469747301a743726564697473a263720981a446696174a3455552cdc350c2";
const GOLDEN_METER: &str = "00505c18a301000000141d0000090000000197aa6770752e7365636f6e640201922104c302c3";
const GOLDEN_API_KEY: &str = "\
    00505c18a30100000015480000090000000197a56b65795f31a86d65746572696e67c305dc0020090909090909090909090909090909\
    0909090909090909090909090909090909cf000001a3185c5000c2";
const GOLDEN_REVERSAL: &str = "00505c18a30100000002c10100090000000700000004000000d606000000000000be0a0000000000004010000000000000001000000000000000505c18a301000001ecffffffffffffff80100000000000009a81a75265766572736597cd10cc5a0305919497cd1068cd03e8cf000001a3185c5000cfffffffffffffffff0764c2c20594920100cf7fffffffffffffffcfffffffffffffffff64919497cfffffffffffffffffcd03e8cf000001a3185c5000cf000001a3185c50000764c2c3cf7fffffffffffffffc098cd1068cd03e832c3cf000001a3185c5000cf000001ba60d33800cd03e7c094a56576742d31a3617069cf000001a3185c500093020f0193030201c2959428cfffffffffffffffffcf7fffffffffffffffc09429cfffffffffffffffffcf7fffffffffffffffc0942a00cf7fffffffffffffffc0942bcfffffffffffffffffcf7fffffffffffffffc0942c00cf7fffffffffffffffc09392a36c6f77a56c6f776572c3c29390c2c39292cd10684d92cfffffffffffffffffcf7fffffffffffffff9391920102919203fc9205cfffffffffffffffff96a8526576657273616ca56b65792d31a86120726561736f6ea5696e762d3792c3c381a56f72646572a23432";
const GOLDEN_REDECLARED: &str = "00505c18a3010000002840000009000000019407cd1068cf0000018bcfe568009b07cd03e8a77061636b616765c332cf000001a3185c5000c2c092cd03e7a3455552a56b65792d3180";
const GOLDEN_HOLD: &str = "00505c18a3010000001724000009000000010700000001a00b6a18a30100004d00000000000000686f6c642d31";
const GOLDEN_HOLD_OPERATION: &str = "00505c18a30100000002180100090000000700000004000000d606000000000000be0a0000000000004010000000000000001000000000000000505c18a301000002ecffffffffffffff80100000000000000601cc219a0180a0f1c2b134020604021c01e8209a0102e8209a0103e8209a0104e8209a0105e8209a01069a0107e8200008e8209a0109e8209a010ae8209a010ce8209a010d9a018e9a018fe8209a01909a0191e8209a01929a01939a0194e8209a019580a0f1c2b134ffffffffffffffffff018e9a018fe8209a01909a0191e8209a01929a0113ffffffffffffffffff019a0194e8209a019580a0f1c2b134ffffffffffffffffff0102e8209a01ffffffffffffffffff01feffffffffffffffff0109036c6f77056c6f77657202";
const GOLDEN_LATE_CAPTURE: &str = "00505c18a30100000002130100090000000700000004000000d606000000000000be0a0000000000004010000000000000001000000000000000505c18a301000002ecffffffffffffff80100000000000000606cc219a0101020604021c01e8209a0102e8209a0103e8209a0104e8209a0105e8209a01069a0107e8200008e8209a0109e8209a010ae8209a010ce8209a010d9a018e9a018fe8209a01909a0191e8209a01929a01939a0194e8209a019580a0f1c2b134ffffffffffffffffff018e9a018fe8209a01909a0191e8209a01929a0113ffffffffffffffffff019a0194e8209a019580a0f1c2b134ffffffffffffffffff0102e8209a01ffffffffffffffffff01feffffffffffffffff0109036c6f77056c6f77657202";
const GOLDEN_KEYED_CAPTURE: &str = "00505c18a30100000002350100090000000700000004000000d606000000000000be0a0000000000004010000000000000001000000000000000505c18a301000002ecffffffffffffff80100000000000001602cc219a010604021c01e8209a0102e8209a0103e8209a0104e8209a0105e8209a01069a0107e8200008e8209a0109e8209a010ae8209a010ce8209a010d9a018e9a018fe8209a01909a0191e8209a01929a01939a0194e8209a019580a0f1c2b134ffffffffffffffffff018e9a018fe8209a01909a0191e8209a01929a0113ffffffffffffffffff019a0194e8209a019580a0f1c2b134ffffffffffffffffff0102e8209a01ffffffffffffffffff01feffffffffffffffff0109036c6f77056c6f77657202a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a503a001c801280680a0f1c2b1349898f1c2b13401";
const GOLDEN_ANSWER: &str = "\
    00505c18a301000000407f0000090000000198c4200101010101010101010101010101010101010101010101010101010101010101c420\
    0202020202020202020202020202020202020202020202020202020202020202cf000001a3185c5000ccc99192ac636f6e74656e742d74\
    797065b06170706c69636174696f6e2f6a736f6e0002c4027b7d";
const GOLDEN_CUSTOMER: &str = "\
    00505c18a30100000041700000090000000199a56375735f3102c30193c41003030303030303030303030303030303c40c040404040404\
    040404040404c4140505050505050505050505050505050505050505c291c41006060606060606060606060606060606cf000001a3185c\
    5000cf000001a3185c5000";
const GOLDEN_METADATA: &str = "00505c18a301000000161600000900000001920781a474696572a4676f6c64";

#[test]
fn the_wallet_of_an_administrative_record_is_told_without_decoding_it() {
    let declared = GrantRecord {
        slot: 0,
        amount: Amount::new(5),
        source: Source::Plan,
        category: Category::Paid,
        priority: 1,
        effective_at: NOW,
        expires_at: None,
        cost_basis: None,
        key: None,
        effective_at_given: false,
        metadata: Metadata::new(),
        created_at: NOW,
        declared: Declared::default(),
    };
    for slot in [0, 1, 127, 128, 255, 256, 65_535, 65_536, u32::MAX - 1, u32::MAX] {
        let records = [
            AdminRecord::Wallet(WalletRecord { slot, customer: "c".repeat(40), currency: CurrencyNumber(3) }),
            AdminRecord::Metadata(MetadataRecord { slot, metadata: Metadata::new() }),
            AdminRecord::Grant(GrantRecord { slot, ..declared.clone() }),
        ];
        for record in records {
            let bytes = record.encode();
            assert_eq!(super::admin::wallet_of(bytes[0], &bytes), Some(slot), "{record:?}");
            for length in 0..bytes.len().min(12) {
                let _ = super::admin::wallet_of(bytes[0], &bytes[..length]);
            }
        }
    }
    let genesis = AdminRecord::Genesis(Genesis { seed: [1; 32], created_ms: 5 }).encode();
    assert_eq!(super::admin::wallet_of(genesis[0], &genesis), None);
}
const GOLDEN_TRANSFER_OUT: &str = "00505c18a30100000002180100090000000700000004000000d606000000000000be0a0000000000004010000000000000001000000000000000505c18a301000001ecffffffffffffff80100000000000009a81ab5472616e736665724f7574923c9292cd10683c92cfffffffffffffffffcf7fffffffffffffff94a56576742d31a3617069cf000001a3185c500093020f0193030201c292942dcd10683cc0942dcfffffffffffffffffcf7fffffffffffffffc09392a36c6f77a56c6f776572c3c29390c2c39292cd10684d92cfffffffffffffffffcf7fffffffffffffff9391920102919203fc9205cfffffffffffffffff97a85472616e73666572a56b65792d31a86120726561736f6ea5696e762d3792c3c381a56f72646572a2343209";
const GOLDEN_TRANSFER_IN: &str = "00505c18a301000000024c0100090000000700000004000000d606000000000000be0a0000000000004010000000000000001000000000000000505c18a301000001ecffffffffffffff80100000000000009a81aa5472616e73666572496e929298cd1068cd03e832c3cf000001a3185c5000cf000001ba60d33800cd03e7c093c0c0c09298cd1068cd03e832c3cf000001a3185c5000cf000001ba60d33800cd03e7c09394920100cf7fffffffffffffffcfffffffffffffffff64c0c094a56576742d31a3617069cf000001a3185c500093020f0193030201c292942ecd1068cd03e8c0942ecd1068cd03e8c09392a36c6f77a56c6f776572c3c29390c2c39292cd10684d92cfffffffffffffffffcf7fffffffffffffff9391920102919203fc9205cfffffffffffffffff97a85472616e73666572c0a86120726561736f6ea5696e762d3792c3c381a56f72646572a2343207";
