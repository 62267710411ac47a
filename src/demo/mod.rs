//! `drawdown demo`: the server's main job on real input, in one command.
//!
//! Starts the real server in this process, on a port of its own and over a directory of its own, and from there on is a client like any
//! other: everything goes through HTTP. It sets up a currency, two meters, and wallets with grants and alert levels; replays a trace of
//! requests to a large language model, two usage events a row; shows what happens meanwhile; and ends with an audit.
//!
//! What it guarantees: it succeeds only if what the server says agrees, to the last unit, with a sum over the trace that shares no code
//! with the replay ([`audit`]).
//!
//! What it leaves out on purpose: the events carry no `time`. The trace is of 2023, and the server rightly refuses usage that is older
//! than the window in which it remembers ids; so each event happens when it is replayed, at the trace's own rhythm times the speed.
//!
//! For one wallet all events go through one connection, in the trace's order. Hence the same options give the same outcomes.

mod audit;
mod books;
mod client;
mod credits;
mod plan;
mod progress;
mod replay;
mod setup;
mod summary;
pub(crate) mod terminal;
mod trace;
mod view;
mod watch;

use books::Books;
use client::ClientError;
use drawdown::engine::{Engine, EngineConfig, OpenError, SystemClock, Unavailable};
use drawdown::http::auth::Gate;
use drawdown::http::{App, Limits, Server};
use plan::Plan;
use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch as channel};

/// Bytes of a log segment: the demo writes a few megabytes, and the usual size would reserve much more.
const SEGMENT_BYTES: u64 = 16 << 20;

/// How a demo is run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// How fast.
    pub(crate) speed: Speed,
    /// How many wallets.
    pub(crate) wallets: usize,
    /// Where the ledger stays; a temporary directory if `None`.
    pub(crate) data: Option<PathBuf>,
    /// Rows of the trace at most.
    pub(crate) limit: Option<usize>,
    /// Minutes of the trace at most.
    pub(crate) minutes: Option<u64>,
    /// Whether a terminal gets the live view.
    pub(crate) view: bool,
}

/// The speed of the replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speed {
    /// So many times the trace's own.
    Times(u32),
    /// Without waiting.
    Max,
}

/// Why a demo did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// The directory cannot be used.
    #[error("cannot make a directory for the ledger: {0}")]
    Directory(#[source] io::Error),
    /// The directory has a ledger, and the sums would not be the demo's alone.
    #[error("{} holds a ledger already; the demo wants a directory of its own", .0.display())]
    InUse(PathBuf),
    /// The ledger cannot be opened.
    #[error("cannot open the ledger in {}: {source}", path.display())]
    Open {
        /// Its directory.
        path: PathBuf,
        /// Why not.
        source: OpenError,
    },
    /// The system gives no threads, sockets, signals or randomness.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
    /// The server did not answer as it should.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] Unavailable),
    /// A part of the demo itself failed.
    #[error("a task of the demo failed: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The user did not want to wait for the summary.
    #[error("stopped before the summary")]
    Abandoned,
    /// The audit failed.
    #[error("the ledger and the trace disagree")]
    Disagrees,
}

/// Runs the demo to its end, or to a signal's.
pub(crate) fn run(options: &Options) -> Result<(), DemoError> {
    let temporary;
    let directory = if let Some(directory) = &options.data {
        directory.as_path()
    } else {
        temporary = tempfile::Builder::new().prefix("drawdown-demo-").tempdir().map_err(DemoError::Directory)?;
        temporary.path()
    };
    let engine = open(directory)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve_and_replay(options, &engine));
    engine.close()?;
    outcome
}

fn open(directory: &Path) -> Result<Engine, DemoError> {
    let mut config = EngineConfig::default();
    config.log.segment_bytes = SEGMENT_BYTES;
    config.log.max_frame_bytes = (SEGMENT_BYTES / 8) as u32;
    let opened = Engine::open(directory, config, Arc::new(SystemClock));
    let (engine, _) = opened.map_err(|source| DemoError::Open { path: directory.to_owned(), source })?;
    if engine.currencies().is_empty() { Ok(engine) } else { Err(DemoError::InUse(directory.to_owned())) }
}

/// Runs the server, and the demo against it.
async fn serve_and_replay(options: &Options, engine: &Engine) -> Result<(), DemoError> {
    let mut process = [0; 8];
    getrandom::fill(&mut process).map_err(|error| io::Error::other(error.to_string()))?;
    let app = App::new(engine.clone(), Gate::Open, Limits::default(), u64::from_le_bytes(process));
    let server = Server::bind(app, (Ipv4Addr::LOCALHOST, 0)).await?;
    let address = server.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async {
        // Whether it is sent or dropped, it means the same.
        let _ = stopped.await;
    }));
    let interrupts = listen_for_signals()?;
    let mut abandoned = interrupts.clone();
    let outcome = tokio::select! {
        outcome = replay_and_audit(options, address, interrupts) => outcome,
        _ = abandoned.wait_for(|&signals| signals > 1) => Err(DemoError::Abandoned),
    };
    drop(stop);
    serving.await?;
    outcome
}

/// Counts SIGINT and SIGTERM: the first asks for the summary, the second for the end.
fn listen_for_signals() -> io::Result<channel::Receiver<u32>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (count, counted) = channel::channel(0);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            count.send_modify(|signals| *signals += 1);
        }
    });
    Ok(counted)
}

/// The demo proper: a client of the server at `address`.
async fn replay_and_audit(
    options: &Options,
    address: SocketAddr,
    interrupts: channel::Receiver<u32>,
) -> Result<(), DemoError> {
    let rows = trace::rows(options.limit, options.minutes.map(|minutes| Duration::from_secs(minutes * 60)));
    let plan = Arc::new(Plan::new(rows, options.wallets));
    summary::announce(options, &plan, address);
    setup::run(address, &plan).await?;
    let log_before = audit::Stats::get(address).await?.log.tail;

    let books = Arc::new(Books::new(&plan));
    let (finish, finished) = channel::channel(false);
    let watching = tokio::spawn(watch::run(address, Arc::clone(&books), finished.clone()));
    let showing = tokio::spawn(show(options.clone(), address, Arc::clone(&plan), Arc::clone(&books), finished));
    let started = Instant::now();
    let replayed = replay::run(address, Arc::clone(&plan), Arc::clone(&books), options.speed, interrupts).await;
    let took = started.elapsed();
    finish.send_replace(true);
    showing.await?; // first of all: an error is told on an ordinary screen
    let rows = replayed?;
    watching.await??;

    let report = audit::run(address, &plan, &books.snapshot(), rows).await?;
    summary::print(&plan, &books.snapshot(), &report, rows, took, log_before);
    if report.agrees() { Ok(()) } else { Err(DemoError::Disagrees) }
}

/// Shows what happens until the replay has finished: as a picture where there is a terminal, else line by line.
async fn show(
    options: Options,
    address: SocketAddr,
    plan: Arc<Plan>,
    books: Arc<Books>,
    finished: channel::Receiver<bool>,
) {
    let smart = io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|name| name != "dumb");
    if options.view && smart {
        view::run(&options, address, &plan, &books, finished).await;
    } else {
        progress::run(&plan, &books, finished).await;
    }
}
