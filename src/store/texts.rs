//! Short texts by number, each written once and kept for good: a pointer and the bytes themselves, without an allocation of its own.
//!
//! The texts lie one behind the other in blocks that are never moved nor freed while the table lives; a table of pointers, made in pieces as
//! numbers are used, leads to them. Reading takes no lock. Writing takes one for as long as it takes to copy the bytes.
//!
//! # Invariants
//! 1. A pointer is null, or points at a text's head in a block of this table, followed by the text's bytes. It changes once, from null
//!    (Release, after the bytes were written), and is read with Acquire.
//! 2. What was handed out of a block is written by whoever got it, before its pointer is stored, and never again.

use super::sync::{AtomicPtr, Mutex, Ordering};
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

/// Pointers of a piece, pieces of a row, rows of the table: together all numbers there can be.
const PIECE: usize = 1 << 12;
const ROW: usize = 1 << 10;
const ROWS: usize = 1 << 10;
const _: () = assert!((PIECE * ROW * ROWS) as u64 == 1 << 32, "every number has a place");

/// Bytes of a block.
const BLOCK_BYTES: usize = if cfg!(any(test, miri)) { 600 } else { 1 << 20 };

/// Bytes before a text: its length and its tag.
const HEAD_BYTES: usize = 3;

/// The longest text, in bytes.
pub const TEXT_BYTES_MAX: usize = u8::MAX as usize;

type Piece = Box<[AtomicPtr<u8>]>;
type Row = Box<[OnceLock<Piece>]>;

/// See the module's documentation.
#[derive(Debug)]
pub struct Texts {
    rows: Box<[OnceLock<Row>]>,
    blocks: Mutex<Blocks>,
}

/// Where texts are put.
#[derive(Debug, Default)]
struct Blocks {
    /// All blocks; owned, but reached by the table's pointers too, hence no boxes.
    all: Vec<NonNull<[MaybeUninit<u8>]>>,
    /// The block that single texts go to.
    present: Block,
}

/// A block of which bytes are being handed out: to everybody, or to one [`Filler`].
#[derive(Debug, Default)]
struct Block {
    start: Option<NonNull<u8>>,
    used: usize,
}

// SAFETY: plain memory of the table, of which only what was not handed out is reached from here.
unsafe impl Send for Block {}

impl Block {
    /// Hands out `length` bytes, if there are as many left.
    fn take(&mut self, length: usize) -> Option<*mut u8> {
        let start = self.start.filter(|_| self.used + length <= BLOCK_BYTES)?;
        // SAFETY: `used + length` is within the block.
        let place = unsafe { start.as_ptr().add(self.used) };
        self.used += length;
        Some(place)
    }
}

// SAFETY: the blocks are plain memory that this value owns.
unsafe impl Send for Blocks {}

impl Blocks {
    /// Hands out `length` bytes, to be written by the caller alone.
    fn take(&mut self, length: usize) -> *mut u8 {
        if let Some(place) = self.present.take(length) {
            return place;
        }
        self.present = self.fresh();
        self.present.take(length).expect("a text is shorter than a block")
    }

    /// A new block, all of it the caller's.
    fn fresh(&mut self) -> Block {
        let block = NonNull::from(Box::leak(Box::new_uninit_slice(BLOCK_BYTES)));
        self.all.push(block);
        Block { start: Some(block.cast()), used: 0 }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        for block in self.all.drain(..) {
            // SAFETY: it came from a box in `take`, and the table, whose readers borrow it, is going.
            drop(unsafe { Box::from_raw(block.as_ptr()) });
        }
    }
}

impl Texts {
    /// No texts.
    pub fn new() -> Self {
        Texts { rows: (0..ROWS).map(|_| OnceLock::new()).collect(), blocks: Mutex::new(Blocks::default()) }
    }

    /// Writes the text of a number, with a tag. A number gets a text once.
    pub fn set(&self, number: u32, tag: u16, text: &str) {
        let place = self.blocks.lock().expect("nothing panics under the lock").take(HEAD_BYTES + text.len());
        self.write(place, number, tag, text);
    }

    /// For a thread that writes many texts: it takes blocks of its own and the lock once for each.
    pub fn filler(&self) -> Filler<'_> {
        Filler { texts: self, block: Block::default() }
    }

    /// Writes a text to bytes that were handed out for it to this thread alone, and makes its number lead to it.
    fn write(&self, at: *mut u8, number: u32, tag: u16, text: &str) {
        let length = u8::try_from(text.len()).expect("texts are bounded where they are admitted");
        let (row, piece, place) = locate(number);
        let row = self.rows[row].get_or_init(|| (0..ROW).map(|_| OnceLock::new()).collect());
        let piece = row[piece].get_or_init(|| (0..PIECE).map(|_| AtomicPtr::new(ptr::null_mut())).collect());
        let [low, high] = tag.to_le_bytes();
        for (offset, byte) in [length, low, high].into_iter().enumerate() {
            // SAFETY: within the bytes that were just handed out to this thread alone (invariant 2).
            let place = unsafe { at.add(offset) };
            // SAFETY: as above.
            unsafe { place.write(byte) };
        }
        // SAFETY: as above.
        let body = unsafe { at.add(HEAD_BYTES) };
        // SAFETY: as above; the text lies elsewhere, for nobody has seen these bytes.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), body, text.len()) };
        // Release, with get: the bytes are there.
        let fresh = piece[place].compare_exchange(ptr::null_mut(), at, Ordering::Release, Ordering::Relaxed);
        assert!(fresh.is_ok(), "a number gets a text once");
    }

    /// Whether a number has a text, without touching it.
    pub fn has(&self, number: u32) -> bool {
        self.start(number).is_some()
    }

    /// Where a number's text begins, with its head.
    fn start(&self, number: u32) -> Option<*const u8> {
        let (row, piece, place) = locate(number);
        // Acquire, with set.
        let at = self.rows[row].get()?[piece].get()?[place].load(Ordering::Acquire);
        (!at.is_null()).then_some(at.cast_const())
    }

    /// The tag and the text of a number.
    pub fn get(&self, number: u32) -> Option<(u16, &str)> {
        let at = self.start(number)?;
        // SAFETY: invariant 1: a head of three bytes, written before the pointer and never again, alive as long as `self`.
        let head = unsafe { std::slice::from_raw_parts(at, HEAD_BYTES) };
        // SAFETY: as above; the text follows its head in the same block.
        let body = unsafe { at.add(HEAD_BYTES) };
        // SAFETY: as above.
        let text = unsafe { std::slice::from_raw_parts(body, head[0].into()) };
        // SAFETY: the bytes of a `str`, copied whole.
        Some((u16::from_le_bytes([head[1], head[2]]), unsafe { std::str::from_utf8_unchecked(text) }))
    }
}

/// Writes many texts; see [`Texts::filler`].
#[derive(Debug)]
pub struct Filler<'a> {
    texts: &'a Texts,
    block: Block,
}

impl Filler<'_> {
    /// As [`Texts::set`].
    pub fn set(&mut self, number: u32, tag: u16, text: &str) {
        let length = HEAD_BYTES + text.len();
        let place = self.block.take(length).unwrap_or_else(|| {
            self.block = self.texts.blocks.lock().expect("nothing panics under the lock").fresh();
            self.block.take(length).expect("a text is shorter than a block")
        });
        self.texts.write(place, number, tag, text);
    }
}

impl Default for Texts {
    fn default() -> Self {
        Texts::new()
    }
}

/// Row, piece and place of a number.
fn locate(number: u32) -> (usize, usize, usize) {
    let number = number as usize;
    (number / (PIECE * ROW), number / PIECE % ROW, number % PIECE)
}

#[cfg(test)]
#[cfg(not(drawdown_loom))]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back_across_blocks_and_pieces() {
        let texts = Texts::new();
        let numbers = [0, 1, 7, PIECE as u32 - 1, PIECE as u32, (PIECE * ROW) as u32, u32::MAX];
        let text = |number: u32| "ü".repeat(number as usize % 100) + &number.to_string();
        for number in numbers {
            assert_eq!(texts.get(number), None);
            texts.set(number, number as u16, &text(number));
        }
        for number in numbers {
            assert_eq!(texts.get(number), Some((number as u16, text(number).as_str())));
        }
        assert_eq!(texts.get(8), None);
    }

    #[test]
    fn fillers_and_single_texts_go_side_by_side() {
        let texts = Texts::new();
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let texts = &texts;
                scope.spawn(move || {
                    let mut filler = texts.filler();
                    for number in (thread..300).step_by(3) {
                        match number % 2 {
                            0 => filler.set(number, thread as u16, &format!("filled-{number}")),
                            _ => texts.set(number, thread as u16, &format!("single-{number}")),
                        }
                    }
                });
            }
        });
        for number in 0..300 {
            let kind = if number % 2 == 0 { "filled" } else { "single" };
            assert_eq!(texts.get(number), Some(((number % 3) as u16, format!("{kind}-{number}").as_str())));
        }
    }

    #[test]
    fn the_longest_and_the_empty_text_fit() {
        let texts = Texts::new();
        let longest = "x".repeat(TEXT_BYTES_MAX);
        for number in 0..10 {
            texts.set(number, 1, if number % 2 == 0 { &longest } else { "" });
        }
        assert_eq!(texts.get(4), Some((1, longest.as_str())));
        assert_eq!(texts.get(5), Some((1, "")));
    }

    #[test]
    #[should_panic(expected = "a number gets a text once")]
    fn a_text_is_not_replaced() {
        let texts = Texts::new();
        texts.set(3, 0, "one");
        texts.set(3, 0, "two");
    }

    #[test]
    fn threads_write_and_read_at_once() {
        const COUNT: u32 = if cfg!(miri) { 50 } else { 20_000 };
        let texts = Texts::new();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let texts = &texts;
                scope.spawn(move || {
                    for number in (thread..COUNT).step_by(4) {
                        texts.set(number, thread as u16, &format!("customer-{number}"));
                        let other = number / 2;
                        if let Some((tag, text)) = texts.get(other) {
                            assert_eq!((u32::from(tag), text), (other % 4, format!("customer-{other}").as_str()));
                        }
                    }
                });
            }
        });
        assert!(
            (0..COUNT).all(|number| texts.get(number).is_some_and(|(_, text)| text.ends_with(&number.to_string())))
        );
    }
}
