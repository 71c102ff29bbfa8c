//! What a decoder is made of.

use crate::error::check;
use crate::small::Activation;
use crate::{KernelError, Matrix};

/// A linear map with an optional bias.
#[derive(Clone)]
pub struct Linear {
    /// `[out, in]`.
    pub matrix: Matrix,
    /// `[out]`.
    pub bias: Option<Vec<f32>>,
}

/// A root-mean-square norm: `x / sqrt(mean(x^2) + eps) * weight`.
#[derive(Clone, Debug)]
pub struct Norm {
    /// `[columns]`. Where a family stores it minus 1, as Gemma does, with 1 added.
    pub weight: Vec<f32>,
    /// Added to the mean of squares.
    pub eps: f32,
}

/// Cosines and sines of RoPE's angles.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// `[positions, head_dim / 2]`.
    pub cos: Vec<f32>,
    /// `[positions, head_dim / 2]`.
    pub sin: Vec<f32>,
}

/// A decoder layer.
#[derive(Clone)]
pub struct Layer {
    /// The norm before attention, `[hidden]`.
    pub attention_norm: Norm,
    /// Queries, keys and values, joined: `[(query_heads + 2 * heads) * head_dim, hidden]`.
    pub qkv: Linear,
    /// Norms of each query and each key before RoPE, `[head_dim]` (Qwen3, Gemma 3).
    pub query_key_norms: Option<[Norm; 2]>,
    /// The output of attention, `[hidden, query_heads * head_dim]`.
    pub output: Linear,
    /// The norm of attention's output before it is added, `[hidden]` (Gemma 3).
    pub after_attention: Option<Norm>,
    /// The norm before the feed-forward part, `[hidden]`.
    pub mlp_norm: Norm,
    /// Gate and up, joined: `[2 * intermediate, hidden]`.
    pub gate_up: Linear,
    /// `[hidden, intermediate]`.
    pub down: Linear,
    /// The norm of the feed-forward part's output before it is added, `[hidden]` (Gemma 3).
    pub after_mlp: Option<Norm>,
    /// Which of the model's rotations it uses.
    pub rotation: usize,
    /// How many tokens of the context a token attends to, itself included; all if `None`. Memories are attended to in any case.
    pub window: Option<usize>,
    /// Tokens that each key-value head keeps of a memory, `[heads]`, or none for a layer without memories.
    pub kept: Vec<usize>,
}

/// A decoder. [`Step::new`](super::Step::new) checks that everything fits.
#[derive(Clone)]
pub struct Model {
    /// Query heads of a layer.
    pub query_heads: usize,
    /// Key-value heads of a layer; divides `query_heads`.
    pub heads: usize,
    /// Dimensions of a head; even.
    pub head_dim: usize,
    /// What scores of attention are multiplied by: `1 / sqrt(head_dim)` in most families.
    pub attention_scale: f32,
    /// The activation of the gates.
    pub activation: Activation,
    /// `[vocabulary, hidden]`.
    pub embedding: Matrix,
    /// What rows of the embedding are multiplied by.
    pub embedding_scale: f32,
    /// The layers.
    pub layers: Vec<Layer>,
    /// The norm before the head, `[hidden]`.
    pub final_norm: Norm,
    /// `[vocabulary, hidden]`; the embedding's matrix where the two are tied.
    pub head: Linear,
    /// Tables that layers refer to.
    pub rotations: Vec<Rotation>,
}

impl Norm {
    pub(super) fn check(&self, what: &'static str, columns: usize) -> Result<(), KernelError> {
        check(what, columns, self.weight.len())
    }
}

impl Linear {
    fn check(&self, [what, inputs, bias]: [&'static str; 3], rows: usize, columns: usize) -> Result<(), KernelError> {
        check(what, rows, self.matrix.rows())?;
        check(inputs, columns, self.matrix.columns())?;
        check(bias, rows, self.bias.as_ref().map_or(rows, Vec::len))
    }
}

impl Model {
    /// Width of the residual stream.
    pub fn hidden(&self) -> usize {
        self.embedding.columns()
    }

    /// Tokens of the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.embedding.rows()
    }

    /// Bytes of the weights that a step reads: all but the embedding.
    pub fn bytes(&self) -> usize {
        let of_layer =
            |layer: &Layer| [&layer.qkv, &layer.output, &layer.gate_up, &layer.down].map(|l| l.matrix.bytes()).iter().sum::<usize>();
        self.layers.iter().map(of_layer).sum::<usize>() + self.head.matrix.bytes()
    }

    /// The same model with the matrices of its linear maps in 8 bits, which so many threads make; the embedding stays.
    ///
    /// # Errors
    /// As of [`Matrix::to_int8`].
    pub fn to_int8(&self, threads: usize) -> Result<Self, KernelError> {
        let mut model = self.clone();
        for layer in &mut model.layers {
            for linear in [&mut layer.qkv, &mut layer.output, &mut layer.gate_up, &mut layer.down] {
                linear.matrix = linear.matrix.to_int8(threads)?;
            }
        }
        model.head.matrix = model.head.matrix.to_int8(threads)?;
        Ok(model)
    }

    /// Rows of a layer's joined queries, keys and values.
    pub(super) fn qkv_rows(&self) -> usize {
        (self.query_heads + 2 * self.heads) * self.head_dim
    }

    /// The most numbers that a product takes.
    pub(super) fn widest_input(&self) -> usize {
        let inputs = self.layers.iter().flat_map(|layer| [layer.output.matrix.columns(), layer.down.matrix.columns()]);
        inputs.fold(self.hidden(), usize::max)
    }

    /// The largest width inside the feed-forward parts.
    pub(super) fn widest_inner(&self) -> usize {
        self.layers.iter().map(|layer| layer.down.matrix.columns()).max().unwrap_or(0)
    }

    /// Positions that every table has.
    pub(super) fn positions(&self) -> usize {
        self.rotations.iter().map(|rotation| 2 * rotation.cos.len() / self.head_dim).min().unwrap_or(usize::MAX)
    }

    /// Tokens that head `head` of layer `layer` keeps of a memory.
    pub(super) fn kept(&self, layer: usize, head: usize) -> usize {
        self.layers[layer].kept.get(head).copied().unwrap_or(0)
    }

    /// Checks every size.
    pub(super) fn check(&self) -> Result<(), KernelError> {
        let size = |what, expected: &str, found, fits| match fits {
            true => Ok(()),
            false => Err(KernelError::Size { what, expected: expected.to_owned(), found }),
        };
        let (hidden, dim) = (self.hidden(), self.head_dim);
        size("dimensions of a head", "an even number above 0", dim, dim > 0 && dim % 2 == 0)?;
        size("key-value heads", "a divisor of the query heads", self.heads, self.heads > 0 && self.query_heads.is_multiple_of(self.heads))?;
        size("query heads", "a number above 0", self.query_heads, self.query_heads > 0)?;
        for rotation in &self.rotations {
            size("cosines of a rotation", "whole positions", rotation.cos.len(), rotation.cos.len() % (dim / 2) == 0)?;
            check("sines of a rotation", rotation.cos.len(), rotation.sin.len())?;
        }
        for layer in &self.layers {
            let inner = layer.down.matrix.columns();
            layer.attention_norm.check("norm before attention", hidden)?;
            layer.qkv.check(["rows of qkv", "columns of qkv", "bias of qkv"], self.qkv_rows(), hidden)?;
            for norm in layer.query_key_norms.iter().flatten() {
                norm.check("norm of queries or keys", dim)?;
            }
            let output = ["rows of attention's output", "columns of attention's output", "bias of attention's output"];
            layer.output.check(output, hidden, self.query_heads * dim)?;
            layer.mlp_norm.check("norm before the feed-forward part", hidden)?;
            layer.gate_up.check(["rows of gate and up", "columns of gate and up", "bias of gate and up"], 2 * inner, hidden)?;
            layer.down.check(["rows of down", "columns of down", "bias of down"], hidden, inner)?;
            for norm in layer.after_attention.iter().chain(&layer.after_mlp) {
                norm.check("norm after a part", hidden)?;
            }
            size("rotation of a layer", "one of the model's", layer.rotation, layer.rotation < self.rotations.len())?;
            size("window of a layer", "a number above 0", 0, layer.window != Some(0))?;
            if !layer.kept.is_empty() {
                check("tokens that heads keep", self.heads, layer.kept.len())?;
            }
        }
        self.final_norm.check("final norm", hidden)?;
        self.head.check(["rows of the head", "columns of the head", "bias of the head"], self.vocabulary(), hidden)
    }
}
