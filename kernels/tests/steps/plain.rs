//! A decoder in f64, written without regard to speed and without the kernels: the oracle.

use mempack_kernels::Activation;

use crate::random::Random;

/// Weights and sizes. Every number is a bf16, so that all types of weights hold it exactly.
pub struct Plain {
    pub hidden: usize,
    pub inner: usize,
    pub query_heads: usize,
    pub heads: usize,
    pub dim: usize,
    pub vocabulary: usize,
    pub eps: f64,
    pub scale: f64,
    pub embedding_scale: f64,
    pub activation: Activation,
    pub embedding: Vec<f64>,
    pub head: Vec<f64>,
    pub final_norm: Vec<f64>,
    pub layers: Vec<PlainLayer>,
    /// Frequencies of each table of rotations.
    pub frequencies: Vec<Vec<f64>>,
}

pub struct PlainLayer {
    pub attention_norm: Vec<f64>,
    pub qkv: PlainLinear,
    pub query_key_norms: Option<[Vec<f64>; 2]>,
    pub output: PlainLinear,
    pub after_attention: Option<Vec<f64>>,
    pub mlp_norm: Vec<f64>,
    pub gate_up: PlainLinear,
    pub down: PlainLinear,
    pub after_mlp: Option<Vec<f64>>,
    pub rotation: usize,
    pub window: Option<usize>,
    pub kept: Vec<usize>,
}

pub struct PlainLinear {
    pub weight: Vec<f64>,
    pub bias: Option<Vec<f64>>,
}

/// A memory in f64, in the form of `mempack_kernels::Memory`.
#[derive(Clone)]
pub struct PlainMemory {
    pub keys: Vec<f64>,
    pub values: Vec<f64>,
    pub positions: Vec<usize>,
    pub tokens: usize,
    pub bias: f64,
}

/// A sequence: keys and values of each token by layer and head, and the memories.
#[derive(Default)]
pub struct PlainSequence {
    tokens: usize,
    keys: Vec<Vec<Vec<f64>>>,
    values: Vec<Vec<Vec<f64>>>,
    pub memories: Vec<PlainMemory>,
    /// What the last token gave to each memory, `[layers]` of `[query_heads, memories]`.
    pub shares: Vec<Vec<f64>>,
}

/// A token that is attended to: its key, its value, its bias, and the memory it is of.
type Seen = (Vec<f64>, Vec<f64>, f64, Option<usize>);

/// What a family computes differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
    Gemma,
    Gemma3,
}

pub const KINDS: [Kind; 6] = [Kind::Llama, Kind::Mistral, Kind::Qwen2, Kind::Qwen3, Kind::Gemma, Kind::Gemma3];

impl Plain {
    /// A random decoder with odd sizes.
    pub fn random(r: &mut Random, kind: Kind) -> Self {
        let dim = 2 * r.below(20) + 2;
        let heads = r.below(3) + 1;
        let query_heads = heads * (r.below(6) + 1);
        let hidden = r.below(70) + 20;
        let inner = if r.below(2) == 0 { 16 * (r.below(6) + 1) } else { r.below(90) + 5 };
        let vocabulary = r.below(150) + 20;
        let gemma = matches!(kind, Kind::Gemma | Kind::Gemma3);
        let norm = |r: &mut Random, n: usize| r.bf16s(n, 0.3).iter().map(|x| x + 1.0).collect::<Vec<f64>>();
        let linear = |r: &mut Random, rows: usize, columns: usize, bias: bool| PlainLinear {
            weight: r.bf16s(rows * columns, 1.7 / (columns as f64).sqrt()),
            bias: bias.then(|| r.bf16s(rows, 0.5)),
        };
        let layers = (0..3)
            .map(|number| PlainLayer {
                attention_norm: norm(r, hidden),
                qkv: linear(r, (query_heads + 2 * heads) * dim, hidden, kind == Kind::Qwen2),
                query_key_norms: matches!(kind, Kind::Qwen3 | Kind::Gemma3).then(|| [norm(r, dim), norm(r, dim)]),
                output: linear(r, hidden, query_heads * dim, number == 1 && kind == Kind::Llama),
                after_attention: (kind == Kind::Gemma3).then(|| norm(r, hidden)),
                mlp_norm: norm(r, hidden),
                gate_up: linear(r, 2 * inner, hidden, number == 1 && kind == Kind::Llama),
                down: linear(r, hidden, inner, number == 1 && kind == Kind::Llama),
                after_mlp: (kind == Kind::Gemma3).then(|| norm(r, hidden)),
                rotation: if kind == Kind::Gemma3 { number % 2 } else { 0 },
                window: (kind == Kind::Mistral || kind == Kind::Gemma3 && number != 1).then(|| r.below(9) + 1),
                // Uneven heads, and a layer without memories.
                kept: if number == 0 { Vec::new() } else { (0..heads).map(|_| r.below(7)).collect() },
            })
            .collect();
        let frequencies = |base: f64| (0..dim / 2).map(|i| base.powf(-2.0 * i as f64 / dim as f64)).collect();
        let embedding = r.bf16s(vocabulary * hidden, 1.0);
        Self {
            hidden,
            inner,
            query_heads,
            heads,
            dim,
            vocabulary,
            eps: 1e-6,
            scale: 1.0 / (dim as f64).sqrt(),
            embedding_scale: if gemma { (hidden as f64).sqrt() as f32 as f64 } else { 1.0 },
            activation: if gemma { Activation::GeluTanh } else { Activation::Silu },
            head: if gemma { embedding.clone() } else { r.bf16s(vocabulary * hidden, 1.0) },
            embedding,
            final_norm: norm(r, hidden),
            layers,
            frequencies: vec![frequencies(10000.0), frequencies(100.0)],
        }
    }

    /// Slots of a memory: those that all heads of all layers keep.
    pub fn slots(&self) -> usize {
        self.layers.iter().flat_map(|layer| &layer.kept).sum()
    }

    /// Appends a token at `position`; returns its logits.
    pub fn step(&self, s: &mut PlainSequence, token: u32, position: usize) -> Vec<f64> {
        let (dim, group) = (self.dim, self.query_heads / self.heads);
        s.keys.resize(self.layers.len() * self.heads, Vec::new());
        s.values.resize(self.layers.len() * self.heads, Vec::new());
        s.shares.clear();
        let mut slot = 0;
        let mut x: Vec<f64> =
            self.embedding[token as usize * self.hidden..][..self.hidden].iter().map(|x| x * self.embedding_scale).collect();
        for (number, layer) in self.layers.iter().enumerate() {
            let frequencies = &self.frequencies[layer.rotation];
            let mut qkv = layer.qkv.apply(&norm(&x, &layer.attention_norm, self.eps));
            let values = qkv.split_off((self.query_heads + self.heads) * dim);
            for (i, head) in qkv.chunks_mut(dim).enumerate() {
                if let Some(norms) = &layer.query_key_norms {
                    let normed = norm(head, &norms[usize::from(i >= self.query_heads)], self.eps);
                    head.copy_from_slice(&normed);
                }
                rotate(head, frequencies, position);
            }
            let keys = qkv.split_off(self.query_heads * dim);
            let mut attended = Vec::new();
            let mut shares = Vec::new();
            for head in 0..self.heads {
                let place = number * self.heads + head;
                s.keys[place].push(keys[head * dim..][..dim].to_vec());
                s.values[place].push(values[head * dim..][..dim].to_vec());
                let kept = layer.kept.get(head).copied().unwrap_or(0);
                let mut seen: Vec<Seen> = Vec::new();
                for (m, memory) in s.memories.iter().enumerate() {
                    for at in slot..slot + kept.min(memory.tokens) {
                        let mut key = memory.keys[at * dim..][..dim].to_vec();
                        rotate(&mut key, frequencies, memory.positions[at]);
                        seen.push((key, memory.values[at * dim..][..dim].to_vec(), memory.bias, Some(m)));
                    }
                }
                slot += kept;
                let first = layer.window.map_or(0, |window| (s.tokens + 1).saturating_sub(window));
                for (key, value) in s.keys[place].iter().zip(&s.values[place]).skip(first) {
                    seen.push((key.clone(), value.clone(), 0.0, None));
                }
                for query in qkv[head * group * dim..][..group * dim].chunks(dim) {
                    let scores: Vec<f64> = seen.iter().map(|(key, _, bias, _)| dot(query, key) * self.scale + bias).collect();
                    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let total: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
                    let mut out = vec![0.0; dim];
                    let mut of_memories = vec![0.0; s.memories.len()];
                    for (score, (_, value, _, memory)) in scores.iter().zip(&seen) {
                        let share = (score - largest).exp() / total;
                        out.iter_mut().zip(value).for_each(|(out, value)| *out += share * value);
                        if let Some(memory) = memory {
                            of_memories[*memory] += share;
                        }
                    }
                    attended.extend(out);
                    shares.push(of_memories);
                }
            }
            s.shares.push(shares.concat());
            add(&mut x, layer.output.apply(&attended), layer.after_attention.as_deref(), self.eps);
            let both = layer.gate_up.apply(&norm(&x, &layer.mlp_norm, self.eps));
            let (gate, up) = both.split_at(self.inner);
            let inner: Vec<f64> = gate.iter().zip(up).map(|(gate, up)| self.activate(*gate) * up).collect();
            add(&mut x, layer.down.apply(&inner), layer.after_mlp.as_deref(), self.eps);
        }
        s.tokens += 1;
        let x = norm(&x, &self.final_norm, self.eps);
        self.head.chunks(self.hidden).map(|row| dot(row, &x)).collect()
    }

    fn activate(&self, x: f64) -> f64 {
        match self.activation {
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::GeluTanh => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh()),
        }
    }
}

impl PlainLinear {
    fn apply(&self, x: &[f64]) -> Vec<f64> {
        let rows = self.weight.chunks(x.len()).enumerate();
        rows.map(|(i, row)| dot(row, x) + self.bias.as_ref().map_or(0.0, |bias| bias[i])).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(x: &[f64], weight: &[f64], eps: f64) -> Vec<f64> {
    let scale = 1.0 / (dot(x, x) / x.len() as f64 + eps).sqrt();
    x.iter().zip(weight).map(|(x, weight)| x * scale * weight).collect()
}

fn add(x: &mut [f64], branch: Vec<f64>, weight: Option<&[f64]>, eps: f64) {
    let branch = weight.map_or(branch.clone(), |weight| norm(&branch, weight, eps));
    x.iter_mut().zip(branch).for_each(|(x, b)| *x += b);
}

fn rotate(x: &mut [f64], frequencies: &[f64], position: usize) {
    let half = frequencies.len();
    for (i, frequency) in frequencies.iter().enumerate() {
        let (sin, cos) = (frequency * position as f64).sin_cos();
        let (a, b) = (x[i], x[i + half]);
        (x[i], x[i + half]) = (a * cos - b * sin, b * cos + a * sin);
    }
}
