//! Writes references during training.

use tch::{TchError, Tensor};

use super::Trainee;
use crate::ComputeError;
use crate::write::Selection;

/// Options for writing references during training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WriteOptions {
    /// Tokens that a head keeps, in place of the `memory` block's number: training reduces it step by step.
    pub keep: u32,
    /// Whether gradients reach the weights that select tokens, which the paper does not do: each kept value is multiplied by its weight
    /// over the same number held constant, which is 1.
    pub selection_gradient: bool,
    /// Mean square of noise on keys and values over their own: the relative error of the codec that the reader is trained for. The noise
    /// depends on the trainee's [seed](Trainee::seed) and the number of writes since it was set.
    pub noise: [f64; 2],
}

/// Written memories as tensors with gradients.
pub struct Written {
    /// Rotated keys and values of each memory layer, `[references, heads, kept, head_dim]` in the model's precision.
    pub(super) layers: Vec<(Tensor, Tensor)>,
    /// Tokens that each reference keeps at a head, before the padding.
    pub(super) held: Vec<usize>,
    /// The largest number in `held`.
    pub(super) kept: usize,
}

impl Trainee {
    /// Writes references of 1 to `reference_length` token ids as one batch, as [`Decoder::write`](crate::Decoder::write) does.
    ///
    /// # Errors
    /// No references, an empty one, one that is too long, an id outside the vocabulary, or a failure of libtorch.
    pub fn write(&self, references: &[&[u32]], options: &WriteOptions) -> Result<Written, ComputeError> {
        let decoder = self.model().decoder();
        decoder.check_references(references)?;
        if references.is_empty() {
            return Err(ComputeError::EmptyReference { index: 0 });
        }
        let selection = Selection { keep: options.keep.max(1), gradient: options.selection_gradient, padded: true };
        let kept = decoder.write_layers(references, selection)?;
        let prefix = decoder.memory.reference_prefix_ids.len() as i64;
        let kind = decoder.kind();
        let _drawing = (options.noise != [0.0; 2]).then(|| self.drawing());
        let layers = kept.iter().map(|layer| {
            let positions = layer.index.f_add_scalar(prefix)?.f_reshape([-1])?;
            let keys = decoder.memory_rotation().apply_at(&noisy(&layer.keys, options.noise[0])?, &positions)?;
            Ok((keys.f_to_kind(kind)?, noisy(&layer.values, options.noise[1])?.f_to_kind(kind)?))
        });
        let layers = layers.collect::<Result<Vec<_>, TchError>>()?;
        let kept = layers.first().map_or(0, |(keys, _)| keys.size()[2] as usize);
        Ok(Written { layers, held: references.iter().map(|r| r.len().min(kept)).collect(), kept })
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
