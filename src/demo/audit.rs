//! The audit: what the server says about every wallet, against a sum over the trace.
//!
//! The sum is made by [`sum`], from the file's text, in whole numbers, with rates of its own. It shares nothing with the replay but the
//! answer to "who pays for this row". The server is asked for everything: each wallet's balance and whole history, totals, counters.
//!
//! Wallets run dry on the way, and what they could not pay was rejected, so these are the equations, for each wallet and in total:
//! 1. debited + rejected = sum over the trace,
//! 2. granted - debited = balance,
//! 3. each event is in a history at most once, and as often as the answers said it was applied.

use super::books::Account;
use super::client::{Client, ClientError, Page, unreadable};
use super::credits::{grouped, shown, units};
use super::plan::{CURRENCY, METERS, Plan, payer};
use super::trace;
use serde::Deserialize;
use std::collections::HashSet;
use std::net::SocketAddr;

/// Ten-thousandths of a credit that a context token and a generated token cost.
const UNITS: [i64; 2] = [5, 15];

/// `GET /v1/stats`.
#[derive(Debug, Deserialize)]
pub(super) struct Stats {
    pub(super) wallets: u64,
    pub(super) events: EventCounts,
    pub(super) log: LogStats,
}

/// Events by outcome.
#[derive(Debug, Deserialize)]
pub(super) struct EventCounts {
    pub(super) applied: u64,
    pub(super) duplicate: u64,
    pub(super) rejected: u64,
}

/// Of the log.
#[derive(Debug, Deserialize)]
pub(super) struct LogStats {
    /// Its end, bytes.
    pub(super) tail: u64,
    /// Syncs so far.
    pub(super) syncs: u64,
}

impl Stats {
    pub(super) async fn get(address: SocketAddr) -> Result<Stats, ClientError> {
        Client::connect(address).await?.get("/v1/stats").await
    }
}

/// What the audit found.
#[derive(Debug)]
pub(super) struct Report {
    /// The server's counters.
    pub(super) stats: Stats,
    /// Tokens of the rows, by meter, as summed.
    pub(super) tokens: [i64; 2],
    /// Units debited, by meter, as the histories say.
    pub(super) debited: [i64; 2],
    /// What was compared.
    pub(super) checks: Vec<Check>,
}

/// Two figures that must be one.
#[derive(Debug)]
pub(super) struct Check {
    /// How the one came about, and how the other.
    pub(super) names: [&'static str; 2],
    /// The one, and the other.
    pub(super) figures: [String; 2],
}

impl Check {
    pub(super) fn agrees(&self) -> bool {
        self.figures[0] == self.figures[1]
    }
}

impl Report {
    pub(super) fn agrees(&self) -> bool {
        self.checks.iter().all(Check::agrees)
    }
}

/// Tokens of the first rows, by wallet and meter.
fn sum(csv: &str, rows: usize, wallets: usize) -> Vec<[i64; 2]> {
    let mut sums = vec![[0; 2]; wallets];
    for (row, line) in csv.lines().skip(1).take(rows).enumerate() {
        let mut fields = line.rsplit(',');
        let mut tokens =
            || fields.next().and_then(|field| field.parse::<i64>().ok()).expect("two columns of whole numbers");
        let (generated, context) = (tokens(), tokens());
        let wallet = &mut sums[payer(row, wallets)];
        wallet[0] += context;
        wallet[1] += generated;
    }
    sums
}

/// A wallet, as the server says.
#[derive(Debug, Default)]
struct Statement {
    balance: i64,
    granted: i64,
    debited: [i64; 2],
    debits: u64,
    /// Events that the history has twice, and entries whose balance does not follow from the one before.
    faults: u64,
}

#[derive(Deserialize)]
struct WalletBody {
    balance: String,
}

#[derive(Deserialize)]
struct EntryBody {
    #[serde(rename = "type")]
    kind: String,
    amount: String,
    balance_after: String,
    event: Option<EventBody>,
}

#[derive(Deserialize)]
struct EventBody {
    id: String,
    meter: Option<String>,
}

#[derive(Deserialize)]
struct TotalBody {
    currency: String,
    wallets: u64,
    balance: String,
}

/// Asks the server for everything, and compares. `rows` have been replayed.
pub(super) async fn run(
    address: SocketAddr,
    plan: &Plan,
    account: &Account,
    rows: usize,
) -> Result<Report, ClientError> {
    let mut client = Client::connect(address).await?;
    let stats: Stats = client.get("/v1/stats").await?;
    let mut statements = Vec::with_capacity(plan.wallets.len());
    for wallet in &plan.wallets {
        statements.push(statement(&mut client, &wallet.customer).await?);
    }
    let totals: Page<TotalBody> = client.get(&format!("/v1/balances?currency={CURRENCY}")).await?;
    let total = totals.data.iter().find(|total| total.currency == CURRENCY);
    let total = total.ok_or_else(|| unreadable("/v1/balances", "no total"))?;
    let sums = sum(trace::CSV, rows, plan.wallets.len());
    Ok(compare(&sums, &statements, total, stats, account, rows))
}

fn compare(
    sums: &[[i64; 2]],
    statements: &[Statement],
    total: &TotalBody,
    stats: Stats,
    account: &Account,
    rows: usize,
) -> Report {
    let tokens = [0, 1].map(|meter| sums.iter().map(|tokens| tokens[meter]).sum());
    let cost = |tokens: &[i64; 2]| tokens[0] * UNITS[0] + tokens[1] * UNITS[1];
    let debited = [0, 1].map(|meter| statements.iter().map(|said| said.debited[meter]).sum());
    let debited_all: i64 = debited.iter().sum();
    let rejected: i64 = account.wallets.iter().map(|wallet| wallet.rejected).sum();
    let granted: i64 = account.wallets.iter().map(|wallet| wallet.granted).sum();
    let debits: u64 = statements.iter().map(|said| said.debits).sum();
    let faults: u64 = statements.iter().map(|said| said.faults).sum();
    let events = 2 * rows as u64;

    let wallets = || account.wallets.iter().zip(sums).zip(statements);
    let paid =
        wallets().filter(|((known, tokens), said)| said.debited.iter().sum::<i64>() + known.rejected == cost(tokens));
    let kept = wallets().filter(|((known, _), said)| {
        said.granted == known.granted && said.granted - said.debited.iter().sum::<i64>() == said.balance
    });
    let (paid, kept, all) = (paid.count() as u64, kept.count() as u64, statements.len() as u64);

    let check =
        |one, figure: String, other, figure_too: String| Check { names: [one, other], figures: [figure, figure_too] };
    let checks = vec![
        check("sum over the trace", shown(cost(&tokens)), "debited + rejected", shown(debited_all + rejected)),
        check("granted - debited", shown(granted - debited_all), "balance of all wallets", readable(&total.balance)),
        check("wallets", grouped(all), "with debited + rejected = their part of the trace", grouped(paid)),
        check("wallets", grouped(total.wallets), "with granted - debited = balance", grouped(kept)),
        check(
            "events of the trace",
            grouped(events),
            "applied + rejected",
            grouped(stats.events.applied + stats.events.rejected),
        ),
        check(
            "answered as applied",
            grouped(account.applied),
            "debits in the histories, each event once",
            grouped(debits - faults),
        ),
        check("sent again", grouped(account.again), "answered as duplicates", grouped(stats.events.duplicate)),
        check("levels crossed, by the answers", grouped(account.crossed), "by the feed", grouped(account.told)),
    ];
    let contradictions = account.contradictions.iter();
    let contradictions = contradictions.map(|what| check("no contradiction", "none".into(), "an answer", what.clone()));
    Report { stats, tokens, debited, checks: checks.into_iter().chain(contradictions).collect() }
}

/// An amount in the form of all others, or the server's own text where it is none.
fn readable(amount: &str) -> String {
    units(amount).map_or_else(|| amount.to_owned(), shown)
}

/// A wallet and its whole history.
async fn statement(client: &mut Client, customer: &str) -> Result<Statement, ClientError> {
    let path = format!("/v1/wallets/{customer}/{CURRENCY}");
    let amount =
        |text: &str| units(text).ok_or_else(|| unreadable(&path, format!("no amount of the currency: {text}")));
    let wallet: WalletBody = client.get(&path).await?;
    let mut said = Statement { balance: amount(&wallet.balance)?, ..Statement::default() };
    let (mut seen, mut below, mut cursor) = (HashSet::new(), said.balance, None);
    loop {
        let before = cursor.map_or_else(String::new, |cursor: String| format!("&cursor={cursor}"));
        let page: Page<EntryBody> = client.get(&format!("{path}/entries?limit=1000{before}")).await?;
        for entry in page.data {
            let moved = amount(&entry.amount)?;
            // Newest first: what the wallet had after this entry is what the entry above it began with.
            said.faults += u64::from(amount(&entry.balance_after)? != below);
            below -= moved;
            match (entry.kind.as_str(), entry.event) {
                ("grant", None) => said.granted += moved,
                ("debit", Some(event)) => {
                    let meter = METERS.iter().position(|meter| Some(meter.event_type) == event.meter.as_deref());
                    let meter = meter.ok_or_else(|| unreadable(&path, "a debit without one of the demo's meters"))?;
                    said.debited[meter] -= moved;
                    said.debits += 1;
                    said.faults += u64::from(!seen.insert(event.id));
                }
                _ => said.faults += u64::from(moved != 0),
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(said);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_over_the_rows_asked_for() {
        let csv = "TIMESTAMP,ContextTokens,GeneratedTokens\na,1,2\nb,30,40\nc,500,600";
        assert_eq!(sum(csv, 2, 1), [[31, 42]]);
        assert_eq!(sum(csv, 9, 1), [[531, 642]]);
        let all = sum(trace::CSV, usize::MAX, 300);
        let total = |meter: usize| all.iter().map(|tokens| tokens[meter]).sum::<i64>();
        // As `awk -F, '{c += $2; g += $3} END {print c, g}'` has it.
        assert_eq!((total(0), total(1)), (18_059_974, 245_896));
    }
}
