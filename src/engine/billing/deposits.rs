//! Deposit forms, and deposits made by them.

use super::tables::Tables;
use super::view::TopUpRequest;
use super::{conflict, missing};
use crate::billing::Invalid;
use crate::billing::deposit::DepositForm;
use crate::billing::top_up::Kind;
use crate::catalog::CreditCurrency;
use crate::engine::grants::check_metadata;
use crate::engine::ticket::Ticket;
use crate::engine::view::CommandError;
use crate::engine::{Engine, Inner};
use crate::journal::billing::BillingRecord;
use std::ops::Bound;
use std::sync::Arc;

impl Engine {
    /// Makes or changes a deposit form. The same again changes nothing. Deposits that there are stay as they were made.
    pub fn put_deposit_form(&self, form: DepositForm) -> Result<(Arc<DepositForm>, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        check_metadata(&form.metadata)?;
        form.check()?;
        let id = form.id.clone();
        let mut tables = inner.billing.lock();
        if tables.forms.get(&id).map(|old| &**old) != Some(&form) {
            inner.put(&mut tables, BillingRecord::Form(form))?;
        }
        Ok((Arc::clone(&tables.forms[&id]), self.durable_barrier()))
    }

    /// A deposit form.
    pub fn deposit_form(&self, id: &str) -> Result<Arc<DepositForm>, CommandError> {
        self.inner.billing.lock().forms.get(id).cloned().ok_or(missing("deposit_form"))
    }

    /// Deposit forms by id, behind `after`, at most `limit` of them.
    pub fn deposit_forms(&self, after: Option<&str>, limit: usize) -> Vec<Arc<DepositForm>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let tables = self.inner.billing.lock();
        tables.forms.range::<str, _>((start, Bound::Unbounded)).take(limit).map(|(_, form)| Arc::clone(form)).collect()
    }
}

impl Inner {
    /// The currency of a top-up that is asked for: of a deposit by a form that takes one alone, that one.
    pub(super) fn currency_of_request(
        &self,
        tables: &Tables,
        request: &TopUpRequest,
    ) -> Result<Arc<CreditCurrency>, CommandError> {
        if let (None, Some(id)) = (&request.currency, &request.form) {
            let form = tables.forms.get(id);
            if let Some([only]) = form.map(|form| form.accepts.as_slice()) {
                return self.currency_numbered(only.currency);
            }
            let detail = "must be given: the form takes several".to_owned();
            return match form {
                Some(_) => Err(Invalid { field: "currency", detail }.into()),
                None => Err(unknown_form(id)),
            };
        }
        self.currency_or_default(request.currency.as_deref())
    }
}

fn unknown_form(id: &str) -> CommandError {
    CommandError::Invalid { field: "form", detail: format!("there is no deposit form {id}") }
}

impl Tables {
    /// A request for a deposit with what its form says where it does not say it itself.
    pub(super) fn with_form(
        &self,
        request: &TopUpRequest,
        currency: &CreditCurrency,
    ) -> Result<TopUpRequest, CommandError> {
        let mut request = request.clone();
        let Some(id) = &request.form else { return Ok(request) };
        if request.kind != Kind::Deposit {
            return Err(Invalid { field: "form", detail: "is for deposits".to_owned() }.into());
        }
        let form = self.forms.get(id).ok_or_else(|| unknown_form(id))?;
        if form.archived {
            return Err(conflict(
                "deposit_form_archived",
                format!("deposit form {id} is archived: it takes no new deposits"),
            ));
        }
        let accepted = form.accepted(currency.number).ok_or_else(|| {
            let detail = format!("is not one that the form takes: {}", currency.id);
            CommandError::Invalid { field: "currency", detail }
        })?;
        request.address = request.address.or_else(|| accepted.address.clone());
        request.return_url = request.return_url.or_else(|| form.return_url.clone());
        request.expiry_ms = request.expiry_ms.or(form.expiry_ms);
        Ok(request)
    }
}
