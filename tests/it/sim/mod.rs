//! The engine on the simulated disk: the power is cut at every sync, pages are torn and lost, syncs fail, and recovery is cut itself.
//!
//! A workload is made of a seed, submitted on one thread, and entered into the books. After a cut the engine is opened on what is left,
//! and must hold a beginning of the books: everything acknowledged, each exactly once and with its outcome, nothing out of order, and
//! histories, feed and balances that agree. Then everything is sent again.
//!
//! Beside these, which try every place, [`story`] tells whole stories by chance, thousands of them.
//!
//! `DRAWDOWN_SIM_SEED=<seed> cargo test --test it sim` replays one seed; `DRAWDOWN_SIM_SEEDS=<count>` runs more. With `DRAWDOWN_SIM_TRACE=1`
//! stories say each thing that they do, with the log's end and the time, ms, before it.

mod damage;
mod due;
mod flips;
#[cfg(drawdown_planted)]
mod planted;
mod room;
mod spill;
mod stories;
mod story;
mod verify;
mod workload;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use drawdown::engine::{Engine, ManualClock, Ticket, Unavailable};
use drawdown::journal::admin::{self, AdminRecord, Genesis};
use drawdown::journal::frame::{Prelude, kind};
use drawdown_wal::sim::{Cut, Disk, Random};
use drawdown_wal::{Log, frame_bytes};

use crate::books::{BEGIN, Books, Step, at, config, set_up};

const SEGMENT_BYTES: u64 = 64 << 10;
const CUTS: [Cut; 3] = [Cut::Before, Cut::During, Cut::After];

/// Says how to replay what failed.
struct Replay {
    seed: u64,
    doing: String,
}

impl Replay {
    fn new(seed: u64) -> Self {
        Replay { seed, doing: String::new() }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("while {}: replay with `make sim SEED={}`, which is", self.doing, self.seed);
            eprintln!("    DRAWDOWN_SIM_SEED={} cargo test --release --test it sim:: -- --nocapture", self.seed);
        }
    }
}

/// The seeds to run: the one that is asked for, or the first few.
pub(crate) fn seeds(usual: u64) -> Vec<u64> {
    let variable = |name: &str| std::env::var(name).ok().map(|value| value.parse().expect("a number"));
    match variable("DRAWDOWN_SIM_SEED") {
        Some(seed) => vec![seed],
        None => (0..variable("DRAWDOWN_SIM_SEEDS").unwrap_or(usual)).collect(),
    }
}

/// Appends one administrative record, as the engine would.
pub(crate) fn append_admin(log: &Log, record: &AdminRecord) -> u64 {
    let (mut bytes, distance) = (record.encode(), Prelude::length(""));
    admin::place(&mut bytes, distance as u32);
    let length = distance + bytes.len();
    let admission = log.admit(frame_bytes(length as u64)).expect("room");
    let mut frame = admission.reserve(kind::ADMIN, length);
    let lsn = frame.payload_lsn().get() + distance as u64;
    Prelude { time: at(BEGIN), source: "" }.write(frame.payload_mut());
    frame.payload_mut()[distance..length].copy_from_slice(&bytes);
    log.wait_durable(frame.publish(length, 1)).expect("a healthy log");
    lsn
}

/// A disk with a ledger that has its currencies and meters and nothing else. The ledger's secret is written by hand: were it random, so
/// would be the lengths of records, and no fault would replay.
fn fresh_disk() -> Disk {
    fresh_disk_of(SEGMENT_BYTES)
}

/// The same with segments of so many bytes.
fn fresh_disk_of(segment_bytes: u64) -> Disk {
    static IMAGES: Mutex<BTreeMap<u64, BTreeMap<u64, Vec<u8>>>> = Mutex::new(BTreeMap::new());
    let mut made = IMAGES.lock().unwrap_or_else(PoisonError::into_inner);
    let images = made.entry(segment_bytes).or_insert_with(|| {
        let disk = Disk::new();
        let (log, _) = Log::open_on(disk.medium(), config(segment_bytes).log).expect("an empty disk");
        append_admin(&log, &AdminRecord::Genesis(Genesis { seed: [7; 32], created_ms: BEGIN }));
        log.close().expect("a healthy log");
        drop(log);
        let clock = Arc::new(ManualClock::new(at(BEGIN)));
        let (engine, _) = Engine::open_on(disk.medium(), config(segment_bytes), clock).expect("a new ledger");
        set_up(&engine).expect("currencies and meters");
        engine.close().expect("a healthy log");
        disk.images()
    });
    Disk::from_images(images.clone())
}

/// The segments of a ledger that a workload made.
pub(crate) fn some_ledger() -> BTreeMap<u64, Vec<u8>> {
    let (mut run, disk) = (Run::new(), fresh_disk());
    let engine = open(&disk, &run.clock);
    run.make(&engine, &workload::steps_with_holds(9, 120), &mut Random::new(9)).expect("nothing fails");
    engine.close().expect("a healthy log");
    disk.images()
}

fn copy(disk: &Disk) -> Disk {
    Disk::from_images(disk.images())
}

fn open(disk: &Disk, clock: &Arc<ManualClock>) -> Engine {
    let clock = Arc::clone(clock);
    Engine::open_on(disk.medium(), config(SEGMENT_BYTES), clock).expect("what is left can be opened").0
}

/// A run of a workload up to its end or the first failure of the disk.
struct Run {
    books: Books,
    clock: Arc<ManualClock>,
    /// The last step whose ticket has resolved. All before it are durable as well.
    acknowledged: usize,
}

impl Run {
    fn new() -> Self {
        Run { books: Books::new(), clock: Arc::new(ManualClock::new(at(BEGIN))), acknowledged: 0 }
    }

    /// Makes the steps. When and what is synced is a matter of the seed.
    fn make(&mut self, engine: &Engine, steps: &[Step], random: &mut Random) -> Result<(), Unavailable> {
        let mut open: Vec<(usize, Ticket)> = Vec::new();
        for step in steps {
            let ticket = self.books.make(step, engine, &self.clock)?;
            open.extend(ticket.map(|ticket| (self.books.step, ticket)));
            match random.below(6) {
                0 | 1 => {
                    engine.log().pump();
                }
                2 => {
                    if let Some((number, ticket)) = open.pop() {
                        ticket.wait()?;
                        self.acknowledged = self.acknowledged.max(number);
                    }
                }
                _ => {}
            }
            for (number, _) in open.extract_if(.., |(_, ticket)| ticket.is_durable()) {
                self.acknowledged = self.acknowledged.max(number);
            }
            engine.health()?;
        }
        engine.barrier().wait()?;
        self.acknowledged = self.books.step;
        Ok(())
    }

    /// Opens the engine on what a fault left, compares, sends everything again, and opens it once more.
    fn recover(&self, left: &Disk, random: &mut Random) {
        verify::assert_sound(left);
        let mut books = {
            let engine = open(left, &self.clock);
            let books = self.books.cut_back(&engine, self.acknowledged);
            books.audit(&engine);
            books
        };
        books.audit(&open(left, &self.clock));
        let engine = open(left, &self.clock);
        if random.below(2) == 0 {
            engine.tidy();
            books.make(&Step::Tidy, &engine, &self.clock).expect("a healthy engine");
        }
        books.send_all_again(&engine);
        books.audit(&engine);
        drop(engine);
        verify::assert_sound(left);
        books.audit(&open(left, &self.clock));
    }

    /// Cuts the power again at every sync of opening the engine on what is left.
    fn recover_under_cuts(&self, left: &Disk, random: &mut Random) {
        for sync in 1.. {
            let disk = copy(left);
            disk.cut_power_at(sync, CUTS[random.below(3) as usize], random.draw());
            if let Ok((engine, _)) = Engine::open_on(disk.medium(), config(SEGMENT_BYTES), self.clock.clone()) {
                let _ = engine.barrier().wait();
            }
            let Some(left) = disk.left() else { return };
            let engine = open(&left, &self.clock);
            self.books.cut_back(&engine, self.acknowledged).audit(&engine);
        }
    }
}

#[test]
fn a_power_cut_at_any_sync_leaves_everything_acknowledged_and_a_beginning_of_the_rest() {
    for seed in seeds(2) {
        let mut replay = Replay::new(seed);
        let steps = workload::steps_with_holds(seed, 20);
        replay.doing = "nothing fails".to_owned();
        let (mut run, disk) = (Run::new(), fresh_disk());
        let engine = open(&disk, &run.clock);
        run.make(&engine, &steps, &mut Random::new(seed)).expect("nothing fails");
        run.books.audit(&engine);
        drop(engine);
        let syncs = disk.syncs();
        assert!(syncs > 5);
        for sync in 1..=syncs {
            for cut in CUTS {
                replay.doing = format!("cutting the power at sync {sync}, {cut:?}");
                let (mut run, disk) = (Run::new(), fresh_disk());
                let mut random = Random::new(seed ^ sync << 32);
                disk.cut_power_at(sync, cut, random.draw());
                let opened = Engine::open_on(disk.medium(), config(SEGMENT_BYTES), run.clock.clone());
                if let Ok((engine, _)) = opened
                    && run.make(&engine, &steps, &mut Random::new(seed)).is_err()
                {
                    assert_refuses(&engine, &mut run);
                }
                let left = disk.left().expect("the sync was reached, if only by the closing");
                if random.below(4) == 0 {
                    run.recover_under_cuts(&left, &mut random);
                }
                run.recover(&left, &mut random);
            }
        }
    }
}

/// A log that has failed takes nothing, promises nothing, and says so.
fn assert_refuses(engine: &Engine, run: &mut Run) {
    assert!(matches!(engine.health(), Err(Unavailable::Poisoned(_))), "{:?}", engine.health());
    let tail = engine.log().tail();
    let batch = Step::Batch(vec![workload::usage(1 << 20)]);
    let refused = run.books.clone().make(&batch, engine, &run.clock);
    assert!(matches!(refused, Err(Unavailable::Poisoned(_))), "{refused:?}");
    assert_eq!(engine.log().tail(), tail, "a refused batch leaves no trace");
    let barrier = engine.barrier();
    if !barrier.is_durable() {
        assert!(matches!(barrier.wait(), Err(Unavailable::Poisoned(_))));
    }
}

#[test]
fn a_tail_torn_anywhere_is_cut_back_to_a_beginning() {
    for seed in seeds(3) {
        let mut replay = Replay::new(seed);
        let steps = workload::steps_with_holds(seed ^ 0x7ea2, 18);
        let (mut run, disk) = (Run::new(), fresh_disk());
        let engine = open(&disk, &run.clock);
        let (first, last) = steps.split_at(steps.len() / 2);
        run.make(&engine, first, &mut Random::new(seed)).expect("nothing fails");
        let durable = engine.log().durable().get();
        for step in last {
            // Nothing is synced from here on, save by those steps that wait for it themselves.
            let _ = run.books.make(step, &engine, &run.clock).expect("nothing fails");
        }
        let tail = engine.log().tail().get();
        let mut random = Random::new(seed);
        for sector in (durable / 512..=tail / 512).step_by(1) {
            replay.doing = format!("keeping what lies before sector {sector}");
            let left = disk.crash_keeping(sector * 512 / SEGMENT_BYTES, sector * 512 % SEGMENT_BYTES);
            run.recover(&left, &mut random);
        }
        for _ in 0..6 {
            let crash = random.draw();
            replay.doing = format!("tearing pages by {crash}");
            let left = disk.crash(crash);
            run.recover_under_cuts(&left, &mut random);
            run.recover(&left, &mut random);
        }
        replay.doing = "killing the process".to_owned();
        let run = Run { acknowledged: run.books.step, ..run };
        run.recover(&disk.kill(), &mut random);
    }
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_reopening_is_clean() {
    for seed in seeds(3) {
        let mut replay = Replay::new(seed);
        let steps = workload::steps_with_holds(seed ^ 0xfa11, 18);
        for sync in 2..16 {
            replay.doing = format!("failing sync {sync}");
            let (mut run, disk) = (Run::new(), fresh_disk());
            let engine = open(&disk, &run.clock);
            disk.fail_sync(sync);
            let Err(error) = run.make(&engine, &steps, &mut Random::new(seed)) else { continue };
            assert!(matches!(error, Unavailable::Poisoned(_)), "{error:?}");
            assert_refuses(&engine, &mut run);
            assert!(engine.close().is_err(), "an orderly end does not hide the failure");
            drop(engine);
            let syncs = disk.syncs();
            assert_eq!(syncs, sync, "a failed sync is never tried again");
            let mut random = Random::new(seed);
            run.recover(&disk.crash(random.draw()), &mut random);
            run.recover(&disk.kill(), &mut random);
        }
    }
}
