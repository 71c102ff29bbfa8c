//! Writing: from references to explicit memories (arXiv 2407.01178, sections 3.2 and 3.3).

use std::collections::BTreeMap;

use mempack_format::{Memory, MemoryShape};
use tch::{Kind, TchError, Tensor};

use crate::ComputeError;
use crate::attention::{Mask, attend};
use crate::decoder::Decoder;
use crate::head_spans::{self, HeadSpan};
use crate::layer::Layer;
use crate::rope::Rotation;

/// References as one batch, padded to the longest.
struct ReferenceBatch {
    rows: i64,
    /// Tokens of a row: prefix, reference, padding.
    width: i64,
    prefix: i64,
    /// Tokens of the longest reference, without the prefix.
    longest: i64,
    /// For each number that a layer's rotation may be.
    rotations: Vec<Rotation>,
    groups: Vec<WeighedRows>,
}

/// Rows of a batch whose tokens are weighed in one product.
struct WeighedRows {
    /// Tokens of the longest row.
    tokens: i64,
    /// Indices of the rows.
    rows: Tensor,
    /// Where the rows are padding, `[rows, tokens]`; `None` if all have the same length.
    padding: Option<Tensor>,
}

/// The tokens that some heads of a layer keep: their indices `[rows, heads, kept]`, and in f32 their keys before RoPE and their values,
/// `[rows, heads, kept, head_dim]` each. If the longest reference is shorter than what the heads keep, `kept` is its length.
pub(crate) struct SelectedTokens {
    pub span: HeadSpan,
    pub index: Tensor,
    pub keys: Tensor,
    pub values: Tensor,
    /// The ranks of the kept tokens among all of their reference's, `[rows, heads, kept]`: 0 for the one with the most attention. Padding
    /// comes after all tokens. `None` unless they are asked for.
    pub ranks: Option<Tensor>,
}

/// Options of the selection of tokens.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// How many tokens each head keeps.
    pub shape: MemoryShape,
    /// Whether kept values are multiplied by their weight over the same number held constant. The factor is 1 and passes gradients to the
    /// weights that select.
    pub gradient: bool,
    /// Whether references of different lengths are weighed together, with padding: fewer and larger operations, whose sums are rounded
    /// differently from the definition's.
    pub padded: bool,
    /// Whether the kept tokens are given with their ranks.
    pub ranks: bool,
}

impl Decoder {
    /// The explicit memories of references of 1 to `reference_length` token ids each, without the prefix.
    ///
    /// The references are one batch, padded to the longest, so the caller should group them by length. The result is a function of the
    /// batch alone. A reference with fewer tokens than a head keeps leaves empty slots.
    ///
    /// # Errors
    /// An empty reference, one that is too long, an id outside the vocabulary, weights that a reading adapter changed, or a failure of
    /// libtorch.
    pub fn write(&self, references: &[&[u32]]) -> Result<Vec<Memory>, ComputeError> {
        self.check_references(references)?;
        if references.is_empty() {
            return Ok(Vec::new());
        }
        let _guard = tch::no_grad_guard();
        let kept =
            self.write_layers(references, &Selection { shape: self.shape().clone(), gradient: false, padded: false, ranks: false })?;
        Ok(self.collect(references, &kept)?)
    }

    /// Refuses references that are empty or too long, or have unknown ids, and weights that do not write.
    pub(crate) fn check_references(&self, references: &[&[u32]]) -> Result<(), ComputeError> {
        if self.reads_only {
            return Err(ComputeError::ReadsOnly);
        }
        let max = self.memory.reference_length as usize;
        for (index, reference) in references.iter().enumerate() {
            match reference.len() {
                0 => return Err(ComputeError::EmptyReference { index }),
                tokens if tokens > max => return Err(ComputeError::LongReference { index, tokens, max }),
                _ => self.check_ids(reference)?,
            }
        }
        Ok(())
    }

    /// The tokens that the heads of each memory layer keep of the references, which must be checked and at least one. Heads that keep none
    /// are left out.
    pub(crate) fn write_layers(&self, references: &[&[u32]], selection: &Selection) -> Result<Vec<Vec<SelectedTokens>>, TchError> {
        let batch = self.batch(references, selection.padded)?;
        let mut ids = Vec::with_capacity((batch.rows * batch.width) as usize);
        for reference in references {
            ids.extend(self.memory.reference_prefix_ids.iter().map(|id| i64::from(*id)));
            ids.extend(reference.iter().map(|id| i64::from(*id)));
            // Any id will do as padding: causal attention hides it from the tokens, and the selection leaves it out.
            ids.resize(ids.len() + batch.longest as usize - reference.len(), 0);
        }
        let mut x = self.embed(&ids)?;
        let memory_layers = self.memory_layers();
        let mut kept = Vec::with_capacity(memory_layers.len());
        for (number, layer) in self.layers.iter().enumerate().take(memory_layers.end) {
            let (qk, v) = layer.qkv(&x)?;
            if number >= memory_layers.start {
                let spans = head_spans::of_memory_layer(&selection.shape, number - memory_layers.start);
                kept.push(self.select(&batch, &qk, &v, &spans, selection)?);
            }
            // No memory depends on the output of the last memory layer.
            if number + 1 < memory_layers.end {
                x = layer.finish(&x, &self.attend_causally(&batch, layer, &qk, &v)?)?;
            }
        }
        Ok(kept)
    }

    fn batch(&self, references: &[&[u32]], padded: bool) -> Result<ReferenceBatch, TchError> {
        let prefix = self.memory.reference_prefix_ids.len();
        let longest = references.iter().map(|r| r.len()).max().unwrap_or_default();
        let rows = references.len() as i64;
        let width = (prefix + longest) as i64;
        let rotations = self.rotations(0..width as u32)?;
        let mut by_length: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        for (row, reference) in references.iter().enumerate() {
            by_length.entry(if padded { longest } else { reference.len() }).or_default().push(row as i64);
        }
        let groups = by_length.into_iter().map(|(tokens, rows)| {
            let uneven = rows.iter().any(|row| references[*row as usize].len() < tokens);
            let padding = uneven.then(|| self.padding(references, &rows, tokens)).transpose()?;
            Ok(WeighedRows { tokens: tokens as i64, rows: Tensor::f_from_slice(&rows)?.f_to_device(self.device)?, padding })
        });
        let groups = groups.collect::<Result<_, TchError>>()?;
        Ok(ReferenceBatch { rows, width, prefix: prefix as i64, longest: longest as i64, rotations, groups })
    }

    /// Where the references `rows`, padded to `tokens`, are padding: `[rows, tokens]`.
    fn padding(&self, references: &[&[u32]], rows: &[i64], tokens: usize) -> Result<Tensor, TchError> {
        let padding = rows.iter().flat_map(|row| (0..tokens).map(move |token| token >= references[*row as usize].len()));
        let padding: Vec<bool> = padding.collect();
        Tensor::f_from_slice(&padding)?.f_view([rows.len() as i64, tokens as i64])?.f_to_device(self.device)
    }

    /// Causal attention over prefix and reference, `[rows * width, query_heads * head_dim]`. Padding comes last, so only padding sees it.
    fn attend_causally(&self, batch: &ReferenceBatch, layer: &Layer, qk: &Tensor, v: &Tensor) -> Result<Tensor, TchError> {
        let s = self.sizes();
        let rotated =
            batch.rotations[layer.rotation].apply(&qk.f_view([batch.rows, batch.width, s.query_heads + s.heads, s.head_dim])?)?;
        let q = rotated.f_narrow(2, 0, s.query_heads)?.f_transpose(1, 2)?;
        let k = rotated.f_narrow(2, s.query_heads, s.heads)?.f_transpose(1, 2)?;
        let v = v.f_view([batch.rows, batch.width, s.heads, s.head_dim])?.f_transpose(1, 2)?;
        attend(&q, &k, &v, Mask::causal(layer.window))
    }

    /// The tokens that each head keeps: those with the most attention from the reference's own tokens, before RoPE, without a causal
    /// mask and without the window that the layer may have.
    fn select(
        &self,
        batch: &ReferenceBatch,
        qk: &Tensor,
        v: &Tensor,
        spans: &[HeadSpan],
        selection: &Selection,
    ) -> Result<Vec<SelectedTokens>, TchError> {
        let spans = spans.iter().filter(|span| span.tokens > 0);
        if spans.clone().next().is_none() {
            return Ok(Vec::new());
        }
        let s = self.sizes();
        let (n, t, d) = (batch.rows, batch.longest, s.head_dim);
        // [rows, heads, longest, head_dim], without the prefix.
        let own = |x: &Tensor, first: i64, heads: i64| {
            x.f_view([n, batch.width, -1, d])?.f_narrow(2, first, heads)?.f_narrow(1, batch.prefix, t)?.f_transpose(1, 2)
        };
        let (q, k, v) = (own(qk, 0, s.query_heads)?, own(qk, s.query_heads, s.heads)?, own(v, 0, s.heads)?);
        let weight = Tensor::f_full([n, s.heads, t], f64::NEG_INFINITY, (Kind::Float, self.device))?;
        for WeighedRows { tokens, rows, padding } in &batch.groups {
            let of_group = |x: &Tensor| x.f_narrow(2, 0, *tokens)?.f_index_select(0, rows);
            let some = self.weights(&of_group(&q)?, &of_group(&k)?, padding.as_ref())?;
            let _ = weight.f_narrow(2, 0, *tokens)?.f_index_copy_(0, rows, &some)?;
        }
        let (_, order) = weight.f_sort_stable(true, -1, true)?;
        let of_span = |span: &HeadSpan| {
            let keep = t.min(span.tokens);
            let (index, _) = span.of_heads(&order)?.f_narrow(-1, 0, keep)?.f_sort(-1, false)?;
            let take = index.f_unsqueeze(-1)?.f_expand([n, span.heads, keep, d], false)?;
            let taken = |x: &Tensor| span.of_heads(x)?.f_gather(2, &take, false)?.f_to_kind(Kind::Float);
            let (keys, mut values) = (taken(&k)?, taken(&v)?);
            if selection.gradient {
                // Padding has a weight of -inf and is not used; any finite number will do.
                let kept = span.of_heads(&weight)?.f_gather(2, &index, false)?.f_clamp_min(1e-6)?;
                values = values.f_mul(&kept.f_div(&kept.f_detach()?)?.f_unsqueeze(-1)?)?;
            }
            let ranks = selection.ranks.then(|| span.of_heads(&order)?.f_argsort(-1, false)?.f_gather(2, &index, false)).transpose()?;
            Ok(SelectedTokens { span: *span, keys, values, index, ranks })
        };
        spans.map(of_span).collect()
    }

    /// The weights `[rows, heads, tokens]` of the references' tokens, from queries `[rows, query_heads, tokens, head_dim]` and keys
    /// `[rows, heads, tokens, head_dim]` before RoPE. Where `padding`, `[rows, tokens]`, is true, the weight is -inf.
    ///
    /// They are computed in f32 whatever the precision, because they decide which tokens are kept. Without padding, the order of the sums
    /// is the definition's: equal tokens tie in the first layer, and rounding must resolve ties as the definition does.
    fn weights(&self, q: &Tensor, k: &Tensor, padding: Option<&Tensor>) -> Result<Tensor, TchError> {
        let s = self.sizes();
        let (n, _, t, d) = q.size4()?;
        let q = q.f_to_kind(Kind::Float)?.f_reshape([n, s.heads, s.group(), t, d])?;
        let k = k.f_to_kind(Kind::Float)?.f_unsqueeze(2)?.f_transpose(-1, -2)?;
        let scores = q.f_matmul(&k)?.f_div_scalar_((d as f64).sqrt())?;
        let sum = |shares: Tensor| shares.f_sum_dim_intlist([2i64, 3].as_slice(), false, None);
        let Some(padding) = padding else { return sum(scores.f_softmax(-1, None)?) };
        let shares = scores.f_masked_fill(&padding.f_view([n, 1, 1, 1, t])?, f64::NEG_INFINITY)?.f_softmax(-1, None)?;
        let sums = sum(shares.f_masked_fill(&padding.f_view([n, 1, 1, t, 1])?, 0.0)?)?;
        sums.f_masked_fill(&padding.f_view([n, 1, t])?, f64::NEG_INFINITY)
    }

    /// Copies the kept tokens into one memory a reference.
    fn collect(&self, references: &[&[u32]], kept: &[Vec<SelectedTokens>]) -> Result<Vec<Memory>, TchError> {
        let shape = self.shape();
        let mut memories: Vec<Memory> = references.iter().map(|_| Memory::empty(shape.clone())).collect();
        let dim = shape.head_dim as usize;
        for SelectedTokens { span, index, keys, values, .. } in kept.iter().flatten() {
            let (heads, held) = (span.heads as usize, index.size()[2] as usize);
            let index: Vec<i64> = copy_out(index)?;
            let keys: Vec<f32> = copy_out(keys)?;
            let values: Vec<f32> = copy_out(values)?;
            for (row, memory) in memories.iter_mut().enumerate() {
                // A reference that is shorter than the batch may have fewer tokens than are kept; its padding comes last.
                let tokens = held.min(references[row].len());
                for head in 0..heads {
                    let from = (row * heads + head) * held;
                    let to = (span.slot + head as i64 * span.tokens) as usize;
                    for (slot, token) in memory.positions[to..to + tokens].iter_mut().zip(&index[from..from + tokens]) {
                        *slot = *token as u8;
                    }
                    memory.keys[to * dim..(to + tokens) * dim].copy_from_slice(&keys[from * dim..(from + tokens) * dim]);
                    memory.values[to * dim..(to + tokens) * dim].copy_from_slice(&values[from * dim..(from + tokens) * dim]);
                }
            }
        }
        Ok(memories)
    }
}

/// All elements of a tensor, in row-major order.
pub(crate) fn copy_out<T: tch::kind::Element + Copy + Default>(tensor: &Tensor) -> Result<Vec<T>, TchError> {
    let count = tensor.numel();
    let mut values = vec![T::default(); count];
    tensor.f_to_device(tch::Device::Cpu)?.f_contiguous()?.f_copy_data(&mut values, count)?;
    Ok(values)
}
