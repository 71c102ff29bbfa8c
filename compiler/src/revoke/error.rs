//! Why documents were not revoked.

use mempack_format::{ReadError, WriteError};
use thiserror::Error;

/// Why documents were not revoked. A file at the target is unchanged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// No document would remain.
    #[error("all {documents} documents of the pack would be revoked; delete the pack instead")]
    NothingLeft {
        /// How many there are.
        documents: u32,
    },
    /// The pack is damaged. Its wrong bytes would get right digests in a new pack.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The new pack was not written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The cancel flag was set.
    #[error("interrupted; nothing was written, and the documents are still in the pack: revoke them again")]
    Interrupted,
}

impl RevokeError {
    /// Whether the old pack is damaged.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Read(ReadError::Damaged(_)))
    }
}
