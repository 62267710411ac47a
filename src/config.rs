//! Settings of the server: by flag, by `DRAWDOWN_*` variable, by TOML file, in that order; then the defaults.
//!
//! One struct, [`ServeArgs`], is what all three give, so a setting has the same name everywhere (`--idle-time`, `DRAWDOWN_IDLE_TIME`,
//! `idle_time`), and [`Settings`] is what comes of them. The bootstrap key is a variable only: flags show in process lists, and files
//! lie around.

mod providers;

use clap::Args;
use drawdown::engine::{Disposal, Retention, SnapshotConfig};
use drawdown::http::{Limits, PortalSettings, WebhookRules};
use drawdown::notify;
pub(crate) use providers::ProviderSettings;
use providers::{ProvidersError, ProvidersFile};
use serde::Deserialize;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Where the server listens unless told otherwise.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7400);

/// How long a start waits for a process before it to be gone, unless told otherwise: a killed one may take seconds to unmap its log.
const START_WAIT: Duration = Duration::from_secs(5);
/// Time that a receiver of webhooks has, unless told otherwise.
const WEBHOOK_TIME: Duration = Duration::from_secs(20);
/// Limits of the idempotency window.
const WINDOW_MIN: Duration = Duration::from_mins(1);
const WINDOW_MAX: Duration = Duration::from_millis(drawdown::engine::MAX_WINDOW_MS);
/// How long links to the portal and its sessions may last.
const PORTAL_TIME: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
/// The least memory for events' ids, bytes.
const IDEMPOTENCY_MEMORY_MIN: u64 = 16 << 20;

/// What flags, variables or a file say; whatever they leave out is `None`.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServeArgs {
    /// TOML file with settings; a flag or variable wins over it
    #[arg(long, env = "DRAWDOWN_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Directory of the ledger, made if need be
    #[arg(long, env = "DRAWDOWN_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:7400]; port 0 takes a free one
    #[arg(long, env = "DRAWDOWN_LISTEN", value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Need no API keys, and listen on the loopback address only
    #[arg(long, env = "DRAWDOWN_DEV", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    dev: Option<bool>,
    /// What to log: off, error, warn, info, debug, trace, or tracing directives; if not given, as `RUST_LOG` says [default: info]
    #[arg(long, env = "DRAWDOWN_LOG", value_name = "LEVEL", help_heading = "Logging")]
    log: Option<String>,
    /// Log as text or json, on standard error [default: text]
    #[arg(long, env = "DRAWDOWN_LOG_FORMAT", value_name = "FORMAT", help_heading = "Logging")]
    log_format: Option<LogFormat>,
    /// Threads that serve requests [default: one a core]
    #[arg(long, env = "DRAWDOWN_THREADS", value_name = "COUNT", help_heading = "Resources")]
    threads: Option<usize>,
    /// Bytes of a request's body [default: 8MiB]
    #[arg(long, env = "DRAWDOWN_BODY_BYTES", value_name = "SIZE", help_heading = "Limits")]
    body_bytes: Option<Size>,
    /// Events or grants in one request [default: 10000]
    #[arg(long, env = "DRAWDOWN_BATCH_EVENTS", value_name = "COUNT", help_heading = "Limits")]
    batch_events: Option<usize>,
    /// Time for a request's header to arrive [default: 10s]
    #[arg(long, env = "DRAWDOWN_HEADER_TIME", value_name = "TIME", help_heading = "Limits")]
    header_time: Option<Span>,
    /// Time for a request's body to arrive [default: 30s]
    #[arg(long, env = "DRAWDOWN_BODY_TIME", value_name = "TIME", help_heading = "Limits")]
    body_time: Option<Span>,
    /// Time for which an answer may wait for a client that does not read it [default: 30s]
    #[arg(long, env = "DRAWDOWN_ANSWER_TIME", value_name = "TIME", help_heading = "Limits")]
    answer_time: Option<Span>,
    /// Time for which a connection may lie idle [default: 2m]
    #[arg(long, env = "DRAWDOWN_IDLE_TIME", value_name = "TIME", help_heading = "Limits")]
    idle_time: Option<Span>,
    /// Connections at once [default: 10000]
    #[arg(long, env = "DRAWDOWN_CONNECTIONS", value_name = "COUNT", help_heading = "Limits")]
    connections: Option<usize>,
    /// Requests under way over all connections [default: 20000]
    #[arg(long, env = "DRAWDOWN_IN_FLIGHT_REQUESTS", value_name = "COUNT", help_heading = "Limits")]
    in_flight_requests: Option<usize>,
    /// Bytes of bodies in flight over all connections [default: 256MiB]
    #[arg(long, env = "DRAWDOWN_IN_FLIGHT_BYTES", value_name = "SIZE", help_heading = "Limits")]
    in_flight_bytes: Option<Size>,
    /// Time for which a write waits for room in the log before it is refused [default: 5s]
    #[arg(long, env = "DRAWDOWN_ADMISSION_WAIT", value_name = "TIME", help_heading = "Limits")]
    admission_wait: Option<Span>,
    /// Requests waiting at the end of the feed [default: 1000]
    #[arg(long, env = "DRAWDOWN_FEED_WAITERS", value_name = "COUNT", help_heading = "Limits")]
    feed_waiters: Option<usize>,
    /// Time that requests have to finish when the server stops [default: 30s]
    #[arg(long, env = "DRAWDOWN_DRAIN_TIME", value_name = "TIME", help_heading = "Limits")]
    drain_time: Option<Span>,
    /// Time for which a start waits for another process to let go of the ledger or the address [default: 5s]
    #[arg(long, env = "DRAWDOWN_START_WAIT", value_name = "TIME", help_heading = "Ledger")]
    start_wait: Option<Span>,
    /// Answer when what the answer says is on disk (durable), or before (buffered: a crash can take it back) [default: durable]
    #[arg(long, env = "DRAWDOWN_ACKNOWLEDGE", value_name = "WHEN", help_heading = "Ledger")]
    acknowledge: Option<Acknowledge>,
    /// How long an event's id is remembered; older events are refused [default: 24h, at most 34d]
    #[arg(long, env = "DRAWDOWN_IDEMPOTENCY_WINDOW", value_name = "TIME", help_heading = "Ledger")]
    idempotency_window: Option<Span>,
    /// Memory for events' ids; what exceeds it goes to files, which take 3 bytes of memory an id [default: 1GiB]
    #[arg(long, env = "DRAWDOWN_IDEMPOTENCY_MEMORY", value_name = "SIZE", help_heading = "Ledger")]
    idempotency_memory: Option<Size>,
    /// Bytes of a log segment, for a new log [default: 256MiB]
    #[arg(long, env = "DRAWDOWN_SEGMENT_BYTES", value_name = "SIZE", help_heading = "Ledger")]
    segment_bytes: Option<Size>,
    /// Bytes that may wait for the disk before writes are held back [default: 64MiB]
    #[arg(long, env = "DRAWDOWN_UNSYNCED_BYTES", value_name = "SIZE", help_heading = "Ledger")]
    unsynced_bytes: Option<Size>,
    /// A snapshot is made when so much log was written since the last; 0 makes none by size [default: 4GiB]
    #[arg(long, env = "DRAWDOWN_SNAPSHOT_LOG_BYTES", value_name = "SIZE", help_heading = "Snapshots and history")]
    snapshot_log_bytes: Option<Size>,
    /// A snapshot is made when the last is so old, if anything was written [default: none by age]
    #[arg(long, env = "DRAWDOWN_SNAPSHOT_INTERVAL", value_name = "TIME", help_heading = "Snapshots and history")]
    snapshot_interval: Option<Span>,
    /// Memory that making a snapshot may take, about [default: 256MiB]
    #[arg(long, env = "DRAWDOWN_SNAPSHOT_MEMORY", value_name = "SIZE", help_heading = "Snapshots and history")]
    snapshot_memory: Option<Size>,
    /// History that is older goes, where two snapshots lie behind it [default: kept for ever]
    #[arg(long, env = "DRAWDOWN_RETAIN_HISTORY", value_name = "TIME", help_heading = "Snapshots and history")]
    retain_history: Option<Span>,
    /// Log beyond so many bytes goes, oldest first, where two snapshots lie behind it [default: kept for ever]
    #[arg(long, env = "DRAWDOWN_RETAIN_BYTES", value_name = "SIZE", help_heading = "Snapshots and history")]
    retain_bytes: Option<Size>,
    /// Directory to which segments of the log that go are moved, rather than removed
    #[arg(long, env = "DRAWDOWN_ARCHIVE_DIR", value_name = "DIR", help_heading = "Snapshots and history")]
    archive_dir: Option<PathBuf>,
    /// Use the files of segments that go for new ones, rather than remove them
    #[arg(
        long,
        env = "DRAWDOWN_RECYCLE_SEGMENTS",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true,
        help_heading = "Snapshots and history"
    )]
    recycle_segments: Option<bool>,
    /// Where customers reach this server's pages, and providers its webhooks [default: http:// and the address listened on]
    #[arg(long, env = "DRAWDOWN_PUBLIC_URL", value_name = "URL", help_heading = "Payments")]
    public_url: Option<String>,
    /// What becomes of credits that are to be taken back because their money went back, and have been spent: they are owed (`debt`), or
    /// written off (`write_off`) [default: debt]
    #[arg(long, env = "DRAWDOWN_REFUND_SHORTFALL", value_name = "POLICY", help_heading = "Payments")]
    refund_shortfall: Option<RefundShortfall>,
    /// What customers know the operator as: it stands on their pages and invoices [default: drawdown]
    #[arg(long, env = "DRAWDOWN_MERCHANT", value_name = "NAME", help_heading = "Portal")]
    merchant: Option<String>,
    /// How long a link opens the portal [default: 10m]
    #[arg(long, env = "DRAWDOWN_PORTAL_LINK_TIME", value_name = "TIME", help_heading = "Portal")]
    portal_link_time: Option<Span>,
    /// How long the portal stays open then [default: 1h]
    #[arg(long, env = "DRAWDOWN_PORTAL_SESSION_TIME", value_name = "TIME", help_heading = "Portal")]
    portal_session_time: Option<Span>,
    /// Another number ends all links and sessions of the one before at once [default: 0]
    #[arg(long, env = "DRAWDOWN_PORTAL_EPOCH", value_name = "NUMBER", help_heading = "Portal")]
    portal_epoch: Option<u64>,
    /// Payment providers: in the file only, save for Stripe's secrets.
    #[arg(skip)]
    providers: Option<ProvidersFile>,
    /// Send webhooks to http URLs and to addresses that are not public, too
    #[arg(
        long,
        env = "DRAWDOWN_WEBHOOK_ALLOW_PRIVATE",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true,
        help_heading = "Webhooks"
    )]
    webhook_allow_private: Option<bool>,
    /// Time that a receiver of webhooks has for its answer [default: 20s]
    #[arg(long, env = "DRAWDOWN_WEBHOOK_TIME", value_name = "TIME", help_heading = "Webhooks")]
    webhook_time: Option<Span>,
    /// Webhooks under way at once [default: 64, of which 16 to one endpoint]
    #[arg(long, env = "DRAWDOWN_WEBHOOKS_IN_FLIGHT", value_name = "COUNT", help_heading = "Webhooks")]
    webhooks_in_flight: Option<usize>,
    /// An endpoint at which nothing has arrived for so long, though it was tried, is disabled [default: 5d]
    #[arg(long, env = "DRAWDOWN_WEBHOOK_DISABLE_AFTER", value_name = "TIME", help_heading = "Webhooks")]
    webhook_disable_after: Option<Span>,
    /// Time for which an endpoint's secret goes on signing after it was given another [default: 24h]
    #[arg(long, env = "DRAWDOWN_WEBHOOK_SECRET_OVERLAP", value_name = "TIME", help_heading = "Webhooks")]
    webhook_secret_overlap: Option<Span>,
    /// Log that is kept at the most for endpoints that are behind, where a setting lets go of history [default: 16GiB]
    #[arg(long, env = "DRAWDOWN_WEBHOOK_HOLD_BYTES", value_name = "SIZE", help_heading = "Webhooks")]
    webhook_hold_bytes: Option<Size>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines, one object a line.
    Json,
}

/// When writes are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Acknowledge {
    /// When what the answer says is on disk.
    #[default]
    Durable,
    /// When it is on its way there.
    Buffered,
}

/// What becomes of credits that are to be taken back and have been spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum RefundShortfall {
    /// They are owed.
    #[default]
    Debt,
    /// They are written off.
    WriteOff,
}

/// Settings of a server, with nothing left open.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) dev: bool,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    pub(crate) threads: Option<usize>,
    pub(crate) limits: Limits,
    pub(crate) start_wait: Duration,
    pub(crate) acknowledge: Acknowledge,
    pub(crate) idempotency_window: Option<Duration>,
    pub(crate) idempotency_memory: Option<u64>,
    pub(crate) segment_bytes: Option<u64>,
    pub(crate) unsynced_bytes: Option<u64>,
    pub(crate) snapshots: SnapshotConfig,
    pub(crate) retention: Retention,
    pub(crate) public_url: Option<String>,
    pub(crate) refund_shortfall: RefundShortfall,
    pub(crate) providers: ProviderSettings,
    pub(crate) webhooks: WebhookSettings,
    pub(crate) portal: PortalSettings,
}

/// What of them is about webhooks.
#[derive(Clone, Debug)]
pub(crate) struct WebhookSettings {
    pub(crate) rules: WebhookRules,
    pub(crate) time: Duration,
    pub(crate) sending: notify::Settings,
    pub(crate) hold_bytes: Option<u64>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not TOML, or holds something that is no setting.
    #[error("{path}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<toml::de::Error>,
    },
    /// Nobody said where the ledger is.
    #[error("name the ledger's directory: --data DIR, DRAWDOWN_DATA, or `data` in the file")]
    NoData,
    /// Segments cannot both be kept and written over.
    #[error("segments that go are either archived or recycled: give archive_dir or recycle_segments")]
    ArchiveOrRecycle,
    /// `--dev` on an address that others can reach.
    #[error("--dev needs no key, so it listens on 127.0.0.1 or [::1] only, not on {0}")]
    DevInPublic(SocketAddr),
    /// A window shorter than the minutes that it is told in, or longer than the records allow.
    #[error("the idempotency window must be one minute to 34 days")]
    Window,
    /// A payment provider's settings.
    #[error(transparent)]
    Providers(#[from] ProvidersError),
    /// Not an address that pages can begin at.
    #[error("the public URL begins with https:// or http:// and has neither query nor fragment: {0}")]
    PublicUrl(String),
    /// A portal that is open for no time, or for so long that a copied link is a key.
    #[error("a link to the portal lasts from one second to a day, and so does a session")]
    PortalTime,
    /// No name, or one that no page has room for.
    #[error("the merchant's name has 1 to 128 bytes")]
    Merchant,
    /// Too little memory for the smallest table and the portions that go to files.
    #[error("the memory for events' ids must be at least 16MiB")]
    IdempotencyMemory,
}

/// Takes from the second what the first leaves out.
macro_rules! merge {
    ($first:ident, $second:ident: $($field:ident),+ $(,)?) => {
        ServeArgs { $($field: $first.$field.or($second.$field)),+ }
    };
}

impl ServeArgs {
    /// Joins the file in, if one was named, and fills in the defaults.
    pub(crate) fn resolve(self) -> Result<Settings, SettingsError> {
        let file = match &self.config {
            Some(path) => read(path)?,
            None => ServeArgs::default(),
        };
        let given = self;
        let all = merge!(
            given, file: config, data, listen, dev, log, log_format, threads, body_bytes, batch_events, header_time, body_time,
            answer_time, idle_time, connections, in_flight_requests, in_flight_bytes, admission_wait, feed_waiters, start_wait, drain_time, acknowledge, idempotency_window,
            idempotency_memory, segment_bytes, unsynced_bytes,
            snapshot_log_bytes, snapshot_interval, snapshot_memory, retain_history, retain_bytes, archive_dir, recycle_segments,
            public_url, refund_shortfall, providers, merchant, portal_link_time, portal_session_time, portal_epoch,
            webhook_allow_private, webhook_time, webhooks_in_flight, webhook_disable_after, webhook_secret_overlap, webhook_hold_bytes,
        );
        let listen = all.listen.unwrap_or(LISTEN);
        let dev = all.dev.unwrap_or(false);
        if dev && !listen.ip().is_loopback() {
            return Err(SettingsError::DevInPublic(listen));
        }
        if all.idempotency_window.is_some_and(|span| !(WINDOW_MIN..=WINDOW_MAX).contains(&span.0)) {
            return Err(SettingsError::Window);
        }
        if all.idempotency_memory.is_some_and(|size| size.0 < IDEMPOTENCY_MEMORY_MIN) {
            return Err(SettingsError::IdempotencyMemory);
        }
        let (limits, snapshots, retention) = (all.limits(), all.snapshots(), all.retention()?);
        let webhooks = all.webhooks();
        let portal = all.portal()?;
        Ok(Settings {
            data: all.data.ok_or(SettingsError::NoData)?,
            listen,
            dev,
            log: all.log.or_else(|| std::env::var("RUST_LOG").ok()).unwrap_or_else(|| "info".to_owned()),
            log_format: all.log_format.unwrap_or_default(),
            threads: all.threads,
            limits,
            start_wait: all.start_wait.map_or(START_WAIT, |span| span.0),
            acknowledge: all.acknowledge.unwrap_or_default(),
            idempotency_window: all.idempotency_window.map(|span| span.0),
            idempotency_memory: all.idempotency_memory.map(|size| size.0),
            segment_bytes: all.segment_bytes.map(|size| size.0),
            unsynced_bytes: all.unsynced_bytes.map(|size| size.0),
            snapshots,
            retention,
            public_url: all.public_url.map(|url| check_public_url(&url)).transpose()?,
            refund_shortfall: all.refund_shortfall.unwrap_or_default(),
            providers: ProviderSettings::resolve(all.providers.unwrap_or_default(), dev, |name| {
                std::env::var(name).ok()
            })?,
            webhooks,
            portal,
        })
    }

    /// The portal, but for where it is reached, which is known when the server listens.
    fn portal(&self) -> Result<PortalSettings, SettingsError> {
        let usual = PortalSettings::default();
        let time = |given: Option<Span>, usual: Duration| {
            let time = given.map_or(usual, |span| span.0);
            if PORTAL_TIME.contains(&time) { Ok(time) } else { Err(SettingsError::PortalTime) }
        };
        let merchant = self.merchant.clone().unwrap_or(usual.merchant);
        if !(1..=128).contains(&merchant.len()) {
            return Err(SettingsError::Merchant);
        }
        Ok(PortalSettings {
            pages: String::new(),
            merchant,
            link_time: time(self.portal_link_time, usual.link_time)?,
            session_time: time(self.portal_session_time, usual.session_time)?,
            epoch: self.portal_epoch.unwrap_or(0),
        })
    }

    fn snapshots(&self) -> SnapshotConfig {
        let usual = SnapshotConfig::default();
        SnapshotConfig {
            log_bytes: self.snapshot_log_bytes.map_or(usual.log_bytes, |size| size.0),
            interval_ms: self.snapshot_interval.map(Span::millis),
            memory_bytes: self.snapshot_memory.map_or(usual.memory_bytes, |size| size.0),
        }
    }

    fn retention(&self) -> Result<Retention, SettingsError> {
        let disposal = match (&self.archive_dir, self.recycle_segments.unwrap_or(false)) {
            (Some(_), true) => return Err(SettingsError::ArchiveOrRecycle),
            (Some(dir), false) => Disposal::Archive(dir.clone()),
            (None, true) => Disposal::Recycle,
            (None, false) => Disposal::Remove,
        };
        let (history_ms, log_bytes) = (self.retain_history.map(Span::millis), self.retain_bytes.map(|size| size.0));
        Ok(Retention { history_ms, log_bytes, disposal })
    }

    fn webhooks(&self) -> WebhookSettings {
        let (usual, rules) = (notify::Settings::default(), WebhookRules::default());
        let in_flight = self.webhooks_in_flight.map_or(usual.in_flight, |count| count.max(1));
        WebhookSettings {
            rules: WebhookRules {
                allow_private: self.webhook_allow_private.unwrap_or(rules.allow_private),
                secret_overlap: self.webhook_secret_overlap.map_or(rules.secret_overlap, |span| span.0),
            },
            time: self.webhook_time.map_or(WEBHOOK_TIME, |span| span.0),
            hold_bytes: self.webhook_hold_bytes.map(|size| size.0),
            sending: notify::Settings {
                in_flight,
                in_flight_per_endpoint: usual.in_flight_per_endpoint.min(in_flight),
                disable_after_ms: self.webhook_disable_after.map_or(usual.disable_after_ms, Span::millis),
                ..usual
            },
        }
    }

    fn limits(&self) -> Limits {
        let usual = Limits::default();
        let time = |span: &Option<Span>, usual| span.as_ref().map_or(usual, |span| span.0);
        let bytes = |size: &Option<Size>, usual| size.as_ref().map_or(usual, |size| size.0 as usize);
        Limits {
            body_bytes: bytes(&self.body_bytes, usual.body_bytes),
            batch_events: self.batch_events.unwrap_or(usual.batch_events),
            header_time: time(&self.header_time, usual.header_time),
            body_time: time(&self.body_time, usual.body_time),
            answer_time: time(&self.answer_time, usual.answer_time),
            idle_time: time(&self.idle_time, usual.idle_time),
            connections: self.connections.unwrap_or(usual.connections),
            in_flight_requests: self.in_flight_requests.unwrap_or(usual.in_flight_requests),
            admission_wait: time(&self.admission_wait, usual.admission_wait),
            in_flight_bytes: bytes(&self.in_flight_bytes, usual.in_flight_bytes),
            feed_waiters: self.feed_waiters.unwrap_or(usual.feed_waiters),
            drain_time: time(&self.drain_time, usual.drain_time),
        }
    }
}

/// An address without the slash at its end.
fn check_public_url(url: &str) -> Result<String, SettingsError> {
    let is_address = url.starts_with("https://") || url.starts_with("http://");
    if !is_address || url.contains(['?', '#', ' ']) {
        return Err(SettingsError::PublicUrl(url.to_owned()));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn read(path: &Path) -> Result<ServeArgs, SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|source| SettingsError::Parse { path: path.to_owned(), source: Box::new(source) })
}

/// A number of bytes, written `8388608`, `8192KiB` or `8MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(u64);

/// A length of time, written `250ms`, `10s`, `5m` or `24h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(Duration);

impl Span {
    fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Why a text is no size or length of time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a whole number with one of the units {0}")]
pub(crate) struct UnitError(&'static str);

/// Reads a whole number and its unit's factor.
fn with_unit(text: &str, units: &[(&str, u64)], names: &'static str) -> Result<u64, UnitError> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| UnitError(names))?;
    let factor = units.iter().find(|(name, _)| *name == unit.trim_start()).map(|(_, factor)| factor);
    factor.and_then(|factor| number.checked_mul(*factor)).ok_or(UnitError(names))
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let units = [("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        with_unit(text, &units, "B, KiB, MiB and GiB").map(Size)
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
        with_unit(text, &units, "ms, s, m, h and d").map(|ms| Span(Duration::from_millis(ms)))
    }
}

/// Reads what [`FromStr`] reads; a bare number is taken as its own text.
struct TextVisitor<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = UnitError>> serde::de::Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number with a unit, as text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn parse(flags: &[&str]) -> ServeArgs {
        Cli::try_parse_from([&["serve"], flags].concat()).expect("parses").serve
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("drawdown.toml");
        std::fs::write(
            &path,
            "data = '/from/file'\nidle_time = '5s'\nbody_bytes = 1024\nbatch_events = 7\ndev = true\n",
        )
        .expect("written");
        let config = path.to_str().expect("UTF-8");
        let settings = parse(&["--config", config, "--idle-time", "250ms"]).resolve().expect("resolves");
        assert_eq!(settings.data, Path::new("/from/file"));
        assert_eq!(settings.limits.idle_time, Duration::from_millis(250));
        assert_eq!((settings.limits.body_bytes, settings.limits.batch_events), (1024, 7));
        assert_eq!(settings.limits.header_time, Limits::default().header_time);
        assert!(settings.dev);
        let settings =
            parse(&["--config", config, "--dev=false", "--listen", "0.0.0.0:1"]).resolve().expect("resolves");
        assert!(!settings.dev);
        std::fs::write(&path, "no_such_setting = 1").expect("written");
        assert!(matches!(parse(&["--config", config]).resolve(), Err(SettingsError::Parse { .. })));
        assert!(matches!(parse(&["--config", "/no/such/file"]).resolve(), Err(SettingsError::Read { .. })));
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        assert!(matches!(parse(&[]).resolve(), Err(SettingsError::NoData)));
        let public = parse(&["--data", "d", "--dev", "--listen", "0.0.0.0:7400"]).resolve();
        assert!(matches!(public, Err(SettingsError::DevInPublic(_))));
        assert!(parse(&["--data", "d", "--dev", "--listen", "[::1]:7400"]).resolve().is_ok());
        let window = |span| parse(&["--data", "d", "--idempotency-window", span]).resolve();
        assert!(window("34d").is_ok() && window("1m").is_ok());
        assert!(matches!(window("35d"), Err(SettingsError::Window)));
        assert!(matches!(window("59s"), Err(SettingsError::Window)));
        let memory = |size| parse(&["--data", "d", "--idempotency-memory", size]).resolve();
        assert_eq!(memory("16MiB").expect("resolves").idempotency_memory, Some(16 << 20));
        assert!(matches!(memory("15MiB"), Err(SettingsError::IdempotencyMemory)));
        assert_eq!(parse(&["--data", "d"]).resolve().expect("resolves").listen, LISTEN);
    }

    #[test]
    fn what_refunds_do_not_find_is_owed_or_written_off() {
        let policy = |flags: &[&str]| parse(&[&["--data", "d"], flags].concat()).resolve().expect("resolves");
        assert_eq!(policy(&[]).refund_shortfall, RefundShortfall::Debt);
        assert_eq!(policy(&["--refund-shortfall", "write_off"]).refund_shortfall, RefundShortfall::WriteOff);
        assert!(Cli::try_parse_from(["serve", "--refund-shortfall", "forget"]).is_err());
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("drawdown.toml");
        std::fs::write(&path, "refund_shortfall = 'write_off'").expect("written");
        let config = path.to_str().expect("UTF-8");
        assert_eq!(policy(&["--config", config]).refund_shortfall, RefundShortfall::WriteOff);
    }

    #[test]
    fn the_portal_is_open_for_a_second_to_a_day_and_has_a_name() {
        let usual = parse(&["--data", "d"]).resolve().expect("resolves").portal;
        assert_eq!((usual.merchant.as_str(), usual.epoch), ("drawdown", 0));
        let flags =
            ["--data", "d", "--merchant", "Example", "--portal-link-time", "1s", "--portal-session-time", "24h"];
        let set = parse(&[&flags[..], &["--portal-epoch", "3"]].concat()).resolve().expect("resolves").portal;
        assert_eq!((set.link_time, set.session_time), (Duration::from_secs(1), Duration::from_hours(24)));
        assert_eq!((set.merchant.as_str(), set.epoch), ("Example", 3));
        let long = parse(&["--data", "d", "--portal-session-time", "25h"]).resolve();
        assert!(matches!(long, Err(SettingsError::PortalTime)));
        let nameless = parse(&["--data", "d", "--merchant", ""]).resolve();
        assert!(matches!(nameless, Err(SettingsError::Merchant)));
    }

    #[test]
    fn snapshots_and_history_are_set() {
        let usual = parse(&["--data", "d"]).resolve().expect("resolves");
        assert_eq!((usual.snapshots, usual.retention), (SnapshotConfig::default(), Retention::default()));
        let flags =
            ["--data", "d", "--snapshot-log-bytes", "0", "--snapshot-interval", "1h", "--snapshot-memory", "64MiB"];
        let history = ["--retain-history", "30d", "--retain-bytes", "9GiB", "--archive-dir", "/old"];
        let set = parse(&[&flags[..], &history].concat()).resolve().expect("resolves");
        let snapshots = SnapshotConfig { log_bytes: 0, interval_ms: Some(3_600_000), memory_bytes: 64 << 20 };
        assert_eq!(set.snapshots, snapshots);
        let disposal = Disposal::Archive("/old".into());
        let retention = Retention { history_ms: Some(30 * 86_400_000), log_bytes: Some(9 << 30), disposal };
        assert_eq!(set.retention, retention);
        let recycled = parse(&["--data", "d", "--recycle-segments"]).resolve().expect("resolves");
        assert_eq!(recycled.retention.disposal, Disposal::Recycle);
        let both = parse(&["--data", "d", "--recycle-segments", "--archive-dir", "/old"]).resolve();
        assert!(matches!(both, Err(SettingsError::ArchiveOrRecycle)));
    }

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!("8MiB".parse(), Ok(Size(8 << 20)));
        assert_eq!("12".parse(), Ok(Size(12)));
        assert_eq!("5 m".parse(), Ok(Span(Duration::from_mins(5))));
        assert_eq!("1d".parse(), Ok(Span(Duration::from_hours(24))));
        for bad in ["", "s", "5", "5 parsecs", "-5s", "1.5s", "99999999999999999999s", "9999999999999999999d"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
        assert!("8MB".parse::<Size>().is_err());
    }
}
