//! The stories are put to the test: bugs are planted, and stories must go wrong of each before long.

use drawdown_wal::planted::{Bug, plant};

use super::run;

/// Stories within which a bug must be found.
const STORIES: u64 = 100;

#[test]
fn each_planted_bug_is_found() {
    let seeds: Vec<u64> = (0..STORIES).collect();
    // Stories are to go wrong here, and need not be told.
    std::panic::set_hook(Box::new(|_| ()));
    for bug in [
        Bug::CreditsLateMoneyTwice,
        Bug::CreditsAgainAfterCrash,
        Bug::ChargesBeforeIntent,
        Bug::CountsNoPurchase,
        Bug::TakesBackAgainAfterCrash,
        Bug::FreezesNothing,
        Bug::CreditsPartsAsWhole,
    ] {
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
