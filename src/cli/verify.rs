//! `drawdown verify`: checks a data directory, and says what is wrong with it, where. See [`drawdown::verify`].

use super::beside;
use super::screen::{Meter, bytes_text, painted, table, wants_colours};
use crate::demo::credits::grouped;
use crate::demo::terminal::Style;
use clap::Args;
use drawdown::engine::audit::CurrencyAudit;
use drawdown::verify::{Problem, Verdict, verify};
use drawdown_wal::{Archive, Ended, Survey};
use serde_json::{Value, json};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Arguments of `drawdown verify`.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 all is sound, 1 damage was found, 2 the check could not be made.\n\
    A torn tail, which was never acknowledged, is a note and no damage.\n\
    While a server has the directory open, what it had made durable when the check began is checked.")]
pub(crate) struct VerifyArgs {
    /// The data directory, or a copy of one
    #[arg(long, env = "DRAWDOWN_DATA", value_name = "DIR")]
    data: PathBuf,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Print damage and nothing else
    #[arg(long)]
    quiet: bool,
}

/// The directory is damaged.
const DAMAGED: u8 = 1;
/// Nothing can be said about it.
const COULD_NOT_RUN: u8 = 2;

/// Runs the check.
pub(crate) fn run(args: &VerifyArgs) -> ExitCode {
    match check(args) {
        Ok(verdict) => {
            print(args, &verdict);
            ExitCode::from(if verdict.is_sound() { 0 } else { DAMAGED })
        }
        Err(error) => {
            eprintln!("drawdown: {error}");
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

fn check(args: &VerifyArgs) -> Result<Verdict, Box<dyn std::error::Error>> {
    let archive = Archive::open(&args.data)?;
    let meter = Meter::new(args.quiet, Instant::now());
    let verdict = verify(&archive, &|progress| meter.note(progress, Instant::now()));
    meter.clear();
    Ok(verdict?)
}

fn print(args: &VerifyArgs, verdict: &Verdict) {
    if args.json {
        println!("{}", as_json(verdict));
        return;
    }
    let colours = wants_colours(&io::stdout());
    if !args.quiet {
        println!("{}", summary(verdict, colours));
    }
    for problem in &verdict.problems {
        println!("{} {problem}", painted(colours, Style::Red, "damage:"));
    }
    if !args.quiet && verdict.is_sound() {
        println!("{}", painted(colours, Style::Green, "sound"));
    }
}

fn summary(verdict: &Verdict, colours: bool) -> String {
    let survey = &verdict.survey;
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String| {
        lines.push(format!("{} {text}", painted(colours, Style::Bold, &format!("{name:<9}"))));
    };
    let first = survey.segments.first().map_or(0, |segment| segment.start.get());
    line(
        "log",
        format!(
            "{}, {} segments of {}, LSN {first} to {}, {}",
            hex(&survey.log_id),
            grouped(survey.segments.len() as u64),
            bytes_text(survey.segment_bytes),
            survey.end,
            ended(survey)
        ),
    );
    let sum = |of: fn(&drawdown_wal::SegmentSurvey) -> u64| grouped(survey.segments.iter().map(of).sum());
    line("frames", format!("{} with {} records", sum(|segment| segment.frames), sum(|segment| segment.count)));
    line("chain", chain(survey));
    if let Some(report) = &verdict.report {
        let (wallets, debits) = (grouped(report.wallets), grouped(report.debits));
        line("fold", format!("{wallets} wallets, {debits} debits, {} operations", grouped(report.operations)));
    }
    line("snapshots", beside::snapshots(verdict));
    line("runs", beside::runs(verdict));
    if let Some(audit) = verdict.audit.as_ref().filter(|audit| audit.top_ups > 0) {
        line("money", format!("{} top-ups, {} invoices", grouped(audit.top_ups), grouped(audit.invoices)));
    }
    if let Some(audit) = &verdict.audit {
        let rows: Vec<_> = audit.currencies.iter().map(row).collect();
        if !rows.is_empty() {
            lines.push(String::new());
            lines.push(table(1, &CONSERVATION, &rows, colours));
            lines.push(String::new());
        }
        lines.extend(audit.currencies.iter().map(conserved));
    }
    for note in &verdict.notes {
        lines.push(format!("{} {note}", painted(colours, Style::Yellow, "note:")));
    }
    lines.join("\n")
}

/// Every credit is somewhere: the equation, as the heads of its columns.
const CONSERVATION: [&str; 10] = [
    "currency",
    "wallets",
    "granted",
    "= spent",
    "+ remaining",
    "+ expired",
    "+ voided",
    "+ written off",
    "debited",
    "debt",
];

/// A currency's row as the equation that it makes, or does not.
fn conserved(audit: &CurrencyAudit) -> String {
    let amount = |units| credits(units, audit.currency.scale.places());
    let sums = &audit.sums;
    let parts = [
        (sums.spent, "spent"),
        (audit.remaining, "remaining"),
        (sums.expired, "expired"),
        (sums.voided, "voided"),
        (sums.written_off, "written off"),
    ];
    let sum: i128 = parts.iter().map(|(units, _)| units).sum();
    let shown: Vec<_> = parts.iter().map(|(units, what)| format!("{} {what}", amount(*units))).collect();
    let sign = if audit.is_conserved() { "=" } else { "is not" };
    let outcome = match (audit.is_conserved(), audit.is_whole) {
        (true, _) => String::new(),
        (false, true) => format!(" = {}", amount(sum)),
        (false, false) => format!(" = {}: movements of some of its wallets have been retired", amount(sum)),
    };
    let (id, granted) = (&audit.currency.id, amount(sums.granted));
    format!("{:<8} {id}: {granted} granted {sign} {}{outcome}", "credits", shown.join(" + "))
}

fn ended(survey: &Survey) -> &'static str {
    match survey.ended {
        Ended::InOrder => "ended in order",
        Ended::Open => "did not end in order",
        Ended::Bounded => "in use",
    }
}

fn chain(survey: &Survey) -> String {
    let sealed: Vec<_> = survey.segments.iter().filter(|segment| segment.is_sealed).collect();
    let agree = sealed.iter().filter(|segment| segment.hash.is_some() && segment.hash == segment.recorded).count();
    let head = survey.recorded.as_ref().and_then(drawdown_wal::Chain::head);
    let head = head.map_or_else(String::new, |(number, hash)| format!(", head {number:016x} {hash}"));
    format!("{} of {} sealed segments agree{head}", grouped(agree as u64), grouped(sealed.len() as u64))
}

/// A sum in credits; it may exceed what one amount can hold.
fn credits(units: i128, places: u8) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let power = 10u128.pow(places.into());
    let (whole, part) = (units.unsigned_abs() / power, units.unsigned_abs() % power);
    let fraction = format!("{part:0width$}", width = usize::from(places));
    let fraction = fraction.trim_end_matches('0');
    let dot = if part == 0 { "" } else { "." };
    format!("{sign}{whole}{dot}{}", if part == 0 { "" } else { fraction })
}

fn row(audit: &CurrencyAudit) -> Vec<String> {
    let places = audit.currency.scale.places();
    let sums = &audit.sums;
    // What was given back has not been debited, as far as this sum goes.
    let debited = sums.debited - sums.returned;
    let amounts =
        [sums.granted, sums.spent, audit.remaining, sums.expired, sums.voided, sums.written_off, debited, audit.debt];
    let head = [audit.currency.id.clone(), grouped(audit.wallets)];
    head.into_iter().chain(amounts.map(|units| credits(units, places))).collect()
}

fn as_json(verdict: &Verdict) -> Value {
    let survey = &verdict.survey;
    let problem = |problem: &Problem| {
        json!({
            "file": problem.path.display().to_string(),
            "offset": problem.offset,
            "lsn": problem.lsn.get(),
            "found_by": problem.found_by.as_str(),
            "what": problem.what,
        })
    };
    let currency = |audit: &CurrencyAudit| {
        let places = audit.currency.scale.places();
        let amount = |units| credits(units, places);
        json!({
            "currency": audit.currency.id,
            "wallets": audit.wallets,
            "granted": amount(audit.sums.granted),
            "spent": amount(audit.sums.spent),
            "rolled_over": amount(audit.sums.rolled_over),
            "returned": amount(audit.sums.returned),
            "debited": amount(audit.sums.debited),
            "expired": amount(audit.sums.expired),
            "voided": amount(audit.sums.voided),
            "written_off": amount(audit.sums.written_off),
            "debt_written_off": amount(audit.sums.debt_written_off),
            "returned": amount(audit.sums.returned),
            "transferred_out": amount(audit.sums.transferred_out),
            "transferred_in": amount(audit.sums.transferred_in),
            "remaining": amount(audit.remaining),
            "debt": amount(audit.debt),
            "scheduled": amount(audit.scheduled),
            "pending": amount(audit.unpaid),
            "conserved": audit.is_conserved(),
            "whole": audit.is_whole,
        })
    };
    let head = survey.recorded.as_ref().and_then(drawdown_wal::Chain::head);
    json!({
        "sound": verdict.is_sound(),
        "damage": verdict.problems.iter().map(problem).collect::<Vec<_>>(),
        "notes": verdict.notes,
        "log": {
            "id": hex(&survey.log_id),
            "segment_bytes": survey.segment_bytes,
            "segments": survey.segments.len(),
            "end": survey.end.get(),
            "durable": survey.durable.get(),
            "ended": ended(survey),
            "torn_bytes": survey.torn.map_or(0, |torn| torn.bytes),
            "frames": survey.segments.iter().map(|segment| segment.frames).sum::<u64>(),
            "records": survey.segments.iter().map(|segment| segment.count).sum::<u64>(),
        },
        "chain": head.map(|(segment, hash)| json!({"segment": segment, "hash": hash.to_string()})),
        "snapshots": beside::snapshots_json(verdict),
        "identity_runs": beside::runs_json(verdict),
        "fold": verdict.report.as_ref().map(|report| json!({
            "wallets": report.wallets,
            "debits": report.debits,
            "operations": report.operations,
            "reopened": report.reopened,
        })),
        "money": verdict.audit.as_ref().map(|audit| json!({
            "top_ups": audit.top_ups,
            "invoices": audit.invoices,
        })),
        "currencies": verdict.audit.as_ref().map(|audit| audit.currencies.iter().map(currency).collect::<Vec<_>>()),
    })
}

fn hex(id: &[u8; 16]) -> String {
    id.map(|byte| format!("{byte:02x}")).concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_shown_in_credits() {
        for (units, places, text) in [
            (0, 0, "0"),
            (0, 2, "0"),
            (1250, 2, "12.5"),
            (-5, 2, "-0.05"),
            (-1200, 2, "-12"),
            (7, 0, "7"),
            (i128::from(i64::MAX) * 100, 9, "922337203685.4775807"),
        ] {
            assert_eq!(credits(units, places), text);
        }
    }
}
