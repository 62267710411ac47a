//! One thing to be done at a provider, until it is known what came of it.

use super::asks::money_in;
use super::events::refund_key;
use super::{Failed, Payments, Task, is_over, seconds};
use crate::billing::top_up::{Collection, Command, Event, Outcome, RefundReport, Status, TopUp};
use crate::billing::{Money, top_up};
use crate::engine::CommandError;
use crate::engine::billing::Work;
use drawdown_outbound::providers::{
    self, CallError, ChargeOutcome, ChargeRef, CheckoutRef, CheckoutState, FindRefund, MethodRef, Provider,
    RefundOutcome, RefundState,
};
use std::time::Duration;

/// The prefix of checkouts among references.
pub(super) const CHECKOUT: &str = "checkout:";

/// What the provider says of a key that it knows with other content: money may have moved under it, and a person has to look.
const CONFLICT: &str = "idempotency_conflict";

/// How often who waits for an end looks whether it has come.
const LOOK: Duration = Duration::from_millis(2);

/// What a try came to.
enum Tried {
    /// It is known, and recorded.
    Done,
    /// It is not; to be asked again.
    Again(String),
}

impl Payments {
    /// Does a thing. Returns when its end is known and recorded, or nobody can do it before another start.
    pub(super) async fn carry_out(&self, task: Task) {
        let Task { work, mut is_repeat } = task;
        let Some(provider) = self.provider(&work.provider).cloned() else {
            tracing::error!(top_up = work.top_up, provider = work.provider, "its payment provider is not connected");
            return;
        };
        let mut pause = self.shared.retry;
        loop {
            let tried = {
                let _place = self.shared.places.acquire().await;
                self.attempt(&*provider, &work.top_up, &work.command, is_repeat).await
            };
            let why = match tried {
                Ok(Tried::Done) => return,
                Ok(Tried::Again(why)) => why,
                Err(Failed::Ledger(error)) if is_over(&error) => return,
                Err(error) => error.to_string(),
            };
            tracing::warn!(top_up = work.top_up, provider = work.provider, why, ?pause, "asking the provider again");
            tokio::time::sleep(pause).await;
            is_repeat = true;
            pause = (pause * 2).min(self.shared.retry_max);
        }
    }

    async fn attempt(
        &self,
        provider: &dyn Provider,
        id: &str,
        command: &Command,
        is_repeat: bool,
    ) -> Result<Tried, Failed> {
        let top_up = match self.shared.engine.top_up(id) {
            Ok(view) => view.top_up,
            Err(CommandError::NotFound { .. }) => return Ok(Tried::Done),
            Err(error) => return Err(error.into()),
        };
        match command {
            Command::Refund { key, money } => self.refund(provider, &top_up, key, *money, is_repeat).await,
            // It may have been asked longer ago than the provider keeps keys.
            Command::LookupRefund { key, money } => self.refund(provider, &top_up, key, *money, true).await,
            Command::Withdraw => self.withdraw(provider, &top_up).await,
            _ if !top_up.status().is_open() => Ok(Tried::Done),
            Command::Charge { .. } => self.charge(provider, &top_up, is_repeat).await,
            Command::OpenCheckout { money: Some(money), .. } => self.open_checkout(provider, &top_up, *money).await,
            Command::OpenCheckout { money: None, .. } => {
                self.declined(&top_up, "amount_required", "its page needs an amount").await
            }
            Command::Lookup if top_up.collection == Collection::Charge => self.charge(provider, &top_up, true).await,
            Command::Lookup => self.look_up(provider, &top_up).await,
        }
    }

    /// Records an event and hands on what follows from it. Returns when the record is durable.
    pub(super) async fn tell(&self, id: &str, event: &Event) -> Result<(), Failed> {
        let (_view, ticket) = self.shared.engine.top_up_event(id, event)?;
        ticket.await?;
        self.take_up();
        Ok(())
    }

    async fn charge(&self, provider: &dyn Provider, top_up: &TopUp, is_repeat: bool) -> Result<Tried, Failed> {
        let ask = match self.ask_charge(provider, top_up, is_repeat).await {
            Ok(ask) => ask,
            Err(Failed::Provider(CallError::Refused { code, message })) if !is_repeat => {
                return self.declined(top_up, &code, &message).await;
            }
            // It may have been asked before.
            Err(Failed::Provider(CallError::Refused { message, .. })) => return self.in_doubt(top_up, message).await,
            Err(error) => return Err(error),
        };
        let money = top_up.purchase.price.expect("what is charged has a price");
        let outcome = provider.charge(&ask).await;
        match outcome {
            // That the question is refused now says nothing of the first time that it was asked.
            ChargeOutcome::Refused { code, message } if is_repeat => {
                tracing::error!(
                    top_up = top_up.id,
                    code,
                    message,
                    "the provider refuses to say what became of a charge"
                );
                self.in_doubt(top_up, message).await
            }
            outcome => self.settled(top_up, money, outcome, None).await,
        }
    }

    /// What is known of a payment on a page.
    async fn look_up(&self, provider: &dyn Provider, top_up: &TopUp) -> Result<Tried, Failed> {
        let ask = self.ask_after(provider, top_up).await?;
        match provider.find_charge(&ask).await {
            Ok(Some(found)) => match money_in(found.money) {
                Some(money) => {
                    let method = self.saved(provider, top_up, found.method, &found.outcome).await?;
                    self.settled(top_up, money, found.outcome, method).await
                }
                None => Ok(Tried::Again(format!("paid in strange money: {}", found.money))),
            },
            Ok(None) if top_up.checkout_url.is_none() => match top_up.purchase.price {
                Some(price) => self.open_checkout(provider, top_up, price).await,
                None => Ok(Tried::Done),
            },
            // Nobody has paid yet; who does is told of.
            Ok(None) | Err(CallError::Unsupported(_)) => Ok(Tried::Done),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether one that was given up was paid all the same; `is_there` says that there is a payment, however it stands.
    async fn look_up_late(&self, provider: &dyn Provider, top_up: &TopUp, is_there: bool) -> Result<Tried, Failed> {
        let ask = self.ask_after(provider, top_up).await?;
        let found = match provider.find_charge(&ask).await {
            Ok(Some(found)) => found,
            Ok(None) if is_there => return Ok(Tried::Again("its payment is not found".to_owned())),
            Ok(None) => {
                self.tell(&top_up.id, &Event::CheckoutClosed).await?;
                return Ok(Tried::Done);
            }
            Err(CallError::Unsupported(_)) => return Ok(Tried::Done),
            Err(error) => return Err(error.into()),
        };
        let Some(money) = money_in(found.money) else {
            return Ok(Tried::Again(format!("paid in strange money: {}", found.money)));
        };
        let method = self.saved(provider, top_up, found.method, &found.outcome).await?;
        self.settled(top_up, money, found.outcome, method).await
    }

    /// The method that a payment on a page has saved.
    async fn saved(
        &self,
        provider: &dyn Provider,
        top_up: &TopUp,
        method: Option<MethodRef>,
        outcome: &ChargeOutcome,
    ) -> Result<Option<String>, Failed> {
        let is_paid = matches!(outcome, ChargeOutcome::Succeeded { .. });
        match method.filter(|_| top_up.saves_method && is_paid) {
            Some(method) => Ok(Some(self.keep_method(provider, &top_up.customer, &method).await?)),
            None => Ok(None),
        }
    }

    async fn settled(
        &self,
        top_up: &TopUp,
        money: Money,
        outcome: ChargeOutcome,
        method: Option<String>,
    ) -> Result<Tried, Failed> {
        let id = &top_up.id;
        let outcome = match outcome {
            ChargeOutcome::Succeeded { charge } => {
                Outcome::Succeeded { reference: charge.as_str().to_owned(), money, method }
            }
            ChargeOutcome::RequiresAction { url, .. } => Outcome::RequiresAction { url },
            ChargeOutcome::Processing { .. } => Outcome::Processing,
            ChargeOutcome::Declined { decline, .. } => Outcome::Declined { code: decline.code, hard: decline.hard },
            ChargeOutcome::Refused { code, message } if code == CONFLICT => {
                tracing::error!(
                    top_up = id,
                    message,
                    "a person has to look: the provider knows the key with other content"
                );
                return self.in_doubt(top_up, message).await;
            }
            ChargeOutcome::Refused { code, message } => return self.declined(top_up, &code, &message).await,
            ChargeOutcome::Unknown { detail } => return self.in_doubt(top_up, detail).await,
        };
        self.tell(id, &Event::Outcome(outcome)).await?;
        Ok(Tried::Done)
    }

    async fn in_doubt(&self, top_up: &TopUp, why: String) -> Result<Tried, Failed> {
        if !top_up.in_doubt {
            self.tell(&top_up.id, &Event::Outcome(Outcome::Unknown)).await?;
        }
        Ok(Tried::Again(why))
    }

    /// The provider did not take the question: no money moved, and none will.
    async fn declined(&self, top_up: &TopUp, code: &str, message: &str) -> Result<Tried, Failed> {
        tracing::error!(top_up = top_up.id, code, message, "the payment provider refuses");
        let code = code.to_owned();
        let closed = top_up.collection == Collection::Checkout && top_up.status() == Status::Created;
        self.tell(&top_up.id, &Event::Outcome(Outcome::Declined { code, hard: false })).await?;
        if closed {
            // A page that cannot be opened cannot be tried again either.
            self.tell(&top_up.id, &Event::CheckoutClosed).await?;
        }
        Ok(Tried::Done)
    }

    async fn open_checkout(&self, provider: &dyn Provider, top_up: &TopUp, price: Money) -> Result<Tried, Failed> {
        let opened = match self.ask_checkout(provider, top_up, price).await {
            Ok(ask) => provider.open_checkout(&ask).await.map_err(Failed::from),
            Err(error) => Err(error),
        };
        let checkout = match opened {
            Ok(checkout) => checkout,
            Err(Failed::Provider(CallError::Refused { code, message })) => {
                return self.declined(top_up, &code, &message).await;
            }
            Err(Failed::Provider(CallError::Unsupported(what))) => {
                return self.declined(top_up, "unsupported", what).await;
            }
            Err(error) => return Err(error),
        };
        let of = format!("{CHECKOUT}{}", top_up.id);
        drop(self.shared.engine.note_reference(provider.name(), &of, checkout.reference.as_str())?);
        self.tell(&top_up.id, &Event::CheckoutOpened { url: checkout.url }).await?;
        Ok(Tried::Done)
    }

    /// Ends a page. A charge that was sent cannot be called back: what comes of it is credited.
    async fn withdraw(&self, provider: &dyn Provider, top_up: &TopUp) -> Result<Tried, Failed> {
        if top_up.captured.is_some() || top_up.status().is_open() {
            return Ok(Tried::Done);
        }
        let of = format!("{CHECKOUT}{}", top_up.id);
        let Some(checkout) = self.shared.engine.reference(provider.name(), &of) else {
            // A charge that was sent; or a page that nobody was ever shown.
            return self.look_up_late(provider, top_up, false).await;
        };
        match provider.close_checkout(&CheckoutRef::new(checkout)).await {
            Ok(CheckoutState::Completed { .. }) => self.look_up_late(provider, top_up, true).await,
            Ok(CheckoutState::Expired) | Err(CallError::Unsupported(_)) => {
                self.tell(&top_up.id, &Event::CheckoutClosed).await?;
                Ok(Tried::Done)
            }
            Ok(CheckoutState::Open) => Ok(Tried::Again("the page is still open".to_owned())),
            Err(CallError::Refused { code, message }) => {
                tracing::error!(top_up = top_up.id, code, message, "the page cannot be closed");
                Ok(Tried::Done)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn refund(
        &self,
        provider: &dyn Provider,
        top_up: &TopUp,
        key: &str,
        money: Money,
        is_repeat: bool,
    ) -> Result<Tried, Failed> {
        let known = top_up.refunds.iter().find(|refund| refund.key == key);
        let Some(asked) = known.filter(|refund| refund.status == top_up::RefundStatus::Pending) else {
            return Ok(Tried::Done);
        };
        let Some(payment) = top_up.payments.first() else { return Ok(Tried::Done) };
        let (charge, of_key) = (ChargeRef::new(payment.key.clone()), refund_key(&top_up.id, key));
        let mut found = None;
        if is_repeat {
            found = provider.find_refund(&FindRefund { key: of_key.clone(), charge: charge.clone() }).await?;
        }
        let outcome = if let Some(outcome) = found {
            outcome
        } else {
            let money = super::asks::money_out(money)?;
            let ask = providers::Refund { key: of_key, charge, money, decided_at_s: seconds(asked.at) };
            provider.refund(&ask).await
        };
        let report = match outcome {
            RefundOutcome::Accepted { state, .. } => report_of(state),
            RefundOutcome::Refused { code, message } if code != CONFLICT => {
                tracing::error!(top_up = top_up.id, code, message, "the provider refuses a refund");
                RefundReport::Failed
            }
            RefundOutcome::Refused { message, .. } => return Ok(Tried::Again(message)),
            RefundOutcome::Unsupported => RefundReport::Failed,
            RefundOutcome::Unknown { detail } => return Ok(Tried::Again(detail)),
        };
        self.tell(&top_up.id, &Event::Refund { key: key.to_owned(), money, report }).await?;
        Ok(Tried::Done)
    }

    /// Shows the page of another system on which a top-up that it collects can be paid, if the settings name one.
    pub async fn show_outside_page(&self, id: &str) -> Result<(), Failed> {
        let top_up = self.shared.engine.top_up(id)?.top_up;
        let is_new =
            top_up.collection == Collection::Outside && top_up.status().is_open() && top_up.checkout_url.is_none();
        let provider = self.provider(&top_up.provider).filter(|_| is_new).cloned();
        let (Some(provider), Some(price)) = (provider, top_up.purchase.price) else { return Ok(()) };
        let opened = match self.ask_checkout(&*provider, &top_up, price).await {
            Ok(ask) => provider.open_checkout(&ask).await,
            // A coin, or something else that its page cannot take.
            Err(Failed::Provider(error)) => Err(error),
            Err(error) => return Err(error),
        };
        match opened {
            Ok(checkout) => self.tell(id, &Event::CheckoutOpened { url: checkout.url }).await,
            Err(_) => Ok(()),
        }
    }

    /// Asks a provider how a top-up stands, beside what it tells by itself.
    pub(super) fn ask_again(&self, top_up: &TopUp) {
        let (provider, top_up) = (top_up.provider.clone(), top_up.id.clone());
        self.enqueue(&mut self.queues(), Work { provider, top_up, command: Command::Lookup }, true);
    }

    /// Waits until what is being done of a top-up is done, or the time is over.
    pub async fn settle(&self, top_up: &str, patience: Duration) {
        let settled = async {
            while self.queues().contains_key(top_up) {
                tokio::time::sleep(LOOK).await;
            }
        };
        // What is not known by then, the client learns by asking again.
        let _ = tokio::time::timeout(patience, settled).await;
    }
}

/// How a refund stands, as the ledger has it.
pub(super) fn report_of(state: RefundState) -> RefundReport {
    match state {
        RefundState::Pending => RefundReport::Pending,
        RefundState::Succeeded => RefundReport::Succeeded,
        RefundState::Failed => RefundReport::Failed,
    }
}
