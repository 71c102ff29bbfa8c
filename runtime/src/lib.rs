//! Reads memory packs: maps and searches them, caches their memories, and decodes answers with a model that attends to them.
//!
//! - [`MappedPack`] opens a pack of any size in well under a millisecond and finds the references nearest to a vector.
//! - [`MemoryCache`] decodes memories, compares each with its digest on first access, and keeps the most recently used within a budget
//!   of bytes.
//! - [`Mounts`] holds several packs of one model, which are searched with one ranking and can be replaced while others read.
//! - With feature `engine` (which needs libtorch), `Retriever` finds references by text, and `Session` answers questions with a model
//!   whose chunks read the memories they retrieve. `ReadFrom` selects other sources.
//!
//! All data from a file is checked before it is used. A wrong byte is an error that names the section and the offset.
//!
//! ```
//! use mempack_runtime::{DEFAULT_EF, MappedPack, MemoryCache};
//! # use mempack_format::*;
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("corpus.mpk");
//! # let shape = MemoryShape::new(1, 1, 1, 2);
//! # let mut writer = PackWriter::create(&path, shape.clone(), 2)?;
//! # writer.set_codec(&CodecSpec::F32, &0u32.to_le_bytes())?;
//! # writer.push_document(&Document { id: "leaflet".into(), ..Document::default() })?;
//! # for (text, embedding) in [("Take two a day.", [0.6, 0.8]), ("Keep it dry.", [1.0, 0.0])] {
//! #     writer.push_reference(&Digest::of(text.as_bytes()), 4, text, &[Origin { document: 0, start: 0, end: 12 }])?;
//! #     writer.push_memory(&[[0].as_slice(), [0; 16].as_slice()].concat())?;
//! #     writer.push_embedding(&embedding)?;
//! # }
//! # let digest = Digest::of(b"");
//! # let model = ModelIdentity {
//! #     name: "model".into(), weights: digest, adapter: None, config: digest, tokenizer: digest, layers: 1, first_memory_layer: 0,
//! #     query_heads: 1, shape, rope_base: 1e4, prefix_ids: vec![1], reference_length: 128, reference_template: "{text}".into(),
//! #     selection: "attention-sum-pre-rope-v1".into(),
//! # };
//! # let embedder = EmbedderIdentity { name: "embedder".into(), digest, dim: 2, metric: "cosine".into(), max_tokens: 256, prompts: None };
//! # writer.finish(model, "f32", embedder, "example")?;
//! # let query = [0.8, 0.6];
//!
//! let pack = MappedPack::open(&path)?;
//! let cache = MemoryCache::default();
//! for hit in pack.search(&query, 5, DEFAULT_EF)? {
//!     let found = pack.describe(&hit)?;
//!     println!("{:.2} {} {}..{}: {}", found.similarity, found.document, found.start, found.end, found.text);
//!     let memory = cache.get(&pack, hit.reference)?;
//!     assert_eq!(memory.shape, pack.manifest().model.shape);
//! }
//! # assert_eq!(pack.search(&query, 1, DEFAULT_EF)?[0].reference, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod bytes;
mod cache;
mod checked;
mod damage;
mod describe;
mod diff;
mod dot;
#[cfg(feature = "engine")]
mod engine;
mod fields;
#[cfg(feature = "filters")]
mod filter;
mod hybrid;
mod lexical;
mod mapped;
mod mapped_set;
mod mounts;
mod pack_set;
mod quality;
mod repair_file;
mod routing;
mod search;
mod selection;
mod truncation;

pub use bytes::MappedBytes;
pub use cache::{CacheStatistics, DEFAULT_CACHE_BYTES, FetchError, MemoryCache};
pub use damage::{OnDamage, Skipped, SkippedPart};
pub use describe::{MAX_FURTHER_PLACES, Place, ResolvedHit};
pub use diff::{Change, Counted, DiffError, DiffReport, Side, diff};
#[cfg(feature = "engine")]
pub use engine::{
    Answer, AnswerOptions, Answered, AskError, BatchOptions, Batching, ChunkMemories, ChunkReads, Confidence, DEFAULT_RERANK_DEPTH,
    IdentityMismatch, MAX_ANSWER_TOKENS, MAX_SEQUENCES, MAX_STOP_BYTES, MAX_STOP_STRINGS, MAX_TOP_LOG_PROBABILITIES, MemoryRead,
    MemoryScorer, NotRepeating, OnPiece, OptionError, PackEmbeddings, PackIndex, PackReranker, PackStages, Part, Piece, PreparedPrompt,
    ReadFrom, ReferenceError, ReferenceText, Request, Reranking, RetrieveError, Retriever, Sampling, Scorer, Session, SessionError,
    SessionOptions, Stop, TokenAttention, TokenLogProbabilities, TokenLogProbability, read_reference,
};
pub use fields::CitedField;
#[cfg(feature = "filters")]
pub use filter::SelectError;
pub use hybrid::Ranking;
pub use mapped::{MapError, MappedPack};
pub use mapped_set::{MappedSet, OpenSetError};
#[cfg(feature = "filters")]
pub use mempack_filter::{Expression, FilterError};
pub use mempack_retrieval::{Hit, Recalled, Strategy, UnknownStrategy};
pub use mounts::{MountError, Mounts};
pub use pack_set::{Citation, CiteError, Mounted, NotSigned, PackReference, PackSearchError, PackSet, cite};
pub use quality::quality_json;
pub use repair_file::{RepairFileError, RepairStage, write_repaired};
pub use search::{DEFAULT_EF, EXACT_UP_TO, Method, SearchError};
#[cfg(unix)]
pub use truncation::{exit_when_cut_short, go_on_when_cut_short};
