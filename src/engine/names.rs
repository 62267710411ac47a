//! Which customer and currency a slot belongs to: the cold side of the wallet table.

use super::catalog::CurrencyNumber;
use crate::store::texts::{Filler, Texts};

/// A wallet's owner and currency.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    /// The customer's id.
    pub(super) customer: &'a str,
    /// The currency.
    pub(super) currency: CurrencyNumber,
}

/// Names by slot.
#[derive(Debug, Default)]
pub(super) struct Names(Texts);

impl Names {
    /// Names a slot. A slot belongs to one wallet for ever.
    pub(super) fn set(&self, slot: u32, name: Name<'_>) {
        self.0.set(slot, name.currency.0, name.customer);
    }

    /// For a thread that names many slots.
    pub(super) fn filler(&self) -> NameFiller<'_> {
        NameFiller(self.0.filler())
    }

    /// Whether a slot has a name.
    pub(super) fn has(&self, slot: u32) -> bool {
        self.0.has(slot)
    }

    /// The name of a slot.
    pub(super) fn get(&self, slot: u32) -> Option<Name<'_>> {
        let (currency, customer) = self.0.get(slot)?;
        Some(Name { customer, currency: CurrencyNumber(currency) })
    }
}

/// Names many slots.
#[derive(Debug)]
pub(super) struct NameFiller<'a>(Filler<'a>);

impl NameFiller<'_> {
    /// As [`Names::set`].
    pub(super) fn set(&mut self, slot: u32, name: Name<'_>) {
        self.0.set(slot, name.currency.0, name.customer);
    }
}
