//! The oracle's decoders and memories as those of the crate.

use std::sync::Arc;

use mempack_kernels::{
    Cpu, Inputs, Layer, Linear, Logits, Matrix, Memory, Model, Norm, Piece, Pool, Rotation, Sequence, SequenceOptions, Step, to_bf16,
};

use crate::plain::{Plain, PlainLinear, PlainMemory};
use crate::random::Random;

/// Positions of the tables of rotations.
pub const POSITIONS: usize = 200;

/// The type of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    F32,
    Bf16,
    Int8,
}

pub fn floats(x: &[f64]) -> Vec<f32> {
    x.iter().map(|x| *x as f32).collect()
}

pub fn model(plain: &Plain, weights: Weights) -> Model {
    let matrix = |x: &[f64], columns: usize| {
        let rows = x.len() / columns;
        match weights {
            Weights::F32 => Matrix::f32(Arc::new(floats(x)), rows, columns).unwrap(),
            _ => Matrix::bf16(Arc::new(x.iter().map(|x| to_bf16(*x as f32)).collect::<Vec<_>>()), rows, columns).unwrap(),
        }
    };
    let norm = |weight: &[f64]| Norm { weight: floats(weight), eps: plain.eps as f32 };
    let linear =
        |linear: &PlainLinear, columns: usize| Linear { matrix: matrix(&linear.weight, columns), bias: linear.bias.as_deref().map(floats) };
    let layers = plain.layers.iter().map(|layer| Layer {
        attention_norm: norm(&layer.attention_norm),
        qkv: linear(&layer.qkv, plain.hidden),
        query_key_norms: layer.query_key_norms.as_ref().map(|[q, k]| [norm(q), norm(k)]),
        output: linear(&layer.output, plain.query_heads * plain.dim),
        after_attention: layer.after_attention.as_deref().map(norm),
        mlp_norm: norm(&layer.mlp_norm),
        gate_up: linear(&layer.gate_up, plain.hidden),
        down: linear(&layer.down, plain.inner),
        after_mlp: layer.after_mlp.as_deref().map(norm),
        rotation: layer.rotation,
        window: layer.window,
        kept: layer.kept.clone(),
    });
    let rotations = plain.frequencies.iter().map(|frequencies| {
        let angles = (0..POSITIONS).flat_map(|p| frequencies.iter().map(move |f| (f * p as f64).sin_cos()));
        let (sin, cos) = angles.map(|(sin, cos)| (sin as f32, cos as f32)).unzip();
        Rotation { cos, sin }
    });
    let model = Model {
        query_heads: plain.query_heads,
        heads: plain.heads,
        head_dim: plain.dim,
        attention_scale: plain.scale as f32,
        activation: plain.activation,
        embedding: matrix(&plain.embedding, plain.hidden),
        embedding_scale: plain.embedding_scale as f32,
        layers: layers.collect(),
        final_norm: norm(&plain.final_norm),
        head: Linear { matrix: matrix(&plain.head, plain.hidden), bias: None },
        rotations: rotations.collect(),
    };
    if weights == Weights::Int8 { model.to_int8(2).unwrap() } else { model }
}

pub fn step(model: &Arc<Model>, cpu: Cpu, inputs: Inputs, threads: usize, rows: usize) -> Step {
    Step::new(Arc::clone(model), cpu, inputs, Arc::new(Pool::new(threads).unwrap()), rows).unwrap()
}

/// Random memories, some shorter than what heads keep.
pub fn memories(r: &mut Random, plain: &Plain, count: usize) -> Vec<PlainMemory> {
    let slots = plain.slots();
    let memory = |_| PlainMemory {
        keys: r.bf16s(slots * plain.dim, 2.0),
        values: r.bf16s(slots * plain.dim, 1.0),
        positions: (0..slots).map(|_| r.below(20)).collect(),
        tokens: r.below(8),
        bias: -(r.below(3) as f64) / 2.0,
    };
    (0..count).map(memory).collect()
}

pub fn set(sequence: &mut Sequence, memories: &[PlainMemory]) {
    with_memories(memories, |memories| sequence.set_memories(memories).unwrap());
}

/// Sets the memories that tokens from index `from` on read.
pub fn set_next(sequence: &mut Sequence, from: usize, memories: &[PlainMemory]) {
    with_memories(memories, |memories| sequence.set_next_memories(from, memories).unwrap());
}

fn with_memories(memories: &[PlainMemory], put: impl FnOnce(&[Memory<'_>])) {
    let floats: Vec<(Vec<f32>, Vec<f32>)> = memories.iter().map(|m| (floats(&m.keys), floats(&m.values))).collect();
    let memories = memories.iter().zip(&floats).map(|(m, (keys, values))| Memory {
        keys,
        values,
        positions: &m.positions,
        tokens: m.tokens,
        bias: m.bias as f32,
    });
    put(&memories.collect::<Vec<_>>());
}

/// Appends tokens to one sequence, and returns the logits of all.
pub fn append(step: &mut Step, sequence: &mut Sequence, tokens: &[u32]) -> Vec<f32> {
    let mut logits = vec![f32::NAN; tokens.len() * step.model().vocabulary()];
    let found = step.run(&mut [Piece { sequence, tokens, logits: Logits::All }], &mut logits).unwrap();
    assert_eq!(found, tokens.len());
    logits
}

pub fn options(cache: mempack_kernels::CacheKind) -> SequenceOptions {
    SequenceOptions { capacity: 40, memories: 3, prefix: 2, gap: 17, cache }
}
