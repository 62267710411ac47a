//! Snapshots, retention and what is left of the past: a ledger that is opened from a snapshot is the ledger that replays its whole log.
//!
//! Stories are told as in `engine_props`, with snapshots, retired segments and reopenings in between. Beside the books a follower keeps
//! everything that histories and feed ever told, and what is left of them must be the end of that.

mod beside;
mod cuts;
mod damage;
mod identities;
mod retention;
mod tale;

use std::collections::BTreeMap;
use std::sync::Arc;

use drawdown::engine::{Engine, EngineConfig, ManualClock, OpenError, OpenReport, Retention, SnapshotConfig, snapshot};
use drawdown::journal::snapshot::file::SnapshotFile;
use drawdown::verify::{Verdict, verify};
use drawdown_wal::sim::Disk;
use drawdown_wal::{Archive, Files, Images, Log, Lsn, Medium};

use crate::books::config as usual_config;

const SEGMENT_BYTES: u64 = 64 << 10;

/// Memory for some wallets, so that a snapshot takes several passes.
const LITTLE_MEMORY: u64 = 2048;

fn config(memory_bytes: u64, retention: Retention) -> EngineConfig {
    let snapshots = SnapshotConfig { memory_bytes, ..SnapshotConfig::default() };
    EngineConfig { snapshots, retention, ..usual_config(SEGMENT_BYTES) }
}

/// Lets go of whatever may go.
fn greedy() -> Retention {
    Retention { log_bytes: Some(0), ..Retention::default() }
}

/// Fills the segment that is being written, with padding, and has it synced.
pub(crate) fn seal(engine: &Engine) {
    let log = engine.log();
    let start = log.segment_start(log.tail());
    while log.segment_start(log.tail()) == start {
        let left = (start.get() + log.segment_bytes() - log.tail().get()).min(4096);
        let admission = log.admit_wait(left, std::time::Duration::from_secs(10)).expect("room for padding");
        // A frame that is not published becomes padding.
        drop(admission.reserve(1, left as usize - 32));
    }
    engine.barrier().wait().expect("a healthy log");
}

fn open(disk: &Disk, clock: &Arc<ManualClock>, config: &EngineConfig) -> Result<(Engine, OpenReport), OpenError> {
    Engine::open_on(disk.medium(), config.clone(), clock.clone())
}

fn snapshot_names(disk: &Disk) -> Vec<String> {
    let mut names = disk.names("snapshot").expect("a list");
    names.sort();
    names
}

/// The files of spilled identities.
fn run_names(disk: &Disk) -> Vec<String> {
    disk.names("ids").expect("a list")
}

/// The same disk without its snapshots.
fn without_snapshots(disk: &Disk) -> Disk {
    let bare = disk.duplicate();
    for name in &snapshot_names(&bare) {
        bare.delete(name).expect("deleted");
    }
    bare
}

/// Makes a snapshot of a ledger that is not open, up to a frame.
fn make_offline(disk: &Disk, clock: &ManualClock, memory_bytes: u64, upto: Option<Lsn>) -> Option<snapshot::Made> {
    let config = config(memory_bytes, Retention::default());
    let medium: Arc<dyn Medium> = disk.medium();
    snapshot::make_offline_on(&medium, &config, clock, upto, &snapshot::Progress::default()).expect("a healthy ledger")
}

/// What a disk holds beside the segments.
pub(crate) fn files_of(disk: &Disk) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| {
        let file = disk.open_file(&name).expect("a file");
        let mut bytes = vec![0; file.size_bytes() as usize];
        file.read_at(0, &mut bytes).expect("its bytes");
        (name, bytes)
    };
    snapshot_names(disk).into_iter().chain(run_names(disk)).map(read).collect()
}

/// The verification of what a disk holds.
fn verdict_of(disk: &Disk, chain: Option<Vec<u8>>) -> Verdict {
    let archive = Archive::of_images(Images { segments: disk.images(), chain }).with_files(files_of(disk));
    verify(&archive, &|_| ()).expect("images can be read")
}

fn digest_of(disk: &Disk, name: &str) -> [u8; 32] {
    SnapshotFile::open(disk, name).expect("a whole snapshot").digest().expect("a readable one")
}

/// Where the frames of a log begin, its own excepted, and where the last one ends.
fn frames(disk: &Disk) -> Vec<Lsn> {
    let (log, _) = Log::open_on(disk.duplicate().medium(), usual_config(SEGMENT_BYTES).log).expect("a healthy log");
    let mut reader = log.reader(log.first());
    let (mut frames, mut end) = (Vec::new(), log.first());
    while let Some(frame) = reader.next().expect("a readable log") {
        frames.push(frame.lsn);
        end = frame.end;
    }
    frames.push(end);
    frames
}

/// Whatever frame of a log a snapshot is made up to, opening from it gives what the whole log gives: the ledger that `disk` holds, closed.
/// Cuts are counted from the last frame backwards.
pub(crate) fn check_cuts(
    disk: &Disk,
    clock: &Arc<ManualClock>,
    cuts: impl Iterator<Item = usize>,
    audit: &dyn Fn(&Engine),
) {
    let bare = without_snapshots(disk);
    let config = config(1 << 20, Retention::default());
    let frames = frames(&bare);
    for cut in cuts {
        let cut = frames.len() - 1 - cut % frames.len();
        let upto = frames[cut];
        let disk = bare.duplicate();
        // In two steps: the second onto the first.
        make_offline(&disk, clock, LITTLE_MEMORY, Some(frames[cut / 2]));
        let made = make_offline(&disk, clock, LITTLE_MEMORY, Some(upto));
        let whole = open(&without_snapshots(&disk), clock, &config).expect("a healthy ledger").0.digest();
        let (engine, report) = open(&disk, clock, &config).expect("a healthy ledger");
        if let Some(made) = made {
            assert_eq!((report.snapshot, report.passed_over.len()), (made.lsn, 0));
        }
        assert_eq!(engine.digest(), whole, "a snapshot up to {upto} changes the ledger");
        audit(&engine);
        // And at once: the same in every entry.
        let other = bare.duplicate();
        if make_offline(&other, clock, 1 << 20, Some(upto)).is_some() {
            let name = snapshot_names(&other).pop().expect("a snapshot");
            assert_eq!(digest_of(&other, &name), digest_of(&disk, &name), "up to {upto}");
        }
    }
}
