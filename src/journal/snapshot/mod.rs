//! Snapshots as bytes: what a fold of the log up to some position knows, in one file. Drawn in `docs/snapshot-format.md`.
//!
//! A file is a header, blocks of entries, a directory of the blocks, and a footer. Each block belongs to a section and holds entries of
//! one kind, in rising order of their keys; the directory has its place, the key of its first entry and the BLAKE3 digest of its bytes; the
//! footer has the digest of header and directory. So every byte is vouched for, blocks can be read and checked by several threads at once
//! or one at a time, and a file is written from front to back.
//!
//! [`mod@file`] owns the container, [`entry`] what stands in the sections, [`check`] looks at every byte.

pub mod check;
pub mod entry;
pub mod file;
mod riders;

#[cfg(test)]
mod tests;

use crate::ledger::Timestamp;
use drawdown_wal::Lsn;

/// The extension of snapshots' names.
pub const EXTENSION: &str = "snapshot";

/// The name of a snapshot at `lsn`.
pub fn file_name(lsn: Lsn) -> String {
    format!("{:016x}.{EXTENSION}", lsn.get())
}

/// The position that a file's name says it is of.
pub fn lsn_of(name: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    u64::from_str_radix(digits, 16).ok().map(Lsn::new).filter(|lsn| file_name(*lsn) == name)
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Section {
    /// Genesis, currencies, meters and API keys, as administrative records.
    Records = 1,
    /// Wallets, by slot.
    Wallets = 2,
    /// Wallets' metadata, as administrative records, by slot.
    Metadata = 3,
    /// Debits of generations that are not opened yet, by slot.
    Unopened = 4,
    /// Records whose predecessor is not the chain's head yet, by slot.
    Unattached = 5,
    /// Grants that were declared and have not taken effect, by number.
    Pending = 6,
    /// What recoveries have mended.
    Repairs = 7,
    /// Ends of minutes, as positions of the log.
    Marks = 8,
    /// Identities within the idempotency window, by fingerprint: those recorded at [`Sums::identities_from`] or behind.
    Identities = 9,
    /// Declarations of grants that wallets hold or that have not taken effect, by number.
    Grants = 10,
    /// Recurring grants, by slot.
    Recurring = 11,
    /// Customers, as administrative records, by id; keys are their places.
    Customers = 12,
    /// What there is of money in, as administrative records, by their keys; keys here are their places.
    Billing = 13,
    /// Webhook endpoints and what is not delivered to them, as administrative records; keys are their places.
    Webhooks = 14,
}

impl Section {
    /// All of them.
    pub const ALL: [Section; 14] = [
        Section::Records,
        Section::Wallets,
        Section::Metadata,
        Section::Unopened,
        Section::Unattached,
        Section::Pending,
        Section::Repairs,
        Section::Marks,
        Section::Identities,
        Section::Grants,
        Section::Recurring,
        Section::Customers,
        Section::Billing,
        Section::Webhooks,
    ];
}

/// What is known of a snapshot when its writing begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Identity of the log.
    pub log_id: [u8; 16],
    /// Everything below is folded into the snapshot.
    pub lsn: Lsn,
    /// The head of a chain of hashes over the log up to `lsn`; zeroes where none is kept.
    pub chain: [u8; 32],
}

/// What is known when its writing ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// The log was durable up to here: a log that ends before has lost something.
    pub durable: Lsn,
    /// The latest server's time in the log below the snapshot's position.
    pub latest: Timestamp,
    /// Identities recorded at this instant or later are all there; the epoch if those recorded before are, too.
    pub remembered_since: Timestamp,
    /// When the snapshot was made.
    pub made: Timestamp,
    /// Wallets.
    pub wallets: u64,
    /// Slots: the highest wallet's and one.
    pub slots: u64,
    /// Identities in it.
    pub identities: u64,
    /// Identities recorded below this position are not in it: files of their own hold them, and the log does.
    pub identities_from: u64,
    /// Declarations of grants.
    pub grants: u64,
    /// The run of the log that wrote the last frame below the snapshot's position.
    pub run: u32,
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The system does not give the bytes.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// The bytes are not those that were written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It is of another version.
    #[error("it is of version {0}, which this program does not know")]
    Version(u32),
    /// It does not go with the log.
    #[error("it does not go with the log: {0}")]
    Foreign(&'static str),
}

impl From<super::Corrupt> for SnapshotError {
    fn from(_: super::Corrupt) -> Self {
        SnapshotError::Damaged("an entry makes no sense")
    }
}
