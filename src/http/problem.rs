//! What a client reads when a request did not succeed: RFC 9457 `application/problem+json`.
//!
//! Every way in which a request can fail is one [`Reason`], and one exhaustive match gives its status, its stable slug and its title: a
//! new rule in the ledger or a new state of the engine does not compile until it has an answer here. What the log reads is separate;
//! nothing internal enters `detail`.

use super::decode::DecodeError;
use super::refusals::Refusal;
use super::reply::{Reply, RequestId};
use crate::engine::{CommandError, Unavailable};
use crate::ledger::Rejection;
use hyper::StatusCode;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// Why a request did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The body cannot be read.
    MalformedBody,
    /// A field of the body cannot be used.
    InvalidField,
    /// A field of the body is well written, but what it says is not allowed.
    InvalidValue,
    /// A query parameter, header or path cannot be used.
    InvalidParameter,
    /// No API key came with the request.
    MissingKey,
    /// The API key opens nothing.
    InvalidKey,
    /// The API key does not open this.
    MissingScope,
    /// There is nothing at this path.
    NoSuchPath,
    /// There is no such object.
    Unknown(&'static str),
    /// What is asked for lies in a part of the log that has been retired.
    Retired,
    /// The path does not take the method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    Timeout,
    /// The change contradicts what stands; the slug says how.
    Conflict(&'static str),
    /// The body is larger than the limit.
    BodyTooLarge,
    /// The batch has more members than the limit.
    BatchTooLarge,
    /// The body has a content type that the route does not take.
    UnsupportedMediaType,
    /// The ledger's rules said no.
    Rejected(Rejection),
    /// Too many requests wait at the end of the feed.
    TooManyWaiting,
    /// The server takes no writes just now.
    Unavailable(Unavailable),
    /// More bodies are in flight than the limit.
    TooManyBytes,
    /// More requests are under way than the limit.
    TooManyRequests,
    /// There are as many connections as the limit.
    TooManyConnections,
    /// The log is being replayed; nothing is known yet.
    Recovering,
    /// A report contradicts the ledger, and is not given out.
    Inconsistent,
}

impl Reason {
    /// The status, the stable slug and the title, from the one place that decides them.
    pub fn describe(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Reason::MalformedBody => (StatusCode::BAD_REQUEST, "malformed_body", "The body cannot be read"),
            Reason::InvalidField => (StatusCode::BAD_REQUEST, "invalid_field", "A field cannot be used"),
            Reason::InvalidValue => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_value", "A value is not allowed"),
            Reason::InvalidParameter => (StatusCode::BAD_REQUEST, "invalid_parameter", "A parameter cannot be used"),
            Reason::MissingKey => (StatusCode::UNAUTHORIZED, "missing_api_key", "An API key is needed"),
            Reason::InvalidKey => (StatusCode::UNAUTHORIZED, "invalid_api_key", "The API key is not valid"),
            Reason::MissingScope => (StatusCode::FORBIDDEN, "insufficient_scope", "The API key does not allow this"),
            Reason::NoSuchPath => (StatusCode::NOT_FOUND, "not_found", "There is nothing here"),
            Reason::Unknown(what) => unknown(what),
            Reason::Retired => (StatusCode::GONE, "history_retired", "The history is not kept any more"),
            Reason::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "The path does not take this method")
            }
            Reason::Timeout => (StatusCode::REQUEST_TIMEOUT, "request_timeout", "The request did not arrive in time"),
            Reason::Conflict(slug) => (StatusCode::CONFLICT, slug, "The change contradicts what stands"),
            Reason::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large"),
            Reason::BatchTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "batch_too_large", "The batch is too large"),
            Reason::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The content type is not supported")
            }
            Reason::Rejected(rejection) => rejected(rejection),
            Reason::TooManyWaiting => (StatusCode::TOO_MANY_REQUESTS, "too_many_waiting", "Too many requests wait"),
            Reason::Unavailable(unavailable) => self::unavailable(unavailable),
            Reason::TooManyBytes | Reason::TooManyRequests => {
                (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "The server is overloaded")
            }
            Reason::TooManyConnections => {
                (StatusCode::SERVICE_UNAVAILABLE, "too_many_connections", "There are too many connections")
            }
            Reason::Recovering => (StatusCode::SERVICE_UNAVAILABLE, "recovering", "The server is starting"),
            Reason::Inconsistent => {
                (StatusCode::INTERNAL_SERVER_ERROR, "ledger_inconsistent", "The ledger contradicts itself")
            }
        }
    }

    /// Seconds after which it makes sense to try again, where it does at all.
    pub(crate) fn retry_after(&self) -> Option<&'static str> {
        match self {
            Reason::TooManyWaiting
            | Reason::TooManyBytes
            | Reason::TooManyRequests
            | Reason::TooManyConnections
            | Reason::Recovering
            | Reason::Timeout
            | Reason::Unavailable(Unavailable::Overloaded)
            | Reason::Conflict("idempotency_in_progress" | "currency_changed") => Some("1"),
            Reason::Unavailable(Unavailable::Closed) => Some("5"),
            Reason::Unavailable(Unavailable::NoSpace(_) | Unavailable::Poisoned(_)) => Some("30"),
            _ => None,
        }
    }

    /// What it counts as, if the server turned the request away for its own sake.
    pub(crate) const fn refusal(&self) -> Option<Refusal> {
        Some(match self {
            Reason::Timeout => Refusal::SlowBody,
            Reason::TooManyWaiting => Refusal::FeedWaiters,
            Reason::TooManyBytes => Refusal::Bytes,
            Reason::TooManyRequests => Refusal::Requests,
            Reason::TooManyConnections => Refusal::Connections,
            Reason::Unavailable(Unavailable::Overloaded) => Refusal::Overloaded,
            Reason::Unavailable(Unavailable::NoSpace(_)) => Refusal::NoSpace,
            Reason::Unavailable(Unavailable::Poisoned(_)) => Refusal::Poisoned,
            Reason::Unavailable(Unavailable::Closed) => Refusal::Stopping,
            _ => return None,
        })
    }
}

/// The answer to a rejection: 402 for credit, 404 and 409 where they fit, else 422.
fn rejected(rejection: &Rejection) -> (StatusCode, &'static str, &'static str) {
    const REFUSED: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
    let (status, title) = match rejection {
        Rejection::InsufficientCredit { .. } => (StatusCode::PAYMENT_REQUIRED, "The wallet has not enough credit"),
        Rejection::UnknownWallet => (StatusCode::NOT_FOUND, "There is no such wallet"),
        Rejection::UnknownGrant => (StatusCode::NOT_FOUND, "There is no such grant"),
        Rejection::IdConflict => (StatusCode::CONFLICT, "The id is taken by something with other content"),
        Rejection::WalletFrozen => (REFUSED, "The wallet is frozen"),
        Rejection::WalletClosed => (REFUSED, "The wallet is closed"),
        Rejection::WalletHeld { .. } => (REFUSED, "The wallet has open holds"),
        Rejection::EventTooOld => (REFUSED, "The event is too old"),
        Rejection::EventInFuture => (REFUSED, "The event lies in the future"),
        Rejection::UnknownMeter => (REFUSED, "There is no such meter"),
        Rejection::UnknownCurrency => (REFUSED, "There is no such credit currency"),
        Rejection::InvalidAmount => (REFUSED, "The amount cannot be used"),
        Rejection::InvalidId { .. } => (REFUSED, "An identifier cannot be used"),
        Rejection::InvalidSource => (REFUSED, "The source cannot be used"),
        Rejection::InvalidPriority => (REFUSED, "The priority is above 100"),
        Rejection::InvalidCost => (REFUSED, "The cost basis is negative"),
        Rejection::GrantEnded => (REFUSED, "The grant has ended"),
        Rejection::MaxBalanceExceeded { .. } => (REFUSED, "The balance would be above the currency's maximum"),
        Rejection::ExpiryInPast => (REFUSED, "The expiry is not in the future"),
        Rejection::ExpiryBeforeEffective => (REFUSED, "The expiry is not after the effective date"),
        Rejection::BalanceOverflow => (REFUSED, "The balance would be too large"),
        Rejection::TooManyGrants => (REFUSED, "The wallet has too many grants"),
        Rejection::Superseded => (StatusCode::CONFLICT, "The wallet has changed meanwhile"),
        Rejection::UnknownHold => (StatusCode::NOT_FOUND, "There is no such hold"),
        Rejection::HoldEnded => (StatusCode::CONFLICT, "The hold has ended"),
        Rejection::CaptureExceedsHold { .. } => (REFUSED, "The capture exceeds the hold"),
        Rejection::TooManyHolds => (REFUSED, "The wallet has too many holds"),
        Rejection::GroupRejected => (REFUSED, "Another event of the group was refused"),
    };
    (status, rejection.slug(), title)
}

fn unknown(what: &str) -> (StatusCode, &'static str, &'static str) {
    let (slug, title) = match what {
        "wallet" => ("unknown_wallet", "There is no such wallet"),
        "grant" => ("unknown_grant", "There is no such grant"),
        "recurring_grant" => ("unknown_recurring_grant", "There is no such recurring grant"),
        "credit_currency" => ("unknown_currency", "There is no such credit currency"),
        "meter" => ("unknown_meter", "There is no such meter"),
        "api_key" => ("unknown_api_key", "There is no such API key"),
        "entry" => ("unknown_entry", "There is no such entry"),
        "charge" => ("unknown_charge", "There is no such charge"),
        "transfer" => ("unknown_transfer", "There is no such transfer"),
        "hold" => ("unknown_hold", "There is no such hold"),
        "customer" => ("unknown_customer", "There is no such customer"),
        "credit_package" => ("unknown_credit_package", "There is no such credit package"),
        "payment_method" => ("unknown_payment_method", "There is no such payment method"),
        "deposit_form" => ("unknown_deposit_form", "There is no such deposit form"),
        "provider" => ("unknown_provider", "There is no such payment provider"),
        "top_up" => ("unknown_top_up", "There is no such top-up"),
        "auto_topup_rule" => ("unknown_auto_topup_rule", "There is no such rule"),
        "invoice" => ("unknown_invoice", "There is no such invoice"),
        "webhook_endpoint" => ("unknown_webhook_endpoint", "There is no such webhook endpoint"),
        "delivery" => ("unknown_delivery", "There is no such delivery"),
        _ => ("not_found", "There is no such object"),
    };
    (StatusCode::NOT_FOUND, slug, title)
}

fn unavailable(unavailable: &Unavailable) -> (StatusCode, &'static str, &'static str) {
    let (slug, title) = match unavailable {
        Unavailable::Overloaded => ("overloaded", "The server is overloaded"),
        Unavailable::NoSpace(_) => ("no_space", "The disk is full"),
        Unavailable::Poisoned(_) => ("poisoned", "The log cannot be written any more"),
        Unavailable::Closed => ("shutting_down", "The server is shutting down"),
    };
    (StatusCode::SERVICE_UNAVAILABLE, slug, title)
}

/// A failed request, with everything that helps its sender to find out why.
#[derive(Clone, Debug)]
pub struct Problem(Box<Details>);

#[derive(Clone, Debug)]
struct Details {
    reason: Reason,
    detail: Cow<'static, str>,
    field: Option<Cow<'static, str>>,
    index: Option<usize>,
    members: Map<String, Value>,
    header: Option<(&'static str, Cow<'static, str>)>,
    close: bool,
}

impl Problem {
    /// A problem for this reason, explained for people.
    #[cold]
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        let close = matches!(reason, Reason::Timeout);
        let (detail, members) = (detail.into(), Map::new());
        Problem(Box::new(Details { reason, detail, field: None, index: None, members, header: None, close }))
    }

    /// A field of the body cannot be used.
    #[cold]
    pub(crate) fn field(field: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Reason::InvalidField, detail).at_field(field)
    }

    /// A query parameter, header or path cannot be used.
    #[cold]
    pub(crate) fn parameter(name: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Reason::InvalidParameter, detail).at_field(name)
    }

    /// Says it in other words.
    #[must_use]
    pub(crate) fn saying(mut self, detail: String) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Names the offending field.
    #[must_use]
    pub(crate) fn at_field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Names the offending member of a batch.
    #[must_use]
    pub(crate) fn at_index(mut self, index: usize) -> Self {
        self.0.index = Some(index);
        self
    }

    /// Adds a member of its own.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a response header, such as `Allow`.
    #[must_use]
    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.0.header = Some((name, value.into()));
        self
    }

    /// Why.
    pub(crate) fn reason(&self) -> &Reason {
        &self.0.reason
    }

    /// What is wrong, for people.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What the log is told of it: more than the client where the cause lies with the server.
    pub(crate) fn cause(&self) -> &dyn std::fmt::Display {
        match &self.0.reason {
            Reason::Unavailable(unavailable) => unavailable,
            _ => &self.0.detail,
        }
    }

    /// What a member of a batch answer says: the same words without the envelope.
    pub(crate) fn brief(&self) -> Value {
        let (status, slug, title) = self.0.reason.describe();
        let mut out = json!({"reason": slug, "title": title, "detail": self.0.detail, "status": status.as_u16()});
        if let Some(field) = &self.0.field {
            out["field"] = json!(field);
        }
        out
    }

    /// The body, for the request of this id.
    pub(crate) fn body(&self, id: &RequestId) -> Vec<u8> {
        let (status, slug, title) = self.0.reason.describe();
        let mut out = self.0.members.clone();
        out.insert("type".into(), json!(format!("/problems/{slug}")));
        out.insert("title".into(), json!(title));
        out.insert("status".into(), json!(status.as_u16()));
        out.insert("detail".into(), json!(self.0.detail));
        out.insert("instance".into(), json!(id.to_string()));
        if let Reason::Rejected(_) = self.0.reason {
            out.insert("reason".into(), json!(slug));
        }
        if let Some(field) = &self.0.field {
            out.insert("field".into(), json!(field));
        }
        if let Some(index) = self.0.index {
            out.insert("index".into(), json!(index));
        }
        Value::Object(out).to_string().into_bytes()
    }

    /// The answer to the request of this id.
    pub(crate) fn into_reply(self, id: &RequestId) -> Reply {
        let (status, ..) = self.0.reason.describe();
        let mut reply = Reply::new(status, "application/problem+json", self.body(id));
        if let Some(seconds) = self.0.reason.retry_after() {
            reply = reply.header("retry-after", seconds);
        }
        if self.0.close {
            reply = reply.header("connection", "close");
        }
        match self.0.header {
            Some((name, value)) => reply.header(name, value),
            None => reply,
        }
    }
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Malformed { index, at, what } => {
                let problem = Problem::new(Reason::MalformedBody, what).with("offset", at);
                match index {
                    Some(index) => problem.at_index(index),
                    None => problem,
                }
            }
            DecodeError::Field { index, field, at, what } => {
                Problem::field(field, what).at_index(index).with("offset", at)
            }
            DecodeError::TooMany { limit } => too_many(limit),
        }
    }
}

/// The batch has more members than the limit.
pub(crate) fn too_many(limit: usize) -> Problem {
    Problem::new(Reason::BatchTooLarge, format!("a request takes at most {limit} at once")).with("limit", limit)
}

impl From<Unavailable> for Problem {
    fn from(unavailable: Unavailable) -> Self {
        let detail = match &unavailable {
            // What the disk said is for the server's log; the client learns what it means.
            Unavailable::NoSpace(_) => "the disk has no room for the log",
            Unavailable::Poisoned(_) => {
                "a sync of the log failed; whether the request was applied is open until the restart"
            }
            Unavailable::Overloaded => "more is waiting for the disk than the bound allows; nothing was applied",
            Unavailable::Closed => "the server is shutting down; nothing was applied",
        };
        Problem::new(Reason::Unavailable(unavailable), detail)
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Rejected(rejection) => Problem::from(rejection),
            CommandError::Invalid { field, detail } => Problem::new(refused_value(field), detail).at_field(field),
            CommandError::NotFound { what } => {
                Problem::new(Reason::Unknown(what), format!("there is no such {}", what.replace('_', " ")))
            }
            CommandError::Conflict { slug, detail } => Problem::new(Reason::Conflict(slug), detail),
            CommandError::Retired { first } => {
                Problem::new(Reason::Retired, format!("what lies before position {first} has been retired"))
                    .with("first", first.get())
            }
            CommandError::Unavailable(unavailable) => Problem::from(unavailable),
            // What contradicts what is for the server's log.
            CommandError::Inconsistent { .. } => Problem::new(
                Reason::Inconsistent,
                "the answer would have contradicted the ledger; nobody is told a wrong one",
            ),
            CommandError::FieldConflict { slug, field, detail } => {
                Problem::new(Reason::Conflict(slug), detail).at_field(field)
            }
        }
    }
}

/// What the engine says of a value that is well written and yet no use: the same words as for events, where there are such.
fn refused_value(field: &'static str) -> Reason {
    match field {
        "amount" | "max_balance" | "rate" | "floor" | "margin" | "rollover.max" => {
            Reason::Rejected(Rejection::InvalidAmount)
        }
        "id" | "customer" | "currency" | "event_type" | "key" => Reason::Rejected(Rejection::InvalidId { field }),
        _ => Reason::InvalidValue,
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let (_, _, title) = rejected(&rejection);
        let field = rejected_field(&rejection);
        let problem = Problem::new(Reason::Rejected(rejection), title);
        match field {
            Some(field) => problem.at_field(field),
            None => problem,
        }
    }
}

/// The field that a rejection is about, where it is about one.
pub(crate) const fn rejected_field(rejection: &Rejection) -> Option<&'static str> {
    match rejection {
        Rejection::InvalidId { field } => Some(field),
        Rejection::InvalidAmount
        | Rejection::InsufficientCredit { .. }
        | Rejection::MaxBalanceExceeded { .. }
        | Rejection::BalanceOverflow
        | Rejection::CaptureExceedsHold { .. } => Some("amount"),
        Rejection::UnknownWallet => Some("customer"),
        Rejection::UnknownMeter => Some("meter"),
        Rejection::UnknownCurrency => Some("currency"),
        Rejection::EventTooOld | Rejection::EventInFuture => Some("time"),
        Rejection::IdConflict => Some("id"),
        Rejection::InvalidSource => Some("source"),
        Rejection::InvalidPriority => Some("priority"),
        Rejection::InvalidCost => Some("cost_basis"),
        Rejection::ExpiryInPast | Rejection::ExpiryBeforeEffective => Some("expires_at"),
        Rejection::WalletFrozen
        | Rejection::WalletClosed
        | Rejection::WalletHeld { .. }
        | Rejection::UnknownGrant
        | Rejection::GrantEnded
        | Rejection::TooManyGrants
        | Rejection::Superseded
        | Rejection::UnknownHold
        | Rejection::HoldEnded
        | Rejection::TooManyHolds
        | Rejection::GroupRejected => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Amount;

    /// The tables of `docs/operations.md` say of each slug what is said here.
    #[test]
    fn the_manual_says_when_to_try_again() {
        let manual =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).expect("it is there");
        let row = |reason: &Reason| {
            let (status, slug, _) = reason.describe();
            let retry_after = reason.retry_after().unwrap_or("");
            format!("| `{slug}` | {} | {retry_after}", status.as_u16())
        };
        for reason in [
            Reason::MalformedBody,
            Reason::InvalidField,
            Reason::InvalidValue,
            Reason::InvalidParameter,
            Reason::MissingKey,
            Reason::InvalidKey,
            Reason::MissingScope,
            Reason::NoSuchPath,
            Reason::Unknown("wallet"),
            Reason::Unknown("grant"),
            Reason::Unknown("api_key"),
            Reason::Unknown("entry"),
            Reason::Unknown("charge"),
            Reason::Unknown("transfer"),
            Reason::MethodNotAllowed,
            Reason::Timeout,
            Reason::BodyTooLarge,
            Reason::BatchTooLarge,
            Reason::UnsupportedMediaType,
            Reason::TooManyWaiting,
            Reason::Inconsistent,
            Reason::TooManyBytes,
            Reason::TooManyRequests,
            Reason::TooManyConnections,
            Reason::Recovering,
            Reason::Unavailable(Unavailable::Overloaded),
            Reason::Unavailable(Unavailable::NoSpace(String::new())),
            Reason::Unavailable(Unavailable::Poisoned(String::new())),
            Reason::Unavailable(Unavailable::Closed),
            Reason::Conflict("idempotency_conflict"),
            Reason::Conflict("currency_in_use"),
            Reason::Conflict("currency_archived"),
            Reason::Conflict("currency_changed"),
            Reason::Conflict("customer_archived"),
            Reason::Conflict("idempotency_answer_gone"),
            Reason::Conflict("idempotency_in_progress"),
            Reason::Conflict("personal_data_unreadable"),
            Reason::Unknown("customer"),
            Reason::Conflict("feed_position_retired"),
            Reason::Conflict("too_many"),
            Reason::Conflict("payment_method_detached"),
            Reason::Conflict("package_in_use"),
            Reason::Conflict("package_archived"),
            Reason::Conflict("package_limit_reached"),
            Reason::Conflict("too_many_open_purchases"),
            Reason::Conflict("too_many_unpaid_purchases"),
            Reason::Conflict("top_up_not_open"),
            Reason::Conflict("payment_under_way"),
            Reason::Conflict("top_up_partly_paid"),
            Reason::Conflict("not_confirmable"),
            Reason::Conflict("top_up_not_paid"),
            Reason::Conflict("payment_in_dispute"),
            Reason::Conflict("refund_exceeds_payment"),
            Reason::Unknown("credit_package"),
            Reason::Unknown("top_up"),
            Reason::Unknown("auto_topup_rule"),
            Reason::Unknown("invoice"),
            Reason::Unknown("payment_method"),
            Reason::Unknown("deposit_form"),
            Reason::Conflict("group_partly_known"),
            Reason::Conflict("duplicate_in_group"),
            Reason::Conflict("group_too_large"),
            Reason::Rejected(Rejection::GroupRejected),
            Reason::Rejected(Rejection::InsufficientCredit { available: Amount::ONE, required: Amount::ONE }),
            Reason::Rejected(Rejection::IdConflict),
            Reason::Rejected(Rejection::WalletFrozen),
            Reason::Rejected(Rejection::UnknownMeter),
        ] {
            assert!(manual.contains(&row(&reason)), "{} is not in docs/operations.md", row(&reason));
        }
    }
}
