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

/// A linear map, its weight `[out, in]`: one projection, or several of the same input joined row by row.
pub(crate) struct Linear {
    pub(crate) weight: Tensor,
    transposed: Tensor,
    pub(crate) bias: Option<Tensor>,
    /// The projections that are joined.
    pub(crate) parts: Vec<Part>,
}

/// One projection of a [`Linear`].
pub(crate) struct Part {
    /// Its module's name, as the checkpoint has it.
    pub name: String,
    pub rows: i64,
    /// What an adapter in training adds to it. One that is only read is merged into the weight.
    pub low_rank: Option<LowRank>,
}

/// A change `scale * B A` of a weight (LoRA, arXiv 2106.09685).
pub(crate) struct LowRank {
    /// `[rank, in]`.
    pub a: Tensor,
    /// `[rows, rank]`.
    pub b: Tensor,
    pub scale: f64,
}

impl LowRank {
    /// What it adds to the mapped `x`, `[rows, in]`.
    fn apply(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let change = x.f_linear::<Tensor>(&self.a, None)?.f_linear::<Tensor>(&self.b, None)?;
        if self.scale == 1.0 { Ok(change) } else { change.f_mul_scalar(self.scale) }
    }

    fn share(&self) -> Self {
        Self { a: self.a.shallow_clone(), b: self.b.shallow_clone(), scale: self.scale }
    }
}

impl Linear {
    /// Several projections of the same input, joined row by row.
    fn load(source: &Source, parts: &[(String, i64, bool)], input: i64, kind: Kind, device: Device) -> Result<Self, LoadError> {
        let weights = parts.iter().map(|(name, rows, _)| source.tensor(&format!("{name}.weight"), &[*rows, input], kind, device));
        let weight = join(weights.collect::<Result<_, _>>()?, 0)?;
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
            Some(join(biases.collect::<Result<_, _>>()?, 0)?)
        } else {
            None
        };
        let parts = parts.iter().map(|(name, rows, _)| Part { name: name.clone(), rows: *rows, low_rank: None });
        Ok(Self { transposed: weight.f_tr()?, parts: parts.collect(), weight, bias })
    }

    /// Puts another weight of the same shape in place.
    pub(crate) fn set_weight(&mut self, weight: Tensor) -> Result<(), TchError> {
        self.transposed = weight.f_tr()?;
        self.weight = weight;
        Ok(())
    }

    /// `x`, `[rows, in]`, mapped.
    fn apply(&self, x: &Tensor) -> Result<Tensor, TchError> {
        self.change(x, x.f_linear(&self.weight, self.bias.as_ref())?)
    }

    /// `x` mapped and added to `residual`, both in one operation.
    fn add_to(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor, TchError> {
        let sum = residual.f_addmm(x, &self.transposed)?;
        let sum = match &self.bias {
            Some(bias) => sum.f_add(bias)?,
            None => sum,
        };
        self.change(x, sum)
    }

    /// `mapped` with what adapters in training add for `x`.
    fn change(&self, x: &Tensor, mapped: Tensor) -> Result<Tensor, TchError> {
        if self.parts.iter().all(|part| part.low_rank.is_none()) {
            return Ok(mapped);
        }
        let changes = self.parts.iter().map(|part| match &part.low_rank {
            Some(low_rank) => low_rank.apply(x),
            None => Tensor::f_zeros([x.size()[0], part.rows], (x.kind(), x.device())),
        });
        mapped.f_add(&join(changes.collect::<Result<_, _>>()?, -1)?)
    }

    fn share(&self) -> Self {
        Self {
            weight: self.weight.shallow_clone(),
            transposed: self.transposed.shallow_clone(),
            bias: self.bias.as_ref().map(Tensor::shallow_clone),
            parts: self.parts.iter().map(Part::share).collect(),
        }
    }
}

impl Part {
    fn share(&self) -> Self {
        Self { name: self.name.clone(), rows: self.rows, low_rank: self.low_rank.as_ref().map(LowRank::share) }
    }
}

fn join(mut parts: Vec<Tensor>, dim: i64) -> Result<Tensor, TchError> {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            parts.push(last);
            Tensor::f_cat(&parts, dim)
        }
        (None, _) => Tensor::f_cat::<Tensor>(&[], dim),
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

    /// Its linear maps, for what trains them.
    pub(crate) fn linears_mut(&mut self) -> [&mut Linear; 4] {
        [&mut self.qkv, &mut self.output, &mut self.gate_up, &mut self.down]
    }

    /// Its linear maps.
    pub(crate) fn linears(&self) -> [&Linear; 4] {
        [&self.qkv, &self.output, &self.gate_up, &self.down]
    }

    /// The weights of its norms, by their names inside the layer.
    pub(crate) fn norms_mut(&mut self) -> [(&'static str, &mut Tensor); 2] {
        [("input_layernorm", &mut self.attention_norm), ("post_attention_layernorm", &mut self.mlp_norm)]
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
