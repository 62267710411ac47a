//! Debits, which are packed by hand.

use super::{NOW, PAYLOAD, decimal, hex};
use crate::journal::debit::{self, DebitRecord, Metered};
use crate::journal::frame::Prelude;
use crate::journal::{Record, records};
use crate::ledger::{Amount, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

/// A frame's payload of debits.
pub(super) fn frame_of_debits(source: &str, debits: &[DebitRecord<'_>]) -> Vec<u8> {
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

pub(super) fn plain_debit() -> DebitRecord<'static> {
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

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-zé0-9-]{0,20}", 1 => "[a-z]{128}"]
}

fn any_metered() -> impl Strategy<Value = Option<Metered>> {
    let metered = (any::<u16>(), any::<i64>(), 0..=18_u8)
        .prop_map(|(meter, mantissa, scale)| Metered { meter, quantity: decimal(mantissa, scale) });
    proptest::option::of(metered)
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
}

// A change of these is a change of the format: old logs must stay readable, so it needs a version.

const GOLDEN_DEBIT: &str = "\
    00505c18a301000003617069013500000c0000000700000003000000fa00000000000000d6060000000000004010000000000000184c\
    5c18a30100056576742d31";
const GOLDEN_DEBIT_WITH_ALL: &str = "\
    00505c18a301000003617069014000000c0000000700000003000000fa00000000000000d6060000000000004010000000000000184c\
    5c18a30107050200011dd80404656467656576742d31";
