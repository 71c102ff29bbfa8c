//! Predictions of the learnt tokens of sequences, and losses computed from them.

use tch::{Kind, Reduction, TchError, Tensor};

use super::read::{Batch, Sequence, read};
use super::{Trainee, WriteOptions, Written};
use crate::context::ContextLayout;
use crate::{ComputeError, Model};

/// A model's predictions of the learnt tokens of some sequences, in the order of the sequences and of their tokens.
///
/// If the model is that of a [`Trainee`], gradients flow from the tensors to its weights. An objective that compares two runs computes its
/// loss from the tensors of both, and hands it to [`loss`](Self::loss).
pub struct Predictions {
    /// `[learnt tokens, vocabulary]`, in f32.
    logits: Tensor,
    /// The ids of the learnt tokens: `[learnt tokens]`.
    targets: Tensor,
    /// Learnt tokens of each sequence.
    learnt: Vec<usize>,
}

/// A loss on a batch of sequences, and how many of their tokens the model predicts.
pub struct TrainingLoss {
    /// The loss, a scalar.
    pub(super) sum: Tensor,
    /// For each learnt token, whether it is the model's most likely token.
    pub(super) hits: Tensor,
    /// Learnt tokens of each sequence.
    pub(super) learnt: Vec<usize>,
}

/// How many of the learnt tokens the model predicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hits {
    /// Learnt tokens.
    pub tokens: usize,
    /// Learnt tokens that are the model's most likely token.
    pub right: usize,
    /// For each sequence, whether all its learnt tokens are.
    pub exact: Vec<bool>,
}

impl Model {
    /// Predicts the learnt tokens of `sequences`, whose chunks read references of `written`. One pass; a token is predicted from the tokens
    /// before it.
    ///
    /// Memory grows with the product of learnt tokens and vocabulary.
    ///
    /// # Errors
    /// No sequence or no learnt token, marks that are not as many as tokens, a reference that is not written, an id outside the
    /// vocabulary, or a failure of libtorch.
    pub fn predict(&self, sequences: &[Sequence], written: Option<&Written>) -> Result<Predictions, ComputeError> {
        let states = self.states(sequences, written, ContextLayout::with_memories(self.memory()))?;
        let logits = self.decoder().logits(&states.x)?.f_to_kind(Kind::Float)?;
        Ok(Predictions { logits, targets: states.targets, learnt: states.learnt })
    }

    /// The last layer's output from which the learnt tokens are predicted.
    pub(super) fn states(
        &self,
        sequences: &[Sequence],
        written: Option<&Written>,
        layout: ContextLayout,
    ) -> Result<LearntStates, ComputeError> {
        let decoder = self.decoder();
        let batch = Batch::new(decoder, sequences, written, layout)?;
        let rows = batch.predicting();
        let targets = sequences.iter().flat_map(|s| s.tokens.iter().zip(&s.learnt)).filter(|(_, learnt)| **learnt);
        let targets: Vec<i64> = targets.map(|(token, _)| i64::from(*token)).collect();
        if rows.is_empty() {
            return Err(ComputeError::NothingToLearn);
        }
        let on_device = |x: &[i64]| Tensor::f_from_slice(x)?.f_to_device(decoder.device);
        let x = read(decoder, &batch, written)?.f_index_select(0, &on_device(&rows)?)?;
        let learnt = sequences.iter().map(|sequence| sequence.learnt.iter().filter(|learnt| **learnt).count()).collect();
        Ok(LearntStates { x, targets: on_device(&targets)?, learnt })
    }
}

/// What the learnt tokens of some sequences are predicted from, in the order of the sequences and of their tokens.
pub(super) struct LearntStates {
    /// The last layer's output: `[learnt tokens, hidden]`.
    pub x: Tensor,
    /// The ids of the learnt tokens: `[learnt tokens]`.
    pub targets: Tensor,
    /// Learnt tokens of each sequence.
    pub learnt: Vec<usize>,
}

impl Predictions {
    /// Log-probabilities of the learnt tokens, in nats: `[learnt tokens]`, in f32.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn log_probabilities(&self) -> Result<Tensor, ComputeError> {
        Ok(self.logits.f_cross_entropy_loss::<Tensor>(&self.targets, None, Reduction::None, -100, 0.0)?.f_neg()?)
    }

    /// The log-likelihood of each sequence, in nats: the sum of the log-probabilities of its learnt tokens, 0 without any. `[sequences]`, in
    /// f32.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn sequence_log_likelihoods(&self) -> Result<Tensor, ComputeError> {
        let counts: Vec<i64> = self.learnt.iter().map(|count| *count as i64).collect();
        let sequences = self.log_probabilities()?.f_split_with_sizes(&counts, 0)?;
        let sums = sequences.iter().map(|tokens| tokens.f_sum(None)).collect::<Result<Vec<_>, _>>()?;
        Ok(Tensor::f_stack(&sums, 0)?)
    }

    /// Unnormalised scores of every token of the vocabulary: `[learnt tokens, vocabulary]`, in f32. Their softmax is the predicted
    /// distribution.
    pub fn logits(&self) -> &Tensor {
        &self.logits
    }

    /// The cross-entropy, summed over the learnt tokens, in nats.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn cross_entropy(self) -> Result<TrainingLoss, ComputeError> {
        let sum = self.logits.f_cross_entropy_loss::<Tensor>(&self.targets, None, Reduction::Sum, -100, 0.0)?;
        self.loss(sum)
    }

    /// A loss that was computed from these predictions: `sum` is a scalar.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn loss(self, sum: Tensor) -> Result<TrainingLoss, ComputeError> {
        Ok(TrainingLoss { sum, hits: hits(&self.logits, &self.targets)?, learnt: self.learnt })
    }
}

/// For each row of `logits`, whether the most likely token is the target, as a byte.
pub(super) fn hits(logits: &Tensor, targets: &Tensor) -> Result<Tensor, TchError> {
    logits.f_detach()?.f_argmax(-1, false)?.f_eq_tensor(targets)?.f_to_kind(Kind::Uint8)
}

// A GPU computes on until a number is read from it: call `backward` first, so that it does not wait.
impl TrainingLoss {
    /// The loss, summed over its terms.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn sum(&self) -> Result<f64, ComputeError> {
        Ok(self.sum.f_detach()?.f_double_value(&[])?)
    }

    /// This loss and `share` times another one. The tokens of `other` do not count among those predicted.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn plus(self, other: &Self, share: f64) -> Result<Self, ComputeError> {
        Ok(Self { sum: self.sum.f_add(&other.sum.f_mul_scalar(share)?)?, ..self })
    }

    /// Adds the gradients of `share` times the loss to the gradients of the weights.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn backward(&self, share: f64) -> Result<(), ComputeError> {
        Ok(self.sum.f_mul_scalar(share)?.f_backward()?)
    }

    /// How many of the learnt tokens the model predicts.
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
    /// The cross-entropy of the learnt tokens of `sequences`, whose chunks read references of `written`, summed, in nats.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn loss(&self, sequences: &[Sequence], written: Option<&Written>) -> Result<TrainingLoss, ComputeError> {
        self.model().predict(sequences, written)?.cross_entropy()
    }

    /// The log-likelihood of the learnt tokens of each sequence under the weights as they are, in nats. The chunks read `references`, which are
    /// written for this. Nothing of it has gradients.
    ///
    /// # Errors
    /// As [`write`](Self::write) and [`Model::predict`].
    pub fn log_likelihoods(&self, sequences: &[Sequence], references: &[&[u32]], options: &WriteOptions) -> Result<Vec<f32>, ComputeError> {
        let _guard = tch::no_grad_guard();
        let written = if references.is_empty() { None } else { Some(self.write(references, options)?) };
        let sums = self.model().predict(sequences, written.as_ref())?.sequence_log_likelihoods()?;
        Ok(crate::write::copy_out(&sums)?)
    }
}
