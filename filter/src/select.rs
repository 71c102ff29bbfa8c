//! The documents that pass.

use fixedbitset::FixedBitSet;
use mempack_format::FieldKind;

use crate::check::{Checked, FieldType, Step};
use crate::condition::Of;
use crate::predicate::Value;

/// A field of a pack: numbered values, and the numbers of those that each document has.
pub trait Column {
    /// Why it cannot be read.
    type Error;

    /// What it holds.
    fn field_type(&self) -> FieldType;

    /// How many different values there are.
    fn values(&self) -> u32;

    /// The text of a value, in the form of its kind.
    ///
    /// # Errors
    /// If the value does not exist, or is damaged.
    fn value(&self, number: u32) -> Result<&str, Self::Error>;

    /// Puts the numbers of the values of a document into `numbers`, in place of what it holds.
    ///
    /// # Errors
    /// If they are damaged.
    fn of_document(&self, document: u32, numbers: &mut Vec<u32>) -> Result<(), Self::Error>;
}

/// A set of documents, by their numbers.
pub type Documents = FixedBitSet;

impl Checked {
    /// The documents that pass, of those numbered below `documents`. `column` gives the fields by name; those that it does not have are fields that
    /// no document has.
    ///
    /// Each test is evaluated once for each different value of its field.
    ///
    /// # Errors
    /// If a column cannot be read.
    pub fn select<C: Column>(
        &self,
        documents: u32,
        column: impl FnMut(&str) -> Result<Option<C>, C::Error>,
    ) -> Result<Documents, C::Error> {
        let columns = self.fields.iter().map(String::as_str).map(column).collect::<Result<Vec<_>, _>>()?;
        let answers = Answers::of(&self.condition, &columns)?;
        let mut passing = Documents::with_capacity(documents as usize);
        let mut document = Document { values: vec![Vec::new(); columns.len()] };
        for number in 0..documents {
            for (column, values) in columns.iter().zip(&mut document.values) {
                if let Some(column) = column {
                    column.of_document(number, values)?;
                }
            }
            passing.set(number as usize, answers.of_document(&document) == Some(true));
        }
        Ok(passing)
    }
}

/// A condition whose tests have been evaluated for every value.
enum Answers {
    Constant(bool),
    Unknown,
    Not(Box<Answers>),
    All(Vec<Answers>),
    Any(Vec<Answers>),
    Has(usize),
    Test { field: usize, of: Of, passing: FixedBitSet },
}

/// The numbers of the values of a document, for each field.
struct Document {
    values: Vec<Vec<u32>>,
}

impl Answers {
    fn of<C: Column>(step: &Step, columns: &[Option<C>]) -> Result<Self, C::Error> {
        let each = |of: &[Step]| of.iter().map(|of| Self::of(of, columns)).collect::<Result<Vec<_>, _>>();
        Ok(match step {
            Step::Constant(answer) => Self::Constant(*answer),
            Step::Unknown => Self::Unknown,
            Step::Not(of) => Self::Not(Box::new(Self::of(of, columns)?)),
            Step::All(of) => Self::All(each(of)?),
            Step::Any(of) => Self::Any(each(of)?),
            Step::Has(field) => Self::Has(*field),
            Step::Test { field, of, predicate } => match columns.get(*field) {
                Some(Some(column)) => {
                    let kind: FieldKind = column.field_type().kind;
                    let mut passing = FixedBitSet::with_capacity(column.values() as usize);
                    for number in 0..column.values() {
                        let passes = Value::of(kind, column.value(number)?).is_some_and(|value| predicate.admits(value));
                        passing.set(number as usize, passes);
                    }
                    Self::Test { field: *field, of: *of, passing }
                }
                _ => Self::Unknown,
            },
        })
    }

    /// The answer for a document; `None` if it is unknown, as errors are in CEL.
    fn of_document(&self, document: &Document) -> Option<bool> {
        let values = |field: &usize| document.values.get(*field).map(Vec::as_slice).unwrap_or_default();
        match self {
            Self::Constant(answer) => Some(*answer),
            Self::Unknown => None,
            Self::Not(of) => of.of_document(document).map(|answer| !answer),
            Self::All(of) => decide(of, document, false),
            Self::Any(of) => decide(of, document, true),
            Self::Has(field) => Some(!values(field).is_empty()),
            Self::Test { field, of, passing } => {
                let passes = |number: &u32| passing.contains(*number as usize);
                match (values(field), of) {
                    ([], _) => None,
                    (values, Of::One | Of::Some) => Some(values.iter().any(passes)),
                    (values, Of::Each) => Some(values.iter().all(passes)),
                }
            }
        }
    }
}

/// `decisive` if one answer is that; otherwise unknown if one is, or else the opposite.
fn decide(of: &[Answers], document: &Document, decisive: bool) -> Option<bool> {
    let mut unknown = false;
    for answers in of {
        match answers.of_document(document) {
            Some(answer) if answer == decisive => return Some(decisive),
            Some(_) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(!decisive)
}
