//! Writing: references to explicit memories (arXiv 2407.01178, sections 3.2 and 3.3).

use mempack_format::Memory;
use tch::{Kind, TchError, Tensor};

use crate::ComputeError;
use crate::decoder::Decoder;
use crate::rope::Turn;

/// What is the same for all layers of one batch.
struct Batch {
    rows: i64,
    /// Tokens of a row: prefix, reference, padding.
    width: i64,
    prefix: i64,
    /// Tokens of the longest reference.
    longest: i64,
    turn: Turn,
    /// `[1, group * width, width]`: 0 where a query may see a key, -inf after it.
    causal: Tensor,
    /// `[rows, 1, 1, longest]`, 0 for a token and -inf for padding; `None` if there is no padding.
    padding: Option<Tensor>,
    /// `[rows, 1, 1, longest, 1]`, 1 for a token and 0 for padding.
    valid: Option<Tensor>,
}

/// What one layer keeps: token indices `[rows, heads, kept]`, keys before RoPE and values `[rows, heads, kept, head_dim]` in f32.
struct Kept {
    index: Tensor,
    keys: Tensor,
    values: Tensor,
}

impl Decoder {
    /// Explicit memories of some references, each 1 to `reference_length` token ids without the prefix.
    ///
    /// The references are one batch, padded to the longest: the caller groups them by length. The result depends on the
    /// batch and on nothing else; a reference of fewer tokens than a head keeps leaves empty slots.
    ///
    /// # Errors
    /// An empty reference, one that is too long, an id outside the vocabulary, or a failure of libtorch.
    pub fn write(&self, references: &[&[u32]]) -> Result<Vec<Memory>, ComputeError> {
        let most = self.memory.reference_length as usize;
        for (index, reference) in references.iter().enumerate() {
            match reference.len() {
                0 => return Err(ComputeError::EmptyReference { index }),
                tokens if tokens > most => return Err(ComputeError::LongReference { index, tokens, most }),
                _ => self.check_ids(reference)?,
            }
        }
        if references.is_empty() {
            return Ok(Vec::new());
        }
        let _guard = tch::no_grad_guard();
        let kept = self.write_layers(references)?;
        Ok(self.collect(references, &kept)?)
    }

    fn write_layers(&self, references: &[&[u32]]) -> Result<Vec<Kept>, TchError> {
        let batch = self.batch(references)?;
        let mut ids = Vec::with_capacity((batch.rows * batch.width) as usize);
        for reference in references {
            ids.extend(self.memory.reference_prefix_ids.iter().map(|id| i64::from(*id)));
            ids.extend(reference.iter().map(|id| i64::from(*id)));
            // Any id will do as padding: causal attention keeps it from the tokens, a mask from the selection.
            ids.resize(ids.len() + batch.longest as usize - reference.len(), 0);
        }
        let mut x = self.embed(&ids)?;
        let memory_layers = self.memory_layers();
        let mut kept = Vec::with_capacity(memory_layers.len());
        for (number, layer) in self.layers.iter().enumerate().take(memory_layers.end) {
            let (qk, v) = layer.qkv(&x)?;
            if number >= memory_layers.start {
                kept.push(self.select(&batch, &qk, &v)?);
            }
            // The last memory layer's output would be read by no memory.
            if number + 1 < memory_layers.end {
                x = layer.finish(&x, &self.attend_causally(&batch, &qk, &v)?)?;
            }
        }
        Ok(kept)
    }

    fn batch(&self, references: &[&[u32]]) -> Result<Batch, TchError> {
        let prefix = self.memory.reference_prefix_ids.len();
        let longest = references.iter().map(|r| r.len()).max().unwrap_or_default();
        let rows = references.len() as i64;
        let width = (prefix + longest) as i64;
        let turn = self.rope.turn(0..width as u32, self.kind(), self.device)?;
        let causal = Tensor::f_full([width, width], f64::NEG_INFINITY, (self.kind(), self.device))?.f_triu(1)?;
        let causal = causal.f_repeat([self.sizes().group(), 1])?.f_unsqueeze(0)?;
        let (mut padding, mut valid) = (None, None);
        if references.iter().any(|r| r.len() < longest) {
            let mask: Vec<f32> = references.iter().flat_map(|r| (0..longest).map(|i| if i < r.len() { 1.0 } else { 0.0 })).collect();
            let mask = Tensor::f_from_slice(&mask)?.f_to_device(self.device)?.f_view([rows, 1, 1, longest as i64, 1])?;
            padding = Some(mask.f_log()?.f_view([rows, 1, 1, longest as i64])?);
            valid = Some(mask);
        }
        Ok(Batch { rows, width, prefix: prefix as i64, longest: longest as i64, turn, causal, padding, valid })
    }

    /// Causal attention over prefix and reference, `[rows * width, query_heads * head_dim]`. Padding comes last and is seen by padding only.
    ///
    /// Written out rather than left to libtorch's fused form, which is twice as slow at this length; the query heads of a
    /// group are rows of one product with their key-value head.
    fn attend_causally(&self, batch: &Batch, qk: &Tensor, v: &Tensor) -> Result<Tensor, TchError> {
        let s = self.sizes();
        let (n, t, d) = (batch.rows, batch.width, s.head_dim);
        let turned = batch.turn.apply(&qk.f_view([n, t, s.query_heads + s.heads, d])?)?;
        let q = self.grouped(&turned.f_narrow(2, 0, s.query_heads)?)?;
        let by_head = |x: &Tensor| x.f_transpose(1, 2)?.f_reshape([n * s.heads, t, d]);
        let k = by_head(&turned.f_narrow(2, s.query_heads, s.heads)?)?;
        let v = by_head(&v.f_view([n, t, s.heads, d])?)?;
        let scores = batch.causal.f_baddbmm(&q, &k.f_transpose(1, 2)?, 1.0, 1.0 / (d as f64).sqrt())?;
        let out = scores.f_softmax(-1, None)?.f_bmm(&v)?.f_view([n, s.heads, s.group(), t, d])?;
        out.f_permute([0, 3, 1, 2, 4])?.f_reshape([n * t, s.query_heads * d])
    }

    /// Queries `[rows, t, query_heads, head_dim]` as `[rows * heads, group * t, head_dim]`.
    fn grouped(&self, q: &Tensor) -> Result<Tensor, TchError> {
        let s = self.sizes();
        let (n, t, _, d) = q.size4()?;
        q.f_reshape([n, t, s.heads, s.group(), d])?.f_permute([0, 2, 3, 1, 4])?.f_reshape([n * s.heads, s.group() * t, d])
    }

    /// The tokens each head keeps: those that the reference's own tokens attend to most, before RoPE and without a causal mask.
    ///
    /// Scores and softmax are f32 whatever the precision: they decide which tokens are kept.
    fn select(&self, batch: &Batch, qk: &Tensor, v: &Tensor) -> Result<Kept, TchError> {
        let s = self.sizes();
        let (n, t, d) = (batch.rows, batch.longest, s.head_dim);
        let own =
            |x: &Tensor, first: i64, heads: i64| x.f_view([n, batch.width, -1, d])?.f_narrow(2, first, heads)?.f_narrow(1, batch.prefix, t);
        let by_head = |x: Tensor| x.f_transpose(1, 2)?.f_contiguous()?.f_to_kind(Kind::Float);
        let q = self.grouped(&own(qk, 0, s.query_heads)?)?.f_to_kind(Kind::Float)?.f_div_scalar((d as f64).sqrt())?;
        let k = by_head(own(qk, s.query_heads, s.heads)?)?;
        let v = by_head(own(v, 0, s.heads)?)?;
        let mut scores = q.f_bmm(&k.f_view([n * s.heads, t, d])?.f_transpose(1, 2)?)?.f_view([n, s.heads, s.group() * t, t])?;
        if let Some(padding) = &batch.padding {
            scores = scores.f_add_(padding)?;
        }
        let mut weights = scores.f_softmax(-1, None)?.f_view([n, s.heads, s.group(), t, t])?;
        if let Some(valid) = &batch.valid {
            weights = weights.f_mul_(valid)?;
        }
        let mut weight = weights.f_sum_dim_intlist([2i64, 3].as_slice(), false, None)?;
        if let Some(padding) = &batch.padding {
            // Padding has weight 0, and so may a token: padding must still lose.
            weight = weight.f_add_(&padding.f_view([n, 1, t])?)?;
        }
        let keep = t.min(self.memory.tokens_per_head.into());
        let (_, order) = weight.f_sort_stable(true, -1, true)?;
        let (index, _) = order.f_narrow(-1, 0, keep)?.f_sort(-1, false)?;
        let take = index.f_unsqueeze(-1)?.f_expand([n, s.heads, keep, d], false)?;
        Ok(Kept { keys: k.f_gather(2, &take, false)?, values: v.f_gather(2, &take, false)?, index })
    }

    /// Copies what the layers kept into one memory for each reference.
    fn collect(&self, references: &[&[u32]], kept: &[Kept]) -> Result<Vec<Memory>, TchError> {
        let shape = self.shape();
        let mut memories: Vec<Memory> = references.iter().map(|_| Memory::empty(shape)).collect();
        let (heads, slots, dim) = (shape.heads as usize, shape.tokens as usize, shape.head_dim as usize);
        for (number, layer) in kept.iter().enumerate() {
            let index: Vec<i64> = copy_out(&layer.index)?;
            let keys: Vec<f32> = copy_out(&layer.keys)?;
            let values: Vec<f32> = copy_out(&layer.values)?;
            let held = layer.index.size()[2] as usize;
            for (row, memory) in memories.iter_mut().enumerate() {
                // A reference shorter than the batch may hold fewer tokens than a head keeps: its padding comes last.
                let tokens = held.min(references[row].len());
                for head in 0..heads {
                    let from = (row * heads + head) * held;
                    let to = (number * heads + head) * slots;
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

/// All elements of a tensor, in order.
pub(crate) fn copy_out<T: tch::kind::Element + Copy + Default>(tensor: &Tensor) -> Result<Vec<T>, TchError> {
    let count = tensor.numel();
    let mut values = vec![T::default(); count];
    tensor.f_to_device(tch::Device::Cpu)?.f_contiguous()?.f_copy_data(&mut values, count)?;
    Ok(values)
}
