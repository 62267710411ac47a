//! Calls to Stripe's API: form in, JSON out, retries between.

use super::objects::{ApiError, ErrorAnswer};
use super::{API_VERSION, Settings};
use crate::http::{
    HeaderMap, HeaderName, HeaderValue, Limits, Method, Overflow, Request, Response, StatusCode, Transport, Uri,
};
use crate::providers::CallError;
use crate::webhooks::{excerpt, mix, retry_after_s};
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest answer that is read. A list of a hundred payment intents takes some 300 KiB.
const BODY_BYTES: usize = 4 << 20;

/// Pauses between tries, as Stripe's own libraries make them: from half a second, up to five.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A `Retry-After` of more than this ends the call: the caller has better things to do than to wait here.
const RETRY_AFTER_S_MAX: u64 = 60;

pub(super) struct Api {
    pub(super) settings: Settings,
    pub(super) transport: Arc<dyn Transport>,
}

/// Why there is no object.
#[derive(Debug)]
pub(super) enum Failure {
    /// Stripe's answer, which a repeat would get again.
    Answered(StatusCode, Box<ApiError>),
    /// No answer, or one that says that Stripe does not know either.
    Unknown(String),
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unknown(detail) => CallError::Unknown { detail },
            Failure::Answered(status, error) => {
                let codes = [error.code, error.decline_code, Some(error.kind)].into_iter().flatten();
                let code = codes
                    .into_iter()
                    .find(|code| !code.is_empty())
                    .unwrap_or_else(|| format!("http_{}", status.as_u16()));
                CallError::Refused { code, message: error.message.unwrap_or_default() }
            }
        }
    }
}

/// Parameters, encoded as a form.
pub(super) struct Form(String);

impl Form {
    pub(super) fn new() -> Self {
        Form(String::new())
    }

    pub(super) fn with(self, name: &str, value: impl AsRef<str>) -> Self {
        Form(form_urlencoded::Serializer::for_suffix(self.0, 0).append_pair(name, value.as_ref()).finish())
    }

    pub(super) fn with_some(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

/// A name of Stripe's in a path. It came from Stripe, but by way of records: only letters, digits and `_` can go into a URL as they are.
pub(super) fn path_name(name: &str) -> Result<&str, CallError> {
    let plain =
        !name.is_empty() && name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain {
        Ok(name)
    } else {
        Err(CallError::Refused {
            code: "invalid_reference".to_owned(),
            message: format!("{name:?} is no name of Stripe's"),
        })
    }
}

impl Api {
    /// `GET`, repeated as need be.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, query: Form) -> Result<T, Failure> {
        let query = query.0;
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        self.call(Method::GET, &target, None, String::new()).await
    }

    /// `POST` under a key, repeated under the same.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, key: &str, form: Form) -> Result<T, Failure> {
        self.call(Method::POST, path, Some(key), form.0).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        key: Option<&str>,
        body: String,
    ) -> Result<T, Failure> {
        let request = self.request(method, target, key, body)?;
        let seed = key.unwrap_or(target).bytes().fold(0, |seed, byte| mix(seed ^ u64::from(byte)));
        let until = Instant::now() + self.settings.total_time;
        let mut tried = 0;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut request = request.clone();
            request.limits.total = request.limits.total.min(left);
            let answer = self.transport.send(request).await;
            tried += 1;
            let asked = match &answer {
                Ok(answer) if !may_retry(answer) => return read(answer),
                Ok(answer) => retry_after_s(&answer.headers, u64::MAX),
                Err(_) => None,
            };
            let pause = pause(tried, seed).max(Duration::from_secs(asked.unwrap_or(0)));
            let ends = tried > self.settings.retries || asked.is_some_and(|asked_s| asked_s > RETRY_AFTER_S_MAX);
            if ends || Instant::now() + pause >= until {
                return Err(Failure::Unknown(match &answer {
                    Ok(answer) => format!("status {}: {}", answer.status, excerpt(&answer.body)),
                    Err(error) => error.to_string(),
                }));
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn request(&self, method: Method, target: &str, key: Option<&str>, body: String) -> Result<Request, Failure> {
        let settings = &self.settings;
        let base = settings.base.to_string();
        let wrong = |what: &str| Failure::Unknown(format!("the request cannot be written: {what}"));
        let url: Uri = format!("{}{target}", base.trim_end_matches('/')).parse().map_err(|_| wrong("its URL"))?;
        let mut headers = HeaderMap::from_iter([
            (AUTHORIZATION, settings.key.header.clone()),
            (HeaderName::from_static("stripe-version"), HeaderValue::from_static(API_VERSION)),
        ]);
        if let Some(key) = key {
            let value = HeaderValue::from_str(key).map_err(|_| wrong("its key"))?;
            headers.insert(HeaderName::from_static("idempotency-key"), value);
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        }
        let limits = Limits { total: settings.try_time, body_bytes: BODY_BYTES, overflow: Overflow::Refuse };
        Ok(Request { method, url, headers, body: Bytes::from(body), limits })
    }
}

/// Whether an answer is worth another try. What Stripe says comes first.
fn may_retry(answer: &Response) -> bool {
    match answer.headers.get("stripe-should-retry").map(HeaderValue::as_bytes) {
        Some(b"true") => true,
        Some(b"false") => false,
        _ => unsettled(answer.status),
    }
}

/// Statuses that settle nothing: a request under the same key is under way (409), too many of them (429), Stripe failed (5xx).
fn unsettled(status: StatusCode) -> bool {
    status == StatusCode::CONFLICT || status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

fn read<T: DeserializeOwned>(answer: &Response) -> Result<T, Failure> {
    if answer.status.is_success() {
        return serde_json::from_slice(&answer.body)
            .map_err(|error| Failure::Unknown(format!("unreadable answer: {error}")));
    }
    if unsettled(answer.status) || !answer.status.is_client_error() {
        return Err(Failure::Unknown(format!("status {}: {}", answer.status, excerpt(&answer.body))));
    }
    let error = serde_json::from_slice::<ErrorAnswer>(&answer.body)
        .map(|answer| answer.error)
        .unwrap_or_else(|_| ApiError { message: Some(excerpt(&answer.body)), ..ApiError::default() });
    Err(Failure::Answered(answer.status, Box::new(error)))
}

/// The pause after so many tries: doubled each time, shortened by up to a quarter.
fn pause(tried: u32, seed: u64) -> Duration {
    let whole = PAUSE_MIN.saturating_mul(1 << (tried - 1).min(10)).min(PAUSE_MAX);
    let jitter = mix(seed ^ u64::from(tried)) % 251;
    whole - whole * jitter as u32 / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_seconds() {
        for seed in 0..100 {
            for (tried, most_ms) in [(1, 500), (2, 1000), (3, 2000), (4, 4000), (5, 5000), (40, 5000)] {
                let pause = pause(tried, seed).as_millis();
                assert!(pause <= most_ms && pause >= most_ms * 3 / 4 - 1, "{tried}: {pause}");
            }
        }
    }

    #[test]
    fn names_that_would_change_a_path_are_refused() {
        for name in ["", "pi_1/../../v1/charges", "pi_1?x=y", "pi 1", "pi_1#", "ä"] {
            assert!(path_name(name).is_err(), "{name:?}");
        }
        assert_eq!(path_name("cs_test_a1B2"), Ok("cs_test_a1B2"));
    }
}
