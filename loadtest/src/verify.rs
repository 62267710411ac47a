//! After a run: wallets are read back over HTTP and compared with the books.
//!
//! Every wallet that a request named is read on its own, or every wallet at all if asked. Of the others the totals tell: all wallets
//! together must have changed by what the books say, so what an unread wallet lost or gained shows unless another unread wallet made up
//! for it. The report says how many were read.

use crate::books::{Books, Faults};
use crate::client::{CallError, Client, Reply, Target};
use crate::encode::{CURRENCY, Names};
use crate::http::Request;
use crate::units;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

/// Wallets asked for at once on one connection. More would save little, and their requests are to fit into a socket's buffer.
const PIPELINE: usize = 32;

/// What the wallets said.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Audit {
    /// Wallets that were set up.
    pub wallets: u64,
    /// Wallets read one by one.
    pub wallets_read: u64,
    /// What those hold together, in units.
    pub held_units: i128,
    /// What the books say that those hold together, in units.
    pub booked_units: i128,
    /// Wallets that hold something else than the books say.
    pub differences: Faults,
    /// What all wallets of the currency changed by since before the set-up, in units, by the server's totals.
    pub total_units: i128,
    /// What the books say of that.
    pub total_booked_units: i128,
}

impl Audit {
    /// Whether server and books agree.
    pub const fn is_clean(&self) -> bool {
        self.differences.count == 0 && self.total_units == self.total_booked_units
    }
}

/// A wallet, as far as it matters here.
#[derive(Debug, Deserialize)]
pub struct WalletBody<'a> {
    #[serde(borrow)]
    balance: Cow<'a, str>,
}

impl WalletBody<'_> {
    /// Its balance as it came.
    pub fn text(&self) -> &str {
        &self.balance
    }

    /// Its balance in units, or the text that is no such amount.
    pub fn balance(&self) -> Result<i64, &str> {
        units::parse(&self.balance).ok_or(&self.balance)
    }
}

#[derive(Deserialize)]
struct Balances<'a> {
    #[serde(borrow)]
    data: Vec<BalanceBody<'a>>,
}

#[derive(Deserialize)]
struct BalanceBody<'a> {
    #[serde(borrow)]
    currency: Cow<'a, str>,
    #[serde(borrow)]
    balance: Cow<'a, str>,
}

/// What all wallets of the run's currency hold together, in units.
pub async fn total(client: &mut Client, target: &Target) -> Result<i128, CallError> {
    let path = format!("/v1/balances?currency={CURRENCY}");
    let what = format!("GET {path}");
    let reply = client.send(&Request::get(target.common(), &path)).await?;
    let balances: Balances<'_> = reply.json(&what)?;
    let of_currency = balances.data.iter().filter(|total| total.currency == CURRENCY);
    of_currency.map(|total| units::parse_sum(&total.balance).ok_or_else(|| reply.refused(&what))).sum()
}

/// Reads the wallets over as many connections as the run had, and the totals.
pub fn audit(
    runtime: &Runtime,
    target: &Arc<Target>,
    names: &Names,
    books: Books,
    scope: &Scope,
    bar: &ProgressBar,
) -> Result<Audit, CallError> {
    let books = Rc::new(books);
    let all: Rc<[u32]> = if scope.every_wallet { (0..books.wallets()).collect() } else { books.touched().collect() };
    bar.set_length(all.len() as u64);
    let set = LocalSet::new();
    let audit = set.block_on(runtime, async {
        let readers: Vec<_> = (0..scope.connections)
            .map(|first| {
                let client = Client::new(Arc::clone(target));
                let wallets = Rc::clone(&all);
                let chunks = (first as usize..all.len().div_ceil(PIPELINE)).step_by(scope.connections as usize);
                let reader = Reader { client, names: names.clone(), books: Rc::clone(&books), bar: bar.clone() };
                tokio::task::spawn_local(reader.read(Arc::clone(target), wallets, chunks))
            })
            .collect();
        let mut all = Audit { wallets: books.wallets().into(), ..Audit::default() };
        for reader in readers {
            let part = reader.await.expect("a reader does not panic")?;
            all.wallets_read += part.wallets_read;
            all.held_units += part.held_units;
            all.booked_units += part.booked_units;
            all.differences.add(part.differences);
        }
        let total = total(&mut Client::new(Arc::clone(target)), target).await?;
        Ok(Audit { total_units: total - scope.total_before, total_booked_units: books.total(), ..all })
    });
    bar.finish_and_clear();
    audit
}

/// What an audit is to look at, and how.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Whether wallets that no request named are read too.
    pub every_wallet: bool,
    /// Connections to read over.
    pub connections: u32,
    /// The [`total`] before the set-up.
    pub total_before: i128,
}

/// One connection that reads.
struct Reader {
    client: Client,
    names: Names,
    books: Rc<Books>,
    bar: ProgressBar,
}

impl Reader {
    async fn read(
        mut self,
        target: Arc<Target>,
        wallets: Rc<[u32]>,
        chunks: impl Iterator<Item = usize>,
    ) -> Result<Audit, CallError> {
        let mut audit = Audit::default();
        for chunk in chunks {
            let wallets = &wallets[chunk * PIPELINE..wallets.len().min((chunk + 1) * PIPELINE)];
            let request = |&wallet| Request::get(target.common(), &path(&self.names, wallet));
            let requests: Vec<_> = wallets.iter().map(request).collect();
            let (names, books) = (&self.names, &self.books);
            self.client
                .pipeline(&requests, |index, reply| compare(&mut audit, names, books, wallets[index], reply))
                .await?;
            self.bar.inc(wallets.len() as u64);
        }
        Ok(audit)
    }
}

fn path(names: &Names, wallet: u32) -> String {
    format!("/v1/wallets/{}/{CURRENCY}", names.customer(wallet))
}

fn compare(audit: &mut Audit, names: &Names, books: &Books, wallet: u32, reply: &Reply<'_>) -> Result<(), CallError> {
    if reply.status != 200 {
        return Err(reply.refused(&format!("GET {}", path(names, wallet))));
    }
    let body: WalletBody<'_> = reply.json("GET /v1/wallets")?;
    let (held, booked) = (body.balance(), books.balance(wallet));
    audit.wallets_read += 1;
    audit.booked_units += i128::from(booked);
    audit.held_units += held.map_or(0, i128::from);
    if held != Ok(booked) {
        audit.differences.note(|| {
            let (booked, change) = (units::text(booked.into()), units::text(books.change(wallet).into()));
            let customer = names.customer(wallet);
            format!("{customer} holds {}, the books say {booked} (changed by {change})", body.text())
        });
    }
    Ok(())
}
