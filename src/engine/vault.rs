//! Keys of customers' personal data, in a file beside the log that can forget.
//!
//! The log and its snapshots never change what they once said. So what they say of a person is ciphertext, and the key to it lies here, one
//! for each customer: destroying the key destroys the data, in every copy of the log, and leaves every hash of it as it was.
//!
//! ```text
//! customers.keys   cells of 64 bytes
//! first cell       magic "DRAWKEYS" | version u32 | 48 zero | CRC32C of the 60 bytes before
//! cell             id of the key, 16 bytes | key, 32 bytes | 12 zero | CRC32C of the 60 bytes before; all zero: free
//! ```
//!
//! # Invariants
//! 1. A key is durable before anything sealed with it is logged.
//! 2. A key is destroyed only when the log says durably that it is to be: what a crash leaves of an erasure is done at the next start.
//! 3. A destroyed key's bytes are written over with zeros where they stood, and synced. A cell lies within one sector: no crash leaves half a
//!    key.
//!
//! What a file system that never overwrites, or a flash drive's own bookkeeping, keeps of the old bytes is beyond this file's reach; see
//! `docs/personal-data.md`.

use crate::journal::control::Sealed;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use drawdown_wal::Files;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The file's name.
const FILE: &str = "customers.keys";
const EXTENSION: &str = "keys";
const MAGIC: &[u8; 8] = b"DRAWKEYS";
const VERSION: u32 = 1;
const CELL: usize = 64;
const CHECKED: usize = CELL - 4;

/// Names a key.
pub(super) type KeyId = [u8; 16];

/// See the module's documentation.
pub(super) struct Vault {
    files: Arc<dyn Files>,
    cells: Mutex<Cells>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Cells {
    /// Cell and key by id.
    keys: HashMap<KeyId, (u64, [u8; 32])>,
    /// Cells whose check is wrong, with the id that they show.
    damaged: Vec<(KeyId, u64)>,
    free: Vec<u64>,
    /// Cells in the file, the first one included; 0: there is no file.
    count: u64,
}

fn checked(mut cell: [u8; CELL]) -> [u8; CELL] {
    let check = crc32c::crc32c(&cell[..CHECKED]);
    cell[CHECKED..].copy_from_slice(&check.to_le_bytes());
    cell
}

fn header() -> [u8; CELL] {
    let mut cell = [0; CELL];
    cell[..8].copy_from_slice(MAGIC);
    cell[8..12].copy_from_slice(&VERSION.to_le_bytes());
    checked(cell)
}

fn cell_of(id: &KeyId, key: &[u8; 32]) -> [u8; CELL] {
    let mut cell = [0; CELL];
    cell[..16].copy_from_slice(id);
    cell[16..48].copy_from_slice(key);
    checked(cell)
}

impl Vault {
    /// Reads the keys that there are.
    pub(super) fn open(files: Arc<dyn Files>) -> io::Result<Self> {
        let mut cells = Cells::default();
        if files.names(EXTENSION)?.iter().any(|name| name == FILE) {
            let contents = files.open_file(FILE)?;
            let size = usize::try_from(contents.size_bytes()).map_err(|_| io::ErrorKind::FileTooLarge)?;
            let mut bytes = vec![0; size];
            contents.read_at(0, &mut bytes)?;
            cells = Cells::read(&bytes)?;
            if !cells.damaged.is_empty() {
                tracing::error!(count = cells.damaged.len(), file = FILE, "keys of personal data are damaged");
            }
        }
        Ok(Vault { files, cells: Mutex::new(cells) })
    }

    fn lock(&self) -> MutexGuard<'_, Cells> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a key. It is durable when this returns.
    pub(super) fn make(&self) -> io::Result<KeyId> {
        let (mut id, mut key) = ([0; 16], [0; 32]);
        getrandom::fill(&mut id).map_err(io::Error::other)?;
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        let mut cells = self.lock();
        let cell = cell_of(&id, &key);
        let place = if cells.count == 0 {
            // Both within the first sector.
            self.files.overwrite(FILE, 0, &[header(), cell].concat())?;
            cells.count = 2;
            1
        } else {
            let place = cells.free.last().copied().unwrap_or(cells.count);
            self.files.overwrite(FILE, place * CELL as u64, &cell)?;
            if cells.free.pop().is_none() {
                cells.count += 1;
            }
            place
        };
        cells.keys.insert(id, (place, key));
        Ok(id)
    }

    /// Writes over a key, if it is there. Answers whether it was.
    pub(super) fn destroy(&self, id: &KeyId) -> io::Result<bool> {
        let mut cells = self.lock();
        let damaged = cells.damaged.iter().filter(|(known, _)| known == id).map(|(_, place)| *place);
        let places: Vec<u64> = cells.keys.get(id).map(|(place, _)| *place).into_iter().chain(damaged).collect();
        for place in &places {
            self.files.overwrite(FILE, place * CELL as u64, &[0; CELL])?;
        }
        cells.keys.remove(id);
        cells.damaged.retain(|(known, _)| known != id);
        cells.free.extend(&places);
        Ok(!places.is_empty())
    }

    /// Whether the key is there.
    pub(super) fn has(&self, id: &KeyId) -> bool {
        self.lock().keys.contains_key(id)
    }

    fn cipher(&self, id: &KeyId) -> Option<Aes256Gcm> {
        let key = self.lock().keys.get(id).map(|(_, key)| *key)?;
        Some(Aes256Gcm::new(&key.into()))
    }

    /// Encrypts `text` of `owner` under a key that is there.
    pub(super) fn seal(&self, id: &KeyId, owner: &str, text: &[u8]) -> io::Result<Sealed> {
        let cipher = self.cipher(id).ok_or(io::ErrorKind::NotFound)?;
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let payload = Payload { msg: text, aad: owner.as_bytes() };
        let bytes = cipher.encrypt(&nonce.into(), payload).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(Sealed { key: *id, nonce, bytes })
    }

    /// Decrypts what was sealed for `owner`; `None` if the key is gone or the bytes are not those that were sealed.
    pub(super) fn open_sealed(&self, owner: &str, sealed: &Sealed) -> Option<Vec<u8>> {
        let payload = Payload { msg: &sealed.bytes, aad: owner.as_bytes() };
        self.cipher(&sealed.key)?.decrypt(&sealed.nonce.into(), payload).ok()
    }
}

impl Cells {
    fn read(bytes: &[u8]) -> io::Result<Self> {
        let wrong = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        let mut cells = Cells { count: (bytes.len() / CELL) as u64, ..Cells::default() };
        let (all, rest) = bytes.as_chunks::<CELL>();
        match all.first() {
            Some(first) if *first == header() => {}
            Some(first) if first.starts_with(MAGIC) && *first == checked(*first) => {
                return Err(wrong("customers.keys is of a version that this program does not know"));
            }
            // The first write of all was cut before any of it arrived: nothing was sealed yet.
            None if rest.is_empty() => return Ok(Cells::default()),
            _ if bytes.iter().all(|byte| *byte == 0) => return Ok(Cells::default()),
            _ => return Err(wrong("customers.keys does not begin as such a file does")),
        }
        for (place, cell) in (1..).zip(&all[1..]) {
            let id: KeyId = cell[..16].try_into().expect("of this length");
            if *cell == [0; CELL] {
                cells.free.push(place);
            } else if *cell == checked(*cell) {
                cells.keys.insert(id, (place, cell[16..48].try_into().expect("of this length")));
            } else {
                cells.damaged.push((id, place));
            }
        }
        Ok(cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawdown_wal::Heap;
    use drawdown_wal::sim::{Cut, Disk};

    fn bytes(files: &dyn Files) -> Vec<u8> {
        let contents = files.open_file(FILE).expect("there is one");
        let mut bytes = vec![0; contents.size_bytes() as usize];
        contents.read_at(0, &mut bytes).expect("readable");
        bytes
    }

    fn contains(all: &[u8], part: &[u8]) -> bool {
        all.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn a_key_opens_what_it_sealed_for_its_owner_until_it_is_destroyed() {
        let files: Arc<dyn Files> = Arc::new(Heap::new());
        let vault = Vault::open(Arc::clone(&files)).expect("opens");
        let (one, other) = (vault.make().expect("made"), vault.make().expect("made"));
        let sealed = vault.seal(&one, "cus_1", b"Ada").expect("sealed");
        assert!(!contains(&sealed.bytes, b"Ada"));
        assert_eq!(vault.open_sealed("cus_1", &sealed).as_deref(), Some(&b"Ada"[..]));
        assert_eq!(vault.open_sealed("cus_2", &sealed), None, "of another owner");
        let mut changed = sealed.clone();
        changed.bytes[0] ^= 1;
        assert_eq!(vault.open_sealed("cus_1", &changed), None, "changed");
        let secret = vault.lock().keys[&one].1;
        assert!(contains(&bytes(&*files), &secret) && contains(&bytes(&*files), &one));

        let vault = Vault::open(Arc::clone(&files)).expect("opens again");
        assert_eq!(vault.open_sealed("cus_1", &sealed).as_deref(), Some(&b"Ada"[..]));
        assert!(vault.destroy(&one).expect("written over"));
        assert!(!vault.destroy(&one).expect("nothing to do"));
        assert_eq!(vault.open_sealed("cus_1", &sealed), None);
        assert!(!contains(&bytes(&*files), &secret) && !contains(&bytes(&*files), &one), "no byte of it is left");
        let vault = Vault::open(Arc::clone(&files)).expect("opens again");
        assert!(!vault.has(&one) && vault.has(&other));
        let length = bytes(&*files).len();
        vault.make().expect("made");
        assert_eq!(bytes(&*files).len(), length, "the cell is used again");
    }

    #[test]
    fn the_bytes_of_the_file_are_pinned() {
        let hex = |cell: [u8; CELL]| cell.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        assert_eq!(hex(header()), GOLDEN_HEADER);
        assert_eq!(hex(cell_of(&[1; 16], &[2; 32])), GOLDEN_CELL);
    }

    const GOLDEN_HEADER: &str = "\
        445241574b4559530100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
        000000000018e9d017";
    const GOLDEN_CELL: &str = "\
        01010101010101010101010101010101020202020202020202020202020202020202020202020202020202020202020200000000000000\
        0000000000d86fc5db";

    #[test]
    fn a_damaged_cell_is_told_and_can_still_be_destroyed() {
        let disk = Disk::new();
        let vault = Vault::open(disk.medium()).expect("opens");
        let (one, other) = (vault.make().expect("made"), vault.make().expect("made"));
        disk.damage_file(FILE, |bytes| bytes[CELL + 20] ^= 1);
        let vault = Vault::open(disk.medium()).expect("opens");
        assert!(!vault.has(&one) && vault.has(&other));
        assert!(vault.destroy(&one).expect("written over"));
        assert!(bytes(&*disk.medium())[CELL..2 * CELL].iter().all(|byte| *byte == 0));
        disk.damage_file(FILE, |bytes| bytes[0] ^= 1);
        assert!(Vault::open(disk.medium()).is_err(), "another file");
    }

    /// A cut at each write leaves the key or not, and never half of one.
    #[test]
    fn a_power_cut_leaves_a_key_whole_or_not_at_all() {
        for write in 1..=4 {
            for (cut, seed) in [(Cut::Before, 1), (Cut::During, 1), (Cut::During, 2), (Cut::After, 1)] {
                let disk = Disk::new();
                let vault = Vault::open(disk.medium()).expect("opens");
                disk.cut_power_at(write, cut, seed);
                let first = vault.make().ok();
                let second = vault.make().ok();
                let destroyed = first.map(|id| vault.destroy(&id).is_ok());
                let third = vault.make().ok();
                let left = disk.left().expect("the power was cut");
                let vault = Vault::open(left.medium()).expect("what is left can be read");
                assert!(vault.lock().damaged.is_empty());
                for id in [second, third].into_iter().flatten() {
                    assert!(vault.has(&id), "what was made is there");
                }
                if let (Some(id), Some(true)) = (first, destroyed) {
                    assert!(!vault.has(&id), "what was destroyed is gone");
                }
                vault.make().expect("it goes on");
            }
        }
    }
}
