//! What happens on a connection, as far as its time limits need to know.
//!
//! All values are written by the connection's own task and read by it (HTTP/2 streams may run on other threads, but only count
//! themselves in and out), so Relaxed orderings suffice: each value is true on its own.

use crate::http::Limits;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

/// When bytes last moved, when a header began, and how many requests are under way.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    /// Microseconds behind `start` at which bytes last moved or a request last ended.
    last_us: AtomicU64,
    /// Microseconds behind `start` at which the first byte of a header came; zero while none is awaited.
    header_us: AtomicU64,
    under_way: AtomicUsize,
}

/// Why a connection should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A header was begun and not finished in time.
    SlowHeader,
    /// Nothing was asked for too long.
    Idle,
}

/// A request under way.
pub(super) struct UnderWay(Arc<Activity>);

impl Activity {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Activity { start: Instant::now(), last_us: zero(), header_us: zero(), under_way: AtomicUsize::new(0) }
    }

    fn now_us(&self) -> u64 {
        // Never zero, which means "none".
        self.start.elapsed().as_micros() as u64 + 1
    }

    /// Something happened just now.
    pub(super) fn touch(&self) {
        self.last_us.store(self.now_us(), Relaxed);
    }

    fn received(&self) {
        let now = self.now_us();
        self.last_us.store(now, Relaxed);
        if self.under_way.load(Relaxed) == 0 && self.header_us.load(Relaxed) == 0 {
            self.header_us.store(now, Relaxed);
        }
    }

    /// A request's header is complete.
    pub(super) fn begin(this: &Arc<Activity>) -> UnderWay {
        this.under_way.fetch_add(1, Relaxed);
        this.header_us.store(0, Relaxed);
        UnderWay(Arc::clone(this))
    }

    /// Resolves when the connection should end.
    pub(super) async fn watch(&self, limits: &Limits) -> Verdict {
        loop {
            let idle = (self.last_us.load(Relaxed), limits.idle_time, Verdict::Idle);
            let (since, time, verdict) = match self.header_us.load(Relaxed) {
                0 => idle,
                began => (began, limits.header_time, Verdict::SlowHeader),
            };
            // A header may begin just after this look; so nobody sleeps longer than one would have to arrive.
            let next_look = Instant::now() + limits.header_time.min(limits.idle_time);
            let deadline = self.start + Duration::from_micros(since) + time;
            let busy = self.under_way.load(Relaxed) > 0;
            if !busy && Instant::now() >= deadline {
                return verdict;
            }
            sleep_until(if busy { next_look } else { deadline.min(next_look) }).await;
        }
    }

    /// Resolves when nothing was asked for too long.
    pub(super) async fn idle(&self, limits: &Limits) {
        loop {
            let deadline = self.start + Duration::from_micros(self.last_us.load(Relaxed)) + limits.idle_time;
            let busy = self.under_way.load(Relaxed) > 0;
            if !busy && Instant::now() >= deadline {
                return;
            }
            sleep_until(if busy { Instant::now() + limits.idle_time } else { deadline }).await;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
        self.0.touch();
    }
}

/// A connection whose traffic is noted.
#[derive(Debug)]
pub(super) struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Watched { stream, activity }
    }

    pub(super) fn into_inner(self) -> TcpStream {
        self.stream
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.received();
        }
        outcome
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        if outcome.is_ready() {
            self.activity.touch();
        }
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if outcome.is_ready() {
            self.activity.touch();
        }
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
