//! The encoder: BERT and its RoBERTa variants, from token ids to unit vectors.
//!
//! Texts of all lengths are packed in one matrix of tokens, without padding and masks. Everything but attention works on single tokens;
//! attention is computed for each run of texts of equal length.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use tch::{Device, Kind, TchError, Tensor};

use super::config::{Activation, EncoderConfig, Pooling, load_pooling};
use crate::attention::{Mask, attend};
use crate::checkpoint::Checkpoint;
use crate::folder::check_folder;
use crate::{ComputeError, LoadError, LoadOptions};

const FOLDER: &str = "an embedder's folder has config.json, model.safetensors and tokenizer.json of a BERT or XLM-RoBERTa model";

/// Max tokens of a part, unless one text has more. Their states fit in the processor's cache.
const MAX_PART_TOKENS: usize = 1024;

/// Max tokens of a part on a GPU, which needs larger operations.
const MAX_PART_TOKENS_GPU: usize = 16 * 1024;

/// A linear map with a bias; its weight is `[out, in]`.
struct AffineMap {
    weight: Tensor,
    bias: Tensor,
}

impl AffineMap {
    fn apply(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_linear(&self.weight, Some(&self.bias))
    }

    fn share(&self) -> Self {
        Self { weight: self.weight.shallow_clone(), bias: self.bias.shallow_clone() }
    }
}

/// A layer norm over the hidden dimension.
struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    fn apply(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, false)
    }

    fn share(&self) -> Self {
        Self { weight: self.weight.shallow_clone(), bias: self.bias.shallow_clone(), eps: self.eps }
    }
}

struct EncoderLayer {
    qkv: AffineMap,
    output: AffineMap,
    attention_norm: LayerNorm,
    up: AffineMap,
    down: AffineMap,
    norm: LayerNorm,
}

/// Consecutive texts of equal length in the packed matrix.
struct EqualLengthRun {
    texts: i64,
    tokens: i64,
}

impl EqualLengthRun {
    fn rows(&self) -> i64 {
        self.texts * self.tokens
    }
}

impl EncoderLayer {
    /// The layer's output for states `x`, `[tokens, hidden]`.
    fn apply(&self, x: &Tensor, runs: &[EqualLengthRun], heads: i64, activation: Activation) -> Result<Tensor, TchError> {
        let hidden = x.size2()?.1;
        let qkv = self.qkv.apply(x)?;
        let mut attended = Vec::with_capacity(runs.len());
        let mut at = 0;
        for run in runs {
            let part = qkv.f_narrow(0, at, run.rows())?.f_view([run.texts, run.tokens, 3, heads, hidden / heads])?;
            let part = part.f_permute([2, 0, 3, 1, 4])?;
            let [q, k, v] = [0, 1, 2].map(|i| part.f_select(0, i));
            // [texts, heads, tokens, head_dim]
            attended.push(attend(&q?, &k?, &v?, Mask::None)?);
            at += run.rows();
        }
        let attended = match attended.as_slice() {
            [one] => one.shallow_clone(),
            many => Tensor::f_cat(many, 0)?,
        };
        let x = self.attention_norm.apply(&self.output.apply(&attended)?.f_add_(x)?)?;
        let inner = self.up.apply(&x)?.f_gelu_(activation.approximation())?;
        self.norm.apply(&self.down.apply(&inner)?.f_add_(&x)?)
    }

    fn share(&self) -> Self {
        Self {
            qkv: self.qkv.share(),
            output: self.output.share(),
            attention_norm: self.attention_norm.share(),
            up: self.up.share(),
            down: self.down.share(),
            norm: self.norm.share(),
        }
    }
}

/// An encoder with its pooling, from token ids to unit vectors. [`Embedder`](crate::Embedder) adds a tokenizer.
pub struct TextEncoder {
    config: EncoderConfig,
    pooling: Pooling,
    device: Device,
    words: Tensor,
    /// Position embeddings from a text's first token on, with the token type embedding of a single text added.
    positions: Tensor,
    norm: LayerNorm,
    layers: Vec<EncoderLayer>,
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
        let config = EncoderConfig::load(&folder.join("config.json"))?;
        let pooling = load_pooling(folder, config.hidden)?;
        let device = options.device.resolve()?;
        let checkpoint = Checkpoint::open(folder)?;
        // Checkpoints of models with a head prefix the encoder's names.
        let word = "embeddings.word_embeddings.weight";
        let prefix = ["", "bert.", "roberta."].into_iter().find(|p| checkpoint.contains(&format!("{p}{word}"))).unwrap_or("");
        let kind = options.precision.kind();
        let used = RefCell::new(BTreeSet::new());
        let get = |name: &str, shape: &[i64]| {
            let name = format!("{prefix}{name}");
            let tensor = checkpoint.tensor(&name, shape, kind, device);
            used.borrow_mut().insert(name);
            tensor
        };
        let [hidden, inner] = [config.hidden, config.intermediate].map(i64::from);
        let norm = |name: &str| -> Result<LayerNorm, LoadError> {
            let [weight, bias] = ["weight", "bias"].map(|part| get(&format!("{name}.{part}"), &[hidden]));
            Ok(LayerNorm { weight: weight?, bias: bias?, eps: config.norm_eps })
        };
        let linear = |name: &str, rows: i64, columns: i64| -> Result<AffineMap, LoadError> {
            Ok(AffineMap { weight: get(&format!("{name}.weight"), &[rows, columns])?, bias: get(&format!("{name}.bias"), &[rows])? })
        };
        let mut layers = Vec::new();
        for number in 0..config.layers {
            let name = |part: &str| format!("encoder.layer.{number}.{part}");
            let [q, k, v] = ["query", "key", "value"].map(|part| linear(&name(&format!("attention.self.{part}")), hidden, hidden));
            let (q, k, v) = (q?, k?, v?);
            layers.push(EncoderLayer {
                qkv: AffineMap {
                    weight: Tensor::f_cat(&[q.weight, k.weight, v.weight], 0)?,
                    bias: Tensor::f_cat(&[q.bias, k.bias, v.bias], 0)?,
                },
                output: linear(&name("attention.output.dense"), hidden, hidden)?,
                attention_norm: norm(&name("attention.output.LayerNorm"))?,
                up: linear(&name("intermediate.dense"), inner, hidden)?,
                down: linear(&name("output.dense"), hidden, inner)?,
                norm: norm(&name("output.LayerNorm"))?,
            });
        }
        let first = i64::from(config.first_position);
        let positions = get("embeddings.position_embeddings.weight", &[config.positions.into(), hidden])?;
        let types = get("embeddings.token_type_embeddings.weight", &[config.types.into(), hidden])?;
        let encoder = Self {
            pooling,
            device,
            words: get(word, &[config.vocabulary.into(), hidden])?,
            positions: positions.f_narrow(0, first, i64::from(config.positions) - first)?.f_add(&types.f_narrow(0, 0, 1)?)?,
            norm: norm("embeddings.LayerNorm")?,
            layers,
            config,
        };
        // Poolers and heads are not computed; anything else between the words and the last layer belongs to another architecture.
        let used = used.into_inner();
        let inside = |name: &str| {
            let part = name.strip_prefix(prefix).unwrap_or(name);
            (part.starts_with("encoder.") || part.starts_with("embeddings.")) && !part.ends_with("position_ids")
        };
        if let Some(name) = checkpoint.names().find(|name| inside(name) && !used.contains(*name)) {
            return Err(checkpoint.wrong(name, "the tensors of the encoder in config.json", "another one", FOLDER));
        }
        Ok((encoder, checkpoint))
    }

    /// Dimensions of a vector.
    pub fn dim(&self) -> usize {
        self.config.hidden as usize
    }

    /// The pooling.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// Max tokens of a text, special tokens included: the number of positions.
    pub fn max_tokens(&self) -> usize {
        self.config.max_tokens() as usize
    }

    /// One past the largest id.
    pub fn vocabulary(&self) -> usize {
        self.config.vocabulary as usize
    }

    /// The fields that change what is computed.
    pub(super) fn canonical(&self) -> String {
        format!("{}pooling {:?}\n", self.config.canonical(), self.pooling)
    }

    /// Another handle on the same weights, for another thread.
    pub fn share(&self) -> Self {
        Self {
            config: self.config.clone(),
            pooling: self.pooling,
            device: self.device,
            words: self.words.shallow_clone(),
            positions: self.positions.shallow_clone(),
            norm: self.norm.share(),
            layers: self.layers.iter().map(EncoderLayer::share).collect(),
        }
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
        for (index, ids) in texts.iter().enumerate() {
            let (tokens, max) = (ids.len(), self.max_tokens());
            if tokens == 0 {
                return Err(ComputeError::EmptyReference { index });
            }
            if tokens > max {
                return Err(ComputeError::LongReference { index, tokens, max });
            }
            if let Some(&token) = ids.iter().find(|id| **id >= self.config.vocabulary) {
                return Err(ComputeError::UnknownToken { token, vocabulary: self.vocabulary() });
            }
        }
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|index| texts[*index].len());
        let mut out = vec![0.0; texts.len() * self.dim()];
        let max = if self.device == Device::Cpu { MAX_PART_TOKENS } else { MAX_PART_TOKENS_GPU };
        for part in parts(&order, texts, max) {
            let rows = tch::no_grad(|| self.embed_part(part, texts))?;
            for (index, row) in part.iter().zip(rows.chunks_exact(self.dim())) {
                out[index * self.dim()..][..self.dim()].copy_from_slice(row);
            }
        }
        Ok(out)
    }

    /// Vectors of the texts `part`, which are sorted by length.
    fn embed_part(&self, part: &[usize], texts: &[&[u32]]) -> Result<Vec<f32>, TchError> {
        let same = part.chunk_by(|a, b| texts[*a].len() == texts[*b].len());
        let runs: Vec<EqualLengthRun> =
            same.map(|run| EqualLengthRun { texts: run.len() as i64, tokens: texts[run[0]].len() as i64 }).collect();
        let ids: Vec<i64> = part.iter().flat_map(|i| texts[*i]).map(|id| i64::from(*id)).collect();
        let places: Vec<i64> = part.iter().flat_map(|i| 0..texts[*i].len() as i64).collect();
        let index = |values: &[i64]| Tensor::f_from_slice(values)?.f_to_device(self.device);
        let words = self.words.f_index_select(0, &index(&ids)?)?;
        let mut x = self.norm.apply(&words.f_add(&self.positions.f_index_select(0, &index(&places)?)?)?)?;
        for layer in &self.layers {
            x = layer.apply(&x, &runs, self.config.heads.into(), self.config.activation)?;
        }
        let mut pooled = Vec::with_capacity(runs.len());
        let mut at = 0;
        for run in &runs {
            let states = x.f_narrow(0, at, run.rows())?.f_view([run.texts, run.tokens, self.config.hidden.into()])?;
            pooled.push(match self.pooling {
                Pooling::Mean => states.f_mean_dim(1, false, Kind::Float)?,
                Pooling::Cls => states.f_select(1, 0)?.f_to_kind(Kind::Float)?,
            });
            at += run.rows();
        }
        let pooled = Tensor::f_cat(&pooled, 0)?;
        let length = pooled.f_norm_scalaropt_dim(2.0, 1, true)?.f_clamp_min(1e-12)?;
        let unit = pooled.f_div(&length)?.f_to_device(Device::Cpu)?.f_reshape(-1)?;
        Vec::try_from(&unit)
    }
}

/// Cuts `order` into parts of at most `max` tokens, or of one text that has more.
fn parts<'a>(order: &'a [usize], texts: &[&[u32]], max: usize) -> Vec<&'a [usize]> {
    let mut parts = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (at, index) in order.iter().enumerate() {
        let more = texts[*index].len();
        if at > start && tokens + more > max {
            parts.push(&order[start..at]);
            (start, tokens) = (at, 0);
        }
        tokens += more;
    }
    if start < order.len() {
        parts.push(&order[start..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_every_text_once() {
        for lengths in [vec![], vec![2000], vec![10, 10, 500, 1014, 1500, 1500], vec![1; 5000]] {
            let texts: Vec<Vec<u32>> = lengths.iter().map(|n| vec![0; *n]).collect();
            let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            let order: Vec<usize> = (0..texts.len()).collect();
            let parts = parts(&order, &texts, MAX_PART_TOKENS);
            assert_eq!(parts.concat(), order);
            for part in parts {
                let tokens: usize = part.iter().map(|i| texts[*i].len()).sum();
                assert!(!part.is_empty() && (tokens <= MAX_PART_TOKENS || part.len() == 1), "{tokens}");
            }
        }
    }
}
