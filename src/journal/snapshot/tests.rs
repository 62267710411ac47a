//! Entries read back as they were written, whatever is in them; the bytes are pinned; no bytes make a reader panic.

use super::entry::{
    EntryTerms, Fixed, Identity, LooseDebit, Mark, Mended, PendingGrant, Unattached, WalletEntry, read_declaration,
    read_record, read_recurring, write_declaration, write_record, write_recurring,
};
use super::file::{BLOCK_BYTES, SnapshotFile, Writer};
use super::{Head, Section, SnapshotError, Sums, file_name, lsn_of};
use crate::catalog::CurrencyNumber;
use crate::journal::admin::{AdminRecord, Declared, Genesis, GrantRecord, MetadataRecord};
use crate::journal::recurring::RecurringRecord;
use crate::ledger::{
    Amount, Category, Clause, Decimal, Ends, Expiry, GrantId, HoldId, Interval, Level, Levels, Lot, Occurrence,
    OnExceed, OpenHold, Part, Payment, Progress, Riders, Rollover, Schedule, Source, Status, Terms, Timestamp, Trigger,
    Unit, Unpaid, Watches,
};
use drawdown_wal::{Files, Heap, Lsn};
use std::borrow::Cow;
use std::fmt::{Debug, Write as _};
use std::sync::Arc;

/// These bytes are version 1. If this fails, old snapshots have become unreadable: raise the version instead.
const GOLDEN: &str = include_str!("../../../tests/golden/snapshot-v1.hex");

fn lot(id: u64, remaining: i64) -> Lot {
    Lot {
        id: GrantId::new(id),
        remaining: Amount::new(remaining),
        granted: Amount::new(100),
        effective_at: Timestamp::from_millis(1_800_000_000_000),
        expires_at: Expiry::at(Timestamp::from_millis(1_900_000_000_000)),
        cost: 250,
        priority: 50,
        category: Category::Paid,
    }
}

fn one() -> WalletEntry<'static> {
    WalletEntry {
        slot: 3,
        customer: "ada",
        currency: CurrencyNumber(1),
        generation: 2,
        opened_at: 70_000,
        last_lsn: 71_111,
        balance: 90,
        lowest: 90,
        terms: EntryTerms::One(lot(69_000, 95)),
    }
}

/// A wallet with everything that a wallet can have.
fn full() -> Terms {
    let level = |name: &str, amount, trigger| Level {
        name: name.into(),
        amount: Amount::new(amount),
        trigger,
        margin: Amount::new(4),
        watches: if trigger == Trigger::Below { Watches::Available } else { Watches::Balance },
        ..Level::default()
    };
    let levels = Levels::new(vec![level("low", 20, Trigger::Below), level("deep", -7, Trigger::AtOrBelow)]);
    let levels = levels.expect("levels");
    let mut terms = Terms {
        opening: Amount::new(63),
        allowance: Amount::new(30),
        held: Amount::new(5),
        holds: [OpenHold {
            id: HoldId::new(70_000),
            amount: Amount::new(7),
            remaining: Amount::new(5),
            expires_at: Timestamp::from_millis(1_800_000_000_000),
            on_exceed: OnExceed::Overdraw,
            parts: [Part { lot: lot(2, 1), is_voided: true }, Part { lot: lot(4, 2), is_voided: false }]
                .into_iter()
                .collect(),
        }]
        .into(),
        lots: [lot(1, 10), Lot { expires_at: Expiry::NEVER, ..lot(2, 50) }].into(),
        scheduled: [Lot { category: Category::Promotional, priority: 0, cost: 0, ..lot(9, 40) }].into(),
        levels: Some(Arc::new(levels)),
        ..Terms::new()
    };
    terms.states.armed = 0b11;
    terms
}

/// Everything that can ride along with the wallet of [`full`], once at its smallest and once at its largest.
fn full_riders() -> Riders {
    let smallest = Rollover { fraction: Decimal::from_integer(1), max: None, valid_for_ms: None, priority: 0 };
    let largest = Rollover {
        fraction: Decimal::from_parts(999_999_999_999_999_999, 18).expect("18 places"),
        max: Some(Amount::MAX),
        valid_for_ms: Some(u64::MAX),
        priority: 100,
    };
    let occurrence = Some(Occurrence { schedule: u64::MAX, number: u64::MAX });
    let clause = |grant, rollover, occurrence| Clause { grant: GrantId::new(grant), rollover, occurrence };
    let waiting = |id, begins_when_paid, valid_for_ms| Unpaid {
        lot: Lot { granted: Amount::new(7), ..lot(id, 7) },
        payment: Payment { begins_when_paid, valid_for_ms },
    };
    Riders {
        clauses: [clause(2, Some(smallest), None), clause(9, Some(largest), occurrence)].into(),
        unpaid: [waiting(11, true, None), waiting(13, false, Some(u64::MAX))].into(),
        progress: [Progress { schedule: 0, next: 0 }, Progress { schedule: u64::MAX, next: u64::MAX }].into(),
    }
}

#[track_caller]
fn check_wallet(terms: &Terms, balance: i64, lowest: i64) {
    terms.validate().expect("terms");
    let entry = WalletEntry { balance, lowest, terms: EntryTerms::Whole(Cow::Borrowed(terms)), ..one() };
    let mut bytes = Vec::new();
    entry.write(&mut bytes);
    let mut rest = bytes.as_slice();
    assert_eq!(WalletEntry::read(&mut rest), Ok(entry.clone()));
    assert!(rest.is_empty());
    let parts = terms.holds.iter().flat_map(|hold| &hold.parts).map(|part| part.lot.id);
    let unpaid = terms.riders.unpaid.iter().map(|unpaid| unpaid.lot.id);
    let grants = terms.lots.iter().chain(&terms.scheduled).map(|lot| lot.id).chain(parts).chain(unpaid);
    let declared: Vec<_> = grants.map(GrantId::get).chain(terms.holds.iter().map(|hold| hold.id.get())).collect();
    assert_eq!(entry.declared().collect::<Vec<_>>(), declared);
    // Cut anywhere, changed anywhere: an error or another wallet, but no panic.
    for length in 0..bytes.len() {
        assert!(WalletEntry::read(&mut &bytes[..length]).is_err());
        for change in [1, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[length] ^= change;
            let _ = WalletEntry::read(&mut changed.as_slice());
        }
    }
}

#[test]
fn wallets_survive_with_all_that_they_have() {
    check_wallet(&Terms::new(), 0, 0);
    check_wallet(&full(), 63, 63);
    check_wallet(&full(), 31, 29);
    let debt = Terms { opening: Amount::new(-40), allowance: Amount::new(50), ..Terms::new() };
    check_wallet(&debt, -50, -50);
    check_wallet(&Terms { status: Status::Frozen, ..debt.clone() }, -40, -40);
    check_wallet(&Terms { status: Status::Closed, ..Terms::new() }, 0, 0);
    let riders = full_riders();
    check_wallet(&Terms { riders: riders.clone(), ..full() }, 60, 60);
    check_wallet(&Terms { riders: Riders { clauses: Box::default(), ..riders.clone() }, ..full() }, 60, 60);
    check_wallet(&Terms { riders: Riders { unpaid: Box::default(), ..riders.clone() }, ..full() }, 60, 60);
    check_wallet(&Terms { riders: Riders { progress: Box::default(), ..riders }, ..full() }, 60, 60);
    let largest = Lot { granted: Amount::MAX_BALANCE, cost: i64::MAX, ..lot(u64::MAX >> 1, i64::MAX - 1) };
    let largest = Terms { opening: Amount::MAX_BALANCE, lots: [largest].into(), ..Terms::new() };
    check_wallet(&largest, i64::MAX - 1, i64::MIN);
    let mut bytes = Vec::new();
    one().write(&mut bytes);
    assert_eq!(WalletEntry::read(&mut bytes.as_slice()), Ok(one()));
}

#[track_caller]
fn check_fixed<T: Fixed + PartialEq + Debug>(entries: &[T], width: usize) {
    let mut bytes = Vec::new();
    for entry in entries {
        entry.write(&mut bytes);
    }
    assert_eq!(bytes.len(), width * entries.len());
    let mut rest = bytes.as_slice();
    for entry in entries {
        assert_eq!(T::read(&mut rest).as_ref(), Ok(entry));
    }
    assert!(rest.is_empty());
    for length in 0..width {
        assert!(T::read(&mut &bytes[..length]).is_err());
    }
}

const DEBIT: LooseDebit = LooseDebit {
    lsn: 80_001,
    slot: 3,
    generation: 3,
    amount: Amount::new(7),
    balance_after: Amount::new(-8),
    previous: 90_000,
    fingerprint: 0x0123_4567_89ab_cdef,
};

#[test]
fn entries_of_fixed_width_survive() {
    check_fixed(&[DEBIT], 52);
    check_fixed(&[Unattached { slot: u32::MAX, previous: u64::MAX, lsn: 1 }], 20);
    let pending = |key| PendingGrant { grant: 5, slot: 6, key };
    check_fixed(&[pending(None), pending(Some(0)), pending(Some(u64::MAX))], 21);
    check_fixed(&[Mended::Relinked(1, 2), Mended::Corrected(3, i64::MIN), Mended::Dropped(u64::MAX)], 17);
    check_fixed(&[Mark { end: Timestamp::from_millis(60_000), lsn: 9 }], 16);
    check_fixed(&[Identity { fingerprint: u64::MAX - 1, lsn: 64 }], 16);
    assert!(Mended::read(&mut [0; 17].as_slice()).is_err(), "no such kind");
}

fn grant() -> GrantRecord {
    GrantRecord {
        slot: 3,
        amount: Amount::new(100),
        source: Source::TopUp,
        category: Category::Paid,
        priority: 50,
        effective_at: Timestamp::from_millis(1_800_000_000_000),
        effective_at_given: false,
        expires_at: None,
        cost_basis: None,
        key: Some("key".to_owned()),
        metadata: [("note".to_owned(), "n".to_owned())].into(),
        created_at: Timestamp::from_millis(1_800_000_000_007),
        declared: Declared::default(),
    }
}

#[test]
fn names_of_files_say_where_they_stand() {
    assert_eq!(file_name(Lsn::new(0x12_3456)), "0000000000123456.snapshot");
    assert_eq!(lsn_of("0000000000123456.snapshot"), Some(Lsn::new(0x12_3456)));
    for name in ["123456.snapshot", "0000000000123456", "0000000000123456.wal", "000000000012345G.snapshot", "snapshot"]
    {
        assert_eq!(lsn_of(name), None, "{name}");
    }
}

/// Writes one of everything.
fn write(heap: &Heap, block_bytes: usize) -> u64 {
    let head = Head { log_id: *b"golden log id 16", lsn: Lsn::new(131_072), chain: [0; 32] };
    let mut writer = Writer::begin(heap, &head, block_bytes).expect("a file");
    let mut put = |section, key, write: &dyn Fn(&mut Vec<u8>)| writer.put(section, key, write).expect("room");
    let whole = WalletEntry { slot: 4, customer: "bob", lowest: 29, balance: 31, ..one() };
    let whole = WalletEntry { terms: EntryTerms::Whole(Cow::Owned(full())), ..whole };
    put(Section::Wallets, 3, &|out| one().write(out));
    put(Section::Wallets, 4, &|out| whole.write(out));
    put(Section::Records, 0, &|out| {
        write_record(&AdminRecord::Genesis(Genesis { seed: [7; 32], created_ms: 1_800_000_000_000 }), out);
    });
    let metadata = MetadataRecord { slot: 4, metadata: [("a".to_owned(), "b".to_owned())].into() };
    put(Section::Metadata, 4, &|out| write_record(&AdminRecord::Metadata(metadata.clone()), out));
    put(Section::Unopened, 3, &|out| DEBIT.write(out));
    put(Section::Unattached, 3, &|out| Unattached { slot: 3, previous: 5, lsn: 6 }.write(out));
    put(Section::Pending, 70_500, &|out| PendingGrant { grant: 70_500, slot: 3, key: Some(99) }.write(out));
    put(Section::Repairs, 0, &|out| Mended::Corrected(71_000, -4).write(out));
    put(Section::Marks, 4_096, &|out| Mark { end: Timestamp::from_millis(1_800_000_060_000), lsn: 4_096 }.write(out));
    put(Section::Identities, 1, &|out| Identity { fingerprint: 1, lsn: 70_000 }.write(out));
    put(Section::Grants, 69_000, &|out| {
        write_declaration(69_000, grant().created_at, &AdminRecord::Grant(grant()), out);
    });
    writer.finish(&SUMS).expect("a heap")
}

const SUMS: Sums = Sums {
    durable: Lsn::new(140_000),
    latest: Timestamp::from_millis(1_800_000_099_000),
    remembered_since: Timestamp::EPOCH,
    made: Timestamp::from_millis(1_800_000_100_000),
    wallets: 2,
    slots: 5,
    identities: 1,
    grants: 1,
    run: 3,
    identities_from: 69_500,
};

/// Every line that is not all zero: offset, then 32 bytes.
fn hex(image: &[u8]) -> String {
    let mut out = String::new();
    for (number, line) in image.chunks(32).enumerate() {
        if line.iter().any(|&byte| byte != 0) {
            write!(out, "{:06x}", number * 32).expect("a text takes it");
            for byte in line {
                write!(out, " {byte:02x}").expect("a text takes it");
            }
            out.push('\n');
        }
    }
    out
}

fn bytes_of(heap: &Heap, name: &str) -> Vec<u8> {
    let contents = heap.open_file(name).expect("a file");
    let mut bytes = vec![0; contents.size_bytes() as usize];
    contents.read_at(0, &mut bytes).expect("its bytes");
    bytes
}

fn heap_with(name: &str, bytes: &[u8]) -> Heap {
    let heap = Heap::new();
    let mut draft = heap.draft(name).expect("a file");
    draft.append(bytes).expect("room");
    draft.finish().expect("a heap");
    heap
}

#[test]
fn snapshots_are_these_bytes() {
    let heap = Heap::new();
    let length = write(&heap, BLOCK_BYTES);
    let bytes = bytes_of(&heap, "0000000000020000.snapshot");
    assert_eq!(bytes.len() as u64, length);
    assert_eq!(hex(&bytes), GOLDEN, "\n{}", hex(&bytes));
}

fn unhex(text: &str) -> Vec<u8> {
    let mut image = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let at = words.next().and_then(|at| usize::from_str_radix(at, 16).ok()).expect("an offset");
        image.resize(at, 0);
        image.extend(words.map(|word| u8::from_str_radix(word, 16).expect("a byte")));
    }
    image
}

#[test]
fn these_bytes_are_a_snapshot() {
    let name = "0000000000020000.snapshot";
    let file = SnapshotFile::open(&heap_with(name, &unhex(GOLDEN)), name).expect("a snapshot");
    assert_eq!((*file.sums(), file.lsn(), file.head().log_id), (SUMS, Lsn::new(131_072), *b"golden log id 16"));
    let mut buffer = Vec::new();
    let mut section = |section| {
        let [block] = file.blocks(section) else { panic!("one block of {section:?}") };
        file.read(block, &mut buffer).expect("it checks").to_vec()
    };
    let wallets = section(Section::Wallets);
    let mut rest = wallets.as_slice();
    assert_eq!(WalletEntry::read(&mut rest), Ok(one()));
    let bob = WalletEntry::read(&mut rest).expect("a wallet");
    assert_eq!(
        (bob.customer, bob.balance, bob.lowest, bob.terms),
        ("bob", 31, 29, EntryTerms::Whole(Cow::Owned(full())))
    );
    let declared = Ok((69_000, AdminRecord::Grant(grant())));
    assert_eq!(read_declaration(&mut section(Section::Grants).as_slice()), declared);
    assert_eq!(LooseDebit::read(&mut section(Section::Unopened).as_slice()), Ok(DEBIT));
    let genesis = read_record(&mut section(Section::Records).as_slice(), Timestamp::EPOCH);
    assert!(matches!(genesis, Ok(AdminRecord::Genesis(Genesis { seed, .. })) if seed == [7; 32]));
    assert_eq!(file.block_of(Section::Grants, 68_999), None);
    assert!(file.block_of(Section::Grants, 69_001).is_some());
}

/// An entry as it was written when wallets had neither holds, riders, nor levels with more to them than an amount: read as it was, and written
/// with the same bytes where there is still no more to say.
#[test]
fn a_wallet_from_before_there_was_more_keeps_its_bytes() {
    let level = |name: &str, amount, trigger| Level {
        name: name.into(),
        amount: Amount::new(amount),
        trigger,
        margin: Amount::new(4),
        ..Level::default()
    };
    let levels = Levels::new(vec![level("low", 20, Trigger::Below), level("deep", -7, Trigger::AtOrBelow)]);
    let mut terms = Terms {
        opening: Amount::new(60),
        held: Amount::ZERO,
        holds: Box::default(),
        levels: Some(Arc::new(levels.expect("levels"))),
        ..full()
    };
    terms.states.armed = 0b11;
    let bytes = unhex(
        "000000 1e 03 04 01 02 f0 a2 04 c7 ab 04 3e 03 3a 02 01 14 b4 01 80 a0 f1 c2 b1 34 81 f0 cc 86 a6 37 f4 03 b2 \
         02 64 64 80 a0 f1 c2 b1 34 00 f4 03 b2 3c 00 01 09 50 78 80 a0 f1 c2 b1 34 81 f0 cc 86 a6 37 00 00 \
         02 04 0d 01 08 64 65 65 70 03 28 00 08 6c 6f 77 03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 62 6f 62",
    );
    let entry = WalletEntry { slot: 4, customer: "bob", lowest: 29, balance: 31, ..one() };
    let entry = WalletEntry { terms: EntryTerms::Whole(Cow::Owned(terms)), ..entry };
    assert_eq!(WalletEntry::read(&mut bytes.as_slice()), Ok(entry.clone()));
    let mut again = Vec::new();
    entry.write(&mut again);
    assert_eq!(again, bytes);
}

#[test]
fn how_a_snapshot_is_cut_into_blocks_does_not_matter_to_what_it_says() {
    let digests = [1, 20, BLOCK_BYTES].map(|block_bytes| {
        let heap = Heap::new();
        write(&heap, block_bytes);
        let file = SnapshotFile::open(&heap, "0000000000020000.snapshot").expect("a snapshot");
        assert_eq!(file.blocks(Section::Wallets).len(), if block_bytes == BLOCK_BYTES { 1 } else { 2 });
        file.digest().expect("a whole one")
    });
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
}

/// Everything in it is vouched for: whichever byte changes, somebody notices.
#[test]
fn no_changed_byte_goes_unnoticed() {
    let (name, golden) = ("0000000000020000.snapshot", unhex(GOLDEN));
    let digest = |bytes: &[u8]| SnapshotFile::open(&heap_with(name, bytes), name).and_then(|file| file.digest());
    assert!(digest(&golden).is_ok());
    for place in 0..golden.len() {
        let mut changed = golden.clone();
        changed[place] ^= 1 << (place % 8);
        let found = digest(&changed);
        let is_version = (8..12).contains(&place);
        assert!(
            matches!(found, Err(SnapshotError::Damaged(_)))
                || (is_version && matches!(found, Err(SnapshotError::Version(_)))),
            "byte {place}: {found:?}"
        );
    }
    for length in 0..golden.len() {
        assert!(digest(&golden[..length]).is_err(), "cut to {length}");
    }
}

#[test]
fn recurring_grants_survive() {
    let schedule = Schedule {
        anchor: Timestamp::from_millis(1_800_000_000_000),
        interval: Interval::new(2, Unit::Week).expect("an interval"),
        at_once: None,
        skipped: 3,
        ends: Ends::WithNext,
        until: None,
    };
    let record = RecurringRecord {
        slot: 3,
        id: "plan".to_owned(),
        version: 4,
        amount: Amount::new(100),
        source: Source::Drip,
        category: Category::Promotional,
        priority: 0,
        schedule,
        first_now: false,
        rollover: None,
        cost_basis: None,
        metadata: [("note".to_owned(), "n".to_owned())].into(),
        stopped: true,
        created_at: Timestamp::from_millis(1_800_000_000_001),
        updated_at: Timestamp::from_millis(1_800_000_000_007),
    };
    let mut bytes = Vec::new();
    write_recurring(70_000, record.clone(), &mut bytes);
    let mut rest = bytes.as_slice();
    assert_eq!(read_recurring(&mut rest), Ok((70_000, record)));
    assert!(rest.is_empty());
    for length in 0..bytes.len() {
        assert!(read_recurring(&mut &bytes[..length]).is_err());
    }
}
