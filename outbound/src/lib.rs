//! Everything that drawdown says to other machines: HTTP requests, signed webhooks, payments.
//!
//! Three rooms, each of which leans on those before it only:
//!
//! - [`http`]: one request, one answer, within a time and a size, to addresses that may be reached.
//! - [`webhooks`]: messages signed as [Standard Webhooks](https://www.standardwebhooks.com/), one attempt at a time, and when the next is due.
//! - [`providers`]: charges, refunds, hosted checkouts behind one trait, and the events that providers send about them.
//!
//! # What it does not know
//! No ledger, no log, no wallet, no clock and no randomness: times, identifiers, keys and seeds arrive as arguments, so that
//! what is asked can be written down first and asked again after a crash, word for word. It decides nothing about credits: it says
//! what a provider answered, and whoever called decides.
//!
//! # Units
//! Instants are whole seconds since the Unix epoch in UTC (`*_s: u64`); amounts of money are whole minor units of an ISO 4217
//! currency ([`providers::Money`]).
#![deny(unsafe_code)]

pub mod http;
pub mod providers;
pub mod webhooks;

use std::pin::Pin;

/// A boxed future, so that traits whose methods wait can be used as trait objects.
pub type Outgoing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
