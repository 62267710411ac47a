//! `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=<hex>]`: HMAC-SHA256 over `t.body`, by the endpoint's secret as it is written
//! (docs.stripe.com/webhooks#verify-manually). While a secret is being rolled there is one signature for each.

use crate::http::{HeaderMap, HeaderValue};
use crate::webhooks::{Unverified, check_time, mac, parse_seconds};
use hmac::Mac;
use std::fmt;

const HEADER: &str = "stripe-signature";

/// An endpoint's signing secret, `whsec_…`. `Debug` keeps it to itself.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(String);

/// Not a signing secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a Stripe signing secret begins with whsec_ and has at least 16 more characters")]
pub struct WebhookSecretError;

impl WebhookSecret {
    /// Reads a secret.
    pub fn new(text: &str) -> Result<Self, WebhookSecretError> {
        let rest = text.strip_prefix("whsec_").ok_or(WebhookSecretError)?;
        let fits = rest.len() >= 16 && rest.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(WebhookSecret(text.to_owned())) } else { Err(WebhookSecretError) }
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(whsec_…)")
    }
}

/// The header's value for a body, signed by each of several secrets: what Stripe does, for tests and for a stand-in of Stripe.
pub fn sign(secrets: &[WebhookSecret], timestamp_s: u64, body: &[u8]) -> HeaderValue {
    let timestamp = timestamp_s.to_string();
    let mut text = format!("t={timestamp}");
    for secret in secrets {
        let signature = mac(secret.0.as_bytes(), &[timestamp.as_bytes(), b".", body]).finalize().into_bytes();
        text.push_str(",v1=");
        text.extend(
            signature
                .iter()
                .flat_map(|byte| [byte >> 4, byte & 15])
                .map(|digit| char::from(b"0123456789abcdef"[digit as usize])),
        );
    }
    HeaderValue::from_str(&text).expect("visible ASCII")
}

/// Checks a body against several secrets; one that fits is enough.
pub(super) fn verify(
    secrets: &[WebhookSecret],
    headers: &HeaderMap,
    body: &[u8],
    now_s: u64,
    tolerance_s: u64,
) -> Result<(), Unverified> {
    let header = headers.get(HEADER).ok_or(Unverified::Missing(HEADER))?;
    let malformed = || Unverified::Malformed(HEADER);
    let text = header.to_str().map_err(|_| malformed())?;
    let mut timestamp = None;
    let mut given = Vec::new();
    for part in text.split(',') {
        match part.trim().split_once('=').ok_or_else(malformed)? {
            ("t", seconds) if timestamp.is_none() => timestamp = Some(seconds),
            ("t", _) => return Err(malformed()),
            ("v1", signature) => given.extend(from_hex(signature)),
            _ => {} // v0 is of test events, and never counts
        }
    }
    let timestamp = timestamp.ok_or_else(malformed)?;
    check_time(parse_seconds(timestamp).ok_or_else(malformed)?, now_s, tolerance_s)?;
    let fits = secrets.iter().any(|secret| {
        let mac = mac(secret.0.as_bytes(), &[timestamp.as_bytes(), b".", body]);
        given.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
    });
    if fits { Ok(()) } else { Err(Unverified::Forged) }
}

/// 32 bytes, or nothing.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW_S: u64 = 1_700_000_000;

    fn secret(text: &str) -> WebhookSecret {
        WebhookSecret::new(text).expect("a secret")
    }

    fn ours() -> WebhookSecret {
        secret("whsec_a_secret_for_these_tests")
    }

    fn headers(value: impl TryInto<HeaderValue, Error: fmt::Debug>) -> HeaderMap {
        HeaderMap::from_iter([(hyper::header::HeaderName::from_static(HEADER), value.try_into().expect("a value"))])
    }

    #[track_caller]
    fn check(header: &str, expected: Result<(), Unverified>) {
        assert_eq!(verify(&[ours()], &headers(header), b"{}", NOW_S, 300), expected, "{header:?}");
    }

    /// Computed with `openssl dgst -sha256 -hmac` over `1700000000.{}`.
    #[test]
    fn signs_as_openssl_does() {
        let expected = "t=1700000000,v1=7c74b6adfbced23e34767d08757cd3e9b3256ea86d85cc0510a44cb09c5eda84";
        assert_eq!(sign(&[ours()], NOW_S, b"{}"), expected);
    }

    #[test]
    fn a_secret_can_be_rolled() {
        let (old, new) = (ours(), secret("whsec_the_next_secret_of_all"));
        let both = headers(sign(&[new.clone(), old.clone()], NOW_S, b"{}"));
        assert_eq!(verify(std::slice::from_ref(&old), &both, b"{}", NOW_S, 300), Ok(()));
        assert_eq!(verify(std::slice::from_ref(&new), &both, b"{}", NOW_S, 300), Ok(()));
        let by_old = headers(sign(std::slice::from_ref(&old), NOW_S, b"{}"));
        assert_eq!(verify(&[new, old], &by_old, b"{}", NOW_S, 300), Ok(()));
    }

    #[test]
    fn malformed_headers_are_told_from_forged_ones() {
        let good = sign(&[ours()], NOW_S, b"{}");
        let good = good.to_str().expect("ASCII");
        let signature = good.split_once("v1=").expect("a signature").1;
        check(good, Ok(()));
        check(&format!("{good},v0=1234,v2=x"), Ok(()));
        check(&format!("v1={signature},t={NOW_S}"), Ok(()));
        check(&format!("t={NOW_S},v1=zz,v1={signature}"), Ok(()));
        check("", Err(Unverified::Malformed(HEADER)));
        check("t", Err(Unverified::Malformed(HEADER)));
        check(&format!("v1={signature}"), Err(Unverified::Malformed(HEADER)));
        check(&format!("t=-1,v1={signature}"), Err(Unverified::Malformed(HEADER)));
        check(&format!("t={NOW_S},t={NOW_S},v1={signature}"), Err(Unverified::Malformed(HEADER)));
        check(&format!("t={NOW_S}"), Err(Unverified::Forged));
        check(&format!("t={NOW_S},v0={signature}"), Err(Unverified::Forged));
        check(&format!("t={NOW_S},v1={}", &signature[..62]), Err(Unverified::Forged));
        check(&format!("t={NOW_S},v1={}", "0".repeat(64)), Err(Unverified::Forged));
        check(&format!("t={},v1={signature}", NOW_S - 1), Err(Unverified::Forged));
        check(&format!("t={},v1={signature}", NOW_S - 301), Err(Unverified::Stale { age_s: 301, tolerance_s: 300 }));
        check(&format!("t={},v1={signature}", NOW_S + 301), Err(Unverified::Early { ahead_s: 301, tolerance_s: 300 }));
        assert_eq!(verify(&[ours()], &HeaderMap::new(), b"{}", NOW_S, 300), Err(Unverified::Missing(HEADER)));
        assert_eq!(verify(&[], &headers(good), b"{}", NOW_S, 300), Err(Unverified::Forged));
    }

    #[test]
    fn secrets_are_read_and_not_shown() {
        assert_eq!(WebhookSecret::new("sk_live_1234567890123456"), Err(WebhookSecretError));
        assert_eq!(WebhookSecret::new("whsec_short"), Err(WebhookSecretError));
        assert!(!format!("{:?}", ours()).contains("secret_for"));
    }

    proptest! {
        #[test]
        fn one_changed_bit_is_noticed(body in proptest::collection::vec(any::<u8>(), 1..200), at: prop::sample::Index, bit in 0..8_u8) {
            let header = headers(sign(&[ours()], NOW_S, &body));
            prop_assert_eq!(verify(&[ours()], &header, &body, NOW_S, 300), Ok(()));
            let mut changed = body.clone();
            let at = at.index(changed.len());
            changed[at] ^= 1 << bit;
            prop_assert_eq!(verify(&[ours()], &header, &changed, NOW_S, 300), Err(Unverified::Forged));
        }

        #[test]
        fn no_header_panics(text in "[tv01=,a-f0-9é \\-]{0,120}") {
            if let Ok(value) = HeaderValue::from_str(&text) {
                let answer = verify(&[ours()], &headers(value), b"{}", NOW_S, 300);
                prop_assert!(answer.is_err());
            }
        }
    }
}
