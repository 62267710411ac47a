//! The server as a process of its own, which never outlives the test.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, TryRecvError};

/// A running server.
#[derive(Debug)]
pub(crate) struct Process {
    guard: Guard,
    address: SocketAddr,
}

/// A process that is killed when it is dropped.
#[derive(Debug)]
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        kill(&mut self.0);
    }
}

/// SIGKILL, and reaps.
fn kill(child: &mut Child) {
    // Both fail only for a process that has been reaped already.
    let _ = child.kill();
    let _ = child.wait();
}

/// Settings of a server, beside those that every one has here.
#[derive(Clone, Debug)]
pub(crate) struct Settings(Vec<String>);

impl Settings {
    /// Small segments, so that the log moves on to new ones on the way.
    pub(crate) fn usual() -> Settings {
        Settings::segments(1 << 20)
    }

    /// Segments of so many bytes.
    pub(crate) fn segments(bytes: u64) -> Settings {
        Settings(vec!["--segment-bytes".to_owned(), bytes.to_string()])
    }

    pub(crate) fn and(mut self, flag: &str, value: impl Display) -> Settings {
        self.0.push(format!("--{flag}={value}"));
        self
    }
}

fn command(directory: &Path, settings: &Settings) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawdown"));
    command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--log", "warn"]);
    command.args(["--threads", "4"]).args(&settings.0).arg("--data").arg(directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

impl Process {
    /// Starts a server on a free port and waits until it listens.
    pub(crate) fn start(directory: &Path) -> Process {
        Process::start_with(directory, &Settings::usual())
    }

    /// The same with other settings.
    pub(crate) fn start_with(directory: &Path, settings: &Settings) -> Process {
        let mut guard = Guard(command(directory, settings).spawn().expect("the server starts"));
        let address = address(guard.0.stdout.take().expect("it is piped")).expect("the server says where it listens");
        Process { guard, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// SIGKILL, now.
    pub(crate) fn kill(&mut self) {
        assert_eq!(self.guard.0.try_wait().expect("a child"), None, "the server ended by itself");
        kill(&mut self.guard.0);
    }

    /// Waits until it ends by itself, and gives back the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.guard.0.wait().expect("a child").code()
    }

    /// SIGTERM; gives back the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let sent = Command::new("kill").args(["-TERM", &self.guard.0.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
        self.guard.0.wait().expect("a child").code()
    }
}

/// Starts a server and kills it before it listens, as soon as it has mapped so many more parts of the log.
pub(crate) fn kill_in_recovery(directory: &Path, settings: &Settings, mappings: u64) {
    let mut guard = Guard(command(directory, settings).spawn().expect("the server starts"));
    let output = guard.0.stdout.take().expect("it is piped");
    let (listens, listening): (_, Receiver<()>) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let _ = address(output);
        drop(listens);
    });
    let needle = directory.to_string_lossy().into_owned();
    let (mut seen, mut changes) = (0, 0);
    // Either it has got as far as it should, or it was quicker and listens.
    while changes <= mappings && listening.try_recv() == Err(TryRecvError::Empty) {
        let mapped = mappings_of(guard.0.id(), &needle);
        changes += u64::from(mapped != seen);
        seen = mapped;
        std::thread::yield_now();
    }
    drop(guard);
    reader.join().expect("the reader ends with the process");
}

/// Has `drawdown verify` check a directory that no server has open.
pub(crate) fn assert_verifies(directory: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawdown"));
    let output = command.arg("verify").arg("--data").arg(directory).output().expect("the binary runs");
    let told = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&told));
}

/// How many mappings of files under a directory a process has. Where the system does not tell, the first look counts
/// as the only change.
fn mappings_of(pid: u32, needle: &str) -> usize {
    let mut text = String::new();
    let read = std::fs::File::open(format!("/proc/{pid}/maps")).and_then(|mut file| file.read_to_string(&mut text));
    if read.is_err() {
        return usize::MAX;
    }
    text.lines().filter(|line| line.contains(needle)).count()
}

fn address(output: ChildStdout) -> Option<SocketAddr> {
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).ok()?;
    line.trim().strip_prefix("drawdown listens on http://")?.parse().ok()
}
