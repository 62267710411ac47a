//! Which customer and currency a slot belongs to: the cold side of the wallet table.
//!
//! Names are written once, when the wallet is made, and never move, so readers need no lock.

use super::catalog::CurrencyNumber;
use std::sync::OnceLock;

const CHUNK: usize = 1 << 12;
const CHUNKS: usize = 1 << 20;

/// A wallet's owner and currency.
#[derive(Debug)]
pub(super) struct Name {
    /// The customer's id.
    pub(super) customer: Box<str>,
    /// The currency.
    pub(super) currency: CurrencyNumber,
}

type Chunk = Box<[OnceLock<Name>]>;

/// Names by slot.
#[derive(Debug)]
pub(super) struct Names {
    chunks: Box<[OnceLock<Chunk>]>,
}

impl Names {
    /// No names.
    pub(super) fn new() -> Self {
        // OnceLock is all zeroes when empty: untouched parts of this table cost no memory.
        Names { chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect() }
    }

    /// Names a slot. A slot is named once.
    pub(super) fn set(&self, slot: u32, name: Name) {
        let chunk = self.chunks[slot as usize / CHUNK].get_or_init(|| (0..CHUNK).map(|_| OnceLock::new()).collect());
        let fresh = chunk[slot as usize % CHUNK].set(name).is_ok();
        assert!(fresh, "a slot belongs to one wallet for ever");
    }

    /// The name of a slot.
    pub(super) fn get(&self, slot: u32) -> Option<&Name> {
        self.chunks.get(slot as usize / CHUNK)?.get()?.get(slot as usize % CHUNK)?.get()
    }
}
