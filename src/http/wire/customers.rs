//! Customers: what is said of them, and as they are shown.

use super::fields::Fields;
use super::{amount, instant};
use crate::engine::customers::{CollectionMethod, CustomerPatch, CustomerView, PersonalData};
use crate::engine::view::{Metadata, WalletView};
use crate::http::problem::Problem;
use serde::Serialize;

/// A customer as it is shown in lists.
#[derive(Debug, Serialize)]
pub(crate) struct CustomerBody {
    id: String,
    name: Option<String>,
    email: Option<String>,
    collection_method: &'static str,
    status: &'static str,
    metadata: Metadata,
    personal_data: &'static str,
    erased: bool,
    created_at: Option<String>,
    updated_at: Option<String>,
}

impl CustomerBody {
    pub(crate) fn of(customer: CustomerView) -> Self {
        CustomerBody {
            id: customer.id,
            name: customer.name,
            email: customer.email,
            collection_method: customer.collection_method.as_str(),
            status: if customer.archived { "archived" } else { "active" },
            metadata: customer.metadata,
            personal_data: customer.personal_data.as_str(),
            erased: customer.personal_data == PersonalData::Erased,
            created_at: customer.created_at.map(instant),
            updated_at: customer.updated_at.map(instant),
        }
    }
}

/// A customer with its wallets.
#[derive(Debug, Serialize)]
pub(crate) struct CustomerDetailBody {
    #[serde(flatten)]
    customer: CustomerBody,
    wallets: Vec<CustomerWalletBody>,
}

/// A wallet in short.
#[derive(Debug, Serialize)]
struct CustomerWalletBody {
    currency: String,
    status: &'static str,
    balance: String,
    available: String,
}

impl CustomerDetailBody {
    pub(crate) fn of(customer: CustomerView, wallets: Vec<WalletView>) -> Self {
        let wallet = |wallet: WalletView| CustomerWalletBody {
            status: wallet.status.as_str(),
            balance: amount(wallet.balance, wallet.currency.scale),
            available: amount(wallet.available, wallet.currency.scale),
            currency: wallet.currency.id.clone(),
        };
        CustomerDetailBody { customer: CustomerBody::of(customer), wallets: wallets.into_iter().map(wallet).collect() }
    }
}

fn collection_method(fields: &Fields<'_, '_>) -> Result<Option<CollectionMethod>, Problem> {
    fields.choice("collection_method", CollectionMethod::parse, "must be charge_automatically or send_invoice")
}

/// Reads all that is said of a customer; what is absent is not, and its status stays.
pub(crate) fn customer(fields: &Fields<'_, '_>) -> Result<CustomerPatch, Problem> {
    Ok(CustomerPatch {
        name: Some(fields.text("name")?.map(str::to_owned)),
        email: Some(fields.text("email")?.map(str::to_owned)),
        metadata: Some(fields.metadata("metadata")?.unwrap_or_default()),
        collection_method: Some(collection_method(fields)?.unwrap_or_default()),
        archived: None,
    })
}

/// Reads a change: what is absent stays, and `null` takes name, email or metadata away.
pub(crate) fn customer_patch(fields: &Fields<'_, '_>) -> Result<CustomerPatch, Problem> {
    let (name, email, metadata) = (fields.text("name")?, fields.text("email")?, fields.metadata("metadata")?);
    Ok(CustomerPatch {
        name: fields.names("name").then(|| name.map(str::to_owned)),
        email: fields.names("email").then(|| email.map(str::to_owned)),
        metadata: fields.names("metadata").then(|| metadata.unwrap_or_default()),
        collection_method: collection_method(fields)?,
        archived: archived(fields)?,
    })
}

/// Reads `status` as whether it is `archived`.
pub(crate) fn archived(fields: &Fields<'_, '_>) -> Result<Option<bool>, Problem> {
    let parse = |name: &str| match name {
        "active" => Some(false),
        "archived" => Some(true),
        _ => None,
    };
    fields.choice("status", parse, "must be active or archived")
}
