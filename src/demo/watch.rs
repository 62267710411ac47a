//! Follows the feed by long poll, and enters what it tells: the crossings, and what becomes of money.

use super::books::Books;
use super::client::{Client, ClientError, unreadable};
use super::credits::units;
use super::money::minor;
use serde::Deserialize;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// The types of events that the demo asks for, here and as webhooks.
pub(super) const TOLD: [&str; 16] = [
    "balance.low",
    "balance.depleted",
    "balance.negative",
    "balance.recovered",
    "auto_top_up.triggered",
    "auto_top_up.skipped",
    "auto_top_up.failed",
    "auto_top_up.suspended",
    "auto_top_up.resumed",
    "top_up.created",
    "top_up.requires_action",
    "top_up.completed",
    "top_up.failed",
    "top_up.expired",
    "top_up.refunded",
    "invoice.paid",
];

/// How long the server may wait for something to tell.
const WAIT_MS: u32 = 500;

#[derive(Deserialize)]
struct Page {
    data: Vec<Item>,
    next_cursor: String,
    at_end: bool,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    customer: Option<String>,
    data: Fields,
}

#[derive(Deserialize)]
struct Fields {
    level: Option<String>,
    balance: Option<String>,
    amount: Option<String>,
    credits: Option<String>,
}

/// Watches until the replay has finished and the feed's end has been reached after it. Gives the ids of what was told.
pub(super) async fn run(
    address: SocketAddr,
    books: Arc<Books>,
    finished: watch::Receiver<bool>,
) -> Result<HashSet<String>, ClientError> {
    let mut client = Client::connect(address).await?;
    // The feed tells at least once.
    let mut known = HashSet::new();
    let mut after = "0".to_owned();
    let types = TOLD.join(",");
    loop {
        // Read before the request: what is told after it may be the last.
        let last = *finished.borrow();
        let wait = if last { 0 } else { WAIT_MS };
        let path = format!("/v1/feed?types={types}&limit=1000&wait_ms={wait}&after={after}");
        let page: Page = client.get(&path).await?;
        for item in page.data {
            if known.insert(item.id.clone()) {
                enter(&books, item)?;
            }
        }
        after = page.next_cursor;
        if last && page.at_end {
            return Ok(known);
        }
    }
}

fn enter(books: &Books, item: Item) -> Result<(), ClientError> {
    let missing = |what: &str| unreadable("/v1/feed", format!("{} without {what}", item.id));
    let customer = item.customer.clone().ok_or_else(|| missing("a customer"))?;
    let amount = |text: &Option<String>, what: &str| text.as_deref().and_then(units).ok_or_else(|| missing(what));
    match item.kind.as_str() {
        "balance.recovered" => books.enter_recovery(&customer, amount(&item.data.balance, "a balance")?),
        kind if kind.starts_with("balance.") => {
            let balance = amount(&item.data.balance, "a balance")?;
            books.enter_crossing(customer, item.data.level.ok_or_else(|| missing("a level"))?, balance);
        }
        "top_up.completed" => {
            let money = item.data.amount.as_deref().and_then(minor).ok_or_else(|| missing("an amount"))?;
            books.enter_top_up(&customer, money, amount(&item.data.credits, "credits")?);
        }
        "top_up.failed" => books.enter_decline(),
        _ => {}
    }
    Ok(())
}
