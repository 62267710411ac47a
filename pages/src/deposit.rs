//! A deposit: what its payer is to send where, and what has come of it.

use super::shell::{self, Tone};
use super::text::{grouped, minute};
use maud::{Markup, html};

/// A deposit as its payer sees it, who may be anybody: it says nothing about the customer.
#[derive(Clone, Debug)]
pub struct Deposit<'a> {
    /// Where the style lies: its folder.
    pub base: &'a str,
    /// Who is paid.
    pub merchant: &'a str,
    /// What the form calls it: "Pay in by Bitcoin".
    pub title: &'a str,
    /// How it stands, in a sentence.
    pub state: (Tone, &'a str),
    /// The money or coin that is sent.
    pub currency: &'a str,
    /// How much is asked for; none where any amount will do.
    pub asked: Option<&'a str>,
    /// What has come, if anything has.
    pub received: Option<&'a str>,
    /// What is still to be sent, where something has come and it was not enough.
    pub missing: Option<&'a str>,
    /// What was sent back, if anything was.
    pub refunded: Option<&'a str>,
    /// How much of what was asked for has come, in thousandths; for the drawing only.
    pub thousandths: u16,
    /// Where it is to be sent; none once nothing is to be sent any more.
    pub address: Option<&'a str>,
    /// Until when it is waited for, if not for ever.
    pub expires_at: Option<&'a str>,
    /// What to name when asking about it.
    pub reference: &'a str,
    /// Of one that waits for money: the page is loaded again after so many seconds.
    pub refresh: Option<u32>,
    /// Where the payer goes from here.
    pub back: Option<&'a str>,
}

impl Deposit<'_> {
    /// The page.
    pub fn page(&self) -> String {
        let head = html! { @if let Some(seconds) = self.refresh { meta http-equiv="refresh" content=(seconds); } };
        let body = html! {
            main.alone {
                h1 { (self.title) }
                p class=(self.state.0.class()) role=(self.state.0.role()) { (self.state.1) }
                dl.summary {
                    dt { "To" } dd { (self.merchant) }
                    @if self.asked.is_some() || self.is_open() {
                        dt { "Amount" } dd.amount[self.missing.is_none() && (self.is_open() || self.received.is_some())] { @match self.asked { Some(asked) => (self.money(asked)), None => { "any, in " (self.currency) } } }
                    }
                    @if let Some(address) = self.address { dt { "Address" } dd { code.address { (address) } } }
                    @if let Some(received) = self.received { dt { "Received" } dd { (self.money(received)) } }
                    @if let Some(missing) = self.missing { dt { "Still to send" } dd.amount { (self.money(missing)) } }
                    @if let Some(refunded) = self.refunded { dt { "Sent back" } dd { (self.money(refunded)) } }
                    @if let Some(until) = self.expires_at { dt { "Open until" } dd { time datetime=(until) { (minute(until)) } } }
                    dt { "Reference" } dd.quiet { (self.reference) }
                }
                (self.drawing())
                @if self.is_open() { p.quiet { "This page looks by itself whether something has come." } }
                @if let Some(url) = self.back { p.actions { a.button.second[self.is_open()] href=(url) rel="noreferrer" { "Back to " (self.merchant) } } }
            }
        };
        shell::document_with(self.title, &shell::style_of(self.base), &head, &body)
    }

    fn is_open(&self) -> bool {
        self.refresh.is_some()
    }

    fn money(&self, amount: &str) -> Markup {
        html! { (grouped(amount)) " " (self.currency) }
    }

    /// How much of it has come. It says nothing that the list does not.
    fn drawing(&self) -> Markup {
        html! {
            @if self.asked.is_some() && self.received.is_some() {
                svg.stack viewBox="0 0 1000 24" preserveAspectRatio="none" aria-hidden="true" {
                    rect.shade-2 x="0" y="0" width=(self.thousandths.min(1_000)) height="24" {}
                }
            }
        }
    }
}
