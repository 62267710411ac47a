//! Operations on holds, whose bodies are packed by hand.

use super::operations::{full_operation, operation_survives, placed};
use super::{NOW, PAYLOAD, frame_of, hex};
use crate::journal::keyed::{KEYED_BYTES_MAX, Keyed, OperationKey};
use crate::journal::operation::{Body, Names, OperationRecord, Repair};
use crate::journal::records;
use crate::ledger::{Amount, GrantId, HoldId, Movement, NewHold, OnExceed, Operation, Policy, Taken, Timestamp};

const HOLD: HoldId = HoldId::new(4_300);

pub(super) fn hold_movements() -> [Movement; 8] {
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

// A change of these is a change of the format: old logs must stay readable, so it needs a version.

const GOLDEN_HOLD_OPERATION: &str = "00505c18a30100000002180100090000000700000004000000d606000000000000be0a0000000000004010000000000000001000000000000000505c18a301000002ecffffffffffffff80100000000000000601cc219a0180a0f1c2b134020604021c01e8209a0102e8209a0103e8209a0104e8209a0105e8209a01069a0107e8200008e8209a0109e8209a010ae8209a010ce8209a010d9a018e9a018fe8209a01909a0191e8209a01929a01939a0194e8209a019580a0f1c2b134ffffffffffffffffff018e9a018fe8209a01909a0191e8209a01929a0113ffffffffffffffffff019a0194e8209a019580a0f1c2b134ffffffffffffffffff0102e8209a01ffffffffffffffffff01feffffffffffffffff0109036c6f77056c6f77657202";
const GOLDEN_LATE_CAPTURE: &str = "00505c18a30100000002130100090000000700000004000000d606000000000000be0a0000000000004010000000000000001000000000000000505c18a301000002ecffffffffffffff80100000000000000606cc219a0101020604021c01e8209a0102e8209a0103e8209a0104e8209a0105e8209a01069a0107e8200008e8209a0109e8209a010ae8209a010ce8209a010d9a018e9a018fe8209a01909a0191e8209a01929a01939a0194e8209a019580a0f1c2b134ffffffffffffffffff018e9a018fe8209a01909a0191e8209a01929a0113ffffffffffffffffff019a0194e8209a019580a0f1c2b134ffffffffffffffffff0102e8209a01ffffffffffffffffff01feffffffffffffffff0109036c6f77056c6f77657202";
const GOLDEN_KEYED_CAPTURE: &str = "00505c18a30100000002350100090000000700000004000000d606000000000000be0a0000000000004010000000000000001000000000000000505c18a301000002ecffffffffffffff80100000000000001602cc219a010604021c01e8209a0102e8209a0103e8209a0104e8209a0105e8209a01069a0107e8200008e8209a0109e8209a010ae8209a010ce8209a010d9a018e9a018fe8209a01909a0191e8209a01929a01939a0194e8209a019580a0f1c2b134ffffffffffffffffff018e9a018fe8209a01909a0191e8209a01929a0113ffffffffffffffffff019a0194e8209a019580a0f1c2b134ffffffffffffffffff0102e8209a01ffffffffffffffffff01feffffffffffffffff0109036c6f77056c6f77657202a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a503a001c801280680a0f1c2b1349898f1c2b13401";
