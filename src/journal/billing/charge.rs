//! Rests of charges that are being collected, and what providers call what is ours.

use super::parts::{COLLECTIONS, at, number_of};
use super::{ReferenceRecord, RestRecord};
use crate::catalog::CurrencyNumber;
use crate::journal::Corrupt;
use serde::{Deserialize, Serialize};

/// Provider, ours, theirs.
#[derive(Serialize, Deserialize)]
pub(in crate::journal) struct WireReference(String, String, String);

impl From<&ReferenceRecord> for WireReference {
    fn from(record: &ReferenceRecord) -> Self {
        WireReference(record.provider.clone(), record.of.clone(), record.reference.clone())
    }
}

impl From<WireReference> for ReferenceRecord {
    fn from(WireReference(provider, of, reference): WireReference) -> Self {
        ReferenceRecord { provider, of, reference }
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::journal) struct WireRest {
    number: u64,
    customer: String,
    currency: u16,
    collection: u8,
    provider: String,
    method: Option<String>,
    is_over: bool,
}

impl From<&RestRecord> for WireRest {
    fn from(record: &RestRecord) -> Self {
        WireRest {
            number: record.number,
            customer: record.customer.clone(),
            currency: record.currency.0,
            collection: number_of(&COLLECTIONS, &record.collection),
            provider: record.provider.clone(),
            method: record.method.clone(),
            is_over: record.is_over,
        }
    }
}

impl TryFrom<WireRest> for RestRecord {
    type Error = Corrupt;

    fn try_from(wire: WireRest) -> Result<Self, Corrupt> {
        Ok(RestRecord {
            number: wire.number,
            customer: wire.customer,
            currency: CurrencyNumber(wire.currency),
            collection: at(&COLLECTIONS, wire.collection, "collection")?,
            provider: wire.provider,
            method: wire.method,
            is_over: wire.is_over,
        })
    }
}
