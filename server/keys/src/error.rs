//! What goes wrong with a file of keys.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use mempack_filter::FilterError;

use crate::names::{KeyName, NameError, PackNameError};
use crate::quota::QuotaError;
use crate::secret::HashError;
use crate::time::MomentError;

/// A file of keys cannot be read, changed or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The system refuses.
    #[error("{}: cannot {action} the file of keys: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The file is no file of keys, or a part of it is wrong.
    #[error("{}: line {line}{}: {defect}", path.display(), of_field(.field.as_deref()))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The field, such as `key.quota`, if it is in one.
        field: Option<String>,
        /// What is wrong.
        defect: Box<Defect>,
    },
    /// There is a key of this name already.
    #[error("there is a key {name} already{}; rotate it to give it another secret", if *revoked { ", which is revoked" } else { "" })]
    Exists {
        /// The name.
        name: KeyName,
        /// Whether that key is revoked.
        revoked: bool,
    },
    /// There is no key of this name.
    #[error("there is no key {name:?}; {}", known(.names))]
    NoKey {
        /// The name.
        name: String,
        /// The names that there are.
        names: Vec<KeyName>,
    },
    /// A revoked key gets no other secret.
    #[error("the key {name} is revoked and stays so; add a key with another name")]
    Revoked {
        /// Its name.
        name: KeyName,
    },
    /// A key that has expired gets no other secret without another date.
    #[error("the key {name} expired at {at}; give it a later date with its new secret")]
    Expired {
        /// Its name.
        name: KeyName,
        /// When.
        at: jiff::Timestamp,
    },
    /// A date at which a key expires is not in the future.
    #[error("a key that expires at {at} would never be of use; it is {now} now")]
    ExpiresEarly {
        /// When it would expire.
        at: jiff::Timestamp,
        /// The time now.
        now: jiff::Timestamp,
    },
    /// The file was changed by somebody else since it was read.
    #[error("{}: the file of keys was changed since it was read; read it again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else is changing the file.
    #[error("{}: another process has been changing the keys for {} s; try again, or end it", path.display(), waited.as_secs())]
    Locked {
        /// The file of the lock.
        path: PathBuf,
        /// How long this process waited.
        waited: Duration,
    },
    /// A key to be added names a pack that no pack can be.
    #[error(transparent)]
    Pack(#[from] PackNameError),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers for a secret: {0}")]
    Random(getrandom::Error),
    /// The keys have no form in TOML.
    #[error("the keys cannot be written as TOML: {0}")]
    Compose(#[from] toml::ser::Error),
}

/// What is wrong in a file of keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// It is longer than any file of keys.
    #[error("the file has more than {limit} bytes, the most that a file of keys may have")]
    TooLong {
        /// The limit in bytes.
        limit: u64,
    },
    /// It is not UTF-8.
    #[error("the file is not text: it has bytes that are not UTF-8")]
    NotText,
    /// It is not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// A field is missing.
    #[error("the field is missing; expected {expected}")]
    Missing {
        /// What it would be.
        expected: &'static str,
    },
    /// A field is none of those known.
    #[error("there is no such field; the fields are {known}")]
    Unknown {
        /// The fields, with commas between them.
        known: String,
    },
    /// A value is of another kind.
    #[error("expected {expected}, found a value of type {found}")]
    Kind {
        /// The kind that is there.
        found: &'static str,
        /// What is expected.
        expected: &'static str,
    },
    /// The file is of another version.
    #[error("the file is of version {found:?}, and this program knows version 1")]
    Version {
        /// The version.
        found: String,
    },
    /// A name or secret occurs twice.
    #[error("{what} is that of the key in line {first} too")]
    Repeated {
        /// Whether it is the name or the hash.
        what: &'static str,
        /// The line of the first, counted from 1.
        first: usize,
    },
    /// A name is wrong.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A hash is wrong.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The name of a pack is wrong.
    #[error(transparent)]
    Pack(#[from] PackNameError),
    /// A quota is wrong.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// A filter is wrong.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A moment is wrong.
    #[error(transparent)]
    Moment(#[from] MomentError),
}

fn of_field(field: Option<&str>) -> String {
    field.map(|field| format!(", {field}")).unwrap_or_default()
}

fn known(names: &[KeyName]) -> String {
    const MOST: usize = 24;
    let shown: Vec<&str> = names.iter().take(MOST).map(KeyName::as_str).collect();
    match names.len() {
        0 => "the file has no keys".to_owned(),
        all if all > MOST => format!("the keys are {}, ... ({all} in all)", shown.join(", ")),
        _ => format!("the keys are {}", shown.join(", ")),
    }
}
