//! Snapshots and logs that are damaged, or lack a part; and how much memory the making takes.

use std::collections::HashSet;

use drawdown::engine::{CommandError, OpenError, Retention};
use drawdown::journal::snapshot::file::SnapshotFile;
use drawdown_wal::sim::Disk;
use drawdown_wal::{Files, Lsn};

use super::retention::retired_tale;
use super::tale::{Act, Tale};
use super::{SEGMENT_BYTES, digest_of, greedy, make_offline, open, seal, snapshot_names};

/// Changes one byte of a file.
fn flip(disk: &Disk, name: &str, place: usize) {
    disk.damage_file(name, |bytes| {
        let place = place % bytes.len();
        bytes[place] ^= 0x10;
    });
}

#[test]
fn a_damaged_snapshot_is_passed_over_for_the_one_before_it() {
    let mut tale = retired_tale(greedy());
    tale.act(&Act::Retire);
    let digest = tale.engine.digest();
    tale.engine.close().expect("a healthy log");
    let names = snapshot_names(&tale.disk);
    let [older, newest] = names.as_slice() else { panic!("two are kept: {names:?}") };
    let size = SnapshotFile::open(&tale.disk, newest).expect("a snapshot").size_bytes() as usize;
    for place in (0..size).step_by(7).chain([0, 8, 33, size - 1, size - 250]) {
        let disk = tale.disk.duplicate();
        flip(&disk, newest, place);
        let (engine, report) = open(&disk, &tale.clock, &tale.config).expect("the older one does");
        assert_eq!(engine.digest(), digest, "byte {place}");
        // Declarations of grants are not read until somebody asks for one.
        if report.passed_over.is_empty() {
            assert!(tale.books.made.iter().all(|made| {
                let view = engine.grant_view(&made.text);
                view.is_ok() || matches!(view, Err(CommandError::Retired { .. } | CommandError::Unavailable(_)))
            }));
        } else {
            assert!(report.passed_over[0].starts_with(newest.as_str()), "{:?}", report.passed_over);
            assert!(older.starts_with(&format!("{:016x}", report.snapshot.get())));
        }
        // The next one is made from what is whole, and replaces what is not.
        seal(&engine);
        engine.snapshot_now().expect("the older one does").expect("something new");
        assert!(snapshot_names(&disk).len() <= 2);
        engine.close().expect("a healthy log");
        drop(engine);
        let (engine, report) = open(&disk, &tale.clock, &tale.config).expect("a healthy ledger");
        assert!(report.passed_over.is_empty());
        assert_eq!(engine.digest(), digest, "byte {place}");
    }
    for length in (0..size).step_by(101) {
        let disk = tale.disk.duplicate();
        disk.damage_file(newest, |bytes| bytes.truncate(length));
        let (engine, report) = open(&disk, &tale.clock, &tale.config).expect("the older one does");
        assert_eq!((engine.digest(), report.passed_over.len()), (digest, 1));
    }
}

#[test]
fn without_any_usable_snapshot_a_whole_log_is_replayed_and_a_cut_one_refused() {
    for retention in [Retention::default(), greedy()] {
        let mut tale = retired_tale(retention);
        tale.act(&Act::Retire);
        let (digest, is_whole, first) = (tale.engine.digest(), tale.is_whole(), tale.engine.first_lsn());
        tale.engine.close().expect("a healthy log");
        let names = snapshot_names(&tale.disk);
        let disk = tale.disk.duplicate();
        for name in &names {
            flip(&disk, name, 140);
        }
        match open(&disk, &tale.clock, &tale.config) {
            Ok((engine, report)) => {
                assert!(is_whole);
                assert_eq!((engine.digest(), report.snapshot, report.passed_over.len()), (digest, Lsn::ZERO, 2));
            }
            Err(OpenError::NoSnapshot { first: at, passed_over }) => {
                assert!(!is_whole);
                assert_eq!(at, first);
                assert!(names.iter().all(|name| passed_over.contains(name)), "{passed_over}");
            }
            Err(error) => panic!("{error}"),
        }
        // Without its log a snapshot is no ledger, and no new one is begun beside it.
        let alone = Disk::new();
        let keep = tale.disk.duplicate();
        for name in &names {
            let bytes = SnapshotFile::open(&keep, name).map(|file| file.size_bytes()).expect("a snapshot");
            let mut whole = vec![0; bytes as usize];
            keep.open_file(name).expect("a file").read_at(0, &mut whole).expect("its bytes");
            let mut draft = alone.draft(name).expect("a file");
            draft.append(&whole).expect("room");
            draft.finish().expect("a healthy disk");
        }
        let refused = open(&alone, &tale.clock, &tale.config);
        assert!(matches!(refused, Err(OpenError::NoLog { .. })), "{:?}", refused.err());
        // Beside another log it is foreign.
        let other = Tale::begin(1 << 20, Retention::default());
        other.engine.close().expect("a healthy log");
        assert!(SnapshotFile::open(&other.disk, &names[0]).is_err());
    }
}

#[test]
fn a_log_that_has_lost_what_a_snapshot_saw_durable_is_refused() {
    let tale = retired_tale(Retention::default());
    tale.engine.close().expect("a healthy log");
    let mut images = tale.disk.images();
    // An older copy of the last segments: zeros behind their headers, as if they had only been prepared.
    let last = tale.engine.log().tail().get() / SEGMENT_BYTES;
    for (_, image) in images.range_mut(last - 2..) {
        image[4096..].fill(0);
    }
    let disk = Disk::from_images(images);
    let with_snapshots = tale.disk.duplicate();
    for name in snapshot_names(&with_snapshots) {
        let contents = with_snapshots.open_file(&name).expect("a file");
        let mut bytes = vec![0; contents.size_bytes() as usize];
        contents.read_at(0, &mut bytes).expect("its bytes");
        let mut draft = disk.draft(&name).expect("a file");
        draft.append(&bytes).expect("room");
        draft.finish().expect("a healthy disk");
    }
    let refused = open(&disk, &tale.clock, &tale.config);
    // The headers of prepared segments vouch for some of it, the snapshot for the rest.
    assert!(matches!(refused, Err(OpenError::LostLog { .. } | OpenError::Log(_))), "{:?}", refused.err());
}

/// Many wallets and little memory: a snapshot takes many passes over the log, and is the same in every entry.
#[test]
fn memory_decides_about_the_number_of_passes_and_nothing_else() {
    use drawdown::engine::view::{GrantOptions, GrantRequest, Metadata};
    let tale = Tale::begin(1 << 20, Retention::default());
    let request = |number: u64, key: bool| GrantRequest {
        customer: format!("customer-{number}"),
        currency: Some("credits".to_owned()),
        amount: drawdown::ledger::Decimal::from_integer(1 + (number % 7).cast_signed()),
        source: drawdown::ledger::Source::Package,
        category: drawdown::ledger::Category::Paid,
        priority: None,
        effective_at: None,
        expires_at: None,
        cost_basis: None,
        key: key.then(|| format!("key-{number}")),
        metadata: Metadata::new(),
        options: GrantOptions::default(),
    };
    for round in 0..3_u64 {
        for number in 0..250 {
            let (outcomes, _) = tale.engine.grant(&[request(number + 60 * round, number % 3 == 0)]).expect("room");
            assert!(outcomes[0].result.is_ok() || round > 0);
        }
        seal(&tale.engine);
    }
    tale.engine.close().expect("a healthy log");
    let digests: HashSet<_> = [256, 4 << 10, 40 << 10, 8 << 20]
        .map(|memory| {
            let disk = tale.disk.duplicate();
            let made = make_offline(&disk, &tale.clock, memory, None).expect("something sealed");
            assert_eq!(made.wallets, 370);
            digest_of(&disk, &snapshot_names(&disk)[0])
        })
        .into();
    assert_eq!(digests.len(), 1);
}
