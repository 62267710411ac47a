//! Positions in the log.

use std::fmt;

/// A log sequence number: a byte position in an endless log.
///
/// `LSN = segment number * segment_bytes + offset in the segment file`, segment headers included, so an LSN names a file
/// and an offset by one division. LSNs of frames are multiples of 32; a payload may be addressed byte by byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// The position before everything.
    pub const ZERO: Self = Self(0);

    /// The position `bytes` behind the start of the log.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes from the start of the log.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position `bytes` further on.
    #[must_use]
    pub const fn plus(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
