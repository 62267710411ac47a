//! Percent-encoding, as far as a server needs it: reading path segments, query values and CloudEvents headers.

use std::borrow::Cow;

/// Decodes `%XX`; `None` when an escape is malformed or the result is not UTF-8.
pub(crate) fn decode(text: &[u8]) -> Option<Cow<'_, str>> {
    if !text.contains(&b'%') {
        return std::str::from_utf8(text).ok().map(Cow::Borrowed);
    }
    decode_with(text, |byte| byte).map(Cow::Owned)
}

/// Decodes a query's name or value, in which `+` is a space.
pub(crate) fn decode_query(text: &[u8]) -> Option<String> {
    decode_with(text, |byte| if byte == b'+' { b' ' } else { byte })
}

fn decode_with(text: &[u8], plain: impl Fn(u8) -> u8) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        rest = if *byte == b'%' {
            let [high, low, tail @ ..] = tail else { return None };
            let digit = |byte: u8| (byte as char).to_digit(16);
            out.push((digit(*high)? << 4 | digit(*low)?) as u8);
            tail
        } else {
            out.push(plain(*byte));
            tail
        };
    }
    String::from_utf8(out).ok()
}

/// Encodes a path segment: everything but what needs no encoding anywhere.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(byte as char);
        } else {
            let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0').to_ascii_uppercase();
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(decode(text.as_bytes()).as_deref(), expected, "{text}");
    }

    #[test]
    fn what_is_encoded_is_decoded_to_the_same() {
        for text in ["hold-1", "a/b c?d#e%f", "é€", "", "~._-"] {
            let encoded = encode(text);
            assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#".contains(&byte)), "{encoded}");
            assert_eq!(decode(encoded.as_bytes()).as_deref(), Some(text));
        }
        assert_eq!(encode("a/b"), "a%2Fb");
    }

    #[test]
    fn decodes_escapes_and_refuses_broken_ones() {
        check("cus_42", Some("cus_42"));
        check("a%2Fb", Some("a/b"));
        check("%C3%a9", Some("é"));
        check("%E2%82%AC", Some("€"));
        check("a+b", Some("a+b"));
        check("%", None);
        check("%4", None);
        check("%zz", None);
        check("%FF", None);
        assert_eq!(decode_query(b"a+b%2B").as_deref(), Some("a b+"));
    }
}
