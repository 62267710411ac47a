//! Running stories: a few with every test, one to replay it, or thousands by night.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::seeds;
use super::story::{Tally, tell};

/// Seeds after which it is told how far a long run is.
const PROGRESS: u64 = 500;

/// The seeds of stories that went wrong, of those below `end` from `first` on, and what happened in the others. Stops at the first of them if
/// so told. Several threads tell stories; each story is told by one.
pub(super) fn run(seeds: &[u64], stop_at_first: bool) -> (Vec<u64>, Tally) {
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let (failed, tally) = (Mutex::new(Vec::new()), Mutex::new(Tally::default()));
    let tell_some = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            if let Ok(told) = catch_unwind(AssertUnwindSafe(|| tell(*seed))) {
                tally.lock().expect("nobody fails with it").add(&told);
            } else {
                failed.lock().expect("nobody fails with it").push(*seed);
                if stop_at_first {
                    next.store(u64::MAX / 2, Ordering::Relaxed);
                }
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(PROGRESS) {
                let failed = failed.lock().expect("nobody fails with it").len();
                println!("{done} of {} stories told, {failed} went wrong", seeds.len());
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(seeds.len());
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(tell_some))));
    let mut failed = failed.into_inner().expect("nobody failed with it");
    failed.sort_unstable();
    (failed, tally.into_inner().expect("nobody failed with it"))
}

/// The first of this many seeds, or the one, or the many that the environment asks for: see [`super`]. `DRAWDOWN_SIM_FIRST` moves them.
#[test]
fn stories_of_failing_disks_end_well() {
    let first: u64 = std::env::var("DRAWDOWN_SIM_FIRST").map_or(0, |first| first.parse().expect("a number"));
    let replayed = std::env::var("DRAWDOWN_SIM_SEED").is_ok();
    let seeds: Vec<u64> = seeds(25).into_iter().map(|seed| if replayed { seed } else { first + seed }).collect();
    let (failed, tally) = run(&seeds, false);
    println!("{tally:?}");
    assert!(failed.is_empty(), "{} of {} stories went wrong; their seeds: {failed:?}", failed.len(), seeds.len());
    // A simulation that does not get there is none.
    let reached = [tally.crashes, tally.cuts_in_recovery, tally.poisoned, tally.opened_from_snapshot, tally.retired];
    assert!(seeds.len() < 10 || reached.iter().all(|count| *count > 0), "{tally:?}");
    assert!(seeds.len() < 100 || tally.refused_for_space > 0, "{tally:?}");
}
