//! drawdown, a prepaid-credit ledger server.

pub mod ledger;
pub mod store;
