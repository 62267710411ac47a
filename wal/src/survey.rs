//! Every byte of a log looked at: what stands where, where the log ends, and what is wrong with it.
//!
//! The judgement on the log's end is recovery's (`recovery.rs`, `docs/wal-format.md`), reached from the files alone. What recovery has no need to
//! look at is looked at here too: bytes that no checksum covers are zero in every log, and a sealed segment is what the hash chain says. So one
//! changed bit is found wherever it is, save where nothing is known of what should stand there: behind the end of a log that did not end in
//! order.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::archive::Archive;
use crate::chain::{self, Chain, ChainFile, Hash};
use crate::flip;
use crate::format::{
    FRAME_ALIGN, FRAME_HEADER_BYTES, FRAME_KINDS, FrameHeader, KIND_CLOSE, KIND_OPEN, KIND_PAD, SEGMENT_HEADER_BYTES,
    SEGMENT_HEADER_USED, SegmentHeader, judge, segment_seed,
};
use crate::lsn::Lsn;
use crate::reader::FrameRef;
use crate::recovery::TornTail;
use crate::window::Window;

const PAGE: u64 = 4096;
const SECTOR: u64 = 512;
/// More are counted, not kept.
const DAMAGES_MAX: usize = 100;

/// What is wrong somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A segment's header does not check, or is another's.
    Header(&'static str),
    /// A segment's file has another size than its log's segments.
    Size {
        /// Its bytes.
        found: u64,
        /// The log's.
        expected: u64,
    },
    /// A segment's file is not there.
    Missing,
    /// No frame was published where one was durable.
    Empty,
    /// The length of what should be a frame is none that it can have.
    Length(u32),
    /// A frame carries another position than the one at which it stands.
    Position(Lsn),
    /// A frame's checksum does not match.
    Checksum,
    /// A frame's checksum does not match, and one of its sectors holds nothing.
    Sector,
    /// A frame would be whole if this bit of the byte were the other way; 0 is the lowest.
    FlippedBit(u8),
    /// A frame is whole, and of an earlier run than one before it.
    Run {
        /// Its run.
        found: u32,
        /// The run before.
        before: u32,
    },
    /// A byte that no frame and no header uses is not zero.
    NotZero(&'static str),
    /// A segment's hash is not the one that the chain has.
    Chain {
        /// The chain's.
        recorded: Hash,
        /// What the segment's bytes come to.
        found: Hash,
    },
    /// The file of the chain is damaged.
    ChainFile(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Header(what) | Fault::ChainFile(what) => f.write_str(what),
            Fault::Size { found, expected } => write!(f, "the file has {found} bytes instead of {expected}"),
            Fault::Missing => f.write_str("the file is missing"),
            Fault::Empty => f.write_str("no frame stands where one was durable"),
            Fault::Length(length) => write!(f, "a frame cannot be {length} bytes long here"),
            Fault::Position(lsn) => write!(f, "the frame carries position {lsn}"),
            Fault::Checksum => f.write_str("the frame's checksum does not match"),
            Fault::Sector => f.write_str("the frame's checksum does not match, and this sector of it holds nothing"),
            Fault::FlippedBit(bit) => {
                write!(f, "bit {bit} of this byte is flipped: with it turned back the frame is whole")
            }
            Fault::Run { found, before } => write!(f, "a frame of run {found} stands behind one of run {before}"),
            Fault::NotZero(where_) => write!(f, "{where_} should hold zeros"),
            Fault::Chain { recorded, found } => {
                write!(f, "the segment's bytes hash to {found}, and the chain recorded {recorded}")
            }
        }
    }
}

/// Something that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// The first bad byte, as far as it can be told: else the beginning of what is bad.
    pub offset: u64,
    /// The same as a position of the log. For a frame that does not check, the position of the frame.
    pub lsn: Lsn,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, offset {}, LSN {}: {}", self.path.display(), self.offset, self.lsn, self.fault)
    }
}

/// How a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// In order: its last frame says so, and nothing may stand behind it.
    InOrder,
    /// It was not closed: the process died, or the machine did.
    Open,
    /// A server has it open; the survey ends at what that had made durable.
    Bounded,
}

/// What was found in one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentSurvey {
    /// Its number.
    pub number: u64,
    /// Its first position.
    pub start: Lsn,
    /// Position behind its last frame.
    pub end: Lsn,
    /// The run that prepared it. Zero if its header does not say.
    pub prepared_by: u32,
    /// Runs of its frames, first and last. Zero if it has none.
    pub runs: (u32, u32),
    /// Frames of the caller's.
    pub frames: u64,
    /// The caller's counts together.
    pub count: u64,
    /// Bytes of them, headers and rounding included.
    pub bytes: u64,
    /// All of it is durable and will not change.
    pub is_sealed: bool,
    /// Its hash in the chain, of its bytes as they are now. `None` if it is not sealed.
    pub hash: Option<Hash>,
    /// Its hash in the chain's file.
    pub recorded: Option<Hash>,
}

/// What was found in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The log's id. Zero if no header tells.
    pub log_id: [u8; 16],
    /// Bytes per segment. Zero if no header tells.
    pub segment_bytes: u64,
    /// Where the log ends.
    pub end: Lsn,
    /// The highest position that anything in the log vouches for as durable.
    pub durable: Lsn,
    /// How it ends.
    pub ended: Ended,
    /// What an opening would cut away: never durable, never acknowledged.
    pub torn: Option<TornTail>,
    /// What was found in each segment, in order.
    pub segments: Vec<SegmentSurvey>,
    /// The file of the hash chain.
    pub chain: ChainFile,
    /// The chain as its file has it, as far as that is whole.
    pub recorded: Option<Chain>,
    /// Damages in order of position, one per segment and kind at most, and a hundred in all.
    pub damages: Vec<Damage>,
    /// The frames can be read through, whatever else is wrong.
    pub is_readable: bool,
}

impl Survey {
    /// The file and the offset of a position.
    pub fn locate(&self, archive: &Archive, lsn: Lsn) -> (PathBuf, u64) {
        let bytes = self.segment_bytes.max(1);
        (archive.path(lsn.get() / bytes), lsn.get() % bytes)
    }
}

/// Told what a survey passes.
pub trait Visitor {
    /// A frame of the caller's, in order. Frames behind the end of the log are not told.
    fn frame(&mut self, _frame: &FrameRef<'_>) {}

    /// So many bytes more have been read.
    fn read(&mut self, _bytes: u64) {}

    /// Whether to go on. A survey that is broken off says nothing about the log.
    fn goes_on(&self) -> bool {
        true
    }
}

impl Visitor for () {}

/// Where the frames of a segment stop.
struct Stop {
    at: u64,
    /// Where the first bad byte is, and what is wrong, if a frame was to be there.
    fault: (u64, Fault),
    is_flipped: bool,
    /// The first byte from `at` on that is not zero, and the end of the last one.
    dirty: Option<(u64, u64)>,
    /// What stands at `at` is the beginning of an opening frame that was being written.
    is_opening: bool,
}

struct Surveyor<'a> {
    archive: &'a Archive,
    survey: Survey,
    /// Highest run met so far.
    run: u32,
    /// Kind of the last frame before the first stop.
    last_kind: u8,
    /// What each segment came to, in order.
    walked: Vec<Walked>,
}

struct Walked {
    number: u64,
    /// `None` if frames fill the segment.
    stop: Option<Stop>,
    /// Behind the last byte of a frame that is not zero.
    content_end: u64,
}

pub(crate) fn survey(archive: &Archive, visitor: &mut dyn Visitor) -> io::Result<Survey> {
    let survey = Survey {
        log_id: [0; 16],
        segment_bytes: 0,
        end: Lsn::ZERO,
        durable: Lsn::ZERO,
        ended: if archive.bound().is_some() { Ended::Bounded } else { Ended::Open },
        torn: None,
        segments: Vec::new(),
        chain: ChainFile::Missing,
        recorded: None,
        damages: Vec::new(),
        is_readable: true,
    };
    let mut surveyor = Surveyor { archive, survey, run: 0, last_kind: 0, walked: Vec::new() };
    let headers = surveyor.read_headers()?;
    if surveyor.survey.segment_bytes > 0 {
        surveyor.read_chain()?;
        for (number, header) in headers {
            surveyor.walk(number, header.as_ref(), visitor)?;
            if !visitor.goes_on() {
                return Ok(surveyor.survey);
            }
        }
        surveyor.judge_end();
        surveyor.judge_chain();
    }
    let mut survey = surveyor.survey;
    survey.damages.sort_by_key(|damage| damage.lsn);
    Ok(survey)
}

impl Surveyor<'_> {
    fn damage(&mut self, number: u64, offset: u64, lsn: Lsn, fault: Fault) {
        let changes_no_frame = matches!(fault, Fault::NotZero(_) | Fault::Chain { .. } | Fault::ChainFile(_));
        self.survey.is_readable &= changes_no_frame;
        if self.survey.damages.len() < DAMAGES_MAX {
            self.survey.damages.push(Damage { path: self.archive.path(number), offset, lsn, fault });
        }
    }

    fn base(&self, number: u64) -> Lsn {
        Lsn::new(number * self.survey.segment_bytes)
    }

    fn read_headers(&mut self) -> io::Result<Vec<(u64, Option<SegmentHeader>)>> {
        let mut headers = Vec::new();
        for &number in self.archive.numbers() {
            let bytes = self.archive.segment(number)?;
            let mut header = [0; SEGMENT_HEADER_USED];
            let size = bytes.size()?;
            let length = size.min(header.len() as u64) as usize;
            bytes.read(0, &mut header[..length])?;
            headers.push((number, size, SegmentHeader::decode(&header[..length])));
        }
        let is_possible = |header: &SegmentHeader| {
            header.segment_bytes.is_multiple_of(SEGMENT_HEADER_BYTES)
                && header.segment_bytes >= 2 * SEGMENT_HEADER_BYTES
                && header.segment_bytes <= 1 << 40
        };
        let whole = headers.iter().filter_map(|(number, size, header)| {
            let header = header.as_ref().ok()?;
            (header.number == *number && header.segment_bytes == *size && is_possible(header)).then_some(*header)
        });
        if let Some(first) = whole.clone().next() {
            (self.survey.log_id, self.survey.segment_bytes) = (first.log_id, first.segment_bytes);
        }
        self.survey.durable = whole.map(|header| header.durable).max().unwrap_or_default();
        let mut checked = Vec::new();
        let mut expected = None;
        for (number, size, header) in headers {
            if expected.is_some_and(|expected| expected != number) {
                let missing = expected.unwrap_or_default();
                self.damage(missing, 0, self.base(missing), Fault::Missing);
            }
            expected = Some(number + 1);
            if number.checked_add(2).and_then(|next| next.checked_mul(self.survey.segment_bytes.max(1))).is_none() {
                self.damage(number, 0, Lsn::ZERO, Fault::Header("the segment number is beyond the largest LSN"));
                continue;
            }
            let wrong = match &header {
                Err(what) => Some(*what),
                Ok(header) if header.number != number => Some("carries another segment's number"),
                Ok(header) if header.log_id != self.survey.log_id => Some("belongs to another log"),
                Ok(header) if header.segment_bytes != self.survey.segment_bytes => Some("names another segment size"),
                Ok(_) => None,
            };
            if let Some(what) = wrong {
                self.damage(number, 0, self.base(number), Fault::Header(what));
            } else if size != self.survey.segment_bytes {
                let expected = self.survey.segment_bytes;
                let fault = Fault::Size { found: size, expected };
                self.damage(number, size.min(expected), self.base(number).plus(size.min(expected)), fault);
            }
            checked.push((number, header.ok().filter(|_| wrong.is_none())));
        }
        Ok(checked)
    }

    /// Reads the chain's file. What the chain has was durable.
    fn read_chain(&mut self) -> io::Result<()> {
        let file = self.archive.chain()?;
        let (recorded, found) = Chain::read(file.as_deref(), self.survey.log_id);
        if let ChainFile::Damaged { offset, what } = found {
            let path = self.archive.path(0).with_file_name(chain::FILE);
            let lsn = recorded.as_ref().map_or(Lsn::ZERO, |chain| self.base(chain.next()));
            self.survey.damages.push(Damage { path, offset, lsn, fault: Fault::ChainFile(what) });
        }
        if let Some(chain) = &recorded
            && self.archive.bound().is_none()
        {
            self.survey.durable = self.survey.durable.max(self.base(chain.next()));
        }
        (self.survey.recorded, self.survey.chain) = (recorded, found);
        Ok(())
    }

    /// Bytes of a segment that are looked at.
    fn extent(&self, number: u64, size: u64) -> u64 {
        let bound = self.archive.bound().map_or(u64::MAX, |bound| bound.get() - self.base(number).get());
        size.min(self.survey.segment_bytes).min(bound)
    }

    fn walk(&mut self, number: u64, header: Option<&SegmentHeader>, visitor: &mut dyn Visitor) -> io::Result<()> {
        let file = self.archive.segment(number)?;
        let extent = self.extent(number, file.size()?);
        let before = self.hash_before(number);
        let start = self.base(number);
        let mut segment = SegmentSurvey {
            number,
            start,
            end: start.plus(SEGMENT_HEADER_BYTES),
            prepared_by: header.map_or(0, |header| header.run),
            runs: (0, 0),
            frames: 0,
            count: 0,
            bytes: 0,
            is_sealed: false,
            hash: None,
            recorded: self.survey.recorded.as_ref().and_then(|chain| chain.at(number)),
        };
        // The two uses of the visitor take turns.
        let told = std::cell::Cell::new(0);
        let mut count = |bytes| told.set(told.get() + bytes);
        let mut window = Window::new(file, extent, before, &mut count);
        self.check_header_page(number, &mut window)?;
        let mut at = SEGMENT_HEADER_BYTES;
        let mut walked = Walked { number, stop: None, content_end: at };
        while at < extent {
            visitor.read(told.take());
            if !visitor.goes_on() {
                return Ok(());
            }
            match self.frame(&mut window, at, &segment)? {
                Ok(frame) => {
                    walked.content_end = self.take(&frame, &mut window, at, &mut segment, visitor)?;
                    at += frame.extent();
                    segment.end = start.plus(at);
                }
                Err(fault) => {
                    walked.stop = Some(self.stop(&mut window, at, &segment, fault)?);
                    break;
                }
            }
        }
        segment.hash = window.finish()?;
        visitor.read(told.take());
        self.survey.segments.push(segment);
        self.walked.push(walked);
        Ok(())
    }

    /// Whether the frames have stopped in a segment before.
    fn has_stopped(&self) -> bool {
        self.walked.iter().any(|walked| walked.stop.is_some())
    }

    /// The hash that a segment's goes on from: what the file has, or else what the segment before came to.
    fn hash_before(&self, number: u64) -> Option<Hash> {
        let recorded = self.survey.recorded.as_ref();
        let computed = || self.survey.segments.last().filter(|last| last.number + 1 == number)?.hash;
        let first = || (number == 0).then(|| Chain::of_log(self.survey.log_id).before(0)).flatten();
        recorded.and_then(|chain| chain.before(number)).or_else(computed).or_else(first)
    }

    fn check_header_page(&mut self, number: u64, window: &mut Window<'_>) -> io::Result<()> {
        let rest = window.bytes(SEGMENT_HEADER_USED as u64, SEGMENT_HEADER_BYTES)?;
        if let Some(at) = rest.iter().position(|&byte| byte != 0) {
            let offset = SEGMENT_HEADER_USED as u64 + at as u64;
            self.damage(number, offset, self.base(number).plus(offset), Fault::NotZero("the rest of a header's page"));
        }
        Ok(())
    }

    /// The frame at `at`, or what is wrong with what stands there.
    fn frame(
        &self,
        window: &mut Window<'_>,
        at: u64,
        segment: &SegmentSurvey,
    ) -> io::Result<Result<FrameHeader, (u64, Fault)>> {
        let lsn = segment.start.plus(at);
        let seed = segment_seed(self.survey.log_id, segment.number);
        let Some(header) = window.bytes(at, at + FRAME_HEADER_BYTES)?.first_chunk().copied() else {
            return Ok(Err((at, Fault::Empty)));
        };
        let frame = FrameHeader::of(&header);
        if frame.length == 0 {
            return Ok(Err((at, Fault::Empty)));
        }
        if frame.lsn != lsn {
            return Ok(Err((at, Fault::Position(frame.lsn))));
        }
        if u64::from(frame.length) < FRAME_HEADER_BYTES || at + frame.extent() > window.size() {
            return Ok(Err((at, Fault::Length(frame.length))));
        }
        let bytes = window.bytes(at, at + frame.extent())?;
        if judge(&header, bytes, lsn, seed).is_none() {
            let lost = lost_sector(&bytes[..frame.length as usize], at);
            return Ok(Err(lost.map_or((at, Fault::Checksum), |offset| (offset, Fault::Sector))));
        }
        if frame.run < self.run {
            return Ok(Err((at, Fault::Run { found: frame.run, before: self.run })));
        }
        Ok(Ok(frame))
    }

    /// Counts a frame that is whole, and looks at the bytes that its checksum leaves out. Answers where its last byte is that is not zero.
    fn take(
        &mut self,
        frame: &FrameHeader,
        window: &mut Window<'_>,
        at: u64,
        segment: &mut SegmentSurvey,
        visitor: &mut dyn Visitor,
    ) -> io::Result<u64> {
        self.run = frame.run;
        self.survey.durable = self.survey.durable.max(frame.durable);
        if segment.runs.0 == 0 {
            segment.runs.0 = frame.run;
        }
        segment.runs.1 = frame.run;
        let bytes = window.bytes(at, at + frame.extent())?;
        let (summed, what) = if frame.kind == KIND_PAD {
            (FRAME_HEADER_BYTES as usize, "padding")
        } else {
            (frame.length as usize, "the bytes that round a frame up")
        };
        let not_zero = bytes[summed..].iter().position(|&byte| byte != 0);
        let last = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u64 + 1);
        let has_stopped = self.has_stopped();
        if !has_stopped {
            self.last_kind = frame.kind;
        }
        if frame.kind < FRAME_KINDS {
            segment.frames += 1;
            segment.count += u64::from(frame.count);
            segment.bytes += frame.extent();
            if !has_stopped {
                visitor.frame(&FrameRef {
                    lsn: frame.lsn,
                    end: frame.lsn.plus(frame.extent()),
                    run: frame.run,
                    kind: frame.kind,
                    count: frame.count,
                    payload: &bytes[FRAME_HEADER_BYTES as usize..frame.length as usize],
                    payload_lsn: frame.lsn.plus(FRAME_HEADER_BYTES),
                });
            }
        }
        if let Some(place) = not_zero {
            let offset = at + (summed + place) as u64;
            self.damage(segment.number, offset, segment.start.plus(offset), Fault::NotZero(what));
        }
        Ok(at + last)
    }

    /// Looks at what stands where a segment's frames stop, and behind it. Every mark of a valid frame is true, wherever it stands.
    fn stop(
        &mut self,
        window: &mut Window<'_>,
        at: u64,
        segment: &SegmentSurvey,
        fault: (u64, Fault),
    ) -> io::Result<Stop> {
        let seed = segment_seed(self.survey.log_id, segment.number);
        let lsn = segment.start.plus(at);
        let header = window.bytes(at, at + FRAME_HEADER_BYTES)?;
        let mut stop = Stop { at, fault, is_flipped: false, dirty: None, is_opening: is_opening(header, lsn) };
        let is_blank = header.iter().all(|&byte| byte == 0);
        if !is_blank && !matches!(stop.fault.1, Fault::Run { .. }) {
            let size = window.size();
            if let Some(flip) = flip::find(window.bytes(at, size)?, at, lsn, seed) {
                stop.fault = (at + flip.byte, Fault::FlippedBit(flip.bit));
                stop.is_flipped = true;
            }
        }
        let mut here = at;
        while here < window.size() {
            let page = window.bytes(here, (here / PAGE + 1) * PAGE)?;
            let length = page.len() as u64;
            let first = page.iter().position(|&byte| byte != 0);
            let last = page.iter().rposition(|&byte| byte != 0);
            if let (Some(first), Some(last)) = (first, last) {
                let begun = stop.dirty.map_or(here + first as u64, |(begun, _)| begun);
                stop.dirty = Some((begun, here + last as u64 + 1));
                self.marks_in(window, here, here + length, segment)?;
            }
            here += length;
        }
        Ok(stop)
    }

    fn marks_in(&mut self, window: &mut Window<'_>, from: u64, to: u64, segment: &SegmentSurvey) -> io::Result<()> {
        let seed = segment_seed(self.survey.log_id, segment.number);
        for at in (from..to).step_by(FRAME_ALIGN as usize) {
            let lsn = segment.start.plus(at);
            let bytes = window.bytes(at, at + FRAME_HEADER_BYTES)?;
            let Some(header) = bytes.first_chunk().copied() else { break };
            let frame = FrameHeader::of(&header);
            if frame.lsn == lsn && u64::from(frame.length) >= FRAME_HEADER_BYTES && at + frame.extent() <= window.size()
            {
                let bytes = window.bytes(at, at + frame.extent())?;
                if judge(&header, bytes, lsn, seed).is_some() {
                    self.survey.durable = self.survey.durable.max(frame.durable);
                }
            }
        }
        Ok(())
    }

    /// Finds the end of the log among the stops, as recovery does, and what is wrong before and behind it.
    fn judge_end(&mut self) {
        let durable = self.survey.durable;
        let walked = std::mem::take(&mut self.walked);
        let stops = || {
            let stop = |walked: &Walked| Some(self.base(walked.number).plus(walked.stop.as_ref()?.at));
            walked.iter().filter_map(stop)
        };
        let full = walked.last().map_or(Lsn::ZERO, |last| self.base(last.number + 1));
        let end = stops().find(|at| *at >= durable).unwrap_or(self.archive.bound().unwrap_or(full));
        let reaches_end = stops().next().is_none_or(|first| first == end);
        let is_in_order = self.last_kind == KIND_CLOSE && reaches_end && end >= durable;
        self.survey.end = end;
        for Walked { number, stop, content_end } in walked {
            let (base, extent) = (self.base(number), self.survey.segment_bytes);
            if let Some(stop) = &stop
                && (base.plus(stop.at) < durable || base.plus(stop.at) == end && stop.is_flipped)
            {
                self.damage(number, stop.fault.0, base.plus(stop.at), stop.fault.1.clone());
            } else if end < base.plus(extent) && self.survey.ended != Ended::Bounded {
                self.judge_behind(number, stop.as_ref(), content_end, is_in_order);
            }
        }
        if end < durable {
            // Everything that there is is whole, and something vouches for more.
            let number = end.get() / self.survey.segment_bytes;
            self.damage(number, 0, self.base(number), Fault::Missing);
        }
        if self.survey.ended == Ended::Open && is_in_order {
            self.survey.ended = Ended::InOrder;
        }
        self.find_sealed(end);
    }

    /// Judges what stands behind the end of the log in a segment, whose frames end at `content_end` or before.
    fn judge_behind(&mut self, number: u64, stop: Option<&Stop>, content_end: u64, is_in_order: bool) {
        let (base, end) = (self.base(number), self.survey.end);
        let from = end.get().saturating_sub(base.get()).max(SEGMENT_HEADER_BYTES);
        let frames = (content_end > from).then_some((from, content_end));
        let dirty = stop.and_then(|stop| stop.dirty);
        let Some((begun, _)) = frames.or(dirty) else { return };
        let until = dirty.or(frames).map_or(begun, |(_, until)| until);
        // Behind an orderly end nothing but the next opening is ever written, and that as a whole.
        let is_opening = stop.is_some_and(|stop| stop.is_opening && base.plus(stop.at) == end);
        if is_in_order && !(is_opening && until <= from + FRAME_HEADER_BYTES) {
            self.damage(number, begun, base.plus(begun), Fault::NotZero("what lies behind an orderly end"));
        } else {
            self.survey.torn = Some(TornTail { at: end, bytes: base.plus(until).get() - end.get() });
        }
    }

    fn find_sealed(&mut self, end: Lsn) {
        let bytes = self.survey.segment_bytes;
        for segment in &mut self.survey.segments {
            segment.is_sealed = segment.start.plus(bytes) <= end;
            if !segment.is_sealed {
                segment.hash = None;
            }
        }
    }

    /// Compares the sealed segments with what the chain's file has of them. Of a segment that is damaged, where is said already.
    fn judge_chain(&mut self) {
        let differs = |segment: &SegmentSurvey| {
            let (recorded, found) = (segment.recorded?, segment.hash?);
            (recorded != found).then_some((segment.number, segment.start, recorded, found))
        };
        let wrong: Vec<_> = self.survey.segments.iter().filter_map(differs).collect();
        for (number, start, recorded, found) in wrong {
            let range = start..start.plus(self.survey.segment_bytes);
            if !self.survey.damages.iter().any(|damage| range.contains(&damage.lsn)) {
                self.damage(number, 0, start, Fault::Chain { recorded, found });
            }
        }
    }
}

/// The first sector of a frame, by its offset in the file, that holds nothing.
fn lost_sector(frame: &[u8], offset: u64) -> Option<u64> {
    let mut at = 0;
    while at < frame.len() as u64 {
        let end = (((offset + at) / SECTOR + 1) * SECTOR - offset).min(frame.len() as u64);
        if frame[at as usize..end as usize].iter().all(|&byte| byte == 0) {
            return Some(offset + at);
        }
        at = end;
    }
    None
}

/// Whether `header` is that of an opening frame whose length was not stored yet.
fn is_opening(header: &[u8], lsn: Lsn) -> bool {
    let Some((length, rest)) = header.split_first_chunk::<4>() else { return false };
    let frame = FrameHeader::decode(0, rest);
    *length == [0; 4] && frame.lsn == lsn && frame.kind == KIND_OPEN
}

/// The highest mark of the valid frames at the beginning of a segment, and whether they fill it.
pub(crate) fn highest_mark(archive: &Archive, header: &SegmentHeader) -> io::Result<(Lsn, bool)> {
    let mut nobody = |_| {};
    let mut window = Window::new(archive.segment(header.number)?, header.segment_bytes, None, &mut nobody);
    let base = Lsn::new(header.number * header.segment_bytes);
    let seed = segment_seed(header.log_id, header.number);
    let (mut at, mut highest) = (SEGMENT_HEADER_BYTES, Lsn::ZERO);
    while at < header.segment_bytes {
        let lsn = base.plus(at);
        let Some(first) = window.bytes(at, at + FRAME_HEADER_BYTES)?.first_chunk().copied() else { break };
        let frame = FrameHeader::of(&first);
        let fits = u64::from(frame.length) >= FRAME_HEADER_BYTES && at + frame.extent() <= header.segment_bytes;
        if frame.lsn != lsn || !fits {
            break;
        }
        if judge(&first, window.bytes(at, at + frame.extent())?, lsn, seed).is_none() {
            break;
        }
        highest = highest.max(frame.durable);
        at += frame.extent();
    }
    Ok((highest, at >= header.segment_bytes))
}
