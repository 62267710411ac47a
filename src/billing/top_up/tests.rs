use super::super::money::tests::euros;
use super::super::money::{Money, MoneyCode, Worth};
use super::super::tests::fiat;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const CREDITS: i64 = 1_000;
const PRICE: i64 = 1_999;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + millis)
}

fn purchase() -> Purchase {
    Purchase {
        package: Some("starter".to_owned()),
        quantity: 1,
        price: Some(euros(PRICE)),
        goods: Goods::Fixed(Amount::new(CREDITS)),
        source: Source::Package,
        priority: 50,
        valid_for_ms: None,
    }
}

fn new(collection: Collection) -> NewTopUp {
    NewTopUp {
        id: "top_1".to_owned(),
        customer: "cus_1".to_owned(),
        currency: CurrencyNumber(0),
        kind: Kind::Manual,
        purchase: purchase(),
        collection,
        provider: "simulated".to_owned(),
        method: (collection == Collection::Charge).then(|| "pm_1".to_owned()),
        saves_method: false,
        credits_at_once: false,
        return_url: None,
        address: None,
        expiry_ms: None,
        key: None,
        metadata: Metadata::new(),
    }
}

fn made(collection: Collection) -> TopUp {
    create(new(collection), at(0)).expect("a top-up").top_up
}

/// A deposit of any amount in cents, each worth a credit.
fn open_deposit(price: Option<Money>) -> TopUp {
    let worth = Worth::of_fiat(&fiat("EUR", 0)).expect("a fiat denomination");
    let purchase = Purchase { package: None, price, goods: Goods::Worth(worth), source: Source::TopUp, ..purchase() };
    let deposit =
        NewTopUp { kind: Kind::Deposit, purchase, address: Some("DE00".to_owned()), ..new(Collection::Outside) };
    create(deposit, at(0)).expect("a deposit").top_up
}

fn paid(reference: &str, cents: i64) -> Event {
    Event::Outcome(Outcome::Succeeded { reference: reference.to_owned(), money: euros(cents), method: None })
}

fn declined() -> Event {
    Event::Outcome(Outcome::Declined { code: "card_declined".to_owned(), hard: false })
}

fn action() -> Event {
    Event::Outcome(Outcome::RequiresAction { url: Some("https://bank.example/3ds".to_owned()) })
}

fn refund(key: &str, cents: i64, report: RefundReport) -> Event {
    Event::Refund { key: key.to_owned(), money: euros(cents), report }
}

fn ask(key: &str, cents: Option<i64>) -> Event {
    Event::AskRefund { key: key.to_owned(), money: cents.map(euros) }
}

fn confirm(key: &str, cents: i64, is_last: bool) -> Event {
    Event::Confirm { key: key.to_owned(), money: euros(cents), is_last }
}

const PROCESSING: Event = Event::Outcome(Outcome::Processing);
const UNKNOWN: Event = Event::Outcome(Outcome::Unknown);

/// Applies events, a second apart, and gives the last step.
#[track_caller]
fn run(top_up: &TopUp, events: &[Event]) -> Step {
    let mut step = Step { top_up: top_up.clone(), path: Vec::new(), effects: Vec::new(), oddity: None };
    for (number, event) in (1..).zip(events) {
        step = step.top_up.apply(event, at(number * 1_000)).expect("the event is taken");
    }
    step
}

#[track_caller]
fn check(collection: Collection, events: &[Event], status: Status) -> TopUp {
    let top_up = run(&made(collection), events).top_up;
    assert_eq!(top_up.status(), status, "{events:?}");
    top_up
}

#[track_caller]
fn check_refused(top_up: &TopUp, event: &Event, refusal: Refusal) {
    assert_eq!(top_up.apply(event, at(9_000)), Err(refusal));
}

fn granted(top_up: &TopUp) -> TopUp {
    run(top_up, &[Event::Credited { grant: GrantId::new(7) }]).top_up
}

#[test]
fn a_charge_is_sent_and_its_success_grants_in_the_same_step() {
    let step = create(new(Collection::Charge), at(0)).expect("a top-up");
    let charge = Command::Charge { method: "pm_1".to_owned(), money: euros(PRICE) };
    assert_eq!(step.effects, [Effect::Provider(charge), Effect::Tell(News::Created)]);
    assert_eq!(step.top_up.in_flight(), Amount::new(CREDITS));
    let step = run(&step.top_up, &[paid("pi_1", PRICE)]);
    let order = CreditOrder {
        amount: Amount::new(CREDITS),
        source: Source::Package,
        priority: 50,
        valid_for_ms: None,
        cost: Some(euros(PRICE)),
    };
    let expected = [Effect::Credit(order), Effect::IssueInvoice { paid: true }, Effect::Tell(News::Completed)];
    assert_eq!((step.effects.as_slice(), step.path.as_slice()), (expected.as_slice(), [Status::Completed].as_slice()));
    assert_eq!(step.top_up.credit, Credit::Due(Amount::new(CREDITS)));
    assert_eq!((step.top_up.captured, step.top_up.completed_at), (Some(euros(PRICE)), Some(at(1_000))));
    assert_eq!(step.top_up.in_flight(), Amount::new(CREDITS), "until they are granted");
    assert_eq!(granted(&step.top_up).in_flight(), Amount::ZERO);
    let again = run(&step.top_up, &[paid("pi_1", PRICE)]);
    assert_eq!((again.top_up, again.effects), (step.top_up, Vec::new()));
}

#[test]
fn outcomes_lead_where_the_table_says() {
    use Collection::{Charge, Checkout};
    check(Charge, &[PROCESSING], Status::Processing);
    check(Charge, &[PROCESSING, action()], Status::Processing);
    check(Charge, &[action(), PROCESSING, declined()], Status::Failed);
    check(Charge, &[action(), declined()], Status::Failed);
    check(Charge, &[declined(), PROCESSING], Status::Failed);
    check(Charge, &[declined(), action()], Status::Failed);
    check(Charge, &[paid("a", PRICE), PROCESSING, declined(), action()], Status::Completed);
    check(Checkout, &[declined(), declined()], Status::Created);
    check(Checkout, &[action(), declined()], Status::Created);
    check(Checkout, &[PROCESSING, declined()], Status::Failed);
    check(Checkout, &[Event::CheckoutClosed], Status::Expired);
    check(Checkout, &[PROCESSING, Event::CheckoutClosed], Status::Processing);
    check(Charge, &[Event::CheckoutClosed], Status::Created);
}

#[test]
fn a_success_counts_however_late_it_comes() {
    let expired = run(&made(Collection::Checkout), &[]).top_up.apply(&Event::Expire, at(300_000)).expect("due");
    let withdraw = Effect::Provider(Command::Withdraw);
    assert_eq!(expired.effects, [withdraw.clone(), Effect::Tell(News::Expired)]);
    let canceled = run(&made(Collection::Checkout), &[Event::Cancel]);
    assert_eq!(canceled.effects, [withdraw, Effect::Tell(News::Canceled)]);
    let failed = run(&made(Collection::Charge), &[declined()]);
    assert_eq!(failed.effects, [Effect::Tell(News::Failed)]);
    for ended in [expired.top_up, canceled.top_up, failed.top_up] {
        let step = run(&ended, &[paid("late", PRICE)]);
        assert!(matches!(step.effects.first(), Some(Effect::Credit(order)) if order.amount == Amount::new(CREDITS)));
        assert_eq!(step.top_up.status(), Status::Completed);
        assert!(run(&step.top_up, &[paid("late", PRICE)]).effects.is_empty());
    }
}

#[test]
fn what_may_have_been_charged_neither_expires_nor_is_called_off() {
    let charge = made(Collection::Charge);
    let step = charge.apply(&Event::Expire, at(300_000)).expect("due");
    assert_eq!((step.top_up, step.effects), (charge.clone(), Vec::new()));
    assert_eq!(charge.questions(), [Command::Lookup]);
    check_refused(&charge, &Event::Cancel, Refusal::UnderWay);
    let processing = check(Collection::Checkout, &[PROCESSING], Status::Processing);
    check_refused(&processing, &Event::Cancel, Refusal::UnderWay);
    assert!(processing.apply(&Event::Expire, at(900_000)).expect("due").effects.is_empty());
    let doubtful = check(Collection::Checkout, &[UNKNOWN], Status::Created);
    assert!(doubtful.in_doubt);
    check_refused(&doubtful, &Event::Cancel, Refusal::UnderWay);
    // What asks for 3-D Secure has not been charged.
    let waiting = check(Collection::Charge, &[UNKNOWN, action()], Status::RequiresAction);
    assert_eq!(run(&waiting, &[Event::Cancel]).top_up.status(), Status::Canceled);
}

/// Whether what was given up was paid is asked until it is known, or it is paid.
#[test]
fn what_was_given_up_is_asked_after_until_the_provider_says_no() {
    let acting = run(&made(Collection::Charge), &[action()]).top_up;
    let canceled = run(&acting, &[Event::Cancel]).top_up;
    let expired = made(Collection::Checkout).apply(&Event::Expire, at(300_000)).expect("due").top_up;
    for ended in [canceled, expired] {
        assert_eq!(ended.questions(), [Command::Withdraw]);
        assert_eq!(ended.resume(), [Effect::Provider(Command::Withdraw)]);
        for still in [PROCESSING, action(), UNKNOWN] {
            assert_eq!(run(&ended, std::slice::from_ref(&still)).top_up, ended, "{still:?}");
        }
        for no in [declined(), Event::CheckoutClosed] {
            let settled = run(&ended, std::slice::from_ref(&no)).top_up;
            assert_eq!((settled.status(), settled.questions()), (ended.status(), Vec::new()), "{no:?}");
            // It moves on after all.
            assert_eq!(run(&settled, &[PROCESSING]).top_up.questions(), [Command::Withdraw]);
        }
        let paid = run(&ended, &[paid("late", PRICE)]).top_up;
        assert_eq!((paid.status(), paid.questions()), (Status::Completed, Vec::new()));
    }
    assert_eq!(run(&made(Collection::Outside), &[Event::Cancel]).top_up.questions(), []);
    let asked = granted(&run(&made(Collection::Charge), &[paid("pi", PRICE), ask("r", Some(5))]).top_up);
    assert_eq!(asked.questions(), [Command::LookupRefund { key: "r".to_owned(), money: euros(5) }]);
}

#[test]
fn time_is_over_at_its_very_millisecond_and_begins_anew_with_an_action() {
    let checkout = made(Collection::Checkout);
    assert_eq!(checkout.expires_at, Some(at(DEFAULT_EXPIRY_MS)));
    let early = checkout.apply(&Event::Expire, at(DEFAULT_EXPIRY_MS - 1)).expect("not due");
    assert_eq!((early.top_up, early.effects), (checkout.clone(), Vec::new()));
    let acting = checkout.apply(&action(), at(200_000)).expect("taken").top_up;
    assert_eq!(acting.expires_at, Some(at(500_000)));
    assert_eq!(acting.checkout_url.as_deref(), Some("https://bank.example/3ds"));
    assert_eq!(acting.apply(&Event::Expire, at(500_000)).expect("due").top_up.status(), Status::Expired);
    assert_eq!(made(Collection::Invoice).expires_at, None);
}

#[test]
fn an_operator_confirms_what_comes_in_parts() {
    let offline = made(Collection::Outside);
    let part = run(&offline, &[confirm("a", 999, false)]);
    assert_eq!((part.top_up.status(), part.top_up.received()), (Status::Created, Some(euros(999))));
    assert!(part.effects.is_empty());
    check_refused(&part.top_up, &Event::Cancel, Refusal::PartlyPaid);
    check_refused(&part.top_up, &confirm("a", 998, false), Refusal::KeyConflict);
    assert_eq!(run(&part.top_up, &[confirm("a", 999, false)]).top_up, part.top_up);
    let whole = run(&part.top_up, &[confirm("b", 1_000, false)]).top_up;
    assert_eq!((whole.status(), whole.credit), (Status::Completed, Credit::Due(Amount::new(CREDITS))));
    // The rest is not to come: the share of the credits that was paid for.
    let last = run(&part.top_up, &[confirm("a", 999, true)]).top_up;
    assert_eq!((last.captured, last.credit), (Some(euros(999)), Credit::Due(Amount::new(CREDITS * 999 / PRICE))));
    let surplus = run(&whole, &[confirm("c", 5, false)]);
    assert_eq!((surplus.oddity, surplus.top_up.captured), (Some(Oddity::Surplus), Some(euros(PRICE))));
    assert_eq!((surplus.top_up.received(), surplus.effects.len()), (Some(euros(PRICE + 5)), 0));
    check_refused(&offline, &confirm("a", 0, true), Refusal::NoMoney);
    let dollars = Money::new(1, MoneyCode::iso("USD").expect("dollars"));
    let in_dollars = Event::Confirm { key: "a".to_owned(), money: dollars, is_last: true };
    check_refused(&offline, &in_dollars, Refusal::OtherMoney);
    check_refused(&made(Collection::Checkout), &confirm("a", PRICE, true), Refusal::NotConfirmable);
    let expired = offline.apply(&Event::Expire, at(300_000)).expect("due").top_up;
    assert_eq!(run(&expired, &[confirm("a", PRICE, false)]).top_up.credit, Credit::Due(Amount::new(CREDITS)));
}

#[test]
fn a_deposit_is_worth_what_arrives() {
    let any = run(&open_deposit(None), &[confirm("tx", 4_321, false)]).top_up;
    assert_eq!((any.captured, any.credit), (Some(euros(4_321)), Credit::Due(Amount::new(4_321))));
    let asked = open_deposit(Some(euros(1_000)));
    assert_eq!(asked.in_flight(), Amount::new(1_000));
    let part = run(&asked, &[confirm("tx1", 400, false)]).top_up;
    assert_eq!((part.status(), part.received()), (Status::Created, Some(euros(400))));
    let more = run(&part, &[confirm("tx2", 700, false)]).top_up;
    assert_eq!((more.captured, more.credit), (Some(euros(1_100)), Credit::Due(Amount::new(1_100))));
}

#[test]
fn strange_money_is_kept_out() {
    let dollars = Money::new(PRICE, MoneyCode::iso("USD").expect("dollars"));
    let strange = |money| Event::Outcome(Outcome::Succeeded { reference: "a".to_owned(), money, method: None });
    for money in [dollars, euros(0), euros(-5)] {
        let step = run(&made(Collection::Charge), &[strange(money)]);
        assert_eq!((step.oddity, step.top_up.captured), (Some(Oddity::StrangeMoney), None));
    }
    let step = run(&made(Collection::Charge), &[paid("a", PRICE), paid("a", PRICE - 1)]);
    assert_eq!((step.oddity, step.top_up.captured), (Some(Oddity::OtherAmount), Some(euros(PRICE))));
    // A provider that captures less has captured all that it will.
    let less = run(&made(Collection::Charge), &[paid("a", 1_000)]).top_up;
    assert_eq!(less.credit, Credit::Due(Amount::new(CREDITS * 1_000 / PRICE)));
}

#[test]
fn refunds_are_cumulative_and_take_back_their_share() {
    let paid = granted(&check(Collection::Charge, &[paid("pi", PRICE)], Status::Completed));
    let asked = run(&paid, &[ask("r1", Some(500))]);
    let command = |key: &str, cents| Effect::Provider(Command::Refund { key: key.to_owned(), money: euros(cents) });
    assert_eq!(asked.effects, [command("r1", 500)]);
    assert_eq!((asked.top_up.refundable(), asked.top_up.refunded()), (euros(PRICE - 500), euros(0)));
    assert!(run(&asked.top_up, &[ask("r1", Some(500))]).effects.is_empty());
    check_refused(&asked.top_up, &ask("r1", Some(501)), Refusal::KeyConflict);
    let left = euros(PRICE - 500);
    check_refused(&asked.top_up, &ask("r2", Some(PRICE - 499)), Refusal::ExceedsCapture { left });
    check_refused(&asked.top_up, &ask("r2", Some(0)), Refusal::NoMoney);
    let part = run(&asked.top_up, &[refund("r1", 500, RefundReport::Succeeded)]);
    let share = Amount::new(CREDITS * 500 / PRICE);
    let note = Effect::RefundNote { key: "r1".to_owned(), money: euros(500) };
    let claw_back = Effect::ClawBack { amount: share, total: share };
    assert_eq!(part.effects, [claw_back, note, Effect::Tell(News::Refunded)]);
    assert_eq!(part.top_up.status(), Status::PartiallyRefunded);
    let rest = run(&part.top_up, &[ask("r2", None)]);
    assert_eq!(rest.effects, [command("r2", PRICE - 500)]);
    let whole = run(&rest.top_up, &[refund("r2", PRICE - 500, RefundReport::Succeeded)]);
    let all = Amount::new(CREDITS);
    let amount = Amount::new(CREDITS - share.units());
    assert_eq!(whole.effects.first(), Some(&Effect::ClawBack { amount, total: all }));
    assert_eq!((whole.top_up.status(), whole.top_up.to_claw_back), (Status::Refunded, all));
    check_refused(&whole.top_up, &ask("r3", None), Refusal::ExceedsCapture { left: euros(0) });
    check_refused(&made(Collection::Charge), &ask("r", None), Refusal::NotPaid(Status::Created));
}

#[test]
fn a_refund_that_failed_can_be_asked_for_again_and_one_made_elsewhere_counts() {
    let top_up = granted(&check(Collection::Charge, &[paid("pi", PRICE)], Status::Completed));
    let failed = run(&top_up, &[ask("r1", None), refund("r1", PRICE, RefundReport::Failed)]).top_up;
    assert_eq!((failed.status(), failed.refundable()), (Status::Completed, euros(PRICE)));
    let elsewhere = run(&failed, &[refund("re_9", 700, RefundReport::Succeeded)]).top_up;
    assert_eq!((elsewhere.status(), elsewhere.refundable()), (Status::PartiallyRefunded, euros(PRICE - 700)));
    let over = run(&elsewhere, &[refund("re_10", PRICE, RefundReport::Succeeded)]);
    assert_eq!((over.oddity, over.top_up.refunded()), (Some(Oddity::OverRefunded), euros(PRICE)));
    let contradicted = run(&elsewhere, &[refund("re_9", 700, RefundReport::Failed)]);
    assert_eq!((contradicted.oddity, contradicted.top_up.refunded()), (Some(Oddity::Contradiction), euros(700)));
}

#[test]
fn whoever_collects_outside_has_paid_back_what_it_says() {
    let top_up = granted(&run(&made(Collection::Outside), &[confirm("a", PRICE, false)]).top_up);
    let step = run(&top_up, &[ask("r", None)]);
    assert_eq!(step.top_up.status(), Status::Refunded);
    assert!(!step.effects.iter().any(|effect| matches!(effect, Effect::Provider(_))));
}

#[test]
fn a_dispute_freezes_and_its_end_releases_or_takes_back() {
    let top_up = granted(&check(Collection::Charge, &[paid("pi", PRICE)], Status::Completed));
    let open = run(&top_up, &[Event::DisputeOpened]);
    assert_eq!(open.effects, [Effect::Freeze, Effect::Tell(News::Disputed)]);
    check_refused(&open.top_up, &ask("r", None), Refusal::InDispute);
    let won = run(&open.top_up, &[Event::DisputeWon]);
    assert_eq!(won.effects, [Effect::Release, Effect::Tell(News::Disputed)]);
    assert_eq!(won.top_up.status(), Status::DisputeWon);
    let lost = run(&open.top_up, &[Event::DisputeLost]);
    let all = Amount::new(CREDITS);
    assert_eq!(
        lost.effects,
        [Effect::ClawBack { amount: all, total: all }, Effect::Release, Effect::Tell(News::Disputed)]
    );
    assert!(lost.top_up.frozen, "it may be, and nobody has said so");
    assert_eq!((top_up.freezable(), lost.top_up.freezable()), (all, Amount::ZERO));
    assert_eq!(run(&lost.top_up, &[Event::DisputeWon]).oddity, Some(Oddity::Contradiction));
    // Nobody told that it was opened.
    let at_once = run(&top_up, &[Event::DisputeLost]);
    assert_eq!(at_once.path, [Status::Disputed, Status::DisputeLost]);
    // After a partial refund only the rest is taken.
    let part = run(&top_up, &[ask("r", Some(999)), refund("r", 999, RefundReport::Succeeded), Event::DisputeLost]);
    let before = Amount::new(CREDITS * 999 / PRICE);
    let amount = Amount::new(CREDITS - before.units());
    assert_eq!(part.effects.first(), Some(&Effect::ClawBack { amount, total: all }));
}

#[test]
fn credits_that_come_before_the_money_go_with_the_invoice() {
    let invoice = NewTopUp { credits_at_once: true, ..new(Collection::Invoice) };
    let step = create(invoice, at(0)).expect("a top-up");
    let kinds: Vec<_> = step.effects.iter().map(std::mem::discriminant).collect();
    let order = step.top_up.credit_order(Amount::new(CREDITS));
    assert_eq!(order.cost, None);
    let expected = [Effect::IssueInvoice { paid: false }, Effect::Credit(order), Effect::Tell(News::Created)];
    assert_eq!(kinds, expected.iter().map(std::mem::discriminant).collect::<Vec<_>>());
    let top_up = granted(&step.top_up);
    let paid = run(&top_up, &[confirm("transfer", PRICE, false)]);
    assert_eq!(paid.effects, [Effect::InvoicePaid, Effect::Tell(News::Completed)]);
    let canceled = run(&top_up, &[Event::Cancel]);
    let all = Amount::new(CREDITS);
    let claw_back = Effect::ClawBack { amount: all, total: all };
    assert_eq!(canceled.effects, [Effect::VoidInvoice, claw_back, Effect::Tell(News::Canceled)]);
    let late = run(&canceled.top_up, &[confirm("transfer", PRICE, false)]);
    assert_eq!((late.oddity, late.top_up.status()), (Some(Oddity::PaidAfterVoid), Status::Completed));
    assert!(!late.effects.iter().any(|effect| matches!(effect, Effect::Credit(_))));
}

#[test]
fn what_a_crash_interrupted_is_given_again() {
    let resume = |top_up: &TopUp| top_up.resume();
    let charge = made(Collection::Charge);
    let again = Effect::Provider(Command::Charge { method: "pm_1".to_owned(), money: euros(PRICE) });
    assert_eq!(resume(&charge), [again]);
    let lookup = [Effect::Provider(Command::Lookup)];
    assert_eq!(resume(&run(&charge, &[UNKNOWN]).top_up), lookup);
    assert_eq!(resume(&run(&charge, &[PROCESSING]).top_up), lookup);
    let checkout = made(Collection::Checkout);
    assert!(matches!(resume(&checkout).as_slice(), [Effect::Provider(Command::OpenCheckout { .. })]));
    let opened = run(&checkout, &[Event::CheckoutOpened { url: "https://pay.example".to_owned() }]).top_up;
    assert_eq!(resume(&opened), []);
    let due = run(&charge, &[paid("pi", PRICE)]).top_up;
    assert!(matches!(resume(&due).as_slice(), [Effect::Credit(order)] if order.amount == Amount::new(CREDITS)));
    let top_up = granted(&due);
    assert_eq!(resume(&top_up), []);
    let disputed = run(&top_up, &[Event::DisputeOpened]).top_up;
    assert_eq!(resume(&disputed), [Effect::Freeze]);
    let frozen = run(&disputed, &[Event::Frozen(true)]).top_up;
    assert_eq!(resume(&frozen), []);
    let lost = run(&frozen, &[Event::DisputeLost]).top_up;
    let all = Amount::new(CREDITS);
    assert_eq!(resume(&lost), [Effect::ClawBack { amount: all, total: all }, Effect::Release]);
    // That it was frozen was not noted before it was to be released.
    assert_eq!(resume(&run(&disputed, &[Event::DisputeWon]).top_up), [Effect::Release]);
    let done = run(&lost, &[Event::Frozen(false), Event::ClawedBack { total: all }]).top_up;
    assert_eq!(resume(&done), []);
    let asked = run(&top_up, &[ask("r", Some(5))]).top_up;
    assert_eq!(resume(&asked), [Effect::Provider(Command::Refund { key: "r".to_owned(), money: euros(5) })]);
    let refused = run(&due, &[Event::CreditRefused]).top_up;
    assert_eq!((resume(&refused), refused.status()), (Vec::new(), Status::Completed));
    assert!(matches!(granted(&refused).credit, Credit::Granted { .. }), "once the wallet takes it");
}

#[test]
fn what_cannot_be_begun_is_told_by_its_field() {
    type Spoil = fn(&mut NewTopUp);
    let cases: [(&str, Collection, Spoil); 14] = [
        ("id", Collection::Outside, |new| new.id.clear()),
        ("amount", Collection::Outside, |new| new.purchase.price = Some(euros(0))),
        ("amount", Collection::Outside, |new| new.purchase.price = None),
        ("amount", Collection::Outside, |new| {
            new.purchase.goods = Goods::Worth(Worth::of_fiat(&fiat("EUR", 0)).expect("fiat"));
            new.purchase.price = None;
        }),
        ("amount", Collection::Outside, |new| {
            new.purchase.goods = Goods::Worth(Worth::of_fiat(&fiat("EUR", 2)).expect("fiat"));
            new.purchase.price = Some(euros(i64::MAX / 10));
        }),
        ("amount", Collection::Outside, |new| {
            new.purchase.goods = Goods::Worth(Worth::of_fiat(&fiat("USD", 2)).expect("fiat"));
        }),
        ("credits", Collection::Outside, |new| new.purchase.goods = Goods::Fixed(Amount::ZERO)),
        ("quantity", Collection::Outside, |new| new.purchase.quantity = 0),
        ("priority", Collection::Outside, |new| new.purchase.priority = 101),
        ("payment_method", Collection::Charge, |new| new.method = None),
        ("payment_method", Collection::Checkout, |new| new.kind = Kind::Auto),
        ("credits_at_once", Collection::Charge, |new| new.credits_at_once = true),
        ("return_url", Collection::Checkout, |new| new.return_url = Some("javascript:alert(1)".to_owned())),
        ("expires_in_seconds", Collection::Checkout, |new| new.expiry_ms = Some(0)),
    ];
    for (field, collection, spoil) in cases {
        let mut spoilt = new(collection);
        spoil(&mut spoilt);
        assert_eq!(create(spoilt, at(0)).expect_err(field).field, field);
    }
}

#[test]
fn names_are_read_back() {
    assert!(Status::ALL.into_iter().all(|status| Status::parse(status.as_str()) == Some(status)));
    assert_eq!(Status::parse("paid"), None);
    assert!([Shortfall::Debt, Shortfall::WriteOff].into_iter().all(|one| Shortfall::parse(one.as_str()) == Some(one)));
}

/// Any event, of few payments and refunds, so that they meet.
fn any_event() -> impl Strategy<Value = Event> {
    let key = prop::sample::select(vec!["a", "b", "c"]);
    let cents = prop::sample::select(vec![1, 500, PRICE - 1, PRICE, PRICE + 1, -1, i64::MAX]);
    let report = prop::sample::select(vec![RefundReport::Pending, RefundReport::Succeeded, RefundReport::Failed]);
    prop_oneof![
        4 => (key.clone(), cents.clone()).prop_map(|(key, cents)| paid(key, cents)),
        1 => Just(PROCESSING),
        1 => Just(action()),
        1 => Just(declined()),
        1 => Just(UNKNOWN),
        1 => Just(Event::CheckoutOpened { url: "https://pay.example".to_owned() }),
        1 => Just(Event::CheckoutClosed),
        4 => (key.clone(), cents.clone(), report).prop_map(|(key, cents, report)| refund(key, cents, report)),
        2 => prop::sample::select(vec![Event::DisputeOpened, Event::DisputeWon, Event::DisputeLost]),
        2 => Just(Event::Expire),
        1 => Just(Event::Cancel),
        2 => (key.clone(), cents.clone(), any::<bool>()).prop_map(|(key, cents, last)| confirm(key, cents, last)),
        3 => (key, prop::option::of(cents)).prop_map(|(key, cents)| ask(key, cents)),
        2 => (7_u64..9).prop_map(|grant| Event::Credited { grant: GrantId::new(grant) }),
        1 => Just(Event::CreditRefused),
        1 => (0..CREDITS + 9).prop_map(|total| Event::ClawedBack { total: Amount::new(total) }),
        1 => any::<bool>().prop_map(Event::Frozen),
    ]
}

fn any_top_up() -> impl Strategy<Value = TopUp> {
    let collections = vec![Collection::Charge, Collection::Checkout, Collection::Invoice, Collection::Outside];
    prop_oneof![
        4 => prop::sample::select(collections).prop_map(made),
        1 => prop::option::of(Just(euros(PRICE))).prop_map(open_deposit),
        1 => Just(create(NewTopUp { credits_at_once: true, ..new(Collection::Invoice) }, at(0)).expect("a top-up").top_up),
    ]
}

/// What the effects of a life added up to.
#[derive(Default)]
struct Books {
    credited: Option<Amount>,
    clawed_back: i64,
    noted: i64,
    frozen: bool,
    commands: BTreeSet<String>,
}

impl Books {
    /// Enters a step's effects, each of which must be right by what was there before.
    fn enter(&mut self, before: &TopUp, step: &Step) {
        for effect in &step.effects {
            match effect {
                Effect::Credit(order) => {
                    assert_eq!(self.credited, None, "credited twice");
                    assert!(order.amount > Amount::ZERO && step.top_up.captured.is_some());
                    self.credited = Some(order.amount);
                }
                Effect::ClawBack { amount, total } => {
                    self.clawed_back += amount.units();
                    assert!(*amount > Amount::ZERO);
                    assert_eq!(self.clawed_back, total.units());
                }
                Effect::Provider(Command::Refund { key, money }) => {
                    assert!(self.commands.insert(key.clone()), "refund {key} was sent twice");
                    assert!(money.units <= before.refundable().units, "asked for more than there is");
                }
                Effect::RefundNote { money, .. } => self.noted += money.units,
                Effect::Freeze => assert!(!std::mem::replace(&mut self.frozen, true)),
                Effect::Release => assert!(std::mem::replace(&mut self.frozen, false)),
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: one grant, no more back than came in, statuses along the allowed edges, and nothing done twice.
    #[test]
    fn no_story_credits_twice_or_pays_back_too_much(
        begun in any_top_up(),
        story in prop::collection::vec((any_event(), 0_u64..200_000, any::<bool>()), 0..40),
    ) {
        let mut books = Books { credited: Some(begun.credit.amount()).filter(|_| begun.credits_at_once), ..Books::default() };
        let (mut top_up, mut now) = (begun, at(0));
        for (event, later, again) in story {
            now = now.saturating_add(later);
            for _ in 0..=usize::from(again) {
                let Ok(step) = top_up.apply(&event, now) else { continue };
                let mut status = top_up.status();
                for next in &step.path {
                    prop_assert!(status.may_become(*next), "{status:?} to {next:?} by {event:?}");
                    status = *next;
                }
                prop_assert_eq!(status, step.top_up.status());
                books.enter(&top_up, &step);
                prop_assert!(!top_up.status().is_paid() || step.top_up.status().is_paid());
                top_up = step.top_up;
                let captured = top_up.captured.map_or(0, |captured| captured.units);
                prop_assert!(top_up.refunded().units <= captured && top_up.refundable().units <= captured);
                prop_assert_eq!(books.noted, top_up.refunded().units);
                prop_assert_eq!(books.clawed_back, top_up.to_claw_back.units());
                prop_assert!(top_up.to_claw_back <= top_up.credit.amount() && top_up.clawed_back <= top_up.to_claw_back);
                prop_assert_eq!(books.credited.unwrap_or(Amount::ZERO), top_up.credit.amount());
                prop_assert_eq!(books.frozen, top_up.to_freeze);
            }
        }
        if top_up.status() == Status::Refunded && !matches!(top_up.credit, Credit::Refused(_)) {
            prop_assert_eq!(top_up.to_claw_back, top_up.credit.amount());
        }
    }

    /// Reports of providers come to the same, however they are shuffled and repeated, and whatever expires or fails meanwhile.
    #[test]
    fn reports_come_to_the_same_in_any_order(
        lost in any::<bool>(),
        is_disputed in any::<bool>(),
        refunds in prop::collection::vec(1..=PRICE, 0..3),
        noise in prop::collection::vec(prop::sample::select(vec![declined(), PROCESSING, action(), Event::CheckoutClosed, Event::Expire]), 0..4),
        shuffle in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
    ) {
        let mut facts = vec![paid("pi", PRICE)];
        facts.extend((0..).zip(&refunds).map(|(number, cents)| refund(&format!("r{number}"), *cents, RefundReport::Succeeded)));
        if is_disputed {
            facts.push(Event::DisputeOpened);
            facts.push(if lost { Event::DisputeLost } else { Event::DisputeWon });
        }
        let in_order = run(&made(Collection::Checkout), &facts).top_up;
        let mut bag = facts.clone();
        bag.extend(noise);
        let mut story: Vec<Event> = shuffle.iter().map(|index| index.get(&bag).clone()).collect();
        // Each fact at least once, in some order.
        let turn = shuffle[0].index(facts.len());
        story.extend(facts[turn..].iter().chain(&facts[..turn]).rev().cloned());
        let mut top_up = made(Collection::Checkout);
        for (number, event) in (1..).zip(&story) {
            top_up = top_up.apply(event, at(number * 100_000)).expect("a report is taken").top_up;
        }
        let gist = |top_up: &TopUp| {
            (top_up.status(), top_up.captured, top_up.refunded(), top_up.credit, top_up.to_claw_back, top_up.to_freeze)
        };
        prop_assert_eq!(gist(&top_up), gist(&in_order), "{:?}", story);
    }
}
