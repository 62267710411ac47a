//! Payment methods.

use crate::billing::PaymentMethod;
use crate::billing::method::CardExpiry;
use crate::journal::Corrupt;
use crate::ledger::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(in crate::journal) struct WireMethod {
    id: String,
    customer: String,
    provider: String,
    reference: String,
    brand: Option<String>,
    last4: Option<String>,
    /// Year and month.
    expiry: Option<(u16, u8)>,
    fingerprint: Option<String>,
    is_default: bool,
    detached: bool,
    created_at: u64,
}

impl From<&PaymentMethod> for WireMethod {
    fn from(method: &PaymentMethod) -> Self {
        WireMethod {
            id: method.id.clone(),
            customer: method.customer.clone(),
            provider: method.provider.clone(),
            reference: method.reference.clone(),
            brand: method.brand.clone(),
            last4: method.last4.clone(),
            expiry: method.expiry.map(|expiry| (expiry.year(), expiry.month())),
            fingerprint: method.fingerprint.clone(),
            is_default: method.is_default,
            detached: method.detached,
            created_at: method.created_at.millis(),
        }
    }
}

impl TryFrom<WireMethod> for PaymentMethod {
    type Error = Corrupt;

    fn try_from(wire: WireMethod) -> Result<Self, Corrupt> {
        let expiry = |(year, month)| CardExpiry::new(year, month).ok_or(Corrupt::Malformed("expiry of a card"));
        Ok(PaymentMethod {
            id: wire.id,
            customer: wire.customer,
            provider: wire.provider,
            reference: wire.reference,
            brand: wire.brand,
            last4: wire.last4,
            expiry: wire.expiry.map(expiry).transpose()?,
            fingerprint: wire.fingerprint,
            is_default: wire.is_default,
            detached: wire.detached,
            created_at: Timestamp::from_millis(wire.created_at),
        })
    }
}
