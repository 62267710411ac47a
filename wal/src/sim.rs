//! A simulated disk: deterministic, with faults.
//!
//! Each segment has a live image (what memory shows) and a durable image (what syncs have carried to the platter). A power cut keeps,
//! loses or tears every page that differs between the two, each on its own, by a seed: pages reach a disk in any order.
//! Creating a segment is atomic and durable, as a rename followed by a directory sync is. Removing one, finishing a file and deleting one
//! end with a sync of the directory, which counts as a sync and can be cut or fail like any other: until it has happened, what was asked
//! for may have happened or not.
//!
//! ```
//! use drawdown_wal::{Log, Lsn, Options, frame_bytes, sim::Disk};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let disk = Disk::new();
//! let (log, _) = Log::open_on(disk.medium(), Options::tiny(16 * 1024))?;
//! let end = log.admit(frame_bytes(3))?.reserve(1, 3).publish(3, 1);
//! log.wait_durable(end)?;
//! let after = disk.crash(42);                                   // what a power cut now would leave
//! let (log, recovery) = Log::open_on(after.medium(), Options::tiny(16 * 1024))?;
//! assert!(recovery.end >= end);
//! # Ok(()) }
//! ```
//!
//! Use it with [`crate::Options::manual`], on one thread, where images are asked for: they are copied from memory that appenders write.
//! Faults that need no image (a full disk, a failing or a held-up sync) may be set while the log's threads run.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::files::{Contents, Draft, Files, HeapFile, Scratch, has_extension};
use crate::mapping::{Backing, HeapPages, Region};
use crate::medium::Medium;

/// Bytes that a device writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;
/// Bytes that the system writes back together.
pub const PAGE_BYTES: usize = 4096;

/// When, around a sync, the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Before the sync wrote anything.
    Before,
    /// While it was writing: each sector of its range arrived or did not.
    During,
    /// When everything was written, and nobody had been told.
    After,
}

/// A simulated disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    gate: Arc<Gate>,
}

/// Where syncs wait while they are held up.
#[derive(Debug, Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap_or_else(PoisonError::into_inner) = shut;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.opened.wait_while(shut, |shut| *shut).unwrap_or_else(PoisonError::into_inner));
    }
}

#[derive(Debug, Default)]
struct State {
    segments: BTreeMap<u64, Image>,
    syncs: u64,
    creations: u64,
    fail_sync: Option<u64>,
    full_from: Option<u64>,
    failing_creations: u64,
    cut: Option<(u64, Cut, u64)>,
    files: BTreeMap<String, Arc<HeapFile>>,
    archived: Vec<u64>,
    left: Option<Left>,
}

/// What a power cut leaves.
#[derive(Clone, Debug, Default)]
struct Left {
    segments: BTreeMap<u64, Vec<u8>>,
    files: BTreeMap<String, Arc<HeapFile>>,
}

#[derive(Debug)]
struct Image {
    live: Arc<HeapPages>,
    durable: Vec<u8>,
}

/// A small generator of pseudo-random numbers (splitmix64), so that every fault replays from its seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that always gives the same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }
}

impl State {
    fn survivors(&self, seed: u64) -> Left {
        let mut random = Random::new(seed);
        let mut images = BTreeMap::new();
        for (&number, image) in &self.segments {
            let live = image.live.copy_out();
            let mut left = image.durable.clone();
            for (old, new) in left.chunks_mut(PAGE_BYTES).zip(live.chunks(PAGE_BYTES)) {
                if old == new {
                    continue;
                }
                match random.below(3) {
                    0 => {}
                    1 => old.copy_from_slice(new),
                    _ => tear(old, new, &mut random),
                }
            }
            images.insert(number, left);
        }
        Left { segments: images, files: self.files.clone() }
    }

    /// A change of the directory, made durable by a sync of it.
    fn change(&mut self, change: impl FnOnce(&mut State)) -> io::Result<()> {
        if self.left.is_some() {
            return Err(power_cut());
        }
        self.syncs += 1;
        if let Some((_, cut, seed)) = self.cut.filter(|&(at, _, _)| at == self.syncs) {
            let arrives = match cut {
                Cut::Before => false,
                Cut::During => Random::new(seed ^ 0xd1e).below(2) == 0,
                Cut::After => true,
            };
            if arrives {
                change(self);
            }
            self.left = Some(self.survivors(seed));
            return Err(power_cut());
        }
        if self.fail_sync == Some(self.syncs) {
            return Err(io::Error::other("simulated sync failure"));
        }
        change(self);
        Ok(())
    }

    /// A sync of `bytes` at `offset` of segment `number`.
    fn sync(&mut self, number: u64, offset: usize, bytes: &[u8]) -> io::Result<()> {
        if self.left.is_some() {
            return Err(power_cut());
        }
        self.syncs += 1;
        let cut = self.cut.filter(|&(at, _, _)| at == self.syncs);
        if let Some((_, Cut::Before, seed)) = cut {
            self.left = Some(self.survivors(seed));
            return Err(power_cut());
        }
        let Some(image) = self.segments.get_mut(&number) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let range = offset..offset + bytes.len();
        match cut {
            Some((_, Cut::During, seed)) => {
                let mut random = Random::new(seed ^ 0x5ec7);
                tear(&mut image.durable[range], bytes, &mut random);
                self.left = Some(self.survivors(seed));
                return Err(power_cut());
            }
            Some((_, _, seed)) => {
                image.durable[range].copy_from_slice(bytes);
                self.left = Some(self.survivors(seed));
                return Err(power_cut());
            }
            None => {}
        }
        if self.fail_sync == Some(self.syncs) {
            return Err(io::Error::other("simulated sync failure"));
        }
        image.durable[range].copy_from_slice(bytes);
        Ok(())
    }
}

/// Copies each sector of `new` or leaves the old one.
fn tear(old: &mut [u8], new: &[u8], random: &mut Random) {
    for (old, new) in old.chunks_mut(SECTOR_BYTES).zip(new.chunks(SECTOR_BYTES)) {
        if random.below(2) == 0 {
            old.copy_from_slice(new);
        }
    }
}

fn power_cut() -> io::Error {
    io::Error::other("simulated power cut")
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk that holds the given segment images.
    pub fn from_images(images: BTreeMap<u64, Vec<u8>>) -> Self {
        let segments = images.into_iter().map(|(number, durable)| {
            let live = HeapPages::from_image(&durable);
            (number, Image { live, durable })
        });
        let state = State { segments: segments.collect(), ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), gate: Arc::default() }
    }

    fn from_left(left: Left) -> Self {
        let disk = Self::from_images(left.segments);
        disk.state().files = left.files;
        disk
    }

    /// Another disk with the same durable contents, files included.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let files = self.state().files.clone();
        Self::from_left(Left { segments: self.images(), files })
    }

    /// Numbers of the segments that were archived.
    pub fn archived(&self) -> Vec<u64> {
        self.state().archived.clone()
    }

    /// Changes a file's bytes, as a failing disk does.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn damage_file(&self, name: &str, damage: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let file = state.files.get_mut(name).expect("the file to damage");
        let mut bytes = file.0.clone();
        damage(&mut bytes);
        *file = Arc::new(HeapFile(bytes));
    }

    /// A disk whose durable images are `durable` while memory shows `memory`: what a process finds when the one before it died and the
    /// machine did not. Both hold the same segments.
    pub fn with_memory(durable: BTreeMap<u64, Vec<u8>>, memory: &BTreeMap<u64, Vec<u8>>) -> Self {
        let disk = Self::from_images(durable);
        for (number, image) in &mut disk.state().segments {
            image.live = HeapPages::from_image(&memory[number]);
        }
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk as a medium to open a log on.
    pub fn medium(&self) -> Arc<dyn Medium> {
        Arc::new(self.clone())
    }

    /// Syncs asked for so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Segments created so far, failed attempts included.
    pub fn creations(&self) -> u64 {
        self.state().creations
    }

    /// Makes sync number `sync` (the first is 1) fail. Later ones would succeed: a log that retried would be found out.
    pub fn fail_sync(&self, sync: u64) {
        self.state().fail_sync = Some(sync);
    }

    /// Makes every creation of a segment from number `creation` (the first is 1) on fail for want of space, until
    /// [`Disk::make_space`].
    pub fn fill_up(&self, creation: u64) {
        self.state().full_from = Some(creation);
    }

    /// Ends [`Disk::fill_up`].
    pub fn make_space(&self) {
        self.state().full_from = None;
    }

    /// Makes the next `count` creations of a segment fail for want of space; those behind them succeed.
    pub fn fail_creations(&self, count: u64) {
        self.state().failing_creations = count;
    }

    /// Makes syncs wait until [`Disk::release_syncs`]: a disk that is slow without bound. For logs that sync on a thread of their own.
    pub fn hold_syncs(&self) {
        self.gate.set(true);
    }

    /// Ends [`Disk::hold_syncs`].
    pub fn release_syncs(&self) {
        self.gate.set(false);
    }

    /// Cuts the power at sync number `sync` (the first is 1). That sync and all that follows fails; what is left is given by
    /// [`Disk::left`].
    pub fn cut_power_at(&self, sync: u64, cut: Cut, seed: u64) {
        self.state().cut = Some((sync, cut, seed));
    }

    /// What the power cut set by [`Disk::cut_power_at`] left, if it happened.
    pub fn left(&self) -> Option<Self> {
        self.state().left.clone().map(Self::from_left)
    }

    /// What a power cut now would leave.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        Self::from_left(self.state().survivors(seed))
    }

    /// What a power cut now would leave if exactly the sectors that begin below `offset` of segment `number`, and all of
    /// earlier segments, had been written.
    #[must_use]
    pub fn crash_keeping(&self, number: u64, offset: u64) -> Self {
        let mut images = BTreeMap::new();
        let state = self.state();
        for (&this, image) in &state.segments {
            let live = image.live.copy_out();
            let keep = match this.cmp(&number) {
                std::cmp::Ordering::Less => live.len(),
                std::cmp::Ordering::Equal => (offset as usize).next_multiple_of(SECTOR_BYTES).min(live.len()),
                std::cmp::Ordering::Greater => 0,
            };
            let mut left = image.durable.clone();
            left[..keep].copy_from_slice(&live[..keep]);
            images.insert(this, left);
        }
        Self::from_left(Left { segments: images, files: state.files.clone() })
    }

    /// The bytes in memory, as a process that died (the machine did not) leaves them.
    #[must_use]
    pub fn kill(&self) -> Self {
        let state = self.state();
        let images = state.segments.iter().map(|(&number, image)| (number, image.live.copy_out()));
        Self::from_left(Left { segments: images.collect(), files: state.files.clone() })
    }

    /// What a process finds when the one before it died and the machine did not: it sees what was in memory, of which no more is durable than
    /// before.
    #[must_use]
    pub fn restart(&self) -> Self {
        let state = self.state();
        let mut segments = BTreeMap::new();
        for (&number, Image { live, durable }) in &state.segments {
            let live = HeapPages::from_image(&live.copy_out());
            segments.insert(number, Image { live, durable: durable.clone() });
        }
        let state = State { segments, files: state.files.clone(), ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), gate: Arc::default() }
    }

    /// Takes back what [`Disk::cut_power_at`] and [`Disk::fail_sync`] have set and has not happened.
    pub fn spare(&self) {
        let mut state = self.state();
        (state.cut, state.fail_sync) = (None, None);
    }

    /// The durable images, to be looked at or changed and given to [`Disk::from_images`].
    pub fn images(&self) -> BTreeMap<u64, Vec<u8>> {
        self.state().segments.iter().map(|(&number, image)| (number, image.durable.clone())).collect()
    }
}

struct Platter {
    state: Arc<Mutex<State>>,
    gate: Arc<Gate>,
    number: u64,
}

impl Backing for Platter {
    fn sync(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.gate.pass();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sync(self.number, offset as usize, bytes)
    }
}

impl Disk {
    fn region(&self, number: u64, live: &Arc<HeapPages>) -> io::Result<Region> {
        Region::heap(live, Box::new(Platter { state: Arc::clone(&self.state), gate: Arc::clone(&self.gate), number }))
    }
}

impl Medium for Disk {
    fn segments(&self) -> io::Result<Vec<u64>> {
        Ok(self.state().segments.keys().copied().collect())
    }

    fn create(&self, number: u64, bytes: u64, header: &[u8], _pace: &dyn Fn(u64)) -> io::Result<Region> {
        let mut state = self.state();
        if state.left.is_some() {
            return Err(power_cut());
        }
        state.creations += 1;
        let fails = state.failing_creations > 0;
        state.failing_creations = state.failing_creations.saturating_sub(1);
        if fails || state.full_from.is_some_and(|from| state.creations >= from) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut durable = vec![0u8; bytes as usize];
        durable[..header.len()].copy_from_slice(header);
        let live = HeapPages::from_image(&durable);
        let region = self.region(number, &live)?;
        state.segments.insert(number, Image { live, durable });
        Ok(region)
    }

    fn open(&self, number: u64) -> io::Result<Region> {
        let live = self.state().segments.get(&number).map(|image| Arc::clone(&image.live));
        self.region(number, &live.ok_or(io::ErrorKind::NotFound)?)
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        let mut state = self.state();
        if !state.segments.contains_key(&number) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(|state| drop(state.segments.remove(&number)))
    }

    fn archive(&self, number: u64, _to: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.archived.contains(&number) {
            return Ok(());
        }
        state.change(|state| state.archived.push(number))
    }

    fn path(&self, number: u64) -> PathBuf {
        PathBuf::from(format!("simulated segment {number}"))
    }
}

/// A file being written.
struct SimulatedDraft {
    state: Arc<Mutex<State>>,
    name: String,
    bytes: Vec<u8>,
}

impl Draft for SimulatedDraft {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.left.is_some() {
            return Err(power_cut());
        }
        if state.full_from.is_some_and(|from| state.creations >= from) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let Self { state, name, bytes } = *self;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.change(|state| drop(state.files.insert(name, Arc::new(HeapFile(bytes)))))
    }
}

impl Files for Disk {
    fn names(&self, extension: &str) -> io::Result<Vec<String>> {
        Ok(self.state().files.keys().filter(|name| has_extension(name, extension)).cloned().collect())
    }

    fn draft(&self, name: &str) -> io::Result<Box<dyn Draft>> {
        Ok(Box::new(SimulatedDraft { state: Arc::clone(&self.state), name: name.to_owned(), bytes: Vec::new() }))
    }

    fn open_file(&self, name: &str) -> io::Result<Arc<dyn Contents>> {
        let file = self.state().files.get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(file)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.files.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(|state| drop(state.files.remove(name)))
    }

    fn overwrite(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.state().change(|state| {
            let file = state.files.entry(name.to_owned()).or_default();
            *file = Arc::new(file.overwritten(offset, bytes));
        })
    }

    fn scratch(&self) -> io::Result<Box<dyn Scratch>> {
        Ok(Box::new(HeapFile::default()))
    }

    fn place(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("simulated file {name}"))
    }
}
