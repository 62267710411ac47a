//! Whether a snapshot is what the log comes to: it is made once more, by the fold that made it and in the same bounded memory, and held against
//! the file entry by entry instead of being written.
//!
//! What the making was told and the log does not know is taken from the file: which identities were left to runs, and since when identities
//! are remembered. Neither can make anything else of a wallet. How entries were cut into blocks does not matter.

use super::build::{Forget, Job, Sink, fold_into};
use super::{Progress, SnapshotFailure};
use crate::journal::snapshot::file::{Block, SnapshotFile};
use crate::journal::snapshot::{Section, Sums};
use drawdown_wal::{Files, Log};
use std::io;
use std::ops::Range;

/// Where a snapshot says something else than the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Offset in the file: of the first byte that is not what the log comes to, or of the beginning of what should not be there.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// Compares a snapshot with what `log` comes to at its position: from its beginning, or from `base` on, a snapshot that lies before. What is
/// sorted outside of memory is in scratch files of `files`. Answers the first difference in each section; a failure tells that the log or the base
/// cannot be read or does not replay.
pub fn compare(
    log: &Log,
    files: &dyn Files,
    base: Option<&SnapshotFile>,
    file: &SnapshotFile,
    memory_bytes: u64,
    progress: &Progress,
) -> Result<Vec<Difference>, SnapshotFailure> {
    let sums = file.sums();
    progress.begin(file.lsn().get() - base.map_or(log.first(), SnapshotFile::lsn).get());
    let job = Job {
        log,
        files,
        previous: base,
        upto: file.lsn(),
        durable: sums.durable,
        made: sums.made,
        forget: Forget::As(sums.remembered_since),
        chain: file.head().chain,
        identities_from: sums.identities_from,
        memory_bytes,
        progress,
    };
    let mut against = Against::new(file);
    let remade = fold_into(&job, &mut against)?;
    progress.end();
    Ok(against.finish(&remade)?)
}

/// Takes the entries of the snapshot that is made once more.
struct Against<'f> {
    sections: Vec<Stream<'f>>,
    entry: Vec<u8>,
    file: &'f SnapshotFile,
}

impl<'f> Against<'f> {
    fn new(file: &'f SnapshotFile) -> Self {
        let sections = Section::ALL.iter().map(|section| Stream::new(file, *section)).collect();
        Against { sections, entry: Vec::new(), file }
    }

    fn finish(self, remade: &Sums) -> io::Result<Vec<Difference>> {
        let file = self.file;
        let mut differences = Vec::new();
        for (stream, section) in self.sections.into_iter().zip(Section::ALL) {
            differences.extend(stream.finish(section)?);
        }
        let found = file.sums();
        let footer = file.size_bytes() - 256;
        let numbers = [
            (32, "the latest time", found.latest.millis(), remade.latest.millis()),
            (
                40,
                "the time since which identities are there",
                found.remembered_since.millis(),
                remade.remembered_since.millis(),
            ),
            (56, "the number of wallets", found.wallets, remade.wallets),
            (64, "the number of slots", found.slots, remade.slots),
            (72, "the number of identities", found.identities, remade.identities),
            (80, "the number of grants", found.grants, remade.grants),
            (88, "the run", found.run.into(), remade.run.into()),
            (96, "where identities begin", found.identities_from, remade.identities_from),
        ];
        let wrong = numbers.into_iter().filter(|(_, _, found, remade)| found != remade);
        differences.extend(wrong.map(|(at, what, found, remade)| Difference {
            offset: footer + at,
            what: format!("{what} is {found}, and the log comes to {remade}"),
        }));
        differences.sort_by_key(|difference| difference.offset);
        Ok(differences)
    }
}

impl Sink for Against<'_> {
    fn put(&mut self, section: Section, key: u64, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.entry.clear();
        write(&mut self.entry);
        self.sections[section as usize - 1].expect(key, &self.entry)
    }
}

/// A section's bytes as they lie in the file, however they are cut into blocks.
struct Stream<'f> {
    file: &'f SnapshotFile,
    blocks: &'f [Block],
    block: Vec<u8>,
    /// Where the block lies in the file.
    place: Range<u64>,
    at: usize,
    /// The first difference, if there is one: what follows is not looked at.
    first: Option<(u64, String)>,
}

impl<'f> Stream<'f> {
    fn new(file: &'f SnapshotFile, section: Section) -> Self {
        // Nothing stands before the blocks of a section that has none but the header.
        Stream { file, blocks: file.blocks(section), block: Vec::new(), place: 128..128, at: 0, first: None }
    }

    /// Makes sure that bytes are at hand, if there are more.
    fn fill(&mut self) -> io::Result<bool> {
        while self.at == self.block.len() {
            let Some((next, rest)) = self.blocks.split_first() else { return Ok(false) };
            self.file.read_unchecked(next, &mut self.block)?;
            (self.blocks, self.place, self.at) = (rest, next.bytes(), 0);
        }
        Ok(true)
    }

    fn position(&self) -> u64 {
        self.place.start + self.at as u64
    }

    /// The next bytes must be these.
    fn expect(&mut self, key: u64, entry: &[u8]) -> io::Result<()> {
        let mut left = entry;
        while !left.is_empty() && self.first.is_none() {
            if !self.fill()? {
                let what = format!("the log comes to an entry of key {key}, which is not there");
                self.first = Some((self.position(), what));
                return Ok(());
            }
            let found = &self.block[self.at..];
            let (now, later) = left.split_at(left.len().min(found.len()));
            if let Some(at) = found.iter().zip(now).position(|(found, expected)| found != expected) {
                let what = format!("the entry of key {key} is not what the log comes to");
                self.first = Some((self.position() + at as u64, what));
                return Ok(());
            }
            self.at += now.len();
            left = later;
        }
        Ok(())
    }

    fn finish(mut self, section: Section) -> io::Result<Option<Difference>> {
        if self.first.is_none() && self.fill()? {
            self.first = Some((self.position(), "the log comes to no such entry".to_owned()));
        }
        let name = format!("{section:?}").to_lowercase();
        Ok(self.first.map(|(offset, what)| Difference { offset, what: format!("section {name}: {what}") }))
    }
}
