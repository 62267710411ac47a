//! Query parameters.

use crate::http::decode::time;
use crate::http::percent;
use crate::http::problem::Problem;
use crate::ledger::{Decimal, Timestamp};
use std::ops::RangeInclusive;

/// The parameters of a query. Unknown ones are ignored; one given twice is refused.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

/// Which part of a list is asked for.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) limit: usize,
    pub(crate) cursor: Option<String>,
}

/// Members of a page, unless the client says otherwise.
pub(crate) const LIMIT_DEFAULT: usize = 100;

/// Members of a page at most.
pub(crate) const LIMIT_MAX: usize = 1000;

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Result<Query, Problem> {
        let mut all: Vec<(String, String)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let broken = || Problem::parameter("query", "the query is not percent-encoded UTF-8");
            let name = percent::decode_query(name.as_bytes()).ok_or_else(broken)?;
            let value = percent::decode_query(value.as_bytes()).ok_or_else(broken)?;
            if all.iter().any(|(known, _)| *known == name) {
                return Err(Problem::parameter(name, "the parameter is given twice"));
            }
            all.push((name, value));
        }
        Ok(Query(all))
    }

    /// A parameter's text; an empty one counts as absent.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A whole number within a range.
    pub(crate) fn number(&self, name: &'static str, range: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Ok(Some(number));
        }
        let (low, high) = range.into_inner();
        Err(Problem::parameter(name, format!("must be a whole number from {low} to {high}")))
    }

    /// An RFC 3339 time.
    pub(crate) fn time(&self, name: &'static str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let refused = || Problem::parameter(name, "must be an RFC 3339 time such as 2026-11-22T09:00:00Z");
        time::parse(text).map(Some).ok_or_else(refused)
    }

    /// A decimal.
    pub(crate) fn decimal(&self, name: &'static str) -> Result<Option<Decimal>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        Decimal::parse(text.as_bytes()).map(Some).map_err(|error| Problem::parameter(name, error.to_string()))
    }

    /// `limit`, in the bounds of every list.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        Ok(self.number("limit", 1..=LIMIT_MAX as u64)?.map_or(LIMIT_DEFAULT, |limit| limit as usize))
    }

    /// `limit` and `cursor`.
    pub(crate) fn list(&self) -> Result<List, Problem> {
        Ok(List { limit: self.limit()?, cursor: self.text("cursor").map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_bounded_and_given_once() {
        let query = Query::parse(Some("customer=a%20b+c&limit=7&empty=&flag")).expect("parses");
        assert_eq!(query.text("customer"), Some("a b c"));
        assert_eq!(query.text("empty"), None);
        assert_eq!(query.text("flag"), None);
        assert_eq!(query.limit().expect("in bounds"), 7);
        for bad in ["limit=0", "limit=1001", "limit=-1", "limit=+1", "limit=x", "limit=99999999999999999999"] {
            assert!(Query::parse(Some(bad)).expect("parses").limit().is_err(), "{bad}");
        }
        assert!(Query::parse(Some("a=1&a=2")).is_err());
        assert!(Query::parse(Some("a=%zz")).is_err());
    }
}
