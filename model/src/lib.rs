//! The model side of mempack: the decoder with memory layers, the text embedder, checkpoints, adapters and GGUF import.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod adapter;
mod base;
mod checkpoint;
mod config;
mod decoder;
mod device;
mod embedder;
mod error;
mod fields;
mod gguf;
mod layer;
mod memory_config;
mod model;
mod prompt;
mod reader;
mod rope;
mod safetensors_header;
mod slots;
mod source;
mod tokenizer;
mod write;

pub use config::{Llama3Scaling, ModelConfig};
pub use decoder::Decoder;
pub use device::{DeviceChoice, LoadOptions, Precision, UnknownPrecision, cuda_available, set_threads};
pub use embedder::{Embedder, Encoder, Pooling};
pub use error::{ComputeError, LoadError};
pub use gguf::{ImportError, ImportSummary, import_gguf};
pub use memory_config::MemoryConfig;
pub use mempack_format::{EMPTY_SLOT, Memory, MemoryShape};
pub use model::Model;
pub use prompt::{PromptTokens, context_tokens, prompt_tokens, reference_tokens};
pub use reader::{Reader, ReaderOptions, Slot};
pub use tokenizer::{TextStream, TextTokenizer};
