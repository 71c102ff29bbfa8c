//! What commands share that read a corpus.

use std::path::PathBuf;

use mempack_corpus::{CorpusError, Input};

use crate::failure::{Failure, Kind};
use crate::hints;

/// The inputs that the user named; `-` is standard input.
pub fn inputs(corpus: &[PathBuf]) -> Vec<Input> {
    let input = |path: &PathBuf| if path.as_os_str() == "-" { Input::Stdin } else { Input::Path(path.clone()) };
    corpus.iter().map(input).collect()
}

/// The failure of a command whose corpus was not read.
pub fn failure(error: CorpusError) -> Failure {
    let hint = hints::corpus(&error);
    Failure::new(Kind::Work, error).with_hint(hint)
}
