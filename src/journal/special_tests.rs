//! Records of what few grants have, and of recurring ones: they survive, and their bytes are pinned.

use super::admin::{self, AdminRecord, Declared, GrantRecord, Recurrence, Redeclaration};
use super::recurring::RecurringRecord;
use super::tests::{NOW, admin_survives, frame_of, full_operation, hex, operation_survives, placed, placed_admin};
use crate::catalog::{CostBasis, CreditCurrency, CurrencyKind, CurrencyNumber, Metadata, Priorities};
use crate::journal::operation::{Body, OperationRecord};
use crate::ledger::{
    Amount, Category, Decimal, Ends, GrantId, Interval, Movement, NewGrant, Occurrence, Operation, Payment, Rollover,
    Scale, Schedule, Source, Special, Timestamp, Unit,
};

fn rollover() -> Rollover {
    let fraction = Decimal::from_parts(5, 1).expect("one decimal");
    Rollover { fraction, max: Some(Amount::new(400)), valid_for_ms: Some(86_400_000), priority: 5 }
}

fn declared() -> GrantRecord {
    GrantRecord {
        slot: 7,
        amount: Amount::new(1_000),
        source: Source::Package,
        category: Category::Paid,
        priority: 50,
        effective_at: NOW,
        expires_at: None,
        cost_basis: None,
        key: None,
        effective_at_given: false,
        metadata: Metadata::new(),
        created_at: NOW,
        declared: Declared {
            payment: Some("pay_7".to_owned()),
            pending: true,
            valid_for_ms: Some(86_400_000),
            rollover: Some(rollover()),
            recurrence: Some(Recurrence { id: "plan".to_owned(), version: 2, schedule: 4_096, number: 9 }),
            default_priority: true,
            transferred_from: None,
        },
    }
}

/// A grant that was a part of another wallet's.
fn transferred() -> GrantRecord {
    let declared = Declared { transferred_from: Some(4_200), ..Declared::default() };
    GrantRecord { declared, ..self::declared() }
}

fn currency() -> CreditCurrency {
    CreditCurrency {
        id: "credits".to_owned(),
        number: CurrencyNumber(1),
        name: "Credits".to_owned(),
        symbol: "cr".to_owned(),
        scale: Scale::MAX,
        kind: CurrencyKind::Unit,
        max_balance: None,
        archived: false,
        default_priorities: Priorities::from([(Source::TopUp, 40), (Source::Rollover, 100)]),
    }
}

fn recurring() -> RecurringRecord {
    RecurringRecord {
        slot: 7,
        id: "plan".to_owned(),
        version: 2,
        amount: Amount::new(3_000),
        source: Source::Plan,
        category: Category::Paid,
        priority: 10,
        schedule: Schedule {
            anchor: NOW,
            interval: Interval::new(3, Unit::Month).expect("an interval"),
            at_once: Some(NOW),
            skipped: 1,
            ends: Ends::After(86_400_000),
            until: Some(Timestamp::from_millis(1_900_000_000_000)),
        },
        first_now: true,
        rollover: Some(rollover()),
        cost_basis: Some(CostBasis { amount: 999, currency: "EUR".to_owned() }),
        metadata: Metadata::from([("plan".to_owned(), "pro".to_owned())]),
        stopped: false,
        created_at: Timestamp::from_millis(1_790_000_000_000),
        updated_at: NOW,
    }
}

fn grant_operation() -> Operation {
    Operation::Grant(NewGrant {
        id: GrantId::new(4_200),
        amount: Amount::new(1_000),
        priority: 50,
        category: Category::Paid,
        effective_at: NOW,
        expires_at: None,
        cost: Some(999),
        max_balance: None,
        special: Special {
            rollover: Some(rollover()),
            occurrence: Some(Occurrence { schedule: 4_096, number: 9 }),
            payment: Some(Payment { begins_when_paid: true, valid_for_ms: Some(7) }),
        },
    })
}

fn operation() -> OperationRecord<'static> {
    let plain = full_operation(grant_operation());
    let (grant, amount) = (GrantId::new(4_200), Amount::new(77));
    let movements = vec![
        Movement::AwaitsPayment { grant, amount },
        Movement::Paid { grant, amount },
        Movement::RolledOver { grant, into: grant.rolled_over(), amount, at: NOW },
    ];
    OperationRecord { body: Body { movements, ..plain.body }, ..plain }
}

#[test]
fn records_of_the_second_version_survive() {
    admin_survives(&AdminRecord::Grant(declared()));
    let plain = Declared { pending: true, ..Declared::default() };
    admin_survives(&AdminRecord::Grant(GrantRecord { declared: plain, ..declared() }));
    admin_survives(&AdminRecord::Grant(transferred()));
    let again = GrantRecord { created_at: Timestamp::from_millis(5), ..declared() };
    admin_survives(&AdminRecord::Redeclared(Redeclaration { number: 4_200, grant: again }));
    admin_survives(&AdminRecord::Currency(currency()));
    admin_survives(&AdminRecord::Recurring(recurring()));
    for unit in Unit::ALL {
        for ends in [Ends::WithNext, Ends::Never, Ends::After(u64::MAX)] {
            let interval = Interval::new(10_000, unit).expect("an interval");
            let schedule = Schedule { interval, ends, at_once: None, until: None, ..recurring().schedule };
            let (rollover, cost_basis) = (None, None);
            admin_survives(&AdminRecord::Recurring(RecurringRecord {
                schedule,
                rollover,
                cost_basis,
                stopped: true,
                ..recurring()
            }));
        }
    }
    operation_survives(&operation());
    operation_survives(&full_operation(Operation::Pay { grant: GrantId::new(u64::MAX) }));
    operation_survives(&full_operation(Operation::EndSchedule { schedule: u64::MAX }));
    let (grant, most) = (GrantId::new(u64::MAX), Amount::MAX);
    operation_survives(&full_operation(Operation::FreezeGrant { grant, most }));
    operation_survives(&full_operation(Operation::ThawGrant { grant }));
    for is_written_off in [false, true] {
        let (grant, amount, total) = (GrantId::new(u64::MAX), Amount::new(i64::MAX), Amount::new(7));
        operation_survives(&full_operation(Operation::ClawBack { grant, amount, total, is_written_off }));
    }
}

#[test]
fn records_without_anything_special_are_written_as_ever() {
    let plain = GrantRecord { declared: Declared::default(), ..declared() };
    assert_eq!(AdminRecord::Grant(plain).encode()[8], 1);
    assert_eq!(AdminRecord::Grant(declared()).encode()[8], 2);
    let plain = CreditCurrency { default_priorities: Priorities::new(), ..currency() };
    assert_eq!(AdminRecord::Currency(plain).encode()[8], 1);
    assert_eq!(AdminRecord::Currency(currency()).encode()[8], 2);
}

#[test]
fn the_wallet_is_told_without_decoding_the_record() {
    for slot in [0, 127, 128, u32::MAX] {
        let records = [
            AdminRecord::Grant(GrantRecord { slot, ..declared() }),
            AdminRecord::Recurring(RecurringRecord { slot, ..recurring() }),
            AdminRecord::Redeclared(Redeclaration { number: 9, grant: GrantRecord { slot, ..declared() } }),
        ];
        for record in records {
            let bytes = record.encode();
            assert_eq!(admin::wallet_of(bytes[0], &bytes), Some(slot), "{record:?}");
        }
    }
}

#[test]
fn the_bytes_are_pinned() {
    let admin = |record: AdminRecord| hex(&frame_of(&placed_admin(&record)));
    let written = [
        admin(AdminRecord::Grant(declared())),
        admin(AdminRecord::Currency(currency())),
        admin(AdminRecord::Recurring(recurring())),
        hex(&frame_of(&placed(&operation()))),
        admin(AdminRecord::Grant(transferred())),
    ];
    let pinned = [GOLDEN_GRANT, GOLDEN_CURRENCY, GOLDEN_RECURRING, GOLDEN_OPERATION, GOLDEN_TRANSFERRED];
    assert_eq!(written, pinned);
}

// A change of these is a change of the format: old logs must stay readable, so it needs a version.

const GOLDEN_GRANT: &str = "\
    00505c18a301000000124e0000090000000293079b07cd03e8a77061636b616765c332cf000001a3185c5000c2c0c0c08096a5706179\
    5f37c3ce05265c0094920501cd0190ce05265c000594a4706c616e02cd100009c3";
const GOLDEN_TRANSFERRED: &str = "\
    00505c18a30100000012320000090000000293079b07cd03e8a77061636b616765c332cf000001a3185c5000c2c0c0c08097c0c2c0c0\
    c0c2cd1068";
const GOLDEN_CURRENCY: &str = "\
    00505c18a301000000133c000009000000029298a76372656469747301a743726564697473a2637209a4556e6974c0c29292a8726f6c\
    6c6f7665726492a6746f705f757028";
const GOLDEN_RECURRING: &str = "\
    00505c18a3010000002075000009000000019f07a4706c616e02cd0bb8a4706c616ec30a96cf000001a3185c5000920303cf000001a3\
    185c5000019202ce05265c00cf000001ba60d33800c394920501cd0190ce05265c000592cd03e7a345555281a4706c616ea370726fc2\
    cf000001a0c4506c00cf000001a3185c5000";
const GOLDEN_OPERATION: &str = "\
    00505c18a30100000002090100090000000700000004000000d606000000000000be0a00000000000040100000000000000010000000\
    00000000505c18a301000001ecffffffffffffff80100000000000009981a94772616e74576974689298cd1068cd03e832c3cf000001\
    a3185c5000cfffffffffffffffffcd03e7c09394920501cd0190ce05265c000592cd10000992c30794a56576742d31a3617069cf0000\
    01a3185c500093020f0193030201c2939420cd10684dc09421cd10684dc09422cd10684d92cd1069cf000001a3185c50009392a36c6f\
    77a56c6f776572c3c29390c2c39292cd10684d92cfffffffffffffffffcf7fffffffffffffff9391920102919203fc9205cfffffffff\
    ffffffff";
