//! After a run: every wallet is read back over HTTP and compared with the books.

use crate::books::{Books, Faults};
use crate::client::{Call, CallError, Client, Target};
use crate::encode::{CURRENCY, Names};
use crate::units;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use tokio::task::JoinSet;

/// What the wallets said.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Audit {
    /// Wallets read.
    pub wallets: u64,
    /// What they hold together, in units.
    pub held_units: i128,
    /// What the books say that they hold together, in units.
    pub booked_units: i128,
    /// Wallets that hold something else than the books say.
    pub differences: Faults,
}

#[derive(Deserialize)]
struct Wallet<'a> {
    #[serde(borrow)]
    balance: Cow<'a, str>,
}

/// Reads all wallets over as many connections as the run had.
pub async fn audit(
    target: &Arc<Target>,
    names: &Names,
    books: &Arc<Books>,
    connections: u32,
    bar: &ProgressBar,
) -> Result<Audit, CallError> {
    let mut readers = JoinSet::new();
    for first in 0..connections.min(books.wallets()) {
        let (client, names) = (Client::new(Arc::clone(target)), names.clone());
        let wallets = (first..books.wallets()).step_by(connections as usize);
        readers.spawn(read(client, names, Arc::clone(books), wallets, bar.clone()));
    }
    let mut all = Audit::default();
    while let Some(read) = readers.join_next().await {
        let part = read.expect("a reader does not panic")?;
        all.wallets += part.wallets;
        all.held_units += part.held_units;
        all.booked_units += part.booked_units;
        all.differences.add(part.differences);
    }
    bar.finish_and_clear();
    Ok(all)
}

async fn read(
    mut client: Client,
    names: Names,
    books: Arc<Books>,
    wallets: impl Iterator<Item = u32>,
    bar: ProgressBar,
) -> Result<Audit, CallError> {
    let mut audit = Audit::default();
    for wallet in wallets {
        let customer = names.customer(wallet);
        let held = balance(&mut client, &customer).await?;
        let booked = books.balance(wallet);
        audit.wallets += 1;
        audit.booked_units += i128::from(booked);
        audit.held_units += held.as_ref().map_or(0, |&held| i128::from(held));
        if held != Ok(booked) {
            let debited = units::text(i128::from(books.debited(wallet)));
            audit.differences.note(|| {
                let held = held.map_or_else(|text| text, |held| units::text(i128::from(held)));
                format!("{customer} holds {held}, the books say {} ({debited} debited)", units::text(booked.into()))
            });
        }
        bar.inc(1);
    }
    Ok(audit)
}

/// A wallet's balance in units, or its text if that is no such amount.
async fn balance(client: &mut Client, customer: &str) -> Result<Result<i64, String>, CallError> {
    let path = format!("/v1/wallets/{customer}/{CURRENCY}");
    let what = format!("GET {path}");
    let reply = client.send(&Call::get(path)).await?;
    let body = reply.success(&what)?;
    match serde_json::from_slice::<Wallet<'_>>(body) {
        Ok(wallet) => Ok(units::parse(&wallet.balance).ok_or_else(|| wallet.balance.into_owned())),
        Err(source) => Err(CallError::Unreadable { what, source }),
    }
}
