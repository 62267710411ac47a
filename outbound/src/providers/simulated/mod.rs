//! A provider for test mode: no money, no network, and everything that can happen with a real one.
//!
//! Its state is a [`Book`](book::Book), a pure fold of [`Command`](command::Command)s, kept by a [`Bank`]: in memory, in a file that survives a
//! restart ([`Local`]), or in another process that survives the server's ([`Remote`], [`serve`]). What happens to a charge is up to
//! the card ([`cards`]). Events wait in the book until they were received ([`Simulated::dispatch`]), and are signed as Standard Webhooks.
//!
//! The pages on which customers pay, enter a card or authenticate are the server's; what they show and do is here
//! ([`Simulated::checkout`], [`Simulated::pay`], [`Simulated::collect`], [`Simulated::complete`]).

pub mod bank;
pub mod book;
pub mod cards;
pub mod command;
mod post;
mod remote;
#[cfg(test)]
mod tests;

pub use bank::{Bank, BankError, Local};
pub use remote::{Faults, Remote, serve};

use super::{
    CallError, Charge, ChargeOutcome, ChargeRef, Checkout, CheckoutRef, CheckoutState, CustomerRef, DisputeEnd,
    DisputeRef, Event, FindCharge, FindRefund, FoundCharge, Method, MethodRef, NewCheckout, NewCustomer, NewSetup,
    Provider, ReceiveError, Received, Refund, RefundOutcome, Setup, SetupRef,
};
use crate::Outgoing;
use crate::http::{HeaderMap, Transport};
use crate::webhooks::{self, Delivery, Secret, Verdict};
use bytes::Bytes;
use cards::SLOW_S;
use command::{Answer, ChargeView, CheckoutView, Command, Hook, Manner, Paid};
use post::WireEvent;
use std::sync::Arc;
use std::time::Duration;

/// How the provider presents itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the server's pages for customers begin, without a `/` at the end. Below it lie `/checkout/…`, `/setup/…` and `/authenticate/…`.
    pub pages: String,
    /// Signs and verifies events.
    pub secrets: Vec<Secret>,
    /// How far an event's signature may lie from now, in seconds.
    pub tolerance_s: u64,
}

/// See the [module](self).
#[derive(Clone)]
pub struct Simulated {
    bank: Arc<dyn Bank>,
    settings: Settings,
}

fn lost(error: &BankError) -> CallError {
    CallError::Unknown { detail: error.to_string() }
}

/// An answer of another kind than the question's: a bank of another version.
fn strange(answer: &Answer) -> CallError {
    CallError::Unknown { detail: format!("an answer of the wrong kind: {answer:?}") }
}

impl Simulated {
    /// A provider over a bank.
    pub fn new(bank: Arc<dyn Bank>, settings: Settings) -> Self {
        Simulated { bank, settings }
    }

    async fn ask(&self, command: Command) -> Result<Answer, CallError> {
        match self.bank.execute(command).await {
            Ok(Answer::Refused { code, message }) => Err(CallError::Refused { code, message }),
            Ok(answer) => Ok(answer),
            Err(error) => Err(lost(&error)),
        }
    }

    fn page(&self, kind: &str, name: &str) -> String {
        format!("{}/{kind}/{name}", self.settings.pages)
    }

    /// The page on which a charge is authenticated.
    pub fn authentication_page(&self, charge: &ChargeRef) -> String {
        self.page("authenticate", charge.as_str())
    }

    fn with_page(&self, outcome: ChargeOutcome) -> ChargeOutcome {
        match outcome {
            ChargeOutcome::RequiresAction { charge, .. } => {
                let url = Some(self.authentication_page(&charge));
                ChargeOutcome::RequiresAction { charge, url }
            }
            outcome => outcome,
        }
    }

    /// What a checkout's page shows.
    pub async fn checkout(&self, checkout: &CheckoutRef) -> Result<CheckoutView, CallError> {
        match self.ask(Command::ViewCheckout(checkout.clone())).await? {
            Answer::CheckoutView(view) => Ok(view),
            answer => Err(strange(&answer)),
        }
    }

    /// The customer pays on a checkout's page.
    pub async fn pay(&self, checkout: &CheckoutRef, card: &str, now_s: u64) -> Result<Paid, CallError> {
        self.paid(Command::PayCheckout { checkout: checkout.clone(), card: card.to_owned(), now_s }).await
    }

    /// The customer enters a card on a setup's page.
    pub async fn collect(&self, setup: &SetupRef, card: &str, now_s: u64) -> Result<Method, CallError> {
        match self.ask(Command::CollectMethod { setup: setup.clone(), card: card.to_owned(), now_s }).await? {
            Answer::Method(method) => Ok(method),
            answer => Err(strange(&answer)),
        }
    }

    /// What a charge's page shows.
    pub async fn charge_view(&self, charge: &ChargeRef) -> Result<ChargeView, CallError> {
        match self.ask(Command::ViewCharge(charge.clone())).await? {
            Answer::ChargeView(view) => Ok(ChargeView { outcome: self.with_page(view.outcome), ..view }),
            answer => Err(strange(&answer)),
        }
    }

    /// The customer authenticates a charge, or turns back.
    pub async fn complete(&self, charge: &ChargeRef, approved: bool, now_s: u64) -> Result<Paid, CallError> {
        self.paid(Command::CompleteAction { charge: charge.clone(), approved, now_s }).await
    }

    async fn paid(&self, command: Command) -> Result<Paid, CallError> {
        match self.ask(command).await? {
            Answer::Paid(paid) => Ok(paid),
            answer => Err(strange(&answer)),
        }
    }

    /// The customer's bank disputes a charge.
    pub async fn open_dispute(&self, charge: &ChargeRef, now_s: u64) -> Result<DisputeRef, CallError> {
        match self.ask(Command::OpenDispute { charge: charge.clone(), now_s }).await? {
            Answer::Dispute(dispute) => Ok(dispute),
            answer => Err(strange(&answer)),
        }
    }

    /// A dispute is decided.
    pub async fn close_dispute(&self, dispute: &DisputeRef, end: DisputeEnd, now_s: u64) -> Result<(), CallError> {
        self.ask(Command::CloseDispute { dispute: dispute.clone(), end, now_s }).await.map(drop)
    }

    /// The events that are due, after letting happen what is due: processing charges settle, checkouts expire.
    pub async fn due(&self, now_s: u64) -> Result<Vec<Hook>, CallError> {
        self.ask(Command::Advance { now_s }).await?;
        match self.ask(Command::Due { now_s }).await? {
            Answer::Hooks(hooks) => Ok(hooks),
            answer => Err(strange(&answer)),
        }
    }

    /// Sends what is due to a webhook's address, once and in order; what does not arrive stays due a little later. Gives how many arrived.
    pub async fn dispatch(&self, transport: &dyn Transport, url: &str, now_s: u64) -> Result<usize, CallError> {
        let mut arrived = 0;
        for hook in self.due(now_s).await? {
            let mut all = true;
            for _ in 0..hook.copies {
                let delivery = Delivery {
                    url,
                    id: &hook.id,
                    now_s,
                    body: Bytes::from(hook.body.clone()),
                    secrets: &self.settings.secrets,
                    time: Duration::from_secs(15),
                };
                let attempt = webhooks::deliver(transport, &delivery).await;
                all &= attempt.is_ok_and(|attempt| attempt.verdict() == Verdict::Delivered);
            }
            let event = hook.id;
            let told = if all { Command::Delivered { event } } else { Command::NotDelivered { event, now_s } };
            self.ask(told).await?;
            arrived += usize::from(all);
        }
        Ok(arrived)
    }

    async fn make_charge(&self, ask: &Charge) -> Result<ChargeOutcome, CallError> {
        match self.ask(Command::Charge(ask.clone())).await? {
            Answer::Charge(outcome, manner) => {
                if manner == Manner::Slow {
                    tokio::time::sleep(Duration::from_secs(SLOW_S)).await;
                }
                if manner == Manner::Lost {
                    return Err(CallError::Unknown { detail: "the card loses the first answer".to_owned() });
                }
                Ok(self.with_page(outcome))
            }
            answer => Err(strange(&answer)),
        }
    }
}

impl Provider for Simulated {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn ensure_customer<'a>(&'a self, ask: &'a NewCustomer) -> Outgoing<'a, Result<CustomerRef, CallError>> {
        Box::pin(async move {
            match self.ask(Command::EnsureCustomer(ask.clone())).await? {
                Answer::Customer(customer) => Ok(customer),
                answer => Err(strange(&answer)),
            }
        })
    }

    /// There is no script for pages of one's own: [`Collect::InPage`] gets the hosted page, too.
    fn begin_setup<'a>(&'a self, ask: &'a NewSetup) -> Outgoing<'a, Result<Setup, CallError>> {
        Box::pin(async move {
            match self.ask(Command::BeginSetup(ask.clone())).await? {
                Answer::Setup(reference) => {
                    let url = Some(self.page("setup", reference.as_str()));
                    Ok(Setup { reference, url, client_secret: None })
                }
                answer => Err(strange(&answer)),
            }
        })
    }

    fn method<'a>(&'a self, method: &'a MethodRef) -> Outgoing<'a, Result<Method, CallError>> {
        Box::pin(async move {
            match self.ask(Command::Method(method.clone())).await? {
                Answer::Method(method) => Ok(method),
                answer => Err(strange(&answer)),
            }
        })
    }

    fn detach<'a>(&'a self, method: &'a MethodRef) -> Outgoing<'a, Result<(), CallError>> {
        Box::pin(async move { self.ask(Command::Detach(method.clone())).await.map(drop) })
    }

    fn charge<'a>(&'a self, ask: &'a Charge) -> Outgoing<'a, ChargeOutcome> {
        Box::pin(async move { self.make_charge(ask).await.unwrap_or_else(ChargeOutcome::from) })
    }

    fn find_charge<'a>(&'a self, ask: &'a FindCharge) -> Outgoing<'a, Result<Option<FoundCharge>, CallError>> {
        Box::pin(async move {
            match self.ask(Command::FindCharge(ask.key.clone())).await? {
                Answer::FoundCharge(found) => {
                    Ok(found.map(|found| FoundCharge { outcome: self.with_page(found.outcome), ..found }))
                }
                answer => Err(strange(&answer)),
            }
        })
    }

    fn open_checkout<'a>(&'a self, ask: &'a NewCheckout) -> Outgoing<'a, Result<Checkout, CallError>> {
        Box::pin(async move {
            match self.ask(Command::OpenCheckout(ask.clone())).await? {
                Answer::Checkout(reference, expires_at_s) => {
                    let url = self.page("checkout", reference.as_str());
                    Ok(Checkout { reference, url, expires_at_s })
                }
                answer => Err(strange(&answer)),
            }
        })
    }

    fn close_checkout<'a>(&'a self, checkout: &'a CheckoutRef) -> Outgoing<'a, Result<CheckoutState, CallError>> {
        Box::pin(async move {
            match self.ask(Command::CloseCheckout(checkout.clone())).await? {
                Answer::CheckoutState(state) => Ok(state),
                answer => Err(strange(&answer)),
            }
        })
    }

    fn refund<'a>(&'a self, ask: &'a Refund) -> Outgoing<'a, RefundOutcome> {
        Box::pin(async move {
            match self.ask(Command::Refund(ask.clone())).await {
                Ok(Answer::Refund(outcome)) => outcome,
                Ok(answer) => strange(&answer).into(),
                Err(error) => error.into(),
            }
        })
    }

    fn find_refund<'a>(&'a self, ask: &'a FindRefund) -> Outgoing<'a, Result<Option<RefundOutcome>, CallError>> {
        Box::pin(async move {
            match self.ask(Command::FindRefund(ask.key.clone())).await? {
                Answer::FoundRefund(found) => Ok(found),
                answer => Err(strange(&answer)),
            }
        })
    }

    fn receive(&self, headers: &HeaderMap, body: &[u8], now_s: u64) -> Result<Received, ReceiveError> {
        let verified = webhooks::verify(&self.settings.secrets, headers, body, now_s, self.settings.tolerance_s)?;
        let wire: WireEvent =
            serde_json::from_slice(body).map_err(|error| ReceiveError::Unreadable(error.to_string()))?;
        if wire.id != verified.id {
            return Err(ReceiveError::Unreadable("the body is of another event than its header says".to_owned()));
        }
        let event = match wire.event {
            Event::ChargeRequiresAction { facts, .. } => {
                let url = Some(self.authentication_page(&facts.charge));
                Event::ChargeRequiresAction { facts, url }
            }
            event => event,
        };
        Ok(Received { replay_id: wire.id, at_s: wire.created_s, event })
    }
}
