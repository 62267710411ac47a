//! Files without a disk, for tests and simulations.

use super::{Files, NewFile, ReadAt};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// When, around an operation, the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Before it did anything.
    Before,
    /// When it had been done, and nobody had been told.
    After,
}

/// Files in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Arc<[u8]>>,
    operations: u64,
    cut: Option<(u64, Cut)>,
    is_cut: bool,
}

impl State {
    /// Counts an operation and does it, unless the power goes.
    fn operate<T>(&mut self, operation: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        if self.is_cut {
            return Err(power_cut());
        }
        self.operations += 1;
        match self.cut {
            Some((at, when)) if at == self.operations => {
                self.is_cut = true;
                if when == Cut::After {
                    drop(operation(self));
                }
                Err(power_cut())
            }
            _ => operation(self),
        }
    }
}

fn power_cut() -> io::Error {
    io::Error::other("simulated power cut")
}

impl Memory {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations that change something, so far: creations, writes, completions, removals.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Cuts the power at operation number `operation` (the first is 1). It and all that follow fail.
    pub fn cut_power_at(&self, operation: u64, cut: Cut) {
        self.state().cut = Some((operation, cut));
    }

    /// Whether the power was cut.
    pub fn is_cut(&self) -> bool {
        self.state().is_cut
    }

    /// The files that a power cut, by now or now, leaves.
    #[must_use]
    pub fn left(&self) -> Self {
        let files = self.state().files.clone();
        Memory { state: Arc::new(Mutex::new(State { files, ..State::default() })) }
    }

    /// A file's bytes.
    pub fn get(&self, name: &str) -> Option<Arc<[u8]>> {
        self.state().files.get(name).cloned()
    }

    /// Puts a file there as it is: to damage one.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        self.state().files.insert(name.to_owned(), bytes.into());
    }
}

impl Files for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().files.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn NewFile>> {
        let (files, name) = (self.clone(), name.to_owned());
        self.state().operate(|_| Ok(Box::new(Unfinished { files, name, bytes: Vec::new() }) as Box<dyn NewFile>))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn ReadAt>> {
        let bytes = self.state().files.get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Bytes(bytes)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.state().operate(|state| state.files.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into()))
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{name} in memory"))
    }
}

struct Unfinished {
    files: Memory,
    name: String,
    bytes: Vec<u8>,
}

impl NewFile for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.files.state().operate(|_| {
            self.bytes.extend_from_slice(bytes);
            Ok(())
        })
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let Unfinished { files, name, bytes } = *self;
        files.state().operate(|state| {
            state.files.insert(name, bytes.into());
            Ok(())
        })
    }
}

#[derive(Debug)]
struct Bytes(Arc<[u8]>);

impl ReadAt for Bytes {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)?.get(..out.len()));
        out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}
