//! What cannot be brought about from outside: notes that are lost, and locks that are waited for in every order.

use super::view::{Buyer, TopUpRequest};
use super::*;
use crate::billing::top_up::{Event, Kind, Outcome, TopUp};
use crate::billing::{Money, MoneyCode};
use crate::billing::{PackageSpec, PaymentMethod};
use crate::catalog::{CurrencyKind, Metadata, Priorities};
use crate::engine::catalog::CurrencySpec;
use crate::engine::{Engine, EngineConfig, ManualClock};
use crate::journal::billing::TopUpRecord;
use crate::ledger::{Amount, Decimal, Timestamp};
use drawdown_wal::Heap;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

fn currency(id: &str, scale: u8) -> CurrencySpec {
    CurrencySpec {
        id: id.to_owned(),
        name: id.to_owned(),
        symbol: String::new(),
        scale,
        kind: CurrencyKind::Unit,
        max_balance: None,
        default_priorities: Priorities::new(),
    }
}

const BEGIN: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn engine() -> Engine {
    engine_at(&Arc::new(ManualClock::new(BEGIN)))
}

/// An engine that sells a thousand credits for ten euros.
fn engine_at(clock: &Arc<ManualClock>) -> Engine {
    let mut config = EngineConfig::default();
    config.log.segment_bytes = 1 << 20;
    config.log.max_frame_bytes = 1 << 17;
    config.log.max_unsynced_bytes = 1 << 20;
    let (engine, _) = Engine::open_on(Arc::new(Heap::new()), config, clock.clone()).expect("an empty log");
    drop(engine.put_currency(currency("credits", 0)).expect("a currency"));
    let package = PackageSpec {
        id: "starter".to_owned(),
        name: "Starter".to_owned(),
        credits: Decimal::from_integer(1_000),
        bonus: None,
        price: Decimal::from_integer(10),
        price_currency: "EUR".to_owned(),
        valid_for_ms: None,
        priority: None,
        max_per_customer: None,
        archived: false,
        metadata: Metadata::new(),
    };
    drop(engine.put_package(&package, Some("credits")).expect("a package"));
    engine
}

fn euros(cents: i64) -> Money {
    Money::new(cents, MoneyCode::iso("EUR").expect("euros"))
}

fn request(customer: &str, buyer: Buyer) -> TopUpRequest {
    TopUpRequest {
        customer: customer.to_owned(),
        currency: Some("credits".to_owned()),
        kind: if buyer == Buyer::Operator { Kind::Offline } else { Kind::Manual },
        package: Some(("starter".to_owned(), 1)),
        amount: None,
        credits: None,
        collection: None,
        provider: Some("external".to_owned()),
        method: None,
        saves_method: false,
        credits_at_once: false,
        return_url: None,
        address: None,
        expiry_ms: None,
        key: None,
        metadata: Metadata::new(),
        buyer,
        form: None,
    }
}

/// Buys and pays a package.
fn bought(engine: &Engine, customer: &str) -> TopUp {
    let made = engine.create_top_up(&request(customer, Buyer::Operator)).expect("a top-up").0;
    let paid = Event::Confirm { key: "transfer".to_owned(), money: euros(1_000), is_last: false };
    engine.top_up_event(&made.top_up.id, &paid).expect("it is taken").0.top_up
}

fn refunded(engine: &Engine, id: &str, key: &str, cents: i64) -> TopUp {
    let event = Event::AskRefund { key: key.to_owned(), money: Some(euros(cents)) };
    engine.top_up_event(id, &event).expect("it is taken").0.top_up
}

fn balance(engine: &Engine, customer: &str) -> i64 {
    engine.wallet(customer, "credits").expect("a wallet").balance.units()
}

/// The log took the claw-back and not the note of it. The refund behind it took those credits back again, and the note of both a third time.
#[test]
fn what_was_taken_back_and_not_noted_is_not_taken_back_again() {
    for is_settled_first in [false, true] {
        let engine = engine();
        let id = bought(&engine, "ada").id;
        let part = refunded(&engine, &id, "r1", 300);
        assert_eq!((balance(&engine, "ada"), part.clawed_back), (700, Amount::new(300)));
        let lose_note = || {
            let mut tables = engine.inner.billing.lock();
            let mut kept = (*tables.top_ups[&id]).clone();
            kept.top_up.clawed_back = Amount::ZERO;
            let record = TopUpRecord { top_up: kept.top_up, declaration: kept.declaration, news: Vec::new() };
            tables.enter(BillingRecord::TopUp(Box::new(record)));
        };
        lose_note();
        if is_settled_first {
            assert!(engine.inner.settle_billing());
            assert_eq!(balance(&engine, "ada"), 700);
            lose_note();
        }
        let both = refunded(&engine, &id, "r2", 200);
        assert_eq!((balance(&engine, "ada"), both.clawed_back), (500, Amount::new(500)));
        lose_note();
        engine.inner.settle_billing();
        assert_eq!(balance(&engine, "ada"), 500);
        assert_eq!(engine.top_up(&id).expect("it is there").top_up.clawed_back, Amount::new(500));
    }
}

/// Whoever credits a top-up has money in to itself; whoever changes a currency's scale has the currencies to itself, and asks whether money in
/// knows the currency. Each waited for the other.
#[test]
fn a_currency_changes_its_scale_while_top_ups_are_credited() {
    let engine = engine();
    let (told, done) = mpsc::channel();
    let threads: Vec<_> = [false, true]
        .map(|pays| {
            let (engine, told) = (engine.clone(), told.clone());
            std::thread::spawn(move || {
                for round in 0..400_u32 {
                    if pays {
                        // Refused for a moment, it is paid when that is told once more.
                        let made = engine.create_top_up(&request(&format!("c{round}"), Buyer::Operator));
                        let Ok((made, ..)) = made else { continue };
                        let paid = Event::Confirm { key: "t".to_owned(), money: euros(1_000), is_last: false };
                        while let Err(error) = engine.top_up_event(&made.top_up.id, &paid) {
                            assert!(is_unavailable(&error), "{error}");
                        }
                    } else {
                        drop(engine.put_currency(currency("unused", (round % 2) as u8)).expect("nobody uses it"));
                    }
                }
                told.send(()).expect("somebody waits");
            })
        })
        .into();
    for _ in &threads {
        // It takes a second; the time is for telling that they wait for one another.
        done.recv_timeout(Duration::from_mins(1)).expect("both come to their end");
    }
    for thread in threads {
        thread.join().expect("no panic");
    }
    assert!(engine.top_ups(None, None, 1_000).iter().all(|view| view.top_up.completed_at.is_some()));
}

/// A customer who called each purchase off could begin another for ever, and each was kept.
#[test]
fn purchases_that_are_called_off_make_room_for_a_hundred_an_hour() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let engine = engine_at(&clock);
    let begin = || engine.create_top_up(&request("ada", Buyer::Customer)).map(|made| made.0.top_up.id);
    let mut begun = 0;
    let refused = loop {
        match begin() {
            Ok(id) => drop(engine.top_up_event(&id, &Event::Cancel).expect("it is open")),
            Err(error) => break error,
        }
        begun += 1;
    };
    assert!(matches!(refused, CommandError::Conflict { slug: "too_many_unpaid_purchases", .. }), "{refused:?}");
    assert_eq!(begun, 100);
    drop(engine.create_top_up(&request("bob", Buyer::Customer)).expect("another customer"));
    drop(engine.create_top_up(&request("ada", Buyer::Operator)).expect("an operator"));
    clock.advance(3_600_000);
    drop(begin().expect("an hour later"));
}

fn with_card(engine: &Engine, id: &str) {
    drop(engine.connect_provider("simulated").expect("a healthy engine"));
    let method = PaymentMethod {
        id: id.to_owned(),
        customer: "ada".to_owned(),
        provider: "simulated".to_owned(),
        reference: format!("ref_{id}"),
        brand: None,
        last4: None,
        expiry: None,
        fingerprint: None,
        is_default: true,
        detached: false,
        created_at: BEGIN,
    };
    drop(engine.add_payment_method(method).expect("a card"));
}

/// The same key with another card, or with the credits before the money, was taken for the same order.
#[test]
fn a_key_stands_for_its_card_and_for_when_the_credits_come() {
    let engine = engine();
    for id in ["pm_1", "pm_2"] {
        with_card(&engine, id);
    }
    let order = TopUpRequest { provider: None, key: Some("k".to_owned()), ..request("ada", Buyer::Customer) };
    let order = |card: Option<&str>, credits_at_once| {
        let request = TopUpRequest { method: card.map(str::to_owned), credits_at_once, ..order.clone() };
        engine.create_top_up(&request).map(|(view, is_again, _)| (view.top_up.method.unwrap_or_default(), is_again))
    };
    assert_eq!(order(Some("pm_1"), false), Ok(("pm_1".to_owned(), false)));
    for same in [Some("pm_1"), None] {
        assert_eq!(order(same, false), Ok(("pm_1".to_owned(), true)));
    }
    for (card, credits_at_once) in [(Some("pm_2"), false), (Some("pm_1"), true)] {
        let refused = order(card, credits_at_once);
        assert!(matches!(refused, Err(CommandError::Conflict { slug: "idempotency_conflict", .. })), "{refused:?}");
    }
}

/// What can expire is looked through all the time. So was what cannot, as long as a provider did not answer.
#[test]
fn a_charge_that_may_have_been_made_is_not_waited_for() {
    let engine = engine();
    with_card(&engine, "pm_1");
    let charge = TopUpRequest { provider: None, ..request("ada", Buyer::Customer) };
    let id = engine.create_top_up(&charge).expect("a top-up").0.top_up.id;
    let waiting = || engine.inner.billing.lock().waiting.len();
    assert_eq!(waiting(), 0);
    let url = Some("https://bank.example".to_owned());
    drop(engine.top_up_event(&id, &Event::Outcome(Outcome::RequiresAction { url })).expect("it is taken"));
    assert_eq!(waiting(), 1, "the bank asks the customer, who may never answer");
    drop(engine.top_up_event(&id, &Event::Outcome(Outcome::Unknown)).expect("it is taken"));
    assert_eq!(waiting(), 0);
}

#[test]
fn disputed_top_ups_are_looked_at_a_few_at_a_time_and_all_of_them() {
    let mut tables = Tables::default();
    tables.disputed = (0..5).map(|number| format!("top_{number}")).collect();
    let mut rounds = || tables.next_disputed(2).join(" ");
    assert_eq!([(); 4].map(|()| rounds()), ["top_0 top_1", "top_2 top_3", "top_4", "top_0 top_1"]);
}
