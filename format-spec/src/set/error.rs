//! Why a set is refused.

use thiserror::Error;

use crate::constants::{SET_MAGIC, SET_VERSION};
use crate::{Digest, ManifestError, OpenError, PackId};

/// Why a set was not read or made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SetError {
    /// The magic is missing.
    #[error("not a set of packs: it begins with bytes {found:02x?}, expected {SET_MAGIC:02x?}; name a file that is a set")]
    NotASet {
        /// The first bytes, at most 8.
        found: Vec<u8>,
    },
    /// The file ends too early.
    #[error("the set is cut short: {found} bytes of {expected}; copy or merge it again")]
    Truncated {
        /// Bytes the file must have.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// A version that this crate does not read.
    #[error("the set has version {found}, this program reads {SET_VERSION}; use a newer mempack")]
    Version {
        /// The set's version.
        found: u16,
    },
    /// The bytes do not fit the root digest.
    #[error("the set is damaged: its digest is {found}, its header says {expected}; copy or merge it again")]
    Digest {
        /// The digest in the header.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// A field of the header is out of bounds.
    #[error("the header of the set is malformed at byte {offset}: {field} is {found}, expected {expected}; merge the set again")]
    Header {
        /// Where the field is.
        offset: u64,
        /// Its name in SPEC 18.
        field: &'static str,
        /// The value expected.
        expected: u64,
        /// The value found.
        found: u64,
    },
    /// The manifest is malformed, or a field is out of bounds.
    #[error("the manifest of the set: {0}; merge the set again")]
    Manifest(#[from] ManifestError),
    /// A name that is not one file in the folder of the set.
    #[error(
        "{found:?} is no name of a pack's file: 1 to 255 bytes of letters, digits, '-', '_', '.' and spaces, that begin with a letter, a digit or '_' and do not end with '.' or a space"
    )]
    FileName {
        /// The name.
        found: String,
    },
    /// The names do not ascend.
    #[error("the packs of the set are not in the order of their names, each once: {file:?}; merge the set again")]
    Order {
        /// The name that is not above the one before it.
        file: String,
    },
    /// Two packs have one id.
    #[error("the set lists pack {id} twice; merge the set again")]
    Repeated {
        /// The id.
        id: PackId,
    },
    /// The range of keys is impossible.
    #[error("the keys of {file:?} end before they begin; merge the set again")]
    Keys {
        /// The pack's file.
        file: String,
    },
    /// A centroid is not a unit vector.
    #[error("centroid {centroid} of the routing table has length {length}, expected 1; merge the set again")]
    NotUnit {
        /// The centroid.
        centroid: u64,
        /// Its length.
        length: f64,
    },
    /// A pack with references has no centroid.
    #[error("the routing table has no centroid of {file:?}, or its centroids are not in the order of the packs; merge the set again")]
    Unrouted {
        /// The pack's file.
        file: String,
    },
    /// A centroid of a pack that does not exist, or out of order.
    #[error("the routing table has a centroid of pack {owner}, which does not exist or is out of order; merge the set again")]
    Owner {
        /// The pack.
        owner: u32,
    },
    /// What follows the set is no trailer of signatures.
    #[error("behind the set: {0}")]
    Trailer(#[source] OpenError),
}

impl SetError {
    /// Whether the file is a damaged set, rather than not a set or one of another version.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::NotASet { .. } | Self::Version { .. })
    }
}

/// Why a pack is not the one that a set names.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SetMismatch {
    /// The set has no such entry.
    #[error("the set has no pack number {index}")]
    NoEntry {
        /// The number.
        index: usize,
    },
    /// Another pack.
    #[error(
        "{file:?} is pack {found}, the set names {expected}: it was replaced since the set was written; put that pack back, or merge again"
    )]
    Id {
        /// The file.
        file: String,
        /// The id in the set.
        expected: PackId,
        /// The id of the pack.
        found: PackId,
    },
    /// A pack that does not belong to this set.
    #[error("{file:?} has {field} {found}, the set says {expected}; merge the set again")]
    Field {
        /// The file.
        file: String,
        /// The field.
        field: &'static str,
        /// The value in the set.
        expected: String,
        /// The value of the pack.
        found: String,
    },
}
