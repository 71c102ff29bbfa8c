//! Import of GGUF files.

mod architecture;
mod dequant;
mod error;
mod import;
mod keys;
mod metadata;
mod reader;
mod tied;
mod tokenizer;
mod windows;

pub(crate) use dequant::TensorType;
pub(crate) use error::FETCH;
pub use error::ImportError;
pub use import::{ImportSummary, import_gguf};
pub use tied::TiedEmbedding;

#[cfg(test)]
mod tests;
