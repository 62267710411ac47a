//! Holds: credits set aside in wallets, captured, released and looked up.
//!
//! A hold is declared first, in a record that holds all that never changes about it, and takes effect with the operation that names it; the
//! declarations of a batch stand in one frame. As with grants, the declaration's LSN *is* the hold's number. A caller's id is remembered as
//! the identity of the declaration, as events' identities are, for the idempotency window; a hold without one is known by a text that says
//! where its declaration and its wallet are, with a keyed check, so that none can be made up. No hold outlives the window, counted from when
//! it was made, so one that is open is found by its caller's id. What a request with a key brought about is found by that: `keyed`.
//!
//! What a wallet's terms do not know any more, the wallet's records do: how a hold ended is read from the newest that names it.

mod batch;
mod capture;
mod find;
mod keyed;
mod requests;
mod work;

pub use find::{HoldCursor, HoldOwners};
pub use requests::{
    CaptureOutcome, CaptureRequest, Captured, HoldEnd, HoldOutcome, HoldRequest, HoldState, HoldStatus, HoldView,
    Standing,
};

use super::view::HoldRef;
use super::{Engine, Inner};
use crate::journal::hold::HoldRecord;
use crate::ledger::{Amount, Capture, HoldId};
use crate::store::hash::Seed;

/// Separates the fingerprints of holds' ids from those of events and grants' keys.
const ID_DOMAIN: u8 = 3;
/// Separates the checks in holds' texts from other hashes.
const TEXT_DOMAIN: u8 = 4;

/// What the texts of holds begin with that have no id of their caller's.
const PREFIX: &str = "hld_";

impl Engine {
    /// The text by which clients know a hold. One with its caller's id whose declaration was retired has the text of a hold without one.
    pub fn hold_text(&self, hold: HoldRef) -> String {
        self.inner.hold_text(hold.id, hold.slot)
    }

    /// As [`Engine::hold_text`], of a hold whose caller gave no id.
    pub fn made_hold_text(&self, state: &HoldState) -> String {
        self.inner.made_text(state.id, state.slot)
    }
}

impl Inner {
    /// See [`Engine::hold_text`]; `slot` is the wallet's.
    pub(super) fn hold_text(&self, id: HoldId, slot: u32) -> String {
        match self.declaration_of(id) {
            Ok(Some(record)) => self.text_of(id, &record),
            Ok(None) | Err(_) => self.made_text(id, slot),
        }
    }

    fn text_of(&self, id: HoldId, record: &HoldRecord) -> String {
        keyed::callers_id(record).map_or_else(|| self.made_text(id, record.slot), str::to_owned)
    }

    /// The text of a hold whose caller gave none.
    pub(super) fn made_text(&self, id: HoldId, slot: u32) -> String {
        let mut text = String::with_capacity(PREFIX.len() + 32);
        text.push_str(PREFIX);
        push_hex(id.get(), 12, &mut text);
        push_hex(slot.into(), 8, &mut text);
        push_hex(self.hold_check(id, slot).into(), 8, &mut text);
        text
    }

    fn hold_check(&self, id: HoldId, slot: u32) -> u32 {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&id.get().to_le_bytes());
        bytes[8..].copy_from_slice(&slot.to_le_bytes());
        self.seed.key_fingerprint(TEXT_DOMAIN, &bytes) as u32
    }
}

/// An open hold after a capture that the rules allow.
fn after_capture(mut state: HoldState, capture: &Capture, is_final: bool) -> HoldState {
    let Capture { within, beyond, .. } = *capture;
    let sum = |one: Amount, other: Amount| one.checked_add(other).unwrap_or(Amount::MAX);
    state.captured = sum(sum(state.captured, within), beyond);
    state.remaining = state.remaining.checked_sub(within).unwrap_or(Amount::ZERO);
    if state.remaining == Amount::ZERO || is_final {
        let is_release = within == Amount::ZERO && beyond == Amount::ZERO;
        state.status = if is_release { HoldStatus::Released } else { HoldStatus::Captured };
        state.released = std::mem::take(&mut state.remaining);
    }
    state
}

/// Appends a number in lower-case hexadecimal digits, with zeros before it up to a width.
fn push_hex(number: u64, width: u32, text: &mut String) {
    let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(width);
    for place in (0..digits).rev() {
        text.push(char::from(b"0123456789abcdef"[(number >> (4 * place)) as usize & 15]));
    }
}

/// The fingerprint by which a caller's id of a hold is remembered.
pub(super) fn hold_fingerprint(seed: &Seed, id: &str) -> u64 {
    seed.key_fingerprint(ID_DOMAIN, id.as_bytes())
}
