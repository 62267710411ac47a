//! The secret that sender and receiver of webhooks share.

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::fmt;
use std::str::FromStr;

/// Standard base64; padding is written, and not asked for.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const PREFIX: &str = "whsec_";

/// 24 to 64 random bytes. Shown as `whsec_` and base64, by [`Secret::expose`] only: `Debug` keeps it to itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

/// What cannot be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Shorter than 24 bytes or longer than 64.
    #[error("a webhook secret has 24 to 64 bytes, this has {0}")]
    Length(usize),
    /// Not `whsec_` and base64.
    #[error("a webhook secret is written whsec_ and base64")]
    Malformed,
}

impl Secret {
    /// A secret of bytes that the caller drew.
    pub fn new(bytes: &[u8]) -> Result<Self, SecretError> {
        if (24..=64).contains(&bytes.len()) { Ok(Secret(bytes.into())) } else { Err(SecretError::Length(bytes.len())) }
    }

    /// Its written form, for the one who may see it.
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", BASE64.encode(&self.0))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError::Malformed)?;
        Secret::new(&BASE64.decode(encoded).map_err(|_| SecretError::Malformed)?)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(whsec_…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_and_forms_outside_the_rule_are_refused() {
        assert_eq!(Secret::new(&[1; 23]), Err(SecretError::Length(23)));
        assert_eq!(Secret::new(&[1; 65]), Err(SecretError::Length(65)));
        assert_eq!("C2FtcGxl".parse::<Secret>(), Err(SecretError::Malformed));
        assert_eq!("whsec_!!!!".parse::<Secret>(), Err(SecretError::Malformed));
        assert_eq!("whsec_".parse::<Secret>(), Err(SecretError::Length(0)));
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        let secret = Secret::new(b"0123456789abcdef01234567").expect("24 bytes");
        assert!(!format!("{secret:?}").contains("MDEy"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in proptest::collection::vec(any::<u8>(), 24..=64)) {
            let secret = Secret::new(&bytes).expect("a length within the rule");
            let written = secret.expose();
            prop_assert_eq!(written.parse::<Secret>().expect("its own form"), secret.clone());
            prop_assert_eq!(written.trim_end_matches('=').parse::<Secret>().expect("without padding"), secret);
        }
    }
}
