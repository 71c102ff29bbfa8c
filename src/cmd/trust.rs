//! Which keys must have signed a pack.

use std::path::{Path, PathBuf};

use mempack_format::{KeyError, PublicKey};
use mempack_runtime::MappedPack;

use crate::failure::{Failure, Kind};

/// Reads the public keys of `--trusted`.
pub fn read_keys(files: &[PathBuf]) -> Result<Vec<PublicKey>, KeyError> {
    files.iter().map(|path| PublicKey::read(path)).collect()
}

/// Requires a signature by one of `trusted`, unless there are none. Returns which of them signed, as the end of a line of output.
pub fn signers(path: &Path, pack: &MappedPack, trusted: &[PublicKey]) -> Result<String, Failure> {
    if trusted.is_empty() {
        return Ok(String::new());
    }
    let signed = pack.signed_by(trusted).map_err(|error| {
        let kind = if error.is_damage() { Kind::Damaged } else { Kind::Mismatch };
        Failure::new(kind, format!("{}: {error}", path.display()))
    })?;
    let names: Vec<String> = signed.iter().map(|key| key.id().to_string()).collect();
    Ok(format!(", signed by {}", names.join(", ")))
}
