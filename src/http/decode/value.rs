//! A whole JSON body as a tree, for the administrative requests: small, exact about numbers, and able to say which field is wrong.

use super::json::{Fault, Kind, Reader};
use bumpalo::Bump;

/// A JSON value. Numbers stay text; nothing is copied but strings with escapes.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(&'a str),
    Array(Vec<Node<'a>>),
    Object(Vec<(&'a str, Node<'a>)>),
}

/// A value and where it begins in the body.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) at: usize,
    pub(crate) value: Value<'a>,
}

/// Reads a whole JSON text.
pub(crate) fn parse<'a>(text: &'a str, arena: &'a Bump) -> Result<Node<'a>, Fault> {
    let mut reader = Reader::new(text, arena);
    let node = read(&mut reader)?;
    reader.finish()?;
    Ok(node)
}

/// Recursion is bounded: the reader refuses to open more than its maximum depth.
fn read<'a>(reader: &mut Reader<'a>) -> Result<Node<'a>, Fault> {
    let kind = reader.peek()?;
    let at = reader.at();
    let value = match kind {
        Kind::Text => Value::Text(reader.text()?),
        Kind::Number => Value::Number(reader.number()?),
        Kind::Bool | Kind::Null => reader.literal()?.map_or(Value::Null, Value::Bool),
        Kind::Array => {
            let (mut elements, mut first) = (Vec::new(), true);
            reader.open()?;
            while reader.next_element(&mut first)? {
                elements.push(read(reader)?);
            }
            Value::Array(elements)
        }
        Kind::Object => {
            let (mut members, mut first) = (Vec::new(), true);
            reader.open()?;
            while let Some(key) = reader.next_key(&mut first)? {
                members.push((key, read(reader)?));
            }
            Value::Object(members)
        }
    };
    Ok(Node { at, value })
}
