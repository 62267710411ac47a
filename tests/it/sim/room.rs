//! What is refused because the log has no room leaves no trace.

use super::{SEGMENT_BYTES, fresh_disk};
use crate::books::{BEGIN, Books, WalletNumber, at, config};
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
