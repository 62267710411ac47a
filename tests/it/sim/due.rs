//! What falls due is carried out by whoever comes next, and may leave nothing to be seen in the history. If a crash takes the operation that
//! did it, it has not happened, and is due still: the engine shows so, and the books must not keep it. (Found by stories, seeds 201 and 204.)

use drawdown::engine::Engine;
use drawdown_wal::sim::Disk;

use super::{Run, fresh_disk, open};
use crate::books::{Ask, BEGIN, Books, Step, Usage, WalletNumber, When, at, feed};
use crate::engine_props::grant_of;
use crate::model::Level;

const WALLET: WalletNumber = WalletNumber(0);

/// A ledger in which some steps were acknowledged.
struct Acknowledged {
    run: Run,
    disk: Disk,
    engine: Engine,
}

impl Acknowledged {
    fn after(steps: &[Step]) -> Acknowledged {
        let (mut run, disk) = (Run::new(), fresh_disk());
        let engine = open(&disk, &run.clock);
        for step in steps {
            let ticket = run.books.make(step, &engine, &run.clock).expect("a healthy engine");
            if let Some(ticket) = ticket {
                ticket.wait().expect("a healthy log");
            }
        }
        run.acknowledged = run.books.step;
        Acknowledged { run, disk, engine }
    }

    /// Some ms pass, what is due is carried out, and that is lost. The engine is opened again when the clock stands so many ms behind the
    /// beginning.
    fn lose_what_was_due(mut self, passes: u64, clock: u64) -> (Books, Engine, Run) {
        let durable = self.engine.log().durable().get();
        for step in [Step::Pause(passes), Step::Tidy] {
            let _ = self.run.books.make(&step, &self.engine, &self.run.clock).expect("a healthy engine");
        }
        assert!(self.engine.log().tail().get() > durable, "something was due");
        // Nothing but what is durable.
        let left = self.disk.crash_keeping(0, 0);
        self.run.clock.set(at(BEGIN + clock));
        let engine = open(&left, &self.run.clock);
        assert_eq!(engine.now(), at(BEGIN + clock));
        let mut books = self.run.books.cut_back(&engine, self.run.acknowledged);
        books.now = engine.now().millis();
        (books, engine, self.run)
    }
}

fn debit(id: u32, units: i64) -> Step {
    let (ask, time) = (Ask::Units(units), When::Unsaid);
    Step::Batch(vec![Usage { id, source: 0, wallet: WALLET, ask, time, policy: None }])
}

#[test]
fn a_commitment_whose_end_was_lost_counts_where_the_clock_was_set_back_before_it() {
    let steps = [Step::Grant(grant_of(WALLET.0, 100)), Step::Commit(WALLET, vec![(11, Some(5)), (2, None)])];
    for (clock, committed) in [(0, 13), (4, 13), (5, 2), (10, 2), (20, 2)] {
        let (mut books, engine, run) = Acknowledged::after(&steps).lose_what_was_due(10, clock);
        let view = engine.wallet(WALLET.customer(), WALLET.currency()).expect("a wallet");
        assert_eq!(view.committed.units(), committed, "at {clock} ms");
        books.audit(&engine);
        for step in [Step::Pause(5), Step::Tidy, debit(1, 3)] {
            let _ = books.make(&step, &engine, &run.clock).expect("a healthy engine");
        }
        books.audit(&engine);
    }
}

#[test]
fn an_alert_that_was_held_back_and_whose_telling_was_lost_is_told_once_by_whoever_comes_next() {
    let low = Level { interval: 30, ..Level::plain("low".to_owned(), 50, false, 0) };
    let steps = [
        Step::Grant(grant_of(WALLET.0, 100)),
        Step::Alerts(WALLET, vec![low]),
        debit(1, 60),
        Step::Grant(grant_of(WALLET.0, 40)),
        Step::Pause(10),
        // Within the interval: nobody is told.
        debit(2, 40),
    ];
    for clock in [10, 29, 30, 40, 45] {
        let (mut books, engine, run) = Acknowledged::after(&steps).lose_what_was_due(30, clock);
        books.audit(&engine);
        for step in [Step::Pause(30), Step::Tidy] {
            let _ = books.make(&step, &engine, &run.clock).expect("a healthy engine");
        }
        books.audit(&engine);
        let told = feed(&engine, 50).iter().filter(|event| event.kind == "balance.low").count();
        assert_eq!(told, 2, "the first crossing and the second");
        // Within the interval of the second time, which began when it was told.
        for step in [Step::Grant(grant_of(WALLET.0, 40)), Step::Pause(20), debit(3, 40), Step::Pause(9), Step::Tidy] {
            let _ = books.make(&step, &engine, &run.clock).expect("a healthy engine");
            books.audit(&engine);
        }
        let told = feed(&engine, 50).iter().filter(|event| event.kind == "balance.low").count();
        assert_eq!(told, 2, "nobody is told within the interval");
    }
}
