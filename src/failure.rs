//! What ends a command early: an error, the exit code that scripts see, and a hint which option to use.

use std::error::Error;
use std::fmt::{self, Write as _};

use crate::terminal::{self, errln};

/// The kinds of failure. Each is an exit code (0 is success; clap also uses 2 for usage).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The work failed.
    Work = 1,
    /// The command line asks for something impossible.
    Usage = 2,
    /// The pack is damaged, or a trusted key's signature is wrong.
    Damaged = 3,
    /// The pack and the model, or the pack and the embedder, do not match; or no trusted key signed the pack.
    Mismatch = 4,
    /// The work is done, but standard output could not be written, for example because the disk is full.
    Output = 5,
    /// Stopped by the user.
    Interrupted = 130,
}

/// An error with the exit code it ends in.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    error: Box<dyn Error + Send + Sync>,
    hint: Option<&'static str>,
    details: Option<String>,
}

impl Failure {
    /// A failure of a given kind.
    pub fn new(kind: Kind, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, error: error.into(), hint: None, details: None }
    }

    /// The same failure with a hint, usually from [`hints`](crate::hints).
    pub fn with_hint(self, hint: Option<&'static str>) -> Self {
        Self { hint, ..self }
    }

    /// The same failure with details that few want to read; `--verbose` prints them.
    #[cfg_attr(not(feature = "engine"), allow(dead_code))]
    pub fn with_details(self, details: Option<String>) -> Self {
        Self { details, ..self }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Prints the error with its causes and the hint on standard error, and returns the exit code.
    pub fn report(&self) -> u8 {
        errln!("mempack: {self}");
        if let Some(hint) = self.hint {
            errln!("hint: {hint}");
        }
        if let Some(details) = &self.details {
            if terminal::is_verbose() {
                errln!("{details}");
            } else {
                errln!("--verbose prints the details");
            }
        }
        self.kind as u8
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.error.to_string();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            // Some errors include their cause in their own text.
            let more = error.to_string();
            if !text.contains(&more) {
                write!(text, ": {more}")?;
            }
            cause = error.source();
        }
        f.write_str(&text)
    }
}

/// Any other error: the work failed.
impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(Kind::Work, error)
    }
}
