//! drawdown: a prepaid-credit ledger server, and the ledger behind it as a library.
//!
//! Usage events debit customers' wallets; each debit is checked against its wallet's thresholds in the same atomic step and answered when
//! it is on disk. [`engine::Engine`] is the ledger, usable without the server.

pub mod billing;
pub mod catalog;
pub mod engine;
pub mod http;
pub mod identities;
pub mod journal;
pub mod ledger;
pub mod metrics;
pub mod notify;
pub mod payments;
pub mod store;
pub mod verify;
