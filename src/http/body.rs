//! Receiving a body within its limits: bytes, time, and bytes in flight over all connections.

use super::app::App;
use super::problem::{Problem, Reason};
use bytes::{Bytes, BytesMut};
use crossbeam::utils::CachePadded;
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Body;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How much of a refused body is read and thrown away, so that its sender gets to read the answer.
const DISCARD_BYTES_MAX: usize = 32 << 20;

/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// Requests under way and the bytes of their bodies, over all connections. Counters on their own: no other memory hangs on them, hence
/// Relaxed.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    requests: CachePadded<AtomicUsize>,
    bytes: CachePadded<AtomicUsize>,
}

impl InFlight {
    /// Counts one request more against `limit`, or refuses. What is given back counts it until it is dropped.
    pub(crate) fn enter(&self, limit: usize) -> Result<Place<'_>, Problem> {
        let place = Place(self);
        if self.requests.fetch_add(1, Ordering::Relaxed) < limit {
            return Ok(place);
        }
        let detail = "the requests under way exceed the server's limit; nothing was applied";
        Err(Problem::new(Reason::TooManyRequests, detail).with("exceeded", "in_flight_requests"))
    }

    /// Counts `bytes` more against `limit`, or refuses.
    fn take(&self, bytes: usize, limit: usize) -> Result<(), Problem> {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= limit {
            return Ok(());
        }
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        let detail = "the bodies in flight exceed the server's limit; nothing was applied";
        Err(Problem::new(Reason::TooManyBytes, detail).with("exceeded", "in_flight_bytes"))
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// One request among those under way.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a InFlight);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A received body, counted as in flight until it is dropped.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    pub(crate) bytes: Bytes,
    /// Held for what its end gives back.
    _share: Share<'a>,
}

/// What one body has taken of [`InFlight`].
#[derive(Debug)]
struct Share<'a> {
    app: &'a App,
    bytes: usize,
}

impl Share<'_> {
    fn grow_to(&mut self, bytes: usize) -> Result<(), Problem> {
        if bytes > self.bytes {
            self.app.in_flight.take(bytes - self.bytes, self.app.limits.in_flight_bytes)?;
            self.bytes = bytes;
        }
        Ok(())
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.app.in_flight.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Receives the whole body.
pub(crate) async fn receive<'a, B>(app: &'a App, headers: &HeaderMap, body: B) -> Result<Received<'a>, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let outcome = receive_uncounted(app, headers, body).await;
    let received = outcome.as_ref().map_or(0, |body| body.bytes.len());
    app.metrics.body_bytes.fetch_add(received as u64, Ordering::Relaxed);
    outcome
}

/// As [`receive`], for a body that somebody else receives again and counts.
pub(crate) async fn receive_uncounted<'a, B>(
    app: &'a App,
    headers: &HeaderMap,
    mut body: B,
) -> Result<Received<'a>, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    match tokio::time::timeout(app.limits.body_time, collect(app, &mut body)).await {
        Ok(outcome) => {
            if outcome.is_err() && worth_discarding(headers, &body) {
                discard(body).await;
            }
            outcome
        }
        Err(_) => Err(Problem::new(Reason::Timeout, "the body did not arrive in time; nothing was applied")),
    }
}

async fn collect<'a, B>(app: &'a App, body: &mut B) -> Result<Received<'a>, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let limit = app.limits.body_bytes;
    let mut share = Share { app, bytes: 0 };
    let announced = body.size_hint();
    if announced.lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let announced = announced.exact().map_or(0, |bytes| bytes as usize);
    share.grow_to(announced)?;
    let Some(first) = next(body).await? else { return Ok(Received { bytes: Bytes::new(), _share: share }) };
    if first.len() == announced {
        return Ok(Received { bytes: first, _share: share });
    }
    let mut all = BytesMut::with_capacity(announced.max(first.len()));
    let mut piece = Some(first);
    while let Some(bytes) = piece {
        if all.len() + bytes.len() > limit {
            return Err(too_large(limit));
        }
        share.grow_to(all.len() + bytes.len())?;
        all.extend_from_slice(&bytes);
        piece = next(body).await?;
    }
    Ok(Received { bytes: all.freeze(), _share: share })
}

async fn next<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = body.frame().await {
        let cut = |_| Problem::new(Reason::MalformedBody, "the body was cut short; nothing was applied");
        if let Ok(data) = frame.map_err(cut)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Reason::BodyTooLarge, format!("a body has at most {limit} bytes; nothing was applied"))
        .with("limit", limit)
}

/// Reads away what is left of a body that nobody wants, within bounds. A client that is still sending when the connection closes
/// might otherwise lose the answer that tells it why.
pub(crate) async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let _ = tokio::time::timeout(DISCARD_TIME, async {
        let mut seen = 0;
        while let Ok(Some(piece)) = next(&mut body).await {
            seen += piece.len();
            if seen > DISCARD_BYTES_MAX {
                break;
            }
        }
    })
    .await;
}

/// Whether a refused body is worth reading away: its sender does not wait for a go-ahead, and it is not too much.
pub(crate) fn worth_discarding<B: Body>(headers: &HeaderMap, body: &B) -> bool {
    !headers.contains_key(hyper::header::EXPECT) && body.size_hint().lower() <= DISCARD_BYTES_MAX as u64
}
