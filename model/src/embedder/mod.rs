//! Embedding of texts for retrieval.

mod config;
mod encoder;
mod text;

pub use config::Pooling;
pub use encoder::Encoder;
pub use text::Embedder;
