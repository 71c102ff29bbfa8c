//! Gates on the tokens that memories keep: what a loss owes to them.

use mempack_format::MemoryShape;
use tch::{Kind, TchError, Tensor};

use super::loss::Hits;
use super::read::Sequence;
use super::written::{Written, WrittenSpan};
use crate::write::{Selection, copy_out};
use crate::{ComputeError, Model, TokensPerHead};

/// All tokens of some references, with their ranks at each head. What a sequence reads of them is decided afterwards.
///
/// Memory: keys and values of every token at every head of the memory layers.
pub struct AllTokens {
    /// What all heads of each memory layer keep.
    layers: Vec<RankedLayer>,
    /// Tokens of each reference.
    lengths: Vec<usize>,
    /// Bins of ranks.
    bins: usize,
}

struct RankedLayer {
    kept: WrittenSpan,
    /// Ranks of the tokens, `[references, heads, tokens]`.
    ranks: Tensor,
    /// The bins of these ranks.
    bins: Tensor,
}

/// A loss that was measured through gates.
#[derive(Clone, Debug, PartialEq)]
pub struct GatedLoss {
    /// The cross-entropy of the learnt tokens, summed, in nats.
    pub nats: f64,
    /// How many of the learnt tokens the model predicts.
    pub hits: Hits,
    /// The derivatives with respect to the logarithm of each gate, `[layers, heads, bins]`; empty if they were not wanted.
    pub slopes: Vec<f64>,
}

impl Model {
    /// Writes references of 1 to `reference_length` token ids as one batch, and keeps all their tokens whatever the `memory` block says.
    /// `edges` are the bins of ranks, as [`rank_bins`](crate::rank_bins) gives them.
    ///
    /// # Errors
    /// No references, an empty one, one that is too long, an id outside the vocabulary, or a failure of libtorch.
    pub fn write_all_tokens(&self, references: &[&[u32]], edges: &[u32]) -> Result<AllTokens, ComputeError> {
        let decoder = self.writer().decoder();
        decoder.check_references(references)?;
        if references.is_empty() {
            return Err(ComputeError::EmptyReference { index: 0 });
        }
        let _guard = tch::no_grad_guard();
        let own = decoder.shape();
        let shape = MemoryShape::new(own.layers, own.heads, decoder.memory.reference_length, own.head_dim);
        let kept = decoder.write_layers(references, &Selection { shape, gradient: false, padded: true, ranks: true })?;
        let bins = edges.len().saturating_sub(1);
        let last = bins.saturating_sub(1) as i64;
        let of_ranks =
            (0..decoder.memory.reference_length).map(|rank| (edges.partition_point(|edge| *edge <= rank) as i64 - 1).clamp(0, last));
        let of_ranks = Tensor::f_from_slice(&of_ranks.collect::<Vec<i64>>())?.f_to_device(decoder.device)?;
        let mut layers = Vec::with_capacity(kept.len());
        // All heads keep as many tokens, so each layer is one span.
        for (layer, kept) in kept.iter().enumerate().flat_map(|(layer, spans)| spans.iter().map(move |kept| (layer, kept))) {
            let Some(ranks) = &kept.ranks else { continue };
            let bins = of_ranks.f_index_select(0, &ranks.f_reshape([-1])?)?.f_view_as(ranks)?;
            let ranks = ranks.shallow_clone();
            layers.push(RankedLayer { kept: WrittenSpan::new(decoder, layer, kept, &kept.keys, &kept.values)?, ranks, bins });
        }
        Ok(AllTokens { layers, lengths: references.iter().map(|r| r.len()).collect(), bins })
    }

    /// The loss of `sequences` that read `all` while a gate multiplies exp(score) of each token. `logs` are the logarithms of the gates, at
    /// most 0, `[layers, heads, bins]`; -inf hides the tokens. `derive` asks for the derivatives, which takes a backward pass.
    ///
    /// # Errors
    /// As [`Model::predict`]; another number of gates.
    pub fn loss_through_gates(
        &self,
        sequences: &[Sequence],
        all: &AllTokens,
        logs: &[f32],
        derive: bool,
    ) -> Result<GatedLoss, ComputeError> {
        let decoder = self.decoder();
        let shape = [all.layers.len() as i64, decoder.sizes().heads, all.bins as i64];
        let gates = Tensor::f_from_slice(logs)?.f_view(shape)?.f_to_device(decoder.device)?;
        let gates = gates.f_set_requires_grad(derive)?;
        let _guard = (!derive).then(tch::no_grad_guard);
        let of_layer = |(number, layer): (i64, &RankedLayer)| {
            let size = [layer.bins.size()[0], -1, -1];
            gates.f_select(0, number)?.f_unsqueeze(0)?.f_expand(size, false)?.f_gather(2, &layer.bins, false)
        };
        let biases = (0..).zip(&all.layers).map(of_layer).collect::<Result<Vec<_>, TchError>>()?;
        let loss = self.predict(sequences, Some(&all.behind(biases)))?.cross_entropy()?;
        let mut slopes = Vec::new();
        if derive {
            loss.backward(1.0)?;
            slopes = copy_out::<f32>(&gates.f_grad()?)?.into_iter().map(f64::from).collect();
        }
        Ok(GatedLoss { nats: loss.sum()?, hits: loss.hits()?, slopes })
    }

    /// The loss of `sequences` that read of `all` what heads keep that have this budget: the loss with the memories that a model with this
    /// budget writes.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn loss_of_budget(&self, sequences: &[Sequence], all: &AllTokens, budget: &TokensPerHead) -> Result<GatedLoss, ComputeError> {
        let _guard = tch::no_grad_guard();
        let heads = self.decoder().sizes().heads;
        let of_layer = |(number, layer): (usize, &RankedLayer)| {
            let counts: Vec<i64> = (0..heads as usize).map(|head| budget.at(number, head).into()).collect();
            let counts = Tensor::f_from_slice(&counts)?.f_to_device(layer.ranks.device())?.f_view([1, heads, 1])?;
            let hidden = layer.ranks.f_ge_tensor(&counts)?;
            Tensor::f_zeros(layer.ranks.size(), (Kind::Float, layer.ranks.device()))?.f_masked_fill(&hidden, f64::NEG_INFINITY)
        };
        let biases = all.layers.iter().enumerate().map(of_layer).collect::<Result<Vec<_>, TchError>>()?;
        let loss = self.predict(sequences, Some(&all.behind(biases)))?.cross_entropy()?;
        Ok(GatedLoss { nats: loss.sum()?, hits: loss.hits()?, slopes: Vec::new() })
    }
}

impl AllTokens {
    /// The tokens behind gates, one tensor `[references, heads, tokens]` a layer.
    fn behind(&self, gates: Vec<Tensor>) -> Written {
        let gated = self.layers.iter().zip(gates).map(|(RankedLayer { kept, .. }, gates)| {
            let (keys, values) = (kept.keys.shallow_clone(), kept.values.shallow_clone());
            vec![WrittenSpan { span: kept.span, keys, values, gates: Some(gates) }]
        });
        Written { layers: gated.collect(), lengths: self.lengths.clone() }
    }
}
