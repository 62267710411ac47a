//! What is refused because the log has no room leaves no trace.

use super::{Run, SEGMENT_BYTES, fresh_disk, open, workload};
use crate::books::{BEGIN, Books, Step, WalletNumber, at, config};
use crate::engine_props::grant_of;
use drawdown::engine::{CommandError, Engine, ManualClock, Unavailable};
use drawdown_wal::Pumped;
use std::sync::Arc;

fn grant(engine: &Engine, wallet: usize) -> Result<(), Unavailable> {
    let (outcomes, _) = engine.grant(&[Books::new().request(&grant_of(wallet, 5))])?;
    outcomes.into_iter().next().expect("one outcome").result.expect("the rules have nothing against it");
    Ok(())
}

/// A wallet takes a few hundred bytes of log, a grant tens of thousands to be admitted to. Where the room was in between, the wallet of a
/// refused grant stayed, empty. (Found by a story, seed 681.)
#[test]
fn a_grant_for_which_there_is_no_room_makes_no_wallet() {
    let disk = fresh_disk();
    let (engine, _) = Engine::open_on(disk.medium(), config(SEGMENT_BYTES), Arc::new(ManualClock::new(at(BEGIN))))
        .expect("a healthy log");
    disk.fill_up(disk.creations() + 1);
    let mut made = 0;
    // By turns, so that none has too many.
    while grant(&engine, [0, 1, 4, 5][made % 4]).is_ok() {
        made += 1;
        while engine.log().pump() != (Pumped { synced: false, prepared: false }) {}
    }
    assert!(made > 10, "{made} grants");
    grant(&engine, 2).expect_err("there is no room");
    let wallet = engine.wallet(WalletNumber(2).customer(), WalletNumber(2).currency());
    assert!(matches!(wallet, Err(CommandError::NotFound { what: "wallet" })), "{wallet:?}");
}

/// Frames are small here, and each event of a group is allowed for all that could happen to the grants of its wallet. (Found by stories.)
#[test]
fn a_group_that_does_not_fit_into_a_frame_leaves_no_trace_and_its_events_fit_one_by_one() {
    let (mut run, disk) = (Run::new(), fresh_disk());
    let engine = open(&disk, &run.clock);
    for _ in 0..12 {
        let _ = run.books.make(&Step::Grant(grant_of(0, 5)), &engine, &run.clock).expect("a healthy engine");
        while engine.log().pump() != (Pumped { synced: false, prepared: false }) {}
    }
    let (events, tail) = ((1..=4).map(workload::usage).collect::<Vec<_>>(), engine.log().tail());
    let refused = run.books.make(&Step::Group(events.clone()), &engine, &run.clock).expect("a healthy engine");
    assert!(refused.is_none(), "it is too large");
    assert_eq!(engine.log().tail(), tail);
    run.books.audit(&engine);
    for event in events {
        let _ = run.books.make(&Step::Batch(vec![event]), &engine, &run.clock).expect("a healthy engine");
    }
    run.books.audit(&engine);
}
