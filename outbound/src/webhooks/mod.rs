//! Webhooks, as [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md) has them.
//!
//! A message has an identity that stays the same over all attempts, the time of the attempt, and a body; all three are
//! signed, by every secret of the endpoint. [`deliver`] makes one attempt and tells what happened; [`Schedule`] says when the next is
//! due. What is kept of messages and endpoints, and in which order they go, is up to the caller.

mod delivery;
mod retry_after;
mod schedule;
mod secret;
mod signature;

pub use delivery::{Attempt, DeliverError, Delivery, EXCERPT_BYTES, Verdict, deliver};
pub use retry_after::retry_after_s;
pub use schedule::{Next, RETRY_AFTER_S_MAX, Schedule};
pub use secret::{Secret, SecretError};
pub use signature::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, SignError, Unverified, Verified, sign, verify};

pub(crate) use delivery::excerpt;
pub(crate) use schedule::mix;
pub(crate) use signature::{check_time, mac, parse_seconds};
