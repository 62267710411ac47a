//! Typed fields out of a JSON body, with problems that name the field.
//!
//! Unknown fields are ignored, `null` is the same as absent, a field given twice is refused.

use crate::engine::view::Metadata;
use crate::http::decode::{Node, Value, time};
use crate::http::problem::{Problem, Reason};
use crate::ledger::{Decimal, Rejection, Timestamp};
use std::ops::RangeInclusive;

/// Pairs of metadata at most, and bytes of their keys and values.
pub(crate) const METADATA_PAIRS_MAX: usize = 50;
pub(crate) const METADATA_KEY_BYTES_MAX: usize = 40;
pub(crate) const METADATA_VALUE_BYTES_MAX: usize = 500;

/// The members of an object in a body.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'n, 'a> {
    members: &'n [(&'a str, Node<'a>)],
    at: usize,
    prefix: String,
    index: Option<usize>,
}

impl<'n, 'a> Fields<'n, 'a> {
    /// The fields of a value that has to be an object; `index` is its place in a batch.
    pub(crate) fn of(node: &'n Node<'a>, index: Option<usize>) -> Result<Self, Problem> {
        let Value::Object(members) = &node.value else {
            let problem = Problem::new(Reason::MalformedBody, "expected a JSON object").with("offset", node.at);
            return Err(index.into_iter().fold(problem, Problem::at_index));
        };
        Ok(Fields { members, at: node.at, prefix: String::new(), index })
    }

    /// A problem with a field of this object, at a byte of the body.
    fn problem(&self, name: &str, at: usize, what: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
        let problem = Problem::field(format!("{}{name}", self.prefix), what).with("offset", at);
        self.index.into_iter().fold(problem, Problem::at_index)
    }

    /// A field's value is refused for what it says rather than for how it is written.
    pub(crate) fn refused(&self, name: &str, what: &'static str) -> Problem {
        let at = self.members.iter().find(|(known, _)| *known == name).map_or(self.at, |(_, node)| node.at);
        self.problem(name, at, what)
    }

    /// Whether the field is there and not null.
    pub(crate) fn has(&self, name: &'static str) -> Result<bool, Problem> {
        Ok(self.get(name)?.is_some())
    }

    /// Whether the field is there, be it null.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.members.iter().any(|(known, _)| *known == name)
    }

    fn get(&self, name: &'static str) -> Result<Option<&'n Node<'a>>, Problem> {
        let mut found = self.members.iter().filter(|(known, _)| *known == name).map(|(_, node)| node);
        let first = found.next();
        if let Some(second) = found.next() {
            return Err(self.problem(name, second.at, "the field is given twice"));
        }
        Ok(first.filter(|node| !matches!(node.value, Value::Null)))
    }

    fn required<T>(&self, name: &'static str, value: Option<T>) -> Result<T, Problem> {
        value.ok_or_else(|| self.problem(name, self.at, "the field is missing"))
    }

    pub(crate) fn text(&self, name: &'static str) -> Result<Option<&'a str>, Problem> {
        let Some(node) = self.get(name)? else { return Ok(None) };
        match node.value {
            Value::Text(text) => Ok(Some(text)),
            _ => Err(self.problem(name, node.at, "must be a string")),
        }
    }

    pub(crate) fn required_text(&self, name: &'static str) -> Result<&'a str, Problem> {
        let text = self.text(name)?;
        self.required(name, text)
    }

    /// A decimal, given as text or as a number, read exactly. One that cannot be read is refused as `invalid_amount`.
    pub(crate) fn decimal(&self, name: &'static str) -> Result<Option<Decimal>, Problem> {
        let Some(node) = self.get(name)? else { return Ok(None) };
        let (Value::Text(text) | Value::Number(text)) = node.value else {
            return Err(self.problem(name, node.at, "must be a decimal string or a number"));
        };
        Decimal::parse(text.as_bytes()).map(Some).map_err(|error| {
            let problem = Problem::new(Reason::Rejected(Rejection::InvalidAmount), error.to_string());
            let problem = problem.at_field(format!("{}{name}", self.prefix)).with("offset", node.at);
            self.index.into_iter().fold(problem, Problem::at_index)
        })
    }

    pub(crate) fn required_decimal(&self, name: &'static str) -> Result<Decimal, Problem> {
        let decimal = self.decimal(name)?;
        self.required(name, decimal)
    }

    pub(crate) fn time(&self, name: &'static str) -> Result<Option<Timestamp>, Problem> {
        let at = self.get(name)?.map_or(self.at, |node| node.at);
        let Some(text) = self.text(name)? else { return Ok(None) };
        let time = time::parse(text);
        time.map(Some).ok_or_else(|| self.problem(name, at, "must be an RFC 3339 time such as 2026-11-22T09:00:00Z"))
    }

    /// A whole number within a range, given as a number or as text.
    pub(crate) fn integer(&self, name: &'static str, range: RangeInclusive<i64>) -> Result<Option<i64>, Problem> {
        let Some(node) = self.get(name)? else { return Ok(None) };
        let number = match node.value {
            Value::Number(text) | Value::Text(text) => Decimal::parse(text.as_bytes()).ok(),
            _ => None,
        };
        let whole = number.filter(|number| number.scale() == 0).map(Decimal::mantissa);
        if let Some(number) = whole.filter(|number| range.contains(number)) {
            return Ok(Some(number));
        }
        let (low, high) = range.into_inner();
        Err(self.problem(name, node.at, format!("must be a whole number from {low} to {high}")))
    }

    /// One of a set of names.
    pub(crate) fn choice<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
        choices: &'static str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| self.refused(name, choices))
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, name: &'static str) -> Result<Option<bool>, Problem> {
        let Some(node) = self.get(name)? else { return Ok(None) };
        match node.value {
            Value::Bool(flag) => Ok(Some(flag)),
            _ => Err(self.problem(name, node.at, "must be true or false")),
        }
    }

    pub(crate) fn array(&self, name: &'static str) -> Result<Option<&'n [Node<'a>]>, Problem> {
        let Some(node) = self.get(name)? else { return Ok(None) };
        match &node.value {
            Value::Array(elements) => Ok(Some(elements)),
            _ => Err(self.problem(name, node.at, "must be an array")),
        }
    }

    /// The fields of an object within this one.
    pub(crate) fn object(&self, name: &'static str) -> Result<Option<Fields<'n, 'a>>, Problem> {
        let Some(node) = self.get(name)? else { return Ok(None) };
        self.inner(node, name).map(Some)
    }

    /// The fields of an object that stands within this one under `name`.
    pub(crate) fn inner(&self, node: &'n Node<'a>, name: &str) -> Result<Fields<'n, 'a>, Problem> {
        match &node.value {
            Value::Object(members) => {
                Ok(Fields { members, at: node.at, prefix: format!("{}{name}.", self.prefix), index: self.index })
            }
            _ => Err(self.problem(name, node.at, "must be an object")),
        }
    }

    /// Free key-value text.
    pub(crate) fn metadata(&self, name: &'static str) -> Result<Option<Metadata>, Problem> {
        let Some(node) = self.get(name)? else { return Ok(None) };
        let Value::Object(members) = &node.value else {
            return Err(self.problem(name, node.at, "must be an object of strings"));
        };
        if members.len() > METADATA_PAIRS_MAX {
            return Err(self.problem(name, node.at, "has at most 50 pairs"));
        }
        let mut metadata = Metadata::new();
        for (key, node) in members {
            let Value::Text(value) = node.value else {
                return Err(self.problem(name, node.at, "must be an object of strings"));
            };
            if key.len() > METADATA_KEY_BYTES_MAX || value.len() > METADATA_VALUE_BYTES_MAX {
                return Err(self.problem(name, node.at, "keys have at most 40 bytes and values 500"));
            }
            if metadata.insert((*key).to_owned(), value.to_owned()).is_some() {
                return Err(self.problem(name, node.at, "a key is given twice"));
            }
        }
        Ok(Some(metadata))
    }
}
