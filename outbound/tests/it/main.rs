//! The crate from outside, over real sockets on loopback.

mod delivery;
mod http;
mod remote;
mod server;
mod standard_webhooks;
mod stripe_events;
mod stripe_mock;
mod tidy;
mod tools;
