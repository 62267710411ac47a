//! A progress bar for people: on a terminal only, and on stderr, so that the report can go elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, stderr};

/// A bar that counts to `length`, or without an end; hidden if nobody looks.
pub fn bar(what: &'static str, length: Option<u64>) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    let template = if length.is_some() {
        "{msg:>8} [{bar:40}] {human_pos}/{human_len} {per_sec} {eta}"
    } else {
        "{msg:>8} {spinner} {human_pos} {per_sec} {elapsed}"
    };
    if let Some(length) = length {
        bar.set_length(length);
    }
    bar.set_style(ProgressStyle::with_template(template).expect("the template is right"));
    bar.with_message(what)
}
