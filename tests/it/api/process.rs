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
