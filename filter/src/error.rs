//! Why a filter is refused.

use mempack_format::FieldKind;

/// A filter is refused, with the place of the first thing that is wrong in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("character {at} of the filter {}: {problem}", shown(.expression))]
pub struct FilterError {
    /// The expression.
    pub expression: String,
    /// The character, counted from 1.
    pub at: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It is not an expression.
    #[error("{0}")]
    Syntax(String),
    /// The expression is longer than [`MAX_EXPRESSION_BYTES`](crate::MAX_EXPRESSION_BYTES).
    #[error("the filter has {found} bytes, the most is {most}")]
    TooLong {
        /// Its bytes.
        found: usize,
        /// The most bytes.
        most: usize,
    },
    /// It nests deeper than any filter needs.
    #[error("there are more than {most} {found}")]
    TooDeep {
        /// What there are too many of.
        found: &'static str,
        /// The most.
        most: usize,
    },
    /// A part of the language that filters do not have.
    #[error("filters have no {found}; {instead}")]
    Unsupported {
        /// What is there.
        found: String,
        /// What can be written instead.
        instead: &'static str,
    },
    /// No document has the field.
    #[error("no document has a field {name:?}; {}", known(.fields))]
    NoField {
        /// The name.
        name: String,
        /// The fields that documents have.
        fields: Vec<String>,
    },
    /// A constant does not fit the field's kind.
    #[error("{field} is {}, and {found} is not: {expected} is expected", of_kind(*kind))]
    Kind {
        /// The field.
        field: String,
        /// Its kind.
        kind: FieldKind,
        /// The constant.
        found: String,
        /// What would fit.
        expected: &'static str,
    },
    /// An operation that values of this kind do not have.
    #[error("{field} is {}, for which there is no {operation}; {instead}", of_kind(*kind))]
    Operation {
        /// The field.
        field: String,
        /// Its kind.
        kind: FieldKind,
        /// The operation.
        operation: &'static str,
        /// What such values have.
        instead: &'static str,
    },
    /// A list where one value is expected.
    #[error("{field} is a list; test its values with `x in {field}`, `{field}.exists(x, ...)` or `{field}.all(x, ...)`")]
    List {
        /// The field.
        field: String,
    },
    /// A regular expression that does not parse.
    #[error("the regular expression does not parse: {0}")]
    Pattern(String),
}

/// What is said of a character that no expression has.
pub(crate) fn no_part(of: impl std::fmt::Display) -> String {
    format!("{of} is no part of an expression; texts are in quotes, and equality is ==")
}

fn shown(expression: &str) -> String {
    const MOST: usize = 80;
    match expression.char_indices().nth(MOST) {
        Some((end, _)) => format!("`{}...`", &expression[..end]),
        None => format!("`{expression}`"),
    }
}

fn known(fields: &[String]) -> String {
    const MOST: usize = 24;
    match fields {
        [] => "the packs have no metadata".to_owned(),
        [..] if fields.len() > MOST => format!("the fields are {}, ... ({} in all)", fields[..MOST].join(", "), fields.len()),
        [..] => format!("the fields are {}", fields.join(", ")),
    }
}

/// A kind with its article.
fn of_kind(kind: FieldKind) -> String {
    match kind {
        FieldKind::Integer => "an integer".to_owned(),
        other => format!("a {other}"),
    }
}
