//! Figures that are no times of criterion's: printed as lines, and left beside criterion's own for the report.

use super::is_measuring;
use serde_json::{Value, json};
use std::path::PathBuf;

/// One figure of a question.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
}

/// Prints the answer to a question and leaves it for the report, if it was measured.
pub(crate) fn tell(file: &str, question: &str, unit: &str, figures: &[Figure]) {
    println!("{question}");
    for Figure { name, value } in figures {
        println!("    {name:<60} {value:>14.1} {unit}");
    }
    if !is_measuring() {
        return;
    }
    let figures: Vec<Value> =
        figures.iter().map(|figure| json!({"name": figure.name, "value": figure.value})).collect();
    let text = json!({"question": question, "unit": unit, "figures": figures}).to_string();
    let dir = criterion_dir().join("figures");
    let write = || {
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join(format!("{file}.json")), text)
    };
    if let Err(error) = write() {
        println!("    (not kept for the report: {error})");
    }
}

/// Where criterion puts its measurements.
fn criterion_dir() -> PathBuf {
    let named = |variable| std::env::var_os(variable).map(PathBuf::from);
    named("CRITERION_HOME")
        .or_else(|| named("CARGO_TARGET_DIR").map(|dir| dir.join("criterion")))
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/criterion"))
}
