//! What can go wrong, one enum per operation.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::lsn::Lsn;

/// What ended a run of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A sync failed. What the device holds is unknown until the log is recovered; the sync is never retried.
    Sync,
    /// The log was closed, in order, before the LSN that was waited for was written.
    Closed,
}

/// The log can make nothing more durable in this run. Latched: once seen, every later call sees it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the log stopped at LSN {durable} ({stage:?}): {source}")]
pub struct Poisoned {
    /// What ended it.
    pub stage: Stage,
    /// Everything below is durable, nothing above is known to be.
    pub durable: Lsn,
    /// What the system said.
    pub source: Arc<io::Error>,
}

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process (or another `Log` of this one) has the directory open.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The options contradict one another or the files.
    #[error("option {option}: {reason}")]
    Options {
        /// Name of the field.
        option: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A segment's header is not one of this log.
    #[error("{}: {reason}", path.display())]
    Header {
        /// The segment's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A segment between the first and the last one is missing, or one that held durable bytes.
    #[error("{} is missing: the log has a hole at segment {number}", path.display())]
    MissingSegment {
        /// The segment's file.
        path: PathBuf,
        /// Its number.
        number: u64,
    },
    /// No valid frame stands where the log itself says that everything was durable. This is damage, not a torn tail, and is
    /// never cut away.
    #[error("{}: no valid frame at offset {offset} (LSN {lsn}), yet the log was durable up to LSN {durable}", path.display())]
    LostData {
        /// The segment's file.
        path: PathBuf,
        /// Offset in the file, in bytes.
        offset: u64,
        /// Position of the hole.
        lsn: Lsn,
        /// Highest durable LSN that any valid frame or segment header vouches for.
        durable: Lsn,
    },
    /// The last frame that there is would be whole if one bit of it were the other way. No write that a power cut tears leaves that: the
    /// frame was written, perhaps acknowledged, and the medium has changed it since. It is never cut away.
    #[error("{}: the frame at LSN {lsn} would be whole if bit {bit} of the byte at offset {offset} were the other way", path.display())]
    FlippedBit {
        /// The segment's file.
        path: PathBuf,
        /// Offset of the byte in the file.
        offset: u64,
        /// The bit; 0 is the lowest.
        bit: u8,
        /// Position of the frame.
        lsn: Lsn,
    },
    /// The first sync of the run failed.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
}

/// Why an append was not admitted. Nothing was reserved.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The bound on unsynced bytes is reached, or the next segment is not ready. Waiting helps.
    #[error(
        "the log is overloaded: {wanted} bytes wanted, {unsynced} of at most {unsynced_max} not yet durable, {prepared} prepared"
    )]
    Overloaded {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes admitted or written and not yet durable.
        unsynced: u64,
        /// The bound on them.
        unsynced_max: u64,
        /// Bytes of prepared space that are certain to be usable.
        prepared: u64,
    },
    /// More was asked for than the log ever admits at once. Waiting does not help.
    #[error("{bytes} bytes are more than the log admits at once ({max})")]
    TooLarge {
        /// Bytes asked for.
        bytes: u64,
        /// The most that can be.
        max: u64,
    },
    /// Space ran out and the next segment could not be prepared. The log keeps trying by itself.
    #[error("no space for the next segment: {source}")]
    NoSpace {
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// An earlier sync failed.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why a frame could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The position lies below the first segment that is kept.
    #[error("LSN {lsn} was retired, the log begins at {first}")]
    Retired {
        /// Where the reader stood.
        lsn: Lsn,
        /// Where the log begins.
        first: Lsn,
    },
    /// A durable frame does not check. The medium changed it.
    #[error("segment {segment}, offset {offset} (LSN {lsn}): the frame is damaged")]
    Corrupt {
        /// Number of the segment.
        segment: u64,
        /// Offset in its file, in bytes.
        offset: u64,
        /// Position of the frame.
        lsn: Lsn,
    },
}
