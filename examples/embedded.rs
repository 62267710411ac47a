//! The ledger without the server: opens one in a directory, grants credit, debits a batch, and finds it all there again.
//!
//! ```sh
//! cargo run --release --example embedded -- ./ledger
//! ```

use drawdown::engine::catalog::{CurrencyKind, CurrencySpec, Priorities};
use drawdown::engine::view::{GrantOptions, GrantRequest, Metadata};
use drawdown::engine::{Charge, Engine, EngineConfig, SystemClock, UsageEvent};
use drawdown::ledger::{Category, Decimal, Source};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("embedded-ledger"), PathBuf::from);
    let (engine, report) = Engine::open(&dir, EngineConfig::default(), Arc::new(SystemClock))?;
    println!("opened {}: {} wallets, {} debits replayed", dir.display(), report.wallets, report.debits);

    let (_, ticket) = engine.put_currency(CurrencySpec {
        id: "credits".into(),
        name: "Credits".into(),
        symbol: "cr".into(),
        scale: 2,
        kind: CurrencyKind::Unit,
        max_balance: None,
        default_priorities: Priorities::new(),
    })?;
    ticket.wait()?;

    // The key makes the grant safe to repeat: run the example twice, and it is made once.
    let (outcomes, ticket) = engine.grant(&[GrantRequest {
        customer: "cus_42".into(),
        currency: None,
        amount: Decimal::parse(b"100")?,
        source: Source::Promotional,
        category: Category::Promotional,
        priority: None,
        effective_at: None,
        expires_at: None,
        cost_basis: None,
        key: Some("welcome".into()),
        metadata: Metadata::new(),
        options: GrantOptions::default(),
    }])?;
    ticket.wait()?;
    for outcome in outcomes {
        let grant = outcome.result?;
        println!("granted {}: {}", engine.grant_text(grant.id), grant.amount.display(grant.currency.scale));
    }

    let ids = ["evt_1", "evt_2", "evt_3"];
    let events = ids.map(|id| UsageEvent {
        id,
        source: "example",
        customer: "cus_42",
        charge: Charge::Amount { currency: Some("credits"), amount: Decimal::parse(b"0.25") },
        time: None,
        policy: None,
    });
    let mut outcomes = Vec::new();
    engine.submit(&events, &mut outcomes)?.wait()?; // what follows is on disk
    for (id, outcome) in ids.iter().zip(&outcomes) {
        println!("{id}: {:?}, balance {}", outcome.status, outcome.balance.display(outcome.scale));
    }

    let before = engine.wallet("cus_42", "credits")?.balance;
    engine.close()?;
    drop(engine);

    let (engine, _) = Engine::open(&dir, EngineConfig::default(), Arc::new(SystemClock))?;
    let wallet = engine.wallet("cus_42", "credits")?;
    assert_eq!(wallet.balance, before, "a ledger is the same after reopening");
    println!("reopened: balance {}", wallet.balance.display(wallet.currency.scale));
    engine.close()?;
    Ok(())
}
