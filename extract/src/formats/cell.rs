//! What fields of rows have.

use crate::Value;
use crate::markdown::one_line;

/// What a field of a row has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    One(Value),
    /// Values that have no values within.
    List(Vec<Value>),
}

impl Cell {
    /// Bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        let bytes = |value: &Value| match value {
            Value::Text(text) | Value::Number(text) | Value::Json(text) => text.len(),
            Value::Boolean(_) => 5,
        };
        match self {
            Self::One(value) => bytes(value),
            Self::List(values) => values.iter().map(bytes).sum(),
        }
    }

    /// The words of it, values of a list with `separator` between; `None` for what has objects within.
    pub fn words(&self, separator: &str) -> Option<String> {
        let words = |value: &Value| match value {
            Value::Text(text) | Value::Number(text) => Some(text.clone()),
            Value::Boolean(value) => Some(value.to_string()),
            Value::Json(_) => None,
        };
        match self {
            Self::One(value) => words(value),
            Self::List(values) => values.iter().map(words).collect::<Option<Vec<_>>>().map(|all| all.join(separator)),
        }
    }

    /// As a table shows it.
    pub fn shown(&self) -> String {
        let shown = match self {
            Self::One(Value::Json(text)) => text.clone(),
            _ => self.words(", ").unwrap_or_default(),
        };
        one_line(&shown)
    }
}

/// Fields of a row, in order. Fields of an object within are named after both: `court.name`.
pub(super) type Fields = Vec<(String, Cell)>;
