//! Why a file is not read.

use std::io;

use thiserror::Error;

/// Why a file is not read, as the end of a sentence that its name begins: `report.pdf is encrypted; ...`. None of its documents counts then.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Failure {
    /// Reading failed.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// No format is known that it has.
    #[error("is {what}; {advice}")]
    Unknown {
        /// What it is, with its article.
        what: &'static str,
        /// What to do with it.
        advice: &'static str,
    },
    /// It is of a format, and not as the format demands.
    #[error("is no whole {format}: {}", printable(reason))]
    Invalid {
        /// The format, without an article.
        format: &'static str,
        /// What is wrong, and where.
        reason: String,
    },
    /// It needs a password.
    #[error("is encrypted; {advice}")]
    Encrypted {
        /// How to take the password off.
        advice: &'static str,
    },
    /// Its rows do not have a field that is named for them.
    #[error("has no field {field:?}; it has {}", printable(fields))]
    NoField {
        /// The field.
        field: String,
        /// The fields there are, the nearest names first.
        fields: String,
    },
    /// It is larger than a limit.
    #[error("has more than {limit} {what}, the limit of {name}; {advice}")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
        /// The limit's name, as in [`Limits`](crate::Limits).
        name: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// Its content grows so much that it is an attack, or damaged.
    #[error(
        "unpacks to more than {limit} bytes ({ratio} times its size); this is refused, as an archive that is made to fill memory does so"
    )]
    Bomb {
        /// How many bytes are allowed.
        limit: u64,
        /// How many times the file's size that is.
        ratio: u64,
    },
    /// It has no words.
    #[error("has no text; {advice}")]
    Empty {
        /// What may be the cause, and what to do.
        advice: &'static str,
    },
}

impl Failure {
    /// A document whose text is above the limit.
    pub(crate) fn text_too_large(limit: u64) -> Self {
        Self::TooLarge { what: "bytes of text", limit, name: "the text of a document", advice: "divide it into several files" }
    }

    /// A file that is not as its format demands.
    pub(crate) fn invalid(format: &'static str, reason: impl ToString) -> Self {
        Self::Invalid { format, reason: reason.to_string() }
    }
}

/// A text of a file as a message has it: a control character, which may be an order to a terminal, becomes U+FFFD.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
