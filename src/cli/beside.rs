//! What `drawdown verify` says of the files beside the log: snapshots, and runs of identities.

use super::screen::bytes_text;
use crate::demo::credits::grouped;
use drawdown::verify::{Compared, SnapshotCheck, Verdict};
use serde_json::{Value, json};

/// A line on the snapshots.
pub(super) fn snapshots(verdict: &Verdict) -> String {
    let one = |check: &SnapshotCheck| {
        let compared = match check.compared {
            Compared::WithLog => "is what the log comes to".to_owned(),
            Compared::Onto(base) => format!("is what the log comes to from LSN {base} on"),
            Compared::No => "whole".to_owned(),
        };
        let state = if check.is_sound { &compared } else { "DAMAGED" };
        let (bytes, wallets, lsn) = (bytes_text(check.bytes), grouped(check.wallets), check.lsn);
        format!("LSN {lsn}, {bytes}, {wallets} wallets: {state}, chain {}", check.chain.as_str())
    };
    let all: Vec<String> = verdict.snapshots.iter().map(one).collect();
    if all.is_empty() { "none".to_owned() } else { all.join("; ") }
}

/// A line on the runs.
pub(super) fn runs(verdict: &Verdict) -> String {
    let runs = &verdict.runs;
    let (count, identities, bytes) = (grouped(runs.runs), grouped(runs.identities), bytes_text(runs.bytes));
    let damaged = if runs.damaged > 0 { format!(", {} DAMAGED", grouped(runs.damaged)) } else { String::new() };
    format!("{count} with {identities} identities, {bytes}{damaged}")
}

/// The snapshots, for programs.
pub(super) fn snapshots_json(verdict: &Verdict) -> Value {
    let one = |check: &SnapshotCheck| {
        let (compared, base) = match check.compared {
            Compared::WithLog => ("log", None),
            Compared::Onto(base) => ("snapshot", Some(base.get())),
            Compared::No => ("nothing", None),
        };
        json!({
            "file": check.name,
            "lsn": check.lsn.get(),
            "bytes": check.bytes,
            "wallets": check.wallets,
            "identities": check.identities,
            "chain": check.chain.as_str(),
            "compared_with": compared,
            "base_lsn": base,
            "sound": check.is_sound,
        })
    };
    verdict.snapshots.iter().map(one).collect()
}

/// The runs, for programs.
pub(super) fn runs_json(verdict: &Verdict) -> Value {
    let runs = &verdict.runs;
    json!({ "runs": runs.runs, "identities": runs.identities, "bytes": runs.bytes, "damaged": runs.damaged })
}
