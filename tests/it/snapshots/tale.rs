//! Tales of steps, snapshots, retirement and reopening, told by chance: a snapshot and the log behind it are the whole log.

use std::collections::BTreeMap;
use std::sync::Arc;

use drawdown::engine::view::{EntriesPage, Entry, EntryKind, FeedEvent, FeedValue};
use drawdown::engine::{CommandError, Engine, EngineConfig, ManualClock, Retention};
use drawdown::verify::{ChainCheck, Compared};
use drawdown_wal::sim::Disk;
use drawdown_wal::{Files, Lsn};
use proptest::sample::Index;

use crate::books::{Books, HoldSpec, Step, WINDOW_MS, WalletNumber, clock, set_up};
use crate::engine_props::{any_step, grant_of};
use crate::model;

use super::{
    LITTLE_MEMORY, check_cuts, config, greedy, open, run_names, seal, snapshot_names, verdict_of, without_snapshots,
};
use proptest::prelude::*;

/// What a teller of stories does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Make(Step),
    /// Ends so many segments.
    Seal(usize),
    /// Lets the idempotency window pass.
    LongPause,
    Snapshot,
    Retire,
    Reopen,
    /// Reopens without the files of spilled identities.
    LoseRuns,
}

/// Everything that was ever told of the past.
#[derive(Default)]
struct Past {
    histories: BTreeMap<WalletNumber, BTreeMap<Lsn, Vec<Entry>>>,
    /// Feed events by position and place.
    feed: BTreeMap<(Lsn, u16), FeedEvent>,
}

/// A wallet's history as far down as it goes, newest first, and whether it ends because the rest is retired.
fn kept_history(engine: &Engine, wallet: WalletNumber) -> (Vec<Entry>, bool) {
    let (mut entries, mut before) = (Vec::new(), None);
    loop {
        match engine.entries(wallet.customer(), wallet.currency(), before, 4) {
            Ok(EntriesPage { entries: page, next }) => {
                entries.extend(page);
                match next {
                    Some(next) => before = Some(next),
                    None => return (entries, false),
                }
            }
            Err(error) => {
                assert_eq!(error, CommandError::Retired { first: engine.first_lsn() });
                return (entries, true);
            }
        }
    }
}

/// How an event is told when the hold's declaration may be retired: the caller's id of the hold was there, so the hold is told by the text that is
/// made for those without one.
fn without_callers_hold(known: &FeedEvent, now: &FeedEvent) -> String {
    let mut known = known.clone();
    for ((name, known), (_, now)) in known.data.iter_mut().zip(&now.data) {
        let is_made = |value: &FeedValue| matches!(value, FeedValue::Text(text) if text.starts_with("hld_"));
        if *name == "hold" && is_made(now) && !is_made(known) {
            known.clone_from(now);
        }
    }
    format!("{known:?}")
}

impl Past {
    /// Reads on, and compares what is left with what was read before.
    pub(super) fn follow(&mut self, engine: &Engine, books: &Books) {
        engine.barrier().wait().expect("a healthy log");
        self.follow_feed(engine);
        for wallet in WalletNumber::all().filter(|wallet| books.exists(*wallet)) {
            self.follow_history(engine, wallet);
        }
    }

    fn follow_feed(&mut self, engine: &Engine) {
        let first = engine.first_lsn();
        if engine.log().segment_start(first) > Lsn::ZERO {
            for gone in [Lsn::ZERO, Lsn::new(first.get() - 1)] {
                let refused = engine.feed(gone, 3, None).expect_err("the beginning is gone");
                assert_eq!(refused, CommandError::Retired { first });
            }
        }
        let (mut after, mut told) = (first, BTreeMap::new());
        loop {
            let page = engine.feed(after, 9, None).expect("a readable feed");
            told.extend(page.events.into_iter().map(|event| ((event.lsn, event.index), event)));
            after = page.next;
            if page.at_end {
                break;
            }
        }
        for (place, known) in self.feed.range((first, 0)..) {
            let now = told.get(place).unwrap_or_else(|| panic!("no longer told: {known:?}"));
            let (known, now) = (without_callers_hold(known, now), format!("{now:?}"));
            assert_eq!(now, known, "the feed tells otherwise");
        }
        self.feed.append(&mut told);
    }

    fn follow_history(&mut self, engine: &Engine, wallet: WalletNumber) {
        let (entries, is_cut) = kept_history(engine, wallet);
        let mut told: BTreeMap<Lsn, Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            told.entry(entry.entry).or_default().push(entry);
        }
        let known = self.histories.entry(wallet).or_default();
        let first = engine.first_lsn();
        assert!(!is_cut || engine.log().segment_start(first) > Lsn::ZERO, "nothing has been retired");
        // Everything is there from the first operation on whose record is; before it, debits of a generation whose opening may be gone.
        let is_operation = |entries: &Vec<Entry>| entries.iter().any(|entry| entry.kind != EntryKind::Debit);
        let there =
            known.range(first..).find(|(_, entries)| is_operation(entries)).map_or(Lsn::new(u64::MAX), |(lsn, _)| *lsn);
        for (lsn, entries) in known.iter() {
            match told.get(lsn) {
                Some(told) => assert_eq!(format!("{told:?}"), format!("{entries:?}"), "{wallet:?}"),
                None => {
                    assert!(is_cut && *lsn < there, "{wallet:?}: the entry {lsn} is gone; the log begins at {first}");
                }
            }
        }
        known.append(&mut told);
    }
}

/// A story being told.
pub(super) struct Tale {
    pub(super) disk: Disk,
    pub(super) clock: Arc<ManualClock>,
    pub(super) config: EngineConfig,
    pub(super) engine: Engine,
    pub(super) books: Books,
    past: Past,
}

impl Tale {
    pub(super) fn begin(memory_bytes: u64, retention: Retention) -> Tale {
        Self::begin_with(config(memory_bytes, retention))
    }

    pub(super) fn begin_with(config: EngineConfig) -> Tale {
        let (disk, clock) = (Disk::new(), clock());
        let (engine, _) = open(&disk, &clock, &config).expect("an empty disk opens");
        set_up(&engine).expect("currencies and meters");
        Tale { disk, clock, config, engine, books: Books::new(), past: Past::default() }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.engine.log().segment_start(self.engine.first_lsn()) == Lsn::ZERO
    }

    pub(super) fn make(&mut self, step: &Step) {
        if let Some(ticket) = self.books.make(step, &self.engine, &self.clock).expect("a healthy engine") {
            ticket.wait().expect("a healthy log");
        }
    }

    pub(super) fn act(&mut self, act: &Act) {
        match act {
            Act::Make(step) => self.make(step),
            Act::Seal(count) => (0..*count).for_each(|_| seal(&self.engine)),
            Act::LongPause => {
                self.make(&Step::Tidy);
                self.make(&Step::Pause(WINDOW_MS + 120_000));
                self.make(&Step::Tidy);
            }
            Act::Snapshot => {
                self.engine.snapshot_now().expect("a healthy ledger");
            }
            Act::Retire => {
                self.past.follow(&self.engine, &self.books);
                self.engine.retire().expect("a healthy disk");
                self.past.follow(&self.engine, &self.books);
            }
            Act::Reopen => self.reopen(),
            Act::LoseRuns => {
                for name in &run_names(&self.disk) {
                    self.disk.delete(name).expect("deleted");
                }
                self.reopen();
            }
        }
    }

    pub(super) fn audit(&mut self) {
        if self.is_whole() {
            self.books.audit(&self.engine);
        } else {
            self.books.audit_present(&self.engine);
        }
        self.past.follow(&self.engine, &self.books);
    }

    pub(super) fn reopen(&mut self) {
        self.audit();
        let before = self.engine.digest();
        self.engine.close().expect("a healthy log");
        let (lsn, is_whole) = (self.engine.stats().snapshots.lsn, self.is_whole());
        self.disk = self.disk.duplicate();
        self.verify();
        if is_whole {
            let bare = without_snapshots(&self.disk);
            let whole = open(&bare, &self.clock, &self.config).expect("a whole log").0.digest();
            assert_eq!(whole, before, "replaying the log gives another ledger");
        }
        let (engine, report) = open(&self.disk, &self.clock, &self.config).expect("what was written can be read");
        assert_eq!(engine.digest(), before, "opening from a snapshot gives another ledger");
        assert_eq!((report.reopened, report.torn_bytes, report.passed_over.len()), (0, 0, 0));
        assert_eq!(report.snapshot.get(), lsn);
        self.engine = engine;
        self.books.reopened();
        self.audit();
    }

    /// Whatever the story was, everything verifies: each snapshot but the oldest beside a log that was cut is what the log comes to.
    fn verify(&self) {
        let chain = Some(self.engine.log().chain().write());
        let verdict = verdict_of(&self.disk, chain);
        assert_eq!(verdict.problems, []);
        let has_base = usize::from(!self.is_whole());
        for (number, check) in verdict.snapshots.iter().enumerate() {
            assert!(check.is_sound);
            // A simulated disk keeps no chain: where the log was cut, each opening begins it anew.
            assert!(
                check.chain == ChainCheck::Agrees || check.chain == ChainCheck::NotKnown && has_base > 0,
                "{check:?}"
            );
            assert_eq!(check.compared == Compared::No, number < has_base, "{check:?}");
        }
        assert_eq!((verdict.snapshots.len(), verdict.runs.damaged), (snapshot_names(&self.disk).len(), 0));
        assert_eq!(verdict.runs.runs as usize, run_names(&self.disk).len());
    }

    pub(super) fn end(mut self, cuts: &[Index]) {
        self.reopen();
        self.books.resend(&self.engine);
        self.audit();
        self.engine.close().expect("a healthy log");
        if self.is_whole() {
            let (disk, books) = (self.disk.duplicate(), self.books);
            check_cuts(&disk, &self.clock, cuts.iter().map(|cut| cut.index(1 << 20)), &|engine| books.audit(engine));
        }
    }
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        40 => any_step().prop_map(Act::Make),
        6 => (1..3_usize).prop_map(Act::Seal),
        2 => Just(Act::LongPause),
        4 => Just(Act::Snapshot),
        3 => Just(Act::Retire),
        2 => Just(Act::Reopen),
        1 => Just(Act::LoseRuns),
    ]
}

fn any_tale() -> impl Strategy<Value = Vec<Act>> {
    proptest::collection::vec(any_act(), 1..60).prop_map(|mut acts| {
        let opening = [(0, 90), (1, 70)].map(|(wallet, units)| Act::Make(Step::Grant(grant_of(wallet, units))));
        acts.splice(0..0, opening);
        acts
    })
}

fn tell(acts: &[Act], config: EngineConfig, cuts: &[Index]) {
    let spills = config.idempotency_memory == FOR_ONE;
    let mut tale = Tale::begin_with(config);
    for act in acts {
        tale.act(act);
        if spills {
            tale.make(&Step::Tidy);
        }
    }
    tale.end(cuts);
}

/// Memory for identities that has room for a single one: whatever else is durable goes to files at once.
pub(super) const FOR_ONE: u64 = 1;

fn cases() -> u32 {
    std::env::var("DRAWDOWN_PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_and_the_log_behind_it_are_the_whole_log(
        acts in any_tale(),
        keeps_all in any::<bool>(),
        memory in prop_oneof![Just(LITTLE_MEMORY), Just(1 << 20)],
        identities in prop_oneof![Just(FOR_ONE), Just(1 << 30)],
        cuts in proptest::collection::vec(any::<Index>(), 2),
    ) {
        let config = config(memory, if keeps_all { Retention::default() } else { greedy() });
        tell(&acts, EngineConfig { idempotency_memory: identities, ..config }, &cuts);
    }
}

/// That a hold's time was over is told with the hold's text, though the record that made the hold has been retired.
#[test]
fn a_hold_keeps_its_text_when_the_record_that_made_it_is_retired() {
    let hold = HoldSpec {
        wallet: WalletNumber::all().next().expect("a wallet"),
        units: 1,
        ttl_ms: None,
        on_exceed: model::OnExceed::Reject,
        id: None,
    };
    let acts = [
        Act::Make(Step::Grant(grant_of(0, 90))),
        Act::Make(Step::Hold(hold)),
        Act::Seal(1),
        Act::LongPause,
        Act::Seal(1),
        Act::Snapshot,
        Act::Seal(3),
        Act::Snapshot,
        Act::Retire,
    ];
    tell(&acts, EngineConfig { idempotency_memory: FOR_ONE, ..config(LITTLE_MEMORY, greedy()) }, &[]);
}
