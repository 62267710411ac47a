//! Tests of the whole, against models that know nothing of how it is built.

mod api;
mod demo;
mod ledger_props;
mod model;
mod tidy;
