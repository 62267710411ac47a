//! CSV as RFC 4180 has it: commas, CRLF, quotes where a cell needs them.
//!
//! Text that comes from clients is guarded: spreadsheets take a cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return for a
//! formula, and run it. Such a cell gets an apostrophe in front, which they do not show. Figures and times, which the server writes itself,
//! stand as they are: a debit's `-5` is a number.

/// A table in the making.
#[derive(Debug, Default)]
pub(crate) struct Csv {
    text: String,
    is_in_line: bool,
}

impl Csv {
    /// A cell that the server wrote: a figure, a time, a name of its own.
    pub(crate) fn own(&mut self, cell: &str) -> &mut Self {
        if self.is_in_line {
            self.text.push(',');
        }
        self.is_in_line = true;
        if cell.contains(['"', ',', '\r', '\n']) {
            self.text.extend(["\"", &cell.replace('"', "\"\""), "\""]);
        } else {
            self.text.push_str(cell);
        }
        self
    }

    /// A cell of text that came from a client.
    pub(crate) fn foreign(&mut self, cell: &str) -> &mut Self {
        if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { self.own(&format!("'{cell}")) } else { self.own(cell) }
    }

    /// Ends the line.
    pub(crate) fn end(&mut self) {
        self.text.push_str("\r\n");
        self.is_in_line = false;
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let mut csv = Csv::default();
        csv.own("a").own("").own("b,c").end();
        csv.own("say \"hi\"").own("two\r\nlines").own("plain text").end();
        assert_eq!(csv.into_text(), "a,,\"b,c\"\r\n\"say \"\"hi\"\"\",\"two\r\nlines\",plain text\r\n");
    }

    #[test]
    fn text_of_clients_is_no_formula() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=HYPERLINK(\"http://x\",\"y\")"] {
            let mut csv = Csv::default();
            csv.foreign(cell).end();
            assert!(csv.into_text().trim_start_matches('"').starts_with('\''), "{cell:?}");
        }
        let mut csv = Csv::default();
        csv.foreign("evt_1").foreign("a=b").own("-5").end();
        assert_eq!(csv.into_text(), "evt_1,a=b,-5\r\n");
    }
}
