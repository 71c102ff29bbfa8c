//! Import of GGUF files.

mod architecture;
mod dequant;
mod error;
mod import;
mod metadata;
mod reader;
mod tokenizer;

pub use error::ImportError;
pub use import::{ImportSummary, import_gguf};

#[cfg(test)]
mod tests;
