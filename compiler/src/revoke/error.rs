//! Why documents were not revoked.

use mempack_format::{ReadError, WriteError};
use thiserror::Error;

/// Why documents were not revoked. What was at the target is there still.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// No document would stay.
    #[error("all {documents} documents of the pack would be revoked; delete the pack instead")]
    NothingLeft {
        /// How many there are.
        documents: u32,
    },
    /// The pack is damaged: what stays of it would get right digests for wrong bytes.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The new pack was not written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The cancel flag was set.
    #[error("interrupted; nothing was written, and the documents are still in the pack: run the same command again")]
    Interrupted,
}

impl RevokeError {
    /// Whether the old pack is damaged.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Read(ReadError::Damaged(_)))
    }
}
