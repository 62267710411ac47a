//! Keyed hashes of customer ids, event ids and idempotency keys.
//!
//! Tables compare 64 or 128 bits of hash where they would otherwise compare strings, and ids are chosen by clients. So the hash
//! is a pseudo-random function, SipHash-1-3, under keys that never leave the data directory: nobody who does not know them can
//! make two ids meet, or fill one shard. Each use has a key of its own. Fields of varying length are preceded by their length,
//! so that ("ab", "c") and ("a", "bc") differ.

use siphasher::sip::SipHasher13 as Sip64;
use siphasher::sip128::{Hasher128, SipHasher13 as Sip128};
use std::hash::Hasher;

/// The keys of a data directory.
#[derive(Clone)]
pub struct Seed {
    wallet: Sip128,
    event: Sip64,
    secret: [u8; 32],
}

/// What the index and the slot know a wallet by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WalletHash {
    /// Finds the shard and the bucket, and is compared there. Never 0.
    pub index: u64,
    /// Compared with the slot's own.
    pub key: u64,
}

/// Longer inputs are hashed piece by piece. Shorter ones are laid out on the stack first, which takes half the time.
const GATHERED_MAX: usize = 120;

impl Seed {
    /// The keys that derive from a secret: 32 random bytes, kept with the data.
    pub fn new(secret: [u8; 32]) -> Self {
        Seed {
            wallet: Sip128::new_with_key(&derive(&secret, "wallet", 0)),
            event: Sip64::new_with_key(&derive(&secret, "event", 0)),
            secret,
        }
    }

    /// The secret, to be stored.
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// The hash of a wallet: a customer's credits in one currency.
    #[inline]
    pub fn wallet_hash(&self, customer: &[u8], currency: u16) -> WalletHash {
        // One field of varying length, and that at the end: the rest needs no length.
        let hash = if let Some(input) = gather(&currency.to_le_bytes(), &[customer]) {
            self.wallet.hash(input.bytes())
        } else {
            let mut hasher = self.wallet;
            hasher.write(&currency.to_le_bytes());
            hasher.write(customer);
            hasher.finish128()
        };
        let (index, key) = hash.as_u64();
        WalletHash { index: index.max(1), key }
    }

    /// The fingerprint of an event's identity; see [`reserved`].
    #[inline]
    pub fn event_fingerprint(&self, source: &[u8], id: &[u8]) -> u64 {
        fingerprint(self.event, source.len(), &[source, id])
    }

    /// The fingerprint of any other key. Domains never share a key.
    pub fn key_fingerprint(&self, domain: u8, bytes: &[u8]) -> u64 {
        let hasher = Sip64::new_with_key(&derive(&self.secret, "key", domain));
        fingerprint(hasher, bytes.len(), &[bytes])
    }
}

/// Tables use the first and the last value as marks; no fingerprint takes one of them.
#[inline]
pub const fn reserved(fingerprint: u64) -> bool {
    fingerprint == 0 || fingerprint == u64::MAX
}

#[inline]
fn fingerprint(mut hasher: Sip64, first_len: usize, parts: &[&[u8]]) -> u64 {
    let prefix = (first_len as u64).to_le_bytes();
    let hash = if let Some(input) = gather(&prefix, parts) {
        hasher.hash(input.bytes())
    } else {
        hasher.write(&prefix);
        for part in parts {
            hasher.write(part);
        }
        hasher.finish()
    };
    if reserved(hash) { 0x9e37_79b9_7f4a_7c15 } else { hash }
}

/// A key for one use and domain, from the secret's first half as key and its second half as part of the input.
fn derive(secret: &[u8; 32], purpose: &str, domain: u8) -> [u8; 16] {
    let (key, rest) = secret.split_at(16);
    let mut hasher = Sip128::new_with_key(key.try_into().expect("half of 32 bytes"));
    hasher.write(rest);
    hasher.write(&[domain]);
    hasher.write(purpose.as_bytes());
    hasher.finish128().as_bytes()
}

struct Gathered {
    buffer: [u8; GATHERED_MAX],
    len: usize,
}

impl Gathered {
    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

/// The parts one after the other, if they are short.
#[inline]
fn gather(prefix: &[u8], parts: &[&[u8]]) -> Option<Gathered> {
    let mut gathered = Gathered { buffer: [0; GATHERED_MAX], len: 0 };
    for part in std::iter::once(&prefix).chain(parts) {
        let end = gathered.len + part.len();
        gathered.buffer.get_mut(gathered.len..end)?.copy_from_slice(part);
        gathered.len = end;
    }
    Some(gathered)
}

#[cfg(test)]
#[cfg(not(drawdown_loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn seed() -> Seed {
        Seed::new(std::array::from_fn(|i| i as u8))
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let seed = seed();
        assert_ne!(seed.event_fingerprint(b"ab", b"c"), seed.event_fingerprint(b"a", b"bc"));
        assert_ne!(seed.event_fingerprint(b"", b"abc"), seed.event_fingerprint(b"abc", b""));
        assert_ne!(seed.wallet_hash(b"a", 0x6261), seed.wallet_hash(b"aa", 0x0062));
    }

    #[test]
    fn the_secret_and_the_domain_decide() {
        let (one, other) = (seed(), Seed::new([9; 32]));
        assert_ne!(one.wallet_hash(b"acme", 1), other.wallet_hash(b"acme", 1));
        assert_ne!(one.event_fingerprint(b"a", b"b"), other.event_fingerprint(b"a", b"b"));
        let of_domains: HashSet<u64> = (0..=255).map(|domain| one.key_fingerprint(domain, b"same")).collect();
        assert_eq!(of_domains.len(), 256);
        // Each half of the secret counts.
        let mut changed = *one.secret();
        changed[31] ^= 1;
        assert_ne!(one.wallet_hash(b"acme", 1), Seed::new(changed).wallet_hash(b"acme", 1));
    }

    #[test]
    fn hashes_stay_what_they_were() {
        // The LSNs of a snapshot are found again by fingerprints of an earlier run: a change here is a change of format.
        let seed = seed();
        let hash = seed.wallet_hash(b"acme", 7);
        let found = [hash.index, hash.key, seed.event_fingerprint(b"meter", b"1"), seed.key_fingerprint(3, b"k")];
        assert_eq!(found, GOLDEN, "{found:#018x?}");
    }

    const GOLDEN: [u64; 4] =
        [0xa3b2_5de2_a042_24d5, 0x8292_d53c_63c3_6898, 0x96bd_d321_c659_6424, 0xafd6_e885_1dff_8b45];

    proptest! {
        #[test]
        fn short_and_long_ways_agree(customer in prop::collection::vec(any::<u8>(), 0..200), currency: u16) {
            let seed = seed();
            let mut whole = currency.to_le_bytes().to_vec();
            whole.extend_from_slice(&customer);
            let expected = seed.wallet.hash(&whole).as_u64();
            let hash = seed.wallet_hash(&customer, currency);
            prop_assert_eq!((hash.index, hash.key), expected);
            let mut whole = (customer.len() as u64).to_le_bytes().to_vec();
            whole.extend_from_slice(&customer);
            whole.extend_from_slice(b"id");
            prop_assert_eq!(seed.event_fingerprint(&customer, b"id"), seed.event.hash(&whole));
        }
    }
}
