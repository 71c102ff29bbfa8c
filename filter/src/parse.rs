//! From text to conditions.

use std::str::FromStr;

use cel::common::ast::operators::{
    ADD, EQUALS, GREATER, GREATER_EQUALS, IN, INDEX, LESS, LESS_EQUALS, LOGICAL_AND, LOGICAL_NOT, LOGICAL_OR,
};
use cel::common::ast::operators::{CONDITIONAL, DIVIDE, MODULO, MULTIPLY, NEGATE, NOT_EQUALS, SUBSTRACT};
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue as CelLiteral, SourceInfo};
use cel::parser::Parser;

use crate::condition::{Comparison, Condition, FieldName, Literal, LiteralValue, Of, Position, Test, TextTest};
use crate::error::{FilterError, Problem, no_part};
use crate::guard;

/// Most bytes of an expression.
pub const MAX_EXPRESSION_BYTES: usize = 64 << 10;

/// The name before which any field can be put.
const METADATA: &str = "metadata";

/// A filter that has been parsed, or several of which a document must pass each.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    pub(crate) parts: Vec<Part>,
}

/// An expression as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub text: String,
    pub condition: Condition,
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// If it does not parse, is too long, or asks for what filters do not have.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let refuse = |at, problem| FilterError { expression: text.to_owned(), at, problem };
        if text.len() > MAX_EXPRESSION_BYTES {
            return Err(refuse(MAX_EXPRESSION_BYTES, Problem::TooLong { found: text.len(), most: MAX_EXPRESSION_BYTES }));
        }
        guard::check(text).map_err(|(at, problem)| refuse(at + 1, problem))?;
        let (parsed, source) = Parser::new().parse_with_source_info(text).map_err(|errors| {
            let first = errors.errors.into_iter().next();
            let (at, message) = first.map_or((1, "this is no expression".to_owned()), |error| (character(text, error.pos), error.msg));
            refuse(at, Problem::Syntax(in_plain_words(&message)))
        })?;
        let reader = Reader { source: &source };
        let condition = reader.condition(&parsed).map_err(|(at, problem)| refuse(at + 1, problem))?;
        Ok(Self { parts: vec![Part { text: text.to_owned(), condition }] })
    }

    /// The expression that admits what both admit. Neither can widen the other.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self
    }

    /// The names of the fields that the expression is about, each once, in ascending order.
    pub fn fields(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.parts.iter().for_each(|part| part.condition.fields(&mut |field| names.push(field.name.as_str())));
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl FromStr for Expression {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

/// The character, from 1, at a line and a column of the parser, both from 1.
fn character(text: &str, (line, column): (isize, isize)) -> usize {
    let before: usize = text.split_inclusive('\n').take(usize::try_from(line - 1).unwrap_or(0)).map(|line| line.chars().count()).sum();
    before + usize::try_from(column).unwrap_or(1).max(1)
}

/// What the parser says about a syntax error, without the names of its tokens.
fn in_plain_words(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let quoted = || message.split_once('\'').and_then(|(_, rest)| rest.rsplit_once('\'')).map_or("this", |(inner, _)| inner);
    if message.contains("'<EOF>'") {
        "the expression is not complete".to_owned()
    } else if message.contains("has() macro") {
        "has() takes a field with a dot; write has(metadata.field)".to_owned()
    } else if message.starts_with("token recognition error") {
        no_part(quoted().trim())
    } else if message.starts_with("invalid string literal") {
        "the text has an escape that is no character".to_owned()
    } else if message.starts_with("invalid") && message.contains("literal") {
        "the number is out of range".to_owned()
    } else if let Some((_, rest)) = message.split_once(" input '") {
        let input = rest.split_once("' expecting").map_or(rest, |(input, _)| input).trim_end_matches('\'');
        format!("{input} cannot stand here")
    } else {
        message.to_owned()
    }
}

type Refused = (Position, Problem);

/// Reads the syntax tree of the crate `cel`.
struct Reader<'s> {
    source: &'s SourceInfo,
}

impl Reader<'_> {
    /// Where an expression begins; for an operator, where the operator stands.
    fn at(&self, expr: &IdedExpr) -> Position {
        self.source.offset_for(expr.id).map_or(0, |(start, _)| start as usize)
    }

    fn unsupported<T>(&self, expr: &IdedExpr, found: impl Into<String>, instead: &'static str) -> Result<T, Refused> {
        Err((self.at(expr), Problem::Unsupported { found: found.into(), instead }))
    }

    fn condition(&self, expr: &IdedExpr) -> Result<Condition, Refused> {
        match &expr.expr {
            Expr::Literal(CelLiteral::Boolean(value)) => return Ok(Condition::Constant(**value)),
            Expr::Select(select) if select.test => {
                let Some(path) = path(&select.operand) else { return self.unsupported(expr, "has() of this", "write has(metadata.field)") };
                let name = if path == METADATA { select.field.clone() } else { format!("{path}.{}", select.field) };
                return Ok(Condition::Has(FieldName { name, at: self.at(first(&select.operand)) }));
            }
            Expr::Comprehension(macro_call) => return self.of_list(expr, macro_call),
            Expr::Call(call) => {
                let all = || call.args.iter().map(|arg| self.condition(arg)).collect::<Result<Vec<_>, _>>();
                match (call.func_name.as_str(), call.args.as_slice()) {
                    (LOGICAL_NOT, [of]) => return Ok(Condition::Not(Box::new(self.condition(of)?))),
                    (LOGICAL_AND, _) => return all().map(Condition::All),
                    (LOGICAL_OR, _) => return all().map(Condition::Any),
                    (IN, [element, list]) if !matches!(list.expr, Expr::List(_)) => {
                        let test = Test::Compare(Comparison::Equal, self.literal(element)?);
                        return Ok(Condition::Test { field: self.field(list)?, of: Of::Some, test });
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        let (subject, test) = self.test_of_one(expr)?;
        Ok(Condition::Test { field: self.field(subject)?, of: Of::One, test })
    }

    /// `field.exists(x, ...)` and `field.all(x, ...)`, which the parser has written out as loops.
    fn of_list(&self, expr: &IdedExpr, call: &ComprehensionExpr) -> Result<Condition, Refused> {
        let initial = match &call.accu_init.expr {
            Expr::Literal(CelLiteral::Boolean(initial)) => Some(**initial),
            _ => None,
        };
        let test = match &call.loop_step.expr {
            Expr::Call(step) => step.args.get(1).map(|test| (step.func_name.as_str(), test)),
            _ => None,
        };
        let (of, test) = match (initial, test) {
            (Some(false), Some((LOGICAL_OR, test))) if call.iter_var2.is_none() => (Of::Some, test),
            (Some(true), Some((LOGICAL_AND, test))) if call.iter_var2.is_none() => (Of::Each, test),
            _ => return self.unsupported(expr, "such loops", "write field.exists(x, ...) or field.all(x, ...)"),
        };
        Ok(Condition::Test { field: self.field(&call.iter_range)?, of, test: self.test(test, &call.iter_var)? })
    }

    /// A test of the value that `variable` stands for.
    fn test(&self, expr: &IdedExpr, variable: &str) -> Result<Test, Refused> {
        if let Expr::Literal(CelLiteral::Boolean(value)) = &expr.expr {
            return Ok(Test::Constant(**value));
        }
        if let Expr::Call(call) = &expr.expr {
            let all = || call.args.iter().map(|arg| self.test(arg, variable)).collect::<Result<Vec<_>, _>>();
            match (call.func_name.as_str(), call.args.as_slice()) {
                (LOGICAL_NOT, [of]) => return Ok(Test::Not(Box::new(self.test(of, variable)?))),
                (LOGICAL_AND, _) => return all().map(Test::All),
                (LOGICAL_OR, _) => return all().map(Test::Any),
                _ => {}
            }
        }
        let (subject, test) = self.test_of_one(expr)?;
        match &subject.expr {
            Expr::Ident(name) if name == variable => Ok(test),
            _ => {
                self.unsupported(subject, "tests of other fields for each value of a list", "put them outside, and join them with && or ||")
            }
        }
    }

    /// What is tested, and how.
    fn test_of_one<'e>(&self, expr: &'e IdedExpr) -> Result<(&'e IdedExpr, Test), Refused> {
        let Expr::Call(call) = &expr.expr else { return Ok((expr, Test::Is(self.at(expr)))) };
        if let Some(text_test) = TextTest::named(&call.func_name) {
            return self.text_test(expr, call, text_test);
        }
        let (left, right) = match call.args.as_slice() {
            [left, right] if call.target.is_none() => (left, right),
            _ => return self.no_such_operation(expr, call),
        };
        let comparison = match call.func_name.as_str() {
            EQUALS => Comparison::Equal,
            NOT_EQUALS => Comparison::NotEqual,
            LESS => Comparison::Less,
            LESS_EQUALS => Comparison::LessOrEqual,
            GREATER => Comparison::Greater,
            GREATER_EQUALS => Comparison::GreaterOrEqual,
            INDEX => return Ok((expr, Test::Is(self.at(expr)))),
            IN => {
                let Expr::List(list) = &right.expr else {
                    return self.unsupported(right, "tests of this", "write x in [\"a\", \"b\"]");
                };
                let literals = list.elements.iter().map(|element| self.literal(element)).collect::<Result<_, _>>()?;
                return Ok((left, Test::In(literals)));
            }
            _ => return self.no_such_operation(expr, call),
        };
        match (is_constant(left), is_constant(right)) {
            (false, true) => Ok((left, Test::Compare(comparison, self.literal(right)?))),
            (true, false) => Ok((right, Test::Compare(comparison.turned(), self.literal(left)?))),
            (true, true) => self.unsupported(expr, "comparisons of two constants", "compare a field with a constant"),
            (false, false) => self.unsupported(expr, "comparisons of two fields", "compare a field with a constant"),
        }
    }

    fn text_test<'e>(&self, expr: &IdedExpr, call: &'e CallExpr, test: TextTest) -> Result<(&'e IdedExpr, Test), Refused> {
        let (Some(target), [argument]) = (&call.target, call.args.as_slice()) else {
            return self.unsupported(expr, format!("{} like this", test.name()), "write field.contains(\"text\")");
        };
        match &argument.expr {
            Expr::Literal(CelLiteral::String(text)) => Ok((target, Test::Text(test, text.inner().to_owned(), self.at(argument)))),
            _ => self.unsupported(argument, format!("{} of anything but a text", test.name()), "write the text in quotes"),
        }
    }

    fn no_such_operation<T>(&self, expr: &IdedExpr, call: &CallExpr) -> Result<T, Refused> {
        let found = match call.func_name.as_str() {
            CONDITIONAL => "choice by ? and :".to_owned(),
            ADD | SUBSTRACT | MULTIPLY | DIVIDE | MODULO | NEGATE => "arithmetic".to_owned(),
            name if name.starts_with(|first: char| first.is_alphabetic()) => format!("function {name}()"),
            name => format!("operator {}", name.replace('_', "")),
        };
        self.unsupported(
            expr,
            found,
            "there are ==, !=, <, <=, >, >=, in, &&, ||, !, has(), contains(), startsWith(), endsWith(), matches(), exists() and all()",
        )
    }

    fn field(&self, expr: &IdedExpr) -> Result<FieldName, Refused> {
        let Some(path) = path(expr) else {
            if let Expr::Call(call) = &expr.expr {
                return self.no_such_operation(expr, call);
            }
            return self.unsupported(expr, "tests of this", "name a field, such as court.name or metadata[\"court name\"]");
        };
        let at = self.at(first(expr));
        let inner = matches!(expr.expr, Expr::Select(_)).then(|| path.strip_prefix("metadata.")).flatten();
        Ok(FieldName { name: inner.map(str::to_owned).unwrap_or(path), at })
    }

    fn literal(&self, expr: &IdedExpr) -> Result<Literal, Refused> {
        let at = self.at(expr);
        let value = match &expr.expr {
            Expr::Literal(CelLiteral::Boolean(value)) => LiteralValue::Boolean(**value),
            Expr::Literal(CelLiteral::Int(value)) => LiteralValue::Integer(**value),
            Expr::Literal(CelLiteral::UInt(value)) => i64::try_from(**value).map_or(LiteralValue::Unsigned(**value), LiteralValue::Integer),
            Expr::Literal(CelLiteral::Double(value)) => LiteralValue::Number(**value),
            Expr::Literal(CelLiteral::String(text)) => LiteralValue::Text(text.inner().to_owned()),
            Expr::Literal(CelLiteral::Null) => return self.unsupported(expr, "null", "ask with has(metadata.field)"),
            Expr::Literal(CelLiteral::Bytes(_)) => return self.unsupported(expr, "bytes", "write a text in quotes"),
            Expr::Call(call) if is_timestamp(call) => match call.args.first().map(|arg| &arg.expr) {
                Some(Expr::Literal(CelLiteral::String(text))) => LiteralValue::Timestamp(text.inner().to_owned()),
                _ => return self.unsupported(expr, "timestamp() of this", "write timestamp(\"2021-01-01T00:00:00Z\")"),
            },
            _ => return self.unsupported(expr, "comparisons with this", "write a constant: a text in quotes, a number, true or false"),
        };
        Ok(Literal { value, at })
    }
}

fn is_timestamp(call: &CallExpr) -> bool {
    call.func_name == "timestamp" && call.target.is_none() && call.args.len() == 1
}

fn is_constant(expr: &IdedExpr) -> bool {
    match &expr.expr {
        Expr::Literal(_) | Expr::List(_) => true,
        Expr::Call(call) => is_timestamp(call),
        _ => false,
    }
}

/// The field that an expression names: identifiers between dots, or `metadata["name"]`.
fn path(expr: &IdedExpr) -> Option<String> {
    match &expr.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => Some(format!("{}.{}", path(&select.operand)?, select.field)),
        Expr::Call(call) if call.func_name == INDEX => match call.args.as_slice() {
            [IdedExpr { expr: Expr::Ident(root), .. }, IdedExpr { expr: Expr::Literal(CelLiteral::String(name)), .. }]
                if root == METADATA =>
            {
                Some(name.inner().to_owned())
            }
            _ => None,
        },
        _ => None,
    }
}

/// The first identifier of a path.
fn first(expr: &IdedExpr) -> &IdedExpr {
    match &expr.expr {
        Expr::Select(select) => first(&select.operand),
        Expr::Call(call) => call.args.first().unwrap_or(expr),
        _ => expr,
    }
}
