//! Decoding with memories: what needs the model.

mod chunk;
mod error;
mod generator;
mod prefetch;
mod recall;
mod reference;
mod sampling;
mod session;
mod source;
mod text;

pub use chunk::{ChunkMemories, Read};
pub use error::{AskError, IdentityMismatch, RetrieveError, SessionError};
pub use generator::{Answer, ChunkReads, MAX_ANSWER_TOKENS, PreparedPrompt, Stop};
pub use recall::{NotRepeating, PackIndex, Retriever};
pub use reference::{ReferenceError, ReferenceText, read_reference};
pub use sampling::Sampling;
pub use session::{Session, SessionOptions};
pub use source::ReadFrom;
