//! What the fuzz targets call. The entries are shared with the tests (`tests/it/fuzz.rs`), the model and its counterpart are the tests' own.
#![allow(dead_code, unused_imports, reason = "the tests use more of what they share")]

pub mod entries;
#[path = "../../tests/it/model/mod.rs"]
mod model;
#[path = "../../tests/it/subject.rs"]
mod subject;
