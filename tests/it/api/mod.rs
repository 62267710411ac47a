//! The API over real sockets: a server in this process, and a client that writes requests byte by byte.
#![expect(clippy::float_cmp, reason = "metrics that are compared are whole numbers, which f64 holds exactly")]

mod alerts;
mod bad_input;
mod billing;
mod contract;
mod corrections;
mod customers;
mod deposits;
mod edges;
mod grants;
mod holds;
mod idempotency;
mod limits;
mod metrics;
mod money_input;
mod payments;
mod portal;
mod pressure;
mod process;
mod provider_webhooks;
mod reads;
mod recurring;
mod reports;
mod told;
mod transfers;
mod usage;
mod webhooks;

use drawdown::engine::{Engine, EngineConfig, SystemClock};
use drawdown::http::auth::{Gate, NewKey, Scopes};
use drawdown::http::{App, Limits, Server};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a test waits for an answer before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// An engine on memory that forgets, small enough for a test and large enough for a whole batch.
fn engine() -> Engine {
    let mut config = EngineConfig::default();
    config.log.segment_bytes = 32 << 20;
    config.log.max_frame_bytes = 4 << 20;
    config.log.segments_ahead = 1;
    config.log.max_unsynced_bytes = 16 << 20;
    let medium = Arc::new(drawdown_wal::Heap::new());
    Engine::open_on(medium, config, Arc::new(SystemClock)).expect("opens").0
}

/// A server in this process.
struct TestServer {
    address: SocketAddr,
    engine: Engine,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
    /// A server that needs no keys.
    fn start() -> Self {
        Self::with(Limits::default(), |_| Gate::Open)
    }

    fn with_limits(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self::with(limits, |_| Gate::Open)
    }

    fn with(limits: Limits, gate: impl FnOnce(&Engine) -> Gate) -> Self {
        let engine = engine();
        let gate = gate(&engine);
        Self::over(engine, limits, gate)
    }

    /// A server over an engine of the test's own.
    fn over(engine: Engine, limits: Limits, gate: Gate) -> Self {
        Self::of(engine, move |engine| App::new(engine, gate, limits, 1))
    }

    /// A server over an application that is made on the server's own runtime.
    fn of(engine: Engine, app: impl FnOnce(Engine) -> App + Send + 'static) -> Self {
        let own = engine.clone();
        let (stop, stopped) = oneshot::channel();
        let (tell_address, address) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let server = Server::bind(app(own), "127.0.0.1:0").await.expect("listens");
                tell_address.send(server.local_addr().expect("an address")).expect("the test waits");
                server.run(async { drop(stopped.await) }).await;
            });
        });
        let address = address.recv().expect("the server starts");
        TestServer { address, engine, stop: Some(stop), thread: Some(thread) }
    }

    /// A server with the currency `credits` (scale 2), the meter `tokens` (0.01 a unit) and a wallet of `cus` with 100.
    fn funded() -> Self {
        let server = Self::start();
        server.fund();
        server
    }

    fn fund(&self) {
        let mut client = self.client();
        client.put("/v1/credit-currencies/credits", &json!({"scale": 2})).expect_status(200);
        client.put("/v1/meters/tokens", &json!({"currency": "credits", "rate": "0.01"})).expect_status(200);
        client
            .post("/v1/grants", &json!({"customer": "cus", "currency": "credits", "amount": "100"}))
            .expect_status(201);
    }

    fn client(&self) -> Client {
        Client::new(self.address)
    }

    fn key(&self, scopes: Scopes) -> String {
        let key = NewKey::generate("test", true, scopes, self.engine.now()).expect("randomness");
        self.engine.put_api_key(key.record).expect("stored").wait().expect("durable");
        key.token
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.expect("was running").expect("ends in order");
            // A log that the test broke says so.
            assert!(self.engine.health().is_err() || self.engine.close().is_ok());
        }
    }
}

/// One keep-alive connection.
struct Client {
    stream: BufReader<TcpStream>,
    headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Client { stream: BufReader::new(stream), headers: Vec::new() }
    }

    /// Sends this header with every request.
    fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the server takes what is sent");
    }

    fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n", body.len());
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(headers.iter().copied()) {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        self.raw(&[head.as_bytes(), body].concat());
        self.answer_to(method)
    }

    fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    fn answer_to(&mut self, method: &str) -> Answer {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("an answer");
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not an answer: {line:?}"));
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("a header");
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        if method != "HEAD" {
            answer.body.resize(length, 0);
            self.stream.read_exact(&mut answer.body).expect("the body");
        }
        answer
    }

    /// Whether the server has closed the connection.
    fn is_closed(&mut self) -> bool {
        !matches!(self.stream.read(&mut [0]), Ok(1..))
    }

    fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    fn json(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.json("POST", path, body)
    }

    fn put(&mut self, path: &str, body: &Value) -> Answer {
        self.json("PUT", path, body)
    }

    fn patch(&mut self, path: &str, body: &Value) -> Answer {
        self.json("PATCH", path, body)
    }

    /// Posts text with a content type.
    fn post_as(&mut self, content_type: &str, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.send("POST", path, &[("content-type", content_type)], body.as_ref())
    }

    /// The value of a metric with exactly these labels, such as `drawdown_wallets` or `x_total{a="b"}`. 0 if it is not there.
    fn metric(&mut self, name: &str) -> f64 {
        let page = self.get("/metrics");
        assert_eq!(page.status, 200);
        let text = String::from_utf8(page.body).expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    fn balance(&mut self, customer: &str) -> String {
        let wallet = self.get(&format!("/v1/wallets/{customer}/credits")).expect_status(200);
        wallet["balance"].as_str().expect("a balance").to_owned()
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    fn value(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {text:?}"))
    }

    /// The body of an answer with this status.
    #[track_caller]
    fn expect_status(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        if self.body.is_empty() { Value::Null } else { self.value() }
    }

    /// The body of a problem with this status and slug, whose envelope is whole.
    #[track_caller]
    fn expect_problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.expect_status(status);
        assert_eq!(problem["type"], format!("/problems/{slug}"), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["instance"].as_str(), self.header("x-request-id"), "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}
