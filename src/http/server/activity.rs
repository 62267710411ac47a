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

/// The least time between two looks.
const SHORTEST_REST: Duration = Duration::from_millis(10);

/// When bytes last moved, when a header began, and how many requests are under way.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    /// Microseconds behind `start` at which bytes last moved or a request last ended.
    last_us: AtomicU64,
    /// Microseconds behind `start` at which the first byte of a header came; zero while none is awaited.
    header_us: AtomicU64,
    /// Requests from the end of their header to where their answer's body was taken over by the connection.
    under_way: AtomicUsize,
    /// Of these, how many have their answer ready.
    answering: AtomicUsize,
    /// Microseconds behind `start` since which the connection takes no bytes; zero while it does.
    stalled_us: AtomicU64,
    /// Microseconds behind `start` since which no part of a ready answer went to the connection; zero while none is ready. Under HTTP/2
    /// a client can keep its answers waiting and the connection moving.
    untaken_us: AtomicU64,
}

/// Why a connection should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A header was begun and not finished in time.
    SlowHeader,
    /// Nothing was asked for too long.
    Idle,
    /// The client takes nothing of its answers.
    SlowReader,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    activity: Arc<Activity>,
    answering: bool,
}

impl Activity {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Activity {
            start: Instant::now(),
            last_us: zero(),
            header_us: zero(),
            under_way: AtomicUsize::new(0),
            answering: AtomicUsize::new(0),
            stalled_us: zero(),
            untaken_us: zero(),
        }
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
        UnderWay { activity: Arc::clone(this), answering: false }
    }

    /// The connection was given bytes, and took some or none.
    fn wrote(&self, some: bool) {
        if some {
            self.touch();
            self.stalled_us.store(0, Relaxed);
        } else if self.stalled_us.load(Relaxed) == 0 {
            self.stalled_us.store(self.now_us(), Relaxed);
        }
    }

    /// When the client will have taken nothing for too long, if something is ready for it.
    fn stall_deadline(&self, limits: &Limits) -> Option<Instant> {
        let since = [&self.stalled_us, &self.untaken_us].map(|since| since.load(Relaxed));
        let since = since.into_iter().filter(|since| *since > 0).min()?;
        Some(self.start + Duration::from_micros(since) + limits.answer_time)
    }

    /// Resolves when the connection should end. `header` is whether headers are timed: under HTTP/2 there may be any number of them under way, and
    /// their size is bounded by hyper.
    pub(super) async fn watch(&self, limits: &Limits, header: bool) -> Verdict {
        // Something may begin just after a look; so nobody sleeps longer than it would have to end.
        let patience = limits.header_time.min(limits.idle_time).min(limits.answer_time);
        loop {
            let now = Instant::now();
            let mut next_look = now + patience;
            if let Some(deadline) = self.stall_deadline(limits) {
                if now >= deadline {
                    return Verdict::SlowReader;
                }
                next_look = next_look.min(deadline);
            }
            if self.under_way.load(Relaxed) == 0 {
                let (since, time, verdict) = match self.header_us.load(Relaxed) {
                    began @ 1.. if header => (began, limits.header_time, Verdict::SlowHeader),
                    _ => (self.last_us.load(Relaxed), limits.idle_time, Verdict::Idle),
                };
                let deadline = self.start + Duration::from_micros(since) + time;
                // A client that is late in taking an answer is not idle.
                if now >= deadline && self.stalled_us.load(Relaxed) == 0 {
                    return verdict;
                }
                next_look = next_look.min(deadline.max(now + SHORTEST_REST));
            }
            sleep_until(next_look).await;
        }
    }
}

impl UnderWay {
    /// The answer is ready: from now on it is the client's to take.
    pub(super) fn answered(&mut self) {
        self.answering = true;
        if self.activity.answering.fetch_add(1, Relaxed) == 0 {
            self.took_part();
        }
    }

    /// The connection has taken a part of the answer.
    pub(super) fn took_part(&self) {
        self.activity.untaken_us.store(self.activity.now_us(), Relaxed);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let activity = &self.activity;
        activity.under_way.fetch_sub(1, Relaxed);
        if self.answering {
            let last = activity.answering.fetch_sub(1, Relaxed) == 1;
            activity.untaken_us.store(if last { 0 } else { activity.now_us() }, Relaxed);
        }
        activity.touch();
    }
}

/// A connection whose traffic is noted.
#[derive(Debug)]
pub(super) struct Watches {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl Watches {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Watches { stream, activity }
    }

    pub(super) fn into_inner(self) -> TcpStream {
        self.stream
    }
}

impl AsyncRead for Watches {
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

impl AsyncWrite for Watches {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.activity.wrote(outcome.is_ready());
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.activity.wrote(outcome.is_ready());
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
