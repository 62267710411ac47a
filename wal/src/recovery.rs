//! What the bytes say after a crash: where the log ends, and whether anything is missing.
//!
//! Pages reach a disk in any order, so behind the last sync anything may be there or not, and a valid frame behind a hole proves
//! nothing by itself. But each frame carries the durable LSN known when it was written, and so does each segment header. Let `D` be the
//! highest such mark, and `H` the first position at which no valid frame stands. Cases, as in `docs/wal-format.md`:
//!
//! - **clean**: `D <= H` and nothing but zeros from `H` on. The log ends at `H`.
//! - **torn**: `D <= H`, and something stands behind `H`. It was never durable: cut.
//! - **flipped**: `D <= H`, and what stands at `H` would be a frame if one bit were the other way (see `flip`): refuse.
//! - **lost**: `H < D`. Something that was durable is gone: refuse.
//! - **gap**: a segment file is missing between others, or `D` lies behind the last one: refuse.
//!
//! Only what was made durable last, with no frame written since, is ambiguous: no mark vouches for it. A log closed in order
//! ends with a frame that vouches for all of it.

use crate::chain::{self, Chain};
use crate::error::OpenError;
use crate::flip::{self, Flip};
use crate::format::{FRAME_ALIGN, SEGMENT_HEADER_BYTES, SegmentHeader, Slot, segment_seed, slot_at};
use crate::lsn::Lsn;
use crate::mapping::Region;
use crate::medium::Medium;
use crate::segment::Geometry;

/// Bytes of a segment's frames that tell whether anything was written to it.
const FIRST_BYTES: u64 = 4096;

/// What was found when the log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// First position that may hold a frame.
    pub first: Lsn,
    /// End of what was recovered: every frame of earlier runs lies below.
    pub end: Lsn,
    /// Number of the run that begins now.
    pub run: u32,
    /// What was cut away.
    pub torn: Option<TornTail>,
    /// Whether the log was made by this call.
    pub created: bool,
    /// Identity of the log.
    pub log_id: [u8; 16],
    /// Bytes per segment, as the files say.
    pub segment_bytes: u64,
}

/// Bytes that a crash left behind the end of the log. None of them was ever durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Where the cut was made.
    pub at: Lsn,
    /// From the cut to the last byte that was not zero.
    pub bytes: u64,
}

/// How much of the log to check when it is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// From the segment that was being written when the newest segment was prepared. Older frames are checked when they are read.
    #[default]
    Tail,
    /// Every frame.
    All,
}

/// A segment being recovered.
pub(crate) struct Found {
    pub(crate) number: u64,
    pub(crate) region: Region,
}

/// The outcome of a scan.
pub(crate) struct Scan {
    pub(crate) segments: Vec<Found>,
    pub(crate) geometry_bytes: u64,
    pub(crate) log_id: [u8; 16],
    pub(crate) end: Lsn,
    pub(crate) highest_run: u32,
    pub(crate) torn: Option<TornTail>,
}

/// Reads the segments `numbers` (ascending, not empty), finds the end of the log, and cuts a torn tail durably.
pub(crate) fn recover(medium: &dyn Medium, numbers: &[u64], verify: Verify) -> Result<Scan, OpenError> {
    let (mut segments, headers) = open_all(medium, numbers)?;
    let first = &headers[0];
    let (segment_bytes, log_id) = (first.segment_bytes, first.log_id);
    let geometry = Geometry { segment_bytes, max_frame_bytes: segment_bytes / 8 };

    let mut marks = Marks { durable: Lsn::ZERO, run: 0 };
    for header in &headers {
        marks.durable = marks.durable.max(header.durable);
        marks.run = marks.run.max(header.run);
    }
    // A segment is hashed when all of it is durable.
    let file = medium.read_beside(chain::FILE);
    let file =
        file.map_err(|source| OpenError::Io { path: medium.path(first.number).with_file_name(chain::FILE), source })?;
    if let (Some(chain), _) = Chain::read(file.as_deref(), log_id) {
        marks.durable = marks.durable.max(geometry.base(chain.next()));
    }
    let from = match verify {
        Verify::All => 0,
        Verify::Tail => {
            let (vouched, _) = geometry.split(marks.durable.get());
            (vouched.saturating_sub(headers[0].number) as usize).min(segments.len() - 1)
        }
    };

    let (hole, at) = walk(&mut segments, from, geometry, log_id, &mut marks);
    let ends = ends_of_content(medium, &mut segments[hole..], at, verify)?;
    look_behind(&mut segments[hole..], at, &ends, geometry, log_id, &mut marks);
    let base = geometry.base(segments[hole].number);
    let end = base.plus(at);
    if end < marks.durable {
        return Err(refuse(medium, &segments, geometry, end, marks.durable));
    }
    refuse_flipped(medium, &mut segments[hole], at, geometry, log_id)?;
    let torn = cut(medium, &mut segments, hole, at, &ends, geometry, marks.durable)?;
    renew(medium, &mut segments, hole)?;
    Ok(Scan { segments, geometry_bytes: segment_bytes, log_id, end, highest_run: marks.run, torn })
}

/// The highest values seen in anything valid.
struct Marks {
    durable: Lsn,
    run: u32,
}

fn open_all(medium: &dyn Medium, numbers: &[u64]) -> Result<(Vec<Found>, Vec<SegmentHeader>), OpenError> {
    let mut segments: Vec<Found> = Vec::with_capacity(numbers.len());
    let mut headers: Vec<SegmentHeader> = Vec::with_capacity(numbers.len());
    for &number in numbers {
        let path = medium.path(number);
        if let Some(before) = headers.last()
            && number != before.number + 1
        {
            let number = before.number + 1;
            return Err(OpenError::MissingSegment { path: medium.path(number), number });
        }
        let mut region = medium.open(number).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let wrong = |reason| OpenError::Header { path: path.clone(), reason };
        let header = SegmentHeader::decode(region.contents()).map_err(wrong)?;
        if header.number != number {
            return Err(wrong("carries another segment's number"));
        }
        if header.segment_bytes != region.size_bytes() {
            return Err(wrong("the file's size is not the one its header names"));
        }
        if !header.segment_bytes.is_multiple_of(SEGMENT_HEADER_BYTES) || header.segment_bytes < 2 * SEGMENT_HEADER_BYTES
        {
            return Err(wrong("the header names an impossible segment size"));
        }
        if number.checked_add(2).and_then(|next| next.checked_mul(header.segment_bytes)).is_none() {
            return Err(wrong("the segment number is beyond the largest LSN"));
        }
        if let Some(first) = headers.first()
            && (first.log_id != header.log_id || first.segment_bytes != header.segment_bytes)
        {
            return Err(wrong("belongs to another log than the first segment"));
        }
        headers.push(header);
        segments.push(Found { number, region });
    }
    Ok((segments, headers))
}

/// Walks frames from the start of segment `from` (an index) and returns where the first hole is: index and offset.
fn walk(segments: &mut [Found], from: usize, geometry: Geometry, log_id: [u8; 16], marks: &mut Marks) -> (usize, u64) {
    let mut run = 0;
    let last = segments.len() - 1;
    for (index, segment) in segments.iter_mut().enumerate().skip(from) {
        let (base, seed) = (geometry.base(segment.number), segment_seed(log_id, segment.number));
        let bytes = segment.region.contents();
        let mut at = SEGMENT_HEADER_BYTES;
        while at < geometry.segment_bytes {
            match slot_at(bytes, at as usize, base, seed) {
                // Runs never go down along a log. One that does is a frame left over from before a cut.
                Slot::Frame(header) if header.run >= run => {
                    run = header.run;
                    marks.run = marks.run.max(run);
                    marks.durable = marks.durable.max(header.durable);
                    at += header.extent();
                }
                Slot::Frame(_) | Slot::Empty | Slot::Broken => return (index, at),
            }
        }
        if index == last {
            return (index, at);
        }
    }
    (last, geometry.segment_bytes)
}

/// Where what is not zero ends, in each of `segments`, of which the first is looked at from `at` on.
///
/// Of the others the first frame's page is looked at, unless there is something in it or all is to be verified: a segment is written to from
/// its start, and only when all before it was synced. So if its first page is empty, either nothing was written to it, or the first write was
/// cut short, and then the log ends there: it would be the first one.
fn ends_of_content(
    medium: &dyn Medium,
    segments: &mut [Found],
    at: u64,
    verify: Verify,
) -> Result<Vec<u64>, OpenError> {
    let mut ends = Vec::with_capacity(segments.len());
    for (index, segment) in segments.iter_mut().enumerate() {
        let size = segment.region.size_bytes();
        let from = if index == 0 { at } else { SEGMENT_HEADER_BYTES };
        let mut end = Ok(from);
        if index > 0 && verify == Verify::Tail {
            end = segment.region.end_of_content(from..size.min(from + FIRST_BYTES));
        }
        if index == 0 || verify == Verify::All || end.as_ref().is_ok_and(|end| *end > from) {
            end = segment.region.end_of_content(from..size);
        }
        ends.push(end.map_err(|source| OpenError::Io { path: medium.path(segment.number), source })?);
    }
    Ok(ends)
}

/// Gives the segments that hold nothing, of those behind the hole, fresh memory: should there be anything in the part of them that was not
/// looked at, nobody will see it.
fn renew(medium: &dyn Medium, segments: &mut Vec<Found>, hole: usize) -> Result<(), OpenError> {
    let behind = segments.split_off(hole + 1);
    for Found { number, region } in behind {
        let region = region.renewed().map_err(|source| OpenError::Io { path: medium.path(number), source })?;
        segments.push(Found { number, region });
    }
    Ok(())
}

/// Reads the marks of whatever valid frames stand behind the hole, which is at `at` of the first segment. Every mark is true, whatever became
/// of its frame, and every run found is one that the next must exceed.
fn look_behind(segments: &mut [Found], at: u64, ends: &[u64], geometry: Geometry, log_id: [u8; 16], marks: &mut Marks) {
    let mut at = at;
    for (segment, &end) in segments.iter_mut().zip(ends) {
        let (base, seed) = (geometry.base(segment.number), segment_seed(log_id, segment.number));
        if at < end {
            let bytes = segment.region.contents();
            while at < end {
                if let Slot::Frame(header) = slot_at(bytes, at as usize, base, seed) {
                    marks.run = marks.run.max(header.run);
                    marks.durable = marks.durable.max(header.durable);
                    at += header.extent();
                } else {
                    at += FRAME_ALIGN;
                }
            }
        }
        at = SEGMENT_HEADER_BYTES;
    }
}

fn refuse(medium: &dyn Medium, segments: &[Found], geometry: Geometry, end: Lsn, durable: Lsn) -> OpenError {
    let (number, offset) = geometry.split(end.get());
    let last = segments[segments.len() - 1].number;
    if number > last {
        return OpenError::MissingSegment { path: medium.path(number), number };
    }
    OpenError::LostData { path: medium.path(number), offset, lsn: end, durable }
}

/// Refuses a log whose end is a frame that was whole until a bit of it flipped.
fn refuse_flipped(
    medium: &dyn Medium,
    segment: &mut Found,
    at: u64,
    geometry: Geometry,
    log_id: [u8; 16],
) -> Result<(), OpenError> {
    let number = segment.number;
    let lsn = geometry.base(number).plus(at);
    let bytes = &segment.region.contents()[at as usize..];
    match flip::find(bytes, at, lsn, segment_seed(log_id, number)) {
        Some(Flip { byte, bit }) => {
            Err(OpenError::FlippedBit { path: medium.path(number), offset: at + byte, bit, lsn })
        }
        None => Ok(()),
    }
}

/// Makes everything below the end durable and everything behind it zero, durably.
fn cut(
    medium: &dyn Medium,
    segments: &mut [Found],
    hole: usize,
    at: u64,
    ends: &[u64],
    geometry: Geometry,
    durable: Lsn,
) -> Result<Option<TornTail>, OpenError> {
    let end = geometry.base(segments[hole].number).plus(at);
    let mut last_dirty = end;
    for (index, segment) in segments.iter_mut().enumerate() {
        let base = geometry.base(segment.number);
        if base.plus(geometry.segment_bytes) <= durable && index < hole {
            continue;
        }
        let keep = match index.cmp(&hole) {
            std::cmp::Ordering::Less => geometry.segment_bytes,
            std::cmp::Ordering::Equal => at,
            std::cmp::Ordering::Greater => SEGMENT_HEADER_BYTES,
        };
        let bytes = segment.region.contents();
        // What was read may be in the page cache alone (the process died, or a sync failed and the pages were marked clean). The sync below
        // writes all of it once more.
        let unsure = durable.get().saturating_sub(base.get()).clamp(SEGMENT_HEADER_BYTES, keep);
        let mut stop = keep;
        if index >= hole && ends[index - hole] > keep {
            stop = ends[index - hole];
            bytes[keep as usize..stop as usize].fill(0);
            last_dirty = base.plus(stop);
        }
        if stop > unsure {
            let synced = segment.region.sync_exclusive(unsure..stop);
            synced.map_err(|source| OpenError::Io { path: medium.path(segment.number), source })?;
        }
    }
    Ok((last_dirty > end).then(|| TornTail { at: end, bytes: last_dirty.get() - end.get() }))
}
