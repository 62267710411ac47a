//! Buying credits: a package, or an amount where amounts can be bought.

use super::cards::CardChoice;
use super::shell::{self, Section, Session};
use super::text::grouped;
use maud::{Markup, html};

/// What can be bought.
#[derive(Clone, Debug)]
pub struct Buy<'a> {
    /// What a credit is called.
    pub symbol: &'a str,
    /// Goes back as `once`: what tells an order that is sent twice from two orders.
    pub once: &'a str,
    /// The packages on offer.
    pub packages: &'a [PackageOffer<'a>],
    /// An amount of one's own, if one may choose it.
    pub amount: Option<AmountOffer<'a>>,
    /// The cards that can pay.
    pub cards: &'a [CardChoice<'a>],
    /// Why nothing can be bought now, if so.
    pub closed: Option<&'a str>,
}

/// A package.
#[derive(Clone, Copy, Debug)]
pub struct PackageOffer<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What it brings.
    pub credits: &'a str,
    /// What it brings beside, if anything.
    pub bonus: Option<&'a str>,
    /// What it costs, with the currency: "10.00 USD".
    pub price: &'a str,
    /// How long its credits last, in words, if not for ever: "90 days".
    pub lasts: Option<&'a str>,
}

/// An amount of one's own.
#[derive(Clone, Copy, Debug)]
pub struct AmountOffer<'a> {
    /// The payment's currency.
    pub currency: &'a str,
    /// The least of a payment, if there is one.
    pub min: Option<&'a str>,
    /// The most of a payment, if there is one.
    pub max: Option<&'a str>,
    /// What was typed before, and what is wrong with it.
    pub rejected: Option<(&'a str, &'a str)>,
}

impl Buy<'_> {
    /// The page.
    pub fn page(&self, session: &Session<'_>) -> String {
        let content = html! {
            @if let Some(why) = self.closed {
                p.message.notice role="status" { (why) }
            } @else if self.packages.is_empty() && self.amount.is_none() {
                p.empty { "Nothing is on offer at the moment." }
            } @else {
                form method="post" action=(session.link(Section::Buy)) {
                    (session.token_field())
                    input type="hidden" name="once" value=(self.once);
                    (self.payment())
                    @if !self.packages.is_empty() { (self.packages()) }
                    @if let Some(amount) = &self.amount { (amount.field()) }
                }
            }
        };
        shell::page(session, Section::Buy, &content)
    }

    fn payment(&self) -> Markup {
        html! {
            fieldset {
                legend { "Pay with" }
                @for (place, card) in self.cards.iter().enumerate() {
                    label.choice { input type="radio" name="card" value=(card.id) checked[place == 0]; span { (card.title) } }
                }
                label.choice { input type="radio" name="card" value="" checked[self.cards.is_empty()]; span { "Another card" span.quiet { " (you enter it on the next page; it is saved for later payments)" } } }
            }
        }
    }

    fn packages(&self) -> Markup {
        html! {
            section aria-labelledby="packages" {
                h2 #packages { "Packages" }
                ul.offers {
                    @for package in self.packages {
                        li {
                            h3 { (package.name) }
                            p.amount { (grouped(package.credits)) " " span.unit { (self.symbol) } }
                            @if let Some(bonus) = package.bonus { p.bonus { "and " (grouped(bonus)) " free" } }
                            p.quiet { @match package.lasts { Some(lasts) => { "Valid for " (lasts) }, None => "Never expires" } }
                            button name="package" value=(package.id) { "Buy for " span.whole { (package.price) } span.hidden { ": " (package.name) } }
                        }
                    }
                }
            }
        }
    }
}

impl AmountOffer<'_> {
    fn field(&self) -> Markup {
        let bounds = match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{} to {} {}", grouped(min), grouped(max), self.currency),
            (Some(min), None) => format!("at least {} {}", grouped(min), self.currency),
            (None, Some(max)) => format!("at most {} {}", grouped(max), self.currency),
            (None, None) => String::new(),
        };
        let (typed, error) = self.rejected.map_or((None, None), |(typed, error)| (Some(typed), Some(error)));
        html! {
            section aria-labelledby="amount-title" {
                h2 #amount-title { "An amount of your own" }
                label for="amount" { "Amount in " (self.currency) }
                input #amount name="amount" inputmode="decimal" autocomplete="off" value=[typed] aria-invalid=[error.map(|_| "true")] aria-describedby="amount-help";
                p #amount-help class=(if error.is_some() { "error" } else { "quiet" }) { (error.unwrap_or(&bounds)) }
                button name="package" value="" { "Buy this amount" }
            }
        }
    }
}
