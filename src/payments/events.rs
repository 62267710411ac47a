//! What providers tell on their own.

use super::asks::{CUSTOMER, money_in};
use super::carry::report_of;
use super::methods::METHOD;
use super::{Failed, Payments, seconds};
use crate::billing::top_up::{Event, Outcome, TopUp};
use crate::engine::CommandError;
use crate::ledger::Timestamp;
use drawdown_outbound::http::HeaderMap;
use drawdown_outbound::providers::{
    self, ChargeFacts, ChargeRef, CustomerRef, DisputeEnd, Key, Provider, ReceiveError, Received,
};

/// How far a provider's clock may be ahead of ours, seconds.
const CLOCKS_S: u64 = 300;

/// Why an event was not taken in.
#[derive(Debug)]
pub enum Receiving {
    /// There is no such provider.
    NoProvider,
    /// It is not from the provider, or cannot be read.
    Refused(ReceiveError),
    /// The ledger or the provider cannot say more just now: to be sent again.
    Later(Failed),
}

impl From<Failed> for Receiving {
    fn from(failed: Failed) -> Self {
        Receiving::Later(failed)
    }
}

/// What a refund is asked under: the top-up's id, and a hash of the caller's key, which may be of any letters.
pub fn refund_key(top_up: &str, key: &str) -> Key {
    let digest = blake3::hash(key.as_bytes()).to_hex();
    format!("{top_up}.{}", &digest[..32]).parse().expect("an id and hexadecimal digits")
}

impl Payments {
    /// Takes in what came to a provider's webhook. Success says that what it tells is durable; the same again changes nothing.
    pub async fn receive(&self, provider: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), Receiving> {
        let provider = self.provider(provider).ok_or(Receiving::NoProvider)?.clone();
        let now_s = seconds(self.shared.engine.now());
        let received = provider.receive(headers, body, now_s).map_err(Receiving::Refused)?;
        Ok(self.take_in(&*provider, received).await?)
    }

    /// What came to a payment that is not known here comes again if the payment may be one of ours of which nothing has been heard yet:
    /// events come in any order, and a success may be the one that was lost. Others have payments at the same provider, too; of those it is passed over,
    /// and nothing is kept.
    fn of_unknown(&self, provider: &dyn Provider, charge: Option<&ChargeRef>, at_s: u64) -> Result<(), Failed> {
        let Some(charge) = charge else { return Ok(()) };
        let before = Timestamp::from_millis(at_s.saturating_add(CLOCKS_S).saturating_mul(1_000));
        let awaited = self.shared.engine.awaited_payments(provider.name(), before);
        if awaited.is_empty() {
            tracing::warn!(%charge, "an event about a payment that is none of ours");
            return Ok(());
        }
        tracing::warn!(%charge, awaited = awaited.len(), "an event about a payment that is not known yet");
        Err(Failed::NotKnownYet)
    }

    async fn take_in(&self, provider: &dyn Provider, received: Received) -> Result<(), Failed> {
        use providers::Event as Told;
        let at_s = received.at_s;
        match received.event {
            Told::ChargeSucceeded(facts) => self.succeeded(provider, facts).await,
            Told::ChargeFailed { facts, decline } => {
                self.about(provider, &facts, Outcome::Declined { code: decline.code, hard: decline.hard }).await
            }
            Told::ChargeRequiresAction { facts, url } => {
                self.about(provider, &facts, Outcome::RequiresAction { url }).await
            }
            Told::ChargeProcessing(facts) => self.about(provider, &facts, Outcome::Processing).await,
            Told::CheckoutCompleted { key, .. } => {
                if let Some(top_up) = self.top_up_of(provider, key.as_deref(), None)
                    && top_up.status().is_open()
                {
                    self.ask_again(&top_up);
                }
                Ok(())
            }
            Told::CheckoutExpired { key, .. } => match self.top_up_of(provider, key.as_deref(), None) {
                Some(top_up) => self.tell(&top_up.id, &Event::CheckoutClosed).await,
                None => Ok(()),
            },
            Told::RefundChanged { refund, charge, key, money, state } => {
                let of_key = key.as_deref().and_then(|key| key.split_once('.'));
                let Some(top_up) = self.top_up_of(provider, of_key.map(|(id, _)| id), charge.as_ref()) else {
                    return self.of_unknown(provider, charge.as_ref(), at_s);
                };
                let ours = |known: &&crate::billing::top_up::Refund| {
                    key.as_deref() == Some(refund_key(&top_up.id, &known.key).as_str())
                };
                let known = top_up.refunds.iter().find(ours).map(|known| known.key.clone());
                let Some(money) = money_in(money) else { return Ok(()) };
                let key = known.unwrap_or_else(|| refund.as_str().to_owned());
                self.tell(&top_up.id, &Event::Refund { key, money, report: report_of(state) }).await
            }
            Told::DisputeOpened { charge, .. } => self.disputed(provider, &charge, &Event::DisputeOpened, at_s).await,
            Told::DisputeClosed { charge, end, .. } => {
                let event = match end {
                    DisputeEnd::Won => Event::DisputeWon,
                    DisputeEnd::Lost => Event::DisputeLost,
                };
                self.disputed(provider, &charge, &event, at_s).await
            }
            Told::SetupCompleted { customer: Some(customer), method: Some(method), .. } => {
                let Some(owner) = self.owner(provider, &customer) else { return Ok(()) };
                self.keep_method(provider, &owner, &method).await.map(drop)
            }
            Told::MethodAttached(method) => {
                let owner = method.customer.as_ref().and_then(|customer| self.owner(provider, customer));
                match owner {
                    Some(owner) => self.enter_method(provider, &owner, method).await.map(drop),
                    None => Ok(()),
                }
            }
            Told::MethodDetached(method) => {
                let known = self.shared.engine.referred(provider.name(), method.as_str());
                let known = known.as_deref().and_then(|of| of.strip_prefix(METHOD)?.split_once(':'));
                let Some((id, customer)) = known else { return Ok(()) };
                let (_method, ticket) = self.shared.engine.detach_payment_method(customer, id)?;
                Ok(ticket.await?)
            }
            // Each refund is told of by itself, so their sum says nothing new.
            Told::RefundedInAll { .. } | Told::SetupCompleted { .. } => Ok(()),
            Told::Other { kind } => {
                tracing::debug!(kind, "an event that does not concern the ledger");
                Ok(())
            }
        }
    }

    /// Whose a provider's customer is.
    fn owner(&self, provider: &dyn Provider, customer: &CustomerRef) -> Option<String> {
        let of = self.shared.engine.referred(provider.name(), customer.as_str())?;
        Some(of.strip_prefix(CUSTOMER)?.to_owned())
    }

    /// The top-up that an event is about: by its key, or by the payment. Of another provider's it is none.
    fn top_up_of(&self, provider: &dyn Provider, key: Option<&str>, charge: Option<&ChargeRef>) -> Option<TopUp> {
        let engine = &self.shared.engine;
        let by_key = key.and_then(|key| engine.top_up(key).ok());
        let view = by_key.or_else(|| engine.top_up_of_payment(charge?.as_str()));
        view.map(|view| view.top_up).filter(|top_up| top_up.provider == provider.name())
    }

    async fn about(&self, provider: &dyn Provider, facts: &ChargeFacts, outcome: Outcome) -> Result<(), Failed> {
        match self.top_up_of(provider, facts.key.as_deref(), Some(&facts.charge)) {
            Some(top_up) => self.tell(&top_up.id, &Event::Outcome(outcome)).await,
            None => Ok(()),
        }
    }

    async fn succeeded(&self, provider: &dyn Provider, facts: ChargeFacts) -> Result<(), Failed> {
        let Some(top_up) = self.top_up_of(provider, facts.key.as_deref(), Some(&facts.charge)) else {
            return Ok(());
        };
        let Some(money) = money_in(facts.money) else {
            tracing::error!(top_up = top_up.id, money = %facts.money, "paid in strange money: a person has to look");
            return Ok(());
        };
        // The money counts whether or not its card can be looked at; if it cannot, the event is wanted again.
        let kept = match facts.method.filter(|_| top_up.saves_method) {
            Some(method) => self.keep_method(provider, &top_up.customer, &method).await.map(Some),
            None => Ok(None),
        };
        let method = kept.as_ref().ok().and_then(Clone::clone);
        let reference = facts.charge.as_str().to_owned();
        self.tell(&top_up.id, &Event::Outcome(Outcome::Succeeded { reference, money, method })).await?;
        kept.map(drop)
    }

    async fn disputed(
        &self,
        provider: &dyn Provider,
        charge: &ChargeRef,
        event: &Event,
        at_s: u64,
    ) -> Result<(), Failed> {
        let Some(top_up) = self.top_up_of(provider, None, Some(charge)) else {
            return self.of_unknown(provider, Some(charge), at_s);
        };
        self.tell(&top_up.id, event).await
    }
}

impl Failed {
    /// Whether another try may do better: what the ledger or the provider has refused stays refused.
    pub fn may_pass(&self) -> bool {
        use providers::CallError;
        matches!(
            self,
            Failed::Ledger(CommandError::Unavailable(_))
                | Failed::Provider(CallError::Unknown { .. })
                | Failed::NotKnownYet
        )
    }
}
