//! Single bits of a whole data directory are turned, anywhere in it: log, hash chain, snapshots, runs of identities. `drawdown verify` notices
//! each of them and says which file it is; a start refuses it, or gives the same ledger, as the documents say.

use std::collections::BTreeMap;
use std::path::Path;

use drawdown::engine::{CommandError, Engine, EngineConfig, OpenError, OpenReport};
use drawdown::verify::{ChainCheck, Compared, Reading, Verdict, verify};
use drawdown_wal::sim::{Disk, Random};
use drawdown_wal::{Archive, Files, Images};

use super::verify::told;
use super::{Run, SEGMENT_BYTES, fresh_disk, workload};
use crate::books::{Step, WalletNumber, config};
use crate::snapshots::{files_of, seal};

/// The name of the file of the hash chain.
const CHAIN: &str = "chain";

/// Room for some identities: the others go to runs.
fn small() -> EngineConfig {
    EngineConfig { idempotency_memory: 64 * 48, ..config(SEGMENT_BYTES) }
}

/// Every file of a data directory, by name.
#[derive(Clone)]
struct Directory(BTreeMap<String, Vec<u8>>);

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Log,
    Chain,
    Snapshot,
    Run,
}

fn kind_of(name: &str) -> Kind {
    match Path::new(name).extension().and_then(|extension| extension.to_str()) {
        Some("wal") => Kind::Log,
        Some("snapshot") => Kind::Snapshot,
        Some("ids") => Kind::Run,
        _ => Kind::Chain,
    }
}

impl Directory {
    fn of(disk: &Disk, chain: Vec<u8>) -> Self {
        let segments = disk.images().into_iter().map(|(number, image)| (format!("{number:016x}.wal"), image));
        Directory(segments.chain(files_of(disk)).chain([(CHAIN.to_owned(), chain)]).collect())
    }

    fn segments(&self) -> BTreeMap<u64, Vec<u8>> {
        let segments = self.0.iter().filter(|(name, _)| kind_of(name) == Kind::Log);
        segments.map(|(name, image)| (u64::from_str_radix(&name[..16], 16).expect("a number"), image.clone())).collect()
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let is_beside = |name: &str| matches!(kind_of(name), Kind::Snapshot | Kind::Run);
        self.0.iter().filter(|(name, _)| is_beside(name)).map(|(name, bytes)| (name.clone(), bytes.clone())).collect()
    }

    fn verify(&self) -> Verdict {
        let images = Images { segments: self.segments(), chain: self.0.get(CHAIN).cloned() };
        verify(&Archive::of_images(images).with_files(self.files()), &|_| ()).expect("images can be read")
    }

    fn open(&self, run: &Run) -> Result<(Engine, OpenReport), OpenError> {
        let disk = Disk::from_images(self.segments());
        for (name, bytes) in self.files() {
            let mut draft = disk.draft(&name).expect("room");
            draft.append(&bytes).expect("room");
            draft.finish().expect("a healthy disk");
        }
        Engine::open_on(disk.medium(), small(), run.clock.clone())
    }

    fn names(&self, kind: Kind) -> Vec<&str> {
        self.0.keys().map(String::as_str).filter(|name| kind_of(name) == kind).collect()
    }

    /// A place in a file of a kind: any byte, or any that is not zero.
    fn draw_where(&self, kind: Kind, says_something: bool, random: &mut Random) -> (String, usize) {
        loop {
            let (name, place) = self.draw(kind, random);
            if !says_something || self.0[&name][place] != 0 {
                return (name, place);
            }
        }
    }

    /// Every byte is as likely as any other.
    fn draw(&self, kind: Kind, random: &mut Random) -> (String, usize) {
        let files: Vec<_> = self.0.iter().filter(|(name, _)| kind_of(name) == kind).collect();
        let mut place = random.below(files.iter().map(|(_, bytes)| bytes.len() as u64).sum()) as usize;
        for (name, bytes) in files {
            match place.checked_sub(bytes.len()) {
                Some(behind) => place = behind,
                None => return (name.clone(), place),
            }
        }
        unreachable!("the place lies in one of them")
    }

    fn flipped(&self, name: &str, place: usize, bit: u64) -> Self {
        let mut flipped = self.clone();
        flipped.0.get_mut(name).expect("a file")[place] ^= 1 << bit;
        flipped
    }
}

/// A whole log with two snapshots, several runs and a chain, ended in order; where `cut`, its beginning has been retired.
fn ledger(cut: bool) -> (Directory, Run) {
    let (mut run, disk) = (Run::new(), fresh_disk());
    let (engine, _) = Engine::open_on(disk.medium(), small(), run.clock.clone()).expect("a healthy disk");
    let mut random = Random::new(21);
    let steps = workload::steps(21, 700);
    for (number, steps) in steps.chunks(234).enumerate() {
        for part in steps.chunks(20) {
            run.make(&engine, part, &mut random).expect("nothing fails");
            run.make(&engine, &[Step::Tidy], &mut random).expect("nothing fails");
        }
        if number < 2 {
            seal(&engine);
            engine.snapshot_now().expect("a healthy ledger").expect("something new");
        }
    }
    while engine.log().extend_chain().expect("segments can be read") {}
    if cut {
        // What is needed of it for answers does not matter here.
        let older = engine.stats().snapshots.earlier_lsn;
        engine.log().retire(drawdown_wal::Lsn::new(older)).expect("a healthy disk");
    }
    engine.close().expect("a healthy log");
    (Directory::of(&disk, engine.log().chain().write()), run)
}

/// How often it was seen what became of a flip.
#[derive(Debug, Default)]
struct Figures(BTreeMap<(Kind, &'static str), u64>);

impl Figures {
    fn count(&mut self, kind: Kind, what: &'static str) {
        *self.0.entry((kind, what)).or_default() += 1;
    }

    fn of(&self, what: &str) -> u64 {
        self.0.iter().filter(|((_, counted), _)| *counted == what).map(|(_, count)| count).sum()
    }
}

fn flips(usual: u64) -> u64 {
    std::env::var("DRAWDOWN_FLIPS").map_or(usual, |count| count.parse().expect("a number"))
}

#[test]
fn no_bit_of_a_directory_changes_unnoticed_and_none_changes_the_ledger() {
    let (directory, run) = ledger(false);
    let verdict = directory.verify();
    assert_eq!(verdict.problems, []);
    let [older, newest] = verdict.snapshots.as_slice() else { panic!("{:?}", verdict.snapshots) };
    assert_eq!((older.compared, newest.compared), (Compared::WithLog, Compared::Onto(older.lsn)));
    assert_eq!((older.chain, newest.chain), (ChainCheck::Agrees, ChainCheck::Agrees));
    assert!(verdict.runs.runs > 1 && verdict.runs.identities > 100, "{:?}", verdict.runs);
    let (engine, report) = directory.open(&run).expect("a sound directory");
    assert_eq!((report.snapshot, report.passed_over.len()), (newest.lsn, 0));
    let (digest, history) = (engine.digest(), told(&engine));
    assert!(!compare_histories(&engine, &history, "nothing"));
    drop(engine);
    let (mut random, mut figures) = (Random::new(22), Figures::default());
    let count = flips(90);
    for number in 0..count {
        let kind = [Kind::Log, Kind::Snapshot, Kind::Run, Kind::Log, Kind::Snapshot, Kind::Run, Kind::Chain]
            [number as usize % 7];
        // Most of a log are zeros.
        let (name, place) = directory.draw_where(kind, number % 2 == 0, &mut random);
        let bit = random.below(8);
        let what = format!("bit {bit} of byte {place} of {name}");
        let flipped = directory.flipped(&name, place, bit);
        notice(&flipped.verify(), kind, &name, place, &what, &mut figures);
        if kind == Kind::Chain {
            // A simulated disk keeps no chain; what a start does with a damaged one is tried beside the code.
            continue;
        }
        match flipped.open(&run) {
            Err(error) => {
                assert_eq!(kind, Kind::Log, "{what}: {error}");
                let text = error.to_string();
                assert!(text.contains("offset") || text.contains("segment"), "{what}: {text}");
                figures.count(kind, "refused at the start");
            }
            Ok((engine, report)) => {
                assert_eq!(engine.digest(), digest, "{what}");
                let is_passed_over = !report.passed_over.is_empty();
                match kind {
                    Kind::Log | Kind::Chain => {
                        let refused = compare_histories(&engine, &history, &what);
                        figures.count(kind, if refused { "refused when it is read" } else { "same ledger" });
                    }
                    Kind::Snapshot => {
                        assert_eq!(told(&engine), history, "{what}");
                        let other = if is_passed_over && name == newest.name { older.lsn } else { newest.lsn };
                        assert_eq!(report.snapshot, other, "{what}");
                        assert!(
                            report.passed_over.iter().all(|told| told.starts_with(&name)),
                            "{:?}",
                            report.passed_over
                        );
                        figures.count(kind, if is_passed_over { "passed over and told" } else { "same ledger" });
                    }
                    Kind::Run => {
                        assert_eq!(told(&engine), history, "{what}");
                        figures.count(
                            kind,
                            if resent(&engine, &run) { "refused, then derived again" } else { "same ledger" },
                        );
                    }
                }
                assert!(!is_passed_over || kind == Kind::Snapshot, "{:?}", report.passed_over);
            }
        }
    }
    println!("{count} bits turned: {:?}", figures.0);
    assert_eq!(figures.of("noticed"), count);
    assert!(figures.of("refused at the start") > 0 && figures.of("passed over and told") > 0);
}

/// The verdict has a problem, in that file and in no other, at the byte or before it.
#[track_caller]
fn notice(verdict: &Verdict, kind: Kind, name: &str, place: usize, what: &str, figures: &mut Figures) {
    let first = verdict.problems.first().unwrap_or_else(|| panic!("{what} was not noticed"));
    figures.count(kind, "noticed");
    if kind == Kind::Chain {
        return;
    }
    for problem in &verdict.problems {
        assert!(problem.path.ends_with(name), "{what}: {problem}");
    }
    assert!(first.offset <= place as u64, "{what}: {first}");
    if first.offset == place as u64 {
        figures.count(kind, "noticed to the byte");
    }
    let expected = match kind {
        Kind::Log | Kind::Chain => Reading::Survey,
        Kind::Snapshot => Reading::Snapshots,
        Kind::Run => Reading::Identities,
    };
    assert_eq!(first.found_by, expected, "{what}: {first}");
}

/// What is told of the past is what was told before, or reading it is refused: below the snapshot frames are checked when they are read. Whether
/// something is refused.
fn compare_histories(engine: &Engine, history: &str, what: &str) -> bool {
    let mut is_refused = false;
    for wallet in WalletNumber::all() {
        let Ok(view) = engine.wallet(wallet.customer(), wallet.currency()) else { continue };
        assert!(history.contains(&format!("{view:?}")), "{what}");
        match engine.entries(wallet.customer(), wallet.currency(), None, 1 << 20) {
            Ok(page) => assert!(history.contains(&format!("{:?}", page.entries)), "{what}"),
            Err(CommandError::Unavailable(_)) => is_refused = true,
            Err(error) => panic!("{what}: {error}"),
        }
    }
    is_refused
}

/// Everything that was applied is a duplicate, at once or after an event was refused; whether one was.
fn resent(engine: &Engine, run: &Run) -> bool {
    let mut books = run.books.clone();
    books.reopened();
    let mut refused = 0;
    books.resend_until_taken(engine, |error| {
        refused += 1;
        assert!(refused < 9, "{error}");
        engine.tidy();
    });
    assert_eq!(engine.stats().applied, 0);
    refused > 0
}

/// The same where the log's beginning is gone: the oldest snapshot is known by its own digests.
#[test]
fn no_bit_of_snapshots_beside_a_cut_log_changes_unnoticed() {
    let (directory, run) = ledger(true);
    let verdict = directory.verify();
    assert_eq!(verdict.problems, []);
    let compared: Vec<_> = verdict.snapshots.iter().map(|check| check.compared).collect();
    assert_eq!(compared, [Compared::No, Compared::Onto(verdict.snapshots[0].lsn)]);
    assert!(verdict.notes.iter().any(|note| note.contains("not compared with the log")), "{:?}", verdict.notes);
    let digest = directory.open(&run).expect("a sound directory").0.digest();
    let (mut random, mut figures) = (Random::new(23), Figures::default());
    for _ in 0..flips(24) {
        let ((name, place), bit) = (directory.draw(Kind::Snapshot, &mut random), random.below(8));
        let what = format!("bit {bit} of byte {place} of {name}");
        let flipped = directory.flipped(&name, place, bit);
        notice(&flipped.verify(), Kind::Snapshot, &name, place, &what, &mut figures);
        let (engine, _) = flipped.open(&run).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(engine.digest(), digest, "{what}");
    }
    println!("beside a cut log: {:?}", figures.0);
}

/// A snapshot that is whole in itself and says something else than the log is found: the byte and the entry are named.
#[test]
fn a_forged_snapshot_is_found_by_what_the_log_comes_to() {
    let (directory, _) = ledger(false);
    let name = directory.names(Kind::Snapshot)[1].to_owned();
    let mut forged = directory.clone();
    let bytes = forged.0.get_mut(&name).expect("a file");
    let place = forge(bytes);
    let verdict = forged.verify();
    let [problem] = verdict.problems.as_slice() else { panic!("{:?}", verdict.problems) };
    assert_eq!((problem.offset, problem.found_by), (place as u64, Reading::Snapshots));
    assert!(problem.path.ends_with(&name) && problem.what.contains("section wallets"), "{problem}");
    assert_eq!(verdict.snapshots.iter().map(|check| check.is_sound).collect::<Vec<_>>(), [true, false]);
}

/// Changes the last byte of the wallets' block and makes every digest right again; where it is.
fn forge(bytes: &mut [u8]) -> usize {
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes")) as usize;
    let size = bytes.len();
    let (directory, footer) = (word(bytes, size - 256 + 8), size - 256);
    let lines = (directory..footer).step_by(64);
    let line = lines.into_iter().find(|line| bytes[*line] == 2).expect("a block of wallets");
    let (offset, length) = (word(bytes, line + 8), word(bytes, line + 16));
    let place = offset + length - 1;
    bytes[place] ^= 1;
    let digest = *blake3::hash(&bytes[offset..offset + length]).as_bytes();
    bytes[line + 32..line + 64].copy_from_slice(&digest);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..128]).update(&bytes[directory..size - 32]);
    let root = *hasher.finalize().as_bytes();
    bytes[size - 32..].copy_from_slice(&root);
    place
}

/// A snapshot that names another head of the hash chain than the log comes to is found.
#[test]
fn a_snapshot_of_another_course_of_the_log_is_found_by_the_chain() {
    let (directory, _) = ledger(false);
    let name = directory.names(Kind::Snapshot)[0].to_owned();
    let mut forged = directory.clone();
    let bytes = forged.0.get_mut(&name).expect("a file");
    bytes[70] ^= 1;
    let (size, mut hasher) = (bytes.len(), blake3::Hasher::new());
    let directory_at = u64::from_le_bytes(bytes[size - 248..size - 240].try_into().expect("8 bytes")) as usize;
    hasher.update(&bytes[..128]).update(&bytes[directory_at..size - 32]);
    let root = *hasher.finalize().as_bytes();
    bytes[size - 32..].copy_from_slice(&root);
    let verdict = forged.verify();
    let [problem] = verdict.problems.as_slice() else { panic!("{:?}", verdict.problems) };
    assert_eq!((problem.offset, problem.found_by), (64, Reading::Snapshots));
    assert!(problem.what.contains("hash chain"), "{problem}");
    assert_eq!(verdict.snapshots[0].chain, ChainCheck::Differs);
}
