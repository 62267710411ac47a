//! What has become of a rule, and what it does next.

use super::super::Per;
use super::super::money::Money;
use super::rule::Rule;
use super::size::{Offer, Order, Unsizable};
use super::tally::Tally;
use super::{FAILURES_MAX, FIRST_RETRY_MS};
use crate::ledger::{Amount, Timestamp};
use std::collections::BTreeMap;

/// A top-up that a rule has set off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its id.
    pub top_up: String,
    /// When it was set off.
    pub at: Timestamp,
    /// What it costs.
    pub money: Money,
}

/// Why a rule was suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuspendReason {
    /// The provider says that trying again is no use.
    HardDecline,
    /// [`FAILURES_MAX`] failures in a row.
    Failures,
}

/// What only a person ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// It is suspended.
    Suspended(SuspendReason),
    /// The customer must do something, such as 3-D Secure.
    ActionRequired,
}

/// What keeps a rule that should fire from firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// It is suspended, or the customer must act.
    Halted,
    /// There is no payment method that can be charged.
    NoMethod,
    /// It rests after a success.
    Cooldown,
    /// It waits after a decline.
    BackOff,
    /// A limit is reached.
    Limit(Per),
    /// What it buys is not sold, or not as often, or costs more than can be counted.
    NotSold,
}

impl Skip {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Skip::Halted => "halted",
            Skip::NoMethod => "no_payment_method",
            Skip::Cooldown => "cooldown",
            Skip::BackOff => "back_off",
            Skip::Limit(_) => "limit_reached",
            Skip::NotSold => "not_sold",
        }
    }
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it is disabled, or there are credits enough.
    Rest,
    /// Nothing: a top-up of its is in flight.
    InFlight,
    /// It buys. The intent is to be recorded, then [`RuleState::fired`] told.
    Fire(Order),
    /// It should buy and does not.
    Skip {
        /// Why.
        why: Skip,
        /// When time alone will have ended that.
        look_again: Option<Timestamp>,
        /// Whether that is news; then [`RuleState::told`] is to be recorded.
        is_news: bool,
    },
}

/// What became of a top-up that a rule had set off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Paid.
    Succeeded,
    /// Declined.
    Failed {
        /// Whether trying again with the same card is no use.
        hard: bool,
    },
    /// Expired or called off.
    GivenUp,
}

/// What lifts a halt and a back-off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lift {
    /// Another card, by [`super::super::PaymentMethod::identity`]; the same one again lifts nothing.
    Card(String),
    /// The customer bought by hand.
    ManualTopUp,
    /// An operator says so.
    Operator,
}

/// Whether something was lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifted {
    /// There was nothing, or it stays.
    Nothing,
    /// The rule was waiting after a decline, and is to be evaluated.
    BackOff,
    /// The rule was halted: to be told, and evaluated.
    Halt,
}

/// What the feed tells of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It has set off a top-up.
    Triggered,
    /// It should have and did not.
    Skipped,
    /// A top-up of its was declined.
    Failed,
    /// It was suspended.
    Suspended,
    /// It goes on.
    Resumed,
}

impl News {
    /// The event's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            News::Triggered => "auto_top_up.triggered",
            News::Skipped => "auto_top_up.skipped",
            News::Failed => "auto_top_up.failed",
            News::Suspended => "auto_top_up.suspended",
            News::Resumed => "auto_top_up.resumed",
        }
    }
}

/// What a rule is shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleStatus {
    /// It fires when the balance is low.
    Armed,
    /// A top-up of its is in flight.
    InFlight,
    /// It rests after a success, or waits after a decline.
    Cooling,
    /// It is suspended.
    Suspended,
    /// The customer must do something.
    RequiresAction,
    /// It was switched off.
    Disabled,
}

impl RuleStatus {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            RuleStatus::Armed => "armed",
            RuleStatus::InFlight => "in_flight",
            RuleStatus::Cooling => "cooling",
            RuleStatus::Suspended => "suspended",
            RuleStatus::RequiresAction => "requires_action",
            RuleStatus::Disabled => "disabled",
        }
    }
}

/// How the wallet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The balance less what is held; below zero is debt.
    pub balance: Amount,
    /// Credits of top-ups that may still be paid, of anybody's making but the rule's own.
    pub in_flight: Amount,
    /// Whether there is a card to charge.
    pub has_method: bool,
    /// The time.
    pub now: Timestamp,
}

/// What has become of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleState {
    /// The top-up in flight.
    pub in_flight: Option<Attempt>,
    /// What was bought in the present windows.
    pub tally: Tally,
    /// Failures since the last success.
    pub failures: u32,
    /// Up to when it rests after a success.
    pub cooling_until: Option<Timestamp>,
    /// Up to when it waits after a decline.
    pub retry_at: Option<Timestamp>,
    /// What only a person ends.
    pub halt: Option<Halt>,
    /// The card that was charged last, by its identity.
    pub card: Option<String>,
    /// What was told to keep it from firing, and up to when that holds; zero for what has no end.
    pub told: BTreeMap<Skip, Timestamp>,
}

impl RuleState {
    /// What the rule does now.
    pub fn evaluate(&self, rule: &Rule, offer: &Offer<'_>, facts: Facts) -> Verdict {
        let expected = facts.balance.checked_add(facts.in_flight).unwrap_or(Amount::MAX);
        if !rule.enabled || !rule.is_low(expected) {
            return Verdict::Rest;
        }
        if self.in_flight.is_some() {
            return Verdict::InFlight;
        }
        let now = facts.now;
        let is_ahead = |until: Option<Timestamp>| until.filter(|until| now < *until);
        if self.halt.is_some() {
            return self.skip(Skip::Halted, None);
        }
        if let Some(until) = is_ahead(self.retry_at) {
            return self.skip(Skip::BackOff, Some(until));
        }
        if let Some(until) = is_ahead(self.cooling_until) {
            return self.skip(Skip::Cooldown, Some(until));
        }
        if !facts.has_method {
            return self.skip(Skip::NoMethod, None);
        }
        let order = match offer.order(rule, expected) {
            Ok(order) => order,
            Err(Unsizable::NotSold | Unsizable::TooManyPackages | Unsizable::TooMuch) => {
                return self.skip(Skip::NotSold, None);
            }
        };
        match self.tally.reached(&rule.limits, order.price, now) {
            Some(limit) => self.skip(Skip::Limit(limit.per), Some(limit.per.end(now))),
            None => Verdict::Fire(order),
        }
    }

    fn skip(&self, why: Skip, look_again: Option<Timestamp>) -> Verdict {
        let is_news = match self.told.get(&why) {
            // The halt itself was told.
            None => why != Skip::Halted,
            Some(until) => *until != look_again.unwrap_or_default(),
        };
        Verdict::Skip { why, look_again, is_news }
    }

    /// What keeps the rule from firing was told.
    pub fn told(&mut self, why: Skip, look_again: Option<Timestamp>) {
        self.told.insert(why, look_again.unwrap_or_default());
    }

    /// The rule has set off a top-up, which charges the card of that identity.
    pub fn fired(&mut self, attempt: Attempt, card: String) {
        assert!(self.in_flight.is_none(), "a rule fires when nothing is in flight");
        self.tally.add(attempt.at, attempt.money);
        self.in_flight = Some(attempt);
        self.card = Some(card);
        // What ends by firing may be told again when it comes back.
        self.told.retain(|why, _| matches!(why, Skip::Limit(_)));
    }

    /// The top-up in flight waits for the customer.
    pub fn requires_action(&mut self, top_up: &str) {
        if self.in_flight.as_ref().is_some_and(|attempt| attempt.top_up == top_up) {
            self.halt = Some(Halt::ActionRequired);
        }
    }

    /// A top-up that the rule had set off has come to an end; a success may be told of one that had been given up. To be told once for each
    /// change. Gives what is to be told.
    pub fn settled(&mut self, rule: &Rule, attempt: &Attempt, settled: &Settled, now: Timestamp) -> Vec<News> {
        let was_in_flight = self.in_flight.as_ref().is_some_and(|known| known.top_up == attempt.top_up);
        if was_in_flight {
            self.in_flight = None;
        }
        match settled {
            Settled::Succeeded => {
                if !was_in_flight {
                    self.tally.add_late(attempt.at, attempt.money);
                }
                self.cooling_until = Some(now.saturating_add(rule.cooldown_ms));
                self.recover()
            }
            _ if !was_in_flight => Vec::new(),
            Settled::Failed { hard } => {
                self.tally.take_back(attempt.at, attempt.money);
                self.fail(*hard, now)
            }
            Settled::GivenUp => {
                self.tally.take_back(attempt.at, attempt.money);
                if self.halt.is_none() {
                    // Whoever called it off does not want the next one at once.
                    self.retry_at = Some(now.saturating_add(FIRST_RETRY_MS));
                }
                Vec::new()
            }
        }
    }

    fn fail(&mut self, hard: bool, now: Timestamp) -> Vec<News> {
        self.failures = self.failures.saturating_add(1);
        let reason = match (hard, self.failures) {
            (true, _) => Some(SuspendReason::HardDecline),
            (false, FAILURES_MAX..) => Some(SuspendReason::Failures),
            _ => None,
        };
        if let Some(reason) = reason {
            self.halt = Some(Halt::Suspended(reason));
            return vec![News::Failed, News::Suspended];
        }
        // An action that was asked for has come to its end.
        self.halt = None;
        let doublings = (self.failures - 1).min(FAILURES_MAX);
        self.retry_at = Some(now.saturating_add(FIRST_RETRY_MS << doublings));
        vec![News::Failed]
    }

    /// Ends halt and back-off.
    fn recover(&mut self) -> Vec<News> {
        self.failures = 0;
        self.retry_at = None;
        self.halt.take().map(|_| News::Resumed).into_iter().collect()
    }

    /// Something has happened that may end a halt or a back-off.
    pub fn lift(&mut self, lift: &Lift) -> Lifted {
        let is_same_card = matches!(lift, Lift::Card(card) if self.card.as_ref() == Some(card));
        if is_same_card {
            return Lifted::Nothing;
        }
        let was_waiting = self.retry_at.is_some() || self.failures > 0;
        match self.recover().is_empty() {
            false => Lifted::Halt,
            true if was_waiting => Lifted::BackOff,
            true => Lifted::Nothing,
        }
    }

    /// The rule was set anew: what kept the old one from firing may be told of the new one.
    pub fn changed(&mut self) {
        self.told.clear();
    }

    /// What the rule is shown as.
    pub fn status(&self, rule: &Rule, now: Timestamp) -> RuleStatus {
        let is_ahead = |until: Option<Timestamp>| until.is_some_and(|until| now < until);
        match self.halt {
            _ if !rule.enabled => RuleStatus::Disabled,
            Some(Halt::Suspended(_)) => RuleStatus::Suspended,
            Some(Halt::ActionRequired) => RuleStatus::RequiresAction,
            None if self.in_flight.is_some() => RuleStatus::InFlight,
            None if is_ahead(self.cooling_until) || is_ahead(self.retry_at) => RuleStatus::Cooling,
            None => RuleStatus::Armed,
        }
    }
}
