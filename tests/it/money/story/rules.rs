//! Rules and the cards that they charge, as customers set and change them.

use drawdown::billing::PaymentMethod;
use drawdown::ledger::Timestamp;

use super::{CUSTOMERS, DAY, HOUR, MINUTE, Story};
use crate::money::model::{EUROS, Size, Spec, UNITS_PER_CENT, WALLETS, Window};

impl Story {
    fn spec(&mut self, wallet: usize) -> Spec {
        let (scale, package) = (if wallet == EUROS { UNITS_PER_CENT } else { 1 }, self.below(2));
        let threshold = (self.random.below(9).cast_signed() * 100 - 100) * scale;
        let at_or_below = self.is_one_in(2);
        let target = threshold + 1 + self.random.below(3_000).cast_signed() * scale;
        let size = match (wallet == EUROS, self.random.below(2)) {
            (true, 0) => Size::Cents(500 + self.random.below(2_000).cast_signed()),
            (true, _) => Size::Exactly(target),
            (false, 0) => Size::Package(package, 1 + self.random.below(2) as u32),
            (false, _) => Size::Target(package, target),
        };
        let cooldown = [0, 0, 10 * MINUTE, 2 * HOUR, DAY][self.below(5)];
        let cards: Vec<_> = self.model.cards_of(WALLETS[wallet].0).into_iter().map(|card| card.id.clone()).collect();
        let card = if cards.is_empty() || !self.is_one_in(4) { None } else { Some(cards[0].clone()) };
        let enabled = !self.is_one_in(12);
        let mut spec = Spec { enabled, threshold, at_or_below, size, cooldown, limits: Vec::new(), card };
        for window in [Window::Day, Window::Week, Window::Month] {
            let count = self.is_one_in(4).then(|| 1 + self.random.below(4) as u32);
            let most = spec.least_price() * (1 + self.random.below(4).cast_signed());
            let most = self.is_one_in(4).then(|| most + self.random.below(3).cast_signed());
            if count.is_some() || most.is_some() {
                spec.limits.push((window, count, most));
            }
        }
        spec
    }

    pub(super) fn set_rule(&mut self, wallet: usize) {
        let spec = self.spec(wallet);
        self.doing = format!("the rule of wallet {wallet} is to be {spec:?}");
        let ticket = self.engine.put_rule(spec.rule(wallet)).expect("a rule that makes sense").1;
        self.model.set_rule(wallet, spec);
        self.made(ticket);
    }

    pub(super) fn change_rule(&mut self, wallet: usize) {
        let (customer, currency) = WALLETS[wallet];
        let is_there = self.model.rule(wallet).is_some();
        let ticket = match self.random.below(8) {
            0 if is_there => {
                self.doing = format!("the rule of wallet {wallet} is taken away");
                let ticket = self.engine.delete_rule(customer, currency).expect("there is one");
                self.model.delete_rule(wallet);
                ticket
            }
            1..4 if is_there => {
                self.doing = format!("the rule of wallet {wallet} is to go on");
                let ticket = self.engine.resume_rule(customer, currency).expect("there is one").1;
                self.model.resume_rule(wallet);
                ticket
            }
            _ => return self.set_rule(wallet),
        };
        self.made(ticket);
    }

    pub(super) fn add_card(&mut self, customer: &'static str) {
        let id = self.fresh("pm_");
        let known = self.model.cards.iter().find(|card| card.customer == customer).map(|card| card.fingerprint.clone());
        let fingerprint = known.filter(|_| self.is_one_in(3)).unwrap_or_else(|| format!("fp_{id}"));
        let is_default = self.is_one_in(2);
        self.doing = format!("{customer} adds {id} with {fingerprint}");
        let method = PaymentMethod {
            id: id.clone(),
            customer: customer.to_owned(),
            provider: "simulated".to_owned(),
            reference: format!("ref_{id}"),
            brand: None,
            last4: None,
            expiry: None,
            fingerprint: Some(fingerprint.clone()),
            is_default,
            detached: false,
            created_at: Timestamp::EPOCH,
        };
        let ticket = self.engine.add_payment_method(method).expect("a card").1;
        self.model.add_card(&id, customer, &fingerprint, is_default);
        self.made(ticket);
    }

    pub(super) fn change_cards(&mut self) {
        let customer = CUSTOMERS[self.below(3)];
        let cards: Vec<_> = self.model.cards_of(customer).into_iter().map(|card| card.id.clone()).collect();
        if cards.is_empty() || cards.len() < 4 && self.is_one_in(2) {
            return self.add_card(customer);
        }
        let id = cards[self.below(cards.len() as u64)].clone();
        let ticket = if self.is_one_in(2) {
            self.doing = format!("{id} becomes the default");
            let ticket = self.engine.make_default(customer, &id).expect("a card").1;
            self.model.make_default(&id);
            ticket
        } else {
            self.doing = format!("{id} is taken away");
            let ticket = self.engine.detach_payment_method(customer, &id).expect("a card").1;
            self.model.detach(&id);
            ticket
        };
        self.made(ticket);
    }
}
