//! Decoding with memories: the parts of the runtime that need the model.

mod answer;
mod answerer;
mod batching;
mod chunk;
mod confidence;
mod decoding;
mod error;
mod feed;
mod memory_read;
mod memory_scorer;
mod prefetch;
mod prompting;
mod recall;
mod recent;
mod reference;
mod rerank;
mod sampling;
mod session;
mod source;
mod text;
mod times;

pub use answer::{Answer, ChunkReads, MAX_ANSWER_TOKENS, PreparedPrompt, Stop, TokenAttention};
pub use batching::{Answered, BatchOptions, Batching, MAX_SEQUENCES, Request};
pub use chunk::ChunkMemories;
pub use confidence::Confidence;
pub use decoding::OnText;
pub use error::{AskError, IdentityMismatch, RetrieveError, SessionError};
pub use memory_read::MemoryRead;
pub use memory_scorer::MemoryScorer;
pub use recall::{NotRepeating, PackIndex, PackStages, Retriever};
pub use reference::{ReferenceError, ReferenceText, read_reference};
pub use rerank::{DEFAULT_RERANK_DEPTH, PackEmbeddings, PackReranker, Reranking, Scorer};
pub use sampling::Sampling;
pub use session::{Session, SessionOptions};
pub use source::ReadFrom;
pub use times::Part;
