//! The log against a disk that loses power, fails, fills up and rots.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;

use drawdown_wal::sim::{Cut, Disk, Random, SECTOR_BYTES};
use drawdown_wal::{AppendError, Log, Lsn, OpenError, Options, ReadError, Stage, Verify, frame_bytes};
use proptest::prelude::{ProptestConfig, any, prop};
use proptest::{prop_assert, proptest};

const SEGMENT: u64 = 16384;

fn options() -> Options {
    Options { verify: Verify::All, ..Options::tiny(SEGMENT) }
}

/// What a run wrote, and how much of it was acknowledged.
#[derive(Clone, Debug, Default)]
struct Book {
    frames: Vec<(Lsn, Vec<u8>)>,
    durable: Lsn,
}

impl Book {
    /// Every acknowledged frame is in the log, and what is in the log is a prefix of what was written.
    #[track_caller]
    fn audit(&self, log: &Log, context: &str) {
        let found = read_all(log);
        assert!(found.len() <= self.frames.len(), "{context}: more frames than were written");
        assert_eq!(found, self.frames[..found.len()], "{context}: not a prefix");
        let acknowledged = self.frames.iter().filter(|(lsn, _)| *lsn < self.durable).count();
        assert!(found.len() >= acknowledged, "{context}: {} of {acknowledged} acknowledged frames", found.len());
    }
}

fn read_all(log: &Log) -> Vec<(Lsn, Vec<u8>)> {
    let mut reader = log.reader(log.first());
    let mut frames = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        frames.push((frame.lsn, frame.payload.to_vec()));
    }
    frames
}

fn append(log: &Log, payload: &[u8]) -> Result<(Lsn, Lsn), AppendError> {
    let admission = log.admit_wait(frame_bytes(payload.len() as u64), std::time::Duration::ZERO)?;
    let mut frame = admission.reserve(1, payload.len());
    let lsn = frame.lsn();
    frame.payload_mut()[..payload.len()].copy_from_slice(payload);
    Ok((lsn, frame.publish(payload.len(), 1)))
}

/// Appends and syncs by a seed until `steps` are done or the log stops.
fn run(log: &Log, book: &mut Book, steps: usize, seed: u64) {
    let mut random = Random::new(seed);
    for _ in 0..steps {
        let payload = vec![random.below(255) as u8 + 1; random.below(1500) as usize];
        match append(log, &payload) {
            Ok((lsn, _)) => book.frames.push((lsn, payload)),
            Err(_) => break,
        }
        if random.below(3) == 0 {
            log.pump();
        }
        book.durable = log.durable();
    }
    book.durable = log.durable();
}

#[test]
fn power_cut_at_every_sync_loses_nothing_acknowledged() {
    for seed in 0..3u64 {
        let mut sync = 1;
        loop {
            let mut happened = false;
            for cut in [Cut::Before, Cut::During, Cut::After] {
                let disk = Disk::new();
                disk.cut_power_at(sync, cut, seed * 1000 + sync);
                let mut book = Book::default();
                if let Ok((log, _)) = Log::open_on(disk.medium(), options()) {
                    run(&log, &mut book, 60, seed);
                    log.pump();
                }
                let Some(left) = disk.left() else { continue };
                happened = true;
                let context = format!("seed {seed}, sync {sync}, {cut:?}");
                let (log, _) =
                    Log::open_on(left.medium(), options()).unwrap_or_else(|error| panic!("{context}: {error}"));
                book.audit(&log, &context);
            }
            if !happened {
                break;
            }
            sync += 1;
        }
        assert!(sync > 10, "the run syncs often enough to be worth cutting");
    }
}

/// Power is cut again and again, also while recovery cuts the torn tail: nothing acknowledged in any life is lost, and the log goes on.
#[test]
fn repeated_power_cuts_lose_nothing_acknowledged() {
    for seed in 0..16u64 {
        let mut random = Random::new(seed);
        let mut disk = Disk::new();
        let mut book = Book::default();
        let mut runs = 0;
        for life in 0..12 {
            disk.cut_power_at(1 + random.below(12), Cut::During, random.draw());
            if let Ok((log, recovery)) = Log::open_on(disk.medium(), options()) {
                let context = format!("seed {seed}, life {life}");
                assert!(recovery.run > runs, "{context}: runs go up");
                runs = recovery.run;
                book.audit(&log, &context);
                book.frames = read_all(&log);
                run(&log, &mut book, 30, random.draw());
                log.pump();
            }
            disk = match disk.left() {
                Some(left) => left,
                None => disk.crash(random.draw()),
            };
        }
    }
}

#[test]
fn the_last_batch_may_be_cut_at_every_sector() {
    let disk = Disk::new();
    let (log, _) = Log::open_on(disk.medium(), options()).unwrap();
    let mut book = Book::default();
    run(&log, &mut book, 12, 5);
    log.pump();
    book.durable = log.durable();
    let from = log.durable();
    // One batch of several frames, none of it synced.
    for i in 0..6u8 {
        let payload = vec![i + 1; 700 + usize::from(i) * 100];
        let (lsn, _) = append(&log, &payload).unwrap();
        book.frames.push((lsn, payload));
    }
    let mut lengths = Vec::new();
    for lsn in (from.get()..=log.tail().get() + SECTOR_BYTES as u64).step_by(SECTOR_BYTES) {
        let left = disk.crash_keeping(lsn / SEGMENT, lsn % SEGMENT);
        let (log, recovery) = Log::open_on(left.medium(), options()).unwrap();
        book.audit(&log, &format!("cut at {lsn}"));
        lengths.push(read_all(&log).len());
        assert!(recovery.torn.is_none_or(|torn| torn.at == recovery.end));
    }
    assert!(lengths.is_sorted());
    assert_eq!(lengths.last(), Some(&book.frames.len()));
}

#[test]
fn a_killed_process_loses_nothing_that_was_published() {
    let disk = Disk::new();
    let (log, _) = Log::open_on(disk.medium(), options()).unwrap();
    let mut book = Book::default();
    run(&log, &mut book, 25, 1);
    let (log, recovery) = Log::open_on(disk.kill().medium(), options()).unwrap();
    assert_eq!(recovery.torn, None);
    assert_eq!(read_all(&log), book.frames);
    drop(log);
}

#[test]
fn recovery_makes_durable_what_it_found_in_memory() {
    let disk = Disk::new();
    let (log, _) = Log::open_on(disk.medium(), options()).unwrap();
    let (_, end) = append(&log, b"in memory only").unwrap();
    // The process died: the next one finds the frame in memory, but a power cut would still lose it.
    assert!(log.durable() < end);
    let memory = disk.kill().images();
    let reopened = Disk::with_memory(disk.images(), &memory);
    let (_log, recovery) = Log::open_on(reopened.medium(), options()).unwrap();
    assert_eq!(recovery.end, end);
    for seed in 0..16 {
        let (log, _) = Log::open_on(reopened.crash(seed).medium(), options()).unwrap();
        assert_eq!(read_all(&log).len(), 1);
    }
}

/// Frames of two durable batches; returns the images and the frames' positions.
fn two_batches() -> (BTreeMap<u64, Vec<u8>>, Vec<Lsn>) {
    let disk = Disk::new();
    let (log, _) = Log::open_on(disk.medium(), options()).unwrap();
    let mut frames = Vec::new();
    for batch in 0..2u8 {
        for i in 0..4u8 {
            frames.push(append(&log, &vec![batch * 4 + i + 1; 600]).unwrap().0);
        }
        log.pump();
    }
    (disk.images(), frames)
}

#[test]
fn a_flipped_bit_is_damage_below_the_durable_mark_and_above() {
    let (images, frames) = two_batches();
    for (i, lsn) in frames.iter().enumerate() {
        for bit in [0, 40, 64, 130, 161, 180, 200, 256, 256 + 599 * 8] {
            let mut images = images.clone();
            let image = images.get_mut(&(lsn.get() / SEGMENT)).unwrap();
            image[(lsn.get() % SEGMENT) as usize + bit / 8] ^= 1 << (bit % 8);
            let opened = Log::open_on(Disk::from_images(images).medium(), options());
            if i < 4 {
                // The second batch was written when the first was durable, and says so.
                let Err(OpenError::LostData { lsn: hole, offset, durable, path }) = opened else {
                    panic!("frame {i}, bit {bit}: {opened:?}");
                };
                assert_eq!((hole, offset, durable), (*lsn, lsn.get() % SEGMENT, frames[4]));
                assert!(path.to_str().unwrap().contains("segment 0"));
            } else {
                // Nothing was written since, and yet no power cut leaves a frame that lacks one bit.
                let Err(OpenError::FlippedBit { lsn: frame, offset, bit: which, path }) = opened else {
                    panic!("frame {i}, bit {bit}: {opened:?}");
                };
                assert_eq!((frame, offset), (*lsn, lsn.get() % SEGMENT + bit as u64 / 8));
                assert_eq!(usize::from(which), bit % 8);
                assert!(path.to_str().unwrap().contains("segment 0"));
            }
        }
    }
}

#[test]
fn after_an_orderly_end_every_lost_frame_is_noticed() {
    let disk = Disk::new();
    let (log, _) = Log::open_on(disk.medium(), options()).unwrap();
    let (lsn, _) = append(&log, b"the last of all").unwrap();
    log.close().unwrap();
    let mut images = disk.images();
    images.get_mut(&0).unwrap()[lsn.get() as usize + 32] ^= 1;
    let opened = Log::open_on(Disk::from_images(images).medium(), options());
    assert!(matches!(opened, Err(OpenError::LostData { lsn: hole, .. }) if hole == lsn));
}

/// A disk with many segments, as images.
fn many_segments() -> BTreeMap<u64, Vec<u8>> {
    let disk = Disk::new();
    let (log, _) = Log::open_on(disk.medium(), options()).unwrap();
    run(&log, &mut Book::default(), 120, 8);
    log.close().unwrap();
    disk.images()
}

#[test]
fn a_missing_segment_is_refused() {
    let images = many_segments();
    assert!(images.len() > 4);
    for &number in images.keys().skip(1) {
        let mut images = images.clone();
        images.remove(&number);
        let last = *images.keys().last().unwrap();
        match Log::open_on(Disk::from_images(images).medium(), options()) {
            Err(OpenError::MissingSegment { number: missing, .. }) => assert_eq!(missing, number),
            // Only a prepared segment that never held a frame may be missing at the end: it is prepared again.
            Ok((_, recovery)) => assert!(number > last && recovery.end.get() / SEGMENT <= last),
            Err(error) => panic!("{error}"),
        }
    }
    // All segments from one on, the written ones included.
    let mut images = images.clone();
    images.retain(|&number, _| number < 2);
    let opened = Log::open_on(Disk::from_images(images).medium(), options());
    assert!(matches!(opened, Ok(_) | Err(OpenError::MissingSegment { number: 2, .. })), "{opened:?}");
}

#[test]
fn a_damaged_segment_header_is_refused() {
    let images = many_segments();
    for &number in images.keys() {
        for byte in 0..64 {
            let mut images = images.clone();
            images.get_mut(&number).unwrap()[byte] ^= 0x10;
            let opened = Log::open_on(Disk::from_images(images).medium(), options());
            assert!(matches!(opened, Err(OpenError::Header { .. })), "segment {number}, byte {byte}: {opened:?}");
        }
    }
    // A segment of another log under the right name.
    let other = Disk::new();
    drop(Log::open_on(other.medium(), Options { log_id: Some([9; 16]), ..options() }).unwrap());
    let mut images = images.clone();
    images.insert(1, other.images()[&1].clone());
    let opened = Log::open_on(Disk::from_images(images).medium(), options());
    assert!(matches!(opened, Err(OpenError::Header { reason, .. }) if reason.contains("another log")));
}

#[test]
fn old_segments_are_checked_when_read() {
    let mut images = many_segments();
    images.get_mut(&0).unwrap()[4096 + 200] ^= 1;
    let quick = Options { verify: Verify::Tail, ..options() };
    let (log, _) = Log::open_on(Disk::from_images(images.clone()).medium(), quick).unwrap();
    let mut reader = log.reader(Lsn::ZERO);
    let error = loop {
        match reader.next() {
            Ok(frame) => assert!(frame.is_some(), "the damage must be met"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReadError::Corrupt { segment: 0, .. }));
    let thorough = Log::open_on(Disk::from_images(images).medium(), options());
    assert!(matches!(thorough, Err(OpenError::LostData { .. })));
}

/// Frames of an earlier run that were cut away never come back, even if the next run ends exactly where one of them began.
#[test]
fn stale_frames_never_pass_for_new_ones() {
    let disk = Disk::new();
    let (log, _) = Log::open_on(disk.medium(), options()).unwrap();
    append(&log, b"durable").unwrap();
    log.pump();
    // Each frame takes 64 bytes, as do the open frame plus one frame of 32 of the next run.
    let lost = append(&log, &[1; 32]).unwrap().0;
    let stale: Vec<Lsn> = (2..8u8).map(|i| append(&log, &[i; 32]).unwrap().0).collect();
    let mut image = disk.kill().images();
    // The first of them did not reach the disk, the others did.
    let at = lost.get() as usize;
    image.get_mut(&0).unwrap()[at..at + 64].fill(0);
    let disk = Disk::from_images(image.clone());
    let (log, recovery) = Log::open_on(disk.medium(), options()).unwrap();
    assert_eq!(recovery.torn.map(|torn| torn.at), Some(lost));
    assert_eq!(recovery.end, lost);
    let (_, end) = append(&log, b"").unwrap();
    assert_eq!(end, stale[0], "the new run ends where a stale frame began");
    log.pump();
    let (log, _) = Log::open_on(disk.crash(1).medium(), options()).unwrap();
    assert_eq!(read_all(&log).len(), 2);

    // The same when the zeroing had been undone, as by a disk that lies: the run number tells.
    let mut left = disk.images();
    let from = stale[0].get() as usize;
    left.get_mut(&0).unwrap()[from..from + 384].copy_from_slice(&image[&0][from..from + 384]);
    let (log, recovery) = Log::open_on(Disk::from_images(left).medium(), options()).unwrap();
    assert_eq!(recovery.torn.map(|torn| (torn.at, torn.bytes)), Some((stale[0], 384)));
    assert_eq!(read_all(&log).len(), 2);
}

#[test]
fn a_failed_sync_is_final() {
    let disk = Disk::new();
    let (log, _) = Log::open_on(disk.medium(), options()).unwrap();
    append(&log, b"durable").unwrap();
    log.pump();
    let durable = log.durable();
    let (_, end) = append(&log, b"not durable").unwrap();
    let admission = log.admit(64).unwrap();
    disk.fail_sync(disk.syncs() + 1);
    let failed = log.wait_durable(end).unwrap_err();
    assert_eq!((failed.stage, failed.durable), (Stage::Sync, durable));
    assert_eq!(log.durable(), durable);
    // What was admitted still goes through; it just never becomes durable.
    admission.reserve(1, 32).publish(32, 0);
    drop(admission);
    assert!(matches!(log.admit(32), Err(AppendError::Poisoned(_))));
    assert!(matches!(log.wait_durable(end), Err(poisoned) if poisoned.stage == Stage::Sync));
    assert!(log.wait_durable(durable).is_ok());
    assert!(log.poisoned().is_some());
    let syncs = disk.syncs();
    log.pump();
    log.flush();
    assert_eq!(disk.syncs(), syncs, "a sync is never retried");
    assert!(log.close().is_err());
    assert_eq!(disk.syncs(), syncs);
}

#[test]
fn a_full_disk_refuses_appends_until_there_is_space() {
    let disk = Disk::new();
    let (log, _) = Log::open_on(disk.medium(), options()).unwrap();
    disk.fill_up(disk.creations() + 1);
    let mut book = Book::default();
    let error = loop {
        match append(&log, &[5; 1000]) {
            Ok((lsn, _)) => book.frames.push((lsn, vec![5; 1000])),
            Err(error) => break error,
        }
        log.pump();
    };
    let AppendError::NoSpace { source } = error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
    // Everything that was admitted is durable and readable.
    assert_eq!(read_all(&log), book.frames);
    disk.make_space();
    assert!(log.pump().prepared);
    let (lsn, end) = append(&log, b"again").unwrap();
    book.frames.push((lsn, b"again".to_vec()));
    log.wait_durable(end).unwrap();
    assert_eq!(read_all(&log), book.frames);
}

/// The log's own threads, and nobody who drives them: writing goes on by itself when creations succeed again.
#[test]
fn a_log_whose_preparer_fails_for_a_while_goes_on_by_itself() {
    let disk = Disk::new();
    let (log, _) = Log::open_on(disk.medium(), Options { manual: false, ..options() }).unwrap();
    // As many as lie ahead may be prepared at any moment: from now on all fail, until the log is known to have run out of room.
    disk.fill_up(1);
    let mut book = Book::default();
    let mut last = Lsn::ZERO;
    let error = loop {
        match append(&log, &[5; 1000]) {
            Ok((lsn, end)) => {
                book.frames.push((lsn, vec![5; 1000]));
                last = end;
            }
            Err(AppendError::Overloaded { .. }) => log.wait_durable(last).unwrap(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::NoSpace { .. }), "{error}");
    assert_eq!(log.prepare_failure().unwrap().kind(), std::io::ErrorKind::StorageFull);
    log.wait_durable(last).unwrap();
    assert_eq!(read_all(&log), book.frames);
    let failures = log.stats().prepare_failures;
    disk.fail_creations(3);
    disk.make_space();
    let (lsn, end) = loop {
        match append(&log, &[6; 1000]) {
            Ok(appended) => break appended,
            Err(error) => {
                assert!(matches!(error, AppendError::NoSpace { .. } | AppendError::Overloaded { .. }), "{error}");
            }
        }
        std::thread::yield_now();
    };
    book.frames.push((lsn, vec![6; 1000]));
    log.wait_durable(end).unwrap();
    assert_eq!(read_all(&log), book.frames);
    assert!(log.prepare_failure().is_none());
    assert!(log.stats().prepare_failures >= failures + 3, "the failures were met one after the other");
}

/// A full disk is no reason not to open what is there: it can be read, and written when there is space again.
#[test]
fn a_log_opens_on_a_full_disk() {
    let disk = Disk::new();
    let (log, _) = Log::open_on(disk.medium(), options()).unwrap();
    let mut book = Book::default();
    run(&log, &mut book, 30, 3);
    log.pump();
    log.close().unwrap();
    drop(log);
    disk.fill_up(1);
    let (log, _) = Log::open_on(disk.medium(), options()).unwrap();
    assert_eq!(read_all(&log), book.frames);
    while let Ok((lsn, _)) = append(&log, &[7; 1000]) {
        book.frames.push((lsn, vec![7; 1000]));
        log.pump();
    }
    assert!(matches!(append(&log, &[7; 1000]), Err(AppendError::NoSpace { .. })));
    assert_eq!(read_all(&log), book.frames);
    disk.make_space();
    log.pump();
    let (lsn, end) = append(&log, b"again").unwrap();
    book.frames.push((lsn, b"again".to_vec()));
    log.wait_durable(end).unwrap();
    assert_eq!(read_all(&log), book.frames);
}

#[test]
fn syncs_that_are_held_up_overload_the_log_and_lose_nothing() {
    let disk = Disk::new();
    let (log, _) = Log::open_on(disk.medium(), Options { manual: false, ..options() }).unwrap();
    disk.hold_syncs();
    let mut book = Book::default();
    let error = loop {
        match append(&log, &[9; 500]) {
            Ok((lsn, _)) => book.frames.push((lsn, vec![9; 500])),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::Overloaded { .. }), "{error}");
    disk.release_syncs();
    log.wait_durable(log.tail()).unwrap();
    assert_eq!(read_all(&log), book.frames);
    let stats = log.stats();
    assert!(stats.sync_ns_total >= stats.last_sync_ns && stats.last_sync_ns > 0);
    append(&log, b"again").unwrap();
}

#[test]
fn a_disk_that_is_full_at_once_is_an_error_of_opening() {
    let disk = Disk::new();
    disk.fill_up(1);
    assert!(matches!(Log::open_on(disk.medium(), options()), Err(OpenError::Io { .. })));
    disk.make_space();
    Log::open_on(disk.medium(), options()).unwrap();
}

/// A segment image: a valid header, then whatever the test wants.
fn with_header(body: &[u8]) -> Vec<u8> {
    let disk = Disk::new();
    drop(Log::open_on(disk.medium(), options()).unwrap());
    let mut image = disk.images().remove(&0).unwrap();
    image[4096..].fill(0);
    let len = body.len().min(image.len() - 4096);
    image[4096..4096 + len].copy_from_slice(&body[..len]);
    image
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn recovery_takes_any_bytes_for_a_segment(body in prop::collection::vec(any::<u8>(), 0..12288)) {
        let images = BTreeMap::from([(0, with_header(&body))]);
        let (log, recovery) = Log::open_on(Disk::from_images(images).medium(), options()).unwrap();
        prop_assert!(recovery.torn.is_some() || body.iter().all(|&byte| byte == 0));
        prop_assert!(read_all(&log).is_empty());
    }

    #[test]
    fn recovery_takes_any_bytes_for_a_file(file in prop::collection::vec(any::<u8>(), 0..9000)) {
        let images = BTreeMap::from([(0, file)]);
        prop_assert!(Log::open_on(Disk::from_images(images).medium(), options()).is_err());
    }

    /// Bytes of a real log changed anywhere: it opens with a prefix of its frames, or refuses; it never shows a changed frame.
    #[test]
    fn a_changed_log_opens_with_a_prefix_or_refuses(
        changes in prop::collection::vec((4096..16384usize, any::<u8>()), 1..6),
    ) {
        let disk = Disk::new();
        let (log, _) = Log::open_on(disk.medium(), options()).unwrap();
        let mut book = Book::default();
        run(&log, &mut book, 10, 77);
        log.pump();
        let mut images = disk.images();
        for (at, value) in changes {
            images.get_mut(&0).unwrap()[at] = value;
        }
        book.durable = Lsn::ZERO;
        match Log::open_on(Disk::from_images(images).medium(), options()) {
            Ok((log, _)) => book.audit(&log, "changed"),
            Err(OpenError::LostData { .. } | OpenError::FlippedBit { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Two bits of a frame that nothing vouches for: as good as torn.
#[test]
fn two_flipped_bits_above_the_durable_mark_are_a_torn_tail() {
    let (images, frames) = two_batches();
    let lsn = frames[5];
    let mut images = images.clone();
    let image = images.get_mut(&(lsn.get() / SEGMENT)).unwrap();
    image[(lsn.get() % SEGMENT) as usize + 40] ^= 1;
    image[(lsn.get() % SEGMENT) as usize + 300] ^= 1;
    let (_, recovery) = Log::open_on(Disk::from_images(images).medium(), options()).unwrap();
    assert_eq!(recovery.torn.map(|torn| torn.at), Some(lsn));
}
