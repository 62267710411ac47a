//! What is left of credits by what they were bought as.

use crate::billing::top_up::{Credit, TopUp};
use crate::catalog::CurrencyNumber;
use crate::engine::Engine;
use crate::engine::view::BalanceTotal;
use crate::ledger::GrantId;
use crate::store::pin;
use std::collections::{BTreeMap, HashSet};

/// Whose wallet in which currency.
type Wallet = (String, CurrencyNumber);

impl Engine {
    /// Sums over what is left of the credits that were bought as one product (a package, or a deposit form), one for each currency; of one customer or one currency
    /// if given. `held` is what open holds and disputes have of them, and what is projected is what is available: commitments are the wallet's.
    /// It looks through the top-ups, all of them without a customer, and reads the wallets of those that bought it.
    pub fn product_balances(&self, product: &str, customer: Option<&str>, currency: Option<&str>) -> Vec<BalanceTotal> {
        let inner = &*self.inner;
        let now = inner.now();
        let catalog = inner.catalog.snapshot();
        let mut totals = BTreeMap::new();
        for ((owner, number), grants) in self.bought_as(product, customer) {
            let Some(known) = catalog.currency_by_number(number) else { continue };
            if currency.is_some_and(|id| id != known.id) {
                continue;
            }
            let guard = pin();
            let Some(slot) = inner.find(inner.seed.wallet_hash(owner.as_bytes(), number.0), &guard) else { continue };
            let Ok(wallet) = inner.wallet_view(slot, now, &guard) else { continue };
            let total = totals.entry(number).or_insert_with(|| BalanceTotal {
                currency: known.clone(),
                wallets: 0,
                balance: 0,
                held: 0,
                available: 0,
                projected: 0,
            });
            total.wallets += 1;
            for lot in wallet.grants.iter().filter(|lot| !lot.scheduled && grants.contains(&lot.id)) {
                let (remaining, held) = (i128::from(lot.remaining.units()), i128::from(lot.held.units()));
                total.balance += remaining;
                total.held += held;
                total.available += remaining - held;
                total.projected += remaining - held;
            }
        }
        totals.into_values().collect()
    }

    /// The grants of a product's top-ups, by wallet.
    fn bought_as(&self, product: &str, customer: Option<&str>) -> BTreeMap<Wallet, HashSet<GrantId>> {
        let tables = self.inner.billing.lock();
        let mut bought: BTreeMap<Wallet, HashSet<GrantId>> = BTreeMap::new();
        let mut note = |top_up: &TopUp| {
            let is_product = [&top_up.purchase.package, &top_up.form].into_iter().flatten().any(|id| id == product);
            if let Credit::Granted { grant, .. } = top_up.credit
                && is_product
            {
                bought.entry((top_up.customer.clone(), top_up.currency)).or_default().insert(grant);
            }
        };
        match customer {
            Some(customer) => tables.top_ups_of(customer).for_each(|kept| note(&kept.top_up)),
            None => tables.top_ups.values().for_each(|kept| note(&kept.top_up)),
        }
        bought
    }
}
