//! Deposit forms.

use super::fields::Fields;
use super::grants::{Seconds, duration_ms};
use crate::billing::deposit::{Accepted, DepositForm};
use crate::engine::Engine;
use crate::engine::view::Metadata;
use crate::http::problem::Problem;
use serde::Serialize;

/// A form as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct FormBody {
    id: String,
    title: String,
    accepts: Vec<AcceptedBody>,
    return_url: Option<String>,
    expires_in_seconds: Option<Seconds>,
    status: &'static str,
    metadata: Metadata,
}

#[derive(Debug, Serialize)]
struct AcceptedBody {
    currency: String,
    address: Option<String>,
}

impl FormBody {
    pub(crate) fn of(engine: &Engine, form: &DepositForm) -> Self {
        let accepted = |one: &Accepted| {
            let currency = engine.currency_by_number(one.currency)?.id.clone();
            Some(AcceptedBody { currency, address: one.address.clone() })
        };
        FormBody {
            id: form.id.clone(),
            title: form.title.clone(),
            accepts: form.accepts.iter().filter_map(accepted).collect(),
            return_url: form.return_url.clone(),
            expires_in_seconds: form.expiry_ms.map(Seconds::of_ms),
            status: if form.archived { "archived" } else { "active" },
            metadata: form.metadata.clone(),
        }
    }
}

/// Reads what a form should be. Its title defaults to its id.
pub(crate) fn deposit_form(id: &str, engine: &Engine, fields: &Fields<'_, '_>) -> Result<DepositForm, Problem> {
    let is_archived = |name: &str| match name {
        "active" => Some(false),
        "archived" => Some(true),
        _ => None,
    };
    let Some(accepts) = fields.array("accepts")? else {
        return Err(fields.refused("accepts", "the field is missing: [{currency, address?}]"));
    };
    let accepted = |node| {
        let one = fields.inner(node, "accepts")?;
        let currency = one.required_text("currency")?;
        let known = engine.currency(currency);
        let unknown = || Problem::field("accepts.currency", format!("there is no credit currency {currency}"));
        Ok(Accepted { currency: known.ok_or_else(unknown)?.number, address: one.text("address")?.map(str::to_owned) })
    };
    Ok(DepositForm {
        id: id.to_owned(),
        title: fields.text("title")?.unwrap_or(id).to_owned(),
        accepts: accepts.iter().map(accepted).collect::<Result<_, Problem>>()?,
        return_url: fields.text("return_url")?.map(str::to_owned),
        expiry_ms: duration_ms(fields, "expires_in_seconds")?,
        archived: fields.choice("status", is_archived, "must be active or archived")?.unwrap_or(false),
        metadata: fields.metadata("metadata")?.unwrap_or_default(),
    })
}
