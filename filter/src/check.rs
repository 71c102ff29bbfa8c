//! Fits the constants of an expression to the kinds of fields.

use mempack_format::{FieldKind, instant};
use regex::Regex;

use crate::condition::{Comparison, Condition, FieldName, Literal, LiteralValue, Of, Position, Test, TextTest};
use crate::error::{FilterError, Problem};
use crate::parse::Expression;
use crate::predicate::{Constant, Number, Predicate};

/// What a field of a pack holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldType {
    /// The kind of its values.
    pub kind: FieldKind,
    /// Whether a document can have several.
    pub list: bool,
}

/// An expression that fits the fields of one pack.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The fields it is about, in the order of their numbers.
    pub(crate) fields: Vec<String>,
    pub(crate) condition: Step,
}

/// A condition whose fields are numbers and whose tests know the kinds.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Constant(bool),
    Not(Box<Step>),
    All(Vec<Step>),
    Any(Vec<Step>),
    Has(usize),
    Test {
        field: usize,
        of: Of,
        predicate: Predicate,
    },
    /// A test of a field that no document of the pack has.
    Unknown,
}

type Refused = (Position, Problem);

impl Expression {
    /// Checks the expression against the fields of a pack. A field for which `type_of` gives `None` is one that no document of the pack has; whether
    /// any pack has it is [`check_names`](Self::check_names)'s question.
    ///
    /// # Errors
    /// If a constant or an operation does not fit a field's kind.
    pub fn check(&self, type_of: impl Fn(&str) -> Option<FieldType>) -> Result<Checked, FilterError> {
        let mut checker = Checker { fields: Vec::new(), type_of };
        let parts = self.parts.iter().map(|part| {
            let refuse = |(at, problem)| FilterError { expression: part.text.clone(), at: at + 1, problem };
            checker.condition(&part.condition).map_err(refuse)
        });
        let condition = Step::All(parts.collect::<Result<_, _>>()?);
        Ok(Checked { fields: checker.fields, condition })
    }

    /// Refuses the expression if it is about a field that is not among `fields`, those of all packs in question.
    ///
    /// # Errors
    /// The first such field with its position.
    pub fn check_names(&self, fields: &[String]) -> Result<(), FilterError> {
        for part in &self.parts {
            let mut missing: Option<&FieldName> = None;
            part.condition.fields(&mut |field| {
                if missing.is_none() && !fields.contains(&field.name) {
                    missing = Some(field);
                }
            });
            if let Some(field) = missing {
                let problem = Problem::NoField { name: field.name.clone(), fields: fields.to_vec() };
                return Err(FilterError { expression: part.text.clone(), at: field.at + 1, problem });
            }
        }
        Ok(())
    }
}

struct Checker<F> {
    fields: Vec<String>,
    type_of: F,
}

impl<F: Fn(&str) -> Option<FieldType>> Checker<F> {
    fn number(&mut self, name: &str) -> usize {
        self.fields.iter().position(|field| field == name).unwrap_or_else(|| {
            self.fields.push(name.to_owned());
            self.fields.len() - 1
        })
    }

    fn condition(&mut self, condition: &Condition) -> Result<Step, Refused> {
        Ok(match condition {
            Condition::Constant(value) => Step::Constant(*value),
            Condition::Not(of) => Step::Not(Box::new(self.condition(of)?)),
            Condition::All(of) => Step::All(of.iter().map(|of| self.condition(of)).collect::<Result<_, _>>()?),
            Condition::Any(of) => Step::Any(of.iter().map(|of| self.condition(of)).collect::<Result<_, _>>()?),
            Condition::Has(field) => match (self.type_of)(&field.name) {
                Some(_) => Step::Has(self.number(&field.name)),
                None => Step::Constant(false),
            },
            Condition::Test { field, of, test } => match (self.type_of)(&field.name) {
                Some(FieldType { list: true, .. }) if *of == Of::One => {
                    return Err((field.at, Problem::List { field: field.name.clone() }));
                }
                Some(FieldType { kind, .. }) => {
                    let predicate = Kind { field, kind }.predicate(test)?;
                    Step::Test { field: self.number(&field.name), of: *of, predicate }
                }
                None => Step::Unknown,
            },
        })
    }
}

/// A field of a known kind.
#[derive(Clone, Copy)]
struct Kind<'f> {
    field: &'f FieldName,
    kind: FieldKind,
}

impl Kind<'_> {
    fn predicate(self, test: &Test) -> Result<Predicate, Refused> {
        Ok(match test {
            Test::Constant(value) => Predicate::Constant(*value),
            Test::Not(of) => Predicate::Not(Box::new(self.predicate(of)?)),
            Test::All(of) => Predicate::All(of.iter().map(|of| self.predicate(of)).collect::<Result<_, _>>()?),
            Test::Any(of) => Predicate::Any(of.iter().map(|of| self.predicate(of)).collect::<Result<_, _>>()?),
            Test::Is(at) => match self.kind {
                FieldKind::Boolean => Predicate::Compare(Comparison::Equal, Constant::Boolean(true)),
                _ => return Err(self.no_operation(*at, "test by itself", "compare it with a constant")),
            },
            Test::Compare(comparison, literal) => {
                let ordered = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
                if ordered && self.kind == FieldKind::Boolean {
                    return Err(self.no_operation(literal.at, "order", "compare it by == or !="));
                }
                Predicate::Compare(*comparison, self.constant(literal)?)
            }
            Test::In(literals) => Predicate::In(literals.iter().map(|literal| self.constant(literal)).collect::<Result<_, _>>()?),
            Test::Text(test, text, at) => {
                if self.kind != FieldKind::Text {
                    return Err(self.no_operation(*at, test.name(), "compare it with a constant"));
                }
                match test {
                    TextTest::Contains => Predicate::Contains(text.clone()),
                    TextTest::StartsWith => Predicate::StartsWith(text.clone()),
                    TextTest::EndsWith => Predicate::EndsWith(text.clone()),
                    TextTest::Matches => Predicate::Matches(Regex::new(text).map_err(|error| (*at, Problem::Pattern(error.to_string())))?),
                }
            }
        })
    }

    fn constant(self, literal: &Literal) -> Result<Constant, Refused> {
        let (constant, expected) = match (self.kind, &literal.value) {
            (FieldKind::Boolean, LiteralValue::Boolean(value)) => (Some(Constant::Boolean(*value)), ""),
            (FieldKind::Boolean, _) => (None, "true or false"),
            (FieldKind::Integer | FieldKind::Number, LiteralValue::Integer(value)) => (Some(Constant::Number(Number::Integer(*value))), ""),
            (FieldKind::Integer | FieldKind::Number, LiteralValue::Unsigned(value)) => {
                (Some(Constant::Number(Number::Float(*value as f64))), "")
            }
            (FieldKind::Integer | FieldKind::Number, LiteralValue::Number(value)) => (Some(Constant::Number(Number::Float(*value))), ""),
            (FieldKind::Integer | FieldKind::Number, _) => (None, "a number without quotes"),
            (FieldKind::Date, LiteralValue::Text(text) | LiteralValue::Timestamp(text)) => {
                (instant(text).map(Constant::Instant), "a date such as \"2021-01-31\" or \"2021-01-31T12:00:00Z\"")
            }
            (FieldKind::Date, _) => (None, "a date such as \"2021-01-31\""),
            (FieldKind::Text, LiteralValue::Text(text)) => (Some(Constant::Text(text.clone())), ""),
            (FieldKind::Text, _) => (None, "a text in quotes"),
        };
        constant.ok_or_else(|| {
            let found = match &literal.value {
                LiteralValue::Boolean(value) => value.to_string(),
                LiteralValue::Integer(value) => value.to_string(),
                LiteralValue::Unsigned(value) => value.to_string(),
                LiteralValue::Number(value) => value.to_string(),
                LiteralValue::Text(text) => format!("{text:?}"),
                LiteralValue::Timestamp(text) => format!("timestamp({text:?})"),
            };
            (literal.at, Problem::Kind { field: self.field.name.clone(), kind: self.kind, found, expected })
        })
    }

    fn no_operation(self, at: Position, operation: &'static str, instead: &'static str) -> Refused {
        (at, Problem::Operation { field: self.field.name.clone(), kind: self.kind, operation, instead })
    }
}
