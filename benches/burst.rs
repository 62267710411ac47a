//! What do automatic top-ups cost the events that set them off, and how soon after a crossing is durable does the charge leave?
//!
//! The burst: a million events over a hundred wallets that all run low, several times each, half of them up to the limit of their rule; and as many
//! over wallets without rules in a ledger of its own. Parts of the two take turns, so that whatever disturbs the machine disturbs both. What is
//! charged is recorded by a provider in memory. Afterwards the books must hold to the unit: one charge and one grant for each top-up, no limit
//! exceeded, none stopped short of, every balance exact. The bar is 0.95 of the throughput without rules.
//!
//! The latency: events over wallets of which some cross their threshold with it, once each; first as fast as they are taken, for some seconds, and then at
//! half the rate at which they were. Measured is from when a thread that waits for the crossing's batch has learned that it is durable to when the
//! provider is asked. The bar is 10 ms for 99 of 100.
//!
//! `cargo bench --bench burst`, or `loadtest/burst.sh`. Ledgers lie on the disk of the build.
#![expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "for people to read")]

mod common;

use common::batch::{Batch, customer};
use common::figures::{Figure, tell};
use common::{BATCH, CURRENCY, Ledger, UNITS_PER_CREDIT, config, disk_dir, is_measuring, size};
use drawdown::billing::auto::{Limit, Mode, Rule};
use drawdown::billing::top_up::{Credit, Kind, Status};
use drawdown::billing::{Money, MoneyCode, PackageSpec, PaymentMethod, Per};
use drawdown::engine::Ticket;
use drawdown::engine::catalog::CurrencyNumber;
use drawdown::engine::view::Metadata;
use drawdown::ledger::{Amount, Decimal, Timestamp, Trigger};
use drawdown::payments::{Config, Payments};
use drawdown_outbound::Outgoing;
use drawdown_outbound::http::HeaderMap;
use drawdown_outbound::providers::{
    CallError, Charge, ChargeOutcome, ChargeRef, Checkout, CheckoutRef, CheckoutState, CustomerRef, FindCharge,
    FindRefund, FoundCharge, Method, MethodRef, NewCheckout, NewCustomer, NewSetup, Provider, ReceiveError, Received,
    Refund, RefundOutcome, Setup, SetupRef,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// The provider's name.
const RECORDER: &str = "recorder";
/// Wallets of the burst.
const WALLETS: u64 = 100;
/// Credits that a package gives, by its id, and its price in cents.
const PACKAGES: [(&str, i64, i64); 2] = [("large", 5_000, 4_999), ("small", 1_500, 1_999)];
/// What the first and the second half of the wallets begin with, and below which balance they buy: of `large` without a limit, of `small` with.
const HALVES: [(i64, i64); 2] = [(5_000, 4_000), (6_500, 5_500)];
/// Top-ups that the limited ones may make a day.
const LIMIT: u32 = 3;
/// Bursts, of which the middle one counts: one takes a third of a second, and the machine has its moods.
const BURSTS: u64 = 7;
/// Times that each ledger has its turn; and credits that each wallet uses in one.
const TURNS: u64 = 20;
const USED_PER_TURN: i64 = 500;

/// A provider that takes the money of everybody who asks, and writes down who did and when.
#[derive(Default)]
struct Recorder {
    charges: Mutex<HashMap<String, Charged>>,
}

struct Charged {
    method: String,
    cents: i64,
    times: u32,
    at: Instant,
}

fn unsupported<T>() -> Outgoing<'static, Result<T, CallError>>
where
    T: Send + 'static,
{
    Box::pin(std::future::ready(Err(CallError::Unsupported("do that"))))
}

impl Provider for Recorder {
    fn name(&self) -> &'static str {
        RECORDER
    }

    fn ensure_customer<'a>(&'a self, ask: &'a NewCustomer) -> Outgoing<'a, Result<CustomerRef, CallError>> {
        Box::pin(std::future::ready(Ok(CustomerRef::new(ask.reference.clone()))))
    }

    fn begin_setup<'a>(&'a self, _ask: &'a NewSetup) -> Outgoing<'a, Result<Setup, CallError>> {
        unsupported()
    }

    fn find_setup<'a>(&'a self, _setup: &'a SetupRef) -> Outgoing<'a, Result<Option<MethodRef>, CallError>> {
        unsupported()
    }

    fn method<'a>(&'a self, _method: &'a MethodRef) -> Outgoing<'a, Result<Method, CallError>> {
        unsupported()
    }

    fn detach<'a>(&'a self, _method: &'a MethodRef) -> Outgoing<'a, Result<(), CallError>> {
        unsupported()
    }

    fn charge<'a>(&'a self, ask: &'a Charge) -> Outgoing<'a, ChargeOutcome> {
        let at = Instant::now();
        let (method, cents) = (ask.method.as_str().to_owned(), ask.money.amount);
        let mut charges = self.charges.lock().expect("nobody fails with it");
        let known = charges.entry(ask.key.as_str().to_owned()).or_insert(Charged { method, cents, times: 0, at });
        known.times += 1;
        let charge = ChargeRef::new(format!("ch_{}", ask.key));
        Box::pin(std::future::ready(ChargeOutcome::Succeeded { charge }))
    }

    fn find_charge<'a>(&'a self, _ask: &'a FindCharge) -> Outgoing<'a, Result<Option<FoundCharge>, CallError>> {
        unsupported()
    }

    fn open_checkout<'a>(&'a self, _ask: &'a NewCheckout) -> Outgoing<'a, Result<Checkout, CallError>> {
        unsupported()
    }

    fn checkout_state<'a>(&'a self, _of: &'a CheckoutRef) -> Outgoing<'a, Result<CheckoutState, CallError>> {
        unsupported()
    }

    fn close_checkout<'a>(&'a self, _of: &'a CheckoutRef) -> Outgoing<'a, Result<CheckoutState, CallError>> {
        unsupported()
    }

    fn refund<'a>(&'a self, _ask: &'a Refund) -> Outgoing<'a, RefundOutcome> {
        Box::pin(std::future::ready(RefundOutcome::Unsupported))
    }

    fn find_refund<'a>(&'a self, _ask: &'a FindRefund) -> Outgoing<'a, Result<Option<RefundOutcome>, CallError>> {
        unsupported()
    }

    fn receive(&self, _headers: &HeaderMap, _body: &[u8], _now_s: u64) -> Result<Received, ReceiveError> {
        unreachable!("it tells nothing on its own")
    }
}

fn euros(cents: i64) -> Money {
    Money::new(cents, MoneyCode::iso("EUR").expect("euros"))
}

/// Wallets with cards and rules, and who charges them.
struct Buying {
    ledger: Ledger,
    recorder: Arc<Recorder>,
    payments: Payments,
    _runtime: Runtime,
}

impl Buying {
    /// With tables as large as so many wallets and events want them: what their growing costs is asked by the bench *growth*.
    fn new(wallets: u64, events: u64) -> Buying {
        let mut config = config(wallets);
        config.expected_events = config.expected_events.max(events as usize);
        let ledger = Ledger::open(disk_dir(), config, wallets);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let recorder = Arc::new(Recorder::default());
        let payments = {
            let _entered = runtime.enter();
            Payments::start(ledger.engine.clone(), Config::new(vec![recorder.clone()], "http://pages.test"))
        };
        for (id, credits, cents) in PACKAGES {
            let package = PackageSpec {
                id: id.to_owned(),
                name: id.to_owned(),
                credits: Decimal::from_integer(credits),
                bonus: None,
                price: Decimal::from_parts(cents, 2).expect("cents"),
                price_currency: "EUR".to_owned(),
                valid_for_ms: None,
                priority: None,
                max_per_customer: None,
                archived: false,
                metadata: Metadata::new(),
            };
            drop(ledger.engine.put_package(&package, Some(CURRENCY)).expect("a package"));
        }
        Buying { ledger, recorder, payments, _runtime: runtime }
    }

    /// Gives a wallet a card and a rule that buys a package.
    fn set_rule(&self, wallet: u64, threshold: i64, package: &str, limits: Vec<Limit>) {
        let (engine, owner) = (&self.ledger.engine, customer(wallet));
        let card = PaymentMethod {
            id: format!("pm_{wallet}"),
            customer: owner.clone(),
            provider: RECORDER.to_owned(),
            reference: format!("pm_{wallet}"),
            brand: None,
            last4: None,
            expiry: None,
            fingerprint: None,
            is_default: true,
            detached: false,
            created_at: Timestamp::EPOCH,
        };
        drop(engine.add_payment_method(card).expect("a card"));
        // As saving the card would have done.
        drop(engine.note_reference(RECORDER, &format!("customer:{owner}"), &owner).expect("a reference"));
        let rule = Rule {
            customer: owner,
            currency: CurrencyNumber(0),
            enabled: true,
            threshold: Amount::new(threshold * UNITS_PER_CREDIT),
            trigger: Trigger::Below,
            mode: Mode::Package { package: package.to_owned(), quantity: 1 },
            cooldown_ms: 0,
            limits,
            method: None,
            priority: None,
            valid_for_ms: None,
        };
        drop(engine.put_rule(rule).expect("a rule"));
    }

    /// Waits until every crossing so far was looked at, and what it set off is done. Answers how long that took.
    fn catch_up(&self) -> Duration {
        let begun = Instant::now();
        let engine = &self.ledger.engine;
        loop {
            engine.barrier().wait().expect("a healthy log");
            while engine.follow_rules().expect("a healthy engine").more {}
            engine.barrier().wait().expect("a healthy log");
            let is_open = |status: Status| status.is_open();
            let newest = engine.top_ups(None, None, 4 * self.ledger.wallets as usize);
            if self.payments.is_quiet() && !newest.iter().any(|view| is_open(view.top_up.status())) {
                return begun.elapsed();
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Sends so many batches, each wallet as often as any other, and waits until all are durable. The time of renewing them is part of it.
fn send(ledger: &Ledger, batch: &mut Batch, batches: u64) -> Duration {
    let events_per_wallet = (batches * BATCH as u64 / ledger.wallets).cast_signed();
    let units = USED_PER_TURN * UNITS_PER_CREDIT / events_per_wallet;
    let begun = Instant::now();
    for _ in 0..batches {
        batch.renew_on(BATCH, |number| number % ledger.wallets);
        let mut sent = batch.try_submit(ledger, units);
        while sent.is_err() {
            ledger.engine.barrier().wait().expect("a healthy log");
            sent = batch.try_submit(ledger, units);
        }
        assert_eq!(batch.tally().applied, BATCH, "no wallet runs out");
    }
    ledger.engine.barrier().wait().expect("a healthy log");
    let took = begun.elapsed();
    ledger.debited(batches * BATCH as u64, units);
    took
}

/// What a burst came to.
struct Burst {
    /// Events a second.
    with_rules: f64,
    without: f64,
    bought: usize,
    /// The longest until all that a turn set off was done.
    lag: Duration,
}

/// One burst, on ledgers of its own.
fn burst() -> Burst {
    let batches_per_turn = size(50, 1);
    let plain = Ledger::open(disk_dir(), config(WALLETS), WALLETS);
    plain.fund(0..WALLETS, 1_000_000, None);
    let buying = Buying::new(WALLETS, 0);
    let half = WALLETS / 2;
    for (wallets, (begins, _)) in [0..half, half..WALLETS].into_iter().zip(HALVES) {
        buying.ledger.fund(wallets, begins, None);
    }
    let amount = Some(euros(i64::from(LIMIT) * PACKAGES[1].2));
    let limits = vec![Limit { per: Per::Month, count: Some(LIMIT), amount }];
    for wallet in 0..WALLETS {
        let limited = usize::from(wallet >= half);
        let limits = if limited == 1 { limits.clone() } else { Vec::new() };
        buying.set_rule(wallet, HALVES[limited].1, PACKAGES[limited].0, limits);
    }
    buying.ledger.engine.barrier().wait().expect("a healthy log");
    let (mut with, mut without) = (Batch::new(0), Batch::new(0));
    let (mut took, mut lag) = ([Duration::ZERO; 2], Duration::ZERO);
    for turn in 0..TURNS {
        for which in [turn % 2, 1 - turn % 2] {
            if which == 0 {
                took[0] += send(&buying.ledger, &mut with, batches_per_turn);
                lag = lag.max(buying.catch_up());
            } else {
                took[1] += send(&plain, &mut without, batches_per_turn);
            }
        }
    }
    plain.verify();
    let events = (TURNS * batches_per_turn * BATCH as u64) as f64;
    let [with_rules, without] = took.map(|took| events / took.as_secs_f64());
    let bought = check_books(&buying, TURNS.cast_signed() * USED_PER_TURN);
    buying.payments.stop();
    Burst { with_rules, without, bought, lag }
}

/// Bursts one after the other. Answers how many events a second went through without rules, in the middle one.
fn bursts() -> f64 {
    let bursts: Vec<Burst> = (0..size(BURSTS, 1)).map(|_| burst()).collect();
    let middle = |of: fn(&Burst) -> f64| {
        let mut values: Vec<f64> = bursts.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let figure = |name: &str, value: f64| Figure { name: name.to_owned(), value };
    let ratio = |burst: &Burst| burst.with_rules / burst.without * 1e3;
    tell(
        "burst_events",
        "How many events go through while all their wallets run low (the middle of some bursts of a million)?",
        "k/s",
        &[
            figure("with rules", middle(|burst| burst.with_rules / 1e3)),
            figure("without", middle(|burst| burst.without / 1e3)),
        ],
    );
    let all = bursts.iter().map(|burst| figure("each burst", ratio(burst)));
    let figures: Vec<_> = std::iter::once(figure("the middle one (bar 950)", middle(ratio))).chain(all).collect();
    tell("burst_ratio", "And how much is that of what goes through without rules?", "thousandths", &figures);
    tell(
        "burst_top_ups",
        "What was bought in a burst, each charged and granted once, with limits exact to the unit?",
        "",
        &[
            figure("top-ups", middle(|burst| burst.bought as f64)),
            figure("longest until all of a turn was bought, ms", middle(|burst| burst.lag.as_secs_f64() * 1e3)),
        ],
    );
    middle(|burst| burst.without)
}

/// Holds the ledger against the provider's book. Each wallet was debited `used` credits. Answers how many top-ups there were.
fn check_books(buying: &Buying, used: i64) -> usize {
    let engine = &buying.ledger.engine;
    let top_ups = engine.top_ups(None, None, usize::MAX >> 1);
    let charges = buying.recorder.charges.lock().expect("nobody failed with it");
    assert_eq!(top_ups.len(), charges.len(), "one charge for each top-up");
    let mut of_wallet: HashMap<String, (u32, i64, i64)> = HashMap::new();
    for view in &top_ups {
        let top_up = &view.top_up;
        let charged = &charges[&top_up.id];
        let price = top_up.purchase.price.expect("what is charged has a price").units;
        assert_eq!((top_up.kind, top_up.status()), (Kind::Auto, Status::Completed));
        assert_eq!((Some(&charged.method), charged.cents, charged.times), (top_up.method.as_ref(), price, 1));
        let Credit::Granted { amount, .. } = top_up.credit else { panic!("{top_up:?}") };
        let sums = of_wallet.entry(top_up.customer.clone()).or_default();
        *sums = (sums.0 + 1, sums.1 + price, sums.2 + amount.units());
    }
    for wallet in 0..WALLETS {
        let (owner, limited) = (customer(wallet), usize::from(wallet >= WALLETS / 2));
        let (count, cents, credited) = of_wallet.get(&owner).copied().unwrap_or_default();
        let balance = engine.wallet(&owner, CURRENCY).expect("a wallet").balance.units();
        let (begins, threshold) = HALVES[limited];
        assert_eq!(balance, (begins - used) * UNITS_PER_CREDIT + credited, "{owner}: exact to the unit");
        let low = threshold * UNITS_PER_CREDIT - balance;
        if limited == 1 {
            assert!(count <= LIMIT && cents <= i64::from(LIMIT) * PACKAGES[1].2, "{owner} exceeds its limit");
        }
        if low > 0 {
            // Low, and kept from buying: by exactly its limit.
            let packages = low.cast_unsigned().div_ceil((PACKAGES[1].1 * UNITS_PER_CREDIT).cast_unsigned());
            let next = packages.cast_signed() * PACKAGES[1].2;
            let is_at_limit = count == LIMIT || cents + next > i64::from(LIMIT) * PACKAGES[1].2;
            assert!(limited == 1 && is_at_limit, "{owner} is low and has not reached its limit: {count}, {cents}");
        }
    }
    drop(charges);
    top_ups.len()
}

/// Events over wallets of which some cross their thresholds with it, once each; as many as `pace` comes to in so many seconds. At that pace it is told how
/// long after a crossing is durable the provider is asked; otherwise they come as fast as they are taken. Answers how many a second did.
fn stream(seconds: u64, pace: f64, is_paced: bool) -> f64 {
    let every = 2;
    let interval = Duration::from_secs_f64(BATCH as f64 / pace);
    let batches = (seconds as f64 / interval.as_secs_f64()) as u64;
    let (steady, crossing) = (100, batches / every + 1);
    let buying = Buying::new(steady + crossing, batches * BATCH as u64);
    buying.ledger.fund(0..steady, 1_000_000, None);
    buying.ledger.fund(steady..steady + crossing, 50, None);
    for wallet in steady..steady + crossing {
        buying.set_rule(wallet, 50, "small", Vec::new());
    }
    buying.catch_up();
    let (sender, receiver) = mpsc::channel::<(u64, Instant, Ticket)>();
    let waiting = std::thread::spawn(move || {
        let durable = |(wallet, sent, ticket): (u64, Instant, Ticket)| {
            ticket.wait().expect("a healthy log");
            (wallet, sent, Instant::now())
        };
        receiver.into_iter().map(durable).collect::<Vec<_>>()
    });
    let (mut batch, begun, mut late) = (Batch::new(0), Instant::now(), 0);
    for number in 0..batches {
        if is_paced {
            let due = begun + interval * number as u32;
            late += u64::from(Instant::now() > due + Duration::from_millis(20));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let first = batch.next_number();
        let crosses = number.is_multiple_of(every);
        // The first event of a batch is the one that crosses.
        let wallet = |event: u64| if crosses && event == first { steady + number / every } else { event % steady };
        batch.renew_on(BATCH, wallet);
        while batch.try_submit(&buying.ledger, UNITS_PER_CREDIT).is_err() {
            buying.ledger.engine.barrier().wait().expect("a healthy log");
        }
        if crosses {
            let ticket = buying.ledger.engine.barrier();
            sender.send((steady + number / every, Instant::now(), ticket)).expect("somebody waits");
        }
    }
    drop(sender);
    let durable = waiting.join().expect("the waiting thread ends");
    let rate = (batches * BATCH as u64) as f64 / begun.elapsed().as_secs_f64();
    buying.catch_up();
    let charges = buying.recorder.charges.lock().expect("nobody failed with it");
    assert_eq!(charges.len(), durable.len(), "each crossing was charged, once");
    let sent: HashMap<&str, Instant> = charges.values().map(|charged| (charged.method.as_str(), charged.at)).collect();
    let asked = |wallet: u64| sent[format!("pm_{wallet}").as_str()];
    if is_paced {
        let from_durable =
            durable.iter().map(|(wallet, _, durable)| asked(*wallet).saturating_duration_since(*durable));
        let from_event = durable.iter().map(|(wallet, event, _)| asked(*wallet).saturating_duration_since(*event));
        println!("{} crossings among {batches} k events at {:.0} k/s, {late} batches late", durable.len(), pace / 1e3);
        spread(
            "charge_after_durable",
            "How long from a durable crossing to its charge (bar: p99 10 ms)?",
            from_durable.collect(),
        );
        spread("charge_after_event", "How long from the event's submission to the charge?", from_event.collect());
        let to_durable = durable.iter().map(|(_, event, durable)| durable.saturating_duration_since(*event));
        spread("durable_after_event", "And how much of that until the event was durable?", to_durable.collect());
    }
    drop(charges);
    buying.payments.stop();
    rate
}

/// Prints how times are spread.
fn spread(file: &str, question: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let shares = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("longest", 1.0)];
    let figures = shares.map(|(name, share)| Figure { name: name.to_owned(), value: at(share) });
    tell(file, question, "ms", &figures);
    let mut upper = Duration::from_micros(500);
    let mut rest = &times[..];
    while !rest.is_empty() {
        let count = rest.partition_point(|time| *time <= upper);
        let bar = "#".repeat((count * 50).div_ceil(times.len()));
        println!("    up to {:>7.1} ms {count:>7} {bar}", upper.as_secs_f64() * 1e3);
        (rest, upper) = (&rest[count..], upper * 2);
    }
}

fn main() {
    let in_bursts = bursts();
    if !is_measuring() {
        stream(1, 50_000.0, true);
        return;
    }
    let whole = stream(5, in_bursts, false);
    println!("{:.0} k/s go through for as long as they come", whole / 1e3);
    stream(10, whole / 2.0, true);
}
