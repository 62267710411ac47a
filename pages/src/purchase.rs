//! What became of a purchase, or of a card that was to be saved: where a customer comes back to from a payment page, and where it is sent there.

use super::shell::{self, Session, Tone};
use super::text::grouped;
use maud::html;

/// A purchase.
#[derive(Clone, Debug)]
pub struct Purchase<'a> {
    /// What the page is called: "Your purchase".
    pub title: &'a str,
    /// What is bought: "Starter"; none where a card is only saved.
    pub goods: Option<&'a str>,
    /// The credits that it brings, if that is known.
    pub credits: Option<&'a str>,
    /// What a credit is called.
    pub symbol: &'a str,
    /// What it costs, and the money's currency.
    pub price: Option<(&'a str, &'a str)>,
    /// How it stands, in a sentence.
    pub state: (Tone, &'a str),
    /// Where to go on: address and words. A page of somebody else's is told nothing of this one.
    pub next: Option<(&'a str, &'a str)>,
    /// It can be called off: where the form goes, and what it sends as `top_up`.
    pub cancel: Option<(&'a str, &'a str)>,
    /// It may stand otherwise in a moment: the page is loaded again after so many seconds, or the address behind them instead.
    pub refresh: Option<(u32, Option<&'a str>)>,
    /// Where to go back to: address and words.
    pub back: (&'a str, &'a str),
}

impl Purchase<'_> {
    /// The page.
    pub fn page(&self, session: &Session<'_>) -> String {
        let refresh = self.refresh.map(|(seconds, url)| match url {
            Some(url) => format!("{seconds}; url={url}"),
            None => seconds.to_string(),
        });
        let head = html! { @if let Some(refresh) = refresh { meta http-equiv="refresh" content=(refresh); } };
        let content = html! {
            p class=(self.state.0.class()) role=(self.state.0.role()) { (self.state.1) }
            @if self.goods.is_some() || self.price.is_some() {
                dl.summary {
                    @if let Some(goods) = self.goods { dt { "For" } dd { (goods) } }
                    @if let Some(credits) = self.credits { dt { "Credits" } dd { (grouped(credits)) " " (self.symbol) } }
                    @if let Some((amount, currency)) = self.price { dt { "Total" } dd.amount { (grouped(amount)) " " (currency) } }
                }
            }
            div.actions {
                @if let Some((url, words)) = self.next { a.button href=(url) rel="noreferrer" { (words) } }
                @if let Some((action, id)) = self.cancel {
                    form method="post" action=(action) {
                        (session.token_field())
                        input type="hidden" name="top_up" value=(id);
                        button.second.bad name="action" value="cancel" { "Call it off" }
                    }
                }
                a.button.second[self.next.is_some() || self.cancel.is_some()] href=(self.back.0) { (self.back.1) }
            }
        };
        shell::page_with(session, None, self.title, &head, &content)
    }
}
