//! The ledger's records as bytes in the log: the only bridge from rules to `wal`.
//!
//! A frame of the log is one batch: a prelude (the server's time and the batch's commonest event source), then records one after the
//! other. Every record begins with a tag and its length, so that it can be read alone, at the LSN that is its number in the ledger.
//!
//! Debits are packed by hand ([`debit`]): there are millions of them a second. Operations have a packed head, which readers that walk a
//! wallet's history need, and a `MessagePack` body ([`operation`]), save those on holds, whose bodies are packed too. Administrative records are `MessagePack` behind a version ([`admin`]).
//!
//! # Invariants
//! 1. A record read back equals the record written.
//! 2. No bytes, however damaged, make a reader panic or read outside of them: they are [`Corrupt`].
//! 3. Serialisable types exist here and at the HTTP edge only; conversion is by hand, so that a rule can change without changing bytes.

pub mod admin;
pub mod alerts;
pub mod billing;
mod bytes;
pub mod control;
pub mod debit;
mod deposit;
pub mod done;
pub mod frame;
pub mod head;
pub mod hold;
pub mod keyed;
pub mod note;
pub mod operation;
mod packed;
pub mod recurring;
pub mod refused;
pub mod snapshot;
mod special;
pub mod webhook;

pub use frame::{Record, declared_at, frame_of, is_published, opening_at, read_at, records};
pub use head::{Opening, OperationHead};

/// Bytes that are no record of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// They end too early.
    #[error("the record is cut short")]
    Truncated,
    /// A field holds what it cannot hold.
    #[error("the record's {0} is malformed")]
    Malformed(&'static str),
    /// The tag is of no known kind: damage, or a newer version's record.
    #[error("unknown record tag {0}")]
    UnknownTag(u8),
    /// A known kind in an unknown version.
    #[error("record tag {tag} has unknown version {version}")]
    UnknownVersion {
        /// The record's kind.
        tag: u8,
        /// Its version.
        version: u8,
    },
    /// There is nothing at this place of the log.
    #[error("no record can be read at this position of the log")]
    Absent,
}

#[cfg(test)]
mod billing_tests;
#[cfg(test)]
mod special_tests;
#[cfg(test)]
mod tests;
