//! Payments driven, killed between their steps: the bank, which keeps its own book, has taken the money once, and the ledger has credited it once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use drawdown::billing::auto::{Mode, Rule};
use drawdown::billing::top_up::{Collection, Event, Kind, Status};
use drawdown::billing::{MoneyCode, PackageSpec};
use drawdown::engine::billing::{Buyer, TopUpRequest, TopUpView};
use drawdown::engine::catalog::{CurrencyKind, CurrencyNumber, CurrencySpec, Priorities};
use drawdown::engine::view::{GrantOptions, GrantRequest, Metadata};
use drawdown::engine::{Charge, Engine, EngineConfig, ManualClock, UsageEvent};
use drawdown::ledger::{Amount, Category, Decimal, Source, Trigger};
use drawdown::payments::{Config, Payments, SetupAsk, SimulatedBank};
use drawdown_outbound::Outgoing;
use drawdown_outbound::providers::simulated::book::{Book, Standing};
use drawdown_outbound::providers::simulated::command::{Answer, Command};
use drawdown_outbound::providers::simulated::{Bank, BankError, Local};
use drawdown_outbound::providers::{CheckoutRef, CheckoutState, Provider, SetupRef};
use drawdown_wal::Options;
use drawdown_wal::sim::Disk;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::books::{BEGIN, at};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A bank whose answer, or whose ear, is cut off at one of its commands: from then on the server that asked is as good as dead.
struct Cut {
    bank: Local,
    /// The command at which it happens, counted from zero, twice: before it is carried out, and after.
    at: u64,
    count: AtomicU64,
    reached: Arc<Notify>,
}

impl Bank for Cut {
    fn execute(&self, command: Command) -> Outgoing<'_, Result<Answer, BankError>> {
        Box::pin(async move {
            // What only passes time says nothing about payments.
            if matches!(command, Command::Due { .. } | Command::Advance { .. }) {
                return self.bank.execute(command).await;
            }
            let number = self.count.fetch_add(1, Ordering::SeqCst);
            if number >= self.at / 2 {
                if number == self.at / 2 && self.at % 2 == 1 {
                    drop(self.bank.execute(command).await);
                }
                self.reached.notify_one();
                return std::future::pending().await;
            }
            self.bank.execute(command).await
        })
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn open(disk: &Disk, clock: &Arc<ManualClock>) -> Engine {
    let log = Options { manual: false, max_unsynced_bytes: 2 << 20, ..Options::tiny(64 << 10) };
    let config = EngineConfig {
        log,
        expected_events: 64,
        expected_wallets: 4,
        replay_workers: 1,
        background: false,
        ..EngineConfig::default()
    };
    Engine::open_on(disk.medium(), config, clock.clone()).expect("it opens").0
}

/// Payments over a bank, on the runtime that this is called on.
fn start(engine: &Engine, bank: Arc<dyn Bank>) -> Payments {
    let simulated = SimulatedBank::new(bank, "http://pages.test".to_owned(), engine.secret_for("a test's bank"));
    let mut config = Config::new(vec![Arc::new(simulated.provider().clone())], "http://pages.test");
    config.simulated = Some(simulated);
    (config.retry, config.retry_max) = (Duration::from_millis(2), Duration::from_millis(20));
    Payments::start(engine.clone(), config)
}

fn set_up(engine: &Engine) {
    let spec = CurrencySpec {
        id: "credits".to_owned(),
        name: "Credits".to_owned(),
        symbol: String::new(),
        scale: 0,
        kind: CurrencyKind::Unit,
        max_balance: None,
        default_priorities: Priorities::new(),
    };
    engine.put_currency(spec).expect("a currency").1.wait().expect("durable");
    let package = PackageSpec {
        id: "starter".to_owned(),
        name: "Starter".to_owned(),
        credits: Decimal::from_integer(1_000),
        bonus: None,
        price: Decimal::from_parts(1_999, 2).expect("cents"),
        price_currency: "EUR".to_owned(),
        valid_for_ms: None,
        priority: None,
        max_per_customer: None,
        archived: false,
        metadata: Metadata::new(),
    };
    engine.put_package(&package, Some("credits")).expect("a package").1.wait().expect("durable");
}

fn grant(engine: &Engine, amount: i64) {
    let request = GrantRequest {
        customer: "ada".to_owned(),
        currency: Some("credits".to_owned()),
        amount: Decimal::from_integer(amount),
        source: Source::Promotional,
        category: Category::Promotional,
        priority: None,
        effective_at: None,
        expires_at: None,
        cost_basis: None,
        key: None,
        metadata: Metadata::new(),
        options: GrantOptions::default(),
    };
    engine.grant(&[request]).expect("a grant").1.wait().expect("durable");
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
        limits: Vec::new(),
        method: None,
        priority: None,
        valid_for_ms: None,
    }
}

fn debit(engine: &Engine, id: &str, amount: i64) {
    let charge = Charge::Amount { currency: Some("credits"), amount: Ok(Decimal::from_integer(amount)) };
    let event = UsageEvent { id, source: "", customer: "ada", charge, time: None, policy: None };
    let mut outcomes = Vec::new();
    engine.submit(&[event], &mut outcomes).expect("a healthy engine").wait().expect("durable");
}

fn buy(engine: &Engine, collection: Option<Collection>) -> TopUpView {
    let request = TopUpRequest {
        customer: "ada".to_owned(),
        currency: Some("credits".to_owned()),
        kind: Kind::Manual,
        package: Some(("starter".to_owned(), 1)),
        amount: None,
        credits: None,
        collection,
        provider: Some("simulated".to_owned()),
        method: None,
        saves_method: true,
        credits_at_once: false,
        return_url: Some("https://shop.test/back".to_owned()),
        address: None,
        expiry_ms: None,
        key: None,
        metadata: Metadata::new(),
        buyer: Buyer::Operator,
        form: None,
    };
    let (view, _, ticket) = engine.create_top_up(&request).expect("a top-up");
    // The work is lost on purpose: it is in the log.
    ticket.wait().expect("durable");
    view
}

fn balance(engine: &Engine) -> i64 {
    engine.wallet("ada", "credits").map_or(0, |wallet| wallet.balance.units())
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

/// Has a card saved for the customer.
async fn save_card(payments: &Payments, card: &str) {
    let ask = SetupAsk { customer: "ada".to_owned(), provider: None, return_url: None };
    let begun = payments.begin_setup(&ask, &format!("setup-{card}")).await.expect("a page");
    let simulated = payments.simulated().expect("it is simulated").provider();
    simulated.collect(&SetupRef::new(begun.setup), card, BEGIN / 1_000).await.expect("a test card");
    payments.pump().await;
}

fn newest(engine: &Engine) -> Option<TopUpView> {
    engine.top_ups(Some("ada"), None, 1).pop()
}

fn is_completed(engine: &Engine) -> bool {
    newest(engine).is_some_and(|view| view.top_up.status() == Status::Completed)
}

/// Money that the bank has taken: charges, and their sum.
fn taken(book: &Book) -> (usize, i64) {
    let paid = book.charges().values().filter(|entry| entry.standing == Standing::Succeeded);
    paid.fold((0, 0), |(count, sum), entry| (count + 1, sum + entry.ask.money.amount))
}

/// A ledger with a low wallet's rule and a saved card; the bank's book.
fn prepared(card: &str) -> (Disk, Arc<ManualClock>, Local) {
    let (disk, clock, bank) = (Disk::new(), Arc::new(ManualClock::new(at(BEGIN))), Local::in_memory());
    let engine = open(&disk, &clock);
    set_up(&engine);
    grant(&engine, 100);
    let runtime = runtime();
    runtime.block_on(async {
        let payments = start(&engine, Arc::new(bank.clone()));
        save_card(&payments, card).await;
        payments.stop();
    });
    runtime.shutdown_background();
    assert_eq!(engine.payment_methods("ada").len(), 1, "the card is saved");
    engine.put_rule(rule(50)).expect("a rule").1.wait().expect("durable");
    engine.close().expect("a healthy log");
    (disk.restart(), clock, bank)
}

#[test]
fn a_crossing_is_charged_once_and_credited_once_wherever_the_server_dies() {
    for card in ["4242424242424242", "9999000000000046", "9999000000000053"] {
        let mut reached = 0;
        for cut in 0..8 {
            let (disk, clock, bank) = prepared(card);
            let engine = open(&disk, &clock);
            let (first, told) = (runtime(), Arc::new(Notify::new()));
            let faulty = Cut { bank: bank.clone(), at: cut, count: AtomicU64::new(0), reached: Arc::clone(&told) };
            let is_cut = first.block_on(async {
                let _payments = start(&engine, Arc::new(faulty));
                let debited = engine.clone();
                tokio::task::spawn_blocking(move || debit(&debited, "e1", 60)).await.expect("a debit");
                tokio::select! {
                    () = told.notified() => true,
                    () = until("a top-up", || is_completed(&engine)) => false,
                }
            });
            first.shutdown_background();
            reached += u32::from(is_cut);
            let left = disk.crash(cut);
            drop(engine);

            let engine = open(&left, &clock);
            let second = runtime();
            second.block_on(async {
                let payments = start(&engine, Arc::new(bank.clone()));
                until("a completed top-up", || is_completed(&engine) && payments.is_quiet()).await;
                // What the bank tells beside, once more and late.
                payments.pump().await;
                until("quiet", || payments.is_quiet()).await;
            });
            second.shutdown_background();
            assert_eq!(taken(&bank.book()), (1, 1_999), "{card}, cut at {cut}");
            assert_eq!(balance(&engine), 1_040, "{card}, cut at {cut}");
            assert_eq!(engine.top_ups(Some("ada"), None, 10).len(), 1);
            engine.close().expect("a healthy log");
        }
        assert!(reached >= 2, "the server died at the charge and behind it at least: {reached}");
    }
}

#[test]
fn an_intent_without_an_outcome_is_charged_at_the_next_start() {
    let (disk, clock, bank) = prepared("4242424242424242");
    let engine = open(&disk, &clock);
    // Nobody is there to carry it out.
    debit(&engine, "e1", 60);
    engine.connect_provider("simulated").expect("a healthy engine").wait().expect("durable");
    assert_eq!(engine.take_work().len(), 1, "the rule has fired");
    let left = disk.crash(1);
    drop(engine);
    assert_eq!(taken(&bank.book()), (0, 0));
    let engine = open(&left, &clock);
    let runtime = runtime();
    runtime.block_on(async {
        let payments = start(&engine, Arc::new(bank.clone()));
        until("a completed top-up", || is_completed(&engine) && payments.is_quiet()).await;
    });
    runtime.shutdown_background();
    assert_eq!((taken(&bank.book()), balance(&engine)), ((1, 1_999), 1_040));
    engine.close().expect("a healthy log");
}

#[test]
fn a_checkout_collects_a_card_on_the_way_and_is_refunded() {
    let (disk, clock, bank) = (Disk::new(), Arc::new(ManualClock::new(at(BEGIN))), Local::in_memory());
    let engine = open(&disk, &clock);
    set_up(&engine);
    drop(engine.connect_provider("simulated").expect("a healthy engine"));
    let view = buy(&engine, Some(Collection::Checkout));
    let runtime = runtime();
    let id = view.top_up.id.clone();
    runtime.block_on(async {
        let payments = start(&engine, Arc::new(bank.clone()));
        until("a page", || engine.top_up(&id).is_ok_and(|view| view.top_up.checkout_url.is_some())).await;
        let url = engine.top_up(&id).expect("it is there").top_up.checkout_url.expect("a page");
        let session = url.strip_prefix("http://pages.test/checkout/").expect("the server's own").to_owned();
        let simulated = payments.simulated().expect("it is simulated").provider().clone();
        simulated.pay(&CheckoutRef::new(session), "4242424242424242", BEGIN / 1_000).await.expect("an open page");
        payments.pump().await;
        let paid = engine.top_up(&id).expect("it is there").top_up;
        assert_eq!((paid.status(), balance(&engine)), (Status::Completed, 1_000));
        let cards = engine.payment_methods("ada");
        assert_eq!(cards.iter().map(|card| Some(card.id.clone())).collect::<Vec<_>>(), [paid.method]);
        // Half of it goes back.
        let half = Event::AskRefund {
            key: "the first half, please".to_owned(),
            money: Some(drawdown::billing::Money::new(999, MoneyCode::iso("EUR").expect("euros"))),
        };
        engine.top_up_event(&id, &half).expect("it is taken").1.await.expect("durable");
        payments.take_up();
        payments.settle(&id, PATIENCE).await;
        payments.pump().await;
        let refunded = engine.top_up(&id).expect("it is there").top_up;
        assert_eq!(
            (refunded.status(), refunded.refunded().units, refunded.refunds.len()),
            (Status::PartiallyRefunded, 999, 1)
        );
        assert_eq!(balance(&engine), 1_000 - 499);
        // The rest at the provider, by hand of its people; and a dispute of a payment that is no more.
        payments.stop();
    });
    runtime.shutdown_background();
    assert_eq!(bank.book().charges().values().map(|entry| entry.refunded).sum::<i64>(), 999);
    engine.close().expect("a healthy log");
}

#[test]
fn a_page_that_nobody_pays_is_closed_and_its_money_never_taken() {
    let (disk, clock, bank) = (Disk::new(), Arc::new(ManualClock::new(at(BEGIN))), Local::in_memory());
    let engine = open(&disk, &clock);
    set_up(&engine);
    drop(engine.connect_provider("simulated").expect("a healthy engine"));
    let id = buy(&engine, Some(Collection::Checkout)).top_up.id;
    let runtime = runtime();
    runtime.block_on(async {
        let payments = start(&engine, Arc::new(bank.clone()));
        until("a page", || engine.top_up(&id).is_ok_and(|view| view.top_up.checkout_url.is_some())).await;
        let url = engine.top_up(&id).expect("it is there").top_up.checkout_url.expect("a page");
        clock.set(at(BEGIN + 300_000));
        until("its end", || engine.top_up(&id).is_ok_and(|view| view.top_up.status() == Status::Expired)).await;
        let session = CheckoutRef::new(url.rsplit('/').next().expect("a name"));
        let simulated = payments.simulated().expect("it is simulated").provider().clone();
        let closed = async {
            while simulated.checkout_state(&session).await != Ok(CheckoutState::Expired) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, closed).await.expect("the page is closed");
        assert!(simulated.pay(&session, "4242424242424242", BEGIN / 1_000).await.is_err(), "the page is closed");
        payments.stop();
    });
    runtime.shutdown_background();
    assert_eq!((taken(&bank.book()), balance(&engine)), ((0, 0), 0));
    engine.close().expect("a healthy log");
}

/// Payments whose provider's webhooks never arrive.
fn start_deaf(engine: &Engine, bank: &Local) -> Payments {
    let bank = Arc::new(bank.clone());
    let simulated = SimulatedBank::new(bank, "http://pages.test".to_owned(), engine.secret_for("a test's bank"));
    let mut config = Config::new(vec![Arc::new(simulated.provider().clone())], "http://pages.test");
    (config.retry, config.retry_max) = (Duration::from_millis(2), Duration::from_millis(20));
    Payments::start(engine.clone(), config)
}

#[test]
fn a_payment_whose_webhook_is_lost_is_asked_after() {
    for (card, end, credits) in
        [("9999000000000012", Status::Completed, 1_040), ("9999000000000020", Status::Failed, 40)]
    {
        let (disk, clock, bank) = prepared(card);
        let engine = open(&disk, &clock);
        let runtime = runtime();
        runtime.block_on(async {
            let payments = start_deaf(&engine, &bank);
            let debited = engine.clone();
            tokio::task::spawn_blocking(move || debit(&debited, "e1", 60)).await.expect("a debit");
            let stands = |status| newest(&engine).is_some_and(|view| view.top_up.status() == status);
            until("a payment under way", || stands(Status::Processing) && payments.is_quiet()).await;
            let settled = bank.execute(Command::Advance { now_s: BEGIN / 1_000 + 30 }).await;
            settled.expect("the bank is there");
            clock.set(at(BEGIN + 59_999));
            drop(engine.expire_top_ups().expect("a healthy engine"));
            assert!(engine.take_work().is_empty(), "it is not time yet");
            clock.set(at(BEGIN + 60_000));
            until("its end", || stands(end)).await;
            payments.stop();
        });
        runtime.shutdown_background();
        assert_eq!(balance(&engine), credits);
        engine.close().expect("a healthy log");
    }
}

#[test]
fn a_page_that_was_paid_and_whose_webhook_is_lost_is_credited_at_its_end() {
    for card in ["4242424242424242", "9999000000000012"] {
        let (disk, clock, bank) = (Disk::new(), Arc::new(ManualClock::new(at(BEGIN))), Local::in_memory());
        let engine = open(&disk, &clock);
        set_up(&engine);
        drop(engine.connect_provider("simulated").expect("a healthy engine"));
        let id = buy(&engine, Some(Collection::Checkout)).top_up.id;
        let runtime = runtime();
        runtime.block_on(async {
            let payments = start_deaf(&engine, &bank);
            let top_up = || engine.top_up(&id).expect("it is there").top_up;
            until("a page", || top_up().checkout_url.is_some()).await;
            let url = top_up().checkout_url.expect("a page");
            let session = CheckoutRef::new(url.rsplit('/').next().expect("a name"));
            let other = SimulatedBank::new(Arc::new(bank.clone()), String::new(), [0; 32]);
            // Past all questions that come before the end.
            clock.set(at(BEGIN + 299_999));
            other.provider().pay(&session, card, BEGIN / 1_000 + 299).await.expect("an open page");
            clock.set(at(BEGIN + 300_000));
            // One that is processing when its time is over is asked after until the money is there.
            until("its end", || top_up().status() != Status::Created && payments.is_quiet()).await;
            bank.execute(Command::Advance { now_s: BEGIN / 1_000 + 400 }).await.expect("the bank is there");
            clock.set(at(BEGIN + 700_000));
            until("the money", || top_up().status() == Status::Completed && payments.is_quiet()).await;
            payments.stop();
        });
        runtime.shutdown_background();
        assert_eq!((taken(&bank.book()), balance(&engine)), ((1, 1_999), 1_000), "{card}");
        engine.close().expect("a healthy log");
    }
}
