//! What customers, operators, the bank and providers do about purchases.

use drawdown::billing::top_up::{Collection, Command, Event, Kind, Outcome, RefundReport};
use drawdown::engine::CommandError;
use drawdown::engine::billing::{Buyer, TopUpRequest};
use drawdown::engine::view::Metadata;
use drawdown::ledger::Decimal;

use super::Story;
use crate::money::bank::{Entry, State};
use crate::money::model::{Buy, EUROS, How, PACKAGES, UNITS_PER_CENT, VALID_FOR, WALLETS, euros};

impl Story {
    pub(super) fn buy(&mut self, wallet: usize) {
        let (customer, currency) = WALLETS[wallet];
        let card = self.model.usual_card(customer);
        let how = match self.random.below(4) {
            0 if card.is_some() => How::Card,
            0 | 1 => How::Page,
            2 => How::Invoice,
            _ => How::Outside,
        };
        let mut valid_for = None;
        let is_free = wallet == EUROS && how == How::Outside && self.is_one_in(2);
        let (package, amount, price) = if is_free {
            // As much as the payer likes.
            (None, None, (0, 0))
        } else if wallet == EUROS {
            let cents = 500 + self.random.below(5_000).cast_signed();
            let amount = Decimal::from_parts(cents, 2).expect("cents");
            (None, Some((amount, "EUR".to_owned())), (cents, cents * UNITS_PER_CENT))
        } else {
            let package = self.below(2);
            valid_for = VALID_FOR[package];
            let (id, credits, cents) = PACKAGES[package];
            (Some((id.to_owned(), 1)), None, (cents, credits))
        };
        let (collection, kind) = match how {
            How::Card => (Collection::Charge, Kind::Manual),
            How::Page => (Collection::Checkout, Kind::Manual),
            How::Invoice => (Collection::Invoice, Kind::Manual),
            How::Outside if is_free => (Collection::Outside, Kind::Deposit),
            How::Outside => (Collection::Outside, Kind::Offline),
        };
        let at_once = how == How::Invoice && self.is_one_in(2);
        let request = TopUpRequest {
            customer: customer.to_owned(),
            currency: Some(currency.to_owned()),
            kind,
            package,
            amount,
            credits: None,
            collection: Some(collection),
            provider: None,
            method: None,
            saves_method: false,
            credits_at_once: at_once,
            return_url: None,
            address: None,
            expiry_ms: None,
            key: Some(self.fresh("order-")),
            metadata: Metadata::new(),
            buyer: Buyer::Operator,
            form: None,
        };
        self.doing = format!("wallet {wallet} buys by {how:?} for {price:?}");
        let (view, is_known, ticket) = self.engine.create_top_up(&request).expect("a top-up");
        assert!(!is_known, "a key that was never used");
        let mut buy = Buy::new(wallet, false, how, price, self.model.now);
        (buy.id, buy.at_once) = (view.top_up.id.clone(), at_once);
        buy.card = card.filter(|_| how == How::Card);
        buy.valid_for = valid_for;
        self.model.buy(buy);
        self.made(ticket);
        if self.is_one_in(4) {
            let (again, is_known, _) = self.engine.create_top_up(&request).expect("the same again");
            assert_eq!((again.top_up.id, is_known), (view.top_up.id, true), "the same again is the same");
        }
        if self.is_one_in(4) {
            self.rush();
        }
    }

    /// What can be done is done at once, before anything more becomes durable, and now and then the power fails right behind it.
    fn rush(&mut self) {
        for _ in 0..self.works.len().min(4) {
            self.make_room();
            self.work();
        }
        if self.is_one_in(2) {
            self.crash();
        }
    }

    /// A purchase that `suits`.
    fn some_buy(&mut self, suits: impl Fn(&Buy) -> bool) -> Option<usize> {
        let all: Vec<_> = (0..self.model.buys.len()).filter(|number| suits(&self.model.buys[*number])).collect();
        // The newest are the most interesting.
        let newest = &all[all.len().saturating_sub(8)..];
        (!newest.is_empty()).then(|| newest[self.random.below(newest.len() as u64) as usize])
    }

    /// Tells a purchase what happens to it, and the model.
    fn tell(&mut self, number: usize, event: &Event) {
        let id = self.model.buys[number].id.clone();
        self.doing = format!("{id} is told {event:?}");
        let was_over = !self.model.buys[number].is_open() && !self.model.buys[number].is_paid;
        let outcome = self.engine.top_up_event(&id, event);
        let is_taken = self.model.event(number, event);
        self.tally.late += u64::from(was_over && self.model.buys[number].is_paid);
        match outcome {
            Ok((_, ticket)) => {
                assert!(is_taken, "{} should be refused", self.doing);
                self.made(ticket);
            }
            Err(CommandError::Conflict { .. } | CommandError::Invalid { .. }) => {
                assert!(!is_taken, "{} should be taken", self.doing);
                self.made(self.engine.barrier());
            }
            Err(error) => panic!("{}: {error:?}", self.doing),
        }
    }

    pub(super) fn confirm(&mut self) {
        let Some(number) = self.some_buy(|buy| matches!(buy.how, How::Outside | How::Invoice)) else { return };
        let buy = &self.model.buys[number];
        let due = (buy.cents - buy.payments.values().sum::<i64>()).max(1);
        // All of it, or a part; too much now and then, or what was told before, or was told otherwise.
        let cents = match self.random.below(8) {
            _ if buy.cents == 0 => 1 + self.random.below(9_000).cast_signed(),
            0..4 => due,
            4 => due + 1 + self.random.below(500).cast_signed(),
            _ => 1 + self.random.below(due.unsigned_abs()).cast_signed(),
        };
        let key = format!("transfer {}", self.random.below(4));
        let cents = buy.payments.get(&key).copied().filter(|_| cents % 2 == 0).unwrap_or(cents);
        let is_last = self.is_one_in(8);
        self.tell(number, &Event::Confirm { key, money: euros(cents), is_last });
    }

    pub(super) fn cancel(&mut self) {
        if let Some(number) = self.some_buy(|buy| !buy.is_paid) {
            self.tell(number, &Event::Cancel);
        }
    }

    pub(super) fn refund(&mut self) {
        let Some(number) = self.some_buy(|buy| buy.is_paid) else { return };
        let (id, cents) = (self.model.buys[number].id.clone(), self.model.buys[number].captured);
        self.tally.refunds += 1;
        if self.is_one_in(4) {
            return self.bank.refund_by_hand(&id);
        }
        let part = 1 + self.random.below(cents.unsigned_abs()).cast_signed();
        let money = Some(euros(if self.is_one_in(3) { cents } else { part }));
        let key = if self.is_one_in(6) { "r1".to_owned() } else { self.fresh("r") };
        self.tell(number, &Event::AskRefund { key, money });
    }

    /// A customer looks at a page.
    pub(super) fn page(&mut self) {
        let is_open = |(_, entry): &(&String, &Entry)| entry.state == State::Open;
        let open: Vec<_> = self.bank.entries.iter().filter(is_open).map(|(key, _)| key.clone()).collect();
        if !open.is_empty() {
            let key = open[self.below(open.len() as u64)].clone();
            self.bank.pay(&key);
        }
    }

    pub(super) fn mail(&mut self) {
        let Some(mail) = self.bank.next_mail() else { return };
        let Some(number) = self.model.find(&mail.top_up) else { panic!("{mail:?} is of a top-up that was forgotten") };
        self.tell(number, &mail.event);
        let is_paid = matches!(mail.event, Event::Outcome(Outcome::Succeeded { .. }));
        self.delivered.push((self.number, mail));
        if is_paid && self.is_one_in(20) {
            self.crash();
        }
    }

    /// Does what a provider has to do, as whoever speaks with it would.
    pub(super) fn work(&mut self) {
        if self.works.is_empty() {
            return;
        }
        let place = self.below(self.works.len() as u64);
        let work = self.works.swap_remove(place);
        let id = work.top_up.clone();
        let number = self.model.find(&id).expect("a purchase that there is");
        let buy = self.model.buys[number].clone();
        match &work.command {
            // Asked after once more, a refund is asked for under the same key: the bank says how it stands, or hears of it now.
            Command::Refund { key, money } | Command::LookupRefund { key, money } => {
                if buy.refund(key) != Some(RefundReport::Pending) {
                    return;
                }
                match self.bank.refund(&id, key, *money) {
                    Ok(report) => self.tell(number, &Event::Refund { key: key.clone(), money: *money, report }),
                    Err(_) => self.works.push(work),
                }
            }
            Command::Withdraw => {
                if self.bank.close(&id) {
                    let paid = self.bank.stands(&id).expect("it was paid");
                    self.tell(number, &Event::Outcome(paid));
                }
            }
            _ if !buy.is_open() => {}
            Command::Charge { .. } | Command::Lookup if buy.how == How::Card => {
                let method = buy.card.as_deref().expect("a card that is charged");
                let outcome = self.bank.charge(&id, method, euros(buy.cents));
                self.tell(number, &Event::Outcome(outcome));
            }
            Command::Charge { .. } => panic!("{work:?} of {buy:?}"),
            Command::OpenCheckout { .. } | Command::Lookup => match self.bank.stands(&id) {
                Some(outcome) => self.tell(number, &Event::Outcome(outcome)),
                None => match self.bank.open(&id, euros(buy.cents)) {
                    Ok(()) => self.tell(number, &Event::CheckoutOpened { url: format!("https://bank.test/{id}") }),
                    Err(_) => self.works.push(work),
                },
            },
        }
    }
}
