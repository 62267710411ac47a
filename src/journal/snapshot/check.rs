//! Every byte of a snapshot looked at: what is not as it was written, and where.
//!
//! The footer's digest says that header, directory and footer are whole, the directory's that the blocks are. Where the footer's digest fails,
//! it does not say which byte it is; so what the three must say whatever they are of is gone through from front to back, block by block
//! with it, and the first thing that cannot be is named. What is left then are numbers that nothing else in the file contradicts.

use super::file::{Block, END_MAGIC, ENTRY_BYTES, FOOTER_BYTES, HEADER_BYTES, MAGIC, SnapshotFile, VERSION, block};
use super::{Section, SnapshotError, lsn_of};
use crate::journal::bytes::Fields;
use drawdown_wal::{Contents, Files};
use std::io;
use std::sync::Arc;

/// Bytes of a snapshot that are not those that were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Offset in the file: of the first bad byte, or of the beginning of what is bad.
    pub offset: u64,
    /// Bytes among which the bad one is.
    pub length: u64,
    /// What is wrong.
    pub what: String,
}

/// What the look at a snapshot's bytes came to.
#[derive(Debug)]
pub struct Checked {
    /// The snapshot, if header, directory and footer are whole; its blocks need not be.
    pub file: Option<SnapshotFile>,
    /// What is wrong, from front to back.
    pub damages: Vec<Damage>,
}

/// More damages of one file are not told.
const DAMAGES_MAX: usize = 20;

/// Looks at every byte of the snapshot of this name. `log_id` is the identity of the log that it should be of; `watch` is told of bytes that were
/// read. An error is the system's.
pub fn check(files: &dyn Files, name: &str, log_id: [u8; 16], watch: &mut dyn FnMut(u64)) -> io::Result<Checked> {
    match SnapshotFile::open(files, name) {
        Ok(file) => {
            let damages = blocks(&file, watch)?;
            Ok(Checked { file: Some(file), damages })
        }
        Err(SnapshotError::Io(error)) => Err(error),
        Err(error @ (SnapshotError::Damaged(_) | SnapshotError::Version(_) | SnapshotError::Foreign(_))) => {
            let contents = files.open_file(name)?;
            watch(contents.size_bytes());
            let damage = locate(&contents, name, log_id, &error)?;
            Ok(Checked { file: None, damages: vec![damage] })
        }
    }
}

/// Checks the blocks, in the order in which they lie in the file.
fn blocks(file: &SnapshotFile, watch: &mut dyn FnMut(u64)) -> io::Result<Vec<Damage>> {
    let mut blocks: Vec<&Block> = Section::ALL.iter().flat_map(|section| file.blocks(*section)).collect();
    blocks.sort_by_key(|block| block.bytes().start);
    let (mut damages, mut buffer, mut at) = (Vec::new(), Vec::new(), HEADER_BYTES as u64);
    let mut bad = |offset: u64, length: u64, what: String| {
        if damages.len() < DAMAGES_MAX {
            damages.push(Damage { offset, length, what });
        }
    };
    let end = file.size_bytes() - (FOOTER_BYTES + blocks.len() * ENTRY_BYTES) as u64;
    for block in blocks {
        let bytes = block.bytes();
        if bytes.start != at {
            bad(at, bytes.start.abs_diff(at), "its blocks do not lie one behind the other".to_owned());
        }
        if !block.is_made_of(file.read_unchecked(block, &mut buffer)?) {
            bad(bytes.start, bytes.end - bytes.start, of_block(block, "does not check"));
        }
        at = bytes.end;
        watch(bytes.end - bytes.start);
    }
    if at != end {
        bad(at, end.abs_diff(at), "no block lies here".to_owned());
    }
    watch((FOOTER_BYTES + HEADER_BYTES) as u64);
    Ok(damages)
}

fn of_block(block: &Block, what: &str) -> String {
    let bytes = block.bytes();
    format!("the block of {} bytes here, of section {}, {what}", bytes.end - bytes.start, block.section() as u8)
}

/// Looks for what is wrong with a file whose header, directory or footer is.
fn locate(contents: &Arc<dyn Contents>, name: &str, log_id: [u8; 16], error: &SnapshotError) -> io::Result<Damage> {
    let size = contents.size_bytes();
    let told = |offset: u64, length: u64, what: &str| Ok(Damage { offset, length, what: format!("{error}: {what}") });
    let Some(body) = size.checked_sub((HEADER_BYTES + FOOTER_BYTES) as u64) else {
        return told(0, size, "it has not even room for header and footer");
    };
    let (mut header, mut footer) = ([0; HEADER_BYTES], [0; FOOTER_BYTES]);
    contents.read_at(0, &mut header)?;
    contents.read_at(size - FOOTER_BYTES as u64, &mut footer)?;
    let mut expected = header;
    expected[0..8].copy_from_slice(MAGIC);
    expected[8..12].copy_from_slice(&VERSION.to_le_bytes());
    expected[12..16].fill(0);
    expected[16..32].copy_from_slice(&log_id);
    if let Some(lsn) = lsn_of(name) {
        expected[32..40].copy_from_slice(&lsn.get().to_le_bytes());
    }
    expected[40..64].fill(0);
    expected[96..].fill(0);
    if let Some(at) = header.iter().zip(&expected).position(|(found, expected)| found != expected) {
        return told(at as u64, 1, "a byte of its header is not what it must be");
    }
    let footer_at = size - FOOTER_BYTES as u64;
    // How long the directory is, from the place where it begins, or else from the number of its lines.
    let mut end = Fields(&footer[8..]);
    let (at, lines) = (end.u64().unwrap_or(0), end.u64().unwrap_or(0));
    let begins = |lines: u64| footer_at.checked_sub(lines.checked_mul(ENTRY_BYTES as u64)?);
    let fits =
        |at: u64| at >= HEADER_BYTES as u64 && at <= footer_at && (footer_at - at).is_multiple_of(ENTRY_BYTES as u64);
    let by_number = begins(lines).filter(|at| *at >= HEADER_BYTES as u64 && body > 0);
    let places = [Some(at).filter(|at| fits(*at)), by_number];
    // The place at which the blocks end is the right one.
    let mut best: Option<(u64, Option<Damage>)> = None;
    for begin in places.into_iter().flatten() {
        let found = directory(contents, begin, footer_at)?;
        let is_better = best.as_ref().is_none_or(|(_, damage)| damage.is_some() && found.is_none());
        if is_better {
            best = Some((begin, found));
        }
    }
    let Some((begin, found)) = best else {
        return told(footer_at, FOOTER_BYTES as u64, "its footer does not say where the directory is");
    };
    let mut expected = footer;
    expected[0..8].copy_from_slice(END_MAGIC);
    expected[8..16].copy_from_slice(&begin.to_le_bytes());
    expected[16..24].copy_from_slice(&((footer_at - begin) / ENTRY_BYTES as u64).to_le_bytes());
    expected[92..96].fill(0);
    expected[104..224].fill(0);
    let in_footer = footer.iter().zip(&expected).position(|(found, expected)| found != expected);
    match (found, in_footer) {
        (None, Some(at)) => told(footer_at + at as u64, 1, "a byte of its footer is not what it must be"),
        (Some(damage), _) => told(damage.offset, damage.length, &damage.what),
        (None, None) => {
            let what = "each of its blocks is whole: it is a number in header, directory or footer that nothing else tells, or the digest itself";
            told(64, size - 64, what)
        }
    }
}

/// Goes through a directory that begins at `begin`, and through the blocks that it names: the first thing that cannot be.
fn directory(contents: &Arc<dyn Contents>, begin: u64, end: u64) -> io::Result<Option<Damage>> {
    let mut directory = vec![0; (end - begin) as usize];
    contents.read_at(begin, &mut directory)?;
    let (mut at, mut buffer) = (HEADER_BYTES as u64, Vec::new());
    for (place, line) in (begin..).step_by(ENTRY_BYTES).zip(directory.chunks_exact(ENTRY_BYTES)) {
        let bad = |what: &str| {
            let what = format!("the line of its directory here {what}");
            Ok(Some(Damage { offset: place, length: ENTRY_BYTES as u64, what }))
        };
        let block = match block(line, begin) {
            Ok(block) if block.bytes().start == at => block,
            Ok(_) | Err(_) => return bad("names no block that can lie there"),
        };
        buffer.resize((block.bytes().end - at) as usize, 0);
        contents.read_at(at, &mut buffer)?;
        if !block.is_made_of(&buffer) {
            return bad("and the block that it names do not agree");
        }
        at = block.bytes().end;
    }
    let gap = Damage { offset: at, length: begin - at.min(begin), what: "no block lies here".to_owned() };
    Ok((at != begin).then_some(gap))
}
