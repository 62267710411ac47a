//! HTTP/1.1 as bytes: requests that are written once and sent often, and the heads of answers.
//!
//! No general client: it speaks to one server at a time, knows bodies of announced length only, and refuses what it does not know. In
//! return a request costs the generator little beside the system calls, which a server on the same cores would otherwise pay for.

use thiserror::Error;

/// Bytes of an answer's head at most.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Bytes of an answer's body at most.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Digits of a request's length; it is padded in front with spaces, which the grammar allows there.
const LENGTH_WIDTH: usize = 8;

/// What all requests to a server carry.
#[derive(Clone)]
pub struct Common {
    /// `Host`, and `Authorization` if there is a key: whole lines.
    lines: String,
}

/// A header value that is no visible ASCII.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("is not visible ASCII")]
pub struct NotVisible;

impl Common {
    /// For a host, with a key if it wants one.
    pub fn new(host: &str, key: Option<&str>) -> Result<Self, NotVisible> {
        let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible(host) || !key.is_none_or(visible) {
            return Err(NotVisible);
        }
        let authorization = key.map_or_else(String::new, |key| format!("authorization: Bearer {key}\r\n"));
        Ok(Common { lines: format!("host: {host}\r\n{authorization}") })
    }
}

/// The key stays out of what people see.
impl std::fmt::Debug for Common {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Common").finish_non_exhaustive()
    }
}

/// A request, as it goes over the connection. Its body may be replaced.
#[derive(Clone)]
pub struct Request {
    bytes: Vec<u8>,
    /// Where the body begins.
    body_at: usize,
}

impl Request {
    /// Reads.
    pub fn get(common: &Common, path: &str) -> Self {
        let bytes = format!("GET {path} HTTP/1.1\r\n{}\r\n", common.lines).into_bytes();
        Request { body_at: bytes.len(), bytes }
    }

    /// Sends a body, empty at first, with further headers.
    pub fn post(common: &Common, path: &str, content_type: &str, headers: &[(&str, &str)]) -> Self {
        Self::with_body(common, "POST", path, content_type, headers)
    }

    /// Writes JSON to an address.
    pub fn put(common: &Common, path: &str, json: &str) -> Self {
        let mut request = Self::with_body(common, "PUT", path, "application/json", &[]);
        request.fill(|body| body.extend_from_slice(json.as_bytes()));
        request
    }

    fn with_body(common: &Common, method: &str, path: &str, content_type: &str, headers: &[(&str, &str)]) -> Self {
        let mut head = format!("{method} {path} HTTP/1.1\r\n{}content-type: {content_type}\r\n", common.lines);
        for (name, value) in headers {
            head.extend([*name, ": ", *value, "\r\n"]);
        }
        // The length stands last, so that its place follows from the body's.
        head.extend(["content-length: ", &" ".repeat(LENGTH_WIDTH - 1), "0\r\n\r\n"]);
        let bytes = head.into_bytes();
        Request { body_at: bytes.len(), bytes }
    }

    /// Replaces the body by what `write` appends.
    pub fn fill(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.truncate(self.body_at);
        write(&mut self.bytes);
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(self.body_bytes()).as_bytes();
        assert!(digits.len() <= LENGTH_WIDTH, "a body is shorter than 100 MB");
        let end = self.body_at - b"\r\n\r\n".len();
        let field = &mut self.bytes[end - LENGTH_WIDTH..end];
        let (padding, length) = field.split_at_mut(LENGTH_WIDTH - digits.len());
        padding.fill(b' ');
        length.copy_from_slice(digits);
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its body's length.
    pub const fn body_bytes(&self) -> usize {
        self.bytes.len() - self.body_at
    }
}

/// It may hold the key.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("body_bytes", &self.body_bytes()).finish_non_exhaustive()
    }
}

/// What the head of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its status.
    pub status: u16,
    /// Bytes of the head, and of what goes before it.
    pub head_bytes: usize,
    /// Bytes of the body that follows.
    pub body_bytes: usize,
    /// Whether the server keeps the connection open.
    pub keep_alive: bool,
}

/// Why bytes are no answer that this client understands.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// The first line is no status line of HTTP/1.
    #[error("the answer is not HTTP/1.1")]
    StatusLine,
    /// A line of the head is no header.
    #[error("a line of the answer's head is no header")]
    Header,
    /// The head does not end.
    #[error("the answer's head is longer than {HEAD_BYTES_MAX} bytes")]
    LongHead,
    /// The body is longer than anything the API answers.
    #[error("the answer's body is longer than {BODY_BYTES_MAX} bytes")]
    LongBody,
    /// A coding, or no length at all.
    #[error("the answer's body has no content-length")]
    NoLength,
    /// The length is no number, or there are several.
    #[error("the answer's content-length is wrong")]
    Length,
}

/// Reads the head at the beginning of `bytes`; `None` if it has not arrived whole.
pub fn head(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let mut begin = 0;
    loop {
        let Some(head) = one_head(&bytes[begin..])? else { return Ok(None) };
        let head = Head { head_bytes: begin + head.head_bytes, ..head };
        if head.status >= 200 {
            return Ok(Some(head));
        }
        // An interim answer: the one that counts follows.
        begin = head.head_bytes;
    }
}

fn one_head(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let (mut status, mut length, mut keep_alive, mut coded, mut at) = (None, None, true, false, 0);
    // HTTP's lines end by CR LF; a lone LF is accepted, as RFC 9112 advises.
    while let Some(end) = bytes[at..].iter().position(|&byte| byte == b'\n') {
        let line = &bytes[at..at + end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        at += end + 1;
        let Some(status) = status else {
            status = Some(status_line(line)?);
            continue;
        };
        if line.is_empty() {
            let has_body = status >= 200 && status != 204 && status != 304;
            let body_bytes = match length {
                _ if !has_body => 0,
                _ if coded => return Err(Malformed::NoLength),
                Some(bytes) if bytes > BODY_BYTES_MAX => return Err(Malformed::LongBody),
                Some(bytes) => bytes,
                None => return Err(Malformed::NoLength),
            };
            return Ok(Some(Head { status, head_bytes: at, body_bytes, keep_alive }));
        }
        let colon = line.iter().position(|&byte| byte == b':').ok_or(Malformed::Header)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // Lengths first: a comparison of text for every header would cost more than the rest.
        match name.len() {
            // Two lengths are a way to smuggle an answer into another.
            14 if name.eq_ignore_ascii_case(b"content-length") => match length {
                None => length = Some(number(value)?),
                Some(_) => return Err(Malformed::Length),
            },
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => coded = true,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                keep_alive = !value.split(|&byte| byte == b',').any(|option| option.trim_ascii() == b"close");
            }
            _ => {}
        }
    }
    if bytes.len() > HEAD_BYTES_MAX { Err(Malformed::LongHead) } else { Ok(None) }
}

fn status_line(line: &[u8]) -> Result<u16, Malformed> {
    let rest = line.strip_prefix(b"HTTP/1.1 ").ok_or(Malformed::StatusLine)?;
    match rest {
        [a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', tail @ ..] if tail.is_empty() || tail[0] == b' ' => {
            Ok([a, b, c].iter().fold(0, |status, &&digit| status * 10 + u16::from(digit - b'0')))
        }
        _ => Err(Malformed::StatusLine),
    }
}

fn number(value: &[u8]) -> Result<usize, Malformed> {
    if !(1..=15).contains(&value.len()) {
        return Err(Malformed::Length);
    }
    value.iter().try_fold(0, |number, &digit| match digit {
        b'0'..=b'9' => Ok(number * 10 + usize::from(digit - b'0')),
        _ => Err(Malformed::Length),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_how_long_its_body_is() {
        let common = Common::new("127.0.0.1:1", Some("k")).expect("visible");
        let mut request = Request::post(&common, "/v1/events", "text/plain", &[("prefer", "return=minimal")]);
        for body in ["twelve bytes", "", "0123456789"] {
            request.fill(|out| out.extend_from_slice(body.as_bytes()));
            let text = std::str::from_utf8(request.bytes()).expect("ASCII");
            let (head, rest) = text.split_once("\r\n\r\n").expect("the head ends");
            assert_eq!(rest, body);
            let lines: Vec<&str> = head.split("\r\n").collect();
            assert_eq!(lines[..3], ["POST /v1/events HTTP/1.1", "host: 127.0.0.1:1", "authorization: Bearer k"]);
            assert_eq!(lines[3..5], ["content-type: text/plain", "prefer: return=minimal"]);
            let length = lines[5].strip_prefix("content-length:").expect("it comes last").trim();
            assert_eq!(length, body.len().to_string());
        }
        assert_eq!(Common::new("h", Some("a\r\nb")).err(), Some(NotVisible));
        assert!(!format!("{common:?} {request:?}").contains("Bearer"));
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "what is expected is written where it is passed")]
    fn check(text: &str, expected: Result<Option<(u16, usize, bool)>, Malformed>) {
        let read = head(text.as_bytes());
        assert_eq!(
            read.map(|head| head.map(|head| (head.status, head.body_bytes, head.keep_alive))),
            expected,
            "{text:?}"
        );
    }

    #[test]
    fn heads_are_read() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n", Ok(Some((200, 12, true))));
        check(
            "HTTP/1.1 402\r\nX: y\r\nContent-Length:0\r\nConnection: Keep-Alive, close\r\n\r\n",
            Ok(Some((402, 0, false))),
        );
        check("HTTP/1.1 204 No Content\r\n\r\n", Ok(Some((204, 0, true))));
        check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", Ok(Some((200, 3, true))));
        check("HTTP/1.1 100 Continue\r\n\r\n", Ok(None));
        check("HTTP/1.1 200 OK\ncontent-length: 1\n\n", Ok(Some((200, 1, true))));
    }

    #[test]
    fn a_head_is_read_when_it_is_whole_and_not_before() {
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
        for cut in 0..whole.len() {
            check(&whole[..cut], Ok(None));
        }
        let read = head(format!("{whole}{{}}HTTP/1.1").as_bytes());
        assert_eq!(read.map(|head| head.map(|head| head.head_bytes)), Ok(Some(whole.len())));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        check("HTTP/2 200\r\n", Err(Malformed::StatusLine));
        check("HTTP/1.1 2000 OK\r\n", Err(Malformed::StatusLine));
        check("HTTP/1.1 200 OK\r\nno header\r\n", Err(Malformed::Header));
        check("HTTP/1.1 200 OK\r\n\r\n", Err(Malformed::NoLength));
        check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Err(Malformed::NoLength));
        check("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n", Err(Malformed::Length));
        for wrong in ["-1", "1x", "", "9999999999999999"] {
            check(&format!("HTTP/1.1 200 OK\r\ncontent-length: {wrong}\r\n\r\n"), Err(Malformed::Length));
        }
        check("HTTP/1.1 200 OK\r\ncontent-length: 999999999999999\r\n\r\n", Err(Malformed::LongBody));
        check(&"x".repeat(HEAD_BYTES_MAX + 1), Err(Malformed::LongHead));
    }
}
