//! Records survive their bytes, bytes that are no records are told apart, and the bytes themselves do not change.

use super::admin::{self, AdminRecord, ApiKeyRecord, Genesis, GrantRecord, MetadataRecord, WalletRecord};
use super::control::{AnswerBody, AnswerRecord, CustomerRecord, Sealed};
use super::debit::{self, DebitRecord, Metered};
use super::frame::Prelude;
use super::operation::{self, Body, Event, Names, OperationRecord, Repair};
use super::{Corrupt, Record, records};
use crate::catalog::{CollectionMethod, CustomerChange};
use crate::catalog::{CostBasis, CreditCurrency, CurrencyKind, CurrencyNumber, Metadata, Meter};
use crate::ledger::{
    Amount, Category, Decimal, GrantId, Level, Levels, Movement, NewGrant, Operation, Policy, Rounding, Scale, Source,
    Status, Taken, Terms, Timestamp, Trigger, transition,
};
use drawdown_wal::Lsn;
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
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
fn frame_of(record: &[u8]) -> Vec<u8> {
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

fn hex(bytes: &[u8]) -> String {
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
    })
}

fn level(name: &str, amount: i64) -> Level {
    Level { name: name.into(), amount: Amount::new(amount), trigger: Trigger::AtOrBelow, margin: Amount::new(5) }
}

/// An operation's record with something in every field.
fn full_operation(operation: Operation) -> OperationRecord<'static> {
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
            crossed: Names { levels: vec!["low", "lower"], depleted: true, negative: false },
            recovered: Names { levels: Vec::new(), depleted: false, negative: true },
            lots: vec![(grant, amount), (GrantId::new(u64::MAX), Amount::new(i64::MAX))],
            repair: Repair { relinked: vec![(1, 2)], corrected: vec![(3, -4)], dropped: vec![5, u64::MAX] },
        },
    }
}

fn placed(record: &OperationRecord<'_>) -> Vec<u8> {
    let mut bytes = record.encode();
    operation::place(&mut bytes, Prelude::length("") as u32, record.previous, record.counts);
    bytes
}

#[track_caller]
fn operation_survives(record: &OperationRecord<'_>) {
    let payload = frame_of(&placed(record));
    match only_record(&payload) {
        Ok(Record::Operation(read)) => assert_eq!(*read, *record),
        other => panic!("{other:?}"),
    }
}

#[test]
fn operations_of_every_kind_survive() {
    let levels = Levels::new(vec![level("low", 10), level("lower", -10)]).expect("levels");
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
    ];
    for operation in operations {
        operation_survives(&full_operation(operation));
    }
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

// Administrative records.

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
            }),
            GOLDEN_CUSTOMER,
        ),
    ]
}

fn placed_admin(record: &AdminRecord) -> Vec<u8> {
    let mut bytes = record.encode();
    admin::place(&mut bytes, Prelude::length("") as u32);
    bytes
}

#[track_caller]
fn admin_survives(record: &AdminRecord) {
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
    for change in [CustomerChange::Created, CustomerChange::Updated, CustomerChange::Archived, CustomerChange::Erased] {
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
        }));
    }
}

#[test]
fn the_bytes_of_administrative_records_are_pinned() {
    for (record, golden) in admin_records() {
        assert_eq!(hex(&frame_of(&placed_admin(&record))), golden, "{record:?}");
    }
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
    later[56] = 2;
    assert_eq!(only_record(&frame_of(&later)).expect_err("no record"), Corrupt::UnknownVersion { tag: 2, version: 2 });
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
    let count = all.count();
    assert!(some <= count);
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
        grants in vec((1..i64::MAX >> 12, 0..40_u64, 1..60_u64), 0..40), levels in 0..20_i64, debt in 0..1_000_i64,
        now in 0..200_u64, what in 0..6_usize, repairs in 0..20_u64,
    ) {
        let start = NOW.millis();
        let at = |offset: u64| Timestamp::from_millis(start + offset);
        let mut terms = Terms::new();
        let named: Vec<_> = (0..levels)
            .map(|number| level(&format!("{number:0>64}"), i64::MAX / 4 + number))
            .collect();
        let set = Operation::SetLevels((levels > 0).then(|| Arc::new(Levels::new(named).expect("levels"))));
        terms = transition(&terms, terms.opening, &set, at(0)).terms;
        let overdraft = Operation::Debit { amount: Amount::new(debt), policy: Policy::Overdraft };
        terms = transition(&terms, terms.opening, &overdraft, at(0)).terms;
        for (number, (amount, begins, lasts)) in grants.iter().enumerate() {
            let grant = Operation::Grant(NewGrant {
                id: GrantId::new(u64::MAX - 100 + number as u64),
                amount: Amount::new(*amount),
                priority: 50,
                category: Category::Paid,
                effective_at: at(*begins),
                expires_at: Some(at(begins + lasts)),
                cost: Some(i64::MAX),
                max_balance: None,
            });
            terms = transition(&terms, terms.opening, &grant, at(0)).terms;
        }
        let operation = match what {
            0 => grant_operation(),
            1 => Operation::Debit { amount: Amount::new(i64::MAX >> 8), policy: Policy::Overdraft },
            2 => Operation::SetStatus(Status::Closed),
            3 => set,
            4 => Operation::Void { grant: GrantId::new(u64::MAX - 100) },
            _ => Operation::MoveExpiry { grant: GrantId::new(u64::MAX - 100), expires_at: None },
        };
        let repair = Repair {
            relinked: (0..repairs).map(|place| (u64::MAX - place, u64::MAX)).collect(),
            corrected: (0..repairs).map(|place| (u64::MAX - place, i64::MIN)).collect(),
            dropped: (0..repairs).map(|place| u64::MAX - place).collect(),
        };
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
            body: operation::body(&operation, Some(event), change.result, &change.effects, &change.terms, repair.clone()),
        };
        let bound = operation::length_bound(&terms, &operation, 256, &repair);
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
