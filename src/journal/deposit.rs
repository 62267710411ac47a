//! The record of a deposit form: all of it, at each change.

use crate::billing::deposit::{Accepted, DepositForm};
use crate::catalog::{CurrencyNumber, Metadata};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(super) struct WireForm {
    id: String,
    title: String,
    /// Currency and address.
    accepts: Vec<(u16, Option<String>)>,
    return_url: Option<String>,
    expiry_ms: Option<u64>,
    archived: bool,
    metadata: Metadata,
}

impl From<&DepositForm> for WireForm {
    fn from(form: &DepositForm) -> Self {
        WireForm {
            id: form.id.clone(),
            title: form.title.clone(),
            accepts: form.accepts.iter().map(|one| (one.currency.0, one.address.clone())).collect(),
            return_url: form.return_url.clone(),
            expiry_ms: form.expiry_ms,
            archived: form.archived,
            metadata: form.metadata.clone(),
        }
    }
}

impl From<WireForm> for DepositForm {
    fn from(wire: WireForm) -> Self {
        let accepted = |(currency, address)| Accepted { currency: CurrencyNumber(currency), address };
        DepositForm {
            id: wire.id,
            title: wire.title,
            accepts: wire.accepts.into_iter().map(accepted).collect(),
            return_url: wire.return_url,
            expiry_ms: wire.expiry_ms,
            archived: wire.archived,
            metadata: wire.metadata,
        }
    }
}

/// What stands at the end of some top-ups: the charge whose rest it pays, or the form by which it is paid in. No top-up is both.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum WireAside {
    Charge(u64),
    Form(String),
}

#[cfg(test)]
mod tests {
    use super::super::admin::AdminRecord;
    use super::super::billing::BillingRecord;
    use super::super::tests::{admin_survives, hex};
    use super::*;

    #[test]
    fn a_form_survives_and_its_bytes_are_pinned() {
        let form = DepositForm {
            id: "shop".to_owned(),
            title: "Pay in".to_owned(),
            accepts: vec![
                Accepted { currency: CurrencyNumber(1), address: Some("bc1q".to_owned()) },
                Accepted { currency: CurrencyNumber(300), address: None },
            ],
            return_url: Some("https://a.example/".to_owned()),
            expiry_ms: Some(3_600_000),
            archived: false,
            metadata: Metadata::from([("k".to_owned(), "v".to_owned())]),
        };
        let record = AdminRecord::Billing(BillingRecord::Form(form));
        admin_survives(&record);
        assert_eq!(hex(&record.encode()), GOLDEN);
    }

    const GOLDEN: &str = "59410000000000000197a473686f70a650617920696e929201a46263317192cd012cc0b268747470733a2f2f612e6578616d\
        706c652fce0036ee80c281a16ba176";
}
