//! Operations: is it alive, is it ready, what does it count, what is its contract.

use crate::engine::{EngineStats, SnapshotStats, Unavailable};
use crate::http::app::Call;
use crate::http::auth::Gate;
use crate::http::metrics::{LATENCY_US, RouteMetrics};
use crate::http::openapi;
use crate::http::problem::Problem;
use crate::http::reply::Reply;
use crate::http::route::ROUTES;
use hyper::StatusCode;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

/// `GET /healthz`: the process answers.
pub(crate) fn health() -> Reply {
    Reply::ok(&json!({"status": "ok"}))
}

/// `GET /readyz`: recovered, the log takes writes, and the server was not told to stop.
pub(crate) fn ready(call: Call<'_>) -> Result<Reply, Problem> {
    if *call.app.draining.borrow() {
        return Err(Problem::from(Unavailable::Closed));
    }
    call.engine().health()?;
    Ok(Reply::ok(&json!({"status": "ready"})))
}

/// `GET /openapi.json`
pub(crate) fn openapi(call: Call<'_>) -> Reply {
    let text = match call.app.gate {
        Gate::Open => &*openapi::TEXT_WITHOUT_KEYS,
        Gate::Keys { .. } => &*openapi::TEXT,
    };
    Reply::new(StatusCode::OK, "application/json", text.as_bytes())
}

/// `GET /v1/stats`
pub(crate) fn stats(call: Call<'_>) -> Reply {
    let stats = call.engine().stats();
    let app = call.app;
    Reply::ok(&json!({
        "wallets": stats.wallets,
        "events": {"applied": stats.applied, "duplicate": stats.duplicates, "rejected": stats.rejected},
        "batches": stats.batches,
        "crossings": stats.crossings,
        "log": log(&stats),
        "snapshots": snapshots(&stats.snapshots),
        "http": {
            "connections": app.metrics.connections.load(Relaxed),
            "connections_refused": app.metrics.connections_refused.load(Relaxed),
            "in_flight_bytes": app.in_flight.bytes(),
        },
    }))
}

/// `POST /v1/snapshots`: has a snapshot made in the background. `GET /v1/stats` tells how far it has come.
pub(crate) fn post_snapshot(call: Call<'_>) -> Reply {
    call.engine().request_snapshot();
    Reply::json(StatusCode::ACCEPTED, &snapshots(&call.engine().stats().snapshots))
}

fn snapshots(stats: &SnapshotStats) -> Value {
    let (done, total) = stats.progress;
    json!({
        "lsn": stats.lsn,
        "earlier_lsn": stats.earlier_lsn,
        "age_ms": stats.age_ms,
        "bytes": stats.bytes,
        "took_ms": stats.took_ms,
        "made": stats.made,
        "failures": stats.failures,
        "making": {"done_bytes": done, "total_bytes": total},
        "log_first": stats.first_lsn,
        "retired_segments": stats.retired_segments,
    })
}

fn log(stats: &EngineStats) -> Value {
    let log = &stats.log;
    json!({
        "tail": log.tail.get(),
        "durable": log.durable.get(),
        "unsynced_bytes": log.unsynced_bytes,
        "syncs": log.syncs,
        "synced_bytes": log.synced_bytes,
        "last_sync_us": log.last_sync_ns / 1000,
        "segments": log.segments,
        "prepared_bytes": log.prepared_bytes,
    })
}

/// `GET /metrics`: Prometheus text.
pub(crate) fn metrics(call: Call<'_>) -> Reply {
    let mut text = Exposition::default();
    let (stats, app) = (call.engine().stats(), call.app);
    text.one("drawdown_wallets", "gauge", "Wallets that exist.", stats.wallets);
    text.head("drawdown_events_total", "counter", "Usage events by outcome.");
    for (outcome, count) in [("applied", stats.applied), ("duplicate", stats.duplicates), ("rejected", stats.rejected)]
    {
        text.line(format_args!("drawdown_events_total{{outcome=\"{outcome}\"}} {count}"));
    }
    text.one("drawdown_batches_total", "counter", "Batches of usage events.", stats.batches);
    text.one("drawdown_crossings_total", "counter", "Alert levels crossed.", stats.crossings);
    text.one("drawdown_log_tail_bytes", "gauge", "End of the log.", stats.log.tail.get());
    text.one("drawdown_log_durable_bytes", "gauge", "Durable end of the log.", stats.log.durable.get());
    text.one("drawdown_log_unsynced_bytes", "gauge", "Bytes waiting for the disk.", stats.log.unsynced_bytes);
    text.one("drawdown_log_syncs_total", "counter", "Syncs of the log.", stats.log.syncs);
    text.one("drawdown_log_synced_bytes_total", "counter", "Bytes made durable.", stats.log.synced_bytes);
    text.one("drawdown_log_segments", "gauge", "Segments of the log, prepared ones included.", stats.log.segments);
    let snapshots = &stats.snapshots;
    text.one("drawdown_log_first_bytes", "gauge", "First position of the log that is kept.", snapshots.first_lsn);
    text.one("drawdown_log_retired_segments_total", "counter", "Segments retired.", snapshots.retired_segments);
    text.one("drawdown_snapshot_position_bytes", "gauge", "Position of the newest snapshot; 0 if none.", snapshots.lsn);
    text.one("drawdown_snapshot_bytes", "gauge", "Length of the newest snapshot.", snapshots.bytes);
    text.head("drawdown_snapshot_age_seconds", "gauge", "Age of the newest snapshot; 0 if there is none.");
    text.line(format_args!("drawdown_snapshot_age_seconds {}", seconds(snapshots.age_ms.saturating_mul(1000))));
    text.head("drawdown_snapshot_duration_seconds", "gauge", "How long making the newest took; 0 if none was made.");
    text.line(format_args!("drawdown_snapshot_duration_seconds {}", seconds(snapshots.took_ms.saturating_mul(1000))));
    text.one("drawdown_snapshots_total", "counter", "Snapshots made.", snapshots.made);
    text.one("drawdown_snapshot_failures_total", "counter", "Snapshots that could not be made.", snapshots.failures);
    text.one("drawdown_http_connections", "gauge", "Open connections.", app.metrics.connections.load(Relaxed));
    let refused = app.metrics.connections_refused.load(Relaxed);
    text.one("drawdown_http_connections_refused_total", "counter", "Connections over the limit.", refused);
    text.one("drawdown_http_in_flight_bytes", "gauge", "Bytes of bodies in flight.", app.in_flight.bytes() as u64);
    let received = app.metrics.body_bytes.load(Relaxed);
    text.one("drawdown_http_body_bytes_total", "counter", "Bytes of bodies received.", received);
    text.routes(&app.metrics.routes);
    Reply::new(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.0)
}

/// Text in Prometheus' format. Writing to a String cannot fail.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{line}");
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    /// Answers and latencies of every route that was ever asked for.
    fn routes(&mut self, metrics: &[RouteMetrics]) {
        let label = |index: usize| {
            let route = ROUTES.get(index);
            route.map_or("method=\"\",route=\"none\"".to_owned(), |r| {
                format!("method=\"{}\",route=\"{}\"", r.method, r.path)
            })
        };
        self.head("drawdown_http_requests_total", "counter", "Requests by route and class of status.");
        for (index, route) in metrics.iter().enumerate() {
            for (class, count) in route.answers.iter().map(|count| count.load(Relaxed)).enumerate() {
                if count > 0 {
                    let class = class + 1;
                    self.line(format_args!(
                        "drawdown_http_requests_total{{{},status=\"{class}xx\"}} {count}",
                        label(index)
                    ));
                }
            }
        }
        let name = "drawdown_http_request_duration_seconds";
        self.head(name, "histogram", "Time from the request's header to its answer.");
        for (index, route) in metrics.iter().enumerate() {
            let counts: Vec<u64> = route.latency.iter().map(|count| count.load(Relaxed)).collect();
            if counts.iter().any(|&count| count > 0) {
                self.histogram(name, &label(index), &counts, route.latency_us_sum.load(Relaxed));
            }
        }
    }

    fn histogram(&mut self, name: &str, label: &str, counts: &[u64], sum_us: u64) {
        let mut below = 0;
        for (bound_us, count) in LATENCY_US.iter().zip(counts) {
            below += count;
            self.line(format_args!("{name}_bucket{{{label},le=\"{}\"}} {below}", seconds(*bound_us)));
        }
        let all: u64 = counts.iter().sum();
        self.line(format_args!("{name}_bucket{{{label},le=\"+Inf\"}} {all}"));
        self.line(format_args!("{name}_sum{{{label}}} {}\n{name}_count{{{label}}} {all}", seconds(sum_us)));
    }
}

/// Microseconds as seconds, exactly.
fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}
