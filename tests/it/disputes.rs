//! Disputed payments: their credits are frozen, and then free again or gone, whatever is cut, spent or comes back meanwhile.

use std::sync::Arc;

use drawdown::billing::top_up::{Event, Status};
use drawdown::engine::corrections::view::{Expired, ReversalRequest};
use drawdown::engine::holds::HoldRequest;
use drawdown::engine::view::{EntryKind, Metadata};
use drawdown::engine::{Charge, Engine, EngineConfig, EventStatus, ManualClock, Shortfall, UsageEvent};
use drawdown::ledger::{Amount, Decimal, OnExceed};
use drawdown_wal::Heap;
use drawdown_wal::sim::Disk;

use crate::billing::{
    SEGMENT_BYTES, balance, buy, check_sound, confirm, debit, open_on, refund, request, seal_segment, set_up, told,
};
use crate::books::{BEGIN, at, config};

/// An engine whose only wallet has what was bought, and the purchase.
struct Story {
    engine: Engine,
    clock: Arc<ManualClock>,
    medium: Arc<Heap>,
    id: String,
}

impl Story {
    /// A thousand credits, bought.
    fn begin() -> Story {
        let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
        let engine = open_on(medium.clone(), &clock);
        set_up(&engine).expect("a healthy log");
        let id = buy(&engine).top_up.id;
        confirm(&engine, &id);
        Story { engine, clock, medium, id }
    }

    fn reopen(self) -> Story {
        let digest = self.engine.digest();
        self.engine.close().expect("a healthy log");
        drop(self.engine);
        let engine = open_on(self.medium.clone(), &self.clock);
        assert_eq!(engine.digest(), digest);
        check_sound(&engine);
        Story { engine, ..self }
    }

    #[track_caller]
    fn dispute(&self, event: &Event) -> Status {
        self.engine.top_up_event(&self.id, event).expect("it is taken").0.top_up.status()
    }

    /// Balance, what is frozen, and what is available.
    #[track_caller]
    fn check(&self, balance: i64, frozen: i64, available: i64) {
        check(&self.engine, balance, frozen, available);
    }
}

#[track_caller]
fn check(engine: &Engine, balance: i64, frozen: i64, available: i64) {
    let wallet = engine.wallet("ada", "credits").expect("a wallet");
    let have = (wallet.balance.units(), wallet.frozen.units(), wallet.available.units());
    assert_eq!(have, (balance, frozen, available));
    assert_eq!(wallet.grants.iter().map(|lot| lot.frozen.units()).sum::<i64>(), frozen);
}

fn spend(engine: &Engine, id: &str, amount: i64) -> EventStatus {
    let charge = Charge::Amount { currency: Some("credits"), amount: Ok(Decimal::from_integer(amount)) };
    let event = UsageEvent { id, source: "", customer: "ada", charge, time: None, policy: None };
    let mut outcomes = Vec::new();
    drop(engine.submit(&[event], &mut outcomes).expect("a healthy engine"));
    outcomes[0].status
}

fn hold(engine: &Engine, id: &str, amount: i64) {
    let amount = Decimal::from_integer(amount);
    let request = HoldRequest {
        id: Some(id),
        customer: "ada",
        currency: None,
        amount,
        ttl_ms: None,
        on_exceed: OnExceed::Reject,
    };
    engine.hold(&[request]).expect("a healthy engine").0.remove(0).result.expect("a hold");
}

fn entries(engine: &Engine) -> Vec<(EntryKind, i64, i64)> {
    engine.barrier().wait().expect("durable");
    let page = engine.entries("ada", "credits", None, 100).expect("a history");
    page.entries.iter().rev().map(|entry| (entry.kind, entry.amount.units(), entry.held.units())).collect()
}

fn of_grants(engine: &Engine) -> Vec<&'static str> {
    told(engine).into_iter().filter(|kind| kind.starts_with("grant.") || *kind == "top_up.disputed").collect()
}

#[test]
fn what_is_left_is_frozen_and_a_won_dispute_frees_it() {
    let story = Story::begin();
    debit(&story.engine, "e1", 300);
    assert_eq!(story.dispute(&Event::DisputeOpened), Status::Disputed);
    story.check(700, 700, 0);
    let is_refused = |status| matches!(status, EventStatus::Rejected(_));
    assert!(is_refused(spend(&story.engine, "e2", 1)));
    let story = story.reopen();
    story.check(700, 700, 0);
    assert_eq!(story.engine.open_holds("ada", None, None, 10).expect("a list").0.len(), 0, "it is no hold");
    assert_eq!(story.dispute(&Event::DisputeOpened), Status::Disputed);
    assert_eq!(story.dispute(&Event::DisputeWon), Status::DisputeWon);
    story.check(700, 0, 700);
    assert!(!is_refused(spend(&story.engine, "e2", 1)));
    assert_eq!(
        entries(&story.engine),
        [
            (EntryKind::Grant, 1_000, 0),
            (EntryKind::Debit, -300, 0),
            (EntryKind::Freeze, 0, 700),
            (EntryKind::Thaw, 0, -700),
            (EntryKind::Debit, -1, 0)
        ]
    );
    let expected = ["grant.created", "top_up.disputed", "grant.frozen", "top_up.disputed", "grant.thawed"];
    assert_eq!(of_grants(&story.engine), expected);
    story.reopen().check(699, 0, 699);
}

#[test]
fn a_lost_dispute_takes_what_is_frozen_and_the_rest_is_owed() {
    let story = Story::begin();
    debit(&story.engine, "e1", 300);
    // A third is paid back before: 333 credits go, and so many fewer are frozen.
    refund(&story.engine, &story.id, "r1", 667);
    story.dispute(&Event::DisputeOpened);
    story.check(367, 367, 0);
    let story = story.reopen();
    assert_eq!(story.dispute(&Event::DisputeLost), Status::DisputeLost);
    story.check(-300, 0, -300);
    let last = entries(&story.engine).pop();
    assert_eq!(last, Some((EntryKind::Adjustment, -667, -367)));
    assert_eq!(of_grants(&story.engine).last(), Some(&"grant.depleted"));
    let story = story.reopen();
    let top_up = story.engine.top_up(&story.id).expect("it is there").top_up;
    assert_eq!((top_up.clawed_back, top_up.frozen), (Amount::new(1_000), false));
}

#[test]
fn what_comes_back_meanwhile_is_frozen_too() {
    let story = Story::begin();
    hold(&story.engine, "h", 400);
    debit(&story.engine, "e1", 300);
    story.dispute(&Event::DisputeOpened);
    story.check(700, 300, 0);
    drop(story.engine.release_hold("h").expect("an open hold"));
    story.check(700, 300, 400);
    story.engine.tidy();
    story.check(700, 700, 0);
    story.engine.barrier().wait().expect("durable");
    let page = story.engine.entries("ada", "credits", None, 100).expect("a history");
    let debit = page.entries.iter().find(|entry| entry.kind == EntryKind::Debit).expect("a debit").entry;
    let request = ReversalRequest { entry: debit, amount: None, expired: Expired::Lose, reason: None, key: None };
    drop(story.engine.reverse(&request).expect("a debit that can be taken back"));
    story.check(1_000, 700, 300);
    story.engine.tidy();
    story.check(1_000, 1_000, 0);
    let story = story.reopen();
    story.dispute(&Event::DisputeLost);
    story.check(0, 0, 0);
    check_sound(&story.engine);
}

#[test]
fn what_is_bought_for_other_money_stays_usable() {
    let story = Story::begin();
    let other = drawdown::engine::billing::TopUpRequest { key: Some("order-2".to_owned()), ..request("starter") };
    let id = story.engine.create_top_up(&other).expect("a top-up").0.top_up.id;
    confirm(&story.engine, &id);
    story.dispute(&Event::DisputeOpened);
    story.check(2_000, 1_000, 1_000);
    debit(&story.engine, "e1", 1_000);
    story.check(1_000, 1_000, 0);
    story.dispute(&Event::DisputeLost);
    story.check(0, 0, 0);
    check_sound(&story.engine);
}

#[test]
fn a_shortfall_is_written_off_where_the_server_is_set_so() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let config = EngineConfig { refund_shortfall: Shortfall::WriteOff, ..config(SEGMENT_BYTES) };
    let engine = Engine::open_on(medium, config, clock).expect("a sound ledger").0;
    set_up(&engine).expect("a healthy log");
    let id = buy(&engine).top_up.id;
    confirm(&engine, &id);
    debit(&engine, "e1", 600);
    refund(&engine, &id, "r1", 667);
    assert_eq!(balance(&engine), 400 - 333);
    drop(engine.top_up_event(&id, &Event::DisputeOpened).expect("it is taken"));
    check(&engine, 67, 67, 0);
    drop(engine.top_up_event(&id, &Event::DisputeLost).expect("it is taken"));
    check(&engine, 0, 0, 0);
    check_sound(&engine);
}

/// Twelve refunds of a price that twelve does not divide: what is taken back in all is exact after each, and all of it after the last.
#[test]
fn partial_refunds_add_up_to_the_unit() {
    let story = Story::begin();
    let mut paid_back = 0;
    for number in 1..=12 {
        let cents = if number == 12 { 1_999 - paid_back } else { 167 - number % 2 };
        paid_back += cents;
        let view = refund(&story.engine, &story.id, &format!("r{number}"), cents);
        let expected = 1_000 * paid_back / 1_999;
        assert_eq!((view.top_up.clawed_back.units(), balance(&story.engine)), (expected, 1_000 - expected));
    }
    assert_eq!(story.engine.top_up(&story.id).expect("it is there").top_up.status(), Status::Refunded);
    assert_eq!(balance(&story.engine), 0);
    story.reopen().check(0, 0, 0);
}

#[test]
fn snapshots_hold_what_is_frozen() {
    let story = Story::begin();
    story.dispute(&Event::DisputeOpened);
    seal_segment(&story.engine);
    story.engine.snapshot_now().expect("a snapshot").expect("a segment is sealed");
    let story = story.reopen();
    story.check(1_000, 1_000, 0);
    story.dispute(&Event::DisputeWon);
    story.check(1_000, 0, 1_000);
}

/// What a disputed purchase does; whatever it has done already it does again to no effect.
fn disputed(engine: &Engine, filler: usize) {
    let metadata = Metadata::from([("f".to_owned(), "x".repeat(filler))]);
    let request = drawdown::engine::billing::TopUpRequest { metadata, ..request("starter") };
    let id = engine.create_top_up(&request).expect("a top-up").0.top_up.id;
    confirm(engine, &id);
    debit(engine, "e1", 600);
    drop(engine.top_up_event(&id, &Event::DisputeOpened).expect("it is taken"));
    drop(engine.top_up_event(&id, &Event::DisputeLost).expect("it is taken"));
}

#[track_caller]
fn check_cut(left: &Disk, clock: &Arc<ManualClock>, filler: usize, depth: u32) {
    let engine = open_on(left.medium(), clock);
    for view in engine.top_ups(None, None, 10) {
        // Opening has made up for what the cut kept from being done.
        let top_up = view.top_up;
        let is_open = top_up.status() == Status::Disputed;
        assert_eq!((top_up.frozen, top_up.to_freeze), (is_open, is_open));
        let wallet = engine.wallet("ada", "credits").map(|wallet| (wallet.balance.units(), wallet.frozen.units()));
        let wallet = wallet.unwrap_or_default();
        match top_up.status() {
            Status::Disputed => assert_eq!(wallet, (400, 400)),
            Status::DisputeLost => assert_eq!(wallet, (-600, 0)),
            _ => assert_eq!(wallet.1, 0),
        }
    }
    if depth > 0 {
        let (durable, tail) = (engine.log().durable().get(), engine.log().tail().get());
        for sector in durable / 512..=tail / 512 {
            let left = left.crash_keeping(sector * 512 / SEGMENT_BYTES, sector * 512 % SEGMENT_BYTES);
            check_cut(&left, clock, filler, depth - 1);
        }
    }
    disputed(&engine, filler);
    engine.barrier().wait().expect("durable");
    check(&engine, -600, 0, -600);
    check_sound(&engine);
    let digest = engine.digest();
    engine.close().expect("a healthy log");
    drop(engine);
    assert_eq!(open_on(left.medium(), clock).digest(), digest);
}

#[test]
fn a_dispute_cut_anywhere_freezes_and_takes_back_once() {
    for filler in [1, 180, 340] {
        let (disk, clock) = (Disk::new(), Arc::new(ManualClock::new(at(BEGIN))));
        let engine = open_on(disk.medium(), &clock);
        set_up(&engine).expect("a healthy log");
        let durable = engine.log().durable().get();
        disputed(&engine, filler);
        let tail = engine.log().tail().get();
        for sector in durable / 512..=tail / 512 {
            let left = disk.crash_keeping(sector * 512 / SEGMENT_BYTES, sector * 512 % SEGMENT_BYTES);
            check_cut(&left, &clock, filler, 1);
        }
    }
}
