//! The slot's protocol, run through its interleavings by loom: the real code with its real orderings, the log of [`super::model`].
//!
//! After every interleaving [`Log::audit`] checks what is forbidden in all of them:
//! - credit is made or lost: an opening that does not follow from its closing, a closing that is not its opening less the logged
//!   debits, a debit across a line on the fast path, credit below zero;
//! - a generation without a record in the log, or with two records that differ in more than their place;
//! - an operation that took place twice, or not at all though it was answered;
//! - a debit or an operation acknowledged, at the tail as read after its last swap, ahead of its own record or of the opening record
//!   of the generation that it used;
//! - a debit that tells the available credit of another generation than the one that took it;
//! - a debit's record behind the record that closed its generation;
//! - a record that is not reached from the newest one by its links, or is reached twice.
//!
//! Beside that each test lists the outcomes that are allowed (what each thread was answered, the balance at the end, the number of
//! generations), checks that no other occurs, and that each of them does. A model that is too large to finish is searched for as long
//! as its bound says, and checked for the forbidden only.
//!
//! Run with `RUSTFLAGS="--cfg drawdown_loom" cargo test --lib --release loom`.

use super::super::sync::pin;
use super::model::{Actor, FOREVER, Kind, Log, MUCH};
use loom::thread;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What each thread was answered (in the order in which the model lists them), the balance and the number of generations at the end.
type Outcome = (Vec<i64>, i64, u64);
type Work = fn(&Actor<'_>) -> i64;

struct Model {
    /// The balance in the beginning. Alert lines lie at multiples of [`STEP`].
    opening: i64,
    threads: &'static [Work],
    /// How often a thread that could go on is interrupted.
    preemptions: usize,
    /// Nobody has room in the log for a copy of another thread's operation.
    copies: bool,
    longest: Option<Duration>,
}

const STEP: i64 = 10;

fn model(opening: i64, threads: &'static [Work], preemptions: usize) -> Model {
    Model { opening, threads, preemptions, copies: true, longest: None }
}

impl Model {
    fn without_copies(self) -> Self {
        Model { copies: false, ..self }
    }

    fn for_at_most(self, longest: Duration) -> Self {
        Model { longest: Some(longest), ..self }
    }

    #[track_caller]
    fn allows(&self, allowed: &[(&[i64], i64, u64)]) {
        let allowed: BTreeSet<Outcome> =
            allowed.iter().map(|&(results, end, last)| (results.to_vec(), end, last)).collect();
        let seen = self.explore();
        let forbidden: Vec<_> = seen.difference(&allowed).collect();
        assert!(forbidden.is_empty(), "forbidden outcomes: {forbidden:?}");
        let missing: Vec<_> = allowed.difference(&seen).collect();
        assert!(missing.is_empty() || self.longest.is_some(), "the model no longer reaches {missing:?}");
    }

    fn explore(&self) -> BTreeSet<Outcome> {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(self.preemptions);
        builder.max_duration = self.longest;
        let (opening, threads, copies) = (self.opening, self.threads, self.copies);
        let seen: Arc<Mutex<BTreeSet<Outcome>>> = Arc::default();
        let runs: Arc<AtomicUsize> = Arc::default();
        let (found, counted) = (Arc::clone(&seen), Arc::clone(&runs));
        let begun = Instant::now();
        builder.check(move || {
            counted.fetch_add(1, Relaxed);
            let outcome = interleaving(opening, threads, copies);
            found.lock().expect("not poisoned").insert(outcome);
        });
        println!("{} interleavings, {:.1?}", runs.load(Relaxed), begun.elapsed());
        seen.lock().expect("not poisoned").clone()
    }
}

/// Runs the threads in the order that loom chooses this time, and audits.
fn interleaving(opening: i64, threads: &'static [Work], copies: bool) -> Outcome {
    let log = Log::new();
    let slot = log.open(opening, STEP, FOREVER);
    let shared = Arc::new((slot, log));
    let start = |name: usize, work: Work| {
        let shared = Arc::clone(&shared);
        move || {
            let actor = Actor::new(&shared.0, &shared.1, name as u64);
            let actor = if copies { actor } else { actor.without_room() };
            (work(&actor), actor.answered())
        }
    };
    // The main thread does the last one's work.
    let (last, others) = threads.split_last().expect("there are threads");
    let spawned: Vec<_> = others.iter().enumerate().map(|(name, &work)| thread::spawn(start(name, work))).collect();
    let own = start(others.len(), *last)();
    let ends = spawned.into_iter().map(|thread| thread.join().expect("no thread panicked")).chain([own]);
    let (results, answers): (Vec<_>, Vec<_>) = ends.collect::<Vec<_>>().into_iter().unzip();
    let (slot, log) = &*shared;
    let generations = log.audit(slot, &answers);
    let balance = slot.read(&pin()).expect("open").balance;
    // SAFETY: the other threads are joined.
    unsafe { slot.free() };
    (results, balance, generations)
}

fn debit_3(actor: &Actor<'_>) -> i64 {
    actor.debit(3, 0).into()
}
fn debit_4(actor: &Actor<'_>) -> i64 {
    actor.debit(4, 0).into()
}
fn debit_9(actor: &Actor<'_>) -> i64 {
    actor.debit(9, 0).into()
}
fn crossing_12(actor: &Actor<'_>) -> i64 {
    actor.debit(12, 0).into()
}
fn grant_5(actor: &Actor<'_>) -> i64 {
    actor.grant(5);
    1
}
fn grant_20(actor: &Actor<'_>) -> i64 {
    actor.grant(20);
    1
}
fn read(actor: &Actor<'_>) -> i64 {
    actor.slot.read(&pin()).expect("open").balance
}
fn read_settled(actor: &Actor<'_>) -> i64 {
    actor.slot.read_settled(actor, &pin()).expect("open").balance
}

/// Ends what it read, if nothing else has, by granting 1.
fn end_what_is_read(actor: &Actor<'_>) -> i64 {
    let guard = pin();
    let reading = actor.slot.read(&guard).expect("open");
    actor.change(&reading, Kind::Grant(1), &guard).is_some().into()
}

/// (a) Both debits take place. Forbidden: one is lost, or both are answered the same position.
#[test]
fn debit_and_debit() {
    model(49, &[debit_3, debit_4], 4).allows(&[(&[1, 1], 42, 1)]);
}

/// (a) With enough for one only. Forbidden: both are accepted, or both refused.
#[test]
fn debit_and_debit_on_little_credit() {
    model(6, &[debit_3, debit_4], 3).allows(&[(&[1, 0], 3, 1), (&[0, 1], 2, 1)]);
}

/// (b) The debit falls into the first generation, or into the second.
#[test]
fn debit_and_grant() {
    model(49, &[debit_3, grant_5], 2).allows(&[(&[1, 1], 51, 2)]);
}

/// (b) Where what is available differs from the balance: the debit tells the adjustment of the generation that took it (checked by the
/// audit), in the first generation by the slow path, for nothing was told of it yet.
#[test]
fn debit_that_tells_more_than_the_balance_and_grant() {
    model(MUCH + 49, &[debit_3, grant_5], 2).allows(&[(&[1, 1], MUCH + 51, 2)]);
}

/// (b) Both operations tell something, and whoever comes late to the first one's opening writes over nothing.
#[test]
fn debit_that_tells_more_than_the_balance_and_two_grants() {
    let model = model(MUCH + 49, &[debit_3, grant_5, grant_20], 1).for_at_most(Duration::from_secs(25));
    model.allows(&[(&[1, 1, 1], MUCH + 71, 3)]);
}

/// (c) One is installed, the other one helps it, fails, and is installed on the next generation. Forbidden: one of them is lost, or
/// takes place twice.
#[test]
fn grant_and_grant() {
    model(49, &[grant_5, grant_20], 2).allows(&[(&[1, 1], 74, 3)]);
}

/// (c) The same when the one that helps cannot log for the other one: it waits.
#[test]
fn grant_and_grant_without_copies() {
    model(49, &[grant_5, grant_20], 2).without_copies().allows(&[(&[1, 1], 74, 3)]);
}

/// (d) The debit that crosses a line is an operation, the other debit is not. 49 - 12 + 5 = 42 leaves too little above the line for
/// the debit, so that in this order it is an operation too.
#[test]
fn crossing_grant_and_debit() {
    model(49, &[crossing_12, grant_5, debit_3], 1).allows(&[(&[1, 1, 1], 39, 3), (&[1, 1, 1], 39, 4)]);
}

/// (d) Credit for one of them. Either the crossing comes first and the debit finds 7; or the debit comes first, and the crossing is
/// refused: before it is installed, for it reads 10; or after, for 10 is the closing balance. Forbidden: both are accepted.
#[test]
fn crossing_and_debit_on_little_credit() {
    model(19, &[crossing_12, debit_9], 3).allows(&[(&[1, 0], 7, 2), (&[0, 1], 10, 1), (&[0, 1], 10, 2)]);
}

/// (e) Two crossings.
#[test]
fn crossing_and_crossing() {
    model(49, &[crossing_12, crossing_12], 2).allows(&[(&[1, 1], 25, 3)]);
}

/// (e) Three crossings are three operations.
#[test]
fn three_crossings() {
    model(49, &[crossing_12, crossing_12, crossing_12], 1).for_at_most(Duration::from_secs(25)).allows(&[(
        &[1, 1, 1],
        13,
        4,
    )]);
}

/// (f) A reading is that of an instant: before or after the grant, before or after the debit.
#[test]
fn read_during_a_grant_and_a_debit() {
    let allowed: &[(&[i64], i64, u64)] =
        &[(&[1, 1, 49], 51, 2), (&[1, 1, 46], 51, 2), (&[1, 1, 54], 51, 2), (&[1, 1, 51], 51, 2)];
    model(49, &[grant_5, debit_3, read], 2).allows(allowed);
}

/// (f) The same when the reader helps.
#[test]
fn settled_read_during_a_grant_and_a_debit() {
    let allowed: &[(&[i64], i64, u64)] =
        &[(&[1, 1, 49], 51, 2), (&[1, 1, 46], 51, 2), (&[1, 1, 54], 51, 2), (&[1, 1, 51], 51, 2)];
    model(49, &[grant_5, debit_3, read_settled], 1).allows(allowed);
}

/// A generation that was read may be ended although its opener has not swung the pointer to it yet. Forbidden: the end is done and
/// the pointer has not left what was ended (checked in [`Actor::change`]).
#[test]
fn the_generation_that_was_read_is_ended() {
    model(49, &[grant_5, end_what_is_read], 2).allows(&[(&[1, 1], 55, 3), (&[1, 0], 54, 2)]);
}
