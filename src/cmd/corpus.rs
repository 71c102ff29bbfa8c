//! What commands share that read a corpus.

use std::path::PathBuf;

use mempack_corpus::{CorpusError, Input};

use crate::failure::{Failure, Kind};

/// The inputs that the user named; `-` is standard input.
pub fn inputs(corpus: &[PathBuf]) -> Vec<Input> {
    let input = |path: &PathBuf| if path.as_os_str() == "-" { Input::Stdin } else { Input::Path(path.clone()) };
    corpus.iter().map(input).collect()
}

/// What the command line can name instead of an input that was refused.
pub fn remedy(error: &CorpusError) -> Option<&'static str> {
    match error {
        CorpusError::Missing { .. } => Some("or name another .txt, .md or .jsonl file, a folder, or - for standard input"),
        _ => None,
    }
}

/// The failure of a command whose corpus was not read.
pub fn failure(error: CorpusError) -> Failure {
    match remedy(&error) {
        Some(remedy) => Failure::new(Kind::Work, format!("{error}, {remedy}")),
        None => error.into(),
    }
}
