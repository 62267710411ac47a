//! API keys: who may ask for what.
//!
//! A key is `dd_live_<id>_<secret>` or `dd_test_<id>_<secret>`. The id is public and finds the record; the secret has 256 random bits, of
//! which only a SHA-256 is stored (a random secret needs no slow hash). Comparison takes the same time whichever byte differs.
//!
//! Guarantees:
//! 1. A token is shown once, when its key is made, and cannot be told from what is stored.
//! 2. A revoked key, a wrong secret and an unknown id are answered alike.
//! 3. `admin` implies every other scope.

use super::problem::{Problem, Reason};
use crate::engine::{ApiKeyRecord, Engine};
use crate::ledger::Timestamp;
use hyper::header::{AUTHORIZATION, HeaderMap};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The fewest bytes that a bootstrap key may have.
pub const BOOTSTRAP_KEY_BYTES_MIN: usize = 32;

/// A set of scopes, as bits of [`ApiKeyRecord::scopes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Post usage events and checks.
    pub const USAGE: Scopes = Scopes(1);
    /// Read wallets, grants, settings and the feed.
    pub const READ: Scopes = Scopes(2);
    /// Make and change grants, change wallets and their alerts.
    pub const GRANTS: Scopes = Scopes(4);
    /// Start and settle top-ups.
    pub const TOP_UPS: Scopes = Scopes(8);
    /// Everything, including currencies, meters and keys.
    pub const ADMIN: Scopes = Scopes(16);

    const NAMES: [(&'static str, Scopes); 5] = [
        ("usage", Self::USAGE),
        ("read", Self::READ),
        ("grants", Self::GRANTS),
        ("top_ups", Self::TOP_UPS),
        ("admin", Self::ADMIN),
    ];

    /// The scopes of a record.
    pub const fn from_bits(bits: u8) -> Scopes {
        Scopes(bits)
    }

    /// As they are stored.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Scopes) -> Scopes {
        Scopes(self.0 | other.0)
    }

    /// The scope of that name.
    pub fn parse(name: &str) -> Option<Scopes> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, scope)| scope)
    }

    /// A comma-separated list, such as `usage,read`; the error names what is not a scope.
    pub fn parse_list(list: &str) -> Result<Scopes, String> {
        let mut all = Scopes(0);
        for name in list.split(',').map(str::trim) {
            all = all.and(Self::parse(name).ok_or_else(|| format!("`{name}` is not a scope"))?);
        }
        Ok(all)
    }

    /// The names in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(_, scope)| self.0 & scope.0 != 0).map(|(name, _)| name)
    }

    /// Whether a key with these scopes may do what any one of `needed` allows.
    pub const fn allow(self, needed: Scopes) -> bool {
        self.0 & (needed.0 | Self::ADMIN.0) != 0
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(","))
    }
}

/// A key that was just made: the record to store and the token to show once.
#[derive(Debug)]
pub struct NewKey {
    /// To be stored.
    pub record: ApiKeyRecord,
    /// To be shown to its owner, once.
    pub token: String,
}

impl NewKey {
    /// Makes a key from the system's randomness.
    pub fn generate(name: &str, live: bool, scopes: Scopes, now: Timestamp) -> Result<NewKey, getrandom::Error> {
        let mut id = [0; 8];
        getrandom::fill(&mut id)?;
        Self::with_id(hex(&id), name, live, scopes, now)
    }

    /// Makes a key of this id, which is public and need not be random, with a secret from the system's randomness.
    pub(crate) fn with_id(
        id: String,
        name: &str,
        live: bool,
        scopes: Scopes,
        now: Timestamp,
    ) -> Result<NewKey, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        let mode = if live { "live" } else { "test" };
        let token = format!("dd_{mode}_{id}_{}", hex(&secret));
        let (hash, created_ms) = (hash(&token), now.millis());
        let record =
            ApiKeyRecord { id, name: name.to_owned(), live, scopes: scopes.bits(), hash, created_ms, revoked: false };
        Ok(NewKey { record, token })
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The whole token is hashed, so that its mode and id are bound to its secret.
fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Decides which requests pass.
#[derive(Debug)]
pub enum Gate {
    /// `--dev`: every request passes; the server listens on the loopback address only.
    Open,
    /// Keys are needed: those of the engine, and the bootstrap key of the environment, if there is one.
    Keys {
        /// Hash of the bootstrap key.
        bootstrap: Option<[u8; 32]>,
    },
}

/// Who sent a request that passed.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// No key was needed.
    Anyone,
    /// The holder of the bootstrap key.
    Bootstrap,
    /// The holder of an API key.
    Key(Arc<ApiKeyRecord>),
}

/// Why a server cannot start with these keys.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// Nobody could ever pass.
    #[error(
        "there is no API key: make one with `drawdown keys create`, or set DRAWDOWN_ADMIN_KEY, or start with --dev"
    )]
    NoKeys,
    /// The bootstrap key could be guessed.
    #[error("DRAWDOWN_ADMIN_KEY must have at least {BOOTSTRAP_KEY_BYTES_MIN} bytes")]
    ShortBootstrapKey,
}

impl Gate {
    /// A gate that needs keys; refused when there are none.
    pub fn with_keys(engine: &Engine, bootstrap: Option<&str>) -> Result<Gate, GateError> {
        if bootstrap.is_some_and(|key| key.len() < BOOTSTRAP_KEY_BYTES_MIN) {
            return Err(GateError::ShortBootstrapKey);
        }
        if bootstrap.is_none() && engine.api_keys().iter().all(|key| key.revoked) {
            return Err(GateError::NoKeys);
        }
        Ok(Gate::Keys { bootstrap: bootstrap.map(hash) })
    }

    /// Lets a request pass that needs one of the `needed` scopes, or says why not.
    pub(crate) fn admit(&self, engine: &Engine, headers: &HeaderMap, needed: Scopes) -> Result<Caller, Problem> {
        let Gate::Keys { bootstrap } = self else { return Ok(Caller::Anyone) };
        let token = bearer(headers)?;
        let presented = hash(token);
        if bootstrap.is_some_and(|known| bool::from(known.ct_eq(&presented))) {
            return Ok(Caller::Bootstrap);
        }
        let record = key_id(token).and_then(|id| engine.api_key(id));
        match record.filter(|key| !key.revoked && bool::from(key.hash.ct_eq(&presented))) {
            Some(key) if Scopes::from_bits(key.scopes).allow(needed) => Ok(Caller::Key(key)),
            Some(_) => Err(Problem::new(Reason::MissingScope, format!("the key needs the scope {needed}"))),
            None => Err(challenge(Reason::InvalidKey, "the key is unknown, wrong or revoked")),
        }
    }
}

fn challenge(reason: Reason, detail: &'static str) -> Problem {
    Problem::new(reason, detail).with_header("www-authenticate", "Bearer")
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || challenge(Reason::MissingKey, "send the header Authorization: Bearer <key>");
    let value = headers.get(AUTHORIZATION).ok_or_else(missing)?.to_str().map_err(|_| missing())?;
    let (scheme, token) = value.split_once(' ').ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(missing()) }
}

/// The id within a token.
fn key_id(token: &str) -> Option<&str> {
    let rest = token.strip_prefix("dd_live_").or_else(|| token.strip_prefix("dd_test_"))?;
    rest.split_once('_').map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_named_stored_and_checked() {
        let scopes = Scopes::parse_list("usage, read").expect("known");
        assert_eq!(scopes.to_string(), "usage,read");
        assert_eq!(Scopes::from_bits(scopes.bits()), scopes);
        assert!(scopes.allow(Scopes::USAGE) && scopes.allow(Scopes::READ) && !scopes.allow(Scopes::GRANTS));
        assert!(scopes.allow(Scopes::GRANTS.and(Scopes::READ)));
        assert!(Scopes::ADMIN.allow(Scopes::TOP_UPS));
        assert!(!Scopes::TOP_UPS.allow(Scopes::ADMIN));
        assert_eq!(Scopes::parse_list("usage,root"), Err("`root` is not a scope".into()));
        assert!(Scopes::parse_list("").is_err());
    }

    #[test]
    fn a_key_carries_its_id_and_keeps_only_a_hash() {
        let now = Timestamp::from_millis(1_000);
        let key = NewKey::generate("ci", true, Scopes::USAGE, now).expect("randomness");
        assert_eq!(key_id(&key.token), Some(key.record.id.as_str()));
        assert!(key.token.starts_with("dd_live_") && key.token.len() == 8 + 16 + 1 + 64);
        assert_eq!(key.record.hash, hash(&key.token));
        let other = NewKey::generate("ci", false, Scopes::USAGE, now).expect("randomness");
        assert!(other.token.starts_with("dd_test_") && other.record.hash != key.record.hash);
    }
}
