//! Values of JSON (RFC 8259) as fields of rows have them.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::cell::Cell;
use crate::Value;

/// What a value has; `None` for null, an empty list and an empty object.
pub(super) fn cell(raw: &RawValue) -> Option<Cell> {
    let text = raw.get();
    match text.as_bytes().first()? {
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            if items.iter().any(|item| item.get().starts_with(['[', '{'])) {
                return Some(Cell::One(Value::Json(text.to_owned())));
            }
            let values: Vec<Value> = items.into_iter().filter_map(scalar).collect();
            (!values.is_empty()).then_some(Cell::List(values))
        }
        b'{' => text[1..].trim_start().starts_with('"').then(|| Cell::One(Value::Json(text.to_owned()))),
        _ => scalar(raw).map(Cell::One),
    }
}

fn scalar(raw: &RawValue) -> Option<Value> {
    let text = raw.get();
    match text.as_bytes().first()? {
        b'"' => Some(Value::Text(serde_json::from_str(text).or_else(|_| serde_json::from_str::<Lossy>(text).map(|lossy| lossy.0)).ok()?)),
        b't' => Some(Value::Boolean(true)),
        b'f' => Some(Value::Boolean(false)),
        b'n' => None,
        _ => Some(Value::Number(text.to_owned())),
    }
}

/// The value at a path in JSON text: names of members and numbers of items, joined by dots.
pub(super) fn at(text: &str, path: &str) -> Option<Cell> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    if path.is_empty() {
        return cell(raw);
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let value = if text.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        *items.get(first.parse::<usize>().ok()?)?
    } else {
        members(raw).ok()?.0.into_iter().rfind(|(name, _)| name == first)?.1
    };
    at(value.get(), rest)
}

/// The members of an object, in order, with those that occur again.
pub(super) struct Members<'a>(pub Vec<(String, &'a RawValue)>);

pub(super) fn members(raw: &RawValue) -> Result<Members<'_>, serde_json::Error> {
    serde_json::from_str(raw.get())
}

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

/// Words with halves of surrogate pairs, which become U+FFFD.
struct Lossy(String);

impl<'de> serde::Deserialize<'de> for Lossy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = Lossy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Lossy, E> {
                let mut text = String::with_capacity(bytes.len());
                for chunk in bytes.utf8_chunks() {
                    text.push_str(chunk.valid());
                    // A half of a pair is three bytes, of which the first begins no character.
                    if chunk.invalid().first().is_some_and(|byte| *byte >= 0xC0) {
                        text.push(char::REPLACEMENT_CHARACTER);
                    }
                }
                Ok(Lossy(text))
            }
        }
        deserializer.deserialize_bytes(Visit)
    }
}
