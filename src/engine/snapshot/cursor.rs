//! A walk over the entries of a section, one block in memory at a time.

use crate::journal::Corrupt;
use crate::journal::snapshot::file::SnapshotFile;
use crate::journal::snapshot::{Section, SnapshotError};

/// See the module's documentation.
pub(super) struct Cursor<'f> {
    file: &'f SnapshotFile,
    section: Section,
    /// The block to read next.
    next: usize,
    block: Vec<u8>,
    at: usize,
}

impl<'f> Cursor<'f> {
    /// Before the first entry.
    pub(super) fn new(file: &'f SnapshotFile, section: Section) -> Self {
        Cursor { file, section, next: 0, block: Vec::new(), at: 0 }
    }

    /// Takes the next entry by `read`; `None` behind the last one.
    pub(super) fn next<T>(
        &mut self,
        read: impl FnOnce(&mut &[u8]) -> Result<T, Corrupt>,
    ) -> Result<Option<T>, SnapshotError> {
        while self.at == self.block.len() {
            let Some(block) = self.file.blocks(self.section).get(self.next) else { return Ok(None) };
            self.file.read(block, &mut self.block)?;
            (self.next, self.at) = (self.next + 1, 0);
        }
        let mut rest = &self.block[self.at..];
        let entry = read(&mut rest)?;
        self.at = self.block.len() - rest.len();
        Ok(Some(entry))
    }

    /// Whether nothing is left.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.block.len() && self.next == self.file.blocks(self.section).len()
    }
}

/// All entries of a section, for those that hold few.
pub(super) fn all<T>(
    file: &SnapshotFile,
    section: Section,
    read: impl Fn(&mut &[u8]) -> Result<T, Corrupt>,
) -> Result<Vec<T>, SnapshotError> {
    let mut cursor = Cursor::new(file, section);
    let mut entries = Vec::new();
    while let Some(entry) = cursor.next(&read)? {
        entries.push(entry);
    }
    Ok(entries)
}
