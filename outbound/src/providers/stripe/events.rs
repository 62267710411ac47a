//! Stripe's events (docs.stripe.com/api/events/types), as far as they are about money that we asked for.

use super::amounts::from_stripe;
use super::calls::{is_paid, refund_state};
use super::charges::canceled;
use super::declines::{decline, needs_authentication};
use super::objects::{
    ApiError, ChargeObject, CheckoutSession, DisputeObject, EventObject, Expandable, PaymentIntent, PaymentMethod,
    RefundObject, SetupIntent, key_of,
};
use crate::providers::{
    ChargeFacts, ChargeRef, CheckoutRef, CustomerRef, DisputeEnd, DisputeRef, Event, MethodRef, Money, ReceiveError,
    Received, RefundRef, SetupRef,
};
use serde::de::DeserializeOwned;

/// Reads an event whose signature was verified.
pub(super) fn read(body: &[u8], live: bool) -> Result<Received, ReceiveError> {
    let event: EventObject =
        serde_json::from_slice(body).map_err(|error| ReceiveError::Unreadable(error.to_string()))?;
    if event.object != "event" {
        return Err(ReceiveError::Unreadable(format!("a signed {:?} is no event", event.object)));
    }
    if event.livemode != live {
        return Err(ReceiveError::WrongMode { live: event.livemode });
    }
    let read = Reader { kind: event.kind, object: event.data.object };
    Ok(Received { replay_id: event.id, at_s: event.created, event: read.event()? })
}

struct Reader {
    kind: String,
    object: serde_json::Value,
}

impl Reader {
    fn object<T: DeserializeOwned>(&self) -> Result<T, ReceiveError> {
        T::deserialize(&self.object).map_err(|error| self.unreadable(&error.to_string()))
    }

    fn unreadable(&self, why: &str) -> ReceiveError {
        ReceiveError::Unreadable(format!("{}: {why}", self.kind))
    }

    fn money(&self, amount: i64, currency: &str) -> Result<Money, ReceiveError> {
        from_stripe(amount, currency).ok_or_else(|| self.unreadable(&format!("an amount of {amount} {currency:?}")))
    }

    fn other(&self) -> Event {
        Event::Other { kind: self.kind.clone() }
    }

    fn event(&self) -> Result<Event, ReceiveError> {
        match self.kind.as_str() {
            "payment_intent.succeeded" => Ok(Event::ChargeSucceeded(self.charge(self.object()?)?)),
            "payment_intent.processing" => Ok(Event::ChargeProcessing(self.charge(self.object()?)?)),
            "payment_intent.requires_action" => {
                let intent: PaymentIntent = self.object()?;
                let url = intent.action_url();
                Ok(Event::ChargeRequiresAction { facts: self.charge(intent)?, url })
            }
            "payment_intent.payment_failed" => self.failed(),
            "payment_intent.canceled" => {
                Ok(Event::ChargeFailed { facts: self.charge(self.object()?)?, decline: canceled() })
            }
            "checkout.session.completed"
            | "checkout.session.async_payment_succeeded"
            | "checkout.session.async_payment_failed" => self.checkout(),
            "checkout.session.expired" => self.expired(),
            "charge.refunded" => self.refunded(),
            "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => self.refund(),
            "charge.dispute.created" | "charge.dispute.closed" => self.dispute(),
            "setup_intent.succeeded" => self.setup(),
            "payment_method.attached" | "payment_method.updated" | "payment_method.automatically_updated" => {
                Ok(Event::MethodAttached(self.object::<PaymentMethod>()?.into()))
            }
            "payment_method.detached" => Ok(Event::MethodDetached(MethodRef::new(self.object::<PaymentMethod>()?.id))),
            _ => Ok(self.other()),
        }
    }

    fn charge(&self, intent: PaymentIntent) -> Result<ChargeFacts, ReceiveError> {
        Ok(ChargeFacts {
            money: self.money(intent.amount, &intent.currency)?,
            key: key_of(&intent.metadata).map(str::to_owned),
            charge: ChargeRef::new(intent.id),
            customer: intent.customer.map(Expandable::id).map(CustomerRef::new),
            method: intent.payment_method.map(Expandable::id).map(MethodRef::new),
        })
    }

    /// An off-session charge that wants authentication has failed for Stripe; for us it waits for the customer.
    fn failed(&self) -> Result<Event, ReceiveError> {
        let intent: PaymentIntent = self.object()?;
        let error: ApiError = intent.last_payment_error.clone().unwrap_or_default();
        let facts = self.charge(intent)?;
        if needs_authentication(&error) {
            return Ok(Event::ChargeRequiresAction { facts, url: None });
        }
        Ok(Event::ChargeFailed { facts, decline: decline(&error) })
    }

    fn checkout(&self) -> Result<Event, ReceiveError> {
        let session: CheckoutSession = self.object()?;
        let key = key_of(&session.metadata).map(str::to_owned);
        match session.mode.as_deref() {
            Some("payment") => Ok(Event::CheckoutCompleted {
                paid: is_paid(&session),
                key,
                charge: session.payment_intent.map(Expandable::id).map(ChargeRef::new),
                checkout: CheckoutRef::new(session.id),
            }),
            Some("setup") => Ok(Event::SetupCompleted {
                setup: SetupRef::new(session.id),
                key,
                customer: session.customer.map(Expandable::id).map(CustomerRef::new),
                method: None,
            }),
            _ => Ok(self.other()),
        }
    }

    fn expired(&self) -> Result<Event, ReceiveError> {
        let session: CheckoutSession = self.object()?;
        let key = key_of(&session.metadata).map(str::to_owned);
        Ok(Event::CheckoutExpired { checkout: CheckoutRef::new(session.id), key })
    }

    /// Charges that belong to no payment intent are none of ours.
    fn refunded(&self) -> Result<Event, ReceiveError> {
        let charge: ChargeObject = self.object()?;
        let Some(intent) = charge.payment_intent else {
            return Ok(self.other());
        };
        let total = self.money(charge.amount_refunded, &charge.currency)?;
        Ok(Event::RefundedInAll { charge: ChargeRef::new(intent.id()), total })
    }

    fn refund(&self) -> Result<Event, ReceiveError> {
        let refund: RefundObject = self.object()?;
        Ok(Event::RefundChanged {
            money: self.money(refund.amount, &refund.currency)?,
            state: refund_state(&refund),
            key: key_of(&refund.metadata).map(str::to_owned),
            charge: refund.payment_intent.map(Expandable::id).map(ChargeRef::new),
            refund: RefundRef::new(refund.id),
        })
    }

    /// An inquiry that was closed (`warning_closed`) and a dispute that was prevented took no money, or gave it back: they are won.
    fn dispute(&self) -> Result<Event, ReceiveError> {
        let object: DisputeObject = self.object()?;
        let Some(intent) = object.payment_intent else {
            return Ok(self.other());
        };
        let money = self.money(object.amount, &object.currency)?;
        let (dispute, charge) = (DisputeRef::new(object.id), ChargeRef::new(intent.id()));
        if self.kind == "charge.dispute.created" {
            let reason = object.reason.unwrap_or_default();
            return Ok(Event::DisputeOpened { dispute, charge, money, reason });
        }
        let end = match object.status.as_str() {
            "won" | "warning_closed" | "prevented" => DisputeEnd::Won,
            "lost" => DisputeEnd::Lost,
            status => return Err(self.unreadable(&format!("closed with the status {status:?}"))),
        };
        Ok(Event::DisputeClosed { dispute, charge, money, end })
    }

    fn setup(&self) -> Result<Event, ReceiveError> {
        let intent: SetupIntent = self.object()?;
        Ok(Event::SetupCompleted {
            key: key_of(&intent.metadata).map(str::to_owned),
            setup: SetupRef::new(intent.id),
            customer: intent.customer.map(Expandable::id).map(CustomerRef::new),
            method: intent.payment_method.map(Expandable::id).map(MethodRef::new),
        })
    }
}
