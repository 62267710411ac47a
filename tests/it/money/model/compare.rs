//! The model held against the engine.

use std::collections::{BTreeMap, BTreeSet};

use drawdown::billing::top_up::{Credit, Payment, Refund, RefundReport, RefundStatus};
use drawdown::engine::Engine;
use drawdown::engine::billing::TopUpView;
use drawdown::ledger::Timestamp;

use super::rule::{Halt, Rule};
use super::{Buy, Model, WALLETS, euros};

impl Model {
    /// Gives ids to what the engine has bought, by wallet.
    pub(in crate::money) fn adopt(&mut self, views: &[TopUpView]) -> Result<(), String> {
        for view in views.iter().rev() {
            let top_up = &view.top_up;
            if self.find(&top_up.id).is_some() {
                continue;
            }
            let is_it = |buy: &&mut Buy| {
                buy.id.is_empty() && WALLETS[buy.wallet] == (top_up.customer.as_str(), view.currency.id.as_str())
            };
            match self.buys.iter_mut().find(is_it) {
                Some(buy) => buy.id.clone_from(&top_up.id),
                None => return Err(format!("{} should not have been bought: {top_up:?}", top_up.id)),
            }
        }
        match self.buys.iter().find(|buy| buy.id.is_empty()) {
            Some(buy) => Err(format!("it should have been bought: {buy:?}")),
            None => Ok(()),
        }
    }

    /// The first thing that the engine has otherwise.
    pub(in crate::money) fn differs(&self, engine: &Engine, views: &[TopUpView]) -> Result<(), String> {
        if views.len() != self.buys.len() {
            return Err(format!("{} purchases, and the engine has {}", self.buys.len(), views.len()));
        }
        for view in views {
            let (top_up, buy) = (&view.top_up, &self.buys[self.find(&view.top_up.id).ok_or("an unknown purchase")?]);
            let credited = match top_up.credit {
                Credit::Granted { amount, .. } => Some(amount.units()),
                Credit::None => None,
                Credit::Due(_) | Credit::Refused(_) => return Err(format!("not credited: {top_up:?}")),
            };
            let price = top_up.purchase.price.map_or(0, |price| price.units);
            let facts = (top_up.in_doubt, top_up.expires_at.map(Timestamp::millis), top_up.created_at.millis());
            let theirs =
                (top_up.status().as_str(), credited, top_up.clawed_back.units(), top_up.refunded().units, facts);
            let facts = (buy.in_doubt, buy.expires_at, buy.at);
            let ours = (buy.status(), buy.is_credited.then_some(buy.credited), buy.clawed, buy.refunded(), facts);
            if theirs != ours || price != buy.cents || top_up.clawed_back != top_up.to_claw_back {
                return Err(format!("{} should be {ours:?} and is {theirs:?}: {buy:?}, {top_up:?}", buy.id));
            }
            if buy.auto && top_up.method != buy.card {
                return Err(format!("{} should charge {:?} and charges {:?}", buy.id, buy.card, top_up.method));
            }
            let payment = |payment: &Payment| (payment.key.clone(), payment.money.units);
            let payments: BTreeMap<_, _> = top_up.payments.iter().map(payment).collect();
            if payments != buy.payments {
                return Err(format!("{} should have {:?} and has {payments:?}", buy.id, buy.payments));
            }
            if buy.is_paid {
                let number = view.invoice.ok_or_else(|| format!("{} has no invoice", buy.id))?;
                let invoice = engine.invoice(number).map_err(|error| error.to_string())?;
                let noted = invoice.notes.iter().map(|note| note.money.units).sum::<i64>();
                let is_noted = buy.captured != buy.invoiced() || noted == buy.refunded();
                if invoice.total != euros(buy.invoiced()) || invoice.due() != euros(0) || !is_noted {
                    return Err(format!("the invoice of {buy:?} is {invoice:?}"));
                }
            }
            let status = |refund: &Refund| match refund.status {
                RefundStatus::Pending => RefundReport::Pending,
                RefundStatus::Succeeded => RefundReport::Succeeded,
                RefundStatus::Failed => RefundReport::Failed,
            };
            let refund = |refund: &Refund| (refund.key.clone(), (refund.money.units, status(refund)));
            let refunds: BTreeMap<_, _> = top_up.refunds.iter().map(refund).collect();
            if refunds != buy.refunds {
                return Err(format!("{} should have refunds {:?} and has {refunds:?}", buy.id, buy.refunds));
            }
        }
        for (wallet, (customer, currency)) in WALLETS.iter().enumerate() {
            let theirs = engine.wallet(customer, currency).map_or((0, 0), |view| {
                let used = view.balance.units() - view.available.units();
                (view.balance.units(), used)
            });
            let ours = (self.balance(wallet), self.wallets[wallet].frozen());
            if theirs != ours {
                return Err(format!("{customer}'s {currency}, and what is frozen of them: {ours:?}, not {theirs:?}"));
            }
            let theirs = engine.rule(customer, currency).ok();
            let rule = self.rules[wallet].as_ref().filter(|rule| rule.is_live);
            let ahead = |time: Option<Timestamp>| time.map_or(0, Timestamp::millis);
            let theirs = theirs.map(|view| {
                let state = view.record.state;
                let times = (ahead(state.retry_at), ahead(state.cooling_until), state.failures);
                (view.record.rule, view.status.as_str(), state.in_flight.map(|attempt| attempt.top_up), times)
            });
            let ours = rule.map(|rule| {
                let times = (rule.retry_at, rule.cooling_until, rule.failures);
                (rule.spec.rule(wallet), self.rule_status(wallet, rule), self.in_flight(wallet), times)
            });
            if theirs != ours {
                return Err(format!("{customer}'s rule should be {ours:?} and is {theirs:?}: {rule:?}"));
            }
        }
        for customer in ["ada", "bob", "cyd"] {
            let theirs = engine.payment_methods(customer);
            let theirs: BTreeSet<_> =
                theirs.iter().map(|card| (card.id.clone(), card.is_default, card.detached)).collect();
            let of_customer = self.cards.iter().filter(|card| card.customer == customer);
            let ours: BTreeSet<_> = of_customer.map(|card| (card.id.clone(), card.is_default, card.is_gone)).collect();
            if theirs != ours {
                return Err(format!("{customer}'s cards should be {ours:?} and are {theirs:?}"));
            }
        }
        Ok(())
    }

    fn in_flight(&self, wallet: usize) -> Option<String> {
        let is_it = |buy: &&Buy| buy.wallet == wallet && buy.auto && buy.is_open();
        self.buys.iter().find(is_it).map(|buy| buy.id.clone())
    }

    fn rule_status(&self, wallet: usize, rule: &Rule) -> &'static str {
        match rule.halt {
            _ if !rule.spec.enabled => "disabled",
            Some(Halt::Suspended) => "suspended",
            Some(Halt::Action) => "requires_action",
            None if self.in_flight(wallet).is_some() => "in_flight",
            None if self.now < rule.cooling_until || self.now < rule.retry_at => "cooling",
            None => "armed",
        }
    }
}
