//! `drawdown demo`: the server's main job on real input, in one command.
//!
//! Starts the real server in this process, on a port of its own and over a directory of its own, and from there on is a client like any
//! other: everything goes through HTTP. It sets up a currency, two meters, and wallets with grants and alert levels, and sells a package: some
//! wallets buy it by themselves when they run low, with cards of the simulated payment provider. It replays a trace of requests to a large
//! language model, two usage events a row; shows what happens meanwhile; has itself told by webhooks, whose signatures it verifies ([`receiver`]); and
//! ends with an audit and a link to a customer's portal.
//!
//! What it guarantees: it succeeds only if what the server says agrees, to the last unit, with a sum over the trace that shares no code
//! with the replay, and what it says of money with the payment provider's own record ([`audit`]).
//!
//! What it leaves out on purpose: the events carry no `time`. The trace is of 2023, and the server rightly refuses usage that is older
//! than the window in which it remembers ids; so each event happens when it is replayed, at the trace's own rhythm times the speed.
//!
//! For one wallet all events go through one connection, in the trace's order. Hence the same options give the same outcomes, but in wallets that
//! buy: there it depends on when their credits arrive what is rejected.

mod audit;
mod books;
mod buying;
mod client;
pub(crate) mod credits;
mod money;
mod plan;
mod progress;
mod receiver;
mod replay;
mod server;
mod setup;
mod summary;
pub(crate) mod terminal;
mod trace;
mod view;
mod watch;

use books::Books;
use client::ClientError;
use drawdown::engine::{Engine, EngineConfig, OpenError, SystemClock, Unavailable};
use plan::Plan;
use receiver::{Inbox, Receiver};
use server::Running;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch as channel;

/// Bytes of a log segment: the demo writes a few megabytes, and the usual size would reserve much more.
const SEGMENT_BYTES: u64 = 16 << 20;

/// How long the receiver of webhooks waits for the next one that the feed has told already.
const WEBHOOK_PATIENCE: Duration = Duration::from_secs(10);

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
    /// Whether the server stays, when all is over, until a signal.
    pub(crate) stay: bool,
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
    /// An automatic top-up does not come to an end.
    #[error("the automatic rule of {0} does not come to rest")]
    Unsettled(String),
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
    let outcome = runtime.block_on(serve_and_replay(options, &engine, directory));
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
async fn serve_and_replay(options: &Options, engine: &Engine, directory: &Path) -> Result<(), DemoError> {
    let running = server::start(engine, directory).await?;
    let interrupts = listen_for_signals()?;
    let mut abandoned = interrupts.clone();
    let outcome = tokio::select! {
        outcome = replay_and_audit(options, &running, interrupts) => outcome,
        _ = abandoned.wait_for(|&signals| signals > 1) => Err(DemoError::Abandoned),
    };
    running.stop().await?;
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

/// The demo proper: a client of the server.
async fn replay_and_audit(
    options: &Options,
    running: &Running,
    mut interrupts: channel::Receiver<u32>,
) -> Result<(), DemoError> {
    let address = running.address;
    let rows = trace::rows(options.limit, options.minutes.map(|minutes| Duration::from_secs(minutes * 60)));
    let plan = Arc::new(Plan::new(rows, options.wallets));
    summary::announce(options, &plan, address);
    let receiver = Receiver::start(address).await?;
    setup::run(address, &plan).await?;
    let log_before = audit::Stats::get(address).await?.log.tail;

    let books = Arc::new(Books::new(&plan));
    let (finish, finished) = channel::channel(false);
    let (settle, settled) = channel::channel(false);
    let watching = tokio::spawn(watch::run(address, Arc::clone(&books), settled));
    let inbox = receiver.inbox();
    let showing = show(options.clone(), address, Arc::clone(&plan), Arc::clone(&books), Arc::clone(&inbox), finished);
    let showing = tokio::spawn(showing);
    let started = Instant::now();
    let replayed = replay::run(address, Arc::clone(&plan), Arc::clone(&books), options.speed, interrupts.clone()).await;
    let took = started.elapsed();
    let is_settled = if replayed.is_ok() { buying::settle(address, &plan).await } else { Ok(()) };
    finish.send_replace(true);
    showing.await?; // first of all: an error is told on an ordinary screen
    let rows = replayed?;
    is_settled?;
    settle.send_replace(true);
    let told = watching.await??;
    inbox.wait_for(&told, WEBHOOK_PATIENCE).await;

    let witnesses = audit::Witnesses { bank: &running.bank, inbox: &inbox, told: &told };
    let report = audit::run(address, &plan, &books.snapshot(), rows, witnesses).await?;
    summary::print(&plan, &books.snapshot(), &report, rows, took, log_before);
    summary::tell_webhooks(&inbox);
    summary::tell_portal(options, address, &buying::portal_link(address, &plan).await?);
    summary::tell_audit(&report);
    if options.stay && *interrupts.borrow_and_update() == 0 {
        summary::tell_stay(address);
        // The sender lives as long as the runtime.
        let _ = interrupts.changed().await;
    }
    receiver.sign_off(address).await?;
    if report.agrees() { Ok(()) } else { Err(DemoError::Disagrees) }
}

/// Shows what happens until the replay has finished: as a picture where there is a terminal, else line by line.
async fn show(
    options: Options,
    address: SocketAddr,
    plan: Arc<Plan>,
    books: Arc<Books>,
    inbox: Arc<Inbox>,
    finished: channel::Receiver<bool>,
) {
    let smart = io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|name| name != "dumb");
    if options.view && smart {
        view::run(&options, address, &plan, &books, &inbox, finished).await;
    } else {
        progress::run(&plan, &books, &inbox, finished).await;
    }
}
