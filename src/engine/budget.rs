//! The share of the log that a thread was admitted to, spent without ever waiting.
//!
//! Nothing between a reservation and its publication may block: a thread that holds a place in the log and waits for the disk waits for
//! itself. So a batch is admitted with all that it may need before it reserves anything, and counts down from there. Who runs out
//! finishes what it holds and comes back with a larger admission.

use drawdown_wal::{Admission, FrameMut, frame_bytes};

/// Log bytes that a thread may still reserve.
#[derive(Debug)]
pub(super) struct Budget<'a>(pub(super) Admission<'a>);

impl<'a> Budget<'a> {
    /// Log bytes that a frame with `payload` bytes takes.
    pub(super) fn frame_bytes(payload: usize) -> u64 {
        frame_bytes(payload as u64)
    }

    /// Whether `bytes` are left.
    pub(super) fn covers(&self, bytes: u64) -> bool {
        self.0.left() >= bytes
    }

    /// Reserves a frame, or nothing if the budget does not cover it.
    pub(super) fn reserve(&self, kind: u8, payload: usize) -> Option<FrameMut<'a>> {
        self.reserve_beside(0, kind, payload)
    }

    /// As [`Budget::reserve`], so that `keep` bytes are left.
    pub(super) fn reserve_beside(&self, keep: u64, kind: u8, payload: usize) -> Option<FrameMut<'a>> {
        self.covers(Self::frame_bytes(payload) + keep).then(|| self.0.reserve(kind, payload))
    }
}
