//! One connection to the server: HTTP/1.1 with keep-alive, opened again when it breaks.
//!
//! Everything a run sends may safely be sent twice, so what got no answer, 429 or 503 is sent again a few times, as a careful customer
//! would. A request that stays without an answer is an error, and its outcome unknown.

use crate::http::{Common, Head, Malformed, NotVisible, Request, head};
use hyper::Uri;
use serde::Serialize;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, sleep_until};

/// How often a request is sent before it is given up; the pauses between come to six seconds, in which a server may restart.
const TRIES_MAX: u32 = 8;

/// The pause before the second try; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(50);

/// Room for an answer at first; most need no more.
const INBOX_BYTES: usize = 4096;

/// Where the server is and what opens it.
#[derive(Clone, Debug)]
pub struct Target {
    address: SocketAddr,
    common: Common,
    timeout: Duration,
}

/// Why a server cannot be a target.
#[derive(Debug, Error)]
pub enum TargetError {
    /// The text is no URL of this kind.
    #[error("the URL must be like http://127.0.0.1:8080, without a path")]
    Url,
    /// The name has no address.
    #[error("cannot find {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// Why not.
        source: io::Error,
    },
    /// A load test of somebody else's machine is easily an attack.
    #[error("{0} is not this machine; --allow-remote permits it, if the server is yours")]
    Remote(SocketAddr),
    /// The key cannot stand in a header.
    #[error("the key {0}")]
    Key(#[from] NotVisible),
}

impl Target {
    /// Looks the server up, once for all connections.
    pub fn resolve(
        url: &str,
        key: Option<&str>,
        allow_remote: bool,
        timeout: Duration,
    ) -> Result<Arc<Target>, TargetError> {
        let uri: Uri = url.parse().map_err(|_| TargetError::Url)?;
        let (Some("http"), Some(authority), "/") = (uri.scheme_str(), uri.authority(), uri.path()) else {
            return Err(TargetError::Url);
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let unresolved = |source| TargetError::Resolve { host: host.to_owned(), source };
        let mut addresses = (host, authority.port_u16().unwrap_or(80)).to_socket_addrs().map_err(unresolved)?;
        let address = addresses.next().ok_or_else(|| unresolved(io::Error::other("the name has no address")))?;
        if !allow_remote && !address.ip().is_loopback() {
            return Err(TargetError::Remote(address));
        }
        Ok(Arc::new(Target { address, common: Common::new(authority.as_str(), key)?, timeout }))
    }

    /// What all requests to it carry.
    pub const fn common(&self) -> &Common {
        &self.common
    }

    /// How long one try of a request may take.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// An answer, in the connection's own memory.
#[derive(Debug)]
pub struct Reply<'a> {
    /// Its status.
    pub status: u16,
    /// Its body, whole.
    pub body: &'a [u8],
    /// Whether the request was sent more than once.
    pub retried: bool,
}

impl<'a> Reply<'a> {
    /// The body of a success; any other answer is an error that shows how it begins.
    pub fn success(&self, what: &str) -> Result<&'a [u8], CallError> {
        if (200..300).contains(&self.status) { Ok(self.body) } else { Err(self.refused(what)) }
    }

    /// The error that this answer is.
    pub fn refused(&self, what: &str) -> CallError {
        let shown = String::from_utf8_lossy(&self.body[..self.body.len().min(400)]).into_owned();
        CallError::Refused { what: what.to_owned(), status: self.status, body: shown }
    }

    /// Reads the JSON of a success.
    pub fn json<T: serde::Deserialize<'a>>(&self, what: &str) -> Result<T, CallError> {
        serde_json::from_slice(self.success(what)?)
            .map_err(|source| CallError::Unreadable { what: what.to_owned(), source })
    }
}

/// Why a request failed.
#[derive(Debug, Error)]
pub enum CallError {
    /// No try got an answer.
    #[error("no answer in {tries} tries: {last}")]
    Unanswered {
        /// How often it was sent.
        tries: u32,
        /// What became of the last try.
        last: ConnectionError,
    },
    /// The server said no.
    #[error("{what}: {status} {body}")]
    Refused {
        /// The request.
        what: String,
        /// The answer.
        status: u16,
        /// How its body begins.
        body: String,
    },
    /// The answer is not what the API says.
    #[error("{what}: the answer cannot be read: {source}")]
    Unreadable {
        /// The request.
        what: String,
        /// Why not.
        source: serde_json::Error,
    },
}

/// Why a try got no answer.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// The connection broke, or never came to be.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What came is no answer.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The server ended the connection first.
    #[error("the connection was closed before the answer was whole")]
    Closed,
    /// More came than was asked for.
    #[error("the server sent more than the answer")]
    Surplus,
}

/// What passed over a connection.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Traffic {
    /// Requests, each counted once.
    pub requests: u64,
    /// Sendings beyond the first.
    pub retries: u64,
    /// Bytes of bodies sent, headers apart.
    pub body_bytes_sent: u64,
    /// Bytes of bodies received.
    pub body_bytes_received: u64,
}

impl Traffic {
    /// Adds another connection's.
    pub const fn add(&mut self, other: Traffic) {
        self.requests += other.requests;
        self.retries += other.retries;
        self.body_bytes_sent += other.body_bytes_sent;
        self.body_bytes_received += other.body_bytes_received;
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    target: Arc<Target>,
    stream: Option<TcpStream>,
    /// What was received; the answer being read begins at `begin`, and nothing is known behind `end`.
    inbox: Vec<u8>,
    begin: usize,
    end: usize,
    watchdog: Option<Watchdog>,
    traffic: Traffic,
}

impl Client {
    /// Connects with the first request.
    pub fn new(target: Arc<Target>) -> Self {
        let traffic = Traffic::default();
        Client { target, stream: None, inbox: vec![0; INBOX_BYTES], begin: 0, end: 0, watchdog: None, traffic }
    }

    /// What passed since this was last asked.
    pub const fn take_traffic(&mut self) -> Traffic {
        std::mem::replace(
            &mut self.traffic,
            Traffic { requests: 0, retries: 0, body_bytes_sent: 0, body_bytes_received: 0 },
        )
    }

    /// Opens the connection, so that the first request need not.
    pub async fn connect(&mut self) -> Result<(), CallError> {
        self.open().await.map_err(|last| CallError::Unanswered { tries: 1, last })
    }

    /// Sends a request until it is answered or given up.
    pub async fn send(&mut self, request: &Request) -> Result<Reply<'_>, CallError> {
        self.traffic.requests += 1;
        let (mut tries, mut pause) = (1, PAUSE_FIRST);
        let head = loop {
            let last = match self.try_once(request).await {
                Ok(head) if !matches!(head.status, 429 | 503) || tries == TRIES_MAX => break head,
                Ok(_) => None,
                Err(error) => {
                    self.stream = None;
                    Some(error)
                }
            };
            if let (Some(last), TRIES_MAX) = (last, tries) {
                return Err(CallError::Unanswered { tries, last });
            }
            self.traffic.retries += 1;
            sleep(pause).await;
            pause *= 2;
            tries += 1;
        };
        Ok(self.reply(head, tries > 1))
    }

    async fn try_once(&mut self, request: &Request) -> Result<Head, ConnectionError> {
        self.write(request.bytes()).await?;
        self.traffic.body_bytes_sent += request.body_bytes() as u64;
        let head = self.receive().await?;
        self.traffic.body_bytes_received += head.body_bytes as u64;
        if self.begin < self.end {
            return Err(ConnectionError::Surplus);
        }
        if !head.keep_alive {
            self.stream = None;
        }
        Ok(head)
    }

    /// Sends requests that only read, all at once, and hands their answers over in order; each is sent anew on its own if the connection
    /// breaks. Answers stay in the order of requests (RFC 9112, 9.3.2).
    pub async fn pipeline(
        &mut self,
        requests: &[Request],
        mut each: impl FnMut(usize, &Reply<'_>) -> Result<(), CallError>,
    ) -> Result<(), CallError> {
        let all = requests.iter().flat_map(Request::bytes).copied().collect::<Vec<u8>>();
        let mut answered = 0;
        let mut open = self.write(&all).await.is_ok();
        while open && answered < requests.len() {
            match self.receive().await {
                Ok(head) if !matches!(head.status, 429 | 503) => {
                    each(answered, &self.reply(head, false))?;
                    answered += 1;
                    open = head.keep_alive;
                }
                _ => open = false,
            }
        }
        if !open || self.begin < self.end {
            self.stream = None;
        }
        for (index, request) in requests.iter().enumerate().skip(answered) {
            each(index, &self.send(request).await?)?;
        }
        Ok(())
    }

    fn reply(&self, head: Head, retried: bool) -> Reply<'_> {
        Reply { status: head.status, body: &self.inbox[self.begin - head.body_bytes..self.begin], retried }
    }

    /// Writes to the connection, which is opened if need be. The answer's time begins here.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        if self.stream.is_none() {
            self.open().await?;
        }
        let (Some(stream), Some(watchdog)) = (&mut self.stream, &mut self.watchdog) else {
            unreachable!("the connection is open")
        };
        watchdog.deadline = Instant::now() + self.target.timeout;
        (self.begin, self.end) = (0, 0);
        Ok(watchdog.guard(stream.write_all(bytes)).await?)
    }

    /// Receives one answer whole; its body then ends at `begin`.
    async fn receive(&mut self) -> Result<Head, ConnectionError> {
        let mut known = None;
        loop {
            if known.is_none() {
                known = head(&self.inbox[self.begin..self.end])?;
            }
            let wanted = known.map_or(self.end + 1, |head| self.begin + head.head_bytes + head.body_bytes);
            if let Some(head) = known.filter(|_| wanted <= self.end) {
                self.begin = wanted;
                return Ok(head);
            }
            if self.inbox.len() < wanted {
                self.inbox.resize(wanted.max(2 * self.inbox.len()), 0);
            }
            let (Some(stream), Some(watchdog)) = (&mut self.stream, &mut self.watchdog) else {
                return Err(ConnectionError::Closed);
            };
            match watchdog.guard(stream.read(&mut self.inbox[self.end..])).await? {
                0 => return Err(ConnectionError::Closed),
                count => self.end += count,
            }
        }
    }

    async fn open(&mut self) -> Result<(), ConnectionError> {
        let watchdog = self.watchdog.insert(Watchdog::new(self.target.timeout));
        let stream = watchdog.guard(TcpStream::connect(self.target.address)).await?;
        stream.set_nodelay(true)?;
        self.stream = Some(stream);
        Ok(())
    }
}

/// Ends what takes too long. Deadlines only ever move on, so one timer serves all requests of a connection: it is set again when it goes
/// off too early, about once in a timeout, where a timer for each request would cost more than the rest of a small request.
#[derive(Debug)]
struct Watchdog {
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Watchdog {
    fn new(timeout: Duration) -> Self {
        let deadline = Instant::now() + timeout;
        Watchdog { deadline, timer: Box::pin(sleep_until(deadline.into())) }
    }

    async fn guard<T>(&mut self, io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let mut io = pin!(io);
        std::future::poll_fn(|context| match io.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => self.poll(context).map(|()| Err(io::ErrorKind::TimedOut.into())),
        })
        .await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            if Instant::now() >= self.deadline {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.deadline.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    fn resolved(url: &str, allow_remote: bool) -> Result<Arc<Target>, TargetError> {
        Target::resolve(url, Some("k"), allow_remote, Duration::from_secs(1))
    }

    #[test]
    fn only_this_machine_is_a_target_unless_told_otherwise() {
        assert!(resolved("http://127.0.0.1:8080", false).is_ok());
        assert!(resolved("http://[::1]:8080/", false).is_ok());
        assert!(matches!(resolved("http://192.0.2.1:8080", false), Err(TargetError::Remote(_))));
        assert!(resolved("http://192.0.2.1:8080", true).is_ok());
        for wrong in ["https://127.0.0.1", "127.0.0.1:8080", "http://127.0.0.1/v1", ""] {
            assert!(matches!(resolved(wrong, true), Err(TargetError::Url)), "{wrong}");
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        let target = resolved("http://127.0.0.1:1", false).expect("a target");
        assert!(!format!("{target:?}").contains("Bearer"));
    }

    /// A server that reads each request and answers with the next script's pieces, one write each; an empty script closes the connection.
    fn scripted(scripts: Vec<Vec<String>>) -> Arc<Target> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        thread::spawn(move || {
            let mut connection = None;
            for script in scripts {
                let mut stream = connection.take().unwrap_or_else(|| listener.accept().expect("a client").0);
                let _ = stream.set_nodelay(true);
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).expect("a request");
                    request.push(byte[0]);
                }
                for piece in &script {
                    stream.write_all(piece.as_bytes()).expect("a client that reads");
                    // So that pieces arrive one by one; were they to arrive together, the test would only show less.
                    thread::sleep(Duration::from_millis(1));
                }
                connection = (!script.is_empty()).then_some(stream);
            }
            // Answers that never end are for the client to end.
            thread::sleep(Duration::from_secs(3));
        });
        Target::resolve(&url, None, false, Duration::from_secs(1)).expect("this machine")
    }

    fn answer(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    fn pieces(text: &str) -> Vec<String> {
        text.chars().map(String::from).collect()
    }

    #[tokio::test]
    async fn answers_may_come_byte_by_byte_and_connections_may_break() {
        let long = "long ".repeat(INBOX_BYTES);
        let target = scripted(vec![
            pieces(&answer("first")),
            vec![],
            vec![answer(&long)],
            vec![answer("close").replace("200 OK", "200 OK\r\nconnection: close")],
        ]);
        let get = Request::get(target.common(), "/");
        let mut client = Client::new(target);
        let reply = client.send(&get).await.expect("an answer");
        assert_eq!((reply.status, reply.body, reply.retried), (200, &b"first"[..], false));
        let reply = client.send(&get).await.expect("an answer to the second try");
        assert_eq!((reply.body, reply.retried), (long.as_bytes(), true));
        assert_eq!(client.send(&get).await.expect("an answer").body, b"close");
        assert!(client.stream.is_none());
        let traffic = client.take_traffic();
        assert_eq!((traffic.requests, traffic.retries), (3, 1));
    }

    #[tokio::test]
    async fn an_answer_that_does_not_end_is_given_up_in_time() {
        let unended = answer("never whole").replace("11", "12");
        let target = scripted(vec![vec![unended], vec![]]);
        let mut client = Client::new(Arc::clone(&target));
        let begin = Instant::now();
        let outcome = client.try_once(&Request::get(target.common(), "/")).await;
        assert!(matches!(outcome, Err(ConnectionError::Io(error)) if error.kind() == io::ErrorKind::TimedOut));
        assert!(begin.elapsed() >= target.timeout());
    }

    #[tokio::test]
    async fn more_than_the_answer_is_an_error() {
        let target = scripted(vec![vec![answer("one") + "more"]]);
        let mut client = Client::new(Arc::clone(&target));
        let outcome = client.try_once(&Request::get(target.common(), "/")).await;
        assert!(matches!(outcome, Err(ConnectionError::Surplus)));
    }

    #[tokio::test]
    async fn pipelined_answers_come_in_order_and_the_rest_is_asked_for_again() {
        // The third request meets a closed connection and is sent anew, with all that follow.
        let target =
            scripted(vec![vec![answer("0")], pieces(&answer("1")), vec![], vec![answer("2")], vec![answer("3")]]);
        let requests: Vec<_> = (0..4).map(|index| Request::get(target.common(), &format!("/{index}"))).collect();
        let mut seen = Vec::new();
        let mut client = Client::new(target);
        let each = |index, reply: &Reply<'_>| {
            seen.push((index, reply.body.to_vec()));
            Ok(())
        };
        client.pipeline(&requests, each).await.expect("all are answered");
        let expected: Vec<_> = (0..4).map(|index| (index, index.to_string().into_bytes())).collect();
        assert_eq!(seen, expected);
    }
}
