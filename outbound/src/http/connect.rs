//! Connections: resolve, check, connect to what was checked, TLS.

use super::{AddressPolicy, Resolve, SendError};
use hyper::Uri;
use hyper::rt::ReadBufCursor;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Of a name's addresses so many are tried.
const ADDRESSES_TRIED: usize = 4;

/// Makes connections; hyper's pool calls it with the URL of a request.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) policy: Arc<AddressPolicy>,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) time: Duration,
}

/// Carries a [`SendError`] through hyper's error type, and gives it back.
pub(super) struct Failed(Mutex<Option<SendError>>);

impl Failed {
    pub(super) fn take(&self) -> Option<SendError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl From<SendError> for Failed {
    fn from(error: SendError) -> Self {
        Failed(Mutex::new(Some(error)))
    }
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failed")
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection")
    }
}

impl std::error::Error for Failed {}

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Failed>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let time = connector.time;
            let made = tokio::time::timeout(time, connector.connect(&url)).await;
            Ok(made.map_err(|_| SendError::ConnectTimeout(time))??)
        })
    }
}

impl Connector {
    async fn connect(&self, url: &Uri) -> Result<Stream, SendError> {
        let host = url.host().unwrap_or_default();
        let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let secure = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = self.tcp(name, port).await?;
        if !secure {
            return Ok(Stream::Plain(TokioIo::new(tcp)));
        }
        let server = ServerName::try_from(name.to_owned()).map_err(|error| SendError::Tls(error.to_string()))?;
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(server, tcp).await;
        let tls = tls.map_err(|error| SendError::Tls(error.to_string()))?;
        Ok(Stream::Tls(Box::new(TokioIo::new(tls))))
    }

    /// Connects to the first address that may be reached and answers.
    async fn tcp(&self, name: &str, port: u16) -> Result<TcpStream, SendError> {
        let mut failed = None;
        for address in self.addresses(name).await?.into_iter().take(ADDRESSES_TRIED) {
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(stream) => {
                    // Requests are small and written whole: waiting for more would only delay them.
                    stream.set_nodelay(true).map_err(|source| SendError::Connect { address, source })?;
                    return Ok(stream);
                }
                Err(source) => failed = Some(SendError::Connect { address, source }),
            }
        }
        Err(failed.expect("addresses() gives at least one, or an error"))
    }

    /// The addresses of a name that may be reached: at least one.
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, SendError> {
        let found = match name.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self
                .resolver
                .resolve(name)
                .await
                .map_err(|source| SendError::Resolve { name: name.to_owned(), source })?,
        };
        let Some(first) = found.first().copied() else {
            let source = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            return Err(SendError::Resolve { name: name.to_owned(), source });
        };
        let allowed: Vec<IpAddr> = found.into_iter().filter(|address| self.policy.check(*address).is_ok()).collect();
        match self.policy.check(first) {
            Err(special) if allowed.is_empty() => {
                Err(SendError::AddressRefused { name: name.to_owned(), address: first, special })
            }
            _ => Ok(allowed),
        }
    }
}

/// A connection, plain or TLS.
pub(super) enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
