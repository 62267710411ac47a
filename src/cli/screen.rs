//! What the commands print: colours where they are wanted, tables, and how far a long reading is.

use crate::demo::terminal::{Style, bar};
use drawdown::verify::{Progress, Reading};
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Whether colours go to a stream: a terminal, unless `NO_COLOR` is set.
pub(crate) fn wants_colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Text in a style, if colours are wanted.
pub(crate) fn painted(colours: bool, style: Style, text: &str) -> String {
    match style.code() {
        code if colours && !code.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
        _ => text.to_owned(),
    }
}

/// A number of bytes as people say it: exact below a kibibyte, three digits above.
pub(crate) fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // In hundredths of a unit, rounded.
    let hundredths = |unit: usize| {
        let size = 1u128 << (10 * (unit + 1));
        (u128::from(bytes) * 100 + size / 2) / size
    };
    let unit = (0..UNITS.len()).find(|unit| hundredths(*unit) < 100_000).unwrap_or(UNITS.len() - 1);
    let value = hundredths(unit);
    let text = match value {
        0..1_000 => format!("{}.{:02}", value / 100, value % 100),
        1_000..10_000 => format!("{}.{}", value / 100, value % 100 / 10),
        _ => format!("{}.0", value / 100),
    };
    format!("{} {}", text.trim_end_matches('0').trim_end_matches('.'), UNITS[unit])
}

/// Prints a table: columns as wide as they must be, the first ones to the left, the others to the right.
pub(crate) fn table(left: usize, head: &[&str], rows: &[Vec<String>], colours: bool) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (column, cell) in cells.enumerate() {
            let blanks = " ".repeat(widths[column] - cell.chars().count());
            let gap = if column == 0 { "" } else { "  " };
            if column < left {
                text.extend([gap, cell, &blanks]);
            } else {
                text.extend([gap, &blanks, cell]);
            }
        }
        text.trim_end().to_owned()
    };
    let mut text = painted(colours, Style::Dim, &line(&mut head.iter().copied()));
    for row in rows {
        text.push('\n');
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    /// A bar that is drawn over and over.
    Bar { colours: bool },
    /// A line when a reading is done, and now and then before.
    Lines,
    /// Not at all.
    Nothing,
}

/// Shows how far a verification is, on standard error.
pub(crate) struct Meter {
    show: Show,
    state: Mutex<State>,
}

struct State {
    reading: Option<Reading>,
    begun: Instant,
    shown: Instant,
    is_done: bool,
}

/// Time between two drawings of the bar, and between two lines.
const REDRAW: Duration = Duration::from_millis(80);
const NEXT_LINE: Duration = Duration::from_secs(10);
const BAR_COLUMNS: usize = 30;

impl Meter {
    /// A meter that fits standard error.
    pub(crate) fn new(is_quiet: bool, now: Instant) -> Meter {
        let stderr = io::stderr();
        let show = match stderr.is_terminal() {
            _ if is_quiet => Show::Nothing,
            true => Show::Bar { colours: wants_colours(&stderr) },
            false => Show::Lines,
        };
        let state = State { reading: None, begun: now, shown: now, is_done: false };
        Meter { show, state: Mutex::new(state) }
    }

    /// Notes how far it is.
    pub(crate) fn note(&self, progress: Progress, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.reading != Some(progress.reading) {
            *state = State { reading: Some(progress.reading), begun: now, shown: now, is_done: false };
        }
        let is_done = progress.done >= progress.total;
        let due = match self.show {
            Show::Bar { .. } => REDRAW,
            Show::Lines | Show::Nothing => NEXT_LINE,
        };
        if state.is_done || !is_done && now.duration_since(state.shown) < due {
            return;
        }
        (state.shown, state.is_done) = (now, is_done);
        let line = line(progress, now.duration_since(state.begun));
        let mut err = io::stderr().lock();
        // A stream that is gone needs nothing.
        let _ = match self.show {
            Show::Nothing => Ok(()),
            Show::Lines => writeln!(err, "{line}"),
            Show::Bar { colours } => {
                let bar = painted(colours, Style::Cyan, &bar(progress.done, progress.total, BAR_COLUMNS));
                write!(err, "\r{bar} {line}\x1b[K").and_then(|()| err.flush())
            }
        };
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if let Show::Bar { .. } = self.show {
            // As above.
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// What a line of progress says.
fn line(progress: Progress, took: Duration) -> String {
    let Progress { reading, done, total } = progress;
    let micros = took.as_micros();
    let rate = u64::try_from((u128::from(done) * 1_000_000).checked_div(micros).unwrap_or(0)).unwrap_or(u64::MAX);
    let left = u128::from(total - done.min(total)) * micros;
    let left_seconds = left.div_ceil(u128::from(done.max(1)) * 1_000_000);
    let name = reading.as_str();
    let (done_text, total_text, rate_text) = (bytes_text(done), bytes_text(total), bytes_text(rate));
    if done >= total {
        format!("{name}: {total_text} in {:.1} s, {rate_text}/s", took.as_secs_f64())
    } else {
        format!("{name}: {done_text} of {total_text}, {rate_text}/s, {left_seconds} s left")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_said_in_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (16 << 20, "16 MiB"),
            (256 << 20, "256 MiB"),
            (1000 << 20, "0.98 GiB"),
            (3 << 40, "3 TiB"),
        ] {
            assert_eq!(bytes_text(bytes), text);
        }
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = vec![vec!["a".to_owned(), "1".to_owned()], vec!["bcd".to_owned(), "10,000".to_owned()]];
        assert_eq!(table(1, &["name", "count"], &rows, false), "name   count\na          1\nbcd   10,000");
        assert!(table(1, &["name", "count"], &rows, true).starts_with("\x1b[2mname"));
    }

    #[test]
    fn a_line_tells_rate_and_time_left() {
        let progress = Progress { reading: Reading::Survey, done: 1 << 20, total: 3 << 20 };
        assert_eq!(line(progress, Duration::from_secs(2)), "survey: 1 MiB of 3 MiB, 512 KiB/s, 4 s left");
        let progress = Progress { done: 3 << 20, ..progress };
        assert_eq!(line(progress, Duration::from_secs(3)), "survey: 3 MiB in 3.0 s, 1 MiB/s");
        assert_eq!(line(Progress { total: 0, done: 0, ..progress }, Duration::ZERO), "survey: 0 B in 0.0 s, 0 B/s");
    }
}
