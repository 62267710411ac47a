//! Operations: is it alive, is it ready, what does it count, what is its contract.

use crate::engine::webhooks::WebhookStats;
use crate::engine::{EngineStats, SnapshotStats};
use crate::http::app::Call;
use crate::http::auth::Gate;
use crate::http::problem::Problem;
use crate::http::readiness::Readiness;
use crate::http::reply::Reply;
use crate::http::{exposition, openapi};
use crate::ledger::Rejection;
use crate::metrics::CONTENT_TYPE;
use crate::metrics::process::Process;
use hyper::StatusCode;
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering::Relaxed;

/// `GET /healthz`: the process answers.
pub(crate) fn health() -> Reply {
    Reply::ok(&json!({"status": "ok"}))
}

/// `GET /readyz`: recovered, the log takes writes, nothing was refused for overload just now, and the server was not told to stop.
pub(crate) fn ready(call: Call<'_>) -> Result<Reply, Problem> {
    Ok(Reply::ok(&Readiness::of(call.app).answer()?))
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
    let (app, process) = (call.app, Process::read());
    let (metrics, admission) = (&app.metrics, &stats.admission);
    Reply::ok(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": Readiness::of(app).is_ready(),
        "wallets": stats.wallets,
        "events": {"applied": stats.applied, "duplicate": stats.duplicates, "rejected": stats.rejected},
        "rejections": rejections(&stats),
        "batches": stats.batches,
        "crossings": stats.crossings,
        "snapshots": snapshots(&stats.snapshots),
        "generations": stats.operations,
        "grants": stats.grants,
        "identities": {
            "count": stats.remembered_events,
            "age_ms": stats.idempotency_age_ms,
            "window_ms": stats.idempotency_window_ms,
            "horizon": stats.idempotency_horizon,
            "resident": stats.resident_events,
            "resident_horizon": stats.resident_horizon,
            "runs": stats.spilled.runs,
            "run_bytes": stats.spilled.file_bytes,
            "spill_failures": stats.spill_failures,
        },
        "memory_bytes": {
            "identities": stats.idempotency_bytes,
            "identity_filters": stats.spilled.memory_bytes,
            "index": stats.index_bytes,
            "slots": stats.slab_bytes,
            "resident": process.resident_bytes,
            "anonymous": process.anonymous_bytes,
        },
        "log": log(&stats),
        "admission": {
            "waits": admission.waits,
            "waiting": admission.waiting,
            "wait_us_total": admission.wait_ns / 1000,
            "overloaded": admission.overloaded,
            "no_space": admission.no_space,
        },
        "http": {
            "connections": metrics.connections.load(Relaxed),
            "connections_refused": metrics.connections_refused.load(Relaxed),
            "in_flight_requests": app.in_flight.requests(),
            "in_flight_bytes": app.in_flight.bytes(),
            "refusals": metrics.refusals.counts().collect::<std::collections::BTreeMap<_, _>>(),
        },
        "webhooks": webhooks(&stats.webhooks),
        "process": {"cpu_seconds": process.cpu_seconds, "open_fds": process.open_fds, "threads": process.threads},
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

fn webhooks(stats: &WebhookStats) -> Value {
    json!({
        "endpoints": {"enabled": stats.enabled, "disabled": stats.disabled},
        "attempts": {"delivered": stats.delivered, "failed": stats.failed},
        "given_up": stats.given_up,
        "queued": stats.queued,
        "in_flight": stats.in_flight,
        "behind_wallets": stats.behind_wallets,
        "behind_bytes": stats.behind_bytes,
        "oldest_ms": stats.oldest_ms,
    })
}

/// How many events were rejected for each reason that there was.
fn rejections(stats: &EngineStats) -> Map<String, Value> {
    let counts = Rejection::SLUGS.into_iter().zip(stats.rejections);
    counts.filter(|(_, count)| *count > 0).map(|(slug, count)| (slug.to_owned(), json!(count))).collect()
}

fn log(stats: &EngineStats) -> Value {
    let log = &stats.log;
    json!({
        "tail": log.tail.get(),
        "durable": log.durable.get(),
        "unsynced_bytes": log.unsynced_bytes,
        "syncs": log.syncs,
        "synced_bytes": log.synced_bytes,
        "sync_us_total": log.sync_ns_total / 1000,
        "last_sync_us": log.last_sync_ns / 1000,
        "segments": log.segments,
        "segment_bytes": log.segment_bytes,
        "prepared_bytes": log.prepared_bytes,
        "prepare_failures": log.prepare_failures,
        "chain": {
            "head": log.chain.head.map(|head| json!({
                "segment": head.segment,
                "lsn": head.lsn.get(),
                "hash": head.hash.to_string(),
            })),
            "next_segment": log.chain.next,
            "failure": log.chain.failure,
        },
    })
}

/// `GET /metrics`: Prometheus text.
pub(crate) fn metrics(call: Call<'_>) -> Reply {
    Reply::new(StatusCode::OK, CONTENT_TYPE, exposition::page(call.app).into_text())
}
