//! Follows the feed by long poll, and enters the crossings that it tells.

use super::books::Books;
use super::client::{Client, ClientError, unreadable};
use super::credits::units;
use serde::Deserialize;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

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
    customer: Option<String>,
    data: Fields,
}

#[derive(Deserialize)]
struct Fields {
    level: Option<String>,
    balance: Option<String>,
}

/// Watches until the replay has finished and the feed's end has been reached after it.
pub(super) async fn run(
    address: SocketAddr,
    books: Arc<Books>,
    finished: watch::Receiver<bool>,
) -> Result<(), ClientError> {
    let mut client = Client::connect(address).await?;
    // The feed tells at least once.
    let mut known = HashSet::new();
    let mut after = "0".to_owned();
    loop {
        // Read before the request: what is told after it may be the last.
        let last = *finished.borrow();
        let wait = if last { 0 } else { WAIT_MS };
        let path = format!(
            "/v1/feed?types=balance.low,balance.depleted,balance.negative&limit=1000&wait_ms={wait}&after={after}"
        );
        let page: Page = client.get(&path).await?;
        for item in page.data {
            if !known.insert(item.id) {
                continue;
            }
            let (Some(customer), Some(level)) = (item.customer, item.data.level) else {
                return Err(unreadable("/v1/feed", "a crossing without a wallet or a level"));
            };
            let balance = item.data.balance.as_deref().and_then(units);
            let balance = balance.ok_or_else(|| unreadable("/v1/feed", "a crossing without a balance"))?;
            books.enter_crossing(customer, level, balance);
        }
        after = page.next_cursor;
        if last && page.at_end {
            return Ok(());
        }
    }
}
