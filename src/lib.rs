//! drawdown.
