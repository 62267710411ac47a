//! Signing and verifying: HMAC-SHA256 over `id.timestamp.body`, named `v1`.

use super::secret::{BASE64, Secret};
use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

/// The message's identity, the same over all attempts.
pub const HEADER_ID: HeaderName = HeaderName::from_static("webhook-id");
/// When the attempt was made, in seconds since the epoch.
pub const HEADER_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// A signature for each secret, separated by spaces.
pub const HEADER_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// An identity is 1 to 256 letters, digits, `_` and `-`; a full stop would make two messages sign alike.
    #[error("a message's id has 1 to 256 letters, digits, '_' or '-'")]
    Id,
    /// Nothing to sign with.
    #[error("there is no secret")]
    NoSecret,
}

/// A message that is not what it says, or not from whom it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// A header is missing.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// A header cannot be read.
    #[error("the header {0} cannot be read")]
    Malformed(&'static str),
    /// Signed too long ago: perhaps an old message, sent again by somebody else.
    #[error("signed {age_s} seconds ago, {tolerance_s} are allowed")]
    Stale {
        /// Its age.
        age_s: u64,
        /// What is allowed.
        tolerance_s: u64,
    },
    /// Signed in the future, by a clock that is wrong.
    #[error("signed {ahead_s} seconds in the future, {tolerance_s} are allowed")]
    Early {
        /// How far.
        ahead_s: u64,
        /// What is allowed.
        tolerance_s: u64,
    },
    /// No signature is by any of the secrets.
    #[error("no signature is by a known secret")]
    Forged,
}

/// A message that is from whom it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified<'a> {
    /// Its identity: the same one twice is the same message.
    pub id: &'a str,
    /// When it was signed.
    pub timestamp_s: u64,
}

/// HMAC-SHA256 over parts.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

/// Refuses what lies further from now than is allowed.
pub(crate) fn check_time(timestamp_s: u64, now_s: u64, tolerance_s: u64) -> Result<(), Unverified> {
    let (age_s, ahead_s) = (now_s.saturating_sub(timestamp_s), timestamp_s.saturating_sub(now_s));
    if age_s > tolerance_s {
        Err(Unverified::Stale { age_s, tolerance_s })
    } else if ahead_s > tolerance_s {
        Err(Unverified::Early { ahead_s, tolerance_s })
    } else {
        Ok(())
    }
}

/// Decimal digits and nothing else: no sign, no space, at most 19 of them.
pub(crate) fn parse_seconds(text: &str) -> Option<u64> {
    let digits = (1..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// The three headers of an attempt: a signature by each secret, the newest first.
pub fn sign(secrets: &[Secret], id: &str, timestamp_s: u64, body: &[u8]) -> Result<HeaderMap, SignError> {
    let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if !(1..=256).contains(&id.len()) || !is_plain {
        return Err(SignError::Id);
    }
    if secrets.is_empty() {
        return Err(SignError::NoSecret);
    }
    let timestamp = timestamp_s.to_string();
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    let signatures: Vec<String> = secrets
        .iter()
        .map(|secret| format!("v1,{}", BASE64.encode(mac(secret.bytes(), &parts).finalize().into_bytes())))
        .collect();
    let header = |text: &str| HeaderValue::from_str(text).expect("visible ASCII");
    Ok(HeaderMap::from_iter([
        (HEADER_ID, header(id)),
        (HEADER_TIMESTAMP, header(&timestamp)),
        (HEADER_SIGNATURE, header(&signatures.join(" "))),
    ]))
}

/// Checks a message against several secrets: one that fits is enough. `now_s` is the receiver's clock; five minutes of tolerance are usual.
///
/// The time is looked at first, and signatures are compared in constant time. Signatures of other kinds (`v1a`) are passed over.
pub fn verify<'a>(
    secrets: &[Secret],
    headers: &'a HeaderMap,
    body: &[u8],
    now_s: u64,
    tolerance_s: u64,
) -> Result<Verified<'a>, Unverified> {
    let get = |header: &HeaderName, name: &'static str| {
        let value = headers.get(header).ok_or(Unverified::Missing(name))?;
        value.to_str().map_err(|_| Unverified::Malformed(name))
    };
    let id = get(&HEADER_ID, "webhook-id")?;
    let timestamp = get(&HEADER_TIMESTAMP, "webhook-timestamp")?;
    let signatures = get(&HEADER_SIGNATURE, "webhook-signature")?;
    if id.is_empty() || id.contains('.') {
        return Err(Unverified::Malformed("webhook-id"));
    }
    let timestamp_s = parse_seconds(timestamp).ok_or(Unverified::Malformed("webhook-timestamp"))?;
    check_time(timestamp_s, now_s, tolerance_s)?;
    let given: Vec<Vec<u8>> = signatures
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|signature| BASE64.decode(signature).ok())
        .collect();
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    let fits = secrets.iter().any(|secret| {
        let mac = mac(secret.bytes(), &parts);
        given.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
    });
    if fits { Ok(Verified { id, timestamp_s }) } else { Err(Unverified::Forged) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW_S: u64 = 1_700_000_000;
    const TOLERANCE_S: u64 = 300;

    fn secret(of: u8) -> Secret {
        Secret::new(&[of; 32]).expect("32 bytes")
    }

    fn verified(secrets: &[Secret], headers: &HeaderMap, body: &[u8], now_s: u64) -> Result<(), Unverified> {
        verify(secrets, headers, body, now_s, TOLERANCE_S).map(drop)
    }

    /// The example whose parts and signature the specification's reference libraries use in their own tests.
    #[test]
    fn signs_as_the_reference_libraries_do() {
        let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().expect("a secret");
        let body = br#"{"test": 2432232314}"#;
        let headers = sign(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body).expect("a message");
        assert_eq!(headers[HEADER_SIGNATURE], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_rotation_is_seamless() {
        let (old, new) = (secret(1), secret(2));
        let headers = sign(&[new.clone(), old.clone()], "msg_1", NOW_S, b"{}").expect("a message");
        assert_eq!(verified(&[old.clone()], &headers, b"{}", NOW_S), Ok(()));
        assert_eq!(verified(std::slice::from_ref(&new), &headers, b"{}", NOW_S), Ok(()));
        let headers = sign(&[old], "msg_1", NOW_S, b"{}").expect("a message");
        assert_eq!(verified(&[new, secret(1)], &headers, b"{}", NOW_S), Ok(()));
    }

    #[test]
    fn time_is_bounded_on_both_sides_and_the_bound_is_inside() {
        let headers = sign(&[secret(1)], "msg_1", NOW_S, b"{}").expect("a message");
        let at = |now_s| verified(&[secret(1)], &headers, b"{}", now_s);
        assert_eq!(at(NOW_S + TOLERANCE_S), Ok(()));
        assert_eq!(at(NOW_S - TOLERANCE_S), Ok(()));
        assert_eq!(at(NOW_S + TOLERANCE_S + 1), Err(Unverified::Stale { age_s: 301, tolerance_s: 300 }));
        assert_eq!(at(NOW_S - TOLERANCE_S - 1), Err(Unverified::Early { ahead_s: 301, tolerance_s: 300 }));
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        let headers = sign(&[secret(1)], "msg_1", NOW_S, b"{}").expect("a message");
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            let mut without = headers.clone();
            without.remove(name);
            assert_eq!(verified(&[secret(1)], &without, b"{}", NOW_S), Err(Unverified::Missing(name)));
        }
        for (name, value) in [
            ("webhook-timestamp", "+1700000000"),
            ("webhook-timestamp", ""),
            ("webhook-timestamp", "17e8"),
            ("webhook-timestamp", "99999999999999999999"),
            ("webhook-id", ""),
            ("webhook-id", "msg.1"),
        ] {
            let mut changed = headers.clone();
            changed.insert(name, HeaderValue::from_static(value));
            assert_eq!(verified(&[secret(1)], &changed, b"{}", NOW_S), Err(Unverified::Malformed(name)), "{value:?}");
        }
        for signature in ["", "v1", "v1,", "v1,AAAA", "v2,AAAA", "v1,v1,v1", ",", "v1a,AAAA v1,"] {
            let mut changed = headers.clone();
            changed.insert("webhook-signature", HeaderValue::from_static(signature));
            assert_eq!(verified(&[secret(1)], &changed, b"{}", NOW_S), Err(Unverified::Forged), "{signature:?}");
        }
    }

    #[test]
    fn ids_that_sign_ambiguously_are_refused() {
        for id in ["", "a.b", "a b", "ä", &"a".repeat(257)] {
            assert_eq!(sign(&[secret(1)], id, NOW_S, b"").map(drop), Err(SignError::Id), "{id:?}");
        }
        assert_eq!(sign(&[], "msg_1", NOW_S, b"").map(drop), Err(SignError::NoSecret));
    }

    proptest! {
        #[test]
        fn one_changed_bit_is_noticed(body in proptest::collection::vec(any::<u8>(), 1..200), at: prop::sample::Index, bit in 0..8_u8) {
            let headers = sign(&[secret(7)], "msg_1", NOW_S, &body).expect("a message");
            prop_assert_eq!(verified(&[secret(7)], &headers, &body, NOW_S), Ok(()));
            prop_assert_eq!(verified(&[secret(8)], &headers, &body, NOW_S), Err(Unverified::Forged));
            let mut changed = body.clone();
            let at = at.index(changed.len());
            changed[at] ^= 1 << bit;
            prop_assert_eq!(verified(&[secret(7)], &headers, &changed, NOW_S), Err(Unverified::Forged));
        }

        /// Whatever stands in the headers, the answer is an answer.
        #[test]
        fn no_header_panics(id in "\\PC{0,20}", timestamp in "[0-9+.e -]{0,25}", signature in "[v1a,+/=A-Za-z0-9 ]{0,80}") {
            let mut headers = HeaderMap::new();
            for (name, value) in [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)] {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    headers.insert(name, value);
                }
            }
            let answer = verified(&[secret(7)], &headers, b"{}", NOW_S);
            prop_assert!(answer.is_err());
        }
    }
}
