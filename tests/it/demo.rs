//! `drawdown demo`, as the README starts it: it ends well, and its figures are those of the trace.

use std::process::{Command, Output};

const TRACE: &str = include_str!("../../data/azure-llm-inference-2023-code.csv");

/// The test's own sum over the first rows: how many, context tokens, generated tokens.
fn sum(rows: usize) -> (u64, u64, u64) {
    TRACE.lines().skip(1).take(rows).fold((0, 0, 0), |(count, context, generated), line| {
        let columns: Vec<&str> = line.split(',').collect();
        let tokens = |column: usize| columns[column].parse::<u64>().expect("a number");
        (count + 1, context + tokens(1), generated + tokens(2))
    })
}

fn demo(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawdown"));
    command.args(["demo", "--speed", "max", "--no-view"]).args(arguments).output().expect("the demo runs")
}

/// The line of the summary that begins with a name.
#[track_caller]
fn line<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.lines().find_map(|line| line.trim_start().strip_prefix(name));
    found.unwrap_or_else(|| panic!("no line {name:?} in\n{text}")).trim_start()
}

/// The number at the beginning of a text, in units of its last decimal.
#[track_caller]
fn number(text: &str) -> u64 {
    let digits = text.split(' ').next().expect("a word").replace([',', '.'], "");
    digits.parse().unwrap_or_else(|_| panic!("no number begins {text:?}"))
}

#[track_caller]
fn check(arguments: &[&str], rows: usize) {
    let output = demo(arguments);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    let (rows, context, generated) = sum(rows);
    assert_eq!(number(line(&text, "rows ")), rows);
    assert_eq!(number(line(&text, "context ")), context);
    assert_eq!(number(line(&text, "generated ")), generated);
    let (applied, rejected) = (number(line(&text, "applied ")), number(line(&text, "rejected ")));
    assert_eq!(applied + rejected, 2 * rows);
    let cost = context * 5 + generated * 15; // in ten-thousandths of a credit
    assert_eq!(number(line(&text, "agrees     sum over the trace ")), cost);
    assert!(number(line(&text, "debited ")) <= cost);
    assert!(text.ends_with("The ledger agrees with the sum over the trace.\n"), "{text}");
    assert!(!text.contains("DISAGREES"), "{text}");
}

#[test]
fn the_whole_trace_agrees_with_its_sum() {
    check(&[], usize::MAX);
}

#[test]
fn a_part_of_the_trace_agrees_too() {
    check(&["--limit", "500", "--wallets", "7"], 500);
}

#[test]
fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("UTF-8");
    check(&["--limit", "10", "--data", data], 10);
    let second = demo(&["--limit", "10", "--data", data]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("holds a ledger already"));
}
