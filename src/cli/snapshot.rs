//! `drawdown snapshot`: makes a snapshot of a data directory that no server has open, or of a copy of one.

use crate::demo::terminal::bar;
use clap::Args;
use drawdown::engine::snapshot::{Progress, make_offline};
use drawdown::engine::{EngineConfig, OpenError, SnapshotConfig, SystemClock};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Arguments of `drawdown snapshot`.
#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    /// The data directory; no server may have it open
    #[arg(long, env = "DRAWDOWN_DATA")]
    data: PathBuf,
    /// Mebibytes of memory that making it may take, about
    #[arg(long, default_value_t = 256)]
    memory_mib: u64,
}

/// Why no snapshot was made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a snapshot of the ledger in {}: {source}", path.display())]
pub(crate) struct SnapshotError {
    /// Its directory.
    path: PathBuf,
    /// Why not.
    source: OpenError,
}

/// Time between two looks at how far it has come.
const PERIOD: Duration = Duration::from_millis(200);
const BAR_COLUMNS: usize = 40;

/// Runs `drawdown snapshot`.
pub(crate) fn run(args: &SnapshotArgs) -> Result<(), SnapshotError> {
    let snapshots = SnapshotConfig { memory_bytes: args.memory_mib << 20, ..SnapshotConfig::default() };
    // The server's window is not known here: every identity that there is stays in it, and the server forgets by its own.
    let config = EngineConfig { snapshots, idempotency_window_ms: u64::MAX, ..EngineConfig::default() };
    let progress = Progress::default();
    let made = std::thread::scope(|scope| {
        let (done, finished) = mpsc::channel::<()>();
        let progress = &progress;
        if io::stderr().is_terminal() {
            scope.spawn(move || {
                while finished.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                    show(progress.bytes());
                }
                // A terminal that is gone needs nothing.
                let _ = write!(io::stderr(), "\r\x1b[K");
            });
        }
        let made = make_offline(&args.data, &config, &SystemClock, progress);
        drop(done);
        made
    });
    match made.map_err(|source| SnapshotError { path: args.data.clone(), source })? {
        Some(made) => println!(
            "made a snapshot up to {}: {} wallets, {} bytes, {:.1} s",
            made.lsn,
            made.wallets,
            made.bytes,
            Duration::from_millis(made.took_ms).as_secs_f64(),
        ),
        None => {
            println!("there is nothing to make a snapshot of: no segment of the log has been filled since the last");
        }
    }
    Ok(())
}

fn show((done, total): (u64, u64)) {
    if let Some(percent) = (100 * done).checked_div(total) {
        let _ = write!(io::stderr(), "\r{} {percent:>3} %\x1b[K", bar(done, total, BAR_COLUMNS));
    }
}
