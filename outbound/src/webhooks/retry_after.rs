//! `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.

use super::signature::parse_seconds;
use hyper::header::{HeaderMap, RETRY_AFTER};
use std::time::{Duration, SystemTime};

/// For how many seconds from `now_s` the other side wants to be left alone; `None` if it does not say, or not so that it can be read.
pub fn retry_after_s(headers: &HeaderMap, now_s: u64) -> Option<u64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Some(seconds) = parse_seconds(text) {
        return Some(seconds);
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let now = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(now_s))?;
    Some(date.duration_since(now).map_or(0, |pause| pause.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[track_caller]
    fn check(value: &'static str, expected: Option<u64>) {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
        // 6 November 1994, 08:49:00
        assert_eq!(retry_after_s(&headers, 784_111_740), expected, "{value:?}");
    }

    #[test]
    fn seconds_and_dates_are_read() {
        check("120", Some(120));
        check("0", Some(0));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(37));
        check("Sun, 06 Nov 1994 08:48:37 GMT", Some(0));
        check("-1", None);
        check("soon", None);
        check("", None);
        check("1.5", None);
        assert_eq!(retry_after_s(&HeaderMap::new(), 0), None);
    }
}
