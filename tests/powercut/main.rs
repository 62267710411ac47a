//! The power is cut under the real server: its disk is copied as of an instant while several connections write, and the copy is started from.
//!
//! What had been answered *before* an instant must be on the copy that was taken at it: every event, once, with the answer that it had got;
//! `drawdown verify` must find nothing wrong; and what is sent again must be told to be a duplicate exactly if it is there. What the copies
//! show of a real disk, and what they do not, is said in [`disk`].
//!
//! Mounting takes root and a kernel that lets it, and `mkfs.xfs` and `mkfs.ext4`. Where anything is missing the tests print `SKIPPED` with the
//! reason; `DRAWDOWN_REQUIRE_LOOP=1` makes that a failure. `DRAWDOWN_POWER_CUTS` sets the number of cuts on each file system,
//! `DRAWDOWN_POWER_SEED` the seed.

#[path = "../crash/books.rs"]
#[allow(dead_code, reason = "shared with the crash tests")]
mod books;
#[path = "../crash/client.rs"]
#[allow(dead_code, reason = "shared with the crash tests")]
mod client;
mod disk;
#[path = "../crash/load.rs"]
#[allow(dead_code, reason = "shared with the crash tests")]
mod load;
#[path = "../crash/process.rs"]
#[allow(dead_code, reason = "shared with the crash tests")]
mod process;
#[path = "../crash/random.rs"]
#[allow(dead_code, reason = "shared with the crash tests")]
mod random;
#[path = "../crash/verify.rs"]
#[allow(dead_code, reason = "shared with the crash tests")]
mod verify;

use books::Books;
use client::Client;
use disk::{Cut, Disk, Host, Kind};
use load::End;
use process::{Process, Settings};
use random::Random;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::Duration;

/// Cuts on ext4, unless the environment says otherwise.
const CUTS: u64 = 2;

/// Cuts while a load goes on.
const AT_A_TIME: u64 = 5;

/// Cuts with the same ledger. What is sent again after each grows with it.
const CHAPTER: u64 = 20;

/// Answers between one cut and the next, at most.
const ANSWERS_MAX: u64 = 60;

const SEGMENT_BYTES: u64 = 256 << 10;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Small segments, and snapshots whenever one is full.
fn settings() -> Settings {
    Settings::segments(SEGMENT_BYTES)
        .and("unsynced-bytes", SEGMENT_BYTES)
        .and("snapshot-log-bytes", SEGMENT_BYTES)
        .and("recycle-segments", true)
}

/// What was known when a cut was made.
struct Moment {
    cut: Cut,
    books: Books,
}

/// Loads the server and cuts the power a few times meanwhile, each time after some answers.
fn load(
    process: &mut Process,
    books: &mut Books,
    host: &Host,
    disk: &Disk,
    random: &mut Random,
    cuts: u64,
) -> Vec<Moment> {
    let known = books.clone();
    let mut moments = Vec::new();
    load::run_until(process, books, random, Duration::ZERO, End::Kill, |seen, random| {
        let everything = || {
            let mut books = known.clone();
            books.take(seen.notes());
            books
        };
        for _ in 0..cuts {
            for _ in 0..=random.below(ANSWERS_MAX) {
                seen.answers.recv().expect("the connections go on until the server ends");
            }
            // All that is noted by now was answered; all that is on the copy will have been noted by then, for it is noted before it is sent.
            let answered = everything();
            let cut = host.cut(disk);
            moments.push(Moment { cut, books: answered.before(&everything()) });
        }
    });
    moments
}

/// Starts from what a cut has left.
fn check(host: &Host, Moment { cut, mut books }: Moment) -> (usize, usize) {
    let unanswered = books.count_unanswered();
    let disk = host.mount(cut);
    let ledger = disk.path().join("ledger");
    process::assert_verifies(&ledger);
    let found = books.found_ever;
    let mut process = Process::start_with(&ledger, &settings());
    verify::everything(&mut Client::connect(process.address()), &mut books);
    assert_eq!(process.terminate(), Some(0));
    process::assert_verifies(&ledger);
    Host::discard(disk);
    (unanswered, books.found_ever - found)
}

fn restart(ledger: &Path, books: &mut Books) -> Process {
    let process = Process::start_with(ledger, &settings());
    verify::everything(&mut Client::connect(process.address()), books);
    process
}

fn cut_the_power(kind: Kind, cuts: u64) {
    let Some((host, disk)) = Host::make(kind) else { return };
    let seed = number("DRAWDOWN_POWER_SEED").unwrap_or_else(|| RandomState::new().build_hasher().finish());
    println!("{kind:?}: DRAWDOWN_POWER_SEED={seed}");
    let (mut done, mut unanswered, mut found) = (0, 0, 0);
    while done < cuts {
        let mut random = Random::new(seed.wrapping_add(done));
        let ledger = disk.path().join("ledger");
        let mut books = Books::new();
        let mut process = Process::start_with(&ledger, &settings());
        load::set_up(&mut Client::connect(process.address()), &mut books);
        let until = cuts.min(done + CHAPTER);
        while done < until {
            let at_a_time = AT_A_TIME.min(until - done);
            for moment in load(&mut process, &mut books, &host, &disk, &mut random, at_a_time) {
                let (lost_or_not, there) = check(&host, moment);
                (done, unanswered, found) = (done + 1, unanswered + lost_or_not, found + there);
            }
            process = restart(&ledger, &mut books);
        }
        drop(process);
        fs::remove_dir_all(&ledger).expect("nobody is in it");
        println!("{kind:?}: {done} of {cuts} cuts; the last ledger: {books}");
    }
    println!("{kind:?}: {cuts} cuts; {unanswered} had no answer at a cut, {found} of those were there");
    assert!(unanswered > 0, "no cut hit a request under way: this tests nothing");
}

#[test]
fn what_was_answered_survives_power_cuts_on_ext4() {
    cut_the_power(Kind::Ext4, number("DRAWDOWN_POWER_CUTS").unwrap_or(CUTS));
}

#[test]
fn what_was_answered_survives_power_cuts_on_xfs() {
    cut_the_power(Kind::Xfs, number("DRAWDOWN_POWER_CUTS").unwrap_or(1));
}
