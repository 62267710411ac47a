//! Kills at the moments at which the data directory changes: a snapshot is made, the log moves on to new segments, old ones go.
//!
//! What happens is seen in the directory's names. From then on chance decides how much later, in turns of a loop, the process dies.

use crate::random::Random;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Turns of a loop, at most, between what was seen and the kill.
const TURNS_MAX: u64 = 3_000;

/// When a server is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    /// A snapshot's temporary file is there.
    SnapshotBegins,
    /// A snapshot has its name: the older one goes.
    SnapshotEnds,
    /// A segment's temporary file is there.
    SegmentBegins,
    /// A segment has its name.
    SegmentEnds,
    /// An old segment has gone, or waits to be used again.
    SegmentGoes,
    /// After some answers; and then the next start is killed as well, again and again, while it recovers.
    Recovery,
}

impl Moment {
    const ALL: [Moment; 6] = [
        Moment::SnapshotBegins,
        Moment::SnapshotEnds,
        Moment::SegmentBegins,
        Moment::SegmentEnds,
        Moment::SegmentGoes,
        Moment::Recovery,
    ];

    /// Those of a cycle: each in its turn.
    pub(crate) fn of_cycle(cycle: u64) -> Moment {
        Moment::ALL[(cycle % Moment::ALL.len() as u64) as usize]
    }
}

/// Looks for a moment in a directory.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    directory: &'a Path,
    moment: Moment,
    before: BTreeSet<String>,
}

impl<'a> Watch<'a> {
    pub(crate) fn begin(directory: &'a Path, moment: Moment) -> Watch<'a> {
        Watch { directory, moment, before: names(directory) }
    }

    /// Whether it has come.
    pub(crate) fn has_come(&self) -> bool {
        let names = names(self.directory);
        let any = |ending: &str| names.iter().any(|name| name.ends_with(ending));
        let new = |ending: &str| names.iter().any(|name| name.ends_with(ending) && !self.before.contains(name));
        let is_segment = |name: &&String| Path::new(name).extension().is_some_and(|extension| extension == "wal");
        let first = |names: &BTreeSet<String>| names.iter().find(is_segment).cloned();
        match self.moment {
            Moment::SnapshotBegins => any(".snapshot.tmp"),
            Moment::SnapshotEnds => new(".snapshot"),
            // A spare file is one before it is a segment's.
            Moment::SegmentBegins => any(".tmp") && !any(".snapshot.tmp"),
            Moment::SegmentEnds => new(".wal"),
            Moment::SegmentGoes => first(&names) > first(&self.before),
            Moment::Recovery => false,
        }
    }

    /// Lets some time pass, as chance decides.
    pub(crate) fn linger(random: &mut Random) {
        for _ in 0..random.below(TURNS_MAX) {
            std::thread::yield_now();
        }
    }
}

/// Names in a directory that a server is at work in: those that go while it is read may be among them or not.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).expect("the directory is there");
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}
