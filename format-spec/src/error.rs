//! Errors of opening, reading and verifying a pack. Those of writing are in `writer/error.rs`.

use thiserror::Error;

use crate::constants::{KNOWN_REQUIRED_FEATURES, MAGIC, MAJOR_VERSION, MAX_MANIFEST_BYTES};
use crate::{CodecError, Digest, FieldKind, KeyId, LeafKind, Tag, TrailerError};

/// Why a pack was not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The magic is missing.
    #[error("not a memory pack: it begins with bytes {found:02x?}, expected {MAGIC:02x?}; name a file that is a pack")]
    NotAPack {
        /// The first bytes, at most 8.
        found: Vec<u8>,
    },
    /// The file ends too early.
    #[error("the pack is cut short: {found} bytes of {expected}; copy or build it again")]
    Truncated {
        /// Bytes the file must have.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// Something follows the pack that is not a trailer of signatures.
    #[error("the file has {found} bytes, its header says {expected}, and no signatures begin there; copy or build it again")]
    TooLong {
        /// Bytes the file must have.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// A version that this crate does not read.
    #[error(
        "the pack has format version {found}.x, this program reads {MAJOR_VERSION}.x; use a program of that version, or build the pack again"
    )]
    MajorVersion {
        /// The pack's major version.
        found: u16,
        /// The major version read here.
        supported: u16,
    },
    /// The trailer of signatures behind the pack is malformed.
    #[error("the signatures behind the pack are malformed at byte {offset}: {source}; copy the pack again, or sign it again")]
    Signatures {
        /// The byte, from the beginning of the file.
        offset: u64,
        /// What is wrong there.
        source: TrailerError,
    },
    /// Required features that this crate does not know.
    #[error(
        "the pack needs features {unknown:#018x} that this program does not know (it knows {KNOWN_REQUIRED_FEATURES:#x}); use a newer mempack"
    )]
    UnknownFeatures {
        /// The bits not known.
        unknown: u64,
    },
    /// A required section that this crate does not know.
    #[error("the pack needs section {tag} (at byte {offset}) that this program does not know; use a newer mempack")]
    UnknownSection {
        /// The section.
        tag: Tag,
        /// Where it begins.
        offset: u64,
    },
    /// The header page does not fit the root digest.
    #[error("the header is damaged: its digest is {found}, the root digest says {expected}; copy or build the pack again")]
    HeaderDigest {
        /// The root digest.
        expected: Digest,
        /// The digest of the header page.
        found: Digest,
    },
    /// A field of the header or of the section table is out of bounds.
    #[error("the header is malformed at byte {offset}: {field} is {found}, expected {expected}; build the pack again")]
    Header {
        /// Where the field is.
        offset: u64,
        /// Its name in SPEC 3.
        field: &'static str,
        /// The value expected.
        expected: u64,
        /// The value found.
        found: u64,
    },
    /// A malformed section name.
    #[error("the section table is malformed at byte {offset}: {found:02x?} is no section name; build the pack again")]
    SectionName {
        /// Where the name is.
        offset: u64,
        /// The name.
        found: [u8; 8],
    },
    /// A section is listed twice.
    #[error("the section table is malformed at byte {offset}: section {tag} is listed twice; build the pack again")]
    DuplicateSection {
        /// Where the second entry is.
        offset: u64,
        /// The section.
        tag: Tag,
    },
    /// A required section is missing.
    #[error("the section table lists no section {tag}; build the pack again")]
    MissingSection {
        /// The section.
        tag: Tag,
    },
    /// The manifest, the head budget, the quality or the prompts do not fit their digest.
    #[error(
        "section {tag} at byte {offset} is damaged: its digest is {found}, the section table says {expected}; copy or build the pack again"
    )]
    ManifestDigest {
        /// The section.
        tag: Tag,
        /// Where it begins.
        offset: u64,
        /// The digest in the section table.
        expected: Digest,
        /// The digest of what is there.
        found: Digest,
    },
    /// The manifest is malformed, or a field is out of bounds.
    #[error("section MANIFEST at byte {offset}: {source}; build the pack again")]
    Manifest {
        /// Where the manifest begins.
        offset: u64,
        /// What is wrong.
        source: ManifestError,
    },
    /// The quality is malformed, or a field is out of bounds.
    #[error("section QUALITY at byte {offset}: {source}; build the pack again")]
    Quality {
        /// Where the section begins.
        offset: u64,
        /// What is wrong.
        source: ManifestError,
    },
    /// The prompts are malformed, or out of bounds.
    #[error("section PROMPTS at byte {offset}: {source}; build the pack again")]
    Prompts {
        /// Where the section begins.
        offset: u64,
        /// What is wrong.
        source: ManifestError,
    },
    /// The head budget does not fit the manifest.
    #[error("section BUDGET at byte {offset}: {source}; build the pack again")]
    Budget {
        /// Where the section begins.
        offset: u64,
        /// What is wrong.
        source: ManifestError,
    },
    /// The pack has a head budget and does not say that it needs one, or the other way round.
    #[error(
        "the header's required features say that the pack has {}, its section table says otherwise; build the pack again",
        if *.needed { "a head budget" } else { "no head budget" }
    )]
    BudgetFeature {
        /// Whether the feature bit is set.
        needed: bool,
    },
    /// A section does not have the size that the manifest's counts demand.
    #[error("section {tag} at byte {offset} has {found} bytes, the manifest's counts demand {expected}; build the pack again")]
    SectionLength {
        /// The section.
        tag: Tag,
        /// Where it begins.
        offset: u64,
        /// Bytes expected.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
}

impl OpenError {
    /// Whether the file is a damaged pack, rather than not a pack or one for another version of this crate.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::NotAPack { .. } | Self::MajorVersion { .. } | Self::UnknownFeatures { .. } | Self::UnknownSection { .. })
    }
}

/// What is wrong with a manifest, or with a section that continues it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Larger than the cap.
    #[error("it has {found} bytes, the most are {MAX_MANIFEST_BYTES}")]
    TooLarge {
        /// Its bytes.
        found: u64,
    },
    /// Not the wire form of SPEC 5.
    #[error("it cannot be decoded at byte {at} of the section: {source}")]
    Decode {
        /// The byte after the last one that could be read.
        at: u64,
        /// What is wrong there.
        source: bincode::error::DecodeError,
    },
    /// It could not be put into its wire form.
    #[error("it cannot be encoded: {0}")]
    Encode(#[source] bincode::error::EncodeError),
    /// Bytes follow, or a number is not in its shortest form.
    #[error("it is not in its canonical form from byte {at} of the section on")]
    NotCanonical {
        /// First byte that differs from the canonical form.
        at: u64,
    },
    /// A field is out of bounds.
    #[error("{field} is {found}, expected {expected}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// What is allowed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The codec is not known or does not fit the shape.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// What is wrong with some bytes of a section.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum Defect {
    /// A section does not fit its digest.
    #[error("its digest is {found}, the section table says {expected}")]
    Digest {
        /// The digest in the section table.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// A memory, an embedding or a text block does not fit its leaf digest.
    #[error("the digest of {kind} {number} is {found}, its leaf says {expected}")]
    Leaf {
        /// What it is.
        kind: LeafKind,
        /// Number of the reference, or of the block.
        number: u64,
        /// The leaf digest.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// A field does not have the value expected.
    #[error("{field} is {found}, expected {expected}")]
    Value {
        /// Name of the field.
        field: &'static str,
        /// The value expected.
        expected: u64,
        /// The value found.
        found: u64,
    },
    /// A field is larger than it may be.
    #[error("{field} is {found}, the most is {limit}")]
    TooLarge {
        /// Name of the field.
        field: &'static str,
        /// The largest value allowed.
        limit: u64,
        /// The value found.
        found: u64,
    },
    /// A field is smaller than it may be.
    #[error("{field} is {found}, the least is {limit}")]
    TooSmall {
        /// Name of the field.
        field: &'static str,
        /// The smallest value allowed.
        limit: u64,
        /// The value found.
        found: u64,
    },
    /// Bytes that must be UTF-8 are not.
    #[error("{field} is not UTF-8")]
    Utf8 {
        /// Name of the field.
        field: &'static str,
    },
    /// A text block cannot be decompressed.
    #[error("text block {block} cannot be decompressed: {reason}")]
    Block {
        /// Number of the block.
        block: u64,
        /// What zstd says.
        reason: &'static str,
    },
    /// A number of an embedding is infinite or not a number.
    #[error("embedding {reference} holds {value}")]
    NotFinite {
        /// Number of the reference.
        reference: u32,
        /// The number.
        value: f32,
    },
    /// An embedding has not length 1.
    #[error("embedding {reference} has length {length}, expected 1")]
    NotUnit {
        /// Number of the reference.
        reference: u32,
        /// Its length.
        length: f64,
    },
    /// A number of a coarse embedding does not follow from the embedding.
    #[error("coarse embedding {reference} holds {found} at {index}, expected {expected}")]
    Coarse {
        /// Number of the reference.
        reference: u32,
        /// Index of the number in its row.
        index: usize,
        /// The number that follows from the embedding; 0 behind its dimensions.
        expected: i8,
        /// The number found.
        found: i8,
    },
    /// The spread of similarities is not 0 to 1.
    #[error("the spread of similarities is {found}, expected 0 to 1")]
    Spread {
        /// The number.
        found: f64,
    },
    /// A value of a field is not of the field's kind.
    #[error("value {value} of a field is not of the field's kind, {expected}")]
    Kind {
        /// Number of the value.
        value: u32,
        /// The kind.
        expected: FieldKind,
    },
    /// No document has a value of a field.
    #[error("value {value} of a field belongs to no document")]
    Unused {
        /// Number of the value.
        value: u32,
    },
    /// A node of the graph is its own neighbour.
    #[error("node {node} is its own neighbour")]
    Itself {
        /// The node.
        node: u32,
    },
    /// Something is listed twice.
    #[error("{field} {found} is listed twice")]
    Repeated {
        /// What it is.
        field: &'static str,
        /// Its number.
        found: u64,
    },
    /// Two references have the same key.
    #[error("reference {reference} has the key of reference {first}; expected every key once")]
    RepeatedKey {
        /// Number of the later reference.
        reference: u32,
        /// Number of the first reference with this key.
        first: u32,
    },
    /// The bytes between two sections are not zero.
    #[error("the padding behind it holds byte {found:#04x}, expected 0")]
    Padding {
        /// The byte.
        found: u8,
    },
    /// A signature behind the pack is wrong.
    #[error("the signature of key {signer} is not one of this pack")]
    Signature {
        /// The key it claims to be of.
        signer: KeyId,
    },
    /// The codec parameters are malformed.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Damage, and where it is.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("section {section} is damaged at byte {offset} of the file: {defect}; copy or build the pack again")]
pub struct Damage {
    /// The section.
    pub section: Tag,
    /// The byte, from the beginning of the file.
    pub offset: u64,
    /// What is wrong there.
    pub defect: Defect,
}

/// Why something could not be read from an open pack.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The pack has nothing of this number.
    #[error("{what} {index} does not exist: the pack has {count}, numbered from 0")]
    OutOfRange {
        /// `document` or `reference`.
        what: &'static str,
        /// The number asked for.
        index: u64,
        /// How many there are.
        count: u64,
    },
    /// The pack is damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// Why a verification failed.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The pack is damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The caller ended the verification.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// The caller ended a verification or a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("interrupted at section {section}; run it again")]
pub struct Interrupted {
    /// The section under way.
    pub section: Tag,
}
