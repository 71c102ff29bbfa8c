//! The documents and references of a pack that a filter admits.

use fixedbitset::FixedBitSet;

/// What a filter admits of a pack.
#[derive(Debug, PartialEq)]
pub(crate) struct Selected {
    pub documents: FixedBitSet,
    /// References of which one of the origins is in one of the documents.
    pub references: FixedBitSet,
}
