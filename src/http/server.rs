//! Connections: accepting, telling HTTP/1.1 from HTTP/2, keeping time, and ending in order.
//!
//! Each connection runs as one task. Beside hyper, which speaks the protocol, a watch over the connection's [`Activity`] ends those that
//! send their header too slowly or lie idle; bodies are timed where they are received. When the server is told to stop it accepts no more,
//! finishes the requests that are under way, and closes.

use super::app::App;
use super::problem::{Problem, Reason};
use super::refusals::Refusal;
use super::reply::RequestId;
use activity::{Activity, Verdict, Watches};
use answer::AnswerBody;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

mod activity;
mod answer;
mod starting;

pub use starting::Listener;

/// How long the server pauses when the system gives it no more connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a last word to a client may take.
const FAREWELL_TIME: Duration = Duration::from_secs(1);

/// First bytes of an HTTP/2 connection; no method of HTTP/1.1 begins like it.
const H2_PREFACE: &[u8] = b"PRI";

/// Connections that are told at the same time that there are too many.
const FAREWELLS_MAX: usize = 256;

/// Room for connections.
#[derive(Debug)]
struct Places {
    /// For those that are served.
    taken: Arc<Semaphore>,
    /// For those that are told why they are not.
    turned_away: Arc<Semaphore>,
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
}

impl Server {
    /// Listens on an address.
    pub async fn bind(app: App, address: impl ToSocketAddrs) -> io::Result<Server> {
        Ok(Self::on(app, Listener::bind(address).await?))
    }

    /// Serves on an address that is listened on already.
    pub fn on(app: App, listener: Listener) -> Server {
        Server { app: Arc::new(app), listener: listener.into_inner() }
    }

    /// Where it listens, with the port that the system chose if none was named.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` resolves, then drains: accepts no more, finishes what is under way within the drain time, and closes.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let permits = self.app.limits.connections;
        let places =
            Places { taken: Arc::new(Semaphore::new(permits)), turned_away: Arc::new(Semaphore::new(FAREWELLS_MAX)) };
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => admit(&self.app, &places, stream),
                Err(error) => {
                    // Out of file descriptors, most likely: those in use will end.
                    self.app.metrics.refusals.note(Refusal::Connections, None, &error);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        self.app.draining.send_replace(true);
        tracing::info!("draining");
        let all = places.taken.acquire_many(u32::try_from(permits).unwrap_or(u32::MAX));
        if tokio::time::timeout(self.app.limits.drain_time, all).await.is_err() {
            tracing::warn!("the drain time is over: cutting off what remains");
        }
    }
}

/// Starts a connection's task, if there is a place for it.
fn admit(app: &Arc<App>, places: &Places, stream: TcpStream) {
    let app = Arc::clone(app);
    // Counters for people; nothing hangs on them.
    let Ok(place) = Arc::clone(&places.taken).try_acquire_owned() else {
        app.metrics.connections_refused.fetch_add(1, Ordering::Relaxed);
        let problem = Problem::new(Reason::TooManyConnections, "the server has as many connections as it takes");
        let id = app.next_id();
        app.metrics.refusals.note(Refusal::Connections, Some(&id), problem.cause());
        // Beyond so many that are being told, a connection is closed without a word.
        if let Ok(told) = Arc::clone(&places.turned_away).try_acquire_owned() {
            tokio::spawn(async move {
                farewell(stream, &problem, &id).await;
                drop(told);
            });
        }
        return;
    };
    app.metrics.connections.fetch_add(1, Ordering::Relaxed);
    app.metrics.connections_taken.fetch_add(1, Ordering::Relaxed);
    tokio::spawn(async move {
        if let Err(error) = serve(&app, stream, place).await {
            tracing::debug!(%error, "connection");
        }
        app.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    });
}

/// Says why a connection ends where there is no request to answer, and closes it.
async fn farewell(mut stream: TcpStream, problem: &Problem, id: &RequestId) {
    let body = problem.body(id);
    let (status, ..) = problem.reason().describe();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let message = [head.into_bytes(), body].concat();
    let _ = tokio::time::timeout(FAREWELL_TIME, async {
        stream.write_all(&message).await?;
        stream.shutdown().await?;
        // What the client still sends is read away: closing on it would take the answer from the client again.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    })
    .await;
}

/// Serves one connection to its end.
async fn serve(
    app: &Arc<App>,
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let mut draining = app.draining.subscribe();
    let patience = app.limits.idle_time.min(app.limits.header_time);
    let is_h2 = tokio::select! {
        biased; // what was asked before the drain began is answered
        is_h2 = is_h2(&stream) => is_h2?,
        // Nothing was asked, so nothing needs an answer.
        () = tokio::time::sleep(patience) => return Ok(()),
        _ = draining.wait_for(|draining| *draining) => return Ok(()),
    };
    let activity = Arc::new(Activity::new());
    let service = Handler { app: Arc::clone(app), activity: Arc::clone(&activity) };
    let io = TokioIo::new(Watches::new(stream, Arc::clone(&activity)));
    if is_h2 { serve_h2(app, &activity, io, service).await } else { serve_h1(app, &activity, io, service).await }
}

/// Looks at the first bytes without taking them.
async fn is_h2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; 3];
    loop {
        let count = stream.peek(&mut first).await?;
        if count == first.len() || first[..count] != H2_PREFACE[..count] || count == 0 {
            return Ok(first == H2_PREFACE);
        }
        // Fewer than three bytes have come, and they could still become either. Peeking does not wait for more.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn serve_h1(app: &App, activity: &Activity, io: TokioIo<Watches>, service: Handler) -> Outcome {
    let mut connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(io, service);
    let mut draining = app.draining.subscribe();
    let mut ending = false;
    loop {
        tokio::select! {
            outcome = &mut connection => return Ok(outcome?),
            _ = draining.wait_for(|draining| *draining), if !ending => {
                ending = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            verdict = activity.watch(&app.limits, true) => match verdict {
                Verdict::SlowHeader => break,
                Verdict::SlowReader => {
                    note_slow_reader(app);
                    // What the system still holds for the client is thrown away with the connection.
                    let stream = connection.into_parts().io.into_inner().into_inner();
                    return Ok(stream.set_zero_linger()?);
                }
                Verdict::Idle if ending => return Ok(()),
                Verdict::Idle => {
                    ending = true;
                    app.metrics.closed.idle.fetch_add(1, Ordering::Relaxed);
                    activity.touch();
                    Pin::new(&mut connection).graceful_shutdown();
                }
            },
        }
    }
    let (problem, id) = (Problem::new(Reason::Timeout, "the header did not arrive in time"), app.next_id());
    app.metrics.closed.slow_header.fetch_add(1, Ordering::Relaxed);
    app.metrics.refusals.note(Refusal::SlowHeader, Some(&id), problem.cause());
    let stream = connection.into_parts().io.into_inner().into_inner();
    farewell(stream, &problem, &id).await;
    Ok(())
}

fn note_slow_reader(app: &App) {
    app.metrics.closed.slow_reader.fetch_add(1, Ordering::Relaxed);
    app.metrics.refusals.note(Refusal::SlowReader, None, &"the client does not read its answers");
}

async fn serve_h2(app: &App, activity: &Activity, io: TokioIo<Watches>, service: Handler) -> Outcome {
    // Windows that take a batch of a thousand events without waiting for an update.
    let mut connection = std::pin::pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .max_concurrent_streams(256)
            .serve_connection(io, service)
    );
    let mut draining = app.draining.subscribe();
    let mut ending = false;
    loop {
        tokio::select! {
            outcome = &mut connection => return Ok(outcome?),
            _ = draining.wait_for(|draining| *draining), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            verdict = activity.watch(&app.limits, false) => match verdict {
                Verdict::SlowReader => {
                    note_slow_reader(app);
                    return Ok(());
                }
                Verdict::Idle | Verdict::SlowHeader if ending => return Ok(()),
                Verdict::Idle | Verdict::SlowHeader => {
                    ending = true;
                    app.metrics.closed.idle.fetch_add(1, Ordering::Relaxed);
                    activity.touch();
                    connection.as_mut().graceful_shutdown();
                }
            },
        }
    }
}

/// Hands a connection's requests to the application.
struct Handler {
    app: Arc<App>,
    activity: Arc<Activity>,
}

impl Service<Request<Incoming>> for Handler {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let app = Arc::clone(&self.app);
        let under_way = Activity::begin(&self.activity);
        Box::pin(async move {
            let response = app.answer(request).await;
            Ok(response.map(|bytes| AnswerBody::new(bytes, under_way)))
        })
    }
}
