//! The page of metrics: every family with its name, unit and meaning. `docs/operations.md` lists them, and a test compares the two.

use super::app::App;
use super::metrics::STATUSES;
use super::readiness::Readiness;
use super::route::ROUTES;
use crate::engine::webhooks::WebhookStats;
use crate::engine::{EngineStats, SnapshotStats};
use crate::ledger::Rejection;
use crate::metrics::process::Process;
use crate::metrics::{Page, Reading};
use drawdown_wal::LogStats;
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const NS: f64 = 1e-9;

/// The commit that the program was built from, if whoever built it said so.
const COMMIT: &str = match option_env!("DRAWDOWN_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Everything that is known, at this instant.
pub(crate) fn page(app: &App) -> Page {
    let mut page = Page::default();
    let stats = app.engine.stats();
    process(&mut page);
    readiness(&mut page, &Readiness::of(app));
    events(&mut page, app, &stats);
    memory(&mut page, &stats);
    log(&mut page, &stats.log);
    snapshots(&mut page, &stats.snapshots);
    admission(&mut page, &stats);
    webhooks(&mut page, app, &stats.webhooks);
    http(&mut page, app);
    limits(&mut page, app);
    app.metrics.extras.write_to(&mut page);
    page
}

/// What is known while the log is being replayed.
pub(crate) fn page_while_recovering() -> Page {
    let mut page = Page::default();
    process(&mut page);
    readiness(&mut page, &Readiness::recovering());
    page
}

/// About the build and the process, under the names that other programs use for the same.
fn process(page: &mut Page) {
    let build = [("version", env!("CARGO_PKG_VERSION").into()), ("commit", COMMIT.into())];
    page.gauge("drawdown_build_info", "1, with what the program was built from.").under(build, 1);
    let process = Process::read();
    page.counter("process_cpu_seconds_total", "Processor time used, in seconds.").value_if_known(process.cpu_seconds);
    for (name, help, value) in [
        ("process_resident_memory_bytes", "Memory in RAM, cached log included.", process.resident_bytes),
        ("process_anonymous_memory_bytes", "Memory in RAM that belongs to no file.", process.anonymous_bytes),
        ("process_virtual_memory_bytes", "Address space.", process.virtual_bytes),
        ("process_open_fds", "Open file descriptors.", process.open_fds),
        ("process_max_fds", "File descriptors that may be open.", process.max_fds),
        ("process_threads", "Threads.", process.threads),
    ] {
        page.gauge(name, help).value_if_known(value);
    }
    page.gauge("process_start_time_seconds", "When the process started, in seconds since 1970.")
        .value_if_known(process.start_seconds);
}

fn readiness(page: &mut Page, readiness: &Readiness) {
    page.gauge("drawdown_ready", "1 if /readyz answers 200.").value(readiness.is_ready());
    let family = page.gauge("drawdown_ready_check", "1 if the check of that name of /readyz does not fail.");
    for check in readiness.checks() {
        family.labelled("check", check.name, !check.fails());
    }
}

fn events(page: &mut Page, app: &App, stats: &EngineStats) {
    page.counter("drawdown_events_total", "Usage events by outcome.")
        .labelled("outcome", "applied", stats.applied)
        .labelled("outcome", "duplicate", stats.duplicates)
        .labelled("outcome", "rejected", stats.rejected);
    let family = page.counter("drawdown_events_rejected_total", "Rejected usage events by reason.");
    for (slug, count) in Rejection::SLUGS.into_iter().zip(stats.rejections) {
        family.labelled("reason", slug, count);
    }
    page.counter("drawdown_batches_total", "Batches of usage events decided.").value(stats.batches);
    let stages = &app.metrics.stages;
    page.histogram("drawdown_batch_events", "Usage events in a request.").distribution([], &stages.events.read(), 1.0);
    let family = page
        .histogram("drawdown_batch_stage_duration_seconds", "Time that a request of usage events spent in a stage.");
    for (stage, histogram) in [
        ("decode", &stages.decode),
        ("engine", &stages.engine),
        ("encode", &stages.encode),
        ("durable", &stages.durable),
    ] {
        family.distribution([("stage", stage.into())], &histogram.read(), NS);
    }
    page.counter("drawdown_crossings_total", "Debits that crossed an alert level or a built-in line.")
        .value(stats.crossings);
    page.counter("drawdown_generations_total", "Generations of wallets opened: what is not a plain debit.")
        .value(stats.operations);
    page.counter("drawdown_grants_total", "Grants made.").value(stats.grants);
}

fn memory(page: &mut Page, stats: &EngineStats) {
    page.gauge("drawdown_wallets", "Wallets that exist.").value(stats.wallets);
    page.gauge("drawdown_identities", "Identities of events remembered, about.").value(stats.remembered_events);
    page.gauge("drawdown_identities_age_seconds", "Age back to which every identity is remembered, to a minute.")
        .value(milliseconds(stats.idempotency_age_ms));
    page.gauge("drawdown_identities_window_seconds", "Age back to which identities are meant to be remembered.")
        .value(milliseconds(stats.idempotency_window_ms));
    let spilled = &stats.spilled;
    page.gauge("drawdown_identities_resident", "Identities of events remembered in memory, about.")
        .value(stats.resident_events);
    page.gauge("drawdown_identities_horizon_bytes", "Position of the log below which identities are forgotten.")
        .value(stats.idempotency_horizon);
    page.gauge("drawdown_identities_resident_horizon_bytes", "Position from which on memory knows every identity.")
        .value(stats.resident_horizon);
    page.gauge("drawdown_identities_runs", "Files of identities that memory has no room for.").value(spilled.runs);
    page.gauge("drawdown_identities_run_bytes", "Disk space of those files.").value(spilled.file_bytes);
    page.counter("drawdown_identities_spill_failures_total", "Failures to write or merge those files.")
        .value(stats.spill_failures);
    page.gauge("drawdown_memory_bytes", "Memory of the large tables.")
        .labelled("part", "identities", stats.idempotency_bytes)
        .labelled("part", "identity_filters", spilled.memory_bytes)
        .labelled("part", "index", stats.index_bytes)
        .labelled("part", "slots", stats.slab_bytes);
}

fn webhooks(page: &mut Page, app: &App, stats: &WebhookStats) {
    page.gauge("drawdown_webhook_endpoints", "Webhook endpoints by status.")
        .labelled("status", "enabled", stats.enabled)
        .labelled("status", "disabled", stats.disabled);
    page.counter("drawdown_webhook_attempts_total", "Attempts to deliver a webhook by outcome.")
        .labelled("outcome", "delivered", stats.delivered)
        .labelled("outcome", "failed", stats.failed);
    page.counter("drawdown_webhook_given_up_total", "Events given up after their last attempt.").value(stats.given_up);
    page.gauge("drawdown_webhook_queued", "Events read and not yet delivered, attempts under way included.")
        .value(stats.queued);
    page.gauge("drawdown_webhook_in_flight", "Attempts under way.").value(stats.in_flight);
    page.gauge("drawdown_webhook_behind_wallets", "Wallets that wait for an event that failed, over all endpoints.")
        .value(stats.behind_wallets);
    page.gauge(
        "drawdown_webhook_behind_bytes",
        "Bytes of durable log that the slowest enabled endpoint has to go through.",
    )
    .value(stats.behind_bytes);
    let now = app.engine.now().millis();
    let age = if stats.oldest_ms == 0 { 0 } else { now.saturating_sub(stats.oldest_ms) };
    page.gauge(
        "drawdown_webhook_lag_seconds",
        "Age of the oldest event in memory that waits for its first attempt to end.",
    )
    .value(milliseconds(age));
}

fn log(page: &mut Page, log: &LogStats) {
    let lag = log.tail.get().saturating_sub(log.durable.get());
    page.gauge("drawdown_log_tail_bytes", "Position of the log's end.").value(log.tail.get());
    page.gauge("drawdown_log_durable_bytes", "Position up to which the log is on disk.").value(log.durable.get());
    page.gauge("drawdown_log_durable_lag_bytes", "Bytes of the log that are not on disk yet.").value(lag);
    page.gauge("drawdown_log_unsynced_bytes", "Bytes admitted or written and not on disk.").value(log.unsynced_bytes);
    page.gauge("drawdown_log_bytes", "Disk space of all segments, prepared ones included.")
        .value(log.segments * log.segment_bytes);
    page.gauge("drawdown_log_segments", "Segments, prepared ones included.").value(log.segments);
    page.gauge("drawdown_log_prepared_bytes", "Bytes of log that are certain to find prepared room.")
        .value(log.prepared_bytes);
    page.counter("drawdown_log_prepare_failures_total", "Attempts to prepare a segment that failed.")
        .value(log.prepare_failures);
    let chained = log.chain.head.as_ref().map_or(0, |head| head.lsn.get());
    page.gauge("drawdown_log_chained_bytes", "Position up to which the log is in the hash chain.").value(chained);
    page.counter("drawdown_log_syncs_total", "Syncs of the log.").value(log.syncs);
    page.counter("drawdown_log_synced_bytes_total", "Bytes that syncs carried to disk.").value(log.synced_bytes);
    page.histogram("drawdown_log_sync_duration_seconds", "Time that a sync of the log took.").distribution(
        [],
        &sync_latency(log),
        NS,
    );
}

fn snapshots(page: &mut Page, snapshots: &SnapshotStats) {
    page.gauge("drawdown_log_first_bytes", "Position from which on the log is kept.").value(snapshots.first_lsn);
    page.counter("drawdown_log_retired_segments_total", "Segments retired.").value(snapshots.retired_segments);
    page.gauge("drawdown_snapshot_position_bytes", "Position of the newest snapshot, 0 without one.")
        .value(snapshots.lsn);
    page.gauge("drawdown_snapshot_bytes", "Length of the newest snapshot.").value(snapshots.bytes);
    page.gauge("drawdown_snapshot_age_seconds", "Age of the newest snapshot, 0 without one.")
        .value(milliseconds(snapshots.age_ms));
    page.gauge("drawdown_snapshot_duration_seconds", "Time that making the newest took, 0 if it was made before.")
        .value(milliseconds(snapshots.took_ms));
    page.counter("drawdown_snapshots_total", "Snapshots made.").value(snapshots.made);
    page.counter("drawdown_snapshot_failures_total", "Snapshots that could not be made.").value(snapshots.failures);
}

/// Classes of syncs' times that are shown each: of 2^14 ns (16 us) up to 2^33 ns (9 s).
const SYNC_CLASSES: std::ops::Range<usize> = 13..33;

/// The log's classes, those below and above [`SYNC_CLASSES`] drawn together.
fn sync_latency(log: &LogStats) -> Reading {
    let below: u64 = log.sync_latency[..SYNC_CLASSES.start].iter().sum();
    let class = |class: usize| (1 << (class + 1), log.sync_latency[class]);
    let mut classes: Vec<(u64, u64)> = SYNC_CLASSES.map(class).collect();
    classes[0].1 += below;
    Reading { classes, beyond: log.sync_latency[SYNC_CLASSES.end..].iter().sum(), sum: log.sync_ns_total }
}

fn admission(page: &mut Page, stats: &EngineStats) {
    let admission = &stats.admission;
    page.counter("drawdown_log_admission_waits_total", "Times that a command began to wait for room in the log.")
        .value(admission.waits);
    page.gauge("drawdown_log_admission_waiting", "Commands that wait for room in the log.").value(admission.waiting);
    page.counter("drawdown_log_admission_wait_seconds_total", "Time that commands waited for room in the log.")
        .value(nanoseconds(admission.wait_ns));
    page.counter("drawdown_log_admission_refusals_total", "Times that the log had no room at once, by reason.")
        .labelled("reason", "overloaded", admission.overloaded)
        .labelled("reason", "no_space", admission.no_space)
        .labelled("reason", "poisoned", admission.poisoned)
        .labelled("reason", "closed", admission.closed);
}

fn http(page: &mut Page, app: &App) {
    let metrics = &app.metrics;
    let route = |index: usize| -> [(&'static str, Cow<'static, str>); 2] {
        let (method, path) = ROUTES.get(index).map_or(("", "none"), |route| (route.method, route.path));
        [("method", method.into()), ("route", path.into())]
    };
    let family = page.counter("drawdown_http_requests_total", "Requests by route and status.");
    for (index, answers) in metrics.routes.iter().map(super::metrics::RouteMetrics::answers).enumerate() {
        for (class, count) in answers.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            let status = STATUSES.get(class).map_or("other".into(), |status| Cow::Owned(status.to_string()));
            let [method, path] = route(index);
            family.under([method, path, ("status", status)], count);
        }
    }
    let family =
        page.histogram("drawdown_http_request_duration_seconds", "Time from a request's header to its answer.");
    for (index, reading) in metrics.routes.iter().map(|route| route.latency.read()).enumerate() {
        if reading.count() > 0 {
            family.distribution(route(index), &reading, NS);
        }
    }
    let family = page.counter("drawdown_http_refusals_total", "What was turned away for the server's own sake.");
    for (reason, count) in metrics.refusals.counts() {
        family.labelled("reason", reason, count);
    }
    let read = |counter: &AtomicU64| counter.load(Relaxed);
    page.gauge("drawdown_http_connections", "Open connections.").value(read(&metrics.connections));
    page.counter("drawdown_http_connections_total", "Connections taken.").value(read(&metrics.connections_taken));
    page.counter("drawdown_http_connections_refused_total", "Connections over the limit.")
        .value(read(&metrics.connections_refused));
    page.counter("drawdown_http_connections_closed_total", "Connections that the server ended by itself, by reason.")
        .labelled("reason", "idle", read(&metrics.closed.idle))
        .labelled("reason", "slow_header", read(&metrics.closed.slow_header))
        .labelled("reason", "slow_reader", read(&metrics.closed.slow_reader));
    page.gauge("drawdown_http_in_flight_requests", "Requests under way, those about operations not counted.")
        .value(app.in_flight.requests() as u64);
    page.gauge("drawdown_http_in_flight_bytes", "Bytes of bodies in flight.").value(app.in_flight.bytes() as u64);
    page.counter("drawdown_http_body_bytes_total", "Bytes of bodies received.").value(read(&metrics.body_bytes));
    page.gauge("drawdown_http_feed_waiters", "Requests that wait at the end of the feed.")
        .value(app.feed_waiters.load(Relaxed) as u64);
}

/// What the numbers above are bounded by, so that a dashboard can show how far away a limit is.
fn limits(page: &mut Page, app: &App) {
    let limits = &app.limits;
    let number = |number: usize| number as u64;
    page.gauge("drawdown_limit", "The bound on the quantity of that name.")
        .labelled("limit", "connections", number(limits.connections))
        .labelled("limit", "in_flight_requests", number(limits.in_flight_requests))
        .labelled("limit", "in_flight_bytes", number(limits.in_flight_bytes))
        .labelled("limit", "feed_waiters", number(limits.feed_waiters))
        .labelled("limit", "unsynced_bytes", app.engine.log().stats().unsynced_bytes_max);
}

#[expect(clippy::cast_precision_loss, reason = "for people, and far below 2^53")]
fn milliseconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn nanoseconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawdown_wal::{Heap, Log, Options, SYNC_LATENCY_CLASSES};

    #[test]
    fn classes_of_syncs_are_drawn_together_at_both_ends() {
        let (log, _) = Log::open_on(std::sync::Arc::new(Heap::new()), Options::tiny(65536)).expect("opens");
        let mut stats = log.stats();
        stats.sync_latency = [1; SYNC_LATENCY_CLASSES];
        stats.sync_ns_total = 77;
        let reading = sync_latency(&stats);
        assert_eq!(reading.count(), SYNC_LATENCY_CLASSES as u64);
        assert_eq!((reading.classes[0], reading.classes[1]), ((1 << 14, 14), (1 << 15, 1)));
        assert_eq!((reading.classes.last().copied(), reading.beyond, reading.sum), (Some((1 << 33, 1)), 7, 77));
    }
}
