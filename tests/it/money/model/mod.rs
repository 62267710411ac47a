//! What ought to become of money, by the rules in words and not by the code: wallets as heaps of credits, purchases as lists of facts, limits counted
//! anew from all that was ever bought.
//!
//! Parts: a wallet ([`wallet`]), a rule ([`rule`]) and a purchase ([`buy`]). What happens to them: [`purchases`], [`rules`]. And [`compare`] holds all of it
//! against the engine.

mod buy;
mod compare;
mod purchases;
mod rule;
mod rules;
mod wallet;

pub(super) use buy::{Buy, How, Quarrel};
pub(super) use rule::{Size, Spec, Window};

use drawdown::billing::{Money, MoneyCode};

use rule::Rule;
use wallet::{Lot, Wallet};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// How long a purchase is waited for.
pub(super) const PATIENCE: u64 = 5 * MINUTE;

/// Customer and currency of each wallet, in the order in which rules are evaluated.
pub(super) const WALLETS: [(&str, &str); 4] =
    [("ada", "credits"), ("ada", "euros"), ("bob", "credits"), ("cyd", "credits")];
/// The wallet whose credits stand for cents: a hundred units each.
pub(super) const EUROS: usize = 1;
pub(super) const UNITS_PER_CENT: i64 = 100;

/// Credits and cents of the packages.
pub(super) const PACKAGES: [(&str, i64, i64); 2] = [("starter", 1_000, 1_999), ("big", 5_250, 7_900)];
/// How long the credits of each package last, ms.
pub(super) const VALID_FOR: [Option<u64>; 2] = [Some(3 * DAY), None];

pub(super) fn euros(cents: i64) -> Money {
    Money::new(cents, MoneyCode::iso("EUR").expect("euros"))
}

/// A customer's card.
#[derive(Clone, Debug)]
pub(super) struct Card {
    pub(super) id: String,
    pub(super) customer: &'static str,
    pub(super) fingerprint: String,
    pub(super) is_default: bool,
    pub(super) is_gone: bool,
    at: u64,
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) now: u64,
    /// What was spent of credits whose money goes back is written off.
    writes_off: bool,
    wallets: Vec<Wallet>,
    rules: Vec<Option<Rule>>,
    pub(super) buys: Vec<Buy>,
    pub(super) cards: Vec<Card>,
}

impl Model {
    pub(super) fn new(now: u64, writes_off: bool) -> Self {
        let wallets = vec![Wallet::default(); WALLETS.len()];
        Model { now, writes_off, wallets, rules: vec![None; WALLETS.len()], buys: Vec::new(), cards: Vec::new() }
    }

    pub(super) fn balance(&self, wallet: usize) -> i64 {
        self.wallets[wallet].balance()
    }

    /// The balance without what is frozen.
    pub(super) fn usable(&self, wallet: usize) -> i64 {
        self.wallets[wallet].balance() - self.wallets[wallet].frozen()
    }

    pub(super) fn gift(&mut self, wallet: usize, units: i64) {
        let lot = Lot { buy: None, priority: 30, ends: None, cost: 0, granted: units, left: units, frozen: 0 };
        self.wallets[wallet].grant(lot);
    }

    /// Whether a debit is taken.
    pub(super) fn debit(&mut self, wallet: usize, units: i64, overdraws: bool) -> bool {
        let is_taken = overdraws || units <= self.usable(wallet);
        if is_taken {
            self.wallets[wallet].spend(units);
        }
        is_taken
    }

    /// Time has come to here: what has ended is gone, save for what is frozen. Answers how many credits went.
    pub(super) fn reach(&mut self, now: u64) -> i64 {
        self.now = now;
        let mut gone = 0;
        for wallet in &mut self.wallets {
            for lot in wallet.lots.iter_mut().filter(|lot| lot.ends.is_some_and(|end| end <= now)) {
                gone += std::mem::take(&mut lot.left);
            }
            wallet.sweep();
        }
        gone
    }
}
