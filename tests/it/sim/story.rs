//! Whole stories of a ledger, each made of one seed: some hundred steps, snapshots, retirement, a clock that jumps, and a disk that fails in every
//! way it can, several times a story.
//!
//! After each opening there are two engines: the one that goes on, which has its newest snapshot and what is left of its log; and one that
//! replays all of the log that there ever was, retired segments included. Both must hold the same, and the books say what: everything
//! acknowledged, once, with the answer that was given; of the rest a beginning; nothing by half.

use std::collections::BTreeMap;
use std::sync::Arc;

use drawdown::engine::{Disposal, Engine, EngineConfig, ManualClock, Retention, SnapshotConfig, Ticket, Unavailable};
use drawdown_wal::sim::{Disk, Random};
use drawdown_wal::{Images, Pumped, Verify};

use super::{CUTS, Replay, fresh_disk_of, verify, workload};
use crate::books::{self, BEGIN, Books, Step, WINDOW_MS, at};

/// Small, so that a story is written into many segments.
const SEGMENT_BYTES: u64 = 32 << 10;

/// More than a batch asks for: with less room in the log it is refused, as it should be.
const ROOM_BYTES: u64 = 44 << 10;

/// Bytes that may wait for the disk.
const UNSYNCED_BYTES: u64 = 96 << 10;

/// What the disk is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The power goes at some sync, or a sync fails.
    Armed,
    /// There is no room for another segment.
    Full,
}

/// How often what happened, over all stories: a simulation that never gets to the interesting places is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) stories: u64,
    pub(super) steps: u64,
    pub(super) crashes: u64,
    pub(super) closings: u64,
    pub(super) cuts_in_recovery: u64,
    pub(super) poisoned: u64,
    pub(super) refused_for_space: u64,
    pub(super) snapshots: u64,
    pub(super) opened_from_snapshot: u64,
    pub(super) retired: u64,
    pub(super) lost_steps: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Tally) {
        self.stories += other.stories;
        self.steps += other.steps;
        self.crashes += other.crashes;
        self.closings += other.closings;
        self.cuts_in_recovery += other.cuts_in_recovery;
        self.poisoned += other.poisoned;
        self.refused_for_space += other.refused_for_space;
        self.snapshots += other.snapshots;
        self.opened_from_snapshot += other.opened_from_snapshot;
        self.retired += other.retired;
        self.lost_steps += other.lost_steps;
    }
}

struct Story {
    random: Random,
    replay: Replay,
    disk: Disk,
    clock: Arc<ManualClock>,
    engine: Engine,
    books: Books,
    /// The last step that was acknowledged. All before it are durable as well.
    acknowledged: usize,
    tickets: Vec<(usize, Ticket)>,
    /// Segments as they were when they were retired, or before.
    gone: BTreeMap<u64, Vec<u8>>,
    fault: Fault,
    /// Steps for which nobody waits and nothing is synced.
    quiet: u64,
    /// The clock does not jump back behind this: identities were forgotten then.
    floor: u64,
    disposal: Disposal,
    tally: Tally,
}

/// Tells the story of a seed.
pub(super) fn tell(seed: u64) -> Tally {
    let mut random = Random::new(seed);
    let count = 150 + random.below(150) as usize;
    let mut story = Story::begin(seed, random);
    for step in workload::steps_with_holds(seed ^ 0x5709, count) {
        story.something_happens();
        story.make(&step);
    }
    story.end();
    story.tally
}

impl Story {
    fn begin(seed: u64, mut random: Random) -> Story {
        let (disk, clock) = (fresh_disk_of(SEGMENT_BYTES), Arc::new(ManualClock::new(at(BEGIN))));
        let disposal = if random.below(2) == 0 { Disposal::Remove } else { Disposal::Archive("anywhere".into()) };
        let config = config(&mut random, disposal.clone());
        let (engine, _) = Engine::open_on(disk.medium(), config, clock.clone()).expect("a healthy ledger");
        Story {
            random,
            replay: Replay::new(seed),
            disk,
            clock,
            engine,
            books: Books::new(),
            acknowledged: 0,
            tickets: Vec::new(),
            gone: BTreeMap::new(),
            fault: Fault::None,
            quiet: 0,
            floor: BEGIN,
            disposal,
            tally: Tally { stories: 1, ..Tally::default() },
        }
    }

    fn doing(&mut self, what: &str) {
        self.replay.doing = format!("step {}: {what}", self.books.step);
        if std::env::var_os("DRAWDOWN_SIM_TRACE").is_some() {
            eprintln!("{} at {}: {}", self.engine.log().tail().get(), self.books.now - BEGIN, self.replay.doing);
        }
    }

    /// What the world adds to the workload.
    fn something_happens(&mut self) {
        let cut = CUTS[self.random.below(3) as usize];
        match self.random.below(120) {
            0..6 => (0..=self.random.below(4)).for_each(|_| self.fill_segment()),
            6..10 => self.snapshot(),
            10..12 => self.retire(),
            12..14 => self.long_pause(),
            14 => self.clock_jumps_back(),
            15..19 if self.fault == Fault::None => {
                let (sync, chance) = (self.disk.syncs() + 1 + self.random.below(10), self.random.draw());
                self.disk.cut_power_at(sync, cut, chance);
                self.fault = Fault::Armed;
            }
            19 if self.fault == Fault::None => {
                self.disk.fail_sync(self.disk.syncs() + 1 + self.random.below(6));
                self.fault = Fault::Armed;
            }
            20..22 if self.fault == Fault::None => {
                self.disk.fill_up(self.disk.creations() + 1 + self.random.below(2));
                self.fault = Fault::Full;
            }
            20..26 if self.fault == Fault::Full => {
                self.disk.make_space();
                self.fault = Fault::None;
            }
            26..29 => self.crash(),
            29 => self.storm(),
            30 => self.close(),
            31..34 => self.quiet = 4 + self.random.below(24),
            _ => {}
        }
    }

    fn make(&mut self, step: &Step) {
        self.doing(&format!("{step:?}"));
        self.tally.steps += 1;
        self.make_room();
        if self.fault == Fault::Full {
            return self.make_without_space(step);
        }
        match self.books.make(step, &self.engine, &self.clock) {
            Ok(ticket) => self.wait_for(ticket),
            Err(error) => self.failed(&error),
        }
    }

    /// Lets the disk do what it must so that a step is not refused for want of room.
    fn make_room(&self) {
        let log = self.engine.log();
        let is_short = || {
            let unsynced = log.tail().get() - log.durable().get();
            unsynced > UNSYNCED_BYTES - ROOM_BYTES || log.stats().prepared_bytes < ROOM_BYTES
        };
        while is_short() && log.pump() != (Pumped { synced: false, prepared: false }) {}
    }

    /// As [`Story::make`], on a disk that may have no room. What is refused has left no trace.
    fn make_without_space(&mut self, step: &Step) {
        if !matches!(step, Step::Batch(_) | Step::Grant(_)) {
            return;
        }
        let (books, tail) = (self.books.clone(), self.engine.log().tail());
        match self.books.make(step, &self.engine, &self.clock) {
            Ok(ticket) => self.wait_for(ticket),
            Err(Unavailable::NoSpace(_)) => {
                self.books = books;
                self.tally.refused_for_space += 1;
                if matches!(step, Step::Batch(_)) {
                    assert_eq!(self.engine.log().tail(), tail, "a refused batch leaves no trace");
                }
            }
            Err(error) => panic!("{error:?} on a full disk"),
        }
    }

    /// Waits for some answers, and lets the disk do something meanwhile.
    fn wait_for(&mut self, ticket: Option<Ticket>) {
        self.tickets.extend(ticket.map(|ticket| (self.books.step, ticket)));
        if self.quiet > 0 {
            self.quiet -= 1;
        } else {
            match self.random.below(6) {
                0 | 1 => {
                    self.engine.log().pump();
                }
                2 => {
                    if let Some((number, ticket)) = self.tickets.pop() {
                        match ticket.wait() {
                            Ok(()) => self.acknowledged = self.acknowledged.max(number),
                            Err(error) => return self.failed(&error),
                        }
                    }
                }
                _ => {}
            }
        }
        for (number, _) in self.tickets.extract_if(.., |(_, ticket)| ticket.is_durable()) {
            self.acknowledged = self.acknowledged.max(number);
        }
        if let Err(error) = self.engine.health() {
            self.failed(&error);
        }
    }

    /// The engine has failed, as it was made to.
    fn failed(&mut self, error: &Unavailable) {
        assert_eq!(self.fault, Fault::Armed, "nobody made it fail: {error:?}");
        assert!(matches!(error, Unavailable::Poisoned(_)), "{error:?}");
        self.tally.poisoned += 1;
        let refused = self.engine.barrier();
        assert!(refused.is_durable() || refused.wait().is_err(), "a log that has failed promises something");
        self.crash();
    }

    /// Pads the segment that is being written, to its end or nearly so: then a batch and what it brings about fall into two segments.
    fn fill_segment(&mut self) {
        self.doing("filling a segment");
        let leave = [0, self.random.below(1_500)][self.random.below(2) as usize];
        let log = self.engine.log();
        let end = log.segment_start(log.tail()).get() + log.segment_bytes();
        loop {
            let left = end.saturating_sub(log.tail().get()).min(log.max_frame_bytes());
            if left < leave + 64 || left == 0 {
                break;
            }
            let take = (left - leave).min(left) / 32 * 32;
            let Ok(admission) = log.admit_wait(take, std::time::Duration::ZERO) else { break };
            // A frame that is not published becomes padding.
            drop(admission.reserve(1, take as usize - 32));
        }
        log.pump();
        self.look_after();
    }

    fn snapshot(&mut self) {
        self.doing("making a snapshot");
        match self.engine.snapshot_now() {
            Ok(made) => self.tally.snapshots += u64::from(made.is_some()),
            Err(error) => assert_ne!(self.fault, Fault::None, "{error}"),
        }
        self.look_after();
    }

    fn retire(&mut self) {
        self.doing("retiring segments");
        let log = self.engine.log();
        // What is sealed does not change any more.
        let sealed = log.segment_start(log.durable()).get() / SEGMENT_BYTES;
        let images = self.disk.images().into_iter().filter(|(number, _)| *number < sealed);
        self.gone.extend(images);
        match self.engine.retire() {
            Ok(retired) => self.tally.retired += retired,
            Err(error) => assert_ne!(self.fault, Fault::None, "{error}"),
        }
        self.look_after();
    }

    /// Something went on beside the workload: if the disk failed, nobody was told so far.
    fn look_after(&mut self) {
        if self.disk.left().is_some() {
            self.crash();
        } else if let Err(error) = self.engine.health() {
            self.failed(&error);
        }
    }

    /// Lets the idempotency window pass.
    fn long_pause(&mut self) {
        if self.fault != Fault::Full {
            self.make(&Step::Tidy);
            self.make(&Step::Pause(WINDOW_MS + 120_000));
            self.floor = self.books.now;
            self.make(&Step::Tidy);
        }
    }

    /// The engine's own time stands still then.
    fn clock_jumps_back(&mut self) {
        assert_eq!(self.engine.now().millis(), self.books.now);
        self.clock.set(at(self.books.now - self.random.below(WINDOW_MS)));
    }

    /// The machine or the process dies.
    fn crash(&mut self) {
        self.doing("crashing");
        self.tally.crashes += 1;
        let left = match (self.disk.left(), self.random.below(4)) {
            (Some(left), _) => left,
            (None, 0) => self.disk.restart(),
            (None, 1) => {
                let at = self.engine.log().durable().get() + self.random.below(8 << 10);
                self.disk.crash_keeping(at / SEGMENT_BYTES, at % SEGMENT_BYTES)
            }
            (None, _) => self.disk.crash(self.random.draw()),
        };
        self.reopen(left);
        if self.random.below(2) == 0 {
            self.send_some_again();
        }
    }

    /// One crash after another, with hardly anything between them.
    fn storm(&mut self) {
        for _ in 0..2 + self.random.below(6) {
            let left = match self.disk.left() {
                Some(left) => left,
                None => self.disk.crash(self.random.draw()),
            };
            self.tally.crashes += 1;
            self.reopen(left);
            self.send_some_again();
        }
    }

    /// As clients do that got no answer.
    fn send_some_again(&mut self) {
        let sent = self.books.sent.len();
        let again: Vec<_> = self.books.sent[sent.saturating_sub(1 + self.random.below(6) as usize)..].to_vec();
        for usage in again {
            self.make(&Step::Batch(vec![usage]));
        }
    }

    /// An orderly end, and another beginning.
    fn close(&mut self) {
        self.doing("closing");
        if self.fault != Fault::None {
            return self.crash();
        }
        self.tally.closings += 1;
        self.engine.close().expect("a healthy log");
        self.acknowledged = self.books.step;
        self.reopen(self.disk.restart());
    }

    /// Opens what is left, under further cuts maybe, and compares it with the whole log and with the books.
    fn reopen(&mut self, mut left: Disk) {
        self.tickets.clear();
        (self.fault, self.quiet) = (Fault::None, 0);
        if self.random.below(3) == 0 {
            let back = self.random.below(self.books.now - self.floor + 1);
            self.clock.set(at(self.books.now - back));
        } else {
            self.clock.set(at(self.books.now));
        }
        let (images, report) = loop {
            let images = left.kill().images();
            if self.random.below(3) == 0 {
                let (sync, cut) = (1 + self.random.below(6), CUTS[self.random.below(3) as usize]);
                left.cut_power_at(sync, cut, self.random.draw());
            }
            let config = config(&mut self.random, self.disposal.clone());
            let opened = Engine::open_on(left.medium(), config, self.clock.clone());
            match (opened, left.left()) {
                (_, Some(less)) => {
                    self.tally.cuts_in_recovery += 1;
                    left = less;
                }
                (Ok((engine, report)), None) => {
                    self.engine = engine;
                    break (images, report);
                }
                (Err(error), None) => panic!("what is left cannot be opened: {error}"),
            }
        };
        left.spare();
        self.disk = left;
        assert_eq!(report.passed_over, Vec::<String>::new(), "snapshots are whole or not there");
        self.tally.opened_from_snapshot += u64::from(report.snapshot.get() > 0);
        self.compare(images);
    }

    /// Compares the engine with one that replays the whole log, and that with the books, which lose what the crash took.
    fn compare(&mut self, mut images: BTreeMap<u64, Vec<u8>>) {
        self.doing("comparing what was opened with the whole log");
        let first = images.keys().next().copied().expect("a log");
        images.extend(
            self.gone.iter().filter(|(number, _)| **number < first).map(|(number, image)| (*number, image.clone())),
        );
        if self.random.below(4) == 0 {
            let verdict = verify::verify(Images { segments: images.clone(), chain: None });
            assert_eq!(verdict.problems, []);
        }
        let bare = Disk::from_images(images);
        let config = config(&mut self.random, Disposal::Remove);
        let (whole, _) = Engine::open_on(bare.medium(), config, self.clock.clone()).expect("the whole log opens");
        self.doing("comparing the whole log with the books");
        let books = self.books.cut_back(&whole, self.acknowledged);
        self.tally.lost_steps += self.books.groups_in_all() - books.groups_in_all();
        self.books = books;
        self.books.now = self.engine.now().millis();
        self.books.reopened();
        if self.random.below(2) == 0 {
            self.books.audit(&whole);
        }
        self.doing("comparing a snapshot and the log behind it with the whole log");
        assert_eq!(self.engine.digest(), whole.digest(), "the snapshot or what was retired makes a difference");
        self.books.audit_present(&self.engine);
        // What was recovered was made durable.
        self.acknowledged = self.books.step;
    }

    fn end(&mut self) {
        if self.disk.left().is_some() || self.engine.health().is_err() || self.fault != Fault::None {
            self.crash();
        }
        self.close();
        self.doing("sending everything again");
        self.books.send_all_again(&self.engine);
        self.acknowledged = self.books.step;
        self.close();
    }
}

/// How an engine is opened: what must make no difference is left to chance.
fn config(random: &mut Random, disposal: Disposal) -> EngineConfig {
    let mut config = books::config(SEGMENT_BYTES);
    config.replay_workers = 1 + random.below(3) as u32;
    config.log.verify = if random.below(3) == 0 { Verify::All } else { Verify::Tail };
    config.log.segments_ahead = 4 + random.below(2) as usize;
    config.log.max_unsynced_bytes = UNSYNCED_BYTES;
    let memory_bytes = if random.below(2) == 0 { 2048 } else { 1 << 20 };
    config.snapshots = SnapshotConfig { memory_bytes, ..SnapshotConfig::default() };
    config.retention = Retention { log_bytes: Some(0), disposal, ..Retention::default() };
    config
}
