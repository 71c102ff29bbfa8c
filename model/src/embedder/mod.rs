//! Embedding of texts for retrieval.

mod config;
mod encoder;
mod prompts;
mod text;

pub use config::Pooling;
pub use encoder::TextEncoder;
pub use prompts::EmbedAs;
pub use text::Embedder;
