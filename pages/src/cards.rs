//! Saved cards.

use super::shell::{self, Section, Session};
use maud::html;

/// The saved cards.
#[derive(Clone, Debug)]
pub struct Cards<'a> {
    /// All of them, the default one first.
    pub cards: &'a [CardRow<'a>],
    /// Another one can be added.
    pub can_add: bool,
}

/// A card.
#[derive(Clone, Copy, Debug)]
pub struct CardRow<'a> {
    /// The payment method's id.
    pub id: &'a str,
    /// "Visa", or what kind of method it is.
    pub brand: &'a str,
    /// The last four digits, if it has any.
    pub last4: Option<&'a str>,
    /// Until when it is good: "04/28".
    pub expires: Option<&'a str>,
    /// It is over.
    pub is_expired: bool,
    /// It is taken where nothing else is said.
    pub is_default: bool,
}

/// A card to choose.
#[derive(Clone, Copy, Debug)]
pub struct CardChoice<'a> {
    /// The payment method's id.
    pub id: &'a str,
    /// What it is called: "Visa ending in 4242".
    pub title: &'a str,
}

impl CardRow<'_> {
    fn title(&self) -> String {
        self.last4.map_or_else(|| self.brand.to_owned(), |last4| format!("{} ending in {last4}", self.brand))
    }
}

impl Cards<'_> {
    /// The page.
    pub fn page(&self, session: &Session<'_>) -> String {
        let link = session.link(Section::Cards);
        let content = html! {
            @if self.cards.is_empty() { p.empty { "No card is saved." } }
            ul.cards {
                @for card in self.cards {
                    li {
                        div {
                            p.title { (card.title()) }
                            p.quiet {
                                @if let Some(expires) = card.expires { "Good until " (expires) }
                                @if card.is_default { " " span.tag { "default" } }
                                @if card.is_expired { " " span.tag.bad { "expired" } }
                            }
                        }
                        form method="post" action=(link) {
                            (session.token_field())
                            input type="hidden" name="card" value=(card.id);
                            @let which = format!(" {}", card.title());
                            @if !card.is_default && !card.is_expired { button.second name="action" value="default" { "Make default" span.hidden { (which) } } }
                            // Without scripts a question is something to open.
                            details {
                                summary.button.second.bad { "Remove" span.hidden { (which) } }
                                p.quiet { "Neither you nor automatic top-ups can charge it any more." }
                                button.second.bad name="action" value="remove" { "Yes, remove it" span.hidden { ":" (which) } }
                            }
                        }
                    }
                }
            }
            @if self.can_add {
                form method="post" action=(link) {
                    (session.token_field())
                    button name="action" value="add" { "Add a card" }
                }
            }
            p.quiet { "Card numbers are entered at the payment provider and never reach this server." }
        };
        shell::page(session, Section::Cards, &content)
    }
}
