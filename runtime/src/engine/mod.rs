//! Decoding with memories: what needs the model.

mod error;
mod generator;
mod reading;
mod retriever;
mod sampling;
mod session;
mod text;

pub use error::{AskError, IdentityMismatch, RetrieveError, SessionError};
pub use generator::{Answer, ChunkReads, Generator, Given, MAX_ANSWER_TOKENS, Reading, Stop};
pub use reading::Read;
pub use retriever::Retriever;
pub use sampling::Sampling;
pub use session::{Session, SessionOptions};
