//! The HTTP edge: connections, routes, wire types, problems, keys.
//!
//! It turns requests into calls of the engine and outcomes into answers, and decides nothing about credit. What it guarantees:
//! 1. An answer to a write leaves only when what it says is durable: every handler awaits the engine's ticket before it returns.
//! 2. Whatever a client sends, the answer is a problem that names the fault, and the server stays up: lengths, nesting, time, memory and
//!    connections are bounded before they are used ([`Limits`]).
//! 3. A request is applied as a whole or refused as a whole; in a batch of events each event stands on its own.
//! 4. Every endpoint, with its scope, is one row of the route table, from which the OpenAPI document is checked.
//!
//! It knows names of the engine and of the ledger; no file, no record, no lock.

mod api;
mod app;
pub mod auth;
mod body;
mod csv;
pub mod decode;
mod exposition;
mod idempotency;
mod limits;
mod metrics;
mod openapi;
mod pages;
mod percent;
mod portal;
mod problem;
mod readiness;
mod refusals;
mod reply;
mod route;
mod server;
mod wire;

pub use api::webhooks::WebhookRules;
pub use app::App;
pub use decode::time::format as time_text;
pub use limits::Limits;
pub use portal::PortalSettings;
pub use problem::{Problem, Reason};
pub use server::{Listener, Server};
pub use wire::feed::webhook_body;
