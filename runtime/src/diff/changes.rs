//! The result of a comparison.

use mempack_format::{Difference, Digest, ReadError};

/// One difference between the packs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A document is only in the new pack.
    DocumentAdded {
        /// Its id.
        id: String,
        /// Number of its references.
        references: u32,
    },
    /// A document is only in the old pack.
    DocumentRemoved {
        /// Its id.
        id: String,
        /// Number of its references.
        references: u32,
    },
    /// A document is in both packs, with different fields or different references.
    DocumentChanged {
        /// Its id.
        id: String,
        /// The fields that differ; those of the metadata as `metadata.NAME`.
        fields: Vec<String>,
        /// Number of its references in the old and in the new pack; `None` if they are the same in the same order.
        references: Option<(u32, u32)>,
    },
    /// A reference is only in the new pack.
    ReferenceAdded {
        /// Its key.
        key: Digest,
        /// Its number in the new pack.
        reference: u32,
    },
    /// A reference is only in the old pack.
    ReferenceRemoved {
        /// Its key.
        key: Digest,
        /// Its number in the old pack.
        reference: u32,
    },
    /// A reference is in both packs, with different places.
    ReferenceMoved {
        /// Its key.
        key: Digest,
        /// Its number in the old pack.
        old: u32,
        /// Its number in the new pack.
        new: u32,
    },
}

/// Counts of documents or references.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Only in the new pack.
    pub added: u64,
    /// Only in the old pack.
    pub removed: u64,
    /// In both packs and different; always 0 for references.
    pub changed: u64,
    /// In both packs and the same.
    pub kept: u64,
}

/// The differences between two packs, in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffReport {
    /// Whether the packs have the same id, and so the same bytes.
    pub same: bool,
    /// Documents.
    pub documents: Counted,
    /// References.
    pub references: Counted,
    /// Number of kept references whose origins differ.
    pub moved: u64,
    /// Differences in how the packs were built; `pack` is the old pack's value, `model` the new one's.
    pub making: Vec<Difference>,
}

/// One of the two packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first pack.
    Old,
    /// The second pack.
    New,
}

impl Side {
    pub(super) fn failed(self) -> impl Fn(ReadError) -> DiffError {
        move |source| DiffError { side: self, source }
    }
}

/// Why packs could not be compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{source}")]
pub struct DiffError {
    /// The pack that could not be read.
    pub side: Side,
    /// The cause.
    pub source: ReadError,
}

impl DiffError {
    /// Whether a pack is damaged.
    pub fn is_damage(&self) -> bool {
        matches!(self.source, ReadError::Damaged(_))
    }
}
