//! One decoder layer, in as few libtorch operations as possible.

use tch::{Device, Kind, TchError, Tensor};

use crate::family::{GateActivation, LayerModule, Module};
use crate::model_folder::Loading;
use crate::norm::RmsNorm;
use crate::{LoadError, ModelConfig};

/// The sizes of a layer, in libtorch's integers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub intermediate: i64,
    pub query_heads: i64,
    pub heads: i64,
    pub head_dim: i64,
}

impl Sizes {
    pub(crate) fn of(config: &ModelConfig) -> Self {
        Self {
            intermediate: config.intermediate.into(),
            query_heads: config.query_heads.into(),
            heads: config.heads.into(),
            head_dim: config.head_dim.into(),
        }
    }

    /// Query heads that share a key-value head.
    pub(crate) fn group(&self) -> i64 {
        self.query_heads / self.heads
    }
}

/// A linear map with a weight `[out, in]`: one projection, or several of the same input with their rows joined.
pub(crate) struct Linear {
    pub(crate) weight: Tensor,
    transposed: Tensor,
    pub(crate) bias: Option<Tensor>,
    /// The joined projections.
    pub(crate) parts: Vec<Projection>,
}

/// One projection of a [`Linear`].
pub(crate) struct Projection {
    /// The module's name in the checkpoint.
    pub name: String,
    pub rows: i64,
    /// What an adapter in training adds to it. Outside training, adapters are merged into the weight.
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
    /// What it adds to the projection of `x`, `[rows, in]`.
    fn apply(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let change = x.f_linear::<Tensor>(&self.a, None)?.f_linear::<Tensor>(&self.b, None)?;
        if self.scale == 1.0 { Ok(change) } else { change.f_mul_scalar(self.scale) }
    }

    fn share(&self) -> Self {
        Self { a: self.a.shallow_clone(), b: self.b.shallow_clone(), scale: self.scale }
    }
}

impl Linear {
    /// Loads projections of the same input and joins their rows. The weight's numbers are there when the folder is loaded.
    fn load(folder: &Loading<'_>, modules: &[Module], kind: Kind, device: Device) -> Result<Self, LoadError> {
        let (names, dimensions) = (&folder.config.family.names, folder.config.dimensions());
        let (mut weights, mut biases, mut parts, mut any_bias, mut width) = (Vec::new(), Vec::new(), Vec::new(), false, 0);
        for module in modules {
            let shape = dimensions.shape(*module);
            let (rows, columns) = (shape.rows as i64, shape.columns.unwrap_or(1) as i64);
            weights.push(folder.part(&names.weight(*module), [rows, columns], kind, device)?);
            width = columns;
            let bias = names.bias(*module);
            any_bias |= shape.bias;
            biases.push(if shape.bias { folder.tensor(&bias, &[rows], kind, device)? } else { Tensor::f_zeros([rows], (kind, device))? });
            parts.push(Projection { name: names.module(*module), rows, low_rank: None });
        }
        let weight = folder.matrix(weights, width, kind)?;
        let bias = if any_bias { Some(join(biases, 0)?) } else { None };
        Ok(Self { transposed: weight.f_tr()?, weight, bias, parts })
    }

    /// Replaces the weight by another one of the same shape.
    pub(crate) fn set_weight(&mut self, weight: Tensor) -> Result<(), TchError> {
        self.transposed = weight.f_tr()?;
        self.weight = weight;
        Ok(())
    }

    /// The projections of `x`, `[rows, in]`.
    fn apply(&self, x: &Tensor) -> Result<Tensor, TchError> {
        self.change(x, x.f_linear(&self.weight, self.bias.as_ref())?)
    }

    /// The projection of `x` added to `residual`, in one operation.
    fn add_to(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor, TchError> {
        let sum = residual.f_addmm(x, &self.transposed)?;
        let sum = match &self.bias {
            Some(bias) => sum.f_add(bias)?,
            None => sum,
        };
        self.change(x, sum)
    }

    /// `mapped` with the changes of adapters in training for `x`.
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
            parts: self.parts.iter().map(Projection::share).collect(),
        }
    }
}

impl Projection {
    fn share(&self) -> Self {
        Self { name: self.name.clone(), rows: self.rows, low_rank: self.low_rank.as_ref().map(LowRank::share) }
    }
}

/// Joins tensors along `dim`; one tensor is not copied.
pub(crate) fn join(mut parts: Vec<Tensor>, dim: i64) -> Result<Tensor, TchError> {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            parts.push(last);
            Tensor::f_cat(&parts, dim)
        }
        (None, _) => Tensor::f_cat::<Tensor>(&[], dim),
    }
}

/// The weights of one layer.
pub(crate) struct Layer {
    sizes: Sizes,
    activation: GateActivation,
    attention_norm: RmsNorm,
    qkv: Linear,
    output: Linear,
    mlp_norm: RmsNorm,
    gate_up: Linear,
    down: Linear,
}

impl Layer {
    /// Loads the layer of this number.
    pub(crate) fn load(folder: &Loading<'_>, number: u32, kind: Kind, device: Device) -> Result<Self, LoadError> {
        let config = &folder.config;
        let norm = |part| folder.norm(Module::Layer(number, part), kind, device);
        let linear = |parts: &[LayerModule]| {
            let modules: Vec<Module> = parts.iter().map(|part| Module::Layer(number, *part)).collect();
            Linear::load(folder, &modules, kind, device)
        };
        Ok(Self {
            sizes: Sizes::of(config),
            activation: config.activation,
            attention_norm: norm(LayerModule::AttentionNorm)?,
            qkv: linear(&[LayerModule::Query, LayerModule::Key, LayerModule::Value])?,
            output: linear(&[LayerModule::Output])?,
            mlp_norm: norm(LayerModule::MlpNorm)?,
            gate_up: linear(&[LayerModule::Gate, LayerModule::Up])?,
            down: linear(&[LayerModule::Down])?,
        })
    }

    /// The linear maps, mutable.
    pub(crate) fn linears_mut(&mut self) -> [&mut Linear; 4] {
        [&mut self.qkv, &mut self.output, &mut self.gate_up, &mut self.down]
    }

    /// The linear maps.
    pub(crate) fn linears(&self) -> [&Linear; 4] {
        [&self.qkv, &self.output, &self.gate_up, &self.down]
    }

    /// The norms before attention and before the feed-forward part.
    pub(crate) fn norms(&self) -> [&RmsNorm; 2] {
        [&self.attention_norm, &self.mlp_norm]
    }

    /// The weights of the norms, with the modules they belong to.
    pub(crate) fn norms_mut(&mut self) -> [(LayerModule, &mut Tensor); 2] {
        [(LayerModule::AttentionNorm, &mut self.attention_norm.weight), (LayerModule::MlpNorm, &mut self.mlp_norm.weight)]
    }

    pub(crate) fn share(&self) -> Self {
        Self {
            sizes: self.sizes,
            activation: self.activation,
            attention_norm: self.attention_norm.share(),
            qkv: self.qkv.share(),
            output: self.output.share(),
            mlp_norm: self.mlp_norm.share(),
            gate_up: self.gate_up.share(),
            down: self.down.share(),
        }
    }

    /// Queries and keys `[rows, query_heads + heads, head_dim]` and values `[rows, heads, head_dim]` of `x`, `[rows, hidden]`, before RoPE.
    pub(crate) fn qkv(&self, x: &Tensor) -> Result<(Tensor, Tensor), TchError> {
        let s = &self.sizes;
        let all = self.qkv.apply(&self.attention_norm.apply(x)?)?.f_view([-1, s.query_heads + 2 * s.heads, s.head_dim])?;
        Ok((all.f_narrow(1, 0, s.query_heads + s.heads)?, all.f_narrow(1, s.query_heads + s.heads, s.heads)?))
    }

    /// The layer's output, given its input `x`, `[rows, hidden]`, and the output of attention, `[rows, query_heads * head_dim]`.
    pub(crate) fn finish(&self, x: &Tensor, attention: &Tensor) -> Result<Tensor, TchError> {
        let x = self.output.add_to(x, attention)?;
        let both = self.gate_up.apply(&self.mlp_norm.apply(&x)?)?;
        let n = self.sizes.intermediate;
        let gate = both.f_narrow(-1, 0, n)?;
        let gate = match self.activation {
            GateActivation::Silu => gate.f_silu(),
            GateActivation::GeluTanh => gate.f_gelu("tanh"),
        };
        let inner = gate?.f_mul_(&both.f_narrow(-1, n, n)?)?;
        self.down.add_to(&x, &inner)
    }
}
