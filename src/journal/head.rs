//! The head of an operation's record, read alone: what a walk over a wallet's generations needs of each.
//!
//! The bytes are those of [`super::operation`], which owns them; the body behind the head is not looked at.

use super::Corrupt;
use super::bytes::Fields;
use super::frame::PREFIX;
use crate::ledger::{Amount, Timestamp};

/// How a wallet's generation began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// By an operation.
    Operation(OperationHead),
    /// By the wallet's making: its first.
    Making {
        /// The wallet.
        slot: u32,
    },
}

/// The fixed part of an operation's record; the fields are those of [`super::operation::OperationRecord`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationHead {
    /// The wallet.
    pub slot: u32,
    /// The low half of the number of the generation that it opened.
    pub generation: u32,
    /// The balance at which the old generation closed.
    pub closing: Amount,
    /// The balance at which the new one opened.
    pub opening: Amount,
    /// LSN of the wallet's record before this one, 0 for none.
    pub previous: u64,
    /// LSN of the record that opened the old generation.
    pub previous_opening: u64,
    /// The server's time, at which the rules were applied.
    pub time: Timestamp,
    /// Available credit less balance in the new generation.
    pub adjustment: i64,
}

impl OperationHead {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut fields = Fields(bytes);
        fields.take(PREFIX + 4)?;
        let slot = fields.u32()?;
        let generation = fields.u32()?;
        let closing = Amount::new(fields.i64()?);
        let opening = Amount::new(fields.i64()?);
        let previous = fields.u64()?;
        let previous_opening = fields.u64()?;
        let time = Timestamp::from_millis(fields.u64()?);
        // Versions differ in what lies behind the head.
        fields.u8()?;
        let adjustment = fields.i64()?;
        Ok(OperationHead { slot, generation, closing, opening, previous, previous_opening, time, adjustment })
    }
}
