//! Runs that must be found clean, and runs that must not.

use super::fake::{self, Fault};
use clap::Parser;
use clap::ValueEnum;
use loadtest::books::Books;
use loadtest::client::{Client, Target};
use loadtest::encode::{Format, Names};
use loadtest::options::Options;
use loadtest::progress::bar;
use loadtest::report::{Machine, Parameters, Report};
use loadtest::run::run;
use loadtest::setup::prepare;
use loadtest::verify::audit;
use std::sync::Arc;

/// The whole test over 50 wallets, 3 connections and 5000 events, with further arguments.
async fn report(fault: Fault, arguments: &[&str]) -> Report {
    let key = arguments.contains(&"--key").then_some("secret");
    let url = format!("http://{}", fake::start(fault, key).await);
    let common = ["loadtest", "--url", &url, "--wallets", "50", "--batch", "100", "--connections", "3"];
    let options = Options::parse_from(common.iter().chain(arguments));
    let (plan, names) = (options.plan(), Names::new("test"));
    let target = Target::resolve(&url, options.key.as_deref(), false, options.request_timeout()).await;
    let target = Arc::new(target.expect("this machine"));
    prepare(&mut Client::new(Arc::clone(&target)), &names, options.wallets, &bar("", None)).await.expect("it answers");
    let books = Arc::new(Books::new(options.wallets));
    let outcome = run(&target, plan, &names, &books, &bar("", None)).await.expect("it accepts");
    let audit = audit(&target, &names, &books, options.connections, &bar("", None)).await.expect("it answers");
    Report::new(outcome, Some(audit), Parameters::of(&options), Machine::look())
}

const EVENTS: &[&str] = &["--events", "5000", "--duplicates", "0.05"];

async fn faulty(fault: Fault) -> Report {
    report(fault, EVENTS).await
}

fn differing(report: &Report) -> u64 {
    report.audit.as_ref().expect("the wallets were read").differences.count
}

#[tokio::test]
async fn an_honest_server_is_clean_in_every_format() {
    for format in Format::value_variants() {
        let name = format.to_possible_value().expect("no format is hidden").get_name().to_owned();
        for answers in [&[][..], &["--full-answers"]] {
            let arguments = [EVENTS, &["--rejections", "0.05", "--format", &name], answers].concat();
            let report = report(Fault::None, &arguments).await;
            assert!(report.clean, "{report}");
            assert_eq!(report.tally.events(), 5000);
            assert!(report.tally.duplicate > 100 && report.tally.rejected > 100, "{report}");
            assert_eq!(report.latency_us.count, report.traffic.requests);
            assert_eq!(report.audit.map(|audit| audit.wallets), Some(50));
        }
    }
}

#[tokio::test]
async fn every_distribution_and_the_open_loop_are_clean() {
    for distribution in ["uniform", "zipf", "one-hot"] {
        let arguments = [EVENTS, &["--rate", "100000", "--distribution", distribution]].concat();
        let report = report(Fault::None, &arguments).await;
        assert!(report.clean, "{report}");
        assert_eq!(report.tally.events(), 5000);
        assert!(report.late_us.is_some());
    }
}

#[tokio::test]
async fn the_key_is_sent() {
    let report = report(Fault::None, &[EVENTS, &["--key", "secret"]].concat()).await;
    assert!(report.clean, "{report}");
}

#[tokio::test]
async fn a_lost_event_shows_in_one_wallet() {
    let report = faulty(Fault::LosesAnEvent).await;
    assert!(!report.clean);
    assert_eq!((differing(&report), report.faults.count), (1, 0), "{report}");
}

#[tokio::test]
async fn a_debit_of_another_wallet_shows_in_both() {
    let report = faulty(Fault::DebitsAnotherWallet).await;
    let audit = report.audit.as_ref().expect("the wallets were read");
    assert_eq!(audit.held_units, audit.booked_units, "the sum is right all the same");
    assert!(!report.clean);
    assert_eq!(differing(&report), 2, "{report}");
}

#[tokio::test]
async fn duplicates_debited_in_secret_show_in_the_wallets() {
    let report = faulty(Fault::DebitsDuplicates).await;
    assert!(!report.clean);
    assert!(differing(&report) > 0, "{report}");
    assert_eq!(report.faults.count, 0, "the answers look right");
}

#[tokio::test]
async fn duplicates_debited_openly_show_in_the_answers_too() {
    let report = faulty(Fault::AppliesDuplicates).await;
    assert!(!report.clean);
    assert!(differing(&report) > 0 && report.faults.count > 100, "{report}");
}

#[tokio::test]
async fn a_dropped_answer_is_asked_for_again_and_booked_once() {
    let report = faulty(Fault::DropsAnAnswer).await;
    assert!(report.clean, "{report}");
    assert_eq!(report.traffic.retries, 1);
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let report = faulty(Fault::IsBusyOnce).await;
    assert!(report.clean, "{report}");
    assert_eq!(report.traffic.retries, 1);
}

#[tokio::test]
async fn refused_batches_are_not_clean_however_right_the_balances() {
    let report = faulty(Fault::RefusesEvents).await;
    assert!(!report.clean);
    assert_eq!((differing(&report), report.failures.count), (0, 3), "{report}");
}

#[tokio::test]
async fn reports_are_json_and_text() {
    let report = faulty(Fault::None).await;
    let json: serde_json::Value = serde_json::to_value(&report).expect("a report is JSON");
    assert_eq!(json["clean"], true);
    assert_eq!(json["parameters"]["format"], "msgpack");
    assert_eq!(json["tally"]["applied"], report.tally.applied);
    let text = report.to_string();
    for part in ["p99.9", "5000 in", "seed 1", "verdict    clean", "cores"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
