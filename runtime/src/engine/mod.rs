//! Decoding with memories: what needs the model.

mod error;
mod query;
mod reading;
mod retriever;
mod sampling;
mod session;
mod text;

pub use error::{AskError, IdentityMismatch, RetrieveError, SessionError};
pub use reading::Read;
pub use retriever::{Method, Retriever};
pub use sampling::Sampling;
pub use session::{Answer, ChunkReads, MAX_ANSWER_TOKENS, Session, SessionOptions, Stop};
