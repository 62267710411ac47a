//! What happens to purchases.

use drawdown::billing::top_up::{Event, Outcome, RefundReport};

use super::buy::Stage;
use super::rule::Halt;
use super::wallet::Lot;
use super::{Buy, HOUR, How, Model, PATIENCE, Quarrel};

impl Model {
    /// The newest purchase of that id.
    pub(in crate::money) fn find(&self, id: &str) -> Option<usize> {
        self.buys.iter().rposition(|buy| buy.id == id)
    }

    /// Somebody buys.
    pub(in crate::money) fn buy(&mut self, buy: Buy) {
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
    pub(in crate::money) fn event(&mut self, number: usize, event: &Event) -> bool {
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

    /// Purchases whose time is over, in the order in which they are given up.
    pub(in crate::money) fn due(&self, concerns: impl Fn(&Buy) -> bool) -> Vec<usize> {
        let is_due = |buy: &Buy| {
            let waits = buy.is_open() && buy.stage != Stage::Processing;
            waits && buy.expires_at.is_some_and(|at| at <= self.now) && concerns(buy)
        };
        let mut due: Vec<_> = (0..self.buys.len()).filter(|number| is_due(&self.buys[*number])).collect();
        due.sort_by_key(|number| (self.buys[*number].expires_at, self.buys[*number].id.clone()));
        due
    }

    pub(in crate::money) fn expire(&mut self, number: usize) {
        let buy = &mut self.buys[number];
        if !buy.may_be_charged() {
            (buy.stage, buy.in_doubt) = (Stage::Expired, buy.is_of_provider());
            self.tell_rule(number, false);
        }
        self.evaluate(self.buys[number].wallet);
    }
}
