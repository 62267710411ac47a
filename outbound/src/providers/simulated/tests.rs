//! The simulated provider: each card's story, and that a story is told the same after a restart.

use super::book::{Book, Standing};
use super::*;
use crate::providers::{ChargeState, Collect, Key, Money, Progress, RefundState};
use std::collections::BTreeMap;
use tokio::time::Instant;

const NOW_S: u64 = 1_700_000_000;

fn simulated(bank: &Local) -> Simulated {
    let settings = Settings {
        pages: "http://127.0.0.1:8080/simulated".to_owned(),
        secrets: vec![Secret::new(&[7; 32]).expect("32 bytes")],
        tolerance_s: 300,
    };
    Simulated::new(Arc::new(bank.clone()), settings)
}

fn key(text: &str) -> Key {
    text.parse().expect("a key")
}

fn euros(amount: i64) -> Money {
    Money { amount, currency: "EUR".parse().expect("a currency") }
}

async fn customer(provider: &Simulated) -> CustomerRef {
    let ask = NewCustomer { key: key("cu_1"), reference: "acme".to_owned(), name: None, email: None };
    provider.ensure_customer(&ask).await.expect("a customer")
}

/// A customer with a saved card.
async fn saved(provider: &Simulated, card: &str) -> (CustomerRef, MethodRef) {
    let customer = customer(provider).await;
    let collect = Collect::InPage;
    let ask = NewSetup { key: key(&format!("su_{card}")), customer: customer.clone(), collect, decided_at_s: NOW_S };
    let setup = provider.begin_setup(&ask).await.expect("a setup");
    let method = provider.collect(&setup.reference, card, NOW_S).await.expect("a card that can be saved");
    assert_eq!(method.last4.as_deref(), Some(&card[12..]));
    (customer, method.reference)
}

fn ask(name: &str, who: &(CustomerRef, MethodRef), amount: i64) -> Charge {
    Charge {
        key: key(name),
        customer: who.0.clone(),
        method: who.1.clone(),
        money: euros(amount),
        description: "credits".to_owned(),
        return_url: Some("https://example.com/back".to_owned()),
        decided_at_s: NOW_S,
        repeat: false,
    }
}

fn new_checkout(customer: CustomerRef) -> NewCheckout {
    NewCheckout {
        key: key("tu_1"),
        customer,
        money: euros(500),
        title: "500 credits".to_owned(),
        save_method: true,
        success_url: "https://example.com/done/{CHECKOUT}".to_owned(),
        cancel_url: "https://example.com/back".to_owned(),
        decided_at_s: NOW_S,
        expires_at_s: NOW_S + 300,
    }
}

/// What is due, verified as a receiver would, in order, and taken out of the book.
async fn told(provider: &Simulated, now_s: u64) -> Vec<(Received, u32)> {
    let mut told = Vec::new();
    for hook in provider.due(now_s).await.expect("an answer") {
        let headers =
            webhooks::sign(&provider.settings.secrets, &hook.id, now_s, hook.body.as_bytes()).expect("a message");
        told.push((provider.receive(&headers, hook.body.as_bytes(), now_s).expect("its own event"), hook.copies));
        provider.ask(Command::Delivered { event: hook.id }).await.expect("an answer");
    }
    told
}

fn states(told: &[(Received, u32)]) -> Vec<ChargeState> {
    told.iter().filter_map(|(received, _)| received.event.charge_state()).collect()
}

#[tokio::test(start_paused = true)]
async fn each_card_has_its_story() {
    use ChargeState::{Failed, Processing, RequiresAction, Succeeded};
    let stories: [(&str, &str, &[ChargeState]); 11] = [
        ("4242424242424242", "succeeded", &[Succeeded]),
        ("5555555555554444", "succeeded", &[Succeeded]),
        ("4000000000000341", "generic_decline soft", &[Failed]),
        ("4000000000009995", "insufficient_funds soft", &[Failed]),
        ("4000000000009979", "stolen_card hard", &[Failed]),
        ("4000000000000069", "expired_card hard", &[Failed]),
        ("4000002760003184", "requires action", &[RequiresAction]),
        ("4000000000000259", "succeeded", &[Succeeded]),
        ("9999000000000012", "processing", &[Processing, Succeeded]),
        ("9999000000000020", "processing", &[Processing, Failed]),
        ("9999000000000053", "succeeded", &[Succeeded]),
    ];
    for (card, answer, events) in stories {
        let provider = simulated(&Local::in_memory());
        let who = saved(&provider, card).await;
        told(&provider, NOW_S).await;
        let outcome = match provider.charge(&ask("tu_1", &who, 1000)).await {
            ChargeOutcome::Succeeded { .. } => "succeeded".to_owned(),
            ChargeOutcome::Processing { .. } => "processing".to_owned(),
            ChargeOutcome::RequiresAction { charge, url } => {
                assert_eq!(url, Some(format!("http://127.0.0.1:8080/simulated/authenticate/{charge}")));
                "requires action".to_owned()
            }
            ChargeOutcome::Declined { decline, .. } => {
                format!("{} {}", decline.code, if decline.hard { "hard" } else { "soft" })
            }
            outcome => panic!("{card}: {outcome:?}"),
        };
        assert_eq!(outcome, answer, "{card}");
        let mut heard = told(&provider, NOW_S).await;
        heard.extend(told(&provider, NOW_S + cards::PROCESSING_S).await);
        assert_eq!(states(&heard), events, "{card}");
        let copies = if card == "9999000000000053" { 2 } else { 1 };
        assert!(heard.iter().all(|(_, told)| *told == copies), "{card}");
        let disputed = heard.iter().any(|(received, _)| matches!(received.event, Event::DisputeOpened { .. }));
        assert_eq!(disputed, card == "4000000000000259");
    }
}

#[tokio::test(start_paused = true)]
async fn one_key_one_charge() {
    let bank = Local::in_memory();
    let provider = simulated(&bank);
    let who = saved(&provider, "4242424242424242").await;
    let first = provider.charge(&ask("tu_1", &who, 1000)).await;
    let again = Charge { repeat: true, ..ask("tu_1", &who, 1000) };
    assert_eq!(provider.charge(&again).await, first);
    let other = provider.charge(&ask("tu_1", &who, 2000)).await;
    assert!(matches!(&other, ChargeOutcome::Refused { code, .. } if code == "idempotency_conflict"), "{other:?}");
    assert_eq!(bank.book().charges().len(), 1);
    let question = |name: &str| FindCharge { key: key(name), customer: who.0.clone(), since_s: NOW_S };
    let found = provider.find_charge(&question("tu_1")).await.expect("an answer").expect("the charge");
    assert_eq!((found.money, found.outcome), (euros(1000), first));
    assert_eq!(provider.find_charge(&question("tu_2")).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_settled_by_asking_again() {
    let bank = Local::in_memory();
    let provider = simulated(&bank);
    let who = saved(&provider, "9999000000000046").await;
    assert!(matches!(provider.charge(&ask("tu_1", &who, 1000)).await, ChargeOutcome::Unknown { .. }));
    let again = Charge { repeat: true, ..ask("tu_1", &who, 1000) };
    assert!(matches!(provider.charge(&again).await, ChargeOutcome::Succeeded { .. }));
    assert_eq!(bank.book().charges().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_slow_and_the_charge_is_not() {
    let bank = Local::in_memory();
    let provider = simulated(&bank);
    let who = saved(&provider, "9999000000000038").await;
    let started = Instant::now();
    let patience = Duration::from_secs(1);
    assert!(tokio::time::timeout(patience, provider.charge(&ask("tu_1", &who, 1000))).await.is_err());
    assert_eq!(bank.book().charges().len(), 1);
    assert!(matches!(provider.charge(&ask("tu_1", &who, 1000)).await, ChargeOutcome::Succeeded { .. }));
    assert_eq!(started.elapsed(), patience);
}

#[tokio::test(start_paused = true)]
async fn authentication_ends_in_one_of_two_ways_and_once() {
    for approved in [true, false] {
        let provider = simulated(&Local::in_memory());
        let who = saved(&provider, "4000002760003184").await;
        let outcome = provider.charge(&ask("tu_1", &who, 1000)).await;
        let ChargeOutcome::RequiresAction { charge, .. } = outcome else { panic!("{outcome:?}") };
        told(&provider, NOW_S).await;
        let done = Paid::Done { return_url: Some("https://example.com/back".to_owned()) };
        assert_eq!(provider.complete(&charge, approved, NOW_S + 1).await, Ok(done.clone()));
        assert_eq!(provider.complete(&charge, !approved, NOW_S + 2).await, Ok(done), "a second click changes nothing");
        let expected = if approved { ChargeState::Succeeded } else { ChargeState::Failed };
        assert_eq!(states(&told(&provider, NOW_S + 2).await), [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkout_takes_one_payment_after_declines() {
    let bank = Local::in_memory();
    let provider = simulated(&bank);
    let customer = customer(&provider).await;
    let opened = provider.open_checkout(&new_checkout(customer.clone())).await.expect("it opens");
    assert_eq!(opened.url, format!("http://127.0.0.1:8080/simulated/checkout/{}", opened.reference));
    assert_eq!(provider.open_checkout(&new_checkout(customer.clone())).await, Ok(opened.clone()), "asked again");
    let pay = |card: &'static str, now_s| provider.pay(&opened.reference, card, now_s);
    assert!(matches!(pay("4000000000000002", NOW_S + 1).await, Ok(Paid::Declined(_))));
    assert!(
        matches!(pay("4111111111111111", NOW_S + 1).await, Err(CallError::Refused { code, .. }) if code == "not_a_test_card")
    );
    let Ok(Paid::Authenticate(charge)) = pay("4000002760003184", NOW_S + 2).await else {
        panic!("wants authentication")
    };
    assert_eq!(pay("4242424242424242", NOW_S + 2).await, Ok(Paid::Authenticate(charge.clone())), "one at a time");
    provider.complete(&charge, false, NOW_S + 3).await.expect("an answer");
    let done = Paid::Done { return_url: Some(format!("https://example.com/done/{}", opened.reference)) };
    assert_eq!(pay("4242424242424242", NOW_S + 4).await, Ok(done.clone()));
    assert_eq!(pay("4242424242424242", NOW_S + 5).await, Ok(done), "paid once");
    let paid = bank.book().charges().values().filter(|entry| entry.standing == Standing::Succeeded).count();
    assert_eq!(paid, 1);

    let heard = told(&provider, NOW_S + 5).await;
    use ChargeState::{Failed, RequiresAction, Succeeded};
    assert_eq!(states(&heard), [Failed, RequiresAction, Failed, Succeeded]);
    let Event::CheckoutCompleted { key: Some(name), paid: true, charge: Some(charge), .. } =
        &heard.last().expect("events").0.event
    else {
        panic!("{heard:?}");
    };
    assert_eq!(name, "tu_1");
    let question = FindCharge { key: key("tu_1"), customer, since_s: NOW_S };
    let found = provider.find_charge(&question).await.expect("an answer").expect("the one that was paid");
    assert_eq!(found.outcome, ChargeOutcome::Succeeded { charge: charge.clone() });
    let attached = heard.iter().filter(|(received, _)| matches!(received.event, Event::MethodAttached(_))).count();
    assert_eq!(attached, 2, "a card that waits for its holder is kept, too; a declined one is not");
}

#[tokio::test(start_paused = true)]
async fn checkouts_expire_exactly_and_can_be_closed() {
    let provider = simulated(&Local::in_memory());
    let opened = provider.open_checkout(&new_checkout(customer(&provider).await)).await.expect("it opens");
    let refused = provider.pay(&opened.reference, "4242424242424242", NOW_S + 300).await;
    assert!(matches!(refused, Err(CallError::Refused { code, .. }) if code == "expired"));
    assert_eq!(told(&provider, NOW_S + 299).await, []);
    let heard = told(&provider, NOW_S + 300).await;
    assert!(
        matches!(&heard[..], [(Received { event: Event::CheckoutExpired { .. }, at_s, .. }, 1)] if *at_s == NOW_S + 300)
    );

    let provider = simulated(&Local::in_memory());
    let opened = provider.open_checkout(&new_checkout(customer(&provider).await)).await.expect("it opens");
    let Ok(Paid::Authenticate(_)) = provider.pay(&opened.reference, "4000002760003184", NOW_S + 9).await else {
        panic!("wants more")
    };
    assert_eq!(provider.close_checkout(&opened.reference).await, Ok(CheckoutState::Expired));
    assert_eq!(provider.close_checkout(&opened.reference).await, Ok(CheckoutState::Expired));
    let heard = told(&provider, NOW_S + 9).await;
    let mut progress = Progress::new(ChargeState::Processing, 0);
    for (received, _) in heard.iter().rev() {
        if let Some(state) = received.event.charge_state() {
            progress.absorb(Progress::new(state, received.at_s));
        }
    }
    assert_eq!(progress.state(), ChargeState::Failed, "whatever the order: {heard:?}");
}

#[tokio::test(start_paused = true)]
async fn refunds_add_up_to_the_charge_and_no_further() {
    let provider = simulated(&Local::in_memory());
    let who = saved(&provider, "4242424242424242").await;
    let outcome = provider.charge(&ask("tu_1", &who, 1000)).await;
    let ChargeOutcome::Succeeded { charge } = outcome else { panic!("{outcome:?}") };
    told(&provider, NOW_S).await;
    let refund = |name: &str, amount| Refund {
        key: key(name),
        charge: charge.clone(),
        money: euros(amount),
        decided_at_s: NOW_S,
    };
    let first = provider.refund(&refund("rf_1", 400)).await;
    assert!(matches!(&first, RefundOutcome::Accepted { state: RefundState::Succeeded, .. }), "{first:?}");
    assert_eq!(provider.refund(&refund("rf_1", 400)).await, first);
    for (name, amount, code) in
        [("rf_1", 500, "idempotency_conflict"), ("rf_2", 601, "refund_too_large"), ("rf_3", 0, "refund_too_large")]
    {
        let outcome = provider.refund(&refund(name, amount)).await;
        assert!(matches!(&outcome, RefundOutcome::Refused { code: told, .. } if told == code), "{outcome:?}");
    }
    assert!(matches!(provider.refund(&refund("rf_4", 600)).await, RefundOutcome::Accepted { .. }));
    let totals: Vec<i64> = told(&provider, NOW_S)
        .await
        .iter()
        .filter_map(|(received, _)| match &received.event {
            Event::RefundedInAll { total, .. } => Some(total.amount),
            _ => None,
        })
        .collect();
    assert_eq!(totals, [400, 1000]);
    let found = provider.find_refund(&FindRefund { key: key("rf_1"), charge }).await;
    assert_eq!(found, Ok(Some(first)));
}

#[tokio::test(start_paused = true)]
async fn a_dispute_is_decided_once() {
    let provider = simulated(&Local::in_memory());
    let who = saved(&provider, "4242424242424242").await;
    let outcome = provider.charge(&ask("tu_1", &who, 1000)).await;
    let ChargeOutcome::Succeeded { charge } = outcome else { panic!("{outcome:?}") };
    let dispute = provider.open_dispute(&charge, NOW_S).await.expect("a dispute");
    assert_eq!(provider.open_dispute(&charge, NOW_S).await.as_ref(), Ok(&dispute));
    assert_eq!(provider.close_dispute(&dispute, DisputeEnd::Lost, NOW_S).await, Ok(()));
    assert_eq!(provider.close_dispute(&dispute, DisputeEnd::Lost, NOW_S).await, Ok(()));
    assert!(provider.close_dispute(&dispute, DisputeEnd::Won, NOW_S).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_detached_card_is_not_charged() {
    let provider = simulated(&Local::in_memory());
    let who = saved(&provider, "4242424242424242").await;
    assert_eq!(provider.detach(&who.1).await, Ok(()));
    assert_eq!(provider.detach(&who.1).await, Ok(()));
    let outcome = provider.charge(&ask("tu_1", &who, 1000)).await;
    assert!(matches!(&outcome, ChargeOutcome::Declined { decline, .. } if decline.hard), "{outcome:?}");
    let detached =
        told(&provider, NOW_S).await.iter().filter(|(told, _)| matches!(told.event, Event::MethodDetached(_))).count();
    assert_eq!(detached, 1);
}

#[tokio::test(start_paused = true)]
async fn events_that_are_not_its_own_are_refused() {
    let provider = simulated(&Local::in_memory());
    let who = saved(&provider, "4242424242424242").await;
    provider.charge(&ask("tu_1", &who, 1000)).await;
    let hooks = provider.due(NOW_S).await.expect("an answer");
    let (one, other) = (&hooks[0], &hooks[1]);
    let sign = |id: &str, body: &str| {
        webhooks::sign(&provider.settings.secrets, id, NOW_S, body.as_bytes()).expect("a message")
    };
    let headers = sign(&one.id, &one.body);
    assert!(provider.receive(&headers, one.body.as_bytes(), NOW_S + 300).is_ok());
    assert!(matches!(provider.receive(&headers, one.body.as_bytes(), NOW_S + 301), Err(ReceiveError::Unverified(_))));
    assert!(matches!(provider.receive(&headers, other.body.as_bytes(), NOW_S), Err(ReceiveError::Unverified(_))));
    let swapped = sign(&one.id, &other.body);
    assert!(matches!(provider.receive(&swapped, other.body.as_bytes(), NOW_S), Err(ReceiveError::Unreadable(_))));
    let nonsense = sign(&one.id, "{}");
    assert!(matches!(provider.receive(&nonsense, b"{}", NOW_S), Err(ReceiveError::Unreadable(_))));
}

#[tokio::test]
async fn a_book_on_disk_is_the_same_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("bank.jsonl");
    let (before, who) = {
        let bank = Local::open(&path).expect("a new file");
        let provider = simulated(&bank);
        let who = saved(&provider, "4242424242424242").await;
        provider.charge(&ask("tu_1", &who, 1000)).await;
        (bank.book(), who)
    };
    // A crash in the middle of a line: that command was not answered.
    let mut bytes = std::fs::read(&path).expect("the file");
    let whole = bytes.len();
    bytes.extend(br#"{"Command":{"Charge":{"key":"tu_2""#);
    std::fs::write(&path, &bytes).expect("the file");
    let bank = Local::open(&path).expect("the same file");
    assert_eq!(bank.book(), before);
    assert_eq!(std::fs::metadata(&path).expect("the file").len(), whole as u64);
    let provider = simulated(&bank);
    assert!(matches!(provider.charge(&ask("tu_1", &who, 1000)).await, ChargeOutcome::Succeeded { .. }));
    assert!(matches!(provider.charge(&ask("tu_1", &who, 1)).await, ChargeOutcome::Refused { .. }));
    assert_eq!(bank.book().charges().len(), 1);

    // Damage elsewhere is no crash, and is not passed over.
    let text = std::fs::read_to_string(&path).expect("the file").replacen("Command", "Kommand", 1);
    std::fs::write(&path, text).expect("the file");
    let error = Local::open(&path).map(drop).expect_err("a damaged file");
    assert!(matches!(error, bank::OpenError::Line { line: 1, .. }), "{error}");
}

#[test]
fn a_book_written_anew_is_the_same_book() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("bank.jsonl");
    let mut book = Book::default();
    let mut text = String::new();
    for number in 0..10_001 {
        let ask = NewCustomer { key: key(&format!("cu_{number}")), reference: String::new(), name: None, email: None };
        let command = Command::EnsureCustomer(ask);
        text += &serde_json::to_string(&BTreeMap::from([("Command", &command)])).expect("JSON");
        text.push('\n');
        book.apply(&command);
    }
    std::fs::write(&path, text).expect("the file");
    for lines in [1, 1] {
        assert_eq!(Local::open(&path).expect("a whole file").book(), book);
        assert_eq!(std::fs::read_to_string(&path).expect("the file").lines().count(), lines);
    }
}
