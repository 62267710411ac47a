//! The rule of automatic top-ups, as the customer sets it.

use super::cards::CardChoice;
use super::shell::{self, Section, Session, Tone};
use maud::{Markup, html};

/// The rule as it stands, or as it was sent and refused.
#[derive(Clone, Debug)]
pub struct Automatic<'a> {
    /// What a credit is called.
    pub symbol: &'a str,
    /// The rule buys when there is need.
    pub is_enabled: bool,
    /// What the rule is doing, in a sentence: "Waits: the balance is above the threshold."
    pub state: Option<(Tone, &'a str)>,
    /// Where something can be done about that: address and words.
    pub remedy: Option<(&'a str, &'a str)>,
    /// Below which balance it buys.
    pub threshold: &'a str,
    /// What it buys.
    pub mode: Mode,
    /// How many packages.
    pub quantity: &'a str,
    /// The package's id.
    pub package: &'a str,
    /// The packages to choose from.
    pub packages: &'a [PackageChoice<'a>],
    /// The amount of a payment.
    pub amount: &'a str,
    /// The payment's currency, where amounts can be bought; where only packages can, filling up takes whole ones.
    pub money: Option<&'a str>,
    /// The balance to fill up to.
    pub target: &'a str,
    /// The most that it may buy, a row each for day, week and month.
    pub limits: [LimitRow<'a>; 3],
    /// The card's id; empty for the default one.
    pub card: &'a str,
    /// The cards to choose from.
    pub cards: &'a [CardChoice<'a>],
    /// What is wrong with what was sent: the field's name and the reason.
    pub errors: &'a [(&'a str, &'a str)],
}

/// What a rule buys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// So many packages.
    Package,
    /// For an amount of money.
    Amount,
    /// What is missing to a balance.
    Target,
}

/// A package to choose.
#[derive(Clone, Copy, Debug)]
pub struct PackageChoice<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name, content and price: "Starter: 1000 credits for 10.00 USD".
    pub title: &'a str,
}

/// The most that a rule may buy in a period. Empty where there is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct LimitRow<'a> {
    /// How often.
    pub count: &'a str,
    /// For how much money.
    pub amount: &'a str,
}

const PERIODS: [(&str, &str); 3] = [("day", "Day"), ("week", "Week"), ("month", "Month")];

impl Automatic<'_> {
    /// The page.
    pub fn page(&self, session: &Session<'_>) -> String {
        let link = session.link(Section::Automatic);
        let content = html! {
            @if let Some((tone, text)) = self.state.filter(|_| self.errors.is_empty()) {
                p class=(tone.class()) role=(tone.role()) { (text) @if let Some((url, words)) = self.remedy { " " a href=(url) { (words) } } }
            }
            @if !self.errors.is_empty() { (self.summary()) }
            form.rule method="post" action=(link) {
                (session.token_field())
                label.choice.switch { input type="checkbox" id="enabled" name="enabled" value="yes" checked[self.is_enabled]; span { "Buy credits by itself when the balance runs low" } }
                (self.told("enabled"))
                (self.field("threshold", &format!("When the balance falls below ({})", self.symbol), self.threshold))
                (self.modes())
                (self.card_field())
                (self.limits_table())
                p.actions { button name="action" value="save" { "Save" } }
            }
        };
        shell::page(session, Section::Automatic, &content)
    }

    fn error(&self, field: &str) -> Option<&str> {
        self.errors.iter().find(|(name, _)| *name == field).map(|(_, reason)| *reason)
    }

    fn summary(&self) -> Markup {
        html! {
            div.message.bad role="alert" {
                p { "Nothing was saved:" }
                ul { @for (field, reason) in self.errors { li { a href={ "#" (field) } { (reason) } } } }
            }
        }
    }

    /// What is wrong with a field, beside it; fields point at it by `{name}-error`.
    fn told(&self, name: &str) -> Markup {
        html! { @if let Some(error) = self.error(name) { p.error id={ (name) "-error" } { (error) } } }
    }

    /// What a field points at, if something is wrong with it.
    fn told_by(&self, name: &str) -> Option<String> {
        self.error(name).map(|_| format!("{name}-error"))
    }

    /// A field of one line with its label and what is wrong with it.
    fn field(&self, name: &str, title: &str, value: &str) -> Markup {
        let help = self.told_by(name);
        html! {
            div.field {
                label for=(name) { (title) }
                input id=(name) name=(name) inputmode="decimal" autocomplete="off" value=(value) aria-invalid=[help.as_ref().map(|_| "true")] aria-describedby=[help.as_ref()];
                (self.told(name))
            }
        }
    }

    fn modes(&self) -> Markup {
        let radio = |mode: Mode, value: &str, title: &str| {
            html! { label.choice { input type="radio" name="mode" id={ "mode-" (value) } value=(value) checked[self.mode == mode]; span { (title) } } }
        };
        let has_packages = !self.packages.is_empty();
        html! {
            // Of credits that do not stand for money, whole packages are bought whatever the mode.
            fieldset #mode class=[self.money.is_none().then_some("in-packages")] aria-describedby=[self.told_by("mode")] {
                legend { "Buy" }
                (self.told("mode"))
                @if has_packages { (radio(Mode::Package, "package", "packages")) }
                @if self.money.is_some() { (radio(Mode::Amount, "amount", "for an amount")) }
                @if self.money.is_some() { (radio(Mode::Target, "target", "up to a balance")) }
                @else if has_packages { (radio(Mode::Target, "target", "packages up to a balance")) }
                @if has_packages {
                    div.of-package {
                        (self.package_field())
                        div.of-quantity { (self.field("quantity", "How many at a time; more if the gap is larger", self.quantity)) }
                    }
                }
                @if let Some(money) = self.money {
                    div.of-amount { (self.field("amount", &format!("Amount in {money}"), self.amount)) }
                }
                @if self.money.is_some() || has_packages {
                    div.of-target { (self.field("target", &format!("Fill up to ({})", self.symbol), self.target)) }
                }
            }
        }
    }

    fn package_field(&self) -> Markup {
        let help = self.told_by("package");
        html! {
            div.field {
                label for="package" { "Package" }
                select #package name="package" aria-invalid=[help.as_ref().map(|_| "true")] aria-describedby=[help.as_ref()] { @for package in self.packages { option value=(package.id) selected[package.id == self.package] { (package.title) } } }
                (self.told("package"))
            }
        }
    }

    fn card_field(&self) -> Markup {
        let help = self.told_by("payment_method");
        html! {
            div.field {
                label for="payment_method" { "Pay with" }
                select #payment_method name="payment_method" aria-invalid=[help.as_ref().map(|_| "true")] aria-describedby=[help.as_ref()] {
                    option value="" selected[self.card.is_empty()] { "the default card" }
                    @for card in self.cards { option value=(card.id) selected[card.id == self.card] { (card.title) } }
                }
                (self.told("payment_method"))
            }
        }
    }

    fn limits_table(&self) -> Markup {
        let input = |name: String, title: String, value: &str| {
            let help = self.told_by(&name);
            html! {
                input id=(name) name=(name) aria-label=(title) inputmode="decimal" autocomplete="off" placeholder="no limit" value=(value) aria-invalid=[help.as_ref().map(|_| "true")] aria-describedby=[help.as_ref()];
                (self.told(&name))
            }
        };
        html! {
            fieldset #limits aria-describedby=[self.told_by("limits")] {
                legend { "Never more than" }
                (self.told("limits"))
                table.limits {
                    thead { tr { th scope="col" { "In a" } th scope="col" { "Purchases" } th scope="col" { "Money" } } }
                    tbody {
                        @for ((period, title), limit) in PERIODS.iter().zip(&self.limits) {
                            tr {
                                th scope="row" { (title) }
                                td data-label="Purchases" { (input(format!("limit_{period}_count"), format!("Purchases in a {period}"), limit.count)) }
                                td data-label="Money" { (input(format!("limit_{period}_amount"), format!("Money in a {period}"), limit.amount)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
