//! The encoder of an embedder: from token ids to unit vectors.

use std::path::Path;

use tch::{Kind, TchError, Tensor};

use super::config::{Pooling, load_encoder, load_pooling};
use crate::checkpoint::Checkpoint;
use crate::encoder::{Encoder, EncoderText, Tensors};
use crate::folder::check_folder;
use crate::{ComputeError, LoadError, LoadOptions};

const FOLDER: &str = "an embedder's folder has config.json, model.safetensors and tokenizer.json of a BERT or XLM-RoBERTa model";

/// An encoder with its pooling, from token ids to unit vectors. [`Embedder`](crate::Embedder) adds a tokenizer.
pub struct TextEncoder {
    encoder: Encoder,
    pooling: Pooling,
}

impl TextEncoder {
    /// Loads the encoder of a sentence-embedding folder: `config.json`, `model.safetensors` (or its shards) and
    /// `1_Pooling/config.json`. Without the latter, pooling is the mean, as in the sentence-transformers library.
    ///
    /// # Errors
    ///
    /// An architecture other than BERT and RoBERTa, a pooling other than mean and CLS, or weights that contradict the configuration.
    pub fn load(folder: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        Ok(Self::load_with_checkpoint(folder, options)?.0)
    }

    /// As [`load`](Self::load), and returns the checkpoint, whose digest is part of the identity.
    pub(super) fn load_with_checkpoint(folder: &Path, options: &LoadOptions) -> Result<(Self, Checkpoint), LoadError> {
        check_folder(folder, "config.json", FOLDER)?;
        let config = load_encoder(&folder.join("config.json"))?;
        let pooling = load_pooling(folder, config.hidden)?;
        let device = options.device.resolve()?;
        let checkpoint = Checkpoint::open(folder)?;
        let tensors = Tensors { checkpoint: &checkpoint, kind: options.precision.kind(), device };
        let encoder = Encoder::load(config, 1, &tensors, FOLDER)?;
        Ok((Self { encoder, pooling }, checkpoint))
    }

    /// Dimensions of a vector.
    pub fn dim(&self) -> usize {
        self.encoder.config().hidden as usize
    }

    /// The pooling.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// Max tokens of a text, special tokens included: the number of positions.
    pub fn max_tokens(&self) -> usize {
        self.encoder.config().max_tokens() as usize
    }

    /// One past the largest id.
    pub fn vocabulary(&self) -> usize {
        self.encoder.config().vocabulary as usize
    }

    /// The fields that change what is computed.
    pub(super) fn canonical(&self) -> String {
        format!("{}pooling {:?}\n", self.encoder.config().canonical(), self.pooling)
    }

    /// Another handle on the same weights, for another thread.
    pub fn share(&self) -> Self {
        Self { encoder: self.encoder.share(), pooling: self.pooling }
    }

    /// Embeds texts given as token ids, special tokens included: `[texts, dim]`, row by row, each row of unit length.
    ///
    /// Texts are sorted by length and computed in parts of bounded size; rows are in the order of `texts`. The result is a function of the
    /// texts and of the number of threads of an operation.
    ///
    /// # Errors
    ///
    /// A text without tokens, a text longer than [`max_tokens`](Self::max_tokens), an id outside the vocabulary.
    pub fn embed_ids(&self, texts: &[&[u32]]) -> Result<Vec<f32>, ComputeError> {
        let texts: Vec<EncoderText<'_>> = texts.iter().map(|ids| EncoderText::single(ids)).collect();
        let pool = |states: &Tensor| match self.pooling {
            Pooling::Mean => states.f_mean_dim(1, false, Kind::Float),
            Pooling::Cls => states.f_select(1, 0)?.f_to_kind(Kind::Float),
        };
        self.encoder.rows(&texts, self.dim(), &pool, &unit)
    }
}

/// The rows of a matrix, with length 1.
fn unit(rows: &Tensor) -> Result<Tensor, TchError> {
    let length = rows.f_norm_scalaropt_dim(2.0, 1, true)?.f_clamp_min(1e-12)?;
    rows.f_div(&length)
}
