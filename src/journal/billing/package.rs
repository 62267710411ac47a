//! Credit packages, and what a currency sells when nothing else is said.

use super::parts::WireMoney;
use crate::billing::CreditPackage;
use crate::billing::recharge::RechargeConfig;
use crate::catalog::{CurrencyNumber, Metadata};
use crate::journal::Corrupt;
use crate::ledger::Amount;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(in crate::journal) struct WirePackage {
    id: String,
    name: String,
    currency: u16,
    credits: i64,
    bonus: i64,
    price: WireMoney,
    valid_for_ms: Option<u64>,
    priority: u8,
    max_per_customer: Option<u32>,
    archived: bool,
    metadata: Metadata,
}

impl From<&CreditPackage> for WirePackage {
    fn from(package: &CreditPackage) -> Self {
        WirePackage {
            id: package.id.clone(),
            name: package.name.clone(),
            currency: package.currency.0,
            credits: package.credits.units(),
            bonus: package.bonus.units(),
            price: package.price.into(),
            valid_for_ms: package.valid_for_ms,
            priority: package.priority,
            max_per_customer: package.max_per_customer,
            archived: package.archived,
            metadata: package.metadata.clone(),
        }
    }
}

impl TryFrom<WirePackage> for CreditPackage {
    type Error = Corrupt;

    fn try_from(wire: WirePackage) -> Result<Self, Corrupt> {
        let (credits, bonus) = (Amount::new(wire.credits), Amount::new(wire.bonus));
        let is_possible = credits > Amount::ZERO && bonus >= Amount::ZERO && credits.checked_add(bonus).is_some();
        if !is_possible {
            return Err(Corrupt::Malformed("credits"));
        }
        Ok(CreditPackage {
            id: wire.id,
            name: wire.name,
            currency: CurrencyNumber(wire.currency),
            credits,
            bonus,
            price: wire.price.try_into()?,
            valid_for_ms: wire.valid_for_ms,
            priority: wire.priority,
            max_per_customer: wire.max_per_customer,
            archived: wire.archived,
            metadata: wire.metadata,
        })
    }
}

/// Currency and package.
#[derive(Serialize, Deserialize)]
pub(in crate::journal) struct WireRecharge(u16, Option<String>);

impl From<&RechargeConfig> for WireRecharge {
    fn from(config: &RechargeConfig) -> Self {
        WireRecharge(config.currency.0, config.package.clone())
    }
}

impl From<WireRecharge> for RechargeConfig {
    fn from(wire: WireRecharge) -> Self {
        RechargeConfig { currency: CurrencyNumber(wire.0), package: wire.1 }
    }
}
