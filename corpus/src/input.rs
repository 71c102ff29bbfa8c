//! What the user names as a corpus.

use std::fmt;
use std::path::PathBuf;

/// The name of standard input in messages and documents.
pub(crate) const STANDARD_INPUT: &str = "standard input";

/// One part of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A `.txt`, `.md` or `.jsonl` file, or a folder of them.
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
