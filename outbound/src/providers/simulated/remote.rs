//! A bank in another process, and the server that makes it one.
//!
//! `POST /v1/commands` takes a [`Command`] and gives an [`Answer`]; `GET /v1/book` gives the whole book. JSON both ways. It is a stand-in for a
//! provider in tests and trials, for loopback: it asks nobody who they are.

use super::bank::{Bank, BankError, Local};
use super::book::Book;
use super::command::{Answer, Command};
use crate::Outgoing;
use crate::http::{
    Limits, Method, Overflow, Request, Response, SendError, StatusCode, Transport, Uri, UrlError, parse_url,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// The longest command and the longest book.
const COMMAND_BYTES: usize = 1 << 20;
const BOOK_BYTES: usize = 256 << 20;

/// A bank that is asked by HTTP.
pub struct Remote {
    transport: Arc<dyn Transport>,
    commands: Uri,
    book: Uri,
    time: Duration,
}

impl Remote {
    /// `base` is the server's address, `http://127.0.0.1:1234`; `time` is how long an answer may take.
    pub fn new(transport: Arc<dyn Transport>, base: &str, time: Duration) -> Result<Self, UrlError> {
        let base = base.trim_end_matches('/');
        let (commands, book) = (parse_url(&format!("{base}/v1/commands"))?, parse_url(&format!("{base}/v1/book"))?);
        Ok(Remote { transport, commands, book, time })
    }

    /// The book as it stands, for audits.
    pub async fn book(&self) -> Result<Book, BankError> {
        let limits = Limits { total: self.time, body_bytes: BOOK_BYTES, overflow: Overflow::Refuse };
        read(self.transport.send(Request::get(self.book.clone(), limits)).await)
    }
}

fn read<T: DeserializeOwned>(answer: Result<Response, SendError>) -> Result<T, BankError> {
    let answer = answer.map_err(|error| BankError(error.to_string()))?;
    if answer.status != StatusCode::OK {
        return Err(BankError(format!("status {}", answer.status)));
    }
    serde_json::from_slice(&answer.body).map_err(|error| BankError(error.to_string()))
}

impl Bank for Remote {
    fn execute(&self, command: Command) -> Outgoing<'_, Result<Answer, BankError>> {
        Box::pin(async move {
            let limits = Limits { total: self.time, body_bytes: COMMAND_BYTES, overflow: Overflow::Refuse };
            let body = Bytes::from(serde_json::to_vec(&command).expect("plain values"));
            read(self.transport.send(Request::post(self.commands.clone(), "application/json", body, limits)).await)
        })
    }
}

/// What goes wrong on the way, for tests of those who ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Every so many commands, one is carried out and its answer lost: the connection is closed instead. 0 for never.
    pub lose_answer_every: u64,
}

/// Serves a bank until the future is dropped or the listener fails.
pub async fn serve(listener: TcpListener, bank: Local, faults: Faults) -> io::Result<()> {
    let count = Arc::new(AtomicU64::new(0));
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream, bank.clone(), faults, Arc::clone(&count)));
    }
}

async fn connection(stream: TcpStream, bank: Local, faults: Faults, count: Arc<AtomicU64>) {
    let service = hyper::service::service_fn(|request| answer(request, &bank, faults, &count));
    // A client that went away is no concern of the bank.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

type Reply = hyper::Response<Full<Bytes>>;

fn reply(status: StatusCode, body: Vec<u8>) -> Reply {
    let mut reply = hyper::Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply
}

/// An error closes the connection without an answer.
async fn answer(
    request: hyper::Request<Incoming>,
    bank: &Local,
    faults: Faults,
    count: &AtomicU64,
) -> Result<Reply, BankError> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/v1/book") => {
            Ok(reply(StatusCode::OK, serde_json::to_vec(&bank.book()).expect("plain values")))
        }
        (&Method::POST, "/v1/commands") => {
            let body = Limited::new(request.into_body(), COMMAND_BYTES).collect().await;
            let body = body.map_err(|error| BankError(error.to_string()))?.to_bytes();
            let command: Command = match serde_json::from_slice(&body) {
                Ok(command) => command,
                Err(error) => return Ok(reply(StatusCode::BAD_REQUEST, error.to_string().into_bytes())),
            };
            let answer = bank.execute(command).await?;
            // Only a count: nothing is published by it.
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            if faults.lose_answer_every > 0 && number.is_multiple_of(faults.lose_answer_every) {
                return Err(BankError("the answer is lost on purpose".to_owned()));
            }
            Ok(reply(StatusCode::OK, serde_json::to_vec(&answer).expect("plain values")))
        }
        _ => Ok(reply(StatusCode::NOT_FOUND, Vec::new())),
    }
}
