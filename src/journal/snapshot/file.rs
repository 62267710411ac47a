//! The container: header, blocks, directory, footer.
//!
//! ```text
//! header, 128 bytes          directory, 64 bytes a block     footer, 256 bytes, at the end of the file
//!   0 magic DRAWSNAP           0 section u8, 3 zero            0 magic DRAWSEND       56 wallets u64
//!   8 version u32, 4 zero      4 entries u32                   8 directory u64        64 slots u64
//!  16 log id, 16 bytes         8 offset u64                   16 blocks u64           72 identities u64
//!  32 LSN u64, 24 zero        16 length u32, 4 zero           24 durable u64          80 grants u64
//!  64 chain head, 32 bytes    24 key of first entry u64       32 latest u64 (ms)      88 run u32, 4 zero
//!  96 zero                    32 BLAKE3 of the block          40 remembered u64 (ms)  96 identities from u64, 120 zero
//!                                                             48 made u64 (ms)       224 BLAKE3 of header, directory
//!                                                                                        and the footer before this
//! ```

use super::{Head, Section, SnapshotError, Sums, file_name};
use crate::journal::bytes::Fields;
use crate::ledger::Timestamp;
use drawdown_wal::{Contents, Draft, Files, Lsn};
use std::io;
use std::ops::Range;
use std::sync::Arc;

pub(super) const MAGIC: &[u8; 8] = b"DRAWSNAP";
pub(super) const END_MAGIC: &[u8; 8] = b"DRAWSEND";
/// Raised when a reader of the version before could no longer read the new one.
pub const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 128;
pub(super) const ENTRY_BYTES: usize = 64;
pub(super) const FOOTER_BYTES: usize = 256;
pub(super) const DIGEST_BYTES: usize = 32;
/// A block is closed when it has so many bytes: large enough that its digest and its line in the directory cost nothing, small enough that
/// looking one entry up reads little.
pub const BLOCK_BYTES: usize = 64 << 10;
/// No entry is longer, so no block exceeds twice of it.
const BLOCK_BYTES_MAX: u32 = 64 << 20;

/// Where a block is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    section: Section,
    /// Entries in it.
    pub entries: u32,
    offset: u64,
    length: u32,
    /// The key of its first entry.
    pub key: u64,
    digest: [u8; DIGEST_BYTES],
}

impl Block {
    /// What it holds.
    pub fn section(&self) -> Section {
        self.section
    }

    /// Where it lies in the file.
    pub fn bytes(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.length)
    }

    /// Whether bytes are those that it was written with.
    pub(super) fn is_made_of(&self, bytes: &[u8]) -> bool {
        *blake3::hash(bytes).as_bytes() == self.digest
    }
}

/// A snapshot being written.
pub struct Writer {
    draft: Box<dyn Draft>,
    header: [u8; HEADER_BYTES],
    at: u64,
    blocks: Vec<Block>,
    open: Vec<Open>,
    block_bytes: usize,
}

/// The block of a section that is being filled.
#[derive(Default)]
struct Open {
    key: u64,
    entries: u32,
    bytes: Vec<u8>,
}

impl Writer {
    /// Begins the file, with blocks of about so many bytes.
    pub fn begin(files: &dyn Files, head: &Head, block_bytes: usize) -> io::Result<Self> {
        let mut draft = files.draft(&file_name(head.lsn))?;
        let mut header = [0; HEADER_BYTES];
        header[0..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[16..32].copy_from_slice(&head.log_id);
        header[32..40].copy_from_slice(&head.lsn.get().to_le_bytes());
        header[64..96].copy_from_slice(&head.chain);
        draft.append(&header)?;
        let open = Section::ALL.iter().map(|_| Open::default()).collect();
        Ok(Writer { draft, header, at: HEADER_BYTES as u64, blocks: Vec::new(), open, block_bytes })
    }

    /// Adds an entry to a section. Keys do not fall within one.
    pub fn put(&mut self, section: Section, key: u64, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let open = &mut self.open[section as usize - 1];
        if open.entries == 0 {
            open.key = key;
        }
        write(&mut open.bytes);
        open.entries += 1;
        if open.bytes.len() >= self.block_bytes { self.close(section) } else { Ok(()) }
    }

    fn close(&mut self, section: Section) -> io::Result<()> {
        let open = &mut self.open[section as usize - 1];
        if open.entries == 0 {
            return Ok(());
        }
        let digest = *blake3::hash(&open.bytes).as_bytes();
        let length = open.bytes.len() as u32;
        self.blocks.push(Block { section, entries: open.entries, offset: self.at, length, key: open.key, digest });
        self.draft.append(&open.bytes)?;
        self.at += u64::from(length);
        open.entries = 0;
        open.bytes.clear();
        Ok(())
    }

    /// Writes what is left and gives the file its name. Answers its length in bytes.
    pub fn finish(mut self, sums: &Sums) -> io::Result<u64> {
        for section in Section::ALL {
            self.close(section)?;
        }
        let mut directory = Vec::with_capacity(self.blocks.len() * ENTRY_BYTES);
        for block in &self.blocks {
            directory.extend_from_slice(&[block.section as u8, 0, 0, 0]);
            directory.extend_from_slice(&block.entries.to_le_bytes());
            directory.extend_from_slice(&block.offset.to_le_bytes());
            directory.extend_from_slice(&u64::from(block.length).to_le_bytes());
            directory.extend_from_slice(&block.key.to_le_bytes());
            directory.extend_from_slice(&block.digest);
        }
        let mut footer = [0; FOOTER_BYTES];
        footer[0..8].copy_from_slice(END_MAGIC);
        let words = [
            self.at,
            self.blocks.len() as u64,
            sums.durable.get(),
            sums.latest.millis(),
            sums.remembered_since.millis(),
            sums.made.millis(),
            sums.wallets,
            sums.slots,
            sums.identities,
            sums.grants,
            u64::from(sums.run),
            sums.identities_from,
        ];
        for (place, word) in footer[8..].chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let root = root(&self.header, &directory, &footer);
        footer[FOOTER_BYTES - DIGEST_BYTES..].copy_from_slice(root.as_bytes());
        self.draft.append(&directory)?;
        self.draft.append(&footer)?;
        self.draft.finish()?;
        Ok(self.at + (directory.len() + FOOTER_BYTES) as u64)
    }
}

fn root(header: &[u8], directory: &[u8], footer: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(header).update(directory).update(&footer[..FOOTER_BYTES - DIGEST_BYTES]);
    hasher.finalize()
}

/// A snapshot that was written: header, directory and footer have been checked, blocks are when they are read.
#[derive(Debug)]
pub struct SnapshotFile {
    name: String,
    contents: Arc<dyn Contents>,
    head: Head,
    sums: Sums,
    /// By section, each in the order of its keys.
    blocks: Vec<Block>,
}

impl SnapshotFile {
    /// Opens the file of this name.
    pub fn open(files: &dyn Files, name: &str) -> Result<Self, SnapshotError> {
        let contents = files.open_file(name)?;
        let size = contents.size_bytes();
        let body = size.checked_sub((HEADER_BYTES + FOOTER_BYTES) as u64);
        let body = body.ok_or(SnapshotError::Damaged("it is cut short"))?;
        let mut header = [0; HEADER_BYTES];
        contents.read_at(0, &mut header)?;
        if header[0..8] != *MAGIC {
            return Err(SnapshotError::Damaged("it does not begin as a snapshot"));
        }
        let mut fields = Fields(&header[8..]);
        let version = fields.u32()?;
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        let mut footer = [0; FOOTER_BYTES];
        contents.read_at(size - FOOTER_BYTES as u64, &mut footer)?;
        if footer[0..8] != *END_MAGIC {
            return Err(SnapshotError::Damaged("it does not end as a snapshot"));
        }
        let mut end = Fields(&footer[8..]);
        let (at, count) = (end.u64()?, end.u64()?);
        let directory_bytes = count.checked_mul(ENTRY_BYTES as u64).filter(|bytes| *bytes <= body);
        let directory_bytes = directory_bytes.ok_or(SnapshotError::Damaged("its directory is too long"))?;
        if at != HEADER_BYTES as u64 + body - directory_bytes {
            return Err(SnapshotError::Damaged("its directory is not where it should be"));
        }
        let mut directory = vec![0; directory_bytes as usize];
        contents.read_at(at, &mut directory)?;
        if root(&header, &directory, &footer).as_bytes()[..] != footer[FOOTER_BYTES - DIGEST_BYTES..] {
            return Err(SnapshotError::Damaged("its directory does not check"));
        }
        let head = head(&header)?;
        let sums = Sums {
            durable: Lsn::new(end.u64()?),
            latest: Timestamp::from_millis(end.u64()?),
            remembered_since: Timestamp::from_millis(end.u64()?),
            made: Timestamp::from_millis(end.u64()?),
            wallets: end.u64()?,
            slots: end.u64()?,
            identities: end.u64()?,
            grants: end.u64()?,
            run: end.u64()? as u32,
            identities_from: end.u64()?,
        };
        let lines = directory.chunks_exact(ENTRY_BYTES);
        let mut blocks = lines.map(|line| block(line, at)).collect::<Result<Vec<_>, _>>()?;
        blocks.sort_by_key(|block| block.section);
        Ok(SnapshotFile { name: name.to_owned(), contents, head, sums, blocks })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything below is folded into it.
    pub fn lsn(&self) -> Lsn {
        self.head.lsn
    }

    /// What stands at its beginning.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// What stands at its end.
    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Its length in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.contents.size_bytes()
    }

    /// The blocks of a section, in the order of their keys.
    pub fn blocks(&self, section: Section) -> &[Block] {
        let range: Range<usize> = self.blocks.partition_point(|block| block.section < section)
            ..self.blocks.partition_point(|block| block.section <= section);
        &self.blocks[range]
    }

    /// The block of a section in which an entry of this key would stand, if there is one that begins at it or before.
    pub fn block_of(&self, section: Section, key: u64) -> Option<&Block> {
        let blocks = self.blocks(section);
        blocks[..blocks.partition_point(|block| block.key <= key)].last()
    }

    /// Reads a block into `buffer` and checks it.
    pub fn read<'b>(&self, block: &Block, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], SnapshotError> {
        buffer.resize(block.length as usize, 0);
        self.contents.read_at(block.offset, buffer)?;
        if !block.is_made_of(buffer) {
            return Err(SnapshotError::Damaged("a block does not check"));
        }
        Ok(buffer)
    }

    /// Reads a block into `buffer` as it stands in the file, whatever has become of it.
    pub fn read_unchecked<'b>(&self, block: &Block, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
        buffer.resize(block.length as usize, 0);
        self.contents.read_at(block.offset, buffer)?;
        Ok(buffer)
    }

    /// A digest of what the snapshot says: of all entries and sums, however they are cut into blocks, but neither of when it was made nor
    /// of how far the log was durable then. Reads and checks the whole file.
    pub fn digest(&self) -> Result<[u8; 32], SnapshotError> {
        let mut hasher = blake3::Hasher::new();
        let mut buffer = Vec::new();
        for section in Section::ALL {
            let mut of_section = blake3::Hasher::new();
            for block in self.blocks(section) {
                of_section.update(self.read(block, &mut buffer)?);
            }
            hasher.update(of_section.finalize().as_bytes());
        }
        let Sums { latest, remembered_since, wallets, slots, identities, grants, run, identities_from, .. } = self.sums;
        let times = [latest.millis(), remembered_since.millis()];
        let counts = [wallets, slots, identities, identities_from, grants, u64::from(run), self.lsn().get()];
        for word in counts.into_iter().chain(times) {
            hasher.update(&word.to_le_bytes());
        }
        Ok(*hasher.finalize().as_bytes())
    }
}

fn head(header: &[u8; HEADER_BYTES]) -> Result<Head, SnapshotError> {
    let mut log_id = [0; 16];
    log_id.copy_from_slice(&header[16..32]);
    let mut chain = [0; 32];
    chain.copy_from_slice(&header[64..96]);
    Ok(Head { log_id, lsn: Lsn::new(Fields(&header[32..]).u64()?), chain })
}

/// Reads a line of the directory; blocks end before `limit`.
pub(super) fn block(line: &[u8], limit: u64) -> Result<Block, SnapshotError> {
    let mut fields = Fields(line);
    let number = fields.u32()?;
    let section = Section::ALL.into_iter().find(|section| u32::from(*section as u8) == number);
    let section = section.ok_or(SnapshotError::Damaged("a section is of no known kind"))?;
    let (entries, offset, length, key) = (fields.u32()?, fields.u64()?, fields.u64()?, fields.u64()?);
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(fields.take(DIGEST_BYTES)?);
    let length = u32::try_from(length).ok().filter(|length| *length <= BLOCK_BYTES_MAX);
    match length {
        Some(length) if offset.checked_add(length.into()).is_some_and(|end| end <= limit) => {
            Ok(Block { section, entries, offset, length, key, digest })
        }
        _ => Err(SnapshotError::Damaged("a block lies outside of it")),
    }
}
