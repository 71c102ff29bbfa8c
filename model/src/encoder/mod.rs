//! The encoder that embedder and reranker have in common.

mod config;
mod layers;

pub(crate) use config::EncoderConfig;
pub(crate) use layers::{AffineMap, Encoder, EncoderText, Tensors};
