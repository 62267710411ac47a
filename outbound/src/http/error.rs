//! Why no answer came.

use super::{Special, UrlError};
use std::io;
use std::net::IpAddr;

/// A request without an answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The URL cannot be requested.
    #[error("{0}")]
    Url(#[from] UrlError),
    /// A header or body that HTTP does not allow.
    #[error("the request cannot be written: {0}")]
    Request(String),
    /// The name has no address, or the resolver no answer.
    #[error("{name} cannot be resolved: {source}")]
    Resolve {
        /// The name.
        name: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Every address of the name is one that must not be reached.
    #[error("{name} leads to {address}, a {special} address, which is not allowed")]
    AddressRefused {
        /// The name or address of the URL.
        name: String,
        /// The address.
        address: IpAddr,
        /// What it is.
        special: Special,
    },
    /// Nobody listens there.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The last address tried.
        address: IpAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No connection within the time for it.
    #[error("no connection within {0:?}")]
    ConnectTimeout(std::time::Duration),
    /// Whoever listens could not prove to be who was asked for.
    #[error("TLS: {0}")]
    Tls(String),
    /// No whole answer within the time for everything.
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
    /// The connection ended or went wrong on the way.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The answer was longer than wanted.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// The class of a [`SendError`], for counters and for what is kept of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendErrorKind {
    /// The URL or the request itself.
    Invalid,
    /// The name.
    Resolve,
    /// The address is not allowed.
    AddressRefused,
    /// The connection was not made.
    Connect,
    /// The certificate or the handshake.
    Tls,
    /// Too slow.
    Timeout,
    /// The connection broke.
    Broken,
    /// The answer was too long.
    TooLong,
}

impl SendErrorKind {
    /// A stable name, in snake case.
    pub fn as_str(self) -> &'static str {
        match self {
            SendErrorKind::Invalid => "invalid_request",
            SendErrorKind::Resolve => "name_not_resolved",
            SendErrorKind::AddressRefused => "address_refused",
            SendErrorKind::Connect => "connection_failed",
            SendErrorKind::Tls => "tls_failed",
            SendErrorKind::Timeout => "timeout",
            SendErrorKind::Broken => "connection_broken",
            SendErrorKind::TooLong => "answer_too_long",
        }
    }
}

impl SendError {
    /// Its class.
    pub fn kind(&self) -> SendErrorKind {
        match self {
            SendError::Url(_) | SendError::Request(_) => SendErrorKind::Invalid,
            SendError::Resolve { .. } => SendErrorKind::Resolve,
            SendError::AddressRefused { .. } => SendErrorKind::AddressRefused,
            SendError::Connect { .. } => SendErrorKind::Connect,
            SendError::Tls(_) => SendErrorKind::Tls,
            SendError::ConnectTimeout(_) | SendError::Timeout(_) => SendErrorKind::Timeout,
            SendError::Broken(_) => SendErrorKind::Broken,
            SendError::TooLong(_) => SendErrorKind::TooLong,
        }
    }

    /// Whether the other side can have acted on the request. False only where no connection was there to send it on.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            SendError::Url(_)
            | SendError::Request(_)
            | SendError::Resolve { .. }
            | SendError::AddressRefused { .. }
            | SendError::Connect { .. }
            | SendError::ConnectTimeout(_)
            | SendError::Tls(_) => false,
            SendError::Timeout(_) | SendError::Broken(_) | SendError::TooLong(_) => true,
        }
    }
}
