//! The list of invoices.

use super::shell::{self, Section, Session};
use super::text::{day, grouped};
use maud::html;

/// The list.
#[derive(Clone, Debug)]
pub struct Invoices<'a> {
    /// The newest first.
    pub invoices: &'a [InvoiceRow<'a>],
    /// What the next older page begins with, if there is one: goes into its address as `before`.
    pub older: Option<&'a str>,
}

/// An invoice in the list.
#[derive(Clone, Copy, Debug)]
pub struct InvoiceRow<'a> {
    /// Its number.
    pub number: &'a str,
    /// When it was issued.
    pub issued_at: &'a str,
    /// What it is for.
    pub title: &'a str,
    /// Its total.
    pub total: &'a str,
    /// The total's currency.
    pub currency: &'a str,
    /// How it stands: "paid", "open", "refunded".
    pub status: &'a str,
}

impl Invoices<'_> {
    /// The page.
    pub fn page(&self, session: &Session<'_>) -> String {
        let link = session.link(Section::Invoices);
        let content = html! {
            @if self.invoices.is_empty() {
                p.empty { "There are no invoices yet." }
            } @else {
                table {
                    caption { "Invoices, newest first" }
                    thead { tr { th scope="col" { "Number" } th scope="col" { "Date" } th scope="col" { "For" } th.figure scope="col" { "Total" } th scope="col" { "Status" } th scope="col" { "File" } } }
                    tbody {
                        @for invoice in self.invoices {
                            tr {
                                th scope="row" data-label="Number" { a href=(format!("{link}/{}", invoice.number)) { span.hidden { "Invoice " } (invoice.number) } }
                                td data-label="Date" { time datetime=(invoice.issued_at) { (day(invoice.issued_at)) } }
                                td data-label="For" { (invoice.title) }
                                td.figure data-label="Total" { (grouped(invoice.total)) " " (invoice.currency) }
                                td data-label="Status" { span.tag { (invoice.status) } }
                                td data-label="File" { a href=(format!("{link}/{}.pdf", invoice.number)) { "PDF" span.hidden { " of " (invoice.number) } } }
                            }
                        }
                    }
                }
            }
            @if let Some(before) = self.older {
                nav.pager aria-label="Pages of invoices" { a.button.second href=(format!("{link}?before={before}")) { "Older" } }
            }
        };
        shell::page(session, Section::Invoices, &content)
    }
}
