//! The real server, killed under load and started again on the same directory, many times over.
//!
//! Several connections send batches, single events, grants, and repetitions of all of them. Independent books note what was answered.
//! At an instant that the seed decides, counted in answers and not in time, the process gets SIGKILL. Started again, the server must know
//! everything that it had answered, exactly once, and say of it what it had said; what was not answered may be there or not, but not
//! twice; and balances, histories and alert levels must follow from the books alone. Then the next cycle goes on with the same data.
//!
//! So it goes as well with a server that makes snapshots all the time and lets go of its oldest segments, killed while it does that, while the
//! log moves on to new segments, and while it recovers. After each kill `drawdown verify` must find nothing wrong.
//!
//! What this does not test is the loss of power: a killed process loses no page that it had written. The simulated medium does that, and
//! `tests/powercut`.
//!
//! `DRAWDOWN_CRASH_CYCLES` sets the number of cycles, `DRAWDOWN_CRASH_SEED` the seed; a failure prints both.

mod books;
#[allow(dead_code, reason = "shared with the tests of full and broken disks")]
mod client;
mod load;
mod moments;
mod past;
#[allow(dead_code, reason = "shared with the tests of full and broken disks")]
mod process;
mod random;
mod verify;

use books::Books;
use client::Client;
use load::End;
use moments::{Moment, Watch};
use process::{Process, Settings};
use random::Random;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::Duration;

/// Cycles, unless the environment says otherwise.
const CYCLES: u64 = 20;

/// Answers that a cycle waits for before the kill, at most.
const ANSWERS_MAX: u64 = 60;

/// Says where a failure happened.
struct Story {
    seed: u64,
    cycle: u64,
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed in cycle {} with DRAWDOWN_CRASH_SEED={}", self.cycle, self.seed);
        }
    }
}

impl Story {
    fn begin() -> Story {
        let seed = number("DRAWDOWN_CRASH_SEED").unwrap_or_else(|| RandomState::new().build_hasher().finish());
        println!("seed {seed}");
        Story { seed, cycle: 0 }
    }

    /// Chance for the cycle to come: the same for the same seed.
    fn next_cycle(&mut self) -> Random {
        self.cycle += 1;
        Random::new(self.seed.wrapping_add(self.cycle))
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// A directory with a ledger that has its currency and wallets, and the books of it.
fn begin(directory: &Path, settings: &Settings) -> Books {
    let process = Process::start_with(directory, settings);
    let mut books = Books::new();
    load::set_up(&mut Client::connect(process.address()), &mut books);
    books
}

/// Starts the server, checks it against the books, and settles there what the crash had left open.
fn restart(directory: &Path, books: &mut Books) -> Process {
    let process = Process::start(directory);
    verify::everything(&mut Client::connect(process.address()), books);
    process
}

#[test]
fn what_was_answered_survives_every_kill() {
    let mut story = Story::begin();
    let directory = tempfile::tempdir().expect("a directory");
    let mut books = begin(directory.path(), &Settings::usual());
    let cycles = number("DRAWDOWN_CRASH_CYCLES").unwrap_or(CYCLES);
    let mut process = restart(directory.path(), &mut books);
    for _ in 0..cycles {
        let mut random = story.next_cycle();
        let answers = 1 + random.below(ANSWERS_MAX);
        load::run(&mut process, &mut books, &mut random, answers, End::Kill);
        process::assert_verifies(directory.path());
        process = restart(directory.path(), &mut books);
    }
    println!("{cycles} cycles, {books}");
    assert!(books.unanswered_ever > 0 || cycles < CYCLES, "no kill ever hit a request under way: this tests nothing");
}

#[test]
fn a_kill_during_recovery_loses_nothing() {
    let mut story = Story::begin();
    let directory = tempfile::tempdir().expect("a directory");
    let mut books = begin(directory.path(), &Settings::usual());
    for _ in 0..3 {
        let mut random = story.next_cycle();
        let mut process = Process::start(directory.path());
        load::run(&mut process, &mut books, &mut random, ANSWERS_MAX, End::Kill);
        for _ in 0..5 {
            process::kill_in_recovery(directory.path(), &Settings::usual(), random.below(8));
            process::assert_verifies(directory.path());
        }
        drop(restart(directory.path(), &mut books));
    }
}

/// Cycles of kills at particular moments, unless the environment says otherwise.
const MOMENTS: u64 = 6;

/// Cycles with the same ledger. What is sent again after each cycle grows with them.
const CHAPTER: u64 = 10;

/// Bytes of the small segments.
const SEGMENT_BYTES: u64 = 128 << 10;

/// Segments of a ledger that may go.
const PAST_SEGMENTS: u64 = 40;

/// Answers after which a server is killed to which the moment has not come.
const PATIENCE: u64 = 1_500;

/// A server that makes a snapshot whenever a segment is full, and keeps less and less of the past, chapter by chapter.
fn retaining(cycle: u64) -> Settings {
    let kept = (PAST_SEGMENTS + 4).saturating_sub((cycle % CHAPTER + 1) * 4) * SEGMENT_BYTES;
    Settings::segments(SEGMENT_BYTES)
        .and("unsynced-bytes", SEGMENT_BYTES)
        .and("snapshot-log-bytes", SEGMENT_BYTES)
        .and("snapshot-memory", "64KiB")
        .and("retain-bytes", kept)
        .and("recycle-segments", true)
}

#[test]
fn kills_while_snapshots_are_made_and_segments_come_and_go_lose_nothing() {
    let mut story = Story::begin();
    let cycles = number("DRAWDOWN_CRASH_CYCLES").unwrap_or(MOMENTS);
    let mut come: BTreeMap<Moment, u64> = BTreeMap::new();
    let mut cycle = 0;
    while cycle < cycles {
        let directory = tempfile::tempdir().expect("a directory");
        let past = past::make(directory.path(), SEGMENT_BYTES, PAST_SEGMENTS);
        let mut books = begin(directory.path(), &retaining(cycle));
        let end = cycles.min(cycle + CHAPTER);
        while cycle < end {
            let mut random = story.next_cycle();
            let settings = retaining(cycle);
            let mut process = Process::start_with(directory.path(), &settings);
            let mut client = Client::connect(process.address());
            verify::everything_beside(&mut client, &mut books, past.balance());
            past.check(&mut client);
            drop(client);
            let moment = Moment::of_cycle(cycle);
            let watch = Watch::begin(directory.path(), moment);
            let mut has_come = false;
            let rest = Duration::from_millis(15);
            load::run_until(&mut process, &mut books, &mut random, rest, End::Kill, |seen, random| {
                let patience = if moment == Moment::Recovery { 50 + random.below(400) } else { PATIENCE };
                let mut answered = 0;
                while !has_come && answered < patience {
                    answered += seen.answers.try_iter().count() as u64;
                    has_come = watch.has_come();
                }
                Watch::linger(random);
            });
            process::assert_verifies(directory.path());
            if moment == Moment::Recovery {
                for _ in 0..3 {
                    process::kill_in_recovery(directory.path(), &settings, random.below(80));
                    process::assert_verifies(directory.path());
                }
                has_come = true;
            }
            *come.entry(moment).or_default() += u64::from(has_come);
            cycle += 1;
        }
        let mut process = Process::start_with(directory.path(), &retaining(cycle));
        let mut client = Client::connect(process.address());
        verify::everything_beside(&mut client, &mut books, past.balance());
        past.check(&mut client);
        drop(client);
        assert_eq!(process.terminate(), Some(0));
        process::assert_verifies(directory.path());
        println!("{cycle} cycles; this ledger: {books}; moments met: {come:?}");
    }
    assert!(cycles < MOMENTS || come.values().sum::<u64>() * 2 > cycles, "the kills met few moments: {come:?}");
}

#[test]
fn sigterm_under_load_answers_what_was_accepted() {
    let mut story = Story::begin();
    let directory = tempfile::tempdir().expect("a directory");
    let mut books = begin(directory.path(), &Settings::usual());
    for _ in 0..3 {
        let mut random = story.next_cycle();
        let mut process = Process::start(directory.path());
        load::run(&mut process, &mut books, &mut random, ANSWERS_MAX, End::Terminate);
        // What got no answer was not accepted, so it must not be there.
        let process = Process::start(directory.path());
        verify::nothing_unanswered(&mut Client::connect(process.address()), &books);
        verify::everything(&mut Client::connect(process.address()), &mut books);
    }
}
