//! A segment's file read from its beginning to its end, in pieces, each byte once.

use std::io;

use crate::archive::Bytes;
use crate::chain::{Hash, Hashing};

/// Bytes asked of the system at once.
const PIECE: u64 = 256 << 10;

/// The part of a file that is at hand.
pub(crate) struct Window<'a> {
    file: Bytes<'a>,
    /// Bytes of the file that may be read.
    size: u64,
    buffer: Vec<u8>,
    /// Offset of the buffer's first byte.
    start: u64,
    hashing: Option<Hashing>,
    told: &'a mut dyn FnMut(u64),
}

impl<'a> Window<'a> {
    /// Reads `size` bytes of `file`, hashing them if `before` is given, and tells of each piece how long it is.
    pub(crate) fn new(file: Bytes<'a>, size: u64, before: Option<Hash>, told: &'a mut dyn FnMut(u64)) -> Self {
        Self { file, size, buffer: Vec::new(), start: 0, hashing: before.map(Hashing::on), told }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes `from..to`, as far as the file has them. What lies before `from` is let go.
    pub(crate) fn bytes(&mut self, from: u64, to: u64) -> io::Result<&[u8]> {
        debug_assert!(from >= self.start, "what was let go is gone");
        let to = to.min(self.size);
        while self.start + (self.buffer.len() as u64) < to {
            self.load(from)?;
        }
        let place = |offset: u64| (offset.max(self.start) - self.start) as usize;
        Ok(&self.buffer[place(from).min(place(to))..place(to)])
    }

    fn load(&mut self, from: u64) -> io::Result<()> {
        let let_go = ((from - self.start) as usize).min(self.buffer.len());
        self.buffer.drain(..let_go);
        self.start += let_go as u64;
        let end = self.start + self.buffer.len() as u64;
        let piece = PIECE.min(self.size - end) as usize;
        let at = self.buffer.len();
        self.buffer.resize(at + piece, 0);
        self.file.read(end, &mut self.buffer[at..])?;
        if let Some(hashing) = &mut self.hashing {
            hashing.update(&self.buffer[at..]);
        }
        (self.told)(piece as u64);
        Ok(())
    }

    /// Reads what is left. The hash of all of it, if it was asked for.
    pub(crate) fn finish(mut self) -> io::Result<Option<Hash>> {
        let mut at = self.start + self.buffer.len() as u64;
        while at < self.size {
            self.load(at)?;
            at = self.start + self.buffer.len() as u64;
        }
        Ok(self.hashing.map(|hashing| hashing.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Chain;

    #[test]
    fn bytes_come_in_any_pieces_and_are_hashed_once() {
        let file: Vec<u8> = (0..3 * PIECE + 100).map(|at| (at % 251) as u8).collect();
        let before = Chain::of_log([1; 16]).before(0).expect("the first");
        let mut expected = Hashing::on(before);
        expected.update(&file);
        for step in [32, 4096, 300_000, 2_000_000] {
            let mut told = 0;
            let mut count = |bytes| told += bytes;
            let mut window = Window::new(Bytes::Image(&file), file.len() as u64, Some(before), &mut count);
            let mut at = 0;
            while at < window.size() / 2 {
                let end = (at + step).min(window.size());
                assert_eq!(window.bytes(at, at + step).expect("bytes"), &file[at as usize..end as usize]);
                assert_eq!(window.bytes(at, at).expect("nothing"), b"");
                at = end;
            }
            assert_eq!(window.finish().expect("bytes"), Some(expected.end()));
            assert_eq!(told, file.len() as u64);
        }
    }
}
