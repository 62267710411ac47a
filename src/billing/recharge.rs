//! A currency's recharge configuration: the package that its credits are bought by when nothing else is said.

use super::Invalid;
use super::package::CreditPackage;
use crate::catalog::CurrencyNumber;

/// How credits of a currency are bought when nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RechargeConfig {
    /// The currency.
    pub currency: CurrencyNumber,
    /// The base package's id; none where there is none any more.
    pub package: Option<String>,
}

impl RechargeConfig {
    /// With a base package: one of the currency that is sold.
    pub fn new(currency: CurrencyNumber, package: Option<&CreditPackage>) -> Result<RechargeConfig, Invalid> {
        match package {
            Some(package) if package.currency != currency => {
                Err(Invalid::new("package", "is of another credit currency"))
            }
            Some(package) if package.archived => Err(Invalid::new("package", "is archived: it is sold no more")),
            _ => Ok(RechargeConfig { currency, package: package.map(|package| package.id.clone()) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::package::tests::package;
    use super::*;

    #[test]
    fn a_base_package_is_of_the_currency_and_sold() {
        let base = package(10, 100);
        let config = RechargeConfig::new(base.currency, Some(&base)).expect("a configuration");
        assert_eq!(config.package.as_deref(), Some("starter"));
        assert_eq!(RechargeConfig::new(base.currency, None).map(|config| config.package), Ok(None));
        assert!(RechargeConfig::new(CurrencyNumber(base.currency.0 + 1), Some(&base)).is_err());
        assert!(RechargeConfig::new(base.currency, Some(&CreditPackage { archived: true, ..base.clone() })).is_err());
    }
}
