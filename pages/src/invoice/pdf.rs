//! The document as PDF, in A4, as many pages as it takes.
//!
//! Made by `krilla`, which embeds the glyphs that are used and tells readers the text behind them. The font is Ubuntu Light: it has Latin,
//! Greek and Cyrillic. A character that it does not have is printed as U+XXXX in brackets, so that nothing is left out silently; the page
//! ([`Invoice::page`]) shows whatever the reader's machine has fonts for.

use super::layout::Ruler;
use super::{Invoice, Line, PaymentLine};
use crate::text::{day, grouped};
use epaint_default_fonts::UBUNTU_LIGHT;
use krilla::Document;
use krilla::color::rgb;
use krilla::geom::{PathBuilder, Point};
use krilla::metadata::Metadata;
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill, Stroke};
use krilla::surface::Surface;
use krilla::text::{Font, TextDirection};
use std::fmt::Write;

/// A4, in points.
const WIDTH: f32 = 595.28;
const HEIGHT: f32 = 841.89;
const MARGIN: f32 = 56.0;
const RIGHT: f32 = WIDTH - MARGIN;
/// Below this no line begins.
const BOTTOM: f32 = HEIGHT - MARGIN - 24.0;

/// The right edges of the figures' columns.
const QUANTITY: f32 = RIGHT - 180.0;
const PRICE: f32 = RIGHT - 90.0;
const TITLE_WIDTH: f32 = QUANTITY - 60.0 - MARGIN;

const SMALL: f32 = 9.0;
const NORMAL: f32 = 10.5;
const LARGE: f32 = 22.0;

/// Why there is no PDF.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// The font that comes with the program cannot be read.
    #[error("the built-in font cannot be read")]
    Font,
    /// The document could not be written.
    #[error("the document could not be written: {0}")]
    Write(String),
}

impl Invoice<'_> {
    /// The document as PDF.
    pub fn pdf(&self) -> Result<Vec<u8>, PdfError> {
        let ruler = Ruler::new(UBUNTU_LIGHT).ok_or(PdfError::Font)?;
        let font = Font::new(UBUNTU_LIGHT.to_vec().into(), 0).ok_or(PdfError::Font)?;
        let pages = Typesetter::new(&ruler).set(self);
        let mut document = Document::new();
        document.set_metadata(
            Metadata::new()
                .title(format!("{} {}", self.kind.title(), self.number))
                .language("en".to_owned())
                .creator("drawdown".to_owned()),
        );
        for (place, marks) in pages.iter().enumerate() {
            let settings = PageSettings::from_wh(WIDTH, HEIGHT).ok_or(PdfError::Font)?;
            let mut page = document.start_page_with(settings);
            let mut surface = page.surface();
            for mark in marks {
                mark.draw(&mut surface, &font);
            }
            let footer = format!("{} {}, page {} of {}", self.kind.title(), self.number, place + 1, pages.len());
            let footer = printable(&ruler, &footer);
            Mark::text(MARGIN, HEIGHT - MARGIN, SMALL, footer).draw(&mut surface, &font);
            surface.finish();
            page.finish();
        }
        document.finish().map_err(|error| PdfError::Write(format!("{error:?}")))
    }
}

/// Something on a page.
#[derive(Clone, Debug, PartialEq)]
enum Mark {
    /// A text that begins at `x` and stands on `y`.
    Text { x: f32, y: f32, size: f32, text: String },
    /// A line across the page.
    Rule { y: f32 },
}

impl Mark {
    fn text(x: f32, y: f32, size: f32, text: String) -> Mark {
        Mark::Text { x, y, size, text }
    }

    fn draw(&self, surface: &mut Surface<'_>, font: &Font) {
        match self {
            Mark::Text { x, y, size, text } => {
                surface.set_stroke(None);
                surface.set_fill(Some(Fill {
                    paint: rgb::Color::new(24, 28, 33).into(),
                    opacity: NormalizedF32::ONE,
                    rule: krilla::paint::FillRule::default(),
                }));
                surface.draw_text(Point::from_xy(*x, *y), font.clone(), *size, text, false, TextDirection::Auto);
            }
            Mark::Rule { y } => {
                let mut path = PathBuilder::new();
                path.move_to(MARGIN, *y);
                path.line_to(RIGHT, *y);
                let Some(path) = path.finish() else { return };
                surface.set_fill(None);
                surface.set_stroke(Some(Stroke {
                    paint: rgb::Color::new(190, 196, 204).into(),
                    width: 0.6,
                    ..Stroke::default()
                }));
                surface.draw_path(&path);
            }
        }
    }
}

/// Puts the document's parts on pages, from the top to the bottom.
struct Typesetter<'a> {
    ruler: &'a Ruler<'a>,
    pages: Vec<Vec<Mark>>,
    y: f32,
}

impl<'a> Typesetter<'a> {
    fn new(ruler: &'a Ruler<'a>) -> Self {
        Typesetter { ruler, pages: vec![Vec::new()], y: MARGIN + LARGE }
    }

    fn set(mut self, invoice: &Invoice<'_>) -> Vec<Vec<Mark>> {
        self.paragraph(&format!("{} {}", invoice.kind.title(), invoice.number), LARGE);
        if let Some(other) = invoice.refers_to {
            self.paragraph(&format!("Refers to {other}"), NORMAL);
        }
        self.paragraph(&format!("Date: {}", day(invoice.issued_at)), NORMAL);
        self.skip(10.0);
        self.parties(invoice);
        self.heads();
        for line in invoice.lines {
            self.line(line);
        }
        self.rule();
        self.sum("Total", invoice.total, invoice.currency);
        for payment in invoice.payments {
            self.payment(payment, invoice.currency);
        }
        self.sum("Due", invoice.due, invoice.currency);
        if let Some(note) = invoice.note {
            self.skip(14.0);
            self.paragraph(note, SMALL);
        }
        self.pages
    }

    fn mark(&mut self, mark: Mark) {
        self.pages.last_mut().expect("there is a first page").push(mark);
    }

    fn put(&mut self, x: f32, size: f32, text: &str) {
        let text = printable(self.ruler, text);
        self.mark(Mark::text(x, self.y, size, text));
    }

    /// A text that ends at `x`.
    fn put_right(&mut self, x: f32, size: f32, text: &str) {
        let text = printable(self.ruler, text);
        let begin = x - self.ruler.width(&text, size);
        self.mark(Mark::text(begin, self.y, size, text));
    }

    fn skip(&mut self, points: f32) {
        self.y += points;
        if self.y > BOTTOM {
            self.pages.push(Vec::new());
            self.y = MARGIN + NORMAL;
        }
    }

    fn rule(&mut self) {
        self.mark(Mark::Rule { y: self.y - NORMAL });
        self.skip(6.0);
    }

    fn broken(&self, text: &str, size: f32, width: f32) -> Vec<String> {
        self.ruler.lines(&printable(self.ruler, text), size, width)
    }

    fn paragraph(&mut self, text: &str, size: f32) {
        for line in self.broken(text, size, RIGHT - MARGIN) {
            self.put(MARGIN, size, &line);
            self.skip(size * 1.4);
        }
    }

    /// Seller and buyer side by side.
    fn parties(&mut self, invoice: &Invoice<'_>) {
        let half = (RIGHT - MARGIN) / 2.0;
        let column = |lines: &[&str]| -> Vec<String> {
            lines.iter().flat_map(|line| self.broken(line, NORMAL, half - 12.0)).collect()
        };
        let (mut from, mut to) = (column(invoice.seller), column(invoice.buyer));
        let rows = from.len().max(to.len());
        from.resize(rows, String::new());
        to.resize(rows, String::new());
        self.put(MARGIN, SMALL, "From");
        self.put(MARGIN + half, SMALL, "To");
        self.skip(SMALL * 1.5);
        for (from, to) in from.iter().zip(&to) {
            self.put(MARGIN, NORMAL, from);
            self.put(MARGIN + half, NORMAL, to);
            self.skip(NORMAL * 1.4);
        }
        self.skip(18.0);
    }

    fn heads(&mut self) {
        self.put(MARGIN, SMALL, "For");
        self.put_right(QUANTITY, SMALL, "Quantity");
        self.put_right(PRICE, SMALL, "Price");
        self.put_right(RIGHT, SMALL, "Amount");
        self.skip(SMALL + 6.0);
        self.rule();
    }

    fn line(&mut self, line: &Line<'_>) {
        for (place, part) in self.broken(line.title, NORMAL, TITLE_WIDTH).iter().enumerate() {
            self.put(MARGIN, NORMAL, part);
            if place == 0 {
                self.put_right(QUANTITY, NORMAL, &grouped(line.quantity));
                self.put_right(PRICE, NORMAL, &grouped(line.unit_price));
                self.put_right(RIGHT, NORMAL, &grouped(line.amount));
            }
            self.skip(NORMAL * 1.4);
        }
        self.skip(3.0);
    }

    fn sum(&mut self, title: &str, amount: &str, currency: &str) {
        self.put(MARGIN, NORMAL, title);
        self.put_right(RIGHT, NORMAL, &format!("{} {currency}", grouped(amount)));
        self.skip(NORMAL * 1.5);
    }

    fn payment(&mut self, payment: &PaymentLine<'_>, currency: &str) {
        let title = format!("Paid by {}, {}", payment.method, day(payment.paid_at));
        self.sum(&title, payment.amount, currency);
    }
}

/// A text as the font can print it: narrow spaces become plain ones, what it lacks is named.
fn printable(ruler: &Ruler<'_>, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{202f}' => out.push('\u{a0}'),
            _ if character.is_control() => out.push(' '),
            _ if ruler.has(character) => out.push(character),
            _ => {
                let _ = write!(out, "[U+{:04X}]", u32::from(character));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    const PAYMENT: PaymentLine<'_> =
        PaymentLine { method: "Visa ending in 4242", paid_at: "2026-11-26T03:00:00Z", amount: "1234567.89" };
    const INVOICE: Invoice<'_> = Invoice {
        kind: Kind::Receipt,
        number: "2026-000042",
        refers_to: None,
        issued_at: "2026-11-26T03:00:00Z",
        seller: &["Example Ltd", "1 High Street", "London"],
        buyer: &["Zoë Müller", "Москва"],
        lines: &[Line { title: "Starter", quantity: "1", unit_price: "1234567.89", amount: "1234567.89" }],
        total: "1234567.89",
        currency: "USD",
        payments: &[PAYMENT],
        due: "0.00",
        note: Some("Reverse charge."),
    };

    fn marks(invoice: &Invoice<'_>) -> Vec<Vec<Mark>> {
        let ruler = Ruler::new(UBUNTU_LIGHT).expect("a font");
        Typesetter::new(&ruler).set(invoice)
    }

    fn texts(marks: &[Vec<Mark>]) -> String {
        let text = |mark: &Mark| match mark {
            Mark::Text { text, .. } => Some(text.clone()),
            Mark::Rule { .. } => None,
        };
        marks.iter().flatten().filter_map(text).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn it_says_what_the_values_say() {
        let text = texts(&marks(&INVOICE));
        for part in ["Receipt 2026-000042", "Zoë Müller", "Москва", "1\u{a0}234\u{a0}567.89 USD", "Reverse charge."]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("Paid by Visa ending in 4242, 26 Nov 2026"));
    }

    #[test]
    fn it_is_a_pdf_and_the_same_each_time() {
        let (first, second) = (INVOICE.pdf().expect("a PDF"), INVOICE.pdf().expect("a PDF"));
        assert!(first.starts_with(b"%PDF-") && first.trim_ascii_end().ends_with(b"%%EOF"));
        assert_eq!(first, second);
    }

    #[test]
    fn many_lines_go_over_pages_and_stay_on_them() {
        let lines = [Line {
            title: "A line with a long name that has to be broken somewhere",
            quantity: "1",
            unit_price: "1",
            amount: "1",
        }; 200];
        let pages = marks(&Invoice { lines: &lines, ..INVOICE });
        assert!(pages.len() > 4, "{} pages", pages.len());
        for mark in pages.iter().flatten() {
            let (Mark::Text { y, .. } | Mark::Rule { y }) = mark;
            assert!((0.0..=HEIGHT - MARGIN).contains(y), "{mark:?}");
        }
    }

    #[test]
    fn what_the_font_lacks_is_named() {
        let invoice = Invoice { buyer: &["漢\u{7}x"], ..INVOICE };
        assert!(texts(&marks(&invoice)).contains("[U+6F22] x"));
        assert!(invoice.pdf().is_ok());
    }
}
