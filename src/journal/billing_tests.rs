//! Records of money in: read back as written, and their bytes pinned.

use super::admin::AdminRecord;
use super::billing::{
    BillingRecord, Declaration, InvoiceRecord, LimitsRecord, ReferenceRecord, RestRecord, RuleRecord, TopUpRecord,
};
use super::operation::{Body, OperationRecord, Repair};
use super::tests::{admin_survives, frame_of, full_operation, hex, placed, placed_admin};
use super::{Corrupt, records};
use crate::billing::auto::{
    Attempt, Halt, Limit, Mode, News as RuleNews, Rule, RuleState, Skip, SuspendReason, Tally, Window,
};
use crate::billing::invoice::{Invoice, Line, Note, Number, Paid, Payer, Subject};
use crate::billing::method::CardExpiry;
use crate::billing::money::Worth;
use crate::billing::portal::PortalLimits;
use crate::billing::recharge::RechargeConfig;
use crate::billing::top_up::{
    Collection, Credit, Dispute, Failure, Goods, Kind, News, Payment, Purchase, Refund, RefundStatus, Status, TopUp,
};
use crate::billing::{CreditPackage, Money, MoneyCode, PaymentMethod, Per};
use crate::catalog::{CurrencyNumber, Metadata};
use crate::ledger::{Amount, GrantId, Operation, Source, Timestamp, Trigger};
use drawdown_wal::Lsn;
use std::collections::BTreeMap;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn text(text: &str) -> String {
    text.to_owned()
}

fn euros(cents: i64) -> Money {
    Money::new(cents, MoneyCode::iso("EUR").expect("euros"))
}

fn metadata() -> Metadata {
    Metadata::from([(text("plan"), text("gold"))])
}

fn package() -> CreditPackage {
    CreditPackage {
        id: text("starter"),
        name: text("Starter"),
        currency: CurrencyNumber(3),
        credits: Amount::new(1_000),
        bonus: Amount::new(50),
        price: euros(1_999),
        valid_for_ms: Some(86_400_000),
        priority: 50,
        max_per_customer: Some(4),
        archived: true,
        metadata: metadata(),
    }
}

fn method() -> PaymentMethod {
    PaymentMethod {
        id: text("pm_1"),
        customer: text("cus_1"),
        provider: text("stripe"),
        reference: text("pm_x"),
        brand: Some(text("visa")),
        last4: Some(text("4242")),
        expiry: CardExpiry::new(2031, 7),
        fingerprint: Some(text("fp")),
        is_default: true,
        detached: true,
        created_at: NOW,
    }
}

/// A top-up with something in every field.
fn top_up() -> TopUp {
    TopUp {
        id: text("top_1"),
        customer: text("cus_1"),
        currency: CurrencyNumber(3),
        kind: Kind::Auto,
        purchase: Purchase {
            package: Some(text("starter")),
            quantity: 2,
            price: Some(euros(3_998)),
            goods: Goods::Fixed(Amount::new(2_100)),
            source: Source::AutoTopUp,
            priority: 60,
            valid_for_ms: Some(1),
        },
        collection: Collection::Charge,
        provider: text("stripe"),
        method: Some(text("pm_1")),
        saves_method: true,
        credits_at_once: true,
        return_url: Some(text("https://app.example")),
        checkout_url: Some(text("https://pay.example")),
        address: Some(text("bc1q")),
        progress: Status::RequiresAction,
        in_doubt: true,
        declines: 2,
        failure: Some(Failure { code: text("card_declined"), is_hard: true }),
        payments: vec![Payment { key: text("pi_1"), money: euros(3_998), at: NOW }],
        captured: Some(euros(3_998)),
        refunds: vec![Refund { key: text("re_1"), money: euros(998), status: RefundStatus::Failed, at: NOW }],
        dispute: Dispute::Open,
        credit: Credit::Granted { grant: GrantId::new(77), amount: Amount::new(2_100) },
        to_claw_back: Amount::new(9),
        clawed_back: Amount::new(8),
        to_freeze: true,
        frozen: true,
        key: Some(text("key-1")),
        metadata: metadata(),
        created_at: NOW,
        updated_at: NOW,
        expires_at: Some(NOW),
        completed_at: Some(NOW),
        form: None,
    }
}

fn rule() -> RuleRecord {
    let window = |count| Window { start: NOW, count, units: 1_999 };
    RuleRecord {
        rule: Rule {
            customer: text("cus_1"),
            currency: CurrencyNumber(3),
            enabled: true,
            threshold: Amount::new(-5),
            trigger: Trigger::AtOrBelow,
            mode: Mode::Package { package: text("starter"), quantity: 2 },
            cooldown_ms: 60_000,
            limits: vec![Limit { per: Per::Week, count: Some(3), amount: Some(euros(9_999)) }],
            method: Some(text("pm_1")),
            priority: Some(7),
            valid_for_ms: Some(8),
        },
        state: RuleState {
            in_flight: Some(Attempt { top_up: text("top_1"), at: NOW, money: euros(1_999) }),
            tally: Tally { windows: [window(1), window(2), window(3)], code: MoneyCode::iso("EUR") },
            failures: 2,
            cooling_until: Some(NOW),
            retry_at: Some(NOW),
            halt: Some(Halt::Suspended(SuspendReason::Failures)),
            card: Some(text("stripe:fp:x")),
            told: BTreeMap::from([(Skip::NoMethod, Timestamp::EPOCH), (Skip::Limit(Per::Month), NOW)]),
        },
        deleted: true,
        created_at: NOW,
        updated_at: NOW,
        news: vec![RuleNews::Failed, RuleNews::Suspended],
        skip: Some(Skip::Limit(Per::Day)),
    }
}

fn invoice() -> Invoice {
    Invoice {
        number: Number(12),
        customer: text("cus_1"),
        subject: Subject::TopUp(text("top_1")),
        lines: vec![Line { description: text("Starter"), quantity: 2, unit_price: euros(1_999) }],
        total: euros(3_998),
        paid: vec![
            Paid { by: Payer::Wallet(Amount::new(998)), money: euros(998) },
            Paid {
                by: Payer::Method { id: text("pm_1"), brand: Some(text("visa")), last4: Some(text("4242")) },
                money: euros(3_000),
            },
        ],
        notes: vec![Note { number: Number(3), refund: text("re_1"), money: euros(998), at: NOW }],
        is_void: true,
        issued_at: NOW,
        paid_at: Some(NOW),
    }
}

fn limits() -> LimitsRecord {
    let limits = PortalLimits {
        min_payment: Some(euros(500)),
        max_payment: Some(euros(10_000)),
        max_balance: Some(Amount::new(50_000)),
    };
    LimitsRecord { currency: CurrencyNumber(3), limits }
}

fn of_top_up(top_up: TopUp, declaration: Declaration) -> BillingRecord {
    BillingRecord::TopUp(Box::new(TopUpRecord { top_up, declaration, news: vec![News::Completed, News::Disputed] }))
}

/// One of each kind with something in every field.
fn full() -> Vec<BillingRecord> {
    vec![
        BillingRecord::Package(package()),
        BillingRecord::Recharge(RechargeConfig { currency: CurrencyNumber(3), package: Some(text("starter")) }),
        BillingRecord::Method(method()),
        of_top_up(top_up(), Declaration::Before(300)),
        BillingRecord::Rule(Box::new(rule())),
        BillingRecord::Invoice(Box::new(InvoiceRecord { invoice: invoice(), paid_now: true })),
        BillingRecord::Limits(limits()),
        BillingRecord::Reference(ReferenceRecord {
            provider: text("stripe"),
            of: text("customer:cus_1"),
            reference: text("cus_N9"),
        }),
    ]
}

fn rest() -> RestRecord {
    RestRecord {
        number: 4_242,
        customer: text("cus_1"),
        currency: CurrencyNumber(3),
        collection: Collection::Checkout,
        provider: text("stripe"),
        method: Some(text("pm_1")),
        is_over: true,
    }
}

#[track_caller]
fn survives(record: BillingRecord) {
    admin_survives(&AdminRecord::Billing(record));
}

#[test]
fn every_kind_and_choice_survives() {
    full().into_iter().for_each(survives);
    full().into_iter().map(BillingRecord::without_news).for_each(survives);
    survives(BillingRecord::Rest(rest()));
    survives(BillingRecord::Rest(RestRecord { method: None, is_over: false, ..rest() }));
    let coin = MoneyCode::coin("BTC", 8).expect("a coin");
    let goods = Goods::Worth(Worth::from_parts(coin, 1).expect("a power"));
    let bare = TopUp {
        purchase: Purchase { package: None, price: None, goods, ..top_up().purchase },
        payments: vec![Payment { key: text("tx"), money: Money::new(7, coin), at: NOW }],
        captured: None,
        failure: None,
        expires_at: None,
        ..top_up()
    };
    survives(of_top_up(bare, Declaration::None));
    for kind in [Kind::Manual, Kind::Auto, Kind::Deposit, Kind::Offline, Kind::Charge { entry: u64::MAX }] {
        survives(of_top_up(TopUp { kind, ..top_up() }, Declaration::At(u64::MAX)));
    }
    for collection in [Collection::Charge, Collection::Checkout, Collection::Invoice, Collection::Outside] {
        survives(of_top_up(TopUp { collection, ..top_up() }, Declaration::None));
    }
    for progress in Status::ALL.into_iter().filter(|status| !status.is_paid()) {
        survives(of_top_up(TopUp { progress, ..top_up() }, Declaration::None));
    }
    for dispute in [Dispute::None, Dispute::Won, Dispute::Lost] {
        survives(of_top_up(TopUp { dispute, ..top_up() }, Declaration::None));
    }
    for credit in [Credit::None, Credit::Due(Amount::new(5)), Credit::Refused(Amount::new(6))] {
        survives(of_top_up(TopUp { credit, ..top_up() }, Declaration::None));
    }
    let with_rule = |rule| BillingRecord::Rule(Box::new(rule));
    let target = Mode::Target { target: Amount::new(9), package: None };
    for mode in [Mode::Amount(euros(5)), target, Mode::Target { target: Amount::ZERO, package: Some(text("p")) }] {
        survives(with_rule(RuleRecord { rule: Rule { mode, ..rule().rule }, ..rule() }));
    }
    survives(with_rule(RuleRecord { state: RuleState::default(), skip: None, ..rule() }));
    let charge = Subject::Charge { entry: 5, invoice: Some(text("inv")) };
    let offline = vec![Paid { by: Payer::Offline, money: euros(1) }];
    let other = Invoice { subject: charge, paid: offline, paid_at: None, ..invoice() };
    survives(BillingRecord::Invoice(Box::new(InvoiceRecord { invoice: other, paid_now: false })));
}

/// One a line; see the test.
const GOLDEN: &str = include_str!("../../tests/golden/billing-v1.hex");

#[test]
fn the_bytes_of_money_in_are_pinned() {
    let line = |record| hex(&frame_of(&placed_admin(&AdminRecord::Billing(record)))) + "\n";
    let (grant, amount, total) = (GrantId::new(700), Amount::new(40), Amount::new(90));
    let operations = [
        Operation::ClawBack { grant, amount, total, is_written_off: true },
        Operation::FreezeGrant { grant, most: total },
        Operation::ThawGrant { grant },
    ];
    let operations = operations.map(|operation| {
        let whole = full_operation(operation);
        let body = Body { movements: Vec::new(), repair: Repair::default(), ..whole.body };
        hex(&frame_of(&placed(&OperationRecord { body, ..whole }))) + "\n"
    });
    // In the order in which they came to be.
    let rest = line(BillingRecord::Rest(rest()));
    let lines: String = full().into_iter().map(line).chain(operations).chain([rest]).collect();
    assert_eq!(lines, GOLDEN, "\n{lines}");
}

#[test]
fn a_declaration_is_found_from_the_record_that_stands_behind_it() {
    assert_eq!(Declaration::Before(300).resolved(1_000), Declaration::At(700));
    assert_eq!(Declaration::At(5).resolved(1_000), Declaration::At(5));
    assert_eq!(Declaration::None.resolved(1_000), Declaration::None);
}

#[test]
fn what_cannot_be_is_corrupt() {
    let read = |record: BillingRecord| {
        let bytes = frame_of(&placed_admin(&AdminRecord::Billing(record)));
        let mut records = records(&bytes, Lsn::new(4_096)).expect("a frame");
        records.next().expect("a record").map(|_| ()).map_err(|corrupt| corrupt.to_string())
    };
    let malformed = |what| Err(Corrupt::Malformed(what).to_string());
    let no_price = Purchase { price: None, ..top_up().purchase };
    let free = TopUp { purchase: no_price, ..top_up() };
    assert_eq!(read(of_top_up(free, Declaration::None)), malformed("price"));
    let paid = TopUp { progress: Status::Completed, ..top_up() };
    assert_eq!(read(of_top_up(paid, Declaration::None)), malformed("progress"));
    assert_eq!(
        read(BillingRecord::Package(CreditPackage { credits: Amount::ZERO, ..package() })),
        malformed("credits")
    );
    let too_much = CreditPackage { credits: Amount::MAX, ..package() };
    assert_eq!(read(BillingRecord::Package(too_much)), malformed("credits"));
}
