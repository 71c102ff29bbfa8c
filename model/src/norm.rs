//! The root-mean-square norm (arXiv 1910.07467).

use tch::{Kind, TchError, Tensor};

/// An RMS norm over the last dimension.
pub(crate) struct RmsNorm {
    /// `[last dimension]`, as the checkpoint has it.
    pub(crate) weight: Tensor,
    /// Added to the weight before it multiplies.
    offset: f64,
    /// Multiplies the sum of weight and offset.
    factor: f64,
    eps: f64,
}

impl RmsNorm {
    pub(crate) fn new(weight: Tensor, offset: f64, eps: f64) -> Self {
        Self { weight, offset, factor: 1.0, eps }
    }

    /// The same norm, followed by a multiplication with `factor`.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self { factor: self.factor * factor, ..self }
    }

    /// The vectors of `x`, `[..., last dimension]`, normalized.
    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor, TchError> {
        if self.offset == 0.0 && self.factor == 1.0 {
            return x.f_rms_norm(self.weight.size(), Some(&self.weight), self.eps);
        }
        // In f32 whatever the precision, as in transformers: bf16 has 8 bits for the sum.
        let weight = self.multiplier()?;
        x.f_to_kind(Kind::Float)?.f_rms_norm(weight.size(), Some(&weight), self.eps)?.f_to_kind(x.kind())
    }

    /// What multiplies normalized vectors, `[last dimension]` in f32.
    pub(crate) fn multiplier(&self) -> Result<Tensor, TchError> {
        let weight = self.weight.f_to_kind(Kind::Float)?.f_add_scalar(self.offset)?;
        if self.factor == 1.0 { Ok(weight) } else { weight.f_mul_scalar(self.factor) }
    }

    /// What is added to the mean of squares.
    pub(crate) fn eps(&self) -> f64 {
        self.eps
    }

    pub(crate) fn share(&self) -> Self {
        Self { weight: self.weight.shallow_clone(), ..*self }
    }
}
