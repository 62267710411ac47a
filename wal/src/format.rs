//! The bytes of the log: the one owner of names, versions, lengths and checksums. Drawn in `docs/wal-format.md`.
//!
//! All integers are little-endian. `tests/golden.rs` pins the format.

use crate::lsn::Lsn;

/// First bytes of every segment file.
pub(crate) const MAGIC: [u8; 8] = *b"DRAWDWAL";
/// Raised when a reader of the previous format could no longer read the new one.
pub(crate) const VERSION: u32 = 1;

/// Bytes at the start of a segment that never hold a frame: one page, of which the segment header uses the first 64 bytes.
/// Models shrink it, so that a segment holds few enough slots to explore.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = if cfg!(drawdown_loom) { 64 } else { 4096 };
/// Bytes of the segment header that carry something.
pub(crate) const SEGMENT_HEADER_USED: usize = 64;

/// Bytes before a frame's payload.
pub const FRAME_HEADER_BYTES: u64 = 32;
/// Frames begin at multiples of this many bytes: as large as a header, so that whatever remains behind a frame is either
/// nothing or room for a padding frame.
pub const FRAME_ALIGN: u64 = 32;
/// Largest `count` a frame header holds.
pub const FRAME_COUNT_MAX: u32 = (1 << 24) - 1;
/// Frame kinds below this belong to the caller; the others are the log's own and readers skip them.
pub const FRAME_KINDS: u8 = 240;

/// Space that was reserved and not used. Its checksum covers the header only.
pub(crate) const KIND_PAD: u8 = 240;
/// First frame of a run. Carries the run number to disk before anything else is appended.
pub(crate) const KIND_OPEN: u8 = 241;
/// Last frame of a run that was closed in order. Its durable mark covers everything before it.
pub(crate) const KIND_CLOSE: u8 = 242;

const _: () = assert!(FRAME_HEADER_BYTES == FRAME_ALIGN);
const _: () = assert!(SEGMENT_HEADER_BYTES.is_multiple_of(FRAME_ALIGN));
const _: () = assert!(SEGMENT_HEADER_USED as u64 <= SEGMENT_HEADER_BYTES);

/// Bytes that a frame with `payload` bytes of payload occupies in the log: header, payload, rounding to 32.
pub const fn frame_bytes(payload: u64) -> u64 {
    (FRAME_HEADER_BYTES + payload).next_multiple_of(FRAME_ALIGN)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | (u64::from(u32_at(bytes, at + 4)) << 32)
}

/// Bytes of a frame header behind the length word.
pub(crate) const FRAME_REST: usize = 28;

/// A frame header: 32 bytes, of which the first four (the length) are written last.
///
/// ```text
///  0        4        8                16       20   21      24               32
///  | length | crc32c | lsn            | run    |kind| count | durable        | payload ...
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Header and payload, not rounded. Zero means: nothing was published here.
    pub(crate) length: u32,
    pub(crate) lsn: Lsn,
    pub(crate) run: u32,
    pub(crate) kind: u8,
    pub(crate) count: u32,
    /// The durable LSN known when the frame was written: a promise that everything below it had been synced.
    pub(crate) durable: Lsn,
}

impl FrameHeader {
    /// The header's bytes behind the length word, checksum included.
    pub(crate) fn encode(&self, seed: u32, payload: &[u8]) -> [u8; FRAME_REST] {
        debug_assert!(self.count <= FRAME_COUNT_MAX);
        let mut all = [0u8; 4 + FRAME_REST - 4];
        all[0..4].copy_from_slice(&self.length.to_le_bytes());
        all[4..12].copy_from_slice(&self.lsn.get().to_le_bytes());
        all[12..16].copy_from_slice(&self.run.to_le_bytes());
        all[16..20].copy_from_slice(&(u32::from(self.kind) | (self.count << 8)).to_le_bytes());
        all[20..28].copy_from_slice(&self.durable.get().to_le_bytes());
        let crc = Self::checksum(seed, &all, self.kind, payload);
        all[0..4].copy_from_slice(&crc.to_le_bytes());
        all
    }

    fn checksum(seed: u32, summed: &[u8; FRAME_REST], kind: u8, payload: &[u8]) -> u32 {
        let header = crc32c::crc32c_append(seed, summed);
        if kind == KIND_PAD { header } else { crc32c::crc32c_append(header, payload) }
    }

    /// Reads a header from its length word and the 28 bytes behind it. Nothing is checked.
    pub(crate) fn decode(length: u32, rest: &[u8]) -> Self {
        let kind_and_count = u32_at(rest, 16);
        Self {
            length,
            lsn: Lsn::new(u64_at(rest, 4)),
            run: u32_at(rest, 12),
            kind: (kind_and_count & 0xff) as u8,
            count: kind_and_count >> 8,
            durable: Lsn::new(u64_at(rest, 20)),
        }
    }

    /// Reads a whole header. Nothing is checked.
    pub(crate) fn of(header: &[u8; FRAME_HEADER_BYTES as usize]) -> Self {
        Self::decode(u32_at(header, 0), &header[4..])
    }

    /// By how much the checksum in `rest` differs from that of this frame, as bits: zero if it checks.
    pub(crate) fn checksum_difference(&self, seed: u32, rest: &[u8], payload: &[u8]) -> u32 {
        let mut summed = [0u8; FRAME_REST];
        summed.copy_from_slice(&rest[..FRAME_REST]);
        summed[0..4].copy_from_slice(&self.length.to_le_bytes());
        Self::checksum(seed, &summed, self.kind, payload) ^ u32_at(rest, 0)
    }

    /// Whether the checksum in `rest` is that of this frame.
    pub(crate) fn checks(&self, seed: u32, rest: &[u8], payload: &[u8]) -> bool {
        self.checksum_difference(seed, rest, payload) == 0
    }

    /// The header of what stands at `lsn`, if its position and length can be those of a frame. `bytes` begin there and go on to the end of
    /// the segment, or as far as the frame does. Its checksum is not looked at.
    pub(crate) fn plausible(bytes: &[u8], lsn: Lsn) -> Option<Self> {
        let header = bytes.first_chunk::<{ FRAME_HEADER_BYTES as usize }>()?;
        let header = Self::of(header);
        let fits = u64::from(header.length) >= FRAME_HEADER_BYTES && header.extent() <= bytes.len() as u64;
        (fits && header.lsn == lsn).then_some(header)
    }

    /// Bytes the frame occupies, rounding included.
    pub(crate) fn extent(&self) -> u64 {
        u64::from(self.length).next_multiple_of(FRAME_ALIGN)
    }
}

/// The seed of every checksum in a segment: bytes of another log or another segment never pass for this one's.
pub(crate) fn segment_seed(log_id: [u8; 16], number: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&log_id), &number.to_le_bytes())
}

/// What stands at a position of a segment, judged by its bytes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A frame whose every check passes.
    Frame(FrameHeader),
    /// A zero length word.
    Empty,
    /// Anything else.
    Broken,
}

/// The frame that `header` and the payload behind it make at `lsn`, if its every check passes. `bytes` begin at the frame and go on to the end of
/// the segment; their own header is not looked at.
pub(crate) fn judge(
    header: &[u8; FRAME_HEADER_BYTES as usize],
    bytes: &[u8],
    lsn: Lsn,
    seed: u32,
) -> Option<FrameHeader> {
    let frame = FrameHeader::of(header);
    if frame.lsn != lsn || u64::from(frame.length) < FRAME_HEADER_BYTES || frame.extent() > bytes.len() as u64 {
        return None;
    }
    let payload = &bytes[FRAME_HEADER_BYTES as usize..frame.length as usize];
    frame.checks(seed, &header[4..], payload).then_some(frame)
}

/// Judges the bytes at `offset` of a segment. `offset` is a multiple of 32 inside `segment`.
pub(crate) fn slot_at(segment: &[u8], offset: usize, base: Lsn, seed: u32) -> Slot {
    let rest = &segment[offset..];
    let Some(header) = rest.first_chunk::<{ FRAME_HEADER_BYTES as usize }>().filter(|header| u32_at(*header, 0) != 0)
    else {
        return Slot::Empty;
    };
    // The position is compared before the checksum: it costs one load and turns away almost everything that is no frame.
    judge(header, rest, base.plus(offset as u64), seed).map_or(Slot::Broken, Slot::Frame)
}

/// The header of a segment file, in its first 64 bytes.
///
/// ```text
///  0       8         12       16       24              32               40        56    60         64
///  | magic | version | crc32c | number | segment_bytes | durable        | log id  | run | reserved |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    pub(crate) segment_bytes: u64,
    /// The durable LSN known when the segment was prepared.
    pub(crate) durable: Lsn,
    pub(crate) log_id: [u8; 16],
    pub(crate) run: u32,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_USED] {
        let mut bytes = [0u8; SEGMENT_HEADER_USED];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.segment_bytes.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.durable.get().to_le_bytes());
        bytes[40..56].copy_from_slice(&self.log_id);
        bytes[56..60].copy_from_slice(&self.run.to_le_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header, or says what is wrong with it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut copy = [0u8; SEGMENT_HEADER_USED];
        copy.copy_from_slice(bytes.get(..SEGMENT_HEADER_USED).ok_or("shorter than a segment header")?);
        if copy[0..8] != MAGIC {
            return Err("not a segment of this log format (magic)");
        }
        if u32_at(&copy, 8) != VERSION {
            return Err("written by another version of the log format");
        }
        let crc = u32_at(&copy, 12);
        copy[12..16].fill(0);
        if crc32c::crc32c(&copy) != crc {
            return Err("segment header checksum does not match");
        }
        let mut log_id = [0u8; 16];
        log_id.copy_from_slice(&copy[40..56]);
        Ok(Self {
            number: u64_at(&copy, 16),
            segment_bytes: u64_at(&copy, 24),
            durable: Lsn::new(u64_at(&copy, 32)),
            log_id,
            run: u32_at(&copy, 56),
        })
    }
}
