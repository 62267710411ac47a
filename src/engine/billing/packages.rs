//! What is sold: packages, base packages, and the portal's limits.

use super::tables::Tables;
use super::{conflict, missing};
use crate::billing::portal::PortalLimits;
use crate::billing::recharge::RechargeConfig;
use crate::billing::{CreditPackage, Invalid, PackageSpec};
use crate::catalog::CreditCurrency;
use crate::engine::grants::{check_active, check_metadata};
use crate::engine::ticket::Ticket;
use crate::engine::view::CommandError;
use crate::engine::{Engine, Inner};
use crate::journal::admin::AdminRecord;
use crate::journal::billing::{BillingRecord, LimitsRecord};
use crate::ledger::Amount;
use std::ops::Bound;
use std::sync::Arc;

impl Engine {
    /// Makes or changes a package. Its currency does not change. The same again changes nothing.
    pub fn put_package(
        &self,
        spec: &PackageSpec,
        currency: Option<&str>,
    ) -> Result<(Arc<CreditPackage>, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        check_metadata(&spec.metadata)?;
        let mut tables = inner.billing.lock();
        let old = tables.packages.get(&spec.id).cloned();
        let currency = inner.currency_or_default(currency)?;
        if old.as_ref().is_some_and(|old| old.currency != currency.number) {
            return Err(CommandError::FieldConflict {
                slug: "package_in_use",
                field: "currency",
                detail: format!("the currency of package {} cannot change", spec.id),
            });
        }
        let _steady = inner.catalog.steady(&currency)?;
        let package = CreditPackage::new(spec, &currency)?;
        if old.as_deref() != Some(&package) {
            if !package.archived {
                check_active(&currency)?;
            }
            inner.put(&mut tables, BillingRecord::Package(package))?;
            // It may be sold again, or as often as they need it.
            tables.look_again_at(inner.now(), |rule| rule.package() == Some(&spec.id));
        }
        Ok((Arc::clone(&tables.packages[&spec.id]), self.durable_barrier()))
    }

    /// A package.
    pub fn package(&self, id: &str) -> Option<Arc<CreditPackage>> {
        self.inner.billing.lock().packages.get(id).cloned()
    }

    /// Packages by id, behind `after`, at most `limit` of them.
    pub fn packages(&self, after: Option<&str>, limit: usize) -> Vec<Arc<CreditPackage>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let tables = self.inner.billing.lock();
        tables.packages.range::<str, _>((start, Bound::Unbounded)).take(limit).map(|(_, one)| Arc::clone(one)).collect()
    }

    /// Sets the package by which a currency's credits are bought when nothing else is said, or takes it away.
    pub fn set_recharge(&self, currency: &str, package: Option<&str>) -> Result<Ticket, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let currency = inner.currency_or_default(Some(currency))?;
        let mut tables = inner.billing.lock();
        let package = match package {
            Some(id) => Some(tables.packages.get(id).cloned().ok_or_else(|| unknown_package(id))?),
            None => None,
        };
        let config = RechargeConfig::new(currency.number, package.as_deref())?;
        if tables.recharge.get(&currency.number) != Some(&config) {
            inner.put(&mut tables, BillingRecord::Recharge(config))?;
        }
        Ok(self.durable_barrier())
    }

    /// A currency and its base package, if it has one that is still sold.
    pub fn recharge(&self, currency: &str) -> Result<(Arc<CreditCurrency>, Option<Arc<CreditPackage>>), CommandError> {
        let currency = self.inner.currency_or_default(Some(currency))?;
        let package = self.inner.billing.lock().base_package(&currency);
        Ok((currency, package))
    }

    /// Sets the limits on what customers buy for themselves.
    pub fn set_portal_limits(&self, currency: &str, limits: PortalLimits) -> Result<Ticket, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let currency = inner.currency_or_default(Some(currency))?;
        check_limits(&limits)?;
        let mut tables = inner.billing.lock();
        let _steady = inner.catalog.steady(&currency)?;
        if tables.limits.get(&currency.number) != Some(&limits) {
            inner.put(&mut tables, BillingRecord::Limits(LimitsRecord { currency: currency.number, limits }))?;
        }
        Ok(self.durable_barrier())
    }

    /// The limits on what customers buy for themselves.
    pub fn portal_limits(&self, currency: &str) -> Result<PortalLimits, CommandError> {
        let currency = self.inner.currency_or_default(Some(currency))?;
        Ok(self.inner.billing.lock().limits.get(&currency.number).copied().unwrap_or_default())
    }
}

fn check_limits(limits: &PortalLimits) -> Result<(), Invalid> {
    let invalid = |field, detail: &str| Err(Invalid { field, detail: detail.to_owned() });
    if [limits.min_payment, limits.max_payment].into_iter().flatten().any(|limit| limit.units <= 0) {
        return invalid("amount", "must be greater than zero");
    }
    if limits.max_balance.is_some_and(|max| max <= Amount::ZERO) {
        return invalid("max_balance", "must be greater than zero");
    }
    match (limits.min_payment, limits.max_payment) {
        (Some(min), Some(max)) if min.code != max.code => invalid("max_payment", "must be in the money of min_payment"),
        (Some(min), Some(max)) if min.units > max.units => invalid("max_payment", "must not be below min_payment"),
        _ => Ok(()),
    }
}

/// No package of that id is sold.
pub(super) fn unknown_package(id: &str) -> CommandError {
    CommandError::Invalid { field: "package", detail: format!("there is no credit package {id}") }
}

impl Tables {
    /// The package by which a currency's credits are bought when nothing else is said.
    pub(super) fn base_package(&self, currency: &CreditCurrency) -> Option<Arc<CreditPackage>> {
        let id = self.recharge.get(&currency.number)?.package.as_ref()?;
        self.packages.get(id).filter(|package| !package.archived).cloned()
    }

    /// A package of a currency that a customer may buy so many of.
    pub(super) fn package_for(
        &self,
        id: &str,
        currency: &CreditCurrency,
        customer: &str,
        quantity: u32,
    ) -> Result<Arc<CreditPackage>, CommandError> {
        let package = self.packages.get(id).cloned().ok_or_else(|| unknown_package(id))?;
        if package.currency != currency.number {
            return Err(Invalid { field: "package", detail: "is of another credit currency".to_owned() }.into());
        }
        if package.archived {
            return Err(conflict("package_archived", format!("credit package {id} is sold no more")));
        }
        if !package.may_buy(self.bought(customer, id), quantity) {
            return Err(conflict("package_limit_reached", format!("a customer may not buy as many of {id}")));
        }
        Ok(package)
    }
}

impl Inner {
    /// Records something of money in, and shows it.
    pub(super) fn put(&self, tables: &mut Tables, record: BillingRecord) -> Result<(), CommandError> {
        self.append_admin(&AdminRecord::Billing(record.clone()))?;
        tables.enter(record);
        Ok(())
    }

    /// The currency of that number.
    pub(super) fn currency_numbered(
        &self,
        number: crate::catalog::CurrencyNumber,
    ) -> Result<Arc<CreditCurrency>, CommandError> {
        self.catalog.snapshot().currency_by_number(number).cloned().ok_or(missing("credit_currency"))
    }
}
