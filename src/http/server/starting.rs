//! Listening before there is anything to serve: a log may take minutes to be replayed, and whoever watches the server should learn that it
//! is alive and not ready.

use super::super::api::operations;
use super::super::exposition;
use super::super::limits::Limits;
use super::super::problem::{Problem, Reason};
use super::super::readiness::Readiness;
use super::super::reply::{Reply, RequestId, RequestIds};
use super::ACCEPT_PAUSE;
use crate::metrics::CONTENT_TYPE;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::Semaphore;

/// Connections at once while nothing but "not yet" is to be said.
const CONNECTIONS_MAX: usize = 256;

/// An address that is listened on.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Listens on an address.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Listener> {
        Ok(Listener(TcpListener::bind(address).await?))
    }

    /// Where it listens, with the port that the system chose if none was named.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub(super) fn into_inner(self) -> TcpListener {
        self.0
    }

    /// Answers while `opening` runs, and gives back what came of it: `/healthz` with 200, `/metrics` with what is known, everything else with
    /// 503 `recovering`. Each connection gets one answer. `process` is a random number that tells this process's request ids from others'.
    pub async fn answer_while<T>(&self, limits: &Limits, process: u64, opening: impl Future<Output = T>) -> T {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX.min(limits.connections)));
        let ids = Arc::new(RequestIds::new(process));
        let mut opening = std::pin::pin!(opening);
        loop {
            let accepted = tokio::select! {
                biased; // what is ready to serve serves the next
                outcome = &mut opening => return outcome,
                accepted = self.0.accept() => accepted,
            };
            match accepted.map(|(stream, _)| (stream, Arc::clone(&places).try_acquire_owned())) {
                Ok((stream, Ok(place))) => {
                    let (ids, limits) = (Arc::clone(&ids), limits.clone());
                    tokio::spawn(async move {
                        let patience = limits.header_time + limits.answer_time;
                        // However it ends, there is nothing to be done about it.
                        let _ = tokio::time::timeout(patience, answer_once(stream, &limits, &ids)).await;
                        drop(place);
                    });
                }
                // Closed without a word.
                Ok((_, Err(_))) => {}
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

async fn answer_once(stream: TcpStream, limits: &Limits, ids: &RequestIds) -> Result<(), hyper::Error> {
    let service = service_fn(async |request: Request<Incoming>| {
        let id = ids.next();
        let reply = answer(request.uri().path(), &id);
        Ok::<_, Infallible>(reply.into_response(&id).map(Full::<Bytes>::new))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn answer(path: &str, id: &RequestId) -> Reply {
    let problem = match path {
        "/healthz" => return operations::health(),
        "/metrics" => return Reply::new(StatusCode::OK, CONTENT_TYPE, exposition::page_while_recovering().into_text()),
        "/readyz" => Readiness::recovering().answer().expect_err("a server that recovers is not ready"),
        _ => Problem::new(Reason::Recovering, "the server replays its log; nothing was applied"),
    };
    problem.into_reply(id)
}
