//! Keys of requests: what a request with one brings about is found by it when the request is sent again.
//!
//! Some of it has a key or an id of its own that is made of the request's. Operations on holds note the key in their own records
//! (`super::holds`). Of the rest the frame that brings it about says that the request was carried out ([`crate::journal::done`]): the effect and
//! the note are durable together or not at all, and the note is remembered as answers are.

use super::history::unreadable;
use super::identity::done_fingerprint;
use super::view::{CommandError, Unavailable};
use super::{Engine, Inner};
use crate::journal::Record;
use crate::journal::admin::AdminRecord;
use crate::journal::done::{Deed, DoneRecord};
use crate::store::idempotency::Found;
use crate::store::pin;
use drawdown_wal::Lsn;

/// What the keys and ids begin with that are made of requests' keys. Callers' own do not.
pub const EFFECT_PREFIX: &str = "idk:";

/// The key of a request that is carried out once. It is in the hands of one caller at a time, who sees to that.
#[derive(Clone, Copy, Debug)]
pub struct RequestKey {
    /// Half a digest of who sent the request under which key.
    pub digest: [u8; 16],
    /// Half a digest of what is asked.
    pub asked: [u8; 16],
    /// The request was answered before: what it did not bring about then is not brought about now.
    pub is_replay: bool,
}

impl RequestKey {
    /// What is noted of the request when it is carried out.
    pub(super) fn done(self, deed: Deed, of: impl Into<String>) -> DoneRecord {
        DoneRecord { request: self.digest, asked: self.asked, deed, of: of.into(), secret: None }
    }
}

impl Engine {
    /// Whether a request was carried out, as far as that is noted: nothing of it is to be done then. An error says that its key was used for
    /// something else, or that it was answered before and brought nothing about.
    pub(super) fn was_done(&self, once: Option<RequestKey>, deed: Deed) -> Result<Option<DoneRecord>, CommandError> {
        let Some(once) = once else { return Ok(None) };
        let inner = &*self.inner;
        let fingerprint = done_fingerprint(&inner.seed, &once.digest);
        let found = inner.find_identity(fingerprint, |_, record| match record {
            Record::Admin(AdminRecord::Done(done)) if done.request == once.digest => Ok(Some(done)),
            _ => Ok(None),
        })?;
        match found {
            Some(done) if done.asked == once.asked && done.deed == deed => Ok(Some(done)),
            Some(_) => Err(other_content()),
            None if once.is_replay => Err(not_done()),
            None => Ok(None),
        }
    }
}

impl Inner {
    /// The latest record of an identity whose fingerprint this is, within the idempotency window. `read` says what the record
    /// at a position tells of it; `None` if it is of another identity.
    pub(super) fn find_identity<T>(
        &self,
        fingerprint: u64,
        read: impl Fn(u64, Record<'_>) -> Result<Option<T>, CommandError>,
    ) -> Result<Option<T>, CommandError> {
        let at = |lsn: u64| {
            let mut view = None;
            match self.read_record(lsn, &mut view) {
                Ok(record) => read(lsn, record),
                // It has left the idempotency window since it was looked up, and the log with it.
                Err(_) if self.is_retired(lsn) => Ok(None),
                Err(error) => Err(unreadable(error)),
            }
        };
        let mut strangers = Vec::new();
        loop {
            let lsn = match self.idempotency.lookup(fingerprint, &strangers, &pin()) {
                Found::Finished { lsn } => lsn,
                Found::Absent => break,
                // An event whose fingerprint happens to be the same.
                Found::InFlight(_) => {
                    self.wait_settled(fingerprint);
                    continue;
                }
            };
            match at(lsn)? {
                Some(found) => return Ok(Some(found)),
                None => strangers.push(lsn),
            }
        }
        let guard = pin();
        let Some(runs) = self.spilled.runs(&guard) else { return Ok(None) };
        let lsns = runs.lookup(fingerprint).map_err(|_| CommandError::Unavailable(Unavailable::Overloaded))?;
        let horizon = self.horizon.lsn();
        for lsn in lsns.into_iter().filter(|lsn| *lsn >= horizon) {
            if let Some(found) = at(lsn)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Appends administrative records in one frame, and with them that a request was carried out, if they are what it asked for. Answers where the
    /// first stands.
    pub(super) fn append_done(&self, records: &[AdminRecord], done: Option<DoneRecord>) -> Result<Lsn, CommandError> {
        let Some(done) = done else { return self.append_admins(records) };
        let fingerprint = done_fingerprint(&self.seed, &done.request);
        let before: usize = records.iter().map(|record| record.encode().len()).sum();
        let first = self.append_admins(&[records, &[AdminRecord::Done(done)]].concat())?;
        self.idempotency.insert_replayed(fingerprint, first.get() + before as u64, &pin());
        Ok(first)
    }
}

/// A request's key was used for something else.
pub(super) fn other_content() -> CommandError {
    CommandError::Conflict {
        slug: "idempotency_conflict",
        detail: "the key was used before with other content".to_owned(),
    }
}

/// Why what an earlier request did not bring about is not brought about when it is sent again.
pub(super) fn not_done() -> CommandError {
    CommandError::Conflict {
        slug: "idempotency_answer_gone",
        detail: "the first answer is not kept, and that request brought nothing about here".to_owned(),
    }
}

/// What is answered for a request that was carried out where what it was about cannot be shown any more.
pub(super) fn or_gone<T>(shown: Result<T, CommandError>) -> Result<T, CommandError> {
    shown.map_err(|error| match error {
        CommandError::NotFound { what } => CommandError::Conflict {
            slug: "idempotency_answer_gone",
            detail: format!("the request was carried out; its {} is not there any more", what.replace('_', " ")),
        },
        other => other,
    })
}
