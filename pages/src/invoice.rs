//! An invoice, or the note of a refund: the same values as a page to read and print, and as PDF ([`Invoice::pdf`]).

mod layout;
mod pdf;

pub use pdf::PdfError;

use super::shell;
use super::text::{day, grouped};
use maud::{Markup, html};

/// What kind of document it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something is to be paid.
    Invoice,
    /// What was to be paid has been.
    Receipt,
    /// Something of it was paid back.
    RefundNote,
}

impl Kind {
    /// What it is called.
    pub const fn title(self) -> &'static str {
        match self {
            Kind::Invoice => "Invoice",
            Kind::Receipt => "Receipt",
            Kind::RefundNote => "Refund note",
        }
    }
}

/// A document.
#[derive(Clone, Debug)]
pub struct Invoice<'a> {
    /// What kind of document it is.
    pub kind: Kind,
    /// Its number.
    pub number: &'a str,
    /// The number of the document that it refers to: of a refund's invoice.
    pub refers_to: Option<&'a str>,
    /// When it was issued.
    pub issued_at: &'a str,
    /// Who issues it: name and address, a line each.
    pub seller: &'a [&'a str],
    /// Whom it is issued to: name and address, a line each.
    pub buyer: &'a [&'a str],
    /// What it is about.
    pub lines: &'a [Line<'a>],
    /// The sum of the lines.
    pub total: &'a str,
    /// Its currency.
    pub currency: &'a str,
    /// What was paid, and by what.
    pub payments: &'a [PaymentLine<'a>],
    /// What is still to be paid.
    pub due: &'a str,
    /// A note at the end, such as a tax remark.
    pub note: Option<&'a str>,
}

/// A line.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// What it is for.
    pub title: &'a str,
    /// How many.
    pub quantity: &'a str,
    /// What one costs.
    pub unit_price: &'a str,
    /// What they cost.
    pub amount: &'a str,
}

/// A payment.
#[derive(Clone, Copy, Debug)]
pub struct PaymentLine<'a> {
    /// By what: "Wallet", "Visa ending in 4242".
    pub method: &'a str,
    /// When.
    pub paid_at: &'a str,
    /// How much.
    pub amount: &'a str,
}

impl Invoice<'_> {
    /// The document as a page of its own, fit for printing. `base` is where the style lies, `pdf` where the PDF does, `back` where the list is from
    /// which it was opened.
    pub fn page(&self, base: &str, pdf: &str, back: Option<&str>) -> String {
        let title = format!("{} {}", self.kind.title(), self.number);
        let body = html! {
            main.document {
                p.actions.screen {
                    a.button.second href=(pdf) { "Download as PDF" }
                    @if let Some(back) = back { a href=(back) { "Back to the invoices" } }
                }
                h1 { (title) }
                @if let Some(other) = self.refers_to { p { "Refers to " (other) } }
                div.parties {
                    (party("From", self.seller))
                    (party("To", self.buyer))
                    div { h2 { "Date" } p { time datetime=(self.issued_at) { (day(self.issued_at)) } } }
                }
                table {
                    thead { tr { th scope="col" { "For" } th.figure scope="col" { "Quantity" } th.figure scope="col" { "Price" } th.figure scope="col" { "Amount" } } }
                    tbody {
                        @for line in self.lines {
                            tr {
                                th scope="row" { (line.title) }
                                td.figure data-label="Quantity" { (grouped(line.quantity)) }
                                td.figure data-label="Price" { (grouped(line.unit_price)) }
                                td.figure data-label="Amount" { (grouped(line.amount)) }
                            }
                        }
                    }
                    tfoot {
                        (sum("Total", None, self.total, self.currency))
                        @for payment in self.payments { (sum(&format!("Paid by {}", payment.method), Some(payment.paid_at), payment.amount, self.currency)) }
                        (sum("Due", None, self.due, self.currency))
                    }
                }
                @if let Some(note) = self.note { p.quiet { (note) } }
            }
        };
        shell::document(&title, &shell::style_of(base), &body)
    }
}

fn party(title: &str, lines: &[&str]) -> Markup {
    html! { div { h2 { (title) } p { @for (place, line) in lines.iter().enumerate() { @if place > 0 { br; } (line) } } } }
}

fn sum(title: &str, time: Option<&str>, amount: &str, currency: &str) -> Markup {
    html! {
        tr.paid[time.is_some()] {
            th scope="row" colspan="3" { (title) @if let Some(time) = time { span.quiet { ", " (day(time)) } } }
            td.figure { (grouped(amount)) " " (currency) }
        }
    }
}
