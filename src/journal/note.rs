//! What was said about a correction, beside what it does to the wallet: who asked for it under which key, and why.

use crate::catalog::Metadata;
use serde::{Deserialize, Serialize};

/// What a correction is to the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoteKind {
    /// Credits that an operator gave or took.
    Adjustment,
    /// An invoice paid from the wallet, as far as it reached.
    Charge,
    /// A debit that was taken back, or a part of it.
    Reversal,
    /// One side of credits that went from one wallet to another.
    Transfer,
}

/// The note on a correction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What it is.
    pub kind: NoteKind,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// Why it was made, in the caller's words.
    pub reason: Option<String>,
    /// What was to be paid, by the caller's number.
    pub invoice: Option<String>,
    /// How the caller put it, where the ledger filled something in: a retry is compared with this.
    pub asked: Asked,
    /// The caller's own data.
    pub metadata: Metadata,
    /// The wallet on the other side. Left out where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<u32>,
}

/// What of a request does not show in what was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// No amount was named: all that there was.
    pub all: bool,
    /// What is forfeited was to be granted anew.
    pub regrant: bool,
    /// What the wallet does not cover is to be collected: the number of the intent
    /// ([`RestRecord`](super::billing::RestRecord)). Left out where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<u64>,
}

impl Note {
    /// A note without anything but its kind.
    pub fn new(kind: NoteKind) -> Note {
        let (key, reason, invoice) = (None, None, None);
        Note { kind, key, reason, invoice, asked: Asked::default(), metadata: Metadata::new(), other: None }
    }

    /// An upper bound of its bytes in a record.
    pub(super) fn length_bound(&self) -> usize {
        let texts = [&self.key, &self.reason, &self.invoice];
        let texts: usize = texts.into_iter().flatten().map(|text| text.len() + 5).sum();
        let metadata: usize = self.metadata.iter().map(|(key, value)| key.len() + value.len() + 10).sum();
        84 + texts + metadata
    }
}
