//! What a comparison tells.

use mempack_format::{Difference, Digest, ReadError};

/// One thing in which the packs differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A document is in the new pack only.
    DocumentAdded {
        /// Its id.
        id: String,
        /// How many references come from it.
        references: u32,
    },
    /// A document is in the old pack only.
    DocumentRemoved {
        /// Its id.
        id: String,
        /// How many references came from it.
        references: u32,
    },
    /// A document is in both, with other fields or other references.
    DocumentChanged {
        /// Its id.
        id: String,
        /// The fields that differ.
        fields: Vec<&'static str>,
        /// How many references came from it, and come from it now, if they are not the same in the same order.
        references: Option<(u32, u32)>,
    },
    /// A reference is in the new pack only.
    ReferenceAdded {
        /// Its key.
        key: Digest,
        /// Its number in the new pack.
        reference: u32,
    },
    /// A reference is in the old pack only.
    ReferenceRemoved {
        /// Its key.
        key: Digest,
        /// Its number in the old pack.
        reference: u32,
    },
    /// A reference is in both, from other places.
    ReferenceMoved {
        /// Its key.
        key: Digest,
        /// Its number in the old pack.
        old: u32,
        /// Its number in the new pack.
        new: u32,
    },
}

/// How many there are of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// In the new pack only.
    pub added: u64,
    /// In the old pack only.
    pub removed: u64,
    /// In both, and not the same; always 0 for references.
    pub changed: u64,
    /// In both, the same.
    pub kept: u64,
}

/// What differs between two packs, in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffReport {
    /// Whether the packs have the same id, and so the same bytes.
    pub same: bool,
    /// Documents.
    pub documents: Counted,
    /// References.
    pub references: Counted,
    /// Of the references that were kept, how many have other origins.
    pub moved: u64,
    /// What differs in how they were made; `pack` is the old pack's, `model` the new one's.
    pub making: Vec<Difference>,
}

/// One of the two packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first.
    Old,
    /// The second.
    New,
}

impl Side {
    pub(super) fn failed(self) -> impl Fn(ReadError) -> DiffError {
        move |source| DiffError { side: self, source }
    }
}

/// Why packs were not compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{source}")]
pub struct DiffError {
    /// The pack it concerns.
    pub side: Side,
    /// What is wrong with it.
    pub source: ReadError,
}

impl DiffError {
    /// Whether a pack is damaged.
    pub fn is_damage(&self) -> bool {
        matches!(self.source, ReadError::Damaged(_))
    }
}
