//! Groups, run through their interleavings by loom: the real code with its real orderings, the two wallets of [`super::model`].
//!
//! After every interleaving [`Log::audit`] checks what is forbidden in all of them: behind whatever frame the log is cut, no part of a group
//! is there without the others; generations, debits, closings and links of each wallet fit together; what was answered is in the log, and
//! was covered by its tail; nothing in the log went unanswered. Beside that each test lists the outcomes that are allowed: what each thread
//! was answered, and the balances at the end.
//!
//! The bounds on preemptions are what a whole run has time for. With one more, these passed too: a group and a debit of either wallet (250 000
//! interleavings each), two groups the other way about (1.9 million).

use super::super::super::sync::pin;
use super::model::{Actor, Hand, Log};
use loom::thread;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Outcome = (Vec<i64>, [i64; 2]);
type Work = fn(&Actor<'_>) -> i64;

struct Model {
    openings: [i64; 2],
    threads: &'static [Work],
    /// How often a thread that could go on is interrupted.
    preemptions: usize,
    /// Nobody has room in the log for a copy of another thread's operation.
    copies: bool,
    /// Where it is given, the search may end before it has seen everything, and says so.
    longest: Option<Duration>,
}

fn model(openings: [i64; 2], threads: &'static [Work], preemptions: usize) -> Model {
    Model { openings, threads, preemptions, copies: true, longest: None }
}

impl Model {
    fn without_copies(self) -> Self {
        Model { copies: false, ..self }
    }

    fn for_at_most(self, longest: Duration) -> Self {
        Model { longest: Some(longest), ..self }
    }

    #[track_caller]
    fn allows(&self, allowed: &[(&[i64], [i64; 2])]) {
        let allowed: BTreeSet<Outcome> = allowed.iter().map(|(results, end)| (results.to_vec(), *end)).collect();
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
        builder.max_branches = 10_000;
        let (openings, threads, copies) = (self.openings, self.threads, self.copies);
        let seen: Arc<Mutex<BTreeSet<Outcome>>> = Arc::default();
        let runs: Arc<AtomicUsize> = Arc::default();
        let (found, counted) = (Arc::clone(&seen), Arc::clone(&runs));
        let begun = Instant::now();
        builder.check(move || {
            counted.fetch_add(1, Relaxed);
            let outcome = interleaving(openings, threads, copies);
            found.lock().expect("not poisoned").insert(outcome);
        });
        let cut_off = self.longest.is_some_and(|longest| begun.elapsed() >= longest);
        let end = if cut_off { ", cut off by its time" } else { "" };
        println!("{} interleavings, {:.1?}{end}", runs.load(Relaxed), begun.elapsed());
        seen.lock().expect("not poisoned").clone()
    }
}

fn interleaving(openings: [i64; 2], threads: &'static [Work], copies: bool) -> Outcome {
    let log = Log::new();
    let slots = [log.open(0, openings[0]), log.open(1, openings[1])];
    let shared = Arc::new((slots, log));
    let start = |name: usize, work: Work| {
        let shared = Arc::clone(&shared);
        move || {
            let hand = Hand::new(name as u64);
            let result = work(&Actor::new(&shared.0, &shared.1, &hand, copies));
            (result, hand.answered.into_inner())
        }
    };
    let (last, others) = threads.split_last().expect("there are threads");
    let spawned: Vec<_> = others.iter().enumerate().map(|(name, work)| thread::spawn(start(name, *work))).collect();
    let own = start(others.len(), *last)();
    let ends = spawned.into_iter().map(|thread| thread.join().expect("no thread panicked")).chain([own]);
    let (results, answers): (Vec<_>, Vec<_>) = ends.collect::<Vec<_>>().into_iter().unzip();
    let (slots, log) = &*shared;
    log.audit(slots, &answers);
    let balances = [0, 1].map(|slot: usize| slots[slot].read(&pin()).expect("open").balance);
    for slot in slots {
        // SAFETY: the other threads are joined.
        unsafe { slot.free() };
    }
    (results, balances)
}

fn transfer_5(actor: &Actor<'_>) -> i64 {
    actor.transfer(5, [1, 1]).into()
}
fn transfer_7_back(actor: &Actor<'_>) -> i64 {
    actor.transfer(-7, [1, 1]).into()
}
/// As a group does in which several events are one wallet's.
fn long_transfer_5(actor: &Actor<'_>) -> i64 {
    actor.transfer(5, [2, 1]).into()
}
fn debit_3_first(actor: &Actor<'_>) -> i64 {
    actor.debit(0, 3).into()
}
fn debit_3_second(actor: &Actor<'_>) -> i64 {
    actor.debit(1, 3).into()
}
fn grant_2_second(actor: &Actor<'_>) -> i64 {
    actor.grant(1, 2);
    1
}
fn read(actor: &Actor<'_>) -> i64 {
    let [first, second] = actor.read(0);
    first * 1000 + second
}
fn read_back(actor: &Actor<'_>) -> i64 {
    let [first, second] = actor.read(1);
    first * 1000 + second
}

#[test]
fn group_and_debit_of_the_first() {
    model([29, 24], &[transfer_5, debit_3_first], 2).allows(&[(&[1, 1], [21, 29])]);
}

#[test]
fn group_and_debit_of_the_second() {
    model([29, 24], &[transfer_5, debit_3_second], 2).allows(&[(&[1, 1], [24, 26])]);
}

/// The debit lands in a generation whose number is two behind the one it began with.
#[test]
fn group_of_two_generations_and_debit() {
    model([29, 24], &[long_transfer_5, debit_3_first], 2).allows(&[(&[1, 1], [21, 29])]);
}

/// Credit for one of both. The group may be refused although it was installed: then neither wallet is changed.
#[test]
fn group_and_debit_on_little_credit() {
    model([6, 24], &[transfer_5, debit_3_first], 3).allows(&[(&[1, 0], [1, 29]), (&[0, 1], [3, 24])]);
}

/// The group is abandoned where the grant comes between its two installations.
#[test]
fn group_and_grant() {
    model([29, 24], &[transfer_5, grant_2_second], 2).allows(&[(&[1, 1], [24, 31])]);
}

#[test]
fn group_and_group_the_other_way() {
    model([29, 24], &[transfer_5, transfer_7_back], 1).allows(&[(&[1, 1], [31, 22])]);
}

#[test]
fn group_and_group_without_copies() {
    model([29, 24], &[transfer_5, transfer_7_back], 1).without_copies().allows(&[(&[1, 1], [31, 22])]);
}

/// Forbidden: a reader who sees the first wallet after the group, then the second one before it, or the other way about.
#[test]
fn group_and_readers() {
    model([29, 24], &[transfer_5, read], 3).allows(&[
        (&[1, 29_024], [24, 29]),
        (&[1, 24_029], [24, 29]),
        // Read before the group and after it.
        (&[1, 29_029], [24, 29]),
    ]);
    model([29, 24], &[transfer_5, read_back], 3).allows(&[
        (&[1, 29_024], [24, 29]),
        (&[1, 24_029], [24, 29]),
        (&[1, 24_024], [24, 29]),
    ]);
}

/// With a debit on each side.
#[test]
fn group_and_debits_of_both() {
    model([29, 24], &[transfer_5, debit_3_first, debit_3_second], 1).allows(&[(&[1, 1, 1], [21, 26])]);
}

/// Its 860 000 interleavings take more than two minutes (they pass).
#[test]
fn groups_both_ways_and_a_debit() {
    let model = model([29, 24], &[transfer_5, transfer_7_back, debit_3_first], 1).for_at_most(Duration::from_secs(20));
    model.allows(&[(&[1, 1, 1], [28, 22])]);
}
