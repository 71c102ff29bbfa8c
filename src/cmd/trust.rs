//! Which keys must have signed a pack.

use std::path::{Path, PathBuf};

use mempack_format::{KeyError, PublicKey, SignatureError};

use crate::failure::{Failure, Kind};

/// Reads the public keys of `--trusted`.
pub fn read_keys(files: &[PathBuf]) -> Result<Vec<PublicKey>, KeyError> {
    files.iter().map(|path| PublicKey::read(path)).collect()
}

/// Requires a signature by one of `trusted`, unless there are none. Returns which of them signed, as the end of a line of output.
///
/// `signed_by` is that of the pack or set at `path`.
pub fn signers(
    path: &Path,
    trusted: &[PublicKey],
    signed_by: impl FnOnce(&[PublicKey]) -> Result<Vec<PublicKey>, SignatureError>,
) -> Result<String, Failure> {
    if trusted.is_empty() {
        return Ok(String::new());
    }
    let signed = signed_by(trusted).map_err(|error| {
        let kind = if error.is_damage() { Kind::Damaged } else { Kind::Mismatch };
        Failure::new(kind, format!("{}: {error}", path.display()))
    })?;
    let names: Vec<String> = signed.iter().map(|key| key.id().to_string()).collect();
    Ok(format!(", signed by {}", names.join(", ")))
}

/// The keys that signed, with wrong signatures marked; `nobody` if there are none.
pub fn names(signers: Vec<(String, bool)>, nobody: &str) -> String {
    let name = |(key, right): (String, bool)| if right { key } else { format!("{key} (wrong)") };
    let names: Vec<String> = signers.into_iter().map(name).collect();
    if names.is_empty() { nobody.into() } else { names.join(", ") }
}
