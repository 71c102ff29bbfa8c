//! What is lost on sequences.

use tch::{Kind, Reduction, Tensor};

use super::read::{Batch, Sequence, read};
use super::{Trainee, Written};
use crate::ComputeError;

/// What was lost on some sequences.
pub struct Loss {
    /// Sum over the learnt tokens of the negative log-likelihood.
    sum: Tensor,
    /// For each learnt token, whether it was the most likely.
    hits: Tensor,
    /// Learnt tokens of each sequence.
    learnt: Vec<usize>,
}

/// How much of what was to be learnt was the most likely already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hits {
    /// Learnt tokens.
    pub tokens: usize,
    /// Those that were the most likely.
    pub right: usize,
    /// For each sequence, whether all its learnt tokens were.
    pub exact: Vec<bool>,
}

// The device goes on computing until one of the numbers is asked for: `backward` first leaves it no gap.
impl Loss {
    /// Sum over the learnt tokens of the negative log-likelihood, in nats.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn sum(&self) -> Result<f64, ComputeError> {
        Ok(self.sum.f_detach()?.f_double_value(&[])?)
    }

    /// Adds the gradients of `share` times the sum to those that have come together.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn backward(&self, share: f64) -> Result<(), ComputeError> {
        Ok(self.sum.f_mul_scalar(share)?.f_backward()?)
    }

    /// What was right.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn hits(&self) -> Result<Hits, ComputeError> {
        let hits: Vec<u8> = crate::write::copy_out(&self.hits)?;
        let mut rest = hits.as_slice();
        let exact = self.learnt.iter().map(|count| {
            let (own, others) = rest.split_at(*count);
            rest = others;
            own.iter().all(|hit| *hit == 1)
        });
        let exact = exact.collect();
        Ok(Hits { tokens: hits.len(), right: hits.iter().filter(|hit| **hit == 1).count(), exact })
    }
}

impl Trainee {
    /// What the model loses on `sequences`, whose chunks read references of `written`.
    ///
    /// The memory it takes grows with the product of learnt tokens and vocabulary.
    ///
    /// # Errors
    /// No sequence or no learnt token, marks that are not as many as tokens, a reference that is not written, an id outside the
    /// vocabulary, or a failure of libtorch.
    pub fn loss(&self, sequences: &[Sequence], written: Option<&Written>) -> Result<Loss, ComputeError> {
        let decoder = self.model().decoder();
        let batch = Batch::new(decoder, sequences, written)?;
        // The row before a token predicts it.
        let learnt = |row: usize| {
            let first = (row * batch.width + batch.prefix) as i64;
            sequences[row].learnt.iter().enumerate().filter(|(_, learnt)| **learnt).map(move |(token, _)| first + token as i64)
        };
        let rows: Vec<i64> = (0..sequences.len()).flat_map(learnt).collect();
        let targets = sequences.iter().flat_map(|s| s.tokens.iter().zip(&s.learnt)).filter(|(_, learnt)| **learnt);
        let targets: Vec<i64> = targets.map(|(token, _)| i64::from(*token)).collect();
        if rows.is_empty() {
            return Err(ComputeError::NothingToLearn);
        }
        let on_device = |x: &[i64]| Tensor::f_from_slice(x)?.f_to_device(decoder.device);
        let x = read(decoder, &batch, written)?;
        let logits = decoder.logits(&x.f_index_select(0, &on_device(&rows)?)?)?.f_to_kind(Kind::Float)?;
        let targets = on_device(&targets)?;
        let sum = logits.f_cross_entropy_loss::<Tensor>(&targets, None, Reduction::Sum, -100, 0.0)?;
        let hits = logits.f_detach()?.f_argmax(-1, false)?.f_eq_tensor(&targets)?.f_to_kind(Kind::Uint8)?;
        let learnt = sequences.iter().map(|sequence| sequence.learnt.iter().filter(|learnt| **learnt).count()).collect();
        Ok(Loss { sum, hits, learnt })
    }
}
