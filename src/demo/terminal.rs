//! The terminal: a second screen while the view is up, and lines that know their width.
//!
//! Plain escape sequences that every terminal of the last thirty years understands. The terminal's modes are left alone, so ctrl-c is a
//! signal as ever, and all there is to restore is the screen and the cursor.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::Once;

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// The second screen. Dropping it, and panicking, bring the first one back.
#[derive(Debug)]
pub(super) struct Screen(());

impl Screen {
    pub(super) fn enter() -> io::Result<Screen> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                leave();
                usual(panic);
            }));
        });
        let mut out = io::stdout().lock();
        out.write_all(ENTER.as_bytes())?;
        out.flush()?;
        Ok(Screen(()))
    }

    /// Shows the lines, in one piece: a terminal that knows synchronised updates does not flicker.
    #[expect(clippy::unused_self, reason = "whoever shows lines has entered the screen")]
    pub(super) fn show(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut frame = String::from("\x1b[?2026h\x1b[H");
        for (place, line) in lines.iter().enumerate() {
            frame.push_str(if place == 0 { "" } else { "\r\n" });
            frame.push_str(&line.text);
            frame.push_str("\x1b[K");
        }
        frame.push_str("\x1b[J\x1b[?2026l");
        let mut out = io::stdout().lock();
        out.write_all(frame.as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

fn leave() {
    let mut out = io::stdout().lock();
    // A terminal that is gone needs nothing.
    let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
}

/// Columns and rows of the terminal.
pub(super) fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

/// How text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Bold,
    Dim,
    Green,
    Yellow,
    Red,
    Cyan,
}

impl Style {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Style::Plain => "",
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Red => "31",
            Style::Cyan => "36",
        }
    }
}

/// Text with its colour, where standard output is a terminal that has colours.
pub(super) fn painted(style: Style, text: &str) -> String {
    match style.code() {
        code if !code.is_empty() && io::stdout().is_terminal() && has_colours() => {
            format!("\x1b[{code}m{text}\x1b[0m")
        }
        _ => text.to_owned(),
    }
}

/// Whether the user wants colours.
pub(super) fn has_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A line of the screen, never wider than it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    text: String,
    width: usize,
    limit: usize,
    colours: bool,
}

impl Line {
    /// An empty line of a screen so many columns wide.
    pub(super) fn new(limit: usize, colours: bool) -> Line {
        Line { text: String::new(), width: 0, limit, colours }
    }

    /// Adds text, as far as it fits. One character takes one column: the view uses no others.
    pub(super) fn add(mut self, style: Style, text: &str) -> Line {
        let fits: String = text.chars().take(self.limit - self.width).collect();
        self.width += fits.chars().count();
        if fits.is_empty() {
            return self;
        }
        match style.code() {
            code if self.colours && !code.is_empty() => {
                // Writing to a String cannot fail.
                let _ = write!(self.text, "\x1b[{code}m{fits}\x1b[0m");
            }
            _ => self.text.push_str(&fits),
        }
        self
    }

    /// Fills up with blanks to a column.
    pub(super) fn to(self, column: usize) -> Line {
        let blanks = column.saturating_sub(self.width);
        self.add(Style::Plain, &" ".repeat(blanks))
    }

    /// What stands in it, with its escapes.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// A bar so many columns long, filled by `part` of `whole`, to an eighth of a column.
pub(crate) fn bar(part: u64, whole: u64, columns: usize) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let all = columns as u64 * 8;
    let filled = (part.min(whole) * all).checked_div(whole).unwrap_or(0);
    let mut text = "█".repeat((filled / 8) as usize);
    if filled < all {
        text.push(EIGHTHS[(filled % 8) as usize]);
    }
    let blanks = columns - text.chars().count();
    text + &"░".repeat(blanks)
}

/// One column a number, as high as it is beside the highest.
pub(super) fn sparkline(numbers: impl Iterator<Item = u64> + Clone) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let highest = numbers.clone().max().unwrap_or(0).max(1);
    numbers.map(|number| HEIGHTS[(number * 7).div_ceil(highest) as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_never_wider_than_the_screen() {
        let line = Line::new(5, true).add(Style::Red, "ab").to(4).add(Style::Plain, "cdef").add(Style::Bold, "g");
        assert_eq!(line.text(), "\x1b[31mab\x1b[0m  c");
        let line = Line::new(5, false).add(Style::Red, "ab").to(1).add(Style::Dim, "·");
        assert_eq!(line.text(), "ab·");
    }

    #[test]
    fn bars_and_sparklines() {
        assert_eq!(bar(0, 10, 4), " ░░░");
        assert_eq!(bar(5, 10, 4), "██ ░");
        assert_eq!(bar(9, 16, 4), "██▎░");
        assert_eq!(bar(99, 10, 4), "████");
        assert_eq!(bar(1, 0, 2), " ░");
        assert_eq!(sparkline([0, 1, 50, 100].into_iter()), "▁▂▅█");
        assert_eq!(sparkline([0, 0].into_iter()), "▁▁");
    }
}
