//! Runs that must be found clean, and runs that must not.

use super::fake::{self, Fault};
use clap::{Parser, ValueEnum};
use loadtest::encode::{Format, Names};
use loadtest::options::Options;
use loadtest::report::Report;
use loadtest::test::test;

/// The whole test over 50 wallets, 3 connections and 5000 events, with further arguments.
pub(crate) fn report(fault: Fault, arguments: &[&str]) -> Report {
    let key = arguments.contains(&"--key").then_some("secret");
    let url = format!("http://{}", fake::start(fault, key));
    let common = ["loadtest", "--url", &url, "--wallets", "50", "--batch", "100", "--connections", "3"];
    let options = Options::parse_from(common.iter().chain(arguments));
    options.check().expect("they go together");
    test(&options, &Names::new("test")).expect("the server answers")
}

pub(crate) const EVENTS: &[&str] = &["--events", "5000", "--duplicates", "0.05"];

fn faulty(fault: Fault) -> Report {
    report(fault, EVENTS)
}

fn differing(report: &Report) -> u64 {
    report.audit.as_ref().expect("the wallets were read").differences.count
}

#[test]
fn an_honest_server_is_clean_in_every_format() {
    for format in Format::value_variants() {
        let name = format.to_possible_value().expect("no format is hidden").get_name().to_owned();
        for answers in [&[][..], &["--full-answers"]] {
            let arguments = [EVENTS, &["--rejections", "0.05", "--format", &name], answers].concat();
            let report = report(Fault::None, &arguments);
            assert!(report.clean, "{report}");
            assert_eq!(report.tally.events(), 5000);
            assert!(report.tally.duplicate > 100 && report.tally.rejected > 100, "{report}");
            assert_eq!(report.latency_us.count, report.traffic.requests);
            assert_eq!(report.audit.map(|audit| (audit.wallets, audit.wallets_read)), Some((50, 50)));
        }
    }
}

#[test]
fn every_distribution_and_the_open_loop_are_clean() {
    for distribution in ["uniform", "zipf", "one-hot"] {
        let arguments = [EVENTS, &["--rate", "100000", "--distribution", distribution]].concat();
        let report = report(Fault::None, &arguments);
        assert!(report.clean, "{report}");
        assert_eq!(report.tally.events(), 5000);
        assert!(report.late_us.is_some());
    }
}

#[test]
fn the_key_is_sent() {
    let report = report(Fault::None, &[EVENTS, &["--key", "secret"]].concat());
    assert!(report.clean, "{report}");
}

#[test]
fn a_lost_event_shows_in_one_wallet() {
    let report = faulty(Fault::LosesAnEvent);
    assert!(!report.clean);
    assert_eq!((differing(&report), report.faults.count), (1, 0), "{report}");
}

#[test]
fn a_debit_of_another_wallet_shows_in_both() {
    let report = faulty(Fault::DebitsAnotherWallet);
    let audit = report.audit.as_ref().expect("the wallets were read");
    assert_eq!(audit.held_units, audit.booked_units, "the sum is right all the same");
    assert!(!report.clean);
    assert_eq!(differing(&report), 2, "{report}");
}

#[test]
fn duplicates_debited_in_secret_show_in_the_wallets() {
    let report = faulty(Fault::DebitsDuplicates);
    assert!(!report.clean);
    assert!(differing(&report) > 0, "{report}");
    assert_eq!(report.faults.count, 0, "the answers look right");
}

#[test]
fn duplicates_debited_openly_show_in_the_answers_too() {
    let report = faulty(Fault::AppliesDuplicates);
    assert!(!report.clean);
    assert!(differing(&report) > 0 && report.faults.count > 100, "{report}");
}

#[test]
fn a_dropped_answer_is_asked_for_again_and_booked_once() {
    let report = faulty(Fault::DropsAnAnswer);
    assert!(report.clean, "{report}");
    assert_eq!(report.traffic.retries, 1);
    assert!(report.to_string().contains("these counters speak of"), "{report}");
}

#[test]
fn a_busy_server_is_asked_again() {
    let report = faulty(Fault::IsBusyOnce);
    assert!(report.clean, "{report}");
    assert_eq!(report.traffic.retries, 1);
}

#[test]
fn refused_batches_are_not_clean_however_right_the_balances() {
    let report = faulty(Fault::RefusesEvents);
    assert!(!report.clean);
    assert_eq!((differing(&report), report.failures.count), (0, 3), "{report}");
}

#[test]
fn reports_are_json_and_text() {
    let report = faulty(Fault::None);
    let json: serde_json::Value = serde_json::to_value(&report).expect("a report is JSON");
    assert_eq!(json["clean"], true);
    assert_eq!(json["parameters"]["format"], "msgpack");
    assert_eq!(json["tally"]["applied"], report.tally.applied);
    let text = report.to_string();
    assert!(!text.contains("these counters"), "{text}");
    for part in ["p99.9", "5000 in", "seed 1", "verdict    clean", "cores", "50 of 50 wallets read"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
