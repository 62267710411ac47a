//! One suite over every medium: what the log promises does not depend on where it lives.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use drawdown_wal::sim::Disk;
use drawdown_wal::{
    AppendError, Disposal, Files, Heap, Log, Lsn, Mapped, Medium, OpenError, Options, ReadError, Verify, frame_bytes,
};

/// Calls `test` with a way to open the same log again and again, for each medium.
fn over_all_media(test: impl Fn(&dyn Fn() -> Arc<dyn Medium>)) {
    let heap: Arc<Heap> = Arc::new(Heap::new());
    test(&|| Arc::clone(&heap) as Arc<dyn Medium>);
    let disk = Disk::new();
    test(&|| disk.medium());
    let directory = tempfile::tempdir().unwrap();
    test(&|| Arc::new(Mapped::open(directory.path()).unwrap()) as Arc<dyn Medium>);
}

fn append(log: &Log, kind: u8, payload: &[u8]) -> (Lsn, Lsn) {
    let admission = log.admit_wait(frame_bytes(payload.len() as u64), std::time::Duration::from_secs(10)).unwrap();
    let mut frame = admission.reserve(kind, payload.len());
    let lsn = frame.lsn();
    frame.payload_mut()[..payload.len()].copy_from_slice(payload);
    (lsn, frame.publish(payload.len(), 1))
}

fn read_all(log: &Log, from: Lsn) -> Vec<(Lsn, u8, Vec<u8>)> {
    let mut reader = log.reader(from);
    let mut frames = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        frames.push((frame.lsn, frame.kind, frame.payload.to_vec()));
    }
    frames
}

/// Payload number `i`: every length from nothing to several frames' worth, recognisable bytes.
fn payload(i: usize) -> Vec<u8> {
    vec![(i % 251) as u8 + 1; i * 7 % 700]
}

#[test]
fn frames_come_back_in_order_across_segments_and_reopening() {
    over_all_media(|medium| {
        let mut written = Vec::new();
        for round in 0..3usize {
            let (log, recovery) = Log::open_on(medium(), Options::tiny(8192)).unwrap();
            assert_eq!(recovery.created, round == 0);
            assert_eq!(recovery.run, round as u32 + 1);
            assert_eq!(recovery.torn, None);
            assert_eq!(read_all(&log, Lsn::ZERO), written);
            for i in 0..40 {
                let payload = payload(round * 100 + i);
                let (lsn, end) = append(&log, 5, &payload);
                written.push((lsn, 5, payload));
                if i % 8 == 0 {
                    log.wait_durable(end).unwrap();
                }
            }
            log.pump();
            assert_eq!(log.durable(), log.tail());
            assert_eq!(read_all(&log, Lsn::ZERO), written);
            log.close().unwrap();
        }
    });
}

#[test]
fn background_threads_do_what_pumping_does() {
    over_all_media(|medium| {
        let options = Options { manual: false, ..Options::tiny(8192) };
        let (log, _) = Log::open_on(medium(), options).unwrap();
        let mut written = Vec::new();
        for i in 0..100 {
            let (lsn, end) = append(&log, 9, &payload(i));
            written.push((lsn, 9, payload(i)));
            if i % 10 == 0 {
                log.wait_durable(end).unwrap();
            }
        }
        log.wait_durable(log.tail()).unwrap();
        assert_eq!(read_all(&log, Lsn::ZERO), written);
        log.close().unwrap();
        log.close().unwrap();
        assert!(matches!(log.admit(32), Err(AppendError::Closed)));
    });
}

#[test]
fn reading_starts_at_the_first_frame_at_or_behind_any_position() {
    over_all_media(|medium| {
        let (log, _) = Log::open_on(medium(), Options::tiny(8192)).unwrap();
        let mut starts = Vec::new();
        for i in 0..30 {
            starts.push(append(&log, 1, &payload(i)).0);
            log.pump();
        }
        for from in 0..log.tail().get() + 100 {
            let from = Lsn::new(from);
            let expected = starts.iter().copied().find(|&lsn| lsn >= from);
            let mut reader = log.reader(from);
            assert_eq!(reader.next().unwrap().map(|frame| frame.lsn), expected, "from {from}");
        }
    });
}

#[test]
fn a_reader_goes_on_where_the_durable_end_was() {
    over_all_media(|medium| {
        let (log, _) = Log::open_on(medium(), Options::tiny(8192)).unwrap();
        let mut reader = log.reader(log.tail());
        for i in 0..60 {
            let (lsn, end) = append(&log, 2, &payload(i));
            assert_eq!(reader.next().unwrap(), None, "not durable yet");
            log.wait_durable(end).unwrap();
            let frame = reader.next().unwrap().unwrap();
            assert_eq!((frame.lsn, frame.end, frame.payload), (lsn, end, &payload(i)[..]));
            assert_eq!(frame.payload_lsn, lsn.plus(32));
            log.pump();
        }
    });
}

#[test]
fn a_view_shows_published_bytes_and_nothing_else() {
    over_all_media(|medium| {
        let (log, _) = Log::open_on(medium(), Options::tiny(8192)).unwrap();
        let (lsn, _) = append(&log, 1, b"first");
        let view = log.pinned(lsn).unwrap();
        assert_eq!(view.bytes(lsn.plus(32), 5), Some(&b"first"[..]));
        let admission = log.admit(64).unwrap();
        let frame = admission.reserve(1, 0);
        let (second, _) = append(&log, 1, b"second");
        assert_eq!(view.bytes(frame.lsn(), 32), None);
        assert_eq!(view.bytes(second.plus(32), 6), None, "hidden by the unpublished frame before it");
        frame.publish(0, 0);
        assert_eq!(view.bytes(second.plus(32), 6), Some(&b"second"[..]));
        assert_eq!(view.bytes(log.tail(), 1), None);
        assert_eq!(view.bytes(Lsn::ZERO, 1), None, "the segment header is no frame");
        assert_eq!(view.bytes(Lsn::new(u64::MAX), 1), None);
        assert_eq!(view.bytes(second, usize::MAX), None);
    });
}

#[test]
fn unused_and_dropped_space_becomes_padding() {
    over_all_media(|medium| {
        let (log, _) = Log::open_on(medium(), Options::tiny(8192)).unwrap();
        let admission = log.admit(1024).unwrap();
        let mut big = admission.reserve(1, 500);
        let small = admission.reserve(2, 10);
        big.payload_mut().fill(0xee);
        let small_lsn = small.lsn();
        small.publish(0, 3);
        let big_lsn = big.lsn();
        assert_eq!(big.publish(33, 7), big_lsn.plus(96));
        drop(admission.reserve(3, 100));
        drop(admission);
        log.pump();
        assert_eq!(log.durable(), log.tail());
        let expected = vec![(big_lsn, 1, vec![0xee; 33]), (small_lsn, 2, Vec::new())];
        assert_eq!(read_all(&log, Lsn::ZERO), expected);
        drop(log);
        let (log, recovery) = Log::open_on(medium(), Options::tiny(8192)).unwrap();
        assert_eq!(recovery.torn, None);
        assert_eq!(read_all(&log, Lsn::ZERO), expected);
    });
}

#[test]
fn the_flusher_stops_before_an_unpublished_frame() {
    over_all_media(|medium| {
        let (log, _) = Log::open_on(medium(), Options::tiny(8192)).unwrap();
        let (_, end) = append(&log, 1, b"before");
        let admission = log.admit(64).unwrap();
        let open = admission.reserve(1, 32);
        append(&log, 1, b"behind");
        log.pump();
        assert_eq!(log.durable(), end);
        open.publish(32, 0);
        log.pump();
        assert_eq!(log.durable(), log.tail());
    });
}

#[test]
fn admission_bounds_what_is_not_durable() {
    over_all_media(|medium| {
        let options = Options { max_unsynced_bytes: 2048, ..Options::tiny(8192) };
        let (log, _) = Log::open_on(medium(), options).unwrap();
        assert!(matches!(log.admit(2049), Err(AppendError::TooLarge { bytes: 2080, max: 2048 })));
        let first = log.admit(1024).unwrap();
        let second = log.admit(1024).unwrap();
        assert!(matches!(log.admit(32), Err(AppendError::Overloaded { unsynced: 2048, .. })));
        second.reserve(1, 992).publish(992, 0);
        drop(second);
        assert!(matches!(log.admit(32), Err(AppendError::Overloaded { unsynced: 2048, .. })));
        log.pump();
        drop(log.admit(1024).unwrap());
        drop(first);
        assert_eq!(log.stats().unsynced_bytes, 0);
    });
}

#[test]
fn retired_segments_are_gone_and_pinned_ones_stay_readable() {
    over_all_media(|medium| {
        let (log, _) = Log::open_on(medium(), Options::tiny(8192)).unwrap();
        let (lsn, _) = append(&log, 1, b"old");
        for i in 0..60 {
            append(&log, 1, &payload(i));
            log.pump();
        }
        let view = log.pinned(lsn).unwrap();
        let removed = log.retire(log.tail()).unwrap();
        assert!(removed > 0);
        assert_eq!(log.first(), Lsn::new(removed * 8192 + 4096));
        assert_eq!(view.bytes(lsn.plus(32), 3), Some(&b"old"[..]));
        assert!(log.pinned(lsn).is_none());
        assert!(matches!(log.reader(lsn).next(), Err(ReadError::Retired { .. })));
        let rest = read_all(&log, log.first());
        let first = log.first();
        drop((log, view));
        let (log, recovery) = Log::open_on(medium(), Options::tiny(8192)).unwrap();
        assert_eq!(recovery.first, first);
        assert_eq!(read_all(&log, first), rest);
    });
}

/// A segment that was recycled reads as a new one: its header, then zeros, wherever a walker may look for a length word.
#[test]
fn recycled_segments_hold_nothing_of_what_they_held() {
    over_all_media(|medium| {
        let (log, _) = Log::open_on(medium(), Options::tiny(8192)).unwrap();
        let mut rest = Vec::new();
        for i in 0..200 {
            // Odd lengths, so that frames begin at other places each time.
            let payload = vec![0xee; 33 + i * 13 % 500];
            let (lsn, _) = append(&log, 1, &payload);
            rest.push((lsn, 1, payload));
            while log.pump().synced {}
            if i % 7 == 6 {
                log.retire_to(log.tail(), &Disposal::Recycle).unwrap();
            }
            let first = log.first();
            rest.retain(|(lsn, ..)| *lsn >= first);
            assert_eq!(read_all(&log, first), rest);
        }
        assert!(log.first() > Lsn::new(10 * 8192));
        let (first, tail) = (log.first(), log.tail());
        log.close().unwrap();
        drop(log);
        let (log, recovery) = Log::open_on(medium(), Options { verify: Verify::All, ..Options::tiny(8192) }).unwrap();
        assert_eq!((recovery.first, recovery.torn), (first, None));
        assert!(recovery.end > tail);
        assert_eq!(read_all(&log, first), rest);
    });
}

/// The blocks of a recycled file are used again; one that somebody still reads is left to him.
#[test]
fn a_recycled_file_is_filled_anew_unless_somebody_reads_it() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let files = |extension: &str| -> Vec<u64> {
        let entries = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap());
        let wanted = entries.filter(|entry| entry.path().extension().is_some_and(|this| this == extension));
        wanted.map(|entry| entry.metadata().unwrap().ino()).collect()
    };
    let inode = |number: u64| {
        std::fs::metadata(directory.path().join(format!("{number:016x}.wal"))).map(|metadata| metadata.ino())
    };
    let (log, _) = Log::open(directory.path(), Options::tiny(8192)).unwrap();
    let (lsn, _) = append(&log, 1, b"read by somebody");
    let read = log.pinned(lsn).unwrap();
    let fill_to = |segment: u64| {
        while log.tail() < Lsn::new(segment * 8192) {
            append(&log, 1, &payload(44));
            while log.pump().synced {}
        }
    };
    fill_to(2);
    let second = inode(1).unwrap();
    assert_eq!(log.retire_to(log.tail(), &Disposal::Recycle).unwrap(), 2);
    // The first one was being read, so it was removed; the second one waits.
    assert_eq!(files("spare"), [second]);
    assert_eq!(read.bytes(lsn.plus(32), 16), Some(&b"read by somebody"[..]));
    while log.pump().prepared {}
    fill_to(4);
    assert_eq!(files("spare"), Vec::<u64>::new());
    assert!(files("wal").contains(&second), "a segment was made of it");
    assert_eq!(read.bytes(lsn.plus(32), 16), Some(&b"read by somebody"[..]));
    // Spares are found again by the next run, and no more are kept than are of use.
    fill_to(7);
    log.retire_to(log.tail(), &Disposal::Recycle).unwrap();
    assert_eq!(files("spare").len(), 2);
    log.close().unwrap();
    drop((log, read));
    let (log, _) = Log::open(directory.path(), Options::tiny(8192)).unwrap();
    while log.tail() < Lsn::new(9 * 8192) {
        append(&log, 1, &payload(44));
        log.pump();
    }
    assert!(files("spare").len() < 2);
}

#[test]
fn archived_segments_are_whole_in_their_new_place() {
    let (directory, archive) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let to = archive.path().join("segments");
    let (log, _) = Log::open(directory.path(), Options::tiny(8192)).unwrap();
    for i in 0..60 {
        append(&log, 1, &payload(i));
        log.pump();
    }
    let written = read_all(&log, Lsn::ZERO);
    // An attempt that was interrupted: the copy is there, the segment too.
    std::fs::create_dir_all(&to).unwrap();
    std::fs::copy(directory.path().join("0000000000000000.wal"), to.join("0000000000000000.wal")).unwrap();
    let retired = log.retire_to(log.tail(), &Disposal::Archive(to.clone())).unwrap();
    assert!(retired > 2);
    log.close().unwrap();
    drop(log);
    // Beside what is left they are the log that it was.
    for entry in std::fs::read_dir(&to).unwrap() {
        let entry = entry.unwrap();
        std::fs::rename(entry.path(), directory.path().join(entry.file_name())).unwrap();
    }
    let (log, recovery) = Log::open(directory.path(), Options::tiny(8192)).unwrap();
    assert_eq!(recovery.first, Lsn::new(4096));
    assert_eq!(read_all(&log, Lsn::ZERO), written);
}

#[test]
fn files_exist_whole_or_not_at_all() {
    over_all_media(|medium| {
        let files = medium();
        let mut draft = files.draft("a.snapshot").unwrap();
        draft.append(b"half").unwrap();
        assert_eq!(files.names("snapshot").unwrap(), Vec::<String>::new());
        assert!(files.open_file("a.snapshot").is_err());
        draft.append(b" and half").unwrap();
        draft.finish().unwrap();
        assert_eq!(files.names("snapshot").unwrap(), ["a.snapshot"]);
        assert_eq!(files.names("shot").unwrap(), Vec::<String>::new());
        let contents = files.open_file("a.snapshot").unwrap();
        assert_eq!(contents.size_bytes(), 13);
        let mut bytes = [0; 4];
        contents.read_at(9, &mut bytes).unwrap();
        assert_eq!(&bytes, b"half");
        assert!(contents.read_at(10, &mut bytes).is_err());
        assert!(contents.read_at(u64::MAX, &mut bytes).is_err());
        // Another of the same name replaces it when it is whole.
        let mut draft = files.draft("a.snapshot").unwrap();
        draft.append(b"new").unwrap();
        drop(draft);
        assert_eq!(files.open_file("a.snapshot").unwrap().size_bytes(), 13);
        let mut draft = files.draft("a.snapshot").unwrap();
        draft.append(b"new").unwrap();
        draft.finish().unwrap();
        assert_eq!(files.open_file("a.snapshot").unwrap().size_bytes(), 3);
        contents.read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"half");
        let mut scratch = files.scratch().unwrap();
        scratch.append(b"some").unwrap();
        scratch.append(b"thing").unwrap();
        scratch.read_at(2, &mut bytes).unwrap();
        assert_eq!((&bytes, scratch.size_bytes()), (b"meth", 9));
        files.delete("a.snapshot").unwrap();
        assert!(files.delete("a.snapshot").is_err());
        assert_eq!(files.names("snapshot").unwrap(), Vec::<String>::new());
    });
}

#[test]
fn a_file_may_be_written_over_in_place() {
    over_all_media(|medium| {
        let files = medium();
        let all = |name: &str| {
            let contents = files.open_file(name).unwrap();
            let mut bytes = vec![0; contents.size_bytes() as usize];
            contents.read_at(0, &mut bytes).unwrap();
            bytes
        };
        files.overwrite("a.keys", 0, b"secret").unwrap();
        assert_eq!(
            (files.names("keys").unwrap().as_slice(), all("a.keys").as_slice()),
            (&["a.keys".to_owned()][..], &b"secret"[..])
        );
        files.overwrite("a.keys", 8, b"more").unwrap();
        assert_eq!(all("a.keys"), b"secret\0\0more");
        files.overwrite("a.keys", 0, &[0; 6]).unwrap();
        assert_eq!(all("a.keys"), b"\0\0\0\0\0\0\0\0more");
    });
    let directory = tempfile::tempdir().unwrap();
    let files = Mapped::open(directory.path()).unwrap();
    files.overwrite("a.keys", 0, b"secret").unwrap();
    let mode = std::fs::metadata(directory.path().join("a.keys")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "for its owner's eyes");
}

#[test]
fn an_existing_log_keeps_its_segment_size() {
    over_all_media(|medium| {
        let (log, _) = Log::open_on(medium(), Options::tiny(8192)).unwrap();
        append(&log, 1, b"kept");
        drop(log);
        let options = Options { segment_bytes: 16384, max_unsynced_bytes: 16384, ..Options::tiny(8192) };
        let (log, recovery) = Log::open_on(medium(), options).unwrap();
        assert_eq!(recovery.segment_bytes, 8192);
        assert_eq!(read_all(&log, Lsn::ZERO).len(), 1);
        drop(log);
        let (log, _) = Log::open_on(medium(), Options::tiny(16384)).unwrap();
        assert_eq!(log.max_frame_bytes(), 1024, "an eighth of the segments that are there");
        append(&log, 1, b"more");
        log.pump();
        assert_eq!(read_all(&log, Lsn::ZERO).len(), 2);
    });
}

#[test]
fn a_directory_has_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(directory.path(), Options::tiny(8192)).unwrap();
    let second = Log::open(directory.path(), Options::tiny(8192));
    assert!(matches!(second, Err(OpenError::Locked { path }) if path.ends_with("lock")));
    drop(log);
    Log::open(directory.path(), Options::tiny(8192)).unwrap();
}

#[test]
fn leftovers_of_an_interrupted_creation_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("0000000000000003.tmp"), b"half a segment").unwrap();
    drop(Log::open(directory.path(), Options::tiny(8192)).unwrap());
    assert!(!directory.path().join("0000000000000003.tmp").exists());
}
