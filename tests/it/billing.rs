//! Money in, on the engine: each success credits once whatever is cut, repeated or reopened, and rules buy once.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use drawdown::billing::auto::{Limit, Mode, Rule, RuleStatus};
use drawdown::billing::deposit::{Accepted, DepositForm};
use drawdown::billing::invoice::{InvoiceStatus, Number};
use drawdown::billing::method::CardExpiry;
use drawdown::billing::top_up::{Command, Credit, Event, Kind, Outcome, RefundReport, Status};
use drawdown::billing::{Money, MoneyCode, PackageSpec, PaymentMethod, Per};
use drawdown::engine::billing::{Buyer, TopUpRequest, TopUpView, Work};
use drawdown::engine::catalog::{CurrencyKind, CurrencyNumber, CurrencySpec, Priorities};
use drawdown::engine::customers::CustomerPatch;
use drawdown::engine::view::{Metadata, WalletPatch};
use drawdown::engine::{ApiKeyRecord, Charge, CommandError, Engine, ManualClock, UsageEvent};
use drawdown::ledger::{Amount, Decimal, Trigger};
use drawdown_wal::sim::Disk;
use drawdown_wal::{Heap, Lsn, Medium};

use crate::books::{BEGIN, at, config};

pub(crate) const SEGMENT_BYTES: u64 = 64 << 10;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

pub(crate) fn open_on(medium: Arc<dyn Medium>, clock: &Arc<ManualClock>) -> Engine {
    let engine = Engine::open_on(medium, config(SEGMENT_BYTES), clock.clone()).expect("a sound ledger").0;
    drop(engine.connect_provider("simulated").expect("a healthy engine"));
    engine
}

/// What the provider has to do by now.
pub(crate) fn work(engine: &Engine) -> Vec<Work> {
    engine.barrier().wait().expect("durable");
    engine.take_work()
}

pub(crate) fn euros(cents: i64) -> Money {
    Money::new(cents, MoneyCode::iso("EUR").expect("euros"))
}

pub(crate) fn currency(id: &str, kind: CurrencyKind) -> CurrencySpec {
    CurrencySpec {
        id: id.to_owned(),
        name: id.to_owned(),
        symbol: String::new(),
        scale: 0,
        kind,
        max_balance: Some(Decimal::from_integer(2_000)),
        default_priorities: Priorities::new(),
    }
}

pub(crate) fn package(id: &str, credits: i64, cents: i64) -> PackageSpec {
    PackageSpec {
        id: id.to_owned(),
        name: "Starter".to_owned(),
        credits: Decimal::from_integer(credits),
        bonus: None,
        price: Decimal::from_parts(cents, 2).expect("cents"),
        price_currency: "EUR".to_owned(),
        valid_for_ms: None,
        priority: None,
        max_per_customer: None,
        archived: false,
        metadata: Metadata::new(),
    }
}

pub(crate) fn request(package: &str) -> TopUpRequest {
    TopUpRequest {
        customer: "ada".to_owned(),
        currency: Some("credits".to_owned()),
        kind: Kind::Offline,
        package: Some((package.to_owned(), 1)),
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
        key: Some("order-1".to_owned()),
        metadata: Metadata::new(),
        buyer: Buyer::Operator,
        form: None,
    }
}

pub(crate) fn card(id: &str, fingerprint: &str) -> PaymentMethod {
    PaymentMethod {
        id: id.to_owned(),
        customer: "ada".to_owned(),
        provider: "simulated".to_owned(),
        reference: format!("ref_{id}"),
        brand: Some("visa".to_owned()),
        last4: Some("4242".to_owned()),
        expiry: CardExpiry::new(2099, 12),
        fingerprint: Some(fingerprint.to_owned()),
        is_default: true,
        detached: false,
        created_at: at(0),
    }
}

pub(crate) fn balance(engine: &Engine) -> i64 {
    engine.wallet("ada", "credits").map_or(0, |wallet| wallet.balance.units())
}

pub(crate) fn set_up(engine: &Engine) -> Result<(), CommandError> {
    engine.put_currency(currency("credits", CurrencyKind::Unit))?.1.wait()?;
    engine.put_package(&package("starter", 1_000, 1_999), Some("credits"))?.1.wait()?;
    Ok(())
}

pub(crate) fn debit(engine: &Engine, id: &str, amount: i64) {
    let charge = Charge::Amount { currency: Some("credits"), amount: Ok(Decimal::from_integer(amount)) };
    let event = UsageEvent { id, source: "", customer: "ada", charge, time: None, policy: None };
    let mut outcomes = Vec::new();
    drop(engine.submit(&[event], &mut outcomes).expect("a healthy engine"));
}

pub(crate) fn confirm(engine: &Engine, id: &str) -> TopUpView {
    let event = Event::Confirm { key: "transfer-1".to_owned(), money: euros(1_999), is_last: false };
    engine.top_up_event(id, &event).expect("it is taken").0
}

pub(crate) fn refund(engine: &Engine, id: &str, key: &str, cents: i64) -> TopUpView {
    let event = Event::AskRefund { key: key.to_owned(), money: Some(euros(cents)) };
    engine.top_up_event(id, &event).expect("it is taken").0
}

pub(crate) fn buy(engine: &Engine) -> TopUpView {
    engine.create_top_up(&request("starter")).expect("a top-up").0
}

pub(crate) fn told(engine: &Engine) -> Vec<&'static str> {
    engine.barrier().wait().expect("durable");
    let (mut after, mut kinds) = (Lsn::ZERO, Vec::new());
    loop {
        let page = engine.feed(after, 1_000, None).expect("a feed");
        kinds.extend(page.events.iter().map(|event| event.kind));
        after = page.next;
        if page.at_end {
            return kinds;
        }
    }
}

fn of_money(kinds: &[&'static str]) -> Vec<&'static str> {
    let is = |kind: &&&str| ["top_up.", "auto_top_up.", "invoice."].iter().any(|prefix| kind.starts_with(prefix));
    kinds.iter().filter(is).copied().collect()
}

#[track_caller]
pub(crate) fn check_sound(engine: &Engine) {
    let audit = engine.audit(&AtomicU64::new(0)).expect("it can be read");
    assert!(audit.findings.is_empty(), "{:?}", audit.findings);
}

#[test]
fn an_offline_payment_is_confirmed_refunded_and_told() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let engine = open_on(medium.clone(), &clock);
    set_up(&engine).expect("a healthy log");
    let made = buy(&engine);
    assert_eq!((made.top_up.status(), made.invoice, balance(&engine)), (Status::Created, None, 0));
    let (again, replayed, _) = engine.create_top_up(&request("starter")).expect("the same again");
    assert_eq!((again.top_up.id.clone(), replayed), (made.top_up.id.clone(), true));
    let other = TopUpRequest { package: Some(("starter".to_owned(), 2)), ..request("starter") };
    let refused = engine.create_top_up(&other).expect_err("other content");
    assert!(matches!(refused, CommandError::Conflict { slug: "idempotency_conflict", .. }), "{refused:?}");
    let id = made.top_up.id;
    let paid = confirm(&engine, &id);
    assert_eq!((paid.top_up.status(), paid.invoice, balance(&engine)), (Status::Completed, Some(Number(1)), 1_000));
    let Credit::Granted { grant, .. } = paid.top_up.credit else { panic!("{:?}", paid.top_up.credit) };
    let view = engine.grant_view(&engine.grant_text(grant)).expect("the grant");
    assert_eq!((view.payment.as_deref(), view.priority), (Some(id.as_str()), 50));
    assert_eq!(view.cost_basis.map(|cost| (cost.amount, cost.currency)), Some((1_999, "EUR".to_owned())));
    assert_eq!(confirm(&engine, &id).top_up, paid.top_up, "the same payment again");
    debit(&engine, "e1", 900);
    // A third is refunded: 333 of the credits, of which 100 are left; the rest is owed.
    let part = refund(&engine, &id, "r1", 667);
    assert_eq!((part.top_up.status(), balance(&engine)), (Status::PartiallyRefunded, 100 - 333));
    assert_eq!(part.top_up.clawed_back, Amount::new(333));
    let all = refund(&engine, &id, "r2", 1_999 - 667);
    assert_eq!((all.top_up.status(), balance(&engine)), (Status::Refunded, 100 - 1_000));
    let invoice = engine.invoice(Number(1)).expect("an invoice");
    assert_eq!((invoice.status(), invoice.total, invoice.notes.len()), (InvoiceStatus::Refunded, euros(1_999), 2));
    let expected = ["top_up.created", "top_up.completed", "invoice.paid", "top_up.refunded", "top_up.refunded"];
    assert_eq!(of_money(&told(&engine)), expected);
    let digest = engine.digest();
    engine.close().expect("a healthy log");
    drop(engine);
    let engine = open_on(medium, &clock);
    assert_eq!((engine.digest(), balance(&engine)), (digest, -900));
    assert_eq!(engine.top_ups(Some("ada"), None, 10).len(), 1);
    check_sound(&engine);
}

#[test]
fn money_comes_in_above_the_highest_balance_and_not_into_a_closed_wallet() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let engine = open_on(medium.clone(), &clock);
    set_up(&engine).expect("a healthy log");
    let thrice = TopUpRequest { package: Some(("starter".to_owned(), 3)), key: None, ..request("starter") };
    let id = engine.create_top_up(&thrice).expect("a top-up").0.top_up.id;
    let event = Event::Confirm { key: "t".to_owned(), money: euros(3 * 1_999), is_last: false };
    engine.top_up_event(&id, &event).expect("it is taken").1.wait().expect("durable");
    assert_eq!(balance(&engine), 3_000, "the currency's limit does not bind money that has come");
    let late = buy(&engine).top_up.id;
    let close = WalletPatch { status: Some(drawdown::ledger::Status::Closed), ..WalletPatch::default() };
    engine.change_wallet("ada", "credits", &close).expect("nothing is held").1.wait().expect("durable");
    let paid = confirm(&engine, &late).top_up;
    assert_eq!((paid.status(), paid.credit), (Status::Completed, Credit::Refused(Amount::new(1_000))));
    let returned = refund(&engine, &late, "r", 1_999).top_up;
    assert_eq!((returned.status(), returned.to_claw_back), (Status::Refunded, Amount::ZERO));
    let digest = engine.digest();
    engine.close().expect("a healthy log");
    drop(engine);
    let engine = open_on(medium, &clock);
    assert_eq!((engine.digest(), balance(&engine)), (digest, 0));
    check_sound(&engine);
}

#[test]
fn a_currency_that_is_sold_keeps_its_scale() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let engine = open_on(medium, &clock);
    drop(engine.put_currency(currency("credits", CurrencyKind::Unit)).expect("a currency"));
    let finer = || CurrencySpec { scale: 3, ..currency("credits", CurrencyKind::Unit) };
    drop(engine.put_currency(finer()).expect("nobody uses it"));
    drop(engine.put_package(&package("starter", 1_000, 1_999), Some("credits")).expect("a package"));
    let coarser = CurrencySpec { scale: 0, ..finer() };
    let refused = engine.put_currency(coarser).expect_err("a package has credits of it");
    assert!(matches!(refused, CommandError::FieldConflict { slug: "currency_in_use", .. }), "{refused:?}");
}

#[test]
fn time_is_over_and_the_money_comes_all_the_same() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let engine = open_on(medium, &clock);
    set_up(&engine).expect("a healthy log");
    let id = buy(&engine).top_up.id;
    clock.set(at(BEGIN + 299_999));
    drop(engine.expire_top_ups().expect("a healthy engine"));
    assert_eq!(engine.top_up(&id).expect("it is there").top_up.status(), Status::Created);
    clock.set(at(BEGIN + 300_000));
    drop(engine.expire_top_ups().expect("a healthy engine"));
    assert_eq!(engine.top_up(&id).expect("it is there").top_up.status(), Status::Expired);
    confirm(&engine, &id);
    confirm(&engine, &id);
    assert_eq!(balance(&engine), 1_000);
    let expected = ["top_up.created", "top_up.expired", "top_up.completed", "invoice.paid"];
    assert_eq!(of_money(&told(&engine)), expected);
}

/// What a story of one purchase does; whatever it has done already it does again to no effect.
fn story(engine: &Engine, filler: usize) -> i64 {
    let metadata = Metadata::from([("f".to_owned(), "x".repeat(filler))]);
    let request = TopUpRequest { metadata, ..request("starter") };
    let id = engine.create_top_up(&request).expect("a top-up").0.top_up.id;
    confirm(engine, &id);
    debit(engine, "e1", 600);
    refund(engine, &id, "r1", 667);
    refund(engine, &id, "r2", 700);
    balance(engine)
}

/// What may be there when the story was cut: in this order, and with nothing half done.
const BALANCES: [i64; 5] = [0, 1_000, 400, 400 - 333, 400 - 683];

#[track_caller]
fn check_cut(left: &Disk, clock: &Arc<ManualClock>, filler: usize, depth: u32) {
    let engine = open_on(left.medium(), clock);
    let found = balance(&engine);
    assert!(BALANCES.contains(&found), "{found}");
    let top_ups = engine.top_ups(None, None, 10);
    assert!(top_ups.len() <= 1);
    for TopUpView { top_up, .. } in top_ups {
        // Opening has made up for what the cut kept from being done.
        let credited = if top_up.status().is_paid() { 1_000 } else { 0 };
        assert_eq!(top_up.credit.amount(), Amount::new(credited));
        assert!(!matches!(top_up.credit, Credit::Due(_)), "{:?}", top_up.credit);
        assert_eq!(top_up.clawed_back, top_up.to_claw_back);
        let spent = if found >= 1_000 || found == 0 { 0 } else { 600 };
        assert_eq!(found, credited - spent - top_up.clawed_back.units());
    }
    if depth > 0 {
        // What opening has done may be cut as well.
        let (durable, tail) = (engine.log().durable().get(), engine.log().tail().get());
        for sector in durable / 512..=tail / 512 {
            let left = left.crash_keeping(sector * 512 / SEGMENT_BYTES, sector * 512 % SEGMENT_BYTES);
            check_cut(&left, clock, filler, depth - 1);
        }
    }
    assert_eq!(story(&engine, filler), BALANCES[4], "told to its end");
    // Numbers have no gaps, whatever was cut.
    let invoice = engine.invoice(Number(1)).expect("the first");
    assert_eq!(invoice.notes.iter().map(|note| note.number.0).collect::<Vec<_>>(), [1, 2]);
    assert!(engine.invoice(Number(2)).is_err());
    engine.barrier().wait().expect("durable");
    check_sound(&engine);
    let digest = engine.digest();
    engine.close().expect("a healthy log");
    drop(engine);
    assert_eq!(open_on(left.medium(), clock).digest(), digest);
}

#[test]
fn a_purchase_cut_anywhere_credits_once_and_takes_back_once() {
    // Longer and shorter records, so that the ends of sectors fall between all of them.
    for filler in [1, 75, 180, 270, 340, 450] {
        let (disk, clock) = (Disk::new(), Arc::new(ManualClock::new(at(BEGIN))));
        let engine = open_on(disk.medium(), &clock);
        set_up(&engine).expect("a healthy log");
        let durable = engine.log().durable().get();
        assert_eq!(story(&engine, filler), BALANCES[4]);
        let tail = engine.log().tail().get();
        assert!(tail - durable > 2_048, "{tail} - {durable}: something was synced meanwhile");
        for sector in durable / 512..=tail / 512 {
            let left = disk.crash_keeping(sector * 512 / SEGMENT_BYTES, sector * 512 % SEGMENT_BYTES);
            check_cut(&left, &clock, filler, 1);
        }
    }
}

/// Fills what is left of the log's segment.
pub(crate) fn seal_segment(engine: &Engine) {
    let segment = |lsn: Lsn| lsn.get() / SEGMENT_BYTES;
    let before = segment(engine.log().tail());
    while segment(engine.log().durable()) == before {
        let key = ApiKeyRecord {
            id: "filler".to_owned(),
            name: "n".repeat(128),
            live: false,
            scopes: 0,
            hash: [0; 32],
            created_ms: BEGIN,
            revoked: true,
        };
        let tickets: Vec<_> = (0..16).map(|_| engine.put_api_key(key.clone()).expect("a healthy engine")).collect();
        for ticket in tickets {
            ticket.wait().expect("durable");
        }
    }
}

#[test]
fn snapshots_hold_all_of_it() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let mut engine = open_on(medium.clone(), &clock);
    set_up(&engine).expect("a healthy log");
    drop(engine.set_recharge("credits", Some("starter")).expect("a base package"));
    drop(engine.add_payment_method(card("pm_1", "fp")).expect("a card"));
    let form = DepositForm {
        id: "shop".to_owned(),
        title: "Pay in".to_owned(),
        accepts: vec![Accepted { currency: CurrencyNumber(0), address: Some("DE00".to_owned()) }],
        return_url: None,
        expiry_ms: None,
        archived: false,
        metadata: Metadata::new(),
    };
    drop(engine.put_deposit_form(form.clone()).expect("a form"));
    for round in 0..3 {
        let key = Some(format!("round-{round}"));
        let base = TopUpRequest { package: None, key, ..request("starter") };
        let id = engine.create_top_up(&base).expect("a top-up").0.top_up.id;
        confirm(&engine, &id);
        refund(&engine, &id, "r", 100 * (round + 1));
        seal_segment(&engine);
        engine.snapshot_now().expect("a snapshot").expect("a segment is sealed");
        let last = buy(&engine).top_up.id;
        let digest = engine.digest();
        engine.close().expect("a healthy log");
        drop(engine);
        engine = open_on(medium.clone(), &clock);
        assert_eq!(engine.digest(), digest, "round {round}");
        assert_eq!(engine.top_up(&last).expect("it is there").top_up.status(), Status::Created);
        assert_eq!(engine.payment_methods("ada").len(), 1);
        assert_eq!(*engine.deposit_form("shop").expect("it is there"), form);
    }
    assert_eq!(engine.top_ups(None, None, 10).len(), 4, "three, and the one that was asked for again and again");
    assert_eq!(engine.invoice(Number(3)).expect("the third").status(), InvoiceStatus::Paid);
}

fn rule(threshold: i64) -> Rule {
    Rule {
        customer: "ada".to_owned(),
        currency: CurrencyNumber(0),
        enabled: true,
        threshold: Amount::new(threshold),
        trigger: Trigger::Below,
        mode: Mode::Package { package: "starter".to_owned(), quantity: 1 },
        cooldown_ms: 0,
        limits: vec![Limit { per: Per::Day, count: Some(2), amount: None }],
        method: None,
        priority: None,
        valid_for_ms: None,
    }
}

/// The charge that is the only work.
#[track_caller]
fn charge_of(work: &[Work]) -> String {
    let [Work { top_up, command: Command::Charge { method, money }, provider }] = work else { panic!("{work:?}") };
    assert_eq!((method.as_str(), *money, provider.as_str()), ("pm_1", euros(1_999), "simulated"));
    top_up.clone()
}

pub(crate) fn outcome(engine: &Engine, id: &str, outcome: Outcome) -> TopUpView {
    engine.top_up_event(id, &Event::Outcome(outcome)).expect("it is taken").0
}

fn succeeded(id: &str) -> Outcome {
    Outcome::Succeeded { reference: format!("pi_{id}"), money: euros(1_999), method: None }
}

#[test]
fn a_rule_buys_once_backs_off_and_goes_on_with_another_card() {
    let midnight = (BEGIN / DAY + 1) * DAY;
    let (clock, medium) = (Arc::new(ManualClock::new(at(midnight))), Arc::new(Heap::new()));
    let mut engine = open_on(medium.clone(), &clock);
    set_up(&engine).expect("a healthy log");
    let id = buy(&engine).top_up.id;
    confirm(&engine, &id);
    let view = engine.put_rule(rule(500)).expect("a rule").0;
    assert_eq!((view.status, work(&engine)), (RuleStatus::Armed, Vec::new()));
    debit(&engine, "e1", 600);
    let evaluate = |engine: &Engine| {
        drop(engine.evaluate_rule("ada", CurrencyNumber(0)).expect("a healthy engine"));
        work(engine)
    };
    assert_eq!(evaluate(&engine), [], "there is no card");
    drop(engine.add_payment_method(card("pm_1", "fp1")).expect("a card"));
    assert_eq!(engine.take_work(), [], "the intent is not durable yet");
    let first = charge_of(&work(&engine));
    assert_eq!(evaluate(&engine), [], "one is in flight");
    // What was not answered is found again after a crash.
    engine.close().expect("a healthy log");
    drop(engine);
    engine = open_on(medium.clone(), &clock);
    assert_eq!(charge_of(&evaluate(&engine)), first);
    let view = outcome(&engine, &first, Outcome::Declined { code: "card_declined".to_owned(), hard: false });
    assert_eq!((view.top_up.status(), work(&engine)), (Status::Failed, Vec::new()));
    assert_eq!(engine.rule("ada", "credits").expect("it is there").status, RuleStatus::Cooling);
    clock.set(at(midnight + HOUR));
    let second = charge_of(&evaluate(&engine));
    outcome(&engine, &second, Outcome::Declined { code: "stolen_card".to_owned(), hard: true });
    assert_eq!(engine.rule("ada", "credits").expect("it is there").status, RuleStatus::Suspended);
    clock.set(at(midnight + 20 * HOUR));
    assert_eq!(evaluate(&engine), []);
    // Late, and of the first one: it is credited, and lifts the suspension. The balance is 1400 then.
    outcome(&engine, &first, succeeded(&first));
    assert_eq!((balance(&engine), work(&engine)), (1_400, Vec::new()));
    debit(&engine, "e2", 1_000);
    let third = charge_of(&evaluate(&engine));
    outcome(&engine, &third, succeeded(&third));
    assert_eq!((balance(&engine), work(&engine)), (1_400, Vec::new()));
    debit(&engine, "e3", 1_000);
    assert_eq!(evaluate(&engine), [], "two a day");
    assert_eq!(evaluate(&engine), []);
    let kinds = told(&engine);
    assert_eq!(kinds.iter().filter(|kind| **kind == "auto_top_up.skipped").count(), 3, "no card, back-off, limit");
    clock.set(at(midnight + DAY));
    let fourth = charge_of(&evaluate(&engine));
    let event = Event::Refund { key: "re_1".to_owned(), money: euros(1_999), report: RefundReport::Succeeded };
    outcome(&engine, &fourth, succeeded(&fourth));
    engine.top_up_event(&fourth, &event).expect("it is taken").1.wait().expect("durable");
    assert_eq!(balance(&engine), 400);
    let digest = engine.digest();
    engine.close().expect("a healthy log");
    drop(engine);
    let engine = open_on(medium, &clock);
    assert_eq!(engine.digest(), digest);
    check_sound(&engine);
}

/// A customer or a currency that was archived takes no new credits; the rules that there were went on charging cards for them.
#[test]
fn a_rule_charges_nobody_for_what_is_archived_and_goes_on_when_it_is_taken_up_again() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let engine = open_on(medium, &clock);
    set_up(&engine).expect("a healthy log");
    drop(engine.add_payment_method(card("pm_1", "fp1")).expect("a card"));
    confirm(&engine, &buy(&engine).top_up.id);
    drop(engine.put_rule(rule(500)).expect("a rule"));
    let customer = |archived| {
        let patch = CustomerPatch { archived: Some(archived), ..CustomerPatch::default() };
        drop(engine.put_customer("ada", &patch).expect("a customer"));
    };
    let currency = |archived| drop(engine.archive_currency("credits", archived).expect("it is there"));
    let package = |archived| {
        let spec = PackageSpec { archived, ..package("starter", 1_000, 1_999) };
        drop(engine.put_package(&spec, Some("credits")).expect("a package"));
    };
    let archives: [(&str, &dyn Fn(bool)); 3] =
        [("customer", &customer), ("currency", &currency), ("package", &package)];
    for (what, archive) in archives {
        archive(true);
        debit(&engine, what, 600);
        drop(engine.evaluate_rule("ada", CurrencyNumber(0)).expect("a healthy engine"));
        assert_eq!(work(&engine), [], "{what}");
        archive(false);
        // No record of the wallet comes.
        drop(engine.evaluate_due().expect("a healthy engine"));
        let charged = charge_of(&work(&engine));
        outcome(&engine, &charged, succeeded(&charged));
        assert_eq!(work(&engine), [], "{what}");
        clock.advance(DAY);
        debit(&engine, &format!("{what} rest"), 400);
    }
    let skipped = told(&engine).iter().filter(|kind| **kind == "auto_top_up.skipped").count();
    assert_eq!(skipped, 3);
    check_sound(&engine);
}
