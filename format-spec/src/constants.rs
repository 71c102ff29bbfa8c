//! The numbers of the format. SPEC.md section 14 lists every one of them; `tests/spec.rs` compares the two.

/// First bytes of a pack (SPEC 3): with a high bit, CR LF, the end-of-file of DOS and LF, so that any text transfer damages them.
pub const MAGIC: [u8; 8] = *b"\x89MPK\r\n\x1a\n";
/// Major version this crate writes and reads (SPEC 2).
pub const MAJOR_VERSION: u16 = 1;
/// Newest minor version this crate writes. A pack states the oldest that has all it holds, at least 1; any is read (SPEC 2).
pub const MINOR_VERSION: u16 = 6;
/// Required feature: the codec is one that version 1.1 adds (SPEC 2).
pub const FEATURE_CODECS: u64 = 1;
/// Required feature: the heads keep different numbers of tokens, which the section `BUDGET` lists (SPEC 2, 5.3).
pub const FEATURE_BUDGET: u64 = 2;
/// Required features this crate knows (SPEC 2).
pub const KNOWN_REQUIRED_FEATURES: u64 = FEATURE_CODECS | FEATURE_BUDGET;

/// Size of the header page and alignment of every section (SPEC 3).
pub const PAGE_BYTES: u64 = 4096;
/// Size of the fixed header; the section table follows it (SPEC 3).
pub const HEADER_BYTES: u64 = 128;
/// Size of an entry of the section table (SPEC 3).
pub const ENTRY_BYTES: u64 = 64;
/// Entries the header page has room for (SPEC 3).
pub const MAX_SECTIONS: u32 = 62;
/// Flag of a section that a reader must know (SPEC 3).
pub const SECTION_REQUIRED: u64 = 1;

/// Most bytes of the manifest (SPEC 5).
pub const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// Most bytes of a prompt of the embedder (SPEC 5.2).
pub const MAX_PROMPT_BYTES: u64 = 1024;
/// Most references of a pack; their numbers are `u32`, and 2^32 - 1 means "none" (SPEC 7).
pub const MAX_REFERENCES: u32 = u32::MAX - 1;
/// Most memory layers, and most heads of a layer (SPEC 5).
pub const MAX_LAYERS_OR_HEADS: u32 = 4096;
/// Most token slots of a head, and most tokens of a reference: positions are one byte, 255 means "empty" (SPEC 5).
pub const MAX_POSITIONS: u32 = 255;
/// Most dimensions of an embedding (SPEC 5).
pub const MAX_EMBEDDING_DIM: u32 = 65_536;

/// Most bytes of a document record (SPEC 6).
pub const MAX_DOCUMENT_BYTES: u64 = 1 << 20;
/// Size of the header of the metadata (SPEC 6.1).
pub const METADATA_HEADER_BYTES: u64 = 8;
/// Size of the entry of a field of the metadata (SPEC 6.1).
pub const METADATA_ENTRY_BYTES: u64 = 24;
/// Most fields of the metadata (SPEC 6.1).
pub const MAX_METADATA_FIELDS: u64 = 1024;
/// Most bytes of the name of a field (SPEC 6.1).
pub const MAX_METADATA_NAME_BYTES: u64 = 256;
/// Most bytes of a value of a field (SPEC 6.1).
pub const MAX_METADATA_VALUE_BYTES: u64 = 65_536;
/// Most values of a field that one document has (SPEC 6.1).
pub const MAX_METADATA_LIST: u64 = 1024;
/// Size of a reference record (SPEC 7).
pub const REFERENCE_BYTES: u64 = 64;
/// Size of an origin record (SPEC 7).
pub const ORIGIN_BYTES: u64 = 24;
/// Bytes of text in a block before compression (SPEC 8).
pub const TEXT_BLOCK_BYTES: u64 = 65_536;
/// Most bytes of a reference's text (SPEC 8).
pub const MAX_REFERENCE_TEXT: u64 = 1 << 20;
/// Allowed distance of an embedding's length from 1 (SPEC 11).
pub const UNIT_TOLERANCE: f64 = 1e-3;
/// Rows of coarse embeddings are a multiple of so many bytes (SPEC 11.1).
pub const COARSE_ALIGNMENT: u64 = 64;
/// Size of the header of the graph (SPEC 12).
pub const GRAPH_HEADER_BYTES: u64 = 32;
/// Size of the header of the terms (SPEC 12.1).
pub const TERMS_HEADER_BYTES: u64 = 24;
/// Most bytes of a term (SPEC 12.1).
pub const MAX_TERM_BYTES: u64 = 256;
/// Most neighbours of a node on an upper level (SPEC 12).
pub const MAX_GRAPH_M: u32 = 256;
/// Highest level of a graph (SPEC 12).
pub const MAX_GRAPH_LEVEL: u32 = 31;
/// Padding of neighbour lists, and the entry of an empty graph (SPEC 12).
pub const NO_NODE: u32 = u32::MAX;
/// Size of a digest (SPEC 4, 13).
pub const DIGEST_BYTES: u64 = 32;

/// First bytes of the trailer of signatures (SPEC 17).
pub const TRAILER_MAGIC: [u8; 8] = *b"\x89MPKSIG\n";
/// Size of a trailer before its first signature (SPEC 17).
pub const TRAILER_HEADER_BYTES: u64 = 16;
/// Size of a signature with its public key (SPEC 17).
pub const SIGNATURE_BYTES: u64 = 96;
/// Most signatures of a pack (SPEC 17).
pub const MAX_SIGNATURES: u32 = 64;

/// First bytes of a set (SPEC 18).
pub const SET_MAGIC: [u8; 8] = *b"\x89MPS\r\n\x1a\n";
/// Version of sets that this crate writes and reads (SPEC 18).
pub const SET_VERSION: u16 = 1;
/// Size of the header of a set (SPEC 18).
pub const SET_HEADER_BYTES: u64 = 96;
/// Most packs of a set (SPEC 18).
pub const MAX_SET_PACKS: u32 = 4096;
/// Most centroids of the routing table of a set (SPEC 18).
pub const MAX_SET_CENTROIDS: u32 = 65_536;
/// Most bytes of the name of a file in a set (SPEC 18).
pub const SET_FILE_NAME_BYTES: u64 = 255;
