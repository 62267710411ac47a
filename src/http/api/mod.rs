//! The handlers: each takes a request apart, asks the engine, waits until what it says is durable, and shows the outcome.

pub(crate) mod catalog;
pub(crate) mod feed;
pub(crate) mod grants;
pub(crate) mod keys;
pub(crate) mod operations;
pub(crate) mod usage;
pub(crate) mod wallets;

use super::decode::{self, Node};
use super::problem::{Problem, Reason};
use bumpalo::Bump;

/// A whole JSON body as a tree.
fn parse<'a>(body: &'a [u8], arena: &'a Bump) -> Result<Node<'a>, Problem> {
    let text = decode::text(body)?;
    decode::parse_value(text, arena)
        .map_err(|fault| Problem::new(Reason::MalformedBody, fault.what).with("offset", fault.at))
}
