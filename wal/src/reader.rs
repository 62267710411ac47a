//! Reading frames back: in order and durable ones only ([`Reader`]), or single records by position ([`SegmentView`]).

use std::fmt;
use std::sync::Arc;

use crate::error::ReadError;
use crate::format::{FRAME_ALIGN, FRAME_HEADER_BYTES, FRAME_KINDS, FrameHeader, SEGMENT_HEADER_BYTES};
use crate::lsn::Lsn;
use crate::segment::Segment;
use crate::writer::Core;

/// A frame as it stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRef<'a> {
    /// Position of the frame.
    pub lsn: Lsn,
    /// Position behind the frame: where to go on reading, and what had to be durable for it to be read.
    pub end: Lsn,
    /// Run in which it was written.
    pub run: u32,
    /// The caller's kind.
    pub kind: u8,
    /// The caller's count, below 2^24.
    pub count: u32,
    /// The caller's bytes.
    pub payload: &'a [u8],
    /// Position of the first of them.
    pub payload_lsn: Lsn,
}

/// Reads durable frames in order. Frames of the log's own are passed over.
pub struct Reader {
    core: Arc<Core>,
    /// Start of the next frame to look at; below `from` while the reader is still looking for its first frame.
    at: Lsn,
    from: Lsn,
    segment: Option<Arc<Segment>>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("at", &self.at).field("from", &self.from).finish_non_exhaustive()
    }
}

impl Reader {
    pub(crate) fn new(core: Arc<Core>, from: Lsn) -> Self {
        let (number, _) = core.geometry.split(from.get());
        let at = core.geometry.base(number);
        Self { core, at, from, segment: None }
    }

    /// A reader that begins at `end`, where a frame ends.
    pub(crate) fn behind(core: Arc<Core>, end: Lsn) -> Self {
        Self { core, at: end, from: end, segment: None }
    }

    /// Where the next frame is looked for. Everything before was read or passed over.
    pub fn position(&self) -> Lsn {
        self.at.max(self.from)
    }

    /// The next durable frame, or `None` at the durable end. After `None`, wait until the log is durable beyond
    /// [`Reader::position`] and call again.
    #[expect(clippy::should_implement_trait, reason = "the frame borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<FrameRef<'_>>, ReadError> {
        while let Some((offset, header)) = self.step()? {
            if header.lsn < self.from || header.kind >= FRAME_KINDS {
                continue;
            }
            let segment = self.segment.as_ref().ok_or_else(|| corrupt(0, 0, header.lsn))?;
            let payload = segment.region().bytes(offset + FRAME_HEADER_BYTES..offset + u64::from(header.length));
            return Ok(Some(FrameRef {
                lsn: header.lsn,
                end: header.lsn.plus(header.extent()),
                run: header.run,
                kind: header.kind,
                count: header.count,
                payload: payload.unwrap_or_default(),
                payload_lsn: header.lsn.plus(FRAME_HEADER_BYTES),
            }));
        }
        Ok(None)
    }

    /// Moves over one frame of any kind. Frames before `from` are not checked beyond their lengths.
    fn step(&mut self) -> Result<Option<(u64, FrameHeader)>, ReadError> {
        // The durable LSN ends every read: what lies below is published (Acquire in `durable`).
        let durable = self.core.commit.durable();
        let (number, offset) = self.core.geometry.split(self.at.get());
        if offset < SEGMENT_HEADER_BYTES {
            self.segment = None;
            self.at = self.core.geometry.base(number).plus(SEGMENT_HEADER_BYTES);
        }
        let at = self.at;
        if at >= durable {
            return Ok(None);
        }
        let (number, offset) = self.core.geometry.split(at.get());
        if self.segment.is_none() {
            self.segment = self.core.table.get(number);
        }
        let Some(segment) = &self.segment else {
            let first = self.core.geometry.base(self.core.supply.first()).plus(SEGMENT_HEADER_BYTES);
            return Err(ReadError::Retired { lsn: at, first });
        };
        let header = frame_in(segment, offset, at >= self.from).ok_or_else(|| corrupt(number, offset, at))?;
        self.at = at.plus(header.extent());
        Ok(Some((offset, header)))
    }
}

/// The frame at `offset`, if one stands there.
fn frame_in(segment: &Segment, offset: u64, check: bool) -> Option<FrameHeader> {
    let region = segment.region();
    let length = region.length_at(offset);
    let lsn = segment.base().plus(offset);
    let extent = u64::from(length).next_multiple_of(FRAME_ALIGN);
    if u64::from(length) < FRAME_HEADER_BYTES || offset + extent > region.size_bytes() {
        return None;
    }
    let rest = region.bytes(offset + 4..offset + FRAME_HEADER_BYTES)?;
    let header = FrameHeader::decode(length, rest);
    if header.lsn != lsn {
        return None;
    }
    let payload = region.bytes(offset + FRAME_HEADER_BYTES..offset + u64::from(length))?;
    (!check || header.checks(segment.seed(), rest, payload)).then_some(header)
}

fn corrupt(segment: u64, offset: u64, lsn: Lsn) -> ReadError {
    ReadError::Corrupt { segment, offset, lsn }
}

/// A segment kept at hand: stays readable even when it is retired meanwhile.
#[derive(Clone, Debug)]
pub struct SegmentView {
    segment: Arc<Segment>,
}

impl SegmentView {
    pub(crate) fn new(segment: Arc<Segment>) -> Self {
        Self { segment }
    }

    /// First position of the segment.
    pub fn start(&self) -> Lsn {
        self.segment.base()
    }

    /// Whether a frame that checks stands at `frame`, and goes on to `end`.
    pub(crate) fn is_frame(&self, frame: Lsn, end: Lsn) -> bool {
        let Some(offset) = frame.get().checked_sub(self.segment.base().get()) else { return false };
        let is_place = offset >= SEGMENT_HEADER_BYTES
            && offset.is_multiple_of(FRAME_ALIGN)
            && offset + FRAME_HEADER_BYTES <= self.segment.region().size_bytes();
        is_place && frame_in(&self.segment, offset, true).is_some_and(|header| end <= frame.plus(header.length.into()))
    }

    /// Position behind the segment.
    pub fn end(&self) -> Lsn {
        self.segment.base().plus(self.segment.region().size_bytes())
    }

    /// Bytes inside published frames, durable or not. `None` if they do not lie in this segment, or a frame at or before them in
    /// the segment is not published yet.
    ///
    /// That one unpublished frame hides what follows it is what makes this safe to call with any position: which bytes are immutable
    /// is known by walking the frames. The walk is remembered; below the flusher's position the cost is one load. A caller that holds
    /// an unpublished frame itself must not wait for bytes behind it.
    pub fn bytes(&self, lsn: Lsn, len: usize) -> Option<&[u8]> {
        let start = lsn.get().checked_sub(self.segment.base().get())?;
        let end = start.checked_add(len as u64)?;
        let region = self.segment.region();
        if start < SEGMENT_HEADER_BYTES || end > region.size_bytes() {
            return None;
        }
        region.bytes(start..end).or_else(|| {
            region.advance();
            region.bytes(start..end)
        })
    }
}
