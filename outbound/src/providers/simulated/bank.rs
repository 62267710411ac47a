//! Where the book is kept: in memory, in a file, or on another machine.

use super::book::Book;
use super::command::{Answer, Command};
use crate::Outgoing;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Carries commands out, each once.
pub trait Bank: Send + Sync {
    /// The answer, or that it is not known whether the command was carried out.
    fn execute(&self, command: Command) -> Outgoing<'_, Result<Answer, BankError>>;
}

/// It is not known whether a command was carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the simulated bank did not answer: {0}")]
pub struct BankError(pub(super) String);

/// Why a book cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line in its middle is none of ours.
    #[error("{path}, line {line}: {source}")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// A line of the file: the book as it was once, or what was done since.
#[derive(Serialize, Deserialize)]
enum Line<C, B> {
    Book(B),
    Command(C),
}

/// So many commands are replayed at the next start before the file is written anew.
const COMPACT_AT: usize = 10_000;

/// A book on this machine. With a file, each command is on disk before it is answered, so a restart answers every key as before.
///
/// One process at a time may have the file open; whoever opens it sees to that.
#[derive(Clone)]
pub struct Local {
    inner: Arc<Mutex<Inner>>,
    on_disk: bool,
}

struct Inner {
    book: Book,
    file: Option<File>,
    /// After a failed write it is not known what the file holds: nothing more is done.
    failed: Option<String>,
}

impl Local {
    /// A book that ends with the process.
    pub fn in_memory() -> Self {
        Local { inner: Arc::new(Mutex::new(Inner { book: Book::default(), file: None, failed: None })), on_disk: false }
    }

    /// A book in a file: JSON, a line for each command. An incomplete last line, left by a crash, is cut: it was not answered.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let wrong = |source| OpenError::File { path: path.to_owned(), source };
        let (book, commands, length) = read(path)?;
        if commands >= COMPACT_AT {
            write_anew(path, &book).map_err(wrong)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(wrong)?;
        if commands < COMPACT_AT {
            file.set_len(length).and_then(|()| file.sync_all()).map_err(wrong)?;
            sync_directory(path).map_err(wrong)?;
        }
        let inner = Inner { book, file: Some(file), failed: None };
        Ok(Local { inner: Arc::new(Mutex::new(inner)), on_disk: true })
    }

    /// The book as it stands, for audits.
    pub fn book(&self) -> Book {
        self.lock().book.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The book of a file, how many commands it was made of, and where its last whole line ends.
fn read(path: &Path) -> Result<(Book, usize, u64), OpenError> {
    let wrong = |source| OpenError::File { path: path.to_owned(), source };
    let (mut book, mut commands, mut length) = (Book::default(), 0, 0);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((book, 0, 0)),
        Err(error) => return Err(wrong(error)),
    };
    let mut reader = BufReader::new(file);
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let read = reader.read_until(b'\n', &mut text).map_err(wrong)?;
        if text.last() != Some(&b'\n') {
            break;
        }
        length += read as u64;
        match serde_json::from_slice(&text).map_err(|source| OpenError::Line { path: path.to_owned(), line, source })? {
            Line::Book(whole) => book = whole,
            Line::Command(command) => {
                book.apply(&command);
                commands += 1;
            }
        }
    }
    Ok((book, commands, length))
}

fn line(line: &Line<&Command, &Book>) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).expect("plain values");
    text.push(b'\n');
    text
}

/// Under another name first, so that there is always a whole file.
fn write_anew(path: &Path, book: &Book) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = File::create(&draft)?;
    file.write_all(&line(&Line::Book(book)))?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    sync_directory(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

impl Inner {
    fn execute(&mut self, command: &Command) -> Result<Answer, BankError> {
        if let Some(why) = &self.failed {
            return Err(BankError(why.clone()));
        }
        if let (Some(file), true) = (&mut self.file, command.changes()) {
            let written = file.write_all(&line(&Line::Command(command))).and_then(|()| file.sync_data());
            if let Err(error) = written {
                let why = self.failed.insert(format!("its file cannot be written: {error}"));
                return Err(BankError(why.clone()));
            }
        }
        Ok(self.book.apply(command))
    }
}

impl Bank for Local {
    fn execute(&self, command: Command) -> Outgoing<'_, Result<Answer, BankError>> {
        if !self.on_disk {
            return Box::pin(std::future::ready(self.lock().execute(&command)));
        }
        let bank = self.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || bank.lock().execute(&command)).await;
            done.unwrap_or_else(|error| Err(BankError(error.to_string())))
        })
    }
}
