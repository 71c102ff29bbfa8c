//! One key: what it may read, and how often.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use mempack_filter::{Expression, FilterError};

use crate::names::KeyName;
use crate::quota::Quota;
use crate::secret::SecretHash;

/// The packs that a key sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackScope {
    /// All that the server has, also those that it mounts later.
    All,
    /// Those of these names, whether or not the server has them.
    Named(BTreeSet<String>),
}

impl PackScope {
    /// Whether the pack of this name is among them.
    pub fn contains(&self, pack: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(pack),
        }
    }
}

/// A filter with the text it was written as.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    text: String,
    expression: Expression,
}

impl Filter {
    /// The filter as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The filter as it is evaluated.
    pub fn expression(&self) -> &Expression {
        &self.expression
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Ok(Self { text: text.to_owned(), expression: text.parse()? })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A key as it is in the file. Its secret is not.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Key {
    /// Its name.
    pub name: KeyName,
    /// What is kept of its secret.
    pub hash: SecretHash,
    /// The packs that it sees.
    pub packs: PackScope,
    /// How often it may ask; without one, as often as the server can.
    pub quota: Option<Quota>,
    /// What every search of the key obeys.
    pub filter: Option<Filter>,
    /// Whether it may mount and remove packs, and see the metrics of all.
    pub admin: bool,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is refused.
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// Whether a key is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It is.
    Active,
    /// It was revoked, at this moment.
    Revoked(Timestamp),
    /// It expired, at this moment.
    Expired(Timestamp),
}

impl Key {
    /// Whether it is of use now.
    pub fn state(&self) -> KeyState {
        match (self.revoked, self.expires) {
            (Some(at), _) => KeyState::Revoked(at),
            (None, Some(at)) if at <= Timestamp::now() => KeyState::Expired(at),
            (None, _) => KeyState::Active,
        }
    }
}

/// A key to be made: [`Keys::add`](crate::Keys::add) gives it a secret and a date.
#[derive(Clone, Debug, PartialEq)]
pub struct NewKey {
    /// Its name, which no other key has.
    pub name: KeyName,
    /// The packs that it sees.
    pub packs: PackScope,
    /// How often it may ask; without one, as often as the server can.
    pub quota: Option<Quota>,
    /// What every search of the key obeys.
    pub filter: Option<Filter>,
    /// Whether it may mount and remove packs, and see the metrics of all.
    pub admin: bool,
    /// From when on it is refused.
    pub expires: Option<Timestamp>,
}

impl NewKey {
    /// A key that sees all packs, asks without limit and never expires, and is none for administration.
    pub fn new(name: KeyName) -> Self {
        Self { name, packs: PackScope::All, quota: None, filter: None, admin: false, expires: None }
    }
}
