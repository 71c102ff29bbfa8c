//! The flag by which a caller stops a build.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::BuildError;

/// Fails with [`BuildError::Interrupted`] if the flag is set.
pub(crate) fn check(cancel: &AtomicBool) -> Result<(), BuildError> {
    if cancel.load(Ordering::Relaxed) { Err(BuildError::Interrupted) } else { Ok(()) }
}
