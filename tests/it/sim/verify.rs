//! Verification of what the simulation leaves: sound whatever the crash, and no bit of it can change unnoticed.

use std::collections::BTreeMap;
use std::fmt::Write;

use drawdown::engine::Engine;
use drawdown::journal::{Record, records};
use drawdown::verify::{Problem, Reading, Verdict};
use drawdown_wal::sim::{Disk, Random};
use drawdown_wal::{Archive, Ended, FrameRef, Images, Lsn, Visitor};

use crate::books::WalletNumber;

use super::{Run, SEGMENT_BYTES, config, fresh_disk, open, seeds, workload};

pub(super) fn verify(images: Images) -> Verdict {
    drawdown::verify::verify(&Archive::of_images(images), &|_| ()).expect("images can be read")
}

/// What a disk holds verifies.
#[track_caller]
pub(super) fn assert_sound(disk: &Disk) {
    let verdict = verify(Images { segments: disk.images(), chain: None });
    assert_eq!(verdict.problems, []);
    assert!(verdict.audit.is_some());
}

/// A ledger with everything in it: several runs, ended in order, by a death and by a power cut; its hash chain; the books of it.
struct Ledger {
    images: Images,
    run: Run,
}

fn ledger(in_order: bool) -> Ledger {
    let (mut run, mut disk) = (Run::new(), fresh_disk());
    let steps = workload::steps_with_holds(5, 500);
    let mut random = Random::new(5);
    for (number, steps) in steps.chunks(steps.len().div_ceil(4)).enumerate() {
        let engine = open(&disk, &run.clock);
        run.make(&engine, steps, &mut random).expect("nothing fails");
        match number {
            0 => disk = disk.kill(),
            1 => disk = disk.crash(1),
            3 => {
                while engine.log().extend_chain().expect("segments can be read") {}
                let chain = Some(engine.log().chain().write());
                if in_order {
                    engine.close().expect("a healthy log");
                    return Ledger { images: Images { segments: disk.images(), chain }, run };
                }
                // What comes now is not synced.
                let mut unsynced = run.books.clone();
                let mut more = workload::steps(6, 400).into_iter();
                let ahead = || engine.log().tail().get() - engine.log().durable().get();
                while ahead() < 3_000 {
                    unsynced.make(&more.next().expect("enough"), &engine, &run.clock).expect("nothing fails");
                }
                // All of it arrived but for one sector in the middle.
                let lost = (engine.log().durable().get() + ahead() / 2) / 512 * 512;
                let mut segments = disk.kill().images();
                let image = segments.get_mut(&(lost / SEGMENT_BYTES)).expect("a segment");
                image[(lost % SEGMENT_BYTES) as usize..][..512].fill(0);
                return Ledger { images: Images { segments, chain }, run };
            }
            _ => engine.close().expect("a healthy log"),
        }
    }
    unreachable!("there are four parts")
}

/// Everything that an engine tells of its wallets.
pub(super) fn told(engine: &Engine) -> String {
    let mut text = String::new();
    for wallet in WalletNumber::all() {
        if let Ok(view) = engine.wallet(wallet.customer(), wallet.currency()) {
            let page = engine.entries(wallet.customer(), wallet.currency(), None, 1 << 20).expect("a wallet");
            writeln!(text, "{view:?} {:?}", page.entries).expect("a String takes all");
        }
    }
    text
}

fn flip(images: &Images, lsn: u64, bit: u64) -> Images {
    let mut images = images.clone();
    let image = images.segments.get_mut(&(lsn / SEGMENT_BYTES)).expect("a segment");
    image[(lsn % SEGMENT_BYTES) as usize] ^= 1 << bit;
    images
}

/// Where every frame begins, the log's own too.
fn frames(images: &Images) -> Vec<u64> {
    let mut begins = Vec::new();
    for (number, image) in &images.segments {
        let mut at = 4096;
        while let Some(length) = image.get(at..at + 4) {
            let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
            if length == 0 {
                break;
            }
            begins.push(number * SEGMENT_BYTES + at as u64);
            at += length.next_multiple_of(32);
        }
    }
    begins
}

/// The problem is at or before the byte, in its frame or its segment's header.
#[track_caller]
fn assert_points_at(problem: &Problem, lsn: u64, frames: &[u64]) {
    let frame = frames[..frames.partition_point(|begins| *begins <= lsn)].last().copied().unwrap_or(0);
    let begins = frame.max(lsn / SEGMENT_BYTES * SEGMENT_BYTES);
    let offset = lsn / SEGMENT_BYTES * SEGMENT_BYTES + problem.offset;
    assert!(begins <= problem.lsn.get() && problem.lsn.get() <= lsn, "{problem} for {lsn}");
    assert!(begins <= offset && offset <= lsn, "{problem} for {lsn}");
    assert!(problem.path.to_string_lossy().contains(&format!("{:016x}", lsn / SEGMENT_BYTES)), "{problem}");
}

#[test]
fn a_ledger_with_everything_in_it_is_sound() {
    for in_order in [true, false] {
        let Ledger { images, run } = ledger(in_order);
        let verdict = verify(images.clone());
        assert_eq!(verdict.problems, []);
        assert!(images.segments.len() > 3);
        assert_eq!(verdict.survey.ended == Ended::InOrder, in_order);
        assert_eq!(verdict.survey.torn.is_none(), in_order);
        let audit = verdict.audit.expect("it was made");
        let engine = open(&Disk::from_images(images.segments), &run.clock);
        if in_order {
            run.books.audit(&engine);
        }
        for currency in &audit.currencies {
            let total = engine.balances(None, Some(&currency.currency.id)).remove(0);
            assert_eq!((currency.wallets, currency.remaining - currency.debt), (total.wallets, total.balance));
            let sums = &currency.sums;
            assert_eq!(sums.balance(), total.balance);
            assert!(sums.granted > 0 && sums.debited > 0);
        }
        let expired: i128 = audit.currencies.iter().map(|currency| currency.sums.expired).sum();
        let returned: i128 = audit.currencies.iter().map(|currency| currency.sums.returned).sum();
        assert!(expired > 0 && returned > 0, "{audit:?}");
        assert!(audit.debits > 80 && audit.operations > 200 && audit.administrative > 40, "{audit:?}");
    }
}

/// One bit of a whole ledger is turned, anywhere. `DRAWDOWN_FLIPS` turns more of them.
#[test]
fn no_bit_changes_unnoticed_and_none_changes_what_was_acknowledged() {
    let Ledger { images, run } = ledger(true);
    let frames = frames(&images);
    let count = std::env::var("DRAWDOWN_FLIPS").map_or(120, |count| count.parse().expect("a number"));
    let mut random = Random::new(11);
    let size = images.segments.len() as u64 * SEGMENT_BYTES;
    let (mut refused, mut same) = (0, 0);
    let sound = told(&open(&Disk::from_images(images.segments.clone()), &run.clock));
    for number in 0..count {
        // Every other one where frames are: most of the rest is zeros.
        let within = if number % 2 == 0 { frames.last().expect("frames") + 32 } else { size };
        let (lsn, bit) = (random.below(within), random.below(8));
        let flipped = flip(&images, lsn, bit);
        let verdict = verify(flipped.clone());
        let problem = verdict.problems.first().unwrap_or_else(|| panic!("bit {bit} at {lsn} was not noticed"));
        assert_points_at(problem, lsn, &frames);
        assert_eq!(problem.found_by, Reading::Survey);
        let disk = Disk::from_images(flipped.segments);
        match Engine::open_on(disk.medium(), config(SEGMENT_BYTES), run.clock.clone()) {
            Ok((engine, _)) => {
                assert_eq!(told(&engine), sound, "bit {bit} at {lsn}");
                same += 1;
            }
            Err(error) => {
                let told = error.to_string();
                assert!(told.contains("offset") || told.contains("segment"), "{told}");
                refused += 1;
            }
        }
    }
    println!("{count} bits turned, each noticed: {refused} refused at the start, {same} without effect");
    assert!(refused > count / 4 && same > 0);
}

/// The same where the log was cut by a crash: up to its end nothing changes unnoticed, and behind it nothing matters.
#[test]
fn behind_the_end_of_a_crashed_ledger_nothing_matters() {
    let Ledger { images, run } = ledger(false);
    let frames = frames(&images);
    let end = verify(images.clone()).survey.end.get();
    let mut random = Random::new(12);
    for _ in 0..60 {
        let (lsn, bit) = (end - 3_000 + random.below(9_000), random.below(8));
        if lsn % SEGMENT_BYTES < 4096 {
            continue;
        }
        let flipped = flip(&images, lsn, bit);
        let verdict = verify(flipped.clone());
        let disk = Disk::from_images(flipped.segments);
        let opened = Engine::open_on(disk.medium(), config(SEGMENT_BYTES), run.clock.clone());
        if lsn >= end {
            assert_eq!(verdict.problems, []);
            opened.expect("a torn tail is cut");
        } else {
            assert_points_at(&verdict.problems[0], lsn, &frames);
        }
    }
}

/// Somebody changes a record and makes the checksum right again. `change` gets the record's bytes.
fn forge(images: &Images, frame: u64, offset_of_record: usize, change: impl FnOnce(&mut [u8])) -> Images {
    let mut images = images.clone();
    let number = frame / SEGMENT_BYTES;
    let image = images.segments.get_mut(&number).expect("a segment");
    let at = (frame % SEGMENT_BYTES) as usize;
    let length = u32::from_le_bytes(image[at..at + 4].try_into().expect("four bytes")) as usize;
    change(&mut image[at + 32 + offset_of_record..at + length]);
    let log_id: [u8; 16] = image_log_id(image);
    let sum = checksum(0xffff_ffff, &log_id);
    let sum = checksum(sum, &number.to_le_bytes());
    let sum = checksum(sum, &image[at..at + 4]);
    let sum = !checksum(sum, &image[at + 8..at + length]);
    image[at + 4..at + 8].copy_from_slice(&sum.to_le_bytes());
    images
}

fn image_log_id(image: &[u8]) -> [u8; 16] {
    image[40..56].try_into().expect("sixteen bytes")
}

/// CRC32C, bit by bit.
fn checksum(mut sum: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
        }
    }
    sum
}

/// Positions of debits: frame, offset of the record in the payload, slot, generation.
#[derive(Default)]
struct Debits(Vec<(u64, usize, u32, u32)>);

impl Visitor for Debits {
    fn frame(&mut self, frame: &FrameRef<'_>) {
        for record in records(frame.payload, frame.payload_lsn).expect("a frame of ours") {
            if let (lsn, Record::Debit(debit)) = record.expect("a record of ours") {
                let offset = (lsn.get() - frame.payload_lsn.get()) as usize;
                self.0.push((frame.lsn.get(), offset, debit.slot, debit.generation));
            }
        }
    }
}

/// What is changed, and how.
type Forgery = (&'static str, fn(&mut [u8]));

#[test]
fn forged_records_with_right_checksums_are_found() {
    let Ledger { images, .. } = ledger(true);
    let mut debits = Debits::default();
    Archive::of_images(images.clone()).survey(&mut debits).expect("images can be read");
    let unchained = Images { chain: None, ..images.clone() };
    let forgeries: [Forgery; 6] = [
        ("amount", |record| record[16] ^= 1),
        ("balance after", |record| record[24] ^= 1),
        ("previous", |record| record[32..40].fill(0)),
        ("generation", |record| record[12] = record[12].wrapping_add(1)),
        ("distance to its frame", |record| record[4] ^= 8),
        ("wallet", |record| record[8] ^= 1),
    ];
    let mut random = Random::new(3);
    let mut by = BTreeMap::new();
    for (what, change) in forgeries {
        for _ in 0..6 {
            let (frame, offset, _, _) = debits.0[random.below(debits.0.len() as u64) as usize];
            let verdict = verify(forge(&unchained, frame, offset, change));
            assert!(!verdict.is_sound() || report_mends(&verdict), "a forged {what} at {frame} was not found");
            *by.entry(verdict.problems.first().map(|problem| problem.found_by.as_str())).or_insert(0) += 1;
        }
    }
    assert!(by.contains_key(&Some("fold")) && by.contains_key(&Some("audit")), "{by:?}");
    // What no rule and no book knows, an event's id, the chain knows once the segment is sealed.
    let (frame, offset, _, _) = *debits.0.first().expect("a debit");
    let last = |record: &mut [u8]| *record.last_mut().expect("an id") = b'z';
    assert!(verify(forge(&unchained, frame, offset, last)).is_sound(), "no checksum tells");
    let verdict = verify(forge(&images, frame, offset, last));
    let [problem] = &verdict.problems[..] else { panic!("{:?}", verdict.problems) };
    assert!(problem.what.contains("hash") && problem.lsn == Lsn::new(frame / SEGMENT_BYTES * SEGMENT_BYTES));
}

/// A forged link in the newest generation of a wallet looks like one that a crash cut through, and is mended: told as a note.
fn report_mends(verdict: &Verdict) -> bool {
    verdict.notes.iter().any(|note| note.contains("cut through"))
}

#[test]
fn every_crash_of_a_workload_verifies() {
    for seed in seeds(4) {
        let (mut run, disk) = (Run::new(), fresh_disk());
        let engine = open(&disk, &run.clock);
        run.make(&engine, &workload::steps(seed ^ 0x0b5e, 60), &mut Random::new(seed)).expect("nothing fails");
        for crash in 0..4 {
            assert_sound(&disk.crash(seed << 8 | crash));
        }
        assert_sound(&disk.kill());
        engine.close().expect("a healthy log");
        assert_sound(&disk);
    }
}
