//! `drawdown serve`: opens the ledger, lets the server run until it is told to stop, and closes both in order.

use super::system;
use crate::config::{
    Acknowledge, LogFormat, ProviderSettings, RefundShortfall, ServeArgs, Settings, SettingsError, WebhookSettings,
};
use drawdown::engine::{self, Engine, EngineConfig, OpenError, OpenReport, Shortfall, SystemClock, Unavailable};
use drawdown::http::auth::{Gate, GateError};
use drawdown::http::{App, Listener, PortalSettings, Server};
use drawdown::notify::{Courier, HttpSender, Worker};
use drawdown::payments::{self, Payments, SimulatedBank};
use drawdown_outbound::http::{AddressPolicy, Client, Settings as ClientSettings};
use drawdown_outbound::providers::Provider;
use drawdown_outbound::providers::stripe::Stripe;
use drawdown_wal::ChainFile;
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
    tracing::info!(version = env!("CARGO_PKG_VERSION"), data = %settings.data.display(), listen = %settings.listen, "starting");
    system::raise_descriptor_limit(settings.limits.connections);
    let mut process = [0; 8];
    getrandom::fill(&mut process).map_err(|error| io::Error::other(error.to_string()))?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all();
    if let Some(threads) = settings.threads {
        runtime.worker_threads(threads.max(1));
    }
    let runtime = runtime.build()?;
    let outcome = runtime.block_on(serve(&settings, u64::from_le_bytes(process)));
    // A replay that was told to stop may still be reading; nothing is lost with it.
    runtime.shutdown_background();
    if outcome.is_ok() {
        tracing::info!("stopped");
    }
    outcome
}

fn start_logging(settings: &Settings) -> Result<(), ServeError> {
    let filter = EnvFilter::try_new(&settings.log)?;
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Whoever collects the lines may be gone; to complain of that on standard error, too, would be a panic.
    let lines = tracing_subscriber::fmt().log_internal_errors(false);
    let lines = lines.with_env_filter(filter).with_writer(io::stderr).with_target(false).with_ansi(colour);
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
    tracing::info!("opening the ledger");
    let (snapshots, retention) = (settings.snapshots.clone(), settings.retention.clone());
    let mut config = EngineConfig { acknowledge, snapshots, retention, ..EngineConfig::default() };
    config.refund_shortfall = match settings.refund_shortfall {
        RefundShortfall::Debt => Shortfall::Debt,
        RefundShortfall::WriteOff => Shortfall::WriteOff,
    };
    if let Some(window) = settings.idempotency_window {
        config.idempotency_window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    }
    if let Some(bytes) = settings.idempotency_memory {
        config.idempotency_memory = bytes;
    }
    if let Some(bytes) = settings.segment_bytes {
        config.log.segment_bytes = bytes.next_multiple_of(4096);
        // The log's own rule: a frame has at most an eighth of a segment.
        let frame = u32::try_from(config.log.segment_bytes / 8).unwrap_or(u32::MAX) / 32 * 32;
        config.log.max_frame_bytes = config.log.max_frame_bytes.min(frame);
    }
    if let Some(bytes) = settings.webhooks.hold_bytes {
        config.webhook_hold_bytes = bytes;
    }
    if let Some(bytes) = settings.unsynced_bytes {
        config.log.max_unsynced_bytes = bytes;
    }
    config.admission_wait_ms = u64::try_from(settings.limits.admission_wait.as_millis()).unwrap_or(u64::MAX);
    let started = Instant::now();
    let opened = while_held(settings.start_wait, is_locked, || {
        Engine::open(&settings.data, config.clone(), Arc::new(SystemClock))
    });
    let (engine, report) = opened.map_err(|source| ServeError::Open { path: settings.data.clone(), source })?;
    let OpenReport { wallets, debits, operations, reopened, torn_bytes, snapshot, .. } = report;
    let took = started.elapsed();
    tracing::info!(wallets, debits, operations, reopened, torn_bytes, %snapshot, ?took, "opened the ledger");
    if let ChainFile::Damaged { offset, what } = engine.log().chain_file() {
        tracing::warn!(offset, what, "the file of the hash chain was damaged: made again from the segments");
    }
    Ok(engine)
}

fn is_locked(error: &OpenError) -> bool {
    matches!(error, OpenError::Log(drawdown_wal::OpenError::Locked { .. }))
}

/// How often a start tries again for what another process holds.
const HELD_PERIOD: Duration = Duration::from_millis(50);

/// Tries again while another process holds what is wanted, for `patience`: a server that was killed lets go of its lock and its address
/// when the system has unmapped its log, and whoever starts the next one should not have to know.
fn while_held<T, E: std::fmt::Display>(
    patience: Duration,
    is_held: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let started = Instant::now();
    let mut told = false;
    loop {
        match attempt() {
            Err(error) if is_held(&error) && started.elapsed() < patience => {
                if !told {
                    tracing::warn!(%error, ?patience, "held by another process: waiting for it to end");
                    told = true;
                }
                std::thread::sleep(HELD_PERIOD);
            }
            outcome => return outcome,
        }
    }
}

/// Listens, opens the ledger, and serves until a signal comes or the log fails.
async fn serve(settings: &Settings, process: u64) -> Result<(), ServeError> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = listen(settings).await?;
    let address = listener.local_addr().map_err(|source| ServeError::Listen { address: settings.listen, source })?;
    let opening = {
        let settings = settings.clone();
        tokio::task::spawn_blocking(move || open(&settings))
    };
    let opened = tokio::select! {
        opened = listener.answer_while(&settings.limits, process, opening) => opened,
        // Nothing was taken on yet, so nothing has to be finished.
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let engine = opened.map_err(io::Error::other)??;
    let gate = if settings.dev {
        Gate::Open
    } else {
        Gate::with_keys(&engine, std::env::var("DRAWDOWN_ADMIN_KEY").ok().as_deref())?
    };
    let pages = settings.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
    let payments = connect(settings, &engine, &pages).await?;
    let mut app = App::new(engine.clone(), gate, settings.limits.clone(), process)
        .with_webhooks(settings.webhooks.rules.clone())
        .with_portal(PortalSettings { pages, ..settings.portal.clone() });
    if let Some(payments) = &payments {
        app = app.with_payments(payments.clone());
    }
    let webhooks = send_webhooks(&engine, &settings.webhooks)?;
    system::show_disk(&app, &settings.data);
    // The one line on standard output: scripts read the port from it.
    println!("drawdown listens on http://{address}");
    tracing::info!(%address, "listening");
    let mut failure = None;
    Server::on(app, listener)
        .run(async {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM"),
                _ = interrupt.recv() => tracing::info!("SIGINT"),
                unavailable = log_failure(&engine) => {
                    tracing::error!(%unavailable, "the log failed: stopping");
                    failure = Some(unavailable);
                }
            }
        })
        .await;
    if let Some(payments) = payments {
        payments.stop();
    }
    // What is under way has a moment to end; how far everything has come is noted.
    tokio::task::block_in_place(|| webhooks.stop());
    engine.close()?;
    failure.map_or(Ok(()), |failure| Err(failure.into()))
}

/// Connects the payment providers that the settings name, and begins to carry out what is to be done at them.
async fn connect(settings: &Settings, engine: &Engine, pages: &str) -> Result<Option<Payments>, ServeError> {
    let ProviderSettings { simulated, external, stripe, is_stripe_elsewhere } = settings.providers.clone();
    let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
    if let Some(stripe) = stripe {
        let policy = if is_stripe_elsewhere { AddressPolicy::anywhere() } else { AddressPolicy::public() };
        let transport = Client::new(ClientSettings { policy, ..ClientSettings::default() });
        providers.push(Arc::new(Stripe::new(stripe, Arc::new(transport))));
    }
    let mut bank = None;
    if simulated {
        let (engine, data, pages) = (engine.clone(), settings.data.clone(), pages.to_owned());
        let opening = move || SimulatedBank::of_directory(&engine, &data, pages);
        let opened = tokio::task::spawn_blocking(opening).await.map_err(io::Error::other)?;
        let (simulated, _) = opened.map_err(|error| io::Error::other(error.to_string()))?;
        providers.push(Arc::new(simulated.provider().clone()));
        bank = Some(simulated);
    }
    if let Some(external) = external {
        providers.push(Arc::new(external));
    }
    if providers.is_empty() {
        return Ok(None);
    }
    let mut config = payments::Config::new(providers, pages);
    config.simulated = bank;
    let payments = Payments::start(engine.clone(), config);
    tracing::info!(providers = payments.names().join(", "), "payment providers");
    Ok(Some(payments))
}

/// Sets the sending of webhooks going, on this runtime.
fn send_webhooks(engine: &Engine, settings: &WebhookSettings) -> io::Result<Worker> {
    let policy = if settings.rules.allow_private { AddressPolicy::anywhere() } else { AddressPolicy::public() };
    let client = Client::new(ClientSettings {
        policy,
        require_https: !settings.rules.allow_private,
        ..ClientSettings::default()
    });
    let sender = HttpSender::new(Arc::new(client), settings.time);
    let courier = Courier::new(engine.clone(), settings.sending.clone(), drawdown::http::webhook_body);
    Worker::start(courier, Arc::new(sender), tokio::runtime::Handle::current())
}

async fn listen(settings: &Settings) -> Result<Listener, ServeError> {
    let in_use = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    let runtime = tokio::runtime::Handle::current();
    let (address, patience) = (settings.listen, settings.start_wait);
    let bound =
        tokio::task::spawn_blocking(move || while_held(patience, in_use, || runtime.block_on(Listener::bind(address))));
    bound.await.map_err(io::Error::other)?.map_err(|source| ServeError::Listen { address, source })
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
