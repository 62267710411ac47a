//! The follower that sets rules off: whichever way it learns of a debit, and whatever comes between its steps, no wallet that runs low is missed.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use drawdown::billing::PaymentMethod;
use drawdown::billing::auto::{Limit, Mode, Rule};
use drawdown::billing::top_up::{Command, Event, Outcome};
use drawdown::engine::billing::Work;
use drawdown::engine::catalog::{CurrencyKind, CurrencyNumber};
use drawdown::engine::view::{GrantOptions, GrantRequest, Metadata};
use drawdown::engine::{ApiKeyRecord, Charge, Engine, ManualClock, UsageEvent};
use drawdown::ledger::{Amount, Category, Decimal, Policy, Source, Trigger};
use drawdown_wal::sim::Disk;
use drawdown_wal::{Lsn, Pumped};

use crate::billing::{SEGMENT_BYTES, card, currency, euros, package};
use crate::books::{BEGIN, at, config};

/// What each wallet has at the beginning, and below which it buys.
const CREDITS: i64 = 100;
const THRESHOLD: i64 = 50;

fn engine() -> Engine {
    open_on(&Disk::new())
}

/// An engine whose follower has begun.
fn open_on(disk: &Disk) -> Engine {
    let clock = Arc::new(ManualClock::new(at(BEGIN)));
    let engine = Engine::open_on(disk.medium(), config(SEGMENT_BYTES), clock).expect("a sound ledger").0;
    engine.follow_rules().expect("a healthy engine");
    drop(engine.connect_provider("simulated").expect("a healthy engine"));
    drop(engine.put_currency(currency("credits", CurrencyKind::Unit)).expect("a currency"));
    drop(engine.put_package(&package("starter", 100, 1_999), Some("credits")).expect("a package"));
    engine
}

fn customer(number: usize) -> String {
    format!("cus_{number}")
}

fn grant(engine: &Engine, customer: &str, credits: i64) {
    let request = GrantRequest {
        customer: customer.to_owned(),
        currency: None,
        amount: Decimal::from_integer(credits),
        source: Source::Package,
        category: Category::Paid,
        priority: None,
        effective_at: None,
        expires_at: None,
        cost_basis: None,
        key: None,
        metadata: Metadata::new(),
        options: GrantOptions::default(),
    };
    let (outcomes, ticket) = engine.grant(&[request]).expect("a healthy engine");
    drop(ticket);
    for outcome in outcomes {
        outcome.result.expect("it is made");
    }
}

fn rule(customer: &str, threshold: i64) -> Rule {
    Rule {
        customer: customer.to_owned(),
        currency: CurrencyNumber(0),
        enabled: true,
        threshold: Amount::new(threshold),
        trigger: Trigger::Below,
        mode: Mode::Package { package: "starter".to_owned(), quantity: 1 },
        cooldown_ms: 0,
        limits: Vec::<Limit>::new(),
        method: None,
        priority: None,
        valid_for_ms: None,
    }
}

fn set_rule(engine: &Engine, rule: Rule) {
    drop(engine.put_rule(rule).expect("a rule"));
}

fn add_card(engine: &Engine, customer: &str) {
    let id = format!("pm_{customer}");
    let method = PaymentMethod { customer: customer.to_owned(), id: id.clone(), ..card(&id, &id) };
    drop(engine.add_payment_method(method).expect("a card"));
}

/// Customers `0..count`, each with a card, credits and a rule.
fn with_rules(engine: &Engine, count: usize) {
    for customer in (0..count).map(customer) {
        add_card(engine, &customer);
        grant(engine, &customer, CREDITS);
        set_rule(engine, rule(&customer, THRESHOLD));
    }
    assert_eq!(charged(engine), Vec::<String>::new());
}

/// Debits, all of one batch.
fn debit(engine: &Engine, id: &str, customers: &[String], amount: i64) {
    debit_by(engine, id, customers, amount, None);
}

fn debit_by(engine: &Engine, id: &str, customers: &[String], amount: i64, policy: Option<Policy>) {
    let ids: Vec<_> = (0..customers.len()).map(|number| format!("{id}-{number}")).collect();
    let events: Vec<_> = ids
        .iter()
        .zip(customers)
        .map(|(id, customer)| UsageEvent {
            id,
            source: "",
            customer,
            charge: Charge::Amount { currency: Some("credits"), amount: Ok(Decimal::from_integer(amount)) },
            time: None,
            policy,
        })
        .collect();
    let mut outcomes = Vec::new();
    drop(engine.submit(&events, &mut outcomes).expect("a healthy engine"));
    assert!(outcomes.iter().all(|outcome| outcome.entry.is_some()), "{outcomes:?}");
}

fn sync(engine: &Engine) {
    engine.barrier().wait().expect("a healthy log");
}

/// Follows what is durable to its end, and gives the customers who are to be charged since.
fn charged(engine: &Engine) -> Vec<String> {
    sync(engine);
    while engine.follow_rules().expect("a healthy engine").more {}
    sync(engine);
    let work = engine.take_work();
    let customer = |work: &Work| {
        assert!(matches!(work.command, Command::Charge { .. }), "{work:?}");
        engine.top_up(&work.top_up).expect("it is there").top_up.customer
    };
    work.iter().map(customer).collect()
}

/// Whether a future is ready the first time that it is asked.
fn is_ready<F: Future>(future: F) -> bool {
    matches!(pin!(future).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_))
}

/// With many rules a batch is read, with few ones all wallets are looked at.
#[test]
fn a_wallet_that_runs_low_is_found_by_reading_and_by_looking() {
    for rules in [1, 200] {
        let engine = engine();
        with_rules(&engine, rules);
        for stranger in (rules..rules + 20).map(customer) {
            grant(&engine, &stranger, CREDITS);
        }
        assert_eq!(charged(&engine), Vec::<String>::new());
        // What all of a batch take does not make anybody low.
        let all: Vec<_> = (0..rules + 20).map(customer).collect();
        debit(&engine, "some", &all[rules.saturating_sub(3)..], 40);
        assert_eq!(charged(&engine), Vec::<String>::new(), "with {rules} rules");
        debit(&engine, "more", &all[rules - 1..], 20);
        assert_eq!(charged(&engine), [customer(rules - 1)], "with {rules} rules");
        assert_eq!(charged(&engine), Vec::<String>::new(), "once");
        engine.close().expect("a healthy log");
    }
}

/// Each debit takes so much log that one more of them is read, or not.
#[test]
fn the_end_of_what_is_read_misses_nothing() {
    let engine = engine();
    with_rules(&engine, 40);
    let all: Vec<_> = (0..40).map(customer).collect();
    for (number, customer) in all.iter().enumerate() {
        // More and more records of one that has no rule, and then one of one that has.
        let stranger = format!("stranger_{number}");
        grant(&engine, &stranger, 1_000);
        debit(&engine, &format!("{number}s"), &vec![stranger; 1 + 3 * number], 1);
        debit(&engine, &format!("{number}"), std::slice::from_ref(customer), CREDITS);
        assert_eq!(charged(&engine), std::slice::from_ref(customer), "step {number}");
    }
}

#[test]
fn a_rule_is_followed_as_it_was_set_last() {
    let engine = engine();
    with_rules(&engine, 1);
    let ada = customer(0);
    let one = std::slice::from_ref(&ada);
    // Higher than before: 20 more make it low.
    set_rule(&engine, rule(&ada, 90));
    debit(&engine, "e1", one, 20);
    assert_eq!(charged(&engine), one);
    let paid = engine.top_ups(None, None, 1).remove(0).top_up.id;
    let outcome = Outcome::Succeeded { reference: "ch_1".to_owned(), money: euros(1_999), method: None };
    drop(engine.top_up_event(&paid, &Event::Outcome(outcome)).expect("it is taken"));
    // Switched off, and on again: it is evaluated as it is set.
    set_rule(&engine, Rule { enabled: false, ..rule(&ada, 90) });
    debit(&engine, "e2", one, 150);
    assert!(engine.follow_rules().expect("a healthy engine").is_idle);
    assert_eq!(charged(&engine), Vec::<String>::new());
    set_rule(&engine, rule(&ada, 10));
    assert_eq!(charged(&engine), Vec::<String>::new(), "30 are not below 10");
    debit(&engine, "e3", one, 25);
    assert_eq!(charged(&engine), one);
}

#[test]
fn a_rule_that_is_there_before_its_wallet_finds_it() {
    let engine = engine();
    with_rules(&engine, 1);
    let late = ["late".to_owned()];
    add_card(&engine, &late[0]);
    // A wallet that is still to be made has nothing, and that is not below nothing.
    set_rule(&engine, rule(&late[0], 0));
    assert_eq!(charged(&engine), Vec::<String>::new());
    grant(&engine, &late[0], 5);
    assert_eq!(charged(&engine), Vec::<String>::new());
    debit_by(&engine, "e1", &late, 6, Some(Policy::Overdraft));
    assert_eq!(charged(&engine), late);
}

#[test]
fn a_rule_buys_for_a_wallet_that_is_still_to_be_made() {
    let engine = engine();
    let early = "early".to_owned();
    grant(&engine, "another", 5);
    set_rule(&engine, rule(&early, THRESHOLD));
    assert_eq!(charged(&engine), Vec::<String>::new(), "there is no card");
    add_card(&engine, &early);
    assert_eq!(charged(&engine), [early]);
}

/// The wait was for what becomes durable after it has begun; what became so between the reading and the wait was slept through until the next write.
#[test]
fn what_becomes_durable_between_a_reading_and_the_wait_ends_the_wait() {
    let engine = engine();
    with_rules(&engine, 1);
    let one = [customer(0)];
    sync(&engine);
    let step = loop {
        let step = engine.follow_rules().expect("a healthy engine");
        if !step.more {
            break step;
        }
    };
    let page = engine.feed(Lsn::ZERO, usize::MAX, None).expect("it is there");
    assert!(page.at_end);
    assert!(!is_ready(engine.feed_wait(step.position)), "there is nothing");
    assert!(!is_ready(engine.feed_wait(page.read)), "there is nothing");
    debit(&engine, "e1", &one, 1);
    assert!(!is_ready(engine.feed_wait(step.position)), "it is not durable");
    sync(&engine);
    assert!(is_ready(engine.feed_wait(step.position)), "the follower sleeps through a debit");
    assert!(is_ready(engine.feed_wait(page.read)), "a reader of the feed sleeps through a debit");
    // Of what was not selected nothing is told, and its reader waits for more all the same.
    let page = engine.feed(page.next, 10, Some(&["grant.created"])).expect("it is there");
    assert!(page.events.is_empty() && page.at_end);
    assert!(!is_ready(engine.feed_wait(page.read)));
}

/// The log may take nothing when a rule fires. The crossing was forgotten then, until the wallet's next record.
#[test]
fn what_the_log_had_no_room_for_is_evaluated_again() {
    let disk = Disk::new();
    let engine = open_on(&disk);
    with_rules(&engine, 3);
    disk.fill_up(disk.creations() + 1);
    let all: Vec<_> = (0..3).map(customer).collect();
    debit(&engine, "low", &all, CREDITS - THRESHOLD + 1);
    let filler = ApiKeyRecord {
        id: "filler".to_owned(),
        name: "n".repeat(128),
        live: false,
        scopes: 0,
        hash: [0; 32],
        created_ms: BEGIN,
        revoked: true,
    };
    while engine.put_api_key(filler.clone()).is_ok() {
        while engine.log().pump() != (Pumped { synced: false, prepared: false }) {}
    }
    engine.follow_rules().expect_err("an intent finds no room");
    assert_eq!(engine.take_work(), []);
    engine.evaluate_due().map(drop).expect_err("still none");
    disk.make_space();
    while engine.log().pump() != (Pumped { synced: false, prepared: false }) {}
    // No record of the wallets comes; they are looked at again by themselves.
    drop(engine.evaluate_due().expect("there is room"));
    assert_eq!(charged(&engine), all);
}
