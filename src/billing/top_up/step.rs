//! One event, one step.

use super::super::money::Money;
use super::effect::{Command, CreditOrder, Effect, News, Oddity, Step};
use super::event::{Event, Outcome, RefundReport, Refusal};
use super::{Collection, Credit, Dispute, Failure, Goods, Kind, Payment, Refund, RefundStatus, Status, TopUp};
use crate::ledger::{Amount, Timestamp};

impl TopUp {
    /// What an event comes to. An event that tells nothing new gives the same top-up again, and nothing to do.
    pub fn apply(&self, event: &Event, now: Timestamp) -> Result<Step, Refusal> {
        let mut draft = Draft { top_up: self.clone(), effects: Vec::new(), oddity: None, now };
        draft.take(event)?;
        Ok(draft.settle(self))
    }

    /// The credits that the price comes to, or that `received` does if less was paid.
    fn credits_for(&self, received: Money) -> Option<Amount> {
        #[cfg(drawdown_planted)]
        if let Goods::Fixed(credits) = self.purchase.goods
            && drawdown_wal::planted::is_planted(drawdown_wal::planted::Bug::CreditsPartsAsWhole)
        {
            return Some(credits);
        }
        match (self.purchase.goods, self.purchase.price) {
            (Goods::Worth(worth), _) => worth.credits(received),
            (Goods::Fixed(credits), Some(price)) if received.units < price.units => {
                Some(share(credits, received.units, price.units))
            }
            (Goods::Fixed(credits), _) => Some(credits),
        }
    }

    /// What is to be granted, `amount` being owed.
    pub(super) fn credit_order(&self, amount: Amount) -> CreditOrder {
        let purchase = &self.purchase;
        let (source, priority, valid_for_ms) = (purchase.source, purchase.priority, purchase.valid_for_ms);
        CreditOrder { amount, source, priority, valid_for_ms, cost: self.captured }
    }

    /// How many credits are to be taken back by now.
    fn claw_back_target(&self) -> Amount {
        let credited = match self.credit {
            Credit::Due(amount) | Credit::Granted { amount, .. } => amount,
            Credit::None | Credit::Refused(_) => return Amount::ZERO,
        };
        match self.captured {
            Some(_) if self.dispute == Dispute::Lost => credited,
            Some(captured) => share(credited, self.refunded().units, captured.units),
            None if self.progress.is_open() => Amount::ZERO,
            // They came before the money, which does not come any more.
            None => credited,
        }
    }
}

/// `part / whole` of the credits, rounded down; all of them for all.
fn share(credits: Amount, part: i64, whole: i64) -> Amount {
    let units = i128::from(credits.units()) * i128::from(part) / i128::from(whole);
    Amount::new(i64::try_from(units).expect("a part is no more than the whole"))
}

struct Draft {
    top_up: TopUp,
    effects: Vec<Effect>,
    oddity: Option<Oddity>,
    now: Timestamp,
}

impl Draft {
    fn take(&mut self, event: &Event) -> Result<(), Refusal> {
        match event {
            Event::Outcome(outcome) => self.outcome(outcome),
            Event::CheckoutOpened { url } => self.show_page(Some(url)),
            Event::CheckoutClosed => self.page_closed(),
            Event::Refund { key, money, report } => self.refund_reported(key, *money, *report),
            Event::DisputeOpened => self.disputed(Dispute::Open),
            Event::DisputeWon => self.disputed(Dispute::Won),
            Event::DisputeLost => self.disputed(Dispute::Lost),
            Event::Expire => self.expire(),
            Event::Cancel => return self.cancel(),
            Event::Confirm { key, money, is_last } => return self.confirm(key, *money, *is_last),
            Event::AskRefund { key, money } => return self.ask_refund(key, *money),
            Event::Credited { grant } => match self.top_up.credit {
                Credit::Due(amount) | Credit::Refused(amount) => {
                    self.top_up.credit = Credit::Granted { grant: *grant, amount };
                }
                Credit::Granted { grant: known, .. } if known == *grant => {}
                Credit::Granted { .. } | Credit::None => self.oddity = Some(Oddity::Contradiction),
            },
            Event::CreditRefused => {
                if let Credit::Due(amount) = self.top_up.credit {
                    self.top_up.credit = Credit::Refused(amount);
                }
            }
            Event::ClawedBack { total } => {
                let total = (*total).min(self.top_up.to_claw_back);
                self.top_up.clawed_back = self.top_up.clawed_back.max(total);
            }
            Event::Frozen(frozen) => self.top_up.frozen = *frozen,
        }
        Ok(())
    }

    fn outcome(&mut self, outcome: &Outcome) {
        let progress = self.top_up.progress;
        let is_waiting = self.top_up.captured.is_none() && progress.is_open();
        match outcome {
            Outcome::Succeeded { reference, money, method } => {
                if self.top_up.method.is_none() {
                    self.top_up.method.clone_from(method);
                }
                // A provider's success is the whole of it, save for deposits, which come as they come.
                let is_last = self.top_up.kind != Kind::Deposit;
                self.pay(reference, *money, is_last);
            }
            _ if !is_waiting => self.told_late(outcome),
            Outcome::RequiresAction { url } => {
                self.top_up.in_doubt = false;
                if progress != Status::Processing {
                    self.show_page(url.as_ref());
                    if progress == Status::Created {
                        self.top_up.progress = Status::RequiresAction;
                        self.give_time();
                    }
                }
            }
            Outcome::Processing => {
                self.top_up.in_doubt = false;
                self.top_up.progress = Status::Processing;
            }
            Outcome::Declined { code, hard } => {
                let top_up = &mut self.top_up;
                top_up.in_doubt = false;
                top_up.declines = top_up.declines.saturating_add(1);
                top_up.failure = Some(Failure { code: code.clone(), is_hard: *hard });
                // On a page another card can be tried, unless the payment was already under way.
                let may_try_again = top_up.collection == Collection::Checkout && progress != Status::Processing;
                top_up.progress = if may_try_again { Status::Created } else { Status::Failed };
            }
            Outcome::Unknown => {
                self.top_up.in_doubt = true;
                self.effects.push(Effect::Provider(Command::Lookup));
            }
        }
    }

    /// One that was given up may be paid all the same, as long as the provider does not say no.
    fn told_late(&mut self, outcome: &Outcome) {
        if self.top_up.captured.is_none() && self.top_up.has_provider() {
            self.top_up.in_doubt = !matches!(outcome, Outcome::Declined { .. });
        }
    }

    /// The customer gets as much time for what it has to do as it had for paying.
    fn give_time(&mut self) {
        let top_up = &mut self.top_up;
        if let Some(expires_at) = top_up.expires_at {
            let patience = expires_at.millis().saturating_sub(top_up.created_at.millis());
            top_up.expires_at = Some(self.now.saturating_add(patience).max(expires_at));
        }
    }

    fn show_page(&mut self, url: Option<&String>) {
        if let Some(url) = url.filter(|_| self.top_up.status().is_open()) {
            self.top_up.checkout_url = Some(url.clone());
        }
    }

    fn page_closed(&mut self) {
        let top_up = &mut self.top_up;
        let is_waiting = matches!(top_up.progress, Status::Created | Status::RequiresAction) && !top_up.in_doubt;
        if is_waiting && top_up.collection == Collection::Checkout {
            top_up.progress = Status::Expired;
        } else if !top_up.progress.is_open() {
            top_up.in_doubt = false;
        }
    }

    /// A payment has arrived, or is told of once more.
    fn pay(&mut self, key: &str, money: Money, is_last: bool) {
        let top_up = &mut self.top_up;
        if let Some(known) = top_up.payments.iter().find(|payment| payment.key == key) {
            if known.money != money {
                self.oddity = Some(Oddity::OtherAmount);
                return;
            }
            #[cfg(drawdown_planted)]
            if top_up.progress == Status::Expired
                && drawdown_wal::planted::is_planted(drawdown_wal::planted::Bug::CreditsLateMoneyTwice)
            {
                (top_up.captured, top_up.credit) = (None, Credit::None);
            }
        } else {
            let before = top_up.received().map_or(0, |received| received.units);
            let total = before.checked_add(money.units).map(|units| Money { units, ..money });
            let is_sound = money.units > 0
                && money.code == top_up.code()
                && total
                    .and_then(|total| top_up.credits_for(total))
                    .is_some_and(|amount| amount <= Amount::MAX_BALANCE);
            if !is_sound {
                self.oddity = Some(Oddity::StrangeMoney);
                return;
            }
            top_up.payments.push(Payment { key: key.to_owned(), money, at: self.now });
            if top_up.captured.is_some() {
                self.oddity = Some(Oddity::Surplus);
            }
        }
        top_up.in_doubt = false;
        let received = top_up.received().expect("at least this payment");
        let is_enough = top_up.purchase.price.is_none_or(|price| received.units >= price.units);
        if top_up.captured.is_none() && (is_enough || is_last) {
            self.capture(received);
        }
    }

    /// The money is there: the credits follow it in this very step.
    fn capture(&mut self, received: Money) {
        let was_void = self.top_up.progress == Status::Canceled;
        let top_up = &mut self.top_up;
        top_up.captured = Some(received);
        top_up.completed_at = Some(self.now);
        if top_up.credit == Credit::None {
            let amount = top_up.credits_for(received).unwrap_or(Amount::ZERO);
            if amount > Amount::ZERO {
                top_up.credit = Credit::Due(amount);
                let order = self.top_up.credit_order(amount);
                self.effects.push(Effect::Credit(order));
            }
        } else if top_up.to_claw_back > Amount::ZERO {
            self.oddity = Some(Oddity::PaidAfterVoid);
        }
        let is_invoiced = self.top_up.collection == Collection::Invoice && !was_void;
        self.effects.push(if is_invoiced { Effect::InvoicePaid } else { Effect::IssueInvoice { paid: true } });
    }

    fn refund_reported(&mut self, key: &str, money: Money, report: RefundReport) {
        if money.units <= 0 || money.code != self.top_up.code() {
            self.oddity = Some(Oddity::StrangeMoney);
            return;
        }
        let status = match report {
            RefundReport::Pending => RefundStatus::Pending,
            RefundReport::Succeeded => RefundStatus::Succeeded,
            RefundReport::Failed => RefundStatus::Failed,
        };
        match self.top_up.refunds.iter_mut().find(|refund| refund.key == key) {
            None => self.top_up.refunds.push(Refund { key: key.to_owned(), money, status, at: self.now }),
            Some(known) => {
                if known.money != money {
                    self.oddity = Some(Oddity::OtherAmount);
                }
                match (known.status, status) {
                    (RefundStatus::Succeeded, RefundStatus::Failed) => self.oddity = Some(Oddity::Contradiction),
                    // What comes late says less than what is known.
                    (RefundStatus::Succeeded | RefundStatus::Failed, RefundStatus::Pending) => {}
                    _ => known.status = status,
                }
            }
        }
        let succeeded = self.top_up.sum_of_refunds(|status| status == RefundStatus::Succeeded);
        if self.top_up.captured.is_some_and(|captured| succeeded > captured.units) {
            self.oddity = Some(Oddity::OverRefunded);
        }
    }

    fn disputed(&mut self, report: Dispute) {
        let dispute = &mut self.top_up.dispute;
        match (*dispute, report) {
            (Dispute::None, _) | (Dispute::Open, Dispute::Won | Dispute::Lost) => *dispute = report,
            (Dispute::Won, Dispute::Lost) | (Dispute::Lost, Dispute::Won) => {
                self.oddity = Some(Oddity::Contradiction);
            }
            // Late, or told again.
            _ => {}
        }
    }

    fn expire(&mut self) {
        let top_up = &mut self.top_up;
        // Of what may have been paid the provider is asked until it has said.
        if top_up.may_expire() && top_up.expires_at.is_some_and(|expires_at| expires_at <= self.now) {
            top_up.progress = Status::Expired;
            self.withdraw();
        }
    }

    fn cancel(&mut self) -> Result<(), Refusal> {
        let top_up = &mut self.top_up;
        match top_up.status() {
            Status::Canceled => return Ok(()),
            Status::Processing => return Err(Refusal::UnderWay),
            Status::Created | Status::RequiresAction if top_up.may_be_charged() => return Err(Refusal::UnderWay),
            Status::Created | Status::RequiresAction => {}
            status => return Err(Refusal::NotOpen(status)),
        }
        if !top_up.payments.is_empty() {
            return Err(Refusal::PartlyPaid);
        }
        top_up.progress = Status::Canceled;
        if top_up.collection == Collection::Invoice {
            self.effects.push(Effect::VoidInvoice);
        }
        self.withdraw();
        Ok(())
    }

    fn withdraw(&mut self) {
        if self.top_up.has_provider() {
            self.top_up.in_doubt = true;
            self.effects.push(Effect::Provider(Command::Withdraw));
        }
    }

    fn confirm(&mut self, key: &str, money: Money, is_last: bool) -> Result<(), Refusal> {
        let top_up = &self.top_up;
        if top_up.has_provider() {
            return Err(Refusal::NotConfirmable);
        }
        check_money(money, top_up)?;
        if top_up.payments.iter().any(|payment| payment.key == key && payment.money != money) {
            return Err(Refusal::KeyConflict);
        }
        self.pay(key, money, is_last);
        Ok(())
    }

    fn ask_refund(&mut self, key: &str, money: Option<Money>) -> Result<(), Refusal> {
        let top_up = &mut self.top_up;
        if let Some(known) = top_up.refunds.iter().find(|refund| refund.key == key) {
            let is_same = money.is_none_or(|money| money == known.money);
            return if is_same { Ok(()) } else { Err(Refusal::KeyConflict) };
        }
        if top_up.captured.is_none() {
            return Err(Refusal::NotPaid(top_up.status()));
        }
        if matches!(top_up.dispute, Dispute::Open | Dispute::Lost) {
            return Err(Refusal::InDispute);
        }
        let left = top_up.refundable();
        let money = money.unwrap_or(left);
        if money.units > left.units || left.units == 0 {
            return Err(Refusal::ExceedsCapture { left });
        }
        check_money(money, top_up)?;
        // Where there is no provider, whoever asks has paid it back or is about to.
        let has_provider = top_up.has_provider();
        let status = if has_provider { RefundStatus::Pending } else { RefundStatus::Succeeded };
        top_up.refunds.push(Refund { key: key.to_owned(), money, status, at: self.now });
        if has_provider {
            self.effects.push(Effect::Provider(Command::Refund { key: key.to_owned(), money }));
        }
        Ok(())
    }

    /// Compares what the facts come to with what they came to before.
    fn settle(mut self, before: &TopUp) -> Step {
        let top_up = &mut self.top_up;
        top_up.to_claw_back = top_up.to_claw_back.max(top_up.claw_back_target());
        let has_credits = matches!(top_up.credit, Credit::Due(_) | Credit::Granted { .. });
        top_up.to_freeze = has_credits && top_up.status() == Status::Disputed;
        if let Some(amount) = top_up.to_claw_back.checked_sub(before.to_claw_back).filter(|more| *more > Amount::ZERO) {
            self.effects.push(Effect::ClawBack { amount, total: top_up.to_claw_back });
        }
        // What is taken back is taken of what is frozen, so it is not released before.
        match (before.to_freeze, top_up.to_freeze) {
            (false, true) => self.effects.push(Effect::Freeze),
            (true, false) => {
                // It may be, though nobody has said so yet.
                top_up.frozen = true;
                self.effects.push(Effect::Release);
            }
            _ => {}
        }
        let path = route(before.status(), top_up.status());
        let refunded = top_up.refunded().units - before.refunded().units;
        if refunded > 0 {
            let newest = top_up.refunds.iter().rev().find(|refund| {
                let was = before.refunds.iter().find(|before| before.key == refund.key);
                let is_new = before.captured.is_none() || was.is_none_or(|was| was.status != RefundStatus::Succeeded);
                refund.status == RefundStatus::Succeeded && is_new
            });
            let key = newest.map(|refund| refund.key.clone()).unwrap_or_default();
            self.effects.push(Effect::RefundNote { key, money: Money::new(refunded, top_up.code()) });
        }
        let mut news: Vec<_> = path.iter().filter_map(|status| News::of(*status)).collect();
        if refunded > 0 && !news.contains(&News::Refunded) {
            news.push(News::Refunded);
        }
        if *top_up != *before {
            top_up.updated_at = self.now;
        }
        self.effects.extend(news.into_iter().map(Effect::Tell));
        Step { top_up: self.top_up, path, effects: self.effects, oddity: self.oddity }
    }
}

impl TopUp {
    /// Whether a provider collects it.
    pub(super) const fn has_provider(&self) -> bool {
        matches!(self.collection, Collection::Charge | Collection::Checkout)
    }

    /// Whether it is over when its time is: nothing was captured, nor may have been.
    pub fn may_expire(&self) -> bool {
        let is_waiting = matches!(self.progress, Status::Created | Status::RequiresAction);
        self.captured.is_none() && is_waiting && !self.may_be_charged()
    }

    /// Whether money may have been taken without our knowing: a charge that was sent and has not been answered.
    pub(super) fn may_be_charged(&self) -> bool {
        self.in_doubt || self.collection == Collection::Charge && self.progress == Status::Created
    }
}

fn check_money(money: Money, top_up: &TopUp) -> Result<(), Refusal> {
    if money.code != top_up.code() {
        return Err(Refusal::OtherMoney);
    }
    if money.units <= 0 { Err(Refusal::NoMoney) } else { Ok(()) }
}

/// The statuses on the shortest way from one to another, the first one left out.
fn route(from: Status, to: Status) -> Vec<Status> {
    if from == to {
        return Vec::new();
    }
    let mut ways = vec![vec![from]];
    for _ in 0..Status::ALL.len() {
        let longer = |way: &Vec<Status>| {
            let last = *way.last().expect("a way begins somewhere");
            let next = Status::ALL.into_iter().filter(move |next| last.may_become(*next));
            next.map(|next| [way.as_slice(), &[next]].concat()).collect::<Vec<_>>()
        };
        ways = ways.iter().flat_map(longer).collect();
        if let Some(way) = ways.iter().find(|way| way.last() == Some(&to)) {
            return way[1..].to_vec();
        }
    }
    unreachable!("facts lead from {from:?} to {to:?} in no way")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_go_through_what_lies_between() {
        use Status::{Canceled, Completed, Created, DisputeLost, DisputeWon, Disputed, PartiallyRefunded, Refunded};
        assert_eq!(route(Created, Created), []);
        assert_eq!(route(Created, Disputed), [Completed, Disputed]);
        assert_eq!(route(Canceled, Refunded), [Completed, Refunded]);
        assert_eq!(route(PartiallyRefunded, DisputeLost), [Disputed, DisputeLost]);
        assert_eq!(route(Disputed, PartiallyRefunded), [DisputeWon, PartiallyRefunded]);
    }

    #[test]
    fn shares_are_rounded_down_and_whole_for_the_whole() {
        for (credits, part, whole, expected) in
            [(100, 1, 3, 33), (100, 3, 3, 100), (1, 1, 2, 0), (i64::MAX, i64::MAX, i64::MAX, i64::MAX), (7, 0, 5, 0)]
        {
            assert_eq!(share(Amount::new(credits), part, whole), Amount::new(expected));
        }
    }
}
