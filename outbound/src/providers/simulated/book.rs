//! The simulated bank's book: a pure fold of commands.
//!
//! The same commands give the same book, names of things included: those are hashes of the keys that they were asked for with. So a book is
//! as durable as the list of its commands, and what was asked twice happens once.

use super::cards::{Behaviour, Card, PROCESSING_S, find};
use super::command::{Answer, ChargeView, CheckoutView, Command, Hook, Manner, Paid};
use super::post::{Outbox, Post};
use crate::providers::{
    Charge, ChargeFacts, ChargeOutcome, ChargeRef, CheckoutRef, CheckoutState, CustomerRef, Decline, DisputeEnd,
    DisputeRef, Event, FoundCharge, Key, Method, MethodRef, Money, NewCheckout, NewCustomer, NewSetup, Refund,
    RefundOutcome, RefundRef, RefundState, SetupRef,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Everything that the bank knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    customers: BTreeMap<CustomerRef, NewCustomer>,
    setups: BTreeMap<SetupRef, SetupEntry>,
    methods: BTreeMap<MethodRef, MethodEntry>,
    charges: BTreeMap<ChargeRef, ChargeEntry>,
    checkouts: BTreeMap<CheckoutRef, CheckoutEntry>,
    refunds: BTreeMap<RefundRef, Refund>,
    disputes: BTreeMap<DisputeRef, DisputeEntry>,
    outbox: Outbox,
    /// The latest time that a command carried: now, for those that carry none.
    clock_s: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SetupEntry {
    ask: NewSetup,
    method: Option<MethodRef>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MethodEntry {
    method: Method,
    behaviour: Behaviour,
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
    behaviour: Behaviour,
    checkout: Option<CheckoutRef>,
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
struct CheckoutEntry {
    ask: NewCheckout,
    expired: bool,
    /// The latest payment; earlier ones were declined.
    charge: Option<ChargeRef>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DisputeEntry {
    charge: ChargeRef,
    end: Option<DisputeEnd>,
}

/// 16 hexadecimal digits that stand for parts.
fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let hash = hasher.finalize();
    format!("{:016x}", u64::from_be_bytes(hash[..8].try_into().expect("eight of 32 bytes")))
}

fn refused(code: &str, message: &str) -> Answer {
    Answer::Refused { code: code.to_owned(), message: message.to_owned() }
}

fn unknown(what: &str) -> Answer {
    refused("not_found", &format!("there is no such {what}"))
}

fn conflict() -> Answer {
    refused("idempotency_conflict", "the key was used with other content")
}

fn decline(behaviour: Behaviour) -> Option<Decline> {
    let (code, hard, message) = match behaviour {
        Behaviour::DeclinesAtOnce | Behaviour::DeclinesSoft => ("generic_decline", false, "The card was declined."),
        Behaviour::InsufficientFunds => {
            ("insufficient_funds", false, "There is not enough money on the card's account.")
        }
        Behaviour::DeclinesHard => ("stolen_card", true, "The card was declined."),
        Behaviour::Expired => ("expired_card", true, "The card has expired."),
        Behaviour::ProcessesThenFails => ("processing_failed", false, "The payment did not go through."),
        Behaviour::Succeeds
        | Behaviour::Authenticates
        | Behaviour::ProcessesThenSucceeds
        | Behaviour::Slow
        | Behaviour::LosesAnswer
        | Behaviour::TellsTwice
        | Behaviour::Disputed => return None,
    };
    Some(Decline { code: code.to_owned(), hard, message: message.to_owned() })
}

impl ChargeEntry {
    fn facts(&self, charge: &ChargeRef) -> ChargeFacts {
        ChargeFacts {
            charge: charge.clone(),
            key: Some(self.ask.key.to_string()),
            customer: Some(self.ask.customer.clone()),
            method: Some(self.ask.method.clone()),
            money: self.ask.money,
        }
    }

    fn outcome(&self, charge: &ChargeRef) -> ChargeOutcome {
        let charge = charge.clone();
        match &self.standing {
            Standing::Succeeded => ChargeOutcome::Succeeded { charge },
            // The page's address is for the adapter to fill in.
            Standing::RequiresAction => ChargeOutcome::RequiresAction { charge, url: None },
            Standing::Processing { .. } => ChargeOutcome::Processing { charge },
            Standing::Declined(decline) => ChargeOutcome::Declined { charge: Some(charge), decline: decline.clone() },
        }
    }
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
    fn save(&mut self, customer: &CustomerRef, card: &Card, by: &str, now_s: u64) -> Method {
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

    fn charge(&mut self, ask: &Charge) -> Answer {
        let charge = charge_ref(&ask.key);
        if let Some(entry) = self.charges.get(&charge) {
            // Whether it is a repeat is no part of what is asked.
            let same = Charge { repeat: entry.ask.repeat, ..ask.clone() } == entry.ask;
            return if same { Answer::Charge(entry.outcome(&charge), Manner::Prompt) } else { conflict() };
        }
        if ask.money.amount <= 0 {
            return refused("invalid_amount", "an amount to charge is more than nothing");
        }
        let behaviour = match self.methods.get(&ask.method) {
            Some(entry) if entry.method.customer.as_ref() == Some(&ask.customer) => entry.behaviour,
            _ => return Answer::Charge(ChargeOutcome::Declined { charge: None, decline: gone() }, Manner::Prompt),
        };
        self.make(charge.clone(), ask.clone(), behaviour, None, ask.decided_at_s);
        let manner = match behaviour {
            Behaviour::Slow => Manner::Slow,
            Behaviour::LosesAnswer => Manner::Lost,
            _ => Manner::Prompt,
        };
        Answer::Charge(self.charges[&charge].outcome(&charge), manner)
    }

    /// Enters a charge and does what its card does.
    fn make(
        &mut self,
        charge: ChargeRef,
        ask: Charge,
        behaviour: Behaviour,
        checkout: Option<CheckoutRef>,
        now_s: u64,
    ) {
        let standing = match (behaviour, decline(behaviour)) {
            (Behaviour::ProcessesThenSucceeds | Behaviour::ProcessesThenFails, _) => {
                Standing::Processing { settles_at_s: now_s.saturating_add(PROCESSING_S) }
            }
            (Behaviour::Authenticates, _) => Standing::RequiresAction,
            (_, Some(decline)) => Standing::Declined(decline),
            (_, None) => Standing::Succeeded,
        };
        let entry = ChargeEntry { ask, standing: standing.clone(), refunded: 0, behaviour, checkout };
        self.charges.insert(charge.clone(), entry);
        self.stand(&charge, standing, now_s);
    }

    /// A charge comes to stand somehow: its event, its checkout's event, and what its card does beside that.
    fn stand(&mut self, charge: &ChargeRef, standing: Standing, now_s: u64) {
        let Some(entry) = self.charges.get_mut(charge) else { return };
        entry.standing = standing;
        let facts = entry.facts(charge);
        let (behaviour, checkout, key) = (entry.behaviour, entry.checkout.clone(), facts.key.clone());
        let event = match &entry.standing {
            Standing::Succeeded => Event::ChargeSucceeded(facts),
            Standing::RequiresAction => Event::ChargeRequiresAction { facts, url: None },
            Standing::Processing { .. } => Event::ChargeProcessing(facts),
            Standing::Declined(decline) => Event::ChargeFailed { facts, decline: decline.clone() },
        };
        let paid = match entry.standing {
            Standing::Succeeded => Some(true),
            Standing::Processing { .. } => Some(false),
            Standing::RequiresAction | Standing::Declined(_) => None,
        };
        let copies = if behaviour == Behaviour::TellsTwice { 2 } else { 1 };
        self.outbox.put(Post { event, at_s: now_s, copies });
        if let (Some(checkout), Some(paid)) = (checkout, paid) {
            let event = Event::CheckoutCompleted { checkout, key, charge: Some(charge.clone()), paid };
            self.outbox.put(Post { event, at_s: now_s, copies });
        }
        if behaviour == Behaviour::Disputed && paid == Some(true) {
            self.open_dispute(charge, now_s);
        }
    }

    fn find_charge(&self, key: &Key) -> Option<FoundCharge> {
        // A checkout's declined payments stand beside each other; the one that counts is told by the checkout.
        let by_checkout = self.checkouts.get(&checkout_ref(key)).and_then(|entry| entry.charge.clone());
        let charge = by_checkout.unwrap_or_else(|| charge_ref(key));
        let entry = self.charges.get(&charge)?;
        Some(FoundCharge { money: entry.ask.money, outcome: entry.outcome(&charge) })
    }

    fn view_charge(&self, charge: &ChargeRef) -> Answer {
        self.charges.get(charge).map_or(unknown("charge"), |entry| {
            Answer::ChargeView(ChargeView {
                money: entry.ask.money,
                description: entry.ask.description.clone(),
                outcome: entry.outcome(charge),
                return_url: entry.ask.return_url.clone(),
            })
        })
    }

    fn complete(&mut self, charge: &ChargeRef, approved: bool, now_s: u64) -> Answer {
        let Some(entry) = self.charges.get(charge) else {
            return unknown("charge");
        };
        let return_url = entry.ask.return_url.clone();
        // A second click finds it done.
        if entry.standing == Standing::RequiresAction {
            let standing = if approved { Standing::Succeeded } else { Standing::Declined(not_authenticated()) };
            self.stand(charge, standing, now_s);
        }
        Answer::Paid(Paid::Done { return_url })
    }

    fn open_checkout(&mut self, ask: &NewCheckout) -> Answer {
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

    fn checkout_state(&self, checkout: &CheckoutRef) -> Option<CheckoutState> {
        let entry = self.checkouts.get(checkout)?;
        let standing = entry.charge.as_ref().and_then(|charge| self.charges.get(charge)).map(|entry| &entry.standing);
        Some(match standing {
            Some(Standing::Succeeded) => CheckoutState::Completed { charge: entry.charge.clone(), paid: true },
            Some(Standing::Processing { .. }) => CheckoutState::Completed { charge: entry.charge.clone(), paid: false },
            _ if entry.expired => CheckoutState::Expired,
            _ => CheckoutState::Open,
        })
    }

    fn pay_checkout(&mut self, checkout: &CheckoutRef, number: &str, now_s: u64) -> Answer {
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
        self.make(charge.clone(), ask, card.behaviour, Some(checkout.clone()), now_s);
        Answer::Paid(match (declined, card.behaviour) {
            (Some(decline), _) => Paid::Declined(decline),
            (None, Behaviour::Authenticates) => Paid::Authenticate(charge),
            (None, _) => Paid::Done { return_url },
        })
    }

    fn close_checkout(&mut self, checkout: &CheckoutRef, now_s: u64) -> Answer {
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
    fn expire(&mut self, checkout: &CheckoutRef, now_s: u64) {
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

    fn refund(&mut self, ask: &Refund) -> Answer {
        let refund = RefundRef::new(format!("sim_re_{}", digest(&[ask.key.as_str()])));
        let accepted = RefundOutcome::Accepted { refund: refund.clone(), state: RefundState::Succeeded };
        if let Some(before) = self.refunds.get(&refund) {
            return if before == ask { Answer::Refund(accepted) } else { conflict() };
        }
        let Some(entry) = self.charges.get_mut(&ask.charge) else {
            return unknown("charge");
        };
        let left = entry.ask.money.amount - entry.refunded;
        let fits = entry.standing == Standing::Succeeded && entry.ask.money.currency == ask.money.currency;
        if !fits || ask.money.amount <= 0 || ask.money.amount > left {
            return refused(
                "refund_too_large",
                "more than is left of the charge, or it is not paid, or in another currency",
            );
        }
        entry.refunded += ask.money.amount;
        let total = Money { amount: entry.refunded, currency: ask.money.currency };
        let (charge, key) = (ask.charge.clone(), Some(ask.key.to_string()));
        let changed = Event::RefundChanged {
            refund: refund.clone(),
            charge: Some(charge.clone()),
            key,
            money: ask.money,
            state: RefundState::Succeeded,
        };
        for event in [changed, Event::RefundedInAll { charge, total }] {
            self.outbox.put(Post { event, at_s: ask.decided_at_s, copies: 1 });
        }
        self.refunds.insert(refund, ask.clone());
        Answer::Refund(accepted)
    }

    fn open_dispute(&mut self, charge: &ChargeRef, now_s: u64) -> Answer {
        let Some(entry) = self.charges.get(charge).filter(|entry| entry.standing == Standing::Succeeded) else {
            return unknown("paid charge");
        };
        let dispute = DisputeRef::new(format!("sim_dp_{}", digest(&[charge.as_str()])));
        if !self.disputes.contains_key(&dispute) {
            let (charge, reason) = (charge.clone(), "fraudulent".to_owned());
            let event = Event::DisputeOpened {
                dispute: dispute.clone(),
                charge: charge.clone(),
                money: entry.ask.money,
                reason,
            };
            self.outbox.put(Post { event, at_s: now_s, copies: 1 });
            self.disputes.insert(dispute.clone(), DisputeEntry { charge, end: None });
        }
        Answer::Dispute(dispute)
    }

    fn close_dispute(&mut self, dispute: &DisputeRef, end: DisputeEnd, now_s: u64) -> Answer {
        let Some(entry) = self.disputes.get_mut(dispute) else {
            return unknown("dispute");
        };
        match entry.end {
            Some(before) if before == end => return Answer::Done,
            Some(_) => return refused("dispute_closed", "the dispute was decided otherwise"),
            None => entry.end = Some(end),
        }
        let charge = entry.charge.clone();
        let money = self.charges[&charge].ask.money;
        let event = Event::DisputeClosed { dispute: dispute.clone(), charge, money, end };
        self.outbox.put(Post { event, at_s: now_s, copies: 1 });
        Answer::Done
    }

    fn advance(&mut self, now_s: u64) -> Answer {
        let settles = |entry: &ChargeEntry| match entry.standing {
            Standing::Processing { settles_at_s } if settles_at_s <= now_s => Some((settles_at_s, entry.behaviour)),
            _ => None,
        };
        let due: Vec<_> =
            self.charges.iter().filter_map(|(charge, entry)| Some((charge.clone(), settles(entry)?))).collect();
        for (charge, (at_s, behaviour)) in due {
            self.stand(&charge, decline(behaviour).map_or(Standing::Succeeded, Standing::Declined), at_s);
        }
        let expired: Vec<_> =
            self.checkouts.iter().filter(|(_, entry)| entry.ask.expires_at_s <= now_s && !entry.expired).collect();
        let expired: Vec<_> =
            expired.into_iter().map(|(checkout, entry)| (checkout.clone(), entry.ask.expires_at_s)).collect();
        for (checkout, at_s) in expired {
            if self.checkout_state(&checkout) == Some(CheckoutState::Open) {
                self.expire(&checkout, at_s);
            }
        }
        Answer::Done
    }
}

fn charge_ref(key: &Key) -> ChargeRef {
    ChargeRef::new(format!("sim_ch_{}", digest(&[key.as_str()])))
}

fn checkout_ref(key: &Key) -> CheckoutRef {
    CheckoutRef::new(format!("sim_cs_{}", digest(&[key.as_str()])))
}

fn gone() -> Decline {
    Decline {
        code: "payment_method_gone".to_owned(),
        hard: true,
        message: "The payment method is no longer there.".to_owned(),
    }
}

fn not_authenticated() -> Decline {
    let message = "The payment was not authenticated.".to_owned();
    Decline { code: "authentication_failed".to_owned(), hard: false, message }
}
