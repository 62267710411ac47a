//! Load generator for drawdown: sends usage events over HTTP as a customer would, and audits the balances afterwards.
//!
//! It depends on no module of the server: what it knows is the API. The order of a test is that of the modules:
//! [`options`] say what to do, [`setup`] makes a currency, a meter and wallets with grants, [`run`] sends what a [`source`] makes of the
//! [`workload`] in the form that [`encode`] gives it, [`books`] keep what every wallet must then hold, [`verify`] reads them back, and
//! [`report`] and [`plot`] tell. [`http`] and [`client`] are the way to the server; [`baseline`], [`stats`] and [`machine`] say what the
//! figures are to be measured against.
//!
//! 1. What a run sends is a pure function of its parameters and seed, apart from the run's name, which keeps runs on one server apart.
//! 2. Every event's verdict is known before it is sent; an answer that differs is a fault of the run, as is a balance that differs.
//! 3. Counts, times and answers are bounded. Only loopback addresses are talked to unless the caller allows others.
//! 4. The generator mostly runs beside the server it measures, on the same cores: what it spends on an event is reported, and kept small.

pub mod baseline;
pub mod books;
pub mod client;
pub mod encode;
pub mod http;
pub mod machine;
pub mod options;
pub mod pace;
pub mod plot;
pub mod progress;
pub mod report;
pub mod rng;
pub mod run;
pub mod schedule;
pub mod series;
pub mod setup;
pub mod source;
pub mod stats;
pub mod test;
pub mod units;
pub mod verify;
pub mod workload;
