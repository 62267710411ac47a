//! The runs of identities beside a log: every byte, how their spans lie, and whether they were derived from this log.
//!
//! A run holds nothing that the log does not: one that is damaged is derived again at the next start, or as soon as a page of it cannot be
//! read. It is reported all the same, for a disk that changes one byte may change others.

use super::{Problem, Progress, Reading, Verdict, VerifyError};
use crate::engine::has_anchor;
use crate::identities::{self, EXTENSION, Span, span_of};
use drawdown_wal::{Archive, Ended, Log, Lsn};
use std::io;

/// Where fields stand in the trailer, which is the last page (docs/identities-format.md).
const TRAILER_BYTES: u64 = 4096;
const FROM_AT: u64 = 32;
const TO_AT: u64 = 40;
const ANCHOR_AT: u64 = 64;

/// What the look at the runs came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunsCheck {
    /// How many there are.
    pub runs: u64,
    /// Identities in those whose trailers can be read.
    pub identities: u64,
    /// Length of their files in bytes.
    pub bytes: u64,
    /// Runs with which something is wrong.
    pub damaged: u64,
}

/// Checks the runs. `log` is the log on an overlay, if it can be opened.
pub(super) fn check(
    archive: &Archive,
    log: Option<&Log>,
    verdict: &mut Verdict,
    watch: &(dyn Fn(Progress) + Sync),
) -> Result<(), VerifyError> {
    let files = archive.files();
    let is_bounded = verdict.survey.ended == Ended::Bounded;
    let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound && is_bounded;
    let mut found: Vec<(Span, String, u64)> = Vec::new();
    let mut gone = 0_u64;
    for name in files.names(EXTENSION)? {
        let Some(span) = span_of(&name) else {
            verdict.notes.push(format!("{name} is no name of a run of identities: nobody reads it"));
            continue;
        };
        match files.open_file(&name) {
            Ok(contents) => found.push((span, name, contents.size_bytes())),
            Err(error) if is_gone(&error) => gone += 1,
            Err(error) => return Err(error.into()),
        }
    }
    // As a server takes them: the longer of two that begin alike first.
    found.sort_by_key(|(span, _, _)| (span.from, u64::MAX - span.to));
    let total = found.iter().map(|(_, _, bytes)| bytes).sum();
    let (mut done, mut end, mut unknown) = (0, None, 0_u64);
    for (span, name, bytes) in found {
        let mut read = |bytes| {
            done += bytes;
            watch(Progress { reading: Reading::Identities, done: done.min(total), total });
        };
        let checked = match identities::check(&*files, span, verdict.survey.log_id, &mut read) {
            Ok(checked) => checked,
            Err(error) if is_gone(&error) => {
                gone += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let mut faults: Vec<(u64, String)> =
            checked.damages.into_iter().map(|damage| (damage.offset, damage.what)).collect();
        let trailer = bytes.saturating_sub(TRAILER_BYTES);
        let before = end.unwrap_or(span.from);
        if span.to <= before {
            verdict.notes.push(format!("{name} lies within another run, and goes at the next start"));
        } else if span.from < before {
            faults.push((trailer + FROM_AT, format!("it overlaps the run before it, which goes up to LSN {before}")));
        } else if span.from > before {
            let from = span.from;
            verdict.notes.push(format!(
                "no run has identities of LSN {before} to {from}: there are none, or the next start derives them again"
            ));
        }
        end = Some(before.max(span.to));
        if let (Some(log), Some(anchor)) = (log, checked.anchor) {
            let durable = log.durable();
            match has_anchor(log, anchor) {
                _ if is_bounded && Lsn::new(span.to) > verdict.survey.end => unknown += 1,
                _ if Lsn::new(span.to) > durable => {
                    faults
                        .push((trailer + TO_AT, format!("it goes further than the log, which ends at LSN {durable}")));
                }
                Some(true) => {}
                Some(false) => faults.push((trailer + ANCHOR_AT, "it was not derived from this log".to_owned())),
                None => unknown += 1,
            }
        }
        let runs = &mut verdict.runs;
        runs.runs += 1;
        runs.identities += checked.entries;
        runs.bytes += bytes;
        runs.damaged += u64::from(!faults.is_empty());
        let (path, lsn) = (files.place(&name), Lsn::new(span.from));
        faults.sort();
        verdict.problems.extend(faults.into_iter().map(|(offset, what)| Problem {
            path: path.clone(),
            offset,
            lsn,
            found_by: Reading::Identities,
            what,
        }));
    }
    if unknown > 0 {
        let why = "what they were derived from last is not there any more, or not yet";
        verdict.notes.push(format!("whether {unknown} runs of identities are of this log cannot be told: {why}"));
    }
    if gone > 0 {
        verdict.notes.push(format!("{gone} runs of identities went while the directory was being looked at"));
    }
    if total > 0 {
        watch(Progress { reading: Reading::Identities, done: total, total });
    }
    Ok(())
}
