//! The audit: what the server says about every wallet, against a sum over the trace.
//!
//! The sum is made by [`sum`], from the file's text, in whole numbers, with rates of its own. It shares nothing with the replay but the
//! answer to "who pays for this row". The server is asked for everything: each wallet's balance and whole history, totals, counters.
//!
//! Wallets run dry on the way, and what they could not pay was rejected; others buy more. So these are the equations, for each wallet and in total:
//! 1. debited + rejected = sum over the trace,
//! 2. granted + bought - debited = balance,
//! 3. each event is in a history at most once, and as often as the answers said it was applied,
//! 4. those of [`money`].

mod money;

use super::books::Account;
use super::client::{Client, ClientError, Page, unreadable};
use super::credits::{grouped, shown, units};
use super::plan::{CURRENCY, METERS, Plan, payer};
use super::receiver::Inbox;
use super::trace;
use drawdown_outbound::providers::simulated::Local;
pub(super) use money::Money;
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
    /// What was bought.
    pub(super) money: Money,
    /// What was compared.
    pub(super) checks: Vec<Check>,
}

/// What others know, which the server is held against.
#[derive(Clone, Copy)]
pub(super) struct Witnesses<'a> {
    /// The payment provider's own record.
    pub(super) bank: &'a Local,
    /// The receiver of webhooks.
    pub(super) inbox: &'a Inbox,
    /// The ids of the events that the feed told.
    pub(super) told: &'a HashSet<String>,
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
    /// Each of the grants, and what it gave.
    grants: Vec<(String, i64)>,
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
    grant: Option<String>,
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
    witnesses: Witnesses<'_>,
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
    let money = Money::read(&mut client, plan).await?;
    let bought: Vec<i64> = plan.wallets.iter().map(|wallet| money.credited_to(&wallet.customer)).collect();
    let (debited, tokens, mut checks) = compare(&sums, &statements, &bought, (total, &stats), account, rows);
    let charges: Vec<_> = witnesses.bank.book().charges().values().cloned().collect();
    checks.extend(money.checks(&charges, plan, &statements));
    let told = witnesses.told.len() as u64;
    checks.extend(money::webhooks(told, witnesses.inbox.has_of(witnesses.told), &witnesses.inbox.count()));
    let contradictions = account.contradictions.iter();
    checks.extend(
        contradictions
            .map(|what| Check { names: ["no contradiction", "an answer"], figures: ["none".to_owned(), what.clone()] }),
    );
    Ok(Report { stats, tokens, debited, money, checks })
}

/// Holds what the server says of usage against the sums. Gives units debited and tokens, by meter, and what was compared.
fn compare(
    sums: &[[i64; 2]],
    statements: &[Statement],
    bought: &[i64],
    (total, stats): (&TotalBody, &Stats),
    account: &Account,
    rows: usize,
) -> ([i64; 2], [i64; 2], Vec<Check>) {
    let tokens = [0, 1].map(|meter| sums.iter().map(|tokens| tokens[meter]).sum());
    let cost = |tokens: &[i64; 2]| tokens[0] * UNITS[0] + tokens[1] * UNITS[1];
    let debited = [0, 1].map(|meter| statements.iter().map(|said| said.debited[meter]).sum());
    let debited_all: i64 = debited.iter().sum();
    let rejected: i64 = account.wallets.iter().map(|wallet| wallet.rejected).sum();
    let given: i64 = account.wallets.iter().map(|wallet| wallet.granted).sum::<i64>() + bought.iter().sum::<i64>();
    let debits: u64 = statements.iter().map(|said| said.debits).sum();
    let faults: u64 = statements.iter().map(|said| said.faults).sum();
    let events = 2 * rows as u64;

    let wallets = || account.wallets.iter().zip(sums).zip(statements).zip(bought);
    let paid = wallets()
        .filter(|(((known, tokens), said), _)| said.debited.iter().sum::<i64>() + known.rejected == cost(tokens));
    let kept = wallets().filter(|(((known, _), said), bought)| {
        said.granted == known.granted + **bought && said.granted - said.debited.iter().sum::<i64>() == said.balance
    });
    let (paid, kept, all) = (paid.count() as u64, kept.count() as u64, statements.len() as u64);

    let check =
        |one, figure: String, other, figure_too: String| Check { names: [one, other], figures: [figure, figure_too] };
    let checks = vec![
        check("sum over the trace", shown(cost(&tokens)), "debited + rejected", shown(debited_all + rejected)),
        check(
            "granted + bought - debited",
            shown(given - debited_all),
            "balance of all wallets",
            readable(&total.balance),
        ),
        check("wallets", grouped(all), "with debited + rejected = their part of the trace", grouped(paid)),
        check("wallets", grouped(total.wallets), "with granted + bought - debited = balance", grouped(kept)),
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
    (debited, tokens, checks)
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
                ("grant", None) => {
                    said.granted += moved;
                    said.grants.push((entry.grant.unwrap_or_default(), moved));
                }
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
