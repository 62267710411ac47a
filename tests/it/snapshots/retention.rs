//! What goes when a setting lets go of history, and what is told of it.

use drawdown::engine::view::GrantState;
use drawdown::engine::{CommandError, EngineConfig, Retention};
use drawdown_wal::{Disposal, Lsn};

use crate::books::{Correction, GrantSpec, RolloverSpecs, Step};
use crate::engine_props::{grant_of, usage_of};
use crate::model::Policy;

use super::tale::{Act, Tale};
use super::{SEGMENT_BYTES, config, greedy};

/// Two snapshots, a window, and a log long enough: the oldest segments go, and everything present stays.
pub(super) fn retired_tale(retention: Retention) -> Tale {
    retired_tale_with(config(1 << 20, retention))
}

pub(super) fn retired_tale_with(config: EngineConfig) -> Tale {
    let mut tale = Tale::begin_with(config);
    tale.make(&Step::Grant(grant_of(0, 500)));
    tale.make(&Step::Grant(grant_of(2, 40)));
    for number in 0..4 {
        for id in 0..6 {
            tale.make(&Step::Batch(vec![usage_of(number * 10 + id, 0, 3, Policy::Reject)]));
        }
        let all_at_once = if number == 0 { 40 } else { 1 };
        tale.make(&Step::Batch(vec![usage_of(900 + number, 2, all_at_once, Policy::Reject)]));
        tale.act(&Act::Seal(2));
        tale.act(&Act::LongPause);
        tale.act(&Act::Snapshot);
    }
    tale
}

#[test]
fn history_is_kept_for_ever_unless_a_setting_says_otherwise() {
    let mut tale = retired_tale(Retention::default());
    assert_eq!(tale.engine.retire().expect("a healthy disk"), 0);
    tale.reopen();
    assert!(tale.is_whole());
}

#[test]
fn what_is_retired_is_told_from_what_never_was() {
    let mut tale = retired_tale(greedy());
    tale.act(&Act::Retire);
    assert!(!tale.is_whole());
    let first = tale.engine.first_lsn();
    assert!(first.get() <= tale.engine.stats().snapshots.earlier_lsn + 4096, "two snapshots lie behind what is gone");
    tale.audit();
    // A grant that its wallet still holds is found in a snapshot; the one that was spent is not.
    let [held, spent] = [0, 1].map(|number| tale.books.made[number].clone());
    assert!(Lsn::new(held.id) < first && Lsn::new(spent.id) < first);
    assert!(tale.engine.grant_view(&held.text).is_ok());
    assert_eq!(tale.engine.grant_view(&spent.text).map(|_| ()), Err(CommandError::Retired { first }));
    let before = Some(Lsn::new(4200));
    let entries = tale.engine.entries("ada", "credits", before, 5).map(|_| ());
    assert_eq!(entries, Err(CommandError::Retired { first }));
    tale.reopen();
    assert_eq!(tale.engine.first_lsn(), first, "what is gone stays gone");
    assert!(tale.engine.grant_view(&held.text).is_ok());
}

/// What was declared of a depleted grant is in no snapshot; a reversal opens the grant again, and the log that says what it is goes.
#[test]
fn a_grant_that_was_opened_again_is_known_when_its_declaration_is_gone() {
    let mut tale = Tale::begin(1 << 20, greedy());
    tale.make(&Step::Grant(grant_of(0, 40)));
    tale.make(&Step::Batch(vec![usage_of(1, 0, 40, Policy::Reject)]));
    for _ in 0..2 {
        tale.act(&Act::Seal(2));
        tale.act(&Act::LongPause);
        tale.act(&Act::Snapshot);
    }
    tale.make(&Step::Correct(Correction::Reverse { debit: 0, units: Some(15), regrant: false }, None));
    // What lies near the log's end stays.
    tale.act(&Act::Seal(10));
    tale.act(&Act::Retire);
    let made = tale.books.made[0].clone();
    assert!(Lsn::new(made.id) < tale.engine.first_lsn(), "the declaration is gone");
    let left = |tale: &Tale| tale.engine.grant_view(&made.text).expect("an active grant").remaining.units();
    assert_eq!(left(&tale), 15);
    // Replayed from a snapshot that has it not, and then from one that has.
    tale.reopen();
    assert_eq!(left(&tale), 15);
    tale.act(&Act::Seal(2));
    tale.act(&Act::Snapshot);
    tale.reopen();
    assert_eq!(left(&tale), 15);
    tale.act(&Act::Retire);
    tale.end(&[]);
}

/// A grant that may roll over is paid for and goes into debt whole. Whether anything of it had gone on was looked for down to its declaration, which
/// is retired: the payment was made, and answered as if the grant were not known any more. (Found by a story of `sim`, seed 9.)
#[test]
fn a_grant_that_debt_takes_when_it_is_paid_for_is_shown_though_its_declaration_is_gone() {
    let mut tale = Tale::begin(1 << 20, greedy());
    let rollover = Some(RolloverSpecs { tenths: 5, max: None, lasts: None });
    tale.make(&Step::Grant(GrantSpec { waits: Some(Some(12)), rollover, ..grant_of(0, 54) }));
    tale.make(&Step::Batch(vec![usage_of(1, 0, 60, Policy::Overdraft)]));
    for _ in 0..2 {
        tale.act(&Act::Seal(2));
        tale.act(&Act::LongPause);
        tale.act(&Act::Snapshot);
    }
    tale.act(&Act::Seal(10));
    tale.act(&Act::Retire);
    let made = tale.books.made[0].clone();
    assert!(Lsn::new(made.id) < tale.engine.first_lsn(), "the declaration is gone");
    tale.make(&Step::Pay(0));
    let view = tale.engine.grant_view(&made.text).expect("a grant that has just ended");
    assert_eq!((view.state, view.rolled_over), (GrantState::Depleted, None));
    tale.end(&[]);
}

#[test]
fn nothing_goes_that_somebody_needs() {
    // An identity within the window.
    let mut tale = Tale::begin(1 << 20, greedy());
    tale.make(&Step::Grant(grant_of(0, 500)));
    for _ in 0..3 {
        tale.act(&Act::Seal(4));
        tale.act(&Act::Snapshot);
    }
    assert_eq!(tale.engine.retire().expect("a healthy disk"), 0, "the grant's identity is remembered");
    tale.act(&Act::LongPause);
    // A follower that has not read it.
    let follower = tale.engine.follow(Lsn::ZERO);
    assert_eq!(tale.engine.retire().expect("a healthy disk"), 0, "a follower has still to read it");
    follower.advance(Lsn::new(2 * SEGMENT_BYTES + 99));
    assert_eq!(tale.engine.retire().expect("a healthy disk"), 2);
    drop(follower);
    assert!(tale.engine.retire().expect("a healthy disk") > 0);
    tale.reopen();
    // One snapshot only.
    let mut tale = Tale::begin(1 << 20, greedy());
    tale.make(&Step::Grant(grant_of(0, 500)));
    tale.act(&Act::Seal(12));
    tale.act(&Act::Snapshot);
    tale.act(&Act::LongPause);
    assert_eq!(tale.engine.retire().expect("a healthy disk"), 0, "there is one snapshot only");
    tale.reopen();
}

#[test]
fn history_goes_by_age_and_by_size() {
    let by_age = |days: u64| Retention { history_ms: Some(days * 24 * 3_600_000), ..Retention::default() };
    let mut tale = retired_tale(by_age(30));
    assert_eq!(tale.engine.retire().expect("a healthy disk"), 0, "nothing is as old");
    tale.reopen();
    let mut tale = retired_tale(by_age(2));
    tale.act(&Act::Retire);
    let first = tale.engine.first_lsn();
    assert!(!tale.is_whole());
    tale.reopen();
    let mut greedy = retired_tale(greedy());
    greedy.act(&Act::Retire);
    assert!(first <= greedy.engine.first_lsn());
    let by_size = Retention { log_bytes: Some(7 * SEGMENT_BYTES), ..Retention::default() };
    let mut tale = retired_tale(by_size);
    tale.act(&Act::Retire);
    let log = tale.engine.log();
    let kept = log.tail().get() - log.segment_start(log.first()).get();
    assert!((7 * SEGMENT_BYTES..9 * SEGMENT_BYTES).contains(&kept), "{kept} bytes are kept");
    tale.reopen();
}

#[test]
fn archived_segments_are_somewhere_else() {
    let disposal = Disposal::Archive("anywhere".into());
    let mut tale = retired_tale(Retention { disposal, ..greedy() });
    tale.act(&Act::Retire);
    let first = tale.engine.log().segment_start(tale.engine.first_lsn()).get() / SEGMENT_BYTES;
    assert_eq!(tale.disk.archived(), (0..first).collect::<Vec<_>>());
    tale.reopen();
}
