//! Webhooks on an engine whose clock a test holds, to receivers that a test plays: what arrives, in which order, how often, and that a restart in
//! the middle, from the log or from a snapshot, loses nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use drawdown::engine::view::FeedEvent;
use drawdown::engine::webhooks::{
    DeliveryId, DeliveryQuery, DeliveryRecord, DisabledReason, EndpointPatch, EndpointSpec, EndpointView, Resume,
};
use drawdown::engine::{Charge, CommandError, Engine, EngineConfig, ManualClock, UsageEvent};
use drawdown::ledger::Decimal;
use drawdown::notify::{Courier, Message, Settings};
use drawdown_outbound::http::SendErrorKind;
use drawdown_outbound::webhooks::{Attempt, Schedule, Secret};
use drawdown_wal::Lsn;
use drawdown_wal::sim::{Disk, Random};
use serde_json::Value;

use crate::books::{clock, config, set_up};
use crate::snapshots::seal;

const CURRENCY: &str = "credits";
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WE: &str = "we_1";

fn render(event: &FeedEvent) -> Vec<u8> {
    drawdown::http::webhook_body(event)
}

fn answered(status: u16) -> Attempt {
    let (error, excerpt) = (None, format!("status {status}"));
    Attempt { status: Some(status), error, latency: Duration::from_millis(7), excerpt, retry_after_s: None }
}

fn silence() -> Attempt {
    let error = Some((SendErrorKind::Timeout, "no answer".to_owned()));
    Attempt { status: None, error, latency: Duration::from_secs(20), excerpt: String::new(), retry_after_s: None }
}

/// What a message said.
#[derive(Clone, Debug)]
struct Told {
    id: String,
    kind: String,
    customer: String,
    lsn: u64,
}

impl Told {
    fn of(message: &Message) -> Told {
        let body: Value = serde_json::from_slice(&message.body).expect("JSON");
        assert_eq!(body["id"], message.id, "the identity of the message is the event's");
        assert_eq!(body["data"]["id"], message.id);
        assert_eq!((&body["type"], &body["timestamp"]), (&body["data"]["type"], &body["data"]["time"]));
        Told {
            id: message.id.clone(),
            kind: body["type"].as_str().expect("a type").to_owned(),
            customer: body["data"]["customer"].as_str().unwrap_or_default().to_owned(),
            lsn: body["data"]["lsn"].as_u64().expect("a position"),
        }
    }
}

/// An engine and a courier that can be closed and opened again.
struct Bench {
    disk: Disk,
    clock: Arc<ManualClock>,
    config: EngineConfig,
    settings: Settings,
    engine: Option<Engine>,
    courier: Option<Courier>,
    events: u64,
    /// Messages that arrived, in order.
    arrived: Vec<Told>,
    /// Attempts in all.
    attempts: usize,
}

impl Bench {
    fn new(settings: Settings) -> Bench {
        Self::over(config(64 << 10), settings)
    }

    fn over(config: EngineConfig, settings: Settings) -> Bench {
        let (disk, clock) = (Disk::new(), clock());
        let (engine, _) = Engine::open_on(disk.medium(), config.clone(), clock.clone()).expect("an empty disk opens");
        set_up(&engine).expect("currencies and meters");
        let courier = Courier::new(engine.clone(), settings.clone(), render);
        let (engine, courier) = (Some(engine), Some(courier));
        Bench { disk, clock, config, settings, engine, courier, events: 0, arrived: Vec::new(), attempts: 0 }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("open")
    }

    fn courier(&mut self) -> &mut Courier {
        self.courier.as_mut().expect("at work")
    }

    /// Closes the engine and opens it again; from a snapshot, if one is made before. An orderly courier says where it was.
    fn reopen(&mut self, snapshot: bool, orderly: bool) {
        let mut courier = self.courier.take().expect("at work");
        if orderly {
            courier.close();
        }
        drop(courier);
        if snapshot {
            seal(self.engine());
            self.engine().snapshot_now().expect("a snapshot").expect("something to make it of");
        }
        self.engine().barrier().wait().expect("a healthy log");
        let digest = self.engine().digest();
        self.engine().close().expect("a healthy log");
        self.engine = None;
        let opened = Engine::open_on(self.disk.medium(), self.config.clone(), self.clock.clone());
        let (engine, _) = opened.expect("what was written can be read");
        assert_eq!(engine.digest(), digest, "opening again changes nothing of webhooks");
        self.courier = Some(Courier::new(engine.clone(), self.settings.clone(), render));
        self.engine = Some(engine);
    }

    /// Cuts the power: what was not durable is gone, or torn.
    fn crash(&mut self, seed: u64) {
        (self.courier, self.engine) = (None, None);
        self.disk = self.disk.crash(seed);
        let opened = Engine::open_on(self.disk.medium(), self.config.clone(), self.clock.clone());
        let (engine, _) = opened.expect("what a crash leaves can be read");
        self.courier = Some(Courier::new(engine.clone(), self.settings.clone(), render));
        self.engine = Some(engine);
    }

    fn make(&self, id: &str, events: &[&str]) -> EndpointView {
        let events = events.iter().map(|event| (*event).to_owned()).collect();
        let spec = EndpointSpec { url: "https://example.com/".to_owned(), events, ..EndpointSpec::default() };
        let made = self.engine().create_webhook_endpoint(id, spec, &[7; 32]);
        let (view, ticket) = made.expect("an endpoint");
        ticket.wait().expect("durable");
        view
    }

    fn patch(&self, patch: EndpointPatch) {
        let (_, ticket) = self.engine().patch_webhook_endpoint(WE, patch).expect("a change");
        ticket.wait().expect("durable");
    }

    fn enable(&self, resume: Resume) {
        self.patch(EndpointPatch { enabled: Some(true), resume, ..EndpointPatch::default() });
    }

    fn grant(&self, customer: &str) {
        let request = crate::books::plain_grant(customer, CURRENCY, 1_000_000);
        let (outcomes, ticket) = self.engine().grant(&[request]).expect("room");
        outcomes[0].result.as_ref().expect("a grant");
        ticket.wait().expect("durable");
    }

    fn debit(&mut self, customers: &[&str]) {
        let first = self.events;
        self.events += customers.len() as u64;
        let ids: Vec<_> = (first..self.events).map(|number| format!("evt-{number}")).collect();
        let amount = || Charge::Amount { currency: Some(CURRENCY), amount: Ok(Decimal::from_integer(1)) };
        let event =
            |(id, customer)| UsageEvent { id, source: "", customer, charge: amount(), time: None, policy: None };
        let events: Vec<_> = ids.iter().map(String::as_str).zip(customers.iter().copied()).map(event).collect();
        let mut outcomes = Vec::new();
        self.engine().submit(&events, &mut outcomes).expect("room").wait().expect("durable");
        assert!(outcomes.iter().all(|outcome| outcome.entry.is_some()), "{outcomes:?}");
    }

    /// Lets the courier work until it has nothing to do at this instant; `receive` plays the receivers.
    fn work(&mut self, mut receive: impl FnMut(&Told) -> Attempt) {
        for _ in 0..100_000 {
            self.engine().barrier().wait().expect("a healthy log");
            let step = self.courier().step();
            if step.jobs.is_empty() && !step.busy {
                return;
            }
            for job in step.jobs {
                let told = Told::of(&job.message);
                let attempt = receive(&told);
                self.attempts += 1;
                if matches!(attempt.status, Some(200..=299)) {
                    self.arrived.push(told);
                }
                self.courier().settle(job.ticket, &attempt);
            }
        }
        panic!("the courier finds no end");
    }

    fn pass(&self, ms: u64) {
        self.clock.advance(ms);
    }

    /// Works at this instant and at each of so many to come.
    fn work_on(&mut self, steps: u64, step_ms: u64, mut receive: impl FnMut(&Told) -> Attempt) {
        self.work(&mut receive);
        for _ in 0..steps {
            self.pass(step_ms);
            self.work(&mut receive);
        }
    }

    /// Everything that the feed has told of these types from a position on, once each, in order.
    fn feed(&self, after: Lsn, kinds: &[&str]) -> Vec<(String, String)> {
        self.engine().barrier().wait().expect("a healthy log");
        let page = self.engine().feed(after, 1_000_000, Some(kinds)).expect("the feed");
        let mut seen = BTreeSet::new();
        let once = page.events.into_iter().filter(|event| seen.insert(event.id.clone()));
        once.map(|event| (event.id, event.customer.unwrap_or_default())).collect()
    }

    fn deliveries(&self, state: &str) -> Vec<Arc<DeliveryRecord>> {
        let query = DeliveryQuery { state: Some(state), before: None, limit: 1_000 };
        self.engine().webhook_deliveries(WE, &query).expect("an endpoint")
    }

    fn view(&self) -> EndpointView {
        self.engine().webhook_endpoint(WE).expect("an endpoint")
    }

    fn ids(&self) -> Vec<&str> {
        self.arrived.iter().map(|told| told.id.as_str()).collect()
    }

    /// Each event of the feed has arrived, and no wallet's event for the first time before one that precedes it, leaving out those that were
    /// given up.
    #[track_caller]
    fn check(&self, events: &[(String, String)], given_up: &BTreeSet<String>) {
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (at, told) in self.arrived.iter().enumerate() {
            first.entry(&told.id).or_insert(at);
        }
        let mut wallets: BTreeMap<&str, usize> = BTreeMap::new();
        for (id, customer) in events.iter().filter(|(id, _)| !given_up.contains(id)) {
            let at = *first.get(id.as_str()).unwrap_or_else(|| panic!("{id} of {customer} never arrived"));
            let before = wallets.insert(customer, at);
            assert!(before.is_none_or(|before| before < at), "{id} of {customer} came before what precedes it");
        }
    }
}

#[test]
fn what_arrives_at_once_comes_in_order_and_leaves_little_in_the_log() {
    let mut bench = Bench::new(Settings::default());
    for customer in ["a", "b", "c"] {
        bench.grant(customer);
    }
    bench.make(WE, &["debit.*"]);
    let begun = bench.engine().stats().log.tail;
    for _ in 0..100 {
        bench.debit(&["a", "b", "a", "c"]);
    }
    let told = bench.feed(begun, &["debit.applied"]);
    assert_eq!(told.len(), 400);
    let written = bench.engine().stats().log.tail;
    bench.work_on(3, SECOND, |_| answered(204));
    assert_eq!((bench.attempts, bench.arrived.len()), (400, 400), "each once");
    bench.check(&told, &BTreeSet::new());
    let noted = bench.engine().stats().log.tail.get() - written.get();
    assert!(noted < 1_000, "{noted} bytes of log for 400 deliveries");
    assert_eq!(bench.deliveries("delivered").len(), 200, "the latest are shown");
    let stats = bench.engine().stats().webhooks;
    assert_eq!((stats.delivered, stats.failed, stats.queued, stats.in_flight), (400, 0, 0, 0));
    assert!(stats.behind_bytes < 100, "{stats:?}");

    for snapshot in [false, true] {
        bench.reopen(snapshot, false);
        bench.work_on(2, SECOND, |_| answered(200));
        assert_eq!(bench.attempts, 400, "nothing is sent again");
    }
    bench.debit(&["b"]);
    bench.work(|_| answered(200));
    assert_eq!(bench.attempts, 401);
}

#[test]
fn an_endpoint_is_told_of_what_it_asks_for() {
    let mut bench = Bench::new(Settings::default());
    bench.grant("a");
    bench.make(WE, &["grant.created", "wallet.*"]);
    bench.make("we_2", &["webhook_endpoint.*"]);
    let (view, ticket) = bench.engine().test_webhook_endpoint(WE).expect("a test");
    ticket.wait().expect("durable");
    assert_eq!(view.behind_wallets, 0);
    bench.debit(&["a"]);
    bench.grant("b");
    bench.work(|_| answered(200));
    let mut kinds: Vec<_> = bench.arrived.iter().map(|told| told.kind.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        ["grant.created", "wallet.created", "webhook_endpoint.test"],
        "the test is for one endpoint only"
    );

    bench.arrived.clear();
    bench.patch(EndpointPatch {
        customer: Some(Some("b".to_owned())),
        events: Some(vec!["*".to_owned()]),
        ..EndpointPatch::default()
    });
    bench.debit(&["a", "b"]);
    bench.work(|_| answered(200));
    assert_eq!(bench.arrived.iter().map(|told| &*told.customer).collect::<Vec<_>>(), ["b"]);
    bench.patch(EndpointPatch {
        customer: Some(None),
        currency: Some(Some("other".to_owned())),
        ..EndpointPatch::default()
    });
    bench.debit(&["a"]);
    bench.work(|_| answered(200));
    assert_eq!(bench.arrived.len(), 1);
}

#[test]
fn an_event_that_fails_holds_up_its_wallet_and_no_other() {
    let mut bench = Bench::new(Settings::default());
    bench.grant("a");
    bench.grant("b");
    bench.make(WE, &["debit.applied"]);
    let begun = bench.engine().stats().log.tail;
    for _ in 0..20 {
        bench.debit(&["a", "b", "b"]);
    }
    let poison = bench.feed(begun, &["debit.applied"]).into_iter().filter(|(_, customer)| customer == "a").nth(4);
    let poison = poison.expect("the fifth").0;
    let receive = |told: &Told| if told.id == poison { answered(500) } else { answered(200) };
    bench.work(receive);
    assert_eq!(bench.arrived.iter().filter(|told| told.customer == "b").count(), 40);
    assert_eq!(bench.arrived.iter().filter(|told| told.customer == "a").count(), 4);
    assert_eq!(bench.view().behind_wallets, 1);
    let retrying = bench.deliveries("retrying");
    assert_eq!((retrying.len(), retrying[0].failed, &retrying[0].event), (1, 1, &poison));
    assert_eq!(retrying[0].attempts[0].status, Some(500));

    // Its next attempt is due five to six seconds later, and then after five to six minutes.
    bench.pass(4_900);
    bench.work(receive);
    assert_eq!(bench.deliveries("retrying")[0].failed, 1);
    bench.pass(1_200);
    bench.work(receive);
    assert_eq!(bench.deliveries("retrying")[0].failed, 2);
    // A restart changes nothing of that, nor do new events.
    bench.reopen(true, true);
    bench.debit(&["a", "b"]);
    bench.pass(4 * MINUTE);
    bench.work(receive);
    assert_eq!(bench.deliveries("retrying")[0].failed, 2);
    assert_eq!(bench.arrived.iter().filter(|told| told.customer == "b").count(), 41);
    assert_eq!(bench.arrived.iter().filter(|told| told.customer == "a").count(), 4);

    bench.pass(2 * MINUTE);
    bench.work_on(2, SECOND, |_| answered(200));
    assert_eq!(bench.view().behind_wallets, 0, "it has caught up");
    bench.check(&bench.feed(begun, &["debit.applied"]), &BTreeSet::new());
    let ids = bench.ids();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "nothing came twice");
    let delivered = bench.deliveries("delivered");
    let delivered = delivered.iter().find(|delivery| delivery.event == poison).expect("recorded");
    assert_eq!(
        delivered.attempts.iter().map(|attempt| attempt.status).collect::<Vec<_>>(),
        [Some(500), Some(500), Some(200)]
    );
    // And goes on like any other.
    bench.debit(&["a", "a"]);
    bench.work_on(2, SECOND, |_| answered(200));
    bench.check(&bench.feed(begun, &["debit.applied"]), &BTreeSet::new());
    bench.reopen(false, true);
    let before = bench.attempts;
    bench.work_on(2, SECOND, |_| answered(200));
    assert_eq!(bench.attempts, before);
}

#[test]
fn what_fails_to_the_last_is_given_up_and_can_be_sent_again() {
    let settings = Settings { schedule: Schedule::new(vec![10, 20], 0), ..Settings::default() };
    let mut bench = Bench::new(settings);
    bench.grant("a");
    bench.make(WE, &["debit.applied"]);
    let begun = bench.engine().stats().log.tail;
    bench.debit(&["a", "a", "a"]);
    let events = bench.feed(begun, &["debit.applied"]);
    let poison = events[0].0.clone();
    let receive = |told: &Told| if told.id == poison { silence() } else { answered(200) };
    bench.work_on(4, 10 * SECOND, receive);
    let failed = bench.deliveries("failed");
    assert_eq!((failed.len(), failed[0].failed, failed[0].attempts.len()), (1, 3, 3));
    assert_eq!(failed[0].attempts[2].error.as_deref(), Some("timeout"));
    assert_eq!(bench.engine().stats().webhooks.given_up, 1);
    assert_eq!(bench.ids(), [&events[1].0, &events[2].0], "the others have gone on");

    // Asked for, it is sent under the same identity; also one that arrived without ever being recorded, after a restart.
    let mut id = DeliveryId::of(&failed[0]);
    bench.reopen(true, true);
    for event in &events[..2] {
        id.lsn = bench.arrived.iter().find(|told| told.id == event.0).map_or(id.lsn, |told| told.lsn);
        let (delivery, ticket) = bench.engine().redeliver(&id).expect("an event");
        ticket.wait().expect("durable");
        assert!(delivery.manual && delivery.event == event.0);
    }
    bench.arrived.clear();
    bench.work(|_| answered(200));
    assert_eq!(bench.ids(), [&events[0].0, &events[1].0]);
    assert_eq!(bench.deliveries("failed").len(), 0);
    // One that fails is retried by the schedule, and a retry can be hastened.
    bench.engine().redeliver(&id).expect("an event").1.wait().expect("durable");
    bench.work(|_| answered(500));
    assert_eq!(bench.deliveries("retrying").len(), 1);
    bench.work(|_| answered(200));
    assert_eq!(bench.deliveries("retrying").len(), 1, "not due");
    bench.engine().redeliver(&id).expect("an event").1.wait().expect("durable");
    bench.work(|_| answered(200));
    assert_eq!(bench.deliveries("retrying").len(), 0);
    let nothing = DeliveryId { endpoint: WE.to_owned(), lsn: id.lsn + 1, index: 0 };
    for id in [nothing, DeliveryId { endpoint: "we_9".to_owned(), ..id.clone() }, DeliveryId { index: 9, ..id }] {
        assert!(matches!(bench.engine().redeliver(&id), Err(CommandError::NotFound { what: "delivery" })), "{id}");
    }
}

#[test]
fn an_endpoint_that_is_down_is_probed_and_costs_little() {
    let mut bench = Bench::new(Settings::default());
    let names: Vec<_> = (0..200).map(|number| format!("w{number}")).collect();
    for name in &names {
        bench.grant(name);
    }
    bench.make(WE, &["debit.applied"]);
    let begun = bench.engine().stats().log.tail;
    let wallets: Vec<_> = names.iter().map(String::as_str).collect();
    for _ in 0..5 {
        bench.debit(&wallets);
    }
    let written = bench.engine().stats().log.tail.get();
    bench.work_on(120, MINUTE, |_| silence());
    let view = bench.view();
    assert!((1..=32).contains(&view.behind_wallets), "{} wallets are behind", view.behind_wallets);
    assert_eq!(view.failing_since.map(|since| since.millis() / MINUTE), Some(crate::books::BEGIN / MINUTE));
    let noted = bench.engine().stats().log.tail.get() - written;
    assert!(noted < 100_000, "{noted} bytes of log while it was down");
    assert!(bench.attempts > 120, "it was tried now and then: {}", bench.attempts);
    assert!(bench.engine().stats().webhooks.behind_bytes > 10_000, "it shows how far it is behind");
    // Within a minute of its coming back everything is there.
    bench.work_on(3, 20 * SECOND, |_| answered(200));
    bench.work_on(2, SECOND, |_| answered(200));
    bench.check(&bench.feed(begun, &["debit.applied"]), &BTreeSet::new());
    assert_eq!((bench.arrived.len(), bench.view().behind_wallets, bench.view().failing_since), (1_000, 0, None));
}

#[test]
fn an_endpoint_is_disabled_when_it_is_gone_or_fails_for_too_long_and_catches_up() {
    let mut bench = Bench::new(Settings { disable_after_ms: 2 * DAY, ..Settings::default() });
    bench.grant("a");
    bench.make(WE, &["debit.applied", "webhook_endpoint.disabled"]);
    let begun = bench.engine().stats().log.tail;
    bench.debit(&["a", "a"]);
    bench.work(|_| answered(410));
    let reason = |bench: &Bench| bench.view().endpoint.disabled.map(DisabledReason::as_str);
    assert_eq!((bench.attempts, reason(&bench)), (1, Some("gone")));
    assert_eq!(bench.feed(begun, &["webhook_endpoint.disabled"]).len(), 1);
    bench.debit(&["a"]);
    bench.pass(DAY);
    bench.work(|_| answered(200));
    assert_eq!(bench.attempts, 1, "nothing is sent to it");
    let refused = bench.engine().test_webhook_endpoint(WE);
    assert!(matches!(refused, Err(CommandError::Conflict { slug: "webhook_endpoint_disabled", .. })));
    bench.reopen(true, false);
    bench.enable(Resume::Behind);
    bench.work_on(2, SECOND, |_| answered(200));
    bench.check(&bench.feed(begun, &["debit.applied", "webhook_endpoint.disabled"]), &BTreeSet::new());
    assert_eq!(bench.arrived.len(), 4, "three debits, and that it was disabled");

    bench.debit(&["a"]);
    bench.work_on(70, HOUR, |_| silence());
    assert_eq!(reason(&bench), Some("failing"));
    bench.debit(&["a"]);
    let enabled = bench.engine().stats().log.tail;
    bench.enable(Resume::Now);
    bench.debit(&["a"]);
    bench.arrived.clear();
    bench.work_on(2, SECOND, |_| answered(200));
    let told = bench.feed(enabled, &["debit.applied"]);
    assert_eq!(bench.ids(), [&told[0].0], "it asked for no more");
    assert_eq!(bench.deliveries("failed").len(), 1, "what was being retried was given up");
    bench.engine().delete_webhook_endpoint(WE).expect("there").wait().expect("durable");
    bench.engine().finish_webhook_deletion();
    bench.debit(&["a"]);
    bench.work(|_| panic!("it is gone"));
    assert!(bench.engine().webhook_endpoint(WE).is_err());
    bench.reopen(true, true);
    assert!(bench.engine().webhook_endpoint(WE).is_err() && bench.engine().had_webhook_endpoint(WE));
}

/// History that may go stays for an endpoint that is behind, up to a bound; beyond that the endpoint is told what it missed.
#[test]
fn an_endpoint_that_is_too_far_behind_goes_on_where_the_log_begins() {
    let mut config = config(64 << 10);
    config.retention.log_bytes = Some(1);
    config.webhook_hold_bytes = 8 * (64 << 10);
    let mut bench = Bench::over(config, Settings::default());
    for customer in ["a", "b"] {
        bench.grant(customer);
    }
    bench.make(WE, &["debit.applied", "webhook_endpoint.events_skipped"]);
    bench.debit(&["a", "a", "b"]);
    // One wallet is behind, the other is not.
    bench.work_on(2, SECOND, |told| if told.customer == "a" { answered(500) } else { answered(200) });
    let missed = bench.feed(Lsn::ZERO, &["debit.applied"]);
    let retired = |bench: &Bench| {
        for _ in 0..2 {
            seal(bench.engine());
            bench.engine().tidy();
            bench.pass(2 * DAY);
            bench.engine().tidy();
            bench.engine().barrier().wait().expect("a healthy log");
            bench.engine().snapshot_now().expect("a snapshot");
        }
        bench.engine().retire().expect("a healthy disk")
    };
    assert_eq!((retired(&bench), retired(&bench)), (0, 0), "it is needed still, and within the bound");
    while retired(&bench) == 0 {
        assert!(bench.engine().stats().log.tail.get() < 20 * (64 << 10), "the bound is met");
    }
    bench.arrived.clear();
    bench.debit(&["a", "b"]);
    bench.work_on(3, SECOND, |_| answered(200));
    let told: Vec<_> = bench.arrived.iter().map(|told| (told.kind.as_str(), told.customer.as_str())).collect();
    for expected in [("debit.applied", "a"), ("debit.applied", "b"), ("webhook_endpoint.events_skipped", "")] {
        assert!(told.contains(&expected), "{expected:?} is not among {told:?}");
    }
    assert_eq!(told.len(), 3, "{told:?}");
    let failed = bench.deliveries("failed");
    assert_eq!(failed.iter().map(|delivery| &delivery.event).collect::<Vec<_>>(), [&missed[0].0]);
    assert_eq!(bench.view().behind_wallets, 0);
    let id = DeliveryId::of(&failed[0]);
    assert!(matches!(bench.engine().redeliver(&id), Err(CommandError::Retired { .. })));
    // One that is disabled holds nothing back.
    bench.debit(&["a"]);
    bench.patch(EndpointPatch { enabled: Some(false), ..EndpointPatch::default() });
    assert!(retired(&bench) > 0);
}

#[test]
fn a_receiver_is_left_alone_for_as_long_as_it_asks() {
    let mut bench = Bench::new(Settings::default());
    bench.grant("a");
    bench.make(WE, &["debit.applied"]);
    bench.debit(&["a"]);
    bench.work(|_| Attempt { retry_after_s: Some(3_600), ..answered(429) });
    bench.pass(59 * MINUTE);
    bench.work(|_| answered(200));
    assert_eq!(bench.attempts, 1);
    bench.pass(MINUTE);
    bench.work(|_| answered(200));
    assert_eq!((bench.attempts, bench.arrived.len()), (2, 1));
}

#[test]
fn an_old_secret_signs_beside_the_new_one_for_its_time() {
    let mut bench = Bench::new(Settings::default());
    bench.grant("a");
    assert!(bench.make(WE, &["debit.applied"]).signs);
    let told = |bench: &mut Bench| {
        bench.debit(&["a"]);
        let mut secrets = Vec::new();
        bench.engine().barrier().wait().expect("durable");
        let step = bench.courier().step();
        for job in step.jobs {
            secrets.clone_from(&job.message.secrets);
            bench.courier().settle(job.ticket, &answered(200));
        }
        secrets
    };
    let secret = |of: u8| Secret::new(&[of; 32]).expect("32 bytes");
    assert_eq!(told(&mut bench), [secret(7)]);
    bench.engine().rotate_webhook_secret(WE, &[8; 32], DAY).expect("another").1.wait().expect("durable");
    assert_eq!(told(&mut bench), [secret(8), secret(7)]);
    bench.reopen(true, true);
    bench.pass(DAY - 1);
    assert_eq!(told(&mut bench), [secret(8), secret(7)]);
    bench.pass(1);
    assert_eq!(told(&mut bench), [secret(8)]);
    // Neither is in the log in the clear.
    let clear = |byte: u8| bench.disk.images().values().any(|bytes| bytes.windows(32).any(|part| part == [byte; 32]));
    assert!(!clear(7) && !clear(8));
}

/// Random stories: debits, failures of all kinds, restarts with and without a snapshot and a word of goodbye. In the end everything has arrived, in order.
#[test]
fn no_story_loses_an_event_or_turns_two_of_a_wallet_around() {
    for seed in 0..40 {
        story(seed);
    }
}

fn story(seed: u64) {
    let mut random = Random::new(seed);
    let mut random = move |below| random.below(below);
    let schedule = Schedule::new(vec![5, 60, 600, 3_600, 3_600, 3_600, 3_600, 3_600], 200);
    // Small, so that everything that is bounded is met.
    let settings = Settings {
        schedule,
        window: 6,
        lanes_behind: 3,
        in_flight: 4,
        in_flight_per_endpoint: 3,
        failures_until_down: 4,
        ..Settings::default()
    };
    let mut bench = Bench::new(settings);
    let wallets = ["a", "b", "c", "d", "e", "f"];
    for wallet in wallets {
        bench.grant(wallet);
    }
    bench.make(WE, &["debit.applied"]);
    let begun = bench.engine().stats().log.tail;
    for _ in 0..60 {
        match random(10) {
            0..=3 => {
                let count = 1 + random(8) as usize;
                let batch: Vec<_> = (0..count).map(|_| wallets[random(6) as usize]).collect();
                bench.debit(&batch);
            }
            4 => {
                // With attempts under way of which nobody hears.
                let _ = bench.courier().step();
                match random(3) {
                    0 => bench.crash(random(1 << 32)),
                    _ => bench.reopen(random(2) == 0, random(2) == 0),
                }
            }
            5 => bench.pass(random(2 * HOUR)),
            _ => {
                // Some wallets fail, or all, or none.
                let (mask, rate) = (random(64), random(4));
                let mut fails = |told: &Told| {
                    let bit = wallets.iter().position(|wallet| *wallet == told.customer).expect("a wallet");
                    mask >> bit & 1 == 1 && random(4) < rate
                };
                bench.work_on(2, 7 * SECOND, |told| if fails(told) { answered(503) } else { answered(200) });
            }
        }
    }
    bench.work_on(30, 20 * MINUTE, |_| answered(200));
    let given_up = bench.deliveries("failed").iter().map(|delivery| delivery.event.clone()).collect();
    bench.check(&bench.feed(begun, &["debit.applied"]), &given_up);
    let view = bench.view();
    assert_eq!((view.behind_wallets, view.failing_since), (0, None), "seed {seed}");
    bench.reopen(true, true);
    let before = bench.attempts;
    bench.work_on(1, SECOND, |_| answered(200));
    assert_eq!(bench.attempts, before, "seed {seed}: all of it was noted");
}

/// What had failed went on being sent to an endpoint that had become another customer's, and whatever an operator named was sent to it.
#[test]
fn an_endpoint_is_not_sent_what_is_of_another_customer_than_it_is_for() {
    let mut bench = Bench::new(Settings::default());
    for customer in ["a", "b"] {
        bench.grant(customer);
    }
    bench.make(WE, &["debit.applied"]);
    let begun = bench.engine().stats().log.tail;
    bench.debit(&["a"]);
    bench.work(|_| answered(500));
    let failed = bench.deliveries("retrying").pop().expect("it is tried again");
    bench.patch(EndpointPatch { customer: Some(Some("b".to_owned())), ..EndpointPatch::default() });
    bench.debit(&["b", "a"]);
    bench.work_on(3, 600 * SECOND, |_| answered(200));
    let events = bench.feed(begun, &["debit.applied"]);
    let of_b = events.iter().filter(|(_, customer)| customer == "b").map(|(id, _)| id.as_str());
    assert_eq!(bench.ids(), of_b.collect::<Vec<_>>());
    let given_up = bench.deliveries("failed").pop().expect("it was given up");
    assert_eq!((&given_up.event, given_up.attempts.len()), (&failed.event, 2));
    assert_eq!(given_up.attempts[1].error.as_deref(), Some("not_for_it"));
    let id = DeliveryId::of(&failed);
    assert!(matches!(bench.engine().redeliver(&id), Err(CommandError::NotFound { what: "delivery" })));
    // It is this endpoint's once more, and can be asked for.
    bench.patch(EndpointPatch { customer: Some(None), ..EndpointPatch::default() });
    bench.engine().redeliver(&id).expect("an event").1.wait().expect("durable");
    bench.arrived.clear();
    bench.work(|_| answered(200));
    assert_eq!(bench.ids(), [failed.event.as_str()]);
}
