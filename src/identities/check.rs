//! Every byte of a run looked at: what is not as it was written, and where.
//!
//! A server checks trailer, index and filter when it opens a run, and a page when it reads one; this checks all of it, what no checksum covers
//! included, and that index and filter are those of the entries. A run that is damaged is no loss: it is derived from the log again.

use super::filter::{Filter, RUN};
use super::format::{
    self, MAGIC, Malformed, PAGE_BYTES, PAGE_CHECKSUM, Page, Pair, TRAILER_CHECKSUM, Trailer, entries_in, u32_at,
    whole_pages,
};
use super::{Anchor, Span};
use drawdown_wal::{Contents, Draft, Files, flipped_bit};
use std::io;
use std::sync::Arc;

/// Bytes that are read at once: whole pages.
const CHUNK_BYTES: usize = 1 << 20;
/// More damages of one run are not told.
const DAMAGES_MAX: usize = 20;

/// Bytes of a run that are not those that were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Offset in the file: of the first bad byte, or of the beginning of what is bad.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// What the look at a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The last frame that it was derived from. `None` if its trailer cannot be read.
    pub anchor: Option<Anchor>,
    /// Identities in it.
    pub entries: u64,
    /// What is wrong.
    pub damages: Vec<Damage>,
}

/// Looks at every byte of the run of a span of the log `log_id`. `watch` is told of bytes that were read. An error is the system's.
pub fn check(files: &dyn Files, span: Span, log_id: [u8; 16], watch: &mut dyn FnMut(u64)) -> io::Result<Checked> {
    let file = files.open_file(&format::file_name(span))?;
    let size = file.size_bytes();
    let mut damages = Damages::default();
    let Some(at) = size.checked_sub(PAGE_BYTES as u64) else {
        damages.add(0, "it has not even room for a trailer");
        return Ok(Checked { damages: damages.0, ..Checked::default() });
    };
    let mut page = [0; PAGE_BYTES];
    file.read_at(at, &mut page)?;
    watch(PAGE_BYTES as u64);
    let trailer = match Trailer::decode(page, size) {
        Ok(trailer) => trailer,
        Err(malformed) => {
            watch(at);
            let (offset, what) = in_trailer(&page, malformed);
            damages.add(at + offset, &what);
            return Ok(Checked { damages: damages.0, ..Checked::default() });
        }
    };
    if trailer.log_id != log_id {
        damages.add(at + 16, &Malformed::AnotherLog.to_string());
    }
    if trailer.span != span {
        damages.add(at + 32, &Malformed::Name.to_string());
    }
    let mut look = Look { file, trailer, seed: format::seed(trailer.log_id, trailer.span), damages, watch };
    look.contents()?;
    Ok(Checked { anchor: Some(trailer.anchor), entries: trailer.entries, damages: look.damages.0 })
}

#[derive(Default)]
struct Damages(Vec<Damage>);

impl Damages {
    fn add(&mut self, offset: u64, what: &str) {
        if self.0.len() < DAMAGES_MAX {
            self.0.push(Damage { offset, what: what.to_owned() });
        }
    }
}

/// The first bad byte of a trailer, as far as it can be told.
fn in_trailer(page: &[u8; PAGE_BYTES], malformed: Malformed) -> (u64, String) {
    match malformed {
        Malformed::Magic => {
            let at = page.iter().zip(&MAGIC).position(|(found, expected)| found != expected);
            (at.unwrap_or(0) as u64, "it does not end with a run's trailer".to_owned())
        }
        Malformed::Trailer => {
            let mut bytes = *page;
            bytes[TRAILER_CHECKSUM..TRAILER_CHECKSUM + 4].fill(0);
            let flipped = flipped_bit(u32_at(page, TRAILER_CHECKSUM), crc32c::crc32c(&bytes), PAGE_BYTES as u64);
            let in_checksum =
                |byte: u64| byte.checked_sub(PAGE_BYTES as u64).map(|byte| TRAILER_CHECKSUM as u64 + byte);
            // The checksum's place counts as zeros: nothing that is flipped there looks flipped in the bytes.
            match flipped {
                Some((byte, bit)) => (in_checksum(byte).unwrap_or(byte), turned(bit)),
                None => (0, malformed.to_string()),
            }
        }
        Malformed::Version(_) => (8, malformed.to_string()),
        Malformed::Length
        | Malformed::AnotherLog
        | Malformed::Name
        | Malformed::Page(_)
        | Malformed::Index
        | Malformed::Filter
        | Malformed::Order => (48, malformed.to_string()),
    }
}

fn turned(bit: u8) -> String {
    format!("bit {bit} of this byte is flipped: with it turned back the checksum matches")
}

/// A look at a run whose trailer is whole.
struct Look<'w> {
    file: Arc<dyn Contents>,
    trailer: Trailer,
    seed: u32,
    damages: Damages,
    watch: &'w mut dyn FnMut(u64),
}

impl Look<'_> {
    fn contents(&mut self) -> io::Result<()> {
        let filter = Filter::with_lines(RUN, self.trailer.filter_lines);
        let index = self.pages(&filter)?;
        let trailer = self.trailer;
        let are_pages_whole = self.damages.0.is_empty();
        let index_bytes = trailer.pages() * 8;
        self.checksummed(trailer.index_at(), index_bytes, trailer.index_checksum, Malformed::Index)?;
        let filter_bytes = trailer.filter_lines * 64;
        self.checksummed(trailer.filter_at(), filter_bytes, trailer.filter_checksum, Malformed::Filter)?;
        if self.damages.0.is_empty() && are_pages_whole {
            let mut same = Same::new(&self.file, trailer.index_at());
            index.chunks(CHUNK_BYTES / 8).try_for_each(|begins| {
                same.append(&begins.iter().flat_map(|begins| begins.to_le_bytes()).collect::<Vec<u8>>())
            })?;
            if let Some(at) = same.differs {
                self.damages.add(at, "its index is not that of its pages");
            }
            let mut same = Same::new(&self.file, trailer.filter_at());
            filter.write(&mut same, self.seed)?;
            if let Some(at) = same.differs {
                self.damages.add(at, "its filter is not that of its entries");
            }
        }
        Ok(())
    }

    /// Checks the pages; the first fingerprint of each. Entries of whole pages are entered into `filter`.
    fn pages(&mut self, filter: &Filter) -> io::Result<Vec<u64>> {
        let (mut index, mut last): (_, Option<Pair>) = (Vec::new(), None);
        let mut buffer = vec![0; CHUNK_BYTES];
        let (mut number, pages) = (0, self.trailer.pages());
        while number < pages {
            let bytes = &mut buffer[..CHUNK_BYTES.min((pages - number) as usize * PAGE_BYTES)];
            self.file.read_at(number * PAGE_BYTES as u64, bytes)?;
            for page in bytes.as_chunks::<PAGE_BYTES>().0 {
                match Page::check(page, number, self.seed) {
                    Ok(page) => {
                        index.push(page.entry(0).0);
                        for place in 0..entries_in(number, self.trailer.entries) {
                            self.entry(page.entry(place), number, place, &mut last);
                            filter.insert(page.entry(place).0);
                        }
                    }
                    Err(malformed) => self.bad_page(page, number, malformed),
                }
                number += 1;
            }
            (self.watch)(bytes.len() as u64);
        }
        Ok(index)
    }

    fn entry(&mut self, entry: Pair, number: u64, place: usize, last: &mut Option<Pair>) {
        let at = number * PAGE_BYTES as u64 + (place * format::ENTRY_BYTES) as u64;
        if last.is_some_and(|last| last >= entry) {
            self.damages.add(at, &Malformed::Order.to_string());
        }
        if !(self.trailer.span.from..self.trailer.span.to).contains(&entry.1) {
            self.damages.add(at + 8, "an entry's position lies outside of the run's span");
        }
        *last = Some(entry);
    }

    fn bad_page(&mut self, page: &[u8; PAGE_BYTES], number: u64, malformed: Malformed) {
        let computed = crc32c::crc32c_append(self.seed, &page[..PAGE_CHECKSUM]);
        let flipped = flipped_bit(u32_at(page, PAGE_CHECKSUM), computed, PAGE_CHECKSUM as u64);
        let at = number * PAGE_BYTES as u64;
        match flipped {
            Some((byte, bit)) => self.damages.add(at + byte, &turned(bit)),
            None => self.damages.add(at, &malformed.to_string()),
        }
    }

    /// Checks a part that has a checksum in the trailer, and that zeros follow it up to a whole page.
    fn checksummed(&mut self, at: u64, length: u64, expected: u32, malformed: Malformed) -> io::Result<()> {
        let (mut checksum, mut done) = (self.seed, 0);
        let mut buffer = vec![0; CHUNK_BYTES];
        let padded = whole_pages(length);
        while done < padded {
            let bytes = &mut buffer[..CHUNK_BYTES.min((padded - done) as usize)];
            self.file.read_at(at + done, bytes)?;
            let (part, zeros) = bytes.split_at(bytes.len().min(length.saturating_sub(done) as usize));
            checksum = crc32c::crc32c_append(checksum, part);
            if let Some(place) = zeros.iter().position(|byte| *byte != 0) {
                self.damages.add(at + done + (part.len() + place) as u64, "zeros should stand here");
            }
            done += bytes.len() as u64;
            (self.watch)(bytes.len() as u64);
        }
        match (checksum != expected).then(|| flipped_bit(expected, checksum, length)) {
            None => {}
            // The checksum itself stands in the trailer, which is whole: so does it.
            Some(Some((byte, bit))) if byte < length => self.damages.add(at + byte, &turned(bit)),
            Some(_) => self.damages.add(at, &malformed.to_string()),
        }
        Ok(())
    }
}

/// Holds bytes against those of a file instead of writing them.
struct Same<'f> {
    file: &'f Arc<dyn Contents>,
    at: u64,
    /// Where the first one is that is another.
    differs: Option<u64>,
    buffer: Vec<u8>,
}

impl<'f> Same<'f> {
    fn new(file: &'f Arc<dyn Contents>, at: u64) -> Self {
        Same { file, at, differs: None, buffer: Vec::new() }
    }
}

impl Draft for Same<'_> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.resize(bytes.len(), 0);
        self.file.read_at(self.at, &mut self.buffer)?;
        let place = self.buffer.iter().zip(bytes).position(|(found, expected)| found != expected);
        self.differs = self.differs.or(place.map(|place| self.at + place as u64));
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}
