//! Passes: what a link to the portal carries, and the cookie that it is exchanged for.
//!
//! A pass names a customer and when it ends, and is signed under a key of the data directory, so nothing is kept of it: it is good before and
//! after a restart, and a copy of the directory knows it, too. Links and cookies are signed under different keys, so neither is taken for the
//! other. Raising the epoch (`portal_epoch`) makes all that were given out before worthless at once; each customer has an epoch of its own
//! beside it, which passes name and the log keeps.
//!
//! `base64url(payload) "." base64url(mac)`, the mac being keyed BLAKE3 of the payload. The payload: version (2), end in seconds (u64), nonce (16
//! bytes), the customer's epoch (u32), customer and return address (each with its length as u16), and where to go first. Numbers are little-endian.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const VERSION: u8 = 2;
/// The longest pass that is looked at, bytes: what the longest names and addresses come to fits, and browsers keep it as a cookie.
const TEXT_MAX: usize = 3_900;
const NONCE: usize = 16;
const MAC: usize = 32;

/// What a pass says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    /// Whose portal it opens.
    pub(super) customer: String,
    /// Where the customer goes back to, if the caller said so.
    pub(super) return_url: Option<String>,
    /// Where to go first: below the portal's address.
    pub(super) target: String,
    /// The first second in which it opens nothing any more.
    pub(super) ends_s: u64,
    /// What tells it from others.
    pub(super) nonce: [u8; NONCE],
    /// How often the portal had been closed to the customer when it was made.
    pub(super) epoch: u32,
}

/// Why a pass opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is none of ours, or was changed.
    Forged,
    /// It was good once.
    Over(Box<Pass>),
    /// It would be good, had the portal not been closed to its customer.
    Closed(Box<Pass>),
}

/// What passes are used for; each has a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// In a link: it opens a session.
    Link,
    /// In a cookie: it is one.
    Session,
}

/// The keys.
pub(super) struct Keys {
    link: [u8; 32],
    session: [u8; 32],
    form: [u8; 32],
    order: [u8; 32],
}

impl Keys {
    /// Keys that follow from a secret and an epoch.
    pub(super) fn new(secret: &[u8; 32], epoch: u64) -> Keys {
        let key = |name: &str| *blake3::keyed_hash(secret, format!("{name} {epoch}").as_bytes()).as_bytes();
        // What was ordered stays ordered, whatever becomes of sessions.
        let order = *blake3::keyed_hash(secret, b"order").as_bytes();
        Keys { link: key("link"), session: key("session"), form: key("form"), order }
    }

    fn of(&self, purpose: Purpose) -> &[u8; 32] {
        match purpose {
            Purpose::Link => &self.link,
            Purpose::Session => &self.session,
        }
    }

    /// Signs a pass.
    pub(super) fn sign(&self, purpose: Purpose, pass: &Pass) -> String {
        let payload = pass.encode();
        let mac = blake3::keyed_hash(self.of(purpose), &payload);
        format!("{}.{}", URL_SAFE_NO_PAD.encode(payload), URL_SAFE_NO_PAD.encode(mac.as_bytes()))
    }

    /// Reads a pass that is ours and not over; `epoch_of` says how often the portal has been closed to a customer.
    pub(super) fn verify(
        &self,
        purpose: Purpose,
        text: &str,
        now_s: u64,
        epoch_of: impl FnOnce(&str) -> u32,
    ) -> Result<Pass, Refused> {
        let pass = self.known(purpose, text).ok_or(Refused::Forged)?;
        if now_s >= pass.ends_s {
            Err(Refused::Over(Box::new(pass)))
        } else if pass.epoch != epoch_of(&pass.customer) {
            Err(Refused::Closed(Box::new(pass)))
        } else {
            Ok(pass)
        }
    }

    fn known(&self, purpose: Purpose, text: &str) -> Option<Pass> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let (payload, mac) = text.split_once('.')?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let mac: [u8; MAC] = URL_SAFE_NO_PAD.decode(mac).ok()?.try_into().ok()?;
        // Compared in constant time: `blake3::Hash` sees to that.
        (blake3::keyed_hash(self.of(purpose), &payload) == mac).then(|| Pass::decode(&payload))?
    }

    /// What the forms of a session send back, so that no other site's can be taken for them.
    pub(super) fn form_token(&self, session: &Pass) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.form);
        hasher.update(&session.nonce).update(session.customer.as_bytes());
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// Whether a form sent back what its session's forms do.
    pub(super) fn is_form_token(&self, session: &Pass, token: &str) -> bool {
        use subtle::ConstantTimeEq;
        self.form_token(session).as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// The key of an order: the same for one form that is sent twice, and of this customer alone.
    pub(super) fn order_key(&self, customer: &str, once: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.order);
        hasher.update(&(customer.len() as u64).to_le_bytes()).update(customer.as_bytes()).update(once.as_bytes());
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Pass {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend(self.ends_s.to_le_bytes());
        out.extend(self.nonce);
        out.extend(self.epoch.to_le_bytes());
        for text in [self.customer.as_str(), self.return_url.as_deref().unwrap_or_default()] {
            // Checked when the session was asked for: 128 bytes and 2048 at most.
            out.extend((text.len() as u16).to_le_bytes());
            out.extend(text.as_bytes());
        }
        out.extend(self.target.as_bytes());
        out
    }

    fn decode(payload: &[u8]) -> Option<Pass> {
        let (version, rest) = payload.split_first()?;
        let (ends_s, rest) = rest.split_first_chunk::<8>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
        let (epoch, mut rest) = rest.split_first_chunk::<4>()?;
        let mut text = || {
            let (length, behind) = rest.split_first_chunk::<2>()?;
            let (text, behind) = behind.split_at_checked(u16::from_le_bytes(*length).into())?;
            rest = behind;
            String::from_utf8(text.to_vec()).ok()
        };
        let (customer, return_url) = (text()?, text()?);
        (*version == VERSION).then_some(Pass {
            customer,
            return_url: Some(return_url).filter(|url| !url.is_empty()),
            target: String::from_utf8(rest.to_vec()).ok()?,
            ends_s: u64::from_le_bytes(*ends_s),
            nonce: *nonce,
            epoch: u32::from_le_bytes(*epoch),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys::new(&[7; 32], 0)
    }

    fn pass() -> Pass {
        Pass {
            customer: "cus_1".to_owned(),
            return_url: Some("https://shop.example/account".to_owned()),
            target: "credits/buy".to_owned(),
            ends_s: 1_000,
            nonce: [3; NONCE],
            epoch: 5,
        }
    }

    /// Verifies where the customer's epoch is that of [`pass`].
    fn verify(keys: &Keys, purpose: Purpose, text: &str, now_s: u64) -> Result<Pass, Refused> {
        keys.verify(purpose, text, now_s, |_| 5)
    }

    #[test]
    fn a_pass_opens_what_it_says_until_it_ends() {
        let text = keys().sign(Purpose::Link, &pass());
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{text}");
        assert_eq!(verify(&keys(), Purpose::Link, &text, 999), Ok(pass()));
        assert_eq!(verify(&keys(), Purpose::Link, &text, 1_000), Err(Refused::Over(Box::new(pass()))));
        let bare = Pass { return_url: None, target: String::new(), ..pass() };
        assert_eq!(verify(&keys(), Purpose::Link, &keys().sign(Purpose::Link, &bare), 0), Ok(bare));
    }

    #[test]
    fn a_pass_of_before_the_portal_was_closed_to_its_customer_opens_nothing() {
        let text = keys().sign(Purpose::Session, &pass());
        let of = |epoch: u32| {
            keys().verify(Purpose::Session, &text, 0, |customer| if customer == "cus_1" { epoch } else { 5 })
        };
        assert_eq!((of(5), of(6)), (Ok(pass()), Err(Refused::Closed(Box::new(pass())))));
        // One of a data directory's past, as after a restore, is not of the present either.
        assert_eq!(of(4), Err(Refused::Closed(Box::new(pass()))));
    }

    #[test]
    fn links_are_no_cookies_and_other_keys_open_nothing() {
        let text = keys().sign(Purpose::Link, &pass());
        assert_eq!(verify(&keys(), Purpose::Session, &text, 0), Err(Refused::Forged));
        for others in [Keys::new(&[8; 32], 0), Keys::new(&[7; 32], 1)] {
            assert_eq!(verify(&others, Purpose::Link, &text, 0), Err(Refused::Forged));
        }
    }

    #[test]
    fn the_longest_pass_is_taken() {
        let long = Pass { customer: "c".repeat(128), return_url: Some("u".repeat(2_048)), ..pass() };
        let long = Pass { target: "x".repeat(64 * 3 + 10), ..long };
        let text = keys().sign(Purpose::Session, &long);
        assert_eq!(verify(&keys(), Purpose::Session, &text, 0), Ok(long), "{} bytes", text.len());
    }

    #[test]
    fn forms_and_orders_are_of_one_session_and_one_customer() {
        let (keys, other) = (keys(), Pass { nonce: [4; NONCE], ..pass() });
        let token = keys.form_token(&pass());
        assert!(keys.is_form_token(&pass(), &token));
        assert!(!keys.is_form_token(&other, &token) && !keys.is_form_token(&pass(), ""));
        assert_ne!(token, keys.form_token(&Pass { customer: "cus_2".to_owned(), ..pass() }));
        assert_ne!(keys.order_key("a", "bc"), keys.order_key("ab", "c"));
        assert_eq!(keys.order_key("a", "bc"), Keys::new(&[7; 32], 9).order_key("a", "bc"));
    }

    proptest! {
        #[test]
        fn whatever_is_changed_of_a_pass_it_opens_nothing(place in any::<prop::sample::Index>(), with in "[A-Za-z0-9_.-]") {
            let text = keys().sign(Purpose::Link, &pass());
            let place = place.index(text.len());
            let mut changed = text.clone();
            changed.replace_range(place..=place, &with);
            let outcome = verify(&keys(), Purpose::Link, &changed, 0);
            prop_assert_eq!(outcome.is_ok(), changed == text);
        }

        #[test]
        fn any_text_and_any_payload_is_read(text in ".{0,200}", payload in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(verify(&keys(), Purpose::Session, &text, 0), Err(Refused::Forged));
            if let Some(pass) = Pass::decode(&payload) {
                prop_assert_eq!(Pass::decode(&pass.encode()), Some(pass));
            }
        }
    }
}
