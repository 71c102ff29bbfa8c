//! Many sequences with memories in one pass.

use tch::{TchError, Tensor};

use super::Written;
use crate::ComputeError;
use crate::attention::{Mask, attend};
use crate::decoder::Decoder;

/// One sequence to learn from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sequence {
    /// Its tokens, without the one that begins a text.
    pub tokens: Vec<u32>,
    /// Which of them the model shall learn to predict; as many as tokens.
    pub learnt: Vec<bool>,
    /// What each chunk reads: numbers of written references, each once, with their retrieval similarities. Tokens past the last
    /// chunk are in that one; without chunks, nothing is read.
    pub chunks: Vec<Vec<(usize, f32)>>,
}

/// Sequences as one batch, padded to the longest.
pub(super) struct Batch<'a> {
    sequences: &'a [Sequence],
    pub(super) prefix: usize,
    /// Tokens of a row: prefix, the token that begins a text, text, padding.
    pub(super) width: usize,
    /// For each sequence the references that any of its chunks reads, in the order they first occur.
    references: Vec<Vec<usize>>,
}

/// The last layer's output, `[sequences * width, hidden]`.
pub(super) fn read(decoder: &Decoder, batch: &Batch<'_>, written: Option<&Written>) -> Result<Tensor, TchError> {
    let s = decoder.sizes();
    let (rows, width, prefix) = (batch.sequences.len() as i64, batch.width as i64, batch.prefix as u32);
    // As in the definition: the context follows the interval of positions that the memories share.
    let gap = decoder.memory.reference_length;
    let positions = (0..width as u32).map(|i| if i < prefix { i } else { i + gap });
    let turn = decoder.rope.turn(positions, decoder.kind(), decoder.device)?;
    let memories = match written {
        Some(written) if batch.references.iter().any(|r| !r.is_empty()) => Some(batch.memories(decoder, written)?),
        _ => None,
    };
    let memory_layers = decoder.memory_layers();
    let mut x = decoder.embed(&batch.ids(decoder))?;
    for (number, layer) in decoder.layers.iter().enumerate() {
        let (qk, v) = layer.qkv(&x)?;
        let turned = turn.apply(&qk.f_view([rows, width, s.query_heads + s.heads, s.head_dim])?)?;
        let q = turned.f_narrow(2, 0, s.query_heads)?.f_transpose(1, 2)?;
        let mut k = turned.f_narrow(2, s.query_heads, s.heads)?.f_transpose(1, 2)?;
        let mut v = v.f_view([rows, width, s.heads, s.head_dim])?.f_transpose(1, 2)?;
        let mut bias = None;
        if let (Some((which, own)), Some(written)) = (memories.as_ref().filter(|_| memory_layers.contains(&number)), written) {
            let (keys, values) = &written.layers[number - memory_layers.start];
            k = Tensor::f_cat(&[gather(keys, which, rows)?, k], 2)?;
            v = Tensor::f_cat(&[gather(values, which, rows)?, v], 2)?;
            bias = Some(own);
        }
        x = layer.finish(&x, &attend(&q, &k, &v, Mask::or_causal(bias))?)?;
    }
    Ok(x)
}

/// The tokens of the references `which`, row after row: `[rows, heads, tokens, head_dim]` of `[references, heads, kept, head_dim]`.
fn gather(all: &Tensor, which: &Tensor, rows: i64) -> Result<Tensor, TchError> {
    let (_, heads, kept, dim) = all.size4()?;
    let of_rows = all.f_index_select(0, which)?.f_view([rows, -1, heads, kept, dim])?;
    of_rows.f_transpose(1, 2)?.f_reshape([rows, heads, -1, dim])
}

impl<'a> Batch<'a> {
    pub(super) fn new(decoder: &Decoder, sequences: &'a [Sequence], written: Option<&Written>) -> Result<Self, ComputeError> {
        let references = written.map_or(0, |written| written.held.len());
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
        let prefix = decoder.memory.reference_prefix_ids.len();
        let longest = sequences.iter().map(|s| s.tokens.len()).max().unwrap_or_default();
        Ok(Self { sequences, prefix, width: prefix + 1 + longest, references: each })
    }

    /// Ids of all rows; any id will do as padding, which no other token attends to.
    fn ids(&self, decoder: &Decoder) -> Vec<i64> {
        let mut ids = Vec::with_capacity(self.sequences.len() * self.width);
        for (row, sequence) in self.sequences.iter().enumerate() {
            let start = decoder.memory.reference_prefix_ids.iter().chain([&decoder.config.bos]);
            ids.extend(start.chain(&sequence.tokens).map(|id| i64::from(*id)));
            ids.resize((row + 1) * self.width, 0);
        }
        ids
    }

    /// The references of each row, and what is added to the scores at memory layers: `[rows, 1, width, tokens + width]`.
    fn memories(&self, decoder: &Decoder, written: &Written) -> Result<(Tensor, Tensor), TchError> {
        let most = self.references.iter().map(Vec::len).max().unwrap_or_default();
        let slots = most * written.kept;
        let columns = slots + self.width;
        let mut which = Vec::with_capacity(self.sequences.len() * most);
        let mut bias = Vec::with_capacity(self.sequences.len() * self.width * columns);
        let (beta, interval) = (decoder.memory.similarity_bias, decoder.memory.retrieval_interval as usize);
        for (place, (sequence, references)) in self.sequences.iter().zip(&self.references).enumerate() {
            which.extend(references.iter().map(|r| *r as i64));
            // Rows that read fewer, or nothing, are filled with what no token of theirs sees.
            which.resize((place + 1) * most, 0);
            let chunks = sequence.chunks.iter().map(|chunk| chunk_bias(chunk, references, written, slots, beta));
            let chunks: Vec<Vec<f32>> = chunks.collect();
            for row in 0..self.width {
                // The prefix reads nothing; the token that begins a text is in the first chunk.
                let chunk = row.checked_sub(self.prefix).map(|place| place.saturating_sub(1) / interval);
                match chunk.and_then(|chunk| chunks.get(chunk.min(chunks.len().saturating_sub(1)))) {
                    Some(own) => bias.extend_from_slice(own),
                    None => bias.resize(bias.len() + slots, f32::NEG_INFINITY),
                }
                bias.resize(bias.len() + row + 1, 0.0);
                bias.resize(bias.len() + self.width - row - 1, f32::NEG_INFINITY);
            }
        }
        let shape = [self.sequences.len() as i64, 1, self.width as i64, columns as i64];
        let bias = Tensor::f_from_slice(&bias)?.f_view(shape)?.f_to_kind(decoder.kind())?.f_to_device(decoder.device)?;
        Ok((Tensor::f_from_slice(&which)?.f_to_device(decoder.device)?, bias))
    }
}

/// What a chunk adds to the scores of a row's memory tokens: its similarity bias (memory3.py), or -inf for what it does not read.
fn chunk_bias(chunk: &[(usize, f32)], references: &[usize], written: &Written, slots: usize, beta: f32) -> Vec<f32> {
    let mut bias = vec![f32::NEG_INFINITY; slots];
    let best = chunk.iter().map(|(_, similarity)| *similarity).fold(f32::NEG_INFINITY, f32::max);
    for (reference, similarity) in chunk {
        let place = references.iter().position(|r| r == reference).unwrap_or_default() * written.kept;
        let lag = if beta == 0.0 { 0.0 } else { beta * (similarity - best) };
        bias[place..place + written.held[*reference]].fill(lag);
    }
    bias
}
