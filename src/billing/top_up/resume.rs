//! What is still to be done about a top-up when a server starts.

use super::effect::{Command, Effect};
use super::{Collection, Credit, RefundStatus, Status, TopUp};
use crate::ledger::Amount;

impl TopUp {
    /// What was to be done and may not have been, in the order in which it is to be done. Commands to providers are those given before, under
    /// the same keys: whoever has carried one out already answers as it did then.
    pub fn resume(&self) -> Vec<Effect> {
        let mut effects = Vec::new();
        let status = self.status();
        if self.has_provider() && status.is_open() {
            effects.extend(self.unanswered().map(Effect::Provider));
        } else if self.is_given_up() {
            effects.push(Effect::Provider(Command::Withdraw));
        }
        if let Credit::Due(amount) = self.credit {
            effects.push(Effect::Credit(self.credit_order(amount)));
        }
        if let Some(amount) = self.to_claw_back.checked_sub(self.clawed_back).filter(|rest| *rest > Amount::ZERO) {
            effects.push(Effect::ClawBack { amount, total: self.to_claw_back });
        }
        match (self.to_freeze, self.frozen) {
            (true, false) => effects.push(Effect::Freeze),
            (false, true) => effects.push(Effect::Release),
            _ => {}
        }
        let pending =
            self.refunds.iter().filter(|refund| refund.status == RefundStatus::Pending && self.has_provider());
        effects.extend(
            pending.map(|refund| Effect::Provider(Command::Refund { key: refund.key.clone(), money: refund.money })),
        );
        effects
    }

    /// What its provider can be asked about it, in case that what the provider told by itself has been lost. Nothing if nothing is awaited.
    pub fn questions(&self) -> Vec<Command> {
        let mut questions = Vec::new();
        if self.has_provider() && self.status().is_open() {
            questions.push(Command::Lookup);
        } else if self.is_given_up() {
            questions.push(Command::Withdraw);
        }
        let pending =
            self.refunds.iter().filter(|refund| refund.status == RefundStatus::Pending && self.has_provider());
        questions.extend(pending.map(|refund| Command::LookupRefund { key: refund.key.clone(), money: refund.money }));
        questions
    }

    /// Whether it was given up, and may have been paid all the same.
    fn is_given_up(&self) -> bool {
        self.has_provider() && self.in_doubt && self.captured.is_none() && !self.progress.is_open()
    }

    /// The command that the provider is to be given again.
    fn unanswered(&self) -> Option<Command> {
        let is_new = self.progress == Status::Created && !self.in_doubt;
        match (self.collection, &self.method, self.purchase.price) {
            (Collection::Charge, Some(method), Some(money)) if is_new => {
                Some(Command::Charge { method: method.clone(), money })
            }
            (Collection::Checkout, ..) if is_new && self.checkout_url.is_some() => None,
            (Collection::Checkout, _, money) if is_new => {
                let return_url = self.return_url.clone();
                Some(Command::OpenCheckout { money, saves_method: self.saves_method, return_url })
            }
            _ => Some(Command::Lookup),
        }
    }
}
