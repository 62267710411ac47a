//! The real binary: settings, keys, drain.

use super::*;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// The server as a process of its own.
pub(super) struct Process {
    child: Child,
    pub(super) address: SocketAddr,
}

pub(super) fn serve(directory: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawdown"));
    command
        .arg("serve")
        .arg("--data")
        .arg(directory)
        .args(["--listen", "127.0.0.1:0", "--segment-bytes", "4MiB"])
        .args(arguments);
    command.env_remove("DRAWDOWN_ADMIN_KEY").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Process {
    pub(super) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let Some(address) = line.trim().strip_prefix("drawdown listens on http://") else {
            panic!("no address in {line:?}: {:?}", child.wait_with_output());
        };
        Process { address: address.parse().expect("an address"), child }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Waits for the end and gives the exit code.
    fn wait(&mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("waits") {
                return status.code();
            }
            assert!(started.elapsed() < PATIENCE, "the server does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn sigterm_lets_requests_finish_and_exits_with_0() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut process = Process::start(serve(directory.path(), &["--dev"]));
    let mut client = Client::new(process.address);
    client.put("/v1/credit-currencies/credits", &json!({"scale": 2})).expect_status(200);
    client.post("/v1/grants", &json!({"customer": "cus", "amount": 10})).expect_status(201);
    // One request is half sent, another waits at the end of the feed; a third connection is idle, a fourth never spoke.
    let mut silent = Client::new(process.address);
    let event = json!({"id": "e", "customer": "cus", "amount": 3}).to_string();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        event.len()
    );
    client.raw(head.as_bytes());
    let mut waiting = Client::new(process.address);
    let end = waiting.get("/v1/feed").expect_status(200)["next_cursor"].as_str().expect("a position").to_owned();
    waiting.raw(format!("GET /v1/feed?after={end}&wait_ms=60000 HTTP/1.1\r\nhost: t\r\n\r\n").as_bytes());
    let mut idle = Client::new(process.address);
    idle.get("/healthz").expect_status(200);
    process.signal("-TERM");
    assert!(idle.is_closed() && silent.is_closed());
    waiting.answer().expect_status(200);
    client.raw(event.as_bytes());
    assert_eq!(client.answer().expect_status(200)["applied"], 1);
    assert_eq!(process.wait(), Some(0));
    assert!(TcpStream::connect(process.address).is_err());

    let mut process = Process::start(serve(directory.path(), &["--dev"]));
    assert_eq!(Client::new(process.address).balance("cus"), "7");
    process.signal("-INT");
    assert_eq!(process.wait(), Some(0));
}

#[track_caller]
fn refuses(mut command: Command, expected: &str) {
    let output = command.output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(expected), "{said}");
}

#[test]
fn a_server_that_could_be_used_by_all_or_by_none_does_not_start() {
    let directory = tempfile::tempdir().expect("a directory");
    refuses(serve(directory.path(), &[]), "there is no API key");
    let mut public = Command::new(env!("CARGO_BIN_EXE_drawdown"));
    public.args(["serve", "--dev", "--listen", "0.0.0.0:0", "--data"]).arg(directory.path());
    refuses(public, "127.0.0.1 or [::1] only");
    let mut short = serve(directory.path(), &[]);
    short.env("DRAWDOWN_ADMIN_KEY", "short");
    refuses(short, "at least 32 bytes");

    let key = "an-admin-key-of-at-least-32-bytes";
    let mut command = serve(directory.path(), &[]);
    command.env("DRAWDOWN_ADMIN_KEY", key).env("DRAWDOWN_LOG", "off");
    let mut process = Process::start(command);
    Client::new(process.address).get("/v1/stats").expect_problem(401, "missing_api_key");
    let mut admin = Client::new(process.address).with_header("authorization", &format!("Bearer {key}"));
    let made = admin.post("/v1/api-keys", &json!({"name": "n", "scopes": ["read"]})).expect_status(201);
    process.signal("-TERM");
    assert_eq!(process.wait(), Some(0));
    // A stored key suffices from now on.
    let process = Process::start(serve(directory.path(), &[]));
    let token = format!("Bearer {}", made["token"].as_str().expect("a token"));
    Client::new(process.address).with_header("authorization", &token).get("/v1/stats").expect_status(200);
}

/// Reads lines until one has this in it.
#[track_caller]
fn wait_for_line(output: impl Read, wanted: &str) -> String {
    let mut seen = String::new();
    for line in BufReader::new(output).lines() {
        let line = line.expect("text");
        if line.contains(wanted) {
            return line;
        }
        seen.push_str(&line);
    }
    panic!("{wanted:?} never came: {seen}");
}

/// A killed server may hold its directory for a while; whoever starts the next one need not know.
#[test]
fn a_start_waits_for_its_predecessor_to_let_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut first = Process::start(serve(directory.path(), &["--dev"]));
    refuses(serve(directory.path(), &["--dev", "--start-wait", "0ms"]), "in use by another process");
    let mut child = serve(directory.path(), &["--dev", "--start-wait", "30s"]).spawn().expect("starts");
    let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let mut second = Process { child, address: first.address };
    wait_for_line(stderr, "held by another process");
    first.child.kill().expect("was running");
    // Nobody reads the second one's log any more, which must not be its end.
    let line = wait_for_line(stdout, "listens on");
    second.address = line.rsplit("http://").next().expect("an address").parse().expect("an address");
    assert_eq!(Client::new(second.address).get("/readyz").status, 200);
}

#[test]
fn lines_of_the_log_name_the_request_that_the_answer_names() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = serve(directory.path(), &["--dev", "--log-format", "json"]);
    command.env_remove("DRAWDOWN_LOG").env("RUST_LOG", "debug");
    let mut process = Process::start(command);
    let stderr = process.child.stderr.take().expect("piped");
    let reader = std::thread::spawn(move || std::io::read_to_string(stderr).expect("text"));
    let answer = Client::new(process.address).get("/nothing");
    let problem = answer.expect_problem(404, "not_found");
    process.signal("-TERM");
    assert_eq!(process.wait(), Some(0));
    let text = reader.join().expect("no panic");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let with = |message: &str| lines.iter().find(|line| line["fields"]["message"] == message);
    let request = with("request").unwrap_or_else(|| panic!("no line for the request: {text}"));
    assert_eq!((&request["fields"]["id"], &request["fields"]["status"]), (&problem["instance"], &json!(404)));
    assert_eq!(with("problem").expect("a line")["fields"]["id"], problem["instance"]);
    for message in ["starting", "opened the ledger", "listening", "draining", "stopped"] {
        assert_eq!(with(message).unwrap_or_else(|| panic!("no line {message}: {text}"))["level"], "INFO");
    }
}

/// While the log is replayed the server says so, and to the same address it answers when that is done.
#[test]
fn a_server_that_recovers_says_so() {
    use drawdown::http::Listener;
    let (tell_address, address) = std::sync::mpsc::channel();
    let (finish, finished) = oneshot::channel::<()>();
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = Listener::bind("127.0.0.1:0").await.expect("listens");
            tell_address.send(listener.local_addr().expect("an address")).expect("the test waits");
            let limits = Limits::default();
            listener.answer_while(&limits, 1, finished).await.expect("the test finishes it");
            let engine = engine();
            let server = Server::on(App::new(engine.clone(), Gate::Open, limits, 1), listener);
            server.run(async { drop(stopped.await) }).await;
            engine.close().expect("closes");
        });
    });
    let address = address.recv().expect("it listens");
    let ask = |path: &str| Client::new(address).get(path);
    assert_eq!(ask("/healthz").expect_status(200)["status"], "ok");
    let answer = ask("/readyz");
    let problem = answer.expect_problem(503, "recovering");
    assert_eq!((&problem["checks"][0]["name"], answer.header("retry-after")), (&json!("recovery"), Some("1")));
    assert_eq!(Client::new(address).metric("drawdown_ready"), 0.0);
    assert_eq!(Client::new(address).metric("drawdown_ready_check{check=\"recovery\"}"), 0.0);
    Client::new(address).post("/v1/events", &json!([])).expect_problem(503, "recovering");
    ask("/v1/balances").expect_problem(503, "recovering");
    finish.send(()).expect("it waits");
    Client::new(address).post("/v1/events", &json!([])).expect_status(200);
    assert_eq!(ask("/readyz").expect_status(200)["status"], "ready");
    stop.send(()).expect("it serves");
    thread.join().expect("no panic");
}
