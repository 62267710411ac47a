//! What a customer's wallets hold, grant by grant.

use super::super::view::{CommandError, GrantState, GrantView};
use super::super::{Engine, Inner};
use crate::ledger::{GrantId, Timestamp};
use crate::store::pin;
use std::collections::{BTreeSet, HashSet};

/// A page of the grants that wallets hold.
#[derive(Clone, Debug)]
pub struct GrantsPage {
    /// In the order in which they were made.
    pub grants: Vec<GrantView>,
    /// Give it back as `after` for the next page; `None` when there is none.
    pub next: Option<GrantId>,
}

impl Engine {
    /// The grants that a customer's wallets hold, of one currency or of all, in the order in which they were made: active, scheduled and
    /// pending ones, or those of one state. `after` is the text of a grant, which need not be held any more.
    pub fn grants(
        &self,
        customer: &str,
        currency: Option<&str>,
        state: Option<GrantState>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<GrantsPage, CommandError> {
        let inner = &*self.inner;
        let now = inner.now();
        let after = match after {
            Some(text) => Some(inner.parse_grant(text).ok_or_else(|| CommandError::Invalid {
                field: "cursor",
                detail: "is no `next_cursor` of a list of grants".to_owned(),
            })?),
            None => None,
        };
        let mut held = inner.held_grants(customer, currency, now)?;
        held.retain(|(id, of)| state.is_none_or(|state| state == *of) && after.is_none_or(|after| *id > after));
        held.sort_unstable_by_key(|(id, _)| *id);
        let more = held.len() > limit;
        held.truncate(limit);
        let next = held.last().map(|(id, _)| *id).filter(|_| more);
        let view = |(id, _)| inner.view_of(inner.declaration(id)?, now);
        Ok(GrantsPage { grants: held.into_iter().map(view).collect::<Result<_, _>>()?, next })
    }
}

impl Inner {
    fn held_grants(
        &self,
        customer: &str,
        currency: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<(GrantId, GrantState)>, CommandError> {
        let guard = pin();
        let slots: Vec<u32> = if let Some(currency) = currency {
            vec![self.locate_wallet(customer, currency, &guard)?]
        } else {
            let catalog = self.catalog.snapshot();
            let hash = |number: u16| self.seed.wallet_hash(customer.as_bytes(), number);
            let find = |number| self.find(hash(number), &guard);
            catalog.currencies().iter().filter_map(|currency| find(currency.number.0)).collect()
        };
        let mut held = Vec::new();
        for slot in slots {
            let Some((terms, balance)) = self.read_at(slot, now, &guard) else { continue };
            let lots = terms.lots_at(balance).lots;
            held.extend(lots.iter().map(|lot| (lot.id, GrantState::Active)));
            // Grants that have nothing left but what open holds have of them.
            let parts =
                terms.holds.iter().flat_map(|hold| &hold.parts).filter(|part| !part.is_voided).map(|part| part.lot);
            let parts = parts.filter(|lot| !lot.expires_at.is_due(now)).map(|lot| lot.id);
            let free: HashSet<GrantId> = lots.iter().map(|lot| lot.id).collect();
            let whole: BTreeSet<GrantId> = parts.filter(|id| !free.contains(id)).collect();
            held.extend(whole.into_iter().map(|id| (id, GrantState::Active)));
            held.extend(terms.scheduled.iter().map(|lot| (lot.id, GrantState::Scheduled)));
            held.extend(terms.riders.unpaid.iter().map(|unpaid| (unpaid.lot.id, GrantState::Pending)));
        }
        Ok(held)
    }
}
