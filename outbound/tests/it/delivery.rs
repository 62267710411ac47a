//! Webhooks to receivers that take them, fail, hang, or vanish.

use crate::server::{Server, client, raw, reply};
use bytes::Bytes;
use drawdown_outbound::http::{Client, SendErrorKind, Settings};
use drawdown_outbound::webhooks::{Attempt, Delivery, EXCERPT_BYTES, Next, Schedule, Secret, Verdict, deliver, verify};
use std::time::Duration;

const NOW_S: u64 = 1_700_000_000;
const BODY: &[u8] = br#"{"type":"balance.low"}"#;

fn secrets() -> Vec<Secret> {
    [1, 2].map(|of| Secret::new(&[of; 32]).expect("32 bytes")).to_vec()
}

async fn attempt(client: &Client, url: &str) -> Attempt {
    let secrets = secrets();
    let (body, time) = (Bytes::from_static(BODY), Duration::from_secs(15));
    let delivery = Delivery { url, id: "evt_1", now_s: NOW_S, body, secrets: &secrets, time };
    deliver(client, &delivery).await.expect("something that can be sent")
}

#[tokio::test]
async fn a_receiver_can_verify_what_it_gets() {
    let server = Server::new(|_, _| reply(204, "")).await;
    let attempt = attempt(&client(), &server.url("/hooks")).await;
    assert_eq!((attempt.verdict(), attempt.status, &attempt.error), (Verdict::Delivered, Some(204), &None));
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str(), &seen.body[..]), ("POST", "/hooks", BODY));
    assert_eq!(seen.headers["content-type"], "application/json");
    for secret in secrets() {
        let verified = verify(&[secret], &seen.headers, &seen.body, NOW_S, 300).expect("signed by both");
        assert_eq!((verified.id, verified.timestamp_s), ("evt_1", NOW_S));
    }
}

#[tokio::test]
async fn answers_are_judged_and_excerpted() {
    let server = Server::new(|seen, _| match seen.path.as_str() {
        "/busy" => {
            let mut busy = reply(429, "slow\ndown");
            busy.headers_mut().insert("retry-after", "120".parse().expect("a value"));
            busy
        }
        "/gone" => reply(410, ""),
        "/moved" => {
            let mut moved = reply(301, "");
            moved.headers_mut().insert("location", "/".parse().expect("a value"));
            moved
        }
        "/long" => reply(500, vec![b'x'; 100_000]),
        _ => reply(200, "ok"),
    })
    .await;
    let client = client();
    let schedule = Schedule::new(vec![10], 0);
    let busy = attempt(&client, &server.url("/busy")).await;
    assert_eq!((busy.verdict(), busy.excerpt.as_str(), busy.retry_after_s), (Verdict::Failed, "slow down", Some(120)));
    assert_eq!(schedule.next(&busy, 1, 0), Next::RetryIn(Duration::from_mins(2)));
    let gone = attempt(&client, &server.url("/gone")).await;
    assert_eq!(schedule.next(&gone, 1, 0), Next::Disable);
    let moved = attempt(&client, &server.url("/moved")).await;
    assert_eq!((moved.verdict(), moved.status), (Verdict::Failed, Some(301)));
    let long = attempt(&client, &server.url("/long")).await;
    assert_eq!((long.verdict(), long.excerpt.len()), (Verdict::Failed, EXCERPT_BYTES));
    assert_eq!(server.seen().len(), 4, "no redirect was followed");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_or_vanishes_is_told_apart() {
    let (address, server) = raw(None).await;
    let hung = attempt(&client(), &format!("http://{address}/")).await;
    assert_eq!(hung.error.as_ref().map(|error| error.0), Some(SendErrorKind::Timeout));
    assert_eq!(hung.latency, Duration::from_secs(15));
    server.abort();
    let (address, server) = raw(Some(b"")).await;
    let vanished = attempt(&client(), &format!("http://{address}/")).await;
    assert_eq!(
        (vanished.verdict(), vanished.error.map(|error| error.0)),
        (Verdict::Failed, Some(SendErrorKind::Broken))
    );
    server.abort();
    assert_eq!(Schedule::new(vec![10], 0).next(&hung, 1, 0), Next::RetryIn(Duration::from_secs(10)));
}

#[tokio::test]
async fn inward_addresses_are_a_failed_attempt() {
    let server = Server::new(|_, _| reply(200, "inside")).await;
    let attempt = attempt(&Client::new(Settings::default()), &server.url("/")).await;
    assert_eq!((attempt.status, attempt.error.map(|error| error.0)), (None, Some(SendErrorKind::AddressRefused)));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_before() {
    let secrets = secrets();
    let of = |url: &'static str, id: &'static str| Delivery {
        url,
        id,
        now_s: NOW_S,
        body: Bytes::from_static(BODY),
        secrets: &secrets,
        time: Duration::from_secs(15),
    };
    assert!(deliver(&client(), &of("hooks", "evt_1")).await.is_err());
    assert!(deliver(&client(), &of("http://127.0.0.1:9/", "evt.1")).await.is_err());
}
