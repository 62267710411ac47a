//! The simulation is put to the test: bugs are planted, and stories must go wrong of each before long.
//!
//! Recovery that trusts frames of a lower run than the one before cannot be found here: what stands behind the end of the log is zeroed before
//! anything is appended, so that no story meets such a frame. That the zeroing itself is lost is tried in `wal/tests/faults.rs`.

use drawdown_wal::planted::{Bug, plant};

use super::stories::run;

/// Stories within which a bug must be found.
const STORIES: u64 = 200;

#[test]
fn each_planted_bug_is_found() {
    let seeds: Vec<u64> = (0..STORIES).collect();
    // Stories are to go wrong here, and need not be told.
    std::panic::set_hook(Box::new(|_| ()));
    for bug in [Bug::AnswersBeforeSync, Bug::ForgetsUnopenedDebits] {
        plant(Some(bug));
        let (failed, tally) = run(&seeds, true);
        plant(None);
        println!("{bug:?}: {} stories ended well, and {failed:?} did not", tally.stories);
        if failed.is_empty() {
            drop(std::panic::take_hook());
            panic!("{bug:?} was not found in {STORIES} stories");
        }
    }
    drop(std::panic::take_hook());
}
