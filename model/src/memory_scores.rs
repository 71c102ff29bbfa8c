//! How much attention a question gives to memories (arXiv 2407.01178, remark 2): an order of the memories found for it that needs no text.

use std::ops::Range;

use tch::{Kind, TchError, Tensor};

use crate::attention::{Mask, attend, shares};
use crate::context::ContextLayout;
use crate::decoder::Decoder;
use crate::head_spans::HeadSpan;
use crate::slots::{biases, check, keys_of_span};
use crate::write::copy_out;
use crate::{ComputeError, Model, Slot, prompt_tokens};

/// What a similarity of 1 adds to a memory's attention scores. It was chosen on other questions than those of docs/retrieval.md.
const SIMILARITY_WEIGHT: f32 = 20.0;
/// Max tokens of a question; later ones are left out.
const MAX_QUESTION: usize = 128;

impl Model {
    /// For each memory the share of attention, 0 to 1, that the tokens of `question` give to it if one chunk reads all of `slots`. There may be
    /// more of them than a chunk reads otherwise.
    ///
    /// The question, in the prompt template and at the positions that it has beside memories, runs through the decoder once and reads nothing.
    /// A share is that of a softmax over the stored keys of all memories and the context up to the token. What a memory's similarity is below
    /// the best one is subtracted from its attention scores 20 times, whatever the model's `similarity_bias` is.
    ///
    /// Shares are averaged over the first 128 tokens of the question, and over the query heads of the first two thirds of the decoder's layers
    /// (of all layers, if no head of these keeps a token of a reference), each with the square of the number of tokens that its key-value head
    /// keeps. Queries of later layers are about the next word, and a head that keeps few tokens of a reference may lack the one that
    /// matters. Of a question without tokens all scores are 0.
    ///
    /// # Errors
    /// Memories of another shape or damaged ones, or a failure of the tokenizer or of libtorch.
    pub fn memory_scores(&self, question: &str, slots: &[Slot<'_>]) -> Result<Vec<f32>, ComputeError> {
        let prompt = prompt_tokens(self, question)?;
        let asked = prompt.question.start..prompt.question.end.min(prompt.question.start + MAX_QUESTION);
        self.decoder().memory_scores(&prompt.ids[..asked.end], asked, slots)
    }
}

impl Decoder {
    /// As [`Model::memory_scores`], of the tokens `asked` of `text`, which ends with them.
    fn memory_scores(&self, text: &[u32], asked: Range<usize>, slots: &[Slot<'_>]) -> Result<Vec<f32>, ComputeError> {
        self.check_ids(text)?;
        slots.iter().try_for_each(|slot| check(self, slot.memory))?;
        if asked.is_empty() || slots.is_empty() {
            return Ok(vec![0.0; slots.len()]);
        }
        let _guard = tch::no_grad_guard();
        Ok(self.attention_to(text, asked.len() as i64, slots)?)
    }

    /// The layers whose heads count.
    fn scoring_layers(&self) -> Range<usize> {
        let all = self.memory_layers();
        let early = all.start..all.end.min(2 * self.layers.len() / 3);
        let of = |layers: Range<usize>| {
            let last = layers.clone().rfind(|number| self.spans(*number).iter().any(|span| span.tokens > 0));
            last.map(|last| layers.start..last + 1)
        };
        of(early).or_else(|| of(all)).unwrap_or_default()
    }

    /// The scores by the last `asked` tokens of `text`.
    fn attention_to(&self, text: &[u32], asked: i64, slots: &[Slot<'_>]) -> Result<Vec<f32>, TchError> {
        let layout = ContextLayout::with_memories(&self.memory);
        let ids = self.memory.reference_prefix_ids.iter().chain([&self.config.bos]).chain(text);
        let ids: Vec<i64> = ids.map(|id| i64::from(*id)).collect();
        let tokens = ids.len() as i64;
        let rotations = self.rotations(layout.positions(tokens as u32))?;
        let s = self.sizes();
        let layers = self.scoring_layers();
        let biases = biases(self, SIMILARITY_WEIGHT, slots);
        let (mut sums, mut weights) = (Vec::new(), 0.0);
        let mut x = self.embed(&ids)?;
        for (number, layer) in self.layers.iter().enumerate().take(layers.end) {
            let (qk, v) = layer.qkv(&x)?;
            let rotated = rotations[layer.rotation].apply(&qk)?;
            let heads_first = |x: &Tensor, first: i64, heads: i64| x.f_narrow(1, first, heads)?.f_transpose(0, 1)?.f_unsqueeze(0);
            let q = heads_first(&rotated, 0, s.query_heads)?;
            let k = heads_first(&rotated, s.query_heads, s.heads)?;
            if layers.contains(&number) {
                for span in self.spans(number) {
                    let Some(bias) = biases.get(&span.tokens) else { continue };
                    let q = span.of_query_heads(&q, s.group())?.f_narrow(2, tokens - asked, asked)?;
                    let weight = (span.tokens * span.tokens) as f64;
                    let attention = self.attention_of_span(number, &q, &span.of_heads(&k)?, span, slots, bias)?;
                    sums.push(attention.f_mul_scalar(weight)?);
                    weights += weight * (span.heads * s.group()) as f64;
                }
            }
            if number + 1 < layers.end {
                x = layer.finish(&x, &attend(&q, &k, &heads_first(&v, 0, s.heads)?, Mask::causal(layer.window))?)?;
            }
        }
        if sums.is_empty() {
            return Ok(vec![0.0; slots.len()]);
        }
        copy_out(&Tensor::f_stack(&sums, 0)?.f_sum_dim_intlist([0i64].as_slice(), false, None)?.f_div_scalar(weights)?)
    }

    /// The shares of each memory, summed over the query heads of a span of layer `number` and averaged over tokens, `[memories]`: of queries
    /// `[1, query heads, asked, head_dim]` beside the context's keys `[1, heads, tokens, head_dim]`, to whose end the queries belong, with
    /// `bias`, `[tokens of all memories]`, added to the scores of memories.
    fn attention_of_span(
        &self,
        number: usize,
        q: &Tensor,
        k: &Tensor,
        span: HeadSpan,
        slots: &[Slot<'_>],
        bias: &[f32],
    ) -> Result<Tensor, TchError> {
        let (asked, tokens, memories) = (q.size4()?.2, k.size4()?.2, slots.len() as i64);
        let options = (Kind::Float, self.device);
        let bias = Tensor::f_from_slice(bias)?.f_to_device(self.device)?.f_expand([asked, memories * span.tokens], false)?;
        let all = || Tensor::f_full([asked, tokens], f64::NEG_INFINITY, options);
        let mut hidden = all()?.f_triu(tokens - asked + 1)?;
        if let Some(window) = self.layers[number].window {
            hidden = hidden.f_add(&all()?.f_tril(tokens - asked - window)?)?;
        }
        let mask = Tensor::f_cat(&[bias, hidden], 1)?.f_view([1, 1, asked, -1])?;
        let of_memories = keys_of_span(self, slots, number - self.memory_layers().start, span)?;
        let keys = Tensor::f_cat(&[of_memories, k.f_to_kind(Kind::Float)?], 2)?;
        let of_memories = shares(q, &keys, Mask::Bias(&mask))?.f_narrow(-1, 0, memories * span.tokens)?;
        let of_memories = of_memories.f_reshape([-1, asked, memories, span.tokens])?;
        of_memories.f_sum_dim_intlist([0i64, 1, 3].as_slice(), false, None)?.f_div_scalar(asked as f64)
    }
}
