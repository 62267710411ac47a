//! What a customer looks at: the portal's pages, the hosted checkout of the simulated provider, deposits, and invoices as pages and as PDF.
//!
//! Values in, text out: this crate knows no ledger, no server and no clock. Whoever serves the pages fills in the values of a page and
//! decides what a form's answer means.
//!
//! # What every page guarantees
//! 1. Everything that comes from outside is escaped: pages are made by `maud`, which escapes whatever is spliced in, and nothing here is
//!    spliced in otherwise.
//! 2. It works without scripts, and holds none; styles come from one file ([`STYLE`]) and never from an attribute. So [`POLICY`] can forbid
//!    everything but that file and forms to the same origin.
//! 3. Every form that changes something carries the session's token ([`Session::token`]), which its receiver has to compare.
//! 4. Headings, labels, captions and landmarks are such that the pages can be used without seeing them; colours have a contrast of 4.5 at
//!    least, by day and by night; on a phone, tables become lists.
//!
//! Amounts come as exact decimal strings and are only grouped for reading ([`text::grouped`]); times come as RFC 3339 in UTC.

pub mod automatic;
pub mod buy;
pub mod cards;
pub mod checkout;
pub mod deposit;
pub mod history;
pub mod invoice;
pub mod invoices;
pub mod notice;
pub mod overview;
pub mod purchase;
mod shell;
pub mod text;

pub use shell::{Section, Session, Tone, WalletLink};

/// The style of all pages; its content type is `text/css`.
pub const STYLE: &str = include_str!("../assets/portal.css");

/// The policy that pages are to be served with (`Content-Security-Policy`).
pub const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
