//! Charges in the book: what each card makes of them, and how they come to stand.

use super::book::{Book, ChargeEntry, Standing, conflict, digest, refused, unknown};
use super::cards::{Behaviour, PROCESSING_S};
use super::checkouts::checkout_ref;
use super::command::{Answer, ChargeView, Manner, Paid};
use super::post::Post;
use crate::providers::{Charge, ChargeFacts, ChargeOutcome, ChargeRef, CheckoutRef, Decline, Event, FoundCharge, Key};

pub(super) fn charge_ref(key: &Key) -> ChargeRef {
    ChargeRef::new(format!("sim_ch_{}", digest(&[key.as_str()])))
}

pub(super) fn gone() -> Decline {
    Decline {
        code: "payment_method_gone".to_owned(),
        hard: true,
        message: "The payment method is no longer there.".to_owned(),
    }
}

pub(super) fn decline(behaviour: Behaviour) -> Option<Decline> {
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

pub(super) fn not_authenticated() -> Decline {
    let message = "The payment was not authenticated.".to_owned();
    Decline { code: "authentication_failed".to_owned(), hard: false, message }
}

impl ChargeEntry {
    pub(super) fn facts(&self, charge: &ChargeRef) -> ChargeFacts {
        ChargeFacts {
            charge: charge.clone(),
            key: Some(self.ask.key.to_string()),
            customer: Some(self.ask.customer.clone()),
            method: Some(self.ask.method.clone()),
            money: self.ask.money,
        }
    }

    pub(super) fn outcome(&self, charge: &ChargeRef) -> ChargeOutcome {
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
    pub(super) fn charge(&mut self, ask: &Charge) -> Answer {
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
        self.make(&charge, ask.clone(), behaviour, None, ask.decided_at_s);
        let manner = match behaviour {
            Behaviour::Slow => Manner::Slow,
            Behaviour::LosesAnswer => Manner::Lost,
            _ => Manner::Prompt,
        };
        Answer::Charge(self.charges[&charge].outcome(&charge), manner)
    }

    /// Enters a charge and does what its card does.
    pub(super) fn make(
        &mut self,
        charge: &ChargeRef,
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
        self.stand(charge, standing, now_s);
    }

    /// A charge comes to stand somehow: its event, its checkout's event, and what its card does beside that.
    pub(super) fn stand(&mut self, charge: &ChargeRef, standing: Standing, now_s: u64) {
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

    pub(super) fn find_charge(&self, key: &Key) -> Option<FoundCharge> {
        // A checkout's declined payments stand beside each other; the one that counts is told by the checkout.
        let by_checkout = self.checkouts.get(&checkout_ref(key)).and_then(|entry| entry.charge.clone());
        let charge = by_checkout.unwrap_or_else(|| charge_ref(key));
        let entry = self.charges.get(&charge)?;
        let method = Some(entry.ask.method.clone());
        Some(FoundCharge { money: entry.ask.money, method, outcome: entry.outcome(&charge) })
    }

    pub(super) fn view_charge(&self, charge: &ChargeRef) -> Answer {
        self.charges.get(charge).map_or(unknown("charge"), |entry| {
            Answer::ChargeView(ChargeView {
                money: entry.ask.money,
                description: entry.ask.description.clone(),
                outcome: entry.outcome(charge),
                return_url: entry.ask.return_url.clone(),
            })
        })
    }

    pub(super) fn complete(&mut self, charge: &ChargeRef, approved: bool, now_s: u64) -> Answer {
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
}
