//! What is no record: noise, damage, other versions.

use super::admin::{admin_records, placed_admin};
use super::debits::{frame_of_debits, plain_debit};
use super::operations::{full_operation, grant_operation, placed};
use super::{PAYLOAD, frame_of, only_record};
use crate::journal::debit::DebitRecord;
use crate::journal::frame::Prelude;
use crate::journal::{Corrupt, Record, records};
use crate::ledger::Operation;
use proptest::collection::vec;
use proptest::prelude::*;

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
}
