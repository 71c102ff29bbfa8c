//! Names of sections (SPEC 3, 4).

use std::fmt;

use crate::Digest;

/// The name of a section: 8 bytes of `A-Z` and `0-9`, filled up with spaces.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub(crate) [u8; 8]);

impl Tag {
    /// The header page with the section table. Not a section of the table, but errors name it.
    pub const HEADER: Self = Self(*b"HEADER  ");
    /// The signatures behind the pack. Not a section of the table, but errors name it.
    pub const SIGNATURES: Self = Self(*b"SIGNED  ");
    /// What the pack is and what it depends on (SPEC 5).
    pub const MANIFEST: Self = Self(*b"MANIFEST");
    /// Where each document record begins (SPEC 6).
    pub const DOCUMENT_INDEX: Self = Self(*b"DOCINDEX");
    /// Documents (SPEC 6).
    pub const DOCUMENTS: Self = Self(*b"DOCS    ");
    /// References (SPEC 7).
    pub const REFERENCES: Self = Self(*b"REFS    ");
    /// Where references come from (SPEC 7).
    pub const ORIGINS: Self = Self(*b"ORIGINS ");
    /// Texts of the references, in compressed blocks (SPEC 8).
    pub const TEXT: Self = Self(*b"TEXT    ");
    /// Where each text block begins (SPEC 8).
    pub const TEXT_INDEX: Self = Self(*b"TEXTINDX");
    /// Codec parameters (SPEC 9).
    pub const CODEC: Self = Self(*b"CODEC   ");
    /// Memories (SPEC 10).
    pub const MEMORIES: Self = Self(*b"MEMORIES");
    /// Embeddings (SPEC 11).
    pub const EMBEDDINGS: Self = Self(*b"EMBED   ");
    /// Embeddings in 8 bits a dimension (SPEC 11.1); since version 1.5, in large packs.
    pub const COARSE_EMBEDDINGS: Self = Self(*b"EMBED8  ");
    /// Search graph (SPEC 12).
    pub const GRAPH: Self = Self(*b"GRAPH   ");
    /// Digests of memories, embeddings and text blocks (SPEC 13).
    pub const LEAVES: Self = Self(*b"LEAVES  ");
    /// What the codec loses (SPEC 5.1); since version 1.1.
    pub const QUALITY: Self = Self(*b"QUALITY ");
    /// What the embedder puts before texts (SPEC 5.2); since version 1.2.
    pub const PROMPTS: Self = Self(*b"PROMPTS ");
    /// How many tokens each head keeps (SPEC 5.3); since version 1.2, in packs whose heads keep different numbers.
    pub const BUDGET: Self = Self(*b"BUDGET  ");
    /// Which references have which terms (SPEC 12.1); since version 1.3.
    pub const TERMS: Self = Self(*b"TERMS   ");
    /// Further fields of the documents (SPEC 6.1); since version 1.4, in packs whose documents have any.
    pub const METADATA: Self = Self(*b"METADATA");
    /// Where origins stand in their documents (SPEC 7.1); since version 1.6, in packs of documents with pages, headings, articles, rows or seconds.
    pub const PLACES: Self = Self(*b"PLACES  ");

    /// Every section of this version, and whether it is required.
    pub(crate) const ALL: [(Self, bool); 19] = [
        (Self::MANIFEST, true),
        (Self::DOCUMENT_INDEX, true),
        (Self::DOCUMENTS, true),
        (Self::REFERENCES, true),
        (Self::ORIGINS, true),
        (Self::TEXT, true),
        (Self::TEXT_INDEX, true),
        (Self::CODEC, true),
        (Self::MEMORIES, true),
        (Self::EMBEDDINGS, true),
        (Self::GRAPH, false),
        (Self::LEAVES, true),
        (Self::QUALITY, false),
        (Self::PROMPTS, false),
        (Self::BUDGET, true),
        (Self::TERMS, false),
        (Self::METADATA, false),
        (Self::COARSE_EMBEDDINGS, false),
        (Self::PLACES, false),
    ];

    /// A tag from a file; `None` if it does not have the form of SPEC 3.
    pub(crate) fn parse(bytes: [u8; 8]) -> Option<Self> {
        let name = bytes.iter().take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()).count();
        let padded = bytes.iter().skip(name).all(|byte| *byte == b' ');
        (name > 0 && padded).then_some(Self(bytes))
    }

    /// The minor version that a pack with the section states (SPEC 2).
    pub(crate) fn minor_version(self) -> u16 {
        match self {
            Self::PLACES => 6,
            Self::COARSE_EMBEDDINGS => 5,
            Self::METADATA => 4,
            Self::TERMS => 3,
            Self::PROMPTS | Self::BUDGET => 2,
            _ => 1,
        }
    }

    /// Whether this version requires the section; `None` if it does not know it.
    pub(crate) fn known(self) -> Option<bool> {
        Self::ALL.iter().find(|(tag, _)| *tag == self).map(|(_, required)| *required)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(String::from_utf8_lossy(&self.0).trim_end())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One entry of the section table (SPEC 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Name.
    pub tag: Tag,
    /// Whether a reader that does not know the section must refuse the pack.
    pub required: bool,
    /// First byte, from the beginning of the file; a multiple of 4,096.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Digest of those bytes.
    pub digest: Digest,
}
