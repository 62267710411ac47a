//! Which customer and currency a slot belongs to: the cold side of the wallet table.
//!
//! Names are written once, when the wallet is made, and never move, so readers need no lock.

use super::catalog::CurrencyNumber;
use std::sync::OnceLock;

/// Slots of a chunk, chunks of a block, blocks of the table: together all slots there can be.
const CHUNK: usize = 1 << 12;
const BLOCK: usize = 1 << 10;
const BLOCKS: usize = 1 << 10;

/// A wallet's owner and currency.
#[derive(Debug)]
pub(super) struct Name {
    /// The customer's id.
    pub(super) customer: Box<str>,
    /// The currency.
    pub(super) currency: CurrencyNumber,
}

type Chunk = Box<[OnceLock<Name>]>;
type Block = Box<[OnceLock<Chunk>]>;

/// Names by slot.
#[derive(Debug)]
pub(super) struct Names {
    // Three levels, made as slots are named: an engine with few wallets costs little memory and opens at once.
    blocks: Box<[OnceLock<Block>]>,
}

fn empty<T>(length: usize) -> Box<[OnceLock<T>]> {
    (0..length).map(|_| OnceLock::new()).collect()
}

/// Block, chunk and place of a slot.
fn place(slot: u32) -> (usize, usize, usize) {
    let slot = slot as usize;
    (slot / (CHUNK * BLOCK), slot / CHUNK % BLOCK, slot % CHUNK)
}

impl Names {
    /// No names.
    pub(super) fn new() -> Self {
        Names { blocks: empty(BLOCKS) }
    }

    /// Names a slot. A slot is named once.
    pub(super) fn set(&self, slot: u32, name: Name) {
        let (block, chunk, place) = place(slot);
        let block = self.blocks[block].get_or_init(|| empty(BLOCK));
        let chunk = block[chunk].get_or_init(|| empty(CHUNK));
        let fresh = chunk[place].set(name).is_ok();
        assert!(fresh, "a slot belongs to one wallet for ever");
    }

    /// The name of a slot.
    pub(super) fn get(&self, slot: u32) -> Option<&Name> {
        let (block, chunk, place) = place(slot);
        self.blocks[block].get()?[chunk].get()?[place].get()
    }
}

const _: () = assert!((CHUNK * BLOCK * BLOCKS) as u64 == 1 << 32, "every slot has a place");
