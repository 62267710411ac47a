//! The server's own counters, before and after: what a run cost it.

use crate::client::{CallError, Client, Target};
use crate::http::Request;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// What `GET /v1/stats` says, as far as it matters here. What a server does not tell is zero or absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Counters {
    events: Events,
    batches: u64,
    log: Log,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Events {
    applied: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Log {
    tail: u64,
    syncs: u64,
    sync_us_total: Option<u64>,
    last_sync_us: Option<u64>,
}

/// What the server did between two readings of its counters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ServerWork {
    /// Events debited.
    pub applied: u64,
    /// Batches of events.
    pub batches: u64,
    /// Bytes that the log grew by.
    pub log_bytes: u64,
    /// Syncs of the log.
    pub syncs: u64,
    /// Bytes of the log for each applied event.
    pub log_bytes_per_event: Option<f64>,
    /// Applied events for each sync.
    pub events_per_sync: Option<f64>,
    /// Batches for each sync.
    pub batches_per_sync: Option<f64>,
    /// What a sync took on average, in microseconds, if the server adds that up.
    pub sync_us_mean: Option<f64>,
    /// What the last sync took, in microseconds.
    pub sync_us_last: Option<u64>,
}

impl ServerWork {
    /// What happened between `before` and `after`; `None` if the counters went back, because the server was started anew.
    pub fn between(before: &Counters, after: &Counters) -> Option<Self> {
        let applied = after.events.applied.checked_sub(before.events.applied)?;
        let batches = after.batches.checked_sub(before.batches)?;
        let log_bytes = after.log.tail.checked_sub(before.log.tail)?;
        let syncs = after.log.syncs.checked_sub(before.log.syncs)?;
        let sync_us = after.log.sync_us_total.zip(before.log.sync_us_total);
        let sync_us = sync_us.and_then(|(after, before)| after.checked_sub(before));
        Some(ServerWork {
            applied,
            batches,
            log_bytes,
            syncs,
            log_bytes_per_event: ratio(log_bytes, applied),
            events_per_sync: ratio(applied, syncs),
            batches_per_sync: ratio(batches, syncs),
            sync_us_mean: sync_us.and_then(|sync_us| ratio(sync_us, syncs)),
            sync_us_last: after.log.last_sync_us,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people, and far below 2^53")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Reads the counters.
pub fn counters(runtime: &Runtime, target: &Arc<Target>) -> Result<Counters, CallError> {
    runtime.block_on(async {
        let request = Request::get(target.common(), "/v1/stats");
        Client::new(Arc::clone(target)).send(&request).await?.json("GET /v1/stats")
    })
}

/// Whether the server is making a snapshot; `None` if it does not say.
pub async fn is_making_snapshot(client: &mut Client, target: &Arc<Target>) -> Option<bool> {
    let request = Request::get(target.common(), "/v1/stats");
    let stats: Making = client.send(&request).await.ok()?.json("GET /v1/stats").ok()?;
    Some(stats.snapshots?.making.total_bytes > 0)
}

#[derive(Deserialize)]
struct Making {
    snapshots: Option<Snapshots>,
}

#[derive(Deserialize)]
struct Snapshots {
    making: Extent,
}

#[derive(Deserialize)]
struct Extent {
    total_bytes: u64,
}

/// Which version the server says that it is.
pub fn version(runtime: &Runtime, target: &Arc<Target>) -> Option<String> {
    #[derive(Deserialize)]
    struct Contract {
        info: Info,
    }
    #[derive(Deserialize)]
    struct Info {
        version: String,
    }
    runtime.block_on(async {
        let request = Request::get(target.common(), "/openapi.json");
        let mut client = Client::new(Arc::clone(target));
        let contract: Contract = client.send(&request).await.ok()?.json("GET /openapi.json").ok()?;
        Some(contract.info.version)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Counters {
        serde_json::from_str(text).expect("counters")
    }

    #[test]
    fn work_is_the_difference() {
        let before =
            read(r#"{"events":{"applied":100},"batches":7,"log":{"tail":1000,"syncs":3,"sync_us_total":900}}"#);
        let after = read(
            r#"{"wallets":1,"events":{"applied":300,"duplicate":1},"batches":12,
            "log":{"tail":21000,"syncs":7,"sync_us_total":2900,"last_sync_us":350}}"#,
        );
        let work = ServerWork::between(&before, &after).expect("the counters grew");
        assert_eq!((work.applied, work.batches, work.log_bytes, work.syncs), (200, 5, 20_000, 4));
        assert_eq!((work.log_bytes_per_event, work.events_per_sync), (Some(100.0), Some(50.0)));
        assert_eq!((work.batches_per_sync, work.sync_us_mean, work.sync_us_last), (Some(1.25), Some(500.0), Some(350)));
        assert_eq!(ServerWork::between(&after, &before), None, "a server that was started anew");
    }

    #[test]
    fn a_snapshot_is_being_made_while_it_has_an_extent() {
        let making = |text: &str| {
            let stats: Making = serde_json::from_str(text).expect("stats");
            stats.snapshots.map(|snapshots| snapshots.making.total_bytes > 0)
        };
        assert_eq!(making(r#"{"snapshots":{"lsn":4096,"making":{"done_bytes":0,"total_bytes":77}}}"#), Some(true));
        assert_eq!(making(r#"{"snapshots":{"making":{"done_bytes":0,"total_bytes":0}}}"#), Some(false));
        assert_eq!(making("{}"), None);
    }

    #[test]
    fn what_is_not_told_is_absent() {
        let work = ServerWork::between(&read("{}"), &read(r#"{"log":{"syncs":2}}"#)).expect("nothing went back");
        assert_eq!((work.log_bytes_per_event, work.sync_us_mean, work.sync_us_last), (None, None, None));
        assert_eq!(work.events_per_sync, Some(0.0));
    }
}
