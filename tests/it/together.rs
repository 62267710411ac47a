//! Several wallets at once under many threads, and after power cuts at every kind of place: nothing of a group or a transfer is ever there
//! by half, whichever copies of its frame are in the log.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use drawdown::engine::catalog::{CurrencyKind, CurrencySpec, Priorities};
use drawdown::engine::corrections::view::TransferRequest;
use drawdown::engine::{Charge, CommandError, Engine, EngineConfig, EventStatus, ManualClock, UsageEvent};
use drawdown::ledger::{Decimal, Policy, Rejection};
use drawdown_wal::sim::Random;
use drawdown_wal::{Lsn, Options};

use crate::books::{BEGIN, at, plain_grant};

const WALLETS: [&str; 4] = ["ada", "bob", "cyd", "dot"];
const CURRENCY: &str = "credits";
const CREDITS: i64 = 4_000;
const THREADS: u64 = 5;
const ROUNDS: u64 = 60;
const CUTS: usize = 16;

fn config(workers: u32) -> EngineConfig {
    let log = Options { manual: false, max_unsynced_bytes: 2 << 20, ..Options::tiny(4 << 20) };
    EngineConfig {
        log,
        expected_events: 64,
        expected_wallets: 4,
        replay_workers: workers,
        background: false,
        ..EngineConfig::default()
    }
}

fn open(dir: &Path, workers: u32) -> Engine {
    Engine::open(dir, config(workers), Arc::new(ManualClock::new(at(BEGIN)))).expect("a ledger").0
}

fn event<'a>(id: &'a str, wallet: &'a str, credits: i64) -> UsageEvent<'a> {
    let charge = Charge::Amount { currency: Some(CURRENCY), amount: Ok(Decimal::from_integer(credits)) };
    UsageEvent { id, source: "", customer: wallet, charge, time: None, policy: Some(Policy::Reject) }
}

/// What one thread does; answers what it debited, in credits.
fn work(engine: &Engine, thread: u64) -> i64 {
    let mut random = Random::new(thread);
    let mut debited = 0;
    for round in 0..ROUNDS {
        let (one, other) = (random.below(4) as usize, 1 + random.below(3) as usize);
        let other = (one + other) % 4;
        match random.below(3) {
            0 => {
                let request = TransferRequest {
                    from: WALLETS[one].to_owned(),
                    to: WALLETS[other].to_owned(),
                    currency: Some(CURRENCY.to_owned()),
                    amount: Decimal::from_integer(1 + random.below(9).cast_signed()),
                    reason: None,
                    key: Some(format!("t-{thread}-{round}")),
                    metadata: std::collections::BTreeMap::new(),
                };
                match engine.transfer(&request) {
                    Ok((view, replayed, _)) => {
                        assert!(!replayed);
                        let again = engine.transfer(&request).expect("the first answer again");
                        assert_eq!((again.0, again.1), (view, true));
                    }
                    Err(CommandError::Rejected(Rejection::TooManyGrants | Rejection::InsufficientCredit { .. })) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            1 => {
                let ids: Vec<_> = (0..3).map(|number| format!("g-{thread}-{round}-{number}")).collect();
                let events: Vec<_> =
                    [one, other, one].into_iter().zip(&ids).map(|(wallet, id)| event(id, WALLETS[wallet], 2)).collect();
                let mut outcomes = Vec::new();
                drop(engine.submit_group(&events, &mut outcomes).expect("a healthy log"));
                let statuses: BTreeSet<_> =
                    outcomes.iter().map(|outcome| outcome.status == EventStatus::Applied).collect();
                assert_eq!(statuses.len(), 1, "all or none: {outcomes:?}");
                debited += if statuses.contains(&true) { 6 } else { 0 };
            }
            _ => {
                let ids: Vec<_> = (0..4).map(|number| format!("e-{thread}-{round}-{number}")).collect();
                let events: Vec<_> = ids.iter().map(|id| event(id, WALLETS[one], 1)).collect();
                let mut outcomes = Vec::new();
                drop(engine.submit(&events, &mut outcomes).expect("a healthy log"));
                debited += outcomes.iter().map(|outcome| i64::from(outcome.entry.is_some())).sum::<i64>();
            }
        }
    }
    debited
}

/// Units in all wallets.
fn balance(engine: &Engine) -> i128 {
    engine.balances(None, None).iter().map(|total| total.balance).sum()
}

/// Everything that clients see of the wallets.
fn shown(engine: &Engine) -> Vec<String> {
    let wallets = WALLETS.iter().filter_map(|customer| engine.wallet(customer, CURRENCY).ok());
    wallets.map(|wallet| format!("{:?} {:?} {:?}", wallet.customer, wallet.balance, wallet.grants)).collect()
}

fn audited(engine: &Engine) {
    let audit = engine.audit(&AtomicU64::new(0)).expect("a readable log");
    assert_eq!(audit.findings, []);
    for currency in audit.currencies {
        assert!(currency.is_conserved(), "{currency:?}");
    }
}

#[test]
fn nothing_is_ever_there_by_half() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path(), 1);
    let spec = CurrencySpec {
        id: CURRENCY.to_owned(),
        name: String::new(),
        symbol: String::new(),
        scale: 0,
        kind: CurrencyKind::Unit,
        max_balance: None,
        default_priorities: Priorities::new(),
    };
    drop(engine.put_currency(spec).expect("a currency"));
    let grants: Vec<_> = WALLETS.iter().map(|wallet| plain_grant(wallet, CURRENCY, CREDITS)).collect();
    engine.grant(&grants).expect("a healthy log").1.wait().expect("a healthy log");
    let begun = engine.log().tail();
    let is_over = AtomicBool::new(false);
    let debited: i64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn({
                    let engine = &engine;
                    move || work(engine, thread)
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for wallet in WALLETS {
                    drop(engine.wallet(wallet, CURRENCY).expect("a wallet"));
                }
            }
        });
        let debited = threads.into_iter().map(|thread| thread.join().expect("no thread panicked")).sum();
        is_over.store(true, Ordering::Relaxed);
        reader.join().expect("the reader did not panic");
        debited
    });
    assert_eq!(balance(&engine), 4 * i128::from(CREDITS) - i128::from(debited));
    audited(&engine);
    engine.barrier().wait().expect("a healthy log");
    // Where frames end.
    let ends = frame_ends(&engine, begun);
    assert_eq!(engine.log().segment_start(begun), engine.log().segment_start(*ends.last().expect("frames")));
    let (start, before) = (engine.log().segment_start(begun), shown(&engine));
    engine.close().expect("a healthy log");
    drop(engine);
    for workers in [1, 3] {
        let engine = open(directory.path(), workers);
        assert_eq!(shown(&engine), before);
        audited(&engine);
    }
    let mut random = Random::new(7);
    for cut in 0..CUTS {
        let end = ends[random.below(ends.len() as u64) as usize];
        // At the end of a frame, or in the midst of the one behind it.
        let end = Lsn::new(end.get() + if cut % 2 == 0 { 0 } else { 8 + random.below(60) });
        let copy = tempfile::tempdir().expect("a directory");
        cut_off(directory.path(), copy.path(), (end.get() - start.get()) as usize);
        let engine = open(copy.path(), 3);
        audited(&engine);
        let balances = shown(&engine);
        engine.close().expect("a healthy log");
        drop(engine);
        let again = open(copy.path(), 2);
        assert_eq!(shown(&again), balances, "what was mended is what all later readers find");
    }
}

fn frame_ends(engine: &Engine, begun: Lsn) -> Vec<Lsn> {
    let (mut ends, mut reader) = (Vec::new(), engine.log().reader(begun));
    while let Some(frame) = reader.next().expect("a readable log") {
        ends.push(frame.end);
    }
    ends
}

/// Copies a ledger as it would be if the disk had kept no more than so many bytes of its only segment.
fn cut_off(from: &Path, to: &Path, kept: usize) {
    for file in fs::read_dir(from).expect("a directory") {
        let file = file.expect("a file");
        let name = file.file_name();
        let is_segment = name.to_string_lossy().ends_with(".wal");
        if !file.file_type().expect("a kind").is_file() || name.to_string_lossy().contains("lock") {
            continue;
        }
        let mut bytes = fs::read(file.path()).expect("a readable file");
        if is_segment && bytes.len() > kept && name.to_string_lossy().starts_with("0000000000000001") {
            bytes[kept..].fill(0);
        }
        fs::write(to.join(name), bytes).expect("a writable file");
    }
}
