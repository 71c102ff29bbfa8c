//! One decoder layer, in as few operations as libtorch allows.

use tch::{Device, Kind, TchError, Tensor};

use crate::source::Source;
use crate::{LoadError, ModelConfig};

/// The sizes of a layer, as libtorch wants them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub hidden: i64,
    pub intermediate: i64,
    pub query_heads: i64,
    pub heads: i64,
    pub head_dim: i64,
    pub norm_eps: f64,
}

impl Sizes {
    pub(crate) fn of(config: &ModelConfig) -> Self {
        Self {
            hidden: config.hidden.into(),
            intermediate: config.intermediate.into(),
            query_heads: config.query_heads.into(),
            heads: config.heads.into(),
            head_dim: config.head_dim.into(),
            norm_eps: config.norm_eps,
        }
    }

    /// Query heads that share a key-value head.
    pub(crate) fn group(&self) -> i64 {
        self.query_heads / self.heads
    }
}

/// A linear map, its weight `[out, in]`.
struct Linear {
    weight: Tensor,
    transposed: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Several projections of the same input, joined row by row.
    fn load(source: &Source, parts: &[(String, i64, bool)], input: i64, kind: Kind, device: Device) -> Result<Self, LoadError> {
        let weights = parts.iter().map(|(name, rows, _)| source.tensor(&format!("{name}.weight"), &[*rows, input], kind, device));
        let weight = join(weights.collect::<Result<_, _>>()?)?;
        let any = parts.iter().any(|(name, _, bias)| *bias || source.contains(&format!("{name}.bias")));
        let bias = if any {
            let biases = parts.iter().map(|(name, rows, required)| {
                let name = format!("{name}.bias");
                if *required || source.contains(&name) {
                    source.tensor(&name, &[*rows], kind, device)
                } else {
                    Ok(Tensor::f_zeros([*rows], (kind, device))?)
                }
            });
            Some(join(biases.collect::<Result<_, _>>()?)?)
        } else {
            None
        };
        Ok(Self { transposed: weight.f_tr()?, weight, bias })
    }

    /// `x`, `[rows, in]`, mapped.
    fn apply(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_linear(&self.weight, self.bias.as_ref())
    }

    /// `x` mapped and added to `residual`, both in one operation.
    fn add_to(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor, TchError> {
        let sum = residual.f_addmm(x, &self.transposed)?;
        match &self.bias {
            Some(bias) => sum.f_add(bias),
            None => Ok(sum),
        }
    }

    fn share(&self) -> Self {
        Self {
            weight: self.weight.shallow_clone(),
            transposed: self.transposed.shallow_clone(),
            bias: self.bias.as_ref().map(Tensor::shallow_clone),
        }
    }
}

fn join(mut parts: Vec<Tensor>) -> Result<Tensor, TchError> {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            parts.push(last);
            Tensor::f_cat(&parts, 0)
        }
        (None, _) => Tensor::f_cat::<Tensor>(&[], 0),
    }
}

/// Root-mean-square norm of the rows of `x`.
pub(crate) fn norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor, TchError> {
    x.f_rms_norm(weight.size(), Some(weight), eps)
}

/// The weights of one layer.
pub(crate) struct Layer {
    sizes: Sizes,
    attention_norm: Tensor,
    qkv: Linear,
    output: Linear,
    mlp_norm: Tensor,
    gate_up: Linear,
    down: Linear,
}

impl Layer {
    pub(crate) fn load(source: &Source, config: &ModelConfig, number: u32, kind: Kind, device: Device) -> Result<Self, LoadError> {
        let s = Sizes::of(config);
        let name = |part: &str| format!("model.layers.{number}.{part}");
        let (queries, keys) = (s.query_heads * s.head_dim, s.heads * s.head_dim);
        let (qkv, out, mlp) = (config.qkv_bias, config.output_bias, config.mlp_bias);
        let attention =
            [(name("self_attn.q_proj"), queries, qkv), (name("self_attn.k_proj"), keys, qkv), (name("self_attn.v_proj"), keys, qkv)];
        let gate_up = [(name("mlp.gate_proj"), s.intermediate, mlp), (name("mlp.up_proj"), s.intermediate, mlp)];
        let norm = |part: &str| source.tensor(&name(part), &[s.hidden], kind, device);
        Ok(Self {
            sizes: s,
            attention_norm: norm("input_layernorm.weight")?,
            qkv: Linear::load(source, &attention, s.hidden, kind, device)?,
            output: Linear::load(source, &[(name("self_attn.o_proj"), s.hidden, out)], queries, kind, device)?,
            mlp_norm: norm("post_attention_layernorm.weight")?,
            gate_up: Linear::load(source, &gate_up, s.hidden, kind, device)?,
            down: Linear::load(source, &[(name("mlp.down_proj"), s.hidden, mlp)], s.intermediate, kind, device)?,
        })
    }

    pub(crate) fn share(&self) -> Self {
        Self {
            sizes: self.sizes,
            attention_norm: self.attention_norm.shallow_clone(),
            qkv: self.qkv.share(),
            output: self.output.share(),
            mlp_norm: self.mlp_norm.shallow_clone(),
            gate_up: self.gate_up.share(),
            down: self.down.share(),
        }
    }

    /// Queries and keys `[rows, query_heads + heads, head_dim]` and values `[rows, heads, head_dim]` of `x`, `[rows, hidden]`, before RoPE.
    pub(crate) fn qkv(&self, x: &Tensor) -> Result<(Tensor, Tensor), TchError> {
        let s = &self.sizes;
        let all = self.qkv.apply(&norm(x, &self.attention_norm, s.norm_eps)?)?.f_view([-1, s.query_heads + 2 * s.heads, s.head_dim])?;
        Ok((all.f_narrow(1, 0, s.query_heads + s.heads)?, all.f_narrow(1, s.query_heads + s.heads, s.heads)?))
    }

    /// The layer's output from its input `x`, `[rows, hidden]`, and what attention gave, `[rows, query_heads * head_dim]`.
    pub(crate) fn finish(&self, x: &Tensor, attention: &Tensor) -> Result<Tensor, TchError> {
        let x = self.output.add_to(x, attention)?;
        let both = self.gate_up.apply(&norm(&x, &self.mlp_norm, self.sizes.norm_eps)?)?;
        let n = self.sizes.intermediate;
        let inner = both.f_narrow(-1, 0, n)?.f_silu()?.f_mul_(&both.f_narrow(-1, n, n)?)?;
        self.down.add_to(&x, &inner)
    }
}
