//! The write-ahead log of drawdown: mapped segments, many producers, group commit.
//!
//! The log takes frames (a kind, a count, some bytes) and gives each a position, its [`Lsn`]. It knows nothing about what they mean.
//!
//! ```
//! use drawdown_wal::{Heap, Log, Lsn, Options, frame_bytes};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (log, _recovery) = Log::open_on(std::sync::Arc::new(Heap::new()), Options::tiny(64 * 1024))?;
//! let admission = log.admit(frame_bytes(5))?;      // may be refused; nothing after it can
//! let mut frame = admission.reserve(1, 5);         // its place in the log is fixed
//! frame.payload_mut()[..5].copy_from_slice(b"hello");
//! let end = frame.publish(5, 1);                   // now the flusher sees it
//! log.wait_durable(end)?;                          // now it survives power loss
//! let mut reader = log.reader(Lsn::ZERO);
//! assert_eq!(reader.next()?.map(|frame| frame.payload.to_vec()), Some(b"hello".to_vec()));
//! # Ok(()) }
//! ```
//!
//! # Guarantees
//! 1. Frames are durable in order: when the durable LSN has passed one, every frame before it is durable too.
//! 2. A frame is there whole or not at all.
//! 3. An append that was admitted cannot fail or block: back-pressure and lack of space are told by [`Log::admit`], before a position
//!    is taken.
//! 4. What was durable is there after a crash, or opening refuses. A torn tail (never durable) is cut; damage below a position
//!    known to be durable is reported with file, offset and LSN, and never cut.
//! 5. Bytes left over from an earlier run, another segment or another log never pass for frames of this one.
//! 6. A failed write or sync ends the run: it is latched, appends are refused, waiters are told, and it is never retried.
//!
//! # What it does not do
//! It does not interpret payloads, order concurrent appenders beyond their reservations, compress, or replicate. It is
//! synchronous; [`Log::when_durable`] and [`Log::admitted`] are plain futures for whatever executor the caller has.
//!
//! The bytes, the recovery argument and what is assumed of disks stand in `docs/wal-format.md`.
#![deny(unsafe_code)]

mod archive;
mod care;
mod chain;
mod error;
mod files;
mod flip;
mod format;
mod group_commit;
mod log;
#[cfg(all(test, drawdown_loom))]
mod loom_tests;
mod lsn;
mod mapping;
mod medium;
#[cfg(drawdown_planted)]
pub mod planted;
mod reader;
mod recovery;
mod segment;
pub mod sim;
mod stats;
mod supply;
mod survey;
mod sync;
mod wakers;
mod window;
mod writer;

pub use archive::{Archive, ArchiveError, Images};
pub use chain::{Chain, ChainFile, ChainHead, ChainStats, Hash};
pub use error::{AppendError, OpenError, Poisoned, ReadError, Stage};
pub use files::{Contents, Draft, Files, Scratch};
pub use flip::flipped_bit;
pub use format::{FRAME_ALIGN, FRAME_COUNT_MAX, FRAME_HEADER_BYTES, FRAME_KINDS, frame_bytes};
pub use log::{Log, Options, Pumped};
pub use lsn::Lsn;
pub use mapping::{Backing, HeapPages, Region};
pub use medium::{Heap, Mapped, Medium};
pub use reader::{FrameRef, Reader, SegmentView};
pub use recovery::{Recovery, TornTail, Verify};
pub use stats::{LogStats, SYNC_LATENCY_CLASSES};
pub use supply::Disposal;
pub use survey::{Damage, Ended, Fault, SegmentSurvey, Survey, Visitor};
pub use writer::{Admission, Admitted, FrameMut, WhenDurable};
