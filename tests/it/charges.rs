//! Charges whose rest is collected: the wallet pays once, what collects the rest is asked once, and the invoice lists both.

use std::sync::Arc;

use drawdown::billing::invoice::{InvoiceStatus, Number, Payer};
use drawdown::billing::top_up::{Collection, Command, Credit, Event, Kind, Outcome, RefundReport, Status};
use drawdown::engine::billing::{PayRequest, TopUpRequest, TopUpView, Work};
use drawdown::engine::catalog::{CurrencyKind, CurrencySpec};
use drawdown::engine::corrections::view::{ChargeRequest, ChargeView};
use drawdown::engine::customers::{CollectionMethod, CustomerPatch};
use drawdown::engine::view::{GrantOptions, GrantRequest, Metadata};
use drawdown::engine::{CommandError, Engine, ManualClock};
use drawdown::ledger::{Amount, Category, Decimal, Source};
use drawdown_wal::Heap;
use drawdown_wal::sim::Disk;

use crate::billing::{SEGMENT_BYTES, card, check_sound, currency, euros, open_on, told, work};
use crate::books::{BEGIN, at};

/// A wallet of ten euros, a credit a cent.
fn set_up(engine: &Engine) -> Result<(), CommandError> {
    let spec = CurrencySpec { max_balance: None, ..currency("cash", CurrencyKind::Fiat("EUR".to_owned())) };
    engine.put_currency(spec)?.1.wait()?;
    let grant = GrantRequest {
        customer: "ada".to_owned(),
        currency: Some("cash".to_owned()),
        amount: Decimal::from_integer(1_000),
        source: Source::TopUp,
        category: Category::Paid,
        priority: None,
        effective_at: None,
        expires_at: None,
        cost_basis: None,
        key: Some("the first".to_owned()),
        metadata: Metadata::new(),
        options: GrantOptions::default(),
    };
    engine.grant(&[grant])?.1.wait()?;
    Ok(())
}

fn request(amount: i64) -> ChargeRequest {
    ChargeRequest {
        customer: "ada".to_owned(),
        currency: Some("cash".to_owned()),
        amount: Decimal::from_integer(amount),
        invoice: Some("2026-11".to_owned()),
        key: Some("invoice 2026-11".to_owned()),
    }
}

fn charge(engine: &Engine, amount: i64) -> ChargeView {
    engine.charge(&request(amount)).expect("a charge").0
}

fn payment(charge: &ChargeView) -> TopUpView {
    *charge.payment.clone().expect("it is collected")
}

fn balance(engine: &Engine) -> i64 {
    engine.wallet("ada", "cash").map_or(0, |wallet| wallet.balance.units())
}

fn succeed(engine: &Engine, id: &str, cents: i64) {
    let (reference, money) = (format!("pi_{id}"), euros(cents));
    let outcome = Outcome::Succeeded { reference, money, method: None };
    drop(engine.top_up_event(id, &Event::Outcome(outcome)).expect("it is taken"));
}

#[test]
fn the_rest_is_charged_to_the_default_method_and_the_invoice_lists_both() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let mut engine = open_on(medium.clone(), &clock);
    set_up(&engine).expect("a healthy log");
    drop(engine.add_payment_method(card("pm_1", "fp")).expect("a card"));
    let made = charge(&engine, 2_500);
    assert_eq!((made.from_wallet, made.to_pay, balance(&engine)), (Amount::new(1_000), Amount::new(1_500), 0));
    let rest = payment(&made);
    let id = rest.top_up.id.clone();
    assert_eq!((rest.top_up.status(), rest.invoice), (Status::Created, Some(Number(1))));
    assert!(engine.take_work().is_empty(), "the intent is not durable yet");
    let asked = [Work {
        provider: "simulated".to_owned(),
        top_up: id.clone(),
        command: Command::Charge { method: "pm_1".to_owned(), money: euros(1_500) },
    }];
    assert_eq!(work(&engine), asked);
    let invoice = engine.invoice(Number(1)).expect("an invoice");
    assert_eq!((invoice.status(), invoice.total, invoice.due()), (InvoiceStatus::Open, euros(2_500), euros(1_500)));
    // After a crash, and asked again, it is the same.
    engine.close().expect("a healthy log");
    drop(engine);
    engine = open_on(medium.clone(), &clock);
    assert_eq!(work(&engine), asked);
    let (again, is_replayed, _) = engine.charge(&request(2_500)).expect("the same again");
    assert_eq!((payment(&again).top_up.id, is_replayed, work(&engine)), (id.clone(), true, Vec::new()));
    succeed(&engine, &id, 1_500);
    succeed(&engine, &id, 1_500);
    let paid = engine.top_up(&id).expect("it is there").top_up;
    assert_eq!((paid.status(), paid.credit, balance(&engine)), (Status::Completed, Credit::None, 0));
    let invoice = engine.invoice(Number(1)).expect("an invoice");
    let parts: Vec<_> = invoice.paid.iter().map(|paid| (paid.by.clone(), paid.money)).collect();
    let by_card =
        Payer::Method { id: "pm_1".to_owned(), brand: Some("visa".to_owned()), last4: Some("4242".to_owned()) };
    assert_eq!(parts, [(Payer::Wallet(Amount::new(1_000)), euros(1_000)), (by_card, euros(1_500))]);
    assert_eq!(invoice.status(), InvoiceStatus::Paid);
    // Money that goes back takes no credits along.
    let back = Event::Refund { key: "re".to_owned(), money: euros(500), report: RefundReport::Succeeded };
    drop(engine.top_up_event(&id, &back).expect("it is taken"));
    assert_eq!((balance(&engine), engine.invoice(Number(1)).expect("an invoice").notes.len()), (0, 1));
    let kinds = told(&engine);
    assert_eq!(kinds.iter().filter(|kind| **kind == "invoice.paid").count(), 1);
    assert_eq!(kinds.iter().filter(|kind| **kind == "top_up.completed").count(), 1);
    let shown = engine.charge_view(&engine.charge_text(made.entry)).expect("a charge");
    assert_eq!(payment(&shown).top_up.status(), Status::PartiallyRefunded);
    let digest = engine.digest();
    engine.close().expect("a healthy log");
    drop(engine);
    let engine = open_on(medium, &clock);
    assert_eq!(engine.digest(), digest);
    assert_eq!(engine.top_up(&id).expect("it is there").invoice, Some(Number(1)));
    check_sound(&engine);
}

#[test]
fn who_has_no_card_pays_on_a_page_and_a_decline_leaves_the_rest_open() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let engine = open_on(medium, &clock);
    set_up(&engine).expect("a healthy log");
    let rest = payment(&charge(&engine, 2_500)).top_up;
    assert_eq!((rest.collection, rest.saves_method), (Collection::Checkout, true));
    assert!(matches!(work(&engine).as_slice(), [Work { command: Command::OpenCheckout { .. }, .. }]));
    clock.set(at(BEGIN + 300_000));
    drop(engine.expire_top_ups().expect("a healthy engine"));
    assert_eq!(engine.top_up(&rest.id).expect("it is there").top_up.status(), Status::Expired);
    let open = engine.invoice(Number(1)).expect("an invoice");
    assert_eq!((open.status(), open.due()), (InvoiceStatus::Open, euros(1_500)));
    // It is paid after all.
    succeed(&engine, &rest.id, 1_500);
    assert_eq!(engine.invoice(Number(1)).expect("an invoice").status(), InvoiceStatus::Paid);
    assert_eq!(balance(&engine), 0);
    check_sound(&engine);
}

#[test]
fn who_is_sent_invoices_gets_one_that_says_what_the_wallet_paid() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let engine = open_on(medium, &clock);
    set_up(&engine).expect("a healthy log");
    let patch = CustomerPatch { collection_method: Some(CollectionMethod::SendInvoice), ..CustomerPatch::default() };
    drop(engine.put_customer("ada", &patch).expect("a customer"));
    let rest = payment(&charge(&engine, 1_001)).top_up;
    assert_eq!((rest.collection, rest.expires_at), (Collection::Invoice, None));
    let confirm = Event::Confirm { key: "transfer".to_owned(), money: euros(1), is_last: false };
    drop(engine.top_up_event(&rest.id, &confirm).expect("it is taken"));
    let invoice = engine.invoice(Number(1)).expect("an invoice");
    assert_eq!(
        (invoice.status(), invoice.paid.len(), invoice.paid[1].by.clone()),
        (InvoiceStatus::Paid, 2, Payer::Offline)
    );
    assert!(engine.invoice(Number(2)).is_err());
    check_sound(&engine);
}

#[test]
fn nothing_is_collected_where_nothing_is_left_or_credits_are_no_money() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let engine = open_on(medium, &clock);
    set_up(&engine).expect("a healthy log");
    assert_eq!(charge(&engine, 1_000).payment, None);
    assert!(engine.invoice(Number(1)).is_err());
    crate::billing::set_up(&engine).expect("a healthy log");
    crate::billing::confirm(&engine, &crate::billing::buy(&engine).top_up.id);
    let of_units = ChargeRequest { currency: Some("credits".to_owned()), key: None, ..request(1_500) };
    let made = engine.charge(&of_units).expect("a charge").0;
    assert_eq!((made.to_pay, made.payment), (Amount::new(500), None));
}

fn decline(engine: &Engine, id: &str) {
    let outcome = Outcome::Declined { code: "card_declined".to_owned(), hard: false };
    drop(engine.top_up_event(id, &Event::Outcome(outcome)).expect("it is taken"));
}

#[track_caller]
fn conflict<T: std::fmt::Debug>(outcome: Result<T, CommandError>) -> &'static str {
    match outcome.expect_err("it is refused") {
        CommandError::Conflict { slug, .. } => slug,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_invoice(engine: &Engine, number: u64, status: InvoiceStatus, due: i64) {
    let invoice = engine.invoice(Number(number)).expect("an invoice");
    assert_eq!((invoice.status(), invoice.due()), (status, euros(due)));
}

fn reopen(engine: Engine, medium: &Arc<Heap>, clock: &Arc<ManualClock>) -> Engine {
    check_sound(&engine);
    let digest = engine.digest();
    engine.close().expect("a healthy log");
    drop(engine);
    let engine = open_on(medium.clone(), clock);
    assert_eq!(engine.digest(), digest);
    engine
}

#[test]
fn a_rest_that_was_declined_is_tried_again_and_never_beside_one_that_may_be_paid() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let mut engine = open_on(medium.clone(), &clock);
    set_up(&engine).expect("a healthy log");
    drop(engine.add_payment_method(card("pm_1", "fp")).expect("a card"));
    let first = payment(&charge(&engine, 2_500)).top_up.id;
    let again = PayRequest { key: Some("second try".to_owned()), ..PayRequest::default() };
    assert_eq!(conflict(engine.pay_invoice(Number(1), &again)), "payment_under_way");
    decline(&engine, &first);
    check_invoice(&engine, 1, InvoiceStatus::Open, 1_500);
    drop(engine.add_payment_method(card("pm_2", "fp2")).expect("a card"));
    let by_other = PayRequest { method: Some("pm_2".to_owned()), ..again.clone() };
    let (second, is_known, _) = engine.pay_invoice(Number(1), &by_other).expect("a payment");
    assert_eq!((second.top_up.method.as_deref(), second.invoice, is_known), (Some("pm_2"), Some(Number(1)), false));
    let asked = Command::Charge { method: "pm_2".to_owned(), money: euros(1_500) };
    assert!(work(&engine).iter().any(|work| work.top_up == second.top_up.id && work.command == asked));
    let (known, is_known, _) = engine.pay_invoice(Number(1), &by_other).expect("the same again");
    assert_eq!((known.top_up.id, is_known), (second.top_up.id.clone(), true));
    let other = PayRequest { method: Some("pm_1".to_owned()), ..again.clone() };
    assert_eq!(conflict(engine.pay_invoice(Number(1), &other)), "idempotency_conflict");
    // One whose answer is lost may have been paid, in this life of the server and in the next.
    drop(engine.top_up_event(&second.top_up.id, &Event::Outcome(Outcome::Unknown)).expect("it is taken"));
    engine = reopen(engine, &medium, &clock);
    let third = PayRequest { key: None, ..PayRequest::default() };
    assert_eq!(conflict(engine.pay_invoice(Number(1), &third)), "payment_under_way");
    succeed(&engine, &second.top_up.id, 1_500);
    check_invoice(&engine, 1, InvoiceStatus::Paid, 0);
    assert_eq!(conflict(engine.pay_invoice(Number(1), &third)), "invoice_paid");
    clock.set(at(BEGIN + 1));
    // The bank has the first one paid all the same: that is money beside the invoice, and goes back beside it.
    succeed(&engine, &first, 1_500);
    let back = Event::Refund { key: "re".to_owned(), money: euros(1_500), report: RefundReport::Succeeded };
    drop(engine.top_up_event(&first, &back).expect("it is taken"));
    let invoice = engine.invoice(Number(1)).expect("an invoice");
    assert_eq!((invoice.status(), invoice.paid.len(), invoice.notes.len()), (InvoiceStatus::Paid, 2, 0));
    crate::billing::seal_segment(&engine);
    engine.snapshot_now().expect("a snapshot").expect("a segment is sealed");
    engine = reopen(engine, &medium, &clock);
    for id in [&first, &second.top_up.id] {
        assert_eq!(engine.top_up(id).expect("it is there").invoice, Some(Number(1)));
    }
    assert!(engine.pay_invoice(Number(2), &third).is_err());
    assert_eq!((balance(&engine), told(&engine).iter().filter(|kind| **kind == "invoice.paid").count()), (0, 1));
}

#[test]
fn what_is_entered_on_an_invoice_is_what_came() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let engine = open_on(medium.clone(), &clock);
    set_up(&engine).expect("a healthy log");
    crate::billing::set_up(&engine).expect("a healthy log");
    let by_invoice =
        CustomerPatch { collection_method: Some(CollectionMethod::SendInvoice), ..CustomerPatch::default() };
    drop(engine.put_customer("ada", &by_invoice).expect("a customer"));
    // A purchase that settles for less: another invoice says what it came to, and the one that was sent is void.
    let order = TopUpRequest {
        kind: Kind::Manual,
        collection: Some(Collection::Invoice),
        ..crate::billing::request("starter")
    };
    let bought = engine.create_top_up(&order).expect("a top-up").0;
    check_invoice(&engine, 1, InvoiceStatus::Open, 1_999);
    let part = |cents| Event::Confirm { key: format!("transfer {cents}"), money: euros(cents), is_last: true };
    drop(engine.top_up_event(&bought.top_up.id, &part(1_000)).expect("it is taken"));
    check_invoice(&engine, 1, InvoiceStatus::Void, 1_999);
    check_invoice(&engine, 2, InvoiceStatus::Paid, 0);
    assert_eq!(engine.invoice(Number(2)).expect("an invoice").total, euros(1_000));
    let shown = engine.top_up(&bought.top_up.id).expect("it is there");
    assert_eq!((shown.invoice, shown.top_up.credit.amount()), (Some(Number(2)), Amount::new(500)));
    // The rest of a charge of which less has come stays owed, and can be paid.
    let rest = payment(&charge(&engine, 2_500)).top_up;
    drop(engine.top_up_event(&rest.id, &part(500)).expect("it is taken"));
    check_invoice(&engine, 3, InvoiceStatus::Open, 1_000);
    let (more, ..) = engine.pay_invoice(Number(3), &PayRequest::default()).expect("a payment");
    assert_eq!((more.top_up.collection, more.top_up.purchase.price), (Collection::Invoice, Some(euros(1_000))));
    drop(engine.top_up_event(&more.top_up.id, &part(1_001)).expect("it is taken"));
    check_invoice(&engine, 3, InvoiceStatus::Paid, 0);
    let paid: Vec<_> = engine.invoice(Number(3)).expect("an invoice").paid.iter().map(|paid| paid.money).collect();
    assert_eq!(paid, [euros(1_000), euros(500), euros(1_000)]);
    // What goes back of the first part is noted.
    let back = Event::AskRefund { key: "back".to_owned(), money: None };
    drop(engine.top_up_event(&rest.id, &back).expect("it is taken"));
    let notes: Vec<_> = engine.invoice(Number(3)).expect("an invoice").notes.iter().map(|note| note.money).collect();
    assert_eq!(notes, [euros(500)]);
    assert_eq!(conflict(engine.pay_invoice(Number(2), &PayRequest::default())), "invoice_of_top_up");
    check_sound(&reopen(engine, &medium, &clock));
}

/// What a story does; whatever it has done already it does again to no effect.
fn story(engine: &Engine) {
    let rest = payment(&charge(engine, 2_500));
    succeed(engine, &rest.top_up.id, 1_500);
}

/// Nobody asks a second time, and the rest is collected all the same wherever the server died behind the wallet's part.
#[test]
fn a_charge_cut_anywhere_has_its_rest_collected_without_being_asked_for_again() {
    let mut made_up_for = 0;
    for filler in 1..=24 {
        let (disk, clock) = (Disk::new(), Arc::new(ManualClock::new(at(BEGIN))));
        let engine = open_on(disk.medium(), &clock);
        set_up(&engine).expect("a healthy log");
        engine.add_payment_method(card("pm_1", "fp")).expect("a card").1.wait().expect("durable");
        let durable = engine.log().durable().get();
        // Records that end in other places of their sectors.
        let request = ChargeRequest { key: Some("x".repeat(filler * 10)), ..request(2_500) };
        let made = engine.charge(&request).expect("a charge").0;
        let tail = engine.log().tail().get();
        for sector in durable / 512..=tail / 512 {
            let left = disk.crash_keeping(sector * 512 / SEGMENT_BYTES, sector * 512 % SEGMENT_BYTES);
            let engine = open_on(left.medium(), &clock);
            let (found, views) = (balance(&engine), engine.top_ups(None, None, 10));
            assert_eq!((views.len(), found), if found == 0 { (1, 0) } else { (0, 1_000) });
            // The last frame is the one that says what collects it: that was cut, and there is one all the same.
            made_up_for += u32::from(sector * 512 < tail && !views.is_empty());
            if let Some(view) = views.first() {
                let kind = Kind::Charge { entry: made.entry.get() };
                assert_eq!((view.top_up.kind, view.invoice), (kind, Some(Number(1))));
                assert_eq!(work(&engine).len(), 1);
                let (again, is_known, _) = engine.charge(&request).expect("the same again");
                assert_eq!((payment(&again).top_up.id, is_known), (view.top_up.id.clone(), true));
            }
            engine.barrier().wait().expect("durable");
            check_sound(&engine);
            let digest = engine.digest();
            engine.close().expect("a healthy log");
            drop(engine);
            assert_eq!(open_on(left.medium(), &clock).digest(), digest);
        }
    }
    assert!(made_up_for > 0, "no cut came between the wallet's part and the rest");
}

#[test]
fn a_charge_cut_anywhere_is_paid_once_by_both() {
    let (disk, clock) = (Disk::new(), Arc::new(ManualClock::new(at(BEGIN))));
    let engine = open_on(disk.medium(), &clock);
    set_up(&engine).expect("a healthy log");
    engine.add_payment_method(card("pm_1", "fp")).expect("a card").1.wait().expect("durable");
    let durable = engine.log().durable().get();
    story(&engine);
    let tail = engine.log().tail().get();
    for sector in durable / 512..=tail / 512 {
        let left = disk.crash_keeping(sector * 512 / SEGMENT_BYTES, sector * 512 % SEGMENT_BYTES);
        let engine = open_on(left.medium(), &clock);
        assert!([1_000, 0].contains(&balance(&engine)));
        story(&engine);
        assert_eq!((engine.top_ups(None, None, 10).len(), balance(&engine)), (1, 0));
        let invoice = engine.invoice(Number(1)).expect("an invoice");
        assert_eq!((invoice.status(), invoice.paid.len()), (InvoiceStatus::Paid, 2));
        assert!(engine.invoice(Number(2)).is_err());
        engine.barrier().wait().expect("durable");
        check_sound(&engine);
    }
}
