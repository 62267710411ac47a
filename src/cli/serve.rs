//! `drawdown serve`: opens the ledger, lets the server run until it is told to stop, and closes both in order.

use crate::config::{Acknowledge, LogFormat, ServeArgs, Settings, SettingsError};
use drawdown::engine::{self, Engine, EngineConfig, OpenError, OpenReport, SystemClock, Unavailable};
use drawdown::http::auth::{Gate, GateError};
use drawdown::http::{App, Server};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// How often the server looks whether its log still takes writes.
const HEALTH_PERIOD: Duration = Duration::from_millis(500);

/// Why the server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The log directives make no sense.
    #[error("the log level cannot be used: {0}")]
    LogLevel(#[from] tracing_subscriber::filter::ParseError),
    /// The ledger cannot be opened.
    #[error("cannot open the ledger in {}: {source}", path.display())]
    Open {
        /// Its directory.
        path: PathBuf,
        /// Why not.
        source: OpenError,
    },
    /// Nobody could use the server.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The system gives no threads, signals or randomness.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
    /// The log failed while the server ran, or when it was closed.
    #[error("{0}")]
    Log(#[from] Unavailable),
}

/// Runs the server until SIGTERM or SIGINT.
pub(crate) fn run(args: ServeArgs) -> Result<(), ServeError> {
    let settings = args.resolve()?;
    start_logging(&settings)?;
    let engine = open(&settings)?;
    let gate = if settings.dev {
        Gate::Open
    } else {
        Gate::with_keys(&engine, std::env::var("DRAWDOWN_ADMIN_KEY").ok().as_deref())?
    };
    let mut process = [0; 8];
    getrandom::fill(&mut process).map_err(|error| io::Error::other(error.to_string()))?;
    let app = App::new(engine.clone(), gate, settings.limits.clone(), u64::from_le_bytes(process));
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all();
    if let Some(threads) = settings.threads {
        runtime.worker_threads(threads.max(1));
    }
    let failed = runtime.build()?.block_on(serve(&settings, app, &engine))?;
    engine.close()?;
    match failed {
        Some(failure) => Err(failure.into()),
        None => Ok(()),
    }
}

fn start_logging(settings: &Settings) -> Result<(), ServeError> {
    let filter = EnvFilter::try_new(&settings.log)?;
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false).with_ansi(colour);
    match settings.log_format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}

fn open(settings: &Settings) -> Result<Engine, ServeError> {
    let acknowledge = match settings.acknowledge {
        Acknowledge::Durable => engine::Acknowledge::Durable,
        Acknowledge::Buffered => engine::Acknowledge::Buffered,
    };
    let (snapshots, retention) = (settings.snapshots.clone(), settings.retention.clone());
    let mut config = EngineConfig { acknowledge, snapshots, retention, ..EngineConfig::default() };
    if let Some(window) = settings.idempotency_window {
        config.idempotency_window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    }
    if let Some(bytes) = settings.segment_bytes {
        config.log.segment_bytes = bytes.next_multiple_of(4096);
        // The log's own rule: a frame has at most an eighth of a segment.
        let frame = u32::try_from(config.log.segment_bytes / 8).unwrap_or(u32::MAX) / 32 * 32;
        config.log.max_frame_bytes = config.log.max_frame_bytes.min(frame);
    }
    if let Some(bytes) = settings.unsynced_bytes {
        config.log.max_unsynced_bytes = bytes;
    }
    let started = Instant::now();
    let opened = Engine::open(&settings.data, config, Arc::new(SystemClock));
    let (engine, report) = opened.map_err(|source| ServeError::Open { path: settings.data.clone(), source })?;
    let OpenReport { wallets, debits, torn_bytes, snapshot, .. } = report;
    let (snapshot, took) = (snapshot.get(), started.elapsed());
    tracing::info!(wallets, debits, torn_bytes, snapshot, ?took, "opened the ledger");
    Ok(engine)
}

/// Serves until a signal comes or the log fails, and gives back the failure.
async fn serve(settings: &Settings, app: App, engine: &Engine) -> Result<Option<Unavailable>, ServeError> {
    let listen = |source| ServeError::Listen { address: settings.listen, source };
    let server = Server::bind(app, settings.listen).await.map_err(listen)?;
    let address = server.local_addr().map_err(listen)?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // The one line on standard output: scripts read the port from it.
    println!("drawdown listens on http://{address}");
    let mut failure = None;
    server
        .run(async {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM"),
                _ = interrupt.recv() => tracing::info!("SIGINT"),
                unavailable = log_failure(engine) => {
                    tracing::error!(%unavailable, "the log failed: stopping");
                    failure = Some(unavailable);
                }
            }
        })
        .await;
    Ok(failure)
}

/// Resolves when the log takes writes no more: a failed sync is final, and only a restart tells what it left on the disk.
async fn log_failure(engine: &Engine) -> Unavailable {
    loop {
        tokio::time::sleep(HEALTH_PERIOD).await;
        if let Err(unavailable @ Unavailable::Poisoned(_)) = engine.health() {
            return unavailable;
        }
    }
}
