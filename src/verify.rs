//! Verification of a data directory that no server needs to have open: is every byte what was written, and does it all make sense.
//!
//! Readings, each of which stands on the ones before:
//! 1. the *survey* of the log's files (`drawdown_wal::Archive`): headers, frames, checksums, padding, the log's end, the hash chain;
//! 2. the *fold*: the log is opened on an overlay of the files, recovered and replayed by the very code that a server starts with, which decodes
//!    every record, asks the rules again and mends what a crash cut through, all in memory;
//! 3. the *audit* ([`crate::engine::audit`]): every wallet's books kept again from the records alone;
//! 4. the *snapshots* (`snapshots`): every byte, the place, the hash chain's head, and each held against what the log comes to there;
//! 5. the *identities* (`runs`): every byte of the runs on disk, their spans, and whether the log is theirs.
//!
//! Nothing is written. A torn tail and what recovery would mend are notes, not damage: none of it was ever acknowledged.

mod runs;
mod snapshots;

pub use runs::RunsCheck;
pub use snapshots::{ChainCheck, Compared, SnapshotCheck};

use crate::engine::audit::{Audit, Finding};
use crate::engine::{Engine, EngineConfig, OpenError, OpenReport, SystemClock};
use drawdown_wal::{Archive, ChainFile, Ended, FrameRef, Log, Lsn, Options, ReadError, Survey, Visitor};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Something that is not as it was written, or makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Offset in it, bytes: the first bad byte, or the beginning of what is bad.
    pub offset: u64,
    /// The same as a position of the log.
    pub lsn: Lsn,
    /// Which of the readings found it.
    pub found_by: Reading,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, offset {}, LSN {}: {}", self.path.display(), self.offset, self.lsn, self.what)
    }
}

/// A reading of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Of its bytes.
    Survey,
    /// Of its records, by the rules.
    Fold,
    /// Of its records, by their books.
    Audit,
    /// Of the snapshots beside it.
    Snapshots,
    /// Of the runs of identities beside it.
    Identities,
}

impl Reading {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reading::Survey => "survey",
            Reading::Fold => "fold",
            Reading::Audit => "audit",
            Reading::Snapshots => "snapshots",
            Reading::Identities => "identities",
        }
    }
}

/// What a verification came to.
#[derive(Debug)]
pub struct Verdict {
    /// What was found in the files.
    pub survey: Survey,
    /// What the fold came to. `None` if it was not begun, or broke off at a problem.
    pub report: Option<OpenReport>,
    /// What the audit came to.
    pub audit: Option<Audit>,
    /// What the look at each snapshot came to, oldest first.
    pub snapshots: Vec<SnapshotCheck>,
    /// What the look at the runs of identities came to.
    pub runs: RunsCheck,
    /// Problems in order of position.
    pub problems: Vec<Problem>,
    /// What is worth knowing and no problem.
    pub notes: Vec<String>,
}

impl Verdict {
    /// The directory is sound.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// How far a reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which one.
    pub reading: Reading,
    /// Bytes read.
    pub done: u64,
    /// Bytes to be read.
    pub total: u64,
}

/// Why a verification could not be made. It says nothing about the log.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file could not be read.
    #[error("the log cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The fold could not be made for want of memory, threads or files.
    #[error("the log cannot be folded: {0}")]
    Fold(#[source] OpenError),
}

/// Verifies a log. `watch` is told how far it is, from this thread and another, now and then.
pub fn verify(archive: &Archive, watch: &(dyn Fn(Progress) + Sync)) -> Result<Verdict, VerifyError> {
    let survey = archive.survey(&mut SurveyWatch { watch, done: 0, total: archive.size_bytes()? })?;
    let mut verdict = Verdict {
        notes: notes(&survey),
        survey,
        report: None,
        audit: None,
        snapshots: Vec::new(),
        runs: RunsCheck::default(),
        problems: Vec::new(),
    };
    for damage in &verdict.survey.damages {
        verdict.problems.push(Problem {
            path: damage.path.clone(),
            offset: damage.offset,
            lsn: damage.lsn,
            found_by: Reading::Survey,
            what: damage.fault.to_string(),
        });
    }
    if verdict.survey.is_readable {
        fold(archive, &mut verdict, watch)?;
    } else {
        verdict.notes.push("what the damaged log holds was not folded".to_owned());
    }
    // What cannot be opened has been told by the fold.
    let options = reading_config(verdict.survey.segment_bytes).log;
    let is_readable = verdict.survey.is_readable;
    let log = is_readable.then(|| Log::open_on(archive.overlay(), options).ok()).flatten().map(|(log, _)| log);
    snapshots::check(archive, log.as_ref(), &mut verdict, watch)?;
    runs::check(archive, log.as_ref(), &mut verdict, watch)?;
    verdict.problems.sort_by_key(|problem| problem.lsn);
    Ok(verdict)
}

struct SurveyWatch<'a> {
    watch: &'a (dyn Fn(Progress) + Sync),
    done: u64,
    total: u64,
}

impl Visitor for SurveyWatch<'_> {
    fn frame(&mut self, _frame: &FrameRef<'_>) {}

    fn read(&mut self, bytes: u64) {
        if bytes > 0 {
            self.done += bytes;
            (self.watch)(Progress { reading: Reading::Survey, done: self.done, total: self.total });
        }
    }
}

fn notes(survey: &Survey) -> Vec<String> {
    let mut notes = Vec::new();
    match survey.ended {
        Ended::InOrder => {}
        Ended::Open => notes.push("the log did not end in order: the process or the machine died".to_owned()),
        Ended::Bounded => notes.push(format!(
            "a server has the directory open: checked up to LSN {}, which was durable when the check began",
            survey.end
        )),
    }
    if let Some(torn) = &survey.torn {
        notes.push(format!(
            "a torn tail of {} bytes begins at LSN {}: it was never acknowledged, and the next start cuts it away",
            torn.bytes, torn.at
        ));
    }
    let sealed = survey.segments.iter().filter(|segment| segment.is_sealed);
    let unrecorded = sealed.filter(|segment| segment.recorded.is_none()).count();
    match survey.chain {
        ChainFile::Missing if unrecorded > 0 => {
            notes.push("there is no file of the hash chain; the next start makes it again".to_owned());
        }
        ChainFile::Torn { offset } => notes
            .push(format!("the hash chain's last line, at offset {offset}, is torn; the next start makes it again")),
        // A damaged one is damage.
        ChainFile::Whole | ChainFile::Missing | ChainFile::Damaged { .. } => {}
    }
    if unrecorded > 0 && survey.chain != ChainFile::Missing {
        notes.push(format!("{unrecorded} sealed segments are not in the hash chain yet"));
    }
    if survey.recorded.as_ref().is_some_and(|chain| chain.first() > 0) {
        notes.push("the hash chain was begun anew: what was before its first segment is not vouched for".to_owned());
    }
    notes
}

/// How an engine is opened to be looked at: over an overlay of files with segments of so many bytes, with nothing running beside it.
pub fn reading_config(segment_bytes: u64) -> EngineConfig {
    let log = Options::default();
    let frame = u32::try_from(segment_bytes / 8).unwrap_or(u32::MAX) / 32 * 32;
    EngineConfig {
        log: Options {
            segments_ahead: 1,
            max_frame_bytes: log.max_frame_bytes.min(frame),
            // How far back a debit may stand before the opening of its generation: no server lets more be in flight.
            max_unsynced_bytes: 1 << 40,
            manual: true,
            ..log
        },
        background: false,
        remembers_identities: false,
        keeps_recurring: false,
        ..EngineConfig::default()
    }
}

fn fold(archive: &Archive, verdict: &mut Verdict, watch: &(dyn Fn(Progress) + Sync)) -> Result<(), VerifyError> {
    let survey = &verdict.survey;
    let first = survey.segments.first().map_or(0, |segment| segment.start.get());
    let total = survey.end.get().saturating_sub(first);
    let position = Arc::new(AtomicU64::new(first));
    let config = EngineConfig { replayed_to: Some(Arc::clone(&position)), ..reading_config(survey.segment_bytes) };
    let open = || Engine::open_on(archive.overlay(), config, Arc::new(SystemClock));
    let opened = watched(watch, Reading::Fold, &position, first, total, open);
    let (engine, report) = match opened {
        Ok(opened) => opened,
        // The newest snapshot may be of a moment that the log does not vouch for yet.
        Err(OpenError::LostLog { name, .. }) if survey.ended == Ended::Bounded => {
            let why = "it was made of more than the log vouches for so far";
            verdict.notes.push(format!("the log was not folded onto {name}: {why}"));
            return Ok(());
        }
        Err(error) => {
            let problem = problem_of(archive, survey, &error, Reading::Fold);
            verdict.problems.push(problem.ok_or(VerifyError::Fold(error))?);
            return Ok(());
        }
    };
    if report.reopened > 0 && survey.ended != Ended::Bounded {
        verdict.notes.push(format!(
            "{} wallets were cut through by the crash; the next start mends them, and nothing acknowledged was in what they lost",
            report.reopened
        ));
    }
    verdict.report = Some(report);
    position.store(first, Ordering::Relaxed);
    match watched(watch, Reading::Audit, &position, first, total, || engine.audit(&position)) {
        Ok(audit) => {
            if audit.partial + audit.unaudited > 0 {
                verdict.notes.push(format!(
                    "the log begins at LSN {first}: of the wallets that were made before, {} were audited from an operation on that is \
                     there, and {} not at all; the sums of movements lack what was retired",
                    audit.partial, audit.unaudited
                ));
            }
            let survey = &verdict.survey;
            verdict.problems.extend(audit.findings.iter().map(|finding| of_finding(archive, survey, finding)));
            verdict.audit = Some(audit);
        }
        Err(error) => {
            let problem = problem_of(archive, &verdict.survey, &error, Reading::Audit);
            verdict.problems.push(problem.ok_or(VerifyError::Fold(error))?);
        }
    }
    Ok(())
}

/// Does something while another thread tells how far it is.
fn watched<T>(
    watch: &(dyn Fn(Progress) + Sync),
    reading: Reading,
    position: &AtomicU64,
    first: u64,
    total: u64,
    work: impl FnOnce() -> T,
) -> T {
    let done = || position.load(Ordering::Relaxed).saturating_sub(first);
    let outcome = watched_by(watch, reading, &done, total, work);
    watch(Progress { reading, done: total, total });
    outcome
}

/// The same, where `told` says how far it is.
fn watched_by<T>(
    watch: &(dyn Fn(Progress) + Sync),
    reading: Reading,
    told: &(dyn Fn() -> u64 + Sync),
    total: u64,
    work: impl FnOnce() -> T,
) -> T {
    let (done, until_done) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let period = std::time::Duration::from_millis(100);
            // The channel never carries anything: it is closed when the work is done.
            while until_done.recv_timeout(period) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                watch(Progress { reading, done: told().min(total), total });
            }
        });
        let outcome = work();
        drop(done);
        outcome
    })
}

fn problem_at(archive: &Archive, survey: &Survey, lsn: Lsn, found_by: Reading, what: String) -> Problem {
    let (path, offset) = survey.locate(archive, lsn);
    Problem { path, offset, lsn, found_by, what }
}

fn of_finding(archive: &Archive, survey: &Survey, finding: &Finding) -> Problem {
    let what = match &finding.wallet {
        Some((customer, currency)) => format!("wallet {customer}/{currency}: {}", finding.what),
        None => finding.what.to_owned(),
    };
    problem_at(archive, survey, finding.lsn, Reading::Audit, what)
}

/// What an opening that failed says about the log. `None` if it says nothing.
fn problem_of(archive: &Archive, survey: &Survey, error: &OpenError, found_by: Reading) -> Option<Problem> {
    let first = survey.segments.first().map_or(Lsn::ZERO, |segment| segment.start);
    let at = |lsn: Lsn, what: String| Some(problem_at(archive, survey, lsn, found_by, what));
    match error {
        OpenError::Record { lsn, source } => at(*lsn, format!("a record of this frame cannot be read: {source}")),
        OpenError::Inconsistent { lsn, what } => at(*lsn, format!("the log contradicts itself: {what}")),
        OpenError::NotALedger(_)
        | OpenError::Snapshot(_)
        | OpenError::NoSnapshot { .. }
        | OpenError::NoLog { .. }
        | OpenError::LostLog { .. } => at(first, error.to_string()),
        OpenError::Read(ReadError::Corrupt { lsn, .. } | ReadError::Retired { lsn, .. })
        | OpenError::Log(
            drawdown_wal::OpenError::LostData { lsn, .. } | drawdown_wal::OpenError::FlippedBit { lsn, .. },
        ) => at(*lsn, error.to_string()),
        OpenError::Log(drawdown_wal::OpenError::Header { .. } | drawdown_wal::OpenError::MissingSegment { .. }) => {
            at(first, error.to_string())
        }
        OpenError::Log(
            drawdown_wal::OpenError::Locked { .. }
            | drawdown_wal::OpenError::Options { .. }
            | drawdown_wal::OpenError::Io { .. }
            | drawdown_wal::OpenError::Poisoned(_),
        )
        | OpenError::Unavailable(_)
        | OpenError::NoSnapshotMade(_)
        | OpenError::Window
        | OpenError::Identities(_)
        | OpenError::Spill(_)
        | OpenError::Keys(_)
        | OpenError::Thread(_) => None,
    }
}
