//! What a batch leaves in the log: one frame for what was applied, nothing for what was refused, and beside it, a moment later, that it was.

use std::sync::Arc;

use drawdown::engine::{Charge, Engine, EngineConfig, EventOutcome, EventStatus, ManualClock, UsageEvent};
use drawdown::ledger::Decimal;
use drawdown_wal::{Heap, Lsn};

use crate::billing::{check_sound, confirm, set_up};
use crate::books::{BEGIN, at, config};

/// Large enough for the batch to be decided at once.
const SEGMENT_BYTES: u64 = 1 << 20;

fn submit(engine: &Engine, ids: &[String], amount: i64) -> Vec<EventOutcome> {
    let charge = || Charge::Amount { currency: Some("credits"), amount: Ok(Decimal::from_integer(amount)) };
    let event = |id: &'_ String| UsageEvent {
        id: id.clone().leak(),
        source: "gw",
        customer: "ada",
        charge: charge(),
        time: None,
        policy: None,
    };
    let events: Vec<UsageEvent<'static>> = ids.iter().map(event).collect();
    let mut outcomes = Vec::new();
    engine.submit(&events, &mut outcomes).expect("a healthy engine").wait().expect("durable");
    outcomes
}

/// Records of each frame behind a position.
fn frames(engine: &Engine, from: Lsn) -> Vec<u32> {
    engine.barrier().wait().expect("durable");
    let mut reader = engine.log().reader(from);
    let mut counts = Vec::new();
    while let Some(frame) = reader.next().expect("a sound log") {
        counts.push(frame.count);
    }
    counts
}

fn refusals(engine: &Engine) -> Vec<(String, u64)> {
    engine.barrier().wait().expect("durable");
    let page = engine.feed(Lsn::ZERO, 1_000, Some(&["debit.rejected"])).expect("a feed");
    let field = |event: &drawdown::engine::view::FeedEvent, name: &str| {
        let value = event.data.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        match value {
            Some(drawdown::engine::view::FeedValue::Text(text)) => text,
            Some(drawdown::engine::view::FeedValue::Number(number)) => number.to_string(),
            other => panic!("{name}: {other:?}"),
        }
    };
    page.events
        .iter()
        .map(|event| (field(event, "event_id"), field(event, "count").parse().expect("a number")))
        .collect()
}

#[test]
fn a_batch_is_one_frame_and_what_is_refused_is_none_and_told_once_a_minute() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let open = || Engine::open_on(medium.clone(), config(SEGMENT_BYTES), clock.clone()).expect("a sound ledger").0;
    let engine = open();
    set_up(&engine).expect("a healthy log");
    confirm(&engine, &crate::billing::buy(&engine).top_up.id);
    let ids = |prefix: &str, count: usize| (0..count).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
    let before = engine.log().tail();
    assert!(submit(&engine, &ids("e", 50), 10).iter().all(|outcome| outcome.status == EventStatus::Applied));
    assert_eq!(frames(&engine, before), [50], "one batch, one frame");

    let before = engine.log().tail();
    let is_refused = |outcome: &EventOutcome| matches!(outcome.status, EventStatus::Rejected(_));
    assert!(submit(&engine, &ids("a", 3), 501).iter().all(is_refused));
    assert_eq!(frames(&engine, before), [0; 0], "a refusal leaves no trace");
    assert!(engine.tell_refusals());
    assert_eq!(frames(&engine, before), [1]);
    assert_eq!(refusals(&engine), [("a0".to_owned(), 3)]);
    assert!(!engine.tell_refusals(), "it was told");

    // More of them, within the minute and behind it.
    submit(&engine, &ids("b", 2), 501);
    clock.advance(59_999);
    submit(&engine, &ids("c", 2), 501);
    assert!(!engine.tell_refusals());
    clock.advance(1);
    assert!(engine.tell_refusals());
    let told = [("a0".to_owned(), 3), ("b0".to_owned(), 4)];
    assert_eq!(refusals(&engine), told);

    // It changes nothing, and is read again after a restart.
    let digest = engine.digest();
    engine.close().expect("a healthy log");
    drop(engine);
    let engine = open();
    assert_eq!((engine.digest(), refusals(&engine)), (digest, told.to_vec()));
    assert!(!engine.tell_refusals());
    check_sound(&engine);
}

/// What the interval held back was forgotten by an orderly stop.
#[test]
fn what_was_not_told_yet_is_told_when_the_engine_is_closed() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let open = |background| {
        let config = EngineConfig { background, ..config(SEGMENT_BYTES) };
        Engine::open_on(medium.clone(), config, clock.clone()).expect("a sound ledger").0
    };
    let engine = open(true);
    set_up(&engine).expect("a healthy log");
    confirm(&engine, &crate::billing::buy(&engine).top_up.id);
    submit(&engine, &["a".to_owned()], 1_001);
    engine.tell_refusals();
    submit(&engine, &["b".to_owned(), "c".to_owned()], 1_001);
    engine.close().expect("a healthy log");
    drop(engine);
    assert_eq!(refusals(&open(false)), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
}
