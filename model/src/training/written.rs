//! References written while the model learns.

use tch::{TchError, Tensor};

use super::Trainee;
use crate::ComputeError;
use crate::write::Selection;

/// How references are written while the model learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WriteOptions {
    /// Tokens that a head keeps, whatever the `memory` block says: training goes from all to few.
    pub keep: u32,
    /// Whether gradients reach the weights that select, beyond the paper: each kept value is multiplied by its weight over the
    /// same number held constant, which is 1.
    pub selection_gradient: bool,
    /// Noise on keys and values, as a share of their mean square: the relative error of a codec that the reader shall bear.
    /// What it is depends on the trainee's [seed](Trainee::seed) and on the writes since then.
    pub noise: [f64; 2],
}

/// Memories that gradients flow through.
pub struct Written {
    /// For each memory layer keys, rotated, and values: `[references, heads, kept, head_dim]` in the model's precision.
    pub(super) layers: Vec<(Tensor, Tensor)>,
    /// Tokens that each reference keeps at a head; padding follows.
    pub(super) held: Vec<usize>,
    /// Tokens of the longest.
    pub(super) kept: usize,
}

impl Trainee {
    /// Writes references of 1 to `reference_length` token ids, as [`Decoder::write`](crate::Decoder::write) does, as one batch.
    ///
    /// # Errors
    /// No references, an empty or too long one, an id outside the vocabulary, or a failure of libtorch.
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

/// `x` with noise whose mean square is `share` of its own.
fn noisy(x: &Tensor, share: f64) -> Result<Tensor, TchError> {
    if share == 0.0 {
        return Ok(x.shallow_clone());
    }
    let size = x.f_detach()?.f_square()?.f_mean(None)?.f_mul_scalar(share)?.f_sqrt()?;
    x.f_add(&x.f_detach()?.f_randn_like()?.f_mul(&size)?)
}
