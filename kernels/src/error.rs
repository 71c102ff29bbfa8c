//! Errors of shapes and weights.

/// Sizes that do not fit each other, or a number that cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// A slice of another length than its shape says.
    #[error("{what}: expected {expected} numbers, found {found}")]
    Length {
        /// The slice.
        what: &'static str,
        /// Numbers that the shape needs.
        expected: usize,
        /// Numbers that there are.
        found: usize,
    },
    /// A size that another one does not allow.
    #[error("{what}: expected {expected}, found {found}")]
    Size {
        /// The size.
        what: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: usize,
    },
    /// A weight that 8 bits cannot hold: NaN, an infinity, or a number above 8 million.
    #[error("weight in row {row}, column {column}: expected a finite number below 8e6, found {found}; keep this matrix in bf16 or f32")]
    Weight {
        /// Row of the weight.
        row: usize,
        /// Column of the weight.
        column: usize,
        /// The number, as text.
        found: String,
    },
    /// A token that the vocabulary does not have.
    #[error("row {row} of the batch: token {token} is not in the vocabulary of {vocabulary}")]
    Token {
        /// Number of the row.
        row: usize,
        /// The token.
        token: u32,
        /// Tokens of the vocabulary.
        vocabulary: usize,
    },
    /// A sequence without room for the tokens.
    #[error(
        "sequence {sequence} of the batch: it holds {length} tokens of at most {capacity}, and {more} more do not fit; begin a new one"
    )]
    Full {
        /// Number of the sequence in the batch.
        sequence: usize,
        /// Tokens that it holds.
        length: usize,
        /// Tokens that it may hold.
        capacity: usize,
        /// Tokens to append.
        more: usize,
    },
}

/// Checks the length of a slice.
pub(crate) fn check(what: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
    if expected == found { Ok(()) } else { Err(KernelError::Length { what, expected, found }) }
}
