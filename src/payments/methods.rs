//! Payment methods: collected, kept, given up.

use super::{Failed, Payments, seconds};
use crate::billing::PaymentMethod;
use crate::billing::method::CardExpiry;
use crate::ledger::Timestamp;
use drawdown_outbound::providers::{CallError, Collect, Method, MethodRef, NewSetup, Provider};

/// The prefix of methods among references; behind it the id, a colon and the customer.
pub(super) const METHOD: &str = "method:";

/// A method to be collected.
#[derive(Clone, Debug)]
pub struct SetupAsk {
    /// Whose it will be.
    pub customer: String,
    /// By whom it is kept; `None` takes the server's own choice.
    pub provider: Option<String>,
    /// Where the customer goes afterwards.
    pub return_url: Option<String>,
}

/// A collection that has begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// By whom.
    pub provider: &'static str,
    /// The provider's name for it.
    pub setup: String,
    /// Where the customer goes.
    pub url: Option<String>,
}

impl Payments {
    /// Begins to collect a payment method on a page of the provider's.
    pub async fn begin_setup(&self, ask: &SetupAsk, key: &str) -> Result<Begun, Failed> {
        let engine = &self.shared.engine;
        let name = ask.provider.as_deref().or(self.usual()).ok_or(Failed::NoProvider)?;
        let provider = self.provider(name).ok_or(Failed::NoProvider)?.clone();
        let customer = self.customer_ref(&*provider, &ask.customer).await?;
        let page = |end: &str| ask.return_url.clone().unwrap_or_else(|| format!("{}/payments/{end}", self.pages()));
        let question = NewSetup {
            key: key.parse().map_err(|_| refused("invalid_key", "the key of a setup is letters, digits, _ and -"))?,
            customer,
            collect: Collect::Hosted { return_url: page("done"), cancel_url: page("canceled") },
            decided_at_s: seconds(engine.now()),
        };
        let begun = provider.begin_setup(&question).await?;
        Ok(Begun { provider: provider.name(), setup: begun.reference.as_str().to_owned(), url: begun.url })
    }

    /// Keeps a method that a provider has collected for a customer; gives its id.
    pub(super) async fn keep_method(
        &self,
        provider: &dyn Provider,
        customer: &str,
        method: &MethodRef,
    ) -> Result<String, Failed> {
        let id = self.method_id(provider.name(), method);
        if self.shared.engine.payment_method(customer, &id).is_ok() {
            return Ok(id);
        }
        let shown = provider.method(method).await?;
        self.enter_method(provider, customer, shown).await
    }

    /// Enters a method as the provider shows it; one that is known stays as it is.
    pub(super) async fn enter_method(
        &self,
        provider: &dyn Provider,
        customer: &str,
        shown: Method,
    ) -> Result<String, Failed> {
        let engine = &self.shared.engine;
        let id = self.method_id(provider.name(), &shown.reference);
        if engine.payment_method(customer, &id).is_ok() {
            return Ok(id);
        }
        let of = format!("{METHOD}{id}:{customer}");
        drop(engine.note_reference(provider.name(), &of, shown.reference.as_str())?);
        let last4 = shown.last4.filter(|last4| last4.len() == 4 && last4.bytes().all(|byte| byte.is_ascii_digit()));
        let method = PaymentMethod {
            id: id.clone(),
            customer: customer.to_owned(),
            provider: provider.name().to_owned(),
            reference: shown.reference.as_str().to_owned(),
            brand: Some(shown.brand).filter(|brand| (1..=32).contains(&brand.len())),
            last4,
            expiry: shown.expiry.and_then(|(month, year)| CardExpiry::new(year, month)),
            fingerprint: shown.fingerprint,
            is_default: false,
            detached: false,
            created_at: Timestamp::EPOCH,
        };
        let (_method, ticket) = engine.add_payment_method(method)?;
        ticket.await?;
        self.take_up();
        Ok(id)
    }

    /// Gives a method up: here, and then at its provider.
    pub async fn detach(&self, customer: &str, id: &str) -> Result<(), Failed> {
        let (method, ticket) = self.shared.engine.detach_payment_method(customer, id)?;
        ticket.await?;
        let Some(provider) = self.provider(&method.provider) else { return Ok(()) };
        match provider.detach(&MethodRef::new(method.reference.clone())).await {
            Ok(()) | Err(CallError::Unsupported(_)) => Ok(()),
            Err(error) => {
                // Nobody charges it any more; that the provider still keeps it is for people to see.
                tracing::warn!(method = id, %error, "the provider keeps a method that was given up");
                Ok(())
            }
        }
    }

    /// The id of a provider's method: the same for the same one.
    fn method_id(&self, provider: &str, method: &MethodRef) -> String {
        let secret = self.shared.engine.secret_for("drawdown payment methods v1");
        let digest = blake3::keyed_hash(&secret, format!("{provider}\n{method}").as_bytes());
        format!("pm_{}", &digest.to_hex()[..24])
    }
}

fn refused(code: &str, message: &str) -> Failed {
    Failed::Provider(CallError::Refused { code: code.to_owned(), message: message.to_owned() })
}
