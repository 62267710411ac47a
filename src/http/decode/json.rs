//! A pull reader over JSON text that never turns a number into a float and borrows every string it can.
//!
//! It exists because the hot path needs three things together that no general parser gives at once: numbers as their exact text,
//! errors that name the byte, and strings borrowed from the body. It walks the text once, holds no tree, and validates what it
//! skips as strictly as what it reads.
//!
//! Guarantees:
//! 1. Only RFC 8259 JSON is accepted; what the reader skips is checked too.
//! 2. Nesting deeper than [`MAX_DEPTH`] is refused, and skipping uses no recursion.
//! 3. A string comes back borrowed from the text, or, when it has escapes, from the arena.

use bumpalo::Bump;

/// How deep values may nest, the outermost counted.
pub(crate) const MAX_DEPTH: u32 = 64;

/// What is wrong with a body, and where. Boxed, so that the results of reading stay as small as what is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault(Box<FaultParts>);

/// The parts of a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FaultParts {
    /// Byte offset in the body.
    pub(crate) at: usize,
    /// The offending field, when the text is well-formed but the field is not.
    pub(crate) field: Option<&'static str>,
    /// For people.
    pub(crate) what: &'static str,
}

impl Fault {
    /// The text is not JSON at this byte.
    #[cold]
    pub(crate) fn syntax(at: usize, what: &'static str) -> Self {
        Self(Box::new(FaultParts { at, field: None, what }))
    }

    /// The text is JSON, but this field cannot be used.
    #[cold]
    pub(crate) fn field(at: usize, field: &'static str, what: &'static str) -> Self {
        Self(Box::new(FaultParts { at, field: Some(field), what }))
    }

    /// Its parts.
    pub(crate) fn parts(&self) -> FaultParts {
        *self.0
    }
}

/// The kind of the value that comes next, told by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `"..."`
    Text,
    /// `-1.5e3`
    Number,
    /// `{...}`
    Object,
    /// `[...]`
    Array,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

/// Reads one JSON text from front to back.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    arena: &'a Bump,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `text`; strings with escapes are unescaped into `arena`.
    pub(crate) const fn new(text: &'a str, arena: &'a Bump) -> Self {
        Self { text, at: 0, depth: 0, arena }
    }

    /// The byte that is read next.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    #[inline]
    fn peek_byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not white space, which stays unread; 0 at the end of the text, as for a NUL, which no JSON has outside
    /// strings.
    #[inline]
    pub(crate) fn token(&mut self) -> u8 {
        match self.peek_byte() {
            Some(byte) if byte > b' ' => byte,
            Some(_) => self.token_behind_space(),
            None => 0,
        }
    }

    fn token_behind_space(&mut self) -> u8 {
        self.skip_space();
        self.peek_byte().unwrap_or(0)
    }

    /// Passes over white space.
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek_byte() {
            self.at += 1;
        }
    }

    /// Passes over white space and tells whether the text ends there.
    pub(crate) fn at_end(&mut self) -> bool {
        self.skip_space();
        self.at == self.text.len()
    }

    /// Refuses anything but white space up to the end.
    pub(crate) fn finish(&mut self) -> Result<(), Fault> {
        if self.at_end() {
            Ok(())
        } else {
            Err(Fault::syntax(self.at, "unexpected bytes after the end of the JSON value"))
        }
    }

    /// Refuses anything but blanks up to the end of the line.
    pub(crate) fn end_line(&mut self) -> Result<(), Fault> {
        while let Some(b' ' | b'\t' | b'\r') = self.peek_byte() {
            self.at += 1;
        }
        match self.peek_byte() {
            None | Some(b'\n') => Ok(()),
            Some(_) => Err(Fault::syntax(self.at, "expected the end of the line after an event")),
        }
    }

    /// Goes back to `at`, where an object of the present depth began that is still open.
    pub(crate) fn rewind(&mut self, at: usize) {
        self.at = at;
        self.depth -= 1;
    }

    /// The kind of the next value, which stays unread.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<Kind, Fault> {
        match self.token() {
            b'"' => Ok(Kind::Text),
            b'-' | b'0'..=b'9' => Ok(Kind::Number),
            b'{' => Ok(Kind::Object),
            b'[' => Ok(Kind::Array),
            b't' | b'f' => Ok(Kind::Bool),
            b'n' => Ok(Kind::Null),
            _ => Err(self.no_value()),
        }
    }

    #[cold]
    pub(crate) fn no_value(&self) -> Fault {
        if self.at < self.text.len() {
            Fault::syntax(self.at, "expected a JSON value")
        } else {
            Fault::syntax(self.at, "the JSON text ends where a value is expected")
        }
    }

    /// The fault of a text that has something else here than it should, or nothing at all.
    #[cold]
    fn unexpected(&self, expected: &'static str, at_end: &'static str) -> Fault {
        Fault::syntax(self.at, if self.at < self.text.len() { expected } else { at_end })
    }

    fn enter(&mut self) -> Result<(), Fault> {
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(Fault::syntax(self.at, "JSON is nested too deeply")) } else { Ok(()) }
    }

    /// Enters an object or array whose kind was peeked.
    pub(crate) fn open(&mut self) -> Result<(), Fault> {
        self.enter()
    }

    /// The next key of the open object, its colon passed; `None` when the object has ended.
    #[inline]
    pub(crate) fn next_key(&mut self, first: &mut bool) -> Result<Option<&'a str>, Fault> {
        let mut token = self.token();
        if token == b'}' {
            self.at += 1;
            self.depth -= 1;
            return Ok(None);
        }
        if !*first {
            if token != b',' {
                return Err(self.unexpected("expected ',' or '}'", "the JSON text ends inside an object"));
            }
            self.at += 1;
            token = self.token();
        }
        *first = false;
        if token != b'"' {
            return Err(self.unexpected("expected a key in double quotes", "the JSON text ends inside an object"));
        }
        let key = self.text()?;
        if self.token() != b':' {
            return Err(Fault::syntax(self.at, "expected ':'"));
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether the open array has another element; its comma, or the closing bracket, is passed.
    #[inline]
    pub(crate) fn next_element(&mut self, first: &mut bool) -> Result<bool, Fault> {
        match self.token() {
            b']' => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            b',' if !*first => {
                self.at += 1;
                Ok(true)
            }
            0 if self.at == self.text.len() => Err(Fault::syntax(self.at, "the JSON text ends inside an array")),
            _ if *first => {
                *first = false;
                Ok(true)
            }
            _ => Err(Fault::syntax(self.at, "expected ',' or ']'")),
        }
    }

    /// Reads the string that starts here.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str, Fault> {
        let start = self.at + 1;
        let end = self.plain_end(start);
        match self.text.as_bytes().get(end) {
            Some(b'"') => {
                self.at = end + 1;
                Ok(&self.text[start..end])
            }
            Some(b'\\') => self.escaped_text(start),
            Some(_) => Err(Fault::syntax(end, "control characters in strings must be escaped")),
            None => Err(Fault::syntax(end, "the JSON text ends inside a string")),
        }
    }

    /// The first byte from `from` on that is a quote, a backslash or a control character, sixteen bytes at a time.
    #[inline]
    fn plain_end(&self, from: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = from;
        while let Some(chunk) = bytes[at..].first_chunk::<16>() {
            if let Some(place) = first_stop(chunk) {
                return at + place;
            }
            at += 16;
        }
        while bytes.get(at).is_some_and(|&byte| !is_stop(byte)) {
            at += 1;
        }
        at
    }

    #[cold]
    fn escaped_text(&mut self, start: usize) -> Result<&'a str, Fault> {
        let mut out = bumpalo::collections::String::new_in(self.arena);
        let mut at = start;
        loop {
            let end = self.plain_end(at);
            out.push_str(&self.text[at..end]);
            match self.text.as_bytes().get(end) {
                Some(b'"') => {
                    self.at = end + 1;
                    return Ok(out.into_bump_str());
                }
                Some(b'\\') => {
                    let (unescaped, next) = self.escape(end)?;
                    out.push(unescaped);
                    at = next;
                }
                Some(_) => return Err(Fault::syntax(end, "control characters in strings must be escaped")),
                None => return Err(Fault::syntax(end, "the JSON text ends inside a string")),
            }
        }
    }

    /// The character behind the escape that starts at `at`, and where it ends.
    fn escape(&self, at: usize) -> Result<(char, usize), Fault> {
        let plain = match self.text.as_bytes().get(at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(at),
            _ => return Err(Fault::syntax(at, "unknown escape in a string")),
        };
        Ok((plain, at + 2))
    }

    fn unicode_escape(&self, at: usize) -> Result<(char, usize), Fault> {
        const LONE: &str = "an escaped surrogate stands alone";
        let high = self.hex4(at + 2)?;
        if let Some(plain) = char::from_u32(high) {
            return Ok((plain, at + 6));
        }
        if high >= 0xDC00 || self.text.as_bytes().get(at + 6..at + 8) != Some(b"\\u") {
            return Err(Fault::syntax(at, LONE));
        }
        let low = self.hex4(at + 8)?;
        if !(0xDC00..=0xDFFF).contains(&low) {
            return Err(Fault::syntax(at, LONE));
        }
        let joined = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        char::from_u32(joined).map(|joined| (joined, at + 12)).ok_or_else(|| Fault::syntax(at, LONE))
    }

    fn hex4(&self, at: usize) -> Result<u32, Fault> {
        let digits = self.text.as_bytes().get(at..at + 4).ok_or_else(|| Fault::syntax(at, "an escape is cut short"))?;
        let mut value = 0;
        for &digit in digits {
            let digit = (digit as char)
                .to_digit(16)
                .ok_or_else(|| Fault::syntax(at, "an escape needs four hexadecimal digits"))?;
            value = value << 4 | digit;
        }
        Ok(value)
    }

    /// Reads the number that starts here, as its text.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        if self.peek_byte() == Some(b'-') {
            self.at += 1;
        }
        let first = self.peek_byte();
        self.digits()?;
        if first == Some(b'0') && self.at > start + 1 + usize::from(self.text.as_bytes()[start] == b'-') {
            return Err(Fault::syntax(start, "a number must not start with a superfluous 0"));
        }
        if self.peek_byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek_byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek_byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek_byte() {
            self.at += 1;
        }
        if self.at == start { Err(Fault::syntax(start, "expected a digit")) } else { Ok(()) }
    }

    /// Reads `true`, `false` or `null`, whichever starts here.
    pub(crate) fn literal(&mut self) -> Result<Option<bool>, Fault> {
        let rest = &self.text.as_bytes()[self.at..];
        let (value, length) = match rest.first() {
            Some(b't') if rest.starts_with(b"true") => (Some(true), 4),
            Some(b'f') if rest.starts_with(b"false") => (Some(false), 5),
            Some(b'n') if rest.starts_with(b"null") => (None, 4),
            _ => return Err(Fault::syntax(self.at, "expected a JSON value")),
        };
        self.at += length;
        Ok(value)
    }

    /// Passes over the next value, whatever it is, checking that it is well-formed.
    pub(crate) fn skip_value(&mut self) -> Result<(), Fault> {
        match self.peek()? {
            Kind::Text => self.text().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::Bool | Kind::Null => self.literal().map(drop),
            Kind::Object | Kind::Array => self.skip_nested(),
        }
    }

    /// Passes over an object or array without recursion: one bit a level says which of the two it is.
    fn skip_nested(&mut self) -> Result<(), Fault> {
        let outer = self.depth;
        let mut objects = 0_u64;
        let mut first = true;
        loop {
            // Invariant: at the top of the loop either nothing was opened yet, or a value was just passed or opened.
            if self.depth > outer {
                let in_object = objects & 1 == 1;
                let more =
                    if in_object { self.next_key(&mut first)?.is_some() } else { self.next_element(&mut first)? };
                if !more {
                    objects >>= 1;
                    first = false;
                    if self.depth == outer {
                        return Ok(());
                    }
                    continue;
                }
            }
            match self.peek()? {
                Kind::Text => drop(self.text()?),
                Kind::Number => drop(self.number()?),
                Kind::Bool | Kind::Null => drop(self.literal()?),
                kind @ (Kind::Object | Kind::Array) => {
                    self.enter()?;
                    objects = objects << 1 | u64::from(kind == Kind::Object);
                    first = true;
                }
            }
        }
    }
}

/// Whether a string cannot simply go on behind this byte.
#[inline]
const fn is_stop(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Where the first stop in sixteen bytes is.
#[cfg(target_arch = "x86_64")]
#[inline]
fn first_stop(chunk: &[u8; 16]) -> Option<usize> {
    // SAFETY: the function needs SSE2, which every x86-64 processor has.
    let stops = unsafe { stop_bits(chunk) };
    if stops == 0 { None } else { Some(stops.trailing_zeros() as usize) }
}

/// One bit for each of sixteen bytes that is a stop: three comparisons at once. Most strings need one look.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn stop_bits(chunk: &[u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_max_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let whole = u128::from_le_bytes(*chunk);
    let bytes = _mm_set_epi64x((whole >> 64) as i64, whole as i64);
    let quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"'.cast_signed()));
    let backslashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\'.cast_signed()));
    let last_control = _mm_set1_epi8(0x1f);
    let controls = _mm_cmpeq_epi8(_mm_max_epu8(bytes, last_control), last_control);
    _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, backslashes), controls)).cast_unsigned()
}

/// Where the first stop in sixteen bytes is.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn first_stop(chunk: &[u8; 16]) -> Option<usize> {
    chunk.iter().position(|&byte| is_stop(byte))
}
