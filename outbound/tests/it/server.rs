//! Servers that answer as they are told.

use bytes::Bytes;
use drawdown_outbound::Outgoing;
use drawdown_outbound::http::{AddressPolicy, Client, Resolve, Settings};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

/// Answers every request by a function, and keeps what was asked. Ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn new<F>(answer: F) -> Self
    where
        F: Fn(&Seen, usize) -> hyper::Response<Full<Bytes>> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (seen, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let answer = Arc::new(answer);
        let (kept, count) = (Arc::clone(&seen), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                count.fetch_add(1, Ordering::SeqCst);
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
                        let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                        async move {
                            let seen = read(request).await;
                            let mut all = kept.lock().expect("no panic");
                            let reply = answer(&seen, all.len());
                            all.push(seen);
                            Ok::<_, Infallible>(reply)
                        }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Server { address, connections, seen, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }
}

async fn read(request: hyper::Request<Incoming>) -> Seen {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Seen { method: head.method.to_string(), path: head.uri.to_string(), headers: head.headers, body }
}

pub(crate) fn reply(status: u16, body: impl Into<Bytes>) -> hyper::Response<Full<Bytes>> {
    let mut reply = hyper::Response::new(Full::new(body.into()));
    *reply.status_mut() = hyper::StatusCode::from_u16(status).expect("a status");
    reply
}

/// Reads a request's head and answers with these bytes, then closes; with `None` it never answers.
pub(crate) async fn raw(answer: Option<&'static [u8]>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut head = Vec::new();
            while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.expect("a request") == 0 {
                    break;
                }
            }
            match answer {
                Some(bytes) => stream.write_all(bytes).await.expect("whoever asked is there"),
                None => held.push(stream),
            }
        }
    });
    (address, task)
}

/// A client that may reach loopback.
pub(crate) fn client() -> Client {
    Client::new(Settings {
        policy: AddressPolicy::public().and("127.0.0.0/8".parse().expect("a range")),
        ..Settings::default()
    })
}

/// A resolver that gives one list of addresses after the other, and counts.
pub(crate) struct Names {
    pub(crate) answers: Vec<Vec<IpAddr>>,
    pub(crate) asked: AtomicUsize,
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, _: &'a str) -> Outgoing<'a, io::Result<Vec<IpAddr>>> {
        let at = self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Ok(self.answers[at.min(self.answers.len() - 1)].clone())))
    }
}
