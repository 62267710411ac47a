//! Checks that many commands have in common.

use crate::engine::catalog::CreditCurrency;
use crate::engine::view::{CommandError, CostBasis, Metadata};
use crate::ledger::Rejection;

const MAX_METADATA_PAIRS: usize = 50;
const MAX_METADATA_KEY_BYTES: usize = 40;
const MAX_METADATA_VALUE_BYTES: usize = 500;

/// Checks a text's length.
pub(in crate::engine) fn check_text(field: &'static str, text: &str, max_bytes: usize) -> Result<(), CommandError> {
    let detail = match text.len() {
        0 => "must not be empty".to_owned(),
        length if length > max_bytes => format!("must have at most {max_bytes} bytes, has {length}"),
        _ => return Ok(()),
    };
    Err(CommandError::Invalid { field, detail })
}

/// Checks the limits of metadata.
pub(in crate::engine) fn check_metadata(metadata: &Metadata) -> Result<(), CommandError> {
    let invalid = |detail| Err(CommandError::Invalid { field: "metadata", detail });
    if metadata.len() > MAX_METADATA_PAIRS {
        return invalid(format!("must have at most {MAX_METADATA_PAIRS} pairs"));
    }
    for (key, value) in metadata {
        if key.is_empty() || key.len() > MAX_METADATA_KEY_BYTES {
            return invalid(format!("keys must have 1 to {MAX_METADATA_KEY_BYTES} bytes"));
        }
        if value.len() > MAX_METADATA_VALUE_BYTES {
            return invalid(format!("values must have at most {MAX_METADATA_VALUE_BYTES} bytes"));
        }
    }
    Ok(())
}

/// Refuses an archived currency.
pub(in crate::engine) fn check_active(currency: &CreditCurrency) -> Result<(), CommandError> {
    if currency.archived {
        return Err(CommandError::FieldConflict {
            slug: "currency_archived",
            field: "currency",
            detail: format!("credit currency {} is archived: it takes no new grants and no new meters", currency.id),
        });
    }
    Ok(())
}

/// Checks what was paid for a grant.
pub(in crate::engine) fn check_cost(cost: Option<&CostBasis>) -> Result<(), CommandError> {
    let Some(cost) = cost else { return Ok(()) };
    if cost.amount < 0 {
        return Err(Rejection::InvalidCost.into());
    }
    if cost.currency.len() != 3 || !cost.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(CommandError::Invalid {
            field: "cost_basis",
            detail: "currency must be an ISO 4217 code of three capitals".to_owned(),
        });
    }
    Ok(())
}

impl From<Rejection> for CommandError {
    fn from(rejection: Rejection) -> Self {
        CommandError::Rejected(rejection)
    }
}
