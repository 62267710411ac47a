//! Grants, reads, warm-ups, single events and prepared requests: what a run may hold beside batches.

use super::audits::{EVENTS, report};
use super::fake::Fault;
use loadtest::report::Report;

const MIXED: &[&str] = &["--grants", "0.2", "--reads", "0.2", "--batch", "10"];

fn mixed(fault: Fault) -> Report {
    report(fault, &[EVENTS, MIXED].concat())
}

fn differing(report: &Report) -> u64 {
    report.audit.as_ref().expect("the wallets were read").differences.count
}

#[test]
fn grants_are_in_the_books() {
    let report = mixed(Fault::None);
    assert!(report.clean, "{report}");
    assert!(report.grants > 50 && report.read_latency_us.is_some_and(|reads| reads.count > 50), "{report}");
    let apart = report.latency_us.count + report.grants + report.read_latency_us.map_or(0, |reads| reads.count);
    assert_eq!(apart, report.traffic.requests, "each request is counted in one place");
    assert_eq!(report.tally.events(), 5000);
}

#[test]
fn a_lost_and_a_doubled_grant_show_in_one_wallet() {
    for fault in [Fault::LosesAGrant, Fault::GrantsTwice] {
        let report = mixed(fault);
        assert!(!report.clean);
        assert_eq!((differing(&report), report.faults.count), (1, 0), "{report}");
    }
}

#[test]
fn a_grant_whose_answer_was_dropped_is_given_and_booked_once() {
    let report = mixed(Fault::DropsAGrantsAnswer);
    assert!(report.clean, "{report}");
    assert_eq!(report.traffic.retries, 1);
}

#[test]
fn reads_must_see_what_was_acknowledged() {
    let arguments = [EVENTS, &["--reads", "0.4", "--distribution", "one-hot", "--batch", "10"]].concat();
    let report = report(Fault::ReadsStale, &arguments);
    assert!(!report.clean);
    assert!(report.faults.count > 50, "{report}");
    assert_eq!(differing(&report), 0, "what is written is right");
}

#[test]
fn a_debit_of_a_wallet_that_no_event_names_shows_in_the_totals() {
    let report = report(Fault::DebitsAStranger, EVENTS);
    assert!(!report.clean);
    assert_eq!((differing(&report), report.faults.count), (0, 0), "{report}");
}

#[test]
fn only_touched_wallets_are_read_unless_all_are_asked_for() {
    let hot = [EVENTS, &["--distribution", "one-hot"]].concat();
    let read = |report: Report| {
        assert!(report.clean, "{report}");
        report.audit.map(|audit| (audit.wallets_read, audit.wallets))
    };
    assert_eq!(read(report(Fault::None, &hot)), Some((1, 50)));
    assert_eq!(read(report(Fault::None, &[&hot, &["--verify-all"][..]].concat())), Some((50, 50)));
}

#[test]
fn a_warm_up_is_in_the_books_and_in_no_figure() {
    for warm_up in ["2000", "1s"] {
        let report = report(Fault::None, &[EVENTS, &["--warmup", warm_up, "--rate", "20000"]].concat());
        assert!(report.clean, "{report}");
        let before = report.warm_up.expect("there was one").events();
        assert!(if warm_up == "2000" { before == 2000 } else { before > 10_000 }, "{before}");
        assert_eq!(
            (report.tally.events(), report.latency_us.count),
            (5000, 51),
            "three connections, the last parts short"
        );
        let server = report.server.expect("the counters were read");
        assert_eq!(server.applied, report.tally.applied, "the counters are those of the measured phase");
        assert_eq!(report.time_slices.iter().map(|slice| slice.requests).sum::<u64>(), 51);
    }
}

#[test]
fn what_the_warm_up_finds_wrong_is_not_forgotten() {
    let report = report(Fault::LosesAnEvent, &[EVENTS, &["--warmup", "1000"]].concat());
    assert_eq!(differing(&report), 1, "{report}");
    assert!(!report.clean);
}

#[test]
fn single_events_are_clean_alone_and_in_lists_of_one() {
    for format in ["json", "cloudevents", "ndjson", "msgpack"] {
        for list in [&[][..], &["--list"]] {
            let arguments = ["--batch", "1", "--events", "600", "--rejections", "0.1", "--duplicates", "0.1"];
            let report = report(Fault::None, &[&arguments, &["--format", format][..], list].concat());
            assert!(report.clean, "{report}");
            assert!(report.tally.rejected > 20 && report.tally.duplicate > 20, "{report}");
            assert_eq!(report.traffic.requests, 600);
        }
    }
}

#[test]
fn prepared_requests_are_those_that_are_drawn_as_one_goes() {
    let arguments = [EVENTS, MIXED, &["--warmup", "1000", "--rejections", "0.01"]].concat();
    let live = report(Fault::None, &arguments);
    let prepared = report(Fault::None, &[&arguments[..], &["--prepare"]].concat());
    assert!(live.clean && prepared.clean, "{live}\n{prepared}");
    let figures = |report: &Report| (report.tally, report.warm_up, report.grants, report.traffic.body_bytes_sent);
    assert_eq!(figures(&live), figures(&prepared));
}

#[test]
fn threads_keep_books_that_add_up() {
    let report = report(Fault::None, &[EVENTS, MIXED, &["--threads", "3"]].concat());
    assert!(report.clean, "{report}");
}

#[test]
fn without_an_audit_any_answer_will_do() {
    let report = report(Fault::KnowsNothing, &["--empty", "--events", "500", "--batch", "1", "--format", "json"]);
    assert!(report.clean && report.audit.is_none() && report.server.is_none(), "{report}");
    assert_eq!(report.traffic.requests, 500);
}
