//! The hosted checkout of the simulated provider: what a customer would see at a real one.
//!
//! It takes test cards only and says so.

use super::shell::{self, Tone};
use super::text::{grouped, minute};
use maud::{Markup, html};

/// A payment that waits for a card.
#[derive(Clone, Debug)]
pub struct Checkout<'a> {
    /// Where the style lies: its folder.
    pub base: &'a str,
    /// Where the form goes.
    pub action: &'a str,
    /// What the form must send back, as `token`.
    pub token: &'a str,
    /// Who is paid.
    pub merchant: &'a str,
    /// What is bought: "Starter: 1000 credits".
    pub title: &'a str,
    /// What is to be paid; none where a card is only saved.
    pub amount: Option<&'a str>,
    /// The amount's currency.
    pub currency: &'a str,
    /// Until when it can be paid.
    pub expires_at: &'a str,
    /// Test cards and what each of them does.
    pub test_cards: &'a [(&'a str, &'a str)],
    /// Where to go instead.
    pub cancel_url: Option<&'a str>,
    /// What is wrong with the card that was sent: the field's name and the reason.
    pub error: Option<(&'a str, &'a str)>,
}

impl Checkout<'_> {
    /// The page.
    pub fn page(&self) -> String {
        let title = if self.amount.is_some() { "Pay by card" } else { "Save a card" };
        let body = html! {
            main.alone {
                p.test { "Test mode: no money moves. Do not enter a real card." }
                h1 { (title) }
                dl.summary {
                    dt { "To" } dd { (self.merchant) }
                    dt { "For" } dd { (self.title) }
                    @if let Some(amount) = self.amount { dt { "Total" } dd.amount { (grouped(amount)) " " (self.currency) } }
                    dt { "Open until" } dd { time datetime=(self.expires_at) { (minute(self.expires_at)) } }
                }
                @if let Some((_, reason)) = self.error { p.message.bad id="wrong" role="alert" { (reason) } }
                form method="post" action=(self.action) {
                    input type="hidden" name="token" value=(self.token);
                    (self.field("number", "Card number", "numeric", "cc-number"))
                    div.pair {
                        (self.field("expiry", "Good until (MM/YY)", "text", "cc-exp"))
                        (self.field("cvc", "Security code", "numeric", "cc-csc"))
                    }
                    p.actions {
                        button { @match self.amount { Some(amount) => { "Pay " (grouped(amount)) " " (self.currency) }, None => "Save the card" } }
                        @if let Some(url) = self.cancel_url { a href=(url) rel="noreferrer" { "Cancel" } }
                    }
                }
                details {
                    summary { "Test cards" }
                    table { tbody { @for (number, effect) in self.test_cards { tr { th scope="row" { code { (in_fours(number)) } } td { (effect) } } } } }
                }
            }
        };
        shell::document(title, &shell::style_of(self.base), &body)
    }

    fn field(&self, name: &str, title: &str, mode: &str, complete: &str) -> Markup {
        let is_wrong = self.error.is_some_and(|(field, _)| field == name);
        html! {
            div.field {
                label for=(name) { (title) }
                input id=(name) name=(name) inputmode=(mode) autocomplete=(complete) maxlength="24" required aria-invalid=[is_wrong.then_some("true")] aria-describedby=[is_wrong.then_some("wrong")];
            }
        }
    }
}

/// A card's number as it stands on the card.
fn in_fours(number: &str) -> String {
    let digits: Vec<char> = number.chars().filter(|digit| !digit.is_whitespace()).collect();
    digits.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// The bank's question whether it is really the customer who pays (3-D Secure).
#[derive(Clone, Debug)]
pub struct Confirmation<'a> {
    /// Where the style lies: its folder.
    pub base: &'a str,
    /// Where the form goes; it sends `answer` as `yes` or `no`.
    pub action: &'a str,
    /// What the form must send back, as `token`.
    pub token: &'a str,
    /// Who is paid.
    pub merchant: &'a str,
    /// What is to be paid.
    pub amount: &'a str,
    /// The amount's currency.
    pub currency: &'a str,
}

impl Confirmation<'_> {
    /// The page.
    pub fn page(&self) -> String {
        let body = html! {
            main.alone {
                p.test { "Test mode: this page stands for that of a bank." }
                h1 { "Confirm the payment" }
                p class=(Tone::Notice.class()) { (self.merchant) " asks for " strong { (grouped(self.amount)) " " (self.currency) } "." }
                form method="post" action=(self.action) {
                    input type="hidden" name="token" value=(self.token);
                    p.actions {
                        button name="answer" value="yes" { "Confirm" }
                        button.second.bad name="answer" value="no" { "Refuse" }
                    }
                }
            }
        };
        shell::document("Confirm the payment", &shell::style_of(self.base), &body)
    }
}
