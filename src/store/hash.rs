//! Keyed hashes of customer ids, event ids and idempotency keys.
//!
//! Tables compare 64 or 128 bits of hash where they would otherwise compare strings, and ids are chosen by clients. So the hash
//! is a pseudo-random function (`mac`) under keys that never leave the data directory: nobody who does not know them can
//! make two ids meet, or fill one shard. Each use has a key of its own. Fields of varying length are preceded by their length,
//! so that ("ab", "c") and ("a", "bc") differ.

use super::mac::{Begun, Mac};

/// The keys of a data directory.
#[derive(Clone)]
pub struct Seed {
    wallet: Mac,
    event: Mac,
    /// Of the first domains: making a key takes longer than using it.
    domains: [Mac; DOMAINS_KEPT],
    secret: [u8; 32],
}

/// Domains whose keys are kept at hand.
const DOMAINS_KEPT: usize = 8;

/// What the index and the slot know a wallet by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WalletHash {
    /// Finds the shard and the bucket, and is compared there. Never 0.
    pub index: u64,
    /// Compared with the slot's own.
    pub key: u64,
}

/// A hash of wallets of one currency, begun.
#[derive(Clone, Copy, Debug)]
pub struct WalletsOf(Begun);

/// A fingerprint of events of one source, begun.
#[derive(Clone, Copy, Debug)]
pub struct EventsOf(Begun);

impl Seed {
    /// The keys that derive from a secret: 32 random bytes, kept with the data.
    pub fn new(secret: [u8; 32]) -> Self {
        Seed {
            wallet: Mac::new(derive(&secret, "wallet", 0)),
            event: Mac::new(derive(&secret, "event", 0)),
            domains: std::array::from_fn(|domain| of_domain(&secret, domain as u8)),
            secret,
        }
    }

    /// The secret, to be stored.
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// The hash of a wallet: a customer's credits in one currency.
    pub fn wallet_hash(&self, customer: &[u8], currency: u16) -> WalletHash {
        self.wallet_of(self.wallets_of(currency), customer)
    }

    /// Begins the hashes of the wallets of one currency.
    pub fn wallets_of(&self, currency: u16) -> WalletsOf {
        WalletsOf(self.wallet.begin(&currency.to_le_bytes()))
    }

    /// The hash of a customer's wallet.
    #[inline]
    pub fn wallet_of(&self, WalletsOf(currency): WalletsOf, customer: &[u8]) -> WalletHash {
        let hash = self.wallet.finish(currency, customer);
        WalletHash { index: (hash as u64).max(1), key: (hash >> 64) as u64 }
    }

    /// The fingerprint of an event's identity; see [`reserved`].
    pub fn event_fingerprint(&self, source: &[u8], id: &[u8]) -> u64 {
        self.event_of(self.events_of(source), id)
    }

    /// Begins the fingerprints of the events of one source.
    pub fn events_of(&self, source: &[u8]) -> EventsOf {
        EventsOf(self.event.extend(self.event.begin(&(source.len() as u64).to_le_bytes()), source))
    }

    /// The fingerprint of the event with this id.
    #[inline]
    pub fn event_of(&self, EventsOf(source): EventsOf, id: &[u8]) -> u64 {
        usable(self.event.finish(source, id) as u64)
    }

    /// The fingerprint of any other key. Domains never share a key.
    pub fn key_fingerprint(&self, domain: u8, bytes: &[u8]) -> u64 {
        let of = |key: &Mac| usable(key.finish(key.begin(&[]), bytes) as u64);
        match self.domains.get(usize::from(domain)) {
            Some(key) => of(key),
            None => of(&of_domain(&self.secret, domain)),
        }
    }
}

/// Tables use the first and the last value as marks; no fingerprint takes one of them.
#[inline]
pub const fn reserved(fingerprint: u64) -> bool {
    fingerprint == 0 || fingerprint == u64::MAX
}

#[inline]
fn usable(hash: u64) -> u64 {
    if reserved(hash) { 0x9e37_79b9_7f4a_7c15 } else { hash }
}

fn of_domain(secret: &[u8; 32], domain: u8) -> Mac {
    Mac::new(derive(secret, "key", domain))
}

/// A key for one use and domain, from the secret's first half as key and its second half as part of the input.
fn derive(secret: &[u8; 32], purpose: &str, domain: u8) -> [u8; 16] {
    let (key, rest) = secret.split_at(16);
    let mac = Mac::new(key.try_into().expect("half of 32 bytes"));
    let input = [rest, &[domain], purpose.as_bytes()].concat();
    mac.finish(mac.begin(&[]), &input).to_le_bytes()
}

#[cfg(test)]
#[cfg(not(drawdown_loom))]
mod tests {
    use super::*;
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
        [0x7310_72cb_2276_d610, 0xed53_fa0b_2a06_2e68, 0x3b16_9f89_211f_aef1, 0x5ddf_2650_350a_4fab];
}
