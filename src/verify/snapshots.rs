//! The snapshots beside a log: every byte, the place, the head of the hash chain, and what each holds.
//!
//! From the oldest to the newest each snapshot is made once more ([`snapshot::compare`]) and held against the file: the first from the log's
//! beginning, the next from the one before it that was sound. So all of the log up to the newest is folded once, in memory that does not
//! grow with it, and every snapshot that is sound *is* what the log comes to. Where the log's beginning was retired, the oldest one has
//! nothing to be held against but its own digests and the chain: that is said, and the others are held against it.

use super::{Problem, Progress, Reading, Verdict, VerifyError, problem_of, watched_by};
use crate::engine::snapshot::{self, Difference};
use crate::engine::{OpenError, SnapshotFailure};
use crate::journal::snapshot::check::{Damage, check as check_bytes};
use crate::journal::snapshot::file::SnapshotFile;
use crate::journal::snapshot::{EXTENSION, lsn_of};
use drawdown_wal::{Archive, Chain, Ended, Files, Hash, Log, Lsn, Survey};
use std::io;

/// Memory that the comparing takes, about.
const MEMORY_BYTES: u64 = 256 << 20;
/// Where things stand in a snapshot (docs/snapshot-format.md).
const LOG_ID_AT: u64 = 16;
const LSN_AT: u64 = 32;
const CHAIN_AT: u64 = 64;
/// Counted from the end.
const DURABLE_BEFORE_END: u64 = 256 - 24;

/// Whether the chain's head that a snapshot names is the log's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainCheck {
    /// It is.
    Agrees,
    /// It is another.
    Differs,
    /// The snapshot names none.
    NotNamed,
    /// Neither the segments nor the chain's file reach back to it, or the chain was begun anew, or the snapshot cannot be read.
    NotKnown,
}

impl ChainCheck {
    /// A word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ChainCheck::Agrees => "agrees",
            ChainCheck::Differs => "differs",
            ChainCheck::NotNamed => "not named",
            ChainCheck::NotKnown => "not known",
        }
    }
}

/// What a snapshot's contents were held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// The log from its beginning.
    WithLog,
    /// The snapshot at this position, and the log from there on.
    Onto(Lsn),
    /// Nothing.
    No,
}

/// What the look at a snapshot came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotCheck {
    /// Its file's name.
    pub name: String,
    /// Its position, as its name says.
    pub lsn: Lsn,
    /// Length in bytes.
    pub bytes: u64,
    /// Wallets in it; zero if it cannot be read.
    pub wallets: u64,
    /// Identities in it; zero if it cannot be read.
    pub identities: u64,
    /// The chain's head in it.
    pub chain: ChainCheck,
    /// What it was held against.
    pub compared: Compared,
    /// Nothing is wrong with it.
    pub is_sound: bool,
}

/// Checks the snapshots. `log` is the log on an overlay, if it can be opened.
pub(super) fn check(
    archive: &Archive,
    log: Option<&Log>,
    verdict: &mut Verdict,
    watch: &(dyn Fn(Progress) + Sync),
) -> Result<(), VerifyError> {
    let files = archive.files();
    let mut found = Vec::new();
    for name in files.names(EXTENSION)? {
        let Some(lsn) = lsn_of(&name) else {
            verdict.notes.push(format!("{name} is no snapshot's name: nobody reads it"));
            continue;
        };
        match files.open_file(&name) {
            Ok(contents) => found.push((lsn, name, contents.size_bytes())),
            Err(error) if is_gone(&error, &verdict.survey) => verdict.notes.push(gone(&name)),
            Err(error) => return Err(error.into()),
        }
    }
    found.sort();
    let first = log.map_or(Lsn::ZERO, |log| log.segment_start(log.first()));
    let walked = found.last().map_or(0, |(lsn, _, _)| lsn.get().saturating_sub(first.get()));
    let total = found.iter().map(|(_, _, bytes)| bytes).sum::<u64>() + walked;
    let mut checking = Checking { archive, files: &*files, log, watch, done: 0, total, base: None };
    for (lsn, name, bytes) in &found {
        match checking.one(*lsn, name, *bytes, verdict) {
            Err(VerifyError::Io(error)) if is_gone(&error, &verdict.survey) => verdict.notes.push(gone(name)),
            other => other?,
        }
    }
    if total > 0 {
        watch(Progress { reading: Reading::Snapshots, done: total, total });
    }
    Ok(())
}

/// A server that has the directory open deletes a snapshot when it has made another.
fn is_gone(error: &io::Error, survey: &Survey) -> bool {
    error.kind() == io::ErrorKind::NotFound && survey.ended == Ended::Bounded
}

fn gone(name: &str) -> String {
    format!("{name} went while the directory was being looked at")
}

struct Checking<'a> {
    archive: &'a Archive,
    files: &'a dyn Files,
    log: Option<&'a Log>,
    watch: &'a (dyn Fn(Progress) + Sync),
    done: u64,
    total: u64,
    /// The newest snapshot so far that is sound, as far as that can be told.
    base: Option<SnapshotFile>,
}

/// What is wrong with one snapshot, until it is told.
#[derive(Default)]
struct Faults {
    damages: Vec<Damage>,
    /// Offset and what is wrong.
    others: Vec<(u64, String)>,
}

impl Faults {
    /// A damaged block is known by its digest; where the log says what should stand there, the byte is known.
    fn learn(&mut self, differences: Vec<Difference>) {
        for Difference { offset, what } in differences {
            let holds = |damage: &&mut Damage| (damage.offset..damage.offset + damage.length).contains(&offset);
            match self.damages.iter_mut().find(holds) {
                Some(damage) => damage.offset = offset,
                None => self.others.push((offset, what)),
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.damages.is_empty() && self.others.is_empty()
    }

    fn into_problems(self, files: &dyn Files, name: &str, lsn: Lsn) -> Vec<Problem> {
        let damages = self.damages.into_iter().map(|damage| (damage.offset, damage.what));
        let mut all: Vec<_> = damages.chain(self.others).collect();
        all.sort();
        let path = files.place(name);
        let problem = |(offset, what)| Problem { path: path.clone(), offset, lsn, found_by: Reading::Snapshots, what };
        all.into_iter().map(problem).collect()
    }
}

impl Checking<'_> {
    fn one(&mut self, lsn: Lsn, name: &str, bytes: u64, verdict: &mut Verdict) -> Result<(), VerifyError> {
        let (watch, total) = (self.watch, self.total);
        let done = &mut self.done;
        let mut read = |bytes| {
            *done += bytes;
            watch(Progress { reading: Reading::Snapshots, done: (*done).min(total), total });
        };
        let checked = check_bytes(self.files, name, verdict.survey.log_id, &mut read)?;
        let mut entry = SnapshotCheck {
            name: name.to_owned(),
            lsn,
            bytes,
            wallets: 0,
            identities: 0,
            chain: ChainCheck::NotKnown,
            compared: Compared::No,
            is_sound: false,
        };
        let mut faults = Faults { damages: checked.damages, others: Vec::new() };
        if let Some(file) = checked.file {
            (entry.wallets, entry.identities) = (file.sums().wallets, file.sums().identities);
            if is_placed(&file, lsn, verdict, &mut faults) {
                entry.chain = chain(&file, &verdict.survey, &mut faults);
                match entry.chain {
                    ChainCheck::Agrees | ChainCheck::Differs => {}
                    ChainCheck::NotNamed => verdict.notes.push(format!("{name} does not name the hash chain's head")),
                    ChainCheck::NotKnown => verdict.notes.push(format!(
                        "the hash chain's head in {name} could not be checked: the chain does not go back so far, or was begun anew"
                    )),
                }
                entry.compared = self.compare(&file, verdict, &mut faults)?;
                let is_known = entry.compared != Compared::No || self.base.is_none() && !self.is_whole();
                if faults.is_empty() && is_known && self.is_reached(lsn) {
                    self.base = Some(file);
                }
            }
        }
        entry.is_sound = faults.is_empty();
        verdict.problems.extend(faults.into_problems(self.files, name, lsn));
        verdict.snapshots.push(entry);
        Ok(())
    }

    /// Whether the log goes back to its beginning.
    fn is_whole(&self) -> bool {
        self.is_reached(Lsn::ZERO)
    }

    /// Whether the log goes back to a position.
    fn is_reached(&self, lsn: Lsn) -> bool {
        self.log.is_some_and(|log| log.segment_start(log.first()) <= lsn)
    }

    /// Holds what a snapshot says against what the log comes to.
    fn compare(
        &mut self,
        file: &SnapshotFile,
        verdict: &mut Verdict,
        faults: &mut Faults,
    ) -> Result<Compared, VerifyError> {
        let name = file.name();
        let Some(log) = self.log else {
            verdict.notes.push(format!("{name} was not compared with the log, which cannot be read"));
            return Ok(Compared::No);
        };
        let first = log.segment_start(log.first());
        if file.lsn() < first {
            verdict.notes.push(format!("{name} lies before the log's beginning: nobody uses it"));
            return Ok(Compared::No);
        }
        if self.base.is_none() && first > Lsn::ZERO {
            let why = format!("the log begins at LSN {first}: what lay before was retired");
            verdict.notes.push(format!("{name} was not compared with the log, only checked in itself: {why}"));
            return Ok(Compared::No);
        }
        let from = self.base.as_ref().map_or(first, SnapshotFile::lsn);
        let span = file.lsn().get() - from.get();
        let progress = snapshot::Progress::default();
        let begun = self.done;
        let told = || {
            let (done, of) = progress.bytes();
            begun + (u128::from(span) * u128::from(done)).checked_div(of.into()).unwrap_or(0) as u64
        };
        let base = self.base.as_ref();
        let comparing = || snapshot::compare(log, self.files, base, file, MEMORY_BYTES, &progress);
        let outcome = watched_by(self.watch, Reading::Snapshots, &told, self.total, comparing);
        self.done += span;
        match outcome {
            Ok(differences) => faults.learn(differences),
            Err(SnapshotFailure::Write(error)) => return Err(error.into()),
            Err(failure) => {
                verdict.notes.push(format!("{name} could not be compared with the log: {failure}"));
                let error = match failure {
                    SnapshotFailure::Fold(error) => Some(*error),
                    SnapshotFailure::Read(error) => Some(OpenError::Read(error)),
                    SnapshotFailure::Previous(error) => Some(OpenError::Snapshot(Box::new(error))),
                    SnapshotFailure::Write(_) | SnapshotFailure::Log(_) | SnapshotFailure::Stopped => None,
                };
                let problem =
                    error.and_then(|error| problem_of(self.archive, &verdict.survey, &error, Reading::Snapshots));
                // The fold of the whole log comes upon the same, as a rule.
                if let Some(problem) = problem
                    && verdict.problems.iter().all(|known| known.lsn != problem.lsn)
                {
                    verdict.problems.push(problem);
                }
                return Ok(Compared::No);
            }
        }
        Ok(self.base.as_ref().map_or(Compared::WithLog, |base| Compared::Onto(base.lsn())))
    }
}

/// Whether a snapshot stands where it may: of this log, at the start of a segment that the log reaches.
fn is_placed(file: &SnapshotFile, lsn: Lsn, verdict: &mut Verdict, faults: &mut Faults) -> bool {
    let survey = &verdict.survey;
    let mut is_right = true;
    let mut wrong = |offset: u64, what: String| {
        faults.others.push((offset, what));
        is_right = false;
    };
    if file.head().log_id != survey.log_id && survey.log_id != [0; 16] {
        wrong(LOG_ID_AT, "it is of another log".to_owned());
    }
    if file.lsn() != lsn {
        wrong(LSN_AT, format!("it is of LSN {}, and its name says {lsn}", file.lsn()));
    }
    if survey.segment_bytes > 0 && !lsn.get().is_multiple_of(survey.segment_bytes) {
        wrong(LSN_AT, "it does not stand at the start of a segment".to_owned());
    }
    let durable = file.sums().durable;
    if survey.ended == Ended::Bounded {
        if lsn > survey.end {
            verdict.notes.push(format!("{} lies behind what was checked of the log", file.name()));
            return false;
        }
    } else if survey.is_readable && durable.max(lsn) > survey.end {
        let end = survey.end;
        let what = format!(
            "the log was durable up to LSN {durable} when it was made, and ends at {end}: it has lost what was acknowledged"
        );
        wrong(file.size_bytes() - DURABLE_BEFORE_END, what);
    }
    is_right
}

/// Compares the chain's head in a snapshot with the log's chain at its position: with what the segments come to now, and with what the chain's
/// file recorded. Where those two differ, the survey has said so.
fn chain(file: &SnapshotFile, survey: &Survey, faults: &mut Faults) -> ChainCheck {
    let named = file.head().chain;
    if named == [0; 32] {
        return ChainCheck::NotNamed;
    }
    let number = file.lsn().get() / survey.segment_bytes.max(1);
    let segment = number.checked_sub(1).and_then(|last| survey.segments.iter().find(|segment| segment.number == last));
    let computed = segment.and_then(|segment| segment.hash);
    let recorded = survey.recorded.as_ref().and_then(|chain: &Chain| chain.before(number));
    let known: Vec<Hash> = computed.into_iter().chain(recorded).collect();
    if known.iter().any(|hash| hash.bytes() == named) {
        return ChainCheck::Agrees;
    }
    // A chain that was begun anew, when its file was lost and so were older segments, has other hashes than the one before.
    let begins = survey.recorded.as_ref().map(Chain::first).or(survey.segments.first().map(|segment| segment.number));
    let Some(one) = known.first().filter(|_| begins == Some(0)) else { return ChainCheck::NotKnown };
    let named = named.map(|byte| format!("{byte:02x}")).concat();
    faults.others.push((CHAIN_AT, format!("the log's hash chain comes to {one} here, and the snapshot names {named}")));
    ChainCheck::Differs
}
