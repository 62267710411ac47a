//! Who holds a currency: its wallets, a page at a time.

use super::super::catalog::CreditCurrency;
use super::super::view::CommandError;
use super::super::wallets::Summary;
use super::super::{Engine, Inner};
use super::currency_of;
use crate::ledger::{Amount, Decimal, Status};
use crate::store::pin;
use std::sync::Arc;

/// Wallets that are looked at for one page: a page is bounded however few of the server's wallets are of the currency.
const LOOKED_AT_MAX: u32 = 1 << 18;

/// A wallet of a currency.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The owner.
    pub customer: String,
    /// Active, frozen or closed.
    pub status: Status,
    /// Sum of what remains of active grants, less debt.
    pub balance: Amount,
    /// In open holds.
    pub held: Amount,
    /// `balance - held + overdraft allowance`.
    pub available: Amount,
}

/// A page of a currency's wallets.
#[derive(Clone, Debug)]
pub struct HoldersPage {
    /// The currency.
    pub currency: Arc<CreditCurrency>,
    /// In the order in which the wallets were made.
    pub holders: Vec<Holder>,
    /// Give it back as `from` for the next page; `None` when there is none.
    pub next: Option<u32>,
}

impl Engine {
    /// Wallets of a currency as they are now, from the wallet number `from` on, `limit` at most; with `min_balance`, in credits, those that
    /// have so much at least. A page may hold fewer than there are, or none: it is the last when it names no next one.
    pub fn holders(
        &self,
        currency: &str,
        from: u32,
        limit: usize,
        min_balance: Option<Decimal>,
    ) -> Result<HoldersPage, CommandError> {
        let inner = &*self.inner;
        let currency = currency_of(inner, currency)?;
        let least = min_balance.map(|least| {
            Amount::from_decimal(least, currency.scale)
                .map_err(|error| CommandError::Invalid { field: "min_balance", detail: error.to_string() })
        });
        let least = least.transpose()?;
        let (now, end) = (inner.now(), inner.slab.len() as u32);
        let (mut holders, mut slot) = (Vec::new(), from);
        let last = from.saturating_add(LOOKED_AT_MAX).min(end);
        while slot < last && holders.len() < limit {
            holders.extend(inner.holder(slot, &currency, now, least));
            slot += 1;
        }
        Ok(HoldersPage { currency, holders, next: (slot < end).then_some(slot) })
    }
}

impl Inner {
    fn holder(
        &self,
        slot: u32,
        currency: &CreditCurrency,
        now: crate::ledger::Timestamp,
        least: Option<Amount>,
    ) -> Option<Holder> {
        let name = self.names.get(slot).filter(|name| name.currency == currency.number)?;
        let Summary { status, balance, held, available, .. } = self.summary_at(slot, now, &pin())?;
        let is_wanted = least.is_none_or(|least| balance >= least);
        is_wanted.then(|| Holder { customer: name.customer.to_owned(), status, balance, held, available })
    }
}
