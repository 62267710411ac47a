//! The real server, killed under load and started again on the same directory, many times over.
//!
//! Several connections send batches, single events, grants, and repetitions of all of them. Independent books note what was answered.
//! At an instant that the seed decides, counted in answers and not in time, the process gets SIGKILL. Started again, the server must know
//! everything that it had answered, exactly once, and say of it what it had said; what was not answered may be there or not, but not
//! twice; and balances, histories and alert levels must follow from the books alone. Then the next cycle goes on with the same data.
//!
//! What this does not test is the loss of power: what a killed process had written to its files is there, synced or not. The simulated medium
//! does that.
//!
//! `DRAWDOWN_CRASH_CYCLES` sets the number of cycles, `DRAWDOWN_CRASH_SEED` the seed; a failure prints both.

mod books;
#[allow(dead_code, reason = "shared with the tests of full and broken disks")]
mod client;
mod load;
#[allow(dead_code, reason = "shared with the tests of full and broken disks")]
mod process;
mod random;
mod verify;

use books::Books;
use client::Client;
use load::End;
use process::Process;
use random::Random;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;

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
fn begin(directory: &Path) -> Books {
    let process = Process::start(directory);
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
    let mut books = begin(directory.path());
    let cycles = number("DRAWDOWN_CRASH_CYCLES").unwrap_or(CYCLES);
    let mut process = restart(directory.path(), &mut books);
    for _ in 0..cycles {
        let mut random = story.next_cycle();
        let answers = 1 + random.below(ANSWERS_MAX);
        load::run(&mut process, &mut books, &mut random, answers, End::Kill);
        process = restart(directory.path(), &mut books);
    }
    println!("{cycles} cycles, {books}");
    assert!(books.unanswered_ever > 0 || cycles < CYCLES, "no kill ever hit a request under way: this tests nothing");
}

#[test]
fn a_kill_during_recovery_loses_nothing() {
    let mut story = Story::begin();
    let directory = tempfile::tempdir().expect("a directory");
    let mut books = begin(directory.path());
    for _ in 0..3 {
        let mut random = story.next_cycle();
        let mut process = Process::start(directory.path());
        load::run(&mut process, &mut books, &mut random, ANSWERS_MAX, End::Kill);
        for _ in 0..5 {
            process::kill_in_recovery(directory.path(), random.below(8));
        }
        drop(restart(directory.path(), &mut books));
    }
}

#[test]
fn sigterm_under_load_answers_what_was_accepted() {
    let mut story = Story::begin();
    let directory = tempfile::tempdir().expect("a directory");
    let mut books = begin(directory.path());
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
