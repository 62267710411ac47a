//! The audit of money: the payment provider's own record, the server's top-ups and invoices, and the grants in the wallets' histories.
//!
//! Each is read where it is kept, and none is worked out from another:
//! 1. each top-up is one charge in the provider's book, of its price, and each charge is one top-up's,
//! 2. each that was paid is one grant in its wallet's history, of the credits that its money buys, and one paid invoice,
//! 3. the invoices' numbers begin at one and have no gap,
//! 4. what the feed told reached the receiver of webhooks, signed,
//! 5. the rule whose card was declined waits for a later attempt.

use super::{Check, Statement};
use crate::demo::buying;
use crate::demo::client::{Client, ClientError, Page, unreadable};
use crate::demo::credits::{grouped, shown, units};
use crate::demo::money::{CODE, euros, minor};
use crate::demo::plan::{PACKAGE, Plan};
use crate::demo::receiver::Count;
use drawdown_outbound::providers::simulated::book::{ChargeEntry, Standing};
use hyper::StatusCode;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What was charged, granted and told.
#[derive(Debug)]
pub(in crate::demo) struct Money {
    /// Top-ups that were paid.
    pub(in crate::demo) completed: u64,
    /// What was charged for them, minor units.
    pub(in crate::demo) charged: i64,
    /// What they credited, units.
    pub(in crate::demo) credited: i64,
    /// Rules whose card was declined.
    pub(in crate::demo) declined: Vec<Declined>,
    top_ups: Vec<TopUp>,
    invoices: BTreeMap<u64, Invoice>,
    /// Whether there is an invoice behind the last one that a top-up names.
    is_one_more: bool,
}

/// A rule whose card was declined.
#[derive(Debug)]
pub(in crate::demo) struct Declined {
    pub(in crate::demo) customer: String,
    /// What the card's bank said.
    pub(in crate::demo) code: String,
    /// How the rule stands.
    pub(in crate::demo) status: String,
    /// When it is tried again.
    pub(in crate::demo) retry_at: Option<String>,
    failures: u32,
}

/// `GET /v1/top-ups`, one of them.
#[derive(Debug, Deserialize)]
struct TopUp {
    id: String,
    customer: String,
    kind: String,
    status: String,
    quantity: i64,
    amount: Option<String>,
    amount_currency: String,
    captured: Option<String>,
    credited: String,
    grant: Option<String>,
    invoice: Option<String>,
    failure: Option<Failure>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    code: String,
}

/// `GET /v1/invoices/{invoice}`.
#[derive(Debug, Deserialize)]
struct Invoice {
    number: u64,
    status: String,
    top_up: Option<String>,
    total: String,
}

impl TopUp {
    fn is_paid(&self) -> bool {
        self.status == "completed"
    }

    /// The money of it, minor units; none if it is not the demo's.
    fn captured(&self) -> Option<i64> {
        self.captured.as_deref().filter(|_| self.amount_currency == CODE).and_then(minor)
    }

    /// Whether price and credits are those of so many packages.
    fn is_as_sold(&self) -> bool {
        let price = self.amount.as_deref().and_then(minor);
        price == Some(self.quantity * PACKAGE.price_minor)
            && self.captured() == price
            && units(&self.credited) == Some(self.quantity * PACKAGE.units)
    }
}

impl Money {
    /// Asks the server for all of it.
    pub(super) async fn read(client: &mut Client, plan: &Plan) -> Result<Money, ClientError> {
        let top_ups = top_ups(client).await?;
        let mut invoices = BTreeMap::new();
        for id in top_ups.iter().filter_map(|top_up| top_up.invoice.as_deref()) {
            let invoice: Invoice = client.get(&format!("/v1/invoices/{id}")).await?;
            invoices.insert(invoice.number, invoice);
        }
        let behind = invoices.last_key_value().map_or(1, |(number, _)| number + 1);
        let is_one_more = match client.get::<Invoice>(&format!("/v1/invoices/inv_{behind}")).await {
            Ok(_) => true,
            Err(ClientError::Refused { status: StatusCode::NOT_FOUND, .. }) => false,
            Err(error) => return Err(error),
        };
        let mut declined = Vec::new();
        for top_up in top_ups.iter().filter(|top_up| top_up.status == "failed") {
            let wallet = plan.wallets.iter().find(|wallet| wallet.customer == top_up.customer);
            let wallet = wallet.ok_or_else(|| unreadable("/v1/top-ups", "a customer that is none of the demo's"))?;
            let rule = buying::rule(client, wallet).await?;
            declined.push(Declined {
                customer: top_up.customer.clone(),
                code: top_up.failure.as_ref().map_or_else(String::new, |failure| failure.code.clone()),
                status: rule.status,
                retry_at: rule.retry_at,
                failures: rule.failures,
            });
        }
        let paid = || top_ups.iter().filter(|top_up| top_up.is_paid());
        Ok(Money {
            completed: paid().count() as u64,
            charged: paid().filter_map(TopUp::captured).sum(),
            credited: paid().filter_map(|top_up| units(&top_up.credited)).sum(),
            declined,
            top_ups,
            invoices,
            is_one_more,
        })
    }

    /// What a customer's top-ups credited, units.
    pub(super) fn credited_to(&self, customer: &str) -> i64 {
        let theirs = self.top_ups.iter().filter(|top_up| top_up.customer == customer);
        theirs.filter_map(|top_up| units(&top_up.credited)).sum()
    }

    /// Everything that must agree. `charges` is the provider's book; the statements are those of the plan's wallets, in its order.
    pub(super) fn checks(&self, charges: &[ChargeEntry], plan: &Plan, statements: &[Statement]) -> Vec<Check> {
        let check = |names, figures: [String; 2]| Check { names, figures };
        let paid = || self.top_ups.iter().filter(|top_up| top_up.is_paid());
        let is_taken = |charge: &&ChargeEntry| charge.standing == Standing::Succeeded;
        let taken: i64 = charges.iter().filter(is_taken).map(|charge| charge.ask.money.amount).sum();
        let granted = self.granted(plan, statements);
        let invoiced: i64 = self.invoices.values().filter_map(|invoice| minor(&invoice.total)).sum();
        let (packages, rest) = (taken / PACKAGE.price_minor, taken % PACKAGE.price_minor);
        let bought =
            if rest == 0 { shown(packages * PACKAGE.units) } else { format!("no whole packages: {}", euros(taken)) };
        let last = self.invoices.last_key_value().map_or(0, |(number, _)| *number) + u64::from(self.is_one_more);
        let waits = self.declined.iter().filter(|rule| rule.is_backing_off()).count() as u64;
        vec![
            check(
                ["top-ups", "charges at the provider, one for each"],
                [grouped(self.top_ups.len() as u64), self.charged_once(charges)],
            ),
            check(["charged by the provider", "captured by top-ups"], [euros(taken), euros(self.charged)]),
            check(["captured by top-ups", "on their paid invoices"], [euros(self.charged), euros(invoiced)]),
            check(
                ["credits for what was charged", "granted by top-ups, in the histories"],
                [bought, shown(granted.values().sum())],
            ),
            check(
                ["top-ups completed", "grants in the histories, one for each, as sold"],
                [
                    grouped(self.completed),
                    grouped(
                        paid().filter(|top_up| top_up.is_as_sold() && self.is_granted(top_up, &granted)).count() as u64
                    ),
                ],
            ),
            check(
                ["top-ups completed", "invoices, one for each, paid"],
                [grouped(self.completed), grouped(paid().filter(|top_up| self.is_invoiced(top_up)).count() as u64)],
            ),
            check(
                ["last number of an invoice", "invoices: no gap"],
                [grouped(last), grouped(self.invoices.len() as u64)],
            ),
            check(
                ["rules whose card was declined", "that wait for their next attempt"],
                [grouped(self.declined.len() as u64), grouped(waits)],
            ),
        ]
    }

    /// Top-ups of which there is one charge, of the right money and with the right end; or that there are others.
    fn charged_once(&self, charges: &[ChargeEntry]) -> String {
        let mut by_key: HashMap<&str, Vec<&ChargeEntry>> = HashMap::new();
        for charge in charges {
            by_key.entry(charge.ask.key.as_str()).or_default().push(charge);
        }
        let is_one = |top_up: &&TopUp| match by_key.get(top_up.id.as_str()).map(Vec::as_slice) {
            Some([charge]) => {
                let is_price = top_up.amount.as_deref().and_then(minor) == Some(charge.ask.money.amount);
                let is_end = match &charge.standing {
                    Standing::Succeeded => top_up.is_paid(),
                    Standing::Declined(_) => top_up.status == "failed",
                    Standing::RequiresAction | Standing::Processing { .. } => false,
                };
                top_up.kind == "auto" && is_price && is_end && charge.ask.money.currency.as_str() == CODE
            }
            Some(_) | None => false,
        };
        let found = self.top_ups.iter().filter(is_one).count() as u64;
        if charges.len() == self.top_ups.len() {
            grouped(found)
        } else {
            format!("{}, and {} in its book", grouped(found), grouped(charges.len() as u64))
        }
    }

    /// What the histories say was granted under the top-ups' numbers, units. A number that is there twice counts twice.
    fn granted<'a>(&self, plan: &'a Plan, statements: &'a [Statement]) -> BTreeMap<(&'a str, &'a str), i64> {
        let named: BTreeSet<&str> = self.top_ups.iter().filter_map(|top_up| top_up.grant.as_deref()).collect();
        let mut found = BTreeMap::new();
        for (wallet, statement) in plan.wallets.iter().zip(statements) {
            for (grant, amount) in statement.grants.iter().filter(|(grant, _)| named.contains(grant.as_str())) {
                *found.entry((wallet.customer.as_str(), grant.as_str())).or_insert(0) += amount;
            }
        }
        found
    }

    fn is_granted(&self, top_up: &TopUp, granted: &BTreeMap<(&str, &str), i64>) -> bool {
        let grant = top_up.grant.as_deref().unwrap_or_default();
        let is_its_own = self.top_ups.iter().filter(|other| other.grant.as_deref() == Some(grant)).count() == 1;
        is_its_own && granted.get(&(top_up.customer.as_str(), grant)).copied() == units(&top_up.credited)
    }

    fn is_invoiced(&self, top_up: &TopUp) -> bool {
        let mut its_own = self.invoices.values().filter(|invoice| invoice.top_up.as_deref() == Some(&top_up.id));
        let invoice = its_own.next();
        let is_paid = invoice.is_some_and(|one| one.status == "paid" && minor(&one.total) == top_up.captured());
        is_paid && its_own.next().is_none()
    }
}

impl Declined {
    fn is_backing_off(&self) -> bool {
        self.status == "cooling" && self.failures == 1 && self.retry_at.is_some()
    }
}

/// What the receiver of webhooks has, against what the feed told: so many events, so many of which came.
pub(super) fn webhooks(told: u64, came: u64, count: &Count) -> [Check; 2] {
    let faults = count.refused + count.overtaken;
    [
        Check {
            names: ["told by the feed", "verified by the receiver of webhooks"],
            figures: [grouped(told), grouped(came)],
        },
        Check { names: ["webhooks forged or out of order", "expected"], figures: [grouped(faults), grouped(0)] },
    ]
}

async fn top_ups(client: &mut Client) -> Result<Vec<TopUp>, ClientError> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let behind = cursor.map_or_else(String::new, |cursor: String| format!("&cursor={cursor}"));
        let page: Page<TopUp> = client.get(&format!("/v1/top-ups?limit=100{behind}")).await?;
        found.extend(page.data);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests;
