//! One page about the benches: reads what criterion and the other benches left behind and writes `drawdown.html` beside it.
//!
//! ```sh
//! cargo bench --workspace && cargo run --release --example bench-report    # or: make bench
//! ```
//!
//! The page is one file, without scripts: a bar for each figure, grouped by the question that it answers.

mod facts;
mod page;
mod read;

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = criterion_dir();
    let report = read::report(&dir)?;
    if report.questions.is_empty() {
        return Err(format!("no measurements in {}: run `cargo bench --workspace` first", dir.display()).into());
    }
    let path = dir.join("drawdown.html");
    fs::write(&path, page::page(&report, &facts::facts(report.newest)))?;
    println!("{}", path.display());
    Ok(())
}

/// Where criterion puts its measurements.
fn criterion_dir() -> PathBuf {
    let named = |variable| env::var_os(variable).map(PathBuf::from);
    named("CRITERION_HOME")
        .or_else(|| named("CARGO_TARGET_DIR").map(|dir| dir.join("criterion")))
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/criterion"))
}
