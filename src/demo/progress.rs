//! Progress where there is no terminal: a line a second, and the first webhooks of each type.

use super::books::Books;
use super::credits::grouped;
use super::plan::Plan;
use super::receiver::Inbox;
use super::summary::{Short, say};
use std::time::Duration;
use tokio::sync::watch;

/// Time between lines.
const PERIOD: Duration = Duration::from_secs(1);

/// Tells how it goes until the replay has finished.
pub(super) async fn run(plan: &Plan, books: &Books, inbox: &Inbox, mut finished: watch::Receiver<bool>) {
    let mut before = 0;
    while tokio::time::timeout(PERIOD, finished.wait_for(|&finished| finished)).await.is_err() {
        let account = books.snapshot();
        let answered = account.answered();
        for line in inbox.new_lines() {
            say(format_args!("{line}"));
        }
        say(format_args!(
            "{:>4} s  row {} of {}  {} events/s  p99 {}  rejected {}  crossings {}  top-ups {}  webhooks {}",
            account.opened.elapsed().as_secs(),
            grouped(account.rows as u64),
            grouped(plan.rows.len() as u64),
            grouped(answered - before),
            Short(account.latency(99)),
            grouped(account.rejected),
            grouped(account.told),
            grouped(account.bought.completed),
            grouped(inbox.verified()),
        ));
        before = answered;
    }
}
