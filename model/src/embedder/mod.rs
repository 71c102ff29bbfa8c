//! Embedding of texts for retrieval.

mod config;
mod encoder;
mod text;

pub use config::Pooling;
pub use encoder::TextEncoder;
pub use text::Embedder;
