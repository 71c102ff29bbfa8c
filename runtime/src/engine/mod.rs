//! Decoding with memories: the parts of the runtime that need the model.

mod chunk;
mod confidence;
mod error;
mod generator;
mod memory_read;
mod memory_scorer;
mod prefetch;
mod recall;
mod reference;
mod rerank;
mod sampling;
mod session;
mod source;
mod text;

pub use chunk::ChunkMemories;
pub use confidence::Confidence;
pub use error::{AskError, IdentityMismatch, RetrieveError, SessionError};
pub use generator::{Answer, ChunkReads, MAX_ANSWER_TOKENS, PreparedPrompt, Stop};
pub use memory_read::MemoryRead;
pub use memory_scorer::MemoryScorer;
pub use recall::{NotRepeating, PackIndex, PackStages, Retriever};
pub use reference::{ReferenceError, ReferenceText, read_reference};
pub use rerank::{DEFAULT_RERANK_DEPTH, PackEmbeddings, PackReranker, Reranking, Scorer};
pub use sampling::Sampling;
pub use session::{Session, SessionOptions};
pub use source::ReadFrom;
