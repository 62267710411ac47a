//! Records of the control plane: answers that a repeat of their request is given again, and customers.
//!
//! A customer's personal data stand here as ciphertext only, under a key that is kept outside of the log (`engine::vault`): the log never
//! forgets, a key can be destroyed.

use super::Corrupt;
use crate::catalog::{CollectionMethod, CustomerChange};
use crate::ledger::Timestamp;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The answer to a request that came with an `Idempotency-Key`. Its identity is `key`, for as long as the idempotency window reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRecord {
    /// SHA-256 of whose key it is and of the key.
    pub key: [u8; 32],
    /// SHA-256 of what was asked: method, path and body.
    pub request: [u8; 32],
    /// When the request was begun: what it brought about was recorded then or later.
    pub began: Timestamp,
    /// The HTTP status.
    pub status: u16,
    /// The headers that belong to the answer, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: AnswerBody,
}

/// The body of an answer, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerBody {
    /// As it was sent.
    Whole(Vec<u8>),
    /// Compressed (raw DEFLATE).
    Deflated {
        /// The compressed bytes.
        bytes: Vec<u8>,
        /// Bytes before.
        length: u32,
    },
    /// Not at all, because it is too large or not for the log: a repeat has it made again from what the request brought about.
    Again,
}

/// A customer was made or changed: all of it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerRecord {
    /// Its id: the owner of its wallets.
    pub id: String,
    /// What this record is about.
    pub change: CustomerChange,
    /// It takes no new credit and no new wallets.
    pub archived: bool,
    /// How it pays.
    pub collection_method: CollectionMethod,
    /// Its personal data, unless there are none.
    pub sealed: Option<Sealed>,
    /// Its personal data were erased, and none were given since.
    pub erased: bool,
    /// Keys of it that are to be destroyed, or have been.
    pub destroyed: Vec<[u8; 16]>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// Requests with a key that archived it, each by half a digest of its key, and when: those of the idempotency window.
    pub archived_by: Vec<([u8; 16], Timestamp)>,
    /// How often the portal was closed to it: links and sessions of before are worthless.
    pub portal_epoch: u32,
}

/// Personal data under a key of their own: AES-256-GCM, bound to the customer's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Which key.
    pub key: [u8; 16],
    /// The nonce.
    pub nonce: [u8; 12],
    /// Ciphertext and tag.
    pub bytes: Vec<u8>,
}

/// Bytes as binary of `MessagePack`, where serde by itself would write an array of numbers.
pub(super) struct Blob(pub(super) Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

impl Blob {
    pub(super) fn array<const N: usize>(self, what: &'static str) -> Result<[u8; N], Corrupt> {
        self.0.try_into().map_err(|_| Corrupt::Malformed(what))
    }
}

const WHOLE: u8 = 0;
const DEFLATED: u8 = 1;
const AGAIN: u8 = 2;

#[derive(Serialize, Deserialize)]
pub(super) struct WireAnswer {
    key: Blob,
    request: Blob,
    began: u64,
    status: u16,
    headers: Vec<(String, String)>,
    kind: u8,
    length: u32,
    body: Blob,
}

impl From<&AnswerRecord> for WireAnswer {
    fn from(answer: &AnswerRecord) -> Self {
        let (kind, length, body) = match &answer.body {
            AnswerBody::Whole(bytes) => (WHOLE, bytes.len() as u32, bytes.clone()),
            AnswerBody::Deflated { bytes, length } => (DEFLATED, *length, bytes.clone()),
            AnswerBody::Again => (AGAIN, 0, Vec::new()),
        };
        WireAnswer {
            key: Blob(answer.key.to_vec()),
            request: Blob(answer.request.to_vec()),
            began: answer.began.millis(),
            status: answer.status,
            headers: answer.headers.clone(),
            kind,
            length,
            body: Blob(body),
        }
    }
}

impl TryFrom<WireAnswer> for AnswerRecord {
    type Error = Corrupt;

    fn try_from(wire: WireAnswer) -> Result<Self, Corrupt> {
        Ok(AnswerRecord {
            key: wire.key.array("key")?,
            request: wire.request.array("request")?,
            began: Timestamp::from_millis(wire.began),
            status: wire.status,
            headers: wire.headers,
            body: match wire.kind {
                WHOLE if wire.body.0.len() == wire.length as usize => AnswerBody::Whole(wire.body.0),
                DEFLATED => AnswerBody::Deflated { bytes: wire.body.0, length: wire.length },
                AGAIN => AnswerBody::Again,
                _ => return Err(Corrupt::Malformed("kind of body")),
            },
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireCustomer {
    id: String,
    change: u8,
    archived: bool,
    collection_method: u8,
    /// Key, nonce and ciphertext.
    sealed: Option<(Blob, Blob, Blob)>,
    erased: bool,
    destroyed: Vec<Blob>,
    created: u64,
    updated: u64,
    /// Not there where there are none and nothing follows, as in records from before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    archived_by: Option<Vec<(Blob, u64)>>,
    /// Not there while it is zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    portal_epoch: Option<u32>,
}

const CHANGES: [CustomerChange; 5] = [
    CustomerChange::Created,
    CustomerChange::Updated,
    CustomerChange::Archived,
    CustomerChange::Erased,
    CustomerChange::PortalClosed,
];
const METHODS: [CollectionMethod; 2] = [CollectionMethod::ChargeAutomatically, CollectionMethod::SendInvoice];

/// The place of a value in the list of all, which is its number in records.
fn number_of<T: PartialEq>(all: &[T], value: &T) -> u8 {
    all.iter().position(|known| known == value).expect("the list has all of them") as u8
}

impl From<&CustomerRecord> for WireCustomer {
    fn from(customer: &CustomerRecord) -> Self {
        let blob = |bytes: &[u8]| Blob(bytes.to_vec());
        let by = customer.archived_by.iter().map(|(key, at)| (blob(key), at.millis())).collect::<Vec<_>>();
        let portal_epoch = Some(customer.portal_epoch).filter(|epoch| *epoch > 0);
        WireCustomer {
            id: customer.id.clone(),
            change: number_of(&CHANGES, &customer.change),
            archived: customer.archived,
            collection_method: number_of(&METHODS, &customer.collection_method),
            sealed: customer
                .sealed
                .as_ref()
                .map(|sealed| (blob(&sealed.key), blob(&sealed.nonce), blob(&sealed.bytes))),
            erased: customer.erased,
            destroyed: customer.destroyed.iter().map(|key| blob(key)).collect(),
            created: customer.created_at.millis(),
            updated: customer.updated_at.millis(),
            archived_by: Some(by).filter(|by| portal_epoch.is_some() || !by.is_empty()),
            portal_epoch,
        }
    }
}

impl TryFrom<WireCustomer> for CustomerRecord {
    type Error = Corrupt;

    fn try_from(wire: WireCustomer) -> Result<Self, Corrupt> {
        let sealed = match wire.sealed {
            Some((key, nonce, bytes)) => {
                Some(Sealed { key: key.array("key")?, nonce: nonce.array("nonce")?, bytes: bytes.0 })
            }
            None => None,
        };
        let by = |(key, at): (Blob, u64)| Ok((key.array("key")?, Timestamp::from_millis(at)));
        Ok(CustomerRecord {
            id: wire.id,
            change: *CHANGES.get(usize::from(wire.change)).ok_or(Corrupt::Malformed("change"))?,
            archived: wire.archived,
            collection_method: *METHODS
                .get(usize::from(wire.collection_method))
                .ok_or(Corrupt::Malformed("collection method"))?,
            sealed,
            erased: wire.erased,
            destroyed: wire.destroyed.into_iter().map(|key| key.array("key")).collect::<Result<_, _>>()?,
            created_at: Timestamp::from_millis(wire.created),
            updated_at: Timestamp::from_millis(wire.updated),
            archived_by: wire.archived_by.into_iter().flatten().map(by).collect::<Result<_, Corrupt>>()?,
            portal_epoch: wire.portal_epoch.unwrap_or(0),
        })
    }
}
