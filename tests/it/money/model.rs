//! What ought to become of money, by the rules in words and not by the code: wallets as heaps of credits, purchases as lists of facts, limits counted
//! anew from all that was ever bought.

use std::collections::{BTreeMap, BTreeSet};

use drawdown::billing::auto::{Limit, Mode, Rule as SetRule};
use drawdown::billing::top_up::{Credit, Event, Outcome, Payment, Refund, RefundReport, RefundStatus};
use drawdown::billing::{Money, MoneyCode, Per};
use drawdown::engine::Engine;
use drawdown::engine::billing::TopUpView;
use drawdown::engine::catalog::CurrencyNumber;
use drawdown::ledger::{Amount, Timestamp, Trigger};

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

/// Some credits that were granted together.
#[derive(Clone, Debug)]
struct Lot {
    /// The purchase; none of a gift.
    buy: Option<usize>,
    priority: u8,
    /// The first instant at which it cannot be used.
    ends: Option<u64>,
    cost: i64,
    granted: i64,
    left: i64,
    /// Beside what is left: of a payment that is disputed.
    frozen: i64,
}

/// A wallet: credits in the order in which they are spent, and debt.
#[derive(Clone, Debug, Default)]
struct Wallet {
    lots: Vec<Lot>,
    debt: i64,
}

impl Wallet {
    fn balance(&self) -> i64 {
        self.lots.iter().map(|lot| lot.left + lot.frozen).sum::<i64>() - self.debt
    }

    fn frozen(&self) -> i64 {
        self.lots.iter().map(|lot| lot.frozen).sum()
    }

    fn lot_of(&mut self, buy: usize) -> Option<&mut Lot> {
        self.lots.iter_mut().find(|lot| lot.buy == Some(buy))
    }

    fn sweep(&mut self) {
        self.lots.retain(|lot| lot.left + lot.frozen > 0);
    }

    /// What is left of a purchase's credits cannot be used.
    fn freeze(&mut self, buy: usize) {
        if let Some(lot) = self.lot_of(buy) {
            lot.frozen += std::mem::take(&mut lot.left);
        }
    }

    /// It can be again, and pays what is owed before anything else.
    fn thaw(&mut self, buy: usize, now: u64) {
        let debt = self.debt;
        if let Some(lot) = self.lot_of(buy).filter(|lot| lot.frozen > 0) {
            let thawed = std::mem::take(&mut lot.frozen);
            // Its end may have come meanwhile.
            lot.left += if lot.ends.is_some_and(|end| end <= now) { 0 } else { thawed };
            let repaid = lot.left.min(debt);
            lot.left -= repaid;
            self.debt -= repaid;
            self.sweep();
        }
    }

    fn spend(&mut self, mut amount: i64) {
        for lot in &mut self.lots {
            let part = lot.left.min(amount);
            lot.left -= part;
            amount -= part;
        }
        self.sweep();
        self.debt += amount;
    }

    fn grant(&mut self, mut lot: Lot) {
        let repaid = lot.left.min(self.debt);
        self.debt -= repaid;
        lot.left -= repaid;
        let is_later = |other: &Lot| {
            let (one, two) =
                (i128::from(other.cost) * i128::from(lot.granted), i128::from(lot.cost) * i128::from(other.granted));
            let end = |lot: &Lot| lot.ends.unwrap_or(u64::MAX);
            (other.priority, end(other), one) > (lot.priority, end(&lot), two)
        };
        let place = self.lots.iter().position(is_later).unwrap_or(self.lots.len());
        if lot.left > 0 {
            self.lots.insert(place, lot);
        }
    }
}

/// How much a rule buys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// A package by its place in [`PACKAGES`], so often at least.
    Package(usize, u32),
    /// As many of a package as lead to a balance.
    Target(usize, i64),
    /// Multiples of so many cents, in the wallet whose credits are cents.
    Cents(i64),
    /// Exactly up to a balance, in that wallet.
    Exactly(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    Day,
    Week,
    Month,
}

impl Window {
    /// The number of the window that an instant is in.
    fn of(self, time: u64) -> u64 {
        let days = time / DAY;
        match self {
            Window::Day => days,
            // The epoch's day was a Thursday.
            Window::Week => (days + 3) / 7,
            Window::Month => month(days),
        }
    }
}

/// Months since the beginning of 1970, counted one by one.
fn month(mut days: u64) -> u64 {
    let mut months = 0;
    loop {
        let (year, month) = (1970 + months / 12, months % 12);
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            1 => 28 + u64::from(is_leap),
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        };
        if days < length {
            return months;
        }
        days -= length;
        months += 1;
    }
}

/// What was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) enabled: bool,
    pub(super) threshold: i64,
    pub(super) at_or_below: bool,
    pub(super) size: Size,
    pub(super) cooldown: u64,
    /// Window, count and cents.
    pub(super) limits: Vec<(Window, Option<u32>, Option<i64>)>,
    pub(super) card: Option<String>,
}

impl Spec {
    /// The lowest balance that is not low.
    fn rest(&self) -> i64 {
        self.threshold + i64::from(self.at_or_below)
    }

    /// Price in cents and credits in units of what is bought at a balance.
    pub(super) fn order(&self, balance: i64) -> (i64, i64) {
        let gap = |to: i64| (to - balance).max(1);
        let ceil = |gap: i64, portion: i64| (gap + portion - 1) / portion;
        match self.size {
            Size::Package(package, least) => {
                let (_, credits, cents) = PACKAGES[package];
                let count = ceil(gap(self.rest()), credits).max(least.into());
                (count * cents, count * credits)
            }
            Size::Target(package, target) => {
                let (_, credits, cents) = PACKAGES[package];
                let count = ceil(gap(target), credits);
                (count * cents, count * credits)
            }
            Size::Cents(cents) => {
                let count = ceil(gap(self.rest()), cents * UNITS_PER_CENT);
                (count * cents, count * cents * UNITS_PER_CENT)
            }
            Size::Exactly(target) => {
                let cents = ceil(gap(target), UNITS_PER_CENT);
                (cents, cents * UNITS_PER_CENT)
            }
        }
    }

    /// The same as the engine is told it.
    pub(super) fn rule(&self, wallet: usize) -> SetRule {
        let package = |package: usize| PACKAGES[package].0.to_owned();
        let mode = match self.size {
            Size::Package(number, quantity) => Mode::Package { package: package(number), quantity },
            Size::Target(number, target) => {
                Mode::Target { target: Amount::new(target), package: Some(package(number)) }
            }
            Size::Cents(cents) => Mode::Amount(euros(cents)),
            Size::Exactly(target) => Mode::Target { target: Amount::new(target), package: None },
        };
        let per = |window| match window {
            Window::Day => Per::Day,
            Window::Week => Per::Week,
            Window::Month => Per::Month,
        };
        let limit = |(window, count, most): &(Window, Option<u32>, Option<i64>)| Limit {
            per: per(*window),
            count: *count,
            amount: most.map(euros),
        };
        SetRule {
            customer: WALLETS[wallet].0.to_owned(),
            currency: CurrencyNumber(u16::from(wallet == EUROS)),
            enabled: self.enabled,
            threshold: Amount::new(self.threshold),
            trigger: if self.at_or_below { Trigger::AtOrBelow } else { Trigger::Below },
            mode,
            cooldown_ms: self.cooldown,
            limits: self.limits.iter().map(limit).collect(),
            method: self.card.clone(),
            priority: None,
            valid_for_ms: None,
        }
    }

    /// How long what it buys lasts.
    fn valid_for(&self) -> Option<u64> {
        match self.size {
            Size::Package(package, _) | Size::Target(package, _) => VALID_FOR[package],
            Size::Cents(_) | Size::Exactly(_) => None,
        }
    }

    /// What it buys when it is only just low.
    pub(super) fn least_price(&self) -> i64 {
        self.order(self.rest() - 1).0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halt {
    Suspended,
    Action,
}

/// A rule, and what has become of it.
#[derive(Clone, Debug)]
struct Rule {
    spec: Spec,
    is_live: bool,
    failures: u32,
    retry_at: u64,
    cooling_until: u64,
    halt: Option<Halt>,
    last_card: Option<String>,
}

impl Rule {
    fn recover(&mut self) {
        (self.failures, self.retry_at, self.halt) = (0, 0, None);
    }
}

/// How a purchase is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Card,
    Page,
    Invoice,
    Outside,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Created,
    Action,
    Processing,
    Failed,
    Expired,
    Canceled,
}

/// What the payer's bank says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quarrel {
    None,
    Open,
    Won,
    Lost,
}

/// A purchase.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; no two make a state")]
pub(super) struct Buy {
    /// The engine's id; empty as long as it is not known.
    pub(super) id: String,
    pub(super) wallet: usize,
    pub(super) auto: bool,
    pub(super) how: How,
    /// Its price; zero where the payer decides.
    pub(super) cents: i64,
    /// How long its credits last.
    pub(super) valid_for: Option<u64>,
    /// What the price buys.
    pub(super) credits: i64,
    pub(super) card: Option<String>,
    pub(super) at_once: bool,
    at: u64,
    expires_at: Option<u64>,
    stage: Stage,
    in_doubt: bool,
    /// The last decline said that trying again is no use.
    was_hard: bool,
    /// What came, by what it was told under.
    pub(super) payments: BTreeMap<String, i64>,
    pub(super) is_paid: bool,
    /// What had come when it was paid, and what was credited.
    pub(super) captured: i64,
    credited: i64,
    pub(super) is_credited: bool,
    pub(super) quarrel: Quarrel,
    refunds: BTreeMap<String, (i64, RefundReport)>,
    clawed: i64,
}

impl Buy {
    /// One that is made now.
    pub(super) fn new(wallet: usize, auto: bool, how: How, (cents, credits): (i64, i64), now: u64) -> Buy {
        Buy {
            id: String::new(),
            wallet,
            auto,
            how,
            cents,
            valid_for: None,
            credits,
            card: None,
            at_once: false,
            at: now,
            expires_at: (how != How::Invoice).then_some(now + PATIENCE),
            stage: Stage::Created,
            in_doubt: false,
            was_hard: false,
            payments: BTreeMap::new(),
            is_paid: false,
            captured: 0,
            credited: 0,
            is_credited: false,
            quarrel: Quarrel::None,
            refunds: BTreeMap::new(),
            clawed: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.is_paid && matches!(self.stage, Stage::Created | Stage::Action | Stage::Processing)
    }

    fn is_of_provider(&self) -> bool {
        matches!(self.how, How::Card | How::Page)
    }

    /// Money may have been taken without our knowing.
    fn may_be_charged(&self) -> bool {
        self.in_doubt || self.how == How::Card && self.stage == Stage::Created
    }

    pub(super) fn refunded(&self) -> i64 {
        let went = self.refunds.values().filter(|(_, report)| *report == RefundReport::Succeeded);
        if self.is_paid { went.map(|(cents, _)| cents).sum::<i64>().min(self.captured) } else { 0 }
    }

    /// What so much money buys of it.
    pub(super) fn worth(&self, cents: i64) -> i64 {
        if self.wallet == EUROS {
            cents * UNITS_PER_CENT
        } else if cents < self.cents {
            i64::try_from(i128::from(self.credits) * i128::from(cents) / i128::from(self.cents)).expect("a part")
        } else {
            self.credits
        }
    }

    /// Whether less came than was asked for, and was taken for the whole.
    pub(super) fn came_short(&self) -> bool {
        self.is_paid && self.captured < self.cents
    }

    /// What its invoice comes to.
    fn invoiced(&self) -> i64 {
        let stands = self.how == How::Invoice && self.stage != Stage::Canceled && self.captured >= self.cents;
        if stands { self.cents } else { self.captured }
    }

    pub(super) fn status(&self) -> &'static str {
        match (self.is_paid, self.stage) {
            (true, _) if self.refunded() == self.captured => "refunded",
            (true, _) if self.quarrel == Quarrel::Lost => "dispute_lost",
            (true, _) if self.quarrel == Quarrel::Open => "disputed",
            (true, _) if self.refunded() > 0 => "partially_refunded",
            (true, _) if self.quarrel == Quarrel::Won => "dispute_won",
            (true, _) => "completed",
            (_, Stage::Created) => "created",
            (_, Stage::Action) => "requires_action",
            (_, Stage::Processing) => "processing",
            (_, Stage::Failed) => "failed",
            (_, Stage::Expired) => "expired",
            (_, Stage::Canceled) => "canceled",
        }
    }

    pub(super) fn refund(&self, key: &str) -> Option<RefundReport> {
        self.refunds.get(key).map(|(_, report)| *report)
    }
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

    /// The newest purchase of that id.
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.buys.iter().rposition(|buy| buy.id == id)
    }

    /// Somebody buys.
    pub(super) fn buy(&mut self, buy: Buy) {
        let (at_once, wallet) = (buy.at_once, buy.wallet);
        self.buys.push(buy);
        if at_once {
            self.credit(self.buys.len() - 1);
        }
        // With these credits on their way its rule may buy less than a limit kept it from.
        self.evaluate(wallet);
    }

    fn credit(&mut self, number: usize) {
        let buy = &mut self.buys[number];
        let granted = buy.worth(if buy.at_once { buy.cents } else { buy.captured });
        if granted > 0 && !std::mem::replace(&mut buy.is_credited, true) {
            buy.credited = granted;
            let cost = if buy.at_once { 0 } else { buy.captured };
            let ends = buy.valid_for.map(|valid_for| self.now + valid_for);
            let lot = Lot { buy: Some(number), priority: 50, ends, cost, granted, left: granted, frozen: 0 };
            self.wallets[buy.wallet].grant(lot);
        }
    }

    /// Takes back what goes with the money that has gone back.
    fn claw_back(&mut self, number: usize) {
        let buy = &mut self.buys[number];
        let target = match (buy.is_credited, buy.is_paid, buy.stage) {
            (true, true, _) if buy.quarrel == Quarrel::Lost => buy.credited,
            (true, true, _) => {
                let share = i128::from(buy.credited) * i128::from(buy.refunded()) / i128::from(buy.captured);
                i64::try_from(share).expect("a part")
            }
            (true, false, Stage::Failed | Stage::Expired | Stage::Canceled) => buy.credited,
            _ => 0,
        };
        let amount = target - buy.clawed;
        if amount <= 0 {
            return;
        }
        buy.clawed = target;
        let wallet = &mut self.wallets[buy.wallet];
        let unspent = wallet.lot_of(number).map_or(0, |lot| {
            let of_frozen = lot.frozen.min(amount);
            let of_free = lot.left.min(amount - of_frozen);
            (lot.frozen, lot.left) = (lot.frozen - of_frozen, lot.left - of_free);
            of_frozen + of_free
        });
        wallet.sweep();
        if !self.writes_off {
            wallet.spend(amount - unspent);
        }
    }

    /// Something happens to a purchase. Answers whether it is taken.
    pub(super) fn event(&mut self, number: usize, event: &Event) -> bool {
        let before = self.buys[number].status();
        let was_paid = self.buys[number].is_paid;
        let is_taken = self.take(number, event);
        self.claw_back(number);
        let (wallet, is_disputed) = (self.buys[number].wallet, self.buys[number].status() == "disputed");
        if is_disputed {
            self.wallets[wallet].freeze(number);
        } else {
            let now = self.now;
            self.wallets[wallet].thaw(number, now);
        }
        let status = self.buys[number].status();
        let is_paid_now = self.buys[number].is_paid && !was_paid;
        if status != before || is_paid_now {
            self.tell_rule(number, is_paid_now);
        }
        if status != before {
            self.evaluate(self.buys[number].wallet);
        }
        is_taken
    }

    fn take(&mut self, number: usize, event: &Event) -> bool {
        let now = self.now;
        let buy = &mut self.buys[number];
        let (is_waiting, stage) = (buy.is_open(), buy.stage);
        match event {
            Event::Outcome(Outcome::Succeeded { reference, money, .. }) => {
                self.pay(number, reference, money.units, true);
            }
            Event::DisputeOpened | Event::DisputeWon | Event::DisputeLost => {
                let said = match event {
                    Event::DisputeOpened => Quarrel::Open,
                    Event::DisputeWon => Quarrel::Won,
                    _ => Quarrel::Lost,
                };
                // What comes late says nothing new, and what has ended has ended.
                if matches!((buy.quarrel, said), (Quarrel::None, _) | (Quarrel::Open, Quarrel::Won | Quarrel::Lost)) {
                    buy.quarrel = said;
                }
            }
            // What was given up may be paid all the same, until the bank says no.
            Event::Outcome(told) if !is_waiting => {
                if !buy.is_paid && buy.is_of_provider() {
                    buy.in_doubt = !matches!(told, Outcome::Declined { .. });
                }
            }
            Event::Outcome(Outcome::RequiresAction { .. }) => {
                buy.in_doubt = false;
                if stage == Stage::Created {
                    buy.stage = Stage::Action;
                    buy.expires_at = buy.expires_at.map(|at| at.max(now + PATIENCE));
                }
            }
            Event::Outcome(Outcome::Processing) => (buy.in_doubt, buy.stage) = (false, Stage::Processing),
            Event::Outcome(Outcome::Declined { hard, .. }) => {
                (buy.in_doubt, buy.was_hard) = (false, *hard);
                let tries_again = buy.how == How::Page && stage != Stage::Processing;
                buy.stage = if tries_again { Stage::Created } else { Stage::Failed };
            }
            Event::Outcome(Outcome::Unknown) => buy.in_doubt = true,
            Event::CheckoutOpened { .. } => {}
            Event::Refund { key, report, money } => {
                let known = buy.refunds.entry(key.clone()).or_insert((money.units, *report));
                match (known.1, report) {
                    // What was said before stands.
                    (RefundReport::Succeeded, _) | (RefundReport::Failed, RefundReport::Pending) => {}
                    (_, report) => known.1 = *report,
                }
            }
            Event::Cancel => {
                let is_free =
                    is_waiting && stage != Stage::Processing && !buy.may_be_charged() && buy.payments.is_empty();
                if !is_free {
                    return !buy.is_paid && stage == Stage::Canceled;
                }
                (buy.stage, buy.in_doubt) = (Stage::Canceled, buy.is_of_provider());
            }
            Event::Confirm { .. } if buy.is_of_provider() => return false,
            Event::Confirm { key, money, is_last } => {
                if buy.payments.get(key).is_some_and(|known| *known != money.units) {
                    return false;
                }
                self.pay(number, key, money.units, *is_last);
            }
            Event::AskRefund { key, money } => {
                let cents = money.expect("stories say how much").units;
                if let Some((known, _)) = buy.refunds.get(key) {
                    return *known == cents;
                }
                let going = buy.refunds.values().filter(|(_, report)| *report != RefundReport::Failed);
                let left = buy.captured - going.map(|(cents, _)| cents).sum::<i64>().min(buy.captured);
                if !buy.is_paid || matches!(buy.quarrel, Quarrel::Open | Quarrel::Lost) || left < cents {
                    return false;
                }
                let report = if buy.is_of_provider() { RefundReport::Pending } else { RefundReport::Succeeded };
                buy.refunds.insert(key.clone(), (cents, report));
            }
            other => unreachable!("no story tells {other:?}"),
        }
        true
    }

    /// Money has come, or is told of once more. All that has come by then is what the purchase is paid with, if it is enough or if no more will come.
    fn pay(&mut self, number: usize, key: &str, cents: i64, is_last: bool) {
        let buy = &mut self.buys[number];
        buy.in_doubt = false;
        buy.payments.entry(key.to_owned()).or_insert(cents);
        let came = buy.payments.values().sum();
        if !buy.is_paid && (is_last || came >= buy.cents) {
            (buy.is_paid, buy.captured) = (true, came);
            self.credit(number);
        }
    }

    /// The rule hears what became of a purchase.
    fn tell_rule(&mut self, number: usize, is_paid_now: bool) {
        let (now, buy) = (self.now, self.buys[number].clone());
        let is_refunded_before = buy.is_paid && !is_paid_now;
        let Some(rule) = self.rules[buy.wallet].as_mut() else { return };
        match (buy.auto, buy.stage) {
            _ if is_refunded_before => {}
            (true, _) if is_paid_now => {
                rule.recover();
                rule.cooling_until = now + rule.spec.cooldown;
            }
            (true, Stage::Failed) => {
                rule.failures += 1;
                if buy.was_hard || rule.failures >= 3 {
                    rule.halt = Some(Halt::Suspended);
                } else {
                    rule.halt = None;
                    rule.retry_at = now + (HOUR << (rule.failures - 1));
                }
            }
            (true, Stage::Expired | Stage::Canceled) if rule.halt.is_none() => rule.retry_at = now + HOUR,
            (true, Stage::Action) => rule.halt = Some(Halt::Action),
            (false, _) if is_paid_now && rule.is_live => rule.recover(),
            _ => {}
        }
    }
}

/// Rules, cards and time.
impl Model {
    /// Does what the rule on a wallet is to do now.
    pub(super) fn evaluate(&mut self, wallet: usize) {
        let Some(rule) = self.rules[wallet].as_ref().filter(|rule| rule.is_live && rule.spec.enabled) else { return };
        let of_wallet = || self.buys.iter().filter(|buy| buy.wallet == wallet);
        let under_way: i64 = of_wallet().filter(|buy| buy.is_open() && !buy.is_credited).map(|buy| buy.credits).sum();
        let expected = self.usable(wallet) + under_way;
        let is_kept = expected >= rule.spec.rest()
            || of_wallet().any(|buy| buy.auto && buy.is_open())
            || rule.halt.is_some()
            || self.now < rule.retry_at
            || self.now < rule.cooling_until;
        let Some(card) = self.card_of(wallet, &rule.spec).filter(|_| !is_kept) else { return };
        let (cents, credits) = rule.spec.order(expected);
        let keeps = |(window, count, most): &(Window, Option<u32>, Option<i64>)| {
            let is_within = |buy: &&Buy| window.of(buy.at) == window.of(self.now);
            let counted = || of_wallet().filter(|buy| buy.auto && (buy.is_paid || buy.is_open())).filter(is_within);
            count.is_none_or(|count| (counted().count() as u32) < count)
                && most.is_none_or(|most| counted().map(|buy| buy.cents).sum::<i64>() + cents <= most)
        };
        if !rule.spec.limits.iter().all(keeps) {
            return;
        }
        let (id, fingerprint) = (card.id.clone(), card.fingerprint.clone());
        let valid_for = rule.spec.valid_for();
        let buy = Buy { card: Some(id), valid_for, ..Buy::new(wallet, true, How::Card, (cents, credits), self.now) };
        self.buys.push(buy);
        self.rules[wallet].as_mut().expect("it was looked at").last_card = Some(fingerprint);
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

    pub(super) fn evaluate_all(&mut self) {
        (0..WALLETS.len()).for_each(|wallet| self.evaluate(wallet));
    }

    fn card_of(&self, wallet: usize, spec: &Spec) -> Option<&Card> {
        let usable = self.cards_of(WALLETS[wallet].0);
        match &spec.card {
            Some(id) => usable.into_iter().find(|card| card.id == *id),
            None => usable.into_iter().max_by_key(|card| (card.is_default, card.at, &card.id)),
        }
    }

    /// A customer's cards that can be charged.
    pub(super) fn cards_of(&self, customer: &str) -> Vec<&Card> {
        self.cards.iter().filter(|card| card.customer == customer && !card.is_gone).collect()
    }

    /// The card that a customer is charged with where none is named.
    pub(super) fn usual_card(&self, customer: &str) -> Option<String> {
        let usual = self.cards_of(customer).into_iter().max_by_key(|card| (card.is_default, card.at, &card.id));
        usual.map(|card| card.id.clone())
    }

    pub(super) fn set_rule(&mut self, wallet: usize, spec: Spec) {
        let new = Rule {
            spec: spec.clone(),
            is_live: true,
            failures: 0,
            retry_at: 0,
            cooling_until: 0,
            halt: None,
            last_card: None,
        };
        let rule = self.rules[wallet].get_or_insert(new);
        (rule.spec, rule.is_live) = (spec, true);
        self.evaluate(wallet);
    }

    pub(super) fn rule(&self, wallet: usize) -> Option<&Spec> {
        self.rules[wallet].as_ref().filter(|rule| rule.is_live).map(|rule| &rule.spec)
    }

    pub(super) fn delete_rule(&mut self, wallet: usize) {
        if let Some(rule) = &mut self.rules[wallet] {
            rule.is_live = false;
        }
    }

    pub(super) fn resume_rule(&mut self, wallet: usize) {
        if let Some(rule) = &mut self.rules[wallet] {
            rule.recover();
        }
        self.evaluate(wallet);
    }

    pub(super) fn add_card(&mut self, id: &str, customer: &'static str, fingerprint: &str, is_default: bool) {
        let is_default = is_default || self.cards_of(customer).is_empty();
        if is_default {
            self.cards.iter_mut().filter(|card| card.customer == customer).for_each(|card| card.is_default = false);
        }
        let (id, fingerprint, at) = (id.to_owned(), fingerprint.to_owned(), self.now);
        self.cards.push(Card { id, customer, fingerprint: fingerprint.clone(), is_default, is_gone: false, at });
        self.lift(customer, &fingerprint);
    }

    pub(super) fn make_default(&mut self, id: &str) {
        let card = self.cards.iter().find(|card| card.id == id).expect("a known card").clone();
        if !card.is_default {
            for other in self.cards.iter_mut().filter(|other| other.customer == card.customer) {
                other.is_default = other.id == id;
            }
            self.lift(card.customer, &card.fingerprint);
        }
    }

    pub(super) fn detach(&mut self, id: &str) {
        let card = self.cards.iter_mut().find(|card| card.id == id).expect("a known card");
        (card.is_gone, card.is_default) = (true, false);
    }

    /// Another card than the one that was charged last ends what its declines have begun.
    fn lift(&mut self, customer: &str, fingerprint: &str) {
        for (wallet, (owner, _)) in WALLETS.iter().enumerate() {
            if *owner != customer {
                continue;
            }
            if let Some(rule) = self.rules[wallet].as_mut()
                && rule.last_card.as_deref() != Some(fingerprint)
            {
                rule.recover();
            }
            self.evaluate(wallet);
        }
    }

    /// Purchases whose time is over, in the order in which they are given up.
    pub(super) fn due(&self, concerns: impl Fn(&Buy) -> bool) -> Vec<usize> {
        let is_due = |buy: &Buy| {
            let waits = buy.is_open() && buy.stage != Stage::Processing;
            waits && buy.expires_at.is_some_and(|at| at <= self.now) && concerns(buy)
        };
        let mut due: Vec<_> = (0..self.buys.len()).filter(|number| is_due(&self.buys[*number])).collect();
        due.sort_by_key(|number| (self.buys[*number].expires_at, self.buys[*number].id.clone()));
        due
    }

    pub(super) fn expire(&mut self, number: usize) {
        let buy = &mut self.buys[number];
        if !buy.may_be_charged() {
            (buy.stage, buy.in_doubt) = (Stage::Expired, buy.is_of_provider());
            self.tell_rule(number, false);
        }
        self.evaluate(self.buys[number].wallet);
    }
}

/// Held against the engine.
impl Model {
    /// Gives ids to what the engine has bought, by wallet.
    pub(super) fn adopt(&mut self, views: &[TopUpView]) -> Result<(), String> {
        for view in views.iter().rev() {
            let top_up = &view.top_up;
            if self.find(&top_up.id).is_some() {
                continue;
            }
            let is_it = |buy: &&mut Buy| {
                buy.id.is_empty() && WALLETS[buy.wallet] == (top_up.customer.as_str(), view.currency.id.as_str())
            };
            match self.buys.iter_mut().find(is_it) {
                Some(buy) => buy.id.clone_from(&top_up.id),
                None => return Err(format!("{} should not have been bought: {top_up:?}", top_up.id)),
            }
        }
        match self.buys.iter().find(|buy| buy.id.is_empty()) {
            Some(buy) => Err(format!("it should have been bought: {buy:?}")),
            None => Ok(()),
        }
    }

    /// The first thing that the engine has otherwise.
    pub(super) fn differs(&self, engine: &Engine, views: &[TopUpView]) -> Result<(), String> {
        if views.len() != self.buys.len() {
            return Err(format!("{} purchases, and the engine has {}", self.buys.len(), views.len()));
        }
        for view in views {
            let (top_up, buy) = (&view.top_up, &self.buys[self.find(&view.top_up.id).ok_or("an unknown purchase")?]);
            let credited = match top_up.credit {
                Credit::Granted { amount, .. } => Some(amount.units()),
                Credit::None => None,
                Credit::Due(_) | Credit::Refused(_) => return Err(format!("not credited: {top_up:?}")),
            };
            let price = top_up.purchase.price.map_or(0, |price| price.units);
            let facts = (top_up.in_doubt, top_up.expires_at.map(Timestamp::millis), top_up.created_at.millis());
            let theirs =
                (top_up.status().as_str(), credited, top_up.clawed_back.units(), top_up.refunded().units, facts);
            let facts = (buy.in_doubt, buy.expires_at, buy.at);
            let ours = (buy.status(), buy.is_credited.then_some(buy.credited), buy.clawed, buy.refunded(), facts);
            if theirs != ours || price != buy.cents || top_up.clawed_back != top_up.to_claw_back {
                return Err(format!("{} should be {ours:?} and is {theirs:?}: {buy:?}, {top_up:?}", buy.id));
            }
            if buy.auto && top_up.method != buy.card {
                return Err(format!("{} should charge {:?} and charges {:?}", buy.id, buy.card, top_up.method));
            }
            let payment = |payment: &Payment| (payment.key.clone(), payment.money.units);
            let payments: BTreeMap<_, _> = top_up.payments.iter().map(payment).collect();
            if payments != buy.payments {
                return Err(format!("{} should have {:?} and has {payments:?}", buy.id, buy.payments));
            }
            if buy.is_paid {
                let number = view.invoice.ok_or_else(|| format!("{} has no invoice", buy.id))?;
                let invoice = engine.invoice(number).map_err(|error| error.to_string())?;
                let noted = invoice.notes.iter().map(|note| note.money.units).sum::<i64>();
                let is_noted = buy.captured != buy.invoiced() || noted == buy.refunded();
                if invoice.total != euros(buy.invoiced()) || invoice.due() != euros(0) || !is_noted {
                    return Err(format!("the invoice of {buy:?} is {invoice:?}"));
                }
            }
            let status = |refund: &Refund| match refund.status {
                RefundStatus::Pending => RefundReport::Pending,
                RefundStatus::Succeeded => RefundReport::Succeeded,
                RefundStatus::Failed => RefundReport::Failed,
            };
            let refund = |refund: &Refund| (refund.key.clone(), (refund.money.units, status(refund)));
            let refunds: BTreeMap<_, _> = top_up.refunds.iter().map(refund).collect();
            if refunds != buy.refunds {
                return Err(format!("{} should have refunds {:?} and has {refunds:?}", buy.id, buy.refunds));
            }
        }
        for (wallet, (customer, currency)) in WALLETS.iter().enumerate() {
            let theirs = engine.wallet(customer, currency).map_or((0, 0), |view| {
                let used = view.balance.units() - view.available.units();
                (view.balance.units(), used)
            });
            let ours = (self.balance(wallet), self.wallets[wallet].frozen());
            if theirs != ours {
                return Err(format!("{customer}'s {currency}, and what is frozen of them: {ours:?}, not {theirs:?}"));
            }
            let theirs = engine.rule(customer, currency).ok();
            let rule = self.rules[wallet].as_ref().filter(|rule| rule.is_live);
            let ahead = |time: Option<Timestamp>| time.map_or(0, Timestamp::millis);
            let theirs = theirs.map(|view| {
                let state = view.record.state;
                let times = (ahead(state.retry_at), ahead(state.cooling_until), state.failures);
                (view.record.rule, view.status.as_str(), state.in_flight.map(|attempt| attempt.top_up), times)
            });
            let ours = rule.map(|rule| {
                let times = (rule.retry_at, rule.cooling_until, rule.failures);
                (rule.spec.rule(wallet), self.rule_status(wallet, rule), self.in_flight(wallet), times)
            });
            if theirs != ours {
                return Err(format!("{customer}'s rule should be {ours:?} and is {theirs:?}: {rule:?}"));
            }
        }
        for customer in ["ada", "bob", "cyd"] {
            let theirs = engine.payment_methods(customer);
            let theirs: BTreeSet<_> =
                theirs.iter().map(|card| (card.id.clone(), card.is_default, card.detached)).collect();
            let of_customer = self.cards.iter().filter(|card| card.customer == customer);
            let ours: BTreeSet<_> = of_customer.map(|card| (card.id.clone(), card.is_default, card.is_gone)).collect();
            if theirs != ours {
                return Err(format!("{customer}'s cards should be {ours:?} and are {theirs:?}"));
            }
        }
        Ok(())
    }

    fn in_flight(&self, wallet: usize) -> Option<String> {
        let is_it = |buy: &&Buy| buy.wallet == wallet && buy.auto && buy.is_open();
        self.buys.iter().find(is_it).map(|buy| buy.id.clone())
    }

    fn rule_status(&self, wallet: usize, rule: &Rule) -> &'static str {
        match rule.halt {
            _ if !rule.spec.enabled => "disabled",
            Some(Halt::Suspended) => "suspended",
            Some(Halt::Action) => "requires_action",
            None if self.in_flight(wallet).is_some() => "in_flight",
            None if self.now < rule.cooling_until || self.now < rule.retry_at => "cooling",
            None => "armed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_weeks_are_those_of_the_calendar() {
        for (days, months) in [(0, 0), (30, 0), (31, 1), (58, 1), (59, 2), (789, 25), (20_783, 682)] {
            assert_eq!(month(days), months, "{days} days");
        }
        // 26 November 2026, a Thursday; the Monday before and the one behind.
        let day = |days: u64| Window::Week.of(days * DAY);
        assert_eq!((day(20_783), day(20_780), day(20_786), day(20_787)), (2_969, 2_969, 2_969, 2_970));
    }
}
