//! What the user names as a corpus.

use std::fmt;
use std::path::PathBuf;

/// The name of standard input in messages and documents.
pub(crate) const STANDARD_INPUT: &str = "standard input";

/// One part of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A text (`.txt`, `.md`), a file of JSON lines (`.jsonl`), or a folder of them. A pipe or device is read like standard input.
    Path(PathBuf),
    /// Standard input: JSON lines if its first byte that is not white space is `{`, one text document otherwise.
    Stdin,
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Stdin => f.write_str(STANDARD_INPUT),
        }
    }
}

/// What becomes of a document with the id of an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DuplicateIds {
    /// The corpus is refused. The error names both documents.
    #[default]
    Refuse,
    /// The id gets a number: `README.md`, `README.md#2`, `README.md#3`.
    Suffix,
}
