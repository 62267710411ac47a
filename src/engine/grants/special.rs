//! What few grants have: payments that are waited for, and remainders that roll over.
//!
//! What rolls over is a grant without a declaration of its own. Its number is that of the grant that ended, and one: records are many bytes
//! long, so no declaration ever stands there. All that was said of the first grant is said of it, too.

use super::super::catalog::CreditCurrency;
use super::super::history::unreadable;
use super::super::view::{CommandError, CostBasis, GrantOptions, GrantRequest, GrantState, GrantView, RolloverSpec};
use super::super::wallet::WalletOperation;
use super::super::{Engine, Inner, Ticket};
use super::{check_text, left_of};
use crate::journal::Record;
use crate::journal::admin::{AdminRecord, Declared, GrantRecord};
use crate::ledger::{
    Amount, Decimal, GrantId, MAX_PRIORITY, Movement, Operation, Payment, Rejection, Rollover, Source, Special,
    Timestamp, transition,
};
use crate::store::pin;
use std::sync::Arc;

/// Bytes of a payment's reference at most.
const PAYMENT_BYTES_MAX: usize = 255;

/// What was declared of a grant.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Declaration {
    pub(in crate::engine) id: GrantId,
    /// Its own declaration, or that of the grant that it was the remainder of.
    pub(in crate::engine) record: GrantRecord,
    /// Whether it is the remainder of another one, if it has come to be.
    pub(in crate::engine) is_rolled_over: bool,
}

impl Declaration {
    pub(super) fn own(id: GrantId, record: GrantRecord) -> Self {
        Declaration { id, record, is_rolled_over: false }
    }

    /// Of what rolls over of the grant of this declaration, if that may.
    pub(super) fn of_parent(id: GrantId, record: GrantRecord) -> Option<Self> {
        let may_roll = record.declared.rollover.is_some();
        may_roll.then_some(Declaration { id, record, is_rolled_over: true })
    }
}

/// When and as what a remainder went on.
struct Begun {
    amount: Amount,
    at: Timestamp,
    /// Its end as it was then.
    expires_at: Option<Timestamp>,
}

impl Engine {
    /// Enters that the payment for a grant has come, so that it counts from now or from its date on. Repeating it is success; of a grant
    /// that was voided it is refused, and so it is if its end is over, which can be moved first.
    pub fn pay_grant(&self, text: &str) -> Result<(GrantView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let declaration = inner.find_grant(text)?;
        let now = inner.now();
        if inner.view_of(declaration.clone(), now)?.state == GrantState::Pending {
            let operation = WalletOperation::new(Operation::Pay { grant: declaration.id }, now);
            match inner.operate(declaration.record.slot, operation, &pin()) {
                // It was paid for or voided a moment ago, and has ended.
                Ok(()) | Err(CommandError::Rejected(Rejection::GrantEnded)) => {}
                Err(error) => return Err(error),
            }
        }
        match inner.view_of(declaration, now)? {
            view if view.state == GrantState::Voided => Err(Rejection::GrantEnded.into()),
            view => Ok((view, self.barrier())),
        }
    }
}

impl Inner {
    /// A declared grant as it is now.
    pub(super) fn view_of(&self, declaration: Declaration, now: Timestamp) -> Result<GrantView, CommandError> {
        let Declaration { id, record, is_rolled_over } = declaration;
        if is_rolled_over { self.rolled_over_view(id, record, now) } else { self.grant_view(id, record, now) }
    }

    /// The declaration that stands just before `id`, of a grant that may roll over.
    pub(super) fn parent_declaration(&self, id: GrantId) -> Result<Declaration, CommandError> {
        let missing = CommandError::NotFound { what: "grant" };
        let parent = id.rolled_from();
        if !self.is_record(parent.get()) {
            return Err(missing);
        }
        let mut view = None;
        match self.read_record(parent.get(), &mut view) {
            Ok(Record::Admin(AdminRecord::Grant(record))) => Declaration::of_parent(id, record).ok_or(missing),
            Ok(_) => Err(missing),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// What rolled over of the grant that `parent` declares.
    fn rolled_over_view(&self, id: GrantId, parent: GrantRecord, now: Timestamp) -> Result<GrantView, CommandError> {
        let missing = CommandError::NotFound { what: "grant" };
        let guard = pin();
        let slot = parent.slot;
        let name = self.names.get(slot).ok_or(CommandError::NotFound { what: "wallet" })?;
        let (terms, balance) = self.read_at(slot, now, &guard).ok_or(CommandError::NotFound { what: "wallet" })?;
        let rollover = parent.declared.rollover.ok_or(missing.clone())?;
        let left = left_of(&terms, balance, id, now);
        let (begun, state) = if let Some(left) = &left {
            (Begun { amount: left.granted, at: left.effective_at, expires_at: left.expires_at }, left.state)
        } else {
            let begun = self.how_remainder_began(slot, id, &rollover, now)?.ok_or(missing)?;
            (begun, self.how_grant_ended(slot, id, now, &guard)?.0)
        };
        let catalog = self.catalog.snapshot();
        let currency =
            catalog.currency_by_number(name.currency).ok_or(CommandError::NotFound { what: "credit_currency" })?;
        let share = |cost: CostBasis| {
            let amount = i128::from(cost.amount) * i128::from(begun.amount.units()) / i128::from(parent.amount.units());
            CostBasis { amount: i64::try_from(amount).unwrap_or(cost.amount), currency: cost.currency }
        };
        Ok(GrantView {
            id,
            customer: name.customer.to_string(),
            currency: Arc::clone(currency),
            source: Source::Rollover,
            category: parent.category,
            amount: begun.amount,
            remaining: left.as_ref().map_or(Amount::ZERO, |left| left.remaining),
            priority: rollover.priority,
            effective_at: begun.at,
            expires_at: begun.expires_at,
            cost_basis: parent.cost_basis.map(share),
            state,
            key: None,
            metadata: parent.metadata,
            created_at: begun.at,
            held: left.map_or(Amount::ZERO, |left| left.held),
            payment: parent.declared.payment,
            valid_for_ms: None,
            rollover: None,
            parent: Some(id.rolled_from()),
            rolled_over: None,
            recurrence: parent.declared.recurrence.map(|recurrence| (recurrence.id, recurrence.number)),
        })
    }

    /// How a remainder that the wallet no longer holds came to be a grant; `None` if it did not.
    fn how_remainder_began(
        &self,
        slot: u32,
        id: GrantId,
        rollover: &Rollover,
        now: Timestamp,
    ) -> Result<Option<Begun>, CommandError> {
        let guard = pin();
        let reading = self.slab.get(slot).read(&guard).ok_or(CommandError::NotFound { what: "wallet" })?;
        let present = reading.generation.terms().get();
        if let Some(lot) = present.lots.iter().find(|lot| lot.id == id) {
            let expires_at = lot.expires_at.timestamp();
            return Ok(Some(Begun { amount: lot.granted, at: lot.effective_at, expires_at }));
        }
        let beginning = |movements: &[Movement]| {
            movements.iter().find_map(|movement| match *movement {
                Movement::RolledOver { into, amount, at, .. } if into == id => {
                    let expires_at = rollover.valid_for_ms.map(|ms| at.saturating_add(ms));
                    Some(Begun { amount, at, expires_at })
                }
                _ => None,
            })
        };
        let due = transition(&present, Amount::new(reading.balance), &Operation::Due, now);
        if let Some(begun) = beginning(&due.effects.movements) {
            return Ok(Some(begun));
        }
        self.walk_back(reading.generation.opened_at(), id, |body| beginning(&body.movements))
    }
}

/// What a declaration says that the rules must know.
pub(super) fn special_of(record: &GrantRecord) -> Special {
    let declared = &record.declared;
    let payment = Payment { begins_when_paid: !record.effective_at_given, valid_for_ms: declared.valid_for_ms };
    Special { rollover: declared.rollover, occurrence: None, payment: declared.pending.then_some(payment) }
}

/// Checks what few grants have.
pub(super) fn declared(request: &GrantRequest, currency: &CreditCurrency) -> Result<Declared, CommandError> {
    let GrantOptions { payment, pending, valid_for_ms, rollover } = &request.options;
    if let Some(payment) = payment {
        check_text("payment", payment, PAYMENT_BYTES_MAX)?;
    }
    if let Some(ms) = valid_for_ms {
        let refuse =
            |detail: &str| Err(CommandError::Invalid { field: "valid_for_seconds", detail: detail.to_owned() });
        match ms {
            _ if !pending => return refuse("is for grants that are pending; others have an `expires_at`"),
            _ if request.expires_at.is_some() => return refuse("cannot be given together with `expires_at`"),
            0 => return refuse("must be above zero"),
            _ => {}
        }
    }
    let rollover = rollover.as_ref().map(|spec| rollover_of(spec, currency)).transpose()?;
    if rollover.is_some() && request.expires_at.is_none() && valid_for_ms.is_none() {
        let detail = "is for grants that end: give `expires_at`".to_owned();
        return Err(CommandError::Invalid { field: "rollover", detail });
    }
    let default_priority = request.priority.is_none() && currency.default_priorities.contains_key(&request.source);
    let (payment, pending, valid_for_ms) = (payment.clone(), *pending, *valid_for_ms);
    Ok(Declared {
        payment,
        pending,
        valid_for_ms,
        rollover,
        recurrence: None,
        default_priority,
        transferred_from: None,
    })
}

/// Checks terms of rolling over.
pub(in crate::engine) fn rollover_of(spec: &RolloverSpec, currency: &CreditCurrency) -> Result<Rollover, CommandError> {
    let max = match spec.max {
        Some(max) => match Amount::from_decimal(max, currency.scale) {
            Ok(amount) if amount > Amount::ZERO => Some(amount),
            Ok(_) => return invalid("rollover.max", "must be greater than zero"),
            Err(error) => return invalid("rollover.max", &error.to_string()),
        },
        None => None,
    };
    let priority = spec.priority.unwrap_or_else(|| currency.default_priority(Source::Rollover));
    if priority > MAX_PRIORITY {
        return invalid("rollover.priority", "must be 100 at most");
    }
    if spec.valid_for_ms == Some(0) {
        return invalid("rollover.valid_for_seconds", "must be above zero");
    }
    let fraction = spec.fraction.unwrap_or(Decimal::from_integer(1));
    let rollover = Rollover { fraction, max, valid_for_ms: spec.valid_for_ms, priority };
    if rollover.is_possible() { Ok(rollover) } else { invalid("rollover.fraction", "must be above 0, and 1 at most") }
}

fn invalid<T>(field: &'static str, detail: &str) -> Result<T, CommandError> {
    Err(CommandError::Invalid { field, detail: detail.to_owned() })
}
