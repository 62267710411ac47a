//! The first page: what a wallet has, and which grants it is made of.

use super::shell::{self, Section, Session, Tone};
use super::text::{day, grouped};
use maud::{Markup, html};

/// A wallet as it is looked at.
#[derive(Clone, Debug)]
pub struct Overview<'a> {
    /// What a credit is called: the currency's symbol or name.
    pub symbol: &'a str,
    /// Credits of active grants, less debt.
    pub balance: &'a str,
    /// Credits set aside by open holds.
    pub held: &'a str,
    /// What can be spent now.
    pub available: &'a str,
    /// What will be left after the period's commitments.
    pub projected: &'a str,
    /// Credits of top-ups that are under way, if there are any.
    pub pending: Option<&'a str>,
    /// What is owed, if anything is.
    pub debt: Option<&'a str>,
    /// What the customer should know about the wallet: that it is frozen, closed or low.
    pub notice: Option<(Tone, &'a str)>,
    /// Its grants in the order in which they are spent.
    pub grants: &'a [GrantRow<'a>],
    /// How many grants there are beside those listed.
    pub more: usize,
    /// The rule of automatic top-ups in a sentence; none if there is no rule.
    pub automatic: Option<&'a str>,
    /// Nothing can be bought for it, by hand or by a rule.
    pub is_closed: bool,
}

/// A grant of the wallet.
#[derive(Clone, Copy, Debug)]
pub struct GrantRow<'a> {
    /// Where it comes from, in the customer's words: "Package Starter", "Monthly plan".
    pub title: &'a str,
    /// It was given, not bought.
    pub is_promotional: bool,
    /// What is left of it.
    pub remaining: &'a str,
    /// What it was made with.
    pub granted: &'a str,
    /// What is left of it in smallest units; for the drawing only.
    pub remaining_units: u64,
    /// When it begins, if it has not.
    pub begins_at: Option<&'a str>,
    /// When it ends, if it does.
    pub expires_at: Option<&'a str>,
}

impl Overview<'_> {
    /// The page.
    pub fn page(&self, session: &Session<'_>) -> String {
        let content = html! {
            @if let Some((tone, text)) = self.notice { p class=(tone.class()) role=(tone.role()) { (text) } }
            section.figures aria-label="Balances" {
                (figure("Available", self.available, self.symbol, true))
                (figure("Balance", self.balance, self.symbol, false))
                (figure("Set aside", self.held, self.symbol, false))
                (figure("After commitments", self.projected, self.symbol, false))
                @if let Some(pending) = self.pending { (figure("On its way", pending, self.symbol, false)) }
                @if let Some(debt) = self.debt { (figure("Owed", debt, self.symbol, false)) }
            }
            @if !self.is_closed {
                p.actions {
                    a.button href=(session.link(Section::Buy)) { "Buy credits" }
                    a.button.second href=(session.link(Section::Automatic)) { "Automatic top-up" }
                }
                p.quiet { (self.automatic.unwrap_or("Automatic top-up is off.")) }
            }
            section aria-labelledby="made-of" {
                h2 #made-of { "What it is made of" }
                @if self.grants.is_empty() {
                    p.empty { "There are no credits." }
                } @else {
                    (self.drawing())
                    (self.table())
                    @if self.more > 0 { p.quiet { "and " (self.more) " more." } }
                }
            }
        };
        shell::page(session, Section::Overview, &content)
    }

    /// A bar of all grants that count now, in spend order. It says nothing that the table does not.
    fn drawing(&self) -> Markup {
        const WIDTH: u128 = 1000;
        let counting = || self.grants.iter().enumerate().filter(|(_, grant)| grant.begins_at.is_none());
        let total: u128 = counting().map(|(_, grant)| u128::from(grant.remaining_units)).sum();
        let mut before: u128 = 0;
        html! {
            @if total > 0 {
                svg.stack viewBox="0 0 1000 24" preserveAspectRatio="none" aria-hidden="true" {
                    @for (place, grant) in counting() {
                        @let begin = before * WIDTH / total;
                        @let end = { before += u128::from(grant.remaining_units); before * WIDTH / total };
                        rect class=(shade(place)) x=(begin) y="0" width=(end - begin) height="24" {}
                    }
                }
            }
        }
    }

    fn table(&self) -> Markup {
        html! {
            table {
                caption { "Grants, in the order in which they are spent" }
                thead { tr { th scope="col" { "Grant" } th.figure scope="col" { "Left" } th.figure scope="col" { "Granted" } th scope="col" { "Expires" } } }
                tbody {
                    @for (place, grant) in self.grants.iter().enumerate() {
                        tr {
                            th scope="row" {
                                span class={ "dot " (if grant.begins_at.is_some() { "later" } else { shade(place) }) } aria-hidden="true" {}
                                (grant.title)
                                @if grant.is_promotional { " " span.tag { "free" } }
                                @if let Some(begins) = grant.begins_at { " " span.tag { "from " (day(begins)) } }
                            }
                            td.figure data-label="Left" { (grouped(grant.remaining)) }
                            td.figure data-label="Granted" { (grouped(grant.granted)) }
                            td data-label="Expires" { @match grant.expires_at { Some(time) => time datetime=(time) { (day(time)) }, None => "never" } }
                        }
                    }
                }
            }
        }
    }
}

/// One of six shades, by place.
fn shade(place: usize) -> &'static str {
    const SHADES: [&str; 6] = ["shade-1", "shade-2", "shade-3", "shade-4", "shade-5", "shade-6"];
    SHADES[place % SHADES.len()]
}

fn figure(name: &str, amount: &str, symbol: &str, is_main: bool) -> Markup {
    html! {
        div class=(if is_main { "figure-box main" } else { "figure-box" }) {
            p.name { (name) }
            p.amount { (grouped(amount)) " " span.unit { (symbol) } }
        }
    }
}
