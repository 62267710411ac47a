//! Requests about holds that are carried out once: what they brought about is found by their key, and answered again from its record.
//!
//! A hold without an id of its caller's is declared under one made of the key, which nobody is shown. The operations that capture, release
//! and extend holds carry the key in their records (`crate::journal::keyed`), with the hold as they found it. So the first answer can be
//! given again although the hold has changed since, has ended, or is known to nobody any more.

use super::requests::{CaptureOutcome, CaptureRequest, Captured, HoldEnd, HoldState, HoldStatus, HoldView, Standing};
use super::{PREFIX, after_capture};
use crate::engine::Inner;
use crate::engine::identity::keyed_fingerprint;
use crate::engine::once::{EFFECT_PREFIX, RequestKey, not_done, other_content};
use crate::engine::view::CommandError;
use crate::journal::Record;
use crate::journal::hold::HoldRecord;
use crate::journal::keyed::{Keyed, OperationKey};
use crate::ledger::{Amount, HoldId, OpenHold, Operation, Taken, Timestamp, decide_capture};
use crate::store::pin;
use drawdown_wal::Lsn;
use std::sync::Arc;

impl RequestKey {
    /// The id of the hold that the request makes at this place of it.
    pub(super) fn hold_id(&self, place: usize) -> String {
        format!("{EFFECT_PREFIX}{:032x}/{place}", u128::from_be_bytes(self.digest))
    }

    /// The key of the operation that the request asks for at this place of it.
    pub(super) fn operation(&self, place: usize) -> OperationKey {
        OperationKey { request: self.digest, place: u32::try_from(place).expect("a request has fewer members") }
    }
}

/// Whether an id was made of a key.
pub(super) fn is_effect_id(id: &str) -> bool {
    let Some((digest, place)) = id.strip_prefix(EFFECT_PREFIX).and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let is_hex = digest.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    digest.len() == 32 && is_hex && !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_digit())
}

/// The id that a hold's caller gave.
pub(super) fn callers_id(record: &HoldRecord) -> Option<&str> {
    record.id.as_deref().filter(|id| !is_effect_id(id))
}

/// What is written of an open hold that an operation under a key is about to change.
pub(super) fn keyed(key: OperationKey, asked: Amount, hold: &OpenHold, declared: &HoldRecord) -> Keyed {
    let open = HoldState::open(0, hold);
    Keyed {
        key,
        asked,
        amount: open.amount,
        captured: open.captured,
        released: Amount::ZERO,
        expires_at: open.expires_at,
        created_at: declared.created_at,
        on_exceed: open.on_exceed,
    }
}

/// An operation that was carried out under a key, as its record says.
struct Earlier {
    lsn: u64,
    slot: u32,
    time: Timestamp,
    operation: Operation,
    taken: Taken,
    opening: Amount,
    available: Amount,
    keyed: Keyed,
}

impl Inner {
    /// Enters an operation that was carried out under a key.
    pub(super) fn remember_keyed(&self, key: &OperationKey, entry: Lsn) {
        self.idempotency.insert_replayed(keyed_fingerprint(&self.seed, key), entry.get(), &pin());
    }

    /// The outcome of the capture that was made under a key, or why there is none and none is made; `None` if it is to be made.
    pub(super) fn earlier_capture(
        &self,
        request: &CaptureRequest<'_>,
        once: RequestKey,
        place: usize,
    ) -> Option<CaptureOutcome> {
        match self.earlier(once, place) {
            Ok(earlier) => earlier.map(|earlier| self.captured_before(&earlier, request)),
            Err(error) => Some(Err(error)),
        }
    }

    fn captured_before(&self, earlier: &Earlier, request: &CaptureRequest<'_>) -> CaptureOutcome {
        let scale = self.scale_of(earlier.slot);
        let asked = Amount::from_decimal(request.amount, scale).ok();
        let is_same = asked == Some(earlier.keyed.asked) && self.is_named(earlier, request.hold)?;
        let found = earlier.found();
        let (state, capped, is_late) = match earlier.operation {
            Operation::Capture { amount, is_final, .. } if is_same && is_final == request.is_final => {
                let capture = decide_capture(found.remaining, found.on_exceed, amount, is_final)?;
                (after_capture(found, &capture, is_final), Amount::ZERO, false)
            }
            Operation::LateCapture { amount: wanted, .. } if is_same => {
                let captured = found.captured.checked_add(earlier.taken.amount).unwrap_or(Amount::MAX);
                let released = earlier.keyed.released;
                let remaining = Amount::ZERO;
                let state = HoldState { status: HoldStatus::Expired, captured, released, remaining, ..found };
                (state, earlier.keyed.asked.checked_sub(wanted).unwrap_or(Amount::ZERO), true)
            }
            _ => return Err(other_content()),
        };
        Ok(Captured {
            state,
            standing: Standing { balance: earlier.opening, available: earlier.available, scale },
            amount: earlier.taken.amount,
            shortfall: earlier.taken.shortfall.checked_add(capped).unwrap_or(Amount::MAX),
            overdraft: earlier.taken.overdraft,
            is_late,
            entry: Some(Lsn::new(earlier.lsn)),
        })
    }

    /// The hold as it was when it had been released under this key.
    pub(super) fn earlier_release(&self, text: &str, once: RequestKey) -> Result<Option<HoldView>, CommandError> {
        let Some(earlier) = self.earlier(once, 0)? else { return Ok(None) };
        if !matches!(earlier.operation, Operation::Release { .. }) || !self.is_named(&earlier, text)? {
            return Err(other_content());
        }
        let found = earlier.found();
        let (status, remaining, released) = (HoldStatus::Released, Amount::ZERO, found.remaining);
        self.view_before(text, &earlier, HoldState { status, remaining, released, ..found }).map(Some)
    }

    /// The hold as it was when it had been extended under this key.
    pub(super) fn earlier_extension(
        &self,
        text: &str,
        end: HoldEnd,
        once: RequestKey,
    ) -> Result<Option<HoldView>, CommandError> {
        let Some(earlier) = self.earlier(once, 0)? else { return Ok(None) };
        match earlier.operation {
            Operation::ExtendHold { expires_at, .. }
                if end.from(earlier.time) == expires_at && self.is_named(&earlier, text)? =>
            {
                let state = HoldState { expires_at, ..earlier.found() };
                self.view_before(text, &earlier, state).map(Some)
            }
            _ => Err(other_content()),
        }
    }

    fn view_before(&self, text: &str, earlier: &Earlier, state: HoldState) -> Result<HoldView, CommandError> {
        let missing = || CommandError::NotFound { what: "hold" };
        let name = self.names.get(earlier.slot).ok_or_else(missing)?;
        let catalog = self.catalog.snapshot();
        let currency = catalog.currency_by_number(name.currency).ok_or_else(missing)?;
        Ok(HoldView {
            text: text.to_owned(),
            customer: name.customer.to_owned(),
            currency: Arc::clone(currency),
            created_at: earlier.keyed.created_at,
            state,
        })
    }

    /// Whether a client's text means the hold of an operation. If its declaration is gone, nobody can tell any more.
    fn is_named(&self, earlier: &Earlier, text: &str) -> Result<bool, CommandError> {
        let Some(id) = earlier.operation.hold() else { return Ok(false) };
        if text.starts_with(PREFIX) {
            return Ok(text == self.made_text(id, earlier.slot));
        }
        let declared = self.declaration_of(id)?;
        Ok(declared.is_none_or(|record| callers_id(&record) == Some(text)))
    }

    /// The operation that was carried out for this part of a request, if one was.
    fn earlier(&self, once: RequestKey, place: usize) -> Result<Option<Earlier>, CommandError> {
        let key = once.operation(place);
        let fingerprint = keyed_fingerprint(&self.seed, &key);
        let found = self.find_identity(fingerprint, |lsn, record| Ok(earlier_of(lsn, record, &key)))?;
        match found {
            None if once.is_replay => Err(not_done()),
            found => Ok(found),
        }
    }
}

/// The operation that the record at `lsn` carried out under this key, if it did one.
fn earlier_of(lsn: u64, record: Record<'_>, key: &OperationKey) -> Option<Earlier> {
    let Record::Operation(record) = record else { return None };
    let record = *record;
    let keyed = record.body.keyed.filter(|keyed| keyed.key == *key && !record.body.rejected)?;
    Some(Earlier {
        lsn,
        slot: record.slot,
        time: record.time,
        operation: record.body.operation,
        taken: record.body.taken,
        opening: record.opening,
        available: Amount::new(record.opening.units().saturating_add(record.adjustment)),
        keyed: *keyed,
    })
}

impl Earlier {
    /// The hold as the operation found it, if it was open.
    fn found(&self) -> HoldState {
        let Keyed { amount, captured, released, expires_at, on_exceed, .. } = self.keyed;
        HoldState {
            id: self.operation.hold().unwrap_or(HoldId::new(0)),
            slot: self.slot,
            status: HoldStatus::Open,
            amount,
            captured,
            remaining: amount.checked_sub(captured).unwrap_or(Amount::ZERO),
            released,
            expires_at,
            on_exceed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_made_of_keys_are_told_from_callers_ids() {
        let key = RequestKey { digest: [0xa5; 16], asked: [0; 16], is_replay: false };
        assert!(is_effect_id(&key.hold_id(0)) && is_effect_id(&key.hold_id(99_999)));
        assert_ne!(key.hold_id(1), key.hold_id(2));
        let mut other = key;
        other.digest[15] = 0;
        assert_ne!(key.hold_id(1), other.hold_id(1));
        for id in [
            "",
            "idk:",
            "idk:a5/1",
            "idk:a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5",
            "idk:a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5/",
            "idk:A5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5/1",
            "idk:a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5/1x",
            "hold-1",
        ] {
            assert!(!is_effect_id(id), "{id}");
        }
    }
}
