//! `drawdown inspect segments`.

use super::{InspectError, check};
use crate::cli::screen::{bytes_text, table, wants_colours};
use crate::demo::credits::grouped;
use drawdown::http::time_text;
use drawdown::journal;
use drawdown::ledger::Timestamp;
use drawdown_wal::{Archive, FrameRef, SegmentSurvey, Visitor};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// The times of the first and the last frame of each segment.
#[derive(Default)]
struct Times {
    segment_bytes: u64,
    by_start: BTreeMap<u64, (Timestamp, Timestamp)>,
}

impl Visitor for Times {
    fn frame(&mut self, frame: &FrameRef<'_>) {
        if let Ok(records) = journal::records(frame.payload, frame.payload_lsn) {
            let time = records.prelude().time;
            let start = frame.lsn.get() / self.segment_bytes * self.segment_bytes;
            let times = self.by_start.entry(start).or_insert((time, time));
            times.1 = time;
        }
    }
}

pub(super) fn show(archive: &Archive, json: bool) -> Result<(), InspectError> {
    let segment_bytes = archive.segment_bytes()?.ok_or_else(|| {
        InspectError::Damaged("no segment's header can be read; `drawdown verify` tells more".to_owned())
    })?;
    let mut times = Times { segment_bytes, by_start: BTreeMap::new() };
    let survey = archive.survey(&mut times)?;
    let mut out = io::stdout().lock();
    let of = |segment: &SegmentSurvey| times.by_start.get(&segment.start.get()).copied();
    if json {
        for segment in &survey.segments {
            writeln!(out, "{}", as_json(segment, of(segment)))?;
        }
    } else {
        let rows: Vec<_> = survey.segments.iter().map(|segment| row(segment, of(segment))).collect();
        let head = [
            "segment",
            "state",
            "from LSN",
            "to LSN",
            "runs",
            "frames",
            "records",
            "in records",
            "first",
            "last",
            "chain hash",
        ];
        writeln!(out, "{}", table(2, &head, &rows, wants_colours(&io::stdout())))?;
    }
    check(&survey)
}

fn state(segment: &SegmentSurvey) -> &'static str {
    match (segment.is_sealed, segment.runs) {
        (true, _) => "sealed",
        (false, (0, _)) => "prepared",
        (false, _) => "open",
    }
}

fn row(segment: &SegmentSurvey, times: Option<(Timestamp, Timestamp)>) -> Vec<String> {
    let time = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), time_text);
    let runs = match segment.runs {
        (0, _) => "-".to_owned(),
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    let hash = match (segment.hash, segment.recorded) {
        (Some(hash), Some(recorded)) if hash != recorded => format!("{hash} DIFFERS from {recorded}"),
        (Some(hash), Some(_)) => hash.to_string(),
        (Some(hash), None) => format!("{hash} (not recorded)"),
        (None, _) => "-".to_owned(),
    };
    vec![
        format!("{:016x}", segment.number),
        state(segment).to_owned(),
        segment.start.to_string(),
        segment.end.to_string(),
        runs,
        grouped(segment.frames),
        grouped(segment.count),
        bytes_text(segment.bytes),
        time(times.map(|times| times.0)),
        time(times.map(|times| times.1)),
        hash,
    ]
}

fn as_json(segment: &SegmentSurvey, times: Option<(Timestamp, Timestamp)>) -> serde_json::Value {
    json!({
        "segment": segment.number,
        "state": state(segment),
        "from_lsn": segment.start.get(),
        "to_lsn": segment.end.get(),
        "prepared_by_run": segment.prepared_by,
        "first_run": segment.runs.0,
        "last_run": segment.runs.1,
        "frames": segment.frames,
        "records": segment.count,
        "bytes": segment.bytes,
        "first_time": times.map(|times| time_text(times.0)),
        "last_time": times.map(|times| time_text(times.1)),
        "hash": segment.hash.map(|hash| hash.to_string()),
        "recorded_hash": segment.recorded.map(|hash| hash.to_string()),
    })
}
