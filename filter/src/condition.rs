//! What an expression asks of a document, before the kinds of the fields are known.

/// A position in the expression: characters before it.
pub(crate) type Position = usize;

/// Asks something of a document. The answer is unknown where it tests a field that the document does not have.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    Constant(bool),
    Not(Box<Condition>),
    /// Whether all are true.
    All(Vec<Condition>),
    /// Whether one of them is true.
    Any(Vec<Condition>),
    /// Whether the document has the field. Never unknown.
    Has(FieldName),
    Test {
        field: FieldName,
        of: Of,
        test: Test,
    },
}

/// A field that an expression names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldName {
    pub name: String,
    pub at: Position,
}

/// Which values of a field a test is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// The only one.
    One,
    /// One of a list.
    Some,
    /// Each of a list.
    Each,
}

/// Asks something of one value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    Constant(bool),
    Not(Box<Test>),
    All(Vec<Test>),
    Any(Vec<Test>),
    /// Whether the value, a boolean, is true.
    Is(Position),
    Compare(Comparison, Literal),
    /// Whether it is one of these.
    In(Vec<Literal>),
    Text(TextTest, String, Position),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// The same comparison with its sides exchanged.
    pub fn turned(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Equal | Self::NotEqual => self,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextTest {
    Contains,
    StartsWith,
    EndsWith,
    Matches,
}

impl TextTest {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "contains" => Self::Contains,
            "startsWith" => Self::StartsWith,
            "endsWith" => Self::EndsWith,
            "matches" => Self::Matches,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Contains => "contains()",
            Self::StartsWith => "startsWith()",
            Self::EndsWith => "endsWith()",
            Self::Matches => "matches()",
        }
    }
}

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Literal {
    pub value: LiteralValue,
    pub at: Position,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LiteralValue {
    Boolean(bool),
    Integer(i64),
    /// An integer beyond `i64`.
    Unsigned(u64),
    Number(f64),
    Text(String),
    /// `timestamp("...")`.
    Timestamp(String),
}

impl Condition {
    /// Calls `visit` with each field named.
    pub fn fields<'c>(&'c self, visit: &mut impl FnMut(&'c FieldName)) {
        match self {
            Self::Constant(_) => {}
            Self::Not(of) => of.fields(visit),
            Self::All(of) | Self::Any(of) => of.iter().for_each(|condition| condition.fields(visit)),
            Self::Has(field) | Self::Test { field, .. } => visit(field),
        }
    }
}
