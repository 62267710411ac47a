//! An HTTP/1.1 client for requests to addresses that customers and operators wrote down.
//!
//! # Guarantees
//! 1. A request ends: there is a time for connecting and a time for everything ([`Limits::total`]).
//! 2. An answer has a size, beyond which it is refused or cut ([`Limits::overflow`]).
//! 3. No redirect is followed. A 3xx is an answer like another.
//! 4. No connection is made to an address that the [`AddressPolicy`] refuses. The address that was checked is the one that
//!    is connected to: a name is resolved once a connection, so a name that answers differently the next time gains nothing.
//! 5. A failure tells whether the request can have arrived ([`SendError::may_have_arrived`]). "No" is certain, "yes" is caution.
//!
//! Connections are kept and used again for the same scheme, name and port; each was checked when it was made. Proxies of the environment
//! are not used.

mod address;
mod client;
mod connect;
mod error;
mod message;
mod resolve;
mod tls;

pub use address::{AddressPolicy, AddressRange, AddressRangeError, Special};
pub use client::{Client, Settings, Transport};
pub use error::{SendError, SendErrorKind};
pub use hyper::header::{HeaderMap, HeaderName, HeaderValue};
pub use hyper::{Method, StatusCode, Uri};
pub use message::{Limits, Overflow, Request, Response, UrlError, parse_url};
pub use resolve::{Resolve, SystemResolver};
pub use tls::{Roots, RootsError};
