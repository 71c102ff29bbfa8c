//! The AdamW optimizer, with a state that can be saved.

use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor};

use super::{Parameter, Trainee};
use crate::ComputeError;

/// Settings of AdamW (arXiv 1711.05101, algorithm 2).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// The highest learning rate.
    pub rate: f64,
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Added to the square root of the second moment.
    pub epsilon: f64,
    /// Weight decay: the share of a matrix that a step at rate 1 subtracts. Norms and biases do not decay.
    pub weight_decay: f64,
    /// Max norm of all gradients together; larger gradients are scaled down. 0 does not clip.
    pub clip: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { rate: 8e-4, beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weight_decay: 0.01, clip: 1.0 }
    }
}

/// The optimizer: f32 moments of every parameter.
pub struct AdamW {
    config: AdamWConfig,
    /// First and second moment of each parameter.
    pub(super) moments: Vec<(Tensor, Tensor)>,
    pub(super) steps: u64,
}

impl AdamW {
    /// An optimizer before its first step.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn new(config: AdamWConfig, trainee: &Trainee) -> Result<Self, ComputeError> {
        let zeros = |p: &Parameter| p.master.f_detach()?.f_zeros_like();
        let moments = trainee.parameters.iter().map(|p| Ok((zeros(p)?, zeros(p)?)));
        Ok(Self { config, moments: moments.collect::<Result<_, TchError>>()?, steps: 0 })
    }

    /// Number of steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// One step at learning rate `rate` with the accumulated gradients, which are zero afterwards. Returns their norm before clipping.
    ///
    /// If the norm is not finite, no weight changes; the caller decides what to do.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn step(&mut self, trainee: &mut Trainee, rate: f64) -> Result<f64, ComputeError> {
        let _guard = tch::no_grad_guard();
        let gradients = trainee.parameters.iter().map(|p| gradient(&p.working)).collect::<Result<Vec<_>, TchError>>()?;
        let norm = norm(gradients.iter().flatten())?;
        if norm.is_finite() {
            self.steps += 1;
            let cut = if self.config.clip > 0.0 && norm > self.config.clip { self.config.clip / norm } else { 1.0 };
            for ((parameter, (first, second)), gradient) in trainee.parameters.iter_mut().zip(&mut self.moments).zip(gradients) {
                if let Some(gradient) = gradient {
                    update(&self.config, self.steps, parameter, first, second, &gradient.f_mul_scalar(cut)?, rate)?;
                }
            }
        }
        trainee.clear_gradients()?;
        Ok(norm)
    }
}

/// A gradient in f32; `None` if the parameter has none.
fn gradient(working: &Tensor) -> Result<Option<Tensor>, TchError> {
    let gradient = working.f_grad()?;
    if gradient.defined() { Ok(Some(gradient.f_to_kind(Kind::Float)?)) } else { Ok(None) }
}

/// Euclidean norm of all gradients together.
fn norm<'a>(gradients: impl Iterator<Item = &'a Tensor>) -> Result<f64, TchError> {
    let squares = gradients.map(|gradient| gradient.f_square()?.f_sum(Kind::Double)).collect::<Result<Vec<_>, _>>()?;
    // One number is copied from the device, not one a parameter.
    if squares.is_empty() { Ok(0.0) } else { Ok(Tensor::f_stack(&squares, 0)?.f_sum(Kind::Double)?.f_double_value(&[])?.sqrt()) }
}

fn update(
    config: &AdamWConfig,
    steps: u64,
    parameter: &mut Parameter,
    first: &mut Tensor,
    second: &mut Tensor,
    gradient: &Tensor,
    rate: f64,
) -> Result<(), TchError> {
    let count = steps.min(i32::MAX as u64) as i32;
    let corrected = |beta: f64| 1.0 - beta.powi(count);
    let _ = first.f_mul_scalar_(config.beta1)?.f_add_(&gradient.f_mul_scalar(1.0 - config.beta1)?)?;
    let _ = second.f_mul_scalar_(config.beta2)?.f_add_(&gradient.f_square()?.f_mul_scalar(1.0 - config.beta2)?)?;
    if parameter.decays && config.weight_decay > 0.0 {
        let _ = parameter.master.f_mul_scalar_(1.0 - rate * config.weight_decay)?;
    }
    let root = second.f_div_scalar(corrected(config.beta2))?.f_sqrt()?.f_add_scalar(config.epsilon)?;
    let change = first.f_div(&root)?.f_mul_scalar(-rate / corrected(config.beta1))?;
    let _ = parameter.master.f_add_(&change)?;
    parameter.publish()
}

#[cfg(test)]
mod tests {
    use crate::Precision;

    use super::*;

    /// The paper's algorithm on one number, in f64.
    fn oracle(config: &AdamWConfig, rate: f64, mut x: f64, gradients: &[f64], decays: bool) -> f64 {
        let (mut m, mut v) = (0.0, 0.0);
        for (t, g) in (1..).zip(gradients) {
            m = config.beta1 * m + (1.0 - config.beta1) * g;
            v = config.beta2 * v + (1.0 - config.beta2) * g * g;
            let (m, v) = (m / (1.0 - config.beta1.powi(t)), v / (1.0 - config.beta2.powi(t)));
            let decay = if decays { rate * config.weight_decay * x } else { 0.0 };
            x -= rate * m / (v.sqrt() + config.epsilon) + decay;
        }
        x
    }

    #[test]
    fn steps_are_those_of_the_paper() {
        let config = AdamWConfig { clip: 0.0, weight_decay: 0.1, ..AdamWConfig::default() };
        let gradients = [0.3, -0.2, 1.5, 0.01];
        for decays in [true, false] {
            // Matrices decay, vectors do not.
            let shape: &[i64] = if decays { &[1, 1] } else { &[1] };
            let mut parameter = Parameter::new("x".into(), &Tensor::from_slice(&[0.7f32]).view(shape), Precision::F32).unwrap();
            let _guard = tch::no_grad_guard();
            let (mut first, mut second) = (parameter.master.zeros_like(), parameter.master.zeros_like());
            for (steps, g) in (1..).zip(gradients) {
                update(&config, steps, &mut parameter, &mut first, &mut second, &Tensor::from_slice(&[g as f32]).view(shape), 0.05)
                    .unwrap();
            }
            let found = parameter.master.view([-1]).double_value(&[0]);
            let expected = oracle(&config, 0.05, 0.7, &gradients, decays);
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
