//! Limits on what customers buy for themselves.

use super::LimitsRecord;
use super::parts::{WireMoney, money_of};
use crate::billing::portal::PortalLimits;
use crate::catalog::CurrencyNumber;
use crate::journal::Corrupt;
use crate::ledger::Amount;
use serde::{Deserialize, Serialize};

/// Currency; payments at least and at most; the balance at most.
#[derive(Serialize, Deserialize)]
pub(in crate::journal) struct WireLimits(u16, Option<WireMoney>, Option<WireMoney>, Option<i64>);

impl From<&LimitsRecord> for WireLimits {
    fn from(record: &LimitsRecord) -> Self {
        let PortalLimits { min_payment, max_payment, max_balance } = record.limits;
        let balance = max_balance.map(Amount::units);
        WireLimits(record.currency.0, min_payment.map(Into::into), max_payment.map(Into::into), balance)
    }
}

impl TryFrom<WireLimits> for LimitsRecord {
    type Error = Corrupt;

    fn try_from(wire: WireLimits) -> Result<Self, Corrupt> {
        let WireLimits(currency, min, max, balance) = wire;
        let (min_payment, max_payment) = (money_of(min)?, money_of(max)?);
        let limits = PortalLimits { min_payment, max_payment, max_balance: balance.map(Amount::new) };
        Ok(LimitsRecord { currency: CurrencyNumber(currency), limits })
    }
}
