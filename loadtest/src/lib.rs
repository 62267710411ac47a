//! Load generator for drawdown: sends usage events over HTTP as a customer would, and audits the balances afterwards.
//!
//! It depends on no module of the server: what it knows is the API. The order of a run is that of the modules:
//! [`options`] say what to do, [`setup`] makes a currency, a meter and wallets with grants, [`run`] sends what [`workload`] draws in the
//! form that [`encode`] gives it, [`books`] keep what every wallet must then hold, [`verify`] reads all of them back, and [`report`] tells.
//!
//! 1. What a run sends is a pure function of its parameters and seed, apart from the run's name, which keeps runs on one server apart.
//! 2. Every event's verdict is known before it is sent; an answer that differs is a fault of the run, as is a balance that differs.
//! 3. Counts, times and answers are bounded. Only loopback addresses are talked to unless the caller allows others.

pub mod books;
pub mod client;
pub mod encode;
pub mod options;
pub mod progress;
pub mod report;
pub mod rng;
pub mod run;
pub mod setup;
pub mod units;
pub mod verify;
pub mod workload;
