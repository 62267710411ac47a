//! The handlers: each takes a request apart, asks the engine, waits until what it says is durable, and shows the outcome.

pub(crate) mod catalog;
pub(crate) mod customers;
pub(crate) mod feed;
pub(crate) mod grants;
pub(crate) mod keys;
pub(crate) mod operations;
pub(crate) mod usage;
pub(crate) mod wallets;

use super::decode::{self, Node};
use super::problem::{Problem, Reason};
use crate::engine::CommandError;
use crate::ledger::Rejection;
use bumpalo::Bump;

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
