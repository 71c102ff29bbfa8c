//! Models of known shapes with random weights.

use std::sync::Arc;

use mempack_kernels::{Activation, KernelError, Layer, Linear, Matrix, Model, Norm, Rotation, to_bf16};

/// The sizes of a model.
pub struct Shape {
    pub name: &'static str,
    pub hidden: usize,
    pub inner: usize,
    pub query_heads: usize,
    pub heads: usize,
    pub layers: usize,
    pub vocabulary: usize,
}

/// Both have heads of 64 dimensions.
pub const SHAPES: [Shape; 2] = [
    Shape { name: "smollm2", hidden: 576, inner: 1536, query_heads: 9, heads: 3, layers: 30, vocabulary: 49152 },
    Shape { name: "qwen2.5", hidden: 896, inner: 4864, query_heads: 14, heads: 2, layers: 24, vocabulary: 151_936 },
];

const DIM: usize = 64;
const POSITIONS: usize = 1000;

/// A model of this shape.
pub fn model(shape: &Shape) -> Result<Model, KernelError> {
    let linear = |rows: usize, columns: usize| Ok::<_, KernelError>(Linear { matrix: matrix(rows, columns)?, bias: None });
    let norm = || Norm { weight: vec![1.0; shape.hidden], eps: 1e-5 };
    let layers = (0..shape.layers).map(|number| {
        Ok(Layer {
            attention_norm: norm(),
            qkv: linear((shape.query_heads + 2 * shape.heads) * DIM, shape.hidden)?,
            query_key_norms: None,
            output: linear(shape.hidden, shape.query_heads * DIM)?,
            after_attention: None,
            mlp_norm: norm(),
            gate_up: linear(2 * shape.inner, shape.hidden)?,
            down: linear(shape.hidden, shape.inner)?,
            after_mlp: None,
            rotation: 0,
            window: None,
            kept: if number < shape.layers / 2 { Vec::new() } else { vec![8; shape.heads] },
        })
    });
    let angles = (0..POSITIONS).flat_map(|p| (0..DIM / 2).map(move |i| (p as f64 * 10000f64.powf(-2.0 * i as f64 / DIM as f64)).sin_cos()));
    let (sin, cos) = angles.map(|(sin, cos)| (sin as f32, cos as f32)).unzip();
    let embedding = matrix(shape.vocabulary, shape.hidden)?;
    Ok(Model {
        query_heads: shape.query_heads,
        heads: shape.heads,
        head_dim: DIM,
        attention_scale: 0.125,
        activation: Activation::Silu,
        layers: layers.collect::<Result<_, KernelError>>()?,
        final_norm: norm(),
        head: Linear { matrix: embedding.clone(), bias: None },
        embedding,
        embedding_scale: 1.0,
        rotations: vec![Rotation { cos, sin }],
    })
}

fn matrix(rows: usize, columns: usize) -> Result<Matrix, KernelError> {
    let weights: Vec<u16> = (0..rows * columns).map(|i| to_bf16((i * 7919 % 4001) as f32 / 40000.0 - 0.05)).collect();
    Matrix::bf16(Arc::new(weights), rows, columns)
}
