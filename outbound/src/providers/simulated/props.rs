//! Random commands: whatever is asked, in whatever order and however often, the book holds what it promises.

use super::book::{Book, Standing};
use super::cards::CARDS;
use super::command::{Answer, Command};
use crate::providers::{
    Charge, ChargeRef, CheckoutRef, Collect, CustomerRef, DisputeEnd, DisputeRef, Key, MethodRef, Money, NewCheckout,
    NewCustomer, NewSetup, Refund, SetupRef,
};
use proptest::prelude::*;

const NOW_S: u64 = 1_700_000_000;

/// What is asked, with things picked from among those that there are.
#[derive(Clone, Copy, Debug)]
enum Pick {
    Collect { card: prop::sample::Index, key: u8 },
    Charge { key: u8, method: prop::sample::Index, amount: i64 },
    Complete { charge: prop::sample::Index, approved: bool },
    Open { key: u8, amount: i64 },
    Pay { checkout: prop::sample::Index, card: prop::sample::Index },
    Close { checkout: prop::sample::Index },
    Refund { key: u8, charge: prop::sample::Index, amount: i64 },
    Dispute { charge: prop::sample::Index },
    Decide { dispute: prop::sample::Index, won: bool },
    Detach { method: prop::sample::Index },
    Wait { by_s: u64 },
}

fn pick() -> impl Strategy<Value = Pick> {
    use prop::sample::Index;
    let (key, amount) = (0..6_u8, -1..1000_i64);
    prop_oneof![
        1 => (any::<Index>(), key.clone()).prop_map(|(card, key)| Pick::Collect { card, key }),
        4 => (key.clone(), any::<Index>(), amount.clone()).prop_map(|(key, method, amount)| Pick::Charge { key, method, amount }),
        1 => (any::<Index>(), any::<bool>()).prop_map(|(charge, approved)| Pick::Complete { charge, approved }),
        1 => (key.clone(), amount.clone()).prop_map(|(key, amount)| Pick::Open { key, amount }),
        3 => (any::<Index>(), any::<Index>()).prop_map(|(checkout, card)| Pick::Pay { checkout, card }),
        1 => any::<Index>().prop_map(|checkout| Pick::Close { checkout }),
        3 => (key, any::<Index>(), amount).prop_map(|(key, charge, amount)| Pick::Refund { key, charge, amount }),
        1 => any::<Index>().prop_map(|charge| Pick::Dispute { charge }),
        1 => (any::<Index>(), any::<bool>()).prop_map(|(dispute, won)| Pick::Decide { dispute, won }),
        1 => any::<Index>().prop_map(|method| Pick::Detach { method }),
        1 => (0..400_u64).prop_map(|by_s| Pick::Wait { by_s }),
    ]
}

/// A book, and the names that were learned from its answers.
struct Trial {
    book: Book,
    customer: CustomerRef,
    setups: Vec<SetupRef>,
    methods: Vec<MethodRef>,
    checkouts: Vec<CheckoutRef>,
    disputes: Vec<DisputeRef>,
    now_s: u64,
    done: Vec<Command>,
}

fn key(kind: &str, number: u8) -> Key {
    format!("{kind}_{number}").parse().expect("a key")
}

fn euros(amount: i64) -> Money {
    Money { amount, currency: "EUR".parse().expect("a currency") }
}

fn one<T: Clone>(of: &[T], at: prop::sample::Index) -> Option<T> {
    if of.is_empty() { None } else { Some(at.get(of).clone()) }
}

impl Trial {
    fn new() -> Self {
        let mut book = Book::default();
        let ask = NewCustomer { key: key("cu", 0), reference: "acme".to_owned(), name: None, email: None };
        let command = Command::EnsureCustomer(ask);
        let Answer::Customer(customer) = book.apply(&command) else { panic!("a customer") };
        let (setups, methods, checkouts, disputes) = Default::default();
        Trial { book, customer, setups, methods, checkouts, disputes, now_s: NOW_S, done: vec![command] }
    }

    fn charges(&self) -> Vec<ChargeRef> {
        self.book.charges().keys().cloned().collect()
    }

    /// The command, if there is what it picks from.
    fn command(&mut self, pick: Pick) -> Option<Command> {
        let now_s = self.now_s;
        Some(match pick {
            Pick::Collect { card, key: number } => {
                let collect = Collect::InPage;
                let ask =
                    NewSetup { key: key("su", number), customer: self.customer.clone(), collect, decided_at_s: NOW_S };
                let Answer::Setup(setup) = self.act(Command::BeginSetup(ask)) else { panic!("a setup") };
                self.setups.push(setup.clone());
                Command::CollectMethod { setup, card: card.get(CARDS).number.to_owned(), now_s }
            }
            Pick::Charge { key: number, method, amount } => Command::Charge(Charge {
                key: key("tu", number),
                customer: self.customer.clone(),
                method: one(&self.methods, method)?,
                money: euros(amount),
                description: String::new(),
                return_url: None,
                decided_at_s: now_s,
                repeat: false,
            }),
            Pick::Complete { charge, approved } => {
                Command::CompleteAction { charge: one(&self.charges(), charge)?, approved, now_s }
            }
            Pick::Open { key: number, amount } => Command::OpenCheckout(NewCheckout {
                key: key("co", number),
                customer: self.customer.clone(),
                money: euros(amount),
                title: String::new(),
                save_method: amount % 2 == 0,
                success_url: String::new(),
                cancel_url: String::new(),
                decided_at_s: now_s,
                expires_at_s: now_s + 300,
            }),
            Pick::Pay { checkout, card } => {
                let card = card.get(CARDS).number.to_owned();
                Command::PayCheckout { checkout: one(&self.checkouts, checkout)?, card, now_s }
            }
            Pick::Close { checkout } => Command::CloseCheckout(one(&self.checkouts, checkout)?),
            Pick::Refund { key: number, charge, amount } => Command::Refund(Refund {
                key: key("rf", number),
                charge: one(&self.charges(), charge)?,
                money: euros(amount),
                decided_at_s: now_s,
            }),
            Pick::Dispute { charge } => Command::OpenDispute { charge: one(&self.charges(), charge)?, now_s },
            Pick::Decide { dispute, won } => {
                let end = if won { DisputeEnd::Won } else { DisputeEnd::Lost };
                Command::CloseDispute { dispute: one(&self.disputes, dispute)?, end, now_s }
            }
            Pick::Detach { method } => Command::Detach(one(&self.methods, method)?),
            Pick::Wait { by_s } => {
                self.now_s += by_s;
                Command::Advance { now_s: self.now_s }
            }
        })
    }

    fn act(&mut self, command: Command) -> Answer {
        let answer = self.book.apply(&command);
        match &answer {
            Answer::Method(method) => self.methods.push(method.reference.clone()),
            Answer::Checkout(checkout, _) => self.checkouts.push(checkout.clone()),
            Answer::Dispute(dispute) => self.disputes.push(dispute.clone()),
            _ => {}
        }
        self.done.push(command);
        answer
    }
}

/// Nothing more is given back than was paid, and no checkout is paid twice.
fn hold(book: &Book) -> Result<(), TestCaseError> {
    for entry in book.charges().values() {
        prop_assert!(entry.ask.money.amount > 0);
        prop_assert!((0..=entry.ask.money.amount).contains(&entry.refunded), "{:?}", entry);
        prop_assert!(entry.refunded == 0 || entry.standing == Standing::Succeeded);
        let paid = |other: &&super::book::ChargeEntry| {
            other.ask.key == entry.ask.key
                && matches!(other.standing, Standing::Succeeded | Standing::Processing { .. })
        };
        prop_assert!(book.charges().values().filter(paid).count() <= 1, "{} is paid twice", entry.ask.key);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_book_holds_whatever_is_asked(picks in proptest::collection::vec(pick(), 1..60)) {
        let mut trial = Trial::new();
        for pick in picks {
            let Some(command) = trial.command(pick) else { continue };
            // Only what comes from pages may move on when it is sent twice: the customer presses the button again.
            let pressed = matches!(command, Command::PayCheckout { .. });
            let answer = trial.act(command.clone());
            let before = trial.book.clone();
            let again = trial.act(command);
            if !pressed {
                // How the first answer travels is the card's matter.
                if let (Answer::Charge(again, _), Answer::Charge(answer, _)) = (&again, &answer) {
                    prop_assert_eq!(again, answer);
                } else {
                    prop_assert_eq!(&again, &answer);
                }
                prop_assert_eq!(&trial.book, &before, "asked twice, done once");
            }
            hold(&trial.book)?;
        }
        // Its commands give it again, and so does its JSON.
        let mut replayed = Book::default();
        for command in &trial.done {
            let written = serde_json::to_string(command).expect("JSON");
            replayed.apply(&serde_json::from_str(&written).expect("its own JSON"));
        }
        prop_assert_eq!(&replayed, &trial.book);
        let written = serde_json::to_string(&trial.book).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Book>(&written).expect("its own JSON"), trial.book);
    }
}
