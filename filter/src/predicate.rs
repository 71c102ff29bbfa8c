//! Tests of single values.

use std::cmp::Ordering;

use mempack_format::{FieldKind, instant};
use regex::Regex;

use crate::condition::Comparison;

/// Asks something of one value of a known kind.
#[derive(Clone, Debug)]
pub(crate) enum Predicate {
    Constant(bool),
    Not(Box<Predicate>),
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    Compare(Comparison, Constant),
    In(Vec<Constant>),
    Contains(String),
    StartsWith(String),
    EndsWith(String),
    Matches(Regex),
}

/// A constant of the kind of the field that it is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Constant {
    Boolean(bool),
    Number(Number),
    /// Microseconds since 1970 in UTC.
    Instant(i64),
    Text(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Integer(i64),
    Float(f64),
}

impl Number {
    /// The order of the numbers themselves, without rounding. `None` if one is not a number.
    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Integer(a), Self::Float(b)) => compare_mixed(a, b),
            (Self::Float(a), Self::Integer(b)) => compare_mixed(b, a).map(Ordering::reverse),
        }
    }
}

fn compare_mixed(integer: i64, float: f64) -> Option<Ordering> {
    // 2^63, the least float beyond i64.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        return None;
    }
    if float >= BEYOND {
        return Some(Ordering::Less);
    }
    if float < -BEYOND {
        return Some(Ordering::Greater);
    }
    let whole = float.trunc();
    Some(integer.cmp(&(whole as i64)).then(whole.partial_cmp(&float)?))
}

/// A value of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'v> {
    Boolean(bool),
    Number(Number),
    Instant(i64),
    Text(&'v str),
}

impl<'v> Value<'v> {
    /// The value that a text of a pack states. `None` if it is not of that kind.
    pub fn of(kind: FieldKind, text: &'v str) -> Option<Self> {
        Some(match kind {
            FieldKind::Boolean => Self::Boolean(text.parse().ok()?),
            FieldKind::Integer => Self::Number(Number::Integer(text.parse().ok()?)),
            FieldKind::Number => Self::Number(match text.parse() {
                Ok(integer) => Number::Integer(integer),
                Err(_) => Number::Float(text.parse().ok()?),
            }),
            FieldKind::Date => Self::Instant(instant(text)?),
            FieldKind::Text => Self::Text(text),
        })
    }

    fn compare(self, constant: &Constant) -> Option<Ordering> {
        match (self, constant) {
            (Self::Boolean(a), Constant::Boolean(b)) => Some(a.cmp(b)),
            (Self::Number(a), Constant::Number(b)) => a.compare(*b),
            (Self::Instant(a), Constant::Instant(b)) => Some(a.cmp(b)),
            (Self::Text(a), Constant::Text(b)) => Some(a.cmp(b.as_str())),
            _ => None,
        }
    }
}

impl Predicate {
    /// The answer for a value.
    pub fn admits(&self, value: Value<'_>) -> bool {
        let text = |test: &dyn Fn(&str) -> bool| matches!(value, Value::Text(text) if test(text));
        match self {
            Self::Constant(answer) => *answer,
            Self::Not(of) => !of.admits(value),
            Self::All(of) => of.iter().all(|of| of.admits(value)),
            Self::Any(of) => of.iter().any(|of| of.admits(value)),
            Self::Compare(comparison, constant) => {
                let order = value.compare(constant);
                match comparison {
                    Comparison::Equal => order == Some(Ordering::Equal),
                    Comparison::NotEqual => order != Some(Ordering::Equal),
                    Comparison::Less => order == Some(Ordering::Less),
                    Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                    Comparison::Greater => order == Some(Ordering::Greater),
                    Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
                }
            }
            Self::In(constants) => constants.iter().any(|constant| value.compare(constant) == Some(Ordering::Equal)),
            Self::Contains(part) => text(&|text| text.contains(part.as_str())),
            Self::StartsWith(part) => text(&|text| text.starts_with(part.as_str())),
            Self::EndsWith(part) => text(&|text| text.ends_with(part.as_str())),
            Self::Matches(pattern) => text(&|text| pattern.is_match(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_without_rounding() {
        use Number::{Float, Integer};
        use Ordering::{Equal, Greater, Less};
        for (a, b, order) in [
            (Integer(3), Float(3.0), Some(Equal)),
            (Integer(3), Float(3.5), Some(Less)),
            (Integer(-3), Float(-3.5), Some(Greater)),
            (Integer(9_007_199_254_740_993), Float(9_007_199_254_740_992.0), Some(Greater)),
            (Integer(i64::MAX), Float(9_223_372_036_854_775_808.0), Some(Less)),
            (Integer(i64::MIN), Float(-9_223_372_036_854_775_808.0), Some(Equal)),
            (Integer(i64::MIN), Float(f64::NEG_INFINITY), Some(Greater)),
            (Integer(0), Float(f64::NAN), None),
            (Float(0.5), Integer(0), Some(Greater)),
        ] {
            assert_eq!(a.compare(b), order, "{a:?} {b:?}");
            assert_eq!(b.compare(a), order.map(Ordering::reverse), "{b:?} {a:?}");
        }
    }
}
