use super::format::{PAGE_BYTES, PER_PAGE, file_name};
use super::*;
use drawdown_wal::sim::{Cut, Disk};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const LOG: [u8; 16] = [7; 16];

/// A well-mixed function of `n`: stands for a keyed hash.
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (n ^ (n >> 31)).clamp(1, u64::MAX - 1)
}

fn anchor(span: Span) -> Anchor {
    Anchor { lsn: span.to - 1, checksum: span.to as u32 }
}

fn portion(from: u64, to: u64, identities: Vec<(u64, u64)>) -> Portion {
    let span = Span { from, to };
    Portion { span, anchor: anchor(span), identities }
}

/// The identities of a span of which every LSN is one, with fingerprints as an engine's.
fn dense(from: u64, to: u64) -> Portion {
    portion(from, to, (from..to).map(|lsn| (mix(lsn), lsn)).collect())
}

/// Names of the runs' files.
fn names(files: &Disk) -> Vec<String> {
    let mut names = files.names("ids").expect("listed");
    names.sort_unstable();
    names
}

fn bytes_of(files: &Disk, name: &str) -> Vec<u8> {
    let file = files.open_file(name).expect("the file is there");
    let mut bytes = vec![0; usize::try_from(file.size_bytes()).expect("a short file")];
    file.read_at(0, &mut bytes).expect("readable");
    bytes
}

fn put(files: &Disk, name: &str, bytes: &[u8]) {
    let mut draft = files.draft(name).expect("begun");
    draft.append(bytes).expect("written");
    draft.finish().expect("finished");
}

fn open(files: &Disk) -> Spilled {
    let is_genuine = |span: Span, found| found == anchor(span);
    Spilled::open(Arc::new(files.clone()), LOG, is_genuine).expect("files that can be read")
}

fn add(spilled: &Spilled, portion: Portion) -> io::Result<()> {
    let span = portion.span;
    let written = spilled.write(portion)?;
    spilled.put(span, written.into_iter().collect());
    Ok(())
}

/// What a new event with this fingerprint is led to: nothing, if it does not pass the filters.
fn lookup(spilled: &Spilled, fingerprint: u64) -> Vec<u64> {
    let guard = pin();
    let Some(runs) = spilled.runs(&guard) else { return Vec::new() };
    let mut passes = false;
    runs.sift(&[fingerprint], |index| {
        assert_eq!(index, 0);
        passes = true;
    });
    if passes { runs.lookup(fingerprint).expect("sound runs") } else { Vec::new() }
}

fn spans(spilled: &Spilled) -> Vec<(u64, u64)> {
    spilled.keeper().runs.iter().map(|run| (run.span().from, run.span().to)).collect()
}

fn merge_to_the_end(spilled: &Spilled, horizon: u64) {
    while spilled.step(horizon).expect("sound files") {}
}

/// Rows of 16 bytes that are not zero, with their offsets.
fn dump(bytes: &[u8]) -> String {
    let rows = bytes.chunks(16).enumerate().filter(|(_, row)| row.iter().any(|byte| *byte != 0));
    let mut text = String::new();
    for (number, row) in rows {
        let row: [u8; 16] = row.try_into().expect("whole rows");
        writeln!(text, "{:05x} {:032x}", number * 16, u128::from_be_bytes(row))
            .expect("a string takes what is written");
    }
    text
}

#[test]
fn the_bytes_of_a_run_stay_what_they_were() {
    let files = Disk::new();
    let identities = [(u64::MAX - 1, 4160), (1, 4224), (0x8000_0000_0000_0000, 4300), (1, 5000)];
    add(&open(&files), portion(4096, 5120, identities.to_vec())).expect("written");
    let name = "0000000000001000-0000000000001400.ids";
    let bytes = bytes_of(&files, name);
    assert_eq!(bytes.len(), 4 * PAGE_BYTES, "a page, index, filter, trailer");
    let text = dump(&bytes);
    assert_eq!(text, include_str!("golden/v1.hex"), "\n{text}");
}

#[test]
fn filters_let_pass_all_that_is_there_and_of_the_rest_as_many_as_is_calculated() {
    let keys = 160_000;
    let [front, run] = [filter::FRONT, filter::RUN].map(|kind| Filter::for_keys(kind, keys));
    for n in 0..keys {
        front.insert(mix(n));
        run.insert(mix(n));
    }
    assert!((0..keys).all(|n| front.may_hold(mix(n)) && run.may_hold(mix(n))));
    let strangers = || (keys..keys + 1_000_000).map(mix);
    let passed = |passes: &dyn Fn(u64) -> bool| strangers().filter(|stranger| passes(*stranger)).count();
    // 2.93 %, 0.42 %, and as if one knew nothing of the other: 124.
    let fronts = passed(&|stranger| front.may_hold(stranger));
    assert!((28_000..30_600).contains(&fronts), "{fronts} of a million");
    let runs = passed(&|stranger| run.may_hold(stranger));
    assert!((3_800..4_700).contains(&runs), "{runs} of a million");
    let both = passed(&|stranger| front.may_hold(stranger) && run.may_hold(stranger));
    assert!((60..220).contains(&both), "{both} of a million");
    assert_eq!((front.bytes(), run.bytes()), (keys, keys * 3 / 2));
}

/// Fingerprints of all kinds: few, many alike, at the ends.
fn any_identities() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let fingerprint = prop_oneof![
        4 => any::<u64>().prop_map(mix),
        2 => (0..6_u64).prop_map(mix),
        1 => prop_oneof![Just(1), Just(2), Just(u64::MAX - 1)],
    ];
    prop::collection::btree_set((fingerprint, 64..10_000_u64), 1..1_500).prop_map(|set| set.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_run_answers_as_a_map_would(identities in any_identities(), others in prop::collection::vec(any::<u64>(), 50)) {
        let mut map: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (fingerprint, lsn) in &identities {
            map.entry(*fingerprint).or_default().push(*lsn);
        }
        let files = Disk::new();
        let spilled = open(&files);
        let mut shuffled = identities.clone();
        shuffled.sort_unstable_by_key(|(fingerprint, lsn)| mix(fingerprint ^ lsn));
        add(&spilled, portion(64, 10_000, shuffled)).expect("written");
        for spilled in [spilled, open(&files)] {
            for (fingerprint, lsns) in &map {
                prop_assert_eq!(&lookup(&spilled, *fingerprint), lsns);
            }
            for fingerprint in others.iter().map(|n| mix(*n)).filter(|fingerprint| !map.contains_key(fingerprint)) {
                prop_assert!(lookup(&spilled, fingerprint).is_empty());
            }
        }
    }

    /// Portions come, the horizon moves, runs are merged or not, and everything is opened again: what is not expired is there.
    #[test]
    fn merging_loses_nothing_and_brings_nothing_back(
        portions in prop::collection::vec((1..400_u64, 0..6_u64, 0..300_u64, any::<bool>()), 1..30),
    ) {
        let files = Disk::new();
        let mut spilled = open(&files);
        let (mut from, mut horizon) = (64, 0);
        let mut all = BTreeSet::new();
        for (length, steps, window, reopen) in portions {
            let to = from + length;
            // A hundred fingerprints, so that most have several LSNs.
            let identities: Vec<_> = (from..to).map(|lsn| (mix(lsn % 97), lsn)).collect();
            all.extend(identities.iter().copied());
            add(&spilled, portion(from, to, identities)).expect("written");
            horizon = horizon.max(to.saturating_sub(window));
            (0..steps).for_each(|_| assert!(spilled.step(horizon).is_ok()));
            while spilled.expire(horizon) {}
            from = to;
            if reopen {
                spilled = open(&files);
            }
            prop_assert_eq!(spilled.end(), Some(from).filter(|_| horizon < from));
            prop_assert_eq!(spilled.holes(horizon.max(64)), []);
            for n in (from % 5..97).step_by(5) {
                let found = lookup(&spilled, mix(n));
                let expected: Vec<u64> = all.range((mix(n), horizon)..=(mix(n), u64::MAX)).map(|(_, lsn)| *lsn).collect();
                prop_assert!(found.iter().all(|lsn| all.contains(&(mix(n), *lsn))));
                prop_assert_eq!(found.into_iter().filter(|lsn| *lsn >= horizon).collect::<Vec<_>>(), expected);
            }
        }
        merge_to_the_end(&spilled, horizon);
        prop_assert_eq!(names(&files).len(), spans(&spilled).len(), "no file is left over");
    }
}

#[test]
fn few_runs_are_left_however_many_there_were() {
    // As the documentation of `merge` has it, in portions.
    for portions in [40_u64, 160, 640] {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let (mut most, mut written) = (0, 0);
        for now in 1..=4 * portions {
            runs.push((now - 1, now));
            let horizon = now.saturating_sub(portions);
            runs.retain(|(_, to)| *to > horizon);
            let alive =
                |runs: &[(u64, u64)]| -> Vec<u64> { runs.iter().map(|(from, to)| to - horizon.max(*from)).collect() };
            while let Some(range) = merge::choose(&alive(&runs)) {
                assert!(range.len() > 1 && range.end <= runs.len());
                written += alive(&runs[range.clone()]).iter().sum::<u64>();
                let merged = (runs[range.start].0, runs[range.end - 1].1);
                runs.splice(range, [merged]);
            }
            most = most.max(runs.len());
        }
        assert!(most <= 9, "{most} runs of {portions} portions");
        assert!(written <= 8 * 4 * portions, "{written} portions written for {}", 4 * portions);
    }
}

#[test]
fn a_fingerprint_that_fills_pages_is_found_whole() {
    let files = Disk::new();
    let spilled = open(&files);
    let count = 3 * PER_PAGE as u64;
    let shared = (100..100 + count).map(|lsn| (5 << 60, lsn));
    let others = (2000..3000).map(|lsn| (mix(lsn), lsn));
    add(&spilled, portion(64, 4000, shared.chain(others).collect())).expect("written");
    assert_eq!(lookup(&spilled, 5 << 60), (100..100 + count).collect::<Vec<_>>());
    assert!((2000..3000).all(|lsn| lookup(&spilled, mix(lsn)) == [lsn]));
}

#[test]
fn what_has_expired_goes_and_is_not_missed() {
    let files = Disk::new();
    let spilled = open(&files);
    for from in [64, 264, 464] {
        add(&spilled, dense(from, from + 200)).expect("written");
    }
    let guard = pin();
    let before = spilled.runs(&guard).expect("runs");
    assert!(spilled.expire(264));
    assert!(!spilled.expire(400), "a run that is half alive stays");
    assert_eq!(before.lookup(mix(100)), Ok(vec![100]), "who holds the list reads what is gone");
    assert_eq!(spans(&spilled), [(264, 464), (464, 664)]);
    assert_eq!(names(&files), [(264, 464), (464, 664)].map(|(from, to)| file_name(Span { from, to })));
    assert!(lookup(&spilled, mix(100)).is_empty());
    assert_eq!(open(&files).holes(300), []);
    assert_eq!(open(&files).holes(200), [Span { from: 200, to: 264 }]);
    while spilled.expire(664) {}
    assert_eq!((spilled.end(), names(&files).len()), (None, 0));
}

#[test]
fn the_power_may_go_at_any_moment() {
    // Portions are written one after the other and merged; after a cut everything up to where runs reach is there, once.
    let story = |files: &Disk| -> io::Result<()> {
        let spilled = open(files);
        for from in (100..1_000).step_by(100) {
            add(&spilled, dense(from, from + 100))?;
            while spilled.step(0)? {}
        }
        Ok(())
    };
    let whole = Disk::new();
    story(&whole).expect("nothing fails");
    let syncs = whole.syncs();
    assert!(syncs > 20, "{syncs}");
    for sync in 1..=syncs {
        for cut in [Cut::Before, Cut::After] {
            let files = Disk::new();
            files.cut_power_at(sync, cut, 0);
            // A file that could not be removed is no failure.
            let _ = story(&files);
            let left = files.left().expect("the sync was reached");
            let spilled = open(&left);
            let end = spilled.end().unwrap_or(100);
            assert_eq!(spilled.holes(100), []);
            assert!((100..end).all(|lsn| lookup(&spilled, mix(lsn)) == [lsn]), "sync {sync}, {cut:?}");
            merge_to_the_end(&spilled, 0);
            assert_eq!(names(&left).len(), spans(&spilled).len(), "leftovers are removed");
        }
    }
}

/// Flips one bit at `at` of the only run.
fn damage(files: &Disk, at: usize) -> Disk {
    let damaged = files.duplicate();
    damaged.damage_file(&names(files)[0], |bytes| bytes[at] ^= 0x10);
    damaged
}

#[test]
fn damage_anywhere_is_found_before_it_answers() {
    let files = Disk::new();
    add(&open(&files), dense(100, 1_000)).expect("written");
    let name = names(&files).remove(0);
    let length = bytes_of(&files, &name).len();
    let entries = 900 * 16 + 4 * 16;
    for at in (0..length).step_by(131).chain([length - 1]) {
        let spilled = open(&damage(&files, at));
        let guard = pin();
        let Some(runs) = spilled.runs(&guard) else {
            assert!(at >= 4 * PAGE_BYTES, "a page is looked at when it is read");
            assert_eq!(spilled.end(), None, "a damaged run is removed");
            continue;
        };
        let answers: Vec<_> = (100..1_000).map(|lsn| (lsn, runs.lookup(mix(lsn)))).collect();
        assert!(answers.iter().all(|(lsn, answer)| *answer == Ok(vec![*lsn]) || *answer == Err(Damaged)), "byte {at}");
        let is_found = answers.iter().any(|(_, answer)| answer.is_err());
        let is_padding = (4 * PAGE_BYTES..).contains(&at) || at > entries && at < 4 * PAGE_BYTES - 16;
        assert!(is_found || is_padding, "byte {at} of {length}");
        if is_found {
            let span = Span { from: 100, to: 1_000 };
            assert_eq!(spilled.damaged(), Some(span));
            assert!(!spilled.step(0).expect("sound files"));
            add(&spilled, dense(100, 1_000)).expect("written");
            assert_eq!(spilled.damaged(), None);
            assert!((100..1_000).all(|lsn| lookup(&spilled, mix(lsn)) == [lsn]));
        }
    }
}

#[test]
fn a_merge_over_a_damaged_page_gives_up_and_says_which_run() {
    let files = Disk::new();
    add(&open(&files), dense(100, 1_000)).expect("written");
    let spilled = open(&damage(&files, 40));
    for from in (1_000..6_000).step_by(1_000) {
        add(&spilled, dense(from, from + 1_000)).expect("written");
    }
    merge_to_the_end(&spilled, 0);
    assert_eq!(spilled.damaged(), Some(Span { from: 100, to: 1_000 }));
    add(&spilled, dense(100, 1_000)).expect("written");
    merge_to_the_end(&spilled, 0);
    assert!((100..6_000).all(|lsn| lookup(&spilled, mix(lsn)) == [lsn]));
}

#[test]
fn runs_of_another_log_or_of_another_course_of_this_one_are_removed() {
    let files = Disk::new();
    let spilled = open(&files);
    add(&spilled, dense(100, 200)).expect("written");
    add(&spilled, Portion { anchor: Anchor { lsn: 1, checksum: 2 }, ..dense(200, 300) }).expect("written");
    add(&spilled, dense(300, 400)).expect("written");
    let spilled = open(&files);
    assert_eq!(spans(&spilled), [(100, 200), (300, 400)]);
    assert_eq!(spilled.holes(100), [Span { from: 200, to: 300 }]);
    // Two runs of one hole, as a portion at a time is derived again.
    spilled.put(
        Span { from: 200, to: 300 },
        [dense(200, 250), dense(250, 300)].into_iter().filter_map(|p| spilled.write(p).expect("written")).collect(),
    );
    assert_eq!(open(&files).holes(100), []);
    assert!((100..400).all(|lsn| lookup(&open(&files), mix(lsn)) == [lsn]));
    let stranger = Spilled::open(Arc::new(files.clone()), [8; 16], |_, _| true).expect("opens");
    assert_eq!((stranger.end(), names(&files).len()), (None, 0));
}

#[test]
fn a_run_within_another_is_a_leftover_unless_that_is_damaged() {
    let files = Disk::new();
    let spilled = open(&files);
    add(&spilled, dense(100, 200)).expect("written");
    let inner = bytes_of(&files, &file_name(Span { from: 100, to: 200 }));
    add(&spilled, dense(100, 400)).expect("written");
    put(&files, &file_name(Span { from: 100, to: 200 }), &inner);
    let outer = file_name(Span { from: 100, to: 400 });
    let damaged = files.duplicate();
    damaged.damage_file(&outer, |bytes| *bytes.last_mut().expect("a trailer") ^= 1);
    assert_eq!(spans(&open(&files)), [(100, 400)]);
    assert_eq!(names(&files), [outer]);
    assert_eq!(spans(&open(&damaged)), [(100, 200)]);
}

#[test]
fn other_files_are_left_alone() {
    let files = Disk::new();
    put(&files, "notes.ids", b"mine");
    put(&files, "0000000000000100-0000000000000040.ids", b"ends before it begins");
    assert_eq!(open(&files).end(), None);
    assert_eq!(names(&files).len(), 2);
}

#[test]
fn a_front_stands_before_the_runs_and_is_made_anew_when_it_is_full() {
    let files = Disk::new();
    let spilled = open(&files);
    let front = |spilled: &Spilled| {
        let guard = pin();
        spilled.runs(&guard).and_then(|runs| runs.front.clone())
    };
    let make = |spilled: &Spilled, horizon| {
        while spilled.keeper().refresh.is_some() || spilled.keeper().front.is_none() {
            assert!(spilled.step(horizon).expect("sound files"));
        }
    };
    add(&spilled, dense(100, 1_000)).expect("written");
    assert!(!spilled.step(0).expect("sound files"), "one run needs no front");
    add(&spilled, dense(1_000, 2_000)).expect("written");
    assert!(front(&spilled).is_none());
    assert!(spilled.step(0).expect("sound files"), "two do");
    // It is being made from these two; what comes meanwhile must not be missing.
    add(&spilled, dense(2_000, 2_500)).expect("written");
    make(&spilled, 0);
    let first = front(&spilled).expect("a front");
    assert!((100..2_500).all(|lsn| lookup(&spilled, mix(lsn)) == [lsn]));
    add(&spilled, dense(2_500, 3_000)).expect("written");
    assert!((100..3_000).all(|lsn| lookup(&spilled, mix(lsn)) == [lsn]), "entered before the run was listed");
    // One and a half times 1 900 is what it was made for, and 2 900 are in it.
    spilled.step(1_000).expect("sound files");
    assert!(spilled.keeper().refresh.is_some());
    make(&spilled, 1_000);
    let second = front(&spilled).expect("a front");
    assert!(!Arc::ptr_eq(&first, &second));
    assert!((1_000..3_000).all(|lsn| lookup(&spilled, mix(lsn)) == [lsn]));
    let passed = (10_000..20_000).filter(|n| second.filter.may_hold(mix(*n))).count();
    assert!(passed < 400, "{passed} of ten thousand strangers");
    // A damaged run ends the making of a front.
    let damaged = files.duplicate();
    damaged.damage_file(&file_name(Span { from: 100, to: 1_000 }), |bytes| bytes[0] ^= 1);
    let reopened = open(&damaged);
    while reopened.step(0).expect("sound files") {}
    assert_eq!(reopened.damaged(), Some(Span { from: 100, to: 1_000 }));
    assert!(reopened.keeper().refresh.is_none() && front(&reopened).is_none());
    while spilled.expire(3_000) {}
    assert!(spilled.keeper().front.is_none() && front(&spilled).is_none());
}

/// How many identities of a run are alive is reckoned as if they came evenly. Where they all came at the end, a front made for the estimate was
/// full as soon as it was made, and was made again without end.
#[test]
fn a_front_of_more_than_was_reckoned_is_made_once() {
    let files = Disk::new();
    let spilled = open(&files);
    let late = |from: u64, to: u64| portion(from, to, (to - 500..to).map(|lsn| (mix(lsn), lsn)).collect());
    add(&spilled, late(100, 100_000)).expect("written");
    add(&spilled, dense(100_000, 100_100)).expect("written");
    merge_to_the_end(&spilled, 99_000);
    assert!(spilled.keeper().front.is_some());
    assert!((99_500..100_100).all(|lsn| lookup(&spilled, mix(lsn)) == [lsn]));
}
