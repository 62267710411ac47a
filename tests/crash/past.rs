//! A ledger with a past: segments of days ago, which the server may let go of while it runs.
//!
//! What the tests send is remembered for a day, and its segments stay as long. So that segments go within seconds, they must have been
//! written days ago; the engine writes them here, by a clock of its own.

use crate::books::CURRENCY;
use crate::client::Client;
use drawdown::engine::catalog::{CurrencyKind, CurrencySpec, Priorities};
use drawdown::engine::view::{GrantOptions, GrantRequest, Metadata};
use drawdown::engine::{Charge, Clock, Engine, EngineConfig, ManualClock, SystemClock, UsageEvent};
use drawdown::ledger::{Category, Decimal, Source, Timestamp};
use drawdown_wal::Options;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long ago it was, ms: longer than identities are remembered.
const AGO_MS: u64 = 3 * 24 * 3_600_000;

/// Customers of the past.
const CUSTOMERS: usize = 5;

/// What each of them was granted, in whole credits.
const GRANTED: i64 = 1_000;

/// What must be left of the past.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past {
    segments: u64,
}

fn customer(number: usize) -> String {
    format!("old_{number}")
}

/// Makes a ledger whose log has so many sealed segments of so many bytes. In each of them every customer spends one credit.
pub(crate) fn make(directory: &Path, segment_bytes: u64, segments: u64) -> Past {
    let log = Options {
        segment_bytes,
        max_frame_bytes: u32::try_from(segment_bytes / 8).expect("small segments"),
        max_unsynced_bytes: segment_bytes,
        ..Options::default()
    };
    let config = EngineConfig { log, background: false, ..EngineConfig::default() };
    let then = Timestamp::from_millis(SystemClock.now().millis() - AGO_MS);
    let (engine, _) = Engine::open(directory, config, Arc::new(ManualClock::new(then))).expect("a new ledger");
    let id = CURRENCY.to_owned();
    let spec = CurrencySpec {
        name: id.clone(),
        id,
        symbol: String::new(),
        scale: 2,
        kind: CurrencyKind::Unit,
        max_balance: None,
        default_priorities: Priorities::new(),
    };
    engine.put_currency(spec).expect("a currency").1.wait().expect("a healthy log");
    for number in 0..CUSTOMERS {
        let request = GrantRequest {
            customer: customer(number),
            currency: Some(CURRENCY.to_owned()),
            amount: Decimal::from_integer(GRANTED),
            source: Source::Package,
            category: Category::Paid,
            priority: None,
            effective_at: None,
            expires_at: None,
            cost_basis: None,
            key: None,
            metadata: Metadata::new(),
            options: GrantOptions::default(),
        };
        engine.grant(&[request]).expect("room").1.wait().expect("a healthy log");
    }
    for segment in 0..segments {
        spend(&engine, segment);
        seal(&engine);
    }
    engine.close().expect("a healthy log");
    Past { segments }
}

fn spend(engine: &Engine, segment: u64) {
    let names: Vec<_> = (0..CUSTOMERS).map(|number| (format!("old-{segment}-{number}"), customer(number))).collect();
    let events: Vec<_> = names
        .iter()
        .map(|(id, customer)| UsageEvent {
            id,
            source: "past",
            customer,
            charge: Charge::Amount { currency: Some(CURRENCY), amount: Ok(Decimal::from_integer(1)) },
            time: None,
            policy: None,
        })
        .collect();
    engine.submit(&events, &mut Vec::new()).expect("room").wait().expect("a healthy log");
}

/// Fills the rest of the segment that is being written with padding.
fn seal(engine: &Engine) {
    let log = engine.log();
    let start = log.segment_start(log.tail());
    while log.segment_start(log.tail()) == start {
        let left = (start.get() + log.segment_bytes() - log.tail().get()).min(4096);
        let admission = log.admit_wait(left, Duration::from_secs(10)).expect("room for padding");
        // A frame that is not published becomes padding.
        drop(admission.reserve(1, left as usize - 32));
    }
    engine.barrier().wait().expect("a healthy log");
}

impl Past {
    /// Whatever has gone of its log, every customer has what was not spent.
    pub(crate) fn check(self, client: &mut Client) {
        let left = GRANTED - self.segments.cast_signed();
        for number in 0..CUSTOMERS {
            let said = client.get(&format!("/v1/wallets/{}/{CURRENCY}", customer(number)));
            assert_eq!(crate::books::units(&said["balance"]), left * 100, "{said}");
            assert_eq!(crate::books::units(&said["grants"][0]["remaining"]), left * 100, "{said}");
        }
    }

    /// What it has left altogether, in hundredths.
    pub(crate) fn balance(self) -> i64 {
        (GRANTED - self.segments.cast_signed()) * 100 * i64::try_from(CUSTOMERS).expect("a few")
    }
}
