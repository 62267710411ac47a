//! A client of the server: one connection, JSON there and back.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Content type of most bodies.
pub(super) const JSON: &str = "application/json";

/// Content type of batches of usage events.
pub(super) const CLOUD_EVENTS: &str = "application/cloudevents-batch+json";

/// Content type of what a page sends.
const FORM: &str = "application/x-www-form-urlencoded";

/// Why a request gave no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The server cannot be reached.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where it should be.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The connection broke.
    #[error("{path}: {source}")]
    Connection {
        /// The request's path.
        path: String,
        /// What happened.
        source: hyper::Error,
    },
    /// The server said no.
    #[error("{path}: {status}: {body}")]
    Refused {
        /// The request's path.
        path: String,
        /// The answer's status.
        status: StatusCode,
        /// The answer's body.
        body: String,
    },
    /// The answer is not what the contract says.
    #[error("{path}: the answer cannot be read: {detail}")]
    Unreadable {
        /// The request's path.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
}

/// A connection. Requests go one after another.
#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

/// A list of the API.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    pub(super) next_cursor: Option<String>,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Result<Client, ClientError> {
        let stream = TcpStream::connect(address).await.map_err(|source| ClientError::Connect { address, source })?;
        stream.set_nodelay(true).map_err(|source| ClientError::Connect { address, source })?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|source| ClientError::Connection { path: "/".to_owned(), source })?;
        // It ends when the sender is dropped; what goes wrong with it is told to the request that is under way.
        tokio::spawn(connection);
        Ok(Client { address, sender })
    }

    pub(super) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, ClientError> {
        let answer = self.send(Method::GET, path, None).await?;
        read(path, &answer)
    }

    pub(super) async fn put(&mut self, path: &str, body: &Value) -> Result<(), ClientError> {
        self.send(Method::PUT, path, Some((JSON, body.to_string().into_bytes()))).await.map(drop)
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        media: &'static str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        let answer = self.send(Method::POST, path, Some((media, body))).await?;
        read(path, &answer)
    }

    /// Posts a form, as a browser does. What leads on to another page is success.
    pub(super) async fn post_form(&mut self, path: &str, form: &'static str) -> Result<(), ClientError> {
        self.send(Method::POST, path, Some((FORM, form.as_bytes().to_vec()))).await.map(drop)
    }

    pub(super) async fn delete(&mut self, path: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, path, None).await.map(drop)
    }

    /// The body of a successful answer.
    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Vec<u8>)>,
    ) -> Result<Bytes, ClientError> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.address.to_string());
        if let Some((media, _)) = &body {
            request = request.header(CONTENT_TYPE, *media);
        }
        let body = Full::from(body.map_or_else(Vec::new, |(_, body)| body));
        let request = request.body(body).expect("the demo's paths need no encoding");
        let broken = |source| ClientError::Connection { path: path.to_owned(), source };
        self.sender.ready().await.map_err(broken)?;
        let response = self.sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
        if status.is_success() || status == StatusCode::SEE_OTHER {
            return Ok(body);
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Err(ClientError::Refused { path: path.to_owned(), status, body })
    }
}

fn read<T: DeserializeOwned>(path: &str, answer: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(answer).map_err(|error| unreadable(path, error.to_string()))
}

/// An answer that is not what the contract says.
pub(super) fn unreadable(path: &str, detail: impl Into<String>) -> ClientError {
    ClientError::Unreadable { path: path.to_owned(), detail: detail.into() }
}
