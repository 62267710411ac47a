//! The memory in front of a segment's file.
//!
//! It is one range of mapped memory, of which three parts move along as the log grows:
//!
//! | part | memory | why |
//! |---|---|---|
//! | *settled*: whole steps of durable bytes | the file's own pages, read only | they cost no memory of the process |
//! | up to the tail and a little further | private pages (huge ones where there are), present before they are needed | see below |
//! | the rest | private, not touched yet | |
//!
//! Appenders write to private pages, and what was published is written to the file by position and synced. Why not to the file's pages,
//! with `msync`? The kernel must then make each page read-only in every processor's translation cache before it writes it, one
//! interrupt to all of them a page, and the next append to it faults. Measured with groups of 192 KiB on two processors: 480 us of
//! the flusher's processor time a group against 80, and 640 us until it is durable against 200; groups of 4 KiB take the same either way.
//!
//! A segment that is opened again is mapped privately in front of its file: pages that recovery or an appender changes become its own, all
//! others are the file's. So the same three parts hold, with smaller pages.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::mm::{MapFlags, ProtFlags};

use crate::format::SEGMENT_HEADER_BYTES;
use crate::sync::{Mutex, lock};

/// Bytes that change from one kind of memory to another at once: the size of a huge page. Small in unit tests, so that it happens there.
const STEP: u64 = if cfg!(test) { 4096 } else { 2 << 20 };
/// Private memory that is present ahead of the tail: what the log takes in some 20 ms at its fastest.
const AHEAD: u64 = 2 * STEP;

/// Bytes of a file that are looked at at once.
const SCAN_BYTES: usize = 256 << 10;

pub(super) struct FileMemory {
    /// The whole range. It is ours to remap piece by piece; dropping it unmaps whatever stands there.
    map: MmapRaw,
    file: File,
    care: Mutex<Care>,
}

/// How far the memory has been taken care of.
#[derive(Default)]
struct Care {
    /// Below it, the file's own pages are mapped.
    settled: u64,
    /// Below it, private pages are present, or were.
    present: u64,
}

impl FileMemory {
    /// Memory in front of a file that consists of `header` and zeros.
    pub(super) fn fresh(file: File, bytes: u64, header: &[u8]) -> io::Result<Self> {
        let mut map = MmapOptions::new().len(bytes as usize).map_anon()?;
        map[..header.len()].copy_from_slice(header);
        // Best effort: without huge pages it is as right.
        let _ = map.advise(Advice::HugePage);
        let memory = Self { map: MmapRaw::from(map), file, care: Mutex::default() };
        memory.tend(0, 0);
        Ok(memory)
    }

    /// Memory in front of a file that may hold anything.
    pub(super) fn opened(file: File) -> io::Result<Self> {
        // SAFETY: the file belongs to this process alone (the directory's lock) and is never truncated while it is mapped, and nobody
        // writes to it but `write_out`, whose bytes are those that the memory has there already.
        let map = unsafe { MmapOptions::new().map_copy(&file)? };
        Ok(Self { map: MmapRaw::from(map), file, care: Mutex::default() })
    }

    /// The same file with memory as if it was fresh: for a file that holds nothing behind its header.
    pub(super) fn renewed(self) -> io::Result<Self> {
        let mut header = [0; SEGMENT_HEADER_BYTES as usize];
        self.file.read_exact_at(&mut header, 0)?;
        let len = self.len() as u64;
        Self::fresh(self.file, len, &header)
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        NonNull::new(self.map.as_mut_ptr()).unwrap_or(NonNull::dangling())
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// Writes `bytes`, which stand at `offset`, to the file and makes them durable.
    pub(super) fn write_out(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        self.file.sync_data()
    }

    /// Offset behind the last byte of `range` of the file that is not zero, or the range's start if there is none.
    ///
    /// Reads the file by position: it is a tenth of the time that touching each page of a mapping takes.
    pub(super) fn end_of_content(&self, range: Range<u64>) -> io::Result<u64> {
        let mut piece = vec![0u8; SCAN_BYTES.min((range.end - range.start) as usize)];
        let (mut end, mut at) = (range.start, range.start);
        while at < range.end {
            let piece = &mut piece[..(range.end - at).min(SCAN_BYTES as u64) as usize];
            self.file.read_exact_at(piece, at)?;
            end = last_nonzero(piece).map_or(end, |last| at + last as u64 + 1);
            at += piece.len() as u64;
        }
        Ok(end)
    }

    /// Takes care of the memory: maps the file itself below `durable`, and has private memory present ahead of `tail`. Both are
    /// offsets. Everything below `durable` is published and was written out.
    pub(super) fn tend(&self, durable: u64, tail: u64) {
        let mut care = lock(&self.care);
        let len = self.len() as u64;
        let settle = if durable >= len { len } else { durable / STEP * STEP };
        if settle > care.settled && self.map_file(care.settled..settle).is_ok() {
            care.settled = settle;
        }
        let from = care.present.max(care.settled).max(tail / STEP * STEP);
        let to = (tail + AHEAD).next_multiple_of(STEP).min(len);
        if from < to {
            // Best effort: an old kernel does not know it, and appenders then fault the pages in.
            let _ = self.map.advise_range(Advice::PopulateWrite, from as usize, (to - from) as usize);
            care.present = to;
        }
    }

    /// Puts the file's own pages in the place of private ones. Not doing so costs memory and nothing else.
    fn map_file(&self, range: Range<u64>) -> io::Result<()> {
        let len = (range.end - range.start) as usize;
        assert!(range.end <= self.len() as u64);
        // SAFETY: inside the mapping (asserted).
        let at = unsafe { self.map.as_mut_ptr().add(range.start as usize) };
        // SAFETY: the range belongs to `self.map`, which stays the owner of whatever is mapped there. Its bytes are published, so nobody
        // writes them again, and were written to the file at the same offsets, so whoever reads them, before, during or after, reads the
        // same; the kernel replaces a mapping as one step, so an access meanwhile waits and cannot fail.
        unsafe {
            rustix::mm::mmap(
                at.cast(),
                len,
                ProtFlags::READ,
                MapFlags::SHARED | MapFlags::FIXED,
                &self.file,
                range.start,
            )?;
        }
        Ok(())
    }
}

/// Place of the last byte that is not zero.
pub(super) fn last_nonzero(bytes: &[u8]) -> Option<usize> {
    // A sum of whole lines first, which the compiler turns into wide instructions: nearly all bytes are zero.
    let (lines, rest) = bytes.as_chunks::<64>();
    let is_zero = |line: &[u8; 64]| line.iter().fold(0, |all, byte| all | byte) == 0;
    let in_rest = rest.iter().rposition(|byte| *byte != 0).map(|place| lines.len() * 64 + place);
    in_rest.or_else(|| {
        let line = lines.iter().rposition(|line| !is_zero(line))?;
        lines[line].iter().rposition(|byte| *byte != 0).map(|place| line * 64 + place)
    })
}

#[cfg(all(test, not(drawdown_loom)))]
mod tests {
    use super::*;
    use std::io::Write;

    const LEN: u64 = 8 * STEP;

    fn file() -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&vec![0; LEN as usize]).expect("room");
        file
    }

    fn bytes(memory: &FileMemory) -> &[u8] {
        // SAFETY: the tests write on this thread only, and not while they hold the slice.
        unsafe { std::slice::from_raw_parts(memory.base().as_ptr(), memory.len()) }
    }

    fn append(memory: &FileMemory, range: Range<u64>, byte: u8) {
        // SAFETY: inside the mapping; nobody else uses it.
        let at = unsafe { memory.base().as_ptr().add(range.start as usize) };
        // SAFETY: as above, for the whole range.
        unsafe { at.write_bytes(byte, (range.end - range.start) as usize) };
    }

    fn of_file(memory: &FileMemory) -> Vec<u8> {
        let mut found = vec![0; LEN as usize];
        memory.file.read_exact_at(&mut found, 0).expect("readable");
        found
    }

    #[test]
    fn the_memory_reads_the_same_whichever_part_it_is() {
        let fresh = FileMemory::fresh(file(), LEN, b"header").expect("memory");
        fresh.write_out(0, b"header").expect("a sync");
        let opened = FileMemory::opened(fresh.file.try_clone().expect("a handle")).expect("memory");
        assert_eq!(&bytes(&opened)[..6], b"header");
        for memory in [fresh, opened] {
            let mut expected = of_file(&memory);
            // Pieces that end inside steps, at their ends, and at the end of all.
            let ends = [100, STEP, STEP + 1, 3 * STEP - 1, 3 * STEP, 6 * STEP + 17, LEN];
            let mut at = 6;
            for (end, byte) in ends.into_iter().zip(1..) {
                append(&memory, at..end, byte);
                expected[at as usize..end as usize].fill(byte);
                assert!(bytes(&memory) == expected, "before it is written out, up to {end}");
                memory.write_out(at, &expected[at as usize..end as usize]).expect("a sync");
                memory.tend(end, end);
                assert!(bytes(&memory) == expected, "settled up to {end}");
                assert!(of_file(&memory) == expected);
                let settled = lock(&memory.care).settled;
                assert_eq!(settled, if end == LEN { LEN } else { end / STEP * STEP });
                at = end;
            }
            // What another handle writes shows: these are the file's own pages.
            memory.file.write_all_at(b"?", LEN - 1).expect("a write");
            assert_eq!(bytes(&memory)[LEN as usize - 1], b'?');
            memory.file.write_all_at(&vec![0; LEN as usize - 6], 6).expect("a write");
        }
    }

    #[test]
    fn what_is_not_written_out_is_not_in_the_file() {
        let memory = FileMemory::fresh(file(), LEN, b"").expect("memory");
        append(&memory, 0..2 * STEP, 7);
        assert!(of_file(&memory).iter().all(|byte| *byte == 0));
        memory.write_out(0, &bytes(&memory)[..STEP as usize]).expect("a sync");
        assert!(of_file(&memory)[..STEP as usize].iter().all(|byte| *byte == 7));
        assert!(of_file(&memory)[STEP as usize..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn the_end_of_what_a_file_holds_is_found() {
        let memory = FileMemory::fresh(file(), LEN, b"").expect("memory");
        for from in [0, 1, 4096] {
            assert_eq!(memory.end_of_content(from..LEN).expect("readable"), from);
        }
        let mut before = 0;
        for end in [2, 63, 64, 65, 4096, 5000, LEN - 64, LEN - 1, LEN] {
            memory.file.write_all_at(&[1], end - 1).expect("a write");
            assert_eq!(memory.end_of_content(0..LEN).expect("readable"), end);
            assert_eq!(memory.end_of_content(end - 1..LEN).expect("readable"), end);
            assert_eq!(memory.end_of_content(end..LEN).expect("readable"), end);
            assert_eq!(memory.end_of_content(0..end - 1).expect("readable"), before);
            before = end;
        }
    }
}
