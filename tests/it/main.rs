//! Tests of the whole, against models that know nothing of how it is built.

mod api;
mod books;
mod control;
mod demo;
mod engine_props;
mod fuzz;
mod keys;
mod ledger_props;
mod model;
mod sim;
mod snapshots;
mod spill;
mod stress;
mod subject;
mod tidy;
mod verify;
