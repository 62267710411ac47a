//! The frame that all pages of the portal stand in: head, navigation, messages.

use maud::{DOCTYPE, Markup, html};

/// What the pages of one visit have in common.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    /// Whose portal it is: the merchant's name.
    pub merchant: &'a str,
    /// The customer's name, or its id.
    pub customer: &'a str,
    /// Where the portal's pages lie, without a slash at the end, such as `/portal`.
    pub base: &'a str,
    /// Where the customer came from, if it may go back there.
    pub return_url: Option<&'a str>,
    /// What every form must send back, as `token`.
    pub token: &'a str,
    /// Payments are simulated.
    pub is_test: bool,
    /// The customer's wallets; at least the one that is looked at.
    pub wallets: &'a [WalletLink<'a>],
    /// The currency of the wallet that is looked at, percent-encoded: it goes into addresses.
    pub currency: &'a str,
    /// What became of the form that was sent last.
    pub message: Option<(Tone, &'a str)>,
}

/// A wallet that can be looked at.
#[derive(Clone, Copy, Debug)]
pub struct WalletLink<'a> {
    /// Its currency's id, percent-encoded: it goes into addresses.
    pub currency: &'a str,
    /// Its currency's name.
    pub name: &'a str,
}

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// It has been done.
    Good,
    /// Something is to be known or done.
    Notice,
    /// It has not been done.
    Bad,
}

impl Tone {
    pub(crate) fn class(self) -> &'static str {
        match self {
            Tone::Good => "message good",
            Tone::Notice => "message notice",
            Tone::Bad => "message bad",
        }
    }

    /// Errors interrupt whoever listens, other messages wait.
    pub(crate) fn role(self) -> &'static str {
        match self {
            Tone::Good | Tone::Notice => "status",
            Tone::Bad => "alert",
        }
    }
}

/// A page of the portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Balance and what it is made of.
    Overview,
    /// Entries.
    History,
    /// Packages and amounts.
    Buy,
    /// Saved cards.
    Cards,
    /// The rule of automatic top-ups.
    Automatic,
    /// Invoices and receipts.
    Invoices,
}

impl Section {
    const ALL: [Section; 6] =
        [Section::Overview, Section::Buy, Section::Automatic, Section::Cards, Section::History, Section::Invoices];

    /// The last part of its address.
    pub const fn path(self) -> &'static str {
        match self {
            Section::Overview => "overview",
            Section::History => "history",
            Section::Buy => "buy",
            Section::Cards => "cards",
            Section::Automatic => "automatic",
            Section::Invoices => "invoices",
        }
    }

    /// Its name.
    pub const fn title(self) -> &'static str {
        match self {
            Section::Overview => "Balance",
            Section::History => "History",
            Section::Buy => "Buy credits",
            Section::Cards => "Cards",
            Section::Automatic => "Automatic top-up",
            Section::Invoices => "Invoices",
        }
    }
}

impl Session<'_> {
    /// The address of a page of the wallet that is looked at.
    pub(crate) fn link(&self, section: Section) -> String {
        format!("{}/{}/{}", self.base, self.currency, section.path())
    }

    /// What every form begins with.
    pub(crate) fn token_field(&self) -> Markup {
        html! { input type="hidden" name="token" value=(self.token); }
    }
}

/// A whole document.
pub(crate) fn document(title: &str, style: &str, body: &Markup) -> String {
    document_with(title, style, &html! {}, body)
}

/// A whole document with something in its head.
///
/// Its referrer policy is `same-origin`: nothing is told to other sites, and browsers say where a form of ours comes from, which they do not under
/// `no-referrer`.
pub(crate) fn document_with(title: &str, style: &str, head: &Markup, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="same-origin";
                meta name="robots" content="noindex";
                title { (title) }
                link rel="stylesheet" href=(style);
                (head)
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// The address of the style for pages below `base`.
pub(crate) fn style_of(base: &str) -> String {
    format!("{base}/portal.css")
}

/// A page of the portal.
pub(crate) fn page(session: &Session<'_>, section: Section, content: &Markup) -> String {
    page_with(session, Some(section), section.title(), &html! {}, content)
}

/// A page of the portal that may lie beside its sections, with something in its head.
pub(crate) fn page_with(
    session: &Session<'_>,
    section: Option<Section>,
    title: &str,
    head: &Markup,
    content: &Markup,
) -> String {
    let body = html! {
        a.skip href="#content" { "Skip to the content" }
        header.top {
            div.bar {
                p.merchant { (session.merchant) }
                @if session.is_test { p.test { "Test mode: no money moves" } }
                p.customer { span.quiet { "Signed in for " } (session.customer) }
                @if let Some(url) = session.return_url { a href=(url) rel="noreferrer" { "Back to " (session.merchant) } }
                form.leave method="post" action=(format!("{}/leave", session.base)) { (session.token_field()) button.plain { "Sign out" } }
            }
            nav aria-label="Portal" {
                ul {
                    @for other in Section::ALL {
                        li { a href=(session.link(other)) aria-current=[(Some(other) == section).then_some("page")] { (other.title()) } }
                    }
                }
            }
        }
        main #content {
            @if session.wallets.len() > 1 { (wallets(session, section.unwrap_or(Section::Overview))) }
            h1 { (title) }
            @if let Some((tone, text)) = session.message { p class=(tone.class()) role=(tone.role()) { (text) } }
            (content)
        }
        footer { p { "All times are UTC. Amounts are exact." } }
    };
    document_with(&format!("{title} \u{b7} {}", session.merchant), &style_of(session.base), head, &body)
}

fn wallets(session: &Session<'_>, section: Section) -> Markup {
    html! {
        nav.wallets aria-label="Wallets" {
            ul {
                @for wallet in session.wallets {
                    @let is_this = wallet.currency == session.currency;
                    li { a href=(format!("{}/{}/{}", session.base, wallet.currency, section.path())) aria-current=[is_this.then_some("true")] { (wallet.name) } }
                }
            }
        }
    }
}
