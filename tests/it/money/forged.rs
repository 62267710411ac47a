//! Logs into which contradictions about money were written, each record of them well formed: the audit finds every one, and says which it is.

use std::sync::Arc;

use drawdown::billing::PaymentMethod;
use drawdown::billing::Per;
use drawdown::billing::auto::{Attempt, Limit, Mode, Rule};
use drawdown::billing::invoice::{Invoice, Number};
use drawdown::billing::top_up::{Credit, Event, Kind, Outcome, Refund, RefundReport, RefundStatus, Status, TopUp};
use drawdown::engine::billing::{Buyer, TopUpRequest};
use drawdown::engine::catalog::CurrencyNumber;
use drawdown::engine::view::{GrantOptions, GrantRequest, Metadata};
use drawdown::engine::{Engine, ManualClock};
use drawdown::journal::admin::AdminRecord;
use drawdown::journal::billing::{BillingRecord, Declaration, InvoiceRecord, RuleRecord, TopUpRecord};
use drawdown::journal::{Record, records};
use drawdown::ledger::{Amount, Category, Decimal, GrantId, Source, Timestamp, Trigger};
use drawdown::verify::{Reading, verify};
use drawdown_wal::sim::Disk;
use drawdown_wal::{Archive, Images, Log};

use super::model::euros;
use super::{SEGMENT_BYTES, fresh_disk};
use crate::books::{BEGIN, at, config};
use crate::sim::append_admin;

/// A ledger with a bit of everything, and the newest records of it.
struct Ledger {
    disk: Disk,
    /// Bought by the rule, paid, and a part of it paid back.
    auto: TopUpRecord,
    /// Collected elsewhere and paid.
    outside: TopUpRecord,
    /// Not paid yet.
    unpaid: TopUpRecord,
    rule: RuleRecord,
    /// The newest.
    invoice: Invoice,
    /// A grant that somebody made with a payment's reference.
    gift: u64,
}

fn grant(engine: &Engine) {
    let request = GrantRequest {
        customer: "ada".to_owned(),
        currency: Some("credits".to_owned()),
        amount: Decimal::from_integer(300),
        source: Source::TopUp,
        category: Category::Paid,
        priority: None,
        effective_at: None,
        expires_at: None,
        cost_basis: None,
        key: None,
        metadata: Metadata::new(),
        options: GrantOptions { payment: Some("somewhere else".to_owned()), ..GrantOptions::default() },
    };
    drop(engine.grant(&[request]).expect("a healthy engine"));
}

fn outside(engine: &Engine, key: &str) -> String {
    let request = TopUpRequest {
        customer: "ada".to_owned(),
        currency: Some("credits".to_owned()),
        kind: Kind::Offline,
        package: Some(("starter".to_owned(), 1)),
        amount: None,
        credits: None,
        collection: None,
        provider: None,
        method: None,
        saves_method: false,
        credits_at_once: false,
        return_url: None,
        address: None,
        expiry_ms: None,
        key: Some(key.to_owned()),
        metadata: Metadata::new(),
        buyer: Buyer::Operator,
        form: None,
    };
    engine.create_top_up(&request).expect("a top-up").0.top_up.id
}

fn tell(engine: &Engine, id: &str, event: &Event) {
    drop(engine.top_up_event(id, event).expect("it is taken"));
}

/// Makes the ledger.
fn ledger() -> Ledger {
    let (disk, clock) = (fresh_disk(), Arc::new(ManualClock::new(at(BEGIN))));
    let engine = Engine::open_on(disk.medium(), config(SEGMENT_BYTES), clock).expect("a ledger").0;
    drop(engine.connect_provider("simulated").expect("a healthy engine"));
    grant(&engine);
    let card = PaymentMethod {
        id: "pm_1".to_owned(),
        customer: "ada".to_owned(),
        provider: "simulated".to_owned(),
        reference: "ref".to_owned(),
        brand: None,
        last4: None,
        expiry: None,
        fingerprint: None,
        is_default: true,
        detached: false,
        created_at: Timestamp::EPOCH,
    };
    drop(engine.add_payment_method(card).expect("a card"));
    let rule = Rule {
        customer: "ada".to_owned(),
        currency: CurrencyNumber(0),
        enabled: true,
        threshold: Amount::new(500),
        trigger: Trigger::Below,
        mode: Mode::Package { package: "starter".to_owned(), quantity: 1 },
        cooldown_ms: 0,
        limits: vec![Limit { per: Per::Day, count: Some(1), amount: None }],
        method: None,
        priority: None,
        valid_for_ms: None,
    };
    drop(engine.put_rule(rule).expect("a rule"));
    let auto = engine.top_ups(None, None, 1).pop().expect("the rule has fired").top_up.id;
    let paid = Outcome::Succeeded { reference: "pi".to_owned(), money: euros(1_999), method: None };
    tell(&engine, &auto, &Event::Outcome(paid));
    tell(&engine, &auto, &Event::Refund { key: "re".to_owned(), money: euros(500), report: RefundReport::Succeeded });
    let confirmed = outside(&engine, "one");
    tell(&engine, &confirmed, &Event::Confirm { key: "t".to_owned(), money: euros(1_999), is_last: false });
    let unpaid = outside(&engine, "two");
    engine.close().expect("a healthy log");
    let disk = Disk::from_images(disk.images());
    let (log, _) = Log::open_on(disk.medium(), config(SEGMENT_BYTES).log).expect("a sound log");
    let (mut top_ups, mut rule, mut invoice, mut gift) = (Vec::new(), None, None, None);
    let mut reader = log.reader(log.first());
    while let Some(frame) = reader.next().expect("a sound log") {
        for record in records(frame.payload, frame.payload_lsn).expect("a sound frame") {
            match record.expect("a sound record") {
                (lsn, Record::Admin(AdminRecord::Grant(_))) => drop(gift.get_or_insert(lsn.get())),
                (lsn, Record::Admin(AdminRecord::Billing(BillingRecord::TopUp(record)))) => {
                    let declaration = record.declaration.resolved(lsn.get());
                    top_ups.push(TopUpRecord { declaration, news: Vec::new(), ..*record });
                }
                (_, Record::Admin(AdminRecord::Billing(BillingRecord::Rule(record)))) => rule = Some(*record),
                (_, Record::Admin(AdminRecord::Billing(BillingRecord::Invoice(record)))) => {
                    invoice = Some(record.invoice);
                }
                _ => {}
            }
        }
    }
    log.close().expect("a healthy log");
    let newest = |id: &str| top_ups.iter().rfind(|record| record.top_up.id == id).expect("it was recorded").clone();
    Ledger {
        disk: Disk::from_images(disk.images()),
        auto: newest(&auto),
        outside: newest(&confirmed),
        unpaid: newest(&unpaid),
        rule: rule.expect("a rule"),
        invoice: invoice.expect("an invoice"),
        gift: gift.expect("the first grant"),
    }
}

fn top_up(record: TopUpRecord) -> BillingRecord {
    BillingRecord::TopUp(Box::new(record))
}

/// The record with something about the top-up changed.
fn changed(record: &TopUpRecord, change: impl FnOnce(&mut TopUp)) -> Vec<BillingRecord> {
    let mut record = record.clone();
    change(&mut record.top_up);
    vec![top_up(record)]
}

fn changed_invoice(ledger: &Ledger, change: impl FnOnce(&mut Invoice)) -> Vec<BillingRecord> {
    let mut invoice = ledger.invoice.clone();
    change(&mut invoice);
    vec![BillingRecord::Invoice(Box::new(InvoiceRecord { invoice, paid_now: false }))]
}

/// A top-up of the rule's that has just been set off.
fn fresh(ledger: &Ledger, id: &str) -> TopUpRecord {
    let auto = &ledger.auto.top_up;
    let top_up = TopUp {
        id: id.to_owned(),
        progress: Status::Created,
        payments: Vec::new(),
        captured: None,
        refunds: Vec::new(),
        credit: Credit::None,
        to_claw_back: Amount::ZERO,
        clawed_back: Amount::ZERO,
        updated_at: auto.created_at,
        completed_at: None,
        ..auto.clone()
    };
    TopUpRecord { top_up, declaration: Declaration::None, news: Vec::new() }
}

/// The same, set off by its rule, whose limits are `limits`.
fn fired(ledger: &Ledger, id: &str, limits: Vec<Limit>) -> Vec<BillingRecord> {
    let record = fresh(ledger, id);
    let attempt = Attempt { top_up: id.to_owned(), at: record.top_up.created_at, money: euros(1_999) };
    let mut rule = ledger.rule.clone();
    (rule.rule.limits, rule.state.in_flight) = (limits, Some(attempt));
    vec![top_up(record), BillingRecord::Rule(Box::new(rule))]
}

/// What is written, and what the audit says.
type Forgery = (fn(&Ledger) -> Vec<BillingRecord>, &'static str);

const FORGERIES: [Forgery; 17] = [
    (
        |ledger| vec![top_up(TopUpRecord { declaration: Declaration::At(ledger.gift), ..ledger.auto.clone() })],
        "more than once",
    ),
    (
        |ledger| vec![top_up(TopUpRecord { declaration: Declaration::At(ledger.gift), ..ledger.unpaid.clone() })],
        "is owed none",
    ),
    (
        |ledger| {
            changed(&ledger.outside, |top_up| {
                top_up.credit = Credit::Granted { grant: GrantId::new(ledger.gift), amount: top_up.credit.amount() };
            })
        },
        "was credited with has changed",
    ),
    (
        |ledger| {
            let paid = ledger.outside.top_up.clone();
            changed(&ledger.unpaid, |top_up| {
                (top_up.payments, top_up.captured) = (paid.payments, paid.captured);
                (top_up.credit, top_up.completed_at) = (paid.credit, paid.completed_at);
            })
        },
        "was never made",
    ),
    (|ledger| changed(&ledger.unpaid, |top_up| top_up.credit = Credit::Due(Amount::ONE)), "what its money buys"),
    (
        |ledger| changed(&ledger.outside, |top_up| top_up.captured = Some(euros(1_998))),
        "captured of a top-up has changed",
    ),
    (|ledger| changed(&ledger.outside, |top_up| top_up.payments.clear()), "payment of a top-up has changed"),
    (|ledger| changed(&ledger.auto, |top_up| top_up.captured = None), "status has gone where it cannot"),
    (|ledger| changed(&ledger.auto, |top_up| top_up.to_claw_back = Amount::new(1_001)), "than it was credited with"),
    (
        |ledger| {
            changed(&ledger.outside, |top_up| {
                (top_up.to_claw_back, top_up.clawed_back) = (Amount::new(5), Amount::new(5));
            })
        },
        "is not what it says",
    ),
    (
        |ledger| {
            changed(&ledger.outside, |top_up| {
                let refund = |key: &str| Refund {
                    key: key.to_owned(),
                    money: euros(1_000),
                    status: RefundStatus::Pending,
                    at: top_up.created_at,
                };
                top_up.refunds = vec![refund("a"), refund("b")];
            })
        },
        "paid back of a top-up than was captured",
    ),
    (
        |ledger| changed_invoice(ledger, |invoice| invoice.number = Number(invoice.number.0 + 2)),
        "does not follow the one",
    ),
    (|ledger| changed_invoice(ledger, |invoice| invoice.number = Number(invoice.number.0 + 1)), "or more than one"),
    (|ledger| changed_invoice(ledger, |invoice| invoice.total = euros(1)), "changed after it had been issued"),
    (|ledger| vec![top_up(fresh(ledger, "top_f1"))], "no rule has set off"),
    (|ledger| fired(ledger, "top_f1", ledger.rule.rule.limits.clone()), "exceeds a limit"),
    (
        |ledger| [fired(ledger, "top_f1", Vec::new()), fired(ledger, "top_f2", Vec::new())].concat(),
        "another one was in flight",
    ),
];

/// What the verification of a ledger says, some records having been written behind its end.
fn found(ledger: &Ledger, records: Vec<BillingRecord>) -> Vec<String> {
    let disk = ledger.disk.duplicate();
    let (log, _) = Log::open_on(disk.medium(), config(SEGMENT_BYTES).log).expect("a sound log");
    for record in records {
        append_admin(&log, &AdminRecord::Billing(record));
    }
    log.close().expect("a healthy log");
    let images = Images { segments: disk.images(), chain: None };
    let verdict = verify(&Archive::of_images(images), &|_| ()).expect("images can be read");
    assert!(verdict.problems.iter().all(|problem| problem.found_by == Reading::Audit), "{:?}", verdict.problems);
    verdict.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn contradictions_about_money_are_found() {
    let ledger = ledger();
    assert_eq!(found(&ledger, Vec::new()), [""; 0]);
    // What is true may be said again.
    assert_eq!(found(&ledger, vec![top_up(ledger.auto.clone()), top_up(ledger.unpaid.clone())]), [""; 0]);
    for (forge, expected) in FORGERIES {
        let found = found(&ledger, forge(&ledger));
        assert!(found.iter().any(|what| what.contains(expected)), "{expected} was not found, but {found:#?}");
    }
}
