//! Signing a set in its file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::write::write;
use super::{PackSetFile, SetError, SetId};
use crate::constants::MAX_SIGNATURES;
use crate::{DiskStorage, PrivateKey, WriteError};

/// Why a set was not signed. The file at the target is unchanged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SignSetError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; check the path and its permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a set that can be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SetError,
    },
    /// There is no room for another signature.
    #[error("{} has {MAX_SIGNATURES} signatures of other keys, the most there may be; sign a copy that has fewer", path.display())]
    Full {
        /// The set.
        path: PathBuf,
    },
    /// The signed set was not put in its place.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Signs the set at `source` and writes it with its signatures to `target`, which may be `source`. Returns its id, which signing does not
/// change, and how many signatures it has now.
///
/// # Errors
/// If `source` is not a set, has [`MAX_SIGNATURES`] signatures of other keys, or reading or writing fails. The file at `target` is then
/// unchanged.
pub fn sign_set_file(source: &Path, key: &PrivateKey, target: &Path) -> Result<(SetId, usize), SignSetError> {
    let bytes = std::fs::read(source).map_err(|error| SignSetError::Io { path: source.to_owned(), source: error })?;
    let mut set = PackSetFile::read(&bytes).map_err(|error| SignSetError::Read { path: source.to_owned(), source: error })?;
    let signature = key.sign(set.id());
    set.signatures.retain(|other| other.signer() != signature.signer());
    if set.signatures.len() >= MAX_SIGNATURES as usize {
        return Err(SignSetError::Full { path: source.to_owned() });
    }
    set.signatures.push(signature);
    write(&set, Arc::new(DiskStorage), target, Some(source))?;
    Ok((set.id(), set.signatures.len()))
}
