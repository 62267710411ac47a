//! Names of things at a provider, and the caller's own keys.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What the caller calls a charge, a refund, a checkout or a customer: 1 to 200 letters, digits, `_`, `-`, `:` and `.`. The same key is
/// the same thing, for ever. (Stripe takes 255 bytes; the adapters add a suffix of their own.)
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

/// Not a [`Key`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key has 1 to 200 letters, digits, '_', '-', ':' or '.'")]
pub struct KeyError;

impl Key {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for Key {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-:.".contains(&byte));
        if (1..=200).contains(&text.len()) && fits { Ok(Key(text)) } else { Err(KeyError) }
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! reference {
    ($($(#[$doc:meta])* $name:ident;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// As the provider writes it.
            pub fn new(text: impl Into<String>) -> Self {
                $name(text.into())
            }

            /// Its text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )* };
}

reference! {
    /// A customer at the provider.
    CustomerRef;
    /// A saved payment method at the provider.
    MethodRef;
    /// A charge at the provider; at Stripe, the payment intent.
    ChargeRef;
    /// A hosted page for one payment.
    CheckoutRef;
    /// An attempt to collect a payment method; at Stripe, a setup intent or a checkout session in setup mode.
    SetupRef;
    /// A refund at the provider.
    RefundRef;
    /// A dispute at the provider.
    DisputeRef;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fit_into_a_header() {
        for good in ["a", "top_up:0190-7f", "12.5", &"k".repeat(200)] {
            assert!(good.parse::<Key>().is_ok(), "{good:?}");
        }
        for wrong in ["", " ", "a b", "ä", "a\n", "a/b", &"k".repeat(201)] {
            assert_eq!(wrong.parse::<Key>(), Err(KeyError), "{wrong:?}");
        }
    }
}
