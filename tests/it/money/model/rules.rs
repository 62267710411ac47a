//! What rules do, and the cards that they charge.

use super::rule::Rule;
use super::{Buy, Card, How, Model, Spec, WALLETS, Window};

impl Model {
    /// Does what the rule on a wallet is to do now.
    pub(in crate::money) fn evaluate(&mut self, wallet: usize) {
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

    pub(in crate::money) fn evaluate_all(&mut self) {
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
    pub(in crate::money) fn cards_of(&self, customer: &str) -> Vec<&Card> {
        self.cards.iter().filter(|card| card.customer == customer && !card.is_gone).collect()
    }

    /// The card that a customer is charged with where none is named.
    pub(in crate::money) fn usual_card(&self, customer: &str) -> Option<String> {
        let usual = self.cards_of(customer).into_iter().max_by_key(|card| (card.is_default, card.at, &card.id));
        usual.map(|card| card.id.clone())
    }

    pub(in crate::money) fn set_rule(&mut self, wallet: usize, spec: Spec) {
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

    pub(in crate::money) fn rule(&self, wallet: usize) -> Option<&Spec> {
        self.rules[wallet].as_ref().filter(|rule| rule.is_live).map(|rule| &rule.spec)
    }

    pub(in crate::money) fn delete_rule(&mut self, wallet: usize) {
        if let Some(rule) = &mut self.rules[wallet] {
            rule.is_live = false;
        }
    }

    pub(in crate::money) fn resume_rule(&mut self, wallet: usize) {
        if let Some(rule) = &mut self.rules[wallet] {
            rule.recover();
        }
        self.evaluate(wallet);
    }

    pub(in crate::money) fn add_card(&mut self, id: &str, customer: &'static str, fingerprint: &str, is_default: bool) {
        let is_default = is_default || self.cards_of(customer).is_empty();
        if is_default {
            self.cards.iter_mut().filter(|card| card.customer == customer).for_each(|card| card.is_default = false);
        }
        let (id, fingerprint, at) = (id.to_owned(), fingerprint.to_owned(), self.now);
        self.cards.push(Card { id, customer, fingerprint: fingerprint.clone(), is_default, is_gone: false, at });
        self.lift(customer, &fingerprint);
    }

    pub(in crate::money) fn make_default(&mut self, id: &str) {
        let card = self.cards.iter().find(|card| card.id == id).expect("a known card").clone();
        if !card.is_default {
            for other in self.cards.iter_mut().filter(|other| other.customer == card.customer) {
                other.is_default = other.id == id;
            }
            self.lift(card.customer, &card.fingerprint);
        }
    }

    pub(in crate::money) fn detach(&mut self, id: &str) {
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
}
