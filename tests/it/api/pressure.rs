//! What the server does when it can do no more: a disk that is slow, full or broken, too many requests, clients that do not read. Each
//! refusal has an answer and a metric, and ends without loss.

use super::*;
use drawdown_wal::sim::Disk;
use std::time::Instant;

/// A server with a wallet of 1 000 000 over a simulated disk, whose log holds about a hundred kilobytes before it has to be synced.
fn on_disk(disk: &Disk, change: impl FnOnce(&mut Limits)) -> TestServer {
    let mut limits = Limits::default();
    change(&mut limits);
    let mut config = EngineConfig::default();
    config.log.segment_bytes = 1 << 20;
    config.log.max_frame_bytes = 64 << 10;
    config.log.segments_ahead = 1;
    config.log.max_unsynced_bytes = 256 << 10;
    config.admission_wait_ms = limits.admission_wait.as_millis() as u64;
    let engine = Engine::open_on(disk.medium(), config, Arc::new(SystemClock)).expect("opens").0;
    let server = TestServer::over(engine, limits, Gate::Open);
    let mut client = server.client();
    client.put("/v1/credit-currencies/credits", &json!({"scale": 2})).expect_status(200);
    client.post("/v1/grants", &json!({"customer": "cus", "amount": 1_000_000})).expect_status(201);
    server
}

/// Syncs of a disk, held up until this is dropped: so a test that fails ends.
struct Held(Disk);

impl Held {
    fn syncs_of(disk: &Disk) -> Self {
        disk.hold_syncs();
        Held(disk.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.release_syncs();
    }
}

/// Events of 1 each, with ids of their own.
fn batch(name: &str, count: usize) -> Value {
    (0..count).map(|number| json!({"id": format!("{name}-{number}"), "customer": "cus", "amount": 1})).collect()
}

/// Asks again until the answer fits. The waiting is for another thread of the server, which nothing tells of.
#[track_caller]
fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = attempt() {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "never seen: {what}");
        std::thread::yield_now();
    }
}

#[track_caller]
fn check<'a>(readiness: &'a Value, name: &str) -> &'a Value {
    let checks = readiness["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name}: {readiness}"))
}

#[test]
fn writes_wait_for_a_slow_disk_and_none_is_lost() {
    let disk = Disk::new();
    let server = on_disk(&disk, |limits| limits.admission_wait = PATIENCE);
    let held = Held::syncs_of(&disk);
    let writers: Vec<_> = (0..12)
        .map(|number| {
            let mut client = server.client();
            // 12 batches of about 37 KiB of log each are more than may wait for the disk.
            std::thread::spawn(move || {
                client.post("/v1/events", &batch(&format!("w{number}"), 500)).expect_status(200)["applied"] == 500
            })
        })
        .collect();
    let mut client = server.client();
    until("a writer waits", || (client.metric("drawdown_log_admission_waiting") > 0.0).then_some(()));
    // Nobody is kept from reading, and a command waits like the others.
    assert_eq!(client.get("/healthz").status, 200);
    assert_eq!(client.get("/readyz").expect_status(200)["status"], "ready");
    assert!(client.get("/v1/stats").expect_status(200)["admission"]["waiting"].as_u64() > Some(0));
    let mut grantor = server.client();
    let grantor =
        std::thread::spawn(move || grantor.post("/v1/grants", &json!({"customer": "cus", "amount": 5})).status);
    drop(held);
    assert!(writers.into_iter().all(|writer| writer.join().expect("no panic")));
    assert_eq!(grantor.join().expect("no panic"), 201);
    assert_eq!(client.balance("cus"), "994005");
    assert_eq!(client.metric("drawdown_log_admission_waiting"), 0.0);
    assert!(client.metric("drawdown_log_admission_waits_total") > 0.0);
    assert!(client.metric("drawdown_log_admission_wait_seconds_total") > 0.0);
    assert_eq!(client.metric("drawdown_http_refusals_total{reason=\"overloaded\"}"), 0.0);
}

#[test]
fn writes_that_waited_too_long_are_refused_and_may_come_again() {
    let disk = Disk::new();
    let server = on_disk(&disk, |limits| limits.admission_wait = Duration::from_millis(30));
    let held = Held::syncs_of(&disk);
    // One after the other, until one finds no room; those before it wait for the disk.
    let (mut client, mut writers) = (server.client(), Vec::new());
    let refused = "drawdown_http_refusals_total{reason=\"overloaded\"}";
    while client.metric(refused) == 0.0 {
        let (mut writer, number) = (server.client(), writers.len());
        writers.push(std::thread::spawn(move || {
            let answer = writer.post("/v1/events", &batch(&format!("w{number}"), 100));
            if answer.status != 200 {
                answer.expect_problem(503, "overloaded");
                assert_eq!(answer.header("retry-after"), Some("1"));
            }
            (number, answer.status)
        }));
        let decided = f64::from(u32::try_from(writers.len()).expect("few"));
        until("decided or refused", || {
            (client.metric("drawdown_batches_total") + client.metric(refused) == decided).then_some(())
        });
    }
    let answer = until("not ready", || Some(client.get("/readyz")).filter(|answer| answer.status == 503));
    let problem = answer.expect_problem(503, "overloaded");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(check(&problem, "load")["status"], "failing");
    assert_eq!(check(&problem, "log")["status"], "ok");
    assert_eq!(client.metric("drawdown_ready_check{check=\"load\"}"), 0.0);
    let mut grantor = server.client();
    let grant = json!({"customer": "cus", "amount": 5, "key": "once"});
    grantor.post("/v1/grants", &grant).expect_problem(503, "overloaded");
    drop(held);
    let outcomes: Vec<_> = writers.into_iter().map(|writer| writer.join().expect("no panic")).collect();
    let applied = outcomes.iter().filter(|(_, status)| *status == 200).count();
    assert_eq!(applied, outcomes.len() - 1, "{outcomes:?}");
    assert_eq!(client.balance("cus"), (1_000_000 - 100 * applied).to_string());
    let sent = outcomes.len();
    for (number, status) in outcomes {
        let again = client.post("/v1/events", &batch(&format!("w{number}"), 100)).expect_status(200);
        assert_eq!(again[if status == 200 { "duplicate" } else { "applied" }], 100, "{again}");
    }
    grantor.post("/v1/grants", &grant).expect_status(201);
    assert_eq!(client.balance("cus"), (1_000_005 - 100 * sent).to_string());
    until("ready again", || (client.get("/readyz").status == 200).then_some(()));
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_space_and_serves_reads() {
    let disk = Disk::new();
    let server = on_disk(&disk, |_| {});
    let mut client = server.client();
    disk.fill_up(1);
    let mut applied = 0;
    let refused = loop {
        let answer = client.post("/v1/events", &batch(&format!("b{applied}"), 200));
        if answer.status != 200 {
            break answer;
        }
        applied += 1;
    };
    refused.expect_problem(503, "no_space");
    assert_eq!(refused.header("retry-after"), Some("30"));
    assert_eq!(client.balance("cus"), (1_000_000 - 200 * applied).to_string());
    client.get("/v1/wallets/cus/credits/entries").expect_status(200);
    client.get("/v1/feed").expect_status(200);
    client.post("/v1/check", &json!({"customer": "cus", "amount": 1})).expect_status(200);
    client.put("/v1/meters/m", &json!({"currency": "credits", "rate": 1})).expect_problem(503, "no_space");
    let answer = client.get("/readyz");
    let problem = answer.expect_problem(503, "no_space");
    assert_eq!(answer.header("retry-after"), Some("30"));
    assert_eq!(
        (&check(&problem, "space")["status"], &check(&problem, "log")["status"]),
        (&json!("failing"), &json!("ok"))
    );
    assert_eq!((client.metric("drawdown_ready"), client.get("/healthz").status), (0.0, 200));
    assert!(client.metric("drawdown_log_prepare_failures_total") > 0.0);
    assert!(client.metric("drawdown_log_admission_refusals_total{reason=\"no_space\"}") > 0.0);
    assert!(client.metric("drawdown_http_refusals_total{reason=\"no_space\"}") >= 2.0);

    // Some more attempts fail, and then one succeeds: nobody has to do anything.
    disk.fail_creations(3);
    disk.make_space();
    until("writes go on", || {
        let answer = client.post("/v1/events", &batch(&format!("b{applied}"), 200));
        assert!(answer.status == 200 || answer.status == 503, "{answer:?}");
        (answer.status == 200).then_some(())
    });
    assert_eq!(client.balance("cus"), (1_000_000 - 200 * (applied + 1)).to_string());
    until("ready again", || (client.get("/readyz").status == 200).then_some(()));
    for number in 0..=applied {
        let again = client.post("/v1/events", &batch(&format!("b{number}"), 200)).expect_status(200);
        assert_eq!(again["duplicate"], 200, "{again}");
    }
}

#[test]
fn a_disk_that_is_nearly_full_is_warned_of() {
    let disk = Disk::new();
    let server = on_disk(&disk, |_| {});
    let mut client = server.client();
    disk.fill_up(1);
    // On until the preparer wants another segment.
    for number in 0.. {
        client.post("/v1/events", &batch(&format!("b{number}"), 200)).expect_status(200);
        if client.metric("drawdown_log_prepare_failures_total") > 0.0 {
            break;
        }
    }
    let readiness = client.get("/readyz").expect_status(200);
    assert_eq!((&readiness["status"], &check(&readiness, "space")["status"]), (&json!("ready"), &json!("warning")));
    assert_eq!(client.metric("drawdown_ready_check{check=\"space\"}"), 1.0);
}

#[test]
fn a_failed_sync_answers_nobody_and_is_final() {
    let disk = Disk::new();
    let server = on_disk(&disk, |_| {});
    let mut client = server.client();
    client.post("/v1/events", &batch("before", 3)).expect_status(200);
    disk.fail_sync(disk.syncs() + 1);
    let answer = client.post("/v1/events", &batch("lost", 3));
    let problem = answer.expect_problem(503, "poisoned");
    assert_eq!(answer.header("retry-after"), Some("30"));
    assert!(
        !problem["detail"].as_str().expect("text").contains("simulated"),
        "what the disk said is the log's: {problem}"
    );
    for _ in 0..3 {
        client.post("/v1/events", &batch("more", 1)).expect_problem(503, "poisoned");
        client.post("/v1/grants", &json!({"customer": "cus", "amount": 5})).expect_problem(503, "poisoned");
    }
    let problem = client.get("/readyz").expect_problem(503, "poisoned");
    assert_eq!(check(&problem, "log")["reason"], "poisoned");
    assert_eq!(client.get("/healthz").status, 200);
    assert_eq!(client.metric("drawdown_ready_check{check=\"log\"}"), 0.0);
    assert!(client.metric("drawdown_http_refusals_total{reason=\"poisoned\"}") >= 7.0);
    // What a restart finds: what was answered is there once.
    drop(client);
    let left = disk.crash(1);
    drop(server);
    let mut config = EngineConfig::default();
    config.log = drawdown_wal::Options { max_unsynced_bytes: 256 << 10, max_frame_bytes: 64 << 10, ..config.log };
    let engine = Engine::open_on(left.medium(), config, Arc::new(SystemClock)).expect("opens").0;
    let server = TestServer::over(engine, Limits::default(), Gate::Open);
    let mut client = server.client();
    assert_eq!(client.post("/v1/events", &batch("before", 3)).expect_status(200)["duplicate"], 3);
    client.post("/v1/events", &batch("lost", 3)).expect_status(200);
    assert_eq!(client.balance("cus"), "999994");
}

#[test]
fn requests_under_way_are_bounded_and_operations_still_answer() {
    let server = TestServer::with_limits(|limits| limits.in_flight_requests = 2);
    server.fund();
    let mut client = server.client();
    let head = b"POST /v1/events HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n";
    let mut open: Vec<Client> = (0..2)
        .map(|_| {
            let mut half = server.client();
            half.raw(head);
            half
        })
        .collect();
    until("both are counted", || (client.metric("drawdown_http_in_flight_requests") >= 2.0).then_some(()));
    let answer = client.post("/v1/events", &json!([]));
    let problem = answer.expect_problem(503, "overloaded");
    assert_eq!((&problem["exceeded"], answer.header("retry-after")), (&json!("in_flight_requests"), Some("1")));
    assert_eq!(client.get("/healthz").status, 200);
    client.get("/readyz").expect_problem(503, "overloaded");
    assert_eq!(client.metric("drawdown_http_refusals_total{reason=\"in_flight_requests\"}"), 1.0);
    for half in &mut open {
        half.raw(b"[]");
        half.answer().expect_status(200);
    }
    client.post("/v1/events", &json!([])).expect_status(200);
    assert_eq!(client.metric("drawdown_http_in_flight_requests"), 0.0);
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let server = TestServer::with_limits(|limits| limits.answer_time = Duration::from_millis(200));
    let mut client = server.client();
    let mut deaf = server.client();
    // Answers of 100 kB each, until no more requests are taken: everything between the server and this client is full.
    deaf.stream.get_mut().set_write_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    let request = b"GET /openapi.json HTTP/1.1\r\nhost: t\r\n\r\n".repeat(64);
    while deaf.stream.get_mut().write_all(&request).is_ok() {}
    let cut = "drawdown_http_connections_closed_total{reason=\"slow_reader\"}";
    until("the cut", || (client.metric(cut) == 1.0).then_some(()));
    assert_eq!(client.metric("drawdown_http_refusals_total{reason=\"slow_reader\"}"), 1.0);
    let mut rest = Vec::new();
    assert!(deaf.stream.read_to_end(&mut rest).is_err(), "the connection was reset");
    // One that reads slowly, but reads, gets all of it.
    let mut slow = server.client();
    slow.raw(b"GET /openapi.json HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(slow.answer().expect_status(200)["openapi"], "3.1.0");
}

/// Under HTTP/2 a client can keep an answer waiting by granting no window, and the connection alive all the while.
#[test]
fn a_client_that_grants_no_window_is_cut_off() {
    let server = TestServer::with_limits(|limits| limits.answer_time = Duration::from_millis(200));
    let mut client = server.client();
    let mut deaf = server.client();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS with INITIAL_WINDOW_SIZE (4) of 0.
    bytes.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    // HEADERS of stream 1, complete: GET (2), http (6), path literal (4), authority literal (1).
    let path = b"/openapi.json";
    let mut block = vec![0x82, 0x86, 0x44, path.len() as u8];
    block.extend(path);
    block.extend([0x41, 1, b't']);
    bytes.extend([0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1]);
    bytes.extend(block);
    deaf.raw(&bytes);
    let cut = "drawdown_http_connections_closed_total{reason=\"slow_reader\"}";
    until("the cut", || {
        // PING: the server answers, so the connection is not idle.
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        let _ = deaf.stream.get_mut().write_all(&ping);
        (client.metric(cut) == 1.0).then_some(())
    });
}

#[test]
fn a_batch_that_is_too_large_for_a_frame_is_decided_in_parts() {
    let disk = Disk::new();
    let server = on_disk(&disk, |_| {});
    let mut client = server.client();
    // 5 000 records are about six times what a frame of this log holds.
    let answer = client.post("/v1/events", &batch("large", 5000)).expect_status(200);
    assert_eq!((&answer["applied"], &answer["rejected"]), (&json!(5000), &json!(0)));
    let results = answer["results"].as_array().expect("results");
    assert!(results.iter().enumerate().all(|(number, result)| result["id"] == format!("large-{number}")));
    assert_eq!(client.post("/v1/events", &batch("large", 5000)).expect_status(200)["duplicate"], 5000);
    assert_eq!(client.balance("cus"), "995000");
}

#[test]
fn the_problem_and_the_header_name_the_same_request() {
    let server = TestServer::start();
    let mut client = server.client();
    let first = client.get("/nothing");
    let second = client.get("/nothing");
    assert_eq!(first.expect_problem(404, "not_found")["instance"].as_str(), first.header("x-request-id"));
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
}
