//! Administrative records.

use super::operations::{any_levels, full_operation, placed, set_commitments};
use super::{NOW, decimal, frame_of, hex, only_record};
use crate::catalog::{
    CollectionMethod, CostBasis, CreditCurrency, CurrencyKind, CurrencyNumber, CustomerChange, Metadata, Meter,
    Priorities,
};
use crate::journal::Record;
use crate::journal::admin::{
    self, AdminRecord, ApiKeyRecord, Declared, Genesis, GrantRecord, MetadataRecord, Redeclaration, WalletRecord,
};
use crate::journal::alerts::{
    CommitmentItem, CommitmentsRecord, DefaultLevelsRecord, RunwayRecord, RunwayStateRecord, RunwayToldRecord,
    RunwayWatch,
};
use crate::journal::control::{AnswerBody, AnswerRecord, CustomerRecord, Sealed};
use crate::journal::frame::Prelude;
use crate::journal::hold::HoldRecord;
use crate::journal::operation::{Body, Names, OperationRecord, Repair};
use crate::ledger::{Amount, Category, OnExceed, Operation, Policy, Rounding, Scale, Source, Timestamp};

#[expect(clippy::too_many_lines, reason = "a table, one entry a record")]
pub(super) fn admin_records() -> Vec<(AdminRecord, &'static str)> {
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

pub(in crate::journal) fn placed_admin(record: &AdminRecord) -> Vec<u8> {
    let mut bytes = record.encode();
    admin::place(&mut bytes, Prelude::length("") as u32);
    bytes
}

#[track_caller]
pub(in crate::journal) fn admin_survives(record: &AdminRecord) {
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
const GOLDEN_ALERTS: &str = include_str!("../../../tests/golden/alerts-v1.hex");

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
            assert_eq!(admin::wallet_of(bytes[0], &bytes), Some(slot), "{record:?}");
            for length in 0..bytes.len().min(12) {
                let _ = admin::wallet_of(bytes[0], &bytes[..length]);
            }
        }
    }
    let genesis = AdminRecord::Genesis(Genesis { seed: [1; 32], created_ms: 5 }).encode();
    assert_eq!(admin::wallet_of(genesis[0], &genesis), None);
}

// A change of these is a change of the format: old logs must stay readable, so it needs a version.

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
const GOLDEN_REDECLARED: &str = "00505c18a3010000002840000009000000019407cd1068cf0000018bcfe568009b07cd03e8a77061636b616765c332cf000001a3185c5000c2c092cd03e7a3455552a56b65792d3180";
const GOLDEN_HOLD: &str = "00505c18a3010000001724000009000000010700000001a00b6a18a30100004d00000000000000686f6c642d31";
const GOLDEN_ANSWER: &str = "\
    00505c18a301000000407f0000090000000198c4200101010101010101010101010101010101010101010101010101010101010101c420\
    0202020202020202020202020202020202020202020202020202020202020202cf000001a3185c5000ccc99192ac636f6e74656e742d74\
    797065b06170706c69636174696f6e2f6a736f6e0002c4027b7d";
const GOLDEN_CUSTOMER: &str = "\
    00505c18a30100000041700000090000000199a56375735f3102c30193c41003030303030303030303030303030303c40c040404040404\
    040404040404c4140505050505050505050505050505050505050505c291c41006060606060606060606060606060606cf000001a3185c\
    5000cf000001a3185c5000";
const GOLDEN_METADATA: &str = "00505c18a301000000161600000900000001920781a474696572a4676f6c64";
