//! The real server on disks that are full or broken: file systems in images, mounted for the test.
//!
//! What is checked: nobody is told of a success that the disk does not hold; a full disk refuses writes, serves reads, and goes on by itself
//! when there is space; a sync that fails ends the process, with an exit code that says so; and a restart knows everything that was
//! answered, once.
//!
//! Mounting an image takes root and a kernel that lets it. Where either is missing, the tests print `SKIPPED` with the reason;
//! `DRAWDOWN_REQUIRE_LOOP=1` makes that a failure, for machines on which it must not happen. The same faults on the simulated
//! disk, which needs nothing, are in `tests/it/api/pressure.rs` and `wal/tests/faults.rs`.
#![expect(clippy::float_cmp, reason = "metrics that are compared are whole numbers, which f64 holds exactly")]

#[path = "../crash/books.rs"]
#[allow(dead_code, reason = "shared with the crash tests")]
mod books;
#[path = "../crash/client.rs"]
#[allow(dead_code, reason = "shared with the crash tests")]
mod client;
mod image;
mod load;
#[path = "../crash/process.rs"]
#[allow(dead_code, reason = "shared with the crash tests")]
mod process;
#[path = "../crash/random.rs"]
#[allow(dead_code, reason = "shared with the crash tests")]
mod random;
#[path = "../crash/verify.rs"]
#[allow(dead_code, reason = "shared with the crash tests")]
mod verify;

use books::{Books, customer, decimal};
use client::Client;
use image::Image;
use load::{Load, Seen};
use process::Process;
use serde_json::Value;
use std::fs;

const MIB: u64 = 1 << 20;

#[track_caller]
fn check<'a>(readiness: &'a Value, name: &str) -> &'a Value {
    let checks = readiness["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name}: {readiness}"))
}

/// The value of a metric that has no labels.
fn metric(client: &mut Client, name: &str) -> f64 {
    let page = client.get("/metrics");
    let line = page.as_str().expect("text").lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no metric {name}")).parse().expect("a number")
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_goes_on_by_itself() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(image) = Image::mount(directory.path(), 48 * MIB) else { return };
    let data = image.path().join("ledger");
    let mut process = Process::start(&data);
    let mut client = Client::connect(process.address());
    let mut books = Books::new();
    load::set_up(&mut client, &mut books);

    let load = Load::start(process.address(), 3);
    load.wait_for(Seen::Applied);
    let filler = image.fill_up();
    load.wait_for(Seen::Refused("no_space"));
    // All the while the lanes go on asking; reads are answered, and everybody is told why writes are not.
    let readiness = client.ask("GET", "/readyz", None).expect("an answer");
    assert_eq!((readiness.status, readiness.retry_after), (503, Some(30)), "{}", readiness.body);
    assert_eq!(readiness.body["type"], "/problems/no_space");
    assert_eq!(check(&readiness.body, "space")["status"], "failing");
    assert_eq!(check(&readiness.body, "log")["status"], "ok");
    assert_eq!(client.get("/healthz")["status"], "ok");
    assert_eq!(client.get(&format!("/v1/wallets/{}/{}", customer(0), books::CURRENCY))["status"], "active");
    client.get(&format!("/v1/wallets/{}/{}/entries", customer(0), books::CURRENCY));
    assert_eq!(metric(&mut client, "drawdown_ready"), 0.0);
    assert!(metric(&mut client, "drawdown_log_prepare_failures_total") > 0.0);
    assert!(metric(&mut client, "drawdown_disk_free_bytes") < 1e6);

    // Killed and started again while the disk is full: what is there can be read.
    books.take(load.stop());
    verify::nothing_unanswered(&mut client, &books);
    process.kill();
    let mut process = Process::start(&data);
    let mut client = Client::connect(process.address());
    verify::nothing_unanswered(&mut client, &books);

    // Space again: nobody tells the server.
    let load = Load::start(process.address(), 3);
    load.wait_for(Seen::Refused("no_space"));
    fs::remove_file(filler).expect("the filler goes");
    load.wait_for(Seen::Applied);
    books.take(load.stop());
    books.count_unanswered();
    verify::nothing_unanswered(&mut client, &books);
    assert!(books.unanswered_ever > 0, "nothing was refused: this tests nothing");
    assert_eq!(client.ask("GET", "/readyz", None).expect("an answer").status, 200);

    process.kill();
    let mut process = Process::start(&data);
    verify::everything(&mut Client::connect(process.address()), &mut books);
    assert_eq!(process.terminate(), Some(0));
    println!("full disk: {books}");
}

#[test]
fn a_sync_that_fails_answers_nobody_and_ends_the_process() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(image) = Image::mount(directory.path(), 64 * MIB) else { return };
    let data = image.path().join("ledger");
    let mut process = Process::start(&data);
    let mut client = Client::connect(process.address());
    let mut books = Books::new();
    load::set_up(&mut client, &mut books);
    drop(client);

    let load = Load::start(process.address(), 3);
    load.wait_for(Seen::Applied);
    image.break_off();
    load.wait_for(Seen::Gone);
    books.take(load.stop());
    let unanswered = books.count_unanswered();
    assert_ne!(process.wait(), Some(0), "a server whose log failed does not end well");
    drop(process);
    assert!(unanswered > 0, "no request met the failure: this tests nothing");

    // The machine comes back, with a disk that works again. What memory held beyond it is gone.
    let image = image.remount();
    let mut process = Process::start(&image.path().join("ledger"));
    verify::everything(&mut Client::connect(process.address()), &mut books);
    let totals = Client::connect(process.address()).get(&format!("/v1/balances?currency={}", books::CURRENCY));
    let expected: i64 = (0..books::WALLETS).map(|wallet| books.balance(wallet)).sum();
    assert_eq!(books::units(&totals["data"][0]["balance"]), expected, "{}", decimal(expected));
    assert_eq!(process.terminate(), Some(0));
    println!("failed sync: {books}");
}
