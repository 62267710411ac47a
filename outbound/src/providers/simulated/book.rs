//! The simulated bank's book: a pure fold of commands.
//!
//! The same commands give the same book, names of things included: those are hashes of the keys that they were asked for with. So a book is
//! as durable as the list of its commands, and what was asked twice happens once.

use super::cards::{Behaviour, Card, find};
use super::command::{Answer, CheckoutView, Command, Hook};
use super::post::{Outbox, Post};
use crate::providers::{
    Charge, ChargeRef, CheckoutRef, CustomerRef, Decline, DisputeEnd, DisputeRef, Event, Method, MethodRef,
    NewCheckout, NewCustomer, NewSetup, Refund, RefundOutcome, RefundRef, RefundState, SetupRef,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Everything that the bank knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    pub(super) customers: BTreeMap<CustomerRef, NewCustomer>,
    setups: BTreeMap<SetupRef, SetupEntry>,
    pub(super) methods: BTreeMap<MethodRef, MethodEntry>,
    pub(super) charges: BTreeMap<ChargeRef, ChargeEntry>,
    pub(super) checkouts: BTreeMap<CheckoutRef, CheckoutEntry>,
    pub(super) refunds: BTreeMap<RefundRef, Refund>,
    pub(super) disputes: BTreeMap<DisputeRef, DisputeEntry>,
    pub(super) outbox: Outbox,
    /// The latest time that a command carried: now, for those that carry none.
    clock_s: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SetupEntry {
    ask: NewSetup,
    method: Option<MethodRef>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MethodEntry {
    pub(super) method: Method,
    pub(super) behaviour: Behaviour,
}

/// A charge in the book. Public for audits: what the bank took is the sum of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeEntry {
    /// As it was asked for.
    pub ask: Charge,
    /// How it stands.
    pub standing: Standing,
    /// So much has been given back, in minor units.
    pub refunded: i64,
    pub(super) behaviour: Behaviour,
    pub(super) checkout: Option<CheckoutRef>,
}

/// How a charge stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Money was taken.
    Succeeded,
    /// Waits for the customer.
    RequiresAction,
    /// Will settle.
    Processing {
        /// When.
        settles_at_s: u64,
    },
    /// No money was taken.
    Declined(Decline),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CheckoutEntry {
    pub(super) ask: NewCheckout,
    pub(super) expired: bool,
    /// The latest payment; earlier ones were declined.
    pub(super) charge: Option<ChargeRef>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DisputeEntry {
    pub(super) charge: ChargeRef,
    pub(super) end: Option<DisputeEnd>,
}

/// 16 hexadecimal digits that stand for parts.
pub(super) fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let hash = hasher.finalize();
    format!("{:016x}", u64::from_be_bytes(hash[..8].try_into().expect("eight of 32 bytes")))
}

pub(super) fn refused(code: &str, message: &str) -> Answer {
    Answer::Refused { code: code.to_owned(), message: message.to_owned() }
}

pub(super) fn unknown(what: &str) -> Answer {
    refused("not_found", &format!("there is no such {what}"))
}

pub(super) fn conflict() -> Answer {
    refused("idempotency_conflict", "the key was used with other content")
}

impl Book {
    /// All charges, by name.
    pub fn charges(&self) -> &BTreeMap<ChargeRef, ChargeEntry> {
        &self.charges
    }

    /// Carries a command out.
    pub fn apply(&mut self, command: &Command) -> Answer {
        self.clock_s = self.clock_s.max(command.time_s().unwrap_or(0));
        match command {
            Command::EnsureCustomer(ask) => self.ensure_customer(ask),
            Command::BeginSetup(ask) => self.begin_setup(ask),
            Command::CollectMethod { setup, card, now_s } => self.collect(setup, card, *now_s),
            Command::FindSetup(setup) => {
                self.setups.get(setup).map_or(unknown("setup"), |entry| Answer::FoundSetup(entry.method.clone()))
            }
            Command::Method(method) => {
                self.methods.get(method).map_or(unknown("payment method"), |entry| Answer::Method(entry.method.clone()))
            }
            Command::Detach(method) => self.detach(method, self.clock_s),
            Command::Charge(ask) => self.charge(ask),
            Command::FindCharge(key) => Answer::FoundCharge(self.find_charge(key)),
            Command::ViewCharge(charge) => self.view_charge(charge),
            Command::CompleteAction { charge, approved, now_s } => self.complete(charge, *approved, *now_s),
            Command::OpenCheckout(ask) => self.open_checkout(ask),
            Command::ViewCheckout(checkout) => match (self.checkouts.get(checkout), self.checkout_state(checkout)) {
                (Some(entry), Some(state)) => Answer::CheckoutView(CheckoutView { ask: entry.ask.clone(), state }),
                _ => unknown("checkout"),
            },
            Command::ViewSetup(setup) => self
                .setups
                .get(setup)
                .map_or(unknown("setup"), |entry| Answer::SetupView(entry.ask.clone(), entry.method.clone())),
            Command::PayCheckout { checkout, card, now_s } => self.pay_checkout(checkout, card, *now_s),
            Command::CloseCheckout(checkout) => self.close_checkout(checkout, self.clock_s),
            Command::Refund(ask) => self.refund(ask),
            Command::FindRefund(key) => {
                let refund = RefundRef::new(format!("sim_re_{}", digest(&[key.as_str()])));
                let found = self.refunds.contains_key(&refund);
                let state = RefundState::Succeeded;
                Answer::FoundRefund(found.then_some(RefundOutcome::Accepted { refund, state }))
            }
            Command::OpenDispute { charge, now_s } => self.open_dispute(charge, *now_s),
            Command::CloseDispute { dispute, end, now_s } => self.close_dispute(dispute, *end, *now_s),
            Command::Advance { now_s } => self.advance(*now_s),
            Command::Due { now_s } => Answer::Hooks(self.outbox.due(*now_s).map(Hook::from).collect()),
            Command::Delivered { event } => self.outbox.delivered(event),
            Command::NotDelivered { event, now_s } => self.outbox.not_delivered(event, *now_s),
        }
    }

    fn ensure_customer(&mut self, ask: &NewCustomer) -> Answer {
        let customer = CustomerRef::new(format!("sim_cus_{}", digest(&[ask.key.as_str()])));
        self.customers.entry(customer.clone()).or_insert_with(|| ask.clone());
        Answer::Customer(customer)
    }

    fn begin_setup(&mut self, ask: &NewSetup) -> Answer {
        if !self.customers.contains_key(&ask.customer) {
            return unknown("customer");
        }
        let setup = SetupRef::new(format!("sim_seti_{}", digest(&[ask.key.as_str()])));
        let entry = self.setups.entry(setup.clone()).or_insert_with(|| SetupEntry { ask: ask.clone(), method: None });
        if entry.ask == *ask { Answer::Setup(setup) } else { conflict() }
    }

    fn collect(&mut self, setup: &SetupRef, number: &str, now_s: u64) -> Answer {
        let Some(entry) = self.setups.get(setup).cloned() else {
            return unknown("setup");
        };
        if let Some(method) = &entry.method {
            return self.apply(&Command::Method(method.clone()));
        }
        let Some(card) = find(number) else {
            return refused("not_a_test_card", "only test cards are taken here");
        };
        if card.behaviour == Behaviour::DeclinesAtOnce {
            return refused("generic_decline", "The card was declined.");
        }
        let method = self.save(&entry.ask.customer, card, setup.as_str(), now_s);
        let (key, customer) = (Some(entry.ask.key.to_string()), Some(entry.ask.customer.clone()));
        let told =
            Event::SetupCompleted { setup: setup.clone(), key, customer, method: Some(method.reference.clone()) };
        self.outbox.put(Post { event: told, at_s: now_s, copies: 1 });
        self.setups.insert(setup.clone(), SetupEntry { method: Some(method.reference.clone()), ..entry });
        Answer::Method(method)
    }

    /// Keeps a card for a customer.
    pub(super) fn save(&mut self, customer: &CustomerRef, card: &Card, by: &str, now_s: u64) -> Method {
        let method = Method {
            reference: MethodRef::new(format!("sim_pm_{}", digest(&[by, card.number]))),
            customer: Some(customer.clone()),
            brand: card.brand.to_owned(),
            last4: Some(card.number[12..].to_owned()),
            expiry: Some((12, 2035)),
            fingerprint: Some(digest(&["card", card.number])),
        };
        let entry = MethodEntry { method: method.clone(), behaviour: card.behaviour };
        self.methods.insert(method.reference.clone(), entry);
        self.outbox.put(Post { event: Event::MethodAttached(method.clone()), at_s: now_s, copies: 1 });
        method
    }

    fn detach(&mut self, method: &MethodRef, now_s: u64) -> Answer {
        let Some(entry) = self.methods.get_mut(method) else {
            return unknown("payment method");
        };
        if entry.method.customer.take().is_some() {
            self.outbox.put(Post { event: Event::MethodDetached(method.clone()), at_s: now_s, copies: 1 });
        }
        Answer::Done
    }
}
