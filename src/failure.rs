//! What ends a command early: an error and the exit code that tells scripts which kind it is.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::process::ExitCode;

/// The kinds of failure that have an exit code of their own (0 is success, 2 is clap's for usage).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The work failed.
    Work = 1,
    /// The command line asks for something that cannot be.
    Usage = 2,
    /// The pack is damaged, or a trusted key's signature is wrong.
    Damaged = 3,
    /// The pack and the model, or the pack and the embedder, do not match; or no trusted key signed the pack.
    Mismatch = 4,
    /// Stopped by the user.
    Interrupted = 130,
}

/// An error with the exit code it ends in.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// A failure of a given kind.
    pub fn new(kind: Kind, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, error: error.into() }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Print the error with its causes on standard error, and give the exit code.
    pub fn report(&self) -> ExitCode {
        eprintln!("mempack: {self}");
        ExitCode::from(self.kind as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.error.to_string();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            // An error that shows its cause in its own text is not shown twice.
            let more = error.to_string();
            if !text.contains(&more) {
                write!(text, ": {more}")?;
            }
            cause = error.source();
        }
        f.write_str(&text)
    }
}

/// Any error without a kind of its own: the work failed.
impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(Kind::Work, error)
    }
}
