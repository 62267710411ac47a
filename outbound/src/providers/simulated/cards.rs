//! Test cards. Those that Stripe publishes for the same purpose have Stripe's numbers (docs.stripe.com/testing); the others are of our own, under a prefix
//! that no bank uses.

use serde::{Deserialize, Serialize};

/// What a test card does when it is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Behaviour {
    /// The charge succeeds.
    Succeeds,
    /// The card cannot even be saved.
    DeclinesAtOnce,
    /// The card is saved; charges of it are declined, and may be tried again.
    DeclinesSoft,
    /// Like that, for want of money.
    InsufficientFunds,
    /// Charges are declined for good: it is stolen.
    DeclinesHard,
    /// It has expired.
    Expired,
    /// Every charge wants 3-D Secure.
    Authenticates,
    /// The charge is processing for [`PROCESSING_S`] and then succeeds.
    ProcessesThenSucceeds,
    /// The charge is processing for [`PROCESSING_S`] and then fails.
    ProcessesThenFails,
    /// The charge succeeds, its answer takes [`SLOW_S`].
    Slow,
    /// The charge succeeds, and the answer to the first question is lost.
    LosesAnswer,
    /// The charge succeeds, and its events are sent twice.
    TellsTwice,
    /// The charge succeeds, and is disputed at once.
    Disputed,
}

/// How long a processing charge takes, in seconds.
pub const PROCESSING_S: u64 = 5;

/// How long a slow answer takes, in seconds.
pub const SLOW_S: u64 = 10;

/// A test card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its number; passes the Luhn check.
    pub number: &'static str,
    /// Its brand.
    pub brand: &'static str,
    /// What it does.
    pub behaviour: Behaviour,
}

const fn card(number: &'static str, brand: &'static str, behaviour: Behaviour) -> Card {
    Card { number, brand, behaviour }
}

/// All of them.
pub const CARDS: &[Card] = &[
    card("4242424242424242", "visa", Behaviour::Succeeds),
    card("5555555555554444", "mastercard", Behaviour::Succeeds),
    card("4000000000000002", "visa", Behaviour::DeclinesAtOnce),
    card("4000000000000341", "visa", Behaviour::DeclinesSoft),
    card("4000000000009995", "visa", Behaviour::InsufficientFunds),
    card("4000000000009979", "visa", Behaviour::DeclinesHard),
    card("4000000000000069", "visa", Behaviour::Expired),
    card("4000002760003184", "visa", Behaviour::Authenticates),
    card("4000000000000259", "visa", Behaviour::Disputed),
    card("9999000000000012", "test", Behaviour::ProcessesThenSucceeds),
    card("9999000000000020", "test", Behaviour::ProcessesThenFails),
    card("9999000000000038", "test", Behaviour::Slow),
    card("9999000000000046", "test", Behaviour::LosesAnswer),
    card("9999000000000053", "test", Behaviour::TellsTwice),
];

/// The test card with a number, spaces between its digits allowed. Other numbers are nobody's business and are kept nowhere.
pub fn find(number: &str) -> Option<&'static Card> {
    let digits: String = number.chars().filter(|c| *c != ' ').collect();
    CARDS.iter().find(|card| card.number == digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn luhn(number: &str) -> u32 {
        let digits = number.bytes().rev().map(|byte| u32::from(byte - b'0'));
        let sum: u32 = digits
            .enumerate()
            .map(|(at, digit)| if at % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { digit })
            .sum();
        sum % 10
    }

    #[test]
    fn numbers_are_distinct_and_pass_the_check() {
        for card in CARDS {
            assert_eq!(luhn(card.number), 0, "{}", card.number);
            assert_eq!(card.number.len(), 16);
        }
        assert_eq!(CARDS.iter().map(|card| card.number).collect::<BTreeSet<_>>().len(), CARDS.len());
    }

    #[test]
    fn only_test_cards_are_found() {
        assert_eq!(find("4242 4242 4242 4242").map(|card| card.behaviour), Some(Behaviour::Succeeds));
        assert_eq!(find("4111111111111111"), None);
        assert_eq!(find(""), None);
    }
}
