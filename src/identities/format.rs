//! The bytes of a run: the one owner of this format. `docs/identities-format.md` describes it; a golden file pins it.
//!
//! ```text
//! pages    4096 bytes each: up to 255 entries (fingerprint u64, LSN u64), sorted; zeros;
//!          at 4080: zero u64, the page's number u32, CRC32C u32 of the 4092 bytes before it
//! index    the first fingerprint of each page, u64 each; zeros up to a whole page
//! filter   lines of 64 bytes; zeros up to a whole page
//! trailer  one page: see [`Trailer`]
//! ```
//! All integers are little-endian. The checksums of pages, index and filter begin with that of the run's name (log, from, to), so that what
//! belongs to another run never checks.

use super::{Anchor, Span};

pub(super) const PAGE_BYTES: usize = 4096;
/// Entries in a page.
pub(super) const PER_PAGE: usize = 255;
pub(super) const ENTRY_BYTES: usize = 16;
const PAGE_NUMBER: usize = 4088;
pub(super) const PAGE_CHECKSUM: usize = 4092;

pub(super) const MAGIC: [u8; 8] = *b"DRAWDIDS";
const VERSION: u32 = 1;
pub(super) const TRAILER_CHECKSUM: usize = 12;

const _: () = assert!(PER_PAGE * ENTRY_BYTES == 4080);

/// An identity: fingerprint and LSN.
pub(super) type Pair = (u64, u64);

/// Why bytes are no run, or not the one that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("its length is not that of a run")]
    Length,
    #[error("it does not begin with a run's magic")]
    Magic,
    #[error("its version {0} is unknown")]
    Version(u32),
    #[error("its trailer's checksum does not match")]
    Trailer,
    #[error("it belongs to another log")]
    AnotherLog,
    #[error("its name and its trailer disagree")]
    Name,
    #[error("the checksum of page {0} does not match")]
    Page(u64),
    #[error("the checksum of its index does not match")]
    Index,
    #[error("the checksum of its filter does not match")]
    Filter,
    #[error("its entries are out of order")]
    Order,
}

/// The last page of a run: what the rest is.
///
/// ```text
///  0 magic            16 log id [16]   48 entries u64        72 anchor's checksum u32
///  8 version u32      32 from u64      56 filter lines u64   76 checksum of the index u32
/// 12 CRC32C u32       40 to u64        64 anchor u64         80 checksum of the filter u32
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) log_id: [u8; 16],
    pub(super) span: Span,
    pub(super) entries: u64,
    pub(super) filter_lines: u64,
    pub(super) anchor: Anchor,
    pub(super) index_checksum: u32,
    pub(super) filter_checksum: u32,
}

impl Trailer {
    pub(super) fn pages(&self) -> u64 {
        self.entries.div_ceil(PER_PAGE as u64)
    }

    pub(super) fn index_at(&self) -> u64 {
        self.pages() * PAGE_BYTES as u64
    }

    pub(super) fn filter_at(&self) -> u64 {
        self.index_at() + whole_pages(self.pages() * 8)
    }

    pub(super) fn at(&self) -> u64 {
        self.filter_at() + whole_pages(self.filter_lines * 64)
    }

    pub(super) fn encode(&self) -> [u8; PAGE_BYTES] {
        let mut page = [0; PAGE_BYTES];
        let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC);
        put(8, &VERSION.to_le_bytes());
        put(16, &self.log_id);
        put(32, &self.span.from.to_le_bytes());
        put(40, &self.span.to.to_le_bytes());
        put(48, &self.entries.to_le_bytes());
        put(56, &self.filter_lines.to_le_bytes());
        put(64, &self.anchor.lsn.to_le_bytes());
        put(72, &self.anchor.checksum.to_le_bytes());
        put(76, &self.index_checksum.to_le_bytes());
        put(80, &self.filter_checksum.to_le_bytes());
        let checksum = crc32c::crc32c(&page);
        page[TRAILER_CHECKSUM..TRAILER_CHECKSUM + 4].copy_from_slice(&checksum.to_le_bytes());
        page
    }

    /// Reads the trailer of a file of `file_bytes` bytes.
    pub(super) fn decode(mut page: [u8; PAGE_BYTES], file_bytes: u64) -> Result<Self, Malformed> {
        let checksum = u32_at(&page, TRAILER_CHECKSUM);
        page[TRAILER_CHECKSUM..TRAILER_CHECKSUM + 4].fill(0);
        if page[..8] != MAGIC {
            return Err(Malformed::Magic);
        }
        if crc32c::crc32c(&page) != checksum {
            return Err(Malformed::Trailer);
        }
        let version = u32_at(&page, 8);
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        let trailer = Trailer {
            log_id: page[16..32].try_into().expect("16 bytes"),
            span: Span { from: u64_at(&page, 32), to: u64_at(&page, 40) },
            entries: u64_at(&page, 48),
            filter_lines: u64_at(&page, 56),
            anchor: Anchor { lsn: u64_at(&page, 64), checksum: u32_at(&page, 72) },
            index_checksum: u32_at(&page, 76),
            filter_checksum: u32_at(&page, 80),
        };
        // No product below overflows: neither count fits a file of 2^63 bytes otherwise.
        let bounded = trailer.entries < 1 << 56 && trailer.filter_lines < 1 << 56 && trailer.filter_lines > 0;
        if bounded && trailer.entries > 0 && trailer.at() + PAGE_BYTES as u64 == file_bytes {
            Ok(trailer)
        } else {
            Err(Malformed::Length)
        }
    }
}

/// The checksum that all others of a run begin with.
pub(super) fn seed(log_id: [u8; 16], span: Span) -> u32 {
    let checksum = crc32c::crc32c(&log_id);
    let checksum = crc32c::crc32c_append(checksum, &span.from.to_le_bytes());
    crc32c::crc32c_append(checksum, &span.to.to_le_bytes())
}

/// `bytes` rounded up to whole pages.
pub(super) fn whole_pages(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE_BYTES as u64)
}

/// A page's entries, at most [`PER_PAGE`], as bytes.
pub(super) fn encode_page(entries: &[Pair], number: u64, seed: u32) -> [u8; PAGE_BYTES] {
    let mut page = [0; PAGE_BYTES];
    for (out, (fingerprint, lsn)) in page.as_chunks_mut::<ENTRY_BYTES>().0.iter_mut().zip(entries) {
        out[..8].copy_from_slice(&fingerprint.to_le_bytes());
        out[8..].copy_from_slice(&lsn.to_le_bytes());
    }
    page[PAGE_NUMBER..PAGE_CHECKSUM].copy_from_slice(&(number as u32).to_le_bytes());
    let checksum = crc32c::crc32c_append(seed, &page[..PAGE_CHECKSUM]);
    page[PAGE_CHECKSUM..].copy_from_slice(&checksum.to_le_bytes());
    page
}

/// A page that was checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a>(&'a [u8; PAGE_BYTES]);

impl<'a> Page<'a> {
    pub(super) fn check(bytes: &'a [u8; PAGE_BYTES], number: u64, seed: u32) -> Result<Self, Malformed> {
        let checksum = crc32c::crc32c_append(seed, &bytes[..PAGE_CHECKSUM]);
        let is_it = u32_at(bytes, PAGE_CHECKSUM) == checksum && u32_at(bytes, PAGE_NUMBER) == number as u32;
        if is_it { Ok(Page(bytes)) } else { Err(Malformed::Page(number)) }
    }

    pub(super) fn entry(self, index: usize) -> Pair {
        let at = index * ENTRY_BYTES;
        (u64_at(self.0, at), u64_at(self.0, at + 8))
    }

    /// The LSNs of a fingerprint among the first `entries` entries.
    pub(super) fn lsns(self, fingerprint: u64, entries: usize) -> impl Iterator<Item = u64> + use<'a> {
        let (mut low, mut high) = (0, entries);
        while low < high {
            let middle = low.midpoint(high);
            if self.entry(middle).0 < fingerprint {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low..entries).map(move |index| self.entry(index)).take_while(move |entry| entry.0 == fingerprint).map(|e| e.1)
    }
}

/// Entries in page `number` of a run of so many.
pub(super) fn entries_in(number: u64, entries: u64) -> usize {
    (entries - number * PER_PAGE as u64).min(PER_PAGE as u64) as usize
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

/// The extension of runs' names.
pub const EXTENSION: &str = "ids";

/// The name of a run's file.
pub(super) fn file_name(span: Span) -> String {
    format!("{:016x}-{:016x}.{EXTENSION}", span.from, span.to)
}

/// The span that a file's name tells, if it is a run's.
pub fn span_of(name: &str) -> Option<Span> {
    let (from, to) = name.strip_suffix(EXTENSION)?.strip_suffix('.')?.split_once('-')?;
    let number = |text: &str| (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
    let span = Span { from: number(from)?, to: number(to)? };
    (span.from < span.to && file_name(span) == name).then_some(span)
}
