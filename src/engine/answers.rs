//! Answers that are kept, so that a repeat of their request is given the first one again.
//!
//! An answer is an identity like an event's: found by a fingerprint in the table or in the runs, its record read back from the log where the
//! whole key is compared, remembered as long as the idempotency window reaches, over restarts and snapshots. Who answers what, and what must
//! not happen twice, is the caller's to know (`http::idempotency`); this only keeps and finds.

use super::Engine;
use super::background::minute_end;
use super::history::unreadable;
use super::ticket::Ticket;
use super::view::CommandError;
use crate::journal::Record;
use crate::journal::admin::AdminRecord;
use crate::journal::control::{AnswerBody, AnswerRecord};
use crate::ledger::Timestamp;
use crate::store::hash::Seed;
use crate::store::pin;
use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};
use std::io::Read;

/// Separates the fingerprints of answers' keys from all others.
const ANSWER_DOMAIN: u8 = 3;
/// Bodies that are longer are compressed, bytes.
const PLAIN_BYTES_MAX: usize = 512;
/// Room in a frame for what an answer's record has beside headers and body, bytes.
const ENVELOPE_BYTES: usize = 512;

/// An answer, as it is given and given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// SHA-256 of whose key it is and of the key.
    pub key: [u8; 32],
    /// SHA-256 of what was asked.
    pub request: [u8; 32],
    /// When the request was begun.
    pub began: Timestamp,
    /// The HTTP status.
    pub status: u16,
    /// The headers that belong to the answer, names in lower case; together well below a frame of the log.
    pub headers: Vec<(String, String)>,
    /// The body; `None` if it is not kept, and has to be made again from what the request brought about.
    pub body: Option<Vec<u8>>,
}

impl Engine {
    /// The answer that was kept under a key. Wait for [`Engine::barrier`] before it is given.
    pub fn find_answer(&self, key: &[u8; 32]) -> Result<Option<Answer>, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        inner.room.check()?;
        let fingerprint = answer_fingerprint(&inner.seed, key);
        inner.find_identity(fingerprint, |_, record| match record {
            Record::Admin(AdminRecord::Answer(record)) if record.key == *key => Ok(Some(Answer {
                key: record.key,
                request: record.request,
                began: record.began,
                status: record.status,
                headers: record.headers,
                body: unpack(record.body).map_err(unreadable)?,
            })),
            _ => Ok(None),
        })
    }

    /// Keeps an answer, whose key has none and is in no other hands. Its body is kept if it takes at most `bytes_max` bytes compressed, and
    /// if a frame of the log has room for it.
    pub fn keep_answer(&self, answer: Answer, bytes_max: usize) -> Result<Ticket, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        inner.room.check()?;
        let headers: usize = answer.headers.iter().map(|(name, value)| name.len() + value.len() + 16).sum();
        let frame = (inner.log.max_frame_bytes() as usize).saturating_sub(ENVELOPE_BYTES + headers);
        let fingerprint = answer_fingerprint(&inner.seed, &answer.key);
        let record = AnswerRecord {
            key: answer.key,
            request: answer.request,
            began: answer.began,
            status: answer.status,
            headers: answer.headers,
            body: answer.body.map_or(AnswerBody::Again, |body| pack(body, bytes_max.min(frame))),
        };
        let lsn = inner.append_admin(&AdminRecord::Answer(record))?;
        inner.idempotency.insert_replayed(fingerprint, lsn.get(), &pin());
        Ok(self.barrier())
    }

    /// Whether every identity that was recorded at `since` or later is remembered for certain.
    pub fn remembers_since(&self, since: Timestamp) -> bool {
        self.now() < minute_end(since).saturating_add(self.inner.config.idempotency_window_ms)
            && since >= self.inner.remembered_since
    }
}

/// The fingerprint by which an answer is remembered.
pub(super) fn answer_fingerprint(seed: &Seed, key: &[u8; 32]) -> u64 {
    seed.key_fingerprint(ANSWER_DOMAIN, key)
}

fn pack(body: Vec<u8>, bytes_max: usize) -> AnswerBody {
    let length = body.len();
    if length <= PLAIN_BYTES_MAX.min(bytes_max) {
        return AnswerBody::Whole(body);
    }
    let mut bytes = Vec::new();
    let read = DeflateEncoder::new(body.as_slice(), Compression::fast()).read_to_end(&mut bytes);
    match (read, u32::try_from(length)) {
        (Ok(_), Ok(length)) if bytes.len() <= bytes_max.min(body.len()) => AnswerBody::Deflated { bytes, length },
        _ if length <= bytes_max => AnswerBody::Whole(body),
        _ => AnswerBody::Again,
    }
}

fn unpack(body: AnswerBody) -> Result<Option<Vec<u8>>, crate::journal::Corrupt> {
    match body {
        AnswerBody::Whole(bytes) => Ok(Some(bytes)),
        AnswerBody::Again => Ok(None),
        AnswerBody::Deflated { bytes, length } => {
            let mut body = Vec::new();
            // One byte more would show that it is longer than it says.
            let read = DeflateDecoder::new(bytes.as_slice()).take(u64::from(length) + 1).read_to_end(&mut body);
            match read {
                Ok(read) if read == length as usize => Ok(Some(body)),
                _ => Err(crate::journal::Corrupt::Malformed("compressed body")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_kept_whole_compressed_or_not_at_all() {
        let text = "{\"status\":\"created\"}".repeat(500).into_bytes();
        let mut random = drawdown_wal::sim::Random::new(1);
        let noise: Vec<u8> = (0..4_000).map(|_| random.draw() as u8).collect();
        let kind = |body: &AnswerBody| match body {
            AnswerBody::Whole(_) => "whole",
            AnswerBody::Deflated { .. } => "deflated",
            AnswerBody::Again => "again",
        };
        for (body, most, expected) in [
            (&b""[..], 10, "whole"),
            (b"{}", 0, "again"),
            (&text[..512], 1 << 20, "whole"),
            (&text[..513], 1 << 20, "deflated"),
            (&text, 1_000, "deflated"),
            (&text, 10, "again"),
            (&noise, 4_000, "whole"),
            (&noise, 3_999, "again"),
        ] {
            let packed = pack(body.to_vec(), most);
            assert_eq!(kind(&packed), expected, "{} bytes in {most}", body.len());
            let unpacked = unpack(packed).expect("it was packed");
            assert!(unpacked.is_none_or(|unpacked| unpacked == body));
        }
        let AnswerBody::Deflated { bytes, length } = pack(text, 1 << 20) else { panic!("it compresses") };
        for (bytes, length) in [(bytes.clone(), length - 1), (bytes.clone(), length + 1), (vec![7; 9], length)] {
            assert!(unpack(AnswerBody::Deflated { bytes, length }).is_err());
        }
    }
}
