//! Payments that another system collects: the charge is a link to it, or nothing but a note, and an operator's call says when it was paid.
//!
//! Nothing leaves this machine and nothing is kept: what is asked twice is answered alike, because the answer is a function of the question.

use super::{
    CallError, Charge, ChargeFacts, ChargeOutcome, ChargeRef, Checkout, CheckoutRef, CheckoutState, CustomerRef,
    Decline, Event, FindCharge, FindRefund, FoundCharge, Key, Method, MethodRef, Money, NewCheckout, NewCustomer,
    NewSetup, Provider, ReceiveError, Received, Refund, RefundOutcome, RefundRef, RefundState, Setup,
};
use crate::Outgoing;
use crate::http::{HeaderMap, UrlError, parse_url};

/// The other system, as far as it is known: a page to pay on.
#[derive(Clone, Debug)]
pub struct External {
    payment_url: Option<String>,
}

/// Names in a payment URL that are filled in.
const PLACES: [&str; 4] = ["{key}", "{amount}", "{currency}", "{customer}"];

impl External {
    /// `payment_url` may contain `{key}`, `{amount}` (minor units), `{currency}` and `{customer}`. Without one, the other system finds its
    /// customers by itself.
    pub fn new(payment_url: Option<&str>) -> Result<Self, UrlError> {
        if let Some(url) = payment_url {
            let plain = PLACES.iter().fold(url.to_owned(), |url, place| url.replace(place, "x"));
            if plain.contains(['{', '}']) {
                return Err(UrlError::Malformed);
            }
            parse_url(&plain)?;
        }
        Ok(External { payment_url: payment_url.map(str::to_owned) })
    }

    fn url(&self, key: &Key, customer: &CustomerRef, money: Money) -> Option<String> {
        let amount = money.amount.to_string();
        let values = [key.as_str(), &amount, money.currency.as_str(), customer.as_str()];
        let fill = |url: &String| fill(url, &values);
        self.payment_url.as_ref().map(fill)
    }
}

/// Each place at once, so that a value that looks like a place stays a value.
fn fill(url: &str, values: &[&str; 4]) -> String {
    let mut filled = String::new();
    let mut rest = url;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let (place, value) =
            PLACES.iter().zip(values).find(|(place, _)| rest.starts_with(**place)).expect("checked by new");
        filled.extend(form_urlencoded::byte_serialize(value.as_bytes()));
        rest = &rest[place.len()..];
    }
    filled + rest
}

fn charge_ref(key: &Key) -> ChargeRef {
    ChargeRef::new(format!("external:{key}"))
}

/// What an operator says about a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// It was paid.
    Paid,
    /// It will not be.
    Failed {
        /// Why, as the customer may read it.
        message: String,
    },
    /// So much of it has been given back in all.
    RefundedInAll(Money),
}

/// Turns an operator's statement into the event that another provider would have sent. The same statement twice is the same event.
pub fn confirm(key: &Key, customer: CustomerRef, money: Money, statement: Statement, at_s: u64) -> Received {
    let charge = charge_ref(key);
    let facts = ChargeFacts {
        charge: charge.clone(),
        key: Some(key.to_string()),
        customer: Some(customer),
        method: None,
        money,
    };
    let (name, event) = match statement {
        Statement::Paid => ("paid".to_owned(), Event::ChargeSucceeded(facts)),
        Statement::Failed { message } => {
            let decline = Decline { code: "declined_by_operator".to_owned(), hard: false, message };
            ("failed".to_owned(), Event::ChargeFailed { facts, decline })
        }
        Statement::RefundedInAll(total) => {
            (format!("refunded:{}", total.amount), Event::RefundedInAll { charge, total })
        }
    };
    Received { replay_id: format!("external:{key}:{name}"), at_s, event }
}

fn ready<'a, T: Send + 'a>(value: T) -> Outgoing<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Provider for External {
    fn name(&self) -> &'static str {
        "external"
    }

    fn ensure_customer<'a>(&'a self, ask: &'a NewCustomer) -> Outgoing<'a, Result<CustomerRef, CallError>> {
        ready(Ok(CustomerRef::new(ask.reference.clone())))
    }

    fn begin_setup<'a>(&'a self, _: &'a NewSetup) -> Outgoing<'a, Result<Setup, CallError>> {
        ready(Err(CallError::Unsupported("save a payment method")))
    }

    fn method<'a>(&'a self, _: &'a MethodRef) -> Outgoing<'a, Result<Method, CallError>> {
        ready(Err(CallError::Unsupported("save a payment method")))
    }

    fn detach<'a>(&'a self, _: &'a MethodRef) -> Outgoing<'a, Result<(), CallError>> {
        ready(Ok(()))
    }

    fn charge<'a>(&'a self, ask: &'a Charge) -> Outgoing<'a, ChargeOutcome> {
        let charge = charge_ref(&ask.key);
        ready(match self.url(&ask.key, &ask.customer, ask.money) {
            Some(url) => ChargeOutcome::RequiresAction { charge, url: Some(url) },
            None => ChargeOutcome::Processing { charge },
        })
    }

    /// Always `None`: only the other system knows. Asking for the charge again does no harm.
    fn find_charge<'a>(&'a self, _: &'a FindCharge) -> Outgoing<'a, Result<Option<FoundCharge>, CallError>> {
        ready(Ok(None))
    }

    fn open_checkout<'a>(&'a self, ask: &'a NewCheckout) -> Outgoing<'a, Result<Checkout, CallError>> {
        let reference = CheckoutRef::new(format!("external:{}", ask.key));
        let url = self.url(&ask.key, &ask.customer, ask.money).ok_or(CallError::Unsupported("open a payment page"));
        ready(url.map(|url| Checkout { reference, url, expires_at_s: ask.expires_at_s }))
    }

    fn close_checkout<'a>(&'a self, _: &'a CheckoutRef) -> Outgoing<'a, Result<CheckoutState, CallError>> {
        ready(Ok(CheckoutState::Expired))
    }

    fn refund<'a>(&'a self, ask: &'a Refund) -> Outgoing<'a, RefundOutcome> {
        let refund = RefundRef::new(format!("external:{}", ask.key));
        ready(RefundOutcome::Accepted { refund, state: RefundState::Pending })
    }

    fn find_refund<'a>(&'a self, _: &'a FindRefund) -> Outgoing<'a, Result<Option<RefundOutcome>, CallError>> {
        ready(Ok(None))
    }

    fn receive(&self, _: &HeaderMap, _: &[u8], _: u64) -> Result<Received, ReceiveError> {
        Err(ReceiveError::Unsupported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        "tu_1".parse().expect("a key")
    }

    fn euros(amount: i64) -> Money {
        Money { amount, currency: "EUR".parse().expect("a currency") }
    }

    fn charge(customer: &str) -> Charge {
        Charge {
            key: key(),
            customer: CustomerRef::new(customer),
            method: MethodRef::new("none"),
            money: euros(1099),
            description: "1,000 credits".to_owned(),
            return_url: None,
            decided_at_s: 1_700_000_000,
            repeat: false,
        }
    }

    #[tokio::test]
    async fn a_charge_is_a_link_that_names_it() {
        let url = "https://pay.example/?ref={key}&sum={amount}&in={currency}&who={customer}";
        let external = External::new(Some(url)).expect("a URL");
        let outcome = external.charge(&charge("a&b={key}/ä")).await;
        let ChargeOutcome::RequiresAction { charge: reference, url: Some(url) } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(reference, ChargeRef::new("external:tu_1"));
        assert_eq!(url, "https://pay.example/?ref=tu_1&sum=1099&in=EUR&who=a%26b%3D%7Bkey%7D%2F%C3%A4");
    }

    #[tokio::test]
    async fn without_a_page_a_charge_waits() {
        let external = External::new(None).expect("no URL is fine");
        let reference = ChargeRef::new("external:tu_1");
        assert_eq!(external.charge(&charge("c")).await, ChargeOutcome::Processing { charge: reference });
        assert_eq!(external.receive(&HeaderMap::new(), b"{}", 0), Err(ReceiveError::Unsupported));
    }

    #[test]
    fn a_url_with_other_places_is_refused() {
        for wrong in
            ["https://pay.example/{who}", "https://pay.example/{key", "pay.example/{key}", "https://u:p@pay.example/"]
        {
            assert!(External::new(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_same_statement_is_the_same_event() {
        let say = |statement, at_s| confirm(&key(), CustomerRef::new("c"), euros(1099), statement, at_s);
        assert_eq!(say(Statement::Paid, 1).replay_id, say(Statement::Paid, 2).replay_id);
        assert!(
            matches!(say(Statement::Paid, 1).event, Event::ChargeSucceeded(facts) if facts.key.as_deref() == Some("tu_1"))
        );
        let first = say(Statement::RefundedInAll(euros(100)), 1);
        let more = say(Statement::RefundedInAll(euros(200)), 2);
        assert_ne!(first.replay_id, more.replay_id);
    }
}
