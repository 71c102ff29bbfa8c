//! The parts of a step, as all threads run them.
//!
//! Threads divide each part and meet at a barrier at its end. What a part reads, nobody writes during it, and what it writes belongs to one
//! thread: every unsafe block relies on that.

use std::marker::PhantomData;
use std::ops::Range;

use super::model::{Layer, Linear, Model, Norm};
use super::sequence::{Cache, Pair, Sequence, angles};
use super::{Buffers, Local, Piece, Row};
use crate::Cpu;
use crate::attention::{Attend, Segment, TOGETHER};
use crate::pool::Worker;
use crate::product::{Form, Input, Inputs, Output, Rows, UNIT, multiply};
use crate::shared::{Cells, Shared};
use crate::simd::Element;
use crate::small::{Gate, NormInPlace, RmsNorm, Rotate};

/// A step that all threads run.
pub(super) struct Run<'a, 'b> {
    pub model: &'a Model,
    pub cpu: Cpu,
    pub inputs: Inputs,
    pub rows: &'a [Row],
    pub wanted: &'a [usize],
    pub pieces: &'a [Piece<'b>],
    pub buffers: &'a Buffers,
    pub logits: Shared<'a, f32>,
}

impl Run<'_, '_> {
    /// The whole step.
    pub fn all(&self, worker: &Worker<'_>, local: &mut Local) {
        self.embed(worker);
        for (number, layer) in self.model.layers.iter().enumerate() {
            self.project(worker, local, &layer.attention_norm, &layer.qkv, &self.buffers.qkv);
            self.rotate(worker, number, layer);
            self.attend(worker, local, number, layer);
            self.add(worker, local, &self.buffers.attended, &layer.output, layer.after_attention.as_ref());
            self.gate(worker, local, layer);
            self.add(worker, local, &self.buffers.inner, &layer.down, layer.after_mlp.as_ref());
        }
        self.head(worker, local);
    }

    /// The first numbers of a buffer, `[rows, columns]`.
    fn view<'c>(&self, cells: &'c Cells<f32>, columns: usize) -> Rectangle<'c> {
        Rectangle { cells, columns, rows: self.rows.len() }
    }

    fn embed(&self, worker: &Worker<'_>) {
        let x = self.view(&self.buffers.x, self.model.hidden());
        worker.each(self.rows.len(), 1, |range| {
            for row in range {
                // SAFETY: A row is written by one thread.
                let x = unsafe { x.row_mut(row) };
                self.model.embedding.copy_row(self.rows[row].token as usize, x);
                if self.model.embedding_scale != 1.0 {
                    x.iter_mut().for_each(|x| *x *= self.model.embedding_scale);
                }
            }
        });
    }

    /// The product of the normed residual stream, to `to`.
    fn project(&self, worker: &Worker<'_>, local: &mut Local, norm: &Norm, linear: &Linear, to: &Cells<f32>) {
        let x = self.normed(local, norm, linear);
        let out = linear.matrix.rows();
        let y = self.view(to, out).shared();
        worker.each(out, worker.grain(out, UNIT), |range| self.product(linear, x, range, &y, out, false));
    }

    /// The rows of the residual stream, normed, in the form that `linear` needs.
    fn normed<'c>(&self, local: &'c mut Local, norm: &Norm, linear: &Linear) -> Rows<'c> {
        let hidden = self.model.hidden();
        let to = &mut local.normed[..self.rows.len() * hidden];
        // SAFETY: Nobody writes the residual stream during this part.
        let x = unsafe { self.view(&self.buffers.x, hidden).all() };
        self.cpu.run(RmsNorm { weight: &norm.weight, eps: norm.eps, x, to, add: false });
        self.converted(&mut local.input, linear, to)
    }

    fn converted<'c>(&self, input: &'c mut Input, linear: &Linear, x: &'c [f32]) -> Rows<'c> {
        input.convert(self.cpu, Form::of(self.cpu, &linear.matrix, self.inputs), linear.matrix.columns(), x)
    }

    /// Numbers `range` of the products of `x`; only this thread uses those of `y`.
    fn product(&self, linear: &Linear, x: Rows<'_>, range: Range<usize>, y: &Shared<'_, f32>, stride: usize, add: bool) {
        let to = Output { y, stride, bias: linear.bias.as_deref(), add };
        // SAFETY: Ranges of threads do not overlap.
        unsafe { multiply(self.cpu, &linear.matrix, x, range, to) }
    }

    /// Norms and rotates queries and keys, and writes keys and values to the caches.
    fn rotate(&self, worker: &Worker<'_>, number: usize, layer: &Layer) {
        let Model { query_heads, heads, head_dim: dim, .. } = *self.model;
        let rotated = query_heads + heads;
        let qkv = self.view(&self.buffers.qkv, self.model.qkv_rows());
        let items = self.rows.len() * rotated;
        worker.each(items, worker.grain(items, 1), |range| {
            for item in range {
                let (row, head) = (item / rotated, item % rotated);
                let Row { piece, index, .. } = self.rows[row];
                let sequence = &*self.pieces[piece].sequence;
                // SAFETY: A query or a key is used by one thread.
                let x = unsafe { qkv.part_mut(row, head * dim..(head + 1) * dim) };
                if let Some([queries, keys]) = &layer.query_key_norms {
                    let norm = if head < query_heads { queries } else { keys };
                    self.cpu.run(NormInPlace { weight: &norm.weight, eps: norm.eps, x });
                }
                let rotation = &self.model.rotations[layer.rotation];
                let angles = angles(dim, sequence.position(index));
                self.cpu.run(Rotate { x, cos: &rotation.cos[angles.clone()], sin: &rotation.sin[angles] });
                if let Some(head) = head.checked_sub(query_heads) {
                    let slot = sequence.places[number * heads + head].context + index;
                    let value = (rotated + head) * dim;
                    // SAFETY: Nobody writes values in this part, and a slot is written by one thread: there is one row for an index.
                    unsafe { sequence.cache.write(slot, x, qkv.part(row, value..value + dim)) };
                }
            }
        });
    }

    fn attend(&self, worker: &Worker<'_>, local: &mut Local, number: usize, layer: &Layer) {
        let Model { query_heads, heads, .. } = *self.model;
        let group = query_heads / heads;
        // Query heads of a group read the same keys: together, unless there are too few items for the threads.
        let few = self.rows.len() * heads < 4 * worker.threads() && worker.threads() > 1;
        let together = if few { group.div_ceil(2) } else { group }.min(TOGETHER);
        let parts = group.div_ceil(together);
        let items = self.rows.len() * heads * parts;
        worker.each(items, if few { 1 } else { worker.grain(items, 1) }, |range| {
            for item in range {
                let (row, head, part) = (item / (heads * parts), item / parts % heads, item % parts);
                let first = head * group + part * together;
                let queries = first..(first + together).min((head + 1) * group);
                let sequence = &*self.pieces[self.rows[row].piece].sequence;
                let place = Place { row, layer: number, head, queries, window: layer.window };
                match &sequence.cache {
                    Cache::F32(pair) => self.attend_one(local, sequence, pair, place),
                    Cache::Bf16(pair) => self.attend_one(local, sequence, pair, place),
                }
            }
        });
    }

    /// Attention of some query heads of one row.
    fn attend_one<T: Element>(&self, local: &mut Local, sequence: &Sequence, pair: &Pair<T>, place: Place) {
        let Model { query_heads, heads, head_dim: dim, .. } = *self.model;
        let Place { row, layer, head, queries, window } = place;
        let Row { index, last, .. } = self.rows[row];
        let places = sequence.places[layer * heads + head];
        let context = window.map_or(0, |window| (index + 1).saturating_sub(window))..index + 1;
        let (used, first) = sequence.read_by(index, places);
        let memories = sequence.options.memories;
        let segments = (0..=used.len()).map(|number| {
            let (slots, bias) = match used.get(number) {
                Some(used) => {
                    let first = first + number * places.kept;
                    (first..first + used.tokens.min(places.kept), used.bias)
                }
                None => (places.context + context.start..places.context + context.end, 0.0),
            };
            let numbers = slots.start * dim..slots.end * dim;
            // SAFETY: Nobody writes keys or values in this part.
            unsafe { Segment { keys: pair.keys.range(numbers.clone()), values: pair.values.range(numbers), bias } }
        });
        let numbers = queries.start * dim..queries.end * dim;
        let shares = (last && sequence.shares.len() > 0).then(|| {
            let first = layer * query_heads;
            // SAFETY: The shares of a query head belong to the last row of its piece, and to one thread.
            let shares = unsafe { sequence.shares.range_mut((first + queries.start) * memories..(first + queries.end) * memories) };
            shares.fill(0.0);
            (shares, memories)
        });
        // SAFETY: Nobody writes queries in this part, and the output of a query head is written by one thread.
        let (queries, to) = unsafe {
            let attended = self.view(&self.buffers.attended, query_heads * dim);
            (self.view(&self.buffers.qkv, self.model.qkv_rows()).part(row, numbers.clone()), attended.part_mut(row, numbers))
        };
        let (scale, scores) = (self.model.attention_scale, local.scores.as_mut_slice());
        let kind = PhantomData;
        self.cpu.run(Attend { queries, head_dim: dim, scale, segments, memories: used.len(), scores, to, shares, kind });
    }

    /// Adds the product of `from` to the residual stream, normed if there is a norm.
    fn add(&self, worker: &Worker<'_>, local: &mut Local, from: &Cells<f32>, linear: &Linear, norm: Option<&Norm>) {
        let (hidden, columns) = (self.model.hidden(), linear.matrix.columns());
        // SAFETY: Nobody writes the inputs in this part.
        let x = self.converted(&mut local.input, linear, unsafe { self.view(from, columns).all() });
        let (stream, branch) = (self.view(&self.buffers.x, hidden), self.view(&self.buffers.branch, hidden));
        let y = if norm.is_some() { branch } else { stream }.shared();
        worker.each(hidden, worker.grain(hidden, UNIT), |range| self.product(linear, x, range, &y, hidden, norm.is_none()));
        if let Some(norm) = norm {
            worker.each(self.rows.len(), 1, |range| {
                for row in range {
                    // SAFETY: A row is used by one thread.
                    let (x, to) = unsafe { (branch.part(row, 0..hidden), stream.row_mut(row)) };
                    self.cpu.run(RmsNorm { weight: &norm.weight, eps: norm.eps, x, to, add: true });
                }
            });
        }
    }

    /// The first half of the feed-forward part: `activation(gate) * up`.
    fn gate(&self, worker: &Worker<'_>, local: &mut Local, layer: &Layer) {
        let n = layer.down.matrix.columns();
        let linear = &layer.gate_up;
        let x = self.normed(local, &layer.mlp_norm, linear);
        let (both, inner) = (self.view(&self.buffers.gate_up, 2 * n), self.view(&self.buffers.inner, n));
        let y = both.shared();
        let activate = |range: Range<usize>| {
            for row in 0..self.rows.len() {
                // SAFETY: Gates and ups were written by this thread or before the last barrier, and what is written here belongs to this thread.
                let (gate, up, to) = unsafe {
                    let up = both.part(row, n + range.start..n + range.end);
                    (both.part(row, range.clone()), up, inner.part_mut(row, range.clone()))
                };
                self.cpu.run(Gate { activation: self.model.activation, gate, up, to });
            }
        };
        if n.is_multiple_of(UNIT) {
            worker.each(n, worker.grain(n, UNIT), |range| {
                self.product(linear, x, range.clone(), &y, 2 * n, false);
                self.product(linear, x, n + range.start..n + range.end, &y, 2 * n, false);
                activate(range);
            });
        } else {
            worker.each(2 * n, worker.grain(2 * n, UNIT), |range| self.product(linear, x, range, &y, 2 * n, false));
            worker.each(n, worker.grain(n, UNIT), activate);
        }
    }

    /// The logits of the rows that are wanted.
    fn head(&self, worker: &Worker<'_>, local: &mut Local) {
        if self.wanted.is_empty() {
            return;
        }
        let (hidden, vocabulary, norm) = (self.model.hidden(), self.model.vocabulary(), &self.model.final_norm);
        let normed = &mut local.normed[..self.wanted.len() * hidden];
        for (row, to) in self.wanted.iter().zip(normed.chunks_exact_mut(hidden)) {
            // SAFETY: Nobody writes the residual stream in this part.
            let x = unsafe { self.view(&self.buffers.x, hidden).part(*row, 0..hidden) };
            self.cpu.run(RmsNorm { weight: &norm.weight, eps: norm.eps, x, to, add: false });
        }
        let x = self.converted(&mut local.input, &self.model.head, normed);
        worker.each(vocabulary, worker.grain(vocabulary, UNIT), |range| {
            self.product(&self.model.head, x, range, &self.logits, vocabulary, false);
        });
    }
}

/// Some query heads of a row that share a key-value head.
struct Place {
    row: usize,
    layer: usize,
    head: usize,
    queries: Range<usize>,
    window: Option<usize>,
}

/// The first numbers of a buffer as `[rows, columns]`.
#[derive(Clone, Copy)]
struct Rectangle<'a> {
    cells: &'a Cells<f32>,
    columns: usize,
    rows: usize,
}

impl<'a> Rectangle<'a> {
    /// All numbers.
    ///
    /// # Safety
    /// As of [`Cells::range`].
    unsafe fn all(&self) -> &'a [f32] {
        // SAFETY: Up to the caller.
        unsafe { self.cells.range(0..self.rows * self.columns) }
    }

    /// Numbers of a row.
    ///
    /// # Safety
    /// As of [`Cells::range`].
    unsafe fn part(&self, row: usize, range: Range<usize>) -> &'a [f32] {
        // SAFETY: Up to the caller.
        unsafe { self.cells.range(row * self.columns + range.start..row * self.columns + range.end) }
    }

    /// Numbers of a row, to write.
    ///
    /// # Safety
    /// As of [`Cells::range_mut`].
    unsafe fn part_mut(&self, row: usize, range: Range<usize>) -> &'a mut [f32] {
        // SAFETY: Up to the caller.
        unsafe { self.cells.range_mut(row * self.columns + range.start..row * self.columns + range.end) }
    }

    /// A row, to write.
    ///
    /// # Safety
    /// As of [`Cells::range_mut`].
    unsafe fn row_mut(&self, row: usize) -> &'a mut [f32] {
        // SAFETY: Up to the caller.
        unsafe { self.part_mut(row, 0..self.columns) }
    }

    /// What products write to.
    fn shared(&self) -> Shared<'a, f32> {
        self.cells.shared(self.rows * self.columns)
    }
}
