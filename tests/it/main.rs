//! Tests of the whole, against models that know nothing of how it is built.

mod alerts;
mod api;
mod billing;
mod books;
mod control;
mod corrections;
mod demo;
mod engine_props;
mod fuzz;
mod holds;
mod keys;
mod ledger_props;
mod model;
mod money;
mod payments;
mod recurring;
mod reports;
mod sim;
mod snapshots;
mod spill;
mod stress;
mod subject;
mod tidy;
mod together;
mod verify;
mod webhooks;
