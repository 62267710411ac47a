//! What moved the balance, newest first.

use super::visit::Visit;
use super::{Stop, words};
use crate::engine::CommandError;
use crate::engine::view::{EntriesPage, Entry};
use crate::http::api::off_loop;
use crate::http::reply::Reply;
use crate::http::wire::{amount, instant};
use crate::ledger::Rejection;
use drawdown_pages::history::{EntryRow, History};
use drawdown_wal::Lsn;

/// Entries on a page.
const ENTRIES: usize = 50;

/// An entry in words.
struct Row {
    time: String,
    title: &'static str,
    detail: Option<String>,
    amount: String,
    balance_after: String,
}

/// `GET /portal/{currency}/history`
pub(super) async fn get(visit: Visit<'_>) -> Result<Reply, Stop> {
    let before = visit.query()?.number("before", 0..=u64::MAX)?.map(Lsn::new);
    let (customer, currency) = (visit.customer().to_owned(), visit.currency().id.clone());
    let scale = visit.currency().scale;
    let (rows, next) = off_loop(visit.call.app, move |engine| {
        let EntriesPage { entries, next } = match engine.entries(&customer, &currency, before, ENTRIES) {
            Ok(page) => page,
            Err(CommandError::NotFound { what: "wallet" } | CommandError::Rejected(Rejection::UnknownWallet)) => {
                EntriesPage { entries: Vec::new(), next: None }
            }
            Err(error) => return Err(error.into()),
        };
        let row = |entry: &Entry| Row {
            time: instant(entry.time),
            title: words::entry(entry.kind),
            detail: words::entry_detail(engine, entry),
            amount: amount(entry.amount, scale),
            balance_after: amount(entry.balance_after, scale),
        };
        Ok((entries.iter().map(row).collect::<Vec<_>>(), next))
    })
    .await?;
    let entries: Vec<EntryRow<'_>> = rows
        .iter()
        .map(|row| EntryRow {
            time: &row.time,
            title: row.title,
            detail: row.detail.as_deref(),
            amount: &row.amount,
            balance_after: &row.balance_after,
        })
        .collect();
    let older = next.map(|next| next.get().to_string());
    let page =
        History { symbol: visit.symbol(), entries: &entries, older: older.as_deref(), is_later_page: before.is_some() };
    visit.show(|session| page.page(session))
}
