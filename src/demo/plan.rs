//! The part of the demo that is made up: who pays for which row, at what rates, and with how much credit.
//!
//! The trace has no customers, so each row is given to one by a fixed function of its number, skewed as usage is: of 300 wallets the first
//! pays for some six rows in a hundred, the last for one in six hundred. Credit is measured out against what each wallet will need, so
//! that all of it happens on the way: some keep plenty, some cross an alert level, some run dry and see usage rejected, and some buy more by
//! themselves. The cards that are charged are the simulated provider's: one forgets to answer, one tells everything twice, one is declined.

use super::credits::CREDIT;
use super::trace::Row;

/// The currency's id.
pub(super) const CURRENCY: &str = "credits";

/// What is measured, and what a unit of it costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter {
    /// CloudEvents `type`.
    pub(super) event_type: &'static str,
    /// Name for people.
    pub(super) name: &'static str,
    /// Credits a token, as the server is told.
    pub(super) rate: &'static str,
    /// The same in units, for measuring out credit.
    rate_units: u64,
}

/// Context tokens, and generated tokens.
pub(super) const METERS: [Meter; 2] = [
    Meter { event_type: "llm.context_tokens", name: "context", rate: "0.0005", rate_units: 5 },
    Meter { event_type: "llm.generated_tokens", name: "generated", rate: "0.0015", rate_units: 15 },
];

/// Credit given, in percent of what will be needed; wallets take their turns.
const FUNDING_PERCENT: [i64; 5] = [150, 120, 105, 85, 45];

/// Wallets that are funded so buy by themselves, and how many of them do at the most.
const BUYS_AT_PERCENT: i64 = 45;
const BUYERS_MAX: usize = 60;

/// The wallet whose card is declined. It has too little credit, too.
const DECLINED: usize = 3;

/// What is sold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Package {
    pub(super) id: &'static str,
    /// Credits, and credits on top, as the server is told.
    pub(super) credits: &'static str,
    pub(super) bonus: &'static str,
    /// Both, in units.
    pub(super) units: i64,
    /// What it costs, as the server is told, and in minor units.
    pub(super) price: &'static str,
    pub(super) price_minor: i64,
}

/// The one package.
pub(super) const PACKAGE: Package =
    Package { id: "refill", credits: "25", bonus: "2.5", units: 275_000, price: "4.99", price_minor: 499 };

/// A card of the simulated provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Card {
    /// It pays.
    Pays,
    /// It pays, and the provider tells everything twice.
    TellsTwice,
    /// It pays, and the first answer to each charge is lost.
    LosesAnswer,
    /// It can be saved, and is declined whenever it is charged.
    Declined,
}

impl Card {
    /// What is entered on the provider's page.
    pub(super) const fn form(self) -> &'static str {
        match self {
            Card::Pays => "number=4242424242424242&expiry=12%2F35&cvc=123",
            Card::TellsTwice => "number=9999000000000053&expiry=12%2F35&cvc=123",
            Card::LosesAnswer => "number=9999000000000046&expiry=12%2F35&cvc=123",
            Card::Declined => "number=4000000000000341&expiry=12%2F35&cvc=123",
        }
    }

    pub(super) fn pays(self) -> bool {
        self != Card::Declined
    }
}

/// The demo as it will run.
#[derive(Debug)]
pub(super) struct Plan {
    /// The rows to replay.
    pub(super) rows: Vec<Row>,
    /// The wallets.
    pub(super) wallets: Vec<Wallet>,
}

/// One customer's wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wallet {
    /// Its owner.
    pub(super) customer: String,
    /// Promotional credit, in units; it expires.
    pub(super) promotional: i64,
    /// Paid credit, in units.
    pub(super) paid: i64,
    /// Whether the paid credit expires too, as that of some packages does.
    pub(super) paid_expires: bool,
    /// The card that is charged when it is low, if it buys by itself.
    pub(super) card: Option<Card>,
}

impl Wallet {
    /// What it is given at the start.
    pub(super) fn granted(&self) -> i64 {
        self.promotional + self.paid
    }

    /// Where it is low: a fifth of that.
    pub(super) fn low(&self) -> i64 {
        self.granted() / 5
    }
}

/// A usage event: one meter of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// The row's number.
    pub(super) row: usize,
    /// Index into [`METERS`].
    pub(super) meter: usize,
    /// Index of the wallet that pays.
    pub(super) wallet: usize,
    /// Tokens.
    pub(super) quantity: u64,
}

impl Plan {
    pub(super) fn new(rows: Vec<Row>, wallets: usize) -> Plan {
        let mut needed = vec![0; wallets];
        for (number, row) in rows.iter().enumerate() {
            let units = row.context * METERS[0].rate_units + row.generated * METERS[1].rate_units;
            needed[payer(number, wallets)] += i64::try_from(units).expect("tokens of a request are few");
        }
        Plan { rows, wallets: needed.into_iter().enumerate().map(|(index, needed)| fund(index, needed)).collect() }
    }

    /// The two events of a row.
    pub(super) fn events(&self, number: usize) -> [Event; 2] {
        let (row, wallet) = (&self.rows[number], payer(number, self.wallets.len()));
        let event = |meter, quantity| Event { row: number, meter, wallet, quantity };
        [event(0, row.context), event(1, row.generated)]
    }
}

/// Which of so many wallets pays for a row.
pub(super) fn payer(row: usize, wallets: usize) -> usize {
    // SplitMix64's finisher: even rows of neighbours are far apart.
    let mut hash = (row as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    // The square of a fraction of 2^32 is evenly skewed towards zero.
    let fraction = (hash ^ (hash >> 31)) >> 32;
    let skewed = (fraction * fraction) >> 32;
    ((skewed * wallets as u64) >> 32) as usize
}

fn fund(index: usize, needed: i64) -> Wallet {
    let percent = FUNDING_PERCENT[index % FUNDING_PERCENT.len()];
    let granted = (needed * percent / 100).max(CREDIT);
    let promotional = granted / 4;
    Wallet {
        customer: format!("cus_{:03}", index + 1),
        promotional,
        paid: granted - promotional,
        paid_expires: index.is_multiple_of(3),
        card: card(index, percent),
    }
}

fn card(index: usize, percent: i64) -> Option<Card> {
    const TURNS: [Card; 3] = [Card::Pays, Card::TellsTwice, Card::LosesAnswer];
    let turn = index / FUNDING_PERCENT.len();
    let buys = percent == BUYS_AT_PERCENT && turn < BUYERS_MAX;
    (index == DECLINED).then_some(Card::Declined).or(buys.then(|| TURNS[turn % TURNS.len()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::trace;

    #[test]
    fn every_wallet_pays_and_the_first_pays_most() {
        let mut rows = vec![0; 300];
        for row in 0..8819 {
            rows[payer(row, 300)] += 1;
        }
        assert!(rows.iter().all(|&count| count > 0));
        assert_eq!(rows.iter().max(), Some(&rows[0]));
        assert!((440..600).contains(&rows[0]), "{}", rows[0]);
        assert_eq!(payer(17, 1), 0);
    }

    #[test]
    fn credit_is_measured_out_against_need() {
        let plan = Plan::new(trace::rows(None, None), 10);
        let granted: i64 = plan.wallets.iter().map(Wallet::granted).sum();
        assert!(plan.wallets.iter().all(|wallet| wallet.promotional > 0 && wallet.paid > 0));
        assert!((60_000_000..160_000_000).contains(&granted), "{granted}");
        let [context, generated] = plan.events(0);
        assert_eq!((context.quantity, generated.quantity), (4808, 10));
        assert_eq!(context.wallet, generated.wallet);
        let cards: Vec<_> = plan.wallets.iter().map(|wallet| wallet.card).collect();
        let none = None;
        assert_eq!(
            cards,
            [none, none, none, Some(Card::Declined), Some(Card::Pays), none, none, none, none, Some(Card::TellsTwice)]
        );
    }

    #[test]
    fn the_package_is_the_same_in_both_forms() {
        use crate::demo::{credits, money};
        assert_eq!(
            credits::units(PACKAGE.credits).zip(credits::units(PACKAGE.bonus)).map(|(one, other)| one + other),
            Some(PACKAGE.units)
        );
        assert_eq!(money::minor(PACKAGE.price), Some(PACKAGE.price_minor));
    }
}
