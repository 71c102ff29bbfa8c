//! How much a model's predictions depend on each direction of the memories' keys and values.

use std::ops::Range;

use mempack_format::{Memory, MemoryShape, VectorKind};
use tch::{Kind, TchError, Tensor};

use crate::write::copy_out;
use crate::{ComputeError, Model, ReaderOptions, Slot};

/// Gradients of a text's log-likelihood with respect to the memories that it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// The shape of each memory.
    pub shape: MemoryShape,
    /// Of keys before RoPE, as they are stored, `[slots of all memories, head_dim]`: layer by layer, head by head, memory by memory.
    pub keys: Vec<f32>,
    /// Of values, in the shape of `keys`.
    pub values: Vec<f32>,
}

/// The gradients at `text` while the model reads `slots`. The target tokens are drawn from the model's own predictions, so the second
/// moments of the gradients are the Fisher information: the curvature of the Kullback-Leibler divergence. Takes one forward and one
/// backward pass.
///
/// # Errors
/// Those of [`Reader::prompt`](crate::Reader::prompt).
pub fn gradients(model: &Model, text: &[u32], slots: &[Slot<'_>]) -> Result<Gradients, ComputeError> {
    let reader = model.reader(&ReaderOptions { capacity: 1 + text.len(), prefix: true })?;
    let (keys, values) = reader.gradients(text, slots, drawn)?;
    Ok(Gradients { shape: model.decoder().shape().clone(), keys: copy_out(&keys)?, values: copy_out(&values)? })
}

/// A token for each row of logits, `[rows, vocabulary]`: the inverse of the cumulative distribution at numbers spread evenly over 0 to 1.
fn drawn(logits: &Tensor) -> Result<Tensor, TchError> {
    // Multiples of the golden ratio modulo 1: any run of them is spread evenly.
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let numbers: Vec<f64> = (0..logits.size()[0]).map(|row| (golden * (row as f64 + 0.5)).fract()).collect();
    let sums = logits.f_detach()?.f_softmax(-1, Kind::Double)?.f_cumsum(-1, None)?;
    let numbers = Tensor::f_from_slice(&numbers)?.f_to_device(logits.device())?.f_unsqueeze(-1)?;
    numbers.f_searchsorted(&sums, false, true, "right", None::<&Tensor>)?.f_clamp_max(logits.size()[1] - 1)
}

/// Second moments of gradients over texts: a symmetric matrix `[head_dim, head_dim]` for the keys and one for the values of each head.
///
/// With M the mean moments of a head, an error `e` of a stored vector moves the predictions of a text that reads it by about
/// `e^T M e / 2` nats, summed over its tokens. This holds to second order, for errors of different vectors that are uncorrelated.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    shape: MemoryShape,
    /// Lower triangles, `[keys and values, layers * heads, head_dim, head_dim]`.
    sums: Vec<f64>,
    /// Vectors of all heads that texts have read.
    vectors: u64,
}

impl Sensitivity {
    /// No moments yet, for memories of this shape.
    pub fn new(shape: MemoryShape) -> Self {
        let (heads, dim) = (shape.all_heads(), shape.head_dim as usize);
        Self { shape, sums: vec![0.0; VectorKind::ALL.len() * heads * dim * dim], vectors: 0 }
    }

    /// The moments of some layers.
    ///
    /// # Panics
    /// If a layer does not exist.
    pub fn of_layers(&self, layers: Range<u32>) -> Self {
        let shape = self.shape.of_layers(layers.clone());
        let layer = (self.shape.heads * self.shape.head_dim * self.shape.head_dim) as usize;
        let of_part = |part: &[f64]| part[layers.start as usize * layer..layers.end as usize * layer].to_vec();
        let sums = self.sums.chunks_exact(self.shape.layers as usize * layer).flat_map(of_part).collect();
        let vectors = self.vectors * shape.slots() as u64 / (self.shape.slots() as u64).max(1);
        Self { shape, sums, vectors }
    }

    /// Adds the gradients of a text.
    ///
    /// # Panics
    /// If its memories have another shape.
    pub fn add(&mut self, gradients: &Gradients) {
        assert_eq!(self.shape, gradients.shape, "gradients of memories of another shape");
        let dim = self.shape.head_dim as usize;
        let count = gradients.keys.len() / dim;
        let slots = self.shape.slots();
        // Of keys, then of values, the vectors of each head follow one another.
        let of_heads = [&gradients.keys, &gradients.values].into_iter().flat_map(|vectors| {
            // As many for each slot of a memory.
            let at = move |slot: usize| count * slot / slots * dim;
            self.shape.slots_of_heads().map(move |head| &vectors[at(head.start)..at(head.end)])
        });
        for (sums, rows) in self.sums.chunks_exact_mut(dim * dim).zip(of_heads) {
            for row in rows.chunks_exact(dim) {
                for (i, &x) in row.iter().enumerate() {
                    let line = &mut sums[i * dim..=i * dim + i];
                    line.iter_mut().zip(row).for_each(|(sum, y)| *sum += f64::from(x) * f64::from(*y));
                }
            }
        }
        self.vectors += count as u64;
    }

    /// How far the predictions of a text move, in nats to second order, if it reads `other` instead of `memory`.
    ///
    /// # Panics
    /// If a memory has another shape.
    pub fn nats(&self, memory: &Memory, other: &Memory) -> f64 {
        assert_eq!([&memory.shape, &other.shape], [&self.shape; 2], "memories of another shape");
        let dim = self.shape.head_dim as usize;
        let parts = [(&memory.keys, &other.keys), (&memory.values, &other.values)];
        let floats = |slots: Range<usize>| slots.start * dim..slots.end * dim;
        let of_heads = parts.iter().flat_map(|(exact, lossy)| {
            let of_head = move |slots: Range<usize>| (&exact[floats(slots.clone())], &lossy[floats(slots)]);
            self.shape.slots_of_heads().map(of_head)
        });
        let heads = self.shape.all_heads();
        let mut nats = 0.0;
        for (head, ((exact, lossy), lower)) in of_heads.zip(self.sums.chunks_exact(dim * dim)).enumerate() {
            let mut of_head = 0.0;
            for (exact, lossy) in exact.chunks_exact(dim).zip(lossy.chunks_exact(dim)) {
                let error: Vec<f64> = exact.iter().zip(lossy).map(|(x, y)| f64::from(x - y)).collect();
                for (i, x) in error.iter().enumerate() {
                    let row = &lower[i * dim..=i * dim + i];
                    let below: f64 = row[..i].iter().zip(&error).map(|(m, y)| m * y).sum();
                    of_head += x * (below + 0.5 * row[i] * x);
                }
            }
            nats += of_head / self.vectors_of(head % heads);
        }
        nats
    }

    /// Vectors of all heads that texts have read, of keys and again of values.
    pub fn vectors(&self) -> u64 {
        self.vectors
    }

    /// Vectors of head `head`, `[layers * heads]`, that texts have read; at least 1, so that a mean can be taken.
    fn vectors_of(&self, head: usize) -> f64 {
        let (of_head, all) = (self.shape.slots_of(head).len() as u64, self.shape.slots() as u64);
        (self.vectors * of_head / all.max(1)).max(1) as f64
    }

    /// The mean moments of a head `[layers * heads]`: the numbers of a symmetric matrix `[head_dim, head_dim]`, row after row.
    pub fn moments(&self, part: VectorKind, head: usize) -> Vec<f64> {
        let (heads, dim) = (self.shape.all_heads(), self.shape.head_dim as usize);
        let kind = usize::from(part != VectorKind::Key);
        let lower = &self.sums[(kind * heads + head) * dim * dim..][..dim * dim];
        let count = self.vectors_of(head);
        let at = |i: usize, j: usize| lower[i.max(j) * dim + i.min(j)] / count;
        (0..dim * dim).map(|n| at(n / dim, n % dim)).collect()
    }
}
