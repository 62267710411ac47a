//! drawdown.
fn main() {}
