//! What commands share that read a corpus.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use mempack_corpus::{CorpusError, DuplicateIds, Input};

use crate::failure::{Failure, Kind};
use crate::hints;

/// The value of `--duplicate-ids`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum OnDuplicate {
    /// End with an error that names both documents
    #[default]
    Refuse,
    /// Number equal ids: README.md, README.md#2, README.md#3
    Suffix,
}

impl From<OnDuplicate> for DuplicateIds {
    fn from(rule: OnDuplicate) -> Self {
        match rule {
            OnDuplicate::Refuse => Self::Refuse,
            OnDuplicate::Suffix => Self::Suffix,
        }
    }
}

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

/// Fails once the user has interrupted.
pub fn unless_interrupted(cancel: &AtomicBool) -> Result<(), Failure> {
    if cancel.load(Ordering::SeqCst) { Err(Failure::new(Kind::Interrupted, "interrupted; nothing was written")) } else { Ok(()) }
}
