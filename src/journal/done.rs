//! The record that a request which came under a key was carried out. It stands in the frame of what it brought about, so that both are there
//! after a crash or neither is; by it the repeat finds that nothing is left to do.
//!
//! It is for what has no key or id of its own that would tell so: a payment method that was made the default, and may have been deposed since.

use super::Corrupt;
use super::control::Blob;
use serde::{Deserialize, Serialize};

/// A request was carried out. Its identity is `request`, for as long as the idempotency window reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoneRecord {
    /// Half a digest of who sent it under which key.
    pub request: [u8; 16],
    /// Half a digest of what was asked: method, path and body.
    pub asked: [u8; 16],
    /// What was done.
    pub deed: Deed,
    /// The id of what it was done to, or of what was made.
    pub of: String,
    /// The nonce under which the secret was sealed that was made.
    pub secret: Option<[u8; 12]>,
}

/// What was done. The numbers are those of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Deed {
    /// A payment method was made the default.
    MethodDefaulted = 1,
    /// A top-up was called off.
    TopUpCanceled = 2,
    /// An automatic rule was let go on; `of` is the customer, a line feed and the currency.
    RuleResumed = 3,
    /// A webhook endpoint was made.
    EndpointMade = 4,
    /// A webhook endpoint was given another secret.
    SecretRotated = 5,
    /// A webhook endpoint was sent a test event.
    EndpointTested = 6,
    /// A delivery was asked for again.
    Redelivered = 7,
}

impl Deed {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Deed::MethodDefaulted,
        Deed::TopUpCanceled,
        Deed::RuleResumed,
        Deed::EndpointMade,
        Deed::SecretRotated,
        Deed::EndpointTested,
        Deed::Redelivered,
    ];

    /// Its name, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Deed::MethodDefaulted => "method_defaulted",
            Deed::TopUpCanceled => "top_up_canceled",
            Deed::RuleResumed => "rule_resumed",
            Deed::EndpointMade => "endpoint_made",
            Deed::SecretRotated => "secret_rotated",
            Deed::EndpointTested => "endpoint_tested",
            Deed::Redelivered => "redelivered",
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireDone {
    request: Blob,
    asked: Blob,
    deed: u8,
    of: String,
    secret: Option<Blob>,
}

impl From<&DoneRecord> for WireDone {
    fn from(done: &DoneRecord) -> Self {
        WireDone {
            request: Blob(done.request.to_vec()),
            asked: Blob(done.asked.to_vec()),
            deed: done.deed as u8,
            of: done.of.clone(),
            secret: done.secret.map(|nonce| Blob(nonce.to_vec())),
        }
    }
}

impl TryFrom<WireDone> for DoneRecord {
    type Error = Corrupt;

    fn try_from(wire: WireDone) -> Result<Self, Corrupt> {
        let deed = Deed::ALL.into_iter().find(|deed| *deed as u8 == wire.deed);
        Ok(DoneRecord {
            request: wire.request.array("request")?,
            asked: wire.asked.array("asked")?,
            deed: deed.ok_or(Corrupt::Malformed("deed"))?,
            of: wire.of,
            secret: wire.secret.map(|nonce| nonce.array("secret")).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{admin_survives, hex, placed_admin};
    use super::*;
    use crate::journal::admin::AdminRecord;

    #[test]
    fn what_was_done_survives_and_its_bytes_are_pinned() {
        let done = |deed, of: &str, secret| {
            AdminRecord::Done(DoneRecord { request: [1; 16], asked: [2; 16], deed, of: of.to_owned(), secret })
        };
        for deed in Deed::ALL {
            admin_survives(&done(deed, &"c".repeat(300), None));
        }
        let record = done(Deed::SecretRotated, "we_0123456789abcdef", Some([3; 12]));
        admin_survives(&record);
        assert_eq!(hex(&placed_admin(&record)), GOLDEN);
    }

    const GOLDEN: &str = "\
        42510000090000000195c41001010101010101010101010101010101c4100202020202020202020202020202020205b377655f\
        30313233343536373839616263646566c40c030303030303030303030303";
}
