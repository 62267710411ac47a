//! A blocking HTTP client that can tell an answer from none.

use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// After this a server that does not answer counts as hung, and the test fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `Idempotency-Replayed: true`.
    pub(crate) replayed: bool,
    /// The server will close the connection.
    pub(crate) closes: bool,
    /// Seconds after which to try again, if the server says so.
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub(crate) fn success(self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.body);
        self.body
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the server takes connections");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Client { stream: BufReader::new(stream) }
    }

    /// Sends a request and reads the whole answer; an error means that there was none.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        let body = body.map_or_else(String::new, Value::to_string);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: crash\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.answer().inspect_err(|error| {
            let hung = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            assert!(!hung, "no answer to {method} {path} within {PATIENCE:?}");
        })
    }

    /// Asks a server that is not about to be killed.
    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Value {
        self.ask("GET", path, None).expect("an answer").success()
    }

    /// Asks a server that is not about to be killed.
    #[track_caller]
    pub(crate) fn send(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        self.ask(method, path, Some(body)).expect("an answer")
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {status_line:?}"));
        let (mut length, mut replayed, mut closes, mut retry_after) = (0, false, false, None);
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            match (name.to_ascii_lowercase().as_str(), value.trim()) {
                ("content-length", value) => length = value.parse().expect("a length"),
                ("idempotency-replayed", "true") => replayed = true,
                ("connection", "close") => closes = true,
                ("retry-after", value) => retry_after = Some(value.parse().expect("seconds")),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let body = match body.first() {
            None => Value::Null,
            Some(b'{' | b'[') => serde_json::from_slice(&body).expect("the body is JSON"),
            Some(_) => Value::String(String::from_utf8(body).expect("text")),
        };
        Ok(Answer { status, replayed, closes, retry_after, body })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(whole) => Ok(whole.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
