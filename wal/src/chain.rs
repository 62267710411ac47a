//! The hash chain over sealed segments: evidence of what the log was.
//!
//! A segment is *sealed* when everything in it is durable: none of its bytes ever changes again. With sealed segment `n` the chain goes on by
//!
//! ```text
//! hash(n) = BLAKE3( hash(n - 1) as 64 hexadecimal digits, then all bytes of segment n )
//! hash before segment 0 = BLAKE3( "drawdown log ", then the log's id as 32 hexadecimal digits )
//! ```
//!
//! so that whoever has noted one hash can tell whether anything before it was changed, by whomever and with whatever checksums. Anyone can check
//! it with `b3sum`: `(printf %s HASH_BEFORE; cat SEGMENT) | b3sum`. (The hash: J. O'Connor, J.-P. Aumasson, S. Neves, Z. Wilcox-O'Hearn, "BLAKE3:
//! one function, fast everywhere", 2020.)
//!
//! The hashes are kept in a file `chain` beside the segments, a line for each, which is only ever appended to. A line that a power cut tore is
//! dropped, and a file that is lost or damaged is made again, from the segments; the lines of segments that were retired since stay. Where the
//! hash before the first segment is lost with the file, the chain begins anew there, and its first line says so.
//!
//! ```text
//! chain 1 log 07070707070707070707070707070707 from 0000000000000000 <hash before, 64 digits> <check>
//! 0000000000000000 <hash, 64 digits> <check>
//! ```
//! `check` is the CRC32C of the line before it, the blank included, as 8 digits. It tells a line that the disk damaged from a segment that somebody
//! changed.

use std::fmt::{self, Write as _};
use std::io::{self, Read};
use std::sync::OnceLock;
use std::time::Duration;

use crate::lsn::Lsn;
use crate::medium::Medium;
use crate::segment::{Geometry, Segment, Table};
use crate::sync::{AtomicBool, Mutex, Ordering, Thread, lock, park, park_timeout};

/// Name of the file that keeps the chain.
pub(crate) const FILE: &str = "chain";
/// Bytes hashed in one step.
const STEP: usize = 256 << 10;
/// Bytes of a line, and of the first one.
const LINE: usize = 16 + 1 + 64 + 1 + 8 + 1;
const FIRST_LINE: usize = 12 + 32 + 6 + 16 + 1 + 64 + 1 + 8 + 1;

/// A hash of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash's bytes.
    pub const fn bytes(self) -> [u8; 32] {
        self.0
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(text.chunks(2)) {
            *byte = parse_hex(digits)? as u8;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The newest hash of a chain: everything before `lsn` stands behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// The segment that it was made of last.
    pub segment: u64,
    /// Position behind that segment.
    pub lsn: Lsn,
    /// The hash.
    pub hash: Hash,
}

/// The hashes of a log's sealed segments, as far as they have been made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    log_id: [u8; 16],
    /// Number of the first segment that it was made of.
    first: u64,
    /// The hash before that.
    before: Hash,
    hashes: Vec<Hash>,
}

/// What the file of a chain turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainFile {
    /// As it was written.
    Whole,
    /// There is none.
    Missing,
    /// It ends with bytes that are no whole line, as a power cut leaves them.
    Torn {
        /// Where they begin.
        offset: u64,
    },
    /// A line does not check, or does not belong there.
    Damaged {
        /// Where the line begins.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Chain {
    /// The chain of a log that begins with segment 0 and has no sealed segment.
    pub fn of_log(log_id: [u8; 16]) -> Self {
        Self::beginning(log_id, 0)
    }

    /// A chain that begins with segment `first`. What was before is known for 0 only.
    fn beginning(log_id: [u8; 16], first: u64) -> Self {
        let mut text = String::from("drawdown log ");
        hex(&mut text, &log_id);
        if first > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, " without what was before segment {first:016x}");
        }
        Self { log_id, first, before: Hash(*blake3::hash(text.as_bytes()).as_bytes()), hashes: Vec::new() }
    }

    /// Number of the first segment that the chain was made of.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Number of the segment that the chain goes on with.
    pub fn next(&self) -> u64 {
        self.first + self.hashes.len() as u64
    }

    /// The newest segment that it was made of, with its hash.
    pub fn head(&self) -> Option<(u64, Hash)> {
        self.hashes.last().map(|hash| (self.next() - 1, *hash))
    }

    /// The hash that ends with segment `number`.
    pub fn at(&self, number: u64) -> Option<Hash> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.hashes.get(place).copied()
    }

    /// The hash before segment `number`: what its own hash goes on from.
    pub fn before(&self, number: u64) -> Option<Hash> {
        if number == self.first { Some(self.before) } else { self.at(number.checked_sub(1)?) }
    }

    /// Reads a chain's file as far as it is whole.
    pub fn read(file: Option<&[u8]>, log_id: [u8; 16]) -> (Option<Self>, ChainFile) {
        let Some(file) = file else { return (None, ChainFile::Missing) };
        let Some((first, rest)) = file.split_at_checked(FIRST_LINE) else {
            return (None, ChainFile::Torn { offset: 0 });
        };
        let mut chain = match Self::read_first(first) {
            Ok(chain) if chain.log_id == log_id => chain,
            Ok(_) => return (None, ChainFile::Damaged { offset: 0, what: "the chain is another log's" }),
            Err(what) => return (None, ChainFile::Damaged { offset: 0, what }),
        };
        let mut offset = FIRST_LINE as u64;
        for line in rest.chunks(LINE) {
            // A file may grow before what was appended to it arrives.
            if line.len() < LINE || rest[(offset as usize - FIRST_LINE)..].iter().all(|&byte| byte == 0) {
                return (Some(chain), ChainFile::Torn { offset });
            }
            match read_line(line) {
                Ok((number, hash)) if number == chain.next() => chain.hashes.push(hash),
                Ok(_) => return (Some(chain), ChainFile::Damaged { offset, what: "another segment's line was due" }),
                Err(what) => return (Some(chain), ChainFile::Damaged { offset, what }),
            }
            offset += LINE as u64;
        }
        (Some(chain), ChainFile::Whole)
    }

    fn read_first(line: &[u8]) -> Result<Self, &'static str> {
        let fields = checked(line)?;
        let malformed = "the chain's first line is malformed";
        let fields = fields.strip_prefix(b"chain 1 log ").ok_or(malformed)?;
        let (id, fields) = fields.split_at(32);
        let fields = fields.strip_prefix(b" from ").ok_or(malformed)?;
        let mut log_id = [0; 16];
        for (byte, digits) in log_id.iter_mut().zip(id.chunks(2)) {
            *byte = parse_hex(digits).ok_or(malformed)? as u8;
        }
        let first = parse_hex(&fields[..16]).ok_or(malformed)?;
        let before = Hash::parse(&fields[17..]).ok_or(malformed)?;
        Ok(Self { log_id, first, before, hashes: Vec::new() })
    }

    /// The whole file.
    pub fn write(&self) -> Vec<u8> {
        let mut text = String::from("chain 1 log ");
        hex(&mut text, &self.log_id);
        // Writing to a String cannot fail.
        let _ = write!(text, " from {:016x} {} ", self.first, self.before);
        let mut file = check(text);
        for (number, hash) in (self.first..).zip(&self.hashes) {
            file.extend(line(number, *hash));
        }
        file
    }
}

/// The line of a segment.
fn line(number: u64, hash: Hash) -> Vec<u8> {
    check(format!("{number:016x} {hash} "))
}

/// Ends a line.
fn check(mut text: String) -> Vec<u8> {
    let sum = crc32c::crc32c(text.as_bytes());
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{sum:08x}");
    text.into_bytes()
}

/// A line without its check, if that holds.
fn checked(line: &[u8]) -> Result<&[u8], &'static str> {
    let (text, check) = line.split_at(line.len() - 9);
    let sum = check.strip_suffix(b"\n").and_then(parse_hex).ok_or("the line's check is malformed")?;
    if sum != u64::from(crc32c::crc32c(text)) {
        return Err("the line does not check");
    }
    text.strip_suffix(b" ").ok_or("the line is malformed")
}

fn read_line(line: &[u8]) -> Result<(u64, Hash), &'static str> {
    let text = checked(line)?;
    let number = parse_hex(&text[..16]).ok_or("the line's segment number is malformed")?;
    let hash = Hash::parse(&text[17..]).ok_or("the line's hash is malformed")?;
    if text[16] == b' ' { Ok((number, hash)) } else { Err("the line is malformed") }
}

fn hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}

/// Lower-case digits only: one hash has one text.
fn parse_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number: u64, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}

/// Hashes one segment onto a chain.
#[derive(Debug)]
pub(crate) struct Hashing(blake3::Hasher);

impl Hashing {
    pub(crate) fn on(before: Hash) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(before.to_string().as_bytes());
        Self(hasher)
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn end(&self) -> Hash {
        Hash(*self.0.finalize().as_bytes())
    }
}

/// How the chain of an open log stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainStats {
    /// The newest hash.
    pub head: Option<ChainHead>,
    /// Number of the segment that the chain goes on with.
    pub next: u64,
    /// Why it could not be gone on with, until it is.
    pub failure: Option<String>,
}

/// How long the thread waits after a failure before it tries again.
const BACKOFF: Duration = Duration::from_secs(1);

/// Keeps a log's chain: goes on with it as segments become sealed.
pub(crate) struct Keeper {
    /// Held for a whole segment: there is one that hashes.
    hashing: Mutex<()>,
    state: Mutex<State>,
    thread: OnceLock<Thread>,
    stop: AtomicBool,
}

struct State {
    chain: Chain,
    failure: Option<String>,
    /// The file holds something else than the chain up to its head, and must be written anew.
    stale: bool,
    found: ChainFile,
}

impl Keeper {
    /// Takes up the chain of a log whose first segment that is kept is `first`.
    pub(crate) fn open(medium: &dyn Medium, log_id: [u8; 16], first: u64) -> io::Result<Self> {
        let file = medium.read_beside(FILE)?;
        let (chain, found) = Chain::read(file.as_deref(), log_id);
        // A chain that ends before the first segment cannot be gone on with.
        let chain = chain.filter(|chain| chain.first <= first && chain.next() >= first);
        let stale = chain.is_none() || found != ChainFile::Whole;
        let chain = chain.unwrap_or_else(|| Chain::beginning(log_id, first));
        Ok(Self {
            hashing: Mutex::new(()),
            state: Mutex::new(State { chain, failure: None, stale, found }),
            thread: OnceLock::new(),
            stop: AtomicBool::new(false),
        })
    }

    /// What the file was when the log was opened.
    pub(crate) fn found(&self) -> ChainFile {
        lock(&self.state).found
    }

    pub(crate) fn chain(&self) -> Chain {
        lock(&self.state).chain.clone()
    }

    pub(crate) fn stats(&self, geometry: Geometry) -> ChainStats {
        let state = lock(&self.state);
        let head = |(segment, hash)| ChainHead { segment, lsn: geometry.base(segment + 1), hash };
        ChainStats { head: state.chain.head().map(head), next: state.chain.next(), failure: state.failure.clone() }
    }

    /// Number of the first segment that is not in the chain.
    pub(crate) fn next(&self) -> u64 {
        lock(&self.state).chain.next()
    }

    /// Names the thread that runs [`Keeper::run`].
    pub(crate) fn employ(&self, thread: Thread) {
        let _ = self.thread.set(thread);
    }

    /// Makes the thread look again. The token of `unpark` sticks, so it is never missed.
    pub(crate) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// The thread: goes on with the chain whenever a segment becomes sealed, and keeps trying when that fails.
    pub(crate) fn run(&self, extend: impl Fn() -> io::Result<bool>) {
        while !self.stop.load(Ordering::Acquire) {
            match extend() {
                Ok(true) => {}
                Ok(false) => park(),
                Err(_) => park_timeout(BACKOFF),
            }
        }
    }

    /// Goes on with the next segment, if it is sealed. Answers whether the chain grew; gives up when told to stop.
    pub(crate) fn extend(
        &self,
        medium: &dyn Medium,
        table: &Table,
        geometry: Geometry,
        durable: Lsn,
    ) -> io::Result<bool> {
        let _guard = lock(&self.hashing);
        let (number, before) = {
            let state = lock(&self.state);
            let number = state.chain.next();
            (number, state.chain.before(number).unwrap_or(state.chain.before))
        };
        if geometry.base(number + 1) > durable {
            return Ok(false);
        }
        let Some(segment) = table.get(number) else { return Ok(false) };
        let hash = hash_segment(medium, &segment, before, || self.stop.load(Ordering::Relaxed));
        let outcome = match hash {
            Ok(Some(hash)) => self.append(medium, number, hash),
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        };
        lock(&self.state).failure = outcome.as_ref().err().map(ToString::to_string);
        outcome
    }

    fn append(&self, medium: &dyn Medium, number: u64, hash: Hash) -> io::Result<bool> {
        let mut state = lock(&self.state);
        let mut longer = state.chain.clone();
        longer.hashes.push(hash);
        let written = if state.stale {
            medium.replace_beside(FILE, &longer.write())
        } else {
            medium.append_beside(FILE, &line(number, hash))
        };
        // What a failed append left in the file is unknown.
        state.stale = written.is_err();
        written?;
        state.chain = longer;
        Ok(true)
    }
}

/// Reads a sealed segment from where it lies and hashes it. `None` when told to stop.
fn hash_segment(
    medium: &dyn Medium,
    segment: &Segment,
    before: Hash,
    stop: impl Fn() -> bool,
) -> io::Result<Option<Hash>> {
    let mut hashing = Hashing::on(before);
    if let Some(file) = medium.read_segment(segment.number())? {
        let mut file = file.take(segment.region().size_bytes());
        let mut step = vec![0; STEP];
        let mut seen = 0;
        loop {
            match file.read(&mut step)? {
                _ if stop() => return Ok(None),
                0 if seen == segment.region().size_bytes() => break,
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => {
                    seen += length as u64;
                    hashing.update(&step[..length]);
                }
            }
        }
    } else {
        let bytes = segment.region().bytes(0..segment.region().size_bytes());
        let bytes = bytes.ok_or_else(|| io::Error::other("a sealed segment with unpublished bytes"))?;
        for step in bytes.chunks(STEP) {
            if stop() {
                return Ok(None);
            }
            hashing.update(step);
        }
    }
    Ok(Some(hashing.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as they must be forever: hashes and checks are those of other implementations.
    const GOLDEN: &str = concat!(
        "chain 1 log 07070707070707070707070707070707 from 0000000000000000 ",
        "af6c64c3ec2b72a1c8eac6221b83b4e1c9b69893ee14816a5cde5b7834f4b979 33d06cae\n",
        "0000000000000000 594669125d5334d7f3dff94289ef3b4a16f5abbeabf077f7154e678c4cdfb5d7 8424b349\n",
    );

    fn one() -> Chain {
        let mut chain = Chain::of_log([7; 16]);
        let mut hashing = Hashing::on(chain.before);
        hashing.update(b"the bytes of a segment");
        chain.hashes.push(hashing.end());
        chain
    }

    #[test]
    fn a_chain_is_written_as_lines() {
        assert_eq!(std::str::from_utf8(&one().write()), Ok(GOLDEN));
    }

    #[test]
    fn a_chain_is_read_back() {
        let mut chain = one();
        chain.hashes.extend([Hash([1; 32]), Hash([2; 32])]);
        let file = chain.write();
        assert_eq!(Chain::read(Some(&file), [7; 16]), (Some(chain.clone()), ChainFile::Whole));
        assert_eq!((chain.first(), chain.next(), chain.head()), (0, 3, Some((2, Hash([2; 32])))));
        assert_eq!((chain.at(1), chain.before(1)), (Some(Hash([1; 32])), chain.at(0)));
        assert_eq!((chain.at(3), chain.before(3), chain.before(4)), (None, Some(Hash([2; 32])), None));
        assert_eq!(chain.before(0), Some(chain.before));
        let other = Chain::read(Some(&file), [8; 16]);
        assert!(matches!(other, (None, ChainFile::Damaged { offset: 0, .. })));
        assert_eq!(Chain::read(None, [7; 16]), (None, ChainFile::Missing));
    }

    #[test]
    fn a_torn_line_is_dropped_and_a_changed_one_is_damage() {
        let mut chain = one();
        chain.hashes.push(Hash([1; 32]));
        let file = chain.write();
        for length in 0..file.len() {
            let (read, found) = Chain::read(Some(&file[..length]), [7; 16]);
            let whole = (length as u64).checked_sub(FIRST_LINE as u64).map(|rest| rest / LINE as u64);
            assert_eq!(read.map(|read| read.next()), whole);
            let offset = whole.map_or(0, |lines| (FIRST_LINE as u64) + lines * LINE as u64);
            let expected =
                if offset == length as u64 && length > 0 { ChainFile::Whole } else { ChainFile::Torn { offset } };
            assert_eq!(found, expected, "{length}");
        }
        let mut grown = file.clone();
        grown.extend([0; LINE]);
        assert_eq!(Chain::read(Some(&grown), [7; 16]), (Some(chain), ChainFile::Torn { offset: file.len() as u64 }));
        for byte in 0..file.len() {
            for bit in 0..8 {
                let mut file = file.clone();
                file[byte] ^= 1 << bit;
                let (_, found) = Chain::read(Some(&file), [7; 16]);
                assert!(
                    matches!(found, ChainFile::Damaged { offset, .. } if offset <= byte as u64),
                    "{byte} {found:?}"
                );
            }
        }
    }

    #[test]
    fn a_chain_that_lost_its_beginning_says_so() {
        assert_ne!(Chain::beginning([7; 16], 3).before, Chain::of_log([7; 16]).before);
        assert_eq!(Chain::beginning([7; 16], 3).next(), 3);
    }
}
