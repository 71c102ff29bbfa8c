//! Reading in training: many sequences with memories in one pass.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use tch::{TchError, Tensor};

use super::Written;
use super::written::WrittenSpan;
use crate::ComputeError;
use crate::attention::{Mask, attend, attention, by_products, rows_of_heads};
use crate::context::{ContextLayout, similarity_biases};
use crate::decoder::Decoder;
use crate::head_spans::HeadSpan;

/// One sequence to train on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sequence {
    /// Its tokens, without the BOS.
    pub tokens: Vec<u32>,
    /// Which tokens count in the loss, one flag a token.
    pub learnt: Vec<bool>,
    /// What each chunk reads: indices of written references, each once, with their retrieval similarities. Tokens past the last
    /// chunk belong to it. Without chunks nothing is read.
    pub chunks: Vec<Vec<(usize, f32)>>,
}

/// Sequences as one batch, padded to the longest.
pub(super) struct Batch<'a> {
    sequences: &'a [Sequence],
    layout: ContextLayout,
    /// Tokens of a row: prefix, BOS, text, padding.
    pub(super) width: usize,
    /// The references that the chunks of each sequence read, in the order of their first occurrence.
    references: Vec<Vec<usize>>,
}

/// The last layer's output, `[sequences * width, hidden]`.
pub(super) fn read(decoder: &Decoder, batch: &Batch<'_>, written: Option<&Written>) -> Result<Tensor, TchError> {
    let s = decoder.sizes();
    let (rows, width) = (batch.sequences.len() as i64, batch.width as i64);
    let positions = batch.layout.positions(batch.width as u32);
    let rotations = decoder.rotations(positions)?;
    let memories = match written {
        Some(written) if batch.references.iter().any(|r| !r.is_empty()) => Some(batch.memories(decoder, written)?),
        _ => None,
    };
    let memory_layers = decoder.memory_layers();
    let mut x = decoder.embed(&batch.ids(decoder))?;
    for (number, layer) in decoder.layers.iter().enumerate() {
        let (qk, v) = layer.qkv(&x)?;
        let rotated = rotations[layer.rotation].apply(&qk.f_view([rows, width, s.query_heads + s.heads, s.head_dim])?)?;
        let q = rotated.f_narrow(2, 0, s.query_heads)?.f_transpose(1, 2)?;
        let k = rotated.f_narrow(2, s.query_heads, s.heads)?.f_transpose(1, 2)?;
        let v = v.f_view([rows, width, s.heads, s.head_dim])?.f_transpose(1, 2)?;
        let own = match (&memories, written) {
            (Some(memories), Some(written)) if memory_layers.contains(&number) => {
                memories.attend(&written.layers[number - memory_layers.start], s.group(), [&q, &k, &v], layer.window)?
            }
            _ => attend(&q, &k, &v, Mask::causal(layer.window))?,
        };
        x = layer.finish(&x, &own)?;
    }
    Ok(x)
}

/// Which memories the rows of a batch read.
struct ReadMemories {
    /// The references of each row, `[rows * most references of a row]`; a row that reads fewer is filled up with one that is masked.
    which: Tensor,
    /// The masks of heads, by the number of tokens that they keep of the longest reference and the window of their layer:
    /// `[rows, 1, width, memory tokens + width]`.
    masks: BTreeMap<(i64, Option<i64>), Tensor>,
}

impl ReadMemories {
    /// Attention of queries, keys and values `own`, `[rows, heads, width, head_dim]`, to themselves, within the window that the layer may have, and
    /// to what its heads keep: `[rows * width, query_heads * head_dim]`.
    fn attend(&self, spans: &[WrittenSpan], group: i64, own: [&Tensor; 3], window: Option<i64>) -> Result<Tensor, TchError> {
        let [q, k, v] = own;
        let (rows, heads) = (k.size()[0], k.size()[1]);
        let mut outputs = Vec::new();
        let mut next = 0;
        let without = |first: i64, end: i64, outputs: &mut Vec<Tensor>| {
            if first < end {
                let span = HeadSpan { first, heads: end - first, ..HeadSpan::without_memories(heads) };
                let (q, k, v) = (span.of_query_heads(q, group)?, span.of_heads(k)?, span.of_heads(v)?);
                outputs.push(attention(&q, &k, &v, Mask::causal(window))?);
            }
            Ok::<_, TchError>(())
        };
        for WrittenSpan { span, keys, values, gates } in spans {
            without(next, span.first, &mut outputs)?;
            let k = Tensor::f_cat(&[gather(keys, &self.which, rows)?, span.of_heads(k)?], 2)?;
            let v = Tensor::f_cat(&[gather(values, &self.which, rows)?, span.of_heads(v)?], 2)?;
            let mask = self.masks.get(&(keys.size()[2], window));
            let q = span.of_query_heads(q, group)?;
            outputs.push(match (mask, gates) {
                (Some(mask), Some(gates)) => by_products(&q, &k, &v, Mask::Bias(&self.gated(mask, gates, rows)?))?,
                _ => attention(&q, &k, &v, Mask::or_causal(mask, window))?,
            });
            next = span.first + span.heads;
        }
        without(next, heads, &mut outputs)?;
        rows_of_heads(outputs)
    }

    /// `mask` with `gates`, `[references, heads, kept]`, added to the columns of memory tokens: `[rows, heads, width, columns]`.
    fn gated(&self, mask: &Tensor, gates: &Tensor, rows: i64) -> Result<Tensor, TchError> {
        let of_rows = gather(&gates.f_unsqueeze(-1)?, &self.which, rows)?.f_transpose(-1, -2)?;
        let own = mask.size()[3] - of_rows.size()[3];
        mask.f_add(&of_rows.f_constant_pad_nd([0, own])?)
    }
}

/// The tokens of the references `which`, row by row: `[rows, heads, tokens, head_dim]`, from `all`, `[references, heads, kept, head_dim]`.
fn gather(all: &Tensor, which: &Tensor, rows: i64) -> Result<Tensor, TchError> {
    let (_, heads, kept, dim) = all.size4()?;
    let of_rows = all.f_index_select(0, which)?.f_view([rows, -1, heads, kept, dim])?;
    of_rows.f_transpose(1, 2)?.f_reshape([rows, heads, -1, dim])
}

impl<'a> Batch<'a> {
    /// Sequences of which each begins as `layout` says, and reads references of `written`.
    pub(super) fn new(
        decoder: &Decoder,
        sequences: &'a [Sequence],
        written: Option<&Written>,
        layout: ContextLayout,
    ) -> Result<Self, ComputeError> {
        let references = written.map_or(0, |written| written.lengths.len());
        let mut each = Vec::with_capacity(sequences.len());
        for (index, sequence) in sequences.iter().enumerate() {
            decoder.check_ids(&sequence.tokens)?;
            let (expected, found) = (sequence.tokens.len(), sequence.learnt.len());
            if expected != found {
                return Err(ComputeError::Marks { index, expected, found });
            }
            let mut own = Vec::new();
            for (reference, _) in sequence.chunks.iter().flatten() {
                if *reference >= references {
                    return Err(ComputeError::NotWritten { reference: *reference, written: references });
                }
                if !own.contains(reference) {
                    own.push(*reference);
                }
            }
            each.push(own);
        }
        let longest = sequences.iter().map(|s| s.tokens.len()).max().unwrap_or_default();
        Ok(Self { sequences, layout, width: layout.prefix() + 1 + longest, references: each })
    }

    /// The row of each learnt token's prediction, which is that of the token before it, in the order of the sequences.
    pub(super) fn predicting(&self) -> Vec<i64> {
        let of_sequence = |(row, sequence): (usize, &Sequence)| {
            let first = (row * self.width + self.layout.prefix()) as i64;
            let learnt = sequence.learnt.iter().enumerate().filter(|(_, learnt)| **learnt);
            learnt.map(|(token, _)| first + token as i64).collect::<Vec<_>>()
        };
        self.sequences.iter().enumerate().flat_map(of_sequence).collect()
    }

    /// Token ids of all rows. Any id will do as padding, because no other token attends to it.
    fn ids(&self, decoder: &Decoder) -> Vec<i64> {
        let mut ids = Vec::with_capacity(self.sequences.len() * self.width);
        for (row, sequence) in self.sequences.iter().enumerate() {
            let prefix = decoder.memory.reference_prefix_ids.iter().take(self.layout.prefix());
            let start = prefix.chain([&decoder.config.bos]);
            ids.extend(start.chain(&sequence.tokens).map(|id| i64::from(*id)));
            ids.resize((row + 1) * self.width, 0);
        }
        ids
    }

    /// The references that each row reads, and the masks at memory layers.
    fn memories(&self, decoder: &Decoder, written: &Written) -> Result<ReadMemories, TchError> {
        let max = self.references.iter().map(Vec::len).max().unwrap_or_default();
        let mut which = Vec::with_capacity(self.sequences.len() * max);
        for (row, references) in self.references.iter().enumerate() {
            which.extend(references.iter().map(|r| *r as i64));
            which.resize((row + 1) * max, 0);
        }
        let which = Tensor::f_from_slice(&which)?.f_to_device(decoder.device)?;
        let mut masks = BTreeMap::new();
        let memory_layers = &decoder.layers[decoder.memory_layers()];
        for (layer, spans) in memory_layers.iter().zip(&written.layers) {
            for kept in spans.iter().map(|span| span.keys.size()[2]) {
                if let Entry::Vacant(entry) = masks.entry((kept, layer.window)) {
                    entry.insert(self.mask(decoder, written, [max, kept as usize], layer.window)?);
                }
            }
        }
        Ok(ReadMemories { which, masks })
    }

    /// The mask of heads that keep `kept` tokens of each reference, of which a row reads `max` or fewer, in a layer that may have a window.
    fn mask(&self, decoder: &Decoder, written: &Written, [max, kept]: [usize; 2], window: Option<i64>) -> Result<Tensor, TchError> {
        let memory_tokens = max * kept;
        let mut mask = Vec::with_capacity(self.sequences.len() * self.width * (memory_tokens + self.width));
        for (sequence, references) in self.sequences.iter().zip(&self.references) {
            let biases = sequence.chunks.iter().map(|chunk| chunk_bias(decoder, chunk, references, written, [memory_tokens, kept]));
            self.layout.extend_mask(&mut mask, self.width, memory_tokens, &biases.collect::<Vec<_>>(), window);
        }
        let shape = [self.sequences.len() as i64, 1, self.width as i64, -1];
        Tensor::f_from_slice(&mask)?.f_view(shape)?.f_to_kind(decoder.kind())?.f_to_device(decoder.device)
    }
}

/// What a token of `chunk` adds to the scores of its row's memory tokens: the similarity bias, or -inf for memories of other chunks.
fn chunk_bias(
    decoder: &Decoder,
    chunk: &[(usize, f32)],
    references: &[usize],
    written: &Written,
    [memory_tokens, kept]: [usize; 2],
) -> Vec<f32> {
    let mut bias = vec![f32::NEG_INFINITY; memory_tokens];
    let similarities: Vec<f32> = chunk.iter().map(|(_, similarity)| *similarity).collect();
    for ((reference, _), of_memory) in chunk.iter().zip(similarity_biases(decoder.memory.similarity_bias, &similarities)) {
        let start = references.iter().position(|r| r == reference).unwrap_or_default() * kept;
        bias[start..start + written.lengths[*reference].min(kept)].fill(of_memory);
    }
    bias
}
