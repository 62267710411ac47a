//! Purchases that are sound, and what is found when they are not.

use super::*;
use crate::demo::trace;
use drawdown_outbound::providers::simulated::book::Book;
use drawdown_outbound::providers::simulated::command::{Answer, Command};
use drawdown_outbound::providers::{Charge, Collect, Currency, Money as Asked, NewCustomer, NewSetup};

/// The book of a provider at which a card of that number was charged, under each of these keys so many minor units.
fn charges(card: &str, asked: &[(&str, i64)]) -> Vec<ChargeEntry> {
    let mut book = Book::default();
    let key = |text: &str| text.parse().expect("a key");
    let ask = NewCustomer { key: key("cus"), reference: "cus".to_owned(), name: None, email: None };
    let Answer::Customer(customer) = book.apply(&Command::EnsureCustomer(ask)) else { panic!("no customer") };
    let ask = NewSetup { key: key("set"), customer: customer.clone(), collect: Collect::InPage, decided_at_s: 0 };
    let Answer::Setup(setup) = book.apply(&Command::BeginSetup(ask)) else { panic!("no setup") };
    let ask = Command::CollectMethod { setup, card: card.to_owned(), now_s: 0 };
    let Answer::Method(method) = book.apply(&ask) else { panic!("no method") };
    for (top_up, minor) in asked {
        let currency: Currency = CODE.parse().expect("a currency");
        book.apply(&Command::Charge(Charge {
            key: key(top_up),
            customer: customer.clone(),
            method: method.reference.clone(),
            money: Asked { amount: *minor, currency },
            description: "credits".to_owned(),
            return_url: None,
            decided_at_s: 0,
            repeat: false,
        }));
    }
    book.charges().values().cloned().collect()
}

fn top_up(id: &str, customer: &str, quantity: i64, invoice: u64) -> TopUp {
    let price = format!("{}.{:02}", quantity * PACKAGE.price_minor / 100, quantity * PACKAGE.price_minor % 100);
    TopUp {
        id: id.to_owned(),
        customer: customer.to_owned(),
        kind: "auto".to_owned(),
        status: "completed".to_owned(),
        quantity,
        amount: Some(price.clone()),
        amount_currency: CODE.to_owned(),
        captured: Some(price),
        credited: crate::demo::credits::decimal(quantity * PACKAGE.units),
        grant: Some(format!("grant of {id}")),
        invoice: Some(format!("inv_{invoice}")),
        failure: None,
    }
}

/// Two purchases, of one package and of two, and everything that there is of them.
struct World {
    money: Money,
    charges: Vec<ChargeEntry>,
    plan: Plan,
    statements: Vec<Statement>,
}

const ONE: i64 = PACKAGE.price_minor;
const PAYS: &str = "4242424242424242";

impl World {
    fn sound() -> World {
        let top_ups = vec![top_up("a", "cus_001", 1, 1), top_up("b", "cus_002", 2, 2)];
        let invoice = |number: u64, of: &TopUp| {
            let (top_up, total) = (Some(of.id.clone()), of.captured.clone().expect("paid"));
            (number, Invoice { number, status: "paid".to_owned(), top_up, total })
        };
        let granted = |id: &str, packages: i64| {
            let grants = vec![("welcome".to_owned(), 7), (format!("grant of {id}"), packages * PACKAGE.units)];
            Statement { grants, ..Statement::default() }
        };
        World {
            statements: vec![granted("a", 1), granted("b", 2)],
            plan: Plan::new(trace::rows(Some(1), None), 2),
            charges: charges(PAYS, &[("a", ONE), ("b", 2 * ONE)]),
            money: Money {
                completed: 2,
                charged: 3 * ONE,
                credited: 3 * PACKAGE.units,
                declined: Vec::new(),
                invoices: [invoice(1, &top_ups[0]), invoice(2, &top_ups[1])].into(),
                is_one_more: false,
                top_ups,
            },
        }
    }

    /// The places of the checks that do not agree.
    fn faults(&self) -> Vec<usize> {
        let checks = self.money.checks(&self.charges, &self.plan, &self.statements);
        checks.iter().enumerate().filter(|(_, check)| !check.agrees()).map(|(place, _)| place).collect()
    }
}

#[track_caller]
fn check(spoil: impl Fn(&mut World), expected: &[usize]) {
    let mut world = World::sound();
    spoil(&mut world);
    assert_eq!(world.faults(), expected);
}

#[test]
fn what_is_sound_agrees_and_each_fault_is_found() {
    check(|_| {}, &[]);
    // A charge that nobody asked for, one that is missing, and one of other money.
    check(|world| world.charges = charges(PAYS, &[("a", ONE), ("b", 2 * ONE), ("c", ONE)]), &[0, 1, 3]);
    check(|world| world.charges = charges(PAYS, &[("a", ONE)]), &[0, 1, 3]);
    check(|world| world.charges = charges(PAYS, &[("a", 2 * ONE), ("b", ONE)]), &[0]);
    // Declined at the provider, and completed here.
    check(|world| world.charges = charges("4000000000000341", &[("a", ONE), ("b", 2 * ONE)]), &[0, 1, 3]);
    // Granted twice, not at all, to another wallet, and under one number.
    check(|world| world.statements[0].grants.push(("grant of a".to_owned(), PACKAGE.units)), &[3, 4]);
    check(|world| world.statements[1].grants.truncate(1), &[3, 4]);
    check(|world| world.statements.swap(0, 1), &[4]);
    check(|world| world.money.top_ups[1].grant = Some("grant of a".to_owned()), &[3, 4]);
    // Credits that are not what was sold.
    check(|world| world.money.top_ups[0].credited = "27".to_owned(), &[4]);
    // An invoice that is open, of other money, of nobody; a gap; one more.
    check(|world| world.money.invoices.get_mut(&1).expect("the first").status = "open".to_owned(), &[5]);
    check(|world| world.money.invoices.get_mut(&1).expect("the first").total = "4.98".to_owned(), &[2, 5]);
    check(|world| world.money.invoices.get_mut(&1).expect("the first").top_up = None, &[5]);
    check(|world| drop(world.money.invoices.remove(&1)), &[2, 5, 6]);
    check(|world| world.money.is_one_more = true, &[6]);
}

#[test]
fn a_declined_card_is_a_rule_that_waits() {
    let declined = |status: &str, retry_at: Option<&str>| Declined {
        customer: "cus_001".to_owned(),
        code: "generic_decline".to_owned(),
        status: status.to_owned(),
        retry_at: retry_at.map(str::to_owned),
        failures: 1,
    };
    check(|world| world.money.declined = vec![declined("cooling", Some("2026-11-26T11:14:08.668Z"))], &[]);
    check(|world| world.money.declined = vec![declined("armed", None)], &[7]);
    check(|world| world.money.declined = vec![declined("cooling", None)], &[7]);
}

#[test]
fn webhooks_that_did_not_come_or_came_wrongly_are_found() {
    let faults = |came: u64, refused: u64, overtaken: u64| {
        let count = Count { refused, overtaken, ..Count::default() };
        webhooks(9, came, &count).iter().filter(|check| !check.agrees()).count()
    };
    assert_eq!((faults(9, 0, 0), faults(8, 0, 0), faults(9, 1, 0), faults(9, 0, 1)), (0, 1, 1, 1));
}
