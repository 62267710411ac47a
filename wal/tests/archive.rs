//! Logs looked at from outside: every changed bit is found, what a crash leaves is no damage, and the hash chain is what anybody computes.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::Path;

use drawdown_wal::sim::{Disk, Random};
use drawdown_wal::{
    Archive, ArchiveError, Chain, ChainFile, Damage, Ended, Fault, FrameRef, Images, Log, Lsn, OpenError, Options,
    Recovery, Survey, Visitor, frame_bytes,
};

const SEGMENT: u64 = 16384;

fn options() -> Options {
    Options::tiny(SEGMENT)
}

/// Appends frames of many lengths, and syncs now and then; some frames use less than they reserved, or nothing.
fn write(log: &Log, count: usize, random: &mut Random) {
    append(log, count, random, 3);
}

fn append(log: &Log, count: usize, random: &mut Random, sync_every: u64) {
    for _ in 0..count {
        let payload = vec![random.below(255) as u8 + 1; random.below(1200) as usize];
        let spare = [0, 0, 0, 40, 500][random.below(5) as usize];
        let reserved = payload.len() + spare;
        let admission = log.admit_wait(frame_bytes(reserved as u64), std::time::Duration::ZERO).unwrap();
        let mut frame = admission.reserve(1, reserved);
        frame.payload_mut().fill(0xee);
        if random.below(12) == 0 {
            drop(frame);
        } else {
            frame.payload_mut()[..payload.len()].copy_from_slice(&payload);
            frame.publish(payload.len(), 1);
        }
        if random.below(sync_every) == 1 {
            log.pump();
        }
    }
}

fn chained(log: &Log) -> Vec<u8> {
    while log.extend_chain().unwrap() {}
    log.chain().write()
}

/// A log with everything in it: several segments and runs, padding, an end in order and one by a power cut. It ends in order, or with what a
/// power cut left.
fn everything(in_order: bool) -> Images {
    let mut random = Random::new(7);
    let mut disk = Disk::new();
    for run in 0..4 {
        let (log, _) = Log::open_on(disk.medium(), options()).unwrap();
        write(&log, 40, &mut random);
        match run {
            1 => disk = disk.crash(random.draw()),
            3 if in_order => {
                let chain = Some(chained(&log));
                log.close().unwrap();
                return Images { segments: disk.images(), chain };
            }
            3 => {
                log.pump();
                let chain = Some(chained(&log));
                append(&log, 10, &mut random, 1);
                // The first unsynced page is there, the next is not, the last are.
                let (durable, live) = (disk.images(), disk.kill().images());
                return Images { segments: torn(&durable, live), chain };
            }
            _ => log.close().unwrap(),
        }
    }
    unreachable!("the last run returns")
}

/// A power cut that loses one page in the middle of what was not synced.
fn torn(durable: &BTreeMap<u64, Vec<u8>>, mut live: BTreeMap<u64, Vec<u8>>) -> BTreeMap<u64, Vec<u8>> {
    let mut differing = Vec::new();
    for (number, image) in &live {
        let pages = image.chunks(4096).zip(durable[number].chunks(4096)).enumerate();
        differing.extend(pages.filter(|(_, (new, old))| new != old).map(|(page, _)| (*number, page)));
    }
    assert!(differing.len() > 2, "{differing:?}");
    let (number, page) = differing[1];
    let range = page * 4096..(page + 1) * 4096;
    live.get_mut(&number).unwrap()[range.clone()].copy_from_slice(&durable[&number][range]);
    live
}

#[derive(Default)]
struct Frames {
    payloads: Vec<(Lsn, Vec<u8>)>,
    /// Where each frame begins, those of the log's own left out.
    read: u64,
}

impl Visitor for Frames {
    fn frame(&mut self, frame: &FrameRef<'_>) {
        self.payloads.push((frame.lsn, frame.payload.to_vec()));
    }

    fn read(&mut self, bytes: u64) {
        self.read += bytes;
    }
}

fn survey(images: &Images) -> Survey {
    Archive::of_images(images.clone()).survey(&mut ()).unwrap()
}

/// Positions and payloads.
type Read = Vec<(Lsn, Vec<u8>)>;

/// Opens the log and reads all of it.
fn reopen(images: &Images) -> Result<(Read, Recovery), String> {
    let disk = Disk::from_images(images.segments.clone());
    let (log, recovery) = Log::open_on(disk.medium(), options()).map_err(|error| error.to_string())?;
    let mut reader = log.reader(log.first());
    let mut frames = Vec::new();
    while let Some(frame) = reader.next().map_err(|error| error.to_string())? {
        frames.push((frame.lsn, frame.payload.to_vec()));
    }
    Ok((frames, recovery))
}

fn flip(images: &Images, lsn: u64, bit: u32) -> Images {
    let mut images = images.clone();
    images.segments.get_mut(&(lsn / SEGMENT)).unwrap()[(lsn % SEGMENT) as usize] ^= 1 << bit;
    images
}

/// The bits to flip: the number asked for, or a few, and of every kind of place some.
fn flips(images: &Images, usual: usize) -> Vec<(u64, u32)> {
    let count = std::env::var("DRAWDOWN_FLIPS").map_or(usual, |count| count.parse().expect("a number"));
    let mut random = Random::new(1);
    let size = images.segments.len() as u64 * SEGMENT;
    (0..count).map(|_| (random.below(size), random.below(8) as u32)).collect()
}

#[test]
fn a_sound_log_is_found_sound() {
    let images = everything(true);
    let mut frames = Frames::default();
    let archive = Archive::of_images(images.clone());
    let survey = archive.survey(&mut frames).unwrap();
    assert_eq!(survey.damages, []);
    assert!(survey.is_readable);
    assert_eq!((survey.ended, survey.torn, survey.chain), (Ended::InOrder, None, ChainFile::Whole));
    assert_eq!((survey.log_id, survey.segment_bytes), ([7; 16], SEGMENT));
    let (read, recovery) = reopen(&images).unwrap();
    assert_eq!(frames.payloads, read);
    assert_eq!(frames.read, archive.size_bytes().unwrap());
    assert_eq!((survey.end, recovery.torn), (recovery.end, None));
    let sealed = survey.segments.iter().filter(|segment| segment.is_sealed);
    assert!(sealed.clone().count() > 4);
    for segment in sealed {
        assert_eq!(segment.hash, segment.recorded, "segment {}", segment.number);
        assert!(segment.hash.is_some());
    }
    let counted: u64 = survey.segments.iter().map(|segment| segment.frames).sum();
    assert_eq!(counted, frames.payloads.len() as u64);
    let last = survey.segments.iter().rfind(|segment| segment.frames > 0).unwrap();
    assert_eq!((last.end, last.runs), (survey.end, (4, 4)));
    assert_eq!(survey.segments[0].runs.0, 1);
}

#[test]
fn a_torn_tail_is_no_damage() {
    let images = everything(false);
    let survey = survey(&images);
    assert_eq!(survey.damages, []);
    let (_, recovery) = reopen(&images).unwrap();
    assert_eq!((survey.ended, survey.torn, survey.end), (Ended::Open, recovery.torn, recovery.end));
    assert!(survey.torn.is_some() && survey.end >= survey.durable);
}

#[test]
fn what_simulated_crashes_leave_is_no_damage_and_ends_where_recovery_ends_it() {
    for seed in 0..40 {
        let disk = Disk::new();
        let (log, _) = Log::open_on(disk.medium(), options()).unwrap();
        let mut random = Random::new(seed);
        write(&log, 30, &mut random);
        let left = [disk.crash(seed), disk.kill()][(seed % 2) as usize].clone();
        let images = Images { segments: left.images(), chain: None };
        let survey = survey(&images);
        assert_eq!(survey.damages, [], "seed {seed}");
        let (_, recovery) = reopen(&images).unwrap();
        assert_eq!((survey.torn, survey.end), (recovery.torn, recovery.end), "seed {seed}");
    }
}

/// Whether a damage points at the flipped byte, or at the beginning of what it is in.
#[track_caller]
fn assert_points_at(damage: &Damage, lsn: u64, frames: &[u64]) {
    let begins = frames[..frames.partition_point(|&begins| begins <= lsn)].last().copied().unwrap_or(0);
    let begins = begins.max(lsn / SEGMENT * SEGMENT);
    let at = damage.lsn.get();
    let offset = lsn / SEGMENT * SEGMENT + damage.offset;
    assert!(begins <= at && at <= lsn && begins <= offset && offset <= lsn, "{damage} for {lsn} in {begins}");
    assert_eq!(damage.path, Path::new(&format!("{:016x}.wal", lsn / SEGMENT)));
}

/// Where every frame begins, the log's own too.
fn all_frames(images: &Images) -> Vec<u64> {
    let mut begins = Vec::new();
    for (number, image) in &images.segments {
        let mut at = 4096;
        while at < image.len() {
            let length = u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
            if length == 0 {
                break;
            }
            begins.push(number * SEGMENT + at as u64);
            at += length.next_multiple_of(32);
        }
    }
    begins
}

#[test]
fn one_flipped_bit_anywhere_in_a_closed_log_is_found_and_harms_nothing() {
    let images = everything(true);
    let frames = all_frames(&images);
    let (sound, _) = reopen(&images).unwrap();
    let (mut refused, mut harmless) = (0, 0);
    for (lsn, bit) in flips(&images, 300) {
        let flipped = flip(&images, lsn, bit);
        let survey = survey(&flipped);
        let damage = survey.damages.first().unwrap_or_else(|| panic!("bit {bit} at {lsn} was not noticed"));
        assert_points_at(damage, lsn, &frames);
        assert_eq!(survey.damages.len(), 1, "{:?}", survey.damages);
        match reopen(&flipped) {
            Ok((read, _)) => {
                assert_eq!(read, sound, "bit {bit} at {lsn}");
                assert!(!survey.is_readable || matches!(damage.fault, Fault::NotZero(_)), "{damage}");
                harmless += 1;
            }
            Err(told) => {
                assert!(told.contains("offset") || told.contains("segment"), "{told}");
                refused += 1;
            }
        }
    }
    assert!(refused > 30 && harmless > 30, "{refused} refused, {harmless} harmless");
}

/// Of a log that was cut by a crash, what lies behind the end is nobody's; everything before it is as safe as in a closed one, though nothing
/// vouches for the last of it.
#[test]
fn one_flipped_bit_in_a_crashed_log_is_found_up_to_its_end() {
    let images = everything(false);
    let frames = all_frames(&images);
    let (sound, recovery) = reopen(&images).unwrap();
    let ambiguous = survey(&images).durable;
    assert!(ambiguous < recovery.end, "some of it is vouched for by nothing");
    let mut random = Random::new(3);
    let last = (0..100).map(|_| {
        let length = recovery.end.get() - ambiguous.get();
        (ambiguous.get() + random.below(length), random.below(8) as u32)
    });
    for (lsn, bit) in flips(&images, 200).into_iter().chain(last) {
        let flipped = flip(&images, lsn, bit);
        let survey = survey(&flipped);
        let is_header = lsn % SEGMENT < 4096;
        if lsn >= recovery.end.get() && !is_header {
            assert_eq!(survey.damages, []);
            assert!(survey.torn.is_some());
            assert_eq!(reopen(&flipped).unwrap().0, sound);
            continue;
        }
        let damage = survey.damages.first().unwrap_or_else(|| panic!("bit {bit} at {lsn} was not noticed"));
        assert_points_at(damage, lsn, &frames);
        match reopen(&flipped) {
            Ok((read, _)) => assert_eq!(read, sound, "bit {bit} at {lsn}"),
            Err(told) => assert!(told.contains("offset") || told.contains("segment"), "{told}"),
        }
    }
}

#[test]
fn a_changed_bit_in_the_chains_file_is_found() {
    let images = everything(true);
    let file = images.chain.clone().unwrap();
    for byte in (0..file.len()).step_by(7) {
        let mut images = images.clone();
        images.chain.as_mut().unwrap()[byte] ^= 4;
        let survey = survey(&images);
        assert!(matches!(survey.damages[..], [Damage { fault: Fault::ChainFile(_), .. }]), "{:?}", survey.damages);
        assert!(survey.damages[0].offset <= byte as u64);
    }
}

/// Somebody changes a sealed segment and makes every checksum right again.
#[test]
fn the_chain_tells_a_segment_that_was_changed_with_its_checksums() {
    let images = everything(true);
    for number in [0, 3] {
        let mut forged = images.clone();
        forge(forged.segments.get_mut(&number).unwrap(), number);
        let survey = survey(&forged);
        let [damage] = &survey.damages[..] else { panic!("{:?}", survey.damages) };
        assert!(matches!(damage.fault, Fault::Chain { .. }), "{damage}");
        assert_eq!((damage.lsn.get(), damage.offset), (number * SEGMENT, 0));
        assert!(survey.is_readable && reopen(&forged).is_ok(), "no checksum tells");
        // Without the chain nobody knows.
        assert_eq!(self::survey(&Images { chain: None, ..forged }).damages, []);
    }
    // What no checksum covers is told by more than the chain.
    let hidden = survey_of_padding(&images);
    assert!(matches!(hidden.fault, Fault::NotZero("padding")), "{hidden}");
}

/// Changes a byte of the first frame that has any, and its checksum with it.
fn forge(image: &mut [u8], number: u64) {
    let mut at = 4096;
    loop {
        let length = u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
        if image[at + 20] < 240 && length > 40 {
            image[at + 36] ^= 0x55;
            let seed = crc32c::crc32c_append(crc32c::crc32c(&[7; 16]), &number.to_le_bytes());
            let sum = crc32c::crc32c_append(seed, &image[at..at + 4]);
            let sum = crc32c::crc32c_append(sum, &image[at + 8..at + length]);
            image[at + 4..at + 8].copy_from_slice(&sum.to_le_bytes());
            return;
        }
        at += length.next_multiple_of(32);
    }
}

fn survey_of_padding(images: &Images) -> Damage {
    let begins = all_frames(images);
    let pad = begins.iter().copied().find(|&begins| {
        let image = &images.segments[&(begins / SEGMENT)];
        let at = (begins % SEGMENT) as usize;
        image[at + 20] == 240 && u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) > 32
    });
    survey(&flip(images, pad.unwrap() + 33, 0)).damages.remove(0)
}

#[test]
fn the_chain_vouches_for_the_segments_that_it_was_made_of() {
    let images = everything(true);
    let chained = Chain::read(images.chain.as_deref(), [7; 16]).0.unwrap();
    let mut cut = images.clone();
    // The last segments are gone, and with them the frames that vouch for them.
    cut.segments.retain(|&number, _| number + 2 < chained.next());
    let found = survey(&cut);
    assert!(found.damages.iter().any(|damage| damage.fault == Fault::Missing), "{:?}", found.damages);
}

#[test]
fn a_missing_and_a_foreign_segment_are_found() {
    let images = everything(true);
    let mut missing = images.clone();
    missing.segments.remove(&2);
    let found = survey(&missing);
    assert_eq!(found.damages[0].fault, Fault::Missing);
    assert_eq!(found.damages[0].path, Path::new("0000000000000002.wal"));
    let other = Disk::new();
    drop(Log::open_on(other.medium(), Options { log_id: Some([9; 16]), ..options() }).unwrap());
    let mut foreign = images.clone();
    foreign.segments.insert(1, other.images()[&1].clone());
    let found = survey(&foreign);
    assert_eq!(found.damages[0].fault, Fault::Header("belongs to another log"));
    let mut short = images;
    short.segments.get_mut(&1).unwrap().truncate(9000);
    let found = survey(&short);
    let size = found.damages.iter().find(|damage| damage.fault == Fault::Size { found: 9000, expected: SEGMENT });
    assert!(size.is_some_and(|damage| damage.offset == 9000), "{:?}", found.damages);
    assert_eq!(survey(&Images { segments: BTreeMap::from([(0, vec![1; 100])]), chain: None }).damages.len(), 1);
}

#[test]
fn an_overlay_recovers_as_the_log_would_and_writes_nothing() {
    let images = everything(false);
    let (read, recovery) = reopen(&images).unwrap();
    let directory = tempfile::tempdir().unwrap();
    lay_out(&images, directory.path());
    let before = bytes_of(directory.path());
    for _ in 0..2 {
        let archive = Archive::open(directory.path()).unwrap();
        assert_eq!(archive.bound(), None);
        let (log, again) = Log::open_on(archive.overlay(), options()).unwrap();
        assert_eq!((again.end, again.torn, again.run), (recovery.end, recovery.torn, recovery.run));
        let mut reader = log.reader(log.first());
        let mut frames = Vec::new();
        while let Some(frame) = reader.next().unwrap() {
            frames.push((frame.lsn, frame.payload.to_vec()));
        }
        assert_eq!(frames, read);
        write(&log, 60, &mut Random::new(1));
        log.close().unwrap();
        assert_eq!(archive.survey(&mut ()).unwrap(), {
            let mut expected = survey(&images);
            expected.damages.clear();
            expected
        });
    }
    assert_eq!(bytes_of(directory.path()), before);
}

fn lay_out(images: &Images, directory: &Path) {
    for (number, image) in &images.segments {
        std::fs::write(directory.join(format!("{number:016x}.wal")), image).unwrap();
    }
    std::fs::write(directory.join("chain"), images.chain.as_ref().unwrap()).unwrap();
}

fn bytes_of(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
}

#[test]
fn a_log_in_use_is_looked_at_up_to_what_was_durable() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(directory.path(), options()).unwrap();
    let mut random = Random::new(5);
    write(&log, 50, &mut random);
    log.pump();
    let durable = log.durable();
    // This frame says how far the log was durable when it was written.
    write(&log, 1, &mut random);
    log.pump();
    let archive = Archive::open(directory.path()).unwrap();
    assert_eq!(archive.bound(), Some(durable));
    // The log goes on while it is looked at.
    write(&log, 80, &mut random);
    log.pump();
    let survey = archive.survey(&mut ()).unwrap();
    assert_eq!((survey.damages, survey.ended, survey.end), (vec![], Ended::Bounded, durable));
    let (view, recovery) = Log::open_on(archive.overlay(), options()).unwrap();
    assert_eq!((recovery.end, recovery.torn), (durable, None));
    drop((view, archive));
    log.close().unwrap();
    drop(log);
    // While it is looked at nobody opens it; and two may look.
    let archive = Archive::open(directory.path()).unwrap();
    let second = Archive::open(directory.path()).unwrap();
    assert_eq!((archive.bound(), second.bound()), (None, None));
    assert!(matches!(Log::open(directory.path(), options()), Err(OpenError::Locked { .. })));
    drop((archive, second));
    Log::open(directory.path(), options()).unwrap();
}

#[test]
fn a_directory_without_a_log_is_told() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(Archive::open(directory.path()), Err(ArchiveError::Empty { .. })));
    assert!(matches!(Archive::open(&directory.path().join("nothing")), Err(ArchiveError::Io { .. })));
}

/// The chain's file lives beside the segments, grows with them, and is made again when it is lost.
#[test]
fn the_chain_is_kept_across_openings_and_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("chain");
    let mut random = Random::new(9);
    let (log, _) = Log::open(directory.path(), options()).unwrap();
    assert_eq!(log.chain_file(), ChainFile::Missing);
    write(&log, 60, &mut random);
    log.pump();
    assert!(log.extend_chain().unwrap());
    let one = std::fs::read(&file).unwrap();
    while log.extend_chain().unwrap() {}
    let all = std::fs::read(&file).unwrap();
    assert!(all.starts_with(&one) && all.len() > one.len() + 91, "lines are only added");
    assert_eq!(log.chain().write(), all);
    let head = log.stats().chain.head.unwrap();
    assert_eq!((head.segment, head.lsn), (log.chain().next() - 1, Lsn::new(log.chain().next() * SEGMENT)));
    log.close().unwrap();
    drop(log);
    for (left, found) in [
        (Some(&all[..]), ChainFile::Whole),
        (None, ChainFile::Missing),
        (Some(&all[..all.len() - 5]), ChainFile::Torn { offset: all.len() as u64 - 91 }),
    ] {
        match left {
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let (log, _) = Log::open(directory.path(), options()).unwrap();
        assert_eq!(log.chain_file(), found);
        while log.extend_chain().unwrap() {}
        assert_eq!(std::fs::read(&file).unwrap(), all);
        log.close().unwrap();
    }
    // Anybody's hash: each goes on from the digits of the one before.
    let chain = Chain::read(Some(&all), [7; 16]).0.unwrap();
    for number in 0..chain.next() {
        let mut text = chain.before(number).unwrap().to_string().into_bytes();
        text.extend(std::fs::read(directory.path().join(format!("{number:016x}.wal"))).unwrap());
        assert_eq!(chain.at(number).unwrap().to_string(), blake3::hash(&text).to_string());
    }
}

#[test]
fn retired_segments_stay_in_the_chain() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(directory.path(), options()).unwrap();
    write(&log, 80, &mut Random::new(4));
    log.pump();
    assert!(log.retire(log.durable()).unwrap() > 2);
    let first = log.first().get() / SEGMENT;
    assert!(log.chain().next() >= first, "what is retired is in the chain");
    log.close().unwrap();
    drop(log);
    let survey = Archive::open(directory.path()).unwrap().survey(&mut ()).unwrap();
    assert_eq!((survey.damages, survey.segments[0].number), (vec![], first));
    let (log, _) = Log::open(directory.path(), options()).unwrap();
    assert!(log.chain().before(first).is_some() && log.chain().first() == 0);
    log.close().unwrap();
    drop(log);
    // Once the file is lost, what was before is lost with it.
    std::fs::remove_file(directory.path().join("chain")).unwrap();
    let (log, _) = Log::open(directory.path(), options()).unwrap();
    assert_eq!(log.chain().first(), first);
    log.close().unwrap();
}

#[test]
fn a_thread_makes_the_chain_as_segments_are_sealed() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(directory.path(), Options { manual: false, ..options() }).unwrap();
    let mut random = Random::new(2);
    let mut written = 0;
    while log.durable().get() < 4 * SEGMENT {
        let admission = log.admit_wait(frame_bytes(700), std::time::Duration::from_secs(10)).unwrap();
        let end = admission.reserve(1, 700).publish(700, 1);
        written += 1;
        if random.below(4) == 0 {
            log.wait_durable(end).unwrap();
        }
        log.flush();
    }
    assert!(written > 50);
    // It comes by itself; here it is only waited for.
    while log.chain().next() < 4 {
        std::thread::yield_now();
    }
    log.close().unwrap();
    drop(log);
    let survey = Archive::open(directory.path()).unwrap().survey(&mut ()).unwrap();
    assert_eq!((survey.damages, survey.ended), (vec![], Ended::InOrder));
    assert!(survey.segments[3].recorded.is_some_and(|recorded| Some(recorded) == survey.segments[3].hash));
}
