//! Automatic rules: set, evaluated, and told what became of their top-ups.

use super::carry::Beside;
use super::follow::RuleKey;
use super::missing;
use super::tables::Tables;
use super::top_ups::limited;
use super::view::{Buyer, RuleView};
use crate::billing::auto::{Attempt, Facts, Lift, Lifted, News, Offer, Order, Rule, RuleState, Settled, Verdict};
use crate::billing::money::Worth;
use crate::billing::portal::PortalLimits;
use crate::billing::top_up::{Collection, Goods, Kind, NewTopUp, Purchase, Status, Step, TopUp, create};
use crate::billing::{CreditPackage, Invalid, MethodStatus, PaymentMethod, method};
use crate::catalog::{CreditCurrency, CurrencyNumber, Metadata};
use crate::engine::once::{RequestKey, or_gone};
use crate::engine::ticket::Ticket;
use crate::engine::view::CommandError;
use crate::engine::{Engine, Inner};
use crate::journal::admin::AdminRecord;
use crate::journal::billing::{BillingRecord, RuleRecord};
use crate::journal::done::{Deed, DoneRecord};
use crate::ledger::{Amount, Source, Timestamp};
use crate::store::{Guard, pin};
use std::sync::Arc;

impl Engine {
    /// Sets a rule, and evaluates it at once. The same again changes nothing.
    pub fn put_rule(&self, rule: Rule) -> Result<(RuleView, Ticket), CommandError> {
        self.put_rule_by(rule, Buyer::Operator)
    }

    /// The same for who sets it: what a customer's own rule buys at the edge of its threshold has to keep to the portal's limits. They are looked
    /// at when the rule is set, not when it fires: a wider gap is closed whole.
    pub fn put_rule_by(&self, rule: Rule, buyer: Buyer) -> Result<(RuleView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        inner.check_customer(&rule.customer)?;
        let currency = inner.currency_numbered(rule.currency)?;
        let mut tables = inner.billing.lock();
        let steady = inner.catalog.steady(&currency)?;
        let package = tables.package_of(&rule);
        let offer = tables.offer(&rule, package.as_deref(), &currency);
        rule.check(&offer)?;
        if let Some(limits) = tables.limits.get(&currency.number).filter(|_| buyer == Buyer::Customer && rule.enabled) {
            limits_of_rule(limits, &rule, &offer, &currency)?;
        }
        if let Some(id) = &rule.method {
            tables.named_method(&rule.customer, id)?;
        }
        let now = inner.now();
        let key = (rule.customer.clone(), rule.currency);
        let old = tables.rules.get(&key).cloned();
        if old.as_ref().is_none_or(|old| old.deleted || old.rule != rule) {
            let mut state = old.as_ref().map_or_else(RuleState::default, |old| old.state.clone());
            state.changed();
            let live = old.as_ref().filter(|old| !old.deleted);
            let created_at = live.map_or(now, |old| old.created_at);
            let (news, skip) = (Vec::new(), None);
            let record = RuleRecord { rule, state, deleted: false, created_at, updated_at: now, news, skip };
            inner.put(&mut tables, BillingRecord::Rule(Box::new(record)))?;
        }
        drop(steady);
        inner.evaluate(&mut tables, &key.0, key.1, now)?;
        let record = (*tables.rules[&key]).clone();
        Ok((view_of(record, currency, now), self.barrier()))
    }

    /// Takes a rule away. A top-up that it has set off goes on. Repeating it is success.
    pub fn delete_rule(&self, customer: &str, currency: &str) -> Result<Ticket, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let currency = inner.currency_or_default(Some(currency))?;
        let mut tables = inner.billing.lock();
        let key = (customer.to_owned(), currency.number);
        let old = tables.rules.get(&key).cloned().ok_or(missing("auto_topup_rule"))?;
        if !old.deleted {
            let record = RuleRecord { deleted: true, updated_at: inner.now(), ..(*old).clone() };
            inner.put(&mut tables, BillingRecord::Rule(Box::new(record)))?;
        }
        Ok(self.barrier())
    }

    /// A rule.
    pub fn rule(&self, customer: &str, currency: &str) -> Result<RuleView, CommandError> {
        let currency = self.inner.currency_or_default(Some(currency))?;
        let tables = self.inner.billing.lock();
        let record = tables.rules.get(&(customer.to_owned(), currency.number)).filter(|record| !record.deleted);
        let record = (**record.ok_or(missing("auto_topup_rule"))?).clone();
        Ok(view_of(record, currency, self.inner.now()))
    }

    /// Lets a rule that is suspended, or waits after a decline, go on.
    pub fn resume_rule(&self, customer: &str, currency: &str) -> Result<(RuleView, Ticket), CommandError> {
        self.resume_rule_once(customer, currency, None)
    }

    /// The same, once under a request's key: a rule that was suspended since stays so.
    pub fn resume_rule_once(
        &self,
        customer: &str,
        currency: &str,
        once: Option<RequestKey>,
    ) -> Result<(RuleView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        if self.was_done(once, Deed::RuleResumed)?.is_some() {
            let number = or_gone(self.rule(customer, currency))?.currency.number;
            // The log may have had no room for what it was to buy.
            let ticket = self.evaluate_rule(customer, number)?;
            return Ok((or_gone(self.rule(customer, currency))?, ticket));
        }
        let currency = inner.currency_or_default(Some(currency))?;
        let mut tables = inner.billing.lock();
        let key = (customer.to_owned(), currency.number);
        if tables.rules.get(&key).is_none_or(|record| record.deleted) {
            return Err(missing("auto_topup_rule"));
        }
        let now = inner.now();
        let done = once.map(|once| once.done(Deed::RuleResumed, format!("{customer}\n{}", currency.id)));
        inner.lift_rule(&mut tables, &key, &Lift::Operator, done, now)?;
        let record = (*tables.rules[&key]).clone();
        Ok((view_of(record, currency, now), self.barrier()))
    }

    /// Evaluates the rule on a wallet, if there is one: to be called whenever the wallet may have run low. What it buys is recorded, and the
    /// charge is in the outbox.
    pub fn evaluate_rule(&self, customer: &str, currency: CurrencyNumber) -> Result<Ticket, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        inner.evaluate(&mut inner.billing.lock(), customer, currency, inner.now())?;
        Ok(self.barrier())
    }

    /// Evaluates every rule: at the start, and when a day has begun.
    pub fn evaluate_rules(&self) -> Result<Ticket, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let mut tables = inner.billing.lock();
        let keys: Vec<_> = tables.rules.keys().cloned().collect();
        inner.evaluate_each(&mut tables, keys)?;
        Ok(self.barrier())
    }
}

fn view_of(record: RuleRecord, currency: Arc<CreditCurrency>, now: Timestamp) -> RuleView {
    let status = record.state.status(&record.rule, now);
    RuleView { record, currency, status }
}

impl Inner {
    /// Evaluates a rule and does what comes of it. What comes of it and is refused, because the log takes nothing just now, is not lost: the rule is
    /// looked at again.
    pub(super) fn evaluate(
        &self,
        tables: &mut Tables,
        customer: &str,
        currency: CurrencyNumber,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let outcome = self.evaluate_once(tables, customer, currency, now);
        if outcome.is_err() {
            tables.look_again.insert((now, customer.to_owned(), currency));
        }
        outcome
    }

    /// Evaluates rules up to the first of which that fails; it and those behind it are looked at again.
    pub(super) fn evaluate_each(
        &self,
        tables: &mut Tables,
        keys: impl IntoIterator<Item = RuleKey>,
    ) -> Result<(), CommandError> {
        let mut outcome = Ok(());
        for (customer, currency) in keys {
            let now = self.now();
            if outcome.is_ok() {
                outcome = self.evaluate(tables, &customer, currency, now);
            } else {
                tables.look_again.insert((now, customer, currency));
            }
        }
        outcome
    }

    fn evaluate_once(
        &self,
        tables: &mut Tables,
        customer: &str,
        currency: CurrencyNumber,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let key = (customer.to_owned(), currency);
        let Some(record) = tables.rules.get(&key).filter(|record| !record.deleted).cloned() else {
            return Ok(());
        };
        if record.state.in_flight.is_some() {
            // Whatever else is so, there is nothing to do: most of those that are low are looked at many times before their top-up is there.
            return Ok(());
        }
        let currency = self.currency_numbered(currency)?;
        let Some(balance) = self.standing(customer, &currency, now) else { return Ok(()) };
        let package = tables.package_of(&record.rule);
        let offer = if currency.archived || self.check_customer(customer).is_err() {
            // What is archived takes no new credits.
            Offer { package: None, worth: None, packages_left: None }
        } else {
            tables.offer(&record.rule, package.as_deref(), &currency)
        };
        let card = tables.card(&record.rule, now);
        let in_flight = tables.on_the_way(customer, currency.number);
        let facts = Facts { balance, in_flight, has_method: card.is_some(), now };
        let verdict = record.state.evaluate(&record.rule, &offer, facts);
        #[cfg(drawdown_planted)]
        let verdict = match drawdown_wal::planted::is_planted(drawdown_wal::planted::Bug::CountsNoPurchase) {
            true => {
                RuleState { tally: Default::default(), ..record.state.clone() }.evaluate(&record.rule, &offer, facts)
            }
            false => verdict,
        };
        if let Verdict::Skip { look_again: Some(at), .. } = verdict {
            tables.look_again.insert((at, key.0, key.1));
        }
        match verdict {
            Verdict::Rest | Verdict::InFlight | Verdict::Skip { is_news: false, .. } => Ok(()),
            Verdict::Skip { why, look_again, is_news: true } => {
                let mut next = (*record).clone();
                next.state.told(why, look_again);
                (next.news, next.skip) = (vec![News::Skipped], Some(why));
                self.put(tables, BillingRecord::Rule(Box::new(next)))
            }
            Verdict::Fire(order) => {
                let card = card.expect("a rule fires with a card to charge");
                let id = self.next_top_up(tables);
                let top_up = top_up_of(&record.rule, package.as_deref(), &offer, order, &card, id);
                let step = create(top_up, now)?;
                let mut next = (*record).clone();
                let attempt = Attempt { top_up: step.top_up.id.clone(), at: now, money: order.price };
                next.state.fired(attempt, card.identity());
                next.news = vec![News::Triggered];
                self.take_step_with(tables, None, &step, Beside { rule: Some(next), ..Beside::default() }, now)
            }
        }
    }

    /// A wallet's balance less what is held: nothing, where the wallet is still to be made. `None` where it is closed.
    fn standing(&self, customer: &str, currency: &CreditCurrency, now: Timestamp) -> Option<Amount> {
        let guard = pin();
        let wallet = self.seed.wallet_hash(customer.as_bytes(), currency.number.0);
        let Some(slot) = self.find(wallet, &guard) else { return Some(Amount::ZERO) };
        self.standing_at(slot, now, &guard)
    }

    /// The same of a wallet that is known by its slot.
    pub(super) fn standing_at(&self, slot: u32, now: Timestamp, guard: &Guard) -> Option<Amount> {
        let wallet =
            self.summary_at(slot, now, guard).filter(|wallet| wallet.status != crate::ledger::Status::Closed)?;
        wallet.balance.checked_sub(wallet.held)
    }

    /// Evaluates a customer's rules.
    pub(super) fn evaluate_rules_of(
        &self,
        tables: &mut Tables,
        customer: &str,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let keys: Vec<_> = tables.rules_of(customer).map(|record| record.rule.currency).collect();
        keys.into_iter().try_for_each(|currency| self.evaluate(tables, customer, currency, now))
    }

    fn lift_rule(
        &self,
        tables: &mut Tables,
        key: &(String, CurrencyNumber),
        lift: &Lift,
        done: Option<DoneRecord>,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let record = lifted(&tables.rules[key], lift).map(|record| BillingRecord::Rule(Box::new(record)));
        let records: Vec<_> = record.iter().cloned().map(AdminRecord::Billing).collect();
        if !records.is_empty() || done.is_some() {
            self.append_done(&records, done)?;
        }
        if let Some(record) = record {
            tables.enter(record);
        }
        self.evaluate(tables, &key.0, key.1, now)
    }
}

/// The rule once it goes on, if something kept it from that.
fn lifted(record: &RuleRecord, lift: &Lift) -> Option<RuleRecord> {
    let mut next = record.clone();
    let news = match next.state.lift(lift) {
        Lifted::Nothing => return None,
        Lifted::BackOff => None,
        Lifted::Halt => Some(News::Resumed),
    };
    next.news = news.into_iter().collect();
    Some(next)
}

/// Holds a customer's own rule to the portal's limits: by what it buys at the edge of being low.
fn limits_of_rule(
    limits: &PortalLimits,
    rule: &Rule,
    offer: &Offer<'_>,
    currency: &CreditCurrency,
) -> Result<(), CommandError> {
    let edge = rule.lowest_at_rest().checked_sub(Amount::ONE).unwrap_or(rule.threshold);
    let too_much = |_| Invalid { field: "amount", detail: "would buy more than can be counted".to_owned() };
    let order = offer.order(rule, edge).map_err(too_much)?;
    limits.check(order.price, order.credits, edge, Amount::ZERO).map_err(|refusal| limited(refusal, currency))
}

/// What a rule buys.
fn top_up_of(
    rule: &Rule,
    package: Option<&CreditPackage>,
    offer: &Offer<'_>,
    order: Order,
    card: &PaymentMethod,
    id: String,
) -> NewTopUp {
    let goods = match (package, offer.worth) {
        (None, Some(worth)) => Goods::Worth(worth),
        _ => Goods::Fixed(order.credits),
    };
    let usual = package.map_or(Source::AutoTopUp.default_priority(), |package| package.priority);
    NewTopUp {
        id,
        customer: rule.customer.clone(),
        currency: rule.currency,
        kind: Kind::Auto,
        purchase: Purchase {
            package: package.map(|package| package.id.clone()),
            quantity: order.quantity,
            price: Some(order.price),
            goods,
            source: Source::AutoTopUp,
            priority: rule.priority.unwrap_or(usual),
            valid_for_ms: rule.valid_for_ms.or(package.and_then(|package| package.valid_for_ms)),
        },
        collection: Collection::Charge,
        provider: card.provider.clone(),
        method: Some(card.id.clone()),
        saves_method: false,
        credits_at_once: false,
        return_url: None,
        address: None,
        expiry_ms: None,
        key: None,
        metadata: Metadata::new(),
        form: None,
    }
}

impl Tables {
    /// A customer's rules, those that were taken away too.
    fn rules_of<'a>(&'a self, customer: &'a str) -> impl Iterator<Item = &'a RuleRecord> {
        let first = (customer.to_owned(), CurrencyNumber(0));
        let behind = self.rules.range(first..).map(|(_, record)| &**record);
        behind.take_while(move |record| record.rule.customer == customer)
    }

    /// A customer's rules that go on by what has happened to it: to be recorded together with that.
    pub(super) fn lifted_rules(&self, customer: &str, lift: &Lift) -> Vec<BillingRecord> {
        let records = self.rules_of(customer).filter_map(|record| lifted(record, lift));
        records.map(|record| BillingRecord::Rule(Box::new(record))).collect()
    }

    /// The package that a rule buys.
    fn package_of(&self, rule: &Rule) -> Option<Arc<CreditPackage>> {
        self.packages.get(rule.package()?).cloned()
    }

    /// What a rule can buy now.
    fn offer<'a>(&self, rule: &Rule, package: Option<&'a CreditPackage>, currency: &CreditCurrency) -> Offer<'a> {
        let left = |package: &CreditPackage| {
            let max = u64::from(package.max_per_customer?);
            Some(max.saturating_sub(self.bought(&rule.customer, &package.id)))
        };
        Offer { package, worth: Worth::of_fiat(currency), packages_left: package.and_then(left) }
    }

    /// The card that a rule charges now: one of a provider that is connected.
    fn card(&self, rule: &Rule, now: Timestamp) -> Option<Arc<PaymentMethod>> {
        match &rule.method {
            Some(id) => {
                let usable = |method: &&Arc<PaymentMethod>| {
                    method.status(now) == MethodStatus::Active && self.connected.contains(&method.provider)
                };
                self.methods.get(id).filter(usable).cloned()
            }
            None => self.card_of(&rule.customer, now),
        }
    }

    /// The card that a customer is charged with when none is named, of a provider that is connected.
    pub(super) fn card_of(&self, customer: &str, now: Timestamp) -> Option<Arc<PaymentMethod>> {
        let connected = self.methods_of(customer).filter(|method| self.connected.contains(&method.provider));
        let chosen = method::to_charge(connected.map(|method| &**method), now)?;
        self.methods.get(&chosen.id).cloned()
    }

    /// What has become of a wallet's rule with a step of one of its top-ups, if anything has.
    pub(super) fn rule_after(&self, before: Option<&TopUp>, step: &Step, now: Timestamp) -> Option<RuleRecord> {
        let top_up = &step.top_up;
        if matches!(top_up.kind, Kind::Charge { .. }) {
            return None;
        }
        let record = self.rules.get(&(top_up.customer.clone(), top_up.currency))?;
        let mut next = (**record).clone();
        let is_paid_now = step.path.contains(&Status::Completed);
        if top_up.kind != Kind::Auto {
            // A customer who pays by hand shows that it can.
            let is_by_hand = is_paid_now && !record.deleted;
            if is_by_hand && next.state.lift(&Lift::ManualTopUp) == Lifted::Halt {
                next.news.push(News::Resumed);
            }
            return (next != **record).then_some(next);
        }
        before?;
        let money = top_up.purchase.price?;
        let attempt = Attempt { top_up: top_up.id.clone(), at: top_up.created_at, money };
        let settled = match step.path.last() {
            _ if is_paid_now => Settled::Succeeded,
            Some(Status::Failed) => {
                Settled::Failed { hard: top_up.failure.as_ref().is_some_and(|failure| failure.is_hard) }
            }
            Some(Status::Expired | Status::Canceled) => Settled::GivenUp,
            Some(Status::RequiresAction) => {
                next.state.requires_action(&top_up.id);
                return Some(next);
            }
            _ => return None,
        };
        next.news = next.state.settled(&record.rule, &attempt, &settled, now);
        Some(next)
    }
}
