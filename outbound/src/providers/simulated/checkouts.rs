//! Checkouts in the book: one payment each, after as many declined ones as the customer likes.

use super::book::{Book, CheckoutEntry, Standing, conflict, digest, refused, unknown};
use super::cards::{Behaviour, find};
use super::charges::{decline, not_authenticated};
use super::command::{Answer, Paid};
use super::post::Post;
use crate::providers::{Charge, ChargeRef, CheckoutRef, CheckoutState, Event, Key, MethodRef, NewCheckout};

pub(super) fn checkout_ref(key: &Key) -> CheckoutRef {
    CheckoutRef::new(format!("sim_cs_{}", digest(&[key.as_str()])))
}

impl Book {
    pub(super) fn open_checkout(&mut self, ask: &NewCheckout) -> Answer {
        if !self.customers.contains_key(&ask.customer) {
            return unknown("customer");
        }
        if ask.money.amount <= 0 {
            return refused("invalid_amount", "an amount to charge is more than nothing");
        }
        let checkout = checkout_ref(&ask.key);
        let fresh = || CheckoutEntry { ask: ask.clone(), expired: false, charge: None };
        let entry = self.checkouts.entry(checkout.clone()).or_insert_with(fresh);
        if entry.ask == *ask { Answer::Checkout(checkout, ask.expires_at_s) } else { conflict() }
    }

    pub(super) fn checkout_state(&self, checkout: &CheckoutRef) -> Option<CheckoutState> {
        let entry = self.checkouts.get(checkout)?;
        let standing = entry.charge.as_ref().and_then(|charge| self.charges.get(charge)).map(|entry| &entry.standing);
        Some(match standing {
            Some(Standing::Succeeded) => CheckoutState::Completed { charge: entry.charge.clone(), paid: true },
            Some(Standing::Processing { .. }) => CheckoutState::Completed { charge: entry.charge.clone(), paid: false },
            _ if entry.expired => CheckoutState::Expired,
            _ => CheckoutState::Open,
        })
    }

    pub(super) fn pay_checkout(&mut self, checkout: &CheckoutRef, number: &str, now_s: u64) -> Answer {
        let (Some(entry), Some(state)) = (self.checkouts.get(checkout).cloned(), self.checkout_state(checkout)) else {
            return unknown("checkout");
        };
        let return_url = Some(entry.ask.success_url.replace("{CHECKOUT}", checkout.as_str()));
        match state {
            CheckoutState::Completed { .. } => return Answer::Paid(Paid::Done { return_url }),
            CheckoutState::Open if now_s < entry.ask.expires_at_s => {}
            CheckoutState::Open | CheckoutState::Expired => return refused("expired", "the checkout has ended"),
        }
        let waiting = |charge: &ChargeRef| {
            self.charges.get(charge).is_some_and(|entry| entry.standing == Standing::RequiresAction)
        };
        if let Some(charge) = entry.charge.clone().filter(waiting) {
            return Answer::Paid(Paid::Authenticate(charge));
        }
        let Some(card) = find(number) else {
            return refused("not_a_test_card", "only test cards are taken here");
        };
        // Each try is a payment of its own, under the checkout's key.
        let tries = self.charges.values().filter(|entry| entry.checkout.as_ref() == Some(checkout)).count();
        let charge = ChargeRef::new(format!("sim_ch_{}", digest(&[checkout.as_str(), &tries.to_string()])));
        let declined = decline(card.behaviour).filter(|_| card.behaviour != Behaviour::ProcessesThenFails);
        let method = if entry.ask.save_method && declined.is_none() {
            self.save(&entry.ask.customer, card, checkout.as_str(), now_s).reference
        } else {
            MethodRef::new(format!("sim_pm_{}", digest(&[checkout.as_str(), card.number])))
        };
        let ask = Charge {
            key: entry.ask.key.clone(),
            customer: entry.ask.customer.clone(),
            method,
            money: entry.ask.money,
            description: entry.ask.title.clone(),
            return_url: return_url.clone(),
            decided_at_s: now_s,
            repeat: false,
        };
        self.checkouts.insert(checkout.clone(), CheckoutEntry { charge: Some(charge.clone()), ..entry });
        self.make(&charge, ask, card.behaviour, Some(checkout.clone()), now_s);
        Answer::Paid(match (declined, card.behaviour) {
            (Some(decline), _) => Paid::Declined(decline),
            (None, Behaviour::Authenticates) => Paid::Authenticate(charge),
            (None, _) => Paid::Done { return_url },
        })
    }

    pub(super) fn close_checkout(&mut self, checkout: &CheckoutRef, now_s: u64) -> Answer {
        match self.checkout_state(checkout) {
            None => unknown("checkout"),
            Some(CheckoutState::Open) => {
                self.expire(checkout, now_s);
                Answer::CheckoutState(CheckoutState::Expired)
            }
            Some(state) => Answer::CheckoutState(state),
        }
    }

    /// Ends an open checkout; a payment that waits for its customer ends with it.
    pub(super) fn expire(&mut self, checkout: &CheckoutRef, now_s: u64) {
        let Some(entry) = self.checkouts.get_mut(checkout) else { return };
        entry.expired = true;
        let (key, charge) = (Some(entry.ask.key.to_string()), entry.charge.clone());
        self.outbox.put(Post {
            event: Event::CheckoutExpired { checkout: checkout.clone(), key },
            at_s: now_s,
            copies: 1,
        });
        if let Some(charge) = charge
            && self.charges.get(&charge).is_some_and(|entry| entry.standing == Standing::RequiresAction)
        {
            self.stand(&charge, Standing::Declined(not_authenticated()), now_s);
        }
    }
}
