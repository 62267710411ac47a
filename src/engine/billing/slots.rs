//! A set of wallets' slots that is asked once for each record of the log: a bit for each slot there can be, up to the highest one.

/// See the module. A million wallets take 125 kB.
#[derive(Debug, Default)]
pub(super) struct Slots(Vec<u64>);

impl Slots {
    pub(super) fn contains(&self, slot: u32) -> bool {
        let (word, bit) = place(slot);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    pub(super) fn insert(&mut self, slot: u32) {
        let (word, bit) = place(slot);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    pub(super) fn remove(&mut self, slot: u32) {
        let (word, bit) = place(slot);
        if let Some(word) = self.0.get_mut(word) {
            *word &= !bit;
        }
    }
}

fn place(slot: u32) -> (usize, u64) {
    ((slot / u64::BITS) as usize, 1 << (slot % u64::BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inserted_is_contained_until_it_is_removed() {
        let mut slots = Slots::default();
        let some = [0, 1, 63, 64, 1_000_000];
        for slot in some {
            assert!(!slots.contains(slot));
            slots.insert(slot);
            slots.insert(slot);
        }
        let contained = (0..=1_000_001).filter(|slot| slots.contains(*slot));
        assert!(contained.eq(some));
        slots.remove(64);
        slots.remove(65);
        slots.remove(u32::MAX);
        assert!(!slots.contains(64) && slots.contains(63) && !slots.contains(u32::MAX));
    }
}
