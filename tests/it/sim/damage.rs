//! Logs that a crash has cut in the middle of a race, written by hand: the three damages that recovery names, and the copies and orders
//! that are none.
//!
//! On one thread no log comes to look like this: a debit that stands before one that it counts on needs two threads between their
//! reservations and their swaps. So the frames are written by the journal's own encoders, and an engine is opened on them.

use std::sync::Arc;

use drawdown::engine::{Engine, EngineConfig, EventStatus, ManualClock, OpenReport};
use drawdown::journal::debit::DebitRecord;
use drawdown::journal::frame::{Prelude, kind};
use drawdown::journal::operation::{self, Body, Names, OperationRecord, Repair};
use drawdown::journal::{Record, records};
use drawdown::ledger::{Amount, Operation, Taken};
use drawdown_wal::sim::Disk;
use drawdown_wal::{Log, Lsn, frame_bytes};

use super::{CUTS, SEGMENT_BYTES, copy, fresh_disk};
use crate::books::{
    Ask, BEGIN, Books, GrantSpec, Step, Usage, WalletNumber, When, at, clock, config, feed, history, submit, wallet_of,
};
use crate::snapshots::check_cuts;

const GRANTED: i64 = 1_000;
/// The generation that the grant opened.
const GENERATION: u32 = 2;

/// A debit to be written.
#[derive(Clone, Copy)]
struct Debit {
    id: u32,
    amount: i64,
    after: i64,
    previous: u64,
    generation: u32,
}

/// A disk whose ledger has one wallet with one grant, and the log opened by hand behind it.
struct Scribe {
    disk: Disk,
    clock: Arc<ManualClock>,
    log: Log,
    /// The wallet's newest record.
    newest: u64,
}

fn usage(id: u32, units: i64) -> Usage {
    Usage { id, source: 0, wallet: WalletNumber(0), ask: Ask::Units(units), time: When::Unsaid, policy: None }
}

impl Scribe {
    fn new() -> Self {
        let (disk, clock, mut books) = (fresh_disk(), clock(), Books::new());
        let (engine, _) = Engine::open_on(disk.medium(), config(SEGMENT_BYTES), clock.clone()).expect("a healthy disk");
        let grant = GrantSpec {
            wallet: WalletNumber(0),
            units: GRANTED,
            source: 0,
            promotional: false,
            priority: None,
            effective: None,
            lasts: None,
            cost: None,
            key: None,
            note: false,
            waits: None,
            rollover: None,
        };
        let ticket = books.make(&Step::Grant(grant), &engine, &clock).expect("a healthy engine");
        ticket.expect("a grant").wait().expect("a healthy log");
        let newest = engine.wallet("ada", "credits").expect("the wallet").last_entry.expect("a grant").get();
        drop(engine);
        let (log, _) = Log::open_on(disk.medium(), config(SEGMENT_BYTES).log).expect("a healthy disk");
        Scribe { disk, clock, log, newest }
    }

    /// A position that the log has not reached: where what was lost stood.
    fn lost(&self) -> u64 {
        self.log.tail().get() + 4_096
    }

    /// Writes debits in one frame; where each of them stands.
    fn write(&self, debits: &[Debit]) -> Vec<u64> {
        let bytes = 200 * debits.len() + 200;
        let admission = self.log.admit(frame_bytes(bytes as u64)).expect("room");
        let mut frame = admission.reserve(kind::USAGE, bytes);
        let base = frame.payload_lsn().get();
        let mut used = Prelude { time: at(BEGIN), source: "" }.write(frame.payload_mut());
        let mut places = Vec::new();
        for debit in debits {
            let id = id_text(debit.id);
            let record = DebitRecord {
                slot: 0,
                generation: debit.generation,
                amount: Amount::new(debit.amount),
                balance_after: Amount::new(debit.after),
                adjustment: 0,
                previous: debit.previous,
                event_time: at(BEGIN),
                time: at(BEGIN),
                source: "",
                id: &id,
                metered: None,
            };
            places.push(base + used as u64);
            used += record.write(&mut frame.payload_mut()[used..], used as u32, !record.source.is_empty());
        }
        self.log.wait_durable(frame.publish(used, debits.len() as u32)).expect("a healthy log");
        places
    }

    /// Writes a copy of the wallet's newest operation, as a thread that helps does; where it stands.
    fn write_copy(&self, previous: u64) -> u64 {
        self.write_operation(previous, |_| {})
    }

    /// Writes the wallet's newest operation again, with a change; where it stands.
    fn write_operation(&self, previous: u64, change: impl FnOnce(&mut OperationRecord<'_>)) -> u64 {
        let mut reader = self.log.reader(Lsn::ZERO);
        let mut payload = Vec::new();
        let mut start = Lsn::ZERO;
        while let Some(frame) = reader.next().expect("a readable log") {
            if frame.kind == kind::OPERATION {
                payload = frame.payload.to_vec();
                start = frame.payload_lsn;
            }
        }
        let record = records(&payload, start).expect("a frame of ours").next();
        let Some(Ok((_, Record::Operation(mut operation)))) = record else { panic!("{record:?}") };
        change(&mut operation);
        let (mut bytes, distance) = (OperationRecord::encode(&operation), Prelude::length(""));
        operation::place(&mut bytes, distance as u32, previous, operation.counts);
        let length = distance + bytes.len();
        let mut frame = self.log.admit(frame_bytes(length as u64)).expect("room").reserve(kind::OPERATION, length);
        let lsn = frame.payload_lsn().get() + distance as u64;
        Prelude { time: at(BEGIN), source: "" }.write(frame.payload_mut());
        frame.payload_mut()[distance..length].copy_from_slice(&bytes);
        self.log.wait_durable(frame.publish(length, 1)).expect("a healthy log");
        lsn
    }

    /// Ends the writing: the disk as the crash left it.
    fn crash(self) -> Damaged {
        let Scribe { disk, clock, log, .. } = self;
        drop(log);
        Damaged { disk: copy(&disk), clock }
    }
}

fn id_text(id: u32) -> String {
    format!("{id:0>width$}", width = 1 + id as usize % 128)
}

struct Damaged {
    disk: Disk,
    clock: Arc<ManualClock>,
}

/// What the history says of a debit: event, amount, balance after it.
type Told = (u32, i64, i64);

impl Damaged {
    fn open(&self, disk: &Disk) -> (Engine, OpenReport) {
        Engine::open_on(disk.medium(), config(SEGMENT_BYTES), self.clock.clone()).expect("a mendable log")
    }

    /// Opens the engine and compares what it shows with the debits that there are; opens it again, under cuts too, and goes on with it.
    fn check(&self, mended: bool, debits: &[Told], missing: &[u32]) {
        let disk = copy(&self.disk);
        super::verify::assert_sound(&disk);
        let (engine, report) = self.open(&disk);
        assert_eq!(report.reopened, u64::from(mended));
        compare(&engine, debits);
        drop(engine);
        let (engine, report) = self.open(&disk);
        assert_eq!(report.reopened, 0, "what is mended stays mended");
        compare(&engine, debits);
        drop(engine);
        self.check_under_cuts(debits);
        // A snapshot made up to any frame of it: what is not known yet there is known to be open.
        check_cuts(&self.disk, &self.clock, 0..6, &|engine| compare(engine, debits));
        // And of what recovery made of it: repairs refer to records before a snapshot, and to such behind it.
        check_cuts(&disk, &self.clock, 0..6, &|engine| compare(engine, debits));
        // What a run is derived from is the log as the crash left it: before anybody knows what did not take place, and after.
        for (disk, room) in [(copy(&self.disk), 1), (copy(&disk), 1), (disk, u64::MAX)] {
            self.go_on(&disk, room, debits, missing);
        }
    }

    fn check_under_cuts(&self, debits: &[Told]) {
        for cut in CUTS {
            for sync in 1.. {
                let disk = copy(&self.disk);
                disk.cut_power_at(sync, cut, sync);
                if let Ok((engine, _)) = Engine::open_on(disk.medium(), config(SEGMENT_BYTES), self.clock.clone()) {
                    let _ = engine.barrier().wait();
                }
                let Some(left) = disk.left() else { break };
                compare(&self.open(&left).0, debits);
            }
        }
    }

    /// What there is is a duplicate with the outcome that the history tells; what was lost applies; and the ledger goes on, with room in
    /// memory for all identities or for hardly any.
    fn go_on(&self, disk: &Disk, room: u64, debits: &[Told], missing: &[u32]) {
        let config = EngineConfig { idempotency_memory: room, ..config(SEGMENT_BYTES) };
        let (engine, _) = Engine::open_on(disk.medium(), config, self.clock.clone()).expect("a mendable log");
        engine.barrier().wait().expect("a healthy log");
        engine.tidy();
        assert_eq!(engine.stats().spilled.runs > 0, room == 1);
        let mut outcomes = Vec::new();
        let mut told = debits.to_vec();
        for (id, amount, after) in debits {
            submit(&engine, &[usage(*id, *amount)], BEGIN, &mut outcomes)
                .expect("a healthy engine")
                .wait()
                .expect("durable");
            assert_eq!(outcomes[0].status, EventStatus::Duplicate);
            let entries = history(&engine, WalletNumber(0), 100);
            let entry = entries.iter().find(|entry| entry.event.as_ref().is_some_and(|event| event.id == id_text(*id)));
            assert_eq!(outcomes[0].entry, entry.map(|entry| entry.entry));
            assert_eq!(outcomes[0].balance, Amount::new(*after), "a duplicate tells what the history tells");
        }
        let mut balance = debits.last().map_or(GRANTED, |(_, _, after)| *after);
        for id in missing.iter().copied().chain(900..960) {
            submit(&engine, &[usage(id, 2)], BEGIN, &mut outcomes).expect("a healthy engine").wait().expect("durable");
            assert_eq!(outcomes[0].status, EventStatus::Applied, "a debit that was lost applies when it is sent again");
            balance -= 2;
            told.push((id, 2, balance));
        }
        compare(&engine, &told);
        drop(engine);
        let (engine, report) = self.open(disk);
        assert_eq!(report.reopened, 0);
        compare(&engine, &told);
    }
}

#[track_caller]
fn compare(engine: &Engine, debits: &[Told]) {
    let balance = debits.last().map_or(GRANTED, |(_, _, after)| *after);
    let view = engine.wallet("ada", "credits").expect("the wallet");
    assert_eq!(view.balance, Amount::new(balance));
    assert_eq!(view.grants.iter().map(|lot| lot.remaining).collect::<Vec<_>>(), [Amount::new(balance)]);
    let expected: Vec<_> = debits.iter().map(|(id, amount, after)| (id_text(*id), -amount, *after)).collect();
    for page in [1, 2, 100] {
        let entries = history(engine, WalletNumber(0), page);
        // The order of the links is the order in which threads linked, not that in which they swapped: balances are compared sorted.
        let mut told: Vec<_> = entries
            .iter()
            .filter_map(|entry| Some((entry.event.clone()?.id, entry.amount.units(), entry.balance_after.units())))
            .collect();
        told.sort_by_key(|(_, _, after)| -after);
        assert_eq!(told, expected, "in pages of {page}");
        assert_eq!(entries.len(), debits.len() + 1, "the grant, and nothing else");
        for entry in entries.iter().filter(|entry| entry.event.is_some()) {
            let paid: Vec<_> = entry.allocations.iter().map(|(_, part)| -part.units()).collect();
            assert_eq!((paid.as_slice(), entry.debt), ([entry.amount.units()].as_slice(), Amount::ZERO));
        }
    }
    let events = feed(engine, 3);
    let of_wallet = events.iter().filter(|event| wallet_of(event) == Some(WalletNumber(0)));
    let mut applied: Vec<_> =
        of_wallet.filter(|event| event.kind == "debit.applied").map(|event| format!("{:?}", event.data)).collect();
    applied.sort();
    assert_eq!(applied.len(), debits.len(), "the feed tells what there is");
    for (id, _, after) in debits {
        let balance = Amount::new(*after).display(drawdown::ledger::Scale::new(2).expect("a scale")).to_string();
        let told =
            |data: &&String| data.contains(&format!("{:?}", id_text(*id))) && data.contains(&format!("{balance:?}"));
        assert!(applied.iter().any(|data| told(&data)), "{id} at {balance} in {applied:?}");
    }
}

fn debit(id: u32, amount: i64, after: i64, previous: u64) -> Debit {
    Debit { id, amount, after, previous, generation: GENERATION }
}

#[test]
fn a_log_in_which_nothing_is_damaged_is_not_mended() {
    let scribe = Scribe::new();
    let first = scribe.write(&[debit(1, 5, 995, scribe.newest)]);
    scribe.write(&[debit(2, 7, 988, first[0])]);
    scribe.crash().check(false, &[(1, 5, 995), (2, 7, 988)], &[3]);
}

/// Two batches race: the first swaps after the second and stands before it, and each links to the other's record.
#[test]
fn a_link_may_lead_ahead() {
    let scribe = Scribe::new();
    // In the log: 2 (applied second), then 1 (applied first, linked first).
    let ahead = scribe.lost();
    let scout = Scribe::new();
    let (at_2, at_1) = (scout.write(&[debit(2, 7, 988, ahead)])[0], scout.write(&[debit(1, 5, 995, scribe.newest)])[0]);
    assert_eq!(scribe.write(&[debit(2, 7, 988, at_1)]), [at_2]);
    assert_eq!(scribe.write(&[debit(1, 5, 995, scribe.newest)]), [at_1]);
    scribe.crash().check(false, &[(1, 5, 995), (2, 7, 988)], &[3]);
}

/// A lost debit of 30 was applied first, or between two others, whose balances count on it and whose links lead to it.
#[test]
fn a_gap_is_closed_up() {
    for before in [false, true] {
        let scribe = Scribe::new();
        let mut expected = Vec::new();
        let mut after = GRANTED;
        if before {
            after -= 4;
            scribe.write(&[debit(1, 4, after, scribe.newest)]);
            expected.push((1, 4, after));
        }
        // Balances as they were recorded, with the lost 30; and as they are without.
        let second = scribe.write(&[debit(3, 5, after - 35, scribe.lost())]);
        scribe.write(&[debit(4, 7, after - 42, second[0]), debit(5, 1, after - 43, 0)]);
        expected.extend([(3, 5, after - 5), (4, 7, after - 12), (5, 1, after - 13)]);
        scribe.crash().check(true, &expected, &[2]);
    }
}

/// The records of one generation reached the log in another order than the one in which they were applied.
#[test]
fn a_gap_is_closed_up_whatever_the_order_of_the_log() {
    let scribe = Scribe::new();
    let lost = scribe.lost();
    scribe.write(&[debit(5, 1, 957, lost), debit(4, 7, 958, lost + 200), debit(3, 5, 965, lost + 400)]);
    scribe.write(&[debit(1, 4, 996, scribe.newest)]);
    scribe.crash().check(true, &[(1, 4, 996), (3, 5, 991), (4, 7, 984), (5, 1, 983)], &[2]);
}

/// A debit was applied to a generation whose opening was lost with the operation's record; so was another, two generations on.
#[test]
fn debits_of_generations_that_were_never_opened_did_not_take_place() {
    for beyond in [1, 2, 5] {
        let scribe = Scribe::new();
        let first = scribe.write(&[debit(1, 5, 995, scribe.newest)]);
        scribe.write(&[
            Debit { generation: GENERATION + 1, ..debit(7, 9, 986, scribe.lost()) },
            Debit { generation: GENERATION + beyond, ..debit(8, 9, 977, scribe.lost() + 300) },
            debit(2, 3, 992, first[0]),
        ]);
        scribe.crash().check(true, &[(1, 5, 995), (2, 3, 992)], &[7, 8]);
    }
}

/// Links lead to records that were lost, though no balance counts on them: those debits were applied later and linked earlier.
#[test]
fn broken_links_are_mended() {
    let scribe = Scribe::new();
    let lost = scribe.lost();
    let first = scribe.write(&[debit(1, 5, 995, lost)]);
    scribe.write(&[debit(2, 7, 988, first[0])]);
    scribe.write(&[debit(3, 1, 987, lost + 300)]);
    scribe.crash().check(true, &[(1, 5, 995), (2, 7, 988), (3, 1, 987)], &[4]);
}

/// All three at once.
#[test]
fn damages_of_one_wallet_are_mended_together() {
    let scribe = Scribe::new();
    let lost = scribe.lost();
    let first = scribe.write(&[debit(1, 4, 996, scribe.newest)]);
    scribe.write(&[
        debit(3, 5, 961, lost),
        Debit { generation: GENERATION + 1, ..debit(7, 9, 952, lost + 100) },
        debit(4, 7, 954, first[0]),
    ]);
    scribe.crash().check(true, &[(1, 4, 996), (3, 5, 991), (4, 7, 984)], &[2, 7]);
}

/// Threads that help an operation along may each write its record. One counts, in balances, history and feed.
#[test]
fn copies_of_an_operation_count_once() {
    let scribe = Scribe::new();
    let copy = scribe.write_copy(scribe.newest);
    let first = scribe.write(&[debit(1, 5, 995, copy)]);
    let again = scribe.write_copy(first[0]);
    scribe.write(&[debit(2, 7, 988, again)]);
    scribe.crash().check(false, &[(1, 5, 995), (2, 7, 988)], &[3]);
}

/// The copy that was to count was lost, before anybody was answered with it. Another one is there: it counts.
#[test]
fn a_copy_counts_when_the_one_that_counted_is_lost() {
    let scribe = Scribe::new();
    let first = scribe.write(&[debit(1, 5, 995, scribe.newest)]);
    let (lost, newest) = (scribe.lost(), scribe.newest);
    let copy = scribe.write_operation(first[0], |record| {
        // A look at the wallet that found nothing due: the next generation, and nothing else.
        let mut lots = record.body.lots.clone();
        lots[0].1 = Amount::new(995);
        record.body = Body { lots, ..nothing_due() };
        (record.generation, record.closing, record.opening) = (GENERATION + 1, Amount::new(995), Amount::new(995));
        (record.previous_opening, record.counts) = (newest, lost);
    });
    scribe.write(&[Debit { generation: GENERATION + 1, ..debit(2, 7, 988, copy) }]);
    scribe.crash().check(false, &[(1, 5, 995), (2, 7, 988)], &[3]);
}

impl Scribe {
    /// Writes an operation that found nothing due at a balance, the end of the grant's generation; where it stands.
    fn write_nothing_due(&self, previous: u64, balance: i64, counts: impl FnOnce(u64) -> u64) -> u64 {
        let newest = self.newest;
        self.write_operation(previous, |record| {
            let mut lots = record.body.lots.clone();
            lots[0].1 = Amount::new(balance);
            record.body = Body { lots, ..nothing_due() };
            (record.generation, record.closing, record.opening) =
                (GENERATION + 1, Amount::new(balance), Amount::new(balance));
            (record.previous_opening, record.counts) = (newest, counts(record.counts));
        })
    }
}

/// A debit had its place in the log before the operation that opened its generation, and was applied after it. Then another copy of the
/// operation reached the log.
#[test]
fn a_debit_may_stand_before_the_opening_of_its_generation() {
    let write = |scribe: &Scribe, opening: u64| {
        let first = scribe.write(&[debit(1, 5, 995, scribe.newest)]);
        let next = Debit { generation: GENERATION + 1, ..debit(2, 7, 988, opening) };
        let early = scribe.write(&[next])[0];
        let opened = scribe.write_nothing_due(first[0], 995, |_| opening);
        let again = scribe.write_nothing_due(early, 995, |_| opening);
        scribe.write(&[Debit { generation: GENERATION + 1, ..debit(3, 1, 987, again) }]);
        opened
    };
    let opening = write(&Scribe::new(), 1 << 30);
    let scribe = Scribe::new();
    assert_eq!(write(&scribe, opening), opening);
    scribe.crash().check(false, &[(1, 5, 995), (2, 7, 988), (3, 1, 987)], &[4]);
}

/// Of two copies of an operation the second one counts: the first one says so, and stands before it.
#[test]
fn the_copy_that_counts_may_stand_behind_another() {
    let write = |scribe: &Scribe, counts: u64| {
        let first = scribe.write(&[debit(1, 5, 995, scribe.newest)]);
        let copy = scribe.write_nothing_due(first[0], 995, |_| counts);
        let early = scribe.write(&[Debit { generation: GENERATION + 1, ..debit(2, 7, 988, copy) }])[0];
        let counting = scribe.write_nothing_due(early, 995, |_| counts);
        scribe.write(&[Debit { generation: GENERATION + 1, ..debit(3, 1, 987, counting) }]);
        counting
    };
    let counts = write(&Scribe::new(), 1 << 30);
    let scribe = Scribe::new();
    assert_eq!(write(&scribe, counts), counts);
    scribe.crash().check(false, &[(1, 5, 995), (2, 7, 988), (3, 1, 987)], &[4]);
}

fn nothing_due() -> Body<'static> {
    Body {
        operation: Operation::Due,
        event: None,
        taken: Taken::default(),
        rejected: false,
        movements: Vec::new(),
        crossed: Names::default(),
        recovered: Names::default(),
        lots: Vec::new(),
        repair: Repair::default(),
        note: None,
        keyed: None,
    }
}
