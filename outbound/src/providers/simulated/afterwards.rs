//! What comes after a payment in the book: refunds, disputes, and what time brings.

use super::book::{Book, ChargeEntry, DisputeEntry, Standing, conflict, digest, refused, unknown};
use super::charges::decline;
use super::command::Answer;
use super::post::Post;
use crate::providers::{
    ChargeRef, CheckoutState, DisputeEnd, DisputeRef, Event, Money, Refund, RefundOutcome, RefundRef, RefundState,
};

impl Book {
    pub(super) fn refund(&mut self, ask: &Refund) -> Answer {
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

    pub(super) fn open_dispute(&mut self, charge: &ChargeRef, now_s: u64) -> Answer {
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

    pub(super) fn close_dispute(&mut self, dispute: &DisputeRef, end: DisputeEnd, now_s: u64) -> Answer {
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

    pub(super) fn advance(&mut self, now_s: u64) -> Answer {
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
