//! The wallet's entries, newest first.

use super::shell::{self, Section, Session};
use super::text::{grouped, minute, signed};
use maud::html;

/// A page of entries.
#[derive(Clone, Debug)]
pub struct History<'a> {
    /// What a credit is called.
    pub symbol: &'a str,
    /// The entries, newest first.
    pub entries: &'a [EntryRow<'a>],
    /// What the next older page begins with, if there is one: goes into its address as `before`.
    pub older: Option<&'a str>,
    /// This is not the newest page.
    pub is_later_page: bool,
}

/// An entry.
#[derive(Clone, Copy, Debug)]
pub struct EntryRow<'a> {
    /// When it was.
    pub time: &'a str,
    /// What it was, in the customer's words: "Usage", "Package Starter", "Expired".
    pub title: &'a str,
    /// What it was for: an event, a meter, a grant.
    pub detail: Option<&'a str>,
    /// What it brought, or took: with a minus.
    pub amount: &'a str,
    /// The balance after it.
    pub balance_after: &'a str,
}

impl History<'_> {
    /// The page.
    pub fn page(&self, session: &Session<'_>) -> String {
        let link = session.link(Section::History);
        let content = html! {
            @if self.entries.is_empty() {
                p.empty { "There are no entries" @if self.is_later_page { " before these" } "." }
            } @else {
                table {
                    caption { "Entries in " (self.symbol) ", newest first" }
                    thead { tr { th scope="col" { "When" } th scope="col" { "What" } th.figure scope="col" { "Amount" } th.figure scope="col" { "Balance" } } }
                    tbody {
                        @for entry in self.entries {
                            tr {
                                td data-label="When" { time datetime=(entry.time) { (minute(entry.time)) } }
                                th scope="row" { (entry.title) @if let Some(detail) = entry.detail { " " span.quiet { (detail) } } }
                                td data-label="Amount" class=(direction(entry.amount)) { (signed(entry.amount)) }
                                td.figure data-label="Balance" { (grouped(entry.balance_after)) }
                            }
                        }
                    }
                }
            }
            nav.pager aria-label="Pages of the history" {
                @if self.is_later_page { a.button.second href=(link) { "Newest" } }
                @if let Some(before) = self.older { a.button.second href=(format!("{link}?before={before}")) { "Older" } }
            }
        };
        shell::page(session, Section::History, &content)
    }
}

/// What is above zero is marked.
fn direction(amount: &str) -> &'static str {
    let is_above = !amount.starts_with('-') && amount.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    if is_above { "figure in" } else { "figure" }
}

#[cfg(test)]
mod tests {
    use super::direction;

    #[test]
    fn what_is_above_zero_is_marked() {
        for (amount, class) in [
            ("5", "figure in"),
            ("0.01", "figure in"),
            ("0", "figure"),
            ("0.00", "figure"),
            ("-5", "figure"),
            ("-0.00", "figure"),
        ] {
            assert_eq!(direction(amount), class, "{amount}");
        }
    }
}
