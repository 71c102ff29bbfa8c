//! Writes references during training.

use mempack_format::MemoryShape;
use tch::{TchError, Tensor};

use super::Trainee;
use crate::ComputeError;
use crate::decoder::Decoder;
use crate::head_spans::HeadSpan;
use crate::write::{SelectedTokens, Selection};

/// Options for writing references during training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WriteOptions {
    /// Tokens that every head keeps, in place of the `memory` block's numbers: training may reduce it step by step. `None` keeps what the
    /// block says.
    pub keep: Option<u32>,
    /// Whether gradients reach the weights that select tokens, which the paper does not do: each kept value is multiplied by its weight
    /// over the same number held constant, which is 1.
    pub selection_gradient: bool,
    /// Mean square of noise on keys and values over their own: the relative error of the codec that the reader is trained for. The noise
    /// depends on the trainee's [seed](Trainee::seed) and the number of writes since it was set.
    pub noise: [f64; 2],
}

/// Written memories as tensors with gradients.
pub struct Written {
    /// What the heads of each memory layer keep.
    pub(super) layers: Vec<Vec<WrittenSpan>>,
    /// Tokens of each reference.
    pub(super) lengths: Vec<usize>,
}

/// What heads of a layer that keep the same number of tokens keep of all references.
pub(super) struct WrittenSpan {
    pub span: HeadSpan,
    /// Rotated keys, `[references, heads of the span, kept, head_dim]` in the model's precision.
    pub keys: Tensor,
    /// Values, likewise.
    pub values: Tensor,
    /// Added to the scores of the tokens, `[references, heads of the span, kept]`: logarithms of gates on them.
    pub gates: Option<Tensor>,
}

impl WrittenSpan {
    /// The tokens of `kept`, of a memory layer, with these keys before RoPE and values, in f32, in place of their own.
    pub fn new(decoder: &Decoder, layer: usize, kept: &SelectedTokens, keys: &Tensor, values: &Tensor) -> Result<Self, TchError> {
        let kind = decoder.kind();
        let rotations = kept.index.f_add_scalar(decoder.memory_rotation_start(layer))?.f_reshape([-1])?;
        let keys = decoder.memory_rotation().apply_at(keys, &rotations)?.f_to_kind(kind)?;
        Ok(Self { span: kept.span, keys, values: values.f_to_kind(kind)?, gates: None })
    }
}

impl Trainee {
    /// Writes references of 1 to `reference_length` token ids as one batch, as [`Decoder::write`](crate::Decoder::write) does.
    ///
    /// # Errors
    /// No references, an empty one, one that is too long, an id outside the vocabulary, or a failure of libtorch.
    pub fn write(&self, references: &[&[u32]], options: &WriteOptions) -> Result<Written, ComputeError> {
        let decoder = self.model().writer().decoder();
        decoder.check_references(references)?;
        if references.is_empty() {
            return Err(ComputeError::EmptyReference { index: 0 });
        }
        let own = decoder.shape();
        let shape = options.keep.map_or_else(|| own.clone(), |keep| MemoryShape::new(own.layers, own.heads, keep.max(1), own.head_dim));
        let selection = Selection { shape, gradient: options.selection_gradient, padded: true, ranks: false };
        let kept = decoder.write_layers(references, &selection)?;
        let _drawing = (options.noise != [0.0; 2]).then(|| self.drawing());
        let of_span = |layer: usize, kept: &SelectedTokens| {
            let (keys, values) = (noisy(&kept.keys, options.noise[0])?, noisy(&kept.values, options.noise[1])?);
            WrittenSpan::new(decoder, layer, kept, &keys, &values)
        };
        let layers = kept
            .iter()
            .enumerate()
            .map(|(layer, spans)| spans.iter().map(|span| of_span(layer, span)).collect())
            .collect::<Result<Vec<_>, TchError>>()?;
        Ok(Written { layers, lengths: references.iter().map(|r| r.len()).collect() })
    }
}

/// `x` with noise whose mean square is `share` times that of `x`.
fn noisy(x: &Tensor, share: f64) -> Result<Tensor, TchError> {
    if share == 0.0 {
        return Ok(x.shallow_clone());
    }
    let size = x.f_detach()?.f_square()?.f_mean(None)?.f_mul_scalar(share)?.f_sqrt()?;
    x.f_add(&x.f_detach()?.f_randn_like()?.f_mul(&size)?)
}
