//! The small objects of a store: what they hold and their one form.
//!
//! They are JSON without spaces, with the fields in the order of the types here, so that people can read them and equal contents have equal
//! bytes: what is read is written again and compared. Names of objects are digests of these bytes. The two kinds that change have other names; a
//! second line of theirs is the digest of the first, so that a byte that changed on the way is noticed in them too.

mod condemned;
mod edition;
mod head;
mod hex;
mod index;

use mempack_format::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

pub use condemned::{Condemned, Deleting, Sentence};
pub use edition::{Edition, EditionFile};
pub use head::{Head, HeadEntry, MAX_HISTORY, is_name};
pub use index::{FileIndex, Piece};

/// Why an object is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// It is not JSON, or has other fields.
    #[error("it is not {form:?}: {source}")]
    Json {
        /// The form expected.
        form: &'static str,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// It says that it is something else.
    #[error("it is {found:?}, expected {expected:?}; a newer mempack may read it")]
    Form {
        /// The form expected.
        expected: &'static str,
        /// The form that it names.
        found: String,
    },
    /// It has the right fields, but not in the one form.
    #[error("it is not in the one form of {form:?}")]
    NotCanonical {
        /// The form.
        form: &'static str,
    },
    /// Its second line is not the digest of the first.
    #[error("it is not {form:?} with its digest: it was changed or cut short")]
    Seal {
        /// The form expected.
        form: &'static str,
    },
    /// A field is out of bounds.
    #[error("{field} is {found}, expected {expected}")]
    Bounds {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
}

impl ObjectError {
    fn bounds(field: &'static str, expected: impl ToString, found: impl ToString) -> Self {
        Self::Bounds { field, expected: expected.to_string(), found: found.to_string() }
    }
}

/// Bytes of a second line, with the ends of both.
const SEAL_BYTES: usize = 66;

/// An object with one form.
pub trait Stored: Serialize + DeserializeOwned {
    /// What the object says that it is.
    const FORM: &'static str;

    /// Most bytes that one may have.
    const MAX_BYTES: u64;

    /// Whether its digest is a second line of it, because its name is not.
    const SEALED: bool = false;

    /// The form that this object names.
    fn form(&self) -> &str;

    /// Checks the bounds of its fields.
    ///
    /// # Errors
    /// The first field that is out of bounds.
    fn check(&self) -> Result<(), ObjectError>;

    /// Its bytes.
    fn to_bytes(&self) -> Vec<u8> {
        // Writing to a vector does not fail, and no type here has a map with other keys than strings.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        if Self::SEALED {
            let digest = Digest::of(&bytes);
            bytes.extend(format!("\n{digest}\n").into_bytes());
        }
        bytes
    }

    /// Reads one.
    ///
    /// # Errors
    /// If the bytes are not those of such an object in its one form.
    fn from_bytes(bytes: &[u8]) -> Result<Self, ObjectError> {
        let mut first = bytes;
        if Self::SEALED {
            let (line, seal) =
                bytes.split_at_checked(bytes.len().wrapping_sub(SEAL_BYTES)).ok_or(ObjectError::Seal { form: Self::FORM })?;
            if seal != format!("\n{}\n", Digest::of(line)).as_bytes() {
                return Err(ObjectError::Seal { form: Self::FORM });
            }
            first = line;
        }
        let object: Self = serde_json::from_slice(first).map_err(|source| ObjectError::Json { form: Self::FORM, source })?;
        if object.form() != Self::FORM {
            return Err(ObjectError::Form { expected: Self::FORM, found: object.form().to_owned() });
        }
        object.check()?;
        if object.to_bytes() != bytes {
            return Err(ObjectError::NotCanonical { form: Self::FORM });
        }
        Ok(object)
    }
}

/// Whether a name is one file in a folder on every system, and no option of a command: of packs and sets alone.
pub fn is_file_name(name: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
    let begins = |c: char| c.is_alphanumeric() || c == '_';
    name.len() <= 255 && name.starts_with(begins) && name.chars().all(allowed) && (name.ends_with(".mpk") || name.ends_with(".mps"))
}

#[cfg(test)]
mod tests;
