//! Signatures against those of the Standard Webhooks project's own library for Python, in both directions.

use crate::server::{Server, client, reply};
use crate::tools;
use bytes::Bytes;
use drawdown_outbound::http::{HeaderMap, HeaderName, HeaderValue};
use drawdown_outbound::webhooks::{Delivery, Secret, Verdict, deliver, sign, verify};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

struct Python {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    now_s: u64,
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Python {
    fn start() -> Option<Self> {
        let library = tools::standard_webhooks()?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/standard_webhooks.py");
        let mut child = Command::new("python3")
            .arg(script)
            .env("PYTHONPATH", library)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python, which fetched the library");
        let (asks, answers) = (child.stdin.take().expect("piped"), BufReader::new(child.stdout.take().expect("piped")));
        let mut python = Python { child, asks, answers, now_s: 0 };
        python.now_s = python.read()["now"].as_u64().expect("a time");
        Some(python)
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).expect("JSON")
    }

    fn ask(&mut self, ask: &Value) -> Value {
        writeln!(self.asks, "{ask}").expect("Python listens");
        self.read()
    }

    fn verifies(&mut self, secret: &Secret, headers: &HeaderMap, body: &str) -> bool {
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let headers: serde_json::Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), json!(headers[*name].to_str().expect("ASCII")))).collect();
        let answer = self.ask(&json!({"do": "verify", "secret": secret.expose(), "headers": headers, "body": body}));
        answer["verified"].as_bool().expect("yes or no")
    }
}

fn secret(length: usize, of: u8) -> Secret {
    let bytes: Vec<u8> = (0..length).map(|at| of.wrapping_mul(31).wrapping_add(at as u8)).collect();
    Secret::new(&bytes).expect("a length within the rule")
}

const BODIES: [&str; 4] = [
    "{}",
    r#"{"type":"balance.low","data":{"available":"0.05"}}"#,
    r#"{"name":"Żółć €","quote":"\"\\"}"#,
    "[1,\n 2.50]",
];

#[test]
fn python_verifies_what_we_sign() {
    let Some(mut python) = Python::start() else { return };
    let now_s = python.now_s;
    for (at, length) in (24..=64).enumerate() {
        let (old, new, body) = (secret(length, 1), secret(length, 2), BODIES[at % BODIES.len()]);
        let headers = sign(&[new.clone(), old.clone()], "evt_1", now_s, body.as_bytes()).expect("a message");
        assert!(python.verifies(&old, &headers, body) && python.verifies(&new, &headers, body), "{length}");
        assert!(!python.verifies(&secret(length, 3), &headers, body), "{length}");
        assert!(!python.verifies(&new, &headers, &format!("{body} ")), "{length}");
    }
    let new = secret(32, 2);
    let late = sign(std::slice::from_ref(&new), "evt_1", now_s - 1000, b"{}").expect("a message");
    assert!(!python.verifies(&new, &late, "{}"));
}

#[test]
fn we_verify_what_python_signs() {
    let Some(mut python) = Python::start() else { return };
    let now_s = python.now_s;
    for (at, length) in (24..=64).enumerate() {
        let (secret, body) = (secret(length, 5), BODIES[at % BODIES.len()]);
        let ask = json!({"do": "sign", "secret": secret.expose(), "id": "msg_1", "timestamp": now_s, "body": body});
        let signature = python.ask(&ask)["signature"].as_str().expect("a signature").to_owned();
        let header = |name: &'static str, value: &str| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        };
        let headers = HeaderMap::from_iter([
            header("webhook-id", "msg_1"),
            header("webhook-timestamp", &now_s.to_string()),
            header("webhook-signature", &signature),
        ]);
        let secrets = [secret];
        assert!(verify(&secrets, &headers, body.as_bytes(), now_s, 300).is_ok(), "{length}");
        assert!(verify(&secrets, &headers, b"[]", now_s, 300).is_err(), "{length}");
        // And bit for bit what we would have written.
        let ours = sign(&secrets, "msg_1", now_s, body.as_bytes()).expect("a message");
        assert_eq!(ours["webhook-signature"], signature);
    }
}

#[tokio::test]
async fn python_verifies_what_a_receiver_gets() {
    let Some(mut python) = Python::start() else { return };
    let server = Server::new(|_, _| reply(200, "")).await;
    let secrets = [secret(32, 1), secret(24, 2)];
    let (url, body) = (server.url("/hooks"), Bytes::from_static(BODIES[2].as_bytes()));
    let delivery = Delivery {
        url: &url,
        id: "evt_77",
        now_s: python.now_s,
        body,
        secrets: &secrets,
        time: Duration::from_secs(15),
    };
    let attempt = deliver(&client(), &delivery).await.expect("something that can be sent");
    assert_eq!(attempt.verdict(), Verdict::Delivered);
    let seen = &server.seen()[0];
    let body = std::str::from_utf8(&seen.body).expect("text");
    assert!(secrets.iter().all(|secret| python.verifies(secret, &seen.headers, body)));
}
