//! drawdown.
pub mod store;
