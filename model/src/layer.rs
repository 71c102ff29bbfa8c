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
    pub(crate) attention_norm: RmsNorm,
    qkv: Linear,
    /// Of each query and of each key, before RoPE.
    pub(crate) query_key_norms: Option<[RmsNorm; 2]>,
    output: Linear,
    pub(crate) after_attention: Option<RmsNorm>,
    pub(crate) mlp_norm: RmsNorm,
    gate_up: Linear,
    down: Linear,
    pub(crate) after_mlp: Option<RmsNorm>,
    /// How many tokens of prefix and context a token attends to, itself included; all before it without.
    pub(crate) window: Option<i64>,
    /// The number of the rope that queries and keys are rotated by: 1 with a window, else 0.
    pub(crate) rotation: usize,
}

impl Layer {
    /// Loads the layer of this number.
    pub(crate) fn load(folder: &Loading<'_>, number: u32, kind: Kind, device: Device) -> Result<Self, LoadError> {
        let config = &folder.config;
        let norm = |part| folder.norm(Module::Layer(number, part), kind, device);
        let norm_if = |present: bool, part| if present { norm(part).map(Some) } else { Ok(None) };
        let linear = |parts: &[LayerModule]| {
            let modules: Vec<Module> = parts.iter().map(|part| Module::Layer(number, *part)).collect();
            Linear::load(folder, &modules, kind, device)
        };
        let query_key_norms = match config.family.query_key_norms {
            // So that all families scale attention by `1 / sqrt(head_dim)`.
            true => {
                let factor = (f64::from(config.head_dim) / config.query_scalar).sqrt();
                Some([norm(LayerModule::QueryNorm)?.times(factor), norm(LayerModule::KeyNorm)?])
            }
            false => None,
        };
        let sliding = config.sliding(number);
        Ok(Self {
            sizes: Sizes::of(config),
            activation: config.activation,
            query_key_norms,
            after_attention: norm_if(config.family.norms_after, LayerModule::AfterAttention)?,
            after_mlp: norm_if(config.family.norms_after, LayerModule::AfterMlp)?,
            window: sliding.map(|sliding| sliding.window.into()),
            rotation: sliding.is_some().into(),
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

    /// The weights of the norms, with the modules they belong to.
    pub(crate) fn norms_mut(&mut self) -> impl Iterator<Item = (LayerModule, &mut Tensor)> {
        let of_vectors = [LayerModule::QueryNorm, LayerModule::KeyNorm].into_iter().zip(self.query_key_norms.iter_mut().flatten());
        let before = [(LayerModule::AttentionNorm, &mut self.attention_norm), (LayerModule::MlpNorm, &mut self.mlp_norm)];
        let after = [(LayerModule::AfterAttention, &mut self.after_attention), (LayerModule::AfterMlp, &mut self.after_mlp)];
        let after = after.into_iter().filter_map(|(part, norm)| Some((part, norm.as_mut()?)));
        before.into_iter().chain(of_vectors).chain(after).map(|(part, norm)| (part, &mut norm.weight))
    }

    pub(crate) fn share(&self) -> Self {
        Self {
            sizes: self.sizes,
            activation: self.activation,
            attention_norm: self.attention_norm.share(),
            qkv: self.qkv.share(),
            query_key_norms: self.query_key_norms.as_ref().map(|norms| norms.each_ref().map(RmsNorm::share)),
            output: self.output.share(),
            after_attention: self.after_attention.as_ref().map(RmsNorm::share),
            mlp_norm: self.mlp_norm.share(),
            gate_up: self.gate_up.share(),
            down: self.down.share(),
            after_mlp: self.after_mlp.as_ref().map(RmsNorm::share),
            window: self.window,
            rotation: self.rotation,
        }
    }

    /// Queries and keys `[rows, query_heads + heads, head_dim]` and values `[rows, heads, head_dim]` of `x`, `[rows, hidden]`, before RoPE
    /// and after the norms that a family has of queries and keys: memories hold these keys. Scores of attention are the products of queries
    /// and keys over the square root of `head_dim`, in all families.
    pub(crate) fn qkv(&self, x: &Tensor) -> Result<(Tensor, Tensor), TchError> {
        let s = &self.sizes;
        let all = self.qkv.apply(&self.attention_norm.apply(x)?)?.f_view([-1, s.query_heads + 2 * s.heads, s.head_dim])?;
        let values = all.f_narrow(1, s.query_heads + s.heads, s.heads)?;
        let queries_and_keys = match &self.query_key_norms {
            Some([queries, keys]) => Tensor::f_cat(
                &[queries.apply(&all.f_narrow(1, 0, s.query_heads)?)?, keys.apply(&all.f_narrow(1, s.query_heads, s.heads)?)?],
                1,
            )?,
            None => all.f_narrow(1, 0, s.query_heads + s.heads)?,
        };
        Ok((queries_and_keys, values))
    }

    /// The layer's output, given its input `x`, `[rows, hidden]`, and the output of attention, `[rows, query_heads * head_dim]`.
    pub(crate) fn finish(&self, x: &Tensor, attention: &Tensor) -> Result<Tensor, TchError> {
        let x = add(x, &self.output, attention, self.after_attention.as_ref())?;
        let both = self.gate_up.apply(&self.mlp_norm.apply(&x)?)?;
        let n = self.sizes.intermediate;
        let gate = both.f_narrow(-1, 0, n)?;
        let gate = match self.activation {
            GateActivation::Silu => gate.f_silu(),
            GateActivation::GeluTanh => gate.f_gelu("tanh"),
        };
        let inner = gate?.f_mul_(&both.f_narrow(-1, n, n)?)?;
        add(&x, &self.down, &inner, self.after_mlp.as_ref())
    }
}

/// The projection of `x`, normed if there is a norm `after` it, added to `residual`.
fn add(residual: &Tensor, linear: &Linear, x: &Tensor, after: Option<&RmsNorm>) -> Result<Tensor, TchError> {
    match after {
        Some(norm) => residual.f_add(&norm.apply(&linear.apply(x)?)?),
        None => linear.add_to(residual, x),
    }
}
