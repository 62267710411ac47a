//! The handlers: each takes a request apart, asks the engine, waits until what it says is durable, and shows the outcome.

pub(crate) mod alerts;
pub(crate) mod billing;
pub(crate) mod catalog;
pub(crate) mod corrections;
pub(crate) mod customers;
pub(crate) mod deposits;
pub(super) mod documents;
pub(crate) mod feed;
pub(crate) mod grants;
pub(crate) mod holds;
pub(crate) mod invoices;
pub(crate) mod keys;
pub(crate) mod operations;
pub(crate) mod payments;
pub(crate) mod portal;
pub(crate) mod recurring;
pub(crate) mod reports;
pub(crate) mod usage;
pub(crate) mod wallets;
pub(crate) mod webhooks;

use super::app::App;
use super::decode::{self, Node};
use super::problem::{Problem, Reason};
use crate::engine::{CommandError, Engine, Unavailable};
use crate::ledger::Rejection;
use bumpalo::Bump;
use std::sync::Arc;
use tokio::runtime::RuntimeFlavor;

/// Does something that may wait for the disk, while others take over what else this thread would do.
fn apart<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::current().runtime_flavor() {
        // There is nobody to take over.
        RuntimeFlavor::CurrentThread => work(),
        _ => tokio::task::block_in_place(work),
    }
}

/// Does what may block or take long on a thread that serves no one else. It goes on to its end even if the client has gone.
pub(super) async fn off_loop<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&Engine) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let engine = app.engine.clone();
    match tokio::task::spawn_blocking(move || work(&engine)).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is going.
        Err(_) => Err(Problem::from(Unavailable::Closed)),
    }
}

/// As [`off_loop`], for what may read much of the log or of memory: a few at a time, so that reports wait for each other and not usage for
/// them.
async fn report<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&Engine) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let place = Arc::clone(&app.reports).acquire_owned().await;
    // It is never closed; the place is held until the work is done, whoever waits for it.
    let place = place.map_err(|_| Problem::from(Unavailable::Closed))?;
    off_loop(app, move |engine| {
        let outcome = work(engine);
        drop(place);
        outcome
    })
    .await
}

/// A body that names an unknown currency is well-formed but refused; only at a path is it "not found".
fn named(error: CommandError) -> Problem {
    match error {
        CommandError::NotFound { what: "credit_currency" } => Problem::from(Rejection::UnknownCurrency),
        other => Problem::from(other),
    }
}

/// A whole JSON body as a tree.
fn parse<'a>(body: &'a [u8], arena: &'a Bump) -> Result<Node<'a>, Problem> {
    let text = decode::text(body)?;
    decode::parse_value(text, arena).map_err(|fault| {
        let fault = fault.parts();
        Problem::new(Reason::MalformedBody, fault.what).with("offset", fault.at)
    })
}
