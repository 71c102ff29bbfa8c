//! BERT and its RoBERTa variants, from token ids to the states of the last layer.
//!
//! Texts of all lengths are packed in one matrix of tokens, without padding and masks. Everything but attention works on single tokens;
//! attention is computed for each run of texts of equal length.

use std::cell::RefCell;
use std::collections::BTreeSet;

use tch::{Device, Kind, TchError, Tensor};

use super::config::{Activation, EncoderConfig};
use crate::attention::{Mask, attend};
use crate::checkpoint::Checkpoint;
use crate::{ComputeError, LoadError};

/// Max tokens of a part, unless one text has more. Their states fit in the processor's cache.
const MAX_PART_TOKENS: usize = 1024;

/// Max tokens of a part on a GPU, which needs larger operations.
const MAX_PART_TOKENS_GPU: usize = 16 * 1024;

/// A linear map with a bias; its weight is `[out, in]`.
pub(crate) struct AffineMap {
    weight: Tensor,
    bias: Tensor,
}

impl AffineMap {
    /// Reads `NAME.weight`, `[rows, columns]`, and `NAME.bias`.
    pub(crate) fn load(tensors: &Tensors<'_>, name: &str, rows: i64, columns: i64) -> Result<Self, LoadError> {
        Ok(Self { weight: tensors.get(&format!("{name}.weight"), &[rows, columns])?, bias: tensors.get(&format!("{name}.bias"), &[rows])? })
    }

    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_linear(&self.weight, Some(&self.bias))
    }

    pub(crate) fn share(&self) -> Self {
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

/// A text as token ids, special tokens included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncoderText<'a> {
    pub ids: &'a [u32],
    /// The number of its first tokens that have type 0; the others have type 1.
    pub first_type: usize,
}

impl<'a> EncoderText<'a> {
    /// A text whose tokens all have type 0.
    pub(crate) fn single(ids: &'a [u32]) -> Self {
        Self { ids, first_type: ids.len() }
    }
}

/// The tensors of a checkpoint, as one model reads them.
pub(crate) struct Tensors<'a> {
    pub checkpoint: &'a Checkpoint,
    pub kind: Kind,
    pub device: Device,
}

impl Tensors<'_> {
    /// The tensor `name`, of this shape.
    pub(crate) fn get(&self, name: &str, shape: &[i64]) -> Result<Tensor, LoadError> {
        self.checkpoint.tensor(name, shape, self.kind, self.device)
    }
}

/// An encoder without pooling and head.
pub(crate) struct Encoder {
    config: EncoderConfig,
    device: Device,
    words: Tensor,
    /// Position embeddings from a text's first token on with the embedding of token type 0 added, then those with type 1, if it is used.
    positions: Tensor,
    norm: LayerNorm,
    layers: Vec<EncoderLayer>,
}

const WORDS: &str = "embeddings.word_embeddings.weight";

impl Encoder {
    /// Reads the encoder's tensors. `types` is the number of token types that texts have, 1 or 2. `folder` says what belongs in the folder.
    pub(crate) fn load(config: EncoderConfig, types: u32, tensors: &Tensors<'_>, folder: &str) -> Result<Self, LoadError> {
        let checkpoint = tensors.checkpoint;
        // Checkpoints of models with a head prefix the encoder's names.
        let prefix = ["", "bert.", "roberta."].into_iter().find(|p| checkpoint.contains(&format!("{p}{WORDS}"))).unwrap_or("");
        let used = RefCell::new(BTreeSet::new());
        let get = |name: &str, shape: &[i64]| {
            let name = format!("{prefix}{name}");
            let tensor = tensors.get(&name, shape);
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
        let positions = positions.f_narrow(0, first, i64::from(config.positions) - first)?;
        let embedded = get("embeddings.token_type_embeddings.weight", &[config.types.into(), hidden])?;
        let typed = |number: u32| positions.f_add(&embedded.f_narrow(0, number.into(), 1)?);
        let encoder = Self {
            device: tensors.device,
            words: get(WORDS, &[config.vocabulary.into(), hidden])?,
            positions: Tensor::f_cat(&(0..types).map(typed).collect::<Result<Vec<_>, _>>()?, 0)?,
            norm: norm("embeddings.LayerNorm")?,
            layers,
            config,
        };
        // Anything else between the words and the last layer belongs to another architecture.
        let used = used.into_inner();
        let inside = |name: &str| {
            let part = name.strip_prefix(prefix).unwrap_or(name);
            (part.starts_with("encoder.") || part.starts_with("embeddings.")) && !part.ends_with("position_ids")
        };
        if let Some(name) = checkpoint.names().find(|name| inside(name) && !used.contains(*name)) {
            return Err(checkpoint.wrong(name, "the tensors of the encoder in config.json", "another one", folder));
        }
        Ok(encoder)
    }

    pub(crate) fn config(&self) -> &EncoderConfig {
        &self.config
    }

    pub(crate) fn share(&self) -> Self {
        Self {
            config: self.config.clone(),
            device: self.device,
            words: self.words.shallow_clone(),
            positions: self.positions.shallow_clone(),
            norm: self.norm.share(),
            layers: self.layers.iter().map(EncoderLayer::share).collect(),
        }
    }

    /// A row of `width` numbers for each text, in the order of `texts`. `pool` makes `[texts, hidden]` of the states of texts of one length,
    /// `[texts, tokens, hidden]`, and `finish` makes `[texts, width]` of what was pooled.
    ///
    /// Texts are sorted by length and computed in parts of bounded size. The result is a function of the texts and of the number of threads
    /// of an operation.
    pub(crate) fn rows(
        &self,
        texts: &[EncoderText<'_>],
        width: usize,
        pool: &dyn Fn(&Tensor) -> Result<Tensor, TchError>,
        finish: &dyn Fn(&Tensor) -> Result<Tensor, TchError>,
    ) -> Result<Vec<f32>, ComputeError> {
        for (index, EncoderText { ids, .. }) in texts.iter().enumerate() {
            let (tokens, max) = (ids.len(), self.config.max_tokens() as usize);
            if tokens == 0 {
                return Err(ComputeError::EmptyReference { index });
            }
            if tokens > max {
                return Err(ComputeError::LongReference { index, tokens, max });
            }
            if let Some(&token) = ids.iter().find(|id| **id >= self.config.vocabulary) {
                return Err(ComputeError::UnknownToken { token, vocabulary: self.config.vocabulary as usize });
            }
        }
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|index| texts[*index].ids.len());
        let mut out = vec![0.0; texts.len() * width];
        let max = if self.device == Device::Cpu { MAX_PART_TOKENS } else { MAX_PART_TOKENS_GPU };
        for part in parts(&order, texts, max) {
            let part_texts: Vec<EncoderText<'_>> = part.iter().map(|index| texts[*index]).collect();
            let rows: Vec<f32> = tch::no_grad(|| {
                let rows = finish(&self.pooled(&part_texts, pool)?)?.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?.f_reshape(-1)?;
                Vec::try_from(&rows)
            })?;
            for (index, row) in part.iter().zip(rows.chunks_exact(width)) {
                out[index * width..][..width].copy_from_slice(row);
            }
        }
        Ok(out)
    }

    /// What `pool` makes of the states of texts that are sorted by length.
    fn pooled(&self, texts: &[EncoderText<'_>], pool: &dyn Fn(&Tensor) -> Result<Tensor, TchError>) -> Result<Tensor, TchError> {
        let same = texts.chunk_by(|a, b| a.ids.len() == b.ids.len());
        let runs: Vec<EqualLengthRun> =
            same.map(|run| EqualLengthRun { texts: run.len() as i64, tokens: run[0].ids.len() as i64 }).collect();
        let ids: Vec<i64> = texts.iter().flat_map(|text| text.ids).map(|id| i64::from(*id)).collect();
        let second = i64::from(self.config.max_tokens());
        let place = |text: &EncoderText<'_>| {
            let first = text.first_type;
            (0..text.ids.len()).map(move |at| at as i64 + if at < first { 0 } else { second })
        };
        let places: Vec<i64> = texts.iter().flat_map(place).collect();
        let index = |values: &[i64]| Tensor::f_from_slice(values)?.f_to_device(self.device);
        let words = self.words.f_index_select(0, &index(&ids)?)?;
        let mut x = self.norm.apply(&words.f_add(&self.positions.f_index_select(0, &index(&places)?)?)?)?;
        for layer in &self.layers {
            x = layer.apply(&x, &runs, self.config.heads.into(), self.config.activation)?;
        }
        let mut pooled = Vec::with_capacity(runs.len());
        let mut at = 0;
        for run in &runs {
            pooled.push(pool(&x.f_narrow(0, at, run.rows())?.f_view([run.texts, run.tokens, self.config.hidden.into()])?)?);
            at += run.rows();
        }
        Tensor::f_cat(&pooled, 0)
    }
}

/// Cuts `order` into parts of at most `max` tokens, or of one text that has more.
fn parts<'a>(order: &'a [usize], texts: &[EncoderText<'_>], max: usize) -> Vec<&'a [usize]> {
    let mut parts = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (at, index) in order.iter().enumerate() {
        let more = texts[*index].ids.len();
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
            let texts: Vec<EncoderText<'_>> = texts.iter().map(|ids| EncoderText::single(ids)).collect();
            let order: Vec<usize> = (0..texts.len()).collect();
            let parts = parts(&order, &texts, MAX_PART_TOKENS);
            assert_eq!(parts.concat(), order);
            for part in parts {
                let tokens: usize = part.iter().map(|i| texts[*i].ids.len()).sum();
                assert!(!part.is_empty() && (tokens <= MAX_PART_TOKENS || part.len() == 1), "{tokens}");
            }
        }
    }
}
