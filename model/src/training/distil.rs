//! Distillation: the same model, with the text in its prompt, teaches itself to answer from the text's memory.
//!
//! The forward divergence of predictions is that of Hinton, Vinyals and Dean (arXiv 1503.02531) at temperature 1; a prompt that teaches the
//! same model is context distillation (Snell, Klein and Zhong, arXiv 2209.15189).

use std::ops::Range;

use tch::{Kind, Reduction, TchError, Tensor};

use super::loss::{LearntStates, TrainingLoss, hits};
use super::{Sequence, Trainee, Written};
use crate::ComputeError;
use crate::context::ContextLayout;
use crate::decoder::Decoder;

/// What the loss of a learnt token adds up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DistilWeights {
    /// The weight of the cross-entropy.
    pub cross_entropy: f64,
    /// The weight of the Kullback-Leibler divergence of the student's prediction from the teacher's, `sum p log(p / q)` with the
    /// teacher's probabilities `p`. Only tokens with a teacher have it.
    pub divergence: f64,
}

/// The most logits that are computed at a time. Of the teacher's and the student's predictions, no more are held at once.
const LOGITS: usize = 1 << 25;

impl Trainee {
    /// The loss of `sequences`, whose chunks read references of `written`, summed over their learnt tokens, in nats.
    ///
    /// `teachers` has a prompt for each sequence, or `None` for one without a teacher. A prompt has the same learnt tokens, holds the text
    /// that the sequence reads the memory of, and is read by the same weights as in [`plain_loss`](Self::plain_loss). No gradient flows
    /// through it. Memory does not grow with the product of learnt tokens and vocabulary.
    ///
    /// # Errors
    /// As [`Model::predict`](crate::Model::predict), and a teacher with other learnt tokens than its sequence.
    pub fn distil(
        &self,
        sequences: &[Sequence],
        written: Option<&Written>,
        teachers: &[Option<Sequence>],
        weights: &DistilWeights,
    ) -> Result<TrainingLoss, ComputeError> {
        self.distil_in_rows(sequences, written, teachers, weights, self.rows())
    }

    /// As [`distil`](Self::distil), computing the logits of `rows` tokens at a time.
    pub(super) fn distil_in_rows(
        &self,
        sequences: &[Sequence],
        written: Option<&Written>,
        teachers: &[Option<Sequence>],
        weights: &DistilWeights,
        rows: usize,
    ) -> Result<TrainingLoss, ComputeError> {
        check_teachers(sequences, teachers)?;
        let model = self.model();
        let student = model.states(sequences, written, ContextLayout::with_memories(model.memory()))?;
        let prompts: Vec<Sequence> = teachers.iter().flatten().cloned().collect();
        let teacher = if prompts.iter().any(|prompt| prompt.learnt.contains(&true)) && weights.divergence > 0.0 {
            let _guard = tch::no_grad_guard();
            let states = model.states(&prompts, None, ContextLayout::plain(model.memory()))?;
            Some(Teacher { x: states.x, places: taught(&student.learnt, teachers) })
        } else {
            None
        };
        sum_by_rows(model.decoder(), student, teacher.as_ref(), weights, rows)
    }

    /// The cross-entropy of the learnt tokens of prompts that hold their texts, summed, in nats. They are read as inference reads them
    /// without memories: BOS and text from position 0, without the reference prefix.
    ///
    /// # Errors
    /// As [`Model::predict`](crate::Model::predict), and a prompt that reads references.
    pub fn plain_loss(&self, prompts: &[Sequence]) -> Result<TrainingLoss, ComputeError> {
        let model = self.model();
        let states = model.states(prompts, None, ContextLayout::plain(model.memory()))?;
        let weights = DistilWeights { cross_entropy: 1.0, divergence: 0.0 };
        sum_by_rows(model.decoder(), states, None, &weights, self.rows())
    }

    /// Tokens whose logits are computed at a time.
    fn rows(&self) -> usize {
        (LOGITS / self.model().config().vocabulary as usize).max(1)
    }
}

/// What the teacher predicts from.
struct Teacher {
    /// The last layer's output: `[taught tokens, hidden]`.
    x: Tensor,
    /// The places of the taught tokens among the learnt ones, in ascending order.
    places: Vec<i64>,
}

/// Refuses a teacher that does not learn the tokens of its sequence.
fn check_teachers(sequences: &[Sequence], teachers: &[Option<Sequence>]) -> Result<(), ComputeError> {
    let learnt = |sequence: &Sequence| -> Vec<u32> {
        sequence.tokens.iter().zip(&sequence.learnt).filter(|(_, learnt)| **learnt).map(|(token, _)| *token).collect()
    };
    if sequences.len() != teachers.len() {
        return Err(ComputeError::Taught { index: sequences.len().min(teachers.len()), expected: 0, found: 0 });
    }
    for (index, (sequence, teacher)) in sequences.iter().zip(teachers).enumerate() {
        let Some(teacher) = teacher else { continue };
        let (expected, found) = (learnt(sequence), learnt(teacher));
        if expected != found {
            return Err(ComputeError::Taught { index, expected: expected.len(), found: found.len() });
        }
    }
    Ok(())
}

/// The places of the taught tokens among the learnt ones.
fn taught(learnt: &[usize], teachers: &[Option<Sequence>]) -> Vec<i64> {
    let mut start = 0;
    let mut places = Vec::new();
    for (count, teacher) in learnt.iter().zip(teachers) {
        if teacher.is_some() {
            places.extend((start..start + count).map(|place| place as i64));
        }
        start += count;
    }
    places
}

/// The loss, with the gradient of each part of the rows computed at once, so that only one part's logits are held.
///
/// The result is a function of the student's states and of the weights of the head whose derivatives are those gradients: their inner
/// product minus its own value.
fn sum_by_rows(
    decoder: &Decoder,
    student: LearntStates,
    teacher: Option<&Teacher>,
    weights: &DistilWeights,
    rows: usize,
) -> Result<TrainingLoss, ComputeError> {
    let leaf = student.x.f_detach()?.f_set_requires_grad(student.x.requires_grad())?;
    // The learnt inputs of the logits, with what stands for them while the gradients of a part are computed.
    let own = [&decoder.final_norm.weight, &decoder.head].map(|weight| (weight.shallow_clone(), weight.shallow_clone()));
    let inputs = [(student.x.shallow_clone(), leaf.shallow_clone())].into_iter().chain(own);
    let inputs: Vec<(Tensor, Tensor)> = inputs.filter(|(input, _)| input.requires_grad()).collect();
    let leaves: Vec<&Tensor> = inputs.iter().map(|(_, leaf)| leaf).collect();
    let mut gradients: Vec<Option<Tensor>> = inputs.iter().map(|_| None).collect();
    let (mut values, mut all_hits) = (Vec::new(), Vec::new());
    let count = student.x.size()[0] as usize;
    for start in (0..count).step_by(rows) {
        let part = start..(start + rows).min(count);
        let x = leaf.f_narrow(0, part.start as i64, part.len() as i64)?;
        let targets = student.targets.f_narrow(0, part.start as i64, part.len() as i64)?;
        let logits = decoder.logits(&x)?.f_to_kind(Kind::Float)?;
        let mut loss =
            logits.f_cross_entropy_loss::<Tensor>(&targets, None, Reduction::Sum, -100, 0.0)?.f_mul_scalar(weights.cross_entropy)?;
        if let Some(teacher) = teacher
            && let Some(divergence) = divergence(decoder, &logits, teacher, &part)?
        {
            loss = loss.f_add(&divergence.f_mul_scalar(weights.divergence)?)?;
        }
        if loss.requires_grad() {
            for (sum, found) in gradients.iter_mut().zip(Tensor::f_run_backward(&[&loss], &leaves, false, false)?) {
                let found = found.f_to_kind(Kind::Float)?;
                *sum = Some(match sum.take() {
                    Some(sum) => sum.f_add(&found)?,
                    None => found,
                });
            }
        }
        values.push(loss.f_detach()?);
        all_hits.push(hits(&logits, &targets)?);
    }
    let mut sum = Tensor::f_stack(&values, 0)?.f_sum(Kind::Float)?;
    for ((input, _), gradient) in inputs.iter().zip(gradients) {
        let Some(gradient) = gradient else { continue };
        let product = input.f_mul(&gradient.f_to_kind(input.kind())?)?.f_sum(Kind::Float)?;
        sum = sum.f_add(&product.f_sub(&product.f_detach()?)?)?;
    }
    Ok(TrainingLoss { sum, hits: Tensor::f_cat(&all_hits, 0)?, learnt: student.learnt })
}

/// The divergence of the predictions `logits` of the learnt tokens `part` from the teacher's, summed; `None` if none of them is taught.
fn divergence(decoder: &Decoder, logits: &Tensor, teacher: &Teacher, part: &Range<usize>) -> Result<Option<Tensor>, TchError> {
    let first = teacher.places.partition_point(|place| (*place as usize) < part.start);
    let end = teacher.places.partition_point(|place| (*place as usize) < part.end);
    if first == end {
        return Ok(None);
    }
    let expected = {
        let _guard = tch::no_grad_guard();
        let x = teacher.x.f_narrow(0, first as i64, (end - first) as i64)?;
        decoder.logits(&x)?.f_to_kind(Kind::Float)?.f_log_softmax(-1, Kind::Float)?
    };
    let rows: Vec<i64> = teacher.places[first..end].iter().map(|place| place - part.start as i64).collect();
    let rows = Tensor::f_from_slice(&rows)?.f_to_device(decoder.device)?;
    let found = logits.f_index_select(0, &rows)?.f_log_softmax(-1, Kind::Float)?;
    Ok(Some(found.f_kl_div(&expected, Reduction::Sum, true)?))
}
