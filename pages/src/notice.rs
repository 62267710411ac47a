//! Pages that say one thing: that a link is over, that something went wrong, that a payment is done.

use super::shell::{self, Tone};
use maud::html;

/// One thing to say.
#[derive(Clone, Debug)]
pub struct Notice<'a> {
    /// Where the style lies: its folder, such as `/portal`.
    pub base: &'a str,
    /// In a few words.
    pub title: &'a str,
    /// What is to be known or done.
    pub text: &'a str,
    /// What kind of thing it is.
    pub tone: Tone,
    /// Where to go from here: address and words.
    pub link: Option<(&'a str, &'a str)>,
}

impl Notice<'_> {
    /// The page.
    pub fn page(&self) -> String {
        let body = html! {
            main.alone {
                h1 { (self.title) }
                p class=(self.tone.class()) role=(self.tone.role()) { (self.text) }
                @if let Some((url, words)) = self.link { p.actions { a.button href=(url) rel="noreferrer" { (words) } } }
            }
        };
        shell::document(self.title, &shell::style_of(self.base), &body)
    }
}
