//! The architecture of a decoder, from config.json.

use std::path::Path;

use serde_json::{Map, Value};

use crate::LoadError;
use crate::family::{Bias, Dimensions, EmbeddingScale, Family, GateActivation, SlidingWindow, alternatives, model_types};
use crate::fields::Fields;

/// How RoPE frequencies are scaled for long contexts (`rope_type: llama3`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Scaling {
    /// Low frequencies are divided by this.
    pub factor: f64,
    /// Wavelengths above `original / low` are low frequencies.
    pub low_freq_factor: f64,
    /// Wavelengths below `original / high` are high frequencies, which stay unchanged.
    pub high_freq_factor: f64,
    /// Context length of the first training.
    pub original_max_position_embeddings: f64,
}

/// The architecture of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// The family of `model_type`.
    pub family: &'static Family,
    /// Layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Width inside the gated feed-forward part.
    pub intermediate: u32,
    /// Query heads of a layer.
    pub query_heads: u32,
    /// Key-value heads of a layer; divides `query_heads`.
    pub heads: u32,
    /// Dimensions of a head; even.
    pub head_dim: u32,
    /// Rows of the embedding.
    pub vocabulary: u32,
    /// Epsilon of the RMS norms.
    pub norm_eps: f64,
    /// Activation of the gate in the feed-forward part.
    pub(crate) activation: GateActivation,
    /// Base of RoPE's frequencies (`rope_theta`).
    pub rope_base: f64,
    /// Scaling of RoPE's frequencies.
    pub rope_scaling: Option<Llama3Scaling>,
    /// Whether the query, key and value projections must have biases.
    pub qkv_bias: bool,
    /// Whether the output projection must have a bias.
    pub output_bias: bool,
    /// Whether the feed-forward projections must have biases.
    pub mlp_bias: bool,
    /// Whether the embedding is the head.
    pub tied: bool,
    /// The BOS, the token before a text.
    pub bos: u32,
    /// The tokens that end a text.
    pub eos: Vec<u32>,
    /// Max tokens of context (`max_position_embeddings`), if the file says it.
    pub max_positions: Option<u32>,
}

impl ModelConfig {
    /// Reads config.json's fields.
    pub(crate) fn parse(path: &Path, object: &Map<String, Value>) -> Result<Self, LoadError> {
        let f = Fields::new(path, object);
        let model_type = f.required("model_type", &model_types(), f.str("model_type")?)?;
        let Some(family) = Family::of_model_type(model_type) else {
            return Err(f.refuse("model_type", model_types(), format!("`{model_type}`"), "use a model of one of these families"));
        };
        let count = |name: &str| -> Result<u32, LoadError> { f.required(name, "a count", f.count(name)?) };
        let layers = count("num_hidden_layers")?;
        let hidden = count("hidden_size")?;
        let query_heads = count("num_attention_heads")?;
        let heads = f.count("num_key_value_heads")?.unwrap_or(query_heads);
        if query_heads % heads != 0 {
            return Err(f.refuse(
                "num_key_value_heads",
                format!("a divisor of {query_heads} query heads"),
                heads.to_string(),
                "correct the file",
            ));
        }
        let head_dim = match f.count("head_dim")? {
            Some(n) => n,
            None if hidden % query_heads == 0 => hidden / query_heads,
            None => {
                return Err(f.refuse(
                    "head_dim",
                    format!("a dimension, because {query_heads} heads do not divide {hidden}"),
                    "nothing",
                    "add the field",
                ));
            }
        };
        if head_dim % 2 != 0 {
            return Err(f.refuse("head_dim", "an even number", head_dim.to_string(), "use a model whose heads RoPE can rotate"));
        }
        let activation = f.str("hidden_act")?.unwrap_or(family.default_activation());
        let Some(activation) = family.activation(activation) else {
            let expected = alternatives(family.activations.iter().map(|(name, _)| *name));
            return Err(f.refuse("hidden_act", expected, format!("`{activation}`"), "use a model with this activation"));
        };
        let has_bias = |bias: Bias| -> Result<bool, LoadError> {
            match bias {
                Bias::Never => Ok(false),
                Bias::Always => Ok(true),
                Bias::Field(field) => Ok(f.bool(field)?.unwrap_or(false)),
            }
        };
        let (rope_base, rope_scaling) = rope(&f, family)?;
        let config = Self {
            family,
            layers,
            hidden,
            intermediate: count("intermediate_size")?,
            query_heads,
            heads,
            head_dim,
            vocabulary: count("vocab_size")?,
            norm_eps: f.f64("rms_norm_eps")?.unwrap_or(1e-6),
            activation,
            rope_base,
            rope_scaling,
            qkv_bias: has_bias(family.biases.qkv)?,
            output_bias: has_bias(family.biases.output)?,
            mlp_bias: has_bias(family.biases.mlp)?,
            tied: f.bool("tie_word_embeddings")?.unwrap_or(family.tied_by_default),
            bos: f.required("bos_token_id", "the id of the BOS", f.u32("bos_token_id")?)?,
            eos: f.ids("eos_token_id")?.unwrap_or_default(),
            max_positions: f.u32("max_position_embeddings")?,
        };
        for (field, ids) in [("bos_token_id", std::slice::from_ref(&config.bos)), ("eos_token_id", config.eos.as_slice())] {
            if let Some(id) = ids.iter().find(|id| **id >= config.vocabulary) {
                return Err(f.refuse(field, format!("an id below {}", config.vocabulary), id.to_string(), "correct the file"));
            }
        }
        sliding_window(&f, &config)?;
        Ok(config)
    }

    /// The numbers that determine which tensors there are, and their shapes.
    pub(crate) fn dimensions(&self) -> Dimensions {
        Dimensions {
            layers: self.layers,
            hidden: self.hidden,
            intermediate: self.intermediate,
            query_heads: self.query_heads,
            heads: self.heads,
            head_dim: self.head_dim,
            vocabulary: self.vocabulary,
            qkv_bias: self.qkv_bias,
            output_bias: self.output_bias,
            mlp_bias: self.mlp_bias,
            tied: self.tied,
        }
    }

    /// The fields that change what is computed, one a line. The digest of this text identifies the architecture in packs.
    pub(crate) fn canonical(&self) -> String {
        let mut text = format!(
            "hidden {}\nintermediate {}\nlayers {}\nquery heads {}\nkey-value heads {}\nhead dimension {}\nvocabulary {}\nnorm epsilon {:e}\n\
             rope base {:e}\nrope scaling {:?}\nbos {}\n",
            self.hidden,
            self.intermediate,
            self.layers,
            self.query_heads,
            self.heads,
            self.head_dim,
            self.vocabulary,
            self.norm_eps,
            self.rope_base,
            self.rope_scaling,
            self.bos
        );
        // Only what differs from Llama: digests in existing packs were computed without these lines.
        let family = self.family;
        if self.activation != GateActivation::Silu {
            text += &format!("activation {:?}\n", self.activation);
        }
        if family.embedding_scale != EmbeddingScale::One {
            text += &format!("embedding scale {:?}\n", family.embedding_scale);
        }
        if family.norm_offset != 0.0 {
            text += &format!("norm offset {:e}\n", family.norm_offset);
        }
        text
    }
}

/// Base and scaling of RoPE: `rope_theta` and `rope_scaling` in older files, `rope_parameters` in newer ones.
fn rope(f: &Fields<'_>, family: &Family) -> Result<(f64, Option<Llama3Scaling>), LoadError> {
    let parameters = f.block("rope_parameters")?;
    let inner = match &parameters {
        Some(p) => p.f64("rope_theta")?,
        None => None,
    };
    let base = f.f64("rope_theta")?.or(inner).unwrap_or(10000.0);
    if base <= 1.0 {
        return Err(f.refuse("rope_theta", "a number above 1", base.to_string(), "correct the file"));
    }
    let Some(block) = f.block("rope_scaling")?.or(parameters) else { return Ok((base, None)) };
    if let Some(part) = block.f64("partial_rotary_factor")?.filter(|part| *part != 1.0) {
        return Err(block.refuse("partial_rotary_factor", "1", part.to_string(), "use a model that rotates whole heads"));
    }
    let kind = match block.str("rope_type")? {
        Some(kind) => kind,
        None => block.str("type")?.unwrap_or("default"),
    };
    match kind {
        kind if !family.rope_types.contains(&kind) => {
            let expected = alternatives(family.rope_types.iter().copied());
            Err(block.refuse("rope_type", expected, format!("`{kind}`"), "use a model without this scaling"))
        }
        "llama3" => {
            let positive = |name: &str| -> Result<f64, LoadError> {
                let value = block.required(name, "a positive number", block.f64(name)?)?;
                if value > 0.0 { Ok(value) } else { Err(block.refuse(name, "a positive number", value.to_string(), "correct the file")) }
            };
            let scaling = Llama3Scaling {
                factor: positive("factor")?,
                low_freq_factor: positive("low_freq_factor")?,
                high_freq_factor: positive("high_freq_factor")?,
                original_max_position_embeddings: positive("original_max_position_embeddings")?,
            };
            if scaling.high_freq_factor <= scaling.low_freq_factor {
                return Err(block.refuse(
                    "high_freq_factor",
                    format!("a number above {}", scaling.low_freq_factor),
                    scaling.high_freq_factor.to_string(),
                    "correct the file",
                ));
            }
            Ok((base, Some(scaling)))
        }
        _ => Ok((base, None)),
    }
}

/// Refuses a sliding window that is shorter than the context, because attention is computed over the whole context.
fn sliding_window(f: &Fields<'_>, config: &ModelConfig) -> Result<(), LoadError> {
    let used = match f.bool("use_sliding_window")? {
        Some(used) => used,
        None => config.family.sliding_window == SlidingWindow::IfSet,
    };
    match (used, f.u32("sliding_window")?) {
        (true, Some(window)) if config.max_positions.is_none_or(|max| window < max) => Err(f.refuse(
            "sliding_window",
            "none, or one that spans max_position_embeddings",
            window.to_string(),
            "use a model with full attention, or set the field to null if contexts stay shorter than the window",
        )),
        _ => Ok(()),
    }
}
