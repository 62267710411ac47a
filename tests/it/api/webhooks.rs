//! Webhooks end to end: endpoints over HTTP, and a receiver on a socket that fails, hangs, goes away and comes back.

use super::*;
use drawdown::engine::ManualClock;
use drawdown::http::WebhookRules;
use drawdown::ledger::Timestamp;
use drawdown::notify::{Courier, HttpSender, Settings, Worker};
use drawdown_outbound::http::{AddressPolicy, Client as Outbound, HeaderMap, HeaderName, HeaderValue};
use drawdown_outbound::webhooks::{Secret, verify};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

const NOW_MS: u64 = 1_800_000_000_000;

/// Looks again and again until something is there.
#[track_caller]
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "it does not come");
        std::thread::yield_now();
    }
}

/// A request as it was received.
pub(super) struct Hook {
    headers: HeaderMap,
    body: Vec<u8>,
    /// Where its answer goes; dropping it closes the connection without one.
    answer: Sender<u16>,
}

impl Hook {
    pub(super) fn event(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// When it was sent, as its header says.
    pub(super) fn sent_s(&self) -> u64 {
        let header = self.headers["webhook-timestamp"].to_str().expect("text");
        header.parse().expect("seconds")
    }

    #[track_caller]
    pub(super) fn verify(&self, secrets: &[&str], now_s: u64) {
        for secret in secrets {
            let secret: Secret = secret.parse().expect("a secret");
            let verified = verify(&[secret], &self.headers, &self.body, now_s, 300).expect("signed");
            assert_eq!(verified.id, self.event()["id"]);
        }
    }
}

/// Receives webhooks on a port of its own until it is dropped; the test answers each.
pub(super) struct Hooks {
    address: SocketAddr,
    received: Receiver<Hook>,
    stop: Arc<std::sync::atomic::AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hooks {
    pub(super) fn start(port: u16) -> Hooks {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (told, received) = channel();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(std::sync::atomic::Ordering::Acquire) {
                    return;
                }
                let (stream, told) = (stream.expect("a connection"), told.clone());
                std::thread::spawn(move || receive(BufReader::new(stream), &told));
            }
        });
        Hooks { address, received, stop, thread: Some(thread) }
    }

    #[track_caller]
    fn next(&self) -> Hook {
        self.received.recv_timeout(PATIENCE).expect("a webhook")
    }

    /// Takes the next one and answers it.
    #[track_caller]
    pub(super) fn take(&self, status: u16) -> Hook {
        let hook = self.next();
        hook.answer.send(status).expect("the connection is there");
        hook
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Release);
        // Wakes it.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request, one answer; the connection ends with it, so that none outlives its receiver.
fn receive(mut stream: BufReader<TcpStream>, told: &Sender<Hook>) {
    let (mut headers, mut length) = (HeaderMap::new(), 0);
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if line.trim_end().is_empty() {
            break;
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().expect("a length");
        }
        let name = HeaderName::try_from(name).expect("a name");
        headers.insert(name, HeaderValue::from_str(value).expect("a value"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("the body");
    let (answer, answered) = channel();
    if told.send(Hook { headers, body, answer }).is_err() {
        return;
    }
    if let Ok(status) = answered.recv() {
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        let _ = stream.get_mut().write_all(answer.as_bytes());
    }
}

/// A server that sends, with a clock that the test holds.
pub(super) struct Sending {
    pub(super) clock: Arc<ManualClock>,
    worker: Option<Worker>,
    _runtime: tokio::runtime::Runtime,
    pub(super) server: TestServer,
}

impl Sending {
    fn start() -> Sending {
        Sending::with(|app, _| app)
    }

    /// One whose application has more to it.
    pub(super) fn with(more: impl FnOnce(App, Engine) -> App + Send + 'static) -> Sending {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW_MS)));
        let mut config = EngineConfig::default();
        config.log.segment_bytes = 4 << 20;
        config.log.max_frame_bytes = 512 << 10;
        config.log.segments_ahead = 1;
        config.log.max_unsynced_bytes = 4 << 20;
        let medium = Arc::new(drawdown_wal::Heap::new());
        let engine = Engine::open_on(medium, config, clock.clone()).expect("opens").0;
        let rules = WebhookRules { allow_private: true, ..WebhookRules::default() };
        let server = TestServer::of(engine.clone(), move |engine| {
            more(App::new(engine.clone(), Gate::Open, Limits::default(), 1).with_webhooks(rules), engine)
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let settings = drawdown_outbound::http::Settings {
            policy: AddressPolicy::anywhere(),
            ..drawdown_outbound::http::Settings::default()
        };
        let client = {
            let _inside = runtime.enter();
            Outbound::new(settings)
        };
        // Nobody waits for it: it is the time after which a receiver that hangs has failed.
        let sender = HttpSender::new(Arc::new(client), Duration::from_secs(1));
        let courier = Courier::new(engine, Settings::default(), drawdown::http::webhook_body);
        let worker = Worker::start(courier, Arc::new(sender), runtime.handle().clone()).expect("a thread");
        server.fund();
        Sending { clock, worker: Some(worker), _runtime: runtime, server }
    }

    pub(super) fn make(&self, hooks: &Hooks, events: &Value) -> Value {
        let url = format!("http://{}/hooks", hooks.address);
        self.server.client().post("/v1/webhook-endpoints", &json!({"url": url, "events": events})).expect_status(201)
    }

    fn debit(&self, id: &str) {
        let event = json!({"id": id, "customer": "cus", "amount": "1"});
        self.server.client().post("/v1/events", &event).expect_status(200);
    }

    fn now_s(&self) -> u64 {
        self.server.engine.now().millis() / 1000
    }

    /// The delivery of the endpoint whose last attempt is the `count`th and stands so.
    fn delivery(&self, endpoint: &Value, status: &str, count: usize) -> Value {
        let path = format!("/v1/webhook-endpoints/{}/deliveries?status={status}", text(&endpoint["id"]));
        let mut client = self.server.client();
        until(|| {
            let page = client.get(&path).expect_status(200);
            let all = page["data"].as_array().expect("a list").iter();
            all.into_iter().find(|one| one["attempts"].as_array().expect("attempts").len() == count).cloned()
        })
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        drop(self.worker.take());
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

#[test]
fn a_receiver_that_fails_hangs_and_restarts_gets_everything_in_order_and_signed() {
    let sending = Sending::start();
    let hooks = Hooks::start(0);
    let made = sending.make(&hooks, &json!(["debit.applied"]));
    let secret = text(&made["secret"]).to_owned();
    assert!(secret.starts_with("whsec_"));
    for id in ["one", "two", "three"] {
        sending.debit(id);
    }
    // It fails.
    let first = hooks.take(500);
    first.verify(&[&secret], sending.now_s());
    let retrying = sending.delivery(&made, "retrying", 1);
    assert_eq!((&retrying["attempts"][0]["status"], &retrying["attempts"][0]["excerpt"]), (&json!(500), &json!("ok")));
    // It hangs.
    sending.clock.advance(6_000);
    let hanging = hooks.next();
    assert_eq!(hanging.headers["webhook-id"], first.headers["webhook-id"], "the same message");
    assert_ne!(hanging.headers["webhook-timestamp"], first.headers["webhook-timestamp"], "another attempt");
    assert_eq!(sending.delivery(&made, "retrying", 2)["attempts"][1]["error"], "timeout");
    drop(hanging);
    // It is gone, and comes back.
    let port = hooks.address.port();
    drop(hooks);
    sending.clock.advance(360_000);
    assert_eq!(sending.delivery(&made, "retrying", 3)["attempts"][2]["error"], "connection_failed");
    let hooks = Hooks::start(port);
    sending.clock.advance(2_200_000);
    let mut told = Vec::new();
    for _ in 0..3 {
        let hook = hooks.take(200);
        hook.verify(&[&secret], sending.now_s());
        told.push(text(&hook.event()["data"]["data"]["event_id"]).to_owned());
        // The event is the feed's.
        let (event, page) =
            (hook.event(), sending.server.client().get("/v1/feed?after=0&limit=1000").expect_status(200));
        let of_feed = page["data"].as_array().expect("events").iter().find(|told| told["id"] == event["id"]);
        assert_eq!(of_feed, Some(&event["data"]));
    }
    assert_eq!(told, ["one", "two", "three"]);
    let delivered = sending.delivery(&made, "delivered", 4);
    assert_eq!(delivered["event_id"], first.event()["id"]);

    // One more time, on request.
    let path = format!("/v1/deliveries/{}", text(&delivered["id"]));
    let mut client = sending.server.client();
    let shown = client.get(&path).expect_status(200);
    assert_eq!((&shown["status"], &shown["event"]), (&json!("delivered"), &first.event()["data"]));
    assert_eq!(client.post(&format!("{path}/redeliver"), &json!({})).expect_status(202)["manual"], true);
    assert_eq!(hooks.take(200).headers["webhook-id"], first.headers["webhook-id"]);
    assert!(client.metric("drawdown_webhook_attempts_total{outcome=\"failed\"}") >= 3.0);
    let stats = client.get("/v1/stats").expect_status(200);
    assert_eq!(stats["webhooks"]["endpoints"], json!({"enabled": 1, "disabled": 0}));
}

#[test]
fn secrets_are_rotated_endpoints_tried_and_disabled() {
    let sending = Sending::start();
    let hooks = Hooks::start(0);
    let made = sending.make(&hooks, &json!(["hold.*"]));
    let (path, old) = (format!("/v1/webhook-endpoints/{}", text(&made["id"])), text(&made["secret"]).to_owned());
    let mut client = sending.server.client();
    let rotated = client.post(&format!("{path}/rotate-secret"), &json!({})).expect_status(200);
    let new = text(&rotated["secret"]).to_owned();
    assert_eq!(rotated["old_secrets_expire_at"].as_array().map(Vec::len), Some(1));
    client.post(&format!("{path}/test"), &json!({})).expect_status(202);
    let tried = hooks.take(200);
    assert_eq!(tried.event()["type"], "webhook_endpoint.test");
    tried.verify(&[&old, &new], sending.now_s());
    let shown = client.get(&path).expect_status(200);
    assert!(shown.get("secret").is_none() && !shown.to_string().contains(&new));

    client.post(&format!("{path}/test"), &json!({})).expect_status(202);
    hooks.take(410);
    let gone = until(|| Some(client.get(&path).expect_status(200)).filter(|shown| shown["status"] == "disabled"));
    assert_eq!(gone["disabled_reason"], "gone");
    // The feed tells what is durable.
    sending.server.engine.barrier().wait().expect("a healthy log");
    let feed = client.get("/v1/feed?after=0&types=webhook_endpoint.disabled").expect_status(200);
    assert_eq!(
        (&feed["data"][0]["data"]["endpoint"], &feed["data"][0]["data"]["reason"]),
        (&made["id"], &json!("gone"))
    );
    client.post(&format!("{path}/test"), &json!({})).expect_problem(409, "webhook_endpoint_disabled");
    client.patch(&path, &json!({"status": "enabled"})).expect_status(200);
    assert_eq!(hooks.take(200).event()["type"], "webhook_endpoint.test", "it goes on where it was");
    client.send("DELETE", &path, &[], b"").expect_status(204);
    client.get(&path).expect_problem(404, "unknown_webhook_endpoint");
    assert_eq!(client.get("/v1/webhook-endpoints").expect_status(200)["data"], json!([]));
}

#[test]
fn endpoints_that_cannot_be_are_refused_by_field() {
    let server = TestServer::start();
    let mut client = server.client();
    let mut refuse = |body: Value, status, slug, field: &str| {
        let problem = client.post("/v1/webhook-endpoints", &body).expect_problem(status, slug);
        assert_eq!(problem["field"], field, "{problem}");
    };
    refuse(json!({}), 400, "invalid_field", "url");
    refuse(json!({"url": 7}), 400, "invalid_field", "url");
    for url in ["", "example.com", "http://example.com/", "https://127.0.0.1/", "https://u:p@example.com/", "ftp://a/"]
    {
        refuse(json!({"url": url}), 422, "invalid_value", "url");
    }
    let url = "https://example.com/hooks";
    refuse(json!({"url": url, "events": "*"}), 400, "invalid_field", "events");
    for events in [json!([]), json!([""]), json!(["Hold"]), json!(["hold*"]), json!(["*.hold"])] {
        refuse(json!({"url": url, "events": events}), 422, "invalid_value", "events");
    }
    refuse(json!({"url": url, "events": [7]}), 400, "invalid_field", "events");
    let made = client.post("/v1/webhook-endpoints", &json!({"url": url, "description": "d"})).expect_status(201);
    assert_eq!((&made["events"], &made["status"]), (&json!(["*"]), &json!("enabled")));
    let path = format!("/v1/webhook-endpoints/{}", text(&made["id"]));
    client.patch(&path, &json!({"status": "off"})).expect_problem(400, "invalid_field");
    client.patch(&path, &json!({"url": "http://example.com"})).expect_problem(422, "invalid_value");
    let patched = client.patch(&path, &json!({"events": ["a.b", "c.*"], "description": null, "metadata": {"k": "v"}}));
    let patched = patched.expect_status(200);
    assert_eq!((&patched["events"], &patched["description"]), (&json!(["a.b", "c.*"]), &json!("")));
    client.get(&format!("{path}/deliveries?status=odd")).expect_problem(400, "invalid_parameter");
    client.get(&format!("{path}/deliveries?cursor=odd")).expect_problem(400, "invalid_parameter");
    assert_eq!(client.get(&format!("{path}/deliveries")).expect_status(200)["data"], json!([]));
    client.get("/v1/deliveries/dlv_x_1-0").expect_problem(404, "unknown_delivery");
    client.post("/v1/deliveries/odd/redeliver", &json!({})).expect_problem(404, "unknown_delivery");
}

/// The log keeps no answer with a secret, so a repeat shows what was made without it. One whose answer was lost tells the secret: see `http::idempotency`.
#[test]
fn a_repeat_of_the_making_shows_no_secret() {
    let server = TestServer::start();
    let mut client = server.client().with_header("idempotency-key", "k-1");
    let body = json!({"url": "https://example.com/hooks"});
    let made = client.post("/v1/webhook-endpoints", &body).expect_status(201);
    assert!(made["secret"].is_string());
    let again = client.post("/v1/webhook-endpoints", &body);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let again = again.expect_status(201);
    assert_eq!(again["id"], made["id"]);
    assert!(again.get("secret").is_none());
    let path = format!("/v1/webhook-endpoints/{}/rotate-secret", text(&made["id"]));
    let mut client = server.client().with_header("idempotency-key", "k-2");
    assert!(client.post(&path, &json!({})).expect_status(200)["secret"].is_string());
    let again = client.post(&path, &json!({})).expect_status(200);
    assert!(again.get("secret").is_none());
    assert_eq!(again["old_secrets_expire_at"].as_array().map(Vec::len), Some(1), "rotated once");
}
